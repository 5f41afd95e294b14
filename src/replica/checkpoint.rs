//! Checkpoints: votes on the state, the window that follows them, and a state that nobody shares. (C1, C2, C4)

use super::usage::CHECKPOINT_VOTE_BYTES;
use super::{Broken, Disposition, Replica, Step, Why};
use crate::event::Event;
use crate::ids::{RawSignature, ReplicaId, SequenceNumber};
use crate::manifest::Manifest;
use crate::message::{Block, Checkpoint, CheckpointCertificate, CheckpointVote, Message};
use crate::outbox::{AppCommand, Output};
use crate::wire::Bounded;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

type Ballots = BTreeMap<ReplicaId, (Checkpoint, RawSignature)>;

/// Bound: one vote per member for each checkpoint of the log window, at most 1024 of them; the manifests of the own snapshots from the
/// last but one stable checkpoint on, or from those of the last window that were read, which are at most two windows' and two.
#[derive(Clone, Default)]
pub(super) struct Checkpoints {
    pub(super) votes: BTreeMap<SequenceNumber, Ballots>,
    /// What the service has a snapshot of.
    pub(super) snapshots: BTreeMap<SequenceNumber, Manifest>,
    /// Those of which others have read.
    reads: BTreeSet<SequenceNumber>,
    /// Where votes were last found that can't agree any more.
    disagreed: SequenceNumber,
    /// The own state at this position is not the quorum's: nothing is voted on before it is replaced. (C4)
    pub(super) diverged: Option<SequenceNumber>,
}

impl Checkpoints {
    pub(super) fn new(snapshots: impl Iterator<Item = Manifest>) -> Self {
        Self { snapshots: snapshots.map(|manifest| (manifest.sequence_number, manifest)).collect(), ..Self::default() }
    }

    pub(super) fn holds_snapshot(&self, number: SequenceNumber) -> bool {
        self.snapshots.contains_key(&number)
    }

    // D2
    /// Is there a durable snapshot at this position or above?
    pub(super) fn has_snapshot_from(&self, number: SequenceNumber) -> bool {
        self.snapshots.range(number..).next().is_some()
    }

    pub(super) fn snapshot(&self, number: SequenceNumber) -> Option<&Manifest> {
        self.snapshots.get(&number)
    }

    pub(super) fn keep_snapshot(&mut self, manifest: Manifest) {
        self.snapshots.insert(manifest.sequence_number, manifest);
    }

    // C2
    /// Another reads of this snapshot.
    pub(super) fn note_read(&mut self, number: SequenceNumber) {
        self.reads.insert(number);
    }

    /// Lets go of what lies below `former`, but not of what was read and lies at `reach` or above, nor of what is above that: a service keeps all from one
    /// position on. From which?
    fn let_go(&mut self, former: SequenceNumber, reach: SequenceNumber) -> SequenceNumber {
        self.reads = self.reads.split_off(&reach);
        let from = self.reads.first().map_or(former, |read| former.min(*read));
        self.snapshots = self.snapshots.split_off(&from);
        from
    }

    /// The own vote at a position, as others are told it.
    pub(super) fn vote_of(&self, number: SequenceNumber, replica: ReplicaId) -> Option<CheckpointVote> {
        let (checkpoint, signature) = self.votes.get(&number)?.get(&replica).copied()?;
        Some(CheckpointVote { checkpoint, replica, signature })
    }

    /// Bytes of votes and manifests.
    pub(super) fn bytes(&self) -> u64 {
        let votes: usize = self.votes.values().map(BTreeMap::len).sum();
        let parts: u64 = self.snapshots.values().map(|manifest| u64::from(manifest.chunk_count())).sum();
        votes as u64 * CHECKPOINT_VOTE_BYTES + parts * 32
    }
}

impl Replica {
    /// Upon the service's snapshot being durable.
    pub(super) fn on_checkpoint_taken(&mut self, manifest: Manifest) -> Step {
        let number = manifest.sequence_number;
        let Some((log_digest, sessions)) = self.execution.ordered.remove(&number) else {
            return Ok(Disposition::Ignored(Why::NotNeeded));
        };
        if manifest.log_digest != log_digest || manifest.sessions.0 != sessions {
            return Err(Broken("C1: the service's manifest is not of the snapshot that was ordered"));
        }
        if self.checkpoints.diverged.is_some_and(|at| at <= number) {
            // C4: of the wrong state.
            return Ok(Disposition::Applied);
        }
        let checkpoint = Checkpoint { sequence_number: number, log_digest, state: manifest.state(&self.cluster.id()) };
        if !self.fits_message(&manifest) {
            self.event(Event::SnapshotTooLarge { sequence_number: number, chunks: manifest.chunk_count() });
        }
        self.checkpoints.keep_snapshot(manifest);
        self.compare_with_stable(&checkpoint)?;
        self.vote_on_checkpoint(checkpoint)?;
        Ok(Disposition::Applied)
    }

    /// Can others be given this manifest?
    pub(super) fn fits_message(&self, manifest: &Manifest) -> bool {
        u64::from(manifest.chunk_count()) * 32 <= u64::from(self.cluster.limits().message_bytes_max) - 1024
    }

    // C1
    /// In whatever mode; but not twice, and not with a state that is known to be wrong.
    fn vote_on_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Broken> {
        let number = checkpoint.sequence_number;
        if number <= self.stable().number || !self.may_vote() {
            return Ok(());
        }
        match self.promises.checkpoints.get(&number) {
            Some(said) if *said == checkpoint => Ok(()),
            // Executed again after a restart, with another result: the service is not deterministic.
            Some(_) => {
                self.diverge(number);
                Ok(())
            }
            None => {
                let write = self.promises.promise_checkpoint(checkpoint)?;
                self.outputs.push(Output::Write(write));
                Ok(())
            }
        }
    }

    /// Snapshots for which no vote was cast when they were taken: the replica was silent, or crashed before.
    pub(super) fn vote_on_snapshots(&mut self) -> Result<(), Broken> {
        if !self.may_vote() {
            return Ok(());
        }
        let stable = self.stable().number;
        // With each step: mostly there is none above the stable one.
        if self.checkpoints.snapshots.last_key_value().is_none_or(|(last, _)| *last <= stable) {
            return Ok(());
        }
        let group = self.cluster.id();
        let late: Vec<Checkpoint> = self
            .checkpoints
            .snapshots
            .range(stable.next()..)
            .filter(|(number, _)| !self.promises.checkpoints.contains_key(number))
            .map(|(number, manifest)| Checkpoint {
                sequence_number: *number,
                log_digest: manifest.log_digest,
                state: manifest.state(&group),
            })
            .collect();
        late.into_iter().try_for_each(|checkpoint| self.vote_on_checkpoint(checkpoint))
    }

    /// Upon receiving a vote over the network.
    pub(super) fn on_other_checkpoint_vote(&mut self, vote: &CheckpointVote) -> Step {
        if vote.replica != self.me {
            return self.on_checkpoint_vote(vote);
        }
        // Its own words come back to it, or somebody else's in its name.
        let said = self.promises.checkpoints.get(&vote.checkpoint.sequence_number);
        if said.is_some_and(|said| *said != vote.checkpoint) {
            self.report_impersonation();
        }
        Ok(Disposition::Ignored(Why::NotMine))
    }

    /// Upon a vote, of another or the own one that is durable and signed.
    pub(super) fn on_checkpoint_vote(&mut self, vote: &CheckpointVote) -> Step {
        let number = vote.checkpoint.sequence_number;
        if let Some(first) = self.checkpoint_said(number, vote.replica).filter(|(first, _)| first.contradicts(&vote.statement())) {
            self.accuse_of(vote.replica, first, (vote.statement(), vote.signature))?;
            return Ok(Disposition::Ignored(Why::Contradiction));
        }
        if number <= self.stable().number {
            return Ok(Disposition::Ignored(Why::Stale));
        }
        if number > self.cluster.window_end(self.stable().number) {
            return Ok(Disposition::Ignored(Why::FarAhead));
        }
        let ballots = self.checkpoints.votes.entry(number).or_default();
        if ballots.contains_key(&vote.replica) {
            return Ok(Disposition::Ignored(Why::Duplicate));
        }
        ballots.insert(vote.replica, (vote.checkpoint, vote.signature));
        self.count_checkpoint(vote.checkpoint)?;
        Ok(Disposition::Applied)
    }

    fn count_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Broken> {
        let number = checkpoint.sequence_number;
        let (quorum, size) = (self.quorum(), self.cluster.size() as usize);
        let Some(ballots) = self.checkpoints.votes.get(&number) else { return Ok(()) };
        let signatures: Vec<_> = ballots
            .iter()
            .filter(|(_, (voted, _))| *voted == checkpoint)
            .map(|(replica, (_, signature))| (*replica, *signature))
            .take(quorum)
            .collect();
        if signatures.len() >= quorum {
            self.on_stable(CheckpointCertificate { checkpoint, signatures: Bounded(signatures) })?;
            return Ok(());
        }
        let mut counts: BTreeMap<Checkpoint, usize> = BTreeMap::new();
        ballots.values().for_each(|(voted, _)| *counts.entry(*voted).or_default() += 1);
        let most = counts.values().max().copied().unwrap_or_default();
        if most + (size - ballots.len()) < quorum && number > self.checkpoints.disagreed {
            self.checkpoints.disagreed = number;
            self.event(Event::NoAgreement { sequence_number: number, states: counts.len() });
        }
        Ok(())
    }

    // C2
    /// Upon a quorum's votes, collected here or by somebody else.
    pub(super) fn on_stable(&mut self, certificate: CheckpointCertificate) -> Step {
        self.compare_checkpoint_certificate(&certificate)?;
        let checkpoint = certificate.checkpoint;
        let number = checkpoint.sequence_number;
        let before = self.stable().number;
        if number <= before {
            let held = self.promises.stable.as_ref().map(|stable| stable.checkpoint);
            if held.is_some_and(|held| held.sequence_number == number && held != checkpoint) {
                return Err(Broken("I12: two stable checkpoints at one position: more than f replicas are faulty"));
            }
            return Ok(Disposition::Ignored(Why::Stale));
        }
        if self.chain.decided_digest(number).is_some_and(|digest| digest != checkpoint.log_digest) {
            return Err(Broken("I1: a stable checkpoint against the decided log: more than f replicas are faulty"));
        }
        let said = self.promises.checkpoints.get(&number).copied();
        self.promises.stabilize(&certificate)?;
        self.checkpoints.votes = self.checkpoints.votes.split_off(&number.next());
        self.event(Event::Stable { sequence_number: number, state: checkpoint.state });
        let group = self.cluster.id();
        let own = self.checkpoints.snapshot(number).map(|manifest| Checkpoint { state: manifest.state(&group), ..checkpoint }).or(said);
        own.map_or(Ok(()), |own| self.compare_with_stable(&own))?;
        // The snapshot before this one stays for those who are about to fetch it; one of which somebody has read for as long as who has it then can go on by
        // batches. How long ago that was says nothing: a question may take long, and who has the state needs the batches above it.
        let reach = number.minus(self.cluster.log_window());
        let from = self.checkpoints.let_go(before, reach);
        self.execution.ordered = self.execution.ordered.split_off(&number);
        self.outputs.push(Output::App(AppCommand::DiscardBefore(from)));
        self.ordering.window_closed = false;
        self.forget_blocks();
        self.promises.log.restate_soon();
        Ok(Disposition::Applied)
    }

    // C2
    /// Decided blocks go, late by a retention that serves laggards, and not those above a snapshot that is kept since it was read.
    pub(super) fn forget_blocks(&mut self) {
        let stable = self.stable().number;
        let limit = stable.minus(self.tuning.retention);
        let limit = self.checkpoints.reads.first().map_or(limit, |read| limit.min(*read));
        self.chain.forget(limit, stable, self.tuning.retention_bytes_max);
    }

    // C4
    /// The service's snapshot at the stable checkpoint, if it has one, may be another than the quorum's: found before a crash, or never.
    pub(super) fn compare_snapshot_with_stable(&mut self) -> Result<(), Broken> {
        let stable = self.stable();
        let group = self.cluster.id();
        let own = self.checkpoints.snapshot(stable.number).map(|manifest| Checkpoint {
            sequence_number: stable.number,
            log_digest: manifest.log_digest,
            state: manifest.state(&group),
        });
        own.map_or(Ok(()), |own| self.compare_with_stable(&own))
    }

    // C4
    fn compare_with_stable(&mut self, own: &Checkpoint) -> Result<(), Broken> {
        let Some(stable) = self.promises.stable.as_ref().map(|stable| stable.checkpoint) else { return Ok(()) };
        if own.sequence_number != stable.sequence_number || *own == stable {
            return Ok(());
        }
        if own.log_digest != stable.log_digest {
            return Err(Broken("I1: a stable checkpoint against the decided log: more than f replicas are faulty"));
        }
        self.diverge(stable.sequence_number);
        Ok(())
    }

    // C4
    /// The own state is not the others'. It is not voted for, answered from or shown to anybody until it is replaced.
    fn diverge(&mut self, sequence_number: SequenceNumber) {
        if self.checkpoints.diverged.is_none() {
            self.checkpoints.diverged = Some(sequence_number);
            self.event(Event::Diverged { sequence_number });
        }
        self.checkpoints.snapshots.retain(|number, _| *number < sequence_number);
        self.replies.doubt_up_to(self.execution.executed());
    }

    /// Writes one record that restates all that binds, and lets older ones go.
    pub(super) fn write_state(&mut self, say: Vec<Message>) {
        let log = &self.promises.log;
        let (open, decided) = self.chain.bytes();
        let old = self.chain.in_old_records(|place| log.is_old(place, open + decided));
        // I18: a part each time, as the disk follows.
        let is_last = self.record_part(&old);
        let keeps_from = self.chain.oldest_record().map_or(u64::MAX, |place| place.index);
        let write = self.promises.restate(keeps_from, say);
        self.outputs.push(Output::Write(write));
        if !is_last {
            self.promises.log.restate_soon();
        }
    }

    /// Writes a record of the first of these blocks, as many as are within a message's length. Were these all?
    pub(super) fn record_part(&mut self, blocks: &[Arc<Block>]) -> bool {
        let most = u64::from(self.cluster.limits().message_bytes_max);
        let mut bytes = 0;
        let count = blocks.iter().take_while(|block| {
            bytes += super::chain::block_size(block);
            bytes <= most
        });
        let (part, rest) = blocks.split_at(count.count());
        if !part.is_empty() {
            self.chain.recorded(part, self.promises.log.next());
            let write = self.promises.record_blocks(part.to_vec());
            self.outputs.push(Output::Write(write));
        }
        rest.is_empty()
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::super::log_use::RESTATE_BYTES;
    use super::*;
    use crate::cluster::Limits;
    use crate::ids::{Digest, RequestNumber};
    use crate::sim::{builder, client_key, forge::Forge};
    use crate::{AppState, Outbox, Start, Tuning};
    use alloc::vec;

    #[test]
    fn i18_what_is_recorded_anew_in_parts_is_gone_on_with_until_nothing_old_is_left() {
        let limits = Limits {
            message_bytes_max: 106_000,
            batch_bytes_max: 40_400,
            operation_bytes_max: 40_000,
            result_bytes_max: 40_000,
            ..Limits::default()
        };
        let cluster = Arc::new(builder(4, 1).limits(limits).build().expect("a valid cluster"));
        let recovered = Replica::recover(
            cluster.clone(),
            ReplicaId::new(1),
            Tuning::default(),
            Start::New,
            AppState::default(),
            [],
            &mut Outbox::new(),
        );
        let mut replica = recovered.expect("it starts");
        let request = Forge::new(cluster.clone()).request(&client_key(0), RequestNumber::new(1), &[7; 40_000]);
        let place = replica.promises.log.next();
        let blocks: Vec<Arc<Block>> = (1..=3)
            .map(|digest| Arc::new(Block::new(&cluster.id(), SequenceNumber::new(1), Digest::new([digest; 32]), vec![request.clone()])))
            .collect();
        blocks.iter().for_each(|block| replica.chain.insert(block.clone()));
        replica.chain.recorded(&blocks, place);
        replica.promises.log.wrote(2 * RESTATE_BYTES);
        // Two of them fill a record.
        for is_due in [true, false] {
            replica.write_state(Vec::new());
            assert_eq!(replica.promises.log.is_due(), is_due);
            assert_eq!(replica.chain.oldest_record() == Some(place), is_due);
        }
    }
}
