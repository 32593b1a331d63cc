//! `doctor`: gathers the facts that `advise::diagnose` judges. It reads only: no file, queue, key or index is changed.

use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path};
use std::sync::Arc;
use std::time::Duration;

use super::control::{Question, ask};
use super::plan::round_trip;
use super::settings;
use super::walk::{Limits, Visited, walk};
use crate::advise::{
    self, BrokerFacts, ClockFacts, Diagnosis, Facts, Health, LimitFacts, MountFacts, QueueFacts, StateFacts,
    TreeFacts, diagnose,
};
use crate::clock;
use crate::config::{Config, ServerUrl};
use crate::dispatch::{self, SinkError};
use crate::model::{RedisLook, RelPath};
use crate::mount::{
    Basket, Call, Coverage, Entry, EntryKind, Identity, MountError, Refresh, Tree, TreeOptions, Workers,
    directories_to_hold, most_open_files,
};
use crate::store::{Inspected, inspect, place};

/// Directories that are looked at: enough to know a tree, at some ten RPCs each.
const MOST_DIRECTORIES: u64 = 20_000;

/// How long new directories are begun.
const WALK_TIME: Duration = Duration::from_secs(60);

/// How long the mount may give no answer at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Forced refreshes whose RPCs are counted.
const COUNTED: usize = 5;

/// Directories whose access times are watched while they are listed.
const CLOCK_TRIES: usize = 8;

/// The largest directories that are told of.
const LARGEST: usize = 10;

/// Directories held open while walking.
const HELD: usize = 256;

/// Examines what an agent with this configuration would meet; only its first root is looked at.
#[must_use]
pub fn doctor(config: &Config) -> Diagnosis {
    let root = config.roots.first().map_or(Path::new("/"), |root| root.as_path());
    let mut tree = TreeFacts::default();
    let mount = examine(root, config.one_file_system).and_then(|(opened, mount, clock)| {
        tree = look_around(&opened, config, clock).map_err(|error| error.to_string())?;
        Ok(mount)
    });
    let (redis, queue) = brokers(config);
    let limits = LimitFacts {
        open_files: most_open_files(),
        held: config.max_open_dirs.unwrap_or_else(directories_to_hold) as u64,
    };
    let (path, state) = (shown(root), state(&config.state, root));
    diagnose(&Facts { path, mount, tree, redis, queue, state, limits })
}

fn shown(path: &Path) -> advise::Path {
    advise::Path::new(path.as_os_str().as_bytes())
}

type Examined = Result<(Arc<Tree>, MountFacts, ClockFacts), String>;

/// Opens the root and measures what a look costs, on a thread that may hang with the server.
fn examine(root: &Path, one_file_system: bool) -> Examined {
    let answers = Basket::new(|_| false);
    let work = move |root: path::PathBuf| {
        let options = TreeOptions { refresh: Refresh::Force, one_file_system, max_open: HELD };
        let examine = || -> Result<_, MountError> {
            let tree = Arc::new(Tree::open(&root, options)?);
            let mount = measure(&tree)?;
            let clock = read_clock(&tree)?;
            Ok((tree, mount, clock))
        };
        examine().map_err(|error| error.to_string())
    };
    let mut pool = Workers::start(1, &answers, work).map_err(|error| error.to_string())?;
    pool.submit([(root.to_owned(), None)]);
    answers.take(PATIENCE, Call::Low).pop().unwrap_or_else(|| {
        Err(format!("no answer within {}: the server hangs or is away", humantime::format_duration(PATIENCE)))
    })
}

fn measure(tree: &Tree) -> Result<MountFacts, MountError> {
    let (root, path) = (tree.directory(0, &RelPath::root())?, RelPath::root());
    let mut rpcs_a_refresh = Vec::new();
    for _ in 0..COUNTED {
        let Some(before) = tree.rpcs() else { break };
        tree.refresh(&root, &path)?;
        rpcs_a_refresh.extend(tree.rpcs().map(|after| after.since(&before).total()));
    }
    let identity = tree.identity();
    Ok(MountFacts {
        fs_type: identity.fs_type.clone(),
        source: identity.source.clone(),
        mount_point: identity.mount_point.clone(),
        options: identity.options(),
        rpcs_a_refresh,
        round_trip: round_trip(tree)?,
    })
}

/// Watches the access times of the root and some directories in it while they are listed, before anything else lists them.
fn read_clock(tree: &Tree) -> Result<ClockFacts, MountError> {
    let mut clock = ClockFacts::default();
    let root = RelPath::root();
    let listing = list_watching(tree, 0, &root, &mut clock)?;
    let directories = listing.iter().filter(|entry| entry.kind == EntryKind::Directory);
    for (id, Entry { name, .. }) in (1..).zip(directories.take(CLOCK_TRIES)) {
        // What cannot be read is told of by the walk.
        let _ = list_watching(tree, id, &root.join(name), &mut clock);
        tree.drop_directory(id);
    }
    Ok(clock)
}

fn list_watching(
    tree: &Tree,
    id: u64,
    path: &RelPath,
    clock: &mut ClockFacts,
) -> Result<Vec<Entry>, MountError> {
    let directory = tree.directory(id, path)?;
    let (before, began) = (tree.accessed(&directory, path)?, clock::wall());
    let listing = tree.names(&directory, path)?;
    let (after, ended) = (tree.accessed(&directory, path)?, clock::wall());
    if after != before {
        clock.saw(after, ended);
        clock.set_after(after, began);
    }
    Ok(listing.entries)
}

fn look_around(tree: &Arc<Tree>, config: &Config, clock: ClockFacts) -> std::io::Result<TreeFacts> {
    let limits = Limits { directories: MOST_DIRECTORIES, time: WALK_TIME, patience: PATIENCE };
    let mut facts = TreeFacts { clock, ..TreeFacts::default() };
    let ended = walk(tree, &config.rules, &limits, |visited| note(&mut facts, visited))?;
    (facts.is_whole, facts.is_silent) = (ended.is_whole, ended.is_silent);
    Ok(facts)
}

fn note(facts: &mut TreeFacts, Visited { path, seen }: &Visited) {
    facts.directories += 1;
    let failed = match seen {
        Ok(seen) => {
            facts.clock.saw(seen.stamp.ctime, clock::wall());
            facts.change_times.push(seen.stamp.ctime);
            facts.largest.push((path.clone(), seen.names));
            facts.largest.sort_by_key(|(_, names)| std::cmp::Reverse(*names));
            facts.largest.truncate(LARGEST);
            match &seen.coverage {
                Coverage::Complete => return,
                Coverage::Partial(error) => error,
            }
        }
        // It went while we walked.
        Err(error) if error.is_not_found() || error.is_stale() || error.is_other_file_system() => return,
        Err(error) => error,
    };
    if failed.is_denied() {
        facts.denied.push(path.clone());
    } else {
        facts.failed.push((path.clone(), failed.errno.to_string()));
    }
}

type Brokers = (Option<BrokerFacts<RedisLook>>, Option<BrokerFacts<QueueFacts>>);

fn brokers(config: &Config) -> Brokers {
    let sinks = settings::sinks(config);
    let redis = config.sinks.redis.as_ref().zip(sinks.redis).map(|(typed, settings)| {
        let told = asked(dispatch::look_at_redis(&settings));
        broker(&typed.url, told)
    });
    let queue = config.sinks.amqp.as_ref().zip(sinks.amqp).map(|(typed, settings)| {
        let told = asked(dispatch::look_at_queue(&settings));
        let told = told.map(|found| QueueFacts { name: settings.queue, found });
        broker(&typed.url, told)
    });
    (redis, queue)
}

/// Waits for a broker; each look has time-outs of its own.
fn asked<T>(look: impl Future<Output = Result<T, SinkError>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let told = runtime.block_on(look).map_err(|error| error.to_string());
    runtime.shutdown_background();
    told
}

fn broker<T>(url: &ServerUrl, told: Result<T, String>) -> BrokerFacts<T> {
    BrokerFacts {
        url: url.to_string(),
        is_tls: url.is_tls(),
        is_local: url.is_local(),
        has_password: url.has_password(),
        told,
    }
}

fn state(state: &Path, root: &Path) -> StateFacts {
    let found = place(state);
    let fs_type = Identity::of(&found.nearest).map(|identity| identity.fs_type).unwrap_or_default();
    StateFacts {
        path: shown(state),
        exists: found.exists,
        fs_type,
        is_below_watched: state.starts_with(root),
        is_writable: found.is_writable,
        free_bytes: found.free_bytes,
        health: health(state),
    }
}

fn health(state: &Path) -> Health {
    match ask(state, &Question::IndexSize) {
        Ok(Some(_)) => Health::Running,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Health::Unseen(format!("the agent's socket cannot be used: {error}"))
        }
        Err(error) => Health::Mute(error.to_string()),
        Ok(None) => match inspect(state, &std::env::temp_dir()) {
            Inspected::None => Health::None,
            Inspected::Held => Health::Mute("its socket is gone".to_owned()),
            Inspected::Unseen(reason) => Health::Unseen(reason),
            Inspected::Sound(bytes) => Health::Sound { bytes },
            Inspected::Ill(reason) => Health::Ill(reason),
        },
    }
}
