//! What an operator would want to know; never needed for correctness.

use crate::evidence::Evidence;
use crate::ids::{ClientId, Digest, ReplicaId, RequestNumber, SequenceNumber, View};
use core::fmt;

/// Something that happened inside a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // Evidence is rare, and once for each replica.
pub enum Event {
    /// A batch was decided.
    Decided {
        /// Its position.
        sequence_number: SequenceNumber,
        /// d_n.
        digest: Digest,
        /// How many requests of it are executed.
        requests: usize,
    },
    /// The replica wishes for a higher view, and why.
    Wished {
        /// The view that it wishes for.
        view: View,
        /// What moved it.
        why: &'static str,
    },
    /// The replica left its view and promised not to go back.
    LeftView {
        /// The view that it waits for.
        view: View,
    },
    /// The replica takes part in a new view.
    EnteredView {
        /// The view.
        view: View,
        /// Where the view starts.
        base: SequenceNumber,
    },
    /// A replica signed two statements that contradict each other.
    Evidence(Evidence),
    /// A request was not taken, because more is waiting than can be ordered in time or than its client may keep waiting; or it waited, and
    /// was dropped for an earlier one of its client's. Its client tries again. What a host drops itself, upon [`Replica::needs`](crate::Replica::needs), is not told;
    /// a [`Node`](crate::Node) counts it as screened.
    Refused {
        /// Whose.
        client: ClientId,
        /// Which.
        number: RequestNumber,
    },
    /// The log has reached the end of its window; nothing more is ordered.
    WindowClosed {
        /// The last position.
        sequence_number: SequenceNumber,
    },
    /// A quorum holds a snapshot of the same state; the window has moved on.
    Stable {
        /// The checkpoint's position.
        sequence_number: SequenceNumber,
        /// Names the state.
        state: Digest,
    },
    /// The checkpoint votes at this position can't agree any more: some replicas' services differ. Compare them before they all stop.
    NoAgreement {
        /// The checkpoint's position.
        sequence_number: SequenceNumber,
        /// How many states were voted for.
        states: usize,
    },
    /// This replica's state is not the one that a quorum has: its service is not deterministic, or its disk has changed something. It votes and answers no
    /// more, and replaces its state by the quorum's. Let it run until then: results that it signed with the wrong state are known not to be signed again only
    /// while this process lives. (SPEC C4)
    Diverged {
        /// Where that showed.
        sequence_number: SequenceNumber,
    },
    /// A snapshot has more parts than a message can list, (`message_bytes_max` − 1 KiB) / 32: it serves this replica, is voted on and may become stable, but
    /// can't be sent to another. Cut it into larger parts, on all replicas from one position on.
    SnapshotTooLarge {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// Its parts.
        chunks: u32,
    },
    /// A part of an own snapshot is longer than the cluster's `batch_bytes_max` ([`CheckpointOrder::chunk_bytes_max`](crate::CheckpointOrder::chunk_bytes_max)), which
    /// shows when another asks for it: nobody takes it, so nobody can fetch this state. Cut it into smaller parts, on all replicas from one position on.
    PartTooLarge {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// The part's place in the manifest.
        index: u32,
        /// Its length.
        bytes: u64,
    },
    /// A part of an own snapshot is not what it was when the snapshot was taken: the disk has changed it.
    SnapshotDamaged {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// The part's place in the manifest.
        index: u32,
    },
    /// The replica fetches the state at this position, since it can't get there batch by batch.
    TransferStarted {
        /// The position.
        sequence_number: SequenceNumber,
    },
    /// The state at this position has taken the place of the replica's own.
    StateInstalled {
        /// The position.
        sequence_number: SequenceNumber,
    },
    /// The replica has read its log back, and goes on where it was.
    Recovered {
        /// Its view.
        view: View,
        /// What its service has executed.
        decided: SequenceNumber,
    },
    /// A replica that had lost its log takes part again.
    Rejoined {
        /// The view in which it speaks again.
        view: View,
    },
    /// The replica found its own state broken and stopped for ever. Dump it, keep its log, and report it.
    Halted {
        /// Which invariant failed.
        reason: &'static str,
    },
    /// This replica's key signed a statement that this process did not make: it runs twice, or its key is stolen. Told once, and only of what contradicts an own
    /// statement that is still held: that it is not told proves nothing. (SPEC E)
    Impersonated {
        /// This replica.
        replica: ReplicaId,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided { sequence_number, digest, requests } => write!(f, "decided {sequence_number:?} {digest:?} {requests} requests"),
            Self::Wished { view, why } => write!(f, "wishes for {view:?}: {why}"),
            Self::LeftView { view } => write!(f, "left for {view:?}"),
            Self::EnteredView { view, base } => write!(f, "entered {view:?} at {base:?}"),
            Self::Evidence(evidence) => write!(f, "evidence: {evidence}"),
            Self::Refused { client, number } => write!(f, "refused {client:?} {number:?}"),
            Self::WindowClosed { sequence_number } => write!(f, "window closed at {sequence_number:?}"),
            Self::Stable { sequence_number, state } => write!(f, "stable {sequence_number:?} state {state:?}"),
            Self::NoAgreement { sequence_number, states } => write!(f, "NO AGREEMENT on the state at {sequence_number:?}: {states} states"),
            Self::Diverged { sequence_number } => write!(f, "DIVERGED: the state at {sequence_number:?} is not the quorum's"),
            Self::SnapshotTooLarge { sequence_number, chunks } => {
                write!(f, "snapshot {sequence_number:?} of {chunks} parts is too large to send")
            }
            Self::PartTooLarge { sequence_number, index, bytes } => {
                write!(f, "snapshot {sequence_number:?} has a part that is too large to send: {index}, of {bytes} bytes")
            }
            Self::SnapshotDamaged { sequence_number, index } => write!(f, "snapshot {sequence_number:?} is damaged in part {index}"),
            Self::TransferStarted { sequence_number } => write!(f, "fetches the state at {sequence_number:?}"),
            Self::StateInstalled { sequence_number } => write!(f, "installed the state at {sequence_number:?}"),
            Self::Recovered { view, decided } => write!(f, "recovered in {view:?} at {decided:?}"),
            Self::Rejoined { view } => write!(f, "rejoined in {view:?}"),
            Self::Halted { reason } => write!(f, "HALTED: {reason}"),
            Self::Impersonated { replica } => write!(f, "somebody else signs as {replica:?}"),
        }
    }
}
