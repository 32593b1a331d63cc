//! A root's schedule, by the store's numbers of directories, and what it keeps in the store.
//!
//! The schedule itself numbers directories densely and knows no store; here the two meet.

use std::time::Duration;

use super::appointments::Appointments;
use super::engine::Settings;
use crate::model::{Numbered, Timestamp};
use crate::schedule::{Budget, Glance, Outlook, Pacer, Schedule, Sighting, Slot, Terms};
use crate::store::{DirId, LEARNT_A_ROW, RootId, Store, StoreError};

/// Rows of learnt rates written in one go: 4096 directories, some milliseconds.
const ROWS_AT_ONCE: u64 = 64;

/// How much more than what the interval needs is spent however slow the server is: listings cost too.
const RESERVE: f64 = 1.2;

/// The pause between two tries to find what is due, in parts of the promise: looks that fall due within it go together,
/// since waking up costs more than they do. A quarter of what deadlines leave for waiting.
const MOMENT: u32 = 200;

/// At least this much of a pause, so that no rounding of times keeps a processor busy; and no more than this, by which
/// news may come later.
const MOMENTS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// A time after every other.
const NEVER: Timestamp = Timestamp { seconds: i64::MAX / 1_000_000_000, nanoseconds: 0 };

/// A one-shot run: each directory is looked at once at most.
#[derive(Debug)]
struct OneRun {
    /// When the next run is to be expected.
    next: Timestamp,
    /// RPCs that may still be spent on what is not owed; `None` for no limit: everything is looked at.
    left: Option<u64>,
    /// Keeps the looks within a rate.
    pacer: Pacer,
    /// Whether nothing was left at the last try.
    is_over: bool,
    /// What was seen; the schedule hears of it at the end, so that it gives no directory twice.
    seen: Vec<(Slot, Timestamp, Option<Sighting>)>,
}

/// A directory that is to be looked at now, and its place in the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) dir: DirId,
    pub(super) slot: Slot,
}

/// When the directories of a root are looked at.
#[derive(Debug)]
pub(super) struct Agenda {
    terms: Terms,
    /// The mean rate of all roots together, if one is set.
    whole_rate: Option<f64>,
    seed: u64,
    /// What a one-shot run has still to do; `None` in an agent.
    run: Option<OneRun>,
    schedule: Schedule,
    slots: Numbered<Slot>,
    dirs: Vec<DirId>,
    /// Looks that are owed at their time, before any other.
    appointments: Appointments,
    /// No directory is given before this time: the next try is a moment after one that gave none.
    not_before: Timestamp,
    /// The row of learnt rates that is written next.
    next_row: u64,
}

impl Agenda {
    /// An empty one; the same `seed` gives the same order.
    #[must_use]
    pub(super) fn new(settings: &Settings, seed: u64) -> Self {
        let terms = Terms { promise: settings.interval, budget: settings.budget };
        Self::with_terms(terms, settings.once, settings.run_budget, seed)
    }

    fn with_terms(terms: Terms, once: bool, run_budget: Option<u64>, seed: u64) -> Self {
        let whole_rate = match terms.budget {
            Budget::PerSecond(rate) => Some(rate),
            Budget::Auto => None,
        };
        let run = once.then(|| OneRun {
            next: Timestamp::default(),
            left: run_budget,
            pacer: Pacer::new(whole_rate),
            is_over: false,
            seen: Vec::new(),
        });
        let schedule = Schedule::new(terms, seed);
        Self {
            terms,
            whole_rate,
            seed,
            run,
            schedule,
            slots: Numbered::default(),
            dirs: Vec::new(),
            appointments: Appointments::default(),
            not_before: Timestamp::default(),
            next_row: 0,
        }
    }

    /// Forgets every directory and takes the clock that the store has.
    pub(super) fn begin(&mut self, store: &Store, root: RootId, now: Timestamp) -> Result<(), StoreError> {
        self.clear();
        if let Some(clock) = store.schedule_clock(root)?.and_then(|bytes| postcard::from_bytes(&bytes).ok()) {
            self.schedule.restore_clock(&clock);
        }
        if let Some(run) = &mut self.run {
            run.next = self.schedule.begin_run(now);
            run.is_over = false;
            run.seen.clear();
        }
        Ok(())
    }

    /// Forgets every directory.
    pub(super) fn clear(&mut self) {
        self.schedule = Schedule::new(self.terms, self.seed);
        self.slots.clear();
        self.dirs.clear();
        self.appointments = Appointments::default();
    }

    /// Adds a directory that is due at once.
    pub(super) fn add(&mut self, dir: DirId, parent: Option<DirId>, now: Timestamp) {
        if let Some(slot) = self.slots.get(dir.0).copied() {
            self.not_before = self.not_before.min(now);
            return self.schedule.request(slot, now);
        }
        let parent = parent.and_then(|parent| self.slots.get(parent.0).copied());
        let slot = self.schedule.insert(parent, now);
        self.enter(dir, slot);
        // What is new has no moment to wait for.
        self.not_before = self.not_before.min(now);
        if let Some(run) = &mut self.run {
            run.is_over = false;
        }
    }

    /// Tells how many directories will be restored now.
    pub(super) fn expect(&mut self, directories: usize) {
        self.schedule.expect(directories);
    }

    /// Adds a directory with what was learnt of it in an earlier run; bytes of another version count as nothing learnt.
    pub(super) fn restore(
        &mut self,
        dir: DirId,
        parent: Option<DirId>,
        learnt: Option<&[u8]>,
        now: Timestamp,
    ) {
        let Some(saved) = learnt.and_then(|bytes| postcard::from_bytes(bytes).ok()) else {
            return self.add(dir, parent, now);
        };
        let parent = parent.and_then(|parent| self.slots.get(parent.0).copied());
        let slot = self.schedule.restore(parent, &saved, now);
        self.enter(dir, slot);
    }

    fn enter(&mut self, dir: DirId, slot: Slot) {
        let index = index(slot);
        if self.dirs.len() <= index {
            self.dirs.resize(index + 1, dir);
        }
        if let Some(entry) = self.dirs.get_mut(index) {
            *entry = dir;
        }
        self.slots.insert(dir.0, slot);
    }

    /// Takes a directory off.
    pub(super) fn remove(&mut self, dir: DirId) {
        self.appointments.cancel(dir);
        if let Some(slot) = self.slots.remove(dir.0) {
            self.schedule.remove(slot);
        }
    }

    /// Asks for a look at a directory at `at`, unless one comes earlier anyway.
    pub(super) fn request(&mut self, dir: DirId, at: Timestamp) {
        self.not_before = self.not_before.min(at);
        if let Some(slot) = self.slots.get(dir.0) {
            self.schedule.request(*slot, at);
        }
        if let Some(run) = &mut self.run {
            run.is_over = false;
        }
    }

    /// Owes a directory a look at `at`, before whatever else is due then, and nothing earlier or later that was owed it.
    ///
    /// Not in a one-shot run, which looks at each directory once: the next run owes it.
    pub(super) fn appoint(&mut self, dir: DirId, at: Option<Timestamp>) {
        match at.filter(|_| self.run.is_none() && self.slots.contains(dir.0)) {
            Some(at) => self.appointments.make(dir, at),
            None => self.appointments.cancel(dir),
        }
    }

    /// Takes the directory to look at now. It is not taken again before the look is reported.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Due> {
        if let Some(due) = self.take_appointed(now) {
            return Some(due);
        }
        let slot = match &mut self.run {
            None if now < self.not_before => return None,
            None => self.schedule.take_due(now),
            Some(run) => run.take(&mut self.schedule, now),
        };
        if slot.is_none() {
            self.not_before = now.plus((self.terms.promise / MOMENT).clamp(MOMENTS[0], MOMENTS[1]));
        }
        let slot = slot?;
        self.dirs.get(index(slot)).map(|dir| Due { dir: *dir, slot })
    }

    /// A look that is under way makes the next appointment itself.
    fn take_appointed(&mut self, now: Timestamp) -> Option<Due> {
        let due = std::iter::from_fn(|| self.appointments.take_due(now));
        let mut free = due.filter_map(|dir| {
            let slot = self.slots.get(dir.0).copied()?;
            self.schedule.take_appointed(slot, now).then_some(Due { dir, slot })
        });
        free.next()
    }

    /// When a directory may be due.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        match &self.run {
            None => {
                let due = self.schedule.next_due().map(|due| due.max(self.not_before));
                due.into_iter().chain(self.appointments.next()).min()
            }
            Some(run) => (!run.is_over).then(|| run.pacer.next()),
        }
    }

    /// Notes what the look showed that began at `began`.
    pub(super) fn looked(&mut self, dir: DirId, began: Timestamp, sighting: &Sighting) {
        let Some(slot) = self.slots.get(dir.0).copied() else { return };
        match &mut self.run {
            None => self.schedule.looked(slot, began, sighting),
            Some(run) => {
                run.spend(sighting.cost().saturating_sub(1));
                run.seen.push((slot, began, Some(*sighting)));
            }
        }
    }

    /// Pays `rpcs` for a file that was looked at apart from its directory: one that waited.
    pub(super) fn pay_file(&mut self, now: Timestamp, rpcs: u32) {
        match &mut self.run {
            None => self.schedule.pay_file(now, rpcs),
            Some(run) => run.spend(rpcs),
        }
    }

    /// Notes of many that a look showed the same of each.
    ///
    /// Nothing of those that were taken off since they were due. Not in a one-shot run.
    pub(super) fn looked_at_all(&mut self, due: &[Due], began: Timestamp, sighting: &Sighting) {
        let is_there = |due: &&Due| self.dirs.get(index(due.slot)) == Some(&due.dir);
        let mut slots = Vec::with_capacity(due.len());
        slots.extend(due.iter().filter(is_there).map(|due| due.slot));
        self.schedule.looked_at_all(&slots, began, sighting);
    }

    /// Notes that the look failed, or that nothing was learnt by it.
    pub(super) fn failed(&mut self, dir: DirId, began: Timestamp) {
        let Some(slot) = self.slots.get(dir.0).copied() else { return };
        match &mut self.run {
            None => self.schedule.failed(slot, began),
            Some(run) => run.seen.push((slot, began, None)),
        }
    }

    /// Gives up a look that is under way, and asks for another one now.
    pub(super) fn again(&mut self, dir: DirId, now: Timestamp) {
        if let Some(slot) = self.slots.get(dir.0).copied() {
            self.schedule.failed(slot, now);
            self.request(dir, now);
        }
    }

    /// Spends this share of the budget from now on, but no less than the interval needs: a promise is kept also to a
    /// slow server, with fewer calls under way.
    pub(super) fn brake(&mut self, share: f64) {
        let rate = match self.terms.budget {
            Budget::Auto => 2.0 * self.needed_rate(),
            Budget::PerSecond(rate) => rate,
        };
        self.schedule.brake(share.max(RESERVE * self.needed_rate() / rate).min(1.0));
    }

    /// Looks a second that the interval needs, and those that are owed.
    #[must_use]
    pub(super) fn needed_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of directories")]
        let looks = (self.len() + self.appointments.len()) as f64;
        looks / self.terms.promise.as_secs_f64().max(0.001)
    }

    /// The longest time that a directory goes unchecked.
    #[must_use]
    pub(super) fn kept_bound(&self) -> Duration {
        self.schedule.kept_bound()
    }

    /// RPCs a second that may be spent now.
    #[must_use]
    pub(super) fn rate(&self) -> f64 {
        self.schedule.rate()
    }

    /// What is expected of a directory; `None` if it is not looked at.
    #[must_use]
    pub(super) fn outlook(&self, dir: DirId) -> Option<Outlook> {
        self.slots.get(dir.0).map(|slot| self.schedule.outlook(*slot))
    }

    /// Every directory at a glance.
    pub(super) fn glances(&self) -> impl Iterator<Item = (DirId, Glance)> {
        let each = self.schedule.glances();
        each.filter_map(|glance| Some((self.dirs.get(index(glance.slot)).copied()?, glance)))
    }

    /// How many directories there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Takes its part of a budget that is set for all roots together: as many of `all` directories as it has.
    pub(super) fn share_budget(&mut self, all: usize) {
        if let Some(rate) = self.whole_rate {
            #[expect(clippy::cast_precision_loss, reason = "counts of directories")]
            let part = self.len().max(1) as f64 / all.max(1) as f64;
            self.terms.budget = Budget::PerSecond(rate * part);
            self.schedule.set_budget(self.terms.budget);
        }
    }

    /// Writes the next part of what was learnt; tells whether that was the last part.
    pub(super) fn save_some(&mut self, store: &Store, root: RootId) -> Result<bool, StoreError> {
        let last = self.slots.iter().map(|(dir, _)| dir / LEARNT_A_ROW).max().unwrap_or(0);
        for row in self.next_row..=last.min(self.next_row + ROWS_AT_ONCE - 1) {
            let ids = (row * LEARNT_A_ROW..(row + 1) * LEARNT_A_ROW).map(DirId);
            let saved = |dir: DirId| {
                let saved = self.schedule.save(*self.slots.get(dir.0)?);
                postcard::to_stdvec(&saved).ok().map(|bytes| (dir, bytes))
            };
            let learnt: Vec<_> = ids.filter_map(saved).collect();
            store.put_learnt(root, row, &learnt)?;
        }
        self.next_row += ROWS_AT_ONCE;
        if self.next_row <= last {
            return Ok(false);
        }
        self.next_row = 0;
        if let Ok(clock) = postcard::to_stdvec(&self.schedule.save_clock()) {
            store.put_schedule_clock(root, &clock)?;
        }
        Ok(true)
    }

    /// Writes all that was learnt.
    pub(super) fn save(&mut self, store: &Store, root: RootId) -> Result<(), StoreError> {
        for (slot, began, sighting) in self.run.iter_mut().flat_map(|run| run.seen.drain(..)) {
            match sighting {
                Some(sighting) => self.schedule.looked(slot, began, &sighting),
                None => self.schedule.failed(slot, began),
            }
        }
        self.next_row = 0;
        while !self.save_some(store, root)? {}
        Ok(())
    }
}

impl OneRun {
    /// Takes from the budget what was spent beyond the RPCs of looks.
    fn spend(&mut self, rpcs: u32) {
        self.left = self.left.map(|left| left.saturating_sub(rpcs.into()));
    }

    fn take(&mut self, schedule: &mut Schedule, now: Timestamp) -> Option<Slot> {
        if self.pacer.next() > now {
            return None;
        }
        let slot = match &mut self.left {
            // Everything is due before the end of time.
            None => schedule.take_owed(now, NEVER),
            Some(left) => schedule.take_owed(now, self.next).or_else(|| {
                let slot = (*left > 0).then(|| schedule.take_worth(now)).flatten();
                *left = left.saturating_sub(u64::from(slot.is_some()));
                slot
            }),
        };
        self.is_over = slot.is_none();
        if slot.is_some() {
            self.pacer.pay(now);
        }
        slot
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_millis(milliseconds))
    }

    fn take(agenda: &mut Agenda, now: Timestamp) -> Option<DirId> {
        agenda.take_due(now).map(|due| due.dir)
    }

    fn looked_at(agenda: &mut Agenda, dir: DirId, now: Timestamp) {
        agenda.looked(dir, now, &Sighting { rpcs: 1, ..Sighting::default() });
    }

    /// Ten directories, all of which are owed a look by far more than the budget of one a second allows.
    fn overdue() -> Agenda {
        let terms = Terms { promise: Duration::from_secs(1), budget: Budget::PerSecond(1.0) };
        let mut agenda = Agenda::with_terms(terms, false, None, 1);
        for dir in 0..10 {
            agenda.add(DirId(dir), None, at(0));
        }
        for second in 1..=10 {
            let dir = take(&mut agenda, at(second * 1_000)).unwrap();
            looked_at(&mut agenda, dir, at(second * 1_000));
        }
        while let Some(dir) = take(&mut agenda, at(60_000)) {
            looked_at(&mut agenda, dir, at(60_000));
        }
        agenda
    }

    #[test]
    fn an_appointment_is_kept_before_anything_else_and_beyond_the_budget() {
        let mut agenda = overdue();
        for dir in [7, 3] {
            agenda.appoint(DirId(dir), Some(at(60_010 + dir)));
        }
        assert_eq!(take(&mut agenda, at(60_010)), None, "the budget is spent");
        assert_eq!(agenda.next_due(), Some(at(60_013)));
        assert_eq!(take(&mut agenda, at(60_020)), Some(DirId(3)), "in the order of their times");
        assert_eq!(take(&mut agenda, at(60_020)), Some(DirId(7)));
        assert_eq!(take(&mut agenda, at(60_020)), None);
        // Long after everything is due.
        looked_at(&mut agenda, DirId(7), at(60_020));
        agenda.appoint(DirId(7), Some(at(120_000)));
        assert_eq!(take(&mut agenda, at(120_000)), Some(DirId(7)));
    }

    #[test]
    fn what_is_looked_at_already_or_not_owed_any_more_has_no_appointment() {
        let mut agenda = overdue();
        agenda.appoint(DirId(3), Some(at(60_010)));
        agenda.appoint(DirId(3), None);
        agenda.appoint(DirId(4), Some(at(60_010)));
        agenda.remove(DirId(4));
        agenda.appoint(DirId(99), Some(at(60_010)));
        assert_eq!(take(&mut agenda, at(60_020)), None);
        agenda.appoint(DirId(5), Some(at(60_010)));
        assert_eq!(take(&mut agenda, at(60_020)), Some(DirId(5)));
        agenda.appoint(DirId(5), Some(at(60_010)));
        assert_eq!(take(&mut agenda, at(60_020)), None, "the look under way may make another");
    }

    /// Slots are given again: an answer that comes late counts for no other directory.
    #[test]
    fn what_was_taken_off_meanwhile_was_not_looked_at() {
        let terms = Terms { promise: Duration::from_secs(1), budget: Budget::Auto };
        let mut agenda = Agenda::with_terms(terms, false, None, 1);
        agenda.add(DirId(1), None, at(0));
        let early = agenda.take_due(at(0)).unwrap();
        agenda.remove(DirId(1));
        agenda.add(DirId(2), None, at(0));
        let late = agenda.take_due(at(0)).unwrap();
        assert_eq!((late.dir, late.slot), (DirId(2), early.slot));
        let sighting = Sighting { rpcs: 1, ..Sighting::default() };
        let last_look = |agenda: &Agenda| agenda.outlook(DirId(2)).and_then(|outlook| outlook.last_look);
        agenda.looked_at_all(&[early], at(10), &sighting);
        assert_eq!(last_look(&agenda), None);
        agenda.looked_at_all(&[early, late], at(10), &sighting);
        assert!(last_look(&agenda).is_some());
    }

    #[test]
    fn the_brake_leaves_what_is_owed() {
        let mut agenda = overdue();
        let needed = agenda.needed_rate();
        for dir in 0..5 {
            agenda.appoint(DirId(dir), Some(at(60_010)));
        }
        assert!((agenda.needed_rate() - 1.5 * needed).abs() < 1e-9);
    }

    #[test]
    fn files_that_waited_are_paid_for_out_of_the_same_budget() {
        let terms = Terms { promise: Duration::from_secs(3600), budget: Budget::PerSecond(1.0) };
        let mut agenda = Agenda::with_terms(terms, false, None, 1);
        for dir in 0..10 {
            agenda.add(DirId(dir), None, at(0));
        }
        let looks = |agenda: &mut Agenda, seconds: std::ops::Range<u64>| {
            let each = seconds.flat_map(|second| [second * 1_000, second * 1_000 + 500]);
            let look = |time| take(agenda, at(time)).map(|dir| looked_at(agenda, dir, at(time)));
            each.filter_map(look).count()
        };
        assert_eq!(looks(&mut agenda, 100..200), 102, "2 s were saved up");
        let mut with_files = 0;
        for ten in 20..30 {
            agenda.pay_file(at(ten * 10_000), 6);
            with_files += looks(&mut agenda, ten * 10..ten * 10 + 10);
        }
        assert_eq!(with_files, 40);
    }

    #[test]
    fn a_one_shot_run_pays_for_files_that_waited() {
        let terms = Terms { promise: Duration::from_secs(3600), budget: Budget::Auto };
        let looks = |files: u32| {
            let mut schedule = Schedule::new(terms, 1);
            for _ in 0..20 {
                let slot = schedule.insert(None, at(0));
                schedule.take_due(at(0));
                schedule.looked(slot, at(0), &Sighting { rpcs: 1, ..Sighting::default() });
            }
            let mut agenda = Agenda::with_terms(terms, true, Some(8), 1);
            agenda.pay_file(at(60_000), files);
            let run = agenda.run.as_mut().unwrap();
            std::iter::from_fn(|| run.take(&mut schedule, at(60_000))).count()
        };
        assert_eq!((looks(0), looks(6), looks(20)), (8, 2, 0));
    }

    #[test]
    fn a_one_shot_run_keeps_no_appointments() {
        let terms = Terms { promise: Duration::from_secs(1), budget: Budget::Auto };
        let mut agenda = Agenda::with_terms(terms, true, None, 1);
        agenda.add(DirId(0), None, at(0));
        assert_eq!(take(&mut agenda, at(0)), Some(DirId(0)));
        looked_at(&mut agenda, DirId(0), at(0));
        agenda.appoint(DirId(0), Some(at(10)));
        assert_eq!((take(&mut agenda, at(20)), agenda.next_due()), (None, None));
    }
}
