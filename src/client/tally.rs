//! The answers to one request, and when enough of them are equal. (SPEC S2)

use crate::execution_receipt::ExecutionReceipt;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest, RawSignature, ReplicaId, SequenceNumber};
use crate::message::{Answered, Reply, Request};
use crate::wire::Bounded;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a replica showed, apart from its signature: correct replicas show the same, so it is held once for all of them.
#[derive(Debug)]
struct Shown {
    result: Bytes,
    sequence_number: SequenceNumber,
    root: Digest,
    index: u32,
    count: u32,
    path: Bounded<Digest, 32>,
}

#[derive(Debug)]
struct Answer {
    result_digest: Digest,
    /// `None` for the digest alone (Answered).
    shown: Option<(Arc<Shown>, RawSignature)>,
}

/// One answer of each replica. At most n answers; with f liars at most f+1 different results and paths are held.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answers: BTreeMap<ReplicaId, Answer>,
}

/// f+1 replicas agree: one of them is correct.
pub(super) enum Agreed {
    /// On a result that one of them has shown.
    Result { result: Bytes, receipt: Option<ExecutionReceipt> },
    /// On the digest of a result that none of them has shown yet.
    Digest,
}

impl Tally {
    /// Takes a replica's reply; `None` if it has answered before. Its own Answered of the same result makes room, because bytes and path say more.
    pub(super) fn reply(&mut self, reply: Reply) -> Option<Digest> {
        let result_digest = hash(Domain::Result, &reply.result);
        match self.answers.get(&reply.replica) {
            Some(Answer { shown: None, result_digest: before }) if *before == result_digest => {}
            Some(_) => return None,
            None => {}
        }
        let same_root = |shown: &&Arc<Shown>| shown.sequence_number == reply.sequence_number && shown.root == reply.root;
        let equal = || self.answers.values().filter(|answer| answer.result_digest == result_digest).filter_map(Answer::shown);
        let (replica, signature) = (reply.replica, reply.signature);
        let shown = equal().find(same_root).cloned().unwrap_or_else(|| {
            let body = Arc::unwrap_or_clone(reply.body);
            Arc::new(Shown {
                result: equal().next().map_or(body.result, |shown| shown.result.clone()),
                sequence_number: body.sequence_number,
                root: body.root,
                index: body.index,
                count: body.count,
                path: body.path,
            })
        });
        self.answers.insert(replica, Answer { result_digest, shown: Some((shown, signature)) });
        Some(result_digest)
    }

    /// Takes a replica's digest of the result; `None` if it has answered before.
    pub(super) fn answered(&mut self, answered: &Answered) -> Option<Digest> {
        if self.answers.contains_key(&answered.replica) {
            return None;
        }
        self.answers.insert(answered.replica, Answer { result_digest: answered.result_digest, shown: None });
        Some(answered.result_digest)
    }

    /// What is certain, once `weak_quorum` replicas gave this digest.
    pub(super) fn agreed(&self, result_digest: &Digest, weak_quorum: usize, request: &Request) -> Option<Agreed> {
        let equal = || self.answers.values().filter(|answer| answer.result_digest == *result_digest);
        if equal().count() < weak_quorum {
            return None;
        }
        let Some(shown) = equal().find_map(Answer::shown) else { return Some(Agreed::Digest) };
        let result = shown.result.clone();
        let receipt = equal().filter_map(Answer::shown).find_map(|shown| self.receipt(shown, weak_quorum, request));
        Some(Agreed::Result { result, receipt })
    }

    fn receipt(&self, shown: &Arc<Shown>, weak_quorum: usize, request: &Request) -> Option<ExecutionReceipt> {
        let signed = |(replica, answer): (&ReplicaId, &Answer)| {
            let (other, signature) = answer.shown.as_ref()?;
            // Shared only between answers of one result, sequence number and root.
            Arc::ptr_eq(other, shown).then_some((*replica, *signature))
        };
        let signatures: Vec<_> = self.answers.iter().filter_map(signed).take(weak_quorum).collect();
        (signatures.len() == weak_quorum).then(|| ExecutionReceipt {
            client: request.client,
            number: request.number,
            operation_digest: request.operation_digest,
            result: shown.result.clone(),
            sequence_number: shown.sequence_number,
            index: shown.index,
            count: shown.count,
            path: shown.path.clone(),
            signatures: Bounded(signatures),
        })
    }
}

impl Answer {
    fn shown(&self) -> Option<&Arc<Shown>> {
        self.shown.as_ref().map(|(shown, _)| shown)
    }
}
