//! The fields of an archive's `jobdata` file: lines `key=value`, blank, or odd. Reading never fails: odd lines are counted.

use std::collections::HashMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use smallvec::SmallVec;

/// The most distinct keys that are kept; further ones count as odd lines. Jobs in the wild have sixteen.
pub const MAX_FIELDS: usize = 4096;

/// The value of one field: integers become numbers, everything else stays text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value<'text> {
    /// A whole number that fits 64 bits.
    Integer(i64),
    /// Anything else, as written.
    Text(&'text str),
}

impl<'text> Value<'text> {
    /// An integer is digits with or without a minus sign that fit 64 bits, blanks around them or not. Leading zeros do not
    /// count (`007` is 7), as in the daemon that this replaces, so that users and sums stay the same. `+5` and `1e3` are text.
    fn of(text: &'text str) -> Self {
        let digits = text.trim();
        let is_integer = digits.strip_prefix('-').unwrap_or(digits).bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(number) if is_integer => Self::Integer(number),
            _ => Self::Text(text),
        }
    }

    /// The value as a number: an integer, or a text that is a finite decimal number (`12.5`).
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of seconds and megabytes; Redis scores are doubles too"
    )]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        }
    }

    /// The value as a whole number.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

/// As written in the file.
impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Room for what jobs have is on the stack: every file that is read, and every message, has its fields spelled out for a moment.
/// On the heap, between what stays of each file, they left holes of some 3 kB a file.
type Fields<'text> = SmallVec<[(&'text str, Value<'text>); 32]>;

/// What a job says of itself: the fields of a text, in the order of their first appearance, later values winning.
///
/// A view of the text, which it borrows; of a redacted one as a rule, which holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobData<'text> {
    fields: Fields<'text>,
    odd_lines: u32,
}

impl<'text> JobData<'text> {
    /// Reads the text of a `jobdata` file, as it is or redacted.
    ///
    /// The key is what stands before the first `=`, without the blanks around it; the value is everything after it. A later
    /// value of a key wins, at the place of the first. Lines may end with LF, CRLF or CR.
    #[must_use]
    pub fn of(text: &'text str) -> Self {
        let mut fields = Fields::new();
        // A file can have half a million lines: beyond the usual number of keys each is looked up, not searched for.
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut odd_lines = 0_u32;
        for line in jobdata_lines(text) {
            match JobdataLine::of(line) {
                JobdataLine::Blank => {}
                JobdataLine::Odd => odd_lines = odd_lines.saturating_add(1),
                JobdataLine::Field { key, value } => {
                    let place = if fields.spilled() {
                        places.get(key).copied()
                    } else {
                        fields.iter().position(|(known, _)| *known == key)
                    };
                    if let Some((_, old)) = place.and_then(|place| fields.get_mut(place)) {
                        *old = Value::of(value);
                    } else if fields.len() < MAX_FIELDS {
                        fields.push((key, Value::of(value)));
                        if fields.spilled() {
                            let new = fields.iter().enumerate().skip(places.len());
                            places.extend(new.map(|(place, (key, _))| (*key, place)));
                        }
                    } else {
                        odd_lines = odd_lines.saturating_add(1);
                    }
                }
            }
        }
        Self { fields, odd_lines }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value<'text>> {
        self.fields.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'text str, Value<'text>)> {
        self.fields.iter().copied()
    }

    /// How many lines were neither blank nor `key=value`.
    #[must_use]
    pub fn odd_lines(&self) -> u32 {
        self.odd_lines
    }

    /// Whose job it is: `USER_ID` if not blank, else `b-` and `BOINC_USERID`, else nobody's.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let text = |key| {
            self.get(key).map(|value| value.to_string().trim().to_owned()).filter(|text| !text.is_empty())
        };
        text("USER_ID").or_else(|| text("BOINC_USERID").map(|number| format!("b-{number}")))
    }

    /// The `run` field, split.
    #[must_use]
    pub fn run(&self) -> Option<Run<'text>> {
        match self.get("run")? {
            Value::Text(text) => Run::of(text),
            Value::Integer(_) => None,
        }
    }
}

/// As a JSON object in field order.
impl Serialize for JobData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The physics of a run, from `run=pp winclusive 7000 10 - pythia8 8.170 default-noFsr`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Run<'text> {
    /// What collides: `pp`, `ppbar`, `ee`.
    pub beam: &'text str,
    /// The process generated.
    pub process: &'text str,
    /// Centre-of-mass energy in `GeV`, as written.
    pub energy: &'text str,
    /// Cuts and other parameters, as written.
    pub params: &'text str,
    /// A further specialisation, `-` if none.
    pub specific: &'text str,
    /// The event generator.
    pub generator: &'text str,
    /// Its version.
    pub version: &'text str,
    /// Its tune.
    pub tune: &'text str,
}

impl<'text> Run<'text> {
    /// Splits eight blank-separated words; `None` for fewer (what follows the eighth is ignored).
    #[must_use]
    pub fn of(text: &'text str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        Some(Self {
            beam: words.next()?,
            process: words.next()?,
            energy: words.next()?,
            params: words.next()?,
            specific: words.next()?,
            generator: words.next()?,
            version: words.next()?,
            tune: words.next()?,
        })
    }
}

/// One line of a `jobdata` file, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobdataLine<'text> {
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

impl<'text> JobdataLine<'text> {
    pub(crate) fn of(line: &'text str) -> Self {
        if line.trim().is_empty() {
            return Self::Blank;
        }
        match line.split_once('=').map(|(key, value)| (key.trim(), value)) {
            Some((key, value)) if !key.is_empty() => Self::Field { key, value },
            _ => Self::Odd,
        }
    }
}

/// The lines of a `jobdata` file. A lone CR ends one too: else a secret could follow it, inside the value of a harmless key.
pub(crate) fn jobdata_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, odd_lines: u32) {
        let data = JobData::of(text);
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
        let text = lines.join("\n") + "\nk0=2\n";
        let data = JobData::of(&text);
        assert_eq!((data.fields().count(), data.odd_lines()), (MAX_FIELDS, 7));
        assert_eq!(data.get("k0"), Some(Value::Integer(2)));
    }

    #[track_caller]
    fn check_user(text: &str, expected: Option<&str>) {
        assert_eq!(JobData::of(text).user().as_deref(), expected);
    }

    #[test]
    fn finds_the_user() {
        check_user("", None);
        check_user("USER_ID=f-1\nBOINC_USERID=2", Some("f-1"));
        check_user("USER_ID=  \nBOINC_USERID=2", Some("b-2"));
        check_user("USER_ID=7", Some("7"));
        check_user("USER_ID= 007", Some("7"));
        check_user("BOINC_USERID=", None);
    }

    #[test]
    fn splits_a_run() {
        let data = JobData::of("run=pp winclusive 7000 10 - pythia8 8.170 default-noFsr and more");
        let run = data.run().unwrap();
        assert_eq!((run.beam, run.generator, run.tune), ("pp", "pythia8", "default-noFsr"));
        assert_eq!(JobData::of("run=pp winclusive 7000").run(), None);
        assert_eq!(JobData::of("run=7000").run(), None);
    }

    proptest! {
        /// Against the rules written naively: split, trim, search.
        #[test]
        fn agrees_with_a_naive_reading(text in "([ab ]{0,2}(=[-+0-9a=]{0,3})?\n){0,12}") {
            let mut naive: Vec<(&str, Value<'_>)> = Vec::new();
            let mut odd = 0;
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                match line.find('=') {
                    Some(at) if !line[..at].trim().is_empty() => {
                        let value = &line[at + 1..];
                        let number = value.parse().ok().filter(|_| !value.starts_with('+'));
                        let value = number.map_or(Value::Text(value), Value::Integer);
                        let key = line[..at].trim();
                        match naive.iter_mut().find(|(known, _)| *known == key) {
                            Some((_, old)) => *old = value,
                            None => naive.push((key, value)),
                        }
                    }
                    _ => odd += 1,
                }
            }
            let data = JobData::of(&text);
            prop_assert_eq!(data.odd_lines(), odd);
            prop_assert_eq!(data.fields().collect::<Vec<_>>(), naive);
        }
    }
}
