//! One correct replica alone among forged messages: what exactly does it answer?

use super::{builder, client_key, replica_key};
use logothete::sim::forge::{Forge, ForgedBlock, ForgedCertificate, ForgedStatus, Kind, Position, Seen, Traitor};
use logothete::{
    AppCommand, AppState, Bytes, Cluster, Decision, Digest, Disposition, Envelope, Event, Input, Manifest, Outbox, Output, PeerLink,
    Replica, ReplicaId, RequestNumber, SequenceNumber, SigningKey, Start, Time, Tuning, Unverified, Verified, Verifier, View, Write,
    chunk_digest,
};
use std::sync::Arc;
use std::time::Duration;

pub const T: Duration = Duration::from_millis(800);

pub struct Solo {
    pub cluster: Arc<Cluster>,
    pub forge: Forge,
    pub keys: Vec<SigningKey>,
    pub replica: Replica,
    pub me: usize,
    pub now: Time,
    /// Sent since the last look.
    pub sent: Vec<Envelope>,
    pub events: Vec<Event>,
    pub decisions: Vec<Decision>,
    /// What else the service was told, in order.
    pub commands: Vec<AppCommand>,
    pub records: Vec<String>,
    /// The same, as they stand on its disk.
    pub log: Vec<(u64, Bytes)>,
    tuning: Tuning,
    ordinal: u64,
}

pub fn view(number: u64) -> View {
    View::new(number)
}

pub fn at(number: u64) -> SequenceNumber {
    SequenceNumber::new(number)
}

impl Solo {
    pub fn new(replicas: usize, me: usize) -> Self {
        let cluster = builder(replicas, 2).pipeline(4).build().expect("a valid cluster");
        Self::with(cluster, me, Tuning::from_timeout(T))
    }

    pub fn with(cluster: Cluster, me: usize, tuning: Tuning) -> Self {
        Self::starting(cluster, me, tuning, Start::New)
    }

    pub fn starting(cluster: Cluster, me: usize, tuning: Tuning, start: Start) -> Self {
        Self::with_service(cluster, me, tuning, start, AppState::default())
    }

    /// Without a log, and with a service that has this.
    pub fn with_service(cluster: Cluster, me: usize, tuning: Tuning, start: Start, app: AppState) -> Self {
        let cluster = Arc::new(cluster);
        let mut outbox = Outbox::new();
        let now = Time(1_000_000);
        let replica =
            Replica::recover(cluster.clone(), ReplicaId::new(me as u32), tuning.clone(), start, app, [], &mut outbox).expect("it starts");
        let mut solo = Self {
            forge: Forge::new(cluster.clone()),
            keys: (0..cluster.size() as usize).map(replica_key).collect(),
            cluster,
            replica,
            me,
            now,
            sent: Vec::new(),
            events: Vec::new(),
            decisions: Vec::new(),
            commands: Vec::new(),
            records: Vec::new(),
            log: Vec::new(),
            tuning,
            ordinal: 1 << 50,
        };
        solo.serve(outbox);
        solo
    }

    /// The process ends, and starts again on its log; the service has lost all that it executed.
    pub fn restart(&mut self) {
        let (id, mut outbox) = (ReplicaId::new(self.me as u32), Outbox::new());
        let (tuning, log) = (self.tuning.clone(), self.log.clone());
        let recovered = Replica::recover(self.cluster.clone(), id, tuning, Start::Recovering, AppState::default(), log, &mut outbox);
        self.replica = recovered.expect("a log that it wrote");
        self.sent.clear();
        self.decisions.clear();
        self.commands.clear();
        self.serve(outbox);
    }

    pub fn as_traitor(&self, index: usize) -> Traitor<'_> {
        (ReplicaId::new(index as u32), &self.keys[index])
    }

    pub fn members(&self, indices: &[usize]) -> Vec<Traitor<'_>> {
        indices.iter().map(|index| self.as_traitor(*index)).collect()
    }

    pub fn genesis(&self) -> Position {
        (at(0), self.forge.genesis())
    }

    /// A block with one request of client 0.
    pub fn block(&self, number: u64, parent: Digest, request: u64) -> ForgedBlock {
        self.block_saying(number, parent, request, b"order")
    }

    pub fn block_saying(&self, number: u64, parent: Digest, request: u64, operation: &[u8]) -> ForgedBlock {
        let request = self.forge.request(&client_key(0), RequestNumber::new(request), operation);
        self.forge.block(at(number), parent, vec![request])
    }

    /// Blocks 1..=count on genesis, each with the client's next request.
    pub fn blocks(&self, count: u64) -> Vec<ForgedBlock> {
        let mut parent = self.forge.genesis();
        (1..=count)
            .map(|number| {
                let block = self.block(number, parent, number);
                parent = block.digest();
                block
            })
            .collect()
    }

    pub fn certificate(&self, members: &[usize], kind: Kind, in_view: u64, position: Position) -> ForgedCertificate {
        self.forge.certificate(&self.members(members), kind, view(in_view), position)
    }

    pub fn propose(&mut self, in_view: u64, block: &ForgedBlock) -> Disposition {
        let primary = self.cluster.primary(view(in_view)).get() as usize;
        let bytes = self.forge.pre_prepare(&self.keys[primary], view(in_view), block);
        self.feed(&bytes)
    }

    pub fn vote(&mut self, from: usize, kind: Kind, in_view: u64, position: Position) -> Disposition {
        let bytes = self.forge.vote(self.as_traitor(from), kind, view(in_view), position);
        self.feed(&bytes)
    }

    pub fn feed_certificate(&mut self, certificate: &ForgedCertificate) -> Disposition {
        let bytes = self.forge.certificate_message(certificate);
        self.feed(&bytes)
    }

    /// Feeds a commit certificate of the others with its block.
    pub fn decide(&mut self, in_view: u64, block: &ForgedBlock) {
        let certificate = self.certificate(&[0, 2, 3], Kind::Commit, in_view, (block.sequence_number(), block.digest()));
        let chain = self.forge.chain(Some(&certificate), std::slice::from_ref(block));
        self.feed(&chain);
    }

    /// Feeds a client's request.
    pub fn ask(&mut self, client: usize, number: u64) -> Disposition {
        let request = self.forge.request(&client_key(client), RequestNumber::new(number), b"order");
        let bytes = self.forge.request_message(&request);
        self.feed(&bytes)
    }

    /// What R3's status draws, in words.
    pub fn draws(&mut self, status: &ForgedStatus) -> Vec<String> {
        self.sent.clear();
        let bytes = self.forge.status_of(self.as_traitor(3), status);
        assert_eq!(self.feed(&bytes), Disposition::Applied);
        self.words().into_iter().filter(|words| words.starts_with("to R3: ")).collect()
    }

    /// Statuses of these members that want `want`.
    pub fn wants(&mut self, members: &[usize], want: u64) {
        for member in members {
            self.ordinal += 1;
            let bytes = self.forge.status(self.as_traitor(*member), self.ordinal, view(0), view(want), at(0));
            self.feed(&bytes);
        }
    }

    /// Panics if the bytes don't pass verification.
    pub fn verified(&self, bytes: &[u8]) -> Verified {
        let unverified = Unverified::decode_shared(PeerLink(0), &Bytes::from(bytes), self.cluster.limits()).expect("decodes");
        Verifier::new(self.cluster.clone()).verify(unverified).expect("verifies")
    }

    /// Verifies and steps; panics if the bytes don't pass verification.
    pub fn feed(&mut self, bytes: &[u8]) -> Disposition {
        let verified = self.verified(bytes);
        self.step(Input::Message(verified))
    }

    /// The same, but what is written is held back.
    pub fn feed_into(&mut self, bytes: &[u8], outbox: &mut Outbox) -> Disposition {
        let verified = self.verified(bytes);
        self.replica.step(self.now, Input::Message(verified), outbox)
    }

    /// Makes these records durable, signs what waited for them, and puts into `outbox` what comes of that.
    pub fn make_durable(&mut self, writes: Vec<Write>, outbox: &mut Outbox) {
        for write in writes {
            let (_, receipt) = write.persisted().sign(&self.keys[self.me]).expect("signed");
            self.replica.step(self.now, Input::Persisted(receipt), outbox);
        }
    }

    pub fn refuses(&self, bytes: &[u8]) -> bool {
        match Unverified::decode(PeerLink(0), bytes, self.cluster.limits()) {
            Ok(unverified) => Verifier::new(self.cluster.clone()).verify(unverified).is_err(),
            Err(_) => true,
        }
    }

    pub fn pass(&mut self, duration: Duration) -> Disposition {
        self.now = self.now.after(duration);
        self.step(Input::Timer)
    }

    pub fn step(&mut self, input: Input) -> Disposition {
        let mut outbox = Outbox::new();
        let disposition = self.replica.step(self.now, input, &mut outbox);
        self.serve(outbox);
        disposition
    }

    fn serve(&mut self, mut outbox: Outbox) {
        let outputs: Vec<Output> = outbox.drain().collect();
        for output in outputs {
            match output {
                Output::Write(write) => {
                    self.records.push(format!("{write}"));
                    self.log.retain(|(index, _)| write.discards_before().is_none_or(|kept| *index >= kept));
                    self.log.push((write.index(), write.record().to_bytes()));
                    let (envelopes, receipt) = write.persisted().sign(&self.keys[self.me]).expect("signed");
                    self.sent.extend(envelopes);
                    self.step(Input::Persisted(receipt));
                }
                Output::Send(outgoing) => self.sent.extend(outgoing.sign(&self.keys[self.me]).expect("signed")),
                Output::App(AppCommand::Execute(decision)) => {
                    let results = decision.requests().map(|request| Bytes::from(request.operation())).collect();
                    let sequence_number = decision.sequence_number();
                    self.decisions.push(decision);
                    self.step(Input::Executed { sequence_number, results });
                }
                Output::App(command) => self.commands.push(command),
                Output::Event(event) => self.events.push(event),
                other => panic!("unknown output {other}"),
            }
        }
    }

    /// Answers the order for a snapshot that waits, with one part of the service's own.
    pub fn take_checkpoint(&mut self, part: &[u8]) -> Option<Manifest> {
        let at = self.commands.iter().position(|command| matches!(command, AppCommand::TakeCheckpoint(_)))?;
        let AppCommand::TakeCheckpoint(order) = self.commands.remove(at) else { return None };
        let manifest = order.manifest([chunk_digest(part)]);
        self.step(Input::CheckpointTaken(manifest.clone()));
        Some(manifest)
    }

    /// What was sent since the last look, in words.
    pub fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).iter().map(ToString::to_string).collect()
    }

    /// The votes sent since the last look: kind, view, number.
    pub fn votes(&mut self) -> Vec<(Kind, u64, u64)> {
        std::mem::take(&mut self.sent)
            .iter()
            .filter_map(|envelope| match self.forge.read(&envelope.encode()) {
                Ok(Seen::Vote { kind, replica, view, position }) if replica.get() as usize == self.me => {
                    Some((kind, view.get(), position.0.get()))
                }
                Ok(Seen::PrePrepare { view, block }) => Some((Kind::Prepare, view.get(), block.sequence_number().get())),
                _ => None,
            })
            .collect()
    }

    /// Claims of the view changes sent since the last look, in words.
    pub fn view_changes(&mut self) -> Vec<String> {
        self.words().into_iter().filter(|words| words.contains("ViewChange v")).collect()
    }
}
