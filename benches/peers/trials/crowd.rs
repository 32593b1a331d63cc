//! A directory with so many names that the client no longer asks for attributes with them, in which files come and go
//! while it is listed.

use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::stage::{FRESH, Stage, Tree, Way, directory, fate, mean_seconds};
use crate::peer::Peer;
use crate::rig::Mount;
use crate::trial::Case;

const TREE: Tree = Tree { directories: 1, files_in_each: 10_500 };
/// Longer than the others' pass takes in the guest.
const INTERVAL: Duration = Duration::from_secs(8);
const IDLE_INTERVALS: u32 = 2;
/// Come, and as many go, within an interval.
const CHANGES: u32 = 80;
const LOST_AFTER_INTERVALS: u32 = 4;

/// RPCs per interval, and what became of the new files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) rpcs: f64,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) half: usize,
    pub(crate) of: u32,
    /// Handovers of old files while others came.
    pub(crate) repeats: usize,
    pub(crate) found_after_seconds: Option<f64>,
}

pub(super) fn run(peer: Peer, case: Case) -> Result<Crowd, String> {
    let mut scene = Stage::set_with(peer, Mount::new(case, FRESH), &TREE, false, INTERVAL)?;
    let before = scene.rpcs();
    sleep(IDLE_INTERVALS * INTERVAL);
    let rpcs =
        f64::from(u32::try_from(scene.rpcs().since(&before).total()).unwrap()) / f64::from(IDLE_INTERVALS);

    let began = Instant::now();
    let folder = scene.mount.server_path().join(directory(0));
    let mut arrivals = HashMap::new();
    for number in 0..CHANGES {
        let path = format!("{}/news-{number}.tgz", directory(0));
        let way = if number.is_multiple_of(2) { Way::Rename } else { Way::InPlace };
        arrivals.insert(path.clone(), scene.bring(&path, way));
        // Spread over the names, so over the order in which they are listed.
        fs::remove_file(folder.join(format!("old-{:06}", number * (10_500 / CHANGES)))).unwrap();
        sleep((INTERVAL / CHANGES).saturating_sub(Duration::from_millis(40)));
    }
    let paths: Vec<String> = arrivals.keys().cloned().collect();
    scene.peer.wait_for(&paths, Instant::now() + LOST_AFTER_INTERVALS * INTERVAL);
    scene.peer.is_alive()?;
    let fate = fate(&arrivals, &scene.peer.handovers());
    Ok(Crowd {
        rpcs,
        lost: fate.lost,
        doubled: fate.doubled,
        half: fate.half,
        of: CHANGES,
        repeats: scene.repeats_of_old_files(began),
        found_after_seconds: mean_seconds(fate.found_after.values()),
    })
}
