//! A whole cluster with a traitor in it, on a network and on disks that do what the bytes say. (I1 to I21, by the simulator's oracle)

use super::choices::Choices;
use super::support::Net;
use logothete::sim::{Fate, Trait, builder};
use logothete::{Start, Tuning};
use std::time::Duration;

const ACTIONS_MAX: usize = 60;
const SOON: Duration = Duration::from_secs(600);

/// # Panics
/// If an invariant breaks, or the loyal don't execute everything after healing.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let cluster = builder(4, 3).with_keyed_hash().checkpoint_interval(4).log_window(8).pipeline(4).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, u64::from(choices.byte()), Tuning::from_timeout(Duration::from_millis(800)));
    let traitor = choices.below(5);
    if traitor < 4 {
        net.betray(traitor, Trait::ALL[choices.below(Trait::ALL.len())]);
    }
    let loyal = net.loyal();
    let mut actions = 0;
    while !choices.is_done() && actions < ACTIONS_MAX {
        actions += 1;
        let at = loyal[choices.below(loyal.len())];
        match choices.below(8) {
            0 | 1 => {
                let (client, to) = (choices.below(3), choices.below(4));
                net.submit_to(client, &[actions as u8], &[to]);
            }
            2 => {
                let other = choices.below(4);
                if !net.cut.remove(&(at, other)) {
                    net.cut.insert((at, other));
                }
            }
            3 => net.loss = u64::from(choices.byte() % 60),
            4 => net.duplication = u64::from(choices.byte() % 60),
            5 if !net.dead.contains(&at) => {
                let fate = [Fate::Lost, Fate::Torn(u64::from(choices.byte() % 100)), Fate::Kept][choices.below(3)];
                net.hosts[at].crash_at = Some((net.hosts[at].writes + 1 + choices.below(8) as u64, fate));
            }
            6 if net.dead.contains(&at) => net.restart(at, Start::Recovering).expect("a log of its own"),
            6 => net.crash(at),
            _ => net.run_for(Duration::from_millis(1 << choices.below(11))),
        }
    }
    net.cut.clear();
    (net.loss, net.duplication) = (0, 0);
    for at in loyal.clone() {
        net.hosts[at].crash_at = None;
        if net.dead.contains(&at) {
            net.restart(at, Start::Recovering).expect("a log of its own");
        }
    }
    net.submit(0, b"last");
    net.settle(SOON, &loyal);
}
