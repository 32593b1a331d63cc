//! The tables, and whether each target holds.

use std::fmt::Write;

use crate::contest::{Contender, Results};
use crate::engine::ROUND_TRIP;
use crate::score::Score;

/// How far from the budget a policy may spend, for figures that can be compared.
const EQUAL_WITHIN: f64 = 0.03;

/// The table of docs/tuning.md.
pub(crate) fn table(results: &[Results]) -> String {
    let mut text = String::from(
        "| workload | fixed interval | back-off | **nfs-scout** | p50 / p99 / max | knows mean rates | knows \
         intensities | and keeps the bound | fixed / nfs-scout | nfs-scout / mean rates | RPCs/s | largest gap |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for result in results {
        let mean = |contender| cell(result.score(contender), |score| seconds(score.mean));
        let ours = result.score(Contender::Ours);
        let line = format!(
            "| {} | {} | {} | **{}** | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            result.title,
            mean(Contender::Fixed),
            mean(Contender::BackOff),
            mean(Contender::Ours),
            cell(ours, |score| format!(
                "{} / {} / {}",
                seconds(score.p50),
                seconds(score.p99),
                seconds(score.max)
            )),
            mean(Contender::Oracle),
            mean(Contender::Clairvoyant),
            mean(Contender::Bounded),
            ratio(result, Contender::Fixed, Contender::Ours)
                .map_or("-".to_owned(), |it| format!("{it:.1} x")),
            ratio(result, Contender::Ours, Contender::Oracle).map_or("-".to_owned(), |it| format!("{it:.2}")),
            cell(ours, |score| format!("{:.1}", score.rate)),
            cell(ours, |score| format!("{:.1}", score.gap)),
        );
        text.push_str(&line);
    }
    text.push_str("\nLatency of a file in seconds, mean unless said otherwise.\n");
    text
}

/// Every figure of every policy.
pub(crate) fn details(results: &[Results]) -> String {
    let mut text = String::from(
        "\n| workload | policy | files | mean | p50 | p99 | max | RPCs/s | of the budget | largest gap | fixed / it | \
         it / mean rates |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (result, contender, score) in scores(results) {
        let by = |one, other| ratio(result, one, other).map_or("-".to_owned(), |it| format!("{it:.3}"));
        let line = format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.3} | {:.3} | {} | {} |\n",
            result.name,
            contender.title(),
            score.files,
            seconds(score.mean),
            seconds(score.p50),
            seconds(score.p99),
            seconds(score.max),
            score.rate,
            score.rate / result.frame.budget,
            score.gap,
            by(Contender::Fixed, contender),
            by(contender, Contender::Oracle),
        );
        text.push_str(&line);
    }
    text + &by_part(results)
}

/// How long the files of each family of a mix waited, and what was spent on them.
fn by_part(results: &[Results]) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|result| !result.parts.is_empty()) {
        let seconds = result.frame.end - result.frame.warm_up;
        let policies: Vec<_> = scores(std::slice::from_ref(result)).collect();
        let _ = write!(text, "\n| {} (s / RPCs a second) |", result.name);
        for (_, contender, _) in &policies {
            let _ = write!(text, " {} |", contender.title());
        }
        let _ = write!(text, "\n|---|{}\n", "--:|".repeat(policies.len()));
        for (part, name) in result.parts.iter().enumerate() {
            let _ = write!(text, "| {name} |");
            for (_, _, score) in &policies {
                let part = score.parts[part];
                let mean = part.waited / part.files as f64;
                let _ = write!(text, " {} / {:.1} |", self::seconds(mean), part.rpcs as f64 / seconds);
            }
            text.push('\n');
        }
    }
    text
}

/// Whether the comparison is fair, and whether each target holds.
pub(crate) fn verdicts(results: &[Results]) -> String {
    let mut text = fairness(results);
    text.push_str("\n| target | reached | holds |\n|---|--:|---|\n");
    let mut row = |target: &str, reached: Option<f64>, holds: fn(f64, f64) -> bool, limit: f64| {
        if let Some(reached) = reached {
            let verdict = if holds(reached, limit) { "yes" } else { "**no**" };
            let _ = writeln!(text, "| {target} | {reached:.3} | {verdict} |");
        }
    };
    let at_most = |reached: f64, limit: f64| reached <= limit;
    let at_least = |reached: f64, limit: f64| reached >= limit;
    let of =
        |name, one, other| results.iter().find(|it| it.name == name).and_then(|it| ratio(it, one, other));
    let (fixed, ours, oracle) = (Contender::Fixed, Contender::Ours, Contender::Oracle);
    row("Zipf 1.0: at most 1.05 of what knows the mean rates", of("zipf-1.0", ours, oracle), at_most, 1.05);
    row("Zipf 1.5: at most 1.10 of what knows the mean rates", of("zipf-1.5", ours, oracle), at_most, 1.10);
    row("Zipf 1.5: 15 times below fixed", of("zipf-1.5", fixed, ours), at_least, 15.0);
    row("date tree: 50 times below fixed", of("date-tree", fixed, ours), at_least, 50.0);
    row("new directories: 25 times below fixed", of("new", fixed, ours), at_least, 25.0);
    row("everything mixed: 5 times below fixed", of("mixed", fixed, ours), at_least, 5.0);
    row("all equal: at most 1.02 of fixed", of("equal", ours, fixed), at_most, 1.02);
    row("one file in 11 h: at most 1.02 of fixed", of("rare", ours, fixed), at_most, 1.02);
    row("adversary: at most 1.02 of fixed", of("adversary", ours, fixed), at_most, 1.02);
    row(
        "largest gap beyond the bound, in s: at most one RPC's time",
        worst_gap(results),
        at_most,
        ROUND_TRIP,
    );
    text
}

/// Says where a policy spent another rate, missed files or broke the bound.
pub(crate) fn fairness(results: &[Results]) -> String {
    let mut text = String::from("\n");
    for (result, contender, score) in scores(results) {
        let mut says = |what: String| {
            let _ = writeln!(text, "- {} on {}: {what}", contender.title(), result.name);
        };
        let share = score.rate / result.frame.budget;
        if (share - 1.0).abs() > EQUAL_WITHIN {
            says(format!("spent {share:.3} of the budget, so its latency is not to be compared"));
        }
        if contender != Contender::Clairvoyant && score.gap > result.frame.promise + ROUND_TRIP {
            says(format!("a gap of {:.3} s, over the bound of {} s", score.gap, result.frame.promise));
        }
        if score.unseen > 0 && contender != Contender::Clairvoyant {
            says(format!("{} files were not found", score.unseen));
        }
        if score.empty_promises > 0 {
            says(format!("{} times nothing was due when something was said to be", score.empty_promises));
        }
    }
    if text.len() == 1 {
        text.push_str("All policies spent the budget within 3 %, kept the bound and found every file.\n");
    }
    text
}

/// By how much ours went over the bound, in seconds; below 0 if it kept it.
fn worst_gap(results: &[Results]) -> Option<f64> {
    let over = |it: &Results| Some(it.score(Contender::Ours)?.gap - it.frame.promise);
    results.iter().filter_map(over).max_by(f64::total_cmp)
}

fn scores(results: &[Results]) -> impl Iterator<Item = (&Results, Contender, &Score)> {
    results.iter().flat_map(|result| {
        Contender::ALL.iter().filter_map(move |&it| result.score(it).map(|score| (result, it, score)))
    })
}

fn ratio(result: &Results, one: Contender, other: Contender) -> Option<f64> {
    Some(result.score(one)?.mean / result.score(other)?.mean)
}

fn cell(score: Option<&Score>, show: impl FnOnce(&Score) -> String) -> String {
    score.map_or("-".to_owned(), show)
}

/// Three digits, as far as they mean something.
fn seconds(value: f64) -> String {
    match value {
        _ if value < 1.0 => format!("{value:.3}"),
        _ if value < 10.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}
