//! One listing of one directory, until everything that it showed is on record.

use super::job::FileTask;
use crate::clock::Now;
use crate::model::{Stamp, Timestamp};
use crate::schedule::Sighting;

/// A listing whose files are being looked at.
#[derive(Debug)]
pub(super) struct Pass {
    /// The directory's stamp, asked before it was listed.
    pub stamp: Stamp,
    /// Whether the listing may have missed something for the stamp's youth.
    pub racy: bool,
    /// Whether all that it showed can be put on record: the listing was complete, and no file was in other hands.
    pub conclusive: bool,
    /// When the look began.
    pub began: Now,
    /// What the look has shown so far, for the schedule.
    pub sighting: Sighting,
    /// Wall time at which the directory was last seen without the news.
    pub not_before: Option<Timestamp>,
    /// Files still to be looked at, the next one last.
    pub todo: Vec<FileTask>,
    /// Files being looked at.
    pub under_way: usize,
}

impl Pass {
    /// The next file to look at.
    pub(super) fn take(&mut self) -> Option<FileTask> {
        let task = self.todo.pop()?;
        self.under_way += 1;
        Some(task)
    }

    /// Whether every file was looked at.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.todo.is_empty() && self.under_way == 0
    }
}
