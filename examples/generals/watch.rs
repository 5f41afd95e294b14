//! What can be known of one general from outside, for progress and report.

use crate::frames::Party;
use crate::ledger::{Entry, Ledger};
use logothete::{DecodeError, Event, Evidence, PeerLink, ReplicaId, SequenceNumber, Status, VerifyError, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So much evidence against one general is kept; one piece proves as much as a thousand.
const EVIDENCE_KEPT: usize = 3;

/// What was seen of a general, and what it has seen of others.
#[derive(Default)]
pub struct Seen {
    pub status: Option<Status>,
    /// What it executed or was given as a state, in all its lives: an entry for each time.
    pub entries: Vec<Entry>,
    /// Where its log stands in its present life; `None` while it is dead.
    pub now: Option<Entry>,
    /// How many entries of its present life are known.
    copied: usize,
    /// How often it was killed.
    pub killed: u64,
    /// Where it stood when it was started again.
    pub recovered: Vec<SequenceNumber>,
    /// Positions of the states that it was given by others.
    pub transferred: Vec<SequenceNumber>,
    /// Checkpoints that it saw become stable.
    pub stable: BTreeSet<SequenceNumber>,
    /// Views above 0 that it took part in.
    pub views: BTreeSet<View>,
    /// How often it wished for another view, and why.
    pub wishes: BTreeMap<&'static str, u64>,
    /// Proofs that came to it, a few for each culprit, and how many there were.
    pub evidence: BTreeMap<ReplicaId, (Vec<Evidence>, u64)>,
    /// Messages that were none, by the connection's owner.
    pub undecodable: BTreeMap<Party, u64>,
    /// Messages with signatures that don't hold, by the connection's owner.
    pub unbelievable: BTreeMap<Party, u64>,
    /// Requests that it put off because too many were waiting.
    pub refused: u64,
    /// Why it stopped, if it did.
    pub stopped: Option<String>,
}

/// A window on one general: its thread writes, the report reads.
#[derive(Default)]
pub struct Watch(Mutex<Seen>);

impl Watch {
    pub fn look(&self) -> MutexGuard<'_, Seen> {
        // Each entry stands for itself: what a panicking thread leaves is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn undecodable(&self, link: PeerLink, _error: &DecodeError) {
        *self.look().undecodable.entry(Party::behind(link)).or_default() += 1;
    }

    pub fn unbelievable(&self, link: PeerLink, _error: &VerifyError) {
        *self.look().unbelievable.entry(Party::behind(link)).or_default() += 1;
    }

    pub fn status(&self, status: Status, ledger: &Ledger) {
        let mut seen = self.look();
        seen.status = Some(status);
        seen.now = Some(ledger.last());
        let known = std::mem::replace(&mut seen.copied, ledger.entries().len());
        seen.entries.extend_from_slice(&ledger.entries()[known..]);
    }

    /// It has been started again.
    pub fn recovered(&self, status: &Status) {
        self.look().recovered.push(status.decided);
    }

    /// It was killed.
    pub fn killed(&self) {
        let mut seen = self.look();
        seen.killed += 1;
        seen.now = None;
        seen.copied = 0;
    }

    pub fn event(&self, event: Event) {
        let mut seen = self.look();
        match event {
            Event::Wished { why, .. } => *seen.wishes.entry(why).or_default() += 1,
            Event::EnteredView { view, .. } => drop(seen.views.insert(view)),
            Event::Evidence(evidence) => {
                let (kept, count) = seen.evidence.entry(evidence.culprit()).or_default();
                *count += 1;
                if kept.len() < EVIDENCE_KEPT && !kept.contains(&evidence) {
                    kept.push(evidence);
                }
            }
            Event::Refused { .. } => seen.refused += 1,
            Event::StateInstalled { sequence_number } => seen.transferred.push(sequence_number),
            Event::Stable { sequence_number, .. } => drop(seen.stable.insert(sequence_number)),
            // Of a loyal general none of this may be said.
            Event::Halted { .. }
            | Event::Impersonated { .. }
            | Event::Diverged { .. }
            | Event::NoAgreement { .. }
            | Event::SnapshotDamaged { .. }
            | Event::SnapshotTooLarge { .. }
            | Event::PartTooLarge { .. } => seen.stopped = Some(event.to_string()),
            _ => {}
        }
    }
}
