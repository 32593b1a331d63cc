//! The stage of a fault: a mount, jobs that keep arriving on its server, an agent that watches it, and what must hold
//! of all three afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ANSWER, END, INTERVAL, SOON};
use crate::rig::{self, MEASURED, Mount, Program, Running, server};
use crate::trial::Case;

#[path = "../../../examples/generate/archive.rs"]
mod archive;

/// A mount, jobs that keep arriving on its server, and an agent that watches it.
pub(super) struct Scene {
    pub(super) mount: Mount,
    case: Case,
    pub(super) jobs: Jobs,
    pub(super) agent: Option<Running>,
    state: PathBuf,
    file: PathBuf,
    pub(super) arguments: Vec<String>,
    clock: Option<String>,
    folders: Vec<String>,
}

impl Scene {
    /// With jobs arriving in these folders.
    pub(super) fn start(case: Case, options: &str, folders: &[&str]) -> Self {
        Self::prepare(case, options, folders).go()
    }

    pub(super) fn prepare(case: Case, options: &str, folders: &[&str]) -> Self {
        Self::on(Mount::new(case, options), case, folders)
    }

    pub(super) fn on(mount: Mount, case: Case, folders: &[&str]) -> Self {
        let place = PathBuf::from(format!("/tmp/scene-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        fs::set_permissions(mount.server_path(), Permissions::from_mode(0o755)).unwrap();
        for folder in folders {
            fs::create_dir(mount.server_path().join(folder)).unwrap();
        }
        Self {
            mount,
            case,
            jobs: Jobs::default(),
            agent: None,
            state: place.join("state"),
            file: place.join("events"),
            arguments: Vec::new(),
            clock: None,
            folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
        }
    }

    pub(super) fn with_args(mut self, arguments: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|it| it.as_ref().to_str().unwrap().to_owned()));
        self
    }

    pub(super) fn with_clock(mut self, shift: &str) -> Self {
        self.clock = Some(shift.to_owned());
        self
    }

    /// Lets jobs arrive and the agent find the first of them.
    #[track_caller]
    pub(super) fn go(mut self) -> Self {
        let folders = self.folders.iter().map(|folder| self.mount.server_path().join(folder)).collect();
        self.jobs = Jobs::arrive_in(folders);
        self.start_agent();
        rig::eventually("the first events", SOON, || !self.events().is_empty());
        self
    }

    pub(super) fn program(&self) -> Program {
        let agent = match &self.clock {
            None => Program::agent(),
            Some(clock) => Program::agent().clock(clock),
        };
        agent
            .args(["run", "--interval", "1s", "--events"])
            .args([&self.file])
            .args(["--state"])
            .args([&self.state])
            .args(&self.arguments)
            .args([self.mount.client_path()])
    }

    pub(super) fn start_agent(&mut self) {
        self.agent = Some(self.program().start());
        let socket = self.state.join("control.sock");
        rig::eventually("the agent to answer", SOON, || UnixStream::connect(&socket).is_ok());
    }

    #[track_caller]
    pub(super) fn stop_agent(&mut self) {
        self.agent.take().unwrap().terminate(END).expect_code(0);
    }

    #[track_caller]
    pub(super) fn restart_with_clock(&mut self, shift: &str) {
        self.stop_agent();
        self.clock = Some(shift.to_owned());
        self.start_agent();
    }

    pub(super) fn log(&self) -> String {
        self.agent.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// All that tells why the agent does not do what it should: what it wrote, what it says of itself, what its mount
    /// was asked, and where its threads are.
    fn circumstances(&self) -> String {
        let report = ask(&self.state.join("control.sock")).map(|report| format!("{report:#}"));
        let threads = self.agent.as_ref().map(Running::threads).unwrap_or_default();
        let (log, rpcs) = (self.log(), self.mount.rpcs());
        format!("{log}{}\nRPCs since it was mounted: {rpcs}\n{threads}", report.unwrap_or_default())
    }

    /// Waits until the log holds one of these texts, which `|` parts.
    #[track_caller]
    pub(super) fn wait_for_log(&self, texts: &str, limit: Duration) {
        rig::eventually(texts, limit, || texts.split('|').any(|text| self.log().contains(text)));
    }

    /// Waits until the status says that a file waits for this reason.
    #[track_caller]
    pub(super) fn wait_for_waiting(&self, reason: &str, limit: Duration) {
        rig::eventually(reason, limit, || {
            let report = ask(&self.state.join("control.sock")).expect("it is alive");
            report["waiting"].to_string().contains(reason)
        });
    }

    /// How often each path was handed over; of a path outside the mount, the path from the root.
    #[track_caller]
    pub(super) fn events(&self) -> BTreeMap<String, u32> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let (mut paths, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let event: Value = serde_json::from_str(line).unwrap();
            let path = event["path"].as_str().unwrap();
            let root = Path::new(event["root"].as_str().unwrap());
            let path = if root == self.mount.client_path() {
                path.to_owned()
            } else {
                root.join(path).display().to_string()
            };
            assert_eq!(event["kind"], "appeared", "{event}");
            assert_eq!(event["analysis"]["status"], "ok", "{event}");
            assert!(ids.insert(event["id"].as_str().unwrap().to_owned()), "twice: {event}");
            *paths.entry(path).or_insert(0) += 1;
        }
        paths
    }

    #[track_caller]
    pub(super) fn wait_for_file(&self, folder: &Path, name: &str, limit: Duration) {
        let path = folder.join(name).display().to_string();
        let started = Instant::now();
        while !self.events().contains_key(&path) {
            let late = started.elapsed() > limit;
            assert!(!late, "{path} was not handed over within {limit:?}\n{}", self.circumstances());
            sleep(Duration::from_millis(50));
        }
    }

    /// Lets `fault` happen while a watcher keeps asking the agent how it is.
    #[track_caller]
    pub(super) fn during(&mut self, fault: impl FnOnce(&mut Self)) {
        let watcher = Watcher::start(&self.state);
        fault(self);
        let answers = watcher.end();
        println!("{MEASURED}{} answers, the slowest after {} ms", answers.count, answers.slowest.as_millis());
        assert_eq!(answers.missed, 0, "no answer within {ANSWER:?}, of {}\n{}", answers.count, self.log());
        assert!(self.agent.as_mut().unwrap().is_alive(), "{}", self.log());
    }

    /// A job that arrives now is handed over within `limit`; tells after how many looks.
    #[track_caller]
    pub(super) fn recovers_within(&self, limit: Duration) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("after-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = &self.folders[0];
        let (started, before) = (Instant::now(), self.looks());
        put_job(&self.mount.server_path().join(folder), &name).unwrap();
        self.wait_for_file(Path::new(folder), &format!("{name}.tgz"), limit);
        let looks = self.looks() - before;
        println!("{MEASURED}recovered within {:.1} s, {looks} looks", started.elapsed().as_secs_f64());
    }

    /// How many looks the agent has made since its start.
    fn looks(&self) -> u64 {
        ask(&self.state.join("control.sock")).expect("it is alive")["looks"].as_u64().unwrap()
    }

    /// Waits until all that lies on the server was handed over.
    #[track_caller]
    pub(super) fn catches_up(&self, limit: Duration) {
        let there = files(self.mount.server_path());
        let started = Instant::now();
        loop {
            let events = self.events();
            let missing: Vec<&String> = there.iter().filter(|path| !events.contains_key(*path)).collect();
            if missing.is_empty() {
                return;
            }
            let late = started.elapsed() >= limit;
            assert!(!late, "lost: {missing:?} of {}\n{}", there.len(), self.circumstances());
            sleep(Duration::from_millis(100));
        }
    }

    /// Whatever lies on the server was handed over exactly once, and none of it is taken for vanished.
    #[track_caller]
    pub(super) fn is_whole(&mut self) {
        self.jobs.end();
        self.catches_up(INTERVAL);
        // Time for two more looks, which find nothing.
        sleep(Duration::from_secs(2));
        let events = self.events();
        let there = files(self.mount.server_path());
        println!("{MEASURED}{} jobs arrived", there.len());
        assert!(there.len() > 3, "jobs did arrive");
        let known = self.index();
        for file in &there {
            assert_eq!(events.get(file), Some(&1), "{file}");
            assert_eq!(known.get(file), Some(&false), "{file} is there\n{}", self.log());
        }
        let invented: Vec<_> =
            events.keys().filter(|path| !path.starts_with('/') && !there.contains(*path)).collect();
        assert!(invented.is_empty(), "{invented:?}");
    }

    /// What the index knows: each path, and whether it is taken for gone.
    #[track_caller]
    pub(super) fn index(&self) -> BTreeMap<String, bool> {
        let lines = Program::agent().args(["index", "list", "--json", "--state"]).args([&self.state]);
        let lines: Vec<Value> = serde_json::from_str(&lines.run(SOON).expect_code(0).stdout).unwrap();
        let entry = |line: &Value| (line["path"].as_str().unwrap().to_owned(), !line["gone_since"].is_null());
        lines.iter().map(entry).collect()
    }

    /// Why the status says that the mount cannot be watched, by the command that people use.
    #[track_caller]
    pub(super) fn root_state(&self) -> Option<String> {
        let status = self.status();
        let roots = status["roots"].as_array().unwrap();
        let ours = roots.iter().find(|root| root["path"] == self.mount.client_path().to_str().unwrap());
        ours.unwrap()["lost"].as_str().map(str::to_owned)
    }

    /// What the agent says is wrong, in words.
    pub(super) fn problems(&self) -> String {
        self.status()["problems"].to_string()
    }

    /// What the program says to people who ask this.
    #[track_caller]
    pub(super) fn tell(&self, question: &[&str]) -> String {
        let program = Program::agent().args(question).args(["--state"]).args([&self.state]);
        program.run(SOON).expect_code(0).stdout
    }

    /// What it is tried on.
    pub(super) fn case(&self) -> Case {
        self.case
    }

    fn status(&self) -> Value {
        let status: Value = serde_json::from_str(&self.tell(&["status", "--json"])).unwrap();
        assert_eq!(status["running"], true);
        status
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        server::revive();
        self.jobs.end();
        // Before its mount goes.
        self.agent.take();
    }
}

/// Another client: a job five times a second, in one folder after the other.
#[derive(Default)]
pub(super) struct Jobs {
    paused: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    fn arrive_in(folders: Vec<PathBuf>) -> Self {
        let (paused, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (wait, stop) = (Arc::clone(&paused), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if !wait.load(Ordering::Relaxed) {
                    // A folder may be gone for now.
                    let _ = put_job(&folders[number % folders.len()], &format!("job-{number}"));
                }
                sleep(Duration::from_millis(200));
            }
        });
        Self { paused, ended, thread: Some(thread) }
    }

    pub(super) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
        // One may be on its way.
        sleep(Duration::from_millis(500));
    }

    pub(super) fn go_on(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    pub(super) fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Lets a job arrive as workers do: written under another name, then renamed.
pub(super) fn put_job(folder: &Path, name: &str) -> std::io::Result<()> {
    let part = write_job(folder, name)?;
    fs::rename(part, folder.join(format!("{name}.tgz")))
}

/// Writes a job under a name that nobody looks at.
pub(super) fn write_job(folder: &Path, name: &str) -> std::io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let jobdata =
        format!("jobid={number}\nevents=10\nexitcode=0\nrun=pp winclusive 7000 10 - pythia8 8.170 {name}\n");
    let job = archive::tgz_of(&[archive::Member::file("./jobdata", jobdata)]);
    let part = folder.join(format!(".{name}.part"));
    fs::write(&part, job)?;
    Ok(part)
}

/// The paths of all jobs below `root`.
pub(super) fn files(root: &Path) -> BTreeSet<String> {
    let walk = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let jobs = walk.filter(|entry| entry.path().extension().is_some_and(|it| it == "tgz"));
    jobs.map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string()).collect()
}

pub(super) fn names(folder: &Path) -> BTreeSet<String> {
    files(folder)
}

/// Asks a running agent for its report four times a second, over its socket: the guest is slow at starting programs.
struct Watcher {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

#[derive(Default)]
struct Answers {
    count: u32,
    /// Those that did not come within [`ANSWER`].
    missed: u32,
    slowest: Duration,
}

impl Watcher {
    fn start(state: &Path) -> Self {
        let (socket, ended) = (state.join("control.sock"), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut answers = Answers::default();
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                answers.count += 1;
                answers.missed += u32::from(ask(&socket).is_none());
                answers.slowest = answers.slowest.max(started.elapsed());
                sleep(Duration::from_millis(250));
            }
            answers
        });
        Self { ended, thread }
    }

    #[track_caller]
    fn end(self) -> Answers {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What the agent says of itself; `None` if it does not within [`ANSWER`].
fn ask(socket: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(ANSWER)).unwrap();
    stream.write_all(b"report").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
        read => read.unwrap(),
    };
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["running"], true, "{report}");
    Some(report)
}
