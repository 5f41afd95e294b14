//! Reading a log back: the promises in it, through the same checks by which they were made. (D2)

use super::Broken;
use super::entry::RecoverError;
use super::log_use::LogUse;
use super::promises::{Position, Promises, ensure};
use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::ids::{Bytes, Digest, ReplicaId, SequenceNumber};
use crate::message::{Block, Checkpoint, CheckpointCertificate, Claim, Mode};
use crate::record::{Framed, RecordBody, RecordFault, State, read_frame};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a log holds.
pub(super) struct Replayed {
    pub(super) promises: Promises,
    /// Every block in it, and the record that it stands in.
    pub(super) blocks: Vec<(u64, Arc<Block>)>,
    /// How many whole records it has.
    pub(super) records: u64,
}

struct Reader {
    cluster: Arc<Cluster>,
    me: ReplicaId,
    replayed: Replayed,
    first: Option<u64>,
    next: u64,
    /// All that binds is known: from the first record on, or since a `State`.
    whole: bool,
    /// The last `State` needs blocks of records from here on, and the log begins above it.
    owed: Option<u64>,
    executed: SequenceNumber,
    retention: u64,
}

/// Reads all records. `executed` is where the service is; `retention` says how far below it and the stable checkpoint blocks are worth keeping.
pub(super) fn replay(
    cluster: &Arc<Cluster>,
    me: ReplicaId,
    records: impl IntoIterator<Item = (u64, Bytes)>,
    executed: SequenceNumber,
    retention: u64,
) -> Result<Replayed, RecoverError> {
    let promises = Promises::new(cluster.clone(), me);
    let replayed = Replayed { promises, blocks: Vec::new(), records: 0 };
    let cluster = cluster.clone();
    let mut reader = Reader { cluster, me, replayed, first: None, next: 0, whole: false, owed: None, executed, retention };
    let mut records = records.into_iter().peekable();
    while let Some((index, bytes)) = records.next() {
        let is_last = records.peek().is_none();
        reader.read(index, &bytes, is_last).map_err(|fault| RecoverError::Record { index, fault })?;
    }
    reader.finish()
}

impl Reader {
    // C2
    /// What a replica holds while it runs, it has again after a restart: all above the stable checkpoint, also what its service has executed.
    fn is_wanted(&self, block: &Block) -> bool {
        block.header.sequence_number > self.replayed.promises.stable().number.min(self.executed).minus(self.retention)
    }

    fn read(&mut self, index: u64, bytes: &[u8], is_last: bool) -> Result<(), RecordFault> {
        if self.first.is_some() && index != self.next {
            return Err(RecordFault::Gap(self.next));
        }
        let body = match read_frame(&self.cluster.id(), self.me, index, bytes)? {
            Framed::Whole(body) => *body,
            // D2: only what was never synced can be cut off, and nothing was promised on it.
            Framed::Torn if is_last => {
                // A log that was shortened begins with whole records: where this one would be the first, those before it are lost.
                let lost = self.first.is_none() && index > 0;
                return if lost { Err(RecordFault::Gap(0)) } else { Ok(()) };
            }
            Framed::Torn => return Err(RecordFault::CutOff),
        };
        self.first = self.first.or(Some(index));
        self.next = index.saturating_add(1);
        self.replayed.records += 1;
        self.promise(index, &body).map_err(|Broken(reason)| RecordFault::DoesNotFollow(reason))?;
        match body {
            RecordBody::Blocks { blocks } => self.blocks(index, blocks, None),
            RecordBody::Prepare { digest, blocks, .. } => self.blocks(index, blocks, Some(digest)),
            _ => Ok(()),
        }
        .map_err(RecordFault::DoesNotFollow)
    }

    /// Keeps a record's blocks, of which the last is the one that is voted for.
    fn blocks(&mut self, index: u64, blocks: Vec<Arc<Block>>, voted: Option<Digest>) -> Result<(), &'static str> {
        let mut last = None;
        for block in blocks {
            last = Some(block.digest);
            if self.is_wanted(&block) {
                self.replayed.blocks.push((index, block));
            }
        }
        match last.zip(voted) {
            Some((last, voted)) if last != voted => Err("D1: a vote on another block than its record holds"),
            _ => Ok(()),
        }
    }

    /// Takes what a record says; before all that binds is known, only what it is.
    fn promise(&mut self, index: u64, body: &RecordBody) -> Result<(), Broken> {
        let is_beginning = matches!(body, RecordBody::Started | RecordBody::Rejoining { .. });
        ensure(is_beginning || index > 0, "D2: not the first record of a log")?;
        ensure(!is_beginning || index == 0, "D2: the first record of a log, in the middle")?;
        let RecordBody::State(state) = body else {
            self.whole |= is_beginning;
            return if self.whole { self.replayed.promises.replay(body) } else { Ok(()) };
        };
        ensure(state.keeps_from <= index, "D2: it rests on records that come after it")?;
        if self.whole {
            self.replayed.promises.restates(state)?;
        }
        self.whole = true;
        // Not yet a fault: a later one may need no block of what is gone.
        self.owed = self.first.filter(|first| *first > state.keeps_from).map(|_| state.keeps_from);
        // What the log may have let go of since is not built on again, even if it is still there.
        self.replayed.promises.resume(State::clone(state));
        let mut blocks = core::mem::take(&mut self.replayed.blocks);
        blocks.retain(|(index, block)| *index >= state.keeps_from && self.is_wanted(block));
        self.replayed.blocks = blocks;
        Ok(())
    }

    fn finish(mut self) -> Result<Replayed, RecoverError> {
        let missing = if self.whole { self.owed } else { Some(0) };
        if let Some((index, missing)) = self.first.zip(missing) {
            return Err(RecoverError::Record { index, fault: RecordFault::Gap(missing) });
        }
        self.replayed.promises.log = LogUse::resume(self.next);
        self.replayed.promises.standing = self.next;
        Ok(self.replayed)
    }
}

impl Promises {
    fn resume(&mut self, state: State) {
        self.view = state.view;
        self.mode = state.mode;
        self.wish = state.wish;
        self.base = state.base.into();
        self.top = state.top.map(Position::from);
        self.high = state.high.as_ref().map_or_else(|| Claim::genesis(self.cluster.genesis()), |high| high.claim());
        self.high_certificate = state.high;
        self.recorded_high = self.high.rank;
        self.committed = state.commits.into_iter().collect();
        self.view_change = state.view_change;
        self.new_view = state.new_view;
        self.stable = state.stable;
        self.checkpoints = state.checkpoints.into_iter().map(|checkpoint| (checkpoint.sequence_number, checkpoint)).collect();
        self.rejoining = state.rejoining;
    }

    // D2
    /// Does this follow from the records before it? Since they were written certificates may have come, and positions been decided.
    fn restates(&self, state: &State) -> Result<(), Broken> {
        let view = (state.view, state.mode, Position::from(state.base), state.top.map(Position::from));
        ensure(view == (self.view, self.mode, self.base, self.top), "D2: a state in another view, or of other votes")?;
        ensure(state.wish == self.wish, "V1: a state of another wish")?;
        ensure(state.view_change == self.view_change, "D2: a state of another view change")?;
        ensure(state.new_view == self.new_view, "D2: a state of another new view")?;
        let high = state.high.as_ref().map_or_else(|| Claim::genesis(self.cluster.genesis()), Certificate::claim);
        ensure(high.rank > self.high.rank || high == self.high, "P4: high has fallen")?;
        ensure(
            state.commits.iter().all(|(number, digest)| self.committed.get(number) == Some(digest)),
            "D2: a state with a commit that was never made",
        )?;
        let stable = |certificate: &CheckpointCertificate| certificate.checkpoint;
        let (now, before) = (state.stable.as_ref().map(stable), self.stable.as_ref().map(stable));
        let number = |checkpoint: Option<Checkpoint>| checkpoint.map_or(SequenceNumber::default(), |stable| stable.sequence_number);
        ensure(number(now) > number(before) || now == before, "I12: the stable checkpoint has fallen")?;
        let votes = self.checkpoints.range(number(now).next()..).map(|(_, checkpoint)| checkpoint);
        ensure(state.checkpoints.iter().eq(votes), "D2: a state of other votes on checkpoints")?;
        ensure(state.rejoining.is_none() || state.rejoining == self.rejoining, "D2: a log that is lost in the middle")
    }

    // D2: the log is the history of one correct replica, or it is damaged.
    fn replay(&mut self, body: &RecordBody) -> Result<(), Broken> {
        match body {
            RecordBody::Started => Ok(()),
            RecordBody::Rejoining { nonce } => {
                self.rejoining = Some(*nonce);
                Ok(())
            }
            RecordBody::Prepare { view, sequence_number, digest, .. } => {
                ensure(*view == self.view, "P2: a vote of another view")?;
                self.prepare((*sequence_number, *digest).into())
            }
            RecordBody::Commit { certificate } => {
                // What was decided meanwhile is not in the log: a commit may come again.
                let known = self.committed.remove(&certificate.sequence_number);
                ensure(known.is_none_or(|digest| digest == certificate.digest), "P3: two commits at one position")?;
                self.commit(certificate)
            }
            RecordBody::ViewChange { promise } => {
                ensure(promise.replica == self.me, "V2: another replica's view change")?;
                promise.certificate.iter().try_for_each(|certificate| self.raise(certificate))?;
                self.leave(promise)
            }
            RecordBody::NewView { promise } => self.begin(promise),
            RecordBody::Base { view, mode, base_number, base_digest, top, high } => {
                ensure(*mode == Mode::Normal, "V4: a base in a view that has not begun")?;
                let base = Position { number: *base_number, digest: *base_digest };
                if *view == self.view && self.mode == Mode::Normal {
                    let _ = self.rebase(base)?;
                } else {
                    let _ = self.enter(*view, base, None)?;
                }
                ensure(*top == self.top(), "V4: a base with another vote as the highest")?;
                self.replay_high(high.as_ref())
            }
            RecordBody::High { certificate } => self.replay_high(Some(certificate)),
            RecordBody::Checkpoint { checkpoint } => self.checkpoint(*checkpoint),
            RecordBody::Wish { view } => self.wish_for(*view),
            RecordBody::Blocks { .. } | RecordBody::State(_) => Ok(()),
        }
    }

    fn replay_high(&mut self, certificate: Option<&Certificate>) -> Result<(), Broken> {
        certificate.map_or(Ok(()), |certificate| self.raise(certificate))?;
        let said = certificate.map_or_else(|| Claim::genesis(self.cluster.genesis()), Certificate::claim);
        ensure(said == self.high, "P4: high has fallen")?;
        self.recorded_high = self.high.rank;
        Ok(())
    }
}
