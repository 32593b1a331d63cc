//! Joins the rooms: what is due, what was seen, what is remembered, what is sent.
//!
//! ```text
//! engine    decides: a state machine without threads, clock or mount
//! service   its thread: gives jobs to the workers, takes outcomes, commits
//! job       what the workers do: the only code that decides nothing and looks
//! run       starts all of it beside the sinks, and ends it
//! ```

mod agenda;
mod appointments;
mod buffers;
mod control;
mod diff;
mod doctor;
mod engine;
mod explain;
mod file;
mod job;
mod journal;
mod look;
mod outbox;
mod pass;
mod pending;
mod place;
mod plan;
mod progress;
mod recent;
mod recorder;
mod recount;
mod report;
mod root;
mod round;
mod run;
mod service;
mod settings;
mod silence;
#[cfg(test)]
mod simulation;
mod table;
mod textfile;
mod upkeep;
mod verdict;
mod vitals;
mod walk;
mod watched;
mod web;

pub use control::{Question, answer, ask};
pub use doctor::doctor;
pub use plan::{PlanError, plan};
pub use recount::{RecountError, recount};
pub use run::{AgentError, Ended, run};
pub use service::ServiceError;
pub use upkeep::{Errand, ErrandError, Outcome, attend};
