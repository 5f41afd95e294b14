//! Double statements: found, kept whole, told to all once. (E)

use super::peer::Answer;
use super::promises::Position;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::certificate::Certificate;
use crate::event::Event;
use crate::evidence::Evidence;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{CheckpointCertificate, Message, NewView, Statement, Vote, VoteKind, Wanted};
use crate::outbox::Recipients;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

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

    // E
    /// A certificate is its members' votes too: what one of them told this replica may be something else.
    pub(super) fn compare_certificate(&mut self, certificate: &Certificate) -> Result<(), Broken> {
        if certificate.view != self.promises.view() {
            return Ok(());
        }
        let Some(slot) = self.votes.slot(certificate.sequence_number) else { return Ok(()) };
        let (kind, number) = (certificate.kind, certificate.sequence_number);
        let contradictions: Vec<_> = certificate
            .signatures
            .iter()
            .filter_map(|(member, signature)| {
                let (digest, earlier) = slot.vote_of(kind, *member).filter(|(digest, _)| *digest != certificate.digest)?;
                let first = (Statement::vote(kind, certificate.view, number, digest), earlier);
                Some((*member, first, (certificate.statement(), *signature)))
            })
            .collect();
        contradictions.into_iter().try_for_each(|(member, first, second)| self.accuse_of(member, first, second))
    }

    // E
    /// A new view holds its members' view changes: what one of them told this replica, or another new view, may be something else.
    pub(super) fn compare_claims(&mut self, new_view: &NewView) -> Result<(), Broken> {
        let contradictions: Vec<_> = new_view
            .claims
            .iter()
            .filter_map(|signed| {
                let second = (Statement::ViewChange { view: new_view.view, claim: signed.claim }, signed.signature);
                let first = self.claimed(signed.replica, new_view.view).filter(|(first, _)| first.contradicts(&second.0))?;
                Some((signed.replica, first, second))
            })
            .collect();
        contradictions.into_iter().try_for_each(|(member, first, second)| self.accuse_of(member, first, second))
    }

    /// A member's ViewChange to that view, as it came by itself or in a new view.
    pub(super) fn claimed(&self, member: ReplicaId, view: View) -> Option<(Statement, RawSignature)> {
        let told = self.view_changes.get(&member).filter(|held| held.view == view).map(|held| (held.statement(), held.signature));
        let in_new_view = || {
            let held = self.new_view.as_ref().filter(|held| held.view == view)?;
            let signed = held.claims.iter().find(|signed| signed.replica == member)?;
            Some((Statement::ViewChange { view, claim: signed.claim }, signed.signature))
        };
        told.or_else(in_new_view)
    }

    // E
    /// A checkpoint certificate is its members' votes too.
    pub(super) fn compare_checkpoint_certificate(&mut self, certificate: &CheckpointCertificate) -> Result<(), Broken> {
        let number = certificate.checkpoint.sequence_number;
        let contradictions: Vec<_> = certificate
            .signatures
            .iter()
            .filter_map(|(member, signature)| {
                let held = self.checkpoint_said(number, *member).filter(|(held, _)| held.contradicts(&certificate.statement()))?;
                Some((*member, held, (certificate.statement(), *signature)))
            })
            .collect();
        contradictions.into_iter().try_for_each(|(member, first, second)| self.accuse_of(member, first, second))
    }

    /// A member's vote on the checkpoint at `number`: one that is still counted, or one in the certificate of the stable checkpoint.
    pub(super) fn checkpoint_said(&self, number: SequenceNumber, member: ReplicaId) -> Option<(Statement, RawSignature)> {
        if let Some(vote) = self.checkpoints.vote_of(number, member) {
            return Some((vote.statement(), vote.signature));
        }
        let stable = self.promises.stable.as_ref().filter(|stable| stable.checkpoint.sequence_number == number)?;
        let (_, signature) = stable.signatures.iter().find(|(signer, _)| *signer == member)?;
        Some((stable.statement(), *signature))
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
        self.accuse(Evidence::new(replica, first, second))
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

    /// Proof against this view's primary, for those who don't seem to have it.
    pub(super) fn proof_against_primary(&self) -> Option<&Evidence> {
        self.accusations.proofs.get(&self.primary())
    }

    /// Against whom more proof is of no use.
    pub(super) fn proved_faulty(&self) -> BTreeSet<ReplicaId> {
        if self.accusations.proofs.is_empty() { BTreeSet::new() } else { self.accusations.proofs.keys().copied().collect() }
    }

    pub(super) fn report_impersonation(&mut self) {
        if !self.accusations.impersonated {
            self.accusations.impersonated = true;
            let replica = self.me;
            self.event(Event::Impersonated { replica });
        }
    }

    /// A member voted for another digest than the one that the primary proposed here, or below the base that the primary's new view gave: asks
    /// that member for the primary's proposal of it, or its other new view.
    pub(super) fn ask_for_other_proposal(&mut self, vote: &Vote) {
        let primary = self.primary();
        if vote.replica == primary || vote.replica == self.me || self.accusations.proofs.contains_key(&primary) {
            return;
        }
        let base = self.new_view.as_ref().map(|held| Position { number: held.base_number, digest: held.base_digest });
        let starts_elsewhere = base
            .is_some_and(|base| vote.sequence_number < base.number || (vote.sequence_number == base.number && vote.digest != base.digest));
        let slot = self.votes.slot_mut(vote.sequence_number);
        let proposed = slot.vote_of(VoteKind::Prepare, primary).map(|(digest, _)| digest);
        let is_other = proposed.map_or(starts_elsewhere, |proposed| proposed != vote.digest);
        if is_other && slot.asked != Some(vote.digest) {
            slot.asked = Some(vote.digest);
            let wanted = Wanted::Proposal { view: vote.view, sequence_number: vote.sequence_number, digest: vote.digest };
            self.fetch(vote.replica, wanted);
        }
    }

    /// Upon being asked why this replica voted there: its view may start there by another new view than that of the one who asks.
    pub(super) fn show_new_view(&mut self, peer: ReplicaId, view: View, base: Position) -> Step {
        let held = self.new_view.as_ref().filter(|held| held.view == view && (held.base_number, held.base_digest) == base.pair());
        let Some(new_view) = held.cloned() else { return Ok(Disposition::Ignored(Why::NotNeeded)) };
        if !self.may_answer(peer, Answer::Status) {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        }
        self.send_ready(Recipients::Replica(peer), Message::NewView(Box::new(new_view)));
        Ok(Disposition::Applied)
    }
}
