//! How many bytes of the journal sinks still have to get: what `--outbox-max` bounds.
//!
//! Counted in blocks of handovers, so that a sink that is away for weeks costs some bytes of memory for each block and
//! not for each file. Where a block begins is already behind the cursor, it counts whole.

use std::collections::BTreeMap;

use super::{Store, StoreError, keys};
use crate::model::Seq;

/// Handovers of a block.
const BLOCK: Seq = 64;

/// Bytes of the journal by block.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    blocks: BTreeMap<Seq, u64>,
    bytes: u64,
    /// What comes after this seq is in `blocks`; `None` until somebody asked.
    after: Option<Seq>,
}

impl Outbox {
    /// Counts a new handover.
    pub(super) fn add(&mut self, seq: Seq, bytes: u64) {
        if self.after.is_some() {
            self.count(seq, bytes);
        }
    }

    fn count(&mut self, seq: Seq, bytes: u64) {
        *self.blocks.entry(seq / BLOCK).or_default() += bytes;
        self.bytes += bytes;
    }

    /// Drops what is up to `confirmed`.
    fn confirm(&mut self, confirmed: Seq, head: Seq) {
        let first = if confirmed >= head { Seq::MAX } else { (confirmed + 1) / BLOCK };
        while let Some(block) = self.blocks.first_entry().filter(|block| *block.key() < first) {
            self.bytes -= block.remove();
        }
        self.after = Some(confirmed);
    }
}

impl Store {
    /// Bytes of what one of `sinks` has not confirmed, and which of them is furthest behind.
    ///
    /// The first call reads all of that; later ones cost a look at each cursor. A cursor that went back is read anew.
    pub fn outbox<'a>(&self, sinks: &[&'a str]) -> Result<(u64, Option<&'a str>), StoreError> {
        let mut last: Option<(Seq, &str)> = None;
        for sink in sinks {
            let confirmed = self.cursor(sink)?.map_or(0, |cursor| cursor.confirmed);
            if last.is_none_or(|(least, _)| confirmed < least) {
                last = Some((confirmed, sink));
            }
        }
        let Some((confirmed, sink)) = last else { return Ok((0, None)) };
        let mut writer = self.writer();
        let head = writer.head;
        if writer.outbox.after.is_none_or(|after| after > confirmed) {
            writer.outbox = Outbox::default();
            if confirmed < head {
                for row in self.db.range(keys::journal(confirmed + 1, 0)..=keys::journal(head, u16::MAX)) {
                    let (key, value) = row?;
                    let seq =
                        keys::number_at(&key, 1).ok_or(StoreError::Damaged { what: "a handover's key" })?;
                    writer.outbox.count(seq, (key.len() + value.len()) as u64);
                }
            }
        }
        writer.outbox.confirm(confirmed, head);
        Ok((writer.outbox.bytes, Some(sink)))
    }
}
