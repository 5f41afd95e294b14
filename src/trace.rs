//! What happens, told to the `tracing` crate under the target `logothete`. Nothing reads it back: no output depends on it. (feature `tracing`)

use crate::event::Event;
use crate::ids::ReplicaId;
use crate::verify::{PeerLink, VerifyError};
use crate::wire::DecodeError;
use core::fmt;

const TARGET: &str = "logothete";

impl Event {
    /// Tells this event to the current `tracing` subscriber, with the fields `replica`, and `view` and `sequence_number` where it has them. [`Node`](crate::Node) does so for each of
    /// its events when it happens; a host with stages of its own calls it for those of its [`Outbox`](crate::Outbox). Target: `logothete`.
    ///
    /// Levels: ERROR for what somebody has to look at now, WARN for what they should look at, INFO for what changes how the replica stands, DEBUG for what happens all the time or
    /// what others can cause at will. (feature `tracing`)
    pub fn trace(&self, replica: ReplicaId) {
        let (view, sequence_number) = self.place();
        let replica = replica.get();
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(target: TARGET, replica, view, sequence_number, "{self}")
            };
        }
        match self {
            Self::Halted { .. }
            | Self::Impersonated { .. }
            | Self::NoAgreement { .. }
            | Self::Diverged { .. }
            | Self::SnapshotDamaged { .. } => tell!(error),
            Self::Evidence(_) | Self::WindowClosed { .. } | Self::SnapshotTooLarge { .. } | Self::PartTooLarge { .. } => tell!(warn),
            Self::Wished { .. }
            | Self::LeftView { .. }
            | Self::EnteredView { .. }
            | Self::Stable { .. }
            | Self::TransferStarted { .. }
            | Self::StateInstalled { .. }
            | Self::Recovered { .. }
            | Self::Rejoined { .. } => tell!(info),
            Self::Decided { .. } | Self::Refused { .. } => tell!(debug),
        }
    }

    fn place(&self) -> (Option<u64>, Option<u64>) {
        match self {
            Self::Wished { view, .. } | Self::LeftView { view } | Self::Rejoined { view } => (Some(view.get()), None),
            Self::EnteredView { view, base: number } | Self::Recovered { view, decided: number } => (Some(view.get()), Some(number.get())),
            Self::Decided { sequence_number, .. }
            | Self::WindowClosed { sequence_number }
            | Self::Stable { sequence_number, .. }
            | Self::NoAgreement { sequence_number, .. }
            | Self::Diverged { sequence_number }
            | Self::SnapshotTooLarge { sequence_number, .. }
            | Self::PartTooLarge { sequence_number, .. }
            | Self::SnapshotDamaged { sequence_number, .. }
            | Self::TransferStarted { sequence_number }
            | Self::StateInstalled { sequence_number } => (None, Some(sequence_number.get())),
            Self::Evidence(_) | Self::Refused { .. } | Self::Halted { .. } | Self::Impersonated { .. } => (None, None),
        }
    }
}

/// Anybody can send any number of these.
pub(crate) fn malformed(replica: ReplicaId, link: PeerLink, error: &DecodeError) {
    tracing::debug!(target: TARGET, replica = replica.get(), link = link.0, "not a message: {error}");
}

pub(crate) fn refused(replica: ReplicaId, link: PeerLink, error: &VerifyError) {
    tracing::debug!(target: TARGET, replica = replica.get(), link = link.0, "refused: {error}");
}

pub(crate) fn signer_failed(replica: ReplicaId, reason: &str) {
    tracing::warn!(target: TARGET, replica = replica.get(), "the signer failed, nothing is lost: {reason}");
}

pub(crate) fn failed(replica: ReplicaId, what: fmt::Arguments<'_>) {
    tracing::error!(target: TARGET, replica = replica.get(), "{what}");
}
