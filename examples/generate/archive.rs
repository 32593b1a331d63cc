//! Builds job archives in memory: tar members, their headers as GNU tar writes them, gzip around it.
//!
//! Shared by the generator, the benchmarks and the tests. Knows nothing of the crate, so that what it builds is an
//! independent witness; and lets a test lie in a header, which a proper tar library would refuse.

#![allow(dead_code, reason = "each of those who share it uses a part of it")]

use std::io::Write;

use flate2::{Compression, GzBuilder};
use tar::Header;

/// GNU tar fills its last record with zeros, and its two blocks of zeros at the end are part of that.
const RECORD_BYTES: usize = 10_240;

/// When every member was last changed: 2014-06-19, as in the first job that this was modelled on.
const MTIME_SECONDS: u64 = 1_403_163_660;

/// One member of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Its path, as it stands in the header; longer than 100 bytes, it gets a long-name header in front.
    pub(crate) name: String,
    header: Header,
    data: Vec<u8>,
}

impl Member {
    /// A file.
    pub(crate) fn file(name: impl Into<String>, data: impl AsRef<[u8]>) -> Self {
        Self::raw(name, b'0', data)
    }

    /// A file that may be executed.
    pub(crate) fn script(name: impl Into<String>, data: impl AsRef<[u8]>) -> Self {
        let mut member = Self::raw(name, b'0', data);
        member.header.set_mode(0o755);
        member
    }

    /// A directory.
    pub(crate) fn directory(name: impl Into<String>) -> Self {
        let mut member = Self::raw(name, b'5', "");
        member.header.set_mode(0o755);
        member
    }

    /// A symbolic link.
    pub(crate) fn link(name: impl Into<String>, target: &str) -> Self {
        let mut member = Self::raw(name, b'2', "");
        member.header.set_link_name_literal(target).expect("the target is short");
        member
    }

    /// A member of the kind that the byte `kind` says, for instance `x`, pax records.
    pub(crate) fn raw(name: impl Into<String>, kind: u8, data: impl AsRef<[u8]>) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(MTIME_SECONDS);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(data.as_ref().len() as u64);
        Self { name: name.into(), header, data: data.as_ref().to_vec() }
    }

    /// A file whose header claims `size` bytes, whatever its data.
    pub(crate) fn raw_sized(name: impl Into<String>, size: u64, data: impl AsRef<[u8]>) -> Self {
        let mut member = Self::raw(name, b'0', data);
        member.header.set_size(size);
        member
    }

    /// A member of any kind with any bytes where size and time should be; only its checksum is right.
    pub(crate) fn hostile(size_and_mtime: [u8; 24], kind: u8, data: impl AsRef<[u8]>) -> Self {
        let mut member = Self::raw("jobdata", kind, data);
        let fields = member.header.as_mut_bytes().iter_mut().skip(124);
        for (field, byte) in fields.zip(size_and_mtime) {
            *field = byte;
        }
        member
    }

    fn write(&self, tar: &mut Vec<u8>) {
        let mut header = self.header.clone();
        let place = header.as_mut_bytes().iter_mut().take(100);
        for (place, byte) in place.zip(self.name.bytes()) {
            *place = byte;
        }
        header.set_cksum();
        if self.name.len() > 100 {
            Self::raw("././@LongLink", b'L', format!("{}\0", self.name)).write(tar);
        }
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(&self.data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
}

/// A tar of `members` with its end mark, padded to whole records.
pub(crate) fn tar_of(members: &[Member]) -> Vec<u8> {
    let mut tar = Vec::new();
    for member in members {
        member.write(&mut tar);
    }
    tar.resize((tar.len() + 1024).next_multiple_of(RECORD_BYTES), 0);
    tar
}

/// `bytes` as one gzip member, without name and time, so that the same bytes give the same file.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_at(bytes, Compression::default())
}

/// `bytes` in gzip's format but not compressed, so that each byte of them is one of the file.
pub(crate) fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    gzip_at(bytes, Compression::none())
}

/// A `.tgz` of `members`.
pub(crate) fn tgz_of(members: &[Member]) -> Vec<u8> {
    gzip(&tar_of(members))
}

fn gzip_at(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), level);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every write")
}
