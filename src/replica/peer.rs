//! What is known of another member: what was heard of it, so that nothing is answered twice, and what it was sent. (T2, D2)

use crate::ids::{RawSignature, SequenceNumber, View};
use crate::message::Fetch;
use crate::time::Time;
use alloc::collections::VecDeque;
use core::time::Duration;

/// Fetches of one peer that are remembered: as many as it puts to another in an interval while it fetches a state.
const FETCHES_MAX: usize = 64;
/// Losses of one peer that are remembered, and new ones that are heard of in an interval.
const LOSSES_MAX: usize = 4;
/// Answers of one kind that one peer is sent in an interval, since each may carry certificates.
const ANSWERS_MAX: u32 = 64;

/// What is counted apart, so that a flood of one draws no less of the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// To a status, and of a new view to who asks for it.
    Status,
    Manifest,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// The highest ordinal heard in a status: a replayed one draws no answer.
    /// With the view before the ordinal: it never falls either, and it rises when a replica that has lost its log comes back.
    status_heard: (View, u64),
    /// The ordinal of its last status but one, which may be lower than one from before a loss: no fetch up to that is heard.
    fetches_above: u64,
    /// The last 64 fetches that were heard, each by the beginning of its signature: none is heard twice. That the highest ordinal of them doesn't count is for
    /// those who have lost their logs: what somebody has kept of before names a higher one than they will for long. Nor does an ordinal name a fetch, for
    /// them: one from before a loss may have the same.
    fetches: VecDeque<u64>,
    pub(super) want: View,
    /// Above this position it holds the decided blocks, as its last status said.
    pub(super) floor: Option<SequenceNumber>,
    /// The end of its decided log, as its last status said; none if none was heard since the start.
    pub(super) decided: Option<SequenceNumber>,
    /// The last times that it lost its log, as it says, in the order in which they were heard of.
    losses: VecDeque<Loss>,
    /// Losses first heard of in the present interval.
    new_losses: usize,
    /// When a new view was last wished for, to let it in.
    helped: Option<Time>,
    /// Bytes of blocks and parts of snapshots sent to it in the present interval, which began then.
    answered: u64,
    /// Answers sent to it in that interval: to statuses, and manifests.
    answers: (u32, u32),
    since: Time,
}

/// What is known of another's loss.
#[derive(Clone, Copy, Debug)]
struct Loss {
    nonce: [u8; 32],
    /// What this replica wanted when it first heard that nonce.
    want: View,
    /// Up to this view the peer may have been before the loss, as far as is known here.
    up_to: View,
    /// When it was last answered.
    welcomed: Time,
}

impl Peer {
    fn begin_interval(&mut self, now: Time, interval: Duration) {
        if now.since(self.since) >= interval {
            self.since = now;
            self.answered = 0;
            self.answers = (0, 0);
            self.new_losses = 0;
        }
    }

    /// A replica without a log counts its ordinals anew: so what it says is taken whatever its ordinal, until it is heard of in a view that it can't have
    /// been in before. Replays draw answers then, within the budgets; or else they would drown the others.
    fn counts_anew(&self) -> bool {
        self.losses.back().is_some_and(|loss| self.status_heard.0 <= loss.up_to)
    }

    /// True once for each status of a member's, upwards.
    pub(super) fn is_fresh_status(&mut self, heard: (View, u64)) -> bool {
        let anew = self.counts_anew();
        let fresh = heard > self.status_heard;
        if fresh {
            self.fetches_above = self.status_heard.1.min(heard.1);
            self.status_heard = heard;
        }
        fresh || anew
    }

    /// The same for fetches, which don't say in which view they were sent: that one's statuses say where its ordinals are.
    pub(super) fn is_fresh_fetch(&mut self, fetch: &Fetch) -> bool {
        let mark = beginning(&fetch.signature);
        let fresh = (fetch.ordinal > self.fetches_above || self.counts_anew()) && !self.fetches.contains(&mark);
        if fresh {
            if self.fetches.len() >= FETCHES_MAX {
                self.fetches.pop_front();
            }
            self.fetches.push_back(mark);
        }
        fresh
    }

    // D2
    /// Upon hearing that it has lost its log: the want to answer with, which is the own one at the first hearing. None if that loss was answered within an
    /// interval, or if too many others were heard of. Several are remembered, so that one from before, said again, makes nothing new.
    pub(super) fn hear_loss(&mut self, nonce: [u8; 32], want: View, now: Time, interval: Duration) -> Option<View> {
        self.begin_interval(now, interval);
        if let Some(loss) = self.losses.iter_mut().find(|loss| loss.nonce == nonce) {
            let is_due = now.since(loss.welcomed) >= interval;
            loss.welcomed = if is_due { now } else { loss.welcomed };
            return is_due.then_some(loss.want);
        }
        if self.new_losses >= LOSSES_MAX {
            return None;
        }
        self.new_losses += 1;
        if self.losses.len() >= LOSSES_MAX {
            self.losses.pop_front();
        }
        self.losses.push_back(Loss { nonce, want, up_to: want.max(self.status_heard.0), welcomed: now });
        Some(want)
    }

    // D2
    /// True once in a `rejoin_interval`.
    pub(super) fn is_helped(&mut self, now: Time, rejoin_interval: Duration) -> bool {
        let helps = self.helped.is_none_or(|helped| now.since(helped) >= rejoin_interval);
        self.helped = if helps { Some(now) } else { self.helped };
        helps
    }

    pub(super) fn may_answer(&mut self, what: Answer, now: Time, interval: Duration) -> bool {
        self.begin_interval(now, interval);
        let count = match what {
            Answer::Status => &mut self.answers.0,
            Answer::Manifest => &mut self.answers.1,
        };
        *count += 1;
        *count <= ANSWERS_MAX
    }

    pub(super) fn may_send_bytes(&mut self, bytes: u64, budget: u64, now: Time, interval: Duration) -> bool {
        self.begin_interval(now, interval);
        let is_allowed = self.answered < budget;
        self.answered = self.answered.saturating_add(if is_allowed { bytes } else { 0 });
        is_allowed
    }
}

/// Nobody but its signer makes another signature that begins like this one.
fn beginning(signature: &RawSignature) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(&signature.0).for_each(|(place, byte)| *place = *byte);
    u64::from_le_bytes(bytes)
}
