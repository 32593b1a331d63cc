//! The ledger's rows of formats 1 to 3, one a figure: read once, by the first version after them that opens the store.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use crate::model::{Board, Counter, Figure, Gain, Seq, Totals};

use super::medium::Medium;
use super::{StoreError, codec, journal, keys, ledger};

/// The first format whose rows may be behind the journal.
const BEHIND: u32 = 3;

/// Everything that `format` counted, up to the journal's `head`; and the keys of its rows.
pub(super) fn read(db: &Medium, format: u32, head: Seq) -> Result<(Totals, Vec<Vec<u8>>), StoreError> {
    let mut after = head;
    if format >= BEHIND {
        let upto = db.get(keys::LEDGER_UPTO)?.ok_or(ledger::DAMAGED)?;
        after = codec::decode(&upto, "the ledger")?;
    }
    let mut totals = Totals::default();
    let mut rows = HashMap::new();
    for entry in db.scan_prefix(keys::LEDGER) {
        let (key, value) = entry?;
        let upto = load_row(&key, &value, &mut totals).ok_or(ledger::DAMAGED_ROW)?;
        rows.insert(key.to_vec(), upto);
    }
    journal::each_after(db, after, head, |handover| {
        let mut gained = Totals::default();
        gained.add(&Gain::of(handover));
        for figure in gained.figures() {
            if rows.get(&key_of(figure)).is_none_or(|upto| handover.seq > *upto) {
                totals.add_figure(figure);
            }
        }
    })?;
    Ok((totals, rows.into_keys().collect()))
}

/// Takes a row; gives up to where it counts.
pub(super) fn load_row(key: &[u8], value: &[u8], totals: &mut Totals) -> Option<Seq> {
    let (kind, parts) = ledger::split(key)?;
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

/// A figure's value, and up to where it counts. In format 2 it had no such number, and counted all that there was.
fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<(T, Seq)> {
    let row = codec::decode(value, "");
    row.or_else(|_| codec::decode(value, "").map(|figure| (figure, 0))).ok()
}

fn key_of(figure: Figure<'_>) -> Vec<u8> {
    match figure {
        Figure::Count { namespace, counter, .. } => ledger::key('c', &[namespace, counter.as_str()]),
        Figure::Score { namespace, board, member, .. } => {
            ledger::key('s', &[namespace, board.as_str(), member])
        }
        Figure::User { namespace, user } => ledger::key('u', &[namespace, user]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ledger::tests::{commit_jobs, job_of};
    use super::super::{FORMAT, Memory, Store};
    use super::*;

    const JOBS: u64 = 8;

    fn jobs() -> Vec<crate::model::Handover> {
        let users = [1, 2, 1, 3, 2, 1, 1, 4];
        (1..=JOBS).zip(users).map(|(number, user)| job_of(number, user, user % 3)).collect()
    }

    /// What the first `count` jobs add up to.
    fn totals_of(count: u64) -> Totals {
        let mut totals = Totals::default();
        for job in jobs().iter().zip(0..count) {
            totals.add(&Gain::of(job.0));
        }
        totals
    }

    /// A store of an earlier format, in whose rows each figure counts up to what `upto` gives for it.
    fn store_of(format: u32, least: Seq, mut upto: impl FnMut() -> Seq) -> Memory {
        let memory = Memory::default();
        let store = Store::in_memory(memory.clone()).unwrap();
        commit_jobs(&store, &jobs());
        for row in store.db.scan_prefix(keys::LEDGER) {
            store.db.remove(row.unwrap().0).unwrap();
        }
        for figure in totals_of(JOBS).figures() {
            let upto = upto();
            let then = totals_of(upto);
            let Some(then) = then.figures().find(|then| key_of(*then) == key_of(figure)) else { continue };
            let value = match (then, format) {
                (Figure::Count { value, .. }, 3) => codec::encode(&(value, upto)),
                (Figure::Score { value, .. }, 3) => codec::encode(&(value, upto)),
                (Figure::Count { value, .. }, _) => codec::encode(&value),
                (Figure::Score { value, .. }, _) => codec::encode(&value),
                (Figure::User { .. }, _) => Vec::new(),
            };
            store.db.insert(key_of(figure), value).unwrap();
        }
        store.db.insert(keys::FORMAT, codec::encode(&format)).unwrap();
        if format == 3 {
            store.db.insert(keys::LEDGER_UPTO, codec::encode(&least)).unwrap();
        } else {
            store.db.remove(keys::LEDGER_UPTO).unwrap();
        }
        memory
    }

    fn check(memory: &Memory) {
        for _ in 0..2 {
            let store = Store::in_memory(memory.clone()).unwrap();
            assert_eq!(store.totals(), (JOBS, totals_of(JOBS)));
            assert_eq!(store.db.get(keys::FORMAT).unwrap().unwrap(), codec::encode(&FORMAT));
            for row in store.db.scan_prefix(keys::LEDGER) {
                let (key, _) = row.unwrap();
                assert!(key.starts_with(b"ln") || key.starts_with(b"lm"), "an old row is left: {key:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn rows_of_format_3_are_ahead_of_each_other(least in 0..=JOBS, ahead in prop::collection::vec(0..=JOBS, 60)) {
            let mut ahead = ahead.into_iter().cycle().map(|ahead| ahead.max(least));
            check(&store_of(3, least, || ahead.next().unwrap()));
        }
    }

    #[test]
    fn rows_of_format_2_count_all() {
        check(&store_of(2, JOBS, || JOBS));
    }
}
