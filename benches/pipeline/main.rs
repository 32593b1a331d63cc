//! From the tree to Redis and RabbitMQ: files a second until both have confirmed, and files a CPU second.
//!
//! ```text
//! cargo bench --bench pipeline                      20,000 files, and 3,000 through the baseline: some 2 minutes
//! cargo bench --bench pipeline -- --files 5000 --baseline-files 1000
//! ```
//!
//! Needs redis-server, rabbitmq-server, openssl and python3; the baseline's packages come from their registry into a temporary
//! environment. Both servers run beside it on the same machine, with their usual durability: Redis with
//! `appendfsync always`, RabbitMQ with a quorum queue.
//!
//! The archives are those of `examples/generate` (14 kB, as job archives of the wild). They are made beside the
//! tree, all different, and appear in it at once, by the rename of a directory that holds them in 100 others. The clock
//! runs from there until the agent says that both servers have confirmed all; then Redis and the queue are counted.
//!
//! The baseline (`baseline.py`) is what the program replaces, written without it: for each file tarfile, the same
//! counters in one Redis transaction, one persistent message, its confirmation awaited. It is given the list of files,
//! so that it looks for nothing and remembers nothing, and loses what it was doing when it is killed.
//!
//! Files a CPU second count the process alone, not the servers, from the moment at which the files appear.
#![expect(clippy::unwrap_used, reason = "a bench ends with the first thing that its own machinery cannot do")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report, and progress")]

#[path = "../../examples/generate/archive.rs"]
mod archive;
#[path = "../../examples/generate/dice.rs"]
#[allow(dead_code, reason = "shared with the generator, which uses all of it")]
mod dice;
#[path = "../../examples/generate/job.rs"]
#[allow(dead_code, reason = "shared with the generator, which uses all of it")]
mod job;
#[path = "../common/process.rs"]
mod process;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../common/table.rs"]
#[allow(dead_code, reason = "shared with other benches, which use all of it")]
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use redis::Commands;
use serde_json::Value;

use process::{Measured, ask, scout};
use support::servers::{RabbitServer, RedisServer};
use table::{Line, MEGABYTE, table};

const DIRECTORIES: u64 = 100;
/// A new queue is given nothing in its first seconds.
const QUEUE_READY: Duration = Duration::from_secs(5);

/// Measures the way from the tree to Redis and RabbitMQ
#[derive(Debug, Parser)]
struct Options {
    /// Archives that appear
    #[arg(long, default_value_t = 20_000)]
    files: u64,

    /// Archives that the baseline is given; none leaves it out
    #[arg(long, default_value_t = 3_000)]
    baseline_files: u64,

    /// What the agent is given besides, for instance `--more=--commit-delay --more=200ms`
    #[arg(long, allow_hyphen_values = true)]
    more: Vec<String>,

    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one of the two took for its files.
struct Speed {
    files: u64,
    time: Duration,
    cpu: Duration,
}

impl Speed {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn a_second(&self, of: Duration) -> f64 {
        self.files as f64 / of.as_secs_f64()
    }
}

fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (redis, rabbit) = (RedisServer::start(), RabbitServer::start());
    let bytes = make(&folder.path().join("made"), options.files, 1);
    let (ours, most_bytes) = ours(folder.path(), &options, &redis, &rabbit);
    let mut lines = vec![
        Line::new("files a second, from appearance to confirmed in both", ours.a_second(ours.time), "/s")
            .at_least(1500.0),
        Line::new("files a CPU second", ours.a_second(ours.cpu), "/s"),
        Line::new("memory at most", most_bytes / MEGABYTE, "MB"),
    ];
    if options.baseline_files > 0 {
        let baseline = baseline(folder.path(), options.baseline_files, &redis, &rabbit);
        let ratio = ours.a_second(ours.cpu) / baseline.a_second(baseline.cpu);
        lines.extend([
            Line::new("the baseline, files a second", baseline.a_second(baseline.time), "/s"),
            Line::new("the baseline, files a CPU second", baseline.a_second(baseline.cpu), "/s"),
            Line::new("files a CPU second, times the baseline's", ratio, "x").at_least(10.0),
        ]);
    }
    println!("{}", table(&format!("{} archives of {} bytes", options.files, bytes / options.files), &lines));
}

/// Makes archives in directories below `folder`; returns their size together.
fn make(folder: &Path, files: u64, seed: u64) -> u64 {
    let began = Instant::now();
    (0..DIRECTORIES).for_each(|number| fs::create_dir_all(folder.join(number.to_string())).unwrap());
    let mut bytes = 0;
    for number in 0..files {
        let mut job = job::Job::draw(seed, number);
        (job.events, job.exitcode, job.has_results) = (100_000, 0, true);
        let archive = job.archive();
        bytes += archive.len() as u64;
        fs::write(folder.join((number % DIRECTORIES).to_string()).join(job.file_name()), archive).unwrap();
    }
    eprintln!("{files} archives made in {:.0?}", began.elapsed());
    bytes
}

/// How fast it was, and the most bytes that were resident.
fn ours(folder: &Path, options: &Options, redis: &RedisServer, rabbit: &RabbitServer) -> (Speed, f64) {
    let (root, state) = (folder.join("tree"), folder.join("state"));
    fs::create_dir(&root).unwrap();
    let (redis_url, queue_url) = (redis.url(), rabbit.url());
    let mut command =
        scout(&["run", "--redis", &redis_url, "--amqp", &queue_url, "--interval", "200ms"], &state);
    command.args(&options.more).arg(&root);
    let mut agent = Measured::start(&mut command, &folder.join("log"));
    let is_up = |sink: &Value| sink.get("state").and_then(Value::as_str).is_some_and(|state| state == "up");
    agent.until_said("Watching the root");
    agent.until(Duration::from_millis(200), || {
        let status = ask("status", &state)?;
        status.get("sinks")?.as_array()?.iter().all(is_up).then_some(())
    });
    std::thread::sleep(QUEUE_READY);

    let (began, before) = (Instant::now(), agent.cpu());
    fs::rename(folder.join("made"), root.join("made")).unwrap();
    agent.until(Duration::from_millis(250), || {
        let status = ask("status", &state)?;
        let confirmed = |sink: &Value| sink.get("confirmed").and_then(Value::as_u64) == Some(options.files);
        status.get("sinks")?.as_array()?.iter().all(confirmed).then_some(())
    });
    let speed =
        Speed { files: options.files, time: began.elapsed(), cpu: agent.cpu().saturating_sub(before) };
    let counted: u64 = redis.connect().hget("T4TC_MONITOR/TOTAL/", "jobs_completed").unwrap();
    assert_eq!(counted, options.files, "as Redis counts");
    // A quorum queue renews its figures only every few seconds.
    support::eventually("as the queue counts", || {
        let queued = rabbit.control(&["list_queues", "--no-table-headers", "name", "messages"]);
        queued.contains(&format!("t4tc_monitor\t{}", options.files)).then_some(())
    });
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let most_bytes = agent.memory().1 as f64;
    agent.stop();
    (speed, most_bytes)
}

fn baseline(folder: &Path, files: u64, redis: &RedisServer, rabbit: &RabbitServer) -> Speed {
    let made = folder.join("for-the-baseline");
    make(&made, files, 2);
    let python = environment(&folder.join("venv"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pipeline/baseline.py");
    let output = Command::new(python).arg(program).arg(made).args([redis.url(), rabbit.url()]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.get("files").and_then(Value::as_u64), Some(files));
    let time = |name: &str| Duration::from_secs_f64(said.get(name).and_then(Value::as_f64).unwrap());
    Speed { files, time: time("seconds"), cpu: time("cpu_seconds") }
}

/// A Python with what the baseline needs.
fn environment(folder: &Path) -> PathBuf {
    let python = folder.join("bin/python");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(folder));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "redis", "pika"]));
    python
}
