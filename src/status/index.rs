//! What the index knows, in words.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// How large the index is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSize {
    /// Directories known.
    pub directories: u64,
    /// Files known.
    pub files: u64,
    /// Of these, files that are gone from the mount.
    pub gone: u64,
    /// Files that wait.
    pub waiting: u64,
    /// Handovers in the journal.
    pub journal: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A file of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLine {
    /// Its path below its root, with odd bytes escaped.
    pub path: String,
    /// Its size when it was read, in bytes.
    pub size: u64,
    /// The hash of its content; `null` if it was never read.
    pub blake3: Option<String>,
    /// The number of its handover; 0 if it was never handed over.
    pub seq: u64,
    /// Since when it is gone from the mount.
    pub gone_since: Option<String>,
}

/// A file of the index as it is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportLine {
    /// The root's path.
    pub root: String,
    /// What `index list` tells of it.
    #[serde(flatten)]
    pub file: IndexLine,
    /// When it was last written, by the server's clock.
    pub mtime: String,
    /// The id of its message; `null` if it was never read.
    pub id: Option<String>,
}

/// The size of the index for a terminal.
#[must_use]
pub fn render_size(size: &IndexSize) -> String {
    let rows = [
        ("directories", size.directories),
        ("files", size.files),
        ("of these gone", size.gone),
        ("waiting", size.waiting),
        ("journal", size.journal),
        ("bytes on disk", size.bytes),
    ];
    rows.iter().fold(String::new(), |mut text, (name, number)| {
        let _ = writeln!(text, "{name:<14} {number}");
        text
    })
}

/// The files of the index, a line each: hash, size, path, as `b3sum` prints them with the size between.
#[must_use]
pub fn render_list(lines: &[IndexLine]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let hash = line.blake3.as_deref().unwrap_or("-");
        let gone = if line.gone_since.is_some() { "  (gone)" } else { "" };
        let _ = writeln!(text, "{hash:<64} {:>12} {}{gone}", line.size, line.path);
        text
    })
}
