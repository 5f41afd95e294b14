//! The simple face, end to end: clients' operations in, receipts out; and hosts whose log or signer fails.

mod support;

use logothete::sim::forge::{Forge, Kept};
use logothete::{
    AppError, Bytes, Client, ClientId, ClientInput, ClientOutput, ClientTuning, Cluster, Completion, Decision, Envelope, Node, NodeError,
    PeerLink, Recipients, RecoverError, ReplicaId, Service, Signature, Signer, SigningKey, Snapshots, Start, Time, Tuning, Unverified,
    Verifier, Wal,
};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use support::disk::Disk;
use support::{builder, client_key, replica_key};

#[derive(Default)]
struct Memory {
    records: Vec<(u64, Bytes)>,
    synced: usize,
    broken: Rc<Cell<bool>>,
}

impl Wal for Memory {
    type Error = &'static str;
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Self::Error>> {
        self.records.clone().into_iter().map(Ok)
    }
    fn append(&mut self, index: u64, record: &[u8]) -> Result<(), Self::Error> {
        self.records.push((index, Bytes::from(record)));
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        if self.broken.get() {
            return Err("disk full");
        }
        self.synced = self.records.len();
        Ok(())
    }
    fn truncate_before(&mut self, _index: u64) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Appends operations; the result is how many there are now.
#[derive(Default)]
struct Ledger(Vec<Vec<u8>>);

impl Service for Ledger {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        decision
            .requests()
            .map(|request| {
                self.0.push(request.operation().to_vec());
                Bytes::from(format!("order {}", self.0.len()).into_bytes())
            })
            .collect()
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.iter().flat_map(|operation| [&(operation.len() as u64).to_le_bytes()[..], operation].concat()).collect()
    }
    fn restore(&mut self, mut snapshot: &[u8]) -> Result<(), AppError> {
        self.0.clear();
        while let Some((length, rest)) = snapshot.split_first_chunk::<8>() {
            let (operation, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            self.0.push(operation.to_vec());
            snapshot = rest;
        }
        Ok(())
    }
}

struct Pen {
    key: SigningKey,
    broken: Rc<Cell<bool>>,
}

impl Signer<Signature> for Pen {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, ed25519_dalek::SignatureError> {
        if self.broken.get() { Err(ed25519_dalek::SignatureError::new()) } else { self.key.try_sign(message) }
    }
}

struct World {
    cluster: Arc<Cluster>,
    nodes: Vec<Node<Memory, Snapshots<Ledger, Disk>, Pen>>,
    disks: Vec<Rc<Cell<bool>>>,
    pens: Vec<Rc<Cell<bool>>>,
    client: Client,
    now: Time,
    wire: VecDeque<(Recipients, usize, Bytes)>,
    completions: Vec<Completion>,
    failures: Vec<String>,
}

impl World {
    fn new(n: usize) -> Self {
        let cluster = Arc::new(builder(n, 1).build().expect("a valid cluster"));
        let now = Time(1);
        let disks: Vec<Rc<Cell<bool>>> = (0..n).map(|_| Rc::default()).collect();
        let pens: Vec<Rc<Cell<bool>>> = (0..n).map(|_| Rc::default()).collect();
        let nodes = (0..n)
            .map(|index| {
                let wal = Memory { broken: disks[index].clone(), ..Memory::default() };
                let pen = Pen { key: replica_key(index), broken: pens[index].clone() };
                let id = ReplicaId::new(index as u32);
                let tuning = Tuning::from_timeout(Duration::from_millis(800));
                Node::open(cluster.clone(), id, tuning, Start::New, wal, Snapshots::new(Ledger::default(), Disk::default()), pen)
                    .expect("opens")
            })
            .collect();
        let id = ClientId::new(client_key(0).verifying_key().to_bytes());
        let client = Client::new(cluster.clone(), id, ClientTuning::default()).expect("enrolled");
        Self { cluster, nodes, disks, pens, client, now, wire: VecDeque::new(), completions: Vec::new(), failures: Vec::new() }
    }

    fn client_step(&mut self, input: ClientInput) {
        let mut out = Vec::new();
        let _ = self.client.step(self.now, input, &mut out);
        for output in out {
            match output {
                ClientOutput::Send(outgoing) => {
                    for envelope in outgoing.sign(&client_key(0)).expect("signed") {
                        self.wire.push_back((envelope.to(), usize::MAX, envelope.encode()));
                    }
                }
                ClientOutput::Completed(completion) => self.completions.push(completion),
                _ => {}
            }
        }
    }

    fn post(&mut self, from: usize, envelopes: Vec<Envelope>) {
        self.wire.extend(envelopes.into_iter().map(|envelope| (envelope.to(), from, envelope.encode())));
    }

    /// Lets everything that is on the wire arrive, and all that follows from it.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let load: Vec<_> = self.wire.drain(..).collect();
            for (to, from, bytes) in load {
                match to {
                    Recipients::AllReplicas => {
                        for index in (0..self.nodes.len()).filter(|index| *index != from) {
                            self.nodes[index].receive(PeerLink(from as u64), &bytes).expect("well formed");
                        }
                    }
                    Recipients::Replica(replica) => {
                        self.nodes[replica.get() as usize].receive(PeerLink(from as u64), &bytes).expect("well formed");
                    }
                    Recipients::Client(_) => {
                        let unverified = Unverified::decode(PeerLink(0), &bytes, self.cluster.limits()).expect("well formed");
                        let verified = Verifier::new(self.cluster.clone()).verify(unverified).expect("verifies");
                        self.client_step(ClientInput::Message(verified));
                    }
                }
            }
            for index in 0..self.nodes.len() {
                match self.nodes[index].run(self.now) {
                    Ok(envelopes) => self.post(index, envelopes),
                    Err(error) => self.failures.push(error.to_string()),
                }
            }
            if self.wire.is_empty() {
                return;
            }
        }
        panic!("it never ends");
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.now < until {
            self.now = self.now.after(Duration::from_millis(20));
            self.client_step(ClientInput::Timer);
            self.settle();
        }
    }
}

#[test]
fn s2_receipts_convince_a_third_party_with_the_clusters_keys_alone() {
    for n in [1, 4, 7] {
        let mut world = World::new(n);
        for order in 0..10_u32 {
            world.client_step(ClientInput::Submit(Bytes::from(order.to_le_bytes().to_vec())));
        }
        world.settle();
        assert_eq!(world.completions.len(), 10, "n = {n}");
        // Somebody else, with a configuration of their own making.
        let elsewhere = builder(n, 1).build().expect("a valid cluster");
        for completion in &world.completions {
            let receipt = completion.outcome.receipt().expect("a receipt");
            receipt.verify(&elsewhere).expect("verifies");
            assert!(receipt.operation_matches(&(completion.number.get() as u32 - 1).to_le_bytes()));
            assert!(completion.outcome.result().is_some_and(|result| **result == *format!("order {}", completion.number).as_bytes()));
        }
        let other = builder(n + 1, 1).build().expect("a valid cluster");
        assert!(world.completions[0].outcome.receipt().expect("a receipt").verify(&other).is_err());
    }
}

#[test]
fn spec_3_6_only_a_quorum_of_votes_is_verified() {
    let mut world = World::new(10);
    for order in 0..5_u32 {
        world.client_step(ClientInput::Submit(Bytes::from(order.to_le_bytes().to_vec())));
    }
    world.settle();
    let decided = world.nodes[1].status().decided.get();
    assert!(decided > 0);
    for node in &world.nodes[1..] {
        // f = 3, q = 7. Of each vote's nine, at most q are verified, the own one being one of them; and the proposal.
        let counters = node.counters();
        assert!(counters.verified <= decided * 14, "{counters:?} for {decided} decisions");
        assert!(counters.screened >= decided * 2, "{counters:?} for {decided} decisions");
        assert_eq!(counters.refused, 0);
    }
}

#[test]
fn d1_a_failing_log_silences_its_node_and_nobody_else() {
    let mut world = World::new(4);
    world.disks[3].set(true);
    world.client_step(ClientInput::Submit(Bytes::from(b"order".to_vec())));
    world.settle();
    assert_eq!(world.completions.len(), 1);
    assert!(matches!(world.nodes[3].run(world.now), Err(NodeError::Stopped)));
    assert_eq!(world.nodes[3].wal().synced, 0);
    assert!(world.failures.iter().any(|failure| failure.contains("disk full")), "{:?}", world.failures);
}

#[test]
fn d1_a_failing_signer_loses_nothing() {
    let mut world = World::new(4);
    world.settle();
    for pen in &world.pens[1..3] {
        pen.set(true);
    }
    world.client_step(ClientInput::Submit(Bytes::from(b"order".to_vec())));
    world.settle();
    assert_eq!(world.completions.len(), 0, "two of four can't sign");
    assert!(world.failures.iter().any(|failure| failure.contains("run again")), "{:?}", world.failures);
    for pen in &world.pens {
        pen.set(false);
    }
    world.settle();
    world.pass(Duration::from_millis(300));
    assert_eq!(world.completions.len(), 1);
    assert!(world.nodes.iter().all(|node| node.status().view.get() == 0), "without a view change");
}

#[test]
fn d2_what_is_said_of_a_start_must_fit_the_log() {
    let cluster = Arc::new(builder(4, 1).build().expect("a valid cluster"));
    let open = |start, records: Vec<(u64, Bytes)>, id| {
        let wal = Memory { records, ..Memory::default() };
        let pen = Pen { key: replica_key(0), broken: Rc::default() };
        let app = Snapshots::new(Ledger::default(), Disk::default());
        Node::open(cluster.clone(), ReplicaId::new(id), Tuning::default(), start, wal, app, pen).err()
    };
    assert!(open(Start::New, Vec::new(), 0).is_none());
    let refused = |error: Option<NodeError<&'static str>>| match error {
        Some(NodeError::Recover(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(open(Start::Recovering, Vec::new(), 0)), RecoverError::EmptyLog);
    assert!(open(Start::Rejoining { nonce: [1; 32] }, Vec::new(), 0).is_none());
    // The beginning of a record was never synced: this replica is as new as one without.
    assert!(open(Start::New, vec![(0, Bytes::default())], 0).is_none());
    assert_eq!(refused(open(Start::Recovering, vec![(0, Bytes::default())], 0)), RecoverError::EmptyLog);
    let started = Forge::new(cluster.clone()).record(ReplicaId::new(0), 0, &Kept::Started).expect("a record");
    for start in [Start::New, Start::Rejoining { nonce: [1; 32] }] {
        let records = vec![(0, Bytes::from(started.as_bytes()))];
        assert_eq!(refused(open(start, records, 0)), RecoverError::NotEmpty { index: 0 });
    }
    assert_eq!(refused(open(Start::New, Vec::new(), 4)), RecoverError::UnknownReplica(ReplicaId::new(4)));
}
