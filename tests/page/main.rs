//! What the agent tells of itself: metrics, `status` and the page, each against a real running agent.
//!
//! The metrics are checked by Prometheus' own promtool, the page is looked at in a real headless Chromium. With
//! `PAGE_SHOTS=DIR` the page's test leaves screenshots there, light and dark, wide and narrow, of every state.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

#[path = "../../examples/generate/archive.rs"]
mod archive;
mod browser;
mod hung;
mod metrics;
mod page;
mod screen;
#[path = "../support/mod.rs"]
mod support;
mod web;

use archive::{Member, tgz_of};
use support::scout::{Agent, Scout};

/// A whole archive of a job with this number.
fn job(number: u32) -> Vec<u8> {
    let jobdata = format!("jobid={number}\nevents=100\nexitcode=0\nUSER_ID=user-{number}\n");
    tgz_of(&[Member::directory("./"), Member::file("./jobdata", &jobdata)])
}

/// An agent that serves metrics and page on a free port of its own; the port.
#[track_caller]
fn serving(scout: &Scout, more: &[&str]) -> (Agent, u16) {
    let agent = scout.agent_unready(&[&["--listen", "0"], more].concat());
    agent.logged("Serving metrics and page.");
    let log = agent.log();
    let (_, rest) = log.split_once("address=127.0.0.1:").expect("it listens on this machine only");
    let port = rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    (agent, port)
}
