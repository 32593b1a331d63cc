//! The files of `cron/`: systemd accepts them, they are hardened, and the program understands the flags in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfs-scout");
const INSTALLED: &str = "/usr/bin/nfs-scout";
const CONFIG: &str = "/etc/nfs-scout/config.toml";
/// systemd's exposure level times ten: 0 is a sealed box, 100 an ordinary root service.
const EXPOSURE_LIMIT: u32 = 20;

#[test]
fn systemd_accepts_every_unit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let units = units();
    for unit in &units {
        let text = fs::read_to_string(unit).expect("a readable unit").replace(INSTALLED, PROGRAM);
        fs::write(folder.path().join(unit.file_name().expect("a name")), text).expect("a copy of the unit");
    }
    for unit in &units {
        let copy = folder.path().join(unit.file_name().expect("a name"));
        systemd_analyze(&["verify", "--man=no", copy.to_str().expect("a UTF-8 path")]);
    }
}

#[test]
fn every_service_is_hardened() {
    for unit in units().iter().filter(|unit| unit.extension().is_some_and(|it| it == "service")) {
        let threshold = format!("--threshold={EXPOSURE_LIMIT}");
        systemd_analyze(&["security", "--offline=true", &threshold, unit.to_str().expect("a UTF-8 path")]);
    }
}

#[test]
fn the_program_understands_every_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("config.toml");
    fs::write(&config, "").expect("an empty configuration");
    let lines = command_lines();
    assert_eq!(lines.len(), 3, "the agent, the one-shot service and the crontab line: {lines:#?}");
    for line in lines {
        let line = line.replace(CONFIG, config.to_str().expect("a UTF-8 path"));
        let output = Command::new(PROGRAM)
            .args(line.split_whitespace())
            .arg("--print-config")
            .env_clear()
            .output()
            .expect("the program starts");
        assert!(
            output.status.success(),
            "`nfs-scout {line} --print-config` ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
        );
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cron")
}

fn units() -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the cron folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "service" || it == "timer"))
        .collect();
    units.sort();
    assert_eq!(units.len(), 3, "{units:?}");
    units
}

/// What follows the program's name in each `ExecStart=` and in the crontab.
fn command_lines() -> Vec<String> {
    let start = format!("ExecStart={INSTALLED} ");
    let mut lines = Vec::new();
    for unit in units() {
        let text = fs::read_to_string(unit).expect("a readable unit");
        lines.extend(text.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned));
    }
    let crontab = fs::read_to_string(folder().join("nfs-scout.crontab")).expect("a readable crontab");
    let jobs = crontab.lines().filter(|line| line.starts_with('*'));
    lines.extend(jobs.filter_map(|line| {
        line.split_once(" nfs-scout ")?.1.trim().strip_prefix("nfs-scout ").map(str::to_owned)
    }));
    lines
}

#[track_caller]
fn systemd_analyze(arguments: &[&str]) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "cat")
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze: {error}. Install it: apt-get install systemd"));
    assert!(
        output.status.success(),
        "`systemd-analyze {}` ended with {}:\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
