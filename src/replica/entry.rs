//! How a replica comes to life: the only constructor.

use super::Replica;
use super::accusations::Accusations;
use super::catch_up::CatchUp;
use super::chain::ChainStore;
use super::ordering::Ordering;
use super::pool::Pool;
use super::promises::Promises;
use super::replies::Replies;
use super::sessions::Sessions;
use super::timers::Timers;
use super::votes::Votes;
use crate::cluster::Cluster;
use crate::ids::{Bytes, ReplicaId, SequenceNumber, View};
use crate::outbox::{Outbox, Output};
use crate::time::Time;
use crate::tuning::Tuning;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// What the operator says of this identity. (SPEC D2)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// This key has never signed anything: its log is empty. A lost log passed off as new can't be detected, and breaks the cluster's promise.
    New,
    /// This key has signed before, and here is its log.
    Recovering,
    /// This key has signed before, and its log is lost.
    Rejoining,
}

/// What the host's service knows already, stored atomically with execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppState {
    /// The last position that the service executed; 0 for none.
    pub last_executed: SequenceNumber,
}

/// Why a replica does not start. It has said nothing and promised nothing.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoverError {
    /// The id is not in the cluster.
    #[error("there is no replica {0} in this cluster")]
    UnknownReplica(ReplicaId),
    /// A new replica's log holds records: it is not new.
    #[error("record {index} in the log of a replica said to be new: recover it instead, or give it a new key")]
    NotEmpty {
        /// The first record's index.
        index: u64,
    },
    /// A new replica's service has executed something: it is not new.
    #[error("a replica said to be new has executed up to {0}: recover it instead, or give it a new key")]
    NotNew(SequenceNumber),
    /// This version starts new replicas only.
    #[error("this version can't start a replica as {0:?} yet, only as New; do not start it as New instead: it would forget its promises")]
    Unsupported(Start),
}

impl Replica {
    /// The only constructor. Puts the log's first record into `out`.
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
        if start != Start::New {
            return Err(RecoverError::Unsupported(start));
        }
        if let Some((index, _)) = records.into_iter().next() {
            return Err(RecoverError::NotEmpty { index });
        }
        if app.last_executed.get() > 0 {
            return Err(RecoverError::NotNew(app.last_executed));
        }
        let genesis = cluster.genesis();
        let mut promises = Promises::new(cluster.clone(), id);
        out.push(Output::Write(promises.start()));
        Ok(Self {
            me: id,
            now: Time::default(),
            halted: None,
            outputs: Vec::new(),
            stable: SequenceNumber::default(),
            chain: ChainStore::new(genesis),
            votes: Votes::new(View::default()),
            ordering: Ordering::new(genesis),
            view_changes: BTreeMap::new(),
            new_view: None,
            wish: View::default(),
            catch_up: CatchUp::new(&cluster),
            pool: Pool::new(&cluster, tuning.pool_bytes_max),
            sessions: Sessions::new(cluster.limits().client_window),
            replies: Replies::new(&cluster, tuning.reply_cache_bytes_max),
            timers: Timers::new(Time::default()),
            accusations: Accusations::default(),
            tuning: tuning.sanitized(),
            promises,
            cluster,
        })
    }
}
