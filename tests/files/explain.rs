//! `explain`: what became of a file, in each case that there is. Directories that cannot be read and other file systems need
//! a mount: they are among the trials of `doctor` behind a real NFS client.

use std::fs;

use crate::support::eventually;
use crate::support::scout::Scout;
use crate::support::servers::RabbitServer;
use crate::upkeep::check_explained;
use crate::{archive_with, job};

#[test]
fn tells_of_what_was_handed_over() {
    let scout = Scout::new();
    scout.put("a/first.tgz", &job(1));
    scout.once(&[]);
    scout.put("a/second.tgz", &job(2));
    scout.put("a/first.tgz", &job(3));
    scout.once(&[]);
    let events = scout.events();
    let second = events.iter().find(|event| event["path"] == "a/second.tgz").unwrap();
    let text = |key: &str| second[key].as_str().unwrap().to_owned();
    let between = format!("its directory was last seen without it: {}", text("not_before"));
    let found = format!("found: {}", text("detected_at"));
    let facts = [&format!("id: {}", text("id")), &between, &found, "as: appeared", "to events: confirmed"];
    check_explained(&scout, "root/a/second.tgz", "handed over", &facts.map(|fact| fact as &str));
    check_explained(&scout, "root/a/first.tgz", "handed over", &["as: replaced", "to events: confirmed"]);

    fs::rename(scout.path("a/second.tgz"), scout.path("moved.tgz")).unwrap();
    scout.once(&[]);
    let moved = "moved here from another path: recorded, not handed over again";
    check_explained(&scout, "root/moved.tgz", moved, &["id: "]);
    check_explained(&scout, "root/a/second.tgz", "handed over", &["gone from the mount: since "]);
}

#[test]
fn tells_of_what_was_there_before() {
    let scout = Scout::new();
    scout.put("old.tgz", &job(1));
    scout.once(&["--baseline"]);
    let baseline = "there at first contact (--baseline): not read, not handed over";
    check_explained(&scout, "root/old.tgz", baseline, &["directory last looked at: "]);
}

#[test]
fn tells_why_a_file_waits_and_that_it_was_given_up() {
    let scout = Scout::new();
    scout.put("plain.dat", b"1");
    scout.put("cut.tgz", &job(1)[..40]);
    scout.once(&[]);
    check_explained(
        &scout,
        "root/plain.dat",
        "waiting",
        &["why: it must look the same twice", "first seen: "],
    );
    check_explained(&scout, "root/cut.tgz", "waiting", &["why: truncated", "size: 40"]);
    scout.once(&["--give-up", "1ms"]);
    let facts = ["as: broken", "analysis: truncated", "to events: confirmed", "id: "];
    check_explained(&scout, "root/cut.tgz", "handed over", &facts);
}

#[test]
fn tells_which_sink_is_away() {
    let scout = Scout::new();
    scout.put("a.tgz", &job(1));
    let agent = scout.agent(&["--amqp", "amqp://127.0.0.1:1"]);
    let told = || scout.tell(&["explain", "root/a.tgz"]);
    let told =
        eventually("the refused connection", || Some(told()).filter(|told| told.contains("amqp is down: ")));
    assert!(told.contains("to amqp: not sent yet: 0 handovers are before it"), "{told}");
    agent.stop();

    let agent = scout.agent(&[]);
    let unused = "to amqp: not sent: this run does not send there";
    check_explained(&scout, "root/a.tgz", "handed over", &[unused, "to events: "]);
    assert!(scout.tell(&["status"]).contains("\n amqp    not in use  0 "), "{}", scout.tell(&["status"]));
    agent.stop();
    check_explained(&scout, "root/a.tgz", "handed over", &["to amqp: not sent yet"]);
}

#[test]
fn tells_which_pattern_leaves_a_file_out() {
    let scout = Scout::new();
    for name in ["a/x.tmp", "a/x.log", "a/x.dat", "scratch/x.tgz", "a/x.tgz"] {
        scout.put(name, &job(1));
    }
    scout.once(&["--include", "*.tgz", "--include", "*.log", "--exclude", "x.log", "--exclude", "scratch/"]);
    let never = |path: &str, fact: &str| check_explained(&scout, path, "never seen", &[fact]);
    never("root/a/x.tmp", "left out by default: x.tmp matches *.tmp");
    never("root/a/x.log", "left out by --exclude: x.log matches x.log");
    never("root/a/x.dat", "left out by --include: x.dat matches none of *.tgz *.log");
    never("root/scratch/x.tgz", "left out by --exclude: scratch matches scratch/");
    never("root/other/x.tgz", "so: no pattern of the last run leaves it out: its directory was not there");
    let absent = [
        "so: no pattern of the last run leaves it out: at the last look it was not there, ",
        "directory last looked at: ",
    ];
    check_explained(&scout, "root/a/absent.tgz", "not on record", &absent);
    let outside = "not below any directory that this agent watches or watched";
    check_explained(&scout, "/elsewhere/x", outside, &["watched: "]);
}

#[test]
fn tells_of_what_is_no_file_and_of_what_vanished_before_it_was_complete() {
    let scout = Scout::new();
    scout.put("a/whole.tgz", &job(1));
    scout.put("a/cut.tgz", &job(2)[..40]);
    std::os::unix::fs::symlink("whole.tgz", scout.path("a/link.tgz")).unwrap();
    scout.once(&[]);
    check_explained(
        &scout,
        "root/a/link.tgz",
        "not on record",
        &["so: no pattern of the last run leaves it out: at the last look it was not there, or was no file"],
    );
    check_explained(&scout, "root/a/cut.tgz", "waiting", &["why: truncated"]);
    fs::remove_file(scout.path("a/cut.tgz")).unwrap();
    scout.once(&[]);
    // It was seen: nothing says that it never was.
    let vanished = ["so: no pattern of the last run leaves it out: at the last look it was not there, "];
    check_explained(&scout, "root/a/cut.tgz", "not on record", &vanished);
}

#[test]
fn tells_of_directories_that_are_gone_and_of_roots_out_of_reach() {
    let scout = Scout::new();
    scout.put("2026/21/job.tgz", &job(1));
    scout.put("2026/22/job.tgz", &job(2));
    scout.once(&[]);
    fs::remove_dir_all(scout.path("2026/21")).unwrap();
    scout.once(&[]);
    let gone = ["a directory on the way is gone: since ", "as: appeared", "directory last looked at: "];
    check_explained(&scout, "root/2026/21/job.tgz", "handed over", &gone);
    check_explained(&scout, "root/2026/21", "a directory", &["a directory on the way is gone: since "]);

    let agent = scout.agent(&[]);
    let told = scout.tell(&["explain", "root/2026/22/new.tgz"]);
    assert!(!told.contains("out of reach"), "{told}");
    fs::rename(scout.root(), scout.beside("away")).unwrap();
    let told = eventually("the root to be lost", || {
        Some(scout.tell(&["explain", "root/2026/22/new.tgz"])).filter(|told| told.contains("out of reach"))
    });
    assert!(told.contains("not on record") && told.contains("root is out of reach: cannot "), "{told}");
    let facts = ["root is out of reach: ", "to events: confirmed"];
    check_explained(&scout, "root/2026/22/job.tgz", "handed over", &facts);
    agent.stop();
}

#[test]
fn tells_what_was_refused_never_sent_or_is_older_than_the_history() {
    let scout = Scout::new();
    let rabbit = RabbitServer::start();
    scout.put("a.tgz", &job(1));
    scout.once(&[]);
    let long = format!("jobid=1\nevents=1\nexitcode=0\nsystem={}\n", "x".repeat(100_000));
    scout.put("long.tgz", &archive_with(&long));
    let amqp = rabbit.url();
    let done = scout.once(&["--amqp", &amqp, "--events"]);
    // The queue was not there: that is nothing to complain of.
    assert!(done.stderr.contains("Declared the queue") && !done.stderr.contains("ERROR"), "{}", done.stderr);
    let later = "to amqp: never sent: the sink was attached later";
    check_explained(&scout, "root/a.tgz", "handed over", &["to events: confirmed", later]);
    scout.tell(&["index", "requeue", "--since", "1h", "--sink", "amqp"]);
    scout.once(&["--amqp", &amqp, "--events"]);
    check_explained(&scout, "root/a.tgz", "handed over", &["to amqp: confirmed"]);
    let refused = "to amqp: refused: ";
    check_explained(
        &scout,
        "root/long.tgz",
        "handed over",
        &[refused, "to events: confirmed", "as: appeared"],
    );

    // What is known of the file itself outlasts the history.
    let forgotten = eventually("the history to end", || {
        scout.once(&["--history", "1ms"]);
        Some(scout.tell(&["explain", "root/long.tgz"])).filter(|told| !told.contains("as: appeared"))
    });
    let facts = ["when: longer ago than the history (--history) reaches", "id: ", "blake3: ", "number: 2"];
    for fact in facts {
        assert!(forgotten.contains(fact), "{forgotten}");
    }
}
