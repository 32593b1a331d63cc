//! Command line, environment and configuration file, one after the other, parted by lines of `---`: an argument a line,
//! a `NAME=value` a line, TOML. Passwords are planted in all three, and must not be seen in anything that is said.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;

use nfs_scout::cli::{Order, Surroundings, read};
use tempfile::NamedTempFile;

/// Files other than ours are not opened: a device would give bytes for ever.
const NOT_OURS: &str = "--config";

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a temporary file"));
}

pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let secret = super::secret_for(data);
    let mut parts = text.splitn(3, "\n---\n");
    let (typed, vars, file) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    if typed.lines().any(|argument| argument.starts_with(NOT_OURS)) || vars.contains("NFS_SCOUT_CONFIG=") {
        return;
    }
    let file = format!("redis = \"redis://ann:{secret}@localhost/0\"\n{file}");
    let system_config = FILE.with_borrow_mut(|config| write(config, file.as_bytes()));
    let around = Surroundings {
        args: arguments(typed, &secret),
        vars: variables(vars, &secret),
        directory: Some(PathBuf::from("/home/ann")),
        system_config,
    };
    let said = match read(&around) {
        Ok(Order::Print(text)) => {
            check_print(&text, &around);
            text
        }
        Ok(order) => format!("{order:?}"),
        Err(stop) => stop.to_string(),
    };
    assert!(!said.contains(&secret), "a password shows");
}

fn write(file: &mut NamedTempFile, text: &[u8]) -> PathBuf {
    let inner = file.as_file_mut();
    inner
        .set_len(0)
        .and_then(|()| inner.rewind())
        .and_then(|()| inner.write_all(text))
        .expect("a written file");
    file.path().to_path_buf()
}

/// What was typed, with a broker's password among it.
fn arguments(typed: &str, secret: &str) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["nfs-scout"].into_iter().chain(typed.lines()).map(OsString::from).collect();
    if typed.starts_with("run\n") {
        arguments.insert(2, OsString::from(format!("--amqp=amqp://ann:{secret}@localhost/%2f")));
    }
    arguments
}

fn variables(text: &str, secret: &str) -> BTreeMap<OsString, OsString> {
    let mut vars: BTreeMap<OsString, OsString> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), OsString::from(value)))
        .collect();
    vars.entry("NFS_SCOUT_AMQP".into()).or_insert_with(|| format!("amqp://ann:{secret}@mq").into());
    vars.entry("HOME".into()).or_insert_with(|| "/home/ann".into());
    vars
}

/// A printed configuration is one that can be used again, and then prints the same but for the origins.
fn check_print(text: &str, around: &Surroundings) {
    if !text.starts_with("# The options of") {
        return;
    }
    let table: toml::Table = text.parse().expect("a printed configuration is TOML");
    let system_config = FILE.with_borrow_mut(|config| write(config, text.as_bytes()));
    let args = ["nfs-scout", "run", "--print-config"].map(OsString::from).to_vec();
    let vars = BTreeMap::from([(OsString::from("HOME"), OsString::from("/home/ann"))]);
    let again = read(&Surroundings { args, vars, system_config, ..around.clone() });
    let Ok(Order::Print(again)) = again else { panic!("a printed configuration is not taken: {again:?}") };
    assert_eq!(again.parse::<toml::Table>().expect("TOML"), table);
}
