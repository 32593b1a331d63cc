//! The store as the sinks see it.

use std::sync::Arc;

use crate::dispatch::{Journal, JournalError, SinkName};
use crate::model::{Handover, JobFigures, Seq, Totals};
use crate::store::{Refused, Store};

/// A store's journal.
#[derive(Debug, Clone)]
pub(super) struct StoreJournal(pub Arc<Store>);

impl Journal for StoreJournal {
    fn agent_id(&self) -> String {
        self.0.agent_id().to_owned()
    }

    fn cursor(&self, sink: SinkName) -> Result<Seq, JournalError> {
        let cursor = self.0.cursor(sink.as_str()).map_err(JournalError::new)?;
        Ok(cursor.map_or(0, |cursor| cursor.confirmed))
    }

    fn head(&self) -> Result<Seq, JournalError> {
        Ok(self.0.head())
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<Handover>, JournalError> {
        let mut handovers = self.0.journal(after, limit).map_err(JournalError::new)?;
        // No jobs, or those that a program of format 2 handed over.
        for handover in handovers.iter_mut().filter(|handover| handover.figures.is_none()) {
            let figures = handover.jobdata().map(|data| JobFigures::of(&data));
            handover.figures = figures;
        }
        Ok(handovers)
    }

    fn oldest(&self) -> Result<Seq, JournalError> {
        self.0.oldest().map_err(JournalError::new)
    }

    fn confirm(&self, sink: SinkName, upto: Seq) -> Result<(), JournalError> {
        self.0.set_cursor(sink.as_str(), upto).map_err(JournalError::new)
    }

    fn note(&self, sink: SinkName, upto: Seq) -> Result<(), JournalError> {
        self.0.note_confirmed(sink.as_str(), upto).map_err(JournalError::new)
    }

    fn refuse(&self, sink: SinkName, seq: Seq, reason: &str) -> Result<(), JournalError> {
        let refused = Refused { seq, reason: reason.to_owned() };
        self.0.refuse(sink.as_str(), &refused).map_err(JournalError::new)
    }

    fn totals(&self) -> Result<(Seq, Totals), JournalError> {
        Ok(self.0.totals())
    }

    fn outrun(&self, floor: Seq) -> Result<(), JournalError> {
        self.0.outrun(floor).map_err(JournalError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Analysis, AnalysisStatus, ContentHash, Kind, MessageId, RelPath, Stamp, Timestamp};
    use crate::store::{Content, DirId, Memory, RootId, SeenFile, Transaction};

    /// As a program of format 2 left it: with the text, and without what it says to the statistics.
    fn handed_over_before() -> StoreJournal {
        let (path, blake3) = (RelPath::from("a.tgz"), ContentHash([1; 32]));
        let handover = Handover {
            seq: 0,
            id: MessageId::of(&path, &blake3),
            kind: Kind::Appeared,
            root: b"/mnt".to_vec(),
            path,
            stamp: Stamp::default(),
            blake3,
            detected_at: Timestamp::default(),
            not_before: None,
            analysis: Analysis { status: AnalysisStatus::Ok, detail: None },
            jobdata_text: Some("events=7\nexitcode=0\n".to_owned()),
            figures: None,
            experiments: Vec::new(),
        };
        let file = SeenFile {
            name: b"a.tgz".as_slice().into(),
            stamp: Stamp::default(),
            content: Content::Hashed(blake3),
            seq: 0,
            gone_since: None,
        };
        let store = Store::in_memory(Memory::default()).unwrap();
        let mut transaction = Transaction::default();
        transaction.hand_over(RootId::default(), DirId(1), None, file, handover);
        store.commit(transaction).unwrap();
        StoreJournal(Arc::new(store))
    }

    #[test]
    fn a_handover_without_figures_gets_those_of_its_text() {
        let handover = handed_over_before().read(0, 1).unwrap().remove(0);
        assert_eq!(handover.figures.map(|figures| (figures.events, figures.succeeded)), Some((7, true)));
    }
}
