//! Looks at every directory once an interval.
//!
//! The bound is what is promised: a directory's next look is due a little before its interval ends, by a different
//! margin each time, so that looks spread out and none comes late for waiting in a queue.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::model::Timestamp;

/// The earliest a look comes, in thousandths of the interval.
const EARLIEST: u64 = 900;

/// The latest a look is due, in thousandths of the interval: the rest is for waiting and for the look itself.
const LATEST: u64 = 980;

/// Which directory is due when. Directories are the caller's numbers.
#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    random: u64,
    order: BTreeSet<(Timestamp, u64)>,
    due: HashMap<u64, Timestamp>,
}

impl Schedule {
    /// An empty schedule that promises a look every `interval`; the same `seed` gives the same order.
    #[must_use]
    pub fn new(interval: Duration, seed: u64) -> Self {
        Self { interval, random: seed, order: BTreeSet::new(), due: HashMap::new() }
    }

    /// Makes `directory` due at `at`, unless it is due earlier already.
    pub fn at_latest(&mut self, directory: u64, at: Timestamp) {
        if self.due.get(&directory).is_none_or(|due| *due > at) {
            self.set(directory, at);
        }
    }

    /// Forgets `directory`.
    pub fn remove(&mut self, directory: u64) {
        if let Some(due) = self.due.remove(&directory) {
            self.order.remove(&(due, directory));
        }
    }

    /// Forgets every directory.
    pub fn clear(&mut self) {
        self.order.clear();
        self.due.clear();
    }

    /// Takes the directory that has been due longest. It is not due again before [`Schedule::looked`].
    pub fn take_due(&mut self, now: Timestamp) -> Option<u64> {
        let (_, directory) = self.order.first().copied().filter(|(due, _)| *due <= now)?;
        self.remove(directory);
        Some(directory)
    }

    /// When the next directory is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Notes that a look at `directory` began, or failed, at `at`.
    ///
    /// One that failed is not put off for longer: what is there when the fault ends is due within the interval.
    pub fn looked(&mut self, directory: u64, at: Timestamp) {
        let wait = self.spread();
        self.set(directory, at.plus(wait));
    }

    fn set(&mut self, directory: u64, due: Timestamp) {
        self.remove(directory);
        self.due.insert(directory, due);
        self.order.insert((due, directory));
    }

    /// The interval less a random margin.
    fn spread(&mut self) -> Duration {
        let thousandths = EARLIEST + self.next_random() % (LATEST - EARLIEST + 1);
        self.interval.saturating_mul(u32::try_from(thousandths).unwrap_or(1000)) / 1000
    }

    /// `SplitMix64`: good enough to spread looks, the same everywhere.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    #[test]
    fn a_new_directory_is_due_at_once_and_then_within_the_interval() {
        let mut schedule = Schedule::new(Duration::from_secs(100), 1);
        schedule.at_latest(7, at(0));
        assert_eq!(schedule.take_due(at(0)), Some(7));
        assert_eq!(schedule.take_due(at(1000)), None, "taken until looked at");
        schedule.looked(7, at(0));
        assert_eq!(schedule.take_due(at(89)), None);
        assert_eq!(schedule.take_due(at(98)), Some(7));
    }

    #[test]
    fn an_earlier_appointment_wins() {
        let mut schedule = Schedule::new(Duration::from_secs(100), 1);
        schedule.looked(7, at(0));
        schedule.at_latest(7, at(2));
        schedule.at_latest(7, at(50));
        assert_eq!(schedule.next_due(), Some(at(2)));
        schedule.remove(7);
        assert_eq!(schedule.next_due(), None);
    }

    proptest! {
        #[test]
        fn no_directory_goes_unlooked_for_longer_than_the_interval(seed: u64, count in 1..50_u64) {
            let mut schedule = Schedule::new(Duration::from_secs(60), seed);
            let mut last: HashMap<u64, i64> = HashMap::new();
            for directory in 0..count {
                schedule.at_latest(directory, at(0));
                last.insert(directory, 0);
            }
            for second in 0..600 {
                while let Some(directory) = schedule.take_due(at(second)) {
                    let before = last.insert(directory, second).unwrap();
                    prop_assert!(second - before <= 60);
                    schedule.looked(directory, at(second));
                }
            }
            prop_assert!(last.values().all(|looked| 600 - looked <= 60));
        }
    }
}
