//! The one NFS server of the guest, what can befall it, and the wire to it.
//!
//! Whatever a trial does here is undone before the next trial.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::{disk, tool};
use crate::trial::Fs;

const OPTIONS: &str = "rw,no_root_squash,insecure,no_subtree_check,async";
/// The table of exports as it was before the first trial.
static BOOTED: OnceLock<BTreeSet<String>> = OnceLock::new();
const THREADS: &str = "/proc/fs/nfsd/threads";

/// Takes the server away: calls on hard mounts block from now on.
pub(crate) fn stop() {
    fs::write(THREADS, "0").unwrap();
}

/// Brings the server back with all its open state lost. `NFSv4` clients have 10 s of grace to claim theirs, in
/// which new opens of files wait; [`end_grace`] ends that at once.
pub(crate) fn start() {
    tool("rpc.nfsd", &["--lease-time", "10", "--grace-time", "10", "8"]);
}

/// Ends the grace period if there is one.
pub(crate) fn end_grace() {
    // EBUSY: it is over.
    let _ = fs::write("/proc/fs/nfsd/v4_end_grace", "Y");
}

/// Takes one export away: its mounts answer `ESTALE`.
pub(crate) fn withdraw(fs: Fs) {
    tool("exportfs", &["-u", &format!("127.0.0.1:/mnt/export/{fs}")]);
    tool("exportfs", &["-f"]);
}

/// Exports (again), with further options such as `root_squash`; empty for none.
pub(crate) fn export(fs: Fs, options: &str) {
    let id = match fs {
        Fs::Tmpfs => 1,
        Fs::Ext4 => 2,
        Fs::Xfs => 3,
    };
    let comma = if options.is_empty() { "" } else { "," };
    let options = format!("{OPTIONS},fsid={id}{comma}{options}");
    tool("exportfs", &["-o", &options, &format!("127.0.0.1:/mnt/export/{fs}")]);
    tool("exportfs", &["-f"]);
}

/// Delays the wire so that a call takes this much longer; zero for none.
pub(crate) fn round_trip(time: Duration) {
    delay("lo", time / 2);
}

/// The same to clients in another guest: what the server sends them is that late.
#[allow(dead_code, reason = "the trials have both in one guest")]
pub(crate) fn round_trip_afar(time: Duration) {
    delay("vec0", time);
}

/// Delays what is sent through `device`.
fn delay(device: &str, time: Duration) {
    let time = format!("{}us", time.as_micros());
    tool("tc", &["qdisc", "replace", "dev", device, "root", "netem", "delay", &time, "limit", "100000"]);
}

/// Lets no more than so many kilobits a second through the wire.
pub(crate) fn narrow(kilobits: u32) {
    let rate = format!("{kilobits}kbit");
    tool("tc", &["qdisc", "replace", "dev", "lo", "root", "netem", "rate", &rate, "limit", "100000"]);
}

/// Drops this share of the packets in both directions: 100 for a cable that was pulled, 0 for a sound one.
pub(crate) fn lose_percent(share: u8) {
    let share = format!("{share}%");
    tool("tc", &["qdisc", "replace", "dev", "lo", "root", "netem", "loss", &share, "limit", "100000"]);
}

/// Where the server remembers which clients may claim what they had open.
const CLIENTS: &str = "/var/lib/nfs/nfsdcltrack";

/// Makes the server forget whose open state it may give back after a restart; to be called while it is stopped.
#[track_caller]
pub(crate) fn forget_clients() {
    let files: Vec<_> = fs::read_dir(CLIENTS).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "the server keeps its clients elsewhere");
    for file in files {
        fs::remove_file(file).unwrap();
    }
}

/// Shows clients the file systems that are mounted below an export, each exported as well; or no longer.
pub(crate) fn cross(fs: Fs, below: &Path) {
    let below = format!("127.0.0.1:{}", below.display());
    tool("exportfs", &["-o", &format!("{OPTIONS},fsid=9"), &below]);
    export(fs, "crossmnt");
}

/// Brings server, disk and wire back, if they are not there: without them, a trial that failed could not even unmount.
pub(crate) fn revive() {
    disk::mend();
    round_trip(Duration::ZERO);
    if fs::read_to_string(THREADS).unwrap().trim() == "0" {
        start();
    }
    end_grace();
}

/// Brings everything back to how it is after booting.
pub(super) fn reset() {
    revive();
    // Six calls of exportfs cost more than most trials: only if something was changed.
    let table = fs::read_to_string("/var/lib/nfs/etab").unwrap();
    let exports: BTreeSet<String> = table.lines().map(str::to_owned).collect();
    if exports != *BOOTED.get_or_init(|| exports.clone()) {
        for fs in [Fs::Tmpfs, Fs::Ext4, Fs::Xfs] {
            export(fs, "");
        }
    }
}
