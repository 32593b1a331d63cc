//! Runs the engine: gives its jobs to the workers of each root, takes their outcomes, commits, keeps the beat.
//!
//! One thread. It never touches a mount, so a hung server stops only its own workers; what it waits for besides
//! outcomes is the store's disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tokio::sync::watch;

use super::engine::Engine;
use super::job::{Job, Outcome, Reader, perform};
use crate::clock::{Clock, Now};
use crate::event::{Event, Reporter};
use crate::model::{Seq, Timestamp};
use crate::mount::Workers;
use crate::store::StoreError;

/// The longest wait between two beats.
const BEAT: Duration = Duration::from_millis(250);

/// Outcomes taken in a row before anything else gets a turn.
const BURST: usize = 256;

/// How long calls may be silent before it is said.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// How long calls under way are waited for when the agent is to end.
const GRACE: Duration = Duration::from_secs(2);

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
    crews: Vec<Workers<Job>>,
    silences: Vec<Silence>,
    outcomes: Receiver<(usize, Outcome)>,
    clock: Clock,
    once: bool,
    head: watch::Sender<Seq>,
    handle: Handle,
    reporter: Reporter,
}

/// How long the calls to one root have been silent: another root that answers must not hide it.
#[derive(Debug, Clone, Copy)]
struct Silence {
    since: Timestamp,
    said: bool,
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
        let (done, outcomes): (Sender<(usize, Outcome)>, _) = unbounded();
        let start = |(number, root): (usize, &std::path::PathBuf)| {
            let reader = crew.reader.clone();
            Workers::start(crew.workers, &done, move |job| (number, perform(job, &reader)))
                .map_err(|source| ServiceError::Threads { root: root.display().to_string(), source })
        };
        let crews: Vec<_> = engine.settings.roots.iter().enumerate().map(start).collect::<Result<_, _>>()?;
        let (once, reporter) = (engine.settings.once, engine.reporter.clone());
        let silences = vec![Silence { since: clock.now().steady, said: false }; crews.len()];
        Ok(Self { engine, crews, silences, outcomes, clock, once, head, handle, reporter })
    }

    /// Works until it is stopped, or in one-shot mode until nothing is left to look at.
    pub(super) fn run(mut self) -> Result<Engine, ServiceError> {
        while !self.handle.is_stopped() {
            let now = self.clock.now();
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
            let pool = self.crews.get(root).ok_or(ServiceError::WorkersGone)?;
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
        Ok(())
    }

    /// Takes what comes until something is due.
    fn wait(&mut self, now: Now) -> Result<(), ServiceError> {
        self.handle.beats.fetch_add(1, Ordering::Relaxed);
        let pause = self.engine.next_wake().map_or(BEAT, |wake| wake.since(now.steady).min(BEAT));
        match self.outcomes.recv_timeout(pause) {
            Ok((root, outcome)) => self.take(root, outcome)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ServiceError::WorkersGone),
        }
        for _ in 0..BURST {
            let Ok((root, outcome)) = self.outcomes.try_recv() else { break };
            self.take(root, outcome)?;
        }
        self.watch_for_silence();
        Ok(())
    }

    fn take(&mut self, root: usize, outcome: Outcome) -> Result<(), ServiceError> {
        let now = self.clock.now();
        if let Some(silence) = self.silences.get_mut(root) {
            silence.since = now.steady;
            if std::mem::take(&mut silence.said) {
                self.reporter.emit(&Event::MountAnswers { root: self.engine.root_name(root) });
            }
        }
        self.engine.absorb(outcome, now)?;
        Ok(())
    }

    /// Says when calls to a root are under way and none has returned for long; a one-shot run goes on without it.
    fn watch_for_silence(&mut self) {
        let now = self.clock.now().steady;
        for (number, silence) in self.silences.iter_mut().enumerate() {
            let calls = self.engine.in_flight_on(number);
            if calls == 0 {
                silence.since = now;
            }
            let silent = now.since(silence.since);
            if silent >= HANGS_AFTER && !silence.said {
                silence.said = true;
                let root = self.engine.root_name(number);
                self.reporter.emit(&Event::MountHangs { root, seconds: silent.as_secs(), calls });
            }
            if self.once && silent >= self.engine.settings.patience {
                self.engine.give_up_on(number, silent);
                silence.since = now;
            }
        }
    }

    /// Takes what returns in time, and makes durable what was decided.
    fn wind_down(&mut self) -> Result<(), ServiceError> {
        let end = self.clock.now().steady.plus(GRACE);
        while self.engine.in_flight() > 0 && self.clock.now().steady < end {
            if let Ok((root, outcome)) = self.outcomes.recv_timeout(Duration::from_millis(50)) {
                self.take(root, outcome)?;
            }
        }
        self.engine.end_first_walks(self.clock.now());
        self.commit()
    }
}
