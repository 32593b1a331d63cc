//! Looks at files and directories, each as the system call that it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    Advice, AtFlags, CWD, Mode, OFlags, RawDir, Statx, StatxFlags, StatxTimestamp, fadvise, openat, statx,
};
use rustix::io::Result;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What a changed directory changes: modification time, change time.
pub(crate) type Stamps = (i64, u32, i64, u32);

/// `statx` with `AT_STATX_FORCE_SYNC`: asks the server.
pub(crate) fn forced(path: &Path) -> Result<Statx> {
    statx(CWD, path, AtFlags::STATX_FORCE_SYNC | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
}

/// `statx` as `stat` does it: may be answered by the client's attribute cache.
pub(crate) fn plain(path: &Path) -> Result<Statx> {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
}

/// Opens for [`forced_held`] only: `O_PATH`.
pub(crate) fn hold(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Asks the server about a held descriptor: no path is walked.
pub(crate) fn forced_held(held: impl AsFd) -> Result<Statx> {
    statx(held, "", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS)
}

/// Opens a directory for reading.
pub(crate) fn open(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OPEN, Mode::empty())
}

/// The names and fileids of a directory, by getdents alone.
pub(crate) fn names(path: &Path) -> Result<BTreeMap<String, u64>> {
    read_names(&open(path)?)
}

/// The same after the client was told to drop its cached listing.
pub(crate) fn names_afresh(path: &Path) -> Result<BTreeMap<String, u64>> {
    let directory = open(path)?;
    fadvise(&directory, 0, None, Advice::DontNeed)?;
    read_names(&directory)
}

fn read_names(directory: &OwnedFd) -> Result<BTreeMap<String, u64>> {
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = BTreeMap::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.insert(name, entry.ino());
        }
    }
    Ok(names)
}

/// How many regular files a walk finds that asks every entry's type.
pub(crate) fn count_by_type(path: &Path) -> usize {
    let entries = fs::read_dir(path).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file()).count()
}

/// The stamps of a look.
pub(crate) fn stamps(look: &Statx) -> Stamps {
    let parts = |stamp: StatxTimestamp| (stamp.tv_sec, stamp.tv_nsec);
    let ((mtime, mtime_ns), (ctime, ctime_ns)) = (parts(look.stx_mtime), parts(look.stx_ctime));
    (mtime, mtime_ns, ctime, ctime_ns)
}
