//! From decisions to answers: results, their tree, and one signature for all of them. (S2)

use super::reply_cache::ReplyCache;
use super::usage::Use;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::cluster::Cluster;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, ClientId, RawSignature, RequestNumber, SequenceNumber};
use crate::merkle;
use crate::message::{Answered, Message, Reply, executed_leaf};
use crate::outbox::{Content, Decision, Recipients, ToSign};
use crate::wire::Bounded;
use std::collections::{BTreeMap, BTreeSet};

/// Replies that wait for their records. (D1)
#[derive(Default)]
struct Unreleased {
    /// The replies to each batch, and the index below which all records must be durable before they leave.
    batches: BTreeMap<SequenceNumber, (Vec<Reply>, u64)>,
    /// What is answered in `batches`: until that leaves, no other answer may.
    answered: BTreeSet<(ClientId, RequestNumber)>,
}

impl Unreleased {
    fn insert(&mut self, sequence_number: SequenceNumber, replies: Vec<Reply>, index: u64) {
        self.answered.extend(replies.iter().map(|reply| (reply.client, reply.number)));
        self.batches.insert(sequence_number, (replies, index));
    }

    /// The next batch's replies, if all their records are.
    fn pop(&mut self, durable_below: u64) -> Option<Vec<Reply>> {
        let entry = self.batches.first_entry().filter(|entry| entry.get().1 <= durable_below)?;
        let (replies, _) = entry.remove();
        for reply in &replies {
            self.answered.remove(&(reply.client, reply.number));
        }
        Some(replies)
    }
}

/// Bound: the cache has its own; decisions not yet executed are part of the log anyway.
pub(super) struct Replies {
    executed: SequenceNumber,
    /// Decisions that the service has, and the index below which all records must be durable before their replies leave.
    expected: BTreeMap<SequenceNumber, (Decision, u64)>,
    durable_below: u64,
    ready: Unreleased,
    cache: ReplyCache,
}

impl Replies {
    pub(super) fn new(cluster: &Cluster, cache_bytes_max: u64) -> Self {
        Self {
            executed: SequenceNumber::default(),
            expected: BTreeMap::new(),
            durable_below: 0,
            ready: Unreleased::default(),
            cache: ReplyCache::new(cluster, cache_bytes_max),
        }
    }

    pub(super) fn usage(&self) -> Use {
        self.cache.usage()
    }

    pub(super) fn executed(&self) -> SequenceNumber {
        self.executed
    }

    /// The service will answer for this decision; its replies wait until all records below `index` are durable. (D1)
    pub(super) fn expect(&mut self, decision: Decision, index: u64) {
        self.expected.insert(decision.sequence_number(), (decision, index));
    }

    pub(super) fn recorded_up_to(&mut self, index: u64) {
        self.durable_below = self.durable_below.max(index.saturating_add(1));
    }
}

impl Replica {
    /// Upon hearing from the service.
    pub(super) fn on_executed(&mut self, sequence_number: SequenceNumber, results: Vec<Bytes>) -> Step {
        let Some((decision, index)) = self.replies.expected.remove(&sequence_number) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        let result_bytes_max = self.cluster.limits().result_bytes_max as usize;
        if decision.requests().count() != results.len() {
            return Err(Broken("S2: the service gave another number of results than there were requests"));
        }
        if results.iter().any(|result| result.len() > result_bytes_max) {
            return Err(Broken("S2: the service gave a result longer than result_bytes_max"));
        }
        self.replies.executed = self.replies.executed.max(sequence_number);
        let replies = self.replies_to(&decision, results);
        replies.iter().for_each(|reply| self.replies.cache.remember(reply));
        if !replies.is_empty() {
            self.replies.ready.insert(sequence_number, replies, index);
        }
        self.release_replies();
        Ok(Disposition::Applied)
    }

    fn replies_to(&mut self, decision: &Decision, results: Vec<Bytes>) -> Vec<Reply> {
        let mut leaves = Vec::with_capacity(results.len());
        for (request, result) in decision.requests().zip(&results) {
            let result = hash(Domain::Result, result);
            self.sessions.executed(request.client, request.number, result);
            leaves.push(executed_leaf(&request.client, request.number, &request.operation_digest, &result));
        }
        let (root, paths) = merkle::root_and_paths(&leaves);
        let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        decision
            .requests()
            .zip(results)
            .zip(paths)
            .zip(0..count)
            .map(|(((request, result), path), index)| Reply {
                replica: self.me,
                view: self.promises.view(),
                sequence_number: decision.sequence_number(),
                client: request.client,
                number: request.number,
                operation_digest: request.operation_digest,
                result,
                index,
                count,
                path: Bounded(path),
                signature: RawSignature::ZERO,
                root,
            })
            .collect()
    }

    // D1: before a reply leaves, `high` of at least its rank is durable.
    pub(super) fn release_replies(&mut self) {
        while let Some(replies) = self.replies.ready.pop(self.replies.durable_below) {
            let messages: Vec<(Recipients, Message)> =
                replies.into_iter().map(|reply| (Recipients::Client(reply.client), Message::Reply(Box::new(reply)))).collect();
            // One root, one payload, one signature for all of them.
            let payload = messages.first().and_then(|(_, message)| message.payload(&self.cluster.id()));
            if let Some(payload) = payload {
                self.send(Content::Unsigned(ToSign { payload, messages }));
            }
        }
    }

    /// A client asks again for what was decided before.
    pub(super) fn repeat_reply(&mut self, client: ClientId, number: RequestNumber) {
        // D1: not by way of an Answered either, when the quota took the reply out of the cache before its record was durable.
        if self.replies.ready.answered.contains(&(client, number)) {
            return;
        }
        let cached = self.replies.cache.get(&client, number).cloned();
        let result_digest = self.sessions.result(&client, number);
        if let Some(mut reply) = cached {
            reply.view = self.promises.view();
            self.send_signed(Recipients::Client(client), Message::Reply(Box::new(reply)));
        } else if let Some(result_digest) = result_digest {
            let answered = Answered { replica: self.me, client, number, result_digest, signature: RawSignature::ZERO };
            self.send_signed(Recipients::Client(client), Message::Answered(answered));
        }
    }
}
