//! What an operator would want to know; never needed for correctness.

use crate::evidence::Evidence;
use crate::ids::{ClientId, Digest, ReplicaId, RequestNumber, SequenceNumber, View};
use std::fmt;

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
    /// was dropped for an earlier one of its client's. Its client tries again.
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
    /// The replica found its own state broken and stopped for ever. Dump it, keep its log, and report it.
    Halted {
        /// Which invariant failed.
        reason: &'static str,
    },
    /// This replica's key signed a statement that this process did not make: it runs twice, or its key is stolen.
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
            Self::Halted { reason } => write!(f, "HALTED: {reason}"),
            Self::Impersonated { replica } => write!(f, "somebody else signs as {replica:?}"),
        }
    }
}
