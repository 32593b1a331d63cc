//! What the schedule has learnt, as it encodes it: a few bytes a directory, 64 directories to a row, and its clock.
//!
//! Worth keeping, not worth a flush: after a crash some minutes of learning are lost, nothing else.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{DirId, RootId, Store, StoreError, codec, keys};

/// Directories in a row.
pub const LEARNT_A_ROW: u64 = 64;

/// What was learnt of the directories of one row, each with its place in it.
#[derive(Serialize, Deserialize)]
enum StoredRow {
    V1(Vec<(u8, serde_bytes::ByteBuf)>),
}

#[derive(Serialize, Deserialize)]
enum StoredClock {
    V1(serde_bytes::ByteBuf),
}

impl Store {
    /// Writes what was learnt of the directories with the numbers `row * 64 ..`, in place of what was there.
    ///
    /// It reaches the disk with the next commit, or within a second.
    pub fn put_learnt(&self, root: RootId, row: u64, learnt: &[(DirId, Vec<u8>)]) -> Result<(), StoreError> {
        let key = keys::learnt(root, row);
        if learnt.is_empty() {
            self.db.remove(key)?;
            return Ok(());
        }
        let place = |id: DirId| u8::try_from(id.0 % LEARNT_A_ROW).unwrap_or_default();
        let rows = learnt.iter().map(|(id, bytes)| (place(*id), serde_bytes::ByteBuf::from(bytes.clone())));
        self.db.insert(key, codec::encode(&StoredRow::V1(rows.collect())))?;
        Ok(())
    }

    /// Writes the clock of a root's schedule.
    pub fn put_schedule_clock(&self, root: RootId, clock: &[u8]) -> Result<(), StoreError> {
        let clock = StoredClock::V1(serde_bytes::ByteBuf::from(clock));
        self.db.insert(keys::schedule_clock(root), codec::encode(&clock))?;
        Ok(())
    }

    /// The clock of a root's schedule; `None` if none was written.
    pub fn schedule_clock(&self, root: RootId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(value) = self.db.get(keys::schedule_clock(root))? else { return Ok(None) };
        let StoredClock::V1(clock) = codec::decode(&value, "a schedule's clock")?;
        Ok(Some(clock.into_vec()))
    }

    /// What was learnt of the directories of a root.
    pub fn learnt(&self, root: RootId) -> Result<HashMap<DirId, Vec<u8>>, StoreError> {
        let mut found = HashMap::new();
        for entry in self.db.scan_prefix(keys::learnt_of(root)) {
            let (key, value) = entry?;
            let row = keys::number_at(&key, 5).ok_or(StoreError::Damaged { what: "a schedule's key" })?;
            let StoredRow::V1(rows) = codec::decode(&value, "a schedule's row")?;
            let id = |place: u8| DirId(row * LEARNT_A_ROW + u64::from(place));
            found.extend(rows.into_iter().map(|(place, bytes)| (id(place), bytes.into_vec())));
        }
        Ok(found)
    }
}
