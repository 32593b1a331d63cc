//! The workload families in which directories come and go, files are taken away or one directory is huge.

use crate::script::{Dir, Writer};
use crate::workloads::{DAY, HOUR, Share, dealt};

/// Streams that write to `STREAM/YYYY-MM-DD/HH`, and remove a day when it has reached its age.
pub(crate) fn dates(writer: &mut Writer, share: Share) {
    // A day of a stream has 25 directories; as in a tree of 10,000 directories with 40 streams.
    let streams = (share.directories / 250).max(1);
    let kept = share.directories.div_ceil(streams * 25).max(2);
    let rate = share.rate / streams as f64;
    let days = (writer.end() / DAY).ceil() as usize + kept;
    for _ in 0..streams {
        let stream = writer.directory(Writer::ROOT);
        let mut kept_days = Vec::new();
        for day in 0..days {
            let midnight = (day as f64 - kept as f64) * DAY;
            kept_days.push(date(writer, stream, midnight, rate));
            if midnight >= 0.0 && day >= kept {
                for &dir in &kept_days[day - kept] {
                    writer.removed(midnight + 5.0 * 60.0, dir);
                }
            }
        }
    }
    writer.not_stationary();
}

/// One day of a stream: its directories, the day's own last.
fn date(writer: &mut Writer, stream: Dir, midnight: f64, rate: f64) -> Vec<Dir> {
    let mut made = Vec::new();
    let mut day = None;
    for hour in 0..24 {
        let begins = midnight + f64::from(hour) * HOUR;
        // The first file of the hour makes the directory.
        let first = begins + writer.dice.wait(rate);
        if first >= begins + HOUR {
            continue;
        }
        let day = *day.get_or_insert_with(|| writer.made(first, stream));
        let dir = writer.made(first, day);
        writer.files(first, dir, 1);
        writer.stream(dir, rate, first, begins + HOUR);
        if begins + HOUR > 0.0 {
            writer.intensity(first, dir, rate);
            writer.intensity(begins + HOUR, dir, 0.0);
        }
        made.push(dir);
    }
    made.extend(day);
    made
}

/// Directories that are made somewhere, get their files in the first ten minutes and are removed after a day.
pub(crate) fn new_directories(writer: &mut Writer, share: Share) {
    const ON: f64 = 600.0;
    let parents: Vec<Dir> = (0..20).map(|_| writer.directory(Writer::ROOT)).collect();
    let births = share.directories as f64 / DAY;
    let rate = share.rate / births / ON;
    let mut at = -DAY;
    while at < writer.end() {
        let parent = parents[writer.dice.below(parents.len())];
        let dir = writer.made(at, parent);
        writer.stream(dir, rate, at, at + ON);
        if at + ON > 0.0 {
            writer.intensity(at, dir, rate);
            writer.intensity(at + ON, dir, 0.0);
        }
        writer.removed((at + DAY).max(1.0), dir);
        at += writer.dice.wait(births);
    }
    writer.not_stationary();
}

/// Batches of 20 files within 10 s, by Zipf's law with exponent 1.2; each is taken away 3 to 10 minutes later.
pub(crate) fn drop_folders(writer: &mut Writer, share: Share) {
    const FILES: u32 = 20;
    const TAKES: f64 = 10.0;
    for (dir, part) in dealt(writer, share.directories, 1.2) {
        let rate = share.rate * part;
        let batches = rate / f64::from(FILES);
        let mut at = -writer.dice.wait(batches);
        while at < writer.end() {
            for _ in 0..FILES {
                let file = at + writer.dice.between(0.0, TAKES);
                writer.files(file, dir, 1);
            }
            let taken = at + writer.dice.between(180.0, 600.0);
            writer.gone(taken, dir);
            at = at.max(0.0) + writer.dice.wait(batches);
        }
        // The batch is one change or two, its end another.
        writer.mean(dir, rate, 2.5 * batches);
        writer.intensity(0.0, dir, rate);
    }
    writer.no_intensities();
}

/// Zipf's law, and each file is deleted 2 to 5 minutes after it came.
pub(crate) fn churn(writer: &mut Writer, share: Share) {
    for (dir, part) in dealt(writer, share.directories, 1.0) {
        let rate = share.rate * part;
        let mut at = -writer.dice.wait(rate);
        while at < writer.end() {
            writer.files(at, dir, 1);
            let deleted = at + writer.dice.between(125.0, 300.0);
            writer.gone(deleted, dir);
            at = at.max(0.0) + writer.dice.wait(rate);
        }
        writer.mean(dir, rate, 2.0 * rate);
        writer.intensity(0.0, dir, rate);
    }
}

/// A directory of a million names, 700 READDIRs, gets one file in five; the others go to small ones by Zipf's law.
pub(crate) fn flat_and_huge(writer: &mut Writer, share: Share) {
    let huge = writer.directory(Writer::ROOT);
    writer.names(huge, 1_000_000);
    writer.steady(huge, share.rate / 5.0);
    for (dir, part) in dealt(writer, share.directories, 1.0) {
        writer.steady(dir, share.rate * part * 4.0 / 5.0);
    }
}
