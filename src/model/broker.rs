//! What a broker tells of itself to somebody who only looks.

use std::collections::BTreeMap;

/// A Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisLook {
    /// Its version, `7.0.15`.
    pub version: String,
    /// What it can do now.
    pub role: RedisRole,
    /// Bytes that it may use; 0 for no limit.
    pub max_memory: u64,
    /// What it does at that limit: `noeviction`, `allkeys-lru`.
    pub eviction: String,
    /// Keys that it has evicted since its start.
    pub evicted: u64,
    /// Whether it keeps an append-only file.
    pub has_log: bool,
    /// Whether it writes snapshots by itself; `None` if the user may not ask.
    pub has_snapshots: Option<bool>,
    /// What failed of its last attempts to write to disk, in Redis's words.
    pub failing: Vec<String>,
}

/// What a Redis server can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedisRole {
    /// Takes writes.
    #[default]
    Primary,
    /// Takes none: it follows another.
    Replica,
    /// Takes those of its part of the keys.
    ClusterNode,
    /// Takes none yet: it reads its data from disk.
    Loading,
}

/// A queue that exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueLook {
    /// Messages that are ready for a consumer.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
    /// Whether it outlives a restart of the broker.
    pub durable: bool,
    /// Whether it is deleted with its last consumer.
    pub auto_delete: bool,
    /// Its arguments, `x-max-length` = `1000`.
    pub arguments: BTreeMap<String, String>,
    /// Why durability and arguments are not known, in the broker's words.
    pub unseen: Option<String>,
}
