//! The policies: what they are told and asked, and the ones that ours is measured against.
//!
//! All but ours look at the directory with the smallest virtual key next, at the pace that the budget gives, and then
//! move the key on by the policy's own interval: so each spends exactly the budget. Fixed: all intervals are equal.
//! Back-off: halved by a change, half as long again without one. Oracle: from the mean rates, by the square-root law.
//! Clairvoyant: the same from the intensities of the moment.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crate::oracle::second;
use crate::script::{Dir, Frame, Mean, News, Script};
use crate::server::Look;

/// Decides which directory to look at next.
pub(crate) trait Policy {
    /// A directory was found; at the start all that are there.
    fn insert(&mut self, dir: Dir, parent: Option<Dir>, now: f64);
    /// A directory is no more.
    fn remove(&mut self, dir: Dir);
    /// The directory to look at now, if any is due.
    fn take(&mut self, now: f64) -> Option<Dir>;
    /// When `take` may give something; infinite if never.
    fn next(&self) -> f64;
    /// What the look that began at `began` has found.
    fn looked(&mut self, dir: Dir, began: f64, look: &Look);
    /// Only for the clairvoyant one.
    fn tell(&mut self, _news: &News) {}
}

/// The part of the bound after which a directory is looked at whatever its key says.
const MARGIN: f64 = 0.97;
/// Seconds of the budget that may be left over and be spent later.
const SAVING: f64 = 0.25;

/// A policy by virtual keys.
pub(crate) struct Paced {
    law: Law,
    budget: f64,
    /// Seconds until a look is forced; infinite without bound.
    bound: f64,
    directories: Vec<State>,
    keys: BinaryHeap<Reverse<Key>>,
    /// The directories by their last look, and which of their looks that was.
    deadlines: VecDeque<(f64, Dir, u32)>,
    /// There from the start and not looked at.
    cold: VecDeque<Dir>,
    /// Found later, looked at at once.
    fresh: VecDeque<Dir>,
    clock: f64,
    /// When the budget has paid for the looks so far.
    paid: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    known: bool,
    /// Counts its keys: a key of another count is out of date.
    edition: u32,
    /// Counts its looks.
    looks: u32,
    key: f64,
    stride: f64,
}

impl State {
    /// Whether it never had a key.
    fn is_cold(&self) -> bool {
        self.edition <= 1
    }
}

/// How a policy chooses its intervals.
enum Law {
    Fixed,
    BackOff { intervals: Vec<f64>, longest: f64 },
    Oracle { intervals: Vec<f64> },
    Clairvoyant(Clairvoyant),
}

/// Knows the intensities, and follows the price of an RPC.
struct Clairvoyant {
    means: Vec<Mean>,
    /// Real seconds a unit of the virtual clock, smoothed.
    price: f64,
    /// Real and virtual time of the last smoothing.
    seen: (f64, f64),
}

impl Paced {
    /// Every directory as often as any other.
    pub(crate) fn fixed(frame: &Frame, directories: usize) -> Self {
        Self::new(frame, directories, Law::Fixed)
    }

    /// An interval from 1/120 of the bound to the bound for each directory, x 0.5 by a change, x 1.5 without.
    pub(crate) fn back_off(frame: &Frame, directories: usize) -> Self {
        let intervals = vec![frame.promise / 2.0; directories];
        Self::new(frame, directories, Law::BackOff { intervals, longest: frame.promise })
    }

    /// The best constant interval for each directory.
    pub(crate) fn oracle(frame: &Frame, intervals: Vec<f64>) -> Self {
        Self::new(frame, intervals.len(), Law::Oracle { intervals })
    }

    /// The best interval for the intensity of the moment, told of each new directory, without any bound or with it.
    pub(crate) fn clairvoyant(script: &Script, bounded: bool) -> Self {
        let unknown = Mean { listing: 1.0, ..Mean::default() };
        let mut means = script.means.clone().unwrap_or_else(|| vec![unknown; script.directories.len()]);
        for mean in &mut means {
            (mean.changes, mean.files) =
                (if mean.files > 0.0 { mean.changes / mean.files } else { 1.0 }, 0.0);
        }
        let law = Clairvoyant { means, price: 0.0, seen: (0.0, 0.0) };
        let mut paced = Self::new(&script.frame, script.directories.len(), Law::Clairvoyant(law));
        if !bounded {
            paced.bound = f64::INFINITY;
        }
        paced
    }

    fn new(frame: &Frame, directories: usize, law: Law) -> Self {
        Self {
            law,
            budget: frame.budget,
            bound: frame.promise * MARGIN,
            directories: vec![State::default(); directories],
            keys: BinaryHeap::new(),
            deadlines: VecDeque::new(),
            cold: VecDeque::new(),
            fresh: VecDeque::new(),
            clock: 0.0,
            paid: 0.0,
        }
    }

    /// Gives the directory its next key, `stride` after `from`.
    fn rekey(&mut self, dir: Dir, from: f64, stride: f64) {
        let state = &mut self.directories[dir as usize];
        state.edition += 1;
        (state.stride, state.key) = (stride, from + stride);
        if state.key.is_finite() {
            self.keys.push(Reverse(Key { at: state.key, dir, edition: state.edition }));
        }
    }

    /// Breaks the convoys of a back-off, whose idle directories would all keep the same interval and each other.
    fn jitter(&self, dir: Dir) -> f64 {
        let Law::BackOff { .. } = self.law else { return 1.0 };
        let edition = f64::from(self.directories[dir as usize].edition);
        0.9 + 0.2 * (f64::from(dir) * 0.569_840_290_998 + edition * 0.754_877_666_247).fract()
    }

    fn await_bound(&mut self, dir: Dir, since: f64) {
        if self.bound.is_finite() {
            let looks = self.directories[dir as usize].looks;
            self.deadlines.push_back((since + self.bound, dir, looks));
        }
    }

    fn is_current(&self, dir: Dir, edition: u32) -> bool {
        let state = &self.directories[dir as usize];
        state.known && state.edition == edition
    }

    /// The directory is being looked at: no key of it holds until the look is done.
    fn start(&mut self, dir: Dir, now: f64) -> Dir {
        let state = &mut self.directories[dir as usize];
        (state.edition, state.looks) = (state.edition + 1, state.looks + 1);
        self.paid = self.paid.max(now - SAVING) + 1.0 / self.budget;
        dir
    }
}

impl Policy for Paced {
    fn insert(&mut self, dir: Dir, _parent: Option<Dir>, now: f64) {
        let state = &mut self.directories[dir as usize];
        (state.known, state.key, state.stride) = (true, f64::INFINITY, f64::INFINITY);
        if now > 0.0 {
            self.fresh.push_back(dir);
            return;
        }
        self.cold.push_back(dir);
    }

    fn remove(&mut self, dir: Dir) {
        self.directories[dir as usize].known = false;
    }

    fn take(&mut self, now: f64) -> Option<Dir> {
        while let Some(&(due, dir, looks)) = self.deadlines.front() {
            let state = &self.directories[dir as usize];
            if !state.known || state.looks != looks {
                self.deadlines.pop_front();
            } else if due <= now {
                self.deadlines.pop_front();
                return Some(self.start(dir, now));
            } else {
                break;
            }
        }
        if let Some(dir) = self.fresh.pop_front() {
            return Some(self.start(dir, now));
        }
        if self.paid > now {
            return None;
        }
        if let Some(dir) = self.cold.pop_front() {
            return Some(self.start(dir, now));
        }
        while let Some(Reverse(key)) = self.keys.pop() {
            if self.is_current(key.dir, key.edition) {
                self.clock = self.clock.max(key.at);
                self.law.follow(now, self.clock);
                return Some(self.start(key.dir, now));
            }
        }
        None
    }

    fn next(&self) -> f64 {
        let paid = if self.keys.is_empty() && self.cold.is_empty() { f64::INFINITY } else { self.paid };
        let fresh = if self.fresh.is_empty() { f64::INFINITY } else { 0.0 };
        self.deadlines.front().map_or(paid, |front| paid.min(front.0)).min(fresh)
    }

    fn looked(&mut self, dir: Dir, began: f64, look: &Look) {
        self.paid += f64::from(look.rpcs - 1) / self.budget;
        let stride = self.law.stride(dir, Some(look)) * self.jitter(dir);
        if self.directories[dir as usize].is_cold() && stride.is_finite() {
            // The golden ratio spreads the second looks evenly: a convoy of equal keys would last for ever.
            let phase = (f64::from(dir) * 0.618_033_988_749_895).fract();
            self.rekey(dir, self.clock - stride * (1.0 - phase), stride);
        } else {
            self.rekey(dir, self.clock, stride);
        }
        self.await_bound(dir, began);
    }

    fn tell(&mut self, news: &News) {
        let Law::Clairvoyant(law) = &mut self.law else { return };
        let Some(rate) = news.rate else {
            self.fresh.push_back(news.dir);
            return;
        };
        law.means[news.dir as usize].files = rate;
        let State { known, key, stride: old, .. } = self.directories[news.dir as usize];
        if !known {
            return;
        }
        let stride = self.law.stride(news.dir, None);
        // What has come before a silence is still to be found: a look that is due stays due.
        let next = self.clock + stride * if old.is_finite() { (key - self.clock) / old } else { 1.0 };
        if next < key {
            self.rekey(news.dir, next - stride, stride);
        }
    }
}

impl Law {
    /// The interval after a look, or the first one, in units of the virtual clock.
    fn stride(&mut self, dir: Dir, look: Option<&Look>) -> f64 {
        match self {
            Self::Fixed => 1.0,
            Self::Oracle { intervals } => intervals[dir as usize],
            Self::BackOff { intervals, longest } => {
                let interval = &mut intervals[dir as usize];
                if let Some(look) = look {
                    *interval =
                        (*interval * if look.changed { 0.5 } else { 1.5 }).clamp(*longest / 120.0, *longest);
                }
                *interval
            }
            Self::Clairvoyant(law) => law.stride(dir),
        }
    }

    fn follow(&mut self, now: f64, clock: f64) {
        if let Self::Clairvoyant(law) = self {
            law.follow(now, clock);
        }
    }
}

impl Clairvoyant {
    fn stride(&self, dir: Dir) -> f64 {
        let mean = self.means[dir as usize];
        let plain = (1.0 / mean.files).sqrt();
        if self.price == 0.0 || !plain.is_finite() {
            return plain;
        }
        let mut stride = plain;
        for _ in 0..4 {
            let changes = mean.changes * mean.files * stride * self.price;
            stride = plain * (1.0 + mean.listing * second(changes)).sqrt();
        }
        stride
    }

    fn follow(&mut self, now: f64, clock: f64) {
        const SMOOTHING: f64 = 30.0;
        let (real, units) = (now - self.seen.0, clock - self.seen.1);
        if real > SMOOTHING / 10.0 && units > 0.0 {
            let part = if self.price == 0.0 { 1.0 } else { 1.0 - (-real / SMOOTHING).exp() };
            self.price += part * (real / units - self.price);
            self.seen = (now, clock);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    at: f64,
    dir: Dir,
    edition: u32,
}

impl Eq for Key {}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.dir.cmp(&other.dir)).then(self.edition.cmp(&other.edition))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
