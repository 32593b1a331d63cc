//! What metrics, page and `status` tell of a mount that hangs, while it does and afterwards.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;

use super::scene::Scene;
use super::{ANSWER, SOON};
use crate::rig;

/// What the page is told of a hung mount, as it was once: `tests/page/hung.rs` shows it to a browser, which does not run
/// in the guest. Each run of this trial leaves what it was told in `target/tmp/nfs-rig/hung-*.sse`.
const RECORDED: &str = include_str!("../../page/hung.sse");

/// The agent as others ask for it over HTTP.
pub(super) struct Page {
    port: u16,
}

impl Page {
    /// Of an agent that was given `--listen 0`.
    #[track_caller]
    pub(super) fn of(scene: &Scene) -> Self {
        scene.wait_for_log("Serving metrics and page.", SOON);
        let log = scene.log();
        let (_, rest) = log.split_once("address=127.0.0.1:").unwrap();
        let port = rest.chars().take_while(char::is_ascii_digit).collect::<String>();
        Self { port: port.parse().unwrap() }
    }

    /// Nothing is wrong, and the kernel's counts of RPCs are told.
    #[track_caller]
    pub(super) fn is_well(&self, scene: &Scene) {
        rig::eventually("no problem to be told", SOON, || self.report()["problems"] == Value::Array(vec![]));
        assert_eq!(self.state_of(scene.mount.client_path()), (0.0, 1.0));
        let asked = self.metric("nfs_scout_rpcs_total{operation=\"GETATTR\"}");
        let took = self.metric("nfs_scout_rpc_round_trip_seconds_total{operation=\"GETATTR\"}");
        assert!(asked > 0.0 && took > 0.0, "{asked} {took}");
        assert!(root_of(&self.report(), scene)["silent_s"].is_null());
    }

    /// That the server of the scene's root hangs is told everywhere, and that of `other` does not; what is told of the hung
    /// one grows old.
    #[track_caller]
    pub(super) fn tells_of_the_hung_root(&self, scene: &Scene, other: &Path) {
        let root = scene.mount.client_path().display().to_string();
        let says = format!("The file system at {root} does not answer: ");
        let before = self.report();
        assert_eq!(root_of(&before, scene)["state"], "silent", "{before}");
        let [problem] = before["problems"].as_array().unwrap().as_slice() else { panic!("{before}") };
        assert!(problem.as_str().unwrap().starts_with(&says), "{before}");
        // It is not held by the mount guard, which has a metric and an alert of its own.
        assert_eq!(
            (self.state_of(scene.mount.client_path()), self.state_of(other)),
            ((1.0, 1.0), (0.0, 1.0))
        );
        assert!(self.of_root("calls", scene.mount.client_path()) > 0.0);
        let line = |text: &str, part: &str| text.lines().any(|line| line.contains(part));
        let status = scene.tell(&["status"]);
        assert!(line(&status, &format!("! {says}")), "{status}");
        assert!(line(&status, "  no answer for "), "{status}");
        let explained = self.get(&format!("/explain?path={root}/a"));
        assert!(explained.contains(r#""state":"a directory""#), "{explained}");
        assert!(self.get("/").contains("<title>nfs-scout</title>"));

        let ages = |report: &Value| {
            let number = |value: &Value| value.as_f64().unwrap();
            let lines = report["directories"].as_array().unwrap().iter();
            let below = lines.filter(|line| line["path"].as_str().unwrap().starts_with(&root));
            let least = below.map(|line| number(&line["looked_s"])).fold(f64::INFINITY, f64::min);
            let root = root_of(report, scene);
            [number(&report["at_seconds"]), number(&root["silent_s"]), number(&root["oldest_look_s"]), least]
        };
        let [at, silent, oldest, least] = ages(&before);
        rig::eventually("a second later", SOON, || self.report()["at_seconds"].as_f64() > Some(at + 1.0));
        let after = ages(&self.report());
        let passed = after[0] - at;
        for (age, now) in [silent, oldest, least].into_iter().zip(&after[1..]) {
            assert!(
                (now - age - passed).abs() < 0.2 * passed,
                "{age} s was {now} s after {passed} s: {before}"
            );
        }
        self.is_as_recorded(scene);
    }

    fn is_as_recorded(&self, scene: &Scene) {
        let told = self.news();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nfs-rig");
        std::fs::write(kept.join(format!("hung-{}.sse", scene.case())), &told).unwrap();
        assert_eq!(
            shape(&report_in(&told)),
            shape(&report_in(RECORDED)),
            "the recorded one is of another version"
        );
    }

    fn report(&self) -> Value {
        report_in(&self.news())
    }

    /// The first message of what the page is kept up to date with.
    #[track_caller]
    fn news(&self) -> String {
        let mut stream = self.ask("/events");
        let mut told = Vec::new();
        let mut part = [0; 4096];
        // The first line of the second event, to its end: it is the last.
        let whole = |told: &[u8]| {
            let text = String::from_utf8_lossy(told);
            text.split_once("event: report\n").is_some_and(|(_, report)| report.contains("\n\n"))
        };
        while !whole(&told) {
            let read = stream.read(&mut part).expect("an answer in time");
            assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&told));
            told.extend_from_slice(&part[..read]);
        }
        let text = String::from_utf8(told).unwrap();
        text[text.find("event: history").expect("what was before")..].to_owned()
    }

    /// Whether a root is silent, and whether it is watched.
    fn state_of(&self, root: &Path) -> (f64, f64) {
        (self.of_root("silent", root), self.of_root("watched", root))
    }

    fn of_root(&self, name: &str, root: &Path) -> f64 {
        self.metric(&format!("nfs_scout_root_{name}{{root=\"{}\"}}", root.display()))
    }

    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    #[track_caller]
    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        self.ask(path).read_to_string(&mut answer).expect("an answer in time");
        assert!(answer.starts_with("HTTP/1.0 200 "), "{path}: {answer}");
        answer
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    }
}

/// What a report says of the scene's root.
fn root_of<'a>(report: &'a Value, scene: &Scene) -> &'a Value {
    let path = scene.mount.client_path().to_str().unwrap();
    report["roots"].as_array().unwrap().iter().find(|root| root["path"] == path).unwrap()
}

/// The report among server-sent events.
#[track_caller]
fn report_in(events: &str) -> Value {
    let (_, report) = events.split_once("event: report\ndata: ").unwrap();
    serde_json::from_str(report.lines().next().unwrap()).unwrap()
}

/// The names in a report, at every depth where they are the program's own.
fn shape(report: &Value) -> Vec<String> {
    let names = |of: &str, value: &Value| -> Vec<String> {
        value.as_object().unwrap().keys().map(|name| format!("{of}.{name}")).collect()
    };
    let parts = ["/pace", "/roots/0", "/directories/0", "/outbox", "/sinks/0", "/latest/0"];
    let parts = parts.iter().map(|part| names(part, report.pointer(part).unwrap()));
    [names("", report)].into_iter().chain(parts).flatten().collect()
}
