//! Keeps passwords out of what people read: URLs with the secret parts replaced.
//!
//! Works on text, not on parsed URLs, because the URL that cannot be parsed is the one that gets printed. Where a
//! text is ambiguous it hides too much rather than too little.

const HIDDEN: &str = "***";

/// `url` without its password: `amqp://user:***@host/vhost`, and `pass=***` in the query.
#[must_use]
pub fn masked_url(url: &str) -> String {
    let (scheme, rest) = url.find("://").map_or(("", url), |at| url.split_at(at + 3));
    // The last `@` ends the password, wherever it is: passwords with an unescaped `/` or `?` are common.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let user = user.map(|user| format!("{}@", masked_user(user))).unwrap_or_default();
    let query = query.map(|query| format!("?{}", masked_query(query))).unwrap_or_default();
    format!("{scheme}{user}{place}{query}")
}

/// `text` with every password of `url` replaced: error texts of libraries quote what they were given.
#[must_use]
pub fn scrub(text: &str, url: &str) -> String {
    let mut clean = text.replace(url, &masked_url(url));
    for secret in secrets_of(url) {
        for spelling in [percent_decoded(&secret), secret] {
            if !spelling.is_empty() {
                clean = clean.replace(&spelling, HIDDEN);
            }
        }
    }
    clean
}

fn masked_user(user: &str) -> String {
    match user.split_once([':', '?']) {
        Some((_, "")) | None => user.to_owned(),
        Some((name, _)) => format!("{name}:{HIDDEN}"),
    }
}

fn masked_query(query: &str) -> String {
    let mask = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if is_secret(key) => format!("{key}={HIDDEN}"),
        _ => pair.to_owned(),
    };
    query.split('&').map(mask).collect::<Vec<_>>().join("&")
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["pass", "secret", "token", "auth_key"].iter().any(|word| key.contains(word))
}

fn secrets_of(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let password =
        rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let parameters = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| is_secret(key))
        .map(|(_, v)| v);
    password.into_iter().chain(parameters).map(str::to_owned).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(masked_url(url), expected);
    }

    #[test]
    fn hides_passwords() {
        check("redis://localhost/0", "redis://localhost/0");
        check("redis://:hush@localhost", "redis://:***@localhost");
        check("amqp://u:hush@h:5672/%2f?heartbeat=5", "amqp://u:***@h:5672/%2f?heartbeat=5");
        check("amqp://u:hu@sh/x@h/v", "amqp://u:***@h/v");
        check("amqp://u:hu?sh@h/v", "amqp://u:***@h/v");
        check("redis+unix:///s?pass=hu@sh", "redis+unix:///s:***@sh");
        check("redis+unix:///run/r.sock?db=1&pass=hush", "redis+unix:///run/r.sock?db=1&pass=***");
        check("u:hush@h", "u:***@h");
        check("", "");
    }

    #[test]
    fn scrubs_quotes() {
        let url = "amqp://u:p%40ss@h/v";
        assert_eq!(scrub("cannot use amqp://u:p%40ss@h/v", url), "cannot use amqp://u:***@h/v");
        assert_eq!(scrub("login p@ss refused (p%40ss)", url), "login *** refused (***)");
        assert_eq!(scrub("nothing here", "redis://h"), "nothing here");
    }
}
