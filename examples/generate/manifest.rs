//! What was made: a JSON line a file, and the sums at the end.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use serde_json::{Map, Value, json};

/// Notes each file once it is complete, in that order.
pub(crate) struct Manifest {
    root: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    files: u64,
    bytes: u64,
    jobs: u64,
    failed: u64,
    events: u64,
}

impl Manifest {
    /// Sums up the files below `root`, and lists them in the file `list` if there is to be one.
    pub(crate) fn create(root: PathBuf, list: Option<&Path>) -> io::Result<Self> {
        let file = list.map(File::create).transpose()?;
        Ok(Self { root, inner: Mutex::new(Inner { file, ..Inner::default() }) })
    }

    /// Notes the file at `path` below the root; `summary` says what its job adds, and is empty if it is broken.
    pub(crate) fn note(&self, path: &Path, bytes: &[u8], summary: Map<String, Value>) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.add(bytes.len() as u64, &summary);
        let Some(file) = &mut inner.file else { return Ok(()) };
        let mut line = json!({
            "path": path.to_string_lossy(),
            "blake3": blake3::hash(bytes).to_hex().as_str(),
            "size": bytes.len(),
        });
        if let Some(fields) = line.as_object_mut() {
            if path.to_str().is_none() {
                let encoded = base64::engine::general_purpose::STANDARD.encode(path.as_os_str().as_bytes());
                fields.insert("path_bytes".to_owned(), Value::from(encoded));
            }
            fields.extend(summary);
        }
        writeln!(file, "{line}")
    }

    /// The sums.
    pub(crate) fn finish(self) -> io::Result<Value> {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = inner.file {
            file.sync_all()?;
        }
        Ok(json!({
            "root": self.root.to_string_lossy(),
            "files": inner.files,
            "bytes": inner.bytes,
            "jobs_completed": inner.jobs,
            "jobs_failed": inner.failed,
            "events": inner.events,
        }))
    }
}

impl Inner {
    fn add(&mut self, bytes: u64, summary: &Map<String, Value>) {
        self.files += 1;
        self.bytes += bytes;
        let Some(exitcode) = summary.get("exitcode") else { return };
        self.jobs += 1;
        if *exitcode == json!(0) {
            self.events += summary.get("events").and_then(Value::as_u64).unwrap_or(0);
        } else {
            self.failed += 1;
        }
    }
}
