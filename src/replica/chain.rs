//! Headers and batches, linked by digest; and the decided part of them, the log.

use super::log_use::Place;
use super::promises::Position;
use super::usage::BLOCK_OVERHEAD;
use crate::ids::{Digest, SequenceNumber};
use crate::looks::look;
use crate::message::{Block, batch_size};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Clone)]
pub(super) struct Held {
    pub(super) block: Arc<Block>,
    /// The record that holds it, or an earlier one. (D1)
    pub(super) recorded: Option<Place>,
}

/// What a block takes at most in a message or a record.
pub(super) fn block_size(block: &Block) -> u64 {
    batch_size(&block.batch) + 88
}

/// What a block counts while it is held.
pub(super) fn held_size(block: &Block) -> u64 {
    batch_size(&block.batch) + BLOCK_OVERHEAD
}

fn lowest_first<'a>(downwards: impl Iterator<Item = &'a Held>) -> Vec<Arc<Block>> {
    let mut blocks: Vec<Arc<Block>> = downwards.map(|held| held.block.clone()).collect();
    blocks.reverse();
    blocks
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
    /// It ends in a part of the decided log that is not held any more.
    Forgotten,
}

/// Bound: decided blocks as far back as the retention says; above the decided end one block per position of the log window, what was
/// prepared in views that decided nothing, and what the present view's primary proposed, at most two pipelines of each (SPEC 6).
#[derive(Clone)]
pub(super) struct ChainStore {
    pub(super) blocks: BTreeMap<Digest, Held>,
    /// Those of them that stand above the decided end.
    open: BTreeSet<Position>,
    /// The decided blocks above this position are held.
    floor: SequenceNumber,
    /// The decided digests from the floor on; never empty.
    log: VecDeque<Digest>,
    /// Positions above the decided end whose chain is known to be held whole.
    whole: BTreeSet<Position>,
    /// For a root whose chain had a gap: where. Still true while that block is not held.
    /// By number and digest: a liar's number for a digest must not stick to that digest's true position.
    gaps: BTreeMap<Position, Position>,
    open_bytes: u64,
    decided_bytes: u64,
    /// Counts whenever blocks go that were not decided.
    gone: u64,
}

impl ChainStore {
    /// Everything up to `decided` is decided and executed; none of its blocks is held.
    pub(super) fn new(decided: Position) -> Self {
        Self {
            blocks: BTreeMap::new(),
            open: BTreeSet::new(),
            floor: decided.number,
            log: VecDeque::from([decided.digest]),
            whole: BTreeSet::new(),
            gaps: BTreeMap::new(),
            open_bytes: 0,
            decided_bytes: 0,
            gone: 0,
        }
    }

    /// Another number whenever less may be held above the decided end.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    pub(super) fn decided(&self) -> SequenceNumber {
        self.floor.plus(self.log.len() as u64 - 1)
    }

    /// The decided blocks above this position are held.
    pub(super) fn floor(&self) -> SequenceNumber {
        self.floor
    }

    /// The decided digest at a position, from the floor up.
    pub(super) fn decided_digest(&self, number: SequenceNumber) -> Option<Digest> {
        self.log.get(usize::try_from(number.get().checked_sub(self.floor.get())?).ok()?).copied()
    }

    fn held(&self, digest: &Digest) -> Option<&Held> {
        look();
        self.blocks.get(digest)
    }

    pub(super) fn block(&self, digest: &Digest) -> Option<&Arc<Block>> {
        self.held(digest).map(|held| &held.block)
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.blocks.contains_key(digest)
    }

    pub(super) fn insert(&mut self, block: Arc<Block>) {
        if block.header.sequence_number > self.decided() && !self.holds(&block.digest) {
            self.open.insert(Position { number: block.header.sequence_number, digest: block.digest });
            self.open_bytes += held_size(&block);
            self.blocks.insert(block.digest, Held { block, recorded: None });
        }
    }

    /// The highest decided block that is not held: what lies at and below it was executed in a former life, or came as a state.
    pub(super) fn below_floor(&self) -> Option<Position> {
        self.log.front().map(|digest| Position { number: self.floor, digest: *digest })
    }

    /// A block that is undecided, or, if it stands right below the floor, a decided one for those who lag.
    pub(super) fn insert_or_deepen(&mut self, block: Arc<Block>) {
        let (number, digest, parent) = (block.header.sequence_number, block.digest, block.header.parent);
        if number > self.decided() {
            self.insert(block);
        } else if number == self.floor && number.get() > 0 && self.log.front() == Some(&digest) {
            self.decided_bytes += held_size(&block);
            self.blocks.insert(digest, Held { block, recorded: None });
            self.log.push_front(parent);
            self.floor = number.minus(1);
        }
    }

    // D2
    /// A block that the log holds.
    pub(super) fn restore(&mut self, block: Arc<Block>, place: Place) {
        let digest = block.digest;
        self.insert_or_deepen(block);
        if let Some(held) = self.blocks.get_mut(&digest) {
            held.recorded = Some(held.recorded.map_or(place, |known| known.min(place)));
        }
    }

    /// Is the chain that ends at `root` held down to the decided log? Goes on where an earlier look ended.
    pub(super) fn gap(&mut self, root: Position) -> Gap {
        if self.whole.contains(&root) {
            return Gap::Whole;
        }
        let mut at = self.gaps.get(&root).copied().unwrap_or(root);
        let gap = loop {
            if self.whole.contains(&at) {
                break Gap::Whole;
            }
            if at.number <= self.decided() {
                break match self.decided_digest(at.number) {
                    Some(digest) if digest == at.digest => Gap::Whole,
                    Some(_) => Gap::Conflict,
                    None => Gap::Forgotten,
                };
            }
            match self.held(&at.digest) {
                None => break Gap::Missing(at),
                Some(held) if held.block.header.sequence_number != at.number => break Gap::Conflict,
                Some(held) => at = Position { number: at.number.minus(1), digest: held.block.header.parent },
            }
        };
        match gap {
            Gap::Missing(_) | Gap::Conflict => {
                // Only a memory of where to go on looking: it may be lost, it may not grow.
                if self.gaps.len() >= 4096 {
                    self.gaps.clear();
                }
                self.gaps.insert(root, at);
            }
            Gap::Whole if root.number > self.decided() => {
                self.gaps.remove(&root);
                // So is every block of it: other roots lead into the same chain.
                let mut at = root;
                while at.number > self.decided() && self.whole.insert(at) {
                    let Some(held) = self.held(&at.digest) else { break };
                    at = Position { number: at.number.minus(1), digest: held.block.header.parent };
                }
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

    /// The lowest block of that path; none as well where it leads through one of which `leads_elsewhere` is known.
    pub(super) fn first_of_path(&self, above: Position, to: Position, leads_elsewhere: impl Fn(Position) -> bool) -> Option<Arc<Block>> {
        let (mut at, mut first) = (to, None);
        while at.number > above.number && (at == to || !leads_elsewhere(at)) {
            let block = self.block(&at.digest).filter(|block| block.header.sequence_number == at.number)?;
            at = Position { number: at.number.minus(1), digest: block.header.parent };
            first = Some(block);
        }
        first.filter(|_| at == above).cloned()
    }

    /// Up to `bytes_max` of blocks from `top` down to but without `above`.
    pub(super) fn downwards(&self, top: Position, above: SequenceNumber, bytes_max: u64) -> Vec<Arc<Block>> {
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        let mut bytes = 0;
        let mut at = top;
        while at.number > above && blocks.len() < 4096 {
            // P1: a block may name a parent of another number than the one before its own. Nobody could read a chain with both.
            let Some(block) = self.block(&at.digest).filter(|block| block.header.sequence_number == at.number) else { break };
            bytes += block_size(block);
            if bytes > bytes_max && !blocks.is_empty() {
                break;
            }
            blocks.push(block.clone());
            at = Position { number: at.number.minus(1), digest: block.header.parent };
        }
        blocks
    }

    /// What is held of the chain that ends at `from`, downwards, above `above`.
    fn walk(&self, from: Position, above: SequenceNumber) -> impl Iterator<Item = &Held> {
        let mut next = from.digest;
        core::iter::from_fn(move || {
            let held = self.held(&next).filter(|held| held.block.header.sequence_number > above)?;
            next = held.block.header.parent;
            Some(held)
        })
    }

    // D1
    /// The blocks of the chain that ends at `to`, above `stable`, which no record holds yet, lowest first.
    pub(super) fn unrecorded(&self, to: Position, stable: SequenceNumber) -> Vec<Arc<Block>> {
        lowest_first(self.walk(to, stable).take_while(|held| held.recorded.is_none()))
    }

    // D2
    /// The same, also where blocks above them are on record: those were decided while this replica was silent and lacked what lies below.
    pub(super) fn unrecorded_below(&self, to: Position, stable: SequenceNumber) -> Vec<Arc<Block>> {
        lowest_first(self.walk(to, stable).filter(|held| held.recorded.is_none()))
    }

    /// The index of the record that holds it.
    pub(super) fn record_of(&self, digest: &Digest) -> Option<u64> {
        self.blocks.get(digest)?.recorded.map(|place| place.index)
    }

    /// These count as recorded from now on, at `place` or after it.
    pub(super) fn recorded(&mut self, blocks: &[Arc<Block>], place: Place) {
        for block in blocks {
            if let Some(held) = self.blocks.get_mut(&block.digest) {
                held.recorded = Some(place);
            }
        }
    }

    /// Appends to the decided log. What else stood at that position can never be decided, and goes.
    pub(super) fn decide(&mut self, digest: Digest) {
        self.log.push_back(digest);
        let decided = self.decided();
        while let Some(other) = self.open.first().copied().filter(|other| other.number <= decided) {
            self.open.remove(&other);
            let size = self.blocks.get(&other.digest).map_or(0, |held| held_size(&held.block));
            self.open_bytes -= size;
            if other.digest == digest {
                self.decided_bytes += size;
            } else {
                self.blocks.remove(&other.digest);
                // What led through it is whole no more; what led through the decided block is still.
                self.whole.clear();
            }
        }
        while self.whole.first().is_some_and(|whole| whole.number <= decided) {
            self.whole.pop_first();
        }
        // I18: nobody asks for these any more; a replica that lags through a long view would gather them. And what was missing at or below the end says
        // nothing of the blocks above it, on the way down from its root: that may leave the log there.
        self.gaps.retain(|root, missing| root.number > decided && missing.number > decided);
    }

    /// Is nothing held above the decided end but the chain that ends at `root`?
    pub(super) fn is_one_chain(&mut self, root: Position) -> bool {
        root.number.get().checked_sub(self.decided().get()) == Some(self.open.len() as u64) && self.gap(root) == Gap::Whole
    }

    /// Drops the blocks above the decided end that lie off the chains of all `roots`.
    /// Where a root's chain has a gap, everything stays: unknown is kept. (C2) A root that can never be decided keeps nothing.
    pub(super) fn prune(&mut self, roots: &[Position]) {
        let mut whole = Vec::new();
        for root in roots {
            match self.gap(*root) {
                Gap::Whole => whole.push(*root),
                Gap::Missing(_) => return,
                Gap::Conflict | Gap::Forgotten => {}
            }
        }
        // I18: down to a block that is kept already, and not further.
        let mut keep = BTreeSet::new();
        for mut at in whole {
            while at.number > self.decided() && keep.insert(at.digest) {
                let Some(block) = self.block(&at.digest) else { break };
                at = Position { number: at.number.minus(1), digest: block.header.parent };
            }
        }
        self.retain_open(|digest, _| keep.contains(digest));
    }

    fn retain_open(&mut self, keeps: impl Fn(&Digest, &Held) -> bool) {
        self.gone += 1;
        self.whole.clear();
        // What was learnt about a root may rest on a block that goes now.
        self.gaps.clear();
        let (blocks, bytes) = (&mut self.blocks, &mut self.open_bytes);
        self.open.retain(|Position { digest, .. }| {
            let Some(held) = blocks.get(digest) else { return false };
            let kept = keeps(digest, held);
            if !kept {
                *bytes -= held_size(&held.block);
                blocks.remove(digest);
            }
            kept
        });
    }

    /// On leaving a view: drops the blocks above the decided end that no own vote binds this replica to keep, unless they lead to `roots`.
    pub(super) fn drop_unrecorded(&mut self, roots: &[Position]) {
        let keep: BTreeSet<Digest> = roots.iter().flat_map(|root| self.walk(*root, self.decided())).map(|held| held.block.digest).collect();
        self.retain_open(|digest, held| keep.contains(digest) || held.recorded.is_some());
    }

    // C2
    /// Drops decided blocks up to `limit`, and above it, lowest first, while they are more than `bytes_max`; never above `stable`.
    pub(super) fn forget(&mut self, limit: SequenceNumber, stable: SequenceNumber, bytes_max: u64) {
        while self.floor < stable.min(self.decided()) && (self.floor < limit || self.decided_bytes > bytes_max) {
            self.log.pop_front();
            self.floor = self.floor.next();
            if let Some(held) = self.log.front().and_then(|digest| self.blocks.remove(digest)) {
                self.decided_bytes -= held_size(&held.block);
            }
        }
    }

    // C3
    /// The state at `position` was installed: the decided log ends there, whatever it was before.
    pub(super) fn install(&mut self, position: Position) {
        self.gone += 1;
        self.whole.clear();
        self.gaps.clear();
        if self.decided_digest(position.number) == Some(position.digest) {
            // C4: decided beyond it already, but with a state that nobody shares: it is executed again from here.
            while self.decided() > position.number {
                let number = self.decided();
                let Some(digest) = self.log.pop_back() else { break };
                if let Some(held) = self.blocks.get(&digest) {
                    let size = held_size(&held.block);
                    self.decided_bytes -= size;
                    self.open_bytes += size;
                    self.open.insert(Position { number, digest });
                }
            }
            return;
        }
        self.blocks.retain(|_, held| held.block.header.sequence_number > position.number);
        // All that stays is open again: what was decided above it too, of which the window had let go of a part meanwhile. (C4)
        self.open =
            self.blocks.values().map(|held| Position { number: held.block.header.sequence_number, digest: held.block.digest }).collect();
        self.open_bytes = self.blocks.values().map(|held| held_size(&held.block)).sum();
        self.decided_bytes = 0;
        self.floor = position.number;
        self.log = VecDeque::from([position.digest]);
    }

    /// The oldest record that holds a block which is still held here.
    pub(super) fn oldest_record(&self) -> Option<Place> {
        self.blocks.values().filter_map(|held| held.recorded).min()
    }

    // I18
    /// Blocks whose records are to go, those in the oldest first: they are to be recorded anew.
    pub(super) fn in_old_records(&self, is_old: impl Fn(Place) -> bool) -> Vec<Arc<Block>> {
        let mut old: Vec<_> = self.blocks.values().filter(|held| held.recorded.is_some_and(&is_old)).collect();
        old.sort_by_key(|held| (held.recorded, held.block.header.sequence_number));
        old.into_iter().map(|held| held.block.clone()).collect()
    }

    /// Bytes of blocks above the decided end, and of decided ones.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.open_bytes, self.decided_bytes)
    }

    /// The blocks above the decided end.
    pub(super) fn open(&self) -> impl Iterator<Item = Digest> {
        self.open.iter().map(|position| position.digest)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> SequenceNumber {
        SequenceNumber::new(number)
    }

    /// A chain of empty batches from genesis on: block n stands at index n − 1.
    fn blocks(count: u64) -> Vec<Arc<Block>> {
        let group = Digest::new([1; 32]);
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        for number in 1..=count {
            let parent = blocks.last().map_or(group, |block| block.digest);
            blocks.push(Arc::new(Block::new(&group, at(number), parent, Vec::new())));
        }
        blocks
    }

    fn position(block: &Block) -> Position {
        Position { number: block.header.sequence_number, digest: block.digest }
    }

    fn place(index: u64) -> Place {
        Place { index, offset: 0 }
    }

    #[test]
    fn t2_the_log_is_deepened_by_nothing_but_the_block_that_stands_there() {
        let blocks = blocks(5);
        let mut chain = ChainStore::new(position(&blocks[3]));
        let beside = Arc::new(Block::new(&Digest::default(), at(4), blocks[2].digest, Vec::new()));
        for other in [beside, blocks[2].clone(), blocks[0].clone()] {
            chain.insert_or_deepen(other);
            assert_eq!((chain.floor(), chain.len(), chain.bytes()), (at(4), 0, (0, 0)));
        }
        chain.insert_or_deepen(blocks[3].clone());
        assert_eq!((chain.floor(), chain.len(), chain.below_floor()), (at(3), 1, Some(position(&blocks[2]))));
    }

    #[test]
    fn p1_a_chain_whose_numbers_do_not_fit_is_none() {
        let blocks = blocks(3);
        let mut chain = ChainStore::new(Position { number: at(0), digest: Digest::new([1; 32]) });
        blocks.iter().for_each(|block| chain.insert(block.clone()));
        // Somebody voted for block 3 at another position.
        for number in [2, 4] {
            let root = Position { number: at(number), ..position(&blocks[2]) };
            assert_eq!(chain.gap(root), Gap::Conflict);
            assert!(chain.path(Position { number: at(0), digest: Digest::new([1; 32]) }, root).is_empty());
        }
        assert_eq!(chain.gap(position(&blocks[2])), Gap::Whole);
    }

    #[test]
    #[cfg(feature = "sim")]
    fn i18_where_a_chain_breaks_off_is_remembered() {
        let blocks = blocks(64);
        // It leaves the decided log at its lowest block; of another the lowest block is lacking.
        for (genesis, from) in [([2; 32], 0), ([1; 32], 1)] {
            let mut chain = ChainStore::new(Position { number: at(0), digest: Digest::new(genesis) });
            blocks[from..].iter().for_each(|block| chain.insert(block.clone()));
            let mut look = |number: usize| {
                let before = crate::looks::looks();
                assert_ne!(chain.gap(position(&blocks[number - 1])), Gap::Whole);
                crate::looks::looks() - before
            };
            assert!(look(64) >= 63);
            assert!(look(64) <= 1, "it is walked down again");
        }
    }

    #[test]
    fn d1_a_block_counts_as_recorded_where_it_was_first_and_only_those_above_the_stable_checkpoint_are_owed() {
        let blocks = blocks(4);
        let mut chain = ChainStore::new(Position { number: at(0), digest: Digest::new([1; 32]) });
        blocks.iter().for_each(|block| chain.insert(block.clone()));
        let owed = |chain: &ChainStore, stable| {
            chain.unrecorded(position(&blocks[3]), at(stable)).iter().map(|block| position(block)).collect::<Vec<_>>()
        };
        assert_eq!(owed(&chain, 0), blocks.iter().map(|block| position(block)).collect::<Vec<_>>());
        assert_eq!(owed(&chain, 2), [position(&blocks[2]), position(&blocks[3])]);
        for index in [5, 9, 3, 7] {
            chain.restore(blocks[3].clone(), place(index));
        }
        assert_eq!((chain.record_of(&blocks[3].digest), chain.oldest_record()), (Some(3), Some(place(3))));
        assert!(owed(&chain, 0).is_empty(), "what a recorded block stands on is recorded too");
    }

    #[test]
    fn c4_what_was_decided_above_an_installed_state_is_open_again() {
        let blocks = blocks(14);
        let mut chain = ChainStore::new(Position { number: at(0), digest: Digest::new([1; 32]) });
        let decide = |chain: &mut ChainStore, numbers: core::ops::RangeInclusive<usize>| {
            for number in numbers {
                chain.insert(blocks[number - 1].clone());
                chain.decide(blocks[number - 1].digest);
            }
        };
        decide(&mut chain, 1..=14);
        let size = held_size(&blocks[0]);
        // The window has moved on to 12 while the state at 8 was fetched.
        chain.forget(at(12), at(12), u64::MAX);
        chain.install(Position { number: at(8), digest: blocks[7].digest });
        assert_eq!((chain.decided(), chain.bytes(), chain.open().count()), (at(8), (2 * size, 0), 2));
        decide(&mut chain, 9..=14);
        assert_eq!(chain.bytes(), (0, 6 * size));
        chain.forget(at(14), at(14), u64::MAX);
        assert_eq!((chain.bytes(), chain.len()), ((0, 0), 0));
    }

    #[test]
    fn t2_whenever_blocks_go_that_were_not_decided_the_store_tells() {
        let group = Digest::new([1; 32]);
        let genesis = Position { number: SequenceNumber::default(), digest: group };
        let block = Arc::new(Block::new(&group, SequenceNumber::new(1), group, Vec::new()));
        let goes: [fn(&mut ChainStore, Position); 3] = [
            |chain, _| chain.prune(&[]),
            |chain, _| chain.drop_unrecorded(&[]),
            |chain, _| chain.install(Position { number: SequenceNumber::new(8), digest: Digest::new([8; 32]) }),
        ];
        for goes in goes {
            let mut chain = ChainStore::new(genesis);
            chain.insert(block.clone());
            let before = chain.gone();
            goes(&mut chain, genesis);
            assert_eq!((chain.len(), chain.gone() == before), (0, false));
        }
    }
}
