//! How many messages are under way to RabbitMQ without a confirm; pure.
//!
//! What is under way when agent or broker is killed comes again, so it is as little as throughput allows. On two cores with
//! nothing else to do 4 under way make some 6,500 messages a second, 8 make 9,000, 32 make 17,000; but where the processor is
//! busy with all else, more of them only wait longer. So there are few as long as the sink keeps up, and at most one of 1,024 that wait
//! where that is much.

/// Messages under way while the sink keeps up, and while it is behind: enough for the fastest tree that was measured. With 4
/// also while behind that made 2,303 and 2,318 files a second, with 8 in the same hour 1,887 once and 2,615 to 2,954 five times.
const FEWEST: usize = 4;
const FEW: usize = 8;

/// Of so many that wait, one is under way: to reach `FEW`, and beyond it.
const WAITING_FOR_FEW: u64 = 128;
const WAITING_FOR_MANY: u64 = 1024;

/// Windows in a batch: reading the journal for each window would cost more, a longer batch memory.
const ROUNDS: usize = 8;

/// The number of messages under way, and of those in a batch.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    /// Messages in the next batch while it is not known again that all goes well: 1 after a failure, then doubling.
    careful: Option<usize>,
}

impl Window {
    /// One with at most `most` messages under way.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), careful: None }
    }

    /// Messages to take at once of `behind` that wait.
    pub(super) fn batch(&self, behind: u64) -> usize {
        let share = |of: u64| usize::try_from(behind / of).unwrap_or(usize::MAX);
        let window = share(WAITING_FOR_FEW).clamp(FEWEST, FEW).max(share(WAITING_FOR_MANY)).min(self.most);
        let whole = window * ROUNDS;
        self.careful.map_or(whole, |careful| careful.min(whole))
    }

    /// Messages of a batch of `length` to have under way.
    pub(super) fn under_way(&self, length: usize) -> usize {
        (length / ROUNDS).max(FEWEST).min(self.most)
    }

    /// A batch of `length` was taken.
    pub(super) fn worked(&mut self, length: usize) {
        let next = self.careful.map(|careful| careful.max(length).saturating_mul(2));
        self.careful = next.filter(|next| *next < self.most * ROUNDS);
    }

    /// A message was not taken: the next one goes alone.
    pub(super) fn failed(&mut self) {
        self.careful = Some(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: &Window, behind: u64, batch: usize, under_way: usize) {
        let taken = window.batch(behind);
        assert_eq!((taken, window.under_way(taken)), (batch, under_way));
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
        assert_eq!(window.under_way(1), 4);
    }

    #[test]
    fn one_goes_alone_after_a_failure() {
        let mut window = Window::new(32);
        window.failed();
        for batch in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            assert_eq!(window.batch(u64::MAX), batch);
            window.worked(batch);
        }
        window.failed();
        assert_eq!(window.batch(0), 1);
    }
}
