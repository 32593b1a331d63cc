//! One file, handed over: everything that any sink says of it.

use serde::{Deserialize, Serialize};

use super::{ContentHash, JobData, JobFigures, MessageId, RelPath, Stamp, Timestamp};

/// The place of a handover in the agent's journal: 1 for the first, rising by one, never used again.
pub type Seq = u64;

/// What happened to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A path not known before.
    Appeared,
    /// A known path with new content.
    Replaced,
    /// A file that never became a complete archive: handed over once so that nobody loses it silently.
    Broken,
}

impl Kind {
    /// The word used in messages and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Replaced => "replaced",
            Self::Broken => "broken",
        }
    }
}

/// What reading the file as an archive gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalysisStatus {
    /// A whole gzip'ed tar with a `jobdata` member.
    Ok,
    /// A whole gzip'ed tar without one.
    NoJobdata,
    /// Not gzip, or not a tar inside, or damaged.
    NotAnArchive,
    /// The file ends before the gzip trailer or the end of the tar.
    Truncated,
    /// Over a limit of unpacked size, members or jobdata.
    TooLarge,
    /// Not a file that is read as an archive (by its name): only hashed.
    Unread,
}

impl AnalysisStatus {
    /// The word used in messages, logs and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoJobdata => "no-jobdata",
            Self::NotAnArchive => "not-an-archive",
            Self::Truncated => "truncated",
            Self::TooLarge => "too-large",
            Self::Unread => "unread",
        }
    }

    /// Whether the file is complete: proved by its structure, or not of a kind that can prove it.
    #[must_use]
    pub fn is_broken(self) -> bool {
        !matches!(self, Self::Ok | Self::Unread)
    }
}

/// A verdict on a file's structure, with the reason in words for whoever has to look into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Analysis {
    /// The verdict.
    pub status: AnalysisStatus,
    /// Why, in one line; absent where the verdict says it all. Never holds content of the file.
    pub detail: Option<String>,
}

/// One complete file (or one given up as broken) on its way to the sinks.
///
/// Built once, at the moment of the decision, and never changed: every retry sends the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Handover {
    /// Its place in the journal.
    pub seq: Seq,
    /// Its identity: of the path and the content.
    pub id: MessageId,
    /// What happened.
    pub kind: Kind,
    /// The watched root, an absolute path.
    pub root: RootPath,
    /// The file, below the root.
    pub path: RelPath,
    /// Its stamp when it was read.
    pub stamp: Stamp,
    /// The hash of the bytes that were read.
    pub blake3: ContentHash,
    /// When the agent decided, by our wall clock.
    pub detected_at: Timestamp,
    /// When its directory was last seen without it, by our wall clock; `None` if it never was.
    pub not_before: Option<Timestamp>,
    /// What reading it gave.
    pub analysis: Analysis,
    /// The redacted text of its `jobdata` member.
    pub jobdata_text: Option<String>,
    /// What it says to the statistics as a job.
    pub figures: Option<JobFigures>,
    /// The experiments whose analyses it holds, sorted, distinct.
    pub experiments: Vec<String>,
}

impl Handover {
    /// The fields of [`Handover::jobdata_text`].
    #[must_use]
    pub fn jobdata(&self) -> Option<JobData<'_>> {
        self.jobdata_text.as_deref().map(JobData::of)
    }
}

/// The absolute path of a root, in bytes.
pub type RootPath = Vec<u8>;
