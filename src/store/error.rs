//! What can go wrong with the state directory, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it.
    #[error("another agent holds the state directory {}{}", path.display(), holder.as_deref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held {
        /// The state directory.
        path: PathBuf,
        /// The holder's process number, if it left one.
        holder: Option<String>,
    },
    /// A file or folder of it cannot be used.
    #[error("cannot {action} {}: {source}; give a writable local folder with --state", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database does not open.
    #[error("cannot open the index {}: {source}; if the disk is full, make room; if it is damaged, move the folder aside and start with --baseline", path.display())]
    Open {
        /// The database's folder.
        path: PathBuf,
        /// Why not.
        source: sled::Error,
    },
    /// A newer version wrote it.
    #[error("the index {} has format {found}, this version knows up to {known}: use the newer version again", path.display())]
    Format {
        /// The database's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// The database has lost its latest commits: it was damaged, or replaced by an older copy.
    #[error(
        "the index has lost its latest changes (it knows {has} of {had} commits): the disk damaged it, or it is an older \
         copy. Restore the whole state directory, or move it aside and start with --baseline; or remove {} to go on: \
         what was forgotten is then handed over again, under the same ids",
        mark.display()
    )]
    Lost {
        /// The file that remembers.
        mark: PathBuf,
        /// Commits that the database knows.
        has: u64,
        /// Commits that it had.
        had: u64,
    },
    /// A stored value cannot be understood.
    #[error(
        "the index holds a damaged row ({what}): move the state directory aside and start with --baseline"
    )]
    Damaged {
        /// Which kind of row.
        what: &'static str,
    },
    /// A read or write failed.
    #[error("the index failed: {source}; nothing is lost: what was not committed is found again")]
    Database {
        /// Why.
        #[from]
        source: sled::Error,
    },
    /// The disk did not take what was written.
    #[error(
        "the index could not be written to disk: {source}; nothing is lost: what was not committed is found again"
    )]
    Sync {
        /// Why.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// Whether another agent has the state directory.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}
