//! All directories at a glance: what reports choose from, of millions at a time.

use super::adaptive::Schedule;
use super::directory::{Directory, FREE, LOOKED, timestamp};
use super::terms::Slot;
use crate::model::Timestamp;

/// The part of an [`Outlook`](super::Outlook) that is cheap to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// Which directory.
    pub slot: Slot,
    /// [`Outlook::rate`](super::Outlook::rate).
    pub rate: f64,
    /// [`Outlook::last_look`](super::Outlook::last_look).
    pub last_look: Option<Timestamp>,
}

impl Schedule {
    /// Every directory at a glance.
    pub fn glances(&self) -> impl Iterator<Item = Glance> {
        let used = (0..).zip(&self.directories).filter(|(_, directory)| !directory.is(FREE));
        used.map(|(slot, directory)| self.glance(slot, directory))
    }

    fn glance(&self, slot: u32, directory: &Directory) -> Glance {
        let forecast = self.weights.forecast(directory.class(), &directory.rate.per_second());
        let last_look = directory.is(LOOKED).then(|| timestamp(self.now - directory.silent(self.now)));
        Glance { slot: Slot(slot), rate: forecast.total(), last_look }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::{Budget, Outlook, Sighting, Terms};

    #[test]
    fn a_glance_tells_what_an_outlook_tells() {
        let at = |seconds| Timestamp::default().plus(Duration::from_secs(seconds));
        let terms = Terms { promise: Duration::from_secs(60), budget: Budget::Auto };
        let mut schedule = Schedule::new(terms, 1);
        let slots: Vec<Slot> = (0..5).map(|_| schedule.insert(None, at(0))).collect();
        for second in 1..=200 {
            while let Some(slot) = schedule.take_due(at(second)).filter(|slot| *slot != slots[4]) {
                let arrivals = slot.0;
                schedule.looked(slot, at(second), &Sighting { rpcs: 1, arrivals, ..Sighting::default() });
            }
        }
        schedule.remove(slots[2]);
        let glances: Vec<Glance> = schedule.glances().collect();
        assert_eq!(
            glances.iter().map(|it| it.slot).collect::<Vec<_>>(),
            [slots[0], slots[1], slots[3], slots[4]]
        );
        for glance in &glances {
            let Outlook { rate, last_look, .. } = schedule.outlook(glance.slot);
            assert_eq!((glance.rate, glance.last_look), (rate, last_look), "{glance:?}");
        }
        assert!(glances[0].last_look > Some(at(100)) && glances[3].last_look.is_none(), "{glances:?}");
        assert!(glances[2].rate > glances[1].rate, "{glances:?}");
    }
}
