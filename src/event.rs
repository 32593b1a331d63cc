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
}

impl Event {
    /// The counter that this event adds one to.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::SinkUp { .. } => "sink_up",
            Self::SinkDown { .. } => "sink_down",
        }
    }

    fn log(&self) {
        match self {
            Self::SinkUp { sink } => info!(sink, "Connected to the sink."),
            Self::SinkDown { sink, reason } => {
                warn!(sink, reason, "Lost the sink; its work waits and it is tried again.");
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
