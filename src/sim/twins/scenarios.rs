//! Every scenario, counted once: rounds of partitions and leaders, up to a renaming of those who are alike.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

/// Replica 0, replicas 1, 2, 3, and replica 0 again.
pub const PROCESSES: usize = 5;
const REPLICAS: usize = 4;

/// Who can hear whom, and who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round {
    /// The replica that leads. If it is 0, both of its processes do.
    leader: u8,
    /// One bit for each process that is not on process 0's side.
    apart: u8,
    /// Nobody hears a Commit, nor what tells of one.
    halved: bool,
}

impl Round {
    /// A round of one's own: of `leader` the rest by 4 counts, of `apart` bits 1 to 4, for the processes that are not on process 0's side.
    pub fn new(leader: u8, apart: u8, halved: bool) -> Self {
        Self { leader: leader % REPLICAS as u8, apart: apart & 0b11110, halved }
    }
    /// 0 or 1.
    pub fn side(self, process: usize) -> usize {
        usize::from(self.apart >> process & 1)
    }
    /// Whether all Commits are lost: what was prepared is not decided.
    pub fn loses_commits(self) -> bool {
        self.halved
    }
    /// Who leads.
    pub fn leader(self) -> usize {
        self.leader.into()
    }

    fn under(self, renaming: &Renaming) -> Self {
        let moved = (0..PROCESSES).fold(0, |apart, process| apart | (self.apart >> process & 1) << renaming.0[process]);
        let apart = if moved & 1 == 1 { !moved & ((1 << PROCESSES) - 1) } else { moved };
        let leader = (renaming.0[self.leader()] % REPLICAS) as u8;
        Self { leader, apart, ..self }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; PROCESSES] = ["0", "1", "2", "3", "0'"];
        let side = |wanted: usize| (0..PROCESSES).filter(move |process| self.side(*process) == wanted).map(|process| NAMES[process]);
        let sides = [0, 1].map(|wanted| side(wanted).collect::<Vec<_>>().join(" "));
        write!(f, "{}", sides[0])?;
        if !sides[1].is_empty() {
            write!(f, " | {}", sides[1])?;
        }
        write!(f, ", {} leads{}", self.leader, if self.halved { ", commits are lost" } else { "" })
    }
}

/// Where each process goes.
#[derive(Clone, Debug)]
struct Renaming([usize; PROCESSES]);

/// Replicas 1, 2 and 3 are alike, and so are the two processes of replica 0.
fn renamings() -> Vec<Renaming> {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    orders.into_iter().flat_map(|[a, b, c]| [Renaming([0, a, b, c, 4]), Renaming([4, a, b, c, 0])]).collect()
}

fn every_round(leaders: u8, losses: usize) -> impl Iterator<Item = Round> {
    let sides = (0..leaders).flat_map(|leader| (0..16_u8).map(move |others| (leader, others << 1)));
    sides.flat_map(move |(leader, apart)| [false, true].into_iter().take(losses).map(move |halved| Round { leader, apart, halved }))
}

/// After some rounds: how many are left, and which renamings leave the rounds so far as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    left: usize,
    stabilizer: u16,
}

/// All scenarios of so many rounds, in order.
///
/// In each round there are 16 ways to cut five processes into at most two sides, and 4 leaders; the first round starts in view 0, which replica 0 leads:
/// 16 · 64 · 64 · 64 = 4,194,304 scenarios of four rounds. Renaming replicas 1, 2, 3, or the two processes of replica 0, gives the same scenario under other
/// names: of those that 12 renamings lead to, the first in order stands for all, and 380,120 are left.
///
/// Where sides are all or nothing, what is prepared by a quorum is decided by it. So there are scenarios, too, in which each round either loses all Commits or
/// none: 32 · 128 · 128 = 524,288 of three rounds, of which 53,856 are left.
#[derive(Clone, Debug)]
pub struct Scenarios {
    rounds: usize,
    /// How many ways there are to lose messages within a side.
    losses: usize,
    renamings: Vec<Renaming>,
    counts: BTreeMap<Place, u64>,
}

impl Scenarios {
    /// Of so many rounds, at least one.
    pub fn new(rounds: usize) -> Self {
        Self::build(rounds, 1)
    }

    /// The same, where each round loses all Commits, or none.
    pub fn with_losses(rounds: usize) -> Self {
        Self::build(rounds, 2)
    }

    fn build(rounds: usize, losses: usize) -> Self {
        let mut scenarios = Self { rounds: rounds.max(1), losses, renamings: renamings(), counts: BTreeMap::new() };
        scenarios.count_up(scenarios.root());
        scenarios
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.count(self.root())
    }

    /// The rounds of one of them.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn nth(&self, number: u64) -> Vec<Round> {
        let (mut place, mut left, mut path) = (self.root(), number, Vec::new());
        while !self.is_end(place) {
            let mut choices = self.rounds_after(place).into_iter();
            let (round, next) = choices
                .find(|(_, next)| {
                    let count = self.count(*next);
                    let here = left < count;
                    left -= if here { 0 } else { count };
                    here
                })
                .expect("a scenario of that number");
            path.push(round);
            place = next;
        }
        path
    }

    pub(super) fn root(&self) -> Place {
        Place { left: self.rounds, stabilizer: (1 << self.renamings.len()) - 1 }
    }

    pub(super) fn is_end(&self, place: Place) -> bool {
        place.left == 0
    }

    /// A beginning stands for all its renamings if none of them comes before it. So a round may follow if none of the renamings that leave the beginning
    /// as it is leads to a lower round; those that leave the round as it is too go on.
    pub(super) fn rounds_after(&self, place: Place) -> Vec<(Round, Place)> {
        if self.is_end(place) {
            return Vec::new();
        }
        let leaders = if place.left == self.rounds { 1 } else { REPLICAS as u8 };
        let rounds = every_round(leaders, self.losses);
        let stabilizers = rounds.filter_map(|round| {
            let mut stabilizer = 0;
            for (index, renaming) in self.renamings.iter().enumerate().filter(|(index, _)| place.stabilizer >> index & 1 == 1) {
                let other = round.under(renaming);
                if other < round {
                    return None;
                }
                stabilizer |= u16::from(other == round) << index;
            }
            Some((round, Place { left: place.left - 1, stabilizer }))
        });
        stabilizers.collect()
    }

    pub(super) fn count(&self, place: Place) -> u64 {
        if self.is_end(place) { 1 } else { self.counts[&place] }
    }

    fn count_up(&mut self, place: Place) -> u64 {
        if self.is_end(place) {
            return 1;
        }
        if let Some(count) = self.counts.get(&place) {
            return *count;
        }
        let count = self.rounds_after(place).into_iter().map(|(_, next)| self.count_up(next)).sum();
        self.counts.insert(place, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Burnside: as many orbits as the mean number of scenarios that a renaming leaves as they are.
    #[test]
    fn each_scenario_is_counted_once() {
        for (rounds, losses) in (1..=4).flat_map(|rounds| [(rounds, 1), (rounds, 2)]) {
            let fixed =
                |renaming: &Renaming, leaders| every_round(leaders, losses).filter(|round| round.under(renaming) == *round).count() as u64;
            let sum: u64 = renamings().iter().map(|renaming| fixed(renaming, 1) * fixed(renaming, 4).pow(rounds - 1)).sum();
            assert_eq!(Scenarios::build(rounds as usize, losses).total() * 12, sum);
        }
        assert_eq!(Scenarios::with_losses(3).total(), 53_856);
        assert_eq!(Scenarios::new(4).total(), 380_120);
    }

    #[test]
    fn numbers_and_scenarios_are_one_to_one_and_in_order() {
        let scenarios = Scenarios::new(3);
        let all: Vec<Vec<Round>> = (0..scenarios.total()).map(|number| scenarios.nth(number)).collect();
        assert!(all.is_sorted_by(|left, right| left < right));
        for rounds in &all {
            for renaming in &renamings() {
                let other: Vec<Round> = rounds.iter().map(|round| round.under(renaming)).collect();
                assert!(other >= *rounds, "{other:?} comes before {rounds:?}");
            }
        }
    }
}
