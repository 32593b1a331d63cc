//! Brings the peers from their package registries into `target/tmp/peers`, never into the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The newest at the time of writing (chokidar: that Node 20 runs).
const PYTHON: [&str; 2] = ["watchdog==7.1.0", "metpx-sr3==3.3.1"];
const NODE: [&str; 1] = ["chokidar@5.0.0"];
const INOTIFYWAIT: &str = "inotifywait";

/// Where they are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers")
}

/// The interpreter that knows the Python ones.
pub(crate) fn python() -> PathBuf {
    folder().join("venv/bin/python")
}

/// The module that Node imports.
pub(crate) fn chokidar() -> PathBuf {
    folder().join("node_modules/chokidar/index.js")
}

/// Installs what is not there in these versions.
pub(crate) fn peers() -> Result<(), String> {
    let (folder, wanted) = (folder(), [PYTHON.as_slice(), &NODE].concat().join(" "));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    run(Command::new(INOTIFYWAIT).arg("--help"), &[0, 1])?;
    let note = folder.join("installed");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing {wanted}");
    run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")), &[0])?;
    run(Command::new(python()).args(["-m", "pip", "install", "--quiet"]).args(PYTHON), &[0])?;
    run(Command::new("npm").args(["install", "--silent", "--prefix"]).arg(&folder).args(NODE), &[0])?;
    fs::write(&note, wanted).map_err(|error| format!("{}: {error}", note.display()))
}

fn run(command: &mut Command, expected: &[i32]) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.code().is_some_and(|code| expected.contains(&code)) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}", output.status))
}
