//! Finds new files on an NFS mount from the client and hands each complete file exactly once to its sinks.

pub mod cli;
pub mod config;
pub mod event;
pub mod exit;
pub mod model;
pub mod rules;
