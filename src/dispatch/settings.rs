//! What each sink needs to know, already valid in shape; built by the configuration.
//!
//! `Debug` never shows a password: these structs end up in logs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lapin::types::ShortString;
use lapin::uri::AMQPUri;

use crate::dispatch::{Body, masked_url, scrub};

/// The sinks of a run; none of them set is allowed and means that nothing is sent.
#[derive(Debug, Clone, Default)]
pub struct Sinks {
    /// JSON lines.
    pub events: Option<EventsTarget>,
    /// Statistics.
    pub redis: Option<RedisSettings>,
    /// The work queue.
    pub amqp: Option<QueueSettings>,
}

impl Sinks {
    /// Tells a mistake that no waiting will mend.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.redis.as_ref().map_or(Ok(()), RedisSettings::validate)?;
        self.amqp.as_ref().map_or(Ok(()), QueueSettings::validate)
    }
}

/// Whether the agent stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Runs until it is stopped: `event_rate` is refreshed every second.
    Agent,
    /// Ends when the work is done: `event_rate` is refreshed once after it.
    Once,
}

/// Where `--events` goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsTarget {
    /// Standard output, in the words of `inotifywait -m`.
    Inotifywait,
    /// Standard output.
    Stdout,
    /// A file, appended to, made if missing.
    File(PathBuf),
}

/// How to reach Redis and where to write in it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` or `redis+unix://`, with user and password if any.
    pub url: String,
    /// What every key begins with.
    pub prefix: String,
    /// Certificate authorities in PEM, trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for a connection or an answer.
    pub timeout: Duration,
}

impl RedisSettings {
    /// The defaults for `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "T4TC_MONITOR/".to_owned(),
            ca_file: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// Tells a mistake that no waiting will mend.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |reason: String| SettingsError::url("redis", &self.url, &reason);
        redis::Client::open(self.url.as_str()).map_err(|error| wrong(error.to_string()))?;
        match &self.ca_file {
            Some(_) if !self.url.starts_with("rediss://") => {
                Err(wrong("a CA file needs a rediss:// URL".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("url", &masked_url(&self.url))
            .field("prefix", &self.prefix)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// How many messages wait for their confirm at most, unless told otherwise; as a rule it is fewer, see `window.rs`.
const CONFIRM_WINDOW: usize = 32;

/// How to reach RabbitMQ and what to send there.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// `amqp://` or `amqps://`, with user, password and virtual host if any.
    pub url: String,
    /// The queue, also the routing key on the default exchange.
    pub queue: String,
    /// What a message holds.
    pub body: Body,
    /// A fanout exchange that gets a copy of every message, for live displays.
    pub broadcast: Option<String>,
    /// Certificate authorities in PEM, trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How many messages may wait for their confirm; at least 1.
    pub confirm_window: usize,
    /// How long to wait for a connection, a publish or a confirm.
    pub timeout: Duration,
}

impl QueueSettings {
    /// The defaults for `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            queue: "t4tc_monitor".to_owned(),
            body: Body::Json,
            broadcast: None,
            ca_file: None,
            confirm_window: CONFIRM_WINDOW,
            timeout: Duration::from_secs(10),
        }
    }

    /// Tells a mistake that no waiting will mend.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.uri()?;
        for name in [Some(&self.queue), self.broadcast.as_ref()].into_iter().flatten() {
            if name.is_empty() || ShortString::try_new(name.as_str()).is_err() {
                return Err(SettingsError::Name(name.clone()));
            }
        }
        Ok(())
    }

    /// The parsed URL; an empty virtual host (`amqp://host/`) means the default one, `/`.
    pub(crate) fn uri(&self) -> Result<AMQPUri, SettingsError> {
        let mut uri: AMQPUri =
            self.url.parse().map_err(|reason: String| SettingsError::url("amqp", &self.url, &reason))?;
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        Ok(uri)
    }
}

impl fmt::Debug for QueueSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSettings")
            .field("url", &masked_url(&self.url))
            .field("queue", &self.queue)
            .field("body", &self.body)
            .field("broadcast", &self.broadcast)
            .field("ca_file", &self.ca_file)
            .field("confirm_window", &self.confirm_window)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// A setting that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A URL that cannot be used.
    #[error("cannot use the {sink} URL {url}: {reason}")]
    Url {
        /// Whose.
        sink: &'static str,
        /// The URL without its password.
        url: String,
        /// Why, without the password.
        reason: String,
    },
    /// The name of a queue or an exchange.
    #[error("a queue or exchange name has 1 to 255 bytes, not {}", .0.len())]
    Name(String),
}

impl SettingsError {
    fn url(sink: &'static str, url: &str, reason: &str) -> Self {
        Self::Url { sink, url: masked_url(url), reason: scrub(reason, url) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password() {
        let shown = format!(
            "{:?} {:?}",
            RedisSettings::new("redis://:hush@h"),
            QueueSettings::new("amqp://u:hush@h/v")
        );
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("amqp://u:***@h/v"), "{shown}");
    }

    #[track_caller]
    fn check_redis(url: &str, valid: bool) {
        let verdict = RedisSettings::new(url).validate();
        assert_eq!(verdict.is_ok(), valid, "{verdict:?}");
        assert!(!format!("{verdict:?}").contains("hush"), "{verdict:?}");
    }

    #[track_caller]
    fn check_amqp(url: &str, vhost: Option<&str>) {
        let settings = QueueSettings::new(url);
        assert_eq!(settings.uri().ok().map(|uri| uri.vhost).as_deref(), vhost, "{:?}", settings.validate());
        assert!(!format!("{:?}", settings.validate()).contains("hush"));
    }

    #[test]
    fn validates_urls() {
        check_redis("redis://:hush@localhost:6379/1", true);
        check_redis("rediss://localhost", true);
        check_redis("redis+unix:///run/redis.sock", true);
        check_redis("http://:hush@localhost", false);
        check_redis("localhost:6379", false);
        check_amqp("amqp://localhost", Some("/"));
        check_amqp("amqp://localhost/", Some("/"));
        check_amqp("amqps://u:hush@localhost:5671/farm", Some("farm"));
        check_amqp("amqp://u:hush@localhost:port/farm", None);
        check_amqp("redis://u:hush@localhost", None);
    }

    #[test]
    fn validates_names() {
        let long = QueueSettings { queue: "q".repeat(256), ..QueueSettings::new("amqp://h") };
        assert!(matches!(long.validate(), Err(SettingsError::Name(_))));
        let none = QueueSettings { broadcast: Some(String::new()), ..QueueSettings::new("amqp://h") };
        assert!(matches!(none.validate(), Err(SettingsError::Name(_))));
    }
}
