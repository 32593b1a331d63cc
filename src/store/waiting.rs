//! Files that are not handed over yet: seen, but not proved complete.

use serde::{Deserialize, Serialize};

use crate::model::{Analysis, ContentHash, Stamp, Timestamp};

use super::{DirId, Store, StoreError, codec, keys};

/// Why a file waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitReason {
    /// Its content cannot prove that it is complete: it must look the same twice.
    Settling,
    /// It was read and is not a complete archive (yet).
    Broken {
        /// What reading gave.
        analysis: Analysis,
        /// The hash of what was read.
        blake3: ContentHash,
    },
    /// It could not be read.
    Unreadable {
        /// The error, in words.
        error: String,
    },
}

/// A file that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitRow {
    /// Its stamp at the last look.
    pub stamp: Stamp,
    /// Steady time since when the stamp is the same.
    pub still_since: Timestamp,
    /// Steady time of the next look.
    pub look_at: Timestamp,
    /// Wall time at which it was first seen.
    pub first_seen: Timestamp,
    /// Wall time at which its directory was last seen without it.
    pub not_before: Option<Timestamp>,
    /// Why.
    pub reason: WaitReason,
}

#[derive(Serialize, Deserialize)]
enum StoredWait {
    V1(WaitRow),
}

pub(super) fn encode(row: &WaitRow) -> Vec<u8> {
    codec::encode(&StoredWait::V1(row.clone()))
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<(DirId, Vec<u8>, WaitRow), StoreError> {
    let dir = keys::number_at(key, 1).ok_or(StoreError::Damaged { what: "a waiting file's key" })?;
    let StoredWait::V1(row) = codec::decode(value, "a waiting file")?;
    Ok((DirId(dir), key.get(9..).unwrap_or_default().to_vec(), row))
}

impl Store {
    /// Every file that waits.
    pub fn waiting(&self) -> Result<Vec<(DirId, Vec<u8>, WaitRow)>, StoreError> {
        self.db
            .scan_prefix(keys::WAITING)
            .map(|entry| {
                let (key, value) = entry?;
                decode(&key, &value)
            })
            .collect()
    }
}
