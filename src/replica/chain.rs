//! Headers and batches, linked by digest; and the decided part of them, the log.

use super::promises::Position;
use crate::ids::{Digest, SequenceNumber};
use crate::message::Block;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

struct Held {
    block: Arc<Block>,
    /// Some record that was written holds it. (D1)
    recorded: bool,
}

/// Whether a position's chain is held down to the decided log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Everything is held.
    Whole,
    /// This is the highest block that is missing.
    Missing(Position),
    /// The chain leaves the decided log, or its numbers don't fit: it can never be decided.
    Conflict,
}

/// Bound: one block per position of the log window; above the decided end also what was prepared in views that decided nothing, and
/// what the present view's primary proposed, at most two pipelines of each (SPEC 6).
pub(super) struct ChainStore {
    blocks: BTreeMap<Digest, Held>,
    /// Those of them that stand above the decided end.
    open: BTreeMap<SequenceNumber, BTreeSet<Digest>>,
    /// The decided digests, from genesis on.
    log: Vec<Digest>,
    /// For a root whose chain had a gap: where. Still true while that block is not held.
    /// By number and digest: a liar's number for a digest must not stick to that digest's true position.
    /// Positions above the decided end whose chain is known to be held whole.
    whole: BTreeSet<Position>,
    gaps: BTreeMap<Position, Position>,
}

impl ChainStore {
    pub(super) fn new(genesis: Digest) -> Self {
        Self { blocks: BTreeMap::new(), open: BTreeMap::new(), whole: BTreeSet::new(), log: vec![genesis], gaps: BTreeMap::new() }
    }

    pub(super) fn decided(&self) -> SequenceNumber {
        SequenceNumber::new(self.log.len() as u64 - 1)
    }

    /// The decided digest at a position.
    pub(super) fn decided_digest(&self, number: SequenceNumber) -> Option<Digest> {
        self.log.get(usize::try_from(number.get()).ok()?).copied()
    }

    pub(super) fn block(&self, digest: &Digest) -> Option<&Arc<Block>> {
        self.blocks.get(digest).map(|held| &held.block)
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.blocks.contains_key(digest)
    }

    pub(super) fn insert(&mut self, block: Arc<Block>) {
        if block.header.sequence_number > self.decided() {
            self.open.entry(block.header.sequence_number).or_default().insert(block.digest);
            self.blocks.entry(block.digest).or_insert(Held { block, recorded: false });
        }
    }

    /// Is the chain that ends at `root` held down to the decided log? Goes on where an earlier look ended.
    pub(super) fn gap(&mut self, root: Position) -> Gap {
        let mut at = self.gaps.get(&root).copied().unwrap_or(root);
        let gap = loop {
            if self.whole.contains(&at) {
                break Gap::Whole;
            }
            if at.number <= self.decided() {
                break if self.decided_digest(at.number) == Some(at.digest) { Gap::Whole } else { Gap::Conflict };
            }
            match self.blocks.get(&at.digest) {
                None => break Gap::Missing(at),
                Some(held) if held.block.header.sequence_number != at.number => break Gap::Conflict,
                Some(held) => at = Position { number: at.number.minus(1), digest: held.block.header.parent },
            }
        };
        match gap {
            Gap::Missing(at) => {
                // Only a memory of where to go on looking: it may be lost, it may not grow.
                if self.gaps.len() >= 4096 {
                    self.gaps.clear();
                }
                self.gaps.insert(root, at);
            }
            Gap::Whole if root.number > self.decided() => {
                self.gaps.remove(&root);
                self.whole.insert(root);
            }
            _ => {
                self.gaps.remove(&root);
            }
        }
        gap
    }

    /// The digest at `number` on the chain that ends at `from`, as far as that is held.
    pub(super) fn ancestor(&self, from: Position, number: SequenceNumber) -> Option<Digest> {
        let mut at = from;
        loop {
            if at.number == number {
                return Some(at.digest);
            }
            if at.number < number {
                return None;
            }
            if self.decided_digest(at.number) == Some(at.digest) {
                return self.decided_digest(number);
            }
            at = Position { number: at.number.minus(1), digest: self.block(&at.digest)?.header.parent };
        }
    }

    /// The blocks from above `above` up to `to`, lowest first; empty unless all are held, each at its own number, and linked to `above`.
    pub(super) fn path(&self, above: Position, to: Position) -> Vec<Arc<Block>> {
        let mut blocks = Vec::new();
        let mut at = to;
        while at.number > above.number {
            // P1: who signs a vote for (n, d) may lie about n.
            let Some(block) = self.block(&at.digest).filter(|block| block.header.sequence_number == at.number) else { return Vec::new() };
            blocks.push(block.clone());
            at = Position { number: at.number.minus(1), digest: block.header.parent };
        }
        if at != above {
            return Vec::new();
        }
        blocks.reverse();
        blocks
    }

    /// Up to `bytes_max` of blocks from `top` down to but without `above`.
    pub(super) fn downwards(&self, top: Position, above: SequenceNumber, bytes_max: u64) -> Vec<Arc<Block>> {
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        let mut bytes = 0;
        let mut at = top;
        while at.number > above && blocks.len() < 4096 {
            let Some(block) = self.block(&at.digest) else { break };
            bytes += crate::message::batch_size(&block.batch) + 88;
            if bytes > bytes_max && !blocks.is_empty() {
                break;
            }
            blocks.push(block.clone());
            at = Position { number: at.number.minus(1), digest: block.header.parent };
        }
        blocks
    }

    // D1
    /// The blocks of the chain that ends at `to` which no record holds yet, lowest first; they count as recorded from now on.
    pub(super) fn take_unrecorded(&mut self, to: Position) -> Vec<Arc<Block>> {
        let mut blocks = Vec::new();
        let mut next = to.digest;
        while let Some(held) = self.blocks.get_mut(&next).filter(|held| !held.recorded) {
            held.recorded = true;
            next = held.block.header.parent;
            blocks.push(held.block.clone());
        }
        blocks.reverse();
        blocks
    }

    /// Appends to the decided log. What else stood at that position can never be decided, and goes.
    pub(super) fn decide(&mut self, digest: Digest) {
        self.log.push(digest);
        self.whole.clear();
        for other in self.open.remove(&self.decided()).unwrap_or_default() {
            if other != digest {
                self.blocks.remove(&other);
            }
        }
        // I18: nobody asks for these any more; a replica that lags through a long view would gather them.
        let decided = self.decided();
        self.gaps.retain(|root, _| root.number > decided);
    }

    /// Drops the blocks above the decided end that lie off the chains of all `roots`.
    /// Where a root's chain has a gap, everything stays: unknown is kept. (C2) A root that can never be decided keeps nothing.
    pub(super) fn prune(&mut self, roots: &[Position], decided_end: Position) {
        let mut keep = BTreeSet::new();
        for root in roots {
            match self.gap(*root) {
                Gap::Whole => keep.extend(self.path(decided_end, *root).iter().map(|block| block.digest)),
                Gap::Missing(_) => return,
                Gap::Conflict => {}
            }
        }
        self.whole.clear();
        // What was learnt about a root may rest on a block that goes now.
        self.gaps.clear();
        let blocks = &mut self.blocks;
        self.open.retain(|_, digests| {
            digests.retain(|digest| {
                let kept = keep.contains(digest);
                if !kept {
                    blocks.remove(digest);
                }
                kept
            });
            !digests.is_empty()
        });
    }

    /// On leaving a view: drops the blocks above the decided end that no own vote binds this replica to keep, unless they lead to `roots`.
    pub(super) fn drop_unrecorded(&mut self, roots: &[Position]) {
        let mut keep = BTreeSet::new();
        for root in roots {
            let mut next = root.digest;
            while let Some(held) = self.blocks.get(&next).filter(|held| held.block.header.sequence_number > self.decided()) {
                keep.insert(next);
                next = held.block.header.parent;
            }
        }
        let blocks = &mut self.blocks;
        self.open.retain(|_, digests| {
            digests.retain(|digest| {
                let kept = keep.contains(digest) || blocks.get(digest).is_some_and(|held| held.recorded);
                if !kept {
                    blocks.remove(digest);
                }
                kept
            });
            !digests.is_empty()
        });
        self.whole.clear();
        self.gaps.clear();
    }

    /// The blocks above the decided end.
    pub(super) fn open(&self) -> impl Iterator<Item = Digest> {
        self.open.values().flatten().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }
}
