//! RabbitMQ is away under load: afterwards everything comes, in the order of the looks. What it cost in memory is printed,
//! and held to its bound only where `OUTAGE_FILES` is given: a short outage stays below it by its size.

use std::collections::BTreeMap;
use std::env;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::await_head;
use crate::load::archive;
use crate::queue::Taken;
use crate::support::scout::Scout;
use crate::support::servers::RabbitServer;

/// Files that come while it is away, unless the environment says otherwise, and how many of them a second.
const FILES: u64 = 6_000;
const RATE: u64 = 500;

/// Files before that, so that what every run needs once is there when the memory is measured.
const BEFORE: u64 = 1_000;

const DIRECTORIES: u64 = 40;

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
    fn put(&mut self, numbers: std::ops::Range<u64>, rate: u64, mut each_second: impl FnMut()) {
        let (start, first) = (Instant::now(), numbers.start);
        for number in numbers {
            let path = format!("{:02}/job-{number}.tgz", number % DIRECTORIES);
            self.scout.put(&path, &archive(number));
            self.there_by.insert(path, SystemTime::now());
            let done = number + 1 - first;
            if done % rate == 0 {
                each_second();
            }
            thread::sleep(Duration::from_micros(1_000_000 * done / rate).saturating_sub(start.elapsed()));
        }
    }

    /// Checks that no file comes after one of its directory that was not there yet when the directory was last looked at,
    /// though itself it was. Of the files that one look finds, the order is that in which they were read. Tells how
    /// many came before one that was written earlier.
    fn check_order(&self, taken: &Taken) -> usize {
        let mut swapped = 0;
        for (directory, messages) in taken.by_directory() {
            let mut not_before = SystemTime::UNIX_EPOCH;
            let mut latest = SystemTime::UNIX_EPOCH;
            for message in messages {
                let there_by = self.there_by[&message.path];
                assert!(there_by >= not_before, "{} came too late in {directory}", message.path);
                not_before = not_before.max(message.not_before.unwrap_or(SystemTime::UNIX_EPOCH));
                swapped += usize::from(there_by < latest);
                latest = latest.max(there_by);
            }
        }
        swapped
    }
}

#[test]
fn rabbitmq_away_under_load_costs_no_file_and_no_order() {
    let (files, rate) = (number("OUTAGE_FILES", FILES), number("OUTAGE_RATE", RATE));
    let mut rabbit = RabbitServer::start();
    let scout = Scout::new();
    let agent = scout.agent(&["--amqp", &rabbit.url(), "--log", "nfs_scout=info"]);
    let mut writer = Writer { scout: &scout, there_by: BTreeMap::new() };
    writer.put(0..BEFORE, rate, || ());
    await_head(&scout, BEFORE);
    let first = Taken::from(&rabbit.url(), usize::try_from(BEFORE).unwrap());
    rabbit.kill();
    agent.logged("Lost the sink");

    let before = agent.resident_bytes();
    let (mut most, start) = (before, Instant::now());
    writer.put(BEFORE..BEFORE + files, rate, || most = most.max(agent.resident_bytes()));
    let took = start.elapsed();
    await_head(&scout, BEFORE + files);
    most = most.max(agent.resident_bytes());
    let outbox = scout.ask(&["status"])["outbox"]["bytes"].as_u64().unwrap();
    rabbit.restart();
    let taken = Taken::from(&rabbit.url(), usize::try_from(files).unwrap());
    let swapped = writer.check_order(&taken);
    let stored = scout.ask(&["index", "stat"])["bytes"].as_u64().unwrap();
    println!(
        "{files} files in {took:.0?} without RabbitMQ: the agent's memory grew from {before} by {} bytes; \
         {outbox} bytes in the outbox, {stored} of the state on disk; {} of the messages came again, {swapped} before \
         one of the same directory that was written earlier",
        most - before,
        taken.repeated,
    );
    assert_eq!(taken.messages.len() as u64, files, "beside the {} before", first.messages.len());
    assert!(taken.messages.is_sorted_by(|a, b| a.seq < b.seq), "the order of the journal");
    if env::var_os("OUTAGE_FILES").is_some() {
        assert!(most - before < GROWTH, "{before} bytes, then {most}");
    }
    agent.stop();
}
