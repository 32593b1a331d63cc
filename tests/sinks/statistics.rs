//! Redis: what is counted, whatever breaks in between.

use crate::*;

const PREFIX: &str = "T4TC_MONITOR/";

/// Everything that Redis counts, in the ledger's form.
fn counted_in(redis: &mut redis::Connection) -> Totals {
    let mut totals = Totals::default();
    for namespace in [TOTAL, "ATLAS"] {
        let base = format!("{PREFIX}{namespace}/");
        for counter in Counter::ALL {
            if let Some(value) = redis.hget::<_, _, Option<i64>>(&base, counter.as_str()).unwrap() {
                totals.add_figure(Figure::Count { namespace, counter, value });
            }
        }
        for board in Board::ALL {
            let key = format!("{base}{}", board.as_str());
            for (member, value) in redis.zrange_withscores::<_, Vec<(String, f64)>>(&key, 0, -1).unwrap() {
                totals.add_figure(Figure::Score { namespace, board, member: &member, value });
            }
        }
        for user in redis.smembers::<_, Vec<String>>(format!("{base}USERS")).unwrap() {
            totals.add_figure(Figure::User { namespace, user: &user });
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
        figures: None,
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
async fn redis_counts_once_what_is_sent_by_two() {
    // The same changes on two connections at once, as when a lost one delivers late.
    let (server, journal, double) = (RedisServer::start(), MemoryJournal::new("a"), MemoryJournal::new("a"));
    let rigs = [&journal, &double].map(|journal| Rig::new(journal, redis_sink(&server.url())));
    for round in 0..20 {
        let numbers = round * 100..(round + 1) * 100;
        journal.push_jobs(numbers.clone());
        double.push_jobs(numbers);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for rig in rigs {
        rig.drained(2_000).await;
        rig.stop().await;
    }
    check_counted(&server, &journal);
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

/// What is to be replayed is confirmed, so it may be dropped, like any old history, before it was.
#[tokio::test(flavor = "multi_thread")]
async fn redis_rolled_back_is_raised_when_its_replay_is_dropped_meanwhile() {
    for (oldest, how) in [(101, "replayed"), (102, "restored"), (400, "restored"), (701, "restored")] {
        let (mut server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
        let rig = Rig::new(&journal, redis_sink(&server.url()));
        rig.drained(journal.push_jobs(0..100)).await;
        server.keep_copy();
        rig.drained(journal.push_jobs(100..700)).await;
        journal.prune_once_asked(oldest);
        server.roll_back();
        rig.counted(&format!("statistics_{how}")).await;
        rig.drained(journal.push_jobs(700..710)).await;
        check_counted(&server, &journal);
        assert_eq!(rig.reporter.count("statistics_restored"), u64::from(how == "restored"), "{oldest}");
        rig.stop().await;
    }
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

/// How often Redis ran a command, within scripts too.
fn calls_of(redis: &mut redis::Connection, command: &str) -> u64 {
    let told: String = redis::cmd("INFO").arg("commandstats").query(redis).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// The rate's refresh rests 20 times as long as it took. A Redis that lost its figures must be noticed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn redis_is_looked_after_while_the_rate_rests() {
    let (server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let mut redis = server.connect();
    let buffer = format!("{PREFIX}TOTAL/EVENT_BUFFER");
    let soon = journal.push(job(1));
    let at = journal.read(0, 1).unwrap()[0].detected_at.as_millis();
    for part in 0..30 {
        let members: Vec<(i64, String)> =
            (0..10_000).map(|number| (at, format!("{part}-{number}_1_x"))).collect();
        redis.zadd_multiple::<_, _, _, ()>(&buffer, &members).unwrap();
    }
    let rig = Rig::new(&journal, redis_sink(&server.url()));
    rig.drained(soon).await;
    eventually("a rate", || {
        redis.hget::<_, _, Option<String>>(format!("{PREFIX}TOTAL/"), "event_rate").unwrap()
    });
    redis::cmd("CONFIG").arg("RESETSTAT").query::<()>(&mut redis).unwrap();
    // A script reads the cursor too: what is above their number are the looks between them.
    eventually("looks between two refreshes", || {
        let (reads, scripts) = (calls_of(&mut redis, "get"), calls_of(&mut redis, "evalsha"));
        assert!(
            scripts < 10,
            "{reads} reads, {scripts} scripts: the rate does not rest, so this shows nothing"
        );
        (reads >= scripts + 3).then_some(())
    });
    rig.stop().await;
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

/// Two batches of 40 are counted; then Redis is killed, and starts with a log that ends within the second one.
async fn with_a_cut_log(server: &mut RedisServer, journal: &Arc<MemoryJournal>) -> Rig {
    let rig = Rig::new(journal, redis_sink(&server.url()));
    rig.drained(journal.push_jobs(0..40)).await;
    rig.drained(journal.push_jobs(40..80)).await;
    server.kill();
    server.cut_log_within_a_batch();
    server.restart();
    rig
}

/// And killed again before its log was written anew: what was appended by then has made a whole transaction of the
/// beginning, so that Redis counts some of the batch. The cursor must not say that it is all.
#[tokio::test(flavor = "multi_thread")]
async fn redis_log_cut_within_a_batch_counts_everything_when_killed_again() {
    // Writing the log anew takes some seconds once there are keys.
    let mut server = RedisServer::start_with(&["--rdb-key-save-delay", "100000"]);
    let journal = MemoryJournal::new("a");
    let rig = with_a_cut_log(&mut server, &journal).await;
    let mut connection = server.connect();
    eventually("a log that is being written anew", || {
        let info: String = redis::cmd("INFO").arg("persistence").query(&mut connection).unwrap();
        info.contains("aof_rewrite_in_progress:1").then_some(())
    });
    server.kill();
    server.restart();
    rig.counted("statistics_restored").await;
    rig.drained(journal.push_jobs(80..100)).await;
    check_counted(&server, &journal);
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

/// Redis keeps the beginning of a transaction that its log was cut in, and applies it one start later.
#[tokio::test(flavor = "multi_thread")]
async fn redis_log_cut_within_a_batch_counts_nothing_twice() {
    let (mut server, journal) = (RedisServer::start(), MemoryJournal::new("a"));
    let rig = with_a_cut_log(&mut server, &journal).await;
    rig.counted("statistics_replayed").await;
    rig.drained(journal.push_jobs(80..100)).await;
    server.stop();
    server.restart();
    rig.drained(journal.push_jobs(100..110)).await;
    check_counted(&server, &journal);
    assert_eq!(rig.reporter.count("statistics_log_old"), 0);
    rig.stop().await;
}
