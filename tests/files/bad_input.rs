//! Files that are not what they should be: each has an outcome of its own, and stops no other.

use flate2::{Compress, Compression, Crc, FlushCompress};
use serde_json::{Value, json};

use crate::archive::{Member, gzip, tar_of, tgz_of};
use crate::support::scout::Scout;
use crate::{archive_with, hash, job, news};

/// A file is not handed over as whole: it waits for this reason, and is then given up with this status.
#[track_caller]
fn check_broken(bytes: &[u8], status: &str, detail: &str) {
    let scout = Scout::new();
    scout.put("bad.tgz", bytes);
    scout.put("good.tgz", &job(1));
    scout.once(&[]);
    assert_eq!(scout.news(), news(&[("appeared", "good.tgz")]));
    let waiting = scout.ask(&["status"])["waiting"][0].clone();
    let reason = if detail.is_empty() { status.to_owned() } else { format!("{status}: {detail}") };
    assert_eq!((&waiting["path"], &waiting["reason"]), (&"bad.tgz".into(), &reason.into()));
    scout.once(&["--give-up", "1ms"]);
    let event = scout.await_events(2).remove(1);
    assert_eq!((&event["path"], &event["kind"]), (&"bad.tgz".into(), &"broken".into()));
    assert_eq!(event["analysis"]["status"], status);
    assert_eq!((&event["blake3"], &event["size"]), (&hash(bytes).into(), &bytes.len().into()));
    assert_eq!((&event["jobdata"], &event["run"]), (&Value::Null, &Value::Null));
    let count = |name| scout.counter(name);
    assert_eq!((count("jobs_unreadable"), count("jobs_completed"), count("events")), (1, 1, 100));
    scout.once(&["--give-up", "1ms"]);
    scout.await_events(2);
}

/// An archive is handed over, and its `jobdata` is read as this.
#[track_caller]
fn check_jobdata(jobdata: &str, expected: &Value) {
    let scout = Scout::new();
    scout.put("job.tgz", &archive_with(jobdata));
    scout.once(&[]);
    let event = scout.await_events(1).remove(0);
    assert_eq!(event["analysis"]["status"], "ok");
    assert_eq!(&event["jobdata"], expected);
}

/// An honest gzip file of a tar whose one member is `megabytes` of zeros.
fn bomb(megabytes: u64) -> Vec<u8> {
    let mut tar = tar_of(&[Member::raw_sized("zeros", megabytes << 20, "")]);
    tar.truncate(512);
    let (mut file, mut crc) = (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], Crc::new());
    // A full flush ends a chunk that depends on nothing before it, so that the same bytes serve again and again.
    let chunk = |bytes: &[u8], flush| {
        let (mut packed, mut compress) =
            (Vec::with_capacity(1 << 16), Compress::new(Compression::fast(), false));
        compress.compress_vec(bytes, &mut packed, flush).unwrap();
        assert_eq!(compress.total_in(), bytes.len() as u64);
        packed
    };
    let zeros = vec![0; 1 << 20];
    let (packed_zeros, mut crc_of_zeros) = (chunk(&zeros, FlushCompress::Full), Crc::new());
    crc_of_zeros.update(&zeros);
    file.extend(chunk(&tar, FlushCompress::Full));
    crc.update(&tar);
    for _ in 0..megabytes {
        file.extend_from_slice(&packed_zeros);
        crc.combine(&crc_of_zeros);
    }
    let end = [0; 1024];
    file.extend(chunk(&end, FlushCompress::Finish));
    crc.update(&end);
    file.extend(crc.sum().to_le_bytes());
    file.extend(crc.amount().to_le_bytes());
    file
}

#[test]
fn a_cut_archive() {
    let whole = job(1);
    check_broken(&whole[..whole.len() * 3 / 5], "truncated", "the file ends inside its gzip data");
    check_broken(&whole[..whole.len() - 1], "truncated", "the file ends inside its gzip data");
    check_broken(&[], "truncated", "empty file");
    check_broken(
        &gzip(&tar_of(&[Member::file("jobdata", "jobid=1\n")])[..1024]),
        "truncated",
        "the tar inside ends without its end mark",
    );
}

#[test]
fn a_file_that_is_no_archive() {
    check_broken(&gzip(b"not a tar, only words\n"), "not-an-archive", "no tar inside the gzip data");
    check_broken(b"no gzip at all", "not-an-archive", "no gzip header");
}

#[test]
fn an_archive_without_jobdata() {
    check_broken(&tgz_of(&[Member::file("./runRivet.log", "done\n")]), "no-jobdata", "");
}

#[test]
fn more_than_any_honest_job() {
    let jobdata = "filler=0123456789012345678901234567890123456789\n".repeat((50 << 20) / 48 + 1);
    check_broken(&archive_with(&jobdata), "too-large", "jobdata is longer than 1048576 bytes");
    check_broken(&bomb(10 << 10), "too-large", "unpacks to more than 1073741824 bytes");
}

#[test]
fn the_bomb_is_an_honest_archive() {
    let scout = Scout::new();
    scout.put("small.tgz", &bomb(3));
    scout.once(&[]);
    assert_eq!(scout.ask(&["status"])["waiting"][0]["reason"], "no-jobdata");
}

#[test]
fn odd_jobdata() {
    check_jobdata(
        "jobid=7\nno equals sign here\n\n\r\nexitcode=0\n=nothing before\n",
        &json!({ "jobid": 7, "exitcode": 0 }),
    );
    check_jobdata(
        "runspec=boinc a=b c==d\nempty=\nlater=1\nlater=2\n",
        &json!({ "runspec": "boinc a=b c==d", "empty": "", "later": 2 }),
    );
    check_jobdata("", &json!({}));
}

#[test]
fn huge_numbers_spoil_no_statistics() {
    let huge = "9".repeat(40);
    let scout = Scout::new();
    scout.put(
        "1.tgz",
        &archive_with(&format!("events={huge}\nexitcode=0\nUSER_ID=u\ncpuusage=1e400\njobid={huge}\n")),
    );
    scout.put("2.tgz", &archive_with("events=9223372036854775807\nexitcode=0\nUSER_ID=u\ncpuusage=-5\n"));
    scout.put("3.tgz", &archive_with("events=-7\nexitcode=0\nUSER_ID=u\ncpuusage=NaN\n"));
    scout.put("4.tgz", &archive_with("events=500\nexitcode=0\nUSER_ID=u\ncpuusage=2.5\n"));
    scout.put("5.tgz", &archive_with("events=100\nexitcode=99999999999999999999\nUSER_ID=u\n"));
    scout.once(&[]);
    let events = scout.await_events(5);
    let first = events.iter().find(|event| event["path"] == "1.tgz").unwrap();
    assert_eq!(first["jobdata"]["jobid"], huge, "no digit is lost");
    let total = scout.ask(&["stats"])["namespaces"]["TOTAL"].clone();
    assert_eq!(total["counters"]["events"], 500);
    assert_eq!(
        (&total["counters"]["jobs_completed"], &total["counters"]["jobs_failed"]),
        (&5.into(), &1.into())
    );
    assert_eq!(total["rankings"]["PER_USER/events"]["u"], 500.0);
}
