//! Runs the engine: gives its jobs to the workers of each root, takes their outcomes, commits, keeps the beat.
//!
//! One thread. It never touches a mount, so a hung server stops only its own workers; what it waits for besides
//! outcomes is the store's disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::engine::Engine;
use super::job::{Job, Outcome, Reader, perform};
use super::recorder::Recorder;
use crate::clock::{Clock, Now};
use crate::model::Seq;
use crate::mount::{Basket, Call, Workers};
use crate::store::StoreError;

/// The longest wait between two beats.
const BEAT: Duration = Duration::from_millis(250);

/// A wait so short that looks that found nothing new are not told of before it is over: to be woken for them costs more
/// than a few of them do.
const SOON: Duration = Duration::from_millis(100);

/// How long calls under way are waited for when the agent is to end.
const GRACE: Duration = Duration::from_secs(1);

/// What ends the engine's thread.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The store failed: nothing more can be remembered, so nothing more is done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no more threads.
    #[error("cannot start a thread for {root}: {source}; allow more processes")]
    Threads {
        /// Which root it was for.
        root: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The trace cannot be written.
    #[error("cannot record into {}: {source}", .path.display())]
    Record {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// How others see and stop the engine's thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Handle {
    stop: Arc<AtomicBool>,
    beats: Arc<AtomicU64>,
    known: Arc<AtomicU64>,
}

impl Handle {
    /// Asks the thread to end; it does within a few seconds.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Rises as long as the thread is alive.
    #[must_use]
    pub(super) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// How many directories are known.
    #[must_use]
    pub(super) fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The engine and what it drives.
#[derive(Debug)]
pub(super) struct Service {
    engine: Engine,
    pools: Vec<Pool>,
    outcomes: Basket<Outcome>,
    clock: Clock,
    once: bool,
    head: watch::Sender<Seq>,
    handle: Handle,
    recorder: Option<Recorder>,
}

/// The workers of a root, and what they are to be given.
#[derive(Debug)]
struct Pool {
    workers: Workers<Job>,
    /// Each with how long it is likely to take, if that is known.
    pile: Vec<(Job, Option<Duration>)>,
}

impl Pool {
    fn of(workers: Workers<Job>) -> Self {
        Self { workers, pile: Vec::new() }
    }

    /// Gives them the pile; and sees to it that what was given before does not lie behind a call that hangs.
    fn hand_in(&mut self) {
        self.workers.submit(self.pile.drain(..));
    }
}

/// How many workers a root gets, and what they need.
#[derive(Debug, Clone)]
pub(super) struct Crew {
    /// Threads a root at most.
    pub workers: usize,
    /// What reading files needs.
    pub reader: Reader,
}

impl Service {
    /// Starts the first worker of each root.
    pub(super) fn new(
        engine: Engine,
        crew: &Crew,
        clock: Clock,
        head: watch::Sender<Seq>,
        handle: Handle,
    ) -> Result<Self, ServiceError> {
        let outcomes = Basket::new(Outcome::may_wait);
        let start = |root: &std::path::PathBuf| {
            let reader = crew.reader.clone();
            Workers::start(crew.workers, &outcomes, move |job| perform(job, &reader))
                .map(Pool::of)
                .map_err(|source| ServiceError::Threads { root: root.display().to_string(), source })
        };
        let pools = engine.settings.roots.iter().map(start).collect::<Result<_, _>>()?;
        let once = engine.settings.once;
        Ok(Self { engine, pools, outcomes, clock, once, head, handle, recorder: None })
    }

    /// Writes down what comes into the trace at `path`.
    pub(super) fn record(mut self, path: &Path) -> Result<Self, ServiceError> {
        let opened = Recorder::open(path, self.engine.directories(), self.clock.now().steady);
        self.recorder =
            Some(opened.map_err(|source| ServiceError::Record { path: path.to_owned(), source })?);
        Ok(self)
    }

    /// Works until it is stopped, or in one-shot mode until nothing is left to look at.
    pub(super) fn run(mut self) -> Result<Engine, ServiceError> {
        let mut now = self.clock.now();
        while !self.handle.is_stopped() {
            self.engine.weigh_outbox()?;
            self.hand_out(now);
            self.commit_if_wanted(now)?;
            if self.once && self.engine.is_idle(now) {
                break;
            }
            now = self.wait(now)?;
        }
        self.wind_down()?;
        Ok(self.engine)
    }

    /// Hands out all that is to be done now.
    fn hand_out(&mut self, now: Now) {
        while let Some((root, job)) = self.engine.next_job(now) {
            let takes = self.engine.takes(root, &job);
            let pool = self.pools.get_mut(root).expect("each root has its workers");
            pool.pile.push((job, takes));
        }
        self.pools.iter_mut().for_each(Pool::hand_in);
    }

    fn commit_if_wanted(&mut self, now: Now) -> Result<(), ServiceError> {
        if self.engine.wants_commit(now) {
            let seq = self.engine.commit_ready(now)?;
            self.committed(seq);
        }
        Ok(())
    }

    fn committed(&mut self, seq: Seq) {
        self.head.send_if_modified(|head| std::mem::replace(head, seq) != seq);
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(&self.engine.take_arrivals())
        {
            tracing::warn!(%error, "Cannot write the trace any more; the agent goes on without.");
            self.recorder = None;
            self.engine.settings.record = false;
        }
    }

    /// Takes what comes until something is due. Looks that found nothing new are taken then, if that is soon and nothing
    /// hangs on them; else when few of those are left that were handed out together, or at the next beat.
    fn wait(&mut self, now: Now) -> Result<Now, ServiceError> {
        self.handle.beats.fetch_add(1, Ordering::Relaxed);
        self.handle.known.store(self.engine.table.len() as u64, Ordering::Relaxed);
        self.engine.watch_for_silence(now);
        if self.engine.watched.is_asked() {
            self.engine.watched.answer(self.engine.vitals(now));
        }
        let pause = self.engine.next_wake().map_or(BEAT, |wake| wake.since(now.steady).min(BEAT));
        let comes_anyway = pause <= SOON && !self.engine.needs_outcomes();
        self.take(pause, if comes_anyway { Call::Urgent } else { Call::Low })
    }

    fn take(&mut self, pause: Duration, for_what: Call) -> Result<Now, ServiceError> {
        let outcomes = self.outcomes.take(pause, for_what);
        let now = self.clock.now();
        for outcome in outcomes {
            self.engine.absorb(outcome, now)?;
        }
        Ok(now)
    }

    /// Takes what returns in time, and makes durable what was decided.
    fn wind_down(&mut self) -> Result<(), ServiceError> {
        let end = self.clock.now().steady.plus(GRACE);
        while self.engine.in_flight() > 0 && self.clock.now().steady < end {
            self.pools.iter_mut().for_each(Pool::hand_in);
            self.take(Duration::from_millis(50), Call::Low)?;
        }
        let now = self.clock.now();
        self.engine.end_first_walks(now);
        self.engine.save_learnt(true, now)?;
        let seq = self.engine.commit(now)?;
        self.engine.store.write_ledger()?;
        self.committed(seq);
        self.engine.watched.end(self.engine.vitals(now));
        Ok(())
    }
}
