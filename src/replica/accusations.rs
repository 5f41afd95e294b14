//! Double statements: found, kept whole, told to all once. (E)

use super::{Broken, Disposition, Replica, Step, Why};
use crate::event::Event;
use crate::evidence::Evidence;
use crate::ids::{Digest, RawSignature, ReplicaId};
use crate::message::{Message, Statement, Vote, VoteKind, Wanted};
use crate::outbox::Recipients;
use std::collections::BTreeMap;

/// Bound: one proof for each member; the first suffices.
#[derive(Clone, Default)]
pub(super) struct Accusations {
    pub(super) proofs: BTreeMap<ReplicaId, Evidence>,
    pub(super) impersonated: bool,
}

impl Replica {
    /// Upon receiving a proof that another replica found.
    pub(super) fn on_evidence(&mut self, evidence: Evidence) -> Step {
        if self.accusations.proofs.contains_key(&evidence.replica) {
            return Ok(Disposition::Ignored(Why::Duplicate));
        }
        self.accuse(evidence)?;
        Ok(Disposition::Applied)
    }

    pub(super) fn on_contradiction(&mut self, kind: VoteKind, vote: &Vote, digest: Digest, signature: RawSignature) -> Step {
        let earlier = Statement::vote(kind, vote.view, vote.sequence_number, digest);
        self.accuse_of(vote.replica, (earlier, signature), (vote.statement(kind), vote.signature))?;
        Ok(Disposition::Ignored(Why::Contradiction))
    }

    /// A vote that is not needed any more may still prove something.
    pub(super) fn compare_with_retained(&mut self, kind: VoteKind, vote: &Vote) -> Step {
        if vote.view == self.promises.view() {
            if let Some((digest, signature)) = self.votes.slot(vote.sequence_number).and_then(|slot| slot.vote_of(kind, vote.replica)) {
                if digest != vote.digest {
                    return self.on_contradiction(kind, vote, digest, signature);
                }
            }
        }
        Ok(Disposition::Ignored(Why::Stale))
    }

    pub(super) fn accuse_of(
        &mut self,
        replica: ReplicaId,
        first: (Statement, RawSignature),
        second: (Statement, RawSignature),
    ) -> Result<(), Broken> {
        if self.accusations.proofs.contains_key(&replica) {
            return Ok(());
        }
        self.accuse(Evidence { replica, first, second })
    }

    fn accuse(&mut self, evidence: Evidence) -> Result<(), Broken> {
        let culprit = evidence.replica;
        if culprit == self.me {
            self.report_impersonation();
        }
        self.accusations.proofs.insert(culprit, evidence.clone());
        self.send_ready(Recipients::AllReplicas, Message::Evidence(Box::new(evidence.clone())));
        self.event(Event::Evidence(evidence));
        // V1: evidence against the primary is a reason to wish for the next view.
        if culprit == self.primary() && culprit != self.me {
            let next = self.promises.view().next();
            self.wish_for(next, "the primary signed two different statements")?;
            self.consider_wishes()?;
        }
        Ok(())
    }

    /// Is there proof against this view's primary?
    pub(super) fn primary_is_proved_faulty(&self) -> bool {
        self.accusations.proofs.contains_key(&self.primary())
    }

    pub(super) fn report_impersonation(&mut self) {
        if !self.accusations.impersonated {
            self.accusations.impersonated = true;
            let replica = self.me;
            self.event(Event::Impersonated { replica });
        }
    }

    /// A member voted for another digest than the one that the primary proposed here: asks that member for the primary's proposal of it.
    pub(super) fn ask_for_other_proposal(&mut self, vote: &Vote) {
        let primary = self.primary();
        if vote.replica == primary || vote.replica == self.me || self.accusations.proofs.contains_key(&primary) {
            return;
        }
        let slot = self.votes.slot_mut(vote.sequence_number);
        let proposed = slot.vote_of(VoteKind::Prepare, primary).map(|(digest, _)| digest);
        if proposed.is_some_and(|proposed| proposed != vote.digest) && slot.asked != Some(vote.digest) {
            slot.asked = Some(vote.digest);
            let wanted = Wanted::Proposal { view: vote.view, sequence_number: vote.sequence_number, digest: vote.digest };
            self.fetch(vote.replica, wanted);
        }
    }
}
