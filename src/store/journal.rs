//! The journal: every handover in order, and how far each sink has confirmed.
//!
//! A row behind every sink's cursor is history; a row ahead of a cursor is that sink's outbox. Nothing is moved
//! from one to the other: confirming only moves the cursor, and replaying moves it back.

use serde::{Deserialize, Serialize};

use crate::model::{
    Analysis, ContentHash, Handover, JobFigures, Kind, MessageId, RelPath, RootPath, Seq, Stamp, Timestamp,
};

use super::medium::{Batch, Medium};
use super::{Store, StoreError, codec, keys};

/// Bytes of a part: a job's redacted text may be a mebibyte, a value must stay small.
const PART_BYTES: usize = 4096;

/// What a handover takes, about: an ordinary job's text is some 400 bytes.
const USUAL_BYTES: usize = 1024;

/// Characters kept of a sink's reason for refusing a handover.
const REASON_CHARACTERS: usize = 1000;

#[derive(Serialize, Deserialize)]
enum StoredHandover {
    V1(HandoverV1),
    V2(HandoverV1, Option<JobFigures>),
}

#[derive(Serialize, Deserialize)]
struct HandoverV1 {
    id: MessageId,
    kind: Kind,
    #[serde(with = "serde_bytes")]
    root: RootPath,
    path: RelPath,
    stamp: Stamp,
    blake3: ContentHash,
    detected_at: Timestamp,
    not_before: Option<Timestamp>,
    analysis: Analysis,
    jobdata_text: Option<String>,
    experiments: Vec<String>,
}

/// How far a sink has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkCursor {
    /// The last handover that it confirmed, with all before it.
    pub confirmed: Seq,
}

/// A handover that a sink refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which handover.
    pub seq: Seq,
    /// Why, in the sink's words.
    pub reason: String,
}

/// Adds the rows of `handover` to `batch`; tells how many bytes they have.
pub(super) fn write(handover: &Handover, batch: &mut Batch) -> u64 {
    let row = HandoverV1 {
        id: handover.id,
        kind: handover.kind,
        root: handover.root.clone(),
        path: handover.path.clone(),
        stamp: handover.stamp,
        blake3: handover.blake3,
        detected_at: handover.detected_at,
        not_before: handover.not_before,
        analysis: handover.analysis.clone(),
        jobdata_text: handover.jobdata_text.clone(),
        experiments: handover.experiments.clone(),
    };
    let stored = StoredHandover::V2(row, handover.figures.clone());
    let mut size = 0;
    for (part, bytes) in (0..).zip(codec::encode_long(&stored, USUAL_BYTES).chunks(PART_BYTES)) {
        let key = keys::journal(handover.seq, part);
        size += key.len() + bytes.len();
        batch.insert(key, bytes);
    }
    size as u64
}

pub(super) fn decode(seq: Seq, bytes: &[u8]) -> Result<Handover, StoreError> {
    let (row, figures) = match codec::decode(bytes, "a handover")? {
        StoredHandover::V1(row) => (row, None),
        StoredHandover::V2(row, figures) => (row, figures),
    };
    Ok(Handover {
        seq,
        id: row.id,
        kind: row.kind,
        root: row.root,
        path: row.path,
        stamp: row.stamp,
        blake3: row.blake3,
        detected_at: row.detected_at,
        not_before: row.not_before,
        analysis: row.analysis,
        jobdata_text: row.jobdata_text,
        figures,
        experiments: row.experiments,
    })
}

/// The head of the journal: the highest number ever used.
pub(super) fn last_seq(db: &Medium) -> Result<Seq, StoreError> {
    let noted = db.get(keys::HEAD)?.map(|value| codec::decode(&value, "the journal's head")).transpose()?;
    let last = db.scan_prefix(keys::JOURNAL).next_back().transpose()?;
    let last = last.and_then(|(key, _)| keys::number_at(&key, 1));
    Ok(noted.unwrap_or(0).max(last.unwrap_or(0)))
}

/// Calls `take` with every handover from `after` on up to `last`.
pub(super) fn each_after(
    db: &Medium,
    mut after: Seq,
    last: Seq,
    mut take: impl FnMut(&Handover),
) -> Result<(), StoreError> {
    /// Handovers read at once.
    const AT_ONCE: usize = 1000;
    loop {
        let handovers = read(db, after, last, AT_ONCE)?;
        let Some(newest) = handovers.last() else { return Ok(()) };
        after = newest.seq;
        handovers.iter().for_each(&mut take);
    }
}

/// The first `limit` handovers after `after` and up to `last`, in order.
pub(super) fn read(db: &Medium, after: Seq, last: Seq, limit: usize) -> Result<Vec<Handover>, StoreError> {
    let mut handovers = Vec::new();
    let mut current: Option<(Seq, Vec<u8>)> = None;
    let first = after.saturating_add(1);
    if first > last {
        return Ok(handovers);
    }
    for entry in db.range(keys::journal(first, 0)..=keys::journal(last, u16::MAX)) {
        let (key, value) = entry?;
        let seq = keys::number_at(&key, 1).ok_or(StoreError::Damaged { what: "a handover's key" })?;
        match &mut current {
            Some((open, bytes)) if *open == seq => bytes.extend_from_slice(&value),
            _ => {
                if let Some((done, bytes)) = current.replace((seq, value.to_vec())) {
                    handovers.push(decode(done, &bytes)?);
                }
                if handovers.len() == limit {
                    return Ok(handovers);
                }
            }
        }
    }
    if let Some((done, bytes)) = current {
        handovers.push(decode(done, &bytes)?);
    }
    Ok(handovers)
}

impl Store {
    /// The number of the last handover.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.writer().head
    }

    /// The first `limit` handovers after `after`, in order; only what is durable.
    ///
    /// The `figures` of a job that a program of format 2 handed over are `None`: they are in its text.
    pub fn journal(&self, after: Seq, limit: usize) -> Result<Vec<Handover>, StoreError> {
        read(&self.db, after, self.head(), limit)
    }

    /// The first handover still in the journal; one past the head if there is none.
    pub fn oldest(&self) -> Result<Seq, StoreError> {
        let first = self.db.scan_prefix(keys::JOURNAL).next().transpose()?;
        Ok(first.and_then(|(key, _)| keys::number_at(&key, 1)).unwrap_or(self.head() + 1))
    }

    /// How far `sink` has come; `None` if it was never attached.
    pub fn cursor(&self, sink: &str) -> Result<Option<SinkCursor>, StoreError> {
        self.db.get(keys::cursor(sink))?.map(|value| codec::decode(&value, "a sink's cursor")).transpose()
    }

    /// Notes that `sink` is new and gets what comes after `after`.
    pub fn attach(&self, sink: &str, after: Seq) -> Result<(), StoreError> {
        self.db.insert(keys::attached(sink), codec::encode(&after))?;
        self.set_cursor(sink, after)?;
        self.make_durable()
    }

    /// The handover after which `sink` was attached: what was before it was never sent there.
    pub fn attached_after(&self, sink: &str) -> Result<Seq, StoreError> {
        let value = self.db.get(keys::attached(sink))?;
        value.map_or(Ok(0), |value| codec::decode(&value, "where a sink begins"))
    }

    /// Notes that `sink` confirmed everything up to `confirmed`, or is to start again after it.
    ///
    /// Outlives the process at once; after a power loss a sink may be sent again what came last, with the same ids. That
    /// it starts again outlives both.
    pub fn set_cursor(&self, sink: &str, confirmed: Seq) -> Result<(), StoreError> {
        let goes_back = self.cursor(sink)?.is_some_and(|cursor| confirmed < cursor.confirmed);
        self.note_confirmed(sink, confirmed)?;
        if goes_back {
            self.db.sync_confirmed(sink, &self.agent_id)?;
        }
        self.db.insert(keys::cursor(sink), codec::encode(&SinkCursor { confirmed }))?;
        if goes_back { self.make_durable() } else { Ok(()) }
    }

    /// Remembers that `sink` has everything up to `upto`, for the next start: cheap enough for each confirm. To be followed
    /// by [`Store::set_cursor`].
    pub fn note_confirmed(&self, sink: &str, upto: Seq) -> Result<(), StoreError> {
        self.db.note_confirmed(sink, &self.agent_id, upto)
    }

    /// Takes over what was remembered of what sinks have, and not in the database yet when the last process ended.
    pub(super) fn take_over_confirmed(&self) -> Result<(), StoreError> {
        for row in self.db.scan_prefix(keys::CURSORS) {
            let (key, value) = row?;
            let sink = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let SinkCursor { confirmed } = codec::decode(&value, "a sink's cursor")?;
            let noted = self.db.confirmed(&sink, &self.agent_id)?;
            match noted {
                Some(noted) if noted > confirmed && noted <= self.head() => self.set_cursor(&sink, noted)?,
                Some(noted) if noted == confirmed => {}
                // Behind, or ahead of a journal with another past, which will come to that number again.
                _ => {
                    self.note_confirmed(&sink, confirmed)?;
                    self.db.sync_confirmed(&sink, &self.agent_id)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps the reason for which `sink` refused a handover.
    pub fn refuse(&self, sink: &str, refused: &Refused) -> Result<(), StoreError> {
        let reason = refused.reason.chars().take(REASON_CHARACTERS).collect();
        let refused = Refused { seq: refused.seq, reason };
        self.db.insert(keys::refused(sink, refused.seq), codec::encode(&refused))?;
        self.make_durable()
    }

    /// What sinks refused: the sink's name with each.
    pub fn refused(&self) -> Result<Vec<(String, Refused)>, StoreError> {
        self.db
            .scan_prefix(keys::REFUSED)
            .map(|entry| {
                let (key, value) = entry?;
                let sink =
                    key.split(|byte| *byte == 0).next().and_then(|sink| sink.get(1..)).unwrap_or_default();
                Ok((String::from_utf8_lossy(sink).into_owned(), codec::decode(&value, "a refused handover")?))
            })
            .collect()
    }

    /// Makes the next handover's number larger than `floor`.
    pub fn outrun(&self, floor: Seq) -> Result<(), StoreError> {
        let mut writer = self.writer();
        writer.head = writer.head.max(floor);
        self.db.insert(keys::HEAD, codec::encode(&writer.head))?;
        self.make_durable()
    }

    /// Drops what is older than `before` (wall time) and behind every one of `cursors`; tells how many handovers.
    pub fn retire(&self, before: Timestamp, behind: Seq) -> Result<u64, StoreError> {
        /// Handovers dropped in one call, so that nobody waits long for the store.
        const AT_ONCE: usize = 1000;
        let old = self.journal(0, AT_ONCE)?;
        let mut batch = Batch::default();
        let (mut count, mut last) = (0, 0);
        for handover in old.iter().take_while(|row| row.seq <= behind && row.detected_at < before) {
            let parts = keys::journal(handover.seq, 0);
            for row in self.db.scan_prefix(parts.get(..9).unwrap_or_default()) {
                batch.remove(row?.0);
            }
            (count, last) = (count + 1, handover.seq);
        }
        if count > 0 {
            let mut writer = self.writer();
            let head = writer.head;
            if last > writer.ledger.upto() {
                writer.ledger.write(head, &self.db)?;
            }
            batch.insert(keys::HEAD, codec::encode(&head));
            self.db.apply_batch(batch)?;
        }
        Ok(count)
    }
}
