//! What lies on the mount: what cannot be read, what is too large, how finely the server's stamps tick.

use std::collections::BTreeSet;
use std::time::Duration;

use super::facts::{MountFacts, TreeFacts};
use super::finding::{Area, Finding, Verdict};
use crate::model::{RelPath, Timestamp};

/// From here on an NFS client stops to ask for attributes with the names (READDIRPLUS), so that each name's type costs an
/// RPC to whoever asks for it. It depends on the size of names and buffers; between 2,000 and 20,000 it was met.
const LARGE: u64 = 5_000;

/// Paths shown of each kind.
const SHOWN: usize = 3;

/// Change times from which the tick is told.
const ENOUGH_STAMPS: usize = 3;

/// Judges what was found on the way.
pub(super) fn check(tree: &TreeFacts, mount: &MountFacts) -> Vec<Finding> {
    let mut findings = vec![coverage(tree), permissions(tree)];
    findings.extend(failures(tree));
    findings.push(large(tree, mount.is_nfs()));
    findings.push(granularity(&tree.change_times));
    findings
}

fn coverage(tree: &TreeFacts) -> Finding {
    let (check, count) = ("tree", tree.directories);
    if tree.is_silent {
        return Finding::bad(
            Area::Mount,
            check,
            Verdict::Fault,
            format!("the server stopped answering after {count} directories"),
            "see the server's log and load, and the way to it (ping, nfsiostat)",
        );
    }
    let part = if tree.is_whole { "all" } else { "the first of them; the rest is not judged" };
    Finding::ok(Area::Mount, check, format!("{count} directories looked at, {part}"))
}

fn permissions(tree: &TreeFacts) -> Finding {
    let check = "permissions";
    if tree.denied.is_empty() {
        return Finding::ok(Area::Mount, check, "every directory looked at can be read");
    }
    Finding::bad(
        Area::Mount,
        check,
        Verdict::Fault,
        format!("permission denied in {}: files there are never found", some(tree.denied.iter())),
        "on the server, let the agent's user read and enter them (chmod g+rx, setfacl -m u:nfs-scout:rX); root is \
         nobody under root_squash; or leave them out with --exclude 'NAME/'",
    )
}

fn failures(tree: &TreeFacts) -> Option<Finding> {
    let (_, reason) = tree.failed.first()?;
    Some(Finding::bad(
        Area::Mount,
        "errors",
        Verdict::Fault,
        format!("{}: {reason}", some(tree.failed.iter().map(|(path, _)| path))),
        "look at the server's log and disk; files there are found when the error is gone",
    ))
}

fn large(tree: &TreeFacts, is_nfs: bool) -> Finding {
    let check = "large directories";
    let largest = tree.largest.first().map_or(0, |(_, names)| *names);
    if largest < LARGE || !is_nfs {
        return Finding::ok(Area::Mount, check, format!("the largest has {largest} names"));
    }
    let over = tree.largest.iter().filter(|(_, names)| *names >= LARGE);
    let shown: Vec<_> = over.take(SHOWN).map(|(path, names)| format!("{path} ({names} names)")).collect();
    Finding::bad(
        Area::Mount,
        check,
        Verdict::Warning,
        format!(
            "{}: beyond READDIRPLUS, so find, ls -l and each --audit cost an RPC a name there; a look by names alone \
             does not, but a change means that all names come again",
            shown.join(", ")
        ),
        "have producers write into subdirectories (a day, an hour), move old files away, make --audit rarer (24h, off)",
    )
}

/// The distance of two change times that the server set is a whole number of its ticks.
fn granularity(times: &[Timestamp]) -> Finding {
    let check = "time stamps";
    let times: BTreeSet<Timestamp> = times.iter().copied().collect();
    if times.len() < ENOUGH_STAMPS {
        return Finding::ok(
            Area::Mount,
            check,
            "too few different change times to tell how finely they tick",
        );
    }
    if times.iter().all(|time| time.nanoseconds == 0) {
        return Finding::bad(
            Area::Mount,
            check,
            Verdict::Note,
            format!("all {} change times seen are whole seconds", times.len()),
            "nothing to do: after a change a directory is listed once more when its stamp is over 2 s old; files come up \
             to that much later",
        );
    }
    let least = times.iter().zip(times.iter().skip(1)).map(|(one, next)| next.since(*one)).min();
    let least = least.unwrap_or(Duration::ZERO);
    let shown = humantime::format_duration(least);
    Finding::ok(Area::Mount, check, format!("fractions of a second; the least distance of two is {shown}"))
}

/// The first few paths, and how many there are.
fn some<'a>(paths: impl ExactSizeIterator<Item = &'a RelPath>) -> String {
    let count = paths.len();
    let shown: Vec<String> = paths.take(SHOWN).map(ToString::to_string).collect();
    let rest = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> TreeFacts {
        let time = |nanoseconds| Timestamp { seconds: 10, nanoseconds };
        TreeFacts {
            directories: 3,
            is_whole: true,
            largest: vec![(RelPath::from("a"), 12)],
            change_times: vec![time(4_000_000), time(8_000_000), time(20_000_000)],
            ..TreeFacts::default()
        }
    }

    #[track_caller]
    fn judge(tree: &TreeFacts, expected: &[(&str, Verdict)]) -> String {
        let mount = MountFacts { fs_type: "nfs4".to_owned(), ..MountFacts::default() };
        let findings = check(tree, &mount);
        let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Ok);
        let bad: Vec<_> = bad.map(|finding| (finding.check.as_str(), finding.verdict)).collect();
        assert_eq!(bad, expected, "{findings:?}");
        findings.iter().map(|finding| finding.evidence.clone() + "\n").collect()
    }

    #[test]
    fn says_what_is_wrong_with_a_tree() {
        assert!(judge(&tree(), &[]).contains("the least distance of two is 4ms"));
        assert!(judge(&TreeFacts { is_whole: false, ..tree() }, &[]).contains("the first of them"));
        judge(&TreeFacts { is_silent: true, ..tree() }, &[("tree", Verdict::Fault)]);
        let failed = vec![(RelPath::from("a"), "Input/output error".to_owned())];
        judge(&TreeFacts { failed, ..tree() }, &[("errors", Verdict::Fault)]);
        let largest = vec![(RelPath::from("flat"), 50_000), (RelPath::from("a"), 12)];
        let told = judge(&TreeFacts { largest, ..tree() }, &[("large directories", Verdict::Warning)]);
        assert!(told.contains("flat (50000 names): ") && !told.contains("a (12"), "{told}");
        let whole = (1..5).map(|seconds| Timestamp { seconds, nanoseconds: 0 }).collect();
        judge(&TreeFacts { change_times: whole, ..tree() }, &[("time stamps", Verdict::Note)]);
        assert!(judge(&TreeFacts { change_times: Vec::new(), ..tree() }, &[]).contains("too few"));
    }

    #[test]
    fn names_a_few_unreadable_directories_escaped() {
        let denied = ["a\nok  forged", "b", "c", "d", "e"].map(RelPath::from).to_vec();
        let told = judge(&TreeFacts { denied, ..tree() }, &[("permissions", Verdict::Fault)]);
        assert!(told.contains(r"denied in a\nok  forged, b, c and 2 more: files"), "{told}");
    }
}
