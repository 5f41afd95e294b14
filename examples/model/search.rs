//! All global states, breadth first: three correct replicas, and everything that they and the traitor have signed.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // It tells how long it took.

use crate::automaton::{Automaton, NO_CLAIM, SAME};
use crate::universe::{Act, CORRECT, Universe, depth, leads_to, name, related};
use crate::universe::{Choice, When};
use logothete::sim::forge::Kind;
use std::time::{Duration, Instant};

/// Where each correct replica stands; in order where they are as good as each other.
pub type State = [u32; CORRECT];

pub struct Report {
    pub states: usize,
    pub transitions: u64,
    pub depth: u32,
    /// States of single replicas, and real steps to compute them.
    pub locals: usize,
    pub steps: u64,
    pub outside: u64,
    pub elapsed: Duration,
    /// Nothing was left to look at.
    pub complete: bool,
    pub violation: Option<Violation>,
}

pub struct Violation {
    pub what: String,
    /// The shortest way there, a line for each act.
    pub trace: Vec<String>,
}

#[derive(Clone, Copy)]
pub struct Bounds {
    pub states: usize,
    pub time: Duration,
    /// A line on stderr now and then.
    pub progress: bool,
}

/// Signed by at least one, two and three correct replicas.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tally([u128; CORRECT]);

impl Tally {
    fn by(&self, count: usize) -> u128 {
        self.0[count - 1]
    }
}

/// What tells global states apart that go on differently: where the replicas stand, and which statements are signed by one, by enough of them.
type Key = (State, u128, u128);

/// States by number, found again by an open table of numbers and a hash of their keys.
struct Seen {
    states: Vec<State>,
    from: Vec<u32>,
    hashes: Vec<u64>,
    table: Vec<u32>,
}

impl Seen {
    fn new() -> Self {
        Self { states: Vec::new(), from: Vec::new(), hashes: Vec::new(), table: vec![u32::MAX; 1 << 16] }
    }

    fn insert(&mut self, state: State, key: &Key, from: u32) -> bool {
        if self.states.len() * 2 > self.table.len() {
            let mask = self.table.len() * 2 - 1;
            self.table = vec![u32::MAX; mask + 1];
            for (number, hash) in self.hashes.iter().enumerate() {
                let mut place = *hash as usize & mask;
                while self.table[place] != u32::MAX {
                    place = (place + 1) & mask;
                }
                self.table[place] = number as u32;
            }
        }
        let hash = hash_of(key);
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        while self.table[place] != u32::MAX {
            if self.hashes[self.table[place] as usize] == hash {
                return false;
            }
            place = (place + 1) & mask;
        }
        self.table[place] = self.states.len() as u32;
        self.states.push(state);
        self.from.push(from);
        self.hashes.push(hash);
        true
    }
}

fn hash_of((state, any, enough): &Key) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    let words = [*any as u64, (*any >> 64) as u64, *enough as u64, (*enough >> 64) as u64];
    for word in state.iter().map(|word| u64::from(*word)).chain(words) {
        hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 29;
    }
    hash
}

pub struct Search<'a> {
    universe: &'a Universe,
    /// One for all, or one for each.
    automata: Vec<Automaton<'a>>,
    seen: Seen,
    /// For each commit: prepares and commits of its rank or higher that don't extend it. For each prepare: those of its view on another branch.
    conflicts: Vec<(u32, u128)>,
}

impl<'a> Search<'a> {
    pub fn new(universe: &'a Universe) -> Self {
        let members = if universe.is_symmetric() { vec![universe.correct()[0]] } else { universe.correct() };
        let automata = members.into_iter().map(|me| Automaton::new(universe, me)).collect();
        Self { universe, automata, seen: Seen::new(), conflicts: conflicts(universe) }
    }

    fn automaton(&mut self, replica: usize) -> &mut Automaton<'a> {
        let place = if self.automata.len() == 1 { 0 } else { replica };
        &mut self.automata[place]
    }

    fn local(&self, state: &State, replica: usize) -> &crate::automaton::Local {
        let automaton = if self.automata.len() == 1 { &self.automata[0] } else { &self.automata[replica] };
        &automaton.locals[state[replica] as usize]
    }

    fn tally(&self, state: &State) -> Tally {
        let [a, b, c] = [0, 1, 2].map(|replica| self.local(state, replica).signed);
        Tally([a | b | c, (a & b) | (a & c) | (b & c), a & b & c])
    }

    /// States with one key go on alike: who of the replicas has signed what in views that it has left makes no difference.
    fn key(&self, state: &State, tally: &Tally) -> Key {
        let universe = self.universe;
        if universe.is_exact() {
            return (*state, 0, 0);
        }
        let mut essences = [0, 1, 2].map(|replica| self.local(state, replica).essence);
        if self.automata.len() == 1 {
            essences.sort_unstable();
        }
        let enough = tally.by(universe.signers_needed);
        (essences, self.living(state, tally), enough)
    }

    /// What is signed by one and may still make a difference.
    fn living(&self, state: &State, tally: &Tally) -> u128 {
        let universe = self.universe;
        let (mut open, mut enterable) = (0, 0);
        for replica in 0..CORRECT {
            let local = self.local(state, replica);
            open |= local.open;
            enterable |= local.enterable;
        }
        // Votes of views that everybody has left stay as few as they are, and claims for views that nobody will enter are of no use.
        let votes = (1 << universe.commit(universe.view_count(), 0)) - 1;
        let claims = (1..universe.view_count())
            .filter(|view| enterable >> view & 1 == 1)
            .flat_map(|view| (0..universe.claim(view, 0)).map(move |claim| (view, claim)))
            .fold(0_u128, |claims, (view, claim)| claims | 1 << universe.view_change(view, claim));
        let rest = !0 << universe.new_view(0, 0);
        tally.by(1) & (tally.by(universe.signers_needed) | (votes & open) | claims | rest)
    }

    /// New views that some correct replica may be shown, and where they start.
    fn new_views(&self, state: &State, tally: &Tally) -> Vec<(u32, usize, usize)> {
        let universe = self.universe;
        let mut found = Vec::new();
        for view in 1..universe.view_count() {
            let claims: Vec<u8> =
                (0..CORRECT).map(|replica| self.local(state, replica).claims[view]).filter(|claim| *claim != NO_CLAIM).collect();
            for subset in 0_u32..1 << claims.len() {
                if subset.count_ones() as usize != universe.claims_needed {
                    continue;
                }
                let mut chosen: Vec<u8> =
                    claims.iter().enumerate().filter(|(place, _)| subset >> place & 1 == 1).map(|(_, claim)| *claim).collect();
                chosen.sort_unstable();
                for (choice, proof) in universe.new_views.get(&(view, chosen)).into_iter().flatten() {
                    let proved = proof.is_none_or(|bit| tally.by(universe.signers_needed) >> bit & 1 == 1);
                    let Act::NewView { block, .. } = universe.choices[*choice as usize].act else { continue };
                    if proved && self.signs_new_view(state, view, block) && !found.contains(&(*choice, view, block)) {
                        found.push((*choice, view, block));
                    }
                }
            }
        }
        found
    }

    fn signs_new_view(&self, state: &State, view: usize, block: usize) -> bool {
        let primary = self.universe.primary(view);
        match self.universe.correct().iter().position(|member| *member == primary) {
            Some(replica) => self.local(state, replica).signed >> self.universe.new_view(view, block) & 1 == 1,
            None => true,
        }
    }

    /// Where the replicas stand that are not this one.
    fn others(&self, state: &State, replica: usize) -> [&crate::automaton::Local; CORRECT - 1] {
        [1, 2].map(|more| self.local(state, (replica + more) % CORRECT))
    }

    /// Possible for this replica, if it is for some.
    fn is_answered(&self, state: &State, replica: usize, choice: u32) -> bool {
        let others = self.others(state, replica);
        match self.universe.choices[choice as usize].when {
            When::Wanted(view) => {
                others.iter().all(|other| !other.standing.rejoining)
                    && others.iter().map(|other| other.standing.want).max() == Some(self.universe.view(view))
            }
            When::Wished(view) => others.iter().any(|other| other.wanted >= self.universe.view(view)),
            _ => true,
        }
    }

    fn is_possible(&self, state: &State, tally: &Tally, choice: &Choice, touched: u32) -> bool {
        let universe = self.universe;
        if let Act::Propose { block, .. } = choice.act {
            // Of two blocks that nobody knows of the first will do.
            if universe.is_symmetric() && block % 2 == 0 && (touched >> block | touched >> (block - 1)) & 1 == 0 {
                return false;
            }
        }
        match choice.when {
            When::Always => true,
            When::Certified(bit) => tally.by(universe.signers_needed) >> bit & 1 == 1,
            When::Signed(member, bit) => {
                let replica = universe.correct().iter().position(|correct| *correct == member);
                replica.is_some_and(|replica| self.local(state, replica).signed >> bit & 1 == 1)
            }
            When::Claims => false,
            When::Losses => (0..CORRECT).filter(|replica| self.local(state, *replica).lost).count() < universe.config.losses,
            When::Wanted(_) | When::Wished(_) => true,
            When::AnyCertified(bits) => tally.by(universe.signers_needed) & bits != 0,
        }
    }

    /// Blocks that anybody knows of, or has signed a vote for that counts.
    fn touched(&self, state: &State, tally: &Tally) -> u32 {
        let universe = self.universe;
        let living = self.living(state, tally);
        let said = |block: usize| {
            (0..universe.view_count())
                .any(|view| (living >> universe.prepare(view, block) | living >> universe.commit(view, block)) & 1 == 1)
        };
        let said = (1..universe.count()).filter(|block| said(*block)).fold(0, |all, block| all | 1 << block);
        (0..CORRECT).map(|replica| self.local(state, replica).touched).fold(said, |all, one| all | one)
    }

    /// All states that one act leads to.
    fn successors(&mut self, state: &State, out: &mut Vec<(State, usize, u32)>) {
        out.clear();
        let tally = self.tally(state);
        let touched = self.touched(state, &tally);
        let mut possible: Vec<u32> = (0..self.universe.choices.len() as u32)
            .filter(|choice| self.is_possible(state, &tally, &self.universe.choices[*choice as usize], touched))
            .collect();
        possible.extend(self.new_views(state, &tally).into_iter().map(|(choice, ..)| choice));
        let symmetric = self.automata.len() == 1;
        for replica in 0..CORRECT {
            if symmetric && replica > 0 && state[replica] == state[replica - 1] {
                continue;
            }
            for choice in &possible {
                if !self.is_answered(state, replica, *choice) {
                    continue;
                }
                let to = self.automaton(replica).step(state[replica], *choice);
                if to != SAME {
                    let mut next = *state;
                    next[replica] = to;
                    if symmetric {
                        next.sort_unstable();
                    }
                    out.push((next, replica, *choice));
                }
            }
        }
    }

    fn check(&self, state: &State) -> Option<String> {
        let universe = self.universe;
        for replica in 0..CORRECT {
            if let Some(fault) = &self.local(state, replica).fault {
                return Some(fault.clone());
            }
        }
        let tally = self.tally(state);
        let certified = tally.by(universe.potential());
        for (bit, against) in &self.conflicts {
            if certified >> bit & 1 == 1 && certified & against != 0 {
                return Some(format!("{} and {}", self.statement(*bit), self.statement((certified & against).trailing_zeros())));
            }
        }
        let ends = [0, 1, 2].map(|replica| self.local(state, replica).decided);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            if !related(ends[one], ends[other]) {
                return Some(format!("I1: two decisions: {} and {}", name(ends[one]), name(ends[other])));
            }
        }
        for (view, block) in (0..universe.view_count()).flat_map(|view| (1..universe.count()).map(move |block| (view, block))) {
            let committed = tally.by(1) >> universe.commit(view, block) & 1 == 1;
            if committed && certified >> universe.prepare(view, block) & 1 == 0 {
                return Some(format!("I5: Commit v{view} {} without a certificate", name(block)));
            }
            if certified >> universe.commit(view, block) & 1 == 0 {
                continue;
            }
            for (_, later, base) in self.new_views(state, &tally) {
                if later > view && !leads_to(block, base) {
                    return Some(format!(
                        "V3: a new view v{later} from {} against a commit certificate v{view} {}",
                        name(base),
                        name(block)
                    ));
                }
            }
        }
        None
    }

    fn statement(&self, bit: u32) -> String {
        let count = self.universe.count() as u32;
        let (kind, rest) = if bit >= count * self.universe.view_count() as u32 {
            ("Commit", bit - count * self.universe.view_count() as u32)
        } else {
            ("Prepare", bit)
        };
        format!("a certificate of {kind} v{} {}", rest / count, name((rest % count) as usize))
    }

    pub fn run(&mut self, bounds: Bounds) -> Report {
        let begin = Instant::now();
        let start = [0; CORRECT];
        self.seen.insert(start, &self.key(&start, &Tally::default()), 0);
        let (mut at, mut transitions, mut depth, mut level_end) = (0, 0, 0, 1);
        let mut violation = None;
        let mut next = Vec::new();
        'search: while at < self.seen.states.len() {
            if at == level_end {
                depth += 1;
                level_end = self.seen.states.len();
            }
            if at % 4096 == 0 && (begin.elapsed() >= bounds.time || self.seen.states.len() >= bounds.states) {
                break;
            }
            if bounds.progress && at % (1 << 20) == 0 && at > 0 {
                let (states, locals) = (self.seen.states.len(), self.automata.iter().map(|one| one.locals.len()).sum::<usize>());
                eprintln!("  {:.0?}: {at} of {states} states looked at, depth {depth}, {locals} states of a replica", begin.elapsed());
            }
            let state = self.seen.states[at];
            self.successors(&state, &mut next);
            transitions += next.len() as u64;
            for (to, ..) in &next {
                let key = self.key(to, &self.tally(to));
                if self.seen.insert(*to, &key, at as u32) {
                    if let Some(what) = self.check(to) {
                        let trace = self.trace(self.seen.states.len() - 1);
                        violation = Some(Violation { what, trace });
                        break 'search;
                    }
                }
            }
            at += 1;
        }
        Report {
            states: self.seen.states.len(),
            transitions,
            depth,
            locals: self.automata.iter().map(|one| one.locals.len()).sum(),
            steps: self.automata.iter().map(|one| one.steps).sum(),
            outside: self.automata.iter().map(|one| one.outside).sum(),
            elapsed: begin.elapsed(),
            complete: violation.is_none() && at >= self.seen.states.len(),
            violation,
        }
    }

    /// The acts that lead to a state, each by the replica that stands at that place: places are kept along the way.
    fn trace(&mut self, to: usize) -> Vec<String> {
        let mut way = vec![to];
        while let Some(at) = way.last().copied().filter(|at| *at != 0) {
            way.push(self.seen.from[at] as usize);
        }
        way.reverse();
        let mut lines = Vec::new();
        // Who stands at which place of a state that is kept in order.
        let mut names = [0, 1, 2];
        for pair in way.windows(2) {
            let (from, to) = (self.seen.states[pair[0]], self.seen.states[pair[1]]);
            let mut next = Vec::new();
            self.successors(&from, &mut next);
            let Some((_, replica, choice)) = next.into_iter().find(|(state, ..)| *state == to) else { break };
            let before = from[replica];
            let after = self.automaton(replica).step(before, choice);
            let members = self.universe.correct();
            let described = self.automaton(replica).describe(after);
            lines.push(format!("r{} {}: {described}", members[names[replica]], self.universe.choices[choice as usize]));
            if self.automata.len() == 1 {
                let mut moved: Vec<(u32, usize)> =
                    (0..CORRECT).map(|place| (if place == replica { after } else { from[place] }, names[place])).collect();
                moved.sort_by_key(|(local, _)| *local);
                names = [moved[0].1, moved[1].1, moved[2].1];
            }
        }
        lines
    }
}

fn conflicts(universe: &Universe) -> Vec<(u32, u128)> {
    let all: Vec<(Kind, usize, usize)> = [Kind::Prepare, Kind::Commit]
        .into_iter()
        .flat_map(|kind| (0..universe.view_count()).flat_map(move |view| (0..universe.count()).map(move |block| (kind, view, block))))
        .collect();
    let mut conflicts = Vec::new();
    for (kind, view, block) in &all {
        let mut against = 0_u128;
        for (other_kind, other_view, other) in &all {
            let extends = *kind == Kind::Commit && (other_view, depth(*other)) >= (view, depth(*block)) && !leads_to(*block, *other);
            let two_decisions = (kind, other_kind) == (&Kind::Commit, &Kind::Commit) && !related(*block, *other);
            let two_chains = view == other_view && !related(*block, *other);
            if extends || two_decisions || two_chains {
                against |= 1 << universe.bit_of(*other_kind, *other_view, *other);
            }
        }
        conflicts.push((universe.bit_of(*kind, *view, *block), against));
    }
    conflicts
}
