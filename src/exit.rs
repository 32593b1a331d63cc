//! The process's exit codes: what cron, systemd and scripts decide by.

/// How the process ended; the numbers are a contract (`sysexits.h` where it has one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// A fault of the program itself.
    Internal = 1,
    /// The command line, the environment or the configuration file asks for something impossible.
    Usage = 2,
    /// A sink was unreachable and work is left in the outbox; it is kept, the next run sends it.
    SinkUnreachable = 69,
    /// The mount could not be read: wholly, or in part with `--strict`.
    MountUnreadable = 74,
    /// Another agent holds this state directory; nothing was changed.
    Held = 75,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
