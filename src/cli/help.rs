//! The parts of the help that are not one option's: headings, examples, how options are set otherwise.

use std::ops::RangeInclusive;

use clap::builder::{RangedU64ValueParser, StringValueParser, TypedValueParser};

use super::args::UncheckedUrl;

pub(super) const WATCH: &str = "What to watch";
pub(super) const OFTEN: &str = "How often";
pub(super) const FILES: &str = "What counts as a file";
pub(super) const SINKS: &str = "Where it goes";
pub(super) const STATE: &str = "State and files";
pub(super) const WATCHING: &str = "Metrics and page";
pub(super) const LIMITS: &str = "Limits";
pub(super) const LOGGING: &str = "Logging";

pub(super) const ABOUT: &str = "\
Finds new files on an NFS mount from the client, where inotify is silent, and hands each complete file over exactly \
once: as a JSON line, as statistics in Redis, as a message in a RabbitMQ queue. Never writes to the mount.";

pub(super) const TOP: &str = "\
EXAMPLES
  nfs-scout run /mnt/data                       print a JSON line for every new file
  nfs-scout run --once /mnt/data                the same for what is new since the last run, from cron
  nfs-scout run /mnt/data --redis redis://localhost --amqp amqp://localhost
  nfs-scout watch /mnt/data --format inotifywait     the same from now on, remembering nothing
  nfs-scout plan /mnt/data --latency 5s         which interval for 5 s, and what it costs
  nfs-scout doctor /mnt/data                    what is wrong with mount, brokers and state, and what to do
  nfs-scout stats                               what was counted
  nfs-scout run --help                          every option

EXIT CODES
  0 done    1 internal error    2 usage    69 a sink was unreachable, the work is kept
  74 the mount could not be read    75 another agent holds the state directory";

pub(super) const RUN: &str = "\
EXAMPLES
  nfs-scout run /mnt/data
  nfs-scout run /mnt/data --once --include '*.tgz'
  nfs-scout run /mnt/data --interval 10s --redis redis://localhost --amqp amqp://localhost
  nfs-scout run --config site.toml --print-config

Every option can also be set in the file and in the environment; `--help` tells how.";

pub(super) const RUN_LONG: &str = "\
EXAMPLES
  nfs-scout run /mnt/data
      Print one JSON line for every file that is there and for every one that comes.
  nfs-scout run /mnt/data --once --include '*.tgz'
      The same for what is new since the last run, and end.
  nfs-scout run /mnt/data --interval 10s --redis redis://localhost --amqp amqp://localhost
      Look at every directory at least each 10 s; keep statistics, fill a queue.
  nfs-scout run /mnt/data --baseline --exclude 'scratch/' --events /var/log/new-files.jsonl
      Only what comes from now on, without the directories called scratch, into a file.
  nfs-scout run --config site.toml --print-config
      Show what would be done, and which file, variable or flag says so.

OPTIONS ELSEWHERE
  Every option has a key in the configuration file (its name: commit-delay = \"50ms\") and a variable
  (NFS_SCOUT_COMMIT_DELAY=50ms). A flag beats the variable, the variable beats the file, the file beats the
  default. Switches are true or false. What can be given several times is a list in the file and separated by
  colons in a variable, and replaces the list of the lower place. An empty variable counts as not set.

UNITS
  Durations: 500ms, 30s, 5m, 1h, 7d, or 1h 30m. Sizes: 64KiB, 500MB, 1GiB, or a number of bytes.

EXIT CODES
  0   done
  1   internal error
  2   usage: a flag, variable or key is wrong
  69  a sink was unreachable and work is left in the outbox; it is kept, the next run sends it
  74  the mount could not be read (with --strict: or a part of it)
  75  another agent holds this state directory; nothing was changed";

pub(super) const PLAN: &str = "\
EXAMPLES
  nfs-scout plan /mnt/data
      What intervals from 1 s to 1 h cost and give. Uses what an agent has learnt of PATH, else walks it.
  nfs-scout plan /mnt/data --latency 5s
      And the command line that finds files after 5 s in the mean.
  nfs-scout plan /mnt/data --interval 10s,30s --svg plan.svg

The time of one RPC is measured. RPC/S counts looking, listing and reading new files. OF TOUCH JOB is the part of what
`find -type f -exec touch` would cost once an interval. MEAN, P99 and WORST are times from a file's arrival until it
is handed over.";

pub(super) const WATCH_ONLY: &str = "\
EXAMPLES
  nfs-scout watch /mnt/data
  nfs-scout watch /mnt/data --interval 5s --include '*.csv' | while read -r event; do ...; done
  nfs-scout watch /mnt/data --format inotifywait | while read -r folder event name; do ...; done

What is there at the start is not printed. Each file that comes or changes is, once it looked the same twice, --settle
apart. Nothing is remembered: what comes while it does not run is never printed; `run` is for that. File and environment
are not read. While it runs it has a state directory below $TMPDIR or /tmp, which it removes at its end (a killed one
leaves it).";

pub(super) const DOCTOR: &str = "\
EXAMPLES
  nfs-scout doctor /mnt/data
  nfs-scout doctor /mnt/data --redis redis://localhost --amqp amqp://localhost
  nfs-scout doctor /mnt/data --json | jq -r '.findings[] | select(.verdict != \"ok\") | .remedy'

Ask as the user who runs the agent. A tree of over 20,000 directories is examined in part. No file, queue, key or index
is changed.

EXIT CODES
  0   nothing is worse than a warning
  74  the mount has a fault
  69  the mount has none, but a broker has
  1   the fault is in the state directory
  2   usage";

pub(super) const STATS: &str = "\
EXAMPLES
  nfs-scout stats
  nfs-scout stats --json --state /var/lib/nfs-scout";

pub(super) const STATUS: &str = "\
EXAMPLES
  nfs-scout status
  nfs-scout status --watch
  nfs-scout status --json --state /var/lib/nfs-scout";

pub(super) const INDEX: &str = "\
EXAMPLES
  nfs-scout index stat
  nfs-scout index list --json
  nfs-scout index requeue --since 2h --sink amqp";

pub(super) const INDEX_STAT: &str = "\
EXAMPLES
  nfs-scout index stat
  nfs-scout index stat --json --state /var/lib/nfs-scout";

pub(super) const INDEX_LIST: &str = "\
EXAMPLES
  nfs-scout index list
  nfs-scout index list --json --state /var/lib/nfs-scout";

pub(super) const INDEX_EXPORT: &str = "\
EXAMPLES
  nfs-scout index export > index.jsonl
  nfs-scout index export | jq -r 'select(.gone_since == null) | .path'";

pub(super) const INDEX_VERIFY: &str = "\
EXAMPLES
  nfs-scout index verify
  nfs-scout index verify --against /mnt/data

The agent must not be running (exit code 75).";

pub(super) const INDEX_FORGET: &str = "\
EXAMPLES
  nfs-scout index forget /mnt/data/2026/job-42.tgz
  nfs-scout index forget --gone

The agent must not be running (exit code 75). Nothing on the mount is touched.";

pub(super) const INDEX_REQUEUE: &str = "\
EXAMPLES
  nfs-scout index requeue --since 2h --sink amqp        the queue was lost this morning
  nfs-scout index requeue --since 2026-11-22T10:00:00Z
  nfs-scout index requeue --refused                     what was refused, and all that came after it

The agent must not be running (exit code 75); its next start sends. Statistics in Redis are never counted again.";

pub(super) const INDEX_RECOUNT: &str = "\
EXAMPLES
  nfs-scout run /mnt/data --once --amqp amqp://localhost     the state was lost: build a new one, without --redis
  nfs-scout index recount --redis redis://localhost          then this, once
  nfs-scout run /mnt/data --redis redis://localhost --amqp amqp://localhost

Each figure becomes the larger one of the two. That is exact, unless files had been removed from the mount and others
came while there was no index: then the fewer of the two are not counted. Nothing is ever counted twice. The agent must
not be running (exit code 75).";

pub(super) const EXPLAIN: &str = "\
EXAMPLES
  nfs-scout explain /mnt/data/2026/job-42.tgz
  nfs-scout explain job-42.tgz --json";

pub(super) const COMPLETIONS: &str = "\
EXAMPLES
  nfs-scout completions bash > /etc/bash_completion.d/nfs-scout
  nfs-scout completions zsh > ~/.zfunc/_nfs-scout";

pub(super) const MAN: &str = "\
EXAMPLES
  nfs-scout man | man -l -
  nfs-scout man run > nfs-scout-run.1";

/// A whole number within `range`; the error names the range.
pub(super) fn count(range: RangeInclusive<u64>) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(range)
}

/// Takes any text: see [`UncheckedUrl`].
pub(super) fn unchecked_url() -> impl TypedValueParser<Value = UncheckedUrl> {
    StringValueParser::new().map(UncheckedUrl)
}
