//! Bytes on a TCP connection: a line that says who calls, then frames, each behind its length.

use logothete::{PeerLink, ReplicaId};
use std::fmt;
use std::io::{self, BufRead, Read, Write};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    General(ReplicaId),
    Commander,
}

impl Party {
    /// The name of this party's connection number `number`: nobody's is another's.
    pub fn link(self, number: u32) -> PeerLink {
        let party = match self {
            Self::Commander => u32::MAX,
            Self::General(id) => id.get(),
        };
        PeerLink(u64::from(party) << 32 | u64::from(number))
    }

    /// Whose connection that is, as its hello said.
    pub fn behind(link: PeerLink) -> Self {
        match u32::try_from(link.0 >> 32) {
            Ok(id) if id != u32::MAX => Self::General(ReplicaId::new(id)),
            _ => Self::Commander,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::General(id) => write!(f, "general {id}"),
            Self::Commander => f.write_str("commander"),
        }
    }
}

/// Longer than any hello.
const HELLO_BYTES_MAX: u64 = 32;

/// Says who calls.
pub fn write_hello(output: &mut impl Write, party: Party) -> io::Result<()> {
    writeln!(output, "{party}")
}

/// Reads who calls, which nobody has to believe: messages carry signatures, and answers don't come back this way.
/// `None` if it is nobody we know.
pub fn read_hello(input: &mut impl BufRead) -> io::Result<Option<Party>> {
    let mut line = Vec::new();
    input.take(HELLO_BYTES_MAX).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    let line = line.trim_end();
    Ok(match line.strip_prefix("general ") {
        Some(id) => id.parse().ok().map(|id| Party::General(ReplicaId::new(id))),
        None => (line == "commander").then_some(Party::Commander),
    })
}

/// Writes one frame.
pub fn write_frame(output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(frame)
}

/// Reads one frame. A length beyond `max` is an error before anything is allocated for it.
pub fn read_frame(input: &mut impl Read, max: u32) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame longer than any message"));
    }
    let mut frame = Vec::new();
    input.take(length.into()).read_to_end(&mut frame)?;
    if frame.len() as u64 != u64::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}
