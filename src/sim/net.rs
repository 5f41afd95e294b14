//! A whole cluster in one thread: virtual time, a seeded network, hosts with logs in memory. The seed of the simulator.

use super::desk::Desk;
use super::disk::Disk;
use super::flights::{Flights, Moment};
use super::forge::{Forge, Seen};
use super::host::{Host, Slowness};
use super::oracle::Oracle;
use super::orders::Orders;
use super::parcel::{Letter, Parcel};
use super::prng::Prng;
use super::{Pen, Trait, gang};
use super::{builder, replica_key};
use crate::message::Message;
use crate::{
    ClientInput, Cluster, Disposition, Envelope, Input, MessageKind, Outbox, Recipients, RequestNumber, Screened, Service, Start, Time,
    Tuning, Unverified, Verifier,
};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

/// One tape after the other.
pub(super) type Reels = Arc<Mutex<Vec<Vec<u8>>>>;

/// What a traitor sends in the place of an envelope.
pub type Twist = Box<dyn FnMut(&Envelope, &Forge) -> Vec<(Recipients, Vec<u8>)>>;

/// The whole of it.
pub struct Net {
    /// Who takes part.
    pub cluster: Arc<Cluster>,
    /// Writes and reads messages for it.
    pub forge: Forge,
    /// One for each replica.
    pub hosts: Vec<Host>,
    /// Virtual time.
    pub now: Time,
    /// All chance is from here.
    pub random: Prng,
    /// Percent.
    pub loss: u64,
    /// Percent that arrive twice.
    pub duplication: u64,
    /// Microseconds, from and to.
    pub delay: (u64, u64),
    /// Pairs of replicas between which nothing passes, one way.
    pub cut: BTreeSet<(usize, usize)>,
    /// The same, for as long as there are twins: who is in touch with which of the two.
    apart: BTreeSet<(usize, usize)>,
    /// Hosts that hear and do nothing for a while.
    pub down: BTreeSet<usize>,
    /// Hosts that have crashed and not yet been started again.
    pub dead: BTreeSet<usize>,
    /// How long disks and services take.
    pub slow: Slowness,
    /// Records wait in the outbox while the disk is busy, so that votes are passed over; else each is taken at once. (P6)
    pub gathers: bool,
    /// The same for one host.
    pub slow_at: BTreeMap<usize, Slowness>,
    /// What a traitor makes of what its replica wants to send.
    pub twists: BTreeMap<usize, Twist>,
    /// Clients that write to one replica first; all after a while.
    pub retry: Duration,
    /// What watches over the invariants.
    pub oracle: Oracle,
    /// Every step and its outputs, if kept.
    pub trace: Option<String>,
    /// What is delivered to traitors, for those who plot with them.
    pub tap: Option<gang::Shared>,
    /// How many were handed to hosts.
    pub messages: usize,
    /// How many of each kind were put on the wire, and their bytes; none where [`reads`](Self::reads) is above 1.
    pub sent_kinds: BTreeMap<MessageKind, (u64, u64)>,
    /// Everything that correct hosts send, and who, if kept.
    pub record: Option<Vec<(usize, Vec<u8>)>>,
    /// Kinds of which nothing arrives.
    pub mute: BTreeSet<MessageKind>,
    /// How much longer what a host sends is on its way, in microseconds.
    pub lag: BTreeMap<usize, u64>,
    /// How much longer for each KiB of it.
    pub per_kib: u64,
    /// How many steps a picture for screening lasts: 1 for one that is never old, more for hosts that take in whole loads.
    pub glance: u32,
    /// Of what correct replicas and enlisted clients say, one message in so many is read back from its bytes and verified, and must be what was said; the others are taken
    /// as they were said. 1, as it is at first: all are read and verified.
    pub reads: u32,
    /// Clients that are the crate's own.
    pub desks: BTreeMap<usize, Desk>,
    pub(super) verifier: Verifier,
    /// What is on its way to them.
    mail: Flights,
    queue: Flights,
    sent: u64,
    wrapped: u32,
    pub(super) orders: Orders,
    /// When the first of the desks has something to do; the end of time for never.
    pub(super) desks_due: Time,
    pub(super) numbers: BTreeMap<usize, RequestNumber>,
    /// How patient the replicas are.
    pub tuning: Tuning,
    pub(super) service: Option<Box<dyn Fn() -> Box<dyn Service>>>,
    pub(super) reels: Option<Reels>,
    /// Empty, to be used again: a step needs one, and steps come by the million.
    pub(super) spare: Vec<Outbox>,
}

impl Net {
    /// So many replicas and clients, signing by Ed25519.
    pub fn new(replicas: usize, clients: usize, seed: u64) -> Self {
        Self::with(builder(replicas, clients).build().expect("a valid cluster"), seed)
    }

    /// The same for a configuration of one's own.
    pub fn with(cluster: Cluster, seed: u64) -> Self {
        Self::tuned(cluster, seed, Tuning::from_timeout(Duration::from_millis(800)))
    }

    /// And with replicas of that patience.
    pub fn tuned(cluster: impl Into<Arc<Cluster>>, seed: u64, tuning: Tuning) -> Self {
        Self::build(cluster.into(), seed, tuning, None, None)
    }

    /// The same, with a [tape](crate::tape) of each replica's every life.
    pub fn taped(cluster: impl Into<Arc<Cluster>>, seed: u64, tuning: Tuning) -> Self {
        Self::build(cluster.into(), seed, tuning, None, Some(Reels::default()))
    }

    /// The tapes so far, if they are made: in the order in which these lives began.
    pub fn tapes(&self) -> Vec<Vec<u8>> {
        let reels = self.reels.iter();
        reels.flat_map(|reels| reels.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// The same with a service of one's own, made anew whenever a host starts. What it answers and what it keeps must agree on all correct hosts.
    pub fn serving(cluster: impl Into<Arc<Cluster>>, seed: u64, tuning: Tuning, service: impl Fn() -> Box<dyn Service> + 'static) -> Self {
        Self::build(cluster.into(), seed, tuning, Some(Box::new(service)), None)
    }

    /// From now on this replica is a traitor's.
    pub fn betray(&mut self, at: usize, treason: Trait) {
        let twist = treason.twist(at, self.cluster.clone(), self.random.next());
        self.twists.insert(at, twist);
        if treason == Trait::Twin {
            self.add_twin(at);
        }
    }

    /// A second process with the key of replica `at`, new, with a disk of its own. Each other host is in touch with one of the two.
    fn add_twin(&mut self, at: usize) {
        let (twin, disk) = (self.hosts.len(), Disk::default());
        self.twists.insert(twin, Trait::Twin.twist(at, self.cluster.clone(), 0));
        self.apart.extend([(at, twin), (twin, at)]);
        for other in (0..twin).filter(|other| *other != at) {
            let far = if self.random.percent(50) { at } else { twin };
            self.apart.extend([(other, far), (far, other)]);
        }
        let (replica, app, outbox) = self.open(at, Start::New, &disk).expect("a new replica starts");
        self.hosts.push(Host::new(replica, Pen::new(&self.cluster, replica_key(at)), disk, app));
        self.hosts[twin].stepped();
        self.serve(twin, outbox);
    }

    fn build(
        cluster: Arc<Cluster>,
        seed: u64,
        tuning: Tuning,
        service: Option<Box<dyn Fn() -> Box<dyn Service>>>,
        reels: Option<Reels>,
    ) -> Self {
        let mut net = Self {
            forge: Forge::new(cluster.clone()),
            hosts: Vec::new(),
            now: Time(1_000_000),
            random: Prng::new(seed),
            loss: 0,
            duplication: 0,
            delay: (100, 1000),
            cut: BTreeSet::new(),
            apart: BTreeSet::new(),
            down: BTreeSet::new(),
            dead: BTreeSet::new(),
            slow: Slowness::default(),
            gathers: seed % 2 == 0,
            slow_at: BTreeMap::new(),
            twists: BTreeMap::new(),
            retry: Duration::from_millis(500),
            oracle: Oracle::new(cluster.size()),
            trace: None,
            tap: None,
            messages: 0,
            sent_kinds: BTreeMap::new(),
            record: None,
            mute: BTreeSet::new(),
            lag: BTreeMap::new(),
            per_kib: 0,
            glance: 1,
            reads: 1,
            verifier: Verifier::new(cluster.clone()),
            desks: BTreeMap::new(),
            mail: Flights::default(),
            queue: Flights::default(),
            sent: 0,
            wrapped: 0,
            orders: Orders::default(),
            desks_due: Time(u64::MAX),
            numbers: BTreeMap::new(),
            tuning,
            service,
            reels,
            spare: Vec::new(),
            cluster,
        };
        for index in 0..net.cluster.size() as usize {
            let disk = Disk::default();
            let (replica, app, outbox) = net.open(index, Start::New, &disk).expect("a new replica starts");
            net.hosts.push(Host::new(replica, Pen::new(&net.cluster, replica_key(index)), disk, app));
            net.hosts[index].stepped();
            net.serve(index, outbox);
        }
        net
    }

    /// A correct host that isn't a traitor's.
    pub fn loyal(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|index| !self.twists.contains_key(index)).collect()
    }

    /// Adds a line to the trace, if it is kept.
    pub fn say(&mut self, line: impl AsRef<str>) {
        if let Some(trace) = &mut self.trace {
            trace.push_str(line.as_ref());
            trace.push('\n');
        }
    }

    /// Puts bytes on the wire to a replica.
    pub fn post(&mut self, from: Option<usize>, to: usize, parcel: impl Into<Parcel>) {
        let parcel = parcel.into();
        if from.is_some_and(|from| self.cut.contains(&(from, to)) || self.apart.contains(&(from, to))) || self.random.percent(self.loss) {
            return;
        }
        let length = if self.per_kib > 0 { parcel.bytes().len() as u64 } else { 0 };
        for moment in self.moments(from, length) {
            self.queue.send(moment, to, parcel.clone());
        }
    }

    /// When what is sent now arrives: once, or twice.
    fn moments(&mut self, from: Option<usize>, length: u64) -> impl Iterator<Item = Moment> + use<> {
        let copies = if self.random.percent(self.duplication) { 2 } else { 1 };
        let mut moments = [None, None];
        for moment in moments.iter_mut().take(copies) {
            let lag = from.and_then(|from| self.lag.get(&from)).copied().unwrap_or_default();
            let delay = self.random.between(self.delay.0, self.delay.1) + lag + length * self.per_kib / 1024;
            self.sent += 1;
            *moment = Some((Time(self.now.0 + delay), self.sent));
        }
        moments.into_iter().flatten()
    }

    /// Hands bytes to a replica now.
    pub fn deliver(&mut self, to: usize, bytes: &[u8]) -> Option<Disposition> {
        self.hand(to, &Parcel::from(bytes))
    }

    fn hand(&mut self, to: usize, parcel: &Parcel) -> Option<Disposition> {
        if self.is_off(to) {
            return None;
        }
        self.messages += 1;
        let letter = parcel.letter(self.cluster.limits(), &self.verifier);
        if let Some(tap) = self.tap.as_ref().filter(|_| self.twists.contains_key(&to)) {
            // They sign again what others have signed, and nothing else in their names.
            let seen = self.seen(parcel).filter(|_| matches!(letter, Letter::True(_)));
            tap.borrow_mut().learn(parcel.bytes(), seen.cloned(), &self.forge);
        }
        let message = match letter {
            Letter::True(verified) => &verified.message,
            Letter::False(unverified, _) => &unverified.message,
            Letter::Noise => {
                self.hosts[to].refused += 1;
                return None;
            }
        };
        let vouched = match self.screened(to, message) {
            Ok(vouched) => vouched.map(|unverified| self.verifier.verify(unverified)),
            Err(why) => {
                if self.trace.is_some() {
                    self.say(format!("{:?} R{to} <- {message}  (screened: {why})", self.now));
                }
                return None;
            }
        };
        if let Some(Ok(verified)) = vouched {
            return Some(self.step(to, Input::Message(verified)));
        }
        assert!(vouched.is_none() || !matches!(letter, Letter::True(_)), "3.6: a certificate that is held spoils a message");
        match letter {
            Letter::True(verified) => {
                let heading = self.trace.is_some().then(|| format!("{:?} R{to} <- {verified}", self.now));
                let disposition = self.step_by(to, heading, || Input::Message(verified.clone()));
                if verified.kind() == MessageKind::NewView && disposition == Disposition::Applied && !self.twists.contains_key(&to) {
                    if let Some(Seen::NewView { view, base }) = self.seen(parcel) {
                        self.oracle.claims.begun(*view, *base);
                    }
                }
                Some(disposition)
            }
            Letter::False(_, error) => {
                self.hosts[to].refused += 1;
                self.hosts[to].replica.refused(self.now, parcel.bytes(), error);
                if self.trace.is_some() {
                    self.say(format!("{:?} R{to} refuses: {error}", self.now));
                }
                None
            }
            Letter::Noise => None,
        }
    }

    // 3.6
    /// Is it worth verifying, and with which certificate that is held instead of its own, if there is one?
    fn screened(&mut self, to: usize, message: &Message) -> Result<Option<Unverified>, Screened> {
        let glance = self.glance;
        let host = &mut self.hosts[to];
        if glance > 1 {
            let picture = host.screen(glance).picture();
            return picture.admit(message).map(|()| picture.vouched(message));
        }
        let picture = host.replica.picture_for(message);
        let verdict = picture.admit(message);
        debug_assert_eq!(verdict, host.replica.screen().picture().admit(message), "of {message}");
        verdict.map(|()| picture.vouched(message))
    }

    pub(super) fn seen<'a>(&self, parcel: &'a Parcel) -> Option<&'a Seen> {
        parcel.seen(self.cluster.limits(), &self.verifier, &self.forge)
    }

    /// Hands a replica an input, and serves what comes out.
    pub fn step(&mut self, to: usize, input: Input) -> Disposition {
        let heading = match &input {
            Input::Message(verified) if self.trace.is_some() => Some(format!("{:?} R{to} <- {verified}", self.now)),
            Input::Timer if self.trace.is_some() => Some(format!("{:?} R{to} <- timer", self.now)),
            _ => None,
        };
        self.step_by(to, heading, move || input)
    }

    /// The same for an input that is made where it is used: it is long, and steps come by the million.
    #[inline]
    fn step_by(&mut self, to: usize, heading: Option<String>, input: impl FnOnce() -> Input) -> Disposition {
        let mut outbox = self.spare.pop().unwrap_or_default();
        let told = self.hosts[to].clock.read(self.now);
        self.hosts[to].steps(self.glance);
        let disposition = self.hosts[to].replica.step(told, input(), &mut outbox);
        let silent = outbox.is_empty() && disposition == Disposition::Applied;
        if let Some(heading) = heading.filter(|_| !silent) {
            let remark = if disposition == Disposition::Applied { String::new() } else { format!("  ({disposition:?})") };
            self.say(format!("{heading}{remark}"));
        }
        if self.messages % 64 == 0 {
            self.check_usage(to);
        }
        self.hosts[to].stepped();
        if outbox.is_empty() {
            self.spare.push(outbox);
            self.serve_due(to);
        } else {
            self.serve(to, outbox);
        }
        disposition
    }

    /// Does nothing: it has crashed, or is held up.
    pub fn is_off(&self, at: usize) -> bool {
        self.down.contains(&at) || self.dead.contains(&at)
    }

    // C4
    /// With a state that nobody shares a replica answers nobody and votes for nothing: it says again what it has said before a restart, and no more.
    /// (What it promised before it knew may still be on its way to the disk.)
    fn check_diverged(&self, from: usize, kind: MessageKind) {
        let speaks = matches!(kind, MessageKind::Reply | MessageKind::Answered) && self.hosts[from].replica.standing().diverged;
        assert!(!speaks, "C4: R{from} has diverged and sends a {kind:?}");
    }

    // I18
    fn check_usage(&self, at: usize) {
        for (name, used) in self.hosts[at].replica.status().usage.entries() {
            assert!(used.bytes <= used.limit, "I18: R{at} holds {used} of {name}");
        }
    }

    /// What a correct replica or client says.
    pub(super) fn wrap(&mut self, envelope: &Envelope) -> Parcel {
        if self.reads <= 1 {
            return Parcel::from(envelope.encode());
        }
        let said = self.verifier.vouch(envelope.message().clone());
        self.wrapped = self.wrapped.wrapping_add(1);
        if self.wrapped % self.reads > 0 {
            return Parcel::said(said);
        }
        let parcel = Parcel::from(envelope.encode());
        let is_read = matches!(parcel.letter(self.cluster.limits(), &self.verifier), Letter::True(read) if read.message == said.message);
        assert!(is_read, "what is said is not what is read of its bytes, or not believed: {envelope}");
        parcel
    }

    /// A host sends an envelope, and this parcel is its bytes.
    pub(super) fn send(&mut self, from: usize, envelope: &Envelope, parcel: Option<Parcel>) {
        if self.is_off(from) {
            return;
        }
        if let Some(twist) = self.twists.get_mut(&from) {
            let sent = twist(envelope, &self.forge);
            return self.send_twisted(from, envelope, sent);
        }
        let parcel = parcel.unwrap_or_else(|| self.wrap(envelope));
        if let Some(seen) = parcel.seen(self.cluster.limits(), &self.verifier, &self.forge) {
            self.oracle.sent(from, seen);
            if let Seen::Status { view, want, .. } = seen {
                if !self.hosts[from].replica.standing().rejoining {
                    self.oracle.told(from, *want.max(view));
                }
            }
        }
        self.check_diverged(from, envelope.kind());
        let copies = if envelope.to() == Recipients::AllReplicas { self.hosts.len() as u64 - 1 } else { 1 };
        let (count, sum) = self.sent_kinds.entry(envelope.kind()).or_default();
        *count += copies;
        // To write them only for this would take as long as all else here.
        *sum += if self.reads <= 1 { copies * parcel.bytes().len() as u64 } else { 0 };
        if let Some(record) = &mut self.record {
            record.push((from, parcel.bytes().to_vec()));
        }
        if self.mute.contains(&envelope.kind()) {
            return;
        }
        self.dispatch(from, envelope.to(), parcel);
    }

    fn send_twisted(&mut self, from: usize, envelope: &Envelope, sent: Vec<(Recipients, Vec<u8>)>) {
        // What its replica wanted to say is as good as what a correct one says.
        let plain = (self.reads > 1 && !sent.is_empty()).then(|| envelope.encode());
        let (mut truth, mut last): (Option<Parcel>, Option<Parcel>) = (None, None);
        for (to, bytes) in sent {
            // Most of what traitors send they send to several.
            let is_plain = plain.as_ref().is_some_and(|plain| **plain == *bytes);
            let known = if is_plain { &mut truth } else { &mut last };
            let parcel = match known.take() {
                Some(known) if is_plain || **known.bytes() == *bytes => known,
                _ if is_plain => self.wrap(envelope),
                _ => Parcel::from(bytes),
            };
            if let Some(seen) = parcel.seen(self.cluster.limits(), &self.verifier, &self.forge) {
                self.oracle.claims.saw(None, seen);
            }
            self.dispatch(from, to, parcel.clone());
            *known = Some(parcel);
        }
    }

    /// Puts what `from` sends on the wire.
    pub fn dispatch(&mut self, from: usize, to: Recipients, parcel: impl Into<Parcel>) {
        let parcel = parcel.into();
        match to {
            Recipients::AllReplicas => {
                for replica in (0..self.hosts.len()).filter(|replica| *replica != from) {
                    self.post(Some(from), replica, parcel.clone());
                }
            }
            Recipients::Replica(replica) => {
                let id = replica.get() as usize;
                let twins = self.cluster.size() as usize..self.hosts.len();
                for to in core::iter::once(id).chain(twins) {
                    if self.hosts.get(to).is_some_and(|host| host.id == id) {
                        self.post(Some(from), to, parcel.clone());
                    }
                }
            }
            Recipients::Client(id) => {
                // Nobody else reads what is sent to clients.
                let Some(client) = self.desk_of(&id).filter(|_| !self.random.percent(self.loss)) else { return };
                for moment in self.moments(Some(from), 0) {
                    self.mail.send(moment, client, parcel.clone());
                }
            }
        }
    }

    /// Never, if that is at the end of time.
    fn next_moment(&mut self) -> Time {
        let mail = self.mail.next().into_iter().chain(self.queue.next());
        let mut first = mail.fold(self.orders.next_retry.min(self.desks_due), Time::min);
        for (index, host) in self.hosts.iter_mut().enumerate() {
            let wakes = host.wakes();
            if wakes < first && !self.down.contains(&index) && !self.dead.contains(&index) {
                first = wakes;
            }
        }
        first
    }

    /// Lets one moment happen.
    pub fn tick(&mut self, until: Time) -> bool {
        let moment = self.next_moment();
        if moment > until || moment == Time(u64::MAX) {
            self.now = self.now.max(until);
            return false;
        }
        self.now = self.now.max(moment);
        while let Some((to, parcel)) = self.queue.arrived(self.now) {
            self.hand(to, &parcel);
        }
        for index in 0..self.hosts.len() {
            if self.hosts[index].wakes() > self.now {
                continue;
            }
            self.serve_due(index);
            if !self.is_off(index) && self.hosts[index].deadline() <= self.now {
                self.step(index, Input::Timer);
            }
        }
        if self.orders.next_retry <= self.now {
            self.repeat_requests();
        }
        while let Some((client, parcel)) = self.mail.arrived(self.now) {
            self.answer(client, &parcel);
        }
        if self.desks_due > self.now {
            return true;
        }
        let due = |desk: &Desk| desk.client.deadline().is_some_and(|due| due <= self.now);
        let due: Vec<usize> = self.desks.iter().filter(|(_, desk)| due(desk)).map(|(client, _)| *client).collect();
        for client in due {
            let _ = self.step_client(client, ClientInput::Timer);
        }
        true
    }
}
