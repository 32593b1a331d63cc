//! How soon files are found for the same RPCs: our schedule against other policies, on a virtual clock.
//!
//! ```text
//! cargo bench --bench schedule                        the table of docs/tuning.md, and whether each target holds
//! cargo bench --bench schedule -- --quick zipf        a first idea, of some workloads
//! cargo bench --bench schedule -- --details mixed     every figure of every policy
//! cargo bench --bench schedule -- --trace FILE        a recorded trace instead
//! cargo bench --bench schedule -- --scale 1000000     time and memory of the schedule itself
//! ```
//!
//! The same seed gives the same output, but for the times of `--scale` and the progress on standard error.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a report on standard output, from arithmetic on small counts and directories numbered densely"
)]

mod contest;
mod dice;
mod engine;
mod oracle;
mod ours;
mod policies;
mod report;
mod scale;
mod score;
mod script;
mod server;
mod trace;
mod trees;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use contest::{Contender, contest};
use workloads::{Length, WORKLOADS, Workload};

/// Compares schedules by the latency that they give for the same RPCs
#[derive(Debug, Parser)]
struct Options {
    /// Only workloads whose name contains one of these
    workloads: Vec<String>,

    /// A coarse table in less than a minute
    #[arg(long)]
    quick: bool,

    /// Only these policies, for instance `fixed,ours`
    #[arg(long, value_enum, value_delimiter = ',')]
    policies: Vec<Contender>,

    /// Every figure of every policy
    #[arg(long)]
    details: bool,

    /// Other numbers, other files
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Replays this trace with the fixed interval and with ours
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Measures the schedule itself with so many directories
    #[arg(long, value_name = "N")]
    scale: Option<usize>,

    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(directories) = options.scale {
        return done(scale::measure(directories, options.seed));
    }
    if let Some(path) = &options.trace {
        return done(trace::replay(path, options.seed));
    }
    let length = if options.quick { Length::Quick } else { Length::Full };
    let chosen: Vec<&Workload> = WORKLOADS.iter().filter(|workload| options.wants(workload.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        return done(Err(format!("no workload is called like that; there are {}", names.join(", "))));
    }
    let contenders = if options.policies.is_empty() { Contender::ALL.to_vec() } else { options.policies };
    let results = contest(&chosen, &contenders, length, options.seed);
    print!("{}", report::table(&results));
    if options.details {
        print!("{}", report::details(&results));
    }
    print!("{}", report::verdicts(&results));
    ExitCode::SUCCESS
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|part| name.contains(part.as_str()))
    }
}

fn done(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
