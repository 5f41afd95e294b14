//! A primary just under the timeout, and primaries that are slow through no fault of theirs. (T1)

mod support;

use logothete::sim::Trait;
use logothete::sim::forge::ForgedStatus;
use logothete::{Event, ReplicaId, Tuning, View};
use std::time::Duration;
use support::{Net, replica_key};

const T: Duration = Duration::from_millis(800);
const LIMIT: Duration = Duration::from_secs(120);

fn net(seed: u64, pace_factor: u32) -> Net {
    let mut net =
        Net::tuned(support::builder(4, 4).build().expect("a valid cluster"), seed, Tuning { pace_factor, ..Tuning::from_timeout(T) });
    // Clients write to all replicas.
    net.retry = Duration::from_millis(100);
    net
}

fn orders(net: &mut Net, count: usize, loyal: &[usize]) {
    for order in 0..count {
        net.submit_to(order % 4, &(order as u32).to_le_bytes(), &[0, 1, 2, 3]);
        if order % 4 == 3 {
            net.settle(LIMIT, loyal);
        }
    }
}

/// How long 160 orders take while the first primary, after a fair start, holds each proposal back for 0.9 T.
fn under_a_late_primary(pace_factor: u32) -> (Duration, View) {
    let mut net = net(51, pace_factor);
    orders(&mut net, 80, &[0, 1, 2, 3]);
    net.twists.insert(0, Box::new(|envelope, _| vec![(envelope.to(), envelope.encode().to_vec())]));
    net.lag.insert(0, 720_000);
    let start = net.now;
    orders(&mut net, 160, &[1, 2, 3]);
    (net.now.since(start), net.hosts[1].replica.status().view)
}

#[test]
fn t1_a_primary_just_under_the_timeout_is_found_out_by_its_pace() {
    let (without, view) = under_a_late_primary(0);
    assert_eq!(view, View::new(0), "by the timeout alone it stays");
    let (with, view) = under_a_late_primary(8);
    assert!(view > View::new(0), "it is replaced");
    assert!(with * 10 < without, "{with:?}, {without:?} without this rule");
}

fn views_left(net: &Net) -> usize {
    (0..4).map(|index| net.count_events(index, |event| matches!(event, Event::LeftView { .. }))).max().unwrap_or_default()
}

#[test]
fn t1_honest_primaries_are_not_replaced_for_slow_links_load_or_a_partition_that_healed() {
    // Links that become thirty times slower from one moment to the next.
    let mut slow = net(52, 8);
    orders(&mut slow, 80, &[0, 1, 2, 3]);
    slow.delay = (20_000, 40_000);
    orders(&mut slow, 80, &[0, 1, 2, 3]);
    assert_eq!(views_left(&slow), 0, "slow links");
    // A backlog far beyond the pipeline.
    let mut loaded = net(53, 8);
    orders(&mut loaded, 80, &[0, 1, 2, 3]);
    for order in 0..800_u32 {
        loaded.submit_to(order as usize % 4, &order.to_le_bytes(), &[0, 1, 2, 3]);
    }
    loaded.settle(LIMIT, &[0, 1, 2, 3]);
    assert_eq!(views_left(&loaded), 0, "load");
    // Nobody hears anybody for a while; afterwards views settle, however impatient everybody was.
    let mut healed = net(54, 8);
    orders(&mut healed, 80, &[0, 1, 2, 3]);
    healed.cut.extend((0..4).flat_map(|from| (0..4).map(move |to| (from, to))));
    healed.submit_to(0, b"cut off", &[0, 1, 2, 3]);
    healed.run_for(Duration::from_secs(3));
    healed.cut.clear();
    healed.settle(LIMIT, &[0, 1, 2, 3]);
    let before = views_left(&healed);
    orders(&mut healed, 80, &[0, 1, 2, 3]);
    assert_eq!(views_left(&healed), before, "after healing");
}

#[test]
fn t1_a_request_that_the_primary_does_not_know_is_passed_on_before_it_is_blamed() {
    let mut net = net(55, 8);
    orders(&mut net, 80, &[0, 1, 2, 3]);
    net.retry = LIMIT;
    for order in 0..20_u32 {
        net.submit_to(0, &order.to_le_bytes(), &[2]);
        net.settle(LIMIT, &[0, 1, 2, 3]);
    }
    assert_eq!(views_left(&net), 0);
}

/// How long orders wait on average, and at most, of which one comes in each second of an hour: where the last f replicas are silent, but for wishing for a
/// view that never comes, and for saying that their logs are lost wherever a primary is correct.
fn beside_traitors_that_skip_views(replicas: usize) -> (Duration, Duration) {
    let cluster = support::builder(replicas, 1).with_keyed_hash().build().expect("a valid cluster");
    let (n, q, interval) = (replicas, cluster.quorum() as usize, Tuning::default().rejoin_interval);
    let mut net = Net::tuned(cluster, 55, Tuning::default());
    let traitors: Vec<usize> = (q..n).collect();
    for traitor in &traitors {
        net.betray(*traitor, Trait::Silent);
        let wish = ForgedStatus { ordinal: 1, want: View::new(u64::MAX / 2), ..ForgedStatus::default() };
        let wish = net.forge.status_of((ReplicaId::new(*traitor as u32), &replica_key(*traitor)), &wish);
        (0..q).for_each(|to| net.post(Some(*traitor), to, wish.clone()));
    }
    let mut helps: Vec<_> = traitors.iter().flat_map(|traitor| (0..q).map(|to| (*traitor, to, net.now))).collect();
    let (mut asked, mut waits) = (Vec::new(), Vec::new());
    let (start, mut nonce) = (net.now, 0_u64);
    while waits.len() < 1800 {
        if asked.len() < 1800 && net.now >= start.after(Duration::from_secs(1) * asked.len() as u32) {
            net.submit_to(0, b"order", &(0..q).collect::<Vec<_>>());
            asked.push(net.now);
        }
        net.run_for(Duration::from_millis(10));
        let executed = (0..q).map(|at| net.hosts[at].executed().len()).max().unwrap_or_default();
        waits.extend((waits.len()..executed).map(|order| net.now.since(asked[order])));
        let status = net.hosts[0].replica.status();
        let agreed = (0..q).all(|at| net.hosts[at].replica.status().wish == status.view && net.hosts[at].replica.status().normal);
        if agreed && (status.view.get() % n as u64) < q as u64 {
            if let Some((traitor, to, due)) = helps.iter_mut().find(|(_, _, due)| *due <= net.now) {
                nonce += 1;
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&nonce.to_le_bytes());
                let rejoin = net.forge.rejoin((ReplicaId::new(*traitor as u32), &replica_key(*traitor)), bytes);
                net.post(Some(*traitor), *to, rejoin);
                *due = net.now.after(interval + Duration::from_millis(200));
            }
        }
    }
    (waits.iter().sum::<Duration>() / waits.len() as u32, waits.into_iter().max().unwrap_or_default())
}

#[test]
fn t1_f_traitors_that_have_the_views_of_correct_primaries_skipped_keep_nothing_waiting_for_long() {
    for replicas in [4, 7] {
        let (mean, longest) = beside_traitors_that_skip_views(replicas);
        assert!(mean < Duration::from_secs(1), "n = {replicas}: {mean:?}");
        assert!(longest < Duration::from_secs(12), "n = {replicas}: {longest:?}");
    }
}
