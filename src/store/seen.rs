//! The index of files seen, packed: up to 64 files of a directory in one row.
//!
//! A row a file costs three times the disk and seven gigabytes of memory at five million files; packed runs cost
//! some 120 bytes a file. New files go to the last run; a file that changes is rewritten in the run it lies in.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::{ContentHash, Name, Seq, Stamp, Timestamp};

use super::medium::{Batch, Medium};
use super::{DirId, Store, StoreError, codec, keys, run};

/// Files in a run.
pub(super) const RUN_FILES: usize = 64;

/// What is known of a name's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// It was read, and this is its hash.
    Hashed(ContentHash),
    /// It was there at first contact (`--baseline`) and not read.
    Unread,
    /// It is not a regular file: known so that its type is not asked again.
    NotAFile,
}

/// A name in a directory that needs no further look while its fileid stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenFile {
    /// Its name.
    pub name: Name,
    /// Its stamp when it was read.
    pub stamp: Stamp,
    /// Its content.
    pub content: Content,
    /// Its last handover; 0 if it was never handed over.
    pub seq: Seq,
    /// Since when (wall time) its name is gone from a completely listed directory.
    pub gone_since: Option<Timestamp>,
}

impl SeenFile {
    /// A file that was there at first contact: its name and number are enough to know it by.
    pub(super) fn only_named(name: Name, fileid: u64) -> Self {
        let stamp = Stamp { fileid, ..Stamp::default() };
        Self { name, stamp, content: Content::Unread, seq: 0, gone_since: None }
    }

    /// Whether nothing more is known of it.
    pub(super) fn is_only_named(&self) -> bool {
        let stamp = Stamp { fileid: self.stamp.fileid, ..Stamp::default() };
        (self.stamp, self.content, self.seq, self.gone_since) == (stamp, Content::Unread, 0, None)
    }
}

/// A seen file and the run that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Where it lies.
    pub run: u32,
    /// What is known.
    pub file: SeenFile,
}

/// Every file known of one directory, in no order: each name once.
pub type Known = Vec<KnownFile>;

impl Store {
    /// Every file known of `dir`.
    pub fn known(&self, dir: DirId) -> Result<Known, StoreError> {
        let rows = self.db.scan_prefix(keys::runs_of(dir)).collect::<Result<Vec<_>, _>>()?;
        let mut known = Known::with_capacity(rows.len() * RUN_FILES);
        for (key, value) in rows {
            let run = keys::last_u32(&key).ok_or(StoreError::Damaged { what: "a run's key" })?;
            known.extend(run::decode(&value)?.into_iter().map(|file| KnownFile { run, file }));
        }
        Ok(known)
    }

    /// What is known of the file `name` of `dir`.
    pub fn known_file(&self, dir: DirId, name: &[u8]) -> Result<Option<KnownFile>, StoreError> {
        Ok(self.known(dir)?.into_iter().find(|known| *known.file.name == *name))
    }

    /// How many files are known in all, and how many of them are gone.
    pub fn count_seen(&self) -> Result<(u64, u64), StoreError> {
        let (mut files, mut gone) = (0, 0);
        for entry in self.db.scan_prefix(b"s") {
            for file in run::decode(&entry?.1)?.iter().filter(|file| file.content != Content::NotAFile) {
                files += 1;
                gone += u64::from(file.gone_since.is_some());
            }
        }
        Ok((files, gone))
    }
}

/// The runs of the directories that one transaction touches, read once and written once.
#[derive(Default)]
pub(super) struct RunEditor {
    directories: BTreeMap<DirId, EditedRuns>,
}

#[derive(Default)]
struct EditedRuns {
    runs: BTreeMap<u32, Vec<SeenFile>>,
    /// The run of each name: a first look may bring hundreds of thousands at once.
    places: HashMap<Name, u32>,
    last: Option<u32>,
}

impl RunEditor {
    /// Puts `file` into `run` of `dir`, or into the last one if it is new there.
    pub(super) fn put(
        &mut self,
        db: &Medium,
        dir: DirId,
        run: Option<u32>,
        file: SeenFile,
    ) -> Result<(), StoreError> {
        let edited = self.directories.entry(dir).or_default();
        if let Some(run) = run {
            edited.load(db, dir, run)?;
        }
        if let Some(old) = edited.find(&file.name) {
            *old = file;
            return Ok(());
        }
        edited.append(db, dir, file)
    }

    /// Puts files that were there at first contact. Of a directory of which nothing is known yet they go to `batch` at once,
    /// not into the editor: it would look for each name among the others.
    pub(super) fn put_unread(
        &mut self,
        db: &Medium,
        dir: DirId,
        mut files: Vec<(Name, u64)>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let is_known = self.directories.contains_key(&dir)
            || db.scan_prefix(keys::runs_of(dir)).next().transpose()?.is_some();
        if is_known {
            return files
                .into_iter()
                .try_for_each(|(name, fileid)| self.put(db, dir, None, SeenFile::only_named(name, fileid)));
        }
        // A directory that changes while it is listed may show a name twice.
        files.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        files.dedup_by(|one, other| one.0 == other.0);
        let (mut run, mut number) = (Vec::with_capacity(files.len().min(RUN_FILES)), 0);
        for (name, fileid) in files {
            let file = SeenFile::only_named(name, fileid);
            if is_full(&run, &file) {
                batch.insert(keys::run(dir, number), run::encode(&run));
                run.clear();
                number += 1;
            }
            run.push(file);
        }
        batch.insert(keys::run(dir, number), run::encode(&run));
        Ok(())
    }

    /// Takes `name` out of `run` of `dir`.
    pub(super) fn remove(
        &mut self,
        db: &Medium,
        dir: DirId,
        run: u32,
        name: &[u8],
    ) -> Result<(), StoreError> {
        let edited = self.directories.entry(dir).or_default();
        edited.load(db, dir, run)?;
        if let Some(files) = edited.runs.get_mut(&run) {
            files.retain(|file| *file.name != *name);
            edited.places.remove(name);
        }
        Ok(())
    }

    /// Adds the changed rows to `batch`.
    pub(super) fn write(&self, batch: &mut Batch) {
        for (dir, edited) in &self.directories {
            for (run, files) in &edited.runs {
                let key = keys::run(*dir, *run);
                if files.is_empty() {
                    batch.remove(key);
                } else {
                    batch.insert(key, run::encode(files));
                }
            }
        }
    }
}

impl EditedRuns {
    fn load(&mut self, db: &Medium, dir: DirId, run: u32) -> Result<(), StoreError> {
        if let Entry::Vacant(empty) = self.runs.entry(run) {
            let files = db.get(keys::run(dir, run))?.map(|value| run::decode(&value)).transpose()?;
            let files = files.unwrap_or_default();
            self.places.extend(files.iter().map(|file| (file.name.clone(), run)));
            empty.insert(files);
        }
        Ok(())
    }

    fn find(&mut self, name: &[u8]) -> Option<&mut SeenFile> {
        let run = self.places.get(name)?;
        self.runs.get_mut(run)?.iter_mut().find(|file| *file.name == *name)
    }

    fn append(&mut self, db: &Medium, dir: DirId, file: SeenFile) -> Result<(), StoreError> {
        let mut last = match self.last {
            Some(last) => last,
            None => last_run(db, dir)?,
        };
        self.load(db, dir, last)?;
        if self.runs.get(&last).is_some_and(|files| is_full(files, &file)) {
            last += 1;
        }
        self.last = Some(last);
        self.places.insert(file.name.clone(), last);
        self.runs.entry(last).or_default().push(file);
        Ok(())
    }
}

fn last_run(db: &Medium, dir: DirId) -> Result<u32, StoreError> {
    let last = db.scan_prefix(keys::runs_of(dir)).next_back().transpose()?;
    Ok(last.and_then(|(key, _)| keys::last_u32(&key)).unwrap_or(0))
}

fn is_full(files: &[SeenFile], next: &SeenFile) -> bool {
    let most: usize = files.iter().chain([next]).map(|file| file.name.len() + run::RECORD_BYTES).sum();
    files.len() >= RUN_FILES || most > codec::MAX_VALUE_BYTES
}
