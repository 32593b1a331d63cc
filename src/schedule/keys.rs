//! Who is next in virtual time: a radix heap (Ahuja, Mehlhorn, Orlin & Tarjan 1990) whose entries move when met.
//!
//! Keys never lie before the virtual clock. So those to come need no order yet: they lie in lists by the highest digit in
//! which they differ from where we are, and only the nearest are in a heap, small enough for the fastest cache. A key
//! that changes leaves its entry where it lies; once met, it is dropped or moves on to the new key. A directory has one
//! entry, but for a key that came earlier than its entry. At a million directories the misses of the cache are what a
//! decision costs, and here all but the directory itself is read and written in order.

#![expect(clippy::indexing_slicing, reason = "directories and levels are counted")]

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::directory::Directory;
use super::lists::Lists;

/// A point of virtual time, modulo 2^32: only the order of two points less than 2^31 apart means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) u32);

impl Key {
    /// No point; what would be spelled so lies one further.
    const NONE: Self = Self(u32::MAX);

    /// Whether `self` comes before `other`.
    pub(super) fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }
}

/// A directory's key, and where its entry lies, which is never behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyPlace {
    key: Key,
    entry: Key,
}

impl KeyPlace {
    /// Of a directory that has no key.
    pub(super) const NONE: Self = Self { key: Key::NONE, entry: Key::NONE };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: Key,
    slot: u32,
}

impl Ord for Entry {
    /// The least key is the greatest entry, since a [`BinaryHeap`] gives that first.
    fn cmp(&self, other: &Self) -> Ordering {
        let ahead = self.key.0.wrapping_sub(other.key.0).cast_signed();
        0.cmp(&ahead).then(other.slot.cmp(&self.slot))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Bits of a digit. With more, entries move less often and lie in more lists.
const BITS: u32 = 4;
const DIGITS: u32 = 1 << BITS;

/// A level for each digit of a key.
const LEVELS: u32 = u32::BITS / BITS;

/// So many entries are put in order at once.
const NEAR: u32 = 64;

/// Entries of a chunk: a line of the cache.
const CHUNK: usize = 7;

/// Directories in the order of their keys.
#[derive(Debug)]
pub(super) struct Keys {
    /// Entries before `end`.
    near: BinaryHeap<Entry>,
    end: Key,
    /// All others, by the highest digit in which they differ from `floor`: the lower the level, the sooner.
    far: Lists<Entry, CHUNK>,
    floor: u32,
    /// How many there are with each digit at each level.
    counts: [[u32; DIGITS as usize]; LEVELS as usize],
    /// Directories that have a key.
    length: usize,
}

impl Keys {
    /// No keys yet.
    pub(super) fn new() -> Self {
        let far = Lists::new((LEVELS * DIGITS) as usize);
        let counts = [[0; DIGITS as usize]; LEVELS as usize];
        Self { near: BinaryHeap::new(), end: Key(1), far, floor: 0, counts, length: 0 }
    }

    /// The directory with the least key.
    pub(super) fn first(&mut self, directories: &mut [Directory]) -> Option<(Key, u32)> {
        loop {
            while let Some(Entry { key, slot }) = self.near.peek().copied() {
                if directories[slot as usize].key.key == key {
                    return Some((key, slot));
                }
                self.near.pop();
                self.go_on(directories, Entry { key, slot });
            }
            if !self.come_near(directories) {
                return None;
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Gives `slot` a key, instead of the one that it has.
    pub(super) fn insert(&mut self, directories: &mut [Directory], slot: u32, key: Key) {
        let place = &mut directories[slot as usize].key;
        let key = if key == Key::NONE { Key(0) } else { key };
        self.length += usize::from(place.key == Key::NONE);
        place.key = key;
        if place.entry == Key::NONE || key.is_before(place.entry) {
            place.entry = key;
            self.enter(Entry { key, slot });
        }
    }

    /// Takes the key of `slot` away, if it has one.
    pub(super) fn remove(&mut self, directories: &mut [Directory], slot: u32) {
        let place = &mut directories[slot as usize].key;
        self.length -= usize::from(place.key != Key::NONE);
        place.key = Key::NONE;
    }

    /// Moves an entry that was met too early, or drops it.
    fn go_on(&mut self, directories: &mut [Directory], entry: Entry) {
        let place = &mut directories[entry.slot as usize].key;
        if place.entry == entry.key {
            place.entry = place.key;
            if place.key != Key::NONE {
                self.enter(Entry { key: place.key, ..entry });
            }
        }
    }

    fn enter(&mut self, entry: Entry) {
        if entry.key.is_before(self.end) {
            self.near.push(entry);
        } else {
            let level = (entry.key.0 ^ self.floor).ilog2() / BITS;
            let digit = (entry.key.0 >> (level * BITS)) % DIGITS;
            self.counts[level as usize][digit as usize] += 1;
            self.far.push((level * DIGITS + digit) as usize, entry);
        }
    }

    /// Level and digit of the nearest list that has entries.
    fn nearest(&self) -> Option<(u32, u32)> {
        (0..LEVELS).find_map(|level| {
            let counts = &self.counts[level as usize];
            // The highest digit goes round. No entry has the digit of the floor.
            let digits = (1..DIGITS).map(|ahead| (self.floor >> (level * BITS)).wrapping_add(ahead) % DIGITS);
            digits.into_iter().find(|digit| counts[*digit as usize] > 0).map(|digit| (level, digit))
        })
    }

    /// Goes on to the nearest list that has entries: puts them in order if they are few, else on lower levels.
    fn come_near(&mut self, directories: &mut [Directory]) -> bool {
        let Some((level, digit)) = self.nearest() else { return false };
        let shift = level * BITS;
        let count = std::mem::take(&mut self.counts[level as usize][digit as usize]);
        let list = (level * DIGITS + digit) as usize;
        // They begin where the digit does; those on higher levels differ from there in the same digit as before.
        let above = self.floor.checked_shr(shift + BITS).unwrap_or(0);
        self.floor = above.checked_shl(shift + BITS).unwrap_or(0) | digit << shift;
        if count > NEAR {
            self.end = Key(self.floor.wrapping_add(1));
            for _ in 0..count {
                self.far.pop(list).into_iter().for_each(|entry| self.enter(entry));
            }
            return true;
        }
        self.end = Key(self.floor.wrapping_add(1 << shift));
        // Their directories are read all together: memory answers many questions as fast as one.
        let mut coming = Vec::with_capacity(count as usize);
        coming.extend((0..count).filter_map(|_| self.far.pop(list)));
        let keys: Vec<Key> = coming.iter().map(|entry| directories[entry.slot as usize].key.key).collect();
        for (entry, key) in coming.into_iter().zip(keys) {
            if entry.key == key {
                self.enter(entry);
            } else {
                self.go_on(directories, entry);
            }
        }
        true
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "keys go round")]
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

    /// A step: what is done to a directory, and whether the clock moves to the least key afterwards.
    fn steps() -> impl Strategy<Value = Vec<(u32, Option<u32>, bool)>> {
        let ahead = prop_oneof![0..4_u32, 0..3000_u32, 0..(1_u32 << 30)];
        prop::collection::vec((0..600_u32, prop::option::weighted(0.9, ahead), any::<bool>()), 1..3000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Insertions, changes and removals, against a sorted map; keys go round many times.
        #[test]
        fn is_a_sorted_map(steps in steps()) {
            let mut directories = vec![Directory::new(None); 600];
            let mut keys = Keys::new();
            let mut model = BTreeMap::new();
            let mut clock = 0_u64;
            for (slot, ahead, moves) in steps {
                if let Some(ahead) = ahead {
                    let key = clock + u64::from(ahead);
                    let key = key + u64::from(key as u32 == u32::MAX);
                    keys.insert(&mut directories, slot, Key(key as u32));
                    model.insert(slot, key);
                } else {
                    keys.remove(&mut directories, slot);
                    model.remove(&slot);
                }
                let first = keys.first(&mut directories);
                let least = model.values().min().copied();
                prop_assert_eq!(first.map(|(key, _)| key.0), least.map(|key| key as u32));
                prop_assert!(first.is_none_or(|(_, slot)| model.get(&slot).copied() == least));
                prop_assert_eq!(keys.len(), model.len());
                if moves {
                    clock = least.unwrap_or(clock);
                }
            }
        }

        /// However often keys change, there is little more than one entry a directory.
        #[test]
        fn entries_do_not_pile_up(seed in any::<u32>()) {
            let mut directories = vec![Directory::new(None); 100];
            let mut keys = Keys::new();
            let (mut clock, mut dice) = (0_u32, seed);
            for _ in 0..20_000 {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let slot = (dice >> 16) % 100;
                keys.insert(&mut directories, slot, Key(clock.wrapping_add(dice >> 12)));
                if let Some((key, slot)) = keys.first(&mut directories).filter(|_| dice % 2 == 0) {
                    clock = key.0;
                    keys.remove(&mut directories, slot);
                }
            }
            let entries = keys.near.len() + keys.counts.as_flattened().iter().sum::<u32>() as usize;
            prop_assert!(entries <= 400, "{entries} entries of {} keys", keys.len());
        }
    }
}
