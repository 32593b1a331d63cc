//! The workload families: how files come to directories, and how long each is watched.
//!
//! Most have 10,000 directories, 10 files a second and the budget of a fixed interval of 60 s. Families whose rhythm
//! is longer than a few hours have fewer directories, to be watched for days; budget and files shrink with them.

use crate::dice::{Dice, zipf};
use crate::script::{Dir, Frame, Script, Writer};
use crate::trees;

/// The fixed interval that the budget pays for, in seconds.
pub(crate) const INTERVAL: f64 = 60.0;
/// The hard bound: no directory goes longer unlooked-at, in seconds.
pub(crate) const PROMISE: f64 = 120.0;
/// Files a second and directory: each gets one in 1,000 s, on average.
const RATE: f64 = 1.0 / 1_000.0;
pub(crate) const HOUR: f64 = 3_600.0;
pub(crate) const DAY: f64 = 24.0 * HOUR;

/// How large a part of a workload is, and in what shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Directories, about.
    pub(crate) directories: usize,
    /// Files a second in all of them.
    pub(crate) rate: f64,
}

/// A family of workloads.
pub(crate) struct Workload {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is called in the table.
    pub(crate) title: &'static str,
    directories: usize,
    warm_up: f64,
    measured: f64,
    /// RPCs a second; `None`: what a fixed interval of 60 s over the directories of the start takes.
    budget: Option<f64>,
    promise: f64,
    rate: f64,
    fill: fn(&mut Writer, Share),
}

/// How long a policy is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// As long as a mean takes that can be trusted.
    Full,
    /// For a first idea: a quarter of the directories, two thirds of the time.
    Quick,
}

impl Workload {
    /// Writes what happens, the same for the same seed.
    pub(crate) fn script(&self, seed: u64, length: Length) -> Script {
        let (divisor, stretch) = match length {
            Length::Full => (1.0, 1.0),
            Length::Quick => (4.0, 2.0 / 3.0),
        };
        let share = Share {
            directories: (self.directories as f64 / divisor) as usize,
            rate: self.directories as f64 * self.rate / divisor,
        };
        let warm_up = self.warm_up * stretch;
        let frame =
            Frame { budget: 0.0, promise: self.promise, warm_up, end: warm_up + self.measured * stretch };
        let mut writer = Writer::new(Dice::new(seed, self.name), frame);
        (self.fill)(&mut writer, share);
        let budget = self.budget.map_or(writer.initial() as f64 / INTERVAL, |budget| budget / divisor);
        let mut script = writer.finish();
        script.frame.budget = budget;
        script
    }
}

/// A family of the common size: `hours` are the warm-up's and the measured ones.
const fn family(
    name: &'static str,
    title: &'static str,
    (directories, hours): (usize, (f64, f64)),
    fill: fn(&mut Writer, Share),
) -> Workload {
    Workload {
        name,
        title,
        directories,
        warm_up: hours.0 * HOUR,
        measured: hours.1 * HOUR,
        budget: None,
        promise: PROMISE,
        rate: RATE,
        fill,
    }
}

/// All families, in the order of the table.
pub(crate) const WORKLOADS: [Workload; 19] = [
    family("zipf-1.0", "Zipf 1.0", (10_000, (6.0, 10.0)), |writer, share| zipfian(writer, share, 1.0)),
    family("zipf-1.5", "Zipf 1.5", (10_000, (6.0, 10.0)), |writer, share| zipfian(writer, share, 1.5)),
    family("zipf-1.5-no-mtime", "Zipf 1.5, no mtime history", (10_000, (6.0, 10.0)), |writer, share| {
        zipfian(writer, share, 1.5);
        writer.forget_history();
    }),
    family("equal", "all equal", (10_000, (6.0, 10.0)), |writer, share| zipfian(writer, share, 0.0)),
    Workload {
        rate: 1.0 / (11.0 * HOUR),
        ..family("rare", "one file a directory in 11 h", (10_000, (6.0, 18.0)), |writer, share| {
            zipfian(writer, share, 0.0);
        })
    },
    family("adversary", "adversary: always the longest-silent", (10_000, (6.0, 10.0)), adversary),
    family("date-tree", "date tree, 40 streams YYYY-MM-DD/HH", (10_000, (6.0, 24.0)), trees::dates),
    family("bursts", "bursts of 1,000", (10_000, (6.0, 18.0)), bursts),
    family("campaigns", "campaigns (24 h off, 30 min on)", (2_000, (30.0, 50.0)), campaigns),
    family("day-night", "day and night", (2_500, (24.0, 48.0)), day_and_night),
    family("re-dealt", "rates re-dealt every 3 h", (10_000, (6.0, 12.0)), re_dealt),
    family("dead-wakes", "dead directory wakes", (10_000, (6.0, 12.0)), waking),
    family("new", "new directories", (10_000, (6.0, 12.0)), trees::new_directories),
    family("drop", "drop folders", (10_000, (6.0, 10.0)), trees::drop_folders),
    family("cron", "cron-like producers", (10_000, (6.0, 10.0)), cron),
    family("churn", "spool with churn (files deleted soon)", (10_000, (6.0, 10.0)), trees::churn),
    Workload {
        budget: Some(90.0),
        rate: 1.0 / 500.0,
        ..family(
            "huge",
            "one flat directory of 1 M names + 2,000 small",
            (2_000, (8.0, 24.0)),
            trees::flat_and_huge,
        )
    },
    family("mixed", "everything mixed", (10_000, (10.0, 24.0)), mixed),
    Workload {
        budget: Some(2_000.0),
        promise: 1_000.0,
        rate: 1.0 / 10_000.0,
        ..family("million", "1 M directories, B = 2,000/s", (1_000_000, (1.25, 0.75)), |writer, share| {
            zipfian(writer, share, 1.0);
        })
    },
];

/// Constant rates by Zipf's law.
fn zipfian(writer: &mut Writer, share: Share, exponent: f64) {
    for (dir, part) in dealt(writer, share.directories, exponent) {
        writer.steady(dir, share.rate * part);
    }
}

/// New directories in the root, in random order, each with its share by Zipf's law.
pub(crate) fn dealt(writer: &mut Writer, count: usize, exponent: f64) -> Vec<(Dir, f64)> {
    let mut leaves = writer.leaves(count);
    writer.dice.shuffle(&mut leaves);
    leaves.into_iter().zip(zipf(count, exponent)).collect()
}

/// Each file goes to the directory that got none for the longest time.
fn adversary(writer: &mut Writer, share: Share) {
    let mut leaves = writer.leaves(share.directories);
    writer.dice.shuffle(&mut leaves);
    let each = share.rate / share.directories as f64;
    for &dir in &leaves {
        writer.mean(dir, each, each);
    }
    writer.no_intensities();
    let mut at = -(leaves.len() as f64) / share.rate;
    let end = writer.end();
    for &dir in leaves.iter().cycle() {
        at += writer.dice.wait(share.rate);
        if at > end {
            break;
        }
        writer.files(at, dir, 1);
    }
}

/// A thousand files at once (within a second), to directories by Zipf's law.
fn bursts(writer: &mut Writer, share: Share) {
    const FILES: u32 = 1_000;
    const PIECES: u32 = 20;
    for (dir, part) in dealt(writer, share.directories, 1.0) {
        let rate = share.rate * part / f64::from(FILES);
        let mut at = -writer.dice.wait(rate);
        while at < writer.end() {
            for piece in 0..PIECES {
                writer.files(at + f64::from(piece) / f64::from(PIECES), dir, FILES / PIECES);
            }
            at = at.max(0.0) + writer.dice.wait(rate);
        }
        writer.mean(dir, share.rate * part, rate);
        writer.intensity(0.0, dir, share.rate * part);
    }
    writer.no_intensities();
}

/// Half an hour of files, then a day (18 to 30 h) of silence; each directory in its own time.
fn campaigns(writer: &mut Writer, share: Share) {
    const ON: f64 = HOUR / 2.0;
    let mean = share.rate / share.directories as f64;
    let rate = mean * (DAY + ON) / ON;
    for dir in writer.leaves(share.directories) {
        let mut at = -writer.dice.between(0.0, DAY + ON);
        while at < writer.end() {
            writer.stream(dir, rate, at, at + ON);
            writer.intensity(at, dir, rate);
            writer.intensity(at + ON, dir, 0.0);
            at += ON + DAY * writer.dice.between(0.75, 1.25);
        }
        writer.mean(dir, mean, mean);
    }
}

/// Zipf's law with exponent 1.2, and each directory has its night: files come in 12 h of 24, most at its noon.
fn day_and_night(writer: &mut Writer, share: Share) {
    const STEP: f64 = 900.0;
    for (dir, part) in dealt(writer, share.directories, 1.2) {
        let mean = share.rate * part;
        let noon = writer.dice.between(0.0, DAY);
        let mut at = -2.0 * DAY;
        while at < writer.end() {
            let height = ((at + STEP / 2.0 - noon) / DAY * std::f64::consts::TAU).cos().max(0.0);
            // The mean of the square of the half wave is a quarter.
            let rate = mean * 4.0 * height * height;
            if rate > 0.0 {
                writer.stream(dir, rate, at, at + STEP);
            }
            if at >= -STEP {
                writer.intensity(at, dir, rate);
            }
            at += STEP;
        }
        writer.mean(dir, mean, mean);
    }
}

/// Zipf's law with exponent 1.2, and every three hours other directories have the high rates.
fn re_dealt(writer: &mut Writer, share: Share) {
    const ROUND: f64 = 3.0 * HOUR;
    let mut leaves = writer.leaves(share.directories);
    let mut from = -4.0 * ROUND;
    while from < writer.end() {
        writer.dice.shuffle(&mut leaves);
        for (&dir, part) in leaves.iter().zip(zipf(share.directories, 1.2)) {
            writer.stream(dir, share.rate * part, from, from + ROUND);
            writer.intensity(from, dir, share.rate * part);
        }
        from += ROUND;
    }
    let mean = share.rate / share.directories as f64;
    for dir in leaves {
        writer.mean(dir, mean, mean);
    }
}

/// A directory that was silent for days gets 0.8 files a second for two hours; a dozen of them at any time.
fn waking(writer: &mut Writer, share: Share) {
    const ON: f64 = 2.0 * HOUR;
    const RATE_ON: f64 = 0.8;
    let mut leaves = writer.leaves(share.directories);
    writer.dice.shuffle(&mut leaves);
    let mean = share.rate / share.directories as f64;
    for &dir in &leaves {
        let silent_since = -writer.dice.between(1.0, 60.0) * DAY;
        writer.files(silent_since, dir, 1);
        writer.mean(dir, mean, mean);
        writer.intensity(-DAY, dir, 0.0);
    }
    let mut at = -ON;
    for dir in leaves {
        at += writer.dice.wait(share.rate / RATE_ON / ON);
        if at > writer.end() {
            break;
        }
        writer.stream(dir, RATE_ON, at, at + ON);
        writer.intensity(at, dir, RATE_ON);
        writer.intensity(at + ON, dir, 0.0);
    }
}

/// One directory in ten gets a file every 5, 10, 15, 30 or 60 minutes, 2 s early or late; the others none.
fn cron(writer: &mut Writer, share: Share) {
    const MINUTES: [f64; 5] = [5.0, 10.0, 15.0, 30.0, 60.0];
    let leaves = writer.leaves(share.directories);
    for (index, &dir) in leaves.iter().enumerate().filter(|(index, _)| index % 10 == 0) {
        let period = 60.0 * MINUTES[index / 10 % MINUTES.len()];
        let mut due = -writer.dice.between(0.0, period);
        while due < writer.end() {
            let jitter = writer.dice.between(-2.0, 2.0);
            writer.files(due + jitter, dir, 1);
            due += period;
        }
        writer.mean(dir, 1.0 / period, 1.0 / period);
        writer.intensity(0.0, dir, 1.0 / period);
    }
    for (_, &dir) in leaves.iter().enumerate().filter(|(index, _)| index % 10 != 0) {
        let silent_since = -writer.dice.between(10.0, 60.0) * DAY;
        writer.files(silent_since, dir, 1);
    }
    writer.no_intensities();
}

/// The families above in one tree, each with its part of the directories and an equal part of the files.
fn mixed(writer: &mut Writer, share: Share) {
    type Fill = fn(&mut Writer, Share);
    let parts: [(&str, f64, Fill); 11] = [
        ("zipf-1.0", 0.15, |writer, share| zipfian(writer, share, 1.0)),
        ("zipf-1.5", 0.15, |writer, share| zipfian(writer, share, 1.5)),
        ("equal", 0.10, |writer, share| zipfian(writer, share, 0.0)),
        ("date-tree", 0.10, trees::dates),
        ("bursts", 0.10, bursts),
        ("campaigns", 0.10, campaigns),
        ("day-night", 0.05, day_and_night),
        ("dead-wakes", 0.05, waking),
        ("new", 0.05, trees::new_directories),
        ("drop", 0.10, trees::drop_folders),
        ("cron", 0.05, cron),
    ];
    let rate = share.rate / parts.len() as f64;
    for (name, part, fill) in parts {
        writer.part(name);
        let directories = (share.directories as f64 * part) as usize;
        fill(writer, Share { directories, rate });
    }
    writer.not_stationary();
    writer.intensities_all_the_same();
}
