//! What the trials share: a mount with a tree that a peer knows, files that another client brings, and what became of them.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::peer::{Peer, Post};
use crate::rig::{self, Mount, Rpcs, agent};
use crate::watched::{Handover, Watched};

/// Between two passes of a peer, unless a trial says otherwise.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);
/// Shorter than the interval: so whoever asks no server explicitly is not told what the client's caches hold.
pub(crate) const FRESH: &str = "actimeo=1";
/// What may pass until a peer knows a small tree: an interpreter's start, on a slow CPU beside others.
const READY: Duration = Duration::from_secs(120);
/// As nfs-scout's default.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// How a file comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Written elsewhere and renamed.
    Rename,
    /// Written under its name, at once.
    InPlace,
}

/// A mount and a peer at work on it.
pub(crate) struct Stage {
    pub(crate) peer: Watched,
    pub(crate) mount: Mount,
    pub(crate) interval: Duration,
    /// Files that were there before; their names have no extension.
    pub(crate) known: u32,
}

/// The tree, before the peer starts.
pub(crate) struct Tree {
    pub(crate) directories: u32,
    pub(crate) files_in_each: u32,
}

impl Stage {
    /// Lets a peer get to know the tree.
    pub(crate) fn set(peer: Peer, mount: Mount, tree: &Tree, settle: bool) -> Result<Self, String> {
        Self::set_with(peer, mount, tree, settle, INTERVAL)
    }

    pub(crate) fn set_with(
        peer: Peer,
        mount: Mount,
        tree: &Tree,
        settle: bool,
        interval: Duration,
    ) -> Result<Self, String> {
        for number in 0..tree.directories {
            let folder = mount.server_path().join(directory(number));
            fs::create_dir_all(&folder).unwrap();
            rig::create_files(&folder, "old-", tree.files_in_each);
        }
        let post = Post {
            root: mount.client_path().to_owned(),
            work: new_folder(),
            interval,
            settle: settle.then_some(SETTLE),
        };
        let mut peer = Watched::start(peer, &post)?;
        peer.make_ready(READY, |name| agent::arrive(&mount, name))?;
        std::thread::sleep(2 * interval);
        Ok(Self { peer, mount, interval, known: tree.directories * tree.files_in_each })
    }

    /// A file comes; when it was there.
    pub(crate) fn bring(&self, path: &str, way: Way) -> Instant {
        match way {
            Way::Rename => agent::arrive(&self.mount, path),
            Way::InPlace => {
                fs::copy(agent::sample(), self.mount.server_path().join(path)).unwrap();
            }
        }
        Instant::now()
    }

    /// RPCs without the sign of life of an `NFSv4` client.
    pub(crate) fn rpcs(&self) -> Rpcs {
        agent::asked(&self.mount)
    }

    /// How often old files were handed over since `since`.
    pub(crate) fn repeats_of_old_files(&self, since: Instant) -> usize {
        let handovers = self.peer.handovers();
        handovers.iter().filter(|it| it.at >= since && it.path.contains("old-")).count()
    }
}

/// The directory's path from the root.
pub(crate) fn directory(number: u32) -> String {
    format!("jobs/{number}")
}

/// What became of the files that came.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// How long after they were there they were handed over the first time.
    pub(crate) found_after: HashMap<String, Duration>,
    pub(crate) lost: usize,
    /// Handed over more than once.
    pub(crate) doubled: usize,
    /// Handed over before they were whole.
    pub(crate) half: usize,
}

/// Compares what came, and when it was whole, with what was handed over.
pub(crate) fn fate(arrivals: &HashMap<String, Instant>, handovers: &[Handover]) -> Fate {
    let mut fate = Fate::default();
    for (path, whole_at) in arrivals {
        let of_it: Vec<Instant> = handovers.iter().filter(|it| it.path == *path).map(|it| it.at).collect();
        let Some(first) = of_it.first() else {
            fate.lost += 1;
            continue;
        };
        fate.half += usize::from(first < whole_at);
        fate.doubled += usize::from(of_it.len() > 1);
        fate.found_after.insert(path.clone(), first.saturating_duration_since(*whole_at));
    }
    fate
}

/// A folder of the guest's own memory that is not there yet.
fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    PathBuf::from(format!("/tmp/peer-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// The mean in seconds; `None` of nothing.
pub(crate) fn mean_seconds<'a>(times: impl Iterator<Item = &'a Duration>) -> Option<f64> {
    let all: Vec<f64> = times.map(Duration::as_secs_f64).collect();
    let count = u32::try_from(all.len()).ok().filter(|count| *count > 0)?;
    Some(all.iter().sum::<f64>() / f64::from(count))
}
