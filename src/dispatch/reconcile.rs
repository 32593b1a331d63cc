//! Brings the statistics of a server and the journal together after a connect: what is missing there is counted again,
//! and nothing twice. What a cursor means is decided in `figures.rs`.

use std::time::Duration;

use crate::dispatch::SinkError;
use crate::dispatch::figures::{Cursor, Horizon, Restore, Start, start_of};
use crate::dispatch::journal::Desk;
use crate::event::{Event, Reporter};
use crate::model::Seq;

/// How long writing the whole ledger may take: Redis does some 500,000 changes a second.
pub(super) const LEDGER_PATIENCE: Duration = Duration::from_secs(120);

/// A server that counts, and keeps beside the figures how far it has counted.
pub(crate) trait Counted: Send {
    /// The cursor as it was found.
    fn cursor(&self) -> Cursor;

    /// Applies `changes` and moves the cursor to `upto`, at once or not at all.
    fn apply(
        &mut self,
        changes: String,
        upto: Seq,
        patience: Duration,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Makes the server's figures and the journal agree; gives the seq to go on after. `ours` is the most that it
/// ever confirmed.
pub(crate) async fn reconcile(
    server: &mut impl Counted,
    desk: &Desk,
    ours: Seq,
    reporter: &Reporter,
) -> Result<Seq, SinkError> {
    let (oldest, head) = (desk.oldest().await?, desk.head().await?);
    match start_of(server.cursor(), Horizon { ours, oldest, head }) {
        Start::After(found) => {
            if found < ours {
                reporter.emit(&Event::StatisticsReplayed { from: found, to: ours });
            }
            Ok(found)
        }
        Start::Outrun(floor) => {
            desk.outrun(floor).await?;
            reporter.emit(&Event::JournalBehind { floor });
            Ok(floor)
        }
        Start::Ledger(how) => restore(server, desk, how, reporter).await,
    }
}

/// Writes the ledger and, in the same step, the cursor that it includes: nothing of it is sent again.
async fn restore(
    server: &mut impl Counted,
    desk: &Desk,
    how: Restore,
    reporter: &Reporter,
) -> Result<Seq, SinkError> {
    let (upto, totals) = desk.totals().await?;
    let changes = how.spell(&totals);
    drop(totals);
    server.apply(changes, upto, LEDGER_PATIENCE).await?;
    reporter.emit(&Event::StatisticsRestored { upto, how: how.as_str() });
    Ok(upto)
}
