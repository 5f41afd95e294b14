//! A part of shared bytes: it keeps all of them, and copies none.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]

use crate::ids::Bytes;
use core::fmt;
use core::ops::Deref;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone)]
pub(crate) struct Part {
    whole: Bytes,
    start: usize,
    end: usize,
}

impl Part {
    /// `part` as a part of `whole`; `None` if it does not lie in there.
    pub(crate) fn of(whole: &Bytes, part: &[u8]) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        whole.get(start..end).map(|_| Self { whole: whole.clone(), start, end })
    }
}

impl From<Bytes> for Part {
    fn from(whole: Bytes) -> Self {
        Self { start: 0, end: whole.len(), whole }
    }
}

impl Deref for Part {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.whole.get(self.start..self.end).unwrap_or_default()
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Part {}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::Part;
    use crate::ids::Bytes;

    #[test]
    fn a_part_is_what_it_was_taken_from_and_nothing_else() {
        let whole = Bytes::from(&b"abcdef"[..]);
        for (start, end) in (0..=6).flat_map(|start| (start..=6).map(move |end| (start, end))) {
            let part = Part::of(&whole, &whole[start..end]).expect("inside");
            assert_eq!((&part[..], part.as_ptr()), (&whole[start..end], whole[start..].as_ptr()));
        }
        let other = Bytes::from(&b"abcdef"[..]);
        assert!(Part::of(&whole, &other[1..3]).is_none(), "the same bytes elsewhere");
        assert_eq!(Part::from(other.clone()), Part::of(&whole, &whole).expect("inside"));
    }
}
