//! When a file that is not proved complete is looked at again, read, or given up.

use std::time::Duration;

use crate::model::Timestamp;

/// The longest pause between two looks at a waiting file.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The shortest.
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// How patient the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlePolicy {
    /// How long a file must look the same.
    pub settle: Duration,
    /// How long a broken file must look the same to be handed over as broken.
    pub give_up: Duration,
}

/// What is known of a waiting file's content under its present stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It was not read under this stamp.
    Unread,
    /// It was read, and is not complete.
    Broken,
    /// It could not be read.
    Unreadable,
}

/// What to do with a waiting file whose stamp is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Look again then.
    Wait(Timestamp),
    /// Read it: if it is complete it is handed over.
    Read,
    /// Read it once more: if it is still broken it is handed over as that.
    GiveUp,
}

impl SettlePolicy {
    /// Decides on a file that has looked the same since `still_since`.
    #[must_use]
    pub fn step(&self, still_since: Timestamp, proof: Proof, now: Timestamp) -> Step {
        let still = now.since(still_since);
        match proof {
            Proof::Unread if still >= self.settle => Step::Read,
            Proof::Unread => Step::Wait(still_since.plus(self.settle)),
            Proof::Broken if still >= self.give_up => Step::GiveUp,
            Proof::Broken => {
                let end = still_since.plus(self.give_up);
                Step::Wait(now.plus(self.pause(still)).min(end))
            }
            Proof::Unreadable => Step::Wait(now.plus(self.pause(still))),
        }
    }

    /// The longer a file has been still, the less often it is looked at.
    fn pause(&self, still: Duration) -> Duration {
        let least = self.settle.clamp(MIN_PAUSE, MAX_PAUSE);
        (still / 2).clamp(least, MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SettlePolicy =
        SettlePolicy { settle: Duration::from_secs(5), give_up: Duration::from_secs(3600) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    #[track_caller]
    fn check(proof: Proof, still: i64, expected: Step) {
        assert_eq!(POLICY.step(at(0), proof, at(still)), expected);
    }

    #[test]
    fn waits_reads_and_gives_up() {
        check(Proof::Unread, 0, Step::Wait(at(5)));
        check(Proof::Unread, 5, Step::Read);
        check(Proof::Broken, 0, Step::Wait(at(5)));
        check(Proof::Broken, 20, Step::Wait(at(30)));
        check(Proof::Broken, 600, Step::Wait(at(660)));
        check(Proof::Broken, 3599, Step::Wait(at(3600)));
        check(Proof::Broken, 3600, Step::GiveUp);
        check(Proof::Unreadable, 100_000, Step::Wait(at(100_060)));
    }

    #[test]
    fn no_patience_is_possible() {
        let policy = SettlePolicy { settle: Duration::ZERO, give_up: Duration::ZERO };
        assert_eq!(policy.step(at(0), Proof::Unread, at(0)), Step::Read);
        assert_eq!(policy.step(at(0), Proof::Broken, at(0)), Step::GiveUp);
    }
}
