//! The rig's own tools do what their names say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Signal;

use crate::rig::{self, Ended, Mount, Program, Running, look, server};
use crate::trial::{BOTH, Case, Trial};

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    // In the kernel of the facts: a boot costs more than these trials.
    let each = |what, cases, body| Trial::each("facts", what, cases, body);
    let once = BOTH.first_chunk::<1>().unwrap();
    [
        each("every_mount_option_mounts", &BOTH, every_mount_option_mounts),
        each("round_trip_is_delayed", &BOTH, round_trip_is_delayed),
        each("pulled_cable_is_no_answer", &BOTH, pulled_cable_is_no_answer),
        each("dropped_caches_are_asked_again", &BOTH, dropped_caches_are_asked_again),
        each("squashed_root_is_refused", &BOTH, squashed_root_is_refused),
        each("program_is_watched_and_signalled", once, program_is_watched_and_signalled),
        each("program_may_have_another_clock", once, program_may_have_another_clock),
    ]
    .concat()
}

fn every_mount_option_mounts(case: Case) {
    for options in ["", "noac", "nocto", "actimeo=600", "actimeo=3", "lookupcache=none", "soft", "nconnect=4"]
    {
        let mount = Mount::new(case, options);
        fs::write(mount.server_path().join("job"), "").unwrap();
        assert!(look::names_afresh(mount.client_path()).unwrap().contains_key("job"), "{options}");
    }
}

fn round_trip_is_delayed(case: Case) {
    let mount = Mount::new(case, "");
    let time = |round_trip: Duration| {
        server::round_trip(round_trip);
        let started = Instant::now();
        look::forced(mount.client_path()).unwrap();
        started.elapsed()
    };
    let (near, far) = (time(Duration::ZERO), time(Duration::from_millis(200)));
    assert!(far >= Duration::from_millis(190), "{far:?}");
    assert!(near < far / 2, "{near:?} {far:?}");
}

fn pulled_cable_is_no_answer(case: Case) {
    let mount = Mount::new(case, "");
    let stat = Program::named("stat").args([mount.client_path()]).args(["--cached=never"]);
    stat.run(SOON).expect_code(0);
    server::lose_percent(100);
    let mut blocked = stat.start();
    std::thread::sleep(Duration::from_secs(1));
    assert!(blocked.is_alive(), "no answer comes through");
    assert_eq!(blocked.kill().signal(), Some(Signal::KILL.as_raw()), "the wait can be killed");
    server::lose_percent(0);
    stat.run(SOON).expect_code(0);
}

fn dropped_caches_are_asked_again(case: Case) {
    let mount = Mount::new(case, "");
    let path = mount.client_path().join("folder");
    fs::create_dir(mount.server_path().join("folder")).unwrap();
    for _ in 0..2 {
        // The way there is asked for at the first look, permission to go it at the second.
        look::plain(&path).unwrap();
    }
    assert_eq!(mount.cost(|| look::plain(&path).unwrap()).0.total(), 0);
    rig::drop_caches();
    assert!(mount.cost(|| look::plain(&path).unwrap()).0.total() > 0);
}

fn squashed_root_is_refused(case: Case) {
    let mount = Mount::new(case, "");
    let path = mount.client_path().join("private");
    fs::create_dir(mount.server_path().join("private")).unwrap();
    fs::set_permissions(mount.server_path().join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(look::names(&path).is_ok());
    server::export(mount.fs(), "root_squash");
    rig::drop_caches();
    assert_eq!(look::names(&path).unwrap_err(), Errno::ACCESS);
}

fn program_is_watched_and_signalled(_: Case) {
    let script = "trap 'echo hung up' HUP; trap 'echo bye $NAME >&2; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let start = || -> Running {
        let mut shell = Program::named("bash").args(["-c", script]).env("NAME", "Ada").start();
        shell.wait_for_stdout(SOON, |text| text == "ready\n");
        shell
    };
    let mut shell = start();
    shell.signal(Signal::HUP);
    shell.wait_for_stdout(SOON, |text| text.ends_with("hung up\n"));
    let ended: Ended = shell.terminate(SOON).expect_code(3);
    assert_eq!(ended.stderr, "bye Ada\n");
    assert!(ended.took < SOON);
    assert_eq!(start().kill().signal(), Some(Signal::KILL.as_raw()));
}

/// What stands for a server whose clock is off; see [`Program::clock`].
fn program_may_have_another_clock(_: Case) {
    let seconds = |program: Program| -> i64 {
        program.args(["+%s"]).run(SOON).expect_code(0).stdout.trim().parse().unwrap()
    };
    let (ahead, now) = (seconds(Program::named("date").clock("+1h")), seconds(Program::named("date")));
    assert!((3590..=3610).contains(&(ahead - now)), "{ahead} {now}");
}
