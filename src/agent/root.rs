//! The watched roots: opened, checked, lost and found again.
//!
//! *Invariant*: while a root is lost nothing of it is looked at, and nothing of it is forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::agenda::Agenda;
use super::engine::{Engine, Settings};
use super::job::Job;
use super::silence::{SILENT_AFTER, Silence};
use super::table::Directory;
use crate::clock::Now;
use crate::event::Event;
use crate::model::Timestamp;
use crate::mount::{self, Identity, MountError, Tree};
use crate::schedule::{Brake, ServerTime, Stuck};
use crate::store::{DirId, RootId, RootRow, StoreError};

/// The longest time between two checks of a root's identity, and between two tries to open it.
const MAX_CHECK: Duration = Duration::from_secs(5);

/// How often what the schedule has learnt is written.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How often directories are looked for that have been gone for long.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A watched root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) id: RootId,
    pub(super) path: PathBuf,
    pub(super) row: RootRow,
    pub(super) is_new: bool,
    /// Its top directory.
    pub(super) top: Option<DirId>,
    /// What is open; `None` while it is lost.
    pub(super) tree: Option<Arc<Tree>>,
    /// Why it was lost last; reported when it changes.
    pub(super) lost: Option<String>,
    /// Steady time of the next check or try.
    pub(super) next_call: Timestamp,
    /// Whether that call is under way.
    pub(super) calling: bool,
    /// Calls under way.
    pub(super) in_flight: usize,
    /// Whether its server answers.
    pub(super) silence: Silence,
    /// Whether its silence was reported.
    pub(super) hangs: bool,
    /// When its directories are due.
    pub(super) agenda: Agenda,
    /// Steady time at which what was learnt is written again.
    pub(super) save_at: Timestamp,
    /// When its waiting files are due.
    pub(super) wait_order: BTreeSet<(Timestamp, DirId, Vec<u8>)>,
    /// What its server's clock is known to have passed.
    pub(super) server_time: ServerTime,
    /// How fast it may be asked.
    pub(super) brake: Brake,
    /// Calls that may never return, and take no room.
    pub(super) stuck: Stuck,
}

impl Root {
    pub(super) fn new(path: &Path, settings: &Settings, now: Now) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let bytes = path.as_os_str().as_bytes().to_vec();
        let row = RootRow { path: bytes, identity: None, walked: false, audited_at: None };
        Self {
            id: RootId(0),
            path: path.to_path_buf(),
            row,
            is_new: true,
            top: None,
            tree: None,
            lost: None,
            next_call: Timestamp::default(),
            calling: false,
            in_flight: 0,
            silence: Silence::default(),
            hangs: false,
            agenda: Agenda::new(settings, now.steady.as_millis().unsigned_abs()),
            save_at: now.steady.plus(SAVE_EVERY),
            wait_order: BTreeSet::new(),
            server_time: if settings.tree.one_file_system {
                ServerTime::default()
            } else {
                ServerTime::mixed()
            },
            brake: Brake::new(settings.max_in_flight.get(), now.steady),
            stuck: Stuck::default(),
        }
    }

    /// Whether it is there, and on a server.
    fn is_far(&self) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.identity().is_network())
    }

    /// Whether a call on it could be started now.
    pub(super) fn has_room(&self) -> bool {
        self.tree.is_some() && self.in_flight < self.brake.room_beside(self.stuck.calls())
    }

    /// Takes the waiting file that is due, and starts a call on the root for it.
    pub(super) fn take_waiting(&mut self, now: Now) -> Option<(Arc<Tree>, DirId, Vec<u8>)> {
        if self.wait_order.first().is_none_or(|(at, _, _)| *at > now.steady) {
            return None;
        }
        let tree = self.enter()?;
        self.wait_order.pop_first().map(|(_, dir, name)| (tree, dir, name))
    }

    /// Starts a call on the root, if it is there and there is room.
    pub(super) fn enter(&mut self) -> Option<Arc<Tree>> {
        let tree = self.tree.clone().filter(|_| self.has_room())?;
        self.in_flight += 1;
        Some(tree)
    }
}

impl Engine {
    pub(super) fn load_roots(&mut self) -> Result<(), StoreError> {
        let stored = self.store.roots()?;
        for root in &mut self.roots {
            match stored.iter().find(|(_, row)| row.path == root.row.path) {
                Some((id, row)) => (root.id, root.row, root.is_new) = (*id, row.clone(), false),
                None => root.id = self.store.new_root(),
            }
        }
        Ok(())
    }

    /// A root to open or to check.
    pub(super) fn next_root_job(&mut self, now: Now) -> Option<(usize, Job)> {
        let options = self.settings.tree;
        let (number, root) = self
            .roots
            .iter_mut()
            .enumerate()
            .find(|(_, root)| !root.calling && root.next_call <= now.steady)?;
        root.calling = true;
        root.in_flight += 1;
        let job = match &root.tree {
            Some(tree) => Job::Check { root: number, tree: Arc::clone(tree) },
            None => Job::Open { root: number, path: root.path.clone(), options },
        };
        Some((number, job))
    }

    pub(super) fn absorb_opened(
        &mut self,
        number: usize,
        opened: Result<Arc<Tree>, MountError>,
        now: Now,
    ) -> Result<(), StoreError> {
        self.leave(number, now);
        self.call_later(number, now);
        match opened {
            Ok(tree) => match self.objection(number, tree.identity()) {
                None => return self.found(number, tree, now),
                Some(objection) => self.lose(number, objection),
            },
            Err(error) if error.is_stale() => self.lose(number, error.to_string()),
            Err(error) => self.lose(number, format!("{error}; is it mounted?")),
        }
        Ok(())
    }

    pub(super) fn absorb_checked(
        &mut self,
        number: usize,
        checked: Result<bool, MountError>,
        now: Now,
    ) -> Result<(), StoreError> {
        match self.roots.get_mut(number) {
            // It asked no server.
            Some(root) if root.is_far() => root.in_flight = root.in_flight.saturating_sub(1),
            _ => self.leave(number, now),
        }
        self.call_later(number, now);
        match checked {
            Ok(true) => {
                self.check_budget();
                self.save_learnt(false, now)?;
                self.forget_gone_directories(now)?;
                self.end_first_walks(now);
                self.begin_audit_if_due(number, now);
            }
            Ok(false) => {
                self.lose(number, "it was unmounted, or something else was mounted there".to_owned());
            }
            Err(error) => self.lose(number, error.to_string()),
        }
        Ok(())
    }

    /// Forgets directories that have been gone for long, a few at a time and children first; looks for them now and then,
    /// since that is to look at all.
    pub(super) fn forget_gone_directories(&mut self, now: Now) -> Result<(), StoreError> {
        /// At once, so that the engine is not kept from its work.
        const AT_ONCE: usize = 100;
        if now.steady < self.forget_at {
            return Ok(());
        }
        let before = now.wall.minus(self.settings.history);
        let is_long_gone = |(id, row): &(DirId, &Directory)| {
            row.gone_since.is_some_and(|since| since < before) && self.table.children(*id).is_empty()
        };
        let gone: Vec<_> = self.table.iter().filter(is_long_gone).map(|(id, _)| id).take(AT_ONCE).collect();
        // Parents may follow their children at once.
        if gone.is_empty() {
            self.forget_at = now.steady.plus(FORGET_EVERY.min(self.settings.history));
        }
        for dir in gone {
            let root = self.root_of(dir);
            for known in self.store.known(dir)? {
                self.touch(dir, now).forget_seen(root, dir, known);
            }
            self.touch(dir, now).forget_dir(dir);
            self.looks.remove(&dir);
            self.table.remove(dir);
        }
        Ok(())
    }

    fn call_later(&mut self, number: usize, now: Now) {
        let pause =
            if self.settings.once { Duration::MAX } else { (self.settings.interval / 4).min(MAX_CHECK) };
        if let Some(root) = self.roots.get_mut(number) {
            root.calling = false;
            root.next_call = now.steady.plus(pause);
        }
    }

    /// Why what was found is not what is watched.
    fn objection(&self, number: usize, found: &Identity) -> Option<String> {
        let known = self.roots.get(number)?.row.identity.as_ref()?;
        let found = found.lasting();
        (*known != found && !self.settings.accept_mount).then(|| {
            format!(
                "another directory lies there ({found}) than the one that is watched ({known}); \
                 mount the right one, or take this one with --accept-mount"
            )
        })
    }

    fn found(&mut self, number: usize, tree: Arc<Tree>, now: Now) -> Result<(), StoreError> {
        let Some(root) = self.roots.get_mut(number) else { return Ok(()) };
        let identity = tree.identity();
        let note = if identity.is_network() {
            ""
        } else {
            " (local: looks are cheap here, inotify would tell sooner)"
        };
        let file_system = format!("{} {}{note}", identity.fs_type, identity.source);
        let is_other = root.row.identity.as_ref().is_some_and(|known| *known != identity.lasting());
        root.row.identity = Some(identity.lasting());
        self.watched.enter(number, Arc::clone(&tree));
        root.tree = Some(tree);
        root.lost = None;
        let path = root.path.display().to_string();
        if is_other {
            self.reporter.emit(&Event::RootAccepted { root: path.clone() });
        }
        self.reporter.emit(&Event::RootFound { root: path, file_system });
        self.begin_audit_if_due(number, now);
        self.put_root(number, now);
        if self.roots.get(number).is_some_and(|root| root.top.is_none()) {
            self.add_top(number, now);
        }
        self.schedule_all(number, now)
    }

    fn add_top(&mut self, number: usize, now: Now) {
        let id = self.store.new_dir();
        let mut directory = Directory::found(number, None, b"");
        let Some(root) = self.roots.get_mut(number) else { return };
        root.top = Some(id);
        directory.first_contact = true;
        let row = directory.row(root.id);
        self.table.insert(id, directory);
        self.touch(id, now).put_dir(id, row);
    }

    /// Takes up the schedule where the last run, or the loss of the root, left it.
    fn schedule_all(&mut self, number: usize, now: Now) -> Result<(), StoreError> {
        let Some(root) = self.roots.get_mut(number) else { return Ok(()) };
        root.agenda.begin(&self.store, root.id, now.steady)?;
        let mut learnt = self.store.learnt(root.id)?;
        let mut due = Vec::new();
        let table = &self.table;
        self.looks.retain(|dir, _| table.get(*dir).is_some_and(|directory| directory.root != number));
        for (id, directory) in self.table.iter_mut().filter(|(_, directory)| directory.root == number) {
            directory.first_contact |= !root.row.walked;
            directory.round = 0;
            if directory.gone_since.is_none() && !directory.excluded {
                due.push((id, directory.parent, directory.stamp.is_some(), directory.racy));
            }
        }
        // Parents before children.
        due.sort_unstable_by_key(|(id, ..)| *id);
        root.agenda.expect(due.len());
        for (id, parent, is_known, is_racy) in due {
            let learnt = learnt.remove(&id).filter(|_| is_known);
            root.agenda.restore(id, parent, learnt.as_deref(), now.steady);
            if is_racy {
                root.agenda.request(id, now.steady);
            }
        }
        Ok(())
    }

    /// Writes what the schedules have learnt: a part of it now and then, all of it at the end.
    pub(super) fn save_learnt(&mut self, everything: bool, now: Now) -> Result<(), StoreError> {
        for root in self.roots.iter_mut().filter(|root| root.tree.is_some()) {
            if everything {
                root.agenda.save(&self.store, root.id)?;
            } else if root.save_at <= now.steady && root.agenda.save_some(&self.store, root.id)? {
                root.save_at = now.steady.plus(SAVE_EVERY);
            }
        }
        Ok(())
    }

    /// Stops looking at a root; says why, once.
    pub(super) fn lose(&mut self, number: usize, reason: String) {
        let Some(root) = self.roots.get_mut(number) else { return };
        root.silence = Silence::default();
        let tree = root.tree.take();
        self.watched.leave(number);
        if let Some(tree) = tree {
            mount::let_go(tree);
        }
        // What it learnt is worth keeping; if it cannot be written, the store says so soon enough.
        let _ = root.agenda.save(&self.store, root.id);
        root.agenda.clear();
        let table = &self.table;
        let is_of_root = |dir: &DirId| table.get(*dir).is_some_and(|directory| directory.root == number);
        self.passes.retain(|dir, _| !is_of_root(dir));
        self.turns.retain(|dir| !is_of_root(dir));
        if root.lost.as_ref() != Some(&reason) {
            let path = root.path.display().to_string();
            root.lost = Some(reason.clone());
            self.reporter.emit(&Event::RootLost { root: path, reason });
        }
    }

    /// Ends a one-shot run's work on a root whose calls have not returned for so long.
    fn give_up_on(&mut self, number: usize, silent: Duration) {
        self.lose(number, format!("it does not answer: no call has returned for {} s", silent.as_secs()));
    }

    /// Marks every directory of a root for a full listing when the last audit is old enough.
    pub(super) fn begin_audit_if_due(&mut self, number: usize, now: Now) {
        let (Some(period), Some(root)) = (self.settings.audit, self.roots.get_mut(number)) else { return };
        if root.row.audited_at.is_some_and(|last| now.steady.since(last) < period) {
            return;
        }
        root.row.audited_at = Some(now.steady);
        for (id, directory) in self.table.iter_mut().filter(|(_, directory)| directory.root == number) {
            directory.audit = directory.stamp.is_some();
            if std::mem::take(&mut directory.excluded) && directory.gone_since.is_none() {
                // What was mounted there may be away by now.
                root.agenda.add(id, directory.parent, now.steady);
            }
        }
        self.put_root(number, now);
    }

    /// Shares the budget among the roots, and says when it does not allow a look at every directory once an interval.
    fn check_budget(&mut self) {
        let all: usize = self.roots.iter().map(|root| root.agenda.len()).sum();
        for root in &mut self.roots {
            root.agenda.share_budget(all);
            root.brake.keep(root.agenda.needed_rate());
        }
        let watched = self.roots.iter().filter(|root| root.tree.is_some());
        self.watched.note_budget(watched.map(|root| root.agenda.rate()).sum());
        let bounds =
            self.roots.iter().filter(|root| root.tree.is_some()).map(|root| root.agenda.kept_bound());
        let bound = bounds.max().filter(|bound| *bound > self.settings.interval);
        // To the second: it moves a little with every directory that comes or goes.
        let bound = bound.map(|bound| Duration::from_secs(bound.as_secs() + 1));
        if bound != self.stretched {
            self.stretched = bound;
            let kept = bound.unwrap_or(self.settings.interval);
            self.reporter.emit(&Event::Bound { promised: self.settings.interval, kept });
        }
    }

    pub(super) fn put_root(&mut self, number: usize, now: Now) {
        if let Some(root) = self.roots.get(number) {
            let (id, row) = (root.id, root.row.clone());
            self.pending.touch_all(now).put_root(id, row);
        }
    }

    /// Says when the server of a root has not answered for long, and when it answers again.
    ///
    /// A one-shot run goes on without such a root when its patience is at its end.
    pub(super) fn watch_for_silence(&mut self, now: Now) {
        self.take_back_rounds(now);
        let mut given_up = Vec::new();
        for (number, root) in self.roots.iter_mut().enumerate() {
            let has_room = root.has_room() || root.tree.is_none();
            root.stuck.observe(has_room, root.in_flight, now.steady);
            let tree = root.tree.as_ref();
            let answers = || tree.and_then(|tree| tree.rpcs()).map(|rpcs| rpcs.total());
            let silent = root.silence.lasts(now.steady, answers);
            let hangs = silent >= SILENT_AFTER;
            if self.settings.once && silent >= self.settings.patience && root.lost.is_none() {
                given_up.push((number, silent));
            }
            if hangs != std::mem::replace(&mut root.hangs, hangs) {
                let path = root.path.display().to_string();
                self.reporter.emit(&if hangs {
                    Event::MountHangs { root: path, seconds: silent.as_secs(), calls: root.in_flight }
                } else {
                    Event::MountAnswers { root: path }
                });
            }
        }
        for (number, silent) in given_up {
            self.give_up_on(number, silent);
        }
    }

    /// Roots that cannot be watched now, with the reason.
    #[must_use]
    pub(super) fn lost_roots(&self) -> Vec<(PathBuf, String)> {
        let lost = |root: &Root| root.lost.clone().map(|reason| (root.path.clone(), reason));
        self.roots.iter().filter_map(lost).collect()
    }
}
