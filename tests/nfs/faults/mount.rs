//! Mounts that go away, come back, or are another's.

use std::collections::BTreeMap;
use std::path::Path;
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
    let mut before = BTreeMap::new();
    rig::tool("mount", &["-t", "tmpfs", "other", client.to_str().unwrap()]);
    put_job(&client, "stranger").unwrap();
    scene.during(|scene| {
        scene.wait_for_log("--accept-mount", SOON);
        before = scene.events();
        sleep(FAULT);
        assert_eq!(scene.events(), before, "nothing of another file system");
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
