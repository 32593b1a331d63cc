//! Directories that go, come, are exchanged, renamed or forbidden while they are watched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use super::scene::{Scene, files, names, put_job};
use super::{FAULT, INTERVAL, ON_DISK, SOON};
use crate::rig::{MEASURED, Mount, server};
use crate::trial::{BOTH, Case, Trial};

pub(super) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("faults", what, cases, body);
    [
        each("directories_go_and_come", &ON_DISK, directories_go_and_come),
        each("permission_is_taken_away", &BOTH, permission_is_taken_away),
    ]
    .concat()
}

/// Removed; removed and made again; exchanged for another; renamed.
fn directories_go_and_come(case: Case) {
    let mut scene = Scene::start(case, "", &["steady", "removed", "again", "exchanged", "old"]);
    let [removed, again, exchanged, old] =
        ["removed", "again", "exchanged", "old"].map(|name| scene.mount.server_path().join(name));
    let [put_by, other, new] = ["put-by", "other", "new"].map(|name| scene.mount.server_path().join(name));
    for folder in [&removed, &again, &exchanged, &old] {
        put_job(folder, "first").unwrap();
        scene.wait_for_file(folder.strip_prefix(scene.mount.server_path()).unwrap(), "first.tgz", SOON);
    }
    scene.jobs.pause();
    scene.catches_up(SOON);
    let old_files = names(&old);
    scene.during(|scene| {
        fs::remove_dir_all(&removed).unwrap();
        fs::remove_dir_all(&again).unwrap();
        fs::create_dir(&again).unwrap();
        put_job(&again, "second").unwrap();
        fs::create_dir(&other).unwrap();
        put_job(&other, "third").unwrap();
        fs::rename(&exchanged, &put_by).unwrap();
        fs::rename(&other, &exchanged).unwrap();
        fs::rename(&old, &new).unwrap();
        // A file put in before the renaming is seen is tried on a local tree: tests/files/changes.rs.
        sleep(FAULT);
        put_job(&new, "fourth").unwrap();
        scene.jobs.go_on();
    });
    for (folder, name) in [("again", "second"), ("exchanged", "third"), ("new", "fourth")] {
        scene.wait_for_file(Path::new(folder), &format!("{name}.tgz"), INTERVAL);
    }
    scene.jobs.end();
    sleep(FAULT);
    let events = scene.events();
    assert!(events.values().all(|count| *count == 1), "{events:#?}");
    for name in old_files {
        assert!(!events.contains_key(&format!("new/{name}")), "{name} was moved: {events:#?}");
        assert!(!events.contains_key(&format!("put-by/{name}")), "{events:#?}");
    }
    let known = scene.index();
    for file in files(scene.mount.server_path()) {
        assert_eq!(known.get(&file), Some(&false), "{file} is there\n{known:#?}\n{}", scene.log());
    }
    for file in ["removed/first.tgz", "again/first.tgz", "old/first.tgz"] {
        assert_eq!(known.get(file), Some(&true), "{file} is gone\n{known:#?}");
    }
}

fn permission_is_taken_away(case: Case) {
    let mount = Mount::new(case, "");
    // The agent's root is nobody on the server.
    server::export(mount.fs(), "root_squash");
    let mut scene = Scene::on(mount, case, &["open", "private"]).go();
    let private = scene.mount.server_path().join("private");
    put_job(&private, "before").unwrap();
    scene.wait_for_file(Path::new("private"), "before.tgz", SOON);
    scene.during(|scene| {
        fs::set_permissions(&private, Permissions::from_mode(0o000)).unwrap();
        put_job(&private, "hidden").unwrap();
        // Longer than a few intervals: it is tried all the time.
        scene.wait_for_log("Could not read a directory", SOON);
        sleep(4 * FAULT);
        put_job(&scene.mount.server_path().join("open"), "meanwhile").unwrap();
        scene.wait_for_file(Path::new("open"), "meanwhile.tgz", INTERVAL);
        assert!(!scene.events().contains_key("private/hidden.tgz"));
        fs::set_permissions(&private, Permissions::from_mode(0o755)).unwrap();
    });
    let began = Instant::now();
    scene.wait_for_file(Path::new("private"), "hidden.tgz", INTERVAL);
    println!("{MEASURED}hidden job found {:.1} s after permission came back", began.elapsed().as_secs_f64());
    scene.recovers_within(INTERVAL);
    scene.is_whole();
}
