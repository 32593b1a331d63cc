//! Holds README.md to the program: its flags, exit codes, configuration and first command are those of this build.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const README: &str = include_str!("../README.md");
const EXIT: &str = include_str!("../src/exit.rs");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How the README starts the program, installed or from a clone.
const CALLS: [&str; 2] = ["nfs-scout ", "cargo run --release -- "];

/// The program in an empty environment.
fn scout(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("nfs-scout").expect("a built program");
    command.env_clear().env("HOME", "/home/ann").current_dir(ROOT).args(arguments);
    command
}

#[track_caller]
fn output(mut command: Command) -> (String, String) {
    let output = command.assert().code(0).get_output().clone();
    (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8(output.stderr).expect("UTF-8"))
}

/// The contents of the README's code blocks in one of these languages.
fn blocks(languages: &[&str]) -> Vec<&'static str> {
    let fenced = README.split("\n```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n'))
        .filter(|(language, _)| languages.contains(language))
        .map(|(_, text)| text)
        .collect()
}

/// The commands of the README's shell blocks, without comments.
fn commands() -> impl Iterator<Item = &'static str> {
    let lines = blocks(&["sh", "console"]).into_iter().flat_map(str::lines);
    lines.map(|line| line.split(" # ").next().unwrap_or(line))
}

/// The long options that a help text introduces.
fn options_of(help: &str) -> BTreeSet<String> {
    let introduced = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |(_, long)| long);
        line.starts_with("--").then(|| line.split([' ', '.', '<']).next().map(str::to_owned))?
    });
    introduced.collect()
}

fn options_in(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2)
}

fn every_option() -> BTreeSet<String> {
    let subcommands: [&[&str]; 10] = [
        &["run"],
        &["plan"],
        &["stats"],
        &["status"],
        &["index", "stat"],
        &["index", "verify"],
        &["index", "forget"],
        &["index", "requeue"],
        &["completions"],
        &[],
    ];
    let help = |subcommand: &[&str]| output(scout(&[subcommand, &["--help"]].concat())).0;
    subcommands.into_iter().flat_map(|subcommand| options_of(&help(subcommand))).collect()
}

#[test]
fn every_option_of_run_is_shown_in_a_command() {
    let options = options_of(&output(scout(&["run", "--help"])).0);
    assert!(options.len() > 40 && options.contains("--quiet"), "{options:?}");
    let shown: BTreeSet<String> = commands().flat_map(options_in).map(str::to_owned).collect();
    let missing: Vec<_> =
        options.iter().filter(|option| *option != "--help" && !shown.contains(*option)).collect();
    assert!(missing.is_empty(), "not in README.md: {missing:?}");
}

#[test]
fn every_option_shown_exists() {
    let known = every_option();
    let calls = commands().flat_map(|line| {
        CALLS.into_iter().filter_map(move |call| line.split_once(call)).map(|(_, arguments)| arguments)
    });
    let unknown: Vec<_> = calls.flat_map(options_in).filter(|option| !known.contains(*option)).collect();
    assert!(unknown.is_empty(), "not in the program: {unknown:?}");
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let number = |line: &str| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse::<u8>().ok();
    let program: Vec<u8> = EXIT.lines().filter_map(number).collect();
    let table = README.split("### Exit codes").nth(1).expect("a table of exit codes");
    let table = table.split("\n#").next().unwrap_or(table);
    let cell = |line: &str| line.strip_prefix("| ")?.split(" |").next()?.parse::<u8>().ok();
    assert_eq!(table.lines().filter_map(cell).collect::<Vec<_>>(), program);
}

#[test]
fn the_configuration_file_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("site.toml");
    let files = blocks(&["toml"]);
    assert_eq!(files.len(), 1);
    for text in files {
        fs::write(&file, text).expect("a file that can be written");
        let file = file.to_str().expect("UTF-8");
        output(scout(&["run", "--config", file, "--print-config"]));
    }
}

/// Runs the first command with its state in `folder`: the lines on standard output, and standard error.
fn first_command(folder: &Path) -> (Vec<Value>, String) {
    let line = blocks(&["console"]).first().and_then(|block| block.lines().next()).expect("a first command");
    let arguments = line.strip_prefix("$ cargo run --release -- ").expect("a command of a fresh clone");
    let state = folder.to_str().expect("UTF-8");
    let arguments: Vec<_> =
        arguments.split(' ').map(|word| if word == "target/demo" { state } else { word }).collect();
    assert!(arguments.contains(&state), "{line}");
    let (events, rest) = output(scout(&arguments));
    (events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), rest)
}

#[test]
fn the_first_command_does_what_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (events, rest) = first_command(folder.path());
    let shown = blocks(&["console"])[0];
    for line in shown.lines().filter(|line| line.starts_with('{')) {
        let id = line.split('"').nth(7).expect("an id");
        assert!(events.iter().any(|event| event["id"] == id), "no event has the id {id}");
    }
    let (_, table) = shown.split_once("…\n  ").expect("a table after the events");
    assert!(rest.trim_end().ends_with(table.trim()), "{rest}");
    assert!(table.contains(&format!("handed over {} files", events.len())));

    let (again, rest) = first_command(folder.path());
    assert!(again.is_empty());
    let (statistics, _) = table.split_once("looked at").expect("a summary");
    assert!(rest.contains(statistics.trim()), "{rest}");
}

#[test]
fn the_message_is_one_of_the_example() {
    let shown: Value = serde_json::from_str(blocks(&["json"])[0]).expect("a message in JSON");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (events, _) = first_command(folder.path());
    let real = events.iter().find(|event| event["id"] == shown["id"]).expect("an event with this id");
    let names =
        |message: &Value| message.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    assert_eq!(names(&shown), names(real));
    for field in ["schema", "kind", "path", "size", "blake3", "analysis", "jobdata", "run", "experiments"] {
        assert_eq!(shown[field], real[field], "{field}");
    }
}
