//! How many messages are under way to RabbitMQ without a confirm; pure.
//!
//! What is under way when agent or broker is killed comes again, so it is little. But where few are under way, each wakes
//! threads of agent and broker by itself, and both spend their time on that. So as many are under way as go in 20 ms,
//! between 4 and 32: a kill brings much the same share again however many messages there are, and where many come many
//! go together. Since a sink may also be behind for want of messages under way, at least one of 1,024 that wait is.

use std::time::{Duration, Instant};

/// Messages under way while few come, and while the sink is behind.
const FEWEST: usize = 4;
const FEW: usize = 8;

/// Of so many that wait, one is under way: to reach `FEW`, and beyond it.
const WAITING_FOR_FEW: u64 = 128;
const WAITING_FOR_MANY: u64 = 1024;

/// What goes within this time is under way. On two cores with both servers beside, 32 under way instead of 8 made 16 %
/// more files a CPU second (-1 to 25 % in eleven pairs) and 39 % more a second. As many as go in 20 ms made 29,000 and 35,000
/// switches between threads for 20,000 files, where 8 made 54,000.
const SPELL: Duration = Duration::from_millis(20);

/// The time over which the rate of messages is taken.
const MEAN_OVER: Duration = Duration::from_secs(1);

/// Windows in a batch: reading the journal for each window would cost more, a longer batch memory.
const ROUNDS: usize = 8;

/// The number of messages under way, and of those in a batch.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    /// Messages in the next batch while it is not known again that all goes well: 1 after a failure, then doubling.
    careful: Option<usize>,
    rate: Rate,
}

/// Messages a second, of late.
#[derive(Debug, Default)]
struct Rate {
    per_second: f64,
    as_of: Option<Instant>,
}

impl Window {
    /// One with at most `most` messages under way.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), careful: None, rate: Rate::default() }
    }

    /// Messages to take at once of `behind` that wait.
    pub(super) fn batch(&self, behind: u64, now: Instant) -> usize {
        let share = |of: u64| usize::try_from(behind / of).unwrap_or(usize::MAX);
        let for_those = share(WAITING_FOR_FEW).clamp(FEWEST, FEW).max(share(WAITING_FOR_MANY));
        let whole = for_those.max(self.rate.within(SPELL, now)).min(self.most) * ROUNDS;
        self.careful.map_or(whole, |careful| careful.min(whole))
    }

    /// Messages of a batch of `length` to have under way.
    pub(super) fn under_way(&self, length: usize, now: Instant) -> usize {
        (length / ROUNDS).max(FEWEST).max(self.rate.within(SPELL, now)).min(self.most)
    }

    /// A batch of `length` was taken.
    pub(super) fn worked(&mut self, length: usize, now: Instant) {
        let next = self.careful.map(|careful| careful.max(length).saturating_mul(2));
        self.careful = next.filter(|next| *next < self.most * ROUNDS);
        self.rate.add(length, now);
    }

    /// A message was not taken: the next one goes alone.
    pub(super) fn failed(&mut self) {
        self.careful = Some(1);
        self.rate = Rate::default();
    }
}

impl Rate {
    /// What is left of it at `now`: it falls while nothing comes.
    fn at(&self, now: Instant) -> f64 {
        let idle = self.as_of.map_or(Duration::ZERO, |as_of| now.saturating_duration_since(as_of));
        self.per_second * (-idle.div_duration_f64(MEAN_OVER)).exp()
    }

    fn add(&mut self, messages: usize, now: Instant) {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let share = messages as f64 / MEAN_OVER.as_secs_f64();
        *self = Self { per_second: self.at(now) + share, as_of: Some(now) };
    }

    /// Messages that go within `time`.
    fn within(&self, time: Duration, now: Instant) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small number, not negative"
        )]
        let messages = (self.at(now) * time.as_secs_f64()) as usize;
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: &Window, behind: u64, batch: usize, under_way: usize) {
        let now = Instant::now();
        let taken = window.batch(behind, now);
        assert_eq!((taken, window.under_way(taken, now)), (batch, under_way));
    }

    /// One to which batches of 10 went for five seconds, and the time of the last.
    fn after(messages_a_second: u32) -> (Window, Instant) {
        let (mut window, began) = (Window::new(32), Instant::now());
        let batches = 5 * messages_a_second / 10;
        let at = |batch: u32| began + Duration::from_secs(5) * batch / batches;
        (1..=batches).for_each(|batch| window.worked(10, at(batch)));
        (window, at(batches))
    }

    #[test]
    fn few_are_under_way_unless_many_wait() {
        let window = Window::new(32);
        check(&window, 0, 32, 4);
        check(&window, 600, 32, 4);
        check(&window, 800, 48, 6);
        check(&window, 1_024, 64, 8);
        check(&window, 8_192, 64, 8);
        check(&window, 16_384, 128, 16);
        check(&window, u64::MAX, 256, 32);
        check(&Window::new(1), u64::MAX, 8, 1);
        check(&Window::new(0), 0, 8, 1);
        // A batch may be shorter than what was asked for.
        assert_eq!(window.under_way(1, Instant::now()), 4);
    }

    #[test]
    fn what_goes_in_twenty_milliseconds_is_under_way() {
        let under_way = |messages_a_second, seconds_later| {
            let (window, last) = after(messages_a_second);
            window.under_way(1, last + Duration::from_secs(seconds_later))
        };
        assert_eq!([100, 200, 400, 1_000, 1_500].map(|rate| under_way(rate, 0)), [4, 4, 8, 19, 29]);
        assert_eq!(under_way(30_000, 0), 32);
        assert_eq!([0, 1, 2, 3].map(|later| under_way(1_500, later)), [29, 10, 4, 4]);
        let (window, last) = after(1_500);
        assert_eq!(window.batch(0, last), 29 * ROUNDS);
        assert_eq!(window.batch(u64::MAX, last), 32 * ROUNDS);
    }

    #[test]
    fn after_a_failure_few_are_under_way_again() {
        let (mut window, last) = after(3_000);
        window.failed();
        assert_eq!((window.batch(0, last), window.under_way(1, last)), (1, 4));
    }

    #[test]
    fn one_goes_alone_after_a_failure() {
        let (mut window, now) = (Window::new(32), Instant::now());
        window.failed();
        for batch in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            assert_eq!(window.batch(u64::MAX, now), batch);
            window.worked(batch, now);
        }
        window.failed();
        assert_eq!(window.batch(0, now), 1);
    }
}
