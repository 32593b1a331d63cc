//! The statistics in Redis: every change counted once, whatever breaks.
//!
//! A batch and the agent's cursor change in one script, which runs only if the cursor is where we believe it is. So
//! a repeat whose first answer was lost changes nothing, and a Redis that was flushed or rolled back under a living
//! connection is noticed by the next batch, or when idle by the next tick, whatever refreshing the rate costs. The
//! connection is our own to rebuild: one that reconnects by itself would hide that the server may have been replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script, TlsCertificates};
use tokio::time::{Instant, timeout};

use crate::clock;
use crate::dispatch::courier::{Delivery, Sink};
use crate::dispatch::figures::{Cursor, Restore, gained_by, namespaces_of};
use crate::dispatch::journal::Desk;
use crate::dispatch::progress::Pulse;
use crate::dispatch::reconcile::{Counted, LEDGER_PATIENCE, reconcile};
use crate::dispatch::redis_log::{Renewal, renew};
use crate::dispatch::{Mode, RedisSettings, SinkError, SinkName, scrub, trust};
use crate::event::{Event, Reporter};
use crate::model::{Handover, Seq, Totals};

/// How many handovers one script applies.
const BATCH: usize = 256;

/// How long writing its log anew may take Redis.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(120);

/// The rate's refresh takes at most one part in this many of Redis's time.
const RATE_SHARE: u32 = 20;

const PERMISSIONS: &str =
    "give the Redis user all commands that the statistics need (see ACL LOG), on a Redis of 6.2 or later";

/// The sink.
pub(crate) struct Statistics {
    settings: RedisSettings,
    mode: Mode,
    reporter: Reporter,
    scripts: Scripts,
    session: Option<Session>,
    namespaces: BTreeSet<String>,
}

struct Scripts {
    apply: Script,
    rate: Script,
    probe: Script,
}

/// One connection and what we believe of the server behind it.
struct Session {
    connection: MultiplexedConnection,
    cursor_key: String,
    /// The cursor as it is stored.
    cursor: Cursor,
    /// When the rate may be refreshed next.
    rate_due: Instant,
    /// Whether something was applied since the last refresh.
    stale: bool,
}

impl Statistics {
    pub(crate) fn new(settings: RedisSettings, mode: Mode, reporter: Reporter) -> Self {
        let scripts = Scripts {
            apply: Script::new(include_str!("apply.lua")),
            rate: Script::new(include_str!("rate.lua")),
            probe: Script::new(include_str!("probe.lua")),
        };
        Self { settings, mode, reporter, scripts, session: None, namespaces: BTreeSet::new() }
    }

    async fn open(&self, agent: &str) -> Result<Session, SinkError> {
        let mut connection = self.dial().await?;
        let cursor_key = format!("{}CURSOR/{agent}", self.settings.prefix);
        let mut probe = self.scripts.probe.prepare_invoke();
        probe.key(&cursor_key);
        let probing = probe.invoke_async::<Option<String>>(&mut connection);
        let found = self.within(self.settings.timeout, probing).await.map_err(probe_refused)?;
        let cursor = Cursor::parse(found.as_deref())
            .ok_or_else(|| SinkError::Rejected(format!("{cursor_key} is no cursor of this program")))?;
        Ok(Session { connection, cursor_key, cursor, rate_due: Instant::now(), stale: true })
    }

    pub(super) async fn dial(&self) -> Result<MultiplexedConnection, SinkError> {
        let client = self.client()?;
        // Time-outs are set around each call, since a restore may take longer than a batch.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        self.within(self.settings.timeout, connecting).await
    }

    fn client(&self) -> Result<Client, SinkError> {
        let url = self.settings.url.as_str();
        let client = match &self.settings.ca_file {
            None => Client::open(url),
            Some(path) => {
                let authorities = trust::read_authorities(path)? + "\n" + &trust::system_authorities();
                let root_cert = Some(authorities.into_bytes());
                Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert })
            }
        };
        client.map_err(|error| self.explain(&error))
    }

    /// Sees to it that the log holds no rest of a transaction. Where that cannot be done, counting goes on all the same.
    async fn renew_log(&self, session: &mut Session) {
        let marker = format!("{}/run", session.cursor_key);
        let renewing = self.within(RENEWAL_PATIENCE, renew(&mut session.connection, &marker));
        let reason = match renewing.await {
            Ok(Renewal::Needless | Renewal::Done) => return,
            Ok(Renewal::Failed) => "Redis could not write it, see its log".to_owned(),
            Err(error) => error.to_string(),
        };
        self.reporter.emit(&Event::StatisticsLogOld { reason });
    }

    /// Applies `changes` and moves the cursor to `upto`, at once or not at all.
    async fn apply(
        &self,
        session: &mut Session,
        changes: String,
        upto: Seq,
        patience: Duration,
    ) -> Result<(), SinkError> {
        let mut call = self.scripts.apply.prepare_invoke();
        call.key(&session.cursor_key).arg(session.cursor.text()).arg(upto);
        call.arg(&self.settings.prefix).arg(changes);
        let running = call.invoke_async::<(String, redis::Value, String)>(&mut session.connection);
        let (verdict, number, reason) = self.within(patience, running).await?;
        if verdict != "ok" {
            return Err(moved());
        }
        session.cursor = Cursor::At(upto);
        session.stale = true;
        if let redis::Value::Int(refused @ 1..) = number {
            let (changes, reason) = (refused.unsigned_abs(), reason);
            self.reporter.emit(&Event::StatisticsRejected { changes, reason });
        }
        Ok(())
    }

    /// Raises each figure to that of `totals` and moves the cursor on to `head`, or leaves it where it is further.
    pub(super) async fn raise(&mut self, agent: &str, head: Seq, totals: &Totals) -> Result<Seq, SinkError> {
        let mut session = self.open(agent).await?;
        self.renew_log(&mut session).await;
        let upto = match session.cursor {
            Cursor::Absent => head,
            Cursor::At(found) | Cursor::Torn(found) => head.max(found),
        };
        let changes = Restore::Raise.spell(totals);
        self.apply(&mut session, changes, upto, LEDGER_PATIENCE).await?;
        Ok(upto)
    }

    /// Refreshes `event_rate`, and notices a server that was replaced under us.
    async fn refresh(&self, session: &mut Session) -> Result<(), SinkError> {
        let began = Instant::now();
        let mut call = self.scripts.rate.prepare_invoke();
        call.key(&session.cursor_key).arg(session.cursor.text()).arg(&self.settings.prefix);
        call.arg(clock::wall().as_millis());
        for namespace in &self.namespaces {
            call.arg(namespace);
        }
        let running = call.invoke_async::<Vec<String>>(&mut session.connection);
        let verdict = self.within(self.settings.timeout, running).await?;
        if verdict.first().map(String::as_str) != Some("ok") {
            return Err(moved());
        }
        session.stale = false;
        session.rate_due = Instant::now() + began.elapsed() * RATE_SHARE;
        Ok(())
    }

    /// Notices the same without refreshing anything: one GET.
    async fn check(&self, session: &mut Session) -> Result<(), SinkError> {
        let mut asking = redis::cmd("GET");
        asking.arg(&session.cursor_key);
        let asking = asking.query_async::<Option<String>>(&mut session.connection);
        let found = self.within(self.settings.timeout, asking).await?;
        if found.unwrap_or_default() == session.cursor.text() { Ok(()) } else { Err(moved()) }
    }

    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, SinkError> {
        match timeout(patience, call).await {
            Ok(answer) => answer.map_err(|error| self.explain(&error)),
            Err(_) => Err(SinkError::Unreachable(format!(
                "Redis did not answer within {}",
                humantime::format_duration(patience)
            ))),
        }
    }

    fn explain(&self, error: &RedisError) -> SinkError {
        let reason = scrub(&error.to_string(), &self.settings.url);
        explain(error.code(), error.kind(), reason)
    }
}

/// The server behind a session.
struct Server<'a> {
    statistics: &'a Statistics,
    session: &'a mut Session,
}

impl Counted for Server<'_> {
    fn cursor(&self) -> Cursor {
        self.session.cursor
    }

    async fn apply(&mut self, changes: String, upto: Seq, patience: Duration) -> Result<(), SinkError> {
        self.statistics.apply(self.session, changes, upto, patience).await
    }
}

impl Sink for Statistics {
    const NAME: SinkName = SinkName::Redis;

    async fn connect(&mut self, desk: &Desk, position: Seq) -> Result<Seq, SinkError> {
        trust::install_provider();
        let mut session = self.open(&desk.agent_id()).await?;
        self.namespaces.extend(namespaces_of(&desk.totals().await?.1));
        self.renew_log(&mut session).await;
        let mut server = Server { statistics: self, session: &mut session };
        let start = reconcile(&mut server, desk, position, &self.reporter).await?;
        self.session = Some(session);
        Ok(start)
    }

    fn appetite(&self, _behind: u64) -> usize {
        BATCH
    }

    async fn deliver(&mut self, batch: &[Handover], _desk: &Desk, _pulse: &Pulse) -> Delivery {
        let (Some(mut session), Some(last)) = (self.session.take(), batch.last()) else {
            return Delivery { error: Some(moved()), ..Delivery::default() };
        };
        let (gained, changes) = gained_by(batch);
        let outcome = self.apply(&mut session, changes, last.seq, self.settings.timeout).await;
        self.session = Some(session);
        match outcome {
            Ok(()) => {
                self.namespaces.extend(namespaces_of(&gained));
                Delivery { upto: Some(last.seq), ..Delivery::default() }
            }
            Err(error) => Delivery { error: Some(error), ..Delivery::default() },
        }
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        let Some(mut session) = self.session.take() else { return Err(moved()) };
        let outcome = match self.mode {
            Mode::Agent if session.rate_due <= Instant::now() => self.refresh(&mut session).await,
            Mode::Agent => self.check(&mut session).await,
            // Refreshed once, on leaving.
            Mode::Once => Ok(()),
        };
        self.session = Some(session);
        outcome
    }

    async fn close(&mut self) {
        if let (Some(mut session), Mode::Once) = (self.session.take(), self.mode)
            && session.stale
        {
            // A rate that cannot be refreshed now is refreshed by the next run.
            let _ = self.refresh(&mut session).await;
        }
    }
}

fn moved() -> SinkError {
    SinkError::Busy("the cursor in Redis is not where it was left; comparing anew".to_owned())
}

/// A plain error of the probe can only mean that a command is not allowed or not known: its key is our own.
fn probe_refused(error: SinkError) -> SinkError {
    match error {
        SinkError::Rejected(reason) => SinkError::Refused { reason, remedy: PERMISSIONS },
        other => other,
    }
}

/// Sorts what Redis says by who can mend it.
fn explain(code: Option<&str>, kind: redis::ErrorKind, reason: String) -> SinkError {
    let remedy = match code {
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN") => {
            return SinkError::Busy(reason);
        }
        Some("WRONGPASS" | "NOAUTH") => "check user and password in the Redis URL",
        Some("NOPERM") => PERMISSIONS,
        Some("ERR") => return SinkError::Rejected(reason),
        Some("READONLY") => "this server is a replica: point the Redis URL to the primary",
        Some("OOM") => "Redis is at its maxmemory: raise it or free keys",
        Some("MISCONF") => "Redis cannot save to its disk: make space or see its log",
        Some("MOVED" | "ASK" | "CROSSSLOT") => "this is a cluster node: use a single Redis",
        _ if kind == redis::ErrorKind::AuthenticationFailed => "check user and password in the Redis URL",
        _ if kind == redis::ErrorKind::InvalidClientConfig => "correct the Redis URL",
        _ => return SinkError::Unreachable(reason),
    };
    SinkError::Refused { reason, remedy }
}
