//! What is compared: how each is started with its best settings, and what of its output says that a file is handed over.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::install;

/// A program or pair of programs that says which files are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Peer {
    NfsScout,
    /// `find` and `comm`: `compare.sh`.
    Find,
    /// `find -exec touch` and `inotifywait`: `touch.sh`.
    Touch,
    /// Python: `polling_observer.py`.
    Watchdog,
    /// Rust: `poll_watcher.rs`.
    Notify,
    /// Node: `chokidar.mjs`.
    Chokidar,
    /// `MetPX` sr3, a watch with `force_polling`.
    Sr3,
}

/// Where a peer runs and how.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// What it watches.
    pub(crate) root: PathBuf,
    /// An empty folder of its own elsewhere.
    pub(crate) work: PathBuf,
    pub(crate) interval: Duration,
    /// For how long a file must not have changed, where the peer can wait for that.
    pub(crate) settle: Option<Duration>,
}

impl Peer {
    pub(crate) const ALL: [Self; 7] =
        [Self::NfsScout, Self::Find, Self::Touch, Self::Watchdog, Self::Notify, Self::Chokidar, Self::Sr3];

    /// As in the tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NfsScout => "**nfs-scout**",
            Self::Find => "`find` + `comm`",
            Self::Touch => "touch job + inotifywait",
            Self::Watchdog => "watchdog `PollingObserver`",
            Self::Notify => "notify `PollWatcher`",
            Self::Chokidar => "chokidar `usePolling`",
            Self::Sr3 => "MetPX sr3 `force_polling`",
        }
    }

    /// Whether it has an option to wait until a file has not changed for some time. nfs-scout always does.
    pub(crate) fn can_settle(self) -> bool {
        matches!(self, Self::Find | Self::Chokidar | Self::Sr3)
    }

    /// Starts it; its handovers go to the file `output`.
    pub(crate) fn start(self, post: &Post, output: &Path) -> std::io::Result<std::process::Child> {
        let words = self.words(post)?;
        let (output, errors) = (fs::File::create(output)?, fs::File::create(post.work.join("errors"))?);
        // It ends with us, even if we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).args(words).stdin(Stdio::null());
        if self == Self::Sr3 {
            // Its log is all that it says.
            command.stderr(output).stdout(errors).env("HOME", &post.work);
        } else {
            command.stdout(output).stderr(errors);
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn()
    }

    fn words(self, post: &Post) -> std::io::Result<Vec<std::ffi::OsString>> {
        let (root, work) = (post.root.as_os_str(), post.work.as_os_str());
        let (seconds, settle) = (post.interval.as_secs_f64().to_string(), post.settle.map(|it| it.as_secs()));
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name);
        let text = |text: &str| OsStr::new(text).to_owned();
        let mut words = match self {
            Self::NfsScout => vec![
                text(env!("CARGO_BIN_EXE_nfs-scout")),
                text("run"),
                root.to_owned(),
                text("--state"),
                post.work.join("state").into_os_string(),
                text("--interval"),
                text(&format!("{seconds}s")),
            ],
            Self::Find => vec![script("compare.sh").into(), root.to_owned(), text(&seconds), work.to_owned()],
            Self::Touch => vec![script("touch.sh").into(), root.to_owned(), text(&seconds)],
            Self::Watchdog => {
                vec![
                    install::python().into(),
                    script("polling_observer.py").into(),
                    root.to_owned(),
                    text(&seconds),
                ]
            }
            Self::Notify => vec![
                std::env::current_exe()?.into(),
                text("--poll-watcher"),
                root.to_owned(),
                text("--interval"),
                text(&format!("{seconds}s")),
            ],
            Self::Chokidar => vec![
                text("node"),
                // A million watched files need more than Node's default of 4 GB.
                text("--max-old-space-size=8000"),
                script("chokidar.mjs").into(),
                install::chokidar().into(),
                root.to_owned(),
                text(&post.interval.as_millis().to_string()),
            ],
            Self::Sr3 => sr3_words(post)?,
        };
        match self {
            Self::NfsScout => {
                words.extend(
                    ["--config", "/dev/null", "--events", "-", "--baseline"]
                        .map(OsStr::new)
                        .map(OsStr::to_owned),
                );
            }
            Self::Find => words.extend(settle.map(|it| text(&it.to_string()))),
            Self::Chokidar => words.extend(settle.map(|it| text(&(1000 * it).to_string()))),
            _ => {}
        }
        Ok(words)
    }

    /// The file, from the root, that this line of its output hands over.
    pub(crate) fn handed_over(self, root: &Path, line: &str) -> Option<String> {
        let below = |path: &str| {
            let path = Path::new(path).strip_prefix(root).ok()?;
            Some(path.to_str()?.to_owned())
        };
        match self {
            Self::NfsScout => {
                let event: serde_json::Value = serde_json::from_str(line).ok()?;
                Some(event.get("path")?.as_str()?.to_owned())
            }
            Self::Find => Some(line.to_owned()),
            Self::Touch | Self::Watchdog | Self::Notify | Self::Chokidar => below(line),
            Self::Sr3 => {
                let accepted = line.contains(" accepted: ") && !line.contains(" a directory with ");
                let path = line.split_once(" relPath: ").filter(|_| accepted)?.1;
                below(&format!("/{}", path.split_once(" size: ").map_or(path, |(path, _)| path).trim()))
            }
        }
    }
}

/// A watch that makes its messages, says so, and posts them nowhere: without `post_broker` it needs no server. What is
/// counted is what it accepts for posting.
///
/// Its polling is watchdog's `PollingObserver()` with that one's interval of 1 s (`flowcb/gather/file.py`), which no option
/// changes; `sleep` is how often it takes what was found. So it alone polls at another interval than the rest.
/// `fileEvents create` would take modifications too, as there is only one switch for both (`create_modify`).
fn sr3_words(post: &Post) -> std::io::Result<Vec<std::ffi::OsString>> {
    let (root, age) = (post.root.display(), post.settle.map_or(0, |it| it.as_secs()));
    let folder = post.work.join(".config/sr3/watch");
    fs::create_dir_all(&folder)?;
    let configuration = format!(
        "path {root}\npost_baseDir {root}\nforce_polling True\nsleep 1\nfileAgeMin {age}\n\
         fileEvents create,modify\nidentity none\ncallback log\nlogEvents after_accept\npost_exchange xs_peer\n\
         post_baseUrl file:/\nheader post_baseUrl=file:/\n"
    );
    fs::write(folder.join("peer.conf"), configuration)?;
    let python = install::python();
    let packages = install::folder().join("venv/lib");
    let version = fs::read_dir(&packages)?.next().expect("a version of Python")?.path();
    // As `sr3 foreground watch/peer` starts it, without that process.
    let instance = version.join("site-packages/sarracenia/instance.py");
    let words = ["--no", "0", "foreground", "watch/peer"].map(OsStr::new).map(OsStr::to_owned);
    Ok([python.into_os_string(), instance.into_os_string()].into_iter().chain(words).collect())
}
