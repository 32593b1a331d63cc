//! A look at a state directory from outside: its place, and whether its index is sound. Nothing in it is changed.
//!
//! The database repairs itself on opening, which writes. So a copy is opened, elsewhere.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, access, flock, statvfs};
use rustix::io::Errno;

use super::{Lock, Store};

/// A larger index is not copied.
const MOST_BYTES: u64 = 256 << 20;

/// Where a state directory is or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlace {
    /// Whether it exists.
    pub exists: bool,
    /// Itself, or the nearest directory above that exists.
    pub nearest: PathBuf,
    /// Whether this user may write there.
    pub is_writable: bool,
    /// Bytes free there for this user.
    pub free_bytes: u64,
}

/// Looks at the place of the state directory `state`, which is absolute.
#[must_use]
pub fn place(state: &Path) -> StatePlace {
    let nearest = state.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let free = statvfs(nearest).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    StatePlace {
        exists: nearest == state,
        nearest: nearest.to_owned(),
        is_writable: access(nearest, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        free_bytes: free,
    }
}

/// What an index is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// There is none.
    None,
    /// An agent holds it.
    Held,
    /// It was not looked at, with the reason.
    Unseen(String),
    /// A copy opens and agrees with itself; its bytes.
    Sound(u64),
    /// What is wrong.
    Ill(String),
}

/// Opens a copy of the index at `state`, made in a new directory below `room` and removed again.
///
/// Keeps agents from starting while it copies, as every reader of the index does.
#[must_use]
pub fn inspect(state: &Path, room: &Path) -> Inspected {
    let unseen = |error: io::Error| Inspected::Unseen(format!("the index cannot be read: {error}"));
    match Lock::is_state_directory(state) {
        Ok(true) => {}
        Ok(false) => return Inspected::None,
        Err(error) => return Inspected::Unseen(error.to_string()),
    }
    let lock = match File::open(state.join("lock")) {
        Ok(lock) => lock,
        Err(error) => return unseen(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Inspected::Held,
        Err(error) => return unseen(error.into()),
    }
    match bytes_below(&state.join("index")) {
        Err(error) => return unseen(error),
        Ok(bytes) if bytes > MOST_BYTES => {
            return Inspected::Unseen(format!("the index has {bytes} bytes, too many to open a copy of it"));
        }
        Ok(_) => {}
    }
    let copy = Copy { path: room.join(format!("nfs-scout-doctor-{}", std::process::id())) };
    if let Err(error) = copy.make(state) {
        return Inspected::Unseen(format!("the index cannot be copied to {}: {error}", room.display()));
    }
    drop(lock);
    opened(&copy.path)
}

fn opened(copy: &Path) -> Inspected {
    let looked = Store::open(copy).and_then(|store| Ok((store.verify()?, store.size_on_disk()?)));
    match looked {
        Ok((problems, bytes)) => match problems.first() {
            None => Inspected::Sound(bytes),
            Some(problem) => Inspected::Ill(format!("{problem} (and {} more)", problems.len() - 1)),
        },
        Err(error) => Inspected::Ill(error.to_string()),
    }
}

fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { bytes_below(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

/// A copy that goes when it is dropped.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn make(&self, state: &Path) -> io::Result<()> {
        // Nobody else may read it; one that is there already is not ours.
        DirBuilder::new().mode(0o700).create(&self.path)?;
        let mark = state.join("commits");
        if mark.exists() {
            fs::copy(mark, self.path.join("commits"))?;
        }
        copy_folder(&state.join("index"), &self.path.join("index"))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::mark::Mark;
    use super::*;

    /// Everything below a folder with its size and change time.
    fn picture(folder: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::metadata(&path).unwrap();
            if found.is_dir() {
                all.extend(picture(&path));
            }
            all.push((path, found.len(), found.ctime(), found.ctime_nsec()));
        }
        all.sort();
        all
    }

    #[test]
    fn looks_at_an_index_and_changes_nothing() {
        let (folder, room) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = folder.path().join("state");
        assert_eq!(inspect(&state, room.path()), Inspected::None);
        let store = Store::open(&state).unwrap();
        assert_eq!(inspect(&state, room.path()), Inspected::Held);
        drop(store);
        let before = picture(&state);
        assert!(matches!(inspect(&state, room.path()), Inspected::Sound(bytes) if bytes > 0));
        assert_eq!(picture(&state), before);
        assert_eq!(picture(room.path()), []);
    }

    #[test]
    fn finds_an_index_ill_and_leaves_it_so() {
        let (folder, room) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        drop(Store::open(folder.path()).unwrap());
        // As if five commits had been made and lost.
        Mark::of_commits(folder.path()).unwrap().note(5).unwrap();
        let before = picture(folder.path());
        let found = inspect(folder.path(), room.path());
        assert!(matches!(&found, Inspected::Ill(why) if why.contains("0 of 5 commits")), "{found:?}");
        assert_eq!(picture(folder.path()), before);
    }

    #[test]
    fn tells_the_place_of_one_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let found = place(&folder.path().join("a/b"));
        assert_eq!((found.exists, found.nearest.as_path()), (false, folder.path()));
        assert!(found.is_writable && found.free_bytes > 0);
        assert!(place(folder.path()).exists);
    }
}
