//! What can be typed. The text here is the help that people read: first a line for `-h`, then the rest for `--help`.
//!
//! Only form is checked here; what belongs together, and what a path means, is decided when the configuration is built.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};

use super::help;
use crate::config::{
    AtMost, BodyFormat, Budget, Every, Listen, LogFilter, LogFormat, Moved, Pattern, Refresh, Since, Size,
    Span,
};

/// Finds new files on an NFS mount and hands each complete file over exactly once
#[derive(Debug, Parser)]
#[command(name = "nfs-scout", version, max_term_width = 100, after_help = help::TOP, long_about = help::ABOUT)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Watch directories and hand over what is new
    #[command(after_help = help::RUN, after_long_help = help::RUN_LONG)]
    Run(Box<RunArgs>),
    /// Print each new file as one line, without any state: inotifywait for NFS
    #[command(after_help = help::WATCH_ONLY)]
    Watch(WatchArgs),
    /// Show what each interval costs in RPCs and gives in latency, on this very mount
    #[command(after_help = help::PLAN)]
    Plan(PlanArgs),
    /// Examine mount, brokers and state: each check with its evidence and remedy; changes nothing
    #[command(after_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Show the statistics that the agent keeps itself
    #[command(after_help = help::STATS)]
    Stats(InquiryArgs),
    /// Show what is watched, what waits and why, what is unsent or refused
    #[command(after_help = help::STATUS)]
    Status(StatusArgs),
    /// Tell what is known of a file: seen when, sent where, or why not
    #[command(after_help = help::EXPLAIN)]
    Explain {
        /// The file
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        path: PathBuf,
        #[command(flatten)]
        inquiry: InquiryArgs,
    },
    /// Look into the index of known files, check it, change it
    #[command(after_help = help::INDEX)]
    Index {
        #[command(subcommand)]
        command: IndexCommand,
    },
    /// Print the completion script of a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page (troff)
    #[command(after_help = help::MAN)]
    Man {
        /// The subcommand whose page is wanted, like `run` or `index stat`
        #[arg(value_name = "COMMAND")]
        path: Vec<String>,
    },
}

/// What to ask the index.
#[derive(Debug, Subcommand)]
pub(super) enum IndexCommand {
    /// Count the known files and directories and the bytes they take
    #[command(after_help = help::INDEX_STAT)]
    Stat(InquiryArgs),
    /// List the known files
    #[command(after_help = help::INDEX_LIST)]
    List(InquiryArgs),
    /// Print all that is stored of each known file, as JSON lines
    #[command(after_help = help::INDEX_EXPORT)]
    Export(StateArgs),
    /// Check that the index agrees with itself, and with the mount if asked; exit code 1 if it does not
    #[command(after_help = help::INDEX_VERIFY)]
    Verify {
        /// Compare with the files below this watched directory: name, size, modification time
        #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
        against: Option<PathBuf>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Forget a file, or all files below a directory: if they are there, they are handed over again
    #[command(after_help = help::INDEX_FORGET)]
    Forget {
        /// The file or directory
        #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present = "gone")]
        path: Option<PathBuf>,
        /// Forget what is gone from the mount instead
        #[arg(long, conflicts_with = "path")]
        gone: bool,
        #[command(flatten)]
        state: StateArgs,
    },
    /// After the index was rebuilt: bring its statistics and those in Redis together, so that nothing counts twice
    #[command(after_help = help::INDEX_RECOUNT)]
    Recount {
        /// The Redis that keeps the statistics [default: as for `run`]
        #[arg(long, value_name = "URL", value_parser = help::unchecked_url())]
        redis: Option<UncheckedUrl>,
        /// What every Redis key begins with [default: as for `run`]
        #[arg(long, value_name = "TEXT")]
        redis_prefix: Option<String>,
        /// Certificates (PEM) to trust for rediss:// besides the system's
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        redis_ca: Option<PathBuf>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Send messages again, in order and with the same ids, as far as the history reaches
    #[command(after_help = help::INDEX_REQUEUE)]
    Requeue {
        /// Those found since: a time like 2026-11-22T10:00:00Z, or how long ago, like 2h
        #[arg(long, value_name = "TIME", required_unless_present_any = ["sink", "refused"])]
        since: Option<Since>,
        /// Only to this sink, events or amqp; without --since, all of the history
        #[arg(long, value_name = "NAME", value_parser = ["events", "amqp", "redis"])]
        sink: Option<String>,
        /// From the first message on that the sink refused
        #[arg(long)]
        refused: bool,
        #[command(flatten)]
        state: StateArgs,
    },
}

/// Where the state is.
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// The agent's state directory [default: as for `run`]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) state: Option<PathBuf>,

    /// The configuration file that names the state directory
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
}

/// A question to the stored state.
#[derive(Debug, Args)]
pub(super) struct InquiryArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) at: StateArgs,
}

/// How the state of the agent is asked for.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Show it on the terminal anew every two seconds, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub(super) watch: bool,

    /// How it is asked
    #[command(flatten)]
    pub(super) inquiry: InquiryArgs,
}

/// What a plan is made for.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The directory that is or will be watched
    #[arg(value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(super) path: PathBuf,

    /// The intervals to show, separated by commas [default: 1s to 1h]
    #[arg(long, value_name = "DURATION,...", value_delimiter = ',')]
    pub(super) interval: Vec<Span<100>>,

    /// Recommend an interval for this mean latency
    #[arg(long, value_name = "DURATION")]
    pub(super) latency: Option<Span<1>>,

    /// Draw latency against cost into this SVG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) svg: Option<PathBuf>,

    /// How it is asked
    #[command(flatten)]
    pub(super) inquiry: InquiryArgs,
}

/// What is watched without state.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The directories to watch
    #[arg(value_name = "PATH", value_hint = ValueHint::DirPath, required = true)]
    pub(super) paths: Vec<PathBuf>,

    /// How a file is printed: as the JSON of a message, or as `inotifywait -m` would
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "json")]
    pub(super) format: EventFormat,

    /// The longest time that a directory goes unchecked; at least 100ms [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub(super) interval: Option<OsString>,

    /// How long a file must look the same before it counts as complete [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub(super) settle: Option<OsString>,

    /// How to look past the NFS client's cache: force, open, plain [default: force]
    #[arg(long, value_name = "HOW")]
    pub(super) refresh: Option<OsString>,

    /// Print only files that match, like '*.tgz'; repeatable [default: all]
    #[arg(long, value_name = "GLOB")]
    pub(super) include: Vec<OsString>,

    /// Leave out files and directories that match; repeatable, added to the junk
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<OsString>,

    /// Do not leave out junk (.nfs*, .*, *.tmp, *.part, *~, lost+found) by itself
    #[arg(long)]
    pub(super) no_default_excludes: bool,

    /// Say nothing but errors and what is printed
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// How a file is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EventFormat {
    /// One JSON object a line, as `run` writes.
    Json,
    /// Folder, CLOSE_WRITE,CLOSE and name.
    Inotifywait,
}

/// What is examined. What is not given here is taken from where `run` takes it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The directory that is or will be watched
    #[arg(value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(super) path: PathBuf,

    /// The Redis that keeps the statistics
    #[arg(long, value_name = "URL", value_parser = help::unchecked_url())]
    pub(super) redis: Option<UncheckedUrl>,

    /// Certificates (PEM) to trust for rediss:// besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) redis_ca: Option<PathBuf>,

    /// The RabbitMQ that gets the messages
    #[arg(long, value_name = "URL", value_parser = help::unchecked_url())]
    pub(super) amqp: Option<UncheckedUrl>,

    /// Its queue [default: t4tc_monitor]
    #[arg(long, value_name = "QUEUE")]
    pub(super) amqp_queue: Option<String>,

    /// Certificates (PEM) to trust for amqps:// besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) amqp_ca: Option<PathBuf>,

    /// How it is asked
    #[command(flatten)]
    pub(super) inquiry: InquiryArgs,
}

/// The options of `run`. Each is also a key of the configuration file and a `NFS_SCOUT_*` variable, by its name.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one field a flag, as typed")]
pub(super) struct RunArgs {
    /// The directories to watch
    ///
    /// They may be absent when the agent starts: it waits for them, loudly. A relative path counts from the
    /// current directory. None may be inside another. In a file: paths = ["/mnt/a", "/mnt/b"]; in the
    /// environment: NFS_SCOUT_PATHS=/mnt/a:/mnt/b.
    #[arg(value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(super) paths: Vec<PathBuf>,

    /// Mark the files that are already there as seen instead of handing them over
    ///
    /// Only at the first contact with a PATH; without it every existing file is news.
    #[arg(long, help_heading = help::WATCH)]
    pub(super) baseline: bool,

    /// Leave out directories on other file systems below a PATH
    #[arg(long, value_name = "true|false", default_value = "true", action = ArgAction::Set, hide_possible_values = true, help_heading = help::WATCH)]
    pub(super) one_file_system: bool,

    /// Enter other file systems too: the same as --one-file-system false
    #[arg(long, help_heading = help::WATCH)]
    pub(super) cross_file_systems: bool,

    /// Take the file system now found at PATH as the right one
    ///
    /// The agent remembers which file system was at PATH and stops at another, so that an unmounted or exchanged
    /// mount is not taken for "everything is gone". After a wanted move to another server, give this once.
    #[arg(long, help_heading = help::WATCH)]
    pub(super) accept_mount: bool,

    /// Make one pass and end, for cron
    ///
    /// What is not settled or not sent is kept and continued by the next run. If another run holds the state,
    /// this one ends at once with exit code 75 and changes nothing.
    #[arg(long, help_heading = help::OFTEN)]
    pub(super) once: bool,

    /// The longest time that a directory goes unchecked; at least 100ms
    #[arg(long, value_name = "DURATION", default_value = "30s", help_heading = help::OFTEN)]
    pub(super) interval: Span<100>,

    /// RPCs that looking for changes may cost: auto, a rate like 200/s, or with --once a number like 500
    ///
    /// A look at an unchanged directory is one RPC. auto is twice what --interval needs: looks go where files are
    /// expected, and no directory waits longer than --interval. A smaller budget stretches the interval, which is
    /// said. With --once, auto looks at every directory; 500 looks at those that --interval makes due before the
    /// next run, and then at those most worth a look until 500 RPCs are spent.
    #[arg(long, value_name = "auto|N/s|N", default_value = "auto", help_heading = help::OFTEN)]
    pub(super) budget: Budget,

    /// How to look past the NFS client's cache
    #[arg(long, value_name = "HOW", value_enum, default_value = "force", help_heading = help::OFTEN)]
    pub(super) refresh: Refresh,

    /// How often every directory is listed whatever its stamp says, or off
    ///
    /// An independent check that time stamps did not lie.
    #[arg(long, value_name = "DURATION|off", default_value = "1h", help_heading = help::OFTEN)]
    pub(super) audit: Every,

    /// Write down when files come where, one JSON line for each directory and time
    ///
    /// A file that holds a trace is continued. `cargo bench --bench schedule -- --trace FILE` replays it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = help::OFTEN)]
    pub(super) record: Option<PathBuf>,

    /// Let the audit look at every known file too: finds files rewritten in place
    ///
    /// Costs one RPC a known file at each audit.
    #[arg(long, help_heading = help::OFTEN)]
    pub(super) audit_stat: bool,

    /// With --once: end with exit code 74 if any directory could not be read
    ///
    /// Without it the exit code is 0 and the number is in the summary, unless nothing could be read.
    #[arg(long, help_heading = help::OFTEN)]
    pub(super) strict: bool,

    /// How long a file must look the same before it counts as complete
    ///
    /// An archive proves itself complete by its end and need not wait. Measured by our clock, not the server's.
    /// 0s takes other files at the first look: only for trees where files are renamed into place.
    #[arg(long, value_name = "DURATION", default_value = "5s", help_heading = help::FILES)]
    pub(super) settle: Span<0>,

    /// How long a broken file is left unchanged before it is handed over as broken
    #[arg(long, value_name = "DURATION", default_value = "1h", help_heading = help::FILES)]
    pub(super) give_up: Span<1>,

    /// Hand over only files that match, like '*.tgz'; repeatable [default: all]
    ///
    /// A pattern is held against the file's name, or against its path below PATH if the pattern holds a `/`
    /// (`*` then stops at a `/`, `**` does not). In the environment, patterns are separated by colons.
    #[arg(long, value_name = "GLOB", help_heading = help::FILES)]
    pub(super) include: Vec<Pattern>,

    /// Leave out files and directories that match; repeatable, added to the junk below
    ///
    /// Wins over --include. A pattern that ends in `/` is about directories only. Always left out, unless
    /// --no-default-excludes: .nfs*, names that begin with a dot, *.tmp, *.part, *~, lost+found.
    #[arg(long, value_name = "GLOB", help_heading = help::FILES)]
    pub(super) exclude: Vec<Pattern>,

    /// Do not leave out junk (.nfs*, .*, *.tmp, *.part, *~, lost+found) by itself
    #[arg(long, help_heading = help::FILES)]
    pub(super) no_default_excludes: bool,

    /// Names that are read as job archives; repeatable
    ///
    /// Other files are only hashed. Given once or more, it replaces the default.
    #[arg(long, value_name = "GLOB", default_values = crate::rules::ARCHIVES, help_heading = help::FILES)]
    pub(super) archive: Vec<Pattern>,

    /// Keys of jobdata whose values are never shown or sent; repeatable, added to the built-in ones
    ///
    /// Built in: *AUTHENTICATOR*, *PASSWORD*, *SECRET*, *TOKEN*. The value becomes [redacted] everywhere.
    #[arg(long, value_name = "GLOB", help_heading = help::FILES)]
    pub(super) redact: Vec<Pattern>,

    /// What to do with a file that only moved to another place
    #[arg(long, value_name = "WHAT", value_enum, default_value = "record", help_heading = help::FILES)]
    pub(super) moved: Moved,

    /// Write one JSON line an event to standard output (-) or append it to a file [default: - if no other sink is given]
    #[arg(long, value_name = "-|FILE", value_hint = ValueHint::FilePath, help_heading = help::SINKS)]
    pub(super) events: Option<PathBuf>,

    /// Keep statistics in this Redis: redis://[user:password@]host[:6379][/0], rediss:// (TLS) or unix:///socket
    ///
    /// A password here is seen by everyone who may list processes: better put the URL in NFS_SCOUT_REDIS or in
    /// the file.
    #[arg(long, value_name = "URL", help_heading = help::SINKS, value_parser = help::unchecked_url())]
    pub(super) redis: Option<UncheckedUrl>,

    /// What every Redis key begins with
    #[arg(long, value_name = "TEXT", default_value = "T4TC_MONITOR/", help_heading = help::SINKS)]
    pub(super) redis_prefix: String,

    /// Certificates (PEM) to trust for rediss:// besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = help::SINKS)]
    pub(super) redis_ca: Option<PathBuf>,

    /// Send messages to this RabbitMQ: amqp://[user:password@]host[:5672][/vhost] or amqps:// (TLS)
    ///
    /// A password here is seen by everyone who may list processes: better put the URL in NFS_SCOUT_AMQP or in
    /// the file.
    #[arg(long, value_name = "URL", help_heading = help::SINKS, value_parser = help::unchecked_url())]
    pub(super) amqp: Option<UncheckedUrl>,

    /// The queue; an existing one is used as it is, else a durable quorum queue is declared
    #[arg(long, value_name = "QUEUE", default_value = "t4tc_monitor", help_heading = help::SINKS)]
    pub(super) amqp_queue: String,

    /// What the body of a message is
    #[arg(long, value_name = "FORM", value_enum, default_value = "json", help_heading = help::SINKS)]
    pub(super) amqp_body: BodyFormat,

    /// Certificates (PEM) to trust for amqps:// besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = help::SINKS)]
    pub(super) amqp_ca: Option<PathBuf>,

    /// Send a copy to this fanout exchange, for live displays
    #[arg(long, value_name = "EXCHANGE", help_heading = help::SINKS)]
    pub(super) broadcast: Option<String>,

    /// With --once: how long to wait for a sink that makes no progress
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = help::SINKS)]
    pub(super) drain: Span<0>,

    /// Where the agent keeps what it knows [default: ~/.local/state/nfs-scout]
    ///
    /// Put it on a local disk. The default is $STATE_DIRECTORY (set by systemd), else
    /// $XDG_STATE_HOME/nfs-scout, else ~/.local/state/nfs-scout.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = help::STATE)]
    pub(super) state: Option<PathBuf>,

    /// How long what was sent is remembered, for a replay into a Redis that lost it
    #[arg(long, value_name = "DURATION", default_value = "7d", help_heading = help::STATE)]
    pub(super) history: Span<1>,

    /// The most bytes that wait in the state directory for a sink that is away
    ///
    /// Some 200 bytes a file, and the text of a job's jobdata: 1GiB is a million jobs. Beyond it, directories are looked
    /// at but no file is read; what is new is left on the mount until the sink has taken a quarter of it. Nothing is
    /// dropped.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", help_heading = help::STATE)]
    pub(super) outbox_max: Size,

    /// How long a commit may wait to share its fsync with others
    #[arg(long, value_name = "DURATION", default_value = "50ms", help_heading = help::STATE)]
    pub(super) commit_delay: Span<0>,

    /// Read options from this TOML file [default: /etc/nfs-scout/config.toml if it exists]
    ///
    /// A key is the name of an option without the dashes: interval = "30s". Flags beat the environment, the
    /// environment beats the file. /dev/null stands for no file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = help::STATE)]
    pub(super) config: Option<PathBuf>,

    /// Print the merged options as a TOML file, with where each comes from, and end
    ///
    /// Passwords are masked.
    #[arg(long, help_heading = help::STATE)]
    pub(super) print_config: bool,

    /// Serve metrics (/metrics) and a page for people (/) at this address: 9477 is 127.0.0.1:9477
    ///
    /// Another address than this machine's own must be written out (0.0.0.0:9477): who reaches it can read the names of
    /// files. There is no password. Not with --once.
    #[arg(long, value_name = "[ADDR:]PORT", help_heading = help::WATCHING)]
    pub(super) listen: Option<Listen>,

    /// With --once: leave the metrics in this file, for the node exporter's textfile collector
    ///
    /// Its name must end in .prom to be read there. It is replaced as a whole, and readable by everybody.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = help::WATCHING)]
    pub(super) textfile: Option<PathBuf>,

    /// With --once: how long to wait for a mount that does not answer
    ///
    /// The run then ends as for a mount that cannot be read, and the next run looks at what is left.
    #[arg(long, value_name = "DURATION", default_value = "5m", help_heading = help::LIMITS)]
    pub(super) patience: Span<1>,

    /// Threads that wait for the mount
    #[arg(long, value_name = "N", default_value = "32", value_parser = help::count(1..=1024), help_heading = help::LIMITS)]
    pub(super) workers: u64,

    /// Directories held open between looks, so that a look costs one RPC
    ///
    /// auto: as many as the limit of open files allows, at most 65536.
    #[arg(long, value_name = "auto|N", default_value = "auto", help_heading = help::LIMITS)]
    pub(super) max_open_dirs: AtMost,

    /// The most bytes that one archive may unpack to
    #[arg(long, value_name = "SIZE", default_value = "1GiB", help_heading = help::LIMITS)]
    pub(super) max_unpacked: Size,

    /// The most members that one archive may hold
    #[arg(long, value_name = "N", default_value = "100000", value_parser = help::count(1..=1_000_000_000), help_heading = help::LIMITS)]
    pub(super) max_members: u64,

    /// The most bytes that a jobdata file may have
    #[arg(long, value_name = "SIZE", default_value = "1MiB", help_heading = help::LIMITS)]
    pub(super) max_jobdata: Size,

    /// What to log to standard error: off, error, warn, info, debug, trace
    ///
    /// Or by part of the program: nfs_scout=debug,lapin=off.
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = help::LOGGING)]
    pub(super) log: LogFilter,

    /// The form of a log line
    #[arg(long, value_name = "FORM", value_enum, default_value = "text", help_heading = help::LOGGING)]
    pub(super) log_format: LogFormat,

    /// Log more: -v is --log debug, -vv is --log trace
    #[arg(short, long, action = ArgAction::Count, help_heading = help::LOGGING)]
    pub(super) verbose: u8,

    /// Log warnings only; of the summary only what is wrong
    #[arg(short, long, help_heading = help::LOGGING)]
    pub(super) quiet: bool,
}

/// A URL as typed. It is checked later, by a check that never repeats it: the argument parser would.
#[derive(Clone)]
pub(super) struct UncheckedUrl(pub(super) String);

impl std::fmt::Debug for UncheckedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UncheckedUrl(***)")
    }
}
