//! The program on real trees, with its events in a file: what is handed over, what is not, and what a user is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod abuse;
#[path = "../../examples/generate/archive.rs"]
mod archive;
mod bad_input;
mod budget;
mod changes;
mod configuration;
mod example;
mod explain;
mod life;
mod places;
mod power;
mod questions;
mod secrets;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod upkeep;
mod watch;

use archive::{Member, tgz_of};

/// A whole archive of a job with this number, for a user of its own, with 100 events.
fn job(number: u32) -> Vec<u8> {
    archive_with(&format!("jobid={number}\nevents=100\nexitcode=0\nUSER_ID=user-{number}\n"))
}

/// A whole archive with this `jobdata`.
fn archive_with(jobdata: &str) -> Vec<u8> {
    tgz_of(&[
        Member::directory("./"),
        Member::file("./jobdata", jobdata),
        Member::file("./dat/pp/ATLAS_2010_S8919674.dat", "# BEGIN HISTOGRAM\n"),
    ])
}

/// What `b3sum` prints for a file with this content.
fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn news(events: &[(&str, &str)]) -> Vec<(String, String)> {
    events.iter().map(|(kind, path)| ((*kind).to_owned(), (*path).to_owned())).collect()
}
