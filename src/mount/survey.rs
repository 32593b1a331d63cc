//! Every file below a directory with its size and modification time, for a comparison that an operator asks for.
//!
//! *Never here*: the agent's own way to look, which asks far less of the server.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::WalkDir;

use crate::model::{RelPath, Timestamp};

/// A regular file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its path below the directory.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, by the server's clock.
    pub mtime: Timestamp,
}

/// Walks `root` without following links or leaving its file system; the second part is what could not be read.
#[must_use]
pub fn survey(root: &Path) -> (Vec<Surveyed>, Vec<String>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(root).same_file_system(true) {
        let looked = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
        match looked {
            Ok((metadata, entry)) if metadata.is_file() => {
                let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
                found.push(Surveyed {
                    path: RelPath::from_bytes(below.as_os_str().as_bytes()),
                    size: metadata.size(),
                    mtime: Timestamp {
                        seconds: metadata.mtime(),
                        nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
                    },
                });
            }
            Ok(_) => {}
            Err(error) => failed.push(error.to_string()),
        }
    }
    (found, failed)
}
