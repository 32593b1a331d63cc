//! Drives one sink: reads the journal in order, delivers, confirms, and comes back after every failure.
//!
//! One task a sink, so that a sink that is down stops no other. A courier never gives up, never skips a number and
//! never confirms what the sink did not take. All waiting is bounded by the stop token.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::dispatch::journal::Desk;
use crate::dispatch::progress::Pulse;
use crate::dispatch::retry::{self, Outage, Remark};
use crate::dispatch::{DispatchError, SinkError, SinkName, chance};
use crate::event::{Event, Reporter};
use crate::model::{Handover, Seq};

/// How often an idle sink is looked after, and `event_rate` refreshed.
const TICK: Duration = Duration::from_secs(1);

/// How long a delivery under way may go on after the stop, so that it need not be repeated by the next start.
const GRACE: Duration = Duration::from_secs(1);

/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Delivery {
    /// The last seq of the part, from the front, that the sink has for certain (refused messages count as had).
    pub(crate) upto: Option<Seq>,
    /// Messages of that part that it refuses for good, with the reason.
    pub(crate) refused: Vec<(Seq, String)>,
    /// Why the rest was not taken. Without one the rest is simply offered again.
    pub(crate) error: Option<SinkError>,
}

/// Something that takes handovers in order.
pub(crate) trait Sink: Send + 'static {
    /// Its name.
    const NAME: SinkName;

    /// Reaches the sink afresh and says after which seq to go on; `position` is the most that it ever confirmed.
    fn connect(&mut self, desk: &Desk, position: Seq) -> impl Future<Output = Result<Seq, SinkError>> + Send;

    /// How many handovers it wants at most in the next batch, of `behind` that may be waiting; at least 1.
    fn appetite(&self, behind: u64) -> usize;

    /// Delivers a batch that is not empty. A sink that gets a long one bit by bit notes at the desk what it has, so that
    /// the end of the process does not make it come again.
    fn deliver(
        &mut self,
        batch: &[Handover],
        desk: &Desk,
        pulse: &Pulse,
    ) -> impl Future<Output = Delivery> + Send;

    /// Looks after the connection, about once a second.
    fn tick(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Lets the connection go.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// A sink and the work for it.
pub(crate) struct Courier<S> {
    sink: S,
    desk: Desk,
    head: watch::Receiver<Seq>,
    token: CancellationToken,
    pulse: Pulse,
    reporter: Reporter,
    /// What the sink has for certain.
    position: Seq,
    /// What the journal knows of that. Ahead of `position` while a sink that was set back is sent history again.
    noted: Option<Seq>,
    outage: Outage,
    /// Whether the sink has taken something, or was seen with nothing to take, since the last failure.
    proven: bool,
    started: Instant,
    ticked: Instant,
    jitter: fn() -> f64,
}

/// Whether to go on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

impl<S: Sink> Courier<S> {
    pub(crate) fn new(
        sink: S,
        desk: Desk,
        head: watch::Receiver<Seq>,
        pulse: Pulse,
        reporter: Reporter,
        token: CancellationToken,
    ) -> Self {
        let started = Instant::now();
        Self {
            sink,
            desk,
            head,
            token,
            pulse,
            reporter,
            position: 0,
            noted: None,
            outage: Outage::default(),
            proven: false,
            started,
            ticked: started,
            jitter: chance::jitter,
        }
    }

    /// Takes its chances from `jitter`, so that a simulation can be repeated.
    #[cfg(test)]
    pub(crate) fn with_jitter(self, jitter: fn() -> f64) -> Self {
        Self { jitter, ..self }
    }

    /// Runs until the token is cancelled (`Ok`) or the sink ends for good.
    pub(crate) async fn run(mut self) -> Result<(), DispatchError> {
        loop {
            let outcome = self.session().await;
            let _ = timeout(FAREWELL, self.sink.close()).await;
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if error.is_final() => {
                    let reason = error.to_string();
                    self.pulse.ended(&reason);
                    return Err(DispatchError::Ended { sink: S::NAME, reason });
                }
                Err(error) => {
                    let pause = self.failed(&error);
                    if self.pause(pause).await == Flow::Stop {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// One connection's life: `Ok` when asked to stop.
    async fn session(&mut self) -> Result<(), SinkError> {
        self.find_position().await?;
        let (token, confirmed) = (self.token.clone(), self.position.max(self.noted.unwrap_or(0)));
        self.position = tokio::select! {
            position = self.sink.connect(&self.desk, confirmed) => position?,
            () = token.cancelled() => return Ok(()),
        };
        self.note().await?;
        while !self.token.is_cancelled() {
            if self.step().await? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Where to begin: what the journal says, unless we know better because a confirm could not be written.
    async fn find_position(&mut self) -> Result<(), SinkError> {
        if self.noted.is_none() {
            let cursor = self.desk.cursor().await?;
            self.noted = Some(cursor);
            self.position = cursor;
        }
        self.pulse.position(self.position, *self.head.borrow());
        Ok(())
    }

    /// Delivers one batch, or waits for one.
    async fn step(&mut self) -> Result<Flow, SinkError> {
        if self.ticked.elapsed() >= TICK {
            self.tick().await?;
        }
        // Everything up to this head is visible to the read that follows.
        let head = *self.head.borrow_and_update();
        let appetite = self.sink.appetite(head.saturating_sub(self.position));
        let batch = self.read(appetite).await?;
        if !batch.is_empty() {
            return self.deliver(&batch).await;
        }
        if head > self.position {
            self.position = head;
            self.note().await?;
        }
        self.up();
        self.wait().await
    }

    /// Reads what comes next. Fails if a sink that was set back lacks what was dropped from history meanwhile, for it had
    /// confirmed it: reached anew, it is brought up otherwise.
    async fn read(&mut self, appetite: usize) -> Result<Vec<Handover>, SinkError> {
        let batch = self.desk.read(self.position, appetite).await?;
        let is_set_back = self.noted.is_some_and(|noted| self.position < noted);
        if is_set_back && self.desk.oldest().await? > self.position + 1 {
            let reason = "history that it lacks was dropped meanwhile; comparing anew";
            return Err(SinkError::Busy(reason.to_owned()));
        }
        Ok(batch)
    }

    async fn deliver(&mut self, batch: &[Handover]) -> Result<Flow, SinkError> {
        let token = self.token.clone();
        let delivery = tokio::select! {
            delivery = self.sink.deliver(batch, &self.desk, &self.pulse) => delivery,
            () = overdue(&token) => return Ok(Flow::Stop),
        };
        for (seq, reason) in &delivery.refused {
            self.desk.refuse(*seq, reason.clone()).await?;
            let sink = S::NAME.as_str();
            self.reporter.emit(&Event::MessageRefused { sink, seq: *seq, reason: reason.clone() });
        }
        if let Some(upto) = delivery.upto {
            let count = batch.iter().take_while(|handover| handover.seq <= upto).count();
            self.pulse.delivered(count - delivery.refused.len().min(count), delivery.refused.len());
            self.position = upto;
            self.up();
            self.note().await?;
        }
        delivery.error.map_or(Ok(Flow::Continue), Err)
    }

    /// Tells the journal and the watchers how far the sink is.
    async fn note(&mut self) -> Result<(), SinkError> {
        if self.noted.is_none_or(|noted| self.position > noted) {
            self.desk.confirm(self.position).await?;
            self.noted = Some(self.position);
        }
        self.pulse.position(self.position, *self.head.borrow());
        Ok(())
    }

    /// Waits for work, looking after the connection meanwhile.
    async fn wait(&mut self) -> Result<Flow, SinkError> {
        let due = TICK.saturating_sub(self.ticked.elapsed());
        let token = self.token.clone();
        tokio::select! {
            () = token.cancelled() => Ok(Flow::Stop),
            () = changed(&mut self.head) => Ok(Flow::Continue),
            () = sleep(due) => self.tick().await.map(|()| Flow::Continue),
        }
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        self.ticked = Instant::now();
        let token = self.token.clone();
        tokio::select! {
            outcome = self.sink.tick() => outcome,
            () = overdue(&token) => Ok(()),
        }
    }

    /// Says once that the sink works (again).
    fn up(&mut self) {
        self.pulse.up();
        if !self.proven {
            self.proven = true;
            self.outage = Outage::default();
            self.reporter.emit(&Event::SinkUp { sink: S::NAME.as_str() });
        }
    }

    /// Says what is worth saying of a failure, and how long to wait.
    fn failed(&mut self, error: &SinkError) -> Duration {
        let (sink, reason) = (S::NAME.as_str(), error.to_string());
        self.proven = false;
        match self.outage.note(&reason, self.started.elapsed()) {
            Remark::News => self.reporter.emit(&Event::SinkDown { sink, reason }),
            Remark::Reminder => {
                let attempts = self.outage.attempts;
                self.reporter.emit(&Event::SinkStillDown { sink, attempts, reason });
            }
            Remark::Silence => {}
        }
        self.pulse.down(error, self.outage.attempts);
        retry::delay(self.outage.attempts, (self.jitter)())
    }

    async fn pause(&mut self, pause: Duration) -> Flow {
        tokio::select! {
            () = sleep(pause) => Flow::Continue,
            () = self.token.cancelled() => Flow::Stop,
        }
    }
}

/// Resolves when a stop was asked for and the grace is over.
async fn overdue(token: &CancellationToken) {
    token.cancelled().await;
    sleep(GRACE).await;
}

/// Resolves when the head moves; never once nobody can move it any more.
async fn changed(head: &mut watch::Receiver<Seq>) {
    if head.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
