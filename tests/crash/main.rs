//! Crash loops: agent, Redis and RabbitMQ killed by SIGKILL at random moments under load, and nothing is lost.
//!
//! Files are dropped at 220/s all the while. Redis runs with its log synced each second and loses, at each kill, a
//! random part of the last second's log besides: that is what a power loss would take. In the end a checker that knows
//! nothing of the program (the tree, BLAKE3, `redis-cli`, a consumer of its own) counts what was lost, counted twice
//! or given a wrong hash; all three must be 0. Of the messages fewer than 1 % may come again, under the same id.
//!
//! How many kills, and the seed, by the environment; `cargo test --test crash` alone is the short run:
//!
//! ```text
//! CRASH_KILLS=1000,100,50 CRASH_SEED=7 cargo test --test crash killed -- --nocapture      agent, Redis, RabbitMQ
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod check;
mod consumer;
mod load;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use check::Expected;
use consumer::Consumer;
use load::{Dice, Load};
use support::scout::{Agent, Scout};
use support::servers::{RabbitServer, RedisServer};

/// How many kills of each, unless the environment says otherwise: some 30 s.
const SHORT: [u64; 3] = [12, 3, 1];

/// Files dropped each second.
const RATE: u32 = 220;

/// How long the sinks may stand still before the run counts as stuck.
const STUCK: Duration = Duration::from_secs(120);

/// Messages that the agent has under way unconfirmed at most: what one kill can bring again.
const A_WINDOW: u64 = 32;

/// Kills of the agent from which on the 1 % is asked for: in a short run chance decides.
const MANY: u64 = 100;

/// How long a queue must have been there before its broker is killed: see `dispatch/queue.rs`.
const QUEUE_REST: Duration = Duration::from_secs(3);

fn wanted_kills() -> [u64; 3] {
    let Ok(text) = env::var("CRASH_KILLS") else { return SHORT };
    let numbers: Vec<u64> = text.split(',').map(|number| number.trim().parse().unwrap()).collect();
    numbers.try_into().expect("CRASH_KILLS is AGENT,REDIS,RABBITMQ")
}

fn seed() -> u64 {
    env::var("CRASH_SEED").map_or_else(|_| u64::from(std::process::id()), |text| text.parse().unwrap())
}

/// What is killed, and how often it was.
struct Victims<'a> {
    scout: &'a Scout,
    redis: Mutex<RedisServer>,
    rabbit: Mutex<RabbitServer>,
    sinks: Vec<String>,
    agent: AtomicU64,
    starts_cut_short: AtomicU64,
    bytes_lost: AtomicU64,
    given_up: AtomicBool,
}

impl Victims<'_> {
    /// Runs one killer's rounds. When any of them panics, the others stop before their next round: without its agent
    /// a run of half an hour would go on for nothing, and say so only at its end.
    fn rounds(&self, count: u64, mut round: impl FnMut()) {
        for _ in 0..count {
            if self.given_up.load(Ordering::Relaxed) {
                return;
            }
            let ended = panic::catch_unwind(AssertUnwindSafe(&mut round));
            if let Err(cause) = ended {
                self.given_up.store(true, Ordering::Relaxed);
                panic::resume_unwind(cause);
            }
        }
    }

    fn start_agent(&self) -> Agent {
        let mut words: Vec<&str> = self.sinks.iter().map(String::as_str).collect();
        words.extend(["--interval", "200ms"]);
        let log = self.scout.beside(&format!("log-{:05}", self.agent.load(Ordering::Relaxed)));
        Agent::start(self.scout.run(&words), log)
    }

    /// Kills agents at every age: some before they watch, most at work.
    fn kill_agents(&self, count: u64, mut dice: Dice) {
        self.rounds(count, || {
            let mut agent = self.start_agent();
            let longest = if dice.below(4) == 0 { 120 } else { 1_600 };
            thread::sleep(Duration::from_millis(dice.below(longest)));
            assert!(!agent.has_ended(), "the agent ended by itself: {}", agent.log());
            let cut_short = agent.count_logged("Watching the root") == 0;
            self.starts_cut_short.fetch_add(u64::from(cut_short), Ordering::Relaxed);
            agent.kill();
            self.agent.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn kill_redis(&self, count: u64, mut dice: Dice) {
        self.rounds(count, || {
            thread::sleep(Duration::from_millis(dice.below(5_000)));
            let mut redis = self.redis.lock().unwrap();
            let before = redis.log_bytes();
            thread::sleep(Duration::from_millis(dice.below(1_000)));
            redis.kill();
            let lost = dice.below(redis.log_bytes().saturating_sub(before) + 1);
            redis.cut_log(lost);
            self.bytes_lost.fetch_add(lost, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(dice.below(1_500)));
            redis.restart();
        });
    }

    fn kill_rabbit(&self, count: u64, mut dice: Dice) {
        self.rounds(count, || {
            thread::sleep(Duration::from_millis(dice.below(8_000)));
            let mut rabbit = self.rabbit.lock().unwrap();
            rabbit.kill();
            thread::sleep(Duration::from_millis(dice.below(1_500)));
            rabbit.restart();
        });
    }
}

#[test]
fn killed_at_random_moments_under_load_loses_nothing() {
    let ([agents, rediss, rabbits], seed) = (wanted_kills(), seed());
    println!("seed {seed}, kills: {agents} agent, {rediss} Redis, {rabbits} RabbitMQ");
    let scout = Scout::new();
    let redis = RedisServer::start_with(&["--appendfsync", "everysec"]);
    let rabbit = RabbitServer::start();
    let consumer = Consumer::start(&rabbit.url());
    thread::sleep(QUEUE_REST);
    let sinks = ["--redis", &redis.url(), "--amqp", &rabbit.url(), "--log", "nfs_scout=info"];
    let victims = Victims {
        scout: &scout,
        sinks: sinks.map(str::to_owned).to_vec(),
        redis: Mutex::new(redis),
        rabbit: Mutex::new(rabbit),
        agent: AtomicU64::new(0),
        starts_cut_short: AtomicU64::new(0),
        bytes_lost: AtomicU64::new(0),
        given_up: AtomicBool::new(false),
    };
    let stop = AtomicBool::new(false);
    let load = Load::new(&scout, RATE);
    let dropped = thread::scope(|scope| {
        let load = scope.spawn(|| load.run(&stop));
        let killers = [
            scope.spawn(|| victims.kill_agents(agents, Dice::new(seed))),
            scope.spawn(|| victims.kill_redis(rediss, Dice::new(seed + 1))),
            scope.spawn(|| victims.kill_rabbit(rabbits, Dice::new(seed + 2))),
        ];
        // Whatever a killer thread found, the load must end, or the scope never does.
        let ends: Vec<_> = killers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        let dropped = load.join().unwrap();
        for end in ends {
            end.unwrap();
        }
        dropped
    });
    let agent = victims.start_agent();
    let expected = Expected::of(&scout.root());
    assert_eq!(expected.files(), dropped.files);
    let port = victims.redis.lock().unwrap().port();
    check::wait_for_all(&scout, &expected, port, &consumer, STUCK, &agent);
    agent.stop();

    let found = consumer.stop();
    let verdict = check::verdict(&expected, &found, port);
    let (rate, repeats) = (dropped.rate(), verdict.repeated_percent());
    println!(
        "{} kills of the agent ({} before it watched), {rediss} of Redis ({} bytes of its log lost), {rabbits} of \
         RabbitMQ; {} files at {rate:.0}/s; {verdict}; {repeats:.3} % of the messages came again",
        victims.agent.into_inner(),
        victims.starts_cut_short.into_inner(),
        victims.bytes_lost.into_inner(),
        dropped.files,
    );
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(scout.counter("jobs_completed"), i64::try_from(dropped.files).unwrap(), "the ledger");
    assert!(verdict.repeated() <= (agents + rabbits) * A_WINDOW, "{verdict}");
    assert!(agents < MANY || repeats < 1.0, "{verdict}");
}
