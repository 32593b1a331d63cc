//! The statistics of the store's ledger: the figures that Redis holds where one is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::push_table;
use crate::model::{Counter, Figure, TOTAL, Totals};

/// Members of a ranking shown in a table.
const SHOWN: usize = 10;

/// The statistics, as `nfs-scout stats --json` prints them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// The last handover that they include.
    pub seq: u64,
    /// By namespace: `TOTAL` and each experiment.
    pub namespaces: BTreeMap<String, NamespaceStatistics>,
}

/// The statistics of one namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NamespaceStatistics {
    /// Counters by name: `jobs_completed`, `jobs_failed`, `events`, `jobs_unreadable`, `files`.
    pub counters: BTreeMap<String, i64>,
    /// How many users took part.
    pub users: u64,
    /// Rankings by name (`PER_USER/events`), then by member.
    pub rankings: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Statistics {
    /// Arranges the ledger's totals.
    #[must_use]
    pub fn of(seq: u64, totals: &Totals) -> Self {
        let mut statistics = Self { seq, namespaces: BTreeMap::new() };
        let total = statistics.namespace(TOTAL);
        for counter in Counter::ALL {
            total.counters.insert(counter.as_str().to_owned(), 0);
        }
        for figure in totals.figures() {
            match figure {
                Figure::Count { namespace, counter, value } => {
                    statistics.namespace(namespace).counters.insert(counter.as_str().to_owned(), value);
                }
                Figure::Score { namespace, board, member, value } => {
                    let rankings = &mut statistics.namespace(namespace).rankings;
                    rankings.entry(board.as_str().to_owned()).or_default().insert(member.to_owned(), value);
                }
                Figure::User { namespace, .. } => statistics.namespace(namespace).users += 1,
            }
        }
        statistics
    }

    fn namespace(&mut self, name: &str) -> &mut NamespaceStatistics {
        self.namespaces.entry(name.to_owned()).or_default()
    }
}

/// The statistics for a terminal: the namespaces, then the first ten users.
#[must_use]
pub fn render_statistics(statistics: &Statistics) -> String {
    let mut text = String::new();
    let mut namespaces: Vec<_> = statistics.namespaces.iter().collect();
    namespaces.sort_by_key(|(name, _)| (name.as_str() != TOTAL, name.as_str()));
    let rows = namespaces.into_iter().map(|(name, namespace)| {
        let count = |counter: &Counter| {
            namespace.counters.get(counter.as_str()).map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        let mut row = vec![name.clone()];
        row.extend(Counter::ALL.iter().map(count));
        row.push(namespace.users.to_string());
        row
    });
    push_table(&mut text, &["", "JOBS", "FAILED", "EVENTS", "UNREADABLE", "OTHER FILES", "USERS"], rows);
    if let Some(total) = statistics.namespaces.get(TOTAL) {
        push_table(&mut text, &["USER", "JOBS", "FAILED", "EVENTS", "CPU", "DISK"], users(total));
    }
    text
}

/// The users with the most jobs, one row each.
fn users(namespace: &NamespaceStatistics) -> impl Iterator<Item = Vec<String>> {
    const COLUMNS: [&str; 5] = ["jobs_completed", "jobs_failed", "events", "cpuusage", "diskusage"];
    let ranking = |name: &str| namespace.rankings.get(&format!("PER_USER/{name}"));
    let mut users: Vec<(&String, f64)> =
        ranking("jobs_completed").into_iter().flatten().map(|(user, jobs)| (user, *jobs)).collect();
    users.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    users.into_iter().take(SHOWN).map(move |(user, _)| {
        let score = |name| ranking(name).and_then(|scores| scores.get(user)).map_or(0.0, |score| *score);
        // A user's name comes from a file: nothing in it may steer a terminal.
        let mut row = vec![user.escape_debug().to_string()];
        row.extend(COLUMNS.iter().map(|name| score(name).to_string()));
        row
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Board;

    #[test]
    fn shows_what_the_ledger_holds() {
        let mut totals = Totals::default();
        let (namespace, user) = (TOTAL, "b-1\u{1b}[31m");
        totals.add_figure(Figure::Count { namespace, counter: Counter::Events, value: 700 });
        totals.add_figure(Figure::User { namespace, user });
        let board = Board::UserJobsCompleted;
        totals.add_figure(Figure::Score { namespace, board, member: user, value: 2.0 });
        let statistics = Statistics::of(9, &totals);
        let text = render_statistics(&statistics);
        assert!(text.contains("TOTAL") && text.contains("700"), "{text}");
        assert!(text.contains("b-1\\u{1b}[31m"), "{text}");
        let json = serde_json::to_value(&statistics).unwrap();
        assert_eq!(json["namespaces"]["TOTAL"]["counters"]["events"], 700);
        assert_eq!(json["namespaces"]["TOTAL"]["users"], 1);
        assert_eq!(serde_json::from_value::<Statistics>(json).unwrap(), statistics);
    }
}
