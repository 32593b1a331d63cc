//! `watch`: only what comes, in the words of a message or of inotifywait, and nothing left behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::job;
use crate::support::eventually;
use crate::support::scout::{Agent, Scout};

/// A `watch` of the tree with its output in a file.
struct Watch {
    agent: Agent,
    output: PathBuf,
}

impl Watch {
    /// Returns when what is there was looked at.
    #[track_caller]
    fn start(scout: &Scout, more: &[&str]) -> Self {
        fs::create_dir_all(scout.beside("tmp")).unwrap();
        let output = scout.beside("output");
        let arguments = [&["watch", "root", "--interval", "100ms", "--settle", "200ms"], more].concat();
        let mut command = scout.command(&arguments);
        command.env("TMPDIR", scout.beside("tmp")).env("NFS_SCOUT_REDIS", "redis://127.0.0.1:1");
        let agent = Agent::start_with_output(command, scout.beside("log"), File::create(&output).unwrap());
        agent.logged("Looked at every directory of the root once.");
        Self { agent, output }
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.output).unwrap().lines().map(str::to_owned).collect()
    }

    fn await_lines(&self, count: usize) -> Vec<String> {
        eventually("lines", || Some(self.lines()).filter(|lines| lines.len() >= count))
    }
}

#[test]
fn watch_prints_what_comes_and_leaves_nothing() {
    let scout = Scout::new();
    scout.put("a/old", b"there before");
    let watch = Watch::start(&scout, &["--exclude", "*.log"]);
    scout.put("a/new", b"1");
    scout.put("a/left.log", b"1");
    scout.put("b/c/broken.tgz", b"no archive");
    watch.await_lines(2);
    scout.put("a/new", b"2, longer");
    scout.put("a/old", b"replaced");
    let events: Vec<Value> =
        watch.await_lines(4).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut news: Vec<_> = events
        .iter()
        .map(|event| ["kind", "path"].map(|key| event[key].as_str().unwrap()).join(" "))
        .collect();
    news.sort();
    assert_eq!(news, ["appeared a/new", "appeared b/c/broken.tgz", "replaced a/new", "replaced a/old"]);
    assert_eq!(fs::read_dir(scout.beside("tmp")).unwrap().count(), 1);
    watch.agent.stop();
    assert_eq!(fs::read_dir(scout.beside("tmp")).unwrap().count(), 0);

    // Nothing is remembered: neither what was printed nor what came meanwhile is printed now.
    scout.put("a/meanwhile", b"1");
    let watch = Watch::start(&scout, &[]);
    scout.put("a/last", &job(1));
    let lines = watch.await_lines(1);
    assert!(lines.len() == 1 && lines[0].contains(r#""path":"a/last""#), "{lines:?}");
    watch.agent.stop();
}

/// What the real one prints of the same files.
#[test]
fn watch_prints_what_inotifywait_prints() {
    let scout = Scout::new();
    scout.put("a/old", b"there before");
    let root = scout.root();
    let real = Real::start(&root, &scout.beside("real"));
    let watch = Watch::start(&scout, &["--format", "inotifywait"]);
    let names = ["plain", "with blank", "käse", "a 'quoted' \"name\""];
    for name in names {
        fs::write(root.join("a").join(name), name).unwrap();
    }
    let mut ours = watch.await_lines(names.len());
    let mut theirs = real.await_lines(names.len());
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);

    fs::write(root.join("a/two\nlines"), "x").unwrap();
    let last = watch.await_lines(names.len() + 1).pop().unwrap();
    assert_eq!(last, format!(r"{}/a/ CLOSE_WRITE,CLOSE two\nlines", root.display()));
    watch.agent.stop();
}

/// The real inotifywait, on the tree itself.
struct Real {
    child: Child,
    output: PathBuf,
}

impl Real {
    fn start(root: &Path, output: &Path) -> Self {
        let log = output.with_extension("log");
        let child = Command::new("inotifywait")
            .args(["-m", "-r", "-e", "close_write"])
            .arg(root)
            .stdin(Stdio::null())
            .stdout(File::create(output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("inotifywait, of the package inotify-tools");
        eventually("inotifywait", || fs::read_to_string(&log).unwrap().contains("established").then_some(()));
        Self { child, output: output.to_owned() }
    }

    fn await_lines(&self, count: usize) -> Vec<String> {
        let lines =
            || fs::read_to_string(&self.output).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        eventually("the real lines", || Some(lines()).filter(|lines| lines.len() >= count))
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
