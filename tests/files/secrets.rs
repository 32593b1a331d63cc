//! No value of a secret key of `jobdata` leaves: not in events, logs, answers, nor in the state directory.

use std::fs;
use std::path::Path;

use crate::archive::{Member, gzip_stored, tar_of, tgz_of};
use crate::archive_with;
use crate::support::scout::Scout;

/// What every secret value here and every authenticator of the example tree begins with.
const FAKE: &str = "fake0";

#[track_caller]
fn check_clean(what: &str, bytes: &[u8]) {
    let found = bytes.windows(FAKE.len()).position(|window| window == FAKE.as_bytes());
    if let Some(at) = found {
        let around = &bytes[at.saturating_sub(60)..bytes.len().min(at + 60)];
        panic!("a secret in {what}: {}", String::from_utf8_lossy(around));
    }
}

fn files_below(folder: &Path) -> impl Iterator<Item = walkdir::DirEntry> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    entries.filter(|entry| entry.file_type().is_file())
}

/// The example tree, and archives that hide a secret in less usual ways.
fn tree() -> Scout {
    let scout = Scout::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/copilot-output");
    for entry in files_below(&examples) {
        scout.put(entry.path().strip_prefix(&examples).unwrap(), &fs::read(entry.path()).unwrap());
    }
    let usual = "jobid=1\nexitcode=0\nBOINC_AUTHENTICATOR=fake0001\n";
    scout.put("usual.tgz", &archive_with(usual));
    let odd = "boinc_authenticator=fake0002\n BOINC_AUTHENTICATOR = fake0003\r\nMY_SECRET_KEY=a=fake0004\n\
               DB_PASSWORD=fake0005\nAPI_TOKEN=\"fake0006\"\nBOINC_AUTHENTICATOR=\nBOINC_AUTHENTICATOR=fake0007";
    scout.put("odd.tgz", &archive_with(odd));
    let cut = gzip_stored(&tar_of(&[Member::file("jobdata", usual), Member::file("rest", vec![1; 9000])]));
    scout.put("cut.tgz", &cut[..5000]);
    scout.put("no-end.tgz", &crate::archive::gzip(&tar_of(&[Member::file("jobdata", usual)])[..1024]));
    scout.put("no-tar.tgz", &crate::archive::gzip(usual.as_bytes()));
    scout.put("no-gzip.tgz", usual.as_bytes());
    scout.put("plain.txt", usual.as_bytes());
    scout.put("too-large.tgz", &archive_with(&usual.repeat(30_000)));
    scout.put(
        "elsewhere.tgz",
        &tgz_of(&[Member::file("deep/jobdata", usual), Member::script("fetch", usual)]),
    );
    scout
}

#[test]
fn no_secret_value_is_found_anywhere() {
    let scout = tree();
    let agent = scout.agent(&["--log", "trace", "--settle", "100ms", "--give-up", "500ms"]);
    // 15 jobs of the examples, two of ours, the plain file, and what is given up as broken.
    scout.await_events(15 + 3 + 2 + 6);
    let mut texts = Vec::new();
    for json in [&[][..], &["--json"]] {
        for question in [&["stats"][..], &["status"], &["index", "stat"], &["index", "list"]] {
            texts.push(scout.tell(&[question, json].concat()));
        }
    }
    let log = agent.log();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "a log that tells all");
    agent.stop();
    let done = scout.once(&["--log", "trace", "--audit", "1s", "--audit-stat"]);
    texts.extend([log, done.stdout, done.stderr]);
    texts.push(scout.tell(&["status"]));
    let events = fs::read_to_string(scout.beside("events")).unwrap();
    assert!(events.contains("[redacted]") && events.contains("BOINC_AUTHENTICATOR"), "{events}");
    texts.push(events);
    for text in &texts {
        check_clean("what is told", text.as_bytes());
    }
    let mut files = 0;
    for entry in files_below(&scout.state()) {
        files += 1;
        check_clean(&entry.path().display().to_string(), &fs::read(entry.path()).unwrap());
    }
    assert!(files > 1, "a state directory with a database in it");
}
