//! The real agent on real NFS mounts: scenarios go here.

use std::time::Duration;

use crate::rig::{Mount, Program};
use crate::trial::{BOTH, Case, Trial};

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("agent", what, cases, body);
    [each("says_its_version", &BOTH, says_its_version)].concat()
}

/// The pattern of a scenario: mount, let another client act on the server's side, run the agent, count RPCs.
fn says_its_version(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    std::fs::write(mount.server_path().join("new.tgz"), "").unwrap();
    let (rpcs, ended) = mount.cost(|| Program::agent().args(["--version"]).run(Duration::from_secs(20)));
    ended.expect_code(0);
    assert_eq!(rpcs.writes(), 0, "{rpcs}");
}
