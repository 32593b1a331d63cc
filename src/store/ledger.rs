//! The statistics, kept here too: what Redis is restored from, and all there is where no Redis is used.
//!
//! A handover changes a dozen figures, and the next one mostly the same. So a figure's row is written only now and then, with
//! the number up to which it counts; what came after that is counted from the journal when the store is opened. And only a few
//! rows are written at once: all of them together left 90 MB of memory resident in the bench `pipeline`.

use std::collections::{BTreeSet, HashMap};

use serde::de::DeserializeOwned;

use crate::model::{Board, Change, Counter, Seq, Totals, changes_of};

use super::medium::{Batch, Medium};
use super::{StoreError, codec, journal, keys};

/// How many handovers come before the rows that they change are written: so many, and those that come meanwhile, are counted
/// from the journal by an opening.
const WRITTEN_EVERY: u64 = if cfg!(test) { 5 } else { 10_000 };

/// How many rows are written at once.
const ROWS_AT_ONCE: usize = if cfg!(test) { 7 } else { 200 };

/// How many handovers are read at once.
const READ_AT_ONCE: usize = 1000;

/// What has a row.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Figure {
    Count(String, Counter),
    Score(String, Board, String),
    User(String, String),
}

impl Figure {
    /// The one that `change` is about, if it is kept here.
    fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Count { namespace, counter, .. } => Some(Self::Count(namespace.clone(), *counter)),
            Change::Score { namespace, board, member, .. } => {
                Some(Self::Score(namespace.clone(), *board, member.clone()))
            }
            Change::User { namespace, user } => Some(Self::User(namespace.clone(), user.clone())),
            Change::Burst { .. } => None,
        }
    }

    fn all_of(totals: &Totals) -> impl Iterator<Item = Self> {
        let counts = totals.counters.keys().cloned();
        let counts = counts.map(|(namespace, counter)| Self::Count(namespace, counter));
        let scores = totals.scores.keys().cloned();
        let scores = scores.map(|(namespace, board, member)| Self::Score(namespace, board, member));
        let users = totals.users.iter().cloned().map(|(namespace, user)| Self::User(namespace, user));
        counts.chain(scores).chain(users)
    }
}

/// The figures, and which of them have rows that are behind.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    totals: Totals,
    /// Every row counts at least up to here.
    upto: Seq,
    /// What has changed after `upto`, and is not being written.
    changed: BTreeSet<Figure>,
    writing: Option<Writing>,
}

/// Rows that are written, a few at a time.
#[derive(Debug)]
struct Writing {
    rest: BTreeSet<Figure>,
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
            let (figure, upto) = ledger.load_row(&key, &value).ok_or(DAMAGED_ROW)?;
            if upto > ledger.upto {
                ahead.insert(figure, upto);
            }
        }
        let mut after = ledger.upto;
        loop {
            let handovers = journal::read(db, after, head, READ_AT_ONCE)?;
            let Some(last) = handovers.last() else { return Ok(ledger) };
            after = last.seq;
            for handover in &handovers {
                let mut changes = changes_of(handover);
                changes.retain(|change| {
                    let upto = Figure::of(change).and_then(|figure| ahead.get(&figure));
                    upto.is_none_or(|upto| handover.seq > *upto)
                });
                ledger.count(changes);
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
    pub(super) fn count(&mut self, changes: Vec<Change>) {
        for change in changes {
            let users = self.totals.users.len();
            let figure = Figure::of(&change);
            self.totals.apply(change);
            // Of users only a new one gets a row.
            if !matches!(figure, Some(Figure::User(..))) || self.totals.users.len() > users {
                self.changed.extend(figure);
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
        self.changed.extend(Figure::all_of(&self.totals));
        self.write(head, db)
    }

    fn begin(&mut self, upto: Seq) {
        let mut rest = std::mem::take(&mut self.changed);
        rest.extend(self.writing.take().into_iter().flat_map(|writing| writing.rest));
        self.writing = Some(Writing { rest, upto });
    }

    fn go_on(&mut self, head: Seq, batch: &mut Batch) {
        let Some(mut writing) = self.writing.take() else { return };
        for _ in 0..ROWS_AT_ONCE {
            let Some(figure) = writing.rest.pop_first() else {
                self.upto = writing.upto;
                return batch.insert(keys::LEDGER_UPTO, codec::encode(&self.upto));
            };
            self.put_row(figure, head, batch);
        }
        self.writing = Some(writing);
    }

    fn put_row(&self, figure: Figure, head: Seq, batch: &mut Batch) {
        match figure {
            Figure::Count(namespace, counter) => {
                let row = key('c', &[&namespace, counter.as_str()]);
                let count = self.totals.counters.get(&(namespace, counter)).copied().unwrap_or_default();
                batch.insert(row, codec::encode(&(count, head)));
            }
            Figure::Score(namespace, board, member) => {
                let row = key('s', &[&namespace, board.as_str(), &member]);
                let score = self.totals.scores.get(&(namespace, board, member)).copied().unwrap_or_default();
                batch.insert(row, codec::encode(&(score, head)));
            }
            Figure::User(namespace, user) => batch.insert(key('u', &[&namespace, &user]), &[]),
        }
    }

    /// Takes a row; gives its figure and up to where it counts.
    fn load_row(&mut self, key: &[u8], value: &[u8]) -> Option<(Figure, Seq)> {
        let (kind, parts) = split(key)?;
        let mut parts = parts.into_iter();
        let (namespace, name, member) = (parts.next()?, parts.next()?, parts.next());
        match (kind, member, parts.next()) {
            ('c', None, None) => {
                let counter = Counter::ALL.into_iter().find(|counter| counter.as_str() == name)?;
                let (count, upto) = decode(value)?;
                self.totals.counters.insert((namespace.clone(), counter), count);
                Some((Figure::Count(namespace, counter), upto))
            }
            ('s', Some(member), None) => {
                let board = Board::ALL.into_iter().find(|board| board.as_str() == name)?;
                let (score, upto) = decode(value)?;
                self.totals.scores.insert((namespace.clone(), board, member.clone()), score);
                Some((Figure::Score(namespace, board, member), upto))
            }
            ('u', None, None) => {
                self.totals.users.insert((namespace.clone(), name.clone()));
                Some((Figure::User(namespace, name), 0))
            }
            _ => None,
        }
    }
}

const DAMAGED_ROW: StoreError = StoreError::Damaged { what: "a row of the ledger" };

/// Whether a row of the ledger can be read.
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    Ledger::default().load_row(key, value).map(drop).ok_or(DAMAGED_ROW)
}

/// A figure's value, and up to where it counts. In format 2 it had no such number, and counted all that there was.
fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<(T, Seq)> {
    let row = codec::decode(value, "");
    row.or_else(|_| codec::decode(value, "").map(|figure| (figure, 0))).ok()
}

/// `l`, the kind, then each part with its length before it: a member may hold any character.
fn key(kind: char, parts: &[&str]) -> Vec<u8> {
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
                        jobs.iter().flat_map(changes_of).for_each(|change| expected.apply(change));
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
            for change in changes_of(&job) {
                expected.apply(change);
            }
            commit_jobs(&store, &[job]);
            assert_eq!(store.totals().1, expected);
        }
    }
}
