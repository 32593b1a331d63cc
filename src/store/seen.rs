//! The index of files seen, packed: up to 64 files of a directory in one row.
//!
//! A row a file costs three times the disk and seven gigabytes of memory at five million files; packed runs cost
//! some 120 bytes a file. New files go to the last run; a file that changes is rewritten in the run it lies in.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::{ContentHash, Seq, Stamp, Timestamp};

use super::medium::{Batch, Medium};
use super::{DirId, RootId, Store, StoreError, codec, keys};

/// Files in a run.
const RUN_FILES: usize = 64;

/// What is known of a name's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// It was read, and this is its hash.
    Hashed(ContentHash),
    /// It was there at first contact (`--baseline`) and not read.
    Unread,
    /// It is not a regular file: known so that its type is not asked again.
    NotAFile,
}

/// A name in a directory that needs no further look while its fileid stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenFile {
    /// Its name.
    #[serde(with = "serde_bytes")]
    pub name: Vec<u8>,
    /// Its stamp when it was read.
    pub stamp: Stamp,
    /// Its content.
    pub content: Content,
    /// Its last handover; 0 if it was never handed over.
    pub seq: Seq,
    /// Since when (wall time) its name is gone from a completely listed directory.
    pub gone_since: Option<Timestamp>,
}

/// A seen file and the run that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Where it lies.
    pub run: u32,
    /// What is known.
    pub file: SeenFile,
}

/// Every file known of one directory, by name.
pub type Known = HashMap<Vec<u8>, KnownFile>;

#[derive(Serialize, Deserialize)]
enum StoredRun {
    V1(Vec<SeenFile>),
}

pub(super) fn decode_run(value: &[u8]) -> Result<Vec<SeenFile>, StoreError> {
    let StoredRun::V1(files) = codec::decode(value, "a run of files")?;
    Ok(files)
}

impl Store {
    /// Every file known of `dir`.
    pub fn known(&self, dir: DirId) -> Result<Known, StoreError> {
        let mut known = Known::new();
        for entry in self.db.scan_prefix(keys::runs_of(dir)) {
            let (key, value) = entry?;
            let run = keys::last_u32(&key).ok_or(StoreError::Damaged { what: "a run's key" })?;
            known.extend(
                decode_run(&value)?.into_iter().map(|file| (file.name.clone(), KnownFile { run, file })),
            );
        }
        Ok(known)
    }

    /// How many files are known in all, and how many of them are gone.
    pub fn count_seen(&self) -> Result<(u64, u64), StoreError> {
        let (mut files, mut gone) = (0, 0);
        for entry in self.db.scan_prefix(b"s") {
            for file in decode_run(&entry?.1)?.iter().filter(|file| file.content != Content::NotAFile) {
                files += 1;
                gone += u64::from(file.gone_since.is_some());
            }
        }
        Ok((files, gone))
    }

    /// Whether a file with this number, content and modification time was seen before, at whatever path.
    ///
    /// The modification time belongs to it because servers give a removed file's number to the next one.
    pub fn knows_elsewhere(
        &self,
        root: RootId,
        stamp: &Stamp,
        content: &ContentHash,
    ) -> Result<bool, StoreError> {
        let Some(value) = self.db.get(keys::fileids(root, stamp.fileid / RUN_FILES as u64))? else {
            return Ok(false);
        };
        let wanted = fingerprint(stamp, content);
        Ok(decode_block(&value)?.iter().any(|known| (known.slot, known.content) == (slot_of(stamp), wanted)))
    }
}

/// The runs of the directories that one transaction touches, read once and written once.
#[derive(Default)]
pub(super) struct RunEditor {
    directories: BTreeMap<DirId, EditedRuns>,
}

#[derive(Default)]
struct EditedRuns {
    runs: BTreeMap<u32, Vec<SeenFile>>,
    /// The run of each name: a first look may bring hundreds of thousands at once.
    places: HashMap<Vec<u8>, u32>,
    last: Option<u32>,
}

impl RunEditor {
    /// Puts `file` into `run` of `dir`, or into the last one if it is new there.
    pub(super) fn put(
        &mut self,
        db: &Medium,
        dir: DirId,
        run: Option<u32>,
        file: SeenFile,
    ) -> Result<(), StoreError> {
        let edited = self.directories.entry(dir).or_default();
        if let Some(run) = run {
            edited.load(db, dir, run)?;
        }
        if let Some(old) = edited.find(&file.name) {
            *old = file;
            return Ok(());
        }
        edited.append(db, dir, file)
    }

    /// Takes `name` out of `run` of `dir`.
    pub(super) fn remove(
        &mut self,
        db: &Medium,
        dir: DirId,
        run: u32,
        name: &[u8],
    ) -> Result<(), StoreError> {
        let edited = self.directories.entry(dir).or_default();
        edited.load(db, dir, run)?;
        if let Some(files) = edited.runs.get_mut(&run) {
            files.retain(|file| file.name != name);
            edited.places.remove(name);
        }
        Ok(())
    }

    /// Adds the changed rows to `batch`.
    pub(super) fn write(&self, batch: &mut Batch) {
        for (dir, edited) in &self.directories {
            for (run, files) in &edited.runs {
                let key = keys::run(*dir, *run);
                if files.is_empty() {
                    batch.remove(key);
                } else {
                    batch.insert(key, codec::encode(&StoredRun::V1(files.clone())));
                }
            }
        }
    }
}

impl EditedRuns {
    fn load(&mut self, db: &Medium, dir: DirId, run: u32) -> Result<(), StoreError> {
        if let Entry::Vacant(empty) = self.runs.entry(run) {
            let files = db.get(keys::run(dir, run))?.map(|value| decode_run(&value)).transpose()?;
            let files = files.unwrap_or_default();
            self.places.extend(files.iter().map(|file| (file.name.clone(), run)));
            empty.insert(files);
        }
        Ok(())
    }

    fn find(&mut self, name: &[u8]) -> Option<&mut SeenFile> {
        let run = self.places.get(name)?;
        self.runs.get_mut(run)?.iter_mut().find(|file| file.name == name)
    }

    fn append(&mut self, db: &Medium, dir: DirId, file: SeenFile) -> Result<(), StoreError> {
        let mut last = match self.last {
            Some(last) => last,
            None => last_run(db, dir)?,
        };
        self.load(db, dir, last)?;
        if self.runs.get(&last).is_some_and(|files| is_full(files, &file)) {
            last += 1;
        }
        self.last = Some(last);
        self.places.insert(file.name.clone(), last);
        self.runs.entry(last).or_default().push(file);
        Ok(())
    }
}

fn last_run(db: &Medium, dir: DirId) -> Result<u32, StoreError> {
    let last = db.scan_prefix(keys::runs_of(dir)).next_back().transpose()?;
    Ok(last.and_then(|(key, _)| keys::last_u32(&key)).unwrap_or(0))
}

fn is_full(files: &[SeenFile], next: &SeenFile) -> bool {
    /// At most so much of a record besides its name: hash, stamp and numbers as varints.
    const RECORD_BYTES: usize = 110;
    let names: usize = files.iter().chain([next]).map(|file| file.name.len() + RECORD_BYTES).sum();
    files.len() >= RUN_FILES || names > codec::MAX_VALUE_BYTES
}

/// Fingerprints of the files whose numbers share all but the last six bits: neighbours are often created together.
pub(super) type Block = Vec<Print>;

/// A file's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    /// The last six bits of the file's number.
    slot: u8,
    /// Content and modification time.
    content: u64,
    /// The path that had it last: when an earlier one is forgotten, the file is still known. `None` in rows of before it
    /// was kept: those are known until their number goes to another file.
    owner: Option<u32>,
}

#[derive(Serialize, Deserialize)]
enum StoredBlock {
    /// The last six bits of a file's number, its content and modification time.
    V1(Vec<(u8, u64)>),
    V2(Block),
}

pub(super) fn decode_block(value: &[u8]) -> Result<Block, StoreError> {
    Ok(match codec::decode(value, "a block of fileids")? {
        StoredBlock::V1(prints) => {
            prints.into_iter().map(|(slot, content)| Print { slot, content, owner: None }).collect()
        }
        StoredBlock::V2(block) => block,
    })
}

fn slot_of(stamp: &Stamp) -> u8 {
    u8::try_from(stamp.fileid % RUN_FILES as u64).expect("below 64")
}

/// 64 bits of content and modification time: with the same fileid, enough to know a moved file again.
fn fingerprint(stamp: &Stamp, content: &ContentHash) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&content.0);
    hasher.update(&stamp.mtime.seconds.to_be_bytes());
    hasher.update(&stamp.mtime.nanoseconds.to_be_bytes());
    let hash = hasher.finalize();
    u64::from_be_bytes(*hash.as_bytes().first_chunk::<8>().expect("a hash has 32 bytes"))
}

fn print_of(dir: DirId, file: &SeenFile, content: &ContentHash) -> Print {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&dir.0.to_be_bytes());
    hasher.update(&file.name);
    let owner = u32::from_be_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes"));
    Print { slot: slot_of(&file.stamp), content: fingerprint(&file.stamp, content), owner: Some(owner) }
}

/// The blocks of fileids that one transaction touches.
#[derive(Default)]
pub(super) struct BlockEditor {
    blocks: BTreeMap<(RootId, u64), Block>,
}

impl BlockEditor {
    pub(super) fn put(
        &mut self,
        db: &Medium,
        root: RootId,
        dir: DirId,
        file: &SeenFile,
    ) -> Result<(), StoreError> {
        let Content::Hashed(content) = file.content else {
            return Ok(());
        };
        let block = self.load(db, root, &file.stamp)?;
        let new = print_of(dir, file, &content);
        block.retain(|known| known.slot != new.slot);
        block.push(new);
        Ok(())
    }

    /// Forgets the fingerprint of a file that is forgotten, unless its number went to another one since, or the file to
    /// another path.
    pub(super) fn remove(
        &mut self,
        db: &Medium,
        root: RootId,
        dir: DirId,
        file: &SeenFile,
    ) -> Result<(), StoreError> {
        let Content::Hashed(content) = file.content else {
            return Ok(());
        };
        let forgotten = print_of(dir, file, &content);
        self.load(db, root, &file.stamp)?.retain(|known| *known != forgotten);
        Ok(())
    }

    fn load(&mut self, db: &Medium, root: RootId, stamp: &Stamp) -> Result<&mut Block, StoreError> {
        let number = stamp.fileid / RUN_FILES as u64;
        Ok(match self.blocks.entry((root, number)) {
            Entry::Occupied(block) => block.into_mut(),
            Entry::Vacant(empty) => {
                let stored =
                    db.get(keys::fileids(root, number))?.map(|value| decode_block(&value)).transpose()?;
                empty.insert(stored.unwrap_or_default())
            }
        })
    }

    pub(super) fn write(&self, batch: &mut Batch) {
        for ((root, number), block) in &self.blocks {
            let key = keys::fileids(*root, *number);
            if block.is_empty() {
                batch.remove(key);
            } else {
                batch.insert(key, codec::encode(&StoredBlock::V2(block.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fingerprints_of_before_they_had_owners() {
        let old = codec::encode(&StoredBlock::V1(vec![(3, 7)]));
        assert_eq!(decode_block(&old).unwrap(), [Print { slot: 3, content: 7, owner: None }]);
    }
}
