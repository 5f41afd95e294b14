//! The tree over a batch's results: one signature for all of them, a short path for each. (SPEC S2)
//!
//! The shape is RFC 6962's: the left part of `n` leaves is the largest power of two below `n`. Leaves, nodes and the empty tree hash under domains of their own.
//! The root names the number of leaves too: without it, a path to leaf 0 of 3 is as good a path to leaf 0 of 4, and a receipt would
//! verify with numbers in it that nobody signed.

use crate::hash::{Domain, Hasher, hash};
use crate::ids::Digest;
use alloc::vec::Vec;

fn node(left: &Digest, right: &Digest) -> Digest {
    Hasher::new(Domain::Node).digest(left).digest(right).finish()
}

fn left_part(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn sealed(count: u64, top: &Digest) -> Digest {
    Hasher::new(Domain::Root).u64(count).digest(top).finish()
}

/// The root over all leaves of a batch, and for each leaf the siblings on its way up, lowest first.
pub(crate) fn root_and_paths(leaves: &[Digest]) -> (Digest, Vec<Vec<Digest>>) {
    let (top, paths) = top_and_paths(leaves);
    (sealed(leaves.len() as u64, &top), paths)
}

/// The same with the top alone, for who names the number of leaves beside it.
pub(crate) fn top_and_paths(leaves: &[Digest]) -> (Digest, Vec<Vec<Digest>>) {
    let height = leaves.len().next_power_of_two().trailing_zeros() as usize;
    let mut paths: Vec<_> = leaves.iter().map(|_| Vec::with_capacity(height)).collect();
    let top = climb(leaves, &mut paths);
    (top, paths)
}

/// The top over these leaves; it goes to the end of the paths of those beside them.
fn climb(leaves: &[Digest], paths: &mut [Vec<Digest>]) -> Digest {
    match leaves {
        [] => hash(Domain::Empty, &[]),
        [leaf] => *leaf,
        _ => {
            let ((left, right), (left_paths, right_paths)) =
                (leaves.split_at(left_part(leaves.len())), paths.split_at_mut(left_part(leaves.len())));
            let (left, right) = (climb(left, left_paths), climb(right, right_paths));
            left_paths.iter_mut().for_each(|path| path.push(right));
            right_paths.iter_mut().for_each(|path| path.push(left));
            node(&left, &right)
        }
    }
}

/// The root that `siblings` lead to from `leaf` at `index` of `count`; `None` if their number is wrong.
pub(crate) fn root_of_path(leaf: Digest, index: u32, count: u32, siblings: &[Digest]) -> Option<Digest> {
    Some(sealed(u64::from(count), &top_of_path(leaf, index, count, siblings)?))
}

/// The top that `siblings` lead to from `leaf` at `index` of `count`; `None` if their number is wrong.
pub(crate) fn top_of_path(leaf: Digest, index: u32, count: u32, siblings: &[Digest]) -> Option<Digest> {
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

#[cfg(test)]
mod tests {
    use super::{root_and_paths, root_of_path, sealed};
    use crate::hash::{Domain, Hasher};
    use crate::ids::Digest;
    use alloc::vec;
    use alloc::vec::Vec;

    const LEAVES_MAX: u32 = 40;

    fn root(leaves: &[Digest]) -> Digest {
        root_and_paths(leaves).0
    }

    fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
        root_and_paths(leaves).1[index].clone()
    }

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count).map(|index| Hasher::new(Domain::Leaf).u32(index).finish()).collect()
    }

    /// RFC 6962's tree a second time, level by level from below: a lone node at the end of a level goes up as it is.
    fn root_by_levels(mut level: Vec<Digest>) -> Digest {
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => Hasher::new(Domain::Node).digest(left).digest(right).finish(),
                    _ => pair[0],
                })
                .collect();
        }
        level[0]
    }

    /// On which side the sibling stands, lowest first.
    fn turns(mut index: u32, mut count: u32) -> Vec<bool> {
        let mut turns = Vec::new();
        while count > 1 {
            let alone = index == count - 1 && count % 2 == 1;
            if !alone {
                turns.push(index % 2 == 1);
            }
            (index, count) = (index / 2, count.div_ceil(2));
        }
        turns
    }

    #[test]
    fn s2_every_leafs_path_leads_to_the_root() {
        for count in 1..=LEAVES_MAX {
            let leaves = leaves(count);
            assert_eq!(root(&leaves), sealed(u64::from(count), &root_by_levels(leaves.clone())), "{count}");
            for index in 0..count {
                let path = path(&leaves, index as usize);
                assert_eq!(path.len(), turns(index, count).len());
                assert_eq!(root_of_path(leaves[index as usize], index, count, &path), Some(root(&leaves)), "{index} of {count}");
            }
        }
    }

    #[test]
    fn s2_another_leaf_sibling_or_length_leads_elsewhere() {
        for count in 1..=LEAVES_MAX {
            let leaves = leaves(count);
            let stranger = Hasher::new(Domain::Leaf).u32(LEAVES_MAX).finish();
            for index in 0..count {
                let (leaf, good) = (leaves[index as usize], path(&leaves, index as usize));
                let leads = |leaf, siblings: &[Digest]| root_of_path(leaf, index, count, siblings);
                assert_ne!(leads(stranger, &good), Some(root(&leaves)));
                for at in 0..good.len() {
                    let mut other = good.clone();
                    other[at] = stranger;
                    assert_ne!(leads(leaf, &other), Some(root(&leaves)));
                    let mut shorter = good.clone();
                    shorter.remove(at);
                    assert_eq!(leads(leaf, &shorter), None);
                    if at > 0 {
                        let mut swapped = good.clone();
                        swapped.swap(at - 1, at);
                        assert_ne!(leads(leaf, &swapped), Some(root(&leaves)));
                    }
                }
                for extra in [good.first().copied().unwrap_or(leaf), stranger] {
                    assert_eq!(leads(leaf, &[&good[..], &[extra]].concat()), None);
                    assert_eq!(leads(leaf, &[&[extra], &good[..]].concat()), None);
                }
            }
        }
    }

    // The root binds the count: the first of 3 and the first of 4 have paths of the same shape, but other roots.
    #[test]
    fn s2_another_place_does_not_lead_to_the_root() {
        const COUNT_MAX: u32 = 18;
        for count in 1..=COUNT_MAX {
            let leaves = leaves(count);
            for index in 0..count {
                let path = path(&leaves, index as usize);
                for other_count in 0..=COUNT_MAX {
                    for other in 0..=other_count {
                        let led = root_of_path(leaves[index as usize], other, other_count, &path) == Some(root(&leaves));
                        assert_eq!(led, (other, other_count) == (index, count), "{index} of {count} as {other} of {other_count}");
                    }
                }
                for beyond in [count, u32::MAX] {
                    assert_eq!(root_of_path(leaves[index as usize], beyond, count, &path), None);
                }
            }
        }
    }

    #[test]
    fn s2_the_largest_counts_are_refused_or_walked_without_overflow() {
        let siblings = vec![Digest::default(); 32];
        for count in [1 << 31, (1 << 31) + 1, u32::MAX] {
            for index in [0, 1, count - 1] {
                for length in 0..=32 {
                    let led = root_of_path(Digest::default(), index, count, &siblings[..length]);
                    assert_eq!(led.is_some(), count == 1 << 31 && length == 31, "{index} of {count} by {length}");
                }
            }
        }
    }
}
