//! A client's connections to all nodes, and its machine: operations in, answers out that f+1 nodes agree on.

use crate::config::Membership;
use crate::desk::LAST_REQUEST;
use crate::error::{Result, fault};
use crate::frames::{Frame, Kind};
use crate::handshake::Role;
use crate::link::{Call, Queue};
use crate::operation::{Answer, Operation};
use crate::pending::Pending;
use logothete::{
    Bytes, Client, ClientDisposition, ClientId, ClientInput, ClientOutput, ClientTuning, ExecutionReceipt, Outcome, Outgoing, PeerLink,
    Recipients, ReplicaId, RequestNumber, SigningKey, Time, Unverified, Verifier,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What comes from nodes and waits here, in frames.
const INBOX_FRAMES: usize = 4096;

/// An operation that was executed.
pub struct Done {
    pub number: u64,
    /// None if nobody has its result any more.
    pub answer: Option<Answer>,
    pub receipt: Option<ExecutionReceipt>,
}

type LastErrors = Arc<Mutex<BTreeMap<ReplicaId, String>>>;

pub struct Remote {
    membership: Arc<Membership>,
    key: SigningKey,
    client: Client,
    pub pending: Pending,
    routes: BTreeMap<ReplicaId, Arc<Queue>>,
    inbox: mpsc::Receiver<(ReplicaId, Frame)>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    started: Instant,
    outputs: Vec<ClientOutput>,
    errors: LastErrors,
    /// What nodes said lately of why they take no requests.
    notices: BTreeMap<ReplicaId, String>,
    retry_after: Duration,
    /// Reports of single nodes.
    replies: BTreeMap<ReplicaId, Bytes>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Remote {
    /// Connects to all nodes, as far as they are there, and sends again what was sent before and not answered.
    ///
    /// # Errors
    /// The key is not a client's.
    pub fn connect(membership: Arc<Membership>, key: SigningKey, pending: Pending) -> Result<Self> {
        let id = membership.client(&key.verifying_key()).ok_or_else(|| fault("this key is no client's in the cluster file"))?;
        let tuning = ClientTuning { first_number: RequestNumber::new(pending.first()), ..ClientTuning::default() };
        let client = Client::new(membership.cluster.clone(), id, tuning).map_err(|error| fault(error.to_string()))?;
        let (sender, inbox) = mpsc::channel(INBOX_FRAMES);
        let errors = LastErrors::default();
        let (mut routes, mut tasks) = (BTreeMap::new(), Vec::new());
        let limits = membership.cluster.limits();
        for (replica, address) in &membership.addresses {
            let Some(door) = membership.cluster.replica_key(*replica) else { continue };
            let queue = Queue::new(4 << 20);
            routes.insert(*replica, queue.clone());
            let call = Call {
                address: address.clone(),
                cluster: membership.cluster.id(),
                role: Role::Client,
                key: key.clone(),
                door,
                ping: Duration::from_secs(5),
                frame_bytes_max: limits.result_bytes_max as usize + 64 * 1024,
            };
            let (sender, replica, errors) = (sender.clone(), *replica, errors.clone());
            tasks.push(tokio::spawn(async move {
                // What doesn't fit is lost, as on any network, and asked for again.
                let on_frame = |frame| drop(sender.try_send((replica, frame)));
                let on_end = |error: &std::io::Error| {
                    errors.lock().unwrap_or_else(PoisonError::into_inner).insert(replica, error.to_string());
                };
                call.keep(&queue, on_frame, on_end).await;
            }));
        }
        let mut remote = Self {
            membership,
            key,
            client,
            pending,
            routes,
            inbox,
            tasks,
            started: Instant::now(),
            outputs: Vec::new(),
            errors,
            notices: BTreeMap::new(),
            retry_after: Duration::from_secs(1),
            replies: BTreeMap::new(),
        };
        let again: Vec<Vec<u8>> = remote.pending.operations().map(<[u8]>::to_vec).collect();
        for operation in again {
            remote.give(&operation)?;
        }
        Ok(remote)
    }

    pub fn id(&self) -> ClientId {
        self.client.id()
    }

    fn now(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    /// How many operations are under way.
    pub fn outstanding(&self) -> usize {
        self.client.outstanding()
    }

    /// How many more may be submitted now.
    pub fn room(&self) -> usize {
        let span = self.client.next_number().get() - self.client.resume_number().get();
        (self.membership.cluster.limits().client_window as usize).saturating_sub(usize::try_from(span).unwrap_or(usize::MAX))
    }

    fn give(&mut self, operation: &[u8]) -> Result<u64> {
        let now = self.now();
        match self.client.step(now, ClientInput::Submit(Bytes::from(operation)), &mut self.outputs) {
            ClientDisposition::Submitted(number) => Ok(number.get()),
            ClientDisposition::Refused { reason, .. } => Err(fault(reason.to_string())),
            _ => Err(fault("the operation was not taken")),
        }
    }

    /// Stores operations, and a mark of the caller's with them, and sends them. Gives the first one's number.
    ///
    /// # Errors
    /// The disk's, or there is no room for them.
    pub fn submit(&mut self, operations: &[Operation], mark: Option<(&str, u64)>) -> Result<u64> {
        let encoded: Vec<Vec<u8>> = operations.iter().map(Operation::encode).collect();
        let max = self.membership.cluster.limits().operation_bytes_max as usize;
        if let Some(long) = encoded.iter().find(|operation| operation.len() > max) {
            return Err(fault(format!("an operation of {} bytes is longer than the cluster's {max}", long.len())));
        }
        if encoded.len() > self.room() {
            return Err(fault("too many operations at once"));
        }
        self.pending.add(&encoded, mark)?;
        let first = self.client.next_number().get();
        encoded.iter().try_for_each(|operation| self.give(operation).map(drop))?;
        Ok(first)
    }

    fn serve_outputs(&mut self) -> Result<Option<Done>> {
        let mut done = None;
        self.send_requests()?;
        let mut outputs = std::mem::take(&mut self.outputs).into_iter();
        for output in outputs.by_ref() {
            match output {
                ClientOutput::Completed(completion) => {
                    let number = completion.number.get();
                    self.pending.complete(number);
                    let (answer, receipt) = match completion.outcome {
                        Outcome::Result { result, receipt } => (Answer::decode(&result), receipt),
                        Outcome::ResultLost { .. } => (None, None),
                    };
                    done = Some(Done { number, answer, receipt });
                    break;
                }
                ClientOutput::Event(event) => tracing::debug!("{event:?}"),
                _ => {}
            }
        }
        self.outputs.extend(outputs);
        Ok(done)
    }

    /// What is asked for at once is signed at once.
    fn send_requests(&mut self) -> Result<()> {
        let mut sends = Vec::new();
        for output in std::mem::take(&mut self.outputs) {
            match output {
                ClientOutput::Send(outgoing) => sends.push(outgoing),
                other => self.outputs.push(other),
            }
        }
        for outgoing in Outgoing::join(sends) {
            for envelope in outgoing.sign(&self.key).map_err(|error| fault(error.to_string()))? {
                self.send(envelope.to(), &Frame { kind: Kind::Message, body: envelope.encode() });
            }
        }
        Ok(())
    }

    fn send(&self, to: Recipients, frame: &Frame) {
        let to_all = match to {
            // Where the primary isn't connected, all are asked at once rather than after a timeout.
            Recipients::Replica(replica) => match self.routes.get(&replica) {
                Some(queue) if queue.is_connected() => {
                    queue.push(frame.clone());
                    false
                }
                _ => true,
            },
            _ => true,
        };
        if to_all {
            self.routes.values().for_each(|queue| {
                queue.push(frame.clone());
            });
        }
    }

    /// Waits until an operation is executed, but not beyond `deadline`.
    ///
    /// # Errors
    /// The key can't sign.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Done>> {
        loop {
            if let Some(done) = self.serve_outputs()? {
                return Ok(Some(done));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let due = self.client.deadline().map_or(deadline, |due| deadline.min(self.started + due.since(Time::default())));
            match tokio::time::timeout_at(due.into(), self.inbox.recv()).await {
                Ok(Some((from, frame))) => self.on_frame(from, frame),
                Ok(None) => return Err(fault("no connections")),
                Err(_) => {
                    let now = self.now();
                    let _ = self.client.step(now, ClientInput::Timer, &mut self.outputs);
                }
            }
        }
    }

    fn on_frame(&mut self, from: ReplicaId, frame: Frame) {
        match frame.kind {
            Kind::Message => {
                let limits = self.membership.cluster.limits();
                let Ok(message) = Unverified::decode(PeerLink(u64::from(from.get())), &frame.body, limits) else { return };
                if let Ok(verified) = Verifier::new(self.membership.cluster.clone()).verify(message) {
                    let now = self.now();
                    let _ = self.client.step(now, ClientInput::Message(verified), &mut self.outputs);
                    self.notices.remove(&from);
                }
            }
            Kind::Notice => {
                if let Some((millis, why)) = frame.body.split_first_chunk::<4>() {
                    self.retry_after = Duration::from_millis(u64::from(u32::from_le_bytes(*millis))).min(Duration::from_secs(60));
                    self.notices
                        .insert(from, String::from_utf8_lossy(why).chars().filter(|letter| !letter.is_control()).take(200).collect());
                }
            }
            Kind::Reply => {
                self.replies.insert(from, frame.body);
            }
            _ => {}
        }
    }

    /// Waits until some nodes are connected.
    pub async fn wait_for(&self, nodes: usize, deadline: Instant) -> bool {
        while self.routes.values().filter(|queue| queue.is_connected()).count() < nodes {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Executes one operation, and first what was pending.
    ///
    /// # Errors
    /// It was not executed in time, as far as is known; says why, and what becomes of it.
    pub async fn execute(&mut self, operation: &Operation, patience: Duration) -> Result<Done> {
        let deadline = Instant::now() + patience;
        // Or the first request goes to whom it happens to reach.
        self.wait_for(self.membership.cluster.quorum() as usize, Instant::now() + Duration::from_secs(1).min(patience)).await;
        if let Some(why) = operation.objection() {
            return Err(fault(why));
        }
        while self.room() == 0 {
            if self.next(deadline).await?.is_none() {
                return Err(self.why_not(patience).await);
            }
        }
        let number = self.submit(std::slice::from_ref(operation), None)?;
        loop {
            match self.next(deadline).await? {
                Some(done) if done.number == number => {
                    self.pending.flush()?;
                    return Ok(done);
                }
                Some(done) => tracing::info!("request {}, which was pending from before, is executed", done.number),
                None => return Err(self.why_not(patience).await),
            }
        }
    }

    /// Why nothing was answered in time.
    pub async fn why_not(&mut self, patience: Duration) -> crate::error::Fault {
        let executed = self.last_number(Duration::from_millis(500)).await;
        let cluster = &self.membership.cluster;
        let reached: Vec<_> = self.routes.iter().filter(|(_, queue)| queue.is_connected()).map(|(replica, _)| *replica).collect();
        let mut text = format!(
            "not confirmed within {patience:?}: this client reaches {} of {} nodes, and {} of them must agree to order anything",
            reached.len(),
            cluster.size(),
            cluster.quorum()
        );
        for (replica, notice) in &self.notices {
            text.push_str(&format!("\n  node {replica} says: {notice}"));
        }
        for (replica, error) in &*self.errors.lock().unwrap_or_else(PoisonError::into_inner) {
            if !reached.contains(replica) {
                let address = self.membership.addresses.get(replica).map_or("", |address| address);
                text.push_str(&format!("\n  node {replica} at {address}: {error}"));
            }
        }
        text.push_str(&format!(
            "\nretry in {:?}: the next command of this client sends it again under the same number, so that it is executed at most once (`kv resume` does only that)",
            self.retry_after
        ));
        let first = self.pending.first();
        if executed.is_some_and(|executed| executed >= first) {
            text.push_str(&format!(
                "\nbut a request {first} of this key is executed already. If it was another one – of `kv bench`, of a copy of this key, of another state file – its number is used up: \
                 `kv recover` goes on behind it"
            ));
        }
        fault(text)
    }

    /// The number of this client's last executed request, as far as a quorum answers: the highest that a node which doesn't lie stands behind.
    pub async fn last_number(&mut self, patience: Duration) -> Option<u64> {
        let (quorum, faulty) = (self.membership.cluster.quorum() as usize, self.membership.cluster.fault_threshold() as usize);
        let replies = self.ask(None, vec![LAST_REQUEST], patience).await.ok()?;
        let mut numbers: Vec<u64> = replies.values().filter_map(|reply| Some(u64::from_le_bytes(reply[..].try_into().ok()?))).collect();
        numbers.sort_unstable_by(|left, right| right.cmp(left));
        numbers.get(faulty).copied().filter(|_| numbers.len() >= quorum)
    }

    /// Asks single nodes, by their own word.
    ///
    /// # Errors
    /// None of its own; nodes that don't answer in time are left out.
    pub async fn ask(&mut self, whom: Option<ReplicaId>, question: Vec<u8>, patience: Duration) -> Result<BTreeMap<ReplicaId, Bytes>> {
        let deadline = Instant::now() + patience;
        let whom: Vec<ReplicaId> = self.routes.keys().copied().filter(|replica| whom.is_none_or(|only| only == *replica)).collect();
        self.replies.clear();
        let mut asked = Vec::new();
        while self.replies.len() < whom.len() && Instant::now() < deadline {
            for replica in whom.iter().filter(|replica| !asked.contains(*replica)).copied().collect::<Vec<_>>() {
                if self
                    .routes
                    .get(&replica)
                    .is_some_and(|queue| queue.is_connected() && queue.push(Frame::new(Kind::Query, question.clone())))
                {
                    asked.push(replica);
                }
            }
            let pause = (Instant::now() + Duration::from_millis(20)).min(deadline);
            if let Ok(Some((from, frame))) = tokio::time::timeout_at(pause.into(), self.inbox.recv()).await {
                self.on_frame(from, frame);
            }
        }
        Ok(std::mem::take(&mut self.replies))
    }
}
