//! A file that calls itself an archive. Bytes that begin like gzip are the file; any others are a tar, which is given
//! right checksums (no fuzzer finds those) and wrapped as gzip.

use std::io::{self, Read};

use nfs_scout::intake::{Limits, Reading, Redaction, read_archive};
use nfs_scout::model::{AnalysisStatus, JobData, JobFigures};

/// Small, so that a bomb of a few KB costs milliseconds.
const LIMITS: Limits = Limits { unpacked_bytes: 4 << 20, members: 1000, jobdata_bytes: 64 << 10 };

const BLOCK: usize = 512;

pub(crate) fn check(data: &[u8]) {
    let wrapped;
    let file = if data.starts_with(&[0x1f, 0x8b]) {
        data
    } else {
        wrapped = super::gzip_stored(&mended(data));
        &wrapped
    };
    let redaction = Redaction::default();
    let reading =
        read_archive(file, &mut [0; 16_384], &LIMITS, &redaction).expect("a slice is always readable");
    check_reading(&reading, file);
    let trickle = Trickle { rest: file, step: 1 + data.len() % 700 };
    let again =
        read_archive(trickle, &mut [0; 1000], &LIMITS, &redaction).expect("a slice is always readable");
    assert_eq!(again, reading, "in pieces it reads differently");
}

pub(crate) fn check_reading(reading: &Reading, file: &[u8]) {
    assert_eq!(reading.blake3.0, *blake3::hash(file).as_bytes());
    assert_eq!(reading.size, file.len() as u64);
    let data = reading.jobdata_text.as_deref().map(JobData::of);
    assert_eq!(reading.figures, data.as_ref().map(JobFigures::of));
    assert_eq!(data.is_some(), reading.analysis.status == AnalysisStatus::Ok);
    let is_broken = reading.analysis.status.is_broken();
    assert_eq!(
        reading.analysis.detail.is_some(),
        is_broken && reading.analysis.status != AnalysisStatus::NoJobdata
    );
    assert!(reading.experiments.len() <= 64 && reading.experiments.is_sorted());
    for name in &reading.experiments {
        assert!(
            name.len() <= 32 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
            "{name}"
        );
    }
}

/// `tar` with the right checksum in each block that has ustar's mark; the others stay as they are.
fn mended(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    for block in tar.chunks_exact_mut(BLOCK).filter(|block| block[257..].starts_with(b"ustar")) {
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
            .sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

/// A reader that gives at most `step` bytes at a time.
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.step.min(buffer.len()).min(self.rest.len());
        let (now, later) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.rest = later;
        Ok(length)
    }
}
