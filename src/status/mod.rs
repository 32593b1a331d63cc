//! What the agent knows, told to people and programs: tables, JSON, metrics, a page. Pure: it formats what it is given.

mod explanation;
mod exposition;
mod health;
mod index;
mod metrics;
mod page;
mod render;
mod report;
mod statistics;
mod summary;
mod table;

pub use explanation::{Explanation, render_explanation};
pub use health::problems;
pub use index::{ExportLine, IndexLine, IndexSize, render_list, render_size};
pub use metrics::{METRICS_TYPE, metrics};
pub use page::{Asset, CONTENT_SECURITY_POLICY, asset};
pub use render::render;
pub use report::{
    DirectoryLine, HandedOverFile, LatencyReport, MAX_DIRECTORIES, MAX_LISTED, OperationReport, OutboxReport,
    Pace, Point, RefusedMessage, Report, RootReport, RootState, SinkLine, WaitingFile,
};
pub use statistics::{Statistics, render_statistics};
pub use summary::Summary;
