//! The log of the program: on standard error, since standard output belongs to the events.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Stderr, Write as _};

use nfs_scout::config::{LogFormat, LogSettings};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

thread_local! {
    static IS_OVER: Cell<bool> = const { Cell::new(false) };
    static END: End = const { End };
}

/// Destroyed with a thread's locals: those that came after it are gone by then, those that came before it are not.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        IS_OVER.set(true);
    }
}

/// Keeps events from a log whose own locals of this thread are destroyed, where telling them aborts the process
/// (tracing-subscriber 0.3.23). sled 0.34.7 and mio 1.2.5 tell at `trace` what they let go of then.
struct UntilTheEnd;

impl<S: Subscriber> Layer<S> for UntilTheEnd {
    fn event_enabled(&self, _event: &Event<'_>, _context: Context<'_, S>) -> bool {
        !IS_OVER.get()
    }
}

/// Starts it, once a process.
pub(crate) fn start(settings: &LogSettings) {
    let mut filter = EnvFilter::builder().parse_lossy(&settings.filter);
    // What lapin calls an error is told by events of ours, or is none: a queue is asked for before it is declared.
    if !settings.filter.contains("lapin") && filter.max_level_hint() <= Some(LevelFilter::INFO) {
        filter = filter.add_directive("lapin=off".parse().expect("a directive"));
    }
    let is_terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer(is_terminal))
        .with_target(false)
        .with_ansi(is_terminal);
    match settings.format {
        LogFormat::Text => log.finish().with(UntilTheEnd).init(),
        LogFormat::Json => log.json().finish().with(UntilTheEnd).init(),
    }
}

/// Called for each event, when the log has made its locals of this thread.
fn writer(is_terminal: bool) -> Stderr {
    END.with(|_| ());
    let mut stderr = io::stderr();
    // On a terminal the progress of a one-shot run may stand in the line; it is drawn again soon.
    if is_terminal {
        let _ = stderr.write_all(b"\r\x1b[2K");
    }
    stderr
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    static TOLD: AtomicBool = AtomicBool::new(false);

    /// Tells something when it is destroyed.
    struct Late;

    impl Drop for Late {
        fn drop(&mut self) {
            tracing::info!("A thread's locals are destroyed");
            TOLD.store(true, Ordering::Relaxed);
        }
    }

    thread_local!(static LATE: Late = const { Late });

    #[test]
    fn a_thread_may_tell_while_it_ends() {
        start(&LogSettings { filter: "trace".to_owned(), format: LogFormat::Json, quiet: false });
        let thread = thread::spawn(|| {
            LATE.with(|_| ());
            tracing::info!("A thread works");
        });
        thread.join().unwrap();
        assert!(TOLD.load(Ordering::Relaxed));
    }
}
