//! What happens in the agent, as one closed list: log lines, counters and status all derive from it.
//!
//! Nothing here decides anything. An event never carries content of a file or a secret.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

/// Something worth a log line or a counter.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
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
    /// The counter that this event adds one to.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::SinkUp { .. } => "sink_up",
            Self::SinkDown { .. } => "sink_down",
            Self::SinkStillDown { .. } => "sink_still_down",
            Self::SinkBlocked { .. } => "sink_blocked",
            Self::MessageRefused { .. } => "message_refused",
            Self::QueueDeclared { .. } => "queue_declared",
            Self::BroadcastFailed { .. } => "broadcast_failed",
            Self::StatisticsReplayed { .. } => "statistics_replayed",
            Self::StatisticsRestored { .. } => "statistics_restored",
            Self::StatisticsRejected { .. } => "statistics_rejected",
            Self::JournalBehind { .. } => "journal_behind",
        }
    }

    fn log(&self) {
        match self {
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
            Self::StatisticsRejected { changes, reason } => {
                warn!(changes, reason, "Redis refused single changes; the rest of the batch was applied.");
            }
            Self::JournalBehind { floor } => {
                warn!(floor, "Redis has counted further than our journal reaches; continuing above it.");
            }
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
