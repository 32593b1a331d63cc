//! When to look: at which directory, again at a racy one, at a file that is not complete yet.
//!
//! Pure: `now` and the seed come in as arguments, so that the same code runs in the agent, in a simulation and in a
//! forecast. Times are steady times of our own clock; the server's stamps are compared only with one another.

mod interval;
mod pacer;
mod racy;
mod settle;

pub use interval::Schedule;
pub use pacer::Pacer;
pub use racy::{MAX_RACY_AGE, ServerTime};
pub use settle::{Proof, SettlePolicy, Step};
