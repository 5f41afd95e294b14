//! How full the buffers are that others can fill, and how much of each is whose. (SPEC 6)

use super::Replica;
use crate::cluster::Cluster;
use std::fmt;

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
}

impl Usage {
    /// All of them by name, for metrics.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Use)> + use<> {
        // Taken apart, so that a new field is not forgotten here.
        let Self { pool, replies } = *self;
        [("pool", pool), ("replies", replies)].into_iter()
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
        Usage { pool: self.pool.usage(), replies: self.replies.usage() }
    }
}
