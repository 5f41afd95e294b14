//! A replica: a deterministic state machine. What goes in is an [`Input`] and the time; what comes out goes into an [`Outbox`].

mod accusations;
mod catch_up;
mod chain;
mod checkpoint;
mod deciding;
mod entry;
mod execution;
#[cfg(feature = "sim")]
mod explore;
mod log_use;
mod needs;
mod ordering;
mod pace;
mod peer;
mod pool;
mod positions;
mod promises;
mod rejoin;
mod replay;
mod replies;
mod reply_cache;
mod sessions;
mod state_transfer;
mod timers;
mod usage;
mod view_change;
mod votes;
mod wants;

use alloc::boxed::Box;
use alloc::vec::Vec;
pub use entry::{AppState, RecoverError, Start};
#[cfg(feature = "sim")]
pub use explore::Standing;
pub use sessions::{SessionEntry, SessionTable, SessionTableError};
pub use usage::{Usage, Use};
pub(crate) use votes::Slot;

use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::durable::Receipt;
use crate::event::Event;
use crate::ids::{Bytes, Digest, ReplicaId, RequestNumber, SequenceNumber, View};
use crate::manifest::Manifest;
use crate::message::{Message, Mode, NewView, PrePrepare, ViewChange, VoteKind};
use crate::outbox::{Content, Envelope, Identity, Outbox, Outgoing, Output, Recipients, ToSign};
use crate::screen::{Picture, Screen};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::verify::Verified;
use accusations::Accusations;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use catch_up::CatchUp;
use chain::ChainStore;
use checkpoint::Checkpoints;
use core::time::Duration;
use execution::Execution;
use ordering::Ordering;
use pace::Pace;
use pool::Pool;
use promises::{Position, Promises};
use rejoin::Rejoining;
use replies::Replies;
use sessions::Sessions;
use state_transfer::StateTransfer;
use timers::Timers;
use votes::Votes;

/// What a replica is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A message whose signatures were checked.
    Message(Verified),
    /// Own promises are durable and signed.
    Persisted(Receipt),
    /// The service executed a decision: one result for each of its requests, in order.
    Executed {
        /// The decision's position.
        sequence_number: SequenceNumber,
        /// One for each of [`Decision::requests`](crate::Decision::requests), each of at most `result_bytes_max` bytes.
        results: Vec<Bytes>,
    },
    /// The snapshot that [`AppCommand::TakeCheckpoint`](crate::AppCommand::TakeCheckpoint) asked for is durable, whole, under this manifest.
    CheckpointTaken(Manifest),
    /// The parts of the snapshot that [`AppCommand::FetchState`](crate::AppCommand::FetchState) announced which the service does not have yet.
    PartsMissing {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// Places in the manifest.
        missing: Vec<u32>,
    },
    /// A part that [`AppCommand::StoreChunk`](crate::AppCommand::StoreChunk) gave is stored.
    ChunkStored {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// The part's place in the manifest.
        index: u32,
    },
    /// The service's state was replaced, at once and durably, as [`AppCommand::InstallState`](crate::AppCommand::InstallState) asked. This is what it has now.
    StateInstalled(AppState),
    /// A part of an own snapshot, as [`AppCommand::ReadChunk`](crate::AppCommand::ReadChunk) asked.
    ChunkRead {
        /// The snapshot's position.
        sequence_number: SequenceNumber,
        /// The part's place in the manifest.
        index: u32,
        /// None if it is not there any more.
        bytes: Option<Bytes>,
    },
    /// Nothing but time has passed.
    Timer,
}

/// What became of an input. For logs and quotas: nothing has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// It was taken into account.
    Applied,
    /// It came early and waits, within bounds.
    Buffered,
    /// It changed nothing.
    Ignored(Why),
    /// This replica found its own state broken and takes no input any more; restart it from its log, and report it.
    Halted,
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Why {
    /// Of a view or position that is over.
    Stale,
    /// Said before.
    Duplicate,
    /// Beyond what is kept in advance; it is told again when its time has come.
    FarAhead,
    /// Checked under another cluster's keys, or another replica's receipt.
    Foreign,
    /// For clients, not for replicas.
    NotForReplicas,
    /// In this replica's own name, but not by it.
    NotMine,
    /// Contradicts what the same member said before.
    Contradiction,
    /// Not asked for, or not needed.
    NotNeeded,
    /// More requests wait than can be ordered in time, or than their client's part of the pool holds.
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
}

/// An invariant of this replica's own is broken. (SPEC 7: it halts, and never forks)
#[derive(Clone, Copy, Debug)]
struct Broken(&'static str);

type Step = Result<Disposition, Broken>;

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// This replica.
    pub replica: ReplicaId,
    /// Its view.
    pub view: View,
    /// Whether it takes part in its view; otherwise it waits for the view to begin.
    pub normal: bool,
    /// The view's primary.
    pub primary: ReplicaId,
    /// The highest view that it wishes for.
    pub wish: View,
    /// The end of the decided log that it holds.
    pub decided: SequenceNumber,
    /// d_n there: names the whole log.
    pub log_digest: Digest,
    /// The last executed position.
    pub executed: SequenceNumber,
    /// The last accepted position.
    pub head: SequenceNumber,
    /// The last stable checkpoint that it knows of; it may be ahead of `decided`.
    pub stable: SequenceNumber,
    /// Decided batches above this position are held for replicas that lag.
    pub floor: SequenceNumber,
    /// It has lost its log and says nothing that binds it until it is in a new view. (SPEC D2)
    pub rejoining: bool,
    /// Its state at this position was not the quorum's; it votes again when the state is replaced. (SPEC C4)
    pub diverged: Option<SequenceNumber>,
    /// The position whose state it is fetching, with the parts that it has and all parts: 0 and 0 until the manifest is there, and all of them until the service
    /// has said which it lacks.
    pub transfer: Option<(SequenceNumber, u32, u32)>,
    /// Requests that wait.
    pub pool_requests: usize,
    /// Blocks held, decided or not.
    pub blocks: usize,
    /// How full its buffers are, in bytes.
    pub usage: Usage,
    /// How often the timeout is doubled at present.
    pub backoff: u32,
    /// It found its own state broken.
    pub halted: bool,
}

/// One member of a cluster. `step` is total, deterministic, and never checks a signature.
pub struct Replica {
    cluster: Arc<Cluster>,
    me: ReplicaId,
    tuning: Tuning,
    now: Time,
    halted: Option<&'static str>,
    /// What the step under way puts out.
    outputs: Vec<Output>,
    promises: Promises,
    chain: ChainStore,
    votes: Votes,
    ordering: Ordering,
    /// The latest ViewChange of each member, at or above the own view.
    view_changes: BTreeMap<ReplicaId, ViewChange>,
    /// What the own view was entered by, for those who missed it.
    new_view: Option<NewView>,
    catch_up: CatchUp,
    pool: Pool,
    sessions: Sessions,
    execution: Execution,
    replies: Replies,
    checkpoints: Checkpoints,
    transfer: StateTransfer,
    rejoining: Rejoining,
    timers: Timers,
    pace: Pace,
    accusations: Accusations,
}

impl Replica {
    /// Takes one input at time `now`. May be called any number of times before the outbox is served.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Outbox) -> Disposition {
        if self.halted.is_some() {
            return Disposition::Halted;
        }
        if !self.timers.started {
            // The host's clock may show anything: patience counts from the first time heard.
            let status_due = self.timers.status_due;
            self.timers = Timers::new(now);
            self.timers.started = true;
            self.timers.status_due = status_due;
        }
        self.now = self.now.max(now);
        let held_back = core::mem::take(&mut self.ordering.held_back);
        self.ordering.gathered = matches!(&input, Input::Message(Verified { message: Message::Request(_), .. })).then_some(held_back);
        let step = match input {
            Input::Message(verified) => self.on_message(verified),
            Input::Persisted(receipt) => self.on_persisted(receipt),
            Input::Executed { sequence_number, results } => self.on_executed(sequence_number, results),
            Input::CheckpointTaken(manifest) => self.on_checkpoint_taken(manifest),
            Input::PartsMissing { sequence_number, missing } => self.on_parts_missing(sequence_number, &missing),
            Input::ChunkStored { sequence_number, index } => self.on_chunk_stored(sequence_number, index),
            Input::StateInstalled(app) => self.on_state_installed(app),
            Input::ChunkRead { sequence_number, index, bytes } => self.on_chunk_read(sequence_number, index, bytes),
            Input::Timer => Ok(Disposition::Applied),
        };
        let step = step.and_then(|disposition| {
            self.advance()?;
            self.note_room();
            self.on_time()?;
            Ok(disposition)
        });
        match step {
            Ok(disposition) => {
                out.append(&mut self.outputs);
                disposition
            }
            Err(Broken(reason)) => {
                // Nothing of this step leaves: not even what came before the contradiction was found.
                self.outputs.clear();
                self.halted = Some(reason);
                out.push(Output::Event(Event::Halted { reason }));
                Disposition::Halted
            }
        }
    }

    #[inline]
    fn on_message(&mut self, Verified { message, group }: Verified) -> Step {
        if group != self.cluster.id() {
            return Ok(Disposition::Ignored(Why::Foreign));
        }
        match message {
            Message::Request(request) => self.on_request(request),
            Message::PrePrepare(proposal) => self.on_pre_prepare(proposal),
            Message::Prepare(vote) => self.on_vote(VoteKind::Prepare, &vote),
            Message::Commit(vote) => self.on_vote(VoteKind::Commit, &vote),
            Message::Certificate(certificate) => self.on_certificate(&certificate),
            Message::ViewChange(view_change) => self.on_view_change(*view_change),
            Message::NewView(new_view) => self.on_new_view(*new_view),
            Message::Status(status) => self.on_status(*status),
            Message::Fetch(fetch) => self.on_fetch(&fetch),
            Message::Chain(chain) => self.on_chain(*chain),
            Message::Evidence(evidence) => self.on_evidence(*evidence),
            Message::Checkpoint(vote) => self.on_other_checkpoint_vote(&vote),
            Message::Stable(certificate) => self.on_stable(certificate),
            Message::Manifest(manifest) => self.on_manifest(manifest),
            Message::Chunk(chunk) => self.on_chunk(chunk),
            Message::Rejoin(rejoin) => self.on_rejoin(&rejoin),
            Message::Welcome(welcome) => self.on_welcome(&welcome),
            Message::Reply(_) | Message::Answered(_) => Ok(Disposition::Ignored(Why::NotForReplicas)),
        }
    }

    // I17: only here do the own votes count: durable and signed.
    fn on_persisted(&mut self, receipt: Receipt) -> Step {
        let Some(identity) = &receipt.identity else { return Ok(Disposition::Ignored(Why::NotNeeded)) };
        if !matches!(identity, Identity::Replica(cluster, replica) if cluster.id() == self.cluster.id() && *replica == self.me) {
            return Ok(Disposition::Ignored(Why::Foreign));
        }
        if let Some(last) = receipt.indices.iter().max() {
            self.promises.log.durable_up_to(*last);
            self.replies.recorded_up_to(*last);
        }
        for envelope in &receipt.own {
            match envelope.message() {
                Message::PrePrepare(PrePrepare { view, .. }) if *view != self.promises.view() => {}
                Message::PrePrepare(proposal) => {
                    self.count_vote(VoteKind::Prepare, &proposal.vote(self.me))?;
                }
                Message::Prepare(vote) => {
                    self.count_vote(VoteKind::Prepare, vote)?;
                }
                Message::Commit(vote) => {
                    self.count_vote(VoteKind::Commit, vote)?;
                }
                Message::ViewChange(view_change) => self.on_own_view_change(view_change)?,
                Message::NewView(new_view) => self.on_own_new_view(new_view)?,
                Message::Checkpoint(vote) => {
                    self.on_checkpoint_vote(vote)?;
                }
                _ => {}
            }
        }
        self.release_replies();
        Ok(Disposition::Applied)
    }

    /// When `step` wants to be called again with [`Input::Timer`], if nothing else happens before. At once, if it was never called: that starts its timers.
    pub fn deadline(&self) -> Option<Time> {
        match self.halted {
            Some(_) => None,
            None if !self.timers.started => Some(Time::default()),
            None => self.next_deadline(),
        }
    }

    /// A picture of what is needed now, for threads that receive messages. Costs a pointer for each open position.
    pub fn screen(&self) -> Screen {
        Screen::new(Picture {
            slots: self.votes.picture(),
            early: self.early(),
            held: self.held(),
            certificates: self.certificates(),
            left_for: self.left_for(),
            stable: self.promises.stable.clone(),
            ..self.outline()
        })
    }

    /// Of that picture all that bears on this message, for hosts that take a new one for each.
    #[cfg(feature = "sim")]
    pub(crate) fn picture_for(&self, message: &Message) -> Picture {
        let mut picture = self.outline();
        match message {
            Message::Prepare(vote) | Message::Commit(vote) => picture.slots = self.votes.picture_of(vote.sequence_number),
            Message::PrePrepare(proposal) => {
                picture.slots = self.votes.picture_of(proposal.block.header.sequence_number);
                (picture.early, picture.held) = (self.early(), self.held());
            }
            Message::ViewChange(_) => (picture.certificates, picture.left_for) = (self.certificates(), self.left_for()),
            Message::Checkpoint(_) | Message::Stable(_) => picture.stable = self.promises.stable.clone(),
            Message::Status(status) if status.view_change.is_some() => picture.certificates = self.certificates(),
            _ => {}
        }
        picture
    }

    /// A picture without what it lists, and without the stable checkpoint.
    fn outline(&self) -> Picture {
        let (low, high) = self.vote_bounds();
        Picture {
            cluster: self.cluster.clone(),
            me: self.me,
            view: self.promises.view(),
            waits_for_view: self.promises.mode() == Mode::ViewChange,
            stable: None,
            proved: self.proved_faulty(),
            decided: self.chain.decided(),
            low,
            high,
            slots: Vec::new(),
            early: BTreeSet::new(),
            early_room: self.early_max().saturating_sub(self.ordering.early.len()),
            held: Vec::new(),
            certificates: Vec::new(),
            left_for: BTreeMap::new(),
        }
    }

    fn early(&self) -> BTreeSet<Digest> {
        self.ordering.early.iter().map(|proposal| proposal.block.digest).collect()
    }

    fn held(&self) -> Vec<Digest> {
        let mut held: Vec<_> = self.chain.open().collect();
        held.sort_unstable();
        held
    }

    /// Each that a view change may be proved with, once.
    fn certificates(&self) -> Vec<Certificate> {
        let mut certificates: Vec<Certificate> = self.promises.high_certificate().cloned().into_iter().collect();
        let (waits, view) = (!self.promises.is_normal(), self.promises.view());
        let open = self.view_changes.values().filter(|view_change| waits || view_change.view > view);
        for certificate in open.filter_map(|view_change| view_change.certificate.as_ref()) {
            if certificates.iter().all(|other| other.statement() != certificate.statement()) {
                certificates.push(certificate.clone());
            }
        }
        certificates
    }

    /// The view of each member's ViewChange, where that is above the own.
    fn left_for(&self) -> BTreeMap<ReplicaId, View> {
        let view = self.promises.view();
        self.view_changes.iter().filter(|(_, held)| held.view > view).map(|(member, held)| (*member, held.view)).collect()
    }

    /// It found its own state broken and takes no input any more.
    pub fn is_halted(&self) -> bool {
        self.halted.is_some()
    }

    /// Where this replica stands. Counts through its buffers: for metrics, not for each message.
    pub fn status(&self) -> Status {
        let decided = self.chain.decided();
        Status {
            replica: self.me,
            view: self.promises.view(),
            normal: self.promises.is_normal(),
            primary: self.primary(),
            wish: self.promises.want(),
            decided,
            log_digest: self.chain.decided_digest(decided).unwrap_or_default(),
            executed: self.execution.executed(),
            head: self.ordering.head.number,
            stable: self.stable().number,
            floor: self.chain.floor(),
            rejoining: self.is_rejoining(),
            diverged: self.checkpoints.diverged,
            transfer: self.transfer.target().zip(self.transfer.progress()).map(|(target, (done, all))| (target, done, all)),
            pool_requests: self.pool.len(),
            blocks: self.chain.len(),
            usage: self.usage(),
            backoff: self.doublings(),
            halted: self.halted.is_some(),
        }
    }

    /// The last stable checkpoint's position, or genesis.
    fn stable(&self) -> Position {
        self.promises.stable()
    }

    // D1, D2, C4
    /// May anything be voted for? Not after a lost log, not with a wrong state, and not while the disk is far behind.
    fn may_vote(&self) -> bool {
        !self.is_rejoining() && self.checkpoints.diverged.is_none() && !self.disk_is_behind()
    }

    // I18
    /// The host owes so many records that no more are made: nothing is voted for, decided, entered or left before it has caught up.
    fn disk_is_behind(&self) -> bool {
        self.promises.log.waiting_bytes() > 8 * u64::from(self.cluster.limits().message_bytes_max)
    }

    fn quorum(&self) -> usize {
        self.cluster.quorum() as usize
    }

    fn primary(&self) -> ReplicaId {
        self.cluster.primary(self.promises.view())
    }

    fn is_primary(&self) -> bool {
        self.primary() == self.me
    }

    /// The client's last request on the chain of head: decided, or proposed after that.
    fn last_on_chain(&self, client: &crate::ids::ClientId) -> RequestNumber {
        let decided = self.sessions.last(client);
        self.ordering.proposed.get(client).map_or(decided, |proposed| decided.max(*proposed))
    }

    fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// Sends what stands by signatures that it already has.
    fn send_ready(&mut self, to: Recipients, message: Message) {
        self.send(Content::Ready(Box::new(Envelope::new(to, message))));
    }

    /// Sends what this replica signs without promising anything by it.
    fn send_signed(&mut self, to: Recipients, message: Message) {
        if let Some(to_sign) = ToSign::new(&self.cluster.id(), to, message) {
            self.send(Content::Unsigned(to_sign));
        }
    }

    fn send(&mut self, content: Content) {
        let identity = Identity::Replica(self.cluster.clone(), self.me);
        self.outputs.push(Output::Send(Outgoing { identity, content }));
    }

    fn send_certificate(&mut self, to: ReplicaId, certificate: Certificate) {
        self.send_ready(Recipients::Replica(to), Message::Certificate(certificate));
    }
}

impl core::fmt::Debug for Replica {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Replica({:?})", self.status())
    }
}
