//! The architecture as a test: which room may name what, how long things may grow, that each file says why it exists.
//!
//! The checker reads text, it does not parse Rust: it blanks out comments and strings, cuts off `#[cfg(test)]` and then
//! looks for paths. A name smuggled in by an alias is not seen; reviews are for that.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_LIMIT: usize = 600;
const FUNCTION_LINES_LIMIT: usize = 70;
const ROOMS: [&str; 7] = ["mount", "schedule", "intake", "store", "dispatch", "status", "advise"];

/// A path that only some files may name.
struct Restricted {
    /// Any of these, as whole paths, outside tests.
    paths: &'static [&'static str],
    /// The files and folders (ending in `/`) it holds for; empty: all of `src/`.
    within: &'static [&'static str],
    /// Who may all the same, and why.
    allowed: &'static [(&'static str, &'static str)],
    remedy: &'static str,
}

const RESTRICTED: [Restricted; 6] = [
    Restricted {
        paths: &["std::fs", "rustix::fs", "tokio::fs", "walkdir"],
        within: &[],
        allowed: &[
            ("src/mount/", "the watched tree"),
            ("src/store/", "its own database folder"),
            ("src/dispatch/events.rs", "the file that --events names"),
            ("src/dispatch/trust.rs", "the CA files that the operator names"),
            ("src/agent/control.rs", "its own socket in the state directory"),
            ("src/cli/layers.rs", "the configuration file"),
            ("src/agent/recorder.rs", "the trace that --record names"),
            ("src/agent/textfile.rs", "the metrics that --textfile names"),
            ("src/main.rs", "the chart that --svg names"),
        ],
        remedy: "ask the mount room for it: only src/mount/ touches the watched tree; \
                 for a file of the agent's own, add a line with the reason to RESTRICTED in tests/tidy.rs",
    },
    Restricted {
        paths: &["sled", "crossbeam_epoch"],
        within: &[],
        allowed: &[("src/store/", "the only room that knows the engine")],
        remedy: "give src/store/ a function for it, so that another engine stays possible",
    },
    Restricted {
        paths: &["Instant::now"],
        within: &[],
        allowed: &[
            ("src/clock.rs", "the one file that reads the clock"),
            ("src/dispatch/", "tokio's clock, for the time-outs of sockets: tests pause it"),
            ("src/agent/simulation/", "tokio's paused clock: simulated time"),
        ],
        remedy: "take `now` as an argument, or read it through src/clock.rs",
    },
    Restricted {
        paths: &["SystemTime::now", "Timestamp::now", "Zoned::now"],
        within: &[],
        allowed: &[("src/clock.rs", "the one file that reads the clock")],
        remedy: "take `now` as an argument, or read it through src/clock.rs",
    },
    Restricted {
        paths: &["std::fs", "std::net", "tokio", "rand", "std::thread"],
        within: &["src/schedule/", "src/intake/", "src/model/"],
        allowed: &[],
        remedy: "keep this room pure: take what is read or drawn as an argument, act in the caller",
    },
    Restricted {
        paths: &[
            "crate::mount",
            "crate::schedule",
            "crate::intake",
            "crate::store",
            "crate::dispatch",
            "crate::status",
            "crate::advise",
        ],
        within: &["src/model/", "src/model.rs", "src/event.rs", "src/event/"],
        allowed: &[],
        remedy: "model and event are what the rooms share: move the type here or the code into the room",
    },
];

#[test]
fn src_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(!files.is_empty(), "no file under src/");
    let mut findings = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).expect("a file below the root").to_string_lossy().into_owned();
        findings.extend(check(&name, &fs::read_to_string(&file).expect("a readable file")));
    }
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(list.is_empty(), "{} finding(s):\n{}", list.len(), list.join("\n"));
}

/// A broken rule: where, what, and what to do.
#[derive(Debug)]
struct Finding {
    place: String,
    rule: String,
    remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.rule, self.remedy)
    }
}

/// All findings in one file; `name` is its path from the repository's root.
fn check(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line: usize, rule: String, remedy: &str| {
        findings.push(Finding { place: format!("{name}:{line}"), rule, remedy: remedy.to_owned() });
    };
    if !text.starts_with("//!") {
        found(
            1,
            "the file does not begin with `//!`".to_owned(),
            "say first why the file exists and what it never does",
        );
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_LIMIT {
        let rule = format!("{lines} lines, over the limit of {FILE_LINES_LIMIT}");
        found(lines, rule, "split it by nouns, one a file");
    }
    let code = blank_comments_and_strings(text);
    for (line, length) in long_functions(&code) {
        let rule = format!("a function of {length} lines, over the limit of {FUNCTION_LINES_LIMIT}");
        found(line, rule, "leave the decisions in the parent, make the leaves pure functions");
    }
    let code = if name.ends_with("/tests.rs") { String::new() } else { blank_tests(&code) };
    for (index, line) in code.lines().enumerate() {
        for restricted in RESTRICTED.iter().filter(|it| it.holds_for(name)) {
            if let Some(path) = restricted.paths.iter().find(|path| names_path(line, path)) {
                found(index + 1, format!("`{path}` may not be named here"), restricted.remedy);
            }
        }
        if let Some(other) = room_of(name).and_then(|room| other_room(line, room)) {
            let rule = format!("this room names `crate::{other}`, another room");
            found(
                index + 1,
                rule,
                "rooms do not know each other: pass plain types of src/model/, let src/agent.rs connect them",
            );
        }
    }
    findings
}

impl Restricted {
    fn holds_for(&self, name: &str) -> bool {
        let covers = |entry: &str| name == entry || entry.ends_with('/') && name.starts_with(entry);
        (self.within.is_empty() || self.within.iter().any(|entry| covers(entry)))
            && !self.allowed.iter().any(|(entry, _reason)| covers(entry))
    }
}

fn room_of(name: &str) -> Option<&'static str> {
    let below = name.strip_prefix("src/")?;
    ROOMS.into_iter().find(|room| below.starts_with(&format!("{room}/")) || below == format!("{room}.rs"))
}

fn other_room(line: &str, room: &str) -> Option<&'static str> {
    ROOMS
        .into_iter()
        .filter(|other| *other != room)
        .find(|other| names_path(line, &format!("crate::{other}")))
}

/// Whether the line names `path`: written out, or in a braced import such as `use std::{fs, io}`.
fn names_path(line: &str, path: &str) -> bool {
    match path.rsplit_once("::") {
        Some((parent, last)) => {
            let braced = line.split_once(&format!("{parent}::{{"));
            has_word(line, path) || braced.is_some_and(|(_, names)| has_word(names, last))
        }
        // A crate's name is a common word otherwise: it counts only as the head of a path.
        None => {
            has_word(line, path)
                && (line.contains(&format!("{path}::")) || line.trim_start().starts_with("use "))
        }
    }
}

/// `word` in `line` with no identifier character on either side: `sled` is not in `settled`.
fn has_word(line: &str, word: &str) -> bool {
    let identifier = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line.get(start + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(identifier) && !after.is_some_and(identifier)
    })
}

/// Replaces the inside of comments, strings and character literals by blanks; lines stay where they are.
fn blank_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest);
        if length > 0 {
            let (skipped, after) = rest.split_at(length);
            out.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        } else {
            // A whole identifier at a time, so that the `r` of `for"` is not taken for a raw string.
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len())
                .max(first.len_utf8());
            let (kept, after) = rest.split_at(word);
            out.push_str(kept);
            rest = after;
        }
    }
    out
}

/// How many bytes of a comment, string or character literal `rest` begins with; 0 for none.
fn literal_or_comment(rest: &str) -> usize {
    let until = |end: &str, from: usize| {
        rest.get(from..).and_then(|tail| tail.find(end)).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    let body = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw.get(hashes..).is_some_and(|tail| tail.starts_with('"')) {
            return until(&format!("\"{}", "#".repeat(hashes)), prefix + 1 + hashes + 1);
        }
    }
    match body.chars().next() {
        Some('"') => prefix + quoted(body, '"'),
        // A lifetime has no closing quote right after its first character.
        Some('\'') if body.starts_with("'\\") || body.chars().nth(2) == Some('\'') => {
            prefix + quoted(body, '\'')
        }
        _ => 0,
    }
}

/// The length of a quoted literal with backslash escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return index + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Blanks every item under `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut out = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            out.push(line);
            continue;
        }
        let mut depth = 0;
        out.push("");
        for inside in lines.by_ref() {
            out.push("");
            depth += depth_change(inside);
            if depth == 0 && (inside.contains('}') || inside.trim_end().ends_with(';')) {
                break;
            }
        }
    }
    out.join("\n")
}

/// The first line and length of every function over the limit.
fn long_functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| is_function(line));
    starts
        .map(|(start, _)| (start + 1, function_length(lines.get(start..).unwrap_or_default())))
        .filter(|(_, length)| *length > FUNCTION_LINES_LIMIT)
        .collect()
}

fn is_function(line: &str) -> bool {
    line.split("fn ").count() > 1
        && line.split_whitespace().take_while(|word| *word != "fn").all(is_qualifier)
}

fn is_qualifier(word: &str) -> bool {
    word.starts_with("pub") || word.ends_with(')') || ["async", "const", "unsafe", "extern"].contains(&word)
}

/// How many lines the function takes that begins on the first line.
fn function_length(lines: &[&str]) -> usize {
    let mut depth = 0;
    for (index, line) in lines.iter().enumerate() {
        depth += depth_change(line);
        if depth == 0 && (line.contains('}') || line.trim_end().ends_with(';')) {
            return index + 1;
        }
    }
    lines.len()
}

fn depth_change(line: &str) -> isize {
    line.chars().fold(0, |depth, c| depth + isize::from(c == '{') - isize::from(c == '}'))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

mod checker {
    use super::*;

    /// What the checker says about a file of one documented line plus `code`: `line: rule`.
    fn rules(name: &str, code: &str) -> Vec<String> {
        let findings = check(name, &format!("//! Why.\n{code}"));
        findings
            .iter()
            .map(|it| format!("{}: {}", it.place.trim_start_matches(name).trim_start_matches(':'), it.rule))
            .collect()
    }

    #[track_caller]
    fn refuses(name: &str, code: &str, rule: &str) {
        assert_eq!(rules(name, code), [rule], "{name}: {code}");
    }

    #[track_caller]
    fn accepts(name: &str, code: &str) {
        assert_eq!(rules(name, code), [""; 0], "{name}: {code}");
    }

    #[test]
    fn a_file_says_why_it_exists() {
        let findings = check("src/a.rs", "use std::io;\n");
        assert_eq!(findings.len(), 1);
        let said = findings.first().map(Finding::to_string).unwrap_or_default();
        assert_eq!(
            said,
            "src/a.rs:1: the file does not begin with `//!`\n    say first why the file exists and what it never does"
        );
    }

    #[test]
    fn only_the_mount_room_touches_files() {
        refuses("src/agent.rs", "use std::fs;", "2: `std::fs` may not be named here");
        refuses("src/agent.rs", "use std::{io, fs::File};", "2: `std::fs` may not be named here");
        refuses(
            "src/status/page.rs",
            "let it = rustix::fs::stat(p);",
            "2: `rustix::fs` may not be named here",
        );
        refuses("src/agent.rs", "for e in walkdir::WalkDir::new(p) {}", "2: `walkdir` may not be named here");
        accepts("src/mount/names.rs", "use rustix::fs::RawDir;");
        accepts("src/store/mod.rs", "use std::fs;");
        accepts("src/dispatch/events.rs", "use std::fs::File;");
        accepts("src/agent.rs", "// std::fs is not for us\nlet help = \"uses std::fs\";");
    }

    #[test]
    fn only_the_store_knows_the_engine() {
        refuses("src/agent.rs", "use sled::Db;", "2: `sled` may not be named here");
        accepts("src/store/tree.rs", "use sled::Db;");
        accepts("src/agent.rs", "if unsettled { settle() } let sled_path = 1; sled.go();");
    }

    #[test]
    fn one_file_reads_the_clock() {
        refuses("src/agent.rs", "let now = Instant::now();", "2: `Instant::now` may not be named here");
        refuses(
            "src/a.rs",
            "let now = std::time::SystemTime::now();",
            "2: `SystemTime::now` may not be named here",
        );
        accepts("src/clock.rs", "let now = Instant::now();");
        accepts("src/mount/tests.rs", "use crate::store; fn now() { Instant::now(); }");
        accepts("src/agent.rs", "#[cfg(test)]\nmod tests {\n    fn now() { Instant::now(); }\n}");
        refuses(
            "src/a.rs",
            "#[cfg(test)]\nmod tests;\nfn f() { Instant::now(); }",
            "4: `Instant::now` may not be named here",
        );
    }

    #[test]
    fn rooms_do_not_know_each_other() {
        refuses(
            "src/store/mod.rs",
            "use crate::mount::Stamp;",
            "2: this room names `crate::mount`, another room",
        );
        refuses(
            "src/store/mod.rs",
            "use crate::{model, dispatch};",
            "2: this room names `crate::dispatch`, another room",
        );
        accepts("src/store/mod.rs", "use crate::store::outbox;");
        accepts("src/store/mod.rs", "use crate::model::Id;");
        accepts("src/agent.rs", "use crate::store::Store;");
    }

    #[test]
    fn shared_types_know_no_room() {
        refuses("src/model/id.rs", "use crate::store::Row;", "2: `crate::store` may not be named here");
        refuses("src/event.rs", "use crate::mount::Mount;", "2: `crate::mount` may not be named here");
    }

    #[test]
    fn pure_rooms_stay_pure() {
        refuses("src/schedule/due.rs", "use tokio::time;", "2: `tokio` may not be named here");
        refuses("src/intake/archive.rs", "use std::net::TcpStream;", "2: `std::net` may not be named here");
        accepts("src/intake/archive.rs", "use std::io::Read;");
    }

    #[test]
    fn things_stay_short() {
        let long = format!(
            "pub(crate) async fn long() {{\n{}}}\n",
            "    step();\n".repeat(FUNCTION_LINES_LIMIT - 1)
        );
        refuses("src/a.rs", &long, "2: a function of 71 lines, over the limit of 70");
        let fits = format!("fn fits() {{\n{}}}\n", "    step(\"}{\");\n".repeat(FUNCTION_LINES_LIMIT - 2));
        accepts("src/a.rs", &format!("{fits}{fits}"));
        refuses("src/a.rs", &"\n".repeat(FILE_LINES_LIMIT), "601: 601 lines, over the limit of 600");
    }

    #[test]
    fn literals_and_lifetimes_are_told_apart() {
        for (text, expected) in [
            ("a(\"x{\", '{', '\\'')", "a(    ,    ,     )"),
            ("fn f<'a>(x: &'a str) // {", "fn f<'a>(x: &'a str)     "),
            ("r#\"{\"\"#; b\"{\"; /* { */ y", "       ;     ;         y"),
        ] {
            assert_eq!(blank_comments_and_strings(text).trim_end(), expected.trim_end(), "{text}");
        }
    }
}
