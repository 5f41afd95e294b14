//! How full the buffers are that others can fill, and how much of each is whose. (SPEC 6)

use super::Replica;
use super::reply_cache::cost_max;
use crate::cluster::{Cluster, REQUEST_OVERHEAD};
use core::fmt;

/// What a block counts beside its batch; a position with votes; a vote; a checkpoint vote.
pub(super) const BLOCK_OVERHEAD: u64 = 320;
pub(super) const SLOT_BYTES: u64 = 200;
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
    /// Results that wait for those of earlier batches, and replies that wait for their records.
    pub results: Use,
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
    /// Records that the host has not reported durable.
    pub log: Use,
}

impl Usage {
    /// All of them by name, for metrics.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Use)> + use<> {
        // Taken apart, so that a new field is not forgotten here.
        let Self { pool, replies, undecided, decided, execution, results, votes, early, checkpoints, transfer, sessions, log } = *self;
        let entries = [
            ("pool", pool),
            ("replies", replies),
            ("undecided", undecided),
            ("decided", decided),
            ("execution", execution),
            ("results", results),
            ("votes", votes),
            ("early", early),
            ("checkpoints", checkpoints),
            ("transfer", transfer),
            ("sessions", sessions),
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
    /// What one block counts at most.
    pub(super) fn block_bytes_max(&self) -> u64 {
        u64::from(self.cluster.limits().batch_bytes_max) + BLOCK_OVERHEAD
    }

    fn windows(&self, count: u64) -> u64 {
        self.cluster.log_window().saturating_mul(count).saturating_mul(self.block_bytes_max())
    }

    /// Bytes of undecided blocks beyond which none is taken, whoever stands behind it: twice what a primary may ever have proposed, and two
    /// windows that are certified.
    pub(super) fn undecided_bytes_max(&self) -> u64 {
        let proposed = (8 * self.cluster.pipeline() + 2) * self.block_bytes_max();
        self.windows(4).saturating_add(proposed)
    }

    /// The positions at which votes can be held at one time.
    fn slots_max(&self) -> u64 {
        self.cluster.log_window().saturating_add(4 * self.cluster.pipeline() + 2)
    }

    pub(super) fn usage(&self) -> Usage {
        let (cluster, tuning) = (&self.cluster, &self.tuning);
        let (n, pipeline, window) = (u64::from(cluster.size()), cluster.pipeline(), cluster.log_window());
        let (block, message) = (self.block_bytes_max(), u64::from(cluster.limits().message_bytes_max));
        let intervals = window / cluster.checkpoint_interval();
        let (undecided, decided) = self.chain.bytes();
        let requests = u64::from(cluster.limits().batch_requests_max).min(u64::from(cluster.limits().batch_bytes_max) / REQUEST_OVERHEAD);
        let certificates = 16 * 1024 + 1024 * n;
        let of = |bytes: u64, limit: u64| Use { bytes, limit };
        Usage {
            pool: self.pool.usage(),
            replies: self.replies.usage(),
            // One window more for what was decided with a state that nobody shares, and is decided again. (C4)
            undecided: of(undecided, self.undecided_bytes_max().saturating_add(self.windows(1))),
            decided: of(decided, tuning.retention_bytes_max.saturating_add(self.windows(1))),
            execution: of(self.execution.backlog(), self.windows(1)),
            results: of(
                self.replies.waiting_bytes() + self.execution.result_bytes(),
                8 * message + pipeline * requests * cost_max(cluster.limits()),
            ),
            votes: of(self.votes.bytes(), self.slots_max().saturating_mul(SLOT_BYTES + 2 * n * VOTE_BYTES)),
            early: of(self.ordering.early_bytes(), 2 * pipeline * block),
            checkpoints: of(self.checkpoints.bytes(), intervals * n * CHECKPOINT_VOTE_BYTES + (2 * intervals + 2) * (message + 1024)),
            transfer: of(self.transfer.bytes(), message / 32 * 48),
            sessions: of(self.sessions.table.bytes(), self.sessions.table.bytes_max(cluster)),
            log: of(self.promises.log.waiting_bytes(), 10 * message + certificates + window.saturating_mul(40) + intervals * 80),
        }
    }
}
