//! What replicas and clients say to each other: one file per family of messages. (SPEC 4)

mod block;
mod catch_up;
mod checkpoint;
mod ordering;
mod reply;
mod request;
mod run;
mod shared;
mod statement;
mod transfer;
mod view_change;

use alloc::boxed::Box;
use alloc::vec::Vec;
pub(crate) use block::{Block, Header, batch_size, header_digest};
pub(crate) use catch_up::{Chain, Fetch, Mode, StatusMessage, Wanted};
pub(crate) use checkpoint::{Checkpoint, CheckpointCertificate, CheckpointVote};
pub(crate) use ordering::{PrePrepare, Vote};
pub(crate) use reply::{Answered, Reply, ReplyBody, executed_leaf};
pub use request::Request;
pub(crate) use run::{PATH_BYTES_MAX, Place, RUN_MAX, run_payload};
pub(crate) use statement::{Claim, Rank, Statement, VoteKind};
pub(crate) use transfer::{Chunk, ManifestMessage, Rejoin, Welcome};
pub(crate) use view_change::{NewView, SignedClaim, ViewChange};

use crate::certificate::Certificate;
use crate::cluster::Limits;
use crate::evidence::Evidence;
use crate::ids::{Bytes, ClientId, Digest, RawSignature, ReplicaId};
use crate::wire::{self, DecodeError, Payload};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Everything that goes over the network. The order of the variants is the wire's (SPEC 4): append, never insert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    Request(Request),
    PrePrepare(PrePrepare),
    Prepare(Vote),
    Commit(Vote),
    Certificate(Certificate),
    ViewChange(Box<ViewChange>),
    NewView(Box<NewView>),
    Status(Box<StatusMessage>),
    Fetch(Fetch),
    Chain(Box<Chain>),
    Evidence(Box<Evidence>),
    Reply(Reply),
    Answered(Answered),
    Checkpoint(CheckpointVote),
    Stable(CheckpointCertificate),
    Manifest(ManifestMessage),
    Chunk(Chunk),
    Rejoin(Rejoin),
    Welcome(Welcome),
}

/// What a message is, for logs, quotas and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MessageKind {
    /// A client's signed operation.
    Request,
    /// A primary's proposal: a batch, its header, and the primary's own Prepare.
    PrePrepare,
    /// A vote that a batch is the one at its position in a view.
    Prepare,
    /// A vote that a prepared certificate exists.
    Commit,
    /// A quorum's signatures on one statement.
    Certificate,
    /// A promise to leave all lower views, with the highest certificate.
    ViewChange,
    /// A new primary's proof of where its view starts.
    NewView,
    /// Where a replica stands; also all there is of retransmission.
    Status,
    /// A question for batches or a proposal.
    Fetch,
    /// Batches linked by their headers' digests.
    Chain,
    /// Two signed statements of one replica that contradict each other.
    Evidence,
    /// A result for a client, under the replica's signature on its whole batch.
    Reply,
    /// The digest of a result that was given before.
    Answered,
    /// A vote on the state after a position.
    Checkpoint,
    /// A quorum's votes on a checkpoint.
    Stable,
    /// A snapshot's table of contents.
    Manifest,
    /// A part of a snapshot.
    Chunk,
    /// A replica that has lost its log asks its way back.
    Rejoin,
    /// The answer to that.
    Welcome,
}

/// A vote has no form to be checked, and any `message_bytes_max` has room for one.
fn vote(bytes: &[u8], limits: &Limits) -> Option<Message> {
    ordering::read_vote(bytes).filter(|_| bytes.len() <= limits.message_bytes_max as usize)
}

impl Message {
    pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        if let Some(vote) = vote(bytes, limits) {
            return Ok(vote);
        }
        let message: Self = wire::decode(bytes, limits.message_bytes_max)?;
        message.check_form(limits).map_err(DecodeError::OutOfBounds)?;
        Ok(message)
    }

    /// The same; what is long stays in `bytes`.
    pub(crate) fn decode_shared(bytes: &Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        if let Some(vote) = vote(bytes, limits) {
            return Ok(vote);
        }
        let message = shared::decode(bytes, limits.message_bytes_max)?;
        message.check_form(limits).map_err(DecodeError::OutOfBounds)?;
        Ok(message)
    }

    /// Bounds and orders that need no key: what passes is small enough to be worth a look.
    fn check_form(&self, limits: &Limits) -> Result<(), &'static str> {
        match self {
            Self::Request(request) => request.check_form(limits),
            Self::PrePrepare(proposal) => proposal.block.check_form(limits),
            Self::Prepare(_) | Self::Commit(_) | Self::Answered(_) | Self::Evidence(_) => Ok(()),
            Self::Fetch(fetch) => fetch.check_form(),
            Self::Certificate(certificate) => certificate.check_form(),
            Self::ViewChange(view_change) => view_change.check_form(),
            Self::NewView(new_view) => new_view.check_form(),
            Self::Status(status) => status.check_form(),
            Self::Chain(chain) => chain.check_form(limits),
            Self::Reply(reply) => reply.check_form(limits),
            Self::Stable(certificate) => certificate.check_form(),
            Self::Checkpoint(_) | Self::Manifest(_) | Self::Rejoin(_) | Self::Welcome(_) => Ok(()),
            Self::Chunk(chunk) if chunk.bytes.len() > limits.batch_bytes_max as usize => {
                Err("a part of a snapshot is longer than batch_bytes_max")
            }
            Self::Chunk(_) => Ok(()),
        }
    }

    pub(crate) fn kind(&self) -> MessageKind {
        match self {
            Self::Request(_) => MessageKind::Request,
            Self::PrePrepare(_) => MessageKind::PrePrepare,
            Self::Prepare(_) => MessageKind::Prepare,
            Self::Commit(_) => MessageKind::Commit,
            Self::Certificate(_) => MessageKind::Certificate,
            Self::ViewChange(_) => MessageKind::ViewChange,
            Self::NewView(_) => MessageKind::NewView,
            Self::Status(_) => MessageKind::Status,
            Self::Fetch(_) => MessageKind::Fetch,
            Self::Chain(_) => MessageKind::Chain,
            Self::Evidence(_) => MessageKind::Evidence,
            Self::Reply(_) => MessageKind::Reply,
            Self::Answered(_) => MessageKind::Answered,
            Self::Checkpoint(_) => MessageKind::Checkpoint,
            Self::Stable(_) => MessageKind::Stable,
            Self::Manifest(_) => MessageKind::Manifest,
            Self::Chunk(_) => MessageKind::Chunk,
            Self::Rejoin(_) => MessageKind::Rejoin,
            Self::Welcome(_) => MessageKind::Welcome,
        }
    }

    /// What this message's own signature is over; `None` for messages that stand by the signatures inside them.
    /// A pre-prepare's header digest must have been computed.
    pub(crate) fn payload(&self, group: &Digest) -> Option<Payload> {
        match self {
            Self::Request(request) => request.payload(group),
            Self::PrePrepare(proposal) => Some(proposal.statement().payload(group)),
            Self::Prepare(vote) => Some(vote.statement(VoteKind::Prepare).payload(group)),
            Self::Commit(vote) => Some(vote.statement(VoteKind::Commit).payload(group)),
            Self::ViewChange(view_change) => Some(view_change.statement().payload(group)),
            Self::NewView(new_view) => Some(new_view.statement().payload(group)),
            Self::Status(status) => Some(status.payload(group)),
            Self::Fetch(fetch) => Some(fetch.payload(group)),
            Self::Reply(reply) => Some(reply.statement().payload(group)),
            Self::Answered(answered) => Some(answered.payload(group)),
            Self::Checkpoint(vote) => Some(vote.statement().payload(group)),
            Self::Rejoin(rejoin) => Some(rejoin.payload(group)),
            Self::Welcome(welcome) => Some(welcome.payload(group)),
            Self::Certificate(_) | Self::Chain(_) | Self::Evidence(_) | Self::Stable(_) | Self::Manifest(_) | Self::Chunk(_) => None,
        }
    }

    /// Puts the message's own signature in its place.
    pub(crate) fn set_signature(&mut self, signature: RawSignature) {
        match self {
            Self::Request(request) => request.signature = signature,
            Self::PrePrepare(proposal) => proposal.signature = signature,
            Self::Prepare(vote) | Self::Commit(vote) => vote.signature = signature,
            Self::ViewChange(view_change) => view_change.signature = signature,
            Self::NewView(new_view) => new_view.signature = signature,
            Self::Status(status) => status.signature = signature,
            Self::Fetch(fetch) => fetch.signature = signature,
            Self::Reply(reply) => reply.signature = signature,
            Self::Answered(answered) => answered.signature = signature,
            Self::Checkpoint(vote) => vote.signature = signature,
            Self::Rejoin(rejoin) => rejoin.signature = signature,
            Self::Welcome(welcome) => welcome.signature = signature,
            Self::Certificate(_) | Self::Chain(_) | Self::Evidence(_) | Self::Stable(_) | Self::Manifest(_) | Self::Chunk(_) => {}
        }
    }

    /// Who says that it sent this; worth nothing before verification, and nothing at all for what anyone may relay.
    pub(crate) fn claimed_sender(&self) -> Option<ReplicaId> {
        match self {
            Self::Prepare(vote) | Self::Commit(vote) => Some(vote.replica),
            Self::ViewChange(view_change) => Some(view_change.replica),
            Self::Status(status) => Some(status.replica),
            Self::Fetch(fetch) => Some(fetch.replica),
            Self::Reply(reply) => Some(reply.replica),
            Self::Answered(answered) => Some(answered.replica),
            Self::Checkpoint(vote) => Some(vote.replica),
            Self::Rejoin(rejoin) => Some(rejoin.replica),
            Self::Welcome(welcome) => Some(welcome.replica),
            Self::Request(_) | Self::PrePrepare(_) | Self::NewView(_) | Self::Certificate(_) | Self::Chain(_) | Self::Evidence(_) => None,
            Self::Stable(_) | Self::Manifest(_) | Self::Chunk(_) => None,
        }
    }

    /// The client that a request comes from or an answer goes to.
    pub(crate) fn client(&self) -> Option<ClientId> {
        match self {
            Self::Request(request) => Some(request.client),
            Self::Reply(reply) => Some(reply.client),
            Self::Answered(answered) => Some(answered.client),
            _ => None,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(m) => write!(f, "Request {:?} {:?} {} bytes", m.client, m.number, m.operation.len()),
            Self::PrePrepare(m) => {
                write!(
                    f,
                    "PrePrepare {:?} {:?} {:?} {} requests",
                    m.view,
                    m.block.header.sequence_number,
                    m.block.digest,
                    m.block.batch.len()
                )
            }
            Self::Prepare(m) => write!(f, "Prepare {m}"),
            Self::Commit(m) => write!(f, "Commit {m}"),
            Self::Certificate(m) => write!(f, "Certificate {m}"),
            Self::ViewChange(m) => write!(f, "ViewChange {:?} by {:?} claim {}", m.view, m.replica, m.claim),
            Self::NewView(m) => {
                let members: Vec<_> = m.claims.iter().map(|claim| claim.replica).collect();
                write!(f, "NewView {:?} base {:?} {:?} of {members:?}", m.view, m.base_number, m.base_digest)
            }
            Self::Status(m) => write!(
                f,
                "Status by {:?} {:?} {:?} want {:?} decided {:?} high {} head {:?}",
                m.replica, m.view, m.mode, m.want, m.decided, m.high, m.head_number
            ),
            Self::Fetch(m) => write!(f, "Fetch by {:?} {}", m.replica, m.wanted),
            Self::Chain(m) => {
                write!(f, "Chain {} blocks", m.blocks.len())?;
                if let Some(block) = m.blocks.first() {
                    write!(f, " down from {:?}", block.header.sequence_number)?;
                }
                m.certificate.iter().try_for_each(|certificate| write!(f, ", certificate {certificate}"))?;
                m.vote.iter().try_for_each(|vote| write!(f, ", vote {vote}"))
            }
            Self::Evidence(m) => write!(f, "Evidence against {:?}: {}", m.culprit(), m),
            Self::Reply(m) => {
                write!(f, "Reply by {:?} {:?} to {:?} {:?} {} bytes", m.replica, m.sequence_number, m.client, m.number, m.result.len())
            }
            Self::Answered(m) => write!(f, "Answered by {:?} to {:?} {:?}", m.replica, m.client, m.number),
            Self::Checkpoint(m) => write!(f, "Checkpoint {} by {:?}", m.checkpoint, m.replica),
            Self::Stable(m) => write!(f, "Stable {m}"),
            Self::Manifest(m) => write!(f, "Manifest {:?} of {} parts", m.manifest.sequence_number(), m.manifest.chunk_count()),
            Self::Chunk(m) => write!(f, "Chunk {:?} {} bytes", m.digest, m.bytes.len()),
            Self::Rejoin(m) => write!(f, "Rejoin by {:?}", m.replica),
            Self::Welcome(m) => write!(f, "Welcome by {:?} to {:?} want {:?}", m.replica, m.to, m.want),
        }
    }
}
