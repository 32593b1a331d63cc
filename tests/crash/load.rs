//! What is dropped on the tree: small job archives, each whole by rename, at a steady rate.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::scout::Scout;

/// Files in a directory before the next one is begun.
const IN_A_DIRECTORY: u64 = 300;

/// Random numbers that a seed repeats (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

/// Drops files.
pub(crate) struct Load {
    root: PathBuf,
    staged: PathBuf,
    pause: Duration,
}

/// What was dropped.
pub(crate) struct Dropped {
    pub(crate) files: u64,
    took: Duration,
}

impl Dropped {
    /// Files a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.files).unwrap()) / self.took.as_secs_f64()
    }
}

impl Load {
    pub(crate) fn new(scout: &Scout, rate: u32) -> Self {
        Self {
            root: scout.root(),
            staged: scout.beside("staged"),
            pause: Duration::from_secs(1).checked_div(rate).unwrap(),
        }
    }

    /// Drops until it is told to stop; makes up for time lost.
    pub(crate) fn run(&self, stop: &AtomicBool) -> Dropped {
        let start = Instant::now();
        let mut files = 0;
        while !stop.load(Ordering::Relaxed) {
            let folder = self.root.join(format!("{:05}", files / IN_A_DIRECTORY));
            if files % IN_A_DIRECTORY == 0 {
                fs::create_dir(&folder).unwrap();
            }
            fs::write(&self.staged, archive(files)).unwrap();
            fs::rename(&self.staged, folder.join(format!("job-{files}.tgz"))).unwrap();
            files += 1;
            let due = self.pause.saturating_mul(u32::try_from(files).unwrap());
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        Dropped { files, took: start.elapsed() }
    }
}

/// The user of job `number`.
fn user(number: u64) -> String {
    format!("u{}", number % 13)
}

/// A job archive: `jobdata` and nothing else.
pub(crate) fn archive(number: u64) -> Vec<u8> {
    let jobdata = format!("jobid={number}\nevents={}\nUSER_ID={}\nexitcode=0\n", number % 1000, user(number));
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(jobdata.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, "jobdata", jobdata.as_bytes()).unwrap();
    let mut gzip = tar.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}

/// What job `number` adds to the statistics: its user and its events.
pub(crate) fn adds(number: u64) -> (String, u64) {
    (user(number), number % 1000)
}
