//! One replica of four runs twice, and the bytes say who hears whom and who leads, round after round; then the network heals. (FAULTS: one key in two processes)

use super::choices::Choices;
use logothete::sim::twins::{Round, Scene};

/// More than are ever listed, and each with a client of its own.
const ROUNDS_MAX: usize = 12;

/// # Panics
/// If two correct replicas differ, or not everything is executed after healing.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut scene = Scene::new();
    let mut number = 0;
    while !choices.is_done() && number < ROUNDS_MAX {
        let byte = choices.byte();
        // Two bits say who leads, four who is apart; commits are lost in every fourth round or so. The first round has its leader already.
        let leader = if number == 0 { 0 } else { byte & 3 };
        scene.play(number, Round::new(leader, byte >> 1, byte >> 6 == 3));
        number += 1;
    }
    scene.heal();
}
