//! How full the buffers are that others can fill, and how much of each is whose. (SPEC 6)

use super::Replica;
use crate::cluster::Cluster;
use std::fmt;

/// What a block counts beside its batch; a vote; a checkpoint vote.
pub(super) const BLOCK_OVERHEAD: u64 = 88;
pub(super) const VOTE_BYTES: u64 = 112;
pub(super) const CHECKPOINT_VOTE_BYTES: u64 = 176;

/// One buffer: what it holds and what it may hold. `bytes` never exceeds `limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// Bytes in use, counted as section 6 of `SPEC.md` says; the allocator's own come on top.
    pub bytes: u64,
    /// The most that can be in use.
    pub limit: u64,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.bytes, self.limit)
    }
}

/// How full a replica's buffers are. Displayed, it is one line for a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Requests that wait to be ordered: [`Tuning::pool_bytes_max`](crate::Tuning::pool_bytes_max).
    pub pool: Use,
    /// Replies kept for clients that ask again: [`Tuning::reply_cache_bytes_max`](crate::Tuning::reply_cache_bytes_max).
    pub replies: Use,
    /// Blocks above the decided end.
    pub undecided: Use,
    /// Decided blocks that are held: since the last stable checkpoint, and for replicas that lag.
    pub decided: Use,
    /// Decided blocks that the service has not executed; most of them are among `decided` too.
    pub execution: Use,
    /// Prepares and Commits.
    pub votes: Use,
    /// Proposals for the next view.
    pub early: Use,
    /// Checkpoint votes, and the manifests of the own snapshots.
    pub checkpoints: Use,
    /// The manifest of the state that is being fetched, and what is under way of it.
    pub transfer: Use,
    /// The session table.
    pub sessions: Use,
    /// Replies that wait for records to be durable.
    pub unreleased: Use,
    /// Records that the host has not reported durable.
    pub log: Use,
}

impl Usage {
    /// All of them by name, for metrics.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Use)> + use<> {
        // Taken apart, so that a new field is not forgotten here.
        let Self { pool, replies, undecided, decided, execution, votes, early, checkpoints, transfer, sessions, unreleased, log } = *self;
        let entries = [
            ("pool", pool),
            ("replies", replies),
            ("undecided", undecided),
            ("decided", decided),
            ("execution", execution),
            ("votes", votes),
            ("early", early),
            ("checkpoints", checkpoints),
            ("transfer", transfer),
            ("sessions", sessions),
            ("unreleased", unreleased),
            ("log", log),
        ];
        entries.into_iter()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, part)) in self.entries().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {part}")?;
        }
        Ok(())
    }
}

/// What each enrolled client may fill of a buffer, so that none can fill another's part.
#[derive(Clone, Copy)]
pub(super) struct Quota {
    pub(super) client: u64,
    /// Of all clients together.
    pub(super) total: u64,
}

impl Quota {
    /// An equal share of `budget` for each, but room for `least` bytes: a client that could keep nothing could not be served.
    pub(super) fn new(cluster: &Cluster, budget: u64, least: u64) -> Self {
        let clients = (cluster.clients().count() as u64).max(1);
        let client = least.max(budget / clients);
        Self { client, total: client.saturating_mul(clients) }
    }
}

impl Replica {
    pub(super) fn usage(&self) -> Usage {
        let cluster = &self.cluster;
        let (n, pipeline, window) = (u64::from(cluster.size()), cluster.pipeline(), cluster.log_window());
        let block = u64::from(cluster.limits().batch_bytes_max) + BLOCK_OVERHEAD;
        let message = u64::from(cluster.limits().message_bytes_max);
        let checkpoints = window / cluster.checkpoint_interval() + 2;
        let (undecided, decided) = self.chain.bytes();
        let (_, high) = self.vote_bounds();
        let positions = high.get() - self.chain.decided().get() + 4 * pipeline;
        let windows = |count: u64| window.saturating_mul(count).saturating_mul(block);
        let of = |bytes: u64, limit: u64| Use { bytes, limit };
        Usage {
            pool: self.pool.usage(),
            replies: self.replies.usage(),
            undecided: of(undecided, self.proposed_bytes_max().saturating_add(windows(2))),
            decided: of(decided, self.tuning.retention_bytes_max.saturating_add(windows(1))),
            execution: of(self.execution.backlog(), windows(1)),
            votes: of(self.votes.len() as u64 * VOTE_BYTES, positions.saturating_mul(2 * n * VOTE_BYTES)),
            early: of(self.ordering.early_bytes(), 2 * pipeline * block),
            checkpoints: of(
                self.checkpoints.bytes(),
                checkpoints.saturating_mul(n * CHECKPOINT_VOTE_BYTES).saturating_add(checkpoints.saturating_mul(message)),
            ),
            transfer: of(self.transfer.bytes(), message / 32 * 48),
            sessions: of(self.sessions.table.bytes(), self.sessions.table.bytes_max(cluster)),
            unreleased: of(
                self.replies.unreleased_bytes(),
                self.tuning.reply_cache_bytes_max.saturating_add(self.execution.results_bytes_max(cluster)),
            ),
            log: of(self.promises.log.waiting_bytes(), 8 * message + windows(1)),
        }
    }
}
