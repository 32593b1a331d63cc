//! One process of the agent: the real engine, store and couriers, and what of theirs is under way.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::history::Config;
use super::machine::wall;
use super::mount::Mount;
use super::world::Time;
use crate::agent::buffers::Buffers;
use crate::agent::engine::{Engine, Settings};
use crate::agent::job::{Job, Outcome, Reader, perform};
use crate::agent::journal::StoreJournal;
use crate::agent::round::Asking;
use crate::agent::run::attach_new_sinks;
use crate::agent::watched::Watched;
use crate::clock::Now;
use crate::dispatch::inside::{Courier, Desk, Pulse, Sink};
use crate::dispatch::{self, DispatchError, Journal, QueueSettings, RedisSettings, SinkName, SinkReport};
use crate::event::Reporter;
use crate::intake::{Limits, Redaction};
use crate::model::{Seq, Timestamp};
use crate::mount::{Refresh, TreeOptions};
use crate::rules::FileRules;
use crate::schedule::{Budget, SettlePolicy};
use crate::store::{Store, StoreError};

/// What is under way.
pub(super) enum Stage {
    Perform(Job),
    /// The next call of a round, of this number.
    Claim(u32, Asking),
    /// A call of a round returns, of the directory at that place.
    Ask(u32, Asking, usize),
    Deliver(Outcome),
}

/// A process of the agent.
pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) store: Arc<Store>,
    pub(super) once: bool,
    pub(super) began: Time,
    pub(super) steady_at_start: Timestamp,
    pub(super) stages: BTreeMap<(Time, u64), Stage>,
    pub(super) head: watch::Sender<Seq>,
    pub(super) token: CancellationToken,
    pub(super) reports: Vec<watch::Receiver<SinkReport>>,
    couriers: JoinSet<Result<(), DispatchError>>,
    /// When a one-shot run that has looked at everything gives up on its sinks.
    pub(super) draining: Option<Time>,
    pub(super) found_root: bool,
}

impl Process {
    /// Begins where the store says the last one ended; its couriers are still to be started.
    pub(super) fn start(
        config: &Config,
        store: Arc<Store>,
        once: bool,
        began: Time,
        reporter: &Reporter,
    ) -> Result<Self, StoreError> {
        let sinks = dispatch::Sinks {
            events: None,
            redis: Some(RedisSettings::new("redis://simulated")),
            amqp: Some(QueueSettings::new("amqp://simulated")),
        };
        attach_new_sinks(&sinks, &store, reporter)?;
        let wall = wall(began);
        let steady_at_start = store.last_steady()?.map_or(wall, |last| last.max(wall));
        let now = Now { steady: steady_at_start, wall };
        let settings = settings(config, once);
        let engine = Engine::start(settings, Arc::clone(&store), reporter.clone(), Watched::default(), now)?;
        let (head, _) = watch::channel(store.head());
        Ok(Self {
            engine,
            store,
            once,
            began,
            steady_at_start,
            stages: BTreeMap::new(),
            head,
            token: CancellationToken::new(),
            reports: Vec::new(),
            couriers: JoinSet::new(),
            draining: None,
            found_root: false,
        })
    }

    pub(super) fn clock(&self, now: Time) -> Now {
        let since = Duration::from_nanos(now - self.began);
        Now { steady: self.steady_at_start.plus(since), wall: wall(now) }
    }

    pub(super) fn spawn<S: Sink>(&mut self, sink: S, reporter: &Reporter, runtime: &Runtime) {
        let _context = runtime.enter();
        let journal: Arc<dyn Journal> = Arc::new(StoreJournal(Arc::clone(&self.store)));
        let desk = Desk::inline(journal, S::NAME);
        let (pulse, report) = Pulse::new(S::NAME, reporter.clone());
        let courier =
            Courier::new(sink, desk, self.head.subscribe(), pulse, reporter.clone(), self.token.clone())
                .with_jitter(|| 0.5);
        self.couriers.spawn(courier.run());
        self.reports.push(report);
    }
}

/// Does a job as the workers do.
pub(super) fn do_job(job: Job, mount: &Mount, round_trip: Duration) -> Outcome {
    static READER: OnceLock<Reader> = OnceLock::new();
    let reader = READER.get_or_init(|| Reader {
        limits: Limits::default(),
        redaction: Redaction::new(&[]).expect("no pattern is wrong"),
        buffers: Buffers::default(),
    });
    match job {
        Job::Open { root, options, .. } => Outcome::Opened(root, mount.open(options).map(Arc::new)),
        Job::Check { root, tree } => Outcome::Checked(root, mount.is_in_place(tree.identity().mount_id)),
        job => match perform(job, reader) {
            // A real clock's measure would not be the same twice.
            Outcome::Unchanged(dir, _) => Outcome::Unchanged(dir, round_trip),
            Outcome::Looked(dir, mut looked) => {
                if let Ok(looked) = &mut *looked {
                    looked.round_trip = round_trip;
                }
                Outcome::Looked(dir, looked)
            }
            outcome => outcome,
        },
    }
}

fn settings(config: &Config, once: bool) -> Settings {
    static RULES: OnceLock<FileRules> = OnceLock::new();
    let at_least_one = |number| std::num::NonZeroUsize::new(number).expect("at least one");
    Settings {
        roots: vec!["/mnt".into()],
        once,
        interval: config.interval,
        budget: Budget::Auto,
        run_budget: None,
        settle: SettlePolicy { settle: config.settle, give_up: config.give_up },
        audit: config.audit,
        audit_stat: config.audit_stat,
        baseline: false,
        history: config.history,
        send_moved: config.send_moved,
        rules: RULES.get_or_init(FileRules::default).clone(),
        accept_mount: false,
        tree: TreeOptions { refresh: Refresh::Force, one_file_system: true, max_open: config.max_open },
        max_in_flight: at_least_one(config.in_flight),
        commit_delay: config.commit_delay,
        patience: Duration::from_secs(10),
        outbox_max: config.outbox_max,
        sinks: vec![SinkName::Redis.as_str(), SinkName::Amqp.as_str()],
        record: false,
    }
}
