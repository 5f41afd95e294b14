//! The service on a simulated cluster: the same code, virtual time, any number of liars, crashes and lost messages, and the same run for the same seed.

use logothete::sim::{Net, Trait, builder, client_key};
use logothete::{ClientId, ClientTuning, Event, Start, Tuning};
use registry::Registry;
use std::time::Duration;

/// Results come to the crate's own clients, and are what f+1 replicas agree on.
fn results(net: &Net, client: usize) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut completions: Vec<_> = net.desks[&client].completions.iter().collect();
    completions.sort_by_key(|completion| completion.number);
    completions.iter().map(|completion| completion.outcome.result().map_or("lost".to_owned(), |result| text(result))).collect()
}

fn ask(net: &mut Net, client: usize, operation: &str) {
    assert!(net.ask(client, operation.as_bytes()).is_some(), "its window is full");
    net.run_until(Duration::from_secs(60), operation, |net| net.all_answered());
}

fn cluster(seed: u64) -> Net {
    // A checkpoint every 4 batches, and nothing kept behind it, so that a short test fetches snapshots too. Signatures are stubbed: it is the service that is tested.
    let cluster = builder(4, 2).checkpoint_interval(4).log_window(8).pipeline(4).with_keyed_hash().build().expect("a good cluster");
    let mut net = Net::serving(cluster, seed, Tuning { retention: 0, ..Tuning::default() }, || Box::new(Registry::default()));
    (0..2).for_each(|client| net.enlist(client, ClientTuning::default()));
    net
}

#[test]
fn a_name_has_one_owner_who_alone_may_hand_it_on() {
    let mut net = cluster(1);
    let other = ClientId::new(client_key(1).verifying_key().to_bytes());
    ask(&mut net, 0, "register a.example");
    ask(&mut net, 1, "register a.example");
    ask(&mut net, 1, &format!("transfer a.example {other}"));
    ask(&mut net, 0, &format!("transfer a.example {other}"));
    ask(&mut net, 0, "lookup a.example");
    assert_eq!(results(&net, 0), ["registered".to_owned(), "transferred".to_owned(), other.to_string()]);
    assert_eq!(results(&net, 1), ["refused: taken", "refused: not yours"]);
}

#[test]
fn beside_liars_through_losses_and_crashes_a_name_still_has_one_owner() {
    for (seed, treason) in [(2, Trait::Equivocator), (3, Trait::Forger), (4, Trait::CheckpointLiar)] {
        let mut net = cluster(seed);
        net.betray(0, treason);
        net.loss = 10;
        for index in 0..10 {
            ask(&mut net, 0, &format!("register name-{index}"));
            ask(&mut net, 1, &format!("register name-{index}"));
        }
        assert_eq!(results(&net, 0), ["registered"; 10], "seed {seed}");
        assert_eq!(results(&net, 1), ["refused: taken"; 10], "seed {seed}");
        // One that was away for longer than the others keep batches gets their state from `snapshot` and `restore`.
        net.loss = 0;
        net.crash(2);
        for index in 10..60 {
            ask(&mut net, 0, &format!("register name-{index}"));
        }
        net.restart(2, Start::Recovering).expect("its log is whole");
        ask(&mut net, 1, "lookup name-59");
        net.settle(Duration::from_secs(600), &[1, 2, 3]);
        assert!(net.count_events(2, |event| matches!(event, Event::StateInstalled { .. })) > 0, "seed {seed}\n{}", net.describe());
    }
}
