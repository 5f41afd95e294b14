//! The log that all loyal generals share.

use crate::ledger::Entry;
use logothete::SequenceNumber;
use std::collections::BTreeMap;

/// As far as any of them has come, and who was first at each position.
#[derive(Default)]
pub struct CommonLog {
    entries: BTreeMap<SequenceNumber, (Entry, u32)>,
    /// How many entries of each general have been compared.
    compared: BTreeMap<u32, usize>,
}

impl CommonLog {
    /// Compares what is new in a general's log, at equal positions; says where it differs. Positions that he left out, because he was
    /// given a later state, are compared in that state: its digests name everything before it.
    pub fn follow(&mut self, id: u32, log: &[Entry]) -> Option<String> {
        let compared = self.compared.entry(id).or_default();
        for entry in log.iter().skip(*compared) {
            *compared += 1;
            let (first, other) = self.entries.entry(entry.number).or_insert((*entry, id));
            if first != entry {
                return Some(format!(
                    "general {other} and general {id} decided differently at {}: {:?} and {:?}",
                    entry.number, first.digest, entry.digest
                ));
            }
        }
        None
    }
}
