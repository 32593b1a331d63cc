//! The simulated server and its clients' cache: directories, files, stamps that tick, numbers used again; and beside it
//! the facts that the checks compare with: what lay where when.
//!
//! Nothing of the crate decides anything here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::contents::{content, is_archive};
use super::history::{Config, Make, Write};

/// A point in simulated time, in nanoseconds.
pub(super) type Time = u64;

/// The number of an inode that is never used again.
pub(super) type Key = u64;

pub(super) const SECOND: Time = 1_000_000_000;
pub(super) const MILLISECOND: Time = 1_000_000;

/// What the server's clock says at the beginning, in nanoseconds.
const SERVER_EPOCH: u64 = 1_700_000_000 * SECOND;

/// The top directory.
pub(super) const TOP: Key = 0;
/// A directory outside of what is watched, on the same file system.
pub(super) const OUTSIDE: Key = 1;
/// The top of another file system.
pub(super) const OTHER_TOP: Key = 2;

/// A file or directory of the server.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    /// What clients see as its number.
    pub(super) number: u64,
    pub(super) body: Body,
    pub(super) mtime: u64,
    pub(super) ctime: u64,
    /// Rises with every change.
    pub(super) version: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Directory(BTreeMap<Vec<u8>, Key>),
    File(File),
}

/// What is in a file: the first `length` bytes of a content.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) content: usize,
    pub(super) archive: bool,
    pub(super) length: usize,
    /// What it will have grown to.
    pub(super) end: usize,
    pub(super) item: usize,
}

impl File {
    pub(super) fn bytes(&self) -> &'static [u8] {
        &content(self.content, self.archive).bytes[..self.length]
    }
}

/// The fate of a file, for the checks.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) archive: bool,
    pub(super) end: usize,
    /// When it was written to its end.
    pub(super) complete: Option<Time>,
    /// Where it ever was, and is or was last.
    pub(super) paths: BTreeSet<String>,
    path: String,
    /// How often it came to another path.
    pub(super) moves: usize,
    pub(super) touches: usize,
    /// How often it came back from outside.
    pub(super) returns: usize,
    pub(super) removed: bool,
}

/// What lies at the mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounted {
    Right,
    /// The bare mount point, an empty local directory.
    Bare,
    /// Not even that.
    Nothing,
    /// Another export.
    Other,
}

/// The server, the mount and the facts.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Time,
    clock_offset: i64,
    tick: u64,
    reuse_numbers: bool,
    pub(super) inodes: HashMap<Key, Inode>,
    next_key: Key,
    next_number: u64,
    /// Numbers that may be used again, each with the names that it had.
    free_numbers: Vec<(u64, BTreeSet<Vec<u8>>)>,
    names_of: HashMap<u64, BTreeSet<Vec<u8>>>,
    /// The names that a number had before it was given again. It does not get them anew: a file of the same name and
    /// number is taken for the one that was seen, as one rewritten in place would be.
    earlier_names: HashMap<u64, BTreeSet<Vec<u8>>>,
    growing: BTreeMap<(Time, Key), (Time, usize)>,
    pub(super) mounted: Mounted,
    pub(super) mount_id: u64,
    pub(super) items: Vec<Item>,
    present: BTreeSet<String>,
    /// When a path was absent last, of those that are there now.
    absent_until: HashMap<String, Time>,
    /// How often a directory got another path.
    pub(super) moved_dirs: usize,
    /// Every content that any file ever had: of which item, whether an archive, how long.
    pub(super) contents: BTreeSet<(usize, bool, usize)>,
}

impl World {
    pub(super) fn new(config: &Config) -> Self {
        let mut world = Self {
            now: 0,
            clock_offset: 0,
            tick: config.tick,
            reuse_numbers: config.reuse_numbers,
            inodes: HashMap::new(),
            next_key: 0,
            next_number: 100,
            free_numbers: Vec::new(),
            names_of: HashMap::new(),
            earlier_names: HashMap::new(),
            growing: BTreeMap::new(),
            mounted: Mounted::Right,
            mount_id: 1,
            items: Vec::new(),
            present: BTreeSet::new(),
            absent_until: HashMap::new(),
            moved_dirs: 0,
            contents: BTreeSet::new(),
        };
        for _ in [TOP, OUTSIDE, OTHER_TOP] {
            world.new_inode(b"", Body::Directory(BTreeMap::new()));
        }
        // The other file system is not empty.
        let file = File { content: 0, archive: true, length: 10, end: 10, item: usize::MAX };
        let key = world.new_inode(b"other.tgz", Body::File(file));
        world.link(OTHER_TOP, b"other.tgz", key);
        world
    }

    /// What the server's clock says, in its ticks.
    pub(super) fn server_now(&self) -> u64 {
        let time = (SERVER_EPOCH + self.now).saturating_add_signed(self.clock_offset);
        time - time % self.tick
    }

    pub(super) fn step_clock(&mut self, by: i64) {
        self.clock_offset += by;
    }

    /// Lets time pass; files grow meanwhile.
    pub(super) fn advance(&mut self, to: Time) {
        while let Some((&(at, key), &(gap, step))) = self.growing.first_key_value() {
            if at > to {
                break;
            }
            self.growing.pop_first();
            self.now = self.now.max(at);
            if self.grow(key, step) {
                self.growing.insert((at + gap, key), (gap, step));
            }
        }
        self.now = self.now.max(to);
    }

    pub(super) fn next_growth(&self) -> Option<Time> {
        self.growing.first_key_value().map(|((at, _), _)| *at)
    }

    fn grow(&mut self, key: Key, step: usize) -> bool {
        let (now, server) = (self.now, self.server_now());
        let Some(inode) = self.inodes.get_mut(&key) else { return false };
        let Body::File(file) = &mut inode.body else { return false };
        file.length = (file.length + step).min(file.end);
        (inode.mtime, inode.ctime) = (server, server);
        inode.version += 1;
        let (done, item) = (file.length == file.end, file.item);
        self.contents.insert((file.content, file.archive, file.length));
        if done {
            self.items[item].complete = Some(now);
        }
        self.note_paths();
        !done
    }

    /// Writes the next piece of a growing file now, and those after it as much earlier.
    fn grow_now(&mut self, file: u8) {
        let mut all: Vec<(Time, Key)> = self.growing.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let (at, key) = all.swap_remove(usize::from(file) % all.len());
        let Some((gap, step)) = self.growing.remove(&(at, key)) else { return };
        if self.grow(key, step) {
            self.growing.insert((self.now + gap, key), (gap, step));
        }
    }

    fn new_inode(&mut self, name: &[u8], body: Body) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        let usable = |(_, names): &(u64, BTreeSet<Vec<u8>>)| !names.contains(name);
        let reused = if self.reuse_numbers { self.free_numbers.iter().position(usable) } else { None };
        let number = if let Some(at) = reused {
            let (number, names) = self.free_numbers.remove(at);
            self.earlier_names.insert(number, names.clone());
            self.names_of.insert(number, names);
            number
        } else {
            self.next_number += 1;
            self.next_number
        };
        let now = self.server_now();
        self.inodes.insert(key, Inode { number, body, mtime: now, ctime: now, version: 0 });
        key
    }

    pub(super) fn entries(&self, dir: Key) -> Option<&BTreeMap<Vec<u8>, Key>> {
        match &self.inodes.get(&dir)?.body {
            Body::Directory(entries) => Some(entries),
            Body::File(_) => None,
        }
    }

    fn change_entries(&mut self, dir: Key, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Key>)) {
        let now = self.server_now();
        let Some(inode) = self.inodes.get_mut(&dir) else { return };
        let Body::Directory(entries) = &mut inode.body else { return };
        change(entries);
        (inode.mtime, inode.ctime) = (now, now);
        inode.version += 1;
    }

    /// Gives `key` a name; what had it before is removed.
    fn link(&mut self, dir: Key, name: &[u8], key: Key) {
        let old = self.entries(dir).and_then(|entries| entries.get(name)).copied();
        if let Some(number) = self.inodes.get(&key).map(|inode| inode.number) {
            self.names_of.entry(number).or_default().insert(name.to_vec());
        }
        self.change_entries(dir, |entries| {
            entries.insert(name.to_vec(), key);
        });
        if let Some(old) = old.filter(|old| *old != key) {
            self.destroy(old);
        }
    }

    fn unlink(&mut self, dir: Key, name: &[u8]) -> Option<Key> {
        let key = self.entries(dir)?.get(name).copied()?;
        self.change_entries(dir, |entries| {
            entries.remove(name);
        });
        Some(key)
    }

    fn destroy(&mut self, key: Key) {
        let Some(inode) = self.inodes.remove(&key) else { return };
        let names = self.names_of.remove(&inode.number).unwrap_or_default();
        self.free_numbers.push((inode.number, names));
        match inode.body {
            Body::Directory(entries) => entries.into_values().for_each(|child| self.destroy(child)),
            Body::File(file) => self.items[file.item].removed = true,
        }
    }

    /// Every directory that is watched, the top first.
    pub(super) fn directories(&self) -> Vec<Key> {
        let mut found = vec![TOP];
        let mut next = 0;
        while let Some(dir) = found.get(next).copied() {
            let children = self.entries(dir).into_iter().flatten().map(|(_, key)| *key);
            found.extend(children.filter(|key| self.entries(*key).is_some()));
            next += 1;
        }
        found
    }

    /// Every file that is watched: its directory, name and key.
    pub(super) fn files(&self) -> Vec<(Key, Vec<u8>, Key)> {
        let mut found = Vec::new();
        for dir in self.directories() {
            for (name, key) in self.entries(dir).into_iter().flatten() {
                if matches!(self.inodes[key].body, Body::File(_)) {
                    found.push((dir, name.clone(), *key));
                }
            }
        }
        found
    }

    pub(super) fn pick_dir(&self, choice: u8) -> Key {
        let all = self.directories();
        all[usize::from(choice) % all.len()]
    }

    fn pick_file(&self, choice: u8) -> Option<(Key, Vec<u8>, Key)> {
        let mut all = self.files();
        (!all.is_empty()).then(|| all.swap_remove(usize::from(choice) % all.len()))
    }

    fn parent_of(&self, dir: Key) -> Option<(Key, Vec<u8>)> {
        self.directories().into_iter().find_map(|parent| {
            let entry = self.entries(parent)?.iter().find(|(_, key)| **key == dir)?;
            Some((parent, entry.0.clone()))
        })
    }

    /// Whether `dir` is `other` or below it.
    fn is_below(&self, dir: Key, other: Key) -> bool {
        dir == other || self.parent_of(dir).is_some_and(|(parent, _)| self.is_below(parent, other))
    }

    /// Makes a file: written in place, or elsewhere and renamed into place.
    pub(super) fn make(&mut self, dir: u8, name: &str, make: Make) {
        let dir = self.pick_dir(dir);
        let name = name.as_bytes();
        if self
            .entries(dir)
            .and_then(|entries| entries.get(name))
            .is_some_and(|key| self.entries(*key).is_some())
        {
            return;
        }
        let archive = is_archive(name);
        let item = self.items.len();
        let whole = content(item, archive).bytes.len();
        let end = if make.broken { whole * 2 / 3 } else { whole };
        let (length, growth) = match make.write {
            Write::Whole => (end, None),
            Write::Grow { gap, pieces } => (0, Some((gap, end.div_ceil(usize::from(pieces).max(1))))),
        };
        let file = File { content: item, archive, length, end, item };
        self.contents.insert((item, archive, length));
        let key = self.new_inode(name, Body::File(file));
        let complete = growth.is_none().then_some(self.now);
        self.items.push(Item {
            key,
            archive,
            end,
            complete,
            paths: BTreeSet::new(),
            path: String::new(),
            moves: 0,
            touches: 0,
            returns: 0,
            removed: false,
        });
        self.link(dir, name, key);
        if let Some((gap, step)) = growth {
            self.growing.insert((self.now + gap, key), (gap, step));
        }
        self.note_paths();
    }

    pub(super) fn remove(&mut self, file: u8) {
        let Some((dir, name, _)) = self.pick_file(file) else { return };
        if let Some(key) = self.unlink(dir, &name) {
            self.destroy(key);
        }
        self.note_paths();
    }

    pub(super) fn touch(&mut self, file: u8) {
        let Some((_, _, key)) = self.pick_file(file) else { return };
        let now = self.server_now();
        let Some(inode) = self.inodes.get_mut(&key) else { return };
        (inode.mtime, inode.ctime) = (now, now);
        inode.version += 1;
        if let Body::File(file) = &inode.body {
            let item = file.item;
            self.items[item].touches += 1;
        }
    }

    /// Renames a file; another one of that name is replaced.
    pub(super) fn rename(&mut self, file: u8, dir: u8, name: &str) {
        let Some((from, old, key)) = self.pick_file(file) else { return };
        let to = self.pick_dir(dir);
        // What is an archive stays one: another suffix would mean another way of reading it.
        let suffix = if is_archive(&old) { ".tgz" } else { ".dat" };
        let name = format!("{}{suffix}", name.split('.').next().unwrap_or_default()).into_bytes();
        let there = self.entries(to).and_then(|entries| entries.get(&name)).copied();
        let number = self.inodes.get(&key).map_or(0, |inode| inode.number);
        let had_it = self.earlier_names.get(&number).is_some_and(|names| names.contains(&name));
        if had_it || there.is_some_and(|there| self.entries(there).is_some() || there == key) {
            return;
        }
        self.unlink(from, &old);
        self.link(to, &name, key);
        self.set_ctime(key);
        self.note_paths();
    }

    fn set_ctime(&mut self, key: Key) {
        let now = self.server_now();
        if let Some(inode) = self.inodes.get_mut(&key) {
            inode.ctime = now;
            inode.version += 1;
        }
    }

    pub(super) fn make_dir(&mut self, dir: u8, name: &str) {
        let dir = self.pick_dir(dir);
        if self.entries(dir).is_some_and(|entries| entries.contains_key(name.as_bytes())) {
            return;
        }
        let key = self.new_inode(name.as_bytes(), Body::Directory(BTreeMap::new()));
        self.link(dir, name.as_bytes(), key);
        self.note_paths();
    }

    pub(super) fn remove_dir(&mut self, dir: u8) {
        let dir = self.pick_dir(dir);
        let Some((parent, name)) = self.parent_of(dir) else { return };
        if let Some(key) = self.unlink(parent, &name) {
            self.destroy(key);
        }
        self.note_paths();
    }

    /// Renames a directory into another one.
    pub(super) fn rename_dir(&mut self, dir: u8, into: u8, name: &str) {
        let (dir, into) = (self.pick_dir(dir), self.pick_dir(into));
        let Some((parent, old)) = self.parent_of(dir) else { return };
        let taken = self.entries(into).is_some_and(|entries| entries.contains_key(name.as_bytes()));
        if taken || self.is_below(into, dir) {
            return;
        }
        self.moved_dirs += 1;
        self.unlink(parent, &old);
        self.link(into, name.as_bytes(), dir);
        self.set_ctime(dir);
        self.note_paths();
    }

    /// Exchanges two directories, as `RENAME_EXCHANGE` does.
    pub(super) fn exchange_dirs(&mut self, one: u8, other: u8) {
        let (one, other) = (self.pick_dir(one), self.pick_dir(other));
        if self.is_below(one, other) || self.is_below(other, one) {
            return;
        }
        let (Some((left, left_name)), Some((right, right_name))) =
            (self.parent_of(one), self.parent_of(other))
        else {
            return;
        };
        self.moved_dirs += 1;
        self.unlink(left, &left_name);
        self.unlink(right, &right_name);
        self.link(left, &left_name, other);
        self.link(right, &right_name, one);
        self.set_ctime(one);
        self.set_ctime(other);
        self.note_paths();
    }

    /// Takes a directory out of what is watched.
    pub(super) fn move_out(&mut self, dir: u8) {
        let dir = self.pick_dir(dir);
        let Some((parent, name)) = self.parent_of(dir) else { return };
        self.moved_dirs += 1;
        self.unlink(parent, &name);
        let parked = format!("{}-{}", String::from_utf8_lossy(&name), self.next_key).into_bytes();
        self.next_key += 1;
        self.link(OUTSIDE, &parked, dir);
        self.set_ctime(dir);
        self.note_paths();
    }

    /// Brings one back, into `into`.
    pub(super) fn move_in(&mut self, into: u8) {
        let into = self.pick_dir(into);
        let Some((parked, key)) = self
            .entries(OUTSIDE)
            .and_then(|entries| entries.first_key_value())
            .map(|(name, key)| (name.clone(), *key))
        else {
            return;
        };
        let name = parked.split(|byte| *byte == b'-').next().unwrap_or_default().to_vec();
        if self.entries(into).is_some_and(|entries| entries.contains_key(&name)) {
            return;
        }
        self.unlink(OUTSIDE, &parked);
        self.link(into, &name, key);
        self.set_ctime(key);
        self.note_paths();
        for (_, _, file) in self.files() {
            if let Body::File(file) = &self.inodes[&file].body {
                let path_is_below = self.items[file.item].key;
                if self.is_file_below(path_is_below, key) {
                    let item = file.item;
                    self.items[item].returns += 1;
                }
            }
        }
    }

    fn is_file_below(&self, file: Key, dir: Key) -> bool {
        let holder = self.files().into_iter().find(|(_, _, key)| *key == file).map(|(dir, _, _)| dir);
        holder.is_some_and(|holder| self.is_below(holder, dir))
    }

    /// Notes where everything is now.
    fn note_paths(&mut self) {
        let mut present = BTreeSet::new();
        let mut lying = Vec::new();
        let mut next = vec![(TOP, String::new())];
        while let Some((dir, path)) = next.pop() {
            for (name, key) in self.entries(dir).into_iter().flatten() {
                let path = format!("{path}{}", String::from_utf8_lossy(name));
                match &self.inodes[key].body {
                    Body::Directory(_) => {
                        present.insert(format!("{path}/"));
                        next.push((*key, format!("{path}/")));
                    }
                    Body::File(file) => {
                        lying.push((path.clone(), file.item));
                        present.insert(path);
                    }
                }
            }
        }
        for (path, item) in lying {
            let item = &mut self.items[item];
            if item.path != path {
                item.moves += usize::from(!item.path.is_empty());
                item.paths.insert(path.clone());
                item.path = path;
            }
        }
        for path in present.difference(&self.present) {
            self.absent_until.insert(path.clone(), self.now);
        }
        self.present = present;
    }

    /// Whether a file (or, with a slash at its end, a directory) was absent at any time since `since`.
    pub(super) fn was_absent(&self, path: &str, since: Time) -> bool {
        !self.present.contains(path) || self.absent_until.get(path).is_none_or(|until| *until >= since)
    }
}

impl World {
    /// Does what a history says.
    pub(super) fn apply(&mut self, change: &super::history::Change) {
        use super::history::Change as C;
        match *change {
            C::Make { dir, name, make } => self.make(dir, name, make),
            C::Remove { file } => self.remove(file),
            C::Touch { file } => self.touch(file),
            C::Rename { file, dir, name } => self.rename(file, dir, name),
            C::MakeDir { dir, name } => self.make_dir(dir, name),
            C::RemoveDir { dir } => self.remove_dir(dir),
            C::RenameDir { dir, into, name } => self.rename_dir(dir, into, name),
            C::ExchangeDirs { one, other } => self.exchange_dirs(one, other),
            C::MoveOut { dir } => self.move_out(dir),
            C::MoveIn { into } => self.move_in(into),
            C::Grow { file } => self.grow_now(file),
        }
    }
}
