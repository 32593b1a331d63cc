//! What the agent costs its server, counted by the client's kernel: the figures that README.md and docs/nfs.md promise.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::rig::{self, Mount, agent};
use crate::trial::{BOTH, Case, Trial};
use crate::wish;

/// How many files the large directory has, if not as many as usual: 200,000 take a minute each, and
/// [`crate::trial::PATIENCE`] of 4.
pub(crate) const FILES: &str = "NFS_RIG_FILES";
const USUAL_FILES: u32 = 20_000;
/// First contact asks for every file's type: with more files than this it is made on the server's side.
const MOST_THROUGH_MOUNT: u32 = 50_000;

/// Longer than `actimeo=3`.
const CACHES_EXPIRE: Duration = Duration::from_secs(4);
/// For what takes a second or two in the guest.
const SOON: Duration = Duration::from_secs(40);

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, body| Trial::each("costs", what, &BOTH, body);
    let trials = [
        each("unchanged_directory_is_one_rpc", unchanged_directory_is_one_rpc),
        each("first_contact_asks_for_no_more_than_names", first_contact_asks_for_no_more_than_names),
        each("news_in_a_large_directory", news_in_a_large_directory),
        each("a_large_file_is_read_by_rsize", a_large_file_is_read_by_rsize),
        each("long_operation_writes_nothing", long_operation_writes_nothing),
    ];
    Trial::within(trials.concat(), Duration::from_secs(100))
}

/// 500 directories down to depth 6, every attribute cache expired between polls.
fn unchanged_directory_is_one_rpc(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    // The root, a, b, c; 16 times d and e; 29 in each e.
    for leaf in 0..464 {
        let path = mount.server_path().join(format!("a/b/c/d{}/e/f{leaf}", leaf % 16));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("job.tgz"), "").unwrap();
    }
    let state = agent::new_state();
    agent::once(&mount, &state, &["--baseline"]);
    let agent = agent::start_known(&mount, &state, 500, &["--interval", "12s"]);
    // By now each is held open: the first look of a run resolves its path.
    sleep(Duration::from_secs(12));
    let looks = || agent::inquire(&state, &["status"])["looks"].as_u64().unwrap();
    // The time between the two counts is as long at the end as at the beginning, but for a few looks.
    let said_before = looks();
    let poll = agent::next_poll(&mount, 1500);
    let looked = looks() - said_before;
    println!(
        "{}{looked} looks at 500 unchanged directories at depth 6, caches expired: {poll}",
        rig::MEASURED
    );
    assert_eq!(poll.total(), poll.of("GETATTR"), "{poll}");
    assert!(poll.total() * 100 <= looked * 102, "{looked} looks: {poll}");
    let getattr = &agent::inquire(&state, &["status"])["rpcs"]["GETATTR"];
    assert!(getattr["count"].as_u64().unwrap() >= poll.total(), "the agent's own count: {getattr}");
    assert!(getattr["per_second"].as_f64().unwrap() > 10.0, "500 looks in 12 s at least: {getattr}");
    assert!(getattr["round_trip_ms"].as_f64().unwrap() > 0.0, "{getattr}");
    agent.terminate(SOON).expect_code(0);

    sleep(CACHES_EXPIRE);
    let (rpcs, (_, said)) = mount.cost(|| agent::once(&mount, &state, &[]));
    rig::measured("a one-shot run over the same, caches expired", &rpcs);
    assert!(said.contains("looked at 500 directories"), "{said}");
    assert_eq!(rpcs.writes(), 0);
}

/// The least that learning a tree can cost is to find each directory, to be let in, and to read its names. No file is
/// asked for, and no stamp: that came with finding the directory.
fn first_contact_asks_for_no_more_than_names(case: Case) {
    /// The tops, and what lies in them.
    const DIRECTORIES: u64 = 10 + 200;
    /// For the root itself, and the client's own needs.
    const BESIDES: u64 = 10;
    let mount = Mount::new(case, "");
    for number in 0..200 {
        let folder = mount.server_path().join(format!("{}/{number}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        rig::create_files(&folder, "job-", 50);
    }
    let (rpcs, (_, said)) = mount.cost(|| agent::once(&mount, &agent::new_state(), &["--baseline"]));
    rig::measured("first contact with 210 directories of 50 files, --baseline", &rpcs);
    assert!(said.contains("10000 baseline"), "{said}");
    let listings = rpcs.of("READDIR") + rpcs.of("READDIRPLUS");
    let least = listings + 2 * DIRECTORIES;
    assert!(rpcs.total() * 10 <= (least + BESIDES) * 11, "{rpcs}");
    // A small directory's names and their end come in one answer, or the end in a second.
    assert!(listings <= 2 * (DIRECTORIES + 1), "{rpcs}");
    assert_eq!(rpcs.writes(), 0);
}

/// One archive arrives among many known files.
fn news_in_a_large_directory(case: Case) {
    let files = wish(FILES, USUAL_FILES);
    let mut mount = Mount::new(case, "");
    let (state, started) = (agent::new_state(), Instant::now());
    rig::create_files(mount.server_path(), "job-", files);
    println!("{files} files after {:?}", started.elapsed());
    if files > MOST_THROUGH_MOUNT {
        mount.on_the_server(|mount| agent::once(mount, &state, &["--baseline"]));
    } else {
        let (contact, _) = mount.cost(|| agent::once(&mount, &state, &["--baseline"]));
        rig::measured(&format!("first contact with {files} files, --baseline"), &contact);
        assert_eq!(contact.writes(), 0);
    }
    println!("first contact after {:?}", started.elapsed());
    one_is_new(&mount, &state, files);
    println!("done after {:?}", started.elapsed());
}

/// What it costs a running agent to find a new archive among known files: at most 10 RPCs, and one a thousand files.
fn one_is_new(mount: &Mount, state: &Path, files: u32) {
    let mut agent = agent::start_known(mount, state, 1, &["--interval", "15s", "--accept-mount"]);
    assert_eq!(agent.stdout(), "", "nothing is new yet\n{}", agent.stderr());
    let idle = agent::next_poll(mount, 1);
    rig::measured(&format!("a poll of {files} unchanged files in one directory"), &idle);
    assert_eq!((idle.total(), idle.of("GETATTR")), (1, 1), "{idle}");

    let (found, ()) = mount.cost(|| {
        agent::arrive(mount, "new.tgz");
        agent.wait_for_stdout(agent::limit(), |text| text.contains("new.tgz"));
    });
    rig::measured(&format!("found, stat'ed and read one new archive among {files} files"), &found);
    let (confirmed, ()) = mount.cost(|| agent::wait_for_confirmed(mount));
    rig::measured(&format!("the confirming second listing of {files} files"), &confirmed);
    assert_eq!(agent.stdout().lines().count(), 1, "{}", agent.stdout());
    agent.terminate(SOON).expect_code(0);
    let bound = 10 + u64::from(files) / 1000;
    assert!(found.total() <= bound && confirmed.total() <= bound, "{found}; {confirmed}");
    assert_eq!((found.writes(), confirmed.writes()), (0, 0));
}

/// The client would read ahead 128 KiB at a time, whatever its `rsize`.
fn a_large_file_is_read_by_rsize(case: Case) {
    const READ_AHEAD: u64 = 128 * 1024;
    let mount = Mount::new(case, "");
    let (plain, archive) = (mount.server_path().join("frame.exr"), mount.server_path().join("job.tgz"));
    fs::write(&plain, vec![1; 3_500_000]).unwrap();
    fs::write("/tmp/jobdata", "events=1\n").unwrap();
    rig::tool("tar", &["-czf", archive.to_str().unwrap(), "-C", "/tmp", "jobdata", "-C", "/bin", "bash"]);
    let sizes = [&plain, &archive].map(|path| fs::metadata(path).unwrap().len());

    let (rpcs, (events, said)) = mount.cost(|| agent::once(&mount, &agent::new_state(), &["--settle", "0s"]));
    let rsize = mount.rsize();
    rig::measured(&format!("to read files of {sizes:?} bytes, rsize={rsize}"), &rpcs);
    assert_eq!(events.lines().count(), 2, "{said}");
    assert!(rsize > READ_AHEAD && sizes.iter().all(|size| *size > READ_AHEAD), "this shows nothing");
    assert_eq!(rpcs.of("READ"), sizes.iter().map(|size| size.div_ceil(rsize)).sum::<u64>(), "{rpcs}");
}

/// Days in a minute: whatever can happen to files happens on the server's side, under a running agent with short
/// audits, restarts, a kill and one-shot runs.
fn long_operation_writes_nothing(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    let state = agent::new_state();
    let server = mount.server_path();
    let often =
        ["--interval", "300ms", "--settle", "200ms", "--audit", "1s", "--audit-stat", "--give-up", "2s"];
    let mut output = String::new();
    for day in 0..6 {
        let mut agent = agent::start(&mount, &state, &often);
        for hour in 0..12 {
            a_busy_hour(server, day, hour);
            sleep(Duration::from_millis(150));
        }
        let last = format!("day-{day}/renamed-11.tgz");
        agent.wait_for_stdout(SOON, |text| text.contains(&last));
        // Killed on odd days: its last lines may not be confirmed then, and come again under the same id.
        let ended = if day % 2 == 0 { agent.terminate(SOON).expect_code(0) } else { agent.kill() };
        output += &ended.stdout;
        agent::arrive(&mount, &format!("day-{day}/overnight.tgz"));
        output += &agent::once(&mount, &state, &often).0;
    }
    let all = mount.rpcs();
    rig::measured("six days of operation", &all);
    assert_eq!(all.writes(), 0, "{all}");
    for day in 0..6 {
        assert!(output.contains(&format!("day-{day}/overnight.tgz")), "{day}");
    }
    let seqs: Vec<&str> = output.lines().filter_map(|line| line.split("\"seq\":").nth(1)).collect();
    assert!(seqs.len() >= 6 * 13, "{}", seqs.len());
}

fn a_busy_hour(server: &Path, day: u32, hour: u32) {
    let folder = server.join(format!("day-{day}"));
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(format!("{name}-{hour}.tgz"));
    // In place and by rename.
    fs::copy(agent::sample(), path("written")).unwrap();
    fs::copy(agent::sample(), folder.join(".coming")).unwrap();
    fs::rename(folder.join(".coming"), path("renamed")).unwrap();
    fs::write(folder.join(format!("text-{hour}.txt")), format!("{day} {hour}")).unwrap();
    fs::write(folder.join(format!("broken-{hour}.tgz")), "no archive").unwrap();
    let before = |name: &str| folder.join(format!("{name}-{}.tgz", hour.wrapping_sub(1)));
    if hour > 0 {
        // Replaced, touched, rewritten in place, moved, removed.
        match hour % 5 {
            0 => fs::rename(path("written"), before("written")).unwrap(),
            1 => {
                fs::File::open(before("renamed"))
                    .unwrap()
                    .set_modified(std::time::SystemTime::now())
                    .unwrap();
            }
            2 => fs::write(before("renamed"), "rewritten").unwrap(),
            3 => fs::rename(before("renamed"), folder.join(format!("moved-{hour}.tgz"))).unwrap(),
            _ => fs::remove_file(before("renamed")).unwrap(),
        }
    }
    if hour == 6 && day > 0 {
        fs::rename(server.join(format!("day-{}", day - 1)), server.join(format!("archive-{day}"))).unwrap();
    }
    if hour == 9 && day > 1 {
        fs::remove_dir_all(server.join(format!("archive-{}", day - 1))).unwrap();
    }
}
