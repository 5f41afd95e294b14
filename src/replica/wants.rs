//! The views that the members wish for, in order: asked for at each step, and sorted only when one of them rises. (V1)

use crate::ids::View;
use alloc::vec::Vec;

/// Those of the others, highest first.
#[derive(Clone, Default)]
pub(super) struct Wants(Vec<View>);

impl FromIterator<View> for Wants {
    fn from_iter<I: IntoIterator<Item = View>>(wants: I) -> Self {
        let mut wants = Vec::from_iter(wants);
        wants.sort_unstable_by(|left, right| right.cmp(left));
        Self(wants)
    }
}

impl Wants {
    pub(super) fn highest(&self) -> View {
        self.0.first().copied().unwrap_or_default()
    }

    pub(super) fn with(&self, own: View) -> AllWants<'_> {
        AllWants { others: &self.0, own }
    }
}

/// All of them, highest first.
pub(super) struct AllWants<'a> {
    others: &'a [View],
    own: View,
}

impl AllWants<'_> {
    pub(super) fn get(&self, place: usize) -> Option<&View> {
        let higher = self.others.partition_point(|other| *other >= self.own);
        match place.checked_sub(higher) {
            None => self.others.get(place),
            Some(0) => Some(&self.own),
            Some(_) => self.others.get(place - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_the_own_wish_has_its_place_among_the_others() {
        for own in 0..8 {
            let others = [3, 0, 5, 3].map(View::new);
            let wants: Wants = others.into_iter().collect();
            let mut all: Vec<View> = others.into_iter().chain([View::new(own)]).collect();
            all.sort_unstable_by(|left, right| right.cmp(left));
            let with = wants.with(View::new(own));
            let listed: Vec<View> = (0..6).map_while(|place| with.get(place).copied()).collect();
            assert_eq!(listed, all);
            assert_eq!(wants.highest(), View::new(5));
        }
        assert_eq!(Wants::default().with(View::new(1)).get(0), Some(&View::new(1)));
    }
}
