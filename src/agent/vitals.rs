//! What the engine alone knows and others tell: gathered in its thread when somebody asks.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::file::{reason_in_short, reason_in_words};
use super::root::Root;
use super::table::Directory;
use crate::clock::Now;
use crate::model::RelPath;
use crate::schedule::Outlook;
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

impl Engine {
    /// How it is doing. Takes time in proportion to the number of directories and of waiting files.
    pub(super) fn vitals(&self, now: Now) -> Vitals {
        let waiting = self.waiting.iter().map(|((dir, name), row)| (*dir, name.as_slice(), row));
        Vitals {
            roots: self.root_reports(now),
            pace: self.pace(),
            directories: self.directory_lines(now),
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

    fn root_reports(&self, now: Now) -> Vec<RootReport> {
        let mut reports: Vec<RootReport> = self.roots.iter().map(root_report).collect();
        for (dir, directory) in self.table.iter().filter(|(_, directory)| is_looked_at(directory)) {
            let Some(report) = reports.get_mut(directory.root) else { continue };
            report.directories += 1;
            report.unreadable += u64::from(directory.failures > 0);
            report.unseen += u64::from(directory.stamp.is_none());
            if let Some(age) = self.age(directory, self.outlook(dir, directory), now) {
                report.oldest_look_s = Some(report.oldest_look_s.map_or(age, |oldest| oldest.max(age)));
            }
        }
        reports
    }

    /// The hottest, and those looked at longest ago.
    fn directory_lines(&self, now: Now) -> Vec<DirectoryLine> {
        let known = self.table.iter().filter(|(_, directory)| is_looked_at(directory));
        let mut facts: Vec<_> =
            known.map(|(dir, directory)| (dir, directory, self.outlook(dir, directory))).collect();
        if facts.len() > MAX_DIRECTORIES {
            let half = MAX_DIRECTORIES / 2;
            facts.select_nth_unstable_by(half, |(_, _, a), (_, _, b)| {
                let rate = |outlook: &Option<Outlook>| outlook.map_or(0.0, |it| it.rate);
                rate(b).total_cmp(&rate(a))
            });
            let rest = facts.get_mut(half..).unwrap_or_default();
            let last = rest.len() - 1;
            rest.select_nth_unstable_by_key(half.min(last), |(_, _, outlook)| {
                outlook.and_then(|it| it.last_look)
            });
            facts.truncate(MAX_DIRECTORIES);
        }
        let line = |(dir, directory, outlook): (DirId, &Directory, Option<Outlook>)| DirectoryLine {
            path: self.whole_path(dir, directory),
            files_per_hour: outlook.map_or(0.0, |outlook| outlook.rate * 3600.0),
            looked_s: self.age(directory, outlook, now),
            every_s: outlook.map(|outlook| outlook.period.as_secs_f64()),
            unreadable: directory.failures > 0,
        };
        let mut lines: Vec<DirectoryLine> = facts.into_iter().map(line).collect();
        lines.sort_by(|a, b| a.path.cmp(&b.path));
        lines
    }

    fn outlook(&self, dir: DirId, directory: &Directory) -> Option<Outlook> {
        self.roots.get(directory.root).and_then(|root| root.agenda.outlook(dir))
    }

    /// Seconds since the last look at a directory, as its schedule has it; while the root is lost and has none, since the
    /// last one that left nothing open. Since the agent's start where that was before: nobody looks while none runs,
    /// and that is no fault of the pace.
    fn age(&self, directory: &Directory, outlook: Option<Outlook>, now: Now) -> Option<f64> {
        let age = match outlook {
            Some(outlook) => now.steady.since(outlook.last_look?.max(self.started.steady)),
            None => now.wall.since(directory.looked_at?.max(self.started.wall)),
        };
        Some(age.as_secs_f64())
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

fn root_report(root: &Root) -> RootReport {
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
