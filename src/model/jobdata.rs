//! The fields of an archive's `jobdata` file, after redaction.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// The value of one field: integers become numbers, everything else stays text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number that fits 64 bits.
    Integer(i64),
    /// Anything else, as written.
    Text(String),
}

impl Value {
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
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a job says of itself: `key=value` lines, in the order of their first appearance, later values winning.
///
/// Holds no secret: values of keys like `BOINC_AUTHENTICATOR` were replaced before this was built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobData {
    fields: Vec<(String, Value)>,
    odd_lines: u32,
}

impl JobData {
    /// Sets a field; a later value of the same key wins, at the place of the first.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) {
        let key = key.into();
        match self.fields.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.fields.push((key, value)),
        }
    }

    /// Builds from fields whose keys are already distinct.
    #[must_use]
    pub fn from_distinct(fields: Vec<(String, Value)>, odd_lines: u32) -> Self {
        Self { fields, odd_lines }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(key, value)| (key.as_str(), value))
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
    pub fn run(&self) -> Option<Run> {
        Run::parse(&self.get("run")?.to_string())
    }
}

/// As a JSON object in field order.
impl Serialize for JobData {
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
pub struct Run {
    /// What collides: `pp`, `ppbar`, `ee`.
    pub beam: String,
    /// The process generated.
    pub process: String,
    /// Centre-of-mass energy in `GeV`, as written.
    pub energy: String,
    /// Cuts and other parameters, as written.
    pub params: String,
    /// A further specialisation, `-` if none.
    pub specific: String,
    /// The event generator.
    pub generator: String,
    /// Its version.
    pub version: String,
    /// Its tune.
    pub tune: String,
}

impl Run {
    /// Splits eight blank-separated words; `None` for fewer (what follows the eighth is ignored).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace().map(str::to_owned);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[track_caller]
    fn check_user(fields: &[(&str, Value)], expected: Option<&str>) {
        let mut data = JobData::default();
        for (key, value) in fields {
            data.insert(*key, value.clone());
        }
        assert_eq!(data.user().as_deref(), expected);
    }

    #[test]
    fn finds_the_user() {
        check_user(&[], None);
        check_user(&[("USER_ID", text("f-1")), ("BOINC_USERID", Value::Integer(2))], Some("f-1"));
        check_user(&[("USER_ID", text("  ")), ("BOINC_USERID", Value::Integer(2))], Some("b-2"));
        check_user(&[("USER_ID", Value::Integer(7))], Some("7"));
        check_user(&[("BOINC_USERID", text(""))], None);
    }

    #[test]
    fn splits_a_run() {
        let run = Run::parse("pp winclusive 7000 10 - pythia8 8.170 default-noFsr").unwrap();
        assert_eq!(
            (run.beam.as_str(), run.generator.as_str(), run.tune.as_str()),
            ("pp", "pythia8", "default-noFsr")
        );
        assert_eq!(Run::parse("pp winclusive 7000"), None);
    }

    #[test]
    fn later_values_win_in_first_place() {
        let mut data = JobData::default();
        data.insert("a", Value::Integer(1));
        data.insert("b", Value::Integer(2));
        data.insert("a", text("three"));
        assert_eq!(serde_json::to_string(&data).unwrap(), r#"{"a":"three","b":2}"#);
    }
}
