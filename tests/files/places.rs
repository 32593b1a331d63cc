//! Trees that are not there, not readable, or full of things that are no files.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, open, openat};

use crate::support::eventually;
use crate::support::scout::{Scout, finish, kind_and_path};
use crate::{hash, job, news};

#[test]
fn a_missing_root() {
    let scout = Scout::new();
    fs::remove_dir(scout.root()).unwrap();
    let done = finish(&mut scout.once_command(&[]));
    assert_eq!(done.code, Some(74), "{}", done.stderr);
    assert!(done.stderr.contains("is it mounted?"), "{}", done.stderr);

    let agent = scout.agent_unready(&[]);
    agent.logged("Cannot watch the root");
    let root = &scout.ask(&["status"])["roots"][0];
    assert_eq!((&root["state"], &root["directories"]), (&"lost".into(), &0.into()));
    assert!(root["lost"].as_str().unwrap().contains("is it mounted?"), "{root}");
    fs::create_dir(scout.root()).unwrap();
    scout.put("1.tgz", &job(1));
    scout.await_events(1);
    assert_eq!(scout.ask(&["status"])["roots"][0]["lost"], serde_json::Value::Null);
    agent.stop();
}

#[test]
fn a_root_that_goes_and_comes_back() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    let agent = scout.agent(&["--audit", "off"]);
    scout.await_events(1);
    fs::rename(scout.root(), scout.beside("away")).unwrap();
    agent.logged("Cannot watch the root");
    fs::rename(scout.beside("away"), scout.root()).unwrap();
    scout.put("a/2.tgz", &job(2));
    scout.await_events(2);
    agent.stop();
    assert_eq!(scout.ask(&["index", "stat"])["gone"], 0);
}

#[test]
fn another_directory_in_the_place_of_the_root() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    let agent = scout.agent(&[]);
    scout.await_events(1);
    // As after an unmount: an empty directory; then one that has files of its own.
    fs::rename(scout.root(), scout.beside("away")).unwrap();
    fs::create_dir(scout.root()).unwrap();
    scout.put("other.tgz", &job(7));
    agent.logged("another directory lies there");
    let status = scout.ask(&["status"]);
    assert!(status["roots"][0]["lost"].as_str().unwrap().contains("--accept-mount"), "{status}");
    agent.stop();
    let done = finish(&mut scout.once_command(&[]));
    assert_eq!(done.code, Some(74), "{}", done.stderr);
    assert!(done.stderr.contains("--accept-mount"), "{}", done.stderr);
    assert_eq!(scout.news(), news(&[("appeared", "a/1.tgz")]));
    assert_eq!(scout.ask(&["index", "stat"])["gone"], 0, "nothing is forgotten");

    scout.put("a/1.tgz", &job(1));
    scout.once(&["--accept-mount"]);
    assert_eq!(scout.news(), news(&[("appeared", "a/1.tgz"), ("appeared", "other.tgz")]));
    scout.once(&[]);
    assert_eq!(scout.news().len(), 2);
}

/// A one-shot run as somebody whom permissions stop, by a copy of the program that they can reach.
pub(crate) fn as_nobody(scout: &Scout, more: &[&str]) -> Command {
    let program = scout.beside("nfs-scout");
    if !program.exists() {
        // By another process: were it open for writing here, it could not be started while another test starts one.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_nfs-scout")).arg(&program).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(scout.beside(""), Permissions::from_mode(0o777)).unwrap();
    }
    let model = scout.once_command(more);
    let mut command = Command::new(program);
    command.args(model.get_args()).env_clear().current_dir(scout.beside(""));
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn what_may_not_be_read() {
    let scout = Scout::new();
    scout.put("open/1.tgz", &job(1));
    scout.put("closed/2.tgz", &job(2));
    scout.put("open/secret.tgz", &job(3));
    fs::set_permissions(scout.path("closed"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(scout.path("open/secret.tgz"), Permissions::from_mode(0o000)).unwrap();
    let done = finish(&mut as_nobody(&scout, &["--settle", "200ms"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("1 unreadable"), "{}", done.stderr);
    assert!(done.stderr.contains("Permission denied"), "{}", done.stderr);
    assert!(done.stderr.contains("waiting: 1 file, cannot be read"), "{}", done.stderr);
    assert_eq!(scout.news(), news(&[("appeared", "open/1.tgz")]));
    let done = finish(&mut as_nobody(&scout, &["--strict"]));
    assert_eq!(done.code, Some(74), "{}", done.stderr);

    for name in ["closed", "open/secret.tgz"] {
        fs::set_permissions(scout.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    let mut found = eventually("both files", || {
        let done = finish(&mut as_nobody(&scout, &["--strict", "--settle", "200ms"]));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        Some(scout.news().split_off(1)).filter(|found| found.len() >= 2)
    });
    found.sort();
    assert_eq!(found, news(&[("appeared", "closed/2.tgz"), ("appeared", "open/secret.tgz")]));

    // Known files that cannot be seen for a while are not gone.
    fs::set_permissions(scout.path("closed"), Permissions::from_mode(0o000)).unwrap();
    finish(&mut as_nobody(&scout, &["--audit", "1s"]));
    fs::set_permissions(scout.path("closed"), Permissions::from_mode(0o755)).unwrap();
    let done = finish(&mut as_nobody(&scout, &[]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(scout.news().len(), 3);

    fs::set_permissions(scout.root(), Permissions::from_mode(0o000)).unwrap();
    let done = finish(&mut as_nobody(&scout, &[]));
    fs::set_permissions(scout.root(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(done.code, Some(74), "nothing could be read: {}", done.stderr);
}

#[test]
fn names_that_are_no_files_stop_nothing() {
    let scout = Scout::new();
    mknodat(CWD, scout.path("pipe.tgz"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = UnixListener::bind(scout.path("socket.tgz")).unwrap();
    symlink(".", scout.path("loop")).unwrap();
    symlink("self.tgz", scout.path("self.tgz")).unwrap();
    symlink("/nowhere", scout.path("dangling.tgz")).unwrap();
    scout.put("real/1.tgz", &job(1));
    symlink("../real", scout.path("real/up")).unwrap();
    symlink("real/1.tgz", scout.path("link.tgz")).unwrap();
    symlink("real", scout.path("link")).unwrap();
    fs::create_dir(scout.path("directory.tgz")).unwrap();
    for _ in 0..2 {
        scout.once(&["--settle", "0s"]);
        assert_eq!(scout.news(), news(&[("appeared", "real/1.tgz")]));
    }
    let agent = scout.agent(&["--settle", "0s", "--audit", "1s", "--audit-stat"]);
    scout.put("directory.tgz/2.tgz", &job(2));
    scout.await_events(2);
    agent.stop();
    assert_eq!(scout.ask(&["status"])["waiting_count"], 0);
}

#[test]
fn a_name_that_changes_its_nature() {
    let scout = Scout::new();
    let path = scout.path("x.tgz");
    symlink("/etc/passwd", &path).unwrap();
    scout.once(&[]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    scout.put("x.tgz/in.tgz", &job(1));
    scout.once(&[]);
    fs::remove_dir_all(&path).unwrap();
    scout.put("x.tgz", &job(2));
    scout.once(&[]);
    assert_eq!(scout.news(), news(&[("appeared", "x.tgz/in.tgz"), ("appeared", "x.tgz")]));
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    scout.once(&[]);
    assert_eq!(scout.news().len(), 2);
    assert!(scout.tell(&["index", "list"]).contains("x.tgz  (gone)"));
    let done = scout.once(&["--strict"]);
    assert!(!done.stderr.contains("unreadable"), "{}", done.stderr);
}

/// Makes a file below so many directories with names of 200 bytes; gives its path below the root.
fn deep_file(scout: &Scout, depth: usize) -> String {
    let name = "d".repeat(200);
    let mut at: OwnedFd = open(scout.root(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut path = PathBuf::new();
    for _ in 0..depth {
        let _exists = mkdirat(&at, name.as_str(), Mode::RWXU);
        at = openat(&at, name.as_str(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        path.push(&name);
    }
    let file = openat(&at, "job.tgz", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR).unwrap();
    std::io::Write::write_all(&mut File::from(file), &job(u32::try_from(depth).unwrap())).unwrap();
    path.join("job.tgz").to_str().unwrap().to_owned()
}

#[test]
fn paths_of_4000_bytes_and_more() {
    let scout = Scout::new();
    let mut paths = vec![deep_file(&scout, 19), deep_file(&scout, 20), deep_file(&scout, 25)];
    assert!(paths[0].len() < 4000 && paths[1].len() > 4000 && paths[2].len() > 5000);
    scout.once(&[]);
    let told = |scout: &Scout| {
        let mut told: Vec<_> = scout.news().into_iter().map(|(_, path)| path).collect();
        told.sort();
        told
    };
    paths.sort();
    assert_eq!(told(&scout), paths);
    let agent = scout.agent(&[]);
    paths.push(deep_file(&scout, 24));
    scout.await_events(4);
    agent.stop();
    paths.sort();
    assert_eq!(told(&scout), paths);
    let listed = scout.ask(&["index", "list"]);
    assert!(listed.as_array().unwrap().iter().any(|line| line["path"] == paths[3].as_str()));
    // The folder is removed by name, which the system takes only in pieces.
    let removed = Command::new("rm").arg("-rf").arg(scout.root()).status().unwrap();
    assert!(removed.success());
}

#[test]
fn names_are_bytes() {
    let scout = Scout::new();
    let odd: [&[u8]; 5] =
        [b"new\nline.tgz", b"tab\tquote\".tgz", b"\xff\xfe.tgz", b"caf\xc3\xa9.tgz", b"\x1b[31mred.tgz"];
    let directory: &[u8] = b"d\xe9p\xf4t";
    for (number, name) in (0..).zip(odd) {
        scout.put(OsStr::from_bytes(name), &job(number));
        scout.put(
            PathBuf::from(OsStr::from_bytes(directory)).join(OsStr::from_bytes(name)),
            &job(number + 100),
        );
    }
    let agent = scout.agent(&[]);
    let events = scout.await_events(10);
    let status = scout.tell(&["status"]);
    agent.logged_times("Handed over a file.", 10);
    let log = agent.log();
    agent.stop();
    scout.once(&[]);
    scout.await_events(10);
    let mut found = Vec::new();
    for event in &events {
        let (kind, text) = kind_and_path(event);
        assert_eq!(kind, "appeared");
        let bytes = match event["path_bytes"].as_str() {
            Some(bytes) => STANDARD.decode(bytes).unwrap(),
            None => text.clone().into_bytes(),
        };
        assert_eq!(String::from_utf8_lossy(&bytes), text);
        assert_eq!(event["path_bytes"].is_string(), str::from_utf8(&bytes).is_err());
        let content = fs::read(scout.path(OsStr::from_bytes(&bytes))).unwrap();
        let of_id = [&bytes[..], b"\0", blake3::hash(&content).as_bytes()].concat();
        assert_eq!(event["id"], hash(&of_id), "the id is made of the bytes");
        found.push(bytes);
    }
    found.sort();
    let mut expected: Vec<_> = odd.map(<[u8]>::to_vec).into();
    expected.extend(odd.map(|name| [directory, b"/", name].concat()));
    expected.sort();
    assert_eq!(found, expected);
    let list = scout.tell(&["index", "list"]);
    assert_eq!(list.lines().count(), 10, "{list}");
    for text in [&list, &status, &log] {
        assert!(!text.contains('\u{1b}'), "a name steers the terminal: {text:?}");
    }
}
