//! State directories that are full, read-only, or of an earlier version.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::job;
use crate::support::scout::{Done, Scout, finish};

/// Runs `script` in a mount namespace of its own, where `state` is a file system of `size`; `scout` makes one pass.
fn on_a_small_disk(scout: &Scout, size: &str, script: &str) -> Done {
    fs::create_dir(scout.state()).unwrap();
    let run = scout.once_command(&[]);
    let words: Vec<_> = run.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
    let program = run.get_program().to_str().unwrap().to_owned();
    let prelude = format!("scout() {{ {program} {} ; echo \"code $?\"; }}", words.join(" "));
    let script = format!("{prelude}\nmount -t tmpfs -o size={size} none state || exit 99\n{script}");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    command.current_dir(scout.state().parent().unwrap());
    finish(&mut command)
}

#[track_caller]
fn check_codes(done: &Done, expected: &[&str]) {
    let codes: Vec<_> = done.stdout.lines().filter_map(|line| line.strip_prefix("code ")).collect();
    assert_eq!(codes, expected, "{done:?}");
}

#[test]
fn a_full_disk_loses_nothing_and_needs_no_repair() {
    const FILES: u32 = 1_000;
    let scout = Scout::new();
    for number in 0..FILES {
        scout.put(format!("{}/{number}.tgz", number % 7), &job(number));
    }
    let script = "scout; scout; mount -o remount,size=200m state; scout; scout";
    let done = on_a_small_disk(&scout, "700k", script);
    check_codes(&done, &["1", "1", "0", "0"]);
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
    let mut ids: Vec<_> = scout.events().iter().map(|event| event["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), FILES as usize);
}

#[test]
fn a_read_only_state_is_said() {
    let scout = Scout::new();
    scout.put("1.tgz", &job(1));
    let script = "scout; mount -o remount,ro state; scout; mount -o remount,rw state; scout";
    let done = on_a_small_disk(&scout, "100m", script);
    check_codes(&done, &["0", "1", "0"]);
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    assert!(done.stderr.contains("give a writable local folder with --state"), "{done:?}");
    assert_eq!(scout.events().len(), 1);
}

/// One of each format that was ever written is kept: what is known of the example after a run. The third is that of an agent
/// that was killed, whose ledger has no rows yet; in the fourth 20 files were there at first contact, and a run that ended was
/// followed by an agent that was killed.
#[test]
fn a_state_of_every_format_is_read() {
    for (format, files) in [(1, 15), (2, 15), (3, 15), (4, 35)] {
        let scout = Scout::new();
        let name = format!("tests/files/format-{format}.tgz");
        let fixture = fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        tar::Archive::new(flate2::read::GzDecoder::new(fixture)).unpack(scout.beside("")).unwrap();
        assert_eq!(scout.ask(&["index", "stat"])["files"], files, "format {format}");
        assert_eq!(scout.ask(&["status"])["waiting_count"], 2, "format {format}");
        assert_eq!(scout.counter("jobs_completed"), 15, "format {format}");
        assert!(scout.tell(&["index", "verify"]).contains("agrees with itself"), "format {format}");
    }
}
