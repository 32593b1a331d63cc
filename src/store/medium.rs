//! Where the rows lie: a sled tree with the files of numbers beside it, or in tests a map that loses what was not
//! made durable. All that the rest of the room asks of an engine is here.
//!
//! *Never here*: what a row means.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sled::IVec;

use super::StoreError;
use super::mark::Mark;
#[cfg(test)]
use super::memory::Memory;
use crate::model::Seq;

/// A row, or why it could not be read.
pub(super) type Row = Result<(IVec, IVec), StoreError>;

/// Bytes of sled's page cache, most of which in an outage is the journal, which nobody reads then: 32 MiB filled with that by
/// 200 bytes a file and bought nothing. Not a hard bound: it is exceeded while a large range is scanned.
const CACHE_BYTES: u64 = 8 << 20;

/// How often, and after which pause, a locked database is tried again.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How often sled writes out what nobody flushed, in milliseconds; its segment collection runs only there.
const FLUSH_EVERY_MS: u64 = 500;

/// How many epochs begin until nobody can be reading what was replaced, and how much is freed at the beginning of each
/// (crossbeam-epoch 0.9: 8 bags of 64).
const EPOCHS_UNTIL_FREE: usize = 3;
const FREED_AT_ONCE: usize = 512;

/// Rows in the order of their keys.
#[derive(Debug)]
pub(super) enum Medium {
    /// On disk.
    Sled(Database),
    /// In memory.
    #[cfg(test)]
    Memory(Memory),
}

/// A sled database and what stands beside it.
#[derive(Debug)]
pub(super) struct Database {
    db: sled::Db,
    file: File,
    state: PathBuf,
    commits: Mark,
    /// By sink; each is opened when it is first asked for.
    confirmed: Mutex<BTreeMap<String, Mark>>,
}

impl Database {
    /// Does something with the number of `sink`, in the store that is named `owner`.
    fn of_sink<T>(
        &self,
        sink: &str,
        owner: &str,
        action: impl FnOnce(&Mark) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut marks = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = marks.get(sink) {
            return action(mark);
        }
        let mark = Mark::of_sink(&self.state, sink, owner)?;
        action(marks.entry(sink.to_owned()).or_insert(mark))
    }
}

/// Rows that change together.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<(IVec, Option<IVec>)>);

impl Batch {
    pub(super) fn insert(&mut self, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.0.push((key.into(), Some(value.into())));
    }

    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        self.0.push((key.into(), None));
    }

    /// The changes in order: of several to one key the last one counts.
    pub(super) fn into_rows(self) -> Vec<(IVec, Option<IVec>)> {
        self.0
    }
}

impl Medium {
    /// Opens the database in the state directory at `state`; tells whether it is a new one.
    pub(super) fn open(state: &Path) -> Result<(Self, bool), StoreError> {
        let folder = state.join("index");
        let is_new = !folder.exists();
        let db = open_database(&folder)?;
        let file = File::open(folder.join("db")).map_err(|source| StoreError::io("open", &folder, source))?;
        let (state, commits) = (state.to_owned(), Mark::of_commits(state)?);
        Ok((Self::Sled(Database { db, file, state, commits, confirmed: Mutex::default() }), is_new))
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<IVec>, StoreError> {
        match self {
            Self::Sled(database) => Ok(database.db.get(key)?),
            #[cfg(test)]
            Self::Memory(memory) => memory.get(key.as_ref()),
        }
    }

    /// The rows whose keys begin with `prefix`.
    pub(super) fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Rows {
        match self {
            Self::Sled(database) => Rows::Sled(database.db.scan_prefix(prefix)),
            #[cfg(test)]
            Self::Memory(memory) => {
                let prefix = prefix.as_ref();
                Rows::Memory(memory.scan(prefix, |key| key.starts_with(prefix)))
            }
        }
    }

    /// The rows with keys in `range`.
    pub(super) fn range(&self, range: RangeInclusive<Vec<u8>>) -> Rows {
        match self {
            Self::Sled(database) => Rows::Sled(database.db.range(range)),
            #[cfg(test)]
            Self::Memory(memory) => {
                let (first, last) = range.into_inner();
                Rows::Memory(memory.scan(&first, |key| key <= last.as_slice()))
            }
        }
    }

    /// Writes one row.
    pub(super) fn insert(&self, key: impl Into<IVec>, value: impl Into<IVec>) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.db.insert(key.into(), value).map(drop)?,
            #[cfg(test)]
            Self::Memory(memory) => memory.apply(vec![(key.into(), Some(value.into()))])?,
        }
        Ok(())
    }

    /// Removes one row.
    pub(super) fn remove(&self, key: impl AsRef<[u8]>) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.db.remove(key).map(drop)?,
            #[cfg(test)]
            Self::Memory(memory) => memory.apply(vec![(key.as_ref().into(), None)])?,
        }
        Ok(())
    }

    /// Changes rows together: after a crash all of it is there, or nothing.
    pub(super) fn apply_batch(&self, batch: Batch) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => {
                let mut changes = sled::Batch::default();
                let rows = batch.0.len();
                for (key, value) in batch.into_rows() {
                    match value {
                        Some(value) => changes.insert(key, value),
                        None => changes.remove(key),
                    }
                }
                database.db.apply_batch(changes)?;
                free_replaced(rows);
            }
            #[cfg(test)]
            Self::Memory(memory) => memory.apply(batch.into_rows())?,
        }
        Ok(())
    }

    /// Hands everything to the system: it survives the end of the process, not a power loss.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.db.flush().map(drop)?,
            #[cfg(test)]
            Self::Memory(memory) => memory.flush()?,
        }
        Ok(())
    }

    /// Writes everything out and waits for the disk.
    pub(super) fn make_durable(&self) -> Result<(), StoreError> {
        self.flush()?;
        match self {
            Self::Sled(database) => database.file.sync_data().map_err(|source| StoreError::Sync { source }),
            #[cfg(test)]
            Self::Memory(memory) => memory.sync(),
        }
    }

    /// Remembers beside the rows that there were so many commits.
    pub(super) fn note(&self, commits: u64) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.commits.note(commits),
            #[cfg(test)]
            Self::Memory(memory) => memory.note(commits),
        }
    }

    /// Checks that rows that have seen `commits` are not less than what is remembered beside them.
    pub(super) fn check(&mut self, commits: u64) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.commits.check(commits),
            #[cfg(test)]
            Self::Memory(memory) => memory.check(commits),
        }
    }

    /// What is remembered beside the rows of what `sink` has, in the store that is named `owner`.
    pub(super) fn confirmed(&self, sink: &str, owner: &str) -> Result<Option<Seq>, StoreError> {
        match self {
            Self::Sled(database) => database.of_sink(sink, owner, |mark| Ok(mark.number())),
            #[cfg(test)]
            Self::Memory(memory) => Ok(memory.confirmed(sink)),
        }
    }

    /// Remembers that beside the rows, at once; does not wait for the disk.
    pub(super) fn note_confirmed(&self, sink: &str, owner: &str, upto: Seq) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.of_sink(sink, owner, |mark| mark.note(upto)),
            #[cfg(test)]
            Self::Memory(memory) => memory.note_confirmed(sink, upto),
        }
    }

    /// Waits until the disk has what is remembered beside the rows of what `sink` has.
    pub(super) fn sync_confirmed(&self, sink: &str, owner: &str) -> Result<(), StoreError> {
        match self {
            Self::Sled(database) => database.of_sink(sink, owner, Mark::sync),
            #[cfg(test)]
            Self::Memory(memory) => memory.sync_confirmed(sink),
        }
    }

    /// Bytes on disk.
    pub(super) fn size_on_disk(&self) -> Result<u64, StoreError> {
        match self {
            Self::Sled(database) => Ok(database.db.size_on_disk()?),
            #[cfg(test)]
            Self::Memory(_) => Ok(0),
        }
    }
}

/// Rows, from both ends.
#[cfg_attr(test, expect(clippy::large_enum_variant, reason = "outside of tests there is but the one"))]
pub(super) enum Rows {
    Sled(sled::Iter),
    #[cfg(test)]
    Memory(std::vec::IntoIter<Row>),
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        match self {
            Self::Sled(rows) => rows.next().map(|row| Ok(row?)),
            #[cfg(test)]
            Self::Memory(rows) => rows.next(),
        }
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Row> {
        match self {
            Self::Sled(rows) => rows.next_back().map(|row| Ok(row?)),
            #[cfg(test)]
            Self::Memory(rows) => rows.next_back(),
        }
    }
}

/// Frees the nodes of which sled (0.34.7) made new ones while it wrote a batch of so many rows: some two for each.
///
/// It leaves them to crossbeam-epoch, which frees 512 at each 128th access of a thread, and a batch is one access: 200,000
/// waiting files took 250 to 370 MB instead of 195. What another thread may still be reading is freed later.
fn free_replaced(rows: usize) {
    for _ in 0..EPOCHS_UNTIL_FREE + 2 * rows / FREED_AT_ONCE {
        crossbeam_epoch::pin().flush();
    }
}

/// Opens the database. A disk that was full at an earlier opening leaves half a snapshot, over which sled stumbles for
/// ever; it is only a summary of the log, so it is made anew from that. Should that lose anything, the mark tells.
fn open_database(folder: &Path) -> Result<sled::Db, StoreError> {
    let open = || {
        sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()
    };
    let mut opened = match open() {
        Err(sled::Error::Corruption { .. }) if remove_snapshots(folder)? => open(),
        opened => opened,
    };
    for _ in 0..LOCK_TRIES {
        if !opened.as_ref().is_err_and(is_locked) {
            break;
        }
        thread::sleep(LOCK_PAUSE);
        opened = open();
    }
    opened.map_err(|source| StoreError::Open { path: folder.to_path_buf(), source })
}

/// Whether the database's file is locked. Nobody else is at work there, for that the state directory has a lock of its own; but
/// whoever dropped the database a moment ago may still hold the file: sled's threads, or a child between fork and exec.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Removes sled's snapshots in `folder`; tells whether there were any.
fn remove_snapshots(folder: &Path) -> Result<bool, StoreError> {
    let failed = |source| StoreError::io("remove a snapshot in", folder, source);
    let mut removed = false;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b"snap.") {
            std::fs::remove_file(entry.path()).map_err(failed)?;
            removed = true;
        }
    }
    Ok(removed)
}
