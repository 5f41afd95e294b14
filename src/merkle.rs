//! The tree over a batch's results: one signature for all of them, a short path for each. (SPEC S2)
//!
//! The shape is RFC 6962's: the left part of `n` leaves is the largest power of two below `n`. Leaves, nodes and the empty tree hash under domains of their own.
//! The root names the number of leaves too: without it, a path to leaf 0 of 3 is as good a path to leaf 0 of 4, and a receipt would
//! verify with numbers in it that nobody signed.

use crate::hash::{Domain, Hasher, hash};
use crate::ids::Digest;

fn node(left: &Digest, right: &Digest) -> Digest {
    Hasher::new(Domain::Node).digest(left).digest(right).finish()
}

fn left_part(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn sealed(count: u64, top: &Digest) -> Digest {
    Hasher::new(Domain::Root).u64(count).digest(top).finish()
}

/// The root over all leaves of a batch.
pub(crate) fn root(leaves: &[Digest]) -> Digest {
    sealed(leaves.len() as u64, &top(leaves))
}

fn top(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => hash(Domain::Empty, &[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(left_part(leaves.len()));
            node(&top(left), &top(right))
        }
    }
}

/// The siblings on the way from a leaf to the root, lowest first.
pub(crate) fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(left_part(leaves.len()));
    let (mut siblings, other) = if index < left.len() { (path(left, index), right) } else { (path(right, index - left.len()), left) };
    siblings.push(top(other));
    siblings
}

/// The root that `siblings` lead to from `leaf` at `index` of `count`; `None` if their number is wrong.
pub(crate) fn root_of_path(leaf: Digest, index: u32, count: u32, siblings: &[Digest]) -> Option<Digest> {
    Some(sealed(u64::from(count), &top_of_path(leaf, index, count, siblings)?))
}

fn top_of_path(leaf: Digest, index: u32, count: u32, siblings: &[Digest]) -> Option<Digest> {
    if index >= count {
        return None;
    }
    if count == 1 {
        return siblings.is_empty().then_some(leaf);
    }
    let (sibling, lower) = siblings.split_last()?;
    let left = count.checked_next_power_of_two()? / 2;
    if index < left {
        Some(node(&top_of_path(leaf, index, left, lower)?, sibling))
    } else {
        Some(node(sibling, &top_of_path(leaf, index - left, count - left, lower)?))
    }
}
