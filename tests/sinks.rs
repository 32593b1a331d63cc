//! The sinks against real servers: what is counted and queued, whatever breaks in between.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::wildcard_imports, clippy::cast_precision_loss, reason = "short tests, small numbers")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use nfs_scout::dispatch::{
    Body, Couriers, DispatchError, EventsTarget, Journal, JournalError, Mode, QueueSettings, RedisSettings,
    SinkName, SinkReport, SinkState, Sinks, json_of, start,
};
use nfs_scout::event::Reporter;
use nfs_scout::model::*;
use redis::Commands;
use support::journal::{MemoryJournal, job};
use support::servers::*;
use support::{HANG, eventually, eventually_async};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Couriers at work on a journal.
struct Rig {
    couriers: Couriers,
    reporter: Reporter,
    token: CancellationToken,
}

impl Rig {
    fn new(journal: &Arc<MemoryJournal>, sinks: Sinks) -> Self {
        Self::in_mode(journal, sinks, Mode::Agent)
    }

    fn in_mode(journal: &Arc<MemoryJournal>, sinks: Sinks, mode: Mode) -> Self {
        let (reporter, token) = (Reporter::default(), CancellationToken::new());
        let couriers =
            start(sinks, Arc::clone(journal) as _, journal.watch(), mode, reporter.clone(), token.clone());
        Self { couriers, reporter, token }
    }

    async fn drained(&self, upto: Seq) {
        assert_eq!(self.couriers.drained(upto, HANG).await, []);
    }

    fn report(&self) -> watch::Receiver<SinkReport> {
        self.couriers.reports().remove(0)
    }

    async fn state(&self, what: &str, wanted: impl Fn(&SinkState) -> bool) -> SinkState {
        let mut report = self.report();
        let waiting = report.wait_for(|report| wanted(&report.state));
        match tokio::time::timeout(HANG, waiting).await {
            Ok(report) => report.unwrap().state.clone(),
            Err(error) => panic!("never {what}: {error}: {:?}", self.report().borrow()),
        }
    }

    async fn down(&self) -> (String, bool) {
        match self.state("down", |state| matches!(state, SinkState::Down { .. })).await {
            SinkState::Down { reason, transient, .. } => (reason, transient),
            other => panic!("{other:?}"),
        }
    }

    async fn counted(&self, counter: &str) {
        eventually_async(counter, || async { (self.reporter.count(counter) > 0).then_some(()) }).await;
    }

    async fn stop(mut self) {
        self.token.cancel();
        while let Some((_, outcome)) = self.couriers.ended().await {
            outcome.unwrap();
        }
    }
}

fn redis_sink(url: &str) -> Sinks {
    let settings = RedisSettings { timeout: Duration::from_secs(2), ..RedisSettings::new(url) };
    Sinks { redis: Some(settings), ..Sinks::default() }
}

fn queue_sink(settings: QueueSettings) -> Sinks {
    Sinks { amqp: Some(settings), ..Sinks::default() }
}

// ---- Redis

const PREFIX: &str = "T4TC_MONITOR/";

/// Everything that Redis counts, in the ledger's form.
fn counted_in(redis: &mut redis::Connection) -> Totals {
    let mut totals = Totals::default();
    for namespace in [TOTAL, "ATLAS"] {
        let base = format!("{PREFIX}{namespace}/");
        for counter in Counter::ALL {
            if let Some(value) = redis.hget::<_, _, Option<i64>>(&base, counter.as_str()).unwrap() {
                totals.counters.insert((namespace.to_owned(), counter), value);
            }
        }
        for board in Board::ALL {
            let key = format!("{base}{}", board.as_str());
            for (member, score) in redis.zrange_withscores::<_, Vec<(String, f64)>>(&key, 0, -1).unwrap() {
                totals.scores.insert((namespace.to_owned(), board, member), score);
            }
        }
        for user in redis.smembers::<_, Vec<String>>(format!("{base}USERS")).unwrap() {
            totals.users.insert((namespace.to_owned(), user));
        }
    }
    totals
}

fn cursor_of(redis: &mut redis::Connection, journal: &MemoryJournal) -> Option<Seq> {
    redis.get(format!("{PREFIX}CURSOR/{}", journal.agent_id())).unwrap()
}

#[track_caller]
fn check_counted(server: &RedisServer, journal: &MemoryJournal) {
    let mut redis = server.connect();
    assert_eq!(counted_in(&mut redis), journal.ledger());
    assert_eq!(cursor_of(&mut redis, journal), Some(journal.at(SinkName::Redis)));
    assert_eq!(journal.at(SinkName::Redis), journal.head().unwrap());
}

fn broken() -> Handover {
    Handover {
        kind: Kind::Broken,
        analysis: Analysis { status: AnalysisStatus::Truncated, detail: None },
        jobdata: None,
        jobdata_text: None,
        ..job(7_000_000)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_has_every_key() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    journal.push_jobs(0..40);
    let last = journal.push(broken());
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(last).await;
    check_counted(&server, &journal);

    let mut redis = server.connect();
    let total = |key: &str| format!("{PREFIX}TOTAL/{key}");
    let buffer: Vec<(String, f64)> = redis.zrange_withscores(total("EVENT_BUFFER"), 0, -1).unwrap();
    assert_eq!(buffer.len(), 36, "one entry a job that succeeded");
    let first = journal.read(0, 1).unwrap().remove(0);
    let member = format!("0_1000_{}", first.id);
    let score = buffer.iter().find(|entry| entry.0 == member).unwrap().1;
    assert!((score - first.detected_at.as_millis() as f64).abs() < 0.5);

    assert_eq!(redis.get::<_, String>(total("NEW_USERS/b-3")).unwrap(), "1");
    let ttl: i64 = redis.ttl(total("NEW_USERS/b-3")).unwrap();
    assert!((86_000..=86_400).contains(&ttl), "{ttl}");

    let sum: i64 = (0..40).filter(|number| number % 10 != 9).map(|number| 1000 + number).sum();
    let expected = sum as f64 / 600.0;
    let rate = eventually("a rate", || redis.hget::<_, _, Option<String>>(total(""), "event_rate").unwrap());
    assert!((rate.parse::<f64>().unwrap() - expected).abs() < 0.001, "{rate} {expected}");
    assert!(redis.hexists::<_, _, bool>(format!("{PREFIX}ATLAS/"), "event_rate").unwrap());

    // What has left the ten minutes leaves the buffer, and the rate.
    let old = format!("old_5_{}", first.id);
    redis.zadd::<_, _, _, ()>(total("EVENT_BUFFER"), &old, 1000).unwrap();
    eventually("a clean buffer", || {
        redis.zscore::<_, _, Option<f64>>(total("EVENT_BUFFER"), &old).unwrap().is_none().then_some(())
    });
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_rate_is_written_by_a_single_run_too() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let last = journal.push_jobs(0..5);
    let rig = Rig::in_mode(&journal, redis_sink(&server.url()), Mode::Once);
    rig.drained(last).await;
    rig.stop().await;
    let rate: String = server.connect().hget(format!("{PREFIX}TOTAL/"), "event_rate").unwrap();
    assert_eq!(rate, "8.35");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_counts_once_when_the_confirm_was_lost() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let last = journal.push_jobs(0..600);
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(last).await;
    rig.stop().await;
    journal.set_cursor(SinkName::Redis, 300);
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(600..650)).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_again_and_again_counts_once() {
    let (mut server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    for round in 0..5 {
        journal.push_jobs(round * 400..(round + 1) * 400);
        tokio::time::sleep(Duration::from_millis(30)).await;
        server.kill();
        journal.push_jobs(10_000 + round * 10..10_010 + round * 10);
        server.restart();
    }
    rig.drained(journal.head().unwrap()).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_hangs_counts_once() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(0..10)).await;
    server.pause();
    journal.push_jobs(10..300);
    let (reason, transient) = rig.down().await;
    assert!(reason.contains("did not answer within 2s") && transient, "{reason}");
    // Several attempts lie in the sockets now; the server runs them all when it wakes.
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.resume();
    rig.drained(journal.head().unwrap()).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_rolled_back_is_replayed() {
    let (mut server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(0..100)).await;
    server.keep_copy();
    rig.drained(journal.push_jobs(100..700)).await;
    server.roll_back();
    rig.counted("statistics_replayed").await;
    rig.drained(journal.push_jobs(700..710)).await;
    check_counted(&server, &journal);
    assert_eq!(rig.reporter.count("statistics_restored"), 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_rolled_back_beyond_history_is_raised() {
    let (mut server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(0..100)).await;
    server.keep_copy();
    rig.drained(journal.push_jobs(100..700)).await;
    journal.prune(400);
    server.roll_back();
    rig.counted("statistics_restored").await;
    rig.drained(journal.push_jobs(700..710)).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed_under_a_living_connection_is_restored() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let other = MemoryJournal::new("b");
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(0..300)).await;
    redis::cmd("FLUSHALL").query::<()>(&mut server.connect()).unwrap();
    // Nothing new to send: noticed all the same.
    rig.counted("statistics_restored").await;
    check_counted(&server, &journal);
    assert!(!server.connect().exists::<_, bool>(format!("{PREFIX}TOTAL/NEW_USERS/b-3")).unwrap());
    rig.drained(journal.push_jobs(300..310)).await;
    check_counted(&server, &journal);

    // Two agents share the keys: each adds its own part again.
    let second = Rig::new(&other, redis_sink(&server.url()));
    second.drained(other.push_jobs(0..5)).await;
    redis::cmd("FLUSHALL").query::<()>(&mut server.connect()).unwrap();
    second.drained(other.push_jobs(5..6)).await;
    rig.drained(journal.push_jobs(310..311)).await;
    let jobs: i64 = server.connect().hget(format!("{PREFIX}TOTAL/"), "jobs_completed").unwrap();
    assert_eq!(jobs, 311 + 6);
    rig.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_added_later_gets_the_ledger() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    journal.push_jobs(0..300);
    journal.prune(200);
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(300..310)).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_ahead_of_the_journal_moves_the_journal_on() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let key = format!("{PREFIX}CURSOR/{}", journal.agent_id());
    server.connect().set::<_, _, ()>(&key, 500).unwrap();
    journal.push_jobs(0..3);
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.counted("journal_behind").await;
    let seq = journal.push_jobs(3..5);
    assert_eq!(seq, 502);
    rig.drained(seq).await;
    let jobs: i64 = server.connect().hget(format!("{PREFIX}TOTAL/"), "jobs_completed").unwrap();
    assert_eq!(jobs, 2, "what Redis had counted is not counted again");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_key_of_another_type_costs_only_itself() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let mut redis = server.connect();
    redis.set::<_, _, ()>(format!("{PREFIX}ATLAS/"), "odd").unwrap();
    redis.hset::<_, _, _, ()>(format!("{PREFIX}TOTAL/"), "events", i64::MAX).unwrap();
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    let last = journal.push_jobs(0..10);
    rig.drained(last).await;
    assert!(rig.reporter.count("statistics_rejected") > 0);
    let fields: BTreeMap<String, i64> = redis
        .hgetall::<_, BTreeMap<String, String>>(format!("{PREFIX}TOTAL/"))
        .unwrap()
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.parse().ok()?)))
        .collect();
    assert_eq!((fields["jobs_completed"], fields["jobs_failed"], fields["events"]), (10, 1, i64::MAX));
    assert_eq!(cursor_of(&mut redis, &journal), Some(last));
    rig.stop().await;
}

/// Redis is made to refuse, and then not any more.
async fn check_refusal(set_up: &[&[&str]], mend: &[&[&str]], user: &str, told: &str) {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let command = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query::<redis::Value>(&mut server.connect()).unwrap();
    };
    for words in set_up {
        command(words);
    }
    let url = format!("redis://{user}127.0.0.1:{}", server.port());
    let rig = Rig::new(&journal, redis_sink(&url));
    let last = journal.push_jobs(0..10);
    let (reason, transient) = rig.down().await;
    assert!(reason.contains(told) && !transient && !reason.contains("hush"), "{reason}");
    for words in mend {
        command(words);
    }
    rig.drained(last).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_refusals_are_told_and_mended() {
    let replica: &[&[&str]] = &[&["REPLICAOF", "127.0.0.1", "1"]];
    check_refusal(replica, &[&["REPLICAOF", "NO", "ONE"]], "", "point the Redis URL to the primary").await;
    let full: &[&[&str]] = &[&["CONFIG", "SET", "maxmemory", "1"]];
    check_refusal(full, &[&["CONFIG", "SET", "maxmemory", "0"]], "", "maxmemory").await;
    let user: &[&[&str]] = &[&["ACL", "SETUSER", "scout", "on", ">other", "~*", "+@all"]];
    let password: &[&[&str]] = &[&["ACL", "SETUSER", "scout", ">hush"]];
    check_refusal(user, password, "scout:hush@", "check user and password").await;
    let user: &[&[&str]] = &[&["ACL", "SETUSER", "scout", "on", ">hush", "~*", "+@all", "-zincrby"]];
    let permission: &[&[&str]] = &[&["ACL", "SETUSER", "scout", "+zincrby"]];
    check_refusal(user, permission, "scout:hush@", "give the Redis user").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_full_midway_counts_once() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(0..50)).await;
    let limit = |bytes: &str| {
        redis::cmd("CONFIG").arg(&["SET", "maxmemory", bytes]).query::<()>(&mut server.connect()).unwrap();
    };
    limit("1");
    journal.push_jobs(50..80);
    rig.down().await;
    limit("0");
    rig.drained(80).await;
    check_counted(&server, &journal);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_starts_down_and_comes_up() {
    let (mut server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    server.stop();
    let last = journal.push_jobs(0..10);
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    assert!(rig.down().await.1);
    let left = rig.couriers.drained(last, Duration::from_millis(300)).await;
    assert_eq!(left.iter().map(|left| (left.sink, left.behind)).collect::<Vec<_>>(), [(SinkName::Redis, 10)]);
    server.restart();
    rig.drained(last).await;
    assert_eq!(rig.report().borrow().state, SinkState::Up);
    assert_eq!(rig.report().borrow().lag(), 0);
    rig.stop().await;
    check_counted(&server, &journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_by_tls() {
    let (server, journal) = (RedisServer::start_tls(), MemoryJournal::new("a"));
    let last = journal.push_jobs(0..10);
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    let (reason, _) = rig.down().await;
    assert!(reason.contains("certificate"), "{reason}");
    rig.stop().await;
    let mut sinks = redis_sink(&server.url());
    sinks.redis.as_mut().unwrap().ca_file = server.authority();
    let rig = Rig::new(&journal, sinks);
    rig.drained(last).await;
    assert_eq!(journal.at(SinkName::Redis), last);
    rig.stop().await;
}

// ---- RabbitMQ

/// One server for all tests that do not break it; each uses queues of its own.
fn rabbit() -> &'static RabbitServer {
    static SHARED: OnceLock<RabbitServer> = OnceLock::new();
    SHARED.get_or_init(RabbitServer::start)
}

fn queue(name: &str) -> QueueSettings {
    QueueSettings { queue: name.to_owned(), ..QueueSettings::new(rabbit().url()) }
}

async fn channel(server: &RabbitServer) -> (Connection, Channel) {
    let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

#[derive(Debug)]
struct Received {
    body: Vec<u8>,
    properties: BasicProperties,
}

impl Received {
    fn id(&self) -> String {
        self.properties.message_id().as_ref().unwrap().to_string()
    }
}

/// Takes `count` messages, then makes sure that there are no more.
async fn receive(channel: &Channel, queue: &str, count: usize) -> Vec<Received> {
    let mut received = Vec::new();
    while received.len() < count {
        let message = eventually_async("a message", || async {
            channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
        })
        .await;
        received.push(Received {
            body: message.delivery.data.clone(),
            properties: message.delivery.properties.clone(),
        });
    }
    assert!(channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap().is_none());
    received
}

fn ids(journal: &MemoryJournal, after: Seq) -> Vec<String> {
    journal.read(after, usize::MAX).unwrap().iter().map(|handover| handover.id.to_string()).collect()
}

async fn check_body(body: Body, content_type: &str, expected: impl Fn(&Handover) -> Vec<u8>) {
    let name = format!("body-{}", body.as_str());
    let journal = MemoryJournal::new("a");
    let last = journal.push_jobs(0..3);
    let rig = Rig::new(&journal, queue_sink(QueueSettings { body, ..queue(&name) }));
    rig.drained(last).await;
    let (_connection, channel) = channel(rabbit()).await;
    let received = receive(&channel, &name, 3).await;
    for (message, handover) in received.iter().zip(journal.read(0, 3).unwrap()) {
        assert_eq!(message.body, expected(&handover));
        let properties = &message.properties;
        assert_eq!(message.id(), handover.id.to_string());
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(properties.content_type().as_ref().unwrap().as_str(), content_type);
        assert_eq!(*properties.timestamp(), Some(handover.detected_at.seconds.unsigned_abs()));
        let headers = properties.headers().as_ref().unwrap().inner();
        let text = |key: &str| headers[key].as_long_string().unwrap().to_string();
        assert_eq!((text("path"), text("kind")), (handover.path.to_string(), "appeared".to_owned()));
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_sends_three_bodies() {
    check_body(Body::Json, "application/json", |handover| json_of(handover).into_bytes()).await;
    let text = |handover: &Handover| handover.jobdata_text.clone().unwrap().into_bytes();
    check_body(Body::Jobdata, "text/plain", text).await;
    let legacy = |handover: &Handover| format!("FILE_CREATED : /mnt/out/{}", handover.path).into_bytes();
    check_body(Body::Legacy, "text/plain", legacy).await;
}

fn queue_types() -> BTreeMap<String, String> {
    let list = rabbit().control(&["list_queues", "--silent", "name", "type"]);
    let pair =
        |line: &str| line.split_once('\t').map(|(name, kind)| (name.to_owned(), kind.trim().to_owned()));
    list.lines().filter_map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_uses_a_queue_as_it_is_and_declares_a_missing_one() {
    let (_connection, channel) = channel(rabbit()).await;
    let options = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("existing".into(), options, FieldTable::default()).await.unwrap();
    for (name, kind, declared) in [("existing", "classic", 0), ("missing", "quorum", 1)] {
        let journal = MemoryJournal::new("a");
        let last = journal.push_jobs(0..3);
        let rig = Rig::new(&journal, queue_sink(queue(name)));
        rig.drained(last).await;
        assert!(queue_types()[name].contains(kind), "{:?}", queue_types());
        assert_eq!(rig.reporter.count("queue_declared"), declared);
        receive(&channel, name, 3).await;
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_queue_deleted_is_declared_anew_and_nothing_is_lost() {
    let journal = MemoryJournal::new("a");
    let rig = Rig::new(&journal, queue_sink(queue("deleted")));
    let before = journal.push_jobs(0..10);
    rig.drained(before).await;
    let (_connection, channel) = channel(rabbit()).await;
    channel.queue_delete("deleted".into(), QueueDeleteOptions::default()).await.unwrap();
    let last = journal.push_jobs(10..400);
    rig.drained(last).await;
    let received: Vec<_> = receive(&channel, "deleted", 390).await.iter().map(Received::id).collect();
    assert_eq!(received, ids(&journal, before));
    assert_eq!(journal.refused(), []);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_message_too_large_is_refused_and_the_rest_arrives() {
    let journal = MemoryJournal::new("a");
    journal.push_jobs(0..20);
    let mut large = job(20);
    large.analysis.detail = Some("x".repeat(100_000));
    let refused = journal.push(large);
    let last = journal.push_jobs(21..40);
    let rig = Rig::new(&journal, queue_sink(queue("large")));
    rig.drained(last).await;
    let kept = journal.refused();
    assert_eq!(kept.iter().map(|entry| entry.1).collect::<Vec<_>>(), [refused]);
    assert!(kept[0].2.contains("larger than configured max size"), "{}", kept[0].2);
    let (_connection, channel) = channel(rabbit()).await;
    let mut found = Vec::new();
    while let Some(message) =
        channel.basic_get("large".into(), BasicGetOptions { no_ack: true }).await.unwrap()
    {
        found.push(message.delivery.properties.message_id().as_ref().unwrap().to_string());
    }
    let mut expected = ids(&journal, 0);
    expected.remove(20);
    found.sort();
    found.dedup();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(rig.report().borrow().refused, 1);
    assert_eq!(rig.reporter.count("sink_down"), 0, "one message is no outage");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_full_queue_is_waited_for_without_repeats() {
    let (_connection, channel) = channel(rabbit()).await;
    let mut limits = FieldTable::default();
    limits.insert("x-max-length".into(), AMQPValue::LongInt(20));
    limits.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    channel.queue_declare("full".into(), QueueDeclareOptions::default(), limits).await.unwrap();
    let journal = MemoryJournal::new("a");
    let last = journal.push_jobs(0..100);
    let rig = Rig::new(&journal, queue_sink(queue("full")));
    let (reason, _) = rig.down().await;
    assert!(reason.contains("length limit"), "{reason}");
    let mut received: Vec<_> = receive_some(&channel, "full", 100).await;
    rig.drained(last).await;
    received.sort();
    let mut expected = ids(&journal, 0);
    expected.sort();
    assert_eq!(received, expected);
    rig.stop().await;
}

async fn receive_some(channel: &Channel, queue: &str, count: usize) -> Vec<String> {
    let mut received = Vec::new();
    while received.len() < count {
        let message = eventually_async("a message", || async {
            channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
        });
        received.push(message.await.delivery.properties.message_id().as_ref().unwrap().to_string());
    }
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_broadcasts_copies() {
    let (_connection, channel) = channel(rabbit()).await;
    let journal = MemoryJournal::new("a");
    let settings = QueueSettings { broadcast: Some("live".to_owned()), ..queue("copied") };
    let rig = Rig::new(&journal, queue_sink(settings));
    rig.drained(journal.push_jobs(0..1)).await;
    channel
        .queue_declare("display".into(), QueueDeclareOptions::default(), FieldTable::default())
        .await
        .unwrap();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("display".into(), "live".into(), "".into(), bind, FieldTable::default())
        .await
        .unwrap();
    rig.drained(journal.push_jobs(1..6)).await;
    let copies: Vec<_> = receive(&channel, "display", 5).await.iter().map(Received::id).collect();
    assert_eq!(copies, ids(&journal, 1));
    receive(&channel, "copied", 6).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_queue_does_not_mind_a_broadcast_that_fails() {
    let (_connection, channel) = channel(rabbit()).await;
    let direct = ExchangeDeclareOptions::default();
    channel
        .exchange_declare("odd".into(), ExchangeKind::Direct, direct, FieldTable::default())
        .await
        .unwrap();
    let journal = MemoryJournal::new("a");
    let settings = QueueSettings { broadcast: Some("odd".to_owned()), ..queue("unaffected") };
    let rig = Rig::new(&journal, queue_sink(settings));
    rig.drained(journal.push_jobs(0..6)).await;
    receive(&channel, "unaffected", 6).await;
    assert_eq!((rig.reporter.count("broadcast_failed"), rig.reporter.count("sink_down")), (1, 0));
    rig.stop().await;
}

async fn check_amqp_refusal(url: String, told: &str) {
    let journal = MemoryJournal::new("a");
    let rig = Rig::new(&journal, queue_sink(QueueSettings { url, ..queue("refused") }));
    let (reason, transient) = rig.down().await;
    assert!(reason.contains(told) && !transient && !reason.contains("hush"), "{reason}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_refusals_are_told() {
    let port = rabbit().port();
    check_amqp_refusal(format!("amqp://guest:hush@127.0.0.1:{port}"), "check user and password").await;
    check_amqp_refusal(format!("amqp://guest:guest@127.0.0.1:{port}/farm"), "check the virtual host").await;
    rabbit().control(&["add_user", "reader", "hush"]);
    rabbit().control(&["set_permissions", "reader", "^$", "^$", ".*"]);
    check_amqp_refusal(format!("amqp://reader:hush@127.0.0.1:{port}"), "set_permissions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_by_tls() {
    let journal = MemoryJournal::new("a");
    let last = journal.push_jobs(0..10);
    let settings = QueueSettings { url: rabbit().tls_url(), ..queue("tls") };
    let rig = Rig::new(&journal, queue_sink(settings.clone()));
    let (reason, _) = rig.down().await;
    assert!(reason.contains("certificate"), "{reason}");
    rig.stop().await;
    let rig =
        Rig::new(&journal, queue_sink(QueueSettings { ca_file: Some(rabbit().authority()), ..settings }));
    rig.drained(last).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_server_away_killed_and_blocked() {
    let mut server = RabbitServer::start();
    let journal = MemoryJournal::new("a");
    let rig = Rig::new(
        &journal,
        queue_sink(QueueSettings { timeout: Duration::from_secs(2), ..QueueSettings::new(server.url()) }),
    );
    rig.drained(journal.push_jobs(0..10)).await;

    server.control(&["set_vm_memory_high_watermark", "0.000001"]);
    journal.push_jobs(10..20);
    rig.state("blocked", |state| matches!(state, SinkState::Blocked { .. })).await;
    // Longer than the time-out: waited for, not torn down.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(rig.report().borrow().state, SinkState::Blocked { .. }));
    server.control(&["set_vm_memory_high_watermark", "absolute", "2GB"]);
    rig.drained(20).await;
    assert_eq!(rig.reporter.count("sink_down"), 0);

    journal.push_jobs(20..2_000);
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.kill();
    rig.down().await;
    let last = journal.push_jobs(2_000..2_100);
    server.restart();
    rig.drained(last).await;
    let (_connection, channel) = channel(&server).await;
    let mut received = Vec::new();
    while let Some(message) =
        channel.basic_get("t4tc_monitor".into(), BasicGetOptions { no_ack: true }).await.unwrap()
    {
        received.push(message.delivery.properties.message_id().as_ref().unwrap().to_string());
    }
    let repeats = received.len() - 2_100;
    assert!(repeats <= 256, "at most one window is repeated: {repeats}");
    received.sort();
    received.dedup();
    let mut expected = ids(&journal, 0);
    expected.sort();
    assert_eq!(received, expected);
    rig.stop().await;
}

/// Runs the example worker until it has seen `count` new ids; gives its lines.
fn work(queue: &str, ids: &std::path::Path, count: u32) -> Vec<String> {
    let test = std::env::current_exe().unwrap();
    let worker = test.ancestors().nth(2).unwrap().join("examples/worker");
    assert!(worker.exists(), "build it first: cargo build --examples");
    let output = std::process::Command::new(worker)
        .args(["--amqp", &rabbit().url(), "--queue", queue, "--count", &count.to_string(), "--ids"])
        .arg(ids)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_does_each_job_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    let journal = MemoryJournal::new("a");
    for round in 0..2 {
        // The second round sends the first one's messages again.
        journal.set_cursor(SinkName::Amqp, 0);
        let rig = Rig::new(&journal, queue_sink(queue("worker")));
        rig.drained(journal.push_jobs(round * 10..round * 10 + 10)).await;
        rig.stop().await;
        let after = journal.head().unwrap() - 10;
        let lines = tokio::task::block_in_place(|| work("worker", &file, 10));
        let expected: Vec<_> = (journal.read(after, 10).unwrap().iter())
            .map(|handover| format!("{} appeared {}", handover.id, handover.path))
            .collect();
        assert_eq!(lines, expected);
    }
    let known: Vec<_> = std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(known, ids(&journal, 0));
    let (_connection, channel) = channel(rabbit()).await;
    receive(&channel, "worker", 0).await;
}

// ---- All sinks

#[tokio::test(flavor = "multi_thread")]
async fn sinks_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let journal = MemoryJournal::new("a");
    let sinks = Sinks {
        events: Some(EventsTarget::File(file.clone())),
        redis: Some(RedisSettings::new(format!("redis://127.0.0.1:{}", free_port()))),
        amqp: Some(queue("independent")),
    };
    let rig = Rig::new(&journal, sinks);
    let last = journal.push_jobs(0..500);
    let left = rig.couriers.drained(last, Duration::from_secs(15)).await;
    assert_eq!(left.iter().map(|left| left.sink).collect::<Vec<_>>(), [SinkName::Redis]);
    let lines = std::fs::read_to_string(&file).unwrap();
    let expected: String =
        journal.read(0, 500).unwrap().iter().map(|handover| json_of(handover) + "\n").collect();
    assert_eq!(lines, expected);

    std::fs::rename(&file, folder.path().join("events.1")).unwrap();
    rig.couriers.reopen();
    eventually("a new file", || file.exists().then_some(()));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_confirm_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let journal = MemoryJournal::new("a");
    let rig =
        Rig::new(&journal, Sinks { events: Some(EventsTarget::File(file.clone())), ..Sinks::default() });
    rig.drained(journal.push_jobs(0..10)).await;
    journal.fail_confirms(true);
    journal.push_jobs(10..20);
    assert!(rig.down().await.0.contains("disk full"));
    journal.fail_confirms(false);
    rig.drained(journal.push_jobs(20..30)).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 30);
    rig.stop().await;
}

struct Panicking;

impl Journal for Panicking {
    fn agent_id(&self) -> String {
        String::new()
    }
    fn cursor(&self, _: SinkName) -> Result<Seq, JournalError> {
        panic!("a bug")
    }
    fn head(&self) -> Result<Seq, JournalError> {
        Ok(0)
    }
    fn read(&self, _: Seq, _: usize) -> Result<Vec<Handover>, JournalError> {
        Ok(Vec::new())
    }
    fn oldest(&self) -> Result<Seq, JournalError> {
        Ok(1)
    }
    fn confirm(&self, _: SinkName, _: Seq) -> Result<(), JournalError> {
        Ok(())
    }
    fn refuse(&self, _: SinkName, _: Seq, _: &str) -> Result<(), JournalError> {
        Ok(())
    }
    fn totals(&self) -> Result<(Seq, Totals), JournalError> {
        Ok((0, Totals::default()))
    }
    fn outrun(&self, _: Seq) -> Result<(), JournalError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_seen() {
    let (_head, reader) = watch::channel(0);
    let mut couriers = start(
        redis_sink("redis://127.0.0.1:1"),
        Arc::new(Panicking),
        reader,
        Mode::Agent,
        Reporter::default(),
        CancellationToken::new(),
    );
    let (sink, outcome) = couriers.ended().await.unwrap();
    assert_eq!(sink, SinkName::Redis);
    assert!(matches!(outcome, Err(DispatchError::Failed { source, .. }) if source.is_panic()));
    assert!(couriers.ended().await.is_none());
}
