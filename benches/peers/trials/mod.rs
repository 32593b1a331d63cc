//! What is tried on the mount, each in a file of its own.

mod crowd;
mod everyday;
mod halves;
mod race;
mod remount;
mod stage;
mod stale;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::peer::Peer;
use crate::trial::{Case, Fs, Version};

pub(crate) use crowd::Crowd;
pub(crate) use everyday::Everyday;
pub(crate) use halves::Halves;
pub(crate) use race::Race;
pub(crate) use remount::Remount;
pub(crate) use stage::INTERVAL;
pub(crate) use stale::Stale;

/// A trial; told at the head of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Trial {
    Everyday,
    Race,
    Halves,
    SettledHalves,
    Remount,
    Stale,
    Crowd,
}

/// What a trial measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Figures {
    Everyday(Everyday),
    Race(Race),
    Halves(Halves),
    Remount(Remount),
    Stale(Stale),
    Crowd(Crowd),
}

impl Trial {
    pub(crate) const ALL: [Self; 7] = [
        Self::Everyday,
        Self::Race,
        Self::Halves,
        Self::SettledHalves,
        Self::Remount,
        Self::Stale,
        Self::Crowd,
    ];

    /// `NFSv3` differs in what it costs and in the race; the rest is tried on v4.2 alone.
    pub(crate) fn is_for(self, peer: Peer, version: Version) -> bool {
        match self {
            Self::Everyday | Self::Race => true,
            Self::SettledHalves => version == Version::V42 && peer.can_settle(),
            _ => version == Version::V42,
        }
    }

    /// Runs it on a mount of its own.
    pub(crate) fn run(self, peer: Peer, version: Version) -> Result<Figures, String> {
        // The one of the three on which a new name in the same tick shows in no stamp, not even in the size.
        let case = Case { version, fs: Fs::Ext4 };
        match self {
            Self::Everyday => everyday::run(peer, case).map(Figures::Everyday),
            Self::Race => race::run(peer, case).map(Figures::Race),
            Self::Halves => halves::run(peer, case, false).map(Figures::Halves),
            Self::SettledHalves => halves::run(peer, case, true).map(Figures::Halves),
            Self::Remount => remount::run(peer, case).map(Figures::Remount),
            Self::Stale => stale::run(peer, case).map(Figures::Stale),
            Self::Crowd => crowd::run(peer, case).map(Figures::Crowd),
        }
    }
}
