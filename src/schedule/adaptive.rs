//! Which directory to look at next, so that files are found soonest for the RPCs that may be spent.
//!
//! The theory in short. Files come to directory `i` at rate `r_i`; looked at every `s_i` seconds it costs `1 / s_i` RPCs
//! a second and its files wait `s_i / 2` in the mean. The least mean wait for a given total has `s_i = price /
//! sqrt(r_i)`: the square-root law (Sia, Cho & Cho 2007, "Efficient monitoring algorithm for fast news alerts"; for
//! freshness instead of delay Cho & Garcia-Molina 2003, Azar et al. 2018). Four parts make it work without knowing `r`:
//!
//! - `rate.rs`, `weights.rs`: what comes next is expected from exponentially weighted counts at four time scales, and
//!   which scale to trust is learnt online. A directory made while we watch starts from its elder sibling's counts,
//!   and what waited in it counts for its parent, who was looked at too late.
//! - `stride.rs`: how long to wait at a given price, for rates that fade after a burst and for listings that cost.
//! - `price.rs`, `keys.rs`: stride scheduling. Each directory has a key in virtual time, the least key is looked at
//!   next, then moves on by its stride. The speed of virtual time *is* the price, so the budget holds by itself.
//! - `promise.rs`, `deadlines.rs`: the promise. Each directory has a deadline within the bound; one that is due goes first, and all
//!   others stand back as soon as the budget is needed for deadlines. Deadlines that fall together are drawn apart.
//!
//! `purse.rs` lets looks go at the pace of the budget. Every step takes O(log N), and a directory takes 63 bytes.
//! Nothing here reads a clock, a file or a random number: the same calls with the same seed give the same looks.

use std::time::Duration;

use super::deadlines::Deadlines;
use super::directory::{
    AGAIN, Directory, FREE, HEIR, HOLDS, LOOKED, NONE, TAKEN, milliseconds, seconds, timestamp,
};
use super::keys::Keys;
use super::price::Price;
use super::promise::{MOST_COST, SPAN};
use super::purse::Purse;
use super::rate;
use super::stride;
use super::terms::{Budget, Outlook, Sighting, Slot, Terms};
use super::weights::{Span, Weights};
use crate::model::Timestamp;

/// A look that came after more of the bound than this was brought by its deadline.
const BY_DEADLINE: f64 = 0.85;

/// The part of the budget that deadlines get when they are pressing.
const SURE: f64 = 0.98;

/// Strides differ by up to this part from what they should be: equal ones would march in step.
const JITTER: f64 = 0.05;

/// Beyond so many bounds, strides need not be exact.
const KEYS_BEYOND: f64 = 2.0;

/// The least time between two looks at a directory, in seconds.
const LEAST_GAP: f64 = 0.05;

/// The part of the budget that the listings of one directory may take, and from how many RPCs on that is watched.
const LISTING_SHARE: f64 = 0.25;
const LONG_LISTING: u16 = 8;

/// How many directories are passed over at a time for being looked at too lately.
const PASSED_OVER: usize = 8;

/// One-shot runs: when this one began, when the next is due, how far apart they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Runs {
    pub(super) last: Option<f64>,
    pub(super) every: Option<f64>,
    /// Looks of this run are not repeated before then.
    pub(super) next: Option<f64>,
}

/// Which directory is looked at when: see the head of this file.
#[derive(Debug)]
pub struct Schedule {
    pub(super) terms: Terms,
    pub(super) random: u64,
    pub(super) brake: f64,
    pub(super) directories: Vec<Directory>,
    pub(super) free: Vec<u32>,
    /// Directories in use.
    pub(super) count: u32,
    /// How many there will be when all are restored; 0 once looks are taken.
    pub(super) expected: u32,
    pub(super) keys: Keys,
    pub(super) deadlines: Deadlines,
    pub(super) price: Price,
    pub(super) purse: Purse,
    pub(super) weights: Weights,
    pub(super) runs: Runs,
    /// Mean RPCs of a look that a deadline brought.
    pub(super) cold_cost: f64,
    /// When a directory may be looked at again, if none was to be when asked last.
    pub(super) keys_from: f64,
    /// When the budget is needed for deadlines, and when to count that anew.
    pub(super) pressing_from: f64,
    pub(super) count_again: f64,
    /// The latest time seen.
    pub(super) now: f64,
}

impl Schedule {
    /// An empty schedule; the same `seed` and the same calls give the same looks.
    #[must_use]
    pub fn new(terms: Terms, seed: u64) -> Self {
        let promise = terms.promise.as_secs_f64().max(0.001);
        Self {
            terms,
            random: seed,
            brake: 1.0,
            directories: Vec::new(),
            free: Vec::new(),
            count: 0,
            expected: 0,
            keys: Keys::new(),
            deadlines: Deadlines::new(promise * SPAN),
            price: Price::new(None),
            purse: Purse::default(),
            weights: Weights::new(),
            runs: Runs::default(),
            cold_cost: 1.0,
            keys_from: 0.0,
            pressing_from: 0.0,
            count_again: 0.0,
            now: 0.0,
        }
    }

    /// Adds a directory that was found just now, by a look at `parent`: due at once.
    ///
    /// Directories that a look found are added before that look is told of by [`Schedule::looked`], or right after it.
    pub fn insert(&mut self, parent: Option<Slot>, now: Timestamp) -> Slot {
        let now = self.observe(now);
        let slot = self.allocate(parent);
        if let Some(Slot(parent)) = parent {
            self.inherit(slot, parent, now);
        }
        self.first_look(slot, now);
        Slot(slot)
    }

    /// Forgets a directory. Its slot is given again.
    pub fn remove(&mut self, Slot(slot): Slot) {
        let Some(directory) = self.in_use(slot).copied() else { return };
        self.keys.remove(&mut self.directories, slot);
        self.deadlines.remove(&mut self.directories, slot);
        if let Some(parent) = self.in_use_mut(directory.parent).filter(|parent| parent.model == slot) {
            parent.model = NONE;
        }
        if let Some(directory) = self.in_use_mut(slot) {
            directory.flags = FREE;
        }
        self.free.push(slot);
        self.count -= 1;
    }

    /// Asks for a look that is owed at `at`, if none is due before. The bound stays as it is.
    ///
    /// To be called after [`Schedule::looked`] if a look is under way: that sets the next look.
    pub fn request(&mut self, Slot(slot): Slot, at: Timestamp) {
        let now = self.now;
        self.deadlines.hasten(&mut self.directories, slot, seconds(at), now);
    }

    /// Takes the directory to look at now, if there is one and the budget allows it. It is not taken again before
    /// [`Schedule::looked`] or [`Schedule::failed`].
    pub fn take_due(&mut self, now: Timestamp) -> Option<Slot> {
        let now = self.observe(now);
        self.expected = 0;
        if let Some(slot) = self.deadlines.first_at_once(&self.directories) {
            return Some(self.take(slot));
        }
        let paid = self.purse.next() <= now;
        if !paid && self.purse.next_sure() > now {
            return None;
        }
        let slot = if let Some(slot) = self.pressing(now) {
            self.purse.pay_sure(now, self.rate() * SURE);
            slot
        } else {
            if !paid {
                return None;
            }
            self.least_key(now)?
        };
        self.purse.pay_look(now, self.rate());
        Some(self.take(slot))
    }

    /// When [`Schedule::take_due`] may give a directory; `None` if only a change of the schedule can make it.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let at_once = self.deadlines.any_at_once().then_some(self.now);
        let by_key = (self.keys.len() > 0).then(|| self.purse.next().max(self.keys_from));
        let by_deadline = self.deadlines.first_time().map(|time| time.min(self.pressing_from));
        let by_deadline = by_deadline.map(|time| time.max(self.purse.next_sure()));
        let due = [at_once, by_key, by_deadline].into_iter().flatten().reduce(f64::min);
        due.map(|due| timestamp(due.max(self.now)))
    }

    /// Notes what a look showed that began at `began`, and plans the next one.
    pub fn looked(&mut self, slot: Slot, began: Timestamp, sighting: &Sighting) {
        let began = self.observe(began);
        let Some(before) = self.in_use(slot.0).copied() else { return };
        let first = !before.is(LOOKED);
        let silent = before.silent(began);
        self.charge(first, silent, sighting.cost());
        let arrivals = if first { self.meet(slot.0, sighting) } else { self.learn(slot.0, silent, sighting) };
        if let Some(directory) = self.in_use_mut(slot.0) {
            if sighting.changed && !first {
                let listing = u16::try_from(sighting.rpcs.saturating_sub(1)).unwrap_or(u16::MAX);
                directory.listing = directory.listing.midpoint(listing.saturating_add(1));
            }
            directory.set(AGAIN, !first);
            directory.set(LOOKED, true);
        }
        self.settle(slot.0, began);
        if first && arrivals > 0 && before.is(HEIR) {
            self.credit_parent(before.parent, began, arrivals);
        }
    }

    /// Notes of many that looks which began at `began` showed the same of each.
    pub fn looked_at_all(&mut self, slots: &[Slot], began: Timestamp, sighting: &Sighting) {
        // All are read together first: memory answers many questions as fast as one.
        let known = slots.iter().filter(|slot| self.in_use(slot.0).is_some()).count();
        if known == 0 {
            return;
        }
        for slot in slots {
            self.looked(*slot, began, sighting);
        }
    }

    /// Notes that a look failed that began at `began`: nothing was learnt, the next one is not put off for longer.
    pub fn failed(&mut self, Slot(slot): Slot, began: Timestamp) {
        let began = self.observe(began);
        let Some(silent) = self.in_use(slot).map(|directory| directory.silent(began)) else { return };
        if let Some(directory) = self.in_use_mut(slot) {
            directory.rate.pass(silent, &rate::decay(silent));
        }
        self.settle(slot, began);
    }

    /// Spends another budget from now on.
    pub fn set_budget(&mut self, budget: Budget) {
        self.terms.budget = budget;
    }

    /// Spends only this part of the budget, while the server is slow: above 0, at most 1.
    pub fn brake(&mut self, factor: f64) {
        self.brake = factor.clamp(0.001, 1.0);
    }

    /// What is expected of a directory.
    #[must_use]
    pub fn outlook(&self, Slot(slot): Slot) -> Outlook {
        let Some(directory) = self.in_use(slot) else {
            return Outlook { rate: 0.0, period: Duration::ZERO, last_look: None };
        };
        let forecast = self.weights.forecast(directory.class(), &directory.rate.per_second());
        let period = stride::seconds(&forecast, self.price(), f64::from(directory.listing), self.bound());
        let period = period.min(self.bound());
        Outlook {
            rate: forecast.total(),
            period: Duration::try_from_secs_f64(period).unwrap_or(self.terms.promise),
            last_look: directory.is(LOOKED).then(|| timestamp(self.now - directory.silent(self.now))),
        }
    }

    /// The files a second that a directory is expected to get for long: for `plan`.
    ///
    /// What came just now says when to look next, but of the hours to come no more than so little evidence allows (`Rate::cautious`).
    #[must_use]
    pub fn lasting_rate(&self, Slot(slot): Slot) -> f64 {
        let Some(directory) = self.in_use(slot) else { return 0.0 };
        let forecast = self.weights.forecast(directory.class(), &directory.rate.per_second());
        forecast.total().min(directory.rate.cautious(self.weights.base()))
    }

    /// The directory with the least key; the virtual clock moves there.
    fn least_key(&mut self, now: f64) -> Option<u32> {
        let memory = self.round() / 2.0;
        if self.price.seconds().is_none() {
            self.price.assume(self.price(), memory);
        }
        let mut next = f64::INFINITY;
        for _ in 0..PASSED_OVER {
            let (key, slot) = self.keys.first(&mut self.directories)?;
            let earliest = self.earliest(slot, now);
            if earliest <= now {
                self.price.move_to(key, now, memory);
                return Some(slot);
            }
            next = next.min(earliest);
            let key = self.price.key_after((earliest - now) / self.price());
            self.keys.insert(&mut self.directories, slot, key);
        }
        // Some may be behind those that were passed over.
        let all = self.keys.len() <= PASSED_OVER;
        self.keys_from = if all { next } else { next.min(now + LEAST_GAP) };
        None
    }

    /// The earliest that `slot` is looked at without a deadline: long listings take only their share of the budget.
    fn earliest(&self, slot: u32, now: f64) -> f64 {
        let Some(directory) = self.in_use(slot).filter(|directory| directory.is(LOOKED)) else { return now };
        now - directory.silent(now) + self.least_gap(directory.listing)
    }

    fn least_gap(&self, listing: u16) -> f64 {
        if listing < LONG_LISTING { LEAST_GAP } else { f64::from(listing) / (self.rate() * LISTING_SHARE) }
    }

    pub(super) fn take(&mut self, slot: u32) -> Slot {
        self.keys.remove(&mut self.directories, slot);
        self.deadlines.remove(&mut self.directories, slot);
        if let Some(directory) = self.in_use_mut(slot) {
            directory.set(TAKEN, true);
        }
        Slot(slot)
    }

    /// Pays for what a look cost beyond the RPC that was paid for when it was taken.
    ///
    /// A first look is free without a budget: the first walk goes as fast as the mount allows.
    fn charge(&mut self, first: bool, silent: f64, rpcs: u32) {
        if first && self.terms.budget == Budget::Auto {
            return;
        }
        self.purse.pay_listing(rpcs.saturating_sub(1), self.rate());
        if silent > self.terms.promise.as_secs_f64() / 2.0 {
            self.cold_cost += (f64::from(rpcs.clamp(1, MOST_COST)) - self.cold_cost) * self.weight_of_one();
        }
    }

    /// Pays `rpcs` for a file that was looked at apart from its directory: one that waited.
    pub fn pay_file(&mut self, now: Timestamp, rpcs: u32) {
        let now = self.observe(now);
        self.purse.pay_file(rpcs, now, self.rate());
    }

    /// What one look counts in the mean cost of looks.
    pub(super) fn weight_of_one(&self) -> f64 {
        1.0 / f64::from(self.count.clamp(16, 4096))
    }

    /// Learns from a first look, and gives what arrived as far as it is known to be new.
    ///
    /// What is in a directory that was there before us says nothing of its rate, but its stamp stands for one change.
    fn meet(&mut self, slot: u32, sighting: &Sighting) -> u32 {
        let Some(directory) = self.in_use_mut(slot) else { return 0 };
        let ago = sighting.changed_ago.map(|ago| ago.as_secs_f64());
        if directory.is(HEIR) {
            let ago = ago.unwrap_or(0.0);
            directory.rate.add(f64::from(sighting.arrivals), &rate::decay(ago));
            directory.rate.age += rate::narrow(ago.max(1.0));
            return sighting.arrivals;
        }
        if let Some(ago) = ago {
            directory.rate.add(1.0, &rate::decay(ago));
            directory.rate.age = rate::narrow(ago * 2.0);
        }
        0
    }

    /// Learns from a look `silent` seconds after the one before.
    fn learn(&mut self, slot: u32, silent: f64, sighting: &Sighting) -> u32 {
        let Some(directory) = self.in_use(slot).copied() else { return 0 };
        let arrivals = f64::from(sighting.arrivals);
        // One file came when the directory changed last; of several, that was the last.
        let last = sighting.changed_ago.map_or(silent / 2.0, |ago| ago.as_secs_f64().min(silent));
        let ago = if sighting.arrivals > 1 { last.midpoint(silent) } else { last };
        let left_now = rate::decay(silent);
        let left_then = if sighting.arrivals > 0 { rate::decay(silent - ago) } else { left_now };
        let span = Span { rates: directory.rate.per_second(), seconds: silent, left_then, left_now };
        self.weights.learn(directory.class(), &span, arrivals);
        let Some(directory) = self.in_use_mut(slot) else { return 0 };
        directory.rate.pass(silent, &span.left_now);
        if sighting.arrivals > 0 {
            directory.evidence = directory.evidence.saturating_add(1);
            directory.rate.add(arrivals, &rate::decay(ago));
        }
        sighting.arrivals
    }

    /// What waited in a new directory waited for a look at its parent: that counts as the parent's own arrivals.
    fn credit_parent(&mut self, parent: u32, now: f64, arrivals: u32) {
        let Some(before) = self.in_use(parent).copied() else { return };
        let Some(directory) = self.in_use_mut(parent) else { return };
        directory.rate.add(f64::from(arrivals), &[1.0; rate::SCALES]);
        let (class, taken) = (directory.class(), directory.is(TAKEN));
        let now_at = [1.0; rate::SCALES];
        let span =
            Span { rates: before.rate.per_second(), seconds: 0.0, left_then: now_at, left_now: now_at };
        self.weights.learn(class, &span, f64::from(arrivals));
        if !taken && self.runs.next.is_none() {
            self.plan(parent, now);
        }
    }

    /// Sets the next look after one that began at `began`.
    fn settle(&mut self, slot: u32, began: f64) {
        let late = self.bound() * BY_DEADLINE;
        let Some(directory) = self.in_use_mut(slot) else { return };
        // Whoever was brought by a deadline, though a key was to come before, may be so again.
        let unsure = directory.silent(began) > late;
        directory.last = milliseconds(began);
        directory.set(TAKEN, false);
        let by_key = if self.runs.next.is_none() { self.plan(slot, began) } else { f64::INFINITY };
        self.set_deadline(slot, began, if unsure { f64::INFINITY } else { by_key }, began);
    }

    /// Sets the key of `slot`, as of its look at `began`; gives the time at which that comes at today's price.
    pub(super) fn plan(&mut self, slot: u32, began: f64) -> f64 {
        let Some(directory) = self.in_use(slot).copied() else { return began };
        let price = self.price();
        let forecast = self.weights.forecast(directory.class(), &directory.rate.per_second());
        // A directory that is looked at at its deadline anyway needs no exact key; but the price may fall.
        let most = self.bound() * KEYS_BEYOND;
        let seconds = stride::seconds(&forecast, price, f64::from(directory.listing), most);
        let jitter = 1.0 + JITTER * (2.0 * self.draw() - 1.0);
        let seconds = (seconds * jitter - directory.silent(began)).max(0.0);
        self.keys.insert(&mut self.directories, slot, self.price.key_after(seconds / price));
        began + seconds
    }

    /// RPCs a second that may be spent now.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let rate = match self.terms.budget {
            Budget::Auto => 2.0 * self.size() / self.terms.promise.as_secs_f64().max(0.001),
            Budget::PerSecond(rate) => rate.max(1e-6),
        };
        rate * self.brake
    }

    /// How many directories the budget is for.
    fn size(&self) -> f64 {
        f64::from(self.count.max(self.expected).max(1))
    }

    /// Seconds that one look at every directory takes at the pace of the budget.
    pub(super) fn round(&self) -> f64 {
        self.size() / self.rate()
    }

    /// Seconds a unit of virtual time; until it is measured, what equal directories would make it.
    pub(super) fn price(&self) -> f64 {
        self.price.seconds().unwrap_or_else(|| self.round() * self.weights.base().sqrt())
    }

    pub(super) fn allocate(&mut self, parent: Option<Slot>) -> u32 {
        let directory = Directory::new(parent);
        self.count += 1;
        if let Some(slot) = self.free.pop() {
            if let Some(place) = self.directories.get_mut(slot as usize) {
                *place = directory;
            }
            return slot;
        }
        let slot = u32::try_from(self.directories.len()).unwrap_or(NONE);
        self.directories.push(directory);
        slot
    }

    /// Starts `slot` from its elder sibling's counts, if it was made while its parent was watched.
    fn inherit(&mut self, slot: u32, parent: u32, now: f64) {
        let Some(elder) = self.in_use_mut(parent) else { return };
        let model = std::mem::replace(&mut elder.model, slot);
        elder.set(HOLDS, true);
        // Known before this look, whether or not this look was told of already.
        let watched = elder.is(if elder.is(TAKEN) { LOOKED } else { AGAIN });
        let model = self.in_use(model).copied();
        let Some(directory) = self.in_use_mut(slot).filter(|_| watched) else { return };
        directory.set(HEIR, true);
        if let Some(model) = model {
            let silent = model.silent(now);
            directory.rate = model.rate;
            directory.rate.pass(silent, &rate::decay(silent));
            directory.model = model.model;
            directory.set(HOLDS, model.is(HOLDS));
            directory.listing = model.listing;
        }
    }

    pub(super) fn in_use(&self, slot: u32) -> Option<&Directory> {
        self.directories.get(slot as usize).filter(|directory| !directory.is(FREE))
    }

    pub(super) fn in_use_mut(&mut self, slot: u32) -> Option<&mut Directory> {
        self.directories.get_mut(slot as usize).filter(|directory| !directory.is(FREE))
    }

    pub(super) fn observe(&mut self, time: Timestamp) -> f64 {
        let time = seconds(time);
        self.now = self.now.max(time);
        time
    }

    /// A number from 0 to 1, by `SplitMix64`.
    pub(super) fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}
