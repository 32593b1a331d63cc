//! The discrete-event simulation: a virtual clock, RPCs that take their time, looks in flight at the same time.
//!
//! A look shows the directory as it is when the look begins and is known one RPC's time later. Listings and LOOKUPs
//! are paid from the budget but take no time of their own: on a real mount they are spread over the workers.

use std::collections::{HashMap, VecDeque};

use crate::policies::Policy;
use crate::score::{Score, Tally};
use crate::script::{Dir, News, Script};
use crate::server::{Look, Server};

/// What one RPC takes, in seconds.
pub(crate) const ROUND_TRIP: f64 = 0.001;
/// Looks that may be under way at the same time.
const IN_FLIGHT: usize = 64;
/// How long to wait when a policy says that something is due and then gives nothing, in seconds.
const PAUSE: f64 = 0.001;

struct Engine<'a, P> {
    script: &'a Script,
    server: Server<'a>,
    policy: P,
    tally: Tally,
    directories: Vec<Kept>,
    /// Looks under way, by their begin.
    flying: VecDeque<(f64, Dir, Look)>,
    /// The first piece of news that the policy was not told.
    told: usize,
    children: HashMap<Dir, Vec<Dir>>,
}

/// What the simulated agent keeps of a directory.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    known: bool,
    flying: bool,
    /// When it was looked at last, or found, in seconds; `None` until the first look in a cold walk, which is as long
    /// as the budget makes it.
    looked: Option<f64>,
}

/// Runs the script against the policy.
pub(crate) fn run<P: Policy>(script: &Script, policy: P, clairvoyant: bool) -> Score {
    let mut children: HashMap<Dir, Vec<Dir>> = HashMap::new();
    for (dir, directory) in script.directories.iter().enumerate() {
        if let Some(parent) = directory.parent {
            children.entry(parent).or_default().push(dir as Dir);
        }
    }
    let mut engine = Engine {
        script,
        server: Server::new(script),
        policy,
        tally: Tally::new(&script.frame, script.parts.len()),
        directories: vec![Kept::default(); script.directories.len()],
        flying: VecDeque::new(),
        told: if clairvoyant { 0 } else { script.news.len() },
        children,
    };
    engine.begin();
    engine.run();
    engine.finish()
}

impl<P: Policy> Engine<'_, P> {
    fn begin(&mut self) {
        self.tell(0.0);
        for dir in 0..self.directories.len() {
            if self.script.directories[dir].initial {
                self.insert(dir as Dir, 0.0);
            }
        }
    }

    fn run(&mut self) {
        let end = self.script.frame.end + self.script.frame.promise;
        let mut now = 0.0;
        while now < end {
            self.tell(now);
            while self.flying.front().is_some_and(|flying| flying.0 + ROUND_TRIP <= now) {
                let (began, dir, look) = self.flying.pop_front().expect("it was there a line above");
                self.land(dir, began, now, &look);
            }
            while self.flying.len() < IN_FLIGHT
                && let Some(dir) = self.policy.take(now)
            {
                self.fly(dir, now);
            }
            let landing = self.flying.front().map_or(f64::INFINITY, |flying| flying.0 + ROUND_TRIP);
            let mut due = if self.flying.len() < IN_FLIGHT { self.policy.next() } else { f64::INFINITY };
            if due <= now {
                self.tally.empty_promise();
                due = now + PAUSE;
            }
            let news = self.script.news.get(self.told).map_or(f64::INFINITY, |news| news.at);
            now = landing.min(due).min(news).max(now);
        }
    }

    /// The policy is told what has happened up to `now`; a made directory as a change of its parent.
    fn tell(&mut self, now: f64) {
        while let Some(&news) = self.script.news.get(self.told).filter(|news| news.at <= now) {
            self.told += 1;
            match (news.rate, self.script.directories[news.dir as usize].parent) {
                (None, Some(parent)) => self.policy.tell(&News { dir: parent, ..news }),
                _ => self.policy.tell(&news),
            }
        }
    }

    fn fly(&mut self, dir: Dir, now: f64) {
        let known = &mut self.directories[dir as usize];
        if let Some(looked) = known.looked.replace(now) {
            self.tally.gap(now - looked);
        }
        known.flying = true;
        let (tally, part) = (&mut self.tally, self.script.part(dir));
        let look = self.server.look(dir, now, |at, files| tally.found(part, at, now + ROUND_TRIP, files));
        self.tally.paid(part, now, look.rpcs);
        self.flying.push_back((now, dir, look));
    }

    fn land(&mut self, dir: Dir, began: f64, now: f64, look: &Look) {
        if !std::mem::take(&mut self.directories[dir as usize].flying) {
            return;
        }
        if look.vanished {
            self.remove(dir);
            return;
        }
        self.policy.looked(dir, began, look);
        for &found in &look.found {
            self.insert(found, now);
        }
        for &gone in &look.gone {
            self.remove(gone);
        }
    }

    fn insert(&mut self, dir: Dir, now: f64) {
        let looked = (now > 0.0).then_some(now);
        self.directories[dir as usize] = Kept { known: true, flying: false, looked };
        self.policy.insert(dir, self.script.directories[dir as usize].parent, now);
    }

    /// Forgets a directory and all below it.
    fn remove(&mut self, dir: Dir) {
        if std::mem::take(&mut self.directories[dir as usize].known) {
            self.directories[dir as usize].flying = false;
            self.policy.remove(dir);
        }
        for below in self.children.remove(&dir).unwrap_or_default() {
            self.remove(below);
        }
    }

    fn finish(mut self) -> Score {
        let frame = &self.script.frame;
        let end = frame.end + frame.promise;
        for known in self.directories.iter().filter(|known| known.known) {
            self.tally.gap(end - known.looked.unwrap_or(0.0));
        }
        let unseen = self.server.unseen(frame.warm_up, frame.end);
        self.tally.finish(unseen)
    }
}
