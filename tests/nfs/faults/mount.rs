//! Mounts that go away, come back, or are another's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;

use super::scene::{Scene, put_job};
use super::{FAULT, INTERVAL, RECONNECT, SOON};
use crate::rig::{self, server};
use crate::trial::{BOTH, Case, Trial};

pub(super) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("faults", what, cases, body);
    [
        each("mount_goes_away_and_comes_back", &BOTH, mount_goes_away_and_comes_back),
        each("something_else_is_mounted", &BOTH, something_else_is_mounted),
        each("mount_goes_away_while_the_server_hangs", &BOTH, mount_goes_away_while_the_server_hangs),
        each("mounts_below_the_root_are_left_alone", &BOTH, mounts_below_the_root_are_left_alone),
    ]
    .concat()
}

fn mount_goes_away_and_comes_back(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    let mut before = BTreeMap::new();
    scene.during(|scene| {
        scene.mount.unmount();
        scene.wait_for_log("Cannot watch the root", SOON);
        assert!(scene.root_state().is_some(), "the status tells");
        before = scene.events();
        sleep(FAULT);
        assert_eq!(scene.events(), before, "no event while nothing is mounted");
        scene.mount.remount("");
    });
    scene.recovers_within(INTERVAL);
    scene.is_whole();
    assert_eq!(scene.root_state(), None);
}

fn something_else_is_mounted(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    scene.mount.unmount();
    let client = scene.mount.client_path().to_owned();
    rig::tool("mount", &["-t", "tmpfs", "other", client.to_str().unwrap()]);
    put_job(&client, "stranger").unwrap();
    scene.during(|scene| {
        scene.wait_for_log("mount the right one", SOON);
        sleep(FAULT);
        assert!(!scene.events().contains_key("stranger.tgz"), "nothing of another file system");
    });
    scene.stop_agent();
    scene.arguments.push("--accept-mount".to_owned());
    scene.start_agent();
    scene.wait_for_file(Path::new(""), "stranger.tgz", SOON);
    scene.jobs.end();
    scene.stop_agent();
    let events = scene.events();
    assert!(events.values().all(|count| *count == 1), "{events:#?}");
}

/// Calls to the mount that went away never return; another one in its place is watched all the same.
fn mount_goes_away_while_the_server_hangs(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    scene.during(|scene| {
        server::stop();
        sleep(FAULT);
        // At once by force: the gentle way asks the server.
        rig::tool("umount", &["-f", "-l", scene.mount.client_path().to_str().unwrap()]);
        sleep(FAULT);
        server::start();
        server::end_grace();
        scene.mount.remount("");
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// One that the kernel mounts on demand, since the server has another file system there, and one that root made.
fn mounts_below_the_root_are_left_alone(case: Case) {
    let mut scene = Scene::prepare(case, "", &["a", "b"]);
    let [server, client] = [scene.mount.server_path(), scene.mount.client_path()].map(Path::to_owned);
    for name in ["on-demand", "by-root"] {
        fs::create_dir(server.join(name)).unwrap();
    }
    let below = Mounted::tmpfs(&server.join("on-demand"));
    put_job(&below.0, "below").unwrap();
    server::cross(scene.mount.fs(), &below.0);
    let other = Mounted::tmpfs(&client.join("by-root"));
    put_job(&other.0, "other").unwrap();

    scene = scene.go();
    scene.recovers_within(SOON);
    scene.during(|scene| {
        scene.wait_for_log("on-demand", SOON);
        scene.wait_for_log("by-root", SOON);
        sleep(FAULT);
    });
    let said = scene.log().matches("Left a mount below the root alone").count();
    assert_eq!(said, 2, "each is said once\n{}", scene.log());
    assert!(!scene.log().contains("Could not read"), "{}", scene.log());
    assert!(scene.events().keys().all(|path| path.starts_with("a/") || path.starts_with("b/")));

    scene.stop_agent();
    scene.arguments.push("--cross-file-systems".to_owned());
    scene.start_agent();
    scene.wait_for_file(Path::new("on-demand"), "below.tgz", SOON);
    scene.wait_for_file(Path::new("by-root"), "other.tgz", SOON);
    assert!(is_mounted(&client.join("on-demand")));
    put_job(&below.0, "news").unwrap();
    scene.wait_for_file(Path::new("on-demand"), "news.tgz", SOON);
    scene.jobs.end();
    scene.stop_agent();
    let events = scene.events();
    assert!(events.values().all(|count| *count == 1), "{events:#?}");
    rig::tool("umount", &[client.join("on-demand").to_str().unwrap()]);
    rig::tool("exportfs", &["-u", &format!("127.0.0.1:{}", below.0.display())]);
}

/// A file system in memory; unmounted on drop.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path) -> Self {
        rig::tool("mount", &["-t", "tmpfs", "below", at.to_str().unwrap()]);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A trial that failed says more than what is left of it.
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

fn is_mounted(at: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == at.to_str())
}
