//! Scenarios in which replica 0 runs twice under one key: all of two rounds, a sample of four. `cargo run --release --example twins` plays all.

use logothete::sim::twins::{Scenarios, Scene, Tally, play, replay};

#[test]
fn i1_twins_scenarios_of_two_rounds_agree_and_heal() {
    let scenarios = Scenarios::new(2);
    let (tally, failures) = play(&scenarios, 0..scenarios.total(), 1, &Scene::new());
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!((tally.scenarios, tally.healed), (scenarios.total(), scenarios.total()));
}

#[test]
fn i1_twins_a_sample_of_scenarios_of_four_rounds_agrees_and_heals() {
    let (scenarios, scene) = (Scenarios::new(4), Scene::new());
    let mut total = Tally::default();
    for part in 0..20 {
        let first = part * scenarios.total() / 20 + 37 * part;
        let (tally, failures) = play(&scenarios, first..first + 64, 8, &scene);
        assert!(failures.is_empty(), "{failures:?}");
        total.add(&tally);
    }
    assert_eq!((total.scenarios, total.healed), (20 * 64, 20 * 8));
    // It is no empty play: much is decided although the network is never whole, and the twins are caught.
    assert!(total.decisions > 2 * total.scenarios && total.proofs > 0, "{total:?}");
}

#[test]
fn i1_twins_what_was_prepared_and_not_decided_is_kept_by_the_views_after_it() {
    let (scenarios, scene) = (Scenarios::with_losses(3), Scene::new());
    for part in 0..20 {
        let first = part * scenarios.total() / 20 + 3 * part;
        let (_, failures) = play(&scenarios, first..first + 64, 8, &scene);
        assert!(failures.is_empty(), "{failures:?}");
    }
}

#[test]
fn i1_twins_a_scenario_replayed_is_the_same_scenario() {
    let (scenarios, scene) = (Scenarios::new(3), Scene::new());
    let (trace, broken) = replay(&scenarios, 4321, &scene);
    assert_eq!(broken, None);
    assert_eq!(trace, replay(&scenarios, 4321, &scene).0);
}

/// The checks can fail: with a correct replica that loses its log and says nothing of it there are two faulty ones, and that is found.
#[test]
fn d2_twins_a_replica_that_starts_as_new_without_its_log_is_found_out() {
    let scenarios = Scenarios::new(2);
    let mut scene = Scene::new();
    scene.forgetful = Some(1);
    let (tally, failures) = play(&scenarios, 0..scenarios.total(), 1, &scene);
    assert!(tally.failed > 20, "only {} of {} fail", tally.failed, tally.scenarios);
    let first = failures.iter().find(|failure| failure.reason.contains("I3: R1 said two different things")).expect("two statements");
    let (_, broken) = replay(&scenarios, first.scenario, &scene);
    assert_eq!(broken.as_deref(), Some(first.reason.as_str()));
}
