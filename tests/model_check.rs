//! The shipped step function beside a traitor that signs anything: every state within small bounds. What is searched, and how, stands in
//! `examples/model`; larger bounds: `cargo run --release --example model -- s=2 v=2 decisions=0`.
#![allow(dead_code, reason = "the example uses more of its modules")]

#[path = "../examples/model/automaton.rs"]
mod automaton;
#[path = "../examples/model/search.rs"]
mod search;
#[path = "../examples/model/universe.rs"]
mod universe;

use search::{Bounds, Report, Search};
use std::time::Duration;
use universe::{Config, Universe};

/// At least `least` states are found, and none of them breaks I1, I2, I3, I5, I7, I8 or stops a replica.
fn search(config: Config, least: usize, states: usize) -> Report {
    let universe = Universe::new(config.clone());
    let report = Search::new(&universe).run(Bounds { states, time: Duration::from_secs(50), progress: false });
    if let Some(violation) = &report.violation {
        panic!("{}\n{}\n{config:?}", violation.what, violation.trace.join("\n"));
    }
    assert!(report.states >= least, "only {} states of {config:?}: something is never said or never heard", report.states);
    println!("{} states, {} real steps, complete: {}, {:.1?}: {config:?}", report.states, report.steps, report.complete, report.elapsed);
    report
}

fn bounds(numbers: u32, views: &[u64]) -> Config {
    Config { numbers, views: views.to_vec(), ..Config::default() }
}

#[test]
fn i7_one_number_two_views_all_states() {
    assert!(search(bounds(1, &[0, 4]), 80_000, usize::MAX).complete);
}

#[test]
fn i2_two_numbers_one_view_all_states() {
    assert!(search(bounds(2, &[0]), 40_000, usize::MAX).complete);
}

#[test]
fn i2_single_votes_as_far_as_it_goes() {
    search(Config { votes: true, ..bounds(1, &[0]) }, 100_000, 100_000);
}

#[test]
fn i7_two_numbers_two_views_as_far_as_it_goes() {
    search(Config { decisions: false, ..bounds(2, &[0, 4]) }, 150_000, 150_000);
}

#[test]
fn i7_one_number_three_views_as_far_as_it_goes() {
    search(Config { decisions: false, ..bounds(1, &[0, 4, 8]) }, 150_000, 150_000);
}

#[test]
fn i7_stable_checkpoints_of_what_a_view_has_decided() {
    search(Config { stable: true, ..bounds(1, &[0, 4]) }, 150_000, 150_000);
}

#[test]
fn d2_a_log_is_lost() {
    search(Config { losses: 1, ..bounds(1, &[0, 4]) }, 100_000, 100_000);
}

/// A search that finds nothing is worth something if it can find.
#[test]
fn i1_is_broken_where_more_than_f_replicas_are_faulty() {
    let universe = Universe::new(Config { faulty: 2, ..bounds(1, &[0]) });
    let report = Search::new(&universe).run(Bounds { states: 1000, time: Duration::from_secs(50), progress: false });
    let violation = report.violation.expect("two decisions");
    assert!(violation.what.contains("x and a certificate of Prepare v0 y"), "{}", violation.what);
}

#[test]
fn i3_correct_primaries_crash() {
    search(Config { crashes: true, decisions: false, ..bounds(1, &[0, 1]) }, 30_000, 30_000);
}
