//! What a listing says that was not known. Pure.

use std::collections::{HashMap, HashSet};

use super::table::Children;
use crate::model::{Name, RelPath, Spreading, Timestamp};
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
    pub name: Name,
    /// The number that came with it.
    pub fileid: u64,
    /// Whether its type came with it: a regular file then.
    pub is_file: bool,
    /// What is known under this name: of most names nothing.
    pub known: Option<Box<KnownFile>>,
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
    if view.known.is_empty() {
        diff.news.reserve_exact(listing.entries.len());
    }
    let records = Records::of(listing, view.known);
    for (entry, known) in listing.entries.iter().zip(&records.of_entries) {
        match entry.kind {
            EntryKind::Other => {}
            EntryKind::Directory => diff.directory(entry, view),
            EntryKind::Unknown if view.children.contains_key(&*entry.name) => diff.directory(entry, view),
            EntryKind::File | EntryKind::Unknown => diff.file(entry, *known, view),
        }
    }
    if listing.coverage == Coverage::Complete {
        diff.find_gone(listing, &records, view);
    }
    diff
}

/// Which record belongs to which name.
///
/// Nearly all names are known with the numbers that came with them. So records are found by number, which takes no look at
/// other names; by name only those that are left.
struct Records<'a> {
    /// The record of each name that is, or may be, a file's.
    of_entries: Vec<Option<&'a KnownFile>>,
    /// The records of names that are not there.
    of_none: Vec<&'a KnownFile>,
}

impl<'a> Records<'a> {
    fn of(listing: &Listing, known: &'a Known) -> Self {
        let mut by_number: HashMap<u64, usize, Spreading> = HashMap::default();
        by_number.reserve(known.len());
        by_number.extend(known.iter().zip(0..).map(|(known, place)| (known.file.stamp.fileid, place)));
        let mut absent: Vec<Option<&KnownFile>> = known.iter().map(Some).collect();
        let mut found = |entry: &Entry, place: Option<&usize>| {
            absent.get_mut(*place?)?.take_if(|known| *known.file.name == *entry.name)
        };
        let of_file = |entry: &Entry| may_be(entry, EntryKind::File);
        let entries = || listing.entries.iter();
        let by_their_number =
            |entry: &Entry| if of_file(entry) { found(entry, by_number.get(&entry.fileid)) } else { None };
        let mut of_entries: Vec<_> = entries().map(by_their_number).collect();
        let left = absent.iter().zip(0..).filter_map(|(known, place)| Some((*known.as_ref()?, place)));
        let by_name: HashMap<&[u8], usize> = left.map(|(known, place)| (&*known.file.name, place)).collect();
        for (entry, record) in entries().zip(&mut of_entries) {
            if record.is_none() && of_file(entry) {
                let place = by_name.get(&*entry.name);
                *record = place.and_then(|place| absent.get_mut(*place)?.take());
            }
        }
        Self { of_entries, of_none: absent.into_iter().flatten().collect() }
    }
}

impl Diff {
    fn directory(&mut self, entry: &Entry, view: &View<'_>) {
        if view.rules.enters(view.path, &entry.name) {
            self.directories.push((Box::from(&*entry.name), entry.fileid));
        }
    }

    fn file(&mut self, entry: &Entry, known: Option<&KnownFile>, view: &View<'_>) {
        if !needs_look(entry, known, view) {
            return;
        }
        let judgement = view.rules.judge(view.path, &entry.name);
        // If its type did not come with it, it may be a directory's: one LOOKUP tells, once.
        let may_be_entered = || entry.kind == EntryKind::Unknown && view.rules.enters(view.path, &entry.name);
        if judgement != Judgement::Ignored || may_be_entered() {
            self.news.push(news(entry, known, judgement));
        }
    }

    /// A file whose name is a directory's now is gone as well, and the other way round.
    fn find_gone(&mut self, listing: &Listing, records: &Records<'_>, view: &View<'_>) {
        let is_gone = |known: &&&KnownFile| known.file.gone_since.is_none();
        self.gone_files.extend(records.of_none.iter().filter(is_gone).copied().cloned());
        let is_forgotten =
            |known: &&&KnownFile| known.file.gone_since.is_some_and(|since| since < view.forget_before);
        self.forgotten_files.extend(records.of_none.iter().filter(is_forgotten).copied().cloned());
        let names = |kind| listing.entries.iter().filter(move |entry| may_be(entry, kind));
        let waiting = names(EntryKind::File).filter(|entry| view.waiting.contains_key(&*entry.name));
        let waiting: HashSet<&[u8]> = waiting.map(|entry| &*entry.name).collect();
        let gone = view.waiting.keys().filter(|name| !waiting.contains(name.as_slice())).cloned();
        self.gone_waiting.extend(gone);
        let children: HashSet<DirId> = names(EntryKind::Directory)
            .filter_map(|entry| view.children.get(&*entry.name))
            .copied()
            .collect();
        self.gone_directories.extend(view.children.values().filter(|child| !children.contains(child)));
        // In a fixed order, so that the same listings lead to the same schedule.
        self.gone_directories.sort_unstable();
    }
}

/// Whether a name is of this kind, or may be.
fn may_be(entry: &Entry, kind: EntryKind) -> bool {
    entry.kind == kind || entry.kind == EntryKind::Unknown
}

fn needs_look(entry: &Entry, known: Option<&KnownFile>, view: &View<'_>) -> bool {
    if view.waiting.get(&*entry.name) == Some(&entry.fileid) {
        return false;
    }
    known.is_none_or(|known| {
        let file = &known.file;
        let audited = view.every_file && file.content != Content::NotAFile;
        audited || file.gone_since.is_some() || file.stamp.fileid != entry.fileid
    })
}

fn news(entry: &Entry, known: Option<&KnownFile>, judgement: Judgement) -> News {
    News {
        name: entry.name.clone(),
        fileid: entry.fileid,
        is_file: entry.kind == EntryKind::File,
        known: known.cloned().map(Box::new),
        judgement,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{ContentHash, Stamp, Timestamp};
    use crate::mount::{Action, MountError};
    use crate::store::SeenFile;

    fn entry(name: &str, fileid: u64, kind: EntryKind) -> Entry {
        Entry { name: name.as_bytes().into(), fileid, kind }
    }

    fn known(name: &str, fileid: u64, gone: bool) -> KnownFile {
        let file = SeenFile {
            name: name.as_bytes().into(),
            stamp: Stamp { fileid, ..Stamp::default() },
            content: Content::Hashed(ContentHash([0; 32])),
            seq: 1,
            gone_since: gone.then(Timestamp::default),
        };
        KnownFile { run: 0, file }
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

    /// Names, numbers that several may have, and whether gone: what a record, an entry of a listing may be.
    fn some() -> impl Strategy<Value = Vec<(u8, u64, bool)>> {
        let one = (0..12_u8, 0..8_u64, any::<bool>());
        proptest::collection::vec(one, 0..16).prop_map(|mut all| {
            all.sort_unstable_by_key(|one| one.0);
            all.dedup_by_key(|one| one.0);
            all
        })
    }

    proptest! {
        /// Against looking for each name among all.
        #[test]
        fn records_belong_to_names(records in some(), entries in some()) {
            let name = |number: u8| format!("{number}.tgz");
            let files: Known =
                records.iter().map(|(number, fileid, gone)| known(&name(*number), *fileid, *gone)).collect();
            let entries: Vec<Entry> = entries
                .into_iter()
                .map(|(number, fileid, is_file)| {
                    let kind = if is_file { EntryKind::File } else { EntryKind::Unknown };
                    entry(&name(number), fileid, kind)
                })
                .collect();
            let view = View {
                path: &RelPath::root(),
                known: &files,
                children: &Children::new(),
                waiting: &HashMap::new(),
                rules: &FileRules::default(),
                forget_before: Timestamp { seconds: 1, nanoseconds: 0 },
                every_file: false,
            };
            let found = diff(&Listing { entries: entries.clone(), coverage: Coverage::Complete }, &view);
            let record = |entry: &Entry| files.iter().find(|known| *known.file.name == *entry.name);
            let is_as_it_was = |known: &KnownFile, entry: &Entry| {
                known.file.gone_since.is_none() && known.file.stamp.fileid == entry.fileid
            };
            let expected: Vec<_> = entries
                .iter()
                .map(|entry| (entry.name.clone(), record(entry).cloned(), entry))
                .filter(|(_, known, entry)| known.as_ref().is_none_or(|known| !is_as_it_was(known, entry)))
                .map(|(name, known, _)| (name, known))
                .collect();
            let news: Vec<_> = found.news.into_iter().map(|news| (news.name, news.known.map(|known| *known))).collect();
            prop_assert_eq!(news, expected);
            let is_absent = |known: &&KnownFile| entries.iter().all(|entry| *entry.name != *known.file.name);
            let (forgotten, gone): (Vec<KnownFile>, Vec<KnownFile>) = files
                .iter()
                .filter(is_absent)
                .cloned()
                .partition(|known| known.file.gone_since.is_some());
            prop_assert_eq!((found.forgotten_files, found.gone_files), (forgotten, gone));
        }
    }

    #[test]
    fn enters_directories_but_not_junk() {
        let directory = |name| entry(name, 5, EntryKind::Directory);
        let diff =
            compare(&[directory("new"), directory(".snapshot"), directory("lost+found")], true, false).1;
        assert_eq!(diff.directories, [(Box::from(b"new".as_slice()), 5)]);
    }
}
