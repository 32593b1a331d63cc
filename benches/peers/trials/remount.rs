//! The file system is unmounted under the peer and comes back, while files come.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::stage::{FRESH, Stage, Tree, Way, directory, fate};
use crate::peer::Peer;
use crate::rig::Mount;
use crate::trial::Case;

const TREE: Tree = Tree { directories: 10, files_in_each: 20 };
const OF_EACH: u32 = 4;
const AWAY_INTERVALS: u32 = 3;
const LOST_AFTER_INTERVALS: u32 = 6;

/// What an unmounted and remounted file system leads to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remount {
    /// Of those that came while it was away.
    pub(crate) lost_while_away: usize,
    /// Of those that came after it was back.
    pub(crate) lost_afterwards: usize,
    /// Of each.
    pub(crate) of: u32,
    /// Handovers of files that were known before.
    pub(crate) repeats: usize,
    pub(crate) known: u32,
    /// The peer ended by itself.
    pub(crate) ended: bool,
}

pub(super) fn run(peer: Peer, case: Case) -> Result<Remount, String> {
    let mut scene = Stage::set(peer, Mount::new(case, FRESH), &TREE, false)?;
    let began = Instant::now();
    let bring = |scene: &Stage, kind: &str| -> HashMap<String, Instant> {
        let paths = (0..OF_EACH).map(|number| format!("{}/{kind}-{number}.tgz", directory(number)));
        paths.map(|path| (path.clone(), scene.bring(&path, Way::Rename))).collect()
    };
    scene.mount.unmount();
    let away = bring(&scene, "away");
    sleep(AWAY_INTERVALS * scene.interval);
    scene.mount.remount(FRESH);
    sleep(2 * scene.interval);
    let afterwards = bring(&scene, "afterwards");
    let paths: Vec<String> = away.keys().chain(afterwards.keys()).cloned().collect();
    scene.peer.wait_for(&paths, Instant::now() + LOST_AFTER_INTERVALS * scene.interval);
    let handovers = scene.peer.handovers();
    Ok(Remount {
        lost_while_away: fate(&away, &handovers).lost,
        lost_afterwards: fate(&afterwards, &handovers).lost,
        of: OF_EACH,
        repeats: scene.repeats_of_old_files(began),
        known: scene.known,
        ended: scene.peer.is_alive().is_err(),
    })
}
