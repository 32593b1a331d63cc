//! The agent on a mount: started, fed with archives, and waited for by the RPCs that its mount sends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Mount, Program, Rpcs, Running, next_tick};
use crate::trial::PATIENCE;
use crate::wish;

/// What takes a few seconds in the guest may take this long on a slow machine.
const LIMIT: Duration = Duration::from_secs(90);
/// Longer than a young stamp waits for its confirming listing (2.1 s).
const CONFIRMED: Duration = Duration::from_secs(3);

/// The same, as long as was asked for.
pub(crate) fn limit() -> Duration {
    LIMIT * wish(PATIENCE, 1)
}

/// A state directory that is not there yet.
pub(crate) fn new_state() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/tmp/state-{}-{number}", std::process::id()))
}

fn program(mount: &Mount, state: &Path, arguments: &[&str]) -> Program {
    let program = Program::agent().args(["run", "--config", "/dev/null", "--events", "-", "--state"]);
    program.args([state, mount.client_path()]).args(arguments)
}

/// Starts an agent that writes its events to standard output.
pub(crate) fn start(mount: &Mount, state: &Path, arguments: &[&str]) -> Running {
    program(mount, state, arguments).start()
}

/// The same with an index that knows these directories already; returns when it has looked at each of them, and once
/// more at those whose stamps were young.
#[track_caller]
pub(crate) fn start_known(mount: &Mount, state: &Path, directories: u32, arguments: &[&str]) -> Running {
    let before = asked(mount);
    let mut agent = start(mount, state, arguments);
    wait_for_looks(mount, &before, directories);
    wait_for_confirmed(mount);
    assert!(agent.is_alive(), "{}", agent.stderr());
    agent
}

/// A one-shot run: its events, and what it says about itself.
#[track_caller]
pub(crate) fn once(mount: &Mount, state: &Path, arguments: &[&str]) -> (String, String) {
    let ended = program(mount, state, arguments).args(["--once"]).run(limit()).expect_code(0);
    (ended.stdout, ended.stderr)
}

/// What a command such as `status` answers.
#[track_caller]
pub(crate) fn inquire(state: &Path, question: &[&str]) -> serde_json::Value {
    let program = Program::agent().args(question).args(["--json", "--config", "/dev/null", "--state"]);
    let answer = program.args([state]).run(limit()).expect_code(0).stdout;
    serde_json::from_str(&answer).unwrap()
}

/// An archive that was never there before comes into being under its name, whole.
pub(crate) fn arrive(mount: &Mount, path: &str) {
    next_tick();
    let path = mount.server_path().join(path);
    let coming = path.with_file_name(".coming");
    fs::copy(sample(), &coming).unwrap();
    fs::rename(coming, path).unwrap();
}

/// A whole archive.
pub(crate) fn sample() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/copilot-output/2026/11/20/job-20000000.tgz"))
}

/// Waits until the confirming listings, if any, are over: none for longer than a young stamp waits for its own.
#[track_caller]
pub(crate) fn wait_for_confirmed(mount: &Mount) {
    let (began, mut last, mut since) = (Instant::now(), listings(mount), Instant::now());
    while since.elapsed() < CONFIRMED {
        sleep(Duration::from_millis(100));
        let now = listings(mount);
        assert!(began.elapsed() < limit(), "directories are listed all the time: {last} times, then {now}");
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

fn listings(mount: &Mount) -> u64 {
    let rpcs = mount.rpcs();
    rpcs.of("READDIR") + rpcs.of("READDIRPLUS")
}

/// The RPCs from now until as many looks as these directories were made: they are spread over half the interval.
#[track_caller]
pub(crate) fn next_poll(mount: &Mount, directories: u32) -> Rpcs {
    let before = asked(mount);
    wait_for_looks(mount, &before, directories);
    asked(mount).since(&before)
}

/// Waits until as many looks as these directories were made since then.
#[track_caller]
pub(crate) fn wait_for_looks(mount: &Mount, before: &Rpcs, directories: u32) {
    let enough = u64::from(directories);
    super::eventually("a poll", limit(), || asked(mount).since(before).of("GETATTR") >= enough);
}

/// The RPCs but for the sign of life that an `NFSv4` client gives in any case.
pub(crate) fn asked(mount: &Mount) -> Rpcs {
    let mut rpcs = mount.rpcs();
    rpcs.0.remove("SEQUENCE");
    rpcs
}
