//! `--print-config`: the merged options as a configuration file that can be used again, each with its origin.
//!
//! Paths are the absolute ones, passwords are masked; everything else is as it was written.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use toml::Value;

use super::layers::{Origin, Origins, Setting, Shape, quoted, settings, variable};
use super::{UsageError, run_command};
use crate::config::{Config, EventsTarget};

/// The whole file.
pub(super) fn config(matches: &ArgMatches, origins: &Origins, config: &Config) -> Result<String, UsageError> {
    let run = run_command();
    let mut text = "# The options of `nfs-scout run`, as merged; passwords are masked.\n".to_owned();
    let mut heading = "";
    for setting in settings(&run) {
        let group = setting.heading().unwrap_or(super::help::WATCH);
        if group != heading {
            heading = group;
            let _ = writeln!(text, "\n# {heading}");
        }
        let line = line(&setting, origins.of(setting.key), value(&setting, matches, origins, config)?);
        text.push_str(&line);
    }
    Ok(text)
}

fn line(setting: &Setting<'_>, origin: &Origin, value: Option<Value>) -> String {
    let key = setting.key;
    let origin = match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path) => format!("file {}", quoted(path)),
        Origin::Environment => format!("env {}", variable(key)),
        Origin::Flag => "flag".to_owned(),
    };
    match value {
        Some(value) => format!("{key} = {value} # {origin}\n"),
        None => format!("# {key} is not set\n"),
    }
}

fn value(
    setting: &Setting<'_>,
    matches: &ArgMatches,
    origins: &Origins,
    config: &Config,
) -> Result<Option<Value>, UsageError> {
    let redis = config.sinks.redis.as_ref();
    let amqp = config.sinks.amqp.as_ref();
    let path = |path: Option<&PathBuf>| path.map(|path| text_of(setting.key, path)).transpose();
    match setting.key {
        "paths" => {
            let roots: Result<Vec<Value>, _> =
                config.roots.iter().map(|root| text_of("paths", root)).collect();
            roots.map(|roots| Some(Value::Array(roots)))
        }
        "state" => path(Some(&config.state)),
        "textfile" if config.textfile.is_some() => path(config.textfile.as_ref()),
        "redis-ca" => path(redis.and_then(|redis| redis.ca.as_ref())),
        "amqp-ca" => path(amqp.and_then(|amqp| amqp.ca.as_ref())),
        "redis" => Ok(redis.map(|redis| redis.url.to_string().into())),
        "amqp" => Ok(amqp.map(|amqp| amqp.url.to_string().into())),
        "events" => match &config.sinks.events {
            Some(EventsTarget::File(file)) => path(Some(file)),
            Some(EventsTarget::Stdout | EventsTarget::Inotifywait) => Ok(Some("-".into())),
            None => Ok(None),
        },
        // Of several spellings of one thing, only the one that was followed: the file has but one rank for all.
        "one-file-system" => Ok(Some(config.one_file_system.into())),
        "cross-file-systems" => Ok(Some((!config.one_file_system).into())),
        "quiet" => Ok(Some(config.log.quiet.into())),
        "verbose" if config.log.quiet || origins.of("verbose").rank() < origins.of("log").rank() => {
            Ok(Some(0.into()))
        }
        _ => Ok(as_typed(setting, matches)),
    }
}

/// The value as it was written, in the type that a TOML file would have it in.
fn as_typed(setting: &Setting<'_>, matches: &ArgMatches) -> Option<Value> {
    let texts = || matches.get_raw(setting.id()).into_iter().flatten().map(|text| text.to_string_lossy());
    match setting.shape {
        Shape::Switch => Some(matches.get_flag(setting.id()).into()),
        Shape::Count => Some(i64::from(matches.get_count(setting.id())).into()),
        Shape::List => Some(texts().map(|text| Value::from(text.as_ref())).collect::<Vec<_>>().into()),
        Shape::One => texts().next().map(|text| scalar(&text, setting.is_number())),
    }
}

fn scalar(text: &str, is_number: bool) -> Value {
    match (text, text.parse::<i64>()) {
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Ok(number)) if is_number => number.into(),
        _ => text.into(),
    }
}

fn text_of(key: &str, path: &Path) -> Result<Value, UsageError> {
    path.to_str().map(Value::from).ok_or_else(|| UsageError::NotText(key.to_owned()))
}
