//! Five processes, the wire between them, and what watches over them: everything at once, in the order in which it was sent.

use super::scenarios::{PROCESSES, Round};
use crate::sim::forge::{Forge, Seen};
use crate::sim::oracle::Oracle;
use crate::sim::parcel::Letter;
use crate::sim::{Parcel, Pen, builder, client_key, replica_key};
use crate::{
    AppCommand, AppState, Bytes, Cluster, Disposition, Envelope, Event, Input, MessageKind, Outbox, Output, Recipients, Replica, ReplicaId,
    RequestNumber, SequenceNumber, Start, Time, Tuning, Verifier, View, Write,
};
use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

const REPLICAS: usize = 4;
/// Long enough for all rounds together: in a round nobody loses patience unless it is told to.
const TIMEOUT: Duration = Duration::from_millis(800);
/// A request for each side of each round, and one after healing.
const CLIENTS: usize = 32;
/// What a round of five processes and what healing may take, in messages: whoever needs more is in a loop.
const ROUND_MESSAGES: u64 = 20_000;
const HEALING_MESSAGES: u64 = 100_000;
const HEALING: Duration = Duration::from_secs(300);

/// What no scene changes.
struct Stage {
    cluster: Arc<Cluster>,
    verifier: Verifier,
    forge: Forge,
    pens: Vec<Pen>,
}

struct Process {
    replica: Replica,
    /// One bit for each client whose request its service executed.
    executed: u64,
}

/// Four replicas, and the first of them a second time.
pub struct Scene {
    stage: Arc<Stage>,
    processes: Vec<Process>,
    oracle: Oracle,
    now: Time,
    /// Which side each process is on.
    sides: [usize; PROCESSES],
    /// Commits, and what tells of them, are lost.
    halved: bool,
    queue: VecDeque<(usize, Parcel)>,
    /// Nothing but what tells the others of wishes leaves, and it reaches all.
    wishing: bool,
    /// One bit for each client whose request some correct replica was given.
    submitted: u64,
    /// Messages handed to replicas.
    pub messages: u64,
    /// Every step in words, if kept.
    pub trace: Option<String>,
    /// A correct replica that loses its log before each round and starts as new, which none may: to see that this is found.
    pub forgetful: Option<usize>,
}

/// The replica that a process runs.
fn replica_of(process: usize) -> usize {
    process % REPLICAS
}

/// Replica 0 is the faulty one.
fn is_correct(process: usize) -> bool {
    replica_of(process) != 0
}

fn tuning() -> Tuning {
    Tuning::from_timeout(TIMEOUT)
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Scene {
    /// All processes have just been started.
    ///
    /// # Panics
    /// Never.
    pub fn new() -> Self {
        // P6: so short a pipeline that each vote is said: more of them meet, and more can be contradicted.
        let cluster = Arc::new(builder(REPLICAS, CLIENTS).pipeline(4).with_keyed_hash().build().expect("a valid cluster"));
        let stage = Stage {
            verifier: Verifier::new(cluster.clone()),
            forge: Forge::new(cluster.clone()),
            pens: (0..REPLICAS).map(|replica| Pen::new(&cluster, replica_key(replica))).collect(),
            cluster,
        };
        let mut scene = Self {
            stage: Arc::new(stage),
            processes: Vec::new(),
            oracle: Oracle::new(REPLICAS as u32),
            now: Time(1_000_000),
            sides: [0; PROCESSES],
            halved: false,
            queue: VecDeque::new(),
            wishing: false,
            submitted: 0,
            messages: 0,
            trace: None,
            forgetful: None,
        };
        let outboxes: Vec<Outbox> = (0..PROCESSES).map(|process| scene.start(process)).collect();
        for (process, mut outbox) in outboxes.into_iter().enumerate() {
            scene.serve(process, outbox.drain().collect());
            scene.step(process, Input::Timer);
        }
        scene.drain(ROUND_MESSAGES);
        scene
    }

    fn start(&mut self, process: usize) -> Outbox {
        let mut outbox = Outbox::new();
        let (cluster, me) = (self.stage.cluster.clone(), ReplicaId::new(replica_of(process) as u32));
        let replica =
            Replica::recover(cluster, me, tuning(), Start::New, AppState::default(), [], &mut outbox).expect("a new replica starts");
        let new = Process { replica, executed: 0 };
        if process < self.processes.len() {
            self.processes[process] = new
        } else {
            self.processes.push(new)
        }
        outbox
    }

    /// The same scene again, for another continuation.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = |process: &Process| Process { replica: process.replica.fork(), ..*process };
        Self {
            stage: self.stage.clone(),
            processes: self.processes.iter().map(fork).collect(),
            oracle: self.oracle.clone(),
            now: self.now,
            sides: self.sides,
            halved: self.halved,
            queue: self.queue.clone(),
            wishing: self.wishing,
            submitted: self.submitted,
            messages: self.messages,
            trace: self.trace.clone(),
            forgetful: self.forgetful,
        }
    }

    /// How many positions some correct replica has decided.
    pub fn decisions(&self) -> u64 {
        self.oracle.decisions() as u64
    }

    /// How many correct replicas hold proof against replica 0.
    pub fn proofs(&self) -> u64 {
        let holds = |process: &usize| is_correct(*process) && self.processes[*process].replica.accuses(ReplicaId::new(0));
        (0..PROCESSES).filter(holds).count() as u64
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push_str(&line());
            trace.push('\n');
        }
    }

    /// Plays the next round.
    ///
    /// # Panics
    /// When an invariant breaks.
    pub fn play(&mut self, number: usize, round: Round) {
        self.say(|| format!("--- round {number}: {round}"));
        self.now = self.now.after(Duration::from_millis(1));
        if let Some(process) = self.forgetful.filter(|_| number > 0) {
            let mut outbox = self.start(process);
            self.oracle.restarted(process, SequenceNumber::default(), &[]);
            self.serve(process, outbox.drain().collect());
            self.step(process, Input::Timer);
        }
        self.sides = core::array::from_fn(|process| round.side(process));
        self.halved = round.loses_commits();
        self.lead(round.leader());
        for side in 0..2 {
            self.submit(2 * number + side, side);
        }
        self.drain(ROUND_MESSAGES);
        // What is missing is asked for, what was said is said again, and asked for again.
        for part in [30, 7, 30] {
            self.now = self.now.after(TIMEOUT / part);
            self.timers();
            self.drain(ROUND_MESSAGES);
        }
        self.check();
    }

    /// Everybody goes to the lowest view that `leader` leads and nobody is beyond of; if they are there, they stay.
    fn lead(&mut self, leader: usize) {
        let highest = self.processes.iter().map(|process| process.replica.standing()).map(|at| at.want.max(at.view)).max();
        let highest = highest.unwrap_or_default().get();
        let view = View::new(highest + (leader as u64 + REPLICAS as u64 - highest % REPLICAS as u64) % REPLICAS as u64);
        if self.processes.iter().all(|process| process.replica.standing().view == view) {
            return;
        }
        self.say(|| format!("--- all wish for {view:?}"));
        self.wishing = true;
        for process in 0..PROCESSES {
            self.processes[process].replica.lose_patience(view);
            self.step(process, Input::Timer);
        }
        self.wishing = false;
        self.drain(ROUND_MESSAGES);
    }

    fn submit(&mut self, client: usize, side: usize) {
        let request = self.stage.forge.request(&client_key(client), RequestNumber::new(1), &[client as u8]);
        let parcel = Parcel::from(self.stage.forge.request_message(&request));
        let there: Vec<usize> = (0..PROCESSES).filter(|process| self.sides[*process] == side).collect();
        self.submitted |= u64::from(there.iter().any(|process| is_correct(*process))) << client;
        self.queue.extend(there.into_iter().map(|process| (process, parcel.clone())));
    }

    /// Whoever wants to be called by now is.
    fn timers(&mut self) {
        for process in 0..PROCESSES {
            if self.processes[process].replica.deadline().is_some_and(|due| due <= self.now) {
                self.step(process, Input::Timer);
            }
        }
    }

    fn drain(&mut self, most: u64) {
        let end = self.messages + most;
        while let Some((to, parcel)) = self.queue.pop_front() {
            assert!(self.messages < end, "I20: {most} messages, and no end of it");
            self.hand(to, &parcel);
        }
    }

    fn hand(&mut self, to: usize, parcel: &Parcel) {
        self.messages += 1;
        let stage = self.stage.clone();
        let limits = stage.cluster.limits();
        match parcel.letter(limits, &stage.verifier) {
            Letter::True(verified) => {
                let disposition = self.step(to, Input::Message(verified.clone()));
                if let (true, Disposition::Applied, Some(Seen::NewView { view, base })) = (is_correct(to), disposition, self.seen(parcel)) {
                    self.oracle.claims.begun(*view, *base);
                }
            }
            Letter::False(_, error) => panic!("it says what does not verify: {error}"),
            Letter::Noise => panic!("it says what is no message"),
        }
    }

    fn seen<'a>(&self, parcel: &'a Parcel) -> Option<&'a Seen> {
        parcel.seen(self.stage.cluster.limits(), &self.stage.verifier, &self.stage.forge)
    }

    fn step(&mut self, at: usize, input: Input) -> Disposition {
        let mut outputs = VecDeque::new();
        let disposition = self.take(at, input, &mut outputs);
        self.serve(at, outputs);
        disposition
    }

    /// Puts what comes of it behind what waits to be done: a service's work has to be done in order.
    fn take(&mut self, at: usize, input: Input, outputs: &mut VecDeque<Output>) -> Disposition {
        let heading = match &input {
            Input::Message(verified) if self.trace.is_some() => format!("{} <- {verified}", name(at)),
            Input::Timer if self.trace.is_some() => format!("{} <- timer", name(at)),
            _ => String::new(),
        };
        let mut outbox = Outbox::new();
        let disposition = self.processes[at].replica.step(self.now, input, &mut outbox);
        let silent = outbox.is_empty() && disposition == Disposition::Applied;
        if !heading.is_empty() && !silent {
            self.say(|| if disposition == Disposition::Applied { heading } else { format!("{heading}  ({disposition:?})") });
        }
        outputs.extend(outbox.drain());
        disposition
    }

    fn serve(&mut self, at: usize, mut outputs: VecDeque<Output>) {
        while let Some(output) = outputs.pop_front() {
            if self.trace.is_some() {
                let line = format!("    {output}");
                self.say(|| line);
            }
            match output {
                Output::Write(write) => self.write(at, write, &mut outputs),
                Output::Send(outgoing) => {
                    let envelopes = outgoing.sign(&self.stage.pens[replica_of(at)]).expect("signed");
                    envelopes.iter().for_each(|envelope| self.send(at, envelope, Parcel::from(envelope.encode())));
                }
                Output::App(command) => self.order(at, &command, &mut outputs),
                Output::Event(event) => self.note(at, &event),
            }
        }
    }

    fn write(&mut self, at: usize, write: Write, outputs: &mut VecDeque<Output>) {
        let (envelopes, receipt) = write.persisted().sign(&self.stage.pens[replica_of(at)]).expect("signed");
        for envelope in &envelopes {
            let parcel = Parcel::from(envelope.encode());
            if is_correct(at) {
                if let Some(seen) = self.seen(&parcel) {
                    self.oracle.released(at, seen);
                }
            }
            self.send(at, envelope, parcel);
        }
        self.take(at, Input::Persisted(receipt), outputs);
    }

    fn send(&mut self, from: usize, envelope: &Envelope, parcel: Parcel) {
        if let Some(seen) = self.seen(&parcel) {
            if is_correct(from) { self.oracle.sent(from, seen) } else { self.oracle.claims.saw(None, seen) }
        }
        if self.wishing && envelope.kind() == MessageKind::Status {
            // All hear of it, whatever side they are on, and of nothing else: votes that go with it stay behind.
            let bare = Parcel::from(self.stage.forge.bare_status(parcel.bytes()).expect("a status"));
            return self.queue.extend((0..PROCESSES).filter(|to| *to != from).map(|to| (to, bare.clone())));
        }
        if self.halved && matches!(envelope.kind(), MessageKind::Commit | MessageKind::Certificate | MessageKind::Status) {
            return;
        }
        let is_for = |to: usize| match envelope.to() {
            Recipients::AllReplicas => true,
            Recipients::Replica(replica) => replica.get() as usize == replica_of(to),
            Recipients::Client(_) => false,
        };
        let sides = self.sides;
        let to = (0..PROCESSES).filter(|to| *to != from && sides[*to] == sides[from] && is_for(*to));
        self.queue.extend(to.map(|to| (to, parcel.clone())));
    }

    fn order(&mut self, at: usize, command: &AppCommand, outputs: &mut VecDeque<Output>) {
        let AppCommand::Execute(decision) = command else { return };
        let done = decision.requests().fold(0, |done, request| done | 1 << request.operation()[0]);
        self.processes[at].executed |= done;
        if is_correct(at) {
            self.oracle.decided(at, decision.sequence_number(), decision.digest());
            decision.requests().for_each(|request| self.oracle.executed(at, request));
        }
        let results = decision.requests().map(|request| Bytes::from(request.operation())).collect();
        self.take(at, Input::Executed { sequence_number: decision.sequence_number(), results }, outputs);
    }

    fn note(&mut self, at: usize, event: &Event) {
        match event {
            Event::Halted { reason } => assert!(!is_correct(at), "R{at} halted: {reason}"),
            Event::Evidence(evidence) => {
                assert!(!is_correct(at) || evidence.culprit().get() == 0, "I21: R{at} has proof against a correct replica: {evidence}");
            }
            _ => {}
        }
    }

    fn check(&self) {
        self.oracle.check();
        self.oracle.claims.check(self.stage.cluster.quorum() as usize - 1);
    }

    /// All are on one side again, and time goes on: what correct replicas were asked for is executed by all of them.
    ///
    /// # Panics
    /// When it isn't, or an invariant breaks.
    pub fn heal(&mut self) {
        self.say(|| "--- healed".to_owned());
        (self.sides, self.halved) = ([0; PROCESSES], false);
        self.submit(CLIENTS - 1, 0);
        let (end, most) = (self.now.after(HEALING), self.messages + HEALING_MESSAGES);
        loop {
            self.drain(HEALING_MESSAGES);
            let has_all = |process: &Process| process.executed & self.submitted == self.submitted;
            if (0..PROCESSES).filter(|process| is_correct(*process)).all(|process| has_all(&self.processes[process])) {
                break;
            }
            let next = self.processes.iter().filter_map(|process| process.replica.deadline()).min();
            self.now = self.now.max(next.unwrap_or(Time(u64::MAX)));
            assert!(
                self.now < end && self.messages < most,
                "I20: healed, and after {HEALING:?} or {HEALING_MESSAGES} messages not everything is executed"
            );
            self.timers();
        }
        self.check();
    }
}

fn name(process: usize) -> &'static str {
    ["0", "1", "2", "3", "0'"][process]
}
