//! Proofs of misbehaviour that stand alone: two signed statements where only one may be. (SPEC E)

use crate::cluster::Cluster;
use crate::ids::{Digest, RawSignature, ReplicaId};
use crate::message::Statement;
use crate::verify::{Check, VerifyError};
use crate::wire::{self, DecodeError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Two statements of one replica that contradict each other, with its signatures on both. Anyone with the cluster's keys can check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub(crate) replica: ReplicaId,
    // Boxed, since what holds evidence among other things is moved about with every message.
    first: Box<(Statement, RawSignature)>,
    second: Box<(Statement, RawSignature)>,
}

impl Evidence {
    pub(crate) fn new(replica: ReplicaId, first: (Statement, RawSignature), second: (Statement, RawSignature)) -> Self {
        Self { replica, first: Box::new(first), second: Box::new(second) }
    }

    /// The replica that signed both.
    pub fn culprit(&self) -> ReplicaId {
        self.replica
    }

    /// Is it of what a service makes of the log, and not of the log?
    #[cfg(feature = "sim")]
    pub(crate) fn is_of_results(&self) -> bool {
        matches!(self.first.0, Statement::Checkpoint(..) | Statement::Executed { .. })
    }

    /// Do the two statements contradict each other, and did the replica sign both? Needs nothing but the cluster's keys.
    ///
    /// # Errors
    /// [`VerifyError`] says which part fails; then this proves nothing.
    pub fn verify(&self, cluster: &Cluster) -> Result<(), VerifyError> {
        self.checks(cluster)?.iter().try_for_each(Check::run)
    }

    /// The evidence as bytes, to be kept or handed on.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads what [`encode`](Self::encode) wrote. Not yet believed: call [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no evidence.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(bytes, 4096)
    }

    pub(crate) fn checks<'a>(&self, cluster: &'a Cluster) -> Result<Vec<Check<'a>>, VerifyError> {
        if !self.first.0.contradicts(&self.second.0) {
            return Err(VerifyError::Rule("E: the two statements do not contradict each other"));
        }
        let group: Digest = cluster.id();
        [&self.first, &self.second]
            .into_iter()
            .map(|signed| &**signed)
            .map(|(statement, signature)| Check::replica(cluster, self.replica, statement.payload(&group), *signature))
            .collect()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} signed {} and {}", self.replica, self.first.0, self.second.0)
    }
}
