//! `nfs-scout` against what people use instead: what each costs, and which files it loses, doubles or hands over half.
//!
//! ```text
//! cargo bench --bench peers                               everything, and the tables: some 50 minutes
//! cargo bench --bench peers -- --write                    the same, and renews the tables of docs/nfs.md
//! cargo bench --bench peers -- --last --write             from what the last run measured, without another
//! cargo bench --bench peers -- --only local --files 20000 --interval 5s    a first idea in some minutes
//! cargo bench --bench peers -- --only nfs --peers nfs-scout,find           only these
//! ```
//!
//! As root, with the packages that `tests/run install` installs, node and python3. The peers come from their package
//! registries into `target/tmp/peers`.
//!
//! Everything is measured from outside and for each peer alike ([`watched`]): the RPCs of its mount, the CPU time and the
//! resident memory of its process group, and the moment at which it wrote a file's name to its output (*handed over*). All
//! poll at the same interval ([`peer`] says where one cannot), on trees that they know before anything is counted. Files
//! come from "another client": the server's side of the mount.
//!
//! On the mount (`trials/`), for NFSv3 and NFSv4.2 over ext4:
//!
//! - **RPCs an interval**, nothing new or one new file in each: all that the mount sent, and the writes among them.
//!   nfs-scout's contain reading the new file, which the others leave to whoever takes their list; and it looks at each
//!   directory twice an interval (`--budget auto`).
//! - **CPU**: the guest has one slow CPU, so only the ratio says something; a busy machine distorts it (twofold and more, when
//!   something else began between two peers): let nothing else run.
//! - **found after**: from the end of the file's rename or of its last write until it was handed over, in intervals.
//! - **default mount**: the same in seconds on a mount without `actimeo`, where a client may believe its caches for 60 s.
//! - **half**: handed over before its last byte was written; of files that grow all the time, and of files that stall for
//!   longer than any peer waits. *Settled*: the same with the peer's own option to wait for files that change, if it has one.
//! - **race**: a name came right after the listing of its directory, in the same tick of the server's clock; lost when not
//!   handed over in several intervals in which nothing else happens there.
//! - **remount**: files that came while the file system was unmounted or after it was back and were not handed over, and
//!   old files that were handed over again.
//! - **crowd**: 10,500 names in a directory in which files come and go while it is listed.
//!
//! On the local tree (`local`): the CPU time of an interval, the time of a pass where it is one burst of work, the most
//! memory (resident, summed over the peer's processes), and how long it took to know the tree.
#![expect(clippy::unwrap_used, reason = "a bench ends with the first thing that its own machinery cannot do")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report on standard output, progress on the other"
)]

mod guest;
mod install;
mod local;
mod machine;
mod page;
mod peer;
mod poll_watcher;
mod rhythm;
#[path = "../../tests/nfs/rig/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the trials, which use all of it")]
mod rig;
mod table;
#[path = "../../tests/nfs/trial.rs"]
#[allow(dead_code, reason = "shared with the trials, which use all of it")]
mod trial;
mod trials;
mod watched;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use peer::Peer;

/// The number that is asked for under this name, else `usual`: what the shared rig asks of its crate.
fn wish(name: &str, usual: u32) -> u32 {
    env::var(name).map_or(usual, |number| number.parse().expect("a number"))
}

/// Compares nfs-scout with what people use instead
#[derive(Debug, Parser)]
struct Options {
    /// Only one of the two places
    #[arg(long, value_enum)]
    only: Option<Where>,

    /// Only these
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::ALL)]
    peers: Vec<Peer>,

    /// Only these trials on the mount
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = trials::Trial::ALL)]
    trials: Vec<trials::Trial>,

    /// Files of the local tree, 100 in each directory
    #[arg(long, default_value_t = 1_000_000)]
    files: u32,

    /// The polling interval on the local tree
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    interval: Duration,

    /// Puts the tables between the marks in docs/nfs.md
    #[arg(long)]
    write: bool,

    /// Measures nothing: the tables of the last run
    #[arg(long)]
    last: bool,

    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,

    /// In the guest: where the results go
    #[arg(long, hide = true)]
    results: Option<PathBuf>,

    /// In the guest: the protocol's version
    #[arg(long, hide = true, value_parser = guest::version, default_value = "v42")]
    version: trial::Version,

    /// As a peer: the notify crate's `PollWatcher` on this folder
    #[arg(long, hide = true)]
    poll_watcher: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    Nfs,
    Local,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(root) = &options.poll_watcher {
        poll_watcher::report(root, options.interval);
        return ExitCode::SUCCESS;
    }
    if let Some(results) = &options.results {
        guest::run(results, options.version, &options.peers, &options.trials);
        return ExitCode::SUCCESS;
    }
    match compare(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    if !options.last {
        install::peers()?;
    }
    let mut sections = Vec::new();
    if options.only != Some(Where::Local) {
        let entries =
            if options.last { machine::last() } else { machine::boot_both(&options.peers, &options.trials)? };
        sections.push(("peers-nfs", table::on_mounts(&options.peers, &entries)));
    }
    if options.only != Some(Where::Nfs) {
        let result = if options.last {
            local::last()?
        } else {
            local::measure(&options.peers, options.files, options.interval)?
        };
        sections.push(("peers-local", table::on_a_local_tree(&result)));
    }
    for (name, text) in &sections {
        println!("{text}");
        if options.write {
            page::renew(name, text)?;
        }
    }
    Ok(())
}
