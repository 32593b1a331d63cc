//! The first walk of a tree behind NFS: against `find` and walkdir one directory after the other, at several round-trip
//! times.
//!
//! ```text
//! cargo bench --bench walk                                   1,000 directories of 50 files: some 7 minutes
//! cargo bench --bench walk -- --directories 200              a first idea
//! ```
//!
//! As root, with the packages that `tests/run install` installs: it runs in the guest kernel of `tests/nfs`, one for
//! each version of the protocol, with the delay in the guest's loopback. Each walk begins with a fresh mount and
//! dropped caches. nfs-scout's is `run --once --baseline` with an empty state directory: it puts every name on record.
//!
//! RPCs are counted by the client's kernel. The least that a walk can cost is one LOOKUP and one ACCESS a directory, and
//! the READDIRs that its names take.
//!
//! The guest has one slow CPU, which client, server and walker share: at 0 ms the times are those of that CPU. They vary by
//! half, so of several walks in turn the shortest counts, for each walker.
#![expect(clippy::unwrap_used, reason = "a bench ends with the first thing that its own machinery cannot do")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report, and progress")]

#[path = "../../tests/nfs/rig/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the trials, which use all of it")]
mod rig;
#[path = "../../tests/nfs/trial.rs"]
#[allow(dead_code, reason = "shared with the trials, which use all of it")]
mod trial;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use rig::{Mount, Program, agent};
use trial::{Case, Fs, Version};

const FILES_IN_EACH: u32 = 50;
const ROUND_TRIPS_MS: [u64; 3] = [0, 2, 20];
/// What one walk may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a guest may take.
const LIMIT: Duration = Duration::from_secs(1500);

/// How often each walks, by round-trip time: the more often, the more the times depend on the CPU.
fn rounds(round_trip_ms: u64) -> usize {
    match round_trip_ms {
        0 => 5,
        2 => 3,
        _ => 1,
    }
}

/// RPCs of nfs-scout, of the least possible.
const MOST_RPCS: f64 = 1.1;

/// How often the others must take as long as nfs-scout, by round-trip time.
fn target(round_trip_ms: u64) -> f64 {
    match round_trip_ms {
        0 => 1.0,
        2 => 8.0,
        _ => 20.0,
    }
}

/// Times the first walk of a tree behind NFS
#[derive(Debug, Parser)]
struct Options {
    /// Directories of the tree
    #[arg(long, default_value_t = 1_000)]
    directories: u32,

    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,

    /// In the guest: where the results go
    #[arg(long, hide = true)]
    results: Option<PathBuf>,

    /// In the guest: the protocol's version
    #[arg(long, hide = true, default_value = "v42")]
    version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Walker {
    Scout,
    Find,
    Walkdir,
}

const WALKERS: [Walker; 3] = [Walker::Scout, Walker::Find, Walker::Walkdir];

/// One walk.
#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    version: String,
    round_trip_ms: u64,
    walker: Walker,
    seconds: f64,
    rpcs: BTreeMap<String, u64>,
}

/// The number that is asked for under this name, else `usual`: what the shared rig asks of its crate.
fn wish(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |number| number.parse().expect("a number"))
}

fn main() {
    let options = Options::parse();
    if let Some(results) = &options.results {
        return in_guest(results, &options.version, options.directories);
    }
    // One after the other: two guests at once would take each other's time.
    let of = |version| boot(version, options.directories).results();
    let walks: Vec<Walk> = [Version::V3, Version::V42].into_iter().flat_map(of).collect();
    println!("{}", table(&walks, options.directories));
}

/// A guest kernel at work.
struct Boot {
    child: std::process::Child,
    folder: PathBuf,
}

fn boot(version: Version, directories: u32) -> Boot {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("walk-{version}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("results"), "").unwrap();
    let console = File::create(folder.join("console")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    // The kernel ends with us, even if we are killed.
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(root.join("tests/nfs/boot"))
        .arg(std::env::current_exe().unwrap())
        .arg(format!("--version={version}"))
        .arg(format!("--results={}", folder.join("results").display()))
        .arg(format!("--directories={directories}"))
        .env("RIG_LIMIT_S", LIMIT.as_secs().to_string())
        .env("RIG_KEEP", format!("{}\n{}", root.display(), target.display()))
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap();
    Boot { child, folder }
}

impl Boot {
    fn results(mut self) -> Vec<Walk> {
        self.child.wait().unwrap();
        let text = fs::read_to_string(self.folder.join("results")).unwrap();
        let walks: Vec<Walk> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let all = WALKERS.len() * ROUND_TRIPS_MS.map(rounds).iter().sum::<usize>();
        assert_eq!(walks.len(), all, "see {}", self.folder.join("console").display());
        walks
    }
}

fn in_guest(results: &Path, version: &str, directories: u32) {
    let version = if version == Version::V3.to_string() { Version::V3 } else { Version::V42 };
    let mut mount = Mount::new(Case { version, fs: Fs::Tmpfs }, "");
    for number in 0..directories {
        let folder = mount.server_path().join(format!("{}/{number}", number / 50));
        fs::create_dir_all(&folder).unwrap();
        rig::create_files(&folder, "job-", FILES_IN_EACH);
    }
    for round_trip_ms in ROUND_TRIPS_MS {
        for walker in (0..rounds(round_trip_ms)).flat_map(|_| WALKERS) {
            rig::server::round_trip(Duration::ZERO);
            mount.remount("");
            rig::drop_caches();
            rig::server::round_trip(Duration::from_millis(round_trip_ms));
            let began = Instant::now();
            let (rpcs, seconds) = mount.cost(|| {
                walk(walker, &mount, directories);
                began.elapsed().as_secs_f64()
            });
            let walk = Walk { version: version.to_string(), round_trip_ms, walker, seconds, rpcs: rpcs.0 };
            let mut file = OpenOptions::new().append(true).open(results).unwrap();
            writeln!(file, "{}", serde_json::to_string(&walk).unwrap()).unwrap();
            file.sync_all().unwrap();
        }
    }
}

/// Walks the tree to its last name; each walker must have met them all.
fn walk(walker: Walker, mount: &Mount, directories: u32) {
    let root = mount.client_path();
    let (files, folders) = (directories * FILES_IN_EACH, folders(directories));
    match walker {
        Walker::Scout => {
            let (_, said) = agent::once(mount, &agent::new_state(), &["--baseline"]);
            assert!(said.contains(&format!("{files} baseline")), "{said}");
        }
        Walker::Find => {
            let find = Program::named("find").args([root]).args(["-type", "f", "-printf", "x\\n"]);
            let found = find.run(PATIENCE).expect_code(0).stdout;
            assert_eq!(found.lines().count(), usize::try_from(files).unwrap());
        }
        Walker::Walkdir => {
            let entries = WalkDir::new(root).into_iter().map(Result::unwrap);
            let found = entries.filter(|entry| entry.file_type().is_file() || entry.file_type().is_dir());
            assert_eq!(found.count(), usize::try_from(files + folders).unwrap());
        }
    }
}

/// All RPCs of a walk, of the least that its directories can cost.
fn of_least(walk: &Walk, directories: u32) -> f64 {
    let count = |operation: &str| walk.rpcs.get(operation).copied().unwrap_or(0);
    let least = 2 * u64::from(folders(directories)) + count("READDIR") + count("READDIRPLUS");
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = walk.rpcs.values().sum::<u64>() as f64 / least as f64;
    ratio
}

/// The directories, those above them and the root.
fn folders(directories: u32) -> u32 {
    directories + directories.div_ceil(50) + 1
}

fn table(walks: &[Walk], directories: u32) -> String {
    let mut text = format!(
        "| {directories} directories of {FILES_IN_EACH} files | round trip | nfs-scout | find | walkdir | find / ours \
         | walkdir / ours | target | holds | RPCs: ours, find, walkdir | ours, of the least | holds |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|---|--:|---|\n"
    );
    for version in [Version::V3, Version::V42].map(|version| version.to_string()) {
        for round_trip_ms in ROUND_TRIPS_MS {
            let of = |walker: Walker| {
                let is_it = |walk: &&Walk| {
                    walk.version == version && walk.round_trip_ms == round_trip_ms && walk.walker == walker
                };
                walks.iter().filter(is_it).min_by(|one, other| one.seconds.total_cmp(&other.seconds)).unwrap()
            };
            let [ours, find, walkdir] = WALKERS.map(of);
            let [by_find, by_walkdir] = [find, walkdir].map(|it| it.seconds / ours.seconds);
            let target = target(round_trip_ms);
            let holds = if by_find.min(by_walkdir) >= target { "yes" } else { "**no**" };
            let rpcs =
                [ours, find, walkdir].map(|walk| walk.rpcs.values().sum::<u64>().to_string()).join(", ");
            let of_least = of_least(ours, directories);
            let few = if of_least <= MOST_RPCS { "yes" } else { "**no**" };
            let _ = writeln!(
                text,
                "| {version} | {round_trip_ms} ms | {:.2} s | {:.2} s | {:.2} s | {by_find:.1} | {by_walkdir:.1} | \
                 {target:.0} | {holds} | {rpcs} | {of_least:.2} | {few} |",
                ours.seconds, find.seconds, walkdir.seconds
            );
        }
    }
    for walk in walks.iter().filter(|walk| walk.walker == Walker::Scout) {
        eprintln!("{walk:?}");
    }
    text
}
