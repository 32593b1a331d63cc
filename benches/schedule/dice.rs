//! Random numbers for the workloads: the same for the same seed, on every machine and in every release.

/// A stream of random numbers (splitmix64: one addition and three multiplications a number).
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of `purpose` in a run with `seed`; other purposes throw other numbers.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mixed =
            purpose.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| mix(hash ^ u64::from(byte)));
        Self(mixed)
    }

    /// A number from 0 to less than 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from `from` to less than `to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.fraction()
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The low numbers are a little likelier, by less than `end` in 2^64.
        (self.number() % end as u64) as usize
    }

    /// A waiting time of a Poisson process with `rate` events a second; for ever at rate 0.
    pub(crate) fn wait(&mut self, rate: f64) -> f64 {
        -(1.0 - self.fraction()).ln() / rate
    }

    /// Shuffles `items`, each order as likely as any other.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Shares of `count` items by Zipf's law with `exponent`, the largest first; their sum is 1.
pub(crate) fn zipf(count: usize, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}
