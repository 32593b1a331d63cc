//! How many RPCs a mount has cost, by operation, as the kernel's NFS client counts them.
//!
//! The counts are the mount's: what other processes of this machine do on it is in them too. The kernel shows them in
//! `/proc/self/mountstats`, without asking the server.

use std::collections::BTreeMap;
use std::time::Duration;

use procfs::process::Process;

/// The operations that change something on the server; an agent sends none.
const WRITES: [&str; 13] = [
    "SETATTR", "WRITE", "CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK", "COMMIT",
    "ALLOCATE", "COPY",
];

/// RPCs of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Operation {
    /// How many were sent.
    pub count: u64,
    /// How long their answers took together, from sending to receiving.
    pub round_trip: Duration,
}

/// RPCs by operation, in capitals as the kernel writes them: `GETATTR`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RpcCounts(BTreeMap<String, Operation>);

impl RpcCounts {
    /// The counts of the NFS mount at `mount_point` (as in mountinfo, with its escapes); `None` if it is none.
    pub(super) fn of(mount_point: &str) -> Option<Self> {
        let table = Process::myself().ok()?.mountstats().ok()?;
        let mount = table.0.into_iter().rfind(|mount| mount.mount_point.as_os_str() == mount_point)?;
        let operations = mount.statistics?.per_op_stats.into_iter().map(|(name, stat)| {
            let name = name.trim_end_matches(':').to_owned();
            (name, Operation { count: stat.operations, round_trip: stat.cum_resp_time })
        });
        Some(Self(operations.filter(|(_, operation)| operation.count > 0).collect()))
    }

    /// What was sent since `earlier`; everything, if the mount was made anew in between.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let earlier = |name: &str| earlier.0.get(name).copied().unwrap_or_default();
        let differences = self.0.iter().map(|(name, now)| {
            let then = earlier(name);
            let difference = now
                .count
                .checked_sub(then.count)
                .map(|count| Operation { count, round_trip: now.round_trip.saturating_sub(then.round_trip) });
            (name.clone(), difference.unwrap_or(*now))
        });
        Self(differences.filter(|(_, operation)| operation.count > 0).collect())
    }

    /// Adds the counts of another mount.
    pub fn add(&mut self, other: &Self) {
        for (name, operation) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            sum.count += operation.count;
            sum.round_trip += operation.round_trip;
        }
    }

    /// Each operation that was sent.
    pub fn operations(&self) -> impl Iterator<Item = (&str, Operation)> {
        self.0.iter().map(|(name, operation)| (name.as_str(), *operation))
    }

    /// All operations together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().map(|operation| operation.count).sum()
    }

    /// The operations that change something on the server.
    #[must_use]
    pub fn writes(&self) -> u64 {
        WRITES.iter().filter_map(|name| self.0.get(*name)).map(|operation| operation.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(operations: &[(&str, u64)]) -> RpcCounts {
        let operation = |count| Operation { count, round_trip: Duration::from_millis(count) };
        RpcCounts(operations.iter().map(|(name, count)| ((*name).to_owned(), operation(*count))).collect())
    }

    #[test]
    fn counts_from_a_start_and_over_a_new_mount() {
        let start = counts(&[("GETATTR", 10), ("LOOKUP", 3)]);
        let later = counts(&[("GETATTR", 15), ("LOOKUP", 3), ("SETATTR", 1)]);
        let since = later.since(&start);
        assert_eq!(since, counts(&[("GETATTR", 5), ("SETATTR", 1)]));
        assert_eq!((since.total(), since.writes()), (6, 1));
        assert_eq!(counts(&[("GETATTR", 2)]).since(&start), counts(&[("GETATTR", 2)]));
    }

    #[test]
    fn a_local_file_system_has_none() {
        assert_eq!(RpcCounts::of("/proc"), None);
        assert_eq!(RpcCounts::of("/no such mount"), None);
    }
}
