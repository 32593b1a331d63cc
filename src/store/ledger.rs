//! The statistics, kept here too: what Redis is restored from, and all there is where no Redis is used.
//!
//! A handover changes a few rows, and the next one mostly the same. So a row is written only now and then, with the number up to
//! which it counts; what came after that is counted from the journal when the store is opened. And only some rows are written at
//! once: all of them together left 90 MB of memory resident in the bench `pipeline`, when there was one for each figure.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::model::{Counts, Gain, Member, Seq, Totals};

use super::medium::{Batch, Medium};
use super::{StoreError, codec, journal, keys, old_ledger};

/// How many handovers come before the rows that they change are written: so many, and those that come meanwhile, are counted
/// from the journal by an opening.
const WRITTEN_EVERY: u64 = if cfg!(test) { 5 } else { 10_000 };

/// How many rows are written at once.
const ROWS_AT_ONCE: usize = if cfg!(test) { 7 } else { 200 };

/// What has a row: the counters of a namespace, or one of its members.
type Group = (String, Option<String>);

/// The counters of a namespace, and up to where they count.
#[derive(Serialize, Deserialize)]
enum StoredCounts {
    V1(Counts, Seq),
}

/// A member of a namespace, and up to where its scores count.
#[derive(Serialize, Deserialize)]
enum StoredMember {
    V1(Member, Seq),
}

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
        let upto = db.get(keys::LEDGER_UPTO)?.ok_or(DAMAGED)?;
        let mut ledger = Self { upto: codec::decode(&upto, "the ledger")?, ..Self::default() };
        let mut ahead = HashMap::new();
        for entry in db.scan_prefix(keys::LEDGER) {
            let (key, value) = entry?;
            let (group, upto) = load_row(&key, &value, &mut ledger.totals).ok_or(DAMAGED_ROW)?;
            if upto > ledger.upto {
                ahead.insert(group, upto);
            }
        }
        journal::each_after(db, ledger.upto, head, |handover| {
            let gain = Gain::of(handover);
            ledger.note(&gain);
            ledger.totals.add_where(&gain, |namespace, member| {
                let group = || (namespace.to_owned(), member.map(ToOwned::to_owned));
                ahead.is_empty() || ahead.get(&group()).is_none_or(|upto| handover.seq > *upto)
            });
        })?;
        Ok(ledger)
    }

    /// Puts a ledger that counts all up to `head` into `batch`: of a new store, or of one of an older `format`.
    pub(super) fn take_over(
        db: &Medium,
        format: u32,
        head: Seq,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let (totals, old) = old_ledger::read(db, format, head)?;
        for key in old {
            batch.remove(key);
        }
        let mut ledger = Self { totals, ..Self::default() };
        ledger.note_all();
        ledger.begin(head);
        while ledger.writing.is_some() {
            ledger.go_on(head, batch);
        }
        Ok(())
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
            for (member, _) in gain.members() {
                if !members.contains(member) {
                    members.insert(member.to_owned());
                }
            }
        }
    }

    fn note_all(&mut self) {
        for namespace in self.totals.namespaces() {
            let members = self.totals.members(namespace).map(ToOwned::to_owned);
            self.changed.insert(namespace.to_owned(), members.collect());
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
        self.note_all();
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
        for _ in 0..ROWS_AT_ONCE {
            let Some((namespace, member)) = writing.rest.pop() else {
                self.upto = writing.upto;
                return batch.insert(keys::LEDGER_UPTO, codec::encode(&self.upto));
            };
            match member {
                None => {
                    let row = StoredCounts::V1(self.totals.counts(&namespace), head);
                    batch.insert(key('n', &[&namespace]), codec::encode(&row));
                }
                Some(member) => {
                    let row = StoredMember::V1(self.totals.member(&namespace, &member), head);
                    batch.insert(key('m', &[&namespace, &member]), codec::encode(&row));
                }
            }
        }
        self.writing = Some(writing);
    }
}

/// Takes a row; gives what it is of, and up to where it counts.
fn load_row(key: &[u8], value: &[u8], totals: &mut Totals) -> Option<(Group, Seq)> {
    let (kind, parts) = split(key)?;
    let mut parts = parts.into_iter();
    match (kind, parts.next(), parts.next(), parts.next()) {
        ('n', Some(namespace), None, None) => {
            let StoredCounts::V1(counts, upto) = codec::decode(value, "").ok()?;
            totals.set_counts(&namespace, counts);
            Some(((namespace, None), upto))
        }
        ('m', Some(namespace), Some(name), None) => {
            let StoredMember::V1(member, upto) = codec::decode(value, "").ok()?;
            totals.set_member(&namespace, &name, member);
            Some(((namespace, Some(name)), upto))
        }
        _ => None,
    }
}

pub(super) const DAMAGED: StoreError = StoreError::Damaged { what: "the ledger" };

pub(super) const DAMAGED_ROW: StoreError = StoreError::Damaged { what: "a row of the ledger" };

/// Whether a row of the ledger can be read.
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let mut totals = Totals::default();
    let row = load_row(key, value, &mut totals).map(drop);
    row.or_else(|| old_ledger::load_row(key, value, &mut totals).map(drop)).ok_or(DAMAGED_ROW)
}

/// `l`, the kind, then each part with its length before it: a member may hold any character.
pub(super) fn key(kind: char, parts: &[&str]) -> Vec<u8> {
    let mut key = format!("l{kind}").into_bytes();
    key.extend(codec::encode(&parts));
    key
}

pub(super) fn split(key: &[u8]) -> Option<(char, Vec<String>)> {
    let kind = char::from(*key.get(1)?);
    Some((kind, codec::decode(key.get(2..)?, "").ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::tests::{ROOT, handover, seen};
    use super::super::{DirId, Memory, Store, Transaction};
    use super::*;
    use crate::model::{Handover, Timestamp};

    /// Number `number`, of a user, with analyses of so many experiments.
    pub(in super::super) fn job_of(number: u64, user: u8, experiments: u8) -> Handover {
        let mut job = handover(number.to_string().as_bytes(), user, None);
        let figures = job.figures.as_mut().unwrap();
        (figures.user, figures.cpuusage) = (Some(format!("user-{user}")), Some(0.1 * f64::from(user)));
        job.experiments = (0..experiments).map(|number| format!("EXPERIMENT-{number}")).collect();
        job
    }

    pub(in super::super) fn commit_jobs(store: &Store, jobs: &[Handover]) {
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
}
