//! Holds the dependencies to `deny.toml`: their licences, where they come from, and those that are banned.
//!
//! The same that `cargo deny check licenses bans sources` finds, without a tool to install: from `cargo metadata` and the
//! lists of that one file. Known vulnerabilities are not looked for: their database is on the network.

#![allow(clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};
use toml::Table;

const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// A package that the program is built from.
#[derive(Debug, Clone)]
struct Package {
    name: String,
    licence: String,
    /// `None` for the program itself.
    source: Option<String>,
}

/// What `deny.toml` allows and forbids.
struct Rules {
    licences: Vec<String>,
    banned: Vec<String>,
    registries: Vec<String>,
}

impl Rules {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
        let text = std::fs::read_to_string(path).expect("a readable deny.toml");
        let table: Table = text.parse().expect("deny.toml is TOML");
        let banned = table["bans"]["deny"].as_array().expect("a list of bans");
        Self {
            licences: texts(&table["licenses"]["allow"]),
            banned: banned.iter().map(|it| it["crate"].as_str().expect("a crate").to_owned()).collect(),
            registries: texts(&table["sources"]["allow-registry"]),
        }
    }

    /// What is wrong with `package`.
    fn judge(&self, package: &Package) -> Option<String> {
        let name = &package.name;
        if self.banned.contains(name) {
            return Some(format!("{name} is banned"));
        }
        let source = package.source.as_deref();
        let known = |source: &str| self.registries.iter().any(|it| source == format!("registry+{it}"));
        if let Some(source) = source.filter(|source| !known(source)) {
            return Some(format!("{name} comes from {source}"));
        }
        let Ok(licence) = Expression::parse_mode(&package.licence, ParseMode::LAX) else {
            return Some(format!("{name} has a licence that cannot be read: {:?}", package.licence));
        };
        let allowed = licence.evaluate(|it| self.licences.iter().any(|known| *known == it.to_string()));
        (!allowed).then(|| format!("{name} is licensed under {licence}"))
    }
}

fn texts(value: &toml::Value) -> Vec<String> {
    let items = value.as_array().expect("a list");
    items.iter().map(|item| item.as_str().expect("a text").to_owned()).collect()
}

/// Every package that a build for [`PLATFORM`] without the tests may hold.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform", PLATFORM])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let shipped = shipped(&metadata);
    let all = metadata["packages"].as_array().expect("packages");
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    all.iter()
        .filter(|package| shipped.iter().any(|id| package["id"] == **id))
        .map(|package| Package {
            name: text(package, "name").expect("a name"),
            licence: text(package, "license").unwrap_or_default(),
            source: text(package, "source"),
        })
        .collect()
}

/// The ids of the program and of all that it needs, directly or not, to be built and to run.
fn shipped(metadata: &Value) -> Vec<&str> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let mut ids = vec![metadata["resolve"]["root"].as_str().expect("a root")];
    let mut next = 0;
    while let Some(id) = ids.get(next).copied() {
        next += 1;
        let node = nodes.iter().find(|node| node["id"] == id).expect("a node for each package");
        for dependency in node["deps"].as_array().expect("dependencies") {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds");
            let package = dependency["pkg"].as_str().expect("an id");
            if kinds.iter().any(|kind| kind["kind"] != "dev") && !ids.contains(&package) {
                ids.push(package);
            }
        }
    }
    ids
}

#[test]
fn every_dependency_is_allowed() {
    let rules = Rules::read();
    let packages = packages();
    assert!(packages.len() > 150, "only {} packages", packages.len());
    let problems: Vec<String> = packages.iter().filter_map(|package| rules.judge(package)).collect();
    assert!(problems.is_empty(), "against deny.toml:\n{}", problems.join("\n"));
}

#[test]
fn what_is_shipped_is_not_what_is_tested_with() {
    let names: Vec<String> = packages().into_iter().map(|package| package.name).collect();
    for (name, expected) in [("nfs-scout", true), ("sled", true), ("fxhash", true), ("proptest", false)] {
        assert_eq!(names.iter().any(|it| it == name), expected, "{name}");
    }
}

#[track_caller]
fn check(name: &str, licence: &str, source: &str, expected: Option<&str>) {
    let package =
        Package { name: name.to_owned(), licence: licence.to_owned(), source: Some(source.to_owned()) };
    assert_eq!(Rules::read().judge(&package).as_deref(), expected);
}

#[test]
fn the_rules_bite() {
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
    check("a", "MIT/Apache-2.0", CRATES_IO, None);
    check("a", "GPL-3.0 OR MIT", CRATES_IO, None);
    check("a", "(MIT OR Apache-2.0) AND Unicode-3.0", CRATES_IO, None);
    check("a", "GPL-3.0-only", CRATES_IO, Some("a is licensed under GPL-3.0-only"));
    check("a", "MIT AND GPL-3.0-only", CRATES_IO, Some("a is licensed under MIT AND GPL-3.0-only"));
    check("a", "", CRATES_IO, Some("a has a licence that cannot be read: \"\""));
    check("openssl-sys", "MIT", CRATES_IO, Some("openssl-sys is banned"));
    check("a", "MIT", "git+https://example.org/a", Some("a comes from git+https://example.org/a"));
}
