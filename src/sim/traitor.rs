//! Traitors with one trait each. Each has its own key and nothing else; those who share keys and what they hear are a [`gang`](super::gang).

use super::forge::{Forge, ForgedStatus, Kind, Position, Seen};
use super::net::Twist;
use super::prng::Prng;
use super::replica_key;
use crate::message::{Message, Request};
use crate::{Bytes, Cluster, Digest, Envelope, MessageKind, Recipients, ReplicaId, SequenceNumber, View};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

type Sent = Vec<(Recipients, Vec<u8>)>;

/// What a traitor does with what its replica wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trait {
    /// Says nothing.
    Silent,
    /// Proposes and votes one thing to some, another to the others.
    Equivocator,
    /// Votes and checkpoints in the names of others, under its own key.
    Impersonator,
    /// Sends each message to a random half of its recipients.
    Withholder,
    /// Holds everything back, and sends it some messages later.
    Late,
    /// Proposes batches without the requests of the first of the clients.
    Starver,
    /// Says again what it has said at any time before.
    Replayer,
    /// Votes for what nobody has proposed.
    Forger,
    /// Asks for the highest views that there are, and signs view changes for them.
    ViewBomber,
    /// Votes for checkpoints of another state.
    CheckpointLiar,
    /// Answers whoever fetches a snapshot with other bytes.
    SnapshotPoisoner,
    /// Sends each message forty times.
    Flooder,
    /// Beside each message, bytes that are none.
    Garbage,
    /// Answers clients with the digest of another result.
    FalseWitness,
    /// Runs twice under one key, each copy correct by itself and in touch with some of the others.
    Twin,
}

impl Trait {
    /// Every one of them.
    pub const ALL: [Self; 15] = [
        Self::Silent,
        Self::Equivocator,
        Self::Impersonator,
        Self::Withholder,
        Self::Late,
        Self::Starver,
        Self::Replayer,
        Self::Forger,
        Self::ViewBomber,
        Self::CheckpointLiar,
        Self::SnapshotPoisoner,
        Self::Flooder,
        Self::Garbage,
        Self::FalseWitness,
        Self::Twin,
    ];

    pub(super) fn twist(self, me: usize, cluster: Arc<Cluster>, seed: u64) -> Twist {
        let mut traitor = One { what: self, me, cluster, random: Prng::new(seed), held: VecDeque::new(), proposed: None, ordinal: 1 << 40 };
        Box::new(move |envelope, forge| traitor.act(envelope, forge))
    }
}

struct One {
    what: Trait,
    me: usize,
    cluster: Arc<Cluster>,
    random: Prng,
    /// What a late one has not sent, or a replayer has.
    held: VecDeque<(Recipients, Bytes)>,
    /// The first request of an equivocator's last proposal.
    proposed: Option<Request>,
    ordinal: u64,
}

impl One {
    fn each(&self, to: Recipients) -> Vec<Recipients> {
        match to {
            Recipients::AllReplicas => self.cluster.replicas().filter(|to| to.get() as usize != self.me).map(Recipients::Replica).collect(),
            to => vec![to],
        }
    }

    fn act(&mut self, envelope: &Envelope, forge: &Forge) -> Sent {
        let (to, bytes) = (envelope.to(), envelope.encode());
        let plain = || vec![(to, bytes.to_vec())];
        let id = ReplicaId::new(self.me as u32);
        let key = replica_key(self.me);
        match self.what {
            Trait::Silent => Vec::new(),
            Trait::Twin => plain(),
            Trait::Equivocator => self.two_stories(to, &bytes, forge),
            Trait::Withholder => {
                let all = self.each(to);
                all.into_iter().filter(|_| self.random.percent(50)).map(|to| (to, bytes.to_vec())).collect()
            }
            Trait::Late => {
                self.held.push_back((to, bytes));
                let some = if self.held.len() > 40 { 1 + self.random.next() as usize % 40 } else { 0 };
                self.held.drain(..some).map(|(to, bytes)| (to, bytes.to_vec())).collect()
            }
            Trait::Replayer => {
                let mut out = plain();
                if !self.held.is_empty() {
                    let which = self.random.next() as usize % self.held.len();
                    out.push((Recipients::AllReplicas, self.held[which].1.to_vec()));
                }
                if matches!(to, Recipients::AllReplicas) {
                    if self.held.len() >= 200 {
                        self.held.swap_remove_back(self.random.next() as usize % self.held.len());
                    }
                    self.held.push_back((to, bytes.clone()));
                }
                out
            }
            Trait::Flooder => (0..40).flat_map(|_| plain()).collect(),
            Trait::Garbage => {
                let junk = (0..self.random.between(1, 300)).map(|_| self.random.next() as u8).collect();
                let mut cut = bytes.to_vec();
                cut.truncate(self.random.next() as usize % cut.len());
                let mut flipped = bytes.to_vec();
                let at = self.random.next() as usize % flipped.len();
                flipped[at] ^= 1 << self.random.between(0, 7);
                let mut out = plain();
                out.extend([junk, cut, flipped].map(|bytes| (Recipients::AllReplicas, bytes)));
                out
            }
            Trait::SnapshotPoisoner if matches!(envelope.kind(), MessageKind::Chunk | MessageKind::Manifest) => {
                vec![(to, forge.chunk(&[self.random.next() as u8; 40]))]
            }
            Trait::FalseWitness => match envelope.message() {
                Message::Reply(reply) => vec![(to, forge.answered((id, &key), reply.client, reply.number, b"a lie"))],
                _ => plain(),
            },
            Trait::ViewBomber => {
                self.ordinal += 1;
                let view = View::new(if self.random.percent(50) { u64::MAX - 1 } else { self.random.between(0, 1 << 20) });
                let bomb = forge.view_change((id, &key), view, None);
                let status = ForgedStatus { ordinal: self.ordinal, view, want: view, view_change: Some(&bomb), ..ForgedStatus::default() };
                let mut out = plain();
                out.push((Recipients::AllReplicas, forge.view_change_message(&bomb)));
                out.push((Recipients::AllReplicas, forge.status_of((id, &key), &status)));
                out
            }
            _ => self.reworded(to, &bytes, forge),
        }
    }

    /// Something else in the place of what was to be said, or beside it.
    fn reworded(&mut self, to: Recipients, bytes: &[u8], forge: &Forge) -> Sent {
        let key = replica_key(self.me);
        let id = ReplicaId::new(self.me as u32);
        let strange = Digest::new([self.random.next() as u8; 32]);
        match (self.what, forge.read(bytes)) {
            (Trait::Starver, Ok(Seen::PrePrepare { view, block })) => {
                let starved = self.cluster.clients().next();
                let requests: Vec<_> = block.requests().iter().filter(|request| Some(request.client()) != starved).cloned().collect();
                // An empty batch is none.
                if requests.is_empty() {
                    return Vec::new();
                }
                let block = forge.block(block.sequence_number(), block.parent(), requests);
                vec![(to, forge.pre_prepare(&key, view, &block))]
            }
            (Trait::Forger, Ok(Seen::Vote { kind, view, position, .. })) => {
                vec![(to, forge.vote((id, &key), kind, view, (position.0, strange)))]
            }
            (Trait::Impersonator, Ok(Seen::Vote { kind, view, position, .. })) => {
                let names: Vec<ReplicaId> = self.cluster.replicas().collect();
                let lies = names.iter().map(|name| (to, forge.vote((*name, &key), kind, view, (position.0, strange))));
                lies.chain([(to, bytes.to_vec())]).collect()
            }
            (Trait::Impersonator, Ok(Seen::Checkpoint { mut checkpoint, .. })) => {
                checkpoint.state = strange;
                let names: Vec<ReplicaId> = self.cluster.replicas().collect();
                let lies = names.iter().map(|name| (to, forge.checkpoint((*name, &key), checkpoint)));
                lies.chain([(to, bytes.to_vec())]).collect()
            }
            (Trait::CheckpointLiar, Ok(Seen::Checkpoint { mut checkpoint, .. })) => {
                checkpoint.state = strange;
                vec![(to, forge.checkpoint((id, &key), checkpoint))]
            }
            _ => vec![(to, bytes.to_vec())],
        }
    }

    /// Another batch of what its clients have signed: backwards, or the only one twice, or, where a batch has no room for two, one from before.
    fn in_another_order(&mut self, requests: &[Request]) -> Vec<Request> {
        let limits = self.cluster.limits();
        let twice = 2 * requests.iter().map(Request::size).sum::<u64>();
        let before = self.proposed.take();
        self.proposed = requests.first().cloned();
        match requests {
            [only] if limits.batch_requests_max > 1 && twice <= u64::from(limits.batch_bytes_max) => vec![only.clone(), only.clone()],
            [only] => vec![before.unwrap_or_else(|| only.clone())],
            _ => requests.iter().rev().cloned().collect(),
        }
    }

    /// To each recipient one of two proposals, and votes for it.
    fn two_stories(&mut self, to: Recipients, bytes: &[u8], forge: &Forge) -> Sent {
        let Ok(Seen::PrePrepare { view, block }) = forge.read(bytes) else { return vec![(to, bytes.to_vec())] };
        let key = replica_key(self.me);
        let other = forge.block(block.sequence_number(), block.parent(), self.in_another_order(block.requests()));
        let mut out = Vec::new();
        for to in self.each(to) {
            let told = if self.random.percent(50) { &block } else { &other };
            let position: Position = (told.sequence_number(), told.digest());
            out.push((to, forge.pre_prepare(&key, view, told)));
            out.push((to, forge.vote((ReplicaId::new(self.me as u32), &key), Kind::Commit, view, position)));
        }
        debug_assert!(block.sequence_number() > SequenceNumber::default());
        out
    }
}
