//! D2: replicas whose logs are lost, and who must not be able to keep them out.

mod support;

use logothete::sim::forge::Seen;
use logothete::{MessageKind, Recipients, ReplicaId, SequenceNumber, Start, Tuning, View};
use std::collections::BTreeMap;
use std::time::Duration;
use support::gang::Gang;
use support::{Net, Slowness, builder, replica_key};

const ALL: [usize; 4] = [0, 1, 2, 3];
const LONG: Duration = Duration::from_secs(120);
const T: Duration = Duration::from_millis(200);

fn net(replicas: usize, seed: u64) -> Net {
    let cluster = builder(replicas, 2).checkpoint_interval(4).log_window(16).pipeline(4).build().expect("a valid cluster");
    Net::tuned(cluster, seed, Tuning { retention: 4, ..Tuning::from_timeout(T) })
}

fn orders(net: &mut Net, count: u32, replicas: &[usize]) {
    for order in 0..count {
        net.submit_to(order as usize % 2, &order.to_le_bytes(), replicas);
        net.run_for(Duration::from_millis(3));
    }
}

fn lose(net: &mut Net, at: usize, nonce: u8, with_store: bool) {
    net.crash(at);
    net.hosts[at].disk.with(|disk| {
        disk.log.clear();
        if with_store {
            disk.files.clear();
        }
    });
    net.restart(at, Start::Rejoining { nonce: [nonce; 32] }).expect("rejoins");
}

fn rejoined(net: &mut Net, at: usize) {
    net.run_until(LONG * 4, "it has rejoined", |net| !net.hosts[at].replica.status().rejoining);
}

/// Nobody hears or is heard by `at`.
fn isolate(net: &mut Net, at: usize) {
    for other in (0..net.hosts.len()).filter(|other| *other != at) {
        net.cut.insert((at, other));
        net.cut.insert((other, at));
    }
}

#[test]
fn d2_with_or_without_its_snapshots_a_replica_rejoins_and_counts() {
    for with_store in [false, true] {
        for at in ALL {
            let mut net = net(4, 1);
            orders(&mut net, 50, &ALL);
            net.settle(LONG, &ALL);
            lose(&mut net, at, 1, with_store);
            orders(&mut net, 20, &ALL);
            net.settle(LONG, &ALL);
            rejoined(&mut net, at);
            // Without it nothing can be decided now.
            let other = (at + 1) % 4;
            net.crash(other);
            let three: Vec<usize> = ALL.into_iter().filter(|index| *index != other).collect();
            orders(&mut net, 20, &three);
            net.settle(LONG, &three);
        }
    }
}

#[test]
fn d2_beside_as_many_traitors_as_there_can_be_a_replica_rejoins() {
    // One of seven plots, one forgets: these are the two that may be faulty.
    for seed in 0..6 {
        let mut net = net(7, seed);
        let traitor = (seed % 2) as usize;
        let gang = Gang::new(seed, 7, net.cluster.quorum() as usize, &[traitor], 3);
        let plot = gang.clone();
        net.twists.insert(traitor, Box::new(move |envelope, forge| plot.borrow_mut().act(traitor, envelope, forge)));
        net.tap = Some(gang);
        let loyal = net.loyal();
        orders(&mut net, 30, &loyal);
        let at = loyal[seed as usize % 6];
        // The traitor knows the nonce, and answers what it likes.
        lose(&mut net, at, 1 + (seed % 4) as u8, seed % 3 == 0);
        orders(&mut net, 10, &loyal);
        rejoined(&mut net, at);
        orders(&mut net, 10, &loyal);
        net.settle(LONG * 10, &loyal);
        net.oracle.claims.check(net.cluster.quorum() as usize - 1);
    }
}

#[test]
fn d2_one_after_the_other_all_lose_their_logs() {
    let mut net = net(4, 2);
    for round in 0..8 {
        orders(&mut net, 10, &ALL);
        net.settle(LONG, &ALL);
        let at = round % 4;
        lose(&mut net, at, round as u8 + 1, round >= 4);
        rejoined(&mut net, at);
    }
    orders(&mut net, 20, &ALL);
    net.settle(LONG, &ALL);
    net.oracle.claims.check(net.cluster.quorum() as usize);
}

#[test]
fn d2_one_after_the_other_all_lose_their_logs_before_a_checkpoint() {
    for with_store in [false, true] {
        // Everything fits into one interval: what is decided is held as batches, or not at all.
        let cluster = builder(4, 2).checkpoint_interval(64).log_window(128).pipeline(4).build().expect("a valid cluster");
        let mut net = Net::tuned(cluster, 7, Tuning { retention: 0, ..Tuning::from_timeout(T) });
        orders(&mut net, 10, &ALL);
        net.settle(LONG, &ALL);
        for at in ALL {
            lose(&mut net, at, at as u8 + 1, with_store);
            rejoined(&mut net, at);
        }
        // What they know now is what is on record.
        ALL.into_iter().for_each(|at| net.crash(at));
        for at in ALL {
            net.restart(at, Start::Recovering).expect("recovers");
            assert_eq!(net.hosts[at].replica.status().stable, SequenceNumber::new(0));
        }
        lose(&mut net, 0, 9, true);
        rejoined(&mut net, 0);
        net.settle(LONG, &ALL);
        net.oracle.claims.check(net.cluster.quorum() as usize);
    }
}

#[test]
fn d2_a_replica_that_cannot_get_back_what_it_vouched_for_stays_silent() {
    let mut net = net(4, 8);
    orders(&mut net, 3, &ALL);
    net.settle(LONG, &ALL);
    lose(&mut net, 3, 1, true);
    // It hears of views, not of batches.
    net.mute.insert(MessageKind::Chain);
    net.run_for(Duration::from_secs(60));
    let status = net.hosts[3].replica.status();
    assert!(status.rejoining && status.view > View::new(0), "{status:?}");
    net.mute.clear();
    rejoined(&mut net, 3);
    net.settle(LONG, &ALL);
}

#[test]
fn d2_a_wish_that_one_replica_has_alone_keeps_nobody_out() {
    let mut net = net(4, 3);
    orders(&mut net, 20, &ALL);
    net.settle(LONG, &ALL);
    // R2 loses patience with a primary that does not hear of its client.
    isolate(&mut net, 2);
    net.submit_to(0, b"unheard", &[2]);
    net.run_until(LONG, "R2 wishes", |net| net.hosts[2].replica.status().wish > View::new(0));
    net.cut.clear();
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.hosts[0].replica.status().view, View::new(0));
    lose(&mut net, 3, 1, false);
    rejoined(&mut net, 3);
}

#[test]
fn d2_who_missed_a_loss_hears_the_replica_all_the_same() {
    // Five others of seven answer; R1 hears of nothing.
    let mut net = net(7, 5);
    let all: Vec<usize> = (0..7).collect();
    orders(&mut net, 200, &all);
    net.settle(LONG, &all);
    isolate(&mut net, 1);
    lose(&mut net, 6, 1, true);
    rejoined(&mut net, 6);
    net.cut.clear();
    orders(&mut net, 4, &all);
    net.settle(LONG, &all);
    // Two are gone, the primary among them. Five are a quorum, R1 and R6 among them. What they say at once is lost, all of it: only statuses tell of it.
    net.mute.insert(MessageKind::ViewChange);
    let primary = net.cluster.primary(net.hosts[1].replica.status().view).get() as usize;
    let gone: Vec<usize> = [primary, 0, 2, 3].into_iter().filter(|at| ![1, 6].contains(at)).take(2).collect();
    gone.iter().for_each(|at| net.crash(*at));
    let rest: Vec<usize> = all.into_iter().filter(|at| !gone.contains(at)).collect();
    orders(&mut net, 20, &rest);
    net.settle(LONG, &rest);
}

#[test]
fn d2_words_from_before_the_loss_do_not_drown_those_after_it() {
    // Somebody on the network has kept what R3 said with its old log, which was long, and says it again all the time.
    let mut net = net(4, 6);
    orders(&mut net, 200, &ALL);
    net.settle(LONG, &ALL);
    let (id, key) = (ReplicaId::new(3), replica_key(3));
    let (zero, genesis) = (View::new(0), net.forge.genesis());
    let mut old = Vec::new();
    for ordinal in 1_u64..200 {
        let ordinal = (1 << 40) + ordinal;
        let decided = SequenceNumber::new(ordinal % 100);
        old.push(net.forge.status((id, &key), ordinal, zero, zero, decided));
        old.push(net.forge.fetch((id, &key), ordinal, SequenceNumber::new(0), (SequenceNumber::new(1), genesis)));
    }
    lose(&mut net, 3, 1, true);
    let mut turn = old.into_iter().cycle();
    let mut waited = 0;
    while net.hosts[3].replica.status().rejoining || net.hosts[3].replica.status().executed < net.hosts[0].replica.status().executed {
        for to in [0, 1, 2] {
            for bytes in turn.by_ref().take(2) {
                net.post(None, to, bytes);
            }
        }
        net.run_for(Duration::from_millis(10));
        waited += 1;
        assert!(waited < 6000, "R3 is not heard: {}", net.describe());
    }
}

#[test]
fn t2_a_question_from_before_a_loss_does_not_keep_a_replica_behind_for_ever() {
    let mut net = net(4, 6);
    orders(&mut net, 200, &ALL);
    net.settle(LONG, &ALL);
    let old = net.forge.fetch(
        (ReplicaId::new(3), &replica_key(3)),
        1 << 40,
        SequenceNumber::new(0),
        (SequenceNumber::new(1), net.forge.genesis()),
    );
    lose(&mut net, 3, 1, true);
    rejoined(&mut net, 3);
    net.settle(LONG, &ALL);
    // Nobody remembers that R3 counts its ordinals anew; and somebody has kept one question of before, from a log that was long.
    for at in [0, 1] {
        net.crash(at);
        net.restart(at, Start::Recovering).expect("recovers");
        net.settle(LONG, &ALL);
    }
    for to in [0, 1] {
        net.post(None, to, old.clone());
    }
    net.run_for(Duration::from_secs(1));
    isolate(&mut net, 3);
    orders(&mut net, 200, &[0, 1, 2]);
    net.settle(LONG, &[0, 1, 2]);
    net.cut.clear();
    // Now R3 is needed, and has to ask for a state.
    net.crash(2);
    orders(&mut net, 4, &[0, 1, 3]);
    net.settle(LONG, &[0, 1, 3]);
}

#[test]
fn d2_the_question_of_a_first_loss_does_not_keep_a_replica_out_after_a_second() {
    let mut net = net(4, 7);
    // A view takes longer to begin than R3 waits before it asks again.
    net.delay = (10_000, 15_000);
    orders(&mut net, 20, &ALL);
    net.settle(LONG, &ALL);
    let old = net.forge.rejoin((ReplicaId::new(3), &replica_key(3)), [1; 32]);
    lose(&mut net, 3, 1, true);
    rejoined(&mut net, 3);
    lose(&mut net, 3, 2, true);
    let limit = net.now.after(LONG);
    while net.hosts[3].replica.status().rejoining {
        (0..3).for_each(|to| net.post(None, to, old.clone()));
        net.run_for(Duration::from_millis(1));
        assert!(net.now < limit, "R3 is kept out: {}", net.describe());
    }
}

#[test]
fn d2_a_replica_speaks_when_the_state_that_it_vouched_for_is_durable_again() {
    let cluster = builder(4, 2).checkpoint_interval(4).log_window(64).pipeline(4).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 7, Tuning { retention: 64, ..Tuning::from_timeout(T) });
    orders(&mut net, 12, &ALL);
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(3));
    let stable = net.hosts[0].replica.status().stable;
    assert!(stable > SequenceNumber::new(0));
    // All batches are still held by the others, and its service takes for ever to execute them.
    net.slow_at.insert(0, Slowness { service: (9_000_000_000, 9_000_000_000), ..Slowness::default() });
    lose(&mut net, 0, 1, true);
    net.run_for(Duration::from_secs(60));
    let status = net.hosts[0].replica.status();
    assert!(status.decided >= stable && status.view > View::new(0) && status.rejoining, "{status:?}");
    net.slow_at.clear();
    net.crash(0);
    net.restart(0, Start::Recovering).expect("recovers");
    rejoined(&mut net, 0);
    net.crash(0);
    net.restart(0, Start::Recovering).expect("recovers");
    let status = net.hosts[0].replica.status();
    assert!(status.executed >= stable, "{status:?}");
    net.settle(LONG, &ALL);
}

#[test]
fn i18_old_blocks_that_nobody_asked_for_are_not_kept() {
    let mut net = net(4, 9);
    net.record = Some(Vec::new());
    orders(&mut net, 90, &ALL);
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(1));
    let mut blocks = BTreeMap::new();
    for (_, bytes) in net.record.take().expect("recorded") {
        if let Ok(Seen::PrePrepare { block, .. }) = net.forge.read(&bytes) {
            blocks.insert(block.sequence_number().get(), block);
        }
    }
    let before = net.hosts[0].replica.status();
    // From one that is held down to the first.
    let top = before.floor.get() + 1;
    assert!(top > 20, "{before:?}");
    let all: Vec<_> = (1..=top).rev().map(|number| blocks.remove(&number).expect("seen")).collect();
    let bytes = net.forge.chain(None, &all);
    net.deliver(0, &bytes);
    let after = net.hosts[0].replica.status();
    assert_eq!((after.floor, after.blocks, after.usage), (before.floor, before.blocks, before.usage));
}

#[test]
fn i18_who_has_not_heard_of_the_stable_checkpoint_takes_back_no_block_that_may_be_below_it() {
    let mut net = net(4, 10);
    net.record = Some(Vec::new());
    orders(&mut net, 90, &ALL);
    net.settle(LONG, &ALL);
    net.run_for(Duration::from_secs(1));
    let mut blocks = BTreeMap::new();
    for (_, bytes) in net.record.take().expect("recorded") {
        if let Ok(Seen::PrePrepare { block, .. }) = net.forge.read(&bytes) {
            blocks.insert(block.sequence_number().get(), block);
        }
    }
    // Its log is lost, its service is not; and nobody but a liar is to be heard.
    isolate(&mut net, 0);
    lose(&mut net, 0, 1, false);
    let before = net.hosts[0].replica.status();
    assert!(before.stable == SequenceNumber::new(0) && before.floor.get() > 20, "{before:?}");
    let all: Vec<_> = (1..=before.floor.get()).rev().map(|number| blocks.remove(&number).expect("seen")).collect();
    let bytes = net.forge.chain(None, &all);
    net.deliver(0, &bytes);
    let after = net.hosts[0].replica.status();
    assert_eq!((after.floor, after.blocks), (before.floor, before.blocks));
    net.cut.clear();
    rejoined(&mut net, 0);
    net.settle(LONG, &ALL);
}

#[test]
fn t1_one_that_loses_its_log_all_day_leaves_an_idle_cluster_as_quick_as_it_was() {
    let cluster = builder(7, 2).with_keyed_hash().build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 1, Tuning { rejoin_interval: 20 * T, ..Tuning::from_timeout(T) });
    // It says nothing else, and none of its own views begins.
    let (key, mut nonce) = (replica_key(6), 0_u8);
    net.twists.insert(
        6,
        Box::new(move |envelope, forge| {
            if envelope.kind() != MessageKind::Status {
                return Vec::new();
            }
            nonce = nonce.wrapping_add(1);
            vec![(Recipients::AllReplicas, forge.rejoin((ReplicaId::new(6), &key), [nonce; 32]))]
        }),
    );
    let view = |net: &Net| net.hosts[0].replica.standing().view.get();
    net.run_for(20 * T * 40);
    // For a while from now on none is left, and the primary of this one is not that one.
    let last = view(&net);
    net.run_until(LONG, "a view", |net| {
        view(net) > last && view(net) % 7 < 5 && net.hosts[..6].iter().all(|host| host.replica.status().normal)
    });
    assert!(view(&net) >= 30, "views were left: {}", view(&net));
    // Now the primary of a view dies, and somebody has an order.
    let primary = (view(&net) % 7) as usize;
    net.twists.insert(primary, Box::new(|_, _| Vec::new()));
    let start = net.now;
    net.submit(0, b"order");
    let loyal: Vec<usize> = (0..6).filter(|at| *at != primary).collect();
    net.settle(T * 4, &loyal);
    assert!(net.now.since(start) < T * 4, "{:?}", net.now.since(start));
}
