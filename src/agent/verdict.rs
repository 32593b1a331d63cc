//! What a file that was read is: news, known, or not complete. Pure.

use crate::intake::Reading;
use crate::model::{Kind, Stamp};
use crate::store::{Content, SeenFile, WaitReason};

/// The verdict on a file that was read whole and steady.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has the content that it had: only its stamp is noted.
    Same,
    /// It is known under another path: recorded here, neither counted nor sent.
    Moved,
    /// It is handed over.
    HandOver(Kind),
    /// It is not complete.
    Wait(WaitReason),
}

/// What the verdict depends on besides the content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// What is known under its path.
    pub known: Option<&'a SeenFile>,
    /// Its stamp.
    pub stamp: Stamp,
    /// Whether its number and content are known under another path.
    pub known_elsewhere: bool,
    /// Whether it is handed over as broken rather than waiting longer.
    pub last_chance: bool,
}

/// Judges a file.
#[must_use]
pub(super) fn judge(reading: &Reading, circumstances: &Circumstances<'_>) -> Verdict {
    match circumstances.known.map(|file| file.content) {
        Some(Content::Hashed(hash)) if hash == reading.blake3 => return Verdict::Same,
        Some(Content::Unread) if is_same_file(circumstances) => return Verdict::Same,
        _ => {}
    }
    if circumstances.known_elsewhere {
        return Verdict::Moved;
    }
    if !reading.analysis.status.is_broken() {
        let replaced = circumstances.known.is_some_and(|file| file.content != Content::NotAFile);
        return Verdict::HandOver(if replaced { Kind::Replaced } else { Kind::Appeared });
    }
    if circumstances.last_chance {
        return Verdict::HandOver(Kind::Broken);
    }
    Verdict::Wait(WaitReason::Broken { analysis: reading.analysis.clone(), blake3: reading.blake3 })
}

/// Whether a file of the baseline, whose content was never read, is still the file that it was: all that can be told.
fn is_same_file(circumstances: &Circumstances<'_>) -> bool {
    circumstances.known.is_some_and(|file| file.stamp.fileid == circumstances.stamp.fileid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Analysis, AnalysisStatus, ContentHash};

    fn seen(content: Content) -> SeenFile {
        let stamp = Stamp { fileid: 1, ..Stamp::default() };
        SeenFile { name: b"a".as_slice().into(), stamp, content, seq: 1, gone_since: None }
    }

    fn reading(status: AnalysisStatus) -> Reading {
        let analysis = Analysis { status, detail: None };
        Reading {
            blake3: ContentHash([1; 32]),
            size: 1,
            analysis,
            jobdata_text: None,
            figures: None,
            experiments: Vec::new(),
        }
    }

    #[track_caller]
    fn check(
        known: Option<Content>,
        fileid: u64,
        status: AnalysisStatus,
        flags: (bool, bool),
        expected: &str,
    ) {
        let known = known.map(seen);
        let circumstances = Circumstances {
            known: known.as_ref(),
            stamp: Stamp { fileid, ..Stamp::default() },
            known_elsewhere: flags.0,
            last_chance: flags.1,
        };
        let verdict = match judge(&reading(status), &circumstances) {
            Verdict::HandOver(kind) => kind.as_str(),
            Verdict::Same => "same",
            Verdict::Moved => "moved",
            Verdict::Wait(_) => "wait",
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn judges_each_case() {
        use AnalysisStatus::{Ok, Truncated, Unread};
        let (same, other) = (Content::Hashed(ContentHash([1; 32])), Content::Hashed(ContentHash([2; 32])));
        check(None, 1, Ok, (false, false), "appeared");
        check(None, 1, Unread, (false, false), "appeared");
        check(None, 1, Ok, (true, false), "moved");
        check(None, 1, Truncated, (false, false), "wait");
        check(None, 1, Truncated, (false, true), "broken");
        check(Some(same), 7, Ok, (true, false), "same");
        check(Some(same), 7, Truncated, (false, true), "same");
        check(Some(other), 7, Ok, (false, false), "replaced");
        check(Some(other), 7, Truncated, (false, false), "wait");
        check(Some(other), 7, Truncated, (false, true), "broken");
        check(Some(Content::Unread), 1, Ok, (false, false), "same");
        check(Some(Content::Unread), 7, Ok, (false, false), "replaced");
        check(Some(Content::NotAFile), 7, Ok, (false, false), "appeared");
    }
}
