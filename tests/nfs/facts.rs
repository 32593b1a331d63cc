//! What the kernel's NFS client and server do, without the agent: the facts that its design stands on.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;
use std::{fs, thread};

use rustix::io::Errno;

use crate::rig::{self, Mount, Program, Rpcs, look, server};
use crate::trial::{ALL, BOTH, Case, Fs, Trial, Version};

/// How many directories are looked at where the count does not matter.
const DIRECTORIES: usize = 20;
/// Longer than `actimeo=3`.
const CACHES_EXPIRE: Duration = Duration::from_secs(4);
/// A directory too large for the client to ask for attributes with the names.
const MANY_FILES: u32 = 20_000;

pub(crate) fn trials() -> Vec<Trial> {
    let each = |what, cases, body| Trial::each("facts", what, cases, body);
    let slow = |trials| Trial::within(trials, Duration::from_secs(180));
    [
        each("forced_look_is_one_getattr", &ALL, forced_look_is_one_getattr),
        each(
            "forced_look_by_path_pays_for_expired_parents",
            &BOTH,
            forced_look_by_path_pays_for_expired_parents,
        ),
        each("held_descriptor_is_one_getattr", &BOTH, held_descriptor_is_one_getattr),
        each(
            "held_descriptor_follows_rename_and_goes_stale",
            &ALL,
            held_descriptor_follows_rename_and_goes_stale,
        ),
        each("plain_look_is_stale", &ALL, plain_look_is_stale),
        each("opening_asks_unless_nocto", &BOTH, opening_asks_unless_nocto),
        slow(each("names_are_cheap_types_are_not", &BOTH, names_are_cheap_types_are_not)),
        each("names_carry_the_fileid", &ALL, names_carry_the_fileid),
        each("second_listing_needs_the_cache_dropped", &ALL, second_listing_needs_the_cache_dropped),
        each("touch_job_writes", &BOTH, touch_job_writes),
        each("stopped_server_blocks_and_answers_later", &BOTH, stopped_server_blocks_and_answers_later),
        each("soft_mount_gives_up", &BOTH, soft_mount_gives_up),
        each("withdrawn_export_is_an_error", &BOTH, withdrawn_export_is_an_error),
        each("unmounted_is_an_empty_directory", &BOTH, unmounted_is_an_empty_directory),
    ]
    .concat()
}

fn forced_look_is_one_getattr(case: Case) {
    let mount = Mount::new(case, "");
    let directories = flat(&mount);
    let (rpcs, ()) = mount.cost(|| look_at_all(&directories));
    rig::measured("20 forced looks by path, parents cached", &rpcs);
    assert_eq!(rpcs, only("GETATTR", DIRECTORIES));
}

fn forced_look_by_path_pays_for_expired_parents(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    let directories = deep(&mount);
    sleep(CACHES_EXPIRE);
    let (rpcs, ()) = mount.cost(|| look_at_all(&directories));
    rig::measured("20 forced looks by path, depth 6, caches expired", &rpcs);
    // The root, a, b, c and, for every four directories, two more.
    let parents = 4 + 2 * DIRECTORIES / 4;
    assert_eq!(rpcs, only("GETATTR", DIRECTORIES + parents));
}

fn held_descriptor_is_one_getattr(case: Case) {
    let mount = Mount::new(case, "actimeo=3");
    let held: Vec<OwnedFd> = deep(&mount).iter().map(|path| look::hold(path).unwrap()).collect();
    sleep(CACHES_EXPIRE);
    let (rpcs, ()) = mount.cost(|| {
        for held in &held {
            look::forced_held(held).unwrap();
        }
    });
    rig::measured("20 forced looks at held descriptors, depth 6, caches expired", &rpcs);
    assert_eq!(rpcs, only("GETATTR", DIRECTORIES));
}

fn held_descriptor_follows_rename_and_goes_stale(case: Case) {
    let mount = Mount::new(case, "");
    let (here, there) = (mount.server_path().join("here"), mount.server_path().join("there"));
    fs::create_dir(&here).unwrap();
    let held = look::hold(&mount.client_path().join("here")).unwrap();
    let fileid = look::forced_held(&held).unwrap().stx_ino;
    let parent = look::stamps(&look::forced(mount.client_path()).unwrap());

    rig::next_tick();
    fs::rename(&here, &there).unwrap();
    assert_eq!(look::forced_held(&held).unwrap().stx_ino, fileid, "a rename is followed");
    let renamed = look::stamps(&look::forced(mount.client_path()).unwrap());
    assert_ne!(renamed, parent, "the parent's stamps tell of a rename");

    fs::remove_dir(&there).unwrap();
    assert_eq!(look::forced_held(&held).unwrap_err(), Errno::STALE, "after a removal");
    fs::create_dir(&there).unwrap();
    fs::create_dir(&here).unwrap();
    assert_eq!(look::forced_held(&held).unwrap_err(), Errno::STALE, "after the name was taken again");
    assert!(look::forced(&mount.client_path().join("here")).is_ok(), "the path leads to the new one");
}

fn plain_look_is_stale(case: Case) {
    let mount = Mount::new(case, "actimeo=60");
    let path = mount.client_path();
    let before = look::stamps(&look::forced(path).unwrap());
    rig::next_tick();
    fs::write(mount.server_path().join("new"), "").unwrap();
    let (rpcs, plain) = mount.cost(|| look::stamps(&look::plain(path).unwrap()));
    rig::measured("1 plain look, attributes cached", &rpcs);
    assert_eq!((rpcs.total(), plain), (0, before), "a plain look asks nobody and shows the past");
    let (rpcs, forced) = mount.cost(|| look::stamps(&look::forced(path).unwrap()));
    assert_eq!(rpcs, only("GETATTR", 1));
    assert_ne!(forced, before, "a forced look shows the change");
}

fn opening_asks_unless_nocto(case: Case) {
    for (options, expected) in [("", only("GETATTR", DIRECTORIES)), ("nocto", Rpcs::default())] {
        let mount = Mount::new(case, options);
        let directories = flat(&mount);
        let open_all = || directories.iter().for_each(|path| drop(look::open(path).unwrap()));
        // The first time it also asks for permission, and remembers.
        open_all();
        let (rpcs, ()) = mount.cost(open_all);
        rig::measured(&format!("20 directories opened, options '{options}'"), &rpcs);
        assert_eq!(rpcs, expected, "options '{options}'");
    }
}

fn names_are_cheap_types_are_not(case: Case) {
    let mount = Mount::new(case, "");
    let (client, server) = (mount.client_path(), mount.server_path());
    rig::create_files(server, "job-", MANY_FILES);
    look::names(client).unwrap();

    rig::next_tick();
    fs::write(server.join("one"), "").unwrap();
    let (names, found) = mount.cost(|| look::names(client).unwrap().len());
    rig::measured("names of 20,000 files after one was new", &names);
    assert_eq!(found, MANY_FILES as usize + 1);

    rig::next_tick();
    fs::write(server.join("two"), "").unwrap();
    let (types, found) = mount.cost(|| look::count_by_type(client));
    rig::measured("names and types of 20,000 files after one was new", &types);
    assert_eq!(found, MANY_FILES as usize + 2);

    assert!(names.total() <= 20, "{names}");
    assert!(types.total() >= 1_000, "{types}");
}

fn names_carry_the_fileid(case: Case) {
    let mount = Mount::new(case, "");
    let (client, server) = (mount.client_path(), mount.server_path());
    fs::write(server.join("job"), "").unwrap();
    let first = look::names(client).unwrap()["job"];
    assert_eq!(first, look::forced(&client.join("job")).unwrap().stx_ino, "d_ino is st_ino");

    rig::next_tick();
    fs::write(server.join("job.part"), "").unwrap();
    fs::rename(server.join("job.part"), server.join("job")).unwrap();
    let second = look::names_afresh(client).unwrap()["job"];
    assert_ne!(first, second, "a file replaced by rename has another one");
    assert_eq!(second, look::forced(&client.join("job")).unwrap().stx_ino);
}

/// "create a; list; create b in the same tick; list again later": the stamps tell nothing.
fn second_listing_needs_the_cache_dropped(case: Case) {
    let mount = Mount::new(case, "");
    let (mut tries, mut races, mut stale) = (0, 0, 0);
    while races < 4 {
        tries += 1;
        assert!(tries <= 200, "only {races} of {tries} tries fell into one tick");
        let name = format!("try-{tries}");
        let (client, server) = (mount.client_path().join(&name), mount.server_path().join(&name));
        fs::create_dir(&server).unwrap();
        rig::next_tick();
        fs::write(server.join("a"), "").unwrap();
        let listed = look::stamps(&look::forced(&client).unwrap());
        assert!(look::names(&client).unwrap().contains_key("a"));
        fs::write(server.join("b"), "").unwrap();
        if look::stamps(&look::forced(&client).unwrap()) != listed {
            continue;
        }
        races += 1;
        rig::next_tick();
        stale += u32::from(!look::names(&client).unwrap().contains_key("b"));
        assert!(look::names_afresh(&client).unwrap().contains_key("b"), "dropping the cached listing helps");
    }
    println!("{}4 races in {tries} tries, {stale} of the second listings stale", rig::MEASURED);
    if case == (Case { version: Version::V3, fs: Fs::Ext4 }) {
        assert_eq!(stale, races, "v3 has no change attribute: the client serves its cached listing");
    }
}

fn touch_job_writes(case: Case) {
    const FILES: u32 = 50;
    let mount = Mount::new(case, "");
    rig::create_files(mount.server_path(), "job-", FILES);
    let touch =
        Program::named("find").args([mount.client_path()]).args(["-type", "f", "-exec", "touch", "{}", ";"]);
    let (rpcs, ended) = mount.cost(|| touch.run(Duration::from_secs(50)));
    ended.expect_code(0);
    rig::measured("find -exec touch over 50 files", &rpcs);
    assert_eq!(rpcs.of("SETATTR"), u64::from(FILES), "{rpcs}");
    assert_eq!(rpcs.writes(), u64::from(FILES), "{rpcs}");
}

fn stopped_server_blocks_and_answers_later(case: Case) {
    let mount = Mount::new(case, "");
    let path = mount.client_path().to_owned();
    server::stop();
    let (sender, answer) = mpsc::channel();
    let looker = thread::spawn(move || sender.send(look::forced(&path).is_ok()));
    let waited = answer.recv_timeout(Duration::from_secs(3));
    assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout), "no answer while the server is away");
    server::start();
    assert_eq!(answer.recv_timeout(Duration::from_secs(30)), Ok(true), "the blocked look returns by itself");
    looker.join().unwrap().unwrap();
}

fn soft_mount_gives_up(case: Case) {
    let mount = Mount::new(case, "soft,timeo=10,retrans=1");
    server::stop();
    let refused = look::forced(mount.client_path()).unwrap_err();
    println!("{}{refused}", rig::MEASURED);
    assert!([Errno::IO, Errno::TIMEDOUT].contains(&refused), "{refused:?}");
    server::start();
    rig::eventually("the server is back", Duration::from_secs(30), || {
        look::forced(mount.client_path()).is_ok()
    });
}

fn withdrawn_export_is_an_error(case: Case) {
    let mount = Mount::new(case, "");
    server::withdraw(mount.fs());
    let refused = look::forced(mount.client_path()).unwrap_err();
    println!("{}{refused}", rig::MEASURED);
    assert!([Errno::STALE, Errno::ACCESS, Errno::PERM].contains(&refused), "{refused:?}");
    server::export(mount.fs(), "");
    rig::eventually("the export is back", Duration::from_secs(10), || {
        look::forced(mount.client_path()).is_ok()
    });
}

fn unmounted_is_an_empty_directory(case: Case) {
    let mut mount = Mount::new(case, "");
    fs::write(mount.server_path().join("job"), "").unwrap();
    assert_eq!(look::names(mount.client_path()).unwrap().len(), 1);
    mount.unmount();
    assert_eq!(look::names(mount.client_path()), Ok(BTreeMap::new()), "no error tells of it");
    mount.remount("");
    assert_eq!(look::names(mount.client_path()).unwrap().len(), 1);
}

/// Directories side by side, looked at once, so that the client knows the way.
fn flat(mount: &Mount) -> Vec<PathBuf> {
    known(mount, (0..DIRECTORIES).map(|index| PathBuf::from(format!("d{index}"))))
}

/// Directories six levels down, four in each parent.
fn deep(mount: &Mount) -> Vec<PathBuf> {
    known(mount, (0..DIRECTORIES).map(|index| PathBuf::from(format!("a/b/c/{}/e/f{index}", index / 4))))
}

fn known(mount: &Mount, directories: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let make = |path: PathBuf| {
        fs::create_dir_all(mount.server_path().join(&path)).unwrap();
        mount.client_path().join(path)
    };
    let directories: Vec<PathBuf> = directories.map(make).collect();
    look_at_all(&directories);
    directories
}

fn look_at_all(directories: &[PathBuf]) {
    for path in directories {
        look::forced(path).unwrap();
    }
}

fn only(operation: &str, count: usize) -> Rpcs {
    Rpcs(BTreeMap::from([(operation.to_owned(), count as u64)]))
}
