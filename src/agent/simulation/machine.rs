//! The machine on which the agent runs: its clock, its disk, its processes one after the other, and what happens to all
//! of these. It stands in for `service.rs` and `run.rs`: hands out the engine's jobs, lets outcomes come late and in
//! another order, commits, ends and begins again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until};

use super::chance::Chance;
use super::history::{Config, Happening, Step};
use super::mount::Mount;
use super::process::{Process, Stage, do_job};
use super::sinks::{Messages, Queue, Redis, Statistics};
use super::world::{MILLISECOND, Mounted, SECOND, Time, World};
use crate::agent::engine::Engine;
use crate::agent::job::{Job, Outcome};
use crate::agent::round::Asking;
use crate::clock::Now;
use crate::dispatch::SinkName;
use crate::event::Reporter;
use crate::model::{Seq, Timestamp};
use crate::store::{DirId, Loss, Memory, Store, StoreError};

/// Our wall clock at the beginning.
const EPOCH: i64 = 1_800_000_000;

/// The longest wait between two beats, as in `service.rs`.
const BEAT: Time = 250 * MILLISECOND;

/// How long a process that ends waits for calls under way, as in `service.rs`.
const GRACE: Time = SECOND;

/// How long a call of a round takes that hangs while others would be answered.
const HANGS: Time = 3 * SECOND;

/// How long a one-shot run waits for sinks that make no progress.
const DRAIN: Time = 5 * SECOND;

/// The machine.
pub(super) struct Machine<'a> {
    pub(super) config: Config,
    runtime: &'a Runtime,
    started: Instant,
    pub(super) now: Time,
    pub(super) mount: Mount,
    memory: Memory,
    pub(super) redis: Redis,
    pub(super) queue: Queue,
    pub(super) process: Option<Process>,
    start_at: Time,
    chance: Chance,
    /// For what came in later, so that histories stay what they are.
    own: Chance,
    /// What a blown fuse will cost.
    loss: (Loss, u8),
    hang_until: Time,
    /// The last look at each directory of this process; what came before `calm_since` is not held against it.
    looks: HashMap<DirId, Time>,
    calm_since: Time,
    /// Until when a call of a round hangs, one at a time, and at which directory. More than there is room for would
    /// stop everything for a while.
    hangs: Option<(Time, DirId)>,
    count: u64,
    /// Whether every job and step is printed.
    pub(super) is_told: bool,
    /// What was done, for the comparison of two runs.
    pub(super) trace: blake3::Hasher,
    pub(super) failure: Option<String>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(config: &Config, seed: u64, runtime: &'a Runtime) -> Self {
        let _context = runtime.enter();
        Self {
            config: config.clone(),
            runtime,
            started: Instant::now(),
            now: 0,
            mount: Mount::new(World::new(config), config),
            memory: Memory::default(),
            redis: Redis::default(),
            queue: Queue::default(),
            process: None,
            start_at: 0,
            chance: Chance::new(seed ^ 0x5eed),
            own: Chance::new(!seed ^ 0x5eed),
            loss: (Loss::Process, 0),
            hang_until: 0,
            looks: HashMap::new(),
            calm_since: 0,
            hangs: None,
            count: 0,
            is_told: false,
            trace: blake3::Hasher::new(),
            failure: None,
        }
    }

    /// Lets a step happen, after the time that it says.
    pub(super) fn take(&mut self, step: &Step) {
        self.run_until(self.now + step.after);
        if self.is_told {
            eprintln!("{:?} {step}", Duration::from_nanos(self.now));
        }
        let _context = self.runtime.enter();
        match &step.what {
            Happening::Tree(change, None) => self.mount.client().world.apply(change),
            Happening::Tree(change, Some(calls)) => {
                self.mount.client().in_calls.push((*calls, change.clone()));
            }
            Happening::Fault(fault) => self.mount.client().faults.push(*fault),
            Happening::Hang(time) => self.hang_until = self.hang_until.max(self.now + time),
            Happening::Mount(mounted, old_ones_work) => self.change_mount(*mounted, *old_ones_work),
            Happening::ServerClock(by) => self.mount.client().world.step_clock(*by),
            Happening::Crash { loss, kept, fuse } => {
                self.loss = (*loss, *kept);
                self.memory.set_fuse(Some(u32::from(*fuse)));
            }
            Happening::Stop => self.stop(),
            Happening::Redis(event) => self.redis.happen(*event),
            Happening::Queue(event) => self.queue.happen(*event),
            Happening::Retire => self.retire(),
        }
    }

    fn change_mount(&mut self, mounted: Mounted, old_ones_work: bool) {
        // An agent that never saw the right file system takes the first one that it finds, as it says it does.
        let knows = self.process.as_ref().is_some_and(|process| {
            process.store.roots().is_ok_and(|roots| roots.iter().any(|(_, row)| row.identity.is_some()))
        });
        if !knows && mounted != Mounted::Right {
            return;
        }
        let mut client = self.mount.client();
        client.world.mounted = mounted;
        client.world.mount_id += 1;
        client.old_mounts_work = old_ones_work;
        drop(client);
        self.calm_since = self.now;
    }

    /// Nothing goes wrong from now on.
    pub(super) fn calm(&mut self) {
        {
            let mut client = self.mount.client();
            client.faults.clear();
            let late: Vec<_> = client.in_calls.drain(..).collect();
            for (_, change) in &late {
                client.world.apply(change);
            }
            if client.world.mounted != Mounted::Right {
                client.world.mounted = Mounted::Right;
                client.world.mount_id += 1;
            }
        }
        self.redis.calm();
        self.queue.calm();
        if !self.memory.is_dead() {
            self.memory.set_fuse(None);
        }
        self.calm_since = self.now.max(self.hang_until);
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end: Time) {
        while self.failure.is_none() {
            self.pump();
            let next = self.next_event().max(self.now + 1_000);
            if next >= end {
                break;
            }
            self.pass(next);
            self.do_due_stages();
        }
        self.pass(end);
    }

    fn next_event(&self) -> Time {
        let growth = self.mount.client().world.next_growth();
        let Some(process) = &self.process else {
            return growth.map_or(self.start_at, |growth| growth.min(self.start_at));
        };
        let stage = process.stages.keys().next().map(|(at, _)| *at);
        let wake = if process.draining.is_some() { None } else { process.engine.next_wake() };
        let wake = wake.map(|wake| process.began + nanoseconds(wake.since(process.steady_at_start)));
        [growth, stage, wake].into_iter().flatten().fold(self.now + BEAT, Time::min)
    }

    fn pass(&mut self, to: Time) {
        self.now = self.now.max(to);
        self.mount.client().world.advance(self.now);
        let deadline = self.started + Duration::from_millis(self.now / MILLISECOND);
        self.runtime.block_on(async {
            if Instant::now() < deadline {
                sleep_until(deadline).await;
            }
        });
    }

    fn do_due_stages(&mut self) {
        while let Some(process) = &mut self.process {
            let Some(&(at, number)) = process.stages.keys().next().filter(|(at, _)| *at <= self.now) else {
                return;
            };
            let Some(stage) = process.stages.remove(&(at, number)) else { return };
            if self.hang_until > self.now {
                let again = self.hang_until + self.chance.below(self.config.delay);
                process.stages.insert((again, number), stage);
                self.calm_since = self.hang_until;
                continue;
            }
            match stage {
                Stage::Perform(Job::Round { tree, number: round, round: asked }) => {
                    process.stages.insert((at, number), Stage::Claim(round, Asking::begin(tree, asked)));
                }
                Stage::Claim(round, asking) => {
                    let next = self.go_on(round, asking);
                    let Some(process) = &mut self.process else { return };
                    process.stages.insert((next.0, number), next.1);
                }
                Stage::Ask(round, mut asking, place) => {
                    asking.ask(place);
                    process.stages.insert((self.now, number), Stage::Claim(round, asking));
                }
                Stage::Perform(job) => {
                    let outcome = do_job(job, &self.mount, self.config.round_trip);
                    let at = self.now + self.chance.below(self.config.delay);
                    process.stages.insert((at, number), Stage::Deliver(outcome));
                }
                Stage::Deliver(outcome) => {
                    let now = process.clock(self.now);
                    if self.is_told {
                        eprintln!("{:?} {outcome:?}", Duration::from_nanos(self.now));
                    }
                    let absorbed = process.engine.absorb(outcome, now);
                    self.check(absorbed);
                }
            }
        }
    }

    /// What comes next in a round, and when.
    fn go_on(&mut self, round: u32, asking: Asking) -> (Time, Stage) {
        if let Some(place) = asking.claim() {
            let is_first = self.hangs.is_none_or(|(until, _)| until + HANGS < self.now);
            if is_first && self.own.percent(1) {
                self.hangs = asking.directory(place).map(|dir| (self.now + HANGS, dir));
                return (self.now + HANGS, Stage::Ask(round, asking, place));
            }
            return (self.now, Stage::Ask(round, asking, place));
        }
        let outcome = Outcome::Round(round, asking.end(self.config.round_trip));
        (self.now + self.chance.below(self.config.delay), Stage::Deliver(outcome))
    }

    /// One round of the engine's thread.
    fn pump(&mut self) {
        if self.memory.is_dead() && self.process.is_some() {
            self.die();
        }
        let Some(process) = &mut self.process else {
            if self.now >= self.start_at {
                self.start();
            }
            return;
        };
        if let Some(end) = process.draining {
            let head = process.store.head();
            let is_drained = process.reports.iter().all(|report| report.borrow().confirmed >= head);
            if is_drained || self.now >= end {
                self.end();
            }
            return;
        }
        if let Err(error) = process.engine.weigh_outbox() {
            return self.check(Err(error));
        }
        self.hand_out();
        self.commit_if_wanted();
        let Some(process) = &mut self.process else { return };
        let now = process.clock(self.now);
        process.engine.watch_for_silence(now);
        if process.once && process.engine.is_idle(now) {
            self.wind_down();
        }
    }

    fn hand_out(&mut self) {
        let Some(process) = &mut self.process else { return };
        let now = process.clock(self.now);
        let found = process.engine.roots.iter().all(|root| root.tree.is_some());
        if found != std::mem::replace(&mut process.found_root, found) {
            self.calm_since = self.calm_since.max(self.now);
        }
        let table = &process.engine.table;
        self.looks.retain(|dir, _| table.get(*dir).is_some_and(|directory| directory.gone_since.is_none()));
        let mut looks = Vec::new();
        while let Some((_, job)) = process.engine.next_job(now) {
            self.count += 1;
            note(&mut self.trace, self.now, &job);
            if self.is_told {
                eprintln!("{:?} {job:?}", Duration::from_nanos(self.now));
            }
            match &job {
                Job::Look { dir, path, .. } => looks.push((*dir, path.to_string())),
                Job::Round { round, .. } => {
                    let path = |dir| process.engine.table.path(dir).to_string();
                    looks.extend(round.directories().map(|dir| (dir, path(dir))));
                }
                _ => {}
            }
            let at = self.now + self.chance.below(self.config.delay);
            process.stages.insert((at, self.count), Stage::Perform(job));
        }
        if process.once || self.config.delay > MILLISECOND {
            return;
        }
        for (dir, path) in looks {
            let before = self.looks.insert(dir, self.now).max(self.hung_until(dir));
            self.check_bound(before, &path);
        }
    }

    /// Until when the call hung that asked this directory last.
    fn hung_until(&self, dir: DirId) -> Option<Time> {
        self.hangs.filter(|(_, hung)| *hung == dir).map(|(until, _)| until)
    }

    /// Whether a directory was looked at within the interval, and a quarter of it for what goes first: the confirming
    /// listings of a handful of directories that were made together. 0.28 s of 2 s is the most that was seen.
    fn check_bound(&mut self, before: Option<Time>, path: &str) {
        let Some(before) = before else { return };
        let gap = self.now.saturating_sub(before.max(self.calm_since).max(self.hang_until));
        let interval = nanoseconds(self.config.interval);
        if gap > interval + interval / 4 + 50 * MILLISECOND {
            self.fail(&format!("{path} was not looked at for {:?}", Duration::from_nanos(gap)));
        }
    }

    /// Checks the bound of the directories that are not looked at at all.
    pub(super) fn check_all_bounds(&mut self) {
        let Some(process) = self.process.as_ref().filter(|process| !process.once) else { return };
        if self.config.delay > MILLISECOND {
            return;
        }
        let known: Vec<_> = process
            .engine
            .table
            .iter()
            .filter(|(_, directory)| directory.gone_since.is_none() && !directory.excluded)
            .map(|(dir, _)| (dir, process.engine.table.path(dir).to_string()))
            .collect();
        for (dir, path) in known {
            let before = self.looks.get(&dir).copied().max(self.hung_until(dir));
            self.check_bound(before.or(Some(0)), &path);
        }
    }

    fn commit_if_wanted(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.engine.wants_commit(process.clock(self.now)) {
            self.commit(Engine::commit_ready);
        }
    }

    fn commit(&mut self, how: fn(&mut Engine, Now) -> Result<Seq, StoreError>) {
        let Some(process) = &mut self.process else { return };
        let touched: Vec<DirId> = process.engine.pending.directories.iter().copied().collect();
        let now = process.clock(self.now);
        let committed = how(&mut process.engine, now);
        match committed {
            Ok(seq) => {
                process.head.send_if_modified(|head| std::mem::replace(head, seq) != seq);
                self.trace.update(&seq.to_be_bytes());
                self.check_gone(&touched);
            }
            Err(error) => self.check(Err(error)),
        }
    }

    /// Nothing that was there all the time is on record as gone.
    fn check_gone(&mut self, touched: &[DirId]) {
        let Some(process) = &self.process else { return };
        let patience = 2 * self.config.delay + nanoseconds(self.config.commit_delay) + 300 * MILLISECOND;
        // A client that goes by time stamps may show old names for a tick, and until its names are dropped.
        let held = if self.config.names_by_stamp { 2 * self.config.tick + 5 * SECOND } else { 0 };
        let is_wrong = |gone: Option<Timestamp>, world: &World, path: &str| {
            let gone = gone.map(|gone| nanoseconds(gone.since(wall(0))));
            let hung = |gone| gone <= self.hang_until + SECOND;
            gone.is_some_and(|gone| {
                !hung(gone) && !world.was_absent(path, gone.saturating_sub(patience + held))
            })
        };
        let mut wrong = None;
        let client = self.mount.client();
        for dir in touched {
            let Some(directory) = process.engine.table.get(*dir) else { continue };
            let path = process.engine.table.path(*dir);
            let shown = if path.is_root() { String::new() } else { format!("{path}/") };
            if is_wrong(directory.gone_since, &client.world, &shown) {
                wrong = Some(shown.clone());
            }
            for known in process.store.known(*dir).unwrap_or_default() {
                let file = format!("{shown}{}", String::from_utf8_lossy(&known.file.name));
                if is_wrong(known.file.gone_since, &client.world, &file) {
                    wrong = Some(file);
                }
            }
        }
        drop(client);
        if let Some(path) = wrong {
            self.fail(&format!("{path} is on record as gone, and was there all the time"));
        }
    }

    fn check(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {}
            Err(_) if self.memory.is_dead() => self.die(),
            Err(error) => self.fail(&format!("the store failed: {error}")),
        }
    }

    pub(super) fn fail(&mut self, what: &str) {
        if self.failure.is_none() {
            self.failure = Some(format!("at {:?}: {what}", Duration::from_nanos(self.now)));
        }
    }

    fn start(&mut self) {
        match self.new_process() {
            Ok(process) => {
                self.looks.clear();
                self.hangs = None;
                self.calm_since = self.calm_since.max(self.now);
                self.process = Some(process);
                self.pump();
            }
            Err(_) if self.memory.is_dead() => self.die(),
            Err(error) => self.fail(&format!("the agent does not start: {error}")),
        }
    }

    fn new_process(&mut self) -> Result<Process, StoreError> {
        let store = Arc::new(Store::in_memory(self.memory.clone())?);
        let once = self.chance.percent(self.config.once);
        let reporter = Reporter::default();
        let mut process = Process::start(&self.config, store, once, self.now, &reporter)?;
        let appetite = usize::try_from(1 + self.chance.below(5)).unwrap_or(1);
        process.spawn(Statistics::new(&self.redis, &reporter, appetite), &reporter, self.runtime);
        process.spawn(Messages::new(&self.queue, appetite), &reporter, self.runtime);
        Ok(process)
    }

    /// The process ends in the middle of whatever it does.
    fn die(&mut self) {
        self.process = None;
        let (loss, kept) = self.loss;
        self.memory.lose(loss, kept);
        self.start_at = self.now + 100 * MILLISECOND + self.chance.below(SECOND);
        self.trace.update(b"died");
    }

    /// The process is told to end; one that waits to be started is started.
    fn stop(&mut self) {
        if self.process.is_some() {
            self.wind_down();
            if self.process.is_some() {
                self.end();
            }
        } else {
            self.start_at = self.now;
        }
    }

    fn wind_down(&mut self) {
        let end = self.now + GRACE;
        while let Some(process) = &self.process {
            let next = process.stages.keys().next().map(|(at, _)| *at).filter(|at| *at < end);
            let Some(at) = next.filter(|_| process.engine.in_flight() > 0) else { break };
            self.pass(at);
            self.do_due_stages();
        }
        let Some(process) = &mut self.process else { return };
        let now = process.clock(self.now);
        process.engine.end_first_walks(now);
        let saved = process.engine.save_learnt(true, now);
        self.check(saved);
        self.commit(Engine::commit);
        if let Some(process) = &mut self.process {
            process.draining = Some(self.now + DRAIN);
        }
    }

    fn end(&mut self) {
        if let Some(process) = &self.process {
            process.token.cancel();
        }
        self.pass(self.now + 100 * MILLISECOND);
        self.process = None;
        if self.memory.is_dead() {
            return self.die();
        }
        // What the end of a process leaves unflushed, its own last writes, sled writes out when it is dropped.
        self.memory.lose(Loss::Process, 100);
        self.start_at = self.now + 100 * MILLISECOND + self.chance.below(SECOND);
    }

    /// As `run.rs` does it once a minute.
    fn retire(&mut self) {
        let Some(process) = &self.process else { return };
        let cursors = [SinkName::Redis, SinkName::Amqp].map(|sink| process.store.cursor(sink.as_str()));
        let behind =
            cursors.into_iter().map(|cursor| cursor.ok().flatten().map_or(0, |cursor| cursor.confirmed));
        let before = process.clock(self.now).wall.minus(self.config.history);
        let retired = process.store.retire(before, behind.min().unwrap_or(0)).map(drop);
        self.check(retired);
    }
}

fn note(trace: &mut blake3::Hasher, now: Time, job: &Job) {
    trace.update(&now.to_be_bytes());
    match job {
        Job::Look { dir, .. } => trace.update(&dir.0.to_be_bytes()),
        Job::Round { round, .. } => {
            round.directories().fold(trace, |trace, dir| trace.update(&dir.0.to_be_bytes()))
        }
        Job::Examine { task, .. } => trace.update(&task.name),
        Job::Open { .. } | Job::Check { .. } => trace.update(b"root"),
    };
}

pub(super) fn wall(now: Time) -> Timestamp {
    Timestamp { seconds: EPOCH, nanoseconds: 0 }.plus(Duration::from_nanos(now))
}

pub(super) fn nanoseconds(duration: Duration) -> Time {
    Time::try_from(duration.as_nanos()).unwrap_or(Time::MAX)
}
