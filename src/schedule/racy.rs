//! The racy directory: one whose stamp was young when it was listed.
//!
//! A server's stamps tick coarsely: 1 to 10 ms, whole seconds on some. A name created after a listing but in the same
//! tick leaves the stamp as it was, and a poller that trusts the stamp never sees it. So such a directory is listed
//! once more when its stamp has aged. How old a stamp is cannot be told by our clock, which is another; it can be told
//! by the server's own later stamps, or by our having seen the same stamp for long enough.

use std::time::Duration;

use crate::model::{Stamp, Timestamp};

/// The age at which a stamp proves something while the tick is not measured: more than the coarsest known (two
/// seconds, FAT's).
pub const MAX_RACY_AGE: Duration = Duration::from_millis(2_100);

/// The least age believed in, however fine the ticks look.
const MIN_RACY_AGE: Duration = Duration::from_millis(50);

/// What the server's clock is known to have passed: its newest change time seen.
///
/// Only change times: they are the server's own, while anyone can set a modification time to next year.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerTime {
    newest: Option<Timestamp>,
    /// Our steady time at which that was first seen.
    newest_seen: Timestamp,
    last: Option<Timestamp>,
    tick: Option<Duration>,
    /// Whether the stamps are of several clocks.
    mixed: bool,
}

impl ServerTime {
    /// For stamps that may be of several servers or file systems: nothing is told by comparing them.
    #[must_use]
    pub fn mixed() -> Self {
        Self { mixed: true, ..Self::default() }
    }

    /// Notes a stamp that the server gave at our steady time `at`.
    pub fn observe(&mut self, stamp: &Stamp, at: Timestamp) {
        if self.newest.is_none_or(|newest| newest < stamp.ctime) {
            (self.newest, self.newest_seen) = (Some(stamp.ctime), at);
        }
        if let Some(last) = self.last.replace(stamp.ctime) {
            let distance = last.since(stamp.ctime).max(stamp.ctime.since(last));
            if !distance.is_zero() {
                self.tick = Some(self.tick.map_or(distance, |tick| tick.min(distance)));
            }
        }
    }

    /// The age at which a stamp proves something: twice the tick.
    ///
    /// Two change times that differ are at least one tick apart, so the least distance seen is no less than the tick.
    #[must_use]
    pub fn racy_age(&self) -> Duration {
        let tick = self.tick.filter(|_| !self.mixed).unwrap_or(MAX_RACY_AGE);
        (tick * 2).clamp(MIN_RACY_AGE, MAX_RACY_AGE)
    }

    /// Notes that a directory's stamp moved: if to an earlier time than known, the server's clock was set back and
    /// what was known of it is worth nothing.
    pub fn observe_change(&mut self, stamp: &Stamp, at: Timestamp) {
        if self.newest.is_some_and(|newest| newest.since(stamp.ctime) > MAX_RACY_AGE) {
            self.newest = None;
        }
        self.observe(stamp, at);
    }

    /// How long ago the server modified what has this stamp, at our steady time `now`: at least; `None` if it cannot
    /// be told.
    #[must_use]
    pub fn age(&self, stamp: &Stamp, now: Timestamp) -> Option<Duration> {
        self.newest.map(|newest| newest.since(stamp.mtime) + now.since(self.newest_seen))
    }

    /// Whether a listing taken now, under this stamp, may have missed something.
    #[must_use]
    pub fn is_racy(&self, stamp: &Stamp) -> bool {
        let youngest = stamp.ctime.max(stamp.mtime);
        self.mixed || self.newest.is_none_or(|newest| newest < youngest.plus(self.racy_age()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(ctime: i64, mtime: i64) -> Stamp {
        let at = |seconds| Timestamp { seconds, nanoseconds: 0 };
        Stamp { ctime: at(ctime), mtime: at(mtime), ..Stamp::default() }
    }

    #[track_caller]
    fn check(observed: &[i64], directory: Stamp, racy: bool) {
        let mut time = ServerTime::default();
        for ctime in observed {
            time.observe(&stamp(*ctime, 0), Timestamp::default());
        }
        assert_eq!(time.is_racy(&directory), racy);
    }

    #[test]
    fn only_a_later_stamp_of_the_server_clears_a_directory() {
        check(&[], stamp(100, 100), true);
        check(&[100], stamp(100, 100), true);
        check(&[101], stamp(100, 100), true);
        check(&[103], stamp(100, 100), false);
        check(&[103], stamp(100, 200), true);
    }

    #[test]
    fn the_tick_is_measured_from_stamps_that_differ() {
        let mut time = ServerTime::default();
        assert_eq!(time.racy_age(), MAX_RACY_AGE);
        let at = |nanoseconds| Stamp { ctime: Timestamp { seconds: 5, nanoseconds }, ..Stamp::default() };
        for nanoseconds in [0, 0, 400_000_000, 360_000_000, 360_000_000] {
            time.observe(&at(nanoseconds), Timestamp::default());
        }
        assert_eq!(time.racy_age(), Duration::from_millis(80), "twice 40 ms");
        time.observe(&at(360_000_001), Timestamp::default());
        assert_eq!(time.racy_age(), MIN_RACY_AGE);
    }

    #[test]
    fn one_clock_says_nothing_of_another() {
        let mut time = ServerTime::mixed();
        for ctime in [100, 101, 4000] {
            time.observe(&stamp(ctime, 0), Timestamp::default());
        }
        assert!(time.is_racy(&stamp(100, 100)) && time.racy_age() == MAX_RACY_AGE);
    }

    #[test]
    fn a_clock_set_back_is_believed() {
        let mut time = ServerTime::default();
        time.observe(&stamp(4000, 0), Timestamp::default());
        assert!(!time.is_racy(&stamp(400, 400)));
        time.observe_change(&stamp(400, 400), Timestamp::default());
        assert!(time.is_racy(&stamp(400, 400)));
    }
}
