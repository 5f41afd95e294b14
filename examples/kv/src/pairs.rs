//! The pairs, in memory. Keys fall into buckets by their hash; a bucket is copied only if it is changed while somebody still reads it.

use crate::error::{Result, fault};
use crate::snapshot::{BUCKETS, bucket_of, cut_bucket, read_part};
use logothete::{Digest, chunk_digest};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

pub type Slice = Arc<[u8]>;

#[derive(Clone)]
pub struct Bucket {
    pub pairs: BTreeMap<Slice, Slice>,
    /// The digests of its parts, if it has not changed since it was cut into them.
    pub cut: Option<Vec<Digest>>,
}

impl Bucket {
    fn empty() -> Self {
        Self { pairs: BTreeMap::new(), cut: Some(Vec::new()) }
    }
}

/// A clone is cheap, and shares what neither side changes.
#[derive(Clone)]
pub struct Pairs {
    buckets: Vec<Arc<Bucket>>,
    /// All keys, in order.
    keys: BTreeSet<Slice>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Arc::new(Bucket::empty())).collect(), keys: BTreeSet::new() }
    }
}

/// What [`Pairs::cut`] gives.
pub struct Cut {
    /// Of all parts, bucket by bucket.
    pub digests: Vec<Digest>,
    /// Those that were not cut before.
    pub new: Vec<(Digest, Vec<u8>)>,
}

impl Pairs {
    fn bucket(&self, key: &[u8]) -> &Bucket {
        &self.buckets[usize::from(bucket_of(key))]
    }

    fn bucket_mut(&mut self, key: &[u8]) -> &mut Bucket {
        Arc::make_mut(&mut self.buckets[usize::from(bucket_of(key))])
    }

    pub fn get(&self, key: &[u8]) -> Option<&Slice> {
        self.bucket(key).pairs.get(key)
    }

    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        let bucket = self.bucket_mut(key);
        bucket.cut = None;
        if let Some(held) = bucket.pairs.get_mut(key) {
            match Arc::get_mut(held).filter(|held| held.len() == value.len()) {
                Some(held) => held.copy_from_slice(value),
                None => *held = value.into(),
            }
            return;
        }
        let key: Slice = key.into();
        bucket.pairs.insert(key.clone(), value.into());
        self.keys.insert(key);
    }

    /// Was it there?
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let bucket = self.bucket_mut(key);
        bucket.cut = None;
        bucket.pairs.remove(key);
        self.keys.remove(key)
    }

    /// Pairs from this key on, in order.
    pub fn range(&self, start: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
        keys.filter_map(|key| Some((&key[..], &self.get(key)?[..])))
    }

    /// Buckets for a reader that takes its time.
    pub fn buckets(&self) -> Vec<Arc<Bucket>> {
        self.buckets.clone()
    }

    /// Cuts what has changed since it was last cut.
    pub fn cut(&mut self, part_bytes_max: usize) -> Cut {
        let mut cut = Cut { digests: Vec::new(), new: Vec::new() };
        for (number, bucket) in (0..).zip(&mut self.buckets) {
            if bucket.cut.is_none() {
                let parts = cut_bucket(number, &bucket.pairs, part_bytes_max);
                let parts: Vec<(Digest, Vec<u8>)> = parts.into_iter().map(|part| (chunk_digest(&part), part)).collect();
                Arc::make_mut(bucket).cut = Some(parts.iter().map(|(digest, _)| *digest).collect());
                cut.new.extend(parts);
            }
            cut.digests.extend(bucket.cut.iter().flatten());
        }
        cut
    }

    /// The pairs that these parts hold.
    ///
    /// # Errors
    /// A part can't be read, is not what its digest says, or is of another form.
    pub fn assemble(parts: impl Iterator<Item = Digest>, mut read: impl FnMut(&Digest) -> Result<Vec<u8>>) -> Result<Self> {
        let strange = || fault("a part of the snapshot is of another form: do all nodes run the same version?");
        let mut pairs = Self::default();
        for digest in parts {
            let part = read(&digest)?;
            if chunk_digest(&part) != digest {
                return Err(fault(format!("part {digest} of the snapshot is damaged")));
            }
            let (number, new) = read_part(&part).ok_or_else(strange)?;
            let bucket = Arc::make_mut(pairs.buckets.get_mut(usize::from(number)).ok_or_else(strange)?);
            for (key, value) in new {
                let key: Slice = key.into();
                if bucket_of(&key) != number || bucket.pairs.insert(key.clone(), value.into()).is_some() {
                    return Err(strange());
                }
                pairs.keys.insert(key);
            }
            bucket.cut.get_or_insert_default().push(digest);
        }
        Ok(pairs)
    }
}

/// One digest for all pairs in these buckets: that of the list which a checkpoint would name now.
pub fn digest(buckets: &[Arc<Bucket>], part_bytes_max: usize) -> Digest {
    let mut hasher = Sha256::new().chain_update(b"logothete-kv/pairs");
    for (number, bucket) in (0..).zip(buckets) {
        match &bucket.cut {
            Some(cut) => cut.iter().for_each(|digest| hasher.update(digest.as_bytes())),
            None => {
                cut_bucket(number, &bucket.pairs, part_bytes_max).iter().for_each(|part| hasher.update(chunk_digest(part).as_bytes()));
            }
        }
    }
    Digest::new(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(place: u32, bytes: usize) -> Vec<u8> {
        place.to_le_bytes().into_iter().cycle().take(bytes).collect()
    }

    /// Cuts, and keeps what is new, as a store would.
    fn cut(pairs: &mut Pairs, stored: &mut BTreeMap<Digest, Vec<u8>>) -> Vec<Digest> {
        let Cut { digests, new } = pairs.cut(1000);
        stored.extend(new);
        digests
    }

    #[test]
    fn what_is_cut_is_what_is_assembled_and_only_what_changed_is_cut_again() {
        let (mut pairs, mut stored) = (Pairs::default(), BTreeMap::new());
        assert!(cut(&mut pairs, &mut stored).is_empty());
        // Some buckets of more than one part.
        (0..5000_u32).for_each(|place| pairs.set(format!("key{place}").as_bytes(), &value(place, 400)));
        let first = cut(&mut pairs, &mut stored);
        assert!(first.len() > usize::from(BUCKETS));
        let reader = pairs.buckets();
        let before = digest(&reader, 1000);
        pairs.set(b"key7", b"another");
        assert!(pairs.remove(b"key8") && !pairs.remove(b"key8"));
        assert_ne!(digest(&pairs.buckets(), 1000), before, "changed, and not yet cut");
        assert_eq!(digest(&reader, 1000), before, "a reader's are as they were");
        let uncut = digest(&pairs.buckets(), 1000);
        let known = stored.len();
        let second = cut(&mut pairs, &mut stored);
        assert!(stored.len() - known <= 8, "two buckets of {}", stored.len() - known);
        assert_eq!(digest(&pairs.buckets(), 1000), uncut, "cut or not, it is the same state");

        let read = |digest: &Digest| stored.get(digest).cloned().ok_or_else(|| fault("lost"));
        let mut again = Pairs::assemble(second.iter().copied(), read).expect("assembled");
        assert_eq!(digest(&again.buckets(), 1000), uncut);
        assert!(again.range(b"").eq(pairs.range(b"")), "the same pairs in the same order");
        assert!(again.cut(1000).new.is_empty(), "nothing has changed since");
        let old = Pairs::assemble(first.into_iter(), read).expect("assembled");
        assert_eq!(digest(&old.buckets(), 1000), before);
        assert_eq!(old.get(b"key8").map(|value| value.len()), Some(400));
    }

    #[test]
    fn parts_that_are_damaged_or_of_another_bucket_are_refused() {
        let mut pairs = Pairs::default();
        pairs.set(b"key", b"value");
        let [(digest, part)] = <[_; 1]>::try_from(pairs.cut(1000).new).expect("one part");
        let assemble = |part: &[u8], digest: Digest| Pairs::assemble([digest].into_iter(), |_| Ok(part.to_vec())).is_ok();
        assert!(assemble(&part, digest));
        for place in 0..part.len() {
            let mut flipped = part.clone();
            flipped[place] ^= 1;
            assert!(!assemble(&flipped, digest), "byte {place}, against its digest");
            // Under a digest of its own only what doesn't show in the form may pass: a value's bytes.
            assert_eq!(assemble(&flipped, chunk_digest(&flipped)), place >= part.len() - 5, "byte {place}");
        }
        let twice = Pairs::assemble([digest, digest].into_iter(), |_| Ok(part.clone()));
        assert!(twice.is_err(), "a key comes twice");
    }

    #[test]
    fn a_range_is_in_order_and_a_key_is_gone_with_its_value() {
        let mut pairs = Pairs::default();
        ["b", "a", "c"].iter().for_each(|key| pairs.set(key.as_bytes(), key.as_bytes()));
        pairs.set(b"b", b"x");
        pairs.set(b"b", b"longer");
        let keys = |pairs: &Pairs, start: &[u8]| pairs.range(start).map(|(key, _)| key.to_vec()).collect::<Vec<_>>();
        assert_eq!(keys(&pairs, b""), [b"a", b"b", b"c"]);
        assert_eq!(keys(&pairs, b"aa"), [b"b", b"c"]);
        assert_eq!(pairs.get(b"b").map(|value| &value[..]), Some(&b"longer"[..]));
        assert!(pairs.remove(b"b"));
        assert_eq!(keys(&pairs, b""), [b"a", b"c"]);
        assert_eq!(pairs.get(b"b"), None);
    }
}
