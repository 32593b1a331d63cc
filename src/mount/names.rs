//! The names in a directory: by getdents, and in the audit by walkdir.
//!
//! A name's fileid comes with it for free. Its type does only while the kernel still fills it in: past some thousands
//! of entries an NFS client stops, and every type asked costs a LOOKUP. So the names-only way never asks.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Advice, FileType, Mode, OFlags, RawDir, fadvise, openat};
use rustix::io::Errno;
use walkdir::{DirEntryExt, WalkDir};

use crate::model::{Name, RelPath};

use super::handle::Handle;
use super::{Action, MountError};

/// Bytes of names taken from the kernel in one call.
const BUFFER_BYTES: usize = 64 * 1024;

/// Names for which there is room at once: the room for more is made as they come.
const USUAL_NAMES: usize = 64;

/// What a name is, as far as it came with the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, pipe, socket or device: never followed, never opened.
    Other,
    /// Not told.
    Unknown,
}

impl From<FileType> for EntryKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Unknown => Self::Unknown,
            _ => Self::Other,
        }
    }
}

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Name,
    /// The number of the file that it names.
    pub fileid: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// Whether a listing is whole. Only a complete one may say that something is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Every name was read.
    Complete,
    /// Reading stopped early.
    Partial(MountError),
}

/// The names of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What was read.
    pub entries: Vec<Entry>,
    /// Whether that is all.
    pub coverage: Coverage,
}

/// Opens the directory behind `held` for reading its names.
pub(super) fn open_for_names(held: &Handle, path: &RelPath) -> Result<Handle, MountError> {
    let opened = match held {
        Handle::Descriptor(held) => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(held, ".", flags, Mode::empty()).map(Handle::Descriptor)
        }
        #[cfg(test)]
        Handle::Node(held) => held.directory_at(b".").map(Handle::Node),
    };
    opened.map_err(|errno| MountError::new(Action::List, path, errno))
}

/// The names of a directory that was opened for them: by getdents, or with their types by walkdir.
pub(super) fn list(directory: &Handle, path: &RelPath, with_types: bool) -> Listing {
    match directory {
        Handle::Descriptor(directory) if with_types => by_walkdir(directory, path),
        Handle::Descriptor(directory) => by_getdents(directory, path),
        #[cfg(test)]
        Handle::Node(directory) => {
            let (entries, error) =
                directory.names(with_types).unwrap_or_else(|errno| (Vec::new(), Some(errno)));
            let partial = |errno| Coverage::Partial(MountError::new(Action::List, path, errno));
            Listing { entries, coverage: error.map_or(Coverage::Complete, partial) }
        }
    }
}

/// Makes the client forget the names that it holds of this directory.
///
/// Needed before every listing. After two changes within one tick of the server's clock, with the client's listing between
/// them, even a stamp that is new to us may be the one of its old names: NFSv3 has nothing but time stamps to tell that
/// its cached names are old, and serves them again. Unprivileged and read-only; a file system that cannot do it
/// has no such cache.
pub(super) fn drop_cached_names(directory: &Handle) {
    match directory {
        Handle::Descriptor(directory) => {
            let _ = fadvise(directory, 0, None, Advice::DontNeed);
        }
        #[cfg(test)]
        Handle::Node(directory) => directory.drop_cached_names(),
    }
}

/// Reads names and fileids, nothing else.
fn by_getdents(directory: &OwnedFd, path: &RelPath) -> Listing {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut entries = Vec::with_capacity(USUAL_NAMES);
    let mut names = RawDir::new(directory.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = names.next() {
        match entry {
            Ok(entry) => {
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    let kind = entry.file_type().into();
                    entries.push(Entry { name: name.into(), fileid: entry.ino(), kind });
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => {
                return Listing {
                    entries,
                    coverage: Coverage::Partial(MountError::new(Action::List, path, errno)),
                };
            }
        }
    }
    Listing { entries, coverage: Coverage::Complete }
}

/// Reads names, fileids and types through walkdir: an independent way, for the audit.
///
/// The directory is named by its descriptor, so that neither the length of its path nor a renamed parent matters.
fn by_walkdir(directory: &OwnedFd, path: &RelPath) -> Listing {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut entries = Vec::new();
    for entry in WalkDir::new(link).min_depth(1).max_depth(1) {
        match entry {
            Ok(entry) => {
                use std::os::unix::ffi::OsStrExt;
                entries.push(Entry {
                    name: entry.file_name().as_bytes().into(),
                    fileid: entry.ino(),
                    kind: kind_of(entry.file_type()),
                });
            }
            Err(error) if vanished_meanwhile(&error) => {}
            Err(error) => {
                let errno = error.io_error().and_then(Errno::from_io_error).unwrap_or(Errno::IO);
                return Listing {
                    entries,
                    coverage: Coverage::Partial(MountError::new(Action::List, path, errno)),
                };
            }
        }
    }
    Listing { entries, coverage: Coverage::Complete }
}

/// Whether a name was removed between reading it and asking for its type.
fn vanished_meanwhile(error: &walkdir::Error) -> bool {
    error.depth() == 1 && error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn kind_of(kind: std::fs::FileType) -> EntryKind {
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    }
}
