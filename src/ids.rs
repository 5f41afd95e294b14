//! Numbers and names of the protocol as types of their own, so that a view can't stand where a sequence number belongs.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]

use crate::wire;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $tag:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name($inner);

        impl $name {
            /// The number as a value of this type.
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }
            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($tag, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! counts_up {
    ($name:ident) => {
        impl $name {
            /// The number after this one; the largest number stays where it is.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
            /// The number `by` above this one; stays at the largest number.
            pub const fn plus(self, by: u64) -> Self {
                Self(self.0.saturating_add(by))
            }
            /// The number `by` below this one; stays at zero.
            pub const fn minus(self, by: u64) -> Self {
                Self(self.0.saturating_sub(by))
            }
        }
    };
}

number! {
    /// A view: the period in which one replica, the primary, proposes. Views count from 0 and never go back. (SPEC 1)
    View(u64), "v"
}
number! {
    /// A position in the log. The first batch has sequence number 1; 0 is genesis. (SPEC 1)
    SequenceNumber(u64), "n"
}
number! {
    /// A client's own count of its requests, from 1. (SPEC S1)
    RequestNumber(u64), "r"
}
number! {
    /// A member of the cluster: its index in the list of replica keys. (SPEC 1)
    ReplicaId(u32), "R"
}
counts_up!(View);
counts_up!(SequenceNumber);
counts_up!(RequestNumber);

/// 32 bytes for a codec that writes integers in fixed width, little-endian: the same bytes as one by one, in two steps and not in 32.
type Halves = (u128, u128);

fn halves(bytes: &[u8; 32]) -> Halves {
    let (low, high) = bytes.split_at(16);
    let number = |half: &[u8]| u128::from_le_bytes(half.try_into().unwrap_or_default());
    (number(low), number(high))
}

fn joined((low, high): Halves) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&low.to_le_bytes());
    second.copy_from_slice(&high.to_le_bytes());
    bytes
}

/// The first eight bytes, as a number that sorts as they do.
fn head(bytes: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let digit = |half: u8| half.wrapping_add(if half < 10 { b'0' } else { b'a' - 10 });
    // In one piece: files are named so.
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    let digits = digits.get(..bytes.len().saturating_mul(2)).unwrap_or_default();
    f.write_str(core::str::from_utf8(digits).unwrap_or_default())
}

/// Why a text is no [`ClientId`] or [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not 64 hexadecimal digits")]
pub struct ParseHexError;

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *byte = (digit(high)? << 4) | digit(low)?;
    }
    Some(bytes)
}

macro_rules! name32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name([u8; 32]);

        /// The order of the bytes. Nearly always the first eight decide: maps by digest are looked into for every message.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> core::cmp::Ordering {
                head(&self.0).cmp(&head(&other.0)).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { self.0.serialize(serializer) } else { halves(&self.0).serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let is_readable = deserializer.is_human_readable();
                if is_readable { <[u8; 32]>::deserialize(deserializer) } else { Halves::deserialize(deserializer).map(joined) }.map(Self)
            }
        }

        impl $name {
            /// These 32 bytes.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        /// Eight hexadecimal digits, enough to tell things apart in a log; `Display` gives all.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, self.0.get(..4).unwrap_or_default())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        /// Reads what `Display` writes, 64 hexadecimal digits, and capital ones too.
        impl FromStr for $name {
            type Err = ParseHexError;
            fn from_str(text: &str) -> Result<Self, ParseHexError> {
                read_hex(text).map(Self).ok_or(ParseHexError)
            }
        }
    };
}

name32! {
    /// A client: the 32 bytes of its ed25519 verifying key.
    ClientId
}
name32! {
    /// A SHA-256 digest.
    Digest
}

/// The 64 bytes of an ed25519 signature, not yet judged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RawSignature(pub(crate) [u8; 64]);

impl RawSignature {
    pub(crate) const ZERO: Self = Self([0; 64]);
}

impl fmt::Debug for RawSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0.get(..4).unwrap_or_default())
    }
}

impl Serialize for RawSignature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (r, s) = self.0.split_at(32);
        let half = |bytes: &[u8]| halves(&bytes.try_into().unwrap_or_default());
        (half(r), half(s)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawSignature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (r, s) = <(Halves, Halves)>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(&joined(r));
        second.copy_from_slice(&joined(s));
        Ok(Self(bytes))
    }
}

/// Immutable bytes that are shared, not copied, when cloned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(Arc<[u8]>);

impl Bytes {
    pub(crate) fn shared(bytes: Arc<[u8]>) -> Self {
        Self(bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        wire::Borrowed::deserialize(deserializer).map(|borrowed| Self::from(borrowed.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn what_display_writes_is_read_and_nothing_else_is() {
        let id = ClientId::new(core::array::from_fn(|place| u8::try_from(place).unwrap_or_default().wrapping_mul(37)));
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(Digest::new(*id.as_bytes()).to_string().parse(), Ok(Digest::new(*id.as_bytes())));
        let beginning = text.get(..62).unwrap_or_default();
        for wrong in [
            "",
            beginning,
            &format!("{text}00"),
            &format!("{beginning}+1"),
            &format!("{beginning}g0"),
            &format!("{beginning}0g"),
            &format!("{beginning}\u{e9}"),
            &format!(" {text}"),
        ] {
            assert_eq!(wrong.parse::<ClientId>(), Err(ParseHexError), "{wrong}");
        }
    }
}
