//! One vote per member, kind and position of the own view: counted into certificates, kept against double votes. (P2, P3, E)

use super::positions::Positions;
use super::usage::{SLOT_BYTES, VOTE_BYTES};
use crate::certificate::Certificate;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{Vote, VoteKind};
use crate::wire::Bounded;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// In the order of their members. Not a map: of one vote at each of many positions a map would take ten times the bytes.
#[derive(Clone, Debug, Default)]
struct Ballots(Vec<(ReplicaId, (Digest, RawSignature))>);

impl Ballots {
    fn place(&self, replica: ReplicaId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&replica, |(member, _)| *member)
    }
    fn get(&self, replica: ReplicaId) -> Option<&(Digest, RawSignature)> {
        self.place(replica).ok().and_then(|place| self.0.get(place)).map(|(_, ballot)| ballot)
    }
    fn insert(&mut self, replica: ReplicaId, ballot: (Digest, RawSignature), quorum: usize) {
        if let Err(place) = self.place(replica) {
            if self.0.len() == self.0.capacity() {
                // What is voted for once is mostly voted for by a few more.
                self.0.reserve_exact(if self.0.is_empty() { quorum.min(4) } else { 1 + self.0.len() / 4 });
            }
            self.0.insert(place, (replica, ballot));
        }
    }
    fn of<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = (ReplicaId, RawSignature)> + 'a {
        self.0.iter().filter(move |(_, (voted, _))| voted == digest).map(|(replica, (_, signature))| (*replica, *signature))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    prepares: Ballots,
    commits: Ballots,
    /// What certificates of this position and view name.
    prepared: Option<Digest>,
    committed: Option<Digest>,
    /// A vote for another digest than the primary's was seen, and the primary's proposal for that was asked for. (E)
    pub(super) asked: Option<Digest>,
}

impl Slot {
    fn ballots(&self, kind: VoteKind) -> &Ballots {
        match kind {
            VoteKind::Prepare => &self.prepares,
            VoteKind::Commit => &self.commits,
        }
    }
    pub(crate) fn certified(&self, kind: VoteKind) -> Option<Digest> {
        match kind {
            VoteKind::Prepare => self.prepared,
            VoteKind::Commit => self.committed,
        }
    }
    /// How many voted for `digest`.
    pub(crate) fn count(&self, kind: VoteKind, digest: &Digest) -> usize {
        self.ballots(kind).of(digest).count()
    }
    pub(crate) fn vote_of(&self, kind: VoteKind, replica: ReplicaId) -> Option<(Digest, RawSignature)> {
        self.ballots(kind).get(replica).copied()
    }
}

pub(super) enum Counted {
    /// The same vote again.
    Duplicate,
    /// This member voted for another digest before.
    Contradiction(Digest, RawSignature),
    /// Counted; with it, there may be a quorum for the first time.
    Added(Option<Certificate>),
}

/// Bound: 2 votes per member for each position within [`retained`](super::Replica::forget_settled): a log window, four pipelines and two.
#[derive(Clone, Debug)]
pub(super) struct Votes {
    view: View,
    primary: ReplicaId,
    /// Counts the primary's Prepares.
    proposals: u64,
    /// The lowest position of those that came since somebody looked.
    fresh: Option<SequenceNumber>,
    /// Shared with screens: a slot is copied only if it changes while a picture of it is in use.
    slots: Positions<Arc<Slot>>,
}

impl Votes {
    pub(super) fn new(view: View, primary: ReplicaId) -> Self {
        Self { view, primary, proposals: 0, fresh: None, slots: Positions::new() }
    }

    pub(super) fn slot(&self, number: SequenceNumber) -> Option<&Slot> {
        self.slots.get(number).map(|slot| &**slot)
    }

    pub(super) fn slot_mut(&mut self, number: SequenceNumber) -> &mut Slot {
        Arc::make_mut(self.slots.or_default(number))
    }

    pub(super) fn slots(&self) -> impl DoubleEndedIterator<Item = (SequenceNumber, &Slot)> {
        self.slots.iter().map(|(number, slot)| (number, &**slot))
    }

    /// The highest position that anything is held of.
    pub(super) fn last(&self) -> Option<SequenceNumber> {
        self.slots.last()
    }

    /// Those from this position on.
    pub(super) fn slots_from(&self, number: SequenceNumber) -> impl Iterator<Item = (SequenceNumber, &Slot)> {
        self.slots.from(number).map(|(number, slot)| (number, &**slot))
    }

    /// A picture of all votes held, which costs a pointer for each position.
    pub(super) fn picture(&self) -> Vec<(SequenceNumber, Arc<Slot>)> {
        self.slots.iter().map(|(number, slot)| (number, slot.clone())).collect()
    }

    /// The same of one position.
    #[cfg(feature = "sim")]
    pub(super) fn picture_of(&self, number: SequenceNumber) -> Vec<(SequenceNumber, Arc<Slot>)> {
        self.slots.get(number).map(|slot| (number, slot.clone())).into_iter().collect()
    }

    /// Takes a verified vote of the own view. A good vote never displaces an earlier one.
    pub(super) fn count(&mut self, kind: VoteKind, vote: &Vote, quorum: usize) -> Counted {
        let view = self.view;
        let slot = Arc::make_mut(self.slots.or_default(vote.sequence_number));
        let ballots = match kind {
            VoteKind::Prepare => &mut slot.prepares,
            VoteKind::Commit => &mut slot.commits,
        };
        match ballots.get(vote.replica) {
            Some((digest, _)) if *digest == vote.digest => return Counted::Duplicate,
            Some((digest, signature)) => return Counted::Contradiction(*digest, *signature),
            None => ballots.insert(vote.replica, (vote.digest, vote.signature), quorum),
        }
        if kind == VoteKind::Prepare && vote.replica == self.primary {
            self.proposals += 1;
            self.fresh = Some(self.fresh.map_or(vote.sequence_number, |lowest| lowest.min(vote.sequence_number)));
        }
        if slot.certified(kind) == Some(vote.digest) {
            return Counted::Added(None);
        }
        if slot.count(kind, &vote.digest) < quorum {
            return Counted::Added(None);
        }
        let signatures = slot.ballots(kind).of(&vote.digest).take(quorum).collect();
        Counted::Added(Some(Certificate {
            kind,
            view,
            sequence_number: vote.sequence_number,
            digest: vote.digest,
            signatures: Arc::new(Bounded(signatures)),
        }))
    }

    /// Notes a certificate of the own view. False if one for another digest is known: more than f members are faulty. (I2)
    pub(super) fn certify(&mut self, certificate: &Certificate) -> bool {
        let slot = Arc::make_mut(self.slots.or_default(certificate.sequence_number));
        let other = slot.prepared.or(slot.committed).is_some_and(|digest| digest != certificate.digest);
        match certificate.kind {
            VoteKind::Prepare => slot.prepared = Some(certificate.digest),
            VoteKind::Commit => slot.committed = Some(certificate.digest),
        }
        !other
    }

    /// Another number whenever the primary may have voted for something new, in one view.
    pub(super) fn proposals(&self) -> u64 {
        self.proposals
    }

    /// From here on the primary has voted since [`looked_at`](Self::looked_at).
    pub(super) fn fresh(&self) -> Option<SequenceNumber> {
        self.fresh
    }

    pub(super) fn looked_at(&mut self) {
        self.fresh = None;
    }

    pub(super) fn bytes(&self) -> u64 {
        let votes: usize = self.slots.iter().map(|(_, slot)| slot.prepares.0.len() + slot.commits.0.len()).sum();
        self.slots.len() as u64 * SLOT_BYTES + votes as u64 * VOTE_BYTES
    }

    pub(super) fn forget_below(&mut self, number: SequenceNumber) {
        self.slots.forget_below(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i18_what_is_certified_is_certified_once_however_many_vote_for_it() {
        let (primary, number, digest) = (ReplicaId::new(0), SequenceNumber::new(1), Digest::new([1; 32]));
        let mut votes = Votes::new(View::default(), primary);
        let certificates = (0..7).filter_map(|member| {
            let vote = Vote {
                view: View::default(),
                sequence_number: number,
                digest,
                replica: ReplicaId::new(member),
                signature: RawSignature::ZERO,
            };
            let Counted::Added(certificate) = votes.count(VoteKind::Prepare, &vote, 5) else { return None };
            certificate.iter().for_each(|certificate| assert!(votes.certify(certificate)));
            certificate
        });
        assert_eq!(certificates.count(), 1);
    }
}
