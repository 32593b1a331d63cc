//! What makes a file the same file: its path below the root, its stamp, its content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A path below a watched root: bytes, components joined by `/`, no leading or trailing slash, empty for the root itself.
///
/// Names on a file system are bytes. Only the message encoder decides how to spell one that is not UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RelPath(#[serde(with = "serde_bytes")] Vec<u8>);

impl RelPath {
    /// The root itself.
    #[must_use]
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// Takes bytes that are already of the right form.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The child `name` of this directory.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path)
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The directory that holds this path; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0.get(..end).unwrap_or_default().to_vec()))
    }

    /// The components from the root downwards.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }
}

/// For people: control characters, what turns the reading direction, and bytes that are not UTF-8 are escaped, so that a
/// name cannot forge a log line nor look like another one.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || misleads(character) {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character is none to see, but moves others: line separators, and marks of the reading direction, with which
/// `gpj.exe` is shown as `exe.jpg`.
fn misleads(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({self})")
    }
}

impl From<&str> for RelPath {
    fn from(path: &str) -> Self {
        Self(path.as_bytes().to_vec())
    }
}

/// What the server says of a file or directory without reading it.
///
/// Two equal stamps mean "unchanged as far as the server's clock can tell": its ticks are coarse (1 to 10 ms, whole
/// seconds on some), so a stamp that was young when it was read proves little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Modification time; users can set it.
    pub mtime: Timestamp,
    /// Change time; only the server sets it.
    pub ctime: Timestamp,
    /// The server's number of the file (`st_ino`); a hint, since servers use a number again after a removal.
    pub fileid: u64,
}

/// BLAKE3 of a file's bytes as they lie on the mount (of a `.tgz`: the compressed bytes), as `b3sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

/// The `id` of a message: the same at every retry, different for other content or another path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub [u8; 32]);

impl MessageId {
    /// BLAKE3 over the path's bytes, one NUL byte and the 32 bytes of the content hash.
    ///
    /// In a shell: `{ printf '%s\0' PATH; b3sum --raw FILE; } | b3sum`.
    #[must_use]
    pub fn of(path: &RelPath, content: &ContentHash) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_bytes());
        hasher.update(&[0]);
        hasher.update(&content.0);
        Self(*hasher.finalize().as_bytes())
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct ParseHexError;

macro_rules! hex_text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        impl FromStr for $type {
            type Err = ParseHexError;

            fn from_str(text: &str) -> Result<Self, ParseHexError> {
                blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| ParseHexError)
            }
        }
    };
}

hex_text!(ContentHash);
hex_text!(MessageId);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parts(path: &str, parent: Option<&str>, name: &str) {
        let path = RelPath::from(path);
        assert_eq!(path.parent(), parent.map(RelPath::from));
        assert_eq!(path.name(), name.as_bytes());
    }

    #[test]
    fn splits_paths() {
        check_parts("", None, "");
        check_parts("a", Some(""), "a");
        check_parts("a/b/c", Some("a/b"), "c");
        assert_eq!(RelPath::root().join(b"a").join(b"b"), RelPath::from("a/b"));
        assert_eq!(RelPath::from("a/b").components().count(), 2);
        assert_eq!(RelPath::root().components().count(), 0);
    }

    #[test]
    fn escapes_what_could_forge_a_line() {
        assert_eq!(RelPath::from("a\nb").to_string(), "a\\nb");
        assert_eq!(RelPath::from_bytes(*b"\xff.tgz").to_string(), "\\xff.tgz");
        assert_eq!(RelPath::root().to_string(), ".");
        assert_eq!(RelPath::from("a\u{2028}b").to_string(), "a\\u{2028}b");
        assert_eq!(RelPath::from("\u{202e}gpj.exe").to_string(), "\\u{202e}gpj.exe");
        assert_eq!(RelPath::from("Zürich \u{5d0}").to_string(), "Zürich \u{5d0}");
    }

    #[test]
    fn id_separates_path_from_content() {
        let content = ContentHash([7; 32]);
        let mut expected = b"a/b.tgz\0".to_vec();
        expected.extend_from_slice(&[7; 32]);
        let id = MessageId::of(&RelPath::from("a/b.tgz"), &content);
        assert_eq!(id.0, *blake3::hash(&expected).as_bytes());
        assert_ne!(id, MessageId::of(&RelPath::from("a/c.tgz"), &content));
        assert_ne!(id, MessageId::of(&RelPath::from("a/b.tgz"), &ContentHash([8; 32])));
        assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        assert_eq!("xyz".parse::<MessageId>(), Err(ParseHexError));
    }
}
