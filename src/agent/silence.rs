//! Whether the server of a root answers.
//!
//! It is silent when nothing was answered for some time that was asked after its last answer. Calls that began before
//! that do not tell: of a server one disk may be away, and others answer. Nor does a call that is long under way: one
//! that reads a large file or a long listing gets many answers before it returns. So in doubt the kernel's count of
//! answers decides, where there is one.

use std::time::Duration;

use crate::model::Timestamp;

/// How long it lasts until it is said.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(10);

/// From when on it is doubted, and how often the kernel's count is looked at then.
const IN_DOUBT_AFTER: Duration = Duration::from_secs(5);
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Since when nothing is answered. Times are steady times.
#[derive(Debug, Default)]
pub(super) struct Silence {
    since: Option<Timestamp>,
    /// When the kernel's count was looked at last, and what it was.
    count: Option<(Timestamp, Option<u64>)>,
}

impl Silence {
    /// Notes that it was asked something.
    pub(super) fn asked(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }

    /// Notes that it answered something; what else was asked so far counts from now on if it is `waited_for`, or not at all.
    pub(super) fn answered(&mut self, waited_for: bool, now: Timestamp) {
        *self = Self { since: waited_for.then_some(now), count: None };
    }

    /// Since when nothing is answered that was asked since; `None` if nothing was.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// How long that is; `answers` gives the kernel's count, if there is one.
    pub(super) fn lasts(&mut self, now: Timestamp, answers: impl FnOnce() -> Option<u64>) -> Duration {
        let lasts = self.since.map_or(Duration::ZERO, |since| now.since(since));
        let is_recent = self.count.is_some_and(|(at, _)| now.since(at) < LOOKED_AT_EVERY);
        if lasts < IN_DOUBT_AFTER || is_recent {
            return lasts;
        }
        let count = answers();
        let before = self.count.replace((now, count));
        if before.is_none_or(|(_, before)| before == count) {
            return lasts;
        }
        self.answered(true, now);
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(second))
    }

    /// For how many seconds it was silent, each second to `until`, with so many answers by the kernel's count.
    fn silence(silence: &mut Silence, until: u64, count: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
        (0..=until).map(|second| silence.lasts(at(second), || count(second)).as_secs()).collect()
    }

    #[test]
    fn lasts_from_the_first_question_after_the_last_answer() {
        let mut it = Silence::default();
        assert_eq!(silence(&mut it, 20, |_| Some(7)), [0; 21], "nothing was asked");
        it.asked(at(0));
        it.asked(at(3));
        assert_eq!(silence(&mut it, 20, |_| Some(7)), (0..=20).collect::<Vec<_>>());
        assert_eq!(it.since(), Some(at(0)));
        it.answered(false, at(20));
        assert_eq!(it.lasts(at(90), || Some(7)), Duration::ZERO, "what hangs since before that is one disk");
        it.answered(true, at(90));
        assert_eq!(it.lasts(at(95), || Some(7)), IN_DOUBT_AFTER);
    }

    #[test]
    fn a_long_call_is_no_silence_while_the_kernel_counts_answers() {
        let mut it = Silence::default();
        it.asked(at(0));
        let seen = silence(&mut it, 60, |second| Some(second.min(40)));
        assert!(seen.iter().take(41).all(|lasts| *lasts < SILENT_AFTER.as_secs()), "{seen:?}");
        assert!(seen.iter().any(|lasts| *lasts >= SILENT_AFTER.as_secs()), "it ended at 40: {seen:?}");
        let mut local = Silence::default();
        local.asked(at(0));
        assert_eq!(silence(&mut local, 20, |_| None).last(), Some(&20));
    }
}
