//! P1–P5, S1: orders agreed among correct replicas.

mod support;

use std::time::Duration;
use support::Net;

const SOON: Duration = Duration::from_secs(5);

#[test]
fn p5_requests_are_decided_by_all_for_every_cluster_size() {
    for n in 1..=10 {
        let mut net = Net::new(n, 2, n as u64);
        for order in 0..20_u32 {
            net.submit(order as usize % 2, &order.to_le_bytes());
        }
        let all: Vec<usize> = (0..n).collect();
        net.settle(SOON, &all);
        assert!(net.hosts.iter().all(|host| host.replica.status().view.get() == 0), "n = {n}: nobody lost patience");
    }
}

#[test]
fn p1_requests_gather_into_batches_while_the_pipeline_is_full() {
    let mut net = Net::new(4, 1, 7);
    for order in 0..200_u32 {
        net.submit(0, &order.to_le_bytes());
    }
    net.settle(SOON, &[0, 1, 2, 3]);
    let batches = net.hosts[0].replica.status().decided.get();
    assert!((2..200).contains(&batches), "{batches} batches for 200 requests");
}

#[test]
fn s1_a_repeated_request_executes_once() {
    let mut net = Net::new(4, 1, 3);
    net.duplication = 100;
    net.retry = Duration::from_millis(1);
    for order in 0..50_u32 {
        net.submit(0, &order.to_le_bytes());
        net.run_for(Duration::from_millis(1));
    }
    net.settle(SOON, &[0, 1, 2, 3]);
    net.run_for(Duration::from_secs(1));
    assert!(net.hosts.iter().all(|host| host.executed().len() == 50));
}

#[test]
fn t2_a_lossy_network_delays_but_does_not_stop() {
    for seed in 0..10 {
        let mut net = Net::new(4, 2, seed);
        net.loss = 20;
        net.duplication = 20;
        net.delay = (100, 20_000);
        for order in 0..60_u32 {
            net.submit(order as usize % 2, &order.to_le_bytes());
            net.run_for(Duration::from_millis(5));
        }
        net.settle(Duration::from_secs(120), &[0, 1, 2, 3]);
    }
}
