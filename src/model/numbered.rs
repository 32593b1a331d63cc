//! Values by numbers that this program gave one after another, such as those of directories.
//!
//! Pages of 64 instead of a table of hashes: what has neighbouring numbers lies side by side, so that ten thousand
//! directories are spread over few pages of memory. For a look at an unchanged directory the processor does little but
//! wait for such places. Numbers that are not in use any more cost nothing once their page is empty.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values in a page, a power of two.
const PAGE: usize = 64;

/// A value for some of the numbers.
#[derive(Debug)]
pub struct Numbered<T> {
    /// Where the page of a number is, by the number without its last bits.
    places: HashMap<u64, usize, Spreading>,
    pages: Vec<Page<T>>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    /// What is common to its numbers.
    number: u64,
    len: usize,
    values: Box<[Option<T>; PAGE]>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { places: HashMap::default(), pages: Vec::new(), len: 0 }
    }
}

impl<T> Numbered<T> {
    /// The value of `number`.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&T> {
        let (page, slot) = split(number);
        self.pages.get(*self.places.get(&page)?)?.values.get(slot)?.as_ref()
    }

    /// The value of `number`, to change.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (page, slot) = split(number);
        self.pages.get_mut(*self.places.get(&page)?)?.values.get_mut(slot)?.as_mut()
    }

    /// Whether `number` has a value.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.get(number).is_some()
    }

    /// Gives `number` a value; what it had before comes back.
    pub fn insert(&mut self, number: u64, value: T) -> Option<T> {
        let (page, slot) = split(number);
        let place = *self.places.entry(page).or_insert_with(|| {
            self.pages.push(Page { number: page, len: 0, values: Box::new([const { None }; PAGE]) });
            self.pages.len() - 1
        });
        let page = self.pages.get_mut(place)?;
        let old = page.values.get_mut(slot)?.replace(value);
        let added = usize::from(old.is_none());
        page.len += added;
        self.len += added;
        old
    }

    /// Takes the value of `number` away.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let (page, slot) = split(number);
        self.take(*self.places.get(&page)?, slot)
    }

    /// Takes a value away that `spares` not, the first from `hand` on, going round and leaving `hand` behind it.
    ///
    /// `None` if it spares all: each is asked twice.
    pub fn take_one(&mut self, hand: &mut usize, mut spares: impl FnMut(&mut T) -> bool) -> Option<T> {
        for _ in 0..2 * PAGE * self.pages.len() {
            let at = *hand % (PAGE * self.pages.len());
            *hand = at + 1;
            let value = self.pages.get_mut(at / PAGE)?.values.get_mut(at % PAGE)?;
            if value.as_mut().is_some_and(|value| !spares(value)) {
                return self.take(at / PAGE, at % PAGE);
            }
        }
        None
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many numbers have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every number with its value, the same way for the same history.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.pages.iter().flat_map(|page| {
            let values = page.values.iter().zip(numbers(page.number));
            values.filter_map(|(value, number)| Some((number, value.as_ref()?)))
        })
    }

    /// Every number with its value, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.pages.iter_mut().flat_map(|page| {
            let values = page.values.iter_mut().zip(numbers(page.number));
            values.filter_map(|(value, number)| Some((number, value.as_mut()?)))
        })
    }

    fn take(&mut self, place: usize, slot: usize) -> Option<T> {
        let page = self.pages.get_mut(place)?;
        let value = page.values.get_mut(slot)?.take()?;
        page.len -= 1;
        self.len -= 1;
        if page.len == 0 {
            self.places.remove(&self.pages.swap_remove(place).number);
            if let Some(moved) = self.pages.get(place) {
                self.places.insert(moved.number, place);
            }
        }
        Some(value)
    }
}

fn split(number: u64) -> (u64, usize) {
    let page = PAGE as u64;
    (number / page, usize::try_from(number % page).expect("below the size of a page"))
}

fn numbers(page: u64) -> impl Iterator<Item = u64> {
    let first = page * PAGE as u64;
    (0..PAGE as u64).map(move |slot| first + slot)
}

/// For maps by numbers that this program gave, or the server: nobody who writes files can choose them.
pub type Spreading = BuildHasherDefault<Spread>;

/// Spreads one number: a multiplication does it as well as a hash that withstands attackers, in a tenth of the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio; the map takes its places from the low bits, which the product leaves as even.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::hash::BuildHasher as _;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Insert(u64),
        Remove(u64),
        TakeOne,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few pages, so that they become empty, and one far away.
        let number = prop_oneof![0..300_u64, Just(u64::MAX)];
        let step = prop_oneof![
            3 => number.clone().prop_map(Step::Insert),
            2 => number.prop_map(Step::Remove),
            1 => Just(Step::TakeOne),
        ];
        proptest::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn is_a_map(steps in steps()) {
            let (mut numbered, mut model, mut hand) = (Numbered::default(), BTreeMap::new(), 0);
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(number) => {
                        prop_assert_eq!(numbered.insert(number, at), model.insert(number, at));
                    }
                    Step::Remove(number) => prop_assert_eq!(numbered.remove(number), model.remove(&number)),
                    Step::TakeOne => {
                        let odd = numbered.take_one(&mut hand, |value| *value % 2 == 0);
                        prop_assert_eq!(odd.is_some(), model.values().any(|value| value % 2 == 1));
                        model.retain(|_, value| Some(*value) != odd);
                    }
                }
                prop_assert_eq!(numbered.len(), model.len());
                prop_assert!(numbered.pages.iter().all(|page| page.len > 0));
                let all: BTreeMap<u64, usize> = numbered.iter().map(|(number, value)| (number, *value)).collect();
                prop_assert_eq!(&all, &model);
                for number in [0, 63, 64, 299, u64::MAX] {
                    prop_assert_eq!(numbered.get(number), model.get(&number));
                }
            }
        }
    }

    #[test]
    fn takes_one_after_another_going_round() {
        let mut numbered = Numbered::default();
        for number in 0..130 {
            numbered.insert(number, (number, number == 1));
        }
        let mut hand = 0;
        // One that is spared once.
        let mut take = |numbered: &mut Numbered<(u64, bool)>| {
            numbered.take_one(&mut hand, |(_, used)| std::mem::take(used)).map(|(number, _)| number)
        };
        assert_eq!([take(&mut numbered), take(&mut numbered)], [Some(0), Some(2)]);
        let mut rest: Vec<u64> = std::iter::from_fn(|| take(&mut numbered)).collect();
        rest.sort_unstable();
        assert_eq!(rest, [&[1], &(3..130).collect::<Vec<_>>()[..]].concat());
    }

    /// Both ends of the hash, of which a map takes places and marks.
    #[test]
    fn spreads_numbers_that_follow_one_another() {
        let hash = Spreading::default();
        for step in [1_u64, 64, 4096] {
            let hashes: Vec<u64> = (0..1024).map(|number| hash.hash_one(number * step)).collect();
            let low: HashSet<u64> = hashes.iter().map(|hash| hash % 1024).collect();
            let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(low.len() > 512 && high.len() > 100, "{step}: {} {}", low.len(), high.len());
        }
    }
}
