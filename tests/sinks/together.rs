//! All sinks beside one another.

use crate::queue::queue;
use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn sinks_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let journal = MemoryJournal::new("a");
    let sinks = Sinks {
        events: Some(EventsTarget::File(file.clone())),
        redis: Some(RedisSettings::new(format!("redis://127.0.0.1:{}", free_port()))),
        amqp: Some(queue("independent")),
    };
    let rig = Rig::new(&journal, sinks);
    let last = journal.push_jobs(0..500);
    let left = rig.couriers.drained(last, Duration::from_secs(15)).await;
    assert_eq!(left.iter().map(|left| left.sink).collect::<Vec<_>>(), [SinkName::Redis]);
    let lines = std::fs::read_to_string(&file).unwrap();
    let expected: String =
        journal.read(0, 500).unwrap().iter().map(|handover| json_of(handover) + "\n").collect();
    assert_eq!(lines, expected);

    std::fs::rename(&file, folder.path().join("events.1")).unwrap();
    rig.couriers.reopen();
    eventually("a new file", || file.exists().then_some(()));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_confirm_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let journal = MemoryJournal::new("a");
    let rig =
        Rig::new(&journal, Sinks { events: Some(EventsTarget::File(file.clone())), ..Sinks::default() });
    rig.drained(journal.push_jobs(0..10)).await;
    journal.fail_confirms(true);
    journal.push_jobs(10..20);
    assert!(rig.down().await.0.contains("disk full"));
    journal.fail_confirms(false);
    rig.drained(journal.push_jobs(20..30)).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 30);
    rig.stop().await;
}

struct Panicking;

impl Journal for Panicking {
    fn agent_id(&self) -> String {
        String::new()
    }
    fn cursor(&self, _: SinkName) -> Result<Seq, JournalError> {
        panic!("a bug")
    }
    fn head(&self) -> Result<Seq, JournalError> {
        Ok(0)
    }
    fn read(&self, _: Seq, _: usize) -> Result<Vec<Handover>, JournalError> {
        Ok(Vec::new())
    }
    fn oldest(&self) -> Result<Seq, JournalError> {
        Ok(1)
    }
    fn confirm(&self, _: SinkName, _: Seq) -> Result<(), JournalError> {
        Ok(())
    }
    fn note(&self, _: SinkName, _: Seq) -> Result<(), JournalError> {
        Ok(())
    }
    fn refuse(&self, _: SinkName, _: Seq, _: &str) -> Result<(), JournalError> {
        Ok(())
    }
    fn totals(&self) -> Result<(Seq, Totals), JournalError> {
        Ok((0, Totals::default()))
    }
    fn outrun(&self, _: Seq) -> Result<(), JournalError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_seen() {
    let (_head, reader) = watch::channel(0);
    let mut couriers = start(
        redis_sink("redis://127.0.0.1:1"),
        Arc::new(Panicking),
        reader,
        Mode::Agent,
        Reporter::default(),
        CancellationToken::new(),
    );
    let (sink, outcome) = couriers.ended().await.unwrap();
    assert_eq!(sink, SinkName::Redis);
    assert!(matches!(outcome, Err(DispatchError::Failed { source, .. }) if source.is_panic()));
    assert!(couriers.ended().await.is_none());
}
