//! What the agent costs its server, counted by the client's kernel: the figures that the README promises.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::rig::{self, Mount, Program, Rpcs, Running};
use crate::trial::{BOTH, Case, Trial};

/// Longer than `actimeo=3`.
const CACHES_EXPIRE: Duration = Duration::from_secs(4);
/// For what takes a second or two in the guest.
const SOON: Duration = Duration::from_secs(40);
/// For what takes long with many files.
const LATER: Duration = Duration::from_secs(300);

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, body| Trial::each("costs", what, &BOTH, body);
    let slow = |trials, seconds| Trial::within(trials, Duration::from_secs(seconds));
    [
        slow(each("unchanged_directory_is_one_rpc", unchanged_directory_is_one_rpc), 90),
        slow(each("news_among_20_000_files", |case| news_in_a_flat_directory(case, 20_000, 30)), 120),
        slow(each("long_operation_writes_nothing", long_operation_writes_nothing), 120),
        slow(each("news_is_found_under_every_mount_option", news_is_found_under_every_mount_option), 120),
        slow(each("only_a_forced_look_is_fresh_without_cto", only_a_forced_look_is_fresh_without_cto), 60),
        each("ways_of_refreshing", ways_of_refreshing),
        slow(each("comparison", comparison), 900),
    ]
    .concat()
}

/// 500 directories down to depth 6, every attribute cache expired between polls.
fn unchanged_directory_is_one_rpc(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    // The root, a, b, c; 16 times d and e; 29 in each e.
    for leaf in 0..464 {
        let path = mount.server_path().join(format!("a/b/c/d{}/e/f{leaf}", leaf % 16));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("job.tgz"), "").unwrap();
    }
    let state = new_state();
    let mut agent = start(&mount, &state, &["--baseline", "--interval", "12s"]);
    wait_for_index(&mut agent, &mount, &state, 464);
    let reported = || -> u64 {
        let status = inquire(&state, &["status"]);
        status["rpcs"].as_object().unwrap().values().map(|it| it["count"].as_u64().unwrap()).sum()
    };
    let said_before = reported();
    let mut said = 0;
    for _ in 0..2 {
        let poll = next_burst(&mount);
        said += poll.total();
        rig::measured("a poll of 500 unchanged directories at depth 6, caches expired", &poll);
        assert_only_getattr(&poll);
        assert!((490..=510).contains(&poll.of("GETATTR")), "{poll}");
    }
    assert_eq!(reported() - said_before, said, "the agent's own count");
    agent.terminate(SOON).expect_code(0);

    sleep(CACHES_EXPIRE);
    let (rpcs, ended) = mount.cost(|| once(&mount, &state, &[]));
    rig::measured("a one-shot run over the same, caches expired", &rpcs);
    assert!(ended.contains("looked at 500 directories"), "{ended}");
    assert_eq!(rpcs.writes(), 0);
}

/// One archive arrives among many known files.
fn news_in_a_flat_directory(case: Case, files: usize, bound: u64) {
    let mount = Mount::new(case, "");
    rig::create_files(mount.server_path(), "job-", files);
    let state = new_state();
    let started = Instant::now();
    let (contact, mut agent) = mount.cost(|| {
        let mut agent = start(&mount, &state, &["--baseline", "--interval", "5s"]);
        let is_idle = |rpcs: &Rpcs| rpcs.total() == rpcs.of("GETATTR") + rpcs.of("SEQUENCE");
        quiet(&mount);
        // Answers about so large an index take too long here: when only polls are left, it is known.
        while !is_idle(&next_burst(&mount)) {
            assert!(agent.is_alive() && started.elapsed() < LATER, "{}", agent.stderr());
        }
        agent
    });
    println!("first contact took {:?}", started.elapsed());
    rig::measured(&format!("first contact with {files} files, --baseline"), &contact);
    let idle = next_burst(&mount);
    rig::measured(&format!("a poll of {files} unchanged files in one directory"), &idle);
    assert_only_getattr(&idle);

    let (found, ()) = mount.cost(|| {
        arrive(&mount, "new.tgz");
        agent.wait_for_stdout(LATER, |text| text.contains("new.tgz"));
    });
    rig::measured(&format!("found, stat'ed and read one new archive among {files} files"), &found);
    let (confirmed, ()) = mount.cost(|| quiet(&mount));
    rig::measured(&format!("the confirming second listing of {files} files"), &confirmed);
    agent.terminate(SOON).expect_code(0);
    assert!(found.total() <= bound, "{found}");
    assert_eq!((contact.writes(), found.writes()), (0, 0));
}

/// Days in a minute: whatever can happen to files happens on the server's side, under a running agent with short
/// audits, restarts, a kill and one-shot runs.
fn long_operation_writes_nothing(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    let state = new_state();
    let server = mount.server_path();
    let often =
        ["--interval", "300ms", "--settle", "200ms", "--audit", "1s", "--audit-stat", "--give-up", "2s"];
    let mut output = String::new();
    for day in 0..6 {
        let mut agent = start(&mount, &state, &often);
        for hour in 0..12 {
            a_busy_hour(server, day, hour);
            sleep(Duration::from_millis(150));
        }
        let last = format!("day-{day}/renamed-11.tgz");
        agent.wait_for_stdout(SOON, |text| text.contains(&last));
        // Killed on odd days: its last lines may not be confirmed then, and come again under the same id.
        let ended = if day % 2 == 0 { agent.terminate(SOON).expect_code(0) } else { agent.kill() };
        output += &ended.stdout;
        arrive(&mount, &format!("day-{day}/overnight.tgz"));
        let one_shot = program(&mount, &state, &often).args(["--once"]).run(SOON).expect_code(0);
        output += &one_shot.stdout;
    }
    let all = mount.rpcs();
    rig::measured("six days of operation", &all);
    assert_eq!(all.writes(), 0, "{all}");
    for day in 0..6 {
        assert!(output.contains(&format!("day-{day}/overnight.tgz")), "{day}");
    }
    let seqs: Vec<&str> = output.lines().filter_map(|line| line.split("\"seq\":").nth(1)).collect();
    assert!(seqs.len() >= 6 * 13, "{}", seqs.len());
}

fn a_busy_hour(server: &Path, day: u32, hour: u32) {
    let folder = server.join(format!("day-{day}"));
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(format!("{name}-{hour}.tgz"));
    // In place and by rename.
    fs::copy(sample(), path("written")).unwrap();
    fs::copy(sample(), folder.join(".coming")).unwrap();
    fs::rename(folder.join(".coming"), path("renamed")).unwrap();
    fs::write(folder.join(format!("text-{hour}.txt")), format!("{day} {hour}")).unwrap();
    fs::write(folder.join(format!("broken-{hour}.tgz")), "no archive").unwrap();
    let before = |name: &str| folder.join(format!("{name}-{}.tgz", hour.wrapping_sub(1)));
    if hour > 0 {
        // Replaced, touched, rewritten in place, moved, removed.
        match hour % 5 {
            0 => fs::rename(path("written"), before("written")).unwrap(),
            1 => {
                fs::File::open(before("renamed"))
                    .unwrap()
                    .set_modified(std::time::SystemTime::now())
                    .unwrap();
            }
            2 => fs::write(before("renamed"), "rewritten").unwrap(),
            3 => fs::rename(before("renamed"), folder.join(format!("moved-{hour}.tgz"))).unwrap(),
            _ => fs::remove_file(before("renamed")).unwrap(),
        }
    }
    if hour == 6 && day > 0 {
        fs::rename(server.join(format!("day-{}", day - 1)), server.join(format!("archive-{day}"))).unwrap();
    }
    if hour == 9 && day > 1 {
        fs::remove_dir_all(server.join(format!("archive-{}", day - 1))).unwrap();
    }
}

/// A forced look finds what is new within the interval, however the mount caches. One agent a mount, all at once.
fn news_is_found_under_every_mount_option(case: Case) {
    const INTERVAL: Duration = Duration::from_secs(3);
    let all = ["", "noac", "nocto", "actimeo=600", "lookupcache=none", "soft", "nconnect=4"];
    let mut all = all.map(|options| Watched::start(case, options, &["--interval", "3s"]));
    for watched in &mut all {
        watched.see_the_first();
    }
    // Past the confirming listings.
    sleep(INTERVAL);
    for name in ["second.tgz", "third.tgz"] {
        for watched in &mut all {
            let after = watched.find(name, SOON).unwrap();
            println!(
                "{}options '{}', --interval 3s: found after {after:.1?}",
                rig::MEASURED,
                watched.options
            );
            assert!(after <= 2 * INTERVAL, "options '{}': {after:?}", watched.options);
        }
    }
}

/// What `--refresh open` cannot promise on a `nocto` mount, and `--refresh plain` on any without delegations: both are
/// as late as the client's attribute cache.
fn only_a_forced_look_is_fresh_without_cto(case: Case) {
    let all = [("open", "", true), ("open", "nocto", false), ("plain", "", false), ("plain", "noac", true)];
    let mut all = all.map(|(refresh, options, is_fresh)| {
        let arguments = ["--interval", "1s", "--refresh", refresh];
        (refresh, is_fresh, Watched::start(case, options, &arguments))
    });
    for (_, _, watched) in &mut all {
        watched.see_the_first();
    }
    // Past the confirming listings, which ask in any case.
    sleep(Duration::from_secs(6));
    for (refresh, is_fresh, watched) in &mut all {
        let after = watched.find("second.tgz", Duration::from_secs(4));
        let options = watched.options;
        println!(
            "{}--refresh {refresh}, options '{options}', --interval 1s: found after {after:.1?}",
            rig::MEASURED
        );
        assert_eq!(after.is_some(), *is_fresh, "--refresh {refresh}, options '{options}'");
    }
}

/// A mount with caches of its own and the agent at work on it.
struct Watched {
    options: &'static str,
    agent: Running,
    mount: Mount,
}

impl Watched {
    fn start(case: Case, options: &'static str, arguments: &[&str]) -> Self {
        let separate =
            if options.is_empty() { "nosharecache".to_owned() } else { format!("nosharecache,{options}") };
        let mount = Mount::new(case, &separate);
        fs::create_dir_all(mount.server_path().join("a/b")).unwrap();
        arrive(&mount, "a/b/first.tgz");
        let agent = start(&mount, &new_state(), arguments);
        Self { options, agent, mount }
    }

    fn see_the_first(&mut self) {
        self.agent.wait_for_stdout(SOON, |text| text.contains("first.tgz"));
    }

    /// How long it takes until the agent has found what arrives now; `None` if longer than `limit`.
    fn find(&mut self, name: &str, limit: Duration) -> Option<Duration> {
        arrive(&self.mount, &format!("a/b/{name}"));
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.agent.stdout().contains(name) {
                return Some(started.elapsed());
            }
            sleep(Duration::from_millis(20));
        }
        None
    }
}

/// What a poll of 50 unchanged directories costs by each way of refreshing, caches expired.
fn ways_of_refreshing(case: Case) {
    let start_one = |refresh: &'static str| {
        let mount = Mount::new(case, "actimeo=3,nosharecache");
        for index in 0..49 {
            fs::create_dir(mount.server_path().join(index.to_string())).unwrap();
        }
        let agent = start(&mount, &new_state(), &["--interval", "9s", "--refresh", refresh]);
        (refresh, mount, agent)
    };
    let all = ["force", "open", "plain"].map(start_one);
    sleep(Duration::from_secs(7));
    let before = all.each_ref().map(|(_, mount, _)| mount.rpcs());
    // One poll: the confirming listings are over 3 s after the start, the next look comes 8.1 to 8.8 s after them.
    sleep(Duration::from_secs(8));
    for ((refresh, mount, _), before) in all.iter().zip(&before) {
        let cost = mount.rpcs().since(before);
        rig::measured(&format!("a poll of 50 unchanged directories, --refresh {refresh}"), &cost);
        assert_eq!(cost.writes(), 0);
    }
}

/// The same tree and the same news, looked for in every way; each finds the client's attribute caches expired, as a
/// job does that cron starts once a minute.
fn comparison(case: Case) {
    const DIRECTORIES: usize = 200;
    let mount = Mount::new(case, "actimeo=3");
    let (client, server) = (mount.client_path(), mount.server_path());
    for index in 0..DIRECTORIES {
        let folder = server.join(format!("jobs/{index}"));
        fs::create_dir_all(&folder).unwrap();
        rig::create_files(&folder, "job-", 20);
    }
    fs::create_dir(server.join("flat")).unwrap();
    rig::create_files(&server.join("flat"), "job-", 20_000);
    let news = |name: &str| {
        arrive(&mount, &format!("flat/{name}.tgz"));
        arrive(&mount, &format!("jobs/7/{name}.tgz"));
    };
    let state = new_state();
    let mut rows: Vec<(&str, Rpcs)> = Vec::new();

    let mut agent = start(&mount, &state, &["--baseline", "--interval", "12s"]);
    wait_for_index(&mut agent, &mount, &state, 24_000);
    rows.push(("`nfs-scout`, running: a poll, nothing new", next_burst(&mount)));
    news("one");
    let (cost, ()) = mount.cost(|| {
        agent.wait_for_stdout(SOON, |text| text.lines().count() == 2);
        quiet(&mount);
    });
    rows.push(("`nfs-scout`, running: a poll, 2 new files found and read", cost));
    agent.terminate(SOON).expect_code(0);
    sleep(CACHES_EXPIRE);
    rows.push(("`nfs-scout run --once`, nothing new", mount.cost(|| once(&mount, &state, &[])).0));
    news("two");
    sleep(CACHES_EXPIRE);
    rows.push((
        "`nfs-scout run --once`, 2 new files found and read",
        mount.cost(|| once(&mount, &state, &[])).0,
    ));

    fs::write("/tmp/reference", "").unwrap();
    let find = |arguments: &[&str]| {
        news(&format!("for-find-{}", arguments.len()));
        sleep(CACHES_EXPIRE);
        let find = Program::named("find").args([client]).args(arguments);
        mount.cost(|| find.run(LATER).expect_code(0)).0
    };
    news("three");
    sleep(CACHES_EXPIRE);
    rows.push(("names and types of everything (2 new files listed)", mount.cost(|| walk(client)).0));
    rows.push(("`find -type f` (2 new files listed)", find(&["-type", "f"])));
    rows.push((
        "`find -type f -newer` (2 new files listed)",
        find(&["-type", "f", "-newer", "/tmp/reference"]),
    ));
    // One process for many files: the RPCs are those of one process a file.
    rows.push(("touch job, `find -type f -exec touch`", find(&["-type", "f", "-exec", "touch", "{}", "+"])));

    for (what, rpcs) in &rows {
        println!("{}| {what} | {} | {} | {rpcs} |", rig::MEASURED, rpcs.total(), rpcs.writes());
    }
    let (idle, touch) = (&rows[0].1, &rows[rows.len() - 1].1);
    assert_only_getattr(idle);
    // The root, jobs, flat.
    assert!(idle.total() <= (DIRECTORIES as u64 + 3) * 102 / 100, "{idle}");
    assert!(rows[..4].iter().all(|(_, rpcs)| rpcs.writes() == 0));
    assert!(touch.writes() >= 24_000 && touch.total() > 100 * idle.total(), "{touch}");
}

/// Besides the sign of life that an `NFSv4` client gives in any case.
#[track_caller]
fn assert_only_getattr(rpcs: &Rpcs) {
    assert_eq!(rpcs.total(), rpcs.of("GETATTR") + rpcs.of("SEQUENCE"), "{rpcs}");
}

/// Names and types of a whole tree.
fn walk(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
}

fn new_state() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/tmp/state-{}-{number}", std::process::id()))
}

fn program(mount: &Mount, state: &Path, arguments: &[&str]) -> Program {
    let program = Program::agent().args(["run", "--config", "/dev/null", "--events", "-", "--state"]);
    program.args([state, mount.client_path()]).args(arguments)
}

fn start(mount: &Mount, state: &Path, arguments: &[&str]) -> Running {
    program(mount, state, arguments).start()
}

/// A one-shot run; what it says about itself.
fn once(mount: &Mount, state: &Path, arguments: &[&str]) -> String {
    program(mount, state, arguments).args(["--once"]).run(LATER).expect_code(0).stderr
}

fn inquire(state: &Path, question: &[&str]) -> serde_json::Value {
    let program = Program::agent().args(question).args(["--json", "--config", "/dev/null", "--state"]);
    let answer = program.args([state]).run(LATER).expect_code(0).stdout;
    serde_json::from_str(&answer).unwrap()
}

/// An archive that was never there before comes into being under its name, whole.
fn arrive(mount: &Mount, path: &str) {
    rig::next_tick();
    let path = mount.server_path().join(path);
    let coming = path.with_file_name(".coming");
    fs::copy(sample(), &coming).unwrap();
    fs::rename(coming, path).unwrap();
}

/// Waits until the agent knows so many files and asks nothing any more.
fn wait_for_index(agent: &mut Running, mount: &Mount, state: &Path, files: u64) {
    let started = Instant::now();
    loop {
        quiet(mount);
        assert!(agent.is_alive() && started.elapsed() < LATER, "{}", agent.stderr());
        if inquire(state, &["index", "stat"])["files"].as_u64() >= Some(files) {
            break;
        }
    }
    quiet(mount);
}

/// Waits until nothing was sent for longer than `actimeo=3`.
fn quiet(mount: &Mount) {
    let (mut last, mut since) = (mount.rpcs(), Instant::now());
    while since.elapsed() < CACHES_EXPIRE.saturating_sub(Duration::from_millis(500)) {
        sleep(Duration::from_millis(50));
        let now = mount.rpcs();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// The RPCs from now, when nothing is under way, until nothing is under way again: one poll.
fn next_burst(mount: &Mount) -> Rpcs {
    let before = mount.rpcs();
    rig::eventually("a poll", LATER, || mount.rpcs() != before);
    quiet(mount);
    mount.rpcs().since(&before)
}

/// A whole archive.
fn sample() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/copilot-output/2026/11/20/job-20000000.tgz"))
}
