//! What is on its way, earliest first.

use super::parcel::Parcel;
use crate::Time;
use alloc::collections::BinaryHeap;
use core::cmp::{Ordering, Reverse};

/// When something arrives, and its place among all that was ever sent: no two are equal.
pub(super) type Moment = (Time, u64);

#[derive(Debug)]
struct Flight {
    /// A [`Moment`] as one number, which is compared at once.
    arrives: u128,
    to: usize,
    parcel: Parcel,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.arrives == other.arrives
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        self.arrives.cmp(&other.arrives)
    }
}

/// Parcels that are under way.
#[derive(Debug, Default)]
pub(super) struct Flights(BinaryHeap<Reverse<Flight>>);

impl Flights {
    /// One more, for `to`.
    pub(super) fn send(&mut self, arrives: Moment, to: usize, parcel: Parcel) {
        let arrives = u128::from(arrives.0.0) << 64 | u128::from(arrives.1);
        self.0.push(Reverse(Flight { arrives, to, parcel }));
    }

    /// When the first of them arrives.
    #[inline]
    pub(super) fn next(&self) -> Option<Time> {
        self.0.peek().map(|Reverse(flight)| Time((flight.arrives >> 64) as u64))
    }

    /// One that has arrived by now, the earliest first, and for whom it is.
    #[inline]
    pub(super) fn arrived(&mut self, now: Time) -> Option<(usize, Parcel)> {
        self.next().filter(|arrives| *arrives <= now)?;
        self.0.pop().map(|Reverse(Flight { to, parcel, .. })| (to, parcel))
    }
}
