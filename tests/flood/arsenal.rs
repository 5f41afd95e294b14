//! What one traitor and all clients can send that verifies: every kind of message, fresh each time.

use super::stage::{CLIENTS, Stage, TRAITOR};
use super::support::client_key;
use super::support::solo::{at, view};
use logothete::sim::forge::{ForgedBlock, ForgedCheckpoint, ForgedStatus, Kind, Position, Traitor};
use logothete::{ReplicaId, Request, RequestNumber, SequenceNumber, SigningKey, View};
use std::collections::VecDeque;

/// The traitor's side of things.
pub struct Arsenal {
    key: SigningKey,
    ordinal: u64,
    /// Requests of hostile clients, for blocks without end.
    alone: Vec<Request>,
    small: Vec<Request>,
    large: Vec<Request>,
    /// What follows what was sent.
    next: VecDeque<Vec<u8>>,
    /// How many there were of each kind.
    pub kinds: std::collections::BTreeMap<&'static str, u64>,
}

impl Arsenal {
    pub fn new(stage: &Stage) -> Self {
        // S3: alone, or signed with up to 63 others of which nothing is ever seen.
        let requests = |length: usize, signed: [usize; 4]| {
            let request = |number: u64| {
                let operations = vec![&[9; 200][..length]; signed[number as usize / 2 % 4]];
                stage.forge().run(&client_key(number as usize % CLIENTS), RequestNumber::new(number), &operations).remove(0)
            };
            (1..=20).map(request).collect()
        };
        Self {
            key: stage.solo.keys[TRAITOR].clone(),
            // Others' clocks and counts are their own business: the traitor's rise by one each time.
            ordinal: 1,
            alone: requests(0, [1; 4]),
            small: requests(0, [1, 64, 5, 2]),
            large: requests(200, [1, 64, 5, 2]),
            next: VecDeque::new(),
            kinds: Default::default(),
        }
    }

    fn me(&self) -> Traitor<'_> {
        (ReplicaId::new(TRAITOR as u32), &self.key)
    }

    fn ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }

    fn batch(&self, stage: &mut Stage) -> Vec<Request> {
        let of = |stage: &mut Stage, requests: &[Request], count: u64| {
            (0..count).map(|_| requests[stage.dice.between(0, requests.len() as u64 - 1) as usize].clone()).collect()
        };
        match stage.dice.between(0, 9) {
            // 4 · 528 of 2200 bytes, with the longest path, or 6 · 328; 16 requests are the most.
            0 | 1 => of(stage, &self.large, 4),
            2 => of(stage, &self.small, 6),
            3 => of(stage, &self.alone, 16),
            _ => of(stage, &self.small, 1),
        }
    }

    /// A chain of `length` blocks down from `number`, on something made up or on what is decided; highest first.
    fn chain(&self, stage: &mut Stage, number: u64, length: u64) -> Vec<ForgedBlock> {
        let decided = stage.decided();
        let lowest = (number + 1).saturating_sub(length).max(1);
        let mut parent = if decided.0.get() + 1 == lowest && stage.dice.percent(50) { decided.1 } else { stage.made_up() };
        let mut blocks = Vec::new();
        for number in lowest..=number {
            let batch = self.batch(stage);
            let block = stage.forge().block(at(number), parent, batch);
            parent = block.digest();
            blocks.push(block);
        }
        blocks.reverse();
        blocks
    }

    /// Around the open positions mostly, and anywhere else.
    fn number(&self, stage: &mut Stage) -> SequenceNumber {
        let decided = stage.decided().0.get();
        at(match stage.dice.between(0, 9) {
            0 => 1 + stage.dice.next() % (1 << 40),
            1 => (decided + stage.dice.between(0, 40)).max(1),
            2 => decided.saturating_sub(stage.dice.between(0, 20)).max(1),
            // When it lags, R1 looks farther ahead.
            _ => decided + stage.dice.between(1, if stage.lags() { 12 } else { 4 }),
        })
    }

    fn view(&self, stage: &mut Stage) -> View {
        let present = stage.solo.replica.status().view.get();
        view(match stage.dice.between(0, 9) {
            0 => stage.dice.next() >> stage.dice.between(0, 63),
            1 => present + stage.dice.between(0, 100_000),
            2 => present + 1,
            _ => present,
        })
    }

    fn position(&self, stage: &mut Stage) -> Position {
        let number = self.number(stage);
        (number, stage.made_up())
    }

    fn checkpoint(&self, stage: &mut Stage) -> ForgedCheckpoint {
        let stable = stage.solo.replica.status().stable.get();
        let number = stable + 4 * stage.dice.between(0, 5);
        ForgedCheckpoint { position: (at(number.max(4)), stage.made_up()), state: stage.made_up() }
    }

    /// The next message, and what kind it is.
    pub fn message(&mut self, stage: &mut Stage) -> Vec<u8> {
        if let Some(next) = self.next.pop_front() {
            return next;
        }
        let (kind, bytes) = match stage.dice.between(0, 19) {
            0 | 1 => ("vote", self.vote(stage)),
            2 | 3 => ("proposal", self.proposal(stage)),
            4 | 5 => ("chain", self.false_chain(stage)),
            6 => ("view change", self.view_change(stage)),
            7 => ("status", self.status(stage)),
            8 => ("fetch", self.fetch(stage)),
            9 => ("evidence", self.evidence(stage)),
            10..=12 => ("request", self.request(stage)),
            13 => ("old request", self.old_request(stage)),
            14 => ("checkpoint", self.checkpoint_vote(stage)),
            15 => ("old certificate", self.old_certificate(stage)),
            16 => ("rejoin", self.rejoin(stage)),
            17 => ("snapshot", self.snapshot(stage)),
            18 => ("fetch of a snapshot", self.fetch_snapshot(stage)),
            _ => ("answer", self.answer(stage)),
        };
        *self.kinds.entry(kind).or_default() += 1;
        bytes
    }

    /// In every other of its views the traitor has no votes to spare for digests of nothing: it votes for chains that it can show.
    fn has_a_plan(stage: &Stage) -> bool {
        stage.in_view % 8 == 0
    }

    fn kind(stage: &mut Stage) -> Kind {
        if Self::has_a_plan(stage) {
            return Kind::Commit;
        }
        if stage.dice.percent(50) { Kind::Prepare } else { Kind::Commit }
    }

    fn vote(&self, stage: &mut Stage) -> Vec<u8> {
        let (kind, view, position) = (Self::kind(stage), self.view(stage), self.position(stage));
        stage.forge().vote(self.me(), kind, view, position)
    }

    /// Of a view whose primary the traitor is: equivocating, and on parents that nobody has.
    fn proposal(&self, stage: &mut Stage) -> Vec<u8> {
        let present = stage.solo.replica.status().view.get();
        let later = if Self::has_a_plan(stage) { 4 } else { [0, 0, 0, 4, 400_000][stage.dice.between(0, 4) as usize] };
        let number = self.number(stage).get();
        let block = self.chain(stage, number, 1).remove(0);
        stage.forge().pre_prepare(&self.key, view(present.next_multiple_of(4) + later), &block)
    }

    /// A vote for the top of a chain, if that counts for anything; then the chain, at true or false numbers.
    fn false_chain(&mut self, stage: &mut Stage) -> Vec<u8> {
        let number = self.number(stage).get();
        let decided = stage.decided().0.get();
        let fits = number > decided && number <= decided + 12 && (Self::has_a_plan(stage) || stage.dice.percent(50));
        let length = if fits { number - decided } else { stage.dice.between(1, 20) };
        let mut blocks = self.chain(stage, number, length);
        let shift = if stage.dice.percent(20) && !fits { stage.dice.between(0, 3) } else { 0 };
        let view = stage.solo.replica.status().view;
        if fits {
            // The largest there are.
            let batch = || self.large[..4].to_vec();
            let mut parent = stage.made_up();
            let mut tall: Vec<_> = (decided + 1..=number)
                .map(|number| {
                    let block = stage.forge().block(at(number), parent, batch());
                    parent = block.digest();
                    block
                })
                .collect();
            tall.reverse();
            // Unless the tiny ones come to more.
            if stage.dice.percent(80) {
                blocks = tall;
            }
        }
        let vote = stage.forge().vote(self.me(), Kind::Prepare, view, (at(number + shift), blocks[0].digest()));
        let certificate = stage.certificates.front().filter(|_| length % 4 == 0);
        self.next.push_back(stage.forge().chain(certificate, &blocks));
        vote
    }

    fn view_change(&self, stage: &mut Stage) -> Vec<u8> {
        let certificate = if stage.dice.percent(70) { stage.certificates.back().cloned() } else { None };
        let lowest = stage.solo.replica.status().view.get() + 1;
        let to = view(lowest.max(self.view(stage).get()));
        let change = stage.forge().view_change(self.me(), to, certificate.as_ref());
        stage.forge().view_change_message(&change)
    }

    fn status(&mut self, stage: &mut Stage) -> Vec<u8> {
        let ordinal = self.ordinal();
        let view = self.view(stage);
        let prepare = Some(self.position(stage)).filter(|_| !Self::has_a_plan(stage));
        let (head, votes) = (self.position(stage), [prepare, Some(self.position(stage))]);
        let low = |stage: &mut Stage, to: SequenceNumber| at(if stage.dice.percent(50) { 0 } else { stage.dice.between(0, to.get()) });
        let decided = stage.decided().0;
        let status = ForgedStatus {
            ordinal,
            view,
            waits: stage.dice.percent(30),
            want: view.max(self.view(stage)),
            stable: low(stage, decided),
            floor: low(stage, decided),
            decided: low(stage, decided),
            committed: (View::default(), low(stage, decided)),
            high: (View::default(), low(stage, decided)),
            head,
            votes,
            checkpoint: Some(self.checkpoint(stage)),
            view_change: None,
        };
        stage.forge().status_of(self.me(), &status)
    }

    fn fetch(&mut self, stage: &mut Stage) -> Vec<u8> {
        let ordinal = self.ordinal();
        let decided = stage.decided();
        match stage.dice.between(0, 3) {
            0 => {
                let (view, position) = (self.view(stage), self.position(stage));
                stage.forge().fetch_proposal(self.me(), ordinal, view, position)
            }
            1 => {
                let position = self.position(stage);
                stage.forge().fetch(self.me(), ordinal, at(0), position)
            }
            _ if decided.0.get() == 0 => self.vote(stage),
            // All there is, again and again.
            _ => stage.forge().fetch(self.me(), ordinal, at(0), decided),
        }
    }

    fn fetch_snapshot(&mut self, stage: &mut Stage) -> Vec<u8> {
        let ordinal = self.ordinal();
        let Some(manifest) = stage.manifests.back().cloned() else { return self.vote(stage) };
        let (number, index) = (manifest.sequence_number(), stage.dice.between(0, 2) as u32);
        match manifest.chunk(index).filter(|_| stage.dice.percent(70)) {
            Some(digest) => stage.forge().fetch_chunk(self.me(), ordinal, number, index, digest),
            None => {
                let state = if stage.dice.percent(50) { stage.forge().checkpoint_of(&manifest).state } else { stage.made_up() };
                stage.forge().fetch_manifest(self.me(), ordinal, number, state)
            }
        }
    }

    fn evidence(&self, stage: &mut Stage) -> Vec<u8> {
        let (kind, view, number) = (Self::kind(stage), self.view(stage), self.number(stage));
        let (one, other) = (stage.made_up(), stage.made_up());
        let evidence = stage.forge().evidence(self.me(), kind, view, (number, one), (number, other));
        stage.forge().evidence_message(&evidence)
    }

    /// Of any length, at numbers far beyond what can be ordered; the next one is mostly left out.
    fn request(&self, stage: &mut Stage) -> Vec<u8> {
        let client = stage.dice.between(0, CLIENTS as u64 - 1) as usize;
        let ahead = if stage.dice.percent(10) { 1 } else { stage.dice.between(2, 50) };
        let length = if stage.dice.percent(60) { 200 } else { stage.dice.between(0, 200) };
        let mut operation = vec![9; length as usize];
        operation.iter_mut().for_each(|byte| *byte = stage.dice.next() as u8);
        let count = [1, 1, 3, 64][stage.dice.between(0, 3) as usize];
        let number = RequestNumber::new(stage.last[client] + ahead);
        let request = stage.forge().run(&client_key(client), number, &vec![&operation[..]; count]).remove(0);
        stage.forge().request_message(&request)
    }

    fn old_request(&self, stage: &mut Stage) -> Vec<u8> {
        let Some(latest) = stage.requests.len().checked_sub(1) else { return self.request(stage) };
        let index = stage.dice.between(0, latest as u64) as usize;
        stage.forge().request_message(&stage.requests[index])
    }

    fn checkpoint_vote(&self, stage: &mut Stage) -> Vec<u8> {
        let checkpoint = self.checkpoint(stage);
        stage.forge().checkpoint(self.me(), checkpoint)
    }

    fn old_certificate(&self, stage: &mut Stage) -> Vec<u8> {
        let any = |stage: &mut Stage, count: usize| stage.dice.next() as usize % count.max(1);
        if stage.dice.percent(30) && !stage.stables.is_empty() {
            let index = any(stage, stage.stables.len());
            return stage.forge().stable_message(&stage.stables[index]);
        }
        let index = any(stage, stage.certificates.len());
        match stage.certificates.get(index) {
            Some(certificate) => stage.forge().certificate_message(certificate),
            None => self.vote(stage),
        }
    }

    fn rejoin(&self, stage: &mut Stage) -> Vec<u8> {
        let nonce = *stage.made_up().as_bytes();
        if stage.dice.percent(20) {
            let want = self.view(stage);
            return stage.forge().welcome(self.me(), ReplicaId::new(1), nonce, want);
        }
        stage.forge().rejoin(self.me(), nonce)
    }

    /// Manifests and parts that nobody asked for; they bear no signature.
    fn snapshot(&self, stage: &mut Stage) -> Vec<u8> {
        if stage.dice.percent(50) {
            let length = stage.dice.between(0, 2000) as usize;
            let content = vec![stage.dice.next() as u8; length];
            return stage.forge().chunk(&content);
        }
        let (position, parts) = (self.position(stage), stage.dice.between(0, 2000));
        let parts: Vec<_> = (0..parts).map(|_| position.1).collect();
        stage.forge().manifest_message(&stage.forge().manifest(position, &parts, &[]))
    }

    /// What is for clients only.
    fn answer(&self, stage: &mut Stage) -> Vec<u8> {
        let Some(request) = stage.requests.back().cloned() else { return self.vote(stage) };
        if stage.dice.percent(50) {
            return stage.forge().answered(self.me(), request.client(), request.number(), b"nothing");
        }
        stage.forge().reply(self.me(), view(1), at(1), &[(request, b"nothing")], 0)
    }
}
