//! Finds new files on an NFS mount from the client and hands each complete file exactly once to its sinks.
//!
//! On a client, inotify is silent about what other machines do. So every directory is asked for its stamp at least
//! once an interval, past the client's cache and without writing; only what changed is listed, only what is new is read.
//!
//! # Layout, in reading order
//!
//! - [`model`]: the nouns that all share: path, stamp, hash, handover, statistics. [`event`]: everything worth a log
//!   line or a counter.
//! - [`mount`]: the watched tree, read-only. [`schedule`]: what is due. [`rules`]: which names count.
//!   [`intake`]: one file, read once.
//! - [`store`]: what must survive. [`dispatch`]: to JSON lines, Redis and RabbitMQ, each at its own pace.
//!   [`status`]: tables, JSON, metrics, the page.
//! - [`agent`]: joins them. [`agent::run`] is one run from its start to its end; the decisions are in its engine, a
//!   state machine without threads, clock or mount.
//! - [`cli`] reads what was typed, [`config`] is what is valid of it, [`exit`] how it ended, [`clock`] what time it is.
//!
//! # Invariants
//!
//! - Nothing is written to the mount, and only [`mount`] touches it. Only [`store`] knows the database.
//! - Rooms do not import one another; only [`agent`] knows them all.
//! - [`schedule`], [`intake`] and [`status`] are pure: `now` is an argument.
//! - An error is not an absence: only a [complete](mount::Coverage::Complete) listing says that a name is gone.
//! - A directory's stamp is stored only when everything that its listing showed is on record.
//! - A file's record, its handover and its effect on the statistics become durable [as one](store::Transaction), before
//!   any sink hears of it; a sink's [cursor](store::SinkCursor) moves only when it has confirmed.
//! - Names are bytes; secrets are taken out before anything else sees them.
//!
//! `ARCHITECTURE.md` has the map of the files and a table of where to look for what.

pub mod advise;
pub mod agent;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod event;
pub mod exit;
pub mod intake;
pub mod model;
pub mod mount;
pub mod rules;
pub mod schedule;
pub mod status;
pub mod store;
