//! Fingerprints of files by the server's number of them: by these a file is known again that was moved.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::model::{ContentHash, Stamp};

use super::medium::{Batch, Medium};
use super::{Content, DirId, RootId, SeenFile, Store, StoreError, codec, keys};

/// Numbers of a block.
const BLOCK_NUMBERS: u64 = 64;

/// Paths by which a file is known at most, the latest: so that a block stays well below [`codec::MAX_VALUE_BYTES`].
const MOST_PATHS: usize = 4;

impl Store {
    /// Whether a file with this number, content and modification time was seen before, at whatever path.
    ///
    /// The modification time belongs to it because servers give a removed file's number to the next one.
    pub fn knows_elsewhere(
        &self,
        root: RootId,
        stamp: &Stamp,
        content: &ContentHash,
    ) -> Result<bool, StoreError> {
        let Some(value) = self.db.get(keys::fileids(root, stamp.fileid / BLOCK_NUMBERS))? else {
            return Ok(false);
        };
        let wanted = fingerprint(stamp, content);
        Ok(decode_block(&value)?.iter().any(|known| (known.slot, known.content) == (slot_of(stamp), wanted)))
    }
}

/// Fingerprints of the files whose numbers share all but the last six bits: neighbours are often created together.
pub(super) type Block = Vec<Print>;

/// A file's fingerprint: hashes, which a number of variable length would make longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    /// The last six bits of the file's number.
    slot: u8,
    /// Content and modification time.
    content: [u8; 8],
    /// The path, for a file may have several, one after the other or at once: when one is forgotten, it is still known
    /// by the others. `None` in rows of before it was kept: those are known until their number goes to another file.
    owner: Option<[u8; 4]>,
}

#[derive(Serialize, Deserialize)]
enum StoredBlock {
    /// The last six bits of a file's number, its content and modification time.
    V1(Vec<(u8, u64)>),
    /// And the path.
    V2(Vec<(u8, u64, Option<u32>)>),
    V3(Block),
}

pub(super) fn decode_block(value: &[u8]) -> Result<Block, StoreError> {
    let print = |slot, content: u64, owner: Option<u32>| Print {
        slot,
        content: content.to_be_bytes(),
        owner: owner.map(u32::to_be_bytes),
    };
    Ok(match codec::decode(value, "a block of fileids")? {
        StoredBlock::V1(old) => old.into_iter().map(|(slot, content)| print(slot, content, None)).collect(),
        StoredBlock::V2(old) => {
            old.into_iter().map(|(slot, content, owner)| print(slot, content, owner)).collect()
        }
        StoredBlock::V3(block) => block,
    })
}

fn slot_of(stamp: &Stamp) -> u8 {
    u8::try_from(stamp.fileid % BLOCK_NUMBERS).expect("below 64")
}

/// 64 bits of content and modification time: with the same fileid, enough to know a moved file again.
fn fingerprint(stamp: &Stamp, content: &ContentHash) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&content.0);
    hasher.update(&stamp.mtime.seconds.to_be_bytes());
    hasher.update(&stamp.mtime.nanoseconds.to_be_bytes());
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

fn print_of(dir: DirId, file: &SeenFile, content: &ContentHash) -> Print {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&dir.0.to_be_bytes());
    hasher.update(&file.name);
    let owner = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
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
        // Other paths of the same file stay: it may be back at one of them without being read again, or have several.
        let is_same_file = |known: &Print| known.content == new.content && known.owner.is_some();
        block.retain(|known| known.slot != new.slot || (is_same_file(known) && known.owner != new.owner));
        if block.iter().filter(|known| known.slot == new.slot).count() >= MOST_PATHS
            && let Some(first) = block.iter().position(|known| known.slot == new.slot)
        {
            block.remove(first);
        }
        block.push(new);
        Ok(())
    }

    /// Forgets the fingerprint of a file at a path that is forgotten, unless its number went to another one since.
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
        let number = stamp.fileid / BLOCK_NUMBERS;
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
                batch.insert(key, codec::encode(&StoredBlock::V3(block.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    #[test]
    fn a_file_is_known_by_its_latest_paths_and_its_number_by_its_latest_file() {
        let (db, root) = (Medium::Memory(Memory::default()), RootId(1));
        let file = |name: u64, fileid, content| SeenFile {
            name: name.to_be_bytes().as_slice().into(),
            stamp: Stamp { fileid, ..Stamp::default() },
            content: Content::Hashed(ContentHash([content; 32])),
            seq: 1,
            gone_since: None,
        };
        let mut editor = BlockEditor::default();
        for name in 0..100 {
            for fileid in 0..BLOCK_NUMBERS {
                editor.put(&db, root, DirId(1), &file(name, fileid, 1)).unwrap();
            }
        }
        let of = |editor: &mut BlockEditor, fileid: u8| -> Vec<Print> {
            let block = editor.load(&db, root, &Stamp::default()).unwrap();
            block.iter().filter(|known| known.slot == fileid).copied().collect()
        };
        let latest =
            [96, 97, 98, 99].map(|name| print_of(DirId(1), &file(name, 7, 1), &ContentHash([1; 32])));
        assert_eq!(of(&mut editor, 7), latest);
        let whole = editor.load(&db, root, &Stamp::default()).unwrap().clone();
        assert!(codec::encode(&StoredBlock::V3(whole)).len() < codec::MAX_VALUE_BYTES);
        editor.remove(&db, root, DirId(1), &file(98, 7, 1)).unwrap();
        editor.put(&db, root, DirId(1), &file(97, 7, 1)).unwrap();
        assert_eq!(of(&mut editor, 7), [latest[0], latest[3], latest[1]]);
        editor.put(&db, root, DirId(1), &file(5, 7, 2)).unwrap();
        assert_eq!(of(&mut editor, 7).len(), 1, "another file has its number now");
    }

    #[test]
    fn reads_fingerprints_of_earlier_formats() {
        let content = 7_u64.to_be_bytes();
        let old = codec::encode(&StoredBlock::V1(vec![(3, 7)]));
        assert_eq!(decode_block(&old).unwrap(), [Print { slot: 3, content, owner: None }]);
        let old = codec::encode(&StoredBlock::V2(vec![(3, 7, Some(9))]));
        assert_eq!(decode_block(&old).unwrap(), [Print { slot: 3, content, owner: Some([0, 0, 0, 9]) }]);
    }
}
