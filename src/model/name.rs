//! A name that lies where its owner does, if it is short: to read it is no way to another place in memory.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a name that need no place of their own.
const SHORT: usize = 22;

/// The bytes of a name.
#[derive(Clone)]
pub struct Name(Place);

#[derive(Clone)]
enum Place {
    Here(u8, [u8; SHORT]),
    Elsewhere(Box<[u8]>),
}

impl From<&[u8]> for Name {
    fn from(name: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        Self(match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name);
                Place::Here(length, bytes)
            }
            _ => Place::Elsewhere(name.into()),
        })
    }
}

impl Name {
    /// The name that these parts are one after the other.
    #[must_use]
    pub fn of_parts(parts: [&[u8]; 3]) -> Self {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut bytes = [0; SHORT];
        let Some(mut rest) = bytes.get_mut(..length) else {
            return Self(Place::Elsewhere(parts.concat().into()));
        };
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        Self(Place::Here(u8::try_from(length).unwrap_or_default(), bytes))
    }
}

impl From<Vec<u8>> for Name {
    fn from(name: Vec<u8>) -> Self {
        name.as_slice().into()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::deserialize(deserializer).map(|name: &[u8]| name.into())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

/// As of the bytes alone: a map of names is asked by bytes.
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Here(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Place::Elsewhere(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_kept() {
        for length in 0..=300 {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let name = Name::from(bytes.as_slice());
            assert_eq!(*name, *bytes);
            let parts = bytes.split_at(length / 3);
            let (middle, end) = parts.1.split_at(length / 4);
            assert_eq!(Name::of_parts([parts.0, middle, end]), name);
            assert_eq!(postcard::from_bytes::<Name>(&postcard::to_stdvec(&name).unwrap()).unwrap(), name);
        }
        assert_eq!(size_of::<Name>(), 24);
    }
}
