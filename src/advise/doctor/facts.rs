//! What the checks are told: plain values, gathered elsewhere.

use std::fmt;
use std::time::Duration;

use super::clock::ClockFacts;
use crate::model::{QueueLook, RedisLook, RelPath, Timestamp};

/// An absolute path, escaped when it is shown, so that a name cannot forge a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(RelPath);

impl Path {
    /// Takes the path's bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(RelPath::from_bytes(bytes))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All that was found out.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The directory that is or will be watched.
    pub path: Path,
    /// The mount there; why it cannot be read if it cannot.
    pub mount: Result<MountFacts, String>,
    /// What lies on it.
    pub tree: TreeFacts,
    /// Redis, if one was named.
    pub redis: Option<BrokerFacts<RedisLook>>,
    /// The queue, if a `RabbitMQ` was named.
    pub queue: Option<BrokerFacts<QueueFacts>>,
    /// The state directory.
    pub state: StateFacts,
    /// What this process may use.
    pub limits: LimitFacts,
}

/// A mount.
#[derive(Debug, Clone, Default)]
pub struct MountFacts {
    /// The file system's type: `nfs4`, `ext4`.
    pub fs_type: String,
    /// Where it comes from, as the kernel writes it: `server:/export`, blanks as `\\040`.
    pub source: String,
    /// Where it is mounted, as the kernel and `/etc/fstab` write it.
    pub mount_point: String,
    /// The options, as the kernel shows them.
    pub options: Vec<String>,
    /// RPCs that each of some forced refreshes of one directory cost, in the mount's counters.
    pub rpcs_a_refresh: Vec<u64>,
    /// The time of one forced refresh, the median of some.
    pub round_trip: Duration,
}

/// What lies on the mount, as far as a walk came.
#[derive(Debug, Clone, Default)]
pub struct TreeFacts {
    /// Directories visited.
    pub directories: u64,
    /// Whether that is all of them.
    pub is_whole: bool,
    /// Whether the server stopped answering.
    pub is_silent: bool,
    /// Names in the largest directories, the largest first.
    pub largest: Vec<(RelPath, u64)>,
    /// Directories that could not be read for lack of permission.
    pub denied: Vec<RelPath>,
    /// Directories that could not be read for another reason, with it.
    pub failed: Vec<(RelPath, String)>,
    /// Change times of directories, by the server's clock.
    pub change_times: Vec<Timestamp>,
    /// What is known of the server's clock.
    pub clock: ClockFacts,
}

/// A broker.
#[derive(Debug, Clone)]
pub struct BrokerFacts<T> {
    /// Its URL, the password masked.
    pub url: String,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// Whether the server is this very machine.
    pub is_local: bool,
    /// Whether a password goes over the wire.
    pub has_password: bool,
    /// What it told, or why it did not.
    pub told: Result<T, String>,
}

/// The queue.
#[derive(Debug, Clone, Default)]
pub struct QueueFacts {
    /// Its name.
    pub name: String,
    /// What it is like; `None` if it does not exist.
    pub found: Option<QueueLook>,
}

/// The state directory.
#[derive(Debug, Clone, Default)]
pub struct StateFacts {
    /// Where it is.
    pub path: Path,
    /// Whether it exists; else what is told of its file system is that of the nearest directory above.
    pub exists: bool,
    /// The type of its file system.
    pub fs_type: String,
    /// Whether it lies below the directory that is watched.
    pub is_below_watched: bool,
    /// Whether this user may write there.
    pub is_writable: bool,
    /// Bytes free there.
    pub free_bytes: u64,
    /// The index in it.
    pub health: Health,
}

/// What is known of the index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// None has been made yet.
    #[default]
    None,
    /// An agent runs with it, and answers.
    Running,
    /// An agent holds it and does not answer, with the reason.
    Mute(String),
    /// A copy of it opens and agrees with itself.
    Sound {
        /// Bytes on disk.
        bytes: u64,
    },
    /// It was not looked at, with the reason.
    Unseen(String),
    /// What is wrong.
    Ill(String),
}

/// What this process may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitFacts {
    /// Files that may be open at a time; `None` without a limit. The agent raises its soft limit to this.
    pub open_files: Option<u64>,
    /// Directories that the agent would hold open under it.
    pub held: u64,
}
