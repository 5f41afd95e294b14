//! What replicas signed of the results of batches, kept a while to catch one that signs two. (SPEC E)

use crate::evidence::Evidence;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber};
use crate::message::{Reply, Statement};
use alloc::collections::{BTreeMap, VecDeque};

/// Statements kept of each replica. In order of arrival, so that made-up sequence numbers push out nothing early.
const KEPT: usize = 64;

#[derive(Debug, Default)]
struct Said {
    latest: VecDeque<(SequenceNumber, Digest, RawSignature)>,
    /// One proof is enough; more would let a liar fill its victim's log.
    proven: bool,
}

/// The latest [`KEPT`] Executed statements of each replica: about 7 KiB for each.
#[derive(Debug, Default)]
pub(super) struct Witness {
    said: BTreeMap<ReplicaId, Said>,
}

impl Witness {
    /// Notes a reply's statement; gives evidence, once for each replica, if the same replica signed another root for that sequence number.
    pub(super) fn heard(&mut self, reply: &Reply) -> Option<Evidence> {
        let said = self.said.entry(reply.replica).or_default();
        if said.proven {
            return None;
        }
        if let Some((_, root, signature)) = said.latest.iter().find(|(number, _, _)| *number == reply.sequence_number) {
            if *root == reply.root {
                return None;
            }
            let first = (Statement::Executed { sequence_number: reply.sequence_number, root: *root }, *signature);
            let evidence = Evidence::new(reply.replica, first, (reply.statement(), reply.signature));
            *said = Said { latest: VecDeque::new(), proven: true };
            return Some(evidence);
        }
        if said.latest.len() == KEPT {
            said.latest.pop_front();
        }
        said.latest.push_back((reply.sequence_number, reply.root, reply.signature));
        None
    }
}
