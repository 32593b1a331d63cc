//! The directories, in memory: the tree as it was last seen.

use std::collections::HashMap;

use crate::model::{Name, Numbered, RelPath, Spreading, Stamp, Timestamp};
use crate::store::{DirId, DirRow, RootId};

/// A directory. What a look at one that is as it was needs comes first and lies together.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Directory {
    /// Its stamp before the last listing whose news were all recorded.
    pub stamp: Option<Stamp>,
    /// Steady time at which that stamp was first seen.
    pub stamp_since: Timestamp,
    /// Whether that stamp was too young to prove anything.
    pub racy: bool,
    /// Whether the store has a row on why it cannot be read.
    pub hindered: bool,
    /// Whether its next look lists it whatever its stamp says.
    pub audit: bool,
    /// Whether it was found in the first walk of its root.
    pub first_contact: bool,
    /// Whether it lies on another file system and is left alone.
    pub excluded: bool,
    /// Whether a one-shot run has looked at it.
    pub done: bool,
    /// Whether a look may have left it held open, in this run.
    pub held: bool,
    /// The round in which it is asked; 0 for none.
    pub round: u32,
    /// Looks in a row that failed.
    pub failures: u32,
    /// Wall time since when it is gone.
    pub gone_since: Option<Timestamp>,
    /// Wall time of the last look that found it as known.
    pub looked_at: Option<Timestamp>,
    /// The engine's number of its root.
    pub root: usize,
    /// The directory that holds it.
    pub parent: Option<DirId>,
    /// Its name there.
    pub name: Name,
    /// The number with which its parent's listing showed it last, in this run.
    pub fileid: Option<u64>,
}

impl Directory {
    /// A directory just found.
    #[must_use]
    pub(super) fn found(root: usize, parent: Option<DirId>, name: &[u8]) -> Self {
        Self {
            root,
            parent,
            name: name.into(),
            fileid: None,
            stamp: None,
            racy: false,
            stamp_since: Timestamp::default(),
            looked_at: None,
            gone_since: None,
            hindered: false,
            failures: 0,
            audit: false,
            first_contact: false,
            excluded: false,
            done: false,
            held: false,
            round: 0,
        }
    }

    fn from_row(root: usize, row: &DirRow) -> Self {
        Self {
            stamp: row.stamp,
            racy: row.racy,
            stamp_since: row.stamp_since,
            looked_at: row.looked_at,
            gone_since: row.gone_since,
            ..Self::found(root, row.parent, &row.name)
        }
    }

    /// As it is stored.
    #[must_use]
    pub(super) fn row(&self, root: RootId) -> DirRow {
        DirRow {
            root,
            parent: self.parent,
            name: self.name.to_vec(),
            stamp: self.stamp,
            racy: self.racy,
            stamp_since: self.stamp_since,
            looked_at: self.looked_at,
            gone_since: self.gone_since,
        }
    }
}

/// Names of the sub-directories of one directory.
pub(super) type Children = HashMap<Box<[u8]>, DirId>;

/// Every directory known.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Numbered<Directory>,
    children: HashMap<DirId, Children, Spreading>,
    no_children: Children,
}

impl Table {
    /// Adds a stored directory.
    pub(super) fn load(&mut self, id: DirId, root: usize, row: &DirRow) {
        self.insert(id, Directory::from_row(root, row));
    }

    /// Adds a directory.
    pub(super) fn insert(&mut self, id: DirId, directory: Directory) {
        if let Some(parent) = directory.parent {
            self.children.entry(parent).or_default().insert((*directory.name).into(), id);
        }
        self.rows.insert(id.0, directory);
    }

    /// Removes a directory that has no sub-directories.
    pub(super) fn remove(&mut self, id: DirId) {
        let Some(row) = self.rows.remove(id.0) else { return };
        if let Some(siblings) = row.parent.and_then(|parent| self.children.get_mut(&parent)) {
            siblings.remove(&*row.name);
        }
        self.children.remove(&id);
    }

    /// How many directories are known, gone ones included.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A directory.
    #[must_use]
    pub(super) fn get(&self, id: DirId) -> Option<&Directory> {
        self.rows.get(id.0)
    }

    /// A directory, to change.
    pub(super) fn get_mut(&mut self, id: DirId) -> Option<&mut Directory> {
        self.rows.get_mut(id.0)
    }

    /// The sub-directories of a directory, gone ones included.
    #[must_use]
    pub(super) fn children(&self, id: DirId) -> &Children {
        self.children.get(&id).unwrap_or(&self.no_children)
    }

    /// Every directory with its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (DirId, &Directory)> {
        self.rows.iter().map(|(id, row)| (DirId(id), row))
    }

    /// Every directory, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (DirId, &mut Directory)> {
        self.rows.iter_mut().map(|(id, row)| (DirId(id), row))
    }

    /// A directory and everything below it.
    #[must_use]
    pub(super) fn subtree(&self, id: DirId) -> Vec<DirId> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(dir) = found.get(next).copied() {
            let from = found.len();
            found.extend(self.children(dir).values());
            // In a fixed order, so that the same history leads to the same schedule.
            found.get_mut(from..).unwrap_or_default().sort_unstable();
            next += 1;
        }
        found
    }

    /// The path of a directory below its root.
    #[must_use]
    pub(super) fn path(&self, id: DirId) -> RelPath {
        let names = || {
            let row = |id: DirId| self.rows.get(id.0);
            let rows = std::iter::successors(row(id), move |below| row(below.parent?));
            rows.map(|row| &*row.name).filter(|name| !name.is_empty())
        };
        // From the end, into one piece of memory.
        let mut left: usize = names().map(|name| name.len() + 1).sum();
        let mut path = vec![b'/'; left.saturating_sub(1)];
        for name in names() {
            left -= name.len() + 1;
            if let Some(place) = path.get_mut(left..left + name.len()) {
                place.copy_from_slice(name);
            }
        }
        RelPath::from_bytes(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_paths_and_subtrees() {
        let mut table = Table::default();
        table.insert(DirId(1), Directory::found(0, None, b""));
        table.insert(DirId(2), Directory::found(0, Some(DirId(1)), b"a"));
        table.insert(DirId(3), Directory::found(0, Some(DirId(2)), b"b"));
        assert_eq!(table.path(DirId(3)), RelPath::from("a/b"));
        assert_eq!(table.path(DirId(1)), RelPath::root());
        assert_eq!(table.subtree(DirId(2)), [DirId(2), DirId(3)]);
        assert_eq!(table.children(DirId(1)).get(b"a".as_slice()), Some(&DirId(2)));
    }
}
