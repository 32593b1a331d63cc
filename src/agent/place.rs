//! Where a path that a person names lies in the store: its root, the directories on the way, its own records.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::model::RelPath;
use crate::store::{DirId, DirRow, KnownFile, RootId, RootRow, Store, StoreError, WaitRow};

/// A path below a known root.
#[derive(Debug)]
pub(super) struct Place {
    /// The root.
    pub root: (RootId, RootRow),
    /// The path below it.
    pub path: RelPath,
    /// The directories known on the way, the root's own first.
    pub way: Vec<(DirId, DirRow)>,
    /// Whether the last of them is the path itself.
    pub is_directory: bool,
    /// Whether the last of them is the directory that holds the path.
    pub is_reached: bool,
}

impl Place {
    /// Finds `path`, which is absolute; `None` if no root of the store holds it.
    pub(super) fn find(store: &Store, path: &Path) -> Result<Option<Self>, StoreError> {
        let below = |root: &RootRow| {
            let root = Path::new(std::ffi::OsStr::from_bytes(&root.path));
            path.strip_prefix(root).ok().map(|rest| RelPath::from_bytes(rest.as_os_str().as_bytes()))
        };
        let held = store.roots()?.into_iter().filter_map(|root| below(&root.1).map(|path| (root, path)));
        let Some((root, path)) = held.min_by_key(|(_, path)| path.as_bytes().len()) else { return Ok(None) };
        let rows: Vec<_> = store
            .directories()
            .filter(|entry| entry.as_ref().map_or(true, |(_, row)| row.root == root.0))
            .collect::<Result<_, _>>()?;
        let child = |parent: Option<DirId>, name: &[u8]| {
            rows.iter().find(|(_, row)| row.parent == parent && row.name == name).cloned()
        };
        let mut way = Vec::new();
        let components: Vec<&[u8]> = if path.is_root() { Vec::new() } else { path.components().collect() };
        let mut next = child(None, b"");
        let mut names = components.iter();
        while let Some(found) = next {
            let parent = found.0;
            way.push(found);
            next = names.next().and_then(|name| child(Some(parent), name));
        }
        let is_directory = way.len() == components.len() + 1;
        let is_reached = way.len() == components.len();
        Ok(Some(Self { root, path, way, is_directory, is_reached }))
    }

    /// What is known of it as a file.
    pub(super) fn known(&self, store: &Store) -> Result<Option<KnownFile>, StoreError> {
        match self.way.last().filter(|_| self.is_reached) {
            Some((dir, _)) => store.known_file(*dir, self.path.name()),
            None => Ok(None),
        }
    }

    /// Its record as a file that waits.
    pub(super) fn waiting(&self, store: &Store) -> Result<Option<WaitRow>, StoreError> {
        let Some((holder, _)) = self.way.last().filter(|_| self.is_reached) else { return Ok(None) };
        let rows = store.waiting()?.into_iter();
        Ok(rows.filter(|(dir, name, _)| dir == holder && name == self.path.name()).map(|row| row.2).next())
    }
}
