//! All clients of a bench in one place: what is sent is signed there, and what arrives for any of them is verified in common loads.

use super::nodes::{Nodes, Sample};
use super::{Plan, key_of};
use crate::config::Membership;
use crate::error::{Result, fault};
use crate::frames::{Frame, Kind};
use crate::handshake::Role;
use crate::link::{Call, Queue};
use crate::operation::{Answer, Operation};
use hdrhistogram::Histogram;
use logothete::{
    Bytes, Client, ClientDisposition, ClientEvent, ClientInput, ClientOutput, ClientTuning, Outcome, Outgoing, PeerLink, Recipients,
    RequestNumber, SigningKey, SubmitError, Time, Unverified, Verifier,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What is verified at once, at most.
const LOAD_MAX: usize = 1024;
/// How often clients' timers are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long after a step its last answers are waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// Long, since under full load answers are late, and what is sent again is more load; shorter than the nodes' own patience.
const RETRANSMIT_TIMEOUT: Duration = Duration::from_millis(1500);

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// Each client sends as soon as one of its requests is answered.
    Closed,
    /// At a rate, whatever the answers do. Latency counts from when a request was to be sent: one that had to wait for its turn has waited.
    Open { per_second: f64 },
}

/// What was found in one step.
pub struct Measured {
    pub took: Duration,
    pub answered: u64,
    pub unanswered: u64,
    pub sent_again: u64,
    /// Requests for each signature of a client's.
    pub requests_per_signature: f64,
    pub latencies: Histogram<u64>,
    pub begin: Sample,
    pub end: Sample,
}

struct Customer {
    key: SigningKey,
    client: Client,
    routes: Vec<Arc<Queue>>,
    /// When each request under way was to be sent.
    intended: BTreeMap<RequestNumber, Instant>,
    /// What it asks for next, to be signed at once.
    unsigned: Vec<Outgoing>,
}

pub struct Crowd {
    membership: Arc<Membership>,
    verifier: Verifier,
    customers: Vec<Customer>,
    inbox: mpsc::Receiver<(usize, Frame)>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    started: Instant,
    in_flight: usize,
    value: Vec<u8>,
    keys: u64,
    submitted: u64,
    sent_again: u64,
    sign_alone: bool,
    signed: u64,
    /// A client for each request that may be sent now.
    free: VecDeque<usize>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A request that was answered.
struct Done {
    intended: Instant,
    at: Instant,
}

impl Crowd {
    /// # Errors
    /// A key is no client's of the cluster.
    pub fn connect(membership: &Arc<Membership>, keys: impl Iterator<Item = (SigningKey, u64)>, plan: &Plan) -> Result<Self> {
        let cluster = &membership.cluster;
        let (sender, inbox) = mpsc::channel(1 << 16);
        let (mut customers, mut tasks) = (Vec::new(), Vec::new());
        for (index, (key, first)) in keys.enumerate() {
            let id = membership.client(&key.verifying_key()).ok_or_else(|| fault("this key is no client's in the cluster file"))?;
            let tuning =
                ClientTuning { first_number: RequestNumber::new(first), retransmit_timeout: RETRANSMIT_TIMEOUT, ..ClientTuning::default() };
            let client = Client::new(cluster.clone(), id, tuning).map_err(|error| fault(error.to_string()))?;
            let mut routes = Vec::new();
            for (replica, address) in &membership.addresses {
                let Some(door) = cluster.replica_key(*replica) else { continue };
                let queue = Queue::new(4 << 20);
                routes.push(queue.clone());
                let call = Call {
                    address: address.clone(),
                    cluster: cluster.id(),
                    role: Role::Client,
                    key: key.clone(),
                    door,
                    ping: Duration::from_secs(5),
                    frame_bytes_max: cluster.limits().result_bytes_max as usize + 64 * 1024,
                };
                let sender = sender.clone();
                tasks.push(tokio::spawn(async move {
                    // What doesn't fit is lost, as on any network, and asked for again.
                    call.keep(&queue, |frame| drop(sender.try_send((index, frame))), |_| {}).await;
                }));
            }
            customers.push(Customer { key, client, routes, intended: BTreeMap::new(), unsigned: Vec::new() });
        }
        let in_flight = plan.in_flight.clamp(1, cluster.limits().client_window as usize);
        Ok(Self {
            membership: membership.clone(),
            verifier: Verifier::new(cluster.clone()),
            free: (0..in_flight).flat_map(|_| 0..customers.len()).collect(),
            customers,
            inbox,
            tasks,
            started: Instant::now(),
            in_flight,
            value: (0..plan.value_bytes).map(|place| (place * 31 % 251) as u8).collect(),
            keys: plan.keys,
            submitted: 0,
            sent_again: 0,
            sign_alone: plan.sign_alone,
            signed: 0,
        })
    }

    /// Waits until every client is connected to every node.
    ///
    /// # Errors
    /// They aren't in time, or a node has ended.
    pub async fn wait(&self, patience: Duration, nodes: &mut Nodes) -> Result<()> {
        let end = Instant::now() + patience;
        while !self.customers.iter().flat_map(|customer| &customer.routes).all(|queue| queue.is_connected()) {
            nodes.check()?;
            if Instant::now() > end {
                return Err(fault(
                    "not all clients could be connected to all nodes: are the nodes there, and is the limit of open files high enough?",
                ));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    /// The next operation: another value each time, so that every one is a change.
    fn operation(&mut self) -> Bytes {
        self.submitted += 1;
        let mut value = self.value.clone();
        let mark = self.submitted.to_le_bytes();
        value.iter_mut().zip(mark).for_each(|(byte, mark)| *byte = mark);
        Bytes::from(Operation::Put(vec![(format!("key{}", key_of(self.submitted, self.keys)).into_bytes(), value)]).encode())
    }

    /// Sends one request, if a client has room for it. One whose oldest request isn't answered yet may have none, though later ones were.
    fn submit(&mut self, intended: Instant) -> Result<bool> {
        for _ in 0..self.free.len() {
            let Some(index) = self.free.pop_front() else { break };
            let (operation, now) = (self.operation(), self.now());
            let mut outputs = Vec::new();
            let customer = &mut self.customers[index];
            match customer.client.step(now, ClientInput::Submit(operation), &mut outputs) {
                ClientDisposition::Submitted(number) => customer.intended.insert(number, intended),
                ClientDisposition::Refused { reason: SubmitError::WindowFull { .. }, .. } => {
                    self.free.push_back(index);
                    continue;
                }
                ClientDisposition::Refused { reason, .. } => return Err(fault(reason.to_string())),
                _ => return Err(fault("an operation was not taken")),
            };
            self.serve(index, outputs, &mut Vec::new())?;
            return Ok(true);
        }
        Ok(false)
    }

    fn serve(&mut self, index: usize, outputs: Vec<ClientOutput>, done: &mut Vec<Done>) -> Result<()> {
        let customer = &mut self.customers[index];
        for output in outputs {
            match output {
                ClientOutput::Send(outgoing) => customer.unsigned.push(outgoing),
                ClientOutput::Completed(completion) => {
                    match &completion.outcome {
                        Outcome::Result { result, .. } if Answer::decode(result) == Some(Answer::Put(1)) => {}
                        outcome => return Err(fault(format!("a request was answered with {outcome:?}"))),
                    }
                    if let Some(intended) = customer.intended.remove(&completion.number) {
                        done.push(Done { intended, at: Instant::now() });
                        self.free.push_back(index);
                    }
                }
                ClientOutput::Event(ClientEvent::SentAgain { .. }) => self.sent_again += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Signs what each client asks for now, and sends it.
    fn send(&mut self) -> Result<()> {
        for Customer { key, routes, unsigned, .. } in &mut self.customers {
            let unsigned = std::mem::take(unsigned);
            for outgoing in if self.sign_alone { unsigned } else { Outgoing::join(unsigned) } {
                self.signed += 1;
                for envelope in outgoing.sign(key).map_err(|error| fault(error.to_string()))? {
                    let frame = Frame { kind: Kind::Message, body: envelope.encode() };
                    match envelope.to() {
                        Recipients::Replica(replica) => {
                            routes.get(replica.get() as usize).map(|queue| queue.push(frame));
                        }
                        _ => routes.iter().for_each(|queue| {
                            queue.push(frame.clone());
                        }),
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a load of what has arrived; what is for clients that wait for nothing is not verified.
    fn take(&mut self, frames: &mut Vec<(usize, Frame)>, done: &mut Vec<Done>) -> Result<()> {
        let limits = self.membership.cluster.limits();
        let mut waiting = Vec::with_capacity(frames.len());
        for (index, frame) in frames.drain(..) {
            if frame.kind == Kind::Message && self.customers[index].client.outstanding() > 0 {
                waiting.extend(Unverified::decode(PeerLink(index as u64), &frame.body, limits).ok());
            }
        }
        // A node signs its answers to a batch once: side by side, they are verified once.
        waiting.sort_by_key(Unverified::claimed_sender);
        let whose: Vec<usize> = waiting.iter().map(|message| message.link().0 as usize).collect();
        for (index, verdict) in whose.into_iter().zip(self.verifier.verify_all(waiting)) {
            let verified = verdict.map_err(|error| fault(format!("a node sent what nobody signed: {error}")))?;
            let (mut outputs, now) = (Vec::new(), self.now());
            let _ = self.customers[index].client.step(now, ClientInput::Message(verified), &mut outputs);
            self.serve(index, outputs, done)?;
        }
        Ok(())
    }

    fn tick(&mut self, done: &mut Vec<Done>) -> Result<()> {
        for index in 0..self.customers.len() {
            let now = self.now();
            if self.customers[index].client.deadline().is_some_and(|due| due <= now) {
                let mut outputs = Vec::new();
                let _ = self.customers[index].client.step(now, ClientInput::Timer, &mut outputs);
                self.serve(index, outputs, done)?;
            }
        }
        Ok(())
    }

    fn outstanding(&self) -> usize {
        self.customers.len() * self.in_flight - self.free.len()
    }

    /// One step: warms up, measures, and waits for the last answers.
    ///
    /// # Errors
    /// A node has ended, or answers with what it shouldn't.
    pub async fn run(&mut self, load: Load, warmup: Duration, measure: Duration, nodes: &mut Nodes) -> Result<Measured> {
        let mut latencies = Histogram::new_with_bounds(1, 120_000_000, 3).map_err(|error| fault(error.to_string()))?;
        let start = Instant::now();
        let (from, to) = (start + warmup, start + warmup + measure);
        let (mut begin, mut end) = (None, None);
        let (mut answered, mut offered) = (0, 0_u64);
        let (mut frames, mut done) = (Vec::new(), Vec::new());
        let (mut ticked, again_before) = (start, self.sent_again);
        let (submitted_before, signed_before) = (self.submitted, self.signed);
        let (mut begun, mut ended) = (start, start);
        // Of an open loop: how many were to be sent so far.
        let mut due_count = 0_u64;
        loop {
            let now = Instant::now();
            if begin.is_none() && now >= from {
                (begun, begin) = (now, Some(nodes.sample()?));
            }
            if end.is_none() && now >= to {
                end = Some(nodes.sample()?);
                ended = Instant::now();
            }
            if end.is_some() && (self.outstanding() == 0 && due_count <= offered || now > to + DRAIN) {
                break;
            }
            let mut next = now + TICK;
            match load {
                Load::Closed => while now < to && self.submit(Instant::now())? {},
                Load::Open { per_second } => {
                    let due = |count: u64| start + Duration::from_secs_f64(count as f64 / per_second);
                    while due(due_count) <= now && due(due_count) < to {
                        due_count += 1;
                    }
                    while offered < due_count && self.submit(due(offered))? {
                        offered += 1;
                    }
                    next = next.min(due(due_count));
                }
            }
            if now >= ticked + TICK {
                ticked = now;
                nodes.check()?;
                self.tick(&mut done)?;
            }
            self.send()?;
            if let Ok(0) = tokio::time::timeout_at(next.into(), self.inbox.recv_many(&mut frames, LOAD_MAX)).await {
                return Err(fault("no connections"));
            }
            self.take(&mut frames, &mut done)?;
            for Done { intended, at } in done.drain(..) {
                answered += u64::from(begin.is_some() && end.is_none());
                let counts = match load {
                    Load::Closed => begin.is_some() && end.is_none(),
                    // All that were to be sent in the time count, however late they are answered.
                    Load::Open { .. } => intended >= from && intended < to,
                };
                if counts {
                    latencies.saturating_record(u64::try_from((at - intended).as_micros()).unwrap_or(u64::MAX));
                }
            }
        }
        if let Load::Open { per_second } = load {
            // Those without an answer have waited too, at least until now: left out, they would make the rest look better than it was.
            let never = (offered..due_count).map(|count| start + Duration::from_secs_f64(count as f64 / per_second));
            let under_way = self.customers.iter().flat_map(|customer| customer.intended.values().copied());
            for intended in never.chain(under_way).filter(|intended| (from..to).contains(intended)) {
                latencies.saturating_record(u64::try_from(intended.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        }
        Ok(Measured {
            took: ended - begun,
            answered,
            unanswered: self.outstanding() as u64 + due_count.saturating_sub(offered),
            sent_again: self.sent_again - again_before,
            requests_per_signature: (self.submitted - submitted_before) as f64 / (self.signed - signed_before).max(1) as f64,
            latencies,
            begin: begin.unwrap_or_default(),
            end: end.unwrap_or_default(),
        })
    }
}
