//! On the machine: boots the guest kernel of `tests/nfs`, once for each version of the protocol, both at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use crate::guest::Entry;
use crate::install;
use crate::peer::Peer;
use crate::trial::Version;
use crate::trials::Trial;

const VERSIONS: [Version; 2] = [Version::V3, Version::V42];
const RESULTS: &str = "results";
/// What a peer's trials may take in the guest, on a busy machine; the kernel is ended after all of them.
const LIMIT_A_PEER: Duration = Duration::from_secs(600);

/// What both kernels measured; a kernel that dies leaves what it had.
pub(crate) fn boot_both(peers: &[Peer], trials: &[Trial]) -> Result<Vec<Entry>, String> {
    let limit = LIMIT_A_PEER * u32::try_from(peers.len()).unwrap();
    let start =
        |version| Boot::start(version, peers, trials, limit).map_err(|error| format!("no guest: {error}"));
    let mut boots = VERSIONS.into_iter().map(start).collect::<Result<Vec<_>, _>>()?;
    // The script ends its kernel by itself at the limit.
    let deadline = Instant::now() + limit + Duration::from_secs(30);
    while boots.iter_mut().any(Boot::is_running) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(200));
        boots.iter_mut().for_each(Boot::tell);
    }
    boots.iter_mut().for_each(Boot::tell);
    for boot in boots.iter().filter(|boot| boot.entries.is_empty()) {
        eprintln!("no results of a guest; its console is {}", boot.folder.join("console").display());
    }
    Ok(boots.iter_mut().flat_map(|boot| std::mem::take(&mut boot.entries)).collect())
}

/// What the guests of the last run wrote.
pub(crate) fn last() -> Vec<Entry> {
    let read = |version: Version| fs::read_to_string(folder(version).join(RESULTS)).unwrap_or_default();
    let lines = VERSIONS.map(read).concat();
    lines.lines().map(|line| serde_json::from_str(line).expect("what a guest wrote")).collect()
}

/// Where a guest's console and results are left.
fn folder(version: Version) -> PathBuf {
    install::folder().join(version.to_string())
}

/// A guest kernel at work; ended with the value.
struct Boot {
    child: Child,
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl Boot {
    fn start(version: Version, peers: &[Peer], trials: &[Trial], limit: Duration) -> std::io::Result<Self> {
        let folder = folder(version);
        fs::create_dir_all(&folder)?;
        let results = folder.join(RESULTS);
        fs::write(&results, "")?;
        let console = File::create(folder.join("console"))?;
        let (root, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), std::env::current_exe()?);
        // What the guest needs even if it lies below /tmp.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(root);
        let kept = [root, target].map(|path| path.display().to_string()).join("\n");
        // The kernel ends with us, even if we are killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(root.join("tests/nfs/boot"))
            .arg(program)
            .args([format!("--version={version}"), format!("--results={}", results.display())])
            .args([format!("--peers={}", list(peers)), format!("--trials={}", list(trials))])
            .env("RIG_LIMIT_S", limit.as_secs().to_string())
            .env("RIG_KEEP", kept)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()?;
        Ok(Self { child, folder, entries: Vec::new() })
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Takes over the whole lines that have come in, and says what they are of.
    fn tell(&mut self) {
        let text = fs::read_to_string(self.folder.join(RESULTS)).unwrap_or_default();
        for line in text.split_inclusive('\n').skip(self.entries.len()).filter(|line| line.ends_with('\n')) {
            let entry: Entry = serde_json::from_str(line).expect("what the guest wrote");
            eprintln!("{entry:?}");
            self.entries.push(entry);
        }
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        // The script ends the kernel and removes its disks. It may be over already.
        if self.is_running() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// As on the command line.
fn list(values: &[impl ValueEnum]) -> String {
    let names = values.iter().filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()));
    names.collect::<Vec<_>>().join(",")
}
