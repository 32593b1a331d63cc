//! What simulated files hold, and what each of them is to change in the statistics: made here, not read by the crate.

use std::sync::OnceLock;

use crate::intake::samples::{Member, gzip, tar_of};

/// How many contents there are; a history creates fewer files.
pub(super) const CONTENTS: usize = 256;

/// The bytes of a whole file.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// The job, if it is an archive of one.
    pub(super) job: Option<Job>,
}

/// What a job counts.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) events: i64,
    pub(super) succeeded: bool,
    pub(super) user: String,
    pub(super) generator: &'static str,
    pub(super) cpu_seconds: u32,
    pub(super) experiments: Vec<&'static str>,
}

/// Whether a file of this name is read as an archive.
pub(super) fn is_archive(name: impl AsRef<[u8]>) -> bool {
    name.as_ref().ends_with(b".tgz")
}

/// The archive with this number, or the plain file.
pub(super) fn content(number: usize, archive: bool) -> &'static Content {
    static POOL: OnceLock<Vec<Content>> = OnceLock::new();
    let pool = POOL.get_or_init(|| (0..CONTENTS).map(job).chain((0..CONTENTS).map(plain)).collect());
    &pool[number % CONTENTS + if archive { 0 } else { CONTENTS }]
}

fn job(number: usize) -> Content {
    let mut experiments = Vec::new();
    if number.is_multiple_of(2) {
        experiments.push("ATLAS");
    }
    if number.is_multiple_of(3) {
        experiments.push("CMS");
    }
    let job = Job {
        events: 10 * i64::try_from(number).expect("a small number") + 1,
        succeeded: number % 5 != 4,
        user: format!("u{}", number % 4),
        generator: ["pythia8", "herwig"][number % 2],
        cpu_seconds: u32::try_from(number).expect("a small number") + 3,
        experiments,
    };
    let jobdata = format!(
        "jobid={number}\nevents={}\nexitcode={}\nUSER_ID={}\ncpuusage={}\nrun=pp x 7000 - - {} 8.1 t\n",
        job.events,
        i32::from(!job.succeeded),
        job.user,
        job.cpu_seconds,
        job.generator
    );
    let mut members = vec![Member::file("./jobdata", jobdata)];
    for name in &job.experiments {
        members.push(Member::file(format!("./dat/{name}_2010_S{number}.dat"), "x"));
    }
    Content { bytes: gzip(&tar_of(&members)), job: Some(job) }
}

fn plain(number: usize) -> Content {
    Content { bytes: format!("plain file {number} ").repeat(9).into_bytes(), job: None }
}
