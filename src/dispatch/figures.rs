//! How changes of the statistics are spelled for Redis, and what a cursor found there means. Pure.

use std::borrow::Borrow;

use serde::Serialize;

use crate::model::{Change, Handover, Seq, TOTAL, Totals, changes_of};

/// One change as the script takes it: all strings, since a JSON number would lose digits in Lua.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Op(Vec<String>);

impl Op {
    fn new<const N: usize>(parts: [&str; N]) -> Self {
        Self(parts.map(str::to_owned).to_vec())
    }

    /// The namespace that it touches.
    pub(crate) fn namespace(&self) -> &str {
        self.0.get(1).map_or("", String::as_str)
    }

    /// The entry of a burst; `None` of changes that add up.
    fn of_burst(change: &Change) -> Option<Self> {
        let Change::Burst { namespace, jobid, events, id, at } = change else { return None };
        // The web front end splits at `_` and takes the second part.
        let member = format!("{}_{events}_{id}", jobid.replace('_', "-"));
        Some(Self::new(["b", namespace, &member, &at.as_millis().to_string()]))
    }

    /// Figures, with the letters that say what is to be done with counts, scores and users.
    fn of_totals(totals: &Totals, [count, score, user]: [&'static str; 3]) -> impl Iterator<Item = Self> {
        let counters = totals.counters.iter().map(move |((namespace, counter), value)| {
            Self::new([count, namespace, counter.as_str(), &value.to_string()])
        });
        let scores = totals.scores.iter().map(move |((namespace, board, member), value)| {
            Self::new([score, namespace, board.as_str(), member, &value.to_string()])
        });
        let users = totals.users.iter().map(move |(namespace, name)| Self::new([user, namespace, name]));
        counters.chain(scores).chain(users)
    }
}

/// The changes of a batch, each figure once: what hundreds of jobs add to it is one command for Redis.
pub(crate) fn ops_of(batch: &[Handover]) -> Vec<Op> {
    let (mut gained, mut ops) = (Totals::default(), Vec::new());
    for change in batch.iter().flat_map(changes_of) {
        match Op::of_burst(&change) {
            Some(op) => ops.push(op),
            None => gained.apply(&change),
        }
    }
    ops.extend(Op::of_totals(&gained, ["c", "s", "u"]));
    ops
}

/// Changes as the one text that the script takes. A ledger can have a million: they are not gathered first.
pub(crate) fn payload_of<T: Borrow<Op>>(ops: impl Iterator<Item = T>) -> String {
    let mut text = String::from("[");
    for op in ops {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(op.borrow()).expect("strings always serialize"));
    }
    text.push(']');
    text
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
    pub(crate) fn ops_of(self, totals: &Totals) -> impl Iterator<Item = Op> {
        let letters = match self {
            Self::Add => ["c", "s", "k"],
            Self::Raise => ["C", "S", "k"],
        };
        Op::of_totals(totals, letters)
    }
}

/// The namespaces whose rate is refreshed: those of the ledger, and the total.
pub(crate) fn namespaces_of(totals: &Totals) -> impl Iterator<Item = String> {
    totals.counters.keys().map(|(namespace, _)| namespace.clone()).chain([TOTAL.to_owned()])
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
    use crate::model::{Board, Counter, MessageId, Timestamp};

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

    fn text(op: &Op) -> String {
        serde_json::to_string(op).unwrap()
    }

    #[test]
    fn spells_changes() {
        let namespace = || "TOTAL".to_owned();
        let mut totals = Totals::default();
        totals.apply(&Change::Count { namespace: namespace(), counter: Counter::Events, by: i64::MAX });
        totals.apply(&Change::Score {
            namespace: namespace(),
            board: Board::UserCpuusage,
            member: "b-7\"".to_owned(),
            by: 12.5,
        });
        let ops: Vec<String> = Op::of_totals(&totals, ["c", "s", "u"]).map(|op| text(&op)).collect();
        assert_eq!(ops[0], r#"["c","TOTAL","events","9223372036854775807"]"#);
        assert_eq!(ops[1], r#"["s","TOTAL","PER_USER/cpuusage","b-7\"","12.5"]"#);
        let burst = Change::Burst {
            namespace: namespace(),
            jobid: "a_b".to_owned(),
            events: 100,
            id: MessageId([1; 32]),
            at: Timestamp { seconds: 5, nanoseconds: 6_000_000 },
        };
        let expected = format!(r#"["b","TOTAL","a-b_100_{}","5006"]"#, "01".repeat(32));
        assert_eq!(Op::of_burst(&burst).map(|op| text(&op)), Some(expected));
    }

    #[test]
    fn spells_the_ledger() {
        let mut totals = Totals::default();
        totals.apply(&Change::Count { namespace: "ATLAS".to_owned(), counter: Counter::Events, by: 3 });
        totals.apply(&Change::User { namespace: "ATLAS".to_owned(), user: "u".to_owned() });
        let spell = |how: Restore| payload_of(how.ops_of(&totals));
        assert_eq!(spell(Restore::Add), r#"[["c","ATLAS","events","3"],["k","ATLAS","u"]]"#);
        assert_eq!(spell(Restore::Raise), r#"[["C","ATLAS","events","3"],["k","ATLAS","u"]]"#);
        assert_eq!(namespaces_of(&totals).collect::<Vec<_>>(), ["ATLAS", "TOTAL"]);
    }
}
