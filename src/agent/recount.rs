//! `index recount`: brings a rebuilt index and a Redis that counted with a lost one together, so that nothing counts twice.
//!
//! The rebuilt index has counted what lies on the mount; Redis has counted what the lost one had handed over. No one
//! knows which files are in both, but each figure of either is one of a set of files whose union is sought: the larger
//! one is never too much, and exact unless files had gone *and* others came that Redis never saw. Ledger and Redis
//! both take it. That holds for one agent's figures only: with others' under the same prefix it is refused.

use crate::config::Config;
use crate::dispatch::{self, SinkError, SinkName};
use crate::store::{Store, StoreError};

use super::settings;
use super::upkeep::Outcome;

/// Why there was no recount.
#[derive(Debug, thiserror::Error)]
pub enum RecountError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis failed.
    #[error("Redis: {0}")]
    Redis(#[from] SinkError),
    /// No Redis is known.
    #[error("which Redis? Give --redis URL, or set NFS_SCOUT_REDIS")]
    NoRedis,
    /// Other agents have counted there as well.
    #[error(
        "{} agents have counted under this prefix ({}): their figures cannot be told apart. If all but one are gone for good, remove their CURSOR keys",
        .0.len(), .0.join(", ")
    )]
    Mixed(Vec<String>),
    /// The system refused what is needed.
    #[error("cannot start the runtime: {0}")]
    System(#[from] std::io::Error),
}

/// Does it, while no agent runs.
pub fn recount(store: &Store, config: &Config) -> Result<Outcome, RecountError> {
    let redis = settings::sinks(config).redis.ok_or(RecountError::NoRedis)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(dispatch::figures_in(&redis))?;
    let replaced: Vec<String> = found.agents.into_iter().filter(|agent| agent != store.agent_id()).collect();
    if replaced.len() > 1 {
        return Err(RecountError::Mixed(replaced));
    }
    // The ledger first: whatever fails from here on, the same again ends the same.
    store.adopt(&found.totals)?;
    let (head, totals) = store.totals();
    let upto =
        runtime.block_on(dispatch::raise_figures(&redis, store.agent_id(), (head, &totals), &replaced))?;
    store.outrun(upto)?;
    store.set_cursor(SinkName::Redis.as_str(), upto)?;
    let text = format!("the ledger and Redis agree; what is handed over after number {upto} is counted\n");
    Ok(Outcome { text, is_well: true })
}
