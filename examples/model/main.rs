//! Searches through everything that three correct replicas can do beside a traitor that signs anything, within bounds, with the shipped step function.
//!
//!     cargo run --release --example model -- s=2 v=3 secs=600

mod automaton;
mod search;
mod universe;

use search::{Bounds, Search};
use std::time::Duration;
use universe::{Config, Universe};

fn main() {
    let mut config = Config::default();
    let mut bounds = Bounds { states: 100_000_000, time: Duration::from_secs(600), progress: true };
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').unwrap_or((&argument, "1"));
        let number = value.parse().unwrap_or(0_u64);
        match name {
            "s" => config.numbers = number as u32,
            "v" => config.views = (0..number).map(|view| 4 * view).collect(),
            "views" => config.views = value.split(',').filter_map(|view| view.parse().ok()).collect(),
            "traitor" => config.traitor = number as u32,
            "order" => config.in_order = number == 1,
            "bodies" => config.free_bodies = number == 1,
            "decisions" => config.decisions = number == 1,
            "votes" => config.votes = number == 1,
            "evidence" => config.evidence = number == 1,
            "crashes" => config.crashes = number == 1,
            "losses" => config.losses = number as usize,
            "stable" => config.stable = number == 1,
            "blocks" => config.blocks = value.split(',').map(String::from).collect(),
            "faulty" => config.faulty = number as usize,
            "exact" => config.exact = number == 1,
            "secs" => bounds.time = Duration::from_secs(number),
            "states" => bounds.states = number as usize,
            _ => {
                eprintln!(
                    "model: there is no {name}; tests/README.md, \"Model check\", has what there is: s=1 v=2 secs=60 are the first to try"
                );
                std::process::exit(2);
            }
        }
    }
    println!("{config:?}");
    let universe = Universe::new(config);
    println!("{} choices", universe.choices.len());
    let mut search = Search::new(&universe);
    let report = search.run(bounds);
    println!(
        "{} states, {} transitions, depth {}, {} states of a replica, {} real steps, {} left the bounds, {:.1?}: {}",
        report.states,
        report.transitions,
        report.depth,
        report.locals,
        report.steps,
        report.outside,
        report.elapsed,
        match (&report.violation, report.complete) {
            (Some(_), _) => "VIOLATION",
            (None, true) => "complete, no violation",
            (None, false) => "not complete, no violation",
        }
    );
    if let Some(violation) = report.violation {
        println!("{}", violation.what);
        violation.trace.iter().enumerate().for_each(|(number, line)| println!("{:3}. {line}", number + 1));
        std::process::exit(1);
    }
}
