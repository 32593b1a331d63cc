//! The report for a terminal.

use std::fmt::Write;

use super::health::{grouped, span};
use super::report::{DirectoryLine, OutboxReport, Report, RootReport};
use super::table::push_table;

/// Directories shown of the hottest, and as many of those looked at longest ago.
const SHOWN: usize = 5;

/// Broken files shown.
const BROKEN: usize = 10;

/// The report for a terminal.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let running = if report.running { "running" } else { "not running" };
    let handed_over = grouped(report.head);
    let _ = writeln!(text, "agent {} ({running}), {handed_over} handed over", report.agent);
    for problem in &report.problems {
        let _ = writeln!(text, "! {}", plain(problem));
    }
    text.push('\n');
    roots(report, &mut text);
    pace(report, &mut text);
    rpcs(report, &mut text);
    directories(report, &mut text);
    sinks(report, &mut text);
    outbox(&report.outbox, &mut text);
    waiting(report, &mut text);
    broken(report, &mut text);
    refused(report, &mut text);
    text
}

fn roots(report: &Report, text: &mut String) {
    let state = |root: &RootReport| match (root.silent_s, &root.lost) {
        (Some(time), _) => format!("no answer for {}", span(time)),
        (None, Some(reason)) => format!("{}: {}", root.state.as_str(), plain(reason)),
        (None, None) => root.state.as_str().to_owned(),
    };
    let rows = report.roots.iter().map(|root| {
        let oldest = root.oldest_look_s.map_or_else(|| "-".to_owned(), span);
        let not_yet = grouped(root.unseen);
        vec![plain(&root.path), grouped(root.directories), not_yet, oldest, state(root)]
    });
    push_table(text, &["ROOT", "DIRECTORIES", "NOT YET SEEN", "OLDEST LOOK", "STATE"], rows);
}

/// What is promised and kept, and what it costs.
fn pace(report: &Report, text: &mut String) {
    let pace = &report.pace;
    if let (Some(promised), Some(kept)) = (pace.promised_s, pace.kept_s) {
        let _ = writeln!(
            text,
            "longest time between two looks: {} promised, {} kept",
            span(promised),
            span(kept)
        );
    }
    if let (Some(budget), Some(needed)) = (pace.budget, pace.needed) {
        let spent = match (pace.looks, pace.rpcs) {
            (Some(looks), Some(rpcs)) => format!("; {} looks/s, {} RPCs/s now", rate(looks), rate(rpcs)),
            (Some(looks), None) => format!("; {} looks/s now", rate(looks)),
            (None, _) => String::new(),
        };
        let _ = writeln!(text, "{} RPCs/s allowed, {} needed{spent}", rate(budget), rate(needed));
    }
    if report.looks > 0 {
        let _ = writeln!(text, "{} looks at directories\n", grouped(report.looks));
    } else if pace.promised_s.is_some() {
        text.push('\n');
    }
}

fn rpcs(report: &Report, text: &mut String) {
    let rows = report.rpcs.iter().map(|(name, operation)| {
        let per_second = operation.per_second.map_or_else(|| "-".to_owned(), rate);
        vec![plain(name), grouped(operation.count), per_second, format!("{:.2}", operation.round_trip_ms)]
    });
    push_table(text, &["RPC", "COUNT", "A SECOND", "MEAN MS"], rows);
}

fn directories(report: &Report, text: &mut String) {
    let row = |line: &DirectoryLine| {
        let age = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), span);
        vec![plain(&line.path), rate(line.files_per_hour), age(line.looked_s), age(line.every_s)]
    };
    let mut lines: Vec<&DirectoryLine> = report.directories.iter().collect();
    if lines.len() <= 2 * SHOWN {
        push_table(text, &["DIRECTORY", "FILES/H", "LOOKED AT", "LOOK EACH"], lines.into_iter().map(row));
        return;
    }
    lines.sort_by(|a, b| b.files_per_hour.total_cmp(&a.files_per_hour));
    let hottest = lines.iter().filter(|line| line.files_per_hour >= 0.05).take(SHOWN).map(|line| row(line));
    push_table(text, &["HOTTEST DIRECTORY", "FILES/H", "LOOKED AT", "LOOK EACH"], hottest);
    let age = |line: &DirectoryLine| line.looked_s.unwrap_or(f64::INFINITY);
    lines.sort_by(|a, b| age(b).total_cmp(&age(a)));
    let stalest = lines.iter().take(SHOWN).map(|line| row(line));
    push_table(text, &["LOOKED AT LONGEST AGO", "FILES/H", "LOOKED AT", "LOOK EACH"], stalest);
}

fn sinks(report: &Report, text: &mut String) {
    let rows = report.sinks.iter().map(|sink| {
        let oldest = sink.oldest_s.map_or_else(|| "-".to_owned(), span);
        let reason = plain(sink.reason.as_deref().unwrap_or_default());
        vec![
            sink.sink.clone(),
            if report.running && !sink.is_attached() { "not in use" } else { &sink.state }.to_owned(),
            grouped(sink.confirmed),
            grouped(sink.behind),
            oldest,
            reason,
        ]
    });
    push_table(text, &["SINK", "STATE", "CONFIRMED", "BEHIND", "OLDEST", "REASON"], rows);
}

/// What waits for the sinks on disk, if anything does.
fn outbox(outbox: &OutboxReport, text: &mut String) {
    if outbox.bytes > 0 {
        let bound = outbox.bound.map(|bound| format!(" of {}", grouped(bound))).unwrap_or_default();
        let _ = writeln!(text, "{}{bound} bytes wait for sinks\n", grouped(outbox.bytes));
    }
}

fn waiting(report: &Report, text: &mut String) {
    let rows = report.waiting.iter().map(|file| {
        vec![plain(&file.path), grouped(file.size), file.first_seen.clone(), plain(&file.reason)]
    });
    push_table(text, &["WAITING FILE", "BYTES", "FIRST SEEN", "REASON"], rows);
    if report.waiting_count > report.waiting.len() as u64 {
        let _ = writeln!(text, "… {} files wait in all\n", grouped(report.waiting_count));
    }
}

fn broken(report: &Report, text: &mut String) {
    let rows = report.broken.iter().take(BROKEN);
    let rows = rows.map(|file| vec![plain(&file.path), grouped(file.size), file.at.clone()]);
    push_table(text, &["HANDED OVER AS BROKEN", "BYTES", "AT"], rows);
}

fn refused(report: &Report, text: &mut String) {
    let rows = report.refused.iter();
    let rows =
        rows.map(|message| vec![message.sink.clone(), message.seq.to_string(), plain(&message.reason)]);
    push_table(text, &["REFUSED BY", "NUMBER", "REASON"], rows);
    if report.refused_count > report.refused.len() as u64 {
        let _ = writeln!(text, "… {} were refused in all\n", grouped(report.refused_count));
    }
}

/// A rate with as many digits as tell something.
fn rate(rate: f64) -> String {
    match rate {
        rate if rate >= 99.5 => format!("{rate:.0}"),
        rate if rate >= 9.95 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

/// Without what could forge a line or move the cursor: names are escaped before, but reasons quote what others say.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { plain.extend(character.escape_default()) } else { plain.push(character) }
    }
    plain
}
