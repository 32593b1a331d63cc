//! What the store knows of one path, for the question why a file was or was not handed over.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::file::reason_in_words;
use super::place::Place;
use super::report::{self, Live};
use crate::dispatch::SinkName;
use crate::model::{Handover, MessageId, RelPath, Timestamp};
use crate::rules::{FileRules, JUNK, Judgement};
use crate::status::Explanation;
use crate::store::{Content, DirRow, Patterns, SeenFile, Store, StoreError, WaitRow};

/// Explains `path`, which is absolute.
pub(super) fn explain(store: &Store, path: &Path, live: Option<&Live>) -> Result<Explanation, StoreError> {
    let shown = |bytes: &[u8]| RelPath::from_bytes(bytes).to_string();
    let mut told = Explanation::new(shown(path.as_os_str().as_bytes()));
    let Some(place) = Place::find(store, path)? else {
        told.known = false;
        "not below any directory that this agent watches or watched".clone_into(&mut told.state);
        for (_, root) in store.roots()? {
            told.add("watched", shown(&root.path));
        }
        return Ok(told);
    };
    let root = shown(&place.root.1.path);
    told.add("root", &root);
    root_away(live, &root, &mut told);
    if place.is_directory {
        "a directory".clone_into(&mut told.state);
    } else if let Some(row) = place.waiting(store)? {
        waiting(&row, &mut told);
    } else if let Some(known) = place.known(store)? {
        seen(store, live, &place, &known.file, &mut told)?;
    } else {
        never_seen(store, &place, &mut told)?;
    }
    for (_, row) in &place.way {
        if let Some(since) = row.gone_since {
            told.add("a directory on the way is gone", format!("since {since}"));
        }
    }
    if let Some((dir, row)) = place.way.last() {
        if let Some(hindrance) = store.hindrance(*dir)? {
            let reason = format!("{}, since {}", hindrance.reason, hindrance.since);
            told.add("directory cannot be read", reason);
        }
        if place.is_directory || place.is_reached {
            directory(row, &mut told);
        }
    }
    Ok(told)
}

/// Whether the root is out of reach now: nothing new is seen there meanwhile. Only a running agent knows.
fn root_away(live: Option<&Live>, root: &str, told: &mut Explanation) {
    let Some(live) = live else { return };
    if let Some(reason) =
        live.watched.vitals().roots.iter().find(|it| it.path == root).and_then(|it| it.lost.as_ref())
    {
        told.add("root is out of reach", reason);
    }
}

fn waiting(row: &WaitRow, told: &mut Explanation) {
    "waiting".clone_into(&mut told.state);
    told.add("why", reason_in_words(&row.reason));
    told.add("first seen", row.first_seen);
    told.add("its directory was last seen without it", or_never(row.not_before));
    told.add("size", row.stamp.size);
    told.add("modified, by the server's clock", row.stamp.mtime);
}

fn seen(
    store: &Store,
    live: Option<&Live>,
    place: &Place,
    file: &SeenFile,
    told: &mut Explanation,
) -> Result<(), StoreError> {
    told.add("size", file.stamp.size);
    told.add("modified, by the server's clock", file.stamp.mtime);
    if let Content::Hashed(hash) = &file.content {
        told.add("blake3", hash);
        told.add("id", MessageId::of(&place.path, hash));
    }
    if let Some(since) = file.gone_since {
        told.add("gone from the mount", format!("since {since}"));
    }
    match (file.content, file.seq) {
        (Content::NotAFile, _) => "not a regular file: never handed over".clone_into(&mut told.state),
        (Content::Unread, _) => {
            "there at first contact (--baseline): not read, not handed over".clone_into(&mut told.state);
        }
        (Content::Hashed(_), 0) => {
            "moved here from another path: recorded, not handed over again".clone_into(&mut told.state);
        }
        (Content::Hashed(_), seq) => {
            "handed over".clone_into(&mut told.state);
            told.add("number", seq);
            let row = store.journal(seq - 1, 1)?.into_iter().find(|row| row.seq == seq);
            match &row {
                Some(row) => handed_over(row, told),
                None => told.add("when", "longer ago than the history (--history) reaches"),
            }
            sent(store, live, seq, told)?;
        }
    }
    Ok(())
}

fn handed_over(row: &Handover, told: &mut Explanation) {
    told.add("as", row.kind.as_str());
    told.add("its directory was last seen without it", or_never(row.not_before));
    told.add("found", row.detected_at);
    let detail = row.analysis.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    told.add("analysis", format!("{}{detail}", row.analysis.status.as_str()));
}

/// Which sinks have it (when each confirmed is not kept), and why others do not.
fn sent(store: &Store, live: Option<&Live>, seq: u64, told: &mut Explanation) -> Result<(), StoreError> {
    let refused = store.refused()?;
    for line in report::sinks(store, live)? {
        let reason = refused.iter().find(|(name, entry)| *name == line.sink && entry.seq == seq);
        let state = match reason {
            Some((_, entry)) => format!("refused: {}", entry.reason),
            None if seq <= store.attached_after(&line.sink)? => {
                if line.sink == SinkName::Redis.as_str() {
                    "counted in the totals that it got when it was attached".to_owned()
                } else {
                    "never sent: the sink was attached later".to_owned()
                }
            }
            None if line.confirmed >= seq => "confirmed".to_owned(),
            None if live.is_some() && !line.is_attached() => {
                "not sent: this run does not send there".to_owned()
            }
            None => format!("not sent yet: {} handovers are before it", seq - line.confirmed - 1),
        };
        told.add(&format!("to {}", line.sink), state);
        if let Some(reason) = line.reason.filter(|_| line.confirmed < seq) {
            told.add(&format!("{} is {}", line.sink, line.state), reason);
        }
    }
    Ok(())
}

fn never_seen(store: &Store, place: &Place, told: &mut Explanation) -> Result<(), StoreError> {
    told.known = false;
    "never seen".clone_into(&mut told.state);
    let mut directory = RelPath::root();
    let patterns = store.patterns()?.unwrap_or_default();
    let mut is_left_out = false;
    let components: Vec<&[u8]> = place.path.components().collect();
    for (depth, name) in components.iter().enumerate() {
        let is_file = depth + 1 == components.len();
        if let Some((which, why)) = left_out(&patterns, &directory, name, is_file) {
            told.add(which, format!("{} {why}", RelPath::from_bytes(*name)));
            is_left_out = true;
        } else if !is_file && !is_left_out && depth + 1 == place.way.len() {
            told.add("directory never seen", RelPath::from_bytes(*name));
        }
        directory = directory.join(name);
    }
    if place.way.is_empty() {
        told.add("root never looked at", "no look at it has succeeded");
    }
    let hindered = place.way.last().map(|(dir, _)| store.hindrance(*dir)).transpose()?.flatten().is_some();
    if !is_left_out && !hindered && !place.way.is_empty() {
        let why = if place.is_reached {
            // What vanished while it waited was seen, and leaves no record; nor does a link whose name tells what it is.
            "not on record".clone_into(&mut told.state);
            "at the last look it was not there, or was no file; or it came and went before it was complete"
        } else {
            "its directory was not there at the last look"
        };
        told.add("so", format!("no pattern of the last run leaves it out: {why}"));
    }
    Ok(())
}

/// Which pattern of the last run leaves a name out.
fn left_out(
    patterns: &Patterns,
    directory: &RelPath,
    name: &[u8],
    is_file: bool,
) -> Option<(&'static str, String)> {
    let hits = |pattern: &&String| {
        let rules = FileRules::new([], [pattern.as_str()], []).ok();
        rules.is_some_and(|rules| {
            let is_taken = rules.judge(directory, name) != Judgement::Ignored;
            if is_file { !is_taken } else { !rules.enters(directory, name) }
        })
    };
    if let Some(pattern) = patterns.exclude.iter().find(hits) {
        let is_default = JUNK.contains(&pattern.as_str());
        let which = if is_default { "left out by default" } else { "left out by --exclude" };
        return Some((which, format!("matches {pattern}")));
    }
    let include = patterns.include.iter().map(String::as_str);
    let rules = FileRules::new(include, [], []).ok().filter(|_| is_file)?;
    (rules.judge(directory, name) == Judgement::Ignored)
        .then(|| ("left out by --include", format!("matches none of {}", patterns.include.join(" "))))
}

fn directory(row: &DirRow, told: &mut Explanation) {
    told.add("directory last looked at", or_never(row.looked_at));
    if row.stamp.is_none() {
        told.add("directory", "never listed with all its files on record: it is listed again");
    } else if row.racy {
        told.add("directory", "its stamp was too young to prove that nothing was missed: it is listed again");
    }
}

fn or_never(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}
