//! The replica under attack, R1 of four, and what R2 and R3, who are correct, have it hear: decisions, checkpoints, view changes.

use super::formula::Formula;
use super::heap;
use super::support::prng::Prng;
use super::support::solo::{Solo, at, view};
use super::support::{builder, client_key};
use logothete::sim::forge::{Forge, ForgedBlock, ForgedCertificate, ForgedStable, ForgedStatus, Kind, Position, Seen};
use logothete::{
    AppCommand, Bytes, Cluster, Digest, Event, Input, Limits, Manifest, Recipients, Request, RequestNumber, Tuning, chunk_digest,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub const CLIENTS: usize = 8;
pub const TRAITOR: usize = 0;
const P: u64 = 2;
/// The service's state, always.
const PART: &[u8] = b"the state of the service";
/// So many old things are remembered by those who send them again.
const OLD: usize = 64;

/// Small, so that every bound is reached.
fn cluster() -> Cluster {
    let limits = Limits {
        message_bytes_max: 67_784,
        batch_bytes_max: 2200,
        batch_requests_max: 16,
        operation_bytes_max: 200,
        result_bytes_max: 200,
        client_window: 16,
    };
    builder(4, CLIENTS).limits(limits).pipeline(P).checkpoint_interval(4).log_window(8).build().expect("a valid cluster")
}

fn tuning() -> Tuning {
    Tuning {
        retention: 8,
        retention_bytes_max: 12_000,
        pool_bytes_max: 24_000,
        reply_cache_bytes_max: 24_000,
        answer_bytes_max: 8000,
        ..Tuning::from_timeout(Duration::from_millis(800))
    }
}

pub struct Stage {
    pub solo: Solo,
    pub formula: Formula,
    pub tuning: Tuning,
    pub dice: Prng,
    /// The view that the correct ones are in.
    pub in_view: u64,
    pub certificates: VecDeque<ForgedCertificate>,
    pub stables: VecDeque<ForgedStable>,
    pub requests: VecDeque<Request>,
    pub manifests: VecDeque<Manifest>,
    /// Each client's last executed number.
    pub last: Vec<u64>,
    /// What R1 proposed.
    proposals: BTreeMap<u64, ForgedBlock>,
    /// What it is cut off from, highest first.
    missed: Vec<ForgedBlock>,
    ordinal: u64,
    began: isize,
    pub peak: isize,
    pub received: u64,
    pub answered: u64,
    pub helped: u64,
    /// Received from and sent to the traitor in this status interval, which began then.
    interval: (u64, u64, u64),
    pub started: u64,
}

impl Stage {
    pub fn new(seed: u64) -> Self {
        let (cluster, tuning) = (cluster(), tuning());
        let formula = Formula::new(&cluster, &tuning);
        let began = heap::held();
        let solo = Solo::with(cluster, 1, tuning.clone());
        let started = solo.now.0;
        Self {
            solo,
            formula,
            tuning,
            dice: Prng::new(seed),
            in_view: 0,
            certificates: VecDeque::new(),
            stables: VecDeque::new(),
            requests: VecDeque::new(),
            manifests: VecDeque::new(),
            last: vec![0; CLIENTS],
            proposals: BTreeMap::new(),
            missed: Vec::new(),
            ordinal: 1,
            began,
            peak: 0,
            received: 0,
            answered: 0,
            helped: 0,
            interval: (0, 0, 0),
            started,
        }
    }

    pub fn forge(&self) -> &Forge {
        &self.solo.forge
    }
    pub fn decided(&self) -> Position {
        let status = self.solo.replica.status();
        (status.decided, status.log_digest)
    }

    /// What R1 and everything around it holds: a little more than R1 does.
    pub fn held(&self) -> isize {
        heap::held() - self.began
    }

    /// From somebody hostile.
    pub fn attack(&mut self, bytes: &[u8]) {
        self.count_interval(bytes.len() as u64);
        self.hear(bytes);
    }

    pub fn hear(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        self.solo.now = self.solo.now.after(Duration::from_micros(self.dice.between(0, 400)));
        self.solo.feed(bytes);
        self.react();
        self.peak = self.peak.max(heap::peak() - self.began);
    }

    /// What the host does, and what the others see of it. Nothing of it is kept, but a little for later attacks.
    fn react(&mut self) {
        for envelope in std::mem::take(&mut self.solo.sent) {
            let bytes = envelope.encode();
            match envelope.to() {
                Recipients::Replica(replica) if replica.get() as usize == TRAITOR => {
                    self.answered += bytes.len() as u64;
                    self.interval.1 += bytes.len() as u64;
                }
                Recipients::AllReplicas => {
                    if let Ok(Seen::PrePrepare { block, .. }) = self.solo.forge.read(&bytes) {
                        self.proposals.insert(block.sequence_number().get(), block);
                    }
                }
                _ => {}
            }
        }
        for decision in std::mem::take(&mut self.solo.decisions) {
            for request in decision.requests() {
                let client = (0..CLIENTS).find(|client| is_of(request, *client));
                self.last[client.expect("enrolled")] = request.number().get();
                remember(&mut self.requests, request.clone());
            }
        }
        for event in std::mem::take(&mut self.solo.events) {
            match event {
                Event::Wished { why, .. } => self.helped += u64::from(why.contains("lost its log")),
                Event::Halted { reason } => panic!("R1 halted: {reason}"),
                _ => {}
            }
        }
        self.solo.records = Vec::new();
        for command in std::mem::take(&mut self.solo.commands) {
            match command {
                AppCommand::TakeCheckpoint(order) => {
                    let manifest = order.manifest([chunk_digest(PART)]);
                    remember(&mut self.manifests, manifest.clone());
                    self.solo.step(Input::CheckpointTaken(manifest));
                }
                AppCommand::ReadChunk { sequence_number, index } => {
                    let bytes = Some(Bytes::from(PART));
                    self.solo.step(Input::ChunkRead { sequence_number, index, bytes });
                }
                AppCommand::DiscardBefore(_) => {}
                other => panic!("not expected: {other}"),
            }
        }
    }

    /// However much is asked, what the traitor gets in a status interval is bounded: blocks and parts by their budget, certificates by 64
    /// answers, and whatever else by what was asked.
    fn count_interval(&mut self, received: u64) {
        let index = self.solo.now.0 / self.tuning.status_interval.as_micros() as u64;
        if index != self.interval.2 {
            let (received, sent, _) = self.interval;
            let limits = self.solo.cluster.limits();
            let answer = u64::from(self.tuning.answer_bytes_max.min(limits.batch_bytes_max));
            let certificates = 64 * (4 * 264 + 185 + 184 * 3);
            // One answer each may be begun within a budget that it exceeds; and R1's intervals are not aligned with these.
            let budget = 2 * (16 * answer + certificates + 4 * u64::from(limits.batch_bytes_max)) + received;
            assert!(sent <= budget, "{sent} bytes in one interval, where {budget} are allowed");
            self.interval = (0, 0, index);
        }
        self.interval.0 += received;
    }

    /// The next position is decided, in the view that the correct ones are in.
    pub fn decide(&mut self) {
        let (number, parent) = self.decided();
        let next = number.next();
        let proposed = self.proposals.get(&next.get()).filter(|block| block.parent() == parent).cloned();
        self.proposals = self.proposals.split_off(&next.next().get());
        let block = match proposed {
            Some(block) => block,
            None => self.block(next.get(), parent, &self.last.clone()),
        };
        let certificate = self.solo.certificate(&[0, 2, 3], Kind::Commit, self.in_view, (next, block.digest()));
        let chain = self.solo.forge.chain(Some(&certificate), std::slice::from_ref(&block));
        remember(&mut self.certificates, certificate);
        self.hear(&chain);
        if self.dice.percent(40) || self.solo.replica.status().decided.get() == self.solo.replica.status().stable.get() + 8 {
            self.stabilize();
        }
    }

    /// A block of what correct clients ask for next, where `last` is what they had executed.
    fn block(&mut self, number: u64, parent: Digest, last: &[u64]) -> ForgedBlock {
        let mut batch = Vec::new();
        let mut size = 0;
        for (client, last) in last.iter().enumerate() {
            let length = self.dice.between(0, 200) as usize;
            // S3: a run of two to a power has paths of that many digests.
            let path = self.dice.between(0, 6) as usize;
            size += length + 136 + 32 * path;
            if client == 0 || (self.dice.percent(60) && size <= 2200) {
                let operations = vec![&[7; 200][..length]; 1 << path];
                batch.push(self.solo.forge.run(&client_key(client), RequestNumber::new(last + 1), &operations).remove(0));
            }
        }
        self.solo.forge.block(at(number), parent, batch)
    }

    /// R1 is cut off while the others go on to the end of their window: it hears of their last certificate, and has none of the blocks.
    pub fn lag(&mut self) {
        self.stabilize();
        let (number, mut parent) = self.decided();
        let end = self.solo.replica.status().stable.get() + 8;
        let mut last = self.last.clone();
        for number in number.get() + 1..=end {
            let block = self.block(number, parent, &last);
            for request in block.requests() {
                let client = (0..CLIENTS).find(|client| is_of(request, *client)).expect("enrolled");
                last[client] = request.number().get();
            }
            parent = block.digest();
            self.missed.insert(0, block);
        }
        if end > number.get() {
            let certificate = self.solo.certificate(&[0, 2, 3], Kind::Prepare, self.in_view, (at(end), parent));
            let bytes = self.solo.forge.certificate_message(&certificate);
            self.hear(&bytes);
        }
    }

    pub fn lags(&self) -> bool {
        !self.missed.is_empty()
    }

    /// And then it gets everything.
    pub fn catch_up(&mut self) {
        let missed = std::mem::take(&mut self.missed);
        let Some(top) = missed.first() else { return };
        let position = (top.sequence_number(), top.digest());
        let certificate = self.solo.certificate(&[0, 2, 3], Kind::Commit, self.in_view, position);
        // As an honest answer would be: a few blocks at a time.
        for part in missed.chunks(3) {
            let chain = self.solo.forge.chain(Some(&certificate), part);
            self.hear(&chain);
        }
        assert_eq!(self.decided(), position, "whatever else it holds, there is room for what a quorum stands behind");
        self.stabilize();
    }

    /// R2 and R3 vote for the checkpoints that R1 has a snapshot of.
    pub fn stabilize(&mut self) {
        let stable = self.solo.replica.status().stable;
        let late: Vec<_> = self.manifests.iter().filter(|manifest| manifest.sequence_number() > stable).cloned().collect();
        for manifest in late {
            let checkpoint = self.solo.forge.checkpoint_of(&manifest);
            for member in [2, 3] {
                let vote = self.solo.forge.checkpoint(self.solo.as_traitor(member), checkpoint);
                self.hear(&vote);
            }
            remember(&mut self.stables, self.solo.forge.stable(&self.solo.members(&[0, 2, 3]), checkpoint));
        }
    }

    /// R2 and R3 want the next view; R1 follows them, and waits for it.
    pub fn leave(&mut self) {
        self.in_view = self.in_view.max(self.solo.replica.status().view.get()) + 1;
        let decided = self.decided();
        for member in [2, 3] {
            self.ordinal += 1;
            let (ordinal, in_view) = (self.ordinal, view(self.in_view));
            let certificate = self.certificates.back().cloned();
            let change = self.solo.forge.view_change(self.solo.as_traitor(member), in_view, certificate.as_ref());
            let status = ForgedStatus {
                ordinal,
                view: in_view,
                waits: true,
                want: in_view,
                head: decided,
                decided: decided.0,
                ..Default::default()
            };
            let status = self.solo.forge.status_of(self.solo.as_traitor(member), &ForgedStatus { view_change: Some(&change), ..status });
            self.hear(&status);
        }
        assert_eq!(self.solo.replica.status().view, view(self.in_view), "R1 follows the two correct ones");
    }

    /// The view begins, and its base is certified.
    pub fn enter(&mut self) {
        let base = self.missed.first().map_or_else(|| self.decided(), |top| (top.sequence_number(), top.digest()));
        let certificate = self.solo.certificate(&[0, 2, 3], Kind::Prepare, self.in_view, base);
        let bytes = self.solo.forge.certificate_message(&certificate);
        remember(&mut self.certificates, certificate);
        self.hear(&bytes);
        assert!(self.solo.replica.status().normal);
    }

    /// A correct primary, R2, proposes; R3 votes with it. Without R1 there is no quorum.
    pub fn decide_with_r1(&mut self) {
        assert_eq!(self.in_view % 4, 2);
        let (number, parent) = self.decided();
        let request = self.solo.forge.request(&client_key(0), RequestNumber::new(self.last[0] + 1), b"after the flood");
        let block = self.solo.forge.block(number.next(), parent, vec![request]);
        let position = (number.next(), block.digest());
        let mut messages = vec![self.solo.forge.pre_prepare(&self.solo.keys[2], view(self.in_view), &block)];
        messages.push(self.solo.forge.vote(self.solo.as_traitor(3), Kind::Prepare, view(self.in_view), position));
        messages
            .extend([2, 3].map(|member| self.solo.forge.vote(self.solo.as_traitor(member), Kind::Commit, view(self.in_view), position)));
        for message in messages {
            self.hear(&message);
        }
        assert_eq!(self.decided(), (number.next(), block.digest()), "decided, with R1's votes");
        assert_eq!(self.solo.replica.status().executed, at(number.get() + 1));
        self.stabilize();
    }

    pub fn made_up(&mut self) -> Digest {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.dice.next().to_le_bytes()));
        Digest::new(bytes)
    }
}

fn is_of(request: &Request, client: usize) -> bool {
    client_key(client).verifying_key().to_bytes() == *request.client().as_bytes()
}

fn remember<T>(old: &mut VecDeque<T>, item: T) {
    if old.len() >= OLD {
        old.pop_front();
    }
    old.push_back(item);
}
