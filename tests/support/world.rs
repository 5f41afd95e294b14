//! Whole nodes with disks that fail on purpose, a client, and no network worth the name.

use super::disk::Disk;
use super::{builder, client_key, replica_key};
use logothete::{
    AppError, Bytes, Client, ClientId, ClientInput, ClientOutput, ClientTuning, Cluster, Completion, Decision, Envelope, Node, NodeError,
    PeerLink, Recipients, Record, ReplicaId, Service, Signature, Signer, SigningKey, Snapshots, Start, Time, Tuning, Unverified, Verifier,
    Wal,
};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a disk refuses to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    #[default]
    None,
    Read,
    Append,
    Sync,
    Truncate,
}

/// A log whose records are on the disk when they are synced, and not before.
#[derive(Default)]
pub struct DiskLog {
    pub disk: Disk,
    pending: Vec<(u64, Bytes)>,
    trouble: Rc<Cell<Trouble>>,
}

impl DiskLog {
    pub fn new(disk: Disk, trouble: Rc<Cell<Trouble>>) -> Self {
        Self { disk, pending: Vec::new(), trouble }
    }

    fn unless(&self, trouble: Trouble, words: &'static str) -> Result<(), &'static str> {
        if self.trouble.get() == trouble { Err(words) } else { Ok(()) }
    }
}

impl Wal for DiskLog {
    type Error = &'static str;
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Self::Error>> {
        let failed = self.unless(Trouble::Read, "unreadable").err();
        self.disk.log().into_iter().map(Ok).chain(failed.map(Err))
    }
    fn append(&mut self, index: u64, record: &Record) -> Result<(), Self::Error> {
        self.unless(Trouble::Append, "disk full")?;
        self.pending.push((index, record.to_bytes()));
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        self.unless(Trouble::Sync, "disk full")?;
        self.pending.drain(..).for_each(|(index, record)| self.disk.append(index, record));
        Ok(())
    }
    fn truncate_before(&mut self, index: u64) -> Result<(), Self::Error> {
        self.unless(Trouble::Truncate, "can't be shortened")?;
        self.disk.truncate_before(index);
        Ok(())
    }
}

/// Appends operations; the result is how many there are now.
#[derive(Default)]
pub struct Ledger(pub Vec<Vec<u8>>);

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

pub struct Pen {
    pub key: SigningKey,
    pub broken: Rc<Cell<bool>>,
}

impl Signer<Signature> for Pen {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, ed25519_dalek::SignatureError> {
        if self.broken.get() { Err(ed25519_dalek::SignatureError::new()) } else { self.key.try_sign(message) }
    }
}

pub type TestNode = Node<DiskLog, Snapshots<Ledger, Disk>, Pen>;

pub struct World {
    pub cluster: Arc<Cluster>,
    /// None while its process does not run.
    pub nodes: Vec<Option<TestNode>>,
    pub disks: Vec<Disk>,
    pub troubles: Vec<Rc<Cell<Trouble>>>,
    pub pens: Vec<Rc<Cell<bool>>>,
    pub client: Client,
    pub now: Time,
    wire: VecDeque<(Recipients, usize, Bytes)>,
    pub completions: Vec<Completion>,
    pub failures: Vec<String>,
}

impl World {
    pub fn new(n: usize) -> Self {
        Self::with(builder(n, 1).build().expect("a valid cluster"))
    }

    pub fn with(cluster: Cluster) -> Self {
        let n = cluster.size() as usize;
        let cluster = Arc::new(cluster);
        let id = ClientId::new(client_key(0).verifying_key().to_bytes());
        let client = Client::new(cluster.clone(), id, ClientTuning::default()).expect("enrolled");
        let mut world = Self {
            cluster,
            nodes: (0..n).map(|_| None).collect(),
            disks: (0..n).map(|_| Disk::default()).collect(),
            troubles: (0..n).map(|_| Rc::default()).collect(),
            pens: (0..n).map(|_| Rc::default()).collect(),
            client,
            now: Time(1),
            wire: VecDeque::new(),
            completions: Vec::new(),
            failures: Vec::new(),
        };
        (0..n).for_each(|index| world.start(index, Start::New).expect("opens"));
        world
    }

    /// Starts a replica's process on what its disk holds.
    pub fn start(&mut self, index: usize, start: Start) -> Result<(), NodeError<&'static str>> {
        let log = DiskLog::new(self.disks[index].clone(), self.troubles[index].clone());
        let pen = Pen { key: replica_key(index), broken: self.pens[index].clone() };
        let app = Snapshots::new(Ledger::default(), self.disks[index].clone());
        let tuning = Tuning::from_timeout(Duration::from_millis(800));
        let node = Node::open(self.cluster.clone(), ReplicaId::new(index as u32), tuning, start, log, app, pen)?;
        self.nodes[index] = Some(node);
        Ok(())
    }

    /// Its process ends, however it likes.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index] = None;
    }

    pub fn node(&self, index: usize) -> &TestNode {
        self.nodes[index].as_ref().expect("a running node")
    }

    pub fn running(&self) -> impl Iterator<Item = &TestNode> {
        self.nodes.iter().flatten()
    }

    /// The client's next order.
    pub fn order(&mut self, order: u32) {
        self.client_step(ClientInput::Submit(Bytes::from(order.to_le_bytes().to_vec())));
        self.settle();
    }

    pub fn client_step(&mut self, input: ClientInput) {
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
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let load: Vec<_> = self.wire.drain(..).collect();
            for (to, from, bytes) in load {
                match to {
                    Recipients::AllReplicas => {
                        for (_, node) in self.nodes.iter_mut().enumerate().filter(|(index, _)| *index != from) {
                            node.iter_mut().for_each(|node| node.receive(PeerLink(from as u64), &bytes).expect("well formed"));
                        }
                    }
                    Recipients::Replica(replica) => {
                        let node = &mut self.nodes[replica.get() as usize];
                        node.iter_mut().for_each(|node| node.receive(PeerLink(from as u64), &bytes).expect("well formed"));
                    }
                    Recipients::Client(_) => {
                        let unverified = Unverified::decode(PeerLink(0), &bytes, self.cluster.limits()).expect("well formed");
                        let verified = Verifier::new(self.cluster.clone()).verify(unverified).expect("verifies");
                        self.client_step(ClientInput::Message(verified));
                    }
                }
            }
            for index in 0..self.nodes.len() {
                let Some(node) = &mut self.nodes[index] else { continue };
                match node.run(self.now) {
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

    pub fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.now < until {
            self.now = self.now.after(Duration::from_millis(20));
            self.client_step(ClientInput::Timer);
            self.settle();
        }
    }
}
