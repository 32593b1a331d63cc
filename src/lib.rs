//! Finds new files on an NFS mount from the client and hands each complete file exactly once to its sinks.

pub mod clock;
pub mod event;
pub mod intake;
pub mod model;
pub mod mount;
pub mod schedule;
pub mod store;
