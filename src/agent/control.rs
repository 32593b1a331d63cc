//! Questions to a running agent: a Unix socket in the state directory, a word (and a path) in, one JSON document out.
//!
//! Only the state directory's owner can reach it. The answers hold what a report holds: no content, no secret.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::explain;
use super::plan;
use super::report::{self, Live};
use crate::store::{Store, StoreError, control_socket};

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest question, in bytes.
const MAX_QUESTION: u64 = 8192;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The statistics of the ledger.
    Statistics,
    /// The state of the agent.
    Report,
    /// How large the index is.
    IndexSize,
    /// Every file known.
    IndexList,
    /// How often files arrive where.
    Traffic,
    /// Every file known, with all that is stored of it.
    IndexExport,
    /// What is known of this path, which is absolute.
    Explain(PathBuf),
}

impl Question {
    const SIMPLE: [Self; 6] =
        [Self::Statistics, Self::Report, Self::IndexSize, Self::IndexList, Self::IndexExport, Self::Traffic];

    /// As it goes over the socket: a word; for a path, a space and the path follow.
    fn bytes(&self) -> Vec<u8> {
        let path = match self {
            Self::Explain(path) => [b" ", path.as_os_str().as_bytes()].concat(),
            _ => Vec::new(),
        };
        [self.word().as_bytes(), &path].concat()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let explain = bytes.strip_prefix(b"explain ");
        explain.map(|path| Self::Explain(PathBuf::from(OsStr::from_bytes(path)))).or_else(|| {
            Self::SIMPLE.into_iter().find(|question| question.word().as_bytes() == bytes.trim_ascii())
        })
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Statistics => "statistics",
            Self::Report => "report",
            Self::IndexSize => "index-size",
            Self::IndexList => "index-list",
            Self::Traffic => "traffic",
            Self::IndexExport => "index-export",
            Self::Explain(_) => "explain",
        }
    }
}

/// The answer to a question, as JSON; from the store alone where no agent runs.
pub fn answer(question: &Question, store: &Store, live: Option<&Live>) -> Result<String, StoreError> {
    Ok(match question {
        Question::Statistics => json(&report::statistics(store)),
        Question::Report => json(&report::report(store, live)?),
        Question::IndexSize => json(&report::index_size(store)?),
        Question::IndexList => json(&report::index_list(store)?),
        Question::Traffic => json(&plan::traffic(store)?),
        Question::IndexExport => json(&report::index_export(store)?),
        Question::Explain(path) => json(&explain::explain(store, path, live)?),
    })
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own answers have only text keys")
}

/// Asks the agent that holds the state directory; `None` if none listens there.
pub fn ask(state: &Path, question: &Question) -> io::Result<Option<String>> {
    let mut stream = match UnixStream::connect(control_socket(state)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&question.bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() {
        // It gave up on a question that takes longer than it is patient.
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(Some(answer))
}

/// The socket of a running agent; its file goes with it.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens; the caller holds the state directory's lock, so a socket file left there is a dead agent's.
    pub(super) fn listen(state: &Path) -> io::Result<Self> {
        let path = control_socket(state);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Answers until it is dropped.
    pub(super) async fn serve(self, store: Arc<Store>, live: Live) {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (store, live) = (Arc::clone(&store), live.clone());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(PATIENCE, converse(&mut stream, store, live)).await;
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse(stream: &mut tokio::net::UnixStream, store: Arc<Store>, live: Live) -> io::Result<()> {
    let mut bytes = Vec::new();
    (&mut *stream).take(MAX_QUESTION).read_to_end(&mut bytes).await?;
    let question = Question::parse(&bytes);
    let reply = match question {
        None => json(&serde_json::json!({ "error": "unknown question" })),
        Some(question) => {
            let answered = tokio::task::spawn_blocking(move || answer(&question, &store, Some(&live))).await;
            match answered {
                Ok(Ok(text)) => text,
                Ok(Err(error)) => json(&serde_json::json!({ "error": error.to_string() })),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    };
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}
