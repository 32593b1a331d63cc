//! The Rust crate notify's `PollWatcher` as a program: each path that it reports as created, one a line.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::{io, sync::mpsc};

use notify::{Config, EventKind, PollWatcher, RecursiveMode, Watcher};

/// Reports until it is killed.
///
/// Its default compares no contents, which is what is cheapest (notify's documentation of `Config`).
pub(crate) fn report(root: &Path, interval: Duration) {
    let (events, received) = mpsc::channel();
    let config = Config::default().with_poll_interval(interval).with_follow_symlinks(false);
    let mut watcher = PollWatcher::new(events, config).unwrap();
    watcher.watch(root, RecursiveMode::Recursive).unwrap();
    for event in received.into_iter().flatten() {
        if matches!(event.kind, EventKind::Create(_)) {
            for path in event.paths {
                let mut output = io::stdout().lock();
                writeln!(output, "{}", path.display()).unwrap();
            }
        }
    }
    thread::sleep(Duration::MAX);
}
