//! V1–V5, T1: from one primary to the next.

mod support;

use logothete::sim::forge::Seen;
use logothete::{Event, MessageKind, Recipients, View};
use std::time::Duration;
use support::{Net, client_key, replica_key};

const LIMIT: Duration = Duration::from_secs(60);

fn silent(net: &mut Net, replica: usize) {
    net.twists.insert(replica, Box::new(|_, _| Vec::new()));
}

/// Sends each proposal to one half of the backups, and another one to the other half.
fn equivocating(net: &mut Net, replica: usize) {
    let key = replica_key(replica);
    let n = net.hosts.len() as u32;
    net.twists.insert(
        replica,
        Box::new(move |envelope, forge| {
            let bytes = envelope.encode();
            let Ok(Seen::PrePrepare { view, block }) = forge.read(&bytes) else {
                return vec![(envelope.to(), bytes.to_vec())];
            };
            let other = forge.request(&client_key(0), logothete::RequestNumber::new(200 + block.sequence_number().get() % 50), b"treason");
            let lie = forge.pre_prepare(&key, view, &forge.block(block.sequence_number(), block.parent(), vec![other]));
            (0..n)
                .filter(|to| *to as usize != replica)
                .map(|to| (Recipients::Replica(logothete::ReplicaId::new(to)), if to % 2 == 0 { bytes.to_vec() } else { lie.clone() }))
                .collect()
        }),
    );
}

fn submit_some(net: &mut Net, count: u32) {
    for order in 0..count {
        net.submit(order as usize % 2, &order.to_le_bytes());
        net.run_for(Duration::from_millis(3));
    }
}

#[test]
fn v2_a_silent_primary_is_replaced() {
    for n in [4, 5, 7, 10] {
        let mut net = Net::new(n, 2, n as u64);
        silent(&mut net, 0);
        submit_some(&mut net, 20);
        let loyal = net.loyal();
        net.settle(LIMIT, &loyal);
        assert!(loyal.iter().all(|index| net.hosts[*index].replica.status().view.get() >= 1));
    }
}

#[test]
fn v1_several_silent_primaries_in_a_row_are_replaced() {
    let mut net = Net::new(10, 2, 5);
    for replica in 0..3 {
        silent(&mut net, replica);
    }
    submit_some(&mut net, 20);
    let loyal = net.loyal();
    net.settle(LIMIT, &loyal);
}

#[test]
fn e_an_equivocating_primary_is_proved_and_replaced() {
    for n in [4, 5, 7] {
        for seed in 0..5 {
            let mut net = Net::new(n, 2, seed);
            equivocating(&mut net, 0);
            submit_some(&mut net, 20);
            let loyal = net.loyal();
            net.settle(LIMIT, &loyal);
            let proofs = net.count_events(1, |event| matches!(event, Event::Evidence(evidence) if evidence.culprit().get() == 0 && evidence.verify(&net.cluster).is_ok()));
            assert_eq!(proofs, 1, "n {n} seed {seed}");
        }
    }
}

#[test]
fn v4_pending_requests_survive_a_crash_of_the_primary() {
    for seed in 0..10 {
        let mut net = Net::new(4, 2, seed);
        submit_some(&mut net, 10);
        net.down.insert(0);
        submit_some(&mut net, 10);
        net.settle(LIMIT, &[1, 2, 3]);
        // It comes back with what it knew, and learns the rest, on an idle network too.
        net.down.clear();
        net.settle(LIMIT, &[0, 1, 2, 3]);
        net.run_until(LIMIT, "all in one view", |net| {
            net.hosts.iter().all(|host| host.replica.status().view == net.hosts[1].replica.status().view && host.replica.status().normal)
        });
    }
}

#[test]
fn v3_a_cascade_of_crashes_and_losses_ends_in_agreement() {
    for seed in 0..20 {
        let mut net = Net::new(7, 2, seed);
        net.loss = 10;
        net.duplication = 10;
        net.delay = (100, 30_000);
        for round in 0..6 {
            let victim = net.random.between(0, 6) as usize;
            net.down.clear();
            net.down.insert(victim);
            net.down.insert((victim + round) % 7);
            submit_some(&mut net, 10);
            net.run_for(Duration::from_millis(700));
        }
        net.down.clear();
        net.settle(Duration::from_secs(300), &[0, 1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn v1_one_impatient_replica_moves_nobody() {
    let mut net = Net::new(4, 1, 1);
    let key = replica_key(3);
    for ordinal in 1..200 {
        let lie = net.forge.status(
            (logothete::ReplicaId::new(3), &key),
            ordinal << 40,
            View::new(1 << 60),
            View::new(u64::MAX),
            Default::default(),
        );
        net.deliver(0, &lie);
        net.deliver(1, &lie);
        net.deliver(2, &lie);
    }
    net.down.insert(3);
    submit_some(&mut net, 0);
    net.submit(0, b"order");
    net.settle(LIMIT, &[0, 1, 2]);
    assert!(net.hosts.iter().all(|host| host.replica.status().view.get() == 0 && host.replica.status().wish.get() == 0));
}

#[test]
fn t1_a_minority_partition_decides_nothing_and_heals() {
    for seed in 0..10 {
        let mut net = Net::new(4, 2, seed);
        submit_some(&mut net, 5);
        for (left, right) in [(0, 1), (0, 2), (0, 3)] {
            net.cut.insert((left, right));
            net.cut.insert((right, left));
        }
        let before = net.hosts[0].replica.status().decided;
        submit_some(&mut net, 10);
        net.settle(LIMIT, &[1, 2, 3]);
        assert!(net.hosts[0].replica.status().decided.get() <= before.get() + 16);
        net.cut.clear();
        net.settle(LIMIT, &[0, 1, 2, 3]);
    }
}

#[test]
fn t2_a_primary_that_reaches_only_f_backups_stops_nobody() {
    let mut net = Net::new(4, 2, 9);
    net.cut.insert((0, 2));
    net.cut.insert((0, 3));
    submit_some(&mut net, 10);
    // Replica 1 passes on what it hears: the view may even last.
    net.settle(LIMIT, &[0, 1, 2, 3]);
}

#[test]
fn v5_a_replica_misled_by_its_primary_joins_the_others_again() {
    // The primary tells one backup another story; the three others agree without it.
    let mut net = Net::new(4, 1, 4);
    let key = replica_key(0);
    net.twists.insert(
        0,
        Box::new(move |envelope, forge| {
            let bytes = envelope.encode().to_vec();
            if envelope.kind() == MessageKind::Evidence {
                return Vec::new();
            }
            match forge.read(&bytes) {
                Ok(Seen::PrePrepare { view, block }) => {
                    let other = forge.request(&client_key(0), logothete::RequestNumber::new(250), b"treason");
                    let lie = forge.pre_prepare(&key, view, &forge.block(block.sequence_number(), block.parent(), vec![other]));
                    (1..4)
                        .map(|to| (Recipients::Replica(logothete::ReplicaId::new(to)), if to == 3 { lie.clone() } else { bytes.clone() }))
                        .collect()
                }
                _ => vec![(envelope.to(), bytes)],
            }
        }),
    );
    submit_some(&mut net, 0);
    for order in 0..10_u32 {
        net.submit(0, &order.to_le_bytes());
        net.run_for(Duration::from_millis(20));
    }
    net.settle(LIMIT, &[1, 2, 3]);
}
