//! What integration tests share: real servers on loopback, a journal in memory, the real program.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::must_use_candidate, clippy::missing_panics_doc, reason = "not a library")]

pub mod journal;
pub mod scout;
pub mod servers;

use std::time::{Duration, Instant};

/// How long anything may take before a test counts as hung; nothing is asserted about speed. On two busy cores RabbitMQ alone may
/// take more than a minute to start.
pub const HANG: Duration = Duration::from_secs(240);

/// Polls until `ready` gives a value.
#[track_caller]
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < HANG, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same without blocking the runtime.
pub async fn eventually_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ready: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(start.elapsed() < HANG, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
