//! The file's own bytes: hashed and counted as they pass, to the last one, whatever the layers above make of them.

use std::io::{self, Read};

use crate::model::ContentHash;

/// What a gzip file with deflate inside starts with.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// A reader that hashes what it hands on and remembers the error that it was handed.
///
/// The layers above turn errors into verdicts; only here is it known which error was the file's and which the content's.
pub(super) struct Source<R> {
    inner: R,
    hasher: blake3::Hasher,
    size: u64,
    has_ended: bool,
    head: Vec<u8>,
    failure: Option<io::Error>,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        let head = Vec::with_capacity(GZIP_MAGIC.len());
        Self { inner, hasher: blake3::Hasher::new(), size: 0, has_ended: false, head, failure: None }
    }

    /// Reads what is left and gives the hash and the number of all bytes; or the error of a failed read, now or before.
    pub(super) fn finish(mut self, buffer: &mut [u8]) -> io::Result<(ContentHash, u64)> {
        while !self.has_ended && self.read(buffer).is_ok_and(|count| count > 0) {}
        match self.failure {
            Some(error) => Err(error),
            None => Ok((ContentHash(*self.hasher.finalize().as_bytes()), self.size)),
        }
    }

    /// Whether nothing was in it, as far as it was read.
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether the bytes so far are the start of a gzip file; one byte may already tell that they are not.
    pub(super) fn starts_as_gzip(&self) -> bool {
        GZIP_MAGIC.starts_with(&self.head)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
        let missing = GZIP_MAGIC.len() - self.head.len();
        self.head.extend(bytes.iter().take(missing));
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("an earlier read failed"));
        }
        loop {
            match self.inner.read(buffer) {
                Ok(count) => {
                    self.has_ended = count == 0;
                    self.note(buffer.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The original is kept for the caller, errno and all; what goes up is a copy that nobody reads.
                    self.failure = Some(error);
                    return Err(io::Error::other("the file could not be read"));
                }
            }
        }
    }
}
