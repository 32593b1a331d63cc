//! The statistics, kept here too: what Redis is restored from, and all there is where no Redis is used.
//!
//! A handover changes a dozen figures, and the next one mostly the same. So a figure's row is written only now and then, with
//! the number up to which it counts; what came after that is counted from the journal when the store is opened. And only a few
//! rows are written at once: all of them together left 90 MB of memory resident in the bench `pipeline`.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;

use crate::model::{Board, Counter, Figure, Gain, Seq, Totals};

use super::medium::{Batch, Medium};
use super::{StoreError, codec, journal, keys};

/// How many handovers come before the rows that they change are written: so many, and those that come meanwhile, are counted
/// from the journal by an opening.
const WRITTEN_EVERY: u64 = if cfg!(test) { 5 } else { 10_000 };

/// How many rows are written at once, about: those of a namespace's counters, or of a member, are not parted.
const ROWS_AT_ONCE: usize = if cfg!(test) { 7 } else { 200 };

/// How many handovers are read at once.
const READ_AT_ONCE: usize = 1000;

/// The rows of a namespace's counters, or those of one of its members.
type Group = (String, Option<String>);

/// The figures, and which of them have rows that are behind.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    totals: Totals,
    /// Every row counts at least up to here.
    upto: Seq,
    /// What has changed after `upto`, and is not being written: of each of these namespaces the counters, and these members.
    changed: HashMap<String, HashSet<String>>,
    writing: Option<Writing>,
}

/// Rows that are written, a few at a time.
#[derive(Debug)]
struct Writing {
    /// The last are written first.
    rest: Vec<Group>,
    /// Up to where every row counts when all of these are written.
    upto: Seq,
}

impl Ledger {
    /// Reads the rows, and counts what the journal has after them, up to its `head`.
    pub(super) fn load(db: &Medium, head: Seq) -> Result<Self, StoreError> {
        let upto = db.get(keys::LEDGER_UPTO)?.ok_or(StoreError::Damaged { what: "the ledger" })?;
        let mut ledger = Self { upto: codec::decode(&upto, "the ledger")?, ..Self::default() };
        let mut ahead = HashMap::new();
        for entry in db.scan_prefix(keys::LEDGER) {
            let (key, value) = entry?;
            let upto = load_row(&key, &value, &mut ledger.totals).ok_or(DAMAGED_ROW)?;
            if upto > ledger.upto {
                ahead.insert(key.to_vec(), upto);
            }
        }
        let mut after = ledger.upto;
        loop {
            let handovers = journal::read(db, after, head, READ_AT_ONCE)?;
            let Some(last) = handovers.last() else { return Ok(ledger) };
            after = last.seq;
            for handover in &handovers {
                let gain = Gain::of(handover);
                if ahead.is_empty() {
                    ledger.count(&gain);
                    continue;
                }
                ledger.note(&gain);
                let mut gained = Totals::default();
                gained.add(&gain);
                for figure in gained.figures() {
                    if ahead.get(&key_of(figure)).is_none_or(|upto| handover.seq > *upto) {
                        ledger.totals.add_figure(figure);
                    }
                }
            }
        }
    }

    /// All figures.
    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The last handover that every row counts: the journal keeps those after it.
    pub(super) fn upto(&self) -> Seq {
        self.upto
    }

    /// Counts what was handed over; its rows are written later.
    pub(super) fn count(&mut self, gain: &Gain<'_>) {
        self.totals.add(gain);
        self.note(gain);
    }

    /// Notes that the rows of what `gain` adds to are behind.
    fn note(&mut self, gain: &Gain<'_>) {
        for namespace in gain.namespaces() {
            if !self.changed.contains_key(namespace) {
                self.changed.insert(namespace.to_owned(), HashSet::new());
            }
            let members = self.changed.get_mut(namespace).expect("it is there now");
            for member in gain.members() {
                if !members.contains(member) {
                    members.insert(member.to_owned());
                }
            }
        }
    }

    /// Adds a few rows to `batch`, if it is time for them. All up to `head` is counted.
    pub(super) fn put_some(&mut self, head: Seq, batch: &mut Batch) {
        if self.writing.is_none() && head.saturating_sub(self.upto) >= WRITTEN_EVERY {
            self.begin(head);
        }
        self.go_on(head, batch);
    }

    /// Writes all rows that are behind. All up to `head` is counted.
    pub(super) fn write(&mut self, head: Seq, db: &Medium) -> Result<(), StoreError> {
        if self.writing.is_some() || !self.changed.is_empty() {
            self.begin(head);
        }
        while self.writing.is_some() {
            let mut batch = Batch::default();
            self.go_on(head, &mut batch);
            db.apply_batch(batch)?;
        }
        Ok(())
    }

    /// Raises each figure to that of `found` where that is more, and writes all rows. All up to `head` is counted.
    pub(super) fn raise(&mut self, found: &Totals, head: Seq, db: &Medium) -> Result<(), StoreError> {
        self.totals.raise(found);
        for namespace in self.totals.namespaces() {
            let members = self.totals.members(namespace).map(ToOwned::to_owned);
            self.changed.insert(namespace.to_owned(), members.collect());
        }
        self.write(head, db)
    }

    fn begin(&mut self, upto: Seq) {
        let mut rest = self.writing.take().map(|writing| writing.rest).unwrap_or_default();
        for (namespace, members) in std::mem::take(&mut self.changed) {
            rest.extend(members.into_iter().map(|member| (namespace.clone(), Some(member))));
            rest.push((namespace, None));
        }
        // Neighbours lie in the same nodes of the database.
        rest.sort_unstable();
        rest.dedup();
        self.writing = Some(Writing { rest, upto });
    }

    fn go_on(&mut self, head: Seq, batch: &mut Batch) {
        let Some(mut writing) = self.writing.take() else { return };
        let mut rows = 0;
        while rows < ROWS_AT_ONCE {
            let Some((namespace, member)) = writing.rest.pop() else {
                self.upto = writing.upto;
                return batch.insert(keys::LEDGER_UPTO, codec::encode(&self.upto));
            };
            rows += match member {
                None => put_rows(self.totals.counts(&namespace), head, batch),
                Some(member) => put_rows(self.totals.scores(&namespace, &member), head, batch),
            };
        }
        self.writing = Some(writing);
    }
}

/// Gives how many.
fn put_rows<'a>(figures: impl Iterator<Item = Figure<'a>>, head: Seq, batch: &mut Batch) -> usize {
    let mut rows = 0;
    for figure in figures {
        let value = match figure {
            Figure::Count { value, .. } => codec::encode(&(value, head)),
            Figure::Score { value, .. } => codec::encode(&(value, head)),
            Figure::User { .. } => Vec::new(),
        };
        batch.insert(key_of(figure), value);
        rows += 1;
    }
    rows
}

/// Takes a row; gives up to where it counts.
fn load_row(key: &[u8], value: &[u8], totals: &mut Totals) -> Option<Seq> {
    let (kind, parts) = split(key)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (figure, upto) = match (kind, &parts[..]) {
        ('c', [namespace, name]) => {
            let counter = Counter::ALL.into_iter().find(|counter| counter.as_str() == *name)?;
            let (value, upto) = decode(value)?;
            (Figure::Count { namespace, counter, value }, upto)
        }
        ('s', [namespace, name, member]) => {
            let board = Board::ALL.into_iter().find(|board| board.as_str() == *name)?;
            let (value, upto) = decode(value)?;
            (Figure::Score { namespace, board, member, value }, upto)
        }
        ('u', [namespace, user]) => (Figure::User { namespace, user }, 0),
        _ => return None,
    };
    totals.add_figure(figure);
    Some(upto)
}

const DAMAGED_ROW: StoreError = StoreError::Damaged { what: "a row of the ledger" };

/// Whether a row of the ledger can be read.
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    load_row(key, value, &mut Totals::default()).map(drop).ok_or(DAMAGED_ROW)
}

/// A figure's value, and up to where it counts. In format 2 it had no such number, and counted all that there was.
fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<(T, Seq)> {
    let row = codec::decode(value, "");
    row.or_else(|_| codec::decode(value, "").map(|figure| (figure, 0))).ok()
}

/// `l`, the kind, then each part with its length before it: a member may hold any character.
fn key_of(figure: Figure<'_>) -> Vec<u8> {
    let (kind, parts): (char, &[&str]) = match figure {
        Figure::Count { namespace, counter, .. } => ('c', &[namespace, counter.as_str()]),
        Figure::Score { namespace, board, member, .. } => ('s', &[namespace, board.as_str(), member]),
        Figure::User { namespace, user } => ('u', &[namespace, user]),
    };
    let mut key = format!("l{kind}").into_bytes();
    key.extend(codec::encode(&parts));
    key
}

fn split(key: &[u8]) -> Option<(char, Vec<String>)> {
    let kind = char::from(*key.get(1)?);
    Some((kind, codec::decode(key.get(2..)?, "").ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{ROOT, handover, seen};
    use super::super::{DirId, Memory, Store, Transaction};
    use super::*;
    use crate::model::{Handover, Timestamp};

    /// Number `number`, of a user, with analyses of so many experiments.
    fn job_of(number: u64, user: u8, experiments: u8) -> Handover {
        let mut job = handover(number.to_string().as_bytes(), user, None);
        let figures = job.figures.as_mut().unwrap();
        (figures.user, figures.cpuusage) = (Some(format!("user-{user}")), Some(0.1 * f64::from(user)));
        job.experiments = (0..experiments).map(|number| format!("EXPERIMENT-{number}")).collect();
        job
    }

    fn commit_jobs(store: &Store, jobs: &[Handover]) {
        let mut transaction = Transaction::default();
        for job in jobs {
            let file = seen(job.path.as_bytes(), 0, job.blake3.0[0]);
            transaction.hand_over(ROOT, DirId(1), None, file, job.clone());
        }
        store.commit(transaction).unwrap();
    }

    #[derive(Debug, Clone)]
    enum LedgerStep {
        /// Jobs, each with its user and how many experiments.
        Commit(Vec<(u8, u8)>),
        Reopen,
        Write,
        Retire,
    }

    fn ledger_steps() -> impl Strategy<Value = Vec<LedgerStep>> {
        let commit = prop::collection::vec((0..6_u8, 0..4_u8), 1..8).prop_map(LedgerStep::Commit);
        let rare = prop_oneof![Just(LedgerStep::Write), Just(LedgerStep::Retire)];
        prop::collection::vec(prop_oneof![8 => commit, 4 => Just(LedgerStep::Reopen), 1 => rare], 1..40)
    }

    proptest! {
        #[test]
        fn the_ledger_counts_everything_once_wherever_it_was_written_to(steps in ledger_steps()) {
            let memory = Memory::default();
            let mut store = Store::in_memory(memory.clone()).unwrap();
            let (mut expected, mut last) = (Totals::default(), 0);
            for step in steps {
                match step {
                    LedgerStep::Commit(jobs) => {
                        let jobs = (last + 1..).zip(jobs).map(|(number, (user, experiments))| job_of(number, user, experiments));
                        let jobs: Vec<_> = jobs.collect();
                        commit_jobs(&store, &jobs);
                        for job in &jobs {
                            expected.add(&Gain::of(job));
                        }
                        last += jobs.len() as u64;
                    }
                    LedgerStep::Reopen => store = Store::in_memory(memory.clone()).unwrap(),
                    LedgerStep::Write => store.write_ledger().unwrap(),
                    LedgerStep::Retire => {
                        store.retire(Timestamp { seconds: 1000, nanoseconds: 0 }, last / 2).unwrap();
                    }
                }
                prop_assert_eq!(store.totals(), (last, expected.clone()));
            }
        }
    }

    #[test]
    fn the_ledger_is_written_a_few_rows_at_a_time() {
        let store = Store::in_memory(Memory::default()).unwrap();
        for number in 1..=100 {
            commit_jobs(&store, &[job_of(number, 1, 1)]);
            assert!(store.writer().ledger.upto() + 10 > number, "{:?} at {number}", store.writer().ledger);
        }
        store.write_ledger().unwrap();
        assert_eq!(store.writer().ledger.upto(), 100);
    }

    #[test]
    fn the_ledger_of_format_2_counted_all_of_its_journal() {
        let memory = Memory::default();
        let store = Store::in_memory(memory.clone()).unwrap();
        commit_jobs(&store, &(1..5).map(|number| job_of(number, 1, 2)).collect::<Vec<_>>());
        store.write_ledger().unwrap();
        for row in store.db.scan_prefix(keys::LEDGER) {
            let (key, value) = row.unwrap();
            // It had no number behind a figure; here that is 4, in one byte.
            if let [figure @ .., 4] = &*value {
                store.db.insert(key, figure).unwrap();
            }
        }
        store.db.remove(keys::LEDGER_UPTO).unwrap();
        store.db.insert(keys::FORMAT, codec::encode(&2_u32)).unwrap();
        let (_, mut expected) = store.totals();
        assert_eq!(Store::in_memory(memory.clone()).unwrap().totals().1, expected);
        for number in 5..20 {
            let store = Store::in_memory(memory.clone()).unwrap();
            let job = job_of(number, 2, 1);
            expected.add(&Gain::of(&job));
            commit_jobs(&store, &[job]);
            assert_eq!(store.totals().1, expected);
        }
    }
}
