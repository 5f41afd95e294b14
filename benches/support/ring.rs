//! A whole cluster in one thread, in memory, without a network that loses anything: what is measured is the library's own work.

use crate::support::{Scheme, client_key, replica_key};
use logothete::sim::KeyedHash;
use logothete::sim::forge::Forge;
use logothete::{
    AppCommand, AppState, Bytes, Cluster, ClusterBuilder, Input, MessageKind, Outbox, PeerLink, Recipients, Record, Replica, ReplicaId,
    Request, RequestNumber, Signature, Signer, Start, Time, Tuning, Unverified, Verifier, Wal, persist,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Gathers what a disk would be given, and keeps nothing of it.
#[derive(Debug, Default)]
pub struct Memory {
    buffer: Vec<u8>,
    pub bytes: u64,
    pub records: u64,
    pub syncs: u64,
}

impl Wal for Memory {
    type Error = Infallible;
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Infallible>> {
        std::iter::empty()
    }
    fn append(&mut self, _index: u64, record: &Record) -> Result<(), Infallible> {
        self.records += 1;
        record.write_to(|part| {
            self.buffer.extend_from_slice(part);
            self.bytes += part.len() as u64;
            Ok(())
        })
    }
    fn sync(&mut self) -> Result<(), Infallible> {
        self.syncs += 1;
        self.buffer.clear();
        Ok(())
    }
    fn truncate_before(&mut self, _index: u64) -> Result<(), Infallible> {
        Ok(())
    }
}

pub struct Member {
    pub replica: Replica,
    outbox: Outbox,
    signer: Box<dyn Signer<Signature>>,
    pub wal: Memory,
    inbox: Vec<(u64, Bytes)>,
    pub executed: u64,
    pub verified: u64,
    pub replies: u64,
}

pub struct Ring {
    pub cluster: Arc<Cluster>,
    pub forge: Forge,
    pub members: Vec<Member>,
    pub verifier: Verifier,
    pub now: Time,
    numbers: Vec<u64>,
    pub messages: u64,
    pub message_bytes: u64,
    pub signs: u64,
    /// Hears nothing and says nothing from now on.
    pub silent: Option<usize>,
    /// The service takes no checkpoint: the window fills.
    pub no_checkpoints: bool,
    /// Of each kind of message: how many envelopes, their bytes, the longest.
    pub by_kind: BTreeMap<MessageKind, (u64, u64, usize)>,
    /// What was verified together, if it is kept.
    pub loads: Option<Vec<Vec<Unverified>>>,
}

impl Ring {
    pub fn new(builder: ClusterBuilder, scheme: Scheme, clients: usize) -> Self {
        let cluster = Arc::new(builder.build().expect("a valid cluster"));
        let mut ring = Self {
            forge: Forge::new(cluster.clone()),
            verifier: Verifier::new(cluster.clone()),
            members: Vec::new(),
            now: Time(0),
            numbers: vec![0; clients],
            messages: 0,
            message_bytes: 0,
            signs: 0,
            silent: None,
            no_checkpoints: false,
            by_kind: BTreeMap::new(),
            loads: None,
            cluster: cluster.clone(),
        };
        for index in 0..cluster.size() as usize {
            let mut outbox = Outbox::new();
            let id = ReplicaId::new(index as u32);
            let replica = Replica::recover(
                cluster.clone(),
                id,
                Tuning::from_timeout(Duration::from_secs(3600)),
                Start::New,
                AppState::default(),
                Vec::new(),
                &mut outbox,
            )
            .expect("a new replica");
            let signer: Box<dyn Signer<Signature>> = match scheme {
                Scheme::Ed25519 => Box::new(replica_key(index)),
                Scheme::Hash => Box::new(KeyedHash::new(replica_key(index).verifying_key())),
            };
            let (wal, inbox) = (Memory::default(), Vec::new());
            ring.members.push(Member { replica, outbox, signer, wal, inbox, executed: 0, verified: 0, replies: 0 });
        }
        ring.settle();
        ring
    }

    /// The next request of a client, signed.
    pub fn request(&mut self, client: usize, operation: &[u8]) -> Bytes {
        self.requests(client, &[operation]).remove(0)
    }

    /// The next requests of a client, under one signature. (SPEC S3)
    pub fn requests(&mut self, client: usize, operations: &[&[u8]]) -> Vec<Bytes> {
        let first = RequestNumber::new(self.numbers[client] + 1);
        self.numbers[client] += operations.len() as u64;
        let requests: Vec<Request> = self.forge.run(&client_key(client), first, operations);
        requests.iter().map(|request| Bytes::from(self.forge.request_message(request))).collect()
    }

    pub fn post(&mut self, to: usize, bytes: Bytes) {
        self.members[to].inbox.push((u64::MAX, bytes));
    }

    /// Delivers until nobody has anything left to say. What `benches/instructions` counts is what happens in here.
    #[inline(never)]
    pub fn settle(&mut self) {
        while self.round() {}
    }

    /// Each member takes what lies in its inbox, as one load.
    pub fn round(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.members.len() {
            moved |= self.turn(index);
        }
        moved
    }

    fn turn(&mut self, index: usize) -> bool {
        let inbox = std::mem::take(&mut self.members[index].inbox);
        if self.silent == Some(index) {
            return false;
        }
        let mut moved = !inbox.is_empty();
        let limits = self.cluster.limits();
        let mut waiting: Vec<Unverified> =
            inbox.iter().map(|(link, bytes)| Unverified::decode_shared(PeerLink(*link), bytes, limits).expect("a message")).collect();
        let member = &mut self.members[index];
        while !waiting.is_empty() {
            let triage = member.replica.screen().triage(waiting);
            waiting = if triage.needed.is_empty() { Vec::new() } else { triage.spare };
            self.loads.iter_mut().for_each(|loads| loads.push(triage.needed.clone()));
            for verdict in self.verifier.verify_all(triage.needed) {
                member.verified += 1;
                member.replica.step(self.now, Input::Message(verdict.expect("valid")), &mut member.outbox);
            }
        }
        if member.replica.deadline().is_some_and(|due| due <= self.now) {
            member.replica.step(self.now, Input::Timer, &mut member.outbox);
        }
        while !self.members[index].outbox.is_empty() {
            moved = true;
            self.serve(index);
        }
        moved
    }

    fn serve(&mut self, index: usize) {
        let member = &mut self.members[index];
        let writes = member.outbox.writes();
        let released = persist(&mut member.wal, writes).expect("kept");
        let mut envelopes = Vec::new();
        if !released.is_empty() {
            self.signs += released.payloads().count() as u64;
            let (promises, receipt) = released.sign(&*member.signer).expect("signed");
            envelopes.extend(promises);
            member.replica.step(self.now, Input::Persisted(receipt), &mut member.outbox);
        }
        for outgoing in member.outbox.sends() {
            self.signs += u64::from(outgoing.signing_payload().is_some());
            envelopes.extend(outgoing.sign(&*member.signer).expect("signed"));
        }
        for command in member.outbox.app() {
            let answer = match command {
                AppCommand::Execute(decision) => {
                    let results: Vec<Bytes> = decision.requests().map(|_| Bytes::from(&b"ok"[..])).collect();
                    member.executed += results.len() as u64;
                    Input::Executed { sequence_number: decision.sequence_number(), results }
                }
                // The service has no state of its own.
                AppCommand::TakeCheckpoint(order) if !self.no_checkpoints => Input::CheckpointTaken(order.manifest([])),
                _ => continue,
            };
            member.replica.step(self.now, answer, &mut member.outbox);
        }
        member.outbox.events();
        for envelope in envelopes {
            match envelope.to() {
                Recipients::AllReplicas => {
                    let bytes = envelope.encode();
                    self.count(envelope.kind(), bytes.len());
                    for other in (0..self.members.len()).filter(|other| *other != index) {
                        self.messages += 1;
                        self.message_bytes += bytes.len() as u64;
                        self.members[other].inbox.push((index as u64, bytes.clone()));
                    }
                }
                Recipients::Replica(other) => {
                    let bytes = envelope.encode();
                    self.count(envelope.kind(), bytes.len());
                    self.messages += 1;
                    self.message_bytes += bytes.len() as u64;
                    self.members[other.get() as usize].inbox.push((index as u64, bytes));
                }
                Recipients::Client(_) => {
                    let _ = envelope.encode();
                    self.members[index].replies += 1;
                }
            }
        }
    }

    fn count(&mut self, kind: MessageKind, length: usize) {
        let (count, bytes, longest) = self.by_kind.entry(kind).or_default();
        *count += 1;
        *bytes += length as u64;
        *longest = length.max(*longest);
    }
}
