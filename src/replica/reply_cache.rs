//! Replies kept for clients that ask again. (S2)

use super::usage::{Quota, Use};
use crate::cluster::{Cluster, Limits};
use crate::ids::{ClientId, RequestNumber};
use crate::message::ReplyBody;
use crate::time::Time;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// What a reply costs beside its result and path.
pub(super) const REPLY_OVERHEAD: u64 = 250;
const DIGEST_BYTES: u64 = 32;

pub(super) fn cost(reply: &ReplyBody) -> u64 {
    REPLY_OVERHEAD + reply.result.len() as u64 + DIGEST_BYTES * reply.path.len() as u64
}

/// Where the reply to this number stands, or where it would; nearly always it is the last one that is asked for, or behind it.
fn place_of(replies: &VecDeque<Arc<ReplyBody>>, number: RequestNumber) -> Result<usize, usize> {
    match replies.back() {
        Some(last) if last.number >= number => replies.binary_search_by_key(&number, |reply| reply.number),
        _ => Err(replies.len()),
    }
}

/// What the largest possible reply costs: a result of `result_bytes_max` in a full batch.
pub(super) fn cost_max(limits: &Limits) -> u64 {
    let path = limits.batch_requests_max.next_power_of_two().trailing_zeros();
    REPLY_OVERHEAD + u64::from(limits.result_bytes_max) + DIGEST_BYTES * u64::from(path)
}

/// One client's latest replies, without signatures: a repeated one is signed again, to the same bytes.
#[derive(Clone, Default)]
struct Kept {
    /// By number, rising: a client's requests are executed in its order. The same that are sent.
    replies: VecDeque<Arc<ReplyBody>>,
    /// What all of `replies` cost.
    bytes: u64,
    /// Since when `repeated` counts.
    since: Time,
    /// Which of its numbers, modulo the window, were answered again since then: a bit for each.
    repeated: Vec<u64>,
}

/// Bound: for each client its quota in bytes, and `client_window` replies; and as many bits.
#[derive(Clone)]
pub(super) struct ReplyCache {
    window: u64,
    quota: Quota,
    clients: BTreeMap<ClientId, Kept>,
    /// What all clients' replies cost.
    bytes: u64,
}

impl ReplyCache {
    pub(super) fn new(cluster: &Cluster, bytes_max: u64) -> Self {
        let limits = cluster.limits();
        Self {
            window: u64::from(limits.client_window),
            quota: Quota::new(cluster, bytes_max, cost_max(limits)),
            clients: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn usage(&self) -> Use {
        Use { bytes: self.bytes, limit: self.quota.total }
    }

    pub(super) fn forget(&mut self) {
        self.clients.clear();
        self.bytes = 0;
    }

    pub(super) fn get(&self, client: &ClientId, number: RequestNumber) -> Option<&Arc<ReplyBody>> {
        let replies = &self.clients.get(client)?.replies;
        replies.get(place_of(replies, number).ok()?)
    }

    // I18
    /// May this number be answered again? Once in each `interval`: anybody may send a client's old requests, and a reply is longer than they are.
    pub(super) fn may_repeat(&mut self, client: ClientId, number: RequestNumber, now: Time, interval: Duration) -> bool {
        let kept = self.clients.entry(client).or_default();
        if now.since(kept.since) >= interval || kept.repeated.is_empty() {
            kept.since = now;
            kept.repeated.clear();
            kept.repeated.resize(usize::try_from(self.window.div_ceil(64)).unwrap_or_default(), 0);
        }
        let place = number.get() % self.window;
        let bit = 1 << (place % 64);
        let word = usize::try_from(place / 64).ok().and_then(|place| kept.repeated.get_mut(place));
        word.is_some_and(|word| {
            let is_first = *word & bit == 0;
            *word |= bit;
            is_first
        })
    }

    /// Would [`may_repeat`](Self::may_repeat) allow it?
    pub(super) fn has_yet_to_repeat(&self, client: ClientId, number: RequestNumber, now: Time, interval: Duration) -> bool {
        let Some(kept) = self.clients.get(&client).filter(|kept| now.since(kept.since) < interval) else { return true };
        let place = number.get() % self.window;
        let word = usize::try_from(place / 64).ok().and_then(|place| kept.repeated.get(place));
        word.is_none_or(|word| word & (1 << (place % 64)) == 0)
    }

    /// Keeps it in the place of older ones of its client's.
    pub(super) fn remember(&mut self, reply: &Arc<ReplyBody>) {
        let kept = self.clients.entry(reply.client).or_default();
        let before = kept.bytes;
        kept.bytes += cost(reply);
        match place_of(&kept.replies, reply.number) {
            Ok(place) => {
                kept.bytes -= cost(&kept.replies[place]);
                kept.replies[place] = reply.clone();
            }
            Err(place) => kept.replies.insert(place, reply.clone()),
        }
        let oldest = kept.replies.back().map_or(reply.number, |latest| latest.number.minus(self.window).next());
        // The latest one always stays, since a quota holds any one reply: it is the one that its client may not have.
        while kept.replies.front().is_some_and(|first| first.number < oldest || kept.bytes > self.quota.client) {
            kept.bytes -= kept.replies.pop_front().map_or(0, |first| cost(&first));
        }
        self.bytes = self.bytes - before + kept.bytes;
    }
}
