//! Our schedule as a policy: the very code that the agent runs, on virtual time.

use std::time::Duration;

use nfs_scout::model::Timestamp;
use nfs_scout::schedule::Schedule;
use nfs_scout::schedule::{Budget, Sighting, Slot, Terms};

use crate::policies::Policy;
use crate::script::{Dir, Frame};
use crate::server::Look;

/// Any time will do as the start; one that is not 0 shows code that takes 0 for "never".
const START: i64 = 1_000_000;

/// Our schedule.
pub(crate) struct Ours {
    schedule: Schedule,
    slots: Vec<Option<Slot>>,
    directories: Vec<Dir>,
}

impl Ours {
    /// A schedule that knows nothing, with the budget and the bound of the frame.
    pub(crate) fn new(frame: &Frame, directories: usize, seed: u64) -> Self {
        let terms = Terms {
            promise: Duration::from_secs_f64(frame.promise),
            budget: Budget::PerSecond(frame.budget),
        };
        Self { schedule: Schedule::new(terms, seed), slots: vec![None; directories], directories: Vec::new() }
    }

    fn slot(&self, dir: Dir) -> Slot {
        self.slots[dir as usize].expect("the engine names only directories that it has inserted")
    }
}

impl Policy for Ours {
    fn insert(&mut self, dir: Dir, parent: Option<Dir>, now: f64) {
        let parent = parent.and_then(|parent| self.slots[parent as usize]);
        let slot = self.schedule.insert(parent, timestamp(now));
        self.slots[dir as usize] = Some(slot);
        let at = slot.0 as usize;
        if self.directories.len() <= at {
            self.directories.resize(at + 1, 0);
        }
        self.directories[at] = dir;
    }

    fn remove(&mut self, dir: Dir) {
        let slot = self.slot(dir);
        self.slots[dir as usize] = None;
        self.schedule.remove(slot);
    }

    fn take(&mut self, now: f64) -> Option<Dir> {
        let slot = self.schedule.take_due(timestamp(now))?;
        Some(self.directories[slot.0 as usize])
    }

    fn next(&self) -> f64 {
        self.schedule.next_due().map_or(f64::INFINITY, seconds)
    }

    fn looked(&mut self, dir: Dir, began: f64, look: &Look) {
        let sighting = Sighting {
            arrivals: look.arrivals,
            changed: look.changed,
            changed_ago: look.changed_ago.map(|ago| Duration::from_secs_f64(ago.max(0.0))),
            rpcs: look.rpcs - look.arrivals,
            file_rpcs: look.arrivals,
        };
        self.schedule.looked(self.slot(dir), timestamp(began), &sighting);
    }
}

/// Virtual time as the schedule reads it.
pub(crate) fn timestamp(at: f64) -> Timestamp {
    let nanoseconds = (at * 1e9).round() as i64;
    Timestamp {
        seconds: START + nanoseconds.div_euclid(1_000_000_000),
        nanoseconds: nanoseconds.rem_euclid(1_000_000_000) as u32,
    }
}

/// Virtual time of the schedule in seconds from the start.
pub(crate) fn seconds(at: Timestamp) -> f64 {
    ((at.seconds - START) * 1_000_000_000 + i64::from(at.nanoseconds)) as f64 / 1e9
}
