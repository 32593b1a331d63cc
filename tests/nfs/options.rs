//! News under every mount option and every way of refreshing: how fresh, at which cost.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::rig::{self, Mount, Running, agent};
use crate::trial::{BOTH, Case, Trial};

/// For what takes a second or two in the guest.
const SOON: Duration = Duration::from_secs(40);
/// Sooner than a client that asks nobody would show what is new: it believes a directory for 30 s (`acdirmin`).
const FRESH: Duration = Duration::from_secs(20);
/// Several intervals of a second.
const STALE: Duration = Duration::from_secs(4);

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, body| Trial::each("options", what, &BOTH, body);
    [
        each("news_is_found_under_every_mount_option", news_is_found_under_every_mount_option),
        each("only_a_forced_look_is_fresh_without_cto", only_a_forced_look_is_fresh_without_cto),
        each("ways_of_refreshing", ways_of_refreshing),
    ]
    .concat()
}

/// A forced look finds what is new within the interval, however the mount caches. One agent a mount, all at once.
fn news_is_found_under_every_mount_option(case: Case) {
    const INTERVAL: Duration = Duration::from_secs(3);
    let all = ["", "noac", "nocto", "actimeo=600", "lookupcache=none", "soft", "nconnect=4"];
    let mut all = all.map(|options| Watched::start(case, options, &["--interval", "3s"]));
    for watched in &mut all {
        watched.see_the_first();
    }
    // Past the confirming listings.
    sleep(INTERVAL);
    for watched in &mut all {
        watched.send("second.tgz");
    }
    for watched in &mut all {
        let after = watched.see("second.tgz", FRESH).expect("found before a cache expires");
        println!("{}options '{}', --interval 3s: found after {after:.1?}", rig::MEASURED, watched.options);
    }
}

/// What `--refresh open` cannot promise on a `nocto` mount, and `--refresh plain` on any without delegations: both are
/// as late as the client's attribute cache.
fn only_a_forced_look_is_fresh_without_cto(case: Case) {
    let all = [("open", "", true), ("open", "nocto", false), ("plain", "", false), ("plain", "noac", true)];
    let mut all = all.map(|(refresh, options, is_fresh)| {
        let arguments = ["--interval", "1s", "--refresh", refresh];
        (refresh, is_fresh, Watched::start(case, options, &arguments))
    });
    for (_, _, watched) in &mut all {
        watched.see_the_first();
    }
    // Past the confirming listings, which ask in any case.
    sleep(Duration::from_secs(6));
    for (_, _, watched) in &mut all {
        watched.send("second.tgz");
    }
    // The fresh ones first: the others had at least as much time.
    all.sort_by_key(|(_, is_fresh, _)| !is_fresh);
    for (refresh, is_fresh, watched) in &mut all {
        let after = watched.see("second.tgz", if *is_fresh { FRESH } else { STALE });
        let options = watched.options;
        println!(
            "{}--refresh {refresh}, options '{options}', --interval 1s: found after {after:.1?}",
            rig::MEASURED
        );
        assert_eq!(after.is_some(), *is_fresh, "--refresh {refresh}, options '{options}'");
    }
}

/// A mount with caches of its own and the agent at work on it.
struct Watched {
    options: &'static str,
    agent: Running,
    mount: Mount,
    sent: Instant,
}

impl Watched {
    fn start(case: Case, options: &'static str, arguments: &[&str]) -> Self {
        let separate =
            if options.is_empty() { "nosharecache".to_owned() } else { format!("nosharecache,{options}") };
        let mount = Mount::new(case, &separate);
        fs::create_dir_all(mount.server_path().join("a/b")).unwrap();
        agent::arrive(&mount, "a/b/first.tgz");
        let agent = agent::start(&mount, &agent::new_state(), arguments);
        Self { options, agent, mount, sent: Instant::now() }
    }

    fn see_the_first(&mut self) {
        self.agent.wait_for_stdout(SOON, |text| text.contains("first.tgz"));
    }

    fn send(&mut self, name: &str) {
        agent::arrive(&self.mount, &format!("a/b/{name}"));
        self.sent = Instant::now();
    }

    /// How long after it was sent the agent has found it; `None` if it does not within `limit` from now.
    fn see(&self, name: &str, limit: Duration) -> Option<Duration> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if self.agent.stdout().contains(name) {
                return Some(self.sent.elapsed());
            }
            sleep(Duration::from_millis(20));
        }
        None
    }
}

/// What a poll of 50 unchanged directories costs by each way of refreshing, caches expired.
fn ways_of_refreshing(case: Case) {
    let start_one = |refresh: &'static str| {
        let mount = Mount::new(case, "actimeo=3,nosharecache");
        for index in 0..49 {
            fs::create_dir(mount.server_path().join(index.to_string())).unwrap();
        }
        let agent = agent::start(&mount, &agent::new_state(), &["--interval", "9s", "--refresh", refresh]);
        (refresh, mount, agent)
    };
    let all = ["force", "open", "plain"].map(start_one);
    sleep(Duration::from_secs(7));
    let before = all.each_ref().map(|(_, mount, _)| mount.rpcs());
    // One poll: the confirming listings are over 3 s after the start, the next look comes 8.1 to 8.8 s after them.
    sleep(Duration::from_secs(8));
    for ((refresh, mount, _), before) in all.iter().zip(&before) {
        let cost = mount.rpcs().since(before);
        rig::measured(&format!("a poll of 50 unchanged directories, --refresh {refresh}"), &cost);
        assert_eq!(cost.writes(), 0);
    }
}
