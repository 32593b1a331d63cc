//! The Markdown tables: the figures and, where there is one, the ratio to nfs-scout.

use std::fmt::Write;
use std::time::Duration;

use crate::guest::Entry;
use crate::local;
use crate::peer::Peer;
use crate::trials::{Crowd, Everyday, Figures, Halves, Race, Remount, Stale, Trial};

const NONE: &str = "-";

/// What was measured behind the NFS client: what it costs, then what becomes of the files.
pub(crate) fn on_mounts(peers: &[Peer], entries: &[Entry]) -> String {
    let results = Results(entries);
    let mut text = String::from(
        "| RPCs an interval, NFSv3 / v4.2 | nothing new | times | one new file | of these writes | CPU, times | \
         found after, in intervals: renamed / in place | default mount: mean / most |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for peer in peers {
        let _ = writeln!(text, "| {} | {} |", peer.title(), results.costs(*peer).join(" | "));
    }
    text.push_str(
        "\n| files, NFSv4.2 | lost in the race, v3 / v4.2 | handed over half: slow, stalled; settled | lost by a remount: \
         while away, afterwards | old files again: remount / each interval | crowd: RPCs an interval, times | crowd: lost, \
         doubled |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for peer in peers {
        let _ = writeln!(text, "| {} | {} |", peer.title(), results.fates(*peer).join(" | "));
    }
    for entry in entries {
        if let Err(why) = &entry.outcome {
            let _ =
                writeln!(text, "\n- {}, {:?} on {}: {why}", entry.peer.title(), entry.trial, entry.version);
        }
    }
    text
}

/// What was measured on a local disk.
pub(crate) fn on_a_local_tree(result: &local::Outcome) -> String {
    let local::Outcome { files, interval, rows } = result;
    let ours = rows.iter().find(|row| row.peer == Peer::NfsScout).and_then(|row| row.outcome.as_ref().ok());
    let mut text = format!(
        "| {files} files, every {} | CPU an interval, nothing new | times | one new file | a pass takes | found after | \
         memory | times | ready after |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        humantime::format_duration(*interval),
    );
    for row in rows {
        let cells = match &row.outcome {
            Ok(figures) => local_cells(figures, ours).join(" | "),
            Err(why) => format!("{why} | | | | | | | "),
        };
        let _ = writeln!(text, "| {} | {cells} |", row.peer.title());
    }
    text
}

fn local_cells(figures: &local::Figures, ours: Option<&local::Figures>) -> [String; 8] {
    let seconds = |time: Duration| format!("{} s", number(time.as_secs_f64()));
    let memory = |it: &local::Figures| megabytes(it.peak_bytes);
    [
        seconds(figures.idle_cpu),
        times(figures.idle_cpu.as_secs_f64(), ours.map(|it| it.idle_cpu.as_secs_f64())),
        seconds(figures.news_cpu),
        figures.pass.map_or(NONE.to_owned(), seconds),
        figures.found_after.map_or("lost".to_owned(), seconds),
        format!("{} MB", number(memory(figures))),
        times(memory(figures), ours.map(memory)),
        seconds(figures.ready),
    ]
}

/// The entries, by what they are of.
struct Results<'a>(&'a [Entry]);

impl Results<'_> {
    fn find<'a, T>(
        &'a self,
        peer: Peer,
        trial: Trial,
        version: &str,
        take: impl Fn(&'a Figures) -> Option<&'a T>,
    ) -> Option<&'a T> {
        let entry = self.0.iter().find(|it| it.peer == peer && it.trial == trial && it.version == version)?;
        entry.outcome.as_ref().ok().and_then(take)
    }

    fn everyday(&self, peer: Peer, version: &str) -> Option<&Everyday> {
        self.find(peer, Trial::Everyday, version, |it| {
            if let Figures::Everyday(it) = it { Some(it) } else { None }
        })
    }

    fn race(&self, peer: Peer, version: &str) -> Option<&Race> {
        self.find(peer, Trial::Race, version, |it| if let Figures::Race(it) = it { Some(it) } else { None })
    }

    fn halves(&self, peer: Peer, trial: Trial) -> Option<&Halves> {
        self.find(peer, trial, "v42", |it| if let Figures::Halves(it) = it { Some(it) } else { None })
    }

    fn remount(&self, peer: Peer) -> Option<&Remount> {
        self.find(
            peer,
            Trial::Remount,
            "v42",
            |it| if let Figures::Remount(it) = it { Some(it) } else { None },
        )
    }

    fn stale(&self, peer: Peer) -> Option<&Stale> {
        self.find(peer, Trial::Stale, "v42", |it| if let Figures::Stale(it) = it { Some(it) } else { None })
    }

    fn crowd(&self, peer: Peer) -> Option<&Crowd> {
        self.find(peer, Trial::Crowd, "v42", |it| if let Figures::Crowd(it) = it { Some(it) } else { None })
    }

    fn costs(&self, peer: Peer) -> [String; 7] {
        let both = |cell: &dyn Fn(&Everyday, Option<&Everyday>) -> String| {
            let cells = ["v3", "v42"].map(|version| {
                let ours = self.everyday(Peer::NfsScout, version);
                self.everyday(peer, version).map_or(NONE.to_owned(), |it| cell(it, ours))
            });
            cells.join(" / ")
        };
        let interval = crate::trials::INTERVAL.as_secs_f64();
        let intervals = |seconds: Option<f64>| seconds.map_or("lost".to_owned(), |it| number(it / interval));
        let stale = self.stale(peer);
        [
            both(&|it, _| number(it.idle.rpcs)),
            both(&|it, ours| times(it.idle.rpcs, ours.map(|it| it.idle.rpcs))),
            both(&|it, _| number(it.news.rpcs)),
            both(&|it, _| number(it.news.writes)),
            both(&|it, ours| times(it.idle.cpu_seconds, ours.map(|it| it.idle.cpu_seconds))),
            self.everyday(peer, "v42").map_or(NONE.to_owned(), |it| {
                let lost =
                    if it.lost > 0 { format!(", lost {} of {}", it.lost, it.of) } else { String::new() };
                format!("{} / {}{lost}", intervals(it.found_after_rename), intervals(it.found_after_in_place))
            }),
            stale.map_or(NONE.to_owned(), |it| {
                let seconds = |it: Option<f64>| it.map_or(NONE.to_owned(), |it| format!("{} s", number(it)));
                let lost = if it.lost > 0 {
                    format!(", {} of {} not in 90 s", it.lost, it.of)
                } else {
                    String::new()
                };
                format!("{} / {}{lost}", seconds(it.mean_seconds), seconds(it.most_seconds))
            }),
        ]
    }

    fn fates(&self, peer: Peer) -> [String; 6] {
        let race = |version| {
            self.race(peer, version).map_or(NONE.to_owned(), |it| {
                let not_read =
                    if it.not_read > 0 { format!(" ({} not read)", it.not_read) } else { String::new() };
                format!("{} of {}{not_read}", it.lost, it.of)
            })
        };
        let halves = |trial| {
            self.halves(peer, trial).map(|it| {
                let lost = if it.lost > 0 { format!(", {} lost", it.lost) } else { String::new() };
                let doubled =
                    if it.doubled > 0 { format!(", {} doubled", it.doubled) } else { String::new() };
                format!("{} of {}, {} of {}{lost}{doubled}", it.slow, it.of, it.stalled, it.of)
            })
        };
        let settled = halves(Trial::SettledHalves).map_or(String::new(), |it| format!("; {it}"));
        let (remount, crowd) = (self.remount(peer), self.crowd(peer));
        let repeats = self.everyday(peer, "v42").map_or(NONE.to_owned(), |it| number(it.repeats));
        [
            format!("{} / {}", race("v3"), race("v42")),
            halves(Trial::Halves).map_or(NONE.to_owned(), |it| it + &settled),
            remount.map_or(NONE.to_owned(), |it| {
                let ended = if it.ended { ", ended" } else { "" };
                format!("{} of {}, {} of {}{ended}", it.lost_while_away, it.of, it.lost_afterwards, it.of)
            }),
            remount.map_or(NONE.to_owned(), |it| format!("{} of {} / {repeats}", it.repeats, it.known)),
            crowd.map_or(NONE.to_owned(), |it| {
                let ours = self.crowd(Peer::NfsScout).map(|it| it.rpcs);
                format!("{}, {}", number(it.rpcs), times(it.rpcs, ours))
            }),
            crowd.map_or(NONE.to_owned(), |it| format!("{}, {} of {}", it.lost, it.doubled, it.of)),
        ]
    }
}

/// How many times ours it is.
fn times(theirs: f64, ours: Option<f64>) -> String {
    match ours {
        Some(ours) if ours > 0.0 => number(theirs / ours),
        _ => NONE.to_owned(),
    }
}

/// Two digits, or all before the point.
fn number(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 || value == 0.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1_000).unwrap_or(u32::MAX)) / 1_000.0
}
