//! The statistics, kept here too: what Redis is restored from, and all there is where no Redis is used.

use crate::model::{Board, Counter, Totals};

use super::medium::{Batch, Medium};
use super::{StoreError, codec, keys};

/// Adds what was `gained` to `totals`, and the rows that this changes to `batch`: each once, however many files changed it.
pub(super) fn apply(gained: Totals, totals: &mut Totals, batch: &mut Batch) {
    for ((namespace, counter), by) in gained.counters {
        let row = key('c', &[&namespace, counter.as_str()]);
        let count = totals.counters.entry((namespace, counter)).or_default();
        *count = count.saturating_add(by);
        batch.insert(row, codec::encode(count));
    }
    for ((namespace, board, member), by) in gained.scores {
        let row = key('s', &[&namespace, board.as_str(), &member]);
        let score = totals.scores.entry((namespace, board, member)).or_default();
        *score += by;
        batch.insert(row, codec::encode(score));
    }
    for (namespace, user) in gained.users {
        batch.insert(key('u', &[&namespace, &user]), &[]);
        totals.users.insert((namespace, user));
    }
}

/// Adds all of `totals` to `batch`.
pub(super) fn write(totals: &Totals, batch: &mut Batch) {
    for ((namespace, counter), count) in &totals.counters {
        batch.insert(key('c', &[namespace, counter.as_str()]), codec::encode(count));
    }
    for ((namespace, board, member), score) in &totals.scores {
        batch.insert(key('s', &[namespace, board.as_str(), member]), codec::encode(score));
    }
    for (namespace, user) in &totals.users {
        batch.insert(key('u', &[namespace, user]), &[]);
    }
}

/// Reads the statistics.
pub(super) fn load(db: &Medium) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    for entry in db.scan_prefix(keys::LEDGER) {
        let (key, value) = entry?;
        load_row(&key, &value, &mut totals).ok_or(StoreError::Damaged { what: "a row of the ledger" })?;
    }
    Ok(totals)
}

/// Whether a row of the ledger can be read.
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    load_row(key, value, &mut Totals::default()).ok_or(StoreError::Damaged { what: "a row of the ledger" })
}

fn load_row(key: &[u8], value: &[u8], totals: &mut Totals) -> Option<()> {
    let (kind, parts) = split(key)?;
    match (kind, parts.as_slice()) {
        ('c', [namespace, name]) => {
            let counter = Counter::ALL.into_iter().find(|counter| counter.as_str() == name)?;
            totals.counters.insert((namespace.clone(), counter), codec::decode(value, "").ok()?);
        }
        ('s', [namespace, name, member]) => {
            let board = Board::ALL.into_iter().find(|board| board.as_str() == name)?;
            totals.scores.insert((namespace.clone(), board, member.clone()), codec::decode(value, "").ok()?);
        }
        ('u', [namespace, user]) => {
            totals.users.insert((namespace.clone(), user.clone()));
        }
        _ => return None,
    }
    Some(())
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
