//! The tools of a trial: mounts and their RPC counters, looks at files as a client makes them, the server and the wire,
//! programs run with a time limit, and the agent among them.

pub(crate) mod agent;
pub(crate) mod disk;
pub(crate) mod look;
mod mount;
mod program;
pub(crate) mod server;

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use rustix::fs::{FileType, Mode, mknodat};

pub(crate) use mount::{Mount, Rpcs};
pub(crate) use program::{Ended, Program, Running};

/// Begins the lines of a trial's output that are kept as figures: `target/tmp/nfs-rig/measured`.
pub(crate) const MEASURED: &str = "measured: ";

/// Keeps a figure that was measured, whether the trial passes or fails.
pub(crate) fn measured(what: &str, rpcs: &Rpcs) {
    println!("{MEASURED}{what}: {rpcs}");
}

/// Brings the guest back to where it was after booting: no mounts, no delay, the server up with all its exports.
pub(crate) fn reset() {
    // The server first: whoever unmounts without one may wait for ever.
    server::reset();
    mount::unmount_all();
}

/// Makes the server's and the client's caches forget what they can: page cache, dentries and inodes.
pub(crate) fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Lets the server's time stamps tick on, so that the next change shows in them (10 ms on ext4 and xfs).
pub(crate) fn next_tick() {
    thread::sleep(Duration::from_millis(40));
}

/// Polls `condition` until it holds.
#[track_caller]
pub(crate) fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Creates `count` empty files `prefix000000`... in `folder`.
pub(crate) fn create_files(folder: &Path, prefix: &str, count: u32) {
    let folder = fs::File::open(folder).unwrap();
    for index in 0..count {
        // One system call a file: they are slow here.
        mknodat(&folder, format!("{prefix}{index:06}"), FileType::RegularFile, Mode::from_raw_mode(0o644), 0)
            .unwrap();
    }
}

/// Runs a system tool of the rig itself.
#[track_caller]
pub(crate) fn tool(program: &str, arguments: &[&str]) {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {}\n{said}", arguments.join(" "), output.status);
}
