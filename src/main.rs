//! The command line of nfs-scout.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use nfs_scout::cli::{self, Inquiry, Order, Surroundings};
use nfs_scout::config::{Config, LogFormat, LogSettings};
use nfs_scout::exit::Exit;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    cli::read(&Surroundings::of_process()).map_or_else(|stop| stop.show(), obey).into()
}

fn obey(order: Order) -> Exit {
    match order {
        Order::Run { config, warnings } => {
            start_log(&config.log);
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            run(&config)
        }
        Order::Ask(inquiry) => answer(&inquiry),
        Order::Print(text) => print(&text),
    }
}

// ---- The seam: the agent and its store take over here. ----

/// Watches as `config` says; until the agent is here, says so.
fn run(config: &Config) -> Exit {
    tracing::error!(roots = ?config.roots, "Watching is not built yet.");
    Exit::Internal
}

/// Answers from the stored state; until the store is here, says so.
fn answer(inquiry: &Inquiry) -> Exit {
    let _ = writeln!(
        io::stderr(),
        "error: {:?} of {} is not built yet",
        inquiry.question,
        inquiry.state.display()
    );
    Exit::Internal
}

// ---- End of the seam. ----

/// Standard output belongs to the events, so the log goes to standard error.
fn start_log(settings: &LogSettings) {
    let filter = EnvFilter::builder().parse_lossy(&settings.filter);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// A reader that has gone away has read enough.
fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Internal,
        _ => Exit::Done,
    }
}
