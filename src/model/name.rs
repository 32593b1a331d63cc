//! A name that lies where its owner does, if it is short: to read it is no way to another place in memory.

use std::ops::Deref;

/// Bytes of a name that need no place of their own.
const SHORT: usize = 22;

/// The bytes of a name.
#[derive(Debug, Clone)]
pub struct Name(Place);

#[derive(Debug, Clone)]
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
            assert_eq!(*Name::from(bytes.as_slice()), *bytes);
        }
        assert_eq!(size_of::<Name>(), 24);
    }
}
