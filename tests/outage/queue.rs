//! What lies in the queue, taken out in its order.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value;

use crate::support::{HANG, eventually};

/// A message.
pub(crate) struct Message {
    pub(crate) seq: u64,
    pub(crate) path: String,
    pub(crate) detected_at: SystemTime,
    /// When its directory was last seen without it.
    pub(crate) not_before: Option<SystemTime>,
}

/// The messages, each id as it came first, and how often one came again.
pub(crate) struct Taken {
    pub(crate) messages: Vec<Message>,
    pub(crate) repeated: usize,
}

impl Taken {
    /// Takes from the queue until `count` different messages came and the queue is empty.
    pub(crate) fn from(url: &str, count: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // The agent declares the queue, some time after the broker is there.
        let mut channel = None;
        eventually("the queue", || {
            channel = runtime.block_on(open(url)).ok();
            channel.as_ref().map(drop)
        });
        runtime.block_on(take(&channel.unwrap().1, count)).unwrap()
    }

    /// The paths.
    pub(crate) fn paths(&self) -> HashSet<String> {
        self.messages.iter().map(|message| message.path.clone()).collect()
    }

    /// The messages of each directory, in the order of the queue.
    pub(crate) fn by_directory(&self) -> BTreeMap<&str, Vec<&Message>> {
        let mut directories = BTreeMap::<_, Vec<_>>::new();
        for message in &self.messages {
            let directory = message.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            directories.entry(directory).or_default().push(message);
        }
        directories
    }
}

const QUEUE: &str = "t4tc_monitor";

/// A channel, if the queue is there; it closes with the connection.
async fn open(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    messages_in(&channel).await?;
    Ok((connection, channel))
}

/// How many messages lie in the queue.
async fn messages_in(channel: &Channel) -> lapin::Result<u32> {
    let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(QUEUE.into(), look, FieldTable::default()).await?.message_count())
}

async fn take(channel: &Channel, count: usize) -> lapin::Result<Taken> {
    channel.basic_qos(500, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        channel.basic_consume(QUEUE.into(), "test".into(), options, FieldTable::default()).await?;
    let (mut seen, mut taken) = (HashSet::new(), Taken { messages: Vec::new(), repeated: 0 });
    loop {
        if seen.len() >= count && messages_in(channel).await? == 0 {
            // What the broker has sent already lies in the stream.
            let Ok(Some(delivery)) =
                tokio::time::timeout(std::time::Duration::from_millis(300), deliveries.next()).await
            else {
                return Ok(taken);
            };
            note(delivery?, &mut seen, &mut taken).await?;
            continue;
        }
        let next = tokio::time::timeout(HANG, deliveries.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{} of {count} messages came", seen.len()));
        note(next.unwrap()?, &mut seen, &mut taken).await?;
    }
}

async fn note(
    delivery: lapin::message::Delivery,
    seen: &mut HashSet<String>,
    taken: &mut Taken,
) -> lapin::Result<()> {
    let message: Value = serde_json::from_slice(&delivery.data).unwrap();
    if seen.insert(message["id"].as_str().unwrap().to_owned()) {
        let time = |text: &str| SystemTime::from(text.parse::<jiff::Timestamp>().unwrap());
        taken.messages.push(Message {
            seq: message["seq"].as_u64().unwrap(),
            path: message["path"].as_str().unwrap().to_owned(),
            detected_at: time(message["detected_at"].as_str().unwrap()),
            not_before: message["not_before"].as_str().map(time),
        });
    } else {
        taken.repeated += 1;
    }
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}
