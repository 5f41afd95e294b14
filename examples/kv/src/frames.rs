//! What goes over a connection: length (4 bytes, little-endian) ‖ kind (1) ‖ body.

use logothete::Bytes;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of the protocol.
    Message,
    Ping,
    Pong,
    /// A question to this one node, and its answer: for reads that may be stale, and for `status`.
    Query,
    Reply,
    /// A node to its client: why a request is not taken now.
    Notice,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Message, Self::Ping, Self::Pong, Self::Query, Self::Reply, Self::Notice];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    fn byte(self) -> u8 {
        Self::ALL.iter().zip(0..).find(|(kind, _)| **kind == self).map_or(0, |(_, byte)| byte)
    }
}

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: Kind,
    pub body: Bytes,
}

impl Frame {
    pub fn new(kind: Kind, body: impl Into<Bytes>) -> Self {
        Self { kind, body: body.into() }
    }

    pub fn empty(kind: Kind) -> Self {
        Self { kind, body: Bytes::from(Vec::new()) }
    }

    /// Puts it behind what is to be written.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.push(self.kind.byte());
        bytes.extend_from_slice(&self.body);
    }

    /// What it takes in a queue.
    pub fn size(&self) -> usize {
        frame_size(&self.body)
    }
}

/// What a frame counts.
pub fn frame_size(body: &[u8]) -> usize {
    body.len() + 64
}

/// Read at one time, at least.
const READ_BYTES: usize = 16 << 10;
const HEAD_BYTES: usize = 5;

/// Frames as they come over a connection: each read takes all that is there.
pub struct Reader<R> {
    input: R,
    bytes_max: usize,
    held: Vec<u8>,
    /// So much of `held` was handed out.
    taken: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(input: R, bytes_max: usize) -> Self {
        Self { input, bytes_max, held: Vec::new(), taken: 0 }
    }

    /// The next frame, if it is here whole: its kind and body.
    ///
    /// # Errors
    /// `InvalidData` for a frame that is too long, or of no kind.
    pub fn frame(&mut self) -> io::Result<Option<(Kind, &[u8])>> {
        let Some((head, rest)) = self.held.get(self.taken..).and_then(|held| held.split_first_chunk::<HEAD_BYTES>()) else {
            return Ok(None);
        };
        let [length @ .., kind] = *head;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let kind = Kind::from_byte(kind).ok_or_else(|| bad("a frame of no kind"))?;
        if length > self.bytes_max {
            return Err(bad("a frame is too long"));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.taken += HEAD_BYTES + length;
        Ok(Some((kind, body)))
    }

    /// Waits for more.
    ///
    /// # Errors
    /// The connection's own; `UnexpectedEof` when it has ended.
    pub async fn fill(&mut self) -> io::Result<()> {
        self.held.drain(..self.taken);
        self.taken = 0;
        if self.held.is_empty() && self.held.capacity() > 4 * READ_BYTES {
            // Whoever was sent something long once doesn't hold its room for ever.
            self.held = Vec::new();
        }
        // Memory as bytes arrive, not on the word of a length.
        self.held.reserve(self.held.len().clamp(READ_BYTES, self.bytes_max.max(READ_BYTES)));
        match self.input.read_buf(&mut self.held).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// # Errors
/// The connection's own.
pub async fn write(output: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(frame.size());
    frame.encode_into(&mut bytes);
    output.write_all(&bytes).await
}

pub fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let frames: Vec<Frame> =
            [0, 1, 700, 60_000, 3].iter().map(|length| Frame::new(Kind::Message, vec![*length as u8; *length])).collect();
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode_into(&mut bytes));
        for piece in [1, 4, 5, 6, 999, 30_000, bytes.len()] {
            let (mut left, right) = tokio::io::duplex(100_000);
            let send = async {
                for piece in bytes.chunks(piece) {
                    left.write_all(piece).await.expect("written");
                }
                drop(left);
            };
            let read = async {
                let (mut reader, mut read) = (Reader::new(right, 60_000), Vec::new());
                loop {
                    while let Some((kind, body)) = reader.frame().expect("frames") {
                        read.push((kind, body.to_vec()));
                    }
                    assert!(reader.held.capacity() <= 4 * 60_000, "{}", reader.held.capacity());
                    if let Err(error) = reader.fill().await {
                        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                        return read;
                    }
                }
            };
            let ((), read) = tokio::join!(send, read);
            assert!(
                read.iter().map(|(kind, body)| (*kind, &body[..])).eq(frames.iter().map(|frame| (frame.kind, &frame.body[..]))),
                "{piece}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_of_no_kind_is_refused_before_it_is_here() {
        for (head, is_bad) in [([10, 0, 0, 0, 0], false), ([11, 0, 0, 0, 0], true), ([0, 0, 0, 255, 0], true), ([1, 0, 0, 0, 6], true)] {
            let mut reader = Reader::new(&head[..], 10);
            reader.fill().await.expect("read");
            assert_eq!(reader.frame().is_err(), is_bad, "{head:?}");
            assert!(reader.held.capacity() <= 2 * READ_BYTES);
        }
    }
}
