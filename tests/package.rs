//! The Debian package, installed, upgraded, removed and purged in a folder of its own. Needs root, as dpkg does.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfs-scout");
const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// A system that has nothing but dpkg's database.
struct System {
    folder: tempfile::TempDir,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The package's own user must get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("an owner's right");
        for path in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib", "etc"] {
            fs::create_dir_all(folder.path().join(path)).expect("a folder");
        }
        fs::write(folder.path().join("var/lib/dpkg/status"), "").expect("an empty database");
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Runs dpkg on this system; the package's scripts run outside of it, told by `DPKG_ROOT` where it is.
    #[track_caller]
    fn dpkg(&self, arguments: &[&str]) {
        let root = format!("--root={}", self.folder.path().display());
        let fixed = [&root, "--force-script-chrootless", "--force-depends", "--force-confold"];
        let output = Command::new("dpkg").args(fixed).args(arguments).output().expect("dpkg starts");
        assert_success(&format!("dpkg {}", arguments.join(" ")), &output);
    }

    /// The number of the package's user there.
    fn user(&self) -> u32 {
        let users = self.read("etc/passwd");
        let line = users.lines().find(|line| line.starts_with("nfs-scout:")).expect("the user");
        assert!(line.ends_with(":/usr/sbin/nologin"), "{line}");
        line.split(':').nth(2).expect("a number").parse().expect("a number")
    }

    /// One look at `tree` with the installed program and files, as the unit's user would have it.
    fn look(&self, tree: &Path) -> String {
        let state = self.path("var/lib/nfs-scout");
        let output = Command::new(self.path("usr/bin/nfs-scout"))
            .args(["run", "--once", "--quiet", "--config"])
            .arg(self.path("etc/nfs-scout/config.toml"))
            .arg("--state")
            .arg(state)
            .arg(tree)
            .env_clear()
            .uid(self.user())
            .gid(self.user())
            .output()
            .expect("the installed program starts");
        assert_success("nfs-scout run", &output);
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

#[track_caller]
fn assert_success(what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{what}` ended with {}:\n{said}", output.status);
}

/// Builds the package, without compressing it.
fn build(folder: &Path) -> String {
    let output = Command::new(Path::new(TOP).join("packaging/deb/build"))
        .args([Path::new(PROGRAM), folder])
        .env("COMPRESSION", "none")
        .output()
        .expect("the script starts");
    assert_success("packaging/deb/build", &output);
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn installs_upgrades_and_purges() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = build(folder.path());
    let system = System::new();
    system.dpkg(&["--install", &package]);

    let state = fs::metadata(system.path("var/lib/nfs-scout")).expect("a state directory");
    assert_eq!((state.mode() & 0o7777, state.uid()), (0o700, system.user()));
    let tree = system.path("tree");
    fs::create_dir(&tree).expect("a tree");
    fs::write(tree.join("a.dat"), "a").expect("a file");
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).expect("an owner's right");
    assert_eq!(system.look(&tree), "", "a plain file settles first");

    // An upgrade keeps what was learnt and what was written.
    let config = "etc/nfs-scout/config.toml";
    let edited = system.read(config) + "settle = \"0s\"\n";
    fs::write(system.path(config), &edited).expect("an edited configuration");
    fs::write(system.path("etc/nfs-scout/environment"), "NFS_SCOUT_REDIS=redis://:x@h\n").expect("a file");
    system.dpkg(&["--install", &package]);
    assert_eq!(system.read(config), edited);
    assert!(system.look(&tree).contains("\"path\":\"a.dat\""), "the state is still there");
    assert_eq!(system.look(&tree), "");

    system.dpkg(&["--remove", "nfs-scout"]);
    assert!(!system.path("usr/bin/nfs-scout").exists());
    assert!(system.path("var/lib/nfs-scout/index").exists() && system.path(config).exists());
    system.dpkg(&["--purge", "nfs-scout"]);
    for path in ["var/lib/nfs-scout", "etc/nfs-scout", "usr/lib/systemd/system/nfs-scout.service"] {
        assert!(!system.path(path).exists(), "{path} is left");
    }
    assert!(system.user() > 0, "the user stays");
}

#[test]
fn holds_what_it_should() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = build(folder.path());
    let output =
        Command::new("dpkg-deb").args(["--fsys-tarfile", &package]).output().expect("dpkg-deb starts");
    assert_success("dpkg-deb", &output);
    let mut tar = tar::Archive::new(&output.stdout[..]);
    let mut files = Vec::new();
    for entry in tar.entries().expect("a tar") {
        let entry = entry.expect("an entry");
        let (mode, path) =
            (entry.header().mode().expect("a mode"), entry.path().expect("a path").into_owned());
        assert_eq!((entry.header().uid().ok(), mode & 0o022), (Some(0), 0), "{}", path.display());
        assert!(entry.header().entry_type().is_dir() || entry.size() > 0, "{} is empty", path.display());
        files.push(path.to_string_lossy().trim_start_matches("./").to_owned());
    }
    let mut expected: Vec<String> = units().iter().map(|it| format!("usr/lib/systemd/system/{it}")).collect();
    expected.extend(["usr/bin/nfs-scout", "etc/nfs-scout/config.toml"].map(str::to_owned));
    expected.extend(
        [
            "usr/share/bash-completion/completions/nfs-scout",
            "usr/share/zsh/vendor-completions/_nfs-scout",
            "usr/share/fish/vendor_completions.d/nfs-scout.fish",
            "usr/share/doc/nfs-scout/CHANGELOG.md",
            "usr/share/doc/nfs-scout/docs/getting-started.md",
            "usr/share/doc/nfs-scout/examples/alerts.yaml",
            "usr/share/doc/nfs-scout/examples/grafana.json",
        ]
        .map(str::to_owned),
    );
    // The page of a command, of one below a command, and of each that the help knows.
    let pages = ["", "-run", "-doctor", "-watch", "-index-list", "-man"]
        .map(|it| format!("usr/share/man/man1/nfs-scout{it}.1.gz"));
    expected.extend(pages);
    for name in expected {
        assert!(files.contains(&name), "{name} is not in {files:#?}");
    }
}

/// The units of `cron/`.
fn units() -> Vec<String> {
    let entries = fs::read_dir(Path::new(TOP).join("cron")).expect("the cron folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| [".service", ".timer"].iter().any(|kind| name.ends_with(kind))).collect()
}
