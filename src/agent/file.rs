//! What follows from a look at a file.

use super::engine::Engine;
use super::job::{Examined, FileTask, Origin, Read, ReadOutcome};
use super::pending::Held;
use super::verdict::{Circumstances, Verdict, judge};
use crate::clock::Now;
use crate::event::Event;
use crate::intake::Reading;
use crate::model::{AnalysisStatus, Handover, Kind, MessageId, Stamp, Timestamp};
use crate::mount::{FileKind, FileStat, MountError};
use crate::rules::Judgement;
use crate::store::{Content, DirId, SeenFile, StoreError, WaitReason, WaitRow};

/// RPCs that reading a file costs beside the first look at it, as counted on Linux: two more looks, READ, and on NFSv3
/// ACCESS and the look that opening takes, on v4.2 OPEN and CLOSE. A file beyond `rsize` costs more READs, which are not
/// for looking.
const READ_RPCS: u32 = 5;

/// What a file of a listing means for the schedule.
#[derive(Clone, Copy)]
struct Cost {
    rpcs: u32,
    arrived: bool,
}

impl Engine {
    pub(super) fn absorb_examined(
        &mut self,
        task: FileTask,
        examined: Result<Examined, MountError>,
        now: Now,
    ) -> Result<(), StoreError> {
        let (dir, origin) = (task.dir, task.origin);
        if let Some(directory) = self.table.get(dir) {
            let root = directory.root;
            self.returned(root, now);
        }
        self.busy.remove(&(dir, task.name.clone()));
        let arrived = examined.as_ref().is_ok_and(|examined| has_arrived(&task, &examined.stat));
        let was_read =
            examined.as_ref().is_ok_and(|examined| !matches!(examined.reading, ReadOutcome::NotRead));
        let rpcs = 1 + if was_read { READ_RPCS } else { 0 };
        let recorded = match examined {
            Ok(Examined { stat, reading }) => self.take_examined(task, stat, reading, now)?,
            Err(error) => self.take_failed(&task, &error, now),
        };
        match origin {
            Origin::Listing { began } => {
                self.file_of_pass_done(dir, began, recorded, Cost { rpcs, arrived }, now);
            }
            Origin::Waiting { .. } => {
                if let Some(root) = self.root_mut(dir) {
                    root.agenda.pay_file(now.steady, rpcs);
                }
            }
        }
        Ok(())
    }

    fn file_of_pass_done(&mut self, dir: DirId, began: Timestamp, recorded: bool, cost: Cost, now: Now) {
        // What was under way when the root was lost must not count for the listing that came after.
        let ours = self.passes.get_mut(&dir).filter(|pass| pass.began.steady == began);
        let Some(pass) = ours else { return };
        pass.under_way = pass.under_way.saturating_sub(1);
        pass.conclusive &= recorded;
        pass.sighting.file_rpcs += cost.rpcs;
        pass.sighting.arrivals += u32::from(cost.arrived);
        self.finish_pass_if_done(dir, now);
    }

    /// Puts on record what a file was found to be; tells whether that was possible.
    fn take_examined(
        &mut self,
        task: FileTask,
        stat: FileStat,
        reading: ReadOutcome,
        now: Now,
    ) -> Result<bool, StoreError> {
        if let Some(root) = self.root_mut(task.dir) {
            root.server_time.observe(&stat.stamp, now.steady);
        }
        match (stat.kind, reading) {
            (FileKind::Directory, _) => {
                let fileid = task.fileid.unwrap_or(stat.stamp.fileid);
                self.take_directory(task.dir, &task.name, fileid, task.not_before, now);
            }
            (FileKind::Other, _) => self.take_other(task, stat.stamp, now),
            (FileKind::File, _) if task.judgement == Judgement::Ignored => {}
            (FileKind::File, ReadOutcome::NotRead) => self.take_unread(task, stat.stamp, now),
            (FileKind::File, ReadOutcome::Unsteady) => {
                self.wait(&task, stat.stamp, WaitReason::Settling, now, true);
            }
            (FileKind::File, ReadOutcome::Failed(error)) => {
                let reason = WaitReason::Unreadable { error: error.to_string() };
                self.wait(&task, stat.stamp, reason, now, false);
            }
            (FileKind::File, ReadOutcome::Read(reading)) => {
                self.take_read(task, stat.stamp, *reading, now)?;
            }
        }
        Ok(true)
    }

    /// A file that could not even be stat'ed. Whether it is gone only the next listing tells: a client may hold that a
    /// name does not exist for as long as the directory's stamp stays the same.
    fn take_failed(&mut self, task: &FileTask, error: &MountError, now: Now) -> bool {
        let waiting = self.waiting.get(&(task.dir, task.name.clone())).map(|row| row.stamp);
        if let Some(stamp) = waiting {
            self.wait(task, stamp, WaitReason::Unreadable { error: error.to_string() }, now, false);
        }
        if error.is_not_found() {
            self.due_at_latest(task.dir, now.steady);
        } else {
            let event = Event::Waiting { path: task.path.clone(), reason: error.to_string() };
            self.reporter.emit(&event);
        }
        false
    }

    /// A name that is no file: remembered, so that its type is not asked for again.
    fn take_other(&mut self, task: FileTask, stamp: Stamp, now: Now) {
        self.stop_waiting(task.dir, &task.name, now);
        self.record(task, stamp, Content::NotAFile, now);
    }

    /// A file whose stamp alone was asked for.
    fn take_unread(&mut self, task: FileTask, stamp: Stamp, now: Now) {
        if task.known.as_ref().is_some_and(|known| known.file.stamp == stamp) {
            let (seen, content) = (stamp, task.known.as_ref().map(|known| known.file.content));
            if task.known.as_ref().is_some_and(|known| known.file.gone_since.is_some()) {
                self.record(task, seen, content.unwrap_or(Content::Unread), now);
            }
            return;
        }
        if task.read == Read::AsSeen {
            return self.take_as_seen(task.dir, vec![(task.name.into(), stamp.fileid)], now);
        }
        let reason = self.reason_so_far(&task, stamp).unwrap_or(WaitReason::Settling);
        self.wait(&task, stamp, reason, now, false);
    }

    /// Why a file waits already, if its stamp is still the same.
    fn reason_so_far(&self, task: &FileTask, stamp: Stamp) -> Option<WaitReason> {
        let row = self.waiting.get(&(task.dir, task.name.clone()))?;
        (row.stamp == stamp).then(|| row.reason.clone())
    }

    fn take_read(
        &mut self,
        mut task: FileTask,
        stamp: Stamp,
        reading: Reading,
        now: Now,
    ) -> Result<(), StoreError> {
        if self.pending.fileids.contains(&stamp.fileid) {
            self.commit(now)?;
        }
        if task.known.is_none() {
            task.known = self.known_of(task.dir, &task.name, now)?.map(Box::new);
        }
        let root = self.root_of(task.dir);
        let elsewhere =
            !self.settings.send_moved && self.store.knows_elsewhere(root, &stamp, &reading.blake3)?;
        let circumstances = Circumstances {
            known: task.known.as_ref().map(|known| &known.file),
            stamp,
            known_elsewhere: elsewhere,
            last_chance: task.origin == Origin::Waiting { last_chance: true }
                || self.settings.settle.give_up.is_zero(),
        };
        match judge(&reading, &circumstances) {
            Verdict::Wait(reason) => self.wait(&task, stamp, reason, now, false),
            Verdict::HandOver(kind) => self.hand_over(task, stamp, reading, kind, now),
            Verdict::Same => {
                self.reporter.emit(&Event::SameContent { path: task.path.clone() });
                self.record_read(task, stamp, &reading, now);
            }
            Verdict::Moved => {
                self.reporter.emit(&Event::Moved { path: task.path.clone() });
                self.record_read(task, stamp, &reading, now);
            }
        }
        Ok(())
    }

    /// A waiting file may replace one that is known: its record is looked up when it matters.
    fn known_of(
        &mut self,
        dir: DirId,
        name: &[u8],
        now: Now,
    ) -> Result<Option<crate::store::KnownFile>, StoreError> {
        if !self.waiting.contains_key(&(dir, name.to_vec())) {
            return Ok(None);
        }
        self.commit_of(dir, now)?;
        self.store.known_file(dir, name)
    }

    fn record_read(&mut self, task: FileTask, stamp: Stamp, reading: &Reading, now: Now) {
        self.stop_waiting(task.dir, &task.name, now);
        self.record(task, stamp, Content::Hashed(reading.blake3), now);
    }

    fn record(&mut self, task: FileTask, stamp: Stamp, content: Content, now: Now) {
        let (root, run) = (self.root_of(task.dir), task.known.as_ref().map(|known| known.run));
        let seq = task.known.map_or(0, |known| known.file.seq);
        let file = SeenFile { name: task.name.into(), stamp, content, seq, gone_since: None };
        self.pending.fileids.insert(stamp.fileid);
        self.touch(task.dir, now).put_seen(root, task.dir, run, file);
    }

    fn hand_over(&mut self, task: FileTask, stamp: Stamp, reading: Reading, kind: Kind, now: Now) {
        let first = self.waiting.get(&(task.dir, task.name.clone()));
        let not_before = first.map_or(task.not_before, |row| row.not_before);
        // With one that waited goes its row, and that nothing else would ask for it again.
        let is_held = first.is_none() && self.is_of_open_pass(&task);
        self.stop_waiting(task.dir, &task.name, now);
        let (root, run) = (self.root_of(task.dir), task.known.as_ref().map(|known| known.run));
        let is_whole = reading.analysis.status == AnalysisStatus::Ok;
        let handover = Handover {
            seq: 0,
            id: MessageId::of(&task.path, &reading.blake3),
            kind,
            root: self.root_path(task.dir),
            path: task.path,
            stamp,
            blake3: reading.blake3,
            detected_at: now.wall,
            not_before,
            analysis: reading.analysis,
            jobdata_text: reading.jobdata_text.filter(|_| is_whole),
            figures: reading.figures.filter(|_| is_whole),
            experiments: reading.experiments,
        };
        let content = Content::Hashed(reading.blake3);
        let file = SeenFile { name: task.name.into(), stamp, content, seq: 0, gone_since: None };
        self.pending.fileids.insert(stamp.fileid);
        if is_held {
            self.pending.hold(task.dir, Held { root, run, file, handover }, now);
        } else {
            self.touch(task.dir, now).hand_over(root, task.dir, run, file, handover);
        }
    }

    /// Whether a file is one of a listing that is not through: until it is, a crash makes the directory be listed again.
    fn is_of_open_pass(&self, task: &FileTask) -> bool {
        let Origin::Listing { began } = task.origin else { return false };
        self.passes.get(&task.dir).is_some_and(|pass| pass.began.steady == began)
    }

    fn root_path(&self, dir: DirId) -> Vec<u8> {
        let root = self.table.get(dir).and_then(|directory| self.roots.get(directory.root));
        root.map(|root| root.row.path.clone()).unwrap_or_default()
    }

    /// Puts a file on record as waiting, or keeps it there; a changed stamp starts the waiting again.
    fn wait(&mut self, task: &FileTask, stamp: Stamp, reason: WaitReason, now: Now, restart: bool) {
        let key = (task.dir, task.name.clone());
        let old = self.waiting.get(&key);
        let same = old.filter(|row| row.stamp == stamp && !restart);
        let still_since = same.map_or(now.steady, |row| row.still_since);
        let (first_seen, not_before) =
            old.map_or((now.wall, task.not_before), |row| (row.first_seen, row.not_before));
        let mut row = WaitRow { stamp, still_since, look_at: now.steady, first_seen, not_before, reason };
        row.look_at = self.next_look_at(&row, now);
        if restart {
            row.look_at = row.look_at.max(now.steady.plus(self.retry_pause()));
        }
        if old.is_none_or(|old| old.reason != row.reason) {
            self.reporter
                .emit(&Event::Waiting { path: task.path.clone(), reason: reason_in_words(&row.reason) });
        }
        let old = self.waiting.insert(key.clone(), row.clone());
        if let Some(root) = self.root_mut(task.dir) {
            if let Some(old) = old {
                root.wait_order.remove(&(old.look_at, key.0, key.1.clone()));
            }
            root.wait_order.insert((row.look_at, key.0, key.1.clone()));
        }
        self.touch(task.dir, now).put_waiting(key.0, key.1, row);
    }

    pub(super) fn stop_waiting(&mut self, dir: DirId, name: &[u8], now: Now) {
        let key = (dir, name.to_vec());
        if let Some(row) = self.waiting.remove(&key) {
            if let Some(root) = self.root_mut(dir) {
                root.wait_order.remove(&(row.look_at, key.0, key.1.clone()));
            }
            self.touch(dir, now).remove_waiting(key.0, key.1);
        }
    }

    /// Forgets the waiting files of a directory.
    pub(super) fn forget_waiting_in(&mut self, dir: DirId, now: Now) {
        let names = self.waiting.range((dir, Vec::new())..).take_while(|((of, _), _)| *of == dir);
        let names: Vec<_> = names.map(|((_, name), _)| name.clone()).collect();
        for name in names {
            self.stop_waiting(dir, &name, now);
        }
    }
}

/// Whether a name that a listing showed is a file that came into the directory since the last one.
fn has_arrived(task: &FileTask, stat: &FileStat) -> bool {
    let known = task.known.as_ref().map(|known| known.file.stamp.fileid);
    stat.kind == FileKind::File && task.judgement != Judgement::Ignored && known != Some(stat.stamp.fileid)
}

/// A reason for waiting without what is peculiar to the file.
pub(super) fn reason_in_short(reason: &WaitReason) -> String {
    match reason {
        WaitReason::Settling => "must look the same twice, --settle apart".to_owned(),
        WaitReason::Broken { analysis, .. } => analysis.status.as_str().to_owned(),
        WaitReason::Unreadable { .. } => "cannot be read".to_owned(),
    }
}

/// A reason for waiting, for people.
#[must_use]
pub(super) fn reason_in_words(reason: &WaitReason) -> String {
    match reason {
        WaitReason::Settling => "it must look the same twice".to_owned(),
        WaitReason::Broken { analysis, .. } => match &analysis.detail {
            Some(detail) => format!("{}: {detail}", analysis.status.as_str()),
            None => analysis.status.as_str().to_owned(),
        },
        WaitReason::Unreadable { error } => error.clone(),
    }
}
