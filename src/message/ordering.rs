//! Proposals and votes. (SPEC 4.2)

use super::{Block, Statement, VoteKind};
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use alloc::sync::Arc;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Prepare or Commit; which of them, the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vote {
    pub(crate) view: View,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) digest: Digest,
    pub(crate) replica: ReplicaId,
    pub(crate) signature: RawSignature,
}

impl Vote {
    pub(crate) fn statement(&self, kind: VoteKind) -> Statement {
        Statement::vote(kind, self.view, self.sequence_number, self.digest)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} by {:?}", self.view, self.sequence_number, self.digest, self.replica)
    }
}

/// A block and its primary's Prepare for it: the signature is the primary's vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrePrepare {
    pub(crate) view: View,
    pub(crate) block: Arc<Block>,
    pub(crate) signature: RawSignature,
}

impl PrePrepare {
    pub(crate) fn statement(&self) -> Statement {
        Statement::Prepare { view: self.view, sequence_number: self.block.header.sequence_number, digest: self.block.digest }
    }

    /// The Prepare that this proposal is, as a vote of `primary`.
    pub(crate) fn vote(&self, primary: ReplicaId) -> Vote {
        Vote {
            view: self.view,
            sequence_number: self.block.header.sequence_number,
            digest: self.block.digest,
            replica: primary,
            signature: self.signature,
        }
    }
}
