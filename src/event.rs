//! What happens in the agent, as one closed list: log lines, counters and status all derive from it.
//!
//! Nothing here decides anything. An event never carries content of a file or a secret.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::model::{Histogram, Kind, MessageId, RelPath, Seq, Timestamp};

/// Something worth a log line or a counter.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A root was found and is watched.
    RootFound {
        /// Its path.
        root: String,
        /// What lies there: type and source.
        file_system: String,
    },
    /// Another file system than the known one lies at a root, and is taken for the right one (`--accept-mount`).
    RootAccepted {
        /// Its path.
        root: String,
    },
    /// Every directory of a root was looked at for the first time: what comes now is news, whatever was there.
    RootWalked {
        /// Its path.
        root: String,
    },
    /// A root cannot be read, or something else lies there; its directories wait.
    RootLost {
        /// Its path.
        root: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The longest time between two looks at a directory that the budget allows is not, or is again, the interval.
    Bound {
        /// The interval.
        promised: Duration,
        /// What can be kept.
        kept: Duration,
    },
    /// Directories were refreshed; their stamps are what they were.
    DirectoriesUnchanged {
        /// How many.
        count: u64,
    },
    /// A directory was listed.
    DirectoryListed {
        /// Which.
        path: RelPath,
        /// Whether its stamp had moved; else it was racy, or audited.
        changed: bool,
        /// How many names it holds.
        names: usize,
        /// How many of them need a look.
        news: usize,
        /// How many known files are gone from it.
        gone: usize,
    },
    /// A directory could not be looked at, or not wholly.
    DirectoryFailed {
        /// Which.
        path: RelPath,
        /// Why.
        reason: String,
        /// For how many looks in a row.
        failures: u32,
    },
    /// A directory was removed, renamed or exchanged; those above it are looked at.
    DirectoryElsewhere {
        /// Which.
        path: RelPath,
    },
    /// A directory is gone from its parent.
    DirectoryGone {
        /// Which.
        path: RelPath,
    },
    /// A directory is a mount below the root and is left alone.
    DirectoryExcluded {
        /// Which.
        path: RelPath,
    },
    /// A file is on its way to the sinks, durably.
    HandedOver {
        /// Its place in the journal.
        seq: Seq,
        /// Its identity.
        id: MessageId,
        /// What happened.
        kind: Kind,
        /// Which file.
        path: RelPath,
        /// Its size.
        size_bytes: u64,
        /// When it was decided, by our wall clock.
        at: Timestamp,
        /// The time since its directory was last seen without it, where it was.
        within: Option<Duration>,
    },
    /// A file is known under another path already: recorded, not sent.
    Moved {
        /// Where it is now.
        path: RelPath,
    },
    /// A known file was looked at and has the content that it had.
    SameContent {
        /// Which file.
        path: RelPath,
    },
    /// A file is taken as seen without reading it (`--baseline`).
    Baselined,
    /// A file waits.
    Waiting {
        /// Which file.
        path: RelPath,
        /// Why.
        reason: String,
    },
    /// Calls to a root are under way and none has returned for long: the server is away, or large files are read.
    MountHangs {
        /// Which root.
        root: String,
        /// For how long.
        seconds: u64,
        /// How many calls are under way.
        calls: usize,
    },
    /// Calls to a root return again.
    MountAnswers {
        /// Which root.
        root: String,
    },
    /// The outbox reached its bound: nothing is read until a sink takes some of it.
    IntakePaused {
        /// Bytes that sinks still have to get.
        bytes: u64,
        /// The bound.
        bound: u64,
        /// The sink that is furthest behind.
        sink: String,
    },
    /// A part of the outbox is free again.
    IntakeResumed {
        /// Bytes that sinks still have to get.
        bytes: u64,
        /// The bound.
        bound: u64,
    },
    /// A sink is attached for the first time; it gets what comes from now on.
    SinkAttached {
        /// Which.
        sink: &'static str,
        /// The last handover that it does not get.
        after: Seq,
    },
    /// A sink can be reached (again).
    SinkUp {
        /// Which.
        sink: &'static str,
    },
    /// A sink cannot be reached or refuses everything; it will be tried again.
    SinkDown {
        /// Which.
        sink: &'static str,
        /// Why, without secrets.
        reason: String,
    },
    /// A sink is still away: a reminder with a count instead of a line an attempt.
    SinkStillDown {
        /// Which.
        sink: &'static str,
        /// How often it was tried in this outage.
        attempts: u32,
        /// The latest reason, without secrets.
        reason: String,
    },
    /// A sink is connected but takes nothing for now; the agent waits without reconnecting.
    SinkBlocked {
        /// Which.
        sink: &'static str,
        /// Why.
        reason: String,
    },
    /// A sink refused one message for good; it is kept in the list of refused messages.
    MessageRefused {
        /// Which sink.
        sink: &'static str,
        /// The handover's place in the journal.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// The work queue did not exist and was declared.
    QueueDeclared {
        /// Its name.
        queue: String,
    },
    /// The broadcast exchange does not take messages; the queue is not affected.
    BroadcastFailed {
        /// Its name.
        exchange: String,
        /// Why.
        reason: String,
    },
    /// Redis knew less than it had confirmed; the difference is sent again from history.
    StatisticsReplayed {
        /// The last seq that Redis knew.
        from: u64,
        /// The last seq that it had confirmed.
        to: u64,
    },
    /// Redis knew nothing (or less than history reaches back); its totals were written from the ledger.
    StatisticsRestored {
        /// The seq that the ledger includes.
        upto: u64,
        /// `added` to what was there (nothing of ours) or `raised` to the ledger where that is more.
        how: &'static str,
    },
    /// Redis did not write its append-only file anew after its start.
    StatisticsLogOld {
        /// Why not.
        reason: String,
    },
    /// Redis refused single changes of a batch, such as a key of another type; the rest was applied.
    StatisticsRejected {
        /// How many changes.
        changes: u64,
        /// The first reason.
        reason: String,
    },
    /// Redis has counted further than our journal reaches: the state directory is older than Redis.
    JournalBehind {
        /// The seq that Redis has counted; our next one is above it.
        floor: u64,
    },
}

impl Event {
    /// The counter that this event adds to.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::RootFound { .. } => "roots_found",
            Self::RootAccepted { .. } => "roots_accepted",
            Self::RootWalked { .. } => "roots_walked",
            Self::RootLost { .. } => "roots_lost",
            Self::Bound { .. } => "bound_changed",
            Self::DirectoriesUnchanged { .. } => "directories_unchanged",
            Self::DirectoryListed { changed: true, .. } => "directories_changed",
            Self::DirectoryListed { changed: false, .. } => "directories_confirmed",
            Self::DirectoryFailed { .. } => "directories_failed",
            Self::DirectoryElsewhere { .. } => "directories_elsewhere",
            Self::DirectoryGone { .. } => "directories_gone",
            Self::DirectoryExcluded { .. } => "directories_excluded",
            Self::HandedOver { kind: Kind::Appeared, .. } => "files_appeared",
            Self::HandedOver { kind: Kind::Replaced, .. } => "files_replaced",
            Self::HandedOver { kind: Kind::Broken, .. } => "files_broken",
            Self::Moved { .. } => "files_moved",
            Self::SameContent { .. } => "files_same",
            Self::Baselined => "files_baselined",
            Self::Waiting { .. } => "files_waiting",
            Self::MountHangs { .. } => "mount_hangs",
            Self::MountAnswers { .. } => "mount_answers",
            Self::IntakePaused { .. } => "intake_paused",
            Self::IntakeResumed { .. } => "intake_resumed",
            Self::SinkAttached { .. } => "sink_attached",
            Self::SinkUp { .. } => "sink_up",
            Self::SinkDown { .. } => "sink_down",
            Self::SinkStillDown { .. } => "sink_still_down",
            Self::SinkBlocked { .. } => "sink_blocked",
            Self::MessageRefused { .. } => "message_refused",
            Self::QueueDeclared { .. } => "queue_declared",
            Self::BroadcastFailed { .. } => "broadcast_failed",
            Self::StatisticsReplayed { .. } => "statistics_replayed",
            Self::StatisticsRestored { .. } => "statistics_restored",
            Self::StatisticsLogOld { .. } => "statistics_log_old",
            Self::StatisticsRejected { .. } => "statistics_rejected",
            Self::JournalBehind { .. } => "journal_behind",
        }
    }

    /// How much it adds.
    fn times(&self) -> u64 {
        match self {
            Self::DirectoriesUnchanged { count } => *count,
            _ => 1,
        }
    }

    fn log(&self) {
        match self {
            Self::RootFound { .. }
            | Self::RootAccepted { .. }
            | Self::RootWalked { .. }
            | Self::RootLost { .. } => self.log_root(),
            Self::Bound { promised, kept } if kept > promised => {
                warn!(
                    ?promised,
                    ?kept,
                    "The budget is too small for the interval; raise --budget or --interval."
                );
            }
            Self::Bound { kept, .. } => info!(?kept, "The interval is kept again."),
            Self::DirectoriesUnchanged { .. } | Self::Baselined => {}
            Self::DirectoryListed { .. }
            | Self::DirectoryFailed { .. }
            | Self::DirectoryElsewhere { .. }
            | Self::DirectoryGone { .. }
            | Self::DirectoryExcluded { .. } => self.log_directory(),
            Self::HandedOver { .. }
            | Self::Moved { .. }
            | Self::SameContent { .. }
            | Self::Waiting { .. } => {
                self.log_file();
            }
            Self::MountHangs { root, seconds, calls } => {
                error!(
                    root,
                    seconds,
                    calls,
                    "The file system does not answer: no call returns; everything else goes on."
                );
            }
            Self::MountAnswers { root } => info!(root, "The file system answers again."),
            _ => self.log_sink(),
        }
    }

    fn log_root(&self) {
        match self {
            Self::RootAccepted { root } => {
                warn!(root, "Took another file system for the right one; take --accept-mount away again.");
            }
            Self::RootFound { root, file_system } => info!(root, file_system, "Watching the root."),
            Self::RootWalked { root } => info!(root, "Looked at every directory of the root once."),
            Self::RootLost { root, reason } => {
                error!(root, reason, "Cannot watch the root; nothing is forgotten.");
            }
            _ => {}
        }
    }

    fn log_directory(&self) {
        match self {
            Self::DirectoryListed { path, changed, names, news, gone } => {
                debug!(%path, changed, names, news, gone, "Listed a directory.");
            }
            Self::DirectoryFailed { path, reason, failures: 1 } => {
                warn!(%path, reason, "Could not read a directory; it is tried again.");
            }
            Self::DirectoryFailed { path, reason, failures } => {
                debug!(%path, reason, failures, "Still cannot read a directory.");
            }
            Self::DirectoryElsewhere { path } => debug!(%path, "A directory is not where it was."),
            Self::DirectoryGone { path } => debug!(%path, "A directory is gone."),
            Self::DirectoryExcluded { path } => {
                info!(%path, "Left a mount below the root alone; --cross-file-systems enters it.");
            }
            _ => {}
        }
    }

    fn log_file(&self) {
        match self {
            Self::HandedOver { seq, id, kind, path, size_bytes, .. } => {
                debug!(seq, %id, kind = kind.as_str(), %path, size_bytes, "Handed over a file.");
            }
            Self::Moved { path } => info!(%path, "Recognised a moved file; it is not sent again."),
            Self::SameContent { path } => debug!(%path, "A file has the content that it had."),
            Self::Waiting { path, reason } => debug!(%path, reason, "A file waits."),
            _ => {}
        }
    }

    fn log_sink(&self) {
        match self {
            Self::IntakePaused { bytes, bound, sink } => warn!(
                bytes,
                bound,
                sink,
                "The outbox is full: new files are left on the mount. Bring the sink back, or raise --outbox-max."
            ),
            Self::IntakeResumed { bytes, bound } => {
                info!(bytes, bound, "The outbox has room again; new files are taken.");
            }
            Self::SinkAttached { sink, after } => {
                info!(sink, after, "Attached a new sink; it gets what comes from now on.");
            }
            Self::SinkUp { sink } => info!(sink, "Connected to the sink."),
            Self::SinkDown { sink, reason } => {
                warn!(sink, reason, "Lost the sink; its work waits and it is tried again.");
            }
            Self::SinkStillDown { sink, attempts, reason } => {
                warn!(sink, attempts, reason, "The sink is still away.");
            }
            Self::SinkBlocked { sink, reason } => {
                warn!(sink, reason, "The sink is connected but takes nothing; waiting.");
            }
            Self::MessageRefused { sink, seq, reason } => {
                warn!(sink, seq, reason, "A message was refused for good; it is kept in the refused list.");
            }
            Self::QueueDeclared { queue } => info!(queue, "Declared the queue, which did not exist."),
            Self::BroadcastFailed { exchange, reason } => {
                warn!(exchange, reason, "Cannot broadcast; the queue is not affected.");
            }
            Self::StatisticsReplayed { from, to } => {
                warn!(from, to, "Redis had forgotten its latest changes; sending them again from history.");
            }
            Self::StatisticsRestored { upto, how } => {
                warn!(upto, how, "Redis had forgotten our statistics; wrote them from the ledger.");
            }
            Self::StatisticsLogOld { reason } => warn!(
                reason,
                "Redis did not write its log anew (BGREWRITEAOF): if a crash cut it short, its next start may count twice."
            ),
            Self::StatisticsRejected { changes, reason } => {
                warn!(changes, reason, "Redis refused single changes; the rest of the batch was applied.");
            }
            Self::JournalBehind { floor } => {
                warn!(floor, "Redis has counted further than our journal reaches; continuing above it.");
            }
            _ => {}
        }
    }
}

/// Takes events: writes the log line and counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reporter {
    state: Arc<Mutex<State>>,
}

/// What the events so far add up to.
#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<&'static str, u64>,
    lost_roots: BTreeSet<String>,
    latency: Histogram,
    latest: VecDeque<HandedOver>,
    broken: VecDeque<HandedOver>,
}

/// Files kept in memory of those handed over last, and as many of the broken ones.
const LATEST: usize = 50;

/// A file that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    /// What happened.
    pub kind: Kind,
    /// Which.
    pub path: RelPath,
    /// Its size.
    pub size_bytes: u64,
    /// When, by our wall clock.
    pub at: Timestamp,
    /// The time since its directory was last seen without it.
    pub within: Option<Duration>,
}

impl State {
    fn take(&mut self, event: &Event) {
        *self.counts.entry(event.counter()).or_default() += event.times();
        match event {
            Event::RootLost { root, .. } => {
                // Told again when the reason changes.
                let is_new = self.lost_roots.insert(root.clone());
                *self.counts.entry("mount_guard_trips").or_default() += u64::from(is_new);
            }
            Event::RootFound { root, .. } => {
                self.lost_roots.remove(root);
            }
            Event::HandedOver { kind, path, size_bytes, at, within, .. } => {
                if let Some(within) = within {
                    self.latency.observe(*within);
                }
                let (kind, size_bytes, at, within) = (*kind, *size_bytes, *at, *within);
                let file = HandedOver { kind, path: path.clone(), size_bytes, at, within };
                if kind == Kind::Broken {
                    push(&mut self.broken, file.clone());
                }
                push(&mut self.latest, file);
            }
            _ => {}
        }
    }
}

fn push(files: &mut VecDeque<HandedOver>, file: HandedOver) {
    if files.len() == LATEST {
        files.pop_back();
    }
    files.push_front(file);
}

impl Reporter {
    /// Logs and counts one event.
    pub fn emit(&self, event: &Event) {
        event.log();
        self.state().take(event);
    }

    /// How often an event of this counter happened since the start.
    #[must_use]
    pub fn count(&self, counter: &str) -> u64 {
        self.state().counts.get(counter).copied().unwrap_or(0)
    }

    /// Looks at directories that told something.
    #[must_use]
    pub fn looks(&self) -> u64 {
        let how = ["directories_unchanged", "directories_changed", "directories_confirmed"];
        how.into_iter().map(|how| self.count(how)).sum()
    }

    /// Every counter that is not 0.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    /// How long it took from the last look at a directory without a file until the file was handed over.
    #[must_use]
    pub fn latency(&self) -> Histogram {
        self.state().latency
    }

    /// The files handed over last, and those of them that were broken; the latest first.
    #[must_use]
    pub fn latest(&self) -> [Vec<HandedOver>; 2] {
        let state = self.state();
        [&state.latest, &state.broken].map(|files| files.iter().cloned().collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
