//! How a replica comes to life: the only constructor. (D2)

use super::Replica;
use super::accusations::Accusations;
use super::catch_up::CatchUp;
use super::chain::ChainStore;
use super::checkpoint::Checkpoints;
use super::execution::Execution;
use super::log_use::Place;
use super::ordering::Ordering;
use super::pace::Pace;
use super::pool::Pool;
use super::promises::Position;
use super::rejoin::Rejoining;
use super::replay::{Replayed, replay};
use super::replies::Replies;
use super::sessions::{SessionTable, SessionTableError, Sessions};
use super::state_transfer::StateTransfer;
use super::timers::Timers;
use super::votes::Votes;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::ids::{Bytes, Digest, RawSignature, ReplicaId, SequenceNumber};
use crate::manifest::Manifest;
use crate::message::{Block, CheckpointVote, Message, PrePrepare, VoteKind};
use crate::outbox::{Outbox, Output};
use crate::record::RecordFault;
use crate::time::Time;
use crate::tuning::Tuning;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use thiserror::Error;

/// What the operator says of this identity. (SPEC D2)
///
/// Don't derive it from whether a log is there: that is how a lost log becomes a "new" replica. Say it when the replica is set up, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// This key has never signed anything: its log is empty. A lost log passed off as new can't be detected, and breaks the cluster's promise.
    New,
    /// This key has signed before, and here is its log.
    Recovering,
    /// This key has signed before, and its log is lost or damaged. The replica counts among the f faulty ones until it has entered a new view;
    /// all that time it says nothing that binds it. If it is restarted meanwhile, it is `Recovering`. It needs q others that answer: of a cluster of one or two
    /// replicas it never takes part again.
    Rejoining {
        /// 32 bytes that were never used for this before: take them from the operating system's random source.
        nonce: [u8; 32],
    },
}

/// What the host's service has on its disk. `Default` is a service that has executed nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppState {
    /// The last position that the service executed; 0 for none.
    pub last_executed: SequenceNumber,
    /// d_n there; anything at 0.
    pub log_digest: Digest,
    /// The session table there, as [`SessionTable::encode`] writes it; the session parts of a snapshot, joined, are this too.
    pub sessions: Bytes,
    /// The snapshots that are whole and durable.
    pub snapshots: Vec<Manifest>,
}

/// Why a replica does not start. It has said nothing and promised nothing.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoverError {
    /// The id is not in the cluster.
    #[error("there is no replica {0} in this cluster")]
    UnknownReplica(ReplicaId),
    /// A log that should be empty holds records.
    #[error(
        "record {index} in the log of a replica said to be new, or to have lost its log: recover it instead, give it a new key, or move a damaged log away"
    )]
    NotEmpty {
        /// The first record's index.
        index: u64,
    },
    /// A new replica's service has executed something: it is not new.
    #[error("a replica said to be new has executed up to {0}: recover it instead, or give it a new key")]
    NotNew(SequenceNumber),
    /// A replica that is said to recover has no record of anything.
    #[error("the log of a replica said to recover is empty: if it is lost, the replica has to rejoin; if it never was, the replica is new")]
    EmptyLog,
    /// The log is damaged, or not this replica's.
    #[error("record {index}: {fault}; find the right log, or let the replica rejoin")]
    Record {
        /// The record's index, as the host gave it.
        index: u64,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// The service's session table is damaged, or not this cluster's.
    #[error("the service's state: {0}")]
    Sessions(#[from] SessionTableError),
    /// The service's position is not on the log that this replica knows to be agreed on.
    #[error(
        "the service executed {0} with another digest than a quorum did: its state is another cluster's, or damaged; empty it, and it will be fetched"
    )]
    OtherHistory(SequenceNumber),
}

impl Replica {
    /// The only constructor. Puts one record into `out`: the log's first, or one that restates what binds, with the latest statements to be said again.
    ///
    /// `records` is the log as it is, in order ([`Wal::read`](crate::Wal::read)); `app` is what the service holds. The service may be ahead of the log
    /// or behind it: what it lacks is given to it again, from the log, from peers, or as a whole state.
    ///
    /// # Errors
    /// [`RecoverError`] says why it does not start; then it has promised nothing.
    pub fn recover(
        cluster: Arc<Cluster>,
        id: ReplicaId,
        tuning: Tuning,
        start: Start,
        app: AppState,
        records: impl IntoIterator<Item = (u64, Bytes)>,
        out: &mut Outbox,
    ) -> Result<Self, RecoverError> {
        if cluster.member(id).is_none() {
            return Err(RecoverError::UnknownReplica(id));
        }
        let tuning = tuning.sanitized();
        let retention = tuning.retention.min(cluster.log_window());
        let mut first = None;
        let records = records.into_iter().inspect(|(index, _)| first = first.or(Some(*index)));
        let replayed = replay(&cluster, id, records, app.last_executed, retention);
        let index = first.unwrap_or_default();
        let replayed = match (start, replayed) {
            (Start::Recovering, replayed) => replayed?,
            // A record that was cut off was never synced, and nothing was promised on it.
            (_, Ok(replayed)) if replayed.records == 0 => replayed,
            // Damaged or not: it is not for this start to go on with.
            _ => return Err(RecoverError::NotEmpty { index }),
        };
        match start {
            Start::New if app.last_executed.get() > 0 => return Err(RecoverError::NotNew(app.last_executed)),
            Start::Recovering if replayed.records == 0 => return Err(RecoverError::EmptyLog),
            _ => {}
        }
        let mut replica = Self::assemble(cluster, id, tuning, app, replayed)?;
        // I18
        replica.forget_blocks();
        let write = match start {
            Start::New => Some(replica.promises.start()),
            Start::Rejoining { nonce } => Some(replica.promises.start_rejoining(nonce)),
            Start::Recovering => None,
        };
        match write {
            Some(write) => replica.outputs.push(Output::Write(write)),
            None => {
                let said = replica.said();
                replica.write_state(said);
                let (view, decided) = (replica.promises.view(), replica.chain.decided());
                replica.event(Event::Recovered { view, decided });
                // T2: ordinals go by records that are durable: before this one is, they would be those of the life before.
                replica.promises.standing = replica.promises.log.next_index();
                // While it was away the others may have gone on beyond its window, and then nothing that they say to each other tells it so.
                replica.timers.status_due = true;
            }
        }
        replica.compare_snapshot_with_stable().map_err(|_| RecoverError::OtherHistory(replica.stable().number))?;
        replica.resume_checkpoints();
        out.append(&mut replica.outputs);
        Ok(replica)
    }

    fn assemble(cluster: Arc<Cluster>, id: ReplicaId, tuning: Tuning, app: AppState, replayed: Replayed) -> Result<Self, RecoverError> {
        let Replayed { promises, blocks, .. } = replayed;
        let genesis = Position { number: SequenceNumber::default(), digest: cluster.genesis() };
        let executed = if app.last_executed.get() == 0 { genesis } else { Position { number: app.last_executed, digest: app.log_digest } };
        let chain = restored_chain(executed, blocks);
        let committed = promises.high_certificate().filter(|high| high.kind == VoteKind::Commit).map(Position::of);
        if !core::iter::once(promises.stable()).chain(committed).all(|certified| may_be_one_history(&chain, executed, certified)) {
            return Err(RecoverError::OtherHistory(executed.number));
        }
        let table = SessionTable::decode(&cluster, &app.sessions)?;
        let high = promises.high_certificate().cloned();
        let base = promises.base();
        let mut replica = Self {
            me: id,
            now: Time::default(),
            halted: None,
            outputs: Vec::new(),
            chain,
            votes: Votes::new(promises.view(), cluster.primary(promises.view())),
            ordering: Ordering::new(promises.top.filter(|top| top.number > base.number).unwrap_or(base)),
            view_changes: BTreeMap::new(),
            new_view: None,
            catch_up: CatchUp::new(&cluster),
            pool: Pool::new(&cluster, tuning.pool_bytes_max, tuning.request_timeout / 2),
            sessions: Sessions::new(table),
            execution: Execution::new(executed.number),
            replies: Replies::new(&cluster, tuning.reply_cache_bytes_max),
            // A snapshot above the state is of one that was given up, or not yet made the state: it is taken again.
            checkpoints: Checkpoints::new(app.snapshots.into_iter().filter(|manifest| manifest.sequence_number <= executed.number)),
            transfer: StateTransfer::default(),
            rejoining: Rejoining::default(),
            timers: Timers::new(Time::default()),
            pace: Pace::default(),
            accusations: Accusations::default(),
            tuning,
            promises,
            cluster,
        };
        replica.ordering.proposed_is_current = replica.ordering.head == replica.decided_end();
        if replica.ordering.head.number > executed.number {
            // T1: what was accepted before the restart is outstanding, from the first time told on.
            let head = replica.ordering.head;
            replica.ordering.accepted.insert(head.number, (Time::default(), head.digest));
        }
        replica.ordering.certified = high.clone().filter(|high| high.view == replica.promises.view());
        replica.ordering.target = high.filter(|high| high.kind == VoteKind::Commit);
        Ok(replica)
    }

    // D2
    /// The latest statements, which are all on record: they are said again, and never others.
    fn said(&self) -> Vec<Message> {
        let promises = &self.promises;
        let mut said = Vec::new();
        if promises.rejoining.is_some() {
            return said;
        }
        if let Some(top) = promises.top {
            let block = self.chain.block(&top.digest).filter(|block| self.is_primary() && block.header.sequence_number == top.number);
            said.push(match block.cloned() {
                Some(block) => Message::PrePrepare(PrePrepare { view: promises.view(), block, signature: RawSignature::ZERO }),
                None => Message::Prepare(promises.vote(top)),
            });
        }
        if let Some((number, digest)) = promises.committed.last_key_value() {
            said.push(Message::Commit(promises.vote((*number, *digest).into())));
        }
        said.extend(promises.pending_view_change().map(|promise| Message::ViewChange(Box::new(promise.clone()))));
        said.extend(promises.new_view.iter().map(|promise| Message::NewView(Box::new(promise.clone()))));
        said.extend(promises.checkpoints.last_key_value().map(|(_, checkpoint)| {
            Message::Checkpoint(CheckpointVote { checkpoint: *checkpoint, replica: self.me, signature: RawSignature::ZERO })
        }));
        said
    }

    // C1
    /// A crash may have come between a position's execution and its snapshot, or between the snapshot and the vote.
    fn resume_checkpoints(&mut self) {
        let executed = self.decided_end();
        let due = executed.number.get() > 0 && executed.number.get() % self.cluster.checkpoint_interval() == 0;
        if due && executed.number >= self.stable().number {
            self.order_checkpoint(executed.number, executed.digest);
        }
    }
}

/// False if one of them is known not to be on the chain that ends in the other.
fn may_be_one_history(chain: &ChainStore, one: Position, other: Position) -> bool {
    let (low, high) = if one.number <= other.number { (one, other) } else { (other, one) };
    chain.ancestor(high, low.number).is_none_or(|digest| digest == low.digest)
}

/// The decided log ends where the service is; below, as far as the log's blocks reach down from there, it is kept for those who lag.
fn restored_chain(executed: Position, mut blocks: Vec<(u64, Arc<Block>)>) -> ChainStore {
    let mut chain = ChainStore::new(executed);
    // From the highest down: each decided block is known by the one above it.
    blocks.sort_by_key(|(_, block)| core::cmp::Reverse(block.header.sequence_number));
    for (index, block) in blocks {
        chain.restore(block, Place { index, offset: 0 });
    }
    chain
}
