//! Histories against a naive model, with the store closed and opened again in between.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::model::{
    Analysis, AnalysisStatus, ContentHash, Counter, Handover, JobData, JobFigures, Kind, MessageId, Name,
    RelPath, Stamp, TOTAL,
};

pub(super) const ROOT: RootId = RootId(1);

fn stamp(fileid: u64) -> Stamp {
    Stamp { size: 10, fileid, ..Stamp::default() }
}

pub(super) fn seen(name: &[u8], fileid: u64, hash: u8) -> SeenFile {
    SeenFile {
        name: name.into(),
        stamp: stamp(fileid),
        content: Content::Hashed(ContentHash([hash; 32])),
        seq: 0,
        gone_since: None,
    }
}

pub(super) fn handover(name: &[u8], hash: u8, text: Option<String>) -> Handover {
    let path = RelPath::from_bytes(name);
    Handover {
        seq: 0,
        id: MessageId::of(&path, &ContentHash([hash; 32])),
        kind: Kind::Appeared,
        root: b"/mnt".to_vec(),
        path,
        stamp: stamp(1),
        blake3: ContentHash([hash; 32]),
        detected_at: Timestamp { seconds: 100, nanoseconds: 0 },
        not_before: None,
        analysis: Analysis { status: AnalysisStatus::Ok, detail: None },
        jobdata_text: text,
        figures: Some(JobFigures::of(&JobData::of("exitcode=0\nevents=10"))),
        experiments: vec!["ATLAS".to_owned()],
    }
}

fn put(transaction: &mut Transaction, dir: u64, file: SeenFile, text: Option<String>) {
    let hash = match file.content {
        Content::Hashed(hash) => hash.0[0],
        _ => 0,
    };
    let handover = handover(&file.name, hash, text);
    transaction.hand_over(ROOT, DirId(dir), None, file, handover);
}

#[test]
fn keeps_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(900_000);
    let agent = {
        let store = Store::open(folder.path()).unwrap();
        let mut transaction = Transaction::default();
        put(&mut transaction, 1, seen(b"a.tgz", 5, 1), Some(long.clone()));
        put(&mut transaction, 1, seen(b"b.tgz", 6, 2), None);
        let handed = store.commit(transaction).unwrap();
        assert_eq!(handed.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2]);
        store.set_cursor("redis", 1).unwrap();
        store.refuse("amqp", &Refused { seq: 2, reason: "too large".to_owned() }).unwrap();
        store.agent_id().to_owned()
    };
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.agent_id(), agent);
    assert_eq!((store.head(), store.oldest().unwrap()), (2, 1));
    let rows = store.journal(0, 10).unwrap();
    assert_eq!(rows[0].jobdata_text.as_deref(), Some(long.as_str()));
    assert_eq!((rows.len(), rows[1].seq, rows[1].path.as_bytes()), (2, 2, b"b.tgz".as_slice()));
    assert_eq!(store.journal(1, 10).unwrap().len(), 1);
    assert_eq!(store.journal(0, 1).unwrap().len(), 1);
    assert_eq!(store.journal(2, 10).unwrap().len(), 0);
    assert_eq!(store.cursor("redis").unwrap(), Some(SinkCursor { confirmed: 1 }));
    assert_eq!(store.cursor("amqp").unwrap(), None);
    assert_eq!(store.refused().unwrap()[0].1.reason, "too large");
    assert_eq!(store.totals().1.counter(TOTAL, Counter::Events), 20);
    assert_eq!(store.totals().1.counter("ATLAS", Counter::JobsCompleted), 2);
    assert_eq!(store.known_file(DirId(1), b"b.tgz").unwrap().unwrap().file.seq, 2);
}

#[test]
fn knows_each_file_of_a_first_contact_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut expected = HashMap::new();
    let mut contact = |transaction: &mut Transaction, numbers: std::ops::Range<u64>| {
        // Of long names that have nothing in common fewer than 64 have room in a row.
        let long = |number: u64| blake3::hash(&number.to_be_bytes()).to_hex().repeat(3);
        let name = |number| if number < 100 { long(number) } else { number.to_string() };
        let files = numbers.map(|number| (Name::from(name(number).into_bytes()), number));
        let files: Vec<(Name, u64)> = files.collect();
        expected.extend(files.iter().cloned());
        transaction.put_unread(DirId(1), files);
    };
    let mut transaction = Transaction::default();
    contact(&mut transaction, 0..300);
    contact(&mut transaction, 299..310);
    assert_eq!(transaction.len(), 311, "one was shown twice");
    store.commit(transaction).unwrap();
    let mut transaction = Transaction::default();
    contact(&mut transaction, 310..400);
    transaction.put_seen(ROOT, DirId(2), None, seen(b"read", 1, 1));
    transaction.put_unread(DirId(2), vec![(b"unread".as_slice().into(), 2)]);
    store.commit(transaction).unwrap();
    let known = store.known(DirId(1)).unwrap();
    assert_eq!(known.len(), expected.len());
    for KnownFile { file, .. } in known {
        assert_eq!((file.content, Some(&file.stamp.fileid)), (Content::Unread, expected.get(&file.name)));
    }
    assert_eq!(store.known(DirId(2)).unwrap().len(), 2);
    for row in store.db.scan_prefix(b"s") {
        assert!(row.unwrap().1.len() <= codec::MAX_VALUE_BYTES);
    }
}

#[test]
fn a_moved_file_stays_known_when_its_old_path_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for name in [b"old", b"new"] {
        let mut transaction = Transaction::default();
        transaction.put_seen(ROOT, DirId(1), None, seen(name, 64, 1));
        store.commit(transaction).unwrap();
    }
    let is_recognised = || store.knows_elsewhere(ROOT, &stamp(64), &ContentHash([1; 32])).unwrap();
    for (name, still_known) in [(b"old", true), (b"new", false)] {
        let known = store.known_file(DirId(1), name).unwrap().unwrap();
        let mut transaction = Transaction::default();
        transaction.forget_seen(ROOT, DirId(1), known);
        store.commit(transaction).unwrap();
        assert_eq!(is_recognised(), still_known);
    }
}

#[test]
fn recognises_a_moved_file_but_not_a_reused_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut transaction = Transaction::default();
    transaction.put_seen(ROOT, DirId(1), None, seen(b"a", 64, 1));
    store.commit(transaction).unwrap();
    let knows =
        |stamp: &Stamp, hash: u8| store.knows_elsewhere(ROOT, stamp, &ContentHash([hash; 32])).unwrap();
    assert!(knows(&stamp(64), 1));
    assert!(!knows(&stamp(64), 2), "another content");
    assert!(!knows(&stamp(65), 1), "another file");
    let later = Stamp { mtime: Timestamp { seconds: 5, nanoseconds: 0 }, ..stamp(64) };
    assert!(!knows(&later, 1), "a new file under the number of a removed one");
    assert!(!store.knows_elsewhere(RootId(2), &stamp(64), &ContentHash([1; 32])).unwrap(), "another root");
}

#[test]
fn refuses_a_second_agent_and_a_newer_format() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(Store::open(folder.path()).unwrap_err().is_held());
    store.db.insert(keys::FORMAT, codec::encode(&99_u32)).unwrap();
    drop(store);
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 99, .. }), "{error}");
}

#[test]
fn retires_only_old_and_confirmed_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..5_u8 {
        let mut transaction = Transaction::default();
        put(&mut transaction, 1, seen(&[b'a' + number], u64::from(number), number), None);
        store.commit(transaction).unwrap();
    }
    let late = Timestamp { seconds: 101, nanoseconds: 0 };
    assert_eq!(store.retire(Timestamp { seconds: 99, nanoseconds: 0 }, 5).unwrap(), 0);
    assert_eq!(store.retire(late, 3).unwrap(), 3);
    assert_eq!((store.oldest().unwrap(), store.head()), (4, 5));
    assert_eq!(store.retire(late, 5).unwrap(), 2);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((store.oldest().unwrap(), store.head()), (6, 5), "numbers are not used again");
}

/// One step of a history: put name `name` with content `hash` into directory `dir`, forget it, or open the store again.
#[derive(Debug, Clone)]
enum Step {
    Put { dir: u64, name: u16, hash: u8 },
    Forget { dir: u64, name: u16 },
    Reopen,
}

/// Names long enough that a run of them is as large as a row may be.
fn long_name(number: u16) -> Vec<u8> {
    format!("{number:-^90}").into_bytes()
}

fn find(store: &Store, dir: u64, name: u16) -> Option<KnownFile> {
    store.known_file(DirId(dir), &long_name(name)).unwrap()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (1..3_u64, 0..200_u16, any::<u8>()).prop_map(|(dir, name, hash)| Step::Put { dir, name, hash });
    let forget = (1..3_u64, 0..200_u16).prop_map(|(dir, name)| Step::Forget { dir, name });
    prop::collection::vec(prop_oneof![60 => put, 30 => forget, 1 => Just(Step::Reopen)], 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_history_gives_what_the_model_gives(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Some(Store::open(folder.path()).unwrap());
        let mut model: BTreeMap<(u64, u16), u8> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put { dir, name, hash } => {
                    let open = store.as_ref().unwrap();
                    let run = find(open, dir, name).map(|known| known.run);
                    let mut transaction = Transaction::default();
                    let file = seen(&long_name(name), u64::from(name), hash);
                    transaction.put_seen(ROOT, DirId(dir), run, file);
                    open.commit(transaction).unwrap();
                    model.insert((dir, name), hash);
                }
                Step::Forget { dir, name } => {
                    let open = store.as_ref().unwrap();
                    if let Some(known) = find(open, dir, name) {
                        let mut transaction = Transaction::default();
                        transaction.forget_seen(ROOT, DirId(dir), known);
                        open.commit(transaction).unwrap();
                    }
                    model.remove(&(dir, name));
                }
                Step::Reopen => {
                    drop(store.take());
                    store = Some(Store::open(folder.path()).unwrap());
                }
            }
        }
        let store = store.unwrap();
        let mut found = BTreeMap::new();
        for dir in 1..3 {
            for known in store.known(DirId(dir)).unwrap() {
                let name = String::from_utf8(known.file.name.to_vec()).unwrap();
                let number: u16 = name.trim_matches('-').parse().unwrap();
                let Content::Hashed(hash) = known.file.content else { panic!("{known:?}") };
                found.insert((dir, number), hash.0[0]);
            }
        }
        prop_assert_eq!(found, model);
        for row in store.db.scan_prefix(b"s") {
            prop_assert!(row.unwrap().1.len() <= codec::MAX_VALUE_BYTES);
        }
    }
}

#[test]
fn what_the_schedule_learnt_is_kept_by_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (root, other) = (RootId(1), RootId(2));
    let row = |ids: &[u64]| {
        ids.iter().map(|id| (DirId(*id), vec![u8::try_from(*id).unwrap(); 40])).collect::<Vec<_>>()
    };
    {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.schedule_clock(root).unwrap(), None);
        store.put_learnt(root, 0, &row(&[1, 63])).unwrap();
        store.put_learnt(root, 1, &row(&[64, 127])).unwrap();
        store.put_learnt(other, 1, &row(&[65])).unwrap();
        store.put_learnt(root, 0, &row(&[63])).unwrap();
        store.put_schedule_clock(root, b"clock").unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.learnt(root).unwrap(), row(&[63, 64, 127]).into_iter().collect());
    assert_eq!(store.schedule_clock(root).unwrap().as_deref(), Some(b"clock".as_slice()));
    store.put_learnt(root, 1, &[]).unwrap();
    assert_eq!(store.learnt(root).unwrap(), row(&[63]).into_iter().collect());
    assert_eq!(store.learnt(other).unwrap(), row(&[65]).into_iter().collect());
}

fn put_one(store: &Store, number: u16) {
    let mut transaction = Transaction::default();
    let name = long_name(number);
    let file = seen(&name, u64::from(number), number.to_be_bytes()[1]);
    put(&mut transaction, 1, file, None);
    store.commit(transaction).unwrap();
}

#[test]
fn refuses_an_older_copy_of_the_database_and_takes_one_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let database = |parent: &Path| parent.join("index");
    let files = ["db", "conf"];
    let store = Store::open(folder.path()).unwrap();
    put_one(&store, 1);
    drop(store);
    std::fs::create_dir(database(copy.path())).unwrap();
    for file in files {
        std::fs::copy(database(folder.path()).join(file), database(copy.path()).join(file)).unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    put_one(&store, 2);
    drop(store);
    std::fs::remove_dir_all(database(folder.path())).unwrap();
    std::fs::rename(database(copy.path()), database(folder.path())).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Lost { has: 1, had: 2, .. }), "{error}");
    assert!(error.to_string().contains("--baseline"));
    std::fs::remove_dir_all(database(folder.path())).unwrap();
    let store = Store::open(folder.path()).unwrap();
    put_one(&store, 1);
    drop(store);
    assert_eq!(Store::open(folder.path()).unwrap().head(), 1);
}

/// Flips a byte here and there; the store either says so or has lost nothing.
#[test]
fn a_flipped_byte_is_never_a_silent_loss() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (0..60).for_each(|number| put_one(&store, number));
    drop(store);
    let file = folder.path().join("index/db");
    let whole = std::fs::read(&file).unwrap();
    let (mut refused, mut silent) = (0, Vec::new());
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for place in (0..used).step_by(used / 40) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        std::fs::write(&file, &damaged).unwrap();
        // sled's summary of the file, made for the whole one.
        for entry in std::fs::read_dir(folder.path().join("index")).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("snap") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        let told = std::panic::catch_unwind(|| {
            let store = Store::open(folder.path())?;
            let faults = store.verify()?;
            Ok::<_, StoreError>((store.count_seen()?.0, store.journal(0, 100)?.len(), faults))
        });
        match told {
            Ok(Ok((60, 60, faults))) if faults.is_empty() => {}
            Ok(Ok(found)) => silent.push((place, found)),
            Ok(Err(_)) | Err(_) => refused += 1,
        }
    }
    assert!(refused > 0 && silent.is_empty(), "{refused} refused; {silent:?} of {used}");
}

#[test]
fn the_outbox_holds_what_a_sink_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let commit = |store: &Store, dir: u64, files: u64| {
        let mut transaction = Transaction::default();
        for number in 0..files {
            put(&mut transaction, dir, seen(&number.to_be_bytes(), number, 1), Some("x".repeat(5_000)));
        }
        store.commit(transaction).unwrap();
    };
    commit(&store, 1, 300);
    for sink in ["amqp", "redis"] {
        store.set_cursor(sink, 0).unwrap();
    }
    let both = |store: &Store| store.outbox(&["redis", "amqp"]).unwrap();
    let (all, _) = both(&store);
    assert!((300 * 5_000..300 * 6_000).contains(&all), "{all}");
    store.set_cursor("redis", 290).unwrap();
    assert_eq!(both(&store), (all, Some("amqp")));
    assert_eq!(store.outbox(&[]).unwrap(), (0, None));

    // What is confirmed leaves it in blocks of 64, and at the head wholly.
    store.set_cursor("amqp", 200).unwrap();
    let (some, _) = both(&store);
    assert!((all * 100 / 300..=all * 164 / 300).contains(&some), "{some} of {all}");
    // What is new is counted as it comes, like what is there at an opening.
    commit(&store, 2, 100);
    let (more, _) = both(&store);
    assert!(more > some + 100 * 5_000);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let (opened, _) = both(&store);
    assert!(opened <= more && more - opened < all * 64 / 300, "{opened} {more}");
    for sink in ["amqp", "redis"] {
        store.set_cursor(sink, 400).unwrap();
    }
    assert_eq!(both(&store).0, 0);
    commit(&store, 3, 10);
    assert!((10 * 5_000..10 * 6_000).contains(&both(&store).0));

    // An operator sends again.
    store.requeue("amqp", 1).unwrap();
    assert!(both(&store).0 > all + 100 * 5_000);
}

#[test]
fn handovers_of_one_commit_are_in_the_order_of_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut transaction = Transaction::default();
    for second in [3, 1, 2, 1] {
        let ctime = Timestamp { seconds: second, nanoseconds: 0 };
        let stamp = Stamp { ctime, ..stamp(1) };
        let name = format!("{second}-{}", transaction.len()).into_bytes();
        let handover = Handover { stamp, ..handover(&name, 1, None) };
        let file = SeenFile { stamp, ..seen(&name, transaction.len() as u64, 1) };
        transaction.hand_over(ROOT, DirId(1), None, file, handover);
    }
    let handed_over = store.commit(transaction).unwrap();
    let order = |handovers: &[Handover]| -> Vec<(Seq, String)> {
        handovers.iter().map(|handover| (handover.seq, handover.path.to_string())).collect()
    };
    let expected: Vec<_> = (1..).zip(["1-1", "1-3", "2-2", "3-0"].map(str::to_owned)).collect();
    assert_eq!(order(&handed_over), expected);
    assert_eq!(order(&store.journal(0, 10).unwrap()), expected);
    assert_eq!(store.known_file(DirId(1), b"2-2").unwrap().unwrap().file.seq, 3);
}

/// Commits `files` handovers.
fn commit_some(store: &Store, files: u64) {
    let mut transaction = Transaction::default();
    for number in 0..files {
        put(&mut transaction, 1, seen(&(store.head() + number).to_be_bytes(), number, 1), None);
    }
    store.commit(transaction).unwrap();
}

#[test]
fn what_a_sink_has_is_remembered_beside_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let confirmed = |store: &Store| store.cursor("amqp").unwrap().unwrap().confirmed;
    {
        let store = Store::open(folder.path()).unwrap();
        commit_some(&store, 10);
        store.attach("amqp", 2).unwrap();
        store.note_confirmed("amqp", 5).unwrap();
        assert_eq!(confirmed(&store), 2, "the row follows");
    }
    let mark = folder.path().join("confirmed-amqp");
    let of_five = std::fs::read(&mark).unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(confirmed(&store), 5);
        store.set_cursor("amqp", 7).unwrap();
    }
    // Behind the row, as after a power loss.
    std::fs::write(&mark, &of_five).unwrap();
    assert_eq!(confirmed(&Store::open(folder.path()).unwrap()), 7);
    {
        let store = Store::open(folder.path()).unwrap();
        store.requeue("amqp", 4).unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(confirmed(&store), 3, "what an operator sends again is not skipped");
    store.set_cursor("amqp", 1).unwrap();
    drop(store);
    assert_eq!(confirmed(&Store::open(folder.path()).unwrap()), 1);
}

#[test]
fn what_is_sent_again_is_refused_no_more_and_was_never_before_the_sink() {
    let store = Store::in_memory(Memory::default()).unwrap();
    commit_some(&store, 10);
    for (sink, seqs) in [("amqp", 6..=8), ("redis", 7..=7)] {
        store.attach(sink, 5).unwrap();
        store.set_cursor(sink, 9).unwrap();
        for seq in seqs {
            store.refuse(sink, &Refused { seq, reason: "too large".to_owned() }).unwrap();
        }
    }
    let refused = || -> Vec<_> {
        store
            .refused()
            .unwrap()
            .into_iter()
            .map(|(sink, refused)| format!("{sink} {}", refused.seq))
            .collect()
    };
    assert_eq!(store.requeue("amqp", 7).unwrap(), Some(Requeued { first: 7, count: 3 }));
    assert_eq!(refused(), ["amqp 6", "redis 7"]);
    assert_eq!(store.attached_after("amqp").unwrap(), 5);
    assert_eq!(store.requeue("amqp", 3).unwrap(), Some(Requeued { first: 3, count: 4 }));
    assert_eq!(refused(), ["redis 7"]);
    assert_eq!(store.attached_after("amqp").unwrap(), 2);
    assert_eq!(store.cursor("amqp").unwrap(), Some(SinkCursor { confirmed: 2 }));
}

#[test]
fn what_another_journal_left_beside_the_database_is_not_believed() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(other.path()).unwrap();
    store.note_confirmed("amqp", 5).unwrap();
    drop(store);
    let open = || Store::open(folder.path()).unwrap();
    let store = open();
    commit_some(&store, 10);
    store.attach("amqp", 2).unwrap();
    drop(store);
    std::fs::copy(other.path().join("confirmed-amqp"), folder.path().join("confirmed-amqp")).unwrap();
    assert_eq!(open().cursor("amqp").unwrap().unwrap().confirmed, 2);

    // Ahead of the journal: of a past that was lost with the file that tells of it. Not when the journal gets there, either.
    let store = open();
    store.note_confirmed("amqp", 15).unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.cursor("amqp").unwrap().unwrap().confirmed, 2);
    commit_some(&store, 10);
    drop(store);
    assert_eq!(open().cursor("amqp").unwrap().unwrap().confirmed, 2);
}
