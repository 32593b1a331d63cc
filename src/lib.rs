//! Finds new files on an NFS mount from the client and hands each complete file exactly once to its sinks.

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
