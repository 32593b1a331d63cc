//! From what was typed to what is to be done.
//!
//! In reading order: `args` is the form of the command line; `layers` puts the configuration file and the
//! environment under it, as defaults of the same parser, so that one parser reads all three; `build` makes the valid
//! [`Config`] of it; `print` writes that out again. Everything that the process is surrounded by comes in as
//! an argument, so tests need no process. Only the configuration file is read here, nothing is written.

#[expect(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "these comments are the help, shown as they are"
)]
mod args;
mod build;
mod error;
mod help;
mod layers;
mod print;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::config::{Config, EventsTarget, Since, mask_secrets};
use crate::exit::Exit;
use args::{
    Cli, Command, DoctorArgs, EventFormat, IndexCommand, InquiryArgs, PlanArgs, RunArgs, StateArgs,
    UncheckedUrl, WatchArgs,
};
use layers::Layers;

pub use error::UsageError;

/// The configuration file that `run` reads if it exists and no other is named.
pub const SYSTEM_CONFIG: &str = "/etc/nfs-scout/config.toml";

/// What the process finds around it at its start.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The environment.
    pub vars: BTreeMap<OsString, OsString>,
    /// The current directory; `None` if it is gone.
    pub directory: Option<PathBuf>,
    /// The configuration file of the system, [`SYSTEM_CONFIG`].
    pub system_config: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            args: std::env::args_os().collect(),
            vars: std::env::vars_os().collect(),
            directory: std::env::current_dir().ok(),
            system_config: PathBuf::from(SYSTEM_CONFIG),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Order {
    /// Watch.
    Run {
        /// How.
        config: Box<Config>,
        /// What is odd but no error; to be logged once the log is set up.
        warnings: Vec<String>,
    },
    /// Watch with a state directory that is removed in the end.
    Watch(Box<Config>),
    /// Tell what intervals cost and give.
    Plan(PlanOrder),
    /// Examine what a run with this configuration would meet.
    Doctor {
        /// The configuration, with one root.
        config: Box<Config>,
        /// Whether the diagnosis is JSON instead of text.
        json: bool,
    },
    /// Bring the stored statistics and those in Redis together.
    Recount(Box<Config>),
    /// Answer from the stored state.
    Ask(Inquiry),
    /// Show the state of the agent of this state directory, anew and anew.
    Follow(PathBuf),
    /// Change or check the stored state, which no agent may hold meanwhile.
    Attend {
        /// What is to be done.
        errand: Errand,
        /// The state directory, absolute.
        state: PathBuf,
    },
    /// Print this text: the configuration, a completion script, a manual page.
    Print(String),
}

/// What a plan is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOrder {
    /// The directory, absolute.
    pub path: PathBuf,
    /// The intervals to show; empty for the usual ones.
    pub intervals: Vec<Duration>,
    /// The wished mean latency.
    pub latency: Option<Duration>,
    /// Where to draw it.
    pub svg: Option<PathBuf>,
    /// The state directory whose agent may know the tree, absolute.
    pub state: PathBuf,
    /// Whether the answer is JSON instead of a table.
    pub json: bool,
}

/// A question to the stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// What is asked.
    pub question: Question,
    /// The state directory, absolute.
    pub state: PathBuf,
    /// Whether the answer is JSON instead of a table.
    pub json: bool,
}

/// What is to be done to the stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Forget this path, absolute.
    Forget(PathBuf),
    /// Forget what is gone.
    ForgetGone,
    /// Check, against this root if there is one.
    Verify(Option<PathBuf>),
    /// Send again.
    Requeue {
        /// Only what was found then or later.
        since: Option<Since>,
        /// Only to the sink of this name.
        sink: Option<String>,
        /// From the first refused message on.
        refused: bool,
    },
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The agent's own statistics.
    Stats,
    /// What is watched, waiting, unsent, refused, broken.
    Status,
    /// How large the index is.
    IndexStat,
    /// Which files the index knows.
    IndexList,
    /// All that the index knows.
    IndexExport,
    /// What is known of this path, absolute.
    Explain(PathBuf),
}

/// Why there is nothing to do: help was asked for, or what was typed cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Help or version, or the argument parser's complaint.
    #[error("{}", mask_secrets(&.0.render().to_string()))]
    Parser(#[from] clap::Error),
    /// A value or a combination that is not valid.
    #[error(transparent)]
    Usage(#[from] UsageError),
}

impl Stop {
    /// Says it to the user and gives the exit code.
    #[must_use]
    pub fn show(&self) -> Exit {
        use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
        // A broken pipe here leaves nobody to tell.
        let _ = match self {
            Self::Parser(error) if matches!(error.kind(), DisplayHelp | DisplayVersion) => {
                let _ = error.print();
                return Exit::Done;
            }
            Self::Parser(error) if error.kind() == DisplayHelpOnMissingArgumentOrSubcommand => error.print(),
            Self::Parser(_) => write!(io::stderr(), "{self}"),
            Self::Usage(error) => writeln!(io::stderr(), "error: {error}"),
        };
        Exit::Usage
    }
}

/// Reads the command line, the environment and the configuration file.
pub fn read(around: &Surroundings) -> Result<Order, Stop> {
    let typed = Cli::try_parse_from_args(around)?;
    match typed.command {
        Command::Run(args) => read_run(around, args.config),
        Command::Watch(args) => read_watch(around, args),
        Command::Plan(args) => read_plan(around, args),
        Command::Doctor(args) => read_doctor(around, args),
        Command::Stats(args) => ask(around, Question::Stats, args),
        Command::Status(args) if args.watch => Ok(Order::Follow(state_of(around, args.inquiry.at)?)),
        Command::Status(args) => ask(around, Question::Status, args.inquiry),
        Command::Explain { path, inquiry } => {
            ask(around, Question::Explain(build::absolute(&path, "FILE", around)?), inquiry)
        }
        Command::Index { command } => read_index(around, command),
        Command::Completions { shell } => Ok(Order::Print(completions(shell))),
        Command::Man { path } => Ok(Order::Print(manual(&path)?)),
    }
}

impl Cli {
    fn try_parse_from_args(around: &Surroundings) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::command().try_get_matches_from(&around.args)?)
    }
}

/// Parses a second time, with what file and environment say as defaults.
fn read_run(around: &Surroundings, config: Option<PathBuf>) -> Result<Order, Stop> {
    let (args, matches, layers) = read_layers(around, config)?;
    let origins = layers.origins(&matches);
    let (config, mut warnings) = build::config(&args, &origins, around)?;
    if args.print_config {
        return Ok(Order::Print(print::config(&matches, &origins, &config)?));
    }
    warnings.extend(layers.warnings);
    Ok(Order::Run { config: Box::new(config), warnings })
}

fn read_layers(
    around: &Surroundings,
    config: Option<PathBuf>,
) -> Result<(Box<RunArgs>, ArgMatches, Layers), Stop> {
    let layers = Layers::read(&run_command(), around, config)?;
    let command = Cli::command().mut_subcommand("run", |run| layers.apply(run));
    let matches = command.try_get_matches_from(&around.args)?;
    let Command::Run(args) = Cli::from_arg_matches(&matches)?.command else {
        unreachable!("the same arguments named the same subcommand before")
    };
    let matches = matches.subcommand_matches("run").cloned().unwrap_or_default();
    Ok((args, matches, layers))
}

/// A run that neither file nor environment has a say in.
fn read_watch(around: &Surroundings, args: WatchArgs) -> Result<Order, Stop> {
    let temporary = around.vars.get(OsStr::new("TMPDIR")).filter(|path| !path.is_empty());
    let temporary = PathBuf::from(temporary.map_or(OsStr::new("/tmp"), OsString::as_os_str));
    let state = temporary.join(format!("nfs-scout-watch-{}", std::process::id()));
    let one = [
        ("--config", Some("/dev/null".into())),
        ("--state", Some(state.into())),
        ("--interval", args.interval),
        ("--settle", args.settle),
        ("--refresh", args.refresh),
    ];
    let one = one.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
    let many = args.include.into_iter().map(|glob| ("--include", glob));
    let many = many.chain(args.exclude.into_iter().map(|glob| ("--exclude", glob)));
    let valued = one.chain(many).flat_map(|(flag, value)| [flag.into(), value]);
    let switches =
        [("--baseline", true), ("--quiet", args.quiet), ("--no-default-excludes", args.no_default_excludes)];
    let switches = switches.into_iter().filter(|(_, on)| *on).map(|(flag, _)| flag.into());
    let flags = switches.chain(valued).chain([OsString::from("--")]);
    let flags = flags.chain(args.paths.into_iter().map(OsString::from));
    let around = as_run(around, flags, BTreeMap::new());
    let (mut run, matches, layers) = read_layers(&around, Some("/dev/null".into()))?;
    // Of an archive nothing more is wanted than of any other file.
    run.archive.clear();
    let (mut config, _) = build::config(&run, &layers.origins(&matches), &around)?;
    if args.format == EventFormat::Inotifywait {
        config.sinks.events = Some(EventsTarget::Inotifywait);
    }
    Ok(Order::Watch(Box::new(config)))
}

/// The same process, as if it had been called as `run` with these flags.
fn as_run(
    around: &Surroundings,
    flags: impl Iterator<Item = OsString>,
    vars: BTreeMap<OsString, OsString>,
) -> Surroundings {
    let args = ["nfs-scout".into(), "run".into()].into_iter().chain(flags).collect();
    Surroundings { args, vars, ..around.clone() }
}

/// Takes what is asked for as flags of `run`, so that file and environment say the rest.
fn read_doctor(around: &Surroundings, args: DoctorArgs) -> Result<Order, Stop> {
    let text = |url: UncheckedUrl| OsString::from(url.0);
    let given = [
        ("--redis", args.redis.map(text)),
        ("--redis-ca", args.redis_ca.map(OsString::from)),
        ("--amqp", args.amqp.map(text)),
        ("--amqp-queue", args.amqp_queue.map(OsString::from)),
        ("--amqp-ca", args.amqp_ca.map(OsString::from)),
        ("--state", args.inquiry.at.state.map(OsString::from)),
        ("--config", args.inquiry.at.config.map(OsString::from)),
    ];
    Ok(Order::Doctor { config: config_as_run(around, given, args.path)?, json: args.inquiry.json })
}

/// The configuration that `run` would have with these flags and this root.
fn config_as_run<const N: usize>(
    around: &Surroundings,
    given: [(&str, Option<OsString>); N],
    path: PathBuf,
) -> Result<Box<Config>, Stop> {
    let flags = given.into_iter().filter_map(|(flag, value)| Some([flag.into(), value?])).flatten();
    let around = as_run(around, flags.chain([OsString::from("--"), path.into()]), around.vars.clone());
    let Command::Run(run) = Cli::try_parse_from_args(&around)?.command else {
        unreachable!("the subcommand is `run`")
    };
    let (args, matches, layers) = read_layers(&around, run.config)?;
    Ok(Box::new(build::config_of_doctor(&args, &layers.origins(&matches), &around)?))
}

fn read_index(around: &Surroundings, command: IndexCommand) -> Result<Order, Stop> {
    let place = |path: &Path, what| build::absolute(path, what, around);
    let (errand, at) = match command {
        IndexCommand::Stat(args) => return ask(around, Question::IndexStat, args),
        IndexCommand::List(args) => return ask(around, Question::IndexList, args),
        IndexCommand::Export(at) => {
            return ask(around, Question::IndexExport, InquiryArgs { json: false, at });
        }
        IndexCommand::Verify { against, state } => {
            (Errand::Verify(against.map(|path| place(&path, "--against")).transpose()?), state)
        }
        IndexCommand::Forget { path: Some(path), state, .. } => {
            (Errand::Forget(place(&path, "PATH")?), state)
        }
        IndexCommand::Forget { path: None, state, .. } => (Errand::ForgetGone, state),
        IndexCommand::Requeue { since, sink, refused, state } => {
            (Errand::Requeue { since, sink, refused }, state)
        }
        IndexCommand::Recount { redis, redis_prefix, redis_ca, state } => {
            let given = [
                ("--redis", redis.map(|url| OsString::from(url.0))),
                ("--redis-prefix", redis_prefix.map(OsString::from)),
                ("--redis-ca", redis_ca.map(OsString::from)),
                ("--state", state.state.map(OsString::from)),
                ("--config", state.config.map(OsString::from)),
            ];
            // Of what a run is asked to watch nothing matters here.
            return Ok(Order::Recount(config_as_run(around, given, PathBuf::from("/"))?));
        }
    };
    Ok(Order::Attend { errand, state: state_of(around, at)? })
}

fn ask(around: &Surroundings, question: Question, args: InquiryArgs) -> Result<Order, Stop> {
    Ok(Order::Ask(Inquiry { question, state: state_of(around, args.at)?, json: args.json }))
}

/// Finds the state directory as `run` would; with `--state` nothing else needs to be right.
fn state_of(around: &Surroundings, args: StateArgs) -> Result<PathBuf, Stop> {
    let state = match args.state {
        Some(state) => Some(state),
        None => Layers::read(&run_command(), around, args.config)?.state(),
    };
    Ok(build::state_directory(state.as_deref(), around)?)
}

fn read_plan(around: &Surroundings, args: PlanArgs) -> Result<Order, Stop> {
    let json = args.inquiry.json;
    Ok(Order::Plan(PlanOrder {
        path: build::absolute(&args.path, "PATH", around)?,
        intervals: args.interval.into_iter().map(|interval| interval.0).collect(),
        latency: args.latency.map(|latency| latency.0),
        svg: args.svg,
        state: state_of(around, args.inquiry.at)?,
        json,
    }))
}

fn run_command() -> clap::Command {
    Cli::command().find_subcommand("run").cloned().unwrap_or_default()
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nfs-scout", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The page of the program, or of the subcommand at `path`.
fn manual(path: &[String]) -> Result<String, UsageError> {
    let mut root = Cli::command();
    root.build();
    let unknown = || UsageError::UnknownPage(path.join(" "));
    let command =
        path.iter().try_fold(&root, |command, name| command.find_subcommand(name)).ok_or_else(unknown)?;
    let name = command.get_bin_name().unwrap_or("nfs-scout").replace(' ', "-");
    let mut page = Vec::new();
    match clap_mangen::Man::new(command.clone().name(name)).render(&mut page) {
        Ok(()) => Ok(String::from_utf8_lossy(&page).into_owned()),
        Err(_) => Err(unknown()),
    }
}

#[cfg(test)]
mod tests;
