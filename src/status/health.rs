//! What is not as it should be, in words: the first thing that `status` and the page say.

use super::report::{Report, RootReport, RootState, SinkLine};

/// How much longer than the bound a directory may have gone unchecked before it is said: a look takes its time too.
const SLACK: f64 = 1.25;

/// The least time beyond the bound that is said, in seconds.
const LEAST_SLACK: f64 = 1.0;

/// What is wrong, the worst first; empty if nothing is.
#[must_use]
pub fn problems(report: &Report) -> Vec<String> {
    if !report.running {
        return vec!["No agent runs: this is the state as it was left.".to_owned()];
    }
    let roots = report.roots.iter().filter_map(root_away);
    let sinks = outbox_full(report).into_iter().chain(report.sinks.iter().filter_map(sink_away));
    let walks = report.roots.iter().filter_map(first_walk);
    let unreadable = report.roots.iter().filter_map(unreadable);
    let pace = [budget_too_small(report), late(report)].into_iter().flatten();
    roots.chain(sinks).chain(pace).chain(walks).chain(unreadable).chain(refused(report)).collect()
}

fn root_away(root: &RootReport) -> Option<String> {
    let reason = root.lost.as_deref().unwrap_or("for a reason not known");
    match root.state {
        RootState::Lost => {
            let stop = if reason.ends_with(['.', '?']) { "" } else { "." };
            Some(format!("{} is not watched: {reason}{stop} Nothing is forgotten.", root.path))
        }
        RootState::Silent => {
            let calls = match root.calls {
                1 => "1 call to it has".to_owned(),
                calls => format!("{} calls to it have", grouped(calls)),
            };
            let time = root.silent_s.map(|time| format!(" for {}", span(time))).unwrap_or_default();
            Some(format!(
                "The file system at {} does not answer: {calls} not returned{time}. It is watched again when it answers.",
                root.path
            ))
        }
        RootState::Watched | RootState::Unknown => None,
    }
}

fn sink_away(sink: &SinkLine) -> Option<String> {
    let state = match sink.state.as_str() {
        "down" => "is away",
        "blocked" => "takes nothing",
        "ended" => "has nobody who reads it",
        "connecting" if sink.behind > 0 => "was not reached yet",
        _ => return None,
    };
    let waits = match (sink.behind, sink.oldest_s) {
        (0, _) => "nothing waits for it".to_owned(),
        (behind, Some(age)) => {
            format!("{} for it, the oldest for {}", count(behind, "file waits", "files wait"), span(age))
        }
        (behind, None) => format!("{} for it", count(behind, "file waits", "files wait")),
    };
    let reason = sink.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(format!("The sink {} {state}{reason}: {waits}.", sink.sink))
}

fn outbox_full(report: &Report) -> Option<String> {
    report.outbox.paused.then(|| {
        "Intake pauses: the outbox is full, new files are left on the mount. Bring the sink back, or raise --outbox-max."
            .to_owned()
    })
}

fn budget_too_small(report: &Report) -> Option<String> {
    let (promised, kept) = (report.pace.promised_s?, report.pace.kept_s?);
    (kept > promised).then(|| {
        format!(
            "The budget is too small for the interval: every {} is promised, every {} can be kept. Raise --budget or --interval.",
            span(promised),
            span(kept)
        )
    })
}

/// Only where the root answers: else that is said already.
fn late(report: &Report) -> Option<String> {
    let kept = report.pace.kept_s?;
    let watched = report.roots.iter().filter(|root| root.state == RootState::Watched && root.walked);
    let oldest = watched.filter_map(|root| root.oldest_look_s).fold(0.0, f64::max);
    (oldest > kept * SLACK + LEAST_SLACK).then(|| {
        format!("A directory was last looked at {} ago; every {} is promised.", span(oldest), span(kept))
    })
}

fn first_walk(root: &RootReport) -> Option<String> {
    (root.state == RootState::Watched && !root.walked).then(|| {
        format!(
            "The first walk of {} is under way: {} found, {} of them not looked at yet.",
            root.path,
            count(root.directories, "directory", "directories"),
            grouped(root.unseen)
        )
    })
}

fn unreadable(root: &RootReport) -> Option<String> {
    (root.unreadable > 0).then(|| {
        let directories = count(root.unreadable, "directory", "directories");
        format!("{directories} of {} cannot be read; explain tells why.", root.path)
    })
}

fn refused(report: &Report) -> Option<String> {
    (report.refused_count > 0).then(|| {
        let messages = count(report.refused_count, "message was", "messages were");
        format!("{messages} refused for good; nfs-scout index requeue --refused sends them again.")
    })
}

/// A number and its noun.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// With a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A time for people: two units at most, tenths below ten seconds.
pub(super) fn span(seconds: f64) -> String {
    if seconds < 9.95 {
        let tenths = format!("{seconds:.1}");
        return format!("{} s", tenths.strip_suffix(".0").unwrap_or(&tenths));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time, bounded by u64")]
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    let two = |first: u64, unit: &str, second: u64, small: &str| {
        if second == 0 { format!("{first} {unit}") } else { format!("{first} {unit} {second} {small}") }
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => two(minutes, "min", whole % 60, "s"),
        3600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Pace;

    fn sound() -> Report {
        let root = RootReport {
            path: "/mnt/a".to_owned(),
            state: RootState::Watched,
            walked: true,
            directories: 10,
            oldest_look_s: Some(29.0),
            ..RootReport::default()
        };
        Report {
            running: true,
            roots: vec![root],
            pace: Pace { promised_s: Some(30.0), kept_s: Some(30.0), ..Pace::default() },
            sinks: vec![SinkLine { sink: "redis".to_owned(), state: "up".to_owned(), ..SinkLine::default() }],
            ..Report::default()
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Report, usize), expected: &[&str]) {
        let mut report = sound();
        change(&mut report, 0);
        assert_eq!(problems(&report), expected);
    }

    #[test]
    fn says_what_is_wrong_and_only_that() {
        check(|_, _| {}, &[]);
        check(|it, _| it.running = false, &["No agent runs: this is the state as it was left."]);
        check(
            |it, at| {
                it.roots[at].state = RootState::Lost;
                it.roots[at].lost = Some("it was unmounted".to_owned());
                it.roots[at].oldest_look_s = Some(900.0);
            },
            &["/mnt/a is not watched: it was unmounted. Nothing is forgotten."],
        );
        check(
            |it, at| {
                it.roots[at].state = RootState::Silent;
                it.roots[at].calls = 32;
                it.roots[at].silent_s = Some(75.0);
                it.roots[at].oldest_look_s = Some(100.0);
            },
            &[
                "The file system at /mnt/a does not answer: 32 calls to it have not returned for 1 min 15 s. It is watched again when it answers.",
            ],
        );
        check(
            |it, at| {
                let reason = Some("connection refused".to_owned());
                let state = "down".to_owned();
                let sink = it.sinks[at].sink.clone();
                it.sinks[at] = SinkLine {
                    sink,
                    state,
                    reason,
                    behind: 1200,
                    oldest_s: Some(75.0),
                    ..SinkLine::default()
                };
            },
            &[
                "The sink redis is away (connection refused): 1,200 files wait for it, the oldest for 1 min 15 s.",
            ],
        );
        check(
            |it, _| it.outbox.paused = true,
            &[
                "Intake pauses: the outbox is full, new files are left on the mount. Bring the sink back, or raise --outbox-max.",
            ],
        );
        check(
            |it, _| it.pace.kept_s = Some(95.0),
            &[
                "The budget is too small for the interval: every 30 s is promised, every 1 min 35 s can be kept. Raise --budget or --interval.",
            ],
        );
        check(
            |it, at| it.roots[at].oldest_look_s = Some(61.0),
            &["A directory was last looked at 1 min 1 s ago; every 30 s is promised."],
        );
        check(
            |it, at| {
                it.roots[at].walked = false;
                it.roots[at].unseen = 4;
                it.roots[at].unreadable = 1;
            },
            &[
                "The first walk of /mnt/a is under way: 10 directories found, 4 of them not looked at yet.",
                "1 directory of /mnt/a cannot be read; explain tells why.",
            ],
        );
    }

    #[test]
    fn spans_have_two_units() {
        let cases = [
            (0.0, "0 s"),
            (0.25, "0.2 s"),
            (9.0, "9 s"),
            (9.96, "10 s"),
            (59.6, "1 min"),
            (61.0, "1 min 1 s"),
            (3600.0, "1 h"),
            (90_000.0, "1 d 1 h"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected, "{seconds}");
        }
    }
}
