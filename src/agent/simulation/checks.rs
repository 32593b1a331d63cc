//! What must hold once things have calmed down, reckoned from the facts of the world and not by the crate.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::contents::{content, is_archive};
use super::machine::Machine;
use super::sinks::{Figures, Message};
use super::world::{Body, Item};
use crate::dispatch::inside::Restore;
use crate::model::{Kind, Seq};

/// A content as the checks know it: of which item, and how much of it.
type Known = HashMap<[u8; 32], (usize, usize)>;

/// Compares the sinks with the world; says what is wrong.
pub(super) fn verify(machine: &Machine<'_>) -> Result<(), String> {
    let handed_over = handed_over(machine)?;
    let known = contents(machine);
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for message in handed_over.values() {
        let (item, length) = check_message(machine, message, &known)?;
        let whole = machine.mount.client().world.items[item].end;
        if length == whole {
            *counts.entry(item).or_default() += 1;
        }
    }
    check_refused(machine)?;
    check_items(machine, &counts)?;
    check_figures(machine, &handed_over, &known)
}

/// What the queue was given, by its number in the journal.
fn handed_over(machine: &Machine<'_>) -> Result<BTreeMap<Seq, Message>, String> {
    let queue = machine.queue.state();
    let mut by_seq: BTreeMap<Seq, Message> = BTreeMap::new();
    for message in queue.messages.iter().chain(&queue.refused) {
        let first = by_seq.entry(message.seq).or_insert_with(|| message.clone());
        if first != message {
            return Err(format!("number {} is {} and {}", message.seq, first.path, message.path));
        }
    }
    let last = by_seq.last_key_value().map_or(0, |(seq, _)| *seq);
    if let Some(missing) = (1..=last).find(|seq| !by_seq.contains_key(seq)) {
        return Err(format!("message {missing} of {last} never reached the queue"));
    }
    Ok(by_seq)
}

/// What the queue refused and did not take another time is on record as that.
fn check_refused(machine: &Machine<'_>) -> Result<(), String> {
    let Some(process) = &machine.process else { return Ok(()) };
    let on_record = process.store.refused().map_err(|error| error.to_string())?;
    let queue = machine.queue.state();
    let mut known: HashSet<Seq> = on_record.into_iter().map(|(_, refused)| refused.seq).collect();
    known.extend(queue.messages.iter().map(|message| message.seq));
    match queue.refused.iter().find(|message| !known.contains(&message.seq)) {
        Some(message) => Err(format!("{} was refused, and nothing is on record of that", message.path)),
        None => Ok(()),
    }
}

/// Every content that a file ever had.
fn contents(machine: &Machine<'_>) -> Known {
    let client = machine.mount.client();
    let hash = |(item, archive, length): (usize, bool, usize)| {
        let bytes = &content(item, archive).bytes[..length];
        (*blake3::hash(bytes).as_bytes(), (item, length))
    };
    client.world.contents.iter().copied().map(hash).collect()
}

fn check_message(machine: &Machine<'_>, message: &Message, known: &Known) -> Result<(usize, usize), String> {
    let path = &message.path;
    let Some(&(item, length)) = known.get(&message.hash) else {
        return Err(format!("{path} was handed over with the hash of no file"));
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_bytes()).update(&[0]).update(&message.hash);
    if *hasher.finalize().as_bytes() != message.id {
        return Err(format!("{path} was handed over with the wrong id"));
    }
    let client = machine.mount.client();
    let Item { archive, end, ref paths, .. } = client.world.items[item];
    // A held descriptor follows a directory that is renamed: until its parent is listed, what is read through it may
    // be told of under the old path.
    if !paths.contains(path) && client.world.moved_dirs == 0 {
        return Err(format!("{path} was handed over for a file that never lay there"));
    }
    let is_whole = length == content(item, archive).bytes.len();
    match message.kind {
        Kind::Broken if is_whole => Err(format!("{path} is whole, and was handed over as broken")),
        Kind::Broken if length != end => Err(format!("{path} was given up while it was written")),
        Kind::Appeared | Kind::Replaced if !is_whole => Err(format!("{path} was handed over half-written")),
        _ => Ok((item, length)),
    }
}

/// Whoever stayed was handed over once.
fn check_items(machine: &Machine<'_>, counts: &HashMap<usize, usize>) -> Result<(), String> {
    let client = machine.mount.client();
    let mut present = HashMap::new();
    for (_, name, key) in client.world.files() {
        if let Body::File(file) = &client.world.inodes[&key].body {
            present.insert(file.item, String::from_utf8_lossy(&name).into_owned());
        }
    }
    for (number, item) in client.world.items.iter().enumerate() {
        let count = counts.get(&number).copied().unwrap_or(0);
        let is_short = machine.config.history.as_secs() < 60;
        // A directory's new path is one of each of its files, and so is the old one for a moment.
        let moves = item.moves + client.world.moved_dirs;
        let most = if machine.config.send_moved {
            // Sent again under each new path, which is what was asked for.
            if is_short { usize::MAX } else { 1 + moves + item.touches }
        } else if item.touches > 0 && moves > 0 {
            // The harmless mistake: moved and touched, it is no longer known.
            (1 + moves) * (1 + item.touches) + item.returns
        } else if is_short {
            1 + item.returns
        } else {
            1
        };
        let shown = item.paths.iter().cloned().collect::<Vec<_>>().join(", ");
        if count > most {
            return Err(format!("the file of {shown} was handed over {count} times"));
        }
        if count == 0 && item.complete.is_some() && present.contains_key(&number) {
            return Err(format!("the file of {shown} was never handed over"));
        }
    }
    Ok(())
}

/// The statistics are those of what was handed over, each once: in Redis, and in the store's own ledger.
fn check_figures(
    machine: &Machine<'_>,
    handed_over: &BTreeMap<Seq, Message>,
    known: &Known,
) -> Result<(), String> {
    let mut expected = Figures { cursor: handed_over.keys().max().copied(), ..Figures::default() };
    for message in handed_over.values() {
        let archive = is_archive(&message.path);
        let item = known.get(&message.hash).map_or(0, |(item, _)| *item);
        count(&mut expected, message.kind, item, archive);
    }
    let mut found = machine.redis.state().figures.clone();
    found.cursor = found.cursor.filter(|cursor| *cursor > 0);
    compare("Redis", &found, &expected)?;
    let Some(process) = &machine.process else { return Ok(()) };
    let mut ledger = Figures { cursor: expected.cursor, ..Figures::default() };
    ledger.apply(&Restore::Add.spell(&process.store.totals().1));
    compare("the ledger", &ledger, &expected)
}

fn compare(whose: &str, found: &Figures, expected: &Figures) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let difference = if found.cursor != expected.cursor {
        format!("the cursor is {:?}, not {:?}", found.cursor, expected.cursor)
    } else if found.counts != expected.counts {
        format!("counted {:?}, not {:?}", found.counts, expected.counts)
    } else if found.scores != expected.scores {
        format!("scored {:?}, not {:?}", found.scores, expected.scores)
    } else {
        format!("users {:?}, not {:?}", found.users, expected.users)
    };
    Err(format!("{whose}: {difference}"))
}

fn count(figures: &mut Figures, kind: Kind, item: usize, archive: bool) {
    let mut add = |namespace: &str, field: &str, by: i64| {
        *figures.counts.entry((namespace.to_owned(), field.to_owned())).or_default() += by;
    };
    let job = content(item, archive).job.as_ref();
    let job = match (kind, job) {
        (Kind::Broken, _) => return add("TOTAL", "jobs_unreadable", 1),
        (_, None) => return add("TOTAL", "files", 1),
        (_, Some(job)) => job,
    };
    for namespace in std::iter::once("TOTAL").chain(job.experiments.iter().copied()) {
        add(namespace, "jobs_completed", 1);
        if job.succeeded {
            add(namespace, "events", job.events);
        } else {
            add(namespace, "jobs_failed", 1);
        }
    }
    for namespace in std::iter::once("TOTAL").chain(job.experiments.iter().copied()) {
        figures.users.insert((namespace.to_owned(), job.user.clone()));
        let mut score = |board: &str, member: &str, by: i64| {
            let key = (namespace.to_owned(), board.to_owned(), member.to_owned());
            *figures.scores.entry(key).or_default() += by;
        };
        score("PER_USER/jobs_completed", &job.user, 1);
        score("PER_USER/cpuusage", &job.user, i64::from(job.cpu_seconds));
        score("PER_GENERATOR/jobs_completed", job.generator, 1);
        if job.succeeded {
            score("PER_USER/events", &job.user, job.events);
            score("PER_GENERATOR/events", job.generator, job.events);
        } else {
            score("PER_USER/jobs_failed", &job.user, 1);
        }
    }
}
