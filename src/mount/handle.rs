//! What a directory or a file of a tree is reached by: a descriptor, or in tests a node of a simulated mount.
//!
//! Every system call on what is watched, beside those that read names, is made here.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp, openat, openat2, statx,
};
use rustix::io::Errno;

#[cfg(test)]
use super::Entry;
use super::tree::{FileKind, FileStat};
use crate::model::{Stamp, Timestamp};

/// Something open.
#[derive(Debug)]
pub enum Handle {
    /// By the kernel.
    Descriptor(OwnedFd),
    /// By a simulation.
    #[cfg(test)]
    Node(Box<dyn Node>),
}

/// What a directory is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be asked for its stamp and what is below it.
    Hold,
    /// To have its names read.
    Names,
}

/// A directory or file of a simulated mount, held open.
#[cfg(test)]
pub trait Node: std::fmt::Debug + Send + Sync {
    /// Type and stamp, as fresh as the server has them.
    fn stat(&self) -> Result<FileStat, Errno>;

    /// Type and stamp as the client remembers them; asks nobody.
    fn remembered(&self) -> Result<FileStat, Errno>;

    /// Type and stamp of a name in it.
    fn stat_at(&self, name: &[u8]) -> Result<FileStat, Errno>;

    /// The directory at a path below it.
    fn directory_at(&self, path: &[u8]) -> Result<Box<dyn Node>, Errno>;

    /// The file of a name in it.
    fn file_at(&self, name: &[u8]) -> Result<Box<dyn Node>, Errno>;

    /// Its names as the client has them, with why there are no more of them.
    fn names(&self, with_types: bool) -> Result<(Vec<Entry>, Option<Errno>), Errno>;

    /// Makes the client forget its names.
    fn drop_cached_names(&self);

    /// Its next bytes.
    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno>;
}

impl Handle {
    /// Type and stamp.
    pub(super) fn stat(&self, flags: AtFlags) -> Result<FileStat, Errno> {
        match self {
            Self::Descriptor(fd) => statx(fd, "", flags | AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
                .map(|found| stat_of(&found)),
            #[cfg(test)]
            Self::Node(node) if flags.contains(AtFlags::STATX_DONT_SYNC) => node.remembered(),
            #[cfg(test)]
            Self::Node(node) => node.stat(),
        }
    }

    /// The mount and the number there: file systems number alike. Asks nobody.
    pub(super) fn place(&self) -> Result<(u64, u64), Errno> {
        match self {
            Self::Descriptor(fd) => {
                let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
                let found = statx(fd, "", flags, StatxFlags::INO | StatxFlags::MNT_ID)?;
                Ok((found.stx_mnt_id, found.stx_ino))
            }
            #[cfg(test)]
            Self::Node(node) => Ok((0, node.stat()?.stamp.fileid)),
        }
    }

    /// When it was last read, by the server's clock, fresh.
    pub(super) fn accessed(&self) -> Result<Timestamp, Errno> {
        match self {
            Self::Descriptor(fd) => {
                let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
                statx(fd, "", flags, StatxFlags::ATIME).map(|found| timestamp(&found.stx_atime))
            }
            #[cfg(test)]
            Self::Node(node) => node.stat().map(|found| found.stamp.mtime),
        }
    }

    /// Type and stamp of `name` in it, never following a link.
    pub(super) fn stat_at(&self, name: &[u8], sync: AtFlags) -> Result<FileStat, Errno> {
        match self {
            Self::Descriptor(fd) => {
                let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | sync;
                statx(fd, name, flags, StatxFlags::BASIC_STATS).map(|found| stat_of(&found))
            }
            #[cfg(test)]
            Self::Node(node) => node.stat_at(name),
        }
    }

    /// The directory at `path` below it.
    pub(super) fn directory_at(
        &self,
        path: &[u8],
        purpose: Purpose,
        one_file_system: bool,
    ) -> Result<Self, Errno> {
        match self {
            Self::Descriptor(fd) => {
                let mut resolve =
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                if one_file_system {
                    resolve |= ResolveFlags::NO_XDEV;
                }
                let how = match purpose {
                    Purpose::Hold => OFlags::PATH,
                    Purpose::Names => OFlags::RDONLY,
                };
                let flags = how | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat2(fd, path, flags, Mode::empty(), resolve).map(Self::Descriptor)
            }
            #[cfg(test)]
            Self::Node(node) => node.directory_at(path).map(Self::Node),
        }
    }

    /// The regular file `name` in it, open for reading; anything else is refused without waiting for a writer.
    pub(super) fn file_at(&self, name: &[u8]) -> Result<Self, Errno> {
        match self {
            Self::Descriptor(fd) => {
                let flags =
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                openat(fd, name, flags, Mode::empty()).map(Self::Descriptor)
            }
            #[cfg(test)]
            Self::Node(node) => node.file_at(name).map(Self::Node),
        }
    }
}

impl Read for &Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Handle::Descriptor(fd) => Ok(rustix::io::read(fd, buffer)?),
            #[cfg(test)]
            Handle::Node(node) => Ok(node.read(buffer)?),
        }
    }
}

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

fn stat_of(found: &Statx) -> FileStat {
    let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        _ => FileKind::Other,
    };
    let stamp = Stamp {
        size: found.stx_size,
        mtime: timestamp(&found.stx_mtime),
        ctime: timestamp(&found.stx_ctime),
        fileid: found.stx_ino,
    };
    FileStat { kind, stamp }
}
