//! Numbers beside the database, each in a small file of its own: written by one call that the disk is not waited for,
//! they survive the end of the process at once.
//!
//! `commits`: how many commits the database has seen, for sled drops damaged data without a word. A database that lost
//! its latest commits would open as if nothing had happened, and every file of them would be news again. So each commit
//! carries its number, and the file keeps the last one. It may be behind, never ahead, unless the database lost something.
//!
//! `confirmed-SINK`: what a sink has. In the database this takes a flush, which waits for the disk; a process that is
//! killed meanwhile would send again what was confirmed. The file may be ahead of the database, or behind it after a power
//! loss: the greater of both holds.
//!
//! A file that cannot be read as one of ours, or of this database, says nothing; it is written anew.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Hexadecimal digits of the checksum.
const CHECKSUM: usize = 16;

/// A file beside the database.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
    owner: String,
}

impl Mark {
    /// Opens the one that counts commits in the state directory at `state`, creating it if it does not exist.
    pub(super) fn of_commits(state: &Path) -> Result<Self, StoreError> {
        // Whose they are is not asked: a database with another past is just what it is to find out.
        Self::open(state.join("commits"), "")
    }

    /// Opens the one that tells what `sink` has of the journal of the agent named `owner`.
    pub(super) fn of_sink(state: &Path, sink: &str, owner: &str) -> Result<Self, StoreError> {
        Self::open(state.join(format!("confirmed-{sink}")), owner)
    }

    fn open(path: PathBuf, owner: &str) -> Result<Self, StoreError> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| StoreError::io("write", &path, source))?;
        Ok(Self { file, path, owner: owner.to_owned() })
    }

    /// Checks that a database that has seen `commits` is not less than this file remembers.
    pub(super) fn check(&mut self, commits: u64) -> Result<(), StoreError> {
        match self.number() {
            Some(remembered) if remembered > commits => {
                Err(StoreError::Lost { mark: self.path.clone(), has: commits, had: remembered })
            }
            _ => self.note(commits),
        }
    }

    /// What it remembers.
    pub(super) fn number(&self) -> Option<u64> {
        let mut text = [0; 100];
        let length = self.file.read_at(&mut text, 0).ok()?;
        // What is not text was not written by us.
        parse(str::from_utf8(text.get(..length)?).ok()?, &self.owner)
    }

    /// Remembers `number`; survives the end of the process at once, a power loss when the system gets to it.
    pub(super) fn note(&self, number: u64) -> Result<(), StoreError> {
        let text = format(number, &self.owner);
        self.file
            .write_all_at(text.as_bytes(), 0)
            .map_err(|source| StoreError::io("write", &self.path, source))
    }

    /// Waits until the disk has it.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|source| StoreError::io("sync", &self.path, source))
    }
}

/// Always of the same length, so that each line covers the one before.
fn format(number: u64, owner: &str) -> String {
    let number = format!("{number:020}");
    format!("{number} {}\n", checksum(&number, owner))
}

fn parse(text: &str, owner: &str) -> Option<u64> {
    let (number, rest) = text.trim_end().split_once(' ')?;
    (rest == checksum(number, owner)).then(|| number.parse().ok())?
}

fn checksum(number: &str, owner: &str) -> String {
    let mut digits = blake3::hash(format!("{number}{owner}").as_bytes()).to_hex().to_string();
    digits.truncate(CHECKSUM);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_what_it_wrote() {
        assert_eq!(parse(&format(7, ""), ""), Some(7));
        assert_eq!(parse(&format(u64::MAX, "a"), "a"), Some(u64::MAX));
        assert_eq!(parse("", ""), None);
        assert_eq!(parse(&format(7, "").replace('7', "8"), ""), None);
        assert_eq!(parse(&format(7, "a"), "b"), None);
    }
}
