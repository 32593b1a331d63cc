//! The event stream: one JSON line a handover, on standard output or appended to a file.
//!
//! Writing happens on a thread of its own that nobody waits for at the end: a pipe whose reader stands still blocks
//! for ever, and must stop neither the agent nor its exit. A line torn by a crash is ended with a newline first, and
//! the event comes again whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::dispatch::courier::{Delivery, Sink};
use crate::dispatch::journal::Desk;
use crate::dispatch::message::{inotifywait_line, json_of};
use crate::dispatch::progress::{Pulse, patiently};
use crate::dispatch::{EventsTarget, SinkError, SinkName};
use crate::model::{Handover, Seq};

/// How many lines are written, flushed and confirmed together.
const BATCH: usize = 256;

/// How long a write may take before the reader counts as standing still.
const SLOW: Duration = Duration::from_secs(1);

/// Makes the event file be opened anew, as log rotation needs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reopen(Arc<AtomicBool>);

impl Reopen {
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// The sink.
pub(crate) struct Events {
    target: EventsTarget,
    reopen: Reopen,
    writer: Option<mpsc::Sender<Task>>,
}

/// Bytes to write, possibly none, and where to say how it went.
struct Task {
    bytes: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

impl Events {
    pub(crate) fn new(target: EventsTarget, reopen: Reopen) -> Self {
        Self { target, reopen, writer: None }
    }

    fn send(&mut self, bytes: Vec<u8>) -> Result<oneshot::Receiver<io::Result<()>>, SinkError> {
        let (done, answer) = oneshot::channel();
        let writer = self.writer.as_ref().ok_or_else(writer_gone)?;
        writer.send(Task { bytes, done }).map_err(|_| writer_gone())?;
        Ok(answer)
    }

    async fn write(&mut self, bytes: Vec<u8>, pulse: Option<&Pulse>) -> Result<(), SinkError> {
        let answer = self.send(bytes)?;
        let answer = match pulse {
            Some(pulse) => {
                patiently(answer, SLOW, pulse, || Some("its reader does not read".to_owned())).await
            }
            None => Some(answer.await),
        };
        match answer {
            Some(Ok(outcome)) => outcome.map_err(|error| self.explain(&error)),
            Some(Err(_)) | None => Err(writer_gone()),
        }
    }

    fn explain(&self, error: &io::Error) -> SinkError {
        match &self.target {
            EventsTarget::Stdout | EventsTarget::Inotifywait if error.kind() == io::ErrorKind::BrokenPipe => {
                SinkError::Ended("the reader of standard output went away".to_owned())
            }
            EventsTarget::Stdout | EventsTarget::Inotifywait => {
                SinkError::Unreachable(format!("cannot write to standard output: {error}"))
            }
            EventsTarget::File(path) => explain_file(path, error),
        }
    }
}

impl Sink for Events {
    const NAME: SinkName = SinkName::Events;

    async fn connect(&mut self, _desk: &Desk, position: Seq) -> Result<Seq, SinkError> {
        let (tasks, queue) = mpsc::channel();
        let output = Output::new(self.target.clone(), self.reopen.clone());
        std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || work(output, &queue))
            .map_err(|error| SinkError::Busy(format!("cannot start a thread: {error}")))?;
        self.writer = Some(tasks);
        self.write(Vec::new(), None).await?;
        Ok(position)
    }

    fn appetite(&self, _behind: u64) -> usize {
        BATCH
    }

    async fn deliver(&mut self, batch: &[Handover], _desk: &Desk, pulse: &Pulse) -> Delivery {
        let line = |handover| match self.target {
            EventsTarget::Inotifywait => inotifywait_line(handover),
            EventsTarget::Stdout | EventsTarget::File(_) => (json_of(handover) + "\n").into_bytes(),
        };
        let bytes = batch.iter().flat_map(line).collect();
        match self.write(bytes, Some(pulse)).await {
            Ok(()) => Delivery { upto: batch.last().map(|last| last.seq), ..Delivery::default() },
            Err(error) => Delivery { error: Some(error), ..Delivery::default() },
        }
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        if self.reopen.0.load(Ordering::Acquire) { self.write(Vec::new(), None).await } else { Ok(()) }
    }

    async fn close(&mut self) {
        self.writer = None;
    }
}

fn writer_gone() -> SinkError {
    SinkError::Unreachable("the writer of events is gone".to_owned())
}

fn explain_file(path: &Path, error: &io::Error) -> SinkError {
    let reason = format!("cannot write events to {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => SinkError::Refused { reason, remedy: "make its folder" },
        io::ErrorKind::PermissionDenied => {
            SinkError::Refused { reason, remedy: "let this user write there, or choose another file" }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            SinkError::Refused { reason, remedy: "make space" }
        }
        _ => SinkError::Unreachable(reason),
    }
}

/// The writer thread: ends when the sink lets go of its channel.
fn work(mut output: Output, queue: &mpsc::Receiver<Task>) {
    for task in queue {
        // Nobody listening means that the agent is stopping; what was written is then simply written again.
        let _ = task.done.send(output.write(&task.bytes));
    }
}

/// The open file or standard output; knows nothing of events.
struct Output {
    target: EventsTarget,
    reopen: Reopen,
    file: Option<File>,
}

impl Output {
    fn new(target: EventsTarget, reopen: Reopen) -> Self {
        Self { target, reopen, file: None }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.target {
            EventsTarget::Stdout | EventsTarget::Inotifywait => write_stdout(bytes),
            EventsTarget::File(path) => {
                if self.reopen.take() {
                    self.file = None;
                }
                let file = match self.file.take() {
                    Some(file) => self.file.insert(file),
                    None => self.file.insert(open(path)?),
                };
                append(file, bytes)
            }
        }
    }
}

fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

fn open(path: &PathBuf) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.is_file() && ends_in_mid_line(path)? {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn ends_in_mid_line(path: &PathBuf) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Writable but not readable: then a torn line cannot be seen.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

/// Appends and makes durable: once confirmed, the handover leaves the outbox. What is not a regular file (a pipe, a
/// terminal) is only written.
fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return file.write_all(bytes);
    }
    let written =
        file.write_all(bytes).and_then(|()| if bytes.is_empty() { Ok(()) } else { file.sync_data() });
    if written.is_err() {
        // On a full disk every attempt would leave another torn line.
        let _ = file.set_len(metadata.len());
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(path: &Path) -> (Output, Reopen) {
        let reopen = Reopen::default();
        (Output::new(EventsTarget::File(path.to_owned()), reopen.clone()), reopen)
    }

    #[test]
    fn appends_and_completes_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        output(&path).0.write(b"one\n").unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"to").unwrap();
        let (mut output, _) = output(&path);
        output.write(b"two\n").unwrap();
        output.write(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\nto\ntwo\nthree\n");
    }

    #[test]
    fn opens_anew_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("events"), folder.path().join("events.1"));
        let (mut output, reopen) = output(&path);
        output.write(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        output.write(b"two\n").unwrap();
        reopen.ask();
        output.write(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn explains_with_a_remedy() {
        let path = Path::new("/nowhere/events");
        let error = open(&path.to_owned()).unwrap_err();
        let told = explain_file(path, &error);
        assert!(!told.is_transient());
        assert!(told.to_string().contains("make its folder"), "{told}");
    }
}
