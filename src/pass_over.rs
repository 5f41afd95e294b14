//! P6: of the votes of one kind and view that wait in one outbox the highest is said, those at milestones, and that for a view's base.

use crate::cluster::Cluster;
use crate::durable::Write;
use crate::ids::SequenceNumber;
use crate::message::{Vote, VoteKind};
use crate::outbox::Identity;
use alloc::collections::VecDeque;

impl Cluster {
    /// Every replica says its votes here: four times in a pipeline, and at each eighth position of a long one. Who gathers two votes or more at a time
    /// meets the others after four times that at most.
    fn is_milestone(&self, number: SequenceNumber) -> bool {
        number.get() % (self.pipeline() / 4).clamp(1, 8) == 0
    }
}

impl Write {
    /// What it promises, if that is a vote that may be passed over.
    fn vote(&self) -> Option<(VoteKind, &Vote)> {
        self.sealed.first.as_ref()?.vote()
    }

    /// Its vote is said, whatever comes later.
    pub(crate) fn insist(&mut self) {
        self.sealed.others.extend(self.sealed.first.take());
    }

    /// Leaves its vote unsaid, if that of `later` says it too: a certificate there is one for all below it. What it promised stays on record.
    /// Votes at milestones are said by all, so that they meet there, however each of them gathers its own.
    pub(crate) fn pass_over_for(&mut self, later: &Self) {
        let (Some((kind, vote)), Some((later_kind, later_vote)), Identity::Replica(cluster, _)) =
            (self.vote(), later.vote(), &self.identity)
        else {
            return;
        };
        let same = (kind, vote.view) == (later_kind, later_vote.view);
        if same && vote.sequence_number < later_vote.sequence_number && !cluster.is_milestone(vote.sequence_number) {
            self.sealed.first = None;
        }
    }
}

/// The place in an outbox of the last Prepare and of the last Commit: taken long ago, perhaps.
#[derive(Debug, Default)]
pub(crate) struct LastVotes([u64; 2]);

impl LastVotes {
    /// `write` is about to be put behind those that wait, at `place`.
    pub(crate) fn pass_over(&mut self, waiting: &mut VecDeque<(u64, Write)>, place: u64, write: &Write) {
        let Some((kind, _)) = write.vote() else { return };
        let last = core::mem::replace(&mut self.0[usize::from(kind == VoteKind::Commit)], place);
        if let Ok(waits) = waiting.binary_search_by_key(&last, |(place, _)| *place) {
            waiting[waits].1.pass_over_for(write);
        }
    }
}
