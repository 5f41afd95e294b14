//! The safety kernel: the only maker of promises. Everything that a replica may be held to is decided, checked and recorded here.
//!
//! Each function refuses with [`Broken`] what the rules exclude; the replica then halts. A wrong state becomes a stop, never a fork.
//! A log is read back through the same checks ([`replay`](super::replay)).

use super::Broken;
use super::log_use::LogUse;
use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::durable::{Sealed, Write};
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{
    Block, Checkpoint, CheckpointCertificate, Claim, Message, Mode, NewView, PrePrepare, Rank, ViewChange, Vote, VoteKind,
};
use crate::outbox::{Identity, Recipients, ToSign};
use crate::record::{Record, RecordBody, State};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A position in the log and the digest there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) number: SequenceNumber,
    pub(super) digest: Digest,
}

impl Position {
    pub(super) fn of(certificate: &Certificate) -> Self {
        Self { number: certificate.sequence_number, digest: certificate.digest }
    }
    pub(super) fn pair(self) -> (SequenceNumber, Digest) {
        (self.number, self.digest)
    }
}

impl From<(SequenceNumber, Digest)> for Position {
    fn from((number, digest): (SequenceNumber, Digest)) -> Self {
        Self { number, digest }
    }
}

#[derive(Clone)]
pub(super) struct Promises {
    pub(super) cluster: Arc<Cluster>,
    pub(super) me: ReplicaId,
    pub(super) log: LogUse,
    pub(super) view: View,
    pub(super) mode: Mode,
    /// The highest view that was wished for. (V1)
    pub(super) wish: View,
    /// View, mode and wish are on record once all records below this index are durable; before that nobody is told of them.
    pub(super) standing: u64,
    pub(super) base: Position,
    /// The highest position prepared in this view.
    pub(super) top: Option<Position>,
    pub(super) high: Claim,
    pub(super) high_certificate: Option<Certificate>,
    /// The rank of `high` in the records written so far.
    pub(super) recorded_high: Rank,
    /// Own commits of this view, by position.
    pub(super) committed: BTreeMap<SequenceNumber, Digest>,
    /// The own ViewChange to `view`, if that is how it was reached.
    pub(super) view_change: Option<ViewChange>,
    /// The own NewView of `view`.
    pub(super) new_view: Option<NewView>,
    pub(super) stable: Option<CheckpointCertificate>,
    /// Own checkpoint votes above `stable`.
    pub(super) checkpoints: BTreeMap<SequenceNumber, Checkpoint>,
    /// The log was lost: silent until a newer view is entered. (D2)
    pub(super) rejoining: Option<[u8; 32]>,
}

impl Promises {
    pub(super) fn new(cluster: Arc<Cluster>, me: ReplicaId) -> Self {
        let genesis = cluster.genesis();
        Self {
            cluster,
            me,
            log: LogUse::default(),
            view: View::default(),
            mode: Mode::Normal,
            wish: View::default(),
            standing: 0,
            base: Position { number: SequenceNumber::default(), digest: genesis },
            top: None,
            high: Claim::genesis(genesis),
            high_certificate: None,
            recorded_high: Rank::default(),
            committed: BTreeMap::new(),
            view_change: None,
            new_view: None,
            stable: None,
            checkpoints: BTreeMap::new(),
            rejoining: None,
        }
    }

    pub(super) fn view(&self) -> View {
        self.view
    }
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }
    pub(super) fn is_normal(&self) -> bool {
        self.mode == Mode::Normal
    }
    pub(super) fn base(&self) -> Position {
        self.base
    }
    pub(super) fn top(&self) -> Option<SequenceNumber> {
        self.top.map(|top| top.number)
    }
    pub(super) fn high(&self) -> &Claim {
        &self.high
    }
    pub(super) fn high_certificate(&self) -> Option<&Certificate> {
        self.high_certificate.as_ref()
    }
    pub(super) fn recorded_high(&self) -> Rank {
        self.recorded_high
    }
    /// The last stable checkpoint, or genesis.
    pub(super) fn stable(&self) -> Position {
        let genesis = Position { number: SequenceNumber::default(), digest: self.cluster.genesis() };
        self.stable.as_ref().map_or(genesis, |stable| (stable.checkpoint.sequence_number, stable.checkpoint.log_digest).into())
    }
    /// The own ViewChange, while its view has not begun.
    pub(super) fn pending_view_change(&self) -> Option<&ViewChange> {
        self.view_change.as_ref().filter(|_| self.mode == Mode::ViewChange)
    }
    pub(super) fn has_committed(&self, number: SequenceNumber) -> bool {
        self.committed.contains_key(&number)
    }
    pub(super) fn has_promised_new_view(&self) -> bool {
        self.new_view.is_some()
    }

    /// Of wish and view the higher one.
    pub(super) fn want(&self) -> View {
        self.wish.max(self.view)
    }
    /// May others be told of view and wish? A want that was told must never fall: on wants rests what a rejoining replica may do. (D2)
    pub(super) fn may_tell(&self) -> bool {
        self.log.durable() >= self.standing
    }

    // V1
    /// Wishes for a higher view.
    pub(super) fn record_wish(&mut self, view: View) -> Result<Write, Broken> {
        self.may_speak()?;
        self.wish_for(view)?;
        let write = self.write(RecordBody::Wish { view }, None);
        self.standing = self.log.next_index();
        Ok(write)
    }

    pub(super) fn wish_for(&mut self, view: View) -> Result<(), Broken> {
        ensure(view > self.want(), "V1: a wish that does not go up")?;
        self.wish = view;
        Ok(())
    }

    /// The first record of a log: from now on an empty log is a lost one.
    pub(super) fn start(&mut self) -> Write {
        self.write(RecordBody::Started, None)
    }

    // D2
    /// The first record of a log that stands in for a lost one.
    pub(super) fn start_rejoining(&mut self, nonce: [u8; 32]) -> Write {
        self.rejoining = Some(nonce);
        self.write(RecordBody::Rejoining { nonce }, None)
    }

    // D2
    /// This replica has entered a view that it can't have promised anything in: it may speak again.
    pub(super) fn end_rejoining(&mut self, bound: View) -> Result<(), Broken> {
        ensure(self.mode == Mode::Normal && self.view > bound, "D2: a rejoining replica speaks in a view that it may have been in")?;
        self.rejoining = None;
        Ok(())
    }

    // P2
    /// Promises Prepare(view, n, d). `blocks`: every block from `stable` to n that no earlier record holds.
    /// With `proposal` the promise goes out as a pre-prepare.
    pub(super) fn promise_prepare(&mut self, at: Position, blocks: Vec<Arc<Block>>, proposal: Option<Arc<Block>>) -> Result<Write, Broken> {
        self.prepare(at)?;
        let body = RecordBody::Prepare { view: self.view, sequence_number: at.number, digest: at.digest, blocks };
        let message = match proposal {
            Some(block) => {
                ensure(self.cluster.primary(self.view) == self.me, "P1: a proposal by a backup")?;
                ensure(block.digest == at.digest && block.header.sequence_number == at.number, "P1: a proposal of another block")?;
                Message::PrePrepare(PrePrepare { view: self.view, block, signature: RawSignature::ZERO })
            }
            None => Message::Prepare(self.vote(at)),
        };
        let mut write = self.write(body, Some(message));
        if at.number == self.base.number {
            // P6: who lacks a quorum of these can accept nothing above, and so can't meet the others there.
            write.insist();
        }
        Ok(write)
    }

    pub(super) fn prepare(&mut self, at: Position) -> Result<(), Broken> {
        self.may_speak()?;
        ensure(self.mode == Mode::Normal, "P2: a vote while waiting for a new view")?;
        ensure(self.top.is_none_or(|top| at.number > top.number), "P2: a vote that does not go up")?;
        ensure(at.number >= self.base.number, "P2: a vote below the base")?;
        ensure(at.number != self.base.number || at.digest == self.base.digest, "P2: a vote off the base")?;
        ensure(at.number.get() > 0 || self.view.get() > 0, "P2: genesis prepared in view 0")?;
        self.top = Some(at);
        Ok(())
    }

    // P3, P4
    /// Promises Commit(view, n, d) on a prepared certificate of the own view, and raises `high` with it.
    pub(super) fn promise_commit(&mut self, certificate: &Certificate) -> Result<Write, Broken> {
        self.commit(certificate)?;
        let vote = self.vote(Position::of(certificate));
        Ok(self.write(RecordBody::Commit { certificate: certificate.clone() }, Some(Message::Commit(vote))))
    }

    pub(super) fn commit(&mut self, certificate: &Certificate) -> Result<(), Broken> {
        let at = Position::of(certificate);
        self.may_speak()?;
        ensure(self.mode == Mode::Normal, "P3: a commit while waiting for a new view")?;
        ensure(
            certificate.kind == VoteKind::Prepare && certificate.view == self.view,
            "P3: a commit without a prepared certificate of the view",
        )?;
        ensure(at.number.get() > 0, "P3: genesis committed")?;
        ensure(self.committed.insert(at.number, at.digest).is_none(), "P3: a second commit at one position")?;
        self.raise(certificate)?;
        self.recorded_high = self.recorded_high.max(certificate.rank());
        Ok(())
    }

    // P4
    /// `high` only rises.
    pub(super) fn raise(&mut self, certificate: &Certificate) -> Result<(), Broken> {
        ensure(certificate.view <= self.view, "P4: a certificate of a view not entered")?;
        if certificate.rank() > self.high.rank {
            self.high = certificate.claim();
            self.high_certificate = Some(certificate.clone());
        } else {
            ensure(certificate.rank() < self.high.rank || certificate.digest == self.high.digest, "I2: two certificates of one rank")?;
        }
        Ok(())
    }

    // D1
    /// Blocks that the next Prepare rests on: one record need not hold them all.
    pub(super) fn record_blocks(&mut self, blocks: Vec<Arc<Block>>) -> Write {
        self.write(RecordBody::Blocks { blocks }, None)
    }

    // D1
    /// A record of `high` alone, where no promise has recorded it.
    pub(super) fn record_high(&mut self) -> Option<Write> {
        let certificate = self.high_certificate.clone().filter(|certificate| certificate.rank() > self.recorded_high)?;
        self.recorded_high = certificate.rank();
        Some(self.write(RecordBody::High { certificate }, None))
    }

    // C1
    /// Promises Checkpoint(n, d_n, state), once for each position above the last stable one.
    pub(super) fn promise_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<Write, Broken> {
        self.checkpoint(checkpoint)?;
        let vote = crate::message::CheckpointVote { checkpoint, replica: self.me, signature: RawSignature::ZERO };
        Ok(self.write(RecordBody::Checkpoint { checkpoint }, Some(Message::Checkpoint(vote))))
    }

    pub(super) fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Broken> {
        self.may_speak()?;
        ensure(checkpoint.sequence_number > self.stable().number, "C1: a checkpoint at or below the stable one")?;
        ensure(self.checkpoints.insert(checkpoint.sequence_number, checkpoint).is_none(), "C1: a second checkpoint at one position")
    }

    // C2
    /// The window's lower end only rises. The record is the next [`restate`](Self::restate).
    pub(super) fn stabilize(&mut self, certificate: &CheckpointCertificate) -> Result<(), Broken> {
        let number = certificate.checkpoint.sequence_number;
        ensure(number > self.stable().number, "I12: a stable checkpoint that does not go up")?;
        self.stable = Some(certificate.clone());
        self.checkpoints = self.checkpoints.split_off(&number.next());
        Ok(())
    }

    // V2
    /// Leaves all views below `view` and says so once.
    pub(super) fn promise_view_change(&mut self, view: View) -> Result<Write, Broken> {
        ensure(view > self.view, "V2: a view change that does not go up")?;
        ensure(self.high.rank.view < view, "V2: a claim not below its view")?;
        let promise = ViewChange {
            view,
            claim: self.high,
            replica: self.me,
            signature: RawSignature::ZERO,
            certificate: self.high_certificate.clone(),
        };
        self.leave(&promise)?;
        let write = self.write(RecordBody::ViewChange { promise: promise.clone() }, Some(Message::ViewChange(Box::new(promise))));
        self.standing = self.log.next_index();
        Ok(write)
    }

    pub(super) fn leave(&mut self, promise: &ViewChange) -> Result<(), Broken> {
        self.may_speak()?;
        ensure(promise.view > self.view, "V2: a view change that does not go up")?;
        ensure(promise.claim == self.high, "V2: a claim that is not high")?;
        self.go_to(promise.view, Mode::ViewChange);
        self.recorded_high = self.high.rank;
        self.view_change = Some(promise.clone());
        Ok(())
    }

    // V3
    /// Promises where the own view starts, once.
    pub(super) fn promise_new_view(&mut self, promise: NewView) -> Result<Write, Broken> {
        self.begin(&promise)?;
        Ok(self.write(RecordBody::NewView { promise: promise.clone() }, Some(Message::NewView(Box::new(promise)))))
    }

    pub(super) fn begin(&mut self, promise: &NewView) -> Result<(), Broken> {
        self.may_speak()?;
        ensure(promise.view == self.view && self.mode == Mode::ViewChange, "V3: a new view that is not waited for")?;
        ensure(self.cluster.primary(self.view) == self.me, "V3: a new view by a backup")?;
        ensure(self.new_view.is_none(), "V3: a second new view")?;
        self.new_view = Some(promise.clone());
        Ok(())
    }

    // V4
    /// Takes part in `view` from `base` on. `certificate` is what proves the base; none for genesis.
    pub(super) fn enter(&mut self, view: View, base: Position, certificate: Option<&Certificate>) -> Result<Write, Broken> {
        let waited_for = view == self.view && self.mode == Mode::ViewChange;
        ensure(view > self.view || waited_for, "V4: a view entered twice, or gone back to")?;
        if waited_for {
            self.mode = Mode::Normal;
        } else {
            self.go_to(view, Mode::Normal);
        }
        self.base = base;
        self.top = None;
        if let Some(certificate) = certificate {
            self.raise(certificate)?;
        }
        Ok(self.write_base())
    }

    // V5
    /// Moves the base to a certified position of the own view, never below what was voted for.
    pub(super) fn rebase(&mut self, base: Position) -> Result<Write, Broken> {
        ensure(self.mode == Mode::Normal, "V5: a re-base while waiting for a new view")?;
        ensure(self.top.is_none_or(|top| base.number >= top.number), "V5: a re-base below the own votes")?;
        self.base = base;
        Ok(self.write_base())
    }

    /// Own commits at or below a decided position are never asked for again.
    pub(super) fn forget_commits_to(&mut self, decided: SequenceNumber) {
        while let Some(commit) = self.committed.first_entry().filter(|commit| *commit.key() <= decided) {
            commit.remove();
        }
    }

    pub(super) fn go_to(&mut self, view: View, mode: Mode) {
        self.view = view;
        self.mode = mode;
        self.top = None;
        self.committed.clear();
        self.view_change = None;
        self.new_view = None;
    }

    // D2
    fn may_speak(&self) -> Result<(), Broken> {
        ensure(self.rejoining.is_none(), "D2: a promise of a replica that has lost its log")
    }

    pub(super) fn vote(&self, at: Position) -> Vote {
        Vote { view: self.view, sequence_number: at.number, digest: at.digest, replica: self.me, signature: RawSignature::ZERO }
    }

    fn write_base(&mut self) -> Write {
        let body = RecordBody::Base {
            view: self.view,
            mode: self.mode,
            base_number: self.base.number,
            base_digest: self.base.digest,
            top: self.top(),
            high: self.high_certificate.clone(),
        };
        self.recorded_high = self.high.rank;
        let write = self.write(body, None);
        self.standing = self.log.next_index();
        write
    }

    // C2, D2
    /// Restates all that binds; `keeps_from` is the lowest record whose blocks are still needed. `say` goes out behind it: statements that
    /// this record, or one that it keeps, holds.
    pub(super) fn restate(&mut self, keeps_from: u64, say: Vec<Message>) -> Write {
        let keeps_from = keeps_from.min(self.log.next_index());
        let state = State {
            keeps_from,
            view: self.view,
            mode: self.mode,
            wish: self.wish,
            base: self.base.pair(),
            top: self.top.map(Position::pair),
            high: self.high_certificate.clone(),
            view_change: self.view_change.clone(),
            new_view: self.new_view.clone(),
            commits: self.committed.iter().map(|(number, digest)| (*number, *digest)).collect(),
            stable: self.stable.clone(),
            checkpoints: self.checkpoints.values().copied().collect(),
            rejoining: self.rejoining,
        };
        self.recorded_high = self.high.rank;
        let mut write = self.write(RecordBody::State(Box::new(state)), None);
        write.discards_before = Some(keeps_from);
        let group = self.cluster.id();
        write.sealed.others = say.into_iter().filter_map(|message| ToSign::new(&group, Recipients::AllReplicas, message)).collect();
        self.log.restated();
        write
    }

    // D1, I17: a promise exists only behind its record.
    fn write(&mut self, body: RecordBody, message: Option<Message>) -> Write {
        let group = self.cluster.id();
        let index = self.log.next_index();
        let record = Record::new(&group, self.me, index, body);
        self.log.wrote(record.len() as u64);
        let first = message.and_then(|message| ToSign::new(&group, Recipients::AllReplicas, message));
        Write {
            identity: Identity::Replica(self.cluster.clone(), self.me),
            index,
            record,
            discards_before: None,
            sealed: Sealed { first, others: Vec::new() },
        }
    }
}

pub(super) fn ensure(holds: bool, rule: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule)) }
}

#[cfg(test)]
#[path = "promises_tests.rs"]
mod tests;
