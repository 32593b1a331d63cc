//! Roots and directories: what was last known of each.

use serde::{Deserialize, Serialize};

use crate::model::{Stamp, Timestamp};

use super::medium::Medium;
use super::{Store, StoreError, codec, keys};

/// The number of a watched root in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RootId(pub u32);

/// The number of a directory in this store; never used again for another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DirId(pub u64);

/// A watched root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRow {
    /// Its absolute path, in bytes.
    pub path: Vec<u8>,
    /// What identifies the file system found there; `None` until it was first seen.
    pub identity: Option<String>,
    /// Whether its first walk is complete.
    pub walked: bool,
    /// Steady time at which the last audit began.
    pub audited_at: Option<Timestamp>,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirRow {
    /// The root it belongs to.
    pub root: RootId,
    /// The directory that holds it; `None` for the root itself.
    pub parent: Option<DirId>,
    /// Its name in that directory; empty for the root itself.
    pub name: Vec<u8>,
    /// Its stamp before its last complete listing whose news were all recorded; `None` before the first.
    pub stamp: Option<Stamp>,
    /// Whether that stamp was too young to prove that the listing missed nothing.
    pub racy: bool,
    /// Steady time at which that stamp was first seen.
    pub stamp_since: Timestamp,
    /// Wall time of the last look that found it as recorded here.
    pub looked_at: Option<Timestamp>,
    /// Wall time since when it is gone; its rows are kept for the history.
    pub gone_since: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
enum StoredRoot {
    V1(RootRow),
}

#[derive(Serialize, Deserialize)]
enum StoredDir {
    V1(DirRow),
}

pub(super) fn encode_root(row: &RootRow) -> Vec<u8> {
    codec::encode(&StoredRoot::V1(row.clone()))
}

pub(super) fn encode_dir(row: &DirRow) -> Vec<u8> {
    codec::encode(&StoredDir::V1(row.clone()))
}

pub(super) fn decode_root(key: &[u8], value: &[u8]) -> Result<(RootId, RootRow), StoreError> {
    let id = keys::last_u32(key).ok_or(StoreError::Damaged { what: "a root's key" })?;
    let StoredRoot::V1(row) = codec::decode(value, "a root")?;
    Ok((RootId(id), row))
}

pub(super) fn decode_dir(key: &[u8], value: &[u8]) -> Result<(DirId, DirRow), StoreError> {
    let id = keys::number_at(key, 1).ok_or(StoreError::Damaged { what: "a directory's key" })?;
    let StoredDir::V1(row) = codec::decode(value, "a directory")?;
    Ok((DirId(id), row))
}

impl Store {
    /// Every root ever watched.
    pub fn roots(&self) -> Result<Vec<(RootId, RootRow)>, StoreError> {
        self.db
            .scan_prefix(keys::ROOTS)
            .map(|entry| {
                let (key, value) = entry?;
                decode_root(&key, &value)
            })
            .collect()
    }

    /// Every directory known, parents before children.
    pub fn directories(&self) -> impl Iterator<Item = Result<(DirId, DirRow), StoreError>> {
        self.db.scan_prefix(keys::DIRECTORIES).map(|entry| {
            let (key, value) = entry?;
            decode_dir(&key, &value)
        })
    }

    /// A number for a root that is not in the store yet.
    pub fn new_root(&self) -> RootId {
        let mut writer = self.writer();
        let id = RootId(writer.next_root);
        writer.next_root += 1;
        id
    }

    /// A number for a directory that is not in the store yet, larger than any before.
    pub fn new_dir(&self) -> DirId {
        let mut writer = self.writer();
        let id = DirId(writer.next_dir);
        writer.next_dir += 1;
        id
    }
}

pub(super) fn next_dir(db: &Medium) -> Result<u64, StoreError> {
    let last = db.scan_prefix(keys::DIRECTORIES).next_back().transpose()?;
    Ok(last.and_then(|(key, _)| keys::number_at(&key, 1)).map_or(1, |last| last + 1))
}

pub(super) fn next_root(db: &Medium) -> Result<u32, StoreError> {
    let last = db.scan_prefix(keys::ROOTS).next_back().transpose()?;
    Ok(last.and_then(|(key, _)| keys::last_u32(&key)).map_or(1, |last| last + 1))
}
