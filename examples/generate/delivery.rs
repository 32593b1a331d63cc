//! How a file comes to stand on the mount: at once or slowly, under its own name or renamed when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// In how many pieces a slow file is written.
const PIECES: u32 = 20;

/// Under which name a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// As `.NAME.tmp`, renamed when it is whole.
    Rename,
    /// Under its own name from the first byte.
    InPlace,
}

/// Writes `bytes` to `path`, making its directory; over `slow`, if that is not zero.
pub(crate) fn deliver(path: &Path, bytes: &[u8], style: Style, slow: Duration) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match style {
        Style::InPlace => write(path, bytes, slow),
        Style::Rename => {
            let mut name = OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(".tmp");
            let temporary = path.with_file_name(name);
            write(&temporary, bytes, slow)?;
            fs::rename(&temporary, path)
        }
    }
}

fn write(path: &Path, bytes: &[u8], slow: Duration) -> io::Result<()> {
    let mut file = File::create(path)?;
    if slow.is_zero() {
        return file.write_all(bytes);
    }
    let piece = bytes.len().div_ceil(PIECES as usize).max(1);
    for part in bytes.chunks(piece) {
        file.write_all(part)?;
        // Out of this client's cache, so that the server and other clients see the file grow.
        file.sync_data()?;
        std::thread::sleep(slow / PIECES);
    }
    Ok(())
}
