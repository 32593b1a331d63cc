//! What the agent knows, told to people and programs: tables and JSON. Pure: it formats what it is given.

mod explanation;
mod report;
mod statistics;
mod summary;

pub use explanation::{Explanation, render_explanation};
pub use report::{
    ExportLine, IndexLine, IndexSize, MAX_LISTED, OperationReport, OutboxReport, RefusedMessage, Report,
    RootReport, SinkLine, WaitingFile,
};
pub use report::{render, render_list, render_size};
pub use statistics::{Statistics, render_statistics};
pub use summary::Summary;
