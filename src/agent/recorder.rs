//! `--record`: writes down when files came where, for the simulator to replay (`cargo bench --bench schedule -- --trace`).
//!
//! JSON lines: first `{"nfs-scout-trace":1,"directories":N,"began":S}`, then `{"t":12.5,"dir":"2026/11","files":3}` with
//! `t` in seconds from the beginning. A file that holds a trace is continued.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::{RelPath, Timestamp};

/// The version of the format.
const VERSION: u32 = 1;

/// Files that a look found.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    /// Steady time of the look.
    pub at: Timestamp,
    /// The directory.
    pub dir: RelPath,
    /// How many.
    pub files: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    #[serde(rename = "nfs-scout-trace")]
    version: u32,
    directories: usize,
    /// Steady time, in seconds.
    began: i64,
}

#[derive(Serialize)]
struct Line {
    t: f64,
    dir: String,
    files: u32,
}

/// An open trace.
#[derive(Debug)]
pub(super) struct Recorder {
    file: File,
    began: Timestamp,
}

impl Recorder {
    /// Opens the trace at `path`, or begins one of a tree of so many directories.
    ///
    /// Fails if the file cannot be written, or holds something else than a trace.
    pub(super) fn open(path: &Path, directories: usize, now: Timestamp) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut first = String::new();
        BufReader::new(&file).read_line(&mut first)?;
        if first.is_empty() {
            let head = Head { version: VERSION, directories, began: now.seconds };
            writeln!(file, "{}", serde_json::to_string(&head)?)?;
            return Ok(Self { file, began: Timestamp { nanoseconds: 0, ..now } });
        }
        let head: Head = serde_json::from_str(&first)
            .ok()
            .filter(|head: &Head| head.version == VERSION)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it holds something else than a trace; name another file",
                )
            })?;
        Ok(Self { file, began: Timestamp { seconds: head.began, nanoseconds: 0 } })
    }

    /// Adds what came.
    pub(super) fn write(&mut self, arrivals: &[Arrivals]) -> io::Result<()> {
        let mut text = String::new();
        for arrival in arrivals {
            let t = arrival.at.since(self.began).as_secs_f64();
            let line = Line { t, dir: arrival.dir.to_string(), files: arrival.files };
            text.push_str(&serde_json::to_string(&line)?);
            text.push('\n');
        }
        self.file.write_all(text.as_bytes())
    }
}
