//! The plan as a picture: latency against cost, both on logarithmic scales. One SVG file, for light and dark pages.

use std::fmt::Write as _;

use super::plan::{Choice, Plan, in_short, span};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 64.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#333}\
.title{font-size:16px;font-weight:600}\
.grid{stroke:#ddd}\
.line{fill:none;stroke-width:2.5}\
.mean{stroke:#0b6fb8}.p99{stroke:#b8560b;stroke-dasharray:7 4}.worst{stroke:#888;stroke-dasharray:2 4}\
.dot{fill:#0b6fb8}\
.paper{fill:#fff}\
@media(prefers-color-scheme:dark){\
text{fill:#ddd}.grid{stroke:#444}.paper{fill:#181a1b}\
.mean{stroke:#6cb8f0}.dot{fill:#6cb8f0}.p99{stroke:#f0a868}.worst{stroke:#999}}";

/// A logarithmic scale from data to pixels.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let low = positive.clone().fold(f64::INFINITY, f64::min);
        let high = positive.fold(0.0, f64::max);
        // Whole decades, at least one.
        let low = if low.is_finite() { low.log10().floor() } else { 0.0 };
        Self { low, high: high.max(f64::MIN_POSITIVE).log10().ceil().max(low + 1.0), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low, self.high);
        std::iter::successors(Some(low), move |at| (at + 1.0 <= high).then_some(at + 1.0))
            .map(|at| 10_f64.powf(at))
    }
}

/// The chart as an SVG document.
#[must_use]
pub fn svg(plan: &Plan) -> String {
    let choices = &plan.choices;
    let across = Scale::over(choices.iter().map(|choice| choice.rpcs_per_s), LEFT, WIDTH - RIGHT);
    let latencies = choices.iter().flat_map(|choice| [choice.mean_latency_s, choice.interval_s]);
    let up = Scale::over(latencies, HEIGHT - BOTTOM, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Latency against RPCs a second\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"28\">{}: what an interval costs and gives</text>\n",
        escaped(&plan.survey.path)
    );
    draw_grid(&mut svg, &across, &up);
    let mut draw = |name, latency: fn(&Choice) -> f64| {
        let place = |choice: &Choice| (across.place(choice.rpcs_per_s), up.place(latency(choice)));
        draw_curve(&mut svg, name, choices.iter().map(place));
    };
    draw("worst", |choice| choice.interval_s);
    draw("p99", |choice| choice.p99_latency_s);
    draw("mean", |choice| choice.mean_latency_s);
    for choice in choices {
        let (x, y) = (across.place(choice.rpcs_per_s), up.place(choice.mean_latency_s));
        let interval = span(choice.interval_s);
        let _ = writeln!(
            svg,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>--interval {interval}: {} RPC/s, mean {}</title></circle>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{interval}</text>",
            in_short(choice.rpcs_per_s),
            span(choice.mean_latency_s),
            y + 20.0,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_grid(svg: &mut String, across: &Scale, up: &Scale) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for value in across.decades() {
        let x = across.place(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            in_short(value)
        );
    }
    for value in up.decades() {
        let y = up.place(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            span(value)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">RPCs a second</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 14.0
    );
}

fn draw_curve(svg: &mut String, name: &str, points: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<(f64, f64)> = points.collect();
    let list: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline class=\"line {name}\" points=\"{}\"/>", list.join(" "));
    if let Some((x, y)) = points.first() {
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>", y - 8.0);
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::forecast::Traffic;
    use super::super::plan::{INTERVALS, Survey, Wish, plan};
    use super::*;

    fn chart(path: &str, intervals: &[Duration]) -> String {
        let survey = Survey {
            path: path.to_owned(),
            file_system: String::new(),
            directories: 10,
            files: 10,
            has_history: false,
            files_per_second: 0.01,
            round_trip_ms: 1.0,
        };
        let traffic = Traffic::new((0..10).map(|_| 0.001));
        svg(&plan(survey, &traffic, &Wish { intervals: intervals.to_vec(), latency: None }))
    }

    #[test]
    fn every_interval_has_a_dot_within_the_paper() {
        let svg = chart("/mnt/a<b>", &INTERVALS);
        assert_eq!(svg.matches("<circle").count(), INTERVALS.len());
        assert!(svg.contains("/mnt/a&lt;b&gt;") && !svg.contains("a<b>"));
        for place in svg.split("cx=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let x: f64 = place.parse().unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x));
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_to_draw_is_still_a_picture() {
        let svg = chart("/m", &[]);
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }
}
