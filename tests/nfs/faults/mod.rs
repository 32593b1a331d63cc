//! What befalls an agent at work: servers that hang, forget or refuse, disks that fail, trees that change under it,
//! mounts that go away.
//!
//! In every scenario jobs keep arriving on the server while a fault begins and ends. Afterwards everything that lies on
//! the server was handed over exactly once and nothing was taken for vanished; meanwhile the agent answered.

mod mount;
mod scene;
mod server;
mod told;
mod tree;

use std::time::Duration;

use crate::trial::{ALL, Case, Trial};

/// How long a fault lasts: several intervals.
const FAULT: Duration = Duration::from_secs(2);
/// Time enough for whatever a guest with one CPU has to do.
const SOON: Duration = Duration::from_secs(30);
/// An answer that has not come by now is missed. It comes within milliseconds, whatever the mounts do; the trials print
/// the slowest. Asserted with room for a guest that does not get its processor.
const ANSWER: Duration = Duration::from_secs(5);
/// One interval, and what the slow guest takes for a look, a reading and a commit.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same after an outage of the wire, which the client's kernel notices to be over some seconds late.
const RECONNECT: Duration = Duration::from_secs(20);
/// Within which an agent ends that was asked to.
const END: Duration = Duration::from_secs(5);
/// Both versions on memory, and each on one file system that lies on a disk.
const ON_DISK: [Case; 4] = [ALL[0], ALL[3], ALL[1], ALL[5]];

pub(crate) fn trials() -> Vec<Trial> {
    [server::trials(), tree::trials(), mount::trials()].concat()
}
