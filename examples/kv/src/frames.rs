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

    /// What it takes in a queue.
    pub fn size(&self) -> usize {
        self.body.len() + 64
    }
}

/// # Errors
/// The connection's own; `InvalidData` for a frame that is too long, or of no kind.
pub async fn read(input: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Frame> {
    let length = usize::try_from(input.read_u32_le().await?).unwrap_or(usize::MAX);
    let kind = Kind::from_byte(input.read_u8().await?).ok_or_else(|| bad("a frame of no kind"))?;
    if length > bytes_max {
        return Err(bad("a frame is too long"));
    }
    // Memory as bytes arrive, not on the word of a length.
    let mut body = Vec::with_capacity(length.min(16 * 1024));
    if input.take(length as u64).read_to_end(&mut body).await? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Frame { kind, body: Bytes::from(body) })
}

/// # Errors
/// The connection's own.
pub async fn write(output: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    output.write_u32_le(u32::try_from(frame.body.len()).unwrap_or(u32::MAX)).await?;
    output.write_u8(frame.kind.byte()).await?;
    output.write_all(&frame.body).await
}

pub fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
