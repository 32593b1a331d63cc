//! The directories that are held open: a look at one of them takes no path and costs one GETATTR.
//!
//! At most so many, for descriptors are few. For one more that one goes which nobody asked for since the hand came by
//! last (the clock algorithm): nearly the least recently used, without a list that every look puts into another order.

use std::sync::Arc;

use super::handle::Handle;
use crate::model::Numbered;

/// What is held, by its callers' numbers.
#[derive(Debug)]
pub(super) struct HeldOpen {
    most: usize,
    directories: Numbered<HeldDirectory>,
    hand: usize,
}

#[derive(Debug)]
struct HeldDirectory {
    handle: Arc<Handle>,
    /// Whether it was asked for since the hand came by.
    used: bool,
}

impl HeldOpen {
    pub(super) fn new(most: usize) -> Self {
        Self { most, directories: Numbered::default(), hand: 0 }
    }

    pub(super) fn get(&mut self, id: u64) -> Option<Arc<Handle>> {
        let held = self.directories.get_mut(id)?;
        held.used = true;
        Some(Arc::clone(&held.handle))
    }

    /// Many at once: all are read before one is marked as used, since only reading goes side by side in the processor.
    pub(super) fn get_all(&mut self, ids: impl Iterator<Item = u64> + Clone) -> Vec<Option<Arc<Handle>>> {
        let is_held = |id: &u64| {
            let held = self.directories.get(*id);
            held.is_some_and(|held| Arc::strong_count(&held.handle) > 0)
        };
        let mut found = Vec::with_capacity(ids.clone().filter(is_held).count());
        found.extend(ids.map(|id| self.get(id)));
        found
    }

    /// Holds one more. What is not held any more for it comes back, to be closed where nobody waits for that.
    #[must_use]
    pub(super) fn put(&mut self, id: u64, handle: Arc<Handle>) -> [Option<Arc<Handle>>; 2] {
        if self.most == 0 {
            return [Some(handle), None];
        }
        let before = self.remove(id);
        let is_full = self.directories.len() >= self.most;
        let spares = |held: &mut HeldDirectory| std::mem::take(&mut held.used);
        let displaced = if is_full { self.directories.take_one(&mut self.hand, spares) } else { None };
        self.directories.insert(id, HeldDirectory { handle, used: false });
        [before, displaced.map(|held| held.handle)]
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<Handle>> {
        self.directories.remove(id).map(|held| held.handle)
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.directories.contains(id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.directories.len()
    }
}
