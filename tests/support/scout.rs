//! The real program on a tree, a state directory and an events file of its own.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{HANG, eventually};

/// A place to run the program in; removed with the value.
pub struct Scout {
    folder: TempDir,
}

/// What a run to its end gave.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Scout {
    /// An empty tree.
    pub fn new() -> Self {
        let scout = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(scout.root()).unwrap();
        scout
    }

    /// A path beside the tree.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tree.
    pub fn root(&self) -> PathBuf {
        self.beside("root")
    }

    pub fn state(&self) -> PathBuf {
        self.beside("state")
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    /// Puts a file into the tree, whole, by rename, as one that is written elsewhere.
    pub fn put(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        let (path, staged) = (self.path(name), self.beside("staged"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&staged, bytes).unwrap();
        fs::rename(staged, path).unwrap();
    }

    /// The program in an empty environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nfs-scout"));
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// `run` on the tree with the events in a file.
    pub fn run(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["run", "root", "--state", "state", "--config", "/dev/null"]);
        if !more.contains(&"--redis") && !more.contains(&"--amqp") || more.contains(&"--events") {
            command.args(["--events", "events"]);
        }
        command.args(more.iter().filter(|word| **word != "--events"));
        command
    }

    /// A one-shot run that must end with code 0.
    #[track_caller]
    pub fn once(&self, more: &[&str]) -> Done {
        let done = finish(&mut self.once_command(more));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        done
    }

    pub fn once_command(&self, more: &[&str]) -> Command {
        let mut command = self.run(more);
        command.arg("--once");
        command
    }

    /// An agent that looks every 200 ms and logs what it does; waits until it watches.
    #[track_caller]
    pub fn agent(&self, more: &[&str]) -> Agent {
        let agent = self.agent_unready(more);
        agent.logged("Watching the root");
        agent
    }

    /// The same without waiting.
    #[track_caller]
    pub fn agent_unready(&self, more: &[&str]) -> Agent {
        let mut command = self.run(more);
        if !more.contains(&"--log") {
            command.args(["--log", "nfs_scout=debug"]);
        }
        if !more.contains(&"--interval") {
            command.args(["--interval", "200ms"]);
        }
        Agent::start(command, self.beside("log"))
    }

    /// Asks a question and gives the JSON answer.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.tell(&[words, &["--json"]].concat())).unwrap()
    }

    /// Asks a question and gives the answer in words.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> String {
        let done = finish(self.command(words).args(["--state", "state", "--config", "/dev/null"]));
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{words:?}");
        done.stdout
    }

    /// A counter of the total.
    #[track_caller]
    pub fn counter(&self, name: &str) -> i64 {
        self.ask(&["stats"])["namespaces"]["TOTAL"]["counters"][name].as_i64().unwrap()
    }

    /// The events so far; a line that is not ended yet is left out.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        events_in(&self.beside("events"))
    }

    /// Kind and path of each event so far.
    #[track_caller]
    pub fn news(&self) -> Vec<(String, String)> {
        self.events().iter().map(kind_and_path).collect()
    }

    /// Waits until there are `count` events, and checks that there are no more.
    #[track_caller]
    pub fn await_events(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} events");
        let events = eventually(&what, || Some(self.events()).filter(|events| events.len() >= count));
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }
}

/// The whole lines of an events file; none if it does not exist.
#[track_caller]
pub fn events_in(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn kind_and_path(event: &Value) -> (String, String) {
    let text = |key: &str| event[key].as_str().unwrap().to_owned();
    (text("kind"), text("path"))
}

/// Runs a command to its end.
#[track_caller]
pub fn finish(command: &mut Command) -> Done {
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    let status = end_of(&mut child, &format!("{command:?}"));
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Done { code: status.code(), stdout: text(out.path()), stderr: text(err.path()) }
}

/// Waits for the end of a process; one that hangs is killed and the test fails.
#[track_caller]
fn end_of(child: &mut Child, what: &str) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > HANG {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("hangs: {what}");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A running agent; killed with the value.
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    #[track_caller]
    pub fn start(command: Command, log: PathBuf) -> Self {
        Self::start_with_output(command, log, Stdio::null())
    }

    #[track_caller]
    pub fn start_with_output(mut command: Command, log: PathBuf, output: impl Into<Stdio>) -> Self {
        command.stdout(output).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How many lines of the log hold `text`.
    pub fn count_logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until the log holds `text`.
    #[track_caller]
    pub fn logged(&self, text: &str) {
        self.logged_times(text, 1);
    }

    /// Waits until `count` lines of the log hold `text`.
    #[track_caller]
    pub fn logged_times(&self, text: &str, count: usize) {
        let start = Instant::now();
        while self.count_logged(text) < count {
            assert!(start.elapsed() < HANG, "{text:?} was not logged {count} times:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// The memory that it holds now (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it ended, without waiting for it.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; gives its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        end_of(&mut self.child, "the agent").code()
    }

    /// Ends it in order.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended(), Some(0), "{}", self.log());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every path below `folder` with what a writer would change of it.
pub fn snapshot(folder: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let facts = entries.map(|entry| {
        let found = entry.metadata().unwrap();
        (entry.into_path(), found.len(), found.mtime(), found.mtime_nsec())
    });
    facts.collect()
}
