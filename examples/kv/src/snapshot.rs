//! How the state is cut into parts: keys fall into buckets by their hash, and only buckets that have changed are cut anew.
//!
//! A part is bucket (2 bytes) and pairs: length (4) ‖ key ‖ length (4) ‖ value, in the order of keys, as many as fit. So equal states are cut into equal
//! parts everywhere, and a checkpoint costs what changed since the last one.

use crate::error::{Result, fault};
use crate::store::{CUTS, DIRTY, MEMBERS, PAIRS, PARTS};
use logothete::{Digest, Manifest, chunk_digest};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Part of the state's form: all nodes must have the same number.
pub const BUCKETS: u16 = 1024;

pub fn bucket_of(key: &[u8]) -> u16 {
    let hash = Sha256::digest(key);
    u16::from_be_bytes([hash[0], hash[1]]) % BUCKETS
}

/// A key's name in the table of members.
pub fn member(bucket: u16, key: &[u8]) -> Vec<u8> {
    [&bucket.to_be_bytes()[..], key].concat()
}

type Key = &'static [u8];

/// Cuts one bucket.
fn cut_bucket(
    members: &impl ReadableTable<Key, ()>,
    pairs: &impl ReadableTable<Key, Key>,
    bucket: u16,
    part_bytes_max: usize,
) -> Result<Vec<Vec<u8>>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let start = bucket.to_be_bytes();
    for entry in members.range(&start[..]..)? {
        let name = entry?.0;
        let Some(key) = name.value().strip_prefix(&start) else { break };
        let value = pairs.get(key)?.ok_or_else(|| fault("a key of the snapshot has no value: the database is damaged"))?;
        let value = value.value();
        let length = 8 + key.len() + value.len();
        if parts.last().is_none_or(|part| part.len() + length > part_bytes_max) {
            parts.push(start.to_vec());
        }
        if let Some(part) = parts.last_mut() {
            for bytes in [key, value] {
                part.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                part.extend_from_slice(bytes);
            }
        }
    }
    Ok(parts)
}

type Borrowed<'a> = Vec<(&'a [u8], &'a [u8])>;

fn read_part(part: &[u8]) -> Option<(u16, Borrowed<'_>)> {
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

/// Cuts what has changed. Gives the digests of all parts, bucket by bucket, and the parts that are new.
///
/// # Errors
/// The database's own.
pub fn cut(transaction: &WriteTransaction, part_bytes_max: usize) -> Result<(Vec<Digest>, Vec<Vec<u8>>)> {
    let (members, pairs) = (transaction.open_table(MEMBERS)?, transaction.open_table(PAIRS)?);
    let (mut dirty, mut cuts) = (transaction.open_table(DIRTY)?, transaction.open_table(CUTS)?);
    let changed = dirty.iter()?.map(|entry| Ok(entry?.0.value())).collect::<Result<Vec<_>>>()?;
    let mut new = Vec::new();
    for bucket in changed {
        let parts = cut_bucket(&members, &pairs, bucket, part_bytes_max)?;
        let digests: Vec<u8> = parts.iter().flat_map(|part| *chunk_digest(part).as_bytes()).collect();
        if digests.is_empty() {
            cuts.remove(bucket)?
        } else {
            cuts.insert(bucket, &digests[..])?
        };
        new.extend(parts);
    }
    dirty.retain(|_, ()| false)?;
    let mut all = Vec::new();
    for entry in cuts.iter()? {
        let digests = entry?.1;
        all.extend(digests.value().chunks_exact(32).filter_map(|digest| digest.try_into().ok()).map(Digest::new));
    }
    Ok((all, new))
}

/// One digest for all pairs: that of the list which a checkpoint would name now.
///
/// # Errors
/// The database's own.
pub fn digest(transaction: &ReadTransaction, part_bytes_max: usize) -> Result<Digest> {
    let (members, pairs) = (transaction.open_table(MEMBERS)?, transaction.open_table(PAIRS)?);
    let (dirty, cuts) = (transaction.open_table(DIRTY)?, transaction.open_table(CUTS)?);
    let mut hasher = Sha256::new().chain_update(b"logothete-kv/pairs");
    for bucket in 0..BUCKETS {
        if dirty.get(bucket)?.is_some() {
            for part in cut_bucket(&members, &pairs, bucket, part_bytes_max)? {
                hasher.update(chunk_digest(&part).as_bytes());
            }
        } else if let Some(digests) = cuts.get(bucket)? {
            hasher.update(digests.value());
        }
    }
    Ok(Digest::new(hasher.finalize().into()))
}

/// Makes the state that these parts hold the present one. Buckets that are the same are left alone.
///
/// # Errors
/// A part is missing or not of this form, or the database's own.
pub fn install(transaction: &WriteTransaction, service: &[Digest]) -> Result<()> {
    let parts = transaction.open_table(PARTS)?;
    let mut wanted: BTreeMap<u16, Vec<Digest>> = BTreeMap::new();
    let read = |digest: &Digest| -> Result<Vec<u8>> {
        Ok(parts.get(&digest.as_bytes()[..])?.ok_or_else(|| fault(format!("part {digest} is lost")))?.value().to_vec())
    };
    let strange = || fault("a part of the snapshot is of another form: do all nodes run the same version?");
    for digest in service {
        let (bucket, _) =
            read(digest)?.split_first_chunk::<2>().map(|(bucket, rest)| (u16::from_be_bytes(*bucket), rest.len())).ok_or_else(strange)?;
        wanted.entry(bucket).or_default().push(*digest);
    }
    let (mut members, mut pairs) = (transaction.open_table(MEMBERS)?, transaction.open_table(PAIRS)?);
    let (mut dirty, mut cuts) = (transaction.open_table(DIRTY)?, transaction.open_table(CUTS)?);
    for bucket in 0..BUCKETS {
        let digests: Vec<u8> = wanted.get(&bucket).into_iter().flatten().flat_map(|digest| *digest.as_bytes()).collect();
        let same = cuts.get(bucket)?.map_or(digests.is_empty(), |held| held.value() == &digests[..]);
        if same && dirty.get(bucket)?.is_none() {
            continue;
        }
        let start = bucket.to_be_bytes();
        let mut old = Vec::new();
        for entry in members.range(&start[..]..)? {
            let name = entry?.0;
            let Some(key) = name.value().strip_prefix(&start) else { break };
            old.push(key.to_vec());
        }
        for key in old {
            pairs.remove(&key[..])?;
            members.remove(&member(bucket, &key)[..])?;
        }
        for digest in wanted.get(&bucket).into_iter().flatten() {
            let part = read(digest)?;
            let (of, new) = read_part(&part).ok_or_else(strange)?;
            for (key, value) in new {
                if of != bucket || bucket_of(key) != bucket {
                    return Err(strange());
                }
                pairs.insert(key, value)?;
                members.insert(&member(bucket, key)[..], ())?;
            }
        }
        if digests.is_empty() {
            cuts.remove(bucket)?
        } else {
            cuts.insert(bucket, &digests[..])?
        };
    }
    if wanted.keys().any(|bucket| *bucket >= BUCKETS) {
        return Err(strange());
    }
    dirty.retain(|_, ()| false)?;
    Ok(())
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
