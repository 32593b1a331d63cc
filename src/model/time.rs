//! A point in time as file systems and messages give it: seconds and nanoseconds, no clock of its own.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time since the Unix epoch, in UTC, at nanosecond resolution.
///
/// Used both for the server's file stamps and for our own wall clock; the two are never compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z; negative before it.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Converts a reading of our own wall clock.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
            Err(before) => Self {
                seconds: -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
                nanoseconds: 0,
            },
        }
    }

    /// Milliseconds since the epoch, the score unit of the `EVENT_BUFFER` key.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanoseconds / 1_000_000))
    }

    /// Seconds since the epoch, to the millisecond.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact for 285,000 years")]
    pub fn as_seconds(self) -> f64 {
        self.as_millis() as f64 / 1000.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let nanoseconds = self.as_nanos().saturating_sub(earlier.as_nanos()).max(0);
        u64::try_from(nanoseconds).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// `self` moved later by `duration`.
    ///
    /// Takes any nanoseconds: a server or a damaged row may say more than a second's, which no kernel checks.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        /// Nanoseconds in a second.
        const SECOND: u32 = 1_000_000_000;
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let nanoseconds = self.nanoseconds % SECOND + duration.subsec_nanos();
        let carry = i64::from(self.nanoseconds / SECOND + nanoseconds / SECOND);
        Self {
            seconds: self.seconds.saturating_add(seconds).saturating_add(carry),
            nanoseconds: nanoseconds % SECOND,
        }
    }

    /// `self` moved earlier by `duration`, to the second.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self { seconds: self.seconds.saturating_sub(seconds), ..self }
    }

    fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

/// RFC 3339 in UTC with nine fractional digits, as in messages: `2026-11-22T10:00:00.123456789Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = i32::try_from(self.nanoseconds).unwrap_or(0);
        match jiff::Timestamp::new(self.seconds, nanoseconds) {
            Ok(time) => write!(f, "{time:.9}"),
            Err(_) => write!(f, "@{}.{:09}", self.seconds, self.nanoseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_display(seconds: i64, nanoseconds: u32, expected: &str) {
        assert_eq!(Timestamp { seconds, nanoseconds }.to_string(), expected);
    }

    #[test]
    fn displays_as_rfc3339() {
        check_display(0, 0, "1970-01-01T00:00:00.000000000Z");
        check_display(1_763_805_600, 123_456_789, "2025-11-22T10:00:00.123456789Z");
        check_display(-1, 0, "1969-12-31T23:59:59.000000000Z");
        check_display(i64::MAX, 5, "@9223372036854775807.000000005");
    }

    #[test]
    fn adds_and_subtracts() {
        let start = Timestamp { seconds: 10, nanoseconds: 900_000_000 };
        let end = start.plus(Duration::from_millis(1_200));
        assert_eq!(end, Timestamp { seconds: 12, nanoseconds: 100_000_000 });
        assert_eq!(end.since(start), Duration::from_millis(1_200));
        assert_eq!(start.since(end), Duration::ZERO);
        assert_eq!(start.as_millis(), 10_900);
        let lie = Timestamp { seconds: 10, nanoseconds: u32::MAX };
        let normal = Timestamp { seconds: 15, nanoseconds: 294_967_294 };
        assert_eq!(lie.plus(Duration::from_nanos(999_999_999)), normal);
    }
}
