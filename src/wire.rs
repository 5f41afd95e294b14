//! The one module that knows the codec: bounded, canonical, and nothing of it visible outside. (SPEC 2)
//!
//! bincode with fixed-width little-endian integers; a vector is a u64 count and its items, a byte string a u64 length and its bytes,
//! an option a byte 0 or 1, a choice a u32.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]

use crate::ids::Bytes;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Why bytes are no message. Whoever sent them is faulty, of another version, or not of this cluster; nothing was kept of them.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than `message_bytes_max`; not looked at.
    #[error("a message of {length} bytes is longer than message_bytes_max = {max}")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        max: u32,
    },
    /// Not the encoding of any message: cut off, of an unknown kind, or with a count beyond its bound.
    #[error("not a message: cut off, of an unknown kind, or a count beyond its bound")]
    Malformed,
    /// Bytes are left over behind the message.
    #[error("{0} bytes are left over behind the message")]
    Trailing(usize),
    /// The bytes decode, but the same message is written in another way.
    #[error("not in canonical form")]
    NotCanonical,
    /// A part is beyond the cluster's limits, or a set is not sorted or has doubles.
    #[error("{0}")]
    OutOfBounds(&'static str),
}

/// Beyond any `message_bytes_max`; the codec itself refuses to go further whatever a caller says.
const HARD_LIMIT: usize = 65 * 1024 * 1024;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<HARD_LIMIT>()
}

/// The one encoding of `value`. The codec's limit holds for reading only, and writing these types to memory can't fail.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_behind(Vec::with_capacity(256), value)
}

/// The same behind what `bytes` holds.
pub(crate) fn encode_behind<T: Serialize>(bytes: Vec<u8>, value: &T) -> Vec<u8> {
    let mut appended = Appended(bytes);
    // What broke off would decode to nothing.
    let _ = bincode::serde::encode_into_writer(value, &mut appended, config());
    appended.0
}

struct Appended(Vec<u8>);

impl bincode::enc::write::Writer for Appended {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// How many bytes the encoding takes.
pub(crate) fn encoded_length<T: Serialize>(value: &T) -> usize {
    let mut counted = Counted(0);
    let _ = bincode::serde::encode_into_writer(value, &mut counted, config());
    counted.0
}

struct Counted(usize);

impl bincode::enc::write::Writer for Counted {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}

/// The same as [`encode`], to be shared: written where it stays, since what is long is dear to copy.
pub(crate) fn encode_shared<T: Serialize>(value: &T) -> Bytes {
    let mut bytes: Arc<[u8]> = core::iter::repeat_n(0, encoded_length(value)).collect();
    if let Some(place) = Arc::get_mut(&mut bytes) {
        let _ = bincode::serde::encode_into_slice(value, place, config());
    }
    Bytes::shared(bytes)
}

/// The same, part by part: what is short is gathered, and what is long is given as it lies in memory.
pub(crate) fn encode_to<T: Serialize, E>(value: &T, append: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut parts = Parts { gathered: Vec::new(), append, outcome: Ok(()) };
    let _ = bincode::serde::encode_into_writer(value, &mut parts, config());
    parts.flush();
    parts.outcome
}

/// Bytes that are gathered before they are given on.
const GATHERED_MAX: usize = 32 * 1024;
/// From here on bytes are given as they are.
const LONG: usize = 4096;

struct Parts<'a, F, E> {
    gathered: Vec<u8>,
    append: &'a mut F,
    outcome: Result<(), E>,
}

impl<F: FnMut(&[u8]) -> Result<(), E>, E> Parts<'_, F, E> {
    fn give(&mut self, bytes: &[u8]) {
        if self.outcome.is_ok() && !bytes.is_empty() {
            self.outcome = (self.append)(bytes);
        }
    }
    fn flush(&mut self) {
        let gathered = core::mem::take(&mut self.gathered);
        self.give(&gathered);
        self.gathered = gathered;
        self.gathered.clear();
    }
}

impl<F: FnMut(&[u8]) -> Result<(), E>, E> bincode::enc::write::Writer for Parts<'_, F, E> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        if bytes.len() >= LONG || self.gathered.len().saturating_add(bytes.len()) > GATHERED_MAX {
            self.flush();
        }
        if bytes.len() >= LONG {
            self.give(bytes)
        } else {
            self.gathered.extend_from_slice(bytes)
        }
        if self.outcome.is_ok() { Ok(()) } else { Err(bincode::error::EncodeError::Other("not taken")) }
    }
}

/// Reads a value of at most `max` bytes: all of the input, in the one form in which [`encode`] writes it.
pub(crate) fn decode<'de, T: Deserialize<'de> + Serialize>(bytes: &'de [u8], max: u32) -> Result<T, DecodeError> {
    if bytes.len() > usize::try_from(max).unwrap_or(usize::MAX) {
        return Err(DecodeError::TooLong { length: bytes.len(), max });
    }
    let (value, rest) = decode_first(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing(rest.len())) }
}

/// Reads the value that `bytes` begin with, in the one form in which [`encode`] writes it, and gives what is left behind it.
pub(crate) fn decode_first<'de, T: Deserialize<'de> + Serialize>(bytes: &'de [u8]) -> Result<(T, &'de [u8]), DecodeError> {
    let (value, consumed): (T, usize) = bincode::serde::borrow_decode_from_slice(bytes, config()).map_err(|_| DecodeError::Malformed)?;
    let (own, rest) = bytes.split_at_checked(consumed).ok_or(DecodeError::Malformed)?;
    let mut compared = Compared { rest: own };
    let same = bincode::serde::encode_into_writer(&value, &mut compared, config()).is_ok();
    if same && compared.rest.is_empty() { Ok((value, rest)) } else { Err(DecodeError::NotCanonical) }
}

/// Takes an encoding only as long as it is these bytes: a second copy beside the value would break the bound on what input may cost.
struct Compared<'a> {
    rest: &'a [u8],
}

impl bincode::enc::write::Writer for Compared<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(bincode::error::EncodeError::Other("written in another way"))?;
        Ok(())
    }
}

/// Exact growth in steps, from 1: capacity stays within a quarter of what has really arrived, also in 4096 batches of one request.
pub(crate) fn push_as_it_arrives<T>(items: &mut Vec<T>, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(1_usize.max(items.len() / 4));
    }
    items.push(item);
}

/// A byte string as it lies in the input.
pub(crate) struct Borrowed<'a>(pub(crate) &'a [u8]);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Borrowed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsItLies;
        impl<'de> de::Visitor<'de> for AsItLies {
            type Value = Borrowed<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            // A length that the input doesn't hold fails before anything is allocated.
            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Borrowed(bytes))
            }
        }
        deserializer.deserialize_bytes(AsItLies)
    }
}

/// A vector of at most `MAX` items that takes memory only as items arrive: serde's own would take up to 1 MiB on the word of a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Bounded<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> core::ops::Deref for Bounded<T, MAX> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> de::Visitor<'de> for Items<T, MAX> {
            type Value = Bounded<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} items")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                if items.size_hint().is_none_or(|count| count > MAX) {
                    return Err(de::Error::custom("count beyond its bound"));
                }
                // A few at once, if so many are announced: a certificate of four has its place at the first go.
                let mut out = Vec::new();
                out.reserve_exact(items.size_hint().unwrap_or_default().min(4));
                while let Some(item) = items.next_element()? {
                    push_as_it_arrives(&mut out, item);
                }
                Ok(Bounded(out))
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// For lists in records, which have no bound of their own: they too take memory only as items arrive.
pub(crate) fn as_they_arrive<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Bounded::<T, { usize::MAX }>::deserialize(deserializer).map(|items| items.0)
}

/// What is signed, laid out by hand and in fixed width: a signature must outlive an encoding. (SPEC 3.1) In place, since there is one for each vote.
#[derive(Clone)]
pub(crate) struct Payload {
    bytes: [u8; PAYLOAD_MAX],
    length: usize,
}

/// The longest is a Status's. Tests have signatures on longer ones judged.
const PAYLOAD_MAX: usize = if cfg!(test) { 1024 } else { 174 };

/// Starts each signed payload.
const PAYLOAD_TAG: &[u8; 16] = b"logothete/1\0\0\0\0\0";

impl Payload {
    pub(crate) fn new(kind: u8, group: &crate::ids::Digest) -> Self {
        let mut payload = Self { bytes: [0; PAYLOAD_MAX], length: 0 };
        payload.bytes(PAYLOAD_TAG).u8(kind).bytes32(group.as_bytes());
        payload
    }
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.length.saturating_add(bytes.len());
        let place = self.bytes.get_mut(self.length..end);
        // What is signed is never less than was to be.
        assert!(place.is_some(), "a payload longer than {PAYLOAD_MAX} bytes");
        place.into_iter().for_each(|place| place.copy_from_slice(bytes));
        self.length = end;
        self
    }
    pub(crate) fn u8(&mut self, number: u8) -> &mut Self {
        self.bytes(&[number])
    }
    pub(crate) fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }
    pub(crate) fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }
    pub(crate) fn bytes32(&mut self, bytes: &[u8; 32]) -> &mut Self {
        self.bytes(bytes)
    }
    pub(crate) fn finish(&self) -> Self {
        self.clone()
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// For tests: as if it had been laid out.
#[cfg(test)]
impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self { bytes: [0; PAYLOAD_MAX], length: 0 }.bytes(bytes).finish()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
