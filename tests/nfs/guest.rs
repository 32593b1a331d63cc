//! Inside the guest: runs the trials one after the other, each in a process (and process group) of its own.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::trial::{Trial, group_limit};
use crate::{PART, rig};

/// The file with the names to run, one a line.
pub(crate) const NAMES: &str = "NFS_RIG_NAMES";
/// The file to which each trial's result is appended, one JSON object a line.
pub(crate) const RESULTS: &str = "NFS_RIG_RESULTS";
const NAME: &str = "NFS_RIG_NAME";
const OUTPUT: &str = "/tmp/trial-output";

/// What became of one trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    /// Why it failed; `None` if it passed.
    pub(crate) failure: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) output: String,
}

/// Runs every trial named in the list.
pub(crate) fn run_all(trials: &[Trial]) -> ExitCode {
    let names = fs::read_to_string(env::var(NAMES).unwrap()).unwrap();
    let mut results = OpenOptions::new().append(true).create(true).open(env::var(RESULTS).unwrap()).unwrap();
    let end = Instant::now() + group_limit();
    for name in names.lines() {
        let trial = trials.iter().find(|trial| trial.name() == name).unwrap();
        let report = match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => not_begun(trial),
            left => {
                rig::reset();
                run_apart(trial, trial.limit().min(left))
            }
        };
        let outcome = if report.failure.is_some() { "failed" } else { "ok" };
        println!("RIG: {name} {outcome} in {:.1} s", report.seconds);
        results.write_all(format!("{}\n", serde_json::to_string(&report).unwrap()).as_bytes()).unwrap();
        // The machine reads this file while we go on.
        results.sync_all().unwrap();
    }
    ExitCode::SUCCESS
}

/// Runs the one trial that this process was started for.
pub(crate) fn run_one(trials: &[Trial]) -> ExitCode {
    let name = env::var(NAME).unwrap();
    trials.iter().find(|trial| trial.name() == name).unwrap().run();
    ExitCode::SUCCESS
}

fn not_begun(trial: &Trial) -> Report {
    let why = format!("not begun: those before it took all {} s that a boot has", group_limit().as_secs());
    Report { name: trial.name(), failure: Some(why), seconds: 0.0, output: String::new() }
}

fn run_apart(trial: &Trial, limit: Duration) -> Report {
    let started = Instant::now();
    let output = File::create(OUTPUT).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .env(PART, "trial")
        .env(NAME, trial.name())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .process_group(0)
        .spawn()
        .unwrap();
    let status = wait(&mut child, limit);
    // Agents that the trial left behind are in its group; there may be none.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    if status.is_none() {
        child.wait().unwrap();
    }
    let output = String::from_utf8_lossy(&fs::read(Path::new(OUTPUT)).unwrap()).into_owned();
    let failure = match status {
        None => Some(format!("not done after {} s; killed", limit.as_secs())),
        Some(status) if status.success() => None,
        Some(status) => Some(explain(status)),
    };
    Report { name: trial.name(), failure, seconds: started.elapsed().as_secs_f64(), output }
}

fn explain(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(101), _) => "panicked".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        sleep(Duration::from_millis(20));
    }
    None
}
