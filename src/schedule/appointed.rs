//! Looks that are owed at a certain time, whatever the budget allows just then: it is saved on others.

use super::adaptive::Schedule;
use super::directory::TAKEN;
use super::promise::MOST_COST;
use super::terms::Slot;
use crate::model::Timestamp;

impl Schedule {
    /// Takes a directory that is owed a look now; tells whether it could be taken: not while a look is under way.
    ///
    /// Those that are taken later pay for it. An appointment is made by a look, so the bound of a given budget counts
    /// it as a part of what that look cost.
    pub fn take_appointed(&mut self, slot: Slot, now: Timestamp) -> bool {
        let now = self.observe(now);
        let Some(directory) = self.in_use(slot.0).filter(|directory| !directory.is(TAKEN)) else {
            return false;
        };
        let rpcs = 1 + u32::from(directory.listing);
        self.purse.pay_look(now, self.rate());
        self.cold_cost += f64::from(rpcs.min(MOST_COST)) * self.weight_of_one();
        self.take(slot.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::{Budget, Sighting, Terms};

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_millis(milliseconds))
    }

    /// Four directories that may cost one RPC a second, each looked at once.
    fn schedule() -> (Schedule, [Slot; 4]) {
        let budget = Budget::PerSecond(1.0);
        let mut schedule = Schedule::new(Terms { promise: Duration::from_secs(60), budget }, 1);
        let slots = [(); 4].map(|()| schedule.insert(None, at(0)));
        for second in 0..4 {
            let slot = schedule.take_due(at(second * 1000 + 100)).unwrap();
            schedule.looked(slot, at(second * 1000 + 100), &Sighting { rpcs: 1, ..Sighting::default() });
        }
        (schedule, slots)
    }

    #[test]
    fn an_appointment_does_not_wait_for_the_budget_and_others_pay_for_it() {
        let (mut schedule, slots) = schedule();
        while schedule.take_due(at(10_000)).is_some() {}
        let free = schedule.next_due().unwrap();
        for slot in slots {
            schedule.failed(slot, at(10_000));
            assert!(schedule.take_appointed(slot, at(10_000)));
            assert!(!schedule.take_appointed(slot, at(10_000)), "it is under way");
            schedule.failed(slot, at(10_000));
        }
        let later = schedule.next_due().unwrap().since(free);
        assert!(later > Duration::from_millis(3_900), "{later:?} for four looks at one a second");
    }

    #[test]
    fn the_bound_of_a_given_budget_counts_appointments() {
        let (mut schedule, slots) = schedule();
        let before = schedule.kept_bound();
        schedule.set_budget(Budget::PerSecond(4.0 / 60.0));
        for minute in 1..200 {
            for slot in slots {
                schedule.take_appointed(slot, at(minute * 60_000));
                schedule.looked(slot, at(minute * 60_000), &Sighting { rpcs: 1, ..Sighting::default() });
                assert!(schedule.take_appointed(slot, at(minute * 60_000 + 100)));
                schedule.looked(
                    slot,
                    at(minute * 60_000 + 100),
                    &Sighting { rpcs: 1, ..Sighting::default() },
                );
            }
        }
        let after = schedule.kept_bound();
        assert!(before == Duration::from_secs(60) && after > Duration::from_secs(100), "{after:?}");
    }
}
