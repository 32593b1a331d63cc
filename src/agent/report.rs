//! Collects what there is to tell: from the store, and from the running sinks where an agent runs.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::watch;

use super::file::reason_in_words;
use super::table::Table;
use super::watched::Watched;
use crate::dispatch::{SinkName, SinkReport, SinkState};
use crate::event::Reporter;
use crate::model::{MessageId, RelPath, Timestamp};
use crate::mount::{Operation, RpcCounts};
use crate::status::{
    ExportLine, IndexLine, IndexSize, MAX_LISTED, OperationReport, OutboxReport, RefusedMessage, Report,
    RootReport, SinkLine, Statistics, WaitingFile,
};
use crate::store::{Content, RootId, RootRow, SeenFile, Store, StoreError};

/// What only a running agent knows.
#[derive(Debug, Clone)]
pub struct Live {
    /// The roots that it lost.
    pub(super) reporter: Reporter,
    /// The roots that it watches.
    pub(super) watched: Watched,
    /// Its sinks.
    pub(super) sinks: Vec<watch::Receiver<SinkReport>>,
    /// Bytes in the outbox from which on intake pauses.
    pub(super) outbox_max: u64,
}

/// The state of the agent.
pub(super) fn report(store: &Store, live: Option<&Live>) -> Result<Report, StoreError> {
    let table = load_table(store)?;
    let (waiting_count, waiting) = waiting_files(store, &table)?;
    let refused = store.refused()?.into_iter().map(|(sink, refused)| RefusedMessage {
        sink,
        seq: refused.seq,
        reason: refused.reason,
    });
    Ok(Report {
        agent: store.agent_id().to_owned(),
        running: live.is_some(),
        roots: roots(store, &table, live)?,
        rpcs: live.and_then(|live| live.watched.rpcs()).map(|counts| operations(&counts)).unwrap_or_default(),
        looks: live.map_or(0, |live| live.reporter.looks()),
        waiting_count,
        waiting,
        head: store.head(),
        outbox: outbox(store, live)?,
        sinks: sinks(store, live)?,
        refused: refused.collect(),
    })
}

fn operations(counts: &RpcCounts) -> BTreeMap<String, OperationReport> {
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    let mean = |operation: Operation| operation.round_trip.as_secs_f64() * 1000.0 / operation.count as f64;
    let line =
        |operation: Operation| OperationReport { count: operation.count, round_trip_ms: mean(operation) };
    counts.operations().map(|(name, operation)| (name.to_owned(), line(operation))).collect()
}

/// The statistics of the ledger.
#[must_use]
pub(super) fn statistics(store: &Store) -> Statistics {
    let (seq, totals) = store.totals();
    Statistics::of(seq, &totals)
}

/// How large the index is.
pub(super) fn index_size(store: &Store) -> Result<IndexSize, StoreError> {
    let (files, gone) = store.count_seen()?;
    Ok(IndexSize {
        directories: store.directories().count() as u64,
        files,
        gone,
        waiting: store.waiting()?.len() as u64,
        journal: (store.head() + 1).saturating_sub(store.oldest()?),
        bytes: store.size_on_disk()?,
    })
}

/// Every file known, by path: a line of path, size, hash (`-` if never read) and state each.
pub(super) fn index_list(store: &Store) -> Result<Vec<IndexLine>, StoreError> {
    let table = load_table(store)?;
    let mut lines = Vec::new();
    for (dir, directory) in table.iter() {
        let path = table.path(dir);
        // With a directory go its files, whose own records stay as they are.
        let gone_with_it = directory.gone_since;
        lines.extend(
            store.known(dir)?.into_values().filter_map(|known| index_line(&path, &known.file, gone_with_it)),
        );
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

/// The same with what else is stored of each.
pub(super) fn index_export(store: &Store) -> Result<Vec<ExportLine>, StoreError> {
    let table = load_table(store)?;
    let roots: HashMap<RootId, RootRow> = store.roots()?.into_iter().collect();
    let mut lines = Vec::new();
    for entry in store.directories() {
        let (dir, row) = entry?;
        let root = roots.get(&row.root).map(|root| String::from_utf8_lossy(&root.path).into_owned());
        let (root, path) = (root.unwrap_or_default(), table.path(dir));
        for known in store.known(dir)?.into_values() {
            let Some(file) = index_line(&path, &known.file, row.gone_since) else { continue };
            let id = match &known.file.content {
                Content::Hashed(hash) => Some(MessageId::of(&path.join(&known.file.name), hash).to_string()),
                Content::Unread | Content::NotAFile => None,
            };
            let mtime = known.file.stamp.mtime.to_string();
            lines.push(ExportLine { root: root.clone(), file, mtime, id });
        }
    }
    lines.sort_by(|a, b| (&a.root, &a.file.path).cmp(&(&b.root, &b.file.path)));
    Ok(lines)
}

fn index_line(dir: &RelPath, file: &SeenFile, gone_with_it: Option<Timestamp>) -> Option<IndexLine> {
    let blake3 = match file.content {
        Content::Hashed(hash) => Some(hash.to_string()),
        Content::Unread => None,
        Content::NotAFile => return None,
    };
    Some(IndexLine {
        path: dir.join(&file.name).to_string(),
        size: file.stamp.size,
        blake3,
        seq: file.seq,
        gone_since: file.gone_since.or(gone_with_it).map(|since| since.to_string()),
    })
}

pub(super) fn load_table(store: &Store) -> Result<Table, StoreError> {
    let mut table = Table::default();
    for entry in store.directories() {
        let (id, row) = entry?;
        let root = usize::try_from(row.root.0).unwrap_or_default();
        table.load(id, root, &row);
    }
    Ok(table)
}

fn roots(store: &Store, table: &Table, live: Option<&Live>) -> Result<Vec<RootReport>, StoreError> {
    let mut counts: HashMap<usize, u64> = HashMap::new();
    for (_, directory) in table.iter().filter(|(_, directory)| directory.gone_since.is_none()) {
        *counts.entry(directory.root).or_default() += 1;
    }
    let lost = live.map(|live| live.reporter.lost_roots()).unwrap_or_default();
    let describe = |(id, row): (RootId, RootRow)| {
        let path = String::from_utf8_lossy(&row.path).into_owned();
        let directories = usize::try_from(id.0).ok().and_then(|id| counts.get(&id)).copied().unwrap_or(0);
        RootReport { lost: lost.get(&path).cloned(), path, directories }
    };
    Ok(store.roots()?.into_iter().map(describe).collect())
}

fn waiting_files(store: &Store, table: &Table) -> Result<(u64, Vec<WaitingFile>), StoreError> {
    let mut rows = store.waiting()?;
    rows.sort_by_key(|(_, _, row)| row.first_seen);
    let count = rows.len() as u64;
    let files = rows.into_iter().take(MAX_LISTED).map(|(dir, name, row)| WaitingFile {
        path: table.path(dir).join(&name).to_string(),
        size: row.stamp.size,
        first_seen: row.first_seen.to_string(),
        reason: reason_in_words(&row.reason),
    });
    Ok((count, files.collect()))
}

/// What sinks still have to get. Which sinks there are a stored state does not know: all that there ever were.
fn outbox(store: &Store, live: Option<&Live>) -> Result<OutboxReport, StoreError> {
    let sinks: Vec<&str> = if let Some(live) = live {
        live.sinks.iter().map(|sink| sink.borrow().sink.as_str()).collect()
    } else {
        let names = SinkName::ALL.map(SinkName::as_str).into_iter();
        names.filter(|sink| matches!(store.cursor(sink), Ok(Some(_)))).collect()
    };
    Ok(OutboxReport {
        bytes: store.outbox(&sinks)?.0,
        bound: live.map(|live| live.outbox_max),
        paused: live.is_some_and(|live| live.reporter.is_intake_paused()),
    })
}

pub(super) fn sinks(store: &Store, live: Option<&Live>) -> Result<Vec<SinkLine>, StoreError> {
    let reports: Vec<SinkReport> =
        live.map(|live| live.sinks.iter().map(|sink| sink.borrow().clone()).collect()).unwrap_or_default();
    let mut lines = Vec::new();
    for sink in SinkName::ALL {
        let Some(cursor) = store.cursor(sink.as_str())? else { continue };
        let live = reports.iter().find(|report| report.sink == sink);
        let (state, reason) = live.map_or(("-", None), |report| state_in_words(&report.state));
        let confirmed = live.map_or(cursor.confirmed, |report| report.confirmed.max(cursor.confirmed));
        lines.push(SinkLine {
            sink: sink.to_string(),
            state: state.to_owned(),
            reason,
            confirmed,
            behind: store.head().saturating_sub(confirmed),
        });
    }
    Ok(lines)
}

fn state_in_words(state: &SinkState) -> (&'static str, Option<String>) {
    match state {
        SinkState::Connecting => ("connecting", None),
        SinkState::Up => ("up", None),
        SinkState::Blocked { reason, .. } => ("blocked", Some(reason.clone())),
        SinkState::Down { reason, .. } => ("down", Some(reason.clone())),
        SinkState::Ended { reason } => ("ended", Some(reason.clone())),
    }
}
