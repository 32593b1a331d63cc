//! What the agent knows, told to people and programs: tables and JSON. Pure: it formats what it is given.

mod report;
mod statistics;

pub use report::{IndexSize, MAX_LISTED, Report, RefusedMessage, RootReport, SinkLine, WaitingFile, render};
pub use statistics::{Statistics, render_statistics};
