//! Starts the couriers and is the agent's hold on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::dispatch::courier::{Courier, Sink};
use crate::dispatch::events::{Events, Reopen};
use crate::dispatch::journal::Desk;
use crate::dispatch::progress::{self, Pulse};
use crate::dispatch::queue::Queue;
use crate::dispatch::statistics::Statistics;
use crate::dispatch::{DispatchError, Journal, Left, Mode, SinkName, SinkReport, Sinks};
use crate::event::Reporter;
use crate::model::Seq;

/// Starts one task a configured sink, on the current Tokio runtime.
///
/// `head` carries the last durable seq; the journal must show everything up to it. Cancelling `token` ends the
/// tasks within about two seconds, letting a batch under way finish.
#[must_use]
pub fn start(
    settings: Sinks,
    journal: Arc<dyn Journal>,
    head: watch::Receiver<Seq>,
    mode: Mode,
    reporter: Reporter,
    token: CancellationToken,
) -> Couriers {
    let mut couriers = Couriers { reopen: Reopen::default(), ..Couriers::default() };
    let context = Context { journal, head, reporter, token };
    if let Some(target) = settings.events {
        let sink = Events::new(target, couriers.reopen.clone());
        couriers.spawn(sink, &context);
    }
    if let Some(settings) = settings.redis {
        couriers.spawn(Statistics::new(settings, mode, context.reporter.clone()), &context);
    }
    if let Some(settings) = settings.amqp {
        couriers.spawn(Queue::new(settings, context.reporter.clone()), &context);
    }
    couriers
}

struct Context {
    journal: Arc<dyn Journal>,
    head: watch::Receiver<Seq>,
    reporter: Reporter,
    token: CancellationToken,
}

/// The running couriers. Dropping it aborts them.
#[derive(Default)]
pub struct Couriers {
    tasks: JoinSet<Result<(), DispatchError>>,
    names: HashMap<Id, SinkName>,
    reports: Vec<watch::Receiver<SinkReport>>,
    reopen: Reopen,
}

impl Couriers {
    fn spawn<S: Sink>(&mut self, sink: S, context: &Context) {
        let (pulse, reader) = Pulse::new(S::NAME, context.reporter.clone());
        let courier = Courier::new(
            sink,
            Desk::new(Arc::clone(&context.journal), S::NAME),
            context.head.clone(),
            pulse,
            context.reporter.clone(),
            context.token.clone(),
        );
        let task = self.tasks.spawn(courier.run());
        self.names.insert(task.id(), S::NAME);
        self.reports.push(reader);
    }

    /// A watch on each sink's report, for the status page.
    #[must_use]
    pub fn reports(&self) -> Vec<watch::Receiver<SinkReport>> {
        self.reports.clone()
    }

    /// Makes the event file be opened anew, within a second; for SIGHUP.
    pub fn reopen(&self) {
        self.reopen.ask();
    }

    /// A handle that does the same from elsewhere, such as a signal task.
    pub fn reopener(&self) -> impl Fn() + Send + Sync + 'static {
        let reopen = self.reopen.clone();
        move || reopen.ask()
    }

    /// Waits until every sink has everything up to `upto`, giving up on a sink after `patience` without progress.
    ///
    /// What is left stays in the journal for the next run; empty when nothing is.
    pub async fn drained(&self, upto: Seq, patience: Duration) -> Vec<Left> {
        let waits = self.reports.iter().map(|reader| progress::drained(reader.clone(), upto, patience));
        join_all(waits).await.into_iter().flatten().collect()
    }

    #[expect(clippy::missing_panics_doc, reason = "cannot happen")]
    /// Waits for the next courier to end: `None` when none is left.
    ///
    /// `Ok` after the token was cancelled; a panic comes back as [`DispatchError::Failed`]. Safe to drop and call
    /// again.
    pub async fn ended(&mut self) -> Option<(SinkName, Result<(), DispatchError>)> {
        let joined = self.tasks.join_next_with_id().await?;
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let sink = *self.names.get(&id).expect("every courier was entered by its id when it was spawned");
        let outcome = match joined {
            Ok((_, outcome)) => outcome,
            Err(source) => Err(DispatchError::Failed { sink, source }),
        };
        Some((sink, outcome))
    }
}
