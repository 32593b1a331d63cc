//! In the guest: one trial after the other for each peer, and a line for each of them as soon as it is done.

use std::any::Any;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::peer::Peer;
use crate::rig;
use crate::trial::Version;
use crate::trials::{Figures, Trial};

/// What came of one trial of one peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// As the trials of `tests/nfs` spell it.
    pub(crate) version: String,
    pub(crate) peer: Peer,
    pub(crate) trial: Trial,
    pub(crate) took_seconds: f64,
    pub(crate) outcome: Result<Figures, String>,
}

/// Runs them all; what fails is a result too.
pub(crate) fn run(results: &Path, version: Version, peers: &[Peer], trials: &[Trial]) {
    let mut results = OpenOptions::new().append(true).create(true).open(results).unwrap();
    for (peer, trial) in peers.iter().flat_map(|peer| trials.iter().map(move |trial| (*peer, *trial))) {
        if !trial.is_for(peer, version) {
            continue;
        }
        let began = std::time::Instant::now();
        rig::reset();
        let outcome = catch_unwind(AssertUnwindSafe(|| trial.run(peer, version)));
        let outcome = outcome.unwrap_or_else(|panic| Err(said(panic.as_ref())));
        let took_seconds = began.elapsed().as_secs_f64();
        let entry = Entry { version: version.to_string(), peer, trial, took_seconds, outcome };
        results.write_all(format!("{}\n", serde_json::to_string(&entry).unwrap()).as_bytes()).unwrap();
        // The machine reads this file while we go on.
        results.sync_all().unwrap();
    }
}

/// The version that is called so.
pub(crate) fn version(name: &str) -> Result<Version, String> {
    let known = [Version::V3, Version::V42];
    known.into_iter().find(|it| it.to_string() == name).ok_or_else(|| format!("no version {name}"))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}
