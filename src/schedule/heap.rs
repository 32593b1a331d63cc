//! Who is next in virtual time: a heap of keys from which any directory can be taken out.
//!
//! Four children a node, so that the children lie in one cache line, and 12 bytes a directory: at a million
//! directories the misses of the cache are what a decision costs.

#![expect(clippy::indexing_slicing, reason = "every index is below a length that this file keeps")]

/// A point of virtual time, modulo 2^32: only the order of two points less than 2^31 apart means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) u32);

impl Key {
    /// Whether `self` comes before `other`.
    pub(super) fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    slot: u32,
}

const CHILDREN: usize = 4;
const ABSENT: u32 = u32::MAX;

/// Directories in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Heap {
    entries: Vec<Entry>,
    /// Where in `entries` each directory is.
    places: Vec<u32>,
}

impl Heap {
    /// The directory with the least key.
    pub(super) fn first(&self) -> Option<(Key, u32)> {
        self.entries.first().map(|entry| (entry.key, entry.slot))
    }

    /// Puts `slot` in, or moves it if it is in already.
    pub(super) fn insert(&mut self, slot: u32, key: Key) {
        let index = slot as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, ABSENT);
        }
        let entry = Entry { key, slot };
        let place = self.places[index];
        if place == ABSENT {
            self.entries.push(entry);
            self.rise(self.entries.len() - 1, entry);
        } else {
            self.settle(place as usize, entry);
        }
    }

    /// Takes `slot` out, if it is in.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(place) = self.places.get_mut(slot as usize).filter(|place| **place != ABSENT) else {
            return;
        };
        let hole = std::mem::replace(place, ABSENT) as usize;
        if let Some(last) = self.entries.pop().filter(|_| hole < self.entries.len()) {
            self.settle(hole, last);
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.places.capacity() * size_of::<u32>()
    }

    /// Puts `entry` at `place` or wherever above or below it belongs.
    fn settle(&mut self, place: usize, entry: Entry) {
        if self.rise(place, entry) == place {
            self.sink(place, entry);
        }
    }

    fn rise(&mut self, mut place: usize, entry: Entry) -> usize {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if !entry.key.is_before(self.entries[parent].key) {
                break;
            }
            self.put(place, self.entries[parent]);
            place = parent;
        }
        self.put(place, entry);
        place
    }

    fn sink(&mut self, mut place: usize, entry: Entry) {
        loop {
            let start = place * CHILDREN + 1;
            let end = (start + CHILDREN).min(self.entries.len());
            if start >= end {
                break;
            }
            let mut least = start;
            for child in start + 1..end {
                if self.entries[child].key.is_before(self.entries[least].key) {
                    least = child;
                }
            }
            if !self.entries[least].key.is_before(entry.key) {
                break;
            }
            self.put(place, self.entries[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.entries[place] = entry;
        self.places[entry.slot as usize] = u32::try_from(place).unwrap_or(ABSENT);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_go_round() {
        assert!(Key(u32::MAX).is_before(Key(3)));
        assert!(!Key(3).is_before(Key(u32::MAX)));
        assert!(!Key(3).is_before(Key(3)));
    }

    proptest! {
        /// Insertions, moves and removals, against a sorted map; keys beyond the turn of the counter too.
        #[test]
        fn is_a_sorted_map(steps in prop::collection::vec((0..40_u32, prop::option::of(0..1000_u32)), 1..300)) {
            let start = u32::MAX - 500;
            let mut heap = Heap::default();
            let mut model = BTreeMap::new();
            for (slot, offset) in steps {
                match offset {
                    Some(offset) => {
                        heap.insert(slot, Key(start.wrapping_add(offset)));
                        model.insert(slot, offset);
                    }
                    None => {
                        heap.remove(slot);
                        model.remove(&slot);
                    }
                }
                let least = model.values().min().copied();
                prop_assert_eq!(heap.first().map(|(key, _)| key.0.wrapping_sub(start)), least);
                prop_assert!(heap.first().is_none_or(|(_, slot)| model.get(&slot).copied() == least));
            }
        }
    }
}
