//! The values that are typed as text: durations, sizes, rates, patterns. Each parser says what to write instead.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::model::Timestamp;

use super::Budget::{Auto, PerRun, PerSecond};

/// The longest duration taken, ten years: far beyond any use, far below where adding it to a clock overflows.
const LONGEST: Duration = Duration::from_secs(3653 * 24 * 3600);

/// Why a text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A number without a unit.
    #[error("a duration needs a unit: write `{0}s` for seconds, or ms, m, h, d")]
    NoUnit(String),
    /// Not a duration at all.
    #[error("{0}; write for example 500ms, 30s, 5m, 1h 30m or 7d")]
    NotADuration(String),
    /// A duration below what makes sense here.
    #[error("the least is {}", humantime::format_duration(*.0))]
    TooShort(Duration),
    /// A duration beyond ten years.
    #[error("the most is ten years")]
    TooLong,
    /// Not a size.
    #[error("not a size; write for example 1GiB, 500MB, 64KiB or a number of bytes")]
    NotASize,
    /// A size that forbids everything.
    #[error("the least is one byte")]
    ZeroSize,
    /// Not a number, nor `auto`.
    #[error("write auto, or a whole number of at least 1")]
    NotANumber,
    /// Not a budget.
    #[error("write auto, a rate over 0 like 200/s, or with --once a number of RPCs like 500")]
    NotABudget,
    /// Not an address and port.
    #[error("write a port like 9477, or an address or name and a port like 192.0.2.1:9477 or [::1]:9477")]
    NotAnAddress,
    /// Not a glob.
    #[error("not a pattern: {0}; write for example '*.tgz' or 'scratch/**'")]
    NotAPattern(String),
    /// Not a log filter.
    #[error(
        "not a log filter: {0}; write off, error, warn, info, debug or trace, or pairs like nfs_scout=debug,lapin=off"
    )]
    NotAFilter(String),
    /// Neither a time nor a duration.
    #[error("`{0}` is no time: write 2026-11-22T10:00:00Z, or how long ago, like 2h or 7d")]
    NotATime(String),
}

/// A duration of at least `MIN_MS` milliseconds, written `30s`, `5m`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<const MIN_MS: u64>(pub Duration);

impl<const MIN_MS: u64> FromStr for Span<MIN_MS> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let least = Duration::from_millis(MIN_MS);
        match parse_duration(text)? {
            duration if duration < least => Err(ValueError::TooShort(least)),
            duration if duration > LONGEST => Err(ValueError::TooLong),
            duration => Ok(Self(duration)),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    if text != "0" && text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(ValueError::NoUnit(text.to_owned()));
    }
    humantime::parse_duration(text).map_err(|error| ValueError::NotADuration(error.to_string()))
}

impl<const MIN_MS: u64> fmt::Display for Span<MIN_MS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A point in time in the past: `2026-11-22T10:00:00Z`, or how long ago, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl Since {
    /// The time itself, given that it is `now`.
    #[must_use]
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now.minus(duration),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let time = text.trim().parse::<jiff::Timestamp>().ok();
        match time.map(|time| Timestamp::from_system(time.into())) {
            Some(time) => Ok(Self::At(time)),
            None => {
                parse_duration(text.trim()).map(Self::Ago).map_err(|_| ValueError::NotATime(text.to_owned()))
            }
        }
    }
}

/// How often something happens, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(pub Option<Duration>);

impl FromStr for Every {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.trim() {
            "off" => Ok(Self(None)),
            text => Span::<1000>::from_str(text).map(|span| Self(Some(span.0))),
        }
    }
}

/// A number of bytes, at least one: `1GiB`, `500MB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| ValueError::NotASize)?;
        let bytes = unit_bytes(unit.trim_start()).and_then(|unit| number.checked_mul(unit));
        match bytes.ok_or(ValueError::NotASize)? {
            0 => Err(ValueError::ZeroSize),
            bytes => Ok(Self(bytes)),
        }
    }
}

/// The bytes of a unit; `K`, `M`, `G` alone are refused, since people disagree on what they mean.
fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    })
}

/// How many RPCs watching may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Twice what the interval needs at least.
    Auto,
    /// This many a second in the mean.
    PerSecond(f64),
    /// This many in a one-shot run, beside what the interval needs.
    PerRun(u64),
}

impl FromStr for Budget {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let rate =
            |text: &str| text.trim_end().parse().ok().filter(|rate: &f64| rate.is_normal() && *rate > 0.0);
        match text.strip_suffix("/s") {
            _ if text == "auto" => Some(Auto),
            Some(text) => rate(text).map(PerSecond),
            None => text.parse().ok().filter(|number| *number > 0).map(PerRun),
        }
        .ok_or(ValueError::NotABudget)
    }
}

/// Where to listen: a port of this machine, or an address or name and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address or name, without brackets.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
}

impl Listen {
    /// Whether nobody else can reach it than those on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |host: &str| {
            !host.is_empty()
                && host.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_'))
        };
        let host = match bare {
            Some(host) => host.parse::<Ipv6Addr>().map(|_| host).map_err(|_| ValueError::NotAnAddress)?,
            None if is_name(host) => host,
            None => return Err(ValueError::NotAnAddress),
        };
        let port = port.parse().map_err(|_| ValueError::NotAnAddress)?;
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

/// A number of at least 1, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost(pub Option<usize>);

impl FromStr for AtMost {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.trim() {
            "auto" => Some(Self(None)),
            text => text.parse().ok().filter(|number| *number > 0).map(|number| Self(Some(number))),
        }
        .ok_or(ValueError::NotANumber)
    }
}

/// A glob that compiles; for names, or for paths if it holds a `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.trim_matches('/').is_empty() {
            return Err(ValueError::NotAPattern("it is empty".to_owned()));
        }
        match globset::Glob::new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(ValueError::NotAPattern(error.kind().to_string())),
        }
    }
}

/// What is logged: a level, or directives of `tracing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl FromStr for LogFilter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        // The filter's own parser panics on some of it (0.3.23: ` Σ=`); the names of modules are ASCII.
        if !text.is_ascii() {
            return Err(ValueError::NotAFilter("it is not ASCII".to_owned()));
        }
        // It also takes an unknown level (`inof`) for a module, silencing everything else.
        if let Some(word) = parts.iter().find(|part| !part.contains('=') && !is_level(part)) {
            return Err(ValueError::NotAFilter(format!("`{word}` is not a level")));
        }
        let text = parts.join(",");
        match tracing_subscriber::EnvFilter::builder().parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(ValueError::NotAFilter(error.to_string())),
        }
    }
}

fn is_level(word: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"].iter().any(|level| level.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check<T: FromStr<Err = ValueError> + PartialEq + fmt::Debug>(text: &str, expected: T) {
        assert_eq!(text.parse(), Ok(expected), "{text:?}");
    }

    #[track_caller]
    fn check_error<T: FromStr<Err = ValueError> + fmt::Debug>(text: &str, part: &str) {
        let error = text.parse::<T>().unwrap_err().to_string();
        assert!(error.contains(part), "{text:?} gave {error:?}, not {part:?}");
    }

    #[test]
    fn reads_where_to_listen() {
        let at = |host: &str, port| Listen { host: host.to_owned(), port };
        check("9477", at("127.0.0.1", 9477));
        check("[::1]:9477", at("::1", 9477));
        check("0.0.0.0:0", at("0.0.0.0", 0));
        check("Scout.example.org:80", at("scout.example.org", 80));
        for wrong in
            ["", ":9477", "host", "70000", "::1:9477", "[::1", "[x]:1", "http://a:1", "a b:1", "a:1:2"]
        {
            check_error::<Listen>(wrong, "write a port like 9477");
        }
        let is_local = |text: &str| text.parse::<Listen>().unwrap().is_local();
        for local in ["1", "127.9.9.9:1", "[::1]:1", "localhost:1"] {
            assert!(is_local(local), "{local}");
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "localhost.example.org:1"] {
            assert!(!is_local(open), "{open}");
        }
    }

    #[test]
    fn reads_durations() {
        check("30s", Span::<100>(Duration::from_secs(30)));
        check(" 1h 30m ", Span::<1>(Duration::from_secs(5400)));
        check("100ms", Span::<100>(Duration::from_millis(100)));
        check("0s", Span::<0>(Duration::ZERO));
        check("0", Span::<0>(Duration::ZERO));
        check_error::<Span<1>>("30", "write `30s`");
        check_error::<Span<1>>("1.5", "write `1.5s`");
        check_error::<Span<100>>("99ms", "the least is 100ms");
        check_error::<Span<1>>("0s", "the least is 1ms");
        check_error::<Span<1>>("20years", "ten years");
        check_error::<Span<1>>("soon", "write for example 500ms");
        check_error::<Span<1>>("", "write for example 500ms");
        check_error::<Span<1>>("-5s", "write for example 500ms");
        check_error::<Span<1>>("99999999999999999999s", "write for example 500ms");
    }

    #[test]
    fn reads_every() {
        check("off", Every(None));
        check("1h", Every(Some(Duration::from_secs(3600))));
        check_error::<Every>("0s", "the least is 1s");
        check_error::<Every>("never", "write for example");
    }

    #[test]
    fn reads_sizes() {
        check("1GiB", Size(1 << 30));
        check("500MB", Size(500_000_000));
        check("64 kib", Size(65_536));
        check("4096", Size(4096));
        check("7B", Size(7));
        check_error::<Size>("0", "one byte");
        check_error::<Size>("1G", "1GiB");
        check_error::<Size>("GiB", "not a size");
        check_error::<Size>("-1", "not a size");
        check_error::<Size>("99999999TiB", "not a size");
    }

    #[test]
    fn reads_budgets() {
        check("auto", Auto);
        check("200/s", PerSecond(200.0));
        check("0.5 /s", PerSecond(0.5));
        for bad in ["0", "0/s", "-1/s", "inf/s", "NaN/s", "", "/s", "fast", "1.5", "200/m"] {
            check_error::<Budget>(bad, "200/s");
        }
    }

    #[test]
    fn reads_patterns() {
        check("*.tgz", Pattern("*.tgz".to_owned()));
        check_error::<Pattern>("[a", "not a pattern");
        check_error::<Pattern>("", "empty");
        check_error::<Pattern>("/", "empty");
    }

    #[test]
    fn reads_log_filters() {
        check("info", LogFilter("info".to_owned()));
        check("nfs_scout=debug,lapin=off", LogFilter("nfs_scout=debug,lapin=off".to_owned()));
        check("WARN, lapin=debug", LogFilter("WARN,lapin=debug".to_owned()));
        check_error::<LogFilter>("inof", "`inof` is not a level");
        check_error::<LogFilter>("lapin=loud", "not a log filter");
        check_error::<LogFilter>("", "not a level");
        check_error::<LogFilter>(" Σ=", "not ASCII");
    }

    proptest! {
        #[test]
        fn duration_survives_its_text(seconds in 0..300_000_000_u64, milliseconds in 0..1000_u64) {
            let span = Span::<0>(Duration::from_millis(seconds * 1000 + milliseconds));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_breaks_a_parser(text in "\\PC*") {
            let _ = (text.parse::<Span<1>>(), text.parse::<Every>(), text.parse::<Size>());
            let _ = (text.parse::<Budget>(), text.parse::<Pattern>(), text.parse::<LogFilter>());
        }

        #[test]
        fn no_directive_breaks_the_filter(text in "[ -~]{0,9}[\\[{=]?[a-z=,\\[\\]{}/ ]{0,12}") {
            let _ = text.parse::<LogFilter>();
        }
    }
}
