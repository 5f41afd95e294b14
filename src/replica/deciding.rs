//! The chain that ends in the highest commit certificate is decided, and what can't be decided any more goes. (P5, C2)

use super::chain::Gap;
use super::promises::Position;
use super::{Broken, Replica};
use crate::event::Event;
use crate::ids::ClientId;
use crate::message::{Block, Rank, VoteKind};
use crate::outbox::Output;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

impl Replica {
    pub(super) fn decided_end(&self) -> Position {
        let number = self.chain.decided();
        Position { number, digest: self.chain.decided_digest(number).unwrap_or_default() }
    }

    /// Where the log is known to be decided to: the highest commit certificate, or a stable checkpoint.
    pub(super) fn decided_target(&self) -> Option<Position> {
        let stable = Some(self.stable()).filter(|stable| stable.number > self.chain.decided());
        self.ordering.target.as_ref().map(Position::of).into_iter().chain(stable).max_by_key(|position| position.number)
    }

    // P5
    /// Decides the whole chain that ends in the highest commit certificate, as soon as it is held.
    pub(super) fn decide(&mut self) -> Result<(), Broken> {
        let Some(end) = self.decided_target() else { return Ok(()) };
        if end.number <= self.chain.decided() {
            return match self.chain.decided_digest(end.number) {
                Some(digest) if digest != end.digest => {
                    Err(Broken("I1: a commit certificate against the decided log: more than f replicas are faulty"))
                }
                _ => Ok(()),
            };
        }
        // I18: a service that is a whole window behind is not given more to do, and while its state is replaced it is given nothing.
        // Nor does it decide beyond its own window, since nothing that is decided above a stable checkpoint may be dropped: it hears of the next one.
        let room = self.execution.executed().plus(self.cluster.log_window()).min(self.cluster.window_end(self.stable().number));
        let may_decide = !self.execution.installing && self.checkpoints.diverged.is_none() && !self.disk_is_behind();
        if self.chain.decided() >= room || !may_decide {
            return Ok(());
        }
        match self.chain.gap(end) {
            Gap::Missing(_) | Gap::Forgotten => return Ok(()),
            Gap::Conflict => return Err(Broken("I1: a commit certificate against the decided log: more than f replicas are faulty")),
            Gap::Whole => {}
        }
        let mut blocks = self.chain.path(self.decided_end(), end);
        blocks.truncate(blocks.partition_point(|block| block.header.sequence_number <= room));
        // D1: what was not voted for is not on record yet. A part each time, as the disk follows.
        let unrecorded: Vec<Arc<Block>> = blocks.iter().filter(|block| self.chain.record_of(&block.digest).is_none()).cloned().collect();
        self.record_part(&unrecorded);
        let rank = self.ordering.target.as_ref().map_or(Rank::default(), |target| target.rank());
        // D1: before a reply leaves, `high` of at least this rank is recorded.
        if self.promises.recorded_high() < rank {
            if let Some(write) = self.promises.record_high() {
                self.outputs.push(Output::Write(write));
            }
        }
        for block in blocks {
            let Some(record) = self.chain.record_of(&block.digest) else { break };
            self.decide_block(block, record);
        }
        let decided = self.chain.decided();
        self.forget_settled();
        // I18: the stable checkpoint may have been known before.
        self.forget_blocks();
        self.ordering.accepted.forget_below(decided.next());
        self.prune();
        Ok(())
    }

    // C2
    /// Drops blocks that no chain of this view needs, once it has a certificate.
    pub(super) fn prune(&mut self) {
        if self.promises.high().rank.view == self.promises.view() {
            // The common case: nothing is held but one chain.
            if !self.chain.is_one_chain(self.ordering.head) {
                let roots = self.live_roots();
                self.chain.prune(&roots);
            }
        }
    }

    /// What blocks above the decided end are kept for.
    fn live_roots(&self) -> Vec<Position> {
        let high = self.promises.high();
        let mut roots = vec![self.ordering.head, Position { number: high.rank.sequence_number, digest: high.digest }];
        let primary = self.primary();
        roots.extend(
            self.votes
                .slots_from(self.chain.decided().next())
                .filter_map(|(number, slot)| slot.vote_of(VoteKind::Prepare, primary).map(|(digest, _)| Position { number, digest }))
                .filter(|position| self.chain.holds(&position.digest)),
        );
        roots
    }

    fn decide_block(&mut self, block: Arc<Block>, record: u64) {
        self.note_wait(block.header.sequence_number);
        let executes = self.sessions.decide(&block);
        self.chain.decide(block.digest);
        match &block.batch[..] {
            [only] => self.settle(only.client),
            several => {
                let mut clients: Vec<ClientId> = several.iter().map(|request| request.client).collect();
                clients.sort_unstable();
                clients.dedup();
                clients.into_iter().for_each(|client| self.settle(client));
            }
        }
        let requests = executes.iter().filter(|executes| **executes).count();
        let (oldest, interval) = (self.pool.oldest(), self.cluster.checkpoint_interval());
        self.timers.decided(self.now, requests, oldest, interval);
        if self.promises.want() <= self.promises.view() {
            self.timers.decided_in_time(block.header.sequence_number, oldest);
        }
        self.pace.decided(self.now, oldest, interval);
        self.event(Event::Decided { sequence_number: block.header.sequence_number, digest: block.digest, requests });
        self.execute(block, executes, record);
    }

    /// What of a client's is decided now waits no more, and is not under way any more.
    fn settle(&mut self, client: ClientId) {
        let last = self.sessions.last(&client);
        self.pool.settle(client, last, self.now);
        if self.ordering.proposed.get(&client).is_some_and(|proposed| *proposed <= last) {
            self.ordering.proposed.remove(&client);
        }
    }
}
