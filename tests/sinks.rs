//! The sinks against real servers: what is counted and queued, whatever breaks in between.

mod support;

use support::servers::*;

#[test]
fn trial() {
    let start = std::time::Instant::now();
    let mut rabbit = RabbitServer::start();
    eprintln!("rabbit up {:?}", start.elapsed());
    eprintln!("{}", rabbit.control(&["list_queues"]));
    eprintln!("ctl {:?}", start.elapsed());
    rabbit.restart();
    eprintln!("restart {:?}", start.elapsed());
    let redis = RedisServer::start_tls();
    eprintln!("redis {} {:?}", redis.port(), start.elapsed());
}
