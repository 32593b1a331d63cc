//! What gunzip gives, up to a limit, with gzip's failures told apart.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use super::fault::Fault;

/// How much is unpacked at a time, whatever is asked for. A tar is asked for by headers of 512 bytes and by members that are
/// mostly short, and each call begins and ends with bytes that the decoder takes one by one: unpacked so, an archive of 14 kB
/// took 229 µs instead of 122. Damage voids the whole piece in which it lies, so that what is said of a file that is damaged in
/// several ways does not hang on how many of its bytes a READ brings.
const AT_ONCE: usize = 64 * 1024;

thread_local! {
    /// The memory of the archive that this thread unpacked last, for the next one.
    static PIECE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The unpacked bytes of a gzip file.
///
/// Reads several gzip members as one, as gzip(1) does. Anything else behind the last member is a fault, zeros too, though gzip(1)
/// skips those: a file that was allocated ahead and is still being written looks just so, and its hash is not final.
pub(super) struct Unpacked<'a, R> {
    gzip: MultiGzDecoder<Pieces<'a, R>>,
    /// What is unpacked and was not taken yet: from `begin` to `end`.
    piece: Vec<u8>,
    begin: usize,
    end: usize,
    limit: u64,
    left: u64,
}

impl<'a, R: Read> Unpacked<'a, R> {
    /// Unpacks up to `limit` bytes of `source`, of which as much is read at a time as `buffer` takes.
    pub(super) fn new(source: R, buffer: &'a mut [u8], limit: u64) -> Self {
        let gzip = MultiGzDecoder::new(Pieces { source, buffer, begin: 0, end: 0 });
        let mut piece = PIECE.take();
        piece.resize(AT_ONCE, 0);
        Self { gzip, piece, begin: 0, end: 0, limit, left: limit }
    }

    /// Fills as much of `buffer` as there is; less only at the end.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let mut there = self.next()?;
            match there.read(rest).unwrap_or_default() {
                0 => break,
                count => {
                    self.take(count)?;
                    filled += count;
                }
            }
        }
        Ok(filled)
    }

    /// Reads over `count` bytes and gives how many there were.
    pub(super) fn skip(&mut self, count: u64) -> Result<u64, Fault> {
        let mut skipped = 0;
        while skipped < count {
            let over = usize::try_from(count - skipped).unwrap_or(usize::MAX).min(self.next()?.len());
            if over == 0 {
                break;
            }
            self.take(over)?;
            skipped += over as u64;
        }
        Ok(skipped)
    }

    /// What is unpacked: nothing only at the end.
    fn next(&mut self) -> Result<&[u8], Fault> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            while let Some(rest) = self.piece.get_mut(self.end..).filter(|rest| !rest.is_empty()) {
                match self.gzip.read(rest).map_err(|error| fault_of(&error))? {
                    0 => break,
                    count => self.end += count,
                }
            }
        }
        Ok(self.piece.get(self.begin..self.end).unwrap_or_default())
    }

    /// Takes so many bytes of what is unpacked, and counts them against the limit.
    fn take(&mut self, count: usize) -> Result<(), Fault> {
        self.begin += count;
        self.left = self.left.checked_sub(count as u64).ok_or(Fault::Unpacked(self.limit))?;
        Ok(())
    }
}

impl<R> Drop for Unpacked<'_, R> {
    fn drop(&mut self) {
        PIECE.set(std::mem::take(&mut self.piece));
    }
}

/// Reads a piece at a time into memory that is lent: `BufReader` would have one of its own.
struct Pieces<'a, R> {
    source: R,
    buffer: &'a mut [u8],
    begin: usize,
    end: usize,
}

impl<R: Read> BufRead for Pieces<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, self.source.read(self.buffer)?);
        }
        Ok(self.buffer.get(self.begin..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.begin = self.begin.saturating_add(count).min(self.end);
    }
}

impl<R: Read> Read for Pieces<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// Judges gunzip's error by its kind; its words are constants of the decoder and hold nothing of the file.
fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::CutGzip,
        _ => Fault::DamagedGzip(error.to_string()),
    }
}
