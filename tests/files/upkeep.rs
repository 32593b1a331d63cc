//! What an operator asks of one file and does to the index.

use std::fs;

use serde_json::Value;

use crate::job;
use crate::support::scout::{Done, Scout, finish};

fn index(scout: &Scout, words: &[&str]) -> Done {
    let words = [&["index"], words, &["--state", "state", "--config", "/dev/null"]].concat();
    finish(&mut scout.command(&words))
}

#[track_caller]
fn check(done: &Done, code: i32, told: &str) {
    assert_eq!(done.code, Some(code), "{done:?}");
    assert!(done.stdout.contains(told) || done.stderr.contains(told), "{told:?} is not in {done:?}");
}

/// Three files, one of them broken, and one that is gone.
fn used() -> Scout {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    scout.put("a/2.tgz", &job(2));
    scout.put("a/gone.tgz", &job(3));
    scout.put("b/cut.tgz", &job(4)[..40]);
    scout.once(&[]);
    fs::remove_file(scout.path("a/gone.tgz")).unwrap();
    scout.once(&[]);
    assert_eq!(scout.events().len(), 3);
    scout
}

#[test]
fn forgotten_files_are_news_again() {
    let scout = used();
    check(&index(&scout, &["forget", "root/a/none.tgz"]), 2, "is not in the index");
    check(&index(&scout, &["forget", "/nowhere"]), 2, "is not in the index");
    check(&index(&scout, &["forget", "root/a/1.tgz"]), 0, "forgot 1 file");
    scout.once(&[]);
    assert_eq!(scout.news()[3..], [("appeared".to_owned(), "a/1.tgz".to_owned())]);
    check(&index(&scout, &["forget", "root/a"]), 0, "forgot 3 files in 1 directories");
    scout.once(&[]);
    let mut again: Vec<_> = scout.news()[4..].iter().map(|(_, path)| path.clone()).collect();
    again.sort();
    assert_eq!(again, ["a/1.tgz", "a/2.tgz"]);
    check(&index(&scout, &["verify"]), 0, "agrees with itself");
}

#[test]
fn what_is_gone_can_be_forgotten() {
    let scout = used();
    scout.put("c/d/5.tgz", &job(5));
    scout.once(&[]);
    fs::remove_dir_all(scout.path("c")).unwrap();
    scout.once(&[]);
    check(&index(&scout, &["forget", "--gone"]), 0, "forgot 2 files and 2 directories that are gone");
    check(&index(&scout, &["forget", "--gone"]), 0, "forgot 0 files and 0 directories");
    assert_eq!(scout.ask(&["index", "stat"])["files"], 2);
    check(&index(&scout, &["verify", "--against", "root"]), 0, "with 3 files below");
    scout.once(&[]);
    assert_eq!(scout.events().len(), 4);
}

#[test]
fn verify_tells_what_differs_from_the_mount() {
    let scout = used();
    check(&index(&scout, &["verify", "--against", "root"]), 0, "agrees with itself and with 3 files");
    check(
        &index(&scout, &["verify", "--against", "root/a"]),
        2,
        "is not a directory that this agent watches",
    );
    scout.put("a/new.tgz", &job(7));
    fs::write(scout.path("a/1.tgz"), "rewritten").unwrap();
    fs::remove_file(scout.path("a/2.tgz")).unwrap();
    let done = index(&scout, &["verify", "--against", "root"]);
    check(&done, 1, "changed since it was read: a/1.tgz\n");
    check(&done, 1, "not in the index: a/new.tgz");
    check(&done, 1, "not on the mount: a/2.tgz\n");
    assert_eq!(done.stdout.lines().count(), 3, "{done:?}");
}

#[test]
fn requeued_messages_come_again_with_their_ids() {
    let scout = used();
    check(&index(&scout, &["requeue"]), 2, "--since");
    check(&index(&scout, &["requeue", "--since", "yesterday"]), 2, "is no time");
    check(&index(&scout, &["requeue", "--sink", "redis"]), 2, "counts nothing twice");
    check(&index(&scout, &["requeue", "--sink", "amqp"]), 2, "never had it");
    check(&index(&scout, &["requeue", "--refused"]), 0, "nothing to send again");
    check(&index(&scout, &["requeue", "--since", "2999-01-01T00:00:00Z"]), 0, "nothing to send again");
    scout.once(&[]);
    assert_eq!(scout.events().len(), 3);
    check(&index(&scout, &["requeue", "--since", "1h"]), 0, "events: 3 messages from number 1 on");
    scout.once(&[]);
    let events = scout.events();
    assert_eq!(events.len(), 6);
    assert_eq!(events[..3], events[3..]);
    let since = events[2]["detected_at"].as_str().unwrap();
    check(&index(&scout, &["requeue", "--since", since, "--sink", "events"]), 0, "sent again");
    assert_eq!(scout.counter("jobs_completed"), 3, "nothing is counted again");
}

#[test]
fn an_agent_at_work_keeps_its_state() {
    let scout = used();
    let agent = scout.agent(&[]);
    for words in [&["forget", "--gone"][..], &["verify"], &["requeue", "--since", "1h"]] {
        check(&index(&scout, words), 75, "another agent holds the state directory");
    }
    let lines = index(&scout, &["export"]);
    let line: Value = serde_json::from_str(lines.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(line["path"], "a/1.tgz");
    assert!(scout.tell(&["explain", "root/a/1.tgz"]).contains("handed over"));
    agent.stop();
    assert_eq!(index(&scout, &["export"]).stdout, lines.stdout);
    let gone = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["gone_since"].is_string());
    assert_eq!(gone.collect::<Vec<_>>(), [false, false, true]);
    let ids: Vec<Value> = scout.events().iter().map(|event| event["id"].clone()).collect();
    assert!(ids.contains(&line["id"]));
}

#[test]
fn a_state_that_does_not_exist_is_not_made() {
    let scout = Scout::new();
    for words in [&["forget", "--gone"][..], &["verify"], &["requeue", "--since", "1h"], &["export"]] {
        check(&index(&scout, words), 2, "has an agent run with it?");
    }
    assert!(!scout.state().exists());
}

#[track_caller]
pub(crate) fn check_explained(scout: &Scout, path: &str, state: &str, facts: &[&str]) {
    let told = scout.tell(&["explain", path]);
    assert!(told.lines().next().unwrap().ends_with(state), "{told}");
    for fact in facts {
        assert!(told.contains(&format!("\n  {fact}")), "{fact} is not in {told}");
    }
}

#[test]
fn explains_what_became_of_a_file() {
    let scout = used();
    let event = &scout.events()[0];
    let path = format!("root/{}", event["path"].as_str().unwrap());
    let id = format!("id: {}", event["id"].as_str().unwrap());
    let found = format!("found: {}", event["detected_at"].as_str().unwrap());
    let facts = [id.as_str(), &found, "number: 1", "to events: confirmed", "analysis: ok", "as: appeared"];
    check_explained(&scout, &path, "handed over", &facts);
    check_explained(&scout, "root/a/gone.tgz", "handed over", &["gone from the mount: since "]);
    check_explained(&scout, "root/b/cut.tgz", "waiting", &["why: truncated", "first seen: "]);
    check_explained(&scout, "root/a", "a directory", &["directory last looked at: "]);
    let junk = "left out by default: .x.tgz matches .*";
    check_explained(&scout, "root/a/.x.tgz", "never seen", &[junk, "directory last looked at: "]);
    check_explained(
        &scout,
        "root/new/deep/x.tgz",
        "never seen",
        &["directory never seen: new", "so: no pattern"],
    );
    check_explained(
        &scout,
        "/elsewhere/x",
        "not below any directory that this agent watches or watched",
        &["watched: "],
    );
    assert_eq!(scout.ask(&["explain", "root/a/1.tgz"])["state"], "handed over");
}
