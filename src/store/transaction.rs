//! What changes together: collected by whoever decides, committed as one batch, on disk before anyone hears of it.

use std::collections::BTreeMap;

use crate::model::{Gain, Handover, Name, Timestamp};

use super::medium::Batch;
use super::prints::BlockEditor;
use super::seen::RunEditor;
use super::{
    DirId, DirRow, KnownFile, RootId, RootRow, SeenFile, Store, StoreError, WaitRow, codec, directories,
    journal, keys, waiting,
};

/// A set of changes that becomes durable as one, or not at all.
#[derive(Debug, Default)]
pub struct Transaction {
    roots: Vec<(RootId, RootRow)>,
    directories: Vec<(DirId, DirRow)>,
    seen: Vec<SeenChange>,
    unread: BTreeMap<DirId, Vec<(Name, u64)>>,
    forgotten: Vec<(RootId, DirId, KnownFile)>,
    forgotten_directories: Vec<DirId>,
    waiting: Vec<(DirId, Vec<u8>, Option<WaitRow>)>,
    steady: Option<Timestamp>,
}

#[derive(Debug)]
struct SeenChange {
    root: RootId,
    dir: DirId,
    run: Option<u32>,
    file: SeenFile,
    handover: Option<Box<Handover>>,
}

impl Transaction {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.steady.is_none()
    }

    /// How many rows are to change.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roots.len()
            + self.directories.len()
            + self.seen.len()
            + self.unread.values().map(Vec::len).sum::<usize>()
            + self.forgotten.len()
            + self.forgotten_directories.len()
            + self.waiting.len()
    }

    /// Notes the steady time, for the next start.
    pub fn note_time(&mut self, steady: Timestamp) {
        self.steady = Some(steady);
    }

    /// Writes a root.
    pub fn put_root(&mut self, id: RootId, row: RootRow) {
        self.roots.push((id, row));
    }

    /// Writes a directory.
    pub fn put_dir(&mut self, id: DirId, row: DirRow) {
        self.directories.push((id, row));
    }

    /// Writes a seen file: into `run` if it is known there, else as a new one.
    pub fn put_seen(&mut self, root: RootId, dir: DirId, run: Option<u32>, file: SeenFile) {
        self.seen.push(SeenChange { root, dir, run, file, handover: None });
    }

    /// Writes files that were there at first contact, each with its number. They are many, so they are told in short: the
    /// rest of what is said of a seen file is the same of all of them.
    pub fn put_unread(&mut self, dir: DirId, files: Vec<(Name, u64)>) {
        self.unread.entry(dir).or_default().extend(files);
    }

    /// Writes a seen file together with its handover; both get the next number of the journal.
    pub fn hand_over(
        &mut self,
        root: RootId,
        dir: DirId,
        run: Option<u32>,
        file: SeenFile,
        handover: Handover,
    ) {
        self.seen.push(SeenChange { root, dir, run, file, handover: Some(Box::new(handover)) });
    }

    /// Forgets a seen file: should it come back, it is news.
    pub fn forget_seen(&mut self, root: RootId, dir: DirId, known: KnownFile) {
        self.forgotten.push((root, dir, known));
    }

    /// Forgets a directory whose files were forgotten.
    pub fn forget_dir(&mut self, dir: DirId) {
        self.forgotten_directories.push(dir);
    }

    /// Puts handovers into the order in which their files came, by the server's change times: those of one look are read
    /// by many threads at once. Across servers the order means nothing, as before.
    fn sort_handovers(&mut self) {
        self.seen.sort_by_key(|change| change.handover.as_ref().map(|handover| handover.stamp.ctime));
    }

    /// Writes a waiting file.
    pub fn put_waiting(&mut self, dir: DirId, name: Vec<u8>, row: WaitRow) {
        self.waiting.push((dir, name, Some(row)));
    }

    /// Forgets a waiting file.
    pub fn remove_waiting(&mut self, dir: DirId, name: Vec<u8>) {
        self.waiting.push((dir, name, None));
    }
}

impl Store {
    /// Makes `transaction` durable as one; returns the handovers with their numbers.
    ///
    /// When it returns, all of it survives a power loss. On an error nothing of it is assumed: the caller ends, and
    /// what was not committed is found again at the next start.
    pub fn commit(&self, mut transaction: Transaction) -> Result<Vec<Handover>, StoreError> {
        transaction.sort_handovers();
        let mut writer = self.writer();
        let mut batch = Batch::default();
        let (mut runs, mut blocks) = (RunEditor::default(), BlockEditor::default());
        let (mut head, mut handed_over) = (writer.head, Vec::new());
        let mut sizes = Vec::new();
        for mut change in transaction.seen {
            if let Some(mut handover) = change.handover {
                head += 1;
                (handover.seq, change.file.seq) = (head, head);
                sizes.push((head, journal::write(&handover, &mut batch)));
                handed_over.push(*handover);
            }
            // A file that is gone keeps its fingerprint, unless its number went to another one meanwhile.
            if change.file.gone_since.is_none() {
                blocks.put(&self.db, change.root, change.dir, &change.file)?;
            }
            runs.put(&self.db, change.dir, change.run, change.file)?;
        }
        for (dir, files) in transaction.unread {
            runs.put_unread(&self.db, dir, files, &mut batch)?;
        }
        for (root, dir, known) in &transaction.forgotten {
            blocks.remove(&self.db, *root, *dir, &known.file)?;
            runs.remove(&self.db, *dir, known.run, &known.file.name)?;
        }
        runs.write(&mut batch);
        blocks.write(&mut batch);
        put_rows(&transaction.roots, &transaction.directories, &transaction.waiting, &mut batch);
        for dir in &transaction.forgotten_directories {
            batch.remove(keys::directory(*dir));
        }
        if let Some(steady) = transaction.steady {
            batch.insert(keys::LAST_STEADY, codec::encode(&steady));
        }
        let (commits, last) = (writer.commits + 1, writer.head);
        writer.ledger.put_some(last, &mut batch);
        batch.insert(keys::COMMITS, codec::encode(&commits));
        self.db.apply_batch(batch)?;
        self.make_durable()?;
        self.db.note(commits)?;
        writer.commits = commits;
        writer.head = head;
        for handover in &handed_over {
            writer.ledger.count(&Gain::of(handover));
        }
        for (seq, bytes) in sizes {
            writer.outbox.add(seq, bytes);
        }
        Ok(handed_over)
    }
}

fn put_rows(
    roots: &[(RootId, RootRow)],
    dirs: &[(DirId, DirRow)],
    waits: &[(DirId, Vec<u8>, Option<WaitRow>)],
    batch: &mut Batch,
) {
    for (id, row) in roots {
        batch.insert(keys::root(*id), directories::encode_root(row));
    }
    for (id, row) in dirs {
        batch.insert(keys::directory(*id), directories::encode_dir(row));
    }
    for (dir, name, row) in waits {
        match row {
            Some(row) => batch.insert(keys::waiting(*dir, name), waiting::encode(row)),
            None => batch.remove(keys::waiting(*dir, name)),
        }
    }
}
