//! What one handover adds to the statistics: the same for the store's own ledger and for Redis.

use serde::{Deserialize, Serialize};

use super::{AnalysisStatus, Handover, JobData, Kind, Member};

/// The namespace that counts every job; the others are named after experiments.
pub const TOTAL: &str = "TOTAL";

/// The most events that one job may add: a hostile or garbled file must not overflow a 64-bit total.
pub const MAX_EVENTS_PER_JOB: i64 = 1_000_000_000_000;

/// The longest name of a user, a generator or a job that is counted, in bytes: it becomes part of a key.
pub const MAX_NAME_BYTES: usize = 200;

/// A counter of a namespace, a field of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Jobs handed over, succeeded or failed.
    JobsCompleted,
    /// Jobs whose exit code was not 0.
    JobsFailed,
    /// Events of the jobs that succeeded.
    Events,
    /// Files given up as broken.
    JobsUnreadable,
    /// Files handed over that are not job archives.
    Files,
}

impl Counter {
    /// Every counter, in the order of the tables.
    pub const ALL: [Self; 5] =
        [Self::JobsCompleted, Self::JobsFailed, Self::Events, Self::JobsUnreadable, Self::Files];

    /// The field's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobsCompleted => "jobs_completed",
            Self::JobsFailed => "jobs_failed",
            Self::Events => "events",
            Self::JobsUnreadable => "jobs_unreadable",
            Self::Files => "files",
        }
    }
}

/// A ranking of a namespace, a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Board {
    /// Jobs of a user.
    UserJobsCompleted,
    /// Failed jobs of a user.
    UserJobsFailed,
    /// Events of a user.
    UserEvents,
    /// CPU seconds of a user.
    UserCpuusage,
    /// Disk use of a user, in the unit of the jobs.
    UserDiskusage,
    /// Jobs of an event generator.
    GeneratorJobsCompleted,
    /// Events of an event generator.
    GeneratorEvents,
}

impl Board {
    /// Every ranking, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::UserJobsCompleted,
        Self::UserJobsFailed,
        Self::UserEvents,
        Self::UserCpuusage,
        Self::UserDiskusage,
        Self::GeneratorJobsCompleted,
        Self::GeneratorEvents,
    ];

    /// The key's name below its namespace.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserJobsCompleted => "PER_USER/jobs_completed",
            Self::UserJobsFailed => "PER_USER/jobs_failed",
            Self::UserEvents => "PER_USER/events",
            Self::UserCpuusage => "PER_USER/cpuusage",
            Self::UserDiskusage => "PER_USER/diskusage",
            Self::GeneratorJobsCompleted => "PER_GENERATOR/jobs_completed",
            Self::GeneratorEvents => "PER_GENERATOR/events",
        }
    }
}

/// What the statistics need of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobFigures {
    /// Whose job it is.
    pub user: Option<String>,
    /// Which generator made its events.
    pub generator: Option<String>,
    /// The job's number as written, `-` if it has none.
    pub jobid: String,
    /// Whether its exit code was 0; a job without one failed.
    pub succeeded: bool,
    /// Its events: 0 unless a number from 0 to [`MAX_EVENTS_PER_JOB`].
    pub events: i64,
    /// CPU seconds, where given as a number.
    pub cpuusage: Option<f64>,
    /// Disk use, where given as a number.
    pub diskusage: Option<f64>,
}

impl JobFigures {
    /// Reads the figures out of a job's fields.
    #[must_use]
    pub fn of(data: &JobData<'_>) -> Self {
        let number = |key| data.get(key).and_then(|value| value.as_number());
        let integer = |key| data.get(key).and_then(|value| value.as_integer());
        let events = integer("events").unwrap_or(0);
        Self {
            user: data.user().filter(is_name),
            generator: data.run().map(|run| run.generator.to_owned()).filter(is_name),
            jobid: data
                .get("jobid")
                .map(|value| value.to_string())
                .filter(is_name)
                .unwrap_or_else(|| "-".to_owned()),
            succeeded: integer("exitcode") == Some(0),
            events: if (0..=MAX_EVENTS_PER_JOB).contains(&events) { events } else { 0 },
            cpuusage: number("cpuusage"),
            diskusage: number("diskusage"),
        }
    }
}

/// Whether a name is short enough to be counted under; a job with a longer one counts as nobody's.
#[expect(clippy::ptr_arg, reason = "the shape of Option::filter")]
fn is_name(name: &String) -> bool {
    name.len() <= MAX_NAME_BYTES
}

/// A figure of each counter, in the order of [`Counter::ALL`].
pub type Counts = [Option<i64>; Counter::ALL.len()];

/// A figure in each ranking, in the order of [`Board::ALL`].
pub type Scores = [Option<f64>; Board::ALL.len()];

/// What one handover adds to the statistics, alike to each of its namespaces.
#[derive(Debug, Clone, Copy)]
pub struct Gain<'a> {
    experiments: &'a [String],
    /// To the counters, none of it negative; `None`: nothing, and a counter that is not there stays so.
    pub(super) counts: Counts,
    /// The figures of a job that was read whole.
    pub job: Option<&'a JobFigures>,
}

impl<'a> Gain<'a> {
    /// A broken file adds only to `jobs_unreadable`; a file that is no job archive only to `files`; a job adds to the total
    /// and to each of its experiments alike.
    #[must_use]
    pub fn of(handover: &'a Handover) -> Self {
        let is_whole = handover.kind != Kind::Broken && handover.analysis.status == AnalysisStatus::Ok;
        let job = handover.figures.as_ref().filter(|_| is_whole);
        let counts = Counter::ALL.map(|counter| match (counter, job) {
            (Counter::JobsCompleted, Some(_)) => Some(1),
            (Counter::JobsFailed, Some(job)) => (!job.succeeded).then_some(1),
            (Counter::Events, Some(job)) => job.succeeded.then_some(job.events),
            (Counter::JobsUnreadable, None) => (handover.kind == Kind::Broken).then_some(1),
            (Counter::Files, None) => (handover.kind != Kind::Broken).then_some(1),
            _ => None,
        });
        let experiments = if job.is_some() { handover.experiments.as_slice() } else { &[] };
        Self { experiments, counts, job }
    }

    /// The namespaces to which it adds.
    pub fn namespaces(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let experiments = self.experiments.iter().map(String::as_str);
        std::iter::once(TOTAL).chain(experiments.filter(|name| *name != TOTAL))
    }

    /// The members of rankings to whose scores it adds, a user and a generator, and what it adds to each.
    #[expect(
        clippy::cast_precision_loss,
        reason = "scores are doubles in Redis; a job's events are below 2^53"
    )]
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Member)> + use<'a> {
        let of_user = |job: &'a JobFigures| {
            let scores = Board::ALL.map(|board| match board {
                Board::UserJobsCompleted => Some(1.0),
                Board::UserJobsFailed => (!job.succeeded).then_some(1.0),
                Board::UserEvents => job.succeeded.then_some(job.events as f64),
                Board::UserCpuusage => job.cpuusage,
                Board::UserDiskusage => job.diskusage,
                Board::GeneratorJobsCompleted | Board::GeneratorEvents => None,
            });
            Some((job.user.as_deref()?, Member { is_user: true, scores }))
        };
        let of_generator = |job: &'a JobFigures| {
            let scores = Board::ALL.map(|board| match board {
                Board::GeneratorJobsCompleted => Some(1.0),
                Board::GeneratorEvents => job.succeeded.then_some(job.events as f64),
                _ => None,
            });
            Some((job.generator.as_deref()?, Member { is_user: false, scores }))
        };
        let job = self.job;
        job.and_then(of_user).into_iter().chain(job.and_then(of_generator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Analysis, ContentHash, Figure, MessageId, RelPath, Stamp, Timestamp, Totals};

    fn handover(kind: Kind, status: AnalysisStatus, jobdata: &str, experiments: &[&str]) -> Handover {
        Handover {
            seq: 1,
            id: MessageId([1; 32]),
            kind,
            root: b"/mnt".to_vec(),
            path: RelPath::from("a.tgz"),
            stamp: Stamp::default(),
            blake3: ContentHash([2; 32]),
            detected_at: Timestamp::default(),
            not_before: None,
            analysis: Analysis { status, detail: None },
            jobdata_text: None,
            figures: (!jobdata.is_empty()).then(|| JobFigures::of(&JobData::of(jobdata))),
            experiments: experiments.iter().map(ToString::to_string).collect(),
        }
    }

    #[track_caller]
    fn check(handover: &Handover, namespace: &str, expected: [i64; 5]) {
        let mut totals = Totals::default();
        totals.add(&Gain::of(handover));
        assert_eq!(Counter::ALL.map(|counter| totals.counter(namespace, counter)), expected);
    }

    #[test]
    fn counts_each_kind_of_file() {
        let good = "exitcode=0\nevents=100";
        let job = |jobdata| handover(Kind::Appeared, AnalysisStatus::Ok, jobdata, &["ATLAS"]);
        check(&job(good), TOTAL, [1, 0, 100, 0, 0]);
        check(&job(good), "ATLAS", [1, 0, 100, 0, 0]);
        check(&job("exitcode=1\nevents=100"), TOTAL, [1, 1, 0, 0, 0]);
        check(&job("exitcode=0\nevents=9223372036854775807"), TOTAL, [1, 0, 0, 0, 0]);
        check(&job("events=5"), TOTAL, [1, 1, 0, 0, 0]);
        check(&handover(Kind::Broken, AnalysisStatus::Truncated, "", &[]), TOTAL, [0, 0, 0, 1, 0]);
        check(&handover(Kind::Appeared, AnalysisStatus::Unread, "", &[]), TOTAL, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_name_too_long_for_a_key_is_nobodys() {
        let jobdata = format!("USER_ID={}\nexitcode=0", "x".repeat(MAX_NAME_BYTES + 1));
        let mut totals = Totals::default();
        totals.add(&Gain::of(&handover(Kind::Appeared, AnalysisStatus::Ok, &jobdata, &[])));
        assert!(totals.figures().all(|figure| matches!(figure, Figure::Count { .. })));
        assert_eq!(totals.counter(TOTAL, Counter::JobsCompleted), 1);
    }

    #[test]
    fn scores_users_and_generators() {
        let jobdata = "exitcode=0\nevents=100\ncpuusage=12.5\ndiskusage=much\nBOINC_USERID=7\n\
            run=pp x 7000 - - pythia8 8.1 t";
        let mut totals = Totals::default();
        totals.add(&Gain::of(&handover(Kind::Replaced, AnalysisStatus::Ok, jobdata, &[])));
        let score = |sought, of: &str| {
            totals.figures().find_map(|figure| match figure {
                Figure::Score { board, member, value, .. } => {
                    (board == sought && member == of).then_some(value)
                }
                _ => None,
            })
        };
        assert_eq!(score(Board::UserEvents, "b-7"), Some(100.0));
        assert_eq!(score(Board::UserCpuusage, "b-7"), Some(12.5));
        assert_eq!(score(Board::UserDiskusage, "b-7"), None);
        assert_eq!(score(Board::UserJobsFailed, "b-7"), None);
        assert_eq!(score(Board::GeneratorEvents, "pythia8"), Some(100.0));
        let users = totals.figures().filter(|figure| matches!(figure, Figure::User { .. }));
        assert_eq!(users.collect::<Vec<_>>(), [Figure::User { namespace: TOTAL, user: "b-7" }]);
    }
}
