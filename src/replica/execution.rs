//! From decisions to the service and back: in order, each once, and a snapshot whenever the checkpoint interval says so. (P5, C1, S2)

use super::reply_cache::REPLY_OVERHEAD;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest, SequenceNumber};
use crate::manifest::{CheckpointOrder, chunk_digest};
use crate::message::Block;
use crate::outbox::{AppCommand, Decision, Output};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A decision that the service has, or is to have.
#[derive(Clone)]
struct Queued {
    decision: Decision,
    /// The record that holds its batch.
    record: u64,
    /// All records below this index must be durable before its replies leave. (D1)
    answered_behind: u64,
}

/// Bound: what is decided and not executed is at most one log window of batches, since nothing more is decided then. Of these the service has
/// at most one pipeline, and gets none while too many replies wait for the disk: what it answers is to be held too.
#[derive(Clone)]
pub(super) struct Execution {
    executed: SequenceNumber,
    /// Decided, and not yet given to the service.
    queue: VecDeque<Queued>,
    /// Given to it, in order.
    given: VecDeque<Queued>,
    /// Results that came before those of an earlier decision.
    results: BTreeMap<SequenceNumber, Vec<Bytes>>,
    /// Nothing more is given before this is executed: its snapshot is to be of this very state.
    barrier: Option<SequenceNumber>,
    /// Snapshots that the service was asked for: what it was told of the log and the sessions.
    pub(super) ordered: BTreeMap<SequenceNumber, (Digest, Vec<Digest>)>,
    /// The service's state is being replaced.
    pub(super) installing: bool,
}

impl Execution {
    pub(super) fn new(executed: SequenceNumber) -> Self {
        Self {
            executed,
            queue: VecDeque::new(),
            given: VecDeque::new(),
            results: BTreeMap::new(),
            barrier: None,
            ordered: BTreeMap::new(),
            installing: false,
        }
    }

    pub(super) fn executed(&self) -> SequenceNumber {
        self.executed
    }

    /// Everything decided up to here is part of the state that was installed; what was under way is void. No snapshot is. (C4)
    pub(super) fn installed(&mut self, number: SequenceNumber) {
        *self = Self::new(number);
    }

    /// Bytes of batches that are decided and not executed.
    pub(super) fn backlog(&self) -> u64 {
        self.queue.iter().chain(&self.given).map(|queued| super::chain::held_size(&queued.decision.block)).sum()
    }

    /// Bytes of results that wait for those of an earlier batch.
    pub(super) fn result_bytes(&self) -> u64 {
        self.results.values().flatten().map(|result| REPLY_OVERHEAD + result.len() as u64).sum()
    }
}

impl Replica {
    pub(super) fn execute(&mut self, block: Arc<Block>, executes: Arc<[bool]>, record: u64) {
        let decision = Decision { block, executes };
        self.execution.queue.push_back(Queued { decision, record, answered_behind: self.promises.log.next_index() });
    }

    /// Gives the service what it may have: up to the next position where a snapshot is due.
    pub(super) fn feed_service(&mut self) {
        let interval = self.cluster.checkpoint_interval();
        let room = self.cluster.pipeline() as usize;
        let most = 8 * u64::from(self.cluster.limits().message_bytes_max);
        while self.execution.barrier.is_none() && !self.execution.installing {
            // I18: a result may be far longer than the operation that asked for it.
            if self.execution.given.len() >= room || self.replies.waiting_bytes() > most {
                return;
            }
            // D1: what a service has executed for good is on record, or those who lag could be given it by nobody.
            let durable = self.promises.log.durable();
            if self.execution.queue.front().is_some_and(|next| next.record >= durable) {
                return;
            }
            let Some(queued) = self.execution.queue.pop_front() else { return };
            let number = queued.decision.sequence_number();
            if number.get() % interval == 0 {
                self.execution.barrier = Some(number);
            }
            self.outputs.push(Output::App(AppCommand::Execute(queued.decision.clone())));
            self.execution.given.push_back(queued);
        }
    }

    /// Upon hearing from the service.
    pub(super) fn on_executed(&mut self, sequence_number: SequenceNumber, results: Vec<Bytes>) -> Step {
        let given = self.execution.given.iter().find(|given| given.decision.sequence_number() == sequence_number);
        let Some(Queued { decision, .. }) = given.filter(|_| !self.execution.results.contains_key(&sequence_number)) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        let result_bytes_max = self.cluster.limits().result_bytes_max as usize;
        if decision.requests().count() != results.len() {
            return Err(Broken("S2: the service gave another number of results than there were requests"));
        }
        if results.iter().any(|result| result.len() > result_bytes_max) {
            return Err(Broken("S2: the service gave a result longer than result_bytes_max"));
        }
        self.execution.results.insert(sequence_number, results);
        // I14: in order, whatever order the service answers in.
        while let Some(first) = self.execution.given.front() {
            let Some(results) = self.execution.results.remove(&first.decision.sequence_number()) else { break };
            let Some(Queued { decision, answered_behind, .. }) = self.execution.given.pop_front() else { break };
            self.executed(&decision, answered_behind, results);
        }
        self.feed_service();
        Ok(Disposition::Applied)
    }

    fn executed(&mut self, decision: &Decision, index: u64, results: Vec<Bytes>) {
        let number = decision.sequence_number();
        let entries = decision.session_entries(&results);
        entries.iter().for_each(|entry| self.sessions.table.record(*entry));
        self.execution.executed = number;
        self.answer_clients(decision, index, results, &entries);
        if self.execution.barrier == Some(number) {
            self.execution.barrier = None;
            self.order_checkpoint(number, decision.digest());
        }
    }

    // C1
    /// Asks the service for a snapshot of its state as it is now.
    pub(super) fn order_checkpoint(&mut self, sequence_number: SequenceNumber, log_digest: Digest) {
        // Once the service is told to take another state, a snapshot would be of that one.
        if sequence_number < self.stable().number || self.checkpoints.holds_snapshot(sequence_number) || self.execution.installing {
            return;
        }
        let chunk_bytes_max = self.cluster.limits().batch_bytes_max;
        let sessions = self.sessions.table.parts(chunk_bytes_max as usize);
        let session_digests: Vec<Digest> = sessions.iter().map(|part| chunk_digest(part)).collect();
        self.execution.ordered.insert(sequence_number, (log_digest, session_digests.clone()));
        let order = CheckpointOrder { sequence_number, log_digest, sessions, session_digests, chunk_bytes_max };
        self.outputs.push(Output::App(AppCommand::TakeCheckpoint(order)));
    }
}

impl Decision {
    /// What these results leave in the session table, for a service that stores its state batch by batch: see [`SessionEntry`](crate::SessionEntry).
    pub fn session_entries(&self, results: &[Bytes]) -> Vec<super::sessions::SessionEntry> {
        self.requests()
            .zip(results)
            .map(|(request, result)| super::sessions::SessionEntry {
                client: request.client,
                number: request.number,
                result_digest: hash(Domain::Result, result),
            })
            .collect()
    }
}
