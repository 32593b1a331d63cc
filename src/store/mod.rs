//! What must survive: directories, files seen, files waiting, the journal of handovers, cursors, the ledger.
//!
//! The only room that knows sled, with four rules that its measurements asked for: a flush is followed by our own
//! `fdatasync` of the database file (sled's own flush does not survive a power loss on Linux); no value is larger
//! than 6 KiB; files are packed 64 to a row; the cache is small. One tree with key prefixes, so that a file's seen
//! row and its place in the journal commit as one batch; the ledger is what the journal adds up to.
//!
//! *Never here*: the mount, a socket, a decision, a clock.

mod codec;
mod directories;
mod error;
mod hindrance;
mod inspect;
mod journal;
mod keys;
mod learnt;
mod ledger;
mod lock;
mod mark;
mod medium;
#[cfg(test)]
mod memory;
mod old_ledger;
mod outbox;
mod prints;
mod row;
mod run;
mod seen;
#[cfg(test)]
mod tests;
mod transaction;
mod upkeep;
mod waiting;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Seq, Timestamp, Totals};

use ledger::Ledger;
use medium::{Batch, Medium};
use outbox::Outbox;

pub use directories::{DirId, DirRow, RootId, RootRow};
pub use error::StoreError;
pub use hindrance::{Hindrance, Patterns};
pub use inspect::{Inspected, StatePlace, inspect, place};
pub use journal::{Refused, SinkCursor};
pub use learnt::LEARNT_A_ROW;
pub use lock::Lock;
#[cfg(test)]
pub(crate) use memory::{Loss, Memory};
#[doc(hidden)]
pub use row::read_row;
pub use seen::{Content, Known, KnownFile, SeenFile};
pub use transaction::Transaction;
pub use upkeep::Requeued;
pub use waiting::{WaitReason, WaitRow};

/// The format of this version's database; an older one is migrated at opening, a newer one refused.
const FORMAT: u32 = 4;

/// An open state directory.
///
/// Reads may come from any thread; every write goes through [`Store::commit`] or one of the cursor calls, which
/// take turns.
#[derive(Debug)]
pub struct Store {
    db: Medium,
    agent_id: String,
    writer: Mutex<Writer>,
    _lock: Option<Lock>,
}

/// What the writer knows by heart.
#[derive(Debug)]
struct Writer {
    head: Seq,
    commits: u64,
    next_dir: u64,
    next_root: u32,
    ledger: Ledger,
    outbox: Outbox,
}

impl Store {
    /// Opens the state directory at `path`, creating it (mode 0700) if it does not exist.
    ///
    /// Fails with [`StoreError::Held`] if another process has it, with [`StoreError::Format`] if a newer version
    /// wrote it, and with an error that names the remedy if it is damaged or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::take(path)?;
        let folder = path.join("index");
        let (medium, is_new) = Medium::open(path)?;
        let store = Self::upon(medium, is_new, &folder, Some(lock))?;
        if is_new {
            store.make_durable()?;
            sync_folder(&folder)?;
            sync_folder(path)?;
        }
        Ok(store)
    }

    /// Opens the rows on a simulated disk.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: Memory) -> Result<Self, StoreError> {
        let store = Self::upon(Medium::Memory(memory), false, Path::new("memory"), None)?;
        store.make_durable()?;
        Ok(store)
    }

    fn upon(mut db: Medium, is_new: bool, folder: &Path, lock: Option<Lock>) -> Result<Self, StoreError> {
        let format = format_of(&db, folder)?;
        let commits = commits(&db)?;
        // A database that was moved aside on purpose is begun anew.
        if is_new {
            db.note(commits)?;
        } else {
            db.check(commits)?;
        }
        let agent_id = agent_id(&db)?;
        let head = journal::last_seq(&db)?;
        if format < FORMAT {
            take_over(&db, format, head)?;
        }
        let writer = Writer {
            head,
            commits,
            next_dir: directories::next_dir(&db)?,
            next_root: directories::next_root(&db)?,
            ledger: Ledger::load(&db, head)?,
            outbox: Outbox::default(),
        };
        let store = Self { db, agent_id, writer: Mutex::new(writer), _lock: lock };
        store.take_over_confirmed()?;
        Ok(store)
    }

    /// The name under which Redis remembers how far this store's journal was applied: 32 hexadecimal digits.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }

    /// The last steady time that was noted, see [`Transaction::note_time`].
    pub fn last_steady(&self) -> Result<Option<Timestamp>, StoreError> {
        self.db.get(keys::LAST_STEADY)?.map(|value| codec::decode(&value, "the last time")).transpose()
    }

    /// Bytes that the state takes on disk.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.db.size_on_disk()
    }

    /// The statistics so far: everything up to the head of the journal.
    #[must_use]
    pub fn totals(&self) -> (Seq, Totals) {
        let writer = self.writer();
        (writer.head, writer.ledger.totals().clone())
    }

    /// Writes all of the ledger, so that the next opening has nothing to count.
    pub fn write_ledger(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let head = writer.head;
        writer.ledger.write(head, &self.db)
    }

    /// Writes everything out and waits for the disk.
    fn make_durable(&self) -> Result<(), StoreError> {
        self.db.make_durable()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the rows' format; 0 of a new database. Fails if it is that of a later version.
fn format_of(db: &Medium, folder: &Path) -> Result<u32, StoreError> {
    let found = db.get(keys::FORMAT)?.map(|value| codec::decode(&value, "the format number")).transpose()?;
    match found.unwrap_or(0) {
        format @ 0..=FORMAT => Ok(format),
        found => Err(StoreError::Format { path: folder.to_path_buf(), found, known: FORMAT }),
    }
}

/// Makes a database of an older `format` one of this. Rows other than the ledger's are read as they are, and written in this
/// format when they change.
fn take_over(db: &Medium, format: u32, head: Seq) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.insert(keys::FORMAT, codec::encode(&FORMAT));
    Ledger::take_over(db, format, head, &mut batch)?;
    db.apply_batch(batch)
}

fn commits(db: &Medium) -> Result<u64, StoreError> {
    let stored =
        db.get(keys::COMMITS)?.map(|value| codec::decode(&value, "the number of commits")).transpose()?;
    Ok(stored.unwrap_or(0))
}

fn agent_id(db: &Medium) -> Result<String, StoreError> {
    if let Some(value) = db.get(keys::AGENT_ID)? {
        return codec::decode(&value, "the agent's name");
    }
    let id = format!("{:032x}", fresh_number()?);
    db.insert(keys::AGENT_ID, codec::encode(&id))?;
    Ok(id)
}

/// A number that no other store has: from the kernel's random source.
fn fresh_number() -> Result<u128, StoreError> {
    use std::io::Read;
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| StoreError::io("read", source, error))?;
    Ok(u128::from_ne_bytes(bytes))
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StoreError::io("sync", path, source))
}

/// The socket on which a running agent answers questions about this state directory.
#[must_use]
pub fn control_socket(state: &Path) -> PathBuf {
    state.join("control.sock")
}
