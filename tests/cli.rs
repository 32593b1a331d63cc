//! The command line as a user or a script meets it: the real program, its output and its exit codes.

use std::path::Path;

use assert_cmd::Command;

/// The program in an empty environment.
fn scout(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("nfs-scout").expect("a built program");
    command.env_clear().env("HOME", "/home/ann").args(arguments);
    command
}

#[track_caller]
fn stdout(mut command: Command) -> String {
    let output = command.assert().code(0).get_output().clone();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What standard error says, after exit code 2 and nothing on standard output.
#[track_caller]
fn usage_error(mut command: Command) -> String {
    let output = command.assert().code(2).stdout("").get_output().clone();
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[track_caller]
fn check_usage_error(arguments: &[&str], parts: &[&str]) {
    let error = usage_error(scout(arguments));
    for part in parts {
        assert!(error.contains(part), "{arguments:?} gave {error:?}, not {part:?}");
    }
    assert!(!error.contains("hunter2"), "a password in {error:?}");
}

fn file(directory: &Path, text: &str) -> String {
    let path = directory.join("site.toml");
    std::fs::write(&path, text).expect("a file that can be written");
    path.to_str().expect("UTF-8").to_owned()
}

/// The part of a printed configuration that is about `key`: value and origin.
#[track_caller]
fn printed(text: &str, key: &str) -> String {
    let start = format!("{key} = ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}

const SUBCOMMANDS: [&[&str]; 14] = [
    &[],
    &["run"],
    &["stats"],
    &["status"],
    &["index"],
    &["index", "stat"],
    &["index", "list"],
    &["index", "export"],
    &["index", "verify"],
    &["index", "forget"],
    &["index", "requeue"],
    &["explain"],
    &["completions"],
    &["man"],
];

#[test]
fn every_help_has_examples() {
    for subcommand in SUBCOMMANDS {
        for flag in ["-h", "--help"] {
            let help = stdout(scout(&[subcommand, &[flag]].concat()));
            assert!(help.contains("Usage: nfs-scout"), "{subcommand:?} {flag}: {help}");
            assert!(help.contains("EXAMPLES\n  nfs-scout"), "{subcommand:?} {flag}: {help}");
            let longest = help.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(110), "{subcommand:?} {flag} is {longest:?} wide");
        }
    }
}

#[test]
fn help_of_run_is_grouped_and_shows_defaults() {
    let short = stdout(scout(&["run", "-h"]));
    let long = stdout(scout(&["run", "--help"]));
    for part in [
        "What to watch:",
        "How often:",
        "What counts as a file:",
        "Where it goes:",
        "State and files:",
        "Limits:",
        "Logging:",
        "[default: 30s]",
        "[default: 1GiB]",
        "[default: t4tc_monitor]",
    ] {
        assert!(short.contains(part) && long.contains(part), "{part}");
    }
    assert!(short.lines().count() < 130 && short.lines().count() < long.lines().count());
    assert!(long.contains("/etc/nfs-scout/config.toml") && long.contains("NFS_SCOUT_COMMIT_DELAY"));
}

#[test]
fn flag_beats_environment_beats_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(
        directory.path(),
        "interval = \"3s\"\nsettle = \"3s\"\ninclude = [\"c\", \"d\"]\npaths = [\"/mnt/c\"]",
    );
    let mut command = scout(&["run", "--config", &file, "--print-config", "--interval", "1s"]);
    command.envs([
        ("NFS_SCOUT_INTERVAL", "2s"),
        ("NFS_SCOUT_SETTLE", "2s"),
        ("NFS_SCOUT_PATHS", "/mnt/a:/mnt/b/"),
    ]);
    let text = stdout(command);
    assert_eq!(printed(&text, "interval"), "\"1s\" # flag");
    assert_eq!(printed(&text, "settle"), "\"2s\" # env NFS_SCOUT_SETTLE");
    assert_eq!(printed(&text, "include"), format!("[\"c\", \"d\"] # file {file:?}"));
    assert_eq!(printed(&text, "paths"), "[\"/mnt/a\", \"/mnt/b\"] # env NFS_SCOUT_PATHS");
    assert_eq!(printed(&text, "give-up"), "\"1h\" # default");
}

/// Prints what `flags` and `vars` make, reads that as a file, prints again, and gives the first print.
#[track_caller]
fn check_round_trip(flags: &str, vars: &[(&str, &str)]) -> toml::Table {
    let arguments: Vec<&str> = flags.split_whitespace().chain(["--print-config"]).collect();
    let mut command = scout(&arguments);
    command.envs(vars.iter().copied());
    let first = stdout(command);
    assert!(!first.contains("hunter2"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = file(directory.path(), &first);
    let second = stdout(scout(&["run", "--print-config", "--config", &file]));
    let table = |text: &str| text.parse::<toml::Table>().expect("TOML");
    assert_eq!(table(&first), table(&second));
    table(&first)
}

#[test]
fn printed_configuration_is_a_configuration() {
    let table = check_round_trip(
        "run /mnt/a /mnt/b --once --interval 90s --budget 500/s --events /var/log/e.jsonl --redis rediss://ann:hunter2@h/1 \
         --redis-ca /ca.pem --amqp amqp://h:1/%2f --broadcast live --audit off --include *.tgz --include a'b\"c \
         --one-file-system false --exclude x/ --archive *.zip --max-unpacked 2GiB --workers 7 -vv --log-format json \
         --state /s --commit-delay 0s --redact K",
        &[],
    );
    assert_eq!(table["redis"].as_str(), Some("rediss://ann:***@h/1"));
    assert_eq!(table["workers"].as_integer(), Some(7));
    assert_eq!(table["verbose"].as_integer(), Some(2));
    assert_eq!(table["one-file-system"].as_bool(), Some(false));
    check_round_trip("run /m", &[]);
}

#[test]
fn printed_configuration_settles_two_spellings() {
    let one = |table: toml::Table| table["one-file-system"].as_bool();
    assert_eq!(one(check_round_trip("run /m --cross-file-systems", &[])), Some(false));
    let vars = [("NFS_SCOUT_CROSS_FILE_SYSTEMS", "1"), ("NFS_SCOUT_VERBOSE", "1")];
    let table = check_round_trip("run /m --one-file-system true --log error", &vars);
    assert_eq!((table["log"].as_str(), table["verbose"].as_integer()), (Some("error"), Some(0)));
    assert_eq!(one(table), Some(true));
    let table = check_round_trip("run /m -q", &vars);
    assert_eq!((table["quiet"].as_bool(), table["verbose"].as_integer()), (Some(true), Some(0)));
}

#[test]
fn bad_flags_are_usage_errors() {
    check_usage_error(&["run"], &["no directory to watch", "NFS_SCOUT_PATHS"]);
    check_usage_error(&["run", "/m", "--interval", "soon"], &["'soon' for '--interval", "30s"]);
    check_usage_error(&["run", "/m", "--interval", "30"], &["a duration needs a unit: write `30s`"]);
    check_usage_error(&["run", "/m", "--interval", "1ms"], &["the least is 100ms"]);
    check_usage_error(&["run", "/m", "--budget", "much"], &["200/s"]);
    check_usage_error(&["run", "/m", "--refresh", "never"], &["force, open, plain"]);
    check_usage_error(&["run", "/m", "--workers", "0"], &["1..=1024"]);
    check_usage_error(&["run", "/m", "--include", "[a"], &["not a pattern"]);
    check_usage_error(&["run", "/m", "--intervall", "3s"], &["--interval"]);
    check_usage_error(&["run", "/m", "--config", "/no/such.toml"], &["/no/such.toml", "No such file"]);
    check_usage_error(&["man", "walk"], &["no manual page for `walk`"]);
    check_usage_error(&["frobnicate"], &["frobnicate"]);
}

#[test]
fn wrong_urls_are_refused_without_their_password() {
    check_usage_error(
        &["run", "/m", "--redis", "http://ann:hunter2@host"],
        &["--redis", "scheme", "redis://user"],
    );
    check_usage_error(&["run", "/m", "--redis", "redis:/ann:hunter2@host"], &["--redis", "host is missing"]);
    check_usage_error(&["run", "/m", "--redis", "hunter2"], &["--redis", "scheme is missing"]);
    check_usage_error(&["run", "/m", "--amqp", "amqp://ann:hunter2@host:99999"], &["--amqp", "port"]);
    check_usage_error(&["run", "/m", "--amqp="], &["--amqp", "scheme is missing"]);
    // In the wrong place, where the argument parser repeats what it was given.
    check_usage_error(&["run", "/m", "--interval", "redis://ann:hunter2@host"], &["--interval"]);
    check_usage_error(&["run", "redis://ann:hunter2@host"], &["--redis"]);
    check_usage_error(&["redis://ann:hunter2@host"], &["unrecognized"]);
    check_usage_error(&["run", "/m", "--redsi=redis://ann:hunter2@host"], &["--redis"]);
    let mut command = scout(&["run", "/m"]);
    command.env("NFS_SCOUT_AMQP", "http://ann:hunter2@host");
    let error = usage_error(command);
    assert!(error.contains("NFS_SCOUT_AMQP") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_wrong_file_is_named_with_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let check = |text: &str, parts: &[&str]| {
        let file = file(directory.path(), text);
        check_usage_error(&["run", "/m", "--config", &file], &[&[file.as_str()], parts].concat());
    };
    check("intervall = \"3s\"", &["unknown key `intervall`", "did you mean `interval`?"]);
    check("commit_delay = \"3s\"", &["did you mean `commit-delay`?"]);
    check("interval = 30", &["`interval`", "write `30s`"]);
    check("interval = \"soon\"", &["`interval`", "500ms, 30s"]);
    check("refresh = \"never\"", &["`refresh`", "force, open, plain"]);
    check("redis = \"redis://ann:hunter2@\"", &["`redis`", "host is missing"]);
    check("paths = [\"/a\"]\nredis = \"redis://ann:hunter2@h", &["line 2"]);
    check("redis = \"redis:/ann:hunter2@h", &["line 1"]);
    check("redis = [\"redis://ann:hunter2@h\"]", &["`redis`", "not a list"]);
    check("interval = \"redis://ann:hunter2@h\"", &["`interval`"]);
    check("baseline = \"maybe\"", &["`baseline`", "true or false"]);
    check("verbose = \"very\"", &["`verbose`", "0, 1 or 2"]);
    check("[run]\ninterval = \"3s\"", &["unknown key `run`"]);
    check("include = [1979-05-27]", &["`include`", "datetime"]);
}

#[test]
fn warnings_go_to_the_log_on_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let run = ["run", "/nonexistent/mount", "--once", "--state", state.to_str().unwrap()];
    for (format, start) in [("json", "{\"timestamp\""), ("text", "20")] {
        let mut command = scout(&[&run[..], &["--log-format", format]].concat());
        let output = command.env("NFS_SCOUT_INTERVALL", "3s").output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        let first = log.lines().next().unwrap_or_default();
        assert!(first.starts_with(start) && first.contains("did you mean NFS_SCOUT_INTERVAL?"), "{log}");
        assert!(!log.contains('\x1b'), "colours in {log:?}");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn completions_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(scout(&["completions", shell])).contains("commit-delay"), "{shell}");
    }
    assert!(stdout(scout(&["man"])).contains(".TH nfs-scout 1"));
    let run = stdout(scout(&["man", "run"]));
    assert!(
        run.contains(".TH nfs-scout-run 1") && run.contains("commit\\-delay") && run.contains("EXAMPLES")
    );
    assert!(stdout(scout(&["man", "index", "stat"])).contains("nfs\\-scout\\-index\\-stat"));
}

#[test]
fn version_and_no_subcommand() {
    assert!(stdout(scout(&["--version"])).starts_with("nfs-scout "));
    assert!(usage_error(scout(&[])).contains("Usage: nfs-scout"));
}
