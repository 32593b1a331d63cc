//! Takes the secrets out of a `jobdata` text, line by line, before anything else sees it.
//!
//! Everything that leaves this room is made from the redacted text, so there is one place to get right. Where a line is in
//! doubt it goes: a lost remark is cheap, a key of somebody's account is not. A secret that names itself nowhere (another
//! key, or the later lines of a value that runs over several) cannot be known for one.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::model::{JobdataLine, jobdata_lines};

/// What stands for a secret value.
pub const REDACTED: &str = "[redacted]";

/// What stands for a line that is not `key=value`: it may hold a secret in any form (`AUTHENTICATOR: …`), so none of it is kept.
///
/// One character, so that a file of half a million odd lines does not grow; it reads as an odd line again, so counts stay.
pub const ODD_LINE: &str = "?";

/// Which keys hold secrets by default: the sample of any volunteer's job has `BOINC_AUTHENTICATOR`.
const DEFAULT_KEYS: [&str; 4] = ["*AUTHENTICATOR*", "*PASSWORD*", "*SECRET*", "*TOKEN*"];

/// A secret at least this long is looked for in the other lines too; a shorter one would hit by chance.
const MIN_ECHO_BYTES: usize = 8;

/// How many secrets are looked for in the other lines.
const MAX_ECHOES: usize = 16;

/// A pattern of keys that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("Reading the redaction pattern {pattern:?}")]
pub struct RedactionError {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: globset::Error,
}

/// Which keys of a `jobdata` file hold secrets.
#[derive(Debug, Clone)]
pub struct Redaction {
    keys: GlobSet,
}

impl Redaction {
    /// Takes globs of keys, upper or lower case alike; none at all redacts nothing but odd lines.
    pub fn new(patterns: &[String]) -> Result<Self, RedactionError> {
        Self::build(patterns.iter().map(String::as_str))
    }

    fn build<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Self, RedactionError> {
        let mut keys = GlobSetBuilder::new();
        let mut last = "";
        for pattern in patterns {
            let error = |source| RedactionError { pattern: pattern.to_owned(), source };
            keys.add(GlobBuilder::new(pattern).case_insensitive(true).build().map_err(error)?);
            last = pattern;
        }
        let error = |source| RedactionError { pattern: last.to_owned(), source };
        Ok(Self { keys: keys.build().map_err(error)? })
    }

    /// The text with every secret replaced by [`REDACTED`] and every odd line by [`ODD_LINE`]; otherwise as it was.
    ///
    /// A line's value goes if its key matches, if it names a matching key itself (two lines run together for want of a
    /// newline, options of a program), or if it repeats the value of a matching key. Line ends become LF.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let echoes = self.echoes(text);
        let mut redacted = String::with_capacity(text.len());
        for (number, line) in jobdata_lines(text).enumerate() {
            if number > 0 {
                redacted.push('\n');
            }
            self.redact_line(line, &echoes, &mut redacted);
        }
        redacted
    }

    fn redact_line(&self, line: &str, echoes: &[&str], redacted: &mut String) {
        let repeats = |text: &str| echoes.iter().any(|secret| text.contains(secret));
        match JobdataLine::of(line) {
            JobdataLine::Blank => redacted.push_str(line),
            JobdataLine::Odd => redacted.push_str(ODD_LINE),
            // The key itself would tell: `TOKEN: abc = d`.
            JobdataLine::Field { key, .. } if repeats(key) || (!is_word(key) && self.is_secret(key)) => {
                redacted.push_str(ODD_LINE);
            }
            JobdataLine::Field { key, value }
                if value.is_empty() || !(self.hides(key, value) || repeats(value)) =>
            {
                redacted.push_str(line);
            }
            JobdataLine::Field { key, .. } => {
                redacted.push_str(key);
                redacted.push('=');
                redacted.push_str(REDACTED);
            }
        }
    }

    /// The first few secret values, for a look whether other lines repeat them.
    fn echoes<'text>(&self, text: &'text str) -> Vec<&'text str> {
        let mut echoes = Vec::new();
        for line in jobdata_lines(text) {
            let JobdataLine::Field { key, value } = JobdataLine::of(line) else { continue };
            let secret = value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
            let counts = secret.len() >= MIN_ECHO_BYTES && secret != REDACTED && !echoes.contains(&secret);
            if counts && self.is_secret(key) {
                echoes.push(secret);
            }
            if echoes.len() == MAX_ECHOES {
                break;
            }
        }
        echoes
    }

    fn hides(&self, key: &str, value: &str) -> bool {
        self.is_secret(key) || self.names_a_secret(value)
    }

    /// Whether a value holds `KEY=…`, `KEY: …` or `--key …` with a matching key.
    fn names_a_secret(&self, value: &str) -> bool {
        let named = value.rfind(['=', ':']).and_then(|end| value.get(..end)).unwrap_or_default();
        words(named).any(|word| self.is_secret(word))
            || words(value).any(|word| word.starts_with('-') && self.is_secret(word))
    }

    fn is_secret(&self, key: &str) -> bool {
        self.keys.is_match(key)
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::build(DEFAULT_KEYS.into_iter()).expect("the default patterns are well-formed")
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word_character(c)).filter(|word| !word.is_empty())
}

fn is_word(text: &str) -> bool {
    text.chars().all(is_word_character)
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::JobData;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let redacted = Redaction::default().redact(text);
        assert_eq!(redacted, expected);
        assert_eq!(Redaction::default().redact(&redacted), redacted);
    }

    #[test]
    fn leaves_the_rest_as_it_is() {
        let text =
            "runspec=boinc pp 7000\n\n a = b=c \nurl=http://x:1/\nBOINC_USERNAME=Secret Agent\nexitcode=0\n";
        check(text, text);
        check("", "");
        check("a=1\r\nb=2\r\n", "a=1\nb=2\n");
    }

    #[test]
    fn replaces_secrets() {
        check("BOINC_AUTHENTICATOR=8b0e\nexitcode=0\n", "BOINC_AUTHENTICATOR=[redacted]\nexitcode=0\n");
        check("db_password=x", "db_password=[redacted]");
        check("  My-Secret.1 = x=y ", "My-Secret.1=[redacted]");
        check("TOKEN=1\nTOKEN=2", "TOKEN=[redacted]\nTOKEN=[redacted]");
        check("a=1\rTOKEN=2\rb=3", "a=1\nTOKEN=[redacted]\nb=3");
        check("TOKEN=", "TOKEN=");
    }

    #[test]
    fn drops_odd_lines() {
        check("BOINC_AUTHENTICATOR: 8b0e", "?");
        check("a=1\n8b0e7153\n=8b0e\n", "a=1\n?\n?\n");
        check("BOINC_AUTHENTICATOR: 8b0e = 1", "?");
        check("export TOKEN=1", "?");
    }

    #[test]
    fn sees_secrets_inside_values() {
        check("exitcode=0BOINC_AUTHENTICATOR=8b0e", "exitcode=[redacted]");
        check("env=A=1 my_token: 2", "env=[redacted]");
        check(r#"json={"token":"8b0e"}"#, "json=[redacted]");
        check("args=run --password hunter2", "args=[redacted]");
    }

    #[test]
    fn sees_secrets_repeated() {
        check("id=u-8b0e7153-1\nTOKEN=\"8b0e7153\"\n", "id=[redacted]\nTOKEN=[redacted]\n");
        check("8b0e7153=1\nTOKEN=8b0e7153\n", "?\nTOKEN=[redacted]\n");
        check("id=1\nTOKEN=1\n", "id=1\nTOKEN=[redacted]\n");
    }

    #[test]
    fn replaces_more_secrets_than_it_looks_for_in_other_lines() {
        let lines: Vec<_> = (0..2 * MAX_ECHOES).map(|n| format!("TOKEN{n}={n:02}abcdefgh")).collect();
        let redacted = Redaction::default().redact(&lines.join("\n"));
        assert_eq!(redacted.matches(REDACTED).count(), 2 * MAX_ECHOES);
        assert!(!redacted.contains("abcdefgh"));
    }

    #[test]
    fn takes_other_patterns() {
        let redaction = Redaction::new(&["boinc_user*".to_owned()]).unwrap();
        assert_eq!(redaction.redact("BOINC_USERID=1\nTOKEN=2"), "BOINC_USERID=[redacted]\nTOKEN=2");
        assert_eq!(Redaction::new(&[]).unwrap().redact("TOKEN=2"), "TOKEN=2");
        let error = Redaction::new(&["ok".to_owned(), "a[".to_owned()]).unwrap_err();
        assert_eq!(error.pattern, "a[");
    }

    proptest! {
        #[test]
        fn redacting_twice_changes_nothing_more(text in "([abTOKEN:= \r-]{0,8}(=[0-9a-zTOKEN: =\"]{0,12})?\n?){0,8}") {
            let redacted = Redaction::default().redact(&text);
            prop_assert_eq!(&Redaction::default().redact(&redacted), &redacted);
        }

        /// Nothing is redacted away but secrets: with no pattern, the fields are those of the text.
        #[test]
        fn without_patterns_the_fields_stay(text in any::<String>()) {
            let redacted = Redaction::new(&[]).unwrap().redact(&text);
            prop_assert_eq!(JobData::of(&redacted), JobData::of(&text));
        }

        /// Wherever a line under a secret key stands, its value is nowhere in the result.
        #[test]
        fn a_planted_secret_never_shows(
            before in "([a-z =:\r]{0,9}\n){0,5}",
            key in "[a-z_ ]{0,3}(AUTHENTICATOR|Password|secret|ToKeN)[a-z_: ]{0,3}",
            gap in "[ \t]{0,2}[=:]{1,2}[ \t]{0,2}",
            after in "(\r|\n|\r\n)([a-z =:]{0,9}\n){0,5}",
        ) {
            let text = format!("{before}{key}{gap}0123456789ABCDEF{after}");
            prop_assert!(!Redaction::default().redact(&text).contains("0123456789ABCDEF"));
        }
    }
}
