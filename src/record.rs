//! Records: what a replica has promised, as its host keeps it. Framed and checked here; nothing of a damaged log is believed. (SPEC 5)

use crate::certificate::Certificate;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest, ReplicaId, SequenceNumber, View};
use crate::message::{Block, Checkpoint, CheckpointCertificate, Mode, NewView, ViewChange};
use crate::wire;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a record keeps. The order of the variants is the log's (SPEC 5): append, never insert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecordBody {
    /// The first record of a log: whose it is stands in the frame.
    Started,
    /// A Prepare, with every block from `stable` to its position that no earlier record holds.
    Prepare {
        view: View,
        sequence_number: SequenceNumber,
        digest: Digest,
        #[serde(deserialize_with = "wire::as_they_arrive")]
        blocks: Vec<Arc<Block>>,
    },
    /// A Commit, with the certificate that allowed it.
    Commit { certificate: Certificate },
    /// A ViewChange, with its certificate.
    ViewChange { promise: ViewChange },
    /// A NewView.
    NewView { promise: NewView },
    /// A view entered, or its base moved: nothing below `base` is voted on in it.
    Base {
        view: View,
        mode: Mode,
        base_number: SequenceNumber,
        base_digest: Digest,
        top: Option<SequenceNumber>,
        high: Option<Certificate>,
    },
    /// `high` alone has risen.
    High { certificate: Certificate },
    /// Blocks of a Prepare that would not fit into its own record, which follows.
    Blocks {
        #[serde(deserialize_with = "wire::as_they_arrive")]
        blocks: Vec<Arc<Block>>,
    },
    /// A vote on a checkpoint.
    Checkpoint { checkpoint: Checkpoint },
    /// Everything that still binds, apart from blocks in records from `keeps_from` on: what lies below that may go.
    State(Box<State>),
    /// The first record of a log that stands in for a lost one. Until a `State` says otherwise, this replica is silent. (SPEC D2)
    Rejoining { nonce: [u8; 32] },
    /// A wish that others are about to be told. (SPEC V1)
    Wish { view: View },
}

/// All that binds a replica, in one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The lowest record that still counts, for its blocks.
    pub(crate) keeps_from: u64,
    pub(crate) view: View,
    pub(crate) mode: Mode,
    pub(crate) wish: View,
    pub(crate) base: (SequenceNumber, Digest),
    pub(crate) top: Option<(SequenceNumber, Digest)>,
    pub(crate) high: Option<Certificate>,
    /// The own ViewChange to `view`, if that is how it was reached.
    pub(crate) view_change: Option<ViewChange>,
    /// The own NewView of `view`.
    pub(crate) new_view: Option<NewView>,
    /// Own commits of `view` above the decided end.
    #[serde(deserialize_with = "wire::as_they_arrive")]
    pub(crate) commits: Vec<(SequenceNumber, Digest)>,
    pub(crate) stable: Option<CheckpointCertificate>,
    /// Own checkpoint votes above `stable`.
    #[serde(deserialize_with = "wire::as_they_arrive")]
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Still silent after a lost log, under this nonce.
    pub(crate) rejoining: Option<[u8; 32]>,
}

impl fmt::Display for RecordBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => write!(f, "Started"),
            Self::Prepare { view, sequence_number, blocks, .. } => {
                write!(f, "Prepare {view:?} {sequence_number:?} with {} blocks", blocks.len())
            }
            Self::Commit { certificate } => write!(f, "Commit on {}", certificate.claim()),
            Self::ViewChange { promise } => write!(f, "ViewChange {:?} claim {}", promise.view, promise.claim),
            Self::NewView { promise } => write!(f, "NewView {:?} base {:?}", promise.view, promise.base_number),
            Self::Base { view, base_number, base_digest, .. } => write!(f, "Base {view:?} {base_number:?} {base_digest:?}"),
            Self::Blocks { blocks } => write!(f, "{} Blocks", blocks.len()),
            Self::High { certificate } => write!(f, "High {}", certificate.claim()),
            Self::Checkpoint { checkpoint } => write!(f, "Checkpoint {checkpoint}"),
            Self::State(state) => write!(
                f,
                "State {:?} {:?} base {:?} top {:?} stable {:?}, all that binds but for blocks from #{} on",
                state.view,
                state.mode,
                state.base.0,
                state.top.map(|top| top.0),
                state.stable.as_ref().map_or(SequenceNumber::default(), |stable| stable.checkpoint.sequence_number),
                state.keeps_from
            ),
            Self::Rejoining { .. } => write!(f, "Rejoining"),
            Self::Wish { view } => write!(f, "Wish {view:?}"),
        }
    }
}

/// "logothR2" (8) ‖ group (32) ‖ replica (4) ‖ index (8) ‖ length of the body (4), and a checksum of these (8).
pub(crate) const HEADER: usize = 64;
/// The checksum behind the body.
pub(crate) const TRAILER: usize = 32;
const MAGIC: &[u8; 8] = b"logothR2";

/// A record as the host keeps it: framed by the core with group, replica, index, length and checksums.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Bytes,
}

fn header(group: &Digest, replica: ReplicaId, index: u64, length: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (fields, checksum) = header.split_at_mut(HEADER - 8);
    let parts: [&[u8]; 5] = [MAGIC, group.as_bytes(), &replica.get().to_le_bytes(), &index.to_le_bytes(), &length.to_le_bytes()];
    fields.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    // Of its own, so that a damaged length is damage, and not a record that was cut off.
    checksum.copy_from_slice(&hash(Domain::Record, fields).as_bytes()[..8]);
    header
}

impl Record {
    /// Frame: header (64) ‖ body ‖ SHA-256 of all before it (32).
    pub(crate) fn new(group: &Digest, replica: ReplicaId, index: u64, body: &RecordBody) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&[0; HEADER]);
        let mut bytes = wire::encode_behind(bytes, body);
        let length = u32::try_from(bytes.len() - HEADER).unwrap_or(u32::MAX);
        bytes[..HEADER].copy_from_slice(&header(group, replica, index, length));
        let checksum = hash(Domain::Record, &bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        Self { bytes: Bytes::from(bytes) }
    }

    /// The bytes to append.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it records, for logs: read back, since most records are never looked at.
    pub(crate) fn what(&self) -> String {
        let body = self.bytes.get(HEADER..self.bytes.len() - TRAILER).unwrap_or_default();
        wire::decode::<RecordBody>(body, u32::MAX).map_or_else(|error| error.to_string(), |body| body.to_string())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({}, {} bytes)", self.what(), self.bytes.len())
    }
}

/// What is wrong with a record. Nothing was promised on the strength of this log.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFault {
    /// It ends early, and it is not the last one: something was lost after it had been written.
    #[error("it is cut off, and others follow")]
    CutOff,
    /// It does not begin as a record does.
    #[error("it is not a record")]
    NotARecord,
    /// Its checksum is not that of its content.
    #[error("its checksum is wrong: the disk has changed it")]
    Checksum,
    /// It was written by a replica of another cluster, or under another configuration.
    #[error("it belongs to another cluster, or to this one under another configuration")]
    OtherCluster,
    /// It was written by another replica.
    #[error("it is replica {0}'s")]
    OtherReplica(ReplicaId),
    /// It says that it is another record: misdirected, or a repeated one.
    #[error("it is record {0}: misdirected, or there twice")]
    OtherIndex(u64),
    /// Records before it are missing.
    #[error("record {0} should come here")]
    Gap(u64),
    /// Whole, but of no kind that this version knows.
    #[error("it is whole, but of no kind that this version knows")]
    Unknown,
    /// Whole, but it can't follow what comes before it.
    #[error("it does not follow from what comes before it: {0}")]
    DoesNotFollow(&'static str),
}

/// What one frame holds.
pub(crate) enum Framed {
    Whole(Box<RecordBody>),
    /// The beginning of one.
    Torn,
}

/// Reads a frame that should be record `index` of this replica's.
pub(crate) fn read_frame(group: &Digest, replica: ReplicaId, index: u64, bytes: &[u8]) -> Result<Framed, RecordFault> {
    let expected = header(group, replica, index, 0);
    let (fixed, _) = expected.split_at(52);
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() else {
        // As far as it goes it must be the beginning of this record; a torn write leaves no other bytes.
        let seen = bytes.len().min(fixed.len());
        return if bytes[..seen] == fixed[..seen] { Ok(Framed::Torn) } else { Err(RecordFault::NotARecord) };
    };
    if head[..8] != MAGIC[..] {
        return Err(RecordFault::NotARecord);
    }
    let (fields, checksum) = head.split_at(HEADER - 8);
    if hash(Domain::Record, fields).as_bytes()[..8] != *checksum {
        return Err(RecordFault::Checksum);
    }
    let number = |from: usize, to: usize| fields[from..to].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    if fields[8..40] != group.as_bytes()[..] {
        return Err(RecordFault::OtherCluster);
    }
    let owner = ReplicaId::new(u32::try_from(number(40, 44)).unwrap_or(u32::MAX));
    if owner != replica {
        return Err(RecordFault::OtherReplica(owner));
    }
    if number(44, 52) != index {
        return Err(RecordFault::OtherIndex(number(44, 52)));
    }
    let length = usize::try_from(number(52, 56)).unwrap_or(usize::MAX);
    if rest.len() < length.saturating_add(TRAILER) {
        return Ok(Framed::Torn);
    }
    let (body, trailer) = rest.split_at(length);
    if hash(Domain::Record, &bytes[..HEADER + length]).as_bytes()[..] != *trailer {
        return Err(RecordFault::Checksum);
    }
    wire::decode(body, u32::MAX).map(|body| Framed::Whole(Box::new(body))).map_err(|_| RecordFault::Unknown)
}
