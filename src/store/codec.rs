//! How a value becomes bytes: postcard, behind enums whose variants are versions.

use serde::{Deserialize, Serialize};

use super::StoreError;

/// The largest value that sled keeps in a page that its flush covers, with room to spare.
pub(super) const MAX_VALUE_BYTES: usize = 6 * 1024;

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_long(value, 0)
}

/// The same of a value that takes about so many bytes: one that grows from nothing is moved again and again.
pub(super) fn encode_long<T: Serialize>(value: &T, bytes: usize) -> Vec<u8> {
    postcard::to_extend(value, Vec::with_capacity(bytes))
        .expect("our own rows always encode: they hold no maps of unknown length")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged { what })
}
