//! A process that is measured from outside: CPU time, memory, and what a running agent answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What a process may take to get ready or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A process; killed with the value.
pub(crate) struct Measured {
    child: Child,
    log: PathBuf,
}

impl Measured {
    /// Starts it with its standard error in a file at `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let error = File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(error).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// The CPU time of all its threads that are still there.
    pub(crate) fn cpu(&self) -> Duration {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return Duration::ZERO;
        };
        let of_one = |path: PathBuf| -> Option<u64> {
            fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(threads.filter_map(|thread| of_one(thread.ok()?.path())).sum())
    }

    /// Resident bytes now, and the most that there were.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        (line("VmRSS:"), line("VmHWM:"))
    }

    /// Polls until `ready` gives a value; the process must live until then.
    pub(crate) fn until<T>(&mut self, pause: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(value) = ready() {
                return value;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{ended:?}: {}", self.said());
            sleep(pause);
        }
    }

    /// Waits until it says `text`. Before an agent says that it watches, whoever asks for its status takes the state from it.
    pub(crate) fn until_said(&mut self, text: &str) {
        let log = self.log.clone();
        let said = || fs::read_to_string(&log).unwrap_or_default().contains(text).then_some(());
        self.until(Duration::from_millis(5), said);
    }

    /// Waits for its end, which must be a good one; gives its CPU time and the most memory that it had.
    pub(crate) fn end(mut self) -> (Duration, u64) {
        let (mut cpu, mut peak, began) = (Duration::ZERO, 0, Instant::now());
        loop {
            (cpu, peak) = (cpu.max(self.cpu()), peak.max(self.memory().1));
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.said());
                return (cpu, peak);
            }
            assert!(began.elapsed() < PATIENCE, "hangs: {}", self.said());
            sleep(Duration::from_millis(2));
        }
    }

    /// Ends it by SIGTERM, in order.
    pub(crate) fn stop(self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.end();
    }

    /// What it said on standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program in an empty environment.
pub(crate) fn scout(arguments: &[&str], state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nfs-scout"));
    command.env_clear().env("HOME", state.parent().unwrap());
    command.args(arguments).args(["--config", "/dev/null", "--state"]).arg(state);
    command
}

/// What a question such as `status` is answered, if it is.
pub(crate) fn ask(question: &str, state: &Path) -> Option<Value> {
    let output = scout(&[question, "--json"], state).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}
