//! Requests that wait to be ordered. (T1, S1)

use super::usage::{Quota, Use};
use crate::cluster::{Cluster, Limits, REQUEST_OVERHEAD_MAX};
use crate::ids::{ClientId, RequestNumber};
use crate::looks::look;
use crate::message::Request;
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

#[derive(Clone, Default)]
pub(super) struct Queue {
    pub(super) pending: BTreeMap<RequestNumber, Request>,
    /// What all of `pending` cost.
    bytes: u64,
    /// Since when the client's next request is known here: only that one can be ordered, and be overdue.
    since: Option<Time>,
    /// When it was last passed on to all replicas, and when it is to be next.
    relayed: Option<Time>,
    due: Option<Time>,
}

pub(super) enum Admission {
    /// It waits; these of the same client's were dropped for it.
    Added {
        dropped: Vec<RequestNumber>,
    },
    Duplicate,
    /// Further ahead than twice `client_window`.
    FarAhead,
    /// More waits than can be ordered in time, or than its client's quota holds.
    Busy,
}

#[derive(Clone, Default)]
pub(super) struct Queues(BTreeMap<ClientId, Queue>);

impl Queues {
    fn get(&self, client: &ClientId) -> Option<&Queue> {
        look();
        self.0.get(client)
    }

    fn get_mut(&mut self, client: &ClientId) -> Option<&mut Queue> {
        look();
        self.0.get_mut(client)
    }

    fn of(&mut self, client: ClientId) -> &mut Queue {
        self.0.entry(client).or_default()
    }

    fn remove(&mut self, client: &ClientId) {
        self.0.remove(client);
    }

    /// Of all clients: nothing that a step may do. (I18)
    #[cfg(feature = "sim")]
    pub(super) fn all(&self) -> impl Iterator<Item = &Queue> {
        self.0.values().inspect(|_| look())
    }
}

/// Bound: for each enrolled client its quota in bytes, and twice `client_window` requests.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) queues: Queues,
    waiting: BTreeSet<(Time, ClientId)>,
    /// Those of them that were not found to be proposed since they began to wait.
    unproposed: BTreeSet<(Time, ClientId)>,
    /// The same clients by their names.
    ready: BTreeSet<ClientId>,
    /// When the next request of each of these is to be passed on.
    relays: BTreeSet<(Time, ClientId)>,
    /// Half of what a primary may let a request wait.
    half: Duration,
    count: usize,
    /// What all queues cost.
    bytes: u64,
    quota: Quota,
    /// Whose turn comes after this client's.
    pub(super) cursor: ClientId,
    /// The last batch was empty, and nothing came or was decided since.
    exhausted: bool,
}

impl Pool {
    pub(super) fn new(cluster: &Cluster, bytes_max: u64, half: Duration) -> Self {
        let largest = u64::from(cluster.limits().operation_bytes_max) + REQUEST_OVERHEAD_MAX;
        Self {
            queues: Queues::default(),
            waiting: BTreeSet::new(),
            unproposed: BTreeSet::new(),
            ready: BTreeSet::new(),
            relays: BTreeSet::new(),
            half,
            count: 0,
            bytes: 0,
            quota: Quota::new(cluster, bytes_max, largest),
            cursor: ClientId::default(),
            exhausted: false,
        }
    }

    pub(super) fn usage(&self) -> Use {
        Use { bytes: self.bytes, limit: self.quota.total }
    }

    /// Might another batch be drawn, as long as head's chain only grows?
    pub(super) fn may_give(&self) -> bool {
        self.count > 0 && !self.exhausted
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn holds(&self, client: &ClientId, number: RequestNumber) -> bool {
        self.queues.get(client).is_some_and(|queue| queue.pending.contains_key(&number))
    }

    /// One batch of each client is always welcome, within its quota, so that no client can keep another out; and its next request, or
    /// those that wait behind that would keep it out for ever.
    pub(super) fn has_room(&self, request: &Request, last: RequestNumber, limits: &Limits, capacity: usize) -> bool {
        let (waiting, bytes) = self.queues.get(&request.client).map_or((0, 0), |queue| (queue.pending.len(), queue.bytes));
        let too_many = waiting >= limits.batch_requests_max as usize && self.count >= capacity;
        let too_much = bytes + request.size() > self.quota.client;
        request.number == last.next() || !(too_many || too_much)
    }

    /// Takes a request above `last`, the client's last decided number.
    pub(super) fn admit(&mut self, request: Request, last: RequestNumber, limits: &Limits, capacity: usize, now: Time) -> Admission {
        // Twice the window: its client goes by what f+1 replicas have executed, and this one may be a window behind them.
        if request.number > last.plus(2 * u64::from(limits.client_window)) {
            return Admission::FarAhead;
        }
        if self.holds(&request.client, request.number) {
            return Admission::Duplicate;
        }
        let is_next = request.number == last.next();
        if !self.has_room(&request, last, limits, capacity) {
            return Admission::Busy;
        }
        let client = request.client;
        let dropped = self.make_room(client, request.size());
        self.insert(request);
        if is_next {
            self.wait(client, Some(now));
        }
        Admission::Added { dropped }
    }

    /// Drops what its client needs last, until `bytes` more are within its quota: any one request is, once nothing else waits.
    fn make_room(&mut self, client: ClientId, bytes: u64) -> Vec<RequestNumber> {
        let mut dropped = Vec::new();
        let Some(queue) = self.queues.get_mut(&client) else { return dropped };
        while queue.bytes + bytes > self.quota.client {
            let Some((number, request)) = queue.pending.pop_last() else { break };
            let freed = request.size();
            queue.bytes -= freed;
            self.bytes -= freed;
            self.count -= 1;
            dropped.push(number);
        }
        dropped
    }

    fn insert(&mut self, request: Request) {
        let queue = self.queues.of(request.client);
        let taken = request.size();
        queue.bytes += taken;
        self.bytes += taken;
        self.count += 1;
        queue.pending.insert(request.number, request);
        self.exhausted = false;
    }

    /// The client's requests up to `last` are decided.
    pub(super) fn settle(&mut self, client: ClientId, last: RequestNumber, now: Time) {
        self.exhausted = false;
        let Some(queue) = self.queues.get_mut(&client) else { return };
        let later = queue.pending.split_off(&last.next());
        let settled = core::mem::replace(&mut queue.pending, later);
        let freed: u64 = settled.values().map(Request::size).sum();
        queue.bytes -= freed;
        self.bytes -= freed;
        self.count -= settled.len();
        if settled.is_empty() && queue.since.is_some() {
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
            self.unproposed.remove(&(old, client));
            self.ready.remove(&client);
        }
        queue.since = since;
        queue.relayed = None;
        if let Some(since) = since {
            self.waiting.insert((since, client));
            self.ready.insert(client);
            self.unproposed.insert((since, client));
        }
        self.pass_on_at(client, since.map(|since| since.after(self.half)));
    }

    fn pass_on_at(&mut self, client: ClientId, due: Option<Time>) {
        let Some(queue) = self.queues.get_mut(&client) else { return };
        if let Some(old) = core::mem::replace(&mut queue.due, due) {
            self.relays.remove(&(old, client));
        }
        if let Some(due) = due {
            self.relays.insert((due, client));
        }
    }

    /// Since when the oldest request that could be ordered waits.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.waiting.first().map(|(since, _)| *since)
    }

    /// When the next such request is to be passed on: after half a timeout of waiting, and again after each whole one,
    /// since what was passed on may have been lost, and its client be gone.
    pub(super) fn relay_at(&self) -> Option<Time> {
        self.relays.first().map(|(due, _)| *due)
    }

    /// What was proposed may not be any more.
    pub(super) fn forget_proposed(&mut self) {
        self.unproposed.clone_from(&self.waiting);
    }

    /// Clients whose next request is here and not proposed, and since when, the longest wait first. At most `max`. `waits`: is that one's not proposed?
    pub(super) fn unproposed(&mut self, max: usize, waits: impl Fn(&ClientId) -> bool) -> Vec<(Time, ClientId)> {
        let (mut clients, mut proposed) = (Vec::new(), Vec::new());
        for entry in self.unproposed.iter().inspect(|_| look()) {
            if waits(&entry.1) {
                clients.push(*entry);
                if clients.len() >= max {
                    break;
                }
            } else {
                proposed.push(*entry);
            }
        }
        // I18: each is found to be proposed once. It begins to wait anew when that is decided.
        proposed.iter().for_each(|entry| {
            self.unproposed.remove(entry);
        });
        clients
    }

    /// Next requests of such clients that were not passed on within `pause`; they count as passed on. At most `max`.
    pub(super) fn take_unproposed(&mut self, now: Time, pause: Duration, max: usize, waits: impl Fn(&ClientId) -> bool) -> Vec<Request> {
        let mut requests = Vec::new();
        for (_, client) in self.unproposed(max, waits) {
            let Some(queue) = self.queues.get_mut(&client) else { continue };
            if queue.relayed.is_none_or(|relayed| relayed.after(pause) <= now) {
                queue.relayed = Some(now);
                requests.extend(queue.pending.values().next().cloned());
                self.pass_on_at(client, Some(now.after(self.half.saturating_mul(2))));
            }
        }
        requests
    }

    /// The requests that are to be passed on now, those that are due longest first; they count as passed on. At most `max`.
    pub(super) fn take_relayable(&mut self, now: Time, max: usize) -> Vec<Request> {
        let mut requests = Vec::new();
        for _ in 0..max {
            let Some((_, client)) = self.relays.first().copied().filter(|(due, _)| *due <= now) else { break };
            if let Some(queue) = self.queues.get_mut(&client) {
                queue.relayed = Some(now);
                requests.extend(queue.pending.values().next().cloned());
            }
            self.pass_on_at(client, Some(now.after(self.half.saturating_mul(2))));
        }
        requests
    }

    /// The next batch: of each client in turn, its requests in order, above what is decided, `last`, or `proposed` on the chain already.
    pub(super) fn next_batch(
        &mut self,
        limits: &Limits,
        proposed: &BTreeMap<ClientId, RequestNumber>,
        last: impl Fn(&ClientId) -> RequestNumber,
    ) -> Vec<Request> {
        let start = self.cursor;
        // I18: of others nothing can be ordered, and there may be very many that wait behind gaps. Nor is more looked at than the batch takes.
        let after = (Bound::Excluded(start), Bound::Unbounded);
        let clients = |from| merged(self.ready.range(from), proposed.range(from).map(|(client, _)| client));
        let next = |client: &ClientId| proposed.get(client).copied().unwrap_or_default().max(last(client)).next();
        let turns = clients(after).chain(clients((Bound::Unbounded, Bound::Included(start))));
        let turns = turns.filter_map(|client| Some((client, self.queues.get(client)?, next(client))));
        let mut draw = Draw { limits, batch: Vec::new(), bytes: 0, is_full: false };
        let mut still = draw.round(turns);
        while !draw.is_full && !still.is_empty() {
            still = draw.round(still.into_iter());
        }
        let batch = draw.batch;
        let cursor = batch.last().map_or(start, |request| request.client);
        self.cursor = cursor;
        self.exhausted = batch.is_empty();
        batch
    }
}

/// Two ascending rows as one, each client once.
fn merged<'a>(left: impl Iterator<Item = &'a ClientId>, right: impl Iterator<Item = &'a ClientId>) -> impl Iterator<Item = &'a ClientId> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    core::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(first), Some(second)) if first < second => left.next(),
        (Some(first), Some(second)) if first == second => {
            right.next();
            left.next()
        }
        (_, Some(_)) => right.next(),
        (_, None) => left.next(),
    })
}

/// A client, what of it waits, and which of that is next.
type Turn<'a> = (&'a ClientId, &'a Queue, RequestNumber);

/// A batch that is being drawn.
struct Draw<'a> {
    limits: &'a Limits,
    batch: Vec<Request>,
    bytes: u64,
    is_full: bool,
}

impl Draw<'_> {
    /// Takes one request of each client until the batch is full, and says who may have more.
    fn round<'a>(&mut self, turns: impl Iterator<Item = Turn<'a>>) -> Vec<Turn<'a>> {
        let mut still = Vec::new();
        for (client, queue, number) in turns {
            let Some(request) = queue.pending.get(&number) else { continue };
            self.bytes += request.size();
            if self.bytes > u64::from(self.limits.batch_bytes_max) {
                self.is_full = true;
                break;
            }
            self.batch.push(request.clone());
            if self.batch.len() >= self.limits.batch_requests_max as usize {
                self.is_full = true;
                break;
            }
            still.push((client, queue, number.next()));
        }
        still
    }
}
