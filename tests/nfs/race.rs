//! The race that time stamps cannot show: "the agent lists a directory; a name is created in the same tick; nothing
//! more happens there". Whoever trusts the stamp never sees that name.
//!
//! The server tells us through inotify when it reads a directory for the client. Until then the directory is changed in
//! every tick, so that its stamp is young at the listing; right after it one file comes in by a rename. Nothing else
//! happens to it any more. The server's own stamps tell in how many of the tries nothing showed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::mem::{self, MaybeUninit};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use rustix::thread::gettid;

use crate::rig::{self, Mount, Program, Running};
use crate::trial::{ALL, Case, PATIENCE, Trial};
use crate::wish;

const INTERVAL: Duration = Duration::from_secs(1);
/// Directories that race in one round.
const DIRECTORIES: usize = 50;
/// After this nothing comes any more. How many came later than one interval is told, not asserted: agent, server and
/// writer share the guest's one CPU.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// How many tries there must be in which the directory's stamps did not change, if not as many as usual: 1000 in a
/// long run, which needs [`crate::trial::PATIENCE`] too.
pub(crate) const RACES: &str = "NFS_RIG_RACES";
const USUAL_RACES: u32 = 100;
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
        .args([Path::new("--state"), &PathBuf::from(format!("/tmp/state-{case}"))])
        .args([mount.client_path().join("watched")])
        .start();
    arena.arrive_everywhere("ready");
    agent.wait_for_stdout(Duration::from_secs(60), |text| text.lines().count() >= DIRECTORIES);
    arena.let_writer_follow();

    let (mut score, started) = (Score::default(), Instant::now());
    let mut rounds = 0;
    while score.races < races && started.elapsed() < limit {
        arena.round(rounds, &mut agent, &mut score);
        rounds += 1;
    }
    println!(
        "{}{} tries, {} of them with unchanged stamps; found after at most {:.2?} (mean {:.2?}), lost {}, \
         after more than an interval {}; {:.0?}",
        rig::MEASURED,
        score.tries,
        score.races,
        score.longest,
        score.sum / u32::try_from(score.tries.max(1)).unwrap(),
        score.lost,
        score.late,
        started.elapsed(),
    );
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
    tries: usize,
    races: usize,
    lost: usize,
    late: usize,
    longest: Duration,
    sum: Duration,
}

/// The directories on the server.
struct Arena {
    watched: PathBuf,
    stage: PathBuf,
    state: Arc<Mutex<State>>,
}

/// What the changes before a listing and the writer after it share.
#[derive(Default)]
struct State {
    /// The directories that were not read yet in this round, and what comes into each when it was.
    armed: BTreeMap<usize, PathBuf>,
    /// What came, when, and whether the stamps stayed as they were.
    arrived: HashMap<String, (Instant, bool)>,
    /// Where "a" has its other name.
    flipped: HashSet<usize>,
}

impl Arena {
    fn new(mount: &Mount) -> Self {
        let (watched, stage) = (mount.server_path().join("watched"), mount.server_path().join("stage"));
        fs::create_dir_all(&stage).unwrap();
        for number in 0..DIRECTORIES {
            let folder = watched.join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(".a"), "").unwrap();
        }
        Self { watched, stage, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn stage(&self, number: usize, name: &str) -> PathBuf {
        let path = self.stage.join(format!("{number}-{name}"));
        fs::write(&path, format!("{number} {name}")).unwrap();
        path
    }

    fn arrive_everywhere(&self, name: &str) {
        for number in 0..DIRECTORIES {
            fs::rename(self.stage(number, name), self.folder(number).join(name)).unwrap();
        }
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.watched.join(number.to_string())
    }

    /// Starts the writer, which from now on does what it is armed for as soon as the server has read a directory.
    ///
    /// It and the changes are woken before everything else in the guest: a tick lasts 10 ms, as long as others may keep
    /// the CPU.
    fn let_writer_follow(&self) {
        let inotify = inotify::init(inotify::CreateFlags::empty()).unwrap();
        let watch = |number: usize| {
            let folder = self.folder(number);
            (inotify::add_watch(&inotify, &folder, inotify::WatchFlags::ACCESS).unwrap(), (number, folder))
        };
        let folders: HashMap<i32, (usize, PathBuf)> = (0..DIRECTORIES).map(watch).collect();
        let state = Arc::clone(&self.state);
        run_first(10);
        thread::spawn(move || {
            run_first(20);
            let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
            let mut reader = inotify::Reader::new(&inotify, &mut buffer);
            loop {
                let read = reader.next().unwrap().wd();
                if let Some((number, folder)) = folders.get(&read) {
                    state.lock().unwrap().was_read(*number, folder);
                }
            }
        });
    }

    /// One try in every directory.
    fn round(&self, round: usize, agent: &mut Running, score: &mut Score) {
        let name = format!("b{round}");
        let armed = (0..DIRECTORIES).map(|number| (number, self.stage(number, &name))).collect();
        let written = agent.stdout().len();
        self.state().armed = armed;
        let deadline = Instant::now() + 10 * INTERVAL;
        loop {
            for number in 0..DIRECTORIES {
                self.state().change(number, &self.folder(number));
            }
            if self.state().armed.is_empty() {
                break;
            }
            let late = Instant::now() > deadline;
            assert!(!late, "not listed in round {round}: {:?}\n{}", self.state().armed, agent.stderr());
            // Half a tick, for agent and server.
            thread::sleep(Duration::from_millis(5));
        }
        let arrived = mem::take(&mut self.state().arrived);
        assert_eq!(arrived.len(), DIRECTORIES);
        score.take(agent, written, arrived);
    }
}

impl State {
    /// "a", if nothing was listed yet: another name for a file that the agent leaves alone.
    fn change(&mut self, number: usize, folder: &Path) {
        if !self.armed.contains_key(&number) {
            return;
        }
        let (from, to) = if self.flipped.insert(number) {
            (".a", ".b")
        } else {
            self.flipped.remove(&number);
            (".b", ".a")
        };
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    }

    /// "b": right after the listing, and nothing more.
    fn was_read(&mut self, number: usize, folder: &Path) {
        let Some(staged) = self.armed.remove(&number) else { return };
        let name = staged.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().1;
        let before = stamps(folder);
        fs::rename(&staged, folder.join(name)).unwrap();
        let is_race = before == stamps(folder);
        self.arrived.insert(format!("{number}/{name}"), (Instant::now(), is_race));
    }
}

/// Lets this thread run before those of less `priority`, and before everything that has none.
fn run_first(priority: u8) {
    let thread = gettid().as_raw_nonzero().to_string();
    rig::tool("chrt", &["--fifo", "--pid", &priority.to_string(), &thread]);
}

impl Score {
    /// Waits for the events of a round.
    fn take(&mut self, agent: &mut Running, written: usize, mut arrived: HashMap<String, (Instant, bool)>) {
        let deadline = Instant::now() + LOST_AFTER;
        while !arrived.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            let (output, now) = (agent.stdout(), Instant::now());
            arrived.retain(|path, (since, is_race)| {
                let waits = !output[written..].contains(&format!("\"path\":\"{path}\""));
                if !waits {
                    self.found(now - *since, *is_race);
                }
                waits
            });
        }
        for (_, is_race) in arrived.values() {
            self.tries += 1;
            self.races += usize::from(*is_race);
            self.lost += 1;
        }
    }

    fn found(&mut self, after: Duration, is_race: bool) {
        self.tries += 1;
        self.races += usize::from(is_race);
        self.late += usize::from(after > INTERVAL);
        self.longest = self.longest.max(after);
        self.sum += after;
    }
}

/// What a poller goes by.
fn stamps(folder: &Path) -> (i64, i64, i64, i64) {
    let found = fs::metadata(folder).unwrap();
    (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
}
