//! Checks the invariants of what correct replicas do, with arithmetic of its own. (FAULTS: I1, I3, I13, I14)

use super::claims::Claims;
use super::disk::Done;
use logothete::sim::forge::{Forge, Kind, Seen};
use logothete::{ClientId, Digest, Request, RequestNumber, SequenceNumber, View};
use std::collections::BTreeMap;

/// What may be said only once by one replica, and what was said.
type Said = BTreeMap<(usize, u8, View, SequenceNumber), Digest>;

#[derive(Debug, Default)]
pub struct Oracle {
    decided: BTreeMap<SequenceNumber, Digest>,
    at: BTreeMap<usize, SequenceNumber>,
    said: Said,
    last: BTreeMap<(usize, ClientId), RequestNumber>,
    views: BTreeMap<usize, View>,
    pub claims: Claims,
    order: BTreeMap<usize, Vec<(ClientId, RequestNumber, Vec<u8>)>>,
}

impl Oracle {
    pub fn new(_replicas: u32) -> Self {
        Self::default()
    }

    /// I1: one digest per position. I14: no gaps.
    pub fn decided(&mut self, replica: usize, number: SequenceNumber, digest: Digest) {
        let known = *self.decided.entry(number).or_insert(digest);
        assert_eq!(known, digest, "I1: R{replica} decided another batch at {number:?}");
        let last = self.at.insert(replica, number).unwrap_or_default();
        assert_eq!(last.next(), number, "I14: R{replica} left a gap");
    }

    /// A replica's service is at `number`, with this history: after a restart, or since a state was installed. It may come again by what it had
    /// executed before, and its history is part of everybody's.
    pub fn restarted(&mut self, replica: usize, number: SequenceNumber, done: &[Done]) {
        self.at.insert(replica, number);
        self.last.retain(|(of, _), _| *of != replica);
        for done in done {
            let last = self.last.insert((replica, done.client), done.number).unwrap_or_default();
            assert_eq!(last.next(), done.number, "I13: R{replica} has a history that is out of turn");
        }
        let history = done.iter().map(|done| (done.client, done.number, done.operation.clone())).collect();
        self.order.insert(replica, history);
        self.check();
    }

    /// I13: each request once, and in its client's order.
    pub fn executed(&mut self, replica: usize, request: &Request) {
        let last = self.last.insert((replica, request.client()), request.number()).unwrap_or_default();
        assert_eq!(last.next(), request.number(), "I13: R{replica} executed out of turn");
        self.order.entry(replica).or_default().push((request.client(), request.number(), request.operation().to_vec()));
    }

    /// I3: no two different statements. I10: votes never go back to a lower view.
    pub fn sent(&mut self, replica: usize, bytes: &[u8], forge: &Forge) {
        self.claims.saw(Some(replica), bytes, forge);
        match forge.read(bytes) {
            Ok(Seen::PrePrepare { view, block }) => self.voted(replica, 0, view, (block.sequence_number(), block.digest())),
            Ok(Seen::Vote { kind, replica: by, view, position }) if by.get() as usize == replica => {
                self.voted(replica, if kind == Kind::Prepare { 0 } else { 1 }, view, position);
            }
            _ => {}
        }
    }

    fn voted(&mut self, replica: usize, kind: u8, view: View, position: (SequenceNumber, Digest)) {
        let said = *self.said.entry((replica, kind, view, position.0)).or_insert(position.1);
        assert_eq!(said, position.1, "I3: R{replica} voted twice at {view:?} {:?}", position.0);
    }

    /// Equal histories, as far as both go.
    pub fn check(&self) {
        let mut longest: &[(ClientId, RequestNumber, Vec<u8>)] = &[];
        for history in self.order.values() {
            let common = history.len().min(longest.len());
            assert_eq!(history[..common], longest[..common], "I14: histories differ");
            if history.len() > longest.len() {
                longest = history;
            }
        }
    }
}
