//! What the engine alone knows and others tell: gathered in its thread when somebody asks.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::file::{reason_in_short, reason_in_words};
use super::root::Root;
use super::table::Directory;
use crate::clock::Now;
use crate::model::{RelPath, Timestamp};
use crate::status::{DirectoryLine, MAX_DIRECTORIES, MAX_LISTED, Pace, RootReport, RootState, WaitingFile};
use crate::store::{DirId, WaitRow};

/// The engine's part of a report.
#[derive(Debug, Clone, Default)]
pub(super) struct Vitals {
    pub(super) roots: Vec<RootReport>,
    pub(super) pace: Pace,
    pub(super) directories: Vec<DirectoryLine>,
    pub(super) waiting_count: u64,
    pub(super) waiting_reasons: BTreeMap<String, u64>,
    pub(super) waiting: Vec<WaitingFile>,
    /// Bytes in the outbox from which on intake pauses, and whether it does.
    pub(super) outbox_max: u64,
    pub(super) paused: bool,
}

/// A directory, as far as reports choose by it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    dir: DirId,
    /// The engine's number of its root.
    root: usize,
    /// Files a second expected in it.
    rate: f64,
    /// Seconds since the last look at it; `None` if none has succeeded.
    looked_s: Option<f64>,
}

impl Engine {
    /// How it is doing. Takes time in proportion to the number of directories (17 ms for 100,000) and of waiting files.
    pub(super) fn vitals(&self, now: Now) -> Vitals {
        let waiting = self.waiting.iter().map(|((dir, name), row)| (*dir, name.as_slice(), row));
        let seen = self.seen(now);
        Vitals {
            roots: self.root_reports(&seen, now),
            pace: self.pace(),
            directories: self.directory_lines(seen),
            waiting_count: self.waiting.len() as u64,
            waiting_reasons: reasons(self.waiting.values()),
            waiting: waiting_files(waiting, |dir| self.table.path(dir)),
            outbox_max: self.settings.outbox_max,
            paused: self.paused,
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

    fn root_reports(&self, seen: &[Seen], now: Now) -> Vec<RootReport> {
        let mut reports: Vec<RootReport> = self.roots.iter().map(|root| root_report(root, now)).collect();
        for (_, directory) in self.table.iter().filter(|(_, directory)| is_looked_at(directory)) {
            let Some(report) = reports.get_mut(directory.root) else { continue };
            report.directories += 1;
            report.unreadable += u64::from(directory.failures > 0);
            report.unseen += u64::from(directory.stamp.is_none());
        }
        for seen in seen {
            let Some(report) = reports.get_mut(seen.root) else { continue };
            report.oldest_look_s = seen.looked_s.into_iter().chain(report.oldest_look_s).reduce(f64::max);
        }
        reports
    }

    /// The hottest, and those looked at longest ago.
    fn directory_lines(&self, mut seen: Vec<Seen>) -> Vec<DirectoryLine> {
        if seen.len() > MAX_DIRECTORIES {
            let half = MAX_DIRECTORIES / 2;
            seen.select_nth_unstable_by(half, |a, b| b.rate.total_cmp(&a.rate));
            let rest = seen.get_mut(half..).unwrap_or_default();
            let last = rest.len() - 1;
            let age = |seen: &Seen| seen.looked_s.unwrap_or(f64::INFINITY);
            rest.select_nth_unstable_by(half.min(last), |a, b| age(b).total_cmp(&age(a)));
            seen.truncate(MAX_DIRECTORIES);
        }
        let mut lines: Vec<DirectoryLine> =
            seen.iter().filter_map(|seen| self.directory_line(seen)).collect();
        lines.sort_by(|a, b| a.path.cmp(&b.path));
        lines
    }

    fn directory_line(&self, seen: &Seen) -> Option<DirectoryLine> {
        let directory = self.table.get(seen.dir)?;
        let outlook = self.roots.get(seen.root).and_then(|root| root.agenda.outlook(seen.dir));
        Some(DirectoryLine {
            path: self.whole_path(seen.dir, directory),
            files_per_hour: seen.rate * 3600.0,
            looked_s: seen.looked_s,
            every_s: outlook.map(|outlook| outlook.period.as_secs_f64()),
            unreadable: directory.failures > 0,
        })
    }

    /// Every directory that the promise holds for, as its schedule has it; those of a lost root, which has none, as the
    /// last look had it that left nothing open. Those in a schedule are not looked up one by one: there may be millions,
    /// and nothing else is done meanwhile.
    ///
    /// Ages count from the agent's start at most: nobody looks while none runs, and that is no fault of the pace.
    fn seen(&self, now: Now) -> Vec<Seen> {
        let mut all = Vec::with_capacity(self.roots.iter().map(|root| root.agenda.len()).sum());
        for (number, root) in self.roots.iter().enumerate() {
            all.extend(root.agenda.glances().map(|(dir, glance)| {
                let age = |last: Timestamp| now.steady.since(last.max(self.started.steady)).as_secs_f64();
                Seen { dir, root: number, rate: glance.rate, looked_s: glance.last_look.map(age) }
            }));
        }
        let has_none = |root: usize| self.roots.get(root).is_some_and(|root| root.agenda.len() == 0);
        let lost =
            self.table.iter().filter(|(_, directory)| is_looked_at(directory) && has_none(directory.root));
        all.extend(lost.map(|(dir, directory)| {
            let age = |last: Timestamp| now.wall.since(last.max(self.started.wall)).as_secs_f64();
            Seen { dir, root: directory.root, rate: 0.0, looked_s: directory.looked_at.map(age) }
        }));
        all
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

fn root_report(root: &Root, now: Now) -> RootReport {
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
        silent_s: root
            .silence
            .since()
            .filter(|_| root.hangs)
            .map(|since| now.steady.since(since).as_secs_f64()),
        ..RootReport::default()
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
