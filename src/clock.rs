//! The one file that reads a clock. Everything else is given `now`.
//!
//! Two readings, never mixed: *steady* time decides (what is due, how long a file has been still), *wall* time is
//! told to people (`detected_at`). The server's clock is a third, which is compared with neither.

use std::time::{Duration, Instant, SystemTime};

use crate::model::Timestamp;

/// Both readings of our clock at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time that only moves forward, also from one run to the next; an offset from the wall clock is possible.
    pub steady: Timestamp,
    /// What the wall clock says; may step when it is set.
    pub wall: Timestamp,
}

/// The wall clock alone, for those who only tell people since when.
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// How long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to count.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since then.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Our clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    steady_at_start: Timestamp,
}

impl Clock {
    /// Starts steady time at the wall clock, but not before `last`, the steady time at which the last run ended:
    /// what was "5 s ago" then is not in the future now, though the clock was set back in between.
    #[must_use]
    pub fn start(last: Option<Timestamp>) -> Self {
        let wall = wall();
        Self { started: Instant::now(), steady_at_start: last.map_or(wall, |last| last.max(wall)) }
    }

    /// Reads both.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { steady: self.steady_at_start.plus(self.started.elapsed()), wall: wall() }
    }
}
