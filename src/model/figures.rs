//! What one handover changes in the statistics: the same list for the store's own ledger and for Redis.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AnalysisStatus, Handover, JobData, Kind, MessageId, Timestamp};

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

/// One change of the statistics.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Adds to a counter.
    Count {
        /// Of which namespace.
        namespace: String,
        /// Which counter.
        counter: Counter,
        /// How much; never negative.
        by: i64,
    },
    /// Adds to a member of a ranking.
    Score {
        /// Of which namespace.
        namespace: String,
        /// Which ranking.
        board: Board,
        /// Whose score.
        member: String,
        /// How much; finite.
        by: f64,
    },
    /// Notes that a user took part.
    User {
        /// In which namespace.
        namespace: String,
        /// Who.
        user: String,
    },
    /// Notes the events of a job that succeeded, for the rate over the last ten minutes.
    Burst {
        /// In which namespace.
        namespace: String,
        /// The job's number as written, `-` if it has none.
        jobid: String,
        /// How many events.
        events: i64,
        /// The handover, which makes the entry unique.
        id: MessageId,
        /// When it was detected.
        at: Timestamp,
    },
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
    pub fn of(data: &JobData) -> Self {
        let number = |key| data.get(key).and_then(super::Value::as_number);
        let events = data.get("events").and_then(super::Value::as_integer).unwrap_or(0);
        Self {
            user: data.user().filter(is_name),
            generator: data.run().map(|run| run.generator).filter(is_name),
            jobid: data
                .get("jobid")
                .map(ToString::to_string)
                .filter(is_name)
                .unwrap_or_else(|| "-".to_owned()),
            succeeded: data.get("exitcode").and_then(super::Value::as_integer) == Some(0),
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

/// Lists what `handover` changes in the statistics.
///
/// A broken file changes only `jobs_unreadable`; a file that is no job archive only `files`; a job changes the total
/// and each of its experiments alike.
#[must_use]
pub fn changes_of(handover: &Handover) -> Vec<Change> {
    let total = |counter| vec![Change::Count { namespace: TOTAL.to_owned(), counter, by: 1 }];
    match (&handover.figures, handover.kind) {
        (_, Kind::Broken) => total(Counter::JobsUnreadable),
        (Some(figures), _) if handover.analysis.status == AnalysisStatus::Ok => std::iter::once(TOTAL)
            .chain(handover.experiments.iter().map(String::as_str).filter(|name| *name != TOTAL))
            .flat_map(|namespace| changes_in(namespace, figures, handover))
            .collect(),
        _ => total(Counter::Files),
    }
}

fn changes_in(namespace: &str, job: &JobFigures, handover: &Handover) -> Vec<Change> {
    let namespace = || namespace.to_owned();
    let count = |counter, by| Change::Count { namespace: namespace(), counter, by };
    let mut changes = vec![count(Counter::JobsCompleted, 1)];
    if job.succeeded {
        changes.push(count(Counter::Events, job.events));
        changes.push(Change::Burst {
            namespace: namespace(),
            jobid: job.jobid.clone(),
            events: job.events,
            id: handover.id,
            at: handover.detected_at,
        });
    } else {
        changes.push(count(Counter::JobsFailed, 1));
    }
    if let Some(user) = &job.user {
        changes.push(Change::User { namespace: namespace(), user: user.clone() });
    }
    changes.extend(scores_of(job).into_iter().map(|(board, member, by)| Change::Score {
        namespace: namespace(),
        board,
        member,
        by,
    }));
    changes
}

#[expect(clippy::cast_precision_loss, reason = "scores are doubles in Redis; a job's events are below 2^53")]
fn scores_of(job: &JobFigures) -> Vec<(Board, String, f64)> {
    let mut scores = Vec::new();
    if let Some(user) = &job.user {
        let mut add = |board, by| scores.push((board, user.clone(), by));
        add(Board::UserJobsCompleted, 1.0);
        if job.succeeded {
            add(Board::UserEvents, job.events as f64);
        } else {
            add(Board::UserJobsFailed, 1.0);
        }
        if let Some(seconds) = job.cpuusage {
            add(Board::UserCpuusage, seconds);
        }
        if let Some(amount) = job.diskusage {
            add(Board::UserDiskusage, amount);
        }
    }
    if let Some(generator) = &job.generator {
        scores.push((Board::GeneratorJobsCompleted, generator.clone(), 1.0));
        if job.succeeded {
            scores.push((Board::GeneratorEvents, generator.clone(), job.events as f64));
        }
    }
    scores
}

/// The statistics as a whole: what the changes so far add up to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// Counters by namespace.
    pub counters: BTreeMap<(String, Counter), i64>,
    /// Scores by namespace, ranking and member.
    pub scores: BTreeMap<(String, Board, String), f64>,
    /// Users seen, by namespace.
    pub users: BTreeSet<(String, String)>,
}

impl Totals {
    /// Raises each figure to that of `other` where that is more.
    pub fn raise(&mut self, other: &Self) {
        for (key, count) in &other.counters {
            let known = self.counters.entry(key.clone()).or_insert(*count);
            *known = (*known).max(*count);
        }
        for (key, score) in &other.scores {
            let known = self.scores.entry(key.clone()).or_insert(*score);
            *known = known.max(*score);
        }
        self.users.extend(other.users.iter().cloned());
    }

    /// Adds one change; counters stop at their largest value rather than wrap.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Count { namespace, counter, by } => {
                let count = self.counters.entry((namespace, counter)).or_default();
                *count = count.saturating_add(by);
            }
            Change::Score { namespace, board, member, by } => {
                *self.scores.entry((namespace, board, member)).or_default() += by;
            }
            Change::User { namespace, user } => {
                self.users.insert((namespace, user));
            }
            Change::Burst { .. } => {}
        }
    }

    /// One counter; 0 if nothing counted.
    #[must_use]
    pub fn counter(&self, namespace: &str, counter: Counter) -> i64 {
        self.counters.get(&(namespace.to_owned(), counter)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Analysis, ContentHash, MessageId, RelPath, Stamp, Value};

    fn handover(
        kind: Kind,
        status: AnalysisStatus,
        fields: &[(&str, Value)],
        experiments: &[&str],
    ) -> Handover {
        let mut data = JobData::default();
        for (key, value) in fields {
            data.insert(*key, value.clone());
        }
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
            jobdata: None,
            figures: (!fields.is_empty()).then(|| JobFigures::of(&data)),
            experiments: experiments.iter().map(ToString::to_string).collect(),
        }
    }

    #[track_caller]
    fn check(handover: &Handover, namespace: &str, expected: [i64; 5]) {
        let mut totals = Totals::default();
        for change in changes_of(handover) {
            totals.apply(change);
        }
        assert_eq!(Counter::ALL.map(|counter| totals.counter(namespace, counter)), expected);
    }

    #[test]
    fn counts_each_kind_of_file() {
        let good = [("exitcode", Value::Integer(0)), ("events", Value::Integer(100))];
        let failed = [("exitcode", Value::Integer(1)), ("events", Value::Integer(100))];
        let vast = [("exitcode", Value::Integer(0)), ("events", Value::Integer(i64::MAX))];
        let job = |fields| handover(Kind::Appeared, AnalysisStatus::Ok, fields, &["ATLAS"]);
        check(&job(&good), TOTAL, [1, 0, 100, 0, 0]);
        check(&job(&good), "ATLAS", [1, 0, 100, 0, 0]);
        check(&job(&failed), TOTAL, [1, 1, 0, 0, 0]);
        check(&job(&vast), TOTAL, [1, 0, 0, 0, 0]);
        check(&job(&[("events", Value::Integer(5))]), TOTAL, [1, 1, 0, 0, 0]);
        check(&handover(Kind::Broken, AnalysisStatus::Truncated, &[], &[]), TOTAL, [0, 0, 0, 1, 0]);
        check(&handover(Kind::Appeared, AnalysisStatus::Unread, &[], &[]), TOTAL, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_name_too_long_for_a_key_is_nobodys() {
        let fields =
            [("USER_ID", Value::Text("x".repeat(MAX_NAME_BYTES + 1))), ("exitcode", Value::Integer(0))];
        let changes = changes_of(&handover(Kind::Appeared, AnalysisStatus::Ok, &fields, &[]));
        assert!(!changes.iter().any(|change| matches!(change, Change::User { .. } | Change::Score { .. })));
        assert!(changes.iter().any(|change| matches!(change, Change::Count { .. })));
    }

    #[test]
    fn scores_users_and_generators() {
        let fields = [
            ("exitcode", Value::Integer(0)),
            ("events", Value::Integer(100)),
            ("cpuusage", Value::Text("12.5".to_owned())),
            ("diskusage", Value::Text("much".to_owned())),
            ("BOINC_USERID", Value::Integer(7)),
            ("run", Value::Text("pp x 7000 - - pythia8 8.1 t".to_owned())),
        ];
        let mut totals = Totals::default();
        for change in changes_of(&handover(Kind::Replaced, AnalysisStatus::Ok, &fields, &[])) {
            totals.apply(change);
        }
        let score =
            |board, member: &str| totals.scores.get(&(TOTAL.to_owned(), board, member.to_owned())).copied();
        assert_eq!(score(Board::UserEvents, "b-7"), Some(100.0));
        assert_eq!(score(Board::UserCpuusage, "b-7"), Some(12.5));
        assert_eq!(score(Board::UserDiskusage, "b-7"), None);
        assert_eq!(score(Board::UserJobsFailed, "b-7"), None);
        assert_eq!(score(Board::GeneratorEvents, "pythia8"), Some(100.0));
        assert!(totals.users.contains(&(TOTAL.to_owned(), "b-7".to_owned())));
    }
}
