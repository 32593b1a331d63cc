//! The schedule as a whole, on a virtual clock: what it promises holds whatever the directories do.
//!
//! Planted faults that these caught: a deadline without its margin, deadlines that wait for what listings cost, ones that
//! are not served early (bound); crowds of them that are not drawn apart; listings unpaid, a look paid at 1.05 RPCs
//! (budget); no deadlines, none for one directory in seven (starvation); a clock in the dice (determinism); last look,
//! counts or the expected number not restored (restart).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::adaptive::Schedule;
use super::saved::Saved;
use super::terms::{Budget, Sighting, Slot, Terms};
use crate::model::Timestamp;

/// The time that a look takes, in microseconds, and how many may be under way.
const ROUND_TRIP: u64 = 20_000;
const IN_FLIGHT: usize = 16;
const SECOND: u64 = 1_000_000;

fn at(microseconds: u64) -> Timestamp {
    Timestamp::default().plus(Duration::from_secs(1_000_000) + Duration::from_micros(microseconds))
}

fn microseconds(time: Timestamp) -> u64 {
    u64::try_from(time.since(at(0)).as_micros()).unwrap()
}

/// One look: when it began, at which directory, what it cost.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    began: u64,
    slot: Slot,
    rpcs: u32,
}

/// Directories that get a file each so many seconds, or none, looked at by someone with time.
struct World {
    schedule: Schedule,
    /// Seconds from a file to the next, by slot.
    periods: Vec<Option<f64>>,
    last: Vec<Option<u64>>,
    flying: VecDeque<Look>,
    listing: u32,
    now: u64,
    looks: Vec<Look>,
}

impl World {
    fn new(promise: u64, budget: Budget, periods: &[Option<f64>], seed: u64) -> Self {
        let mut schedule = Schedule::new(Terms { promise: Duration::from_secs(promise), budget }, seed);
        for _ in periods {
            schedule.insert(None, at(0));
        }
        let last = vec![None; periods.len()];
        let (flying, looks) = (VecDeque::new(), Vec::new());
        Self { schedule, periods: periods.to_vec(), last, flying, listing: 1, now: 0, looks }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + seconds * SECOND;
        while self.now < end {
            while self.flying.front().is_some_and(|look| look.began + ROUND_TRIP <= self.now) {
                let look = self.flying.pop_front().unwrap();
                self.land(look);
            }
            while self.flying.len() < IN_FLIGHT
                && let Some(slot) = self.schedule.take_due(at(self.now))
            {
                self.fly(slot);
            }
            let landing = self.flying.front().map_or(u64::MAX, |look| look.began + ROUND_TRIP);
            let due = self.schedule.next_due().filter(|_| self.flying.len() < IN_FLIGHT);
            let due = due.map_or(u64::MAX, |due| microseconds(due).max(self.now + 1));
            self.now = landing.min(due).min(end);
        }
    }

    fn fly(&mut self, slot: Slot) {
        assert!(self.flying.iter().all(|look| look.slot != slot), "taken while a look is under way");
        let look = Look { began: self.now, slot, rpcs: 1 };
        self.flying.push_back(look);
    }

    fn land(&mut self, look: Look) {
        let index = look.slot.0 as usize;
        let before = self.last[index].replace(look.began);
        let (arrivals, ago) = self.arrivals(index, before, look.began);
        let changed = arrivals > 0 || before.is_none();
        let rpcs = 1 + if changed { self.listing } else { 0 };
        let sighting = Sighting { arrivals, changed, changed_ago: ago, rpcs, file_rpcs: arrivals };
        self.looks.push(Look { rpcs: sighting.cost(), ..look });
        self.schedule.looked(look.slot, at(look.began), &sighting);
    }

    /// Files between two looks, and how long before the second the last one came.
    fn arrivals(&self, index: usize, from: Option<u64>, to: u64) -> (u32, Option<Duration>) {
        let Some(period) = self.periods[index] else { return (0, None) };
        let count = |time: u64| (time as f64 / 1e6 / period + index as f64 * 0.618).floor();
        let arrivals = from.map_or(0.0, |from| count(to) - count(from)) as u32;
        let ago = (to as f64 / 1e6 / period + index as f64 * 0.618).fract() * period;
        (arrivals, Some(Duration::from_secs_f64(ago)))
    }

    /// The longest time, in seconds, from one look's beginning to the next, from `from` on, by directory.
    fn gaps(&self, from: u64) -> Vec<f64> {
        let mut last: Vec<u64> = vec![from; self.periods.len()];
        let mut gaps = vec![0_u64; self.periods.len()];
        let ends = (0..self.periods.len()).map(|slot| (self.now, slot));
        let looks = self.looks.iter().filter(|look| look.began >= from);
        for (time, slot) in looks.map(|look| (look.began, look.slot.0 as usize)).chain(ends) {
            gaps[slot] = gaps[slot].max(time - std::mem::replace(&mut last[slot], time));
        }
        gaps.into_iter().map(|gap| gap as f64 / 1e6).collect()
    }

    fn longest_gap(&self, from: u64) -> f64 {
        self.gaps(from).into_iter().fold(0.0, f64::max)
    }

    /// RPCs that began within `from..to` seconds.
    fn spent(&self, from: u64, to: u64) -> f64 {
        let within = |look: &&Look| (from * SECOND..to * SECOND).contains(&look.began);
        self.looks.iter().filter(within).map(|look| f64::from(look.rpcs)).sum()
    }
}

/// Directories of all kinds: silent, slow, lively.
fn periods() -> impl Strategy<Value = Vec<Option<f64>>> {
    let kind = prop_oneof![Just(None), (1.0..9.0_f64).prop_map(|log| Some(log.exp()))];
    prop::collection::vec(kind, 1..120)
}

/// How many random worlds each property is tried on; `SCHEDULE_CASES=6000 cargo test --release --lib schedule` is a long run.
fn cases() -> u32 {
    std::env::var("SCHEDULE_CASES").map_or(48, |cases| cases.parse().expect("a number"))
}

/// Else the first of many would get deadlines of a tiny tree.
#[test]
fn restored_directories_are_planned_for_all_there_will_be() {
    let terms = Terms { promise: Duration::from_secs(60), budget: Budget::PerSecond(1.0) };
    let mut schedule = Schedule::new(terms, 1);
    schedule.expect(600);
    schedule.restore(None, &Saved::default(), at(0));
    assert!(schedule.kept_bound() >= Duration::from_secs(600), "{:?}", schedule.kept_bound());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// From a cold start, with looks that take time, and long enough for deadlines to have come round many times.
    #[test]
    fn no_directory_goes_longer_than_promised(periods in periods(), promise in 20..200_u64, seed: u64) {
        let mut world = World::new(promise, Budget::Auto, &periods, seed);
        world.run(promise * 40);
        prop_assert_eq!(world.schedule.kept_bound(), Duration::from_secs(promise));
        prop_assert!(world.longest_gap(0) <= promise as f64, "{} of {promise}", world.longest_gap(0));
    }

    /// The same when the first round itself has to be paid for: all first looks come at the budget's pace and cost a
    /// listing, which nothing foretold.
    #[test]
    fn a_given_budget_keeps_the_bound_from_the_start(count in 100..1000_usize, period in 300.0..1000.0_f64, seed: u64) {
        let promise = 60_u64;
        let mut world = World::new(promise, Budget::PerSecond(count as f64 / 30.0), &vec![Some(period); count], seed);
        world.run(promise * 10);
        prop_assert_eq!(world.schedule.kept_bound(), Duration::from_secs(promise));
        prop_assert!(world.longest_gap(0) <= promise as f64, "{} of {promise}", world.longest_gap(0));
    }

    /// A budget below the floor: everyone waits as long as the budget makes it, nobody longer.
    #[test]
    fn nobody_starves(periods in periods(), part in 0.2..0.9_f64, seed: u64) {
        let promise = 30_u64;
        // So few files that looking up their names is a small part of the budget.
        let periods: Vec<_> = periods.into_iter().map(|period| period.map(|period| period * 300.0)).collect();
        let rate = part * periods.len() as f64 / promise as f64;
        let mut world = World::new(promise, Budget::PerSecond(rate), &periods, seed);
        world.listing = 0;
        let round = periods.len() as f64 / rate;
        world.run((round * 20.0) as u64);
        let kept = world.schedule.kept_bound().as_secs_f64();
        prop_assert!(kept > round && kept < round * 2.0, "{kept} of {round}");
        let most = kept * 1.1 + 3.0 / rate;
        prop_assert!(world.longest_gap(world.now / 4) <= most, "{} of {most}", world.longest_gap(world.now / 4));
    }

    #[test]
    fn any_ten_minutes_cost_the_budget(periods in periods(), rate in 2.0..30.0_f64, seed: u64) {
        // New names are looked up whatever the budget, and no directory is looked at more often than the least gap
        // allows: between the two is that much to do.
        let files: f64 = periods.iter().flatten().map(|period| 1.0 / period).sum();
        let rate = rate + files * 3.0;
        prop_assume!(periods.len() as f64 > rate * 0.5);
        let mut world = World::new(60, Budget::PerSecond(rate), &periods, seed);
        world.run(2400);
        for from in (0..1800).step_by(60) {
            let mean = world.spent(from, from + 600) / 600.0;
            prop_assert!((mean / rate - 1.0).abs() <= 0.03, "{mean} of {rate} from second {from}");
        }
    }

    /// A first walk without a budget looks at all within seconds. Their deadlines together would leave nothing for
    /// others while they are served.
    #[test]
    fn deadlines_set_together_are_drawn_apart(count in 300..3000_usize, promise in 20..200_u64, seed: u64) {
        let mut world = World::new(promise, Budget::Auto, &vec![None; count], seed);
        while world.looks.len() < count {
            world.run(1);
        }
        let deadlines = &world.schedule.deadlines;
        let start = at(world.now).seconds as f64;
        let grains = (promise as f64 / deadlines.grain()) as u32;
        let crowds = (0..=grains).map(|grain| deadlines.crowd(start + f64::from(grain) * deadlines.grain(), false));
        let (most, even) = (crowds.max().unwrap_or_default(), count as f64 / f64::from(grains));
        prop_assert!(f64::from(most) <= even * 3.0 + 4.0, "{most} together, {even} if even");
    }

    #[test]
    fn the_same_seed_gives_the_same_looks(periods in periods(), seed: u64) {
        let run = || {
            let mut world = World::new(60, Budget::Auto, &periods, seed);
            world.run(600);
            world.looks
        };
        prop_assert_eq!(run(), run());
    }

    /// Another process takes over: the bound holds across, and nobody's share of the looks changes much.
    #[test]
    fn a_restart_goes_on_as_before(periods in periods(), seed: u64) {
        let mut world = World::new(60, Budget::Auto, &periods, seed);
        world.run(3600);
        let clock = world.schedule.save_clock();
        let slots = (0..periods.len()).map(|slot| Slot(u32::try_from(slot).unwrap()));
        let saved: Vec<_> = slots.clone().map(|slot| world.schedule.save(slot)).collect();
        let rates: Vec<f64> = slots.map(|slot| world.schedule.lasting_rate(slot)).collect();
        let now = world.now;
        let terms = Terms { promise: Duration::from_secs(60), budget: Budget::Auto };
        world.schedule = Schedule::new(terms, seed + 1);
        world.schedule.restore_clock(&clock);
        world.schedule.expect(saved.len());
        for (saved, rate) in saved.iter().zip(rates) {
            prop_assert!(postcard::to_stdvec(saved).unwrap().len() <= 40);
            let slot = world.schedule.restore(None, saved, at(now));
            let restored = world.schedule.lasting_rate(slot);
            prop_assert!((restored / rate - 1.0).abs() < 0.001, "{restored} a second, not {rate}");
        }
        world.flying.clear();
        world.run(1200);
        prop_assert!(world.longest_gap(0) <= 60.0, "{} of 60", world.longest_gap(0));
        let looks = |slot: usize, from: u64, to: u64| {
            let of = |look: &&Look| look.slot.0 as usize == slot && (from..to).contains(&look.began);
            world.looks.iter().filter(of).count() as f64
        };
        for slot in 0..periods.len() {
            let (before, after) = (looks(slot, now - 1200 * SECOND, now), looks(slot, now, world.now));
            prop_assert!(after > before * 0.6 - 5.0 && after < before * 1.6 + 5.0, "{slot}: {before}, {after}");
        }
    }
}
