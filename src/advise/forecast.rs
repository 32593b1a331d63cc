//! What an interval and a budget will cost and give, computed from the rates at which files arrive.
//!
//! The cost model is the schedule's own: a look is one RPC, files arrive in each directory at a rate of its own, and
//! periods in inverse proportion to the square root of that rate give the least mean latency for a mean rate of looks
//! (Sia, Cho & Cho 2007), none longer than the interval. What the agent spends on reading files comes on top.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Rates are rounded to this many steps a factor of ten: a million directories become a few hundred groups.
const STEPS_A_DECADE: f64 = 40.0;

/// Below this many files a second, one in thirty years, a directory counts as silent.
const SILENT: f64 = 1e-9;

/// The part of the interval after which a directory is looked at in any case: the rest is margin.
const LATEST: f64 = 0.95;

/// The most a directory is looked at, a second.
const MOST_LOOKS: f64 = 20.0;

/// Directories that behave alike.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Group {
    /// Files a second in each.
    rate: f64,
    /// How many there are.
    count: f64,
}

/// How a tree behaves: at which rates files arrive in its directories.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traffic {
    groups: Vec<Group>,
    directories: f64,
    files_per_second: f64,
}

/// What a run with an interval and a budget will cost and give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// The bound that is kept: the interval, or more if the budget is too small for it.
    pub bound: Duration,
    /// RPCs a second spent on looking.
    pub looks_per_second: f64,
    /// Mean time from a file's arrival until its directory is listed.
    pub mean: Duration,
    /// What 99 of 100 files do not exceed.
    pub p99: Duration,
}

impl Traffic {
    /// From each directory's rate, in files a second.
    #[must_use]
    pub fn new(rates: impl Iterator<Item = f64>) -> Self {
        let mut counts = std::collections::BTreeMap::<i64, f64>::new();
        for rate in rates {
            #[expect(clippy::cast_possible_truncation, reason = "logarithms are small")]
            let step = (rate.max(SILENT).log10() * STEPS_A_DECADE).round() as i64;
            *counts.entry(step).or_default() += 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "logarithms are small")]
        let rate_of = |step: i64| 10_f64.powf(step as f64 / STEPS_A_DECADE);
        let groups: Vec<_> =
            counts.into_iter().map(|(step, count)| Group { rate: rate_of(step), count }).collect();
        Self {
            directories: groups.iter().map(|group| group.count).sum(),
            files_per_second: groups.iter().map(|group| group.rate * group.count).sum(),
            groups,
        }
    }

    /// How many directories there are.
    #[must_use]
    pub fn directories(&self) -> f64 {
        self.directories
    }

    /// Files that arrive a second, in all directories together.
    #[must_use]
    pub fn files_per_second(&self) -> f64 {
        self.files_per_second
    }

    /// The budget that `--budget auto` stands for: twice the looks that the interval needs, a second.
    #[must_use]
    pub fn auto_budget(&self, interval: Duration) -> f64 {
        2.0 * self.directories / interval.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// What an interval and a budget (looks a second) will cost and give.
    #[must_use]
    pub fn forecast(&self, interval: Duration, budget: f64) -> Forecast {
        let floor = self.directories / budget.max(f64::MIN_POSITIVE);
        let longest = (interval.as_secs_f64() * LATEST).max(floor);
        let scale = self.scale(longest, budget);
        let periods: Vec<(f64, f64)> = self
            .groups
            .iter()
            .map(|group| (group.rate * group.count, period(group.rate, scale, longest)))
            .collect();
        let files = self.files_per_second.max(f64::MIN_POSITIVE);
        let mean = periods.iter().map(|(files, period)| files * period / 2.0).sum::<f64>() / files;
        let looks = self.groups.iter().map(|group| group.count / period(group.rate, scale, longest)).sum();
        Forecast {
            bound: seconds(longest.max(interval.as_secs_f64())),
            looks_per_second: looks,
            mean: seconds(mean),
            p99: seconds(quantile(&periods, 0.99)),
        }
    }

    /// The factor of 1 / sqrt(rate) at which the looks cost what the budget gives.
    fn scale(&self, longest: f64, budget: f64) -> f64 {
        let cost = |scale: f64| -> f64 {
            self.groups.iter().map(|group| group.count / period(group.rate, scale, longest)).sum()
        };
        // The cost falls as the scale rises; both ends lie beyond every sensible rate.
        let (mut low, mut high) = (1e-12_f64.ln(), 1e12_f64.ln());
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            if cost(middle.exp()) > budget { low = middle } else { high = middle }
        }
        high.exp()
    }
}

fn period(rate: f64, scale: f64, longest: f64) -> f64 {
    (scale / rate.sqrt()).clamp((1.0 / MOST_LOOKS).min(longest), longest)
}

/// The latency that a part of the files does not exceed: in a directory it is anything up to the period.
fn quantile(periods: &[(f64, f64)], part: f64) -> f64 {
    let files: f64 = periods.iter().map(|(files, _)| files).sum();
    let within = |latency: f64| -> f64 {
        periods.iter().map(|(files, period)| files * (latency / period).min(1.0)).sum()
    };
    let (mut low, mut high) = (0.0, periods.iter().map(|(_, period)| *period).fold(0.0, f64::max));
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if within(middle) < part * files { low = middle } else { high = middle }
    }
    high
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn equal_rates_are_looked_at_in_turn() {
        let traffic = Traffic::new((0..600).map(|_| 0.001));
        let forecast = traffic.forecast(MINUTE, traffic.auto_budget(MINUTE));
        assert!((forecast.looks_per_second - 20.0).abs() < 0.01);
        // Every 30 s: 15 s in the mean, and 99 of 100 within 29.7 s.
        assert!((forecast.mean.as_secs_f64() - 15.0).abs() < 0.01, "{forecast:?}");
        assert!((forecast.p99.as_secs_f64() - 29.7).abs() < 0.01, "{forecast:?}");
        assert_eq!(forecast.bound, MINUTE);
    }

    #[test]
    fn unequal_rates_follow_the_square_root() {
        // Two directories, one with 100 times the files: the least mean is (sqrt 1 + sqrt 100)^2 / (2 B 101).
        let traffic = Traffic::new([0.1, 0.001].into_iter());
        let forecast = traffic.forecast(Duration::from_secs(100_000), 0.1);
        let least = 121.0 / (2.0 * 0.1 * 101.0);
        assert!((forecast.mean.as_secs_f64() / least - 1.0).abs() < 0.01, "{forecast:?} {least}");
    }

    #[test]
    fn a_budget_below_the_floor_stretches_the_bound() {
        let traffic = Traffic::new((0..600).map(|_| 0.001));
        let forecast = traffic.forecast(MINUTE, 5.0);
        assert_eq!(forecast.bound, Duration::from_secs(120));
        assert!((forecast.mean.as_secs_f64() - 60.0).abs() < 0.01);
    }

    #[test]
    fn silence_is_looked_at_once_an_interval() {
        let forecast = Traffic::new((0..100).map(|_| 0.0)).forecast(MINUTE, 1e9);
        assert!(forecast.looks_per_second <= 100.0 * MOST_LOOKS * 1.01);
        let nothing = Traffic::new(std::iter::empty()).forecast(MINUTE, 1.0);
        assert_eq!((nothing.mean, nothing.looks_per_second), (Duration::ZERO, 0.0));
    }

    proptest! {
        #[test]
        fn the_budget_is_spent_and_the_bound_kept(
            rates in proptest::collection::vec(1e-8..1.0_f64, 1..200),
            interval in 10.0..3600.0_f64,
            times in 1.1..4.0_f64,
        ) {
            let traffic = Traffic::new(rates.iter().copied());
            let budget = times * traffic.directories() / interval;
            let forecast = traffic.forecast(seconds(interval), budget);
            prop_assert!((forecast.looks_per_second / budget - 1.0).abs() < 0.01, "{forecast:?} {budget}");
            prop_assert!(forecast.p99 <= forecast.bound && forecast.mean <= forecast.p99);
        }
    }
}
