//! For searches through all that a replica can do: copies of one, and what its further steps depend on. (feature `sim`)
//!
//! A copy could be made to say what the original doesn't: that is why there are none without this feature.

use super::{Broken, Replica};
use crate::certificate::Certificate;
use crate::ids::{Digest, ReplicaId, SequenceNumber, View};
use crate::message::{Claim, NewView, VoteKind};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Where a replica stands in its view, and what it is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Its view.
    pub view: View,
    /// Whether it takes part in it.
    pub normal: bool,
    /// The highest view that it wishes for.
    pub want: View,
    /// The last position accepted in the view.
    pub head: (SequenceNumber, Digest),
    /// The highest position prepared in the view.
    pub top: Option<SequenceNumber>,
    /// The end of the decided log.
    pub decided: (SequenceNumber, Digest),
    /// It has lost its log and is silent.
    pub rejoining: bool,
    /// Its state is not the quorum's.
    pub diverged: bool,
}

/// Bytes that tell two states apart.
#[derive(Default)]
struct Ink(Vec<u8>);

impl Ink {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }
    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }
    fn digest(&mut self, digest: &Digest) {
        self.0.extend(digest.as_bytes());
    }
    fn position(&mut self, (number, digest): (SequenceNumber, Digest)) {
        self.number(number.get());
        self.digest(&digest);
    }
    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
    fn list<T>(&mut self, values: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        let values: Vec<T> = values.into_iter().collect();
        self.number(values.len() as u64);
        values.into_iter().for_each(|value| write(self, value));
    }
    // Who signed it changes nothing.
    fn certificate(&mut self, certificate: &Certificate) {
        self.flag(certificate.kind == VoteKind::Commit);
        self.number(certificate.view.get());
        self.position((certificate.sequence_number, certificate.digest));
    }
    // Nor does whose claims stand behind it.
    fn new_view(&mut self, new_view: &NewView) {
        self.number(new_view.view.get());
        self.position((new_view.base_number, new_view.base_digest));
    }
    fn claim(&mut self, claim: &Claim) {
        self.number(claim.rank.view.get());
        self.position((claim.rank.sequence_number, claim.digest));
    }
    fn member(&mut self, member: ReplicaId) {
        self.number(u64::from(member.get()));
    }
}

impl Replica {
    /// A copy, to try out what it does on one input and on another.
    ///
    /// # Panics
    /// Never between two steps.
    #[must_use]
    pub fn fork(&self) -> Self {
        assert!(self.outputs.is_empty(), "a step is under way");
        Self {
            cluster: self.cluster.clone(),
            me: self.me,
            tuning: self.tuning.clone(),
            now: self.now,
            halted: self.halted,
            outputs: Vec::new(),
            promises: self.promises.clone(),
            chain: self.chain.clone(),
            votes: self.votes.clone(),
            ordering: self.ordering.clone(),
            view_changes: self.view_changes.clone(),
            new_view: self.new_view.clone(),
            catch_up: self.catch_up.clone(),
            pool: self.pool.clone(),
            sessions: self.sessions.clone(),
            execution: self.execution.clone(),
            replies: self.replies.clone(),
            checkpoints: self.checkpoints.clone(),
            transfer: self.transfer.clone(),
            rejoining: self.rejoining.clone(),
            timers: self.timers.clone(),
            pace: self.pace.clone(),
            accusations: self.accusations.clone(),
        }
    }

    /// Wishes for a view, as if its patience with all lower ones had come to an end. What comes of it, its next step puts out.
    pub fn lose_patience(&mut self, view: View) {
        let wished = self.wish_for(view, "its patience has come to an end").and_then(|()| self.consider_wishes());
        if let Err(Broken(reason)) = wished {
            self.halted = Some(reason);
        }
    }

    /// It holds proof against this member.
    pub fn accuses(&self, member: ReplicaId) -> bool {
        self.accusations.proofs.contains_key(&member)
    }

    /// What a search has to know of it beside what it says.
    pub fn standing(&self) -> Standing {
        Standing {
            view: self.promises.view(),
            normal: self.promises.is_normal(),
            want: self.promises.want(),
            head: self.ordering.head.pair(),
            top: self.promises.top(),
            decided: self.decided_end().pair(),
            rejoining: self.is_rejoining(),
            diverged: self.checkpoints.diverged.is_some(),
        }
    }

    /// The same bytes for two states that do and say the same from here on, as long as time stands still, the disk and the service keep up and
    /// each status has an ordinal of its own. Left out: times and timers, ordinals and budgets of answers, signatures, places in the log, caches of
    /// what the chain shows, replies, and wants of others that are not above the own view. Unless `whole`, what only
    /// a new view's primary, evidence, an answer to others or a restart would have use for is left out too.
    pub fn essence(&self, whole: bool) -> Vec<u8> {
        // Named one by one: who adds a field decides here whether it belongs in.
        let Self {
            cluster,
            me,
            tuning: _,
            now: _,
            halted,
            outputs: _,
            promises: _,
            chain: _,
            votes: _,
            ordering: _,
            view_changes,
            new_view,
            catch_up,
            pool,
            // A function of the decided log.
            sessions: _,
            execution,
            replies: _,
            checkpoints,
            transfer,
            rejoining,
            timers: _,
            pace: _,
            accusations,
        } = self;
        let mut ink = Ink::default();
        ink.member(*me);
        ink.flag(halted.is_some());
        self.ink_promises(&mut ink);
        self.ink_chain(&mut ink);
        self.ink_votes(&mut ink);
        if whole {
            self.ink_told(&mut ink);
            ink.list(view_changes.values(), |ink, promise| {
                ink.member(promise.replica);
                ink.number(promise.view.get());
                ink.claim(&promise.claim);
            });
            ink.option(new_view.as_ref(), Ink::new_view);
        }
        for replica in cluster.replicas() {
            ink.number(catch_up.want(replica).max(self.promises.view()).get());
        }
        ink.list(catch_up.peers.values(), |ink, peer| ink.option(peer.floor, |ink, floor| ink.number(floor.get())));
        ink.list(pool.queues.all().flat_map(|queue| queue.pending.values()), |ink, request| {
            ink.0.extend(request.client.as_bytes());
            ink.number(request.number.get());
            ink.digest(&request.operation_digest);
        });
        ink.0.extend(pool.cursor.as_bytes());
        ink.number(execution.executed().get());
        ink.flag(execution.installing);
        ink.list(checkpoints.votes.values().flat_map(BTreeMap::iter), |ink, (member, (checkpoint, _))| {
            ink.member(*member);
            ink.number(checkpoint.sequence_number.get());
            ink.digest(&checkpoint.log_digest);
            ink.digest(&checkpoint.state);
        });
        ink.list(checkpoints.snapshots.keys(), |ink, number| ink.number(number.get()));
        ink.option(checkpoints.diverged, |ink, number| ink.number(number.get()));
        ink.option(transfer.target(), |ink, number| ink.number(number.get()));
        ink.list(&rejoining.answers, |ink, (member, want)| {
            ink.member(*member);
            ink.number(want.get());
        });
        if whole {
            ink.list(accusations.proofs.keys(), |ink, member| ink.member(*member));
            ink.flag(accusations.impersonated);
        }
        ink.0
    }

    fn ink_promises(&self, ink: &mut Ink) {
        let promises = &self.promises;
        ink.number(promises.view.get());
        ink.flag(promises.is_normal());
        ink.number(promises.want().get());
        ink.position(promises.base.pair());
        ink.option(promises.top, |ink, top| ink.position(top.pair()));
        ink.claim(&promises.high);
        ink.option(promises.high_certificate.as_ref(), Ink::certificate);
        ink.list(&promises.committed, |ink, (number, digest)| ink.position((*number, *digest)));
        ink.position(promises.stable().pair());
        ink.list(promises.checkpoints.values(), |ink, checkpoint| {
            ink.number(checkpoint.sequence_number.get());
            ink.digest(&checkpoint.state);
        });
        ink.option(promises.rejoining, |ink, nonce| ink.0.extend(nonce));
    }

    fn ink_told(&self, ink: &mut Ink) {
        let promises = &self.promises;
        ink.number(promises.recorded_high.view.get());
        ink.number(promises.recorded_high.sequence_number.get());
        ink.option(promises.view_change.as_ref(), |ink, promise| ink.claim(&promise.claim));
        ink.option(promises.new_view.as_ref(), Ink::new_view);
    }

    fn ink_chain(&self, ink: &mut Ink) {
        ink.number(self.chain.floor().get());
        ink.position(self.decided_end().pair());
        ink.list(&self.chain.blocks, |ink, (digest, held)| {
            ink.digest(digest);
            ink.flag(held.recorded.is_some());
        });
        let ordering = &self.ordering;
        ink.position(ordering.head.pair());
        ink.option(ordering.certified.as_ref(), Ink::certificate);
        ink.option(ordering.target.as_ref(), Ink::certificate);
        ink.flag(ordering.window_closed);
        ink.list(&ordering.early, |ink, proposal| {
            ink.number(proposal.view.get());
            ink.digest(&proposal.block.digest);
        });
    }

    fn ink_votes(&self, ink: &mut Ink) {
        ink.list(self.votes.slots(), |ink, (number, slot)| {
            ink.number(number.get());
            for kind in [VoteKind::Prepare, VoteKind::Commit] {
                for replica in self.cluster.replicas() {
                    ink.option(slot.vote_of(kind, replica), |ink, (digest, _)| ink.digest(&digest));
                }
                ink.option(slot.certified(kind), |ink, digest| ink.digest(&digest));
            }
            ink.option(slot.asked, |ink, digest| ink.digest(&digest));
        });
    }
}
