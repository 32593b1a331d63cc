//! Makes trees of job archives such as workers drop into a `copilot-output` folder, and can go on dropping them.
//!
//! The same options with the same seed make the same files, in the same directories.
//!
//! ```text
//! generate /mnt/copilot-output --jobs 2000 --layout date --directories 30 --zipf 1
//! generate /mnt/copilot-output --rate 20/s --for 60s --style in-place --slow 10s --manifest made.jsonl
//! generate --sample examples/copilot-output
//! ```

mod archive;
mod delivery;
mod dice;
mod job;
mod layout;
mod manifest;
mod sample;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::Parser;

use delivery::{Style, deliver};
use job::Job;
use layout::{Layout, Scheme};
use manifest::Manifest;

/// How many slow files may grow at the same time.
const MAX_GROWING: usize = 512;

/// Makes trees of job archives, and goes on dropping jobs at a rate
#[derive(Debug, Parser)]
struct Options {
    /// Where to make the tree
    #[arg(required_unless_present = "sample")]
    directory: Option<PathBuf>,

    /// Jobs made at once, at the start [default: 100, or 0 with --rate]
    #[arg(long, value_name = "N")]
    jobs: Option<u64>,

    /// Goes on dropping jobs, for instance 20/s
    #[arg(long, value_name = "N/s", value_parser = parse_rate)]
    rate: Option<f64>,

    /// Stops dropping after this time, for instance 60s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, requires = "rate")]
    duration: Option<Duration>,

    /// Stops when so many jobs were made in all
    #[arg(long, value_name = "N", requires = "rate")]
    total: Option<u64>,

    /// Under which name a file is written
    #[arg(long, value_enum, default_value = "rename")]
    style: Style,

    /// Writes each file in pieces over this time, for instance 10s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    slow: Duration,

    /// How directories are called
    #[arg(long, value_enum, default_value = "flat")]
    layout: Scheme,

    /// How many directories
    #[arg(long, value_name = "N", default_value_t = 1)]
    directories: usize,

    /// How unevenly jobs fall on the directories: 0 evenly, 1 by Zipf's law
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.0)]
    zipf: f64,

    /// Another seed, other jobs under other names
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Adds to each archive so many bytes that do not compress
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    size: usize,

    /// Writes a JSON line of each finished file: path, BLAKE3, user, events, experiments, ...
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Makes the small tree of one file of each kind instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["directory", "jobs", "rate"])]
    sample: Option<PathBuf>,

    /// Adds a file to the sample whose name is not UTF-8
    #[arg(long, requires = "sample")]
    non_utf8: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let made = match &options.sample {
        Some(root) => make_sample(root, &options),
        None => make_tree(&options),
    };
    match made.and_then(|summary| writeln!(io::stdout(), "{summary}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nowhere_else = writeln!(io::stderr(), "generate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| "expected N/s".to_owned())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("expected a rate above 0".to_owned()) }
}

fn make_sample(root: &Path, options: &Options) -> io::Result<serde_json::Value> {
    let manifest = Manifest::create(root.to_owned(), options.manifest.as_deref())?;
    for sample in sample::samples(options.non_utf8) {
        deliver(&root.join(&sample.path), &sample.bytes, options.style, Duration::ZERO)?;
        manifest.note(&sample.path, &sample.bytes, sample.summary)?;
    }
    manifest.finish()
}

fn make_tree(options: &Options) -> io::Result<serde_json::Value> {
    let root = options.directory.clone().unwrap_or_default();
    let worker = Worker {
        layout: Layout::new(options.layout, options.directories, options.zipf),
        manifest: Manifest::create(root.clone(), options.manifest.as_deref())?,
        root,
        options,
    };
    thread::scope(|scope| {
        let mut growing = VecDeque::new();
        let started = Instant::now();
        for index in 0.. {
            let Some(due) = due(options, index) else { break };
            if let Some(early) = due.checked_sub(started.elapsed()) {
                thread::sleep(early);
            }
            worker.start(scope, index, &mut growing)?;
        }
        growing.into_iter().try_for_each(join)
    })?;
    worker.manifest.finish()
}

/// When job number `index` is due, counted from the start; `None` if it is one too many.
#[expect(clippy::cast_precision_loss, reason = "a job more or less in 2^53")]
fn due(options: &Options, index: u64) -> Option<Duration> {
    let at_once = options.jobs.unwrap_or(if options.rate.is_some() { 0 } else { 100 });
    if options.total.is_some_and(|total| index >= total) {
        return None;
    }
    if index < at_once {
        return Some(Duration::ZERO);
    }
    let due = Duration::try_from_secs_f64((index - at_once) as f64 / options.rate?).ok()?;
    options.duration.is_none_or(|end| due < end).then_some(due)
}

/// Drops jobs as the options say.
struct Worker<'a> {
    root: PathBuf,
    layout: Layout,
    manifest: Manifest,
    options: &'a Options,
}

impl Worker<'_> {
    /// Drops a job; a slow one on a thread of its own, for which there may be a wait.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        index: u64,
        growing: &mut VecDeque<ScopedJoinHandle<'scope, io::Result<()>>>,
    ) -> io::Result<()> {
        if self.options.slow.is_zero() {
            return self.drop_job(index);
        }
        if growing.len() == MAX_GROWING
            && let Some(oldest) = growing.pop_front()
        {
            join(oldest)?;
        }
        growing.push_back(scope.spawn(move || self.drop_job(index)));
        Ok(())
    }

    fn drop_job(&self, index: u64) -> io::Result<()> {
        let Options { seed, size, style, slow, .. } = *self.options;
        let mut job = Job::draw(seed, index);
        job.padding = size;
        let path = self.layout.directory_of(seed, index).join(job.file_name());
        let bytes = job.archive();
        deliver(&self.root.join(&path), &bytes, style, slow)?;
        self.manifest.note(&path, &bytes, job.summary())
    }
}

fn join(thread: ScopedJoinHandle<'_, io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a writing thread panicked")))
}
