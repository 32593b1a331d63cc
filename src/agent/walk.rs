//! A walk over a tree of which nothing is known: for `plan` and `doctor`, never for the agent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::model::{RelPath, Stamp};
use crate::mount::{Basket, Call, Coverage, EntryKind, FileKind, Listing, MountError, Tree, Workers};
use crate::rules::FileRules;

/// Threads that walk.
const WALKERS: usize = 16;

/// Names without a type in one directory that are asked for it; where there are more, they count as files.
const ASKED_FOR_TYPE: usize = 100;

/// When a walk is ended early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Directories that are looked at.
    pub directories: u64,
    /// How long new directories are begun.
    pub time: Duration,
    /// How long the mount may give no answer at all.
    pub patience: Duration,
}

impl Default for Limits {
    /// None.
    fn default() -> Self {
        Self { directories: u64::MAX, time: Duration::MAX, patience: Duration::MAX }
    }
}

/// A directory that was visited.
#[derive(Debug)]
pub(super) struct Visited {
    /// Its path.
    pub path: RelPath,
    /// What was seen.
    pub seen: Result<Seen, MountError>,
}

/// What was seen of a directory.
#[derive(Debug)]
pub(super) struct Seen {
    /// Its stamp.
    pub stamp: Stamp,
    /// Its names.
    pub names: u64,
    /// Of these, files, as far as their types came with them.
    pub files: u64,
    /// Whether the server told of all names.
    pub coverage: Coverage,
    directories: Vec<Box<[u8]>>,
}

/// How a walk ended.
#[derive(Debug)]
pub(super) struct Walked {
    /// Why the root itself could not be read.
    pub root: Result<(), MountError>,
    /// Whether every directory was visited.
    pub is_whole: bool,
    /// Whether the mount stopped answering.
    pub is_silent: bool,
}

/// Visits every directory that `rules` enter, in no particular order, within the limits.
pub(super) fn walk(
    tree: &Arc<Tree>,
    rules: &FileRules,
    limits: &Limits,
    mut visited: impl FnMut(&Visited),
) -> io::Result<Walked> {
    let visits = Basket::new(|_| false);
    let walker = Arc::clone(tree);
    let mut pool = Workers::start(WALKERS, &visits, move |(id, path): (u64, RelPath)| {
        let seen = see(&walker, id, &path);
        walker.drop_directory(id);
        Visited { path, seen }
    })?;
    let mut ended = Walked { root: Ok(()), is_whole: true, is_silent: false };
    let (began, mut last, mut under_way) = (Stopwatch::start(), 1, 1);
    pool.submit([((last, RelPath::root()), None)]);
    while under_way > 0 {
        let found = visits.take(limits.patience, Call::Low);
        if found.is_empty() {
            return Ok(Walked { is_whole: false, is_silent: true, ..ended });
        }
        for found in found {
            under_way -= 1;
            visited(&found);
            let Visited { path, seen } = found;
            let seen = match seen {
                Ok(seen) => seen,
                Err(error) => {
                    if path.is_root() {
                        ended.root = Err(error);
                    }
                    continue;
                }
            };
            let mut below = Vec::new();
            for name in seen.directories.iter().filter(|name| rules.enters(&path, name)) {
                if last >= limits.directories || began.elapsed() >= limits.time {
                    ended.is_whole = false;
                    break;
                }
                last += 1;
                below.push(((last, path.join(name)), None));
            }
            under_way += below.len();
            pool.submit(below);
        }
    }
    Ok(ended)
}

fn see(tree: &Tree, id: u64, path: &RelPath) -> Result<Seen, MountError> {
    let held = tree.directory(id, path)?;
    let stamp = tree.refresh(&held, path)?;
    let Listing { mut entries, coverage } = tree.names(&held, path)?;
    let untold = entries.iter().filter(|entry| entry.kind == EntryKind::Unknown).count();
    if untold <= ASKED_FOR_TYPE {
        for entry in entries.iter_mut().filter(|entry| entry.kind == EntryKind::Unknown) {
            // A name that is gone by now counts as no file.
            entry.kind = match tree.stat(&held, &entry.name, path).map(|stat| stat.kind) {
                Ok(FileKind::Directory) => EntryKind::Directory,
                Ok(FileKind::File) => EntryKind::File,
                Ok(FileKind::Other) | Err(_) => EntryKind::Other,
            };
        }
    }
    let names = entries.len() as u64;
    let files =
        entries.iter().filter(|it| matches!(it.kind, EntryKind::File | EntryKind::Unknown)).count() as u64;
    let directories = entries
        .into_iter()
        .filter(|it| it.kind == EntryKind::Directory)
        .map(|it| Box::from(&*it.name))
        .collect();
    Ok(Seen { stamp, names, files, coverage, directories })
}
