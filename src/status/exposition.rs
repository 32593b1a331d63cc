//! Prometheus' text format (version 0.0.4), as both a scrape and the node exporter's textfile collector read it.
//!
//! Written here because the libraries write either `OpenMetrics`, which the textfile collector does not read, or only from
//! counters of their own, which would be a second set of figures beside the report.

use std::fmt::Write;

use crate::model::float;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// A metric with its samples: labels and value of each. One without samples is left out.
    pub(super) fn metric<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    /// A metric of one sample without labels, or of none.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: Option<f64>) {
        self.metric(name, kind, help, value.map(|value| (Vec::new(), value)));
    }

    /// A histogram: how many were at most so large, rising; how many there were, and their sum.
    pub(super) fn histogram(&mut self, name: &str, help: &str, within: &[(f64, u64)], count: u64, sum: f64) {
        self.head(name, Kind::Histogram, help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in within {
            self.sample(&bucket, &[("le", &bound.to_string())], float(*count));
        }
        self.sample(&bucket, &[("le", "+Inf")], float(count));
        self.sample(&format!("{name}_sum"), &[], sum);
        self.sample(&format!("{name}_count"), &[], float(count));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_format() {
        let mut text = Exposition::default();
        text.metric("a_total", Kind::Counter, "A \\ b\nc.", [(vec![("x", "q\"\\\n"), ("y", "z")], 1.5)]);
        text.single("b", Kind::Gauge, "None.", None);
        text.histogram("c", "C.", &[(0.1, 1), (2.0, 3)], 4, 12.25);
        assert_eq!(
            text.finish(),
            "# HELP a_total A \\\\ b\\nc.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\",y=\"z\"} 1.5\n\
             # HELP c C.\n# TYPE c histogram\nc_bucket{le=\"0.1\"} 1\nc_bucket{le=\"2\"} 3\n\
             c_bucket{le=\"+Inf\"} 4\nc_sum 12.25\nc_count 4\n"
        );
    }
}
