//! The safety kernel: the only maker of promises. Everything that a replica may be held to is decided, checked and recorded here.
//!
//! Each function refuses with [`Broken`] what the rules exclude; the replica then halts. A wrong state becomes a stop, never a fork.

use super::Broken;
use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::durable::{Record, RecordBody, Write};
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{Block, Claim, Message, Mode, NewView, PrePrepare, Rank, ViewChange, Vote, VoteKind};
use crate::outbox::{Identity, Recipients, ToSign};
use std::collections::BTreeMap;
use std::sync::Arc;

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
}

pub(super) struct Promises {
    cluster: Arc<Cluster>,
    me: ReplicaId,
    next_index: u64,
    view: View,
    mode: Mode,
    base: Position,
    /// The highest position prepared in this view.
    top: Option<SequenceNumber>,
    high: Claim,
    high_certificate: Option<Certificate>,
    /// The rank of `high` in the records written so far.
    recorded_high: Rank,
    /// Own commits of this view, by position.
    committed: BTreeMap<SequenceNumber, Digest>,
    /// The own ViewChange to `view`, if that is how it was reached.
    view_change: Option<ViewChange>,
    new_view_promised: bool,
}

impl Promises {
    pub(super) fn new(cluster: Arc<Cluster>, me: ReplicaId) -> Self {
        let genesis = cluster.genesis();
        Self {
            cluster,
            me,
            next_index: 0,
            view: View::default(),
            mode: Mode::Normal,
            base: Position { number: SequenceNumber::default(), digest: genesis },
            top: None,
            high: Claim::genesis(genesis),
            high_certificate: None,
            recorded_high: Rank::default(),
            committed: BTreeMap::new(),
            view_change: None,
            new_view_promised: false,
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
        self.top
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
    pub(super) fn next_index(&self) -> u64 {
        self.next_index
    }
    /// The own ViewChange, while its view has not begun.
    pub(super) fn pending_view_change(&self) -> Option<&ViewChange> {
        self.view_change.as_ref().filter(|_| self.mode == Mode::ViewChange)
    }
    pub(super) fn has_committed(&self, number: SequenceNumber) -> bool {
        self.committed.contains_key(&number)
    }

    /// The first record of a log: from now on an empty log is a lost one.
    pub(super) fn start(&mut self) -> Write {
        self.write(&RecordBody::Started, None)
    }

    // P2
    /// Promises Prepare(view, n, d). `blocks`: every block from `stable` to n that no earlier record holds.
    /// With `proposal` the promise goes out as a pre-prepare.
    pub(super) fn promise_prepare(&mut self, at: Position, blocks: Vec<Arc<Block>>, proposal: Option<Arc<Block>>) -> Result<Write, Broken> {
        ensure(self.mode == Mode::Normal, "P2: a vote while waiting for a new view")?;
        ensure(self.top.is_none_or(|top| at.number > top), "P2: a vote that does not go up")?;
        ensure(at.number >= self.base.number, "P2: a vote below the base")?;
        ensure(at.number != self.base.number || at.digest == self.base.digest, "P2: a vote off the base")?;
        ensure(at.number.get() > 0 || self.view.get() > 0, "P2: genesis prepared in view 0")?;
        self.top = Some(at.number);
        let body = RecordBody::Prepare { view: self.view, sequence_number: at.number, digest: at.digest, blocks };
        let message = match proposal {
            Some(block) => {
                ensure(self.cluster.primary(self.view) == self.me, "P1: a proposal by a backup")?;
                ensure(block.digest == at.digest && block.header.sequence_number == at.number, "P1: a proposal of another block")?;
                Message::PrePrepare(PrePrepare { view: self.view, block, signature: RawSignature::ZERO })
            }
            None => Message::Prepare(self.vote(at)),
        };
        Ok(self.write(&body, Some(message)))
    }

    // P3, P4
    /// Promises Commit(view, n, d) on a prepared certificate of the own view, and raises `high` with it.
    pub(super) fn promise_commit(&mut self, certificate: &Certificate) -> Result<Write, Broken> {
        let at = Position::of(certificate);
        ensure(self.mode == Mode::Normal, "P3: a commit while waiting for a new view")?;
        ensure(
            certificate.kind == VoteKind::Prepare && certificate.view == self.view,
            "P3: a commit without a prepared certificate of the view",
        )?;
        ensure(at.number.get() > 0, "P3: genesis committed")?;
        ensure(self.committed.insert(at.number, at.digest).is_none(), "P3: a second commit at one position")?;
        self.raise(certificate)?;
        self.recorded_high = self.recorded_high.max(certificate.rank());
        let vote = self.vote(at);
        Ok(self.write(&RecordBody::Commit { certificate: certificate.clone() }, Some(Message::Commit(vote))))
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
        self.write(&RecordBody::Blocks { blocks }, None)
    }

    // D1
    /// A record of `high` alone, where no promise has recorded it.
    pub(super) fn record_high(&mut self) -> Option<Write> {
        let certificate = self.high_certificate.clone().filter(|certificate| certificate.rank() > self.recorded_high)?;
        self.recorded_high = certificate.rank();
        Some(self.write(&RecordBody::High { certificate }, None))
    }

    // V2
    /// Leaves all views below `view` and says so once.
    pub(super) fn promise_view_change(&mut self, view: View) -> Result<Write, Broken> {
        ensure(view > self.view, "V2: a view change that does not go up")?;
        self.go_to(view, Mode::ViewChange);
        ensure(self.high.rank.view < view, "V2: a claim not below its view")?;
        let promise = ViewChange {
            view,
            claim: self.high,
            replica: self.me,
            signature: RawSignature::ZERO,
            certificate: self.high_certificate.clone(),
        };
        self.recorded_high = self.high.rank;
        self.view_change = Some(promise.clone());
        Ok(self.write(&RecordBody::ViewChange { promise: promise.clone() }, Some(Message::ViewChange(Box::new(promise)))))
    }

    // V3
    /// Promises where the own view starts, once.
    pub(super) fn promise_new_view(&mut self, promise: NewView) -> Result<Write, Broken> {
        ensure(promise.view == self.view && self.mode == Mode::ViewChange, "V3: a new view that is not waited for")?;
        ensure(self.cluster.primary(self.view) == self.me, "V3: a new view by a backup")?;
        ensure(!self.new_view_promised, "V3: a second new view")?;
        self.new_view_promised = true;
        Ok(self.write(&RecordBody::NewView { promise: promise.clone() }, Some(Message::NewView(Box::new(promise)))))
    }

    pub(super) fn has_promised_new_view(&self) -> bool {
        self.new_view_promised
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
        ensure(self.top.is_none_or(|top| base.number >= top), "V5: a re-base below the own votes")?;
        self.base = base;
        Ok(self.write_base())
    }

    /// Own commits at or below a decided position are never asked for again.
    pub(super) fn forget_commits_to(&mut self, decided: SequenceNumber) {
        self.committed = self.committed.split_off(&decided.next());
    }

    fn go_to(&mut self, view: View, mode: Mode) {
        self.view = view;
        self.mode = mode;
        self.top = None;
        self.committed.clear();
        self.view_change = None;
        self.new_view_promised = false;
    }

    fn vote(&self, at: Position) -> Vote {
        Vote { view: self.view, sequence_number: at.number, digest: at.digest, replica: self.me, signature: RawSignature::ZERO }
    }

    fn write_base(&mut self) -> Write {
        let body = RecordBody::Base {
            view: self.view,
            mode: self.mode,
            base_number: self.base.number,
            base_digest: self.base.digest,
            top: self.top,
            high: self.high_certificate.clone(),
        };
        self.recorded_high = self.high.rank;
        self.write(&body, None)
    }

    // D1, I17: a promise exists only behind its record.
    fn write(&mut self, body: &RecordBody, message: Option<Message>) -> Write {
        let group = self.cluster.id();
        let index = self.next_index;
        self.next_index += 1;
        Write {
            identity: Identity::Replica(self.cluster.clone(), self.me),
            index,
            record: Record::new(&group, self.me.get(), index, body),
            sealed: message.and_then(|message| ToSign::new(&group, Recipients::AllReplicas, message)).into_iter().collect(),
        }
    }
}

fn ensure(holds: bool, rule: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule)) }
}
