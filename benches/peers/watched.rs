//! A peer at work, measured from outside: what it hands over and when, its CPU time, its memory.
//!
//! It is a process group of its own; whatever it starts counts too. Nothing here knows which peer it is.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::Stat;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::peer::{Peer, Post};
use crate::rhythm::Sample;

/// How exactly a handover's moment is known.
const READ_EVERY: Duration = Duration::from_millis(20);
/// How often the processes are looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Between two files that ask whether it is ready.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A file's name on a peer's output.
#[derive(Debug, Clone)]
pub(crate) struct Handover {
    pub(crate) path: String,
    pub(crate) at: Instant,
}

/// A running peer; ended with the value.
pub(crate) struct Watched {
    child: Child,
    errors: PathBuf,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    handovers: Vec<Handover>,
    samples: Vec<Sample>,
    peak_bytes: u64,
    is_over: bool,
}

impl Watched {
    pub(crate) fn start(peer: Peer, post: &Post) -> Result<Self, String> {
        let problem = |error: std::io::Error| format!("could not be started: {error}");
        fs::create_dir_all(&post.work).map_err(problem)?;
        let output = post.work.join("output");
        let child = peer.start(post, &output).map_err(problem)?;
        let seen = Arc::<Mutex<Seen>>::default();
        let observer = Observer {
            peer,
            root: post.root.clone(),
            output: File::open(&output).map_err(problem)?,
            rest: Vec::new(),
            group: Pid::from_child(&child).as_raw_nonzero().get(),
            seen: Arc::clone(&seen),
        };
        thread::spawn(move || observer.observe());
        Ok(Self { child, errors: post.work.join("errors"), seen })
    }

    /// Puts files there until one of them is handed over: then it knows the rest and looks for news.
    pub(crate) fn make_ready(&mut self, limit: Duration, put: impl Fn(&str)) -> Result<Duration, String> {
        let began = Instant::now();
        for number in 0.. {
            put(&format!("ready-{number}.tgz"));
            let next = Instant::now() + PROBE_EVERY;
            while Instant::now() < next {
                if self.count(|path| path.contains("ready-")) > 0 {
                    return Ok(began.elapsed());
                }
                self.is_alive()?;
                thread::sleep(READ_EVERY);
            }
            if began.elapsed() > limit {
                return Err(format!("not ready in {} s", limit.as_secs()));
            }
        }
        unreachable!("the loop has no end")
    }

    /// An error with its last words if it has ended.
    pub(crate) fn is_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let errors = fs::read_to_string(&self.errors).unwrap_or_default();
                Err(format!("ended by itself ({status}): {}", errors.lines().last().unwrap_or_default()))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// All that it has handed over, in order.
    pub(crate) fn handovers(&self) -> Vec<Handover> {
        self.seen().handovers.clone()
    }

    /// How many handovers of such paths there were.
    pub(crate) fn count(&self, is_meant: impl Fn(&str) -> bool) -> usize {
        self.seen().handovers.iter().filter(|it| is_meant(&it.path)).count()
    }

    /// Waits until each of these was handed over, at most until `deadline`.
    pub(crate) fn wait_for(&self, paths: &[String], deadline: Instant) {
        let is_done = || {
            let seen = self.seen();
            paths.iter().all(|path| seen.handovers.iter().any(|it| it.path == *path))
        };
        while !is_done() && Instant::now() < deadline {
            thread::sleep(READ_EVERY);
        }
    }

    /// The CPU time until now.
    pub(crate) fn cpu(&self) -> Duration {
        self.seen().samples.last().map_or(Duration::ZERO, |sample| sample.cpu)
    }

    /// The samples from then on.
    pub(crate) fn samples_since(&self, since: Instant) -> Vec<Sample> {
        self.seen().samples.iter().filter(|it| it.at >= since).copied().collect()
    }

    /// The most memory that its processes had together.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.seen().peak_bytes
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.seen().is_over = true;
        // Its group, by its number: it is its first process's. It may be empty already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The thread that looks.
struct Observer {
    peer: Peer,
    root: PathBuf,
    output: File,
    /// The beginning of a line that is not ended yet.
    rest: Vec<u8>,
    group: i32,
    seen: Arc<Mutex<Seen>>,
}

impl Observer {
    fn observe(mut self) {
        let mut sampled = None::<Instant>;
        loop {
            let news = self.read();
            let sample = sampled.is_none_or(|it| it.elapsed() >= SAMPLE_EVERY).then(|| sample(self.group));
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.is_over {
                return;
            }
            seen.handovers.extend(news);
            if let Some((sample, bytes)) = sample {
                sampled = Some(sample.at);
                // A process that was not waited for yet may be missed in one sample.
                let cpu = seen.samples.last().map_or(sample.cpu, |last| last.cpu.max(sample.cpu));
                seen.samples.push(Sample { cpu, ..sample });
                seen.peak_bytes = seen.peak_bytes.max(bytes);
            }
            drop(seen);
            thread::sleep(READ_EVERY);
        }
    }

    fn read(&mut self) -> Vec<Handover> {
        // A file on a local disk that only its writer's end can make unreadable; what cannot be read now can later.
        let _ = self.output.read_to_end(&mut self.rest);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let (at, root) = (Instant::now(), self.root.as_path());
        let text = String::from_utf8_lossy(&lines);
        text.lines()
            .filter_map(|line| Some(Handover { path: self.peer.handed_over(root, line)?, at }))
            .collect()
    }
}

/// What the group has used, with the ended processes that were waited for, and what it has in memory.
fn sample(group: i32) -> (Sample, u64) {
    let (mut ticks, mut pages) = (0, 0);
    for stat in stats().filter(|stat| stat.pgrp == group) {
        let waited_for = u64::try_from(stat.cutime + stat.cstime).unwrap_or_default();
        ticks += stat.utime + stat.stime + waited_for;
        pages += stat.rss;
    }
    let cpu = Duration::from_millis(1000 * ticks / procfs::ticks_per_second());
    (Sample { at: Instant::now(), cpu }, pages * procfs::page_size())
}

fn stats() -> impl Iterator<Item = Stat> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| {
        let is_process = process.file_name().to_str()?.parse::<u32>().is_ok();
        is_process.then(|| stat(&process.path().join("stat")))?
    })
}

fn stat(path: &Path) -> Option<Stat> {
    // It may have ended in between.
    procfs::FromRead::from_read(File::open(path).ok()?).ok()
}
