//! Directories that are owed a look at a certain time: the confirming listings of racy ones.
//!
//! What came into such a directory in the tick of its last listing shows in nothing but a listing. So these looks do
//! not wait in the schedule's order, nor for the budget: they are the first that are taken when their time has come.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Spreading, Timestamp};
use crate::store::DirId;

/// At most one appointment for each directory.
#[derive(Debug, Default)]
pub(super) struct Appointments {
    order: BTreeSet<(Timestamp, DirId)>,
    times: HashMap<DirId, Timestamp, Spreading>,
}

impl Appointments {
    /// Makes one, instead of an earlier one with the same directory.
    pub(super) fn make(&mut self, dir: DirId, at: Timestamp) {
        self.cancel(dir);
        self.times.insert(dir, at);
        self.order.insert((at, dir));
    }

    /// Takes one off.
    pub(super) fn cancel(&mut self, dir: DirId) {
        if let Some(at) = self.times.remove(&dir) {
            self.order.remove(&(at, dir));
        }
    }

    /// Takes the one that was to be kept first, if its time has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<DirId> {
        let (_, dir) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.cancel(dir);
        Some(dir)
    }

    /// When the next one is.
    #[must_use]
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_has_one_and_they_are_kept_in_order() {
        let at = |seconds| Timestamp { seconds, nanoseconds: 0 };
        let mut appointments = Appointments::default();
        for (dir, seconds) in [(1, 30), (2, 10), (3, 20), (2, 40), (4, 15)] {
            appointments.make(DirId(dir), at(seconds));
        }
        appointments.cancel(DirId(4));
        appointments.cancel(DirId(5));
        assert_eq!((appointments.len(), appointments.next()), (3, Some(at(20))));
        assert_eq!(appointments.take_due(at(19)), None);
        let kept: Vec<_> = std::iter::from_fn(|| appointments.take_due(at(40))).collect();
        assert_eq!(kept, [DirId(3), DirId(1), DirId(2)]);
        assert_eq!((appointments.len(), appointments.next()), (0, None));
    }
}
