//! One replica under a host whose disk and service are as slow as the fuzzer likes, and the invariants that hold whoever surrounds it.

use super::choices::Choices;
use super::support::disk::Disk;
use super::support::oracle::Oracle;
use super::support::{builder, replica_key};
use logothete::sim::KeyedHash;
use logothete::sim::forge::Forge;
use logothete::{
    AppCommand, AppError, AppState, Application, Bytes, Cluster, Decision, Disposition, Envelope, Event, Input, Manifest, Outbox, Output,
    PeerLink, Receipt, RecoverError, Replica, ReplicaId, SequenceNumber, Service, SessionTable, SigningKey, Snapshots, Start, Time, Tuning,
    Unverified, Verifier, Write,
};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Everything that was executed, as one digest. Takes any state that it is given.
#[derive(Clone, Debug, Default)]
pub struct Sum(pub Vec<u8>);

impl Service for Sum {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        decision
            .requests()
            .map(|request| {
                self.0 = Sha256::new().chain_update(&self.0).chain_update(request.operation()).finalize().to_vec();
                Bytes::from(request.operation())
            })
            .collect()
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.clone()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        self.0 = snapshot.to_vec();
        Ok(())
    }
}

/// Four replicas and two clients, with a window that is soon full.
pub fn cluster() -> &'static Arc<Cluster> {
    static CLUSTER: OnceLock<Arc<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // Its signatures cost next to nothing: what is looked for here is no matter of cryptography.
        let builder = builder(4, 2).with_keyed_hash().checkpoint_interval(4).log_window(16).pipeline(4);
        Arc::new(builder.build().expect("a valid cluster"))
    })
}

pub fn tuning() -> Tuning {
    Tuning { retention: 4, ..Tuning::from_timeout(Duration::from_millis(200)) }
}

pub struct Lone {
    pub forge: Forge,
    pub keys: Vec<SigningKey>,
    pub me: usize,
    pub replica: Replica,
    pub now: Time,
    pub disk: Disk,
    pub app: Snapshots<Sum, Disk>,
    /// Records that are not on the disk yet.
    pub writes: VecDeque<Write>,
    /// On the disk, and the replica doesn't know it yet.
    pub receipts: VecDeque<Receipt>,
    pub commands: VecDeque<AppCommand>,
    pub sent: Vec<Envelope>,
    pub oracle: Oracle,
    /// Snapshots that it took.
    pub taken: BTreeMap<SequenceNumber, Manifest>,
    /// Those around it keep within what f liars can do: it must not find its own state broken.
    pub must_not_halt: bool,
    /// It can't go on, and needs no more input.
    pub ended: bool,
    /// Everything that it put out, as one digest.
    pub trace: Sha256,
    verifier: Verifier,
}

impl Lone {
    pub fn new(me: usize, start: Start) -> Self {
        let cluster = cluster().clone();
        let disk = Disk::default();
        let mut outbox = Outbox::new();
        let mut app = Snapshots::new(Sum::default(), disk.clone());
        let state = app.state().expect("an empty store");
        let replica =
            Replica::recover(cluster.clone(), ReplicaId::new(me as u32), tuning(), start, state, [], &mut outbox).expect("a first start");
        let mut lone = Self {
            forge: Forge::new(cluster.clone()),
            keys: (0..4).map(replica_key).collect(),
            me,
            replica,
            now: Time(1_000_000),
            disk,
            app,
            writes: VecDeque::new(),
            receipts: VecDeque::new(),
            commands: VecDeque::new(),
            sent: Vec::new(),
            oracle: Oracle::new(4),
            taken: BTreeMap::new(),
            must_not_halt: false,
            ended: false,
            trace: Sha256::new(),
            verifier: Verifier::new(cluster),
        };
        lone.serve(outbox);
        lone
    }

    fn pen(&self) -> KeyedHash {
        KeyedHash::new(self.keys[self.me].verifying_key())
    }

    /// Bytes off the wire. False if they are refused.
    pub fn hear(&mut self, bytes: &[u8], screened: bool) -> bool {
        let Ok(unverified) = Unverified::decode(PeerLink(0), bytes, cluster().limits()) else { return false };
        // What the screen drops may as well be heard.
        if self.replica.screen().admit(&unverified).is_err() && screened {
            return true;
        }
        let Ok(verified) = self.verifier.verify(unverified) else { return false };
        self.step(Input::Message(verified));
        true
    }

    pub fn step(&mut self, input: Input) {
        if self.ended {
            return;
        }
        let mut outbox = Outbox::new();
        let disposition = self.replica.step(self.now, input, &mut outbox);
        let status = self.replica.status();
        for (name, used) in status.usage.entries() {
            assert!(used.bytes <= used.limit, "I18: {used} of {name}");
        }
        assert_eq!(disposition == Disposition::Halted, status.halted);
        if status.halted {
            self.ended = true;
            let silent = outbox.drain().all(|output| matches!(output, Output::Event(Event::Halted { .. })));
            assert!(silent, "it halts and speaks");
            return;
        }
        assert!(status.floor <= status.decided && status.executed <= status.decided, "{status:?}");
        self.serve(outbox);
    }

    fn serve(&mut self, mut outbox: Outbox) {
        for output in outbox.drain().collect::<Vec<_>>() {
            self.trace.update(output.to_string());
            match output {
                Output::Write(write) => self.writes.push_back(write),
                Output::Send(outgoing) => {
                    for envelope in outgoing.sign(&self.pen()).expect("signed") {
                        let seen = self.forge.read(&envelope.encode()).expect("what it sends can be read");
                        self.oracle.sent(self.me, &seen);
                        self.sent.push(envelope);
                    }
                }
                Output::App(command) => self.commands.push_back(command),
                Output::Event(Event::Evidence(evidence)) => {
                    assert_ne!(evidence.culprit().get() as usize, self.me, "I21: it accuses itself");
                    assert!(evidence.verify(cluster()).is_ok(), "E: it accuses without a proof");
                }
                Output::Event(_) => {}
                other => panic!("unknown output {other}"),
            }
        }
    }

    /// The disk has the oldest record; the replica hears of it later.
    pub fn write(&mut self) {
        let Some(write) = self.writes.pop_front() else { return };
        self.disk.append(write.index(), write.record().to_bytes());
        write.discards_before().into_iter().for_each(|index| self.disk.truncate_before(index));
        let (envelopes, receipt) = write.persisted().sign(&self.pen()).expect("signed");
        for envelope in &envelopes {
            let bytes = envelope.encode();
            let seen = self.forge.read(&bytes).expect("what it sends can be read");
            self.oracle.released(self.me, &seen);
            self.oracle.sent(self.me, &seen);
            self.trace.update(&bytes[..]);
        }
        self.sent.extend(envelopes);
        self.receipts.push_back(receipt);
    }

    pub fn receive_receipt(&mut self) {
        if let Some(receipt) = self.receipts.pop_front() {
            self.step(Input::Persisted(receipt));
        }
    }

    /// The service carries out its oldest order.
    pub fn carry_out(&mut self) {
        let Some(command) = self.commands.pop_front() else { return };
        match self.answer(command) {
            Ok(Some(input)) => self.step(input),
            Ok(None) => {}
            // A state that a quorum vouched for and that is none: its host stops.
            Err(error) => {
                assert!(!self.must_not_halt, "the service fails: {error}");
                self.ended = true;
            }
        }
    }

    fn answer(&mut self, command: AppCommand) -> Result<Option<Input>, AppError> {
        Ok(match command {
            AppCommand::Execute(decision) => {
                let sequence_number = decision.sequence_number();
                self.oracle.decided(self.me, sequence_number, decision.digest());
                decision.requests().for_each(|request| self.oracle.executed(self.me, request));
                Some(Input::Executed { sequence_number, results: self.app.execute(&decision)? })
            }
            AppCommand::TakeCheckpoint(order) => {
                let manifest = self.app.take_checkpoint(&order)?;
                self.taken.insert(manifest.sequence_number(), manifest.clone());
                Some(Input::CheckpointTaken(manifest))
            }
            AppCommand::DiscardBefore(number) => {
                self.app.discard_before(number)?;
                None
            }
            AppCommand::ReadChunk { sequence_number, index } => {
                let bytes = self.app.read_chunk(sequence_number, index)?;
                Some(Input::ChunkRead { sequence_number, index, bytes })
            }
            AppCommand::FetchState(manifest) => {
                let missing = self.app.missing_parts(&manifest)?;
                Some(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing })
            }
            AppCommand::StoreChunk { sequence_number, index, bytes } => {
                self.app.store_chunk(sequence_number, index, &bytes)?;
                Some(Input::ChunkStored { sequence_number, index })
            }
            AppCommand::InstallState(manifest) => {
                let state = self.app.install(&manifest)?;
                self.resume(&state);
                Some(Input::StateInstalled(state))
            }
            other => panic!("unknown command {other}"),
        })
    }

    /// Disk and service are done with everything, and with what follows from it.
    pub fn settle(&mut self) {
        let busy = |lone: &Self| !lone.writes.is_empty() || !lone.receipts.is_empty() || !lone.commands.is_empty();
        while busy(self) && !self.ended {
            self.write();
            self.receive_receipt();
            self.carry_out();
        }
    }

    /// The process ends; of the records that were being written, some are whole and one may be cut off. It starts again on what the disk has.
    pub fn crash(&mut self, choices: &mut Choices<'_>) {
        if self.ended {
            return;
        }
        let whole = choices.below(self.writes.len() + 1);
        let cut = choices.below(4);
        for (place, write) in std::mem::take(&mut self.writes).into_iter().enumerate() {
            let bytes = &write.record().to_bytes()[..];
            if place < whole {
                self.disk.append(write.index(), Bytes::from(bytes));
            } else if place == whole && cut > 0 {
                self.disk.append(write.index(), Bytes::from(&bytes[..bytes.len() * cut / 4]));
            }
        }
        self.receipts.clear();
        self.commands.clear();
        self.restart();
    }

    /// Its service is where this state is: after a restart, or since it was given another's.
    fn resume(&mut self, state: &AppState) {
        let table = SessionTable::decode(cluster(), &state.sessions).expect("what its replica took");
        let last = cluster().clients().map(|client| (client, table.last(&client))).filter(|(_, last)| last.get() > 0);
        self.oracle.resumed(self.me, state.last_executed, last);
        if !self.must_not_halt {
            // More than f lie: what was decided may not be what others have certified since.
            self.oracle.forget_decisions();
        }
    }

    fn restart(&mut self) {
        let mut app = Snapshots::new(Sum::default(), self.disk.clone());
        let state = app.state().expect("a whole disk");
        let mut outbox = Outbox::new();
        let open = |start, outbox: &mut Outbox| {
            Replica::recover(cluster().clone(), ReplicaId::new(self.me as u32), tuning(), start, state.clone(), self.disk.log(), outbox)
        };
        let started = open(Start::Recovering, &mut outbox).or_else(|error| match error {
            // Its first record was not on the disk: nothing was promised.
            RecoverError::EmptyLog => open(Start::New, &mut outbox),
            error => Err(error),
        });
        match started {
            Ok(replica) => {
                self.resume(&state);
                self.oracle.recovered(self.me, replica.status().view);
                self.replica = replica;
                self.app = app;
                self.serve(outbox);
            }
            // More than f lied: what they had it execute is not what they certified.
            Err(RecoverError::OtherHistory(_)) if !self.must_not_halt => self.ended = true,
            Err(error) => panic!("D2: it does not come back: {error}"),
        }
    }

    pub fn pass(&mut self, microseconds: u64) {
        self.now = Time(self.now.0.saturating_add(microseconds));
        self.step(Input::Timer);
    }
}
