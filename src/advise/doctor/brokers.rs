//! Redis and `RabbitMQ`: whether they answer, and whether they keep what they are given.

use super::facts::{BrokerFacts, QueueFacts};
use super::finding::{Area, Finding, Verdict};
use crate::model::{QueueLook, RedisLook, RedisRole};

/// The oldest Redis whose scripts and commands suffice.
const OLDEST_REDIS: (u32, u32) = (6, 2);

/// Judges Redis.
pub(super) fn redis(facts: &BrokerFacts<RedisLook>) -> Vec<Finding> {
    let redis = match &facts.told {
        Ok(redis) => redis,
        Err(reason) => return vec![unreachable("redis", &facts.url, reason)],
    };
    vec![way("redis", facts), redis_server(redis), eviction(redis), persistence(redis)]
}

/// Judges the queue.
pub(super) fn queue(facts: &BrokerFacts<QueueFacts>) -> Vec<Finding> {
    match &facts.told {
        Ok(queue) => vec![way("rabbitmq", facts), queue_itself(queue)],
        Err(reason) => vec![unreachable("rabbitmq", &facts.url, reason)],
    }
}

fn unreachable(name: &str, url: &str, reason: &str) -> Finding {
    Finding::bad(
        Area::Broker,
        name,
        Verdict::Fault,
        format!("{url}: {reason}"),
        "start it, or correct the URL, the user or the certificates; until then the agent keeps what it has to send",
    )
}

/// How it is reached.
fn way<T>(name: &str, facts: &BrokerFacts<T>) -> Finding {
    let (check, url) = (format!("{name} connection"), &facts.url);
    if facts.is_tls {
        return Finding::ok(Area::Broker, &check, format!("{url} answers, over TLS"));
    }
    if facts.is_local {
        return Finding::ok(Area::Broker, &check, format!("{url} answers, on this machine"));
    }
    let (verdict, what) = if facts.has_password {
        (Verdict::Warning, "the password and all messages cross the network unencrypted")
    } else {
        (Verdict::Note, "all messages cross the network unencrypted")
    };
    let remedy = "use rediss:// or amqps:// (--redis-ca, --amqp-ca for an authority of your own)";
    Finding::bad(Area::Broker, &check, verdict, format!("{url} answers; {what}"), remedy)
}

fn redis_server(redis: &RedisLook) -> Finding {
    let check = "redis server";
    let fault =
        |evidence: String, remedy: &str| Finding::bad(Area::Broker, check, Verdict::Fault, evidence, remedy);
    let version = &redis.version;
    if is_old(version) {
        return fault(format!("version {version}"), "use Redis 6.2 or later");
    }
    match redis.role {
        RedisRole::Primary => Finding::ok(Area::Broker, check, format!("version {version}, takes writes")),
        RedisRole::Replica => {
            fault(format!("version {version}, a replica"), "point the Redis URL to the primary")
        }
        RedisRole::ClusterNode => fault(
            format!("version {version}, a cluster node"),
            "use a single Redis: one script changes many keys",
        ),
        RedisRole::Loading => Finding::bad(
            Area::Broker,
            check,
            Verdict::Warning,
            format!("version {version}, reads its data from disk"),
            "wait until it is done; the agent waits too",
        ),
    }
}

fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST_REDIS,
        // What calls itself otherwise is not judged by its number.
        _ => false,
    }
}

fn eviction(redis: &RedisLook) -> Finding {
    let (check, policy) = ("redis eviction", &redis.eviction);
    let evidence = match redis.max_memory {
        0 => format!("maxmemory-policy {policy}, no maxmemory"),
        bytes => format!("maxmemory-policy {policy} at {bytes} bytes, {} keys evicted so far", redis.evicted),
    };
    let verdict = match (policy.starts_with("allkeys-"), redis.max_memory) {
        (false, _) => return Finding::ok(Area::Broker, check, evidence),
        (true, 0) => Verdict::Warning,
        (true, _) => Verdict::Fault,
    };
    Finding::bad(
        Area::Broker,
        check,
        verdict,
        format!("{evidence}: statistics are dropped when the memory is full"),
        "CONFIG SET maxmemory-policy noeviction (and in redis.conf), or use a Redis of its own for the statistics",
    )
}

fn persistence(redis: &RedisLook) -> Finding {
    let check = "redis persistence";
    if !redis.failing.is_empty() {
        return Finding::bad(
            Area::Broker,
            check,
            Verdict::Fault,
            redis.failing.join(", "),
            "make room on Redis's disk and see its log: a Redis that cannot save refuses writes",
        );
    }
    match (redis.has_log, redis.has_snapshots) {
        (true, _) => Finding::ok(Area::Broker, check, "append-only file"),
        (false, Some(true)) => Finding::ok(
            Area::Broker,
            check,
            "snapshots only: what came after the last is applied again from the agent's history",
        ),
        (false, Some(false)) => Finding::bad(
            Area::Broker,
            check,
            Verdict::Warning,
            "nothing is kept over a restart",
            "CONFIG SET appendonly yes (and in redis.conf); totals are restored from the agent's ledger, event_rate and \
             NEW_USERS are not",
        ),
        (false, None) => Finding::ok(Area::Broker, check, "no append-only file; snapshots cannot be seen"),
    }
}

fn queue_itself(facts: &QueueFacts) -> Finding {
    let (check, name) = (format!("queue {}", facts.name), &facts.name);
    let Some(queue) = &facts.found else {
        let what = "does not exist yet: the agent declares it, a durable quorum queue, at its first start";
        return Finding::ok(Area::Broker, &check, what);
    };
    let arguments: Vec<String> =
        queue.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let arguments = if arguments.is_empty() { "no arguments".to_owned() } else { arguments.join(", ") };
    let seen = match &queue.unseen {
        Some(reason) => format!("what it is like cannot be seen ({reason})"),
        None => format!("{}, {arguments}", if queue.durable { "durable" } else { "not durable" }),
    };
    let evidence = format!("{seen}; {} messages, {} consumers", queue.messages, queue.consumers);
    let losses = losses(queue);
    if losses.is_empty() {
        let policies = "policies cannot be seen from here";
        return Finding::ok(Area::Broker, &check, format!("{evidence}; {policies}"));
    }
    Finding::bad(
        Area::Broker,
        &check,
        Verdict::Warning,
        format!("{evidence}: {}", losses.join("; ")),
        format!(
            "if that is not wanted: stop the agent, empty and delete the queue (rabbitmqctl delete_queue {name}), and the \
             agent declares a durable quorum queue; limits: x-overflow=reject-publish, which it waits for"
        ),
    )
}

/// The ways in which this queue loses what it confirmed.
fn losses(queue: &QueueLook) -> Vec<String> {
    let mut losses = Vec::new();
    let argument = |name: &str| queue.arguments.get(name).map(String::as_str);
    if queue.unseen.is_none() && !queue.durable {
        losses.push("messages are lost when RabbitMQ restarts".to_owned());
    }
    if queue.auto_delete {
        losses.push("the queue is deleted with its last consumer, with its messages".to_owned());
    }
    if let Some(ms) = argument("x-message-ttl") {
        losses.push(format!("messages expire after {ms} ms"));
    }
    if let Some(ms) = argument("x-expires") {
        losses.push(format!("the queue is deleted after {ms} ms without a consumer"));
    }
    let rejects = argument("x-overflow").is_some_and(|overflow| overflow.starts_with("reject-publish"));
    for (name, unit) in [("x-max-length", "messages"), ("x-max-length-bytes", "bytes")] {
        if let Some(most) = argument(name).filter(|_| !rejects) {
            losses.push(format!("over {most} {unit} the oldest is dropped"));
        }
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> RedisLook {
        RedisLook {
            version: "7.0.15".to_owned(),
            eviction: "noeviction".to_owned(),
            has_log: true,
            ..RedisLook::default()
        }
    }

    fn broker<T>(told: Result<T, String>) -> BrokerFacts<T> {
        let url = "redis://host".to_owned();
        BrokerFacts { url, is_tls: true, is_local: false, has_password: true, told }
    }

    #[track_caller]
    fn check(findings: &[Finding], expected: &[(&str, Verdict)]) {
        let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Ok);
        let bad: Vec<_> = bad.map(|finding| (finding.check.as_str(), finding.verdict)).collect();
        assert_eq!(bad, expected, "{findings:?}");
    }

    #[track_caller]
    fn check_redis(facts: RedisLook, expected: &[(&str, Verdict)]) {
        check(&redis(&broker(Ok(facts))), expected);
    }

    #[test]
    fn judges_redis() {
        use Verdict::{Fault, Warning};
        let policy = "allkeys-lru".to_owned();
        check_redis(sound(), &[]);
        check_redis(RedisLook { version: "6.0.16".to_owned(), ..sound() }, &[("redis server", Fault)]);
        check_redis(RedisLook { version: "10.1".to_owned(), ..sound() }, &[]);
        check_redis(RedisLook { role: RedisRole::Replica, ..sound() }, &[("redis server", Fault)]);
        check_redis(RedisLook { role: RedisRole::ClusterNode, ..sound() }, &[("redis server", Fault)]);
        check_redis(RedisLook { role: RedisRole::Loading, ..sound() }, &[("redis server", Warning)]);
        let full = RedisLook { eviction: policy.clone(), max_memory: 1, ..sound() };
        check_redis(full, &[("redis eviction", Fault)]);
        check_redis(RedisLook { eviction: policy, ..sound() }, &[("redis eviction", Warning)]);
        check_redis(RedisLook { eviction: "volatile-ttl".to_owned(), max_memory: 1, ..sound() }, &[]);
        let failing = vec!["aof_last_write_status:err".to_owned()];
        check_redis(RedisLook { failing, ..sound() }, &[("redis persistence", Fault)]);
        let forgetful = RedisLook { has_log: false, has_snapshots: Some(false), ..sound() };
        check_redis(forgetful, &[("redis persistence", Warning)]);
        check_redis(RedisLook { has_log: false, has_snapshots: Some(true), ..sound() }, &[]);
        check(&redis(&broker(Err("refused".to_owned()))), &[("redis", Fault)]);
    }

    #[test]
    fn judges_the_way() {
        let plain = |is_local, has_password| {
            let facts = BrokerFacts { is_tls: false, is_local, has_password, ..broker(Ok(sound())) };
            way("redis", &facts).verdict
        };
        assert_eq!(plain(true, true), Verdict::Ok);
        assert_eq!(plain(false, true), Verdict::Warning);
        assert_eq!(plain(false, false), Verdict::Note);
    }

    #[track_caller]
    fn check_queue(durable: bool, arguments: &[(&str, &str)], told: &[&str]) {
        let pairs = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let found = Some(QueueLook { durable, arguments: pairs.collect(), ..QueueLook::default() });
        let finding = queue_itself(&QueueFacts { name: "q".to_owned(), found });
        let expected = if told.is_empty() { Verdict::Ok } else { Verdict::Warning };
        assert_eq!(finding.verdict, expected, "{finding:?}");
        for part in told {
            assert!(finding.evidence.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn judges_a_queue_by_what_it_loses() {
        check_queue(true, &[("x-queue-type", "quorum")], &[]);
        check_queue(true, &[], &[]);
        check_queue(false, &[], &["not durable", "when RabbitMQ restarts"]);
        check_queue(true, &[("x-message-ttl", "60000")], &["x-message-ttl=60000", "expire after 60000 ms"]);
        check_queue(true, &[("x-max-length", "10")], &["over 10 messages the oldest is dropped"]);
        check_queue(true, &[("x-max-length", "10"), ("x-overflow", "reject-publish")], &[]);
        check_queue(true, &[("x-expires", "9")], &["deleted after 9 ms"]);
        let unseen = QueueLook { unseen: Some("denied".to_owned()), ..QueueLook::default() };
        let facts = QueueFacts { found: Some(unseen), ..QueueFacts::default() };
        assert_eq!(queue_itself(&facts).verdict, Verdict::Ok);
        assert!(queue_itself(&QueueFacts::default()).evidence.contains("does not exist yet"));
    }
}
