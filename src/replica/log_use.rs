//! How much of the log is in use: what the disk still owes, and when it is time to let go of old records. (D1, C2, I18)

use std::collections::VecDeque;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    /// The record's index.
    pub(super) index: u64,
    /// Bytes written before it, in this process.
    pub(super) offset: u64,
}

/// After so many bytes of records all that binds is restated, and blocks that hold older records are written anew.
pub(super) const RESTATE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct LogUse {
    next: Place,
    restated: Place,
    /// Written and not yet reported durable: index and bytes.
    waiting: VecDeque<(u64, u64)>,
    waiting_bytes: u64,
}

impl LogUse {
    /// The log holds records up to, but without, `index`.
    pub(super) fn resume(index: u64) -> Self {
        let next = Place { index, offset: 0 };
        Self { next, restated: next, ..Self::default() }
    }

    pub(super) fn next_index(&self) -> u64 {
        self.next.index
    }

    /// Where the next record will stand.
    pub(super) fn next(&self) -> Place {
        self.next
    }

    pub(super) fn wrote(&mut self, bytes: u64) {
        self.waiting.push_back((self.next.index, bytes));
        self.waiting_bytes += bytes;
        self.next = Place { index: self.next.index + 1, offset: self.next.offset + bytes };
    }

    /// This record and all below it are durable.
    pub(super) fn durable_up_to(&mut self, index: u64) {
        while let Some((_, bytes)) = self.waiting.front().copied().filter(|(waiting, _)| *waiting <= index) {
            self.waiting.pop_front();
            self.waiting_bytes -= bytes;
        }
    }

    /// All records below this index are durable.
    pub(super) fn durable(&self) -> u64 {
        self.waiting.front().map_or(self.next.index, |(waiting, _)| *waiting)
    }

    /// Bytes of records that the host has not reported durable.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    pub(super) fn restated(&mut self) {
        self.restated = self.next;
    }

    /// So many bytes were written since all that binds was restated.
    pub(super) fn is_long(&self) -> bool {
        self.next.offset - self.restated.offset > RESTATE_BYTES
    }

    /// A block that was recorded there keeps too much of the log alive.
    pub(super) fn is_old(&self, place: Place) -> bool {
        self.next.offset - place.offset > RESTATE_BYTES
    }
}
