//! What can go wrong between a courier and its sink.
//!
//! Every reason is fit for a log line and a status page: it carries no password, and where a person has to act it
//! says what to do.

use crate::dispatch::SinkName;

/// Why a sink does not take messages now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Nobody answers, or not in time, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// It answers, but has no room or is not ready yet; it will be on its own.
    #[error("{0}")]
    Busy(String),
    /// It answers with an error that names no cause we know.
    #[error("{0}")]
    Rejected(String),
    /// It answers and refuses; it will not change before somebody acts.
    #[error("{reason}; {remedy}")]
    Refused {
        /// What it said.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Our own journal cannot be read or written.
    #[error("cannot use the journal: {0}")]
    Journal(String),
    /// Nothing will ever take messages here again: the reader of standard output went away.
    #[error("{0}")]
    Ended(String),
}

impl SinkError {
    /// Whether waiting may help without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy(_) | Self::Journal(_))
    }

    /// Whether trying again is pointless.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// Why a courier's task ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The sink ended for good; for standard output a clean reason to stop.
    #[error("sink {sink} ended: {reason}")]
    Ended {
        /// Which.
        sink: SinkName,
        /// Why.
        reason: String,
    },
    /// A bug: the task panicked or was cancelled from outside.
    #[error("the task of sink {sink} failed: {source}")]
    Failed {
        /// Which.
        sink: SinkName,
        /// The panic.
        source: tokio::task::JoinError,
    },
}

impl DispatchError {
    /// Whether this is an ordinary end (the reader of standard output went away) rather than a bug.
    #[must_use]
    pub fn is_end_of_output(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}
