//! Who is next in virtual time: a heap of keys from which any directory can be taken out.
//!
//! The children of a node lie in one line of the cache, and a directory takes 12 bytes: at a million directories the
//! misses of the cache are what a decision costs.

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

const CHILDREN: usize = 8;
const ABSENT: u32 = u32::MAX;

/// The children of one entry, in one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([Entry; CHILDREN]);

/// Directories in the order of their keys.
///
/// The entry at place 0 is the least; the children of the one at place `p` fill line `p`, that is places `8 p + 1` to
/// `8 p + 8`.
#[derive(Debug)]
pub(super) struct Heap {
    least: Entry,
    lines: Vec<Line>,
    length: usize,
    /// Where each directory is.
    places: Vec<u32>,
}

impl Heap {
    /// An empty heap.
    pub(super) fn new() -> Self {
        Self { least: Entry { key: Key(0), slot: ABSENT }, lines: Vec::new(), length: 0, places: Vec::new() }
    }

    /// The directory with the least key.
    pub(super) fn first(&self) -> Option<(Key, u32)> {
        (self.length > 0).then_some((self.least.key, self.least.slot))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.length
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
            self.length += 1;
            if self.length > self.lines.len() * CHILDREN + 1 {
                self.lines.push(Line([entry; CHILDREN]));
            }
            self.rise(self.length - 1, entry);
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
        self.length -= 1;
        if hole < self.length {
            self.settle(hole, self.get(self.length));
        }
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
            let above = self.get(parent);
            if !entry.key.is_before(above.key) {
                break;
            }
            self.put(place, above);
            place = parent;
        }
        self.put(place, entry);
        place
    }

    fn sink(&mut self, mut place: usize, entry: Entry) {
        loop {
            let first = place * CHILDREN + 1;
            let count = self.length.saturating_sub(first).min(CHILDREN);
            let Some(Line(children)) = self.lines.get(place).filter(|_| count > 0) else { break };
            let mut least = 0;
            for child in 1..count {
                if children[child].key.is_before(children[least].key) {
                    least = child;
                }
            }
            let below = children[least];
            if !below.key.is_before(entry.key) {
                break;
            }
            self.put(place, below);
            place = first + least;
        }
        self.put(place, entry);
    }

    fn get(&self, place: usize) -> Entry {
        match place.checked_sub(1) {
            Some(place) => self.lines[place / CHILDREN].0[place % CHILDREN],
            None => self.least,
        }
    }

    fn put(&mut self, place: usize, entry: Entry) {
        match place.checked_sub(1) {
            Some(place) => self.lines[place / CHILDREN].0[place % CHILDREN] = entry,
            None => self.least = entry,
        }
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
            let mut heap = Heap::new();
            let mut model = BTreeMap::new();
            for (slot, offset) in steps {
                if let Some(offset) = offset {
                    heap.insert(slot, Key(start.wrapping_add(offset)));
                    model.insert(slot, offset);
                } else {
                    heap.remove(slot);
                    model.remove(&slot);
                }
                let least = model.values().min().copied();
                prop_assert_eq!(heap.first().map(|(key, _)| key.0.wrapping_sub(start)), least);
                prop_assert!(heap.first().is_none_or(|(_, slot)| model.get(&slot).copied() == least));
            }
        }
    }
}
