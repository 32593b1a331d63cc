//! One file, read once: its hash, a verdict on its structure, and what its `jobdata` member says, without secrets.
//!
//! Pure over [`Read`](std::io::Read): this room opens no file, reads no clock and writes nothing, least of all what it
//! unpacks. Everything it takes from a file is bounded, since whoever writes to the mount may write anything: the memory
//! for one file stays at a few MB, the time linear in the file's size plus at most the unpacking limit.
//!
//! A broken archive is a value, an [`Analysis`](crate::model::Analysis); an `Err` is only a read that failed.
//!
//! ```text
//! source      hashes and counts the compressed bytes, remembers a failed read
//!   -> unpack     gunzips, up to the limit
//!   -> archive    walks the tar to its end; keeps jobdata and the experiments' names
//!   -> redaction  replaces secrets in the text
//! ```

mod archive;
mod experiment;
mod fault;
mod reading;
mod redaction;
mod source;
mod unpack;

pub use reading::{Limits, Reading, read_archive, read_plain};
pub use redaction::{ODD_LINE, REDACTED, Redaction, RedactionError};

#[cfg(test)]
#[path = "../../examples/generate/archive.rs"]
pub(crate) mod samples;
