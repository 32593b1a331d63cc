//! What a budget buys: runs that look where it is worth most, an agent that goes on where it stopped, and the plan.

use std::fs;

use crate::job;
use crate::support::eventually;
use crate::support::scout::{Scout, finish};

/// Looks that a one-shot run says it made.
fn looks(summary: &str) -> u32 {
    let number = summary.split("looked at ").nth(1).and_then(|rest| rest.split(' ').next());
    number.unwrap_or_else(|| panic!("{summary}")).parse().unwrap()
}

/// A tree of 41 directories, all known.
fn known_tree() -> Scout {
    let scout = Scout::new();
    for number in 0..40 {
        scout.put(format!("{number:02}/old.tgz"), &job(number));
    }
    assert_eq!(looks(&scout.once(&["--baseline", "--interval", "1h"]).stderr), 41);
    scout
}

#[test]
fn a_run_with_a_budget_looks_at_so_many_directories() {
    let scout = known_tree();
    // Directories whose stamps were young when they were listed are owed a look beside, until those have aged.
    eventually("a run that owes no look", || {
        assert_eq!(looks(&scout.once(&["--interval", "1h"]).stderr), 41, "without a budget: at all");
        let looks = looks(&scout.once(&["--interval", "1h", "--budget", "10"]).stderr);
        assert!(looks >= 10, "{looks}");
        (looks == 10).then_some(())
    });
}

#[test]
fn a_run_with_a_budget_looks_at_whatever_is_owed_a_look() {
    let scout = known_tree();
    // The next run is expected after far more than a tenth of a second.
    assert_eq!(looks(&scout.once(&["--interval", "100ms", "--budget", "1"]).stderr), 41);
}

#[test]
fn runs_with_a_budget_reach_every_directory_and_the_busy_ones_first() {
    let scout = known_tree();
    let run = |scout: &Scout| scout.once(&["--interval", "1h", "--budget", "8"]);
    // Files come to one directory again and again.
    for round in 0..6 {
        scout.put(format!("07/{round}.tgz"), &job(100 + round));
        scout.once(&["--interval", "1h"]);
    }
    scout.put("07/soon.tgz", &job(200));
    run(&scout);
    assert!(scout.news().iter().any(|(_, path)| path == "07/soon.tgz"), "{:?}", scout.news());
    for number in 0..40 {
        scout.put(format!("{number:02}/late.tgz"), &job(300 + number));
    }
    let late = || scout.news().iter().filter(|(_, path)| path.ends_with("/late.tgz")).count();
    for _ in 0..60 {
        run(&scout);
    }
    assert_eq!(late(), 40, "8 looks a run reach 41 directories within 60 runs");
}

#[test]
fn a_new_directory_is_looked_at_whatever_the_budget() {
    let scout = known_tree();
    for number in 0..20 {
        scout.put(format!("new/{number}/1.tgz"), &job(500 + number));
    }
    // The root is among these: all that changed since is in it.
    for _ in 0..30 {
        scout.once(&["--interval", "1h", "--budget", "3"]);
    }
    assert_eq!(scout.news().len(), 20);
}

#[test]
fn an_agent_goes_on_where_the_last_one_stopped() {
    let scout = known_tree();
    let agent = scout.agent(&["--interval", "1h", "--audit", "off"]);
    agent.stop();
    // All were looked at by the run a moment ago; none is due for most of an hour.
    let agent = scout.agent(&["--interval", "1h", "--audit", "off"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let looks = scout.ask(&["status"])["looks"].as_u64().unwrap();
    assert!(looks < 20, "{looks} looks after a restart");
    agent.stop();
}

#[test]
fn a_plan_tells_what_intervals_cost_and_draws_it() {
    let scout = known_tree();
    let root = scout.root().display().to_string();
    let svg = scout.beside("plan.svg");
    let known = scout.ask(&["plan", &root, "--interval", "10s,1m", "--svg", svg.to_str().unwrap()]);
    assert_eq!(known["survey"]["directories"], 41);
    assert_eq!(known["survey"]["files"], 40);
    assert_eq!(known["survey"]["has_history"], true);
    let choice = |number: usize, name: &str| known["choices"][number][name].as_f64().unwrap();
    assert!(choice(0, "rpcs_per_s") > choice(1, "rpcs_per_s"));
    assert!(choice(0, "mean_latency_s") < choice(1, "mean_latency_s"));
    assert!((choice(0, "budget_per_s") - 8.2).abs() < 0.01, "twice 41 looks in 10 s");
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));

    // Of a tree that nobody has watched yet it knows only what a walk shows.
    let stranger = Scout::new();
    let walked = stranger.ask(&["plan", &root]);
    assert_eq!(walked["survey"]["directories"], 41);
    assert_eq!(walked["survey"]["files"], 40);
    assert_eq!(walked["survey"]["has_history"], false);
    let said = stranger.tell(&["plan", &root, "--latency", "5s"]);
    assert!(said.contains(&format!("nfs-scout run {root} --interval '")), "{said}");
    assert!(stranger.tell(&["plan", &root]).contains("41 directories, 40 files"));
}

#[test]
fn a_plan_for_what_is_not_there_says_so() {
    let scout = Scout::new();
    let done = finish(&mut scout.command(&["plan", "/no such directory"]));
    assert_eq!(done.code, Some(74), "{}", done.stderr);
    assert!(done.stderr.contains("is it mounted?"), "{}", done.stderr);
}

#[test]
fn a_trace_tells_when_files_came_where() {
    let scout = known_tree();
    let trace = scout.beside("trace.jsonl");
    let arguments = ["--record", trace.to_str().unwrap(), "--interval", "1h"];
    scout.put("03/a.tgz", &job(1000));
    scout.put("03/b.tgz", &job(1001));
    scout.once(&arguments);
    scout.put("04/c.tgz", &job(1002));
    scout.once(&arguments);
    let lines: Vec<serde_json::Value> =
        fs::read_to_string(&trace).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |number: usize| (lines[number]["dir"].as_str().unwrap(), lines[number]["files"].as_u64().unwrap());
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!((&lines[0]["nfs-scout-trace"], &lines[0]["directories"]), (&1.into(), &41.into()));
    assert_eq!((of(1), of(2)), (("03", 2), ("04", 1)));
    assert!(lines[1]["t"].as_f64() < lines[2]["t"].as_f64());

    fs::write(&trace, "something else\n").unwrap();
    let done = finish(&mut scout.once_command(&arguments));
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("something else than a trace"), "{}", done.stderr);
}
