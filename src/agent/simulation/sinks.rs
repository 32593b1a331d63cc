//! The simulated Redis and RabbitMQ behind the real couriers: a server that counts by the rules of `apply.lua`, and a
//! queue that confirms. Both can be away, lose their answers, and the one go back to what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::history::{QueueEvent, RedisEvent};
use crate::dispatch::inside::{Counted, Cursor, Delivery, Desk, Pulse, Sink, gained_by, reconcile};
use crate::dispatch::{SinkError, SinkName};
use crate::event::Reporter;
use crate::model::{Handover, Kind, Seq};

/// Half of a round trip.
const LATENCY: Duration = Duration::from_millis(2);

/// The same of a server that is slow.
const SLOW: Duration = Duration::from_millis(500);

/// What Redis holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) cursor: Option<Seq>,
    pub(super) counts: BTreeMap<(String, String), i64>,
    pub(super) scores: BTreeMap<(String, String, String), i64>,
    pub(super) users: BTreeSet<(String, String)>,
}

impl Figures {
    /// As `apply.lua` does it.
    pub(super) fn apply(&mut self, changes: &str) {
        let changes: Vec<Vec<String>> = serde_json::from_str(changes).expect("the changes are JSON");
        for change in changes {
            let parts: Vec<&str> = change.iter().map(String::as_str).collect();
            let number = |text: &str| {
                #[expect(clippy::cast_possible_truncation, reason = "simulated figures are whole and small")]
                let number = text.parse::<f64>().expect("a number") as i64;
                number
            };
            match parts[..] {
                ["c", namespace, field, by] => {
                    *self.counts.entry((namespace.into(), field.into())).or_default() += number(by);
                }
                ["C", namespace, field, value] => {
                    let count = self.counts.entry((namespace.into(), field.into())).or_insert(i64::MIN);
                    *count = number(value).max(*count);
                }
                ["s", namespace, board, member, by] => {
                    let key = (namespace.into(), board.into(), member.into());
                    *self.scores.entry(key).or_default() += number(by);
                }
                ["S", namespace, board, member, value] => {
                    let key = (namespace.into(), board.into(), member.into());
                    let score = self.scores.entry(key).or_insert(i64::MIN);
                    *score = number(value).max(*score);
                }
                ["u" | "k", namespace, user] => {
                    self.users.insert((namespace.into(), user.into()));
                }
                ["b", ..] => {}
                _ => panic!("a change that apply.lua does not know: {change:?}"),
            }
        }
    }
}

/// The server that counts; every clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Redis(Arc<Mutex<RedisState>>);

#[derive(Debug, Default)]
pub(super) struct RedisState {
    pub(super) figures: Figures,
    snapshot: Figures,
    away_until: Option<Instant>,
    full_until: Option<Instant>,
    slow_until: Option<Instant>,
    lose_answers: u8,
    /// Another one breaks every connection.
    life: u64,
}

impl RedisState {
    fn is_away(&self) -> bool {
        lasts(self.away_until)
    }

    fn is_full(&self) -> bool {
        lasts(self.full_until)
    }

    fn latency(&self) -> Duration {
        if lasts(self.slow_until) { SLOW } else { LATENCY }
    }

    fn replace(&mut self, figures: Figures, breaks: bool) {
        self.figures = figures;
        self.life += u64::from(breaks);
    }
}

impl Redis {
    pub(super) fn state(&self) -> MutexGuard<'_, RedisState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn happen(&self, event: RedisEvent) {
        let mut state = self.state();
        match event {
            RedisEvent::Snapshot => state.snapshot = state.figures.clone(),
            RedisEvent::RollBack(breaks) => {
                let snapshot = state.snapshot.clone();
                state.replace(snapshot, breaks);
            }
            RedisEvent::Flush(breaks) => {
                state.snapshot = Figures::default();
                state.replace(Figures::default(), breaks);
            }
            RedisEvent::Away(time) => {
                state.away_until = Some(Instant::now() + Duration::from_nanos(time));
                state.life += 1;
            }
            RedisEvent::Full(time) => state.full_until = Some(Instant::now() + Duration::from_nanos(time)),
            RedisEvent::Slow(time) => state.slow_until = Some(Instant::now() + Duration::from_nanos(time)),
            RedisEvent::LoseAnswers(count) => state.lose_answers += count,
        }
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&self) {
        let mut state = self.state();
        (state.away_until, state.full_until, state.slow_until) = (None, None, None);
        state.lose_answers = 0;
    }
}

/// A connection to it.
struct Session {
    redis: Redis,
    life: u64,
    cursor: Option<Seq>,
}

impl Session {
    async fn open(redis: &Redis) -> Result<Self, SinkError> {
        sleep(LATENCY).await;
        let state = redis.state();
        if state.is_away() {
            return Err(away());
        }
        Ok(Self { redis: redis.clone(), life: state.life, cursor: state.figures.cursor })
    }

    fn reach(&self) -> Result<MutexGuard<'_, RedisState>, SinkError> {
        let state = self.redis.state();
        if state.is_away() || state.life != self.life {
            return Err(away());
        }
        if state.figures.cursor != self.cursor {
            return Err(SinkError::Busy("the cursor is not where it was left".to_owned()));
        }
        Ok(state)
    }
}

impl Counted for Session {
    fn cursor(&self) -> Cursor {
        self.cursor.map_or(Cursor::Absent, Cursor::At)
    }

    async fn apply(&mut self, changes: String, upto: Seq, _patience: Duration) -> Result<(), SinkError> {
        let latency = self.redis.state().latency();
        sleep(latency).await;
        {
            let mut state = self.reach()?;
            if state.is_full() {
                return Err(SinkError::Busy("the simulated server is full".to_owned()));
            }
            state.figures.apply(&changes);
            state.figures.cursor = Some(upto);
            if state.lose_answers > 0 {
                state.lose_answers -= 1;
                state.life += 1;
            }
        }
        sleep(LATENCY).await;
        self.cursor = Some(upto);
        self.reach().map(drop)
    }
}

fn lasts(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

fn away() -> SinkError {
    SinkError::Unreachable("the simulated server is away".to_owned())
}

/// The sink of statistics.
pub(super) struct Statistics {
    redis: Redis,
    reporter: Reporter,
    appetite: usize,
    session: Option<Session>,
}

impl Statistics {
    pub(super) fn new(redis: &Redis, reporter: &Reporter, appetite: usize) -> Self {
        Self { redis: redis.clone(), reporter: reporter.clone(), appetite, session: None }
    }
}

impl Sink for Statistics {
    const NAME: SinkName = SinkName::Redis;

    async fn connect(&mut self, desk: &Desk, position: Seq) -> Result<Seq, SinkError> {
        let mut session = Session::open(&self.redis).await?;
        let start = reconcile(&mut session, desk, position, &self.reporter).await?;
        self.session = Some(session);
        Ok(start)
    }

    fn appetite(&self, _behind: u64) -> usize {
        self.appetite
    }

    async fn deliver(&mut self, batch: &[Handover], _desk: &Desk, _pulse: &Pulse) -> Delivery {
        let (Some(session), Some(last)) = (&mut self.session, batch.last()) else {
            return Delivery { error: Some(away()), ..Delivery::default() };
        };
        match session.apply(gained_by(batch).1, last.seq, Duration::ZERO).await {
            Ok(()) => Delivery { upto: Some(last.seq), ..Delivery::default() },
            Err(error) => Delivery { error: Some(error), ..Delivery::default() },
        }
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        self.session.as_ref().map_or_else(|| Err(away()), |session| session.reach().map(drop))
    }

    async fn close(&mut self) {
        self.session = None;
    }
}

/// A message as it lies in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) seq: Seq,
    pub(super) id: [u8; 32],
    pub(super) path: String,
    pub(super) hash: [u8; 32],
    pub(super) kind: Kind,
}

impl Message {
    fn of(handover: &Handover) -> Self {
        Self {
            seq: handover.seq,
            id: handover.id.0,
            path: String::from_utf8_lossy(handover.path.as_bytes()).into_owned(),
            hash: handover.blake3.0,
            kind: handover.kind,
        }
    }
}

/// The queue; every clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Mutex<QueueState>>);

#[derive(Debug, Default)]
pub(super) struct QueueState {
    /// What it took.
    pub(super) messages: Vec<Message>,
    /// What it refused.
    pub(super) refused: Vec<Message>,
    away_until: Option<Instant>,
    lose_confirms: u8,
    refuse: u8,
    life: u64,
}

impl Queue {
    pub(super) fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn happen(&self, event: QueueEvent) {
        let mut state = self.state();
        match event {
            QueueEvent::Away(time) => {
                state.away_until = Some(Instant::now() + Duration::from_nanos(time));
                state.life += 1;
            }
            QueueEvent::LoseConfirms(count) => state.lose_confirms += count,
            QueueEvent::Refuse(count) => state.refuse += count,
        }
    }

    pub(super) fn calm(&self) {
        let mut state = self.state();
        state.away_until = None;
        (state.lose_confirms, state.refuse) = (0, 0);
    }
}

/// The sink of messages.
pub(super) struct Messages {
    queue: Queue,
    appetite: usize,
    life: Option<u64>,
}

impl Messages {
    pub(super) fn new(queue: &Queue, appetite: usize) -> Self {
        Self { queue: queue.clone(), appetite, life: None }
    }

    fn reach(&self) -> Result<MutexGuard<'_, QueueState>, SinkError> {
        let state = self.queue.state();
        let is_away = state.away_until.is_some_and(|until| Instant::now() < until);
        if is_away || self.life != Some(state.life) { Err(away()) } else { Ok(state) }
    }

    /// Publishes one message; `Some` if it is refused.
    async fn publish(&self, handover: &Handover) -> Result<Option<String>, SinkError> {
        sleep(LATENCY / 2).await;
        {
            let mut state = self.reach()?;
            if state.refuse > 0 {
                state.refuse -= 1;
                state.refused.push(Message::of(handover));
                return Ok(Some("too large".to_owned()));
            }
            state.messages.push(Message::of(handover));
            // Of a batch, some are confirmed before.
            if state.lose_confirms > 0 && state.messages.len() % 2 == 0 {
                state.lose_confirms -= 1;
                state.life += 1;
            }
        }
        sleep(LATENCY / 2).await;
        self.reach().map(|_| None)
    }
}

impl Sink for Messages {
    const NAME: SinkName = SinkName::Amqp;

    async fn connect(&mut self, _desk: &Desk, position: Seq) -> Result<Seq, SinkError> {
        sleep(LATENCY).await;
        self.life = Some(self.queue.state().life);
        self.reach().map(|_| position)
    }

    fn appetite(&self, _behind: u64) -> usize {
        self.appetite
    }

    async fn deliver(&mut self, batch: &[Handover], desk: &Desk, _pulse: &Pulse) -> Delivery {
        let mut delivery = Delivery::default();
        for handover in batch {
            match self.publish(handover).await {
                Ok(refused) => {
                    delivery.refused.extend(refused.map(|reason| (handover.seq, reason)));
                    delivery.upto = Some(handover.seq);
                    // What is refused must be on record as that first.
                    if delivery.refused.is_empty() {
                        let _ = desk.note(handover.seq);
                    }
                }
                Err(error) => {
                    delivery.error = Some(error);
                    break;
                }
            }
        }
        delivery
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        self.reach().map(drop)
    }

    async fn close(&mut self) {
        self.life = None;
    }
}
