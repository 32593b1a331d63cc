//! The agent's own place on this machine: its state directory and what it may use.

use super::facts::{Health, LimitFacts, StateFacts, TreeFacts};
use super::finding::{Area, Finding, Verdict};

/// With less free, a database that grows and rewrites its files is at its end soon.
const LITTLE_SPACE: u64 = 512 << 20;

/// With less free, the next commit may fail.
const NO_SPACE: u64 = 16 << 20;

/// Fewer open files than this are soon too few: sockets, database and workers take some hundreds.
const FEW_FILES: u64 = 4096;

/// File systems of other machines.
const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "9p", "fuse.sshfs"];

/// File systems that a restart empties.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Judges the state directory.
pub(super) fn state(state: &StateFacts) -> Vec<Finding> {
    vec![place(state), space(state), health(state)]
}

fn place(state: &StateFacts) -> Finding {
    let StateFacts { path, fs_type, .. } = state;
    let bad = |verdict, evidence: String, remedy: &str| {
        Finding::bad(Area::Own, "state directory", verdict, evidence, remedy)
    };
    if state.is_below_watched {
        return bad(
            Verdict::Fault,
            format!("{path} lies below the watched directory, on {fs_type}: the agent would watch itself"),
            "give a directory on a local disk with --state, for example /var/lib/nfs-scout",
        );
    }
    if REMOTE.contains(&fs_type.as_str()) {
        return bad(
            Verdict::Fault,
            format!("{path} is on {fs_type}: when the server hangs the agent hangs, and locks may be lost"),
            "give a directory on a local disk with --state, for example /var/lib/nfs-scout; an existing one can be moved \
             there while no agent runs",
        );
    }
    if !state.is_writable {
        return bad(
            Verdict::Fault,
            format!("{path} cannot be written by this user"),
            "run this as the agent's user (sudo -u nfs-scout), or give the directory to it (chown)",
        );
    }
    if IN_MEMORY.contains(&fs_type.as_str()) {
        return bad(
            Verdict::Warning,
            format!("{path} is on {fs_type}: after a restart of the machine every file is news again"),
            "give a directory on a disk with --state",
        );
    }
    let there = if state.exists { "" } else { ", made by the first run" };
    Finding::ok(Area::Own, "state directory", format!("{path} on {fs_type}{there}"))
}

fn space(state: &StateFacts) -> Finding {
    let (check, evidence) = ("state space", format!("{} MiB free", state.free_bytes >> 20));
    let verdict = match state.free_bytes {
        free if free < NO_SPACE => Verdict::Fault,
        free if free < LITTLE_SPACE => Verdict::Warning,
        _ => return Finding::ok(Area::Own, check, evidence),
    };
    Finding::bad(
        Area::Own,
        check,
        verdict,
        evidence,
        "make room there, or move the state directory to a larger disk",
    )
}

fn health(state: &StateFacts) -> Finding {
    let check = "index";
    let bad =
        |verdict, evidence: &str, remedy: &str| Finding::bad(Area::Own, check, verdict, evidence, remedy);
    match &state.health {
        Health::None => Finding::ok(Area::Own, check, "none yet"),
        Health::Running => Finding::ok(Area::Own, check, "an agent runs with it and answers"),
        Health::Sound { bytes } => {
            Finding::ok(Area::Own, check, format!("a copy opens and agrees with itself, {bytes} bytes"))
        }
        Health::Mute(reason) => bad(
            Verdict::Fault,
            &format!("an agent holds it and does not answer: {reason}"),
            "see its log; restart it if that lasts (nothing is lost)",
        ),
        Health::Unseen(reason) => bad(
            Verdict::Note,
            reason,
            "`nfs-scout index verify` checks it, as the agent's user and while no agent runs",
        ),
        Health::Ill(reason) => bad(
            Verdict::Fault,
            reason,
            "stop the agent; restore the whole state directory from a backup, or move it aside and start with --baseline",
        ),
    }
}

/// Judges the limit of open files.
pub(super) fn limits(limits: &LimitFacts, tree: &TreeFacts) -> Finding {
    let check = "open files";
    let Some(most) = limits.open_files else {
        return Finding::ok(Area::Own, check, "no limit");
    };
    let evidence = format!(
        "at most {most}: {} directories can be held open, {} were found",
        limits.held, tree.directories
    );
    if most >= FEW_FILES && tree.directories <= limits.held {
        return Finding::ok(Area::Own, check, evidence);
    }
    Finding::bad(
        Area::Own,
        check,
        Verdict::Warning,
        format!("{evidence}; a look at one that is not held costs a LOOKUP for each step of its path too"),
        "raise the hard limit: LimitNOFILE=262144 in the unit, nofile in /etc/security/limits.conf, ulimit -Hn",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> StateFacts {
        StateFacts {
            exists: true,
            fs_type: "ext4".to_owned(),
            is_writable: true,
            free_bytes: 1 << 40,
            ..StateFacts::default()
        }
    }

    #[track_caller]
    fn check(facts: &StateFacts, expected: &[(&str, Verdict)]) {
        let findings = state(facts);
        let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Ok);
        let bad: Vec<_> = bad.map(|finding| (finding.check.as_str(), finding.verdict)).collect();
        assert_eq!(bad, expected, "{findings:?}");
    }

    #[test]
    fn judges_the_state_directory() {
        use Verdict::{Fault, Note, Warning};
        let on = |fs_type: &str| StateFacts { fs_type: fs_type.to_owned(), ..sound() };
        let ill = |health| StateFacts { health, ..sound() };
        check(&sound(), &[]);
        check(&on("nfs4"), &[("state directory", Fault)]);
        check(&on("nfs"), &[("state directory", Fault)]);
        check(&on("tmpfs"), &[("state directory", Warning)]);
        check(&StateFacts { is_below_watched: true, ..sound() }, &[("state directory", Fault)]);
        check(&StateFacts { is_writable: false, ..sound() }, &[("state directory", Fault)]);
        check(&StateFacts { free_bytes: 100 << 20, ..sound() }, &[("state space", Warning)]);
        check(&StateFacts { free_bytes: 1 << 20, ..sound() }, &[("state space", Fault)]);
        check(&ill(Health::Running), &[]);
        check(&ill(Health::Sound { bytes: 1 }), &[]);
        check(&ill(Health::Mute("late".to_owned())), &[("index", Fault)]);
        check(&ill(Health::Unseen("large".to_owned())), &[("index", Note)]);
        check(&ill(Health::Ill("lost".to_owned())), &[("index", Fault)]);
    }

    #[track_caller]
    fn check_limits(open_files: Option<u64>, held: u64, directories: u64, expected: Verdict) {
        let tree = TreeFacts { directories, ..TreeFacts::default() };
        assert_eq!(limits(&LimitFacts { open_files, held }, &tree).verdict, expected);
    }

    #[test]
    fn judges_open_files() {
        check_limits(None, 65_536, 9, Verdict::Ok);
        check_limits(Some(524_288), 65_536, 9, Verdict::Ok);
        check_limits(Some(256), 64, 9, Verdict::Warning);
        check_limits(Some(8192), 7680, 7681, Verdict::Warning);
    }
}
