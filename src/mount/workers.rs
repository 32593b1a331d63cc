//! Threads that may hang with the server, so that nothing else does.
//!
//! A call on a hard mount blocks for as long as the server is away, and no time-out ends it. So every such call
//! lives on one of these threads; whoever waits for the answers waits on a channel and can do other things. The
//! threads are never joined: the process ends without them.

use std::io;
use std::thread;

use crossbeam_channel::{SendError, Sender, unbounded};

/// Bytes of a worker's stack: an unpacking takes some tens of kilobytes.
const STACK_BYTES: usize = 512 * 1024;

/// A pool of threads that do jobs.
#[derive(Debug)]
pub struct Workers<J> {
    jobs: Sender<J>,
}

impl<J: Send + 'static> Workers<J> {
    /// Starts `count` threads that run `work` and send what comes of it to `done`, in no particular order.
    ///
    /// Fails if the system gives no thread. A panic in `work` ends the process: a lost job would never be noticed.
    pub fn start<O, W>(count: usize, done: &Sender<O>, work: W) -> io::Result<Self>
    where
        O: Send + 'static,
        W: Fn(J) -> O + Clone + Send + 'static,
    {
        let (jobs, todo) = unbounded::<J>();
        for number in 0..count.max(1) {
            let (todo, done, work) = (todo.clone(), done.clone(), work.clone());
            thread::Builder::new().name(format!("mount-{number}")).stack_size(STACK_BYTES).spawn(
                move || {
                    let _ends_process = EndOnPanic;
                    for job in todo {
                        if done.send(work(job)).is_err() {
                            return;
                        }
                    }
                },
            )?;
        }
        Ok(Self { jobs })
    }

    /// Hands in a job; never waits: whoever hands them in bounds how many are under way.
    pub fn submit(&self, job: J) -> Result<(), SendError<J>> {
        self.jobs.send(job)
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
