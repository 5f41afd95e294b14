//! What the votes of correct replicas allow to be certified, whoever collects them. (SPEC 8.4: I2, I5, I6, I7)

use super::forge::{Kind, Position, Seen};
use crate::{Digest, SequenceNumber, View};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Votes, and the chain that they are for.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Correct replicas that voted for it: 0 for Prepare, 1 for Commit.
    votes: BTreeMap<(u8, View, Position), BTreeSet<usize>>,
    parents: BTreeMap<Digest, (SequenceNumber, Digest)>,
    decided: BTreeSet<Position>,
    /// Where correct replicas began views by new views that they took for valid.
    begun: BTreeSet<(View, Position)>,
}

impl Claims {
    /// Something was put on the wire, by a correct replica if `by` says so.
    pub fn saw(&mut self, by: Option<usize>, seen: &Seen) {
        match seen {
            Seen::PrePrepare { view, block } => {
                self.parents.insert(block.digest(), (block.sequence_number(), block.parent()));
                self.voted(by, 0, *view, (block.sequence_number(), block.digest()));
            }
            Seen::Vote { kind, replica, view, position } => {
                let own = by.filter(|by| *by == replica.get() as usize);
                self.voted(own, if *kind == Kind::Prepare { 0 } else { 1 }, *view, *position);
            }
            Seen::Chain(blocks) => {
                self.parents.extend(blocks.iter().map(|block| (block.digest(), (block.sequence_number(), block.parent()))));
            }
            _ => {}
        }
    }

    /// A correct replica has decided it.
    pub fn decided(&mut self, position: Position) {
        self.decided.insert(position);
    }

    /// The batches that lie on the chain of any of these; `None` where blocks on the way were never seen.
    fn chains(&self, prepared: &[(View, Position)]) -> Option<BTreeSet<Digest>> {
        let mut found = BTreeSet::new();
        for (_, (number, digest)) in prepared.iter().filter(|(_, at)| at.0.get() > 0) {
            let (mut number, mut digest) = (number.get(), *digest);
            while number > 0 && found.insert(digest) {
                digest = self.parents.get(&digest)?.1;
                number -= 1;
            }
        }
        Some(found)
    }

    /// A correct replica took a new view of `view` with this base for valid.
    pub fn begun(&mut self, view: View, base: Position) {
        self.begun.insert((view, base));
    }

    fn voted(&mut self, by: Option<usize>, kind: u8, view: View, position: Position) {
        if let Some(by) = by {
            self.votes.entry((kind, view, position)).or_default().insert(by);
        }
    }

    /// The digest at `number` on the chain that ends at `from`; None where blocks on the way were never seen.
    fn ancestor(&self, from: Position, number: SequenceNumber) -> Option<Digest> {
        let mut at = from;
        while at.0 > number {
            let (own, parent) = self.parents.get(&at.1)?;
            assert_eq!(*own, at.0, "P1: a certified digest under a false number");
            at = (SequenceNumber::new(at.0.get() - 1), *parent);
        }
        Some(at.1)
    }

    /// `enough`: so many votes of correct replicas, together with all the traitors', make a quorum.
    pub fn check(&self, enough: usize) {
        let possible = |wanted: u8| {
            self.votes.iter().filter(move |((kind, ..), by)| *kind == wanted && by.len() >= enough).map(|((_, view, at), _)| (*view, *at))
        };
        let prepared: Vec<(View, Position)> = possible(0).collect();
        for ((kind, view, at), by) in &self.votes {
            assert!(
                *kind == 0 || prepared.binary_search(&(*view, *at)).is_ok(),
                "I5: {by:?} committed {at:?} in {view:?} without a prepared certificate"
            );
        }
        if let Some(held) = self.chains(&prepared) {
            let lost = self.decided.iter().find(|(_, digest)| !held.contains(digest));
            assert!(lost.is_none(), "I6: {lost:?} was decided, and too few have prepared it or anything above it");
        }
        // I8: whatever a new view says, no decision of a lower view may be lost with it.
        for (decided_in, decided) in possible(1) {
            for (view, base) in self.begun.iter().filter(|(view, _)| *view > decided_in) {
                let at = if base.0 < decided.0 { None } else { self.ancestor(*base, decided.0).or(Some(decided.1)) };
                assert!(
                    at == Some(decided.1),
                    "I8: {view:?} starts at {base:?}, which does not extend {decided:?}, decided in {decided_in:?}"
                );
            }
        }
        for pair in prepared.windows(2) {
            let ((view, low), (next, high)) = (pair[0], pair[1]);
            if view == next {
                let below = self.ancestor(high, low.0);
                assert!(below.is_none_or(|digest| digest == low.1), "I2: two chains in {view:?}: {low:?} and {high:?}");
            }
        }
        // A view's chain is one, so the lowest certificate of each later view speaks for all of them.
        for (view, (number, digest)) in possible(1) {
            let mut last = None;
            for (later, at) in prepared.iter().filter(|(later, at)| (*later, at.0) >= (view, number)) {
                if last.replace(*later) == Some(*later) {
                    continue;
                }
                assert!(at.0 >= number, "I7: {later:?} starts at {at:?}, below the decided {number:?} of {view:?}");
                let below = self.ancestor(*at, number);
                assert!(below.is_none_or(|below| below == digest), "I7: {at:?} in {later:?} does not extend {number:?} of {view:?}");
            }
        }
    }
}
