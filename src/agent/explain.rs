//! What the store knows of one path, for the question why a file was or was not handed over.

use std::path::Path;

use super::file::reason_in_words;
use super::place::Place;
use crate::model::{Handover, MessageId, Timestamp};
use crate::rules::{FileRules, JUNK, Judgement};
use crate::status::Explanation;
use crate::store::{Content, DirRow, SeenFile, Store, StoreError, WaitRow};

/// Explains `path`, which is absolute.
pub(super) fn explain(store: &Store, path: &Path) -> Result<Explanation, StoreError> {
    let mut told = Explanation::new(path.display().to_string());
    let Some(place) = Place::find(store, path)? else {
        "not below any directory that this agent watches or watched".clone_into(&mut told.state);
        for (_, root) in store.roots()? {
            told.add("watched", String::from_utf8_lossy(&root.path));
        }
        return Ok(told);
    };
    told.add("root", String::from_utf8_lossy(&place.root.1.path));
    if place.is_directory {
        "a directory".clone_into(&mut told.state);
    } else if let Some(row) = place.waiting(store)? {
        waiting(&row, &mut told);
    } else if let Some(known) = place.known(store)? {
        seen(store, &place, &known.file, &mut told)?;
    } else {
        never_seen(&place, &mut told);
    }
    for (_, row) in &place.way {
        if let Some(since) = row.gone_since {
            told.add("a directory on the way is gone", format!("since {since}"));
        }
    }
    if let Some((_, row)) = place.way.last().filter(|_| place.is_directory || place.is_reached) {
        directory(row, &mut told);
    }
    Ok(told)
}

fn waiting(row: &WaitRow, told: &mut Explanation) {
    "waiting".clone_into(&mut told.state);
    told.add("why", reason_in_words(&row.reason));
    told.add("first seen", row.first_seen);
    told.add("its directory was last seen without it", or_never(row.not_before));
    told.add("size", row.stamp.size);
    told.add("modified, by the server's clock", row.stamp.mtime);
}

fn seen(store: &Store, place: &Place, file: &SeenFile, told: &mut Explanation) -> Result<(), StoreError> {
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
            sent(store, seq, told)?;
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

/// Which sinks have it: when each confirmed is not kept.
fn sent(store: &Store, seq: u64, told: &mut Explanation) -> Result<(), StoreError> {
    let refused = store.refused()?;
    for sink in crate::dispatch::SinkName::ALL {
        let Some(cursor) = store.cursor(sink.as_str())? else { continue };
        let reason = refused.iter().find(|(name, entry)| name == sink.as_str() && entry.seq == seq);
        let state = match reason {
            Some((_, entry)) => format!("refused: {}", entry.reason),
            None if cursor.confirmed >= seq => "confirmed".to_owned(),
            None => format!("not sent yet: {} handovers are before it", seq - cursor.confirmed - 1),
        };
        told.add(&format!("to {sink}"), state);
    }
    Ok(())
}

fn never_seen(place: &Place, told: &mut Explanation) {
    "never seen".clone_into(&mut told.state);
    let mut directory = crate::model::RelPath::root();
    let rules = FileRules::default();
    let components: Vec<&[u8]> = place.path.components().collect();
    for (depth, name) in components.iter().enumerate() {
        let is_file = depth + 1 == components.len();
        let left_out = if is_file {
            rules.judge(&directory, name) == Judgement::Ignored
        } else {
            !rules.enters(&directory, name)
        };
        if left_out {
            let name = name.escape_ascii();
            told.add("left out by default", format!("{name} matches one of {}", JUNK.join(" ")));
        } else if !is_file && depth + 1 == place.way.len() {
            let name = name.escape_ascii();
            told.add(
                "directory never seen",
                format!("{name}: left out (--exclude), on another mount, or new"),
            );
        }
        directory = directory.join(name);
    }
    if place.way.is_empty() {
        told.add("root never looked at", "no look at it has succeeded");
    }
    told.add("else", "left out by --include or --exclude of the run, or it came after the last look");
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
