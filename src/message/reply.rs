//! Answers to clients. (SPEC 4.5, S2)

use super::Statement;
use crate::cluster::Limits;
use crate::hash::{Domain, Hasher};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, ReplicaId, RequestNumber, SequenceNumber, View};
use crate::merkle;
use crate::wire::{Bounded, Payload};
use alloc::sync::Arc;
use core::ops::Deref;
use serde::{Deserialize, Serialize};

/// A result, its path in its batch's tree, and the replica's signature on Executed(n, root).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// What is said, which the replica keeps in case it is asked again.
    pub(crate) body: Arc<ReplyBody>,
    pub(crate) signature: RawSignature,
}

/// A reply without its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyBody {
    pub(crate) replica: ReplicaId,
    /// A hint at the current primary; not signed.
    pub(crate) view: View,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) client: ClientId,
    pub(crate) number: RequestNumber,
    pub(crate) operation_digest: Digest,
    pub(crate) result: Bytes,
    /// The leaf's place among `count` leaves, and the siblings on its way up.
    pub(crate) index: u32,
    pub(crate) count: u32,
    pub(crate) path: Bounded<Digest, 32>,
    /// Computed from all of the above.
    #[serde(skip)]
    pub(crate) root: Digest,
}

/// One request and its result as a leaf of its batch's tree.
pub(crate) fn executed_leaf(client: &ClientId, number: RequestNumber, operation: &Digest, result: &Digest) -> Digest {
    Hasher::new(Domain::Leaf).bytes(client.as_bytes()).u64(number.get()).digest(operation).digest(result).finish()
}

impl ReplyBody {
    pub(crate) fn statement(&self) -> Statement {
        Statement::Executed { sequence_number: self.sequence_number, root: self.root }
    }
}

impl Deref for Reply {
    type Target = ReplyBody;
    fn deref(&self) -> &ReplyBody {
        &self.body
    }
}

impl Reply {
    /// Computes the root that the path leads to; false if the path has the wrong length.
    pub(crate) fn compute_root(&mut self) -> bool {
        let body = Arc::make_mut(&mut self.body);
        let result = crate::hash::hash(Domain::Result, &body.result);
        let leaf = executed_leaf(&body.client, body.number, &body.operation_digest, &result);
        match merkle::root_of_path(leaf, body.index, body.count, &body.path) {
            Some(root) => {
                body.root = root;
                true
            }
            None => false,
        }
    }

    pub(super) fn check_form(&self, limits: &Limits) -> Result<(), &'static str> {
        if self.result.len() > limits.result_bytes_max as usize {
            return Err("a result is longer than result_bytes_max");
        }
        if self.index >= self.count {
            return Err("a leaf beyond its tree");
        }
        Ok(())
    }
}

/// "That request was executed, with a result of this digest": where the path is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) replica: ReplicaId,
    pub(crate) client: ClientId,
    pub(crate) number: RequestNumber,
    pub(crate) result_digest: Digest,
    pub(crate) signature: RawSignature,
}

impl Answered {
    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        Payload::new(10, group)
            .u32(self.replica.get())
            .bytes32(self.client.as_bytes())
            .u64(self.number.get())
            .bytes32(self.result_digest.as_bytes())
            .finish()
    }
}
