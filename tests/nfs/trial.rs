//! What a trial is: a name, the case it is tried in, and a function that panics when something does not hold.

use std::fmt;
use std::time::Duration;

use crate::wish;

/// A trial's time in the guest unless it says otherwise: it ends up killed and failed.
const LIMIT: Duration = Duration::from_secs(60);

/// What all trials of one boot may take together: what is left of them then fails unseen, so that a machine on which
/// everything hangs says so within minutes.
const GROUP_LIMIT: Duration = Duration::from_secs(420);
/// By how much all limits are longer than usual: for a slow machine, or for [`crate::race`] with many races.
pub(crate) const PATIENCE: &str = "NFS_RIG_PATIENCE";

/// See [`GROUP_LIMIT`].
pub(crate) fn group_limit() -> Duration {
    GROUP_LIMIT * wish(PATIENCE, 1)
}

/// The protocol version of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `NFSv3`: no change attribute, no state.
    V3,
    /// `NFSv4.2`.
    V42,
}

/// The file system that the server exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fs {
    Tmpfs,
    Ext4,
    Xfs,
}

/// What a trial is tried on: it mounts what it needs with [`crate::rig::Mount::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) version: Version,
    pub(crate) fs: Fs,
}

const fn case(version: Version, fs: Fs) -> Case {
    Case { version, fs }
}

/// Both versions, on the file system that costs least.
pub(crate) const BOTH: [Case; 2] = [case(Version::V3, Fs::Tmpfs), case(Version::V42, Fs::Tmpfs)];
/// Every version on every file system.
pub(crate) const ALL: [Case; 6] = [
    case(Version::V3, Fs::Tmpfs),
    case(Version::V3, Fs::Ext4),
    case(Version::V3, Fs::Xfs),
    case(Version::V42, Fs::Tmpfs),
    case(Version::V42, Fs::Ext4),
    case(Version::V42, Fs::Xfs),
];

/// One named test.
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    /// Trials of one group share a boot; it is the first part of the name.
    pub(crate) group: &'static str,
    what: &'static str,
    case: Case,
    limit: Duration,
    body: fn(Case),
}

impl Trial {
    /// One trial for each case.
    pub(crate) fn each(group: &'static str, what: &'static str, cases: &[Case], body: fn(Case)) -> Vec<Self> {
        cases.iter().map(|case| Self { group, what, case: *case, limit: LIMIT, body }).collect()
    }

    /// The same trials with another time limit.
    pub(crate) fn within(trials: Vec<Self>, limit: Duration) -> Vec<Self> {
        trials.into_iter().map(|trial| Self { limit, ..trial }).collect()
    }

    /// Its time in the guest.
    pub(crate) fn limit(&self) -> Duration {
        self.limit * wish(PATIENCE, 1)
    }

    /// As in the test report, for example `facts::touch_job_writes::v3_ext4`.
    pub(crate) fn name(&self) -> String {
        format!("{}::{}::{}", self.group, self.what, self.case)
    }

    /// Runs it in this process.
    pub(crate) fn run(&self) {
        (self.body)(self.case);
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.version, self.fs)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "v3",
            Self::V42 => "v42",
        })
    }
}

impl fmt::Display for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}
