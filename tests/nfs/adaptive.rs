//! The adaptive schedule on a real mount: sooner than a `find` loop at the same RPC rate, as soon as `plan` says, and
//! slower when the server is.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::rig::{self, Mount, Program, Running};
use crate::trial::{BOTH, Case, Trial};

/// Directories in which files arrive, by a Zipf law with exponent 1.
const DIRECTORIES: usize = 300;
/// Files that arrive a second, in all of them.
const ARRIVALS: f64 = 6.0;
/// The loop that is compared with: `find`, once in so long.
const FIND_EVERY: Duration = Duration::from_secs(10);
const LEARN: Duration = Duration::from_secs(45);
const COMPARE: Duration = Duration::from_secs(50);
/// For what takes a second or two in the guest.
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, body| Trial::each("adaptive", what, &BOTH, body);
    // One boot has not the time for all of them.
    let budget = |what, body| Trial::each("budget", what, &BOTH, body);
    let slow = |trials, seconds| Trial::within(trials, Duration::from_secs(seconds));
    [
        slow(each("sooner_than_find_and_as_planned", sooner_than_find_and_as_planned), 200),
        slow(budget("slows_down_with_the_server", slows_down_with_the_server), 120),
        slow(budget("what_waited_is_paid_for", what_waited_is_paid_for), 120),
    ]
    .concat()
}

/// The agent learns, `plan` says what it will do, and then it runs beside a `find` loop that costs the same.
fn sooner_than_find_and_as_planned(case: Case) {
    let mount = Mount::new(case, "actimeo=3,nosharecache");
    let for_find = Mount::new(case, "actimeo=3,nosharecache");
    let mut producer = Producer::new(&[mount.server_path(), for_find.server_path()]);
    // What one round of the loop costs, its caches expired as they are each time, all names known.
    find(for_find.client_path());
    sleep(Duration::from_secs(4));
    let (round, _) = for_find.cost(|| find(for_find.client_path()));
    let rate = round.total() as f64 / FIND_EVERY.as_secs_f64();
    // Twice the looks that the interval needs are what `--budget auto` spends.
    let looked_at = DIRECTORIES as f64 + 1.0;
    let interval = format!("{}ms", (2.0 * looked_at / rate * 1000.0).round());
    let state = PathBuf::from(format!("/tmp/state-adaptive-{case}"));

    let agent = start(&mount, &state, &interval, &["--settle", "0s", "--baseline"]);
    producer.produce(LEARN);
    agent.terminate(SOON).expect_code(0);
    let plan = plan(&mount, &state, &interval);
    let (planned_mean, planned_rate) = (number(&plan, "mean_latency_s"), number(&plan, "rpcs_per_s"));

    let agent = start(&mount, &state, &interval, &["--settle", "0s"]);
    // The first look of a run at a directory has to find it: by then each had its own.
    sleep(Duration::from_secs(5));
    let (mine, finds) = (mount.rpcs(), for_find.rpcs());
    let started = Instant::now();
    let finder = Finder::start(for_find.client_path());
    let arrived = producer.produce(COMPARE);
    let seconds = started.elapsed().as_secs_f64();
    let (mine, finds) = (mount.rpcs().since(&mine), for_find.rpcs().since(&finds));
    sleep(FIND_EVERY + Duration::from_secs(2));
    let by_find = finder.end();
    let events = agent.terminate(SOON).expect_code(0).stdout;

    let ours = latencies(&arrived, &detections(&events));
    let theirs = latencies(&arrived, &by_find);
    let (mean, find_mean) = (mean(&ours), mean(&theirs));
    let my_rate = mine.total() as f64 / seconds;
    println!(
        "{}{} files by a Zipf law over {DIRECTORIES} directories: mean latency {mean:.2} s at {my_rate:.0} RPC/s \
         (planned: {planned_mean:.2} s at {planned_rate:.0} RPC/s); find each 10 s: {find_mean:.2} s at {:.0} RPC/s, \
         {} never seen",
        rig::MEASURED,
        arrived.len(),
        finds.total() as f64 / seconds,
        arrived.len() - theirs.len(),
    );
    println!("agent: {mine}\nfind: {finds}");
    assert!(arrived.len() > 200, "{}", arrived.len());
    assert_eq!(ours.len(), arrived.len(), "none is lost");
    assert!(mine.total() <= finds.total() * 110 / 100, "{mine} against {finds}");
    assert!(mean * 5.0 <= find_mean, "{mean} against {find_mean}");
    for (what, planned, found) in [("latency", planned_mean, mean), ("RPC rate", planned_rate, my_rate)] {
        let ratio = found / planned;
        assert!((0.75..=1.25).contains(&ratio), "{what}: planned {planned}, found {found}");
    }
    assert!(
        my_rate <= 1.06 * planned_rate,
        "what news cost is paid out of the budget: {my_rate} of {planned_rate}"
    );
}

/// Files that are read at a later look than the one that found them cost more than a quarter of the budget.
fn what_waited_is_paid_for(case: Case) {
    const BUDGET: f64 = 120.0;
    let mount = Mount::new(case, "");
    let mut producer = Producer::new(&[mount.server_path()]);
    let state = PathBuf::from(format!("/tmp/state-waited-{case}"));
    let arguments = ["--baseline", "--settle", "1s", "--budget", &format!("{BUDGET}/s")];
    let agent = start(&mount, &state, "20s", &arguments);
    rig::agent::wait_for_confirmed(&mount);
    producer.produce(Duration::from_secs(10));
    let (before, started) = (mount.rpcs(), Instant::now());
    let arrived = producer.produce(Duration::from_secs(40));
    let seconds = started.elapsed().as_secs_f64();
    let rpcs = mount.rpcs().since(&before);
    sleep(Duration::from_secs(25));
    let events = agent.terminate(SOON).expect_code(0).stdout;
    let ours = latencies(&arrived, &detections(&events));
    let rate = rpcs.total() as f64 / seconds;
    println!(
        "{}{} files that had to settle for a second: mean latency {:.2} s at {rate:.0} of {BUDGET} RPC/s; {rpcs}",
        rig::MEASURED,
        arrived.len(),
        mean(&ours),
    );
    assert!(arrived.len() > 150, "{}", arrived.len());
    assert_eq!(ours.len(), arrived.len(), "none is lost");
    assert!(rate <= 1.06 * BUDGET, "{rate} of {BUDGET} RPC/s");
}

/// The round-trip time goes from 1 ms to 50 ms and back.
fn slows_down_with_the_server(case: Case) {
    const WORKERS: usize = 8;
    let mount = Mount::new(case, "");
    for number in 0..DIRECTORIES {
        fs::create_dir_all(mount.server_path().join(number.to_string())).unwrap();
    }
    rig::server::round_trip(Duration::from_millis(1));
    let state = PathBuf::from(format!("/tmp/state-brake-{case}"));
    let agent = start(
        &mount,
        &state,
        "10s",
        &["--settle", "0s", "--budget", "150/s", "--workers", &WORKERS.to_string()],
    );
    // The first walk and the confirming listings are over, and paid for.
    rig::agent::wait_for_confirmed(&mount);
    sleep(Duration::from_secs(10));
    let fast = Load::of(&mount);
    rig::server::round_trip(Duration::from_millis(50));
    sleep(Duration::from_secs(6));
    let slow = Load::of(&mount);
    rig::server::round_trip(Duration::from_millis(1));
    sleep(Duration::from_secs(12));
    let again = Load::of(&mount);
    println!("{}round trip 1 ms: {fast}; 50 ms: {slow}; 1 ms again: {again}", rig::MEASURED);
    agent.terminate(SOON).expect_code(0);
    assert!(slow.rate < 0.6 * fast.rate, "{slow} against {fast}");
    assert!(again.rate > 0.8 * fast.rate, "{again} against {fast}");
    // Two calls a worker are handed out, one of them is on the wire.
    assert!(slow.in_flight <= WORKERS as f64, "{slow}");
}

/// RPCs a second, and how many were under way in the mean (Little's law), over some seconds.
struct Load {
    rate: f64,
    in_flight: f64,
}

impl Load {
    fn of(mount: &Mount) -> Self {
        let (before, waited, started) = (mount.rpcs(), mount.round_trips(), Instant::now());
        sleep(Duration::from_secs(10));
        let (rpcs, seconds) = (mount.rpcs().since(&before), started.elapsed().as_secs_f64());
        let waited = mount.round_trips().saturating_sub(waited);
        Self { rate: rpcs.total() as f64 / seconds, in_flight: waited.as_secs_f64() / seconds }
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} RPC/s, {:.2} in flight", self.rate, self.in_flight)
    }
}

/// Writes the same files into each of some trees on the server, at fixed times, into directories drawn by a Zipf law.
struct Producer {
    servers: Vec<PathBuf>,
    /// The sum of the weights of the directories up to each.
    weights: Vec<f64>,
    random: u64,
    count: usize,
}

impl Producer {
    fn new(servers: &[&Path]) -> Self {
        let mut sum = 0.0;
        let weight = |number: usize| {
            sum += 1.0 / (number as f64 + 1.0);
            sum
        };
        let weights: Vec<f64> = (0..DIRECTORIES).map(weight).collect();
        for number in 0..DIRECTORIES {
            for server in servers {
                let folder = server.join(format!("{number:03}"));
                fs::create_dir_all(&folder).unwrap();
                rig::create_files(&folder, "old-", 5);
            }
        }
        Self {
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            weights,
            random: 7,
            count: 0,
        }
    }

    /// Goes on for so long; tells when each file arrived.
    fn produce(&mut self, time: Duration) -> BTreeMap<String, SystemTime> {
        let mut arrived = BTreeMap::new();
        let started = Instant::now();
        let mut next = 0.0;
        while next < time.as_secs_f64() {
            let ahead = next - started.elapsed().as_secs_f64();
            sleep(Duration::try_from_secs_f64(ahead).unwrap_or_default());
            // Exponential distances: a Poisson process.
            next += -self.draw().ln() / ARRIVALS;
            let at = self.draw() * self.weights[DIRECTORIES - 1];
            let number = self.weights.partition_point(|sum| *sum < at);
            let path = format!("{number:03}/new-{:05}", self.count);
            self.count += 1;
            arrived.insert(path.clone(), SystemTime::now());
            for server in &self.servers {
                let coming = server.join(format!("{number:03}/.coming"));
                fs::write(&coming, &path).unwrap();
                fs::rename(coming, server.join(&path)).unwrap();
            }
        }
        arrived
    }

    /// A number above 0 and up to 1.
    fn draw(&mut self) -> f64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) as f64 + 1.0) / (1_u64 << 31) as f64
    }
}

/// The loop that is compared with; notes when it saw each new name.
struct Finder {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: thread::JoinHandle<BTreeMap<String, SystemTime>>,
}

impl Finder {
    fn start(folder: &Path) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (folder, is_over) = (folder.to_owned(), std::sync::Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut known: BTreeSet<String> = find(&folder);
            let mut found = BTreeMap::new();
            let mut next = Instant::now() + FIND_EVERY;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                if Instant::now() < next {
                    sleep(Duration::from_millis(20));
                    continue;
                }
                next += FIND_EVERY;
                let names = find(&folder);
                let now = SystemTime::now();
                found.extend(names.difference(&known).map(|name| (name.clone(), now)));
                known = names;
            }
            found
        });
        Self { stop, thread }
    }

    fn end(self) -> BTreeMap<String, SystemTime> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// `find -type f` that asks for each file's time, as who looks for news does; the paths below `folder`.
fn find(folder: &Path) -> BTreeSet<String> {
    let output = Program::named("find")
        .args([folder])
        .args(["-type", "f", "-newermt", "2000-01-01", "-printf", "%P\\n"])
        .run(SOON)
        .expect_code(0);
    output.stdout.lines().map(str::to_owned).collect()
}

fn start(mount: &Mount, state: &Path, interval: &str, arguments: &[&str]) -> Running {
    Program::agent()
        .args(["run", "--config", "/dev/null", "--events", "-", "--interval", interval, "--state"])
        .args([state, mount.client_path()])
        .args(arguments)
        .start()
}

/// What `plan` says of an interval, from what the agent has learnt.
fn plan(mount: &Mount, state: &Path, interval: &str) -> Value {
    let ended = Program::agent()
        .args(["plan", "--config", "/dev/null", "--json", "--interval", interval, "--state"])
        .args([state, mount.client_path()])
        .run(SOON)
        .expect_code(0);
    let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(plan["survey"]["has_history"], true, "{plan}");
    plan["choices"][0].clone()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// When each path was detected, by the agent's own clock, which is the producer's.
fn detections(events: &str) -> BTreeMap<String, SystemTime> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let detected: jiff::Timestamp = event["detected_at"].as_str().unwrap().parse().unwrap();
        (event["path"].as_str().unwrap().to_owned(), SystemTime::from(detected))
    };
    events.lines().map(event).collect()
}

fn latencies(arrived: &BTreeMap<String, SystemTime>, found: &BTreeMap<String, SystemTime>) -> Vec<f64> {
    let latency = |(path, since): (&String, &SystemTime)| {
        Some(found.get(path)?.duration_since(*since).unwrap_or_default().as_secs_f64())
    };
    arrived.iter().filter_map(latency).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
