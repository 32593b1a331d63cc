//! Collects what there is to tell: from the store, and from the running sinks where an agent runs.

use std::collections::HashMap;

use tokio::sync::watch;

use super::recent::{Figures, Recent};
use super::table::Table;
use super::vitals;
use super::watched::Watched;
use crate::clock::{self, Clock};
use crate::dispatch::{SinkName, SinkReport, SinkState};
use crate::event::{HandedOver, Reporter};
use crate::model::{BOUNDS, Histogram, MessageId, RelPath, Timestamp, float};
use crate::mount::RpcCounts;
use crate::status::{
    ExportLine, HandedOverFile, IndexLine, IndexSize, LatencyReport, MAX_LISTED, OperationReport,
    OutboxReport, Pace, RefusedMessage, Report, RootReport, SinkLine, Statistics, problems,
};
use crate::store::{Content, Refused, RootId, RootRow, SeenFile, Store, StoreError};

/// What only a running agent knows.
#[derive(Debug, Clone)]
pub struct Live {
    /// What happened since its start.
    pub(super) reporter: Reporter,
    /// The roots that it watches.
    pub(super) watched: Watched,
    /// Its sinks.
    pub(super) sinks: Vec<watch::Receiver<SinkReport>>,
    /// The figures of the last hour.
    pub(super) recent: Recent,
    /// Its clock.
    pub(super) clock: Clock,
    /// When it was started.
    pub(super) started: Timestamp,
}

/// The state of the agent. Waits for a running one's engine: blocks.
pub(super) fn report(store: &Store, live: Option<&Live>) -> Result<Report, StoreError> {
    let now = wall(live);
    let refused = store.refused()?;
    let mut report = Report {
        agent: store.agent_id().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        running: live.is_some(),
        at: now.to_string(),
        at_seconds: now.as_seconds(),
        head: store.head(),
        outbox: outbox(store, live)?,
        sinks: sinks(store, live)?,
        refused_count: refused.len() as u64,
        refused: refused.into_iter().take(MAX_LISTED).map(refusal).collect(),
        ..Report::default()
    };
    match live {
        Some(live) => tell_live(live, &mut report),
        None => tell_stored(store, &mut report)?,
    }
    report.problems = problems(&report);
    Ok(report)
}

/// What the engine and the events tell.
fn tell_live(live: &Live, report: &mut Report) {
    let vitals = live.watched.vitals();
    let now = Figures::take(live.clock.now(), &live.reporter, &live.watched);
    let before = live.recent.minute_before(now.at);
    let seconds = before.as_ref().and_then(|before| now.seconds_since(before));
    let rate = |count: u64| seconds.map(|seconds| float(count) / seconds);
    let lately = before.as_ref().and_then(|before| now.rpcs_since(before));
    report.started = Some(live.started.to_string());
    report.roots.clone_from(&vitals.roots);
    report.pace = Pace {
        looks: before.as_ref().and_then(|before| rate(now.looks.saturating_sub(before.looks))),
        rpcs: lately.as_ref().and_then(|lately| rate(lately.total())),
        ..vitals.pace.clone()
    };
    report.rpcs = now
        .rpcs
        .iter()
        .flat_map(RpcCounts::operations)
        .map(|(name, total)| {
            let lately = lately.iter().flat_map(RpcCounts::operations).find(|(other, _)| *other == name);
            let per_second = lately.map_or_else(|| rate(0), |(_, lately)| rate(lately.count));
            let round_trip_ms = total.round_trip.as_secs_f64() * 1000.0 / float(total.count.max(1));
            (name.to_owned(), OperationReport { count: total.count, per_second, round_trip_ms })
        })
        .collect();
    report.looks = now.looks;
    report.counts =
        live.reporter.counts().into_iter().map(|(counter, count)| (counter.to_owned(), count)).collect();
    report.latency = latency(&live.reporter.latency());
    report.directories.clone_from(&vitals.directories);
    report.waiting_count = vitals.waiting_count;
    report.waiting_reasons.clone_from(&vitals.waiting_reasons);
    report.waiting.clone_from(&vitals.waiting);
    report.outbox.bound = Some(vitals.outbox_max);
    report.outbox.paused = vitals.paused;
    [report.latest, report.broken] =
        live.reporter.latest().map(|files| files.iter().map(handed_over).collect());
}

/// What was there when the last run ended.
fn tell_stored(store: &Store, report: &mut Report) -> Result<(), StoreError> {
    let table = load_table(store)?;
    let rows = store.waiting()?;
    report.roots = stored_roots(store, &table)?;
    report.waiting_count = rows.len() as u64;
    report.waiting_reasons = vitals::reasons(rows.iter().map(|(_, _, row)| row));
    let rows = rows.iter().map(|(dir, name, row)| (*dir, name.as_slice(), row));
    report.waiting = vitals::waiting_files(rows, |dir| table.path(dir));
    Ok(())
}

fn latency(histogram: &Histogram) -> LatencyReport {
    LatencyReport {
        within: BOUNDS.into_iter().zip(histogram.cumulative()).collect(),
        count: histogram.count(),
        sum_s: histogram.sum_seconds(),
    }
}

fn handed_over(file: &HandedOver) -> HandedOverFile {
    HandedOverFile {
        path: file.path.to_string(),
        kind: file.kind.as_str().to_owned(),
        size: file.size_bytes,
        at: file.at.to_string(),
        within_s: file.within.map(|within| within.as_secs_f64()),
    }
}

fn refusal((sink, refused): (String, Refused)) -> RefusedMessage {
    RefusedMessage { sink, seq: refused.seq, reason: refused.reason }
}

/// Our wall clock.
fn wall(live: Option<&Live>) -> Timestamp {
    live.map_or_else(clock::wall, |live| live.clock.now().wall)
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
            store.known(dir)?.into_iter().filter_map(|known| index_line(&path, &known.file, gone_with_it)),
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
        let root = roots.get(&row.root).map(|root| shown(&root.path));
        let (root, path) = (root.unwrap_or_default(), table.path(dir));
        for known in store.known(dir)? {
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

fn stored_roots(store: &Store, table: &Table) -> Result<Vec<RootReport>, StoreError> {
    let mut counts: HashMap<usize, [u64; 2]> = HashMap::new();
    for (_, directory) in table.iter().filter(|(_, directory)| directory.gone_since.is_none()) {
        let [known, unseen] = counts.entry(directory.root).or_default();
        *known += 1;
        *unseen += u64::from(directory.stamp.is_none());
    }
    let describe = |(id, row): (RootId, RootRow)| {
        let counts = usize::try_from(id.0).ok().and_then(|id| counts.get(&id));
        let [directories, unseen] = counts.copied().unwrap_or_default();
        let (path, walked) = (shown(&row.path), row.walked);
        RootReport { path, directories, unseen, walked, ..RootReport::default() }
    };
    Ok(store.roots()?.into_iter().map(describe).collect())
}

/// A root's path for people: a name could forge a line.
fn shown(path: &[u8]) -> String {
    RelPath::from_bytes(path).to_string()
}

/// What sinks still have to get. Which sinks there are a stored state does not know: all that there ever were.
fn outbox(store: &Store, live: Option<&Live>) -> Result<OutboxReport, StoreError> {
    let sinks: Vec<&str> = if let Some(live) = live {
        live.sinks.iter().map(|sink| sink.borrow().sink.as_str()).collect()
    } else {
        let names = SinkName::ALL.map(SinkName::as_str).into_iter();
        names.filter(|sink| matches!(store.cursor(sink), Ok(Some(_)))).collect()
    };
    Ok(OutboxReport { bytes: store.outbox(&sinks)?.0, ..OutboxReport::default() })
}

pub(super) fn sinks(store: &Store, live: Option<&Live>) -> Result<Vec<SinkLine>, StoreError> {
    let reports: Vec<SinkReport> =
        live.map(|live| live.sinks.iter().map(|sink| sink.borrow().clone()).collect()).unwrap_or_default();
    let (now, refused) = (wall(live), store.refused()?);
    let mut lines = Vec::new();
    for sink in SinkName::ALL {
        let Some(cursor) = store.cursor(sink.as_str())? else { continue };
        let live = reports.iter().find(|report| report.sink == sink);
        let (state, reason, since) = live.map_or(("-", None, None), |report| state_in_words(&report.state));
        let confirmed = live.map_or(cursor.confirmed, |report| report.confirmed.max(cursor.confirmed));
        let oldest = store.journal(confirmed, 1)?.into_iter().next();
        lines.push(SinkLine {
            sink: sink.to_string(),
            state: state.to_owned(),
            reason,
            since: since.map(|since| since.to_string()),
            confirmed,
            behind: store.head().saturating_sub(confirmed),
            oldest_s: oldest.map(|oldest| now.since(oldest.detected_at).as_secs_f64()),
            delivered: live.map_or(0, |report| report.delivered),
            refused: refused.iter().filter(|(name, _)| name == sink.as_str()).count() as u64,
        });
    }
    Ok(lines)
}

fn state_in_words(state: &SinkState) -> (&'static str, Option<String>, Option<Timestamp>) {
    match state {
        SinkState::Connecting => ("connecting", None, None),
        SinkState::Up => ("up", None, None),
        SinkState::Blocked { reason, since } => ("blocked", Some(reason.clone()), Some(*since)),
        SinkState::Down { reason, since, .. } => ("down", Some(reason.clone()), Some(*since)),
        SinkState::Ended { reason } => ("ended", Some(reason.clone()), None),
    }
}
