//! The one file of this room that reads a clock or a random number; everything else gets them as arguments.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::SystemTime;

use crate::model::Timestamp;

/// Our wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// A number from 0 to 1, different at every call and in every process.
#[expect(clippy::cast_precision_loss, reason = "jitter needs no 53 exact bits")]
pub(crate) fn jitter() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
