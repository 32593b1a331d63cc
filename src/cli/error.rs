//! Everything that can be wrong with what was asked for, each with what to do instead. No variant holds a secret.

use std::path::PathBuf;

use crate::config::UrlError;

/// Why the request cannot be carried out; the exit code is 2.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {path:?}: {source}")]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{path:?}, line {line}: {message}")]
    NotToml {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// A key that is no option.
    #[error("unknown key `{key}` in {path:?}{}; `nfs-scout run --print-config` lists all keys", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// Which.
        key: String,
        /// In which file.
        path: PathBuf,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A value that the option does not take.
    #[error("bad value for {place}: {reason}")]
    Value {
        /// The flag, variable, or key and file.
        place: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A URL that is none.
    #[error("bad URL for {place}: {source}")]
    Url {
        /// The flag, variable, or key and file.
        place: String,
        /// What is wrong; the URL is not repeated, since it may hold a password.
        source: UrlError,
    },
    /// No directory to watch.
    #[error(
        "no directory to watch: give a PATH, set NFS_SCOUT_PATHS, or write `paths = [\"/mnt/data\"]` in the configuration file"
    )]
    NoPath,
    /// A URL among the PATHs.
    #[error("a PATH looks like a URL; servers are given with --redis or --amqp")]
    PathIsUrl,
    /// The same PATH twice.
    #[error("the directory {0:?} is given twice")]
    SamePath(PathBuf),
    /// A PATH inside another.
    #[error("{inner:?} is inside {outer:?}, which is watched too: give only one of them")]
    NestedPaths {
        /// The one above.
        outer: PathBuf,
        /// The one below.
        inner: PathBuf,
    },
    /// Something that the agent writes would be watched.
    #[error(
        "{place}: {path:?} is inside the watched directory {root:?}, so the agent would watch itself: put it elsewhere"
    )]
    WatchesItself {
        /// The flag, variable, or key and file.
        place: String,
        /// What the agent writes.
        path: PathBuf,
        /// The watched directory.
        root: PathBuf,
    },
    /// Options that say opposite things or of which one has no effect.
    #[error("{first} and {second} do not go together: {reason}")]
    Contradiction {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// Why.
        reason: &'static str,
    },
    /// An option that does nothing without another.
    #[error("{option} has no effect without {needed}")]
    NoEffect {
        /// The one that was given.
        option: String,
        /// The one that was not.
        needed: &'static str,
    },
    /// A relative path, and no current directory.
    #[error("{0:?} is a relative path, and the current directory is gone: give an absolute one")]
    NoDirectory(PathBuf),
    /// No place for the state.
    #[error("no state directory: give --state DIR (neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set)")]
    NoState,
    /// A value that TOML cannot hold.
    #[error("`{0}` cannot be written as TOML: it is not UTF-8")]
    NotText(String),
    /// A page that does not exist.
    #[error("no manual page for `{0}`: there is no such subcommand")]
    UnknownPage(String),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}
