//! Traitors who plot: they share what they hear and their keys, and lie in every way that this allows, at random.

use super::forge::{
    Forge, ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStable, ForgedStatus, ForgedViewChange, Kind, Position, Seen,
};
use super::prng::Prng;
use super::{client_key, replica_key};
use crate::{Bytes, Digest, Envelope, MessageKind, Recipients, ReplicaId, RequestNumber, SequenceNumber, SigningKey, View};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

/// A gang, as its members share it.
pub type Shared = Rc<RefCell<Gang>>;
type Sent = Vec<(Recipients, Vec<u8>)>;

/// How often a traitor does what with a message, in percent; the rest is sent as it is.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// Is not sent.
    pub drop: u64,
    /// Is sent later.
    pub delay: u64,
    /// Goes to some of its recipients.
    pub some_only: u64,
    /// Is another for some recipients.
    pub equivocate: u64,
    /// And beside that something that nobody asked for.
    pub mischief: u64,
}

/// Some replicas and a client who plot.
pub struct Gang {
    random: Prng,
    replicas: usize,
    quorum: usize,
    members: BTreeMap<usize, (SigningKey, Mood)>,
    /// The client that is one of them.
    client: usize,
    heard: VecDeque<Bytes>,
    held_back: Vec<(Recipients, Vec<u8>)>,
    /// Who was heard voting for it.
    votes: BTreeMap<(View, Position, u8), BTreeSet<usize>>,
    blocks: BTreeMap<Digest, ForgedBlock>,
    view_changes: BTreeMap<View, BTreeMap<usize, ForgedViewChange>>,
    certificates: VecDeque<ForgedCertificate>,
    /// The latest that they put together themselves.
    made: VecDeque<(Position, ForgedCertificate)>,
    /// The latest heard of.
    checkpoints: VecDeque<ForgedCheckpoint>,
    stables: VecDeque<ForgedStable>,
    view: View,
    ordinal: u64,
}

impl Gang {
    /// `members` of so many replicas, and this client; `quorum` signatures make a certificate.
    pub fn new(seed: u64, replicas: usize, quorum: usize, members: &[usize], client: usize) -> Shared {
        let mut random = Prng::new(seed ^ 0x9e37);
        let mut mood = || {
            if random.percent(35) {
                return Mood { drop: 0, delay: 0, some_only: 0, equivocate: 90, mischief: 10 };
            }
            let mut upto = |most| if random.percent(50) { random.between(0, most) } else { 0 };
            Mood { drop: upto(40), delay: upto(25), some_only: upto(40), equivocate: upto(60), mischief: upto(60) }
        };
        let members = members.iter().map(|index| (*index, (replica_key(*index), mood()))).collect();
        Rc::new(RefCell::new(Self {
            random,
            replicas,
            quorum,
            members,
            client,
            heard: VecDeque::new(),
            held_back: Vec::new(),
            votes: BTreeMap::new(),
            blocks: BTreeMap::new(),
            view_changes: BTreeMap::new(),
            certificates: VecDeque::new(),
            made: VecDeque::new(),
            checkpoints: VecDeque::new(),
            stables: VecDeque::new(),
            view: View::default(),
            ordinal: 0,
        }))
    }

    fn below(&mut self, count: usize) -> usize {
        self.random.between(0, count.max(1) as u64 - 1) as usize
    }

    fn someone(&mut self) -> Recipients {
        let to = self.below(self.replicas) as u32;
        Recipients::Replica(ReplicaId::new(to))
    }

    fn is_primary_of(&self, view: View) -> Option<usize> {
        Some((view.get() % self.replicas as u64) as usize).filter(|primary| self.members.contains_key(primary))
    }

    fn a_traitor(&mut self) -> (ReplicaId, SigningKey) {
        let which = self.below(self.members.len());
        let (index, (key, _)) = self.members.iter().nth(which).expect("there are traitors");
        (ReplicaId::new(*index as u32), key.clone())
    }

    /// A traitor heard it, or said it; `seen` is what stands in it.
    pub fn learn(&mut self, bytes: &Bytes, seen: Option<Seen>, forge: &Forge) {
        if self.heard.len() >= 200 {
            self.heard.pop_front();
        }
        self.heard.push_back(bytes.clone());
        match seen {
            Some(Seen::PrePrepare { view, block }) => {
                let position = (block.sequence_number(), block.digest());
                self.blocks.insert(block.digest(), block);
                let primary = (view.get() % self.replicas as u64) as usize;
                self.voted(Kind::Prepare, primary, view, position, forge);
            }
            Some(Seen::Vote { kind, replica, view, position }) => self.voted(kind, replica.get() as usize, view, position, forge),
            Some(Seen::ViewChange(view_change)) => {
                self.view_changes.entry(view_change.view()).or_default().entry(view_change.replica().get() as usize).or_insert(view_change);
                while self.view_changes.len() > 6 {
                    self.view_changes.pop_first();
                }
            }
            Some(Seen::Certificate(certificate)) => self.keep(certificate),
            Some(Seen::Checkpoint { checkpoint, .. }) => {
                if self.checkpoints.len() >= 20 {
                    self.checkpoints.pop_front();
                }
                self.checkpoints.push_back(checkpoint);
            }
            Some(Seen::Stable(stable)) => {
                if self.stables.len() >= 20 {
                    self.stables.pop_front();
                }
                self.stables.push_back(stable);
            }
            Some(Seen::Chain(blocks)) => self.blocks.extend(blocks.into_iter().map(|block| (block.digest(), block))),
            _ => {}
        }
    }

    fn keep(&mut self, certificate: ForgedCertificate) {
        if self.certificates.len() >= 40 {
            let which = self.below(20);
            self.certificates.remove(which);
        }
        self.certificates.push_back(certificate);
    }

    fn voted(&mut self, kind: Kind, by: usize, view: View, position: Position, forge: &Forge) {
        self.view = self.view.max(view);
        let voters = self.votes.entry((view, position, u8::from(kind == Kind::Commit))).or_default();
        voters.insert(by);
        // With their own signatures added, is it a quorum? Signing again what others signed gives the same bytes.
        let mut signers = voters.clone();
        for member in self.members.keys() {
            if signers.len() < self.quorum {
                signers.insert(*member);
            }
        }
        if signers.len() == self.quorum && (position.0.get() > 0 || view.get() > 0) {
            let keys: Vec<_> = signers.iter().map(|signer| (ReplicaId::new(*signer as u32), replica_key(*signer))).collect();
            let keys: Vec<_> = keys.iter().map(|(id, key)| (*id, key)).collect();
            let certificate = forge.certificate(&keys, kind, view, position);
            if self.made.len() >= 40 {
                let which = self.below(20);
                self.made.remove(which);
            }
            self.made.push_back((position, certificate.clone()));
            self.keep(certificate);
        }
        while self.votes.len() > 300 {
            self.votes.pop_first();
        }
    }

    /// What becomes of a message that the member's replica wants to send.
    pub fn act(&mut self, me: usize, envelope: &Envelope, forge: &Forge) -> Sent {
        let bytes = envelope.encode();
        self.learn(&bytes, Some(forge.see_verified(envelope.message())), forge);
        let bytes = bytes.to_vec();
        let mood = self.members[&me].1;
        let mut out = Vec::new();
        let recipients: Vec<Recipients> = match envelope.to() {
            Recipients::AllReplicas => {
                (0..self.replicas as u32).filter(|to| *to as usize != me).map(|to| Recipients::Replica(ReplicaId::new(to))).collect()
            }
            to => vec![to],
        };
        let dice = self.random.between(0, 99);
        let (drop, delay) = (mood.drop, mood.drop + mood.delay);
        let (some, equivocate) = (delay + mood.some_only, delay + mood.some_only + mood.equivocate);
        if dice < drop {
        } else if dice < delay {
            self.held_back.extend(recipients.into_iter().map(|to| (to, bytes.clone())));
        } else if dice < some {
            out.extend(recipients.into_iter().filter(|_| self.random.percent(50)).map(|to| (to, bytes.clone())));
        } else if dice < equivocate && envelope.kind() == MessageKind::PrePrepare {
            out.extend(self.two_stories(me, &bytes, &recipients, forge));
        } else if dice < equivocate {
            for to in recipients {
                let other = if self.random.percent(60) { self.another(me, envelope.kind(), &bytes, forge) } else { None };
                out.push((to, other.unwrap_or_else(|| bytes.clone())));
            }
        } else {
            out.extend(recipients.into_iter().map(|to| (to, bytes.clone())));
        }
        if self.held_back.len() > 60 || (!self.held_back.is_empty() && self.random.percent(20)) {
            let count = self.below(self.held_back.len()) + 1;
            out.extend(self.held_back.drain(..count));
        }
        if self.random.percent(mood.mischief) {
            out.extend(self.mischief(me, forge));
        }
        out
    }

    /// One proposal to some, another to the others; and all members vote for both, to those who were told so.
    fn two_stories(&mut self, me: usize, bytes: &[u8], recipients: &[Recipients], forge: &Forge) -> Sent {
        let mut out = Vec::new();
        let other = self.another(me, MessageKind::PrePrepare, bytes, forge).unwrap_or_else(|| bytes.to_vec());
        for to in recipients {
            let story = if self.random.percent(50) { bytes } else { &other };
            out.push((*to, story.to_vec()));
            let Ok(Seen::PrePrepare { view, block }) = forge.read(story) else { continue };
            let position = (block.sequence_number(), block.digest());
            for (member, (key, _)) in &self.members {
                let id = ReplicaId::new(*member as u32);
                out.extend([Kind::Prepare, Kind::Commit].map(|kind| (*to, forge.vote((id, key), kind, view, position))));
            }
        }
        out
    }

    /// Something else of the same kind, in the member's own name.
    fn another(&mut self, me: usize, kind: MessageKind, bytes: &[u8], forge: &Forge) -> Option<Vec<u8>> {
        let (id, key) = (ReplicaId::new(me as u32), replica_key(me));
        match (kind, forge.read(bytes)) {
            (_, Ok(Seen::PrePrepare { view, block })) => {
                let mut requests = block.requests().to_vec();
                if requests.len() > 1 && self.random.percent(50) {
                    requests.pop();
                } else {
                    requests.push(self.own_request(forge));
                }
                let block = forge.block(block.sequence_number(), block.parent(), requests);
                let proposal = forge.pre_prepare(&key, view, &block);
                self.learn(&Bytes::from(&proposal[..]), forge.read(&proposal).ok(), forge);
                Some(proposal)
            }
            (_, Ok(Seen::Vote { kind, view, position, .. })) => {
                let others: Vec<Position> =
                    self.votes.keys().filter(|(of, at, _)| *of == view && at.0 == position.0).map(|(_, at, _)| *at).collect();
                let digest = if others.is_empty() { position.1 } else { others[self.below(others.len())].1 };
                // Or the right digest under a false number.
                let number = if self.random.percent(10) { position.0.next() } else { position.0 };
                Some(forge.vote((id, &key), kind, view, (number, digest)))
            }
            (_, Ok(Seen::ViewChange(view_change))) => Some(self.own_view_change(me, view_change.view(), forge)),
            (MessageKind::NewView, _) => self.new_view(forge).map(|(_, bytes)| bytes),
            (MessageKind::Status, _) => Some(self.status(id, &key, forge)),
            (MessageKind::Chain, _) => Some(self.junk(forge)),
            (MessageKind::Checkpoint, _) => self.checkpoint(id, &key, forge),
            (MessageKind::Manifest | MessageKind::Chunk, _) => Some(forge.chunk(&[self.random.next() as u8; 40])),
            (MessageKind::Welcome, _) => Some(self.welcome(id, &key, forge)),
            _ => None,
        }
    }

    fn own_request(&mut self, forge: &Forge) -> crate::Request {
        let number = self.random.between(1, 12);
        let operation = [self.random.between(0, 3) as u8];
        let count = if self.random.percent(50) { 1 } else { self.random.between(2, 5) as usize };
        let mut run = forge.run(&client_key(self.client), RequestNumber::new(number), &vec![&operation[..]; count]);
        run.swap_remove(self.below(count))
    }

    fn own_view_change(&mut self, me: usize, view: View, forge: &Forge) -> Vec<u8> {
        let which = self.below(self.certificates.len() + 1);
        let certificate = self.certificates.get(which).cloned();
        let view_change = forge.view_change((ReplicaId::new(me as u32), &replica_key(me)), view, certificate.as_ref());
        forge.view_change_message(&view_change)
    }

    fn status(&mut self, id: ReplicaId, key: &SigningKey, forge: &Forge) -> Vec<u8> {
        self.ordinal += self.random.between(1, 1 << 21);
        let view = View::new(self.random.between(0, self.view.get() + 2));
        let want = View::new(self.random.between(0, self.view.get() + 3));
        let want = if self.random.percent(10) { View::new(u64::MAX) } else { want };
        let mut number = || SequenceNumber::new(self.random.between(0, 40));
        let (stable, floor, decided) = (number(), number(), number());
        let checkpoint = self.checkpoints.back().copied().filter(|_| self.random.percent(30));
        let head = (decided, forge.genesis());
        let status =
            ForgedStatus { ordinal: self.ordinal, view, want, stable, floor, decided, head, checkpoint, ..ForgedStatus::default() };
        forge.status_of((id, key), &status)
    }

    /// A vote on a checkpoint that others vote on: for another state, or the same state elsewhere.
    fn checkpoint(&mut self, id: ReplicaId, key: &SigningKey, forge: &Forge) -> Option<Vec<u8>> {
        let which = self.below(self.checkpoints.len());
        let mut checkpoint = *self.checkpoints.get(which)?;
        match self.below(3) {
            0 => checkpoint.state = Digest::new([self.random.between(0, 2) as u8; 32]),
            1 => checkpoint.position.0 = SequenceNumber::new(self.random.between(1, 40)),
            _ => {}
        }
        Some(forge.checkpoint((id, key), checkpoint))
    }

    /// An answer to a replica that has lost its log: any view at all. The nonces of these tests are no secret.
    fn welcome(&mut self, id: ReplicaId, key: &SigningKey, forge: &Forge) -> Vec<u8> {
        let to = ReplicaId::new(self.below(self.replicas) as u32);
        let nonce = [self.random.between(1, 4) as u8; 32];
        let far = if self.random.percent(30) { u64::MAX - 1 } else { self.view.get() + 3 };
        forge.welcome((id, key), to, nonce, View::new(self.random.between(0, far)))
    }

    /// Questions for snapshots, whether there are such or not.
    fn question(&mut self, id: ReplicaId, key: &SigningKey, forge: &Forge) -> Option<Vec<u8>> {
        self.ordinal += 1;
        let which = self.below(self.checkpoints.len());
        let checkpoint = *self.checkpoints.get(which)?;
        Some(match self.below(3) {
            0 => forge.fetch_manifest((id, key), self.ordinal, checkpoint.position.0, checkpoint.state),
            1 => forge.fetch_chunk((id, key), self.ordinal, checkpoint.position.0, self.random.between(0, 3) as u32, checkpoint.state),
            _ => forge.rejoin((id, key), [self.random.between(1, 4) as u8; 32]),
        })
    }

    fn junk(&mut self, forge: &Forge) -> Vec<u8> {
        let count = self.below(3) + 1;
        let start = self.below(self.blocks.len());
        let blocks: Vec<ForgedBlock> = self.blocks.values().skip(start).take(count).cloned().collect();
        let which = self.below(self.certificates.len() + 3);
        forge.chain(self.certificates.get(which), &blocks)
    }

    /// A new view of the gang's own choice: any quorum of the claims heard, and the members' claims as it pleases.
    fn new_view(&mut self, forge: &Forge) -> Option<(View, Vec<u8>)> {
        let views: Vec<View> = self.view_changes.keys().copied().filter(|view| self.is_primary_of(*view).is_some()).collect();
        let view = *views.get(self.below(views.len()))?;
        let primary = self.is_primary_of(view)?;
        let mut claims: Vec<ForgedViewChange> = self.view_changes[&view].values().cloned().collect();
        claims.retain(|claim| !self.members.contains_key(&(claim.replica().get() as usize)));
        for member in self.members.keys().copied().collect::<Vec<_>>() {
            let which = self.below(self.certificates.len() + 1);
            let certificate = self.certificates.get(which).cloned();
            claims.push(forge.view_change((ReplicaId::new(member as u32), &replica_key(member)), view, certificate.as_ref()));
        }
        while claims.len() > self.quorum {
            let which = self.below(claims.len());
            claims.remove(which);
        }
        let which = self.below(self.made.len());
        // Or one that doesn't follow from its claims.
        let base = self.made.get(which).filter(|_| self.random.percent(30)).map(|(position, certificate)| (*position, Some(certificate)));
        (claims.len() == self.quorum).then(|| (view, forge.new_view(&replica_key(primary), view, &claims, base)))
    }

    /// A proposal on top of anything, in a view of the gang's.
    fn proposal(&mut self, forge: &Forge) -> Option<Vec<u8>> {
        let view = View::new(self.random.between(0, self.view.get() + 1));
        let primary = self.is_primary_of(view)?;
        let which = self.below(self.blocks.len());
        let parent = self.blocks.values().nth(which)?;
        let (number, digest, old) = (parent.sequence_number().next(), parent.digest(), parent.requests().to_vec());
        let requests = if self.random.percent(50) { old } else { vec![self.own_request(forge)] };
        let proposal = forge.pre_prepare(&replica_key(primary), view, &forge.block(number, digest, requests));
        self.learn(&Bytes::from(&proposal[..]), forge.read(&proposal).ok(), forge);
        Some(proposal)
    }

    fn mischief(&mut self, me: usize, forge: &Forge) -> Sent {
        let (id, key) = self.a_traitor();
        let bytes = match self.below(16) {
            0 | 1 => {
                let which = self.below(self.heard.len());
                self.heard.get(which).map(|heard| heard.to_vec())
            }
            2 | 3 => {
                let which = self.below(self.certificates.len());
                self.certificates.get(which).map(|certificate| forge.certificate_message(certificate))
            }
            4 | 5 => {
                let which = self.below(self.votes.len());
                let picked = self.votes.keys().nth(which).copied();
                picked.map(|(view, (number, digest), _)| {
                    let kind = if self.random.percent(50) { Kind::Prepare } else { Kind::Commit };
                    let number = if self.random.percent(20) { number.next() } else { number };
                    forge.vote((id, &key), kind, view, (number, digest))
                })
            }
            6 => Some(self.status(id, &key, forge)),
            7 => Some((0..self.random.between(1, 300)).map(|_| self.random.next() as u8).collect()),
            8 => Some(self.junk(forge)),
            9 => {
                let view = View::new(self.view.get() + self.random.between(1, 3));
                Some(self.own_view_change(me, view, forge))
            }
            10 => self.new_view(forge).map(|(_, bytes)| bytes),
            11 => self.checkpoint(id, &key, forge),
            12 => Some(self.welcome(id, &key, forge)),
            13 => self.question(id, &key, forge),
            14 => {
                let which = self.below(self.stables.len());
                self.stables.get(which).map(|stable| forge.stable_message(stable))
            }
            _ => self.proposal(forge),
        };
        let Some(bytes) = bytes else { return Vec::new() };
        (0..self.random.between(1, self.replicas as u64)).map(|_| (self.someone(), bytes.clone())).collect()
    }
}
