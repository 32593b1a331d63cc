//! How far each time scale is to be trusted: learnt from which of them foretold the arrivals.
//!
//! The expected rate is a weighted sum of what the scales say and of a base rate that all directories share. Each arrival
//! is credited to the terms of that sum in the proportion in which they foretold it, and a term's weight is its credit
//! over what it alone had foretold: expectation and maximisation for a mixture of intensities (for self-exciting
//! processes: Veen & Schoenberg 2008), done online with forgetting. Only what was known at the look before counts, since
//! only that can set the time of a look. A term that foretells twice too much gets half its weight, a bursty tree comes
//! to trust its shortest scale, a steady one its longest, and equal directories end with the base rate alone.
//!
//! Weights are shared by all directories of a class.

#![expect(clippy::indexing_slicing, reason = "classes, scales and terms are counted by constants")]

use super::rate::{self, PerScale, SCALES};

/// Terms of the sum: the scales, then the base rate.
const TERMS: usize = SCALES + 1;

/// What the sum trusts before anything is learnt.
const FIRST_TRUST: [f64; TERMS] = [0.05, 0.1, 0.15, 0.5, 0.2];

/// How many arrivals it takes to outweigh [`FIRST_TRUST`].
const FIRST_CREDIT: f64 = 20.0;

/// How many looks that showed arrivals a class remembers: half of all is forgotten at this number.
const MEMORY: f64 = 2000.0;

/// The most arrivals that one look is credited for: a drop of a million files is no more than one event.
const MOST_CREDIT: f64 = 1000.0;

/// Directories that share weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Class {
    /// What the longest scale counts: with little to go by, short scales are noise.
    pub(super) count: f32,
    /// Whether directories were found in it.
    pub(super) holds_directories: bool,
    /// If it was made while we watched, and started from its elder sibling's counts: how many looks have shown arrivals
    /// of its own.
    pub(super) heir: Option<u8>,
}

/// Upper ends of the classes by count; one class lies above them.
const COUNTS: [f32; 7] = [0.25, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0];
const KINDS: usize = 6;
const CLASSES: usize = (COUNTS.len() + 1) * KINDS;

impl Class {
    fn index(self) -> usize {
        let count = COUNTS.iter().filter(|end| **end <= self.count).count();
        let kind = match (self.holds_directories, self.heir) {
            (true, heir) => usize::from(heir.is_some()),
            (false, None) => 2,
            (false, Some(0)) => 3,
            (false, Some(1..4)) => 4,
            (false, Some(_)) => 5,
        };
        count * KINDS + kind
    }
}

/// Credit and forecast of each term.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Learnt {
    credit: [f64; TERMS],
    foretold: [f64; TERMS],
    events: f64,
}

impl Learnt {
    fn new() -> Self {
        Self {
            credit: FIRST_TRUST.map(|weight| weight * FIRST_CREDIT),
            foretold: [FIRST_CREDIT; TERMS],
            events: 0.0,
        }
    }

    fn weights(&self) -> [f64; TERMS] {
        let mut weights = self.credit;
        for (weight, foretold) in weights.iter_mut().zip(self.foretold) {
            *weight /= foretold;
        }
        weights
    }

    fn forget(&mut self) {
        if self.events > MEMORY {
            self.events *= 0.5;
            for value in self.credit.iter_mut().chain(&mut self.foretold) {
                *value *= 0.5;
            }
        }
    }
}

/// The expected rate of one directory, in files a second, term by term.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forecast {
    /// The part that each scale answers for; it decays with that scale's memory.
    pub(super) scales: PerScale,
    /// The part that stays.
    pub(super) base: f64,
}

impl Forecast {
    /// Files a second right now.
    pub(super) fn total(&self) -> f64 {
        self.scales.iter().sum::<f64>() + self.base
    }
}

/// The time from one look to the next, and what was known at its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Files a second that each scale foretold at its beginning.
    pub(super) rates: PerScale,
    /// Its length.
    pub(super) seconds: f64,
    /// How much of each scale's forecast was left when the arrivals came.
    pub(super) left_then: PerScale,
    /// How much of it is left at its end.
    pub(super) left_now: PerScale,
}

/// The weights of all classes, and the base rate.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    classes: [Learnt; CLASSES],
    /// Files that came, and the seconds of all directories in which they came.
    files: f64,
    seconds: f64,
}

/// The base rate that is assumed for a start: one file a directory and day.
const FIRST_BASE_SECONDS: f64 = 86_400.0;

/// Over how many files the base rate is the mean.
const BASE_MEMORY: f64 = 10_000.0;

impl Weights {
    /// Weights before anything is learnt.
    pub(super) fn new() -> Self {
        Self { classes: [Learnt::new(); CLASSES], files: 1.0, seconds: FIRST_BASE_SECONDS }
    }

    /// Files a second that a directory gets in the mean of all.
    pub(super) fn base(&self) -> f64 {
        self.files / self.seconds
    }

    /// What is expected of a directory of `class` whose scales say `rates`.
    pub(super) fn forecast(&self, class: Class, rates: &PerScale) -> Forecast {
        let [weights @ .., base] = self.of(class).weights();
        let mut scales = *rates;
        for (rate, weight) in scales.iter_mut().zip(weights) {
            *rate *= weight;
        }
        Forecast { scales, base: base * self.base() }
    }

    /// Learns from a look at which `arrivals` were seen.
    pub(super) fn learn(&mut self, class: Class, span: &Span, arrivals: f64) {
        let base = self.base();
        let (mut then, mut foretold) = ([base; TERMS], [base * span.seconds; TERMS]);
        for scale in 0..SCALES {
            then[scale] = span.rates[scale] * span.left_then[scale];
            foretold[scale] = span.rates[scale] * rate::MEMORY[scale] * (1.0 - span.left_now[scale]);
        }
        let learnt = &mut self.classes[class.index()];
        for (sum, part) in learnt.foretold.iter_mut().zip(foretold) {
            *sum += part;
        }
        self.seconds += span.seconds;
        if arrivals <= 0.0 {
            return;
        }
        let weights = learnt.weights();
        let credited = arrivals.min(MOST_CREDIT);
        let rate: f64 = then.iter().zip(weights).map(|(rate, weight)| rate * weight).sum();
        let rate = rate.max(f64::MIN_POSITIVE);
        for term in 0..TERMS {
            learnt.credit[term] += credited * weights[term] * then[term] / rate;
        }
        learnt.events += 1.0;
        learnt.forget();
        self.files += credited;
        if self.files > BASE_MEMORY {
            self.files *= 0.5;
            self.seconds *= 0.5;
        }
    }

    /// Base rate and classes, as they are saved.
    pub(super) fn save(&self) -> ([f64; 2], Vec<f32>) {
        let classes = self.classes.iter().flat_map(|learnt| learnt.credit.into_iter().chain(learnt.foretold));
        ([self.files, self.seconds], classes.map(rate::narrow).collect())
    }

    /// Takes over what was saved, if it has this program's number of classes.
    pub(super) fn restore(&mut self, [files, seconds]: [f64; 2], classes: &[f32]) {
        (self.files, self.seconds) = (files, seconds);
        if classes.len() == CLASSES * TERMS * 2 {
            for (learnt, saved) in self.classes.iter_mut().zip(classes.chunks_exact(TERMS * 2)) {
                let places = learnt.credit.iter_mut().chain(&mut learnt.foretold);
                places.zip(saved).for_each(|(place, saved)| *place = f64::from(*saved));
            }
        }
    }

    fn of(&self, class: Class) -> &Learnt {
        &self.classes[class.index()]
    }
}
