//! What a large tree costs that does not change: CPU time a look, memory, the start; and a large index on disk.
//!
//! ```text
//! cargo bench --bench scale                                          both parts: some 6 minutes
//! cargo bench --bench scale -- --only tree --directories 1000 --files 100000
//! cargo bench --bench scale -- --only index --known 500000 --in-directories 5000
//! ```
//!
//! *tree*: the program on a local tree of 10,000 directories and 1,000,000 empty files: first contact with `--baseline`,
//! then an agent with nothing to find, at the usual interval of 30 s, at 1 s, where looks are nearly all that it does, and at
//! 0.1 s, where it passes through the tree without a rest.
//!
//! *index*: an agent that knows 5,000,000 files in 50,000 directories. The directories are real, the files are not: the
//! index is filled through the store, as if each had been read and handed over long ago, and the agent finds every
//! directory with the stamp that is on record, so that it lists none. Another agent knows one directory of 10,000 real
//! files; there an archive arrives, which is found by listing it and comparing the names with the index.
//!
//! Measured from outside: CPU time (all threads, `/proc/PID/task/*/schedstat`), resident memory (`/proc/PID/status`).
#![expect(clippy::unwrap_used, reason = "a bench ends with the first thing that its own machinery cannot do")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report, and progress")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod index;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/table.rs"]
#[allow(dead_code, reason = "shared with other benches, which use all of it")]
mod table;
mod tree;

use std::fs::File;
use std::path::Path;

use clap::{Parser, ValueEnum};
use rustix::fs::{FileType, Mode, mknodat};

/// Measures what a large tree and a large index cost
#[derive(Debug, Parser)]
struct Options {
    /// Only one of the two parts
    #[arg(long, value_enum)]
    only: Option<Part>,

    /// Directories of the tree
    #[arg(long, default_value_t = 10_000)]
    directories: u32,

    /// Files of the tree
    #[arg(long, default_value_t = 1_000_000)]
    files: u32,

    /// Files in the index
    #[arg(long, default_value_t = 5_000_000)]
    known: u32,

    /// Directories in the index
    #[arg(long, default_value_t = 50_000)]
    in_directories: u32,

    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Tree,
    Index,
}

fn main() {
    let options = Options::parse();
    if options.only != Some(Part::Index) {
        println!("{}", tree::measure(options.directories, options.files));
    }
    if options.only != Some(Part::Tree) {
        println!("{}", index::measure(options.in_directories, options.known));
    }
}

/// Makes empty files `job-000000.tgz`... in `folder`.
fn create_files(folder: &Path, numbers: std::ops::Range<u32>) {
    let folder = File::open(folder).unwrap();
    for number in numbers {
        let name = format!("job-{number:08}.tgz");
        mknodat(&folder, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0).unwrap();
    }
}
