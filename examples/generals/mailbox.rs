//! What has arrived and waits: a tray for each connection, so that one who floods fills his own tray and nobody else's.

use crate::clock::Clock;
use crate::frames::Party;
use logothete::{PeerLink, Time};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A connection is not read on while so much of it waits; TCP then holds its sender back.
const TRAY_BYTES_MAX: usize = 4 << 20;
const TRAY_FRAMES_MAX: usize = 4096;
/// What one taking gets of one connection at most.
const TAKE_BYTES_MAX: usize = 1 << 20;
const TAKE_FRAMES_MAX: usize = 512;

/// A frame and the connection that it came over.
pub type Mail = (PeerLink, Vec<u8>);

/// How much was heard of a party, and when last.
#[derive(Clone, Copy, Default)]
pub struct Heard {
    pub frames: u64,
    pub last: Time,
}

#[derive(Default)]
struct Tray {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

#[derive(Default)]
struct Trays {
    by_link: BTreeMap<PeerLink, Tray>,
    heard: BTreeMap<Party, Heard>,
    closed: bool,
}

pub struct Mailbox {
    clock: Clock,
    trays: Mutex<Trays>,
    arrived: Condvar,
    emptied: Condvar,
}

impl Mailbox {
    pub fn new(clock: Clock) -> Self {
        Self { clock, trays: Mutex::default(), arrived: Condvar::new(), emptied: Condvar::new() }
    }

    /// Puts a frame into its connection's tray, waiting while that is full. False once the mailbox is closed.
    pub fn put(&self, link: PeerLink, from: Party, frame: Vec<u8>) -> bool {
        let full = |trays: &mut Trays| {
            !trays.closed
                && trays.by_link.get(&link).is_some_and(|tray| tray.bytes >= TRAY_BYTES_MAX || tray.frames.len() >= TRAY_FRAMES_MAX)
        };
        let mut trays = self.emptied.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if trays.closed {
            return false;
        }
        let heard = trays.heard.entry(from).or_default();
        heard.frames += 1;
        heard.last = self.clock.now();
        let tray = trays.by_link.entry(link).or_default();
        tray.bytes += frame.len();
        tray.frames.push_back(frame);
        self.arrived.notify_one();
        true
    }

    /// Waits for mail, but not beyond `deadline`, and takes some from each tray. `None` once the mailbox is closed.
    pub fn take(&self, deadline: Option<Time>) -> Option<Vec<Mail>> {
        let empty = |trays: &mut Trays| !trays.closed && trays.by_link.is_empty();
        let trays = self.lock();
        let mut trays = match deadline.map(|deadline| deadline.since(self.clock.now())) {
            None => self.arrived.wait_while(trays, empty).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => self.arrived.wait_timeout_while(trays, patience, empty).unwrap_or_else(PoisonError::into_inner).0,
        };
        if trays.closed {
            return None;
        }
        let mut mail = Vec::new();
        for (link, tray) in &mut trays.by_link {
            let mut taken = (0, 0);
            while taken.0 < TAKE_FRAMES_MAX && taken.1 < TAKE_BYTES_MAX {
                let Some(frame) = tray.frames.pop_front() else { break };
                taken = (taken.0 + 1, taken.1 + frame.len());
                tray.bytes -= frame.len();
                mail.push((*link, frame));
            }
        }
        trays.by_link.retain(|_, tray| !tray.frames.is_empty());
        self.emptied.notify_all();
        Some(mail)
    }

    /// What was heard of each party so far.
    pub fn heard(&self) -> BTreeMap<Party, Heard> {
        self.lock().heard.clone()
    }

    /// Ends all waiting, now and later.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
        self.emptied.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Trays> {
        // What a panicking thread leaves here is still whole: each change is one push or one pop.
        self.trays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
