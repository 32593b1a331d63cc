//! RabbitMQ is away under load: afterwards everything comes, in the order of the looks and within a look of the files. By how
//! much the memory grew is held to a bound only where `OUTAGE_FILES` is given: a short outage stays below it by its size, and
//! `tests/memory.rs` counts what a file costs.

use std::collections::BTreeMap;
use std::env;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::await_head;
use crate::load::archive;
use crate::queue::{Message, Taken};
use crate::support::scout::{Agent, Scout};
use crate::support::servers::RabbitServer;

/// Files that come while it is away, unless the environment says otherwise, and how many of them a second.
const FILES: u64 = 6_000;
const RATE: u64 = 500;

/// Files before that, so that what every run needs once is there when the memory is measured.
const BEFORE: u64 = 1_000;

/// Directories that get files at a time, and after how many files there are new ones: the names of those that are being
/// listed are in memory, and must not be what is measured.
const DIRECTORIES: u64 = 40;
const IN_A_DAY: u64 = 6_000;

/// For how long files wait for an older one of their look: four times `--commit-delay`.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the memory may grow by in an outage of full length, in bytes.
const GROWTH: u64 = 20_000_000;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Drops files at a rate, each under the number that it comes as, and keeps by what time each lay there.
struct Writer<'a> {
    scout: &'a Scout,
    there_by: BTreeMap<String, SystemTime>,
}

impl Writer<'_> {
    fn put(&mut self, numbers: std::ops::Range<u64>, rate: u64) {
        let (start, first) = (Instant::now(), numbers.start);
        for number in numbers {
            let (day, place) = (number / IN_A_DAY, number % DIRECTORIES);
            let path = format!("{day:03}-{place:02}/job-{number}.tgz");
            self.scout.put(&path, &archive(number));
            self.there_by.insert(path, SystemTime::now());
            let done = number + 1 - first;
            thread::sleep(Duration::from_micros(1_000_000 * done / rate).saturating_sub(start.elapsed()));
        }
    }

    /// Checks the order in which the messages of each directory came against that in which its files did. What a later
    /// look found comes after what an earlier one did, and was not there yet when that one began. Of the files of one look
    /// the older comes first, unless it was read so much later that the others were not to wait for it: tells how many.
    fn check_order(&self, taken: &Taken) -> usize {
        let mut late = 0;
        for (directory, messages) in taken.by_directory() {
            for pair in messages.windows(2) {
                let [earlier, later] = pair else { unreachable!() };
                assert!(later.not_before >= earlier.not_before, "two looks are mixed in {directory}");
            }
            for look in messages.chunk_by(|a, b| a.not_before == b.not_before) {
                let mut newest = &look[0];
                for message in look {
                    let there_by = |message: &Message| self.there_by[&message.path];
                    assert!(
                        message.not_before.is_none_or(|time| there_by(message) >= time),
                        "{}",
                        message.path
                    );
                    if there_by(message) < there_by(newest) {
                        let after = message.detected_at.duration_since(newest.detected_at);
                        let text = format!("{} after {}: {after:?}", message.path, newest.path);
                        assert!(after.is_ok_and(|after| after >= PATIENCE), "{text}");
                        late += 1;
                    } else {
                        newest = message;
                    }
                }
            }
        }
        late
    }
}

#[test]
fn rabbitmq_away_under_load_costs_no_file_and_no_order() {
    let (files, rate) = (number("OUTAGE_FILES", FILES), number("OUTAGE_RATE", RATE));
    let mut rabbit = RabbitServer::start();
    let scout = Scout::new();
    let mut command = scout.run(&["--amqp", &rabbit.url(), "--log", "nfs_scout=info", "--interval", "200ms"]);
    // As the units set it: what is freed is then there for all threads.
    command.env("MALLOC_ARENA_MAX", "1");
    let agent = Agent::start(command, scout.beside("log"));
    agent.logged("Watching the root");
    let mut writer = Writer { scout: &scout, there_by: BTreeMap::new() };
    writer.put(0..BEFORE, rate);
    await_head(&scout, BEFORE);
    let first = Taken::from(&rabbit.url(), usize::try_from(BEFORE).unwrap());
    rabbit.kill();
    agent.logged("Lost the sink");

    let (before, start) = (agent.resident_bytes(), Instant::now());
    writer.put(BEFORE..BEFORE + files, rate);
    let took = start.elapsed();
    await_head(&scout, BEFORE + files);
    let grown = agent.resident_bytes().saturating_sub(before);
    let outbox = scout.ask(&["status"])["outbox"]["bytes"].as_u64().unwrap();
    rabbit.restart();
    let taken = Taken::from(&rabbit.url(), usize::try_from(files).unwrap());
    let late = writer.check_order(&taken);
    let stored = scout.ask(&["index", "stat"])["bytes"].as_u64().unwrap();
    println!(
        "{files} files in {took:.0?} without RabbitMQ: the agent's memory grew from {before} by {grown} bytes; {outbox} \
         bytes in the outbox, {stored} of the state on disk; {} of the messages came again, {late} after a newer one of \
         their look that was read long before",
        taken.repeated,
    );
    assert_eq!(taken.messages.len() as u64, files, "beside the {} before", first.messages.len());
    assert!(taken.messages.is_sorted_by(|a, b| a.seq < b.seq), "the order of the journal");
    if env::var_os("OUTAGE_FILES").is_some() {
        assert!(grown < GROWTH, "{grown} bytes beside {before}");
    }
    agent.stop();
}
