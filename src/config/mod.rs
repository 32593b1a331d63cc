//! The configuration after every check: what is in here is valid, and nothing changes it afterwards.
//!
//! How it was typed (flag, environment, file) is the business of [`crate::cli`], which builds it. Nothing here
//! reads a file, the environment or a clock.

mod server;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use crate::rules::FileRules;

pub use server::{Protocol, ServerUrl, UrlError, mask_secrets};
pub use values::{AtMost, Budget, Every, Listen, LogFilter, Pattern, Since, Size, Span, ValueError};

/// Everything that `run` is asked to do.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "one field an option, each independent")]
pub struct Config {
    /// The watched directories: absolute, distinct, none inside another. They may be absent just now.
    pub roots: Vec<PathBuf>,
    /// One pass or for ever.
    pub mode: Mode,
    /// The longest time that a directory goes unchecked.
    pub interval: Duration,
    /// How many looks a second it may cost.
    pub budget: Budget,
    /// How attributes are fetched past the client's cache.
    pub refresh: Refresh,
    /// Where files are handed to; at least one of them is set.
    pub sinks: SinkSettings,
    /// The time between the two equal looks that call a file complete.
    pub settle: Duration,
    /// How long a broken file stays unchanged before it is handed over as broken.
    pub give_up: Duration,
    /// How often every directory is listed whatever its stamp says; `None` is never.
    pub audit: Option<Duration>,
    /// Whether the audit also compares the stamps of known files.
    pub audit_stat: bool,
    /// Whether the files of the first contact are marked as seen instead of handed over.
    pub baseline: bool,
    /// What becomes of a file that only moved.
    pub moved: Moved,
    /// Which names are files to hand over, and which directories are entered.
    pub rules: FileRules,
    /// Patterns of the jobdata keys whose values are secret: the built-in ones and the given ones.
    pub redact: Vec<String>,
    /// The directory of the agent's own state; absolute, outside every root.
    pub state: PathBuf,
    /// Bytes that sinks still have to get, from which on intake pauses.
    pub outbox_max: u64,
    /// How long what was sent is remembered for a replay.
    pub history: Duration,
    /// Whether directories on other file systems below a root are left out.
    pub one_file_system: bool,
    /// Whether the file system now found at a root is taken as the right one.
    pub accept_mount: bool,
    /// Whether a directory that cannot be read makes the whole one-shot run fail.
    pub strict: bool,
    /// Threads that make blocking calls on the mount.
    pub workers: usize,
    /// Directories held open between looks; `None` for as many as the system allows.
    pub max_open_dirs: Option<usize>,
    /// Bounds of unpacking one archive.
    pub limits: Limits,
    /// How long a one-shot run waits for a sink that makes no progress.
    pub drain: Duration,
    /// How long a one-shot run waits for a mount that does not answer.
    pub patience: Duration,
    /// Where it is written down when files come where.
    pub record: Option<PathBuf>,
    /// Where metrics and page are served.
    pub listen: Option<Listen>,
    /// Where a one-shot run leaves its metrics.
    pub textfile: Option<PathBuf>,
    /// How long a durable step may wait to share its flush with others.
    pub commit_delay: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// One pass or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One pass, then the end: for cron.
    Once,
    /// Until it is stopped.
    Agent,
}

/// How attributes are fetched past the client's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Refresh {
    /// Ask the server at every look (statx with `FORCE_SYNC`): one GETATTR
    Force,
    /// Open the directory, which revalidates it by close-to-open consistency
    Open,
    /// Believe the client's attribute cache: late by up to actimeo
    Plain,
}

/// What becomes of a file that only moved: same fileid and content at another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Moved {
    /// Remember the new path, send and count nothing
    Record,
    /// Hand it over again under its new path
    Send,
}

/// Where files are handed to.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkSettings {
    /// The stream of JSON lines.
    pub events: Option<EventsTarget>,
    /// The statistics in Redis.
    pub redis: Option<RedisSettings>,
    /// The work queue in `RabbitMQ`.
    pub amqp: Option<QueueSettings>,
}

/// Where the JSON lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsTarget {
    /// Standard output, in the words of `inotifywait -m`.
    Inotifywait,
    /// Standard output.
    Stdout,
    /// Appended to this file; an absolute path outside every root.
    File(PathBuf),
}

/// How Redis is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSettings {
    /// The server.
    pub url: ServerUrl,
    /// What every key begins with.
    pub prefix: String,
    /// Certificates (PEM) to trust besides the system's; only with TLS.
    pub ca: Option<PathBuf>,
}

/// How `RabbitMQ` is reached and what it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    /// The server and its virtual host.
    pub url: ServerUrl,
    /// The queue.
    pub queue: String,
    /// What a message's body is.
    pub body: BodyFormat,
    /// Certificates (PEM) to trust besides the system's; only with TLS.
    pub ca: Option<PathBuf>,
    /// The fanout exchange that gets a copy for live displays.
    pub broadcast: Option<String>,
}

/// What a message's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BodyFormat {
    /// The whole event as JSON
    Json,
    /// The text of the archive's jobdata file, secrets redacted
    Jobdata,
    /// `FILE_CREATED : <absolute path>`, as the old daemon wrote it
    Legacy,
}

/// Bounds of unpacking one archive: whatever is beyond makes the file broken (too large).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub max_unpacked: u64,
    /// Members of the tar.
    pub max_members: u64,
    /// Bytes of the jobdata member.
    pub max_jobdata: u64,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The filter, in the notation of `tracing`: `info`, `nfs_scout=debug,lapin=warn`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
    /// Whether progress and summary are left out too.
    pub quiet: bool,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for log collectors
    Json,
}

/// Patterns of the jobdata keys whose values never leave, whatever the configuration says.
pub const SECRET_KEYS: [&str; 4] = ["*AUTHENTICATOR*", "*PASSWORD*", "*SECRET*", "*TOKEN*"];
