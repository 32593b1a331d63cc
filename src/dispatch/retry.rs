//! When to try again, and what to say of it: arithmetic only.
//!
//! No clock, no sleeping, no source of random numbers: the jitter comes in as an argument.

use std::time::Duration;

/// The first wait, before jitter.
pub(crate) const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest wait.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How long after the first line of an outage, and after every reminder, another reminder is due.
pub(crate) const REMINDER_EVERY: Duration = Duration::from_secs(60);

/// The wait after the `attempt`-th failure in a row (1 for the first): doubles up to [`LONGEST_DELAY`].
///
/// `jitter` from 0 to 1 takes up to half of it off, so that agents that lost the same server do not return together.
#[must_use]
pub(crate) fn delay(attempt: u32, jitter: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let whole = FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY);
    whole.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

/// What an attempt that failed is worth saying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remark {
    /// The first line of an outage, or a new reason in it.
    News,
    /// A reminder with the count.
    Reminder,
    /// Nothing: it was said.
    Silence,
}

/// One outage, from its first failure to the next success.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outage {
    /// Failures in a row.
    pub(crate) attempts: u32,
    reason: String,
    said_at: Duration,
}

impl Outage {
    /// Counts a failure at `elapsed` since any fixed point and decides what to say.
    pub(crate) fn note(&mut self, reason: &str, elapsed: Duration) -> Remark {
        self.attempts = self.attempts.saturating_add(1);
        let remark = if self.reason != reason {
            Remark::News
        } else if elapsed.saturating_sub(self.said_at) >= REMINDER_EVERY {
            Remark::Reminder
        } else {
            Remark::Silence
        };
        if remark != Remark::Silence {
            reason.clone_into(&mut self.reason);
            self.said_at = elapsed;
        }
        remark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_delay(attempt: u32, jitter: f64, millis: u64) {
        assert_eq!(delay(attempt, jitter), Duration::from_millis(millis));
    }

    #[test]
    fn doubles_up_to_half_a_minute() {
        check_delay(0, 0.0, 100);
        check_delay(1, 0.0, 100);
        check_delay(2, 0.0, 200);
        check_delay(5, 0.0, 1_600);
        check_delay(9, 0.0, 25_600);
        check_delay(10, 0.0, 30_000);
        check_delay(u32::MAX, 0.0, 30_000);
        check_delay(1, 1.0, 50);
        check_delay(10, 0.5, 22_500);
        check_delay(10, 7.0, 15_000);
    }

    #[test]
    fn speaks_first_then_counts() {
        let mut outage = Outage::default();
        let second = Duration::from_secs;
        assert_eq!(outage.note("refused", second(100)), Remark::News);
        assert_eq!(outage.note("refused", second(101)), Remark::Silence);
        assert_eq!(outage.note("wrong password", second(102)), Remark::News);
        assert_eq!(outage.note("wrong password", second(161)), Remark::Silence);
        assert_eq!(outage.note("wrong password", second(162)), Remark::Reminder);
        assert_eq!(outage.note("wrong password", second(163)), Remark::Silence);
        assert_eq!(outage.attempts, 6);
    }
}
