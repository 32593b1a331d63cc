//! When to look: at which directory, again at a racy one, at a file that is not complete yet.
//!
//! Pure: `now` and the seed come in as arguments, so that the same code runs in the agent, in a simulation and in a
//! forecast. Times are steady times of our own clock; the server's stamps are compared only with one another.

mod adaptive;
mod appointed;
mod brake;
mod deadlines;
mod directory;
mod glance;
mod keys;
mod lists;
mod once;
mod pacer;
mod price;
mod promise;
mod purse;
mod racy;
mod rate;
mod saved;
mod settle;
mod stride;
mod terms;
#[cfg(test)]
mod tests;
mod weights;

pub use adaptive::Schedule;
pub use brake::{Brake, Stuck};
pub use glance::Glance;
pub use pacer::Pacer;
pub use racy::{MAX_RACY_AGE, ServerTime};
pub use saved::{Saved, SavedClock};
pub use settle::{Proof, SettlePolicy, Step};
pub use terms::{Budget, Outlook, Sighting, Slot, Terms};
