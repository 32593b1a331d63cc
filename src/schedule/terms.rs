//! What the schedule and its callers tell each other: terms, sightings, outlooks.
//!
//! Plain values without behaviour. Times are steady times of our own clock.

use std::time::Duration;

use crate::model::Timestamp;

/// A directory's number in the schedule: dense, given again after its directory was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// How many RPCs a second may be spent in the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Twice the least that keeps the promise: two looks at every directory a promised interval.
    Auto,
    /// So many RPCs a second.
    PerSecond(f64),
}

/// What the schedule has to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The longest time between the beginnings of two looks at the same directory.
    pub promise: Duration,
    /// The mean rate of RPCs.
    pub budget: Budget,
}

/// What one look at a directory showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sighting {
    /// Files that are news. On a directory's first look they are as old as they please and say nothing of its rate.
    pub arrivals: u32,
    /// Whether the stamp differed from the last one, or there was none.
    pub changed: bool,
    /// How long before the look the directory last changed, as far as the server's stamps tell.
    pub changed_ago: Option<Duration>,
    /// What the look cost, its GETATTR and its listing included.
    pub rpcs: u32,
    /// What its files cost beside: each of them once, however often the directory is looked at.
    pub file_rpcs: u32,
}

impl Sighting {
    /// RPCs in all.
    pub(crate) fn cost(&self) -> u32 {
        self.rpcs.saturating_add(self.file_rpcs)
    }
}

/// What the schedule knows and expects of a directory: for `status`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// The files a second expected right after its last look.
    pub rate: f64,
    /// The time between two looks that this earns at today's price, as far as the bound allows.
    pub period: Duration,
    /// When its last look began, one that failed too; `None` until the first has succeeded.
    pub last_look: Option<Timestamp>,
}
