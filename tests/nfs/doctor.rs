//! `doctor` names each planted fault with its remedy, says nothing but ok of a sound tree, and writes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::rig::{self, Mount, Program, server};
use crate::trial::{BOTH, Case, Fs, Trial, Version};

const SOON: Duration = Duration::from_secs(60);

/// Exit codes.
const DONE: i32 = 0;
const INTERNAL: i32 = 1;
const MOUNT: i32 = 74;

/// On a disk of the guest's own; what else is writable there is in memory, which is a finding.
const DISK: &str = "/mnt/export/ext4";

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("doctor", what, cases, body);
    let v42 = &[Case { version: Version::V42, fs: Fs::Tmpfs }];
    [
        each("sound_tree_is_ok_at_one_rpc_a_look", &BOTH, sound_tree_is_ok_at_one_rpc_a_look),
        each("names_mount_options", &BOTH, names_mount_options),
        each("names_a_clock_that_is_off", &BOTH, names_a_clock_that_is_off),
        each("names_a_large_directory", v42, names_a_large_directory),
        each("names_an_unreadable_directory", &BOTH, names_an_unreadable_directory),
        each("names_a_state_directory_on_the_mount", v42, names_a_state_directory_on_the_mount),
        each("names_a_low_limit_of_files", v42, names_a_low_limit_of_files),
        each("tells_of_a_mount_that_is_gone", v42, tells_of_a_mount_that_is_gone),
        each("tells_of_a_distant_server", v42, tells_of_a_distant_server),
    ]
    .concat()
}

/// A tree of a few directories and one archive; its directories were made in different ticks.
fn planted(case: Case, options: &str) -> Mount {
    let mount = Mount::new(case, options);
    for folder in ["2026", "2026/21", "2026/22"] {
        rig::next_tick();
        fs::create_dir(mount.server_path().join(folder)).unwrap();
    }
    rig::agent::arrive(&mount, "2026/21/job.tgz");
    mount
}

fn state() -> PathBuf {
    Path::new(DISK).join(format!("doctor-{}", std::process::id()))
}

fn doctor(path: &Path, state: &Path) -> Program {
    let program = Program::agent().args(["doctor", "--json", "--config", "/dev/null"]);
    program.args([path]).args([Path::new("--state"), state])
}

fn explain(path: &Path, state: &Path) -> String {
    let program = Program::agent().args(["explain", "--config", "/dev/null", "--state"]);
    program.args([state, path]).run(SOON).expect_code(DONE).stdout
}

/// What was found: every finding that is not ok, as verdict, check, evidence and remedy.
#[track_caller]
fn findings(program: &Program, code: i32) -> Vec<[String; 4]> {
    let ended = program.run(SOON).expect_code(code);
    let diagnosis: Value = serde_json::from_str(&ended.stdout).unwrap();
    println!("{diagnosis:#}");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let bad = diagnosis["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] != "ok");
    bad.map(|finding| ["verdict", "check", "evidence", "remedy"].map(|key| text(finding, key))).collect()
}

/// One finding and no other.
#[track_caller]
fn check(program: &Program, code: i32, verdict: &str, name: &str, evidence: &str, remedy: &str) {
    let found = findings(program, code);
    let [finding] = found.as_slice() else { panic!("one finding is expected, {name}: {found:#?}") };
    assert_eq!([&finding[0], &finding[1]], [verdict, name]);
    assert!(finding[2].contains(evidence) && finding[3].contains(remedy), "{finding:#?}");
}

fn sound_tree_is_ok_at_one_rpc_a_look(case: Case) {
    let mount = planted(case, "");
    let (cost, found) = mount.cost(|| findings(&doctor(mount.client_path(), &state()), DONE));
    assert_eq!(found, Vec::<[String; 4]>::new());
    rig::measured("doctor on a sound tree of 4 directories", &cost);
    assert_eq!(cost.writes(), 0);

    let text = Program::agent()
        .args(["doctor", "--config", "/dev/null"])
        .args([mount.client_path(), Path::new("--state"), &state()])
        .run(SOON)
        .expect_code(DONE)
        .stdout;
    assert!(text.contains("ok       forced refresh: 1 RPC each"), "{text}");
    let version = if case.version == Version::V3 { "NFS 3" } else { "NFS 4.2" };
    assert!(text.contains(version) && text.contains("For /etc/fstab:\n127.0.0.1:"), "{text}");
    assert!(text.ends_with(" 0 notes, 0 warnings, 0 faults\n"), "{text}");
    assert!(!state().exists(), "a diagnosis makes no state directory");
}

fn names_mount_options(case: Case) {
    let planted_options = [
        ("actimeo=600", "mount option actimeo", "acdirmax=600", "actimeo=3"),
        ("nocto", "mount option nocto", "opening a file does not ask", "remove nocto"),
        ("soft", "mount option soft", "calls fail when the server is away", "mount with hard"),
        ("noac", "mount option noac", "every look of every program", "remove noac"),
        ("lookupcache=none", "mount option lookupcache", "every step", "remove lookupcache=none"),
        ("rsize=8192", "mount option rsize", "rsize=8192", "remove rsize"),
    ];
    for (options, name, evidence, remedy) in planted_options {
        let mount = planted(case, options);
        check(&doctor(mount.client_path(), &state()), DONE, "warning", name, evidence, remedy);
    }
}

/// Ahead is told by any change time, behind by an access time that the server sets while we read.
fn names_a_clock_that_is_off(case: Case) {
    for (ours, told) in [("-1h", "ahead of ours by at least 59m"), ("+1h", "behind ours by at least 59m")] {
        let mount = planted(case, "");
        let program = doctor(mount.client_path(), &state()).clock(ours);
        check(&program, DONE, "warning", "server clock", told, "NTP");
    }
}

fn names_a_large_directory(case: Case) {
    let mount = planted(case, "");
    rig::create_files(&mount.server_path().join("2026/22"), "f", 50_000);
    let program = doctor(mount.client_path(), &state());
    let told = "2026/22 (50000 names): beyond READDIRPLUS";
    check(&program, DONE, "warning", "large directories", told, "subdirectories");
}

fn names_an_unreadable_directory(case: Case) {
    let mount = planted(case, "");
    let private = mount.server_path().join("2026/pri\nvate");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    server::export(mount.fs(), "root_squash");
    rig::drop_caches();
    let program = doctor(mount.client_path(), &state());
    check(
        &program,
        MOUNT,
        "fault",
        "permissions",
        r"permission denied in 2026/pri\nvate: files",
        "chmod g+rx",
    );

    // What a run remembers of it.
    let explained = |name: &str| explain(&mount.client_path().join("2026").join(name), &state());
    rig::agent::once(&mount, &state(), &[]);
    let told = explained("pri\nvate/job.tgz");
    assert!(
        told.contains("never seen") && told.contains("directory cannot be read: Permission denied"),
        "{told}"
    );
    server::export(mount.fs(), "");
    rig::drop_caches();
    rig::agent::once(&mount, &state(), &[]);
    let told = explained("pri\nvate/job.tgz");
    assert!(!told.contains("cannot be read") && told.contains("so: no pattern"), "{told}");

    let other = mount.client_path().join("2026/22");
    rig::tool("mount", &["-t", "tmpfs", "tmpfs", other.to_str().unwrap()]);
    fs::write(other.join("job.tgz"), "").unwrap();
    rig::agent::once(&mount, &state(), &[]);
    let told = explained("22/job.tgz");
    rig::tool("umount", &[other.to_str().unwrap()]);
    fs::remove_dir_all(state()).unwrap();
    assert!(told.contains("directory cannot be read: it is another file system's"), "{told}");
}

fn names_a_state_directory_on_the_mount(case: Case) {
    let mount = planted(case, "");
    let path = mount.client_path().join("2026");
    let beside = doctor(&path, &mount.client_path().join("state"));
    check(&beside, INTERNAL, "fault", "state directory", "is on nfs4", "--state");
    let below = doctor(&path, &path.join("state"));
    check(&below, INTERNAL, "fault", "state directory", "would watch itself", "local disk");
}

fn names_a_low_limit_of_files(case: Case) {
    let mount = planted(case, "");
    let program = Program::named("prlimit").args(["--nofile=256", env!("CARGO_BIN_EXE_nfs-scout")]);
    let program = program.args(["doctor", "--json", "--config", "/dev/null", "--state"]);
    let program = program.args([&state(), mount.client_path()]);
    check(&program, DONE, "warning", "open files", "at most 256", "LimitNOFILE");
}

fn tells_of_a_mount_that_is_gone(case: Case) {
    let mount = planted(case, "");
    let path = mount.client_path().join("absent");
    check(&doctor(&path, &state()), MOUNT, "fault", "mount", "cannot open the root", "mount it");
    server::withdraw(mount.fs());
    check(&doctor(mount.client_path(), &state()), MOUNT, "fault", "mount", "Stale", "mount it");
}

fn tells_of_a_distant_server(case: Case) {
    let mount = planted(case, "");
    server::round_trip(Duration::from_millis(60));
    check(&doctor(mount.client_path(), &state()), DONE, "warning", "round trip", "ms in the median", "plan");
}
