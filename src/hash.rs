//! SHA-256 under a domain of its own for each use, so that no digest can stand for another. (SPEC 3)

use crate::ids::Digest;
use sha2::{Digest as _, Sha256};

/// What a digest is of; a fixed 16-byte prefix of what is hashed.
#[derive(Clone, Copy)]
pub(crate) enum Domain {
    Cluster,
    Genesis,
    Header,
    Batch,
    Operation,
    Result,
    Leaf,
    Node,
    Root,
    Empty,
    Record,
    Factors,
    Chunk,
    State,
    #[cfg(feature = "tape")]
    Tape,
}

impl Domain {
    const fn tag(self) -> &'static [u8; 16] {
        match self {
            Self::Cluster => b"logothete/cluste",
            Self::Genesis => b"logothete/genesi",
            Self::Header => b"logothete/header",
            Self::Batch => b"logothete/batch\0",
            Self::Operation => b"logothete/operat",
            Self::Result => b"logothete/result",
            Self::Leaf => b"logothete/leaf\0\0",
            Self::Node => b"logothete/node\0\0",
            Self::Root => b"logothete/root\0\0",
            Self::Empty => b"logothete/empty\0",
            Self::Record => b"logothete/record",
            Self::Factors => b"logothete/factor",
            Self::Chunk => b"logothete/chunk\0",
            Self::State => b"logothete/state\0",
            #[cfg(feature = "tape")]
            Self::Tape => b"logothete/tape\0\0",
        }
    }
}

pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new(domain: Domain) -> Self {
        Self(Sha256::new().chain_update(domain.tag()))
    }
    pub(crate) fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }
    pub(crate) fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }
    pub(crate) fn digest(self, digest: &Digest) -> Self {
        self.bytes(digest.as_bytes())
    }
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }
    pub(crate) fn finish(self) -> Digest {
        Digest::new(self.0.finalize().into())
    }
}

/// SHA-256 of one byte string under `domain`.
pub(crate) fn hash(domain: Domain, bytes: &[u8]) -> Digest {
    Hasher::new(domain).bytes(bytes).finish()
}
