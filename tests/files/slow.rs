//! Files that take their time: none is handed over before it is whole.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::archive::{Member, gzip_stored, tar_of};
use crate::support::eventually;
use crate::support::scout::Scout;
use crate::{hash, job};

/// An archive of some 300 kB, so that its pieces are more than one buffer.
fn large_job() -> Vec<u8> {
    gzip_stored(&tar_of(&[
        Member::file("jobdata", "jobid=1\nexitcode=0\n"),
        Member::file("big", vec![7; 300_000]),
    ]))
}

/// Writes `bytes` to `name` in `pieces`, `pause` apart.
fn write_slowly(scout: &Scout, name: &str, bytes: &[u8], pieces: usize, pause: Duration) {
    let mut file = File::create(scout.path(name)).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        sleep(pause);
        file.write_all(piece).unwrap();
    }
}

#[test]
fn slow_files_are_handed_over_once_and_whole() {
    let scout = Scout::new();
    let agent = scout.agent(&["--settle", "2s", "--give-up", "30s"]);
    let (archive, plain) = (large_job(), vec![3; 200_000]);
    std::thread::scope(|scope| {
        scope.spawn(|| write_slowly(&scout, "job.tgz", &archive, 20, Duration::from_millis(300)));
        scope.spawn(|| write_slowly(&scout, "plain.dat", &plain, 20, Duration::from_millis(300)));
        // An end that is the beginning of something longer: the archive must not count as whole while it grows on.
        scope.spawn(|| write_slowly(&scout, "fast.tgz", &job(2), 4, Duration::from_millis(50)));
    });
    eventually("the three files", || (scout.news().len() >= 3).then_some(()));
    agent.stop();
    scout.once(&[]);
    let mut events = scout.events();
    events.sort_by_key(|event| event["path"].to_string());
    assert_eq!(events.len(), 3, "{events:#?}");
    for (event, (path, bytes, status)) in events.iter().zip([
        ("fast.tgz", job(2), "ok"),
        ("job.tgz", archive, "ok"),
        ("plain.dat", plain, "unread"),
    ]) {
        assert_eq!((&event["path"], &event["kind"]), (&path.into(), &"appeared".into()));
        assert_eq!(event["blake3"], hash(&bytes), "{path}");
        assert_eq!(event["size"], bytes.len());
        assert_eq!(event["analysis"]["status"], status);
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_again() {
    let scout = Scout::new();
    let agent = scout.agent(&["--settle", "100ms", "--audit", "1s", "--audit-stat"]);
    // Many small appends, more often than the agent looks.
    let bytes = vec![9; 40_000];
    write_slowly(&scout, "log.txt", &bytes, 40, Duration::from_millis(20));
    let last = || scout.events().last().map(|event| event["blake3"].clone());
    eventually("the whole file", || last().filter(|last| *last == hash(&bytes)));
    agent.stop();
    let events = scout.events();
    assert!(events.iter().skip(1).all(|event| event["kind"] == "replaced"), "{events:#?}");
}

#[test]
fn a_plain_file_settles_across_one_shot_runs() {
    let scout = Scout::new();
    scout.put("data.root", b"plain");
    let options = ["--settle", "1s"];
    let done = scout.once(&options);
    assert!(done.stderr.contains("waiting: 1 file, must look the same twice"), "{}", done.stderr);
    assert_eq!(scout.news(), []);
    eventually("the second look", || {
        scout.once(&options);
        (!scout.news().is_empty()).then_some(())
    });
    scout.once(&options);
    let events = scout.await_events(1);
    assert_eq!(
        (&events[0]["kind"], &events[0]["analysis"]["status"]),
        (&"appeared".into(), &"unread".into())
    );
    assert_eq!((&events[0]["jobdata"], &events[0]["blake3"]), (&().into(), &hash(b"plain").into()));
    assert_eq!((scout.counter("files"), scout.counter("jobs_completed")), (1, 0));
}

#[test]
fn no_patience_takes_plain_files_at_once() {
    let scout = Scout::new();
    scout.put("data.root", b"plain");
    scout.once(&["--settle", "0s"]);
    assert_eq!(scout.news().len(), 1);
}

/// The hash is of the very bytes that the size tells, though every reading is overtaken by the writer.
#[test]
fn a_file_that_changes_under_the_reader_is_not_handed_over() {
    let scout = Scout::new();
    let agent = scout.agent(&["--settle", "0s"]);
    let mut bytes = vec![5; 64 << 20];
    scout.put("first.dat", b"first");
    scout.await_events(1);
    let stop = AtomicBool::new(false);
    std::fs::write(scout.beside("big"), &bytes).unwrap();
    let mut file = OpenOptions::new().append(true).open(scout.beside("big")).unwrap();
    let appended = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut appended = 0;
            while !stop.load(Ordering::Relaxed) {
                file.write_all(&[6]).unwrap();
                appended += 1;
                // Often within a reading, seldom between the looks that come before it.
                sleep(Duration::from_millis(10));
            }
            appended
        });
        std::fs::rename(scout.beside("big"), scout.path("big.dat")).unwrap();
        eventually("a reading", || {
            let is_read = agent.count_logged("it must look the same twice") > 0 || scout.news().len() > 1;
            is_read.then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    bytes.resize(bytes.len() + appended, 6);
    let events = scout.await_events(2);
    agent.stop();
    let size = usize::try_from(events[1]["size"].as_u64().unwrap()).unwrap();
    assert_eq!((size, &events[1]["blake3"]), (bytes.len(), &hash(&bytes).into()));
}
