//! Reading a log back: the promises in it, through the same checks by which they were made. (D2)

use super::Broken;
use super::entry::RecoverError;
use super::log_use::LogUse;
use super::promises::{Position, Promises};
use crate::cluster::Cluster;
use crate::ids::{Bytes, ReplicaId, View};
use crate::message::{Block, Claim, Mode};
use crate::record::{Framed, RecordBody, RecordFault, State, read_frame};
use std::sync::Arc;

/// What a log holds.
pub(super) struct Replayed {
    pub(super) promises: Promises,
    /// Every block in it, and the record that it stands in.
    pub(super) blocks: Vec<(u64, Arc<Block>)>,
    /// How many whole records it has.
    pub(super) records: u64,
    /// Something stands behind the last whole record.
    pub(super) torn: bool,
}

struct Reader {
    cluster: Arc<Cluster>,
    me: ReplicaId,
    replayed: Replayed,
    first: Option<u64>,
    next: u64,
    /// All that binds is known: from the first record on, or since a `State`.
    whole: bool,
}

/// Reads all records. `wanted` says which blocks are worth keeping.
pub(super) fn replay(
    cluster: &Arc<Cluster>,
    me: ReplicaId,
    records: impl IntoIterator<Item = (u64, Bytes)>,
    wanted: impl Fn(&Block) -> bool,
) -> Result<Replayed, RecoverError> {
    let promises = Promises::new(cluster.clone(), me);
    let replayed = Replayed { promises, blocks: Vec::new(), records: 0, torn: false };
    let mut reader = Reader { cluster: cluster.clone(), me, replayed, first: None, next: 0, whole: false };
    let mut records = records.into_iter().peekable();
    while let Some((index, bytes)) = records.next() {
        let is_last = records.peek().is_none();
        reader.read(index, &bytes, is_last, &wanted).map_err(|fault| RecoverError::Record { index, fault })?;
    }
    reader.finish()
}

impl Reader {
    fn read(&mut self, index: u64, bytes: &[u8], is_last: bool, wanted: &impl Fn(&Block) -> bool) -> Result<(), RecordFault> {
        if self.first.is_some() && index != self.next {
            return Err(RecordFault::Gap(self.next));
        }
        let body = match read_frame(&self.cluster.id(), self.me, index, bytes)? {
            Framed::Whole(body) => *body,
            // D2: only what was never synced can be cut off, and nothing was promised on it.
            Framed::Torn if is_last => {
                self.replayed.torn = true;
                return Ok(());
            }
            Framed::Torn => return Err(RecordFault::CutOff),
        };
        self.first = self.first.or(Some(index));
        self.next = index.saturating_add(1);
        self.replayed.records += 1;
        self.whole |= index == 0;
        match body {
            RecordBody::State(state) => {
                if self.first.is_some_and(|first| first > state.keeps_from) {
                    return Err(RecordFault::Gap(state.keeps_from));
                }
                self.whole = true;
                // What the log may have let go of since is not built on again, even if it is still there.
                self.replayed.blocks.retain(|(index, _)| *index >= state.keeps_from);
                self.replayed.promises.resume(*state, self.next);
            }
            body => {
                if self.whole {
                    self.replayed.promises.replay(index, &body).map_err(|Broken(reason)| RecordFault::DoesNotFollow(reason))?;
                }
                if let RecordBody::Prepare { blocks, .. } | RecordBody::Blocks { blocks } = body {
                    for mut block in blocks {
                        if !Arc::make_mut(&mut block).compute_digests(&self.cluster.id()) {
                            return Err(RecordFault::DoesNotFollow("a batch does not hash to what its header says"));
                        }
                        if wanted(&block) {
                            self.replayed.blocks.push((index, block));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Replayed, RecoverError> {
        if let Some(first) = self.first.filter(|_| !self.whole) {
            return Err(RecoverError::Record { index: first, fault: RecordFault::Gap(0) });
        }
        self.replayed.promises.log = LogUse::resume(self.next);
        self.replayed.promises.standing = self.next;
        Ok(self.replayed)
    }
}

impl Promises {
    fn resume(&mut self, state: State, next: u64) {
        self.log = LogUse::resume(next);
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

    // D2: the log is the history of one correct replica, or it is damaged.
    fn replay(&mut self, index: u64, body: &RecordBody) -> Result<(), Broken> {
        match body {
            RecordBody::Started | RecordBody::Rejoining { .. } if index > 0 => Err(Broken("the first record of a log, in the middle")),
            RecordBody::Started => Ok(()),
            RecordBody::Rejoining { nonce } => {
                self.rejoining = Some(*nonce);
                Ok(())
            }
            _ if index == 0 => Err(Broken("not the first record of a log")),
            RecordBody::Prepare { view, sequence_number, digest, .. } => {
                self.own_view(*view)?;
                self.prepare((*sequence_number, *digest).into())
            }
            RecordBody::Commit { certificate } => {
                // What was decided meanwhile is not in the log: a commit may come again.
                let known = self.committed.remove(&certificate.sequence_number);
                if known.is_some_and(|digest| digest != certificate.digest) {
                    return Err(Broken("P3: two commits at one position"));
                }
                self.commit(certificate)
            }
            RecordBody::ViewChange { promise } => {
                promise.certificate.iter().try_for_each(|certificate| self.raise(certificate))?;
                self.leave(promise)
            }
            RecordBody::NewView { promise } => self.begin(promise),
            RecordBody::Base { view, base_number, base_digest, high, .. } => {
                let base = Position { number: *base_number, digest: *base_digest };
                if *view == self.view && self.mode == Mode::Normal {
                    let _ = self.rebase(base)?;
                } else {
                    let _ = self.enter(*view, base, None)?;
                }
                high.iter().try_for_each(|certificate| self.raise(certificate))?;
                self.recorded_high = self.high.rank;
                Ok(())
            }
            RecordBody::High { certificate } => {
                self.raise(certificate)?;
                self.recorded_high = self.high.rank;
                Ok(())
            }
            RecordBody::Checkpoint { checkpoint } => self.checkpoint(*checkpoint),
            RecordBody::Wish { view } => self.wish_for(*view),
            RecordBody::Blocks { .. } | RecordBody::State(_) => Ok(()),
        }
    }

    fn own_view(&self, view: View) -> Result<(), Broken> {
        if view == self.view { Ok(()) } else { Err(Broken("a vote of another view")) }
    }
}
