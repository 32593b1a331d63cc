//! The configuration as each room takes it: plain conversions, nothing decided.

use std::num::NonZeroUsize;

use super::buffers::Buffers;
use super::engine::Settings;
use super::job::Reader;
use super::run::attached;
use super::service::Crew;
use crate::config::{self, Config};
use crate::dispatch::{self, Body, SinkName};
use crate::intake::{Limits, Redaction, RedactionError};
use crate::mount::{Refresh, TreeOptions, directories_to_hold};
use crate::schedule::{Budget, SettlePolicy};

/// Calls under way on a root for each of its workers: one that runs and one that waits for it.
const CALLS_PER_WORKER: usize = 2;

/// What the engine is told.
#[must_use]
pub(super) fn engine(config: &Config) -> Settings {
    Settings {
        roots: config.roots.clone(),
        once: config.mode == config::Mode::Once,
        interval: config.interval,
        budget: match config.budget {
            config::Budget::PerSecond(rate) => Budget::PerSecond(rate),
            config::Budget::Auto | config::Budget::PerRun(_) => Budget::Auto,
        },
        run_budget: match config.budget {
            config::Budget::PerRun(rpcs) => Some(rpcs),
            config::Budget::Auto | config::Budget::PerSecond(_) => None,
        },
        settle: SettlePolicy { settle: config.settle, give_up: config.give_up },
        audit: config.audit,
        audit_stat: config.audit_stat,
        baseline: config.baseline,
        history: config.history,
        send_moved: config.moved == config::Moved::Send,
        rules: config.rules.clone(),
        accept_mount: config.accept_mount,
        tree: tree(config),
        max_in_flight: at_least_one(config.workers * CALLS_PER_WORKER),
        commit_delay: config.commit_delay,
        patience: config.patience,
        outbox_max: config.outbox_max,
        sinks: attached(&sinks(config)).into_iter().map(SinkName::as_str).collect(),
        record: config.record.is_some(),
    }
}

fn tree(config: &Config) -> TreeOptions {
    TreeOptions {
        refresh: match config.refresh {
            config::Refresh::Force => Refresh::Force,
            config::Refresh::Open => Refresh::Open,
            config::Refresh::Plain => Refresh::Plain,
        },
        one_file_system: config.one_file_system,
        max_open: if config.mode == config::Mode::Once && config.baseline {
            // Each directory is looked at once, and none of its files but for those whose type is not known.
            0
        } else {
            config.max_open_dirs.unwrap_or_else(directories_to_hold)
        },
    }
}

fn at_least_one(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// What the workers need.
pub(super) fn crew(config: &Config) -> Result<Crew, RedactionError> {
    let limits = Limits {
        unpacked_bytes: config.limits.max_unpacked,
        members: config.limits.max_members,
        jobdata_bytes: config.limits.max_jobdata,
    };
    let redaction = Redaction::new(&config.redact)?;
    Ok(Crew { workers: config.workers, reader: Reader { limits, redaction, buffers: Buffers::default() } })
}

/// What the sinks are told.
#[must_use]
pub(super) fn sinks(config: &Config) -> dispatch::Sinks {
    let sinks = &config.sinks;
    dispatch::Sinks {
        events: sinks.events.as_ref().map(|target| match target {
            config::EventsTarget::Inotifywait => dispatch::EventsTarget::Inotifywait,
            config::EventsTarget::Stdout => dispatch::EventsTarget::Stdout,
            config::EventsTarget::File(path) => dispatch::EventsTarget::File(path.clone()),
        }),
        redis: sinks.redis.as_ref().map(|redis| dispatch::RedisSettings {
            prefix: redis.prefix.clone(),
            ca_file: redis.ca.clone(),
            ..dispatch::RedisSettings::new(redis.url.expose())
        }),
        amqp: sinks.amqp.as_ref().map(|amqp| dispatch::QueueSettings {
            queue: amqp.queue.clone(),
            body: match amqp.body {
                config::BodyFormat::Json => Body::Json,
                config::BodyFormat::Jobdata => Body::Jobdata,
                config::BodyFormat::Legacy => Body::Legacy,
            },
            broadcast: amqp.broadcast.clone(),
            ca_file: amqp.ca.clone(),
            ..dispatch::QueueSettings::new(amqp.url.expose())
        }),
    }
}
