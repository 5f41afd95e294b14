//! A whole cluster in one thread: virtual time, a seeded network, hosts with logs in memory. The seed of the simulator.
#![allow(dead_code)]

pub mod claims;
pub mod disk;
pub mod gang;
pub mod logs;
pub mod oracle;
pub mod prng;
pub mod solo;
pub mod world;

use disk::{Diary, Disk, Done};
use logothete::sim::forge::Forge;
use logothete::{
    AppCommand, Application, Bytes, Cluster, ClusterBuilder, Decision, Disposition, Envelope, Event, Input, Outbox, Output, PeerLink,
    Recipients, RecoverError, Replica, ReplicaId, RequestNumber, SigningKey, Snapshots, Start, Time, Tuning, Unverified, Verifier, Write,
};
use oracle::Oracle;
use prng::Prng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub fn replica_key(index: usize) -> SigningKey {
    SigningKey::from_bytes(&[index as u8 + 1; 32])
}

pub fn client_key(index: usize) -> SigningKey {
    let mut seed = [0xc1; 32];
    seed[0] = index as u8;
    SigningKey::from_bytes(&seed)
}

pub fn builder(replicas: usize, clients: usize) -> ClusterBuilder {
    Cluster::builder(
        (0..replicas).map(|index| replica_key(index).verifying_key()).collect(),
        (0..clients).map(|index| client_key(index).verifying_key()).collect(),
    )
}

/// One host: a replica, its log, its service.
pub struct Host {
    pub replica: Replica,
    pub key: SigningKey,
    /// Outlives the process.
    pub disk: Disk,
    pub app: Snapshots<Diary, Disk>,
    /// Records written, over all restarts.
    pub writes: u64,
    /// It crashes at this one of them.
    pub crash_at: Option<(u64, Fate)>,
    pub crashes: u64,
    pub events: Vec<Event>,
    pub dispositions: BTreeMap<String, usize>,
    pub refused: usize,
}

impl Host {
    /// Everything executed, in order.
    pub fn executed(&self) -> &[Done] {
        &self.app.service().done
    }
}

/// What a crash leaves of the record that was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Lost,
    /// So many percent of its bytes.
    Torn(u64),
    /// All of it; only what it promised was never sent.
    Kept,
}

type Twist = Box<dyn FnMut(&Envelope, &Forge) -> Vec<(Recipients, Vec<u8>)>>;

/// What a request's client still waits for.
struct Waiting {
    bytes: Vec<u8>,
    next: Time,
}

pub struct Net {
    pub cluster: Arc<Cluster>,
    pub forge: Forge,
    pub hosts: Vec<Host>,
    pub now: Time,
    pub random: Prng,
    /// Percent.
    pub loss: u64,
    pub duplication: u64,
    /// Microseconds, from and to.
    pub delay: (u64, u64),
    /// Pairs of replicas between which nothing passes, one way.
    pub cut: BTreeSet<(usize, usize)>,
    /// Hosts that are off.
    pub down: BTreeSet<usize>,
    /// What a traitor makes of what its replica wants to send.
    pub twists: BTreeMap<usize, Twist>,
    /// Clients that write to one replica first; all after a while.
    pub retry: Duration,
    pub oracle: Oracle,
    /// Every step and its outputs, if kept.
    pub trace: Option<String>,
    /// What is delivered to traitors, for those who plot with them.
    pub tap: Option<gang::Shared>,
    pub messages: usize,
    verifier: Verifier,
    queue: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    sent: u64,
    waiting: BTreeMap<(usize, RequestNumber), Waiting>,
    numbers: BTreeMap<usize, RequestNumber>,
    pub tuning: Tuning,
}

impl Net {
    pub fn new(replicas: usize, clients: usize, seed: u64) -> Self {
        Self::with(builder(replicas, clients).build().expect("a valid cluster"), seed)
    }

    pub fn with(cluster: Cluster, seed: u64) -> Self {
        Self::tuned(cluster, seed, Tuning::from_timeout(Duration::from_millis(800)))
    }

    pub fn tuned(cluster: Cluster, seed: u64, tuning: Tuning) -> Self {
        let cluster = Arc::new(cluster);
        let mut net = Self {
            forge: Forge::new(cluster.clone()),
            hosts: Vec::new(),
            now: Time(1_000_000),
            random: Prng::new(seed),
            loss: 0,
            duplication: 0,
            delay: (100, 1000),
            cut: BTreeSet::new(),
            down: BTreeSet::new(),
            twists: BTreeMap::new(),
            retry: Duration::from_millis(500),
            oracle: Oracle::new(cluster.size()),
            trace: None,
            tap: None,
            messages: 0,
            verifier: Verifier::new(cluster.clone()),
            queue: BTreeMap::new(),
            sent: 0,
            waiting: BTreeMap::new(),
            numbers: BTreeMap::new(),
            tuning,
            cluster,
        };
        for index in 0..net.cluster.size() as usize {
            let disk = Disk::default();
            let (replica, app, outbox) = net.open(index, Start::New, &disk).expect("a new replica starts");
            net.hosts.push(Host {
                replica,
                key: replica_key(index),
                disk,
                app,
                writes: 0,
                crash_at: None,
                crashes: 0,
                events: Vec::new(),
                dispositions: BTreeMap::new(),
                refused: 0,
            });
            net.serve(index, outbox);
        }
        net
    }

    fn open(&self, index: usize, start: Start, disk: &Disk) -> Result<(Replica, Snapshots<Diary, Disk>, Outbox), RecoverError> {
        let mut app = Snapshots::new(Diary::default(), disk.clone());
        let state = app.state().expect("a whole disk");
        let mut outbox = Outbox::new();
        let id = ReplicaId::new(index as u32);
        let replica = Replica::recover(self.cluster.clone(), id, self.tuning.clone(), start, state, disk.log(), &mut outbox)?;
        Ok((replica, app, outbox))
    }

    /// The process ends; what is on its disk stays.
    pub fn crash(&mut self, at: usize) {
        self.say(format!("{:?} R{at} CRASHES", self.now));
        self.down.insert(at);
        self.hosts[at].crashes += 1;
        self.hosts[at].crash_at = None;
    }

    /// The process starts again on what its disk has.
    pub fn restart(&mut self, at: usize, start: Start) -> Result<(), RecoverError> {
        let disk = self.hosts[at].disk.clone();
        let (replica, app, outbox) = self.open(at, start, &disk)?;
        self.say(format!("{:?} R{at} STARTS: {:?}", self.now, replica.status()));
        self.oracle.restarted(at, replica.status().executed, &app.service().done);
        self.hosts[at].replica = replica;
        self.hosts[at].app = app;
        self.down.remove(&at);
        self.serve(at, outbox);
        Ok(())
    }

    /// A correct host that isn't a traitor's.
    pub fn loyal(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|index| !self.twists.contains_key(index)).collect()
    }

    pub fn say(&mut self, line: impl AsRef<str>) {
        if let Some(trace) = &mut self.trace {
            trace.push_str(line.as_ref());
            trace.push('\n');
        }
    }

    /// A client's next request, to these replicas; repeated to all until some correct replica has executed it.
    pub fn submit_to(&mut self, client: usize, operation: &[u8], replicas: &[usize]) -> RequestNumber {
        let number = self.numbers.get(&client).copied().unwrap_or_default().next();
        self.numbers.insert(client, number);
        let request = self.forge.request(&client_key(client), number, operation);
        let bytes = self.forge.request_message(&request);
        for replica in replicas {
            self.post(None, *replica, bytes.clone());
        }
        let next = self.now.after(self.retry);
        self.waiting.insert((client, number), Waiting { bytes, next });
        number
    }

    pub fn submit(&mut self, client: usize, operation: &[u8]) -> RequestNumber {
        let view = self.loyal().first().map(|index| self.hosts[*index].replica.status().view).unwrap_or_default();
        let primary = self.cluster.primary(view).get() as usize;
        self.submit_to(client, operation, &[primary])
    }

    /// Puts bytes on the wire to a replica.
    pub fn post(&mut self, from: Option<usize>, to: usize, bytes: Vec<u8>) {
        if from.is_some_and(|from| self.cut.contains(&(from, to))) || self.random.percent(self.loss) {
            return;
        }
        let copies = if self.random.percent(self.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.random.between(self.delay.0, self.delay.1);
            self.sent += 1;
            self.queue.insert((Time(self.now.0 + delay), self.sent), (to, bytes.clone()));
        }
    }

    /// Hands bytes to a replica now.
    pub fn deliver(&mut self, to: usize, bytes: &[u8]) -> Option<Disposition> {
        if self.down.contains(&to) {
            return None;
        }
        self.messages += 1;
        if self.tap.is_some() && self.twists.contains_key(&to) {
            self.tap.iter().for_each(|tap| tap.borrow_mut().learn(bytes, &self.forge));
        }
        let unverified = match Unverified::decode(PeerLink(0), bytes, self.cluster.limits()) {
            Ok(unverified) => unverified,
            Err(_) => {
                self.hosts[to].refused += 1;
                return None;
            }
        };
        if self.trace.is_none() && self.hosts[to].replica.screen().admit(&unverified).is_err() {
            return None;
        }
        match self.verifier.verify(unverified) {
            Ok(verified) => Some(self.step(to, Input::Message(verified))),
            Err(error) => {
                self.hosts[to].refused += 1;
                self.say(format!("{:?} R{to} refuses: {error}", self.now));
                None
            }
        }
    }

    pub fn step(&mut self, to: usize, input: Input) -> Disposition {
        let heading = match &input {
            Input::Message(verified) => format!("{:?} R{to} <- {verified}", self.now),
            Input::Timer => format!("{:?} R{to} <- timer", self.now),
            _ => String::new(),
        };
        let mut outbox = Outbox::new();
        let disposition = self.hosts[to].replica.step(self.now, input, &mut outbox);
        *self.hosts[to].dispositions.entry(format!("{disposition:?}")).or_default() += 1;
        let silent = outbox.is_empty() && disposition == Disposition::Applied;
        if !heading.is_empty() && !silent {
            let remark = if disposition == Disposition::Applied { String::new() } else { format!("  ({disposition:?})") };
            self.say(format!("{heading}{remark}"));
        }
        self.serve(to, outbox);
        disposition
    }

    /// Serves an outbox like a host that never dawdles: records, signatures, execution.
    fn serve(&mut self, at: usize, mut outbox: Outbox) {
        let outputs: Vec<Output> = outbox.drain().collect();
        // All records first: a receipt may set off the next record, and that must not come to the disk before these.
        for output in &outputs {
            if let Output::Write(write) = output {
                if !self.append(at, write) {
                    return;
                }
            }
        }
        for output in outputs {
            if self.down.contains(&at) && self.hosts.len() > at && self.hosts[at].crashes > 0 {
                // It crashed on the way.
                return;
            }
            self.say(format!("    {output}"));
            match output {
                Output::Write(write) => self.release(at, write),
                Output::Send(outgoing) => {
                    let envelopes = outgoing.sign(&self.hosts[at].key).expect("signed");
                    envelopes.iter().for_each(|envelope| self.send(at, envelope));
                }
                Output::App(command) => {
                    if let Some(input) = self.command(at, command) {
                        self.step(at, input);
                    }
                }
                Output::Event(event) => {
                    if let Event::Halted { reason } = &event {
                        assert!(self.twists.contains_key(&at), "R{at} halted: {reason}");
                    }
                    self.hosts[at].events.push(event);
                }
                other => panic!("unknown output {other}"),
            }
        }
    }

    /// False if it crashed at it.
    fn append(&mut self, at: usize, write: &Write) -> bool {
        self.hosts[at].writes += 1;
        let bytes = Bytes::from(write.record().as_bytes());
        let disk = self.hosts[at].disk.clone();
        if let Some((_, fate)) = self.hosts[at].crash_at.filter(|(when, _)| *when <= self.hosts[at].writes) {
            match fate {
                Fate::Lost => {}
                Fate::Torn(percent) => disk.append(write.index(), Bytes::from(&bytes[..bytes.len() * percent as usize / 100])),
                Fate::Kept => disk.append(write.index(), bytes),
            }
            self.crash(at);
            return false;
        }
        disk.append(write.index(), bytes);
        write.discards_before().into_iter().for_each(|index| disk.truncate_before(index));
        true
    }

    fn release(&mut self, at: usize, write: Write) {
        let (envelopes, receipt) = write.persisted().sign(&self.hosts[at].key).expect("signed");
        envelopes.iter().for_each(|envelope| self.send(at, envelope));
        self.step(at, Input::Persisted(receipt));
    }

    /// Serves the application's lane.
    fn command(&mut self, at: usize, command: AppCommand) -> Option<Input> {
        const WHOLE: &str = "a disk that works";
        match command {
            AppCommand::Execute(decision) => {
                let results = self.execute(at, &decision);
                Some(Input::Executed { sequence_number: decision.sequence_number(), results })
            }
            AppCommand::TakeCheckpoint(order) => Some(Input::CheckpointTaken(self.hosts[at].app.take_checkpoint(&order).expect(WHOLE))),
            AppCommand::DiscardBefore(number) => {
                self.hosts[at].app.discard_before(number).expect(WHOLE);
                None
            }
            AppCommand::ReadChunk { sequence_number, index } => {
                let bytes = self.hosts[at].app.read_chunk(sequence_number, index).expect(WHOLE);
                Some(Input::ChunkRead { sequence_number, index, bytes })
            }
            AppCommand::FetchState(manifest) => {
                let missing = self.hosts[at].app.missing_parts(&manifest).expect(WHOLE);
                Some(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing })
            }
            AppCommand::StoreChunk { sequence_number, index, bytes } => {
                self.hosts[at].app.store_chunk(sequence_number, index, &bytes).expect(WHOLE);
                Some(Input::ChunkStored { sequence_number, index })
            }
            AppCommand::InstallState(manifest) => {
                let state = self.hosts[at].app.install(&manifest).expect(WHOLE);
                if !self.twists.contains_key(&at) {
                    self.oracle.restarted(at, state.last_executed, &self.hosts[at].app.service().done);
                }
                Some(Input::StateInstalled(state))
            }
            other => panic!("unknown command {other}"),
        }
    }

    fn execute(&mut self, at: usize, decision: &Decision) -> Vec<Bytes> {
        let loyal = !self.twists.contains_key(&at);
        if loyal {
            self.oracle.decided(at, decision.sequence_number(), decision.digest());
        }
        for request in decision.requests() {
            if loyal {
                self.oracle.executed(at, request);
                let client = (0..self.numbers.len().max(1) + 64)
                    .find(|index| client_key(*index).verifying_key().to_bytes() == *request.client().as_bytes());
                if let Some(client) = client {
                    self.waiting.remove(&(client, request.number()));
                }
            }
        }
        self.hosts[at].app.execute(decision).expect("a service in memory")
    }

    fn send(&mut self, from: usize, envelope: &Envelope) {
        if self.down.contains(&from) {
            return;
        }
        if let Some(mut twist) = self.twists.remove(&from) {
            let forge = self.forge.clone();
            for (to, bytes) in twist(envelope, &forge) {
                self.oracle.claims.saw(None, &bytes, &forge);
                self.dispatch(from, to, &bytes);
            }
            self.twists.insert(from, twist);
            return;
        }
        let bytes = envelope.encode();
        self.oracle.sent(from, &bytes, &self.forge);
        self.dispatch(from, envelope.to(), &bytes);
    }

    pub fn dispatch(&mut self, from: usize, to: Recipients, bytes: &[u8]) {
        match to {
            Recipients::AllReplicas => {
                for replica in (0..self.hosts.len()).filter(|replica| *replica != from) {
                    self.post(Some(from), replica, bytes.to_vec());
                }
            }
            Recipients::Replica(replica) => self.post(Some(from), replica.get() as usize, bytes.to_vec()),
            Recipients::Client(_) => {}
        }
    }

    fn next_moment(&self) -> Option<Time> {
        let message = self.queue.keys().next().map(|(time, _)| *time);
        let retry = self.waiting.values().map(|waiting| waiting.next).min();
        let deadline = self
            .hosts
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.down.contains(index))
            .filter_map(|(_, host)| host.replica.deadline())
            .min();
        [message, retry, deadline].into_iter().flatten().min()
    }

    /// Lets one moment happen.
    pub fn tick(&mut self, until: Time) -> bool {
        let Some(moment) = self.next_moment().filter(|moment| *moment <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(moment);
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, bytes) = entry.remove();
            self.deliver(to, &bytes);
        }
        for index in 0..self.hosts.len() {
            if !self.down.contains(&index) && self.hosts[index].replica.deadline().is_some_and(|deadline| deadline <= self.now) {
                self.step(index, Input::Timer);
            }
        }
        let due: Vec<_> = self.waiting.iter().filter(|(_, waiting)| waiting.next <= self.now).map(|(key, _)| *key).collect();
        for key in due {
            let next = self.now.after(self.retry);
            let Some(waiting) = self.waiting.get_mut(&key) else { continue };
            waiting.next = next;
            let bytes = waiting.bytes.clone();
            for replica in 0..self.hosts.len() {
                self.post(None, replica, bytes.clone());
            }
        }
        true
    }

    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.tick(until) {}
    }

    /// Runs until `done`; panics with everybody's state if that takes longer than `limit` of virtual time.
    pub fn run_until(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let until = self.now.after(limit);
        while !done(self) {
            assert!(self.tick(until), "not within {limit:?}: {what}\n{}", self.describe());
        }
    }

    /// Everything submitted is executed by each of these replicas.
    pub fn all_executed(&self, replicas: &[usize]) -> bool {
        let total: u64 = self.numbers.values().map(|number| number.get()).sum();
        replicas.iter().all(|index| self.hosts[*index].executed().len() as u64 >= total)
    }

    pub fn settle(&mut self, limit: Duration, replicas: &[usize]) {
        self.run_until(limit, "everything submitted is executed", |net| net.all_executed(replicas));
        self.oracle.check();
    }

    pub fn describe(&self) -> String {
        self.hosts.iter().map(|host| format!("{:?}\n", host.replica.status())).collect()
    }

    pub fn count_events(&self, at: usize, pick: impl Fn(&Event) -> bool) -> usize {
        self.hosts[at].events.iter().filter(|event| pick(event)).count()
    }
}
