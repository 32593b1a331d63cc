//! What each interval costs on this mount and gives: the answer to "how often?".

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::{Deserialize, Serialize};

use super::forecast::Traffic;

/// RPCs that `find -type f -exec touch` costs a file, at least: SETATTR, and LOOKUP or GETATTR for its type; an `NFSv4`
/// client sends OPEN and CLOSE too. Measured by the comparison among the tests behind a real NFS client.
const TOUCH_RPCS_A_FILE: f64 = 2.0;

/// RPCs that a new file costs beside looks: two listings of its directory (ACCESS, READDIR, the path verified) and the
/// reading. As counted by the trials of the adaptive schedule behind a real NFS client, where few files share a listing.
const NEWS_RPCS: f64 = 8.0;

/// RPCs that reading a new file costs whoever finds it, the touch job's daemon too: LOOKUP or OPEN, ACCESS, READ, and
/// GETATTR or CLOSE.
const READING_RPCS: f64 = 4.0;

/// Of the budget, what is left for looks at least, however many files arrive.
const LEAST_FOR_LOOKS: f64 = 0.5;

/// The intervals of the table.
pub const INTERVALS: [Duration; 12] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];

/// What was found out of a tree and its mount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// The watched directory.
    pub path: String,
    /// The file system there.
    pub file_system: String,
    /// Directories below it.
    pub directories: u64,
    /// Files in them.
    pub files: u64,
    /// Whether rates come from what an agent has seen; else from one look at the directories' stamps.
    pub has_history: bool,
    /// Files that arrive a second, in all directories.
    pub files_per_second: f64,
    /// The time that one RPC takes, in milliseconds: the median of some forced looks.
    pub round_trip_ms: f64,
}

/// What an interval costs and gives, with a budget of twice the least (`--budget auto`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// `--interval`, in seconds: the longest that a directory goes unchecked.
    pub interval_s: f64,
    /// `--budget`: RPCs a second spent on looking.
    pub budget_per_s: f64,
    /// RPCs a second in all: looking, listing, reading what is new.
    pub rpcs_per_s: f64,
    /// Its part of what the touch job costs that runs once an interval, its daemon's reading of what is new included.
    pub share_of_touch_job: f64,
    /// Mean time from a file's arrival to its handover, in seconds.
    pub mean_latency_s: f64,
    /// What 99 of 100 files do not exceed, in seconds.
    pub p99_latency_s: f64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What was found out.
    pub survey: Survey,
    /// What can be chosen.
    pub choices: Vec<Choice>,
    /// What gives the wished latency with the fewest RPCs.
    pub recommended: Option<Choice>,
    /// The command for it.
    pub command: Option<String>,
}

/// What is wished.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The intervals to show.
    pub intervals: Vec<Duration>,
    /// The mean latency to reach.
    pub latency: Option<Duration>,
}

/// Computes what each interval costs and gives.
#[must_use]
pub fn plan(survey: Survey, traffic: &Traffic, wish: &Wish) -> Plan {
    let choice = |interval| choose(&survey, traffic, interval);
    let choices = wish.intervals.iter().map(|interval| choice(*interval)).collect();
    let recommended = wish.latency.and_then(|latency| recommend(latency, choice));
    let command = recommended.as_ref().map(|choice| {
        let interval = humantime::format_duration(seconds(choice.interval_s));
        format!("nfs-scout run {} --interval '{interval}' --budget auto", quoted(&survey.path))
    });
    Plan { survey, choices, recommended, command }
}

fn choose(survey: &Survey, traffic: &Traffic, interval: Duration) -> Choice {
    let budget = traffic.auto_budget(interval);
    let for_news = traffic.files_per_second() * NEWS_RPCS;
    let forecast = traffic.forecast(interval, (budget - for_news).max(budget * LEAST_FOR_LOOKS));
    let rpcs = forecast.looks_per_second + for_news;
    #[expect(clippy::cast_precision_loss, reason = "counts of files")]
    let touches = survey.files as f64 * TOUCH_RPCS_A_FILE / interval.as_secs_f64();
    let touch = touches + traffic.files_per_second() * READING_RPCS;
    // From the look to the handover: look, listing, lookup, reading; and the flush.
    let handling = survey.round_trip_ms / 1000.0 * NEWS_RPCS + 0.05;
    Choice {
        interval_s: interval.as_secs_f64(),
        budget_per_s: budget,
        rpcs_per_s: rpcs,
        share_of_touch_job: rpcs / touch.max(f64::MIN_POSITIVE),
        mean_latency_s: forecast.mean.as_secs_f64() + handling,
        p99_latency_s: forecast.p99.as_secs_f64() + handling,
    }
}

/// The longest interval whose mean latency is not over the wished one; `None` if none is so short.
fn recommend(latency: Duration, choice: impl Fn(Duration) -> Choice) -> Option<Choice> {
    /// Whole seconds from here on, tenths below.
    const FINE: u64 = 100;
    let tenths = (1..FINE).map(|tenth| Duration::from_millis(100 * tenth));
    let whole = (FINE / 10..=3600).map(Duration::from_secs);
    let fits = |interval: &Duration| choice(*interval).mean_latency_s <= latency.as_secs_f64();
    // The latency rises with the interval: the last that fits is the longest.
    let all: Vec<Duration> = tenths.chain(whole).collect();
    let fitting = all.partition_point(fits);
    all.get(fitting.checked_sub(1)?).map(|interval| choice(*interval))
}

/// The plan for a terminal.
#[must_use]
pub fn render(plan: &Plan) -> String {
    let survey = &plan.survey;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {}\n{} directories, {} files, about {} new files a day; one RPC takes {:.2} ms",
        survey.path,
        survey.file_system,
        survey.directories,
        survey.files,
        in_short(survey.files_per_second * 86_400.0),
        survey.round_trip_ms,
    );
    let source = if survey.has_history {
        "Rates come from what the agent has seen here."
    } else {
        "Rates are guessed from the directories' time stamps; after some days of an agent they are measured."
    };
    let _ = writeln!(text, "{source}\n");
    let longest = plan.choices.iter().map(|choice| choice.mean_latency_s).fold(0.0, f64::max);
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "INTERVAL",
        "RPC/S",
        "OF TOUCH JOB",
        "MEAN",
        "P99",
        "WORST",
        "MEAN LATENCY",
    ]);
    for choice in &plan.choices {
        table.add_row([
            span(choice.interval_s),
            in_short(choice.rpcs_per_s),
            format!("{} %", in_short(choice.share_of_touch_job * 100.0)),
            span(choice.mean_latency_s),
            span(choice.p99_latency_s),
            span(choice.interval_s),
            bar(choice.mean_latency_s, longest),
        ]);
    }
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str(
        "\nThe budget is twice what the interval needs (--budget auto). With 1 to 1.25 times that need looks go\n\
         around in turn and the mean is half the interval; over 2 times little is gained.\n",
    );
    if let (Some(choice), Some(command)) = (&plan.recommended, &plan.command) {
        let _ = writeln!(
            text,
            "\nFor this: mean {}, worst {}, {} RPC/s\n  {command}",
            span(choice.mean_latency_s),
            span(choice.interval_s),
            in_short(choice.rpcs_per_s),
        );
    }
    text
}

/// A bar on a logarithmic scale from a millisecond to `longest`.
fn bar(value: f64, longest: f64) -> String {
    const WIDTH: f64 = 30.0;
    let decades = |value: f64| (value.max(0.001) / 0.001).log10();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
    let length =
        (decades(value) / decades(longest).max(f64::MIN_POSITIVE) * WIDTH).round().clamp(1.0, WIDTH) as usize;
    "▇".repeat(length)
}

/// A duration for a table: two significant figures.
pub(super) fn span(value: f64) -> String {
    match value {
        _ if value < 1.0 => format!("{} ms", in_short(value * 1000.0)),
        _ if value < 120.0 => format!("{} s", in_short(value)),
        _ if value < 7200.0 => format!("{} min", in_short(value / 60.0)),
        _ => format!("{} h", in_short(value / 3600.0)),
    }
}

/// A number with two or three significant figures.
pub(super) fn in_short(value: f64) -> String {
    match value {
        _ if value == 0.0 => "0".to_owned(),
        _ if value < 0.001 => format!("{value:.1e}"),
        _ if value < 0.095 => format!("{value:.3}"),
        _ if value < 0.95 => format!("{value:.2}"),
        _ if value < 9.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn quoted(path: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+@,:".contains(character);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        Survey {
            path: "/mnt/it's".to_owned(),
            file_system: "nfs4 server:/data".to_owned(),
            directories: 100,
            files: 100_000,
            has_history: true,
            files_per_second: 0.1,
            round_trip_ms: 0.5,
        }
    }

    fn plan_of(latency: Option<u64>) -> Plan {
        let traffic = Traffic::new((0..100).map(|_| 0.001));
        let wish = Wish { intervals: INTERVALS.to_vec(), latency: latency.map(Duration::from_secs) };
        plan(survey(), &traffic, &wish)
    }

    #[test]
    fn longer_intervals_cost_less_and_find_later() {
        let choices = plan_of(None).choices;
        assert_eq!(choices.len(), INTERVALS.len());
        for (short, long) in choices.iter().zip(choices.iter().skip(1)) {
            assert!(short.rpcs_per_s > long.rpcs_per_s && short.mean_latency_s < long.mean_latency_s);
            assert!(long.p99_latency_s <= long.interval_s && long.share_of_touch_job < 0.02);
        }
    }

    #[test]
    fn what_is_new_is_read_by_the_touch_jobs_daemon_too() {
        let few = Survey { files: 1, ..survey() };
        let choice = choose(&few, &Traffic::new(std::iter::once(0.5)), Duration::from_secs(3600));
        assert!((1.9..2.1).contains(&choice.share_of_touch_job), "{choice:?}");
    }

    #[test]
    fn recommends_the_longest_interval_that_is_soon_enough() {
        let plan = plan_of(Some(5));
        let found = plan.recommended.unwrap();
        // Equal rates and twice the need, less what the news cost: the mean is 27 % of the interval, and 54 ms for the
        // handling.
        assert!((found.interval_s - 18.0).abs() < 0.01 && found.mean_latency_s <= 5.0, "{found:?}");
        assert_eq!(plan.command.unwrap(), r"nfs-scout run '/mnt/it'\''s' --interval '18s' --budget auto");
        assert_eq!(plan_of(Some(0)).recommended, None);
    }

    #[test]
    fn renders_what_was_computed() {
        let text = render(&plan_of(Some(5)));
        for part in
            ["100 directories, 100000 files", "8640 new files a day", " 1.0 s ", "60 min", "--interval '18s'"]
        {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
