//! How many files a second a directory gets, seen at four time scales.
//!
//! For each scale an exponentially weighted count of its arrivals. None of them alone is the rate: a steady directory is
//! told best by the longest, a burst by the shortest, and `weights.rs` learns how far each is to be trusted.

/// How many time scales there are.
pub(super) const SCALES: usize = 4;

/// The memory of the longest scale, in seconds; each shorter one has a sixteenth of the one before.
const LONGEST: f64 = 65_536.0;

/// The ratio of a scale to the next is two to this.
const RATIO_LOG2: u32 = 4;

/// The least age, in seconds, for which a count is taken as a rate: younger directories would seem infinitely busy.
const LEAST_AGE: f64 = 1.0;

/// Below this, a few terms of the exponential's series are enough.
const SMALL: f64 = 1.0 / 64.0;

/// How many files the mean rate of all directories is worth, beside those seen: few, since directories differ by far.
const DOUBT: f64 = 0.05;

/// One figure for each time scale, shortest first.
pub(super) type PerScale = [f64; SCALES];

/// The memory of each time scale, in seconds: 16 s, 4 min, 68 min, 18 h.
pub(super) const MEMORY: PerScale = [LONGEST / 4096.0, LONGEST / 256.0, LONGEST / 16.0, LONGEST];

/// `exp(-ratio)`. From one look to the next little fades: then a series is right to 13 digits and far cheaper.
pub(super) fn fade(ratio: f64) -> f64 {
    if ratio.abs() < SMALL {
        let series = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
        1.0 - ratio * series.into_iter().reduce(|sum, factor| factor - ratio * sum).unwrap_or(1.0)
    } else {
        (-ratio).exp()
    }
}

/// What is left of each count after `seconds`.
pub(super) fn decay(seconds: f64) -> PerScale {
    // One exponential; the shorter scales are its powers.
    let mut left = [fade(seconds / LONGEST); SCALES];
    let mut power = left.last().copied().unwrap_or(1.0);
    for value in left.iter_mut().rev().skip(1) {
        for _ in 0..RATIO_LOG2 {
            power *= power;
        }
        *value = power;
    }
    left
}

/// A directory's arrivals as far as remembered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rate {
    pub(super) counts: [f32; SCALES],
    /// Seconds for which the directory has been watched, or is known from its stamps.
    pub(super) age: f32,
}

impl Rate {
    /// Arrivals a second as each scale has them, in the mean right if the rate is constant.
    pub(super) fn per_second(&self) -> PerScale {
        let age = f64::from(self.age).max(LEAST_AGE);
        let unseen = if age < LONGEST * 8.0 { decay(age) } else { [0.0; SCALES] };
        let mut rates = [0.0; SCALES];
        for (((rate, count), memory), unseen) in rates.iter_mut().zip(self.counts).zip(MEMORY).zip(unseen) {
            *rate = f64::from(count) / (memory * (1.0 - unseen));
        }
        rates
    }

    /// Arrivals a second as the longest scale has them, drawn towards `usual` (a second) as far as little is known: a
    /// directory that got its first file a second ago is not one that gets a file each second.
    ///
    /// The mean of the posterior, if rates are spread by a gamma distribution of shape [`DOUBT`] and mean `usual`.
    pub(super) fn cautious(&self, usual: f64) -> f64 {
        let seconds = LONGEST * -(-f64::from(self.age) / LONGEST).exp_m1();
        (f64::from(self.longest()) + DOUBT) / (seconds + DOUBT / usual)
    }

    /// What the longest scale counts.
    pub(super) fn longest(&self) -> f32 {
        let [.., longest] = self.counts;
        longest
    }

    /// Forgets for `seconds`; `left` is [`decay`] of it.
    pub(super) fn pass(&mut self, seconds: f64, left: &PerScale) {
        for (count, left) in self.counts.iter_mut().zip(left) {
            *count = narrow(f64::from(*count) * left);
        }
        self.age += narrow(seconds);
    }

    /// Adds `arrivals`, each counting as much as [`decay`] says of their age.
    pub(super) fn add(&mut self, arrivals: f64, left: &PerScale) {
        for (count, left) in self.counts.iter_mut().zip(left) {
            *count += narrow(arrivals * left);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "six digits are more than is known")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_is_exponential_at_every_scale() {
        for seconds in [0.0, 0.01, 3.0, 100.0, 50_000.0] {
            for (left, memory) in decay(seconds).into_iter().zip(MEMORY) {
                assert!((left - (-seconds / memory).exp()).abs() < 1e-9, "{seconds} s of {memory} s: {left}");
            }
        }
    }

    #[test]
    fn fade_is_the_exponential() {
        for ratio in [0.0, 1e-9, 1e-3, SMALL * 0.999, SMALL, 1.0] {
            assert!((fade(ratio) / (-ratio).exp() - 1.0).abs() < 1e-13, "{ratio}: {}", fade(ratio));
        }
    }

    #[test]
    fn a_constant_rate_is_seen_at_every_scale_and_age() {
        let mut rate = Rate::default();
        for step in 1..20_000 {
            // One file each two seconds, found a second after it came.
            rate.pass(2.0, &decay(2.0));
            rate.add(1.0, &decay(1.0));
            if [100, 1000, 19_999].contains(&step) {
                for seen in rate.per_second() {
                    assert!((seen - 0.5).abs() < 0.01, "after {step} files: {seen}");
                }
            }
        }
    }

    #[test]
    fn silence_is_seen_by_the_short_scales_first() {
        let mut rate = Rate { counts: [8.0, 128.0, 2048.0, 32768.0], age: 1e6 };
        rate.pass(100.0, &decay(100.0));
        let [shortest, short, long, longest] = rate.per_second();
        assert!(shortest < 0.01 && (0.3..0.4).contains(&short) && long > 0.48 && longest > 0.499);
    }

    #[track_caller]
    fn check_cautious(arrivals: f32, age: f32, files_a_day: std::ops::Range<f64>) {
        let rate = Rate { counts: [arrivals; SCALES], age }.cautious(1.0 / 86_400.0) * 86_400.0;
        assert!(files_a_day.contains(&rate), "{arrivals} files in {age} s: {rate} a day");
    }

    #[test]
    fn a_few_files_are_no_rate_and_many_are() {
        check_cautious(0.0, 0.0, 0.99..1.01);
        check_cautious(1.0, 1.0, 10.0..30.0);
        check_cautious(1.0, 60.0, 10.0..30.0);
        check_cautious(0.0, 3600.0, 0.0..1.0);
        check_cautious(1000.0, 600.0, 15_000.0..150_000.0);
        // A thousand files in an hour and a half of an 18 h memory that has hardly begun to fade.
        check_cautious(960.0, 5400.0, 8_000.0..17_000.0);
    }
}
