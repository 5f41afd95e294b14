//! One clock for all tapes.
//!
//! Each host has a clock of its own, which may have started at any moment. What two of them said to each other tells how far their clocks are apart: the
//! fastest message one way and the fastest one back took about the same.

use super::scene::{Reel, Sent};
use crate::ids::Digest;
use crate::outbox::Recipients;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// Shifts each tape to the clock of the first one that it is connected with, where it isn't on that clock already.
pub(super) fn align(reels: &mut [Reel]) {
    let fastest = fastest_ways(reels);
    let mut shifts: Vec<Option<i64>> = vec![None; reels.len()];
    for root in 0..reels.len() {
        if shifts[root].is_some() {
            continue;
        }
        shifts[root] = Some(0);
        let mut reached = vec![root];
        while let Some(here) = reached.pop() {
            let known = shifts[here].unwrap_or_default();
            for (there, shift) in shifts.iter_mut().enumerate().filter(|(_, shift)| shift.is_none()) {
                let ways = (fastest.get(&(here, there)).copied(), fastest.get(&(there, here)).copied());
                if ways != (None, None) {
                    *shift = Some(known.saturating_sub(ahead(ways)));
                    reached.push(there);
                }
            }
        }
    }
    let shifts: Vec<i64> = shifts.into_iter().map(Option::unwrap_or_default).collect();
    // No time falls below the beginning.
    let least = shifts.iter().copied().min().unwrap_or_default().min(0);
    reels.iter_mut().zip(shifts).for_each(|(reel, shift)| reel.shift(shift.saturating_sub(least)));
}

/// How far the second clock is ahead of the first, by the fastest way there and back.
fn ahead(ways: (Option<i64>, Option<i64>)) -> i64 {
    match ways {
        // Nobody was heard too early: it is one clock.
        (there, back) if there.is_none_or(|there| there >= 0) && back.is_none_or(|back| back >= 0) => 0,
        (Some(there), Some(back)) => (there - back) / 2,
        (Some(there), None) => there,
        (None, Some(back)) => -back,
        (None, None) => 0,
    }
}

/// From one tape to another: the least time, by both clocks, from the first saying of something to its first hearing. Without clocks of their own it would
/// not be below zero.
fn fastest_ways(reels: &[Reel]) -> BTreeMap<(usize, usize), i64> {
    let mut said: BTreeMap<Digest, Vec<(usize, &Sent)>> = BTreeMap::new();
    for (from, reel) in reels.iter().enumerate() {
        // In the order of time: only the first counts, as what is heard may be any of the others.
        for sent in &reel.sent {
            let place = said.entry(sent.key).or_default();
            if place.iter().all(|(known, first)| *known != from || first.to != sent.to) {
                place.push((from, sent));
            }
        }
    }
    let mut fastest = BTreeMap::new();
    for (to, reel) in reels.iter().enumerate() {
        let mut first = BTreeMap::new();
        for heard in &reel.heard {
            first.entry(heard.key).or_insert(heard.at);
        }
        for (key, at) in first {
            // What several have said, or one in several lives, may have come from any of them.
            let Some([(from, sent)]) = said.get(&key).map(Vec::as_slice) else { continue };
            let is_for_it = match sent.to {
                Recipients::AllReplicas => true,
                Recipients::Replica(replica) => replica.get() == reel.replica,
                Recipients::Client(_) => false,
            };
            if is_for_it && reels[*from].replica != reel.replica {
                let took = i64::try_from(at).unwrap_or(i64::MAX).saturating_sub(i64::try_from(sent.at).unwrap_or(i64::MAX));
                let least = fastest.entry((*from, to)).or_insert(took);
                *least = took.min(*least);
            }
        }
    }
    fastest
}
