//! A history: how the agent and the world are set up, and what happens to them, step by step. All of it follows from a
//! seed, and any part of the steps is a history as well, so that a failing one can be made shorter.

use std::fmt;
use std::time::Duration;

use super::chance::Chance;
use super::contents::is_archive;
use super::world::{MILLISECOND, Mounted, SECOND, Time};
use crate::store::Loss;

/// How things are set up.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties of a world")]
pub(super) struct Config {
    /// The tick of the server's time stamps.
    pub(super) tick: Time,
    /// Whether the client knows old names by time stamps alone, as NFSv3's does.
    pub(super) names_by_stamp: bool,
    /// Whether names come without their types.
    pub(super) no_types: bool,
    /// Whether the server gives a removed file's number to another one.
    pub(super) reuse_numbers: bool,
    pub(super) interval: Duration,
    pub(super) settle: Duration,
    pub(super) give_up: Duration,
    pub(super) audit: Option<Duration>,
    pub(super) audit_stat: bool,
    pub(super) history: Duration,
    pub(super) send_moved: bool,
    /// Starts in percent that are one-shot runs.
    pub(super) once: u64,
    /// The longest time until a call is made, and until its outcome is heard of.
    pub(super) delay: Time,
    pub(super) commit_delay: Duration,
    /// What a call takes by the agent's own measure: from a memory, or over a network.
    pub(super) round_trip: Duration,
    pub(super) in_flight: usize,
    pub(super) max_open: usize,
    /// Bytes in the outbox from which on intake pauses.
    pub(super) outbox_max: u64,
}

/// Something that happens, some time after the step before.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) after: Time,
    pub(super) what: Happening,
}

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// To the tree; `Some`: not now, but before the so-manieth call from now, that is in the middle of a look.
    Tree(Change, Option<u8>),
    /// The next calls fail.
    Fault(Fault),
    /// Calls take that long from now on, once.
    Hang(Time),
    /// Something else lies at the mount point; whether descriptors that are held go on working.
    Mount(Mounted, bool),
    ServerClock(i64),
    /// The process ends after so many more changes of its store; `kept`: how much in percent survives of what was not
    /// safe.
    Crash {
        loss: Loss,
        kept: u8,
        fuse: u8,
    },
    /// The process is told to end, or a one-shot run to begin.
    Stop,
    Redis(RedisEvent),
    Queue(QueueEvent),
    /// History is dropped.
    Retire,
}

/// A change of the tree. Files and directories are chosen by number among those that are there.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Make {
        dir: u8,
        name: &'static str,
        make: Make,
    },
    Remove {
        file: u8,
    },
    Touch {
        file: u8,
    },
    Rename {
        file: u8,
        dir: u8,
        name: &'static str,
    },
    MakeDir {
        dir: u8,
        name: &'static str,
    },
    RemoveDir {
        dir: u8,
    },
    RenameDir {
        dir: u8,
        into: u8,
        name: &'static str,
    },
    ExchangeDirs {
        one: u8,
        other: u8,
    },
    MoveOut {
        dir: u8,
    },
    MoveIn {
        into: u8,
    },
    /// The next piece of a file that is being written.
    Grow {
        file: u8,
    },
}

/// How a file is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Make {
    pub(super) write: Write,
    /// Whether it never becomes whole.
    pub(super) broken: bool,
}

/// How it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Write {
    Whole,
    Grow { gap: Time, pieces: u8 },
}

/// Calls that fail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) errno: Errno,
    pub(super) calls: Calls,
    pub(super) skip: u8,
    pub(super) count: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errno {
    Io,
    Stale,
    NotThere,
    Denied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    All,
    Stat,
    Names,
    Read,
    Open,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RedisEvent {
    Snapshot,
    /// Back to the last snapshot; whether the connection breaks.
    RollBack(bool),
    Flush(bool),
    Away(Time),
    /// It takes no changes, but can be asked.
    Full(Time),
    /// Each change takes it long.
    Slow(Time),
    /// The next answers are lost after the work was done.
    LoseAnswers(u8),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum QueueEvent {
    Away(Time),
    LoseConfirms(u8),
    Refuse(u8),
}

const NAMES: [&str; 9] = ["a.tgz", "b.tgz", "c.tgz", "d.tgz", "e.tgz", "x.dat", "y.dat", "z.dat", "f.tgz"];
const FOLDERS: [&str; 4] = ["p", "q", "r", "s"];

/// The history of a seed, of all that happens anywhere, but most to the tree.
pub(super) fn of_seed(seed: u64) -> (Config, Vec<Step>) {
    let mut chance = Chance::new(seed);
    let mut config = configure(&mut chance);
    // From numbers of its own, so that it changes nothing else of a history.
    let mut own = Chance::new(!seed);
    config.outbox_max = own.of(&[u64::MAX, u64::MAX, 1_000, 3_000]);
    config.round_trip = Duration::from_micros(own.of(&[1, 1_000]));
    let count = 4 + chance.below(36);
    let steps = (0..count).map(|_| step(&mut chance, &config)).collect();
    (config, steps)
}

/// Another history of a seed: files come, and the rest happens to the process and what it hands them to.
pub(super) fn of_sinks(seed: u64) -> (Config, Vec<Step>) {
    let mut chance = Chance::new(seed);
    let history = Duration::from_secs(chance.of(&[86_400, 30, 30]));
    let config = Config { history, ..configure(&mut chance) };
    let count = 4 + chance.below(36);
    let steps = (0..count).map(|_| step_of_sinks(&mut chance, &config)).collect();
    (config, steps)
}

fn configure(chance: &mut Chance) -> Config {
    let milliseconds = Duration::from_millis;
    let settle = milliseconds(chance.of(&[0, 300, 300, 1_000]));
    Config {
        tick: chance.of(&[1_000, 4 * MILLISECOND, 10 * MILLISECOND, SECOND, SECOND, 2 * SECOND]),
        names_by_stamp: chance.percent(60),
        no_types: chance.percent(25),
        reuse_numbers: chance.percent(50),
        interval: milliseconds(chance.of(&[500, 1_000, 2_000, 3_000])),
        settle,
        give_up: Duration::from_secs(chance.of(&[8, 12])),
        audit: chance.percent(25).then_some(Duration::from_secs(4)),
        audit_stat: chance.percent(30),
        // Longer than any file waits: one that is forgotten before it is read again is news.
        history: Duration::from_secs(chance.of(&[86_400, 86_400, 30])),
        send_moved: chance.percent(10),
        once: chance.of(&[0, 0, 0, 20, 100]),
        delay: chance.of(&[MILLISECOND, 20 * MILLISECOND, 150 * MILLISECOND]),
        commit_delay: milliseconds(chance.of(&[0, 20, 200])),
        round_trip: Duration::from_millis(1),
        in_flight: usize::try_from(1 + chance.below(8)).expect("a small number"),
        max_open: chance.of(&[0, 1, 2, 64]),
        outbox_max: u64::MAX,
    }
}

fn step(chance: &mut Chance, config: &Config) -> Step {
    let after = match chance.below(10) {
        0..4 => 0,
        4..7 => chance.below(50 * MILLISECOND),
        7..9 => chance.below(SECOND),
        _ if config.history.as_secs() < 60 && chance.percent(20) => 32 * SECOND,
        _ => chance.below(4 * SECOND),
    };
    let what = match chance.below(100) {
        0..62 => {
            let in_call = chance.percent(25).then(|| small(chance, 12));
            Happening::Tree(change(chance, config), in_call)
        }
        62..70 => Happening::Fault(fault(chance)),
        70..72 => Happening::Hang(chance.below(3 * SECOND)),
        72..76 => {
            let lies = [Mounted::Right, Mounted::Bare, Mounted::Nothing, Mounted::Other];
            // What is gone is forgotten while the mount is away, too: it may not be away for longer than that takes.
            let lies = if config.history.as_secs() < 60 { &lies[..1] } else { &lies[..] };
            Happening::Mount(chance.of(lies), chance.percent(50))
        }
        76..78 if config.audit.is_some() => {
            Happening::ServerClock(chance.of(&[-3_600, -7, -1, 1, 7, 3_600]) * 1_000_000_000)
        }
        76..85 => crash(chance),
        85..88 => Happening::Stop,
        88..93 => Happening::Redis(redis_event(chance)),
        93..97 => Happening::Queue(queue_event(chance)),
        _ => Happening::Retire,
    };
    Step { after, what }
}

fn step_of_sinks(chance: &mut Chance, config: &Config) -> Step {
    let after = match chance.below(10) {
        0..4 => 0,
        4..8 => chance.below(SECOND),
        8 => chance.below(4 * SECOND),
        _ => 32 * SECOND,
    };
    let what = match chance.below(100) {
        0..45 => Happening::Tree(make_any(chance, config), None),
        45..55 => crash(chance),
        55..58 => Happening::Stop,
        58..62 => Happening::Redis(RedisEvent::Full(chance.below(20 * SECOND))),
        62..66 => Happening::Redis(RedisEvent::Slow(chance.below(40 * SECOND))),
        66..78 => Happening::Redis(redis_event(chance)),
        78..88 => Happening::Queue(queue_event(chance)),
        _ => Happening::Retire,
    };
    Step { after, what }
}

fn crash(chance: &mut Chance) -> Happening {
    Happening::Crash {
        loss: chance.of(&[Loss::Process, Loss::Power]),
        kept: small(chance, 101),
        fuse: small(chance, 14),
    }
}

fn small(chance: &mut Chance, end: u64) -> u8 {
    u8::try_from(chance.below(end)).expect("a small number")
}

fn change(chance: &mut Chance, config: &Config) -> Change {
    match chance.below(100) {
        0..50 => make_any(chance, config),
        50..58 => Change::Remove { file: any(chance) },
        58..61 => Change::Touch { file: any(chance) },
        61..71 => Change::Rename { file: any(chance), dir: any(chance), name: chance.of(&NAMES) },
        71..83 => Change::MakeDir { dir: any(chance), name: chance.of(&FOLDERS) },
        83..86 => Change::RemoveDir { dir: any(chance) },
        86..92 => Change::RenameDir { dir: any(chance), into: any(chance), name: chance.of(&FOLDERS) },
        92..95 => Change::ExchangeDirs { one: any(chance), other: any(chance) },
        95 => Change::Grow { file: any(chance) },
        96..98 => Change::MoveOut { dir: any(chance) },
        _ => Change::MoveIn { into: any(chance) },
    }
}

fn make_any(chance: &mut Chance, config: &Config) -> Change {
    let name = chance.of(&NAMES);
    Change::Make { dir: any(chance), name, make: make(chance, config, is_archive(name)) }
}

/// Any directory, or file.
fn any(chance: &mut Chance) -> u8 {
    small(chance, 250)
}

/// What is no archive proves nothing, so that its writer may not pause for as long as `--settle`; an archive's may, but
/// not for as long as `--give-up`.
fn make(chance: &mut Chance, config: &Config, archive: bool) -> Make {
    let settle = u64::try_from(config.settle.as_nanos()).expect("a short time");
    let longest = if archive { 2 * SECOND } else { settle * 3 / 4 };
    let grows = longest > 0 && chance.percent(40);
    let write = if grows {
        Write::Grow { gap: 1 + chance.below(longest), pieces: 1 + small(chance, 3) }
    } else {
        Write::Whole
    };
    Make { write, broken: archive && chance.percent(15) }
}

fn fault(chance: &mut Chance) -> Fault {
    Fault {
        errno: chance.of(&[Errno::Io, Errno::Stale, Errno::NotThere, Errno::Denied]),
        calls: chance.of(&[Calls::All, Calls::Stat, Calls::Names, Calls::Names, Calls::Read, Calls::Open]),
        skip: small(chance, 8),
        count: 1 + small(chance, 6),
    }
}

fn redis_event(chance: &mut Chance) -> RedisEvent {
    match chance.below(10) {
        0..3 => RedisEvent::Snapshot,
        3..6 => RedisEvent::RollBack(chance.percent(50)),
        6 => RedisEvent::Flush(chance.percent(50)),
        7 => RedisEvent::Away(chance.below(5 * SECOND)),
        _ => RedisEvent::LoseAnswers(1 + small(chance, 2)),
    }
}

fn queue_event(chance: &mut Chance) -> QueueEvent {
    match chance.below(4) {
        0 => QueueEvent::Away(chance.below(5 * SECOND)),
        1 => QueueEvent::Refuse(1 + small(chance, 2)),
        _ => QueueEvent::LoseConfirms(1 + small(chance, 2)),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = Duration::from_nanos(self.after);
        match &self.what {
            Happening::Tree(change, None) => write!(f, "+{after:?} {change:?}"),
            Happening::Tree(change, Some(calls)) => {
                write!(f, "+{after:?} {change:?}, in the middle of a look, {calls} calls on")
            }
            other => write!(f, "+{after:?} {other:?}"),
        }
    }
}
