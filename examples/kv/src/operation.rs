//! What clients ask for and what they are told: small enums, laid out by hand, since every node must read the same bytes alike.
//!
//! A byte says which; numbers are little-endian; byte strings have a u32 length before them.

use logothete::Bytes;

/// The longest key.
pub const KEY_BYTES_MAX: usize = 1024;

/// What a client asks for. All of them go through the log, reads too: that makes them linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets all of these, at once.
    Put(Vec<(Vec<u8>, Vec<u8>)>),
    Get(Vec<u8>),
    /// Removes a key and says whether it was there.
    Delete(Vec<u8>),
    /// Up to `limit` pairs whose keys begin with `prefix`, behind `after`, in order.
    List {
        prefix: Vec<u8>,
        after: Vec<u8>,
        limit: u32,
    },
    /// Sets a key if its value is `expected`, where none means that it isn't there.
    CompareAndSet {
        key: Vec<u8>,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
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
    fn pairs(self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let counted = self.number(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        pairs.iter().fold(counted, |writer, (key, value)| writer.bytes(key).bytes(value))
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
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
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }
    fn option(&mut self) -> Option<Option<Vec<u8>>> {
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
    fn pairs(&mut self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let count = self.number()?;
        // Memory only as pairs arrive: the count is anybody's word.
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((self.bytes()?, self.bytes()?));
        }
        Some(pairs)
    }
}

impl Operation {
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::default();
        match self {
            Self::Put(pairs) => writer.byte(0).pairs(pairs),
            Self::Get(key) => writer.byte(1).bytes(key),
            Self::Delete(key) => writer.byte(2).bytes(key),
            Self::List { prefix, after, limit } => writer.byte(3).bytes(prefix).bytes(after).number(*limit),
            Self::CompareAndSet { key, expected, new } => writer.byte(4).bytes(key).option(expected.as_deref()).bytes(new),
        }
        .0
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
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

    /// The keys that it would set or read by name.
    fn keys(&self) -> Vec<&[u8]> {
        match self {
            Self::Put(pairs) => pairs.iter().map(|(key, _)| &key[..]).collect(),
            Self::Get(key) | Self::Delete(key) | Self::CompareAndSet { key, .. } => vec![key],
            Self::List { .. } => Vec::new(),
        }
    }

    /// Why it can't be executed, if so.
    pub fn objection(&self) -> Option<String> {
        self.keys()
            .iter()
            .find(|key| key.is_empty() || key.len() > KEY_BYTES_MAX)
            .map(|key| format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len()))
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
            1 => Self::Value(reader.option()?),
            2 => Self::Deleted(reader.flag()?),
            3 => Self::List { pairs: reader.pairs()?, more: reader.flag()? },
            4 => Self::Compared { set: reader.flag()?, found: reader.option()? },
            5 => Self::Refused(String::from_utf8(reader.bytes()?).ok()?),
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
            assert_eq!(Operation::decode(&bytes), Some(operation));
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
