//! `status` on a terminal: once, and anew and anew.

use std::process::{Command, Stdio};

use crate::job;
use crate::support::eventually;
use crate::support::scout::{Scout, finish};

/// The program in a terminal of its own, until SIGTERM after two seconds.
fn watched(scout: &Scout, rows: u16, columns: u16) -> String {
    let program = env!("CARGO_BIN_EXE_nfs-scout");
    let inside = format!(
        "stty rows {rows} cols {columns}; timeout --preserve-status -s TERM 3 {program} status --watch --state state; echo ended $?"
    );
    let output = Command::new("script")
        .args(["-qec", &inside, "/dev/null"])
        .current_dir(scout.beside(""))
        .stdin(Stdio::null())
        .output()
        .expect("script is missing: apt-get install bsdutils");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn watch_draws_anew_and_leaves_the_terminal_as_it_was() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    let agent = scout.agent(&[]);
    scout.await_events(1);
    let shown = watched(&scout, 50, 120);
    let (enter, leave) = ("\u{1b}[?1049h\u{1b}[?25l", "\u{1b}[?25h\u{1b}[?1049l");
    assert!(shown.starts_with(enter), "{shown:?}");
    assert!(shown.trim_end().ends_with(&format!("{leave}ended 0")), "{shown:?}");
    assert!(shown.matches("\u{1b}[H").count() >= 2, "drawn anew: {shown:?}");
    assert!(shown.contains("(running), 1 handed over"), "{shown:?}");
    let narrow = watched(&scout, 5, 20);
    let frame = narrow.split("\u{1b}[H").nth(1).unwrap();
    let lines: Vec<_> = frame.split("\u{1b}[K").next().map(|_| frame.lines().collect()).unwrap();
    assert_eq!(lines.len(), 5, "{frame:?}");
    assert!(frame.contains("more lines"), "{frame:?}");
    agent.stop();
}

#[test]
fn watch_without_a_terminal_says_so() {
    let scout = Scout::new();
    scout.once(&[]);
    let done = finish(scout.command(&["status", "--watch"]).args(["--state", "state"]));
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    assert!(done.stderr.contains("--watch needs a terminal"), "{}", done.stderr);
}

#[test]
fn a_root_s_name_forges_no_line() {
    let scout = Scout::new();
    let name = "ro\not\u{202e}\u{1b}[2J";
    std::fs::create_dir(scout.beside(name)).unwrap();
    let run = |more: &[&str]| {
        let mut command = scout.command(&["run", name, "--state", "state", "--events", "events"]);
        command.args(more);
        command
    };
    std::fs::write(scout.beside(name).join("1.tgz"), job(1)).unwrap();
    assert_eq!(finish(&mut run(&["--once"])).code, Some(0));
    std::fs::rename(scout.beside(name), scout.beside("away")).unwrap();
    let check = |what: &str, text: &str| {
        assert!(text.contains(r"ro\not\u{202e}\u{1b}[2J"), "{what}: {text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{what}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ot")), "{what}: {text}");
    };
    check("status", &scout.tell(&["status"]));
    let exported = finish(scout.command(&["index", "export"]).args(["--state", "state"]));
    check(
        "index export",
        &serde_json::from_str::<serde_json::Value>(&exported.stdout).unwrap()["root"]
            .to_string()
            .replace(r"\\", r"\"),
    );
    let agent = crate::support::scout::Agent::start(run(&["--interval", "200ms"]), scout.beside("log"));
    agent.logged("Cannot watch the root");
    eventually("the root to be lost", || scout.tell(&["status"]).contains("is not watched").then_some(()));
    check("status of a lost root", &scout.tell(&["status"]));
    agent.stop();
}

#[test]
fn of_many_directories_the_hottest_and_the_stalest_are_told() {
    let scout = Scout::new();
    for directory in 0..900 {
        std::fs::create_dir(scout.path(format!("{directory:03}"))).unwrap();
    }
    let agent = scout.agent(&["--interval", "1s"]);
    let told = |words: &[&str]| scout.ask(words);
    eventually("the first walk", || (told(&["status"])["roots"][0]["walked"] == true).then_some(()));
    scout.put("456/job.tgz", &job(1));
    scout.await_events(1);
    let hot = scout.path("456").display().to_string();
    let status = eventually("the hot one to be told", || {
        let status = told(&["status"]);
        let lines = status["directories"].as_array().unwrap();
        let heat = |line: &serde_json::Value| line["files_per_hour"].as_f64().unwrap();
        let hottest = lines.iter().max_by(|a, b| heat(a).total_cmp(&heat(b))).unwrap();
        (hottest["path"] == hot.as_str()).then_some(status)
    });
    assert_eq!(status["roots"][0]["directories"], 901);
    // 400 of 901 at random would hold the one looked at longest ago about every second time.
    for _ in 0..15 {
        let status = told(&["status"]);
        let lines = status["directories"].as_array().unwrap();
        assert_eq!(lines.len(), 400);
        let oldest = lines.iter().map(|line| line["looked_s"].as_f64().unwrap()).fold(0.0, f64::max);
        let of_all = status["roots"][0]["oldest_look_s"].as_f64().unwrap();
        assert!(
            (oldest - of_all).abs() < 1e-6,
            "{oldest} of {of_all}: the one looked at longest ago is told"
        );
        // Until they are counted anew, and others are looked at.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    agent.stop();
}
