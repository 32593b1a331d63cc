//! The race that time stamps cannot show: "the agent lists a directory; a name is created in the same tick; nothing
//! more happens there". Whoever trusts the stamp never sees that name.
//!
//! The server tells us through inotify when it reads a directory for the client. Until then the directory is changed
//! every few milliseconds, so that its stamp is young at the listing; right after it one file comes in by a rename.
//! Nothing else happens to it any more. The server's own stamps tell in how many of the tries nothing showed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::inotify;

use crate::rig::{self, Mount, Program, Running};
use crate::trial::{ALL, Case, Trial};

const INTERVAL: Duration = Duration::from_secs(1);
/// Directories that race in one round.
const DIRECTORIES: usize = 50;
/// After this nothing comes any more. How many came later than one interval is told, not asserted: agent, server and
/// writer share the guest's one CPU.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// Tries in which the directory's stamps did not change; put 1000 here for the long run.
const RACES: usize = 40;
/// Rounds in which that many must have come together; with 1000 races, 200.
const MAX_ROUNDS: usize = 12;

pub(crate) fn trials() -> Vec<Trial> {
    let trials = Trial::each("race", "same_tick_is_found", &ALL, same_tick_is_found);
    Trial::within(trials, Duration::from_secs(180))
}

fn same_tick_is_found(case: Case) {
    let mount = Mount::new(case, "");
    let mut arena = Arena::new(&mount);
    let mut agent = Program::agent()
        .args(["run", "--config", "/dev/null", "--events", "-", "--settle", "0s", "--interval", "1s"])
        .args([Path::new("--state"), &PathBuf::from(format!("/tmp/state-{case}"))])
        .args([mount.client_path().join("watched")])
        .start();
    arena.arrive_everywhere("ready");
    agent.wait_for_stdout(Duration::from_secs(60), |text| text.lines().count() >= DIRECTORIES);

    let (mut score, started) = (Score::default(), Instant::now());
    let mut rounds = 0;
    while score.races < RACES && rounds < MAX_ROUNDS {
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
    assert!(score.races >= RACES, "only {} races in {rounds} rounds", score.races);
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

/// The directories on the server, and the server's word on when they are read.
struct Arena {
    watched: PathBuf,
    stage: PathBuf,
    inotify: OwnedFd,
    numbers: HashMap<i32, usize>,
    /// Where "a" has its other name.
    flipped: HashSet<usize>,
}

impl Arena {
    fn new(mount: &Mount) -> Self {
        let (watched, stage) = (mount.server_path().join("watched"), mount.server_path().join("stage"));
        fs::create_dir_all(&stage).unwrap();
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let mut numbers = HashMap::new();
        for number in 0..DIRECTORIES {
            let folder = watched.join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(".a"), "").unwrap();
            let watch = inotify::add_watch(&inotify, &folder, inotify::WatchFlags::ACCESS).unwrap();
            numbers.insert(watch, number);
        }
        Self { watched, stage, inotify, numbers, flipped: HashSet::new() }
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.watched.join(number.to_string())
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

    /// Directories that the server has read since the last call.
    fn read_by_the_client(&self) -> Vec<usize> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut numbers = Vec::new();
        while let Ok(event) = reader.next() {
            numbers.extend(self.numbers.get(&event.wd()).copied());
            if reader.is_buffer_empty() {
                break;
            }
        }
        numbers
    }

    /// One try in every directory.
    fn round(&mut self, round: usize, agent: &mut Running, score: &mut Score) {
        let name = format!("b{round}");
        let staged: Vec<PathBuf> = (0..DIRECTORIES).map(|number| self.stage(number, &name)).collect();
        let written = agent.stdout().len();
        self.read_by_the_client();
        let mut armed: BTreeSet<usize> = (0..DIRECTORIES).collect();
        let mut arrived: HashMap<String, (Instant, bool)> = HashMap::new();
        let deadline = Instant::now() + 4 * INTERVAL;
        while !armed.is_empty() && Instant::now() < deadline {
            for number in armed.clone() {
                for read in self.read_by_the_client() {
                    if armed.remove(&read) {
                        let folder = self.folder(read);
                        let before = stamps(&folder);
                        fs::rename(&staged[read], folder.join(&name)).unwrap();
                        let is_race = before == stamps(&folder);
                        arrived.insert(format!("{read}/{name}"), (Instant::now(), is_race));
                    }
                }
                if armed.contains(&number) {
                    self.change(number);
                }
            }
            // Leaves the CPU to the agent and the server.
            sleep(Duration::from_millis(1));
        }
        assert!(armed.is_empty(), "not listed in round {round}: {armed:?}\n{}", agent.stderr());
        score.take(agent, written, arrived);
    }

    /// "a": another name for a file that the agent leaves alone.
    fn change(&mut self, number: usize) {
        let folder = self.folder(number);
        let (from, to) = if self.flipped.insert(number) {
            (".a", ".b")
        } else {
            self.flipped.remove(&number);
            (".b", ".a")
        };
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    }
}

impl Score {
    /// Waits for the events of a round.
    fn take(&mut self, agent: &mut Running, written: usize, mut arrived: HashMap<String, (Instant, bool)>) {
        let deadline = Instant::now() + LOST_AFTER;
        while !arrived.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
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
