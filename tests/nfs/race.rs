//! The race that time stamps cannot show: "the agent lists a directory; a name is created in the same tick; nothing
//! more happens there". Whoever trusts the stamp never sees that name.
//!
//! The server tells us through inotify when it reads a directory for the client. Until then the directory is changed in
//! every tick, so that its stamp is young at the listing; right after it one file gets its name, as workers do it: by a
//! rename from a hidden one, here of the same length, so that the directory's size stays too. Nothing else happens to
//! it any more. It counts as a race if everything that the agent goes by was the same before the last change ahead of
//! the listing (the agent asks for the stamp a moment before it lists) and after the file came.
//!
//! A file must be handed over by the next listing of its directory. That this one comes within the interval is the
//! agenda's part and tested there (src/agent/agenda.rs): here the times are told, not asserted.
//!
//! To see the trials fail: without the line of `Effort::Confirm` in `Engine::effort` (src/agent/look.rs) all six do;
//! without `names::drop_cached_names` in `Tree::names` (src/mount/tree.rs) the three of `NFSv3` do. An `NFSv4.2` client
//! drops its listing by itself, since the change attribute told it.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::mem::{self, MaybeUninit};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{inotify, renameat};
use rustix::thread::gettid;

use crate::rig::{self, Mount, Program, Running, look};
use crate::trial::{ALL, Case, PATIENCE, Trial};
use crate::wish;

const INTERVAL: Duration = Duration::from_secs(1);
/// Directories that race in one round.
const DIRECTORIES: usize = 16;
/// The two names of a file that the agent leaves alone.
const FLIPPED: [&str; 2] = [".a", ".b"];
/// After this nothing comes any more.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// How many tries there must be in which the directory's stamp did not change, if not as many as usual: 1000 in a
/// long run, which needs [`crate::trial::PATIENCE`] too.
pub(crate) const RACES: &str = "NFS_RIG_RACES";
const USUAL_RACES: u32 = 60;
/// Within which that many have come together: some seconds, unless the writer is always late.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    let trials = Trial::each("race", "same_tick_is_found", &ALL, same_tick_is_found);
    Trial::within(trials, LIMIT + Duration::from_secs(30))
}

fn same_tick_is_found(case: Case) {
    let races = wish(RACES, USUAL_RACES) as usize;
    let limit = LIMIT * wish(PATIENCE, 1);
    let mount = Mount::new(case, "");
    let arena = Arena::new(&mount);
    let mut agent = Program::agent()
        .args(["run", "--config", "/dev/null", "--events", "-", "--settle", "0s", "--interval", "1s"])
        .args(["--log", "nfs_scout=debug"])
        .args([Path::new("--state"), &PathBuf::from(format!("/tmp/state-{case}"))])
        .args([mount.client_path().join("watched")])
        .start();
    arena.arrive_everywhere("ready");
    arena.is_shown_as_it_is(&mount);
    agent.wait_for_stdout(Duration::from_secs(60), |text| text.lines().count() >= DIRECTORIES);
    arena.let_writer_follow(agent.stderr_path());

    let (mut score, started) = (Score::default(), Instant::now());
    let mut rounds = 0;
    while score.lost == 0 && score.races < races && started.elapsed() < limit {
        arena.round(rounds, &mut agent, &mut score);
        rounds += 1;
    }
    println!("{}{score}; {:.0?}", rig::MEASURED, started.elapsed());
    assert_eq!(score.lost, 0, "of {} races", score.races);
    assert!(
        score.races >= races,
        "only {} of {} tries in {limit:?} fell into one tick of the server's clock: the writer is woken too late; \
         let fewer guests run beside this one (--test-threads=1) or more time pass ({PATIENCE}=2)",
        score.races,
        score.tries,
    );
}

#[derive(Default)]
struct Score {
    /// Bytes of events.
    read: u64,
    tries: usize,
    races: usize,
    lost: usize,
    /// Of the races.
    late: usize,
    longest: Duration,
    sum: Duration,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tries, races, lost, late, longest, sum, .. } = self;
        let mean = *sum / u32::try_from(*races).unwrap().max(1);
        write!(
            f,
            "{races} races in {tries} tries, {lost} lost; found after {mean:.2?} in the mean, {longest:.2?} at most"
        )?;
        write!(f, ", {late} later than an interval")
    }
}

/// What a poller goes by: size, modification time, change time, file number.
type Stamp = (u64, (i64, i64), (i64, i64), u64);

/// One directory on the server.
struct Folder {
    path: PathBuf,
    open: File,
}

/// The directories on the server.
struct Arena {
    folders: Arc<Vec<Folder>>,
    state: Arc<Mutex<State>>,
}

/// What the changes before a listing and the writer after it share.
#[derive(Default)]
struct State {
    /// The directories that were not read yet in this round, each with its stamps after the last changes, the latest
    /// first.
    armed: HashMap<usize, [Option<Stamp>; 2]>,
    arrived: HashMap<String, Arrival>,
    /// The agent's.
    log: PathBuf,
    /// The name of what comes, and its hidden one.
    name: [String; 2],
    /// How often each directory was changed.
    changes: HashMap<usize, usize>,
}

/// What came into a directory.
struct Arrival {
    at: Instant,
    /// Whether the stamp stayed as it was.
    is_race: bool,
    /// How long the agent's log was.
    log: u64,
}

impl Arena {
    fn new(mount: &Mount) -> Self {
        let folder = |number: usize| {
            let path = mount.server_path().join("watched").join(number.to_string());
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(FLIPPED[0]), "").unwrap();
            Folder { open: File::open(&path).unwrap(), path }
        };
        Self { folders: Arc::new((0..DIRECTORIES).map(folder).collect()), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn arrive_everywhere(&self, name: &str) {
        for (number, folder) in self.folders.iter().enumerate() {
            fs::write(folder.path.join(name), format!("{number} {name}")).unwrap();
        }
    }

    /// The client is shown the stamps that we compare.
    fn is_shown_as_it_is(&self, mount: &Mount) {
        for (number, folder) in self.folders.iter().enumerate() {
            let shown = look::forced(&mount.client_path().join("watched").join(number.to_string())).unwrap();
            let (mtime, mtime_ns, ctime, ctime_ns) = look::stamps(&shown);
            let times = ((mtime, mtime_ns.into()), (ctime, ctime_ns.into()));
            assert_eq!((shown.stx_size, times.0, times.1, shown.stx_ino), folder.stamp());
        }
    }

    /// Starts the writer, which from now on does what it is armed for as soon as the server has read a directory.
    ///
    /// It and the changes are woken before everything else in the guest: a tick lasts 10 ms, as long as others may keep
    /// the CPU.
    fn let_writer_follow(&self, log: PathBuf) {
        self.state().log = log;
        let inotify = inotify::init(inotify::CreateFlags::empty()).unwrap();
        let watch = |(number, folder): (usize, &Folder)| {
            (inotify::add_watch(&inotify, &folder.path, inotify::WatchFlags::ACCESS).unwrap(), number)
        };
        let watched: HashMap<i32, usize> = self.folders.iter().enumerate().map(watch).collect();
        let (folders, state) = (Arc::clone(&self.folders), Arc::clone(&self.state));
        run_first(10);
        thread::spawn(move || {
            run_first(20);
            let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
            let mut reader = inotify::Reader::new(&inotify, &mut buffer);
            loop {
                let read = reader.next().unwrap().wd();
                if let Some(number) = watched.get(&read) {
                    state.lock().unwrap().was_read(*number, &folders[*number]);
                }
            }
        });
    }

    /// One try in every directory.
    fn round(&self, round: usize, agent: &mut Running, score: &mut Score) {
        let name = [format!("b{round:05}"), format!(".{round:05}")];
        for folder in self.folders.iter() {
            fs::write(folder.path.join(&name[1]), format!("{round} {}", folder.path.display())).unwrap();
        }
        let mut state = self.state();
        (state.name, state.armed) = (name, (0..DIRECTORIES).map(|number| (number, [None; 2])).collect());
        drop(state);
        let deadline = Instant::now() + 10 * INTERVAL;
        while !self.state().armed.is_empty() {
            for (number, folder) in self.folders.iter().enumerate() {
                self.state().change(number, folder);
            }
            score.take(agent, self);
            let late = Instant::now() > deadline;
            assert!(!late, "not listed in round {round}: {:?}\n{}", self.state().armed, agent.stderr());
            // A part of a tick, for agent and server.
            thread::sleep(Duration::from_millis(1));
        }
        let deadline = Instant::now() + LOST_AFTER;
        while !self.state().arrived.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            score.take(agent, self);
        }
        score.lose(&mem::take(&mut self.state().arrived));
    }
}

impl State {
    /// "a", if nothing was listed yet: another name, as long, for a file that the agent leaves alone.
    fn change(&mut self, number: usize, folder: &Folder) {
        let Some([last, _]) = self.armed.get(&number).copied() else { return };
        let times = self.changes.entry(number).or_default();
        folder.rename(FLIPPED[*times % 2], FLIPPED[(*times + 1) % 2]);
        *times += 1;
        self.armed.insert(number, [Some(folder.stamp()), last]);
    }

    /// "b": right after the listing, and nothing more.
    fn was_read(&mut self, number: usize, folder: &Folder) {
        let Some([last, before]) = self.armed.remove(&number) else { return };
        folder.rename(&self.name[1], &self.name[0]);
        let after = Some(folder.stamp());
        let is_race = after == last && after == before;
        let (at, log) = (Instant::now(), fs::metadata(&self.log).unwrap().len());
        self.arrived.insert(format!("{number}/{}", self.name[0]), Arrival { at, is_race, log });
    }
}

impl Folder {
    fn rename(&self, from: &str, to: &str) {
        renameat(&self.open, from, &self.open, to).unwrap();
    }

    fn stamp(&self) -> Stamp {
        let found = self.open.metadata().unwrap();
        (found.size(), (found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()), found.ino())
    }
}

/// Lets this thread run before those of less `priority`, and before everything that has none.
fn run_first(priority: u8) {
    let thread = gettid().as_raw_nonzero().to_string();
    rig::tool("chrt", &["--fifo", "--pid", &priority.to_string(), &thread]);
}

impl Score {
    /// Takes the events that the agent has written since it was asked last.
    fn take(&mut self, agent: &Running, arena: &Arena) {
        let (events, now) = (agent.stdout_lines_from(self.read), Instant::now());
        self.read += events.len() as u64;
        let paths = events.lines().map(|event| {
            let event: serde_json::Value = serde_json::from_str(event).unwrap();
            event["path"].as_str().unwrap().to_owned()
        });
        // Before the writer is kept waiting.
        let paths: Vec<String> = paths.collect();
        for path in paths {
            let arrival = arena.state().arrived.remove(&path);
            if let Some(arrival) = arrival {
                check_order(&path, agent, arrival.log);
                self.found(now - arrival.at, arrival.is_race);
            }
        }
    }

    fn found(&mut self, after: Duration, is_race: bool) {
        self.tries += 1;
        if is_race {
            self.races += 1;
            self.late += usize::from(after > INTERVAL);
            self.longest = self.longest.max(after);
            self.sum += after;
        }
    }

    /// These do not come any more.
    fn lose(&mut self, arrived: &HashMap<String, Arrival>) {
        self.tries += arrived.len();
        self.lost += arrived.len();
        self.races += arrived.values().filter(|arrival| arrival.is_race).count();
    }
}

/// The listing under way when the file came may miss it; the next one hands it over.
#[track_caller]
fn check_order(path: &str, agent: &Running, since: u64) {
    let log = agent.stderr_lines_from(since);
    let listing = format!("Listed a directory. path={} ", path.split('/').next().unwrap());
    let handover = format!("path={path} ");
    // The event may be out before the log's line.
    let end = log.find(&handover).unwrap_or(log.len());
    let listings = log[..end].matches(&listing).count();
    assert!((1..=2).contains(&listings), "{path} was found by listing {listings}\n{}", &log[..end]);
}
