//! What happens in the agent, as one closed list: log lines, counters and status all derive from it.
//!
//! Nothing here decides anything. An event never carries content of a file or a secret.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{debug, error, info, warn};

use crate::model::{Kind, MessageId, RelPath, Seq};

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
    /// A root cannot be read, or something else lies there; its directories wait.
    RootLost {
        /// Its path.
        root: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A directory was refreshed; its stamp is what it was.
    DirectoryUnchanged,
    /// A directory was listed.
    DirectoryListed {
        /// Which.
        path: RelPath,
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
    /// A directory is gone from its parent.
    DirectoryGone {
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
    /// The oldest call to a file system has not returned for long.
    MountHangs {
        /// For how long.
        seconds: u64,
        /// How many calls are under way.
        calls: usize,
    },
    /// Calls return again.
    MountAnswers,
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
}

impl Event {
    /// The counter that this event adds one to.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::RootFound { .. } => "roots_found",
            Self::RootLost { .. } => "roots_lost",
            Self::DirectoryUnchanged => "directories_unchanged",
            Self::DirectoryListed { .. } => "directories_listed",
            Self::DirectoryFailed { .. } => "directories_failed",
            Self::DirectoryGone { .. } => "directories_gone",
            Self::HandedOver { kind: Kind::Appeared, .. } => "files_appeared",
            Self::HandedOver { kind: Kind::Replaced, .. } => "files_replaced",
            Self::HandedOver { kind: Kind::Broken, .. } => "files_broken",
            Self::Moved { .. } => "files_moved",
            Self::SameContent { .. } => "files_same",
            Self::Baselined => "files_baselined",
            Self::Waiting { .. } => "files_waiting",
            Self::MountHangs { .. } => "mount_hangs",
            Self::MountAnswers => "mount_answers",
            Self::SinkAttached { .. } => "sink_attached",
            Self::SinkUp { .. } => "sink_up",
            Self::SinkDown { .. } => "sink_down",
        }
    }

    fn log(&self) {
        match self {
            Self::RootFound { .. } | Self::RootLost { .. } => self.log_root(),
            Self::DirectoryUnchanged | Self::Baselined => {}
            Self::DirectoryListed { .. } | Self::DirectoryFailed { .. } | Self::DirectoryGone { .. } => {
                self.log_directory();
            }
            Self::HandedOver { .. }
            | Self::Moved { .. }
            | Self::SameContent { .. }
            | Self::Waiting { .. } => {
                self.log_file();
            }
            Self::MountHangs { seconds, calls } => {
                error!(seconds, calls, "The file system does not answer; everything else goes on.");
            }
            Self::MountAnswers => info!("The file system answers again."),
            Self::SinkAttached { .. } | Self::SinkUp { .. } | Self::SinkDown { .. } => self.log_sink(),
        }
    }

    fn log_root(&self) {
        match self {
            Self::RootFound { root, file_system } => info!(root, file_system, "Watching the root."),
            Self::RootLost { root, reason } => {
                error!(root, reason, "Cannot watch the root; nothing is forgotten.")
            }
            _ => {}
        }
    }

    fn log_directory(&self) {
        match self {
            Self::DirectoryListed { path, names, news, gone } => {
                debug!(%path, names, news, gone, "Listed a directory.");
            }
            Self::DirectoryFailed { path, reason, failures: 1 } => {
                warn!(%path, reason, "Could not read a directory; it is tried again.");
            }
            Self::DirectoryFailed { path, reason, failures } => {
                debug!(%path, reason, failures, "Still cannot read a directory.");
            }
            Self::DirectoryGone { path } => debug!(%path, "A directory is gone."),
            _ => {}
        }
    }

    fn log_file(&self) {
        match self {
            Self::HandedOver { seq, id, kind, path, size_bytes } => {
                info!(seq, %id, kind = kind.as_str(), %path, size_bytes, "Handed over a file.");
            }
            Self::Moved { path } => info!(%path, "Recognised a moved file; it is not sent again."),
            Self::SameContent { path } => debug!(%path, "A file has the content that it had."),
            Self::Waiting { path, reason } => debug!(%path, reason, "A file waits."),
            _ => {}
        }
    }

    fn log_sink(&self) {
        match self {
            Self::SinkAttached { sink, after } => {
                info!(sink, after, "Attached a new sink; it gets what comes from now on.");
            }
            Self::SinkUp { sink } => info!(sink, "Connected to the sink."),
            Self::SinkDown { sink, reason } => {
                warn!(sink, reason, "Lost the sink; its work waits and it is tried again.");
            }
            _ => {}
        }
    }
}

/// Takes events: writes the log line and counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reporter {
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Reporter {
    /// Logs and counts one event.
    pub fn emit(&self, event: &Event) {
        event.log();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(event.counter()).or_default() += 1;
    }

    /// How often an event of this counter happened since the start.
    #[must_use]
    pub fn count(&self, counter: &str) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(counter).copied().unwrap_or(0)
    }
}
