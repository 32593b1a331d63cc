//! Until when each directory has to be looked at: a wheel of buckets, first come first served within a bucket.
//!
//! Putting in and taking out take constant time and 10 bytes a directory. Coarser counts beside the wheel tell whether
//! too many deadlines fall together (a convoy), and when they must begin to be served. A deadline is firm if nothing else
//! will bring its directory's look: only these make convoys. Never earlier or later than asked for by more than a
//! bucket; what lies beyond the wheel's end goes into its last bucket.

#![expect(clippy::indexing_slicing, reason = "buckets, cells and links have lengths that this file keeps")]

const BUCKETS: u16 = 4096;
const CELL: u16 = 32;
const CELLS: usize = (BUCKETS / CELL) as usize;
/// The list of those that are due at once, beside the wheel.
const AT_ONCE: u16 = BUCKETS;
/// Beside a bucket's number: the deadline is firm.
const FIRM: u16 = 1 << 15;
const NOWHERE: u16 = FIRM - 1;
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Ends {
    head: u32,
    tail: u32,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

/// Directories by deadline. Times are seconds.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// Seconds a bucket.
    width: f64,
    /// Number of the wheel's first bucket since time zero; every deadline lies in it or in one of the next 4095.
    first: u64,
    lists: Vec<Ends>,
    cells: [u32; CELLS],
    /// As `cells`, of firm deadlines.
    firm_cells: [u32; CELLS],
    links: Vec<Link>,
    buckets: Vec<u16>,
    /// How many are on the wheel; those due at once are not counted.
    count: u32,
    /// How many of these are firm.
    firm: u32,
}

impl Deadlines {
    /// A wheel that reaches `span` seconds ahead.
    pub(super) fn new(span: f64) -> Self {
        let none = Ends { head: NONE, tail: NONE };
        Self {
            width: span / f64::from(BUCKETS),
            first: 0,
            lists: vec![none; usize::from(BUCKETS) + 1],
            cells: [0; CELLS],
            firm_cells: [0; CELLS],
            links: Vec::new(),
            buckets: Vec::new(),
            count: 0,
            firm: 0,
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

    /// Puts `slot` in, due at once, instead of where it was.
    pub(super) fn insert_at_once(&mut self, slot: u32) {
        self.remove(slot);
        self.append(slot, AT_ONCE);
    }

    /// Puts `slot` in, due at `time` or up to a bucket earlier, instead of where it was.
    pub(super) fn insert(&mut self, slot: u32, time: f64, now: f64, firm: bool) {
        self.remove(slot);
        self.insert_into(slot, self.number(time), now, firm);
    }

    /// Puts `slot` in, due at `time` or up to a bucket later, instead of where it was, unless it is due earlier.
    pub(super) fn hasten(&mut self, slot: u32, time: f64, now: f64) {
        let number = self.number(time) + 1;
        if self.time_of(slot).is_some_and(|due| due > self.start(number)) {
            self.remove(slot);
            self.insert_into(slot, number, now, false);
        }
    }

    /// Takes `slot` out, if it is in.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(bucket) = self.buckets.get_mut(slot as usize).filter(|bucket| **bucket != NOWHERE) else {
            return;
        };
        let place = std::mem::replace(bucket, NOWHERE);
        let (bucket, firm) = (place & !FIRM, place & FIRM != 0);
        let Link { before, after } = self.links[slot as usize];
        let ends = &mut self.lists[usize::from(bucket)];
        match before {
            NONE => ends.head = after,
            _ => self.links[before as usize].after = after,
        }
        match after {
            NONE => ends.tail = before,
            _ => self.links[after as usize].before = before,
        }
        if bucket != AT_ONCE {
            self.count -= 1;
            self.cells[usize::from(bucket / CELL)] -= 1;
            self.firm -= u32::from(firm);
            self.firm_cells[usize::from(bucket / CELL)] -= u32::from(firm);
        }
    }

    /// The one waiting longest among those due at once.
    pub(super) fn first_at_once(&self) -> Option<u32> {
        Some(self.lists[usize::from(AT_ONCE)].head).filter(|slot| *slot != NONE)
    }

    /// The one whose deadline passed longest ago; `None` if none has. Those due at once are not among them.
    pub(super) fn passed(&mut self, now: f64) -> Option<u32> {
        let number = self.number(now);
        while self.first < number && self.lists[usize::from(Self::bucket(self.first))].head == NONE {
            // Whole empty cells at a step: the way round the wheel is short.
            let cell = u64::from(CELL);
            let whole = self.first.is_multiple_of(cell) && self.cell(self.first) == 0;
            self.first = if self.count == 0 { number } else { self.first + if whole { cell } else { 1 } };
        }
        // A whole cell may have been one too far.
        self.first = self.first.min(number);
        Some(self.lists[usize::from(Self::bucket(self.first))].head).filter(|slot| *slot != NONE)
    }

    /// The one with the earliest deadline, and that deadline. Those due at once are not among them.
    pub(super) fn first(&self) -> Option<(f64, u32)> {
        if self.count == 0 {
            return None;
        }
        let cell = (0..=CELLS as u64)
            .map(|ahead| (self.first / u64::from(CELL) + ahead) * u64::from(CELL))
            .find(|start| self.cell(*start) > 0 && self.first_in_cell(*start).is_some())?;
        self.first_in_cell(cell)
    }

    /// The deadline of `slot`; `None` if it is not in or due at once.
    pub(super) fn time_of(&self, slot: u32) -> Option<f64> {
        let bucket = self.buckets.get(slot as usize).map(|place| place & !FIRM).filter(|it| *it < BUCKETS)?;
        let ahead = (bucket + BUCKETS - Self::bucket(self.first)) % BUCKETS;
        Some(self.start(self.first + u64::from(ahead)))
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
    pub(super) fn resize(&mut self, span: f64, now: f64) {
        let mut waiting: Vec<(f64, u32, bool)> = Vec::new();
        while let Some((time, slot)) = self.first() {
            waiting.push((time, slot, self.buckets[slot as usize] & FIRM != 0));
            self.remove(slot);
            self.first = self.number(time);
        }
        self.width = span / f64::from(BUCKETS);
        for (time, slot, firm) in waiting {
            self.insert_into(slot, self.number(time), now, firm);
        }
    }

    fn insert_into(&mut self, slot: u32, number: u64, now: f64, firm: bool) {
        if self.count == 0 {
            self.first = self.number(now).min(number);
        }
        let number = number.clamp(self.first, self.first + u64::from(BUCKETS) - 1);
        let bucket = Self::bucket(number);
        self.append(slot, bucket);
        self.count += 1;
        self.cells[usize::from(bucket / CELL)] += 1;
        if firm {
            self.buckets[slot as usize] |= FIRM;
            self.firm += 1;
            self.firm_cells[usize::from(bucket / CELL)] += 1;
        }
    }

    fn append(&mut self, slot: u32, bucket: u16) {
        let index = slot as usize;
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, NOWHERE);
            self.links.resize(index + 1, Link { before: NONE, after: NONE });
        }
        let ends = &mut self.lists[usize::from(bucket)];
        let before = std::mem::replace(&mut ends.tail, slot);
        if before == NONE {
            ends.head = slot;
        } else {
            self.links[before as usize].after = slot;
        }
        self.links[index] = Link { before, after: NONE };
        self.buckets[index] = bucket;
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

    /// The earliest from the wheel's first bucket on, in the cell that begins with bucket `start`.
    fn first_in_cell(&self, start: u64) -> Option<(f64, u32)> {
        let end = (start + u64::from(CELL)).min(self.first + u64::from(BUCKETS));
        (start.max(self.first)..end)
            .map(|number| (self.start(number), self.lists[usize::from(Self::bucket(number))].head))
            .find(|(_, slot)| *slot != NONE)
    }

    /// How many deadlines lie in the cell of bucket `number`.
    fn cell(&self, number: u64) -> u32 {
        self.cells[usize::from(Self::bucket(number) / CELL)]
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

    #[test]
    fn those_due_at_once_keep_their_order_beside_the_wheel() {
        let mut deadlines = Deadlines::new(4096.0);
        for slot in [5, 3, 4] {
            deadlines.insert_at_once(slot);
        }
        deadlines.remove(3);
        assert_eq!(deadlines.first(), None);
        assert_eq!(deadlines.first_at_once(), Some(5));
        deadlines.remove(5);
        assert_eq!(deadlines.first_at_once(), Some(4));
    }

    #[test]
    fn a_request_hastens_and_never_delays() {
        let mut deadlines = Deadlines::new(4096.0);
        deadlines.insert(0, 100.0, 0.0, true);
        deadlines.hasten(0, 200.0, 0.0);
        assert_eq!(deadlines.time_of(0), Some(100.0));
        deadlines.hasten(0, 50.5, 0.0);
        assert_eq!(deadlines.time_of(0), Some(51.0), "not earlier than asked for");
    }

    #[test]
    fn deadlines_are_served_early_enough_for_all_of_them() {
        let mut deadlines = Deadlines::new(4096.0);
        assert!(deadlines.latest_start(1.0).is_infinite());
        for slot in 0..30 {
            deadlines.insert(slot, 70.0, 0.0, slot < 10);
        }
        // The counts say that 30 fall before second 96.
        assert_eq!(deadlines.crowd(64.0, false), 30);
        assert_eq!(deadlines.crowd(63.0, false), 0);
        assert_eq!((deadlines.crowd(64.0, true), deadlines.firm()), (10, 10));
        assert!((deadlines.latest_start(1.0) - 65.0).abs() < 1e-9);
        assert!((deadlines.latest_start(10.0) - 92.9).abs() < 1e-9);
        // Those behind them must not come too late either.
        for slot in 30..130 {
            deadlines.insert(slot, 100.0, 0.0, false);
        }
        assert!((deadlines.latest_start(1.0) + 3.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn is_a_sorted_map(
            steps in prop::collection::vec((0..30_u32, prop::option::of(0..1000_u32), 0..40_u32), 1..200),
            resized in 0..200_usize,
        ) {
            let mut deadlines = Deadlines::new(2048.0);
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            let mut firm: BTreeMap<u32, bool> = BTreeMap::new();
            let mut now = 0;
            for (index, (slot, ahead, elapsed)) in steps.into_iter().enumerate() {
                if let Some(ahead) = ahead {
                    deadlines.insert(slot, f64::from(now + ahead), f64::from(now), ahead % 3 == 0);
                    firm.insert(slot, ahead % 3 == 0);
                    model.insert(slot, now + ahead);
                } else {
                    deadlines.remove(slot);
                    model.remove(&slot);
                }
                if index == resized {
                    deadlines.resize(4096.0, f64::from(now));
                }
                let least = model.values().min().copied();
                prop_assert_eq!(deadlines.first().map(|(time, _)| time), least.map(f64::from));
                // What has passed is served in its order: a wheel goes only so far round.
                while let Some(slot) = deadlines.passed(f64::from(now)) {
                    let least = model.values().min().copied();
                    prop_assert_eq!(model.remove(&slot), least);
                    prop_assert!(least.is_some_and(|least| least <= now));
                    deadlines.remove(slot);
                }
                prop_assert!(model.values().all(|time| *time > now));
                let firm = model.keys().filter(|slot| firm[slot]).count();
                prop_assert_eq!(deadlines.firm() as usize, firm);
                prop_assert_eq!(deadlines.firm_cells.iter().sum::<u32>() as usize, firm);
                now += elapsed;
                for (slot, time) in &model {
                    prop_assert_eq!(deadlines.time_of(*slot), Some(f64::from(*time)));
                }
            }
        }
    }
}
