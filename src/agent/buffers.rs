//! Memory into which files are read: large pieces for large files, but few of them.
//!
//! Left to itself an NFS client of Linux reads 128 KiB ahead, whatever its `rsize`; what it is asked for at once it fetches in
//! READs of `rsize`. Measured with an `rsize` of 1 MiB and a round trip of 20 ms: a file of 64 MiB takes 64 READs and 0.7 s, instead
//! of 512 and 5.4 s. A large piece for each of 32 threads would be more memory than all the rest of the program.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a large piece: the largest `rsize` of Linux, says nfs(5).
const LARGE: usize = 1024 * 1024;

/// How many large pieces there are at most, in use and for the next ones. Who finds none reads in small ones and does not wait:
/// they may be in the hands of calls that hang.
const MOST_LARGE: usize = 8;

/// Bytes of a small piece.
const SMALL: usize = 64 * 1024;

/// How many small pieces are kept for the next reading: for as many threads as run at once on most machines.
const MOST_IDLE: usize = 16;

/// The least that is read at a time: a file may have grown since its size was seen.
const LEAST: usize = 4 * 1024;

/// Where pieces come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    large_in_use: usize,
}

/// A piece, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// A piece for a file of `size` bytes: as large as that, within bounds.
    pub(super) fn get(&self, size: u64) -> Buffer {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > SMALL
            && let Some(bytes) = self.take_large()
        {
            return Buffer { bytes, length: LARGE, home: self.clone() };
        }
        let bytes = self.pieces().small.pop().unwrap_or_else(|| vec![0; SMALL]);
        Buffer { bytes, length: size.clamp(LEAST, SMALL), home: self.clone() }
    }

    fn take_large(&self) -> Option<Vec<u8>> {
        let mut pieces = self.pieces();
        let may_be_new = pieces.large_in_use < MOST_LARGE;
        let bytes = pieces.large.pop().or_else(|| may_be_new.then(|| vec![0; LARGE]))?;
        pieces.large_in_use += 1;
        Some(bytes)
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pieces = self.home.pieces();
        if self.bytes.len() == LARGE {
            pieces.large_in_use -= 1;
            pieces.large.push(std::mem::take(&mut self.bytes));
        } else if pieces.small.len() < MOST_IDLE {
            pieces.small.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_as_large_as_the_file_within_bounds() {
        let buffers = Buffers::default();
        let len = |size| buffers.get(size).len();
        assert_eq!([0, 14_000, 65_536].map(len), [LEAST, 14_000, SMALL]);
        assert_eq!([65_537, 3_000_000, u64::MAX].map(len), [LARGE; 3]);
    }

    #[test]
    fn large_pieces_are_few_and_used_again() {
        let buffers = Buffers::default();
        for _ in 0..2 {
            let held: Vec<Buffer> = (0..20).map(|_| buffers.get(u64::MAX)).collect();
            let large = held.iter().filter(|piece| piece.len() == LARGE).count();
            let small = held.iter().filter(|piece| piece.len() == SMALL).count();
            assert_eq!((large, small), (MOST_LARGE, 20 - MOST_LARGE));
        }
        let pieces = buffers.pieces();
        assert_eq!(
            (pieces.large.len(), pieces.large_in_use, pieces.small.len()),
            (MOST_LARGE, 0, 20 - MOST_LARGE)
        );
    }

    #[test]
    fn small_pieces_are_used_again_and_few_are_kept() {
        let buffers = Buffers::default();
        let held: Vec<Buffer> = (0..40).map(|_| buffers.get(1)).collect();
        drop(held);
        assert_eq!(buffers.pieces().small.len(), MOST_IDLE);
        let _held = buffers.get(SMALL as u64);
        assert_eq!(buffers.pieces().small.len(), MOST_IDLE - 1);
    }
}
