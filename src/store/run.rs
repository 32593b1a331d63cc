//! How a run of files becomes a row: each told by what differs from the one before, since neighbours in a directory
//! have names, numbers and times that are alike. The hash, which is like no other, is more than half of what is left.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Name, Seq, Stamp, Timestamp};

use super::seen::{Content, RUN_FILES, SeenFile};
use super::{StoreError, codec};

/// At most so many bytes of a file besides its name.
pub(super) const RECORD_BYTES: usize = 112;

/// What it takes most often, name and hash included.
const USUAL_BYTES: usize = 64;

/// The same of one of which only name and number are known.
const NAMED_BYTES: usize = 16;

/// `P` is what is written, or what it is read into.
#[derive(Serialize, Deserialize)]
enum StoredRun<P, N> {
    V1(Vec<SeenFile>),
    V2(P),
    /// Files that were there at first contact, of which nothing but their names and numbers is known.
    V3(N),
}

/// Packed files, unpacked one after the other as they are read.
struct Unpacked(Vec<SeenFile>);

/// A file, as it differs from the one before it in the run. Differences wrap: every value comes back as it was.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    /// How many bytes the name has in common with the one before, at its beginning and at its end.
    shared: (u8, u8),
    /// What lies between.
    #[serde(with = "serde_bytes", borrow)]
    name: &'a [u8],
    size: u64,
    mtime_seconds: i64,
    /// Most often there is no pattern in these, and four bytes are less than a number of variable length.
    mtime_nanoseconds: [u8; 4],
    /// Against the modification time of the same file.
    ctime: (i64, i32),
    fileid: i64,
    content: Content,
    seq: i64,
    gone_since: Option<Timestamp>,
}

/// A file of which only name and number are known, as it differs from the one before it in the run.
#[derive(Serialize, Deserialize)]
struct Named<'a> {
    shared: (u8, u8),
    #[serde(with = "serde_bytes", borrow)]
    name: &'a [u8],
    fileid: i64,
}

/// Packs `files` into a row's value.
pub(super) fn encode(files: &[SeenFile]) -> Vec<u8> {
    type Stored<P, N> = StoredRun<Vec<P>, Vec<N>>;
    let first = nothing();
    let pairs = std::iter::once(&first).chain(files).zip(files);
    if files.iter().all(SeenFile::is_only_named) {
        let named = pairs.map(|(before, file)| name(file, before)).collect();
        return codec::encode_long(&Stored::<Packed<'_>, _>::V3(named), files.len() * NAMED_BYTES);
    }
    let packed = pairs.map(|(before, file)| pack(file, before)).collect();
    codec::encode_long(&Stored::<_, Named<'_>>::V2(packed), files.len() * USUAL_BYTES)
}

/// The files of a row.
///
/// Fails with [`StoreError::Damaged`] on what no version of this program wrote.
pub(super) fn decode(value: &[u8]) -> Result<Vec<SeenFile>, StoreError> {
    const WHAT: &str = "a run of files";
    let named: Vec<Named<'_>> = match codec::decode(value, WHAT)? {
        StoredRun::V1(files) | StoredRun::V2(Unpacked(files)) => return Ok(files),
        StoredRun::V3(named) => named,
    };
    let mut files: Vec<SeenFile> = Vec::with_capacity(named.len());
    for Named { shared, name, fileid } in named {
        let before = files.last().map_or((&[][..], 0), |file| (&file.name, file.stamp.fileid));
        let name = whole_name(shared, name, before.0).ok_or(StoreError::Damaged { what: WHAT })?;
        files.push(SeenFile::only_named(name, before.1.wrapping_add_signed(fileid)));
    }
    Ok(files)
}

impl<'de> Deserialize<'de> for Unpacked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unpacking;

        impl<'de> Visitor<'de> for Unpacking {
            type Value = Unpacked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("packed files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut packed: A) -> Result<Unpacked, A::Error> {
                // What is told there of their number may be damage.
                let mut files = Vec::with_capacity(packed.size_hint().unwrap_or(0).min(RUN_FILES));
                let first = nothing();
                while let Some(file) = packed.next_element::<Packed<'_>>()? {
                    let file = unpack(&file, files.last().unwrap_or(&first));
                    files.push(file.ok_or_else(|| A::Error::custom("a name shares more than there is"))?);
                }
                Ok(Unpacked(files))
            }
        }

        deserializer.deserialize_seq(Unpacking)
    }
}

/// What the first file of a run differs from.
fn nothing() -> SeenFile {
    let stamp = Stamp { size: 0, mtime: Timestamp::default(), ctime: Timestamp::default(), fileid: 0 };
    SeenFile {
        name: Name::of_parts([b"", b"", b""]),
        stamp,
        content: Content::NotAFile,
        seq: 0,
        gone_since: None,
    }
}

fn name<'a>(file: &'a SeenFile, before: &SeenFile) -> Named<'a> {
    let (start, end) = shared(&file.name, &before.name);
    Named {
        shared: (start, end),
        name: file.name.get(start.into()..file.name.len() - usize::from(end)).unwrap_or_default(),
        fileid: file.stamp.fileid.wrapping_sub(before.stamp.fileid).cast_signed(),
    }
}

fn pack<'a>(file: &'a SeenFile, before: &SeenFile) -> Packed<'a> {
    let Named { shared, name, fileid } = name(file, before);
    let Stamp { size, mtime, ctime, .. } = file.stamp;
    Packed {
        shared,
        name,
        size,
        mtime_seconds: mtime.seconds.wrapping_sub(before.stamp.mtime.seconds),
        mtime_nanoseconds: mtime.nanoseconds.to_le_bytes(),
        ctime: (
            ctime.seconds.wrapping_sub(mtime.seconds),
            ctime.nanoseconds.wrapping_sub(mtime.nanoseconds).cast_signed(),
        ),
        fileid,
        content: file.content,
        seq: file.seq.wrapping_sub(before.seq).cast_signed(),
        gone_since: file.gone_since,
    }
}

/// `None` if the name before is too short for what is shared with it.
fn whole_name((start, end): (u8, u8), between: &[u8], before: &[u8]) -> Option<Name> {
    let (start, end) = (usize::from(start), usize::from(end));
    let last = before.len().checked_sub(end).filter(|last| start <= *last)?;
    Some(Name::of_parts([before.get(..start)?, between, before.get(last..)?]))
}

fn unpack(packed: &Packed<'_>, before: &SeenFile) -> Option<SeenFile> {
    let name = whole_name(packed.shared, packed.name, &before.name)?;
    let mtime = Timestamp {
        seconds: before.stamp.mtime.seconds.wrapping_add(packed.mtime_seconds),
        nanoseconds: u32::from_le_bytes(packed.mtime_nanoseconds),
    };
    let ctime = Timestamp {
        seconds: mtime.seconds.wrapping_add(packed.ctime.0),
        nanoseconds: mtime.nanoseconds.wrapping_add_signed(packed.ctime.1),
    };
    let fileid = before.stamp.fileid.wrapping_add_signed(packed.fileid);
    let seq: Seq = before.seq.wrapping_add_signed(packed.seq);
    let stamp = Stamp { size: packed.size, mtime, ctime, fileid };
    Some(SeenFile { name, stamp, content: packed.content, seq, gone_since: packed.gone_since })
}

/// How many bytes `name` shares with `before` at its beginning, and of the rest at its end.
fn shared(name: &[u8], before: &[u8]) -> (u8, u8) {
    let start = alike(name.iter().zip(before));
    let rest = |all| <[u8]>::get(all, start.into()..).unwrap_or_default().iter().rev();
    (start, alike(rest(name).zip(rest(before))))
}

fn alike<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> u8 {
    let count = pairs.take(u8::MAX.into()).take_while(|(one, other)| one == other).count();
    u8::try_from(count).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ContentHash;

    type FirstRun = StoredRun<Vec<Packed<'static>>, Vec<Named<'static>>>;

    fn time() -> impl Strategy<Value = Timestamp> {
        let seconds = prop_oneof![any::<i64>(), 1_700_000_000..1_700_000_100_i64];
        (seconds, any::<u32>()).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds })
    }

    fn file() -> impl Strategy<Value = SeenFile> {
        let name = prop_oneof![
            "[ab]{1,6}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 1..300),
            "(ab|b){100,255}".prop_map(String::into_bytes),
        ];
        let content = prop_oneof![
            any::<[u8; 32]>().prop_map(|hash| Content::Hashed(ContentHash(hash))),
            Just(Content::Unread),
            Just(Content::NotAFile),
        ];
        let number = prop_oneof![any::<u64>(), 0..100_u64];
        let stamp = (number.clone(), time(), time(), number.clone());
        let stamp = stamp.prop_map(|(size, mtime, ctime, fileid)| Stamp { size, mtime, ctime, fileid });
        (name, stamp, content, number, prop::option::of(time())).prop_map(
            |(name, stamp, content, seq, gone_since)| SeenFile {
                name: name.into(),
                stamp,
                content,
                seq,
                gone_since,
            },
        )
    }

    fn named() -> impl Strategy<Value = SeenFile> {
        file().prop_map(|file| SeenFile::only_named(file.name, file.stamp.fileid))
    }

    /// With one thing more known of it.
    fn hardly_more_than_named() -> impl Strategy<Value = SeenFile> {
        (named(), file(), 0..5).prop_map(|(mut file, other, what)| {
            match what {
                0 => file.stamp.size = other.stamp.size,
                1 => file.stamp.mtime = other.stamp.mtime,
                2 => file.content = other.content,
                3 => file.seq = other.seq,
                _ => file.gone_since = other.gone_since,
            }
            file
        })
    }

    fn run() -> impl Strategy<Value = Vec<SeenFile>> {
        let mixed = prop::collection::vec(prop_oneof![file(), named()], 0..20);
        let named = prop::collection::vec(named(), 0..20);
        prop_oneof![mixed, named, prop::collection::vec(hardly_more_than_named(), 1..3)]
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was_within_its_bound(files in run()) {
            let value = encode(&files);
            prop_assert_eq!(decode(&value).unwrap(), files.clone());
            let most: usize = files.iter().map(|file| file.name.len() + RECORD_BYTES).sum();
            prop_assert!(value.len() <= most + 2);
        }
    }

    /// The hash is 32 of them.
    #[test]
    fn neighbours_take_little_more_than_their_hashes() {
        let file = |number: u32| {
            let time =
                |nanoseconds| Timestamp { seconds: 1_700_000_000 + i64::from(number) / 7, nanoseconds };
            let seq = u64::from(number);
            let (mtime, ctime) = (time(number.wrapping_mul(77_777_777) % 999_000_000), time(999_000_000));
            SeenFile {
                name: format!("job-{number:08}.tgz").as_bytes().into(),
                stamp: Stamp { size: 14_000 + seq, mtime, ctime, fileid: 100_000_000 + seq },
                content: Content::Hashed(ContentHash(*blake3::hash(&number.to_be_bytes()).as_bytes())),
                seq,
                gone_since: None,
            }
        };
        let files: Vec<SeenFile> = (1_000..1_048).map(file).collect();
        let named = files.iter().map(|file| SeenFile::only_named(file.name.clone(), file.stamp.fileid));
        let named = encode(&named.collect::<Vec<_>>()).len();
        assert!(named < 48 * 8, "{named} bytes of names and numbers");
        let (packed, plain) = (encode(&files).len(), codec::encode(&FirstRun::V1(files)).len());
        assert!(packed < 48 * 58, "{packed} bytes of {plain}");
    }

    #[test]
    fn reads_runs_of_the_first_format() {
        let files = vec![SeenFile { name: b"a".as_slice().into(), ..nothing() }];
        assert_eq!(decode(&codec::encode(&FirstRun::V1(files.clone()))).unwrap(), files);
    }

    #[test]
    fn a_name_that_shares_more_than_there_is_is_damage() {
        let file = SeenFile { name: b"a".as_slice().into(), ..nothing() };
        let mut packed = pack(&file, &nothing());
        packed.shared = (0, 1);
        let value = codec::encode(&StoredRun::<_, Vec<Named<'_>>>::V2(vec![packed]));
        assert!(matches!(decode(&value), Err(StoreError::Damaged { .. })));
        let named = Named { shared: (1, 0), name: b"a", fileid: 1 };
        let value = codec::encode(&StoredRun::<Vec<Packed<'_>>, _>::V3(vec![named]));
        assert!(matches!(decode(&value), Err(StoreError::Damaged { .. })));
    }
}
