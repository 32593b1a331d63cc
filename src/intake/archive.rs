//! Walks a tar from its first header to behind its end mark, keeping only `jobdata` and the experiments' names.
//!
//! The headers are the `tar` crate's; the walk is our own, for three reasons. The crate takes a tar that just stops for a
//! whole one; it reads long names and pax records of any length into memory; and it tells a cut tar from a damaged one
//! only in words. Names are compared, never used: nothing is unpacked.

use std::collections::BTreeSet;
use std::io::Read;

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::experiment::experiment_of;
use super::fault::Fault;
use super::reading::Limits;
use super::unpack::Unpacked;

const BLOCK_BYTES: u64 = 512;

/// The most that one extension header may say: `PATH_MAX` is 4 KiB, one extended attribute at most 64 KiB.
const MAX_EXTENSION_BYTES: u64 = 256 * 1024;

/// The most experiments of one job: each becomes a namespace of the statistics.
const MAX_EXPERIMENTS: usize = 64;

/// What is kept of an archive.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The bytes of the `jobdata` member; of the last one if there are several, as unpacking would leave them.
    pub(super) jobdata: Option<Vec<u8>>,
    /// The experiments whose analyses it holds.
    pub(super) experiments: BTreeSet<String>,
}

/// Reads all of `unpacked`: the tar, what follows its end mark, and so the checksum of the gzip data.
pub(super) fn walk<R: Read>(unpacked: &mut Unpacked<'_, R>, limits: &Limits) -> Result<Contents, Fault> {
    let mut contents = Contents::default();
    let mut said = Extension::default();
    let mut headers = 0;
    while let Some(header) = next_header(unpacked, headers == 0)? {
        headers += 1;
        if headers > limits.members {
            return Err(Fault::Members(limits.members));
        }
        let size = header.entry_size().map_err(|_| Fault::DamagedTar)?;
        match header.entry_type() {
            EntryType::GNULongName => said.take_long_name(read_extension(unpacked, size)?),
            EntryType::XHeader => said.take_pax_records(&read_extension(unpacked, size)?),
            EntryType::GNULongLink | EntryType::XGlobalHeader => skip_data(unpacked, size)?,
            kind => {
                skip_sparse_map(unpacked, &header)?;
                let said = std::mem::take(&mut said);
                let member = Member {
                    name: said.name.unwrap_or_else(|| header.path_bytes().into_owned()),
                    kind,
                    // A hard link has no data whatever its size says; so GNU tar reads it.
                    size: if kind == EntryType::Link { 0 } else { said.size.unwrap_or(size) },
                };
                take_member(unpacked, &member, limits, &mut contents)?;
            }
        }
    }
    unpacked.skip(u64::MAX)?;
    Ok(contents)
}

/// A member as its headers describe it.
struct Member {
    name: Vec<u8>,
    kind: EntryType,
    size: u64,
}

fn take_member<R: Read>(
    unpacked: &mut Unpacked<'_, R>,
    member: &Member,
    limits: &Limits,
    contents: &mut Contents,
) -> Result<(), Fault> {
    let name = member.name.strip_prefix(b"./").unwrap_or(&member.name);
    if name == b"jobdata" && matches!(member.kind, EntryType::Regular | EntryType::Continuous) {
        if member.size > limits.jobdata_bytes {
            return Err(Fault::Jobdata(limits.jobdata_bytes));
        }
        contents.jobdata = Some(read_data(unpacked, member.size)?);
        return Ok(());
    }
    // Links too: tar stores the second of two hard-linked analyses as one.
    if member.kind != EntryType::Directory {
        contents.experiments.extend(experiment_of(name));
        if contents.experiments.len() > MAX_EXPERIMENTS {
            return Err(Fault::Experiments(MAX_EXPERIMENTS));
        }
    }
    skip_data(unpacked, member.size)
}

/// The next header, `None` at the end mark.
///
/// One block of zeros is taken for the end mark, though there should be two: GNU tar reads such an archive to the end with
/// a mere warning, and a cut can leave it behind only inside whole gzip data, where the writer itself must have stopped
/// between the two blocks. No block at all is a cut tar, which GNU tar accepts in silence.
fn next_header<R: Read>(unpacked: &mut Unpacked<'_, R>, first: bool) -> Result<Option<Header>, Fault> {
    // Only to be read into: a new one would have numbers written into it.
    let mut header = Header::from_byte_slice(&[0; 512]).clone();
    let filled = unpacked.fill(header.as_mut_bytes())?;
    if filled < header.as_bytes().len() {
        return Err(if first && filled > 0 { Fault::NoTar } else { Fault::CutTar });
    }
    if header.as_bytes().iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if header.cksum().is_ok_and(|stored| stored == checksum(&header)) {
        Ok(Some(header))
    } else {
        Err(if first { Fault::NoTar } else { Fault::DamagedTar })
    }
}

/// The sum of a header's bytes, its own checksum field counted as blanks.
fn checksum(header: &Header) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let field = &header.as_old().cksum;
    sum(header.as_bytes()) - sum(field) + sum(&[b' '; 8])
}

/// Reads over the further blocks of an old GNU sparse file's map, which its size does not count.
fn skip_sparse_map<R: Read>(unpacked: &mut Unpacked<'_, R>, header: &Header) -> Result<(), Fault> {
    let mut more = header.entry_type() == EntryType::GNUSparse
        && header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
    while more {
        let mut block = GnuExtSparseHeader::new();
        let filled = unpacked.fill(block.as_mut_bytes())?;
        if filled < block.as_bytes().len() {
            return Err(Fault::CutTar);
        }
        more = block.is_extended();
    }
    Ok(())
}

fn read_extension<R: Read>(unpacked: &mut Unpacked<'_, R>, size: u64) -> Result<Vec<u8>, Fault> {
    if size > MAX_EXTENSION_BYTES {
        return Err(Fault::Extension(MAX_EXTENSION_BYTES));
    }
    read_data(unpacked, size)
}

/// Reads a member's data, whose size the caller has bounded, and its padding.
fn read_data<R: Read>(unpacked: &mut Unpacked<'_, R>, size: u64) -> Result<Vec<u8>, Fault> {
    let mut data = vec![0; usize::try_from(size).map_err(|_| Fault::DamagedTar)?];
    if unpacked.fill(&mut data)? < data.len() {
        return Err(Fault::CutTar);
    }
    skip_whole(unpacked, padding_of(size))?;
    Ok(data)
}

/// Reads over a member's data and its padding.
fn skip_data<R: Read>(unpacked: &mut Unpacked<'_, R>, size: u64) -> Result<(), Fault> {
    skip_whole(unpacked, size)?;
    skip_whole(unpacked, padding_of(size))
}

fn skip_whole<R: Read>(unpacked: &mut Unpacked<'_, R>, count: u64) -> Result<(), Fault> {
    if unpacked.skip(count)? < count { Err(Fault::CutTar) } else { Ok(()) }
}

/// What is missing to a whole number of blocks.
fn padding_of(size: u64) -> u64 {
    (BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES
}

/// What extension headers said of the member that follows them.
#[derive(Debug, Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extension {
    /// Takes a GNU long name, which ends with a NUL byte.
    fn take_long_name(&mut self, mut data: Vec<u8>) {
        let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        data.truncate(end);
        self.name = Some(data);
    }

    /// Takes `path` and `size` from pax records, `LENGTH KEY=VALUE\n`; what comes after a malformed one is not read.
    fn take_pax_records(&mut self, mut data: &[u8]) {
        while let Some((key, value, rest)) = split_pax_record(data) {
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => self.size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                _ => {}
            }
            data = rest;
        }
    }
}

/// Key and value of the first record, and what follows it; by its length, since a value may hold newlines.
fn split_pax_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(data.get(..blank)?).ok()?.parse().ok()?;
    let record = data.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, data.get(length..)?))
}
