//! What a client learns of a request that was executed. (SPEC S2)

use crate::execution_receipt::ExecutionReceipt;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest};

/// What became of a request that was executed: its result, or the certainty that it was executed and had one.
///
/// Not a `Result`, because neither is a failure: what failed may be tried again, and this operation has had its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service's answer.
    Result {
        /// Its bytes.
        result: Bytes,
        /// Proof of it for others, if f+1 replicas signed one and the same root. `None` if some had only the result's digest left; the result is no less certain.
        receipt: Option<ExecutionReceipt>,
    },
    /// The operation was executed, exactly once and in its place, but nobody shows its result: f+1 replicas gave this digest, so a correct one
    /// has executed it, and none of those that answered gave the bytes, though all were asked for them twice more.
    ///
    /// Replicas keep results for repetition in bounded memory, not on disk. So this happens if they are restarted between execution and reply: all,
    /// or all that could be reached.
    ///
    /// Don't submit the operation again under a new number: that executes it once more. Read what you need of the state by another operation. If you
    /// know which results are possible, [`result_matches`](Self::result_matches) tells which it was. There is no receipt, and what comes
    /// later is ignored.
    ///
    /// A digest doesn't name the operation. That it was this one rests on the number having been used for no other; see
    /// [`ClientTuning::first_number`](crate::ClientTuning::first_number).
    ResultLost {
        /// The SHA-256 digest of the result, under the domain of results.
        result_digest: Digest,
    },
}

impl Outcome {
    /// The service's answer, unless it is lost.
    pub fn result(&self) -> Option<&Bytes> {
        match self {
            Self::Result { result, .. } => Some(result),
            Self::ResultLost { .. } => None,
        }
    }

    /// Proof of the result for others, if there is one.
    pub fn receipt(&self) -> Option<&ExecutionReceipt> {
        match self {
            Self::Result { receipt, .. } => receipt.as_ref(),
            Self::ResultLost { .. } => None,
        }
    }

    /// Was this the result? A lost one can still be recognised.
    pub fn result_matches(&self, candidate: &[u8]) -> bool {
        match self {
            Self::Result { result, .. } => **result == *candidate,
            Self::ResultLost { result_digest } => hash(Domain::Result, candidate) == *result_digest,
        }
    }
}
