//! The first walk of a tree behind NFS: against `find` and walkdir one directory after the other, at several round-trip
//! times.
//!
//! ```text
//! cargo bench --bench walk                                   1,000 directories of 50 files: some 7 minutes
//! cargo bench --bench walk -- --directories 200              a first idea
//! ```
//!
//! As root, with the packages that `tests/run install` installs: it runs in guest kernels of `tests/nfs`, for each version of
//! the protocol one for the server and one for the client, since a server is another machine. What the server sends is late by
//! the round-trip time, beside what it takes anyway: without a delay `find`, one RPC after the other, took 0.39 to 0.53 ms for
//! each (four shortest walks). Each walk begins with a fresh mount and dropped caches. nfs-scout's is `run --once --baseline`
//! with an empty state directory: it puts every name on record.
//!
//! RPCs are counted by the client's kernel. The least that a walk can cost is one LOOKUP and one ACCESS a directory, and
//! the READDIRs that its names take.
//!
//! A guest has one slow CPU, which client and walker share, and keeps to one of this machine's: let nothing else run.
//! nfs-scout's walks at 0 and 2 ms take what that CPU takes. Its times vary up to threefold there (v4.2, 0 ms: 0.9 to 2.6 s), so of
//! several walks in turn the shortest counts, for each walker.
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
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use rig::{Mount, Program, agent};
use trial::{Case, Fs, Version};

const FILES_IN_EACH: u32 = 50;
/// The tree, on the server.
const TREE: &str = "/mnt/export/tmpfs/tree";
/// The addresses of the two guests, and where the server's is told its delay.
const SERVER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";
const CONTROL: (&str, u16) = (SERVER, 4711);
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

/// How often the others must take as long as nfs-scout, by round-trip time; without a delay `find` alone.
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

    /// In the server's guest
    #[arg(long, hide = true)]
    serve: bool,

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
    if options.serve {
        return serve(options.directories);
    }
    if let Some(results) = &options.results {
        return in_guest(results, &options.version, options.directories);
    }
    let of = |version| results(version, options.directories);
    let walks: Vec<Walk> = [Version::V3, Version::V42].into_iter().flat_map(of).collect();
    println!("{}", table(&walks, options.directories));
}

/// Has the tree walked in one guest, with the server in another, and gives every walk.
fn results(version: Version, directories: u32) -> Vec<Walk> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("walk-{version}"));
    fs::create_dir_all(&folder).unwrap();
    let results = folder.join("results");
    fs::write(&results, "").unwrap();
    let [here, there] = free_ports();
    let directories = format!("--directories={directories}");
    let mut server = boot(
        &folder.join("console-server"),
        &format!("{here} {there} {SERVER}"),
        &["--serve".to_owned(), directories.clone()],
    );
    let mut client = boot(
        &folder.join("console"),
        &format!("{there} {here} {CLIENT}"),
        &[format!("--version={version}"), format!("--results={}", results.display()), directories],
    );
    client.wait().unwrap();
    let _ = kill_process(Pid::from_child(&server), Signal::TERM);
    server.wait().unwrap();
    let text = fs::read_to_string(&results).unwrap();
    let walks: Vec<Walk> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = WALKERS.len() * ROUND_TRIPS_MS.map(rounds).iter().sum::<usize>();
    assert_eq!(walks.len(), all, "see {}", folder.display());
    walks
}

/// Two UDP ports of this machine that nobody has at the moment.
fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| UdpSocket::bind(("127.0.0.1", 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// Starts a guest with this bench in it.
fn boot(console: &Path, wire: &str, arguments: &[String]) -> Child {
    let console = File::create(console).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    // The kernel ends with us, even if we are killed.
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(root.join("tests/nfs/boot"))
        .arg(std::env::current_exe().unwrap())
        .args(arguments)
        .env("RIG_LIMIT_S", LIMIT.as_secs().to_string())
        .env("RIG_KEEP", format!("{}\n{}", root.display(), target.display()))
        .env("RIG_WIRE", wire)
        .env("RIG_OWN_CPU", "1")
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap()
}

/// In the server's guest: makes the tree, then answers as late as the client wishes, until that hangs up.
fn serve(directories: u32) {
    for number in 0..directories {
        let folder = Path::new(TREE).join(format!("{}/{number}", number / 50));
        fs::create_dir_all(&folder).unwrap();
        rig::create_files(&folder, "job-", FILES_IN_EACH);
    }
    let (client, _) = TcpListener::bind(CONTROL).unwrap().accept().unwrap();
    for wish in BufReader::new(&client).lines() {
        rig::server::round_trip_afar(Duration::from_millis(wish.unwrap().parse().unwrap()));
        (&client).write_all(b"done\n").unwrap();
    }
}

/// The server, as the client commands it.
struct Server(BufReader<TcpStream>);

impl Server {
    /// Waits until it is there, its tree too.
    fn find() -> Self {
        let began = Instant::now();
        loop {
            match TcpStream::connect(CONTROL) {
                Ok(stream) => return Self(BufReader::new(stream)),
                Err(error) => assert!(began.elapsed() < PATIENCE, "no server: {error}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn round_trip(&mut self, milliseconds: u64) {
        writeln!(self.0.get_mut(), "{milliseconds}").unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }
}

fn in_guest(results: &Path, version: &str, directories: u32) {
    let version = if version == Version::V3.to_string() { Version::V3 } else { Version::V42 };
    let mut server = Server::find();
    let mut mount = Mount::from_afar(Case { version, fs: Fs::Tmpfs }, SERVER, Path::new(TREE));
    for round_trip_ms in ROUND_TRIPS_MS {
        for walker in (0..rounds(round_trip_ms)).flat_map(|_| WALKERS) {
            server.round_trip(0);
            mount.remount("");
            rig::drop_caches();
            server.round_trip(round_trip_ms);
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
            let by_least = if round_trip_ms == 0 { by_find } else { by_find.min(by_walkdir) };
            let holds = if by_least >= target { "yes" } else { "**no**" };
            let rpcs =
                [ours, find, walkdir].map(|walk| walk.rpcs.values().sum::<u64>().to_string()).join(", ");
            let of_least = of_least(ours, directories);
            let few = if of_least <= MOST_RPCS { "yes" } else { "**no**" };
            let _ = writeln!(
                text,
                "| {version} | {round_trip_ms} ms | {:.2} s | {:.2} s | {:.2} s | {by_find:.2} | {by_walkdir:.2} | \
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
