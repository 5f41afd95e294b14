//! What is overdue. Timers are local: they cost liveness at worst. (T1)

use super::{Broken, Replica};
use crate::ids::SequenceNumber;
use crate::time::Time;
use crate::tuning::Tuning;
use alloc::collections::VecDeque;
use core::time::Duration;

/// A checkpoint interval of positions, and whatever request waited when their count began: so nobody who starves one client alone, and is quick with
/// what it likes to decide, can take back what that one's waiting has cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    since: Time,
    positions: u64,
}

impl Stretch {
    pub(super) fn begin(&mut self, now: Time) {
        *self = Self { since: now, positions: 0 };
    }

    /// Upon one more being decided. `oldest`: since when the oldest request waits that still does. True at the end; then it begins again.
    pub(super) fn ends(&mut self, now: Time, oldest: Option<Time>, checkpoint_interval: u64) -> bool {
        self.positions += 1;
        let ends = self.positions >= checkpoint_interval && oldest.is_none_or(|oldest| oldest >= self.since);
        if ends {
            self.begin(now);
        }
        ends
    }
}

#[derive(Clone)]
pub(super) struct Timers {
    /// The host has told the time at least once.
    pub(super) started: bool,
    /// When the present view was left for or entered, whichever is later.
    view_since: Time,
    /// How often T is doubled.
    backoff: u32,
    /// And once more for each of the views that were left one after the other before they began, while nothing waited.
    not_begun: u32,
    /// In the present view something that is to be ordered waited for half of T.
    kept_waiting: bool,
    /// The present view did not begin within half of T.
    is_late: bool,
    /// Where the present view began; none while it has not.
    base: Option<SequenceNumber>,
    /// Something above that was decided in time, and no request waits any more that waited when the view began: what was proposed in a lower view, or decided
    /// when patience was lost already, or beside what waits on, shows that patience is too short.
    has_served: bool,
    /// How long what was decided in the present view had waited in it, at most.
    longest_wait: Duration,
    /// What is decided since `backoff` last changed.
    stretch: Stretch,
    pub(super) last_status: Time,
    /// Something happened that the others should hear of at once.
    pub(super) status_due: bool,
    /// When each of the last 64 batches was decided, and how many requests it held.
    recent: VecDeque<(Time, usize)>,
}

impl Timers {
    pub(super) fn new(now: Time) -> Self {
        Self {
            started: false,
            view_since: now,
            backoff: 0,
            not_begun: 0,
            kept_waiting: false,
            is_late: false,
            base: Some(SequenceNumber::default()),
            has_served: false,
            longest_wait: Duration::ZERO,
            stretch: Stretch { since: now, positions: 0 },
            last_status: now,
            status_due: false,
            recent: VecDeque::new(),
        }
    }

    /// A view that served quickly, and kept nothing waiting, makes up for as many faulty primaries as can come before it.
    pub(super) fn left_view(&mut self, now: Time, tuning: &Tuning, faults: u32) {
        let (backoff_max, before) = (tuning.backoff_max, self.backoff);
        if self.kept_waiting && !self.has_served {
            self.backoff = (self.backoff + 1).min(backoff_max);
        } else if self.has_served && !self.kept_waiting {
            let lowest = self.backoff.saturating_sub(faults.max(1));
            let patience = |backoff: u32| tuning.request_timeout.saturating_mul(1_u32.checked_shl(backoff).unwrap_or(u32::MAX));
            while self.backoff > lowest && self.longest_wait.saturating_mul(4) <= patience(self.backoff) {
                self.backoff -= 1;
            }
        } else if self.is_late && !self.kept_waiting {
            self.not_begun = (self.not_begun + 1).min(backoff_max);
        }
        if self.backoff != before {
            self.stretch.begin(now);
        }
        self.kept_waiting = false;
        self.is_late = false;
        self.has_served = false;
        self.base = None;
        self.longest_wait = Duration::ZERO;
        self.view_since = now;
    }

    pub(super) fn view_since(&self) -> Time {
        self.view_since
    }

    pub(super) fn entered_view(&mut self, now: Time, base: SequenceNumber) {
        self.view_since = now;
        self.not_begun = 0;
        self.is_late = false;
        self.base = Some(base);
    }

    pub(super) fn decided(&mut self, now: Time, requests: usize, oldest: Option<Time>, checkpoint_interval: u64) {
        if self.stretch.ends(now, oldest, checkpoint_interval) {
            self.backoff = self.backoff.saturating_sub(1);
        }
        self.recent.push_back((now, requests));
        if self.recent.len() > 64 {
            self.recent.pop_front();
        }
    }

    pub(super) fn decided_in_time(&mut self, number: SequenceNumber, oldest: Option<Time>) {
        let is_own = self.base.is_some_and(|base| number > base);
        self.has_served |= is_own && oldest.is_none_or(|oldest| oldest >= self.view_since);
    }

    /// How many requests may wait: what was decided lately in half a timeout, or one batch. A primary that is merely loaded must not be replaced for its queue.
    pub(super) fn capacity(&self, timeout: Duration, floor: u32) -> usize {
        let floor = floor as usize;
        let (Some((first, _)), Some((last, _))) = (self.recent.front(), self.recent.back()) else { return floor };
        let requests: usize = self.recent.iter().map(|(_, requests)| requests).sum();
        let elapsed = last.since(*first).as_micros().max(1);
        let half = (timeout / 2).as_micros();
        let capacity = (requests as u128).saturating_mul(half) / elapsed;
        usize::try_from(capacity).unwrap_or(usize::MAX).max(floor)
    }
}

fn earlier(left: Option<Time>, right: Option<Time>) -> Option<Time> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

impl Replica {
    /// How often T is doubled: for each view in which something waited that it did not serve.
    pub(super) fn doublings(&self) -> u32 {
        (self.timers.backoff + self.timers.not_begun).min(self.tuning.backoff_max)
    }

    /// T as it is now.
    pub(super) fn timeout(&self) -> Duration {
        let base = if self.promises.is_normal() { self.tuning.request_timeout } else { self.tuning.view_change_timeout };
        base.saturating_mul(1_u32.checked_shl(self.doublings()).unwrap_or(u32::MAX))
    }

    // T1
    /// Upon wishing for a higher view, and upon leaving: has patience been lost with this one? Others may have lost theirs a little sooner, so half of T is
    /// enough. Who has lost its log makes the others leave views while nothing waits, or hardly has: these say nothing of how long patience has to be.
    pub(super) fn judge_view(&mut self) {
        let (since, half) = (self.timers.view_since, self.timeout() / 2);
        let is_long = |waits: Time| waits.max(since).after(half) <= self.now;
        self.timers.kept_waiting |= self.oldest_waiting().is_some_and(is_long);
        self.timers.is_late |= !self.promises.is_normal() && is_long(since);
    }

    /// Since when the oldest outstanding item is outstanding: being without a view, or what waits in it.
    fn oldest_outstanding(&self) -> Option<Time> {
        if self.promises.is_normal() { self.oldest_waiting() } else { Some(self.timers.view_since) }
    }

    /// Since when the oldest of what is to be ordered waits: a position on head's chain, or a client's next request.
    fn oldest_waiting(&self) -> Option<Time> {
        // Beyond the window nothing can be ordered, which is not the primary's fault.
        let window_closed = self.ordering.head.number >= self.cluster.window_end(self.stable().number);
        let request = self.pool.oldest().filter(|_| !window_closed);
        // What is decided but not held is fetched from anyone: not the primary's fault either.
        let stable = self.stable().number;
        let settled = self.ordering.target.as_ref().map_or(stable, |target| target.sequence_number.max(stable));
        // Positions are accepted one after the other: the lowest has waited longest.
        let position = self.ordering.accepted.from(settled.next()).next().map(|(_, (since, _))| *since);
        request.into_iter().chain(position).min()
    }

    /// Upon deciding this position: how long has it waited in this view, or a request that waits beside it?
    pub(super) fn note_wait(&mut self, number: SequenceNumber) {
        let position = self.ordering.accepted.from(number).next().map(|(_, (since, _))| *since);
        let waited = self.pool.oldest().into_iter().chain(position).min();
        let waited = waited.map_or(Duration::ZERO, |since| self.now.since(since.max(self.timers.view_since)));
        self.timers.longest_wait = self.timers.longest_wait.max(waited);
    }

    // T1
    /// When the oldest outstanding item is overdue. Other progress doesn't move it.
    fn overdue_at(&self, oldest: Option<Time>) -> Option<Time> {
        Some(oldest?.max(self.timers.view_since).after(self.timeout()))
    }

    fn relay_at(&self) -> Option<Time> {
        self.pool.relay_at()
    }

    // T2
    /// None while what it would tell is not on record: when that is durable, its receipt comes.
    fn status_at(&self) -> Option<Time> {
        self.status_beside(self.oldest_outstanding())
    }

    fn status_beside(&self, oldest: Option<Time>) -> Option<Time> {
        if !self.promises.may_tell() {
            return None;
        }
        if self.timers.status_due {
            return Some(self.now);
        }
        let pace = self.timers.last_status.after(self.tuning.status_interval);
        let idle = self.timers.last_status.after(self.tuning.idle_status_interval);
        let behind = self.decided_target().is_some_and(|target| target.number > self.chain.decided());
        // C1: votes on a checkpoint may have been lost, and the window hangs on them.
        let unstable = !self.promises.checkpoints.is_empty();
        let asks = self.catch_up.has_to_ask(&self.cluster, self.chain.decided());
        if behind || asks || unstable || self.is_rejoining() || self.promises.want() > self.promises.view() {
            return Some(pace);
        }
        Some(oldest.map_or(idle, |since| since.after(self.tuning.status_interval).max(pace).min(idle)))
    }

    /// Everything that is due now.
    pub(super) fn on_time(&mut self) -> Result<(), Broken> {
        if self.overdue_at(self.oldest_outstanding()).is_some_and(|due| due <= self.now) && !self.disk_is_behind() {
            let next = self.promises.view().next();
            self.wish_for(next, "the oldest outstanding item is overdue")?;
            self.consider_wishes()?;
        }
        self.judge_pace()?;
        // None is due before the oldest has waited that long.
        let waits = self.pool.oldest().is_some_and(|since| since.after(self.tuning.request_timeout / 2) <= self.now);
        if waits && self.relay_at().is_some_and(|due| due <= self.now) {
            self.relay_requests();
        }
        self.ask_to_rejoin();
        self.transfer_state();
        self.fetch_missing();
        // Most steps end here: looking further costs more.
        let earliest = self.timers.last_status.after(self.tuning.status_interval.min(self.tuning.idle_status_interval));
        if (self.timers.status_due || earliest <= self.now) && self.status_at().is_some_and(|due| due <= self.now) {
            self.timers.status_due = false;
            self.timers.last_status = self.now;
            self.send_status();
        }
        Ok(())
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        // Once wished, being overdue asks for nothing more; and while the disk is behind, its next receipt comes first.
        let may_wish = self.promises.want() <= self.promises.view() && !self.is_rejoining() && !self.disk_is_behind();
        let oldest = self.oldest_outstanding();
        let overdue = self.overdue_at(oldest).filter(|_| may_wish);
        let proposal = (self.ordering.held_back > 0).then_some(self.now);
        let own = earlier(earlier(proposal, overdue), earlier(self.pace_at(), self.relay_at()));
        let asks = earlier(earlier(self.fetch_at(), self.transfer.deadline()), self.rejoin_at());
        earlier(earlier(own, asks), self.status_beside(oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_patience_falls_with_each_checkpoint_interval_however_many_views_that_takes() {
        let mut timers = Timers::new(Time(0));
        timers.backoff = 2;
        for position in 1..=8 {
            // In each view one is decided, in time, but not so quickly that patience could be shorter at once.
            timers.has_served = true;
            timers.longest_wait = Duration::from_secs(60);
            timers.decided(Time(position), 1, None, 4);
            timers.left_view(Time(position), &Tuning::default(), 1);
            assert_eq!(u64::from(timers.backoff), 2 - position / 4);
        }
    }

    #[test]
    fn t1_what_was_decided_before_patience_changed_does_not_count() {
        let mut timers = Timers::new(Time(0));
        timers.backoff = 2;
        let decide = |timers: &mut Timers, positions: u64| (0..positions).for_each(|_| timers.decided(Time(1), 1, None, 4));
        decide(&mut timers, 3);
        timers.has_served = true;
        timers.left_view(Time(1), &Tuning::default(), 1);
        assert_eq!(timers.backoff, 1);
        decide(&mut timers, 3);
        assert_eq!(timers.backoff, 1);
        decide(&mut timers, 1);
        assert_eq!(timers.backoff, 0);
    }

    #[test]
    fn t1_how_many_requests_may_wait_goes_by_the_last_64_batches() {
        let mut timers = Timers::new(Time(0));
        // Slow ones first, of one request in a second; then such as have 100 of them in a millisecond.
        (1..=64).for_each(|second| timers.decided(Time(second * 1_000_000), 1, None, 128));
        assert_eq!(timers.capacity(Duration::from_secs(20), 1), 10);
        (1..=64).for_each(|after| timers.decided(Time(64_000_000 + after * 1000), 100, None, 128));
        assert_eq!(timers.capacity(Duration::from_secs(2), 1), 64 * 100 * 1000 / 63);
        assert_eq!(timers.recent.len(), 64);
    }
}
