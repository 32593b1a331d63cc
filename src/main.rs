//! The command line of nfs-scout.

mod log;
mod screen;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nfs_scout::advise::{self, Area, Wish};
use nfs_scout::agent::{self, Ended, Errand, ErrandError, Outcome, PlanError, Question, RecountError};
use nfs_scout::cli::{self, Inquiry, Order, PlanOrder, Surroundings};
use nfs_scout::clock;
use nfs_scout::config::{Config, Mode};
use nfs_scout::dispatch::SinkName;
use nfs_scout::event::Reporter;
use nfs_scout::exit::Exit;
use nfs_scout::status::{self, Summary, render_statistics};
use nfs_scout::store::{Lock, Store, StoreError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    refuse_core_files();
    let work = || cli::read(&Surroundings::of_process()).map_or_else(|stop| stop.show(), obey);
    // What panicked was told by then: a bug of ours, or sled, which answers a failing disk so (0.34.7).
    std::panic::catch_unwind(work).unwrap_or(Exit::Internal).into()
}

/// A core file would hold the brokers' passwords, and what was just read of jobs. Whoever must have one raises the limit of
/// the running process: `prlimit --core=unlimited: --pid`.
///
/// Not by `PR_SET_DUMPABLE`: that would close `/proc/self` to the agent itself, which reads its mounts there. Where the
/// limit cannot be set, it is left: a file that might be written at a crash is no reason not to work.
fn refuse_core_files() {
    let hard = getrlimit(Resource::Core).maximum;
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: hard });
}

fn obey(order: Order) -> Exit {
    match order {
        Order::Run { config, warnings } => {
            log::start(&config.log);
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            run(&config)
        }
        Order::Watch(config) => watch(&config),
        Order::Plan(order) => plan(&order),
        Order::Doctor { config, json } => doctor(&config, json),
        Order::Recount(config) => recount(&config),
        Order::Ask(inquiry) => answer(&inquiry),
        Order::Follow(state) => follow(state),
        Order::Attend { errand, state } => attend(errand, &state),
        Order::Print(text) => print(&text),
    }
}

/// Watches as `config` says.
fn run(config: &Config) -> Exit {
    let reporter = Reporter::default();
    match agent::run(config, &reporter) {
        Ok(ended) => finish(config, &ended, &reporter),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            match error {
                error if error.is_held() => Exit::Held,
                error if error.is_usage() => Exit::Usage,
                _ => Exit::Internal,
            }
        }
    }
}

/// Watches, and removes the state in the end.
fn watch(config: &Config) -> Exit {
    log::start(&config.log);
    let exit = run(config);
    // What cannot be removed is told of in the help: it is a folder of its own.
    let _ = std::fs::remove_dir_all(&config.state);
    exit
}

/// Tells what a one-shot run did, and the exit code that says it to programs.
fn finish(config: &Config, ended: &Ended, reporter: &Reporter) -> Exit {
    let summary = ended.summary(reporter);
    if config.mode == Mode::Once && config.log.quiet {
        let _ = write!(io::stderr(), "{}", summary.problems());
    } else if config.mode == Mode::Once {
        let has_sink_for_statistics = config.sinks.redis.is_some();
        let table =
            if has_sink_for_statistics { String::new() } else { render_statistics(&ended.statistics) };
        let _ = write!(io::stderr(), "\n{table}{}", summary.render());
    }
    exit_of(config, ended, &summary)
}

fn exit_of(config: &Config, ended: &Ended, summary: &Summary) -> Exit {
    let in_part = summary.failed > 0 || !summary.lost.is_empty();
    if config.mode == Mode::Agent {
        Exit::Done
    } else if summary.lost.len() == ended.roots
        || (summary.looked == 0 && in_part)
        || (config.strict && in_part)
    {
        Exit::MountUnreadable
    } else if !summary.left.is_empty() && !ended.unread {
        Exit::SinkUnreachable
    } else {
        Exit::Done
    }
}

/// Tells what intervals cost and give.
fn plan(order: &PlanOrder) -> Exit {
    let intervals =
        if order.intervals.is_empty() { advise::INTERVALS.to_vec() } else { order.intervals.clone() };
    let wish = Wish { intervals, latency: order.latency };
    let plan = match agent::plan(&order.path, &order.state, &wish) {
        Ok(plan) => plan,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            return match error {
                PlanError::Mount(_) => Exit::MountUnreadable,
                PlanError::Store(error) if error.is_held() => Exit::Held,
                _ => Exit::Internal,
            };
        }
    };
    if let Some(path) = &order.svg
        && let Err(error) = std::fs::write(path, advise::svg(&plan))
    {
        let _ = writeln!(io::stderr(), "error: cannot write {}: {error}", path.display());
        return Exit::Usage;
    }
    if order.json {
        print(&(serde_json::to_string(&plan).unwrap_or_default() + "\n"))
    } else {
        print(&advise::render(&plan))
    }
}

/// Examines mount, brokers and state.
fn doctor(config: &Config, json: bool) -> Exit {
    let diagnosis = agent::doctor(config);
    let text = if json {
        serde_json::to_string(&diagnosis).unwrap_or_default() + "\n"
    } else {
        advise::render_diagnosis(&diagnosis)
    };
    match (print(&text), diagnosis.faulty()) {
        (Exit::Done, None) => Exit::Done,
        (Exit::Done, Some(Area::Mount)) => Exit::MountUnreadable,
        (Exit::Done, Some(Area::Broker)) => Exit::SinkUnreachable,
        (_, _) => Exit::Internal,
    }
}

/// Answers from the running agent, or from the stored state if none runs.
fn answer(inquiry: &Inquiry) -> Exit {
    match reply(inquiry) {
        Ok(text) => print(&text),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            error.exit()
        }
    }
}

/// Shows the state of the agent anew and anew; why it cannot be told is shown too, and may pass.
fn follow(state: PathBuf) -> Exit {
    let inquiry = Inquiry { question: cli::Question::Status, state, json: false };
    match screen::follow(|| reply(&inquiry).unwrap_or_else(|error| format!("error: {error}"))) {
        Ok(()) => Exit::Done,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            Exit::Usage
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("no state in {}: has an agent run with it? Give the directory with --state", .0.display())]
    NoState(PathBuf),
    #[error(
        "no agent runs and its state belongs to user {0}: ask as that user, for example with sudo -u '#{0}'"
    )]
    OtherOwner(u32),
    #[error("cannot ask the running agent: {0}")]
    Asking(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Errand(#[from] ErrandError),
    #[error(transparent)]
    Recount(#[from] RecountError),
    #[error("cannot understand the running agent, is it of another version? {0}")]
    Understanding(#[from] serde_json::Error),
}

impl NoAnswer {
    fn exit(&self) -> Exit {
        match self {
            Self::NoState(_)
            | Self::OtherOwner(_)
            | Self::Recount(RecountError::NoRedis | RecountError::Mixed(_)) => Exit::Usage,
            Self::Store(error) if error.is_held() => Exit::Held,
            Self::Recount(RecountError::Redis(_)) => Exit::SinkUnreachable,
            Self::Errand(error) if !matches!(error, ErrandError::Store(_)) => Exit::Usage,
            _ => Exit::Internal,
        }
    }
}

/// Changes or checks the stored state.
fn attend(errand: cli::Errand, state: &Path) -> Exit {
    let done = || -> Result<Outcome, NoAnswer> { Ok(agent::attend(&open(state)?, &errand_of(errand))?) };
    told(done())
}

/// Brings the stored statistics and those in Redis together.
fn recount(config: &Config) -> Exit {
    let done = || -> Result<Outcome, NoAnswer> { Ok(agent::recount(&open(&config.state)?, config)?) };
    told(done())
}

fn told(done: Result<Outcome, NoAnswer>) -> Exit {
    match done {
        Ok(Outcome { text, is_well }) => match print(&text) {
            Exit::Done if !is_well => Exit::Internal,
            exit => exit,
        },
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            error.exit()
        }
    }
}

fn errand_of(errand: cli::Errand) -> Errand {
    match errand {
        cli::Errand::Forget(path) => Errand::Forget(path),
        cli::Errand::ForgetGone => Errand::ForgetGone,
        cli::Errand::Verify(against) => Errand::Verify(against),
        cli::Errand::Requeue { since, sink, refused } => Errand::Requeue {
            since: since.map(|since| since.before(clock::wall())),
            sink: sink.as_deref().and_then(SinkName::named),
            refused,
        },
    }
}

/// Opens the store of a state directory that must exist and be ours.
fn open(state: &Path) -> Result<Store, NoAnswer> {
    if !Lock::is_state_directory(state)? {
        return Err(NoAnswer::NoState(state.to_owned()));
    }
    match Lock::other_owner(state) {
        Some(owner) => Err(NoAnswer::OtherOwner(owner)),
        None => Ok(Store::open(state)?),
    }
}

fn reply(inquiry: &Inquiry) -> Result<String, NoAnswer> {
    let question = match &inquiry.question {
        cli::Question::Stats => Question::Statistics,
        cli::Question::Status => Question::Report,
        cli::Question::IndexStat => Question::IndexSize,
        cli::Question::IndexList => Question::IndexList,
        cli::Question::IndexExport => Question::IndexExport,
        cli::Question::Explain(path) => Question::Explain(path.clone()),
    };
    if !Lock::is_state_directory(&inquiry.state)? {
        return Err(NoAnswer::NoState(inquiry.state.clone()));
    }
    let json = match agent::ask(&inquiry.state, &question)? {
        Some(answer) => answer,
        None => agent::answer(&question, &open(&inquiry.state)?, None)?,
    };
    if inquiry.json { Ok(json + "\n") } else { in_words(&question, &json) }
}

fn in_words(question: &Question, json: &str) -> Result<String, NoAnswer> {
    Ok(match question {
        Question::Statistics => render_statistics(&serde_json::from_str(json)?),
        Question::Report => status::render(&serde_json::from_str(json)?),
        Question::IndexSize => status::render_size(&serde_json::from_str(json)?),
        Question::IndexList => status::render_list(&serde_json::from_str::<Vec<_>>(json)?),
        Question::Traffic => json.to_owned(),
        Question::IndexExport => {
            let lines: Vec<status::ExportLine> = serde_json::from_str(json)?;
            lines
                .iter()
                .map(|line| Ok(serde_json::to_string(line)? + "\n"))
                .collect::<Result<_, NoAnswer>>()?
        }
        Question::Explain(_) => status::render_explanation(&serde_json::from_str(json)?),
    })
}

/// A reader that has gone away has read enough.
fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Internal,
        _ => Exit::Done,
    }
}
