//! Runs the engine: gives its jobs to the workers of each root, takes their outcomes, commits, keeps the beat.
//!
//! One thread. It never touches a mount, so a hung server stops only its own workers; what it waits for besides
//! outcomes is the store's disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tokio::sync::watch;

use super::engine::Engine;
use super::job::{Job, Outcome, Reader, perform};
use super::recorder::Recorder;
use crate::clock::{Clock, Now};
use crate::model::Seq;
use crate::mount::Workers;
use crate::store::StoreError;

/// The longest wait between two beats.
const BEAT: Duration = Duration::from_millis(250);

/// Outcomes taken in a row before anything else gets a turn.
const BURST: usize = 256;

/// How long calls under way are waited for when the agent is to end.
const GRACE: Duration = Duration::from_secs(1);

/// What ends the engine's thread.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The store failed: nothing more can be remembered, so nothing more is done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no more threads.
    #[error("cannot start the threads for {root}: {source}; allow more processes, or lower --workers")]
    Threads {
        /// Which root they were for.
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
    /// The workers are gone.
    #[error("the worker threads ended")]
    WorkersGone,
}

/// How others see and stop the engine's thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Handle {
    stop: Arc<AtomicBool>,
    beats: Arc<AtomicU64>,
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

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The engine and what it drives.
#[derive(Debug)]
pub(super) struct Service {
    engine: Engine,
    pools: Vec<Workers<Job>>,
    outcomes: Receiver<Outcome>,
    clock: Clock,
    once: bool,
    head: watch::Sender<Seq>,
    handle: Handle,
    recorder: Option<Recorder>,
}

/// How many workers a root gets, and what they need.
#[derive(Debug, Clone)]
pub(super) struct Crew {
    /// Threads a root.
    pub workers: usize,
    /// What reading files needs.
    pub reader: Reader,
}

impl Service {
    /// Starts the workers.
    pub(super) fn new(
        engine: Engine,
        crew: &Crew,
        clock: Clock,
        head: watch::Sender<Seq>,
        handle: Handle,
    ) -> Result<Self, ServiceError> {
        let (done, outcomes): (Sender<Outcome>, _) = unbounded();
        let start = |root: &std::path::PathBuf| {
            let reader = crew.reader.clone();
            Workers::start(crew.workers, &done, move |job| perform(job, &reader))
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
        while !self.handle.is_stopped() {
            let now = self.clock.now();
            self.engine.weigh_outbox()?;
            self.hand_out(now)?;
            self.commit_if_wanted(now)?;
            if self.once && self.engine.is_idle(now) {
                break;
            }
            self.wait(now)?;
        }
        self.wind_down()?;
        Ok(self.engine)
    }

    fn hand_out(&mut self, now: Now) -> Result<(), ServiceError> {
        while let Some((root, job)) = self.engine.next_job(now) {
            let pool = self.pools.get(root).ok_or(ServiceError::WorkersGone)?;
            pool.submit(job).map_err(|_| ServiceError::WorkersGone)?;
        }
        Ok(())
    }

    fn commit_if_wanted(&mut self, now: Now) -> Result<(), ServiceError> {
        let nothing_comes = self.outcomes.is_empty() && self.engine.in_flight() == 0;
        if self.engine.wants_commit(now) || (nothing_comes && self.engine.has_pending()) {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ServiceError> {
        let seq = self.engine.commit(self.clock.now())?;
        self.head.send_if_modified(|head| std::mem::replace(head, seq) != seq);
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(&self.engine.take_arrivals())
        {
            tracing::warn!(%error, "Cannot write the trace any more; the agent goes on without.");
            self.recorder = None;
            self.engine.settings.record = false;
        }
        Ok(())
    }

    /// Takes what comes until something is due.
    fn wait(&mut self, now: Now) -> Result<(), ServiceError> {
        self.handle.beats.fetch_add(1, Ordering::Relaxed);
        self.engine.watch_for_silence(now);
        if self.engine.watched.is_asked() {
            self.engine.watched.answer(self.engine.vitals(now));
        }
        let pause = self.engine.next_wake().map_or(BEAT, |wake| wake.since(now.steady).min(BEAT));
        match self.outcomes.recv_timeout(pause) {
            Ok(outcome) => self.take(outcome)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ServiceError::WorkersGone),
        }
        for _ in 0..BURST {
            let Ok(outcome) = self.outcomes.try_recv() else { break };
            self.take(outcome)?;
        }
        Ok(())
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), ServiceError> {
        Ok(self.engine.absorb(outcome, self.clock.now())?)
    }

    /// Takes what returns in time, and makes durable what was decided.
    fn wind_down(&mut self) -> Result<(), ServiceError> {
        let end = self.clock.now().steady.plus(GRACE);
        while self.engine.in_flight() > 0 && self.clock.now().steady < end {
            if let Ok(outcome) = self.outcomes.recv_timeout(Duration::from_millis(50)) {
                self.take(outcome)?;
            }
        }
        let now = self.clock.now();
        self.engine.end_first_walks(now);
        self.engine.save_learnt(true, now)?;
        self.commit()?;
        self.engine.watched.end(self.engine.vitals(now));
        Ok(())
    }
}
