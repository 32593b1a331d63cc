//! What an operator changes in the store, and what is checked of it: no agent may be at work on it.

use std::collections::HashSet;

use crate::model::{Seq, Timestamp, Totals};

use super::journal::{self, SinkCursor};
use super::medium::Batch;
use super::{Store, StoreError, codec, keys};

/// What a sink is to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeued {
    /// The first handover; all after it follow.
    pub first: Seq,
    /// How many.
    pub count: u64,
}

impl Store {
    /// The first handover in the journal that was detected at `since` (wall time) or later.
    pub fn first_since(&self, since: Timestamp) -> Result<Option<Seq>, StoreError> {
        /// Handovers read at once.
        const AT_ONCE: usize = 1000;
        let mut after = 0;
        loop {
            let handovers = self.journal(after, AT_ONCE)?;
            if let Some(found) = handovers.iter().find(|handover| handover.detected_at >= since) {
                return Ok(Some(found.seq));
            }
            match handovers.last() {
                Some(last) => after = last.seq,
                None => return Ok(None),
            }
        }
    }

    /// Moves the cursor of `sink` back so that `first` and all after it are sent again, if they are behind it; what the
    /// sink refused of these is no longer listed. `None` if there is nothing of that.
    pub fn requeue(&self, sink: &str, first: Seq) -> Result<Option<Requeued>, StoreError> {
        let first = first.max(self.oldest()?).max(1);
        let Some(SinkCursor { confirmed }) = self.cursor(sink)? else { return Ok(None) };
        if first > confirmed {
            return Ok(None);
        }
        // First of all: of this and the row the greater holds.
        self.note_confirmed(sink, first - 1)?;
        self.db.sync_confirmed(sink, &self.agent_id)?;
        let mut batch = Batch::default();
        batch.insert(keys::cursor(sink), codec::encode(&SinkCursor { confirmed: first - 1 }));
        batch.insert(keys::attached(sink), codec::encode(&self.attached_after(sink)?.min(first - 1)));
        for (name, refused) in self.refused()? {
            if name == sink && refused.seq >= first {
                batch.remove(keys::refused(sink, refused.seq));
            }
        }
        self.db.apply_batch(batch)?;
        self.make_durable()?;
        Ok(Some(Requeued { first, count: confirmed + 1 - first }))
    }

    /// Raises each figure of the ledger to that of `found` where that is more.
    pub fn adopt(&self, found: &Totals) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let (mut batch, head, commits) = (Batch::default(), writer.head, writer.commits + 1);
        writer.ledger.raise(found, head, &self.db)?;
        batch.insert(keys::COMMITS, codec::encode(&commits));
        self.db.apply_batch(batch)?;
        self.make_durable()?;
        self.db.note(commits)?;
        writer.commits = commits;
        Ok(())
    }

    /// Reads every row and compares what must agree; tells what does not.
    pub fn verify(&self) -> Result<Vec<String>, StoreError> {
        let mut faults = Vec::new();
        let head = self.head();
        let roots: HashSet<_> = self.roots()?.into_iter().map(|(id, _)| id).collect();
        let mut directories = HashSet::new();
        for entry in self.directories() {
            let (id, row) = entry?;
            if !roots.contains(&row.root) {
                faults.push(format!("directory {} belongs to no known root", id.0));
            }
            if row.parent.is_some_and(|parent| !directories.contains(&parent)) {
                faults.push(format!("directory {} has no parent", id.0));
            }
            directories.insert(id);
        }
        for row in self.db.scan_prefix(b"s") {
            let dir = keys::number_at(&row?.0, 1).ok_or(StoreError::Damaged { what: "a run's key" })?;
            if !directories.contains(&super::DirId(dir)) {
                faults.push(format!("files of an unknown directory {dir}"));
            }
        }
        for dir in &directories {
            for file in self.known(*dir)?.into_iter().filter(|known| known.file.seq > head) {
                faults.push(format!("file {} is ahead of the journal", file.file.name.escape_ascii()));
            }
        }
        self.verify_journal(head, &mut faults)?;
        self.waiting()?;
        Ok(faults)
    }

    fn verify_journal(&self, head: Seq, faults: &mut Vec<String>) -> Result<(), StoreError> {
        journal::each_after(&self.db, 0, head, |_| ())?;
        for entry in self.db.scan_prefix(keys::CURSORS) {
            let (key, value) = entry?;
            let cursor: SinkCursor = codec::decode(&value, "a sink's cursor")?;
            if cursor.confirmed > head {
                let sink = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
                faults.push(format!("sink {sink} has confirmed {} of {head}", cursor.confirmed));
            }
        }
        self.refused()?;
        Ok(())
    }
}
