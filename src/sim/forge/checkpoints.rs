//! Checkpoints, snapshots and the way back of a replica that has lost its log, as a traitor would write them.

use super::{Forge, ForgedViewChange, Kind, Position, Traitor};
use crate::evidence::Evidence;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::manifest::Manifest;
use crate::message::{
    Checkpoint, CheckpointCertificate, CheckpointVote, Chunk, Fetch, ManifestMessage, Message, Mode, Rank, Rejoin, Statement,
    StatusMessage, Vote, Wanted, Welcome,
};
use crate::wire::{self, Bounded};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What a checkpoint vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForgedCheckpoint {
    /// The position and d_n there.
    pub position: Position,
    /// The digest of the snapshot's manifest.
    pub state: Digest,
}

impl From<Checkpoint> for ForgedCheckpoint {
    fn from(checkpoint: Checkpoint) -> Self {
        Self { position: (checkpoint.sequence_number, checkpoint.log_digest), state: checkpoint.state }
    }
}

impl From<ForgedCheckpoint> for Checkpoint {
    fn from(forged: ForgedCheckpoint) -> Self {
        Self { sequence_number: forged.position.0, log_digest: forged.position.1, state: forged.state }
    }
}

/// A certificate of a checkpoint, true or false.
#[derive(Clone, Debug)]
pub struct ForgedStable(pub(super) CheckpointCertificate);

impl ForgedStable {
    /// Of what.
    pub fn checkpoint(&self) -> ForgedCheckpoint {
        self.0.checkpoint.into()
    }
    /// By whom.
    pub fn members(&self) -> Vec<ReplicaId> {
        self.0.signatures.iter().map(|(member, _)| *member).collect()
    }
}

/// What a status says: all of it at the traitor's choice. The default stands in view 0 and has nothing.
#[derive(Clone, Debug, Default)]
pub struct ForgedStatus<'a> {
    /// Rises with each status that is to be heard.
    pub ordinal: u64,
    /// The view that it is in.
    pub view: View,
    /// It waits for that view to begin.
    pub waits: bool,
    /// The view that it wants.
    pub want: View,
    /// Its last stable checkpoint.
    pub stable: SequenceNumber,
    /// Above this position it holds the decided blocks.
    pub floor: SequenceNumber,
    /// The end of its decided log.
    pub decided: SequenceNumber,
    /// Rank of its highest commit certificate.
    pub committed: (View, SequenceNumber),
    /// Rank of its highest certificate.
    pub high: (View, SequenceNumber),
    /// The last position that it accepted.
    pub head: Position,
    /// Its last Prepare and Commit in `view`.
    pub votes: [Option<Position>; 2],
    /// Its last vote on a checkpoint.
    pub checkpoint: Option<ForgedCheckpoint>,
    /// Its view change.
    pub view_change: Option<&'a ForgedViewChange>,
}

impl Forge {
    fn checkpoint_vote(&self, traitor: Traitor<'_>, checkpoint: ForgedCheckpoint) -> CheckpointVote {
        let checkpoint = Checkpoint::from(checkpoint);
        let signature = self.sign(traitor.1, &Statement::Checkpoint(checkpoint).payload(&self.cluster.id()));
        CheckpointVote { checkpoint, replica: traitor.0, signature }
    }

    /// A vote on a checkpoint.
    pub fn checkpoint(&self, traitor: Traitor<'_>, checkpoint: ForgedCheckpoint) -> Vec<u8> {
        wire::encode(&Message::Checkpoint(self.checkpoint_vote(traitor, checkpoint)))
    }

    /// A checkpoint's certificate signed by these members, which are a quorum if it is to be believed.
    pub fn stable(&self, members: &[Traitor<'_>], checkpoint: ForgedCheckpoint) -> ForgedStable {
        let vote = |member: &Traitor<'_>| (member.0, self.checkpoint_vote(*member, checkpoint).signature);
        let mut signatures: Vec<_> = members.iter().map(vote).collect();
        signatures.sort_by_key(|(member, _)| *member);
        ForgedStable(CheckpointCertificate { checkpoint: checkpoint.into(), signatures: Bounded(signatures) })
    }

    /// A checkpoint's certificate as a message.
    pub fn stable_message(&self, stable: &ForgedStable) -> Vec<u8> {
        wire::encode(&Message::Stable(stable.0.clone()))
    }

    /// Evidence of two votes on checkpoints, true or false.
    pub fn checkpoint_evidence(&self, traitor: Traitor<'_>, first: ForgedCheckpoint, second: ForgedCheckpoint) -> Evidence {
        let signed = |checkpoint: ForgedCheckpoint| {
            let vote = self.checkpoint_vote(traitor, checkpoint);
            (vote.statement(), vote.signature)
        };
        Evidence::new(traitor.0, signed(first), signed(second))
    }

    /// A status without the votes and the view change that came with it: what its signature covers stays. None for any other message.
    pub fn bare_status(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Ok(Message::Status(mut status)) = Message::decode(bytes, self.cluster.limits()) else { return None };
        (status.prepare, status.commit, status.checkpoint, status.view_change) = (None, None, None, None);
        Some(wire::encode(&Message::Status(status)))
    }

    /// What a session table says of a result.
    pub fn result_digest(&self, result: &[u8]) -> Digest {
        hash(Domain::Result, result)
    }

    /// A manifest of parts with these digests.
    pub fn manifest(&self, position: Position, sessions: &[Digest], service: &[Digest]) -> Manifest {
        Manifest {
            sequence_number: position.0,
            log_digest: position.1,
            sessions: Bounded(sessions.to_vec()),
            service: Bounded(service.to_vec()),
        }
    }

    /// What a vote on the checkpoint with this manifest says.
    pub fn checkpoint_of(&self, manifest: &Manifest) -> ForgedCheckpoint {
        ForgedCheckpoint { position: (manifest.sequence_number, manifest.log_digest), state: manifest.state(&self.cluster.id()) }
    }

    /// A manifest as a message.
    pub fn manifest_message(&self, manifest: &Manifest) -> Vec<u8> {
        let state = manifest.state(&self.cluster.id());
        wire::encode(&Message::Manifest(ManifestMessage { manifest: manifest.clone(), state }))
    }

    /// A part of a snapshot as a message.
    pub fn chunk(&self, bytes: &[u8]) -> Vec<u8> {
        wire::encode(&Message::Chunk(Chunk::new(Bytes::from(bytes))))
    }

    fn ask(&self, traitor: Traitor<'_>, ordinal: u64, wanted: Wanted) -> Vec<u8> {
        self.finish(Message::Fetch(Fetch { replica: traitor.0, ordinal, wanted, signature: RawSignature::ZERO }), traitor.1)
    }

    /// A question for the chain that ends at `position`.
    pub fn fetch(&self, traitor: Traitor<'_>, ordinal: u64, above: SequenceNumber, position: Position) -> Vec<u8> {
        self.ask(traitor, ordinal, Wanted::Chain { above, sequence_number: position.0, digest: position.1 })
    }

    /// A question for the primary's Prepare in `view`.
    pub fn fetch_proposal(&self, traitor: Traitor<'_>, ordinal: u64, view: View, position: Position) -> Vec<u8> {
        self.ask(traitor, ordinal, Wanted::Proposal { view, sequence_number: position.0, digest: position.1 })
    }

    /// A question for the manifest of a checkpoint's snapshot.
    pub fn fetch_manifest(&self, traitor: Traitor<'_>, ordinal: u64, sequence_number: SequenceNumber, state: Digest) -> Vec<u8> {
        self.ask(traitor, ordinal, Wanted::Manifest { sequence_number, state })
    }

    /// A question for one part of that snapshot.
    pub fn fetch_chunk(&self, traitor: Traitor<'_>, ordinal: u64, sequence_number: SequenceNumber, index: u32, digest: Digest) -> Vec<u8> {
        self.ask(traitor, ordinal, Wanted::Chunk { sequence_number, index, digest })
    }

    /// "My log is lost."
    pub fn rejoin(&self, traitor: Traitor<'_>, nonce: [u8; 32]) -> Vec<u8> {
        self.finish(Message::Rejoin(Rejoin { replica: traitor.0, nonce, signature: RawSignature::ZERO }), traitor.1)
    }

    /// The answer to it.
    pub fn welcome(&self, traitor: Traitor<'_>, to: ReplicaId, nonce: [u8; 32], want: View) -> Vec<u8> {
        self.finish(Message::Welcome(Welcome { replica: traitor.0, to, nonce, want, signature: RawSignature::ZERO }), traitor.1)
    }

    /// A status that claims to stand in `view`, to want `want` and to have decided `decided`.
    pub fn status(&self, traitor: Traitor<'_>, ordinal: u64, view: View, want: View, decided: SequenceNumber) -> Vec<u8> {
        let head = (decided, self.cluster.genesis());
        self.status_of(traitor, &ForgedStatus { ordinal, view, want, decided, head, ..ForgedStatus::default() })
    }

    /// A status that says anything.
    pub fn status_of(&self, traitor: Traitor<'_>, forged: &ForgedStatus<'_>) -> Vec<u8> {
        let rank = |(view, sequence_number)| Rank { view, sequence_number };
        let vote = |kind: Kind, position: Option<Position>| {
            position.map(|(sequence_number, digest)| {
                let statement = Statement::vote(kind.vote_kind(), forged.view, sequence_number, digest);
                let signature = self.sign(traitor.1, &statement.payload(&self.cluster.id()));
                Vote { view: forged.view, sequence_number, digest, replica: traitor.0, signature }
            })
        };
        let status = StatusMessage {
            replica: traitor.0,
            ordinal: forged.ordinal,
            view: forged.view,
            mode: if forged.waits { Mode::ViewChange } else { Mode::Normal },
            want: forged.want,
            stable: forged.stable,
            floor: forged.floor,
            decided: forged.decided,
            committed: rank(forged.committed),
            high: rank(forged.high),
            head_number: forged.head.0,
            head_digest: forged.head.1,
            signature: RawSignature::ZERO,
            prepare: vote(Kind::Prepare, forged.votes[0]),
            commit: vote(Kind::Commit, forged.votes[1]),
            checkpoint: forged.checkpoint.map(|checkpoint| self.checkpoint_vote(traitor, checkpoint)),
            view_change: forged.view_change.map(|view_change| view_change.0.clone()),
        };
        self.finish(Message::Status(Box::new(status)), traitor.1)
    }
}
