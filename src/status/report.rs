//! How the agent is doing, as plain values: the one source of the text, the JSON, the metrics and the page.
//!
//! What only a running agent knows is empty or `null` in the report of a stored state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Waiting, refused or broken files listed in a report, at most; the count tells of the rest.
pub const MAX_LISTED: usize = 100;

/// Directories listed in a report, at most: half of them the hottest, half those looked at longest ago.
pub const MAX_DIRECTORIES: usize = 400;

/// The state of an agent, live or as it was left.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The agent's name in Redis.
    pub agent: String,
    /// The program's version.
    pub version: String,
    /// Whether an agent is running now.
    pub running: bool,
    /// When this was reported, by our wall clock, RFC 3339.
    pub at: String,
    /// The same in seconds since 1970.
    pub at_seconds: f64,
    /// When the agent was started.
    pub started: Option<String>,
    /// What is not as it should be, in words, the worst first.
    pub problems: Vec<String>,
    /// What is watched.
    pub roots: Vec<RootReport>,
    /// How fast it is looked at, and what is promised.
    pub pace: Pace,
    /// The RPCs of the NFS mounts since the agent's start, by operation; empty without such a mount or agent.
    pub rpcs: BTreeMap<String, OperationReport>,
    /// Looks at directories since the agent's start.
    pub looks: u64,
    /// How often each event happened since the agent's start.
    pub counts: BTreeMap<String, u64>,
    /// The time from the last look at a directory without a file until the file was handed over, since the agent's start.
    pub latency: LatencyReport,
    /// The hottest directories and those looked at longest ago, by path; at most [`MAX_DIRECTORIES`].
    pub directories: Vec<DirectoryLine>,
    /// How many files wait.
    pub waiting_count: u64,
    /// How many of them for which reason.
    pub waiting_reasons: BTreeMap<String, u64>,
    /// Those that wait longest, at most [`MAX_LISTED`].
    pub waiting: Vec<WaitingFile>,
    /// Files handed over last since the agent's start, the latest first.
    pub latest: Vec<HandedOverFile>,
    /// Those of them that were broken.
    pub broken: Vec<HandedOverFile>,
    /// The last number of the journal.
    pub head: u64,
    /// What waits for the sinks.
    pub outbox: OutboxReport,
    /// The sinks.
    pub sinks: Vec<SinkLine>,
    /// How many messages sinks refused for good.
    pub refused_count: u64,
    /// What sinks refused for good, at most [`MAX_LISTED`].
    pub refused: Vec<RefusedMessage>,
}

/// Whether a root is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootState {
    /// No agent runs, or it has not looked yet.
    #[default]
    Unknown,
    /// It is watched.
    Watched,
    /// It cannot be read, or something else lies there: nothing of it is looked at or forgotten.
    Lost,
    /// Calls to it do not return.
    Silent,
}

impl RootState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "-",
            Self::Watched => "watched",
            Self::Lost => "lost",
            Self::Silent => "does not answer",
        }
    }
}

/// A watched root.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RootReport {
    /// Its path, with odd bytes escaped.
    pub path: String,
    /// Whether it is watched.
    pub state: RootState,
    /// Why it cannot be watched now.
    pub lost: Option<String>,
    /// Directories known below it.
    pub directories: u64,
    /// Of these, directories that no look has succeeded at yet.
    pub unseen: u64,
    /// Of these, directories that could not be read at the last look.
    pub unreadable: u64,
    /// Whether every directory was looked at once.
    pub walked: bool,
    /// The time since the last look at the directory that was looked at longest ago, in seconds.
    pub oldest_look_s: Option<f64>,
    /// Calls on it under way.
    pub calls: u64,
    /// How long its server has not answered, in seconds; `null` unless it is silent.
    pub silent_s: Option<f64>,
}

/// What is promised, what can be kept, and what it costs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pace {
    /// The interval: the longest time that a directory is to go unchecked, in seconds.
    pub promised_s: Option<f64>,
    /// What the budget allows of that, in seconds: more than is promised if the budget is too small.
    pub kept_s: Option<f64>,
    /// RPCs a second that looking may cost now; less than was given while the server is slow.
    pub budget: Option<f64>,
    /// RPCs a second that the interval needs if nothing changes.
    pub needed: Option<f64>,
    /// Looks a second, over the last minute.
    pub looks: Option<f64>,
    /// RPCs of the mounts a second, over the last minute; `null` without an NFS mount.
    pub rpcs: Option<f64>,
}

/// RPCs of one operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OperationReport {
    /// How many were sent.
    pub count: u64,
    /// How many a second, over the last minute.
    pub per_second: Option<f64>,
    /// The mean time from sending to receiving, in milliseconds.
    pub round_trip_ms: f64,
}

/// How long it took to find files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencyReport {
    /// How many were found within so many seconds: the seconds and the count, rising.
    pub within: Vec<(f64, u64)>,
    /// How many were found.
    pub count: u64,
    /// How long it took together, in seconds.
    pub sum_s: f64,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DirectoryLine {
    /// Its whole path, with odd bytes escaped.
    pub path: String,
    /// How many files an hour are expected in it.
    pub files_per_hour: f64,
    /// The time since the last look at it, in seconds; `null` if none has succeeded.
    pub looked_s: Option<f64>,
    /// The time between two looks that it earns now, in seconds.
    pub every_s: Option<f64>,
    /// Whether it could not be read at the last look.
    pub unreadable: bool,
}

/// A file that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFile {
    /// Its path below its root.
    pub path: String,
    /// Its size at the last look, in bytes.
    pub size: u64,
    /// When it was first seen, RFC 3339.
    pub first_seen: String,
    /// Why it waits.
    pub reason: String,
}

/// A file that was handed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedOverFile {
    /// Its path below its root.
    pub path: String,
    /// `appeared`, `replaced` or `broken`.
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was handed over, RFC 3339.
    pub at: String,
    /// The time since its directory was last seen without it, in seconds.
    pub within_s: Option<f64>,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SinkLine {
    /// Its name.
    pub sink: String,
    /// Its state: `up`, `connecting`, `blocked`, `down`, `ended`, or `-` while no agent sends to it.
    pub state: String,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Since when it is not up, RFC 3339.
    pub since: Option<String>,
    /// The last number that it confirmed.
    pub confirmed: u64,
    /// How many numbers it is behind.
    pub behind: u64,
    /// The age of the oldest handover that it has not confirmed, in seconds.
    pub oldest_s: Option<f64>,
    /// Handovers delivered since the agent's start, repeats included.
    pub delivered: u64,
    /// Handovers that it refused for good.
    pub refused: u64,
}

impl SinkLine {
    /// Whether this run sends to it; what an earlier run sent to keeps its place in the journal.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.state != "-"
    }
}

/// What waits for the sinks on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutboxReport {
    /// Its bytes.
    pub bytes: u64,
    /// From how many on intake pauses; `null` while no agent runs.
    pub bound: Option<u64>,
    /// Whether intake pauses now.
    pub paused: bool,
}

/// A message that a sink refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMessage {
    /// Which sink.
    pub sink: String,
    /// The number of the handover.
    pub seq: u64,
    /// Why, in the sink's words.
    pub reason: String,
}

/// The figures of a stretch of time, for a chart.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point {
    /// When it ended, in seconds since 1970.
    pub at: f64,
    /// Looks a second.
    pub looks: f64,
    /// RPCs a second; `null` without an NFS mount.
    pub rpcs: Option<f64>,
    /// RPCs a second that were allowed.
    pub budget: Option<f64>,
    /// Files handed over of which is known since when they were not there.
    pub files: u64,
    /// Half of the files were found within so many seconds; `null` without any.
    pub half_s: Option<f64>,
    /// 95 of 100 files were.
    pub most_s: Option<f64>,
}
