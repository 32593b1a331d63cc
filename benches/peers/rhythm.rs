//! Passes, as they show from outside: bursts of CPU time with rests between them. Pure.

use std::time::{Duration, Instant};

/// The CPU time that was used until a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) cpu: Duration,
}

/// At least this share of one CPU between two samples is work.
const BUSY_PERCENT: u32 = 20;
/// A shorter pause is within a pass: a process that waits for the disk, or for its turn on a shared machine.
const REST: Duration = Duration::from_secs(1);

/// How long each pass took that began and ended within the samples.
pub(crate) fn passes(samples: &[Sample]) -> Vec<Duration> {
    let mut passes = Vec::new();
    let mut current: Option<(Instant, Instant)> = None;
    // One that was under way at the first sample is not counted.
    let mut has_rested = false;
    let mut rest_began = samples.first().map(|sample| sample.at);
    for (from, to) in samples.iter().zip(samples.iter().skip(1)) {
        let is_busy = 100 * to.cpu.saturating_sub(from.cpu) >= BUSY_PERCENT * (to.at - from.at);
        if is_busy {
            current = Some((current.map_or(from.at, |(began, _)| began), to.at));
            rest_began = None;
            continue;
        }
        let since = *rest_began.get_or_insert(from.at);
        if to.at - since >= REST {
            if let Some((began, ended)) = current.take() {
                passes.extend(has_rested.then_some(ended - began));
            }
            has_rested = true;
        }
    }
    passes
}
