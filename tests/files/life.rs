//! How a run begins and ends: beside another, on a signal, in the middle of everything, with nobody reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::job;
use crate::support::eventually;
use crate::support::scout::{Scout, events_in, finish};

#[test]
fn a_second_run_on_the_same_state_ends_at_once_and_changes_nothing() {
    let scout = Scout::new();
    scout.put("1.tgz", &job(1));
    let agent = scout.agent(&["--interval", "1h", "--audit", "off", "--exclude", "late/"]);
    scout.await_events(1);
    scout.put("late/2.tgz", &job(2));
    let holder = fs::read_to_string(scout.state().join("lock")).unwrap();
    for arguments in [vec!["--once"], vec!["--once", "--accept-mount"], vec![]] {
        let done = finish(&mut scout.run(&arguments));
        assert_eq!(done.code, Some(75), "{}", done.stderr);
        assert!(done.stderr.contains(&format!("(process {})", holder.trim())), "{}", done.stderr);
        assert_eq!(scout.news().len(), 1);
        assert_eq!(fs::read_to_string(scout.state().join("lock")).unwrap(), holder);
        assert_eq!(scout.counter("jobs_completed"), 1, "the first one still answers");
    }
    agent.stop();
    scout.once(&[]);
    assert_eq!(scout.news().len(), 2);
}

#[test]
fn a_termination_signal_ends_the_agent_with_its_state_intact() {
    for signal in [Signal::TERM, Signal::INT] {
        let scout = Scout::new();
        for number in 0..200 {
            scout.put(format!("d{}/{number}.tgz", number % 7), &job(number));
        }
        scout.put("growing.tgz", &job(999)[..50]);
        let mut agent = scout.agent(&["--commit-delay", "0s"]);
        eventually("some events", || (!scout.news().is_empty()).then_some(()));
        let start = Instant::now();
        agent.signal(signal);
        assert_eq!(agent.ended(), Some(0), "{}", agent.log());
        // What service managers are told to wait for; an idle machine needs a tenth of it.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(!scout.state().join("control").exists());
        scout.once(&[]);
        scout.await_events(200);
        assert_eq!(scout.counter("jobs_completed"), 200);
        assert_eq!(scout.ask(&["status"])["waiting_count"], 1);
    }
}

#[test]
fn a_hang_up_reopens_the_events_file() {
    let scout = Scout::new();
    let mut agent = scout.agent(&[]);
    for number in 0..3 {
        scout.put(format!("{number}.tgz"), &job(number));
        scout.await_events(1);
        fs::rename(scout.beside("events"), scout.beside(&format!("events.{number}"))).unwrap();
        agent.signal(Signal::HUP);
        eventually("a new file", || scout.beside("events").exists().then_some(()));
        assert_eq!(scout.news(), []);
    }
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended(), Some(0));
    for number in 0..3 {
        let rotated = events_in(&scout.beside(&format!("events.{number}")));
        assert_eq!(rotated.len(), 1);
        assert_eq!(rotated[0]["path"], format!("{number}.tgz"));
    }
}

/// Killed again and again while files arrive, some of them in place and some replaced: nothing is lost, nothing is
/// counted twice, and an event that is repeated is the same event.
#[test]
fn kills_at_any_moment_lose_nothing_and_count_nothing_twice() {
    const KILLS: u32 = 20;
    let scout = Scout::new();
    let stop = AtomicBool::new(false);
    let put = std::thread::scope(|scope| {
        let dropping = scope.spawn(|| {
            let mut put = 0;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("d{}/{put}.tgz", put % 5);
                if put % 3 == 0 {
                    fs::create_dir_all(scout.path(format!("d{}", put % 5))).unwrap();
                    fs::write(scout.path(name), job(put)).unwrap();
                } else {
                    scout.put(name, &job(put));
                }
                put += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            put
        });
        for kill in 0..KILLS {
            let before = scout.news_with_torn().len();
            let agent = scout.agent(&["--commit-delay", "5ms", "--settle", "200ms"]);
            // Sometimes while it takes up its state, sometimes in the middle of its work.
            if kill % 2 == 0 {
                eventually("an event", || (scout.news_with_torn().len() > before).then_some(()));
            }
            std::thread::sleep(Duration::from_millis(u64::from(kill * 37 % 90)));
            agent.kill();
        }
        stop.store(true, Ordering::Relaxed);
        dropping.join().unwrap()
    });
    let agent = scout.agent(&["--settle", "200ms"]);
    eventually("all files", || {
        let status = scout.ask(&["status"]);
        (status["head"].as_u64()? >= u64::from(put) && status["sinks"][0]["behind"] == 0).then_some(())
    });
    agent.stop();
    scout.once(&[]);
    assert_eq!(scout.counter("jobs_completed"), i64::from(put));
    let mut by_seq = BTreeMap::new();
    let mut paths = BTreeSet::new();
    for event in scout.news_with_torn() {
        assert_eq!(event["kind"], "appeared");
        paths.insert(event["path"].as_str().unwrap().to_owned());
        let seq = event["seq"].as_u64().unwrap();
        let known = by_seq.insert(seq, event.clone());
        assert!(known.is_none_or(|known| known == event), "a repetition that differs: {event}");
    }
    assert_eq!(by_seq.keys().copied().collect::<Vec<_>>(), (1..=u64::from(put)).collect::<Vec<_>>());
    assert_eq!(paths.len(), put as usize);
    let ids: BTreeSet<_> = by_seq.values().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), put as usize);
}

impl Scout {
    /// The events, without lines that a kill has torn.
    fn news_with_torn(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.beside("events")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A tree whose events fill more than a pipe.
fn many_jobs() -> Scout {
    let scout = Scout::new();
    for number in 0..400 {
        scout.put(format!("{number}.tgz"), &job(number));
    }
    scout
}

/// Starts a run with its events on a pipe, reads one line and goes away; gives the exit code and the line's id.
#[track_caller]
fn read_one_line(scout: &Scout, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = scout.command(&[&["run", "root", "--state", "state"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    (child.wait().unwrap().code(), event["id"].as_str().unwrap().to_owned())
}

#[test]
fn a_reader_that_goes_away_ends_the_run_cleanly() {
    for arguments in [&["--once"][..], &["--interval", "200ms"]] {
        let scout = many_jobs();
        let (code, first) = read_one_line(&scout, arguments);
        assert_eq!(code, Some(0));
        // What was not read is kept.
        let done = finish(&mut scout.command(&["run", "root", "--state", "state", "--once"]));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let mut ids: BTreeSet<_> = done
            .stdout
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
            })
            .collect();
        assert!(!ids.is_empty());
        ids.insert(first);
        let total = scout.counter("jobs_completed");
        assert_eq!(total, 400);
    }
}

#[test]
fn an_events_file_that_cannot_be_written_keeps_the_work() {
    let scout = Scout::new();
    scout.put("1.tgz", &job(1));
    let arguments =
        ["run", "root", "--state", "state", "--once", "--drain", "300ms", "--events", "no/such/file"];
    let done = finish(&mut scout.command(&arguments));
    assert_eq!(done.code, Some(69), "{}", done.stderr);
    assert!(done.stderr.contains("unsent: 1 to events"), "{}", done.stderr);
    fs::create_dir_all(scout.beside("no/such")).unwrap();
    let done = finish(&mut scout.command(&arguments));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(events_in(&scout.beside("no/such/file")).len(), 1);
}
