//! What a Redis server is like, by what it tells of itself: nothing is written, no key is named.

use std::time::Duration;

use redis::cmd;

use crate::dispatch::redis_log::field;
use crate::dispatch::statistics::Statistics;
use crate::dispatch::{Mode, RedisSettings, SinkError, trust};
use crate::event::Reporter;
use crate::model::{RedisLook, RedisRole};

/// Connects as a courier would and asks the server about itself.
pub async fn look_at_redis(settings: &RedisSettings) -> Result<RedisLook, SinkError> {
    trust::install_provider();
    let patience = settings.timeout;
    let statistics = Statistics::new(settings.clone(), Mode::Once, Reporter::default());
    let mut connection = statistics.dial().await?;
    let asking = async { cmd("INFO").query_async::<String>(&mut connection).await };
    let info = statistics.within(patience, asking).await?;
    let asking =
        async { cmd("CONFIG").arg("GET").arg("save").query_async::<Vec<String>>(&mut connection).await };
    // A user without that right still has all that the statistics need.
    let save = statistics.within(patience.min(Duration::from_secs(5)), asking).await.ok();
    let mut look = read(&info);
    look.has_snapshots = save.and_then(|pair| pair.get(1).map(|value| !value.is_empty()));
    Ok(look)
}

fn read(info: &str) -> RedisLook {
    let text = |name: &str| field(info, name).unwrap_or_default().to_owned();
    let number = |name: &str| text(name).parse().unwrap_or(0);
    let states = ["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"];
    RedisLook {
        version: text("redis_version"),
        role: role(info),
        max_memory: number("maxmemory"),
        eviction: text("maxmemory_policy"),
        evicted: number("evicted_keys"),
        has_log: field(info, "aof_enabled") == Some("1"),
        has_snapshots: None,
        failing: states
            .into_iter()
            .filter_map(|name| Some((name, field(info, name)?)))
            .filter(|(_, state)| *state != "ok")
            .map(|(name, state)| format!("{name}:{state}"))
            .collect(),
    }
}

fn role(info: &str) -> RedisRole {
    if field(info, "cluster_enabled") == Some("1") {
        RedisRole::ClusterNode
    } else if field(info, "role") == Some("slave") {
        RedisRole::Replica
    } else if field(info, "loading") == Some("1") {
        RedisRole::Loading
    } else {
        RedisRole::Primary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_info_says() {
        let look = read(
            "redis_version:7.0.15\r\nrole:slave\r\nloading:0\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n\
             evicted_keys:3\r\naof_enabled:0\r\nrdb_last_bgsave_status:err\r\naof_last_write_status:ok\r\n",
        );
        assert_eq!((look.version.as_str(), look.role, look.has_log), ("7.0.15", RedisRole::Replica, false));
        assert_eq!((look.max_memory, look.eviction.as_str(), look.evicted), (100, "allkeys-lru", 3));
        assert_eq!(look.failing, ["rdb_last_bgsave_status:err"]);
    }
}
