//! A request's place among those that its client signed at once. (SPEC S3)

use crate::hash::Hasher;
use crate::ids::{ClientId, Digest, RequestNumber};
use crate::merkle;
use crate::wire::{Bounded, Payload};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// So many requests at most are signed at once: a path of six digests. More would save less of a signature than the longer path costs.
pub(crate) const RUN_MAX: usize = 64;
const PATH_MAX: usize = RUN_MAX.trailing_zeros() as usize;
/// What the longest path takes.
pub(crate) const PATH_BYTES_MAX: u64 = 32 * PATH_MAX as u64;

/// `index` of `count`, and the siblings on the way up from the operation's digest, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    index: u32,
    count: u32,
    path: Bounded<Digest, PATH_MAX>,
}

impl Default for Place {
    /// Of a request that is signed alone.
    fn default() -> Self {
        Self { index: 0, count: 1, path: Bounded::default() }
    }
}

impl Place {
    /// What the path takes.
    pub(crate) fn bytes(&self) -> u64 {
        32 * self.path.len() as u64
    }

    /// The places of operations that are signed at once, in their order, and the top over them. At most [`RUN_MAX`].
    pub(crate) fn of_all(operations: &[Digest]) -> (Digest, Vec<Self>) {
        let (top, paths) = merkle::top_and_paths(operations);
        let count = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        (top, (0..count).zip(paths).map(|(index, path)| Self { index, count, path: Bounded(path) }).collect())
    }

    /// What is signed for a request of this number at this place: the run's first number, how many there are, and the top over them.
    /// The path stands for the rest of the run; `None` if it is not as long as index and count demand, or they name no place.
    pub(crate) fn payload(&self, group: &Digest, client: &ClientId, number: RequestNumber, operation: &Digest) -> Option<Payload> {
        let first = number.get().checked_sub(u64::from(self.index))?;
        let top = merkle::top_of_path(*operation, self.index, self.count, &self.path)?;
        Some(run_payload(group, client, RequestNumber::new(first), self.count, &top))
    }

    /// What a batch's digest has of it: whether a batch is valid must be a function of its digest alone.
    pub(crate) fn hash(&self, hasher: Hasher) -> Hasher {
        let length = u32::try_from(self.path.len()).unwrap_or(u32::MAX);
        self.path.iter().fold(hasher.u32(self.index).u32(self.count).u32(length), |hasher, sibling| hasher.digest(sibling))
    }

    pub(super) fn check_form(&self, number: RequestNumber) -> Result<(), &'static str> {
        if self.count as usize > RUN_MAX {
            return Err("more requests signed at once than 64");
        }
        if u64::from(self.index) >= number.get() {
            return Err("request numbers count from 1");
        }
        Ok(())
    }
}

/// What a client signs once for `count` requests from number `first` on.
pub(crate) fn run_payload(group: &Digest, client: &ClientId, first: RequestNumber, count: u32, top: &Digest) -> Payload {
    Payload::new(9, group).bytes32(client.as_bytes()).u64(first.get()).u32(count).bytes32(top.as_bytes()).finish()
}
