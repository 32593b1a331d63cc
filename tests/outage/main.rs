//! RabbitMQ is away for long, or the state is lost: nothing is lost of it, the memory and the disk stay bounded.
//!
//! The outage is made of files, not of minutes; `OUTAGE_FILES` makes it longer, `OUTAGE_RATE` slower:
//!
//! ```text
//! OUTAGE_FILES=120000 OUTAGE_RATE=200 cargo test --release --test outage away -- --nocapture     ten minutes at 200/s
//! ```
//!
//! What a release build's memory grows by is then to be less than 20 MB; a debug build's threads alone may take more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod away;
mod full;
#[path = "../crash/load.rs"]
#[allow(dead_code, reason = "the crash test uses the rest")]
mod load;
mod queue;
mod rebuilt;
#[path = "../support/mod.rs"]
mod support;

use support::eventually;
use support::scout::Scout;

/// Waits until the agent has handed over `files`.
#[track_caller]
fn await_head(scout: &Scout, files: u64) {
    eventually("the head of the journal", || {
        let head = scout.ask(&["status"])["head"].as_u64().unwrap();
        assert!(head <= files, "{head} handed over, of {files} files");
        (head == files).then_some(())
    });
}
