//! A medium that forgets as a disk does: for the simulation.
//!
//! What was written is one log. The end of the process keeps what was flushed and any part, from the front, of what
//! came after; a power loss keeps what was synced and any part after that. A fuse makes every call fail from the n-th
//! change on, as if the process had ended between two halves of a step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sled::IVec;

use super::StoreError;
use super::medium::Row;
use crate::model::Seq;

type Rows = BTreeMap<IVec, IVec>;
type Change = Vec<(IVec, Option<IVec>)>;

/// The disk; every clone is the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What everybody reads.
    rows: Rows,
    /// What a power loss leaves, and the changes since; the first `flushed` of them survive the end of the process.
    synced: Rows,
    log: Vec<Change>,
    flushed: usize,
    commits: Option<u64>,
    /// What sinks have, written beside the rows: what the process sees, and what was waited for.
    confirmed: BTreeMap<String, Seq>,
    synced_confirmed: BTreeMap<String, Seq>,
    /// Changes that are still done before everything fails.
    fuse: Option<u32>,
}

/// What ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The process was killed.
    Process,
    /// The machine lost its power.
    Power,
}

impl Memory {
    /// Makes everything fail after `steps` more changes; `None` repairs it.
    pub(crate) fn set_fuse(&self, steps: Option<u32>) {
        self.state().fuse = steps;
    }

    /// Whether the fuse has blown.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().fuse == Some(0)
    }

    /// Loses what `loss` takes: all that is not safe but for `kept` percent of it.
    pub(crate) fn lose(&self, loss: Loss, kept: u8) {
        let mut state = self.state();
        let safe = if loss == Loss::Process { state.flushed } else { 0 };
        let more = (state.log.len() - safe) * usize::from(kept) / 100;
        let log: Vec<Change> = state.log.drain(..).take(safe + more).collect();
        for change in log {
            apply(&mut state.synced, change);
        }
        // What is written beside outlives the process; of a power loss the system says nothing.
        if loss == Loss::Power && kept < 50 {
            state.confirmed = state.synced_confirmed.clone();
        }
        state.rows = state.synced.clone();
        state.flushed = 0;
        state.fuse = None;
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let state = self.state();
        if state.fuse == Some(0) {
            return Err(dead());
        }
        Ok(state.rows.get(key).cloned())
    }

    pub(super) fn scan(&self, first: &[u8], belongs: impl Fn(&[u8]) -> bool) -> std::vec::IntoIter<Row> {
        let state = self.state();
        if state.fuse == Some(0) {
            return vec![Err(dead())].into_iter();
        }
        let rows = state.rows.range::<IVec, _>(IVec::from(first)..).take_while(|(key, _)| belongs(key));
        rows.map(|(key, value)| Ok((key.clone(), value.clone()))).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn apply(&self, change: Change) -> Result<(), StoreError> {
        let mut state = self.step()?;
        apply(&mut state.rows, change.clone());
        state.log.push(change);
        Ok(())
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.step()?;
        state.flushed = state.log.len();
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.step()?;
        for change in std::mem::take(&mut state.log) {
            apply(&mut state.synced, change);
        }
        state.flushed = 0;
        Ok(())
    }

    pub(super) fn note(&self, commits: u64) -> Result<(), StoreError> {
        self.step()?.commits = Some(commits);
        Ok(())
    }

    pub(super) fn check(&self, commits: u64) -> Result<(), StoreError> {
        let remembered = self.state().commits;
        match remembered {
            Some(had) if had > commits => Err(StoreError::Lost { mark: "memory".into(), has: commits, had }),
            _ => self.note(commits),
        }
    }

    pub(super) fn confirmed(&self, sink: &str) -> Option<Seq> {
        self.state().confirmed.get(sink).copied()
    }

    pub(super) fn note_confirmed(&self, sink: &str, upto: Seq) -> Result<(), StoreError> {
        self.step()?.confirmed.insert(sink.to_owned(), upto);
        Ok(())
    }

    pub(super) fn sync_confirmed(&self, sink: &str) -> Result<(), StoreError> {
        let mut state = self.step()?;
        if let Some(upto) = state.confirmed.get(sink).copied() {
            state.synced_confirmed.insert(sink.to_owned(), upto);
        }
        Ok(())
    }

    fn step(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        match &mut state.fuse {
            Some(0) => return Err(dead()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(rows: &mut Rows, change: Change) {
    for (key, value) in change {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
}

fn dead() -> StoreError {
    StoreError::Sync { source: std::io::Error::other("the simulated process has ended") }
}
