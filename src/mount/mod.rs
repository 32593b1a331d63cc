//! The mount: forced refreshes, names, files, identity. The only room that touches what is watched.
//!
//! Every path is resolved from one held descriptor of the root, beneath it and without following symbolic links;
//! so a pass cannot stray to another file system, though the mount be replaced under it. Directories are held as
//! `O_PATH` descriptors, and a refresh of one is a single GETATTR even when every attribute cache has expired.
//!
//! *Never here*: a write, a decision about what a change means, an assumption that an error is an absence.

mod error;
mod handle;
mod held;
mod identity;
mod limits;
mod names;
mod rpc;
mod survey;
mod tree;
mod workers;

pub use error::{Action, MountError};
pub use handle::Handle;
#[cfg(test)]
pub(crate) use handle::Node;
pub use identity::Identity;
pub use limits::{directories_to_hold, most_open_files};
pub use names::{Coverage, Entry, EntryKind, Listing};
pub use rpc::{Operation, RpcCounts};
pub use survey::{Surveyed, survey};
pub use tree::{FileKind, FileStat, Refresh, Tree, TreeOptions};
pub use workers::{Basket, Call, Workers, let_go};
