//! Networks that are slow, torn and healed over and over, or one-way, for a whole cluster.

use logothete::sim::{Net, builder, replica_key};
use logothete::{ClientTuning, Event, MessageKind, Recipients, ReplicaId, SequenceNumber, Start, Tuning, View};
use std::collections::BTreeSet;
use std::time::Duration;

const ALL: [usize; 4] = [0, 1, 2, 3];
const TIMEOUT: Duration = Duration::from_millis(100);

fn net(seed: u64) -> Net {
    Net::tuned(builder(4, 2).with_keyed_hash().build().expect("a valid cluster"), seed, Tuning::from_timeout(TIMEOUT))
}

/// Nothing passes between these and the others.
fn cut(net: &mut Net, apart: &[usize]) {
    net.cut = ALL
        .iter()
        .flat_map(|from| ALL.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| apart.contains(from) != apart.contains(to))
        .collect();
}

#[test]
fn t1_delays_of_ten_timeouts_for_all_are_adapted_to() {
    let mut net = net(1);
    net.delay = (9 * TIMEOUT.as_micros() as u64, 10 * TIMEOUT.as_micros() as u64);
    net.retry = TIMEOUT * 40;
    net.submit_to(0, b"first", &ALL);
    net.settle(TIMEOUT * 2000, &ALL);
    // Patience is about long enough now: what follows is executed at the pace of the network, and views last.
    let start = net.now;
    let view = |net: &Net| net.hosts[0].replica.standing().view.get();
    let before = view(&net);
    for order in 0..10_u8 {
        net.submit(1, &[order]);
        net.settle(TIMEOUT * 200, &ALL);
    }
    assert!(net.now.since(start) < TIMEOUT * 10 * 60, "{:?} for ten orders", net.now.since(start));
    assert!(view(&net) <= before + 2, "{} views", view(&net) - before);
    net.oracle.claims.check(net.cluster.quorum() as usize);
}

#[test]
fn t1_delays_of_ten_timeouts_are_adapted_to_beside_one_that_always_wishes_for_more_whoever_knows_what_waits() {
    for seed in 1..=8 {
        let mut net = net(seed);
        net.delay = (TIMEOUT.as_micros() as u64, 10 * TIMEOUT.as_micros() as u64);
        net.retry = TIMEOUT * 1000;
        // Silent but for this: so that each who loses patience takes the others with it.
        let (key, mut ordinal) = (replica_key(3), 0);
        net.twists.insert(
            3,
            Box::new(move |envelope, forge| {
                ordinal += 1;
                let status = forge.status((ReplicaId::new(3), &key), ordinal, View::new(0), View::new(u64::MAX), SequenceNumber::new(0));
                if envelope.kind() == MessageKind::Status { vec![(Recipients::AllReplicas, status)] } else { Vec::new() }
            }),
        );
        // One alone has it.
        net.submit_to(0, b"first", &[seed as usize % 3]);
        net.settle(TIMEOUT * 2000, &ALL[..3]);
        let (start, before) = (net.now, net.hosts[0].replica.standing().view.get());
        for order in 0..10_u8 {
            net.submit_to(1, &[order], &[order as usize % 3]);
            net.settle(TIMEOUT * 500, &ALL[..3]);
        }
        assert!(before <= 12, "{before} views until one was long enough");
        let after = net.hosts[0].replica.standing().view.get();
        assert!(net.now.since(start) < TIMEOUT * 10 * 60 && after <= before + 4, "{:?}, {} views", net.now.since(start), after - before);
        net.oracle.claims.check(net.cluster.quorum() as usize);
    }
}

#[test]
fn t1_partitions_that_flap_with_each_timeout_end_in_agreement_and_patience_stays_bounded() {
    for seed in 0..10 {
        let mut net = net(seed);
        for flap in 0..60_u8 {
            let sides: [&[usize]; 4] = [&[0, 1], &[], &[0, 2], &[3]];
            cut(&mut net, sides[usize::from(flap) % 4]);
            net.submit_to(usize::from(flap % 2), &[flap], &[usize::from(flap) % 4]);
            net.run_for(TIMEOUT);
        }
        net.cut.clear();
        let most = net.tuning.backoff_max;
        assert!(ALL.iter().all(|at| net.hosts[*at].replica.status().backoff <= most));
        // The longest patience, for the view under way and one more.
        net.settle(TIMEOUT * 2 * (1 << most), &ALL);
        net.oracle.claims.check(net.cluster.quorum() as usize);
    }
}

#[test]
fn t2_a_replica_that_only_hears_or_only_speaks_holds_nobody_up_and_catches_up() {
    for only_hears in [true, false] {
        let mut net = net(3);
        net.cut = [0, 1, 3].iter().map(|other| if only_hears { (2, *other) } else { (*other, 2) }).collect();
        for order in 0..50_u8 {
            net.submit_to(0, &[order], &[0, 1, 3]);
            net.run_for(TIMEOUT / 10);
        }
        net.settle(TIMEOUT * 10, &[0, 1, 3]);
        assert_eq!([0, 1, 3].map(|at| net.hosts[at].replica.standing().view.get()), [0; 3]);
        net.cut.clear();
        net.settle(TIMEOUT * 100, &ALL);
    }
}

/// Its connections are made a moment too late, and nobody has anything to say that would tell it how far the others are.
#[test]
fn t2_a_replica_whose_first_question_is_lost_asks_again_at_the_pace() {
    for seed in 0..10 {
        let mut net = net(seed);
        // A client of the crate's own: it says nothing more when it is answered.
        net.enlist(0, ClientTuning::default());
        let ask = |net: &mut Net, count: u8| {
            for order in 0..count {
                net.ask(0, &[order]).expect("taken");
                net.run_until(TIMEOUT * 10, "answered", Net::all_answered);
            }
        };
        // Nothing that it promised is open when it comes back.
        net.run_for(TIMEOUT);
        net.crash(3);
        ask(&mut net, 20);
        // Idle replicas say something every 4 T: it comes back well before they do.
        net.run_for(TIMEOUT * 9);
        cut(&mut net, &[3]);
        net.restart(3, Start::Recovering).expect("its log is whole");
        net.run_for(TIMEOUT / 20);
        net.cut.clear();
        // Two intervals of T / 8, and the way there and back.
        let decided = |net: &Net, at: usize| net.hosts[at].replica.standing().decided;
        net.run_until(TIMEOUT / 2, "it has caught up", |net| decided(net, 3) == decided(net, 0));
    }
}

/// One client's orders one after the other: with and without half of all messages arriving twice the state is the same.
#[test]
fn s1_half_of_all_messages_twice_leaves_the_same_state() {
    let state = |duplication: u64| {
        let mut net = net(4);
        net.duplication = duplication;
        for order in 0..40_u8 {
            net.submit(0, &[order]);
            net.settle(TIMEOUT * 4, &ALL);
        }
        let done = ALL.map(|at| net.hosts[at].executed().to_vec());
        assert!(done.iter().all(|done| *done == done_of(&net)));
        (done_of(&net), net.hosts[0].replica.status().log_digest)
    };
    assert_eq!(state(0), state(50));
}

fn done_of(net: &Net) -> Vec<logothete::sim::disk::Done> {
    net.hosts[0].executed().to_vec()
}

/// What was on its way for long arrives all at once when all is settled: it is dropped, and draws nothing out of proportion.
#[test]
fn t2_a_burst_of_old_messages_after_a_heal_draws_few_answers() {
    let mut net = net(5);
    net.record = Some(Vec::new());
    for flap in 0..20_u8 {
        let sides: [&[usize]; 2] = [&[0, 1], &[]];
        cut(&mut net, sides[usize::from(flap) % 2]);
        net.submit_to(0, &[flap], &[usize::from(flap) % 4]);
        net.run_for(TIMEOUT);
    }
    net.cut.clear();
    net.settle(TIMEOUT * 200, &ALL);
    net.run_for(TIMEOUT * 20);
    let old = net.record.take().expect("recorded");
    assert!(old.len() > 300, "{}", old.len());
    let before = net.sent_kinds.values().map(|(count, _)| *count).sum::<u64>();
    for (from, bytes) in &old {
        ALL.iter().filter(|to| *to != from).for_each(|to| {
            net.deliver(*to, bytes);
        });
    }
    let drawn = net.sent_kinds.values().map(|(count, _)| *count).sum::<u64>() - before;
    assert!(drawn < 600, "{drawn} messages for {} old ones", 3 * old.len());
    let views: BTreeSet<u64> = ALL.iter().map(|at| net.hosts[*at].replica.standing().view.get()).collect();
    net.submit(1, b"and on");
    net.settle(TIMEOUT * 4, &ALL);
    assert_eq!(views, ALL.iter().map(|at| net.hosts[*at].replica.standing().view.get()).collect(), "nobody was moved by it");
    assert_eq!(net.sent_kinds.get(&MessageKind::Evidence), None);
    assert_eq!(net.count_events(0, |event| matches!(event, Event::Evidence(_))), 0);
}
