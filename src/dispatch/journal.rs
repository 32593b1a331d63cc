//! What the sinks read from and report to: the agent puts the store behind it.
//!
//! Calls block (the store fsyncs), so couriers make them on blocking threads, but for one. Nothing here knows how a handover is
//! stored, and a sink never sees another sink's progress.

use std::fmt;
use std::sync::Arc;

use crate::dispatch::SinkError;
use crate::model::{Handover, Seq, Totals};

/// The sinks that a handover can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SinkName {
    /// JSON lines on standard output or in a file.
    Events,
    /// Statistics in Redis.
    Redis,
    /// The work queue in RabbitMQ.
    Amqp,
}

impl SinkName {
    /// Every sink, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Events, Self::Redis, Self::Amqp];

    /// The sink of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sink| sink.as_str() == word)
    }

    /// The word used in logs, tables and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Redis => "redis",
            Self::Amqp => "amqp",
        }
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The journal could not be read or written; the sink waits and tries again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JournalError(Box<dyn std::error::Error + Send + Sync>);

impl JournalError {
    /// Wraps the store's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Durable handovers in order, and how far each sink has taken them.
pub trait Journal: Send + Sync + 'static {
    /// The agent's identity, 32 hexadecimal digits, the same for the life of a state directory.
    fn agent_id(&self) -> String;

    /// The last seq that `sink` confirmed; 0 if none.
    fn cursor(&self, sink: SinkName) -> Result<Seq, JournalError>;

    /// The last durable seq; 0 if none.
    fn head(&self) -> Result<Seq, JournalError>;

    /// Up to `limit` handovers above `after`, ascending. Numbers may be missing; every handover up to
    /// [`Journal::head`] that is still in history must be visible.
    fn read(&self, after: Seq, limit: usize) -> Result<Vec<Handover>, JournalError>;

    /// The first seq still in history; head + 1 if there is none.
    fn oldest(&self) -> Result<Seq, JournalError>;

    /// Notes that `sink` has everything up to `upto`, refused messages included. Never called with a smaller number
    /// than before within one life of the agent.
    fn confirm(&self, sink: SinkName, upto: Seq) -> Result<(), JournalError>;

    /// Remembers for the next life that `sink` has everything up to `upto`, at once and without waiting for a disk;
    /// [`Journal::confirm`] follows.
    fn note(&self, sink: SinkName, upto: Seq) -> Result<(), JournalError>;

    /// Keeps a message that `sink` refuses for good in the refused list. Called before the confirm that passes it;
    /// a second call with the same seq (after a crash between the two) changes nothing.
    fn refuse(&self, sink: SinkName, seq: Seq, reason: &str) -> Result<(), JournalError>;

    /// The ledger of every handover so far, and the seq up to which it includes them, read as one.
    fn totals(&self) -> Result<(Seq, Totals), JournalError>;

    /// Makes every later seq greater than `floor`: Redis has counted further than this journal reaches, so this
    /// store is an older copy.
    fn outrun(&self, floor: Seq) -> Result<(), JournalError>;
}

/// The journal as one sink's task sees it: every call on a blocking thread.
#[derive(Clone)]
pub(crate) struct Desk {
    journal: Arc<dyn Journal>,
    sink: SinkName,
    /// Whether calls are made where they are asked for.
    #[cfg(test)]
    inline: bool,
}

impl Desk {
    pub(crate) fn new(journal: Arc<dyn Journal>, sink: SinkName) -> Self {
        Self {
            journal,
            sink,
            #[cfg(test)]
            inline: false,
        }
    }

    /// One that never leaves its thread: for simulations, whose store is memory and whose order of events is fixed.
    #[cfg(test)]
    pub(crate) fn inline(journal: Arc<dyn Journal>, sink: SinkName) -> Self {
        Self { journal, sink, inline: true }
    }

    pub(crate) fn agent_id(&self) -> String {
        self.journal.agent_id()
    }

    pub(crate) async fn cursor(&self) -> Result<Seq, SinkError> {
        self.ask(Journal::cursor).await
    }

    pub(crate) async fn head(&self) -> Result<Seq, SinkError> {
        self.ask(|journal, _| journal.head()).await
    }

    pub(crate) async fn oldest(&self) -> Result<Seq, SinkError> {
        self.ask(|journal, _| journal.oldest()).await
    }

    pub(crate) async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Handover>, SinkError> {
        self.ask(move |journal, _| journal.read(after, limit)).await
    }

    pub(crate) async fn confirm(&self, upto: Seq) -> Result<(), SinkError> {
        self.ask(move |journal, sink| journal.confirm(sink, upto)).await
    }

    /// The one call that is made where it is asked for: on its way to another thread the process may end.
    pub(crate) fn note(&self, upto: Seq) -> Result<(), SinkError> {
        self.journal.note(self.sink, upto).map_err(|error| SinkError::Journal(error.to_string()))
    }

    pub(crate) async fn refuse(&self, seq: Seq, reason: String) -> Result<(), SinkError> {
        self.ask(move |journal, sink| journal.refuse(sink, seq, &reason)).await
    }

    pub(crate) async fn totals(&self) -> Result<(Seq, Totals), SinkError> {
        self.ask(|journal, _| journal.totals()).await
    }

    pub(crate) async fn outrun(&self, floor: Seq) -> Result<(), SinkError> {
        self.ask(move |journal, _| journal.outrun(floor)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Journal, SinkName) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, SinkError> {
        #[cfg(test)]
        if self.inline {
            return call(&*self.journal, self.sink).map_err(|error| SinkError::Journal(error.to_string()));
        }
        let (journal, sink) = (Arc::clone(&self.journal), self.sink);
        match tokio::task::spawn_blocking(move || call(&*journal, sink)).await {
            Ok(answer) => answer.map_err(|error| SinkError::Journal(error.to_string())),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(SinkError::Journal("the runtime is shutting down".to_owned())),
        }
    }
}
