//! Records: what a replica has promised, as its host keeps it. Framed and checked here; nothing of a damaged log is believed. (SPEC 5)

use crate::certificate::Certificate;
use crate::hash::{Domain, hash};
use crate::ids::{Bytes, Digest, ReplicaId, SequenceNumber, View};
use crate::message::{Block, Checkpoint, CheckpointCertificate, Header, Mode, NewView, ViewChange};
use crate::wire::{self, Bounded};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering::{Equal, Greater, Less};
use core::convert::Infallible;
use core::fmt;
use core::ops::Range;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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
        #[serde(serialize_with = "headers", deserialize_with = "without_batches")]
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
        #[serde(serialize_with = "headers", deserialize_with = "without_batches")]
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
    /// Own commits of `view` that no commit certificate or stable checkpoint covers.
    #[serde(deserialize_with = "wire::as_they_arrive")]
    pub(crate) commits: Vec<(SequenceNumber, Digest)>,
    pub(crate) stable: Option<CheckpointCertificate>,
    /// Own checkpoint votes above `stable`.
    #[serde(deserialize_with = "wire::as_they_arrive")]
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Still silent after a lost log, under this nonce.
    pub(crate) rejoining: Option<[u8; 32]>,
}

impl RecordBody {
    /// The blocks that it keeps: their headers stand in the body, their batches behind it.
    fn into_blocks(self) -> Vec<Arc<Block>> {
        match self {
            Self::Prepare { blocks, .. } | Self::Blocks { blocks } => blocks,
            _ => Vec::new(),
        }
    }

    fn blocks_mut(&mut self) -> &mut [Arc<Block>] {
        match self {
            Self::Prepare { blocks, .. } | Self::Blocks { blocks } => blocks,
            _ => &mut [],
        }
    }
}

fn headers<S: Serializer>(blocks: &[Arc<Block>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(blocks.iter().map(|block| block.header))
}

fn without_batches<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<Block>>, D::Error> {
    let headers: Vec<Header> = wire::as_they_arrive(deserializer)?;
    Ok(headers.into_iter().map(|header| Arc::new(Block { header, batch: Bounded::default(), digest: Digest::default() })).collect())
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

/// "logothR3" (8) ‖ group (32) ‖ replica (4) ‖ index (8) ‖ length of the body (4) ‖ length of the batches (4), and a checksum of these (8).
pub(crate) const HEADER: usize = 68;
/// The checksum behind the body.
const TRAILER: usize = 32;
const MAGIC: &[u8; 8] = b"logothR3";

/// A record as the host keeps it: framed by the core with group, replica, index, lengths and checksums.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Header ‖ body, without the checksums: whoever writes a record down computes them.
    head: Vec<u8>,
    /// Whose batches follow: they are written from where they lie.
    blocks: Vec<Arc<Block>>,
}

/// But for its checksum.
fn header(group: &Digest, replica: ReplicaId, index: u64, body: usize, batches: usize) -> [u8; HEADER] {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut header = [0; HEADER];
    let parts: [&[u8]; 6] = [MAGIC, group.as_bytes(), &replica.get().to_le_bytes(), &index.to_le_bytes(), &length(body), &length(batches)];
    parts.iter().fold(&mut header[..], |rest, part| {
        let (to, rest) = rest.split_at_mut(part.len());
        to.copy_from_slice(part);
        rest
    });
    header
}

/// A header's own, so that a damaged length is damage, and not a record that was cut off.
fn header_checksum(fields: &[u8]) -> [u8; 8] {
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&hash(Domain::Record, fields).as_bytes()[..8]);
    checksum
}

/// A number of a header's.
fn number(header: &[u8], at: Range<usize>) -> u64 {
    header.get(at).unwrap_or_default().iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Which record a whole header is of, and how many bytes follow it; `None` if it is damaged.
pub(crate) fn announced(header: &[u8]) -> Option<(u64, u64)> {
    let (fields, checksum) = header.split_at_checked(HEADER - 8)?;
    let intact = header_checksum(fields) == *checksum;
    intact.then(|| (number(fields, 44..52), number(fields, 52..56) + TRAILER as u64 + number(fields, 56..60)))
}

impl Record {
    /// Frame: header (68) ‖ body ‖ SHA-256 of all before it (32) ‖ batches. The body names each batch by its digest, so these need no checksum:
    /// they are most of what is written, and have been hashed once.
    pub(crate) fn new(group: &Digest, replica: ReplicaId, index: u64, body: RecordBody) -> Self {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(&[0; HEADER]);
        let mut head = wire::encode_behind(head, &body);
        let blocks = body.into_blocks();
        let batches: usize = blocks.iter().map(|block| wire::encoded_length(&block.batch)).sum();
        let header = header(group, replica, index, head.len() - HEADER, batches);
        head[..HEADER].copy_from_slice(&header);
        Self { head, blocks }
    }

    /// Bytes of the record.
    #[expect(clippy::len_without_is_empty, reason = "no record is empty")]
    pub fn len(&self) -> usize {
        self.head.len() + TRAILER + self.blocks.iter().map(|block| wire::encoded_length(&block.batch)).sum::<usize>()
    }

    /// Gives the bytes to append to `append`, one part behind the other, without a copy of the whole: an operation of 4 KiB and more as it lies in memory,
    /// all else in parts of at most 32 KiB. `|part| file.write_all(part)` is what is wanted. The checksums are computed here, with each call.
    ///
    /// # Errors
    /// The first that `append` gives; the record is then not whole.
    pub fn write_to<E>(&self, mut append: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        append(&self.sealed(self.head.len() + TRAILER))?;
        self.blocks.iter().try_for_each(|block| wire::encode_to(&block.batch, &mut append))
    }

    /// The bytes to append, in one piece. The checksums are computed here, with each call.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = self.sealed(self.len());
        let mut append = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok::<(), Infallible>(())
        };
        for block in &self.blocks {
            let Ok(()) = wire::encode_to(&block.batch, &mut append);
        }
        Bytes::from(bytes)
    }

    /// Header ‖ body ‖ checksum, with room for so many bytes in all.
    fn sealed(&self, capacity: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(capacity);
        head.extend_from_slice(&self.head);
        let (fields, rest) = head.split_at_mut(HEADER - 8);
        rest[..8].copy_from_slice(&header_checksum(fields));
        let checksum = hash(Domain::Record, &head);
        head.extend_from_slice(checksum.as_bytes());
        head
    }

    /// What it records, for logs: read back, since most records are never looked at.
    pub(crate) fn what(&self) -> String {
        let body = self.head.get(HEADER..).unwrap_or_default();
        wire::decode::<RecordBody>(body, u32::MAX).map_or_else(|error| error.to_string(), |body| body.to_string())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({}, {} bytes)", self.what(), self.len())
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
    let expected = header(group, replica, index, 0, 0);
    let (fixed, _) = expected.split_at(52);
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() else {
        // As far as it goes it must be the beginning of this record; a torn write leaves no other bytes.
        let seen = bytes.len().min(fixed.len());
        return if bytes[..seen] == fixed[..seen] { Ok(Framed::Torn) } else { Err(RecordFault::NotARecord) };
    };
    if head[..8] != MAGIC[..] {
        return Err(RecordFault::NotARecord);
    }
    let Some((announced, length)) = announced(head) else { return Err(RecordFault::Checksum) };
    if head[8..40] != group.as_bytes()[..] {
        return Err(RecordFault::OtherCluster);
    }
    let owner = ReplicaId::new(u32::try_from(number(head, 40..44)).unwrap_or(u32::MAX));
    if owner != replica {
        return Err(RecordFault::OtherReplica(owner));
    }
    if announced != index {
        return Err(RecordFault::OtherIndex(announced));
    }
    match (rest.len() as u64).cmp(&length) {
        Less => return Ok(Framed::Torn),
        Equal => {}
        Greater => return Err(RecordFault::Checksum),
    }
    let (body, rest) = rest.split_at(usize::try_from(number(head, 52..56)).unwrap_or(usize::MAX));
    let (trailer, batches) = rest.split_at(TRAILER);
    if hash(Domain::Record, &bytes[..HEADER + body.len()]).as_bytes()[..] != *trailer {
        return Err(RecordFault::Checksum);
    }
    let mut body: RecordBody = wire::decode(body, u32::MAX).map_err(|_| RecordFault::Unknown)?;
    read_batches(group, &mut body, batches)?;
    Ok(Framed::Whole(Box::new(body)))
}

/// Gives the blocks of a body their batches, which have to be those that it names.
fn read_batches(group: &Digest, body: &mut RecordBody, mut bytes: &[u8]) -> Result<(), RecordFault> {
    for block in body.blocks_mut() {
        let block = Arc::make_mut(block);
        (block.batch, bytes) = wire::decode_first(bytes).map_err(|_| RecordFault::Checksum)?;
        if !block.compute_digests(group) {
            return Err(RecordFault::Checksum);
        }
    }
    if bytes.is_empty() { Ok(()) } else { Err(RecordFault::Checksum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::LOG_WINDOW_MAX;

    #[test]
    fn d2_a_state_with_a_commit_at_each_position_of_the_largest_window_is_read() {
        let genesis = (SequenceNumber::default(), Digest::default());
        let state = State {
            keeps_from: 0,
            view: View::default(),
            mode: Mode::Normal,
            wish: View::default(),
            base: genesis,
            top: None,
            high: None,
            view_change: None,
            new_view: None,
            commits: (1..=LOG_WINDOW_MAX).map(|number| (SequenceNumber::new(number), Digest::default())).collect(),
            stable: None,
            checkpoints: Vec::new(),
            rejoining: None,
        };
        let body = RecordBody::State(Box::new(state));
        let record = Record::new(&Digest::default(), ReplicaId::new(0), 1, body.clone());
        let read = read_frame(&Digest::default(), ReplicaId::new(0), 1, &record.to_bytes()).expect("whole");
        assert!(matches!(read, Framed::Whole(read) if *read == body));
    }
}
