//! What a sink that is away costs in memory: the bytes of the agent's heap for each file that waits, counted by the
//! allocator, so that neither the kernel's pages nor other processes have a part in it. The agent runs within the test.
//!
//! Before the first count the caches must be full: sled's has 256 parts, each of which drops nothing before it was asked
//! for 64 pages. `MEMORY_FILES` makes the test longer: as many files after the first count.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "crash/load.rs"]
#[allow(dead_code, reason = "the crash test uses the rest")]
mod load;
#[path = "support/mod.rs"]
mod support;

use std::alloc::System;
use std::thread;
use std::time::{Duration, Instant};

use cap::Cap;
use nfs_scout::agent;
use nfs_scout::cli::{self, Order, Surroundings};
use nfs_scout::event::Reporter;
use rustix::process::{Signal, getpid, kill_process};
use support::HANG;
use support::scout::Scout;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Files before the first count, and between the two: together those of ten minutes at 200 a second.
const WARM: u64 = 60_000;
const FILES: u64 = 60_000;

/// As many as come at once.
const AT_ONCE: u64 = 2_000;

/// Bytes that a file may cost. A number kept for each makes 48, a cache that is still filling 400; and between two counts
/// caches and log differ by up to 1.2 MB, which is 20 of so many files.
const BYTES_A_FILE: u64 = 40;

/// Files of a directory: what is held of those that are being listed is to be the same at both counts.
const IN_A_DIRECTORY: u64 = 100;

/// For how long the least is looked for: looks at directories go on all the while.
const COUNTED_FOR: Duration = Duration::from_secs(2);

#[test]
fn a_sink_that_is_away_costs_next_to_no_memory_a_file() {
    let files = std::env::var("MEMORY_FILES").map_or(FILES, |text| text.parse().unwrap());
    let scout = Scout::new();
    let words = ["nfs-scout", "run", "root", "--state", "state", "--config", "/dev/null", "--interval", "1s"];
    // Nobody listens there.
    let words = words.iter().chain(&["--amqp", "amqp://127.0.0.1:1"]);
    let around = Surroundings {
        args: words.map(Into::into).collect(),
        vars: std::iter::empty().collect(),
        directory: scout.root().parent().map(Into::into),
        system_config: "/dev/null".into(),
    };
    let Ok(Order::Run { config, .. }) = cli::read(&around) else { panic!("it is an order to run") };
    let reporter = Reporter::default();
    let agent = {
        let reporter = reporter.clone();
        thread::spawn(move || agent::run(&config, &reporter).unwrap())
    };
    put(&scout, 0..WARM, &reporter);
    let warm = heap();
    put(&scout, WARM..WARM + files, &reporter);
    let end = heap();
    let each = end.saturating_sub(warm) / files;
    println!("{warm} bytes with {WARM} files waiting, {end} with {files} more: {each} a file");
    kill_process(getpid(), Signal::TERM).unwrap();
    agent.join().unwrap();
    assert!(each < BYTES_A_FILE, "{each} bytes a file");
}

/// Puts files there and waits until they were handed over.
fn put(scout: &Scout, numbers: std::ops::Range<u64>, reporter: &Reporter) {
    for number in numbers.clone() {
        scout.put(format!("{:04}/job-{number}.tgz", number / IN_A_DIRECTORY), &load::archive(number));
        if (number + 1) % AT_ONCE == 0 {
            let start = Instant::now();
            while reporter.count("files_appeared") < number + 1 {
                assert!(start.elapsed() < HANG, "of {} files: {:?}", number + 1, reporter.counts());
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    assert_eq!(reporter.count("files_appeared"), numbers.end);
}

/// Bytes allocated while nothing comes.
fn heap() -> u64 {
    let start = Instant::now();
    let mut least = usize::MAX;
    while start.elapsed() < COUNTED_FOR {
        least = least.min(HEAP.allocated());
        thread::sleep(Duration::from_millis(5));
    }
    least as u64
}
