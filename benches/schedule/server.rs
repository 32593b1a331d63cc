//! The simulated server: plays a script, and answers looks.
//!
//! Directories keep their size, as if what is old were taken away with what is new: otherwise the liveliest ones would
//! be the dearest after a day, and each figure would depend on how long one watches.

use std::collections::HashMap;

use crate::script::{Dir, Event, Kind, Script, readdirs};

/// What one look at a directory found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Files that nobody had seen.
    pub(crate) arrivals: u32,
    /// Whether it differs from the last look, or is the first.
    pub(crate) changed: bool,
    /// How long ago the stamp says that it changed, in seconds.
    pub(crate) changed_ago: Option<f64>,
    /// The look itself, the listing and a LOOKUP for each new name.
    pub(crate) rpcs: u32,
    /// Directories in it that nobody knew.
    pub(crate) found: Vec<Dir>,
    /// Known directories in it that are no more.
    pub(crate) gone: Vec<Dir>,
    /// The directory itself is no more.
    pub(crate) vanished: bool,
}

/// The directories as they are now.
pub(crate) struct Server<'a> {
    script: &'a Script,
    directories: Vec<Directory>,
    /// Sub-directories made and removed since the last look.
    kin: HashMap<Dir, Kin>,
    /// The next event of the script.
    next: usize,
    /// For each event that brought files nobody has seen: the one before it in the same directory.
    unseen: Vec<u32>,
}

const NONE: u32 = u32::MAX;

struct Directory {
    exists: bool,
    changed: bool,
    /// The last event that brought files which nobody has seen.
    unseen: u32,
    /// When it changed last, in seconds.
    stamp: Option<f64>,
}

#[derive(Default)]
struct Kin {
    made: Vec<Dir>,
    removed: Vec<Dir>,
}

impl<'a> Server<'a> {
    /// The server at the start of the script.
    pub(crate) fn new(script: &'a Script) -> Self {
        let directory = |beginning: &crate::script::Beginning| Directory {
            exists: beginning.initial,
            changed: true,
            unseen: NONE,
            stamp: beginning.changed,
        };
        Self {
            script,
            directories: script.directories.iter().map(directory).collect(),
            kin: HashMap::new(),
            next: 0,
            unseen: vec![NONE; script.events.len()],
        }
    }

    /// Lets everything happen up to `now`.
    pub(crate) fn play(&mut self, now: f64) {
        let script = self.script;
        while let Some(event) = script.events.get(self.next).filter(|event| event.at <= now) {
            self.happen(event);
            self.next += 1;
        }
    }

    /// Looks at a directory as it is at `now`; `seen(arrival time, files)` is told what is found.
    pub(crate) fn look(&mut self, dir: Dir, now: f64, mut seen: impl FnMut(f64, u32)) -> Look {
        self.play(now);
        let directory = &mut self.directories[dir as usize];
        if !directory.exists {
            return Look { rpcs: 1, vanished: true, ..Look::default() };
        }
        let changed_ago = directory.stamp.map(|stamp| now - stamp);
        if !directory.changed {
            return Look { rpcs: 1, changed_ago, ..Look::default() };
        }
        directory.changed = false;
        let mut arrivals = 0;
        let mut at = std::mem::replace(&mut directory.unseen, NONE);
        while at != NONE {
            let event = &self.script.events[at as usize];
            if let Kind::Files(count) = event.kind {
                arrivals += count;
                seen(event.at, count);
            }
            at = self.unseen[at as usize];
        }
        let kin = self.kin.remove(&dir).unwrap_or_default();
        Look {
            arrivals,
            changed: true,
            changed_ago,
            rpcs: 1
                + readdirs(self.script.directories[dir as usize].names)
                + arrivals
                + kin.made.len() as u32,
            found: kin.made,
            gone: kin.removed,
            vanished: false,
        }
    }

    /// Files that came in `from..to` and that nobody has seen, in directories that still exist.
    pub(crate) fn unseen(&self, from: f64, to: f64) -> u64 {
        let mut sum = 0;
        for directory in self.directories.iter().filter(|directory| directory.exists) {
            let mut at = directory.unseen;
            while at != NONE {
                let event = &self.script.events[at as usize];
                if let (Kind::Files(count), true) = (event.kind, (from..to).contains(&event.at)) {
                    sum += u64::from(count);
                }
                at = self.unseen[at as usize];
            }
        }
        sum
    }

    fn happen(&mut self, event: &Event) {
        let directory = &mut self.directories[event.dir as usize];
        directory.changed = true;
        directory.stamp = Some(event.at);
        match event.kind {
            Kind::Files(_) => {
                self.unseen[self.next] = std::mem::replace(&mut directory.unseen, self.next as u32);
            }
            Kind::Gone => {}
            Kind::Make => {
                directory.exists = true;
                self.enter(event, |kin, dir| kin.made.push(dir));
            }
            Kind::Unmake => {
                directory.exists = false;
                self.enter(event, |kin, dir| {
                    let unknown = kin.made.len();
                    kin.made.retain(|made| *made != dir);
                    if kin.made.len() == unknown {
                        kin.removed.push(dir);
                    }
                });
            }
        }
    }

    /// Notes a change of the directory that `event.dir` is listed in.
    fn enter(&mut self, event: &Event, note: impl FnOnce(&mut Kin, Dir)) {
        let Some(parent) = self.script.directories[event.dir as usize].parent else { return };
        let directory = &mut self.directories[parent as usize];
        directory.changed = true;
        directory.stamp = Some(event.at);
        note(self.kin.entry(parent).or_default(), event.dir);
    }
}
