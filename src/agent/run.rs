//! One run of the agent: everything is started here, and everything ends here.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::engine::Engine;
use super::journal::StoreJournal;
use super::progress::{self, Progress};
use super::recent::Recent;
use super::report::{Live, report, statistics};
use super::service::{Handle, Service, ServiceError};
use super::settings;
use super::textfile;
use super::watched::Watched;
use super::web::Web;
use crate::clock::Clock;
use crate::config::{Config, Mode};
use crate::dispatch::{self, Couriers, DispatchError, Journal, Left, SettingsError, SinkName, SinkState};
use crate::event::{Event, Reporter};
use crate::intake::RedactionError;
use crate::model::Seq;
use crate::mount::RpcCounts;
use crate::status::{Statistics, Summary, metrics};
use crate::store::{Store, StoreError};

/// Threads for sockets; the mount has its own.
const SOCKET_THREADS: usize = 2;

/// How long the runtime is given to let go of what still runs.
const LET_GO: Duration = Duration::from_secs(1);

/// How often old history is dropped.
const RETIRE_EVERY: Duration = Duration::from_secs(60);

/// How often the service manager's watchdog is fed, if nothing else is said.
const FEED_EVERY: Duration = Duration::from_secs(1);

/// What ends a run badly.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state directory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's thread failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A sink's task failed.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// A sink's settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A pattern of secret keys is wrong.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
    /// The system refused something that every run needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The address of `--listen` cannot be taken.
    #[error(
        "cannot listen on {host}:{port}: {source}; is another agent there, or is it no address of this machine?"
    )]
    Listen {
        /// The address or name.
        host: String,
        /// The port.
        port: u16,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread panicked.
    #[error("the {0} panicked; what it was doing is found again at the next start")]
    Panicked(&'static str),
}

impl AgentError {
    /// Whether the configuration has to be changed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Settings(_) | Self::Redaction(_) | Self::Listen { .. })
    }

    /// Whether another agent holds the state directory.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_held())
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Ended {
    /// What the sinks did not get; it waits in the journal.
    pub left: Vec<Left>,
    /// Roots that could not be read, each with the reason.
    pub lost_roots: Vec<(String, String)>,
    /// How many roots there are.
    pub roots: usize,
    /// The RPCs of the NFS mounts; `None` without one.
    pub rpcs: Option<RpcCounts>,
    /// Files that wait.
    pub waiting: Vec<(u64, String)>,
    /// The statistics.
    pub statistics: Statistics,
    /// Whether nobody reads the events any more.
    pub unread: bool,
}

impl Ended {
    /// What the run did, with what was counted on the way.
    #[must_use]
    pub fn summary(&self, reporter: &Reporter) -> Summary {
        let left = self.left.iter().map(|left| (left.sink.to_string(), left.behind, reason_of(&left.state)));
        Summary {
            looked: reporter.looks(),
            changed: reporter.count("directories_changed"),
            failed: reporter.count("directories_failed"),
            rpcs: self.rpcs.as_ref().map(|counts| (counts.total(), counts.writes())),
            appeared: reporter.count("files_appeared"),
            replaced: reporter.count("files_replaced"),
            broken: reporter.count("files_broken"),
            moved: reporter.count("files_moved"),
            baselined: reporter.count("files_baselined"),
            waiting: self.waiting.clone(),
            left: left.collect(),
            lost: self.lost_roots.clone(),
        }
    }
}

fn reason_of(state: &SinkState) -> String {
    match state {
        SinkState::Down { reason, .. } | SinkState::Blocked { reason, .. } | SinkState::Ended { reason } => {
            reason.clone()
        }
        SinkState::Connecting => "not reached yet".to_owned(),
        SinkState::Up => "too slow".to_owned(),
    }
}

/// Watches until it is told to end, or in one-shot mode until everything was looked at and sent.
pub fn run(config: &Config, reporter: &Reporter) -> Result<Ended, AgentError> {
    settings::sinks(config).validate()?;
    let store = Arc::new(Store::open(&config.state)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SOCKET_THREADS)
        .enable_all()
        .build()
        .map_err(|source| AgentError::System { action: "start the runtime", source })?;
    let ended = runtime.block_on(async {
        // First of all: until then a hang-up, of which log rotation sends one, ends the process.
        let signals = Signals::listen()?;
        Run::start(config, &store, reporter)?.supervise(signals).await
    });
    runtime.shutdown_timeout(LET_GO);
    ended
}

/// A run under way.
struct Run<'a> {
    config: &'a Config,
    store: Arc<Store>,
    clock: Clock,
    handle: Handle,
    engine: oneshot::Receiver<Result<Engine, ServiceError>>,
    couriers: Couriers,
    token: CancellationToken,
    live: Live,
    unread: bool,
}

impl<'a> Run<'a> {
    fn start(config: &'a Config, store: &Arc<Store>, reporter: &Reporter) -> Result<Self, AgentError> {
        let clock = Clock::start(store.last_steady()?);
        let sinks = settings::sinks(config);
        attach_new_sinks(&sinks, store, reporter)?;
        let (head, reader) = watch::channel(store.head());
        let (token, handle) = (CancellationToken::new(), Handle::default());
        let journal: Arc<dyn Journal> = Arc::new(StoreJournal(Arc::clone(store)));
        let mode = match config.mode {
            Mode::Once => dispatch::Mode::Once,
            Mode::Agent => dispatch::Mode::Agent,
        };
        let couriers = dispatch::start(sinks, journal, reader, mode, reporter.clone(), token.clone());
        let watched = Watched::default();
        let live = Live {
            reporter: reporter.clone(),
            watched: watched.clone(),
            sinks: couriers.reports(),
            recent: Recent::default(),
            clock,
            started: clock.now().wall,
        };
        listen(config, store, &live)?;
        let engine = Engine::start(
            settings::engine(config),
            Arc::clone(store),
            reporter.clone(),
            watched.clone(),
            clock.now(),
        )?;
        let mut service = Service::new(engine, &settings::crew(config)?, clock, head, handle.clone())?;
        if let Some(path) = &config.record {
            service = service.record(path)?;
        }
        let engine = start_thread(service)?;
        Ok(Self {
            config,
            store: Arc::clone(store),
            clock,
            handle,
            engine,
            couriers,
            token,
            live,
            unread: false,
        })
    }

    async fn supervise(mut self, mut signals: Signals) -> Result<Ended, AgentError> {
        let engine = self.watch(&mut signals).await?;
        self.drain(&mut signals).await;
        self.token.cancel();
        while let Some((sink, ended)) = self.couriers.ended().await {
            self.courier_ended(sink, ended)?;
        }
        self.leave_metrics();
        Ok(self.ended(&engine))
    }

    /// Waits for the engine to end; passes on signals, feeds the watchdog, drops old history, draws how far a run is.
    async fn watch(&mut self, signals: &mut Signals) -> Result<Engine, AgentError> {
        let mut feed = tokio::time::interval(FEED_EVERY);
        let mut retire = tokio::time::interval(RETIRE_EVERY);
        let (progress, mut draw) = (Progress::new(self.config), tokio::time::interval(progress::EVERY));
        let mut beats = 0;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            tokio::select! {
                ended = &mut self.engine => {
                    progress.end();
                    return Ok(ended.map_err(|_| AgentError::Panicked("engine"))??);
                }
                order = signals.next() => match order {
                    Order::End => self.stop(),
                    Order::Reopen => self.couriers.reopen(),
                },
                Some((sink, ended)) = self.couriers.ended() => self.courier_ended(sink, ended)?,
                _ = feed.tick() => feed_watchdog(&self.handle, &mut beats),
                _ = retire.tick() => self.retire()?,
                _ = draw.tick(), if progress.is_shown() => {
                    progress.show(self.handle.known(), &self.live.reporter, || self.live.watched.rpcs());
                }
            }
        }
    }

    fn stop(&self) {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.handle.stop();
    }

    /// A courier that ends before it is told to has nobody to send to; if it was the only one, the run ends too.
    fn courier_ended(&mut self, sink: SinkName, ended: Result<(), DispatchError>) -> Result<(), AgentError> {
        match ended {
            Err(error) if sink == SinkName::Events && error.is_end_of_output() => {
                self.unread = true;
                if self.has_only_events() {
                    self.handle.stop();
                }
                Ok(())
            }
            ended => Ok(ended?),
        }
    }

    /// In one-shot mode the sinks get everything, unless one makes no progress or the run is told to end.
    async fn drain(&self, signals: &mut Signals) {
        if self.config.mode == Mode::Agent || (self.unread && self.has_only_events()) {
            return;
        }
        tokio::select! {
            _ = self.couriers.drained(self.store.head(), self.config.drain) => {}
            () = signals.end() => {}
        }
    }

    fn has_only_events(&self) -> bool {
        attached(&settings::sinks(self.config)) == [SinkName::Events]
    }

    /// Drops old history, on another thread and in pieces.
    fn retire(&self) -> Result<(), AgentError> {
        let confirmed = attached(&settings::sinks(self.config))
            .into_iter()
            .map(|sink| Ok(self.store.cursor(sink.as_str())?.map_or(0, |cursor| cursor.confirmed)))
            .collect::<Result<Vec<Seq>, StoreError>>()?;
        let before = self.clock.now().wall.minus(self.config.history);
        let (store, behind) = (Arc::clone(&self.store), confirmed.into_iter().min().unwrap_or(0));
        tokio::task::spawn_blocking(
            move || while matches!(store.retire(before, behind), Ok(count) if count > 0) {},
        );
        Ok(())
    }

    /// Leaves the metrics of a one-shot run. What it did counts more than that they could not be written.
    fn leave_metrics(&self) {
        let Some(path) = &self.config.textfile else { return };
        let written = report(&self.store, Some(&self.live))
            .map_err(std::io::Error::other)
            .and_then(|report| textfile::write(path, &metrics(&report)));
        if let Err(error) = written {
            tracing::error!(path = %path.display(), %error, "Cannot write the metrics.");
        }
    }

    fn ended(&self, engine: &Engine) -> Ended {
        let head = self.store.head();
        let left = self.couriers.reports().into_iter().filter_map(|reader| {
            let report = reader.borrow().clone();
            let behind = head.saturating_sub(report.confirmed);
            let is_ended = matches!(report.state, SinkState::Ended { .. });
            (behind > 0 && !is_ended).then_some(Left { sink: report.sink, behind, state: report.state })
        });
        let lost = engine.lost_roots();
        Ended {
            left: left.collect(),
            lost_roots: lost.into_iter().map(|(path, reason)| (path.display().to_string(), reason)).collect(),
            roots: self.config.roots.len(),
            rpcs: self.live.watched.rpcs(),
            waiting: engine.waiting_reasons(),
            statistics: statistics(&self.store),
            unread: self.unread,
        }
    }
}

/// A sink that is attached for the first time gets what comes from now on.
pub(super) fn attach_new_sinks(
    sinks: &dispatch::Sinks,
    store: &Store,
    reporter: &Reporter,
) -> Result<(), StoreError> {
    for sink in attached(sinks) {
        if store.cursor(sink.as_str())?.is_none() {
            let after = store.head();
            store.attach(sink.as_str(), after)?;
            if after > 0 {
                reporter.emit(&Event::SinkAttached { sink: sink.as_str(), after });
            }
        }
    }
    Ok(())
}

/// The sinks that there are.
pub(super) fn attached(sinks: &dispatch::Sinks) -> Vec<SinkName> {
    let present = [
        (SinkName::Events, sinks.events.is_some()),
        (SinkName::Redis, sinks.redis.is_some()),
        (SinkName::Amqp, sinks.amqp.is_some()),
    ];
    present.into_iter().filter(|(_, is_present)| *is_present).map(|(sink, _)| sink).collect()
}

/// Takes questions: in the state directory, and by HTTP if that is wanted.
fn listen(config: &Config, store: &Arc<Store>, live: &Live) -> Result<(), AgentError> {
    let control = Control::listen(&config.state)
        .map_err(|source| AgentError::System { action: "listen in the state directory", source })?;
    tokio::spawn(control.serve(Arc::clone(store), live.clone()));
    tokio::spawn(live.recent.clone().keep(live.clock, live.reporter.clone(), live.watched.clone()));
    if let Some(at) = &config.listen {
        let failed = |source| AgentError::Listen { host: at.host.clone(), port: at.port, source };
        let web = Web::listen(at).map_err(failed)?;
        let address = web.address().map_err(failed)?;
        tracing::info!(%address, "Serving metrics and page.");
        tokio::spawn(web.serve(Arc::clone(store), live.clone()));
    }
    Ok(())
}

fn start_thread(service: Service) -> Result<oneshot::Receiver<Result<Engine, ServiceError>>, AgentError> {
    let (done, ended) = oneshot::channel();
    let run = move || {
        let _ = done.send(service.run());
    };
    thread::Builder::new()
        .name("engine".to_owned())
        .spawn(run)
        .map_err(|source| AgentError::System { action: "start the engine's thread", source })?;
    Ok(ended)
}

/// The signals that a run obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, AgentError> {
        let listen =
            |kind| signal(kind).map_err(|source| AgentError::System { action: "listen for signals", source });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = self.hang_up.recv() => Order::Reopen,
        }
    }

    /// Waits until the run is told to end.
    async fn end(&mut self) {
        while self.next().await != Order::End {}
    }
}

/// What a signal tells a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// SIGTERM, SIGINT.
    End,
    /// SIGHUP.
    Reopen,
}

/// Tells the service manager that the engine's thread is alive, if it is.
fn feed_watchdog(handle: &Handle, last: &mut u64) {
    let beats = handle.beats();
    if beats != *last {
        *last = beats;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}
