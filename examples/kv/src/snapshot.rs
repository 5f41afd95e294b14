//! How the state is cut into parts: keys fall into buckets by their hash, and only buckets that have changed are cut anew.
//!
//! A part is bucket (2 bytes) and pairs: length (4) ‖ key ‖ length (4) ‖ value, in the order of keys, as many as fit. So equal states are cut into equal
//! parts everywhere, and a checkpoint costs what changed since the last one.

use crate::pairs::Slice;
use logothete::{Digest, Manifest};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Part of the state's form: all nodes must have the same number.
pub const BUCKETS: u16 = 1024;

pub fn bucket_of(key: &[u8]) -> u16 {
    let hash = Sha256::digest(key);
    u16::from_be_bytes([hash[0], hash[1]]) % BUCKETS
}

/// Cuts one bucket.
pub fn cut_bucket(bucket: u16, pairs: &BTreeMap<Slice, Slice>, part_bytes_max: usize) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (key, value) in pairs {
        let length = 8 + key.len() + value.len();
        if parts.last().is_none_or(|part| part.len() + length > part_bytes_max) {
            parts.push(bucket.to_be_bytes().to_vec());
        }
        if let Some(part) = parts.last_mut() {
            for bytes in [key, value] {
                part.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                part.extend_from_slice(bytes);
            }
        }
    }
    parts
}

type Borrowed<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A part's bucket and its pairs.
pub fn read_part(part: &[u8]) -> Option<(u16, Borrowed<'_>)> {
    fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        *rest = after;
        Some(bytes)
    }
    let (bucket, mut rest) = part.split_first_chunk::<2>()?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        pairs.push((bytes(&mut rest)?, bytes(&mut rest)?));
    }
    Some((u16::from_be_bytes(*bucket), pairs))
}

/// How many snapshots have each part: what none has any more goes. 32 bytes and a count for each.
#[derive(Default)]
pub struct Parts(BTreeMap<Digest, u32>);

impl Parts {
    pub fn hold(&mut self, manifest: &Manifest) {
        for digest in (0..manifest.chunk_count()).filter_map(|index| manifest.chunk(index)) {
            *self.0.entry(digest).or_default() += 1;
        }
    }

    pub fn holds(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    /// Gives the parts that nobody has any more.
    pub fn let_go(&mut self, manifest: &Manifest) -> Vec<Digest> {
        let mut gone = Vec::new();
        for digest in (0..manifest.chunk_count()).filter_map(|index| manifest.chunk(index)) {
            match self.0.get_mut(&digest) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => {
                    self.0.remove(&digest);
                    gone.push(digest);
                }
                None => {}
            }
        }
        gone
    }
}
