//! Where a job's file goes: how directories are called, and how evenly jobs fall on them.

use std::path::PathBuf;

use super::dice::Dice;

/// How directories are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scheme {
    /// `dir-0001`; no directory at all if there is only one.
    Flat,
    /// `2026/11/22`, the newest first.
    Date,
    /// `user-0001`.
    Users,
}

/// The directories and how likely each is.
pub(crate) struct Layout {
    scheme: Scheme,
    /// For each directory, the likelihood of it and all before it; not scaled to 1.
    cumulated: Vec<f64>,
}

impl Layout {
    /// `directories` of them, of which the n-th gets a share of `1 / n^exponent`: 0 is evenly, 1 is Zipf's law.
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 directories")]
    pub(crate) fn new(scheme: Scheme, directories: usize, exponent: f64) -> Self {
        let shares = (1..=directories.max(1)).map(|rank| (rank as f64).powf(-exponent));
        let cumulated = shares.scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        });
        Self { scheme, cumulated: cumulated.collect() }
    }

    /// The directory of job number `index` of a run with `seed`, below the tree's root.
    pub(crate) fn directory_of(&self, seed: u64, index: u64) -> PathBuf {
        let whole = self.cumulated.last().copied().unwrap_or(1.0);
        let drawn = Dice::new(seed, index, "directory").fraction() * whole;
        self.name(self.cumulated.partition_point(|sum| *sum <= drawn))
    }

    fn name(&self, rank: usize) -> PathBuf {
        match self.scheme {
            Scheme::Flat if self.cumulated.len() == 1 => PathBuf::new(),
            Scheme::Flat => format!("dir-{:04}", rank + 1).into(),
            Scheme::Users => format!("user-{:04}", rank + 1).into(),
            Scheme::Date => {
                let days = jiff::Span::new().days(i64::try_from(rank.min(100_000)).unwrap_or(0));
                jiff::civil::date(2026, 11, 22).saturating_sub(days).strftime("%Y/%m/%d").to_string().into()
            }
        }
    }
}
