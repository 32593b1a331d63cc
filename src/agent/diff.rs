//! What a listing says that was not known. Pure.

use std::collections::{HashMap, HashSet};

use super::table::Children;
use crate::model::{RelPath, Timestamp};
use crate::mount::{Coverage, Entry, EntryKind, Listing};
use crate::rules::{FileRules, Judgement};
use crate::store::{Content, DirId, Known, KnownFile};

/// What is known of a directory before it was listed.
pub(super) struct View<'a> {
    /// Its path.
    pub path: &'a RelPath,
    /// Its files.
    pub known: &'a Known,
    /// Its sub-directories.
    pub children: &'a Children,
    /// Its waiting files: the fileid of each name.
    pub waiting: &'a HashMap<Vec<u8>, u64>,
    /// Which names count.
    pub rules: &'a FileRules,
    /// Files gone since before this wall time are forgotten.
    pub(super) forget_before: Timestamp,
    /// Whether known files are looked at too: the audit for files rewritten in place.
    pub every_file: bool,
}

/// A name that needs a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    /// The name.
    pub name: Box<[u8]>,
    /// The number that came with it.
    pub fileid: u64,
    /// Whether its type came with it: a regular file then.
    pub is_file: bool,
    /// What is known under this name.
    pub known: Option<KnownFile>,
    /// What the name says.
    pub judgement: Judgement,
}

/// The difference.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// Names to look at.
    pub news: Vec<News>,
    /// Sub-directories that are there, known or not, each with the number that came with it.
    pub directories: Vec<(Box<[u8]>, u64)>,
    /// Known files that are not there any more.
    pub gone_files: Vec<KnownFile>,
    /// Known files that have been gone for long.
    pub(super) forgotten_files: Vec<KnownFile>,
    /// Waiting files that are not there any more.
    pub gone_waiting: Vec<Vec<u8>>,
    /// Known sub-directories that are not there any more.
    pub gone_directories: Vec<DirId>,
}

/// Compares a listing with what is known. Only a complete one says that something is gone.
#[must_use]
pub(super) fn diff(listing: &Listing, view: &View<'_>) -> Diff {
    let mut diff = Diff::default();
    for entry in &listing.entries {
        match entry.kind {
            EntryKind::Other => {}
            EntryKind::Directory => diff.directory(entry, view),
            EntryKind::File => diff.file(entry, view),
            EntryKind::Unknown if view.children.contains_key(&entry.name) => diff.directory(entry, view),
            EntryKind::Unknown => diff.unknown(entry, view),
        }
    }
    if listing.coverage == Coverage::Complete {
        diff.find_gone(listing, view);
    }
    diff
}

impl Diff {
    fn directory(&mut self, entry: &Entry, view: &View<'_>) {
        if view.rules.enters(view.path, &entry.name) {
            self.directories.push((entry.name.clone(), entry.fileid));
        }
    }

    fn file(&mut self, entry: &Entry, view: &View<'_>) {
        let judgement = view.rules.judge(view.path, &entry.name);
        if judgement != Judgement::Ignored && needs_look(entry, view) {
            self.news.push(news(entry, view, judgement));
        }
    }

    /// A name whose type did not come with it: one LOOKUP tells, once.
    fn unknown(&mut self, entry: &Entry, view: &View<'_>) {
        let judgement = view.rules.judge(view.path, &entry.name);
        let counts = judgement != Judgement::Ignored || view.rules.enters(view.path, &entry.name);
        if counts && needs_look(entry, view) {
            self.news.push(news(entry, view, judgement));
        }
    }

    fn find_gone(&mut self, listing: &Listing, view: &View<'_>) {
        // A file whose name is a directory's now is gone as well, and the other way round.
        let files = names_of(listing, EntryKind::File);
        let is_gone = |known: &&KnownFile| {
            known.file.gone_since.is_none() && !files.contains(known.file.name.as_slice())
        };
        self.gone_files.extend(view.known.values().filter(is_gone).cloned());
        let is_forgotten = |known: &&KnownFile| {
            let long_gone = known.file.gone_since.is_some_and(|since| since < view.forget_before);
            long_gone && !files.contains(known.file.name.as_slice())
        };
        self.forgotten_files.extend(view.known.values().filter(is_forgotten).cloned());
        let gone = view.waiting.keys().filter(|name| !files.contains(name.as_slice())).cloned();
        self.gone_waiting.extend(gone);
        let directories = names_of(listing, EntryKind::Directory);
        let gone = view.children.iter().filter(|(name, _)| !directories.contains(&***name));
        self.gone_directories.extend(gone.map(|(_, id)| *id));
        // In a fixed order, so that the same listings lead to the same schedule.
        self.gone_directories.sort_unstable();
    }
}

/// The names that are of this kind, or may be.
fn names_of(listing: &Listing, kind: EntryKind) -> HashSet<&[u8]> {
    let may_be = |entry: &&Entry| entry.kind == kind || entry.kind == EntryKind::Unknown;
    listing.entries.iter().filter(may_be).map(|entry| &*entry.name).collect()
}

fn needs_look(entry: &Entry, view: &View<'_>) -> bool {
    if view.waiting.get(&*entry.name) == Some(&entry.fileid) {
        return false;
    }
    view.known.get(&*entry.name).is_none_or(|known| {
        let file = &known.file;
        let audited = view.every_file && file.content != Content::NotAFile;
        audited || file.gone_since.is_some() || file.stamp.fileid != entry.fileid
    })
}

fn news(entry: &Entry, view: &View<'_>, judgement: Judgement) -> News {
    News {
        name: entry.name.clone(),
        fileid: entry.fileid,
        is_file: entry.kind == EntryKind::File,
        known: view.known.get(&*entry.name).cloned(),
        judgement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, Stamp, Timestamp};
    use crate::mount::{Action, MountError};
    use crate::store::SeenFile;

    fn entry(name: &str, fileid: u64, kind: EntryKind) -> Entry {
        Entry { name: name.as_bytes().into(), fileid, kind }
    }

    fn known(name: &str, fileid: u64, gone: bool) -> (Vec<u8>, KnownFile) {
        let file = SeenFile {
            name: name.into(),
            stamp: Stamp { fileid, ..Stamp::default() },
            content: Content::Hashed(ContentHash([0; 32])),
            seq: 1,
            gone_since: gone.then(Timestamp::default),
        };
        (name.into(), KnownFile { run: 0, file })
    }

    /// Forgets what is gone since time 0 if `every_file`. Knows `seen.tgz` (1), `gone.tgz` (2, gone), the directory `sub`, and waits for `slow.tgz` (3).
    fn compare(entries: &[Entry], complete: bool, every_file: bool) -> (Vec<String>, Diff) {
        let known = Known::from([known("seen.tgz", 1, false), known("gone.tgz", 2, true)]);
        let children = Children::from([(b"sub".as_slice().into(), DirId(9))]);
        let partial =
            MountError { action: Action::List, path: RelPath::root(), errno: rustix::io::Errno::IO };
        let coverage = if complete { Coverage::Complete } else { Coverage::Partial(partial) };
        let view = View {
            path: &RelPath::root(),
            known: &known,
            children: &children,
            waiting: &HashMap::from([(b"slow.tgz".to_vec(), 3)]),
            rules: &FileRules::default(),
            forget_before: Timestamp { seconds: i64::from(!complete || every_file), nanoseconds: 0 },
            every_file,
        };
        let diff = diff(&Listing { entries: entries.to_vec(), coverage }, &view);
        (diff.news.iter().map(|news| String::from_utf8_lossy(&news.name).into_owned()).collect(), diff)
    }

    #[track_caller]
    fn check(entries: &[Entry], expected: &[&str]) {
        assert_eq!(compare(entries, true, false).0, expected);
    }

    #[test]
    fn only_what_is_not_known_is_news() {
        use EntryKind::{Directory, File, Other, Unknown};
        check(&[entry("seen.tgz", 1, File)], &[]);
        check(&[entry("seen.tgz", 1, Unknown)], &[]);
        check(&[entry("seen.tgz", 7, Unknown)], &["seen.tgz"]);
        check(&[entry("gone.tgz", 2, File)], &["gone.tgz"]);
        check(&[entry("slow.tgz", 3, File)], &[]);
        check(&[entry("slow.tgz", 4, File)], &["slow.tgz"]);
        check(&[entry("new.tgz", 5, File), entry("other", 6, Unknown)], &["new.tgz", "other"]);
        check(&[entry("link.tgz", 5, Other), entry("sub", 6, Unknown), entry(".nfs1", 7, File)], &[]);
        check(&[entry("dir", 5, Directory)], &[]);
        assert_eq!(compare(&[entry("seen.tgz", 1, File)], true, true).0, ["seen.tgz"]);
    }

    #[test]
    fn only_a_complete_listing_says_that_something_is_gone() {
        let diff = compare(&[], true, false).1;
        assert_eq!(diff.gone_files.len(), 1);
        assert_eq!(diff.gone_directories, [DirId(9)]);
        assert_eq!(diff.gone_waiting, [b"slow.tgz".to_vec()]);
        assert_eq!(compare(&[], false, false).1, Diff::default());
        assert_eq!(diff.forgotten_files.len(), 0);
        assert_eq!(compare(&[], true, true).1.forgotten_files.len(), 1, "gone since before the limit");
    }

    #[test]
    fn a_name_of_another_kind_is_not_the_known_one() {
        let swapped = |kind| [entry("seen.tgz", 1, kind), entry("slow.tgz", 3, kind), entry("sub", 6, kind)];
        let gone = |kind| {
            let diff = compare(&swapped(kind), true, false).1;
            (diff.gone_files.len(), diff.gone_waiting.len(), diff.gone_directories.len())
        };
        assert_eq!(gone(EntryKind::File), (0, 0, 1));
        assert_eq!(gone(EntryKind::Directory), (1, 1, 0));
        assert_eq!(gone(EntryKind::Other), (1, 1, 1));
        assert_eq!(gone(EntryKind::Unknown), (0, 0, 0));
    }

    #[test]
    fn enters_directories_but_not_junk() {
        let directory = |name| entry(name, 5, EntryKind::Directory);
        let diff =
            compare(&[directory("new"), directory(".snapshot"), directory("lost+found")], true, false).1;
        assert_eq!(diff.directories, [(Box::from(b"new".as_slice()), 5)]);
    }
}
