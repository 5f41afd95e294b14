//! Messages between the network and verification: to each connection its part, and little to one that was caught with a bad signature. (SPEC 3.7)
//!
//! Quotas hang on the host's own name for a connection, since nothing that bytes say of their sender is known before they are verified.

use crate::message::MessageKind;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::verify::{PeerLink, Unverified};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// Of each connection as much is taken at once, and one message more.
const TURN_BYTES: usize = 1024 * 1024;

/// What one thread verifies at once, and one message more: signatures cost least in company, and some hundreds of bytes each while they are checked.
const PORTION_BYTES: usize = 512 * 1024;
/// What of it is one connection's, and one message more: so much a connection costs before it is doubted.
const PORTION_LINK_BYTES: usize = 128 * 1024;

/// Connections that are remembered though nothing of theirs waits.
const REMEMBERED_MAX: usize = 4096;

/// For so many intervals a connection is doubted after its last bad message.
const DOUBT_INTERVALS: u32 = 32;

#[derive(Debug, Default)]
struct Link {
    queue: VecDeque<Unverified>,
    bytes: usize,
    /// When the present interval began, and what was taken in it.
    since: Time,
    repairs: u32,
    doubted_bytes: usize,
    /// A message of it was bad not long ago.
    doubted_until: Option<Time>,
}

impl Link {
    fn is_doubted(&self, now: Time) -> bool {
        self.doubted_until.is_some_and(|until| now < until)
    }

    /// Does anything hang on it?
    fn counts(&self, now: Time) -> bool {
        !self.queue.is_empty() || self.repairs > 0 || self.doubted_bytes > 0 || self.is_doubted(now)
    }

    /// A queue keeps the room that it once took: back to about what it needs.
    fn give_room_back(&mut self) {
        if self.queue.capacity() > 4 * self.queue.len().max(4) {
            self.queue.shrink_to(2 * self.queue.len());
        }
    }
}

/// What an [`Inbox`] gave up, counted in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overflow {
    /// There was no room: a connection had more than its part waiting.
    pub overflowed: u64,
    /// A connection sent more statuses and the like than anybody needs, or was doubted.
    pub limited: u64,
}

/// Bound: [`Tuning::inbox_bytes_max`] of messages, each with its [`Unverified::size`] (which is a third of what a proposal of very short operations takes), or one message where that is longer; in equal parts for all connections of which some wait.
#[derive(Debug)]
pub struct Inbox {
    links: BTreeMap<PeerLink, Link>,
    bytes: usize,
    bytes_max: usize,
    interval: Duration,
    repairs_max: u32,
    doubted_bytes_max: usize,
    overflow: Overflow,
}

/// Statuses and their answers, view changes, proofs: of these a correct replica sends a few in an interval, however much is decided.
fn is_repair(kind: MessageKind) -> bool {
    matches!(
        kind,
        MessageKind::Status
            | MessageKind::Fetch
            | MessageKind::Certificate
            | MessageKind::ViewChange
            | MessageKind::NewView
            | MessageKind::Evidence
            | MessageKind::Stable
            | MessageKind::Rejoin
            | MessageKind::Welcome
    )
}

impl Inbox {
    /// An empty one.
    pub fn new(tuning: &Tuning) -> Self {
        let tuning = tuning.clone().sanitized();
        Self {
            links: BTreeMap::new(),
            bytes: 0,
            bytes_max: usize::try_from(tuning.inbox_bytes_max).unwrap_or(usize::MAX),
            interval: tuning.status_interval,
            repairs_max: tuning.link_repairs_max,
            doubted_bytes_max: tuning.doubted_bytes_max as usize,
            overflow: Overflow::default(),
        }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was given up so far.
    pub fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Keeps a message until it is its turn. Where there is no room, the connection that has most waiting loses its latest messages; this one, if that is its
    /// own.
    pub fn push(&mut self, unverified: Unverified) {
        let (link, size) = (unverified.link(), unverified.size());
        // Where nothing waits there is room, however little was asked for.
        if self.bytes > 0 && self.bytes.saturating_add(size) > self.bytes_max && !self.make_room(link, size) {
            self.overflow.overflowed += 1;
            return;
        }
        let entry = self.links.entry(link).or_default();
        entry.bytes += size;
        self.bytes += size;
        entry.queue.push_back(unverified);
    }

    fn make_room(&mut self, for_link: PeerLink, size: usize) -> bool {
        let own = self.links.get(&for_link).map_or(0, |link| link.bytes).saturating_add(size);
        let Some(fattest) = self.links.values_mut().max_by_key(|link| link.bytes).filter(|fattest| fattest.bytes > own) else {
            return false;
        };
        // An eighth of it at once, or each message would look for the fattest one anew.
        let goal = (fattest.bytes - fattest.bytes / 8).min(fattest.bytes.saturating_sub(size));
        while fattest.bytes > goal {
            let Some(dropped) = fattest.queue.pop_back() else { break };
            fattest.bytes -= dropped.size();
            self.bytes -= dropped.size();
            self.overflow.overflowed += 1;
        }
        fattest.give_room_back();
        self.bytes.saturating_add(size) <= self.bytes_max
    }

    /// The messages whose turn it is: of each connection some, those of doubted ones last. What is left waits for the next turn, unless its connection is doubted.
    /// Where `now` stands still, nothing that is limited is let through again.
    pub fn take(&mut self, now: Time) -> Vec<Unverified> {
        let (mut trusted, mut doubted) = (Vec::new(), Vec::new());
        for link in self.links.values_mut() {
            // A clock that has gone back would else refill nothing until it is where it was.
            if now.since(link.since) >= self.interval || now < link.since {
                (link.since, link.repairs, link.doubted_bytes) = (now, 0, 0);
            }
            let is_doubted = link.is_doubted(now);
            let mut taken = 0;
            while taken < TURN_BYTES {
                let Some(next) = link.queue.pop_front() else { break };
                let size = next.size();
                link.bytes -= size;
                self.bytes -= size;
                let is_repair = is_repair(next.kind());
                let too_much = (is_repair && link.repairs >= self.repairs_max)
                    || (is_doubted && link.doubted_bytes.saturating_add(size) > self.doubted_bytes_max);
                if too_much {
                    self.overflow.limited += 1;
                    continue;
                }
                link.repairs += u32::from(is_repair);
                taken += size;
                if is_doubted {
                    link.doubted_bytes += size;
                    doubted.push(next);
                } else {
                    trusted.push(next);
                }
            }
        }
        self.links.retain(|_, link| {
            link.give_room_back();
            link.counts(now)
        });
        while self.links.len() > REMEMBERED_MAX {
            // A host that names connections anew without end: the ones named first are forgotten, unless something of theirs waits.
            let Some(first) = self.links.iter().find(|(_, link)| link.queue.is_empty()).map(|(name, _)| *name) else { break };
            self.links.remove(&first);
        }
        trusted.append(&mut doubted);
        trusted
    }

    /// Takes out of `needed` what is to be verified next, in its order: for each of `threads` at most 512 KiB, of one connection at most 128 KiB, and one message more of each.
    /// What came over doubted connections waits until nothing else is left: a bad signature spoils what is verified with it. Empty only if `needed` is.
    ///
    /// Then tell of each bad message ([`refused`](Self::refused)), and ask of what else was taken of a connection that was caught by it whether it is let through.
    pub fn portion(&self, needed: &mut VecDeque<Unverified>, threads: usize, now: Time) -> Vec<Unverified> {
        let bytes_max = PORTION_BYTES.saturating_mul(threads.max(1));
        let only_doubted = needed.iter().all(|unverified| self.is_doubted(unverified.link(), now));
        let (mut portion, mut rest) = (Vec::new(), VecDeque::new());
        let (mut bytes, mut of_links) = (0_usize, BTreeMap::<PeerLink, usize>::new());
        for unverified in needed.drain(..) {
            let own = of_links.entry(unverified.link()).or_default();
            let is_its_turn = only_doubted || !self.is_doubted(unverified.link(), now);
            if is_its_turn && bytes < bytes_max && *own < PORTION_LINK_BYTES {
                bytes = bytes.saturating_add(unverified.size());
                *own = own.saturating_add(unverified.size());
                portion.push(unverified);
            } else {
                rest.push_back(unverified);
            }
        }
        *needed = rest;
        portion
    }

    /// Is little of this connection taken?
    pub fn is_doubted(&self, link: PeerLink, now: Time) -> bool {
        self.links.get(&link).is_some_and(|link| link.is_doubted(now))
    }

    /// Is a message still to be verified that was taken before its connection was doubted? As much is as would be taken from now on.
    pub fn lets_through(&mut self, unverified: &Unverified, now: Time) -> bool {
        let Some(link) = self.links.get_mut(&unverified.link()).filter(|link| link.is_doubted(now)) else { return true };
        let bytes = link.doubted_bytes.saturating_add(unverified.size());
        let is_little = bytes <= self.doubted_bytes_max;
        if is_little {
            link.doubted_bytes = bytes;
        } else {
            self.overflow.limited += 1;
        }
        is_little
    }

    /// Statuses are due so often, and what was limited is let through again.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// A message of this connection was bad: no correct peer sends such a thing, nor passes it on. For a while little of it is taken, and that last.
    /// True if it was trusted until now: what was taken of it before is then asked about with [`lets_through`](Self::lets_through), once.
    pub fn refused(&mut self, link: PeerLink, now: Time) -> bool {
        let was_trusted = !self.is_doubted(link, now);
        let until = now.after(self.interval.saturating_mul(DOUBT_INTERVALS));
        self.links.entry(link).or_default().doubted_until = Some(until);
        was_trusted
    }
}
