//! What a step puts out, in lanes: records to keep, messages to send, batches to execute, events to log.

use crate::cluster::Cluster;
use crate::durable::Write;
use crate::event::Event;
use crate::ids::{Bytes, ClientId, Digest, RawSignature, ReplicaId, SequenceNumber};
use crate::manifest::{CheckpointOrder, Manifest};
use crate::message::{Block, Message, MessageKind, Reply, ReplyBody, Request, Vote, VoteKind};
use crate::pass_over::LastVotes;
use crate::verify::Check;
use crate::wire::{self, Payload};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signature, Signer};
use thiserror::Error;

/// Whom an envelope is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every replica but the sender.
    AllReplicas,
    /// One replica.
    Replica(ReplicaId),
    /// One client.
    Client(ClientId),
}

/// A message that is signed and, if it is a promise, durable: the only thing that turns into bytes.
#[derive(Clone, Debug)]
pub struct Envelope {
    to: Recipients,
    message: Message,
}

impl Envelope {
    pub(crate) fn new(to: Recipients, message: Message) -> Self {
        Self { to, message }
    }
    /// Whom to send it to.
    pub fn to(&self) -> Recipients {
        self.to
    }
    /// What it is.
    pub fn kind(&self) -> MessageKind {
        self.message.kind()
    }
    /// The bytes for the network. Encode once, send the same bytes to all.
    pub fn encode(&self) -> Bytes {
        wire::encode_shared(&self.message)
    }
    pub(crate) fn message(&self) -> &Message {
        &self.message
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Recipients::AllReplicas => write!(f, "to all: {}", self.message),
            Recipients::Replica(replica) => write!(f, "to {replica:?}: {}", self.message),
            Recipients::Client(client) => write!(f, "to client {client:?}: {}", self.message),
        }
    }
}

/// The signer failed, or a signature is not its signer's. `returned` is what was to be signed: nothing is lost, try again.
#[derive(Debug, Error)]
#[error("not signed: {reason}")]
pub struct SignError<T> {
    /// What was to be signed, whole.
    pub returned: Box<T>,
    /// What went wrong.
    pub reason: String,
}

/// One payload and what its signature goes into.
#[derive(Debug)]
pub(crate) struct ToSign {
    pub(crate) payload: Payload,
    said: Said,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // In a box, whichever it is.
enum Said {
    One(Envelope),
    /// A client's requests, which are signed at once. (S3)
    Run(Vec<Envelope>),
    /// A batch's results, which are signed once for all clients.
    Replies(Vec<Arc<ReplyBody>>),
}

impl ToSign {
    /// `None` for a message that has no signature of its own.
    pub(crate) fn new(group: &Digest, to: Recipients, message: Message) -> Option<Box<Self>> {
        let payload = message.payload(group)?;
        Some(Box::new(Self { payload, said: Said::One(Envelope::new(to, message)) }))
    }

    /// The vote, if it is one that goes by itself: a primary's Prepare goes with its block.
    pub(crate) fn vote(&self) -> Option<(VoteKind, &Vote)> {
        match &self.said {
            Said::One(Envelope { message: Message::Prepare(vote), .. }) => Some((VoteKind::Prepare, vote)),
            Said::One(Envelope { message: Message::Commit(vote), .. }) => Some((VoteKind::Commit, vote)),
            _ => None,
        }
    }

    /// The request, if it is one that is to be signed alone.
    pub(crate) fn request(&self) -> Option<(Recipients, &Request)> {
        match &self.said {
            Said::One(Envelope { to, message: Message::Request(request) }) => Some((*to, request)),
            _ => None,
        }
    }

    /// Requests that have their places already; `payload` is what all of them are signed with.
    pub(crate) fn run(payload: Payload, to: Recipients, requests: impl Iterator<Item = Request>) -> Box<Self> {
        Box::new(Self { payload, said: Said::Run(requests.map(|request| Envelope::new(to, Message::Request(request))).collect()) })
    }

    /// Of one batch. `None` if there are none.
    pub(crate) fn replies(group: &Digest, replies: Vec<Arc<ReplyBody>>) -> Option<Box<Self>> {
        let payload = replies.first()?.statement().payload(group);
        Some(Box::new(Self { payload, said: Said::Replies(replies) }))
    }

    /// What is to be sent, as it is before it is signed.
    pub(crate) fn envelopes(&self) -> impl Iterator<Item = Envelope> {
        let (envelopes, replies) = match &self.said {
            Said::One(envelope) => (core::slice::from_ref(envelope), &[][..]),
            Said::Run(envelopes) => (&envelopes[..], &[][..]),
            Said::Replies(replies) => (&[][..], &replies[..]),
        };
        envelopes.iter().cloned().chain(replies.iter().map(|body| reply(body.clone(), RawSignature::ZERO)))
    }

    pub(crate) fn seal_into(self, signature: RawSignature, envelopes: &mut Vec<Envelope>) {
        match self.said {
            Said::One(mut envelope) => {
                envelope.message.set_signature(signature);
                envelopes.push(envelope);
            }
            Said::Run(run) => envelopes.extend(run.into_iter().map(|mut envelope| {
                envelope.message.set_signature(signature);
                envelope
            })),
            Said::Replies(replies) => envelopes.extend(replies.into_iter().map(|body| reply(body, signature))),
        }
    }
}

fn reply(body: Arc<ReplyBody>, signature: RawSignature) -> Envelope {
    Envelope::new(Recipients::Client(body.client), Message::Reply(Reply { body, signature }))
}

/// Who signs: a replica's or a client's key, which the core never holds.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    Replica(Arc<Cluster>, ReplicaId),
    Client(Arc<Cluster>, ClientId),
}

impl Identity {
    pub(crate) fn group(&self) -> Digest {
        match self {
            Self::Replica(cluster, _) | Self::Client(cluster, _) => cluster.id(),
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Replica(_, left), Self::Replica(_, right)) => left == right && self.group() == other.group(),
            (Self::Client(_, left), Self::Client(_, right)) => left == right && self.group() == other.group(),
            _ => false,
        }
    }

    /// Is this signature, made elsewhere, the identity's own on `payload`?
    pub(crate) fn check(&self, payload: &Payload, signature: RawSignature) -> Result<(), String> {
        match self {
            Self::Replica(cluster, replica) => Check::replica(cluster, *replica, payload.clone(), signature),
            Self::Client(cluster, client) => Check::client(cluster, *client, payload.clone(), signature),
        }
        .and_then(|check| check.run())
        .map_err(|error| error.to_string())
    }
}

/// A message that promises nothing: it may be sent as soon as it is signed, lost, or sent twice.
#[derive(Debug)]
pub struct Outgoing {
    pub(crate) identity: Identity,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Stands by signatures that it already has.
    Ready(Box<Envelope>),
    Unsigned(Box<ToSign>),
}

impl Outgoing {
    /// Signs it: one signature, and an envelope for each recipient of it.
    ///
    /// # Errors
    /// [`SignError`] gives this back if the signer fails.
    pub fn sign<S: Signer<Signature> + ?Sized>(self, signer: &S) -> Result<Vec<Envelope>, SignError<Self>> {
        match &self.content {
            Content::Ready(_) => Ok(self.into_envelopes(RawSignature::ZERO)),
            Content::Unsigned(to_sign) => match signer.try_sign(&to_sign.payload) {
                Ok(signature) => Ok(self.into_envelopes(RawSignature(signature.to_bytes()))),
                Err(error) => Err(SignError { returned: Box::new(self), reason: error.to_string() }),
            },
        }
    }

    /// What a remote signer has to sign; `None` if nothing is needed ([`attach`](Self::attach) then ignores its argument).
    pub fn signing_payload(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Ready(_) => None,
            Content::Unsigned(to_sign) => Some(&to_sign.payload),
        }
    }

    /// Takes a remote signer's signature and checks it.
    ///
    /// # Errors
    /// [`SignError`] gives this back if the signature is not this member's on this payload.
    pub fn attach(self, signature: Signature) -> Result<Vec<Envelope>, SignError<Self>> {
        let signature = RawSignature(signature.to_bytes());
        if let Content::Unsigned(to_sign) = &self.content {
            if let Err(reason) = self.identity.check(&to_sign.payload, signature) {
                return Err(SignError { returned: Box::new(self), reason });
            }
        }
        Ok(self.into_envelopes(signature))
    }

    fn into_envelopes(self, signature: RawSignature) -> Vec<Envelope> {
        match self.content {
            Content::Ready(envelope) => vec![*envelope],
            Content::Unsigned(to_sign) => {
                let mut envelopes = Vec::new();
                to_sign.seal_into(signature, &mut envelopes);
                envelopes
            }
        }
    }

    pub(crate) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Ready(envelope) => write!(f, "{envelope}"),
            Content::Unsigned(to_sign) => write!(f, "{to_sign}"),
        }
    }
}

impl fmt::Display for ToSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, envelope) in self.envelopes().enumerate() {
            let separator = if index == 0 { "" } else { " + " };
            write!(f, "{separator}{envelope}")?;
        }
        Ok(())
    }
}

/// A batch to execute: in the order of sequence numbers, without gaps, each once.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(crate) block: Arc<Block>,
    /// Which requests of the batch are their client's next. (S1)
    pub(crate) executes: Arc<[bool]>,
}

impl Decision {
    /// The batch's position in the log.
    pub fn sequence_number(&self) -> SequenceNumber {
        self.block.header.sequence_number
    }
    /// d_n: names this batch and every one before it.
    pub fn digest(&self) -> Digest {
        self.block.digest
    }
    /// The requests to execute, in order. One that was executed before, or that is not its client's next, is not among them. (SPEC S1)
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.block.batch.iter().zip(self.executes.iter()).filter(|(_, executes)| **executes).map(|(request, _)| request)
    }
}

/// What the host's service has to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AppCommand {
    /// Execute these requests and answer with `Input::Executed`.
    Execute(Decision),
    /// Make a durable snapshot of the state as it is now, with the session parts given, and answer with `Input::CheckpointTaken`. It may take its
    /// time: what comes next may be executed meanwhile, if the snapshot doesn't show it. (SPEC C1)
    TakeCheckpoint(CheckpointOrder),
    /// Snapshots of positions below this one are not needed any more.
    DiscardBefore(SequenceNumber),
    /// Read a part of an own snapshot for another replica, and answer with `Input::ChunkRead`.
    ReadChunk {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// The part's place in the manifest.
        index: u32,
    },
    /// The state of another replica is about to come, part by part. Make room beside the present state, and answer with `Input::PartsMissing`:
    /// parts that are there already, under their digests, need not be fetched. (SPEC C3)
    FetchState(Manifest),
    /// A part of it, checked against its digest. Keep it, and answer with `Input::ChunkStored`.
    StoreChunk {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// The part's place in the manifest.
        index: u32,
        /// The part.
        bytes: Bytes,
    },
    /// All parts are there. Put this state in the place of the present one, at once and durably, keep it as a snapshot too, and answer with
    /// `Input::StateInstalled`. A crash leaves either the old state or the new one. It comes when each `TakeCheckpoint` that still matters is answered. What the old state
    /// was given to execute is answered before this or never: later its results would pass for those of the new one. (SPEC C3)
    InstallState(Manifest),
}

impl fmt::Display for AppCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execute(decision) => {
                write!(f, "execute {:?} {:?}", decision.sequence_number(), decision.digest())?;
                decision.requests().try_for_each(|request| write!(f, " {:?}", request.number()))
            }
            Self::TakeCheckpoint(order) => write!(f, "take checkpoint {:?}", order.sequence_number()),
            Self::DiscardBefore(number) => write!(f, "discard snapshots before {number:?}"),
            Self::ReadChunk { sequence_number, index } => write!(f, "read chunk {index} of {sequence_number:?}"),
            Self::FetchState(manifest) => write!(f, "fetch state {:?}, {} parts", manifest.sequence_number(), manifest.chunk_count()),
            Self::StoreChunk { sequence_number, index, bytes } => write!(f, "store chunk {index} of {sequence_number:?}, {bytes:?}"),
            Self::InstallState(manifest) => write!(f, "install state {:?}", manifest.sequence_number()),
        }
    }
}

/// One thing that a step put out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// A record to make durable, and the messages sealed behind it.
    Write(Write),
    /// A message that promises nothing.
    Send(Outgoing),
    /// Work for the service.
    App(AppCommand),
    /// Something worth a log line.
    Event(Event),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => write!(f, "write {write}"),
            Self::Send(outgoing) => {
                f.write_str("send ")?;
                outgoing.describe(f)
            }
            Self::App(command) => write!(f, "{command}"),
            Self::Event(event) => write!(f, "event {event}"),
        }
    }
}

/// Where a step leaves what it puts out. It may be served after any number of steps, its lanes by different threads.
///
/// Serve it after each load of messages and not after each message: of the votes that wait in it the highest is signed and sent, and speaks for those
/// below it. (SPEC P6)
#[derive(Debug, Default)]
pub struct Outbox {
    /// How much was ever put in: with each thing its place among all, since lanes may be taken apart or together.
    count: u64,
    writes: VecDeque<(u64, Write)>,
    sends: VecDeque<(u64, Outgoing)>,
    app: VecDeque<(u64, AppCommand)>,
    events: VecDeque<(u64, Event)>,
    last_votes: LastVotes,
}

fn all<T>(lane: &mut VecDeque<(u64, T)>) -> Vec<T> {
    lane.drain(..).map(|(_, thing)| thing).collect()
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }
    pub(crate) fn push(&mut self, output: Output) {
        let place = self.count;
        self.count += 1;
        match output {
            Output::Write(write) => {
                self.last_votes.pass_over(&mut self.writes, place, &write);
                self.writes.push_back((place, write));
            }
            Output::Send(outgoing) => self.sends.push_back((place, outgoing)),
            Output::App(command) => self.app.push_back((place, command)),
            Output::Event(event) => self.events.push_back((place, event)),
        }
    }
    pub(crate) fn append(&mut self, outputs: &mut Vec<Output>) {
        outputs.drain(..).for_each(|output| self.push(output));
    }
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.sends.is_empty() && self.app.is_empty() && self.events.is_empty()
    }
    /// Takes everything, in the order in which it was put out.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + use<'_> {
        core::iter::from_fn(|| self.pop())
    }
    fn pop(&mut self) -> Option<Output> {
        let place = |place: Option<u64>| place.unwrap_or(u64::MAX);
        let (write, send) = (place(self.writes.front().map(|next| next.0)), place(self.sends.front().map(|next| next.0)));
        let (command, event) = (place(self.app.front().map(|next| next.0)), place(self.events.front().map(|next| next.0)));
        match write.min(send).min(command).min(event) {
            first if first == write => self.writes.pop_front().map(|(_, write)| Output::Write(write)),
            first if first == send => self.sends.pop_front().map(|(_, outgoing)| Output::Send(outgoing)),
            first if first == command => self.app.pop_front().map(|(_, command)| Output::App(command)),
            _ => self.events.pop_front().map(|(_, event)| Output::Event(event)),
        }
    }
    /// Takes the records to make durable, in the order of their indices.
    pub fn writes(&mut self) -> Vec<Write> {
        all(&mut self.writes)
    }
    /// Takes the messages that promise nothing.
    pub fn sends(&mut self) -> Vec<Outgoing> {
        all(&mut self.sends)
    }
    /// Takes the work for the service, in the order in which it has to be done.
    pub fn app(&mut self) -> Vec<AppCommand> {
        all(&mut self.app)
    }
    /// Takes the events.
    pub fn events(&mut self) -> Vec<Event> {
        all(&mut self.events)
    }
}
