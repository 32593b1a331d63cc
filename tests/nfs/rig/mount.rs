//! NFS mounts, each of a fresh folder on the server, and the RPCs that the client sent for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fmt, fs, process};

use procfs::process::Process;

use super::tool;
use crate::trial::{Case, Fs, Version};

const EXPORT: &str = "/mnt/export";
const CLIENT: &str = "/mnt/client";

/// A mount of a new, empty folder on the server; unmounted and removed on drop.
///
/// Two mounts of one file system at the same time share their caches and counters, as they do on any client, unless
/// both have the option `nosharecache`.
#[derive(Debug)]
pub(crate) struct Mount {
    case: Case,
    /// The server's address.
    host: String,
    options: String,
    client: PathBuf,
    server: PathBuf,
}

impl Mount {
    /// Mounts with these options, such as `actimeo=3,nocto`; empty for the defaults.
    #[track_caller]
    pub(crate) fn new(case: Case, options: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let server = Path::new(EXPORT).join(case.fs.to_string()).join(&name);
        let client = Path::new(CLIENT).join(format!("{case}-{name}"));
        fs::create_dir_all(&server).unwrap();
        fs::create_dir_all(&client).unwrap();
        let mount = Self { case, host: "127.0.0.1".to_owned(), options: String::new(), client, server };
        mount.mounted_with(options)
    }

    /// Mounts a folder that is there already, of the server in another guest.
    #[allow(dead_code, reason = "the trials have both in one guest")]
    #[track_caller]
    pub(crate) fn from_afar(case: Case, host: &str, folder: &Path) -> Self {
        let client = Path::new(CLIENT).join(format!("{case}-afar"));
        fs::create_dir_all(&client).unwrap();
        let (host, server) = (host.to_owned(), folder.to_owned());
        Self { case, host, options: String::new(), client, server }.mounted_with("")
    }

    fn mounted_with(mut self, options: &str) -> Self {
        self.remount(options);
        self
    }

    /// The tree as the agent sees it.
    pub(crate) fn client_path(&self) -> &Path {
        &self.client
    }

    /// The same folder on the server: what is done below it is done by another client.
    pub(crate) fn server_path(&self) -> &Path {
        &self.server
    }

    /// The export that the folder belongs to, for [`super::server`].
    pub(crate) fn fs(&self) -> Fs {
        self.case.fs
    }

    /// Mounts (again), after [`Self::unmount`] if it is mounted.
    #[track_caller]
    pub(crate) fn remount(&mut self, options: &str) {
        self.unmount();
        options.clone_into(&mut self.options);
        let below_root = self.server.strip_prefix(EXPORT).unwrap().display();
        let (source, how) = match self.case.version {
            Version::V3 => (
                format!("{}:{}", self.host, self.server.display()),
                "vers=3,proto=tcp,port=2049,mountport=20048,mountproto=tcp,nolock",
            ),
            Version::V42 => (format!("{}:/{below_root}", self.host), "vers=4.2,proto=tcp"),
        };
        let comma = if options.is_empty() { "" } else { "," };
        let target = self.client.to_str().unwrap();
        tool("mount", &["-t", "nfs", "-o", &format!("{how}{comma}{options}"), &source, target]);
    }

    /// Takes the mount away under whoever uses it and leaves the empty folder; no error if it is not mounted.
    pub(crate) fn unmount(&self) {
        unmount(&self.client);
    }

    /// Bytes of a READ at most, as client and server have agreed.
    #[track_caller]
    pub(crate) fn rsize(&self) -> u64 {
        let mounts = Process::myself().unwrap().mountinfo().unwrap();
        let ours = mounts.into_iter().rfind(|mount| mount.mount_point == self.client);
        let options = ours.expect("it is mounted").super_options;
        options.get("rsize").unwrap().as_deref().unwrap().parse().unwrap()
    }

    /// Does something while the server's folder itself lies where its mount was.
    pub(crate) fn on_the_server<T>(&mut self, action: impl FnOnce(&Self) -> T) -> T {
        self.unmount();
        tool("mount", &["--bind", self.server.to_str().unwrap(), self.client.to_str().unwrap()]);
        let result = action(self);
        let options = self.options.clone();
        self.remount(&options);
        result
    }

    /// How often each operation was sent since the mount was made; operations never sent are left out.
    #[track_caller]
    pub(crate) fn rpcs(&self) -> Rpcs {
        let mounts = Process::myself().unwrap().mountstats().unwrap().0;
        let ours = mounts.into_iter().rfind(|mount| mount.mount_point == self.client);
        let statistics = ours.expect("it is mounted").statistics.expect("it is an NFS mount");
        let operations = statistics.per_op_stats.into_iter();
        Rpcs(operations.map(|(name, it)| (name, it.operations)).filter(|(_, count)| *count > 0).collect())
    }

    /// How long the answers to all RPCs together took since the mount was made, from sending to receiving.
    #[track_caller]
    pub(crate) fn round_trips(&self) -> Duration {
        let mounts = Process::myself().unwrap().mountstats().unwrap().0;
        let ours = mounts.into_iter().rfind(|mount| mount.mount_point == self.client);
        let statistics = ours.expect("it is mounted").statistics.expect("it is an NFS mount");
        statistics.per_op_stats.values().map(|operation| operation.cum_resp_time).sum()
    }

    /// The RPCs that `action` costs, and what it returns.
    #[track_caller]
    pub(crate) fn cost<T>(&self, action: impl FnOnce() -> T) -> (Rpcs, T) {
        let before = self.rpcs();
        let result = action();
        (self.rpcs().since(&before), result)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.unmount();
        // Best effort: the next trial has another folder.
        let _ = fs::remove_dir_all(&self.server);
        let _ = fs::remove_dir(&self.client);
    }
}

/// RPC counts by operation, in capitals as the kernel writes them (`GETATTR`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rpcs(pub(crate) BTreeMap<String, u64>);

impl Rpcs {
    /// How often this operation was sent.
    pub(crate) fn of(&self, operation: &str) -> u64 {
        self.0.get(operation).copied().unwrap_or(0)
    }

    /// All operations together.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The operations that change something on the server: an agent sends none.
    pub(crate) fn writes(&self) -> u64 {
        [
            "SETATTR", "WRITE", "CREATE", "MKDIR", "REMOVE", "RMDIR", "RENAME", "LINK", "SYMLINK", "MKNOD",
            "COMMIT",
        ]
        .iter()
        .map(|operation| self.of(operation))
        .sum()
    }

    /// What was sent since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let counts = self.0.iter().map(|(name, count)| (name.clone(), count - before.of(name)));
        Self(counts.filter(|(_, count)| *count > 0).collect())
    }
}

impl fmt::Display for Rpcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.total())?;
        let list: Vec<String> = self.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if list.is_empty() { Ok(()) } else { write!(f, " ({})", list.join(", ")) }
    }
}

/// Unmounts what earlier trials left behind.
pub(super) fn unmount_all() {
    for entry in fs::read_dir(CLIENT).unwrap() {
        let path = entry.unwrap().path();
        unmount(&path);
        let _ = fs::remove_dir(path);
    }
}

fn unmount(path: &Path) {
    // Not by asking the path itself: the server may be away.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounted =
        mounts.lines().filter(|line| line.split(' ').nth(1).is_some_and(|it| Path::new(it) == path));
    for _ in mounted {
        let quietly = Command::new("umount").arg(path).output().unwrap();
        if !quietly.status.success() {
            tool("umount", &["-f", "-l", path.to_str().unwrap()]);
        }
    }
}
