//! Replays what the fuzz targets start from and what they once found: `fuzz/seeds/` and `fuzz/regressions/`, each through
//! the very check that the fuzzer runs, in 64 MB of heap. Fuzzing itself is `fuzz/run`; see `fuzz/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/checks/mod.rs"]
#[expect(clippy::indexing_slicing, reason = "a check that panics has found something")]
mod checks;

#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, checks::MEMORY_LIMIT);

/// The inputs of one target.
fn inputs(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let folders = ["seeds", "regressions"].map(|kind| fuzz.join(kind).join(target));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "seen only if the check fails")]
fn replay(target: &str, check: fn(&[u8])) {
    let files = inputs(target);
    assert!(files.len() >= 5, "{target} has {} inputs", files.len());
    for file in files {
        // Seen only if the check fails.
        println!("{}", file.display());
        check(&fs::read(&file).expect("a readable input"));
    }
}

#[test]
fn archives() {
    replay("archive", checks::archive::check);
    for archive in job_archives() {
        checks::archive::check(&fs::read(archive).expect("a readable archive"));
    }
}

#[test]
fn jobdata() {
    replay("jobdata", checks::jobdata::check);
}

#[test]
fn configuration() {
    replay("configuration", checks::configuration::check);
}

#[test]
fn rows() {
    replay("rows", checks::rows::check);
}

#[test]
fn names() {
    replay("names", checks::names::check);
}

/// A target that the script, the tests and the manifest do not all know is fuzzed by nobody.
#[test]
fn every_target_is_known_everywhere() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let text = |name: &str| fs::read_to_string(fuzz.join(name)).expect("a readable file");
    let (manifest, script, wrapper) = (text("Cargo.toml"), text("run"), text("instrument"));
    let targets: Vec<PathBuf> = walkdir::WalkDir::new(fuzz.join("fuzz_targets"))
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.expect("an entry").into_path())
        .collect();
    assert_eq!(targets.len(), 5, "{targets:?}");
    for target in targets {
        let name = target.file_stem().expect("a name").to_str().expect("UTF-8");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(script.lines().any(|line| line.starts_with("targets=(") && line.contains(name)), "{name}");
        assert!(wrapper.contains(&format!("| {name}")), "{name}");
        assert!(!inputs(name).is_empty(), "{name} has no seeds");
    }
}

/// The example tree is a set of seeds too.
fn job_archives() -> Vec<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/copilot-output");
    let files = walkdir::WalkDir::new(tree).into_iter().map(|entry| entry.expect("an entry").into_path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "tgz")).collect();
    assert!(files.len() > 10, "{files:?}");
    files
}
