//! What is known of one path.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What is known of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The path as asked.
    pub path: String,
    /// What became of it, in words.
    pub state: String,
    /// Whether there is a record of it.
    pub known: bool,
    /// What else is known, in order: what, and its value.
    pub facts: Vec<(String, String)>,
}

impl Explanation {
    /// One without facts.
    #[must_use]
    pub fn new(path: String) -> Self {
        Self { path, state: String::new(), known: true, facts: Vec::new() }
    }

    /// Adds a fact.
    pub fn add(&mut self, what: &str, value: impl std::fmt::Display) {
        self.facts.push((what.to_owned(), value.to_string()));
    }
}

/// The explanation for a terminal.
#[must_use]
pub fn render_explanation(explanation: &Explanation) -> String {
    let mut text = format!("{}: {}\n", explanation.path, explanation.state);
    for (what, value) in &explanation.facts {
        let _ = writeln!(text, "  {what}: {value}");
    }
    text
}
