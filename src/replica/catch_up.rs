//! Status, fetch and their answers: all the retransmission there is. (T2)

use super::chain::{Gap, block_size, held_size};
use super::peer::{Answer, Peer};
use super::promises::Position;
use super::wants::Wants;
use super::{Disposition, Replica, Step, Why};
use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{Chain, CheckpointVote, Fetch, Message, Mode, Rank, StatusMessage, Vote, VoteKind, Wanted};
use crate::outbox::Recipients;
use crate::time::Time;
use crate::wire::Bounded;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Blocks that are asked for at one time though no quorum stands behind them, at most: the lowest.
const UNPROVEN_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Missing {
    next_ask: Time,
    asked: u32,
    /// Of these questions, those since it is at or below the stable checkpoint: a primary may have voted for it before anybody had it.
    below_stable: u32,
}

/// All that what is missing depends on, but for the roots: while it stays the same, nothing is missing below a root below which nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grounds {
    view: View,
    mode: Mode,
    base: Position,
    stable: SequenceNumber,
    covered: Option<SequenceNumber>,
    gone: u64,
}

/// The roots that change all the time. Proposals are counted: which of them are new, the votes know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Roots {
    head: Position,
    certified: Option<Position>,
    target: Option<Position>,
    proposals: u64,
}

/// All that what is missing depends on, whether anything is or not: beside grounds and roots where the decided log begins and ends, and how many blocks are held. None comes
/// or goes without another of these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight(Grounds, Roots, [SequenceNumber; 2], usize);

/// Bound: one entry for each member, and one for each missing root: head, the commit target, and proposals in the pipeline.
#[derive(Clone)]
pub(super) struct CatchUp {
    pub(super) peers: BTreeMap<ReplicaId, Peer>,
    ordinal: u64,
    missing: BTreeMap<Digest, Missing>,
    /// Nothing was missing on these grounds, below these roots.
    complete: Option<(Grounds, Roots)>,
    /// What was looked at last: until something of it is another, the same is missing.
    looked: Option<Sight>,
    /// How many others have told how far they have decided, and the furthest that any of them ever told.
    heard: u32,
    furthest: SequenceNumber,
    /// What all members' `want` are.
    pub(super) wants: Wants,
}

impl CatchUp {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            peers: cluster.replicas().map(|replica| (replica, Peer::default())).collect(),
            ordinal: 0,
            missing: BTreeMap::new(),
            complete: None,
            looked: None,
            heard: 0,
            furthest: SequenceNumber::default(),
            wants: Wants::default(),
        }
    }

    #[cfg(feature = "sim")]
    pub(super) fn want(&self, replica: ReplicaId) -> View {
        self.peers.get(&replica).map_or(View::default(), |peer| peer.want)
    }

    /// The highest view that any other replica wishes for.
    pub(super) fn highest_want(&self) -> View {
        self.wants.highest()
    }

    pub(super) fn raise_want(&mut self, replica: ReplicaId, view: View) {
        let Some(peer) = self.peers.get_mut(&replica).filter(|peer| peer.want != view) else { return };
        peer.want = peer.want.max(view);
        self.wants = self.peers.values().map(|peer| peer.want).collect();
    }

    // C3
    /// Every other replica that was heard of says that it has not the batches above `decided`; or so many say so that those who are left may all be lying.
    pub(super) fn nobody_holds_above(&self, cluster: &Cluster, me: ReplicaId, decided: SequenceNumber) -> bool {
        let floors = self.peers.iter().filter(|(replica, _)| **replica != me).filter_map(|(_, peer)| peer.floor);
        let (heard, lack) = floors.fold((0, 0), |(heard, lack), floor| (heard + 1, lack + u32::from(floor > decided)));
        lack > 0 && (lack == heard || lack + cluster.fault_threshold() + 1 >= cluster.size())
    }

    // C3
    /// It was asked for so often, since it is known to be decided, without being found: who says that it has the batches may lie.
    pub(super) fn asked_in_vain(&self, digest: &Digest, times: u32) -> bool {
        self.missing.get(digest).is_some_and(|missing| missing.below_stable >= times)
    }

    /// Was it missing when the last step ended?
    pub(super) fn is_missing(&self, digest: &Digest) -> bool {
        self.missing.contains_key(digest)
    }

    // T2
    /// Has this replica yet to hear of f+1 others since it started, or do f+1 say that they have decided more? What it asked may be lost, or the answers.
    pub(super) fn has_to_ask(&self, cluster: &Cluster, decided: SequenceNumber) -> bool {
        let is_ahead = |said: SequenceNumber| said > decided;
        let said = self.peers.values().filter_map(|peer| peer.decided).filter(|said| is_ahead(*said));
        let ahead = if is_ahead(self.furthest) { said.fold(0, |ahead, _| ahead + 1) } else { 0 };
        self.heard < cluster.weak_quorum().min(cluster.size() - 1) || ahead >= cluster.weak_quorum()
    }

    pub(super) fn forget_missing(&mut self) {
        self.missing.clear();
        self.looked = None;
    }

    fn told(&mut self, replica: ReplicaId, decided: SequenceNumber, floor: SequenceNumber) {
        let Some(peer) = self.peers.get_mut(&replica) else { return };
        self.heard += u32::from(peer.decided.is_none());
        self.furthest = self.furthest.max(decided);
        (peer.decided, peer.floor) = (Some(decided), Some(floor));
    }
}

impl Replica {
    /// Rises with every use, and across restarts with the log: with what of it is durable, since a status may leave before the records that were
    /// written with it, and they may be lost.
    fn next_ordinal(&mut self) -> u64 {
        let floor = self.promises.log.durable() << 20;
        self.catch_up.ordinal = self.catch_up.ordinal.max(floor) + 1;
        if self.catch_up.ordinal >> 20 > self.promises.log.durable() && self.promises.log.waiting_bytes() == 0 {
            // A million of them without a record: one is written, or a restart would begin below.
            self.write_state(Vec::new());
        }
        self.catch_up.ordinal
    }

    fn own_vote(&self, kind: VoteKind) -> Option<Vote> {
        let view = self.promises.view();
        self.votes.slots().rev().find_map(|(sequence_number, slot)| {
            let (digest, signature) = slot.vote_of(kind, self.me)?;
            Some(Vote { view, sequence_number, digest, replica: self.me, signature })
        })
    }

    fn own_checkpoint(&self) -> Option<CheckpointVote> {
        let (number, _) = self.promises.checkpoints.last_key_value()?;
        self.checkpoints.vote_of(*number, self.me)
    }

    // T2
    pub(super) fn send_status(&mut self) {
        let view = self.promises.view();
        let own_view_change = self.view_changes.get(&self.me).filter(|_| self.promises.pending_view_change().is_some()).cloned();
        let status = StatusMessage {
            replica: self.me,
            ordinal: self.next_ordinal(),
            view,
            mode: self.promises.mode(),
            want: self.promises.want(),
            stable: self.stable().number,
            floor: self.chain.floor(),
            decided: self.chain.decided(),
            committed: self.ordering.target.as_ref().map_or(Rank::default(), |target| target.rank()),
            high: self.promises.high().rank,
            head_number: self.ordering.head.number,
            head_digest: self.ordering.head.digest,
            signature: RawSignature::ZERO,
            prepare: self.own_vote(VoteKind::Prepare),
            commit: self.own_vote(VoteKind::Commit),
            checkpoint: self.own_checkpoint(),
            view_change: own_view_change.filter(|view_change| view_change.view == view),
        };
        self.send_signed(Recipients::AllReplicas, Message::Status(Box::new(status)));
    }

    /// Upon receiving another replica's status.
    pub(super) fn on_status(&mut self, status: StatusMessage) -> Step {
        let peer = status.replica;
        if peer == self.me {
            return Ok(Disposition::Ignored(Why::NotMine));
        }
        let heard = (status.view, status.ordinal);
        if !self.catch_up.peers.get_mut(&peer).is_some_and(|peer| peer.is_fresh_status(heard)) {
            return Ok(Disposition::Ignored(Why::Stale));
        }
        self.catch_up.raise_want(peer, status.want.max(status.view));
        self.catch_up.told(peer, status.decided, status.floor);
        if let Some(vote) = &status.prepare {
            self.on_vote(VoteKind::Prepare, vote)?;
        }
        if let Some(vote) = &status.commit {
            self.on_vote(VoteKind::Commit, vote)?;
        }
        if let Some(vote) = &status.checkpoint {
            self.on_checkpoint_vote(vote)?;
        }
        if let Some(view_change) = status.view_change.clone() {
            self.on_view_change(view_change)?;
        }
        self.consider_wishes()?;
        self.answer(&status);
        Ok(Disposition::Applied)
    }

    /// What a peer that is behind needs, at most one of each.
    fn answer(&mut self, status: &StatusMessage) {
        let peer = status.replica;
        let view = self.promises.view();
        let mut sent: Option<Rank> = None;
        if !self.may_answer(peer, Answer::Status) {
            return;
        }
        // First, since it opens the window for what follows.
        if let Some(stable) = self.promises.stable.clone().filter(|stable| stable.checkpoint.sequence_number > status.stable) {
            self.send_ready(Recipients::Replica(peer), Message::Stable(stable));
        }
        let needs_view = status.view < view || (status.view == view && status.mode == Mode::ViewChange);
        if needs_view && self.promises.is_normal() {
            if let Some(certificate) = self.ordering.certified.clone() {
                sent = Some(certificate.rank());
                self.send_certificate(peer, certificate);
            } else if let Some(new_view) = self.new_view.clone() {
                self.send_ready(Recipients::Replica(peer), Message::NewView(Box::new(new_view)));
            }
        }
        if let Some(high) = self.promises.high_certificate().cloned() {
            if high.rank() > status.high && sent != Some(high.rank()) {
                self.send_certificate(peer, high);
            }
        }
        // E: it was told once, and that may have been lost.
        let seems_unaware = status.view == view && status.want == view && peer != self.primary();
        if let Some(proof) = self.proof_against_primary().filter(|_| seems_unaware).cloned() {
            self.send_ready(Recipients::Replica(peer), Message::Evidence(Box::new(proof)));
        }
        self.answer_with_blocks(status);
    }

    fn answer_with_blocks(&mut self, status: &StatusMessage) {
        let peer = status.replica;
        // f+1 of the peer's others answer with blocks, in turn, and the primary: one correct replica is always among them.
        let (n, others) = (u64::from(self.cluster.size()), u64::from(self.cluster.size()).saturating_sub(1).max(1));
        let place = (u64::from(self.me.get()) + n - u64::from(peer.get())).saturating_sub(1) % n;
        let turn = (status.ordinal % others + place) % others;
        let selected = turn <= u64::from(self.cluster.fault_threshold()) || self.is_primary();
        let certificate = self.ordering.target.clone().filter(|target| target.sequence_number > status.decided);
        if let Some(certificate) = certificate {
            let top = Position::of(&certificate);
            let known = certificate.rank() <= status.committed;
            let blocks = if selected && self.chain.floor() <= status.decided && self.chain.gap(top) == Gap::Whole {
                self.allowed_blocks(peer, top, status.decided)
            } else {
                Vec::new()
            };
            if !known || !blocks.is_empty() {
                let chain = Chain { certificate: Some(certificate), vote: None, blocks: Bounded(blocks) };
                self.send_ready(Recipients::Replica(peer), Message::Chain(Box::new(chain)));
            }
        }
        let head = self.ordering.head;
        let same_view = status.view == self.promises.view() && status.mode == Mode::Normal && self.promises.is_normal();
        if same_view && selected && status.head_number < head.number && head.number > self.chain.decided() {
            // The primary's vote makes a block its proposal, whoever passes it on.
            let (view, primary) = (self.promises.view(), self.primary());
            let vote = self
                .votes
                .slot(head.number)
                .and_then(|slot| slot.vote_of(VoteKind::Prepare, primary))
                .map(|(digest, signature)| Vote { view, sequence_number: head.number, digest, replica: primary, signature });
            if vote.is_some_and(|vote| vote.digest == head.digest) {
                let above = status.head_number.max(status.decided);
                let blocks = self.allowed_blocks(peer, head, above);
                self.send_ready(
                    Recipients::Replica(peer),
                    Message::Chain(Box::new(Chain { certificate: None, vote, blocks: Bounded(blocks) })),
                );
            }
        }
    }

    /// Counts one answer to a peer; false if it has had enough of these in this interval.
    pub(super) fn may_answer(&mut self, peer: ReplicaId, what: Answer) -> bool {
        let (now, interval) = (self.now, self.tuning.status_interval);
        self.catch_up.peers.get_mut(&peer).is_some_and(|peer| peer.may_answer(what, now, interval))
    }

    /// Counts bytes that are to be sent to a peer; false if it has had enough in this interval.
    pub(super) fn may_send_bytes(&mut self, peer: ReplicaId, bytes: u64) -> bool {
        let (budget, now, interval) = (self.answer_budget(), self.now, self.tuning.status_interval);
        self.catch_up.peers.get_mut(&peer).is_some_and(|peer| peer.may_send_bytes(bytes, budget, now, interval))
    }

    /// Bytes that one peer may be sent in an interval.
    pub(super) fn answer_budget(&self) -> u64 {
        self.answer_bytes().saturating_mul(16)
    }

    fn answer_bytes(&self) -> u64 {
        u64::from(self.tuning.answer_bytes_max.min(self.cluster.limits().batch_bytes_max))
    }

    /// Blocks for a peer, downwards, within what it may be sent in one interval: a flood of questions draws no flood of answers.
    fn allowed_blocks(&mut self, peer: ReplicaId, top: Position, above: SequenceNumber) -> Vec<alloc::sync::Arc<crate::message::Block>> {
        if !self.may_send_bytes(peer, 0) {
            return Vec::new();
        }
        let blocks = self.chain.downwards(top, above, self.answer_bytes());
        self.may_send_bytes(peer, blocks.iter().map(|block| block_size(block)).sum());
        blocks
    }

    /// Upon receiving a question.
    pub(super) fn on_fetch(&mut self, fetch: &Fetch) -> Step {
        let peer = fetch.replica;
        if peer == self.me {
            return Ok(Disposition::Ignored(Why::NotMine));
        }
        if !self.catch_up.peers.get_mut(&peer).is_some_and(|peer| peer.is_fresh_fetch(fetch)) {
            return Ok(Disposition::Ignored(Why::Stale));
        }
        let message = match fetch.wanted {
            Wanted::Chain { above, sequence_number, digest } => {
                let blocks = self.allowed_blocks(peer, Position { number: sequence_number, digest }, above);
                if blocks.is_empty() {
                    return Ok(Disposition::Ignored(Why::NotNeeded));
                }
                Message::Chain(Box::new(Chain { certificate: None, vote: None, blocks: Bounded(blocks) }))
            }
            Wanted::Proposal { view, sequence_number, digest } => {
                let primary = self.cluster.primary(view);
                let held = self.votes.slot(sequence_number).and_then(|slot| slot.vote_of(VoteKind::Prepare, primary));
                match held.filter(|(voted, _)| *voted == digest && view == self.promises.view()) {
                    Some((_, signature)) => Message::Prepare(Vote { view, sequence_number, digest, replica: primary, signature }),
                    None => return self.show_new_view(peer, view, Position { number: sequence_number, digest }),
                }
            }
            wanted @ (Wanted::Manifest { .. } | Wanted::Chunk { .. }) => return self.serve_snapshot(peer, wanted),
        };
        self.send_ready(Recipients::Replica(peer), message);
        Ok(Disposition::Applied)
    }

    /// Upon receiving blocks. Only what is linked by digest to something that this replica waits for is kept.
    pub(super) fn on_chain(&mut self, chain: Chain) -> Step {
        if let Some(certificate) = &chain.certificate {
            self.on_certificate(certificate)?;
        }
        if let Some(vote) = &chain.vote {
            self.on_vote(VoteKind::Prepare, vote)?;
        }
        // I18: each block at the number at which it is waited for, or a lie about one number would let in chains without end.
        // What a quorum stands behind is taken as it comes; what a primary alone voted for, within a limit.
        let mut wanted: BTreeMap<Position, bool> = BTreeMap::new();
        for (position, is_certified) in self.missing_roots() {
            *wanted.entry(position).or_default() |= is_certified;
        }
        let (room, most) = (self.proposed_bytes_max(), self.undecided_bytes_max());
        let mut taken = false;
        for block in chain.blocks.0 {
            let at = Position { number: block.header.sequence_number, digest: block.digest };
            let is_held = self.chain.holds(&block.digest);
            let Some(is_certified) = wanted.remove(&at).or(is_held.then_some(false)) else { continue };
            // I18: of what is decided only what was lost is taken back, down to the stable checkpoint.
            if !is_held && at.number <= self.chain.decided() && self.lost_blocks() != Some(at) {
                continue;
            }
            if is_held || self.chain.bytes().0 + held_size(&block) <= if is_certified { most } else { room } {
                wanted.insert(Position { number: at.number.minus(1), digest: block.header.parent }, is_certified);
                taken |= !is_held;
                self.chain.insert_or_deepen(block);
            }
        }
        Ok(if taken { Disposition::Applied } else { Disposition::Ignored(Why::NotNeeded) })
    }

    // I18
    /// Bytes of undecided blocks beyond which none is taken because a primary alone voted for it: twice what the open positions can hold.
    pub(super) fn proposed_bytes_max(&self) -> u64 {
        let (low, high) = self.vote_bounds();
        let positions = high.get() - low.max(self.chain.decided()).get() + 1 + 2 * self.cluster.pipeline();
        positions.saturating_mul(2 * self.block_bytes_max())
    }

    /// The highest missing block below each thing that this replica has a reason to hold, and whether a quorum stands behind that.
    fn missing_roots(&mut self) -> Vec<(Position, bool)> {
        // V4: what is above the window waits for the checkpoint that opens it. C3: what is below a state that is being fetched comes with that.
        let window_end = self.cluster.window_end(self.stable().number);
        let (below, primary, decided) = (self.fetched_from(), self.primary(), self.chain.decided());
        let target = self.decided_target().map(|target| (target, true));
        let is_normal = self.promises.is_normal();
        // A view's base is certified; what was accepted above it need not be.
        let head = is_normal.then_some((self.ordering.head, self.ordering.head == self.promises.base()));
        let certified = self.ordering.certified.as_ref().filter(|_| is_normal).map(|certified| (Position::of(certified), true));
        let proposed =
            self.votes.slots_from(decided.next()).filter(|_| is_normal).filter_map(|(number, slot)| {
                slot.vote_of(VoteKind::Prepare, primary).map(|(digest, _)| (Position { number, digest }, false))
            });
        // At each step: nothing is allocated unless something is missing.
        let (mut missing, mut seen) = (Vec::new(), BTreeSet::new());
        for (root, is_certified) in target.into_iter().chain(head).chain(certified).chain(proposed) {
            if root.number > window_end {
                continue;
            }
            if let Gap::Missing(position) = self.chain.gap(root) {
                if position.number > below && seen.insert((position, is_certified)) {
                    missing.push((position, is_certified));
                }
            }
        }
        missing.extend(self.lost_blocks().map(|position| (position, true)));
        missing
    }

    fn grounds(&self) -> Grounds {
        Grounds {
            view: self.promises.view(),
            mode: self.promises.mode(),
            base: self.promises.base(),
            stable: self.stable().number,
            covered: self.transfer.covers(&self.cluster, self.chain.decided()),
            gone: self.chain.gone(),
        }
    }

    fn roots(&self) -> Roots {
        Roots {
            head: self.ordering.head,
            certified: self.ordering.certified.as_ref().map(Position::of),
            target: self.ordering.target.as_ref().map(Position::of),
            proposals: self.votes.proposals(),
        }
    }

    /// Is something missing below one of `now` that is not among `before`, below which nothing was? Blocks that came since make no new gap.
    fn has_new_gap(&mut self, before: Roots, now: Roots) -> bool {
        let (window_end, below) = (self.cluster.window_end(self.stable().number), self.fetched_from());
        let changed = |before: Option<Position>, now: Option<Position>| now.filter(|_| before != now);
        let roots =
            [changed(Some(before.head), Some(now.head)), changed(before.certified, now.certified), changed(before.target, now.target)];
        let (primary, fresh) = (self.primary(), self.votes.fresh().filter(|_| before.proposals != now.proposals));
        let proposed = fresh
            .into_iter()
            .flat_map(|number| self.votes.slots_from(number.max(below.next())))
            .filter_map(|(number, slot)| slot.vote_of(VoteKind::Prepare, primary).map(|(digest, _)| Position { number, digest }));
        let mut roots = roots.into_iter().flatten().chain(proposed).filter(|root| root.number <= window_end);
        roots.any(|root| matches!(self.chain.gap(root), Gap::Missing(position) if position.number > below))
    }

    /// Nothing was missing, and nothing of what that hangs on is another: so most steps end, and this costs less than to write all of it down.
    fn is_complete(&self) -> bool {
        let Some((grounds, roots)) = &self.catch_up.complete else { return false };
        let is = |position: &Position, certificate: &Certificate| {
            position.number == certificate.sequence_number && position.digest == certificate.digest
        };
        let same = |known: &Option<Position>, held: &Option<Certificate>| match (known, held) {
            (Some(position), Some(certificate)) => is(position, certificate),
            (known, held) => known.is_none() && held.is_none(),
        };
        roots.proposals == self.votes.proposals()
            && same(&roots.certified, &self.ordering.certified)
            && same(&roots.target, &self.ordering.target)
            && roots.head == self.ordering.head
            && grounds.gone == self.chain.gone()
            && *grounds == self.grounds()
            && !self.is_rejoining()
    }

    /// Asks for what has been missing for a while: each time another replica, so that n questions reach a correct one.
    pub(super) fn fetch_missing(&mut self) {
        if self.is_complete() {
            return;
        }
        let (grounds, roots) = (self.grounds(), self.roots());
        let before = match &self.catch_up.complete {
            Some((same, before)) if *same == grounds && !self.is_rejoining() => Some(before),
            _ => None,
        };
        if before == Some(&roots) {
            return;
        }
        let before = before.copied();
        let sight = Sight(grounds, roots, [self.chain.floor(), self.chain.decided()], self.chain.len());
        if self.catch_up.looked == Some(sight) && self.fetch_at().is_none_or(|due| due > self.now) && !self.is_rejoining() {
            return;
        }
        self.catch_up.looked = Some(sight);
        let is_whole = before.is_some_and(|before| !self.has_new_gap(before, roots));
        let mut missing = if is_whole { Vec::new() } else { self.missing_roots() };
        self.votes.looked_at();
        self.catch_up.complete = Some((grounds, roots)).filter(|_| missing.is_empty());
        if missing.is_empty() {
            return self.catch_up.missing.clear();
        }
        // I18: a primary may vote for what nobody has, at thousands of positions: peers would take no other word of who asks for all of that.
        let mut unproven = 0;
        missing.retain(|(_, is_certified)| {
            unproven += usize::from(!is_certified);
            *is_certified || unproven <= UNPROVEN_MAX
        });
        let (now, interval) = (self.now, self.tuning.fetch_interval);
        let digests: BTreeSet<Digest> = missing.iter().map(|(position, _)| position.digest).collect();
        self.catch_up.missing.retain(|digest, _| digests.contains(digest));
        let (stable, fetched_from) = (self.stable().number, self.fetched_from());
        for (position, _) in missing {
            // D2: what was lost lies below what is decided.
            let above = if position.number > fetched_from { fetched_from } else { stable };
            let entry = self.catch_up.missing.entry(position.digest).or_insert(Missing {
                next_ask: now.after(interval),
                asked: 0,
                below_stable: 0,
            });
            if entry.next_ask > now {
                continue;
            }
            // After each round of all replicas half as often, down to a 32nd: a primary may vote for what nobody has.
            let rounds = entry.asked / self.cluster.size();
            entry.asked = entry.asked.saturating_add(1);
            entry.below_stable = entry.below_stable.saturating_add(u32::from(position.number <= stable));
            entry.next_ask = now.after(interval.saturating_mul(1 << rounds.min(5)));
            let asked = entry.asked;
            if let Some(peer) = self.peer_to_ask(position, asked) {
                self.fetch(peer, Wanted::Chain { above, sequence_number: position.number, digest: position.digest });
            }
        }
    }

    /// Batches above this position are worth having.
    fn fetched_from(&self) -> SequenceNumber {
        let decided = self.chain.decided();
        self.transfer.covers(&self.cluster, decided).unwrap_or_default().max(decided)
    }

    pub(super) fn fetch_at(&self) -> Option<Time> {
        self.catch_up.missing.values().map(|missing| missing.next_ask).min()
    }

    fn peer_to_ask(&self, position: Position, asked: u32) -> Option<ReplicaId> {
        let n = u64::from(self.cluster.size());
        let others = n.checked_sub(1).filter(|others| *others > 0)?;
        let step = (position.number.get() % others + u64::from(asked)) % others;
        u32::try_from((u64::from(self.me.get()) + 1 + step) % n).ok().map(ReplicaId::new)
    }

    pub(super) fn fetch(&mut self, peer: ReplicaId, wanted: Wanted) {
        let fetch = Fetch { replica: self.me, ordinal: self.next_ordinal(), wanted, signature: RawSignature::ZERO };
        self.send_signed(Recipients::Replica(peer), Message::Fetch(fetch));
    }
}
