//! What clients ask for and what they are told: small enums, laid out by hand, since every node must read the same bytes alike.
//!
//! A byte says which; numbers are little-endian; byte strings have a u32 length before them.

use logothete::Bytes;

/// The longest key.
pub const KEY_BYTES_MAX: usize = 1024;

/// What a client asks for. All of them go through the log, reads too: that makes them linearizable. What is decoded borrows its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation<B = Vec<u8>> {
    /// Sets all of these, at once.
    Put(Vec<(B, B)>),
    Get(B),
    /// Removes a key and says whether it was there.
    Delete(B),
    /// Up to `limit` pairs whose keys begin with `prefix`, behind `after`, in order.
    List {
        prefix: B,
        after: B,
        limit: u32,
    },
    /// Sets a key if its value is `expected`, where none means that it isn't there.
    CompareAndSet {
        key: B,
        expected: Option<B>,
        new: B,
    },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So many pairs were set.
    Put(u32),
    Value(Option<Vec<u8>>),
    Deleted(bool),
    /// `more` if the limit, or the room in one result, ended it.
    List {
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        more: bool,
    },
    /// Was it set? If not, this is there instead.
    Compared {
        set: bool,
        found: Option<Vec<u8>>,
    },
    /// The operation could not be read, or is not allowed; nothing was changed.
    Refused(String),
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }
    fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }
    fn option(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            None => self.byte(0),
            Some(bytes) => self.byte(1).bytes(bytes),
        }
    }
    fn pairs<B: AsRef<[u8]>>(self, pairs: &[(B, B)]) -> Self {
        let counted = self.number(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        pairs.iter().fold(counted, |writer, (key, value)| writer.bytes(key.as_ref()).bytes(value.as_ref()))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
    fn option(&mut self) -> Option<Option<&'a [u8]>> {
        match self.byte()? {
            0 => Some(None),
            1 => Some(Some(self.bytes()?)),
            _ => None,
        }
    }
    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    fn pairs(&mut self) -> Option<Vec<(&'a [u8], &'a [u8])>> {
        let count = self.number()?;
        // Memory only as pairs arrive: the count is anybody's word.
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((self.bytes()?, self.bytes()?));
        }
        Some(pairs)
    }
}

impl<'a> Operation<&'a [u8]> {
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let operation = match reader.byte()? {
            0 => Self::Put(reader.pairs()?),
            1 => Self::Get(reader.bytes()?),
            2 => Self::Delete(reader.bytes()?),
            3 => Self::List { prefix: reader.bytes()?, after: reader.bytes()?, limit: reader.number()? },
            4 => Self::CompareAndSet { key: reader.bytes()?, expected: reader.option()?, new: reader.bytes()? },
            _ => return None,
        };
        reader.0.is_empty().then_some(operation)
    }
}

impl<B: AsRef<[u8]>> Operation<B> {
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::default();
        match self {
            Self::Put(pairs) => writer.byte(0).pairs(pairs),
            Self::Get(key) => writer.byte(1).bytes(key.as_ref()),
            Self::Delete(key) => writer.byte(2).bytes(key.as_ref()),
            Self::List { prefix, after, limit } => writer.byte(3).bytes(prefix.as_ref()).bytes(after.as_ref()).number(*limit),
            Self::CompareAndSet { key, expected, new } => {
                writer.byte(4).bytes(key.as_ref()).option(expected.as_ref().map(B::as_ref)).bytes(new.as_ref())
            }
        }
        .0
    }

    /// Why it can't be executed, if so.
    pub fn objection(&self) -> Option<String> {
        let is_bad = |key: &B| key.as_ref().is_empty() || key.as_ref().len() > KEY_BYTES_MAX;
        // The keys that it would set or read by name.
        let bad = match self {
            Self::Put(pairs) => pairs.iter().map(|(key, _)| key).find(|key| is_bad(key)),
            Self::Get(key) | Self::Delete(key) | Self::CompareAndSet { key, .. } => Some(key).filter(|key| is_bad(key)),
            Self::List { .. } => None,
        };
        bad.map(|key| format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.as_ref().len()))
    }
}

impl Answer {
    pub fn encode(&self) -> Bytes {
        let writer = Writer::default();
        Bytes::from(
            match self {
                Self::Put(count) => writer.byte(0).number(*count),
                Self::Value(value) => writer.byte(1).option(value.as_deref()),
                Self::Deleted(was_there) => writer.byte(2).byte(u8::from(*was_there)),
                Self::List { pairs, more } => writer.byte(3).pairs(pairs).byte(u8::from(*more)),
                Self::Compared { set, found } => writer.byte(4).byte(u8::from(*set)).option(found.as_deref()),
                Self::Refused(why) => writer.byte(5).bytes(why.as_bytes()),
            }
            .0,
        )
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let answer = match reader.byte()? {
            0 => Self::Put(reader.number()?),
            1 => Self::Value(reader.option()?.map(<[u8]>::to_vec)),
            2 => Self::Deleted(reader.flag()?),
            3 => {
                let pairs = reader.pairs()?.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                Self::List { pairs, more: reader.flag()? }
            }
            4 => Self::Compared { set: reader.flag()?, found: reader.option()?.map(<[u8]>::to_vec) },
            5 => Self::Refused(std::str::from_utf8(reader.bytes()?).ok()?.to_owned()),
            _ => return None,
        };
        reader.0.is_empty().then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_answers_survive_and_cut_off_ones_are_refused() {
        let operations = [
            Operation::Put(vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())]),
            Operation::Get(b"a".to_vec()),
            Operation::Delete(b"a".to_vec()),
            Operation::List { prefix: b"p".to_vec(), after: Vec::new(), limit: 7 },
            Operation::CompareAndSet { key: b"a".to_vec(), expected: Some(b"1".to_vec()), new: b"2".to_vec() },
        ];
        for operation in operations {
            let bytes = operation.encode();
            let decoded = Operation::decode(&bytes).expect("whole");
            assert_eq!((decoded.encode(), format!("{decoded:?}")), (bytes.clone(), format!("{operation:?}")));
            for end in 0..bytes.len() {
                assert_eq!(Operation::decode(&bytes[..end]), None);
            }
            assert_eq!(Operation::decode(&[&bytes[..], &[0]].concat()), None);
        }
        let answers = [
            Answer::Put(2),
            Answer::Value(Some(b"x".to_vec())),
            Answer::Deleted(true),
            Answer::List { pairs: vec![(b"a".to_vec(), b"1".to_vec())], more: true },
            Answer::Compared { set: false, found: None },
            Answer::Refused("no".to_owned()),
        ];
        for answer in answers {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Operation::decode(&[0, 255, 255, 255, 255]), None);
    }
}
