//! Each client's session: what makes every request execute once, in its client's order. Part of the agreed state. (S1)

use crate::ids::{ClientId, Digest, RequestNumber};
use crate::message::Block;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
struct Session {
    last: RequestNumber,
    /// Result digests of the latest `client_window` numbers, as far as they are executed.
    results: BTreeMap<RequestNumber, Digest>,
}

/// Bound: `client_window` digests for each enrolled client.
pub(super) struct Sessions {
    window: u64,
    sessions: BTreeMap<ClientId, Session>,
}

impl Sessions {
    pub(super) fn new(window: u32) -> Self {
        Self { window: u64::from(window), sessions: BTreeMap::new() }
    }

    /// The number of the client's last decided request; 0 if none.
    pub(super) fn last(&self, client: &ClientId) -> RequestNumber {
        self.sessions.get(client).map_or(RequestNumber::default(), |session| session.last)
    }

    /// For each request of a decided batch: is it its client's next? Any other is skipped as if it had never been proposed.
    pub(super) fn decide(&mut self, block: &Block) -> Vec<bool> {
        let mut executes = Vec::with_capacity(block.batch.len());
        for request in block.batch.iter() {
            let session = self.sessions.entry(request.client).or_default();
            let is_next = request.number == session.last.next();
            if is_next {
                session.last = request.number;
            }
            executes.push(is_next);
        }
        executes
    }

    pub(super) fn executed(&mut self, client: ClientId, number: RequestNumber, result: Digest) {
        let session = self.sessions.entry(client).or_default();
        session.results.insert(number, result);
        let oldest = session.last.minus(self.window).next();
        session.results = session.results.split_off(&oldest);
    }

    pub(super) fn result(&self, client: &ClientId, number: RequestNumber) -> Option<Digest> {
        self.sessions.get(client)?.results.get(&number).copied()
    }
}
