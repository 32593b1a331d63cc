//! Pauses intake while the outbox is full (`--outbox-max`), so that a sink that is away does not fill the disk.
//!
//! Paused is reading, and with it handing over; directories are looked at as ever. A listing that shows something to
//! read is not taken as whole: the directory keeps its old stamp, and is listed again until what is new could be read.
//! So nothing has to be remembered of these files, in memory or on disk, and a restart forgets none. Files that must
//! look the same twice go on waiting, up to a bound.

use super::engine::Engine;
use super::job::{FileTask, Read};
use crate::clock::Now;
use crate::event::Event;
use crate::store::{DirId, StoreError};

/// Waiting files from which on a paused intake takes up no more: they are held in memory.
const MAX_WAITING: usize = 100_000;

/// Intake resumes when so many parts of four of the bound are left, not to go on and off with each message.
const RESUME_AT: u64 = 3;

impl Engine {
    /// Weighs the outbox if its verdict may change; at its bound intake pauses, and resumes by itself when a quarter of it
    /// is free.
    pub(super) fn weigh_outbox(&mut self) -> Result<(), StoreError> {
        let head = self.store.head();
        // It grows by handovers; where a cursor went back, the next one tells.
        if !self.paused && self.weighed == Some(head) {
            return Ok(());
        }
        self.weighed = Some(head);
        let (bytes, sink) = self.store.outbox(&self.settings.sinks)?;
        let bound = self.settings.outbox_max;
        if !self.paused && bytes >= bound {
            self.paused = true;
            let sink = sink.unwrap_or_default().to_owned();
            self.reporter.emit(&Event::IntakePaused { bytes, bound, sink });
        } else if self.paused && bytes <= bound / 4 * RESUME_AT {
            self.paused = false;
            self.reporter.emit(&Event::IntakeResumed { bytes, bound });
        }
        Ok(())
    }

    /// Whether a file is not to be looked at now.
    pub(super) fn is_put_off(&self, task: &FileTask) -> bool {
        self.paused && (task.read != Read::Never || self.waiting.len() >= MAX_WAITING)
    }

    /// Leaves what a listing showed for a later listing of the directory.
    pub(super) fn put_off_news(&mut self, dir: DirId, now: Now) {
        let Some(mut pass) = self.passes.remove(&dir) else { return };
        let before = pass.todo.len();
        pass.todo.retain(|task| !self.is_put_off(task));
        pass.conclusive &= pass.todo.len() == before;
        self.passes.insert(dir, pass);
        self.finish_pass_if_done(dir, now);
    }
}
