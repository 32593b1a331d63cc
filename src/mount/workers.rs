//! Threads that may hang with the server, so that nothing else does.
//!
//! A call on a hard mount blocks for as long as the server is away, and no time-out ends it. So every such call
//! lives on one of these threads; whoever waits for the answers waits at a basket and can do other things. The
//! threads are never joined: the process ends without them.
//!
//! To wake a thread costs several times what a look at an unchanged directory does, and to start one far more. So
//! jobs are handed in many at a time, with how long they are likely to take, and no more threads are kept at work than
//! have it done soon; and of an outcome that may wait its taker hears only when few jobs are left, or a thread has none,
//! or not at all if it comes soon anyway. Neither makes anything depend on a thread that hangs: if none took a job between
//! two handings in, another thread is set to work, and outcomes are taken whoever brought them. The thread that fell
//! asleep last is woken first: what it works with is still in the processor's cache.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{fmt, io};

/// Bytes of a worker's stack: an unpacking takes some tens of kilobytes.
const STACK_BYTES: usize = 512 * 1024;

/// What lies there is to be done within this time: so many threads are set to work. To start one takes as long where
/// that is dear (3 ms in the guest kernel of `tests/nfs`), and nobody waits for a look so dearly.
const SOON: Duration = Duration::from_millis(3);

/// Of threads that are many each has at least so much to do for every one of them: n threads share n x n times this. More of
/// them would take longer to start than they save: behind an NFS server on the same processor the first walk of 1,000 directories
/// took 32 threads 0.89 to 1.16 s, and 4 to 8 of them 0.75 to 1.01 s.
const SHARE: Duration = Duration::from_micros(500);

/// What a job counts for of which nobody knows how long it takes: it gets a thread.
const LONG: Duration = Duration::from_secs(1);

/// A pool of threads that do jobs.
pub struct Workers<J> {
    queue: Arc<Queue<J>>,
    /// Starts another thread.
    hire: Box<dyn Fn(usize) -> io::Result<()> + Send>,
    hired: usize,
    most: usize,
    /// Whether the system gave one thread too few, which is told once.
    is_short: bool,
    /// Jobs that had been taken when some were last handed in.
    taken_before: u64,
}

impl<J: Send + 'static> Workers<J> {
    /// A pool of at most `most` threads that run `work` and put what comes of it into `basket`, in no particular order.
    /// One is started now, others when there is work for them.
    ///
    /// Fails if the system gives no thread. A panic in `work` ends the process: a lost job would never be noticed.
    pub fn start<O, W>(most: usize, basket: &Basket<O>, work: W) -> io::Result<Self>
    where
        O: Send + 'static,
        W: Fn(J) -> O + Clone + Send + 'static,
    {
        let (queue, basket) = (Arc::<Queue<J>>::default(), basket.clone());
        let jobs = Arc::clone(&queue);
        let hire = move |number| {
            let (queue, basket, work) = (Arc::clone(&jobs), basket.clone(), work.clone());
            let builder = thread::Builder::new().name(format!("mount-{number}")).stack_size(STACK_BYTES);
            let started = builder.spawn(move || {
                let _ends_process = EndOnPanic;
                let sleeper = Arc::new(Sleeper::of_this_thread());
                while let Some(job) = queue.next(&sleeper, &basket) {
                    basket.put(work(job));
                }
            });
            started.map(drop)
        };
        hire(0)?;
        Ok(Self {
            queue,
            hire: Box::new(hire),
            hired: 1,
            most: most.max(1),
            is_short: false,
            taken_before: 0,
        })
    }

    /// Hands in jobs, each with how long it is likely to take if that is known; never waits: whoever hands them in bounds
    /// how many are under way.
    ///
    /// Sets so many threads to work that all that lies there is done soon. Those at work may hang: if none has taken a job
    /// since the last time, another one comes, also when nothing new is handed in.
    pub fn submit(&mut self, jobs: impl IntoIterator<Item = (J, Option<Duration>)>) {
        let mut state = self.queue.state();
        state.todo.extend(jobs.into_iter().map(|(job, takes)| (job, takes.unwrap_or(LONG))));
        state.few = state.todo.len() / 4;
        let at_work = self.hired - state.idle.len();
        let lying: Duration = state.todo.iter().map(|(_, takes)| *takes).sum();
        let wanted = threads_for(lying);
        let at_least = usize::from(state.taken == self.taken_before);
        let wanted = wanted.saturating_sub(at_work).max(at_least).min(state.todo.len());
        self.taken_before = state.taken;
        let others = state.idle.len().saturating_sub(wanted);
        let woken = state.idle.split_off(others);
        drop(state);
        self.hire(wanted - woken.len());
        for sleeper in woken {
            sleeper.wake();
        }
    }

    /// Starts so many threads, as far as that is allowed; if the system gives none, those that there are do the work.
    fn hire(&mut self, count: usize) {
        let most = self.most.min(self.hired + count);
        while self.hired < most {
            if let Err(error) = (self.hire)(self.hired) {
                if !std::mem::replace(&mut self.is_short, true) {
                    let threads = self.hired;
                    tracing::warn!(%error, threads, "Cannot start more threads for the mount; allow more processes.");
                }
                return;
            }
            self.hired += 1;
        }
    }
}

/// How many threads do so much work.
fn threads_for(work: Duration) -> usize {
    let soon = work.as_nanos().div_ceil(SOON.as_nanos());
    let worth = (work.as_nanos() / SHARE.as_nanos()).isqrt().max(1);
    usize::try_from(soon.min(worth)).unwrap_or(usize::MAX)
}

impl<J> fmt::Debug for Workers<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("hired", &self.hired)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl<J> Drop for Workers<J> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.closed = true;
        let woken = std::mem::take(&mut state.idle);
        drop(state);
        for sleeper in woken {
            sleeper.wake();
        }
    }
}

/// Jobs that no thread has taken yet.
#[derive(Debug)]
struct Queue<J> {
    state: Mutex<Jobs<J>>,
}

#[derive(Debug)]
struct Jobs<J> {
    todo: VecDeque<(J, Duration)>,
    /// How many are left when more are called for: so that those who are at work have some until they come.
    few: usize,
    /// How many were taken.
    taken: u64,
    /// Threads that sleep, the last of them at the end.
    idle: Vec<Arc<Sleeper>>,
    closed: bool,
}

/// A thread that sleeps until it is woken.
#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Sleeper {
    fn of_this_thread() -> Self {
        Self { thread: thread::current(), is_woken: AtomicBool::new(false) }
    }

    fn wake(&self) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// To be called by the thread itself.
    fn sleep(&self) {
        while !self.is_woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        let jobs = Jobs { todo: VecDeque::new(), few: 0, taken: 0, idle: Vec::new(), closed: false };
        Self { state: Mutex::new(jobs) }
    }
}

impl<J> Queue<J> {
    /// Takes a job, sleeping until there is one; `None` when there will be none any more.
    fn next<O>(&self, sleeper: &Arc<Sleeper>, basket: &Basket<O>) -> Option<J> {
        let mut state = self.state();
        if state.todo.is_empty() || state.todo.len() == state.few {
            drop(state);
            basket.run_low();
            state = self.state();
        }
        loop {
            if state.closed {
                return None;
            }
            if let Some((job, _)) = state.todo.pop_front() {
                state.taken += 1;
                return Some(job);
            }
            state.idle.push(Arc::clone(sleeper));
            drop(state);
            sleeper.sleep();
            state = self.state();
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
    /// Whether there is one that may not wait.
    is_urgent: bool,
    /// Whether few jobs were left, or a thread had none, after some were brought.
    is_low: bool,
    /// What the taker sleeps for, if it sleeps.
    sleeps: Option<Call>,
}

impl<O> Outcomes<O> {
    fn calls(&self, for_what: Call) -> bool {
        self.is_urgent || (self.is_low && for_what == Call::Low)
    }
}

/// What a taker of outcomes is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Only for those that may not wait.
    Urgent,
    /// Also when few jobs are left, or a thread has none.
    Low,
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
        let outcomes = Outcomes { brought: Vec::new(), is_urgent: false, is_low: false, sleeps: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(outcomes), called: Condvar::new() }), may_wait }
    }

    /// Takes all that is there once it is called for `for_what`, or after `pause`; now and then for no reason.
    #[must_use]
    pub fn take(&self, pause: Duration, for_what: Call) -> Vec<O> {
        let mut state = self.state();
        if !state.calls(for_what) {
            state.sleeps = Some(for_what);
            let waited = self.shared.called.wait_timeout(state, pause);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        (state.sleeps, state.is_urgent, state.is_low) = (None, false, false);
        std::mem::take(&mut state.brought)
    }

    fn put(&self, outcome: O) {
        let is_urgent = !(self.may_wait)(&outcome);
        let mut state = self.state();
        state.brought.push(outcome);
        state.is_urgent |= is_urgent;
        self.call(state);
    }

    /// Notes that few jobs are left, or a thread has none.
    fn run_low(&self) {
        let mut state = self.state();
        state.is_low |= !state.brought.is_empty();
        self.call(state);
    }

    /// Wakes the taker if it sleeps for this.
    fn call(&self, state: MutexGuard<'_, Outcomes<O>>) {
        let wakes = state.sleeps.is_some_and(|for_what| state.calls(for_what));
        drop(state);
        if wakes {
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
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What a job takes that is not worth a thread of its own.
    const QUICK: Option<Duration> = Some(Duration::from_micros(1));

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
        // While it is still starting it would take jobs without being woken.
        wait_for(&pool, |jobs| jobs.idle.len() == 1);
        pool
    }

    fn wait_for(pool: &Workers<TestJob>, condition: impl Fn(&Jobs<TestJob>) -> bool) {
        while !condition(&pool.queue.state()) {
            thread::yield_now();
        }
    }

    fn hanging() -> (Sender<()>, Option<Receiver<()>>) {
        let (go_on, hangs) = channel();
        (go_on, Some(hangs))
    }

    /// Takes what there is when called; it must be called.
    #[track_caller]
    fn when_called(basket: &Basket<u32>) -> Vec<u32> {
        let began = std::time::Instant::now();
        let taken = basket.take(PATIENCE, Call::Low);
        assert!(began.elapsed() < PATIENCE, "nobody called; {taken:?} was there");
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
    fn one_thread_does_all_that_is_worth_one_and_calls_for_most_of_it() {
        let basket = Basket::new(|_| true);
        let mut pool = start(4, &basket);
        pool.submit((0..50).map(|number| ((None, number), QUICK)));
        let mut taken = when_called(&basket);
        assert!(taken.len() >= 37, "it calls when a quarter is left: {taken:?}");
        while taken.len() < 50 {
            taken.extend(when_called(&basket));
        }
        assert_eq!(taken, (0..50).collect::<Vec<_>>(), "by one thread, since in order");
    }

    #[test]
    fn more_is_called_for_while_some_are_left() {
        let basket = Basket::new(|_| true);
        let mut pool = start(1, &basket);
        let (go_on, hangs) = hanging();
        // The last of the few that are left when it is called.
        let jobs = (0..7).map(|number| (None, number)).chain([(hangs, 7)]);
        pool.submit(jobs.map(|job| (job, QUICK)));
        let taken = when_called(&basket);
        assert!(taken.len() >= 6 && !taken.contains(&7), "{taken:?}");
        drop(go_on);
    }

    #[test]
    fn work_that_takes_no_time_is_done_too() {
        let basket = Basket::new(|_| true);
        let mut pool = start(1, &basket);
        pool.submit([((None, 0), Some(Duration::ZERO))]);
        assert_eq!(when_called(&basket), [0]);
    }

    #[test]
    fn what_cannot_wait_is_told_at_once() {
        let basket = Basket::new(|number| *number != 1);
        let mut pool = start(1, &basket);
        let (go_on, hangs) = hanging();
        pool.submit([(None, 0), (None, 1), (hangs, 2)].map(|job| (job, QUICK)));
        assert_eq!(when_called(&basket), [0, 1]);
        drop(go_on);
        assert_eq!(when_called(&basket), [2]);
    }

    #[test]
    fn who_comes_anyway_is_called_only_for_what_cannot_wait() {
        let basket = Basket::new(|number| *number != 1);
        let mut pool = start(1, &basket);
        let (go_on, hangs) = hanging();
        pool.submit([(None, 0), (hangs, 1)].map(|job| (job, QUICK)));
        wait_for(&pool, |jobs| jobs.todo.is_empty());
        // The thread has brought one and is still at work.
        assert!(basket.state().brought.len() == 1 && !basket.state().is_urgent);
        drop(go_on);
        let began = std::time::Instant::now();
        let taken = basket.take(PATIENCE, Call::Urgent);
        assert!(taken == [0, 1] && began.elapsed() < PATIENCE);
        pool.submit([((None, 2), QUICK)]);
        while !basket.state().is_low {
            thread::yield_now();
        }
        let (pause, began) = (Duration::from_millis(20), std::time::Instant::now());
        assert_eq!(basket.take(pause, Call::Urgent), [2], "though nobody called");
        assert!(began.elapsed() >= pause, "it was called");
    }

    #[test]
    fn many_threads_are_for_much_work() {
        for (milliseconds, threads) in [(0, 0), (1, 1), (3, 1), (9, 3), (18, 6), (72, 12), (450, 30)] {
            assert_eq!(threads_for(Duration::from_millis(milliseconds)), threads, "{milliseconds} ms");
        }
    }

    #[test]
    fn threads_are_started_for_what_takes_long_and_kept() {
        let basket = Basket::new(|_| true);
        let mut pool = start(8, &basket);
        let (go_on, hangs): (Vec<_>, Vec<_>) = (0..6).map(|_| hanging()).unzip();
        let jobs = hangs.into_iter().zip(0..);
        pool.submit(jobs.zip([Some(SOON), Some(SOON), Some(SOON), QUICK, QUICK, QUICK]));
        assert_eq!(pool.hired, 4, "one for each that takes long, and one for those that do not");
        wait_for(&pool, |jobs| jobs.todo.len() == 2);
        drop(go_on);
        assert_eq!(take(&basket, 6), [0, 1, 2, 3, 4, 5]);
        wait_for(&pool, |jobs| jobs.idle.len() == 4);
        let (go_on, hangs): (Vec<_>, Vec<_>) = (0..20).map(|_| hanging()).unzip();
        let mut jobs = hangs.into_iter().zip(0..).map(|job| (job, None));
        pool.submit(jobs.by_ref().take(4));
        assert_eq!(pool.hired, 4, "there were some that slept");
        pool.submit(jobs);
        assert_eq!(pool.hired, 8, "and no more are allowed");
        drop(go_on);
        assert_eq!(take(&basket, 20), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn where_the_system_gives_no_more_threads_those_that_there_are_do_all() {
        let basket = Basket::new(|_| true);
        let mut pool = start(4, &basket);
        pool.hire = Box::new(|_| Err(io::Error::other("no more")));
        pool.submit((0..10).map(|number| ((None, number), None)));
        assert!(pool.hired == 1 && pool.is_short);
        assert_eq!(take(&basket, 10), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_hanging_thread_leaves_lying_is_done_by_others() {
        let basket = Basket::new(|_| true);
        let mut pool = start(4, &basket);
        let ((one_goes_on, one_hangs), (other_goes_on, other_hangs)) = (hanging(), hanging());
        pool.submit([(one_hangs, 0), (other_hangs, 1), (None, 2)].map(|job| (job, QUICK)));
        for lying in [2, 1] {
            // Until another thread has met a job that hangs: a job was taken then, and the next time none.
            wait_for(&pool, |jobs| jobs.todo.len() == lying);
            pool.submit([]);
            assert_eq!(pool.hired, 3 - lying);
            pool.submit([]);
        }
        assert_eq!(take(&basket, 1), [2], "not behind the other that hangs");
        drop((one_goes_on, other_goes_on));
        assert_eq!(take(&basket, 2), [0, 1]);
    }

    #[test]
    fn what_a_thread_brought_before_it_hung_is_taken() {
        let basket = Basket::new(|_| true);
        let mut pool = start(1, &basket);
        let (_go_on, hangs) = hanging();
        pool.submit([(None, 0), (hangs, 1)].map(|job| (job, QUICK)));
        wait_for(&pool, |jobs| jobs.todo.is_empty());
        assert_eq!(basket.take(Duration::ZERO, Call::Low), [0]);
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
