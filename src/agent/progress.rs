//! How far a one-shot run is, on a terminal's standard error: directories, files, RPCs a second, the time left.
//!
//! Shows what others count; nothing depends on it. Where standard error is no terminal nothing is shown.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::Stopwatch;
use crate::config::{Config, Mode};
use crate::event::Reporter;
use crate::mount::RpcCounts;

/// How often it is drawn.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// A run that is over sooner shows nothing.
const WORTH_SHOWING: Duration = Duration::from_secs(1);

/// The line of a one-shot run.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    began: Stopwatch,
}

impl Progress {
    /// Nothing is drawn yet.
    pub(super) fn new(config: &Config) -> Self {
        let is_wanted = config.mode == Mode::Once && !config.log.quiet;
        // Hides itself where there is no terminal.
        let target = if is_wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} directories, {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, began: Stopwatch::start() }
    }

    /// Whether there is anyone to see it.
    pub(super) fn is_shown(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Draws how many of the directories `known` so far were looked at.
    pub(super) fn show(&self, known: u64, reporter: &Reporter, rpcs: impl FnOnce() -> Option<RpcCounts>) {
        let elapsed = self.began.elapsed();
        if elapsed < WORTH_SHOWING {
            return;
        }
        let counters = ["files_appeared", "files_replaced", "files_broken", "files_moved", "files_baselined"];
        let files = counters.into_iter().map(|counter| reporter.count(counter)).sum();
        let looked = reporter.looks();
        self.bar.set_length(known.max(looked));
        self.bar.set_position(looked);
        self.bar.set_message(message(files, rpcs().map(|rpcs| rpcs.total()), elapsed));
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Files, and RPCs a second where there is a count of them.
fn message(files: u64, rpcs: Option<u64>, elapsed: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |rpcs: u64| format!(", {:.0} RPC/s", rpcs as f64 / elapsed.as_secs_f64());
    format!("{files} files{}", rpcs.map(rate).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_files_and_the_rate_of_rpcs() {
        let elapsed = Duration::from_secs(4);
        assert_eq!(message(7, None, elapsed), "7 files");
        assert_eq!(message(0, Some(4800), elapsed), "0 files, 1200 RPC/s");
    }
}
