//! Finds new files on an NFS mount from the client and hands each complete file exactly once to its sinks.

pub mod dispatch;
pub mod event;
pub mod model;
