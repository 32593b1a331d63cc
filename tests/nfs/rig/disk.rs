//! The disk under the ext4 export, which can fail in places: device-mapper's `dust` answers EIO to whoever reads there.
//!
//! What is cached still reads well, and what is written becomes readable: nothing may be written there meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool;

const DEVICE: &str = "/dev/mapper/disk";
const EXPORT: &str = "/mnt/export/ext4";
/// Is there while the disk fails.
const MARK: &str = "/run/disk-fails";

/// Makes the contents of these files, and the names in these directories, unreadable.
#[track_caller]
pub(crate) fn spoil(paths: &[&Path]) {
    fs::write(MARK, "").unwrap();
    // Brings everything to its place, out of the journal, which would keep it in memory.
    for how in ["--freeze", "--unfreeze"] {
        tool("fsfreeze", &[how, EXPORT]);
    }
    for path in paths {
        let blocks = blocks(path);
        assert!(!blocks.is_empty(), "{} has no blocks", path.display());
        for block in blocks {
            message(&["addbadblock", &block]);
        }
    }
    message(&["enable"]);
    tool("blockdev", &["--flushbufs", DEVICE]);
    super::drop_caches();
}

/// Makes it read well everywhere.
pub(crate) fn mend() {
    if fs::remove_file(MARK).is_ok() {
        message(&["disable"]);
        message(&["clearbadblocks"]);
    }
}

fn message(words: &[&str]) {
    tool("dmsetup", &[&["message", "disk", "0"], words].concat());
}

fn blocks(path: &Path) -> Vec<String> {
    let path = PathBuf::from("/").join(path.strip_prefix(EXPORT).expect("a path on the disk"));
    let request = format!("blocks {}", path.display());
    let output = Command::new("debugfs").args(["-R", &request, DEVICE]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}
