//! The promise: when a look is due whatever it is worth, and how long the bound is that can be kept.
//!
//! Each directory has a deadline a little before its bound ends. One that has passed goes first. All others stand back as
//! soon as the budget is needed for the deadlines ahead, so those that would fall together are drawn apart.

use std::time::Duration;

use super::adaptive::Schedule;
use super::terms::Budget;

/// How long before the end of the bound a deadline lies, in parts of the bound: at least for waiting and rounding, and
/// up to so much more, by chance, so that equal ones drift apart.
const MARGIN: f64 = 0.02;
const DRIFT: f64 = 0.025;

/// The least margin, in looks at the pace of the budget: one under way, and as many as may fall together.
const MARGIN_LOOKS: f64 = 6.0;

/// How many earlier times are tried for a deadline that would fall together with too many others; the emptiest is taken.
const TRIES: usize = 3;

/// By how much more than evenly spread deadlines may lie.
const CROWD: f64 = 1.25;

/// So many together are no crowd, whatever is even.
const SMALL_CROWD: f64 = 4.0;

/// How much longer than the budget's own round the bound is when the budget cannot keep the promise.
const STRETCH: f64 = 1.03;

/// What a look is taken to cost at most when the bound is reckoned: longer listings are paid off beside the looks.
pub(super) const MOST_COST: u32 = 32;

/// The part of the budget that deadlines are planned with.
const PLANNED: f64 = 0.88;

/// How far the wheel of deadlines reaches, in bounds.
pub(super) const SPAN: f64 = 1.5;

impl Schedule {
    /// The longest time between two looks that can be kept: what is promised, or more if the budget is too small.
    #[must_use]
    pub fn kept_bound(&self) -> Duration {
        Duration::try_from_secs_f64(self.bound()).unwrap_or(Duration::MAX).max(self.terms.promise)
    }

    /// Has `slot` looked at for the first time: at once, or if a budget was given as soon as that allows.
    pub(super) fn first_look(&mut self, slot: u32, now: f64) {
        match self.terms.budget {
            Budget::Auto => self.deadlines.insert_at_once(&mut self.directories, slot),
            Budget::PerSecond(_) => self.deadlines.insert(&mut self.directories, slot, now, now, false),
        }
    }

    /// The one whose deadline asks for a look now: it is due, or the budget is needed for those behind it.
    pub(super) fn pressing(&mut self, now: f64) -> Option<u32> {
        let passed = self.deadlines.passed(&mut self.directories, now);
        if passed.is_some() {
            return passed;
        }
        if now >= self.pressing_from.min(self.count_again) {
            self.pressing_from = self.deadlines.latest_start(self.planned_pace());
            self.count_again = now + self.deadlines.grain() / 2.0;
        }
        if now >= self.pressing_from { self.deadlines.first(&mut self.directories) } else { None }
    }

    /// Looks a second that deadlines are planned with. When it comes to it they get more, whatever listings cost: that is
    /// known only once many were made, too late to begin earlier.
    fn planned_pace(&self) -> f64 {
        self.rate() * PLANNED / self.cost()
    }

    /// Sets a deadline within the bound after a look that began at `began`, away from too many others, for a directory
    /// whose key comes at `by_key`.
    pub(super) fn set_deadline(&mut self, slot: u32, began: f64, by_key: f64, now: f64) {
        let bound = self.bound();
        self.fit_wheel(bound, began);
        let least = self.runs.next.unwrap_or(began);
        let margin = (bound * MARGIN).max(MARGIN_LOOKS / self.rate()).min(bound / 2.0);
        let wanted = began + bound - margin - bound * DRIFT * self.draw();
        // Those whose key comes later are brought by deadlines each time: evenly, they fill the bound. The others come
        // at the budget's pace at most, and most of their deadlines are never needed.
        let firm = by_key >= wanted;
        let pace = if firm { f64::from(self.deadlines.firm() + 1) / bound } else { self.rate() };
        let crowd = CROWD * pace * self.deadlines.grain() + SMALL_CROWD;
        let mut best = (wanted.max(least), self.deadlines.crowd(wanted, firm));
        if f64::from(best.1) >= crowd && least < wanted {
            for _ in 0..TRIES {
                let time = least + (wanted - least) * self.draw();
                let there = self.deadlines.crowd(time, firm);
                if there < best.1 {
                    best = (time, there);
                }
            }
        }
        self.deadlines.insert(&mut self.directories, slot, best.0.max(now), now, firm);
    }

    /// Keeps the wheel a little longer than the bound.
    fn fit_wheel(&mut self, bound: f64, now: f64) {
        let span = self.deadlines.span();
        if bound * 1.02 > span || bound * SPAN * 4.0 < span {
            self.deadlines.resize(&mut self.directories, bound * SPAN, now);
        }
    }

    pub(super) fn bound(&self) -> f64 {
        let promise = self.terms.promise.as_secs_f64().max(0.001);
        promise.max(self.round() * self.cost() * STRETCH)
    }

    /// RPCs that a look for a deadline counts as. A budget made for the promise keeps it whatever listings cost; only the
    /// brake can break it.
    fn cost(&self) -> f64 {
        if self.terms.budget == Budget::Auto { 1.0 } else { self.cold_cost }
    }
}
