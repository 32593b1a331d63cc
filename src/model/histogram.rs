//! How often a time was how long: counts in fixed classes, which can be added and subtracted.

use std::time::Duration;

/// The upper ends of the classes, in seconds; what is longer is counted in one more.
pub const BOUNDS: [f64; 14] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// A count as a number to reckon with: exact up to 2^53.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "figures to be shown")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// Counts of times by length.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Histogram {
    /// How many were in each class of [`BOUNDS`], and how many were longer than all.
    counts: [u64; BOUNDS.len() + 1],
    sum_seconds: f64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let class = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.sum_seconds += seconds;
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they were together, in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_seconds
    }

    /// How many were at most as long as each of [`BOUNDS`].
    #[must_use]
    pub fn cumulative(&self) -> Vec<u64> {
        let add = |sum: &mut u64, count: &u64| {
            *sum += count;
            Some(*sum)
        };
        self.counts.iter().take(BOUNDS.len()).scan(0, add).collect()
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts;
        for (count, then) in counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(then);
        }
        Self { counts, sum_seconds: (self.sum_seconds - earlier.sum_seconds).max(0.0) }
    }

    /// The time that this part of them did not exceed: the upper end of its class, in seconds; `None` without any, and
    /// infinite where it is longer than all classes.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let total = self.count();
        let wanted = float(total) * part;
        let mut sum = 0;
        let class = self.counts.iter().position(|count| {
            sum += count;
            float(sum) >= wanted && sum > 0
        });
        class.filter(|_| total > 0).map(|class| BOUNDS.get(class).copied().unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        for seconds in seconds {
            histogram.observe(Duration::from_secs_f64(*seconds));
        }
        histogram
    }

    #[test]
    fn counts_in_classes_that_hold_their_upper_end() {
        let histogram = of(&[0.1, 0.2, 5.0, 4000.0]);
        assert_eq!(histogram.cumulative(), [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum_seconds() - 4005.3).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_ends_of_classes() {
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[0.3, 0.3, 0.3, 7.0]).quantile(0.5), Some(0.5));
        assert_eq!(of(&[0.3, 0.3, 0.3, 7.0]).quantile(0.95), Some(10.0));
        assert_eq!(of(&[5000.0]).quantile(0.5), Some(f64::INFINITY));
    }

    #[test]
    fn tells_what_came_since() {
        let (earlier, later) = (of(&[1.0, 2.0]), of(&[1.0, 2.0, 20.0]));
        assert_eq!(later.since(&earlier).quantile(0.5), Some(30.0));
        assert_eq!(later.since(&earlier).count(), 1);
    }
}
