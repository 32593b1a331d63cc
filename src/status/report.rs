//! How the agent is doing: what is watched, what waits and why, what each sink still has to get.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::{Deserialize, Serialize};

/// Waiting files listed in a report, at most; the count tells of the rest.
pub const MAX_LISTED: usize = 100;

/// The state of an agent, live or as it was left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The agent's name in Redis.
    pub agent: String,
    /// Whether an agent is running now.
    pub running: bool,
    /// What is watched.
    pub roots: Vec<RootReport>,
    /// The RPCs of the NFS mounts since the agent's start, by operation; empty without such a mount or agent.
    pub rpcs: BTreeMap<String, OperationReport>,
    /// Looks at directories since the agent's start.
    pub looks: u64,
    /// How many files wait.
    pub waiting_count: u64,
    /// Those that wait longest, at most [`MAX_LISTED`].
    pub waiting: Vec<WaitingFile>,
    /// The last number of the journal.
    pub head: u64,
    /// What waits for the sinks.
    pub outbox: OutboxReport,
    /// The sinks.
    pub sinks: Vec<SinkLine>,
    /// What sinks refused for good.
    pub refused: Vec<RefusedMessage>,
}

/// A watched root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootReport {
    /// Its path.
    pub path: String,
    /// Directories known below it.
    pub directories: u64,
    /// Why it cannot be watched now.
    pub lost: Option<String>,
}

/// RPCs of one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    /// How many were sent.
    pub count: u64,
    /// The mean time from sending to receiving, in milliseconds.
    pub round_trip_ms: f64,
}

/// A file that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFile {
    /// Its path below its root.
    pub path: String,
    /// Its size at the last look, in bytes.
    pub size: u64,
    /// When it was first seen, RFC 3339.
    pub first_seen: String,
    /// Why it waits.
    pub reason: String,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkLine {
    /// Its name.
    pub sink: String,
    /// Its state: `up`, `connecting`, `blocked`, `down`, `ended`, or `-` while no agent runs.
    pub state: String,
    /// Why it is not up.
    pub reason: Option<String>,
    /// The last number that it confirmed.
    pub confirmed: u64,
    /// How many numbers it is behind.
    pub behind: u64,
}

/// What waits for the sinks on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxReport {
    /// Its bytes.
    pub bytes: u64,
    /// From how many on intake pauses; `null` while no agent runs.
    pub bound: Option<u64>,
    /// Whether intake pauses now.
    pub paused: bool,
}

/// A message that a sink refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMessage {
    /// Which sink.
    pub sink: String,
    /// The number of the handover.
    pub seq: u64,
    /// Why, in the sink's words.
    pub reason: String,
}

/// How large the index is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSize {
    /// Directories known.
    pub directories: u64,
    /// Files known.
    pub files: u64,
    /// Of these, files that are gone from the mount.
    pub gone: u64,
    /// Files that wait.
    pub waiting: u64,
    /// Handovers in the journal.
    pub journal: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A file of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLine {
    /// Its path below its root, with odd bytes escaped.
    pub path: String,
    /// Its size when it was read, in bytes.
    pub size: u64,
    /// The hash of its content; `null` if it was never read.
    pub blake3: Option<String>,
    /// The number of its handover; 0 if it was never handed over.
    pub seq: u64,
    /// Since when it is gone from the mount.
    pub gone_since: Option<String>,
}

/// A file of the index as it is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportLine {
    /// The root's path.
    pub root: String,
    /// What `index list` tells of it.
    #[serde(flatten)]
    pub file: IndexLine,
    /// When it was last written, by the server's clock.
    pub mtime: String,
    /// The id of its message; `null` if it was never read.
    pub id: Option<String>,
}

/// The size of the index for a terminal.
#[must_use]
pub fn render_size(size: &IndexSize) -> String {
    let rows = [
        ("directories", size.directories),
        ("files", size.files),
        ("of these gone", size.gone),
        ("waiting", size.waiting),
        ("journal", size.journal),
        ("bytes on disk", size.bytes),
    ];
    rows.iter().fold(String::new(), |mut text, (name, number)| {
        let _ = writeln!(text, "{name:<14} {number}");
        text
    })
}

/// The files of the index, a line each: hash, size, path, as `b3sum` prints them with the size between.
#[must_use]
pub fn render_list(lines: &[IndexLine]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let hash = line.blake3.as_deref().unwrap_or("-");
        let gone = if line.gone_since.is_some() { "  (gone)" } else { "" };
        let _ = writeln!(text, "{hash:<64} {:>12} {}{gone}", line.size, line.path);
        text
    })
}

/// The report for a terminal.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let running = if report.running { "running" } else { "not running" };
    let _ = writeln!(text, "agent {} ({running}), {} handed over\n", report.agent, report.head);
    let roots = report.roots.iter().map(|root| {
        let state = root.lost.clone().unwrap_or_else(|| "watched".to_owned());
        vec![root.path.clone(), root.directories.to_string(), state]
    });
    push_table(&mut text, &["ROOT", "DIRECTORIES", "STATE"], roots);
    let rpcs = report.rpcs.iter().map(|(name, operation)| {
        vec![name.clone(), operation.count.to_string(), format!("{:.2}", operation.round_trip_ms)]
    });
    push_table(&mut text, &["RPC", "COUNT", "MEAN MS"], rpcs);
    if report.looks > 0 {
        let _ = writeln!(text, "{} looks at directories\n", report.looks);
    }
    let sinks = report.sinks.iter().map(|sink| {
        let reason = sink.reason.clone().unwrap_or_default();
        vec![
            sink.sink.clone(),
            sink.state.clone(),
            sink.confirmed.to_string(),
            sink.behind.to_string(),
            reason,
        ]
    });
    push_table(&mut text, &["SINK", "STATE", "CONFIRMED", "BEHIND", "REASON"], sinks);
    push_outbox(&mut text, &report.outbox);
    let waiting = report.waiting.iter().map(|file| {
        vec![file.path.clone(), file.size.to_string(), file.first_seen.clone(), file.reason.clone()]
    });
    push_table(&mut text, &["WAITING FILE", "BYTES", "FIRST SEEN", "REASON"], waiting);
    if report.waiting_count > report.waiting.len() as u64 {
        let _ = writeln!(text, "… {} files wait in all\n", report.waiting_count);
    }
    let refused = report
        .refused
        .iter()
        .map(|message| vec![message.sink.clone(), message.seq.to_string(), message.reason.clone()]);
    push_table(&mut text, &["REFUSED BY", "NUMBER", "REASON"], refused);
    text
}

/// Says what waits for the sinks, if anything does.
fn push_outbox(text: &mut String, outbox: &OutboxReport) {
    if outbox.bytes > 0 {
        let bound = outbox.bound.map(|bound| format!(" of {bound}")).unwrap_or_default();
        let _ = writeln!(text, "outbox: {}{bound} bytes", outbox.bytes);
        if outbox.paused {
            text.push_str("INTAKE PAUSES: the outbox is full, new files are left on the mount; bring the sink back, or raise --outbox-max\n");
        }
        text.push('\n');
    }
}

/// Adds a table and a blank line, or nothing if it has no rows.
pub(super) fn push_table(text: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    if table.row_count() > 0 {
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
}
