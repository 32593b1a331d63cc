//! Why a file is not a whole job archive. Never holds content of the file: a `jobdata` line may be a secret.

use crate::model::{Analysis, AnalysisStatus};

/// One way in which a file falls short of a whole archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Nothing in it, which every file is for a moment after its creation.
    #[error("empty file")]
    Empty,
    /// Its first bytes are not those of gzip.
    #[error("no gzip header")]
    NoGzip,
    /// The file ends before the gzip trailer.
    #[error("the file ends inside its gzip data")]
    CutGzip,
    /// A wrong checksum, an impossible bit pattern, or something that is not gzip behind the end of the gzip data.
    #[error("damaged gzip data, or other data behind it: {0}")]
    DamagedGzip(String),
    /// What gunzip gives is no tar.
    #[error("no tar inside the gzip data")]
    NoTar,
    /// A later header is not one.
    #[error("damaged tar header")]
    DamagedTar,
    /// Whole as gzip, but the tar stops inside a member or before its end mark: its writer died.
    #[error("the tar inside ends without its end mark")]
    CutTar,
    /// Unpacks to more than the limit.
    #[error("unpacks to more than {0} bytes")]
    Unpacked(u64),
    /// Holds more members than the limit.
    #[error("more than {0} members")]
    Members(u64),
    /// Its `jobdata` is longer than the limit.
    #[error("jobdata is longer than {0} bytes")]
    Jobdata(u64),
    /// An extension header (a long name, pax records) is longer than any honest one.
    #[error("a tar extension header is longer than {0} bytes")]
    Extension(u64),
    /// Names more experiments than any honest job.
    #[error("more than {0} experiments")]
    Experiments(usize),
}

impl Fault {
    /// The verdict that follows.
    pub(super) fn status(&self) -> AnalysisStatus {
        match self {
            Self::Empty | Self::CutGzip | Self::CutTar => AnalysisStatus::Truncated,
            Self::NoGzip | Self::DamagedGzip(_) | Self::NoTar | Self::DamagedTar => {
                AnalysisStatus::NotAnArchive
            }
            Self::Unpacked(_)
            | Self::Members(_)
            | Self::Jobdata(_)
            | Self::Extension(_)
            | Self::Experiments(_) => AnalysisStatus::TooLarge,
        }
    }

    /// The verdict with its reason in words.
    pub(super) fn analysis(&self) -> Analysis {
        Analysis { status: self.status(), detail: Some(self.to_string()) }
    }
}
