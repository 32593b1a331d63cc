//! How a value becomes bytes: postcard, behind enums whose variants are versions.

use serde::{Deserialize, Serialize};

use super::StoreError;

/// The largest value that sled keeps in a page that its flush covers, with room to spare.
pub(super) const MAX_VALUE_BYTES: usize = 6 * 1024;

/// What a value takes most often; one that grows from nothing is moved again and again.
const USUAL_BYTES: usize = 1024;

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = Vec::with_capacity(USUAL_BYTES);
    postcard::to_extend(value, bytes)
        .expect("our own rows always encode: they hold no maps of unknown length")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged { what })
}
