//! What a snapshot consists of: the digests of its parts, under one digest that a checkpoint's certificate names. (SPEC C1, C3)

use crate::hash::{Domain, Hasher, hash};
use crate::ids::{Bytes, Digest, SequenceNumber};
use crate::wire::{self, Bounded, DecodeError};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// More parts than any message could list.
const CHUNKS_MAX: usize = 1 << 21;

/// The digest by which a part of a snapshot is named.
pub fn chunk_digest(bytes: &[u8]) -> Digest {
    hash(Domain::Chunk, bytes)
}

/// A snapshot's table of contents: first the parts of the session table, which the replica makes, then those of the service's own state.
///
/// Equal states have equal manifests, so a service has to cut its state the same way on every machine. A manifest is sent as one message: a
/// snapshot that others are to fetch has at most (`message_bytes_max` − 1 KiB) / 32 parts of at most `batch_bytes_max` bytes each (just under 16 GiB by
/// default). One of more is not refused: [`Event::SnapshotTooLarge`](crate::Event::SnapshotTooLarge) tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) log_digest: Digest,
    pub(crate) sessions: Bounded<Digest, CHUNKS_MAX>,
    pub(crate) service: Bounded<Digest, CHUNKS_MAX>,
}

impl Manifest {
    /// The position after which this was the state.
    pub fn sequence_number(&self) -> SequenceNumber {
        self.sequence_number
    }
    /// d_n there.
    pub fn log_digest(&self) -> Digest {
        self.log_digest
    }
    /// How many parts there are: those of the session table, then the service's.
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.sessions.len() + self.service.len()).unwrap_or(u32::MAX)
    }
    /// How many of them, the first ones, are the session table's.
    pub fn session_chunk_count(&self) -> u32 {
        u32::try_from(self.sessions.len()).unwrap_or(u32::MAX)
    }
    /// The digest of a part ([`chunk_digest`]); `None` beyond the last.
    pub fn chunk(&self, index: u32) -> Option<Digest> {
        let index = usize::try_from(index).ok()?;
        let (sessions, service) = (&self.sessions.0, &self.service.0);
        sessions.get(index).or_else(|| service.get(index.checked_sub(sessions.len())?)).copied()
    }
    /// The manifest as bytes, to be stored beside its parts.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }
    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(bytes, 65 * 1024 * 1024)
    }

    // C1
    /// What a checkpoint vote names: this manifest, in this cluster.
    pub(crate) fn state(&self, group: &Digest) -> Digest {
        let mut hasher = Hasher::new(Domain::State).digest(group).u64(self.sequence_number.get()).digest(&self.log_digest);
        for part in [&self.sessions, &self.service] {
            hasher = hasher.u64(part.len() as u64);
            for digest in part.iter() {
                hasher = hasher.digest(digest);
            }
        }
        hasher.finish()
    }
}

/// The work order for a snapshot: the service's state now is the one after `sequence_number`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointOrder {
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) log_digest: Digest,
    pub(crate) sessions: Vec<Bytes>,
    pub(crate) session_digests: Vec<Digest>,
    pub(crate) chunk_bytes_max: u32,
}

impl CheckpointOrder {
    /// The position that was executed last.
    pub fn sequence_number(&self) -> SequenceNumber {
        self.sequence_number
    }
    /// d_n there.
    pub fn log_digest(&self) -> Digest {
        self.log_digest
    }
    /// The session table, in parts: store them with the snapshot, before the service's own parts.
    pub fn sessions(&self) -> &[Bytes] {
        &self.sessions
    }
    /// Bytes that one part may have: the cluster's `batch_bytes_max`.
    pub fn chunk_bytes_max(&self) -> u32 {
        self.chunk_bytes_max
    }
    /// The manifest of this snapshot, given the digests ([`chunk_digest`]) of the service's own parts in order. Store it with them.
    pub fn manifest(&self, service: impl IntoIterator<Item = Digest>) -> Manifest {
        Manifest {
            sequence_number: self.sequence_number,
            log_digest: self.log_digest,
            sessions: Bounded(self.session_digests.clone()),
            service: Bounded(service.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sessions: &[&[u8]]) -> CheckpointOrder {
        CheckpointOrder {
            sequence_number: SequenceNumber::new(8),
            log_digest: Digest::new([7; 32]),
            sessions: sessions.iter().map(|part| Bytes::from(*part)).collect(),
            session_digests: sessions.iter().map(|part| chunk_digest(part)).collect(),
            chunk_bytes_max: 100,
        }
    }

    #[test]
    fn c1_the_state_names_every_part_and_to_whom_it_belongs() {
        let group = Digest::new([1; 32]);
        let (a, b) = (chunk_digest(b"a"), chunk_digest(b"b"));
        let manifest = order(&[b"a"]).manifest([b]);
        assert_eq!((manifest.chunk(0), manifest.chunk(1), manifest.chunk(2)), (Some(a), Some(b), None));
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        let state = manifest.state(&group);
        assert_ne!(state, manifest.state(&Digest::new([2; 32])));
        for other in
            [order(&[b"a", b"b"]).manifest([]), order(&[]).manifest([a, b]), order(&[b"b"]).manifest([a]), order(&[b"a"]).manifest([])]
        {
            assert_ne!(state, other.state(&group));
        }
    }
}
