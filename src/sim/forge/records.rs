//! Records of a log that no correct replica would have written, framed as the core frames them.

use super::{Forge, ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStable, ForgedViewChange, Position};
use crate::ids::{RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{Message, Mode, NewView, ViewChange};
use crate::record::{Record, RecordBody, State};
use crate::wire::DecodeError;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What a record keeps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Kept<'a> {
    /// The log's first record.
    Started,
    /// A Prepare and the blocks that no earlier record holds.
    Prepare {
        /// Its view.
        view: View,
        /// What was prepared.
        position: Position,
        /// Lowest first.
        blocks: &'a [ForgedBlock],
    },
    /// A Commit, by the certificate that allowed it.
    Commit(&'a ForgedCertificate),
    /// A ViewChange.
    ViewChange(&'a ForgedViewChange),
    /// A NewView, as its message's bytes.
    NewView(&'a [u8]),
    /// A view entered or left, or its base moved.
    Base {
        /// The view.
        view: View,
        /// Taking part in it, or waiting for it.
        entered: bool,
        /// Where it starts.
        base: Position,
        /// The highest position prepared in it.
        top: Option<SequenceNumber>,
        /// The highest certificate.
        high: Option<&'a ForgedCertificate>,
    },
    /// A higher certificate alone.
    High(&'a ForgedCertificate),
    /// Blocks of the next Prepare.
    Blocks(&'a [ForgedBlock]),
    /// A vote on a checkpoint.
    Checkpoint(ForgedCheckpoint),
    /// All that binds.
    State(&'a KeptState<'a>),
    /// The first record of a log that stands in for a lost one.
    Rejoining {
        /// What it asks under.
        nonce: [u8; 32],
    },
    /// A wish for a higher view.
    Wish(View),
}

/// All that binds, as the default for a replica that has said nothing.
#[derive(Clone, Debug, Default)]
pub struct KeptState<'a> {
    /// The lowest record whose blocks count.
    pub keeps_from: u64,
    /// The view.
    pub view: View,
    /// It waits for that view to begin.
    pub waits: bool,
    /// The highest view that was wished for.
    pub wish: View,
    /// Where the view starts.
    pub base: Position,
    /// The highest position prepared in it.
    pub top: Option<Position>,
    /// The highest certificate.
    pub high: Option<&'a ForgedCertificate>,
    /// How the view was reached.
    pub view_change: Option<&'a ForgedViewChange>,
    /// The own NewView, as its message's bytes.
    pub new_view: Option<&'a [u8]>,
    /// Commits of the view.
    pub commits: Vec<Position>,
    /// The last stable checkpoint.
    pub stable: Option<&'a ForgedStable>,
    /// Votes on checkpoints above it.
    pub checkpoints: Vec<ForgedCheckpoint>,
    /// Still silent after a lost log.
    pub rejoining: Option<[u8; 32]>,
}

impl Forge {
    /// A record of `replica`'s log, framed as the core frames it.
    ///
    /// # Errors
    /// [`DecodeError`] if a new view's bytes are none.
    pub fn record(&self, replica: ReplicaId, index: u64, kept: &Kept<'_>) -> Result<Record, DecodeError> {
        let body = match kept {
            Kept::Started => RecordBody::Started,
            Kept::Prepare { view, position, blocks } => RecordBody::Prepare {
                view: *view,
                sequence_number: position.0,
                digest: position.1,
                blocks: blocks.iter().map(|block| block.0.clone()).collect(),
            },
            Kept::Commit(certificate) => RecordBody::Commit { certificate: certificate.0.clone() },
            Kept::ViewChange(view_change) => RecordBody::ViewChange { promise: unsigned(view_change) },
            Kept::NewView(bytes) => RecordBody::NewView { promise: self.new_view_of(bytes)? },
            Kept::Base { view, entered, base, top, high } => RecordBody::Base {
                view: *view,
                mode: if *entered { Mode::Normal } else { Mode::ViewChange },
                base_number: base.0,
                base_digest: base.1,
                top: *top,
                high: high.map(|certificate| certificate.0.clone()),
            },
            Kept::High(certificate) => RecordBody::High { certificate: certificate.0.clone() },
            Kept::Blocks(blocks) => RecordBody::Blocks { blocks: blocks.iter().map(|block| block.0.clone()).collect() },
            Kept::Checkpoint(checkpoint) => RecordBody::Checkpoint { checkpoint: (*checkpoint).into() },
            Kept::State(state) => RecordBody::State(Box::new(self.state_of(state)?)),
            Kept::Rejoining { nonce } => RecordBody::Rejoining { nonce: *nonce },
            Kept::Wish(view) => RecordBody::Wish { view: *view },
        };
        Ok(Record::new(&self.cluster.id(), replica, index, body))
    }
    fn new_view_of(&self, bytes: &[u8]) -> Result<NewView, DecodeError> {
        match Message::decode(bytes, self.cluster.limits())? {
            Message::NewView(promise) => Ok(NewView { signature: RawSignature::ZERO, ..*promise }),
            _ => Err(DecodeError::Malformed),
        }
    }

    fn state_of(&self, kept: &KeptState<'_>) -> Result<State, DecodeError> {
        Ok(State {
            keeps_from: kept.keeps_from,
            view: kept.view,
            mode: if kept.waits { Mode::ViewChange } else { Mode::Normal },
            wish: kept.wish,
            base: kept.base,
            top: kept.top,
            high: kept.high.map(|certificate| certificate.0.clone()),
            view_change: kept.view_change.map(unsigned),
            new_view: kept.new_view.map(|bytes| self.new_view_of(bytes)).transpose()?,
            commits: kept.commits.clone(),
            stable: kept.stable.map(|stable| stable.0.clone()),
            checkpoints: kept.checkpoints.iter().copied().map(Into::into).collect(),
            rejoining: kept.rejoining,
        })
    }
}

/// As a record keeps it: what was signed is signed again, not read back.
fn unsigned(view_change: &ForgedViewChange) -> ViewChange {
    ViewChange { signature: RawSignature::ZERO, ..view_change.0.clone() }
}
