//! What follows from a look at a directory.

use std::time::Duration;

use super::diff::{Diff, News, View, diff};
use super::engine::{Engine, LookUnderWay};
use super::job::{Effort, FileTask, Looked, NAMES_A_READDIR, Origin, Read};
use super::pass::Pass;
use super::recorder::Arrivals;
use super::table::Directory;
use crate::clock::Now;
use crate::event::Event;
use crate::model::{Name, Stamp, Timestamp};
use crate::mount::{Coverage, Listing, MountError};
use crate::rules::Judgement;
use crate::schedule::{MAX_RACY_AGE, ServerTime, Sighting};
use crate::store::{DirId, Hindrance, Known, SeenFile, StoreError};

/// When a directory is looked at again whose listing did not suffice.
const AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// How a due directory is looked at; `None` if it is not to be looked at now.
    pub(super) fn effort(&mut self, dir: DirId, now: Now) -> Option<Effort> {
        if self.passes.contains_key(&dir) {
            self.due_at_latest(dir, now.steady.plus(self.retry_pause()));
            return None;
        }
        let directory = self.table.get(dir)?;
        let is_looked_at = directory.round != 0 || self.looks.contains_key(&dir);
        if directory.done || is_looked_at || directory.gone_since.is_some() {
            return None;
        }
        let age = self.roots.get(directory.root)?.server_time.racy_age();
        let aged = now.steady.since(directory.stamp_since) >= age;
        Some(match directory.stamp {
            _ if directory.audit => Effort::Walk,
            None => Effort::First,
            Some(_) if directory.racy && aged => Effort::Confirm,
            Some(stamp) => Effort::IfChanged(stamp),
        })
    }

    pub(super) fn absorb_unchanged(
        &mut self,
        dir: DirId,
        round_trip: Duration,
        now: Now,
    ) -> Result<(), StoreError> {
        let Some((root, look)) = self.end_look(dir, now) else { return Ok(()) };
        self.note_hindrance(dir, None, now)?;
        self.answered(root, round_trip, now);
        self.unchanged(dir, look.began, now);
        Ok(())
    }

    pub(super) fn absorb_looked(
        &mut self,
        dir: DirId,
        looked: Result<Looked, MountError>,
        now: Now,
    ) -> Result<(), StoreError> {
        let Some((root, look)) = self.end_look(dir, now) else { return Ok(()) };
        let LookUnderWay { began, server_time, .. } = look;
        match &looked {
            Ok(Looked { listing: Listing { coverage: Coverage::Partial(error), .. }, .. }) => {
                self.note_hindrance(dir, Some(error), now)?;
            }
            Ok(_) => self.note_hindrance(dir, None, now)?,
            // What is gone is no hindrance.
            Err(error) if error.is_not_found() || error.is_stale() => {}
            Err(error) => self.note_hindrance(dir, Some(error), now)?,
        }
        match looked {
            Ok(Looked { stamp, listing, round_trip, .. }) => {
                self.answered(root, round_trip, now);
                self.listed(dir, stamp, &listing, began, server_time, now)?;
            }
            Err(error) => self.failed(dir, &error, now),
        }
        Ok(())
    }

    /// Takes a look off those under way; `None` if what it showed is not wanted any more.
    fn end_look(&mut self, dir: DirId, now: Now) -> Option<(usize, LookUnderWay)> {
        let directory = self.table.get_mut(dir)?;
        let root = directory.root;
        directory.done = self.settings.once;
        directory.held = true;
        self.returned(root, now);
        let look = self.looks.remove(&dir)?;
        self.is_watched(root).then_some((root, look))
    }

    /// Remembers for `explain` why a directory cannot be read, once; and that it can again.
    fn note_hindrance(&mut self, dir: DirId, error: Option<&MountError>, now: Now) -> Result<(), StoreError> {
        let Some(directory) = self.table.get_mut(dir).filter(|it| it.hindered != error.is_some()) else {
            return Ok(());
        };
        directory.hindered = error.is_some();
        // Its own row may be pending still, at leisure: without that row its number would go to another directory.
        self.pending.touch_all(now);
        let reason = |error: &MountError| {
            if error.is_other_file_system() {
                "it is another file system's, which --cross-file-systems enters".to_owned()
            } else {
                error.errno.to_string()
            }
        };
        self.store
            .note_hindrance(dir, error.map(|error| Hindrance { since: now.wall, reason: reason(error) }))
    }

    /// Notes how fast the server of a root answers.
    pub(super) fn answered(&mut self, root: usize, round_trip: Duration, now: Now) {
        if let Some(root) = self.roots.get_mut(root)
            && root.brake.observe(round_trip, now.steady)
        {
            root.agenda.brake(root.brake.share());
        }
    }

    pub(super) fn is_watched(&self, root: usize) -> bool {
        self.roots.get(root).is_some_and(|root| root.tree.is_some())
    }

    fn unchanged(&mut self, dir: DirId, began: Now, now: Now) {
        self.reporter.emit(&Event::DirectoriesUnchanged { count: 1 });
        let Some(directory) = self.table.get_mut(dir) else { return };
        directory.failures = 0;
        // A racy directory's stamp proves nothing: the news may have been there at this look.
        if !directory.racy {
            directory.looked_at = Some(began.wall);
        }
        let (stamp, number) = (directory.stamp, directory.root);
        let racy_since = directory.racy.then_some(directory.stamp_since);
        if let Some(root) = self.roots.get_mut(number) {
            if let Some(stamp) = stamp {
                root.server_time.observe(&stamp, now.steady);
            }
            root.agenda.looked(dir, began.steady, &Sighting { rpcs: 1, ..Sighting::default() });
        }
        self.make_appointment(number, dir, racy_since);
    }

    /// A racy directory is listed once more when its stamp has aged: soon, but a busy one not again and again.
    fn make_appointment(&mut self, root: usize, dir: DirId, racy_since: Option<Timestamp>) {
        let usual = (self.settings.interval / 4).min(MAX_RACY_AGE);
        if let Some(root) = self.roots.get_mut(root) {
            let age = root.server_time.racy_age().max(usual);
            root.agenda.appoint(dir, racy_since.map(|since| since.plus(age)));
        }
    }

    fn failed(&mut self, dir: DirId, error: &MountError, now: Now) {
        let Some(directory) = self.table.get_mut(dir) else { return };
        directory.failures += 1;
        directory.excluded = error.is_other_file_system();
        let (failures, parent, root) = (directory.failures, directory.parent, directory.root);
        let path = self.table.path(dir);
        let is_elsewhere = error.is_not_found() || error.is_stale();
        match parent {
            None if is_elsewhere => return self.lose(root, error.to_string()),
            Some(_) if is_elsewhere => {
                self.reporter.emit(&Event::DirectoryElsewhere { path });
                self.look_at_ancestors(dir, now);
            }
            _ if error.is_other_file_system() => self.reporter.emit(&Event::DirectoryExcluded { path }),
            _ => self.reporter.emit(&Event::DirectoryFailed { path, reason: error.to_string(), failures }),
        }
        match self.roots.get_mut(root) {
            Some(root) if error.is_other_file_system() => root.agenda.remove(dir),
            Some(root) => root.agenda.failed(dir, now.steady),
            None => {}
        }
    }

    /// A directory's path leads elsewhere: one of those above it tells where to.
    fn look_at_ancestors(&mut self, dir: DirId, now: Now) {
        let mut next = self.table.get(dir).and_then(|directory| directory.parent);
        while let Some(ancestor) = next {
            self.due_at_latest(ancestor, now.steady);
            next = self.table.get(ancestor).and_then(|directory| directory.parent);
        }
    }

    fn listed(
        &mut self,
        dir: DirId,
        stamp: Stamp,
        listing: &Listing,
        began: Now,
        server_time: ServerTime,
        now: Now,
    ) -> Result<(), StoreError> {
        self.commit_of(dir, now)?;
        let changed = self.table.get(dir).is_some_and(|directory| directory.stamp != Some(stamp));
        let sighting = self.sighting(dir, &stamp, listing, changed, began);
        let racy = self.note_stamp(dir, stamp, began, server_time, now);
        let known = self.store.known(dir)?;
        let found = self.compare(dir, listing, &known, now);
        let not_before = self.table.get(dir).and_then(|directory| directory.looked_at);
        let mut pass = Pass {
            stamp,
            racy,
            conclusive: listing.coverage == Coverage::Complete,
            began,
            sighting,
            not_before,
            todo: Vec::new(),
            under_way: 0,
        };
        self.report_listing(dir, listing, &found, changed);
        self.take_gone(dir, &found, now);
        for (name, fileid) in &found.directories {
            self.take_directory(dir, name, *fileid, not_before, now);
        }
        self.take_news(dir, found.news, &mut pass, now);
        self.passes.insert(dir, pass);
        self.turns.push_back(dir);
        self.finish_pass_if_done(dir, now);
        Ok(())
    }

    /// What a listing tells the schedule; the files that arrive are counted as they are looked at.
    fn sighting(&self, dir: DirId, stamp: &Stamp, listing: &Listing, changed: bool, began: Now) -> Sighting {
        let directory = self.table.get(dir);
        let root = directory.and_then(|directory| self.roots.get(directory.root));
        let least = root.and_then(|root| root.server_time.age(stamp, began.steady));
        let is_first = directory.is_none_or(|directory| directory.stamp.is_none());
        // How long a tree has been at rest before first contact only our own wall clock can tell: a guess, and nothing
        // but the first guess at a rate hangs on it.
        let guess = is_first.then(|| began.wall.since(stamp.mtime));
        let readdirs = 1 + u32::try_from(listing.entries.len() / NAMES_A_READDIR).unwrap_or(u32::MAX - 1);
        // Finding it and ACCESS; later the look, opening it, ACCESS if it changed, and one look for each name of its
        // path: what is held open may have been renamed. Counted on Linux, NFSv3 and v4.2.
        let depth = || u32::try_from(self.table.path(dir).components().count()).unwrap_or(u32::MAX);
        let besides = if is_first { 2 } else { 2 + u32::from(changed) + depth() };
        let (changed_ago, rpcs) = (least.max(guess), besides + readdirs);
        Sighting { changed, changed_ago, rpcs, ..Sighting::default() }
    }

    /// Notes what the stamp says of the server's clock and of the listing under it.
    ///
    /// A new stamp counts as seen when the answer came: a server that hung may have given it at the last moment.
    fn note_stamp(&mut self, dir: DirId, stamp: Stamp, began: Now, at_look: ServerTime, now: Now) -> bool {
        let known = self.table.get(dir).map(|directory| (directory.stamp, directory.stamp_since));
        let is_same = known.is_some_and(|(known, _)| known == Some(stamp));
        let is_change = known.is_some_and(|(known, _)| known.is_some()) && !is_same;
        match self.root_mut(dir) {
            Some(root) if is_change => root.server_time.observe_change(&stamp, now.steady),
            Some(root) => root.server_time.observe(&stamp, now.steady),
            None => {}
        }
        // When the server gave the stamp is not known better than that it was before the answer came.
        let since = known.filter(|_| is_same).map_or(now.steady, |(_, since)| since);
        if let Some(directory) = self.table.get_mut(dir) {
            directory.stamp_since = since;
        }
        let aged = is_same && began.steady.since(since) >= at_look.racy_age();
        !aged && at_look.is_racy(&stamp)
    }

    fn compare(&self, dir: DirId, listing: &Listing, known: &Known, now: Now) -> Diff {
        let audit = self.table.get(dir).is_some_and(|directory| directory.audit);
        let first = (dir, Vec::new());
        let waiting = self.waiting.range(first..).take_while(|((of, _), _)| *of == dir);
        let waiting = waiting.map(|((_, name), row)| (name.clone(), row.stamp.fileid)).collect();
        diff(
            listing,
            &View {
                path: &self.table.path(dir),
                known,
                children: self.table.children(dir),
                waiting: &waiting,
                rules: &self.settings.rules,
                forget_before: now.wall.minus(self.settings.history),
                every_file: audit && self.settings.audit_stat,
            },
        )
    }

    fn report_listing(&mut self, dir: DirId, listing: &Listing, found: &Diff, changed: bool) {
        let path = self.table.path(dir);
        if let (Coverage::Partial(error), Some(directory)) = (&listing.coverage, self.table.get_mut(dir)) {
            directory.failures += 1;
            let (reason, failures) = (error.to_string(), directory.failures);
            self.reporter.emit(&Event::DirectoryFailed { path: path.clone(), reason, failures });
        }
        self.reporter.emit(&Event::DirectoryListed {
            path,
            changed,
            names: listing.entries.len(),
            news: found.news.len(),
            gone: found.gone_files.len(),
        });
    }

    fn take_gone(&mut self, dir: DirId, found: &Diff, now: Now) {
        let root = self.root_of(dir);
        for known in &found.gone_files {
            let file = SeenFile { gone_since: Some(now.wall), ..known.file.clone() };
            self.touch(dir, now).put_seen(root, dir, Some(known.run), file);
        }
        for known in &found.forgotten_files {
            self.touch(dir, now).forget_seen(root, dir, known.clone());
        }
        for child in &found.gone_directories {
            self.take_gone_directory(*child, now);
        }
        for name in &found.gone_waiting {
            self.stop_waiting(dir, name, now);
        }
    }

    fn take_gone_directory(&mut self, top: DirId, now: Now) {
        if self.table.get(top).is_none_or(|directory| directory.gone_since.is_some()) {
            return;
        }
        self.reporter.emit(&Event::DirectoryGone { path: self.table.path(top) });
        let root = self.root_of(top);
        for dir in self.table.subtree(top) {
            if let Some(root) = self.root_mut(dir) {
                root.agenda.remove(dir);
            }
            self.passes.remove(&dir);
            let Some(directory) = self.table.get_mut(dir) else { continue };
            directory.gone_since.get_or_insert(now.wall);
            let row = directory.row(root);
            if let Some(tree) = self.roots.get(directory.root).and_then(|root| root.tree.as_ref()) {
                tree.drop_directory(dir.0);
            }
            self.touch(dir, now).put_dir(dir, row);
            self.forget_waiting_in(dir, now);
        }
    }

    /// A sub-directory that is there: new, back again, or known.
    pub(super) fn take_directory(
        &mut self,
        dir: DirId,
        name: &[u8],
        fileid: u64,
        not_before: Option<Timestamp>,
        now: Now,
    ) {
        let known = self.table.children(dir).get(name).copied();
        match known {
            Some(id) if self.table.get(id).is_some_and(|child| child.gone_since.is_none()) => {
                if self.is_exchanged(id, fileid) {
                    self.let_go(id, now);
                    self.revive(id, not_before, now);
                }
            }
            Some(id) => self.revive(id, not_before, now),
            None => {
                let Some(parent) = self.table.get(dir) else { return };
                let mut child = Directory::found(parent.root, Some(dir), name);
                child.first_contact = parent.first_contact;
                child.fileid = Some(fileid);
                child.looked_at = not_before;
                self.add_directory(self.store.new_dir(), child, now);
            }
        }
    }

    /// Whether another directory lies under a known name now; notes its number.
    ///
    /// The descriptor that is held leads to the old one, wherever that is now: nothing in the new one would ever be
    /// seen through it. A mount point's number differs from its stamp's; then it is listed once for nothing.
    fn is_exchanged(&mut self, id: DirId, fileid: u64) -> bool {
        let Some(child) = self.table.get_mut(id) else { return false };
        let known = child.fileid.or(child.stamp.map(|stamp| stamp.fileid));
        child.fileid = Some(fileid);
        known.is_some_and(|known| known != fileid)
    }

    /// Forgets the descriptors of a directory and of all below it; what is being looked at through them begins again.
    fn let_go(&mut self, top: DirId, now: Now) {
        for dir in self.table.subtree(top) {
            let was_listed = self.passes.remove(&dir).is_some();
            let was_looked_at = self.looks.remove(&dir).is_some() | self.leave_round(dir);
            if (was_looked_at || was_listed)
                && let Some(root) = self.root_mut(dir)
            {
                root.agenda.again(dir, now.steady);
            }
            let Some(directory) = self.table.get(dir) else { continue };
            if let Some(tree) = self.roots.get(directory.root).and_then(|root| root.tree.as_ref()) {
                tree.drop_directory(dir.0);
            }
        }
    }

    /// Lets the answer about a directory that is asked in a round count for nothing; tells whether it is.
    fn leave_round(&mut self, dir: DirId) -> bool {
        self.table.get_mut(dir).is_some_and(|directory| std::mem::take(&mut directory.round) != 0)
    }

    fn revive(&mut self, id: DirId, not_before: Option<Timestamp>, now: Now) {
        let Some(mut child) = self.table.get(id).cloned() else { return };
        self.looks.remove(&id);
        child.round = 0;
        child.gone_since = None;
        child.stamp = None;
        child.excluded = false;
        child.looked_at = not_before;
        self.add_directory(id, child, now);
    }

    fn add_directory(&mut self, id: DirId, directory: Directory, now: Now) {
        let root = self.roots.get(directory.root).map(|root| root.id).unwrap_or_default();
        let (row, parent) = (directory.row(root), directory.parent);
        self.table.insert(id, directory);
        // Not as a decision about it that its listing would have to wait for: this row is read at the next start only.
        self.pending.touch_at_leisure(now).put_dir(id, row);
        if let Some(root) = self.root_mut(id) {
            root.agenda.add(id, parent, now.steady);
        }
    }

    fn take_news(&mut self, dir: DirId, news: Vec<News>, pass: &mut Pass, now: Now) {
        let baseline =
            self.settings.baseline && self.table.get(dir).is_some_and(|directory| directory.first_contact);
        let dir_path = self.table.path(dir);
        let mut unread = Vec::with_capacity(if baseline { news.len() } else { 0 });
        for item in news {
            if self.busy.contains(&(dir, item.name.to_vec())) {
                pass.conclusive = false;
            } else if baseline && item.is_file && item.known.is_none() {
                unread.push((item.name, item.fileid));
            } else {
                pass.todo.push(FileTask {
                    dir,
                    path: dir_path.join(&item.name),
                    fileid: Some(item.fileid),
                    // Its type did not come with its name.
                    read: if baseline && item.known.is_none() { Read::AsSeen } else { self.read_of(&item) },
                    name: item.name.to_vec(),
                    known: item.known,
                    judgement: item.judgement,
                    origin: Origin::Listing { began: pass.began.steady },
                    not_before: pass.not_before,
                });
            }
        }
        self.take_as_seen(dir, unread, now);
    }

    /// When a file that a listing showed is read at once: an archive can prove that it is complete, others cannot.
    fn read_of(&self, item: &News) -> Read {
        match (item.judgement, &item.known) {
            (Judgement::Ignored, _) => Read::Never,
            (Judgement::Plain, _) if !self.settings.settle.settle.is_zero() => Read::Never,
            (_, Some(known)) => Read::UnlessStill(known.file.stamp),
            (_, None) => Read::Always,
        }
    }

    /// Files that are there at first contact and are not wanted: names and numbers are enough to know them by.
    pub(super) fn take_as_seen(&mut self, dir: DirId, files: Vec<(Name, u64)>, now: Now) {
        if files.is_empty() {
            return;
        }
        for _ in &files {
            self.reporter.emit(&Event::Baselined);
        }
        self.pending.directories.insert(dir);
        self.pending.touch_at_leisure(now).put_unread(dir, files);
    }

    /// Stores the directory's stamp once everything that its listing showed is on record.
    pub(super) fn finish_pass_if_done(&mut self, dir: DirId, now: Now) {
        if !self.passes.get(&dir).is_some_and(Pass::is_done) {
            return;
        }
        let Some(pass) = self.passes.remove(&dir) else { return };
        if self.settings.record && pass.sighting.arrivals > 0 {
            let (at, files) = (now.steady, pass.sighting.arrivals);
            self.arrivals.push(Arrivals { at, dir: self.table.path(dir), files });
        }
        self.turns.retain(|turn| *turn != dir);
        let root = self.root_of(dir);
        let Some(directory) = self.table.get_mut(dir) else { return };
        if !pass.conclusive {
            return self.look_again_soon(dir, &pass, now);
        }
        directory.failures = 0;
        directory.stamp = Some(pass.stamp);
        directory.racy = pass.racy;
        directory.audit = false;
        directory.looked_at = Some(pass.began.wall);
        let racy_since = directory.racy.then_some(directory.stamp_since);
        let (row, number) = (directory.row(root), directory.root);
        self.pending.touch_at_leisure(now).put_dir(dir, row);
        if let Some(root) = self.roots.get_mut(number) {
            root.agenda.looked(dir, pass.began.steady, &pass.sighting);
        }
        self.make_appointment(number, dir, racy_since);
    }

    /// After a listing that was not whole, met a file in other hands, or showed what could not be read for a full
    /// outbox: that may last, so the schedule decides then.
    fn look_again_soon(&mut self, dir: DirId, pass: &Pass, now: Now) {
        let soon = (!self.paused).then(|| now.steady.plus(self.settings.interval.min(AGAIN)));
        let (began, sighting) = (pass.began.steady, pass.sighting);
        if let Some(root) = self.root_mut(dir) {
            root.agenda.looked(dir, began, &sighting);
            if let Some(soon) = soon {
                root.agenda.request(dir, soon);
            }
        }
    }

    pub(super) fn root_of(&self, dir: DirId) -> crate::store::RootId {
        let root = self.table.get(dir).and_then(|directory| self.roots.get(directory.root));
        root.map(|root| root.id).unwrap_or_default()
    }

    /// Ends the first walk of the roots whose every directory was listed.
    pub(super) fn end_first_walks(&mut self, now: Now) {
        for number in 0..self.roots.len() {
            let Some(root) = self.roots.get(number) else { continue };
            let open = |directory: &Directory| {
                directory.root == number
                    && directory.stamp.is_none()
                    && directory.failures == 0
                    && directory.gone_since.is_none()
                    && !directory.excluded
            };
            if root.row.walked || root.tree.is_none() || self.table.iter().any(|(_, row)| open(row)) {
                continue;
            }
            for (_, directory) in self.table.iter_mut().filter(|(_, directory)| directory.root == number) {
                directory.first_contact = false;
            }
            if let Some(root) = self.roots.get_mut(number) {
                root.row.walked = true;
                let root = String::from_utf8_lossy(&root.row.path).into_owned();
                self.reporter.emit(&Event::RootWalked { root });
            }
            self.put_root(number, now);
        }
    }
}
