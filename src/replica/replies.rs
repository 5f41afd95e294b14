//! From decisions to answers: results, their tree, and one signature for all of them. (S2)

use super::Replica;
use super::reply_cache::{ReplyCache, cost};
use super::sessions::SessionEntry;
use super::usage::Use;
use crate::cluster::Cluster;
use crate::ids::{Bytes, ClientId, RawSignature, RequestNumber, SequenceNumber};
use crate::merkle;
use crate::message::{Answered, Message, Reply, ReplyBody, Request, executed_leaf};
use crate::outbox::{Content, Decision, Recipients, ToSign};
use crate::wire::Bounded;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The replies to one batch.
#[derive(Clone)]
struct Batch {
    replies: Vec<Arc<ReplyBody>>,
    /// All records below this index must be durable before they leave.
    index: u64,
    /// They are among what is `answered`.
    is_listed: bool,
}

/// Replies that wait for their records. (D1)
#[derive(Clone, Default)]
struct Unreleased {
    /// In the order of their positions.
    batches: VecDeque<Batch>,
    /// Of each client the first and the last number that is answered in `batches`, as all between are: until that leaves, no other answer may.
    answered: BTreeMap<ClientId, (RequestNumber, RequestNumber)>,
    /// What all of `batches` cost.
    bytes: u64,
}

impl Unreleased {
    fn push(&mut self, replies: Vec<Arc<ReplyBody>>, index: u64) {
        self.bytes += replies.iter().map(|reply| cost(reply)).sum::<u64>();
        self.batches.push_back(Batch { replies, index, is_listed: false });
    }

    /// What was put in last has to wait. Mostly it hasn't: the service was given nothing before its own record was durable.
    fn list_last(&mut self) {
        let Some(batch) = self.batches.back_mut().filter(|batch| !batch.is_listed) else { return };
        batch.is_listed = true;
        for reply in &batch.replies {
            self.answered.entry(reply.client).or_insert((reply.number, reply.number)).1 = reply.number;
        }
    }

    /// Is this number's answer among them?
    fn answers(&self, client: ClientId, number: RequestNumber) -> bool {
        self.answered.get(&client).is_some_and(|(first, last)| (*first..=*last).contains(&number))
    }

    /// The next batch's replies, if all their records are.
    fn pop(&mut self, durable_below: u64) -> Option<Vec<Arc<ReplyBody>>> {
        self.batches.front().filter(|batch| batch.index <= durable_below)?;
        let Batch { replies, is_listed, .. } = self.batches.pop_front()?;
        for reply in &replies {
            self.bytes -= cost(reply);
            if !is_listed {
                continue;
            }
            match self.answered.get_mut(&reply.client) {
                Some((first, last)) if reply.number < *last => *first = reply.number.next(),
                _ => {
                    self.answered.remove(&reply.client);
                }
            }
        }
        Some(replies)
    }
}

/// Bound: the cache has its own; the service is given nothing while more than 8 `message_bytes_max` wait for their records.
#[derive(Clone)]
pub(super) struct Replies {
    /// All records below this index are durable.
    durable_below: u64,
    ready: Unreleased,
    cache: ReplyCache,
    /// Results up to here may have been signed with a state that was wrong: those of the right one are not, or there would be two. (E)
    unsigned_to: SequenceNumber,
}

impl Replies {
    pub(super) fn new(cluster: &Cluster, cache_bytes_max: u64) -> Self {
        Self {
            durable_below: 0,
            ready: Unreleased::default(),
            cache: ReplyCache::new(cluster, cache_bytes_max),
            unsigned_to: SequenceNumber::default(),
        }
    }

    pub(super) fn usage(&self) -> Use {
        self.cache.usage()
    }

    /// Bytes of replies that wait for their records.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.ready.bytes
    }

    /// What was computed from a state that is replaced, or may be wrong, is not said any more.
    pub(super) fn forget(&mut self) {
        self.ready = Unreleased::default();
        self.cache.forget();
    }

    // C4, E
    /// What was executed so far may be wrong, and was signed: executed again, it is not signed again.
    pub(super) fn doubt_up_to(&mut self, executed: SequenceNumber) {
        self.unsigned_to = self.unsigned_to.max(executed);
        self.forget();
    }

    pub(super) fn recorded_up_to(&mut self, index: u64) {
        self.durable_below = self.durable_below.max(index.saturating_add(1));
    }
}

impl Replica {
    // S2
    /// Replies to a batch that was executed; they wait until all records below `index` are durable.
    pub(super) fn answer_clients(&mut self, decision: &Decision, index: u64, results: Vec<Bytes>, entries: &[SessionEntry]) {
        // C4: a state that nobody shares has no answers.
        if self.checkpoints.diverged.is_some() || decision.sequence_number() <= self.replies.unsigned_to {
            return;
        }
        let replies = self.replies_to(decision, results, entries);
        replies.iter().for_each(|reply| self.replies.cache.remember(reply));
        if !replies.is_empty() {
            self.replies.ready.push(replies, index);
        }
        self.release_replies();
        self.replies.ready.list_last();
    }

    fn replies_to(&mut self, decision: &Decision, results: Vec<Bytes>, entries: &[SessionEntry]) -> Vec<Arc<ReplyBody>> {
        let leaf = |(request, entry): (&Request, &SessionEntry)| {
            executed_leaf(&request.client, request.number, &request.operation_digest, &entry.result_digest)
        };
        let leaves: Vec<_> = decision.requests().zip(entries).map(leaf).collect();
        let (root, paths) = merkle::root_and_paths(&leaves);
        let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        decision
            .requests()
            .zip(results)
            .zip(paths)
            .zip(0..count)
            .map(|(((request, result), path), index)| {
                Arc::new(ReplyBody {
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
                    root,
                })
            })
            .collect()
    }

    // D1: before a reply leaves, `high` of at least its rank is durable.
    pub(super) fn release_replies(&mut self) {
        while let Some(replies) = self.replies.ready.pop(self.replies.durable_below) {
            // One root, one payload, one signature for all of them.
            if let Some(to_sign) = ToSign::replies(&self.cluster.id(), replies) {
                self.send(Content::Unsigned(to_sign));
            }
        }
    }

    /// Would an old request draw an answer now?
    pub(super) fn may_repeat_reply(&self, client: ClientId, number: RequestNumber) -> bool {
        let is_on_its_way = self.replies.ready.answers(client, number);
        let is_kept = self.replies.cache.get(&client, number).is_some() || self.sessions.table.result(&client, number).is_some();
        is_kept && !is_on_its_way && self.replies.cache.has_yet_to_repeat(client, number, self.now, self.tuning.status_interval)
    }

    /// A client asks again for what was decided before.
    pub(super) fn repeat_reply(&mut self, client: ClientId, number: RequestNumber) {
        // D1: not by way of an Answered either, when the quota took the reply out of the cache before its record was durable.
        if self.replies.ready.answers(client, number) {
            return;
        }
        let cached = self.replies.cache.get(&client, number).cloned();
        let result_digest = self.sessions.table.result(&client, number).filter(|_| self.checkpoints.diverged.is_none());
        let is_answered = cached.is_some() || result_digest.is_some();
        if is_answered && !self.replies.cache.may_repeat(client, number, self.now, self.tuning.status_interval) {
            return;
        }
        if let Some(mut body) = cached {
            Arc::make_mut(&mut body).view = self.promises.view();
            self.send_signed(Recipients::Client(client), Message::Reply(Reply { body, signature: RawSignature::ZERO }));
        } else if let Some(result_digest) = result_digest {
            let answered = Answered { replica: self.me, client, number, result_digest, signature: RawSignature::ZERO };
            self.send_signed(Recipients::Client(client), Message::Answered(answered));
        }
    }
}
