//! The way back for a replica that has lost its log: silent, until it is in a view in which it can't have promised anything. (D2)
//!
//! Whatever view v it had reached, a quorum had wanted v or signed in v. Any q other replicas meet that quorum in f+1 members, and wants never
//! fall: so the highest want among any q of the others is at least v. Of all answers the q lowest are taken, so that f liars can't name a view that never comes.
//! Nor do wants fall with a log: nobody tells one that is more than one above a view that somebody correct is in, and above that view this replica comes back.
//!
//! And not before it has again what it may have vouched for: a durable state at the stable checkpoint, and on record every batch from there to the base of
//! that view, which extends whatever was decided in lower ones; and a certificate of that view, which ranks above all that it had voted for and was not decided.
//! So logs can be lost one after another, and at any time f+1 correct replicas hold each decided batch, and somebody correct each that a new view may start from.

use super::chain::Gap;
use super::promises::Position;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::event::Event;
use crate::ids::{RawSignature, ReplicaId, View};
use crate::message::{Message, Rejoin, Welcome};
use crate::outbox::Recipients;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bound: one answer of each other replica, the lowest.
#[derive(Clone, Debug, Default)]
pub(super) struct Rejoining {
    pub(super) answers: BTreeMap<ReplicaId, View>,
    next_ask: Option<Time>,
}

impl Replica {
    /// Still silent after the loss of its log?
    pub(super) fn is_rejoining(&self) -> bool {
        self.promises.rejoining.is_some()
    }

    pub(super) fn rejoin_at(&self) -> Option<Time> {
        self.promises.rejoining.map(|_| self.rejoining.next_ask.unwrap_or(self.now))
    }

    /// Asks all others, again and again: until a new view takes this replica in.
    pub(super) fn ask_to_rejoin(&mut self) {
        let Some(nonce) = self.promises.rejoining else { return };
        if self.rejoining.next_ask.is_some_and(|due| due > self.now) {
            return;
        }
        self.rejoining.next_ask = Some(self.now.after(self.tuning.status_interval));
        let rejoin = Rejoin { replica: self.me, nonce, signature: RawSignature::ZERO };
        self.send_signed(Recipients::AllReplicas, Message::Rejoin(rejoin));
    }

    /// Upon hearing that another replica has lost its log.
    pub(super) fn on_rejoin(&mut self, rejoin: &Rejoin) -> Step {
        let peer = rejoin.replica;
        // E: one from before an earlier loss may come at any time. It is no sign of a thief.
        if peer == self.me {
            return Ok(Disposition::Ignored(Why::NotMine));
        }
        // Who has lost its own log can't tell where the others have been.
        if self.is_rejoining() {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        }
        let (now, tuning, may_help) = (self.now, &self.tuning, !self.disk_is_behind());
        // T1: a view that has just begun decides something first, or else f that say this in turn would let no correct primary's view do so.
        let has_lasted = self.timers.view_since().after(self.timeout()) <= self.now;
        let own = self.promises.want();
        let heard = self.catch_up.peers.get_mut(&peer).and_then(|peer| {
            let want = peer.hear_loss(rejoin.nonce, own, now, tuning.status_interval)?;
            Some((want, may_help && has_lasted && peer.is_helped(now, tuning.rejoin_interval)))
        });
        let Some((want, helps)) = heard else { return Ok(Disposition::Ignored(Why::NotNeeded)) };
        let welcome = Welcome { replica: self.me, to: peer, nonce: rejoin.nonce, want, signature: RawSignature::ZERO };
        self.send_signed(Recipients::Replica(peer), Message::Welcome(welcome));
        // A view above what was answered lets it in, and as long as it asks it needs the next. Never the view after one that is only wanted: a want that is
        // told lies at most one above a view that somebody correct is in, or it would fall with this replica's own log. Nor for every question: a traitor
        // may lose its log all day.
        if helps {
            self.wish_for(self.promises.view().next(), "a replica that has lost its log needs a new view")?;
            self.consider_wishes()?;
        }
        Ok(Disposition::Applied)
    }

    /// Upon an answer.
    pub(super) fn on_welcome(&mut self, welcome: &Welcome) -> Step {
        if welcome.to != self.me || welcome.replica == self.me || self.promises.rejoining != Some(welcome.nonce) {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        }
        // Each was given after the loss, and any will do: who makes the others answer anew, with what they want by then, raises no bound.
        let lowest = self.rejoining.answers.entry(welcome.replica).or_insert(welcome.want);
        *lowest = welcome.want.min(*lowest);
        Ok(Disposition::Applied)
    }

    // D2
    /// The q-th lowest want of the others; none while fewer have answered.
    fn rejoin_bound(&self) -> Option<View> {
        let mut wants: Vec<View> = self.rejoining.answers.values().copied().collect();
        wants.sort_unstable();
        wants.get(self.quorum().checked_sub(1)?).copied()
    }

    // D2
    /// The highest batch above the stable checkpoint that the service has executed and this replica does not hold: it was in the log that is lost.
    /// None while the last stable checkpoint is yet to be heard of: executed is at most a window above it.
    pub(super) fn lost_blocks(&self) -> Option<Position> {
        let stable = self.stable().number;
        let is_near = self.chain.decided() <= self.cluster.window_end(stable);
        self.chain.below_floor().filter(|position| self.is_rejoining() && is_near && position.number > stable)
    }

    // D2
    /// Is a state at or above the stable checkpoint durable, and every batch from there to the base on record? Records what is not yet, as the disk follows.
    fn holds_what_it_vouched_for(&mut self) -> bool {
        let (base, stable) = (self.promises.base(), self.stable().number);
        if base.number < stable {
            // What it may have voted on lies at or below the base; for this checkpoint others have vouched.
            return self.chain.decided() >= stable;
        }
        // C1: an execution is not durable, a snapshot is.
        if stable.get() > 0 && !self.checkpoints.has_snapshot_from(stable) {
            return false;
        }
        if base.number == stable {
            return true;
        }
        if self.chain.gap(base) != Gap::Whole || self.chain.floor() > stable || self.disk_is_behind() {
            return false;
        }
        let blocks = self.chain.unrecorded_below(base, stable);
        self.record_part(&blocks)
    }

    // D2
    /// Speaks again, if it has entered a view that it can't have been in, in which something is certified, and holds what it may have vouched for before. The
    /// certificate is in `high`: V4 put the entry's there, and the view's own ranks above all that this replica may have voted for and nobody else may hold.
    pub(super) fn may_end_rejoining(&mut self) -> Result<(), Broken> {
        let Some(bound) = self.rejoin_bound().filter(|_| self.is_rejoining()) else { return Ok(()) };
        let is_certified = self.promises.high().rank.view == self.promises.view();
        if self.promises.is_normal() && self.promises.view() > bound && is_certified && self.holds_what_it_vouched_for() {
            self.promises.end_rejoining(bound)?;
            self.write_state(Vec::new());
            self.event(Event::Rejoined { view: self.promises.view() });
        }
        Ok(())
    }
}
