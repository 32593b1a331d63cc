//! The race that time stamps cannot show: a name comes right after its directory was listed, in the same tick of the
//! server's clock, and nothing else happens there any more.
//!
//! Made as `tests/nfs/race.rs` makes it: the server tells us through inotify when it reads a directory for the client. Until
//! then the directory is changed in every tick, so that its stamps are young when it is listed.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use rustix::thread::gettid;
use serde::{Deserialize, Serialize};

use super::stage::{FRESH, Stage, Tree, directory, fate};
use crate::peer::Peer;
use crate::rig::{self, Mount};
use crate::trial::Case;

const DIRECTORIES: u32 = 30;
const TREE: Tree = Tree { directories: DIRECTORIES, files_in_each: 1 };
const ROUNDS: u32 = 2;
/// A directory that is not read for so long is not read by this peer.
const NOT_READ_AFTER_INTERVALS: u32 = 8;
const LOST_AFTER_INTERVALS: u32 = 6;

/// What became of names that came in the tick of a listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Race {
    pub(crate) lost: usize,
    /// The tries in which nothing of the directory's stamps showed the name.
    pub(crate) of: usize,
    pub(crate) doubled: usize,
    /// Lost in tries in which the stamps did show it.
    pub(crate) lost_besides: usize,
    /// Directories that were not read again in time, so that no try was made.
    pub(crate) not_read: usize,
}

pub(super) fn run(peer: Peer, case: Case) -> Result<Race, String> {
    let mount = Mount::new(case, FRESH);
    let mut scene = Stage::set(peer, mount, &TREE, false)?;
    let arena = Arena::new(&scene.mount);
    arena.let_writer_follow();
    let mut race = Race { lost: 0, of: 0, doubled: 0, lost_besides: 0, not_read: 0 };
    for round in 0..ROUNDS {
        let (arrived, not_read) = arena.round(round, scene.interval);
        race.not_read += not_read;
        let arrivals: HashMap<String, Instant> =
            arrived.iter().map(|(path, it)| (path.clone(), it.at)).collect();
        let paths: Vec<String> = arrivals.keys().cloned().collect();
        scene.peer.wait_for(&paths, Instant::now() + LOST_AFTER_INTERVALS * scene.interval);
        let handovers = scene.peer.handovers();
        let of = |is_race: bool| {
            let some = arrived.iter().filter(|(_, it)| it.is_race == is_race);
            fate(&some.map(|(path, it)| (path.clone(), it.at)).collect(), &handovers)
        };
        let (races, others) = (of(true), of(false));
        race.of += arrived.values().filter(|it| it.is_race).count();
        race.lost += races.lost;
        race.lost_besides += others.lost;
        race.doubled += races.doubled + others.doubled;
    }
    scene.peer.is_alive()?;
    Ok(race)
}

/// A file that came.
struct Arrival {
    at: Instant,
    /// Its directory's stamps were the same before and after.
    is_race: bool,
}

/// The directories on the server.
struct Arena {
    root: PathBuf,
    /// Where files wait: on the same file system, not on the mount.
    staging: PathBuf,
    state: Arc<Mutex<State>>,
}

/// What the changes before a listing and the writer after it share.
#[derive(Default)]
struct State {
    round: u32,
    /// The directories that were not read yet in this round.
    armed: BTreeSet<u32>,
    arrived: HashMap<String, Arrival>,
}

impl Arena {
    fn new(mount: &Mount) -> Self {
        let root = mount.server_path().to_owned();
        let staging = root.with_extension("staging");
        fs::create_dir(&staging).unwrap();
        for number in 0..DIRECTORIES {
            fs::write(root.join(directory(number)).join(".a"), "").unwrap();
        }
        Self { root, staging, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Starts the writer. It and the changes are woken before everything else in the guest: a tick lasts 10 ms, as long as
    /// others may keep the CPU.
    fn let_writer_follow(&self) {
        let inotify = inotify::init(inotify::CreateFlags::empty()).unwrap();
        let watch = |number| {
            let folder = self.root.join(directory(number));
            (inotify::add_watch(&inotify, folder, inotify::WatchFlags::ACCESS).unwrap(), number)
        };
        let folders: HashMap<i32, u32> = (0..DIRECTORIES).map(watch).collect();
        let (state, root, staging) = (Arc::clone(&self.state), self.root.clone(), self.staging.clone());
        thread::spawn(move || {
            run_first(20);
            let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
            let mut reader = inotify::Reader::new(&inotify, &mut buffer);
            while let Ok(event) = reader.next() {
                if let Some(number) = folders.get(&event.wd()) {
                    state.lock().unwrap().was_read(*number, &root, &staging);
                }
            }
        });
    }

    /// One try in every directory; what came, and how many directories were not read.
    fn round(&self, round: u32, interval: Duration) -> (HashMap<String, Arrival>, usize) {
        for number in 0..DIRECTORIES {
            fs::copy(rig::agent::sample(), self.staging.join(staged(round, number))).unwrap();
        }
        let deadline = Instant::now() + NOT_READ_AFTER_INTERVALS * interval;
        {
            let mut state = self.state();
            (state.round, state.armed) = (round, (0..DIRECTORIES).collect());
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                run_first(10);
                while !self.state().armed.is_empty() && Instant::now() < deadline {
                    for number in 0..DIRECTORIES {
                        self.state().change(number, &self.root);
                    }
                    // Half a tick, for peer and server.
                    thread::sleep(Duration::from_millis(5));
                }
            });
        });
        let mut state = self.state();
        let not_read = std::mem::take(&mut state.armed).len();
        (std::mem::take(&mut state.arrived), not_read)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // What was not read in time; the guest's disks go with it.
        let _ = fs::remove_dir_all(&self.staging);
    }
}

impl State {
    /// Another name for a hidden file, if the directory was not listed yet.
    fn change(&self, number: u32, root: &Path) {
        let folder = root.join(directory(number));
        // It has one of the two names.
        if self.armed.contains(&number) && fs::rename(folder.join(".a"), folder.join(".b")).is_err() {
            fs::rename(folder.join(".b"), folder.join(".a")).unwrap();
        }
    }

    /// Right after the listing, and nothing more.
    fn was_read(&mut self, number: u32, root: &Path, staging: &Path) {
        if !self.armed.remove(&number) {
            return;
        }
        let path = format!("{}/racer-{}.tgz", directory(number), self.round);
        let folder = root.join(directory(number));
        let before = stamps(&folder);
        fs::rename(staging.join(staged(self.round, number)), root.join(&path)).unwrap();
        let is_race = before == stamps(&folder);
        self.arrived.insert(path, Arrival { at: Instant::now(), is_race });
    }
}

/// What a file is called that waits.
fn staged(round: u32, number: u32) -> String {
    format!("{round}-{number}")
}

/// Lets this thread run before those of less `priority`, and before everything that has none.
fn run_first(priority: u8) {
    let thread = gettid().as_raw_nonzero().to_string();
    rig::tool("chrt", &["--fifo", "--pid", &priority.to_string(), &thread]);
}

/// All that a poller could go by.
fn stamps(folder: &Path) -> (i64, i64, i64, i64, u64) {
    let found = fs::metadata(folder).unwrap();
    (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec(), found.size())
}
