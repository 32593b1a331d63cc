//! News on a mount with the default options, whose client may believe what it knows for up to a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::stage::{Stage, Tree, Way, directory, fate, mean_seconds};
use crate::peer::Peer;
use crate::rig::Mount;
use crate::trial::Case;

const TREE: Tree = Tree { directories: 10, files_in_each: 10 };
const FILES: u32 = 5;
/// Longer than `acdirmax`.
const LOST_AFTER: Duration = Duration::from_secs(90);

/// How late they were found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stale {
    pub(crate) mean_seconds: Option<f64>,
    pub(crate) most_seconds: Option<f64>,
    pub(crate) lost: usize,
    pub(crate) of: u32,
}

pub(super) fn run(peer: Peer, case: Case) -> Result<Stale, String> {
    let mut scene = Stage::set(peer, Mount::new(case, ""), &TREE, false)?;
    let arrivals: HashMap<String, Instant> = (0..FILES)
        .map(|number| format!("{}/late-{number}.tgz", directory(2 * number)))
        .map(|path| (path.clone(), scene.bring(&path, Way::Rename)))
        .collect();
    let paths: Vec<String> = arrivals.keys().cloned().collect();
    scene.peer.wait_for(&paths, Instant::now() + LOST_AFTER);
    scene.peer.is_alive()?;
    let fate = fate(&arrivals, &scene.peer.handovers());
    Ok(Stale {
        mean_seconds: mean_seconds(fate.found_after.values()),
        most_seconds: fate.found_after.values().max().map(Duration::as_secs_f64),
        lost: fate.lost,
        of: FILES,
    })
}
