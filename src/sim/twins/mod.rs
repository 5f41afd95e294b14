//! Twins: one replica of four runs twice under one key, each copy with a state of its own and each correct by itself, and every scenario of a few rounds
//! is played through. (After Bano and others, *Twins: BFT Systems Made Robust*, 2021.)
//!
//! In each round the five processes are cut into at most two sides, and somebody leads. [`Scenarios`] lists all rounds in order, up to a renaming of those who
//! are alike; a [`Scene`] plays one round after the other, and a copy of it plays another continuation, so that scenarios share their beginnings.

mod scenarios;
mod scene;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
pub use scenarios::{PROCESSES, Round, Scenarios};
pub use scene::Scene;

use core::ops::Range;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Scenarios played to their end.
    pub scenarios: u64,
    /// Rounds, each once for all scenarios that share it.
    pub rounds: u64,
    /// Those after which the network healed.
    pub healed: u64,
    /// Messages handed to replicas.
    pub messages: u64,
    /// Positions that some correct replica decided, at the ends of the scenarios' last rounds.
    pub decisions: u64,
    /// The same after healing.
    pub healed_decisions: u64,
    /// Proofs against the twins that correct replicas held at the ends.
    pub proofs: u64,
    /// Scenarios that broke an invariant, or that share a round which did.
    pub failed: u64,
}

impl Tally {
    /// The sum of two.
    pub fn add(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.rounds += other.rounds;
        self.healed += other.healed;
        self.messages += other.messages;
        self.decisions += other.decisions;
        self.healed_decisions += other.healed_decisions;
        self.proofs += other.proofs;
        self.failed += other.failed;
    }
}

/// A scenario that broke something: its number, the rounds up to there, and what.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The first scenario that has these rounds.
    pub scenario: u64,
    /// The rounds up to where it broke.
    pub rounds: Vec<Round>,
    /// The invariant.
    pub reason: String,
}

fn reason(panic: Box<dyn core::any::Any + Send>) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Plays the scenarios whose numbers are in `range` from where `start` stands; after one of `heal_every` the network heals, and everything must be executed.
pub fn play(scenarios: &Scenarios, range: Range<u64>, heal_every: u64, start: &Scene) -> (Tally, Vec<Failure>) {
    let mut walk =
        Walk { scenarios, range, heal_every: heal_every.max(1), tally: Tally::default(), failures: Vec::new(), path: Vec::new() };
    walk.below(start, scenarios.root(), 0);
    (walk.tally, walk.failures)
}

/// One scenario in words, step by step; and what it broke, if it did.
pub fn replay(scenarios: &Scenarios, scenario: u64, start: &Scene) -> (String, Option<String>) {
    let mut scene = start.fork();
    scene.trace = Some(String::new());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for (number, round) in scenarios.nth(scenario).into_iter().enumerate() {
            scene.play(number, round);
        }
        scene.heal();
    }));
    (scene.trace.take().unwrap_or_default(), outcome.err().map(reason))
}

struct Walk<'a> {
    scenarios: &'a Scenarios,
    range: Range<u64>,
    heal_every: u64,
    tally: Tally,
    failures: Vec<Failure>,
    path: Vec<Round>,
}

impl Walk<'_> {
    /// All continuations of a scene; the first scenario among them has the number `first`.
    fn below(&mut self, scene: &Scene, at: scenarios::Place, mut first: u64) {
        for (round, next) in self.scenarios.rounds_after(at) {
            let count = self.scenarios.count(next);
            if first < self.range.end && first + count > self.range.start {
                self.path.push(round);
                self.one(scene, round, next, first, count);
                self.path.pop();
            }
            first += count;
        }
    }

    fn one(&mut self, scene: &Scene, round: Round, next: scenarios::Place, first: u64, count: u64) {
        let mut scene = scene.fork();
        let number = self.path.len() - 1;
        let before = scene.messages;
        let played = catch_unwind(AssertUnwindSafe(|| scene.play(number, round)));
        self.tally.rounds += 1;
        self.tally.messages += scene.messages - before;
        if let Err(panic) = played {
            let inside = (first + count).min(self.range.end) - first.max(self.range.start);
            return self.failed(first, inside, panic);
        }
        if !self.scenarios.is_end(next) {
            return self.below(&scene, next, first);
        }
        self.tally.scenarios += 1;
        self.tally.decisions += scene.decisions();
        self.tally.proofs += scene.proofs();
        if first % self.heal_every == 0 {
            let before = scene.messages;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scene.heal())) {
                self.failed(first, 1, panic);
            }
            self.tally.healed += 1;
            self.tally.messages += scene.messages - before;
            self.tally.healed_decisions += scene.decisions();
        }
    }

    fn failed(&mut self, scenario: u64, count: u64, panic: Box<dyn core::any::Any + Send>) {
        self.tally.failed += count;
        self.failures.push(Failure { scenario, rounds: self.path.clone(), reason: reason(panic) });
    }
}
