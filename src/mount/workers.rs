//! Threads that may hang with the server, so that nothing else does.
//!
//! A call on a hard mount blocks for as long as the server is away, and no time-out ends it. So every such call
//! lives on one of these threads; whoever waits for the answers waits at a basket and can do other things. The
//! threads are never joined: the process ends without them.
//!
//! To wake a thread costs several times what a look at an unchanged directory does. So jobs are handed in many at a
//! time, with how many threads they are worth; and of an outcome that may wait its taker hears only when the thread
//! that brought it has nothing left to do. Neither makes anything depend on a thread that hangs: jobs that it leaves
//! lying get threads of their own at the next handing in, and outcomes are taken whoever brought them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of a worker's stack: an unpacking takes some tens of kilobytes.
const STACK_BYTES: usize = 512 * 1024;

/// A pool of threads that do jobs.
#[derive(Debug)]
pub struct Workers<J> {
    queue: Arc<Queue<J>>,
}

impl<J: Send + 'static> Workers<J> {
    /// Starts `count` threads that run `work` and put what comes of it into `basket`, in no particular order.
    ///
    /// Fails if the system gives no thread. A panic in `work` ends the process: a lost job would never be noticed.
    pub fn start<O, W>(count: usize, basket: &Basket<O>, work: W) -> io::Result<Self>
    where
        O: Send + 'static,
        W: Fn(J) -> O + Clone + Send + 'static,
    {
        // Dropped when a thread cannot be started, which ends those that were.
        let workers = Self { queue: Arc::default() };
        for number in 0..count.max(1) {
            let (queue, basket, work) = (Arc::clone(&workers.queue), basket.clone(), work.clone());
            thread::Builder::new().name(format!("mount-{number}")).stack_size(STACK_BYTES).spawn(
                move || {
                    let _ends_process = EndOnPanic;
                    while let Some(job) = queue.next(&basket) {
                        basket.put(work(job));
                    }
                },
            )?;
        }
        Ok(workers)
    }

    /// Hands in jobs that are worth `hands` threads; never waits: whoever hands them in bounds how many are under way.
    ///
    /// What still lies there from before was not taken in time, so each of those gets a thread now, also when nothing
    /// new is handed in.
    pub fn submit(&self, jobs: impl IntoIterator<Item = J>, hands: usize) {
        let mut state = self.queue.state();
        let left = state.todo.len();
        state.todo.extend(jobs);
        let woken = hands.max(1).saturating_add(left).min(state.todo.len()).min(state.idle);
        drop(state);
        (0..woken).for_each(|_| self.queue.more.notify_one());
    }
}

impl<J> Drop for Workers<J> {
    fn drop(&mut self) {
        self.queue.state().closed = true;
        self.queue.more.notify_all();
    }
}

/// Jobs that no thread has taken yet.
#[derive(Debug)]
struct Queue<J> {
    state: Mutex<Jobs<J>>,
    more: Condvar,
}

#[derive(Debug)]
struct Jobs<J> {
    todo: VecDeque<J>,
    /// Threads that sleep.
    idle: usize,
    closed: bool,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        let jobs = Jobs { todo: VecDeque::new(), idle: 0, closed: false };
        Self { state: Mutex::new(jobs), more: Condvar::new() }
    }
}

impl<J> Queue<J> {
    /// Takes a job, sleeping until there is one; `None` when there will be none any more.
    fn next<O>(&self, basket: &Basket<O>) -> Option<J> {
        let mut state = self.state();
        if state.todo.is_empty() {
            drop(state);
            basket.call();
            state = self.state();
        }
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.todo.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, Jobs<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of jobs, until it is taken. Cheap to clone; one takes.
#[derive(Debug)]
pub struct Basket<O> {
    shared: Arc<Shared<O>>,
    may_wait: fn(&O) -> bool,
}

#[derive(Debug)]
struct Shared<O> {
    state: Mutex<Outcomes<O>>,
    called: Condvar,
}

#[derive(Debug)]
struct Outcomes<O> {
    brought: Vec<O>,
    /// Whether the taker is to come.
    call: bool,
    /// Whether the taker sleeps.
    sleeps: bool,
}

impl<O> Clone for Basket<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), may_wait: self.may_wait }
    }
}

impl<O> Basket<O> {
    /// An empty one; of outcomes that `may_wait` the taker hears only with others, or when a thread has no more to do.
    #[must_use]
    pub fn new(may_wait: fn(&O) -> bool) -> Self {
        let outcomes = Outcomes { brought: Vec::new(), call: false, sleeps: false };
        Self { shared: Arc::new(Shared { state: Mutex::new(outcomes), called: Condvar::new() }), may_wait }
    }

    /// Takes all that is there once the taker was called, or after `pause`.
    #[must_use]
    pub fn take(&self, pause: Duration) -> Vec<O> {
        let mut state = self.state();
        state.sleeps = true;
        let waited = self.shared.called.wait_timeout_while(state, pause, |state| !state.call);
        (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.sleeps = false;
        state.call = false;
        std::mem::take(&mut state.brought)
    }

    fn put(&self, outcome: O) {
        let is_urgent = !(self.may_wait)(&outcome);
        let mut state = self.state();
        state.brought.push(outcome);
        if is_urgent {
            self.wake(state);
        }
    }

    /// Calls the taker if anything is there.
    fn call(&self) {
        let state = self.state();
        if !state.brought.is_empty() {
            self.wake(state);
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, Outcomes<O>>) {
        state.call = true;
        let sleeps = state.sleeps;
        drop(state);
        if sleeps {
            self.shared.called.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, Outcomes<O>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops `held` on a thread of its own: the last descriptor of a mount that was taken away ends its session with the
/// server, and waits for that.
pub fn let_go<T: Send + 'static>(held: T) {
    // If the system gives no thread it is dropped here.
    let _ =
        thread::Builder::new().name("let-go".to_owned()).stack_size(STACK_BYTES).spawn(move || drop(held));
}

/// Ends the process if its thread unwinds.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(
                "A worker thread panicked; the process ends, and the next start finds what it was doing."
            );
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Longer than any machine takes to get a thread going; only a failing test waits for so long.
    const LONG: Duration = Duration::from_secs(30);

    /// A job: how it hangs, if it does, and what comes of it.
    type TestJob = (Option<Receiver<()>>, u32);

    fn start(count: usize, basket: &Basket<u32>) -> Workers<TestJob> {
        let work = |(hangs, number): TestJob| {
            if let Some(hangs) = hangs {
                let _ = hangs.recv();
            }
            number
        };
        let pool = Workers::start(count, basket, work).unwrap();
        // Those that are still starting would take jobs without being woken.
        while pool.queue.state().idle < count {
            thread::yield_now();
        }
        pool
    }

    fn hanging() -> (Sender<()>, Option<Receiver<()>>) {
        let (go_on, hangs) = channel();
        (go_on, Some(hangs))
    }

    /// Takes what there is when called; it must be called.
    #[track_caller]
    fn when_called(basket: &Basket<u32>) -> Vec<u32> {
        let began = std::time::Instant::now();
        let taken = basket.take(LONG);
        assert!(began.elapsed() < LONG, "nobody called; {taken:?} was there");
        taken
    }

    #[track_caller]
    fn take(basket: &Basket<u32>, count: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(when_called(basket));
        }
        taken.sort_unstable();
        taken
    }

    #[test]
    fn one_thread_does_all_that_is_worth_one_and_calls_once() {
        let basket = Basket::new(|_| true);
        let pool = start(4, &basket);
        pool.submit((0..50).map(|number| (None, number)), 1);
        assert_eq!(when_called(&basket), (0..50).collect::<Vec<_>>(), "in one go, and in order");
    }

    #[test]
    fn work_that_takes_no_time_is_done_too() {
        let basket = Basket::new(|_| true);
        let pool = start(1, &basket);
        pool.submit([(None, 0)], 0);
        assert_eq!(when_called(&basket), [0]);
    }

    #[test]
    fn what_cannot_wait_is_told_at_once() {
        let basket = Basket::new(|number| *number != 1);
        let pool = start(1, &basket);
        let (go_on, hangs) = hanging();
        pool.submit([(None, 0), (None, 1), (hangs, 2)], 1);
        assert_eq!(when_called(&basket), [0, 1]);
        drop(go_on);
        assert_eq!(when_called(&basket), [2]);
    }

    #[test]
    fn what_a_hanging_thread_leaves_lying_is_done_by_others() {
        let basket = Basket::new(|_| true);
        let pool = start(4, &basket);
        let ((one_goes_on, one_hangs), (other_goes_on, other_hangs)) = (hanging(), hanging());
        pool.submit([(one_hangs, 0), (other_hangs, 1), (None, 2)], 1);
        // Until a thread has met the first job that hangs.
        while pool.queue.state().todo.len() == 3 {
            thread::yield_now();
        }
        pool.submit([], 0);
        assert_eq!(take(&basket, 1), [2], "not behind the other that hangs");
        drop((one_goes_on, other_goes_on));
        assert_eq!(take(&basket, 2), [0, 1]);
    }

    #[test]
    fn what_a_thread_brought_before_it_hung_is_taken() {
        let basket = Basket::new(|_| true);
        let pool = start(1, &basket);
        let (_go_on, hangs) = hanging();
        pool.submit([(None, 0), (hangs, 1)], 1);
        while !pool.queue.state().todo.is_empty() {
            thread::yield_now();
        }
        assert_eq!(basket.take(Duration::ZERO), [0]);
    }

    #[test]
    fn threads_end_with_their_pool() {
        let basket = Basket::new(|_| false);
        let pool = start(3, &basket);
        let queue = Arc::downgrade(&pool.queue);
        drop(pool);
        while queue.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
