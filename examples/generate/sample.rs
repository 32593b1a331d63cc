//! The small tree that is committed as `examples/copilot-output`: one file of each kind that a farm leaves behind.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::archive::tgz_of;
use super::job::{Job, Owner};

/// Any number; another gives another tree.
const SEED: u64 = 0;

/// One file of the tree.
pub(crate) struct Sample {
    /// Where it goes, below the tree's root.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
    /// What it should add to the statistics; nothing if it is broken.
    pub(crate) summary: Map<String, Value>,
}

/// The tree's files; with `non_utf8`, one more whose name is Latin-1, which not every system can check out.
pub(crate) fn samples(non_utf8: bool) -> Vec<Sample> {
    let mut samples: Vec<_> = (0..10_u64).map(|number| ordinary("2026/11/2", number)).collect();
    samples.extend([
        failed(10, 1, true),
        failed(11, 139, false),
        owned(12, Owner::BoincNumber(12)),
        owned(13, Owner::Other(13)),
        owned(14, Owner::Nobody),
        truncated(15),
        without_jobdata(16),
    ]);
    if non_utf8 {
        let mut sample = of(&job(17), "2026/11/22");
        sample.path.set_file_name(OsString::from_vec(b"job-\xe9t\xe9-20000017.tgz".to_vec()));
        samples.push(sample);
    }
    samples
}

/// A job of a kind of its own, small enough to be committed.
fn job(number: u64) -> Job {
    let kind = usize::try_from(number).unwrap_or(0);
    let mut job = Job::draw(SEED, number).of_kind(kind, kind);
    job.owner = Owner::Boinc(11 + number % 4);
    job.events = 5_000 * (1 + number % 4);
    job.exitcode = 0;
    job.has_results = true;
    job
}

fn of(job: &Job, directory: &str) -> Sample {
    Sample {
        path: PathBuf::from(directory).join(job.file_name()),
        bytes: job.archive(),
        summary: job.summary(),
    }
}

fn ordinary(month: &str, number: u64) -> Sample {
    of(&job(number), &format!("{month}{}", number % 3))
}

fn failed(number: u64, exitcode: i64, has_results: bool) -> Sample {
    let mut job = job(number);
    job.exitcode = exitcode;
    job.has_results = has_results;
    of(&job, "2026/11/21")
}

fn owned(number: u64, owner: Owner) -> Sample {
    let mut job = job(number);
    job.owner = owner;
    of(&job, "2026/11/22")
}

fn truncated(number: u64) -> Sample {
    let mut sample = of(&job(number), "2026/11/21");
    sample.bytes.truncate(sample.bytes.len() * 3 / 5);
    Sample { summary: Map::new(), ..sample }
}

fn without_jobdata(number: u64) -> Sample {
    let job = job(number);
    let members: Vec<_> = job.members().into_iter().filter(|member| member.name != "./jobdata").collect();
    Sample { bytes: tgz_of(&members), summary: Map::new(), ..of(&job, "2026/11/22") }
}
