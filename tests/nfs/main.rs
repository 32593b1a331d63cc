//! What is true behind a real NFS client, as ordinary named tests: `cargo test --test nfs [FILTER]`.
//!
//! This one program plays three parts. On the machine (`host`) it picks the trials, boots a User-Mode-Linux kernel for
//! each group of them (`tests/nfs/boot`) and reports their results. Inside that kernel (`guest`) it is started again and
//! runs the trials one after the other, each in a process of its own (`trial`), so that a panic, a hang or a mount left
//! behind spoils one trial and not its successors.
//!
//! To add a trial: write a function that takes a [`trial::Case`] and panics when something does not hold, and add it to
//! the list at the top of its file: `facts` needs no agent, `agent` runs the real binary, `costs`, `options` and
//! `comparison` count its RPCs, `doctor` plants faults for the subcommand of that name, `faults` and `server` are what
//! befalls it. The tools are in `rig`.
//!
//! For a long run: `NFS_RIG_RACES=1000 NFS_RIG_PATIENCE=10 tests/run nfs race`, two minutes a case, or
//! `NFS_RIG_FILES=200000 NFS_RIG_PATIENCE=4 tests/run nfs large`. All limits are so many times longer then.
//!
//! The guest has one CPU and slow system calls: assert counts of RPCs and ratios there, never times. All its time comes
//! from one clock: see [`rig::Program::clock`] for a server whose clock is off.
#![expect(clippy::unwrap_used, reason = "a trial ends with the first thing that does not hold")]
#![expect(clippy::indexing_slicing, reason = "as above")]
#![expect(clippy::print_stdout, reason = "standard output is a trial's report")]

mod adaptive;
mod agent;
mod comparison;
mod costs;
mod doctor;
mod facts;
mod faults;
mod guest;
mod host;
mod options;
mod race;
mod rig;
mod tools;
mod trial;

use std::env;
use std::process::ExitCode;

use trial::Trial;

/// Names the part that this process plays; unset on the machine.
const PART: &str = "NFS_RIG_PART";
/// What whoever starts the trials may ask for, in the environment; the guest gets it too.
const WISHES: [&str; 3] = [trial::PATIENCE, race::RACES, costs::FILES];

/// The number that is asked for under this name, else `usual`.
fn wish(name: &str, usual: u32) -> u32 {
    env::var(name).map_or(usual, |number| number.parse().expect("a number"))
}

fn main() -> ExitCode {
    let trials: Vec<Trial> = [
        facts::trials(),
        tools::trials(),
        adaptive::trials(),
        agent::trials(),
        costs::trials(),
        comparison::trials(),
        doctor::trials(),
        options::trials(),
        race::trials(),
        faults::trials(),
    ]
    .concat();
    match env::var(PART).as_deref() {
        Ok("guest") => guest::run_all(&trials),
        Ok("trial") => guest::run_one(&trials),
        _ => host::run(trials),
    }
}
