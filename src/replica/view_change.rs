//! From one primary to the next. (V1–V5)

use super::promises::Position;
use super::votes::Votes;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::certificate::Certificate;
use crate::event::Event;
use crate::ids::{RawSignature, View};
use crate::message::{NewView, SignedClaim, ViewChange};
use crate::outbox::Output;
use crate::wire::Bounded;
use alloc::vec;
use alloc::vec::Vec;

impl Replica {
    // V1
    pub(super) fn wish_for(&mut self, view: View, why: &'static str) -> Result<(), Broken> {
        // D2: who has lost its log wishes for nothing.
        if !self.is_rejoining() && view > self.promises.want() {
            self.judge_view();
            let write = self.promises.record_wish(view)?;
            self.outputs.push(Output::Write(write));
            self.event(Event::Wished { view, why });
            self.timers.status_due = true;
        }
        Ok(())
    }

    /// The k-th largest want over all replicas, the own included.
    fn kth_want(&self, k: usize) -> View {
        let wants = self.catch_up.wants.with(self.promises.want());
        wants.get(k.saturating_sub(1)).copied().unwrap_or_default()
    }

    // V1, V2
    /// Joins wishes that at least one correct replica has; leaves when a quorum wants to.
    pub(super) fn consider_wishes(&mut self) -> Result<(), Broken> {
        if self.disk_is_behind() {
            // I18: wants stay known, and each status brings them up again.
            return Ok(());
        }
        // The common case: nobody wishes for a higher view, and nothing need be sorted.
        if self.promises.want().max(self.catch_up.highest_want()) <= self.promises.view() {
            return Ok(());
        }
        self.wish_for(self.kth_want(self.cluster.weak_quorum() as usize), "f+1 replicas wish for it")?;
        let wanted = self.kth_want(self.quorum());
        if wanted > self.promises.view() && !self.is_rejoining() {
            self.leave(wanted)?;
        }
        Ok(())
    }

    // V2
    fn leave(&mut self, view: View) -> Result<(), Broken> {
        self.judge_view();
        let write = self.promises.promise_view_change(view)?;
        self.outputs.push(Output::Write(write));
        self.timers.left_view(self.now, &self.tuning, self.cluster.fault_threshold());
        self.forget_view();
        self.event(Event::LeftView { view });
        self.replay_early()?;
        self.doubt_proved_primary()
    }

    // V1, E
    /// There may be proof against the new view's primary already: nobody need wait for its timeout.
    fn doubt_proved_primary(&mut self) -> Result<(), Broken> {
        if !self.is_primary() && self.primary_is_proved_faulty() {
            let next = self.promises.view().next();
            self.wish_for(next, "the primary is proved faulty")?;
            self.consider_wishes()?;
        }
        Ok(())
    }

    /// What belonged to the former view only.
    fn forget_view(&mut self) {
        let view = self.promises.view();
        self.votes = Votes::new(view, self.primary());
        self.ordering.certified = None;
        self.new_view = None;
        let high = self.promises.high();
        let mut roots = vec![Position { number: high.rank.sequence_number, digest: high.digest }];
        roots.extend(self.ordering.target.as_ref().map(Position::of));
        self.chain.drop_unrecorded(&roots);
        self.view_changes.retain(|_, view_change| view_change.view >= view);
        self.timers.status_due = true;
    }

    /// Upon receiving a ViewChange, from its sender or in its status.
    pub(super) fn on_view_change(&mut self, view_change: ViewChange) -> Step {
        let member = view_change.replica;
        if member == self.me {
            // E
            let said = self.claimed(member, view_change.view);
            if said.is_some_and(|(said, _)| said.contradicts(&view_change.statement())) {
                self.report_impersonation();
            }
            return Ok(Disposition::Ignored(Why::NotMine));
        }
        // E: what it said is its claim; with which certificate it proves that is its own affair.
        let claimed = self.claimed(member, view_change.view);
        if let Some(first) = claimed.filter(|(first, _)| first.contradicts(&view_change.statement())) {
            self.accuse_of(member, first, (view_change.statement(), view_change.signature))?;
            return Ok(Disposition::Ignored(Why::Contradiction));
        }
        if self.view_changes.get(&member).is_some_and(|held| held.view >= view_change.view) {
            return Ok(Disposition::Ignored(Why::Duplicate));
        }
        self.catch_up.raise_want(member, view_change.view);
        // Its certificate is as good as any other: it may be what this replica lacks.
        let certificate = view_change.certificate.clone().filter(|certificate| certificate.rank() > self.promises.high().rank);
        let is_current = view_change.view >= self.promises.view();
        if is_current {
            self.view_changes.insert(member, view_change);
        }
        if let Some(certificate) = certificate {
            self.on_certificate(&certificate)?;
        }
        self.consider_wishes()?;
        self.may_begin_view()?;
        Ok(if is_current { Disposition::Applied } else { Disposition::Ignored(Why::Stale) })
    }

    /// The own ViewChange is durable and signed: it counts like the others'.
    pub(super) fn on_own_view_change(&mut self, view_change: &ViewChange) -> Result<(), Broken> {
        if view_change.view >= self.promises.view() {
            self.view_changes.insert(self.me, view_change.clone());
        }
        self.may_begin_view()
    }

    // V3
    /// The new primary's part: with a quorum of claims below the view, promises where the view starts.
    fn may_begin_view(&mut self) -> Result<(), Broken> {
        let view = self.promises.view();
        if !self.is_primary() || self.promises.is_normal() || self.promises.has_promised_new_view() || self.is_rejoining() {
            return Ok(());
        }
        let mut candidates: Vec<&ViewChange> = self.view_changes.values().filter(|view_change| view_change.view == view).collect();
        if candidates.len() < self.quorum() || self.view_changes.get(&self.me).is_none_or(|own| own.view != view) {
            return Ok(());
        }
        // Highest first; members in order among equals.
        candidates.sort_by(|left, right| right.claim.rank.cmp(&left.claim.rank).then(left.replica.cmp(&right.replica)));
        let Some(highest) = candidates.first().copied() else { return Ok(()) };
        let (claim, certificate) = (highest.claim, highest.certificate.clone());
        candidates.retain(|view_change| view_change.claim.rank < claim.rank || view_change.claim.digest == claim.digest);
        if candidates.len() < self.quorum() {
            return Ok(());
        }
        candidates.truncate(self.quorum());
        candidates.sort_by_key(|view_change| view_change.replica);
        let claims = candidates
            .iter()
            .map(|view_change| SignedClaim { replica: view_change.replica, claim: view_change.claim, signature: view_change.signature })
            .collect();
        let write = self.promises.promise_new_view(NewView {
            view,
            base_number: claim.rank.sequence_number,
            base_digest: claim.digest,
            claims: Bounded(claims),
            certificate,
            signature: RawSignature::ZERO,
        })?;
        self.outputs.push(Output::Write(write));
        Ok(())
    }

    // V3: the primary enters by its own NewView once that is durable and signed.
    pub(super) fn on_own_new_view(&mut self, new_view: &NewView) -> Result<(), Broken> {
        if new_view.view == self.promises.view() && !self.promises.is_normal() {
            self.enter_by(new_view)?;
        } else if new_view.view == self.promises.view() && self.new_view.is_none() {
            // D2: entered before a restart.
            self.new_view = Some(new_view.clone());
        }
        Ok(())
    }

    /// Upon receiving a NewView, checked whole by the Verifier.
    pub(super) fn on_new_view(&mut self, new_view: NewView) -> Step {
        self.compare_claims(&new_view)?;
        let view = self.promises.view();
        if new_view.view > view || (new_view.view == view && !self.promises.is_normal()) {
            if self.disk_is_behind() {
                return Ok(Disposition::Ignored(Why::FarAhead));
            }
            self.enter_by(&new_view)?;
            return Ok(Disposition::Applied);
        }
        if let Some(held) = self.new_view.as_ref().filter(|held| held.view == new_view.view) {
            if held.statement() != new_view.statement() {
                let first = (held.statement(), held.signature);
                let primary = self.cluster.primary(new_view.view);
                self.accuse_of(primary, first, (new_view.statement(), new_view.signature))?;
                return Ok(Disposition::Ignored(Why::Contradiction));
            }
            return Ok(Disposition::Ignored(Why::Duplicate));
        }
        if new_view.view == view && self.new_view.is_none() {
            // E: entered by a certificate; kept against another one.
            self.new_view = Some(new_view);
            return Ok(Disposition::Buffered);
        }
        Ok(Disposition::Ignored(Why::Stale))
    }

    fn enter_by(&mut self, new_view: &NewView) -> Result<(), Broken> {
        let base = Position { number: new_view.base_number, digest: new_view.base_digest };
        self.enter(new_view.view, base, new_view.certificate.as_ref())?;
        self.new_view = Some(new_view.clone());
        Ok(())
    }

    // V4
    pub(super) fn enter(&mut self, view: View, base: Position, certificate: Option<&Certificate>) -> Result<(), Broken> {
        let rises = view > self.promises.view();
        if rises {
            self.judge_view();
        }
        let write = self.promises.enter(view, base, certificate)?;
        self.outputs.push(Output::Write(write));
        if rises {
            self.timers.left_view(self.now, &self.tuning, self.cluster.fault_threshold());
            self.forget_view();
        }
        self.timers.entered_view(self.now, base.number);
        self.jump_to(base);
        self.forget_settled();
        self.event(Event::EnteredView { view, base: base.number });
        // A certificate from elsewhere may be a commit of a lower view.
        if let Some(certificate) = certificate.filter(|certificate| certificate.view < view) {
            self.on_certificate(certificate)?;
        }
        // T2: all that is new in this view may have been missed while it was not entered.
        self.timers.status_due = true;
        self.replay_early()?;
        self.doubt_proved_primary()
    }
}
