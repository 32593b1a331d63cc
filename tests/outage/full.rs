//! The outbox at its bound: reading pauses, looking goes on, nothing is forgotten over a restart, and it ends by itself.

use std::collections::HashSet;

use crate::load::archive;
use crate::queue::Taken;
use crate::support::eventually;
use crate::support::scout::{Agent, Scout};
use crate::support::servers::RabbitServer;

/// Some 240 jobs.
const BOUND: u64 = 50_000;

const FILES: u64 = 900;
const FOLDERS: u64 = 10;

/// More than the rows that may be decided before one looks at the bound again: see `MAX_ROWS` of the engine.
const A_COMMIT: u64 = 512 + 64;

fn put(scout: &Scout, numbers: std::ops::Range<u64>) {
    for number in numbers {
        scout.put(path_of(number), &archive(number));
    }
}

fn path_of(number: u64) -> String {
    format!("{}/job-{number}.tgz", number % FOLDERS)
}

/// Looks at directories so far.
fn looks(scout: &Scout) -> u64 {
    scout.ask(&["status"])["looks"].as_u64().unwrap()
}

#[track_caller]
fn check_paused(scout: &Scout, agent: &Agent) -> u64 {
    agent.logged("The outbox is full");
    let status = scout.ask(&["status"]);
    assert_eq!(status["outbox"]["paused"], true);
    assert_eq!(status["outbox"]["bound"], BOUND);
    assert!(status["outbox"]["bytes"].as_u64().unwrap() >= BOUND, "{status}");
    let words = scout.tell(&["status"]);
    assert!(words.contains("Intake pauses") && words.contains("raise --outbox-max"), "{words}");
    // What is put off was looked at all the same.
    let problems = status["problems"].to_string();
    assert!(!problems.contains("was last looked at"), "{problems}");
    status["head"].as_u64().unwrap()
}

#[test]
fn a_full_outbox_pauses_reading_and_nothing_is_lost() {
    let mut rabbit = RabbitServer::start();
    rabbit.kill();
    let scout = Scout::new();
    let (url, bound) = (rabbit.url(), BOUND.to_string());
    let words = ["--amqp", &url, "--outbox-max", &bound, "--settle", "200ms"];
    let agent = scout.agent(&words);
    put(&scout, 0..FILES / 2);
    check_paused(&scout, &agent);
    // Looking goes on, for names as well: what is new is seen and left.
    put(&scout, FILES / 2..FILES);
    scout.put("plain.dat", b"not an archive");
    let (before, at_first) = (looks(&scout), scout.ask(&["status"])["head"].as_u64().unwrap());
    // And for longer than a look may be late: see `health.rs`.
    std::thread::sleep(std::time::Duration::from_secs(2));
    eventually("looks while it pauses", || (looks(&scout) > before + 20 * FOLDERS).then_some(()));
    let head = check_paused(&scout, &agent);
    assert!(head <= at_first + A_COMMIT && head < FILES, "{head} handed over while it pauses");
    // A file that must look the same twice does so meanwhile, and waits.
    eventually("the plain file waits", || {
        scout.ask(&["status"])["waiting"]
            .as_array()?
            .iter()
            .find(|file| file["path"] == "plain.dat")
            .map(drop)
    });
    assert_eq!(agent.count_logged("The outbox is full"), 1, "once, not at every look");
    agent.stop();

    // Over a restart, and by one-shot runs, of which none takes up more.
    let agent = scout.agent(&words);
    let again = check_paused(&scout, &agent);
    agent.stop();
    let done =
        crate::support::scout::finish(&mut scout.once_command(&[&words[..], &["--drain", "0s"]].concat()));
    assert_eq!(done.code, Some(69), "{}", done.stderr);
    assert_eq!((again, scout.ask(&["status"])["head"].as_u64().unwrap()), (head, head));

    let agent = scout.agent(&words);
    rabbit.restart();
    let taken = Taken::from(&url, usize::try_from(FILES).unwrap() + 1);
    let expected: HashSet<String> = (0..FILES).map(path_of).chain(["plain.dat".to_owned()]).collect();
    assert_eq!(taken.paths(), expected);
    assert_eq!(taken.messages.len(), expected.len(), "each under one id");
    agent.logged("The outbox has room again");
    eventually("an empty outbox", || {
        let outbox = scout.ask(&["status"])["outbox"].clone();
        (outbox["bytes"] == 0 && outbox["paused"] == false).then_some(())
    });
    assert_eq!(scout.counter("jobs_completed"), i64::try_from(FILES).unwrap());
    agent.stop();
}
