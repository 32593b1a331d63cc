//! What the schedule itself costs with many directories: time a decision, memory a directory, time to start again.
//!
//! Times are of the processor (from `/proc/self/schedstat`), so that what else runs on the machine counts little.
//! Memory is what the process has grown by (resident, from `/proc/self/status`), between an empty schedule and one
//! that has looked at every directory: it includes what the allocator and growing vectors leave unused.

use std::fs;
use std::time::Duration;

use nfs_scout::schedule::Schedule;
use nfs_scout::schedule::{Budget, Saved, SavedClock, Sighting, Slot, Terms};

use crate::dice::Dice;
use crate::ours::{seconds, timestamp};
use crate::workloads::INTERVAL;

/// Decisions that are timed.
const DECISIONS: usize = 10_000_000;
/// One look in so many finds a file, more often where it found one before.
const QUIET: usize = 64;

/// Measures the schedule with so many directories; the result is a table.
pub(crate) fn measure(directories: usize, seed: u64) -> Result<String, String> {
    let budget = directories as f64 / INTERVAL;
    let terms =
        || Terms { promise: Duration::from_secs_f64(2.0 * INTERVAL), budget: Budget::PerSecond(budget) };
    let dice = &mut Dice::new(seed, "scale");
    let before = resident("VmRSS:")?;
    let mut schedule = Schedule::new(terms(), seed);
    let root = schedule.insert(None, timestamp(0.0));
    for _ in 1..directories {
        schedule.insert(Some(root), timestamp(0.0));
    }
    let mut now = 0.0;
    let cold = drive(&mut schedule, directories, &mut now, budget, dice)?;
    let warm = drive(&mut schedule, DECISIONS, &mut now, budget, dice)?;
    let grown = resident("VmRSS:")?.saturating_sub(before);

    let slots = (0..directories).map(|slot| Slot(slot as u32));
    let saved: Vec<Vec<u8>> = slots.map(|slot| encode(&schedule.save(slot))).collect::<Result<_, _>>()?;
    let clock = encode(&schedule.save_clock())?;
    drop(schedule);
    let began = processor()?;
    let mut restored = Schedule::new(terms(), seed);
    restored.restore_clock(&decode::<SavedClock>(&clock)?);
    restored.expect(saved.len());
    let mut parent = None;
    for bytes in &saved {
        let slot = restored.restore(parent, &decode::<Saved>(bytes)?, timestamp(now));
        parent = parent.or(Some(slot));
    }
    let first = restored.take_due(timestamp(now + 1.0));
    let restoring = processor()?.saturating_sub(began);
    let bytes_saved: usize = saved.iter().map(Vec::len).sum();
    Ok(format!(
        "| {directories} directories | measured | target | holds |\n|---|--:|--:|---|\n\
         | a decision (take_due and looked), first looks | {cold:.0} ns | - | - |\n\
         | a decision, {DECISIONS} of them | {warm:.0} ns | 1000 ns | {} |\n\
         | memory a directory, resident | {:.1} B | 64 B | {} |\n\
         | saved state a directory | {:.1} B | - | - |\n\
         | start from saved state, first decision included | {:.2} s | 3 s | {} |\n\
         {}",
        yes(warm <= 1_000.0),
        grown as f64 / directories as f64,
        yes(grown <= 64 * directories as u64),
        bytes_saved as f64 / directories as f64,
        restoring.as_secs_f64(),
        yes(restoring <= Duration::from_secs(3)),
        if first.is_some() { "" } else { "\nNothing was due within a second of the start.\n" },
    ))
}

/// Drives so many decisions; nanoseconds each, the pace of the clock and what is seen included.
fn drive(
    schedule: &mut Schedule,
    decisions: usize,
    now: &mut f64,
    budget: f64,
    dice: &mut Dice,
) -> Result<f64, String> {
    let began = processor()?;
    let mut made = 0;
    while made < decisions {
        let Some(slot) = schedule.take_due(timestamp(*now)) else {
            let due = schedule.next_due().map_or(0.0, seconds);
            *now = due.max(*now + 0.001 / budget);
            continue;
        };
        // Every 8th directory is lively, and gets half of the files.
        let quiet = if slot.0.is_multiple_of(8) { QUIET / 8 } else { QUIET };
        let arrivals = u32::from(dice.below(quiet) == 0);
        let sighting = Sighting {
            arrivals,
            changed: arrivals > 0,
            changed_ago: Some(Duration::from_secs(if arrivals > 0 { 5 } else { 600 })),
            rpcs: 1 + arrivals,
            file_rpcs: arrivals,
        };
        schedule.looked(slot, timestamp(*now), &sighting);
        made += 1;
    }
    Ok(processor()?.saturating_sub(began).as_secs_f64() * 1e9 / decisions as f64)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, String> {
    postcard::to_stdvec(value).map_err(|error| format!("cannot encode the state: {error}"))
}

fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| format!("cannot decode the state: {error}"))
}

/// The time that this thread, the only one, has had on a processor.
fn processor() -> Result<Duration, String> {
    const FILE: &str = "/proc/self/schedstat";
    let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or(format!("{FILE} does not begin with a number"))
}

/// A figure of the process in bytes.
fn resident(figure: &str) -> Result<u64, String> {
    let status =
        fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or(format!("/proc/self/status has no {figure}"))
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "**no**" }
}
