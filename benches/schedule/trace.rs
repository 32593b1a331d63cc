//! Replays a recorded trace: which files came when, in which directories.
//!
//! JSON lines. The first is `{"nfs-scout-trace":1,"directories":N}`, then one for each time that files came:
//! `{"t":12.5,"dir":"2026/11/22","files":3}`, with `t` in seconds from the start, not falling. A directory is taken
//! to be there from the start, and directories of which the trace does not speak stay silent.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::contest::{Contender, Results, play};
use crate::dice::Dice;
use crate::report;
use crate::script::{Frame, Script, Writer};
use crate::workloads::{INTERVAL, PROMISE};

/// The version of the format that is read.
const VERSION: u64 = 1;
/// The part of the trace that only teaches.
const WARM_UP: f64 = 0.1;

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "nfs-scout-trace")]
    version: u64,
    directories: usize,
}

#[derive(Deserialize)]
struct Line {
    t: f64,
    dir: String,
    files: u32,
}

/// Replays the file with the fixed interval and with ours.
pub(crate) fn replay(path: &Path, seed: u64) -> Result<String, String> {
    let in_file = |problem: String| format!("{}: {problem}", path.display());
    let file = File::open(path).map_err(|error| in_file(error.to_string()))?;
    let (head, lines) = read(BufReader::new(file)).map_err(in_file)?;
    let script = script(&head, &lines);
    let mut results = Results {
        name: "trace",
        title: "trace",
        parts: Vec::new(),
        frame: script.frame,
        scores: [const { None }; Contender::ALL.len()],
    };
    for contender in [Contender::Fixed, Contender::BackOff, Contender::Ours] {
        results.scores[contender as usize] = play(&script, contender, seed);
    }
    let results = [results];
    let measured = script.frame.end - script.frame.warm_up;
    Ok(format!(
        "{} directories over {:.0} s, of which the last {measured:.0} s are counted; {:.1} RPCs/s.\n\n{}{}{}",
        script.directories.len() - 1,
        script.frame.end,
        script.frame.budget,
        report::table(&results),
        report::details(&results),
        report::fairness(&results),
    ))
}

/// Reads and checks a trace; a problem is told with the number of its line.
fn read(reader: impl BufRead) -> Result<(Head, Vec<Line>), String> {
    let mut lines = reader.lines().enumerate();
    let (_, first) = lines.next().ok_or("the trace is empty: its first line should say what it is")?;
    let first = first.map_err(|error| format!("line 1: {error}"))?;
    let head: Head = serde_json::from_str(&first).map_err(|error| {
        format!("line 1 should be {{\"nfs-scout-trace\":1,\"directories\":N}}: {}", what(&error))
    })?;
    if head.version != VERSION {
        return Err(format!("the trace has version {}, and only version {VERSION} is known", head.version));
    }
    let mut read: Vec<Line> = Vec::new();
    for (index, text) in lines {
        let at_line = |problem: String| format!("line {}: {problem}", index + 1);
        let text = text.map_err(|error| at_line(error.to_string()))?;
        let line: Line = serde_json::from_str(&text).map_err(|error| at_line(what(&error)))?;
        let earliest = read.last().map_or(0.0, |before| before.t);
        if !line.t.is_finite() || line.t < earliest {
            return Err(at_line(format!("t is {}, before the {earliest} of the line before", line.t)));
        }
        read.push(line);
    }
    if read.is_empty() {
        return Err("the trace has no files in it".to_owned());
    }
    Ok((head, read))
}

/// The problem without its place: the parser sees one line, and calls it the first.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()
}

/// The trace as a script.
fn script(head: &Head, lines: &[Line]) -> Script {
    let last = lines.last().map_or(0.0, |line| line.t);
    let frame = Frame { budget: 0.0, promise: PROMISE, warm_up: last * WARM_UP, end: last + 1.0 };
    let mut writer = Writer::new(Dice::new(0, "trace"), frame);
    let mut known = HashMap::new();
    for line in lines {
        let dir = *known.entry(line.dir.as_str()).or_insert_with(|| writer.directory(Writer::ROOT));
        // What came at 0 came after the first look.
        writer.files(line.t.max(1e-9), dir, line.files);
    }
    writer.leaves(head.directories.saturating_sub(known.len()));
    writer.not_stationary();
    writer.no_intensities();
    let budget = writer.initial() as f64 / INTERVAL;
    let mut script = writer.finish();
    script.frame.budget = budget;
    script
}
