//! Servers that hang, forget, refuse or have another clock.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::scene::{Scene, files, put_job, write_job};
use super::told::Page;
use super::{END, FAULT, INTERVAL, ON_DISK, RECONNECT, SOON};
use crate::rig::{self, MEASURED, Mount, agent, disk, server};
use crate::trial::{ALL, BOTH, Case, Trial};

/// The disk that can fail holds ext4.
const ON_EXT4: [Case; 2] = [ALL[1], ALL[4]];

pub(super) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("server", what, cases, body);
    [
        each("server_hangs", &BOTH, server_hangs),
        each("server_hangs_and_workers_are_left", &BOTH, server_hangs_and_workers_are_left),
        each("large_file_takes_long", &BOTH, large_file_takes_long),
        each("packets_are_lost", &BOTH, packets_are_lost),
        each("server_forgets_its_clients", &ON_DISK, server_forgets_its_clients),
        each("server_forgets_whose_state_it_was", &ON_EXT4[1..], server_forgets_whose_state_it_was),
        each("export_is_withdrawn", &ON_DISK, export_is_withdrawn),
        each("disk_fails", &ON_EXT4, disk_fails),
        each("soft_mount_gives_errors", &BOTH, soft_mount_gives_errors),
        each("ends_while_the_server_hangs", &BOTH, ends_while_the_server_hangs),
        each("one_shot_meets_a_hung_server", &BOTH, one_shot_meets_a_hung_server),
        each("clocks_disagree", &BOTH, clocks_disagree),
    ]
    .concat()
}

/// Every worker of one root hangs; another root and the questions do not, and all that can be asked tell it.
fn server_hangs(case: Case) {
    let local = PathBuf::from(format!("/tmp/local-{case}"));
    fs::create_dir(&local).unwrap();
    let scene = Scene::prepare(case, "", &["a", "b", "c"]).with_args(["--workers", "2", "--listen", "0"]);
    let mut scene = scene.with_args([&local]).go();
    let page = Page::of(&scene);
    page.is_well(&scene);
    scene.during(|scene| {
        server::stop();
        put_job(&local, "meanwhile").unwrap();
        scene.wait_for_file(&local, "meanwhile.tgz", INTERVAL);
        // Until it is said that the root does not answer, though another does.
        scene.wait_for_log("does not answer", SOON);
        assert!(scene.root_state().is_some(), "the status tells");
        let (problems, root) = (scene.problems(), scene.mount.client_path().display());
        assert!(problems.contains(&format!("The file system at {root} does not answer")), "{problems}");
        page.tells_of_the_hung_root(scene, &local);
        server::start();
        server::end_grace();
    });
    scene.recovers_within(RECONNECT);
    page.is_well(&scene);
    scene.is_whole();
    assert_eq!(scene.root_state(), None);
}

/// There are fewer directories than workers: what asks no server still returns, and is no sign of life.
fn server_hangs_and_workers_are_left(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.during(|scene| {
        server::stop();
        scene.wait_for_log("does not answer", SOON);
        assert!(scene.root_state().is_some(), "the status tells");
        server::start();
        server::end_grace();
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
    assert_eq!(scene.root_state(), None);
}

/// Nothing but the reading of one file is under way for longer than a server may be silent: it answers all the time.
fn large_file_takes_long(case: Case) {
    const SILENT_AFTER: Duration = Duration::from_secs(10);
    let mount = Mount::new(case, "rsize=65536");
    let mut agent = agent::start(&mount, &agent::new_state(), &["--interval", "1s", "--settle", "0s"]);
    rig::eventually("the first walk", SOON, || agent.stderr().contains("Looked at every directory"));
    server::narrow(1000);
    let began = Instant::now();
    fs::write(mount.server_path().join("frame.exr"), vec![1; 2_500_000]).unwrap();
    agent.wait_for_stdout(SOON * 3, |text| text.contains("frame.exr"));
    println!("{MEASURED}reading took {:.1} s", began.elapsed().as_secs_f64());
    assert!(began.elapsed() > SILENT_AFTER + INTERVAL, "this shows nothing");
    let said = agent.terminate(END).expect_code(0).stderr;
    assert!(!said.contains("does not answer"), "{said}");
}

fn packets_are_lost(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.during(|_| {
        server::lose_percent(100);
        sleep(FAULT);
        server::lose_percent(0);
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// What was open is lost, and claimed again; until all had time to, `NFSv4` opens wait.
fn server_forgets_its_clients(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.during(|_| {
        server::stop();
        server::start();
        sleep(FAULT);
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// Nothing of what was open can be claimed, since the server does not remember who may.
fn server_forgets_whose_state_it_was(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.during(|_| {
        server::stop();
        server::forget_clients();
        server::start();
        sleep(FAULT);
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// EIO for the names of one directory and for the content of one file of another.
fn disk_fails(case: Case) {
    let mut scene = Scene::start(case, "", &["bad", "good"]);
    scene.recovers_within(SOON);
    let [bad, good] = ["bad", "good"].map(|name| scene.mount.server_path().join(name));
    scene.during(|scene| {
        scene.jobs.pause();
        let part = write_job(&good, "torn").unwrap();
        disk::spoil(&[&part, &bad]);
        assert!(fs::read_dir(&bad).unwrap().any(|entry| entry.is_err()), "the server cannot list");
        assert!(fs::read(&part).is_err(), "the server cannot read");
        scene.jobs.go_on();
        fs::rename(part, good.join("torn.tgz")).unwrap();
        // Changes the directory's stamp, not its names.
        fs::set_permissions(&bad, Permissions::from_mode(0o775)).unwrap();
        scene.wait_for_log("Could not read a directory", SOON);
        assert!(scene.log().contains("os error 5"), "{}", scene.log());
        put_job(&good, "meanwhile").unwrap();
        scene.wait_for_file(Path::new("good"), "meanwhile.tgz", SOON);
        scene.wait_for_waiting("os error 5", SOON);
        sleep(FAULT);
        let gone: Vec<_> = scene.index().into_iter().filter(|(_, is_gone)| *is_gone).collect();
        assert!(gone.is_empty(), "{gone:?}");
        assert!(!scene.events().contains_key("good/torn.tgz"));
        disk::mend();
    });
    scene.recovers_within(INTERVAL);
    scene.wait_for_file(Path::new("good"), "torn.tgz", INTERVAL);
    scene.is_whole();
}

fn export_is_withdrawn(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    let fs = scene.mount.fs();
    scene.during(|scene| {
        server::withdraw(fs);
        scene.wait_for_log("Cannot watch the root", SOON);
        sleep(FAULT);
        server::export(fs, "");
    });
    scene.recovers_within(INTERVAL);
    scene.is_whole();
    let said = scene.log().matches("Cannot watch the root").count();
    assert_eq!(said, 1, "an outage is said once\n{}", scene.log());
}

fn soft_mount_gives_errors(case: Case) {
    let mut scene = Scene::start(case, "soft,timeo=5,retrans=1", &["a", "b"]);
    scene.during(|scene| {
        server::stop();
        sleep(2 * FAULT);
        scene.wait_for_log("Could not read|Cannot watch", SOON);
        server::start();
        server::end_grace();
    });
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

fn ends_while_the_server_hangs(case: Case) {
    let mut scene = Scene::start(case, "", &["a", "b"]);
    scene.recovers_within(SOON);
    server::stop();
    sleep(FAULT);
    let ended = scene.agent.take().unwrap().terminate(END).expect_code(0);
    println!("{MEASURED}ended {:.1} s after SIGTERM with the server away", ended.took.as_secs_f64());
    server::start();
    server::end_grace();
    scene.start_agent();
    scene.recovers_within(RECONNECT);
    scene.is_whole();
}

/// It waits; the next one that cron starts gives way at once.
fn one_shot_meets_a_hung_server(case: Case) {
    let mut scene = Scene::prepare(case, "", &["a", "b"]);
    put_job(&scene.mount.server_path().join("a"), "first").unwrap();
    scene.arguments.extend(["--once", "--patience", "5s"].map(str::to_owned));
    scene.program().run(SOON).expect_code(0);
    put_job(&scene.mount.server_path().join("a"), "second").unwrap();
    server::stop();
    let first = scene.program().start();
    sleep(FAULT);
    scene.program().run(END).expect_code(75);
    let ended = first.wait(SOON).expect_code(74);
    assert!(ended.stderr.contains("does not answer"), "{}", ended.stderr);
    server::start();
    server::end_grace();
    scene.program().run(SOON).expect_code(0);
    assert_eq!(scene.events(), files(scene.mount.server_path()).into_iter().map(|file| (file, 1)).collect());
}

/// The agent's clock goes an hour back, then two hours on; the server's does not.
fn clocks_disagree(case: Case) {
    let mut scene = Scene::prepare(case, "", &["a", "b"]).with_clock("-1h").go();
    scene.recovers_within(SOON);
    for clock in ["+1h", "-1h", "+0"] {
        scene.restart_with_clock(clock);
        scene.recovers_within(SOON);
    }
    scene.is_whole();
}
