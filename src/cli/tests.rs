//! Command line, environment and file together, without a process.

use std::time::Duration;

use super::layers::{Shape, settings, variable};
use super::*;
use crate::config::{Budget, EventsTarget, Mode};
use crate::model::RelPath;
use crate::rules::Judgement;

fn around(arguments: &str, vars: &[(&str, &str)]) -> Surroundings {
    let vars = [("HOME", "/home/ann")].iter().chain(vars);
    Surroundings {
        args: ["nfs-scout"].into_iter().chain(arguments.split_whitespace()).map(OsString::from).collect(),
        vars: vars.map(|(name, value)| (name.into(), value.into())).collect(),
        directory: Some(PathBuf::from("/home/ann/work")),
        system_config: PathBuf::from("/nonexistent/config.toml"),
    }
}

#[track_caller]
fn run(around: &Surroundings) -> (Config, Vec<String>) {
    match read(around) {
        Ok(Order::Run { config, warnings }) => (*config, warnings),
        Ok(other) => panic!("{other:?}"),
        Err(stop) => panic!("{stop}"),
    }
}

#[track_caller]
fn config(arguments: &str) -> Config {
    run(&around(&format!("run {arguments}"), &[])).0
}

#[track_caller]
fn check_stop(arguments: &str, vars: &[(&str, &str)], parts: &[&str]) {
    let stop = read(&around(arguments, vars)).unwrap_err().to_string();
    for part in parts {
        assert!(stop.contains(part), "{arguments:?} gave {stop:?}, not {part:?}");
    }
}

#[test]
fn the_parser_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn plain_run_prints_events() {
    let config = config("/mnt/data");
    assert_eq!(config.roots, [PathBuf::from("/mnt/data")]);
    assert_eq!((config.mode, config.budget), (Mode::Agent, Budget::Auto));
    assert_eq!((config.interval, config.settle), (Duration::from_secs(30), Duration::from_secs(5)));
    assert_eq!(config.audit, Some(Duration::from_secs(3600)));
    assert_eq!(config.sinks.events, Some(EventsTarget::Stdout));
    assert_eq!((&config.sinks.redis, &config.sinks.amqp), (&None, &None));
    assert_eq!(config.state, PathBuf::from("/home/ann/.local/state/nfs-scout"));
    assert_eq!(config.redact, crate::config::SECRET_KEYS);
    assert!(config.one_file_system && !config.baseline && !config.strict);
    assert_eq!((config.log.filter.as_str(), config.log.quiet), ("info", false));
}

#[test]
fn sinks_replace_the_standard_output() {
    let sinks = config("/m --redis redis://h --amqp amqp://h").sinks;
    assert_eq!(sinks.events, None);
    assert_eq!(sinks.redis.unwrap().prefix, "T4TC_MONITOR/");
    assert_eq!(sinks.amqp.unwrap().queue, "t4tc_monitor");
    assert_eq!(config("/m --redis redis://h --events -").sinks.events, Some(EventsTarget::Stdout));
    let target = EventsTarget::File(PathBuf::from("/home/ann/work/e.jsonl"));
    assert_eq!(config("/m --events e.jsonl").sinks.events, Some(target));
}

#[test]
fn a_budget_is_a_rate_or_what_one_run_may_cost() {
    assert_eq!(config("/m --budget 500/s").budget, Budget::PerSecond(500.0));
    assert_eq!(config("/m --once --budget 500").budget, Budget::PerRun(500));
    check_stop("run /m --budget 500", &[], &["--budget", "500/s", "--once"]);
}

#[test]
fn paths_become_absolute() {
    let roots = config("data/ ./x/../y /mnt//z/. ../up").roots;
    let expected = ["/home/ann/work/data", "/home/ann/work/y", "/mnt/z", "/home/ann/up"];
    assert_eq!(roots, expected.map(PathBuf::from));
    let nowhere = Surroundings { directory: None, ..around("run data", &[]) };
    assert!(read(&nowhere).unwrap_err().to_string().contains("relative path"));
}

#[test]
fn paths_are_apart() {
    check_stop("run /m /m/", &[], &["\"/m\" is given twice"]);
    check_stop("run /m/a /n /m", &[], &["\"/m/a\" is inside \"/m\""]);
    check_stop("run /m /m/./a", &[], &["\"/m/a\" is inside \"/m\""]);
    check_stop("run /", &[], &["--state", "inside the watched directory \"/\""]);
    assert_eq!(config("/m /mm /m-n").roots.len(), 3);
}

#[test]
fn it_does_not_watch_itself() {
    check_stop("run /m --state /m/state", &[], &["--state", "\"/m/state\"", "\"/m\""]);
    check_stop("run /m", &[("NFS_SCOUT_STATE", "/m")], &["NFS_SCOUT_STATE"]);
    check_stop("run /n /m --events /m/a/e.jsonl", &[], &["--events", "\"/m/a/e.jsonl\""]);
    check_stop("run .", &[("STATE_DIRECTORY", "/home/ann/work/s")], &["watch itself"]);
}

#[test]
fn state_is_found() {
    let state = |vars: &[(&str, &str)]| run(&around("run /m", vars)).0.state;
    assert_eq!(state(&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")]), PathBuf::from("/var/lib/a"));
    assert_eq!(state(&[("XDG_STATE_HOME", "/x")]), PathBuf::from("/x/nfs-scout"));
    assert_eq!(state(&[("XDG_STATE_HOME", "relative")]), PathBuf::from("/home/ann/.local/state/nfs-scout"));
    assert_eq!(
        state(&[("STATE_DIRECTORY", "/s"), ("NFS_SCOUT_STATE", "here")]),
        PathBuf::from("/home/ann/work/here")
    );
    check_stop("run /m", &[("HOME", "")], &["--state DIR"]);
}

#[test]
fn contradictions_name_both() {
    check_stop("run /m --audit off --audit-stat", &[], &["--audit-stat and --audit"]);
    check_stop("run /m --one-file-system true --cross-file-systems", &[], &["--one-file-system and --cross"]);
    check_stop("run /m -v -q", &[], &["--quiet and --verbose"]);
    check_stop("run /m -v --log warn", &[], &["--verbose and --log"]);
    check_stop("run /m --amqp-queue q", &[], &["--amqp-queue has no effect without --amqp"]);
    check_stop("run /m --redis redis://h --redis-ca /c", &[], &["--redis-ca", "TLS"]);
    check_stop("run /m --include scratch/", &[], &["--include", "directories"]);
    check_stop("run /m --amqp amqp://h --amqp-queue=", &[], &["--amqp-queue", "empty"]);
    run(&around("run /m", &[("NFS_SCOUT_AMQP_QUEUE", "q")]));
}

#[test]
fn the_stronger_place_wins_between_two_spellings() {
    let one = |arguments, vars: &[(&str, &str)]| run(&around(arguments, vars)).0.one_file_system;
    assert!(!one("run /m --cross-file-systems", &[]));
    assert!(!one("run /m --one-file-system false", &[]));
    assert!(!one("run /m", &[("NFS_SCOUT_ONE_FILE_SYSTEM", "false")]));
    assert!(one("run /m --one-file-system true", &[("NFS_SCOUT_CROSS_FILE_SYSTEMS", "1")]));
    assert!(!one("run /m --cross-file-systems", &[("NFS_SCOUT_ONE_FILE_SYSTEM", "true")]));
    let log = |arguments, vars: &[(&str, &str)]| run(&around(arguments, vars)).0.log.filter;
    assert_eq!(log("run /m -v", &[("NFS_SCOUT_LOG", "warn")]), "debug");
    assert_eq!(log("run /m --log error", &[("NFS_SCOUT_VERBOSE", "2")]), "error");
    assert_eq!(log("run /m", &[("NFS_SCOUT_VERBOSE", "2")]), "trace");
    assert!(config("/m -q").log.quiet);
}

#[test]
fn patterns_reach_the_rules() {
    let judge = |config: &Config, name: &[u8]| config.rules.judge(&RelPath::root(), name);
    let config_ = config("/m --include *.tgz --include *.zip --exclude bad* --archive *.zip --redact *KEY*");
    assert_eq!(judge(&config_, b"a.zip"), Judgement::Archive);
    assert_eq!(judge(&config_, b"a.tgz"), Judgement::Plain);
    assert_eq!(judge(&config_, b"bad.tgz"), Judgement::Ignored);
    assert_eq!(judge(&config_, b".a.tgz"), Judgement::Ignored);
    assert_eq!(judge(&config("/m --no-default-excludes"), b".a.tgz"), Judgement::Archive);
    assert_eq!(config_.redact.len(), 5);
    assert_eq!(config_.redact.last().map(String::as_str), Some("*KEY*"));
}

#[test]
fn lists_in_variables_are_separated_by_colons() {
    let (config, _) =
        run(&around("run", &[("NFS_SCOUT_PATHS", "/a:/b,c:"), ("NFS_SCOUT_INCLUDE", "*.{x,y}:z")]));
    assert_eq!(config.roots, [PathBuf::from("/a"), PathBuf::from("/b,c")]);
    assert_eq!(config.rules.judge(&RelPath::root(), b"1.y"), Judgement::Plain);
    assert_eq!(config.rules.judge(&RelPath::root(), b"z"), Judgement::Plain);
    assert_eq!(config.rules.judge(&RelPath::root(), b"1.z"), Judgement::Ignored);
}

#[test]
fn odd_variables_are_warned_about() {
    let (_, warnings) = run(&around("run /m", &[("NFS_SCOUT_INTERVALL", "3s"), ("NFS_SCOUT_XQJW", "1")]));
    assert_eq!(
        warnings,
        [
            "The variable NFS_SCOUT_INTERVALL is no option and is ignored; did you mean NFS_SCOUT_INTERVAL?",
            "The variable NFS_SCOUT_XQJW is no option and is ignored.",
        ]
    );
    let (_, warnings) =
        run(&around("run /m", &[("NFS_SCOUT_CONFIG", "/dev/null"), ("NFS_SCOUT_INTERVAL", "")]));
    assert_eq!(warnings, [""; 0]);
    check_stop("run /m", &[("NFS_SCOUT_INTERVAL", "3")], &["NFS_SCOUT_INTERVAL", "write `3s`"]);
}

#[test]
fn passwords_on_the_command_line_are_warned_about() {
    let (config, warnings) = run(&around("run /m --redis redis://a:hunter2@h", &[]));
    assert!(warnings[0].contains("NFS_SCOUT_REDIS") && !warnings[0].contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.sinks.redis.unwrap().url.expose(), "redis://a:hunter2@h");
    assert_eq!(run(&around("run /m", &[("NFS_SCOUT_REDIS", "redis://a:hunter2@h")])).1, [""; 0]);
}

#[test]
fn names_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let name = OsString::from_vec(b"/mnt/\xff".to_vec());
    let mut around = around("run", &[]);
    around.args.push(name.clone());
    assert_eq!(run(&around).0.roots, [PathBuf::from(&name)]);
    around.args.push("--print-config".into());
    assert!(read(&around).unwrap_err().to_string().contains("not UTF-8"));
    around.args.truncate(2);
    around.vars.insert("NFS_SCOUT_PATHS".into(), name.clone());
    assert_eq!(run(&around).0.roots, [PathBuf::from(name)]);
}

#[test]
fn inquiries_find_the_same_state() {
    let ask = |arguments, vars: &[(&str, &str)]| match read(&around(arguments, vars)) {
        Ok(Order::Ask(inquiry)) => inquiry,
        other => panic!("{other:?}"),
    };
    let state = PathBuf::from("/home/ann/.local/state/nfs-scout");
    assert_eq!(ask("stats", &[]), Inquiry { question: Question::Stats, state, json: false });
    let state = PathBuf::from("/s");
    let given = ask("index list --json --state /s", &[("NFS_SCOUT_INTERVAL", "bad")]);
    assert_eq!(given, Inquiry { question: Question::IndexList, state: state.clone(), json: true });
    let found = ask("status", &[("NFS_SCOUT_STATE", "/s")]);
    assert_eq!(found, Inquiry { question: Question::Status, state, json: false });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    std::fs::write(&file, "state = \"/from/file\"").unwrap();
    let installed = Surroundings { system_config: file, ..around("index stat", &[]) };
    let Ok(Order::Ask(found)) = read(&installed) else { panic!() };
    assert_eq!(found.state, PathBuf::from("/from/file"));
}

/// A value other than the default that the option takes, alone and beside `paths`.
fn sample(key: &str) -> &'static str {
    match key {
        "one-file-system" => "false",
        "budget" => "7/s",
        "refresh" => "open",
        "moved" => "send",
        "redis" => "redis://h:7",
        "redis-ca" | "amqp-ca" => "/ca.pem",
        "amqp" => "amqp://h:7",
        "amqp-body" => "legacy",
        "log" => "trace",
        "log-format" => "json",
        "interval" | "audit" | "settle" | "give-up" | "drain" | "patience" | "history" | "commit-delay" => {
            "7m"
        }
        "max-unpacked" | "max-jobdata" | "outbox-max" => "7MiB",
        "workers" | "max-open-dirs" | "max-members" | "listen" => "7",
        "verbose" => "1",
        _ => "/seven",
    }
}

/// Every option of `run`, one by one: set in the file, then in the environment, then looked for in what is printed.
#[test]
fn every_option_has_a_key_and_a_variable() {
    let command = run_command();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let print = |vars: &[(&str, &str)]| {
        let mut around = around("run --print-config", &[]);
        around.system_config.clone_from(&file);
        around.vars.extend(vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        match read(&around) {
            Ok(Order::Print(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    for setting in settings(&command) {
        let (key, variable) = (setting.key, variable(setting.key));
        let value = if setting.shape == Shape::Switch { "true" } else { sample(key) };
        // What other options need to be accepted.
        let base = [("paths", "/m"), ("redis", "rediss://h"), ("amqp", "amqps://h")]
            .into_iter()
            .filter(|(other, _)| *other != key);
        let base: Vec<String> = base.map(|(key, value)| format!("{key} = {value:?}\n")).collect();
        let base = base.concat();
        std::fs::write(&file, format!("{base}{key} = {value:?}")).unwrap();
        check_printed(&print(&[]), key, value, &format!("# file {file:?}"));
        std::fs::write(&file, base).unwrap();
        check_printed(&print(&[(&variable, value)]), key, value, &format!("# env {variable}"));
    }
}

#[track_caller]
fn check_printed(text: &str, key: &str, value: &str, origin: &str) {
    let start = format!("{key} = ");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {key}"));
    assert!(line.contains(value) && line.ends_with(origin), "{line:?} is not {value:?} {origin:?}");
}

/// The other direction: no flag of `run` is left out, and each says something in the help.
#[test]
fn no_option_is_forgotten() {
    let command = run_command();
    let known: Vec<&str> = settings(&command).iter().map(layers::Setting::id).collect();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        assert!(known.contains(&id) || ["config", "print_config"].contains(&id), "{id}");
        assert!(arg.get_help().is_some_and(|help| help.to_string().len() > 5), "{id}");
        assert!(arg.is_positional() || arg.get_help_heading().is_some(), "{id}");
        assert!(arg.get_long().is_none_or(|long| long.replace('-', "_") == id), "{id}");
    }
    assert_eq!(known.len(), command.get_arguments().count() - 2);
}
