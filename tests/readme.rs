//! Holds README.md and docs/ to the program: every command in them is run, and flags, exit codes, configuration, messages and
//! links are those of this build.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

#[path = "readme/commands.rs"]
mod commands;
#[path = "readme/inline.rs"]
mod inline;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const EXIT: &str = include_str!("../src/exit.rs");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How the pages start the program, installed or from a clone.
const CALLS: [&str; 2] = ["nfs-scout ", "cargo run --release -- "];

/// A page for users.
pub(crate) struct Page {
    /// Its path from the repository's root.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        Self { name: name.to_owned(), text: fs::read_to_string(Path::new(ROOT).join(name)).unwrap() }
    }

    /// The contents of the code blocks in one of these languages.
    pub(crate) fn blocks(&self, languages: &[&str]) -> Vec<&str> {
        let fenced = self.text.split("\n```").skip(1).step_by(2);
        fenced
            .filter_map(|block| block.split_once('\n'))
            .filter(|(language, _)| languages.contains(language))
            .map(|(_, text)| text)
            .collect()
    }

    /// The commands of the shell blocks, without comments.
    fn commands(&self) -> impl Iterator<Item = &str> {
        let lines = self.blocks(&["sh", "console"]).into_iter().flat_map(str::lines);
        lines.map(|line| line.split(" # ").next().unwrap_or(line))
    }
}

/// README.md and every page of docs/.
pub(crate) fn pages() -> Vec<Page> {
    let mut names: Vec<_> = fs::read_dir(Path::new(ROOT).join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    names.sort();
    names.push("README.md".to_owned());
    names.iter().map(|name| Page::read(name)).collect()
}

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

/// The long options that a help text introduces.
fn options_of(help: &str) -> BTreeSet<String> {
    let introduced = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |(_, long)| long);
        line.starts_with("--").then(|| line.split([' ', '.', '<']).next().map(str::to_owned))?
    });
    introduced.collect()
}

pub(crate) fn options_in(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2)
}

/// The subcommands that a help text lists.
fn subcommands_of(help: &str) -> Vec<&str> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    // Deeper lines go on with what a command does.
    let lines =
        list.lines().take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").collect()
}

/// Every subcommand with its long options.
pub(crate) fn subcommands() -> Vec<(String, BTreeSet<String>)> {
    let help = |path: &[&str]| output(scout(&[path, &["--help"]].concat())).0;
    let mut all = Vec::new();
    for name in subcommands_of(&help(&[])) {
        let text = help(&[name]);
        let below = subcommands_of(&text);
        all.extend(below.iter().map(|below| (format!("{name} {below}"), options_of(&help(&[name, below])))));
        if below.is_empty() {
            all.push((name.to_owned(), options_of(&text)));
        }
    }
    all
}

#[test]
fn every_subcommand_and_option_is_shown_in_a_command() {
    let pages = pages();
    let lines: Vec<&str> = pages.iter().flat_map(Page::commands).collect();
    let all = subcommands();
    assert!(all.len() > 12 && all.iter().any(|(name, _)| name == "index requeue"), "{all:?}");
    for (name, options) in all {
        // `man run` shows the page of any of them.
        let call = format!("nfs-scout {name} ");
        let calls: Vec<_> = lines.iter().filter(|line| format!("{line} ").contains(&call)).collect();
        assert!(!calls.is_empty(), "{name} is in no command");
        if name == "run" || name == "doctor" || name == "watch" {
            let shown: BTreeSet<&str> = calls.iter().flat_map(|line| options_in(line)).collect();
            // Shown with `run`, or with the question that they belong to.
            let elsewhere = ["--help", "--state", "--config", "--no-default-excludes"];
            let wanted = |option: &&String| name == "run" || !elsewhere.contains(&option.as_str());
            let missing = options.iter().filter(wanted).filter(|option| *option != "--help");
            let missing: Vec<_> = missing.filter(|option| !shown.contains(option.as_str())).collect();
            assert!(missing.is_empty(), "{name}: in no command: {missing:?}");
        }
    }
}

#[test]
fn every_option_shown_exists() {
    let known: BTreeSet<String> = subcommands().into_iter().flat_map(|(_, options)| options).collect();
    for page in pages() {
        let calls = page.commands().flat_map(|line| {
            CALLS.into_iter().filter_map(move |call| line.split_once(call)).map(|(_, arguments)| arguments)
        });
        let unknown: Vec<_> = calls.flat_map(options_in).filter(|option| !known.contains(*option)).collect();
        assert!(unknown.is_empty(), "{}: not in the program: {unknown:?}", page.name);
    }
}

/// The place that a heading gets in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        let folder = Path::new(ROOT).join(&page.name).parent().unwrap().to_owned();
        for target in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            count += 1;
            let (path, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { Path::new(ROOT).join(&page.name) } else { folder.join(path) };
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {target}: {error}", page.name));
            let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
            assert!(place.is_empty() || headings.any(|heading| heading == place), "{}: {target}", page.name);
        }
    }
    assert!(count > 15, "only {count} links");
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let number = |line: &str| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse::<u8>().ok();
    let program: Vec<u8> = EXIT.lines().filter_map(number).collect();
    let page = Page::read("docs/options.md");
    let table = page.text.split("## Exit codes").nth(1).expect("a table of exit codes");
    let table = table.split("\n#").next().unwrap_or(table);
    let cell = |line: &str| line.strip_prefix("| ")?.split(" |").next()?.parse::<u8>().ok();
    assert_eq!(table.lines().filter_map(cell).collect::<Vec<_>>(), program);
}

#[test]
fn the_configuration_file_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("site.toml");
    let pages = pages();
    let files: Vec<&str> = pages.iter().flat_map(|page| page.blocks(&["toml"])).collect();
    assert_eq!(files.len(), 1);
    for text in files {
        fs::write(&file, text).expect("a file that can be written");
        let file = file.to_str().expect("UTF-8");
        output(scout(&["run", "--config", file, "--print-config"]));
    }
}

/// What the README's first command is shown to print.
fn first_block(readme: &Page) -> &str {
    readme.blocks(&["console"])[0]
}

/// Runs the first command with its state in `folder`: the lines on standard output, and standard error.
fn first_command(readme: &Page, folder: &Path) -> (Vec<Value>, String) {
    let line = first_block(readme).lines().next().expect("a first command");
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
    let readme = Page::read("README.md");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (events, rest) = first_command(&readme, folder.path());
    let shown = first_block(&readme);
    let (event, table) = shown.split_once("…\n…\n").expect("an event, and what comes after the events");
    let event = event.lines().nth(1).expect("an event").trim_end_matches(", ");
    let event: Value = serde_json::from_str(&format!("{event}}}")).expect("JSON");
    let real = events.iter().find(|real| real["id"] == event["id"]).expect("an event with this id");
    for field in ["schema", "kind", "path"] {
        assert_eq!(event[field], real[field], "{field}");
    }
    // Every line, in this order, to the last; what is cut is marked.
    let mut printed = rest.lines();
    for line in table.lines().filter(|line| *line != "…") {
        assert!(printed.any(|other| other == line), "{line:?} comes not, or not here: {rest}");
    }
    assert_eq!(printed.next(), None, "more than shown: {rest}");
    assert!(table.contains(&format!("handed over {} files", events.len())));

    let (again, same) = first_command(&readme, folder.path());
    assert!(again.is_empty());
    let statistics = |text: &str| {
        let lines = text.lines().skip_while(|line| !line.trim_start().starts_with("JOBS "));
        lines.take_while(|line| !line.starts_with("looked at")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(statistics(&rest).len() > 20, "{rest}");
    assert_eq!(statistics(&same), statistics(&rest));
}

#[test]
fn the_message_is_one_of_the_example() {
    let messages = Page::read("docs/messages.md");
    let shown: Value = serde_json::from_str(messages.blocks(&["json"])[0]).expect("a message in JSON");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (events, _) = first_command(&Page::read("README.md"), folder.path());
    let real = events.iter().find(|event| event["id"] == shown["id"]).expect("an event with this id");
    let names =
        |message: &Value| message.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    assert_eq!(names(&shown), names(real));
    for field in ["schema", "kind", "path", "size", "blake3", "analysis", "jobdata", "run", "experiments"] {
        assert_eq!(shown[field], real[field], "{field}");
    }
}
