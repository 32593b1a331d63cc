//! Looking at brokers: what they tell, and that nothing is changed by asking.

use nfs_scout::dispatch::{impossible_arguments, look_at_queue, look_at_redis};

use crate::queue::{channel, queue, rabbit};
use crate::*;

/// Declares a queue with these arguments and looks at it.
async fn look(name: &str, options: QueueDeclareOptions, arguments: &[(&str, AMQPValue)]) -> QueueLook {
    let (_connection, channel) = channel(rabbit()).await;
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    channel.queue_declare(name.into(), options, table).await.unwrap();
    look_at_queue(&queue(name)).await.unwrap().unwrap()
}

#[track_caller]
fn check(found: &QueueLook, durable: bool, auto_delete: bool, arguments: &[(&str, &str)]) {
    let arguments = arguments.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let expected = QueueLook { durable, auto_delete, arguments, ..QueueLook::default() };
    assert_eq!(found, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_look_learns_what_a_queue_is_like() {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let passing = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let quorum = ("x-queue-type", text("quorum"));
    check(&look("look-plain", durable, &[]).await, true, false, &[]);
    let found = look("look-quorum", durable, std::slice::from_ref(&quorum)).await;
    check(&found, true, false, &[("x-queue-type", "quorum")]);
    check(&look("look-passing", passing, &[]).await, false, true, &[]);
    let arguments = [
        ("x-max-length", AMQPValue::LongInt(10)),
        ("x-message-ttl", AMQPValue::LongLongInt(60_000)),
        ("x-dead-letter-exchange", text("it's a 'place'")),
        ("x-dead-letter-routing-key", text("dead")),
        ("x-max-priority", AMQPValue::ShortInt(5)),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
    ];
    let found = look("look-classic", durable, &arguments).await;
    let told = [
        ("x-max-length", "10"),
        ("x-message-ttl", "60000"),
        ("x-dead-letter-exchange", "it's a 'place'"),
        ("x-dead-letter-routing-key", "dead"),
        ("x-max-priority", "5"),
        ("x-single-active-consumer", "true"),
    ];
    check(&found, true, false, &told);
}

/// Not even by the declarations that ask: each impossible value alone keeps the broker from creating a queue.
#[tokio::test(flavor = "multi_thread")]
async fn amqp_look_never_creates_a_queue() {
    let name = "look-absent";
    assert_eq!(look_at_queue(&queue(name)).await.unwrap(), None);
    let (connection, _channel) = channel(rabbit()).await;
    for kind in [None, Some("classic"), Some("quorum"), Some("stream")] {
        for (key, value) in impossible_arguments() {
            let mut table = FieldTable::default();
            if let Some(kind) = kind {
                table.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
            }
            table.insert(key.into(), value);
            let channel = connection.create_channel().await.unwrap();
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            let error = channel.queue_declare(name.into(), durable, table).await.unwrap_err().to_string();
            assert!(error.contains("PRECONDITION_FAILED"), "{key} for {kind:?}: {error}");
        }
    }
    let queues = rabbit().control(&["list_queues", "--silent", "name"]);
    assert!(!queues.contains(name), "{queues}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_look_over_tls_and_at_nobody() {
    let server = rabbit();
    let tls = QueueSettings { url: server.tls_url(), ca_file: Some(server.authority()), ..queue("look-tls") };
    assert_eq!(look_at_queue(&tls).await.unwrap(), None);
    let stranger = QueueSettings { ca_file: None, ..tls };
    look_at_queue(&stranger).await.unwrap_err();
    let nobody = QueueSettings { url: format!("amqp://127.0.0.1:{}", free_port()), ..queue("q") };
    look_at_queue(&nobody).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_look_tells_what_the_server_says_and_writes_nothing() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let settings = RedisSettings::new(server.url());
    let look = look_at_redis(&settings).await.unwrap();
    assert_eq!((look.max_memory, look.eviction.as_str()), (100 << 20, "allkeys-lru"));
    assert_eq!((look.has_log, look.has_snapshots, look.role), (true, Some(false), RedisRole::Primary));
    assert!(look.failing.is_empty() && look.version.contains('.'), "{look:?}");
    let keys: i64 = redis::cmd("DBSIZE").query(&mut server.connect()).unwrap();
    assert_eq!((keys, server.log_bytes()), (0, 0));

    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &server.port().to_string()]);
    let look = look_at_redis(&RedisSettings::new(replica.url())).await.unwrap();
    assert_eq!(look.role, RedisRole::Replica);
    let tls = RedisServer::start_tls();
    let settings = RedisSettings { ca_file: tls.authority(), ..RedisSettings::new(tls.url()) };
    look_at_redis(&settings).await.unwrap();
    look_at_redis(&RedisSettings { ca_file: None, ..settings }).await.unwrap_err();
}

/// What `doctor` finds of the brokers: its exit code, and verdict, evidence and remedy of a check.
fn doctor(redis: &RedisServer, queue: &str) -> (Option<i32>, impl Fn(&str) -> (String, String) + use<>) {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nfs-scout"))
        .args(["doctor", "--json", "--config", "/dev/null", "--amqp-queue", queue, "--state"])
        .args([&folder.path().join("state"), folder.path()])
        .env("NFS_SCOUT_REDIS", redis.url())
        .env("NFS_SCOUT_AMQP", rabbit().url())
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("guest:guest"), "{told:#}");
    let find = move |check: &str| {
        let findings = told["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["check"] == check);
        let found = found.unwrap_or_else(|| panic!("no finding on {check}: {told:#}"));
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        (text("verdict"), format!("{} -> {}", text("evidence"), text("remedy")))
    };
    (output.status.code(), find)
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_brokers_that_do_not_keep_what_they_get() {
    let sound = RedisServer::start();
    let (code, found) = doctor(&sound, "doctor-absent");
    // The state directory lies below the watched one, which is the one fault.
    assert_eq!(code, Some(1));
    for check in
        ["redis connection", "redis server", "redis eviction", "redis persistence", "rabbitmq connection"]
    {
        assert_eq!(found(check).0, "ok", "{check}: {:?}", found(check));
    }
    assert!(found("queue doctor-absent").1.contains("does not exist yet"));

    let lossy = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let (_connection, channel) = channel(rabbit()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(60_000));
    channel.queue_declare("doctor-lossy".into(), QueueDeclareOptions::default(), arguments).await.unwrap();
    let (code, found) = doctor(&lossy, "doctor-lossy");
    assert_eq!(code, Some(69));
    let (verdict, told) = found("redis eviction");
    assert!(
        verdict == "fault" && told.contains("allkeys-lru") && told.contains("noeviction"),
        "{verdict} {told}"
    );
    let (verdict, told) = found("queue doctor-lossy");
    assert!(verdict == "warning" && told.contains("not durable, x-message-ttl=60000"), "{verdict} {told}");
    assert!(told.contains("expire after 60000 ms") && told.contains("delete_queue doctor-lossy"), "{told}");

    let mut gone = sound;
    gone.stop();
    let (code, found) = doctor(&gone, "doctor-absent");
    assert_eq!((code, found("redis").0.as_str()), (Some(69), "fault"));
}
