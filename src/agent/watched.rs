//! What is watched at the moment, for those who report on it while the engine works.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mount::{RpcCounts, Tree};

/// The open roots and what they have cost. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    trees: BTreeMap<usize, Arc<Tree>>,
    /// What roots had cost that were lost since.
    spent: Option<RpcCounts>,
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
