//! A large tree on a local disk: what an unchanged one costs in CPU time and memory, and what one new file adds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, mknodat};
use serde::{Deserialize, Serialize};

use crate::install;
use crate::peer::{Peer, Post};
use crate::rhythm;
use crate::rig::agent;
use crate::watched::Watched;

const FILES_IN_EACH: u32 = 100;
const IDLE_INTERVALS: u32 = 3;
const NEWS_INTERVALS: u32 = 2;
/// For its first look at the tree.
const READY: Duration = Duration::from_secs(600);
const LOST_AFTER_INTERVALS: u32 = 3;

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) files: u32,
    pub(crate) interval: Duration,
    pub(crate) rows: Vec<Row>,
}

/// What was measured of one peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) outcome: Result<Figures, String>,
}

/// The times of one peer, and its memory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// From its start until it knew the tree.
    pub(crate) ready: Duration,
    /// CPU time of an interval with nothing new, and with one new file.
    pub(crate) idle_cpu: Duration,
    pub(crate) news_cpu: Duration,
    /// The mean wall-clock time of a pass; `None` if its work does not come in bursts.
    pub(crate) pass: Option<Duration>,
    /// `None` if one was lost.
    pub(crate) found_after: Option<Duration>,
    pub(crate) peak_bytes: u64,
}

/// Measures them one after the other on the same tree, which is removed at the end.
pub(crate) fn measure(peers: &[Peer], files: u32, interval: Duration) -> Result<Outcome, String> {
    let began = Instant::now();
    let tree = Tree::plant(files).map_err(|error| format!("no tree: {error}"))?;
    eprintln!("{files} files planted in {:.0?}", began.elapsed());
    let mut rows = Vec::new();
    for peer in peers {
        let outcome = tree.watched_by(*peer, interval);
        eprintln!("{peer:?}: {outcome:?}");
        rows.push(Row { peer: *peer, outcome });
    }
    let outcome = Outcome { files, interval, rows };
    let text = serde_json::to_string(&outcome).expect("numbers and names");
    fs::write(kept(), text).map_err(|error| format!("{}: {error}", kept().display()))?;
    Ok(outcome)
}

/// What the last run measured.
pub(crate) fn last() -> Result<Outcome, String> {
    let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", kept().display());
    let text = fs::read_to_string(kept()).map_err(|error| problem(&error))?;
    serde_json::from_str(&text).map_err(|error| problem(&error))
}

fn kept() -> PathBuf {
    install::folder().join("local-results")
}

/// The tree and what the peers write beside it; removed with the value.
struct Tree {
    folder: PathBuf,
}

impl Tree {
    fn plant(files: u32) -> std::io::Result<Self> {
        let tree = Self { folder: install::folder().join("local") };
        let _ = fs::remove_dir_all(&tree.folder);
        for number in 0..files.div_ceil(FILES_IN_EACH) {
            // Two levels, as a tree by dates has.
            let folder = tree.root().join(format!("{}/{number}", number / 100));
            fs::create_dir_all(&folder)?;
            let folder = File::open(&folder)?;
            for file in 0..FILES_IN_EACH {
                mknodat(
                    &folder,
                    format!("old-{file:06}"),
                    FileType::RegularFile,
                    Mode::from_raw_mode(0o644),
                    0,
                )?;
            }
        }
        Ok(tree)
    }

    fn root(&self) -> PathBuf {
        self.folder.join("tree")
    }

    fn watched_by(&self, peer: Peer, interval: Duration) -> Result<Figures, String> {
        let work = self.folder.join(format!("{peer:?}"));
        let post = Post { root: self.root(), work, interval, settle: None };
        let mut watched = Watched::start(peer, &post)?;
        let ready = watched.make_ready(READY, |name| bring(&self.root(), name))?;
        // What the first look leaves to do.
        sleep(interval);
        let (quiet_since, before) = (Instant::now(), watched.cpu());
        sleep(IDLE_INTERVALS * interval);
        let idle_cpu = watched.cpu().saturating_sub(before) / IDLE_INTERVALS;

        let (began, before) = (Instant::now(), watched.cpu());
        let mut came = Vec::new();
        for number in 0..NEWS_INTERVALS {
            let name = format!("0/{number}/news-{peer:?}.tgz");
            bring(&self.root(), &name);
            came.push((name, Instant::now()));
            sleep((began + (number + 1) * interval).saturating_duration_since(Instant::now()));
        }
        let news_cpu = watched.cpu().saturating_sub(before) / NEWS_INTERVALS;
        // A pass may take longer than an interval.
        let passes = rhythm::passes(&watched.samples_since(quiet_since));
        let names: Vec<String> = came.iter().map(|(name, _)| name.clone()).collect();
        watched.wait_for(&names, Instant::now() + LOST_AFTER_INTERVALS * interval);
        watched.is_alive()?;
        let handovers = watched.handovers();
        let found = came.iter().map(|(name, at)| {
            let first = handovers.iter().find(|it| it.path == *name)?;
            Some(first.at.saturating_duration_since(*at))
        });
        let found: Option<Vec<Duration>> = found.collect();
        let mean = |times: &[Duration]| {
            let count = u32::try_from(times.len()).ok().filter(|count| *count > 0)?;
            Some(times.iter().sum::<Duration>() / count)
        };
        Ok(Figures {
            ready,
            idle_cpu,
            news_cpu,
            pass: mean(&passes),
            found_after: found.and_then(|found| mean(&found)),
            peak_bytes: watched.peak_bytes(),
        })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A file comes by a rename.
fn bring(root: &Path, name: &str) {
    let (path, staged) = (root.join(name), root.with_extension("staged"));
    fs::copy(agent::sample(), &staged).unwrap();
    fs::rename(staged, path).unwrap();
}
