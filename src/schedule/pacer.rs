//! Keeps the mean rate of looks within a budget.

use std::time::Duration;

use crate::model::Timestamp;

/// How much of the budget may be saved up: what is due together may go together, within reason.
const SAVED: Duration = Duration::from_secs(1);

/// A rate that is not exceeded in the mean.
///
/// Counts in time rather than in tokens: every look moves the next one's earliest time on by what it costs.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    cost: Option<Duration>,
    next: Timestamp,
}

impl Pacer {
    /// At most `per_second` looks a second; `None` for no limit.
    #[must_use]
    pub fn new(per_second: Option<f64>) -> Self {
        let cost = per_second.map(|rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX));
        Self { cost, next: Timestamp::default() }
    }

    /// When the next look is allowed.
    #[must_use]
    pub fn next(&self) -> Timestamp {
        self.next
    }

    /// Pays for a look at `now`.
    pub fn pay(&mut self, now: Timestamp) {
        let Some(cost) = self.cost else { return };
        let oldest = Timestamp { seconds: now.seconds.saturating_sub(SAVED.as_secs().cast_signed()), ..now };
        self.next = self.next.max(oldest).plus(cost);
    }

    /// The time that looking at so many directories once takes within the budget.
    #[must_use]
    pub fn round(&self, directories: u32) -> Duration {
        self.cost.map_or(Duration::ZERO, |cost| cost.saturating_mul(directories))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(1000) + Duration::from_millis(milliseconds))
    }

    /// Looks made by someone who always wants to, asking every millisecond.
    fn looks(pacer: &mut Pacer, milliseconds: u64) -> usize {
        let mut allowed = |now: Timestamp| {
            let goes = pacer.next() <= now;
            if goes {
                pacer.pay(now);
            }
            goes
        };
        (0..milliseconds).filter(|time| allowed(at(*time))).count()
    }

    proptest! {
        #[test]
        fn the_mean_rate_is_the_budget(rate in 1.0..900.0_f64) {
            let count = looks(&mut Pacer::new(Some(rate)), 60_000);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let excess = count as f64 - rate * 60.0;
            // At most one second's worth was saved up at the start, and one look is under way at each end.
            prop_assert!(excess <= rate + 2.0 && excess >= -2.0, "{excess}");
        }
    }

    #[test]
    fn without_a_budget_nothing_is_held_back() {
        let mut pacer = Pacer::new(None);
        assert_eq!(looks(&mut pacer, 100), 100);
        assert_eq!(pacer.round(1_000_000), Duration::ZERO);
        assert_eq!(Pacer::new(Some(200.0)).round(1000), Duration::from_secs(5));
    }
}
