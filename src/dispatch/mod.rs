//! Hands every durable handover to every sink, each at its own pace.
//!
//! In reading order: [`start`] makes one *courier* (`courier.rs`) a sink. A courier reads the [`Journal`] in order,
//! lets its sink deliver a batch, tells the journal how far the sink has confirmed, and after a failure waits
//! (`retry.rs`) and connects anew. The sinks are `events.rs` (JSON lines), `statistics.rs` (Redis) and `queue.rs`
//! (RabbitMQ); what they say is decided in the pure `message.rs` and `figures.rs`.
//!
//! Invariants:
//! - Nothing is sent that is not durable in the journal, and nothing is confirmed that the sink has not confirmed.
//! - A sink that is down stops no other; memory is bounded by one batch a sink.
//! - No reason, log line or `Debug` output holds a password.
//! - The room imports only `model` and `event`. It neither knows the store nor the mount.

mod chance;
mod courier;
mod error;
mod events;
mod figures;
mod journal;
mod mask;
mod message;
mod progress;
mod queue;
mod queue_look;
mod reconcile;
mod recount;
mod redis_log;
mod redis_look;
mod retry;
mod settings;
mod start;
mod statistics;
mod trust;
mod window;

pub use error::{DispatchError, SinkError};
pub use journal::{Journal, JournalError, SinkName};
pub use mask::{masked_url, scrub};
pub use message::{Body, SCHEMA, absolute_path, json_of, path_text};
pub use progress::{Left, SinkReport, SinkState};
pub use queue_look::{impossible_arguments, look_at_queue};
pub use recount::{Figures, figures_in, raise_figures};
pub use redis_look::look_at_redis;
pub use settings::{EventsTarget, Mode, QueueSettings, RedisSettings, SettingsError, Sinks};
pub use start::{Couriers, start};

/// What a simulation of sinks is made of.
#[cfg(test)]
pub(crate) mod inside {
    pub(crate) use super::courier::{Courier, Delivery, Sink};
    pub(crate) use super::figures::{Cursor, Restore, gained_by};
    pub(crate) use super::journal::Desk;
    pub(crate) use super::progress::Pulse;
    pub(crate) use super::reconcile::{Counted, reconcile};
}
