//! A table of what was measured against what was aimed at.

/// Bytes of a MB.
pub(crate) const MEGABYTE: f64 = 1e6;

/// A figure that is to be at most, or at least, another one.
pub(crate) struct Line {
    what: String,
    measured: f64,
    unit: &'static str,
    target: Option<(f64, bool)>,
}

impl Line {
    /// A figure with no target.
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, unit, target: None }
    }

    pub(crate) fn at_most(self, target: f64) -> Self {
        Self { target: Some((target, true)), ..self }
    }

    pub(crate) fn at_least(self, target: f64) -> Self {
        Self { target: Some((target, false)), ..self }
    }

    fn text(&self) -> String {
        let number = |number: f64| {
            let digits = if number.abs() < 10.0 { 2 } else { usize::from(number.abs() < 100.0) };
            format!("{number:.digits$} {}", self.unit)
        };
        let (target, ratio, holds) = match self.target {
            None => ("-".to_owned(), "-".to_owned(), "-"),
            Some((target, is_most)) => {
                let holds = if is_most { self.measured <= target } else { self.measured >= target };
                let sign = if is_most { "<=" } else { ">=" };
                let ratio = format!("{:.2}", self.measured / target);
                (format!("{sign} {}", number(target)), ratio, if holds { "yes" } else { "**no**" })
            }
        };
        format!("| {} | {} | {target} | {ratio} | {holds} |", self.what, number(self.measured))
    }
}

/// The lines under a head.
pub(crate) fn table(title: &str, lines: &[Line]) -> String {
    let lines: Vec<String> = lines.iter().map(Line::text).collect();
    format!("| {title} | measured | target | of it | holds |\n|---|--:|--:|--:|---|\n{}\n", lines.join("\n"))
}
