//! The report as metrics. Their names and meanings are told to people in `docs/metrics.md`; a test compares.

use super::exposition::{Exposition, Kind};
use super::report::{Report, RootReport, RootState, SinkLine};
use crate::model::float;

/// The media type of what [`metrics`] gives.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The looks of the counter `nfs_scout_looks_total`, by the event that counts them.
const LOOKS: [(&str, &str); 4] = [
    ("unchanged", "directories_unchanged"),
    ("changed", "directories_changed"),
    ("confirmed", "directories_confirmed"),
    ("failed", "directories_failed"),
];

/// The files of the counter `nfs_scout_files_total`, by the event that counts them.
const FILES: [(&str, &str); 6] = [
    ("appeared", "files_appeared"),
    ("replaced", "files_replaced"),
    ("broken", "files_broken"),
    ("moved", "files_moved"),
    ("same", "files_same"),
    ("baselined", "files_baselined"),
];

/// The report in Prometheus' text format.
#[must_use]
pub fn metrics(report: &Report) -> String {
    let mut to = Exposition::default();
    agent(report, &mut to);
    roots(report, &mut to);
    pace(report, &mut to);
    rpcs(report, &mut to);
    files(report, &mut to);
    sinks(report, &mut to);
    to.finish()
}

fn agent(report: &Report, to: &mut Exposition) {
    let info = (vec![("version", report.version.as_str()), ("agent", report.agent.as_str())], 1.0);
    to.metric(
        "nfs_scout_build_info",
        Kind::Gauge,
        "1, with the version and the agent's name in Redis.",
        [info],
    );
    to.single(
        "nfs_scout_report_timestamp_seconds",
        Kind::Gauge,
        "When these figures were taken, in seconds since 1970.",
        Some(report.at_seconds),
    );
}

fn roots(report: &Report, to: &mut Exposition) {
    let mut each = |name: &str, help: &str, value: &dyn Fn(&RootReport) -> Option<f64>| {
        let samples = report.roots.iter();
        let samples = samples.filter_map(|root| Some((vec![("root", root.path.as_str())], value(root)?)));
        to.metric(name, Kind::Gauge, help, samples.collect::<Vec<_>>());
    };
    let flag = |yes: bool| Some(f64::from(u8::from(yes)));
    each("nfs_scout_directories", "Directories known below the root.", &|root| Some(float(root.directories)));
    each("nfs_scout_directories_unseen", "Directories that no look has succeeded at yet.", &|root| {
        Some(float(root.unseen))
    });
    each(
        "nfs_scout_directories_unreadable",
        "Directories that could not be read at the last look.",
        &|root| Some(float(root.unreadable)),
    );
    each(
        "nfs_scout_root_watched",
        "1 while the root is watched; 0 while the mount guard holds it: it is away, or another file system lies there.",
        &|root| flag(matches!(root.state, RootState::Watched | RootState::Silent)),
    );
    each(
        "nfs_scout_root_silent",
        "1 while the server of the root answers nothing (10 s or longer).",
        &|root| flag(root.state == RootState::Silent),
    );
    each("nfs_scout_root_calls", "Calls to the root under way.", &|root| Some(float(root.calls)));
    each(
        "nfs_scout_oldest_look_seconds",
        "Time since the last look at the directory that was looked at longest ago.",
        &|root| root.oldest_look_s,
    );
    let lost = counted(report, "mount_guard_trips");
    let help = "How often the mount guard took a root off: it was away, or another file system lay there.";
    to.single("nfs_scout_mount_guard_trips_total", Kind::Counter, help, Some(lost));
}

fn pace(report: &Report, to: &mut Exposition) {
    let pace = &report.pace;
    let mut gauge = |name: &str, help: &str, value: Option<f64>| to.single(name, Kind::Gauge, help, value);
    gauge(
        "nfs_scout_bound_promised_seconds",
        "The longest time that a directory is to go unchecked.",
        pace.promised_s,
    );
    gauge(
        "nfs_scout_bound_kept_seconds",
        "What the budget allows of that: more if it is too small.",
        pace.kept_s,
    );
    gauge("nfs_scout_budget_rpcs_per_second", "RPCs a second that looking may cost now.", pace.budget);
    gauge(
        "nfs_scout_needed_rpcs_per_second",
        "RPCs a second that the interval needs if nothing changes.",
        pace.needed,
    );
    let looks = LOOKS.map(|(result, counter)| (vec![("result", result)], counted(report, counter)));
    to.metric("nfs_scout_looks_total", Kind::Counter, "Looks at directories, by what they showed.", looks);
}

fn rpcs(report: &Report, to: &mut Exposition) {
    let counts = report.rpcs.iter();
    let counts = counts.map(|(name, operation)| (vec![("operation", name.as_str())], float(operation.count)));
    let help = "RPCs of the mounts, as the kernel counts them: those of other processes are among them.";
    to.metric("nfs_scout_rpcs_total", Kind::Counter, help, counts);
    let times = report.rpcs.iter().map(|(name, operation)| {
        let seconds = operation.round_trip_ms * float(operation.count) / 1000.0;
        (vec![("operation", name.as_str())], seconds)
    });
    let help = "Time from sending to receiving, of all RPCs of the operation together.";
    to.metric("nfs_scout_rpc_round_trip_seconds_total", Kind::Counter, help, times);
}

fn files(report: &Report, to: &mut Exposition) {
    let files = FILES.map(|(result, counter)| (vec![("result", result)], counted(report, counter)));
    to.metric("nfs_scout_files_total", Kind::Counter, "Files looked at, by what became of them.", files);
    let latency = &report.latency;
    let help = "Time from the last look at a directory without a file until the file was handed over: what it waited at most.";
    to.histogram("nfs_scout_detection_latency_seconds", help, &latency.within, latency.count, latency.sum_s);
    let help = "Files that wait.";
    to.single("nfs_scout_waiting_files", Kind::Gauge, help, Some(float(report.waiting_count)));
    let reasons = report.waiting_reasons.iter();
    let reasons = reasons.map(|(reason, count)| (vec![("reason", reason.as_str())], float(*count)));
    to.metric("nfs_scout_waiting_files_by_reason", Kind::Gauge, "Files that wait, by reason.", reasons);
    let help = "The number of the last handover.";
    to.single("nfs_scout_journal_head", Kind::Gauge, help, Some(float(report.head)));
}

fn sinks(report: &Report, to: &mut Exposition) {
    let mut each = |name: &str, kind, help: &str, value: &dyn Fn(&SinkLine) -> f64| {
        let attached = report.sinks.iter().filter(|sink| sink.is_attached());
        let samples = attached.map(|sink| (vec![("sink", sink.sink.as_str())], value(sink)));
        to.metric(name, kind, help, samples.collect::<Vec<_>>());
    };
    let gauge = Kind::Gauge;
    each("nfs_scout_sink_up", gauge, "1 while the sink takes messages.", &|sink| {
        f64::from(u8::from(sink.state == "up"))
    });
    each("nfs_scout_outbox_messages", gauge, "Handovers that the sink has not confirmed.", &|sink| {
        float(sink.behind)
    });
    let help = "Age of the oldest handover that the sink has not confirmed; 0 without one.";
    each("nfs_scout_outbox_oldest_age_seconds", gauge, help, &|sink| sink.oldest_s.unwrap_or(0.0));
    each("nfs_scout_delivered_total", Kind::Counter, "Handovers delivered, repeats included.", &|sink| {
        float(sink.delivered)
    });
    each("nfs_scout_refused_messages", gauge, "Handovers that the sink refused for good.", &|sink| {
        float(sink.refused)
    });
    let mut single = |name: &str, help: &str, value: Option<f64>| to.single(name, gauge, help, value);
    let outbox = &report.outbox;
    single("nfs_scout_outbox_bytes", "Bytes that wait on disk for sinks.", Some(float(outbox.bytes)));
    single("nfs_scout_outbox_max_bytes", "From how many on intake pauses.", outbox.bound.map(float));
    single(
        "nfs_scout_intake_paused",
        "1 while no file is read because the outbox is full.",
        Some(f64::from(u8::from(outbox.paused))),
    );
}

fn counted(report: &Report, counter: &str) -> f64 {
    float(report.counts.get(counter).copied().unwrap_or(0))
}
