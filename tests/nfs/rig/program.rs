//! Programs under test in the guest: started, watched, signalled, never waited for without a limit.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A program to run: [`Program::agent`] for ours, [`Program::named`] for any other.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    clock: Option<String>,
}

impl Program {
    /// The agent's binary of this build.
    pub(crate) fn agent() -> Self {
        Self::named(env!("CARGO_BIN_EXE_nfs-scout"))
    }

    pub(crate) fn named(path: impl Into<OsString>) -> Self {
        Self { path: path.into(), arguments: Vec::new(), environment: Vec::new(), clock: None }
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|it| it.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Shifts the program's wall clock, for example by `-1h` or `+1h`; its monotonic clock stays.
    ///
    /// Server and client are one kernel with one clock. To the agent a server whose clock is an hour ahead is the same
    /// as a clock of its own that is an hour behind: use `-1h` for the former.
    pub(crate) fn clock(mut self, shift: &str) -> Self {
        self.clock = Some(shift.to_owned());
        self
    }

    /// Starts it in the background.
    #[track_caller]
    pub(crate) fn start(&self) -> Running {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = PathBuf::from(format!(
            "/tmp/program-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir(&folder).unwrap();
        let mut command = Command::new(&self.path);
        if let Some(shift) = &self.clock {
            // Not by the program `faketime`, which would stay between us and the one that we signal.
            command
                .env("LD_PRELOAD", faketime())
                .env("FAKETIME", shift)
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let child = command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("stdout")).unwrap())
            .stderr(File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        Running { child, folder }
    }

    /// Runs it to its end; panics if that takes longer than `limit`.
    #[track_caller]
    pub(crate) fn run(&self, limit: Duration) -> Ended {
        self.start().wait(limit)
    }
}

/// A program at work; killed on drop.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    /// What it has written so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.folder.join("stdout"))
    }

    /// What it has written beyond the first `start` bytes, in whole lines.
    pub(crate) fn stdout_lines_from(&self, start: u64) -> String {
        lines_from(&self.folder.join("stdout"), start)
    }

    pub(crate) fn stderr_lines_from(&self, start: u64) -> String {
        lines_from(&self.stderr_path(), start)
    }

    /// The file that it writes to.
    pub(crate) fn stderr_path(&self) -> PathBuf {
        self.folder.join("stderr")
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr_path())
    }

    /// Whether it is still at work.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Where each of its threads is in the kernel, as far as that tells: a call that hangs is seen here.
    pub(crate) fn threads(&self) -> String {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let of = |task: &Path, file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
        let tasks = fs::read_dir(tasks).into_iter().flatten().flatten().map(|task| task.path());
        let told = tasks.map(|task| {
            let [name, place, call] = ["comm", "wchan", "syscall"].map(|file| of(&task, file));
            format!("{} in {place}, system call {}\n{}", name.trim(), call.trim(), of(&task, "stack"))
        });
        told.collect()
    }

    /// Sends a signal, for example `Signal::HUP`.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it as a power failure would and waits for its end.
    #[track_caller]
    pub(crate) fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(5))
    }

    /// Asks it to end (SIGTERM); panics if that takes longer than `limit`.
    #[track_caller]
    pub(crate) fn terminate(self, limit: Duration) -> Ended {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Waits for its end; panics, with what it wrote, if that takes longer than `limit`.
    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> Ended {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (stdout, stderr) = (self.stdout(), self.stderr());
                return Ended { status, stdout, stderr, took: started.elapsed() };
            }
            let late = started.elapsed() > limit;
            assert!(!late, "still running after {limit:?}\n{}{}", self.stdout(), self.stderr());
            sleep(Duration::from_millis(10));
        }
    }

    /// Waits until its output satisfies `condition`; panics, with the output, after `limit`.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&mut self, limit: Duration, condition: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let (alive, stdout) = (self.is_alive(), self.stdout());
            if condition(&stdout) {
                return stdout;
            }
            let late = started.elapsed() > limit;
            assert!(!late, "not within {limit:?}; it wrote\n{stdout}{}", self.stderr());
            assert!(alive, "it ended before; it wrote\n{stdout}{}", self.stderr());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From the wait's start.
    pub(crate) took: Duration,
}

impl Ended {
    /// Panics, with what it wrote, if it ended otherwise.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        let (status, stdout, stderr) = (self.status, &self.stdout, &self.stderr);
        assert_eq!(status.code(), Some(code), "{status}; it wrote\n{stdout}{stderr}");
        self
    }

    /// The signal that ended it, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// The library that shifts a program's clock, wherever this machine's packages put it.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists()).expect("the package faketime is installed")
}

fn lines_from(path: &Path, start: u64) -> String {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
