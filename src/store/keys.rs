//! The layout of the one tree: a letter for the kind of row, then big-endian numbers, so that ranges are in order.
//!
//! | key | row |
//! |---|---|
//! | `m` name | format, agent's name, last steady time, head of the journal, number of commits, patterns of the last run, what the ledger counts |
//! | `r` root | a watched root |
//! | `d` directory | a directory |
//! | `s` directory, run | up to 64 files of a directory |
//! | `i` root, fileid / 64 | fingerprints that recognise a moved file |
//! | `w` directory, name | a file that waits |
//! | `e` root, directory / 64 | what the schedule has learnt of up to 64 directories |
//! | `k` root | the clock of a root's schedule |
//! | `f` directory | why it cannot be read |
//! | `j` seq, part | a handover, in parts of at most 4 KiB |
//! | `c` sink | how far a sink has confirmed |
//! | `x` sink, seq | a handover that a sink refused |
//! | `l` … | the ledger |

use crate::model::Seq;

use super::{DirId, RootId};

pub(super) const FORMAT: &[u8] = b"mformat";
pub(super) const AGENT_ID: &[u8] = b"magent";
pub(super) const LAST_STEADY: &[u8] = b"mtime";
pub(super) const HEAD: &[u8] = b"mhead";
pub(super) const COMMITS: &[u8] = b"mcommits";
pub(super) const LEDGER_UPTO: &[u8] = b"mledger";
pub(super) const PATTERNS: &[u8] = b"mpatterns";

pub(super) const ROOTS: &[u8] = b"r";
pub(super) const DIRECTORIES: &[u8] = b"d";
pub(super) const HINDRANCES: &[u8] = b"f";
pub(super) const WAITING: &[u8] = b"w";
pub(super) const JOURNAL: &[u8] = b"j";
pub(super) const CURSORS: &[u8] = b"c";
pub(super) const REFUSED: &[u8] = b"x";
pub(super) const LEDGER: &[u8] = b"l";

fn key(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(letter);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(super) fn root(root: RootId) -> Vec<u8> {
    key(b'r', &[&root.0.to_be_bytes()])
}

pub(super) fn directory(dir: DirId) -> Vec<u8> {
    key(b'd', &[&dir.0.to_be_bytes()])
}

pub(super) fn hindrance(dir: DirId) -> Vec<u8> {
    key(b'f', &[&dir.0.to_be_bytes()])
}

pub(super) fn runs_of(dir: DirId) -> Vec<u8> {
    key(b's', &[&dir.0.to_be_bytes()])
}

pub(super) fn run(dir: DirId, run: u32) -> Vec<u8> {
    key(b's', &[&dir.0.to_be_bytes(), &run.to_be_bytes()])
}

pub(super) fn fileids(root: RootId, block: u64) -> Vec<u8> {
    key(b'i', &[&root.0.to_be_bytes(), &block.to_be_bytes()])
}

pub(super) fn learnt(root: RootId, row: u64) -> Vec<u8> {
    key(b'e', &[&root.0.to_be_bytes(), &row.to_be_bytes()])
}

pub(super) fn learnt_of(root: RootId) -> Vec<u8> {
    key(b'e', &[&root.0.to_be_bytes()])
}

pub(super) fn schedule_clock(root: RootId) -> Vec<u8> {
    key(b'k', &[&root.0.to_be_bytes()])
}

pub(super) fn waiting(dir: DirId, name: &[u8]) -> Vec<u8> {
    key(b'w', &[&dir.0.to_be_bytes(), name])
}

pub(super) fn journal(seq: Seq, part: u16) -> Vec<u8> {
    key(b'j', &[&seq.to_be_bytes(), &part.to_be_bytes()])
}

pub(super) fn cursor(sink: &str) -> Vec<u8> {
    key(b'c', &[sink.as_bytes()])
}

pub(super) fn attached(sink: &str) -> Vec<u8> {
    key(b'a', &[sink.as_bytes()])
}

pub(super) fn refused(sink: &str, seq: Seq) -> Vec<u8> {
    key(b'x', &[sink.as_bytes(), &[0], &seq.to_be_bytes()])
}

/// The big-endian number at `at` in a key.
pub(super) fn number_at(key: &[u8], at: usize) -> Option<u64> {
    key.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}

/// The last four bytes of a key, a run's number.
pub(super) fn last_u32(key: &[u8]) -> Option<u32> {
    key.last_chunk::<4>().copied().map(u32::from_be_bytes)
}
