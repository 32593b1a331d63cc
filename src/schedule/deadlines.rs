//! Until when each directory has to be looked at: a wheel of buckets, first come first served within a bucket.
//!
//! A deadline that moves later, as all do after a look, leaves its entry where it lies: once met, that is dropped or moves
//! on (as the kernel's TCP timers do). So a new deadline touches the directory alone, and a directory has one entry, but
//! for a deadline that came earlier than its entry. Counts beside the wheel are exact. They tell when the first deadline
//! is, whether too many fall together (a convoy), and when they must begin to be served. A deadline is firm if nothing
//! else will bring its directory's look: only these make convoys. Never earlier or later than asked for by more than a
//! bucket; what lies beyond the wheel's end goes into its last bucket.

#![expect(clippy::indexing_slicing, reason = "directories, buckets and cells are counted")]

use super::directory::Directory;
use super::lists::Lists;

const BUCKETS: u16 = 4096;
/// Room for the entries of a bucket at first.
const MANY: usize = 64;

const CELL: u16 = 32;
const CELLS: usize = (BUCKETS / CELL) as usize;
/// The list of those that are due at once, beside the wheel.
const AT_ONCE: u16 = BUCKETS;
/// Beside a bucket's number: the deadline is firm.
const FIRM: u16 = 1 << 15;
const NOWHERE: u16 = FIRM - 1;

/// Entries of a chunk: with the number of the next chunk, a line of the cache.
const CHUNK: usize = 15;

/// The bucket of a directory's deadline, and the one in which its entry lies, which is never behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeadlinePlace {
    due: u16,
    entry: u16,
}

impl DeadlinePlace {
    /// Of a directory that has no deadline.
    pub(super) const NONE: Self = Self { due: NOWHERE, entry: NOWHERE };

    fn due(self) -> u16 {
        self.due & !FIRM
    }

    fn is_firm(self) -> bool {
        self.due & FIRM != 0
    }
}

/// Directories by deadline. Times are seconds.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// Seconds a bucket.
    width: f64,
    /// Number of the wheel's first bucket since time zero; every deadline lies in it or in one of the next 4095.
    first: u64,
    /// Entries of directories, by bucket, and those due at once.
    lists: Lists<u32, CHUNK>,
    /// Entries by cell, those to be dropped or moved as well.
    entries: [u32; CELLS],
    /// Deadlines by bucket.
    due: Vec<u32>,
    /// Deadlines by cell.
    cells: [u32; CELLS],
    /// As `cells`, of firm deadlines.
    firm_cells: [u32; CELLS],
    /// How many are on the wheel; those due at once are not counted.
    count: u32,
    /// How many of these are firm.
    firm: u32,
    /// How many are due at once.
    at_once: u32,
}

impl Deadlines {
    /// A wheel that reaches `span` seconds ahead.
    pub(super) fn new(span: f64) -> Self {
        Self {
            width: span / f64::from(BUCKETS),
            first: 0,
            lists: Lists::new(usize::from(BUCKETS) + 1),
            entries: [0; CELLS],
            due: vec![0; usize::from(BUCKETS)],
            cells: [0; CELLS],
            firm_cells: [0; CELLS],
            count: 0,
            firm: 0,
            at_once: 0,
        }
    }

    /// How far the wheel reaches, in seconds.
    pub(super) fn span(&self) -> f64 {
        self.width * f64::from(BUCKETS)
    }

    /// Seconds that the counts for [`Deadlines::crowd`] and [`Deadlines::latest_start`] take together.
    pub(super) fn grain(&self) -> f64 {
        self.width * f64::from(CELL)
    }

    /// Makes `slot` due at once, instead of when it was.
    pub(super) fn insert_at_once(&mut self, directories: &mut [Directory], slot: u32) {
        self.remove(directories, slot);
        directories[slot as usize].deadline.due = AT_ONCE;
        self.at_once += 1;
        self.lists.push(usize::from(AT_ONCE), slot);
    }

    /// Makes `slot` due at `time` or up to a bucket earlier, instead of when it was.
    pub(super) fn insert(
        &mut self,
        directories: &mut [Directory],
        slot: u32,
        time: f64,
        now: f64,
        firm: bool,
    ) {
        self.remove(directories, slot);
        self.insert_into(&mut directories[slot as usize].deadline, slot, self.number(time), now, firm);
    }

    /// Makes `slot` due at `time` or up to a bucket later, instead of when it was, unless it is due earlier.
    pub(super) fn hasten(&mut self, directories: &mut [Directory], slot: u32, time: f64, now: f64) {
        let number = self.number(time) + 1;
        if self.time_of(directories, slot).is_some_and(|due| due > self.start(number)) {
            self.remove(directories, slot);
            self.insert_into(&mut directories[slot as usize].deadline, slot, number, now, false);
        }
    }

    /// Takes the deadline of `slot` away, if it has one.
    pub(super) fn remove(&mut self, directories: &mut [Directory], slot: u32) {
        let place = &mut directories[slot as usize].deadline;
        let (bucket, firm) = (place.due(), place.is_firm());
        place.due = NOWHERE;
        if bucket < BUCKETS {
            self.count(bucket, firm, |count| *count -= 1);
        } else if bucket == AT_ONCE {
            self.at_once -= 1;
        }
    }

    /// Whether any are due at once.
    pub(super) fn any_at_once(&self) -> bool {
        self.at_once > 0
    }

    /// The one waiting longest among those due at once.
    pub(super) fn first_at_once(&mut self, directories: &[Directory]) -> Option<u32> {
        let list = usize::from(AT_ONCE);
        while self.at_once > 0 {
            let slot = self.lists.first(list)?;
            if directories[slot as usize].deadline.due == AT_ONCE {
                return Some(slot);
            }
            self.lists.pop(list);
        }
        None
    }

    /// The one whose deadline passed longest ago; `None` if none has. Those due at once are not among them.
    pub(super) fn passed(&mut self, directories: &mut [Directory], now: f64) -> Option<u32> {
        let number = self.number(now);
        if self.count == 0 {
            // After a long rest the way would lead many times round the wheel.
            self.first = self.first.max(number);
            return None;
        }
        while self.first <= number {
            if let Some(slot) = self.first_in(directories, Self::bucket(self.first)) {
                return Some(slot);
            }
            if self.first == number {
                break;
            }
            self.first = (self.first + Self::step(self.first, &self.entries)).min(number);
            self.sweep(directories, Self::bucket(self.first));
        }
        None
    }

    /// The one with the earliest deadline. Those due at once are not among them.
    pub(super) fn first(&mut self, directories: &mut [Directory]) -> Option<u32> {
        let due = self.first_number()?;
        // Its entry may lie earlier.
        let mut number = self.first;
        while number <= due {
            if let Some(slot) = self.first_in(directories, Self::bucket(number)) {
                return Some(slot);
            }
            number += Self::step(number, &self.entries);
        }
        None
    }

    /// The earliest deadline. Those due at once are not among them.
    pub(super) fn first_time(&self) -> Option<f64> {
        self.first_number().map(|number| self.start(number))
    }

    /// The deadline of `slot`; `None` if it has none or is due at once.
    pub(super) fn time_of(&self, directories: &[Directory], slot: u32) -> Option<f64> {
        let bucket = Some(directories.get(slot as usize)?.deadline.due()).filter(|it| *it < BUCKETS)?;
        Some(self.start(self.first + u64::from(self.ahead(bucket))))
    }

    /// How many deadlines fall together with `time`, within the grain; only firm ones if `firm`.
    pub(super) fn crowd(&self, time: f64, firm: bool) -> u32 {
        let number = self.number(time).max(self.first);
        if firm { self.firm_cells[usize::from(Self::bucket(number) / CELL)] } else { self.cell(number) }
    }

    /// How many deadlines are firm.
    pub(super) fn firm(&self) -> u32 {
        self.firm
    }

    /// When deadlines must begin to be served, at `rate` looks a second and after one other look, for all to be met.
    pub(super) fn latest_start(&self, rate: f64) -> f64 {
        let start = self.first / u64::from(CELL);
        let mut waiting = 1.0;
        let mut latest = f64::INFINITY;
        for cell in start..start + CELLS as u64 {
            let count = self.cell(cell * u64::from(CELL));
            if count > 0 {
                waiting += f64::from(count);
                latest = f64::min(latest, self.start((cell + 1) * u64::from(CELL)) - waiting / rate);
            }
        }
        latest
    }

    /// Makes the wheel reach `span` seconds ahead, every deadline where it was.
    pub(super) fn resize(&mut self, directories: &mut [Directory], span: f64, now: f64) {
        let mut waiting: Vec<(f64, u32, bool)> = Vec::new();
        for slot in 0..u32::try_from(directories.len()).unwrap_or(u32::MAX) {
            if let Some(time) = self.time_of(directories, slot) {
                waiting.push((time, slot, directories[slot as usize].deadline.is_firm()));
                self.remove(directories, slot);
            }
            directories[slot as usize].deadline.entry = NOWHERE;
        }
        waiting.sort_by(|one, other| one.0.total_cmp(&other.0));
        for bucket in 0..usize::from(BUCKETS) {
            while self.lists.pop(bucket).is_some() {}
        }
        self.entries = [0; CELLS];
        self.width = span / f64::from(BUCKETS);
        for (time, slot, firm) in waiting {
            self.insert_into(&mut directories[slot as usize].deadline, slot, self.number(time), now, firm);
        }
    }

    fn insert_into(&mut self, place: &mut DeadlinePlace, slot: u32, number: u64, now: f64, firm: bool) {
        if self.count == 0 {
            self.first = self.number(now).min(number);
        }
        let number = number.clamp(self.first, self.first + u64::from(BUCKETS) - 1);
        let bucket = Self::bucket(number);
        self.count(bucket, firm, |count| *count += 1);
        place.due = if firm { bucket | FIRM } else { bucket };
        if place.entry == NOWHERE || self.ahead(place.entry) > self.ahead(bucket) {
            self.enter(place, slot, bucket);
        }
    }

    fn enter(&mut self, place: &mut DeadlinePlace, slot: u32, bucket: u16) {
        place.entry = bucket;
        self.lists.push(usize::from(bucket), slot);
        self.entries[usize::from(bucket / CELL)] += 1;
    }

    /// Changes the counts in which a deadline of `bucket` stands.
    fn count(&mut self, bucket: u16, firm: bool, change: impl Fn(&mut u32)) {
        let cell = usize::from(bucket / CELL);
        change(&mut self.count);
        change(&mut self.due[usize::from(bucket)]);
        change(&mut self.cells[cell]);
        if firm {
            change(&mut self.firm);
            change(&mut self.firm_cells[cell]);
        }
    }

    /// The one waiting longest among those due in `bucket`. Entries before it that are due later move there.
    fn first_in(&mut self, directories: &mut [Directory], bucket: u16) -> Option<u32> {
        while let Some(slot) = self.lists.first(usize::from(bucket)) {
            let place = &mut directories[slot as usize].deadline;
            if place.due() == bucket {
                return Some(slot);
            }
            self.lists.pop(usize::from(bucket));
            self.meet(place, slot, bucket);
        }
        None
    }

    /// Moves all entries of `bucket` whose directories are due later. What [`Deadlines::first_in`] would do one by one, since
    /// memory answers many questions as fast as one.
    fn sweep(&mut self, directories: &mut [Directory], bucket: u16) {
        let list = usize::from(bucket);
        let mut slots = Vec::with_capacity(MANY);
        slots.extend(std::iter::from_fn(|| self.lists.pop(list)));
        let places: Vec<DeadlinePlace> =
            slots.iter().map(|slot| directories[*slot as usize].deadline).collect();
        for (slot, place) in slots.into_iter().zip(places) {
            if place.due() == bucket {
                self.lists.push(list, slot);
            } else {
                self.meet(&mut directories[slot as usize].deadline, slot, bucket);
            }
        }
    }

    /// Moves an entry of `bucket` that is in none now to where its directory is due, or drops it.
    fn meet(&mut self, place: &mut DeadlinePlace, slot: u32, bucket: u16) {
        self.entries[usize::from(bucket / CELL)] -= 1;
        if place.entry == bucket {
            place.entry = NOWHERE;
            if place.due() < BUCKETS {
                self.enter(place, slot, place.due());
            }
        }
    }

    /// The number of the bucket of the earliest deadline.
    fn first_number(&self) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let last = self.first + u64::from(BUCKETS);
        let mut number = self.first;
        while number < last && self.due[usize::from(Self::bucket(number))] == 0 {
            number += Self::step(number, &self.cells);
        }
        Some(number)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times before zero count as zero"
    )]
    fn number(&self, time: f64) -> u64 {
        (time / self.width) as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn start(&self, number: u64) -> f64 {
        number as f64 * self.width
    }

    /// From bucket `number` to the next that may hold something of what `cells` count: whole empty cells at a step.
    fn step(number: u64, cells: &[u32; CELLS]) -> u64 {
        let empty = cells[usize::from(Self::bucket(number) / CELL)] == 0;
        if empty { u64::from(CELL) - number % u64::from(CELL) } else { 1 }
    }

    /// How many deadlines lie in the cell of bucket `number`.
    fn cell(&self, number: u64) -> u32 {
        self.cells[usize::from(Self::bucket(number) / CELL)]
    }

    /// How many buckets ahead of the wheel's first one `bucket` lies.
    fn ahead(&self, bucket: u16) -> u16 {
        (bucket + BUCKETS - Self::bucket(self.first)) % BUCKETS
    }

    fn bucket(number: u64) -> u16 {
        u16::try_from(number % u64::from(BUCKETS)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn directories() -> Vec<Directory> {
        vec![Directory::new(None); 200]
    }

    #[test]
    fn those_due_at_once_keep_their_order_beside_the_wheel() {
        let (mut deadlines, mut all) = (Deadlines::new(4096.0), directories());
        for slot in [5, 3, 4] {
            deadlines.insert_at_once(&mut all, slot);
        }
        deadlines.remove(&mut all, 3);
        assert_eq!(deadlines.first(&mut all), None);
        assert_eq!(deadlines.first_at_once(&all), Some(5));
        deadlines.remove(&mut all, 5);
        assert!(deadlines.any_at_once());
        assert_eq!(deadlines.first_at_once(&all), Some(4));
        deadlines.remove(&mut all, 4);
        assert!(!deadlines.any_at_once());
    }

    #[test]
    fn a_request_hastens_and_never_delays() {
        let (mut deadlines, mut all) = (Deadlines::new(4096.0), directories());
        deadlines.insert(&mut all, 0, 100.0, 0.0, true);
        deadlines.hasten(&mut all, 0, 200.0, 0.0);
        assert_eq!(deadlines.time_of(&all, 0), Some(100.0));
        deadlines.hasten(&mut all, 0, 50.5, 0.0);
        assert_eq!(deadlines.time_of(&all, 0), Some(51.0), "not earlier than asked for");
    }

    #[test]
    fn deadlines_are_served_early_enough_for_all_of_them() {
        let (mut deadlines, mut all) = (Deadlines::new(4096.0), directories());
        assert!(deadlines.latest_start(1.0).is_infinite());
        for slot in 0..30 {
            deadlines.insert(&mut all, slot, 70.0, 0.0, slot < 10);
        }
        // The counts say that 30 fall before second 96.
        assert_eq!(deadlines.crowd(64.0, false), 30);
        assert_eq!(deadlines.crowd(63.0, false), 0);
        assert_eq!((deadlines.crowd(64.0, true), deadlines.firm()), (10, 10));
        assert!((deadlines.latest_start(1.0) - 65.0).abs() < 1e-9);
        assert!((deadlines.latest_start(10.0) - 92.9).abs() < 1e-9);
        // Those behind them must not come too late either.
        for slot in 30..130 {
            deadlines.insert(&mut all, slot, 100.0, 0.0, false);
        }
        assert!((deadlines.latest_start(1.0) + 3.0).abs() < 1e-9);
    }

    /// A mount was away for years; step by step round the wheel this would never end.
    #[test]
    fn a_long_rest_is_passed_in_one_step() {
        let (mut deadlines, mut all) = (Deadlines::new(0.3), directories());
        deadlines.insert(&mut all, 7, 0.1, 0.0, true);
        deadlines.remove(&mut all, 7);
        let years = 1e12;
        assert_eq!(deadlines.passed(&mut all, years), None);
        deadlines.insert(&mut all, 7, years + 0.2, years, true);
        assert_eq!(deadlines.passed(&mut all, years + 0.1), None);
        assert_eq!(deadlines.passed(&mut all, years + 0.3), Some(7));
    }

    proptest! {
        #[test]
        fn is_a_sorted_map(
            steps in prop::collection::vec((0..30_u32, prop::option::of(0..1000_u32), 0..40_u32), 1..200),
            resized in 0..200_usize,
        ) {
            let (mut deadlines, mut all) = (Deadlines::new(2048.0), directories());
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            let mut firm: BTreeMap<u32, bool> = BTreeMap::new();
            let mut now = 0;
            for (index, (slot, ahead, elapsed)) in steps.into_iter().enumerate() {
                if let Some(ahead) = ahead {
                    deadlines.insert(&mut all, slot, f64::from(now + ahead), f64::from(now), ahead % 3 == 0);
                    firm.insert(slot, ahead % 3 == 0);
                    model.insert(slot, now + ahead);
                } else {
                    deadlines.remove(&mut all, slot);
                    model.remove(&slot);
                }
                if index == resized {
                    deadlines.resize(&mut all, 4096.0, f64::from(now));
                }
                let least = model.values().min().copied();
                prop_assert_eq!(deadlines.first_time(), least.map(f64::from));
                let first = deadlines.first(&mut all);
                prop_assert_eq!(first.map(|slot| model.get(&slot).copied()), least.map(Some));
                // What has passed is served in its order: a wheel goes only so far round.
                while let Some(slot) = deadlines.passed(&mut all, f64::from(now)) {
                    let least = model.values().min().copied();
                    prop_assert_eq!(model.remove(&slot), least);
                    prop_assert!(least.is_some_and(|least| least <= now));
                    deadlines.remove(&mut all, slot);
                }
                prop_assert!(model.values().all(|time| *time > now));
                let firm = model.keys().filter(|slot| firm[slot]).count();
                prop_assert_eq!(deadlines.firm() as usize, firm);
                prop_assert_eq!(deadlines.firm_cells.iter().sum::<u32>() as usize, firm);
                now += elapsed;
                for (slot, time) in &model {
                    prop_assert_eq!(deadlines.time_of(&all, *slot), Some(f64::from(*time)));
                }
            }
        }
    }
}
