//! On the machine: picks the trials, boots one guest kernel for each group of them, and reports what came back.
//!
//! Nothing is skipped: without root or a package, or when the kernel dies, the trials concerned fail and say why.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, available_parallelism, sleep};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed};
use rustix::process::{Pid, Signal, kill_process};

use crate::guest::{NAMES, RESULTS, Report};
use crate::trial::{Trial, group_limit};
use crate::{PART, WISHES, rig};

/// What booting and powering off may take beside the trials.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
const CONSOLE_TAIL_LINES: usize = 40;

/// Runs what the command line selects, as `cargo test` expects it of a test program.
pub(crate) fn run(trials: Vec<Trial>) -> ExitCode {
    let arguments = Arguments::from_args();
    let board = Arc::new(Board::default());
    let mut groups: BTreeMap<&'static str, Vec<Trial>> = BTreeMap::new();
    let mut tests = Vec::new();
    for trial in trials {
        let (name, board) = (trial.name(), Arc::clone(&board));
        let test = libtest_mimic::Trial::test(name.clone(), move || board.wait_for(&name));
        if !arguments.is_filtered_out(&test) && !arguments.list {
            groups.entry(trial.group).or_default().push(trial);
        }
        tests.push(test);
    }
    let parallel = arguments.test_threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let boots = thread::spawn({
        let board = Arc::clone(&board);
        move || boot_all(longest_last(groups), parallel, &board)
    });
    let conclusion = libtest_mimic::run(&arguments, tests);
    let measured = boots.join().unwrap_or_default();
    if let Err(error) = write_figures(&measured) {
        println!("The measured figures could not be written: {error}");
    }
    conclusion.exit_code()
}

/// The results that have come in; tests wait here for theirs.
#[derive(Default)]
struct Board {
    reports: Mutex<HashMap<String, Report>>,
    changed: Condvar,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, report: Report) {
        self.lock().insert(report.name.clone(), report);
        self.changed.notify_all();
    }

    fn wait_for(&self, name: &str) -> Result<(), Failed> {
        let mut reports = self.lock();
        loop {
            if let Some(report) = reports.get(name) {
                return match &report.failure {
                    None => Ok(()),
                    Some(failure) => Err(Failed::from(format!("{failure}\n{}", report.output.trim_end()))),
                };
            }
            reports = self.changed.wait(reports).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The groups in the order in which [`boot_all`] takes them from the end: the longest ones begin.
fn longest_last(groups: BTreeMap<&'static str, Vec<Trial>>) -> Vec<(&'static str, Vec<Trial>)> {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, trials)| trials.iter().map(Trial::limit).sum::<Duration>());
    groups
}

/// Boots the groups, at most `parallel` at a time; returns the figures that the trials measured.
fn boot_all(groups: Vec<(&'static str, Vec<Trial>)>, parallel: usize, board: &Board) -> Vec<String> {
    let groups = Mutex::new(groups);
    let figures = Mutex::new(Vec::new());
    let next = || groups.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        for _ in 0..parallel.max(1) {
            scope.spawn(|| {
                while let Some((group, trials)) = next() {
                    let measured = boot(group, &trials, board);
                    figures.lock().unwrap_or_else(PoisonError::into_inner).extend(measured);
                }
            });
        }
    });
    figures.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Boots one kernel for these trials and posts a report for each of them, whatever happens.
fn boot(group: &str, trials: &[Trial], board: &Board) -> Vec<String> {
    let mut waiting: Vec<String> = trials.iter().map(Trial::name).collect();
    let mut figures = Vec::new();
    let outcome = Boot::start(group, trials).and_then(|mut boot| {
        boot.follow(|report| {
            waiting.retain(|name| *name != report.name);
            let lines = report.output.lines().filter_map(|line| line.strip_prefix(rig::MEASURED));
            figures.extend(lines.map(|line| format!("{} {line}", report.name)));
            board.put(report);
        })
    });
    let mut why = match outcome {
        Ok(console) => {
            format!("the guest kernel gave no result for this trial; the end of its console:\n{console}")
        }
        Err(error) => format!("the guest kernel could not be booted: {error}"),
    };
    for name in waiting {
        board.put(Report { name, failure: Some(why), seconds: 0.0, output: String::new() });
        why = String::from("the guest kernel gave no result for this trial: see the first one that failed");
    }
    figures
}

/// A running guest kernel.
struct Boot {
    child: Child,
    console: PathBuf,
    results: PathBuf,
}

impl Boot {
    fn start(group: &str, trials: &[Trial]) -> std::io::Result<Self> {
        let folder = folder().join(group);
        fs::create_dir_all(&folder)?;
        let (console, results, names) =
            (folder.join("console"), folder.join("results"), folder.join("names"));
        fs::write(&results, "")?;
        fs::write(&names, trials.iter().map(|trial| trial.name() + "\n").collect::<String>())?;
        let limit = BOOT_LIMIT + group_limit().min(trials.iter().map(Trial::limit).sum());
        let program = env::current_exe()?;
        let kept: Vec<String> = [Path::new(env!("CARGO_MANIFEST_DIR")), &folder, program_folder(&program)]
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let output = File::create(&console)?;
        // The kernel ends with us, even if we are killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nfs/boot"))
            // The guest's first process starts with an empty environment.
            .arg("env")
            .arg(format!("{PART}=guest"))
            .arg(format!("{NAMES}={}", names.display()))
            .arg(format!("{RESULTS}={}", results.display()))
            .args(WISHES.iter().filter_map(|name| Some(format!("{name}={}", env::var(name).ok()?))))
            .arg(program)
            .env("RIG_LIMIT_S", limit.as_secs().to_string())
            .env("RIG_KEEP", kept.join("\n"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { child, console, results })
    }

    /// Hands over each report as it comes in until the kernel has ended; returns the end of its console.
    fn follow(&mut self, mut post: impl FnMut(Report)) -> std::io::Result<String> {
        let mut read = 0;
        loop {
            let ended = self.child.try_wait()?.is_some();
            let bytes = fs::read(&self.results)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in bytes.get(read..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                post(serde_json::from_slice(line)?);
            }
            read = read.max(whole);
            if ended {
                let console = String::from_utf8_lossy(&fs::read(&self.console)?).into_owned();
                let lines: Vec<&str> = console.lines().collect();
                let tail = lines.len().saturating_sub(CONSOLE_TAIL_LINES);
                return Ok(lines.get(tail..).unwrap_or_default().join("\n"));
            }
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        // The script ends the kernel and removes its disks; its own end comes right after. It may be over already.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Where consoles, results and figures are left for reading.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("nfs-rig")
}

/// The folder of the test program and, above it, of the agent.
fn program_folder(program: &Path) -> &Path {
    program.parent().and_then(Path::parent).unwrap_or(Path::new("/"))
}

fn write_figures(figures: &[String]) -> std::io::Result<()> {
    if figures.is_empty() {
        return Ok(());
    }
    let path = folder().join("measured");
    fs::write(&path, figures.join("\n") + "\n")?;
    println!("What the trials measured is in {}.\n", path.display());
    Ok(())
}
