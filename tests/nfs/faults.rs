//! What befalls an agent at work: servers that hang, forget or refuse, trees that change under it, mounts that go away.
//!
//! In every scenario jobs keep arriving on the server while a fault begins and ends. Afterwards everything that lies on
//! the server was handed over exactly once and nothing was taken for vanished; meanwhile the agent answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::{self, MEASURED, Mount, Program, Running, server};
use crate::trial::{BOTH, Case, Trial};

#[path = "../../examples/generate/archive.rs"]
mod archive;

/// How long a fault lasts: several intervals.
const FAULT: Duration = Duration::from_secs(3);
/// Time enough for whatever a guest with one CPU has to do.
const SOON: Duration = Duration::from_secs(30);
/// Within which an agent answers questions, whatever its mounts do.
const ANSWER: Duration = Duration::from_secs(1);
/// One interval, and what the slow guest takes for a look, a reading and a commit.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same after an outage of the wire, which the client's kernel notices to be over some seconds late.
const RECONNECT: Duration = Duration::from_secs(20);
/// Within which an agent ends that was asked to.
const END: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, body| Trial::each("faults", what, &BOTH, body);
    let trials = [
        each("server_hangs", server_hangs),
        each("packets_are_lost", packets_are_lost),
        each("server_forgets_its_clients", server_forgets_its_clients),
        each("export_is_withdrawn", export_is_withdrawn),
        each("soft_mount_gives_errors", soft_mount_gives_errors),
        each("directories_go_and_come", directories_go_and_come),
        each("permission_is_taken_away", permission_is_taken_away),
        each("clocks_disagree", clocks_disagree),
        each("mount_goes_away_and_comes_back", mount_goes_away_and_comes_back),
        each("something_else_is_mounted", something_else_is_mounted),
        each("mount_goes_away_while_the_server_hangs", mount_goes_away_while_the_server_hangs),
        each("ends_while_the_server_hangs", ends_while_the_server_hangs),
        each("one_shot_meets_a_hung_server", one_shot_meets_a_hung_server),
    ];
    Trial::within(trials.concat(), Duration::from_secs(60))
}

/// Every worker of one root hangs; another root and the questions do not.
fn server_hangs(case: Case) {
    let local = PathBuf::from(format!("/tmp/local-{case}"));
    fs::create_dir(&local).unwrap();
    let mut scene =
        Scene::prepare(case, "", &["a", "b", "c"]).with_args(["--workers", "2"]).with_args([&local]).go();
    scene.during(|scene| {
        server::stop();
        put_job(&local, "meanwhile").unwrap();
        scene.wait_for_file(&local, "meanwhile.tgz", INTERVAL);
        // Until it is said that the root does not answer, though another does.
        scene.wait_for_log("does not answer", SOON);
        assert!(scene.root_state().is_some(), "the status tells");
        server::start();
        server::end_grace();
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
    assert_eq!(scene.root_state(), None);
}

fn packets_are_lost(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.during(|_| {
        server::lose_percent(100);
        sleep(FAULT);
        server::lose_percent(0);
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// What was open is lost, and claimed again; until all had time to, `NFSv4` opens wait.
fn server_forgets_its_clients(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.during(|_| {
        server::stop();
        server::start();
        sleep(FAULT);
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

fn export_is_withdrawn(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    let fs = scene.mount.fs();
    scene.during(|scene| {
        server::withdraw(fs);
        scene.wait_for_log("Cannot watch the root", SOON);
        sleep(FAULT);
        server::export(fs, "");
    });
    scene.recovers_within(INTERVAL);
    scene.is_whole();
    let said = scene.log().matches("Cannot watch the root").count();
    assert_eq!(said, 1, "an outage is said once\n{}", scene.log());
}

fn soft_mount_gives_errors(case: Case) {
    let mut scene = Scene::start(case, "soft,timeo=5,retrans=1", &["a", "b"]);
    scene.during(|scene| {
        server::stop();
        sleep(2 * FAULT);
        scene.wait_for_log("Could not read|Cannot watch", SOON);
        server::start();
        server::end_grace();
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// Removed; removed and made again; exchanged for another; renamed.
fn directories_go_and_come(case: Case) {
    let mut scene = Scene::start(case, "", &["steady", "removed", "again", "exchanged", "old"]);
    let [removed, again, exchanged, old] =
        ["removed", "again", "exchanged", "old"].map(|name| scene.mount.server_path().join(name));
    let [put_by, other, new] = ["put-by", "other", "new"].map(|name| scene.mount.server_path().join(name));
    for folder in [&removed, &again, &exchanged, &old] {
        put_job(folder, "first").unwrap();
        scene.wait_for_file(folder.strip_prefix(scene.mount.server_path()).unwrap(), "first.tgz", SOON);
    }
    scene.jobs.pause();
    scene.catches_up(SOON);
    let old_files = names(&old);
    scene.during(|scene| {
        fs::remove_dir_all(&removed).unwrap();
        fs::remove_dir_all(&again).unwrap();
        fs::create_dir(&again).unwrap();
        put_job(&again, "second").unwrap();
        fs::create_dir(&other).unwrap();
        put_job(&other, "third").unwrap();
        fs::rename(&exchanged, &put_by).unwrap();
        fs::rename(&other, &exchanged).unwrap();
        fs::rename(&old, &new).unwrap();
        // A file put in before the renaming is seen is tried on a local tree: tests/files/changes.rs.
        sleep(FAULT);
        put_job(&new, "fourth").unwrap();
        scene.jobs.go_on();
    });
    for (folder, name) in [("again", "second"), ("exchanged", "third"), ("new", "fourth")] {
        scene.wait_for_file(Path::new(folder), &format!("{name}.tgz"), INTERVAL);
    }
    scene.jobs.end();
    sleep(FAULT);
    let events = scene.events();
    assert!(events.values().all(|count| *count == 1), "{events:#?}");
    for name in old_files {
        assert!(!events.contains_key(&format!("new/{name}")), "{name} was moved: {events:#?}");
        assert!(!events.contains_key(&format!("put-by/{name}")), "{events:#?}");
    }
    let known = scene.index();
    for file in files(scene.mount.server_path()) {
        assert_eq!(known.get(&file), Some(&false), "{file} is there\n{known:#?}\n{}", scene.log());
    }
    for file in ["removed/first.tgz", "again/first.tgz", "old/first.tgz"] {
        assert_eq!(known.get(file), Some(&true), "{file} is gone\n{known:#?}");
    }
}

fn permission_is_taken_away(case: Case) {
    let mount = Mount::new(case, "");
    // The agent's root is nobody on the server.
    server::export(mount.fs(), "root_squash");
    let mut scene = Scene::on(mount, &["open", "private"]).go();
    let private = scene.mount.server_path().join("private");
    put_job(&private, "before").unwrap();
    scene.wait_for_file(Path::new("private"), "before.tgz", SOON);
    scene.during(|scene| {
        fs::set_permissions(&private, Permissions::from_mode(0o000)).unwrap();
        put_job(&private, "hidden").unwrap();
        // Longer than a few intervals: it is tried all the time.
        scene.wait_for_log("Could not read a directory", SOON);
        sleep(4 * FAULT);
        put_job(&scene.mount.server_path().join("open"), "meanwhile").unwrap();
        scene.wait_for_file(Path::new("open"), "meanwhile.tgz", INTERVAL);
        assert!(!scene.events().contains_key("private/hidden.tgz"));
        fs::set_permissions(&private, Permissions::from_mode(0o755)).unwrap();
    });
    let began = Instant::now();
    scene.wait_for_file(Path::new("private"), "hidden.tgz", INTERVAL);
    println!("{MEASURED}hidden job found {:.1} s after permission came back", began.elapsed().as_secs_f64());
    scene.recovers_within(INTERVAL);
    scene.is_whole();
}

/// The agent's clock goes an hour back, then two hours on; the server's does not.
fn clocks_disagree(case: Case) {
    let mut scene = Scene::prepare(case, "", &["a", "b"]).with_clock("-1h").go();
    scene.recovers_within(SOON);
    for clock in ["+1h", "-1h", "+0"] {
        scene.restart_with_clock(clock);
        scene.recovers_within(SOON);
    }
    scene.is_whole();
}

fn mount_goes_away_and_comes_back(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    let mut before = BTreeMap::new();
    scene.during(|scene| {
        scene.mount.unmount();
        scene.wait_for_log("Cannot watch the root", SOON);
        assert!(scene.root_state().is_some(), "the status tells");
        before = scene.events();
        sleep(FAULT);
        assert_eq!(scene.events(), before, "no event while nothing is mounted");
        scene.mount.remount("");
    });
    scene.recovers_within(INTERVAL);
    scene.is_whole();
    assert_eq!(scene.root_state(), None);
}

fn something_else_is_mounted(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    scene.mount.unmount();
    let client = scene.mount.client_path().to_owned();
    let mut before = BTreeMap::new();
    rig::tool("mount", &["-t", "tmpfs", "other", client.to_str().unwrap()]);
    put_job(&client, "stranger").unwrap();
    scene.during(|scene| {
        scene.wait_for_log("--accept-mount", SOON);
        before = scene.events();
        sleep(FAULT);
        assert_eq!(scene.events(), before, "nothing of another file system");
    });
    scene.stop_agent();
    scene.arguments.push("--accept-mount".to_owned());
    scene.start_agent();
    scene.wait_for_file(Path::new(""), "stranger.tgz", SOON);
    scene.jobs.end();
    scene.stop_agent();
    let events = scene.events();
    assert!(events.values().all(|count| *count == 1), "{events:#?}");
}

/// Calls to the mount that went away never return; another one in its place is watched all the same.
fn mount_goes_away_while_the_server_hangs(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    scene.during(|scene| {
        server::stop();
        sleep(FAULT);
        // At once by force: the gentle way asks the server.
        rig::tool("umount", &["-f", "-l", scene.mount.client_path().to_str().unwrap()]);
        sleep(FAULT);
        server::start();
        server::end_grace();
        scene.mount.remount("");
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

fn ends_while_the_server_hangs(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    server::stop();
    sleep(FAULT);
    let ended = scene.agent.take().unwrap().terminate(END).expect_code(0);
    println!("{MEASURED}ended {:.1} s after SIGTERM with the server away", ended.took.as_secs_f64());
    server::start();
    server::end_grace();
    scene.start_agent();
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// It waits; the next one that cron starts gives way at once.
fn one_shot_meets_a_hung_server(case: Case) {
    let mut scene = Scene::prepare(case, "", &["a", "b"]);
    put_job(&scene.mount.server_path().join("a"), "first").unwrap();
    scene.arguments.extend(["--once", "--patience", "5s"].map(str::to_owned));
    scene.program().run(SOON).expect_code(0);
    put_job(&scene.mount.server_path().join("a"), "second").unwrap();
    server::stop();
    let first = scene.program().start();
    sleep(FAULT);
    scene.program().run(END).expect_code(75);
    let ended = first.wait(SOON).expect_code(74);
    assert!(ended.stderr.contains("does not answer"), "{}", ended.stderr);
    server::start();
    server::end_grace();
    scene.program().run(SOON).expect_code(0);
    assert_eq!(scene.events(), files(scene.mount.server_path()).into_iter().map(|file| (file, 1)).collect());
}

/// A mount, jobs that keep arriving on its server, and an agent that watches it.
struct Scene {
    mount: Mount,
    jobs: Jobs,
    agent: Option<Running>,
    state: PathBuf,
    file: PathBuf,
    arguments: Vec<String>,
    clock: Option<String>,
    folders: Vec<String>,
}

impl Scene {
    /// With jobs arriving in these folders.
    fn start(case: Case, options: &str, folders: &[&str]) -> Self {
        Self::prepare(case, options, folders).go()
    }

    fn prepare(case: Case, options: &str, folders: &[&str]) -> Self {
        Self::on(Mount::new(case, options), folders)
    }

    fn on(mount: Mount, folders: &[&str]) -> Self {
        let place = PathBuf::from(format!("/tmp/scene-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        fs::set_permissions(mount.server_path(), Permissions::from_mode(0o755)).unwrap();
        for folder in folders {
            fs::create_dir(mount.server_path().join(folder)).unwrap();
        }
        Self {
            mount,
            jobs: Jobs::default(),
            agent: None,
            state: place.join("state"),
            file: place.join("events"),
            arguments: Vec::new(),
            clock: None,
            folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
        }
    }

    fn with_args(mut self, arguments: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|it| it.as_ref().to_str().unwrap().to_owned()));
        self
    }

    fn with_clock(mut self, shift: &str) -> Self {
        self.clock = Some(shift.to_owned());
        self
    }

    /// Lets jobs arrive and the agent find the first of them.
    #[track_caller]
    fn go(mut self) -> Self {
        let folders = self.folders.iter().map(|folder| self.mount.server_path().join(folder)).collect();
        self.jobs = Jobs::arrive_in(folders);
        self.start_agent();
        rig::eventually("the first events", SOON, || !self.events().is_empty());
        self
    }

    fn program(&self) -> Program {
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

    fn start_agent(&mut self) {
        self.agent = Some(self.program().start());
    }

    #[track_caller]
    fn stop_agent(&mut self) {
        self.agent.take().unwrap().terminate(END).expect_code(0);
    }

    #[track_caller]
    fn restart_with_clock(&mut self, shift: &str) {
        self.stop_agent();
        self.clock = Some(shift.to_owned());
        self.start_agent();
    }

    fn log(&self) -> String {
        self.agent.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// Waits until the log holds one of these texts, which `|` parts.
    #[track_caller]
    fn wait_for_log(&self, texts: &str, limit: Duration) {
        rig::eventually(texts, limit, || texts.split('|').any(|text| self.log().contains(text)));
    }

    /// How often each path was handed over; of a path outside the mount, the path from the root.
    #[track_caller]
    fn events(&self) -> BTreeMap<String, u32> {
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
    fn wait_for_file(&self, folder: &Path, name: &str, limit: Duration) {
        let path = folder.join(name).display().to_string();
        let started = Instant::now();
        while !self.events().contains_key(&path) {
            let late = started.elapsed() > limit;
            assert!(!late, "{path} was not handed over within {limit:?}\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Lets `fault` happen while a watcher keeps asking the agent how it is.
    #[track_caller]
    fn during(&mut self, fault: impl FnOnce(&mut Self)) {
        let watcher = Watcher::start(&self.state);
        fault(self);
        let slowest = watcher.end();
        println!("{MEASURED}slowest answer {} ms", slowest.as_millis());
        assert!(slowest < ANSWER, "{slowest:?}\n{}", self.log());
        assert!(self.agent.as_mut().unwrap().is_alive(), "{}", self.log());
    }

    /// A job that arrives now is handed over within `limit`.
    #[track_caller]
    fn recovers_within(&self, limit: Duration) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("after-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = &self.folders[0];
        let started = Instant::now();
        put_job(&self.mount.server_path().join(folder), &name).unwrap();
        self.wait_for_file(Path::new(folder), &format!("{name}.tgz"), limit);
        println!("{MEASURED}recovered within {:.1} s", started.elapsed().as_secs_f64());
    }

    /// Waits until all that lies on the server was handed over.
    #[track_caller]
    fn catches_up(&self, limit: Duration) {
        let there = files(self.mount.server_path());
        let started = Instant::now();
        loop {
            let events = self.events();
            let missing: Vec<&String> = there.iter().filter(|path| !events.contains_key(*path)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(started.elapsed() < limit, "lost: {missing:?} of {}\n{}", there.len(), self.log());
            sleep(Duration::from_millis(100));
        }
    }

    /// Whatever lies on the server was handed over exactly once, and none of it is taken for vanished.
    #[track_caller]
    fn is_whole(&mut self) {
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
    fn index(&self) -> BTreeMap<String, bool> {
        let lines = Program::agent().args(["index", "list", "--json", "--state"]).args([&self.state]);
        let lines: Vec<Value> = serde_json::from_str(&lines.run(SOON).expect_code(0).stdout).unwrap();
        let entry = |line: &Value| (line["path"].as_str().unwrap().to_owned(), !line["gone_since"].is_null());
        lines.iter().map(entry).collect()
    }

    /// Why the status says that the mount cannot be watched, by the command that people use.
    #[track_caller]
    fn root_state(&self) -> Option<String> {
        let status = Program::agent().args(["status", "--json", "--state"]).args([&self.state]);
        let status: Value = serde_json::from_str(&status.run(SOON).expect_code(0).stdout).unwrap();
        assert_eq!(status["running"], true);
        let roots = status["roots"].as_array().unwrap();
        let ours = roots.iter().find(|root| root["path"] == self.mount.client_path().to_str().unwrap());
        ours.unwrap()["lost"].as_str().map(str::to_owned)
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
struct Jobs {
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

    fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
        // One may be on its way.
        sleep(Duration::from_millis(500));
    }

    fn go_on(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Lets a job arrive as workers do: written under another name, then renamed.
fn put_job(folder: &Path, name: &str) -> std::io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let jobdata =
        format!("jobid={number}\nevents=10\nexitcode=0\nrun=pp winclusive 7000 10 - pythia8 8.170 {name}\n");
    let job = archive::tgz_of(&[archive::Member::file("./jobdata", jobdata)]);
    let part = folder.join(format!(".{name}.part"));
    fs::write(&part, job)?;
    fs::rename(part, folder.join(format!("{name}.tgz")))
}

/// The paths of all jobs below `root`.
fn files(root: &Path) -> BTreeSet<String> {
    let walk = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let jobs = walk.filter(|entry| entry.path().extension().is_some_and(|it| it == "tgz"));
    jobs.map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string()).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    files(folder)
}

/// Asks a running agent for its report four times a second, over its socket: the guest is slow at starting programs.
struct Watcher {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watcher {
    fn start(state: &Path) -> Self {
        let (socket, ended) = (state.join("control.sock"), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                ask(&socket);
                slowest = slowest.max(started.elapsed());
                sleep(Duration::from_millis(250));
            }
            slowest
        });
        Self { ended, thread }
    }

    /// The slowest answer.
    #[track_caller]
    fn end(self) -> Duration {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn ask(socket: &Path) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"report").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let report: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(report["running"], true, "{report}");
}
