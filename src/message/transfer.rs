//! Parts of a snapshot, and how a replica that has lost its log asks its way back. (SPEC 4.7, 4.8, C3, D2)

use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest, RawSignature, ReplicaId, View};
use crate::manifest::Manifest;
use crate::wire::Payload;
use serde::{Deserialize, Serialize};

/// What a snapshot consists of. It stands by its digest, which a checkpoint's certificate names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestMessage {
    pub(crate) manifest: Manifest,
    /// Computed, never believed from outside.
    #[serde(skip)]
    pub(crate) state: Digest,
}

impl ManifestMessage {
    pub(crate) fn compute_state(&mut self, group: &Digest) {
        self.state = self.manifest.state(group);
    }
}

/// One part of a snapshot. It stands by its digest, which the manifest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// Computed, never believed from outside.
    #[serde(skip)]
    pub(crate) digest: Digest,
}

impl Chunk {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let digest = hash(Domain::Chunk, &bytes);
        Self { bytes, digest }
    }

    pub(crate) fn compute_digest(&mut self) {
        self.digest = hash(Domain::Chunk, &self.bytes);
    }
}

/// "My log is lost: which views may I have promised in?"
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rejoin {
    pub(crate) replica: ReplicaId,
    /// Never used before: an answer to it is younger than the loss.
    pub(crate) nonce: [u8; 32],
    pub(crate) signature: RawSignature,
}

impl Rejoin {
    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        Payload::new(11, group).u32(self.replica.get()).bytes32(&self.nonce).finish()
    }
}

/// The answer: the highest view that the answering replica wanted when it first heard of the loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) replica: ReplicaId,
    /// Who asked.
    pub(crate) to: ReplicaId,
    pub(crate) nonce: [u8; 32],
    pub(crate) want: View,
    pub(crate) signature: RawSignature,
}

impl Welcome {
    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        Payload::new(12, group).u32(self.replica.get()).u32(self.to.get()).bytes32(&self.nonce).u64(self.want.get()).finish()
    }
}
