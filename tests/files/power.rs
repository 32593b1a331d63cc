//! The state's file system loses its power under load: what was announced is still known afterwards.
//!
//! The state lies on ext4 on a loop device that is shut down without its log being flushed (`xfs_io -c shutdown`, the
//! same ioctl on ext4), so what nobody synced is gone. The events lie elsewhere: each line of theirs was announced.
//! Needs root and a loop device. With the `fdatasync` of `store/medium.rs` made a no-op it fails in the first round.
//!
//! ```text
//! POWER_LOSSES=50 cargo test --test files power       a long run
//! ```

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::job;
use crate::support::eventually;
use crate::support::scout::Scout;

/// Losses of power unless the environment says otherwise: some seconds.
const SHORT: usize = 5;

/// Between two files of the load.
const PAUSE: Duration = Duration::from_millis(4);

/// A file system of its own, mounted from a file; unmounted with the value.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// `None` if this machine has no way to mount one.
    fn make(scout: &Scout) -> Option<Self> {
        let disk = Self { image: scout.beside("image"), at: scout.state() };
        fs::create_dir(&disk.at).unwrap();
        fs::File::create(&disk.image).unwrap().set_len(128 << 20).unwrap();
        (call("mkfs.ext4", &["-q", "-F"], &[&disk.image]) && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        call("mount", &["-o", "loop"], &[&self.image, &self.at])
    }

    /// What has not reached the disk is lost; then the file system comes back.
    fn lose_power(&self) {
        assert!(call("xfs_io", &["-x", "-c", "shutdown"], &[&self.at]));
    }

    /// Whoever copied the mount table meanwhile holds the dead file system, and mounting its image again would only give
    /// another view of that one.
    fn restore_power(&self) {
        assert!(call("umount", &[], &[&self.at]));
        eventually("the loop device to be free", || self.loop_devices().is_empty().then_some(()));
        assert!(self.mount());
    }

    /// The loop devices over the image.
    fn loop_devices(&self) -> String {
        let listed = Command::new("losetup").arg("-j").arg(&self.image).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        call("umount", &["-l"], &[&self.at]);
    }
}

fn call(program: &str, words: &[&str], paths: &[&Path]) -> bool {
    let status = Command::new(program).args(words).args(paths).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_power_loss_takes_nothing_that_was_announced() {
    let losses = std::env::var("POWER_LOSSES").map_or(SHORT, |asked| asked.parse().unwrap());
    let scout = Scout::new();
    let disk = Disk::make(&scout).expect("root, who mounts an ext4 on a loop device");
    let (stop, dropped) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let number = dropped.fetch_add(1, Ordering::Relaxed);
                scout.put(format!("{}/{number}.tgz", number / 200), &job(number));
                thread::sleep(PAUSE);
            }
        });
        let rounds = std::panic::catch_unwind(|| (0..losses).for_each(|_| lose_power_once(&scout, &disk)));
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        rounds.unwrap();
    });
    scout.once(&[]);
    let sent: HashSet<_> = scout.events().iter().map(|event| event["id"].to_string()).collect();
    let files = dropped.into_inner() as usize;
    assert_eq!(sent.len(), files, "each file was sent");
    assert_eq!(scout.counter("jobs_completed"), i64::try_from(files).unwrap(), "and counted once");
    println!("{losses} power losses over {files} files");
}

/// An agent at work, the power goes, and the index still knows each event by its number.
fn lose_power_once(scout: &Scout, disk: &Disk) {
    let before = scout.events().len();
    let mut agent = scout.agent_unready(&["--log", "nfs_scout=info"]);
    eventually("some events", || (scout.events().len() > before + 40).then_some(()));
    disk.lose_power();
    // Also if sled meets the dead disk first, which it answers by a panic.
    assert_eq!(agent.ended(), Some(1), "{}", agent.log());
    disk.restore_power();
    let exported = scout.tell(&["index", "export"]);
    let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let known: HashMap<_, _> =
        lines.map(|line| (line["id"].clone().to_string(), line["seq"].clone())).collect();
    for event in scout.events() {
        let id = event["id"].to_string();
        assert_eq!(known.get(&id), Some(&event["seq"]), "announced, then forgotten: {event}");
    }
}
