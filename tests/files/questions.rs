//! The questions that can be asked of a state directory, with an agent at work on it and without.

use serde_json::Value;

use crate::support::eventually;
use crate::support::scout::{Scout, finish};
use crate::{hash, job};

const QUESTIONS: [&[&str]; 4] = [&["stats"], &["status"], &["index", "stat"], &["index", "list"]];

/// The answers without what only a running agent can say.
fn lasting(scout: &Scout) -> Vec<Value> {
    let mut answers: Vec<_> = QUESTIONS.iter().map(|question| scout.ask(question)).collect();
    let status = answers[1].as_object_mut().unwrap();
    for live in ["running", "problems", "at", "at_seconds", "started", "pace", "looks", "counts", "latency"] {
        status.insert(live.to_owned(), Value::Null);
    }
    status.insert("directories".to_owned(), Value::Null);
    for live in ["state", "oldest_look_s", "calls"] {
        answers[1]["roots"][0][live] = Value::Null;
    }
    answers[1]["sinks"][0]["state"] = Value::Null;
    answers[1]["outbox"]["bound"] = Value::Null;
    answers[2]["bytes"] = Value::Null;
    answers
}

#[test]
fn the_answers_are_the_same_with_an_agent_and_without() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    scout.put("a/2.tgz", &job(2));
    scout.put("a/gone.tgz", &job(3));
    scout.put("b/cut.tgz", &job(4)[..40]);
    scout.once(&[]);
    std::fs::remove_file(scout.path("a/gone.tgz")).unwrap();
    let agent = scout.agent(&["--audit", "off"]);
    eventually("the index to notice", || (scout.ask(&["index", "stat"])["gone"] == 1).then_some(()));
    eventually("the sink", || (scout.ask(&["status"])["sinks"][0]["state"] == "up").then_some(()));
    assert_eq!(scout.ask(&["status"])["running"], true);
    let words = |scout: &Scout| QUESTIONS.map(|question| scout.tell(question));
    let (live, live_words) = (lasting(&scout), words(&scout));
    agent.stop();
    assert_eq!(scout.ask(&["status"])["running"], false);
    assert_eq!(lasting(&scout), live);
    for (told, other) in live_words.iter().zip(words(&scout)).take(1) {
        assert_eq!(*told, other);
    }

    let [totals, status, size, list] = &live[..] else { panic!("four answers") };
    assert_eq!(totals["namespaces"]["TOTAL"]["counters"]["jobs_completed"], 3);
    assert_eq!(totals["namespaces"]["ATLAS"]["rankings"]["PER_USER/events"]["user-1"], 100.0);
    assert_eq!(status["waiting"][0]["path"], "b/cut.tgz");
    assert_eq!((&status["head"], &status["sinks"][0]["behind"]), (&3.into(), &0.into()));
    assert_eq!((&size["files"], &size["waiting"], &size["directories"]), (&3.into(), &1.into(), &3.into()));
    let paths: Vec<_> = list.as_array().unwrap().iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a/1.tgz", "a/2.tgz", "a/gone.tgz"]);
    assert_eq!(list[0]["blake3"], hash(&job(1)));
    assert!(list[0]["gone_since"].is_null() && list[2]["gone_since"].is_string());
    let [totals, status, size, list] = &live_words;
    assert!(totals.contains("TOTAL") && totals.contains("user-2"), "{totals}");
    assert!(status.contains("running") && status.contains("b/cut.tgz"), "{status}");
    assert!(size.contains("files          3"), "{size}");
    assert!(list.contains("a/gone.tgz  (gone)"), "{list}");
}

#[test]
fn a_question_to_no_state_is_a_usage_error_and_makes_none() {
    let scout = Scout::new();
    for question in QUESTIONS {
        let done = finish(scout.command(question).args(["--state", "nowhere"]));
        assert_eq!(done.code, Some(2));
        assert!(done.stderr.contains("no state in") && done.stderr.contains("--state"), "{}", done.stderr);
    }
    assert!(!scout.beside("nowhere").exists());
}
