//! What is watched at the moment, for those who report on it while the engine works.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::vitals::Vitals;
use crate::mount::{RpcCounts, Tree};

/// How long the engine is waited for: it answers at each beat, unless the store's disk keeps it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The open roots, what they have cost, and how the engine is doing. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    state: Arc<Mutex<State>>,
    asked: Arc<AtomicBool>,
    answered: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    trees: BTreeMap<usize, Arc<Tree>>,
    /// What roots had cost that were lost since.
    spent: Option<RpcCounts>,
    budget: Option<f64>,
    vitals: Arc<Vitals>,
    /// How often the engine has answered.
    answers: u64,
    /// Whether the engine has ended: it answers no more.
    ended: bool,
}

impl Watched {
    /// Notes that a root was found.
    pub(super) fn enter(&self, root: usize, tree: Arc<Tree>) {
        self.state().trees.insert(root, tree);
    }

    /// Notes that a root was lost.
    pub(super) fn leave(&self, root: usize) {
        let mut state = self.state();
        if let Some(counts) = state.trees.remove(&root).and_then(|tree| tree.rpcs()) {
            state.spent.get_or_insert_default().add(&counts);
        }
    }

    /// Notes how many RPCs a second may be spent now.
    pub(super) fn note_budget(&self, rate: f64) {
        self.state().budget = Some(rate);
    }

    /// How many RPCs a second may be spent now.
    pub(super) fn budget(&self) -> Option<f64> {
        self.state().budget
    }

    /// The RPCs of all NFS mounts that hold a root, since the agent's start; `None` if none does.
    pub(super) fn rpcs(&self) -> Option<RpcCounts> {
        let state = self.state();
        let mut sum = state.spent.clone();
        // Roots on the same mount share its counters: it counts once.
        let mounts: BTreeMap<u64, &Arc<Tree>> =
            state.trees.values().map(|tree| (tree.identity().mount_id, tree)).collect();
        for counts in mounts.values().filter_map(|tree| tree.rpcs()) {
            sum.get_or_insert_default().add(&counts);
        }
        sum
    }

    /// Asks the engine how it is doing and waits for the answer; blocks. An engine that is kept longer than anybody waits
    /// has its last answer told.
    pub(super) fn vitals(&self) -> Arc<Vitals> {
        let state = self.state();
        let before = state.answers;
        self.asked.store(true, Ordering::Release);
        let waits = |state: &mut State| state.answers == before && !state.ended;
        let answered = self.answered.wait_timeout_while(state, PATIENCE, waits);
        let (state, _) = answered.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state.vitals)
    }

    /// Whether somebody waits for the engine's answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// Gives the engine's answer to all who wait.
    pub(super) fn answer(&self, vitals: Vitals) {
        let mut state = self.state();
        state.vitals = Arc::new(vitals);
        state.answers += 1;
        self.answered.notify_all();
    }

    /// Gives the engine's last answer.
    pub(super) fn end(&self, vitals: Vitals) {
        self.state().ended = true;
        self.answer(vitals);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
