//! What the engine alone knows and others tell: gathered in its thread when somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::file::{reason_in_short, reason_in_words};
use super::root::Root;
use super::table::Directory;
use crate::clock::Now;
use crate::model::{RelPath, Timestamp};
use crate::schedule::Outlook;
use crate::status::{DirectoryLine, MAX_DIRECTORIES, MAX_LISTED, Pace, RootReport, RootState, WaitingFile};
use crate::store::{DirId, WaitRow};

/// The time from one count of the directories to the next, for each of them: a count takes two to three microseconds for
/// each (100,101 of them 0.16 to 0.30 s), in which the engine does nothing else. So it is every 2 s for 20,000, each 100 s
/// for a million.
const COUNT_EACH: Duration = Duration::from_micros(100);

/// What is known of the directories.
#[derive(Debug)]
pub(super) struct Census {
    taken: Timestamp,
    /// Counts and ages by root; the rest is left at its default.
    roots: Vec<RootReport>,
    lines: Vec<DirectoryLine>,
}

/// The engine's part of a report.
#[derive(Debug, Clone, Default)]
pub(super) struct Vitals {
    pub(super) roots: Vec<RootReport>,
    pub(super) pace: Pace,
    pub(super) directories: Vec<DirectoryLine>,
    pub(super) waiting_count: u64,
    pub(super) waiting_reasons: BTreeMap<String, u64>,
    pub(super) waiting: Vec<WaitingFile>,
}

impl Engine {
    /// How it is doing. Takes time in proportion to the number of directories, now and then, and of waiting files.
    pub(super) fn vitals(&mut self, now: Now) -> Vitals {
        let census = self.census(now);
        let waiting = self.waiting.iter().map(|((dir, name), row)| (*dir, name.as_slice(), row));
        Vitals {
            roots: self.root_reports(&census),
            pace: self.pace(),
            directories: census.lines.clone(),
            waiting_count: self.waiting.len() as u64,
            waiting_reasons: self
                .waiting_reasons()
                .into_iter()
                .map(|(count, reason)| (reason, count))
                .collect(),
            waiting: waiting_files(waiting, |dir| self.table.path(dir)),
        }
    }

    fn pace(&self) -> Pace {
        let watched = || self.roots.iter().filter(|root| root.tree.is_some());
        let sum = |part: fn(&Root) -> f64| watched().next().map(|_| watched().map(part).sum());
        let promised = self.settings.interval;
        // A one-shot run looks when it is started.
        let kept = self.stretched.unwrap_or(promised);
        Pace {
            promised_s: (!self.settings.once).then_some(promised.as_secs_f64()),
            kept_s: (!self.settings.once).then_some(kept.as_secs_f64()),
            budget: sum(|root| root.agenda.rate()),
            needed: sum(|root| root.agenda.needed_rate()),
            ..Pace::default()
        }
    }

    fn root_reports(&self, census: &Census) -> Vec<RootReport> {
        self.roots.iter().zip(&census.roots).map(|(root, counted)| root_report(root, counted)).collect()
    }

    /// What is known of the directories: counted anew, or what was counted lately where there are many.
    fn census(&mut self, now: Now) -> Arc<Census> {
        let directories = u32::try_from(self.table.iter().len()).unwrap_or(u32::MAX);
        let census =
            self.census.take().filter(|census| now.steady.since(census.taken) < directories * COUNT_EACH);
        let census = census.unwrap_or_else(|| {
            Arc::new(Census { taken: now.steady, roots: self.count(now), lines: self.directory_lines(now) })
        });
        Arc::clone(self.census.insert(census))
    }

    fn count(&self, now: Now) -> Vec<RootReport> {
        let mut counts = vec![RootReport::default(); self.roots.len()];
        for (_, directory) in self.table.iter().filter(|(_, directory)| is_looked_at(directory)) {
            let Some(count) = counts.get_mut(directory.root) else { continue };
            count.directories += 1;
            count.unreadable += u64::from(directory.failures > 0);
            count.unseen += u64::from(directory.stamp.is_none());
            if let Some(age) = self.age(directory, now) {
                count.oldest_look_s = Some(count.oldest_look_s.map_or(age, |oldest| oldest.max(age)));
            }
        }
        counts
    }

    /// The hottest, and those looked at longest ago.
    fn directory_lines(&self, now: Now) -> Vec<DirectoryLine> {
        // As little as possible of each: there may be millions.
        let known = self.table.iter().filter(|(_, directory)| is_looked_at(directory));
        let mut facts: Vec<(DirId, &Directory, f64)> = known
            .map(|(dir, directory)| (dir, directory, self.outlook(dir, directory).map_or(0.0, |it| it.rate)))
            .collect();
        if facts.len() > MAX_DIRECTORIES {
            let half = MAX_DIRECTORIES / 2;
            facts.select_nth_unstable_by(half, |(_, _, a), (_, _, b)| b.total_cmp(a));
            let rest = facts.get_mut(half..).unwrap_or_default();
            let last = rest.len() - 1;
            rest.select_nth_unstable_by_key(half.min(last), |(_, directory, _)| directory.looked_at);
            facts.truncate(MAX_DIRECTORIES);
        }
        let line = |(dir, directory, rate): (DirId, &Directory, f64)| DirectoryLine {
            path: self.whole_path(dir, directory),
            files_per_hour: rate * 3600.0,
            looked_s: self.age(directory, now),
            every_s: self.outlook(dir, directory).map(|outlook| outlook.period.as_secs_f64()),
            unreadable: directory.failures > 0,
        };
        let mut lines: Vec<DirectoryLine> = facts.into_iter().map(line).collect();
        lines.sort_by(|a, b| a.path.cmp(&b.path));
        lines
    }

    fn outlook(&self, dir: DirId, directory: &Directory) -> Option<Outlook> {
        self.roots.get(directory.root).and_then(|root| root.agenda.outlook(dir))
    }

    /// Seconds since the last look at a directory; since the agent's start where that was before: the store keeps the time
    /// of a look only where it showed a change.
    fn age(&self, directory: &Directory, now: Now) -> Option<f64> {
        directory.looked_at.map(|at| now.wall.since(at.max(self.started)).as_secs_f64())
    }

    fn whole_path(&self, dir: DirId, directory: &Directory) -> String {
        let root = self.roots.get(directory.root).map(|root| root.row.path.as_slice()).unwrap_or_default();
        let below = self.table.path(dir);
        let path = if below.is_root() { root.to_vec() } else { [root, b"/", below.as_bytes()].concat() };
        RelPath::from_bytes(path).to_string()
    }
}

/// Whether a directory is one that the promise holds for.
fn is_looked_at(directory: &Directory) -> bool {
    directory.gone_since.is_none() && !directory.excluded
}

fn root_report(root: &Root, counted: &RootReport) -> RootReport {
    let state = match (&root.tree, &root.lost) {
        _ if root.hangs => RootState::Silent,
        (Some(_), _) => RootState::Watched,
        (None, Some(_)) => RootState::Lost,
        (None, None) => RootState::Unknown,
    };
    let lost = match state {
        RootState::Silent => Some("it does not answer; it is watched again when it does".to_owned()),
        RootState::Lost => root.lost.clone(),
        RootState::Watched | RootState::Unknown => None,
    };
    RootReport {
        path: RelPath::from_bytes(root.row.path.clone()).to_string(),
        state,
        lost,
        walked: root.row.walked,
        calls: root.in_flight as u64,
        ..counted.clone()
    }
}

/// Those that wait longest, in the words of a report.
pub(super) fn waiting_files<'a>(
    rows: impl Iterator<Item = (DirId, &'a [u8], &'a WaitRow)>,
    path: impl Fn(DirId) -> RelPath,
) -> Vec<WaitingFile> {
    let mut rows: Vec<_> = rows.collect();
    if rows.len() > MAX_LISTED {
        rows.select_nth_unstable_by_key(MAX_LISTED, |(_, _, row)| row.first_seen);
        rows.truncate(MAX_LISTED);
    }
    rows.sort_by_key(|(_, _, row)| row.first_seen);
    let line = |(dir, name, row): (DirId, &[u8], &WaitRow)| WaitingFile {
        path: path(dir).join(name).to_string(),
        size: row.stamp.size,
        first_seen: row.first_seen.to_string(),
        reason: reason_in_words(&row.reason),
    };
    rows.into_iter().map(line).collect()
}

/// How many wait for which reason.
pub(super) fn reasons<'a>(rows: impl Iterator<Item = &'a WaitRow>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(reason_in_short(&row.reason)).or_default() += 1;
    }
    counts
}
