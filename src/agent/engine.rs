//! Decides: what to look at next, and what follows from what was seen.
//!
//! A state machine without threads, clock or mount: [`Engine::next_job`] says what to do, [`Engine::absorb`] takes what
//! came of it, [`Engine::commit`] makes what was decided durable. One call follows another; nothing here waits, but
//! for the store's disk.
//!
//! A directory's stamp is stored only when everything that its listing showed is on record, as seen or as waiting. So
//! a crash at any point leaves a stamp that asks for the listing again, and what was recorded is known by then.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::agenda::Due;
use super::job::{Effort, FileTask, Job, Origin, Outcome, Read};
use super::pass::Pass;
use super::pending::Pending;
use super::recorder::Arrivals;
use super::root::Root;
use super::round::RoundUnderWay;
use super::table::Table;
use super::vitals::reasons;
use super::watched::Watched;
use crate::clock::Now;
use crate::event::{Event, Reporter};
use crate::model::{Handover, Seq, Spreading, Timestamp};
use crate::mount::TreeOptions;
use crate::rules::FileRules;
use crate::schedule::{Budget, Proof, ServerTime, SettlePolicy, Step};
use crate::store::{DirId, Patterns, Store, StoreError, Transaction, WaitReason, WaitRow};

/// Listings whose files are being looked at, at most: what bounds the names held in memory.
pub(super) const MAX_PASSES: usize = 64;

/// What the engine is told to do.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the command line")]
pub(super) struct Settings {
    /// The watched directories.
    pub roots: Vec<PathBuf>,
    /// Whether to end after one pass.
    pub once: bool,
    /// The longest time that a directory goes unchecked.
    pub interval: Duration,
    /// RPCs a second that looking for changes may cost in the mean.
    pub(super) budget: Budget,
    /// RPCs that a one-shot run may cost, beside what the interval needs; `None`: it looks at every directory.
    pub(super) run_budget: Option<u64>,
    /// When a file is complete, or given up.
    pub settle: SettlePolicy,
    /// How often every directory is listed whatever its stamp says.
    pub audit: Option<Duration>,
    /// Whether the audit looks at known files too.
    pub audit_stat: bool,
    /// Whether what first contact shows is taken as seen.
    pub baseline: bool,
    /// How long what is gone is remembered.
    pub(super) history: Duration,
    /// Whether a moved file is sent again.
    pub send_moved: bool,
    /// Which names count.
    pub rules: FileRules,
    /// Whether whatever file system lies at a root is taken as the right one.
    pub accept_mount: bool,
    /// How trees are opened.
    pub tree: TreeOptions,
    /// Calls under way on one root, at most.
    pub max_in_flight: NonZeroUsize,
    /// How long a decision may wait to share its flush with others.
    pub commit_delay: Duration,
    /// How long a one-shot run waits for a root whose calls do not return.
    pub patience: Duration,
    /// Bytes that sinks still have to get, from which on intake pauses.
    pub(super) outbox_max: u64,
    /// The sinks that this is about, by their names in the store.
    pub(super) sinks: Vec<&'static str>,
    /// Whether arrivals are kept for [`Engine::take_arrivals`].
    pub(super) record: bool,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) settings: Settings,
    pub(super) store: Arc<Store>,
    pub(super) reporter: Reporter,
    pub(super) watched: Watched,
    pub(super) roots: Vec<Root>,
    pub(super) table: Table,
    /// Looks at directories under way.
    pub(super) looks: HashMap<DirId, LookUnderWay, Spreading>,
    /// Those of them that wait to be given out, each with its root.
    pub(super) apart: VecDeque<(usize, DirId)>,
    /// Rounds under way, and the number of the last one.
    pub(super) rounds: Vec<RoundUnderWay>,
    pub(super) last_round: u32,
    pub(super) passes: HashMap<DirId, Pass>,
    /// Passes that have files to look at, in the order in which they get a turn.
    pub(super) turns: VecDeque<DirId>,
    pub(super) waiting: BTreeMap<(DirId, Vec<u8>), WaitRow>,
    /// The bound that was said to be kept instead of the interval.
    pub(super) stretched: Option<Duration>,
    /// Whether the outbox is full, so that nothing is read.
    pub(super) paused: bool,
    /// The head of the journal when the outbox was weighed last.
    pub(super) weighed: Option<Seq>,
    /// Names whose files are being looked at.
    pub(super) busy: HashSet<(DirId, Vec<u8>)>,
    pub(super) pending: Pending,
    pub(super) arrivals: Vec<Arrivals>,
    /// When directories are looked for that have been gone for long.
    pub(super) forget_at: Timestamp,
    /// When it was started.
    pub(super) started: Now,
}

/// A look at a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookUnderWay {
    pub(super) began: Now,
    /// What the server's clock was known to have passed then.
    pub(super) server_time: ServerTime,
    /// Whether it was not given out yet.
    pub(super) waits: bool,
}

impl Engine {
    /// Takes up where the store says the last run ended.
    pub(super) fn start(
        settings: Settings,
        store: Arc<Store>,
        reporter: Reporter,
        watched: Watched,
        now: Now,
    ) -> Result<Self, StoreError> {
        let mut engine = Self {
            roots: settings.roots.iter().map(|path| Root::new(path, &settings, now)).collect(),
            stretched: None,
            paused: false,
            weighed: None,
            settings,
            store,
            reporter,
            watched,
            table: Table::default(),
            looks: HashMap::default(),
            apart: VecDeque::new(),
            rounds: Vec::new(),
            last_round: 0,
            passes: HashMap::new(),
            turns: VecDeque::new(),
            waiting: BTreeMap::new(),
            busy: HashSet::new(),
            pending: Pending::default(),
            arrivals: Vec::new(),
            forget_at: now.steady,
            started: now,
        };
        let [include, exclude] = engine.settings.rules.texts().clone();
        engine.store.note_patterns(Patterns { include, exclude })?;
        engine.load_roots()?;
        engine.load_directories()?;
        engine.load_waiting(now)?;
        Ok(engine)
    }

    fn load_directories(&mut self) -> Result<(), StoreError> {
        let numbers: HashMap<_, _> = self.roots.iter().enumerate().map(|(at, root)| (root.id, at)).collect();
        for entry in self.store.directories() {
            let (id, row) = entry?;
            if let Some(root) = numbers.get(&row.root) {
                self.table.load(id, *root, &row);
            }
        }
        let hindered = self.store.hindered()?;
        for (id, row) in self.table.iter_mut() {
            row.hindered = hindered.contains(&id);
            if row.parent.is_none()
                && let Some(root) = self.roots.get_mut(row.root)
            {
                root.top = Some(id);
            }
        }
        Ok(())
    }

    fn load_waiting(&mut self, now: Now) -> Result<(), StoreError> {
        for (dir, name, mut row) in self.store.waiting()? {
            let directory = self.table.get(dir).filter(|directory| directory.gone_since.is_none());
            if let Some(root) = directory.map(|directory| directory.root) {
                // The patience may have been set shorter since.
                row.look_at = row.look_at.min(self.next_look_at(&row, now));
                if let Some(root) = self.roots.get_mut(root) {
                    root.wait_order.insert((row.look_at, dir, name.clone()));
                }
                self.waiting.insert((dir, name), row);
            }
        }
        Ok(())
    }

    /// When a waiting file whose stamp is still the same is looked at next.
    pub(super) fn next_look_at(&self, row: &WaitRow, now: Now) -> Timestamp {
        match self.settings.settle.step(row.still_since, proof_of(&row.reason), now.steady) {
            // A fault of the server is over for us as soon as for a directory that could not be read.
            Step::Wait(at) if matches!(row.reason, WaitReason::Unreadable { .. }) => {
                at.min(now.steady.plus(self.settings.interval))
            }
            Step::Wait(at) => at,
            Step::Read | Step::GiveUp => now.steady,
        }
    }

    /// What to do next, and on which root; `None` if nothing can be done before [`Engine::next_wake`] or an outcome.
    pub(super) fn next_job(&mut self, now: Now) -> Option<(usize, Job)> {
        let (root, job) = self
            .next_root_job(now)
            .or_else(|| self.next_pass_file(now))
            .or_else(|| self.next_waiting_file(now))
            .or_else(|| self.next_look(now))?;
        let asks_server = !matches!(job, Job::Check { .. });
        if let Some(root) = self.roots.get_mut(root).filter(|_| asks_server) {
            root.silence.asked(now.steady);
        }
        Some((root, job))
    }

    /// How long a job is likely to take on a root, if that is known: a look that finds nothing new is one round trip, a
    /// first one LOOKUP, ACCESS and READDIR. Of a first walk, as long as when few were under way: what it takes for our own
    /// being many would call for still more threads.
    pub(super) fn takes(&self, root: usize, job: &Job) -> Option<Duration> {
        let brake = &self.roots.get(root)?.brake;
        match job {
            Job::Look { effort: Effort::IfChanged(_), .. } => brake.round_trip(),
            Job::Round { round, .. } => {
                let count = u32::try_from(round.directories().count()).unwrap_or(u32::MAX);
                brake.round_trip().map(|round_trip| round_trip * count)
            }
            Job::Look { effort: Effort::First, .. } => brake.baseline().map(|round_trip| round_trip * 3),
            _ => None,
        }
    }

    /// Takes what came of a job.
    pub(super) fn absorb(&mut self, outcome: Outcome, now: Now) -> Result<(), StoreError> {
        match outcome {
            Outcome::Opened(root, opened) => {
                self.absorb_opened(root, opened, now)?;
                self.forget_gone_directories(now)
            }
            Outcome::Checked(root, checked) => self.absorb_checked(root, checked, now),
            Outcome::Unchanged(dir, round_trip) => self.absorb_unchanged(dir, round_trip, now),
            Outcome::Round(number, answer) => {
                self.absorb_round(number, &answer, now);
                Ok(())
            }
            Outcome::Looked(dir, looked) => self.absorb_looked(dir, *looked, now),
            Outcome::Examined(task, examined) => self.absorb_examined(*task, examined, now),
        }
    }

    /// Whether what was decided should become durable now.
    #[must_use]
    pub(super) fn wants_commit(&self, now: Now) -> bool {
        let nothing_comes = self.in_flight() == 0;
        self.pending.is_due(self.settings.commit_delay, now) || (nothing_comes && !self.pending.is_empty())
    }

    /// Makes durable what was decided, but for handovers of listings that are not through; returns the last number of the
    /// journal.
    pub(super) fn commit_ready(&mut self, now: Now) -> Result<Seq, StoreError> {
        if self.in_flight() == 0 {
            return self.commit(now);
        }
        let is_open = |dir| self.passes.contains_key(&dir);
        let ready = self.pending.take_ready(self.settings.commit_delay, is_open, now);
        self.make_durable(ready, now)
    }

    /// Makes durable what was decided about `dir`, for whoever reads its rows.
    pub(super) fn commit_of(&mut self, dir: DirId, now: Now) -> Result<(), StoreError> {
        if self.pending.directories.contains(&dir) {
            self.pending.release(dir);
            self.commit_ready(now)?;
        }
        Ok(())
    }

    /// Makes durable all that was decided; returns the last number of the journal.
    pub(super) fn commit(&mut self, now: Now) -> Result<Seq, StoreError> {
        let all = self.pending.take();
        self.make_durable(all, now)
    }

    fn make_durable(&mut self, mut transaction: Transaction, now: Now) -> Result<Seq, StoreError> {
        if transaction.is_empty() {
            return Ok(self.store.head());
        }
        transaction.note_time(now.steady);
        for handover in &self.store.commit(transaction)? {
            self.report(handover);
        }
        Ok(self.store.head())
    }

    fn report(&self, handover: &Handover) {
        self.reporter.emit(&Event::HandedOver {
            seq: handover.seq,
            id: handover.id,
            kind: handover.kind,
            path: handover.path.clone(),
            size_bytes: handover.stamp.size,
            at: handover.detected_at,
            within: handover.not_before.map(|before| handover.detected_at.since(before)),
        });
    }

    /// When something is due; what has no room before an outcome comes is not waited for.
    #[must_use]
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let commit = self.pending.next(self.settings.commit_delay);
        let calls = self.roots.iter().filter(|root| !root.calling && !self.settings.once);
        let with_room = || self.roots.iter().filter(|root| root.has_room());
        let files = with_room().filter_map(|root| root.wait_order.first()).map(|(at, _, _)| *at);
        let looks = with_room().filter(|_| self.passes.len() < MAX_PASSES);
        let looks = looks.filter_map(|root| root.agenda.next_due());
        let due = calls.map(|root| root.next_call).chain(files.filter(|_| !self.settings.once)).chain(looks);
        due.chain(commit).min()
    }

    /// Whether a one-shot run is at its end: nothing is under way and no directory is left to look at.
    #[must_use]
    pub(super) fn is_idle(&self, now: Now) -> bool {
        let is_due = |root: &Root| root.agenda.next_due().is_some_and(|due| due <= now.steady);
        let is_done = |root: &Root| match root.tree {
            // Calls to a root that was lost may never return.
            None => root.lost.is_some() || root.in_flight == 0,
            Some(_) => root.in_flight == 0 && !is_due(root),
        };
        self.passes.is_empty() && self.roots.iter().all(is_done)
    }

    /// The arrivals since the last call, for the recorder.
    pub(super) fn take_arrivals(&mut self) -> Vec<Arrivals> {
        std::mem::take(&mut self.arrivals)
    }

    /// How many directories are known.
    #[must_use]
    pub(super) fn directories(&self) -> usize {
        self.table.iter().filter(|(_, directory)| directory.gone_since.is_none()).count()
    }

    /// Why files wait, and how many for each reason.
    #[must_use]
    pub(super) fn waiting_reasons(&self) -> Vec<(u64, String)> {
        reasons(self.waiting.values()).into_iter().map(|(reason, count)| (count, reason)).collect()
    }

    /// Whether it can do no more before an outcome comes, of whatever kind: for want of room, to make durable what was
    /// decided as soon as no more comes, or to end.
    #[must_use]
    pub(super) fn needs_outcomes(&self) -> bool {
        let is_full = |root: &Root| root.tree.is_some() && !root.has_room();
        self.settings.once || !self.pending.is_empty() || self.roots.iter().any(is_full)
    }

    /// How many calls to the mounts are under way.
    #[must_use]
    pub(super) fn in_flight(&self) -> usize {
        self.roots.iter().map(|root| root.in_flight).sum()
    }

    /// A file of a pass.
    fn next_pass_file(&mut self, now: Now) -> Option<(usize, Job)> {
        for _ in 0..self.turns.len() {
            let Some(dir) = self.turns.pop_front() else { break };
            if self.paused {
                self.put_off_news(dir, now);
            }
            let root = self.table.get(dir)?.root;
            let Some(tree) = self.roots.get_mut(root).and_then(Root::enter) else {
                self.turns.push_back(dir);
                continue;
            };
            if let Some(task) = self.passes.get_mut(&dir).and_then(Pass::take) {
                self.turns.push_back(dir);
                self.busy.insert((dir, task.name.clone()));
                return Some((root, Job::Examine { tree, task: Box::new(task) }));
            }
            if let Some(root) = self.roots.get_mut(root) {
                root.in_flight -= 1;
            }
        }
        None
    }

    /// A waiting file whose time has come.
    fn next_waiting_file(&mut self, now: Now) -> Option<(usize, Job)> {
        loop {
            let mut roots = self.roots.iter_mut().enumerate();
            let (root, (tree, dir, name)) =
                roots.find_map(|(number, root)| root.take_waiting(now).map(|taken| (number, taken)))?;
            let key = (dir, name);
            // A listing showed it and it is being looked at for that: both looks would hand it over.
            if self.busy.contains(&key) {
                self.put_off(root, key, self.retry_pause(), now);
                continue;
            }
            let task = self.waiting_task(dir, key.1.clone(), now);
            if self.paused && task.read != Read::Never {
                self.put_off(root, key, self.settings.interval, now);
                continue;
            }
            self.busy.insert(key);
            return Some((root, Job::Examine { tree, task: Box::new(task) }));
        }
    }

    /// Gives a waiting file back that was taken for a look.
    fn put_off(&mut self, root: usize, key: (DirId, Vec<u8>), pause: Duration, now: Now) {
        let at = now.steady.plus(pause);
        let Some(root) = self.roots.get_mut(root) else { return };
        root.in_flight -= 1;
        if let Some(row) = self.waiting.get_mut(&key) {
            row.look_at = at;
            root.wait_order.insert((at, key.0, key.1));
        }
    }

    fn waiting_task(&self, dir: DirId, name: Vec<u8>, now: Now) -> FileTask {
        let dir_path = self.table.path(dir);
        let row = self.waiting.get(&(dir, name.clone()));
        let step =
            row.map(|row| self.settings.settle.step(row.still_since, proof_of(&row.reason), now.steady));
        let (read, last_chance) = match (row, step) {
            (Some(row), Some(Step::GiveUp)) => (Read::IfStill(row.stamp), true),
            (Some(row), Some(Step::Read)) => (Read::IfStill(row.stamp), false),
            (Some(row), _) if matches!(row.reason, WaitReason::Unreadable { .. }) => {
                (Read::IfStill(row.stamp), false)
            }
            _ => (Read::Never, false),
        };
        FileTask {
            dir,
            path: dir_path.join(&name),
            fileid: None,
            known: None,
            judgement: self.settings.rules.judge(&dir_path, &name),
            read,
            origin: Origin::Waiting { last_chance },
            not_before: row.and_then(|row| row.not_before),
            name,
        }
    }

    /// A directory that is due.
    fn next_look(&mut self, now: Now) -> Option<(usize, Job)> {
        let in_order = |engine: &mut Self| {
            (0..engine.roots.len()).find_map(|root| engine.next_look_in(root, now).map(|job| (root, job)))
        };
        self.next_look_apart(now).or_else(|| in_order(self)).or_else(|| self.next_look_apart(now))
    }

    fn next_look_in(&mut self, root: usize, now: Now) -> Option<Job> {
        loop {
            let passes = self.passes.len();
            let entry = self.roots.get_mut(root).filter(|root| root.tree.is_some() && passes < MAX_PASSES)?;
            if !entry.has_room() {
                return None;
            }
            if self.goes_in_rounds(root) {
                return self.next_round(root, now);
            }
            let entry = self.roots.get_mut(root)?;
            let Due { dir, .. } = entry.agenda.take_due(now.steady)?;
            let Some(effort) = self.effort(dir, now) else {
                self.look_failed(dir, now.steady);
                continue;
            };
            let path = self.table.path(dir);
            let entry = self.roots.get_mut(root)?;
            let tree = entry.enter()?;
            self.looks.insert(dir, LookUnderWay { began: now, server_time: entry.server_time, waits: false });
            return Some(Job::Look { tree, dir, path, effort });
        }
    }

    /// Ends a call on something below a root.
    pub(super) fn returned(&mut self, root: usize, now: Now) {
        self.leave(root, now);
        if let Some(root) = self.roots.get_mut(root) {
            root.stuck.returned(root.in_flight, now.steady);
        }
    }

    /// Ends a call on a root that its server answered.
    pub(super) fn leave(&mut self, root: usize, now: Now) {
        if let Some(root) = self.roots.get_mut(root) {
            root.in_flight = root.in_flight.saturating_sub(1);
            // A one-shot run waits for each call, an agent goes on with others.
            root.silence.answered(self.settings.once && root.in_flight > 0, now.steady);
        }
    }

    /// Makes a directory due at `at`, unless it is due earlier already.
    pub(super) fn due_at_latest(&mut self, dir: DirId, at: Timestamp) {
        if let Some(root) = self.table.get(dir).and_then(|directory| self.roots.get_mut(directory.root)) {
            root.agenda.request(dir, at);
        }
    }

    /// Notes that a look at `dir` taught nothing; the next one comes within the bound.
    pub(super) fn look_failed(&mut self, dir: DirId, began: Timestamp) {
        if let Some(root) = self.root_mut(dir) {
            root.agenda.failed(dir, began);
        }
    }

    /// The root of a directory.
    pub(super) fn root_mut(&mut self, dir: DirId) -> Option<&mut Root> {
        self.table.get(dir).and_then(|directory| self.roots.get_mut(directory.root))
    }

    /// How long something waits that could not be done now for want of room.
    pub(super) fn retry_pause(&self) -> Duration {
        (self.settings.interval / 20).clamp(Duration::from_millis(1), Duration::from_millis(50))
    }

    /// Marks that a decision about `dir` is pending.
    pub(super) fn touch(&mut self, dir: DirId, now: Now) -> &mut Transaction {
        self.pending.touch(dir, now)
    }
}

/// What is known of a waiting file's content.
pub(super) fn proof_of(reason: &WaitReason) -> Proof {
    match reason {
        WaitReason::Settling => Proof::Unread,
        WaitReason::Broken { .. } => Proof::Broken,
        WaitReason::Unreadable { .. } => Proof::Unreadable,
    }
}
