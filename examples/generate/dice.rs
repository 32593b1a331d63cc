//! Random numbers that are the same for the same seed, on every machine and in every release.
//!
//! Each job throws dice of its own, so that job 5 is the same job whatever was asked of the others.

/// A stream of random numbers.
pub(crate) struct Dice(blake3::OutputReader);

impl Dice {
    /// The dice of item `index` of a run with `seed`; `purpose` keeps different decisions about one item apart.
    pub(crate) fn new(seed: u64, index: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(&index.to_le_bytes()).update(purpose.as_bytes());
        Self(hasher.finalize_xof())
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The low numbers are a little likelier, by less than `end` in 2^64.
        self.number() % end
    }

    /// A number from 0 to less than 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that happens `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which are not empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices.get(at).expect("the number is below the length")
    }

    /// Bytes that no compressor makes smaller.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
