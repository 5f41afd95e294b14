//! A primary just under the timeout, and primaries that are slow through no fault of theirs. (T1)

mod support;

use logothete::{Event, Tuning, View};
use std::time::Duration;
use support::Net;

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
