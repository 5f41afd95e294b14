//! Each trait of a traitor by itself, on a cluster of four and, twice, on one of seven: the others agree, and after healing everything is executed. (I1, I20)

use logothete::sim::{Net, Trait, builder};
use logothete::{Event, Limits, ReplicaId, Tuning};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(100);

fn betrayed(n: usize, traitors: &[usize], treason: Trait, seed: u64) {
    let cluster = builder(n, 2).checkpoint_interval(4).log_window(16).with_keyed_hash().build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, seed, Tuning { retention: 4, ..Tuning::from_timeout(TIMEOUT) });
    traitors.iter().for_each(|at| net.betray(*at, treason));
    let loyal = net.loyal();
    let last = *loyal.last().expect("somebody");
    for order in 0..40_u8 {
        net.loss = if order % 8 < 4 { 15 } else { 0 };
        // Somebody loyal is away for a while, and has to be told what it missed: block by block, or by a snapshot.
        net.down = if (10..30).contains(&order) { [last].into() } else { [].into() };
        net.submit_to(usize::from(order % 2), &[order], &[usize::from(order) % n]);
        net.run_for(TIMEOUT / 5);
    }
    net.loss = 0;
    net.down.clear();
    net.settle(TIMEOUT * 600, &loyal);
    net.oracle.claims.check(net.cluster.quorum() as usize - traitors.len());
    for at in loyal {
        let status = net.hosts[at].replica.status();
        assert!(!status.halted && status.diverged.is_none(), "{treason:?}: {status:?}");
    }
}

#[test]
fn i20_each_traitor_as_the_first_primary_of_four_is_outlived() {
    Trait::ALL.iter().for_each(|treason| betrayed(4, &[0], *treason, 1));
}

#[test]
fn i20_each_traitor_as_a_backup_of_four_is_outlived() {
    Trait::ALL.iter().for_each(|treason| betrayed(4, &[2], *treason, 2));
}

#[test]
fn i20_each_traitor_as_the_first_two_primaries_of_seven_is_outlived() {
    Trait::ALL.iter().for_each(|treason| betrayed(7, &[0, 1], *treason, 3));
}

#[test]
fn i20_what_a_traitor_signs_with_its_own_key_is_well_formed_and_reaches_the_rules() {
    let signs_well =
        [Trait::Equivocator, Trait::Starver, Trait::Forger, Trait::CheckpointLiar, Trait::Replayer, Trait::Late, Trait::Flooder];
    for (treason, most) in signs_well.into_iter().flat_map(|treason| [(treason, 1), (treason, 1000)]) {
        let limits = Limits { batch_requests_max: most, ..Limits::default() };
        let cluster =
            builder(4, 2).limits(limits).checkpoint_interval(4).log_window(16).with_keyed_hash().build().expect("a valid cluster");
        let mut net = Net::tuned(cluster, 5, Tuning::from_timeout(TIMEOUT));
        net.betray(0, treason);
        for order in 0..10_u8 {
            net.submit(usize::from(order % 2), &[order]);
            net.run_for(TIMEOUT / 50);
        }
        net.settle(TIMEOUT * 600, &[1, 2, 3]);
        let refused: Vec<_> = net.hosts[1..].iter().map(|host| host.refused).collect();
        assert_eq!(refused, [0, 0, 0], "{treason:?}, at most {most} a batch");
        if treason == Trait::Equivocator {
            let is_proof = |event: &Event| matches!(event, Event::Evidence(evidence) if evidence.culprit() == ReplicaId::new(0));
            assert!(
                net.hosts[1..].iter().all(|host| host.events.iter().any(is_proof)),
                "two proposals for one position, at most {most} a batch"
            );
        }
    }
}
