//! What of a schedule outlives its process: a few bytes a directory, and what all directories share.
//!
//! Times are steady times that go on over restarts, as the store keeps them.

use serde::{Deserialize, Serialize};

use super::rate::SCALES;

/// One directory's estimates. At most 40 bytes in postcard's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Saved {
    /// When the last look began, in milliseconds; 0 for never.
    pub(super) last: u64,
    pub(super) counts: [f32; SCALES],
    pub(super) age: f32,
    pub(super) evidence: u8,
    pub(super) listing: u16,
    pub(super) flags: u8,
}

/// What all directories share: the price, the learnt weights, the period of one-shot runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedClock {
    /// Seconds a unit of virtual time.
    pub(super) price: Option<f64>,
    pub(super) base: [f64; 2],
    /// Credit and forecast of each class's terms.
    pub(super) classes: Vec<f32>,
    /// When the last one-shot run began, in milliseconds, and the seconds between two runs.
    pub(super) last_run: Option<u64>,
    pub(super) runs_every: Option<f64>,
}
