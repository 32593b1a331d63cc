//! Mistakes in the command line, the environment and the places that are named: refused before anything is done.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::job;
use crate::support::scout::{Scout, finish};

/// A run ends with this code, says this, never a password, and hands nothing over.
#[track_caller]
fn check(scout: &Scout, command: &mut Command, code: i32, parts: &[&str]) {
    let done = finish(command);
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "no {part:?} in {:?}", done.stderr);
    }
    assert!(!done.stderr.contains("hunter2") && !done.stderr.contains("panicked"), "{}", done.stderr);
    assert_eq!((done.stdout.as_str(), scout.news().len()), ("", 0));
}

fn tree() -> Scout {
    let scout = Scout::new();
    scout.put("1.tgz", &job(1));
    scout
}

#[test]
fn wrong_urls() {
    let scout = tree();
    let refused = |option: &str, url: &str| {
        check(&scout, &mut scout.once_command(&[option, url]), 2, &[option]);
        assert!(!scout.state().exists(), "refused before the state is made");
    };
    refused("--redis", "http://ann:hunter2@localhost");
    refused("--redis", "redis://ann:hunter2@localhost:99999");
    refused("--redis", "hunter2");
    refused("--amqp", "redis://ann:hunter2@localhost");
    refused("--amqp", "amqp://ann:hunter2@");
    refused("--amqp", "");
}

#[test]
fn a_server_that_is_not_there() {
    let scout = tree();
    let mut command =
        scout.once_command(&["--redis", "redis://ann:hunter2@no-such-host.invalid", "--drain", "300ms"]);
    check(&scout, &mut command, 69, &["unsent: 1 to redis"]);
}

#[test]
fn an_unknown_key() {
    let scout = tree();
    fs::write(scout.beside("site.toml"), "paths = [\"root\"]\nintervall = \"3s\"\n").unwrap();
    let mut command = scout.command(&["run", "--once", "--state", "state", "--config", "site.toml"]);
    check(&scout, &mut command, 2, &["unknown key `intervall`", "did you mean `interval`?", "site.toml"]);
    assert!(!scout.state().exists());
}

#[test]
fn a_state_directory_that_cannot_be_used() {
    let scout = tree();
    fs::write(scout.state(), "a file").unwrap();
    check(&scout, &mut scout.once_command(&[]), 1, &["state", "--state"]);
    fs::remove_file(scout.state()).unwrap();

    fs::create_dir(scout.state()).unwrap();
    fs::set_permissions(scout.state(), Permissions::from_mode(0o555)).unwrap();
    fs::write(scout.beside("events"), "").unwrap();
    check(&scout, &mut super::places::as_nobody(&scout, &[]), 1, &["Permission denied", "--state"]);

    let inside = scout.path("state");
    let mut command = scout.command(&["run", "root", "--once", "--state", inside.to_str().unwrap()]);
    check(&scout, &mut command, 2, &["--state"]);
    assert!(!inside.exists(), "nothing is written to the mount");
}
