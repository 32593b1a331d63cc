//! A worker for the queue that `nfs-scout` fills: takes jobs, does each once, acknowledges.
//!
//! A message may come twice (after a crash or a broken connection), always with the same `message_id`; the worker
//! knows the latest ids, in bounded memory and, with `--ids`, across restarts. An id is written down before the
//! message is acknowledged: a crash between the two brings the message again, and it is then known.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use lru::LruCache;
use nfs_scout::dispatch::scrub;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Takes jobs from the queue, does each once and acknowledges it.
///
/// Prints one line a job: its id, its kind, its path. A real worker would do its work where this one prints.
#[derive(Parser)]
#[command(after_help = "Example:\n  worker --amqp amqp://guest:guest@localhost --ids done.ids --count 100")]
struct Arguments {
    /// The broker.
    #[arg(long, value_name = "URL", env = "NFS_SCOUT_AMQP", hide_env_values = true)]
    #[arg(default_value = "amqp://localhost")]
    amqp: String,
    /// The queue; declared (durable, quorum) if it does not exist.
    #[arg(long, value_name = "NAME", default_value = "t4tc_monitor")]
    queue: String,
    /// Appends each new id to this file, and knows those in it at the start.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Ends after this many different jobs; without it, runs until it is stopped.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How many ids to remember.
    #[arg(long, value_name = "N", default_value = "1000000")]
    remember: NonZeroUsize,
    /// How many messages may be under way.
    #[arg(long, value_name = "N", default_value = "100")]
    prefetch: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match work(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {}", scrub(&error.to_string(), &arguments.amqp));
            ExitCode::FAILURE
        }
    }
}

async fn work(arguments: &Arguments) -> Result<(), Failure> {
    let mut known = Known::open(arguments.ids.as_deref(), arguments.remember)?;
    let connection = connect(&arguments.amqp).await?;
    let queue = ShortString::try_new(arguments.queue.as_str())?;
    ensure_queue(&connection, &queue).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(arguments.prefetch, BasicQosOptions::default()).await?;
    let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut jobs = channel.basic_consume(queue, "".into(), options, table).await?;
    let (mut distinct, mut repeats) = (0, 0);
    while arguments.count.is_none_or(|count| distinct < count) {
        let delivery = jobs.next().await.ok_or("the broker closed the queue")??;
        let id = id_of(&delivery);
        if known.add(&id)? {
            println!("{id} {} {}", header(&delivery, "kind"), header(&delivery, "path").escape_debug());
            distinct += 1;
        } else {
            repeats += 1;
        }
        delivery.ack(BasicAckOptions::default()).await?;
    }
    eprintln!("{distinct} jobs, {repeats} repeats");
    Ok(connection.close(200, "done".into()).await?)
}

async fn connect(url: &str) -> Result<Connection, Failure> {
    let mut uri: AMQPUri = url.parse()?;
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    let properties = ConnectionProperties::default().with_connection_name("nfs-scout worker".into());
    Ok(Connection::connect_uri(uri, properties).await?)
}

/// Uses an existing queue as it is, as `nfs-scout` does, so that either may come first.
async fn ensure_queue(connection: &Connection, queue: &ShortString) -> Result<(), Failure> {
    let declare = async |channel: Channel, passive: bool, arguments: FieldTable| {
        let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.clone(), options, arguments).await
    };
    let channel = connection.create_channel().await?;
    match declare(channel, true, FieldTable::default()).await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => {
            let mut quorum = FieldTable::default();
            quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            declare(connection.create_channel().await?, false, quorum).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn is_missing(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == 404)
}

/// The message's identity; one without is taken for new under its delivery number.
fn id_of(delivery: &Delivery) -> String {
    let id = delivery.properties.message_id().as_ref();
    id.map_or_else(|| format!("no-id-{}", delivery.delivery_tag), ToString::to_string)
}

fn header(delivery: &Delivery, name: &str) -> String {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => "-".to_owned(),
    }
}

/// The latest ids.
struct Known {
    latest: LruCache<String, ()>,
    file: Option<File>,
}

impl Known {
    fn open(path: Option<&Path>, remember: NonZeroUsize) -> Result<Self, Failure> {
        // Grows as it fills, instead of taking the memory of a million ids at the start.
        let mut known = Self { latest: LruCache::unbounded(), file: None };
        known.latest.resize(remember);
        if let Some(path) = path {
            let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            for line in BufReader::new(&file).lines() {
                known.latest.put(line?, ());
            }
            known.file = Some(file);
        }
        Ok(known)
    }

    /// Whether `id` is new; then it is known from now on.
    fn add(&mut self, id: &str) -> Result<bool, Failure> {
        if self.latest.put(id.to_owned(), ()).is_some() {
            return Ok(false);
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{id}")?;
        }
        Ok(true)
    }
}
