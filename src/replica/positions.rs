//! What is held by position. (P1, P2, P3)

use crate::ids::SequenceNumber;
use alloc::collections::VecDeque;

/// In order, each position once. Mostly without gaps: then a position's place is its distance from the first, and nothing is searched for.
#[derive(Clone, Debug)]
pub(super) struct Positions<T>(VecDeque<(SequenceNumber, T)>);

impl<T> Positions<T> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Where a position stands, or where it would.
    fn place(&self, number: SequenceNumber) -> Result<usize, usize> {
        let (Some((first, _)), Some((last, _))) = (self.0.front(), self.0.back()) else { return Err(0) };
        if number > *last {
            return Err(self.0.len());
        }
        let Some(distance) = number.get().checked_sub(first.get()) else { return Err(0) };
        match usize::try_from(distance) {
            Ok(place) if self.0.get(place).is_some_and(|(found, _)| *found == number) => Ok(place),
            _ => self.0.binary_search_by_key(&number, |(found, _)| *found),
        }
    }

    pub(super) fn get(&self, number: SequenceNumber) -> Option<&T> {
        self.0.get(self.place(number).ok()?).map(|(_, held)| held)
    }

    pub(super) fn insert(&mut self, number: SequenceNumber, held: T) {
        match self.place(number) {
            Ok(place) => self.0[place].1 = held,
            Err(place) => self.0.insert(place, (number, held)),
        }
    }

    pub(super) fn last(&self) -> Option<SequenceNumber> {
        self.0.back().map(|(number, _)| *number)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (SequenceNumber, &T)> {
        self.0.iter().map(|(number, held)| (*number, held))
    }

    /// Those from this position on.
    pub(super) fn from(&self, number: SequenceNumber) -> impl Iterator<Item = (SequenceNumber, &T)> {
        let start = self.place(number).unwrap_or_else(|place| place);
        self.0.range(start..).map(|(number, held)| (*number, held))
    }

    pub(super) fn forget_below(&mut self, number: SequenceNumber) {
        while self.0.front().is_some_and(|(first, _)| *first < number) {
            self.0.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: Default> Positions<T> {
    pub(super) fn or_default(&mut self, number: SequenceNumber) -> &mut T {
        let place = self.place(number).unwrap_or_else(|place| {
            self.0.insert(place, (number, T::default()));
            place
        });
        &mut self.0[place].1
    }
}

#[cfg(test)]
mod tests {
    use super::Positions;
    use crate::ids::SequenceNumber;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_a_map_by_position(steps in proptest::collection::vec((0..6_u8, 0..24_u64, any::<bool>()), 0..80)) {
            let (mut positions, mut map) = (Positions::new(), BTreeMap::new());
            let mut next = 0_u64;
            for (index, (kind, number, is_far)) in steps.into_iter().enumerate() {
                let number = SequenceNumber::new(if is_far { u64::MAX - number } else { number });
                match kind {
                    0 => (positions.insert(number, index), map.insert(number, index)).0,
                    1 => {
                        *positions.or_default(number) += index;
                        *map.entry(number).or_default() += index;
                    }
                    // As they come: one behind the other.
                    2 | 3 => {
                        next += 1;
                        positions.insert(SequenceNumber::new(next), index);
                        map.insert(SequenceNumber::new(next), index);
                    }
                    4 => {
                        positions.forget_below(number);
                        map.retain(|held, _| *held >= number);
                    }
                    _ => prop_assert_eq!(positions.get(number), map.get(&number)),
                }
                let held = |(number, held): (&SequenceNumber, &usize)| (*number, *held);
                let expected: Vec<_> = map.iter().map(held).collect();
                prop_assert_eq!(positions.iter().map(|(number, held)| (number, *held)).collect::<Vec<_>>(), expected);
                let expected: Vec<_> = map.range(number..).map(held).collect();
                prop_assert_eq!(positions.from(number).map(|(number, held)| (number, *held)).collect::<Vec<_>>(), expected);
                prop_assert_eq!((positions.last(), positions.len()), (map.keys().next_back().copied(), map.len()));
            }
        }
    }
}
