//! The metrics: their form by promtool, their values by what was done, their names in dashboard, alerts and documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::support::eventually;
use crate::support::scout::Scout;
use crate::support::servers::RedisServer;
use crate::web::get;
use crate::{job, serving};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs promtool; what it prints must be nothing to complain of.
#[track_caller]
fn promtool(words: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is missing: apt-get install prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {words:?}: {said}\n{input}");
}

/// Each sample: name and labels as written, and its value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    parsed.collect()
}

/// The metrics that a text says it has.
fn named(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Every word of a text that looks like one of our metrics, without what a histogram's parts are called.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("nfs_scout_"));
    ours.map(whole).collect()
}

/// A metric's name without what a histogram's parts are called.
fn whole(name: &str) -> String {
    let parts = ["_bucket", "_sum", "_count"];
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
}

/// The labels of each metric, as its samples carry them.
fn labelled(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in samples(text).into_keys() {
        let (name, rest) = sample.split_once('{').unwrap_or((&sample, ""));
        // A label's name stands before its value.
        let mut parts: Vec<_> = rest.split("=\"").collect();
        parts.pop();
        let names = parts.iter().map(|part| part.rsplit(['"', ',']).next().unwrap().to_owned());
        labels.entry(whole(name)).or_default().extend(names);
    }
    labels
}

/// The same, as the table of `docs/metrics.md` has it.
fn documented_labels() -> BTreeMap<String, BTreeSet<String>> {
    let bare = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `nfs_scout_")?.split('|');
        let name = format!("nfs_scout_{}", bare(cells.next()?));
        Some((name, cells.next()?.split(',').map(bare).filter(|label| !label.is_empty()).collect()))
    };
    file("docs/metrics.md").lines().filter_map(row).collect()
}

/// The labels that a dashboard or a rule asks for, but for those that Prometheus adds.
fn labels_asked(text: &str) -> BTreeSet<String> {
    let after = |mark: &str, end: char| -> Vec<String> {
        let parts = text.split(mark).skip(1).filter_map(|rest| rest.split(end).next());
        parts.flat_map(|part| part.split(',')).map(|label| label.trim().to_owned()).collect()
    };
    let all = [
        after("by (", ')'),
        after("on (", ')'),
        after("$labels.", ' '),
        after("\"{{", '}'),
        after(" {{", '}'),
    ];
    let names = all.concat().into_iter().filter(|name| name.chars().all(|c| c.is_ascii_lowercase()));
    names.filter(|name| !["instance", "job"].contains(&name.as_str())).collect()
}

/// Metrics that need an NFS mount; `tests/nfs/faults/told.rs` sees them behind one.
const OF_NFS: [&str; 2] = ["nfs_scout_rpcs_total", "nfs_scout_rpc_round_trip_seconds_total"];

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_metrics_are_true_and_well_formed() {
    let scout = Scout::new();
    let mut redis = RedisServer::start();
    scout.put("a/1.tgz", &job(1));
    scout.put("b \"q\"\n/cut.tgz", &job(2)[..40]);
    let began = Instant::now();
    let (agent, port) = serving(&scout, &["--redis", &redis.url(), "--events"]);
    let scrape = || {
        let answer = get(port, "/metrics");
        assert_eq!(answer.status, 200);
        assert!(answer.headers.contains("content-type: text/plain; version=0.0.4"), "{}", answer.headers);
        answer.body
    };
    let value = |name: &str| samples(&scrape()).get(name).copied();
    let becomes = |name: &str, wanted: f64| {
        eventually(&format!("{name} {wanted}"), || (value(name) == Some(wanted)).then_some(()));
    };
    becomes("nfs_scout_files_total{result=\"appeared\"}", 1.0);
    becomes("nfs_scout_waiting_files", 1.0);
    becomes("nfs_scout_waiting_files_by_reason{reason=\"truncated\"}", 1.0);
    becomes("nfs_scout_sink_up{sink=\"redis\"}", 1.0);
    becomes("nfs_scout_outbox_messages{sink=\"redis\"}", 0.0);
    // What is there at first contact was not looked for: nothing says since when.
    assert_eq!(value("nfs_scout_detection_latency_seconds_count"), Some(0.0));
    scout.put("a/2.tgz", &job(3));
    becomes("nfs_scout_detection_latency_seconds_count", 1.0);
    becomes("nfs_scout_detection_latency_seconds_bucket{le=\"+Inf\"}", 1.0);
    // Seconds, not another unit: none took longer than there has been an agent, nor is a report older.
    let within = |name: &str, since: Instant| {
        let seconds = value(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(seconds > 0.0 && seconds <= since.elapsed().as_secs_f64(), "{name} {seconds}");
    };
    within("nfs_scout_detection_latency_seconds_sum", began);
    let root = scout.root().display().to_string();
    within(&format!("nfs_scout_oldest_look_seconds{{root=\"{root}\"}}"), began);
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
        - value("nfs_scout_report_timestamp_seconds").unwrap();
    assert!(age.abs() <= began.elapsed().as_secs_f64(), "{age}");
    assert_eq!(value(&format!("nfs_scout_directories{{root=\"{root}\"}}")), Some(3.0));
    assert_eq!(value("nfs_scout_bound_promised_seconds"), Some(0.2));
    let looks = "nfs_scout_looks_total{result=\"unchanged\"}";
    let before = value(looks).unwrap();
    eventually("more looks", || value(looks).filter(|now| *now > before));

    let stopped = Instant::now();
    redis.stop();
    becomes("nfs_scout_sink_up{sink=\"redis\"}", 0.0);
    scout.put("a/3.tgz", &job(4));
    becomes("nfs_scout_outbox_messages{sink=\"redis\"}", 1.0);
    let age = "nfs_scout_outbox_oldest_age_seconds{sink=\"redis\"}";
    eventually("an age", || value(age).filter(|age| *age > 0.0));
    within(age, stopped);
    becomes("nfs_scout_outbox_messages{sink=\"events\"}", 0.0);

    let text = scrape();
    promtool(&["check", "metrics"], &text);
    let exported = named(&text);
    fs::rename(scout.root(), scout.beside("away")).unwrap();
    becomes(&format!("nfs_scout_root_watched{{root=\"{root}\"}}"), 0.0);
    becomes("nfs_scout_mount_guard_trips_total", 1.0);
    // Nobody looks there any more, and that shows.
    let oldest = format!("nfs_scout_oldest_look_seconds{{root=\"{root}\"}}");
    let before = value(&oldest).unwrap();
    eventually("the last look to be longer ago", || value(&oldest).filter(|now| *now > before + 0.5));

    promtool(&["check", "metrics"], &scrape());
    let documented = mentioned(&file("docs/metrics.md"));
    let of_nfs = OF_NFS.map(str::to_owned).into();
    assert_eq!(documented, exported.union(&of_nfs).cloned().collect(), "docs/metrics.md against the metrics");
    let labels = documented_labels();
    for (name, there) in labelled(&text) {
        assert_eq!(labels.get(&name), Some(&there), "the labels of {name} in docs/metrics.md");
    }
    for name in ["examples/grafana.json", "examples/alerts.yaml"] {
        let unknown: Vec<_> = labels_asked(&file(name))
            .into_iter()
            .filter(|label| !labels.values().any(|known| known.contains(label)))
            .collect();
        assert!(unknown.is_empty(), "{name} asks for labels that there are not: {unknown:?}");
        let asked = mentioned(&file(name));
        let missing: Vec<_> = asked.difference(&documented).collect();
        assert!(missing.is_empty() && asked.len() > 5, "{name} asks for {missing:?} of {asked:?}");
    }
    agent.stop();
}

#[test]
fn a_one_shot_run_leaves_its_metrics_whole() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    fs::create_dir(scout.beside("collector")).unwrap();
    scout.once(&["--textfile", "collector/scout.prom"]);
    let path = scout.beside("collector/scout.prom");
    let text = fs::read_to_string(&path).unwrap();
    promtool(&["check", "metrics"], &text);
    let first = samples(&text);
    assert_eq!(first.get("nfs_scout_files_total{result=\"appeared\"}"), Some(&1.0));
    assert_eq!(first.get("nfs_scout_outbox_messages{sink=\"events\"}"), Some(&0.0));
    let directories = format!("nfs_scout_directories{{root=\"{}\"}}", scout.root().display());
    assert_eq!(first.get(&directories), Some(&2.0));
    assert!(
        !first.contains_key("nfs_scout_bound_promised_seconds"),
        "a run that cron starts promises nothing"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    scout.once(&["--textfile", "collector/scout.prom"]);
    let second = samples(&fs::read_to_string(&path).unwrap());
    assert_eq!(second.get("nfs_scout_files_total{result=\"appeared\"}"), Some(&0.0));
    assert!(second["nfs_scout_report_timestamp_seconds"] > first["nfs_scout_report_timestamp_seconds"]);
    assert_eq!(fs::read_dir(scout.beside("collector")).unwrap().count(), 1, "nothing is left beside it");
    // What the run did counts more than that nobody could be told.
    let done = scout.once(&["--textfile", "nowhere/scout.prom"]);
    assert!(done.stderr.contains("Cannot write the metrics."), "{}", done.stderr);
}

#[test]
fn the_alerts_are_rules_and_fire_when_they_should() {
    let path = |name: &str| Path::new(ROOT).join(name).display().to_string();
    promtool(&["check", "rules", &path("examples/alerts.yaml")], "");
    promtool(&["test", "rules", &path("tests/page/alerts.yaml")], "");
    let rules = file("examples/alerts.yaml");
    let tried = file("tests/page/alerts.yaml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 6, "{alerts:?}");
    for alert in alerts {
        for way in [format!("alertname: {alert}}}"), format!("alertname=\"{alert}\"")] {
            assert!(tried.contains(&way), "{alert} is not tried: {way}");
        }
    }
}

#[test]
fn the_dashboard_is_one() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("examples/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 8);
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("{title} asks nothing"));
        for target in targets {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            // promtool parses expressions only as rules.
            let rule = format!("groups: [{{name: g, rules: [{{record: r, expr: {expression:?}}}]}}]");
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("rule.yaml"), &rule).unwrap();
            promtool(&["check", "rules", folder.path().join("rule.yaml").to_str().unwrap()], "");
        }
    }
}
