//! `plan`: how a tree behaves, from what an agent has learnt of it or else from a walk, and what follows for intervals.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::{Question, answer, ask};
use super::walk::{self, Limits};
use crate::advise::{self, Plan, Survey, Traffic, Wish};
use crate::clock::{Clock, Now, Stopwatch};
use crate::model::RelPath;
use crate::mount::{MountError, Refresh, Tree, TreeOptions};
use crate::rules::FileRules;
use crate::schedule::{Budget, Schedule, Sighting, Slot, Terms};
use crate::store::{DirId, Lock, RootId, Store, StoreError};

/// Looks whose median is taken for the time of one RPC.
const LOOKS: usize = 15;

/// Directories held open while walking.
const HELD: usize = 256;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The tree cannot be read.
    #[error("{0}; is it mounted?")]
    Mount(#[from] MountError),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The running agent cannot be asked, or no thread could be started.
    #[error("cannot make a plan: {0}")]
    System(#[from] io::Error),
    /// The running agent's answer is another version's.
    #[error("cannot understand the running agent, is it of another version? {0}")]
    Understanding(#[from] serde_json::Error),
}

/// What an agent has learnt of a root.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RootTraffic {
    /// The root's path, in bytes.
    path: Vec<u8>,
    /// Files in it.
    files: u64,
    /// Rates of its directories.
    traffic: Traffic,
}

/// Makes a plan for the tree at `path`; `state` is the directory of an agent that may know it.
pub fn plan(path: &Path, state: &Path, wish: &Wish) -> Result<Plan, PlanError> {
    let options = TreeOptions { refresh: Refresh::Force, one_file_system: true, max_open: HELD };
    let tree = Arc::new(Tree::open(path, options)?);
    let round_trip = round_trip(&tree)?;
    let known = learnt(state)?.into_iter().find(|root| root.path == path.as_os_str().as_bytes());
    let has_history = known.is_some();
    let (files, traffic) = match known {
        Some(root) => (root.files, root.traffic),
        None => walk(&tree)?,
    };
    let identity = tree.identity();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let directories = traffic.directories() as u64;
    let survey = Survey {
        path: path.display().to_string(),
        file_system: format!("{} {}", identity.fs_type, identity.source),
        directories,
        files,
        has_history,
        files_per_second: traffic.files_per_second(),
        round_trip_ms: round_trip.as_secs_f64() * 1000.0,
    };
    Ok(advise::plan(survey, &traffic, wish))
}

pub(super) fn round_trip(tree: &Tree) -> Result<Duration, MountError> {
    let (root, path) = (tree.directory(0, &RelPath::root())?, RelPath::root());
    let mut times = Vec::with_capacity(LOOKS);
    for _ in 0..LOOKS {
        let watch = Stopwatch::start();
        tree.refresh(&root, &path)?;
        times.push(watch.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(LOOKS / 2).copied().unwrap_or_default())
}

/// What the agent of a state directory has learnt; nothing if there is no state.
fn learnt(state: &Path) -> Result<Vec<RootTraffic>, PlanError> {
    if !Lock::is_state_directory(state)? {
        return Ok(Vec::new());
    }
    let json = match ask(state, &Question::Traffic)? {
        Some(json) => json,
        None if Lock::other_owner(state).is_some() => return Ok(Vec::new()),
        None => answer(&Question::Traffic, &Store::open(state)?, None)?,
    };
    Ok(serde_json::from_str(&json)?)
}

/// What the store has of the roots that were watched long enough to learn something.
pub(super) fn traffic(store: &Store) -> Result<Vec<RootTraffic>, StoreError> {
    let now = Clock::start(store.last_steady()?).now();
    let mut roots = Vec::new();
    for (id, row) in store.roots()? {
        if let Some((files, traffic)) = traffic_of(store, id, now)? {
            roots.push(RootTraffic { path: row.path, files, traffic });
        }
    }
    Ok(roots)
}

fn traffic_of(store: &Store, root: RootId, now: Now) -> Result<Option<(u64, Traffic)>, StoreError> {
    let mut learnt = store.learnt(root)?;
    if learnt.is_empty() {
        return Ok(None);
    }
    let mut schedule = empty_schedule();
    if let Some(clock) = store.schedule_clock(root)?.and_then(|bytes| postcard::from_bytes(&bytes).ok()) {
        schedule.restore_clock(&clock);
    }
    let (mut slots, mut files) = (HashMap::<DirId, Slot>::new(), 0);
    // Parents come before their children.
    for entry in store.directories() {
        let (id, row) = entry?;
        if row.root != root || row.gone_since.is_some() {
            continue;
        }
        files += store.known(id)?.iter().filter(|known| known.file.gone_since.is_none()).count() as u64;
        let saved = learnt.remove(&id).and_then(|bytes| postcard::from_bytes(&bytes).ok());
        if let Some(saved) = saved {
            let parent = row.parent.and_then(|parent| slots.get(&parent).copied());
            slots.insert(id, schedule.restore(parent, &saved, now.steady));
        }
    }
    Ok(Some((files, Traffic::new(slots.values().map(|slot| schedule.lasting_rate(*slot))))))
}

/// One that is only asked for rates: they do not depend on the terms.
fn empty_schedule() -> Schedule {
    Schedule::new(Terms { promise: Duration::from_secs(30), budget: Budget::Auto }, 0)
}

/// Walks a tree of which nothing is known: counts its files, and takes each directory's last change for its rate.
fn walk(tree: &Arc<Tree>) -> Result<(u64, Traffic), PlanError> {
    let (now, rules) = (Clock::start(None).now(), FileRules::default());
    let (mut schedule, mut rates, mut files) = (empty_schedule(), Vec::new(), 0);
    let walked = walk::walk(tree, &rules, &Limits::default(), |visited| {
        let Ok(seen) = &visited.seen else {
            // What cannot be read now is counted with what can.
            return;
        };
        files += seen.files;
        let slot = schedule.insert(None, now.steady);
        let changed_ago = Some(now.wall.since(seen.stamp.mtime));
        schedule.looked(
            slot,
            now.steady,
            &Sighting { changed: true, changed_ago, rpcs: 1, ..Sighting::default() },
        );
        rates.push(schedule.lasting_rate(slot));
    })?;
    walked.root?;
    Ok((files, Traffic::new(rates.into_iter())))
}
