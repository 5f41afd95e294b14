//! The service that the generals replicate: a log of orders.

use crate::orders::LogDigest;
use logothete::{AppError, Bytes, Decision, Digest, SequenceNumber, Service};

/// Where the log stood behind one decided batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The batch's position.
    pub number: SequenceNumber,
    /// d_n: names this batch and every one before it.
    pub digest: Digest,
    /// Orders executed up to here.
    pub orders: u64,
    /// The digest of these orders.
    pub log: LogDigest,
}

impl Entry {
    /// Before the first batch.
    pub const BEGINNING: Self = Self { number: SequenceNumber::new(0), digest: Digest::new([0; 32]), orders: 0, log: LogDigest::EMPTY };
}

/// One general's log. All that its future depends on is its last entry; the others are there for the report.
pub struct Ledger {
    /// What this process has seen: an entry for each batch that it executed, and for each snapshot that it began from.
    entries: Vec<Entry>,
    truthful: bool,
}

impl Ledger {
    /// An empty one. One that isn't truthful tells clients false results.
    pub fn new(truthful: bool) -> Self {
        Self { entries: Vec::new(), truthful }
    }

    /// What this process has seen of the log. Positions between two of these may be missing, where a state came from others.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the log stands.
    pub fn last(&self) -> Entry {
        self.entries.last().copied().unwrap_or(Entry::BEGINNING)
    }

    /// The result of an order is its place in the log, and the log's digest there.
    pub fn result(orders: u64, log: LogDigest) -> Vec<u8> {
        format!("{orders} {log}").into_bytes()
    }
}

impl Service for Ledger {
    fn execute(&mut self, decision: &Decision) -> Vec<Bytes> {
        let mut entry = Entry { number: decision.sequence_number(), digest: decision.digest(), ..self.last() };
        let mut results = Vec::new();
        for request in decision.requests() {
            entry.orders += 1;
            entry.log = entry.log.and(request.operation());
            let told = if self.truthful { entry.orders } else { entry.orders + 1 };
            results.push(Bytes::from(Self::result(told, entry.log)));
        }
        self.entries.push(entry);
        results
    }

    fn snapshot(&self) -> Vec<u8> {
        let Entry { number, digest, orders, log } = self.last();
        [&number.get().to_le_bytes()[..], digest.as_bytes(), &orders.to_le_bytes(), log.as_bytes()].concat()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), AppError> {
        let mut rest = snapshot;
        let entry = Entry {
            number: SequenceNumber::new(u64::from_le_bytes(next(&mut rest)?)),
            digest: Digest::new(next(&mut rest)?),
            orders: u64::from_le_bytes(next(&mut rest)?),
            log: LogDigest::new(next(&mut rest)?),
        };
        if !rest.is_empty() {
            return Err(format!("{} bytes too many in a snapshot", rest.len()).into());
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// The next field.
fn next<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], AppError> {
    let (field, behind) = rest.split_first_chunk::<N>().ok_or("a snapshot that is too short")?;
    *rest = behind;
    Ok(*field)
}
