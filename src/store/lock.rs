//! One agent a state directory: an advisory lock that the kernel drops with its process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::StoreError;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the state directory at `path`, which is created (mode 0700) if it does not exist.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| StoreError::io("create the state directory", path, source))?;
        let name = path.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&name)
            .map_err(|source| StoreError::io("write", &name, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Held { path: path.to_path_buf(), holder: holder(&mut file) });
            }
            Err(error) => return Err(StoreError::io("lock", &name, error.into())),
        }
        note_holder(&mut file).map_err(|source| StoreError::io("write", &name, source))?;
        Ok(Self { _file: file })
    }

    /// Whether anything was ever stored at `path`; an error if that cannot be told.
    pub fn is_state_directory(path: &Path) -> Result<bool, StoreError> {
        path.join("index").try_exists().map_err(|source| StoreError::io("look into", path, source))
    }

    /// The user to whom the state directory at `path` belongs, if that is another one than the one who asks as root:
    /// files that root made there, its owner could not write.
    #[must_use]
    pub fn other_owner(path: &Path) -> Option<u32> {
        let owner = fs::metadata(path).ok()?.uid();
        (rustix::process::geteuid().is_root() && owner != 0).then_some(owner)
    }
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|pid| !pid.is_empty())
}
