//! The simple face: messages in, signed messages out. What it does with `Inbox`, `Screen`, `Verifier`, `Replica` and `persist`, any host can do in public API.

use crate::application::{AppError, Application};
use crate::cluster::Cluster;
use crate::durable::{Released, Wal, persist};
use crate::event::Event;
use crate::ids::{Bytes, RawSignature, ReplicaId};
use crate::inbox::{Inbox, Overflow};
use crate::outbox::{AppCommand, Envelope, Outbox, Outgoing};
#[cfg(not(feature = "tape"))]
use crate::replica::Replica;
use crate::replica::{AppState, Input, RecoverError, Start, Status};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::verify::{Check, PeerLink, Unverified, Verifier, VerifyError};
use crate::wire::{DecodeError, Payload};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ed25519_dalek::{Signature, Signer};
use thiserror::Error;

/// Why a node can't go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError<E> {
    /// It does not start.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The log failed. What it should have kept is not promised to anybody, and never will be by this node: stop it, mend the disk, recover.
    #[error("the log failed: {0}")]
    Wal(E),
    /// The log or the application failed before; this node is silent.
    #[error("the log or the application failed before; stop this node and recover it")]
    Stopped,
    /// The application failed; what is on its disk is for [`Application::state`] to say. Stop this node, mend what is broken, recover.
    #[error("the application failed: {0}")]
    App(AppError),
    /// The signer's signatures are not this replica's: nobody would believe a word of it. It has promised nothing.
    #[error("the signer has another key than replica {0} has in this cluster")]
    WrongKey(ReplicaId),
    /// The signer failed. Nothing is lost: call `run` again.
    #[error("{0}; nothing is lost, run again")]
    Sign(String),
    /// The replica found its own state broken and stopped for ever.
    #[error("the replica halted; keep its log, and report it")]
    Halted,
}

/// What became of the messages that a node received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Not decodable.
    pub malformed: u64,
    /// Dropped before verification: stale, doubled, not needed.
    pub screened: u64,
    /// Refused by verification: a signature or a rule was broken.
    pub refused: u64,
    /// Verified and handed to the replica.
    pub verified: u64,
    /// Dropped because the inbox was full, and its connection had most waiting.
    pub overflowed: u64,
    /// Dropped because its connection had sent more statuses and the like than anybody needs, or was doubted. (SPEC 3.7)
    pub limited: u64,
    /// Events that nobody asked for in time.
    pub events_lost: u64,
}

/// Refusals, and events, kept for a host that never asks for them.
const REFUSALS_MAX: usize = 1024;
const EVENTS_MAX: usize = 4096;

#[cfg(not(feature = "tape"))]
type Core = Replica;
#[cfg(feature = "tape")]
type Core = crate::tape::Recorder;

/// A replica with its log, its service and its signer, for hosts with one thread.
pub struct Node<W: Wal, A: Application, S: Signer<Signature>> {
    cluster: Arc<Cluster>,
    id: ReplicaId,
    verifier: Verifier,
    replica: Core,
    wal: W,
    application: A,
    signer: S,
    inbox: Inbox,
    outbox: Outbox,
    /// What a failing signer gave back.
    released: Vec<Released>,
    unsigned: Vec<Outgoing>,
    /// When it is tried again.
    sign_again: Option<Time>,
    /// What was signed in a run that then failed.
    envelopes: Vec<Envelope>,
    events: VecDeque<Event>,
    counters: Counters,
    refusals: Vec<(PeerLink, VerifyError)>,
    stopped: bool,
}

impl<W: Wal, A: Application, S: Signer<Signature>> Node<W, A, S> {
    /// Starts replica `id` from its log.
    ///
    /// # Errors
    /// [`NodeError`] says why it does not start; it has promised nothing.
    #[allow(clippy::too_many_arguments)]
    pub fn open(
        cluster: Arc<Cluster>,
        id: ReplicaId,
        tuning: Tuning,
        start: Start,
        wal: W,
        application: A,
        signer: S,
    ) -> Result<Self, NodeError<W::Error>> {
        let inbox = Inbox::new(&tuning);
        let recover = |app, records, out: &mut Outbox| Core::recover(cluster.clone(), id, tuning, start, app, records, out);
        told(id, Self::open_with(cluster.clone(), id, inbox, wal, application, signer, recover))
    }

    /// As [`open`](Self::open), with a [tape](crate::tape) of what the replica is told.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "tape")]
    #[allow(clippy::too_many_arguments)]
    pub fn open_taped(
        cluster: Arc<Cluster>,
        id: ReplicaId,
        tuning: Tuning,
        start: Start,
        wal: W,
        application: A,
        signer: S,
        tape: crate::tape::Sink,
    ) -> Result<Self, NodeError<W::Error>> {
        let inbox = Inbox::new(&tuning);
        let recover = |app, records, out: &mut Outbox| Core::taped(cluster.clone(), id, tuning, start, app, records, out, tape);
        told(id, Self::open_with(cluster.clone(), id, inbox, wal, application, signer, recover))
    }

    fn open_with(
        cluster: Arc<Cluster>,
        id: ReplicaId,
        inbox: Inbox,
        mut wal: W,
        mut application: A,
        signer: S,
        recover: impl FnOnce(AppState, Vec<(u64, Bytes)>, &mut Outbox) -> Result<Core, RecoverError>,
    ) -> Result<Self, NodeError<W::Error>> {
        let records: Vec<_> = wal.read().collect::<Result<_, _>>().map_err(NodeError::Wal)?;
        // Own signatures are not checked later: here is the one moment to find a wrong key file. SPEC 3.1: kind 0 says nothing.
        let probe = Payload::new(0, &cluster.id()).finish();
        let signature = signer.try_sign(&probe).map_err(|error| NodeError::Sign(error.to_string()))?;
        let signature = RawSignature(signature.to_bytes());
        if Check::replica(&cluster, id, probe, signature).is_ok_and(|check| check.run().is_err()) {
            return Err(NodeError::WrongKey(id));
        }
        let mut outbox = Outbox::new();
        let app = application.state().map_err(NodeError::App)?;
        let replica = recover(app, records, &mut outbox)?;
        Ok(Self {
            verifier: Verifier::new(cluster.clone()),
            cluster,
            id,
            replica,
            wal,
            application,
            signer,
            inbox,
            outbox,
            released: Vec::new(),
            unsigned: Vec::new(),
            sign_again: None,
            envelopes: Vec::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            refusals: Vec::new(),
            stopped: false,
        })
    }

    /// Parses a message and keeps it for the next [`run`](Self::run).
    ///
    /// # Errors
    /// [`DecodeError`]: the peer on `link` sent something that is no message. Nothing was kept.
    pub fn receive(&mut self, link: PeerLink, bytes: &[u8]) -> Result<(), DecodeError> {
        match Unverified::decode(link, bytes, self.cluster.limits()) {
            Ok(unverified) => {
                self.inbox.push(unverified);
                Ok(())
            }
            Err(error) => {
                self.counters.malformed += 1;
                #[cfg(feature = "tracing")]
                crate::trace::malformed(self.id, link, &error);
                Err(error)
            }
        }
    }

    /// Screens, verifies and steps what was received – of each connection at most about a MiB, the rest in the next run – and serves what comes out of it until nothing is left:
    /// records are made durable with one sync for all that are there, then signed; decisions are executed; what comes of these is served in the same way, so that
    /// a run may have several syncs. Gives the messages to send.
    ///
    /// # Errors
    /// [`NodeError`] says whether to call again ([`NodeError::Sign`]) or to stop.
    pub fn run(&mut self, now: Time) -> Result<Vec<Envelope>, NodeError<W::Error>> {
        told(self.id, self.advance(now))
    }

    fn advance(&mut self, now: Time) -> Result<Vec<Envelope>, NodeError<W::Error>> {
        if self.stopped {
            return Err(NodeError::Stopped);
        }
        if !self.released.is_empty() || !self.unsigned.is_empty() {
            // The signer failed before: until it works again nothing more is made for it to sign.
            self.persist_and_sign(now)?;
        }
        self.step_inbox(now);
        self.replica.step(now, Input::Timer, &mut self.outbox);
        loop {
            self.persist_and_sign(now)?;
            if self.outbox.is_empty() {
                break;
            }
            for command in self.outbox.app() {
                let answer = match serve(&mut self.application, command) {
                    Ok(answer) => answer,
                    Err(error) => {
                        self.stopped = true;
                        return Err(NodeError::App(error));
                    }
                };
                if let Some(input) = answer {
                    self.replica.step(now, input, &mut self.outbox);
                }
            }
            self.keep_events();
        }
        // Whichever step of this run it was that found the state broken.
        if self.replica.is_halted() {
            return Err(NodeError::Halted);
        }
        Ok(core::mem::take(&mut self.envelopes))
    }

    fn step_inbox(&mut self, now: Time) {
        let mut waiting = self.inbox.take(now);
        let mut looks = 0;
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|unverified| self.replica.needs(unverified).is_ok());
            self.counters.screened += (before - waiting.len()) as u64;
            let triage = self.replica.screen().triage_again(waiting, looks);
            looks += 1;
            self.counters.screened += triage.dropped as u64;
            // Only a quorum's worth of votes is verified; the spare ones are looked at again in case some of those were bad.
            waiting = triage.spare;
            if triage.needed.is_empty() {
                self.counters.screened += waiting.len() as u64;
                waiting.clear();
            }
            let mut needed = VecDeque::from(triage.needed);
            while !needed.is_empty() {
                let portion = self.inbox.portion(&mut needed, 1, now);
                let caught = self.verify_and_step(now, portion);
                if !caught.is_empty() {
                    let mut stays =
                        |unverified: &Unverified| !caught.contains(&unverified.link()) || self.inbox.lets_through(unverified, now);
                    needed.retain(&mut stays);
                    waiting.retain(&mut stays);
                }
            }
        }
    }

    /// Gives the connections that were trusted until now, and caught.
    fn verify_and_step(&mut self, now: Time, portion: Vec<Unverified>) -> BTreeSet<PeerLink> {
        let mut caught = BTreeSet::new();
        let links: Vec<_> = portion.iter().map(Unverified::link).collect();
        #[cfg(feature = "tape")]
        let mut copies = self.replica.copies(&portion).into_iter();
        for (link, verdict) in links.into_iter().zip(self.verifier.verify_all(portion)) {
            #[cfg(feature = "tape")]
            let copy = copies.next();
            match verdict {
                Ok(verified) => {
                    self.counters.verified += 1;
                    self.replica.step(now, Input::Message(verified), &mut self.outbox);
                }
                Err(error) => {
                    #[cfg(feature = "tape")]
                    copy.iter().for_each(|bytes| self.replica.refused(now, bytes, &error));
                    self.counters.refused += 1;
                    #[cfg(feature = "tracing")]
                    crate::trace::refused(self.id, link, &error);
                    if self.inbox.refused(link, now) {
                        caught.insert(link);
                    }
                    if self.refusals.len() < REFUSALS_MAX {
                        self.refusals.push((link, error));
                    }
                }
            }
        }
        caught
    }

    /// Beyond their bound the oldest events go; but none for a refused request, of which any client can cause any number.
    fn keep_events(&mut self) {
        for event in self.outbox.events() {
            #[cfg(feature = "tracing")]
            event.trace(self.id);
            if self.events.len() >= EVENTS_MAX {
                self.counters.events_lost += 1;
                if matches!(event, Event::Refused { .. }) {
                    continue;
                }
                self.events.pop_front();
            }
            self.events.push_back(event);
        }
    }

    fn persist_and_sign(&mut self, now: Time) -> Result<(), NodeError<W::Error>> {
        let writes = self.outbox.writes();
        match persist(&mut self.wal, writes) {
            Ok(released) if released.is_empty() => {}
            Ok(released) => self.released.push(released),
            Err(error) => {
                self.stopped = true;
                return Err(NodeError::Wal(error));
            }
        }
        self.unsigned.extend(self.outbox.sends());
        let mut released = core::mem::take(&mut self.released).into_iter();
        while let Some(next) = released.next() {
            match next.sign(&self.signer) {
                Ok((envelopes, receipt)) => {
                    self.envelopes.extend(envelopes);
                    self.replica.step(now, Input::Persisted(receipt), &mut self.outbox);
                }
                Err(error) => {
                    self.released.push(*error.returned);
                    self.released.extend(released);
                    self.sign_again = Some(now.after(self.inbox.interval()));
                    return Err(NodeError::Sign(error.reason));
                }
            }
        }
        let mut unsigned = core::mem::take(&mut self.unsigned).into_iter();
        while let Some(next) = unsigned.next() {
            match next.sign(&self.signer) {
                Ok(envelopes) => self.envelopes.extend(envelopes),
                Err(error) => {
                    self.unsigned.push(*error.returned);
                    self.unsigned.extend(unsigned);
                    self.sign_again = Some(now.after(self.inbox.interval()));
                    return Err(NodeError::Sign(error.reason));
                }
            }
        }
        self.sign_again = None;
        Ok(())
    }

    /// When [`run`](Self::run) wants to be called again if nothing is received before. While the signer fails that is a `status_interval` after the last
    /// try.
    pub fn deadline(&self) -> Option<Time> {
        if self.sign_again.is_some() {
            return self.sign_again;
        }
        // What waits in the inbox for its turn is due at once.
        if self.inbox.is_empty() { self.replica.deadline() } else { Some(Time::default()) }
    }
    /// Takes what happened since the last call. At most 4096 are kept, the latest; [`counters`](Self::counters) counts those that were lost.
    pub fn events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events).into()
    }
    /// Takes what verification refused since the last call, and over which connection it came: whoever is there lies, or passes lies on.
    /// At most 1024 are kept; [`counters`](Self::counters) counts all.
    pub fn refusals(&mut self) -> Vec<(PeerLink, VerifyError)> {
        core::mem::take(&mut self.refusals)
    }
    /// Where the replica stands.
    pub fn status(&self) -> Status {
        self.replica.status()
    }
    /// What became of the messages received.
    pub fn counters(&self) -> Counters {
        let Overflow { overflowed, limited } = self.inbox.overflow();
        Counters { overflowed, limited, ..self.counters }
    }
    /// The replicated application.
    pub fn application(&self) -> &A {
        &self.application
    }
    /// The log.
    pub fn wal(&self) -> &W {
        &self.wal
    }
}

/// Says what failed to `tracing`, where that is built in.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn told<T, E>(replica: ReplicaId, result: Result<T, NodeError<E>>) -> Result<T, NodeError<E>> {
    #[cfg(feature = "tracing")]
    match result.as_ref().err() {
        Some(NodeError::Sign(reason)) => crate::trace::signer_failed(replica, reason),
        // What its own error says is in what the host gets: it need not be printable.
        Some(NodeError::Wal(_)) => crate::trace::failed(replica, format_args!("the log failed; this node is silent")),
        Some(NodeError::App(error)) => crate::trace::failed(replica, format_args!("the application failed; this node is silent: {error}")),
        Some(NodeError::Recover(error)) => crate::trace::failed(replica, format_args!("does not start: {error}")),
        Some(NodeError::WrongKey(_)) => crate::trace::failed(replica, format_args!("does not start: its signer has another key")),
        // It was told when it happened.
        Some(NodeError::Stopped | NodeError::Halted) | None => {}
    }
    result
}

/// Carries out one command, and gives the answer for the replica.
fn serve<A: Application>(application: &mut A, command: AppCommand) -> Result<Option<Input>, AppError> {
    Ok(match command {
        AppCommand::Execute(decision) => {
            let results = application.execute(&decision)?;
            Some(Input::Executed { sequence_number: decision.sequence_number(), results })
        }
        AppCommand::TakeCheckpoint(order) => Some(Input::CheckpointTaken(application.take_checkpoint(&order)?)),
        AppCommand::DiscardBefore(sequence_number) => {
            application.discard_before(sequence_number)?;
            None
        }
        AppCommand::ReadChunk { sequence_number, index } => {
            let bytes = application.read_chunk(sequence_number, index)?;
            Some(Input::ChunkRead { sequence_number, index, bytes })
        }
        AppCommand::FetchState(manifest) => {
            let missing = application.missing_parts(&manifest)?;
            Some(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing })
        }
        AppCommand::StoreChunk { sequence_number, index, bytes } => {
            application.store_chunk(sequence_number, index, &bytes)?;
            Some(Input::ChunkStored { sequence_number, index })
        }
        AppCommand::InstallState(manifest) => Some(Input::StateInstalled(application.install(&manifest)?)),
    })
}

impl<W: Wal, A: Application, S: Signer<Signature>> core::fmt::Debug for Node<W, A, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Node({:?})", self.replica)
    }
}
