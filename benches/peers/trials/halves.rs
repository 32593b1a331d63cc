//! Files that are written slowly under their names: one piece a second, or with a stall after the first half.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::stage::{FRESH, SETTLE, Stage, Tree, directory, fate};
use crate::peer::Peer;
use crate::rig::{Mount, agent};
use crate::trial::Case;

const TREE: Tree = Tree { directories: 8, files_in_each: 10 };
const OF_EACH: u32 = 4;
/// Over several intervals, and longer than the settling time.
const PIECES: usize = 12;
const BETWEEN_PIECES: Duration = Duration::from_secs(1);

/// Which files were handed over before they were whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Halves {
    /// Files that grew all the time.
    pub(crate) slow: usize,
    /// Files that stalled for longer than the settling time.
    pub(crate) stalled: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// Of each kind.
    pub(crate) of: u32,
}

pub(super) fn run(peer: Peer, case: Case, settle: bool) -> Result<Halves, String> {
    let mut scene = Stage::set(peer, Mount::new(case, FRESH), &TREE, settle)?;
    let bytes = fs::read(agent::sample()).unwrap();
    let paths = |kind: &str| {
        (0..OF_EACH).map(|number| format!("{}/{kind}-{number}.tgz", directory(number))).collect()
    };
    let (slow, stalled): (Vec<String>, Vec<String>) = (paths("slow"), paths("stalled"));
    let open = |path: &String| {
        let path = scene.mount.server_path().join(path);
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    };
    let mut slow_files: Vec<File> = slow.iter().map(open).collect();
    let mut stalled_files: Vec<File> = stalled.iter().map(open).collect();
    let (first_half, second_half) = bytes.split_at(bytes.len() / 2);
    let write = |files: &mut Vec<File>, piece: &[u8]| {
        for file in files {
            file.write_all(piece).unwrap();
        }
    };
    write(&mut stalled_files, first_half);
    for piece in bytes.chunks(bytes.len().div_ceil(PIECES)) {
        write(&mut slow_files, piece);
        sleep(BETWEEN_PIECES);
    }
    write(&mut stalled_files, second_half);
    drop((slow_files, stalled_files));
    let whole_at = Instant::now();
    let all = [slow.as_slice(), &stalled].concat();
    scene.peer.wait_for(&all, whole_at + 4 * scene.interval + SETTLE);
    // For those that are handed over again.
    sleep(2 * scene.interval);
    scene.peer.is_alive()?;

    let handovers = scene.peer.handovers();
    let fate_of = |paths: &[String]| {
        let arrivals: HashMap<String, Instant> = paths.iter().map(|path| (path.clone(), whole_at)).collect();
        fate(&arrivals, &handovers)
    };
    let (all, slow, stalled) = (fate_of(&all), fate_of(&slow), fate_of(&stalled));
    Ok(Halves { slow: slow.half, stalled: stalled.half, lost: all.lost, doubled: all.doubled, of: OF_EACH })
}
