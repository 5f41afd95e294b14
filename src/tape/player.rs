//! Plays a tape: the same inputs to a new replica, and a look at what comes out.

use super::entry::{self, Entry, MAGIC, Opening, Told};
use crate::cluster::Cluster;
use crate::durable::Receipt;
use crate::ids::{Bytes, ClientId, Digest, ReplicaId};
use crate::message::{Chunk, Message};
use crate::outbox::{Envelope, Identity, Outbox, Output};
use crate::replica::{AppState, Disposition, Input, RecoverError, Replica, Start, Status};
use crate::time::Time;
use crate::verify::{PeerLink, Unverified, Verified, Verifier};
use crate::wire;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use thiserror::Error;

/// No entry is longer than the codec goes.
const ENTRY_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Why bytes are no tape.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapeError {
    /// They don't begin as a tape of this version does.
    #[error("not a tape of this version")]
    NotATape,
    /// Something on it is not what a recorder writes.
    #[error("entry {0} is damaged")]
    Damaged(usize),
    /// The configuration on it is none, or one that only the feature `sim` knows.
    #[error("there is no good configuration on it")]
    Configuration,
}

/// Where a replica does something else than what is on its tape: another version of this crate, or a defect.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Parted {
    /// It does not start.
    #[error("it does not start: {0}")]
    Start(#[from] RecoverError),
    /// It starts with other outputs.
    #[error("it starts with other outputs than then; now these:\n{0}")]
    Opening(String),
    /// Something that it was told then would not be believed now.
    #[error("entry {index}, at {at:?}: {told} is not believed any more")]
    NotBelieved {
        /// The entry, from 0.
        index: usize,
        /// Its time.
        at: Time,
        /// The input, in words.
        told: String,
    },
    /// The same input, and other outputs.
    #[error("entry {index}, at {at:?}: upon {told} it does something else than then; now {disposition:?}, and:\n{outputs}")]
    Outputs {
        /// The entry, from 0.
        index: usize,
        /// Its time.
        at: Time,
        /// The input, in words.
        told: String,
        /// What becomes of it now.
        disposition: Disposition,
        /// What comes out now, a line each.
        outputs: String,
    },
}

/// A recorded life of one replica, from one start to its end.
pub struct Tape {
    opening: Opening,
    cluster: Arc<Cluster>,
    entries: Vec<Entry>,
}

/// One input of a tape that is played, and what came of it.
pub struct Moment<'a> {
    pub(super) index: usize,
    pub(super) at: Time,
    pub(super) told: String,
    /// The message, if it is one.
    pub(super) message: Option<&'a Message>,
    /// It, if it was not believed, and so not told.
    pub(super) refused: Option<&'a Message>,
    /// What was signed and sent, if this says that its records are durable.
    pub(super) own: &'a [Envelope],
    pub(super) disposition: Option<Disposition>,
    pub(super) outputs: &'a [Output],
    pub(super) replica: &'a Replica,
}

impl Moment<'_> {
    /// The entry's place on the tape, from 0. The start has that of the first entry.
    pub fn index(&self) -> usize {
        self.index
    }
    /// The host's time. The start has that of the first entry.
    pub fn at(&self) -> Time {
        self.at
    }
    /// The input, in words.
    pub fn told(&self) -> &str {
        &self.told
    }
    /// What became of it; none for the start, and for a message that was refused, which was no input.
    pub fn disposition(&self) -> Option<Disposition> {
        self.disposition
    }
    /// What came out.
    pub fn outputs(&self) -> &[Output] {
        self.outputs
    }
    /// Where the replica stands now.
    pub fn status(&self) -> Status {
        self.replica.status()
    }
}

/// Takes a length and so many bytes; `None` at the end, also if that comes early.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(body)
}

impl Tape {
    /// Reads what a [`Recorder`](super::Recorder) wrote. An entry that was cut off at the end is left out.
    ///
    /// # Errors
    /// [`TapeError`] if it is no tape, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, TapeError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(TapeError::NotATape)?;
        let opening = take(&mut rest).ok_or(TapeError::NotATape)?;
        let opening: Opening = wire::decode(opening, ENTRY_BYTES_MAX).map_err(|_| TapeError::NotATape)?;
        let cluster = Arc::new(opening.cluster().ok_or(TapeError::Configuration)?);
        let mut entries = Vec::new();
        while let Some(entry) = take(&mut rest) {
            entries.push(wire::decode(entry, ENTRY_BYTES_MAX).map_err(|_| TapeError::Damaged(entries.len()))?);
        }
        Ok(Self { opening, cluster, entries })
    }

    /// Whose life it is.
    pub fn replica(&self) -> ReplicaId {
        self.opening.replica
    }
    /// The cluster that it took part in.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
    /// How it was started.
    pub fn start(&self) -> Start {
        self.opening.start()
    }
    /// How many inputs there are, and messages that were refused.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Was it told nothing?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// The times of the first and the last input.
    pub fn span(&self) -> Option<(Time, Time)> {
        Some((Time(self.entries.first()?.at), Time(self.entries.last()?.at)))
    }

    /// Gives all inputs to a new replica, at their times, and shows what comes of each.
    ///
    /// # Errors
    /// [`Parted`] says where, and how, it does not do what it did when the tape was made.
    pub fn play(&self, mut watch: impl FnMut(&Moment<'_>)) -> Result<(), Parted> {
        let Opening { replica: id, log, outputs: then, .. } = &self.opening;
        let mut out = Outbox::new();
        let tuning = self.opening.tuning().unwrap_or_default();
        let mut replica = Replica::recover(self.cluster.clone(), *id, tuning, self.start(), self.opening.app(), log.clone(), &mut out)?;
        let outputs: Vec<Output> = out.drain().collect();
        if entry::digest(None, outputs.iter()) != *then {
            return Err(Parted::Opening(lines(&outputs)));
        }
        let at = self.span().map(|(first, _)| first).unwrap_or_default();
        let told = format!("start: {}", words_of_start(self.start()));
        watch(&Moment {
            index: 0,
            at,
            told,
            message: None,
            refused: None,
            own: &[],
            disposition: None,
            outputs: &outputs,
            replica: &replica,
        });
        let verifier = Verifier::new(self.cluster.clone());
        for (index, entry) in self.entries.iter().enumerate() {
            let at = Time(entry.at);
            if let Told::Refused { bytes, why } = &entry.told {
                let unverified = Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).ok();
                let refused = unverified.as_ref().map(|unverified| &unverified.message);
                let words = unverified.as_ref().map_or("something".to_owned(), ToString::to_string);
                let told = format!("refused: {words}: {why}");
                watch(&Moment { index, at, told, message: None, refused, own: &[], disposition: None, outputs: &[], replica: &replica });
                continue;
            }
            let input = self.input(&verifier, &entry.told);
            let input = input.ok_or_else(|| Parted::NotBelieved { index, at, told: format!("{:?}", entry.told) })?;
            let told = words(&input);
            let (mut message, mut own) = (None, Vec::new());
            match &input {
                Input::Message(verified) => message = Some(verified.message.clone()),
                Input::Persisted(receipt) => own.clone_from(&receipt.own),
                _ => {}
            }
            let disposition = replica.step(at, input, &mut out);
            let outputs: Vec<Output> = out.drain().collect();
            if entry::digest(Some(disposition), outputs.iter()) != entry.outputs {
                return Err(Parted::Outputs { index, at, told, disposition, outputs: lines(&outputs) });
            }
            let (message, disposition) = (message.as_ref(), Some(disposition));
            watch(&Moment { index, at, told, message, refused: None, own: &own, disposition, outputs: &outputs, replica: &replica });
        }
        Ok(())
    }

    /// What is on a tape is believed no more than what is on the wire: signatures are checked again.
    fn verified(&self, verifier: &Verifier, bytes: &[u8]) -> Option<Verified> {
        let unverified = Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).ok()?;
        verifier.verify(unverified).ok()
    }

    /// As in life, own signatures are not judged: a traitor's pen may have written anything.
    fn own(&self, verifier: &Verifier, bytes: &[u8]) -> Option<Message> {
        verifier.own(Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).ok()?).ok()
    }

    fn input(&self, verifier: &Verifier, told: &Told) -> Option<Input> {
        let empty = |identity| Input::Persisted(Receipt { identity, indices: Vec::new(), own: Vec::new() });
        Some(match told {
            Told::Message(bytes) => Input::Message(self.verified(verifier, bytes)?),
            Told::Foreign => Input::Message(Verified { message: Message::Chunk(Chunk::new(Bytes::default())), group: Digest::default() }),
            Told::PersistedNothing => empty(None),
            // Whose it was makes no difference: it isn't this replica's.
            Told::PersistedElsewhere => empty(Some(Identity::Client(self.cluster.clone(), ClientId::default()))),
            Told::Persisted { indices, own } => {
                let own = own.iter().map(|(to, bytes)| Some(Envelope::new((*to).into(), self.own(verifier, bytes)?)));
                let own = own.collect::<Option<_>>()?;
                let identity = Some(Identity::Replica(self.cluster.clone(), self.opening.replica));
                Input::Persisted(Receipt { identity, indices: indices.clone(), own })
            }
            Told::Executed { sequence_number, results } => Input::Executed { sequence_number: *sequence_number, results: results.clone() },
            Told::CheckpointTaken(manifest) => Input::CheckpointTaken(manifest.clone()),
            Told::PartsMissing { sequence_number, missing } => {
                Input::PartsMissing { sequence_number: *sequence_number, missing: missing.clone() }
            }
            Told::ChunkStored { sequence_number, index } => Input::ChunkStored { sequence_number: *sequence_number, index: *index },
            Told::StateInstalled { last_executed, log_digest, sessions, snapshots } => Input::StateInstalled(AppState {
                last_executed: *last_executed,
                log_digest: *log_digest,
                sessions: sessions.clone(),
                snapshots: snapshots.clone(),
            }),
            Told::ChunkRead { sequence_number, index, bytes } => {
                Input::ChunkRead { sequence_number: *sequence_number, index: *index, bytes: bytes.clone() }
            }
            Told::Timer => Input::Timer,
            Told::Refused { .. } => return None,
        })
    }
}

fn lines(outputs: &[Output]) -> String {
    outputs.iter().map(|output| format!("    {output}\n")).collect()
}

pub(super) fn words_of_start(start: Start) -> &'static str {
    match start {
        Start::New => "new",
        Start::Recovering => "recovering from its log",
        Start::Rejoining { .. } => "rejoining, its log is lost",
    }
}

fn words(input: &Input) -> String {
    match input {
        Input::Message(verified) => verified.to_string(),
        Input::Persisted(receipt) => format!("records {:?} are durable", receipt.indices),
        Input::Executed { sequence_number, results } => format!("executed {sequence_number:?}, {} results", results.len()),
        Input::CheckpointTaken(manifest) => format!("snapshot of {:?} is durable", manifest.sequence_number()),
        Input::PartsMissing { sequence_number, missing } => format!("{} parts of {sequence_number:?} are missing", missing.len()),
        Input::ChunkStored { sequence_number, index } => format!("part {index} of {sequence_number:?} is stored"),
        Input::StateInstalled(app) => format!("the state of {:?} is installed", app.last_executed),
        Input::ChunkRead { sequence_number, index, .. } => format!("part {index} of {sequence_number:?} was read"),
        Input::Timer => "time passes".to_owned(),
    }
}

impl core::fmt::Debug for Tape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Tape of {:?}, {} inputs", self.replica(), self.len())
    }
}

/// One message whoever signs it: with its own signature left out. And without a view change's certificate: who hears it may have put another in its place. (SPEC 3.6)
pub(super) fn content(message: &Message) -> Digest {
    let mut bare = message.clone();
    bare.set_signature(crate::ids::RawSignature::ZERO);
    match &mut bare {
        Message::ViewChange(view_change) => view_change.certificate = None,
        Message::Status(status) => status.view_change.iter_mut().for_each(|view_change| view_change.certificate = None),
        _ => {}
    }
    crate::hash::hash(crate::hash::Domain::Tape, &wire::encode(&bare))
}
