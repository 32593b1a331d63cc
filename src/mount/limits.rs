//! How many directories may be held open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors left for everything else: files being read, sockets, the store.
const RESERVED: u64 = 512;

/// More than this is not held even where it is allowed: each keeps about a kibibyte of the kernel's memory.
const MOST: u64 = 65_536;

/// Raises the soft limit of open files to the hard one; tells how many directories may be held under it.
///
/// Every directory that is held costs one RPC a look. One that is not costs a LOOKUP of its path too.
#[must_use]
pub fn directories_to_hold() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let room = allowed.map_or(MOST, |allowed| allowed.saturating_sub(RESERVED).max(allowed / 4));
    usize::try_from(room.min(MOST)).unwrap_or(1)
}

/// The most files that this process may have open at a time, once it has raised its soft limit; `None` without a limit.
#[must_use]
pub fn most_open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_some_and_leaves_some() {
        let hold = directories_to_hold() as u64;
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(hold > 0 && hold <= MOST);
        assert!(limit.current.is_none_or(|limit| hold < limit));
    }
}
