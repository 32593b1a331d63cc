//! RabbitMQ: what is queued, whatever breaks in between.

use crate::*;

/// One server for all tests that do not break it; each uses queues of its own.
pub(crate) fn rabbit() -> &'static RabbitServer {
    static SHARED: OnceLock<RabbitServer> = OnceLock::new();
    SHARED.get_or_init(RabbitServer::start)
}

pub(crate) fn queue(name: &str) -> QueueSettings {
    QueueSettings { queue: name.to_owned(), ..QueueSettings::new(rabbit().url()) }
}

pub(crate) async fn channel(server: &RabbitServer) -> (Connection, Channel) {
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
    let last = journal.push_jobs(0..1_000);
    let rig = Rig::new(&journal, queue_sink(queue("full")));
    let (reason, _) = rig.down().await;
    assert!(reason.contains("length limit"), "{reason}");
    // Room comes while windows are under way: some of their messages are taken after others were not.
    let mut received: Vec<_> = receive_some(&channel, "full", 1_000).await;
    rig.drained(last).await;
    let mut expected = ids(&journal, 0);
    let turn_of: HashMap<_, _> = expected.iter().cloned().zip(0..).collect();
    let most_ahead = received.iter().zip(0..).map(|(id, place)| turn_of[id] - place).max();
    assert!(
        most_ahead < Some(8),
        "sent behind one that was not taken: {most_ahead:?} of 7, the others of a window"
    );
    received.sort();
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
    assert!(repeats <= 32, "at most one window is repeated: {repeats}");
    received.sort();
    received.dedup();
    let mut expected = ids(&journal, 0);
    expected.sort();
    assert_eq!(received, expected);
    rig.stop().await;
}

/// A broker of this kind forgets a quorum queue that it declared within the last second, with all that it confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn amqp_first_confirms_survive_a_broker_killed_at_once() {
    let mut server = RabbitServer::start();
    let journal = MemoryJournal::new("a");
    let last = journal.push_jobs(0..20);
    let rig = Rig::new(&journal, queue_sink(QueueSettings::new(server.url())));
    rig.drained(last).await;
    server.kill();
    rig.stop().await;
    server.restart();
    let (_connection, channel) = channel(&server).await;
    let received: Vec<_> = receive(&channel, "t4tc_monitor", 20).await.iter().map(Received::id).collect();
    assert_eq!(received, ids(&journal, 0));
}

/// Such a queue takes messages and never confirms one.
#[tokio::test(flavor = "multi_thread")]
async fn amqp_queue_without_a_leader_is_told_with_its_remedy() {
    let server = rabbit();
    let journal = MemoryJournal::new("a");
    let settings = QueueSettings { timeout: Duration::from_secs(2), ..queue("leaderless") };
    let rig = Rig::new(&journal, queue_sink(settings));
    rig.drained(journal.push_jobs(0..5)).await;
    server.control(&["eval", "ra:stop_server(quorum_queues, {'%2F_leaderless', node()})."]);
    let last = journal.push_jobs(5..10);
    let (reason, transient) = rig.down().await;
    assert!(reason.contains("queue leaderless confirmed nothing within 2s") && transient, "{reason}");
    assert!(reason.contains("rabbitmqctl list_queues name leader"), "{reason}");
    server.control(&["eval", "ra:restart_server(quorum_queues, {'%2F_leaderless', node()})."]);
    rig.drained(last).await;
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
