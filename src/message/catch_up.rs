//! Where a replica stands, what it asks for, and what it is answered. (SPEC 4.4, T2)

use super::{Block, CheckpointVote, Rank, ViewChange, Vote};
use crate::certificate::Certificate;
use crate::cluster::Limits;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::wire::{Bounded, Payload};
use alloc::sync::Arc;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Whether a replica takes part in its view, or waits for it to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    Normal,
    ViewChange,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusMessage {
    pub(crate) replica: ReplicaId,
    /// Rises with each status, so that a replayed one draws no answer.
    pub(crate) ordinal: u64,
    pub(crate) view: View,
    pub(crate) mode: Mode,
    pub(crate) want: View,
    /// The last stable checkpoint that it knows of.
    pub(crate) stable: SequenceNumber,
    /// The decided blocks above this position are held, up to `decided`.
    pub(crate) floor: SequenceNumber,
    /// Up to where the decided log is held without a gap.
    pub(crate) decided: SequenceNumber,
    /// Of the highest commit certificate; genesis if none.
    pub(crate) committed: Rank,
    /// Of `high`.
    pub(crate) high: Rank,
    pub(crate) head_number: SequenceNumber,
    pub(crate) head_digest: Digest,
    pub(crate) signature: RawSignature,
    // What follows stands by its own signatures.
    pub(crate) prepare: Option<Vote>,
    pub(crate) commit: Option<Vote>,
    pub(crate) checkpoint: Option<CheckpointVote>,
    pub(crate) view_change: Option<ViewChange>,
}

impl StatusMessage {
    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        Payload::new(7, group)
            .u32(self.replica.get())
            .u64(self.ordinal)
            .u64(self.view.get())
            .u8(match self.mode {
                Mode::Normal => 0,
                Mode::ViewChange => 1,
            })
            .u64(self.want.get())
            .u64(self.stable.get())
            .u64(self.floor.get())
            .u64(self.decided.get())
            .u64(self.committed.view.get())
            .u64(self.committed.sequence_number.get())
            .u64(self.high.view.get())
            .u64(self.high.sequence_number.get())
            .u64(self.head_number.get())
            .bytes32(self.head_digest.as_bytes())
            .finish()
    }

    pub(super) fn check_form(&self) -> Result<(), &'static str> {
        let votes = self.prepare.iter().chain(&self.commit).map(|vote| vote.replica);
        let mut senders =
            votes.chain(self.checkpoint.iter().map(|vote| vote.replica)).chain(self.view_change.iter().map(|change| change.replica));
        if senders.any(|sender| sender != self.replica) {
            return Err("a status carries votes of its sender only");
        }
        self.view_change.as_ref().map_or(Ok(()), ViewChange::check_form)
    }
}

/// What a replica asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// The chain that ends in this digest, down to but without `above`: one question, not a round trip per header.
    Chain { above: SequenceNumber, sequence_number: SequenceNumber, digest: Digest },
    /// The primary's Prepare for this digest, which proves an equivocation. (SPEC E)
    Proposal { view: View, sequence_number: SequenceNumber, digest: Digest },
    /// The manifest of the snapshot at a stable checkpoint. (SPEC C3)
    Manifest { sequence_number: SequenceNumber, state: Digest },
    /// One part of that snapshot, by its place in the manifest and its digest.
    Chunk { sequence_number: SequenceNumber, index: u32, digest: Digest },
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { above, sequence_number, digest } => {
                write!(f, "chain down from {sequence_number:?} {digest:?} to above {above:?}")
            }
            Self::Proposal { view, sequence_number, digest } => write!(f, "proposal {view:?} {sequence_number:?} {digest:?}"),
            Self::Manifest { sequence_number, state } => write!(f, "manifest {sequence_number:?} {state:?}"),
            Self::Chunk { sequence_number, index, digest } => write!(f, "chunk {index} of {sequence_number:?} {digest:?}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetch {
    pub(crate) replica: ReplicaId,
    pub(crate) ordinal: u64,
    pub(crate) wanted: Wanted,
    pub(crate) signature: RawSignature,
}

impl Fetch {
    pub(super) fn check_form(&self) -> Result<(), &'static str> {
        match self.wanted {
            Wanted::Chain { above, sequence_number, .. } if above >= sequence_number => Err("a question for an empty chain"),
            _ => Ok(()),
        }
    }

    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        let mut payload = Payload::new(8, group);
        payload.u32(self.replica.get()).u64(self.ordinal);
        match self.wanted {
            Wanted::Chain { above, sequence_number, digest } => {
                payload.u8(0).u64(above.get()).u64(sequence_number.get()).bytes32(digest.as_bytes())
            }
            Wanted::Proposal { view, sequence_number, digest } => {
                payload.u8(1).u64(view.get()).u64(sequence_number.get()).bytes32(digest.as_bytes())
            }
            Wanted::Manifest { sequence_number, state } => payload.u8(2).u64(0).u64(sequence_number.get()).bytes32(state.as_bytes()),
            Wanted::Chunk { sequence_number, index, digest } => {
                payload.u8(3).u64(u64::from(index)).u64(sequence_number.get()).bytes32(digest.as_bytes())
            }
        }
        .finish()
    }
}

/// An answer: batches from the highest down, each the parent of the one before it, and what makes the highest worth having.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    pub(crate) certificate: Option<Certificate>,
    /// A primary's Prepare: with its block, its pre-prepare.
    pub(crate) vote: Option<Vote>,
    pub(crate) blocks: Bounded<Arc<Block>, 4096>,
}

impl Chain {
    pub(super) fn check_form(&self, limits: &Limits) -> Result<(), &'static str> {
        self.certificate.as_ref().map_or(Ok(()), Certificate::check_form)?;
        if self.certificate.is_none() && self.vote.is_none() && self.blocks.is_empty() {
            return Err("an answer without anything in it");
        }
        // Not by next(): that stays at the largest number, and would take any number of blocks there.
        let below = |n: SequenceNumber| n.get().checked_sub(1).map(SequenceNumber::new);
        if !self.blocks.is_sorted_by(|higher, lower| below(higher.header.sequence_number) == Some(lower.header.sequence_number)) {
            return Err("blocks do not go down one by one");
        }
        self.blocks.iter().try_for_each(|block| block.check_form(limits))
    }
}
