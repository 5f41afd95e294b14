//! Proof for third parties that a request was executed, and with what result. (SPEC S2)

use crate::cluster::{Cluster, Limits, REPLICAS_MAX};
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, ReplicaId, RequestNumber, SequenceNumber};
use crate::merkle;
use crate::message::{Statement, executed_leaf};
use crate::verify::{Check, VerifyError};
use crate::wire::{self, Bounded, DecodeError};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a receipt takes at most beside its result: 256 signatures of 68 bytes, 32 digests of 32, and the numbers.
const OVERHEAD_BYTES_MAX: u32 = 20 * 1024;

/// f+1 replicas' signatures on the results of one batch, and the path from one request and its result to what they signed. (SPEC S2)
///
/// At least one of f+1 replicas is correct, so the request was executed with this result, at this place. It needs nothing but the
/// cluster's keys to be checked: keep it, or show it to somebody who was not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionReceipt {
    pub(crate) client: ClientId,
    pub(crate) number: RequestNumber,
    pub(crate) operation_digest: Digest,
    pub(crate) result: Bytes,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) index: u32,
    pub(crate) count: u32,
    pub(crate) path: Bounded<Digest, 32>,
    /// Exactly f+1, in the order of the replicas' ids: one set of answers has one receipt.
    pub(crate) signatures: Bounded<(ReplicaId, RawSignature), REPLICAS_MAX>,
}

impl ExecutionReceipt {
    /// Whose request it was.
    pub fn client(&self) -> ClientId {
        self.client
    }
    /// The client's own count of it.
    pub fn number(&self) -> RequestNumber {
        self.number
    }
    /// The SHA-256 digest of the operation, under the domain of operations; see [`operation_matches`](Self::operation_matches).
    pub fn operation_digest(&self) -> Digest {
        self.operation_digest
    }
    /// Was this the operation? The receipt holds the operation's digest only.
    pub fn operation_matches(&self, operation: &[u8]) -> bool {
        hash(Domain::Operation, operation) == self.operation_digest
    }
    /// The service's answer; at most `result_bytes_max` bytes.
    pub fn result(&self) -> &[u8] {
        &self.result
    }
    /// The position in the log of the batch that the request was executed in.
    pub fn sequence_number(&self) -> SequenceNumber {
        self.sequence_number
    }
    /// The request's place among the executed requests of its batch, from 0.
    pub fn leaf_index(&self) -> u32 {
        self.index
    }
    /// How many requests of the batch were executed.
    pub fn leaf_count(&self) -> u32 {
        self.count
    }
    /// Who signed, in the order of their ids.
    pub fn signers(&self) -> impl Iterator<Item = ReplicaId> {
        self.signatures.iter().map(|(replica, _)| *replica)
    }

    /// Did f+1 replicas of this cluster sign that this request was executed with this result? (SPEC S2)
    ///
    /// # Errors
    /// [`VerifyError`] names the first part that fails; then the receipt proves nothing.
    pub fn verify(&self, cluster: &Cluster) -> Result<(), VerifyError> {
        if u32::try_from(self.signatures.len()) != Ok(cluster.weak_quorum()) {
            return Err(VerifyError::Rule("S2: a receipt has not exactly f+1 signatures"));
        }
        if !self.signatures.is_sorted_by(|left, right| left.0 < right.0) {
            return Err(VerifyError::Rule("S2: a receipt's signers are not in order, each once"));
        }
        let leaf = executed_leaf(&self.client, self.number, &self.operation_digest, &hash(Domain::Result, &self.result));
        let root = merkle::root_of_path(leaf, self.index, self.count, &self.path)
            .ok_or(VerifyError::Rule("S2: a receipt's path has the wrong length"))?;
        let payload = Statement::Executed { sequence_number: self.sequence_number, root }.payload(&cluster.id());
        self.signatures.iter().try_for_each(|(replica, signature)| Check::replica(cluster, *replica, payload.clone(), *signature)?.run())
    }

    /// The receipt as bytes, to be kept or handed on.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads what [`encode`](Self::encode) wrote, at most `result_bytes_max` and 20 KiB. Not yet believed: call [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no receipt, or longer than that.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        let receipt: Self = wire::decode(bytes, limits.result_bytes_max.saturating_add(OVERHEAD_BYTES_MAX))?;
        if receipt.result.len() > usize::try_from(limits.result_bytes_max).unwrap_or(usize::MAX) {
            return Err(DecodeError::OutOfBounds("a result is longer than result_bytes_max"));
        }
        Ok(receipt)
    }
}

impl fmt::Display for ExecutionReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signers: Vec<_> = self.signers().collect();
        write!(f, "{:?} of {:?} executed at {:?}, by the word of {signers:?}", self.number, self.client, self.sequence_number)
    }
}
