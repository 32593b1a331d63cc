//! How changes of the statistics are spelled for Redis, and what a cursor found there means. Pure.

use crate::model::{Figure, Gain, Handover, MessageId, Seq, TOTAL, Timestamp, Totals};

/// Changes as the one text that the script takes: a JSON array with an array for each, all of strings, since a JSON number
/// would lose digits in Lua. A ledger can have a million: each is spelled as it comes.
struct Spelling(Vec<u8>);

impl Spelling {
    fn new() -> Self {
        Self(b"[".to_vec())
    }

    fn push(&mut self, change: &[&str]) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        serde_json::to_writer(&mut self.0, change).expect("strings always serialize");
    }

    /// The entry of a job's events, for the rate.
    fn push_burst(&mut self, namespace: &str, jobid: &str, events: i64, id: MessageId, at: Timestamp) {
        // The web front end splits at `_` and takes the second part.
        let member = format!("{}_{events}_{id}", jobid.replace('_', "-"));
        self.push(&["b", namespace, &member, &at.as_millis().to_string()]);
    }

    /// Figures, with the letters that say what is to be done with counts, scores and users.
    fn push_all(&mut self, totals: &Totals, [count, score, user]: [&str; 3]) {
        for figure in totals.figures() {
            match figure {
                Figure::Count { namespace, counter, value } => {
                    self.push(&[count, namespace, counter.as_str(), &value.to_string()]);
                }
                Figure::Score { namespace, board, member, value } => {
                    self.push(&[score, namespace, board.as_str(), member, &value.to_string()]);
                }
                Figure::User { namespace, user: name } => self.push(&[user, namespace, name]),
            }
        }
    }

    fn finish(mut self) -> String {
        self.0.push(b']');
        String::from_utf8(self.0).expect("JSON of strings is UTF-8")
    }
}

/// What a batch adds to the figures, and how that is spelled: each figure once, so that what hundreds of jobs add to it is
/// one command for Redis.
pub(crate) fn gained_by(batch: &[Handover]) -> (Totals, String) {
    let (mut gained, mut spelling) = (Totals::default(), Spelling::new());
    for handover in batch {
        let gain = Gain::of(handover);
        gained.add(&gain);
        if let Some(job) = gain.job.filter(|job| job.succeeded) {
            for namespace in gain.namespaces() {
                spelling.push_burst(namespace, &job.jobid, job.events, handover.id, handover.detected_at);
            }
        }
    }
    spelling.push_all(&gained, ["c", "s", "u"]);
    (gained, spelling.finish())
}

/// How the ledger is written into Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Nothing of ours is there: added to whatever others (another agent, an older daemon) have counted.
    Add,
    /// An unknown part of ours is there: each figure is raised to the ledger's where that is more. Exact for the
    /// only writer; with several writers a lower bound.
    Raise,
}

impl Restore {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "added",
            Self::Raise => "raised",
        }
    }

    /// The ledger as changes. Users are noted as known, not as new; bursts are not in the ledger.
    pub(crate) fn spell(self, totals: &Totals) -> String {
        let mut spelling = Spelling::new();
        spelling.push_all(
            totals,
            match self {
                Self::Add => ["c", "s", "k"],
                Self::Raise => ["C", "S", "k"],
            },
        );
        spelling.finish()
    }
}

/// The namespaces whose rate is refreshed: those of the ledger, and the total.
pub(crate) fn namespaces_of(totals: &Totals) -> impl Iterator<Item = String> {
    totals.namespaces().chain([TOTAL]).map(ToOwned::to_owned)
}

/// The cursor as it is found in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// Nothing of ours was ever counted there.
    Absent,
    /// Everything up to this seq is counted.
    At(Seq),
    /// The batch up to this seq was begun and not ended: its transaction was cut in Redis's log, see `redis_log.rs`.
    Torn(Seq),
}

/// What `apply.lua` writes behind the seq while a batch is under way.
const UNDER_WAY: char = '?';

impl Cursor {
    /// Reads it; `None` if it is none of ours.
    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text.map(|text| (text, text.strip_suffix(UNDER_WAY))) {
            None => Some(Self::Absent),
            Some((_, Some(begun))) => begun.parse().ok().map(Self::Torn),
            Some((ended, None)) => ended.parse().ok().map(Self::At),
        }
    }

    /// As it is stored; empty while absent.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Absent => String::new(),
            Self::At(seq) => seq.to_string(),
            Self::Torn(seq) => format!("{seq}{UNDER_WAY}"),
        }
    }
}

/// What our journal knows, to compare a cursor with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// What Redis has confirmed to us.
    pub(crate) ours: Seq,
    /// The first seq in history.
    pub(crate) oldest: Seq,
    /// The last durable seq.
    pub(crate) head: Seq,
}

/// How to go on after a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Apply what comes after this seq.
    After(Seq),
    /// Write the ledger first.
    Ledger(Restore),
    /// Redis has counted up to here, which our journal never reached: number above it.
    Outrun(Seq),
}

/// Decides how to go on from the cursor found in Redis.
///
/// - Absent, nothing confirmed yet and all of history there: the ordinary first start, sent one by one.
/// - Absent otherwise (flushed, replaced by an empty one, or the sink was added later): the ledger.
/// - Torn: some of a batch is counted, so the ledger, raised.
/// - Ahead of our head: our state directory is an older copy.
/// - Behind what it had confirmed: replayed from history, or from the ledger if history does not reach back.
/// - Else it is what we believe, or ahead because an answer was lost: go on from it.
pub(crate) fn start_of(found: Cursor, horizon: Horizon) -> Start {
    let Horizon { ours, oldest, head } = horizon;
    match found {
        Cursor::Absent if ours == 0 && oldest <= 1 => Start::After(0),
        Cursor::Absent => Start::Ledger(Restore::Add),
        Cursor::Torn(_) => Start::Ledger(Restore::Raise),
        Cursor::At(found) if found > head => Start::Outrun(found),
        Cursor::At(found) if found < ours && oldest > found + 1 => Start::Ledger(Restore::Raise),
        Cursor::At(found) => Start::After(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Board, Counter};

    #[track_caller]
    fn check(found: Option<Seq>, ours: Seq, oldest: Seq, head: Seq, expected: Start) {
        let found = found.map_or(Cursor::Absent, Cursor::At);
        assert_eq!(start_of(found, Horizon { ours, oldest, head }), expected);
    }

    #[test]
    fn reads_what_it_writes() {
        for cursor in [Cursor::Absent, Cursor::At(0), Cursor::At(u64::MAX), Cursor::Torn(7)] {
            let text = cursor.text();
            assert_eq!(Cursor::parse(Some(text.as_str()).filter(|text| !text.is_empty())), Some(cursor));
        }
        for text in ["", "x", "?", "-1", "7??", "7 "] {
            assert_eq!(Cursor::parse(Some(text)), None, "{text}");
        }
    }

    #[test]
    fn a_torn_batch_is_mended_from_the_ledger() {
        let horizon = Horizon { ours: 9, oldest: 1, head: 50 };
        for seq in [5, 9, 12, 51] {
            assert_eq!(start_of(Cursor::Torn(seq), horizon), Start::Ledger(Restore::Raise));
        }
    }

    #[test]
    fn starts_where_it_must() {
        check(None, 0, 1, 0, Start::After(0));
        check(None, 0, 1, 50, Start::After(0));
        check(None, 0, 7, 50, Start::Ledger(Restore::Add));
        check(None, 9, 1, 50, Start::Ledger(Restore::Add));
        check(Some(9), 9, 1, 50, Start::After(9));
        check(Some(12), 9, 1, 50, Start::After(12));
        check(Some(50), 50, 51, 50, Start::After(50));
        check(Some(4), 9, 5, 50, Start::After(4));
        check(Some(4), 9, 6, 50, Start::Ledger(Restore::Raise));
        check(Some(51), 9, 1, 50, Start::Outrun(51));
        check(Some(1), 0, 1, 0, Start::Outrun(1));
    }

    #[test]
    fn spells_changes() {
        let namespace = "TOTAL";
        let mut totals = Totals::default();
        totals.add_figure(Figure::Count { namespace, counter: Counter::Events, value: i64::MAX });
        let (board, member) = (Board::UserCpuusage, "b-7\"");
        totals.add_figure(Figure::Score { namespace, board, member, value: 12.5 });
        let mut spelling = Spelling::new();
        spelling.push_all(&totals, ["c", "s", "u"]);
        let at = Timestamp { seconds: 5, nanoseconds: 6_000_000 };
        spelling.push_burst("TOTAL", "a_b", 100, MessageId([1; 32]), at);
        let expected = [
            r#"[["c","TOTAL","events","9223372036854775807"],"#,
            r#"["s","TOTAL","PER_USER/cpuusage","b-7\"","12.5"],"#,
            &format!(r#"["b","TOTAL","a-b_100_{}","5006"]]"#, "01".repeat(32)),
        ];
        assert_eq!(spelling.finish(), expected.concat());
        assert_eq!(Spelling::new().finish(), "[]");
    }

    #[test]
    fn spells_the_ledger() {
        let mut totals = Totals::default();
        totals.add_figure(Figure::Count { namespace: "ATLAS", counter: Counter::Events, value: 3 });
        totals.add_figure(Figure::User { namespace: "ATLAS", user: "u" });
        assert_eq!(Restore::Add.spell(&totals), r#"[["c","ATLAS","events","3"],["k","ATLAS","u"]]"#);
        assert_eq!(Restore::Raise.spell(&totals), r#"[["C","ATLAS","events","3"],["k","ATLAS","u"]]"#);
        assert_eq!(namespaces_of(&totals).collect::<Vec<_>>(), ["ATLAS", "TOTAL"]);
    }
}
