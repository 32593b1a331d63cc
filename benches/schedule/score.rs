//! What is measured of a policy: when files were found, what was spent, how long a directory went unlooked-at.

use crate::script::Frame;

/// Measures while the simulation runs.
pub(crate) struct Tally {
    frame: Frame,
    /// Latency in seconds, and files that had it.
    found: Vec<(f32, u32)>,
    rpcs: u64,
    looks: u64,
    gap: f64,
    empty_promises: u64,
    parts: Vec<Part>,
}

/// What one family of a mix got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part {
    /// Files counted.
    pub(crate) files: u64,
    /// Their latencies together, in seconds.
    pub(crate) waited: f64,
    /// RPCs spent on it in the measured time.
    pub(crate) rpcs: u64,
}

/// What came out.
#[derive(Debug, Clone)]
pub(crate) struct Score {
    /// Files counted.
    pub(crate) files: u64,
    /// Latency in seconds, over files.
    pub(crate) mean: f64,
    /// Half of the files were found within this, in seconds.
    pub(crate) p50: f64,
    /// 99 of 100 files were found within this, in seconds.
    pub(crate) p99: f64,
    /// The last file was found within this, in seconds.
    pub(crate) max: f64,
    /// RPCs a second, over the measured time.
    pub(crate) rate: f64,
    /// Looks over all the time.
    pub(crate) looks: u64,
    /// The longest time that a directory went unlooked-at, in seconds.
    pub(crate) gap: f64,
    /// Counted files that were never found.
    pub(crate) unseen: u64,
    /// How often the policy said that something was due and then gave nothing.
    pub(crate) empty_promises: u64,
    /// By family of a mix.
    pub(crate) parts: Vec<Part>,
}

impl Tally {
    /// Nothing measured yet.
    pub(crate) fn new(frame: &Frame, parts: usize) -> Self {
        Self {
            frame: *frame,
            found: Vec::new(),
            rpcs: 0,
            looks: 0,
            gap: 0.0,
            empty_promises: 0,
            parts: vec![Part::default(); parts.max(1)],
        }
    }

    /// Files of a part that came at `at` were found at `now`.
    pub(crate) fn found(&mut self, part: usize, at: f64, now: f64, files: u32) {
        if (self.frame.warm_up..self.frame.end).contains(&at) {
            self.parts[part].files += u64::from(files);
            self.parts[part].waited += (now - at) * f64::from(files);
            self.found.push(((now - at) as f32, files));
        }
    }

    /// RPCs were spent on a part at `now`.
    pub(crate) fn paid(&mut self, part: usize, now: f64, rpcs: u32) {
        self.looks += 1;
        if (self.frame.warm_up..self.frame.end).contains(&now) {
            self.rpcs += u64::from(rpcs);
            self.parts[part].rpcs += u64::from(rpcs);
        }
    }

    /// A directory went unlooked-at for so long, in seconds.
    pub(crate) fn gap(&mut self, seconds: f64) {
        self.gap = self.gap.max(seconds);
    }

    /// The policy said that something was due and then gave nothing.
    pub(crate) fn empty_promise(&mut self) {
        self.empty_promises += 1;
    }

    /// The result; `unseen` counted files were never found.
    pub(crate) fn finish(mut self, unseen: u64) -> Score {
        self.found.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let files: u64 = self.found.iter().map(|found| u64::from(found.1)).sum();
        let sum: f64 = self.found.iter().map(|found| f64::from(found.0) * f64::from(found.1)).sum();
        Score {
            files,
            mean: sum / files as f64,
            p50: self.quantile(0.5 * files as f64),
            p99: self.quantile(0.99 * files as f64),
            max: self.found.last().map_or(f64::NAN, |found| f64::from(found.0)),
            rate: self.rpcs as f64 / (self.frame.end - self.frame.warm_up),
            looks: self.looks,
            gap: self.gap,
            unseen,
            empty_promises: self.empty_promises,
            parts: self.parts,
        }
    }

    /// The latency that `count` of the files, sorted, do not exceed.
    fn quantile(&self, count: f64) -> f64 {
        let mut below = 0;
        for &(latency, files) in &self.found {
            below += u64::from(files);
            if below as f64 >= count {
                return f64::from(latency);
            }
        }
        f64::NAN
    }
}
