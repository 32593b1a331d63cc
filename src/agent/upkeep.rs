//! What an operator does to the state while no agent is at work on it: forget, verify, send again.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::place::Place;
use super::report::load_table;
use crate::dispatch::SinkName;
use crate::model::{RelPath, Stamp, Timestamp};
use crate::mount;
use crate::store::{Content, DirId, DirRow, KnownFile, RootId, Store, StoreError, Transaction};

/// Rows changed in one commit.
const AT_ONCE: usize = 1000;

/// Differences told in full.
const MAX_TOLD: usize = 100;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Forget a file, or all below a directory: what is there is news again.
    Forget(PathBuf),
    /// Forget what is gone from the mount.
    ForgetGone,
    /// Check the index, with a root of it if one is given.
    Verify(Option<PathBuf>),
    /// Send again.
    Requeue {
        /// Only what was detected then or later.
        since: Option<Timestamp>,
        /// Only to this sink.
        sink: Option<SinkName>,
        /// From the first message that the sink refused.
        refused: bool,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// In words.
    pub text: String,
    /// Whether it is as it should be.
    pub is_well: bool,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The path is not known.
    #[error("{} is not in the index; nfs-scout index list shows what is", .0.display())]
    Unknown(PathBuf),
    /// The path is no root.
    #[error("{} is not a directory that this agent watches; nfs-scout status shows which are", .0.display())]
    NotARoot(PathBuf),
    /// The sink was never attached, or cannot be sent anything again.
    #[error("nothing can be sent to {0} again: {1}")]
    Sink(SinkName, &'static str),
}

/// Does it.
pub fn attend(store: &Store, errand: &Errand) -> Result<Outcome, ErrandError> {
    match errand {
        Errand::Forget(path) => forget(store, path),
        Errand::ForgetGone => Ok(forget_gone(store)?),
        Errand::Verify(None) => Ok(told(store.verify()?, "the index agrees with itself")),
        Errand::Verify(Some(root)) => verify_against(store, root),
        Errand::Requeue { since, sink, refused } => requeue(store, *since, *sink, *refused),
    }
}

fn well(text: String) -> Outcome {
    Outcome { text: text + "\n", is_well: true }
}

fn told(faults: Vec<String>, none: &str) -> Outcome {
    if faults.is_empty() {
        return well(none.to_owned());
    }
    let count = faults.len();
    let mut lines: Vec<String> = faults.into_iter().take(MAX_TOLD).collect();
    if count > MAX_TOLD {
        lines.push(format!("… {count} in all"));
    }
    Outcome { text: lines.join("\n") + "\n", is_well: false }
}

fn forget(store: &Store, path: &Path) -> Result<Outcome, ErrandError> {
    let unknown = || ErrandError::Unknown(path.to_owned());
    let place = Place::find(store, path)?.ok_or_else(unknown)?;
    let root = place.root.0;
    let (dir, row) =
        place.way.last().filter(|_| place.is_directory || place.is_reached).ok_or_else(unknown)?;
    if place.is_reached {
        let known = place.known(store)?.ok_or_else(unknown)?;
        let mut transaction = Transaction::default();
        transaction.forget_seen(root, *dir, known);
        transaction.put_dir(*dir, unlisted(row));
        store.commit(transaction)?;
        return Ok(well("forgot 1 file".to_owned()));
    }
    let table = load_table(store)?;
    let below: Vec<DirId> = table.subtree(*dir);
    let mut count = 0;
    for entry in store.directories().filter(|entry| entry.as_ref().map_or(true, |(id, _)| below.contains(id)))
    {
        let (id, row) = entry?;
        count += forget_files(store, root, id, |_| true)?;
        let mut transaction = Transaction::default();
        transaction.put_dir(id, unlisted(&row));
        store.commit(transaction)?;
    }
    Ok(well(format!("forgot {count} files in {} directories", below.len())))
}

/// The row of a directory that is to be listed at the next look.
fn unlisted(row: &DirRow) -> DirRow {
    DirRow { stamp: None, ..row.clone() }
}

fn forget_gone(store: &Store) -> Result<Outcome, StoreError> {
    let mut count = 0;
    let rows: Vec<_> = store.directories().collect::<Result<_, _>>()?;
    for (id, row) in &rows {
        let all = row.gone_since.is_some();
        count += forget_files(store, row.root, *id, |file| all || file.file.gone_since.is_some())?;
    }
    // Children first, so that a crash leaves no directory without its parent.
    let gone: Vec<DirId> =
        rows.iter().rev().filter(|(_, row)| row.gone_since.is_some()).map(|row| row.0).collect();
    for dirs in gone.chunks(AT_ONCE) {
        let mut transaction = Transaction::default();
        for dir in dirs {
            transaction.forget_dir(*dir);
        }
        store.commit(transaction)?;
    }
    Ok(well(format!("forgot {count} files and {} directories that are gone", gone.len())))
}

fn forget_files(
    store: &Store,
    root: RootId,
    dir: DirId,
    which: impl Fn(&KnownFile) -> bool,
) -> Result<usize, StoreError> {
    let files: Vec<KnownFile> = store.known(dir)?.into_iter().filter(which).collect();
    for some in files.chunks(AT_ONCE) {
        let mut transaction = Transaction::default();
        for known in some {
            transaction.forget_seen(root, dir, known.clone());
        }
        store.commit(transaction)?;
    }
    Ok(files.iter().filter(|known| known.file.content != Content::NotAFile).count())
}

fn verify_against(store: &Store, path: &Path) -> Result<Outcome, ErrandError> {
    let place = Place::find(store, path)?.filter(|place| place.path.is_root());
    let place = place.ok_or_else(|| ErrandError::NotARoot(path.to_owned()))?;
    let mut faults = store.verify()?;
    let mut index = index_of(store, place.root.0)?;
    let (found, failed) = mount::survey(path);
    faults.extend(failed.into_iter().map(|failure| format!("cannot compare: {failure}")));
    let total = found.len();
    for file in found {
        let path = &file.path;
        match index.remove(path) {
            Some(None) => {}
            Some(Some(stamp)) if (stamp.size, stamp.mtime) == (file.size, file.mtime) => {}
            Some(Some(_)) => faults.push(format!("changed since it was read: {path}")),
            None => faults.push(format!("not in the index: {path} (nfs-scout explain tells why)")),
        }
    }
    let missing = index.into_iter().filter(|(_, stamp)| stamp.is_some());
    let mut missing: Vec<String> = missing.map(|(path, _)| format!("not on the mount: {path}")).collect();
    missing.sort();
    faults.extend(missing);
    Ok(told(faults, &format!("the index agrees with itself and with {total} files below {}", path.display())))
}

/// The files that should be below a root, with their stamps; `None` where nothing can be said of it.
fn index_of(store: &Store, root: RootId) -> Result<HashMap<RelPath, Option<Stamp>>, StoreError> {
    let table = load_table(store)?;
    let mut index = HashMap::new();
    for entry in store.directories() {
        let (dir, row) = entry?;
        if row.root != root || row.gone_since.is_some() {
            continue;
        }
        for known in store.known(dir)? {
            if known.file.gone_since.is_none() {
                let stamp = (known.file.content != Content::NotAFile).then_some(known.file.stamp);
                index.insert(table.path(dir).join(&known.file.name), stamp);
            }
        }
    }
    for (dir, name, _) in store.waiting()? {
        index.insert(table.path(dir).join(&name), None);
    }
    Ok(index)
}

fn requeue(
    store: &Store,
    since: Option<Timestamp>,
    sink: Option<SinkName>,
    refused: bool,
) -> Result<Outcome, ErrandError> {
    match sink {
        Some(SinkName::Redis) => {
            let reason = "Redis itself knows what it has counted, and counts nothing twice";
            return Err(ErrandError::Sink(SinkName::Redis, reason));
        }
        Some(sink) if store.cursor(sink.as_str())?.is_none() => {
            return Err(ErrandError::Sink(sink, "this agent never had it"));
        }
        _ => {}
    }
    let from = match since {
        Some(since) => store.first_since(since)?,
        None => Some(1),
    };
    let mut text = String::new();
    for name in
        [SinkName::Events, SinkName::Amqp].into_iter().filter(|name| sink.is_none_or(|sink| sink == *name))
    {
        let listed = store.refused()?;
        let listed = listed.iter().filter(|(sink, _)| sink == name.as_str()).map(|(_, entry)| entry.seq);
        let first = if refused { listed.filter(|seq| Some(*seq) >= from).min() } else { from };
        let queued = match first {
            Some(first) => store.requeue(name.as_str(), first)?,
            None => None,
        };
        if let Some(queued) = queued {
            let _ = writeln!(
                text,
                "{name}: {} messages from number {} on are sent again",
                queued.count, queued.first
            );
        }
    }
    Ok(if text.is_empty() {
        well("nothing to send again".to_owned())
    } else {
        Outcome { text, is_well: true }
    })
}
