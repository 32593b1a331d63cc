//! A journal in memory, and jobs to put into it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use nfs_scout::dispatch::{Journal, JournalError, SinkName};
use nfs_scout::model::{
    Analysis, AnalysisStatus, ContentHash, Gain, Handover, JobData, JobFigures, Kind, MessageId, RelPath,
    Seq, Stamp, Timestamp, Totals,
};
use tokio::sync::watch;

#[derive(Default)]
struct Inner {
    history: BTreeMap<Seq, Handover>,
    last: Seq,
    floor: Seq,
    cursors: BTreeMap<SinkName, Seq>,
    noted: BTreeMap<SinkName, Seq>,
    refused: Vec<(SinkName, Seq, String)>,
    pruned_next: Option<Seq>,
    totals: Totals,
    failing: bool,
    failing_confirms: bool,
}

/// Keeps everything in memory; can be told to fail.
pub struct MemoryJournal {
    agent: String,
    inner: Mutex<Inner>,
    head: watch::Sender<Seq>,
}

impl MemoryJournal {
    pub fn new(agent: &str) -> Arc<Self> {
        let (head, _) = watch::channel(0);
        Arc::new(Self { agent: format!("{agent:0>32}"), inner: Mutex::default(), head })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.head.subscribe()
    }

    /// Appends, giving the next seq.
    pub fn push(&self, mut handover: Handover) -> Seq {
        let mut inner = self.inner();
        inner.last = inner.last.max(inner.floor) + 1;
        handover.seq = inner.last;
        inner.totals.add(&Gain::of(&handover));
        let seq = inner.last;
        inner.history.insert(seq, handover);
        drop(inner);
        self.head.send_replace(seq);
        seq
    }

    pub fn push_jobs(&self, numbers: std::ops::Range<i64>) -> Seq {
        numbers.map(|number| self.push(job(number))).last().unwrap_or_default()
    }

    pub fn refused(&self) -> Vec<(SinkName, Seq, String)> {
        self.inner().refused.clone()
    }

    pub fn ledger(&self) -> Totals {
        self.inner().totals.clone()
    }

    pub fn at(&self, sink: SinkName) -> Seq {
        self.inner().cursors.get(&sink).copied().unwrap_or(0)
    }

    pub fn set_cursor(&self, sink: SinkName, seq: Seq) {
        self.inner().cursors.insert(sink, seq);
    }

    /// Forgets history below `oldest`.
    pub fn prune(&self, oldest: Seq) {
        let mut inner = self.inner();
        inner.history = inner.history.split_off(&oldest);
    }

    /// Forgets history below `oldest` as soon as somebody was told how far it reaches.
    pub fn prune_once_asked(&self, oldest: Seq) {
        self.inner().pruned_next = Some(oldest);
    }

    pub fn fail(&self, failing: bool) {
        self.inner().failing = failing;
    }

    pub fn fail_confirms(&self, failing: bool) {
        self.inner().failing_confirms = failing;
    }

    fn checked(&self) -> Result<MutexGuard<'_, Inner>, JournalError> {
        let inner = self.inner();
        if inner.failing { Err(JournalError::new("disk full")) } else { Ok(inner) }
    }
}

impl Journal for MemoryJournal {
    fn agent_id(&self) -> String {
        self.agent.clone()
    }

    fn cursor(&self, sink: SinkName) -> Result<Seq, JournalError> {
        Ok(self.checked()?.cursors.get(&sink).copied().unwrap_or(0))
    }

    fn head(&self) -> Result<Seq, JournalError> {
        Ok(self.checked()?.last)
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<Handover>, JournalError> {
        assert!(limit > 0);
        Ok(self
            .checked()?
            .history
            .range(after + 1..)
            .take(limit)
            .map(|(_, handover)| handover.clone())
            .collect())
    }

    fn oldest(&self) -> Result<Seq, JournalError> {
        let mut inner = self.checked()?;
        let oldest = inner.history.keys().next().copied().unwrap_or(inner.last + 1);
        if let Some(next) = inner.pruned_next.take() {
            inner.history = inner.history.split_off(&next);
        }
        Ok(oldest)
    }

    fn confirm(&self, sink: SinkName, upto: Seq) -> Result<(), JournalError> {
        let mut inner = self.checked()?;
        if inner.failing_confirms {
            return Err(JournalError::new("disk full"));
        }
        let cursor = inner.cursors.entry(sink).or_default();
        assert!(upto > *cursor, "{sink} confirmed {upto} after {cursor}");
        *cursor = upto;
        Ok(())
    }

    fn note(&self, sink: SinkName, upto: Seq) -> Result<(), JournalError> {
        let mut inner = self.checked()?;
        if inner.failing_confirms {
            return Err(JournalError::new("disk full"));
        }
        let cursor = inner.cursors.get(&sink).copied().unwrap_or(0);
        assert!(upto > cursor, "{sink} noted {upto} after {cursor}");
        inner.noted.insert(sink, upto);
        Ok(())
    }

    fn refuse(&self, sink: SinkName, seq: Seq, reason: &str) -> Result<(), JournalError> {
        self.checked()?.refused.push((sink, seq, reason.to_owned()));
        Ok(())
    }

    fn totals(&self) -> Result<(Seq, Totals), JournalError> {
        let inner = self.checked()?;
        Ok((inner.last, inner.totals.clone()))
    }

    fn outrun(&self, floor: Seq) -> Result<(), JournalError> {
        self.checked()?.floor = floor;
        Ok(())
    }
}

/// A job of user `b-<number % 7>`; every tenth failed.
pub fn job(number: i64) -> Handover {
    let (user, exitcode) = (number % 7, i64::from(number % 10 == 9));
    let jobdata = format!(
        "jobid={number}\nevents={}\ncpuusage={number}\ndiskusage=0.25\nBOINC_USERID={user}\n\
         exitcode={exitcode}\nrun=pp winclusive 7000 10 - pythia8 8.170 default\n",
        1000 + number
    );
    let figures = JobFigures::of(&JobData::of(&jobdata));
    let path = RelPath::from(format!("2026/job-{number}.tgz").as_str());
    let hash = ContentHash(*blake3::hash(&number.to_be_bytes()).as_bytes());
    let now = Timestamp::from_system(std::time::SystemTime::now());
    Handover {
        seq: 0,
        id: MessageId::of(&path, &hash),
        kind: Kind::Appeared,
        root: b"/mnt/out".to_vec(),
        path,
        stamp: Stamp { size: 10, mtime: now, ctime: now, fileid: 1 },
        blake3: hash,
        detected_at: now,
        not_before: None,
        analysis: Analysis { status: AnalysisStatus::Ok, detail: None },
        figures: Some(figures),
        jobdata_text: Some(jobdata),
        experiments: if number % 2 == 0 { vec!["ATLAS".to_owned()] } else { Vec::new() },
    }
}
