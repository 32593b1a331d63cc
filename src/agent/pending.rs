//! What is decided and not durable yet.
//!
//! The files of one listing are read by many threads at once and come back in any order. So a handover is held until the
//! listing's last file is on record, for all of them to get their numbers in one commit, in the order in which they came
//! into the tree. A file that is slow to read holds up the others for a few commits and no longer.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::clock::Now;
use crate::model::{Handover, Spreading, Timestamp};
use crate::store::{DirId, RootId, SeenFile, Transaction};

/// Rows collected before they are committed though more are coming.
const MAX_ROWS: usize = 2048;

/// The same of rows that nobody waits for, and how long they wait for more.
const MAX_ROWS_AT_LEISURE: usize = 8192;
const LEISURE: Duration = Duration::from_secs(1);

/// Handovers held at most: beyond it all of them are let go. Measured where 20,000 archives of 14 kB are read from 100 directories:
/// 170 to 190 MB are resident with 2,048 of them, 95 to 125 MB with 512.
const MOST_HELD: usize = 512;

/// Delays of a commit for which a listing's handovers are held though no other one of it comes.
const PATIENCE: u32 = 4;

/// The decisions.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    since: Option<Timestamp>,
    /// Since when there is something that nobody waits for.
    at_leisure_since: Option<Timestamp>,
    /// Directories and files that they are about: whoever needs to know of these commits first.
    pub(super) directories: HashSet<DirId, Spreading>,
    pub(super) fileids: HashSet<u64, Spreading>,
    held: BTreeMap<DirId, Group>,
}

/// The handovers of a listing that has more files to come.
#[derive(Debug)]
struct Group {
    last: Timestamp,
    handovers: Vec<Held>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) root: RootId,
    pub(super) run: Option<u32>,
    pub(super) file: SeenFile,
    pub(super) handover: Handover,
}

impl Pending {
    /// Marks that a decision about `dir` is pending.
    pub(super) fn touch(&mut self, dir: DirId, now: Now) -> &mut Transaction {
        self.directories.insert(dir);
        self.touch_all(now)
    }

    /// Marks that a decision is pending that is about no directory.
    pub(super) fn touch_all(&mut self, now: Now) -> &mut Transaction {
        self.since.get_or_insert(now.steady);
        &mut self.transaction
    }

    /// Marks that something is pending that nobody waits for: what is found on a first walk, and stamps. A crash before it is
    /// durable costs looking at it again.
    pub(super) fn touch_at_leisure(&mut self, now: Now) -> &mut Transaction {
        self.at_leisure_since.get_or_insert(now.steady);
        &mut self.transaction
    }

    /// Holds a handover of a listing that is not through; nothing that is committed meanwhile may take it for done.
    pub(super) fn hold(&mut self, dir: DirId, held: Held, now: Now) {
        self.directories.insert(dir);
        let group = self.held.entry(dir).or_insert(Group { last: now.steady, handovers: Vec::new() });
        group.last = now.steady;
        group.handovers.push(held);
    }

    /// Holds what is held of `dir` no longer.
    pub(super) fn release(&mut self, dir: DirId) {
        let handovers = self.held.remove(&dir).map(|group| group.handovers).unwrap_or_default();
        for Held { root, run, file, handover } in handovers {
            self.transaction.hand_over(root, dir, run, file, handover);
        }
    }

    /// Whether something is to become durable now.
    pub(super) fn is_due(&self, delay: Duration, now: Now) -> bool {
        let most = if self.since.is_some() { MAX_ROWS } else { MAX_ROWS_AT_LEISURE };
        self.transaction.len() >= most
            || self.holds_too_much()
            || self.next(delay).is_some_and(|at| at <= now.steady)
    }

    /// When something is to become durable.
    pub(super) fn next(&self, delay: Duration) -> Option<Timestamp> {
        let soon = self.since.map(|since| since.plus(delay));
        let at_leisure = self.at_leisure_since.map(|since| since.plus(delay.max(LEISURE)));
        let held = self.held.values().map(|group| group.last).min();
        soon.into_iter().chain(at_leisure).chain(held.map(|last| last.plus(delay * PATIENCE))).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transaction.is_empty() && self.held.is_empty()
    }

    /// Takes all that is decided.
    pub(super) fn take(&mut self) -> Transaction {
        self.release_where(|_, _| true);
        std::mem::take(self).transaction
    }

    /// Takes what is decided but for what is held, unless that is of no listing that `is_open` any more, was held for too
    /// long, or is too much. What is taken may hold that a listing is through: so none of that one is left.
    pub(super) fn take_ready(
        &mut self,
        delay: Duration,
        is_open: impl Fn(DirId) -> bool,
        now: Now,
    ) -> Transaction {
        let all = self.holds_too_much();
        let is_late = |group: &Group| group.last.plus(delay * PATIENCE) <= now.steady;
        self.release_where(|dir, group| all || !is_open(dir) || is_late(group));
        let held = std::mem::take(&mut self.held);
        let files = held.values().flat_map(|group| &group.handovers).map(|held| held.file.stamp.fileid);
        let (directories, fileids) = (held.keys().copied().collect(), files.collect());
        std::mem::replace(self, Self { directories, fileids, held, ..Self::default() }).transaction
    }

    fn release_where(&mut self, is_meant: impl Fn(DirId, &Group) -> bool) {
        let meant = self.held.iter().filter(|(dir, group)| is_meant(**dir, group));
        let meant: Vec<DirId> = meant.map(|(dir, _)| *dir).collect();
        for dir in meant {
            self.release(dir);
        }
    }

    fn holds_too_much(&self) -> bool {
        self.held.values().map(|group| group.handovers.len()).sum::<usize>() >= MOST_HELD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Analysis, AnalysisStatus, ContentHash, Kind, MessageId, RelPath, Stamp};
    use crate::store::{Content, Memory, Store};

    const DELAY: Duration = Duration::from_millis(50);

    fn at(milliseconds: u64) -> Now {
        let time = Timestamp::default().plus(Duration::from_millis(milliseconds));
        Now { steady: time, wall: time }
    }

    /// A handover of a file that came at `second`.
    fn held(second: i64) -> Held {
        let stamp = Stamp {
            ctime: Timestamp { seconds: second, nanoseconds: 0 },
            fileid: second.unsigned_abs(),
            ..Stamp::default()
        };
        let (path, blake3) = (RelPath::from(second.to_string().as_str()), ContentHash([0; 32]));
        let file = SeenFile {
            name: path.as_bytes().into(),
            stamp,
            content: Content::Hashed(blake3),
            seq: 0,
            gone_since: None,
        };
        let handover = Handover {
            seq: 0,
            id: MessageId::of(&path, &blake3),
            kind: Kind::Appeared,
            root: Vec::new(),
            path,
            stamp,
            blake3,
            detected_at: Timestamp::default(),
            not_before: None,
            analysis: Analysis { status: AnalysisStatus::Ok, detail: None },
            jobdata_text: None,
            figures: None,
            experiments: Vec::new(),
        };
        Held { root: RootId::default(), run: None, file, handover }
    }

    /// The files of a transaction, in the order in which they get their numbers.
    fn order(transaction: Transaction) -> Vec<String> {
        let store = Store::in_memory(Memory::default()).unwrap();
        store.commit(transaction).unwrap().into_iter().map(|handover| handover.path.to_string()).collect()
    }

    #[test]
    fn a_listing_gets_its_numbers_together() {
        let (mut pending, slow, quick) = (Pending::default(), DirId(1), DirId(2));
        pending.hold(slow, held(3), at(0));
        pending.hold(quick, held(2), at(10));
        pending.touch(quick, at(20));
        assert!(pending.is_due(DELAY, at(70)));
        assert_eq!(order(pending.take_ready(DELAY, |dir| dir == slow, at(70))), ["2"]);
        assert!(!pending.is_empty() && pending.directories.contains(&slow) && pending.fileids.contains(&3));
        assert!(!pending.directories.contains(&quick) && !pending.fileids.contains(&2));
        assert!(!pending.is_due(DELAY, at(100)));
        pending.hold(slow, held(1), at(150));
        assert_eq!(order(pending.take_ready(DELAY, |_| true, at(300))), [""; 0], "another one came of it");
        assert_eq!(order(pending.take_ready(DELAY, |_| false, at(310))), ["1", "3"]);
        assert!(pending.is_empty());
    }

    #[test]
    fn what_nobody_waits_for_waits_for_more_of_it() {
        let (mut pending, after) = (Pending::default(), at(LEISURE.as_millis().try_into().unwrap()));
        pending.touch_at_leisure(at(0));
        assert_eq!(pending.next(DELAY), Some(after.steady));
        assert_eq!(pending.next(LEISURE * 2), Some(after.steady.plus(LEISURE)), "never sooner than the rest");
        for _ in 0..MAX_ROWS_AT_LEISURE {
            assert!(!pending.is_due(DELAY, at(999)));
            pending.touch_at_leisure(at(1)).forget_dir(DirId(1));
        }
        assert!(pending.is_due(DELAY, at(1)));
        pending.take();
        pending.touch_at_leisure(at(2000)).forget_dir(DirId(1));
        pending.touch(DirId(1), at(2100));
        assert!(!pending.is_due(DELAY, at(2149)) && pending.is_due(DELAY, at(2150)), "as what goes with it");
        (0..MAX_ROWS).for_each(|_| pending.touch_at_leisure(at(2100)).forget_dir(DirId(1)));
        assert!(pending.is_due(DELAY, at(2100)));
    }

    #[test]
    fn a_slow_file_holds_up_the_others_of_its_listing_only_and_not_for_long() {
        let mut pending = Pending::default();
        pending.hold(DirId(1), held(2), at(0));
        pending.hold(DirId(2), held(3), at(100));
        assert_eq!(pending.next(DELAY), Some(at(200).steady));
        assert!(pending.is_due(DELAY, at(200)));
        assert_eq!(order(pending.take_ready(DELAY, |_| true, at(200))), ["2"]);
        assert_eq!(order(pending.take()), ["3"], "all there is");
        assert!(pending.is_empty() && pending.next(DELAY).is_none());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut pending = Pending::default();
        for number in (1..).take(MOST_HELD) {
            assert!(!pending.is_due(DELAY, at(1)));
            pending.hold(DirId(number % 3), held(number.cast_signed()), at(1));
        }
        assert!(pending.is_due(DELAY, at(1)));
        assert_eq!(order(pending.take_ready(DELAY, |_| true, at(1))).len(), MOST_HELD);
    }
}
