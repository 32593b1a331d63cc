//! The store as the sinks see it.

use std::sync::Arc;

use crate::dispatch::{Journal, JournalError, SinkName};
use crate::intake::parse_jobdata;
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

    fn read(&self, sink: SinkName, after: Seq, limit: usize) -> Result<Vec<Handover>, JournalError> {
        let mut handovers = self.0.journal(after, limit).map_err(JournalError::new)?;
        for handover in &mut handovers {
            // No job, or one that a program of format 2 handed over.
            let lacks_figures = handover.figures.is_none();
            if sink.spells_fields() || lacks_figures {
                handover.jobdata = handover.jobdata_text.as_deref().map(parse_jobdata);
            }
            if lacks_figures {
                handover.figures = handover.jobdata.as_ref().map(JobFigures::of);
            }
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
