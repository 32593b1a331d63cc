//! The configuration file and the environment, laid under the command line.
//!
//! Both are turned into the texts that a flag would have had, checked by the flag's own parser, and given to it as its
//! default. So there is one parser, one list of names and no merging by hand: an option added to `args` has its key and
//! its variable at once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Surroundings, UsageError};
use crate::config::mask_secrets;

/// What every variable begins with.
const PREFIX: &str = "NFS_SCOUT_";

/// The rank of the command line, the highest.
pub(super) const FLAG: u8 = 3;

/// Where a value comes from; the later beats the earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody said anything.
    Default,
    /// This configuration file.
    File(PathBuf),
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl Origin {
    /// How messages call the option `key` that was set here: as the user wrote it.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Self::Default | Self::Flag if key == "paths" => "PATH".to_owned(),
            Self::Default | Self::Flag => format!("--{key}"),
            Self::Environment => variable(key),
            Self::File(path) => format!("`{key}` in {}", quoted(path)),
        }
    }

    /// How strong it is, whichever file it is.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Environment => 2,
            Self::Flag => FLAG,
        }
    }
}

/// A path in quotes, escaped so that it cannot forge a line.
#[expect(clippy::unnecessary_debug_formatting, reason = "escaping is what it is for")]
pub(super) fn quoted(path: &Path) -> String {
    format!("{path:?}")
}

/// The variable of an option: `NFS_SCOUT_COMMIT_DELAY` for `commit-delay`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('-', "_").to_ascii_uppercase())
}

/// An option of `run`, seen from file and environment.
pub(super) struct Setting<'a> {
    /// Its name there, without dashes in front.
    pub(super) key: &'a str,
    /// How many values it takes.
    pub(super) shape: Shape,
    arg: &'a Arg,
}

impl<'a> Setting<'a> {
    /// The argument parser's name of it.
    pub(super) fn id(&self) -> &'a str {
        self.arg.get_id().as_str()
    }

    /// Its group in the help.
    pub(super) fn heading(&self) -> Option<&'a str> {
        self.arg.get_help_heading()
    }

    /// Whether it is a plain number, which TOML writes without quotes.
    pub(super) fn is_number(&self) -> bool {
        self.arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "N"))
    }
}

/// How many values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// None: it is on or off.
    Switch,
    /// None: it counts how often it is given.
    Count,
    /// One.
    One,
    /// Any number.
    List,
}

/// The options that have a key and a variable: all but those that name the file or ask for it.
pub(super) fn settings(run: &Command) -> Vec<Setting<'_>> {
    let elsewhere = ["config", "print_config", "help", "version"];
    run.get_arguments().filter(|arg| !elsewhere.contains(&arg.get_id().as_str())).map(setting).collect()
}

fn setting(arg: &Arg) -> Setting<'_> {
    let shape = match arg.get_action() {
        ArgAction::SetTrue => Shape::Switch,
        ArgAction::Count => Shape::Count,
        ArgAction::Append => Shape::List,
        _ => Shape::One,
    };
    Setting { key: arg.get_long().unwrap_or(arg.get_id().as_str()), shape, arg }
}

/// What file and environment say, the stronger of the two for each option.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<String, (Vec<OsString>, Origin)>,
    /// Variables that look as if they were meant for us.
    pub(super) warnings: Vec<String>,
}

impl Layers {
    /// Reads the file named by `flag`, the variable or the system, then the environment.
    pub(super) fn read(
        run: &Command,
        around: &Surroundings,
        flag: Option<PathBuf>,
    ) -> Result<Self, UsageError> {
        let settings = settings(run);
        let mut layers = Self::default();
        if let Some((path, table)) = file(around, flag)? {
            layers.add_file(run, &settings, &path, &table)?;
        }
        layers.add_environment(run, &settings, around)?;
        layers.warnings = strangers(&settings, around);
        Ok(layers)
    }

    fn add_file(
        &mut self,
        run: &Command,
        settings: &[Setting<'_>],
        path: &Path,
        table: &toml::Table,
    ) -> Result<(), UsageError> {
        let origin = Origin::File(path.to_owned());
        for (key, value) in table {
            let Some(setting) = settings.iter().find(|setting| setting.key == key) else {
                let nearest = nearest(key, settings.iter().map(|setting| setting.key)).map(str::to_owned);
                return Err(UsageError::UnknownKey {
                    key: mask_secrets(key),
                    path: path.to_owned(),
                    nearest,
                });
            };
            self.add(run, setting, texts_of_toml(value, setting.shape), origin.clone())?;
        }
        Ok(())
    }

    fn add_environment(
        &mut self,
        run: &Command,
        settings: &[Setting<'_>],
        around: &Surroundings,
    ) -> Result<(), UsageError> {
        for setting in settings {
            let value = around.vars.get(OsStr::new(&variable(setting.key)));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.add(run, setting, texts_of_variable(value, setting.shape), Origin::Environment)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        run: &Command,
        setting: &Setting<'_>,
        texts: Result<Vec<OsString>, String>,
        origin: Origin,
    ) -> Result<(), UsageError> {
        let checked = texts.and_then(|texts| check(run, setting, &texts).map(|()| texts));
        let place = || origin.name(setting.key);
        let texts =
            checked.map_err(|reason| UsageError::Value { place: place(), reason: mask_secrets(&reason) })?;
        self.values.insert(setting.key.to_owned(), (texts, origin));
        Ok(())
    }

    /// `run` with these values as its defaults.
    pub(super) fn apply(&self, run: Command) -> Command {
        let ids: Vec<_> = settings(&run)
            .iter()
            .filter_map(|setting| {
                Some((setting.arg.get_id().clone(), self.values.get(setting.key)?.0.clone()))
            })
            .collect();
        ids.into_iter().fold(run, |run, (id, texts)| run.mut_arg(id, |arg| arg.default_values(texts)))
    }

    /// Where each option of a parsed command line comes from.
    pub(super) fn origins(&self, matches: &ArgMatches) -> Origins {
        let layered = self.values.iter().map(|(key, (_, origin))| (key.clone(), origin.clone()));
        let typed = matches
            .ids()
            .filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine))
            .map(|id| (id.as_str().replace('_', "-"), Origin::Flag));
        Origins(layered.chain(typed).collect())
    }

    /// The state directory, if it is named here.
    pub(super) fn state(&self) -> Option<PathBuf> {
        self.values.get("state").and_then(|(texts, _)| texts.first()).map(PathBuf::from)
    }
}

/// Where each option comes from.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(super) fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// How the user wrote the option `key`.
    pub(super) fn name(&self, key: &str) -> String {
        self.of(key).name(key)
    }
}

/// The configuration file: the one that is named, which must exist, or the system's, if it exists.
fn file(around: &Surroundings, flag: Option<PathBuf>) -> Result<Option<(PathBuf, toml::Table)>, UsageError> {
    let named = flag.or_else(|| {
        let value = around.vars.get(OsStr::new(&variable("config")))?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    });
    let must_exist = named.is_some();
    let path = named.unwrap_or_else(|| around.system_config.clone());
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(source) => Err(UsageError::ReadFile { path, source }),
    }
}

/// The parser's own message would show the line, which may hold a password.
fn parse(path: PathBuf, text: &str) -> Result<(PathBuf, toml::Table), UsageError> {
    match text.parse() {
        Ok(table) => Ok((path, table)),
        Err(error) => Err(not_toml(path, text, &error)),
    }
}

fn not_toml(path: PathBuf, text: &str, error: &toml::de::Error) -> UsageError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    UsageError::NotToml {
        path,
        line: before.matches('\n').count() + 1,
        message: mask_secrets(error.message()),
    }
}

/// The texts that a flag would have had.
fn texts_of_toml(value: &toml::Value, shape: Shape) -> Result<Vec<OsString>, String> {
    match (value, shape) {
        (toml::Value::Array(items), Shape::List) => items.iter().map(text_of_toml).collect(),
        (toml::Value::Array(_), _) => Err("it takes one value, not a list".to_owned()),
        (value, Shape::Switch) => text_of_toml(value).and_then(|text| switch(&text)),
        (value, _) => text_of_toml(value).map(|text| vec![text]),
    }
}

fn text_of_toml(value: &toml::Value) -> Result<OsString, String> {
    match value {
        toml::Value::String(text) => Ok(text.into()),
        toml::Value::Integer(number) => Ok(number.to_string().into()),
        toml::Value::Float(number) => Ok(number.to_string().into()),
        toml::Value::Boolean(on) => Ok(on.to_string().into()),
        other => Err(format!("write a text in quotes instead of a {}", other.type_str())),
    }
}

fn texts_of_variable(value: &OsStr, shape: Shape) -> Result<Vec<OsString>, String> {
    match shape {
        Shape::Switch => switch(value),
        Shape::List => {
            let parts = value.as_bytes().split(|byte| *byte == b':').filter(|part| !part.is_empty());
            Ok(parts.map(|part| OsString::from_vec(part.to_vec())).collect())
        }
        Shape::Count | Shape::One => Ok(vec![value.to_owned()]),
    }
}

fn switch(value: &OsStr) -> Result<Vec<OsString>, String> {
    match value.to_ascii_lowercase().to_str() {
        Some("true" | "yes" | "on" | "1") => Ok(vec!["true".into()]),
        Some("false" | "no" | "off" | "0") => Ok(vec!["false".into()]),
        _ => Err("write true or false".to_owned()),
    }
}

/// Lets the flag's own parser read the texts.
fn check(run: &Command, setting: &Setting<'_>, texts: &[OsString]) -> Result<(), String> {
    if setting.shape == Shape::Count {
        let count = texts.iter().map(|text| text.to_str().and_then(|text| text.parse::<u8>().ok()));
        return count.collect::<Option<Vec<_>>>().map(drop).ok_or_else(|| "write 0, 1 or 2".to_owned());
    }
    if setting.shape == Shape::Switch {
        return Ok(());
    }
    let arguments = texts.iter().map(|text| {
        let mut argument =
            OsString::from(setting.arg.get_long().map(|long| format!("--{long}=")).unwrap_or_default());
        argument.push(text);
        argument
    });
    let end_of_flags = setting.arg.is_positional().then(|| OsString::from("--"));
    let alone = run.clone().no_binary_name(true);
    let parsed = alone.try_get_matches_from(end_of_flags.into_iter().chain(arguments));
    parsed.map(drop).map_err(|error| reason(&error))
}

/// What is wrong with the value, without the flag's name and the usage around it.
fn reason(error: &clap::Error) -> String {
    let allowed = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(allowed)) if !allowed.is_empty() => Some(allowed.join(", ")),
        _ => None,
    };
    match (error.kind(), std::error::Error::source(error), allowed) {
        (_, _, Some(allowed)) => format!("write one of {allowed}"),
        (ErrorKind::ValueValidation, Some(source), _) => source.to_string(),
        (ErrorKind::InvalidUtf8, ..) => "it is not UTF-8".to_owned(),
        _ => "a value is missing".to_owned(),
    }
}

/// Variables with our prefix that are no option's. Container platforms make such, so they are no error.
fn strangers(settings: &[Setting<'_>], around: &Surroundings) -> Vec<String> {
    let known: Vec<&str> = settings.iter().map(|setting| setting.key).chain(["config"]).collect();
    let names = around.vars.keys().filter_map(|name| name.to_str());
    let ours = names.filter_map(|name| name.strip_prefix(PREFIX));
    ours.filter(|rest| !known.iter().any(|key| variable(key) == format!("{PREFIX}{rest}")))
        .map(|rest| stranger(rest, &known))
        .collect()
}

fn stranger(rest: &str, known: &[&str]) -> String {
    let hint = nearest(rest, known.iter().copied()).map(|key| format!("; did you mean {}?", variable(key)));
    format!("The variable {PREFIX}{rest} is no option and is ignored{}", hint.as_deref().unwrap_or("."))
}

/// The most similar of the known names, if any is similar at all.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let likeness = |known: &str| strsim::jaro_winkler(&name, known);
    let best = known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.filter(|best| likeness(best) > 0.7)
}
