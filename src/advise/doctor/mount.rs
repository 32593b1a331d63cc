//! The mount and its options, judged for finding files by polling: what an option does to this job, not in general.

use std::time::Duration;

use super::facts::MountFacts;
use super::finding::{Area, Finding, Verdict, plain};

/// What other programs on this client may be behind by default, in seconds (`acdirmax`, nfs(5)).
const USUAL_STALENESS: u64 = 60;

/// Reading an archive in smaller pieces than this costs more calls than looking for it.
const SMALL_READ: u64 = 65_536;

/// From here on a walk, an audit and the reading of files are felt.
const SLOW: Duration = Duration::from_millis(20);

/// What is said when nothing can be read there.
pub(super) fn unreadable(reason: &str) -> Finding {
    Finding::bad(
        Area::Mount,
        "mount",
        Verdict::Fault,
        reason,
        "mount it (mount PATH); if the server does not answer: showmount -e SERVER, rpcinfo SERVER, the server's log",
    )
}

/// Judges the mount.
pub(super) fn check(mount: &MountFacts) -> Vec<Finding> {
    let mut findings = vec![file_system(mount)];
    if mount.is_nfs() {
        findings.extend(options(mount));
        findings.push(refresh(mount));
        findings.push(visibility(mount));
    }
    findings.push(round_trip(mount));
    findings
}

impl MountFacts {
    pub(super) fn is_nfs(&self) -> bool {
        self.fs_type.starts_with("nfs")
    }

    /// Whether the option is given, with or without a value.
    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    /// How long a program that does not ask the server may see a directory as it was, in seconds.
    fn staleness(&self) -> u64 {
        if self.has("noac") { 0 } else { self.number("acdirmax").unwrap_or(USUAL_STALENESS) }
    }
}

fn file_system(mount: &MountFacts) -> Finding {
    let MountFacts { fs_type, source, mount_point, .. } = mount;
    let what = format!("{fs_type} from {source} at {mount_point}");
    if !mount.is_nfs() {
        return Finding::bad(
            Area::Mount,
            "file system",
            Verdict::Note,
            format!("{what}: not NFS"),
            "if it lies on a disk of this machine, inotify tells of new files at once; on another network file system \
             nfs-scout looks as it does on NFS, but nobody has tried whether a look gets past the cache there",
        );
    }
    match mount.value("vers") {
        Some("2") => Finding::bad(
            Area::Mount,
            "file system",
            Verdict::Warning,
            format!("{what}, NFS 2"),
            "mount with vers=4.2 or vers=3: version 2 knows no file over 2 GiB",
        ),
        version => Finding::ok(Area::Mount, "file system", format!("{what}, NFS {}", version.unwrap_or("?"))),
    }
}

/// The options that are not good for this job; one `ok` if there are none.
fn options(mount: &MountFacts) -> Vec<Finding> {
    let bad = |check: &str, evidence: String, remedy: &str| {
        Finding::bad(Area::Mount, check, Verdict::Warning, evidence, remedy)
    };
    let text = str::to_owned;
    let mut findings = Vec::new();
    if mount.has("noac") {
        findings.push(bad(
            "mount option noac",
            text("every look of every program asks the server, and writes are synchronous"),
            "remove noac: nfs-scout asks past the cache by itself, at one GETATTR a look",
        ));
    } else if mount.staleness() > USUAL_STALENESS {
        findings.push(bad(
            "mount option actimeo",
            format!(
                "acdirmax={0}: programs that read what was announced may not find it for up to {0} s",
                mount.staleness()
            ),
            "remove actimeo, acregmax and acdirmax (then 60 s), or set actimeo=3; --refresh plain would be as late",
        ));
    }
    if mount.has("nocto") {
        findings.push(bad(
            "mount option nocto",
            text("opening a file does not ask the server: readers may get old content, and --refresh open asks nothing"),
            "remove nocto; until then keep --refresh force, the default",
        ));
    }
    if let Some(soft) = ["soft", "softerr"].into_iter().find(|name| mount.has(name)) {
        findings.push(bad(
            &format!("mount option {soft}"),
            format!(
                "calls fail when the server is away for longer than timeo and retrans ({} tenths, {} times): a write by \
                 any program may be lost, a read fails",
                mount.value("timeo").unwrap_or("?"),
                mount.value("retrans").unwrap_or("?")
            ),
            "mount with hard: nfs-scout waits for a hung server without standing still",
        ));
    }
    if mount.value("lookupcache") == Some("none") {
        findings.push(bad(
            "mount option lookupcache",
            text("lookupcache=none: every step of every path is asked of the server"),
            "remove lookupcache=none, or use lookupcache=positive if programs must see new names at once",
        ));
    }
    if let Some(size) = mount.number("rsize").filter(|size| *size < SMALL_READ) {
        findings.push(bad(
            "mount option rsize",
            format!("rsize={size}: an archive is read in many small calls"),
            "remove rsize: client and server agree on the largest that both can (up to 1 MiB)",
        ));
    }
    if mount.value("proto").is_some_and(|proto| proto.starts_with("udp")) {
        findings.push(bad(
            "mount option proto",
            text(
                "proto=udp: lost packets cost whole seconds, and data may be mixed up at high rates (nfs(5))",
            ),
            "mount with proto=tcp",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Area::Mount, "mount options", told(mount)));
    }
    findings
}

/// Those options that matter here, as they are.
fn told(mount: &MountFacts) -> String {
    let names = [
        "ro",
        "rw",
        "hard",
        "vers",
        "proto",
        "rsize",
        "acdirmin",
        "acdirmax",
        "lookupcache",
        "nconnect",
        "sec",
    ];
    let matters = |option: &&String| names.contains(&option.split('=').next().unwrap_or_default());
    let mut shown: Vec<&str> = mount.options.iter().filter(matters).map(String::as_str).collect();
    shown.dedup();
    shown.join(",")
}

/// Whether a forced refresh asks the server once.
///
/// Others on this machine may use the mount meanwhile, which only adds: so the least of some tries counts.
fn refresh(mount: &MountFacts) -> Finding {
    let check = "forced refresh";
    let Some(least) = mount.rpcs_a_refresh.iter().min() else {
        return Finding::bad(
            Area::Mount,
            check,
            Verdict::Note,
            "the mount's counters cannot be read",
            "see that /proc/self/mountstats is readable; what a look costs cannot be told without it",
        );
    };
    let tries = mount.rpcs_a_refresh.len();
    match least {
        1 => Finding::ok(Area::Mount, check, format!("1 RPC each, counted over {tries} tries")),
        0 => Finding::bad(
            Area::Mount,
            check,
            Verdict::Warning,
            format!("no RPC in {tries} tries: the client answers by itself"),
            "right if it holds a directory delegation (Linux 6.19 and later); else news is as late as its cache: \
             use --refresh open",
        ),
        more => Finding::bad(
            Area::Mount,
            check,
            Verdict::Warning,
            format!("at least {more} RPCs each in {tries} tries"),
            "others may be busy on this mount: ask again in a quiet moment; see mountstats (nfs-common)",
        ),
    }
}

/// What a reader can tell of the time until a change is seen: the client's part of it.
fn visibility(mount: &MountFacts) -> Finding {
    let others = match mount.staleness() {
        0 => "other programs on this client see changes at once".to_owned(),
        seconds => format!("other programs on this client may be {seconds} s behind (acdirmax)"),
    };
    Finding::ok(
        Area::Mount,
        "visibility",
        format!(
            "a forced look shows what the server knows at that moment; {others}; whether the server caches by itself \
             (nfs-ganesha does) cannot be seen by reading"
        ),
    )
}

fn round_trip(mount: &MountFacts) -> Finding {
    let (check, time) = ("round trip", mount.round_trip);
    let evidence = format!("a forced look takes {:.2} ms in the median", time.as_secs_f64() * 1000.0);
    if time < SLOW {
        return Finding::ok(Area::Mount, check, evidence);
    }
    Finding::bad(
        Area::Mount,
        check,
        Verdict::Warning,
        evidence,
        "run nfs-scout nearer to the server, or ask `nfs-scout plan` which interval this allows; --workers adds calls \
         at a time",
    )
}

/// The line for `/etc/fstab`: what this mount has and needs, without what is bad for the job; `None` if it is not NFS.
pub(super) fn fstab_line(mount: &MountFacts) -> Option<String> {
    if !mount.is_nfs() {
        return None;
    }
    let kept = ["vers", "sec", "port", "mountport", "mountproto", "proto", "nconnect"];
    let mut options = vec!["ro".to_owned(), "hard".to_owned(), "_netdev".to_owned()];
    for name in kept {
        let usual = match name {
            "sec" => Some("sys"),
            "proto" | "mountproto" => Some("tcp"),
            _ => None,
        };
        let value = mount.value(name).filter(|value| Some(*value) != usual && *value != "udp");
        options.extend(value.map(|value| format!("{name}={value}")));
    }
    let kind = if mount.value("vers").is_some_and(|vers| vers.starts_with('4')) { "nfs4" } else { "nfs" };
    Some(plain(&format!("{} {} {kind} {} 0 0", mount.source, mount.mount_point, options.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(options: &str) -> MountFacts {
        MountFacts {
            fs_type: "nfs4".to_owned(),
            source: "server:/data".to_owned(),
            mount_point: "/mnt/a\\040b".to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
            rpcs_a_refresh: vec![3, 1, 1],
            round_trip: Duration::from_micros(300),
        }
    }

    /// The names of the checks that are not ok, with these options.
    #[track_caller]
    fn check_options(options: &str, expected: &[&str]) {
        let findings = check(&mount(options));
        let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Ok);
        assert_eq!(bad.map(|finding| finding.check.as_str()).collect::<Vec<_>>(), expected, "{findings:?}");
        assert!(findings.iter().all(|it| (it.verdict == Verdict::Ok) == it.remedy.is_none()));
    }

    #[test]
    fn judges_options() {
        const SOUND: &str = "rw,relatime,vers=4.2,rsize=1048576,hard,proto=tcp,timeo=600,retrans=2,sec=sys";
        check_options(SOUND, &[]);
        let with = |more: &str| format!("{SOUND},{more}");
        check_options(&with("acregmin=3,acregmax=3,acdirmin=3,acdirmax=3"), &[]);
        check_options(&with("nconnect=4"), &[]);
        check_options(&with("acdirmin=600,acdirmax=600"), &["mount option actimeo"]);
        check_options(&with("acdirmin=0,acdirmax=0,noac"), &["mount option noac"]);
        check_options(&with("nocto"), &["mount option nocto"]);
        check_options(&with("lookupcache=none"), &["mount option lookupcache"]);
        check_options(&with("lookupcache=pos"), &[]);
        check_options(&SOUND.replace("hard", "soft"), &["mount option soft"]);
        check_options(&SOUND.replace("hard", "softerr"), &["mount option softerr"]);
        check_options(&SOUND.replace("1048576", "8192"), &["mount option rsize"]);
        check_options(&SOUND.replace("tcp", "udp"), &["mount option proto"]);
        check_options(&SOUND.replace("4.2", "2"), &["file system"]);
    }

    #[track_caller]
    fn check_refresh(rpcs: &[u64], expected: Verdict) {
        assert_eq!(refresh(&MountFacts { rpcs_a_refresh: rpcs.to_vec(), ..mount("rw") }).verdict, expected);
    }

    #[test]
    fn judges_what_a_refresh_costs() {
        check_refresh(&[1, 1, 1], Verdict::Ok);
        check_refresh(&[4, 1, 9], Verdict::Ok);
        check_refresh(&[0, 1, 1], Verdict::Warning);
        check_refresh(&[2, 2], Verdict::Warning);
        check_refresh(&[], Verdict::Note);
    }

    #[test]
    fn a_long_way_and_another_file_system_are_told() {
        let far = MountFacts { round_trip: Duration::from_millis(50), ..mount("vers=3") };
        assert_eq!(round_trip(&far).verdict, Verdict::Warning);
        let local = MountFacts { fs_type: "ext4".to_owned(), ..mount("rw,noac") };
        let verdicts: Vec<_> = check(&local).iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Note, Verdict::Ok]);
        assert_eq!(fstab_line(&local), None);
    }

    #[test]
    fn recommends_what_the_mount_has_without_what_is_bad() {
        let line =
            fstab_line(&mount("rw,vers=4.2,noac,soft,nocto,acdirmax=600,sec=krb5p,proto=tcp,port=2050"));
        assert_eq!(
            line.as_deref(),
            Some("server:/data /mnt/a\\040b nfs4 ro,hard,_netdev,vers=4.2,sec=krb5p,port=2050 0 0")
        );
        let old = fstab_line(&mount("rw,vers=3,proto=udp"));
        assert_eq!(old.as_deref(), Some("server:/data /mnt/a\\040b nfs ro,hard,_netdev,vers=3 0 0"));
    }
}
