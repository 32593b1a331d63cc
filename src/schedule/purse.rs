//! Pays for looks: keeps the mean rate of RPCs at the budget.
//!
//! Counts in time rather than in tokens: what is paid moves on the time until which all is paid. Two costs would stop
//! all looks for too long if they were paid like that. A long listing becomes a debt that is paid off with half the
//! budget, and so do many files that waited. And looks that a deadline asks for have a pace of their own that nothing can take from them; what they cost
//! is saved on others.

/// How much may be saved up, in seconds of the budget: what was put off a little is caught up with.
const SAVED: f64 = 2.0;

/// The longest listing, in RPCs, that is paid at once; files are paid at once until so much is ahead of its time.
const PAID_AT_ONCE: f64 = 32.0;

/// Debts above so many seconds of the whole budget are paid off before anything else. What deadlines and listings cost
/// beyond that is forgiven.
const MOST_DEBT: f64 = 60.0;

/// What was paid for. Times are seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Purse {
    paid_until: f64,
    debt: f64,
    sure_until: f64,
}

impl Purse {
    /// When the next look of any kind may begin.
    pub(super) fn next(&self) -> f64 {
        self.paid_until
    }

    /// When the next look may begin that a deadline asks for.
    pub(super) fn next_sure(&self) -> f64 {
        self.sure_until.min(self.paid_until)
    }

    /// Pays for a look that begins at `now`, and as much again of a debt.
    pub(super) fn pay_look(&mut self, now: f64, rate: f64) {
        let surplus = (self.debt - MOST_DEBT * rate).max(0.0);
        let repaid = self.debt.min(1.0) + surplus;
        self.debt -= repaid.min(self.debt);
        self.paid_until = self.paid_until.clamp(now - SAVED, now + MOST_DEBT) + (1.0 + repaid) / rate;
    }

    /// Notes that the look was asked for by a deadline, which gets `pace` looks a second.
    pub(super) fn pay_sure(&mut self, now: f64, pace: f64) {
        // Looks that the budget allowed anyway do not add up to a wait.
        self.sure_until = self.sure_until.clamp(now - SAVED, now) + 1.0 / pace;
    }

    /// Pays for what a look cost beyond its one RPC.
    pub(super) fn pay_listing(&mut self, rpcs: u32, rate: f64) {
        let rpcs = f64::from(rpcs);
        if rpcs > PAID_AT_ONCE {
            self.debt += rpcs;
        } else {
            self.paid_until += rpcs / rate;
        }
    }

    /// Pays for looking at a file that waited, and reading it; many together become a debt, like a long listing.
    pub(super) fn pay_file(&mut self, rpcs: u32, now: f64, rate: f64) {
        let rpcs = f64::from(rpcs);
        self.paid_until = self.paid_until.max(now - SAVED);
        if self.paid_until > now + PAID_AT_ONCE / rate {
            self.debt += rpcs;
        } else {
            self.paid_until += rpcs / rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks and RPCs within ten minutes of one who asks every millisecond; each `every`-th look lists `listing` more.
    fn spent(rate: f64, every: u32, listing: u32) -> (u32, f64) {
        let mut purse = Purse::default();
        let (mut looks, mut rpcs) = (0, 0);
        for millisecond in 0..600_000 {
            let now = 1000.0 + f64::from(millisecond) / 1000.0;
            while purse.next() <= now {
                purse.pay_look(now, rate);
                looks += 1;
                rpcs += 1;
                if looks % every == 0 {
                    purse.pay_listing(listing, rate);
                    rpcs += listing;
                }
            }
        }
        (looks, f64::from(rpcs))
    }

    #[track_caller]
    fn check(rate: f64, every: u32, listing: u32) {
        let (looks, rpcs) = spent(rate, every, listing);
        let budget = rate * 600.0;
        assert!((rpcs - budget).abs() < 0.03 * budget, "{looks} looks, {rpcs} RPCs of {budget}");
    }

    #[test]
    fn the_mean_rate_is_the_budget() {
        check(3.0, 1, 0);
        check(100.0, 1, 0);
        check(100.0, 3, 5);
        check(100.0, 5000, 3000);
    }

    #[test]
    fn debts_do_not_grow_for_ever() {
        // Listings alone would cost more than the budget.
        let (_, rpcs) = spent(20.0, 10, 700);
        assert!(rpcs <= 20.0 * (600.0 + SAVED + MOST_DEBT) + 2.0 * 700.0, "{rpcs}");
    }

    #[test]
    fn half_the_budget_is_left_for_looks_while_a_long_listing_is_paid_off() {
        let mut purse = Purse::default();
        purse.pay_look(1000.0, 10.0);
        purse.pay_listing(400, 10.0);
        let mut looks = 0;
        while purse.next() < 1020.0 {
            purse.pay_look(1000.0, 10.0);
            looks += 1;
        }
        assert!((100..=120).contains(&looks), "{looks} looks in 20 s, 2 s of them saved up before");
    }

    #[test]
    fn files_are_paid_for_and_leave_half_the_budget_however_many_come_together() {
        let mut purse = Purse::default();
        purse.pay_look(1000.0, 10.0);
        for _ in 0..50 {
            purse.pay_file(6, 1000.0, 10.0);
        }
        let mut looks = 0;
        let mut looks_until = |purse: &mut Purse, end: f64| {
            while purse.next() < end {
                purse.pay_look(purse.next().max(1000.0), 10.0);
                looks += 1;
            }
            looks
        };
        // What was saved up pays for 20 RPCs, 32 and no more than one file beyond are paid at once.
        assert_eq!(looks_until(&mut purse, 1003.0), 0);
        assert!((80..=90).contains(&looks_until(&mut purse, 1020.0)), "half of 10 a second, in 17 s");
        let looks = looks_until(&mut purse, 1080.0);
        assert!((518..=521).contains(&looks), "{looks} looks: 820 RPCs in 82 s, 300 of them for files");
    }

    #[test]
    fn deadlines_keep_their_pace_whatever_else_is_to_be_paid() {
        let mut purse = Purse::default();
        purse.pay_look(1000.0, 10.0);
        purse.pay_listing(32, 1.0);
        assert!(purse.next() > 1029.0 && purse.next_sure() <= 1000.0);
        let mut looks = 0;
        while purse.next_sure() < 1010.0 {
            purse.pay_look(1010.0, 10.0);
            purse.pay_sure(1010.0, 5.0);
            looks += 1;
        }
        assert_eq!(looks, 10, "2 s saved up");
    }
}
