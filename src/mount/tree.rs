//! A root and what lies below it, reached through held descriptors.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, open};
use rustix::io::Errno;

use crate::model::{RelPath, Stamp, Timestamp};

use super::handle::{Handle, Purpose};
use super::held::HeldOpen;
use super::identity::{Identity, bytes};
use super::names::{self, Listing};
use super::rpc::RpcCounts;
use super::{Action, MountError};

/// The longest path that one system call resolves, with room for its end.
const MAX_PATH_BYTES: usize = 4000;

/// How fresh attributes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// `statx` with `AT_STATX_FORCE_SYNC`: exactly one GETATTR, always fresh.
    #[default]
    Force,
    /// Opening the directory: close-to-open consistency revalidates it, except on `nocto` mounts.
    Open,
    /// A plain `statx`: fresh only where the client holds a delegation, else as old as the attribute cache.
    Plain,
}

/// How a tree is opened.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions {
    /// How fresh attributes are asked for.
    pub refresh: Refresh,
    /// Whether mount points below the root are left alone.
    pub one_file_system: bool,
    /// The most directories held open; with 0 none is, and each look costs finding the directory.
    pub max_open: usize,
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: never opened.
    Other,
}

/// Type and stamp of an inode, fresh from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Its stamp.
    pub stamp: Stamp,
}

/// A root, opened.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
    root: Arc<Handle>,
    identity: Identity,
    rpcs_at_start: Option<RpcCounts>,
    options: TreeOptions,
    held: Mutex<HeldOpen>,
}

impl Tree {
    /// Opens the root at `path`; a symbolic link is followed for the root itself only.
    pub fn open(path: &Path, options: TreeOptions) -> Result<Self, MountError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty())
            .map_err(|errno| MountError::new(Action::OpenRoot, &RelPath::from_bytes(bytes(path)), errno))?;
        let identity = Identity::of(path)?;
        let root = Handle::Descriptor(root);
        // A client that remembers the root's attributes opens it though the server no longer knows it.
        stat(&root, &RelPath::root(), AtFlags::STATX_FORCE_SYNC)?;
        let rpcs_at_start = RpcCounts::of(&identity.mount_point);
        let held = Mutex::new(HeldOpen::new(options.max_open));
        Ok(Self { path: path.to_path_buf(), root: Arc::new(root), identity, rpcs_at_start, options, held })
    }

    /// The tree below a directory of a simulated mount.
    #[cfg(test)]
    pub(crate) fn simulated(root: Handle, identity: Identity, options: TreeOptions) -> Self {
        let held = Mutex::new(HeldOpen::new(options.max_open));
        Self { path: PathBuf::new(), root: Arc::new(root), identity, rpcs_at_start: None, options, held }
    }

    /// The RPCs that the mount has cost since it was opened here; `None` if it is no NFS mount.
    #[must_use]
    pub fn rpcs(&self) -> Option<RpcCounts> {
        let start = self.rpcs_at_start.as_ref()?;
        Some(RpcCounts::of(&self.identity.mount_point)?.since(start))
    }

    /// What was found at the root when it was opened.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the root's path still leads to what was opened.
    pub fn is_in_place(&self) -> Result<bool, MountError> {
        self.identity.still_at(&self.path)
    }

    /// A directory, held open under the caller's number `id` until it is dropped or displaced.
    pub fn directory(&self, id: u64, path: &RelPath) -> Result<Arc<Handle>, MountError> {
        self.held_or_resolved(id, path).map(|(directory, _)| directory)
    }

    /// The same, and whether it was resolved only now.
    pub fn held_or_resolved(&self, id: u64, path: &RelPath) -> Result<(Arc<Handle>, bool), MountError> {
        if path.is_root() {
            return Ok((Arc::clone(&self.root), false));
        }
        if let Some(held) = self.held_open().get(id) {
            return Ok((held, false));
        }
        let opened = Arc::new(self.resolve(path, Purpose::Hold)?);
        self.hold(id, Arc::clone(&opened));
        Ok((opened, true))
    }

    /// Those of the directories that are held open, in the order asked for. Waits for no answer of the server.
    #[must_use]
    pub fn held(&self, ids: impl Iterator<Item = u64> + Clone) -> Vec<Option<Arc<Handle>>> {
        self.held_open().get_all(ids)
    }

    /// Whether `path` leads to the directory behind `directory`: a held descriptor follows a rename, its path does not.
    ///
    /// Asks the server for every directory above it, one GETATTR each, so that no cached name is believed.
    pub fn leads_to(&self, path: &RelPath, directory: &Handle) -> Result<bool, MountError> {
        let mut from = Arc::clone(&self.root);
        for name in path.components() {
            stat(&from, path, AtFlags::STATX_FORCE_SYNC)?;
            from = match from.directory_at(name, Purpose::Hold, self.options.one_file_system) {
                Ok(next) => Arc::new(next),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
                Err(errno) => return Err(MountError::new(Action::OpenDirectory, path, errno)),
            };
        }
        let place =
            |of: &Handle| of.place().map_err(|errno| MountError::new(Action::OpenDirectory, path, errno));
        Ok(place(&from)? == place(directory)?)
    }

    /// Lets go of the descriptor held under `id`: the next use resolves the path again.
    pub fn drop_directory(&self, id: u64) {
        let dropped = self.held_open().remove(id);
        drop(dropped);
    }

    /// The stamp of a directory, as fresh as [`Refresh`] promises.
    pub fn refresh(&self, directory: &Handle, path: &RelPath) -> Result<Stamp, MountError> {
        let ask = |flags| stat(directory, path, flags).map(|stat| stat.stamp);
        match self.options.refresh {
            Refresh::Force => ask(AtFlags::STATX_FORCE_SYNC),
            Refresh::Plain => ask(AtFlags::STATX_SYNC_AS_STAT),
            Refresh::Open => {
                let opened = names::open_for_names(directory, path)?;
                stat(&opened, path, AtFlags::STATX_SYNC_AS_STAT).map(|stat| stat.stamp)
            }
        }
    }

    /// When a directory was last read, by the server's clock: fresh, and only as true as the server keeps it.
    pub fn accessed(&self, directory: &Handle, path: &RelPath) -> Result<Timestamp, MountError> {
        directory.accessed().map_err(|errno| MountError::new(Action::Refresh, path, errno))
    }

    /// The names of a directory, through getdents, and from the server.
    ///
    /// Names that the client holds are dropped first: they may be of an earlier moment of the same tick, and show a name
    /// that is gone or hide one that is there. Where the stamp has moved since they were read, they are void anyway.
    pub fn names(&self, directory: &Handle, path: &RelPath) -> Result<Listing, MountError> {
        let opened = names::open_for_names(directory, path)?;
        names::drop_cached_names(&opened);
        Ok(names::list(&opened, path, false))
    }

    /// The names of a directory of which nothing is held, and the stamp that came with finding it or that the client
    /// remembers from before: no RPC asks for it. The directory is held afterwards, if any are.
    ///
    /// It is opened for reading where it is found: to open one that is held costs another GETATTR.
    pub fn first_names(&self, id: u64, path: &RelPath) -> Result<(Stamp, Listing), MountError> {
        let failed = |errno| MountError::new(Action::OpenDirectory, path, errno);
        let opened = self.resolve(path, Purpose::Names)?;
        let stamp = stat(&opened, path, AtFlags::STATX_DONT_SYNC)?.stamp;
        names::drop_cached_names(&opened);
        let listing = names::list(&opened, path, false);
        if self.options.max_open > 0 {
            let held =
                opened.directory_at(b".", Purpose::Hold, self.options.one_file_system).map_err(failed)?;
            self.hold(id, Arc::new(held));
        }
        Ok((stamp, listing))
    }

    /// Whether a descriptor is held under `id`.
    #[must_use]
    pub fn holds(&self, id: u64) -> bool {
        self.held_open().contains(id)
    }

    /// The names of a directory, through walkdir, and from the server.
    pub fn walk(&self, directory: &Handle, path: &RelPath) -> Result<Listing, MountError> {
        let opened = names::open_for_names(directory, path)?;
        names::drop_cached_names(&opened);
        Ok(names::list(&opened, path, true))
    }

    /// Type and stamp of `name` in a directory, fresh, never following a link.
    pub fn stat(&self, directory: &Handle, name: &[u8], path: &RelPath) -> Result<FileStat, MountError> {
        let found = directory.stat_at(name, AtFlags::STATX_FORCE_SYNC);
        found.map_err(|errno| MountError::new(Action::Refresh, path, errno))
    }

    /// The same, as it came with finding the name: for who needs no more than the type.
    pub fn find(&self, directory: &Handle, name: &[u8], path: &RelPath) -> Result<FileStat, MountError> {
        let found = directory.stat_at(name, AtFlags::STATX_DONT_SYNC);
        found.map_err(|errno| MountError::new(Action::Refresh, path, errno))
    }

    /// Opens the regular file `name` for reading; anything else is refused without waiting for a writer.
    pub fn open_file(&self, directory: &Handle, name: &[u8], path: &RelPath) -> Result<Handle, MountError> {
        directory.file_at(name).map_err(|errno| MountError::new(Action::OpenFile, path, errno))
    }

    /// Type and stamp of an open file, fresh.
    pub fn stat_open(&self, file: &Handle, path: &RelPath) -> Result<FileStat, MountError> {
        stat(file, path, AtFlags::STATX_FORCE_SYNC)
    }

    /// Opens a directory by its path, beneath the root.
    fn resolve(&self, path: &RelPath, purpose: Purpose) -> Result<Handle, MountError> {
        let failed = |errno| MountError::new(Action::OpenDirectory, path, errno);
        let pieces = pieces(path);
        let mut opened = None;
        for (number, piece) in pieces.iter().enumerate() {
            let from = opened.as_ref().unwrap_or(&*self.root);
            let purpose = if number + 1 == pieces.len() { purpose } else { Purpose::Hold };
            let next = from.directory_at(piece, purpose, self.options.one_file_system);
            opened = Some(next.map_err(failed)?);
        }
        opened.ok_or_else(|| failed(Errno::INVAL))
    }

    /// Whatever is closed for it is closed when nobody waits for the lock.
    fn hold(&self, id: u64, directory: Arc<Handle>) {
        let displaced = self.held_open().put(id, directory);
        drop(displaced);
    }

    fn held_open(&self) -> std::sync::MutexGuard<'_, HeldOpen> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a path into pieces that one system call each can resolve.
fn pieces(path: &RelPath) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for name in path.components() {
        match pieces.last_mut() {
            Some(piece) if piece.len() + 1 + name.len() <= MAX_PATH_BYTES => {
                piece.push(b'/');
                piece.extend_from_slice(name);
            }
            _ => pieces.push(name.to_vec()),
        }
    }
    pieces
}

fn stat(handle: &Handle, path: &RelPath, flags: AtFlags) -> Result<FileStat, MountError> {
    handle.stat(flags).map_err(|errno| MountError::new(Action::Refresh, path, errno))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::openat;

    use super::*;
    use crate::mount::{Coverage, EntryKind};

    fn open_tree(path: &Path) -> Tree {
        open_holding(path, 4)
    }

    fn open_holding(path: &Path, max_open: usize) -> Tree {
        Tree::open(path, TreeOptions { refresh: Refresh::Force, one_file_system: true, max_open }).unwrap()
    }

    #[test]
    fn lists_the_same_names_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        fs::create_dir(folder.path().join("dir")).unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        let tree = open_tree(folder.path());
        let (path, root) = (RelPath::root(), tree.directory(0, &RelPath::root()).unwrap());
        let mut one = tree.names(&root, &path).unwrap();
        let mut other = tree.walk(&root, &path).unwrap();
        one.entries.sort_by(|a, b| a.name.cmp(&b.name));
        other.entries.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(one, other);
        assert_eq!(one.coverage, Coverage::Complete);
        let kinds: Vec<_> = one.entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [EntryKind::Directory, EntryKind::File, EntryKind::Other]);
        let stat = tree.stat(&root, b"file", &path).unwrap();
        assert_eq!(
            (stat.kind, stat.stamp.size, stat.stamp.fileid),
            (FileKind::File, 1, one.entries[1].fileid)
        );
    }

    #[test]
    fn first_names_are_those_of_a_directory_that_is_held_then() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d/file"), "").unwrap();
        let tree = open_tree(folder.path());
        let path = RelPath::from("d");
        assert!(!tree.holds(1));
        let (stamp, listing) = tree.first_names(1, &path).unwrap();
        assert!(tree.holds(1));
        let held = tree.directory(1, &path).unwrap();
        assert_eq!(stamp, tree.refresh(&held, &path).unwrap());
        assert_eq!(listing, tree.names(&held, &path).unwrap());
    }

    #[test]
    fn never_follows_a_link_out_of_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/etc", folder.path().join("etc")).unwrap();
        let tree = open_tree(folder.path());
        let error = tree.directory(1, &RelPath::from("etc")).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        let root = tree.directory(0, &RelPath::root()).unwrap();
        assert_eq!(tree.stat(&root, b"etc", &RelPath::root()).unwrap().kind, FileKind::Other);
        assert!(tree.open_file(&root, b"etc", &RelPath::root()).is_err());
    }

    #[test]
    fn reaches_beyond_the_longest_path_of_a_system_call() {
        let folder = tempfile::tempdir().unwrap();
        let name = "d".repeat(250);
        let mut path = RelPath::root();
        let mut fd = open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        for _ in 0..20 {
            rustix::fs::mkdirat(&fd, name.as_str(), Mode::RWXU).unwrap();
            fd = openat(&fd, name.as_str(), OFlags::RDONLY, Mode::empty()).unwrap();
            path = path.join(name.as_bytes());
        }
        drop(openat(&fd, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
        assert!(path.as_bytes().len() > 5000);
        let tree = open_tree(folder.path());
        let deep = tree.directory(7, &path).unwrap();
        assert_eq!(tree.names(&deep, &path).unwrap().entries.len(), 1);
        assert_eq!(tree.walk(&deep, &path).unwrap().entries.len(), 1);
    }

    #[test]
    fn tells_when_a_held_directory_is_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        let tree = open_tree(folder.path());
        let path = RelPath::from("a/b");
        let (held, is_resolved) = tree.held_or_resolved(1, &path).unwrap();
        assert!(is_resolved && !tree.held_or_resolved(1, &path).unwrap().1);
        assert!(tree.leads_to(&path, &held).unwrap());
        fs::rename(folder.path().join("a"), folder.path().join("c")).unwrap();
        assert!(!tree.leads_to(&path, &held).unwrap());
        assert!(tree.leads_to(&RelPath::from("c/b"), &held).unwrap());
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        assert!(!tree.leads_to(&path, &held).unwrap(), "another directory of that name");
    }

    #[test]
    fn holds_no_more_directories_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let tree = open_tree(folder.path());
        for number in 0..10_u64 {
            fs::create_dir(folder.path().join(number.to_string())).unwrap();
            tree.directory(number, &RelPath::from(number.to_string().as_str())).unwrap();
        }
        assert_eq!(tree.held_open().len(), 4);
    }

    #[test]
    fn holds_none_where_none_is_to_be_held() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let (tree, path) = (open_holding(folder.path(), 0), RelPath::from("a"));
        assert_eq!(tree.first_names(1, &path).unwrap().1.coverage, Coverage::Complete);
        tree.directory(2, &path).unwrap();
        assert_eq!(tree.held_open().len(), 0);
    }

    #[test]
    fn keeps_the_directories_that_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let tree = open_tree(folder.path());
        let open = |number: u64| {
            let path = RelPath::from(number.to_string().as_str());
            tree.held_or_resolved(number, &path).unwrap().1
        };
        for number in 0..40_u64 {
            fs::create_dir(folder.path().join(number.to_string())).unwrap();
            assert!(open(number), "not seen before");
            assert!(number < 2 || !open(0), "resolved again at {number}, though used all the time");
        }
    }
}
