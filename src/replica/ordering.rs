//! The normal case: proposals, votes, decisions. (P1–P5)

use super::chain::{Gap, block_size, held_size};
use super::positions::Positions;
use super::promises::Position;
use super::votes::Counted;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::certificate::Certificate;
use crate::event::Event;
use crate::ids::{ClientId, Digest, RequestNumber, SequenceNumber, View};
use crate::message::{Block, Message, PrePrepare, Request, Vote, VoteKind};
use crate::outbox::{Output, Recipients};
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Clone)]
pub(super) struct Ordering {
    /// The last position accepted in this view.
    pub(super) head: Position,
    /// The highest certificate of the own view.
    pub(super) certified: Option<Certificate>,
    /// The highest commit certificate of any view: where the log is decided to, held or not.
    pub(super) target: Option<Certificate>,
    /// When each position of head's chain above the decided end was accepted (T1), and its digest.
    pub(super) accepted: Positions<(Time, Digest)>,
    /// Each client's last request between the decided end and head; rebuilt when head has jumped.
    pub(super) proposed: BTreeMap<ClientId, RequestNumber>,
    pub(super) proposed_is_current: bool,
    /// Pre-prepares of the next view that came before it; at most two pipelines.
    pub(super) early: Vec<PrePrepare>,
    pub(super) window_closed: bool,
    /// So many requests have come in a row that were not proposed: they wait for the end of their load.
    pub(super) held_back: u32,
    /// The same before the input under way, if that is a request: others may come behind it.
    pub(super) gathered: Option<u32>,
}

impl Ordering {
    pub(super) fn new(head: Position) -> Self {
        Self {
            head,
            certified: None,
            target: None,
            accepted: Positions::new(),
            proposed: BTreeMap::new(),
            proposed_is_current: true,
            early: Vec::new(),
            window_closed: false,
            held_back: 0,
            gathered: None,
        }
    }
}

impl Ordering {
    /// Bytes of proposals for the next view.
    pub(super) fn early_bytes(&self) -> u64 {
        self.early.iter().map(|proposal| held_size(&proposal.block)).sum()
    }
}

impl Replica {
    /// Upon receiving a client's request, from the client or passed on by a replica.
    pub(super) fn on_request(&mut self, request: Request) -> Step {
        let (client, number) = (request.client, request.number);
        let last = self.sessions.last(&client);
        if number <= last {
            self.repeat_reply(client, number);
            return Ok(Disposition::Ignored(Why::Stale));
        }
        let capacity = self.pool_capacity();
        Ok(match self.pool.admit(request, last, self.cluster.limits(), capacity, self.now) {
            super::pool::Admission::Added { dropped } => {
                dropped.into_iter().for_each(|number| self.event(Event::Refused { client, number }));
                Disposition::Applied
            }
            super::pool::Admission::Duplicate => Disposition::Ignored(Why::Duplicate),
            super::pool::Admission::FarAhead => Disposition::Ignored(Why::FarAhead),
            super::pool::Admission::Busy => {
                self.event(Event::Refused { client, number });
                Disposition::Ignored(Why::Busy { retry_after: self.tuning.request_timeout / 2 })
            }
        })
    }

    /// How many requests can be ordered in time.
    pub(super) fn pool_capacity(&self) -> usize {
        self.timers.capacity(self.tuning.request_timeout, self.cluster.limits().batch_requests_max)
    }

    /// Upon receiving a proposal: its signature is the primary's vote; its block waits to be accepted.
    pub(super) fn on_pre_prepare(&mut self, proposal: PrePrepare) -> Step {
        let view = self.promises.view();
        if proposal.view < view {
            return Ok(Disposition::Ignored(Why::Stale));
        }
        if proposal.view > view {
            // Not acted on; kept for a moment in which the view may begin.
            if proposal.view == view.next() && self.ordering.early.len() < self.early_max() && !self.ordering.early.contains(&proposal) {
                self.ordering.early.push(proposal);
                return Ok(Disposition::Buffered);
            }
            return Ok(Disposition::Ignored(Why::FarAhead));
        }
        let primary = self.primary();
        let (number, digest) = (proposal.block.header.sequence_number, proposal.block.digest);
        let disposition = self.on_vote(VoteKind::Prepare, &proposal.vote(primary))?;
        let is_first =
            self.votes.slot(number).and_then(|slot| slot.vote_of(VoteKind::Prepare, primary)).is_some_and(|(voted, _)| voted == digest);
        // I18: where there is no room, it is fetched when there is.
        let has_room = self.chain.bytes().0 + held_size(&proposal.block) <= self.proposed_bytes_max();
        if is_first && has_room && number > self.chain.decided() && !self.chain.holds(&digest) {
            self.chain.insert(proposal.block);
            return Ok(Disposition::Applied);
        }
        Ok(disposition)
    }

    pub(super) fn early_max(&self) -> usize {
        2 * self.cluster.pipeline() as usize
    }

    pub(super) fn replay_early(&mut self) -> Result<(), Broken> {
        let view = self.promises.view();
        let (now, later) = core::mem::take(&mut self.ordering.early).into_iter().partition(|proposal| proposal.view <= view);
        self.ordering.early = later;
        let now: Vec<PrePrepare> = now;
        now.into_iter().try_for_each(|proposal| self.on_pre_prepare(proposal).map(|_| ()))
    }

    // P3
    /// How far the decided log is proved by a certificate that is held. After a restart the service may stand above that: then nobody need have a commit
    /// certificate of what it executed, and without this replica's Commit in a later view there might never be one again.
    fn proved_end(&self) -> SequenceNumber {
        let proved = self.ordering.target.as_ref().map_or(SequenceNumber::default(), |target| target.sequence_number);
        self.chain.decided().min(proved.max(self.stable().number))
    }

    /// The positions whose votes are counted. Below, all is settled; above, votes are told again (T2) when their time has come.
    pub(super) fn vote_bounds(&self) -> (SequenceNumber, SequenceNumber) {
        let proved = self.proved_end();
        let certified = self.ordering.certified.as_ref().map(|certificate| certificate.sequence_number);
        // Until something is certified in this view, its base is; and that may be the decided end itself.
        let low = if certified.is_some() || self.promises.view().get() == 0 { proved.next() } else { proved };
        let mut reach = self.chain.decided().max(certified.unwrap_or_default());
        if self.promises.is_normal() {
            reach = reach.max(self.promises.base().number);
        }
        // I18: who voted for a certified position had a stable checkpoint within a window below it, so all below that is settled: also for one
        // who lags, and would else hold votes for everything between its log's end and what is certified.
        (low.max(reach.minus(self.cluster.log_window())), reach.plus(2 * self.cluster.pipeline()))
    }

    /// Votes are kept from here on: some below those that are counted can still prove something. (E)
    fn votes_from(&self) -> SequenceNumber {
        self.vote_bounds().0.minus(2 * self.cluster.pipeline() + 1)
    }

    // I18
    /// Drops votes, and what is known of own ones, that nothing hangs on any more.
    pub(super) fn forget_settled(&mut self) {
        let (low, _) = self.vote_bounds();
        self.promises.forget_commits_to(self.proved_end().max(low.minus(1)));
        self.votes.forget_below(self.votes_from());
    }

    /// Upon receiving a vote.
    pub(super) fn on_vote(&mut self, kind: VoteKind, vote: &Vote) -> Step {
        if vote.replica == self.me {
            let known = self.votes.slot(vote.sequence_number).and_then(|slot| slot.vote_of(kind, self.me));
            if vote.view == self.promises.view() && known.is_some_and(|(digest, _)| digest != vote.digest) {
                self.report_impersonation();
            }
            return Ok(Disposition::Ignored(Why::NotMine));
        }
        self.count_vote(kind, vote)
    }

    pub(super) fn count_vote(&mut self, kind: VoteKind, vote: &Vote) -> Step {
        // E: contradictions are looked for down to where votes are retained; counted is only what is needed.
        let (low, high) = self.vote_bounds();
        if vote.view != self.promises.view() || vote.sequence_number < low {
            return self.compare_with_retained(kind, vote);
        }
        if vote.sequence_number > high {
            return Ok(Disposition::Ignored(Why::FarAhead));
        }
        match self.votes.count(kind, vote, self.quorum()) {
            Counted::Duplicate => Ok(Disposition::Ignored(Why::Duplicate)),
            Counted::Contradiction(digest, signature) => self.on_contradiction(kind, vote, digest, signature),
            Counted::Added(certificate) => {
                self.ask_for_other_proposal(vote);
                if let Some(certificate) = certificate {
                    self.on_certificate(&certificate)?;
                }
                Ok(Disposition::Applied)
            }
        }
    }

    /// Upon receiving a certificate, or having collected one.
    pub(super) fn on_certificate(&mut self, certificate: &Certificate) -> Step {
        self.compare_certificate(certificate)?;
        // P5
        let decided = self.chain.decided_digest(certificate.sequence_number);
        if certificate.kind == VoteKind::Commit && decided.is_some_and(|digest| digest != certificate.digest) {
            return Err(Broken("I1: a commit certificate against the decided log: more than f replicas are faulty"));
        }
        let view = self.promises.view();
        let mut prunes = false;
        let enters = certificate.view > view || (certificate.view == view && !self.promises.is_normal());
        if self.disk_is_behind() && (enters || self.rebases(certificate)) {
            // I18: told again (T2), since `high` stays what it is.
            return Ok(Disposition::Ignored(Why::FarAhead));
        }
        if enters {
            // V4
            self.enter(certificate.view, Position::of(certificate), Some(certificate))?;
        }
        if certificate.view == self.promises.view() {
            // I18: of a long view there are many old certificates, and anybody may send them all again.
            if certificate.sequence_number >= self.votes_from() && !self.votes.certify(certificate) {
                return Err(Broken("I2: two certificates at one position of one view: more than f replicas are faulty"));
            }
            if self.is_highest(certificate) {
                let accepted = self.ordering.accepted.get(certificate.sequence_number).filter(|_| self.promises.is_normal());
                accepted.into_iter().for_each(|(since, _)| self.pace.round(self.now.since(*since)));
                let is_first = self.ordering.certified.replace(certificate.clone()).is_none();
                self.forget_settled();
                self.follow(Position::of(certificate))?;
                prunes = is_first;
            }
            self.may_commit(certificate)?;
        }
        // P4
        self.promises.raise(certificate)?;
        if prunes {
            // C2: what earlier views left behind goes as soon as this one has a certificate, decided or not.
            self.prune();
        }
        let reaches_further = self.ordering.target.as_ref().is_none_or(|target| target.sequence_number < certificate.sequence_number);
        if certificate.kind == VoteKind::Commit && reaches_further {
            self.ordering.target = Some(certificate.clone());
        }
        self.decide()?;
        Ok(Disposition::Applied)
    }

    fn is_highest(&self, certificate: &Certificate) -> bool {
        self.ordering.certified.as_ref().is_none_or(|held| held.sequence_number < certificate.sequence_number)
    }

    /// Would this certificate move the base?
    fn rebases(&self, certificate: &Certificate) -> bool {
        let (head, at) = (self.ordering.head, Position::of(certificate));
        let leads_on = if at.number > head.number {
            !self.chain.path(head, at).is_empty()
        } else {
            self.chain.ancestor(head, at.number) == Some(at.digest)
        };
        certificate.view == self.promises.view() && self.is_highest(certificate) && !leads_on
    }

    // P3
    fn wants_commit(&self, certificate: &Certificate) -> bool {
        let number = certificate.sequence_number;
        // Where a commit certificate or a stable checkpoint is held, that is what we answer with (T2). Votes are counted above.
        let is_open = || number >= self.vote_bounds().0;
        certificate.kind == VoteKind::Prepare && !self.promises.has_committed(number) && is_open()
    }

    // P3
    fn may_commit(&mut self, certificate: &Certificate) -> Result<(), Broken> {
        if self.wants_commit(certificate) && self.promises.is_normal() && self.may_vote() {
            let write = self.promises.promise_commit(certificate)?;
            self.outputs.push(Output::Write(write));
        }
        Ok(())
    }

    // V5, and P1's "at or below a certificate of v"
    /// Brings head onto the chain of a certified position of the own view.
    fn follow(&mut self, certified: Position) -> Result<(), Broken> {
        // The common case: it is of head's chain, and head was led there block by block.
        if self.ordering.accepted.get(certified.number).is_some_and(|(_, digest)| *digest == certified.digest) {
            return Ok(());
        }
        let head = self.ordering.head;
        if certified.number > head.number {
            let path = self.chain.path(head, certified);
            if !path.is_empty() {
                for block in path {
                    self.accept(&block);
                }
                return Ok(());
            }
        } else if self.chain.ancestor(head, certified.number) == Some(certified.digest) {
            return Ok(());
        }
        if certified.number < self.stable().number || self.promises.top().is_some_and(|top| certified.number < top) {
            return Ok(());
        }
        let write = self.promises.rebase(certified)?;
        self.outputs.push(Output::Write(write));
        self.jump_to(certified);
        Ok(())
    }

    /// Head moves to a position that it was not led to block by block.
    pub(super) fn jump_to(&mut self, base: Position) {
        self.ordering.head = base;
        self.ordering.proposed_is_current = false;
        self.ordering.accepted.clear();
        if base.number > self.chain.decided() {
            self.ordering.accepted.insert(base.number, (self.now, base.digest));
        }
    }

    fn accept(&mut self, block: &Arc<Block>) {
        self.ordering.head = Position { number: block.header.sequence_number, digest: block.digest };
        if block.header.sequence_number > self.chain.decided() {
            self.ordering.accepted.insert(block.header.sequence_number, (self.now, block.digest));
        }
        if self.ordering.proposed_is_current {
            self.note_proposed(block);
        }
    }

    fn note_proposed(&mut self, block: &Block) {
        for request in block.batch.iter() {
            if request.number == self.last_on_chain(&request.client).next() {
                self.ordering.proposed.insert(request.client, request.number);
            }
        }
    }

    /// Accepts, prepares and proposes as far as the rules allow now.
    pub(super) fn advance(&mut self) -> Result<(), Broken> {
        if self.promises.log.is_due() && !self.disk_is_behind() {
            // I18: views that decide nothing write records too.
            self.write_state(Vec::new());
        }
        // A body that was missing may have arrived.
        self.decide()?;
        self.feed_service();
        self.may_end_rejoining()?;
        self.vote_on_snapshots()?;
        if !self.promises.is_normal() {
            return Ok(());
        }
        // What could not be committed when its certificate came, for want of a disk or a right to vote, may be committed now.
        let certified = self.ordering.certified.as_ref().filter(|certified| self.wants_commit(certified)).cloned();
        if let Some(certified) = certified {
            self.may_commit(&certified)?;
        }
        self.prepare_base()?;
        // What was accepted before its chain was held may be held now.
        self.prepare_head()?;
        while let Some(block) = self.acceptable() {
            // P1
            self.accept(&block);
            self.prepare_head()?;
        }
        self.propose()?;
        if self.ordering.head.number >= self.cluster.window_end(self.stable().number) && !self.ordering.window_closed {
            self.ordering.window_closed = true;
            self.event(Event::WindowClosed { sequence_number: self.ordering.head.number });
        }
        Ok(())
    }

    // P1
    /// The highest position that may be accepted: P above the last one certified in this view, within the window.
    /// In a view above 0 nothing before its base is certified.
    pub(super) fn pipeline_end(&self) -> Option<SequenceNumber> {
        let certified = match &self.ordering.certified {
            Some(certificate) => certificate.sequence_number,
            None if self.promises.view() == View::default() => SequenceNumber::default(),
            None => return None,
        };
        Some(certified.plus(self.cluster.pipeline()).min(self.cluster.window_end(self.stable().number)))
    }

    /// The held child of head that the primary voted for, or that leads to what it voted for.
    fn acceptable(&self) -> Option<Arc<Block>> {
        let head = self.ordering.head;
        let end = self.pipeline_end()?;
        // C3: below the stable checkpoint nobody votes any more; on the decided chain head is brought by certificates of this view.
        if head.number >= end || head.number < self.stable().number {
            return None;
        }
        if self.votes.last().is_none_or(|last| last <= head.number) {
            return None;
        }
        let (primary, votes) = (self.primary(), &self.votes);
        let is_proposed = |at: Position| {
            votes.slot(at.number).and_then(|slot| slot.vote_of(VoteKind::Prepare, primary)).is_some_and(|(digest, _)| digest == at.digest)
        };
        votes
            .slots_from(head.number.next())
            .take_while(|(number, _)| *number <= end)
            .filter_map(|(number, slot)| slot.vote_of(VoteKind::Prepare, primary).map(|(digest, _)| Position { number, digest }))
            // I18: a primary may show all but the lowest, or what lies on another chain, and this is looked for at each step: what leads down to a lower
            // proposal does not lead to head, or that one would have been taken.
            .find_map(|proposed| self.chain.first_of_path(head, proposed, is_proposed))
    }

    // P2
    fn prepare_base(&mut self) -> Result<(), Broken> {
        let base = self.promises.base();
        let is_certified = self.ordering.certified.as_ref().is_some_and(|certificate| certificate.sequence_number >= base.number);
        if self.promises.view().get() == 0 || self.promises.top().is_some() || is_certified || !self.may_vote() {
            return Ok(());
        }
        // V4: a base above the window waits for the checkpoint that opens it.
        if base.number > self.cluster.window_end(self.stable().number) {
            return Ok(());
        }
        match self.chain.gap(base) {
            Gap::Whole if self.is_anchored(base) => self.prepare(base, None),
            Gap::Conflict if self.contradicts_lower_view(base) => {
                Err(Broken("I7: a new view contradicts a decision: more than f replicas are faulty"))
            }
            _ => Ok(()),
        }
    }

    // I7
    /// Does a base leave the decided log where a lower view decided it? Elsewhere it may be one of several with which a faulty primary began this
    /// view: a checkpoint tells what was decided in it before a certificate does.
    fn contradicts_lower_view(&self, base: Position) -> bool {
        let leaves_at = base.number.min(self.chain.decided());
        self.ordering.target.as_ref().is_some_and(|target| target.view < self.promises.view() && target.sequence_number >= leaves_at)
    }

    // P2
    fn prepare_head(&mut self) -> Result<(), Broken> {
        let head = self.ordering.head;
        let is_certified = self.ordering.certified.as_ref().is_some_and(|certificate| certificate.sequence_number >= head.number);
        // The base has a rule of its own: above it a certificate of the view is needed first.
        if self.promises.top().is_none() && head.number <= self.promises.base().number {
            return Ok(());
        }
        // Strictly upwards; a position that is certified already needs no vote.
        if self.promises.top().is_some_and(|top| head.number <= top) || is_certified || !self.may_vote() {
            return Ok(());
        }
        if self.chain.gap(head) != Gap::Whole || !self.is_anchored(head) {
            return Ok(());
        }
        self.prepare(head, None)
    }

    // C3
    /// Does a position whose chain is whole stand at or above the stable checkpoint, on its chain? Who votes on from a decided position that
    /// its view's chain did not lead it to breaks that chain.
    fn is_anchored(&self, at: Position) -> bool {
        let stable = self.stable();
        // A whole chain joins the decided log, which has the stable digest once it is that long.
        at.number >= stable.number
            && (self.chain.decided() >= stable.number || self.chain.ancestor(at, stable.number) == Some(stable.digest))
    }

    fn prepare(&mut self, at: Position, proposal: Option<Arc<Block>>) -> Result<(), Broken> {
        let most = u64::from(self.cluster.limits().message_bytes_max);
        let Some(blocks) = self.record_chain(at, most) else { return Ok(()) };
        self.chain.recorded(&blocks, self.promises.log.next());
        let write = self.promises.promise_prepare(at, blocks, proposal)?;
        self.outputs.push(Output::Write(write));
        Ok(())
    }

    // D1
    /// Records the chain that ends at `at`, part by part, but for its last `rest` bytes of blocks, which it gives. None while the disk does not
    /// follow: a replica that was away may have much to record before its first vote.
    fn record_chain(&mut self, at: Position, rest: u64) -> Option<Vec<Arc<Block>>> {
        loop {
            let blocks = self.chain.unrecorded(at, self.stable().number);
            if blocks.iter().map(|block| block_size(block)).sum::<u64>() <= rest {
                return Some(blocks);
            }
            self.record_part(&blocks);
            if !self.may_vote() {
                return None;
            }
        }
    }

    // T1
    /// Is what was received last to be proposed together with what comes next? While a position is under way that costs no time: the host has to call
    /// again at once, with whatever else has come or with the timer.
    fn holds_back(&self) -> Option<u32> {
        let certified = self.ordering.certified.as_ref().map_or(SequenceNumber::default(), |certificate| certificate.sequence_number);
        let gathered = self.ordering.gathered.filter(|_| self.ordering.head.number > certified && self.pool.may_give())?.saturating_add(1);
        Some(gathered).filter(|gathered| *gathered < self.cluster.limits().batch_requests_max)
    }

    /// The primary's part: at once while the pipeline has room, else requests gather into larger batches.
    fn propose(&mut self) -> Result<(), Broken> {
        if !self.is_primary() || self.ordering.head.number < self.stable().number {
            return Ok(());
        }
        self.ordering.held_back = self.holds_back().unwrap_or_default();
        if self.ordering.held_back > 0 {
            return Ok(());
        }
        while (self.pool.may_give() || !self.ordering.proposed_is_current)
            && self.may_vote()
            && self.pipeline_end().is_some_and(|end| self.ordering.head.number < end)
        {
            let head = self.ordering.head;
            if self.chain.gap(head) != Gap::Whole || !self.is_anchored(head) || self.promises.top().is_some_and(|top| head.number < top) {
                return Ok(());
            }
            if self.chain.bytes().0 + self.block_bytes_max() > self.undecided_bytes_max() {
                return Ok(());
            }
            // A proposal is promised in the step that makes it, or it would be prepared later without being proposed.
            if self.record_chain(head, 0).is_none() {
                return Ok(());
            }
            self.rebuild_proposed();
            let (sessions, proposed) = (&self.sessions, &self.ordering.proposed);
            let batch = self.pool.next_batch(self.cluster.limits(), proposed, |client| sessions.last(client));
            if batch.is_empty() {
                return Ok(());
            }
            let block = Arc::new(Block::new(&self.cluster.id(), head.number.next(), head.digest, batch));
            self.chain.insert(block.clone());
            self.accept(&block);
            self.prepare(self.ordering.head, Some(block))?;
        }
        Ok(())
    }

    /// False while head's chain is not held: what stands on it is not known.
    pub(super) fn rebuild_proposed(&mut self) -> bool {
        if self.ordering.proposed_is_current {
            return true;
        }
        if matches!(self.chain.gap(self.ordering.head), Gap::Missing(_)) {
            return false;
        }
        self.ordering.proposed.clear();
        self.ordering.proposed_is_current = true;
        self.pool.forget_proposed();
        for block in self.chain.path(self.decided_end(), self.ordering.head) {
            self.note_proposed(&block);
        }
        true
    }

    /// At half the deadline the request goes to all: whoever is primary then has it. (T1)
    pub(super) fn relay_requests(&mut self) {
        for request in self.pool.take_relayable(self.now, 64) {
            self.send_ready(Recipients::AllReplicas, Message::Request(request));
        }
    }
}
