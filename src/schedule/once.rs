//! Going on where another process stopped: restarts, and one-shot runs that spend a few looks where they are worth most.
//!
//! A one-shot run looks at each directory once at most. Which period it runs at is learnt from when it was run, so that
//! it knows whose bound would be broken before the next run.

use super::adaptive::Schedule;
use super::directory::{AGAIN, HEIR, HOLDS, LOOKED, NONE, milliseconds, seconds, timestamp};
use super::price::Price;
use super::rate::Rate;
use super::saved::{Saved, SavedClock};
use super::terms::Slot;
use crate::model::Timestamp;

/// How much a new distance between two runs counts against those before.
const NEWS: f64 = 0.3;

/// What is kept of a directory's flags.
const KEPT: u8 = LOOKED | AGAIN | HEIR | HOLDS;

impl Schedule {
    /// Adds a directory as [`Schedule::save`] had it, `parent` before its children; to be called after
    /// [`Schedule::restore_clock`].
    pub fn restore(&mut self, parent: Option<Slot>, saved: &Saved, now: Timestamp) -> Slot {
        let now = self.observe(now);
        let slot = self.allocate(parent);
        if let Some(parent) = self.in_use_mut(parent.map_or(NONE, |parent| parent.0)) {
            parent.model = slot;
        }
        if let Some(directory) = self.in_use_mut(slot) {
            directory.rate = Rate { counts: saved.counts, age: saved.age };
            directory.evidence = saved.evidence;
            directory.listing = saved.listing;
            directory.flags = saved.flags & KEPT;
        }
        if saved.flags & LOOKED == 0 {
            self.first_look(slot, now);
            return Slot(slot);
        }
        // Times further back than the clock of looks goes round count as that far back.
        let last = whole(saved.last).clamp(now - LONGEST_SILENCE, now);
        if let Some(directory) = self.in_use_mut(slot) {
            directory.last = milliseconds(last);
        }
        // Restored all together, as if by first looks.
        self.set_deadline(slot, last, f64::INFINITY, now);
        self.plan(slot, now);
        Slot(slot)
    }

    /// What is to be kept of a directory.
    #[must_use]
    pub fn save(&self, Slot(slot): Slot) -> Saved {
        let Some(directory) = self.in_use(slot) else { return Saved::default() };
        let last = if directory.is(LOOKED) { self.now - directory.silent(self.now) } else { 0.0 };
        Saved {
            last: fraction(last),
            counts: directory.rate.counts,
            age: directory.rate.age,
            evidence: directory.evidence,
            listing: directory.listing,
            flags: directory.flags & KEPT,
        }
    }

    /// What is to be kept of all directories together.
    #[must_use]
    pub fn save_clock(&self) -> SavedClock {
        let (base, classes) = self.weights.save();
        SavedClock {
            price: self.price.seconds(),
            base,
            classes,
            last_run: self.runs.last.map(fraction),
            runs_every: self.runs.every,
        }
    }

    /// Goes on with what [`Schedule::save_clock`] kept; to be called before any directory is there.
    pub fn restore_clock(&mut self, saved: &SavedClock) {
        self.price = Price::new(saved.price);
        self.weights.restore(saved.base, &saved.classes);
        self.runs.last = saved.last_run.map(whole);
        self.runs.every = saved.runs_every;
    }

    /// Tells how many directories will be restored, before the first of them: else the first ones would be planned as if
    /// they were all there is, with deadlines far too early, and all of these together would make others late.
    pub fn expect(&mut self, directories: usize) {
        self.expected = u32::try_from(directories).unwrap_or(u32::MAX);
    }

    /// Notes that a one-shot run begins, and tells when the next is to be expected: after as long as between the last
    /// ones, or as long as is promised if this is the first.
    pub fn begin_run(&mut self, now: Timestamp) -> Timestamp {
        let now = self.observe(now);
        if let Some(last) = self.runs.last.replace(now) {
            let distance = (now - last).max(0.0);
            self.runs.every =
                Some(self.runs.every.map_or(distance, |every| every + (distance - every) * NEWS));
        }
        timestamp(now + self.runs.every.unwrap_or(self.terms.promise.as_secs_f64()))
    }

    /// Takes a directory that a one-shot run owes a look: what was never looked at, then what would break its bound
    /// before `next_run`. The caller tells what came of the looks at the end of the run: so none is given twice.
    pub fn take_owed(&mut self, now: Timestamp, next_run: Timestamp) -> Option<Slot> {
        self.observe(now);
        let next_run = seconds(next_run);
        self.runs.next = Some(next_run);
        let slot = match self.deadlines.first_at_once(&self.directories) {
            Some(slot) => slot,
            None if self.deadlines.first_time()? <= next_run => {
                self.deadlines.first(&mut self.directories)?
            }
            None => return None,
        };
        Some(self.take(slot))
    }

    /// Takes the directory most worth a look in a one-shot run, after [`Schedule::take_owed`] has nothing more to give.
    pub fn take_worth(&mut self, now: Timestamp) -> Option<Slot> {
        self.observe(now);
        // The virtual clock stands: a run spends at its caller's pace, which says nothing of the price.
        let (_, slot) = self.keys.first(&mut self.directories)?;
        Some(self.take(slot))
    }
}

/// The longest time that the clock of looks can tell: 24 days.
const LONGEST_SILENCE: f64 = 2_000_000.0;

/// Milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "steady times are positive")]
fn fraction(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn whole(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}
