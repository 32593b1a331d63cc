//! What must hold of any bytes whatever: one check a file, shared by the fuzz targets and by `tests/fuzz_seeds.rs`,
//! which replays the seeds. Independent of the fuzzer: a check panics or returns.

#![allow(dead_code, reason = "each of those who share it uses a part of it")]

pub(crate) mod archive;
pub(crate) mod configuration;
pub(crate) mod jobdata;
pub(crate) mod names;
pub(crate) mod rows;

/// Bytes of heap that all of a process may take, the check's own included.
pub(crate) const MEMORY_LIMIT: usize = 64 << 20;

/// A password to plant beside `data`: of its hash, so that the input can hardly hold it already. A fixed one is learnt by
/// the fuzzer from the comparisons that it watches.
pub(crate) fn secret_for(data: &[u8]) -> String {
    blake3::hash(data).to_hex().chars().take(16).collect()
}

/// Wraps `bytes` as a gzip member whose one layer is not compressed: what is fuzzed then are the bytes themselves.
pub(crate) fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        file.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a chunk is at most 0xffff bytes");
        file.push(u8::from(blocks.peek().is_none()));
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&(!length).to_le_bytes());
        file.extend_from_slice(block);
    }
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    file.extend_from_slice(&sum.sum().to_le_bytes());
    file.extend_from_slice(&sum.amount().to_le_bytes());
    file
}
