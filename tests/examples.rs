//! The committed example tree is what its generator makes today, and reads as its manifest says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nfs_scout::intake::{Limits, Reading, Redaction, read_archive};
use nfs_scout::model::AnalysisStatus;
use walkdir::WalkDir;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/copilot-output")
}

fn readings(root: &Path) -> BTreeMap<PathBuf, Reading> {
    let files =
        WalkDir::new(root).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let below = |path: &Path| path.strip_prefix(root).expect("a path below the root").to_owned();
    files.map(|entry| (below(entry.path()), read(entry.path()))).collect()
}

fn read(path: &Path) -> Reading {
    let file = File::open(path).expect("a file that can be opened");
    read_archive(file, &mut [0; 4096], &Limits::default(), &Redaction::default())
        .expect("a file that can be read")
}

/// Runs the generator, which `cargo test` builds too; `cargo test --test examples` does not.
fn generate(arguments: &[&str]) {
    let here = std::env::current_exe().expect("a path of the test");
    let generator = here.ancestors().nth(2).expect("target/debug/deps/").join("examples/generate");
    assert!(generator.exists(), "no generator yet: cargo build --example generate");
    assert_cmd::Command::new(generator).args(arguments).assert().success();
}

#[test]
fn the_committed_tree_holds_one_of_each_kind() {
    let readings = readings(&committed());
    let count = |status| readings.values().filter(|reading| reading.analysis.status == status).count();
    assert_eq!(readings.len(), 17);
    assert_eq!(count(AnalysisStatus::Ok), 15);
    assert_eq!(count(AnalysisStatus::Truncated), 1);
    assert_eq!(count(AnalysisStatus::NoJobdata), 1);
    let figures: Vec<_> = readings.values().filter_map(|reading| reading.figures.as_ref()).collect();
    assert_eq!(figures.iter().filter(|figures| !figures.succeeded).count(), 2);
    assert_eq!(figures.iter().filter(|figures| figures.user.is_none()).count(), 1);
    assert_eq!(figures.iter().filter(|figures| figures.user.as_deref() == Some("t4t-0013")).count(), 1);
    let succeeded = figures.iter().filter(|figures| figures.succeeded);
    assert_eq!(succeeded.map(|figures| figures.events).sum::<i64>(), 145_000);
}

/// Every archive holds an authenticator that begins with `fake0`; no reading does.
#[test]
fn no_authenticator_is_read() {
    for (path, reading) in readings(&committed()) {
        assert!(!format!("{reading:?}").contains("fake0"), "{}", path.display());
    }
}

#[test]
fn the_generator_makes_the_committed_tree() {
    let made = tempfile::tempdir().unwrap();
    generate(&["--sample", made.path().to_str().unwrap()]);
    let strip = |readings: BTreeMap<PathBuf, Reading>| -> Vec<_> {
        // Another release of the compressor may give other bytes; their content must stay.
        let readings = readings.into_iter();
        readings.map(|(path, r)| (path, r.analysis, r.jobdata_text, r.experiments)).collect()
    };
    assert_eq!(strip(readings(made.path())), strip(readings(&committed())));
}

#[test]
fn a_generated_tree_reads_as_its_manifest_says() {
    let made = tempfile::tempdir().unwrap();
    let (root, list) = (made.path().join("tree"), made.path().join("made.jsonl"));
    let tree = root.to_str().unwrap();
    let manifest = ["--manifest", list.to_str().unwrap()];
    generate(
        &[&[tree, "--jobs", "60", "--layout", "date", "--directories", "4", "--zipf", "1"], &manifest[..]]
            .concat(),
    );
    let readings = readings(&root);
    let lines = fs::read_to_string(&list).unwrap();
    assert_eq!((readings.len(), lines.lines().count()), (60, 60));
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let reading = &readings[Path::new(line["path"].as_str().unwrap())];
        let figures = reading.figures.as_ref().unwrap();
        assert_eq!(line["blake3"], blake3::Hash::from(reading.blake3.0).to_hex().as_str());
        assert_eq!(line["user"].as_str(), figures.user.as_deref());
        assert_eq!(line["generator"].as_str(), figures.generator.as_deref());
        assert_eq!(line["events"].as_i64(), Some(figures.events));
        assert_eq!(line["exitcode"] == 0, figures.succeeded);
        assert_eq!(line["cpuusage"].as_f64(), figures.cpuusage);
        assert_eq!(line["diskusage"].as_f64(), figures.diskusage);
        assert_eq!(line["experiments"], serde_json::json!(reading.experiments));
    }
}

#[test]
fn the_same_seed_makes_the_same_tree() {
    let made = tempfile::tempdir().unwrap();
    let tree = |name: &str, more: &[&str]| {
        let root = made.path().join(name);
        let common = [root.to_str().unwrap(), "--jobs", "8", "--directories", "3"];
        generate(&[&common[..], more].concat());
        readings(&root)
    };
    let first = tree("first", &[]);
    assert_eq!(first, tree("in-place", &["--style", "in-place", "--slow", "200ms"]));
    assert_ne!(first, tree("other", &["--seed", "2"]));
}
