//! How much of the log is in use: what the disk still owes, and when it is time to let go of old records. (D1, C2, I18)

use alloc::collections::VecDeque;

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

#[derive(Clone, Debug, Default)]
pub(super) struct LogUse {
    next: Place,
    restated: Place,
    /// All that binds is to be restated as soon as the disk has caught up.
    due: bool,
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
        self.due = false;
    }

    pub(super) fn restate_soon(&mut self) {
        self.due = true;
    }

    /// There is reason to restate all that binds: something happened, or so many bytes were written since the last time.
    pub(super) fn is_due(&self) -> bool {
        self.due || self.next.offset - self.restated.offset > RESTATE_BYTES
    }

    /// A block that was recorded there keeps too much of the log alive. `held`: bytes of all blocks that are held. What is written anew for
    /// one block must not make another old, or it would never end.
    pub(super) fn is_old(&self, place: Place, held: u64) -> bool {
        self.next.offset - place.offset > held.saturating_mul(2).saturating_add(RESTATE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i18_what_is_written_anew_does_not_make_itself_old() {
        let mut log = LogUse::default();
        let (first, held) = (log.next(), 10 * RESTATE_BYTES);
        log.wrote(held);
        assert!(!log.is_old(first, held), "all that is held, written once, is not to be written again at once");
        log.wrote(held);
        log.wrote(RESTATE_BYTES);
        assert!(!log.is_old(first, held));
        log.wrote(1);
        assert!(log.is_old(first, held));
        assert!(!log.is_old(log.next(), held));
    }

    #[test]
    fn i18_a_state_is_due_once_for_each_reason() {
        let mut log = LogUse::default();
        assert!(!log.is_due());
        log.restate_soon();
        assert!(log.is_due());
        log.restated();
        assert!(!log.is_due());
        log.wrote(RESTATE_BYTES + 1);
        assert!(log.is_due());
        log.restated();
        assert!(!log.is_due());
    }
}
