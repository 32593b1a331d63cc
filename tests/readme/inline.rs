//! Commands within a sentence are not run: most take minutes, or the machine. What they name must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{Page, ROOT, options_in, pages, subcommands};

/// The code spans of a page that begin as a command does, with the variables before it left out.
fn commands(page: &Page) -> Vec<Vec<String>> {
    let mut prose = String::new();
    for part in page.text.split("\n```").step_by(2) {
        prose.push_str(part);
    }
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
    let words = spans.map(|span| {
        let words = span.split_whitespace().skip_while(|word| word.contains('=')).map(str::to_owned);
        words.collect::<Vec<_>>()
    });
    words
        .filter(|words| {
            matches!(words.first().map(String::as_str), Some("nfs-scout" | "sudo" | "tests/run" | "cargo"))
        })
        .collect()
}

/// The names of a kind of target of this package: those with an entry of their own, and those found by their place.
fn targets(kind: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let heading = format!("[[{kind}]]\nname = \"");
    let entries = manifest.split(&heading).skip(1);
    let named = entries.filter_map(|entry| entry.split('"').next()).map(str::to_owned);
    let folder = Path::new(ROOT).join(if kind == "test" { "tests" } else { "benches" });
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found =
        found.filter(|path| path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").exists());
    named.chain(found.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())).collect()
}

/// What the trials behind a real NFS client are called by: the lines that list them.
fn trials() -> String {
    let sources = walkdir::WalkDir::new(Path::new(ROOT).join("tests/nfs")).into_iter().map(Result::unwrap);
    let sources = sources.filter(|entry| entry.path().extension().is_some_and(|it| it == "rs"));
    let texts = sources.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect::<String>();
    texts.lines().filter(|line| line.contains("each(")).collect()
}

#[test]
fn what_commands_in_sentences_name_is_there() {
    let mut pages = pages();
    pages.extend(["ARCHITECTURE.md", "SECURITY.md"].map(Page::read));
    let (known, trials) = (subcommands(), trials());
    let options: BTreeSet<&String> = known.iter().flat_map(|(_, options)| options).collect();
    let mut count = 0;
    for page in &pages {
        for words in commands(page) {
            count += 1;
            let line = words.join(" ");
            let said = format!("{}: {line}", page.name);
            let after = |mark: &str| words.iter().skip_while(|word| *word != mark).nth(1).map(String::as_str);
            match words[0].as_str() {
                "tests/run" => {
                    let modes = [None, Some("unit"), Some("e2e"), Some("nfs"), Some("sim")];
                    assert!(modes.contains(&after("tests/run")), "{said}");
                    assert!(after("nfs").is_none_or(|filter| trials.contains(filter)), "{said}");
                }
                "cargo" => {
                    let kind = words[1].as_str();
                    let name = after(&format!("--{kind}"));
                    assert!(name.is_none_or(|name| targets(kind).contains(name)), "{said}");
                }
                _ => {
                    // The program's name may stand alone, or be the user's.
                    let call = line.rsplit_once("nfs-scout ").map(|(_, call)| call);
                    let subcommand = |call: &str| {
                        call.starts_with('-') || known.iter().any(|(name, _)| call.starts_with(name))
                    };
                    assert!(call.is_none_or(subcommand), "{said}");
                    let unknown: Vec<_> = options_in(&line)
                        .filter(|it| *it != "--version" && !options.contains(&(*it).to_owned()))
                        .collect();
                    assert!(unknown.is_empty(), "{said}: {unknown:?}");
                }
            }
        }
    }
    assert!(count > 25, "only {count}");
}

#[test]
fn the_scrape_configuration_is_one() {
    let page = Page::read("docs/metrics.md");
    let [text] = page.blocks(&["yaml"])[..] else { panic!("one block") };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yaml");
    fs::write(&file, text).unwrap();
    let output = std::process::Command::new("promtool").args(["check", "config"]).arg(&file).output();
    let output = output.expect("promtool is missing: apt-get install prometheus");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
