//! What has arrived for the replica and waits: a tray for each connection, so that one who floods fills his own tray and nobody else's.

use logothete::{ClientId, PeerLink, ReplicaId, Unverified};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    Node(ReplicaId),
    Client(ClientId),
}

/// A message, whose it is, and its room in the connection's tray, which is free again when this is dropped.
pub struct Mail {
    pub from: Member,
    pub message: Unverified,
    pub room: OwnedSemaphorePermit,
}

/// What one taking gets of one connection at most.
const TAKE_MAX: usize = 256;

#[derive(Default)]
struct Trays {
    by_link: BTreeMap<PeerLink, VecDeque<Mail>>,
    closed: bool,
}

#[derive(Default)]
pub struct Mailbox {
    trays: Mutex<Trays>,
    arrived: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Trays> {
        self.trays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts down what has come over one connection at one time, and takes it away from `load`.
    pub fn put_all(&self, link: PeerLink, load: &mut Vec<Mail>) {
        if !load.is_empty() {
            self.lock().by_link.entry(link).or_default().extend(load.drain(..));
            self.arrived.notify_one();
        }
    }

    /// Waits for mail, but not longer than `patience`, and takes some from each tray. `None` once it is closed.
    pub fn take(&self, patience: Duration) -> Option<Vec<Mail>> {
        let idle = |trays: &mut Trays| !trays.closed && trays.by_link.is_empty();
        let mut trays = self.arrived.wait_timeout_while(self.lock(), patience, idle).unwrap_or_else(PoisonError::into_inner).0;
        if trays.closed {
            return None;
        }
        let mut mail = Vec::new();
        for tray in trays.by_link.values_mut() {
            mail.extend(tray.drain(..tray.len().min(TAKE_MAX)));
        }
        trays.by_link.retain(|_, tray| !tray.is_empty());
        Some(mail)
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }
}
