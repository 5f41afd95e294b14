//! What needs the replica's own books to be judged before a signature is: the rest is the [`Screen`](crate::Screen)'s. (SPEC 3.6)

use super::Replica;
use crate::message::{Chain, CheckpointVote, Message, Request, Vote, VoteKind, header_digest};
use crate::screen::Screened;
use crate::verify::Unverified;

impl Replica {
    /// Is it worth verifying? Looks where a [`Screen`](crate::Screen) can't: into the requests that wait, the batches that are missing, the checkpoint
    /// votes that are held. Advice, as that is: `step` checks again. For the thread that steps; no signature is checked.
    ///
    /// # Errors
    /// [`Screened`] says why not.
    pub fn needs(&self, unverified: &Unverified) -> Result<(), Screened> {
        match &unverified.message {
            Message::Request(request) => self.needs_request(request),
            Message::Chain(chain) => self.needs_chain(chain),
            Message::Checkpoint(vote) => self.needs_checkpoint(vote),
            _ => Ok(()),
        }
    }

    // S1, T1
    /// One request of a number is held, whatever else its client has signed for that.
    fn needs_request(&self, request: &Request) -> Result<(), Screened> {
        let last = self.sessions.last(&request.client);
        if request.number <= last {
            return if self.may_repeat_reply(request.client, request.number) { Ok(()) } else { Err(Screened::Stale) };
        }
        if request.number > last.plus(2 * u64::from(self.cluster.limits().client_window)) {
            return Err(Screened::FarAhead);
        }
        if self.pool.holds(&request.client, request.number) {
            return Err(Screened::Duplicate);
        }
        if self.pool.has_room(request, last, self.cluster.limits(), self.pool_capacity()) { Ok(()) } else { Err(Screened::NoRoom) }
    }

    // P5, T2
    /// A chain holds a whole batch of clients' signatures for each of its blocks, and anybody may put a true vote or certificate before any blocks.
    fn needs_chain(&self, chain: &Chain) -> Result<(), Screened> {
        let group = self.cluster.id();
        let top = chain.blocks.first().map(|block| header_digest(&group, &block.header));
        let (view, decided) = (self.promises.view(), self.chain.decided());
        let settled = self.ordering.target.as_ref().map_or(decided, |target| target.sequence_number.max(decided));
        let proves = chain.certificate.as_ref().is_some_and(|certificate| {
            let is_news = certificate.view > view
                || certificate.rank() > self.promises.high().rank
                || (certificate.kind == VoteKind::Commit && certificate.sequence_number > settled);
            is_news && top.is_none_or(|top| top == certificate.digest)
        });
        let votes = chain.vote.as_ref().is_some_and(|vote| {
            let is_open = vote.view == view && vote.sequence_number > decided;
            is_open && top.is_none_or(|top| top == vote.digest && self.needs_proposal(vote))
        });
        if proves || votes {
            return Ok(());
        }
        let is_missing = chain.blocks.iter().any(|block| self.catch_up.is_missing(&header_digest(&group, &block.header)));
        if is_missing { Ok(()) } else { Err(Screened::NotNeeded) }
    }

    /// Is it the primary's, and not known, or its block not held?
    fn needs_proposal(&self, vote: &Vote) -> bool {
        let primary = self.primary();
        let voted = self.votes.slot(vote.sequence_number).and_then(|slot| slot.vote_of(VoteKind::Prepare, primary));
        vote.replica == primary
            && match voted {
                Some((digest, _)) if digest == vote.digest => !self.chain.holds(&digest),
                // E: it is a proof.
                Some(_) => !self.primary_is_proved_faulty(),
                None => true,
            }
    }

    // C1
    fn needs_checkpoint(&self, vote: &CheckpointVote) -> Result<(), Screened> {
        let number = vote.checkpoint.sequence_number;
        match self.checkpoints.vote_of(number, vote.replica) {
            Some(held) if held.checkpoint == vote.checkpoint => Err(Screened::Duplicate),
            // E: it is a proof.
            Some(_) => Ok(()),
            None if number > self.cluster.window_end(self.stable().number) => Err(Screened::FarAhead),
            None => Ok(()),
        }
    }
}
