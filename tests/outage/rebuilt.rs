//! The state is lost or damaged, Redis is not: the index is built anew from the mount and nothing is counted twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use redis::Commands;

use crate::load::{adds, archive};
use crate::support::scout::{Done, Scout, finish};
use crate::support::servers::RedisServer;

fn put(scout: &Scout, numbers: std::ops::Range<u64>) {
    for number in numbers {
        scout.put(path_of(number), &archive(number));
    }
}

fn path_of(number: u64) -> String {
    format!("{}/job-{number}.tgz", number % 7)
}

fn remove(scout: &Scout, numbers: std::ops::Range<u64>) {
    for number in numbers {
        fs::remove_file(scout.path(path_of(number))).unwrap();
    }
}

fn recount(scout: &Scout, redis: &RedisServer, more: &[&str]) -> Done {
    let url = redis.url();
    let words = [&["index", "recount", "--redis", &url, "--state", "state", "--config", "/dev/null"], more];
    finish(&mut scout.command(&words.concat()))
}

#[track_caller]
fn recounted(scout: &Scout, redis: &RedisServer) {
    let done = recount(scout, redis, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("the ledger and Redis agree"), "{done:?}");
}

/// Each job once: in Redis by `redis-cli` alone, and in the ledger.
#[track_caller]
fn check(scout: &Scout, redis: &RedisServer, jobs: std::ops::Range<u64>) {
    let (mut events, mut by_user) = (0, BTreeMap::<String, f64>::new());
    for (user, made) in jobs.clone().map(adds) {
        events += made;
        *by_user.entry(user).or_default() += 1.0;
    }
    let ask = |words: &[&str]| {
        let mut command = Command::new("redis-cli");
        let output = command.args(["-p", &redis.port().to_string()]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let total = "T4TC_MONITOR/TOTAL/";
    assert_eq!(ask(&["HGET", total, "jobs_completed"]), jobs.clone().count().to_string(), "jobs in Redis");
    assert_eq!(ask(&["HGET", total, "events"]), events.to_string(), "events in Redis");
    for (user, count) in &by_user {
        assert_eq!(ask(&["ZSCORE", &format!("{total}PER_USER/jobs_completed"), user]), count.to_string());
    }
    assert_eq!(ask(&["SCARD", &format!("{total}USERS")]), by_user.len().to_string());
    let total = scout.ask(&["stats"])["namespaces"]["TOTAL"].clone();
    assert_eq!(total["counters"]["jobs_completed"], jobs.count(), "jobs in the ledger");
    assert_eq!(total["counters"]["events"], events);
    let ranking: BTreeMap<String, f64> =
        serde_json::from_value(total["rankings"]["PER_USER/jobs_completed"].clone()).unwrap();
    assert_eq!(ranking, by_user);
}

fn run(scout: &Scout, redis: &RedisServer) {
    scout.once(&["--redis", &redis.url(), "--events"]);
}

fn agents_in(redis: &RedisServer) -> Vec<String> {
    let keys: Vec<String> = redis.connect().keys("T4TC_MONITOR/CURSOR/*").unwrap();
    keys.into_iter().filter(|key| !key.ends_with("/run")).collect()
}

/// What the events file holds: each path with its ids.
fn ids(scout: &Scout) -> BTreeMap<String, Vec<String>> {
    let mut ids = BTreeMap::<String, Vec<String>>::new();
    for event in scout.events() {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        ids.entry(text("path")).or_default().push(text("id"));
    }
    ids
}

#[test]
fn a_lost_index_is_rebuilt_and_nothing_counts_twice() {
    let (redis, scout) = (RedisServer::start(), Scout::new());
    put(&scout, 0..200);
    run(&scout, &redis);
    check(&scout, &redis, 0..200);

    // Lost, and files came meanwhile.
    fs::remove_dir_all(scout.state()).unwrap();
    put(&scout, 200..230);
    scout.once(&["--events"]);
    let ids_of_all = ids(&scout);
    assert_eq!(ids_of_all.len(), 230);
    for (path, ids) in &ids_of_all {
        let is_old = ids.len() == 2 && ids[0] == ids[1];
        assert!(is_old || ids.len() == 1, "{path} has another id: {ids:?}");
    }
    recounted(&scout, &redis);
    check(&scout, &redis, 0..230);
    assert_eq!(agents_in(&redis).len(), 1, "the lost agent's cursor is taken away");
    // The same again changes nothing, and life goes on.
    recounted(&scout, &redis);
    put(&scout, 230..240);
    run(&scout, &redis);
    check(&scout, &redis, 0..240);

    // Lost, and what was counted is no longer on the mount.
    remove(&scout, 0..50);
    fs::remove_dir_all(scout.state()).unwrap();
    scout.once(&["--events"]);
    recounted(&scout, &redis);
    check(&scout, &redis, 0..240);
    put(&scout, 240..250);
    run(&scout, &redis);
    check(&scout, &redis, 0..250);
    // The ledger has it all, should Redis be lost next.
    redis::cmd("FLUSHALL").query::<()>(&mut redis.connect()).unwrap();
    put(&scout, 250..260);
    run(&scout, &redis);
    check(&scout, &redis, 0..260);
}

#[test]
fn an_older_copy_of_the_state_is_brought_up_to_date() {
    let (redis, scout) = (RedisServer::start(), Scout::new());
    put(&scout, 0..60);
    run(&scout, &redis);
    let copy = scout.beside("copy");
    copy_folder(&scout.state(), &copy);
    put(&scout, 60..100);
    run(&scout, &redis);
    fs::remove_dir_all(scout.state()).unwrap();
    copy_folder(&copy, &scout.state());
    put(&scout, 100..105);
    scout.once(&["--events"]);
    recounted(&scout, &redis);
    check(&scout, &redis, 0..105);
    put(&scout, 105..120);
    run(&scout, &redis);
    check(&scout, &redis, 0..120);
}

#[test]
fn figures_of_several_agents_are_left_alone() {
    let (redis, scout, other) = (RedisServer::start(), Scout::new(), Scout::new());
    put(&scout, 0..5);
    put(&other, 5..9);
    run(&scout, &redis);
    run(&other, &redis);
    fs::remove_dir_all(scout.state()).unwrap();
    scout.once(&["--events"]);
    let done = recount(&scout, &redis, &[]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("2 agents have counted under this prefix"), "{done:?}");
    let jobs: u64 = redis.connect().hget("T4TC_MONITOR/TOTAL/", "jobs_completed").unwrap();
    assert_eq!((jobs, agents_in(&redis).len()), (9, 2));
    // Under another prefix nothing was counted: the figures are written.
    let done = recount(&scout, &redis, &["--redis-prefix", "LAB[1]/"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let jobs: u64 = redis.connect().hget("LAB[1]/TOTAL/", "jobs_completed").unwrap();
    assert_eq!(jobs, 5);

    let done = finish(&mut scout.command(&["index", "recount", "--state", "state", "--config", "/dev/null"]));
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("Give --redis URL"), "{done:?}");
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
