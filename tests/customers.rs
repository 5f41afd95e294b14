//! The crate's own clients against a whole cluster, on a bad network and beside each traitor: each request is answered once and truly. (S1, S2)

use logothete::sim::{Net, Trait, builder};
use logothete::{ClientTuning, Event, Limits, Tuning};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(100);

/// 40 requests of two clients, some at once, with losses and doubles; how many were answered, and how many with a receipt.
fn served(treason: Option<Trait>, seed: u64) -> (usize, usize) {
    let mut net = Net::tuned(builder(4, 2).with_keyed_hash().build().expect("a valid cluster"), seed, Tuning::from_timeout(TIMEOUT));
    treason.into_iter().for_each(|treason| net.betray(0, treason));
    (0..2).for_each(|client| net.enlist(client, ClientTuning { retransmit_timeout: TIMEOUT / 2, ..ClientTuning::default() }));
    (net.loss, net.duplication) = (15, 15);
    for order in 0..40_u8 {
        net.ask(usize::from(order % 2), &[order; 20]).expect("taken");
        net.run_for(TIMEOUT / 20 * u32::from(order % 5));
    }
    net.loss = 0;
    net.run_until(TIMEOUT * 1000, "everything is answered", Net::all_answered);
    net.settle(TIMEOUT * 1000, &net.loyal());
    let completions: Vec<_> = net.desks.values().flat_map(|desk| &desk.completions).collect();
    (completions.len(), completions.iter().filter(|completion| completion.outcome.receipt().is_some()).count())
}

#[test]
fn s2_requests_are_answered_once_and_truly_on_a_bad_network() {
    for seed in 0..10 {
        let (answered, receipts) = served(None, seed);
        assert_eq!(answered, 40);
        assert!(receipts > 30, "{receipts}");
    }
}

#[test]
fn s2_requests_are_answered_once_and_truly_beside_each_traitor() {
    for treason in Trait::ALL {
        assert_eq!(served(Some(treason), 77).0, 40, "{treason:?}");
    }
}

/// Where four of its operations have room in a pool, the rest is refused, and its client is not told.
#[test]
fn s1_a_window_that_no_pool_has_room_for_is_executed_as_fast_as_room_is_made() {
    let limits = Limits { operation_bytes_max: 1000, ..Limits::default() };
    let cluster = builder(4, 1).with_keyed_hash().limits(limits).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 5, Tuning { pool_bytes_max: 4 * 1120, ..Tuning::from_timeout(TIMEOUT) });
    net.enlist(0, ClientTuning { retransmit_timeout: TIMEOUT / 2, ..ClientTuning::default() });
    for order in 0..60 {
        net.ask(0, &[order; 1000]).expect("taken");
    }
    net.run_until(TIMEOUT * 15, "a timeout for each four at most", Net::all_answered);
    assert!(net.count_events(0, |event| matches!(event, Event::Refused { .. })) > 0, "there was no room");
}

/// The results of replicas are looked at, not only counted: where all but one of four replicas lie a client is deceived, and the simulation says so.
#[test]
#[should_panic(expected = "S2: client")]
fn s2_more_liars_than_there_may_be_are_found_out() {
    let mut net = Net::tuned(builder(4, 1).with_keyed_hash().build().expect("a valid cluster"), 5, Tuning::from_timeout(TIMEOUT));
    [1, 2, 3].into_iter().for_each(|liar| net.betray(liar, Trait::FalseWitness));
    net.enlist(0, ClientTuning { retransmit_timeout: TIMEOUT / 2, ..ClientTuning::default() });
    for order in 0..40_u8 {
        net.ask(0, &[order]);
        net.run_for(TIMEOUT);
    }
    net.run_until(TIMEOUT * 1000, "everything is answered", Net::all_answered);
}
