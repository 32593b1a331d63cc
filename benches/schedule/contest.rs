//! Runs each workload against each policy, on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use clap::ValueEnum;

use crate::engine::run;
use crate::oracle;
use crate::ours::Ours;
use crate::policies::Paced;
use crate::score::Score;
use crate::script::{Frame, Script};
use crate::workloads::{Length, Workload};

/// A policy of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// Every directory as often as any other.
    Fixed,
    /// Exponential back-off.
    BackOff,
    /// Our schedule.
    Ours,
    /// Knows the mean rates.
    Oracle,
    /// Knows the intensities of the moment, and has no bound to keep.
    Clairvoyant,
    /// Knows the intensities of the moment, and keeps the bound as the others do.
    Bounded,
}

impl Contender {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 6] =
        [Self::Fixed, Self::BackOff, Self::Ours, Self::Oracle, Self::Clairvoyant, Self::Bounded];

    /// What it is called in a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Fixed => "fixed interval",
            Self::BackOff => "back-off",
            Self::Ours => "nfs-scout",
            Self::Oracle => "knows mean rates",
            Self::Clairvoyant => "knows intensities",
            Self::Bounded => "knows intensities, keeps the bound",
        }
    }
}

/// What came out of one workload.
pub(crate) struct Results {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Its name in the table.
    pub(crate) title: &'static str,
    /// The families that it is a mix of.
    pub(crate) parts: Vec<&'static str>,
    /// Budget, bound and length.
    pub(crate) frame: Frame,
    /// One for each policy, in the order of [`Contender::ALL`]; `None` where it was not run or is not defined.
    pub(crate) scores: [Option<Score>; Contender::ALL.len()],
}

impl Results {
    /// What a policy reached.
    pub(crate) fn score(&self, contender: Contender) -> Option<&Score> {
        self.scores[contender as usize].as_ref()
    }
}

/// Runs all, the last workload first: it is the longest.
pub(crate) fn contest(
    workloads: &[&Workload],
    contenders: &[Contender],
    length: Length,
    seed: u64,
) -> Vec<Results> {
    let scripts: Vec<OnceLock<Script>> = workloads.iter().map(|_| OnceLock::new()).collect();
    let jobs: Vec<(usize, Contender)> = (0..workloads.len())
        .rev()
        .flat_map(|workload| contenders.iter().map(move |contender| (workload, *contender)))
        .collect();
    let (next, scores) =
        (AtomicUsize::new(0), Mutex::new(vec![[const { None }; Contender::ALL.len()]; workloads.len()]));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&(workload, contender)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let script = scripts[workload].get_or_init(|| workloads[workload].script(seed, length));
                    let began = Instant::now();
                    let score = play(script, contender, seed);
                    progress(workloads[workload], contender, score.as_ref(), began);
                    scores.lock().expect("no thread panics with the lock")[workload][contender as usize] =
                        score;
                }
            });
        }
    });
    let scores = scores.into_inner().expect("no thread panics with the lock");
    let results = workloads.iter().zip(scripts).zip(scores).filter_map(|((workload, script), scores)| {
        let Script { frame, parts, .. } = script.into_inner()?;
        let parts = parts.into_iter().map(|(name, _)| name).collect();
        Some(Results { name: workload.name, title: workload.title, parts, frame, scores })
    });
    results.collect()
}

/// One policy on one script; `None` if it is not defined there.
pub(crate) fn play(script: &Script, contender: Contender, seed: u64) -> Option<Score> {
    let (frame, directories) = (&script.frame, script.directories.len());
    Some(match contender {
        Contender::Fixed => run(script, Paced::fixed(frame, directories), false),
        Contender::BackOff => run(script, Paced::back_off(frame, directories), false),
        Contender::Ours => run(script, Ours::new(frame, directories, seed), false),
        Contender::Oracle => {
            let intervals = oracle::intervals(script.means.as_ref()?, frame);
            run(script, Paced::oracle(frame, intervals), false)
        }
        Contender::Clairvoyant | Contender::Bounded if !script.has_intensities => return None,
        Contender::Clairvoyant => run(script, Paced::clairvoyant(script, false), true),
        Contender::Bounded => run(script, Paced::clairvoyant(script, true), true),
    })
}

fn progress(workload: &Workload, contender: Contender, score: Option<&Score>, began: Instant) {
    let Some(score) = score else { return };
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "{:18} {:18} {:7.2} s mean   ({:.1} M looks in {:.1} s, {:.0} ns each)",
        workload.name,
        contender.title(),
        score.mean,
        score.looks as f64 / 1e6,
        seconds,
        seconds / score.looks as f64 * 1e9
    );
}
