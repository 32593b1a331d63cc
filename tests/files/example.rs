//! The first thing that a reader of the documentation tries: the committed example tree.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::scout::{Done, Scout, finish, snapshot};

/// Runs the documented command as it is typed in a fresh clone, in a home of its own.
fn first_command(scout: &Scout) -> Done {
    let mut command: Command = scout.command(&["run", "examples/copilot-output", "--once"]);
    finish(command.current_dir(env!("CARGO_MANIFEST_DIR")))
}

/// The table on standard error, without the log before it and the summary after it.
#[track_caller]
fn table(done: &Done) -> &str {
    let start = done.stderr.find("JOBS").unwrap_or_else(|| panic!("no table: {}", done.stderr));
    &done.stderr[start..done.stderr.find("looked at").unwrap()]
}

#[test]
fn the_first_command_prints_events_and_statistics_and_then_only_statistics() {
    let scout = Scout::new();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/copilot-output");
    let before = snapshot(&tree);
    let first = first_command(&scout);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let events: Vec<Value> = first.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 15, "one archive is cut, one has no jobdata");
    for event in &events {
        assert_eq!((&event["kind"], &event["schema"]), (&"appeared".into(), &"nfs-scout/1".into()));
        assert_eq!(event["analysis"]["status"], "ok");
        let path = tree.join(event["path"].as_str().unwrap());
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(event["blake3"], crate::hash(&bytes));
        let content = blake3::hash(&bytes);
        let of_id = [event["path"].as_str().unwrap().as_bytes(), b"\0", content.as_bytes()].concat();
        assert_eq!(event["id"], crate::hash(&of_id));
        assert_eq!(event["size"], bytes.len());
    }
    let total = table(&first).lines().find(|line| line.trim_start().starts_with("TOTAL")).unwrap();
    let figures: Vec<_> = total.split_whitespace().collect();
    assert_eq!(figures[..4], ["TOTAL", "15", "2", "145000"], "jobs, failed, events: {total}");
    assert!(first.stderr.contains("waiting: 1 file, truncated"), "{}", first.stderr);
    assert!(first.stderr.contains("waiting: 1 file, no-jobdata"), "{}", first.stderr);

    let second = first_command(&scout);
    assert_eq!((second.code, second.stdout.as_str()), (Some(0), ""));
    assert_eq!(table(&second), table(&first));
    assert_eq!(snapshot(&tree), before, "the tree is only read");
}
