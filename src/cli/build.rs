//! Makes the valid [`Config`] of what was typed: what belongs together, and what a path means.
//!
//! Pure: no file is looked at. A PATH may be absent today and a mount tomorrow, so paths are compared as text;
//! a `..` takes away the name before it, and symbolic links are not followed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::args::{RunArgs, UncheckedUrl};
use super::layers::{FLAG, Origins, variable};
use super::{Surroundings, UsageError};
use crate::config::{
    Budget, Config, EventsTarget, Limits, Listen, LogSettings, Mode, Pattern, Protocol, QueueSettings,
    RedisSettings, SECRET_KEYS, ServerUrl, SinkSettings,
};
use crate::rules::{FileRules, JUNK};

/// AMQP's names are short strings.
const LONGEST_AMQP_NAME: usize = 255;

/// The configuration, and what is odd about it.
pub(super) fn config(
    args: &RunArgs,
    origins: &Origins,
    around: &Surroundings,
) -> Result<(Config, Vec<String>), UsageError> {
    let builder = Builder { args, origins, around };
    builder.refuse_what_has_no_effect()?;
    let config = builder.config()?;
    builder.refuse_watching_itself(&config)?;
    let warnings = builder.warnings(&config);
    Ok((config, warnings))
}

/// The configuration that `doctor` examines: one that would watch itself is a finding, not a mistake.
pub(super) fn config_of_doctor(
    args: &RunArgs,
    origins: &Origins,
    around: &Surroundings,
) -> Result<Config, UsageError> {
    let builder = Builder { args, origins, around };
    builder.refuse_what_has_no_effect()?;
    builder.config()
}

/// The state directory: the given one, systemd's, or the user's.
pub(super) fn state_directory(given: Option<&Path>, around: &Surroundings) -> Result<PathBuf, UsageError> {
    match given {
        Some(path) => absolute(path, "--state", around),
        None => usual_state_directory(around).ok_or(UsageError::NoState),
    }
}

fn usual_state_directory(around: &Surroundings) -> Option<PathBuf> {
    let directory = |name: &str| {
        // systemd gives several separated by colons if the unit names several.
        let first = around.vars.get(OsStr::new(name))?.as_bytes().split(|byte| *byte == b':').next()?;
        Some(PathBuf::from(OsStr::from_bytes(first))).filter(|path| path.is_absolute())
    };
    directory("STATE_DIRECTORY")
        .or_else(|| Some(directory("XDG_STATE_HOME")?.join("nfs-scout")))
        .or_else(|| Some(directory("HOME")?.join(".local/state/nfs-scout")))
}

struct Builder<'a> {
    args: &'a RunArgs,
    origins: &'a Origins,
    around: &'a Surroundings,
}

impl Builder<'_> {
    fn config(&self) -> Result<Config, UsageError> {
        let args = self.args;
        let mode = if args.once { Mode::Once } else { Mode::Agent };
        Ok(Config {
            roots: self.roots()?,
            mode,
            interval: args.interval.0,
            budget: self.budget()?,
            refresh: args.refresh,
            sinks: self.sinks()?,
            settle: args.settle.0,
            give_up: args.give_up.0,
            audit: args.audit.0,
            audit_stat: self.audit_stat()?,
            baseline: args.baseline,
            moved: args.moved,
            rules: self.rules()?,
            redact: self.redact(),
            state: self.state()?,
            outbox_max: args.outbox_max.0,
            history: args.history.0,
            one_file_system: self.one_file_system()?,
            accept_mount: args.accept_mount,
            strict: args.strict,
            workers: whole(args.workers),
            max_open_dirs: args.max_open_dirs.0,
            limits: limits(args),
            drain: args.drain.0,
            patience: args.patience.0,
            record: self.args.record.as_ref().map(|path| self.absolute(path, "record")).transpose()?,
            listen: self.listen()?,
            textfile: self.textfile()?,
            commit_delay: args.commit_delay.0,
            log: self.log()?,
        })
    }

    fn roots(&self) -> Result<Vec<PathBuf>, UsageError> {
        let mut roots: Vec<PathBuf> = Vec::new();
        for path in &self.args.paths {
            if path.as_os_str().as_bytes().windows(3).any(|three| three == b"://") {
                return Err(UsageError::PathIsUrl);
            }
            let root = self.absolute(path, "paths")?;
            roots.iter().try_for_each(|other| apart(other, &root))?;
            roots.push(root);
        }
        if roots.is_empty() { Err(UsageError::NoPath) } else { Ok(roots) }
    }

    fn budget(&self) -> Result<Budget, UsageError> {
        match self.args.budget {
            Budget::PerRun(_) if !self.args.once => Err(self.value(
                "budget",
                "a number alone is what one run may cost; write it as a rate, like 500/s, or add --once",
            )),
            budget => Ok(budget),
        }
    }

    fn sinks(&self) -> Result<SinkSettings, UsageError> {
        let (redis, amqp) = (self.redis()?, self.amqp()?);
        let events = match &self.args.events {
            Some(path) if path.as_os_str() == "-" => Some(EventsTarget::Stdout),
            Some(path) => Some(EventsTarget::File(self.absolute(path, "events")?)),
            None => (redis.is_none() && amqp.is_none()).then_some(EventsTarget::Stdout),
        };
        Ok(SinkSettings { events, redis, amqp })
    }

    fn redis(&self) -> Result<Option<RedisSettings>, UsageError> {
        let Some(url) = &self.args.redis else { return Ok(None) };
        let url = self.url("redis", url, Protocol::Redis)?;
        let prefix = self.plain_text("redis-prefix", &self.args.redis_prefix)?;
        let ca = self.certificates("redis-ca", self.args.redis_ca.as_deref(), &url)?;
        Ok(Some(RedisSettings { url, prefix, ca }))
    }

    fn amqp(&self) -> Result<Option<QueueSettings>, UsageError> {
        let Some(url) = &self.args.amqp else { return Ok(None) };
        let url = self.url("amqp", url, Protocol::Amqp)?;
        let queue = self.plain_text("amqp-queue", &self.args.amqp_queue)?;
        let broadcast = self.args.broadcast.as_deref();
        let broadcast = broadcast.map(|exchange| self.plain_text("broadcast", exchange)).transpose()?;
        let ca = self.certificates("amqp-ca", self.args.amqp_ca.as_deref(), &url)?;
        Ok(Some(QueueSettings { url, queue, body: self.args.amqp_body, ca, broadcast }))
    }

    fn url(&self, key: &str, text: &UncheckedUrl, protocol: Protocol) -> Result<ServerUrl, UsageError> {
        let fail = |source| UsageError::Url { place: self.origins.name(key), source };
        ServerUrl::parse(&text.0, protocol).map_err(fail)
    }

    /// A name on a server: not empty, no control characters, short enough for AMQP.
    fn plain_text(&self, key: &str, text: &str) -> Result<String, UsageError> {
        let reason = match text {
            "" => "it is empty",
            _ if text.chars().any(char::is_control) => "it has a control character",
            _ if text.len() > LONGEST_AMQP_NAME => "it is longer than 255 bytes",
            _ => return Ok(text.to_owned()),
        };
        Err(self.value(key, reason))
    }

    fn certificates(
        &self,
        key: &str,
        path: Option<&Path>,
        url: &ServerUrl,
    ) -> Result<Option<PathBuf>, UsageError> {
        match path {
            Some(_) if !url.is_tls() => {
                Err(self.value(key, "the URL is not one with TLS (rediss: or amqps:)"))
            }
            Some(path) => self.absolute(path, key).map(Some),
            None => Ok(None),
        }
    }

    fn listen(&self) -> Result<Option<Listen>, UsageError> {
        if self.args.once && self.origins.of("listen").rank() == FLAG {
            return Err(self.contradiction(
                "listen",
                "once",
                "a one-shot run is over before anybody asks; see --textfile",
            ));
        }
        Ok(self.args.listen.clone().filter(|_| !self.args.once))
    }

    fn textfile(&self) -> Result<Option<PathBuf>, UsageError> {
        if !self.args.once && self.args.textfile.is_some() && self.origins.of("textfile").rank() == FLAG {
            let option = self.origins.name("textfile");
            return Err(UsageError::NoEffect { option, needed: "--once; an agent is asked by --listen" });
        }
        let path = self.args.textfile.as_ref().filter(|_| self.args.once);
        path.map(|path| self.absolute(path, "textfile")).transpose()
    }

    fn audit_stat(&self) -> Result<bool, UsageError> {
        if self.args.audit_stat && self.args.audit.0.is_none() {
            return Err(self.contradiction("audit-stat", "audit", "there is no audit to look at files in"));
        }
        Ok(self.args.audit_stat)
    }

    fn rules(&self) -> Result<FileRules, UsageError> {
        let args = self.args;
        for (key, patterns) in [("include", &args.include), ("archive", &args.archive)] {
            if patterns.iter().any(|pattern| pattern.as_str().ends_with('/')) {
                return Err(self.value(key, "a pattern that ends in `/` is about directories, this option about files; write 'scratch/**'"));
            }
        }
        let junk: &[&str] = if args.no_default_excludes { &[] } else { &JUNK };
        let exclude = junk.iter().copied().chain(args.exclude.iter().map(Pattern::as_str));
        FileRules::new(texts(&args.include), exclude, texts(&args.archive))
            .map_err(|_| self.value("exclude", "these patterns are too many or too large"))
    }

    fn redact(&self) -> Vec<String> {
        SECRET_KEYS.into_iter().chain(texts(&self.args.redact)).map(str::to_owned).collect()
    }

    fn state(&self) -> Result<PathBuf, UsageError> {
        match &self.args.state {
            Some(path) => self.absolute(path, "state"),
            None => state_directory(None, self.around),
        }
    }

    /// Of the two spellings the one from the stronger place wins; in one place, the one that is not the default.
    fn one_file_system(&self) -> Result<bool, UsageError> {
        let rank = |key| self.origins.of(key).rank();
        let (one, cross) = (rank("one-file-system"), rank("cross-file-systems"));
        match (self.args.one_file_system, self.args.cross_file_systems) {
            (true, true) if one == FLAG && cross == FLAG => Err(self.contradiction(
                "one-file-system",
                "cross-file-systems",
                "each says the opposite of the other",
            )),
            (true, true) => Ok(one > cross),
            (one, cross) => Ok(one && !cross),
        }
    }

    /// Of `-q`, `-v` and `--log` the one from the strongest place wins; in one place, the first of them.
    fn log(&self) -> Result<LogSettings, UsageError> {
        let args = self.args;
        let rank = |key| self.origins.of(key).rank();
        let verbose = if args.verbose == 1 { "debug" } else { "trace" };
        let ways = [("quiet", args.quiet, "warn"), ("verbose", args.verbose > 0, verbose)];
        let mut said: Vec<_> =
            ways.into_iter().filter(|(_, on, _)| *on).map(|(key, _, filter)| (key, filter)).collect();
        said.push(("log", &args.log.0));
        said.sort_by_key(|(key, _)| std::cmp::Reverse(rank(key)));
        match said.as_slice() {
            [(first, _), (second, _), ..] if rank(second) == FLAG => {
                Err(self.contradiction(first, second, "both say how much to log"))
            }
            [(key, filter), ..] => Ok(LogSettings {
                filter: (*filter).to_owned(),
                format: args.log_format,
                quiet: *key == "quiet",
            }),
            [] => unreachable!("`log` is always said"),
        }
    }

    /// A flag that does nothing is a mistake; a variable or key may serve several machines.
    fn refuse_what_has_no_effect(&self) -> Result<(), UsageError> {
        let (redis, amqp) = (self.args.redis.is_some(), self.args.amqp.is_some());
        let of_redis = ["redis-prefix", "redis-ca"].map(|key| (key, redis, "--redis"));
        let of_amqp = ["amqp-queue", "amqp-body", "amqp-ca", "broadcast"].map(|key| (key, amqp, "--amqp"));
        for (key, effective, needed) in of_redis.into_iter().chain(of_amqp) {
            if !effective && self.origins.of(key).rank() == FLAG {
                return Err(UsageError::NoEffect { option: self.origins.name(key), needed });
            }
        }
        Ok(())
    }

    fn refuse_watching_itself(&self, config: &Config) -> Result<(), UsageError> {
        let events = match &config.sinks.events {
            Some(EventsTarget::File(path)) => Some(("events", path)),
            _ => None,
        };
        let record = config.record.as_ref().map(|path| ("record", path));
        let textfile = config.textfile.as_ref().map(|path| ("textfile", path));
        for (key, path) in events.into_iter().chain(record).chain(textfile).chain([("state", &config.state)])
        {
            if let Some(root) = config.roots.iter().find(|root| path.starts_with(root)) {
                let (place, path, root) = (self.origins.name(key), path.clone(), root.clone());
                return Err(UsageError::WatchesItself { place, path, root });
            }
        }
        Ok(())
    }

    fn warnings(&self, config: &Config) -> Vec<String> {
        let redis = config.sinks.redis.as_ref().map(|redis| ("redis", &redis.url));
        let amqp = config.sinks.amqp.as_ref().map(|amqp| ("amqp", &amqp.url));
        let open = config.listen.as_ref().filter(|listen| !listen.is_local()).map(|listen| {
            format!(
                "Whoever reaches {}:{} can read the names of files there; there is no password.",
                listen.host, listen.port
            )
        });
        let exposed = redis.into_iter().chain(amqp);
        exposed
            .filter(|(key, url)| url.has_password() && self.origins.of(key).rank() == FLAG)
            .map(|(key, _)| {
                let variable = variable(key);
                format!("The password in --{key} can be seen in the list of processes; put the URL in {variable} or in the configuration file.")
            })
            .chain(open)
            .collect()
    }

    fn absolute(&self, path: &Path, key: &str) -> Result<PathBuf, UsageError> {
        absolute(path, &self.origins.name(key), self.around)
    }

    fn value(&self, key: &str, reason: &str) -> UsageError {
        UsageError::Value { place: self.origins.name(key), reason: reason.to_owned() }
    }

    fn contradiction(&self, first: &str, second: &str, reason: &'static str) -> UsageError {
        UsageError::Contradiction {
            first: self.origins.name(first),
            second: self.origins.name(second),
            reason,
        }
    }
}

fn texts(patterns: &[Pattern]) -> impl Iterator<Item = &str> {
    patterns.iter().map(Pattern::as_str)
}

/// An agent has no runs to count in.
fn limits(args: &RunArgs) -> Limits {
    Limits {
        max_unpacked: args.max_unpacked.0,
        max_members: args.max_members,
        max_jobdata: args.max_jobdata.0,
    }
}

/// The parser has bounded it far below what overflows anywhere.
fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Refuses two roots of which one holds the other.
fn apart(a: &Path, b: &Path) -> Result<(), UsageError> {
    let (outer, inner) = match (a.starts_with(b), b.starts_with(a)) {
        (true, true) => return Err(UsageError::SamePath(a.to_owned())),
        (true, false) => (b, a),
        (false, true) => (a, b),
        (false, false) => return Ok(()),
    };
    Err(UsageError::NestedPaths { outer: outer.to_owned(), inner: inner.to_owned() })
}

/// The path from `/` on, without `.`, `..` and trailing slashes.
pub(super) fn absolute(path: &Path, place: &str, around: &Surroundings) -> Result<PathBuf, UsageError> {
    let bad = |reason: &str| UsageError::Value { place: place.to_owned(), reason: reason.to_owned() };
    match path.as_os_str().as_bytes() {
        b"" => return Err(bad("the path is empty")),
        bytes if bytes.contains(&0) => return Err(bad("the path has a NUL character")),
        _ => {}
    }
    let base = around.directory.as_deref().filter(|_| path.is_relative());
    if path.is_relative() && base.is_none() {
        return Err(UsageError::NoDirectory(path.to_owned()));
    }
    let mut absolute = PathBuf::from("/");
    for component in base.unwrap_or(Path::new("/")).join(path).components() {
        match component {
            Component::ParentDir => drop(absolute.pop()),
            Component::Normal(name) => absolute.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(absolute)
}
