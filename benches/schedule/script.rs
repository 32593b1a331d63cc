//! What happens on the simulated server, written down before any policy looks: the same for all of them.
//!
//! A script says when files come and go and when directories are made and removed. It also says what only the oracles
//! may know: the mean rates, and where they are defined the intensities at each moment.

use crate::dice::Dice;

/// A directory of the script, by its place in [`Script::directories`].
pub(crate) type Dir = u32;

/// Names that one READDIR brings: a directory of a million names takes 700.
const NAMES_A_READDIR: u32 = 1_430;

/// RPCs that list a directory of `names` names, one at least.
pub(crate) fn readdirs(names: u32) -> u32 {
    names.div_ceil(NAMES_A_READDIR).max(1)
}

/// Where and when a policy is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Mean RPCs a second that each policy may spend.
    pub(crate) budget: f64,
    /// No directory may go longer unlooked-at, in seconds.
    pub(crate) promise: f64,
    /// Files that come before this time are not counted, in seconds.
    pub(crate) warm_up: f64,
    /// Nor files that come after it, in seconds.
    pub(crate) end: f64,
}

/// What happens in a workload, in the order of time.
pub(crate) struct Script {
    /// All directories that ever exist.
    pub(crate) directories: Vec<Beginning>,
    /// What happens, by time.
    pub(crate) events: Vec<Event>,
    /// What the policy that knows the intensities is told, by time.
    pub(crate) news: Vec<News>,
    /// What the stationary oracle knows; `None` where directories come and go.
    pub(crate) means: Option<Vec<Mean>>,
    /// Whether `news` tells the intensities of all.
    pub(crate) has_intensities: bool,
    /// The families that a mix is made of, each with its first directory.
    pub(crate) parts: Vec<(&'static str, Dir)>,
    /// Budget, bound and length.
    pub(crate) frame: Frame,
}

impl Script {
    /// The part of a mix that a directory belongs to; all of a workload that is no mix is one part.
    pub(crate) fn part(&self, dir: Dir) -> usize {
        self.parts.partition_point(|(_, first)| *first <= dir).saturating_sub(1)
    }
}

/// How a directory begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    /// The directory that it is listed in; the root has none.
    pub(crate) parent: Option<Dir>,
    /// Whether it is there from the start; others are made by an event.
    pub(crate) initial: bool,
    /// Names in it: what a listing costs.
    pub(crate) names: u32,
    /// When it changed last before the start (a time below 0), as its mtime tells.
    pub(crate) changed: Option<f64>,
}

/// Something that changes a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// Seconds from the start.
    pub(crate) at: f64,
    /// The directory that changes, is made or is removed.
    pub(crate) dir: Dir,
    /// What happens.
    pub(crate) kind: Kind,
}

/// What an event does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// So many files come.
    Files(u32),
    /// Known files are taken away.
    Gone,
    /// The directory comes into being.
    Make,
    /// The directory is removed.
    Unmake,
}

/// What the policy that knows the intensities is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    /// Seconds from the start; not above 0 for what holds at the start.
    pub(crate) at: f64,
    /// The directory.
    pub(crate) dir: Dir,
    /// Files a second from now on; `None`: the directory was made.
    pub(crate) rate: Option<f64>,
}

/// What the stationary oracle knows of a directory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    /// Files a second.
    pub(crate) files: f64,
    /// Changes a second, each of which makes the next look list the directory.
    pub(crate) changes: f64,
    /// RPCs of a listing.
    pub(crate) listing: f64,
}

/// Writes a script.
pub(crate) struct Writer {
    /// The numbers of this script.
    pub(crate) dice: Dice,
    frame: Frame,
    directories: Vec<Beginning>,
    events: Vec<Event>,
    news: Vec<News>,
    means: Vec<Mean>,
    parts: Vec<(&'static str, Dir)>,
    stationary: bool,
    has_intensities: bool,
}

impl Writer {
    /// An empty tree: a root without files.
    pub(crate) fn new(dice: Dice, frame: Frame) -> Self {
        let mut writer = Self {
            dice,
            frame,
            directories: Vec::new(),
            events: Vec::new(),
            news: Vec::new(),
            means: Vec::new(),
            parts: Vec::new(),
            stationary: true,
            has_intensities: true,
        };
        writer.add(None, true);
        writer
    }

    /// The root of the tree.
    pub(crate) const ROOT: Dir = 0;

    /// When the script ends, in seconds: late enough for the last counted file to be found.
    pub(crate) fn end(&self) -> f64 {
        self.frame.end + self.frame.promise
    }

    /// A directory in `parent` that is there from the start.
    pub(crate) fn directory(&mut self, parent: Dir) -> Dir {
        self.add(Some(parent), true)
    }

    /// So many directories in the root.
    pub(crate) fn leaves(&mut self, count: usize) -> Vec<Dir> {
        (0..count).map(|_| self.directory(Self::ROOT)).collect()
    }

    /// A directory in `parent` that is made at `at`: from the start on if that is before it.
    pub(crate) fn made(&mut self, at: f64, parent: Dir) -> Dir {
        let dir = self.add(Some(parent), at <= 0.0);
        if at <= 0.0 {
            self.touched(at, dir);
            self.touched(at, parent);
        } else {
            self.push(at, dir, Kind::Make);
            self.news.push(News { at, dir, rate: None });
        }
        dir
    }

    /// The directory is removed; not before the start.
    pub(crate) fn removed(&mut self, at: f64, dir: Dir) {
        self.push(at, dir, Kind::Unmake);
    }

    /// So many files come; before the start only the directory's mtime tells of them.
    pub(crate) fn files(&mut self, at: f64, dir: Dir, count: u32) {
        if at <= 0.0 {
            self.touched(at, dir);
        } else {
            self.push(at, dir, Kind::Files(count));
        }
    }

    /// Known files are taken away: a change without news.
    pub(crate) fn gone(&mut self, at: f64, dir: Dir) {
        if at <= 0.0 {
            self.touched(at, dir);
        } else {
            self.push(at, dir, Kind::Gone);
        }
    }

    /// Single files come at a constant rate in `from..to`.
    pub(crate) fn stream(&mut self, dir: Dir, rate: f64, from: f64, to: f64) {
        let mut at = from + self.dice.wait(rate);
        while at < to {
            self.files(at, dir, 1);
            at += self.dice.wait(rate);
        }
    }

    /// A directory with the same intensity for all time; its mtime is that of its last file before the start.
    pub(crate) fn steady(&mut self, dir: Dir, rate: f64) {
        let before = -self.dice.wait(rate);
        self.touched(before, dir);
        self.stream(dir, rate, 0.0, self.end());
        self.intensity(0.0, dir, rate);
        self.mean(dir, rate, rate);
    }

    /// Tells the intensity from `at` on, in files a second.
    pub(crate) fn intensity(&mut self, at: f64, dir: Dir, rate: f64) {
        self.news.push(News { at, dir, rate: Some(rate) });
    }

    /// Tells the mean rates of files and of changes, per second.
    pub(crate) fn mean(&mut self, dir: Dir, files: f64, changes: f64) {
        let listing = f64::from(readdirs(self.directories[dir as usize].names));
        self.means[dir as usize] = Mean { files, changes, listing };
    }

    /// How many names are in the directory.
    pub(crate) fn names(&mut self, dir: Dir, names: u32) {
        self.directories[dir as usize].names = names;
    }

    /// What is added from now on is part `name` of a mix.
    pub(crate) fn part(&mut self, name: &'static str) {
        self.parts.push((name, self.directories.len() as Dir));
    }

    /// The directories come and go, so that mean rates say nothing.
    pub(crate) fn not_stationary(&mut self) {
        self.stationary = false;
    }

    /// What comes is no Poisson process, so that it has no intensity that could be known.
    pub(crate) fn no_intensities(&mut self) {
        self.has_intensities = false;
    }

    /// Intensities are told for most, and the mean rates of the rest stand for theirs.
    pub(crate) fn intensities_all_the_same(&mut self) {
        self.has_intensities = true;
    }

    /// The stamps of the start tell nothing.
    pub(crate) fn forget_history(&mut self) {
        for directory in &mut self.directories {
            directory.changed = None;
        }
    }

    /// How many directories are there from the start.
    pub(crate) fn initial(&self) -> usize {
        self.directories.iter().filter(|directory| directory.initial).count()
    }

    /// The finished script, in the order of time.
    pub(crate) fn finish(mut self) -> Script {
        self.events.sort_by(|one, other| one.at.total_cmp(&other.at));
        self.news.sort_by(|one, other| one.at.total_cmp(&other.at));
        Script {
            directories: self.directories,
            events: self.events,
            news: self.news,
            means: self.stationary.then_some(self.means),
            has_intensities: self.has_intensities,
            parts: self.parts,
            frame: self.frame,
        }
    }

    fn add(&mut self, parent: Option<Dir>, initial: bool) -> Dir {
        let dir = self.directories.len() as Dir;
        self.directories.push(Beginning { parent, initial, names: 0, changed: None });
        self.means.push(Mean { listing: 1.0, ..Mean::default() });
        dir
    }

    fn push(&mut self, at: f64, dir: Dir, kind: Kind) {
        if at < self.end() {
            self.events.push(Event { at, dir, kind });
        }
    }

    fn touched(&mut self, at: f64, dir: Dir) {
        let changed = &mut self.directories[dir as usize].changed;
        *changed = Some(changed.map_or(at, |earlier| earlier.max(at)));
    }
}
