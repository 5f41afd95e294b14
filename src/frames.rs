//! A log that is one stream of bytes, taken apart into its frames. (SPEC 5; feature `std`)

use crate::ids::Bytes;
use crate::record::{HEADER, announced};
use alloc::vec::Vec;
use std::io::{self, Read};

/// Finds the records in a log that is one stream of bytes, one frame after the other: each comes with its index, as [`Replica::recover`](crate::Replica::recover)
/// and [`Wal::read`](crate::Wal::read) want it. It judges nothing: what is damaged or cut off is given as it stands.
#[derive(Clone, Debug)]
pub struct Frames<R> {
    input: R,
    ended: bool,
    offset: u64,
    expected: Option<u64>,
}

impl<R: Read> Frames<R> {
    /// Reads from the log's first byte on; give it a buffered reader.
    pub fn new(input: R) -> Self {
        Self { input, ended: false, offset: 0, expected: None }
    }

    /// Where the frame that comes next begins, in bytes from where reading began: a log is cut here if that frame is not whole.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn read(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        let mut bytes = Vec::new();
        self.input.by_ref().take(HEADER as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let announced = announced(&bytes);
        // A damaged header does not say which record it was: then it goes by the number that should come here.
        let index = announced.map(|(index, _)| index).or(self.expected).unwrap_or_default();
        match announced {
            Some((_, length)) => self.input.by_ref().take(length).read_to_end(&mut bytes)?,
            // Where the next frame begins is not known: what is left is one piece, and the replica will say what is wrong with it.
            None => {
                self.ended = true;
                self.input.by_ref().take(1 << 20).read_to_end(&mut bytes)?
            }
        };
        self.offset += bytes.len() as u64;
        self.expected = Some(index.wrapping_add(1));
        Ok(Some((index, Bytes::from(bytes))))
    }
}

impl<R: Read> Iterator for Frames<R> {
    type Item = io::Result<(u64, Bytes)>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read();
        self.ended |= !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
