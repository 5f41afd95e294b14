//! D1, D2, C1–C4: replicas that crash, come back, catch up, lose their logs.

mod support;

use logothete::{Event, SequenceNumber, Start, Tuning};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{Fate, Net, Slowness, builder};

const ALL: [usize; 4] = [0, 1, 2, 3];
const LONG: Duration = Duration::from_secs(120);
const T: Duration = Duration::from_millis(200);

/// Four replicas that take a checkpoint every four batches.
fn net(seed: u64, retention: u64) -> Net {
    let cluster = builder(4, 2).checkpoint_interval(4).log_window(16).pipeline(4).build().expect("a valid cluster");
    Net::tuned(cluster, seed, Tuning { retention, ..Tuning::from_timeout(T) })
}

fn orders(net: &mut Net, count: u32, replicas: &[usize]) {
    for order in 0..count {
        net.submit_to(order as usize % 2, &order.to_le_bytes(), replicas);
        net.run_for(Duration::from_millis(3));
    }
}

fn events(net: &Net, at: usize, pick: impl Fn(&Event) -> bool) -> usize {
    net.count_events(at, pick)
}

#[test]
fn c2_the_window_slides_and_log_and_memory_stay_short() {
    let mut net = net(1, 4);
    orders(&mut net, 200, &ALL);
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(1));
    for host in &net.hosts {
        let status = host.replica.status();
        assert!(status.decided.get() > 60 && status.stable.get() + 8 > status.decided.get(), "{status:?}");
        assert!(status.blocks <= 16, "{status:?}");
        assert!(host.disk.log().len() < 120, "{} records", host.disk.log().len());
        assert_eq!(status.view.get(), 0);
    }
}

#[test]
fn d2_one_replica_comes_back_with_its_promises() {
    for at in 0..4 {
        let mut net = net(2, 4);
        orders(&mut net, 30, &ALL);
        net.crash(at);
        orders(&mut net, 10, &ALL);
        net.restart(at, Start::Recovering).expect("recovers");
        orders(&mut net, 10, &ALL);
        net.settle(LONG, &ALL);
    }
}

#[test]
fn d2_all_replicas_crash_at_once_and_nothing_is_lost() {
    for seed in 0..10 {
        let mut net = net(seed, 4);
        orders(&mut net, 30 + seed as u32, &ALL);
        ALL.iter().for_each(|at| net.crash(*at));
        let before: Vec<_> = net.hosts.iter().map(|host| host.executed().len()).collect();
        ALL.iter().for_each(|at| net.restart(*at, Start::Recovering).expect("recovers"));
        net.settle(LONG, &ALL);
        orders(&mut net, 10, &ALL);
        net.settle(LONG, &ALL);
        assert!(net.hosts.iter().zip(before).all(|(host, before)| host.executed().len() >= before));
    }
}

#[test]
fn c3_a_replica_that_was_away_past_the_retention_fetches_the_state() {
    let mut net = net(3, 0);
    orders(&mut net, 10, &ALL);
    net.crash(3);
    orders(&mut net, 100, &ALL);
    net.settle(LONG, &[0, 1, 2]);
    net.run_for(Duration::from_secs(3));
    // From now on the network is idle.
    net.restart(3, Start::Recovering).expect("recovers");
    net.settle(LONG, &ALL);
    assert_eq!(events(&net, 3, |event| matches!(event, Event::StateInstalled { .. })), 1);
    // And it takes part again: without it nothing can be decided now.
    net.crash(1);
    orders(&mut net, 20, &[0, 2, 3]);
    net.settle(LONG, &[0, 2, 3]);
}

#[test]
fn t2_a_replica_that_comes_back_asks_at_once() {
    let mut net = net(3, 0);
    orders(&mut net, 10, &ALL);
    net.crash(3);
    orders(&mut net, 100, &ALL);
    net.settle(LONG, &[0, 1, 2]);
    net.run_for(Duration::from_secs(3));
    // The others have gone on beyond its window, and nothing that they say to each other tells it so. An idle network's status comes after 4 T.
    net.restart(3, Start::Recovering).expect("recovers");
    net.run_for(T * 3);
    let decided = |net: &Net, at: usize| net.hosts[at].replica.status().decided;
    assert_eq!(decided(&net, 3), decided(&net, 0));
}

#[test]
fn c3_up_to_the_retention_catching_up_is_by_chain() {
    let mut net = net(3, 16);
    orders(&mut net, 10, &ALL);
    net.crash(3);
    orders(&mut net, 14, &ALL);
    net.settle(LONG, &[0, 1, 2]);
    net.restart(3, Start::Recovering).expect("recovers");
    net.settle(LONG, &ALL);
    assert_eq!(events(&net, 3, |event| matches!(event, Event::StateInstalled { .. })), 0);
}

#[test]
fn c2_what_the_service_has_executed_above_the_stable_checkpoint_is_still_held_after_a_restart() {
    let mut net = net(5, 0);
    let (zero, slow) = (SequenceNumber::new(0), Slowness { service: (500_000_000, 500_000_000), ..Slowness::default() });
    // Two services execute nothing for a long time, so that no checkpoint becomes stable.
    net.slow_at = BTreeMap::from([(1, slow), (2, slow)]);
    orders(&mut net, 14, &ALL);
    let executed = |net: &Net, at: usize| net.hosts[at].replica.status().executed.get();
    net.run_until(LONG, "two have a snapshot", |net| executed(net, 0) > 8 && executed(net, 3) > 8);
    for at in ALL {
        net.crash(at);
        net.restart(at, Start::Recovering).expect("recovers");
        let status = net.hosts[at].replica.status();
        assert!(status.stable == zero && status.floor == zero, "{status:?}");
    }
    // D2: the log is lost, and the service's state is not. What lay in the log is fetched before anything is said again.
    net.crash(3);
    net.hosts[3].disk.with(|content| content.log.clear());
    net.restart(3, Start::Rejoining { nonce: [1; 32] }).expect("rejoins");
    let status = net.hosts[3].replica.status();
    assert!(status.floor == status.executed && status.floor > zero, "{status:?}");
    net.run_until(LONG, "R3 rejoins", |net| !net.hosts[3].replica.status().rejoining);
    let status = net.hosts[3].replica.status();
    assert!(status.stable == zero && status.floor == zero, "{status:?}");
    net.slow_at.clear();
    for at in [1, 2] {
        net.crash(at);
        net.restart(at, Start::Recovering).expect("recovers");
    }
    net.settle(LONG, &ALL);
}

#[test]
fn d2_a_replica_without_its_log_is_silent_until_a_new_view_takes_it_in() {
    let mut net = net(4, 4);
    orders(&mut net, 30, &ALL);
    net.settle(LONG, &ALL);
    net.crash(3);
    net.hosts[3].disk.with(|disk| disk.log.clear());
    assert!(net.restart(3, Start::Recovering).is_err());
    net.restart(3, Start::Rejoining { nonce: [7; 32] }).expect("rejoins");
    net.run_until(LONG, "it has rejoined", |net| !net.hosts[3].replica.status().rejoining);
    net.crash(1);
    orders(&mut net, 20, &[0, 2, 3]);
    net.settle(LONG, &[0, 2, 3]);
}

#[test]
fn d1_a_crash_at_any_write_breaks_no_promise() {
    // The first record of all is written while the net is made.
    for when in 2..90 {
        for fate in [Fate::Lost, Fate::Torn(50), Fate::Kept] {
            let mut net = net(when, 4);
            let at = (when % 4) as usize;
            net.hosts[at].crash_at = Some((when, fate));
            orders(&mut net, 24, &ALL);
            net.hosts[at].crash_at = None;
            if net.hosts[at].crashes == 1 {
                net.restart(at, Start::Recovering).unwrap_or_else(|error| panic!("write {when}, {fate:?}: {error}"));
            }
            // A crash that has not come by now would have nobody to restart it.
            net.hosts[at].crash_at = None;
            orders(&mut net, 4, &ALL);
            net.settle(LONG, &ALL);
        }
    }
}

#[test]
fn i18_after_a_restart_no_more_is_held_for_laggards_than_before_it() {
    let mut net = net(6, 8);
    orders(&mut net, 40, &ALL);
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(1));
    let status = net.hosts[0].replica.status();
    assert!(status.floor < status.stable, "{status:?}");
    // The operator has less memory for them from now on.
    net.tuning.retention_bytes_max = 0;
    net.crash(0);
    net.restart(0, Start::Recovering).expect("recovers");
    let status = net.hosts[0].replica.status();
    assert_eq!(status.floor, status.stable.min(status.executed), "{status:?}");
}

#[test]
fn p3_what_one_alone_has_decided_before_all_crashed_is_decided_by_the_others_too() {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 1, Tuning::from_timeout(Duration::from_millis(200)));
    net.delay = (1000, 1000);
    // One is faulty, and silent.
    net.crash(3);
    let three = [0, 1, 2];
    net.submit_to(0, b"one", &[0]);
    net.settle(Duration::from_secs(10), &three);
    net.submit_to(0, b"two", &[0]);
    // The request, the proposal, the Prepares: the Commits are on their way, and only R0 will hear them.
    net.run_for(Duration::from_micros(3500));
    net.crash(1);
    net.crash(2);
    net.run_for(Duration::from_millis(3));
    assert_eq!(net.hosts[0].replica.status().executed, SequenceNumber::new(2));
    net.crash(0);
    // It is back first: what it says again nobody hears. Nobody has a commit certificate, and it will not be asked for a vote on what it has executed.
    for at in three {
        net.restart(at, Start::Recovering).expect("recovers");
        net.run_for(Duration::from_millis(100));
    }
    net.settle(Duration::from_secs(60), &three);
}
