//! The agent against what people do instead: the table of docs/nfs.md.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::rig::{self, Mount, Program, Rpcs, agent};
use crate::trial::{BOTH, Case, Trial};

const DIRECTORIES: u32 = 100;
/// The root, jobs and flat too.
const ALL_DIRECTORIES: u32 = DIRECTORIES + 3;
const FILES_IN_EACH: u32 = 10;
const FLAT_FILES: u32 = 2_000;
/// Longer than `actimeo=3`.
const CACHES_EXPIRE: Duration = Duration::from_secs(4);
/// For what takes some ten seconds in the guest.
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    Trial::within(Trial::each("costs", "comparison", &BOTH, comparison), Duration::from_secs(150))
}

/// The same tree and the same news, looked for in every way; each finds the client's attribute caches expired, as a
/// job does that cron starts once a minute.
fn comparison(case: Case) {
    let field = Field::new(case);
    let mut rows = Vec::new();
    field.running_agent(&mut rows);
    field.one_shot_runs(&mut rows);
    field.other_ways(&mut rows);

    for Row { what, rpcs } in &rows {
        println!("{}| {what} | {} | {} | {rpcs} |", rig::MEASURED, rpcs.total(), rpcs.writes());
    }
    let (ours, others) = rows.split_at(4);
    assert!(ours.iter().all(|row| row.rpcs.writes() == 0));
    let (idle, touch) = (&ours[0].rpcs, &others[others.len() - 1].rpcs);
    assert_eq!(idle.total(), idle.of("GETATTR"), "{idle}");
    assert!(idle.total() <= u64::from(ALL_DIRECTORIES) * 102 / 100, "{idle}");
    let files = u64::from(DIRECTORIES * FILES_IN_EACH + FLAT_FILES);
    assert!(touch.writes() >= files && touch.total() > 3 * files, "{touch}");
}

/// One line of the table.
struct Row {
    what: &'static str,
    rpcs: Rpcs,
}

/// The tree and an agent's state.
struct Field {
    mount: Mount,
    state: std::path::PathBuf,
    began: Instant,
}

impl Field {
    fn new(case: Case) -> Self {
        let mount = Mount::new(case, "actimeo=3");
        let server = mount.server_path();
        for index in 0..DIRECTORIES {
            let folder = server.join(format!("jobs/{index}"));
            fs::create_dir_all(&folder).unwrap();
            rig::create_files(&folder, "job-", FILES_IN_EACH);
        }
        fs::create_dir(server.join("flat")).unwrap();
        rig::create_files(&server.join("flat"), "job-", FLAT_FILES);
        Self { mount, state: agent::new_state(), began: Instant::now() }
    }

    /// What `action` costs; said at once, so that a trial that is killed shows how far it came.
    fn row(&self, what: &'static str, action: impl FnOnce()) -> Row {
        let rpcs = self.mount.cost(action).0;
        println!("at {:.0?}: {what}: {rpcs}", self.began.elapsed());
        Row { what, rpcs }
    }

    /// Two new archives.
    fn news(&self, name: &str) {
        agent::arrive(&self.mount, &format!("flat/{name}.tgz"));
        agent::arrive(&self.mount, &format!("jobs/7/{name}.tgz"));
    }

    fn running_agent(&self, rows: &mut Vec<Row>) {
        agent::once(&self.mount, &self.state, &["--baseline"]);
        let mut agent = agent::start_known(&self.mount, &self.state, ALL_DIRECTORIES, &["--interval", "12s"]);
        let rpcs = agent::next_poll(&self.mount, ALL_DIRECTORIES);
        rows.push(Row { what: "`nfs-scout`, running: a poll, nothing new", rpcs });
        self.news("one");
        rows.push(self.row("`nfs-scout`, running: a poll, 2 new files found and read", || {
            let before = agent::asked(&self.mount);
            agent.wait_for_stdout(SOON, |text| text.lines().count() == 2);
            agent::wait_for_confirmed(&self.mount);
            agent::wait_for_looks(&self.mount, &before, ALL_DIRECTORIES);
        }));
        agent.terminate(SOON).expect_code(0);
    }

    fn one_shot_runs(&self, rows: &mut Vec<Row>) {
        let once = || agent::once(&self.mount, &self.state, &[]).0.lines().count();
        sleep(CACHES_EXPIRE);
        rows.push(self.row("`nfs-scout run --once`, nothing new", || assert_eq!(once(), 0)));
        self.news("two");
        sleep(CACHES_EXPIRE);
        rows.push(self.row("`nfs-scout run --once`, 2 new files found and read", || assert_eq!(once(), 2)));
    }

    fn other_ways(&self, rows: &mut Vec<Row>) {
        let client = self.mount.client_path();
        let find = |arguments: &[&str]| {
            Program::named("find").args([client]).args(arguments).run(SOON).expect_code(0);
        };
        fs::write("/tmp/reference", "").unwrap();
        let mut afresh = |what: &'static str, action: &dyn Fn()| {
            self.news(&format!("news-{}", rows.len()));
            sleep(CACHES_EXPIRE);
            rows.push(self.row(what, action));
        };
        afresh("names and types of everything (2 new files listed)", &|| walk(client));
        afresh("`find -type f` (2 new files listed)", &|| find(&["-type", "f"]));
        afresh("`find -type f -newer` (2 new files listed)", &|| {
            find(&["-type", "f", "-newer", "/tmp/reference"]);
        });
        // One process for many files: the RPCs are those of one process a file.
        afresh("touch job, `find -type f -exec touch`", &|| {
            find(&["-type", "f", "-exec", "touch", "{}", "+"]);
        });
    }
}

/// Names and types of a whole tree.
fn walk(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
}
