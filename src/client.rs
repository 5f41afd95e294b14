//! The client's machine: numbers requests, sends them again, and believes a result when f+1 replicas gave it, or that it is lost when they
//! gave its digest and nobody the bytes. (SPEC S1, S2)
//!
//! Like a replica it has no sockets, no clock and no key: the host signs what it puts out, and tells it the time.

mod join;
mod outcome;
mod tally;
mod witness;

use alloc::boxed::Box;
use alloc::vec::Vec;
pub use outcome::Outcome;

use crate::cluster::Cluster;
use crate::evidence::Evidence;
use crate::ids::{Bytes, ClientId, Digest, ReplicaId, RequestNumber, View};
use crate::message::{Answered, Message, MessageKind, Reply, Request};
use crate::outbox::{Content, Envelope, Identity, Outgoing, Recipients, ToSign};
use crate::time::Time;
use crate::verify::Verified;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use tally::{Agreed, Tally};
use thiserror::Error;
use witness::Witness;

/// How often a request is sent again once its result is certain and nobody has shown it, before the client does without the bytes. More than
/// once, since the network may lose the one answer that holds them. (SPEC S2)
const ASKS_FOR_BYTES: u32 = 2;

/// How many of the lowest outstanding requests a completion hastens. (SPEC S1)
const HASTENED: usize = 8;

/// How patient a client is, and where it starts to count.
#[derive(Clone, Debug)]
pub struct ClientTuning {
    /// How long a request may be unanswered before it goes to all replicas. Default 500 ms, at least 1 µs. Doubles with each time that it was sent again;
    /// but upon each completion the lowest 8 outstanding requests become due after no more than this. (SPEC S1)
    ///
    /// Keep it below the replicas' `request_timeout`, so that the backups know of a request before they judge the primary by it.
    pub retransmit_timeout: Duration,
    /// How often the timeout may double. Default 6, at most 32.
    pub backoff_max: u32,
    /// The number of the first request that is submitted. Default 1, which suits a key that was never used.
    ///
    /// A client that restarts must go on where it was: replicas execute number `last` + 1 and no other (SPEC S1), where `last` is the
    /// number of its last executed request. So store each operation with its number before it is sent, start with the lowest
    /// number that had not completed, and submit the same operations again, in the same order: those that were executed are answered, not
    /// executed twice. Another operation under a number that was used is never executed. As a rule it never completes either; but a digest alone doesn't
    /// tell which operation's result it is of, so where replicas have lost that of the first operation, the second may be reported as
    /// [`Outcome::ResultLost`]. A number that is too high leaves a gap and is never executed.
    pub first_number: RequestNumber,
}

impl Default for ClientTuning {
    fn default() -> Self {
        Self { retransmit_timeout: Duration::from_millis(500), backoff_max: 6, first_number: RequestNumber::new(1) }
    }
}

/// Why a client can't be made.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// Its key is not in the cluster's configuration; no replica would take its requests.
    #[error("client {0:?} is not enrolled in this cluster")]
    NotEnrolled(ClientId),
    /// Requests are counted from 1.
    #[error("the first request number must be at least 1")]
    FirstNumber,
}

/// Something that happened to a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // Moved once, never stored.
pub enum ClientInput {
    /// The host wants this operation executed; at most `operation_bytes_max` bytes.
    Submit(Bytes),
    /// A message arrived and was verified.
    Message(Verified),
    /// [`Client::deadline`] has passed. Early, late and doubled calls are harmless.
    Timer,
}

/// One thing that a step put out.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // Moved once, never stored.
pub enum ClientOutput {
    /// A request to sign with the client's key and send; or proof against a replica, which is sent as it is. Where several steps put out requests before they are signed,
    /// [`Outgoing::join`] has them signed at once, which saves the replicas most of what signed requests cost them. (SPEC S3)
    Send(Outgoing),
    /// A request was executed: each is reported once, in the order of completion, which need not be that of numbers.
    Completed(Completion),
    /// Something worth a log line.
    Event(ClientEvent),
}

/// A request was executed, exactly once: f+1 replicas say so and agree on its result, so one of them is correct. (SPEC S2)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request's number, as told by [`ClientDisposition::Submitted`].
    pub number: RequestNumber,
    /// The service's answer or, if no replica has it left, that it is lost.
    pub outcome: Outcome,
    /// From submission to completion.
    pub latency: Duration,
}

/// What an operator would want to know of a client; never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // Rare.
pub enum ClientEvent {
    /// A replica signed two different roots for the results of one batch. Reported once for each replica.
    Evidence(Evidence),
    /// The client believes in another primary than before.
    PrimaryLearned {
        /// A view that a correct replica has reached.
        view: View,
        /// Its primary.
        primary: ReplicaId,
    },
    /// A request was not answered in time and was sent to all replicas.
    SentAgain {
        /// Which.
        number: RequestNumber,
        /// How often it was sent again by now.
        times: u32,
    },
}

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evidence(evidence) => write!(f, "evidence: {evidence}"),
            Self::PrimaryLearned { view, primary } => write!(f, "the primary of {view:?} is {primary:?}"),
            Self::SentAgain { number, times } => write!(f, "no answer to {number:?}: sent again to all, time {times}"),
        }
    }
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a refused operation is given back here"]
#[non_exhaustive]
pub enum ClientDisposition {
    /// The operation is under way under this number.
    Submitted(RequestNumber),
    /// The operation was not taken; here it is, untouched.
    Refused {
        /// What was to be submitted.
        operation: Bytes,
        /// Why it was not.
        reason: SubmitError,
    },
    /// The message or the timer had an effect.
    Applied,
    /// Nothing changed.
    Ignored(ClientIgnored),
}

/// Why an operation was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError {
    /// The next number would be `client_window` or more above the oldest outstanding one; submit again when that one has completed. (SPEC S1)
    #[error("the oldest outstanding request, {oldest}, is client_window = {window} numbers back: wait until it completes")]
    WindowFull {
        /// The oldest outstanding request.
        oldest: RequestNumber,
        /// The cluster's `client_window`.
        window: u32,
    },
    /// Longer than `operation_bytes_max`; no replica would take it.
    #[error("an operation of {length} bytes is longer than operation_bytes_max = {max}")]
    OperationTooLong {
        /// Its bytes.
        length: usize,
        /// The bytes allowed.
        max: u32,
    },
    /// All numbers are used up; enrol another key.
    #[error("all request numbers are used up")]
    NumbersExhausted,
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientIgnored {
    /// It was verified under another cluster's keys.
    #[error("verified for another cluster")]
    OtherCluster,
    /// Only replies and answers are for clients.
    #[error("{0:?} is not for clients")]
    NotAnAnswer(MessageKind),
    /// It answers another client.
    #[error("it answers client {0:?}")]
    OtherClient(ClientId),
    /// No request of this number was submitted here.
    #[error("request {0} was not submitted here")]
    UnknownNumber(RequestNumber),
    /// The request has completed.
    #[error("request {0} has completed")]
    Completed(RequestNumber),
    /// The reply is for another operation under the request's number: the replica lies, or this key's numbers were used twice.
    #[error("request {0} is another operation here")]
    OtherOperation(RequestNumber),
    /// This replica has answered the request; its first answer counts.
    #[error("replica {0} has answered this request")]
    AnsweredBefore(ReplicaId),
    /// The deadline has not come.
    #[error("nothing is due")]
    NotDue,
}

#[derive(Debug)]
struct Outstanding {
    request: Request,
    submitted: Time,
    due: Time,
    sent_again: u32,
    tally: Tally,
    /// Set once f+1 replicas agree on a result that none of them has shown.
    missing: Option<Missing>,
}

/// The result is certain, its bytes are not there.
#[derive(Debug)]
struct Missing {
    result_digest: Digest,
    /// How often the request will be sent again before the client does without them. Counted from the agreement on: what was sent before
    /// may have been answered before the replicas that have the bytes had executed it.
    asks_left: u32,
}

/// A client: operations in, requests out; verified answers in, results out.
///
/// Memory is bounded by `client_window` × (`operation_bytes_max` + (f+1) × (`result_bytes_max` + 1.2 KiB) + n × 200 bytes) + n × 8 KiB, while at
/// most f replicas lie: each replica has one answer for each outstanding request, and equal answers are held once.
#[derive(Debug)]
pub struct Client {
    cluster: Arc<Cluster>,
    id: ClientId,
    tuning: ClientTuning,
    /// The latest time heard: a clock that goes back stands still.
    now: Time,
    next: RequestNumber,
    outstanding: BTreeMap<RequestNumber, Outstanding>,
    /// `due` of each outstanding request, earliest first.
    timers: BTreeSet<(Time, RequestNumber)>,
    view: View,
    /// The largest view that each replica hinted at; at most n.
    hints: BTreeMap<ReplicaId, View>,
    witness: Witness,
}

impl Client {
    /// A client with nothing outstanding that believes in view 0.
    ///
    /// # Errors
    /// [`ClientError`] if `id` is not enrolled, or if numbers were to start at 0.
    pub fn new(cluster: Arc<Cluster>, id: ClientId, mut tuning: ClientTuning) -> Result<Self, ClientError> {
        if cluster.client_key(&id).is_none() {
            return Err(ClientError::NotEnrolled(id));
        }
        if tuning.first_number.get() == 0 {
            return Err(ClientError::FirstNumber);
        }
        // No timeout of zero (it would spin), no shift beyond the width.
        tuning.retransmit_timeout = tuning.retransmit_timeout.max(Duration::from_micros(1));
        tuning.backoff_max = tuning.backoff_max.min(32);
        Ok(Self {
            cluster,
            id,
            next: tuning.first_number,
            tuning,
            now: Time::default(),
            outstanding: BTreeMap::new(),
            timers: BTreeSet::new(),
            view: View::default(),
            hints: BTreeMap::new(),
            witness: Witness::default(),
        })
    }

    /// Takes one input. What is to be done goes to the end of `out`; serve it at any time. Total: no input panics.
    pub fn step(&mut self, now: Time, input: ClientInput, out: &mut Vec<ClientOutput>) -> ClientDisposition {
        self.now = self.now.max(now);
        match input {
            ClientInput::Submit(operation) => self.on_submit(operation, out),
            ClientInput::Message(verified) => {
                self.on_message(verified, out).map_or_else(ClientDisposition::Ignored, |()| ClientDisposition::Applied)
            }
            ClientInput::Timer => self.on_timer(out),
        }
    }

    /// When the next [`ClientInput::Timer`] is due; `None` while nothing is outstanding. Ask again after each step.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How many requests are under way; at most `client_window`.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The lowest number that has not completed: where a client that restarts now would have to go on. (SPEC S1)
    pub fn resume_number(&self) -> RequestNumber {
        self.outstanding.keys().next().copied().unwrap_or(self.next)
    }

    /// The number that the next operation gets.
    pub fn next_number(&self) -> RequestNumber {
        self.next
    }

    /// Who it is.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The replica that requests go to first. A belief: a wrong one costs a `retransmit_timeout`.
    pub fn primary(&self) -> ReplicaId {
        self.cluster.primary(self.view)
    }

    // S1
    fn may_submit(&self, operation: &[u8]) -> Result<(), SubmitError> {
        let limits = self.cluster.limits();
        let max = limits.operation_bytes_max;
        if u32::try_from(operation.len()).map_or(true, |length| length > max) {
            return Err(SubmitError::OperationTooLong { length: operation.len(), max });
        }
        // The last number could not be followed by another.
        if self.next.next() == self.next {
            return Err(SubmitError::NumbersExhausted);
        }
        // All below the oldest outstanding number have been executed, so no replica sees a number beyond its window, and each still has
        // the result of the oldest one. The span counts, not how many are outstanding.
        match self.outstanding.keys().next() {
            Some(oldest) if self.next.get().saturating_sub(oldest.get()) >= u64::from(limits.client_window) => {
                Err(SubmitError::WindowFull { oldest: *oldest, window: limits.client_window })
            }
            _ => Ok(()),
        }
    }

    fn on_submit(&mut self, operation: Bytes, out: &mut Vec<ClientOutput>) -> ClientDisposition {
        if let Err(reason) = self.may_submit(&operation) {
            return ClientDisposition::Refused { operation, reason };
        }
        let number = self.next;
        self.next = number.next();
        let request = Request::new(self.id, number, operation);
        self.send(Recipients::Replica(self.primary()), &request, out);
        let due = self.now.after(self.tuning.retransmit_timeout);
        self.timers.insert((due, number));
        self.outstanding
            .insert(number, Outstanding { request, submitted: self.now, due, sent_again: 0, tally: Tally::default(), missing: None });
        ClientDisposition::Submitted(number)
    }

    // Each time it is signed afresh, since the core has neither key nor signature; ed25519 gives the same bytes again.
    fn send(&self, to: Recipients, request: &Request, out: &mut Vec<ClientOutput>) {
        if let Some(to_sign) = ToSign::new(&self.cluster.id(), to, Message::Request(request.clone())) {
            let identity = Identity::Client(self.cluster.clone(), self.id);
            out.push(ClientOutput::Send(Outgoing { identity, content: Content::Unsigned(to_sign) }));
        }
    }

    fn on_timer(&mut self, out: &mut Vec<ClientOutput>) -> ClientDisposition {
        let mut disposition = ClientDisposition::Ignored(ClientIgnored::NotDue);
        while let Some((_, number)) = self.timers.first().filter(|(due, _)| *due <= self.now).copied() {
            self.timers.pop_first();
            self.on_due(number, out);
            disposition = ClientDisposition::Applied;
        }
        disposition
    }

    fn on_due(&mut self, number: RequestNumber, out: &mut Vec<ClientOutput>) {
        let Some(outstanding) = self.outstanding.get_mut(&number) else { return };
        match &mut outstanding.missing {
            // S2: the last time that it was sent had its full patience too, so not in the moment of sending.
            Some(Missing { result_digest, asks_left: 0 }) => {
                let outcome = Outcome::ResultLost { result_digest: *result_digest };
                self.finish(number, outcome, out);
            }
            Some(Missing { asks_left, .. }) => {
                *asks_left = asks_left.saturating_sub(1);
                self.send_again(number, out);
            }
            None => self.send_again(number, out),
        }
    }

    fn send_again(&mut self, number: RequestNumber, out: &mut Vec<ClientOutput>) {
        let Some(outstanding) = self.outstanding.get_mut(&number) else { return };
        outstanding.sent_again = outstanding.sent_again.saturating_add(1);
        let times = outstanding.sent_again;
        let patience =
            self.tuning.retransmit_timeout.saturating_mul(1_u32.checked_shl(times.min(self.tuning.backoff_max)).unwrap_or(u32::MAX));
        outstanding.due = self.now.after(patience);
        // At the end of time itself nothing is due any more: it would be due at once, for ever.
        if outstanding.due > self.now {
            self.timers.insert((outstanding.due, number));
        }
        let request = outstanding.request.clone();
        self.send(Recipients::AllReplicas, &request, out);
        out.push(ClientOutput::Event(ClientEvent::SentAgain { number, times }));
    }

    fn on_message(&mut self, verified: Verified, out: &mut Vec<ClientOutput>) -> Result<(), ClientIgnored> {
        if verified.group != self.cluster.id() {
            return Err(ClientIgnored::OtherCluster);
        }
        match verified.message {
            Message::Reply(reply) => self.on_reply(reply, out),
            Message::Answered(answered) => self.on_answered(&answered, out),
            other => Err(ClientIgnored::NotAnAnswer(other.kind())),
        }
    }

    fn on_reply(&mut self, reply: Reply, out: &mut Vec<ClientOutput>) -> Result<(), ClientIgnored> {
        self.is_mine(reply.client)?;
        if let Some(evidence) = self.witness.heard(&reply) {
            // E: only clients see replies; the replicas are to know it too.
            let envelope = Envelope::new(Recipients::AllReplicas, Message::Evidence(Box::new(evidence.clone())));
            let identity = Identity::Client(self.cluster.clone(), self.id);
            out.push(ClientOutput::Send(Outgoing { identity, content: Content::Ready(Box::new(envelope)) }));
            out.push(ClientOutput::Event(ClientEvent::Evidence(evidence)));
        }
        self.on_hint(&reply, out);
        let number = reply.number;
        let outstanding = self.find(number)?;
        if reply.operation_digest != outstanding.request.operation_digest {
            return Err(ClientIgnored::OtherOperation(number));
        }
        let replica = reply.replica;
        let result_digest = outstanding.tally.reply(reply).ok_or(ClientIgnored::AnsweredBefore(replica))?;
        self.complete(number, &result_digest, out);
        Ok(())
    }

    fn on_answered(&mut self, answered: &Answered, out: &mut Vec<ClientOutput>) -> Result<(), ClientIgnored> {
        self.is_mine(answered.client)?;
        let outstanding = self.find(answered.number)?;
        let result_digest = outstanding.tally.answered(answered).ok_or(ClientIgnored::AnsweredBefore(answered.replica))?;
        self.complete(answered.number, &result_digest, out);
        Ok(())
    }

    fn is_mine(&self, client: ClientId) -> Result<(), ClientIgnored> {
        if client == self.id { Ok(()) } else { Err(ClientIgnored::OtherClient(client)) }
    }

    fn find(&mut self, number: RequestNumber) -> Result<&mut Outstanding, ClientIgnored> {
        let submitted = self.was_submitted(number);
        self.outstanding.get_mut(&number).ok_or(if submitted {
            ClientIgnored::Completed(number)
        } else {
            ClientIgnored::UnknownNumber(number)
        })
    }

    fn was_submitted(&self, number: RequestNumber) -> bool {
        (self.tuning.first_number..self.next).contains(&number)
    }

    // S2
    fn complete(&mut self, number: RequestNumber, result_digest: &Digest, out: &mut Vec<ClientOutput>) {
        let weak_quorum = usize::try_from(self.cluster.weak_quorum()).unwrap_or(usize::MAX);
        let Some(outstanding) = self.outstanding.get_mut(&number) else { return };
        match outstanding.tally.agreed(result_digest, weak_quorum, &outstanding.request) {
            None => {}
            Some(Agreed::Digest) => {
                // Further digests don't start the count anew: the wait would be the liars' to prolong.
                outstanding.missing.get_or_insert(Missing { result_digest: *result_digest, asks_left: ASKS_FOR_BYTES });
            }
            Some(Agreed::Result { result, receipt }) => self.finish(number, Outcome::Result { result, receipt }, out),
        }
    }

    fn finish(&mut self, number: RequestNumber, outcome: Outcome, out: &mut Vec<ClientOutput>) {
        let Some(outstanding) = self.outstanding.remove(&number) else { return };
        self.timers.remove(&(outstanding.due, number));
        self.hasten();
        let latency = self.now.since(outstanding.submitted);
        out.push(ClientOutput::Completed(Completion { number, outcome, latency }));
    }

    // S1
    /// Something was executed, so what a replica had no room for has room now. Not all at once: only the next ones are sure to find it, and a
    /// slow cluster is not to be flooded.
    fn hasten(&mut self) {
        let latest = self.now.after(self.tuning.retransmit_timeout);
        for (number, waiting) in self.outstanding.iter_mut().take(HASTENED) {
            // S2: who is asked for lost bytes has its full patience.
            if waiting.due > latest && waiting.missing.is_none() {
                self.timers.remove(&(waiting.due, *number));
                waiting.due = latest;
                self.timers.insert((latest, *number));
            }
        }
    }

    /// Believes the largest view that f+1 replicas have reached by their own word: one of them is correct.
    ///
    /// The hints of late replies count too: if only those that completed a request did, the fastest liar could keep a client with a dead
    /// primary for ever by hinting at view 0 in good time. A hint is not signed: one that was altered on its way costs time only.
    fn on_hint(&mut self, reply: &Reply, out: &mut Vec<ClientOutput>) {
        if !self.was_submitted(reply.number) {
            return;
        }
        let hint = self.hints.entry(reply.replica).or_default();
        *hint = reply.view.max(*hint);
        let mut hinted: Vec<View> = self.hints.values().copied().collect();
        hinted.sort_unstable_by(|left, right| right.cmp(left));
        let fault_threshold = usize::try_from(self.cluster.fault_threshold()).unwrap_or(usize::MAX);
        if let Some(view) = hinted.get(fault_threshold).copied().filter(|view| *view > self.view) {
            self.view = view;
            out.push(ClientOutput::Event(ClientEvent::PrimaryLearned { view, primary: self.primary() }));
        }
    }
}
