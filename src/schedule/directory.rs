//! What is known of one directory, packed: its estimates, its places in the tree and in the queues, when it was looked at.
//!
//! All in one place: a decision at a million directories is as dear as the lines of memory that it touches.

use super::deadlines::DeadlinePlace;
use super::keys::KeyPlace;
use super::rate::Rate;
use super::terms::Slot;
use super::weights::Class;
use crate::model::Timestamp;

pub(super) const NONE: u32 = u32::MAX;

/// Was looked at.
pub(super) const LOOKED: u8 = 1;
/// A look at it is under way.
pub(super) const TAKEN: u8 = 2;
/// Was made while its parent was watched.
pub(super) const HEIR: u8 = 4;
/// Directories were found in it.
pub(super) const HOLDS: u8 = 8;
/// Was looked at more than once.
pub(super) const AGAIN: u8 = 16;
/// Its slot is not in use.
pub(super) const FREE: u8 = 32;

/// What is known of one directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory {
    pub(super) rate: Rate,
    /// When its last look began, in milliseconds modulo 2^32.
    pub(super) last: u32,
    pub(super) parent: u32,
    /// Whose counts the next directory found in it starts from.
    pub(super) model: u32,
    pub(super) key: KeyPlace,
    pub(super) deadline: DeadlinePlace,
    /// RPCs beside the GETATTR and the new names, when it has changed.
    pub(super) listing: u16,
    /// How many looks showed arrivals.
    pub(super) evidence: u8,
    pub(super) flags: u8,
}

impl Directory {
    /// A directory of which nothing is known, in no queue.
    pub(super) fn new(parent: Option<Slot>) -> Self {
        Self {
            rate: Rate::default(),
            last: 0,
            parent: parent.map_or(NONE, |slot| slot.0),
            model: NONE,
            key: KeyPlace::NONE,
            deadline: DeadlinePlace::NONE,
            listing: 0,
            evidence: 0,
            flags: 0,
        }
    }

    pub(super) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    /// Seconds since its last look began; zero if it was never looked at.
    pub(super) fn silent(&self, now: f64) -> f64 {
        let elapsed = milliseconds(now).wrapping_sub(self.last);
        // A look that began after `now`, by a late report of another: not 49 days ago.
        if !self.is(LOOKED) || elapsed > u32::MAX / 2 { 0.0 } else { f64::from(elapsed) / 1000.0 }
    }

    pub(super) fn class(&self) -> Class {
        Class {
            count: self.rate.longest(),
            holds_directories: self.is(HOLDS),
            heir: self.is(HEIR).then_some(self.evidence),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are right until the year 2250")]
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanoseconds) * 1e-9
}

/// `seconds` as a time, at most two microseconds later: never earlier, or who waits until then would come too soon.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both parts are in range")]
pub(super) fn timestamp(seconds: f64) -> Timestamp {
    let seconds = seconds + 1e-6;
    let whole = seconds.floor();
    Timestamp { seconds: whole as i64, nanoseconds: ((seconds - whole) * 1e9) as u32 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "modulo 2^32 is meant")]
pub(super) fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1000.0) as u64 as u32
}
