//! The URLs of Redis and `RabbitMQ`: checked at once, and never shown with their password.

use std::fmt;
use std::path::PathBuf;

use url::{Host, ParseError, Url};

/// What is spoken at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `redis:`, `rediss:` (TLS), `unix:` and `redis+unix:` (socket).
    Redis,
    /// `amqp:` and `amqps:` (TLS).
    Amqp,
}

impl Protocol {
    fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Redis => &["redis", "rediss", "redis+unix", "unix"],
            Self::Amqp => &["amqp", "amqps"],
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Redis => "redis://user:password@host:6379/0, rediss://host or unix:///run/redis.sock",
            Self::Amqp => "amqp://user:password@host:5672/%2f or amqps://host",
        }
    }
}

/// Why a text is not the URL of a server. Never holds any part of it, since any part may be the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; write for example {}", .protocol.example())]
pub struct UrlError {
    reason: &'static str,
    protocol: Protocol,
}

/// The URL of a server; its text forms (`Display`, `Debug`) have the password masked.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    url: Url,
}

impl ServerUrl {
    /// Checks scheme, host, port and path as the protocol wants them.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, UrlError> {
        let fail = |reason| UrlError { reason, protocol };
        let url = Url::parse(text.trim()).map_err(|error| fail(reason_of(error)))?;
        if !protocol.schemes().contains(&url.scheme()) {
            return Err(fail("the scheme is not one of this server's"));
        }
        let problem =
            if url.scheme().ends_with("unix") { socket_problem(&url) } else { host_problem(&url, protocol) };
        problem.map_or(Ok(Self { url }), |reason| Err(fail(reason)))
    }

    /// The whole URL, with its password: for the client library only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.as_str()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.url.scheme(), "rediss" | "amqps")
    }

    /// Whether the server is this machine, by its name: nothing then crosses a network.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self.url.host_str() {
            None | Some("" | "localhost") => true,
            Some(host) => {
                host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
            }
        }
    }

    /// Whether it carries a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.url.password().is_some() || self.url.query_pairs().any(|(key, _)| is_secret(&key))
    }

    /// The path of the socket, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.url.scheme().ends_with("unix").then(|| PathBuf::from(self.url.path()))
    }
}

fn reason_of(error: ParseError) -> &'static str {
    match error {
        ParseError::InvalidPort => {
            "the port is not a number up to 65535 (a `/`, `?` or `#` in the password must be written %2F, %3F, %23)"
        }
        ParseError::EmptyHost => "the host is missing",
        ParseError::RelativeUrlWithoutBase => "the scheme is missing",
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => "the address is not a valid one",
        ParseError::InvalidDomainCharacter | ParseError::IdnaError => {
            "the host has a character that no host name has"
        }
        _ => "not a URL",
    }
}

fn socket_problem(url: &Url) -> Option<&'static str> {
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (has_host || url.path().trim_matches('/').is_empty())
        .then_some("a socket is named by an absolute path after `unix://`")
}

fn host_problem(url: &Url, protocol: Protocol) -> Option<&'static str> {
    let path = url.path().strip_prefix('/').unwrap_or(url.path());
    match (url.host(), protocol) {
        (None | Some(Host::Domain("")), _) => Some("the host is missing"),
        _ if url.port() == Some(0) => Some("the port cannot be 0"),
        (_, Protocol::Redis) if !path.is_empty() && path.parse::<u32>().is_err() => {
            Some("what follows the host must be the number of a database")
        }
        (_, Protocol::Amqp) if path.contains('/') => {
            Some("what follows the host must be one virtual host, its `/` written %2f")
        }
        _ => None,
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["pass", "secret", "token"].iter().any(|word| key.contains(word))
}

/// For people and `--print-config`: `redis://user:***@host/0`.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        if url.password().is_some() {
            url.set_password(Some("***")).map_err(|()| fmt::Error)?;
        }
        if self.url.query_pairs().any(|(key, _)| is_secret(&key)) {
            let mask =
                |key: &str, value: &str| if is_secret(key) { "***".to_owned() } else { value.to_owned() };
            let masked =
                self.url.query_pairs().map(|(key, value)| (key.clone().into_owned(), mask(&key, &value)));
            url.query_pairs_mut().clear().extend_pairs(masked);
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

/// Masks what stands between `://` and the `@` of anything like a URL in a text for people.
///
/// The net under the rest: messages of the argument parser repeat what was typed, and a URL may be typed anywhere.
#[must_use]
pub fn mask_secrets(text: &str) -> String {
    let mut parts = text.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || c.is_control()).unwrap_or(part.len());
        let (url, rest) = part.split_at(end);
        masked.push_str("://");
        match url.rsplit_once('@') {
            Some((_, host)) => masked.extend(["***@", host, rest]),
            None => masked.push_str(part),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(protocol: Protocol, text: &str, shown: &str) {
        let url = ServerUrl::parse(text, protocol).unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(url.expose(), text);
        assert!(!format!("{url:?}").contains("hunter2"));
        let again = ServerUrl::parse(shown, protocol).unwrap();
        assert_eq!(again.to_string(), shown, "the masked form is a URL too");
    }

    #[track_caller]
    fn check_local(url: &str, expected: bool) {
        let protocol = if url.starts_with("amqp") { Protocol::Amqp } else { Protocol::Redis };
        assert_eq!(ServerUrl::parse(url, protocol).unwrap().is_local(), expected, "{url}");
    }

    #[test]
    fn knows_this_machine() {
        for url in [
            "redis://localhost",
            "redis://127.0.0.2:1",
            "redis://[::1]:6379",
            "unix:///r.sock",
            "amqp://localhost",
        ] {
            check_local(url, true);
        }
        for url in ["redis://10.0.0.1", "amqp://localhost.example.org", "redis://[fe80::1]"] {
            check_local(url, false);
        }
    }

    #[track_caller]
    fn check_error(protocol: Protocol, text: &str, part: &str) {
        let error = ServerUrl::parse(text, protocol).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?} gave {error:?}, not {part:?}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn takes_urls_and_masks_passwords() {
        use Protocol::{Amqp, Redis};
        check(Redis, "redis://localhost", "redis://localhost");
        check(Redis, "redis://127.0.0.1:6379/3", "redis://127.0.0.1:6379/3");
        check(Redis, "redis://[::1]:6379", "redis://[::1]:6379");
        check(Redis, "rediss://ann:hunter2@host:6380/0", "rediss://ann:***@host:6380/0");
        check(Redis, "redis://:hunter2@host", "redis://:***@host");
        check(Redis, "unix:///run/redis.sock", "unix:///run/redis.sock");
        check(Redis, "redis+unix:///r.sock?db=1&pass=hunter2", "redis+unix:///r.sock?db=1&pass=***");
        check(Amqp, "amqp://ann:hunter2@host:5672/%2f", "amqp://ann:***@host:5672/%2f");
        check(Amqp, "amqps://host/jobs?heartbeat=10", "amqps://host/jobs?heartbeat=10");
    }

    #[test]
    fn refuses_without_repeating() {
        use Protocol::{Amqp, Redis};
        check_error(Redis, "amqp://ann:hunter2@host", "scheme");
        check_error(Redis, "ann:hunter2@host", "scheme");
        check_error(Redis, "hunter2", "the scheme is missing");
        check_error(Redis, "redis://", "host is missing");
        check_error(Redis, "redis:/ann:hunter2@host", "host is missing");
        check_error(Redis, "redis://ann:hunter2@", "host is missing");
        check_error(Redis, "redis://host:hunter2", "port");
        check_error(Redis, "redis://ann:hunter2/x@host", "port");
        check_error(Redis, "redis://host:0", "port");
        check_error(Redis, "redis://host:70000", "port");
        check_error(Redis, "redis://host/hunter2", "database");
        check_error(Redis, "unix://run/redis.sock", "absolute path");
        check_error(Redis, "unix:///", "absolute path");
        check_error(Amqp, "redis://host", "scheme");
        check_error(Amqp, "amqp://ann:hunter2@host/a/b", "virtual host");
        check_error(Amqp, "http://host", "amqp://user:password@host");
        check_error(Amqp, "", "scheme is missing");
    }

    #[test]
    fn knows_what_it_is() {
        let parse = |text| ServerUrl::parse(text, Protocol::Redis).unwrap();
        assert!(parse("rediss://host").is_tls() && !parse("redis://host").is_tls());
        assert!(parse("redis://a:b@host").has_password() && parse("unix:///s?pass=b").has_password());
        assert!(!parse("redis://a@host").has_password());
        assert_eq!(parse("unix:///run/r.sock").socket(), Some(PathBuf::from("/run/r.sock")));
        assert_eq!(parse("redis://host/0").socket(), None);
    }

    #[test]
    fn masks_in_any_text() {
        let check = |text: &str, expected: &str| assert_eq!(mask_secrets(text), expected);
        check("no url", "no url");
        check("'redis://a:b@h/0' for x", "'redis://***@h/0' for x");
        check("amqp://a:p@ss@h and redis://h", "amqp://***@h and redis://h");
        check("mail me@here", "mail me@here");
        check("redis://h a@b", "redis://h a@b");
    }
}
