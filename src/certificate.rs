//! A quorum's signatures on one statement. (SPEC 3.4)

use crate::cluster::REPLICAS_MAX;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{Claim, Rank, Statement, VoteKind};
use crate::wire::Bounded;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Exactly q signatures of distinct members, in the order of their ids, on Prepare(v, n, d) or on Commit(v, n, d).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) kind: VoteKind,
    pub(crate) view: View,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) digest: Digest,
    /// Shared: a certificate is kept in several places, and written to the log.
    pub(crate) signatures: Arc<Bounded<(ReplicaId, RawSignature), REPLICAS_MAX>>,
}

impl Certificate {
    pub(crate) fn rank(&self) -> Rank {
        Rank { view: self.view, sequence_number: self.sequence_number }
    }

    pub(crate) fn claim(&self) -> Claim {
        Claim { rank: self.rank(), digest: self.digest }
    }

    pub(crate) fn statement(&self) -> Statement {
        Statement::vote(self.kind, self.view, self.sequence_number, self.digest)
    }

    /// One certificate has one form: members in order, each once.
    pub(crate) fn check_form(&self) -> Result<(), &'static str> {
        if self.sequence_number.get() == 0 && (self.kind == VoteKind::Commit || self.view.get() == 0) {
            return Err("genesis is prepared in views above 0 only, and never committed");
        }
        if !self.signatures.is_sorted_by(|left, right| left.0 < right.0) {
            return Err("a certificate's members are not in order, each once");
        }
        Ok(())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.signatures.iter().map(|(member, _)| *member).collect();
        write!(f, "{} of {members:?}", self.statement())
    }
}
