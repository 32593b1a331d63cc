//! The whole way: jobs dropped on a tree reach Redis and a consumer of the queue with exact totals, whatever breaks.
//!
//! What is expected is counted from the archives themselves by code that shares nothing with the program.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Commands;
use rustix::process::Signal;
use serde_json::Value;
use support::eventually;
use support::scout::{Scout, events_in, finish};
use support::servers::{RabbitServer, RedisServer};

/// The figures of one namespace: counters and rankings by name.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    counters: BTreeMap<String, i64>,
    rankings: BTreeMap<String, BTreeMap<String, f64>>,
    users: BTreeSet<String>,
}

type Count = BTreeMap<String, Figures>;

/// What lies on a tree: the figures, and each file's path with its id.
#[derive(Default)]
struct Witness {
    figures: Count,
    ids: BTreeMap<String, String>,
}

impl Witness {
    fn of(root: &Path) -> Self {
        let mut witness = Self::default();
        for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
            if entry.file_type().is_file() {
                witness.take(root, entry.path());
            }
        }
        witness
    }

    fn take(&mut self, root: &Path, path: &Path) {
        let bytes = fs::read(path).unwrap();
        let below = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let content = blake3::hash(&bytes);
        let id = blake3::hash(&[below.as_bytes(), b"\0", content.as_bytes()].concat()).to_hex().to_string();
        self.ids.insert(below, id);
        let (jobdata, experiments) = open(&bytes);
        for namespace in experiments.iter().map(String::as_str).chain(["TOTAL"]) {
            count_job(self.figures.entry(namespace.to_owned()).or_default(), &jobdata);
        }
    }
}

/// The key-value lines of an archive and the experiments of its analyses.
fn open(bytes: &[u8]) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let (mut fields, mut experiments) = (BTreeMap::new(), BTreeSet::new());
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let path = member.path().unwrap().into_owned();
        let name = path.file_name().unwrap_or_default().to_str().unwrap().to_owned();
        if name == "jobdata" {
            let mut text = String::new();
            member.read_to_string(&mut text).unwrap();
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            fields.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        } else if let Some((experiment, rest)) = name.split_once('_')
            && path.strip_prefix("./").unwrap_or(&path).starts_with("dat")
            && path.extension().is_some_and(|extension| extension == "dat")
            && rest.get(..4).is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()))
        {
            experiments.insert(experiment.to_owned());
        }
    }
    (fields, experiments)
}

fn count_job(figures: &mut Figures, jobdata: &BTreeMap<String, String>) {
    let field = |key: &str| jobdata.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let events: i64 = field("events").map_or(0, |events| events.parse().unwrap());
    let succeeded = field("exitcode") == Some("0");
    let user = field("USER_ID").map(str::to_owned);
    let user = user.or_else(|| field("BOINC_USERID").map(|number| format!("b-{number}")));
    let generator = field("run").map(|run| run.split_whitespace().nth(5).unwrap().to_owned());
    let mut add = |counter: &str, by| *figures.counters.entry(counter.to_owned()).or_default() += by;
    add("jobs_completed", 1);
    add("events", if succeeded { events } else { 0 });
    add("jobs_failed", i64::from(!succeeded));
    let mut score = |ranking: &str, member: &Option<String>, by: f64| {
        if let Some(member) = member {
            *figures.rankings.entry(ranking.to_owned()).or_default().entry(member.clone()).or_default() += by;
        }
    };
    let made = u32::try_from(events).unwrap();
    score("PER_USER/jobs_completed", &user, 1.0);
    score("PER_GENERATOR/jobs_completed", &generator, 1.0);
    if succeeded {
        score("PER_USER/events", &user, f64::from(made));
        score("PER_GENERATOR/events", &generator, f64::from(made));
    } else {
        score("PER_USER/jobs_failed", &user, 1.0);
    }
    for key in ["cpuusage", "diskusage"] {
        if let Some(number) = field(key).and_then(|number| number.parse().ok()) {
            score(&format!("PER_USER/{key}"), &user, number);
        }
    }
    figures.users.extend(user);
}

/// What Redis holds of the same namespaces, and of no others.
fn in_redis(redis: &mut redis::Connection) -> Count {
    let mut found = Count::new();
    for key in redis.keys::<_, Vec<String>>("T4TC_MONITOR/*").unwrap() {
        let (namespace, rest) = key["T4TC_MONITOR/".len()..].split_once('/').unwrap();
        if namespace == "CURSOR" || rest == "EVENT_BUFFER" || rest.starts_with("NEW_USERS/") {
            continue;
        }
        let figures = found.entry(namespace.to_owned()).or_default();
        if rest.is_empty() {
            let mut counters: BTreeMap<String, String> = redis.hgetall(&key).unwrap();
            counters.remove("event_rate");
            let numbers = counters.into_iter().map(|(counter, count)| (counter, count.parse().unwrap()));
            figures.counters.extend(numbers);
        } else if rest == "USERS" {
            figures.users = redis.smembers(&key).unwrap();
        } else {
            let ranking: Vec<(String, f64)> = redis.zrange_withscores(&key, 0, -1).unwrap();
            figures.rankings.insert(rest.to_owned(), ranking.into_iter().collect());
        }
    }
    found
}

/// What the program's own ledger holds.
fn in_ledger(scout: &Scout) -> Count {
    let stats = scout.ask(&["stats"]);
    let namespaces = stats["namespaces"].as_object().unwrap().iter();
    let read = |(name, namespace): (&String, &Value)| {
        let figures = Figures {
            counters: serde_json::from_value(namespace["counters"].clone()).unwrap(),
            rankings: serde_json::from_value(namespace["rankings"].clone()).unwrap(),
            users: BTreeSet::new(),
        };
        (name.clone(), figures)
    };
    namespaces.map(read).collect()
}

/// Checks figures in whole; a counter that nothing changed may be absent or 0.
#[track_caller]
fn check_count(what: &str, mut found: Count, expected: &Count) {
    for (namespace, figures) in &mut found {
        figures.counters.retain(|_, count| *count != 0);
        for ranking in figures.rankings.values_mut() {
            ranking.retain(|_, score| *score != 0.0);
        }
        figures.rankings.retain(|_, ranking| !ranking.is_empty());
        let Some(expected) = expected.get(namespace) else { panic!("{what} counts an unknown {namespace}") };
        let counters: BTreeMap<_, _> = expected
            .counters
            .iter()
            .filter(|(_, count)| **count != 0)
            .map(|(key, count)| (key.clone(), *count))
            .collect();
        assert_eq!(figures.counters, counters, "{what}, {namespace}");
        assert_eq!(figures.rankings.keys().collect::<Vec<_>>(), expected.rankings.keys().collect::<Vec<_>>());
        for (ranking, members) in &figures.rankings {
            check_ranking(&format!("{what}, {namespace}, {ranking}"), members, &expected.rankings[ranking]);
        }
        if !figures.users.is_empty() {
            assert_eq!(figures.users, expected.users, "{what}, {namespace}");
        }
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
}

/// Sums of CPU seconds differ in their last digits with the order of their adding; whole numbers do not.
#[track_caller]
fn check_ranking(what: &str, found: &BTreeMap<String, f64>, expected: &BTreeMap<String, f64>) {
    let members = |ranking: &BTreeMap<String, f64>| ranking.keys().cloned().collect::<Vec<_>>();
    let expected: BTreeMap<_, _> = expected
        .iter()
        .filter(|(_, score)| **score != 0.0)
        .map(|(member, score)| (member.clone(), *score))
        .collect();
    assert_eq!(members(found), members(&expected), "{what}");
    for (member, score) in found {
        let wanted = expected[member];
        let close = (score - wanted).abs() <= wanted.abs() * 1e-9;
        assert!(
            close && (what.contains("usage") || score.to_bits() == wanted.to_bits()),
            "{what}: {member} {score}, not {wanted}"
        );
    }
}

/// A program of the examples, which `cargo test` builds; `cargo test --test pipeline` does not.
fn example(name: &str) -> Command {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "build it first: cargo build --examples");
    Command::new(program)
}

/// A process that is killed with the value.
struct Helper(Child);

impl Helper {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    #[track_caller]
    fn succeeds(mut self) {
        let status = eventually("a helper's end", || self.0.try_wait().unwrap());
        assert!(status.success());
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A consumer that does each job once, started again whenever its broker leaves it.
struct Consumer {
    broker: String,
    ids: PathBuf,
    worker: Option<Helper>,
}

impl Consumer {
    fn new(broker: String, ids: PathBuf) -> Self {
        Self { broker, ids, worker: None }
    }

    /// The distinct ids so far, in a line each.
    fn ids(&mut self) -> Vec<String> {
        if self.worker.as_mut().is_none_or(|worker| !worker.is_running()) {
            let mut worker = example("worker");
            worker.args(["--amqp", &self.broker, "--ids"]).arg(&self.ids);
            self.worker = Some(Helper::start(&mut worker));
        }
        let text = fs::read_to_string(&self.ids).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn generate(root: &Path, more: &str) -> Command {
    let mut command = example("generate");
    command.arg(root).args(more.split_whitespace());
    command
}

#[track_caller]
fn check_ids(what: &str, mut found: Vec<String>, witness: &Witness) {
    found.sort();
    let mut expected: Vec<_> = witness.ids.values().cloned().collect();
    expected.sort();
    assert!(found == expected, "{what}: {} ids, not {}", found.len(), expected.len());
}

#[test]
fn two_thousand_jobs_through_an_outage_of_both_servers() {
    const JOBS: usize = 2_000;
    let (mut redis, mut rabbit) = (RedisServer::start(), RabbitServer::start());
    let scout = Scout::new();
    let mut consumer = Consumer::new(rabbit.url(), scout.beside("ids"));
    let sinks = ["--redis", &redis.url(), "--amqp", &rabbit.url(), "--events", "--commit-delay", "10ms"];
    let agent = scout.agent(&sinks);
    let made = Helper::start(&mut generate(
        &scout.root(),
        "--jobs 200 --rate 90/s --total 2000 --layout date --directories 30 --zipf 1",
    ));
    eventually("the first jobs at the consumer", || (consumer.ids().len() > 250).then_some(()));
    redis.kill();
    rabbit.kill();
    agent.logged_times("Lost the sink", 2);
    let at_the_outage = events_in(&scout.beside("events")).len();
    eventually("the scan to go on", || {
        (events_in(&scout.beside("events")).len() > (at_the_outage + 200).min(JOBS - 1)).then_some(())
    });
    redis.restart();
    rabbit.restart();
    made.succeeds();
    eventually("every job at the consumer", || (consumer.ids().len() >= JOBS).then_some(()));
    eventually("every sink at the end", || {
        let status = scout.ask(&["status"]);
        let behind = status["sinks"].as_array()?.iter().all(|sink| sink["behind"] == 0);
        (status["head"] == JOBS && behind).then_some(())
    });

    let witness = Witness::of(&scout.root());
    assert_eq!(witness.ids.len(), JOBS);
    let completed = witness.figures["TOTAL"].counters["jobs_completed"];
    assert_eq!(completed, i64::try_from(JOBS).unwrap());
    assert!(witness.figures.len() > 10 && witness.figures["TOTAL"].counters["jobs_failed"] > 0);
    check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    check_count("the ledger", in_ledger(&scout), &witness.figures);
    check_ids("the consumer", consumer.ids(), &witness);
    let events = events_in(&scout.beside("events"));
    check_ids(
        "the events",
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect(),
        &witness,
    );
    for event in &events {
        assert_eq!(event["id"], witness.ids[event["path"].as_str().unwrap()]);
    }
    agent.stop();

    // And once more from cron: nothing is news, nothing is sent.
    let done = finish(&mut scout.once_command(&sinks));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    assert_eq!(events_in(&scout.beside("events")).len(), JOBS);
    assert_eq!(consumer.ids().len(), JOBS);
}

#[test]
fn a_one_shot_run_without_servers_keeps_the_work_for_the_next() {
    let (mut redis, mut rabbit) = (RedisServer::start(), RabbitServer::start());
    let scout = Scout::new();
    let urls = [redis.url(), rabbit.url()];
    let run = |drain: &str| {
        let sinks = ["--redis", &urls[0], "--amqp", &urls[1], "--events", "--drain", drain];
        finish(&mut scout.once_command(&sinks))
    };
    assert!(generate(&scout.root(), "--jobs 40 --directories 3").status().unwrap().success());
    redis.stop();
    rabbit.kill();
    for _ in 0..2 {
        let done = run("500ms");
        assert_eq!(done.code, Some(69), "{}", done.stderr);
        for sink in ["unsent: 40 to redis", "unsent: 40 to amqp"] {
            assert!(done.stderr.contains(sink), "{}", done.stderr);
        }
    }
    assert_eq!(scout.await_events(40).len(), 40, "the file has what the servers have not");
    // One comes back, then the other.
    redis.restart();
    let done = run("3s");
    assert_eq!(done.code, Some(69), "{}", done.stderr);
    assert!(!done.stderr.contains("to redis"), "{}", done.stderr);
    let witness = Witness::of(&scout.root());
    check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    rabbit.restart();
    let done = run("60s");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let mut consumer = Consumer::new(rabbit.url(), scout.beside("ids"));
    eventually("every job at the consumer", || (consumer.ids().len() >= 40).then_some(()));
    check_ids("the consumer", consumer.ids(), &witness);
    check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    assert_eq!(scout.events().len(), 40);
}

#[test]
fn an_agent_that_starts_before_its_servers() {
    let (mut redis, mut rabbit) = (RedisServer::start(), RabbitServer::start());
    redis.kill();
    rabbit.kill();
    let scout = Scout::new();
    assert!(generate(&scout.root(), "--jobs 60 --directories 3").status().unwrap().success());
    let agent = scout.agent(&["--redis", &redis.url(), "--amqp", &rabbit.url()]);
    agent.logged_times("Lost the sink", 2);
    eventually("the scan", || (scout.ask(&["status"])["head"] == 60).then_some(()));
    redis.restart();
    rabbit.restart();
    let witness = Witness::of(&scout.root());
    let mut consumer = Consumer::new(rabbit.url(), scout.beside("ids"));
    eventually("every job at the consumer", || (consumer.ids().len() >= 60).then_some(()));
    check_ids("the consumer", consumer.ids(), &witness);
    eventually("the statistics", || {
        let sinks = scout.ask(&["status"])["sinks"].clone();
        sinks.as_array()?.iter().all(|sink| sink["behind"] == 0).then_some(())
    });
    check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    let rate: f64 = eventually("an event rate", || {
        redis.connect().hget("T4TC_MONITOR/TOTAL/", "event_rate").ok().filter(|rate| *rate > 0.0)
    });
    assert!(rate > 0.0);
    agent.stop();
}

/// Waits until Redis says that it has counted everything that the agent handed over.
#[track_caller]
fn await_counted(scout: &Scout, redis: &RedisServer, head: u64) {
    let status = scout.ask(&["status"]);
    let cursor = format!("T4TC_MONITOR/CURSOR/{}", status["agent"].as_str().unwrap());
    let mut connection = redis.connect();
    eventually("the cursor at the head", || {
        let counted = connection.get::<_, Option<u64>>(&cursor).unwrap();
        (counted == Some(head)).then_some(())
    });
}

/// Redis loses figures beneath a running agent to which no new file comes: the agent itself has to notice. How soon is the
/// period of its looks, one second (`TICK`), which `redis_is_looked_after_while_the_rate_rests` counts.
#[test]
fn a_redis_that_went_back_or_was_emptied_is_exact_again_without_an_operator() {
    const BEFORE: u64 = 200;
    const JOBS: u64 = 1_400;
    let mut redis = RedisServer::start();
    let scout = Scout::new();
    assert!(generate(&scout.root(), "--jobs 200 --directories 3").status().unwrap().success());
    let agent = scout.agent(&["--redis", &redis.url(), "--commit-delay", "10ms"]);
    eventually("the first jobs", || (scout.ask(&["status"])["head"] == BEFORE).then_some(()));
    await_counted(&scout, &redis, BEFORE);
    redis.keep_copy();
    // What five minutes bring at four jobs a second.
    assert!(generate(&scout.root(), "--jobs 1200 --seed 2 --directories 3").status().unwrap().success());
    eventually("the other jobs", || (scout.ask(&["status"])["head"] == JOBS).then_some(()));
    await_counted(&scout, &redis, JOBS);
    let witness = Witness::of(&scout.root());
    let check = |redis: &RedisServer| {
        await_counted(&scout, redis, JOBS);
        check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    };
    check(&redis);

    redis.roll_back();
    agent.logged("sending them again from history");
    check(&redis);

    redis::cmd("FLUSHALL").query::<()>(&mut redis.connect()).unwrap();
    agent.logged_times("wrote them from the ledger", 1);
    check(&redis);

    redis.stop();
    redis.wipe();
    redis.restart();
    agent.logged_times("wrote them from the ledger", 2);
    check(&redis);
    agent.stop();
}

/// Killed while it sends: Redis counts each job once, the queue repeats at most with the same id.
#[test]
fn kills_while_sending_count_nothing_twice() {
    const JOBS: usize = 600;
    let (redis, rabbit) = (RedisServer::start(), RabbitServer::start());
    let scout = Scout::new();
    let mut consumer = Consumer::new(rabbit.url(), scout.beside("ids"));
    let sinks = ["--redis", &redis.url(), "--amqp", &rabbit.url(), "--commit-delay", "5ms"];
    let made = Helper::start(&mut generate(&scout.root(), "--rate 150/s --total 600 --directories 5"));
    for kill in 0..10_u64 {
        let before = consumer.ids().len();
        let agent = scout.agent(&sinks);
        eventually("progress", || (consumer.ids().len() > before.min(JOBS - 1)).then_some(()));
        std::thread::sleep(Duration::from_millis(kill * 13 % 70));
        agent.signal(Signal::KILL);
    }
    made.succeeds();
    let done = finish(&mut scout.once_command(&[&sinks[..], &["--drain", "60s"]].concat()));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let witness = Witness::of(&scout.root());
    eventually("every job at the consumer", || (consumer.ids().len() >= JOBS).then_some(()));
    check_ids("the consumer", consumer.ids(), &witness);
    check_count("Redis", in_redis(&mut redis.connect()), &witness.figures);
    check_count("the ledger", in_ledger(&scout), &witness.figures);
}

/// Secrets reach neither the queue nor Redis.
#[test]
fn no_authenticator_reaches_a_server() {
    let (redis, rabbit) = (RedisServer::start(), RabbitServer::start());
    let scout = Scout::new();
    assert!(generate(&scout.root(), "--jobs 50").status().unwrap().success());
    for body in ["json", "jobdata", "legacy"] {
        let state = scout.beside(body);
        let mut command =
            scout.command(&["run", "root", "--once", "--amqp", &rabbit.url(), "--redis", &redis.url()]);
        command
            .args(["--amqp-queue", body, "--amqp-body", body, "--drain", "60s", "--log", "trace", "--state"])
            .arg(state);
        let done = finish(&mut command);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(!done.stderr.contains("fake0"), "a secret in the log");
        let bodies = bodies_of(&rabbit, body);
        assert_eq!(bodies.len(), 50);
        assert!(bodies.iter().all(|body| !body.contains("fake0")));
        let redacted = bodies.iter().filter(|body| body.contains("[redacted]")).count();
        assert_eq!(redacted > 0, body != "legacy");
    }
    let mut dump = String::new();
    let mut connection = redis.connect();
    for key in connection.keys::<_, Vec<String>>("*").unwrap() {
        let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
        dump.push_str(&key);
        dump.push_str(&String::from_utf8_lossy(&value));
    }
    assert!(dump.contains("T4TC_MONITOR/TOTAL/") && !dump.contains("fake0"));
}

fn bodies_of(rabbit: &RabbitServer, queue: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(&rabbit.url(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = lapin::options::BasicGetOptions { no_ack: true };
        let mut bodies = Vec::new();
        while let Some(message) = channel.basic_get(queue.into(), options).await.unwrap() {
            bodies.push(String::from_utf8(message.delivery.data).unwrap());
        }
        bodies
    })
}

/// What the other tests rely on: the independent count agrees with what was made.
#[test]
fn the_witness_counts_what_the_generator_made() {
    let scout = Scout::new();
    let list = scout.beside("made.jsonl");
    let mut command = generate(&scout.root(), "--jobs 80 --manifest");
    let output = command.arg(&list).output().unwrap();
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let witness = Witness::of(&scout.root());
    let total = &witness.figures["TOTAL"].counters;
    for key in ["jobs_completed", "jobs_failed", "events"] {
        assert_eq!(made[key], total[key], "{key}");
    }
    let mut lines = String::new();
    File::open(list).unwrap().read_to_string(&mut lines).unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(witness.ids.contains_key(line["path"].as_str().unwrap()));
    }
}
