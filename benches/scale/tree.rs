//! The program on a large local tree that does not change.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::create_files;
use crate::process::{Measured, ask, scout};
use crate::table::{Line, MEGABYTE, table};

/// The usual interval.
const USUAL: Duration = Duration::from_secs(30);
/// One at which looks are nearly all that the agent does, some hundred at a time and a short sleep.
const BUSY: Duration = Duration::from_secs(1);
/// One at which it passes from directory to directory nearly without a rest.
const RESTLESS: Duration = Duration::from_millis(100);

/// Measures it; the result is a table.
pub(crate) fn measure(directories: u32, files: u32) -> String {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (root, state) = (folder.path().join("tree"), folder.path().join("state"));
    let began = Instant::now();
    plant(&root, directories, files);
    eprintln!("{files} files in {directories} directories planted in {:.0?}", began.elapsed());

    let log = folder.path().join("log");
    let mut once = scout(&["run", "--once", "--baseline", "--events", "/dev/null"], &state);
    let began = Instant::now();
    let (cpu, peak) = Measured::start(once.arg(&root), &log).end();
    let contact = began.elapsed();
    let mut lines = vec![
        Line::new("first contact with --baseline, time", contact.as_secs_f64(), "s"),
        Line::new("the same, CPU time", cpu.as_secs_f64(), "s"),
        Line::new("the same, most resident memory", peak as f64 / MEGABYTE, "MB"),
    ];

    let usual = idle(&root, &state, USUAL, &log);
    lines.extend([
        Line::new("start with saved state, until the first look", usual.start.as_secs_f64(), "s")
            .at_most(2.0),
        Line::new("idle at --interval 30s, of one core", usual.share() * 100.0, "%").at_most(1.0),
        Line::new("CPU time a look at --interval 30s", usual.a_look() * 1e6, "us"),
        Line::new("resident memory at --interval 30s", usual.resident as f64 / MEGABYTE, "MB").at_most(60.0),
        Line::new("the most until then", usual.peak as f64 / MEGABYTE, "MB"),
    ]);
    for interval in [BUSY, RESTLESS] {
        let busy = idle(&root, &state, interval, &log);
        let looks = busy.looks_a_second();
        let what = format!("CPU time a look at --interval {interval:?}, {looks:.0} looks a second");
        lines.push(Line::new(what, busy.a_look() * 1e6, "us").at_most(3.0));
    }
    table(&format!("{directories} directories, {files} files, nothing new"), &lines)
}

fn plant(root: &Path, directories: u32, files: u32) {
    let each = files / directories;
    for number in 0..directories {
        // Two levels, as a tree by dates has.
        let folder = root.join(format!("{}/{number}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        create_files(&folder, number * each..(number + 1) * each);
    }
}

/// What an agent with nothing to find costs.
struct Idle {
    start: Duration,
    looks: u64,
    cpu: Duration,
    time: Duration,
    resident: u64,
    peak: u64,
}

impl Idle {
    fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.time.as_secs_f64()
    }

    fn a_look(&self) -> f64 {
        self.cpu.as_secs_f64() / self.looks as f64
    }

    fn looks_a_second(&self) -> f64 {
        self.looks as f64 / self.time.as_secs_f64()
    }
}

fn idle(root: &Path, state: &Path, interval: Duration, log: &Path) -> Idle {
    let interval_text = format!("{interval:?}");
    let mut command = scout(&["run", "--events", "/dev/null", "--interval", &interval_text], state);
    let began = Instant::now();
    let mut agent = Measured::start(command.arg(root), log);
    let looks = || ask("status", state).and_then(|status| status.get("looks")?.as_u64());
    agent.until_said("Watching the root");
    agent.until(Duration::from_millis(5), || looks().filter(|looks| *looks > 0));
    let start = began.elapsed();
    // By then each directory is held open: the first look of a run resolves its path.
    sleep(interval.max(Duration::from_secs(5)));
    let (began, before) = (Instant::now(), (agent.cpu(), looks().unwrap()));
    sleep(interval.max(Duration::from_secs(15)));
    let (cpu, looks) = (agent.cpu().saturating_sub(before.0), looks().unwrap() - before.1);
    let time = began.elapsed();
    let (resident, peak) = agent.memory();
    agent.stop();
    Idle { start, looks, cpu, time, resident, peak }
}
