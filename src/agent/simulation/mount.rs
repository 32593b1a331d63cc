//! The simulated client: nodes behind which the crate's own tree works, calls that fail or are overtaken by changes,
//! and names and stamps that the client holds.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::history::{Calls, Change, Config, Errno as Kind, Fault};
use super::world::{Body, Inode, Key, Mounted, OTHER_TOP, TOP, World};
use crate::model::{RelPath, Stamp, Timestamp};
use crate::mount::{
    Action, Entry, EntryKind, FileKind, FileStat, Handle, Identity, MountError, Node, Tree, TreeOptions,
};

/// How many bytes a read gives at most: less than an archive has, so that one changes while it is read.
const READ_BYTES: usize = 200;

/// The world as a client sees it; every clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Mount(Arc<Mutex<Client>>);

/// The client's part.
pub(super) struct Client {
    pub(super) world: World,
    names_by_stamp: bool,
    no_types: bool,
    /// Names held, with the time stamps or the change number under which they were read.
    names: HashMap<Key, HeldNames>,
    /// Stamps of directories held: those that came with the names of the directory above, or with the last answer.
    stamps: HashMap<Key, FileStat>,
    pub(super) faults: Vec<Fault>,
    /// Changes that come before the so-manieth call.
    pub(super) in_calls: Vec<(u8, Change)>,
    /// Whether descriptors of mounts that were taken away go on working.
    pub(super) old_mounts_work: bool,
    pub(super) calls: u64,
}

/// Names with the numbers and kinds that came with them.
type Names = BTreeMap<Vec<u8>, (u64, EntryKind)>;

/// Names that the client holds, and under which stamp they were read.
struct HeldNames {
    mtime: u64,
    ctime: u64,
    version: u64,
    names: Names,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Mount {
    pub(super) fn new(world: World, config: &Config) -> Self {
        Self(Arc::new(Mutex::new(Client {
            world,
            names_by_stamp: config.names_by_stamp,
            no_types: config.no_types,
            names: HashMap::new(),
            stamps: HashMap::new(),
            faults: Vec::new(),
            in_calls: Vec::new(),
            old_mounts_work: false,
            calls: 0,
        })))
    }

    pub(super) fn client(&self) -> MutexGuard<'_, Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what lies at the mount point.
    pub(super) fn open(&self, options: TreeOptions) -> Result<Tree, MountError> {
        let mut client = self.client();
        let mount_id = client.world.mount_id;
        let failed = |errno| MountError { action: Action::OpenRoot, path: RelPath::root(), errno };
        client.before(mount_id, Calls::Open).map_err(failed)?;
        let (key, fs_type, source) = match client.world.mounted {
            Mounted::Right => (TOP, "nfs", "server:/export"),
            Mounted::Other => (OTHER_TOP, "nfs", "server:/other"),
            Mounted::Bare => (super::world::OUTSIDE, "ext4", "/dev/vda1"),
            Mounted::Nothing => return Err(failed(Errno::NOENT)),
        };
        let identity = Identity {
            mount_id,
            fs_type: fs_type.to_owned(),
            source: source.to_owned(),
            mount_point: "/mnt".to_owned(),
            root_fileid: client.world.inodes.get(&key).map_or(0, |inode| inode.number),
        };
        drop(client);
        let node = Held { mount: self.clone(), key, mount_id, read: AtomicUsize::new(0) };
        Ok(Tree::simulated(Handle::Node(Box::new(node)), identity, options))
    }

    /// Whether the mount point still leads to the mount with this number.
    pub(super) fn is_in_place(&self, mount_id: u64) -> Result<bool, MountError> {
        let world = &self.client().world;
        match world.mounted {
            Mounted::Nothing => {
                Err(MountError { action: Action::Identify, path: RelPath::root(), errno: Errno::NOENT })
            }
            _ => Ok(world.mount_id == mount_id),
        }
    }
}

impl Client {
    /// What happens before every call: changes that were to come in the middle of something, and faults.
    fn before(&mut self, mount_id: u64, call: Calls) -> Result<(), Errno> {
        self.calls += 1;
        let due: Vec<Change> =
            self.in_calls.iter().filter(|(calls, _)| *calls == 0).map(|(_, change)| change.clone()).collect();
        self.in_calls.retain(|(calls, _)| *calls > 0);
        for (calls, _) in &mut self.in_calls {
            *calls -= 1;
        }
        for change in due {
            self.world.apply(&change);
        }
        if mount_id != self.world.mount_id && !self.old_mounts_work {
            return Err(Errno::STALE);
        }
        let concerned = |fault: &&mut Fault| fault.calls == Calls::All || fault.calls == call;
        let Some(fault) = self.faults.iter_mut().find(concerned) else { return Ok(()) };
        if fault.skip > 0 {
            fault.skip -= 1;
            return Ok(());
        }
        let errno = fault.errno;
        fault.count -= 1;
        self.faults.retain(|fault| fault.count > 0);
        Err(match errno {
            Kind::Io => Errno::IO,
            Kind::Stale => Errno::STALE,
            Kind::NotThere => Errno::NOENT,
            Kind::Denied => Errno::ACCESS,
        })
    }

    fn inode(&self, key: Key) -> Result<&Inode, Errno> {
        self.world.inodes.get(&key).ok_or(Errno::STALE)
    }

    fn entries(&self, key: Key) -> Result<&BTreeMap<Vec<u8>, Key>, Errno> {
        match &self.inode(key)?.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn entry(&self, key: Key, name: &[u8]) -> Result<Key, Errno> {
        self.entries(key)?.get(name).copied().ok_or(Errno::NOENT)
    }

    fn stat(&self, key: Key) -> Result<FileStat, Errno> {
        let inode = self.inode(key)?;
        let (kind, size) = match &inode.body {
            Body::Directory(_) => (FileKind::Directory, 4096),
            Body::File(file) => (FileKind::File, file.length as u64),
        };
        let stamp = Stamp { size, mtime: time(inode.mtime), ctime: time(inode.ctime), fileid: inode.number };
        Ok(FileStat { kind, stamp })
    }

    /// The names as the client has them; read in two halves, so that a change may come in between.
    fn names(&mut self, key: Key, mount_id: u64) -> Result<(Names, Option<Errno>), Errno> {
        let inode = self.inode(key)?;
        let (mtime, ctime, version) = (inode.mtime, inode.ctime, inode.version);
        if let Some(held) = self.names.get(&key) {
            let is_valid = if self.names_by_stamp {
                (mtime, ctime) == (held.mtime, held.ctime)
            } else {
                version == held.version
            };
            if is_valid {
                return Ok((held.names.clone(), None));
            }
        }
        let first = self.entries(key)?;
        let middle = first.keys().nth(first.len() / 2).cloned().unwrap_or_default();
        let mut names = self.read_names(key, |name| name < middle.as_slice())?;
        if let Err(errno) = self.before(mount_id, Calls::Names) {
            return Ok((names, Some(errno)));
        }
        names.extend(self.read_names(key, |name| name >= middle.as_slice())?);
        let children: Vec<Key> = self.entries(key)?.values().copied().collect();
        children.into_iter().chain([key]).for_each(|key| self.hold_stamp(key));
        if self.inode(key)?.version == version {
            let held = HeldNames { mtime, ctime, version, names: names.clone() };
            self.names.insert(key, held);
        }
        Ok((names, None))
    }

    fn hold_stamp(&mut self, key: Key) {
        if let Ok(stat) = self.stat(key) {
            self.stamps.insert(key, stat);
        }
    }

    fn read_names(&self, key: Key, which: impl Fn(&[u8]) -> bool) -> Result<Names, Errno> {
        let entries = self.entries(key)?.iter().filter(|(name, _)| which(name));
        let told = |(name, key): (&Vec<u8>, &Key)| {
            let inode = self.world.inodes.get(key)?;
            let kind = match &inode.body {
                Body::Directory(_) => EntryKind::Directory,
                Body::File(_) => EntryKind::File,
            };
            Some((name.clone(), (inode.number, kind)))
        };
        Ok(entries.filter_map(told).collect())
    }
}

fn time(nanoseconds: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX),
        nanoseconds: u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
    }
}

/// A descriptor.
struct Held {
    mount: Mount,
    key: Key,
    mount_id: u64,
    read: AtomicUsize,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.key)
    }
}

impl Held {
    fn call(&self, call: Calls) -> Result<MutexGuard<'_, Client>, Errno> {
        let mut client = self.mount.client();
        client.before(self.mount_id, call)?;
        Ok(client)
    }

    fn at(&self, key: Key) -> Box<dyn Node> {
        Box::new(Self { mount: self.mount.clone(), key, mount_id: self.mount_id, read: AtomicUsize::new(0) })
    }
}

impl Node for Held {
    fn stat(&self) -> Result<FileStat, Errno> {
        let mut client = self.call(Calls::Stat)?;
        client.hold_stamp(self.key);
        client.stat(self.key)
    }

    fn remembered(&self) -> Result<FileStat, Errno> {
        let client = self.mount.client();
        client.stamps.get(&self.key).map_or_else(|| client.stat(self.key), |stat| Ok(*stat))
    }

    fn stat_at(&self, name: &[u8]) -> Result<FileStat, Errno> {
        let client = self.call(Calls::Stat)?;
        client.stat(client.entry(self.key, name)?)
    }

    fn directory_at(&self, path: &[u8]) -> Result<Box<dyn Node>, Errno> {
        let client = self.call(Calls::Open)?;
        let mut key = self.key;
        for name in path.split(|byte| *byte == b'/').filter(|name| *name != b".") {
            key = client.entry(key, name)?;
        }
        client.entries(key)?;
        Ok(self.at(key))
    }

    fn file_at(&self, name: &[u8]) -> Result<Box<dyn Node>, Errno> {
        let client = self.call(Calls::Open)?;
        Ok(self.at(client.entry(self.key, name)?))
    }

    fn names(&self, with_types: bool) -> Result<(Vec<Entry>, Option<Errno>), Errno> {
        let mut client = self.call(Calls::Names)?;
        let (names, error) = client.names(self.key, self.mount_id)?;
        let untold = client.no_types && !with_types;
        let entry = |(name, (fileid, kind)): (Vec<u8>, (u64, EntryKind))| Entry {
            name: name.as_slice().into(),
            fileid,
            kind: if untold { EntryKind::Unknown } else { kind },
        };
        Ok((names.into_iter().map(entry).collect(), error))
    }

    fn drop_cached_names(&self) {
        self.mount.client().names.remove(&self.key);
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let client = self.call(Calls::Read)?;
        let Body::File(file) = &client.inode(self.key)?.body else { return Err(Errno::ISDIR) };
        let from = self.read.load(Ordering::Relaxed);
        let rest = file.bytes().get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len()).min(READ_BYTES);
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read.store(from + count, Ordering::Relaxed);
        Ok(count)
    }
}
