//! The sinks against real servers: what is counted and queued, whatever breaks in between.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::wildcard_imports, clippy::cast_precision_loss, reason = "short tests, small numbers")]

mod look;
mod queue;
mod statistics;
#[path = "../support/mod.rs"]
mod support;
mod together;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use nfs_scout::dispatch::{
    Body, Couriers, DispatchError, EventsTarget, Journal, JournalError, Mode, QueueSettings, RedisSettings,
    SinkName, SinkReport, SinkState, Sinks, json_of, start,
};
use nfs_scout::event::Reporter;
use nfs_scout::model::*;
use redis::Commands;
use support::journal::{MemoryJournal, job};
use support::servers::*;
use support::{HANG, eventually, eventually_async};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Couriers at work on a journal.
pub(crate) struct Rig {
    couriers: Couriers,
    reporter: Reporter,
    token: CancellationToken,
}

impl Rig {
    fn new(journal: &Arc<MemoryJournal>, sinks: Sinks) -> Self {
        Self::in_mode(journal, sinks, Mode::Agent)
    }

    fn in_mode(journal: &Arc<MemoryJournal>, sinks: Sinks, mode: Mode) -> Self {
        let (reporter, token) = (Reporter::default(), CancellationToken::new());
        let couriers =
            start(sinks, Arc::clone(journal) as _, journal.watch(), mode, reporter.clone(), token.clone());
        Self { couriers, reporter, token }
    }

    async fn drained(&self, upto: Seq) {
        assert_eq!(self.couriers.drained(upto, HANG).await, []);
    }

    fn report(&self) -> watch::Receiver<SinkReport> {
        self.couriers.reports().remove(0)
    }

    async fn state(&self, what: &str, wanted: impl Fn(&SinkState) -> bool) -> SinkState {
        let mut report = self.report();
        let waiting = report.wait_for(|report| wanted(&report.state));
        match tokio::time::timeout(HANG, waiting).await {
            Ok(report) => report.unwrap().state.clone(),
            Err(error) => panic!("never {what}: {error}: {:?}", self.report().borrow()),
        }
    }

    async fn down(&self) -> (String, bool) {
        match self.state("down", |state| matches!(state, SinkState::Down { .. })).await {
            SinkState::Down { reason, transient, .. } => (reason, transient),
            other => panic!("{other:?}"),
        }
    }

    async fn counted(&self, counter: &str) {
        eventually_async(counter, || async { (self.reporter.count(counter) > 0).then_some(()) }).await;
    }

    async fn stop(mut self) {
        self.token.cancel();
        while let Some((_, outcome)) = self.couriers.ended().await {
            outcome.unwrap();
        }
    }
}

pub(crate) fn redis_sink(url: &str) -> Sinks {
    let settings = RedisSettings { timeout: Duration::from_secs(2), ..RedisSettings::new(url) };
    Sinks { redis: Some(settings), ..Sinks::default() }
}

pub(crate) fn queue_sink(settings: QueueSettings) -> Sinks {
    Sinks { amqp: Some(settings), ..Sinks::default() }
}
