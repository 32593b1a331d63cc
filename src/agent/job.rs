//! What the engine asks of the mount, and what comes back: the whole surface between deciding and looking.
//!
//! [`perform`] is the only code that does both, and it does nothing else: a simulation replaces just this.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::buffers::Buffers;
use super::round::{Answer, Round, ask};
use crate::clock::Stopwatch;
use crate::intake::{self, Limits, Reading, Redaction};
use crate::model::{RelPath, Stamp, Timestamp};
use crate::mount::{Action, Coverage, FileKind, FileStat, Handle, Listing, MountError, Tree, TreeOptions};
use crate::rules::Judgement;
use crate::store::{DirId, KnownFile};

/// Names that one READDIR brings, about: measured on Linux with `rsize=1048576`.
pub(super) const NAMES_A_READDIR: usize = 1_400;

/// How a directory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// List it only if its stamp is not the one given.
    IfChanged(Stamp),
    /// List it whatever its stamp says: it was racy.
    Confirm,
    /// List it: first contact. If it is resolved just now, with the stamp that came with that.
    First,
    /// List it by walkdir, whatever its stamp says: the audit.
    Walk,
}

/// When a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Only its stamp is wanted.
    Never,
    /// Only its type and number are wanted: a file that is there at first contact is taken as seen.
    AsSeen,
    /// If its stamp is still this one.
    IfStill(Stamp),
    /// Unless its stamp is still this one.
    UnlessStill(Stamp),
    /// In any case.
    Always,
}

/// Why a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A listing showed its name.
    Listing {
        /// Steady time at which the look began that gave the listing: a root may be lost and listed anew meanwhile.
        began: Timestamp,
    },
    /// It waits, and its time has come.
    Waiting {
        /// Whether it is handed over as broken if it is broken still.
        last_chance: bool,
    },
}

/// A file to look at, with what the engine knows of it: it travels with the job and comes back with the outcome.
#[derive(Debug, Clone)]
pub(super) struct FileTask {
    /// Its directory.
    pub dir: DirId,
    /// Its name there.
    pub name: Vec<u8>,
    /// Its path.
    pub path: RelPath,
    /// The number that came with its name from a listing. A mount point's own is another one.
    pub fileid: Option<u64>,
    /// Its record in the index.
    pub known: Option<Box<KnownFile>>,
    /// What its name says of it.
    pub judgement: Judgement,
    /// Whether to read it.
    pub read: Read,
    /// Why it is looked at.
    pub origin: Origin,
    /// Wall time at which its directory was last seen without it.
    pub not_before: Option<Timestamp>,
}

/// Something to do on the mount.
#[derive(Debug)]
pub(super) enum Job {
    /// Open a root.
    Open {
        /// Which.
        root: usize,
        /// Where it is.
        path: std::path::PathBuf,
        /// How.
        options: TreeOptions,
    },
    /// Look whether a root is still what was opened.
    Check {
        /// Which.
        root: usize,
        /// What was opened.
        tree: Arc<Tree>,
    },
    /// Look at a directory.
    Look {
        /// Where.
        tree: Arc<Tree>,
        /// Which.
        dir: DirId,
        /// Its path.
        path: RelPath,
        /// How.
        effort: Effort,
    },
    /// Ask directories whether they are as they were.
    Round {
        /// Where.
        tree: Arc<Tree>,
        /// The engine's number of it.
        number: u32,
        /// Which.
        round: Arc<Round>,
    },
    /// Look at a file.
    Examine {
        /// Where.
        tree: Arc<Tree>,
        /// Which.
        task: Box<FileTask>,
    },
}

/// What a look at a directory showed.
#[derive(Debug)]
enum Seen {
    /// That it is as it was: how long that took.
    Unchanged(Duration),
    /// Its names.
    Listed(Looked),
}

/// What a look at a directory gave that was listed.
#[derive(Debug)]
pub(super) struct Looked {
    /// Its stamp, of a time before the listing.
    pub stamp: Stamp,
    /// Its names.
    pub listing: Listing,
    /// Whether it is the first.
    pub is_first: bool,
    /// How long one RPC took: the one that asked for the stamp, or the mean of those that brought the names.
    pub round_trip: Duration,
}

/// What a look at a file gave.
#[derive(Debug)]
pub(super) struct Examined {
    /// Its type and stamp, before any reading.
    pub stat: FileStat,
    /// Its content, if it was read and did not change meanwhile.
    pub reading: ReadOutcome,
}

/// What became of the reading.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    /// It was not to be read.
    NotRead,
    /// It changed while it was read, or is not what was stat'ed.
    Unsteady,
    /// It was read whole.
    Read(Box<Reading>),
    /// It could not be read.
    Failed(MountError),
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Of [`Job::Open`].
    Opened(usize, Result<Arc<Tree>, MountError>),
    /// Of [`Job::Check`].
    Checked(usize, Result<bool, MountError>),
    /// Of [`Job::Look`] at a directory that is as it was, and how long that took: of all outcomes by far the most, and so
    /// kept small.
    Unchanged(DirId, Duration),
    /// Of [`Job::Look`] otherwise.
    Looked(DirId, Box<Result<Looked, MountError>>),
    /// Of [`Job::Round`].
    Round(u32, Answer),
    /// Of [`Job::Examine`].
    Examined(Box<FileTask>, Result<Examined, MountError>),
}

impl Outcome {
    /// Whether nothing hangs on it yet: nothing follows from it but the time of the next look, or it is one of a first
    /// walk, in which there are others to be looked at.
    pub(super) fn may_wait(&self) -> bool {
        match self {
            Self::Unchanged(..) => true,
            Self::Round(_, answer) => answer.others.is_empty(),
            Self::Looked(_, looked) => looked.as_ref().as_ref().is_ok_and(|looked| looked.is_first),
            _ => false,
        }
    }
}

/// What reading a file needs.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// How much is unpacked.
    pub limits: Limits,
    /// What is left out.
    pub redaction: Redaction,
    /// Where it is read into.
    pub buffers: Buffers,
}

/// Does a job; blocks for as long as the mount does.
#[must_use]
pub(super) fn perform(job: Job, reader: &Reader) -> Outcome {
    match job {
        Job::Open { root, path, options } => Outcome::Opened(root, Tree::open(&path, options).map(Arc::new)),
        Job::Check { root, tree } => Outcome::Checked(root, tree.is_in_place()),
        Job::Look { tree, dir, path, effort } => {
            let looked = match look(&tree, dir, &path, effort) {
                Ok(Seen::Unchanged(round_trip)) => return Outcome::Unchanged(dir, round_trip),
                Ok(Seen::Listed(looked)) => Ok(looked),
                Err(error) => Err(error),
            };
            if looked.is_err() {
                tree.drop_directory(dir.0);
            }
            Outcome::Looked(dir, Box::new(looked))
        }
        Job::Round { tree, number, round } => Outcome::Round(number, ask(tree, round)),
        Job::Examine { tree, task } => {
            let examined = examine(&tree, &task, reader);
            Outcome::Examined(task, examined)
        }
    }
}

fn look(tree: &Tree, dir: DirId, path: &RelPath, effort: Effort) -> Result<Seen, MountError> {
    if effort == Effort::First && !path.is_root() && !tree.holds(dir.0) {
        return first_look(tree, dir, path).map(Seen::Listed);
    }
    let (held, is_resolved) = tree.held_or_resolved(dir.0, path)?;
    let watch = Stopwatch::start();
    let stamp = match tree.refresh(&held, path) {
        Err(error) if error.is_stale() => return look_again(tree, dir, path, effort).map(Seen::Listed),
        result => result?,
    };
    let round_trip = watch.elapsed();
    let listing = match effort {
        Effort::IfChanged(known) if known == stamp => return Ok(Seen::Unchanged(round_trip)),
        Effort::IfChanged(_) | Effort::Confirm | Effort::First => tree.names(&held, path)?,
        Effort::Walk => tree.walk(&held, path)?,
    };
    // Only afterwards: then every name that was listed was below this path.
    if !is_resolved && !tree.leads_to(path, &held)? {
        return Err(MountError { action: Action::List, path: path.clone(), errno: Errno::STALE });
    }
    Ok(Seen::Listed(Looked { stamp, listing, is_first: effort == Effort::First, round_trip }))
}

/// First contact costs what finding the directory and reading its names does: its stamp came with finding it. Should
/// that be an older one that the client remembers, the next look finds another and lists again.
fn first_look(tree: &Tree, dir: DirId, path: &RelPath) -> Result<Looked, MountError> {
    let watch = Stopwatch::start();
    let (stamp, listing) = tree.first_names(dir.0, path)?;
    if matches!(&listing.coverage, Coverage::Partial(error) if error.is_stale()) {
        return look_again(tree, dir, path, Effort::First);
    }
    // LOOKUP, ACCESS, and so many names with each READDIR.
    let rpcs = 3 + u32::try_from(listing.entries.len() / NAMES_A_READDIR).unwrap_or(u32::MAX - 3);
    Ok(Looked { stamp, listing, is_first: true, round_trip: watch.elapsed() / rpcs })
}

/// After `ESTALE`: the path may lead to another directory by now, whose stamp cannot be the known one.
fn look_again(tree: &Tree, dir: DirId, path: &RelPath, effort: Effort) -> Result<Looked, MountError> {
    tree.drop_directory(dir.0);
    let held = tree.directory(dir.0, path)?;
    let watch = Stopwatch::start();
    let stamp = tree.refresh(&held, path)?;
    let round_trip = watch.elapsed();
    let listing = match effort {
        Effort::Walk => tree.walk(&held, path)?,
        Effort::IfChanged(_) | Effort::Confirm | Effort::First => tree.names(&held, path)?,
    };
    Ok(Looked { stamp, listing, is_first: effort == Effort::First, round_trip })
}

fn examine(tree: &Tree, task: &FileTask, reader: &Reader) -> Result<Examined, MountError> {
    let dir_path = task.path.parent().unwrap_or_default();
    let held = tree.directory(task.dir.0, &dir_path)?;
    let stat = match task.read {
        Read::AsSeen => tree.find(&held, &task.name, &task.path)?,
        _ => tree.stat(&held, &task.name, &task.path)?,
    };
    let wanted = match task.read {
        Read::Never | Read::AsSeen => false,
        Read::Always => true,
        Read::IfStill(stamp) => stat.stamp == stamp,
        Read::UnlessStill(stamp) => stat.stamp != stamp,
    };
    if stat.kind != FileKind::File || !wanted {
        return Ok(Examined { stat, reading: ReadOutcome::NotRead });
    }
    let reading = read(tree, &held, task, stat, reader).unwrap_or_else(ReadOutcome::Failed);
    Ok(Examined { stat, reading })
}

/// Reads a file once, between two looks at its stamp.
fn read(
    tree: &Tree,
    held: &Handle,
    task: &FileTask,
    before: FileStat,
    reader: &Reader,
) -> Result<ReadOutcome, MountError> {
    let file = tree.open_file(held, &task.name, &task.path)?;
    if tree.stat_open(&file, &task.path)? != before {
        return Ok(ReadOutcome::Unsteady);
    }
    let mut buffer = reader.buffers.get(before.stamp.size);
    let content = match task.judgement {
        Judgement::Archive => intake::read_archive(&file, &mut buffer, &reader.limits, &reader.redaction),
        Judgement::Plain | Judgement::Ignored => intake::read_plain(&file, &mut buffer),
    };
    let reading =
        content.map_err(|error: io::Error| MountError::from_io(Action::Read, &task.path, &error))?;
    let after = tree.stat_open(&file, &task.path)?;
    Ok(if after == before && reading.size == before.stamp.size {
        ReadOutcome::Read(Box::new(reading))
    } else {
        ReadOutcome::Unsteady
    })
}
