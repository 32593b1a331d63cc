//! Runs every command of the pages, line by line as a shell would, with these differences: the mounts are copies of the
//! example tree, the brokers are servers of our own, what would run for ever makes one pass or is ended, and servers of
//! other machines are only checked for form (`--print-config`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::servers::{RabbitServer, RedisServer};
use crate::{Page, ROOT, pages};

/// Commands that are not run here: what they begin with, and what runs them instead or why nothing can.
const ELSEWHERE: [(&str, &str); 11] = [
    ("cargo run --release -- ", "the_first_command_does_what_is_shown"),
    ("cargo run --release --example ", "tests/examples.rs builds and runs both"),
    ("cargo install ", "compiles everything anew, for a minute; the program is the one of all tests"),
    ("cargo build --locked --profile dist && packaging/deb/build ", "tests/package.rs builds the package"),
    ("podman build ", "needs a container engine and the network"),
    ("tests/run", "it runs this test"),
    ("useradd ", "changes the machine; tests/package.rs tries what the package does instead"),
    ("install ", "as above; tests/units.rs checks what is installed"),
    ("cp cron/", "as above"),
    ("cp -a /var/lib/", "a copy of a folder"),
    ("systemctl ", "needs systemd as the first process"),
];

/// Where the commands find what they name.
struct Stage {
    folder: tempfile::TempDir,
    redis: RedisServer,
    rabbit: RabbitServer,
}

impl Stage {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stage = Self { folder, redis: RedisServer::start(), rabbit: RabbitServer::start() };
        stage.program("nfs-scout", &format!("real={}\n{SCOUT}", env!("CARGO_BIN_EXE_nfs-scout")));
        stage.program("sudo", "shift 2; exec \"$@\"\n");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A page begins with trees of its own and no state.
    fn begin(&self, page: &Page) -> PathBuf {
        let home = self.path(&page.name.replace('/', "-"));
        for mount in ["copilot-output", "a", "b"] {
            copy_tree(&Path::new(ROOT).join("examples/copilot-output"), &home.join("mnt").join(mount));
        }
        fs::create_dir_all(home.join("var/log")).unwrap();
        let paths = format!("paths = [\"{}\"]\n", home.join("mnt/a").display());
        fs::write(home.join("site.toml"), paths).unwrap();
        home
    }

    /// The line with its places replaced by ours.
    fn placed(&self, line: &str, home: &Path) -> String {
        let at = |path: &str| format!("{}{path}", home.display());
        // The first: ours are below it.
        line.replace("/tmp/", &at("/tmp/"))
            .replace("/mnt/", &at("/mnt/"))
            .replace("/var/l", &at("/var/l"))
            .replace("redis://localhost/0", self.redis.url().trim_end_matches('/'))
            .replace("redis://localhost", self.redis.url().trim_end_matches('/'))
            .replace("amqp://localhost", &self.rabbit.url())
    }

    #[track_caller]
    fn run(&self, page: &Page, line: &str, home: &Path) {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let output = Command::new("sh")
            .args(["-c", &self.placed(line, home)])
            .env_clear()
            .env("PATH", path)
            .env("HOME", home)
            .env("NFS_SCOUT_CONFIG", "/dev/null")
            .current_dir(if line.starts_with("cd examples") { Path::new(ROOT) } else { home })
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {line}\n{}: {said}", page.name, output.status);
    }
}

/// `run` makes one pass unless something else is asked for, `watch` is ended when it has begun.
const SCOUT: &str = r#"
words=" $* "
case $1 in
    run)
        case $words in
            *example.org*) set -- "$@" --print-config ;;
            *" --once "* | *" --print-config "*) ;;
            *" --listen "*) exec timeout --preserve-status --signal TERM 1 "$real" "$@" ;;
            *) set -- "$@" --once ;;
        esac ;;
    status)
        # A terminal of its own.
        case $words in *" --watch "*) exec script -qec "timeout --preserve-status --signal TERM 1 $real $*" /dev/null ;; esac ;;
    watch) exec timeout --preserve-status --signal TERM 1 "$real" "$@" ;;
    doctor)
        # Nobody answers there: that it says so is all that can be seen.
        case $words in *example.org*) "$real" "$@"; [ $? -eq 69 ]; exit ;; esac ;;
esac
exec "$real" "$@"
"#;

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").arg("-T").arg(from).arg(to).status().unwrap().success());
}

/// The commands of a page: of `sh` blocks every line, of `console` blocks what follows a `$ `; a block's continued lines
/// are one.
fn commands(page: &Page) -> Vec<String> {
    let joined: Vec<String> = page.blocks(&["sh"]).iter().map(|block| block.replace("\\\n", " ")).collect();
    let typed = page.blocks(&["console"]).into_iter().map(|block| {
        let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
        // What follows in a console happens in the same place.
        if lines.first().is_some_and(|line| line.starts_with("cd ")) {
            lines.join("; ")
        } else {
            lines.join("\n")
        }
    });
    let lines = joined.iter().flat_map(|block| block.lines().map(str::to_owned));
    lines.chain(typed).filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn every_command_runs() {
    let stage = Stage::set();
    let (mut run, mut elsewhere) = (0, 0);
    for page in pages() {
        let home = stage.begin(&page);
        // A state to ask: what the pages ask for, an agent has made before.
        stage.run(
            &page,
            "nfs-scout run /mnt/copilot-output --once --events /dev/null --amqp amqp://localhost",
            &home,
        );
        stage.run(&page, "nfs-scout run /mnt/copilot-output --once --state /var/lib/nfs-scout", &home);
        for line in commands(&page) {
            if ELSEWHERE.iter().any(|(begin, _)| line.starts_with(begin)) {
                elsewhere += 1;
            } else {
                stage.run(&page, &line, &home);
                run += 1;
            }
        }
    }
    println!("{run} commands ran, {elsewhere} are run elsewhere");
    assert!(run > 60, "only {run}");
}

#[test]
fn what_runs_elsewhere_is_still_in_a_page() {
    let lines: Vec<String> = pages().iter().flat_map(commands).collect();
    let unused: Vec<_> =
        ELSEWHERE.iter().filter(|(begin, _)| !lines.iter().any(|line| line.starts_with(begin))).collect();
    assert!(unused.is_empty(), "{unused:?}");
}
