//! The pace of the primary: what it lets wait although it has room, against how quickly the others answer. (T1)

use super::timers::Stretch;
use super::{Broken, Replica};
use crate::message::Message;
use crate::outbox::Recipients;
use crate::time::Time;
use alloc::collections::VecDeque;
use core::time::Duration;

/// Rounds that are remembered.
const ROUNDS: usize = 16;

/// Bound: the last 16 rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// From accepting a position to a quorum's votes on it: how quickly the others answer.
    rounds: VecDeque<Duration>,
    /// The longest of them.
    slowest: Duration,
    /// Since when the pipeline has had room without a break.
    room_since: Option<Time>,
    /// When to look next.
    next_look: Time,
    /// How often what is allowed is doubled.
    doubled: u32,
    /// What is decided since `doubled` last changed.
    stretch: Stretch,
}

impl Pace {
    pub(super) fn round(&mut self, took: Duration) {
        self.rounds.push_back(took);
        if self.rounds.len() > ROUNDS {
            self.rounds.pop_front();
        }
        self.slowest = self.rounds.iter().max().copied().unwrap_or_default();
    }

    pub(super) fn decided(&mut self, now: Time, oldest: Option<Time>, checkpoint_interval: u64) {
        if self.stretch.ends(now, oldest, checkpoint_interval) {
            self.doubled = self.doubled.saturating_sub(1);
        }
    }

    fn complained(&mut self, now: Time) {
        self.doubled = (self.doubled + 1).min(32);
        self.stretch.begin(now);
    }
}

impl Replica {
    /// How long a primary with room may leave a request that it knows; none while nothing is known of the others' pace.
    fn allowed_wait(&self) -> Option<Duration> {
        if self.pace.rounds.len() < ROUNDS {
            return None;
        }
        let allowed = self.pace.slowest.saturating_mul(self.tuning.pace_factor).max(self.tuning.request_timeout / 8);
        let allowed = allowed.saturating_mul(1_u32.checked_shl(self.pace.doubled).unwrap_or(u32::MAX));
        // Beyond T there is T1 itself.
        (self.tuning.pace_factor > 0 && allowed < self.timeout()).then_some(allowed)
    }

    /// Since when the pipeline has room, as far as this replica can see.
    pub(super) fn note_room(&mut self) {
        let has_room = self.promises.is_normal() && self.pipeline_end().is_some_and(|end| self.ordering.head.number < end);
        self.pace.room_since = if has_room { self.pace.room_since.or(Some(self.now)) } else { None };
    }

    pub(super) fn pace_at(&self) -> Option<Time> {
        let judges = !self.is_primary() && !self.is_rejoining() && self.promises.want() <= self.promises.view() && !self.disk_is_behind();
        let since = self.pool.oldest()?.max(self.pace.room_since?).max(self.timers.view_since());
        let allowed = self.allowed_wait().filter(|_| judges)?;
        Some(since.after(allowed / 2).max(self.pace.next_look))
    }

    // T1
    /// What has waited for half of what is allowed is passed on, in case the primary doesn't know it; what has waited for all of that is too much.
    pub(super) fn judge_pace(&mut self) -> Result<(), Broken> {
        if self.pace_at().is_none_or(|due| due > self.now) {
            return Ok(());
        }
        let (Some(allowed), Some(room)) = (self.allowed_wait(), self.pace.room_since) else { return Ok(()) };
        let from = room.max(self.timers.view_since());
        self.pace.next_look = self.now.after(allowed / 8);
        if !self.rebuild_proposed() {
            return Ok(());
        }
        let (ordering, sessions) = (&self.ordering, &self.sessions);
        let waits = |client: &crate::ids::ClientId| {
            let last = sessions.last(client);
            ordering.proposed.get(client).is_none_or(|proposed| *proposed <= last)
        };
        let oldest = self.pool.unproposed(1, waits).first().map(|(since, _)| (*since).max(from));
        let Some(oldest) = oldest else { return Ok(()) };
        if oldest.after(allowed) <= self.now {
            self.pace.complained(self.now);
            let next = self.promises.view().next();
            self.wish_for(next, "the primary lets requests wait although it has room")?;
            return self.consider_wishes();
        }
        if oldest.after(allowed / 2) <= self.now {
            let requests = self.pool.take_unproposed(self.now, allowed, 64, waits);
            requests.into_iter().for_each(|request| self.send_ready(Recipients::AllReplicas, Message::Request(request)));
        }
        Ok(())
    }
}
