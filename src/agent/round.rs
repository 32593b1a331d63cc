//! Directories that are asked together whether they are as they were, where the answer comes from memory.
//!
//! On a local file system, or where the client holds a delegation, an answer takes a microsecond or two: less than to
//! hand a job to another thread and to wait for a place of memory that was not used for long. So what is due together
//! is taken, asked and put back together, step by step, for a processor waits for many such places no longer than for
//! one. Over a network each directory is a job of its own, since there many are asked at the same time.
//!
//! *Never here*: a listing, or anything that a changed directory leads to. Such a one, and one that is not held open or
//! gave an error, gets a look of its own, which holds it open for later rounds. *Invariant*: a call that hangs keeps only its own directory from being looked
//! at: the others of its round are taken back, as if they had not been asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::agenda::Due;
use super::engine::{Engine, LookUnderWay, MAX_PASSES};
use super::job::{Effort, Job};
use super::root::Root;
use super::table::Directory;
use crate::clock::{Now, Stopwatch};
use crate::event::Event;
use crate::model::{RelPath, Stamp};
use crate::mount::{Handle, Tree};
use crate::schedule::Sighting;
use crate::store::DirId;

/// How fast a mount answers that does so from memory: statx on ext4 takes 0.4 us in a loop, and 1.3 us after a sleep.
const QUICK: Duration = Duration::from_micros(10);

/// Directories of a round at most.
const MOST: usize = 128;

/// A round that takes longer than this hangs, or than an eighth of the interval.
const PATIENCE: Duration = Duration::from_secs(1);

/// The directories of a round.
#[derive(Debug)]
pub(super) struct Round {
    asked: Vec<Asked>,
    /// The place of the next one to ask.
    next: AtomicUsize,
}

/// A directory of a round.
#[derive(Debug, Clone, Copy)]
struct Asked {
    due: Due,
    /// The stamp that it had.
    known: Stamp,
}

/// What a round gave.
#[derive(Debug)]
pub(super) struct Answer {
    /// How many were asked, from the first on.
    count: usize,
    /// The places of those among them that need a look of their own.
    pub(super) others: Vec<usize>,
    /// How long each took in the mean.
    round_trip: Duration,
}

/// A round that is being asked.
#[derive(Debug)]
pub(super) struct Asking {
    tree: Arc<Tree>,
    round: Arc<Round>,
    held: Vec<Option<Arc<Handle>>>,
    answer: Answer,
}

/// Asks one after another; blocks for as long as the mount does.
pub(super) fn ask(tree: Arc<Tree>, round: Arc<Round>) -> Answer {
    let mut asking = Asking::begin(tree, round);
    let watch = Stopwatch::start();
    while let Some(at) = asking.claim() {
        asking.ask(at);
    }
    asking.end(watch.elapsed())
}

impl Asking {
    /// Finds those that are held open.
    pub(super) fn begin(tree: Arc<Tree>, round: Arc<Round>) -> Self {
        let held = tree.held(round.asked.iter().map(|asked| asked.due.dir.0));
        Self {
            tree,
            round,
            held,
            answer: Answer { count: 0, others: Vec::new(), round_trip: Duration::ZERO },
        }
    }

    /// The place of the next one to ask, which nobody else asks then.
    pub(super) fn claim(&self) -> Option<usize> {
        let at = self.round.next.fetch_add(1, Ordering::Relaxed);
        (at < self.round.asked.len()).then_some(at)
    }

    /// The directory at a place.
    #[cfg(test)]
    pub(super) fn directory(&self, at: usize) -> Option<DirId> {
        self.round.asked.get(at).map(|asked| asked.due.dir)
    }

    /// Asks it; blocks for as long as the mount does.
    pub(super) fn ask(&mut self, at: usize) {
        let Some((asked, held)) = self.round.asked.get(at).zip(self.held.get(at)) else { return };
        // What an error is about the look of its own will tell.
        let stamp = held.as_ref().and_then(|held| self.tree.refresh(held, &RelPath::root()).ok());
        if stamp != Some(asked.known) {
            self.answer.others.push(at);
        }
        self.answer.count = at + 1;
    }

    /// What they answered, which took so long.
    pub(super) fn end(self, took: Duration) -> Answer {
        let count = u32::try_from(self.answer.count.max(1)).unwrap_or(u32::MAX);
        Answer { round_trip: took / count, ..self.answer }
    }
}

impl Round {
    /// The directories of it.
    pub(super) fn directories(&self) -> impl Iterator<Item = DirId> {
        self.asked.iter().map(|asked| asked.due.dir)
    }

    /// Lets nobody ask any more; gives the place of the one that is being asked, if one is.
    fn end(&self) -> Option<usize> {
        self.next.swap(self.asked.len(), Ordering::Relaxed).checked_sub(1)
    }
}

/// A round that was given out.
#[derive(Debug)]
pub(super) struct RoundUnderWay {
    number: u32,
    root: usize,
    round: Arc<Round>,
    look: LookUnderWay,
    is_taken_back: bool,
}

impl Engine {
    /// Whether the directories of a root are asked in rounds. Not while calls hang there, nor in a one-shot run, whose
    /// every look is the first one.
    pub(super) fn goes_in_rounds(&self, root: usize) -> bool {
        let root = self.roots.get(root);
        let is_quick = |round_trip| round_trip <= QUICK;
        !self.settings.once
            && root
                .is_some_and(|root| root.stuck.calls() == 0 && root.brake.round_trip().is_some_and(is_quick))
    }

    /// Begins a round of directories that are due. Those among them that are to be listed get looks of their own.
    pub(super) fn next_round(&mut self, number: usize, now: Now) -> Option<Job> {
        let root = self.roots.get_mut(number).filter(|root| root.has_room())?;
        let first = root.agenda.take_due(now.steady)?;
        let mut due = Vec::with_capacity(MOST);
        due.push(first);
        due.extend(std::iter::from_fn(|| root.agenda.take_due(now.steady)).take(MOST - 1));
        let look = LookUnderWay { began: now, server_time: root.server_time, waits: false };
        // All are read together here, where the loop below waits for one after another.
        let mut asked = Vec::with_capacity(due.iter().filter(|due| self.is_plain(due.dir)).count());
        for due in due {
            match self.effort(due.dir, now) {
                Some(Effort::IfChanged(known)) if self.is_plain(due.dir) => asked.push(Asked { due, known }),
                Some(_) => self.look_apart(number, due, look),
                None => self.look_failed(due.dir, now.steady),
            }
        }
        if asked.is_empty() {
            return None;
        }
        self.last_round = self.last_round.wrapping_add(1).max(1);
        for Asked { due, .. } in &asked {
            if let Some(directory) = self.table.get_mut(due.dir) {
                directory.round = self.last_round;
            }
        }
        let tree = self.roots.get_mut(number)?.enter()?;
        let round = Arc::new(Round { asked, next: AtomicUsize::new(0) });
        self.rounds.push(RoundUnderWay {
            number: self.last_round,
            root: number,
            round: Arc::clone(&round),
            look,
            is_taken_back: false,
        });
        Some(Job::Round { tree, number: self.last_round, round })
    }

    /// Whether a directory can be asked in a round, and nothing follows from its being as it was but the time of its next look.
    fn is_plain(&self, dir: DirId) -> bool {
        let is_plain = |it: &Directory| {
            it.stamp.is_some() && it.gone_since.is_none() && it.held && !it.racy && !it.hindered
        };
        self.table.get(dir).is_some_and(is_plain)
    }

    /// Puts back those that are as they were, and has the others looked at one by one.
    pub(super) fn absorb_round(&mut self, number: u32, answer: &Answer, now: Now) {
        let Some(place) = self.rounds.iter().position(|under_way| under_way.number == number) else { return };
        let RoundUnderWay { root, round, look, .. } = self.rounds.swap_remove(place);
        self.returned(root, now);
        if !self.is_watched(root) {
            return;
        }
        if answer.count > 0 {
            self.answered(root, answer.round_trip, now);
        }
        let mut unchanged = Vec::with_capacity(answer.count);
        let mut others = answer.others.iter().copied().peekable();
        for (at, Asked { due, known }) in round.asked.iter().enumerate().take(answer.count) {
            let is_other = others.next_if_eq(&at).is_some();
            let directory = self.table.get_mut(due.dir).filter(|it| it.round == number);
            let Some(directory) = directory else { continue };
            directory.round = 0;
            if directory.gone_since.is_some() {
                continue;
            }
            if is_other {
                directory.held = false;
                self.look_apart(root, *due, look);
                continue;
            }
            (directory.failures, directory.looked_at) = (0, Some(look.began.wall));
            if let Some(root) = self.roots.get_mut(root) {
                root.server_time.observe(known, now.steady);
            }
            unchanged.push(*due);
        }
        if !unchanged.is_empty() {
            self.reporter.emit(&Event::DirectoriesUnchanged { count: unchanged.len() as u64 });
        }
        if let Some(root) = self.roots.get_mut(root) {
            let sighting = Sighting { rpcs: 1, ..Sighting::default() };
            root.agenda.looked_at_all(&unchanged, look.began.steady, &sighting);
        }
    }

    /// Takes back what is in rounds that hang, but for the directory that each hangs at.
    pub(super) fn take_back_rounds(&mut self, now: Now) {
        let patience = PATIENCE.min(self.settings.interval / 8);
        for place in 0..self.rounds.len() {
            let Some(under_way) = self.rounds.get_mut(place) else { continue };
            let lasts = now.steady.since(under_way.look.began.steady);
            if lasts < patience || std::mem::replace(&mut under_way.is_taken_back, true) {
                continue;
            }
            let (number, root, look) = (under_way.number, under_way.root, under_way.look);
            let round = Arc::clone(&under_way.round);
            let hangs_at = round.end();
            for (at, Asked { due, .. }) in round.asked.iter().enumerate() {
                let directory = self.table.get_mut(due.dir).filter(|it| it.round == number);
                if let Some(directory) = directory.filter(|_| Some(at) != hangs_at) {
                    directory.round = 0;
                    self.look_apart(root, *due, look);
                }
            }
        }
    }

    /// Has a directory looked at by itself as soon as there is room.
    fn look_apart(&mut self, root: usize, due: Due, look: LookUnderWay) {
        self.looks.insert(due.dir, LookUnderWay { waits: true, ..look });
        self.apart.push_back((root, due.dir));
    }

    /// The next look of those.
    pub(super) fn next_look_apart(&mut self, now: Now) -> Option<(usize, Job)> {
        if self.passes.len() >= MAX_PASSES {
            return None;
        }
        for _ in 0..self.apart.len() {
            let (root, dir) = self.apart.pop_front()?;
            // It may have been given up meanwhile, or the root lost.
            if !self.is_watched(root) || self.looks.get(&dir).is_none_or(|look| !look.waits) {
                continue;
            }
            if !self.roots.get(root).is_some_and(Root::has_room) {
                self.apart.push_back((root, dir));
                continue;
            }
            let look = self.looks.remove(&dir)?;
            let Some(effort) = self.effort(dir, now) else {
                self.look_failed(dir, now.steady);
                continue;
            };
            let tree = self.roots.get_mut(root)?.enter()?;
            self.looks.insert(dir, LookUnderWay { waits: false, ..look });
            return Some((root, Job::Look { tree, dir, path: self.table.path(dir), effort }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustix::fs::{CWD, Timespec, Timestamps, utimensat};

    use super::*;
    use crate::mount::{Refresh, TreeOptions};
    use crate::schedule::Slot;

    /// A round of the directories `0`, `1` and so on of a folder, as they are now. All but the last are held open.
    fn round_of(folder: &Path, count: u32) -> (Arc<Tree>, Arc<Round>) {
        let options = TreeOptions { refresh: Refresh::Force, one_file_system: true, max_open: 100 };
        let tree = Tree::open(folder, options).unwrap();
        let asked = |number: u32| {
            let (id, path) = (u64::from(number), RelPath::from(number.to_string().as_str()));
            fs::create_dir(folder.join(path.to_string())).unwrap();
            let known = tree.refresh(&tree.directory(id, &path).unwrap(), &path).unwrap();
            Asked { due: Due { dir: DirId(id), slot: Slot(number) }, known }
        };
        let asked = (0..count).map(asked).collect();
        tree.drop_directory(u64::from(count - 1));
        (Arc::new(tree), Arc::new(Round { asked, next: AtomicUsize::new(0) }))
    }

    #[test]
    fn what_changed_or_is_not_held_open_needs_a_look_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, round) = round_of(folder.path(), 4);
        let long_ago = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        utimensat(CWD, folder.path().join("1"), &times, rustix::fs::AtFlags::empty()).unwrap();
        let answer = ask(tree, round);
        assert_eq!((answer.count, answer.others), (4, vec![1, 3]));
    }

    #[test]
    fn nobody_asks_once_it_was_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, round) = round_of(folder.path(), 3);
        let mut asking = Asking::begin(Arc::clone(&tree), Arc::clone(&round));
        assert_eq!([asking.claim(), asking.claim()], [Some(0), Some(1)]);
        assert_eq!(round.end(), Some(1), "where it hangs");
        asking.ask(1);
        assert_eq!((asking.claim(), asking.end(Duration::ZERO).count), (None, 2));
        let unbegun = Arc::new(Round { asked: round.asked.clone(), next: AtomicUsize::new(0) });
        assert_eq!(unbegun.end(), None);
        assert_eq!(ask(tree, unbegun).count, 0);
    }
}
