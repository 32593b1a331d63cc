//! The checker: what the tree says against what Redis and the consumer of the queue got.
//!
//! Nothing of the program is used here: hashes are made by the BLAKE3 library itself, Redis is read by `redis-cli`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::consumer::{Consumer, Message};
use crate::load;
use crate::support::scout::{Agent, Scout};

/// What lies on the tree.
#[derive(Default)]
pub(crate) struct Expected {
    /// The hash of each file's content by the id that its message must have, with its path.
    by_id: HashMap<String, (String, String)>,
    events: u64,
    jobs_by_user: BTreeMap<String, u64>,
}

impl Expected {
    /// Reads every file below `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let mut expected = Self::default();
        for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
            if !entry.file_type().is_file() {
                continue;
            }
            let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let content = blake3::hash(&fs::read(entry.path()).unwrap());
            let id = blake3::hash(&[path.as_bytes(), b"\0", content.as_bytes()].concat());
            let number = path.rsplit_once("job-").and_then(|(_, rest)| rest.strip_suffix(".tgz")).unwrap();
            let (user, events) = load::adds(number.parse().unwrap());
            expected.events += events;
            *expected.jobs_by_user.entry(user).or_default() += 1;
            expected.by_id.insert(id.to_hex().to_string(), (path, content.to_hex().to_string()));
        }
        expected
    }

    pub(crate) fn files(&self) -> u64 {
        self.by_id.len() as u64
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    lost: u64,
    unknown: u64,
    wrong_hash: u64,
    repeated: u64,
    messages: u64,
    miscounted: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.unknown + self.wrong_hash == 0 && self.miscounted.is_empty()
    }

    /// Messages that came again though the broker had not delivered them before: repeated by the sender.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// The same, of all.
    pub(crate) fn repeated_percent(&self) -> f64 {
        let number = |count: u64| f64::from(u32::try_from(count).unwrap());
        100.0 * number(self.repeated) / number(self.messages)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, unknown, wrong_hash, repeated, messages, miscounted } = self;
        write!(f, "{lost} lost, {unknown} under an unknown id, {wrong_hash} with a wrong hash or path, ")?;
        write!(f, "{} figures in Redis wrong {miscounted:?}, ", miscounted.len())?;
        write!(f, "{repeated} of {messages} messages repeated")
    }
}

/// Waits until both sinks have everything, or stand still for `stuck`.
#[track_caller]
pub(crate) fn wait_for_all(
    scout: &Scout,
    expected: &Expected,
    redis: u16,
    consumer: &Consumer,
    stuck: Duration,
    agent: &Agent,
) {
    let (mut last, mut moved) = ((0, 0), Instant::now());
    loop {
        let now = (counter(redis, "jobs_completed"), consumer.distinct());
        if now.0 >= expected.files() && now.1 as u64 >= expected.files() {
            return;
        }
        if now != last {
            (last, moved) = (now, Instant::now());
        }
        assert!(
            moved.elapsed() < stuck,
            "of {} files {} are counted and {} came from the queue; {}: {}",
            expected.files(),
            now.0,
            now.1,
            scout.tell(&["status"]),
            agent.log()
        );
        thread::sleep(Duration::from_millis(300));
    }
}

/// Compares.
pub(crate) fn verdict(expected: &Expected, messages: &[Message], redis: u16) -> Verdict {
    let mut verdict = Verdict { messages: messages.len() as u64, ..Verdict::default() };
    let mut seen = HashSet::new();
    for message in messages {
        let Some((path, hash)) = expected.by_id.get(&message.id) else {
            verdict.unknown += 1;
            continue;
        };
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        let agrees = body["id"] == *message.id && body["blake3"] == **hash && body["path"] == **path;
        verdict.wrong_hash += u64::from(!agrees);
        let is_new = seen.insert(&message.id);
        verdict.repeated += u64::from(!is_new && !message.redelivered);
    }
    verdict.lost = expected.files() - seen.len() as u64;
    verdict.miscounted = miscounted(expected, redis);
    verdict
}

/// Each figure in Redis that is not what the tree says.
fn miscounted(expected: &Expected, redis: u16) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: String, found: u64, wanted: u64| {
        if found != wanted {
            wrong.push(format!("{what}: {found}, not {wanted}"));
        }
    };
    check("jobs".to_owned(), counter(redis, "jobs_completed"), expected.files());
    check("events".to_owned(), counter(redis, "events"), expected.events);
    for (user, jobs) in &expected.jobs_by_user {
        let key = "T4TC_MONITOR/TOTAL/PER_USER/jobs_completed";
        check(format!("jobs of {user}"), ask(redis, &["ZSCORE", key, user]), *jobs);
    }
    let users = expected.jobs_by_user.len() as u64;
    check("users".to_owned(), ask(redis, &["SCARD", "T4TC_MONITOR/TOTAL/USERS"]), users);
    wrong
}

fn counter(redis: u16, name: &str) -> u64 {
    ask(redis, &["HGET", "T4TC_MONITOR/TOTAL/", name])
}

/// A number that Redis holds; 0 if it holds none.
fn ask(redis: u16, words: &[&str]) -> u64 {
    let output = Command::new("redis-cli").args(["-p", &redis.to_string()]).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap_or(0)
}
