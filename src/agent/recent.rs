//! The figures of the last hour, taken every few seconds: what rates and charts are made of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::watched::Watched;
use crate::clock::{Clock, Now};
use crate::event::Reporter;
use crate::model::{Histogram, Timestamp, float};
use crate::mount::RpcCounts;
use crate::status::Point;

/// How often the figures are taken.
const EVERY: Duration = Duration::from_secs(5);

/// How many are kept: an hour's.
const KEPT: usize = 720;

/// What rates are told over.
const RATE_OVER: Duration = Duration::from_secs(60);

/// The shortest time that a rate is told over.
const LEAST: Duration = Duration::from_millis(500);

/// What stands for a time longer than all that are counted apart: JSON has no infinity.
const LONGEST_S: f64 = 7200.0;

/// What had happened at some time since the agent's start.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) at: Now,
    pub(super) looks: u64,
    pub(super) rpcs: Option<RpcCounts>,
    budget: Option<f64>,
    latency: Histogram,
}

/// The figures of the last hour. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    ring: Arc<Mutex<VecDeque<Figures>>>,
}

impl Figures {
    /// As they are now.
    pub(super) fn take(at: Now, reporter: &Reporter, watched: &Watched) -> Self {
        Self {
            at,
            looks: reporter.looks(),
            rpcs: watched.rpcs(),
            budget: watched.budget(),
            latency: reporter.latency(),
        }
    }

    /// Seconds since `earlier`, if they are enough to tell a rate.
    pub(super) fn seconds_since(&self, earlier: &Self) -> Option<f64> {
        let time = self.at.steady.since(earlier.at.steady);
        (time >= LEAST).then_some(time.as_secs_f64())
    }

    /// RPCs since `earlier`, by operation; `None` without an NFS mount.
    pub(super) fn rpcs_since(&self, earlier: &Self) -> Option<RpcCounts> {
        let now = self.rpcs.as_ref()?;
        Some(earlier.rpcs.as_ref().map_or_else(|| now.clone(), |earlier| now.since(earlier)))
    }

    fn point(&self, earlier: &Self) -> Option<Point> {
        let seconds = self.seconds_since(earlier)?;
        let rate = |count: u64| float(count) / seconds;
        let latency = self.latency.since(&earlier.latency);
        Some(Point {
            at: self.at.wall.as_seconds(),
            looks: rate(self.looks.saturating_sub(earlier.looks)),
            rpcs: self.rpcs_since(earlier).map(|rpcs| rate(rpcs.total())),
            budget: self.budget,
            files: latency.count(),
            half_s: latency.quantile(0.5).map(|it| it.min(LONGEST_S)),
            most_s: latency.quantile(0.95).map(|it| it.min(LONGEST_S)),
        })
    }
}

impl Recent {
    /// Takes the figures for ever.
    pub(super) async fn keep(self, clock: Clock, reporter: Reporter, watched: Watched) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            self.push(Figures::take(clock.now(), &reporter, &watched));
        }
    }

    fn push(&self, figures: Figures) {
        let mut ring = self.ring();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(figures);
    }

    /// The figures of a minute before `now`, or the oldest there are.
    pub(super) fn minute_before(&self, now: Now) -> Option<Figures> {
        let from = now.steady.minus(RATE_OVER);
        let ring = self.ring();
        ring.iter().find(|figures| figures.at.steady >= from).cloned()
    }

    /// What happened between each two of them, from the first after `after` on; and where to go on the next time.
    pub(super) fn points(&self, after: Timestamp) -> (Vec<Point>, Timestamp) {
        let ring = self.ring();
        let pairs = ring.iter().zip(ring.iter().skip(1));
        let new = pairs.filter(|(_, later)| later.at.steady > after);
        let points = new.filter_map(|(earlier, later)| later.point(earlier)).collect();
        (points, ring.back().map_or(after, |figures| figures.at.steady))
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Figures>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(second: i64, looks: u64, found_after: &[u64]) -> Figures {
        let at = Timestamp { seconds: second, nanoseconds: 0 };
        let mut latency = Histogram::default();
        for seconds in found_after {
            latency.observe(Duration::from_secs(*seconds));
        }
        Figures { at: Now { steady: at, wall: at }, looks, rpcs: None, budget: Some(2.0), latency }
    }

    #[test]
    fn points_are_what_happened_in_between_and_each_is_told_once() {
        let recent = Recent::default();
        recent.push(figures(0, 0, &[]));
        recent.push(figures(5, 10, &[7]));
        let (points, upto) = recent.points(Timestamp::default());
        let point = Point {
            at: 5.0,
            looks: 2.0,
            rpcs: None,
            budget: Some(2.0),
            files: 1,
            half_s: Some(10.0),
            most_s: Some(10.0),
        };
        assert_eq!(points, [point]);
        assert_eq!(recent.points(upto), (Vec::new(), upto));
        recent.push(figures(10, 10, &[7]));
        let (points, _) = recent.points(upto);
        assert_eq!(points, [Point { at: 10.0, looks: 0.0, files: 0, half_s: None, most_s: None, ..point }]);
    }

    #[test]
    fn keeps_an_hour_and_tells_rates_over_a_minute() {
        let recent = Recent::default();
        for second in 0..2_000 {
            recent.push(figures(second * 5, 0, &[]));
        }
        assert_eq!(recent.points(Timestamp::default()).0.len(), KEPT - 1);
        let now = figures(10_000, 0, &[]).at;
        assert_eq!(recent.minute_before(now).map(|it| it.at.steady.seconds), Some(9_940));
    }
}
