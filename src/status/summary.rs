//! What a one-shot run did, in a few lines for whoever reads cron's mail.

use std::fmt::Write;

use super::health::{count, grouped};

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Directories refreshed.
    pub looked: u64,
    /// Of these, directories whose stamp had moved.
    pub changed: u64,
    /// Directories that could not be read.
    pub failed: u64,
    /// RPCs of the mounts, and how many of them change something there; `None` without an NFS mount.
    pub rpcs: Option<(u64, u64)>,
    /// Files handed over as new.
    pub appeared: u64,
    /// Files handed over as replaced.
    pub replaced: u64,
    /// Files handed over as broken.
    pub broken: u64,
    /// Files recognised as moved.
    pub moved: u64,
    /// Files taken as seen without reading.
    pub baselined: u64,
    /// Files that wait, by reason.
    pub waiting: Vec<(u64, String)>,
    /// What sinks did not get: name, how many, why.
    pub left: Vec<(String, u64, String)>,
    /// Roots that could not be read, with the reason.
    pub lost: Vec<(String, String)>,
}

impl Summary {
    /// As text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!(
            "looked at {}, {} changed",
            count(self.looked, "directory", "directories"),
            grouped(self.changed)
        );
        if self.failed > 0 {
            let _ = write!(text, ", {} unreadable", self.failed);
        }
        if let Some((rpcs, writes)) = self.rpcs {
            let _ = write!(text, "; {} RPCs, {} writes", grouped(rpcs), grouped(writes));
        }
        text.push_str(&self.files());
        text.push('\n');
        for (files, reason) in &self.waiting {
            let _ = writeln!(text, "waiting: {}, {reason}", count(*files, "file", "files"));
        }
        text + &self.problems()
    }

    /// What somebody has to look into: the only lines of a quiet run.
    #[must_use]
    pub fn problems(&self) -> String {
        let mut text = String::new();
        for (sink, behind, reason) in &self.left {
            let _ = writeln!(text, "unsent: {behind} to {sink} ({reason}); kept, the next run sends them");
        }
        for (root, reason) in &self.lost {
            let _ = writeln!(text, "unreadable: {root}: {reason}");
        }
        text
    }

    fn files(&self) -> String {
        let handed_over = self.appeared + self.replaced + self.broken;
        let mut text = format!("; handed over {}", count(handed_over, "file", "files"));
        let kinds = [
            (self.replaced, "replaced"),
            (self.broken, "broken"),
            (self.moved, "moved"),
            (self.baselined, "baseline"),
        ];
        for (number, word) in kinds.into_iter().filter(|(number, _)| *number > 0) {
            let _ = write!(text, ", {number} {word}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_and_nothing_else() {
        let summary = Summary { looked: 1, ..Summary::default() };
        assert_eq!(summary.render(), "looked at 1 directory, 0 changed; handed over 0 files\n");
        let summary = Summary {
            looked: 1204,
            changed: 3,
            failed: 1,
            rpcs: Some((1219, 0)),
            appeared: 5,
            replaced: 1,
            waiting: vec![(2, "truncated".to_owned())],
            left: vec![("redis".to_owned(), 6, "connection refused".to_owned())],
            ..Summary::default()
        };
        assert_eq!(
            summary.render(),
            "looked at 1,204 directories, 3 changed, 1 unreadable; 1,219 RPCs, 0 writes; \
             handed over 6 files, 1 replaced\n\
             waiting: 2 files, truncated\n\
             unsent: 6 to redis (connection refused); kept, the next run sends them\n"
        );
    }
}
