//! Takes every message from the queue all the while, acknowledging as a worker would, and writes down what came.

use std::collections::HashSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, Consumer as Consuming};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const QUEUE: &str = "t4tc_monitor";

/// How long the broker may be silent before the consumer begins anew: one that was killed at the wrong moment may leave the
/// client library waiting for ever.
const PATIENCE: Duration = Duration::from_secs(15);

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
    /// The broker had delivered it before: no repeat of the sender's.
    pub(crate) redelivered: bool,
}

type Found = Arc<Mutex<Vec<Message>>>;

/// A consumer on a thread of its own, which comes back whenever the broker leaves it.
pub(crate) struct Consumer {
    found: Found,
    token: CancellationToken,
    thread: JoinHandle<()>,
}

impl Consumer {
    /// Declares the queue and begins.
    pub(crate) fn start(url: &str) -> Self {
        let (found, token) = (Found::default(), CancellationToken::new());
        let (declared, is_declared) = mpsc::channel();
        let thread = {
            let (url, found, token) = (url.to_owned(), Arc::clone(&found), token.clone());
            thread::spawn(move || consume(&url, &found, &token, &declared))
        };
        is_declared.recv().unwrap();
        Self { found, token, thread }
    }

    /// How many different ids came.
    pub(crate) fn distinct(&self) -> usize {
        self.found.lock().unwrap().iter().map(|message| &message.id).collect::<HashSet<_>>().len()
    }

    /// Everything that came.
    pub(crate) fn stop(self) -> Vec<Message> {
        self.token.cancel();
        self.thread.join().unwrap();
        std::mem::take(&mut *self.found.lock().unwrap())
    }
}

fn consume(url: &str, found: &Found, token: &CancellationToken, declared: &mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        while !token.is_cancelled() {
            tokio::select! {
                // The broker was killed: nothing about it is an error here.
                _ = session(url, found, declared) => tokio::time::sleep(Duration::from_millis(200)).await,
                () = token.cancelled() => {}
            }
        }
    });
}

async fn session(url: &str, found: &Found, declared: &mpsc::Sender<()>) -> lapin::Result<()> {
    let Ok(opened) = timeout(PATIENCE, open(url)).await else { return Ok(()) };
    let (_connection, mut messages) = opened?;
    // Nobody listens after the first time.
    let _ = declared.send(());
    while let Ok(Some(message)) = timeout(PATIENCE, messages.next()).await {
        let message = message?;
        found.lock().unwrap().push(Message {
            id: message.properties.message_id().as_ref().unwrap().to_string(),
            body: message.data.clone(),
            redelivered: message.redelivered,
        });
        let Ok(acknowledged) = timeout(PATIENCE, message.ack(BasicAckOptions::default())).await else {
            break;
        };
        acknowledged?;
    }
    Ok(())
}

/// Declares the queue and has its messages sent.
async fn open(url: &str) -> lapin::Result<(Connection, Consuming)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), durable, arguments).await?;
    channel.basic_qos(100, BasicQosOptions::default()).await?;
    let (options, tag) = (BasicConsumeOptions::default(), "checker".into());
    Ok((connection, channel.basic_consume(QUEUE.into(), tag, options, FieldTable::default()).await?))
}
