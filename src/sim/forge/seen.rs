//! What an adversary on the wire, or somebody who watches over statements, sees in a message.

use super::{Forge, ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStable, ForgedViewChange, Kind, Position};
use crate::ids::{Digest, ReplicaId, SequenceNumber, View};
use crate::message::{CheckpointVote, Message, MessageKind, StatusMessage, ViewChange, Vote};
use crate::wire::DecodeError;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What stands in a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Seen {
    /// A proposal.
    PrePrepare {
        /// Its view.
        view: View,
        /// Its block.
        block: ForgedBlock,
    },
    /// A vote.
    Vote {
        /// Which kind.
        kind: Kind,
        /// Whose.
        replica: ReplicaId,
        /// In which view.
        view: View,
        /// For what.
        position: Position,
    },
    /// A certificate.
    Certificate(ForgedCertificate),
    /// A view change.
    ViewChange(ForgedViewChange),
    /// A new view, of its view's primary.
    NewView {
        /// Which one.
        view: View,
        /// Where it starts.
        base: Position,
    },
    /// Blocks that answer a question, highest first.
    Chain(Vec<ForgedBlock>),
    /// A vote on a checkpoint.
    Checkpoint {
        /// Whose.
        replica: ReplicaId,
        /// On what.
        checkpoint: ForgedCheckpoint,
    },
    /// A quorum's votes on a checkpoint.
    Stable(ForgedStable),
    /// The root of a batch's results.
    Executed {
        /// Whose.
        replica: ReplicaId,
        /// Of which batch.
        sequence_number: SequenceNumber,
        /// The root that the reply's path leads to.
        root: Digest,
    },
    /// Where a replica stands, and what it says again.
    Status {
        /// Whose.
        replica: ReplicaId,
        /// Its view.
        view: View,
        /// The view that it wants.
        want: View,
        /// Its last stable checkpoint.
        stable: SequenceNumber,
        /// The end of its decided log.
        decided: SequenceNumber,
        /// Its votes and its view change.
        said: Vec<Seen>,
    },
    /// Anything else.
    Other(MessageKind),
}

impl Forge {
    /// Reads a message as an adversary on the wire would.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no message within the cluster's limits.
    pub fn read(&self, bytes: &[u8]) -> Result<Seen, DecodeError> {
        Message::decode(bytes, self.cluster.limits()).map(|message| self.see(message))
    }

    /// The same for a message that was read and not verified: its digests are computed here.
    pub(in crate::sim) fn see(&self, mut message: Message) -> Seen {
        let group = self.cluster.id();
        let fits = match &mut message {
            Message::PrePrepare(proposal) => {
                Arc::make_mut(&mut proposal.block).compute_digests(&group);
                true
            }
            Message::Chain(chain) => {
                chain.blocks.0.iter_mut().for_each(|block| {
                    Arc::make_mut(block).compute_digests(&group);
                });
                true
            }
            Message::Reply(reply) => reply.compute_root(),
            _ => true,
        };
        if fits { self.see_verified(&message) } else { Seen::Other(message.kind()) }
    }

    /// The same for a message whose digests were computed when it was verified.
    pub(in crate::sim) fn see_verified(&self, message: &Message) -> Seen {
        match message {
            Message::PrePrepare(proposal) => Seen::PrePrepare { view: proposal.view, block: ForgedBlock(proposal.block.clone()) },
            Message::Prepare(vote) => seen_vote(Kind::Prepare, vote),
            Message::Commit(vote) => seen_vote(Kind::Commit, vote),
            Message::Certificate(certificate) => Seen::Certificate(ForgedCertificate(certificate.clone())),
            Message::ViewChange(view_change) => Seen::ViewChange(ForgedViewChange(ViewChange::clone(view_change))),
            Message::NewView(new_view) => Seen::NewView { view: new_view.view, base: (new_view.base_number, new_view.base_digest) },
            Message::Chain(chain) => Seen::Chain(chain.blocks.0.iter().cloned().map(ForgedBlock).collect()),
            Message::Checkpoint(vote) => seen_checkpoint(vote),
            Message::Stable(certificate) => Seen::Stable(ForgedStable(certificate.clone())),
            Message::Reply(reply) => Seen::Executed { replica: reply.replica, sequence_number: reply.sequence_number, root: reply.root },
            Message::Status(status) => seen_status(status),
            other => Seen::Other(other.kind()),
        }
    }
}

fn seen_vote(kind: Kind, vote: &Vote) -> Seen {
    Seen::Vote { kind, replica: vote.replica, view: vote.view, position: (vote.sequence_number, vote.digest) }
}

fn seen_checkpoint(vote: &CheckpointVote) -> Seen {
    Seen::Checkpoint { replica: vote.replica, checkpoint: vote.checkpoint.into() }
}

fn seen_status(status: &StatusMessage) -> Seen {
    let mut said: Vec<Seen> = Vec::new();
    said.extend(status.prepare.iter().map(|vote| seen_vote(Kind::Prepare, vote)));
    said.extend(status.commit.iter().map(|vote| seen_vote(Kind::Commit, vote)));
    said.extend(status.checkpoint.iter().map(seen_checkpoint));
    said.extend(status.view_change.iter().map(|view_change| Seen::ViewChange(ForgedViewChange(view_change.clone()))));
    let StatusMessage { replica, view, want, stable, decided, .. } = *status;
    Seen::Status { replica, view, want, stable, decided, said }
}
