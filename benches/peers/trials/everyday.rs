//! An ordinary tree: what an interval costs with nothing new and with a file, and how soon the file is found.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::stage::{FRESH, Stage, Tree, Way, directory, fate, mean_seconds};
use crate::peer::Peer;
use crate::rig::Mount;
use crate::trial::Case;

const TREE: Tree = Tree { directories: 25, files_in_each: 20 };
const IDLE_INTERVALS: u32 = 5;
/// One file in each.
const NEWS_INTERVALS: u32 = 8;
/// A file that is not handed over in so many intervals is lost.
const LOST_AFTER_INTERVALS: u32 = 5;
/// All per interval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Everyday {
    pub(crate) idle: Cost,
    pub(crate) news: Cost,
    /// How often an old file was handed over again, nothing new.
    pub(crate) repeats: f64,
    /// In seconds; `None` if none was found.
    pub(crate) found_after_rename: Option<f64>,
    pub(crate) found_after_in_place: Option<f64>,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) half: usize,
    pub(crate) of: u32,
}

/// What an interval costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) rpcs: f64,
    pub(crate) writes: f64,
    pub(crate) cpu_seconds: f64,
}

pub(super) fn run(peer: Peer, case: Case) -> Result<Everyday, String> {
    let mut scene = Stage::set(peer, Mount::new(case, FRESH), &TREE, false)?;
    let began = Instant::now();
    let idle = cost(&scene, IDLE_INTERVALS, || sleep(IDLE_INTERVALS * scene.interval));
    let repeats = per(IDLE_INTERVALS, scene.repeats_of_old_files(began));

    let mut arrivals = HashMap::new();
    let began = Instant::now();
    let news = cost(&scene, NEWS_INTERVALS, || {
        for number in 0..NEWS_INTERVALS {
            // Each way at four points of the interval.
            let phase = (f64::from(number / 2) + 0.5) / f64::from(NEWS_INTERVALS / 2);
            sleep_until(began + scene.interval.mul_f64(f64::from(number) + phase));
            let (name, way) = file(number);
            arrivals.insert(name.clone(), scene.bring(&name, way));
        }
        sleep_until(began + NEWS_INTERVALS * scene.interval);
    });
    let paths: Vec<String> = arrivals.keys().cloned().collect();
    scene.peer.wait_for(&paths, Instant::now() + LOST_AFTER_INTERVALS * scene.interval);
    scene.peer.is_alive()?;

    let fate = fate(&arrivals, &scene.peer.handovers());
    let found = |way| {
        mean_seconds(
            (0..NEWS_INTERVALS)
                .map(file)
                .filter(|it| it.1 == way)
                .filter_map(|it| fate.found_after.get(&it.0)),
        )
    };
    Ok(Everyday {
        idle,
        news,
        repeats,
        found_after_rename: found(Way::Rename),
        found_after_in_place: found(Way::InPlace),
        lost: fate.lost,
        doubled: fate.doubled,
        half: fate.half,
        of: NEWS_INTERVALS,
    })
}

fn file(number: u32) -> (String, Way) {
    let way = if number.is_multiple_of(2) { Way::Rename } else { Way::InPlace };
    (format!("{}/news-{number}.tgz", directory(3 * number)), way)
}

fn cost(scene: &Stage, intervals: u32, action: impl FnOnce()) -> Cost {
    let (rpcs, cpu) = (scene.rpcs(), scene.peer.cpu());
    action();
    let sent = scene.rpcs().since(&rpcs);
    Cost {
        rpcs: per(intervals, usize::try_from(sent.total()).unwrap()),
        writes: per(intervals, usize::try_from(sent.writes()).unwrap()),
        cpu_seconds: (scene.peer.cpu().saturating_sub(cpu)).as_secs_f64() / f64::from(intervals),
    }
}

fn per(intervals: u32, count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / f64::from(intervals)
}

fn sleep_until(moment: Instant) {
    sleep(moment.saturating_duration_since(Instant::now()));
}
