//! How a sink is doing, as the status page and the one-shot mode see it.
//!
//! One `watch` channel a sink: readers see the latest state and never slow the sink down.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::dispatch::{SinkError, SinkName, clock};
use crate::event::{Event, Reporter};
use crate::model::{Seq, Timestamp};

/// Whether a sink takes messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkState {
    /// Not yet reached since the start.
    Connecting,
    /// Takes messages.
    Up,
    /// Connected, but takes nothing for now: a memory or disk alarm, a reader that does not read.
    Blocked {
        /// Since when, by our wall clock.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// Away or refusing; it is tried again for ever.
    Down {
        /// Since when, by our wall clock.
        since: Timestamp,
        /// The latest reason, with the remedy where a person has to act.
        reason: String,
        /// Failures in a row.
        attempt: u32,
        /// Whether waiting may help without anybody doing anything.
        transient: bool,
    },
    /// Gone for good: the reader of standard output went away.
    Ended {
        /// Why.
        reason: String,
    },
}

/// A sink's state and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkReport {
    /// Which sink.
    pub sink: SinkName,
    /// Its state.
    pub state: SinkState,
    /// The last seq that it has for certain.
    pub confirmed: Seq,
    /// The last durable seq that its task has seen.
    pub head: Seq,
    /// Handovers delivered since the start, repeats included.
    pub delivered: u64,
    /// Messages refused for good since the start.
    pub refused: u64,
}

impl SinkReport {
    /// How many numbers the sink is behind; an upper bound of the handovers that wait for it.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.head.saturating_sub(self.confirmed)
    }
}

/// Where a sink's task publishes its report.
pub(crate) struct Pulse {
    report: watch::Sender<SinkReport>,
    reporter: Reporter,
}

impl Pulse {
    pub(crate) fn new(sink: SinkName, reporter: Reporter) -> (Self, watch::Receiver<SinkReport>) {
        let start = SinkReport {
            sink,
            state: SinkState::Connecting,
            confirmed: 0,
            head: 0,
            delivered: 0,
            refused: 0,
        };
        let (report, reader) = watch::channel(start);
        (Self { report, reporter }, reader)
    }

    pub(crate) fn up(&self) {
        self.report.send_if_modified(|report| {
            let changed = report.state != SinkState::Up;
            report.state = SinkState::Up;
            changed
        });
    }

    /// Says once that the sink is connected but takes nothing.
    pub(crate) fn blocked(&self, reason: &str) {
        let entered = self.report.send_if_modified(|report| {
            let enters = !matches!(report.state, SinkState::Blocked { .. });
            if enters {
                report.state = SinkState::Blocked { since: clock::now(), reason: reason.to_owned() };
            }
            enters
        });
        if entered {
            let sink = self.report.borrow().sink.as_str();
            self.reporter.emit(&Event::SinkBlocked { sink, reason: reason.to_owned() });
        }
    }

    pub(crate) fn down(&self, error: &SinkError, attempt: u32) {
        self.report.send_modify(|report| {
            let since = match &report.state {
                SinkState::Down { since, .. } => *since,
                _ => clock::now(),
            };
            let (reason, transient) = (error.to_string(), error.is_transient());
            report.state = SinkState::Down { since, reason, attempt, transient };
        });
    }

    pub(crate) fn ended(&self, reason: &str) {
        self.report.send_modify(|report| report.state = SinkState::Ended { reason: reason.to_owned() });
    }

    pub(crate) fn position(&self, confirmed: Seq, head: Seq) {
        self.report.send_if_modified(|report| {
            let changed = (report.confirmed, report.head) != (confirmed, head);
            (report.confirmed, report.head) = (confirmed, head);
            changed
        });
    }

    pub(crate) fn delivered(&self, count: usize, refused: usize) {
        self.report.send_modify(|report| {
            report.delivered += count as u64;
            report.refused += refused as u64;
        });
    }
}

/// Work that a sink has not taken in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which sink.
    pub sink: SinkName,
    /// How many numbers it is behind.
    pub behind: u64,
    /// Its state when the patience ended.
    pub state: SinkState,
}

/// Waits until the sink behind `reader` has everything up to `upto`; gives up after `patience` without progress.
pub(crate) async fn drained(
    mut reader: watch::Receiver<SinkReport>,
    upto: Seq,
    patience: Duration,
) -> Option<Left> {
    loop {
        let before = reader.borrow_and_update().clone();
        if before.confirmed >= upto {
            return None;
        }
        let moved = reader.wait_for(|report| report.confirmed != before.confirmed);
        if !matches!(timeout(patience, moved).await, Ok(Ok(_))) {
            let report = reader.borrow().clone();
            let behind = upto.saturating_sub(report.confirmed);
            return (behind > 0).then_some(Left { sink: report.sink, behind, state: report.state });
        }
    }
}

/// How often a wait looks whether the sink is blocked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Awaits `answer` for up to `limit`, and for as long as it takes while `blocked` gives a reason.
pub(crate) async fn patiently<T>(
    answer: impl Future<Output = T>,
    limit: Duration,
    pulse: &Pulse,
    blocked: impl Fn() -> Option<String>,
) -> Option<T> {
    tokio::pin!(answer);
    let mut waited = Duration::ZERO;
    while waited < limit {
        if let Ok(value) = timeout(LOOK_EVERY, &mut answer).await {
            return Some(value);
        }
        match blocked() {
            Some(reason) => {
                pulse.blocked(&reason);
                waited = Duration::ZERO;
            }
            None => waited += LOOK_EVERY,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> (Pulse, watch::Receiver<SinkReport>) {
        Pulse::new(SinkName::Redis, Reporter::default())
    }

    #[tokio::test]
    async fn drains_with_patience_for_progress_only() {
        let (pulse, reader) = pulse();
        let wait = tokio::spawn(drained(reader.clone(), 2, Duration::from_secs(60)));
        pulse.position(1, 2);
        tokio::task::yield_now().await;
        pulse.position(2, 2);
        assert_eq!(wait.await.unwrap(), None);
        let left = drained(reader, 5, Duration::from_millis(1)).await;
        assert_eq!(left.map(|left| (left.sink, left.behind)), Some((SinkName::Redis, 3)));
    }

    #[tokio::test]
    async fn waits_longer_only_while_blocked() {
        let (pulse, reader) = pulse();
        let limit = LOOK_EVERY * 2;
        let late = || tokio::time::sleep(LOOK_EVERY * 3);
        assert_eq!(patiently(std::future::ready(1), limit, &pulse, || None).await, Some(1));
        assert_eq!(patiently(std::future::pending::<()>(), limit, &pulse, || None).await, None);
        assert_eq!(patiently(late(), limit, &pulse, || Some("alarm".to_owned())).await, Some(()));
        assert!(matches!(reader.borrow().state, SinkState::Blocked { .. }));
    }
}
