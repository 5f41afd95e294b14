//! The equivocator: tells two halves of the others two different things, and signs both.

use crate::traitor::{Word, to_each};
use logothete::sim::forge::{Forge, ForgedBlock, Kind, Position, Seen};
use logothete::{Bytes, Cluster, Digest, Envelope, MessageKind, Recipients, ReplicaId, SequenceNumber, SigningKey, View};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many of its latest proposals it remembers; more than a pipeline holds.
const REMEMBERED: usize = 2048;

pub struct TwoFaced {
    id: ReplicaId,
    key: SigningKey,
    cluster: Arc<Cluster>,
    forge: Forge,
    accomplices: Vec<ReplicaId>,
    /// The loyal ones, in two halves that are told two stories.
    left: Vec<ReplicaId>,
    right: Vec<ReplicaId>,
    /// Of each proposal for the left half, the one for the right half: so that the second story hangs together too.
    twins: VecDeque<(Digest, Digest)>,
    /// What an accomplice that is primary has proposed, in order: the first for the left half, the second for the right.
    heard: BTreeMap<(View, SequenceNumber), Digest>,
}

impl TwoFaced {
    pub fn new(id: ReplicaId, key: SigningKey, cluster: &Arc<Cluster>, accomplices: Vec<ReplicaId>) -> Self {
        let mut left: Vec<_> = cluster.replicas().filter(|other| *other != id && !accomplices.contains(other)).collect();
        let right = left.split_off(left.len() / 2);
        let forge = Forge::new(cluster.clone());
        Self { id, key, cluster: cluster.clone(), forge, accomplices, left, right, twins: VecDeque::new(), heard: BTreeMap::new() }
    }

    fn twin(&self, digest: Digest) -> Option<Digest> {
        self.twins.iter().find(|(left, _)| *left == digest).map(|(_, right)| *right)
    }

    fn vote(&self, kind: Kind, view: View, position: Position) -> Vec<u8> {
        self.forge.vote((self.id, &self.key), kind, view, position)
    }

    /// Says one thing to the left, another to the right.
    pub fn say(&mut self, envelope: &Envelope, out: &mut Vec<Word>) {
        let bytes = envelope.encode();
        let broadcast = envelope.to() == Recipients::AllReplicas;
        let ordering = matches!(envelope.kind(), MessageKind::PrePrepare | MessageKind::Prepare | MessageKind::Commit);
        if !(broadcast && ordering) {
            out.push((envelope.to(), bytes));
            return;
        }
        match self.forge.read(&bytes) {
            Ok(Seen::PrePrepare { view, block }) => self.propose_both(view, &block, &bytes, out),
            Ok(Seen::Vote { kind, view, position, .. }) => self.vote_both(kind, view, position, &bytes, out),
            _ => out.push((envelope.to(), bytes)),
        }
    }

    /// As primary: two proposals for one position, and at once all votes that each half needs to believe its own.
    fn propose_both(&mut self, view: View, block: &ForgedBlock, bytes: &Bytes, out: &mut Vec<Word>) {
        let mut requests = block.requests().to_vec();
        match requests.as_slice() {
            // Doubled: the second of the two will be skipped at execution.
            [only] => requests.push(only.clone()),
            // In another order.
            _ => requests.rotate_left(1),
        }
        let parent = self.twin(block.parent()).unwrap_or(block.parent());
        let twin = self.forge.block(block.sequence_number(), parent, requests);
        self.twins.push_front((block.digest(), twin.digest()));
        self.twins.truncate(REMEMBERED);

        let second = Bytes::from(self.forge.pre_prepare(&self.key, view, &twin));
        out.extend(self.left.iter().map(|to| (Recipients::Replica(*to), bytes.clone())));
        out.extend(self.right.iter().map(|to| (Recipients::Replica(*to), second.clone())));
        // An accomplice takes the first that it hears for the left half's, and the second for the right half's.
        for accomplice in &self.accomplices {
            out.push((Recipients::Replica(*accomplice), bytes.clone()));
            out.push((Recipients::Replica(*accomplice), second.clone()));
        }
        let number = block.sequence_number();
        to_each(&self.left, self.vote(Kind::Commit, view, (number, block.digest())), out);
        to_each(&self.right, self.vote(Kind::Commit, view, (number, twin.digest())), out);
    }

    /// As backup: the true vote for all, and for the right half another one as well. Its own proposals' commits were sent with them.
    fn vote_both(&self, kind: Kind, view: View, (number, digest): Position, bytes: &Bytes, out: &mut Vec<Word>) {
        let primary = self.cluster.primary(view);
        if primary == self.id || self.accomplices.contains(&primary) {
            return;
        }
        out.push((Recipients::AllReplicas, bytes.clone()));
        // A digest that nobody has proposed.
        let other = self.forge.header_digest(number, digest, digest);
        to_each(&self.right, self.vote(kind, view, (number, other)), out);
    }

    /// As the backup of an accomplice: believes both of its stories, each to whom it was told.
    pub fn overhear(&mut self, bytes: &[u8], out: &mut Vec<Word>) {
        let Ok(Seen::PrePrepare { view, block }) = self.forge.read(bytes) else { return };
        if !self.accomplices.contains(&self.cluster.primary(view)) {
            return;
        }
        let position = (block.sequence_number(), block.digest());
        let half = match self.heard.get(&(view, position.0)) {
            None => &self.left,
            Some(first) if *first == position.1 => return,
            Some(_) => &self.right,
        };
        for kind in [Kind::Prepare, Kind::Commit] {
            to_each(half, self.vote(kind, view, position), out);
        }
        self.heard.entry((view, position.0)).or_insert(position.1);
        if self.heard.len() > REMEMBERED {
            self.heard.pop_first();
        }
    }
}
