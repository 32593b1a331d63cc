//! What a local user could get hold of: core files, the state directory, the list of processes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfs-scout");
const SECRET: &str = "hunter2-Zq7vTTx0";

/// A running agent over an empty tree; ends with the test.
struct Agent {
    process: Child,
    folder: tempfile::TempDir,
}

impl Agent {
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (tree, state) = (folder.path().join("tree"), folder.path().join("state"));
        fs::create_dir(&tree).expect("a tree");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        // As a careless system would start it: core files of any size, files that all may read.
        let script = "ulimit -c unlimited && umask 000 && exec \"$0\" \"$@\"";
        let process = Command::new("sh")
            .args(["-c", script, PROGRAM, "run", "--log", "trace", "--config", "/dev/null", "--state"])
            .args([&state, &tree])
            .env_clear()
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let agent = Self { process, folder };
        agent.wait_until("its socket", || state.join("control.sock").exists());
        agent
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a readable log")
    }

    #[track_caller]
    fn wait_until(&self, what: &str, ready: impl Fn() -> bool) {
        let start = Instant::now();
        while !ready() {
            assert!(start.elapsed() < Duration::from_secs(90), "waited in vain for {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A file of the kernel about the process.
    fn proc(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.process.id());
        String::from_utf8_lossy(&fs::read(path).expect("a running agent")).into_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn leaves_no_core_file() {
    let agent = Agent::start(&[]);
    let limits = agent.proc("limits");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit");
    assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
}

#[test]
fn keeps_its_state_to_itself() {
    let agent = Agent::start(&[]);
    let mode =
        fs::metadata(agent.folder.path().join("state")).expect("a state directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_password_of_the_environment_is_neither_typed_nor_logged() {
    let url = format!("redis://ann:{SECRET}@localhost:1/0");
    let amqp = format!("amqp://ann:{SECRET}@localhost:1/%2f");
    let agent = Agent::start(&[("NFS_SCOUT_REDIS", &url), ("NFS_SCOUT_AMQP", &amqp)]);
    // Nobody listens there: the errors of the libraries are what could quote it.
    agent.wait_until("both failures", || {
        let log = agent.log();
        ["redis", "amqp"]
            .iter()
            .all(|sink| log.lines().any(|line| line.contains("WARN") && line.contains(sink)))
    });
    assert!(!agent.proc("cmdline").contains(SECRET));
    let log = agent.log();
    assert!(log.contains("TRACE") && !log.contains(SECRET), "{log}");
    for entry in walkdir::WalkDir::new(agent.folder.path().join("state")) {
        let entry = entry.expect("an entry");
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).expect("a readable file");
            let found = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
            assert!(!found, "{} holds the password", entry.path().display());
        }
    }
}
