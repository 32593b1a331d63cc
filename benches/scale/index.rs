//! An agent with a large index: memory, disk, start; and the comparison of one large listing.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::RawDir;
use rustix::time::ClockId;

use nfs_scout::model::{ContentHash, Stamp, Timestamp};
use nfs_scout::store::{Content, DirId, DirRow, RootId, RootRow, SeenFile, Store, Transaction};

use crate::create_files;
use crate::process::{Measured, ask, scout};
use crate::table::{Line, MEGABYTE, table};

/// Real files of the one directory that is listed.
const IN_LARGE: u32 = 10_000;
/// Directories in one commit.
const DIRECTORIES_A_COMMIT: usize = 50;
/// Files that arrive in the large directory, one after the other.
const ARRIVALS: u32 = 8;
/// Longer than a stamp is young.
const AGED: Duration = Duration::from_secs(3);

/// Measures it; the result is a table.
pub(crate) fn measure(directories: u32, known: u32) -> String {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (root, state) = (folder.path().join("tree"), folder.path().join("state"));
    let paths = plant(&root, directories);
    sleep(AGED);
    let began = Instant::now();
    fill(&root, &state, &paths, known / directories);
    eprintln!("{known} files in {directories} directories put on record in {:.0?}", began.elapsed());
    let bytes = size_of(&state);

    let log = folder.path().join("log");
    let mut command = scout(&["run", "--interval", "30s"], &state);
    let events = folder.path().join("events");
    let began = Instant::now();
    let mut agent = Measured::start(command.arg("--events").arg(&events).arg(&root), &log);
    let looks = || ask("status", &state).and_then(|status| status.get("looks")?.as_u64()).unwrap_or(0);
    agent.until_said("Watching the root");
    agent.until(Duration::from_millis(100), || (looks() > 0).then_some(()));
    let start = began.elapsed();
    agent.until(Duration::from_secs(2), || (looks() >= u64::from(directories)).then_some(()));
    let (resident, peak) = agent.memory();
    assert_eq!(fs::read_to_string(&events).unwrap_or_default(), "", "nothing is new");
    agent.stop();
    let (both, bare) = compare(folder.path());
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let lines = [
        Line::new("state on disk, a file", bytes as f64 / f64::from(known), "bytes").at_most(120.0),
        Line::new("start, until the first look", start.as_secs_f64(), "s"),
        Line::new("resident memory after a look at each", resident as f64 / MEGABYTE, "MB").at_most(200.0),
        Line::new("the most until then", peak as f64 / MEGABYTE, "MB"),
        Line::new("CPU time to list and compare 10,000 names", milliseconds(both), "ms"),
        Line::new("a bare listing of them, of its own", milliseconds(bare), "ms"),
        Line::new("so to compare them", milliseconds(both.saturating_sub(bare)), "ms").at_most(10.0),
    ];
    table(&format!("{known} files known in {directories} directories"), &lines)
}

/// The directories, the one with real files last.
fn plant(root: &Path, directories: u32) -> Vec<String> {
    let mut paths = Vec::new();
    for number in 0..directories {
        let path = format!("{}/{number}", number / 250);
        fs::create_dir_all(root.join(&path)).unwrap();
        paths.push(path);
    }
    paths.push("large".to_owned());
    fs::create_dir_all(root.join("large")).unwrap();
    create_files(&root.join("large"), 0..IN_LARGE);
    paths
}

/// Puts on record what an agent would have that read and handed over every file, `each` in a directory.
fn fill(root: &Path, state: &Path, paths: &[String], each: u32) {
    let store = Store::open(state).unwrap();
    let (number, now) = (store.new_root(), Timestamp::from_system(SystemTime::now()));
    let path = root.as_os_str().as_encoded_bytes().to_vec();
    let mut transaction = Transaction::default();
    let row = RootRow { path, identity: None, walked: true, audited_at: Some(now) };
    transaction.put_root(number, row);
    let directory = |path: &Path, parent, name: &str| DirRow {
        root: number,
        parent,
        name: name.as_bytes().to_vec(),
        stamp: Some(stamp_of(path)),
        racy: false,
        stamp_since: now,
        looked_at: Some(now),
        gone_since: None,
    };
    let top = store.new_dir();
    transaction.put_dir(top, directory(root, None, ""));
    let (mut above, mut files) = ((String::new(), top), 0);
    for (done, path) in paths.iter().enumerate() {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !parent.is_empty() && above.0 != parent {
            above = (parent.to_owned(), store.new_dir());
            transaction.put_dir(above.1, directory(&root.join(parent), Some(top), parent));
        }
        let id = store.new_dir();
        let parent = if parent.is_empty() { top } else { above.1 };
        transaction.put_dir(id, directory(&root.join(path), Some(parent), name));
        if path == "large" {
            put_files(&mut transaction, number, id, 0..IN_LARGE, Some(&root.join(path)));
        } else {
            put_files(&mut transaction, number, id, files..files + each, None);
            files += each;
        }
        if done % DIRECTORIES_A_COMMIT == 0 {
            store.commit(std::mem::take(&mut transaction)).unwrap();
        }
    }
    store.commit(transaction).unwrap();
}

/// Files with names, stamps, hashes and numbers as jobs have them; those in `real` with their own numbers.
fn put_files(
    transaction: &mut Transaction,
    root: RootId,
    dir: DirId,
    numbers: std::ops::Range<u32>,
    real: Option<&Path>,
) {
    for number in numbers {
        let name = format!("job-{number:08}.tgz");
        let hash = *blake3::hash(&number.to_be_bytes()).as_bytes();
        let stamp = real.map_or_else(
            || {
                let time = Timestamp {
                    seconds: 1_700_000_000 + i64::from(number) / 100,
                    nanoseconds: u32::from_be_bytes([hash[0] & 31, hash[1], hash[2], hash[3]]),
                };
                // Written under another name, then renamed.
                let renamed = time.plus(Duration::from_micros(u64::from(hash[4]) * 40));
                let size = 14_000 + u64::from(hash[5]);
                Stamp { size, mtime: time, ctime: renamed, fileid: 100_000_000 + u64::from(number) }
            },
            |folder| stamp_of(&folder.join(&name)),
        );
        let content = Content::Hashed(ContentHash(hash));
        let seq = u64::from(number) + 1;
        let file = SeenFile { name: name.as_bytes().into(), stamp, content, seq, gone_since: None };
        transaction.put_seen(root, dir, None, file);
    }
}

fn stamp_of(path: &Path) -> Stamp {
    let found = fs::metadata(path).unwrap();
    let time =
        |seconds, nanoseconds: i64| Timestamp { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap() };
    Stamp {
        size: found.size(),
        mtime: time(found.mtime(), found.mtime_nsec()),
        ctime: time(found.ctime(), found.ctime_nsec()),
        fileid: found.ino(),
    }
}

fn size_of(state: &Path) -> u64 {
    let files = walkdir::WalkDir::new(state).into_iter().map(Result::unwrap);
    files.map(|file| file.metadata().unwrap().blocks() * 512).sum()
}

/// The CPU time of one listing of a large directory by an agent that knows no other, since what it takes beside that would
/// hide it in the noise; and that of a bare reading of its names. Each arrival makes two listings, the second to confirm
/// the first; its file is read and put on record.
fn compare(folder: &Path) -> (Duration, Duration) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/copilot-output/2026/11/20/job-20000000.tgz");
    let (root, state, events) = (folder.join("alone"), folder.join("its-state"), folder.join("its-events"));
    let paths = plant(&root, 0);
    sleep(AGED);
    fill(&root, &state, &paths, 0);
    let mut command = scout(&["run", "--interval", "1s"], &state);
    let mut agent = Measured::start(command.arg("--events").arg(&events).arg(&root), &folder.join("log"));
    agent.until_said("Watching the root");
    sleep(AGED);

    let quiet = agent.cpu();
    sleep(Duration::from_secs(5));
    let idle = agent.cpu().saturating_sub(quiet) / 5;
    let (began, before) = (Instant::now(), agent.cpu());
    for number in 0..ARRIVALS {
        let name = format!("large/new-{number}.tgz");
        fs::copy(sample, root.join(".staged")).unwrap();
        fs::rename(root.join(".staged"), root.join(&name)).unwrap();
        let found = || fs::read_to_string(&events).ok().filter(|text| text.contains(&name));
        agent.until(Duration::from_millis(100), found);
        sleep(AGED);
    }
    let spent = agent.cpu().saturating_sub(before);
    let beside = idle.mul_f64(began.elapsed().as_secs_f64());
    agent.stop();
    let both = spent.checked_sub(beside).expect("a machine that is not too busy to tell") / (2 * ARRIVALS);
    (both, bare_listing(&root.join("large")))
}

/// What the system takes to read the names of a directory, when it comes back to it after a while.
fn bare_listing(directory: &Path) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..ARRIVALS {
        sleep(Duration::from_secs(1));
        let before = cpu_of_this_thread();
        let opened = File::open(directory).unwrap();
        let mut buffer = Vec::with_capacity(64 * 1024);
        let mut names = RawDir::new(&opened, buffer.spare_capacity_mut());
        let mut count = 0;
        while let Some(entry) = names.next() {
            count += u32::from(entry.unwrap().ino() > 0);
        }
        spent += cpu_of_this_thread().saturating_sub(before);
        assert!(count >= IN_LARGE, "{count}");
    }
    spent / ARRIVALS
}

fn cpu_of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
