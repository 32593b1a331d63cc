//! The lines of a `jobdata` file: `key=value`, blank, or odd. Never fails: odd lines are counted.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::model::{JobData, Value};

/// The most distinct keys that are kept; further ones count as odd lines. Jobs in the wild have sixteen.
pub const MAX_FIELDS: usize = 4096;

/// Parses the text of a `jobdata` file, as it is or redacted.
///
/// The key is what stands before the first `=`, without the blanks around it; the value is everything after it. A later
/// value of a key wins, at the place of the first. Lines may end with LF, CRLF or CR.
#[must_use]
pub fn parse_jobdata(text: &str) -> JobData {
    let mut fields: Vec<(String, Value)> = Vec::new();
    // A file can have half a million lines: the place of each key is looked up, not searched for.
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut odd_lines = 0_u32;
    for line in lines(text) {
        match Line::of(line) {
            Line::Blank => {}
            Line::Odd => odd_lines = odd_lines.saturating_add(1),
            Line::Field { key, value } => {
                let place = places.get(key).copied();
                if let Some((_, old)) = place.and_then(|place| fields.get_mut(place)) {
                    *old = value_of(value);
                } else if fields.len() < MAX_FIELDS {
                    places.insert(key, fields.len());
                    fields.push((key.to_owned(), value_of(value)));
                } else {
                    odd_lines = odd_lines.saturating_add(1);
                }
            }
        }
    }
    JobData::from_distinct(fields, odd_lines)
}

/// One line, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'text> {
    /// Nothing but blanks.
    Blank,
    /// A field.
    Field {
        /// Its name, without blanks around it, never empty.
        key: &'text str,
        /// Everything after the first `=`.
        value: &'text str,
    },
    /// Neither: no `=`, or no key before it.
    Odd,
}

impl<'text> Line<'text> {
    pub(super) fn of(line: &'text str) -> Self {
        if line.trim().is_empty() {
            return Self::Blank;
        }
        match line.split_once('=').map(|(key, value)| (key.trim(), value)) {
            Some((key, value)) if !key.is_empty() => Self::Field { key, value },
            _ => Self::Odd,
        }
    }
}

/// The lines of `text`. A lone CR ends one too: else a secret could follow it, inside the value of a harmless key.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Integers become numbers, blanks around them or not; everything else stays text as written.
///
/// An integer is digits with or without a minus sign that fit 64 bits. Leading zeros do not count (`007` is 7), as in the
/// daemon that this replaces, so that users and sums stay the same. `+5` and `1e3` are text.
fn value_of(text: &str) -> Value {
    let digits = text.trim();
    let is_integer = digits.strip_prefix('-').unwrap_or(digits).bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(number) if is_integer => Value::Integer(number),
        _ => Value::Text(text.to_owned()),
    }
}

/// The text of a `jobdata` member; bytes that are not UTF-8 become U+FFFD.
pub(super) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, odd_lines: u32) {
        let data = parse_jobdata(text);
        assert_eq!(serde_json::to_string(&data).unwrap(), expected);
        assert_eq!(data.odd_lines(), odd_lines);
    }

    #[test]
    fn reads_fields() {
        check("", "{}", 0);
        check("\n  \n\t\n", "{}", 0);
        check("jobid=20481375\n\nexitcode=0\n", r#"{"jobid":20481375,"exitcode":0}"#, 0);
        check("exitcode=0", r#"{"exitcode":0}"#, 0);
        check("args=a=b==", r#"{"args":"a=b=="}"#, 0);
        check("empty=", r#"{"empty":""}"#, 0);
        check("name= J. Doe ", r#"{"name":" J. Doe "}"#, 0);
        check(" spaced key = 1", r#"{"spaced key":1}"#, 0);
    }

    #[test]
    fn later_values_win_in_first_place() {
        check("a=1\nb=2\na=3", r#"{"a":3,"b":2}"#, 0);
        check("a=1\nb=2\n a =3", r#"{"a":3,"b":2}"#, 0);
    }

    #[test]
    fn counts_odd_lines() {
        check("no equals\n=no key\n  = \na=1", r#"{"a":1}"#, 3);
    }

    #[test]
    fn takes_every_line_end() {
        check("a=1\r\nb=x\r\n\r\nc=3", r#"{"a":1,"b":"x","c":3}"#, 0);
        check("a=1\rb=2\r", r#"{"a":1,"b":2}"#, 0);
    }

    #[test]
    fn tells_integers_from_text() {
        check("a=-5", r#"{"a":-5}"#, 0);
        check("a= 5 ", r#"{"a":5}"#, 0);
        check("a=007", r#"{"a":7}"#, 0);
        check("a=+5", r#"{"a":"+5"}"#, 0);
        check("a=-", r#"{"a":"-"}"#, 0);
        check("a=--5", r#"{"a":"--5"}"#, 0);
        check("a=1 2", r#"{"a":"1 2"}"#, 0);
        check("a=8.170", r#"{"a":"8.170"}"#, 0);
        check("a=0x10", r#"{"a":"0x10"}"#, 0);
        check("a=٣", r#"{"a":"٣"}"#, 0);
        check("a=9223372036854775807", r#"{"a":9223372036854775807}"#, 0);
        check("a=-9223372036854775808", r#"{"a":-9223372036854775808}"#, 0);
        check("a=9223372036854775808", r#"{"a":"9223372036854775808"}"#, 0);
    }

    #[test]
    fn keeps_a_bounded_number_of_fields() {
        let lines: Vec<_> = (0..MAX_FIELDS + 7).map(|number| format!("k{number}=1")).collect();
        let data = parse_jobdata(&(lines.join("\n") + "\nk0=2\n"));
        assert_eq!((data.fields().count(), data.odd_lines()), (MAX_FIELDS, 7));
        assert_eq!(data.get("k0"), Some(&Value::Integer(2)));
    }

    #[test]
    fn half_a_million_lines_take_no_time() {
        let lines: Vec<_> = (0..500_000).map(|number| format!("k{number}=1\nodd")).collect();
        let text = lines.join("\n");
        let started = std::time::Instant::now();
        assert_eq!(parse_jobdata(&text).fields().count(), MAX_FIELDS);
        // Searching 4,096 keys a line would be two thousand million comparisons; the limit is for a busy machine.
        assert!(started.elapsed() < std::time::Duration::from_secs(60));
    }

    proptest! {
        /// Against the rules written naively: split, trim, search.
        #[test]
        fn agrees_with_a_naive_reading(text in "([ab ]{0,2}(=[-+0-9a=]{0,3})?\n){0,12}") {
            let mut naive = JobData::default();
            let mut odd = 0;
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                match line.find('=') {
                    Some(at) if !line[..at].trim().is_empty() => {
                        let value = &line[at + 1..];
                        let number = value.parse().ok().filter(|_| !value.starts_with('+'));
                        let value = number.map_or(Value::Text(value.to_owned()), Value::Integer);
                        naive.insert(line[..at].trim(), value);
                    }
                    _ => odd += 1,
                }
            }
            let data = parse_jobdata(&text);
            prop_assert_eq!(data.odd_lines(), odd);
            prop_assert_eq!(data.fields().collect::<Vec<_>>(), naive.fields().collect::<Vec<_>>());
        }
    }
}
