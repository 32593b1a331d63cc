//! The work queue in RabbitMQ: every message confirmed by the broker before it counts as sent.
//!
//! A message may arrive twice after a crash or a broken connection, always with the same `message_id`; one whose
//! confirm arrived is never sent again. Only an acknowledgement without a returned message counts: an unroutable one
//! is acknowledged too. The connection is our own to rebuild; the client library's recovery would repeat messages.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm,
};
use tokio::time::{Instant, sleep, timeout};

use crate::dispatch::courier::{Delivery, Sink};
use crate::dispatch::journal::Desk;
use crate::dispatch::message::path_text;
use crate::dispatch::progress::{Pulse, patiently};
use crate::dispatch::window::Window;
use crate::dispatch::{QueueSettings, SinkError, SinkName, scrub, trust};
use crate::event::{Event, Reporter};
use crate::model::{Handover, Seq};

/// How often a message may come back as unroutable, with the queue there again each time, before it is refused.
const MOST_RETURNS: u32 = 5;

/// How long a queue that was just declared is left alone before the first message.
///
/// RabbitMQ writes the name of a new quorum queue down up to a second later (`ra`'s `names.dets`, saved every 500 ms
/// when idle, from ra 2.0 to 3.1 at least). Killed before, it forgets the queue with every message that it confirmed.
const NEW_QUEUE_REST: Duration = Duration::from_secs(3);

/// How long a broadcast that failed is left alone.
const BROADCAST_PAUSE: Duration = Duration::from_secs(30);

/// How long a broadcast of one batch may take.
const BROADCAST_PATIENCE: Duration = Duration::from_secs(1);

/// Reply codes of AMQP.
pub(super) mod code {
    pub(in crate::dispatch) const ACCESS_REFUSED: u16 = 403;
    pub(in crate::dispatch) const NOT_FOUND: u16 = 404;
    pub(in crate::dispatch) const RESOURCE_LOCKED: u16 = 405;
    pub(in crate::dispatch) const PRECONDITION_FAILED: u16 = 406;
    pub(in crate::dispatch) const NOT_ALLOWED: u16 = 530;
}

/// The sink.
pub(crate) struct Queue {
    settings: QueueSettings,
    reporter: Reporter,
    session: Option<Session>,
    window: Window,
    /// Messages that the broker has, beyond one that it has not: not to be sent again.
    kept: BTreeSet<Seq>,
    /// How often the first message of a batch came back.
    returns: (Seq, u32),
}

struct Session {
    connection: Connection,
    channel: Channel,
    broadcast: Broadcast,
}

/// The channel to the live displays; its troubles never touch the queue's.
enum Broadcast {
    Unwanted,
    Open(Channel),
    RestingUntil(Instant),
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// The broker has it.
    Kept,
    /// No queue took it.
    Returned,
    /// The queue refuses it for now.
    Nacked,
    /// The broker closed the channel over it or one sent with it.
    Unacceptable(String),
    /// Not known.
    Lost(SinkError),
}

/// A message of the window.
enum Sent {
    /// Its confirm is to come.
    UnderWay(PublisherConfirm),
    /// It is known what became of it.
    Known(Fate),
}

impl Sent {
    /// Whether it is known that the broker did not confirm it.
    fn has_failed(&self) -> bool {
        matches!(self, Self::Known(fate) if *fate != Fate::Kept)
    }
}

/// What became of the messages of a batch, from the front.
#[derive(Default)]
struct Fates {
    known: Vec<(Seq, Fate)>,
    /// Whether the broker has not got one of them.
    failed: bool,
    /// Why nothing more is waited for.
    lost: Option<Fate>,
}

impl Fates {
    fn push(&mut self, seq: Seq, fate: Fate) {
        self.failed |= fate != Fate::Kept;
        if matches!(fate, Fate::Lost(_)) {
            self.lost.get_or_insert_with(|| fate.clone());
        }
        self.known.push((seq, fate));
    }
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings, reporter: Reporter) -> Self {
        let window = Window::new(settings.confirm_window);
        Self { settings, reporter, session: None, window, kept: BTreeSet::new(), returns: (0, 0) }
    }

    async fn open(&self) -> Result<Session, SinkError> {
        let connection = self.dial().await?;
        self.ensure_queue(&connection).await?;
        let channel = self.confirming_channel(&connection).await?;
        let broadcast = self.open_broadcast(&connection).await;
        Ok(Session { connection, channel, broadcast })
    }

    pub(super) async fn dial(&self) -> Result<Connection, SinkError> {
        let uri = self.settings.uri().map_err(|error| SinkError::Refused {
            reason: error.to_string(),
            remedy: "correct the AMQP URL",
        })?;
        let cert_chain = self.settings.ca_file.as_deref().map(trust::read_authorities).transpose()?;
        let tls = OwnedTLSConfig { identity: None, cert_chain };
        let runtime = lapin::runtime::default_runtime().map_err(|error| self.explain(&error))?;
        let properties = ConnectionProperties::default().with_connection_name("nfs-scout".into());
        self.within(Connection::connect_uri_with_config(uri, properties, tls, runtime)).await
    }

    /// Uses the queue as it is; declares a durable quorum queue where there is none.
    async fn ensure_queue(&self, connection: &Connection) -> Result<(), SinkError> {
        let queue = || ShortString::from(self.settings.queue.as_str());
        let channel = self.within(connection.create_channel()).await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found =
            timeout(self.settings.timeout, channel.queue_declare(queue(), passive, FieldTable::default()));
        match found.await.map_err(|_| self.silent())? {
            Ok(_) => return self.within(channel.close(200, "done".into())).await,
            Err(error) if reply_code(&error) == Some(code::NOT_FOUND) => {}
            Err(error) => return Err(self.explain(&error)),
        }
        // The refusal closed that channel.
        let channel = self.within(connection.create_channel()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.within(channel.queue_declare(queue(), durable, arguments)).await?;
        self.reporter.emit(&Event::QueueDeclared { queue: self.settings.queue.clone() });
        sleep(NEW_QUEUE_REST).await;
        self.within(channel.close(200, "done".into())).await
    }

    async fn confirming_channel(&self, connection: &Connection) -> Result<Channel, SinkError> {
        let channel = self.within(connection.create_channel()).await?;
        self.within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    async fn open_broadcast(&self, connection: &Connection) -> Broadcast {
        let Some(exchange) = &self.settings.broadcast else { return Broadcast::Unwanted };
        let opening = async {
            let channel = connection.create_channel().await?;
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let name = ShortString::from(exchange.as_str());
            channel.exchange_declare(name, ExchangeKind::Fanout, durable, FieldTable::default()).await?;
            Ok(channel)
        };
        match self.within(opening).await {
            Ok(channel) => Broadcast::Open(channel),
            Err(error) => self.broadcast_failed(exchange, error.to_string()),
        }
    }

    fn broadcast_failed(&self, exchange: &str, reason: String) -> Broadcast {
        self.reporter.emit(&Event::BroadcastFailed { exchange: exchange.to_owned(), reason });
        Broadcast::RestingUntil(Instant::now() + BROADCAST_PAUSE)
    }

    /// Sends what is not kept yet and learns what became of each, with a window of them under way; sends no more after the
    /// first failure.
    ///
    /// As many go out together as there is room for: one after the other, each would wait for its turn to be written, and
    /// the connection's thread take 24,000 turns for 20,000 messages instead of 12,000. What is confirmed already is taken first,
    /// so that there is room for more of them.
    async fn send(
        &self,
        session: &Session,
        batch: &[Handover],
        desk: &Desk,
        pulse: &Pulse,
    ) -> Vec<(Seq, Fate)> {
        let window = self.window.under_way(batch.len(), Instant::now().into_std());
        let (mut rest, mut under_way) = (batch.iter(), VecDeque::with_capacity(window));
        let mut fates = Fates::default();
        loop {
            let first_is_known = under_way.front_mut().is_some_and(|(_, sent)| self.is_known(sent));
            let any_failed = fates.failed || under_way.iter().any(|(_, sent)| sent.has_failed());
            if !any_failed && !first_is_known {
                let room = window.saturating_sub(under_way.len());
                let sending = rest.by_ref().take(room).map(|handover| self.publish(session, handover, pulse));
                under_way.extend(join_all(sending).await);
            }
            let Some((seq, sent)) = under_way.pop_front() else { break };
            let fate = match (sent, &fates.lost) {
                (Sent::Known(fate), _) => fate,
                (Sent::UnderWay(_), Some(lost)) => lost.clone(),
                (Sent::UnderWay(confirm), None) => self.fate_of(session, confirm, pulse).await,
            };
            fates.push(seq, fate);
            if !fates.failed {
                // What cannot be noted is told to the journal at the batch's end.
                let _ = desk.note(seq);
            }
        }
        fates.known
    }

    /// Gives a message to the connection, unless the broker has it, and waits until it is written.
    async fn publish(&self, session: &Session, handover: &Handover, pulse: &Pulse) -> (Seq, Sent) {
        if self.kept.contains(&handover.seq) {
            return (handover.seq, Sent::Known(Fate::Kept));
        }
        let body = self.settings.body.encode(handover);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let queue = self.settings.queue.as_str().into();
        let publishing =
            session.channel.basic_publish("".into(), queue, options, &body, self.properties(handover));
        let sent = match patiently(publishing, self.settings.timeout, pulse, || blocked(session)).await {
            Some(Ok(confirm)) => Sent::UnderWay(confirm),
            Some(Err(error)) => Sent::Known(self.fate_from(&error)),
            None => Sent::Known(Fate::Lost(self.unconfirmed())),
        };
        (handover.seq, sent)
    }

    /// Whether it is known what became of a message, without waiting for it.
    fn is_known(&self, sent: &mut Sent) -> bool {
        if let Sent::UnderWay(confirm) = sent
            && let Some(answer) = confirm.now_or_never()
        {
            *sent = Sent::Known(self.fate_in(answer));
        }
        matches!(sent, Sent::Known(_))
    }

    /// Waits for a confirm.
    async fn fate_of(&self, session: &Session, confirm: PublisherConfirm, pulse: &Pulse) -> Fate {
        match patiently(confirm, self.settings.timeout, pulse, || blocked(session)).await {
            Some(answer) => self.fate_in(answer),
            None => Fate::Lost(self.unconfirmed()),
        }
    }

    fn fate_in(&self, answer: lapin::Result<Confirmation>) -> Fate {
        match answer {
            Ok(Confirmation::Ack(None)) => Fate::Kept,
            Ok(Confirmation::Ack(Some(_))) => Fate::Returned,
            Ok(Confirmation::Nack(_)) => Fate::Nacked,
            Ok(Confirmation::NotRequested) => {
                Fate::Lost(SinkError::Unreachable("the channel does not confirm".to_owned()))
            }
            Err(error) => self.fate_from(&error),
        }
    }

    fn fate_from(&self, error: &lapin::Error) -> Fate {
        if reply_code(error) == Some(code::PRECONDITION_FAILED) {
            Fate::Unacceptable(scrub(&error.to_string(), &self.settings.url))
        } else {
            Fate::Lost(self.explain(error))
        }
    }

    fn properties(&self, handover: &Handover) -> BasicProperties {
        let text = |text: &str| AMQPValue::LongString(LongString::from(text.as_bytes()));
        let mut headers = FieldTable::default();
        headers.insert("path".into(), text(&path_text(handover)));
        headers.insert("kind".into(), text(handover.kind.as_str()));
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(handover.id.to_string().into())
            .with_content_type(self.settings.body.content_type().into())
            .with_timestamp(u64::try_from(handover.detected_at.seconds).unwrap_or(0))
            .with_headers(headers)
    }

    /// Copies messages to the live displays, in its own time and without a promise.
    async fn copy(&self, session: &mut Session, batch: &[Handover]) {
        let Some(exchange) = &self.settings.broadcast else { return };
        if let Broadcast::RestingUntil(end) = session.broadcast
            && end <= Instant::now()
        {
            session.broadcast = self.open_broadcast(&session.connection).await;
        }
        let Broadcast::Open(channel) = &session.broadcast else { return };
        let publish = |handover| async move {
            let body = self.settings.body.encode(handover);
            let name = ShortString::from(exchange.as_str());
            let (options, properties) = (BasicPublishOptions::default(), self.properties(handover));
            channel.basic_publish(name, "".into(), options, &body, properties).await
        };
        let copying = try_join_all(batch.iter().map(publish));
        let reason = match timeout(BROADCAST_PATIENCE, copying).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => self.explain(&error).to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        session.broadcast = self.broadcast_failed(exchange, reason);
    }

    /// What the courier is to know and the next batch is to do, given the fates.
    async fn settle(&mut self, session: &mut Session, fates: &[(Seq, Fate)]) -> Delivery {
        self.kept.extend(fates.iter().filter(|(_, fate)| *fate == Fate::Kept).map(|(seq, _)| *seq));
        let failed = fates.iter().position(|(_, fate)| *fate != Fate::Kept);
        let upto = fates.get(..failed.unwrap_or(fates.len())).unwrap_or_default().last().map(|(seq, _)| *seq);
        let mut delivery = Delivery { upto, ..Delivery::default() };
        match failed.and_then(|index| fates.get(index)) {
            None => self.window.worked(fates.len(), Instant::now().into_std()),
            Some((seq, fate)) => {
                self.window.failed();
                match self.judge(*seq, fate, fates.len() == 1) {
                    Verdict::Refuse(reason) => {
                        delivery.refused.push((*seq, reason));
                        delivery.upto = Some(*seq);
                    }
                    Verdict::SendAlone => {}
                    Verdict::Wait(error) => delivery.error = Some(error),
                }
                if delivery.error.is_none() {
                    match self.confirming_channel(&session.connection).await {
                        Ok(channel) => session.channel = channel,
                        Err(error) => delivery.error = Some(error),
                    }
                }
            }
        }
        if let Some(upto) = delivery.upto {
            self.kept = self.kept.split_off(&(upto + 1));
        }
        delivery
    }

    fn judge(&mut self, seq: Seq, fate: &Fate, alone: bool) -> Verdict {
        match fate {
            Fate::Unacceptable(reason) if alone => Verdict::Refuse(reason.clone()),
            // Which message of those under way it was is not said: each is sent alone until it is found.
            Fate::Unacceptable(_) | Fate::Kept => Verdict::SendAlone,
            Fate::Lost(error) => Verdict::Wait(error.clone()),
            Fate::Nacked => Verdict::Wait(SinkError::Busy(format!(
                "queue {} takes no more messages for now (its length limit is reached)",
                self.settings.queue
            ))),
            Fate::Returned => self.judge_returned(seq),
        }
    }

    fn judge_returned(&mut self, seq: Seq) -> Verdict {
        let count = if self.returns.0 == seq { self.returns.1 + 1 } else { 1 };
        self.returns = (seq, count);
        if count >= MOST_RETURNS {
            return Verdict::Refuse(format!("came back {count} times as unroutable"));
        }
        let reason = format!("queue {} was deleted; declaring it anew", self.settings.queue);
        Verdict::Wait(SinkError::Busy(reason))
    }

    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, SinkError> {
        match timeout(self.settings.timeout, call).await {
            Ok(answer) => answer.map_err(|error| self.explain(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    pub(super) fn silent(&self) -> SinkError {
        let limit = humantime::format_duration(self.settings.timeout);
        SinkError::Unreachable(format!("RabbitMQ did not answer within {limit}"))
    }

    /// A queue without a leader looks like any other, takes messages, and stays silent.
    fn unconfirmed(&self) -> SinkError {
        let (queue, limit) = (&self.settings.queue, humantime::format_duration(self.settings.timeout));
        SinkError::Unreachable(format!(
            "RabbitMQ's queue {queue} confirmed nothing within {limit}; if that lasts, it may have no leader: see \
             rabbitmqctl list_queues name leader, and have one elected or delete the queue"
        ))
    }

    pub(super) fn explain(&self, error: &lapin::Error) -> SinkError {
        explain(reply_code(error), scrub(&error.to_string(), &self.settings.url))
    }
}

/// What to do about the first message that was not kept.
enum Verdict {
    Refuse(String),
    SendAlone,
    Wait(SinkError),
}

impl Sink for Queue {
    const NAME: SinkName = SinkName::Amqp;

    async fn connect(&mut self, _desk: &Desk, position: Seq) -> Result<Seq, SinkError> {
        trust::install_provider();
        self.session = Some(self.open().await?);
        Ok(position)
    }

    fn appetite(&self, behind: u64) -> usize {
        self.window.batch(behind, Instant::now().into_std())
    }

    async fn deliver(&mut self, batch: &[Handover], desk: &Desk, pulse: &Pulse) -> Delivery {
        let Some(mut session) = self.session.take() else {
            return Delivery { error: Some(closed()), ..Delivery::default() };
        };
        let fates = self.send(&session, batch, desk, pulse).await;
        let delivery = self.settle(&mut session, &fates).await;
        let sent = delivery.upto.map_or(0, |upto| batch.partition_point(|handover| handover.seq <= upto));
        self.copy(&mut session, batch.get(..sent).unwrap_or_default()).await;
        self.session = Some(session);
        delivery
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        let alive = |session: &Session| {
            session.connection.status().connected() && session.channel.status().connected()
        };
        if self.session.as_ref().is_some_and(alive) { Ok(()) } else { Err(closed()) }
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            // The broker notices a connection that is simply gone just as well.
            let _ = session.connection.close(200, "goodbye".into()).await;
        }
    }
}

fn blocked(session: &Session) -> Option<String> {
    session
        .connection
        .status()
        .blocked()
        .then(|| "RabbitMQ takes no messages (memory or disk alarm)".to_owned())
}

fn closed() -> SinkError {
    SinkError::Unreachable("the connection to RabbitMQ was closed".to_owned())
}

pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Sorts what RabbitMQ says by who can mend it.
fn explain(code: Option<u16>, reason: String) -> SinkError {
    let remedy = match code {
        Some(code::ACCESS_REFUSED) => {
            "check user and password in the AMQP URL, and the user's permissions (rabbitmqctl set_permissions)"
        }
        Some(code::NOT_ALLOWED) => {
            "check the virtual host in the AMQP URL, and the user's access to it (rabbitmqctl list_vhosts)"
        }
        Some(code::RESOURCE_LOCKED) => "the queue is exclusive to another client: choose another name",
        Some(code::PRECONDITION_FAILED) => "something of this name exists with other properties",
        _ => return SinkError::Unreachable(reason),
    };
    SinkError::Refused { reason, remedy }
}
