//! What happens to files, and what is said of it.
//!
//! "Nothing" is shown by a file that comes later: once it was handed over, its directory was listed.

use std::fs::{self, FileTimes, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::support::eventually;
use crate::support::scout::{Scout, kind_and_path};
use crate::{hash, job, news};

/// Has a job `a/1.tgz` handed over, lets `change` happen under a running agent, and checks what follows of it.
#[track_caller]
fn check(change: impl Fn(&Scout), expected: &[(&str, &str)], completed: i64) {
    check_with(&["--audit", "off"], change, |_| (), expected, completed);
}

/// The same, which ends not before `wait` returns.
#[track_caller]
fn check_with(
    options: &[&str],
    change: impl Fn(&Scout),
    wait: impl Fn(&crate::support::scout::Agent),
    expected: &[(&str, &str)],
    completed: i64,
) {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    scout.put("a/notes.txt", b"plain");
    scout.put("b/0.tgz", &job(0));
    let agent = scout.agent(&[options, &["--settle", "300ms"]].concat());
    scout.await_events(3);
    change(&scout);
    wait(&agent);
    // A file each to show that both directories were looked at since, if they are there still.
    for (name, number) in [("a/last.tgz", 98), ("b/last.tgz", 99)] {
        scout.put(name, &job(number));
    }
    eventually("the last files", || {
        let paths = scout.news();
        ["a/last.tgz", "b/last.tgz"]
            .iter()
            .all(|last| paths.iter().any(|(_, path)| path == last))
            .then_some(())
    });
    agent.stop();
    // And nothing comes late, not even at the next start.
    scout.once(options);
    let mut found = scout.news().split_off(3);
    found.retain(|(_, path)| !path.ends_with("last.tgz"));
    assert_eq!(found, news(expected));
    assert_eq!(scout.counter("jobs_completed"), completed + 2);
    let events = scout.events();
    let mut ids: Vec<_> = events.iter().map(|event| event["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "an id came twice");
}

fn touch(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(SystemTime::now())).unwrap();
}

fn touch_all(scout: &Scout) {
    for name in ["a/1.tgz", "a/notes.txt", "b/0.tgz"] {
        touch(&scout.path(name));
    }
}

/// Writes over a file without making a new one.
fn rewrite(scout: &Scout, name: &str, bytes: &[u8]) {
    fs::write(scout.path(name), bytes).unwrap();
}

#[test]
fn a_touch_of_every_file_is_nothing() {
    check(touch_all, &[], 2);
    let looked_at_all = |agent: &crate::support::scout::Agent| {
        agent.logged_times("A file has the content that it had.", 3);
    };
    check_with(&["--audit", "1s", "--audit-stat"], touch_all, looked_at_all, &[], 2);
}

#[test]
fn what_the_old_cron_job_did_is_nothing() {
    let touch_by_find = |scout: &Scout| {
        let mut find = Command::new("find");
        find.arg(scout.root()).args(["-type", "f", "-exec", "touch", "{}", ";"]);
        assert!(find.status().unwrap().success());
    };
    check(touch_by_find, &[], 2);
}

#[test]
fn a_file_that_is_replaced_by_rename_is_news() {
    check(|scout| scout.put("a/1.tgz", &job(2)), &[("replaced", "a/1.tgz")], 3);
    check(|scout| scout.put("a/1.tgz", &job(1)), &[], 2);
}

#[test]
fn a_file_rewritten_in_place_is_found_by_the_audit_with_stat_only() {
    let change = |scout: &Scout| rewrite(scout, "a/1.tgz", &job(2));
    let replaced = |agent: &crate::support::scout::Agent| agent.logged("kind=\"replaced\"");
    check_with(&["--audit", "1s", "--audit-stat"], change, replaced, &[("replaced", "a/1.tgz")], 3);
    let audited = |agent: &crate::support::scout::Agent| {
        agent.logged_times("Listed a directory.", agent.count_logged("Listed a directory.") + 9);
    };
    check_with(&["--audit", "1s"], change, audited, &[], 2);
}

#[test]
fn the_one_shot_audit_finds_a_file_rewritten_in_place() {
    let scout = Scout::new();
    scout.put("1.tgz", &job(1));
    scout.once(&[]);
    rewrite(&scout, "1.tgz", &job(2));
    scout.once(&["--audit", "off"]);
    assert_eq!(scout.news().len(), 1);
    eventually("an audit", || {
        scout.once(&["--audit", "1s", "--audit-stat"]);
        (scout.news().len() > 1).then_some(())
    });
    assert_eq!(scout.news(), news(&[("appeared", "1.tgz"), ("replaced", "1.tgz")]));
}

#[test]
fn a_move_is_nothing() {
    let rename = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |scout: &Scout| fs::rename(scout.path(&from), scout.path(&to)).unwrap()
    };
    check(rename("a/1.tgz", "b/1.tgz"), &[], 2);
    check(rename("a/1.tgz", "a/other.tgz"), &[], 2);
    check(rename("a", "c"), &[], 2);
    check(rename("a", "b/deep"), &[], 2);
    let sent = [("appeared", "b/1.tgz")];
    check_with(&["--moved", "send", "--audit", "off"], rename("a/1.tgz", "b/1.tgz"), |_| (), &sent, 3);
}

/// The descriptor held for the old directory must not be taken for the new one.
#[test]
fn a_directory_in_the_place_of_a_renamed_one_is_watched() {
    let exchange = |scout: &Scout| {
        fs::rename(scout.path("a"), scout.beside("old")).unwrap();
        scout.put("a/2.tgz", &job(2));
        scout.put("a/deep/3.tgz", &job(3));
    };
    check(exchange, &[("appeared", "a/2.tgz"), ("appeared", "a/deep/3.tgz")], 4);
    let swap = |scout: &Scout| {
        for (from, to) in [("a", "x"), ("b", "a"), ("x", "b")] {
            fs::rename(scout.path(from), scout.path(to)).unwrap();
        }
    };
    check(swap, &[], 2);
}

#[test]
fn a_renamed_directory_goes_on_to_be_watched() {
    let change = |scout: &Scout| {
        // At once: the file must not be told under the directory's old name.
        fs::rename(scout.path("a"), scout.path("c")).unwrap();
        scout.put("c/2.tgz", &job(2));
    };
    check(change, &[("appeared", "c/2.tgz")], 3);
}

/// Its files were known elsewhere meanwhile, and must be known still when that is forgotten.
#[test]
fn a_directory_that_was_away_knows_its_files() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    scout.once(&[]);
    for (from, to) in [("a", "c"), ("c", "a")] {
        fs::rename(scout.path(from), scout.path(to)).unwrap();
        scout.once(&[]);
    }
    eventually("the path that it had meanwhile to be forgotten", || {
        scout.once(&["--history", "1ms"]);
        (scout.ask(&["index", "stat"])["directories"] == 2).then_some(())
    });
    fs::rename(scout.path("a/1.tgz"), scout.path("a/2.tgz")).unwrap();
    scout.once(&[]);
    assert_eq!(scout.news(), news(&[("appeared", "a/1.tgz")]));
}

/// It is known by the name that is left when the other is forgotten.
#[test]
fn a_file_that_had_two_names_is_known_by_the_other() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    scout.put("b/0.tgz", &job(0));
    scout.once(&[]);
    fs::hard_link(scout.path("a/1.tgz"), scout.path("b/1.tgz")).unwrap();
    scout.once(&[]);
    fs::remove_file(scout.path("b/1.tgz")).unwrap();
    eventually("the other name to be forgotten", || {
        // Forgotten when its directory is listed.
        scout.put("b/.other", b"");
        scout.once(&["--history", "1ms"]);
        fs::remove_file(scout.path("b/.other")).unwrap();
        (scout.ask(&["index", "stat"])["gone"] == 0).then_some(())
    });
    fs::rename(scout.path("a/1.tgz"), scout.path("a/2.tgz")).unwrap();
    scout.once(&[]);
    assert_eq!(scout.news().len(), 2);
}

#[test]
fn a_copy_is_news() {
    let change = |scout: &Scout| {
        fs::copy(scout.path("a/1.tgz"), scout.path("b/1.tgz")).unwrap();
    };
    check(change, &[("appeared", "b/1.tgz")], 3);
}

#[test]
fn deleted_and_made_again() {
    let delete = |scout: &Scout| {
        fs::remove_file(scout.path("a/1.tgz")).unwrap();
        eventually("the index to notice", || {
            scout.ask(&["index", "stat"])["gone"].as_u64().filter(|gone| *gone == 1)
        });
    };
    check(delete, &[], 2);
    let same = |scout: &Scout| {
        delete(scout);
        scout.put("a/1.tgz", &job(1));
    };
    check(same, &[], 2);
    let other = |scout: &Scout| {
        delete(scout);
        scout.put("a/1.tgz", &job(2));
    };
    check(other, &[("replaced", "a/1.tgz")], 3);
}

#[test]
fn a_directory_deleted_and_made_again() {
    let change = |scout: &Scout| {
        fs::remove_dir_all(scout.path("a")).unwrap();
        eventually("the index to notice", || {
            let directories = scout.ask(&["status"])["roots"][0]["directories"].as_u64();
            directories.filter(|directories| *directories == 2)
        });
        scout.put("a/1.tgz", &job(1));
        scout.put("a/2.tgz", &job(2));
    };
    check(change, &[("appeared", "a/2.tgz")], 3);
}

#[test]
fn the_same_under_a_name_that_had_other_content_before() {
    let change = |scout: &Scout| {
        scout.put("a/1.tgz", &job(2));
        eventually("the replacement", || (scout.news().len() == 4).then_some(()));
        scout.put("a/1.tgz", &job(3));
    };
    check(change, &[("replaced", "a/1.tgz"), ("replaced", "a/1.tgz")], 4);
}

#[test]
fn files_renamed_into_place_are_handed_over_at_the_next_look() {
    let scout = Scout::new();
    let agent = scout.agent(&["--interval", "1s", "--audit", "off"]);
    for number in 1..=3 {
        scout.put(format!("{number}.tgz"), &job(number));
        let looks = agent.count_logged("Listed a directory.");
        scout.await_events(number as usize);
        // One listing for the name; a second only if the first one's stamp was too young to prove anything.
        assert!(agent.count_logged("Listed a directory.") <= looks + 2, "{}", agent.log());
    }
    agent.stop();
}

#[test]
fn an_event_has_what_b3sum_says() {
    let scout = Scout::new();
    scout.put("1.tgz", &job(1));
    scout.once(&[]);
    let event = scout.events().remove(0);
    let output = Command::new("b3sum").args(["--no-names"]).arg(scout.path("1.tgz")).output();
    if let Ok(output) = output {
        assert_eq!(event["blake3"], String::from_utf8(output.stdout).unwrap().trim());
    }
    assert_eq!(event["blake3"], hash(&job(1)));
}

#[test]
fn a_baseline_is_seen_and_not_told() {
    let scout = Scout::new();
    scout.put("a/1.tgz", &job(1));
    scout.put("a/2.tgz", &job(2));
    scout.put("a/notes.txt", b"plain");
    let done = scout.once(&["--baseline"]);
    assert!(done.stderr.contains("3 baseline"), "{}", done.stderr);
    scout.put("a/3.tgz", &job(3));
    scout.put("new/4.tgz", &job(4));
    scout.put("a/2.tgz", &job(22));
    touch(&scout.path("a/1.tgz"));
    scout.once(&["--baseline"]);
    let mut found = scout.news();
    found.sort();
    let expected = [("appeared", "a/3.tgz"), ("appeared", "new/4.tgz"), ("replaced", "a/2.tgz")];
    assert_eq!(found, news(&expected));
    scout.once(&[]);
    assert_eq!(scout.news().len(), 3);
}

/// A commit wakes each of the store's threads, and waits for the disk.
#[test]
fn a_first_walk_is_no_commit_for_each_level_of_a_tree() {
    let scout = Scout::new();
    scout.put(format!("{}file", "d/".repeat(40)), b"");
    scout.once(&["--baseline"]);
    let commits = fs::read_to_string(scout.state().join("commits")).unwrap();
    let count: u32 = commits.split(' ').next().unwrap().parse().unwrap();
    // At the beginning, at the end, and each second.
    assert!(count < 20, "{count}");
}

#[test]
fn junk_is_left_alone() {
    let scout = Scout::new();
    for name in [
        ".nfs000012",
        ".hidden.tgz",
        "a.tgz.tmp",
        "a.tgz.part",
        "a.tgz~",
        ".snapshot/1.tgz",
        "lost+found/1.tgz",
    ] {
        scout.put(name, &job(1));
    }
    scout.put("real.tgz", &job(1));
    scout.once(&["--settle", "0s"]);
    assert_eq!(scout.news(), news(&[("appeared", "real.tgz")]));
    scout.once(&["--settle", "0s", "--no-default-excludes", "--audit", "1s"]);
}

#[test]
fn a_broken_file_is_repaired_in_time_or_given_up() {
    let scout = Scout::new();
    let whole = job(1);
    scout.put("repaired.tgz", &whole[..whole.len() / 2]);
    scout.put("lost.tgz", &whole[..whole.len() / 3]);
    let options = ["--give-up", "2s", "--settle", "200ms"];
    scout.once(&options);
    assert_eq!(scout.news(), []);
    let waiting = scout.ask(&["status"])["waiting"].clone();
    assert_eq!(waiting[0]["reason"], "truncated: the file ends inside its gzip data", "{waiting}");
    let mut file = OpenOptions::new().append(true).open(scout.path("repaired.tgz")).unwrap();
    file.write_all(&whole[whole.len() / 2..]).unwrap();
    let agent = scout.agent(&options);
    let events = scout.await_events(2);
    agent.stop();
    scout.once(&options);
    let mut found: Vec<_> = scout.events().iter().map(kind_and_path).collect();
    found.sort();
    assert_eq!(found, news(&[("appeared", "repaired.tgz"), ("broken", "lost.tgz")]));
    let broken = events.iter().find(|event| event["kind"] == "broken").unwrap();
    assert_eq!(broken["analysis"]["status"], "truncated");
    assert_eq!(
        (&broken["jobdata"], &broken["blake3"]),
        (&().into(), &hash(&whole[..whole.len() / 3]).into())
    );
    assert_eq!((scout.counter("jobs_unreadable"), scout.counter("jobs_completed")), (1, 1));
    scout.put("lost.tgz", &whole);
    scout.once(&options);
    assert_eq!(scout.news().last(), Some(&("replaced".to_owned(), "lost.tgz".to_owned())));
}
