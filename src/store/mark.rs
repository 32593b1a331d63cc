//! How many commits the database has seen, written beside it: sled drops damaged data without a word.
//!
//! A database that lost its latest commits would open as if nothing had happened, and every file of them would be
//! news again. So each commit carries its number, and a small file keeps the last one. The file may be behind (it is
//! not waited for), never ahead, unless the database lost something. A file that cannot be read as one of ours says
//! nothing; it is written anew.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Hexadecimal digits of the checksum.
const CHECKSUM: usize = 16;

/// The file beside the database.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// Opens the one in the state directory at `state`, creating it if it does not exist.
    pub(super) fn open(state: &Path) -> Result<Self, StoreError> {
        let path = state.join("commits");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| StoreError::io("write", &path, source))?;
        Ok(Self { file, path })
    }

    /// Checks that a database that has seen `commits` is not less than this file remembers.
    pub(super) fn check(&mut self, commits: u64) -> Result<(), StoreError> {
        let mut text = String::new();
        // What is not text was not written by us.
        let _ = (&self.file).take(100).read_to_string(&mut text);
        match parse(&text) {
            Some(remembered) if remembered > commits => {
                Err(StoreError::Lost { mark: self.path.clone(), has: commits, had: remembered })
            }
            _ => self.note(commits),
        }
    }

    /// Remembers `commits`; survives the end of the process at once, a power loss when the system gets to it.
    pub(super) fn note(&self, commits: u64) -> Result<(), StoreError> {
        let text = format(commits);
        self.file
            .write_all_at(text.as_bytes(), 0)
            .map_err(|source| StoreError::io("write", &self.path, source))
    }
}

/// Always of the same length, so that each line covers the one before.
fn format(commits: u64) -> String {
    let number = format!("{commits:020}");
    format!("{number} {}\n", checksum(&number))
}

fn parse(text: &str) -> Option<u64> {
    let (number, rest) = text.trim_end().split_once(' ')?;
    (rest == checksum(number)).then(|| number.parse().ok())?
}

fn checksum(number: &str) -> String {
    let mut digits = blake3::hash(number.as_bytes()).to_hex().to_string();
    digits.truncate(CHECKSUM);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_what_it_wrote() {
        assert_eq!(parse(&format(7)), Some(7));
        assert_eq!(parse(&format(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse(""), None);
        assert_eq!(parse(&format(7).replace('7', "8")), None);
    }
}
