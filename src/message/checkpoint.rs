//! Checkpoints: votes on the state at a position, and a quorum of them. (SPEC 4.7, C1, C2)

use super::Statement;
use crate::cluster::REPLICAS_MAX;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber};
use crate::wire::Bounded;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What is agreed on at a position: d_n, and the state after executing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) log_digest: Digest,
    /// Names the service's snapshot and the session table: the digest of their manifest.
    pub(crate) state: Digest,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}, state {:?}", self.sequence_number, self.log_digest, self.state)
    }
}

/// "I have executed up to here, and hold a snapshot of this state."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointVote {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) replica: ReplicaId,
    pub(crate) signature: RawSignature,
}

impl CheckpointVote {
    pub(crate) fn statement(&self) -> Statement {
        Statement::Checkpoint(self.checkpoint)
    }
}

/// Exactly q votes of distinct members on one checkpoint, in the order of their ids: it is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointCertificate {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) signatures: Bounded<(ReplicaId, RawSignature), REPLICAS_MAX>,
}

impl CheckpointCertificate {
    pub(crate) fn statement(&self) -> Statement {
        Statement::Checkpoint(self.checkpoint)
    }

    /// One certificate has one form: members in order, each once. Genesis is no checkpoint: everybody has it.
    pub(crate) fn check_form(&self) -> Result<(), &'static str> {
        if self.checkpoint.sequence_number.get() == 0 {
            return Err("there is no checkpoint at genesis");
        }
        if !self.signatures.is_sorted_by(|left, right| left.0 < right.0) {
            return Err("a certificate's members are not in order, each once");
        }
        Ok(())
    }
}

impl fmt::Display for CheckpointCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.signatures.iter().map(|(member, _)| *member).collect();
        write!(f, "{} of {members:?}", self.checkpoint)
    }
}
