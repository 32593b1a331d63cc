//! What can be known of the server's clock by reading alone.
//!
//! A change time that was seen is not later than the server's clock at that moment: so the newest one tells how far the
//! server is ahead at least. The other side is told only by a time that the server set between two readings of ours: the
//! access time of a directory that we listed, on servers that keep one (`relatime` moves it if the directory changed
//! since, or once a day). Nothing that decides anything compares the two clocks; people do.

use std::time::Duration;

use super::finding::{Area, Finding, Verdict};
use crate::model::Timestamp;

/// Stamps may be of whole seconds, and looks take their time.
const BLUR_MS: i64 = 2_000;

/// Two clocks that differ by more are off.
const OFF_MS: i64 = 60_000;

/// Bounds of the server's clock minus ours, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockFacts {
    /// At least this much ahead.
    pub at_least: Option<i64>,
    /// At most this much ahead.
    pub at_most: Option<i64>,
}

impl ClockFacts {
    /// Takes a stamp of the server that was seen when our clock said `now`.
    pub fn saw(&mut self, stamp: Timestamp, now: Timestamp) {
        let ahead = stamp.as_millis().saturating_sub(now.as_millis());
        self.at_least = self.at_least.max(Some(ahead));
    }

    /// Takes a stamp that the server set after our clock said `before`.
    pub fn set_after(&mut self, stamp: Timestamp, before: Timestamp) {
        let ahead = stamp.as_millis().saturating_sub(before.as_millis()).saturating_add(BLUR_MS);
        self.at_most = Some(self.at_most.map_or(ahead, |known| known.min(ahead)));
    }
}

/// Judges the clock.
pub(super) fn check(clock: &ClockFacts) -> Finding {
    let check = "server clock";
    let off = |evidence: String| {
        Finding::bad(
            Area::Mount,
            check,
            Verdict::Warning,
            evidence,
            "set both clocks by NTP (chronyc tracking, on the server too): nfs-scout decides nothing by comparing them, \
             but its detected_at and a file's mtime cannot be compared, nor can tools that look for new files by time",
        )
    };
    match (clock.at_least, clock.at_most) {
        (Some(least), _) if least > OFF_MS => off(format!("ahead of ours by at least {}", span(least))),
        (_, Some(most)) if most < -OFF_MS => off(format!("behind ours by at least {}", span(-most))),
        (Some(least), Some(most)) => Finding::ok(
            Area::Mount,
            check,
            format!("between {} and {} ahead of ours", signed(least), signed(most)),
        ),
        (Some(least), None) if least < 0 => Finding::ok(
            Area::Mount,
            check,
            format!(
                "not more than {} behind ours, by the newest change seen; more cannot be told by reading",
                span(-least)
            ),
        ),
        (Some(least), None) => Finding::ok(
            Area::Mount,
            check,
            format!("at least {} ahead of ours; how far at most cannot be told by reading", span(least)),
        ),
        (None, _) => Finding::ok(Area::Mount, check, "nothing was seen that tells of it"),
    }
}

fn signed(ms: i64) -> String {
    if ms < 0 { format!("-{}", span(-ms)) } else { span(ms) }
}

fn span(ms: i64) -> String {
    let ms = ms.unsigned_abs();
    // Below a minute fractions matter, above they do not.
    let shown = if ms < 60_000 { Duration::from_millis(ms) } else { Duration::from_secs(ms / 1000) };
    humantime::format_duration(shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    #[track_caller]
    fn judge(at_least: Option<i64>, at_most: Option<i64>, expected: Verdict, told: &str) {
        let finding = check(&ClockFacts { at_least, at_most });
        assert_eq!(finding.verdict, expected, "{finding:?}");
        assert!(finding.evidence.contains(told), "{finding:?}");
    }

    #[test]
    fn judges_what_is_known() {
        judge(None, None, Verdict::Ok, "nothing");
        judge(Some(-7_200_000), None, Verdict::Ok, "not more than 2h behind");
        judge(Some(1_500), None, Verdict::Ok, "at least 1s 500ms ahead");
        judge(Some(-900), Some(2_100), Verdict::Ok, "between -900ms and 2s 100ms");
        judge(Some(3_600_000), None, Verdict::Warning, "ahead of ours by at least 1h");
        judge(Some(-3_600_000), Some(-3_597_000), Verdict::Warning, "behind ours by at least 59m 57s");
        judge(Some(-3_600_000), Some(4_000), Verdict::Ok, "between -1h and 4s");
    }

    #[test]
    fn bounds_only_tighten() {
        let mut clock = ClockFacts::default();
        clock.saw(at(90), at(100));
        clock.saw(at(70), at(100));
        clock.set_after(at(100), at(99));
        clock.set_after(at(105), at(99));
        assert_eq!(clock, ClockFacts { at_least: Some(-10_000), at_most: Some(1_000 + BLUR_MS) });
    }
}
