//! Nodes that do nothing but order, execute, take checkpoints and let go.

use super::heap;
use super::support::disk::Disk;
use super::support::{builder, client_key, replica_key};
use logothete::sim::forge::Forge;
use logothete::{
    AppError, Bytes, Cluster, Decision, Limits, Node, PeerLink, Recipients, Record, ReplicaId, RequestNumber, Service, SigningKey,
    Snapshots, Start, Time, Tuning, Wal,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const CLIENTS: usize = 10;

/// A state that does not grow: how many operations there were, and what they came to.
#[derive(Default)]
struct Sum {
    count: u64,
    total: u64,
}

impl Service for Sum {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let add = |operation: &[u8]| {
            self.count += 1;
            self.total = operation.iter().fold(self.total, |total, byte| total.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            Bytes::from(&self.total.to_le_bytes()[..])
        };
        decision.requests().map(|request| request.operation()).map(add).collect()
    }
    fn snapshot(&self) -> Vec<u8> {
        [self.count, self.total].iter().flat_map(|number| number.to_le_bytes()).collect()
    }
    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), AppError> {
        Err("nobody falls behind here".into())
    }
}

/// A log that forgets when it may.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<BTreeMap<u64, Bytes>>>);

impl Wal for Log {
    type Error = Infallible;
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Self::Error>> {
        std::iter::empty()
    }
    fn append(&mut self, index: u64, record: &Record) -> Result<(), Self::Error> {
        self.0.borrow_mut().insert(index, record.to_bytes());
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
    fn truncate_before(&mut self, index: u64) -> Result<(), Self::Error> {
        let kept = self.0.borrow_mut().split_off(&index);
        self.0.replace(kept);
        Ok(())
    }
}

pub struct Steady {
    cluster: Arc<Cluster>,
    forge: Forge,
    nodes: Vec<Node<Log, Snapshots<Sum, Disk>, SigningKey>>,
    logs: Vec<Log>,
    disks: Vec<Disk>,
    keys: Vec<SigningKey>,
    now: Time,
    wire: VecDeque<(Option<usize>, usize, Bytes)>,
    began: isize,
    number: u64,
}

/// What there is of things at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// All of it: replicas, their logs and snapshots, and what drives them.
    pub heap: u64,
    /// The longest log, in bytes and in records.
    pub log: u64,
    pub records: u64,
    /// The most files of snapshots.
    pub files: u64,
}

impl Sizes {
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            heap: self.heap.max(other.heap),
            log: self.log.max(other.log),
            records: self.records.max(other.records),
            files: self.files.max(other.files),
        }
    }
}

impl Steady {
    pub fn new(replicas: usize) -> Self {
        let began = heap::held();
        let limits = Limits { client_window: 16, ..Limits::default() };
        let cluster = builder(replicas, CLIENTS).limits(limits).pipeline(2).checkpoint_interval(8).log_window(16).build();
        let cluster = Arc::new(cluster.expect("a valid cluster"));
        let (logs, disks): (Vec<Log>, Vec<Disk>) = vec![(); replicas].into_iter().map(|()| (Log::default(), Disk::default())).unzip();
        let tuning = Tuning { retention: 8, ..Tuning::from_timeout(Duration::from_millis(800)) };
        let nodes = (0..replicas).map(|index| {
            let app = Snapshots::new(Sum::default(), disks[index].clone());
            let id = ReplicaId::new(index as u32);
            Node::open(cluster.clone(), id, tuning.clone(), Start::New, logs[index].clone(), app, replica_key(index)).expect("opens")
        });
        Self {
            forge: Forge::new(cluster.clone()),
            nodes: nodes.collect(),
            logs,
            disks,
            keys: (0..CLIENTS).map(client_key).collect(),
            now: Time(1),
            wire: VecDeque::new(),
            began,
            number: 0,
            cluster,
        }
    }

    /// Each client asks for `each` operations, and everything that follows from it is done.
    pub fn round(&mut self, clients: usize, each: u64) {
        for number in self.number + 1..=self.number + each {
            for key in &self.keys[..clients] {
                let request = self.forge.request(key, RequestNumber::new(number), &number.to_le_bytes());
                let bytes = Bytes::from(self.forge.request_message(&request));
                (0..self.nodes.len()).for_each(|node| self.wire.push_back((None, node, bytes.clone())));
            }
        }
        self.number += each;
        self.now = self.now.after(Duration::from_millis(1));
        loop {
            while let Some((from, to, bytes)) = self.wire.pop_front() {
                let link = PeerLink(from.map_or(9, |from| from as u64));
                self.nodes[to].receive(link, &bytes).expect("well formed");
            }
            for index in 0..self.nodes.len() {
                for envelope in self.nodes[index].run(self.now).expect("runs") {
                    match envelope.to() {
                        Recipients::AllReplicas => {
                            let bytes = envelope.encode();
                            let others = (0..self.nodes.len()).filter(|to| *to != index);
                            self.wire.extend(others.map(|to| (Some(index), to, bytes.clone())));
                        }
                        Recipients::Replica(to) => self.wire.push_back((Some(index), to.get() as usize, envelope.encode())),
                        Recipients::Client(_) => {}
                    }
                }
                self.nodes[index].events();
            }
            if self.wire.is_empty() {
                return;
            }
        }
    }

    /// The least that any of them has executed, in operations and in batches.
    pub fn done(&self) -> (u64, u64) {
        let operations = self.nodes.iter().map(|node| node.application().service().count).min();
        let batches = self.nodes.iter().map(|node| node.status().executed.get()).min();
        (operations.unwrap_or_default(), batches.unwrap_or_default())
    }

    pub fn sizes(&self) -> Sizes {
        for node in &self.nodes {
            let status = node.status();
            assert_eq!((status.view.get(), status.wish.get(), status.pool_requests), (0, 0, 0), "nothing goes wrong here");
            assert!(status.stable.get() + self.cluster.log_window() >= status.decided.get());
            for (name, part) in status.usage.entries() {
                assert!(part.bytes <= part.limit, "{name}: {part}");
            }
        }
        let of = |log: &Log| log.0.borrow().values().map(|record| record.len() as u64).sum::<u64>();
        Sizes {
            heap: (heap::held() - self.began).try_into().unwrap_or_default(),
            log: self.logs.iter().map(of).max().unwrap_or_default(),
            records: self.logs.iter().map(|log| log.0.borrow().len() as u64).max().unwrap_or_default(),
            files: self.disks.iter().map(|disk| disk.with(|content| content.files.len() as u64)).max().unwrap_or_default(),
        }
    }
}
