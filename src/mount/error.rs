//! What can go wrong on the mount, as questions rather than numbers.

use std::fmt;

use rustix::io::Errno;

use crate::model::RelPath;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Opening the root.
    OpenRoot,
    /// Finding a directory.
    OpenDirectory,
    /// Asking for attributes.
    Refresh,
    /// Reading names.
    List,
    /// Opening a file.
    OpenFile,
    /// Reading a file.
    Read,
    /// Reading the table of mounts.
    Identify,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenRoot => "open the root",
            Self::OpenDirectory => "open the directory",
            Self::Refresh => "refresh",
            Self::List => "list",
            Self::OpenFile => "open",
            Self::Read => "read",
            Self::Identify => "identify the file system of",
        })
    }
}

/// A failed look at the mount. Says nothing about whether the thing exists, unless [`MountError::is_not_found`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {path}: {errno}")]
pub struct MountError {
    /// What was being done.
    pub action: Action,
    /// To what, below the root.
    pub path: RelPath,
    /// The system's error.
    pub errno: Errno,
}

impl MountError {
    pub(super) fn new(action: Action, path: &RelPath, errno: Errno) -> Self {
        Self { action, path: path.clone(), errno }
    }

    /// From an error of the standard library.
    #[must_use]
    pub fn from_io(action: Action, path: &RelPath, error: &std::io::Error) -> Self {
        Self::new(action, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// The name does not exist (any more), or leads elsewhere than to a directory or file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
    }

    /// The server no longer knows what a held descriptor refers to: resolve the path again.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.errno == Errno::STALE
    }

    /// Permission is missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.errno, Errno::ACCESS | Errno::PERM)
    }

    /// The path leads into another file system, which is not entered.
    #[must_use]
    pub fn is_other_file_system(&self) -> bool {
        self.errno == Errno::XDEV
    }
}
