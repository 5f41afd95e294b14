//! The service that the generals replicate: a log of orders.

use crate::orders::LogDigest;
use logothete::{Bytes, Decision, Digest, Service};

/// Where the log stood behind one decided batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// d_n: names this batch and every one before it.
    pub digest: Digest,
    /// Orders executed up to here.
    pub orders: u64,
    /// The digest of these orders.
    pub log: LogDigest,
}

/// One general's log.
pub struct Ledger {
    /// One for each sequence number, from 1.
    entries: Vec<Entry>,
    orders: u64,
    log: LogDigest,
    truthful: bool,
}

impl Ledger {
    /// An empty one. One that isn't truthful tells clients false results.
    pub fn new(truthful: bool) -> Self {
        Self { entries: Vec::new(), orders: 0, log: LogDigest::EMPTY, truthful }
    }

    /// All of it.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The result of an order is its place in the log, and the log's digest there.
    pub fn result(orders: u64, log: LogDigest) -> Vec<u8> {
        format!("{orders} {log}").into_bytes()
    }
}

impl Service for Ledger {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let mut results = Vec::new();
        for request in decision.requests() {
            self.orders += 1;
            self.log = self.log.and(request.operation());
            let told = if self.truthful { self.orders } else { self.orders + 1 };
            results.push(Bytes::from(Self::result(told, self.log)));
        }
        self.entries.push(Entry { digest: decision.digest(), orders: self.orders, log: self.log });
        results
    }
}
