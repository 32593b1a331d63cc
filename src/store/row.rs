//! One stored row by itself: whether its value is what its key says. The way in for fuzzing, which cannot go through
//! sled: a damaged disk may hand any bytes to the decoders below.

use crate::model::{Handover, Seq, Timestamp};

use super::{
    Refused, SinkCursor, StoreError, codec, directories, hindrance, journal, keys, ledger, prints, run,
    waiting,
};

/// Decodes the row `key`, `value` as a start or a courier would; gives the handover if it is one in a single part.
///
/// Fails with [`StoreError::Damaged`] on anything that no version of this program wrote.
#[doc(hidden)]
pub fn read_row(key: &[u8], value: &[u8]) -> Result<Option<Handover>, StoreError> {
    match (key, key.first()) {
        (keys::FORMAT, _) => codec::decode::<u32>(value, "the format number").map(drop)?,
        (keys::AGENT_ID, _) => codec::decode::<String>(value, "the agent's name").map(drop)?,
        (keys::LAST_STEADY, _) => codec::decode::<Timestamp>(value, "the last time").map(drop)?,
        (keys::HEAD, _) => codec::decode::<u64>(value, "the journal's head").map(drop)?,
        (keys::LEDGER_UPTO, _) => codec::decode::<Seq>(value, "the ledger").map(drop)?,
        (keys::PATTERNS, _) => hindrance::decode_patterns(value).map(drop)?,
        (_, Some(b'f')) => hindrance::decode(value).map(drop)?,
        (_, Some(b'r')) => directories::decode_root(key, value).map(drop)?,
        (_, Some(b'd')) => directories::decode_dir(key, value).map(drop)?,
        (_, Some(b's')) => run::decode(value).map(drop)?,
        (_, Some(b'i')) => prints::decode_block(value).map(drop)?,
        (_, Some(b'w')) => waiting::decode(key, value).map(drop)?,
        (_, Some(b'j')) => {
            let seq = keys::number_at(key, 1).ok_or(StoreError::Damaged { what: "a handover's key" })?;
            return journal::decode(seq, value).map(Some);
        }
        (_, Some(b'c')) => codec::decode::<SinkCursor>(value, "a sink's cursor").map(drop)?,
        (_, Some(b'a')) => codec::decode::<Seq>(value, "where a sink begins").map(drop)?,
        (_, Some(b'x')) => codec::decode::<Refused>(value, "a refused handover").map(drop)?,
        (_, Some(b'l')) => ledger::check_row(key, value)?,
        _ => return Err(StoreError::Damaged { what: "a key" }),
    }
    Ok(None)
}
