//! The nouns that every room shares: what a file is, what is known of it, what is handed over.
//!
//! Plain values and pure functions. Nothing here reads a clock, a file or a socket, and nothing here imports
//! another part of the crate: this is the bottom of the dependency order.

mod broker;
mod figures;
mod handover;
mod histogram;
mod identity;
mod jobdata;
mod name;
mod numbered;
mod time;
mod totals;

pub use broker::{QueueLook, RedisLook, RedisRole};
pub use figures::{
    Board, Counter, Counts, Gain, JobFigures, MAX_EVENTS_PER_JOB, MAX_NAME_BYTES, Scores, TOTAL,
};
pub use handover::{Analysis, AnalysisStatus, Handover, Kind, RootPath, Seq};
pub use histogram::{BOUNDS, Histogram, float};
pub use identity::{ContentHash, MessageId, ParseHexError, RelPath, Stamp};
pub use jobdata::{JobData, MAX_FIELDS, Run, Value};
pub(crate) use jobdata::{JobdataLine, jobdata_lines};
pub use name::Name;
pub use numbered::{Numbered, Spreading};
pub use time::Timestamp;
pub use totals::{Figure, Member, Totals};
