//! A replica among three whose keys the fuzzer has: they sign anything. Its disk and service take their time, and it crashes.

use super::choices::Choices;
use super::lone::{Lone, cluster};
use super::support::client_key;
use logothete::sim::forge::{
    ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStable, ForgedStatus, ForgedViewChange, Kind, Position, Seen, Traitor,
};
use logothete::{Digest, ReplicaId, Request, RequestNumber, SequenceNumber, SigningKey, Start, Time, View};

struct Company {
    lone: Lone,
    /// More than f of them lie. Otherwise all but the first keep to one chain, whatever else they say.
    free: bool,
    blocks: Vec<ForgedBlock>,
    /// The one chain, upwards from genesis.
    chain: Vec<ForgedBlock>,
    certificates: Vec<ForgedCertificate>,
    view_changes: Vec<ForgedViewChange>,
    stables: Vec<ForgedStable>,
    said: Vec<Vec<u8>>,
    seen: usize,
    ordinal: u64,
    view: u64,
    clients: [SigningKey; 2],
}

fn kind(choices: &mut Choices<'_>) -> Kind {
    if choices.byte() % 2 == 0 { Kind::Prepare } else { Kind::Commit }
}

impl Company {
    fn new(choices: &mut Choices<'_>) -> Self {
        let mode = choices.byte();
        let me = choices.below(4);
        let start = if mode % 8 == 7 { Start::Rejoining { nonce: [1; 32] } } else { Start::New };
        let free = mode % 2 == 1;
        let mut lone = Lone::new(me, start);
        lone.must_not_halt = !free;
        Self {
            lone,
            free,
            blocks: Vec::new(),
            chain: Vec::new(),
            certificates: Vec::new(),
            view_changes: Vec::new(),
            stables: Vec::new(),
            said: Vec::new(),
            seen: 0,
            ordinal: 0,
            view: 0,
            clients: [client_key(0), client_key(1)],
        }
    }

    fn traitor(&self, index: usize) -> Traitor<'_> {
        (ReplicaId::new(index as u32), &self.lone.keys[index])
    }

    /// One of the other three, or the one that may say anything.
    fn other(&self, choices: &mut Choices<'_>) -> usize {
        (self.lone.me + 1 + choices.below(3)) % 4
    }

    fn liar(&self) -> usize {
        (self.lone.me + 1) % 4
    }

    fn others(&self) -> Vec<Traitor<'_>> {
        (0..4).filter(|index| *index != self.lone.me).map(|index| self.traitor(index)).collect()
    }

    fn around(&self) -> Vec<usize> {
        (0..4).filter(|index| *index != self.lone.me).collect()
    }

    fn genesis(&self) -> Position {
        (SequenceNumber::default(), self.lone.forge.genesis())
    }

    fn position(block: &ForgedBlock) -> Position {
        (block.sequence_number(), block.digest())
    }

    /// On the one chain.
    fn common(&self, choices: &mut Choices<'_>) -> Position {
        // Most often at its end.
        let back = choices.below(self.chain.len().min(24) + 1);
        match self.chain.len().checked_sub(back + 1) {
            Some(place) => Self::position(&self.chain[place]),
            None => self.genesis(),
        }
    }

    /// Anywhere: a known block, or one under a false number, or none that exists.
    fn anywhere(&self, choices: &mut Choices<'_>) -> Position {
        match choices.below(8) {
            0..=4 => self.common(choices),
            5 => choices.pick(&self.blocks).map_or(self.genesis(), Self::position),
            6 => {
                let (number, digest) = self.common(choices);
                (SequenceNumber::new(choices.near(number.get())), digest)
            }
            _ => (SequenceNumber::new(choices.number()), Digest::new([choices.byte(); 32])),
        }
    }

    fn a_view(&self, choices: &mut Choices<'_>) -> View {
        View::new(match choices.below(8) {
            0..=4 => self.view,
            5 | 6 => self.view.saturating_add(choices.below(5) as u64).saturating_sub(1),
            _ => choices.number(),
        })
    }

    fn request(&self, choices: &mut Choices<'_>) -> Request {
        let key = &self.clients[choices.below(2)];
        let of_client = |request: &&Request| request.client().as_bytes() == key.verifying_key().as_bytes();
        let number = match choices.below(4) {
            0..=2 => self.chain.iter().flat_map(|block| block.requests()).filter(of_client).count() as u64 + 1,
            _ => choices.number(),
        };
        let length = if choices.percent(2) { 3000 } else { 1 };
        // S3: alone, or one of several under one signature.
        let byte = choices.byte();
        let (operation, count) = (vec![byte % 4; length], 1 + usize::from(byte / 4 % 4));
        self.lone
            .forge
            .run(key, RequestNumber::new(number.max(1)), &vec![&operation[..]; count])
            .swap_remove(usize::from(byte / 16) % count)
    }

    fn hear(&mut self, bytes: Vec<u8>, choices: &mut Choices<'_>) {
        let screened = choices.byte() % 4 == 0;
        self.lone.hear(&bytes, screened);
        if self.said.len() < 64 {
            self.said.push(bytes);
        }
        self.listen();
    }

    /// What the replica says is known to all: its proposals go on the chain if they stand on its end.
    fn listen(&mut self) {
        let sent: Vec<_> = self.lone.sent[self.seen..].iter().map(|envelope| envelope.encode()).collect();
        self.seen = self.lone.sent.len();
        for bytes in sent {
            match self.lone.forge.read(&bytes) {
                Ok(Seen::PrePrepare { block, .. }) => self.know(block),
                Ok(Seen::ViewChange(view_change)) => self.view_changes.push(view_change),
                _ => {}
            }
        }
        self.view = self.lone.replica.status().view.get();
    }

    fn know(&mut self, block: ForgedBlock) {
        let end = self.chain.last().map_or(self.genesis(), Self::position);
        if block.parent() == end.1 && block.sequence_number() == end.0.next() && self.chain.len() < 64 {
            self.chain.push(block.clone());
        }
        self.blocks.push(block);
    }

    fn block(&mut self, choices: &mut Choices<'_>) -> ForgedBlock {
        let requests = (0..choices.below(3) + 1).map(|_| self.request(choices)).collect();
        let (number, parent) =
            if choices.below(4) < 3 { self.chain.last().map_or(self.genesis(), Self::position) } else { self.anywhere(choices) };
        self.lone.forge.block(SequenceNumber::new(number.get().saturating_add(1)), parent, requests)
    }

    fn certificate(&mut self, choices: &mut Choices<'_>) -> ForgedCertificate {
        let position = if self.free { self.anywhere(choices) } else { self.common(choices) };
        let certificate = self.lone.forge.certificate(&self.others(), kind(choices), self.a_view(choices), position);
        self.certificates.push(certificate.clone());
        certificate
    }

    fn checkpoint(&self, choices: &mut Choices<'_>) -> Option<ForgedCheckpoint> {
        if self.free && choices.below(4) == 3 {
            return Some(ForgedCheckpoint { position: self.anywhere(choices), state: Digest::new([choices.byte(); 32]) });
        }
        let manifests: Vec<_> = self.lone.taken.values().collect();
        let manifest = choices.pick(&manifests)?;
        Some(self.lone.forge.checkpoint_of(manifest))
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        let forge = self.lone.forge.clone();
        let bytes = match choices.byte() % 32 {
            0 | 1 => forge.request_message(&self.request(choices)),
            2..=4 => {
                let block = self.block(choices);
                self.know(block.clone());
                let view = self.a_view(choices);
                let primary = cluster().primary(view).get() as usize;
                if primary == self.lone.me {
                    return;
                }
                forge.pre_prepare(&self.lone.keys[primary], view, &block)
            }
            // All three vote for one thing.
            5..=7 => {
                let (kind, view) = (kind(choices), self.a_view(choices));
                let position = if self.free { self.anywhere(choices) } else { self.common(choices) };
                for index in self.around() {
                    let bytes = forge.vote(self.traitor(index), kind, view, position);
                    self.lone.hear(&bytes, true);
                }
                self.listen();
                return;
            }
            8 => {
                let (who, kind, view) = (self.other(choices), kind(choices), self.a_view(choices));
                let honest = !self.free && who != self.liar();
                let position = if honest { self.common(choices) } else { self.anywhere(choices) };
                forge.vote(self.traitor(who), kind, view, position)
            }
            9 | 10 => {
                let certificate = self.certificate(choices);
                forge.certificate_message(&certificate)
            }
            11 | 12 => {
                let certificate = choices.pick(&self.certificates).cloned().filter(|_| choices.percent(70));
                let view = self.a_view(choices);
                let view_change = forge.view_change(self.traitor(self.other(choices)), view, certificate.as_ref());
                self.view_changes.push(view_change.clone());
                forge.view_change_message(&view_change)
            }
            // Two of them leave for the next view, and then it does too.
            13 => {
                let view = View::new(self.view.saturating_add(1 + choices.below(3) as u64));
                for index in self.around() {
                    let certificate = choices.pick(&self.certificates).cloned().filter(|_| choices.percent(70));
                    let view_change = forge.view_change(self.traitor(index), view, certificate.as_ref());
                    self.lone.hear(&forge.view_change_message(&view_change), false);
                    self.view_changes.push(view_change);
                }
                self.listen();
                return;
            }
            14 | 15 => {
                let view = self.a_view(choices);
                let primary = cluster().primary(view).get() as usize;
                if primary == self.lone.me {
                    return;
                }
                let mut claims: Vec<ForgedViewChange> = Vec::new();
                for index in choices.below(2)..4 {
                    let made =
                        self.view_changes.iter().rev().find(|made| made.view() == view && made.replica().get() as usize == index).cloned();
                    let certificate = choices.pick(&self.certificates).cloned();
                    match made {
                        Some(made) => claims.push(made),
                        None if index != self.lone.me => claims.push(forge.view_change(self.traitor(index), view, certificate.as_ref())),
                        None => {}
                    }
                }
                claims.truncate(3);
                forge.new_view(&self.lone.keys[primary], view, &claims, None)
            }
            16 | 17 => self.status(choices),
            18 => {
                self.ordinal += 1;
                let (who, position) = (self.other(choices), self.anywhere(choices));
                let who = self.traitor(who);
                match choices.below(4) {
                    0 => forge.fetch(who, self.ordinal, SequenceNumber::new(choices.near(0)), position),
                    1 => forge.fetch_proposal(who, self.ordinal, self.a_view(choices), position),
                    2 => match self.checkpoint(choices) {
                        Some(ForgedCheckpoint { position, state }) => forge.fetch_manifest(who, self.ordinal, position.0, state),
                        None => return,
                    },
                    _ => {
                        let manifest = self.lone.taken.values().last();
                        let index = choices.below(4) as u32;
                        let digest = manifest.and_then(|manifest| manifest.chunk(index)).unwrap_or_default();
                        let number = manifest.map_or(position.0, |manifest| manifest.sequence_number());
                        forge.fetch_chunk(who, self.ordinal, number, index, digest)
                    }
                }
            }
            19 | 20 => {
                let certificate = choices.pick(&self.certificates).cloned().filter(|_| choices.percent(50));
                let end = self.chain.len() - choices.below(self.chain.len() + 1);
                let start = end - choices.below(end.min(6) + 1);
                let blocks: Vec<_> = self.chain[start..end].iter().rev().cloned().collect();
                forge.chain(certificate.as_ref(), &blocks)
            }
            21 => {
                let (first, second) = (self.anywhere(choices), self.anywhere(choices));
                let view = self.a_view(choices);
                forge.evidence_message(&forge.evidence(self.traitor(self.other(choices)), kind(choices), view, first, second))
            }
            22 => {
                let Some(checkpoint) = self.checkpoint(choices) else { return };
                for index in self.around() {
                    let bytes = forge.checkpoint(self.traitor(index), checkpoint);
                    self.lone.hear(&bytes, true);
                }
                return;
            }
            23 => {
                let Some(checkpoint) = self.checkpoint(choices) else { return };
                let stable = forge.stable(&self.others(), checkpoint);
                self.stables.push(stable.clone());
                forge.stable_message(&stable)
            }
            24 => match choices.below(2) {
                0 => match self.lone.taken.values().last() {
                    Some(manifest) => forge.manifest_message(manifest),
                    None => return,
                },
                _ => forge.chunk(choices.bytes(200)),
            },
            25 => {
                let (who, nonce) = (self.other(choices), [choices.byte() % 3; 32]);
                match choices.below(2) {
                    0 => forge.rejoin(self.traitor(who), nonce),
                    _ => {
                        let to = ReplicaId::new(self.lone.me as u32);
                        forge.welcome(self.traitor(who), to, nonce, self.a_view(choices))
                    }
                }
            }
            26 => match choices.pick(&self.said) {
                Some(bytes) => bytes.clone(),
                None => return,
            },
            27 => {
                self.crash(choices);
                return;
            }
            28 => {
                let step = [0, 1_000, 25_000, 60_000, 200_000, 400_000, 2_000_000, 60_000_000][choices.below(8)];
                self.lone.pass(step);
                self.listen();
                return;
            }
            29 => {
                // Clocks jump, also back.
                self.lone.now = Time(choices.near(self.lone.now.0));
                self.lone.pass(0);
                return;
            }
            30 => {
                (0..choices.below(6)).for_each(|_| self.lone.write());
                (0..choices.below(6)).for_each(|_| self.lone.receive_receipt());
                (0..choices.below(6)).for_each(|_| self.lone.carry_out());
                self.listen();
                return;
            }
            _ => choices.bytes(300).to_vec(),
        };
        self.hear(bytes, choices);
    }

    fn status(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        self.ordinal += 1;
        let who = self.other(choices);
        let honest = !self.free && who != self.liar();
        let forge = self.lone.forge.clone();
        let mut number = || SequenceNumber::new(choices.number());
        let (stable, floor, decided, committed, high) = (number(), number(), number(), number(), number());
        let vote = |choices: &mut Choices<'_>| {
            let position = if honest { self.common(choices) } else { self.anywhere(choices) };
            Some(position).filter(|position| position.0.get() > 0 && choices.percent(50))
        };
        let view = self.a_view(choices);
        let view_change = choices.pick(&self.view_changes).filter(|made| made.replica().get() as usize == who && made.view() == view);
        let status = ForgedStatus {
            ordinal: if choices.percent(10) { choices.number() } else { self.ordinal },
            view,
            waits: view_change.is_some(),
            want: self.a_view(choices),
            stable,
            floor,
            decided,
            committed: (self.a_view(choices), committed),
            high: (self.a_view(choices), high),
            head: self.anywhere(choices),
            votes: [vote(choices), vote(choices)],
            checkpoint: self.checkpoint(choices).filter(|_| choices.percent(30)),
            view_change,
        };
        forge.status_of(self.traitor(who), &status)
    }

    fn crash(&mut self, choices: &mut Choices<'_>) {
        self.lone.crash(choices);
        self.listen();
    }
}

/// What the replica put out, as one digest.
fn play(data: &[u8]) -> (Company, [u8; 32]) {
    use sha2::Digest as _;
    let mut choices = Choices::new(data);
    let mut company = Company::new(&mut choices);
    // A host that is as fast as its replica, or one that is driven step by step.
    let fast = choices.byte() % 2 == 0;
    for _ in 0..200 {
        if choices.is_done() || company.lone.ended {
            break;
        }
        company.act(&mut choices);
        if fast {
            company.lone.settle();
            company.listen();
        }
    }
    company.lone.settle();
    let trace = company.lone.trace.clone().finalize().into();
    (company, trace)
}

pub fn run(data: &[u8]) {
    let (company, trace) = play(data);
    let status = company.lone.replica.status();
    assert!(!(company.lone.must_not_halt && status.halted), "it halts among no more than f liars");
    // I19
    if data.first().is_some_and(|mode| mode % 16 == 0) {
        assert_eq!(play(data).1, trace, "I19: the same inputs, other outputs");
    }
}
