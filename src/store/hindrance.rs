//! What keeps files from being seen, for whoever asks later: directories that cannot be read, and the patterns of the
//! last run. Nothing is decided by it: so it is written at once and becomes durable with the next commit.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

use super::{DirId, Store, StoreError, codec, keys};

/// Why a directory cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hindrance {
    /// Wall time of the first look in a row that failed.
    pub since: Timestamp,
    /// The error, in words.
    pub reason: String,
}

/// Which names a run looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Patterns {
    /// Only these; empty for all.
    pub include: Vec<String>,
    /// None of these.
    pub exclude: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum StoredHindrance {
    V1(Hindrance),
}

#[derive(Serialize, Deserialize)]
enum StoredPatterns {
    V1(Patterns),
}

pub(super) fn decode(value: &[u8]) -> Result<Hindrance, StoreError> {
    let StoredHindrance::V1(row) = codec::decode(value, "why a directory cannot be read")?;
    Ok(row)
}

pub(super) fn decode_patterns(value: &[u8]) -> Result<Patterns, StoreError> {
    let StoredPatterns::V1(patterns) = codec::decode(value, "the patterns of a run")?;
    Ok(patterns)
}

impl Store {
    /// Why `dir` cannot be read; `None` if it can, or was not looked at.
    pub fn hindrance(&self, dir: DirId) -> Result<Option<Hindrance>, StoreError> {
        self.db.get(keys::hindrance(dir))?.map(|value| decode(&value)).transpose()
    }

    /// Every directory that cannot be read.
    pub fn hindered(&self) -> Result<HashSet<DirId>, StoreError> {
        let number = |key: &[u8]| {
            keys::number_at(key, 1).map(DirId).ok_or(StoreError::Damaged { what: "a hindrance's key" })
        };
        self.db.scan_prefix(keys::HINDRANCES).map(|row| number(&row?.0)).collect()
    }

    /// Remembers why `dir` cannot be read, or that it can.
    pub fn note_hindrance(&self, dir: DirId, row: Option<Hindrance>) -> Result<(), StoreError> {
        let key = keys::hindrance(dir);
        match row {
            Some(row) => self.db.insert(key, codec::encode(&StoredHindrance::V1(row)))?,
            None => self.db.remove(key)?,
        }
        Ok(())
    }

    /// The patterns of the last run; `None` before the first.
    pub fn patterns(&self) -> Result<Option<Patterns>, StoreError> {
        self.db.get(keys::PATTERNS)?.map(|value| decode_patterns(&value)).transpose()
    }

    /// Remembers the patterns of this run.
    pub fn note_patterns(&self, patterns: Patterns) -> Result<(), StoreError> {
        self.db.insert(keys::PATTERNS, codec::encode(&StoredPatterns::V1(patterns)))?;
        Ok(())
    }
}
