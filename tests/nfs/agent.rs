//! The real agent on real NFS mounts: scenarios go here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::rig::{self, Mount, Program};
use crate::trial::{BOTH, Case, Trial};

/// A pass over a few files takes 1-2 s in the guest.
const PASS: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("agent", what, cases, body);
    [
        each("says_its_version", &BOTH, says_its_version),
        each(
            "one_shot_hands_over_once_and_writes_nothing",
            &BOTH,
            one_shot_hands_over_once_and_writes_nothing,
        ),
    ]
    .concat()
}

fn says_its_version(_: Case) {
    let ended = Program::agent().args(["--version"]).run(PASS).expect_code(0);
    assert_eq!(ended.stdout, concat!("nfs-scout ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// The pattern of a scenario: mount, let another client act on the server's side, run the agent, count RPCs.
fn one_shot_hands_over_once_and_writes_nothing(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    for day in ["21", "22"] {
        fs::create_dir(mount.server_path().join(day)).unwrap();
        fs::copy(sample(), mount.server_path().join(day).join("job.tgz")).unwrap();
    }
    let state = Path::new("/tmp").join(format!("state-{case}"));
    let agent = Program::agent()
        .args(["run", "--once", "--events", "-", "--state"])
        .args([state.as_path(), mount.client_path()]);

    let (first, ended) = mount.cost(|| agent.run(PASS).expect_code(0));
    rig::measured("first pass over 3 directories with 2 archives", &first);
    assert_eq!(ended.stdout.lines().count(), 2, "{}{}", ended.stdout, ended.stderr);

    let (second, ended) = mount.cost(|| agent.run(PASS).expect_code(0));
    rig::measured("second pass over 3 directories, nothing new", &second);
    assert_eq!(ended.stdout, "", "{}", ended.stderr);
    assert_eq!((first.writes(), second.writes()), (0, 0), "{first}; {second}");
}

/// A whole archive.
fn sample() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/copilot-output/2026/11/20/job-20000000.tgz"))
}
