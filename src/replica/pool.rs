//! Requests that wait to be ordered. (T1, S1)

use crate::cluster::{Limits, REQUEST_OVERHEAD};
use crate::ids::{ClientId, RequestNumber};
use crate::message::Request;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Default)]
struct Queue {
    pending: BTreeMap<RequestNumber, Request>,
    /// Since when the client's next request is known here: only that one can be ordered, and be overdue.
    since: Option<Time>,
    /// When it was last passed on to all replicas.
    relayed: Option<Time>,
}

impl Queue {
    fn relay_at(&self, since: Time, half: Duration) -> Time {
        self.relayed.map_or(since.after(half), |relayed| relayed.after(half.saturating_mul(2)))
    }
}

pub(super) enum Admission {
    Added,
    Duplicate,
    /// Further ahead than twice `client_window`.
    FarAhead,
    /// More waits than can be ordered in time.
    Busy,
}

/// Bound: for each enrolled client twice `client_window` requests of `operation_bytes_max`.
#[derive(Default)]
pub(super) struct Pool {
    queues: BTreeMap<ClientId, Queue>,
    waiting: BTreeSet<(Time, ClientId)>,
    count: usize,
    /// Whose turn comes after this client's.
    cursor: ClientId,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Takes a request above `last`, the client's last decided number.
    pub(super) fn admit(&mut self, request: Request, last: RequestNumber, limits: &Limits, capacity: usize, now: Time) -> Admission {
        // Twice the window: its client goes by what f+1 replicas have executed, and this one may be a window behind them.
        if request.number > last.plus(2 * u64::from(limits.client_window)) {
            return Admission::FarAhead;
        }
        let queue = self.queues.entry(request.client).or_default();
        if queue.pending.contains_key(&request.number) {
            return Admission::Duplicate;
        }
        // One batch of each client is always welcome, so that no client can keep another out; and its next request, or those that wait
        // behind that would keep it out for ever.
        if request.number > last.next() && queue.pending.len() >= limits.batch_requests_max as usize && self.count >= capacity {
            return Admission::Busy;
        }
        let (client, number) = (request.client, request.number);
        queue.pending.insert(number, request);
        self.count += 1;
        if number == last.next() {
            self.wait(client, Some(now));
        }
        Admission::Added
    }

    /// The client's requests up to `last` are decided.
    pub(super) fn settle(&mut self, client: ClientId, last: RequestNumber, now: Time) {
        let Some(queue) = self.queues.get_mut(&client) else { return };
        let before = queue.pending.len();
        queue.pending = queue.pending.split_off(&last.next());
        self.count -= before - queue.pending.len();
        if before == queue.pending.len() && queue.since.is_some() {
            // T1: an old request that was proposed again settles nothing, and puts no deadline off.
            return;
        }
        let next_is_here = queue.pending.contains_key(&last.next());
        let is_empty = queue.pending.is_empty();
        self.wait(client, next_is_here.then_some(now));
        if is_empty {
            self.queues.remove(&client);
        }
    }

    fn wait(&mut self, client: ClientId, since: Option<Time>) {
        let Some(queue) = self.queues.get_mut(&client) else { return };
        if let Some(old) = queue.since.take() {
            self.waiting.remove(&(old, client));
        }
        queue.since = since;
        queue.relayed = None;
        if let Some(since) = since {
            self.waiting.insert((since, client));
        }
    }

    /// Since when the oldest request that could be ordered waits.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.waiting.first().map(|(since, _)| *since)
    }

    /// When the next such request is to be passed on: after `half` a timeout of waiting, and again after each whole one,
    /// since what was passed on may have been lost, and its client be gone.
    pub(super) fn relay_at(&self, half: Duration) -> Option<Time> {
        let mut next: Option<Time> = None;
        for (since, client) in &self.waiting {
            // None is due earlier than half a timeout after it came.
            if next.is_some_and(|next| next <= since.after(half)) {
                break;
            }
            if let Some(queue) = self.queues.get(client) {
                let due = queue.relay_at(*since, half);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// The requests that are to be passed on now, those that wait longest first; they count as passed on. At most `max`.
    pub(super) fn take_relayable(&mut self, now: Time, half: Duration, max: usize) -> Vec<Request> {
        let mut requests = Vec::new();
        for (since, client) in &self.waiting {
            if since.after(half) > now || requests.len() >= max {
                break;
            }
            if let Some(queue) = self.queues.get_mut(client).filter(|queue| queue.relay_at(*since, half) <= now) {
                queue.relayed = Some(now);
                requests.extend(queue.pending.values().next().cloned());
            }
        }
        requests
    }

    /// The next batch: of each client in turn, its requests in order, above what `last` says is on the chain already.
    pub(super) fn next_batch(&mut self, limits: &Limits, last: impl Fn(&ClientId) -> RequestNumber) -> Vec<Request> {
        let start = self.cursor;
        let turns = || self.queues.range(start..).chain(self.queues.range(..start)).filter(|(client, _)| **client != start);
        let own = self.queues.get_key_value(&start);
        let mut order: Vec<(&ClientId, &Queue, RequestNumber)> =
            turns().chain(own).map(|(client, queue)| (client, queue, last(client).next())).collect();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut cursor = start;
        'full: while !order.is_empty() {
            let mut still = Vec::with_capacity(order.len());
            for (client, queue, number) in order {
                let Some(request) = queue.pending.get(&number) else { continue };
                bytes += request.operation.len() as u64 + REQUEST_OVERHEAD;
                if batch.len() >= limits.batch_requests_max as usize || bytes > u64::from(limits.batch_bytes_max) {
                    break 'full;
                }
                batch.push(request.clone());
                cursor = *client;
                still.push((client, queue, number.next()));
            }
            order = still;
        }
        self.cursor = cursor;
        batch
    }
}
