//! The statements that bind a replica: what it signs, and where two of them contradict each other. (SPEC 3.2)

use super::Checkpoint;
use crate::ids::{Digest, SequenceNumber, View};
use crate::wire::Payload;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The rank of a certificate: view first, then sequence number. Genesis is (0, 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct Rank {
    pub(crate) view: View,
    pub(crate) sequence_number: SequenceNumber,
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.view, self.sequence_number)
    }
}

/// What a ViewChange says of its sender's highest certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) rank: Rank,
    pub(crate) digest: Digest,
}

impl Claim {
    pub(crate) fn genesis(genesis: Digest) -> Self {
        Self { rank: Rank::default(), digest: genesis }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.rank, self.digest)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum VoteKind {
    Prepare,
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Statement {
    Prepare { view: View, sequence_number: SequenceNumber, digest: Digest },
    Commit { view: View, sequence_number: SequenceNumber, digest: Digest },
    ViewChange { view: View, claim: Claim },
    NewView { view: View, base_number: SequenceNumber, base_digest: Digest },
    Executed { sequence_number: SequenceNumber, root: Digest },
    Checkpoint(Checkpoint),
}

impl Statement {
    pub(crate) fn vote(kind: VoteKind, view: View, sequence_number: SequenceNumber, digest: Digest) -> Self {
        match kind {
            VoteKind::Prepare => Self::Prepare { view, sequence_number, digest },
            VoteKind::Commit => Self::Commit { view, sequence_number, digest },
        }
    }

    /// The bytes that are signed.
    pub(crate) fn payload(&self, group: &Digest) -> Payload {
        match self {
            Self::Prepare { view, sequence_number, digest } => {
                Payload::new(1, group).u64(view.get()).u64(sequence_number.get()).bytes32(digest.as_bytes()).finish()
            }
            Self::Commit { view, sequence_number, digest } => {
                Payload::new(2, group).u64(view.get()).u64(sequence_number.get()).bytes32(digest.as_bytes()).finish()
            }
            Self::ViewChange { view, claim } => Payload::new(4, group)
                .u64(view.get())
                .u64(claim.rank.view.get())
                .u64(claim.rank.sequence_number.get())
                .bytes32(claim.digest.as_bytes())
                .finish(),
            Self::NewView { view, base_number, base_digest } => {
                Payload::new(5, group).u64(view.get()).u64(base_number.get()).bytes32(base_digest.as_bytes()).finish()
            }
            Self::Executed { sequence_number, root } => Payload::new(6, group).u64(sequence_number.get()).bytes32(root.as_bytes()).finish(),
            Self::Checkpoint(Checkpoint { sequence_number, log_digest, state }) => {
                Payload::new(3, group).u64(sequence_number.get()).bytes32(log_digest.as_bytes()).bytes32(state.as_bytes()).finish()
            }
        }
    }

    /// What may be said only once: kind, view (0 where a kind has none), sequence number (0 where a kind has none).
    fn slot(&self) -> (u8, u64, u64) {
        match self {
            Self::Prepare { view, sequence_number, .. } => (1, view.get(), sequence_number.get()),
            Self::Commit { view, sequence_number, .. } => (2, view.get(), sequence_number.get()),
            Self::ViewChange { view, .. } => (4, view.get(), 0),
            Self::NewView { view, .. } => (5, view.get(), 0),
            Self::Executed { sequence_number, .. } => (6, 0, sequence_number.get()),
            Self::Checkpoint(checkpoint) => (3, 0, checkpoint.sequence_number.get()),
        }
    }

    /// Two different statements where only one may be: whoever signed both is faulty. (SPEC E)
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        self.slot() == other.slot() && self != other
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare { view, sequence_number, digest } => write!(f, "Prepare({view}, {sequence_number}, {digest:?})"),
            Self::Commit { view, sequence_number, digest } => write!(f, "Commit({view}, {sequence_number}, {digest:?})"),
            Self::ViewChange { view, claim } => write!(f, "ViewChange({view}, {claim})"),
            Self::NewView { view, base_number, base_digest } => write!(f, "NewView({view}, {base_number}, {base_digest:?})"),
            Self::Executed { sequence_number, root } => write!(f, "Executed({sequence_number}, {root:?})"),
            Self::Checkpoint(checkpoint) => write!(f, "Checkpoint({checkpoint})"),
        }
    }
}
