//! From decisions to answers: results, their tree, and one signature for all of them. (S2)

use super::{Broken, Disposition, Replica, Step, Why};
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, ClientId, Digest, RawSignature, RequestNumber, SequenceNumber};
use crate::merkle;
use crate::message::{Answered, Message, Reply, executed_leaf};
use crate::outbox::{Content, Decision, Recipients, ToSign};
use crate::wire::Bounded;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An executed batch: what its replies need.
struct Executed {
    decision: Decision,
    results: Vec<Bytes>,
    leaves: Vec<Digest>,
}

/// Bound: `client_window` results for each client; decisions not yet executed are part of the log anyway.
pub(super) struct Replies {
    window: u64,
    executed: SequenceNumber,
    /// Decisions that the service has, and the index below which all records must be durable before their replies leave.
    expected: BTreeMap<SequenceNumber, (Decision, u64)>,
    durable_below: u64,
    ready: BTreeMap<SequenceNumber, (Arc<Executed>, u64)>,
    cache: BTreeMap<ClientId, BTreeMap<RequestNumber, (Arc<Executed>, usize)>>,
}

impl Replies {
    pub(super) fn new(window: u32) -> Self {
        Self {
            window: u64::from(window),
            executed: SequenceNumber::default(),
            expected: BTreeMap::new(),
            durable_below: 0,
            ready: BTreeMap::new(),
            cache: BTreeMap::new(),
        }
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

    fn remember(&mut self, executed: &Arc<Executed>) {
        for (index, request) in executed.decision.requests().enumerate() {
            let cached = self.cache.entry(request.client()).or_default();
            cached.insert(request.number(), (executed.clone(), index));
            let oldest = request.number().minus(self.window).next();
            if cached.first_key_value().is_some_and(|(number, _)| *number < oldest) {
                *cached = cached.split_off(&oldest);
            }
        }
    }
}

impl Executed {
    /// The reply for one of its requests, not signed.
    fn reply(&self, index: usize, view: crate::ids::View, replica: crate::ids::ReplicaId, root: Digest) -> Option<Reply> {
        let request = self.decision.requests().nth(index)?;
        Some(self.reply_to(request, index, view, replica, root))
    }

    fn reply_to(
        &self,
        request: &crate::message::Request,
        index: usize,
        view: crate::ids::View,
        replica: crate::ids::ReplicaId,
        root: Digest,
    ) -> Reply {
        Reply {
            replica,
            view,
            sequence_number: self.decision.sequence_number(),
            client: request.client,
            number: request.number,
            operation_digest: request.operation_digest,
            result: self.results.get(index).cloned().unwrap_or_default(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            count: u32::try_from(self.leaves.len()).unwrap_or(u32::MAX),
            path: Bounded(merkle::path(&self.leaves, index)),
            signature: RawSignature::ZERO,
            root,
        }
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
        let mut leaves = Vec::with_capacity(results.len());
        for (request, result) in decision.requests().zip(&results) {
            let result = hash(Domain::Result, result);
            self.sessions.executed(request.client, request.number, result);
            leaves.push(executed_leaf(&request.client, request.number, &request.operation_digest, &result));
        }
        self.replies.executed = self.replies.executed.max(sequence_number);
        if !leaves.is_empty() {
            let executed = Arc::new(Executed { decision, results, leaves });
            self.replies.remember(&executed);
            self.replies.ready.insert(sequence_number, (executed, index));
        }
        self.release_replies();
        Ok(Disposition::Applied)
    }

    // D1: before a reply leaves, `high` of at least its rank is durable.
    pub(super) fn release_replies(&mut self) {
        while let Some(entry) = self.replies.ready.first_entry() {
            if entry.get().1 > self.replies.durable_below {
                return;
            }
            let (executed, _) = entry.remove();
            let root = merkle::root(&executed.leaves);
            let view = self.promises.view();
            let messages: Vec<(Recipients, Message)> = executed
                .decision
                .requests()
                .enumerate()
                .map(|(index, request)| {
                    (Recipients::Client(request.client), Message::Reply(Box::new(executed.reply_to(request, index, view, self.me, root))))
                })
                .collect();
            self.send_replies(messages);
        }
    }

    fn send_replies(&mut self, messages: Vec<(Recipients, Message)>) {
        let payload = messages.first().and_then(|(_, message)| message.payload(&self.cluster.id()));
        if let Some(payload) = payload {
            self.send(Content::Unsigned(ToSign { payload, messages }));
        }
    }

    /// A client asks again for what was decided before.
    pub(super) fn repeat_reply(&mut self, client: ClientId, number: RequestNumber) {
        let cached = self.replies.cache.get(&client).and_then(|numbers| numbers.get(&number)).cloned();
        match cached {
            Some((executed, index)) => {
                if self.replies.ready.contains_key(&executed.decision.sequence_number()) {
                    return;
                }
                let root = merkle::root(&executed.leaves);
                if let Some(reply) = executed.reply(index, self.promises.view(), self.me, root) {
                    self.send_signed(Recipients::Client(client), Message::Reply(Box::new(reply)));
                }
            }
            None => {
                if let Some(result_digest) = self.sessions.result(&client, number) {
                    let answered = Answered { replica: self.me, client, number, result_digest, signature: RawSignature::ZERO };
                    self.send_signed(Recipients::Client(client), Message::Answered(answered));
                }
            }
        }
    }
}
