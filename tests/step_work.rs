//! What a step costs: how many blocks and requests it looks at. What grows with the square of a pipeline of a thousand looks at hundreds of times as many. (I18)

mod support;

use logothete::sim::forge::ForgedBlock;
use logothete::sim::forge::Kind::Commit;
use logothete::sim::forge::Seen;
use logothete::sim::looks;
use logothete::{Cluster, Digest, Disposition, MessageKind, RequestNumber, SigningKey, Tuning};
use std::array;
use std::time::Duration;
use support::solo::{Solo, T, at, view};
use support::{builder, replica_key};

const P: u64 = 1024;
/// For a step that walks down a chain a few times, and not once from each of its blocks.
const MOST: u64 = 8 * P;

/// Replica 1 of 4 has accepted block 1. Beside it there is this one.
fn backup() -> (Solo, ForgedBlock) {
    let cluster = builder(4, 2).with_keyed_hash().checkpoint_interval(P).log_window(2 * P).pipeline(P).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(1000 * T));
    let first = solo.blocks(1).remove(0);
    solo.propose(0, &first);
    assert_eq!(solo.replica.status().head, at(1));
    let other = solo.block_saying(1, solo.genesis().1, 1, b"another order");
    (solo, other)
}

/// The primary shows a chain of proposals from here up to the end of the pipeline.
fn show(solo: &mut Solo, from: u64, mut parent: Digest) {
    for number in from..=P {
        let block = solo.block(number, parent, number);
        assert_eq!(solo.propose(0, &block), Disposition::Applied);
        parent = block.digest();
    }
    assert_eq!(solo.replica.status().head, at(1));
}

fn give(solo: &mut Solo, block: &ForgedBlock) {
    let chain = solo.forge.chain(None, std::slice::from_ref(block));
    assert_eq!(solo.feed(&chain), Disposition::Applied);
}

/// How much a step looks at in which a question is due for what is lacking.
fn a_step(solo: &mut Solo) -> u64 {
    let before = looks();
    solo.pass(T / 8);
    looks() - before
}

#[test]
fn i18_a_step_does_not_walk_down_from_each_proposal_of_a_chain_beside_head() {
    let (mut solo, other) = backup();
    show(&mut solo, 2, other.digest());
    let looked = a_step(&mut solo);
    assert!(looked < MOST, "where its lowest block is lacking: {looked}");
    give(&mut solo, &other);
    let looked = a_step(&mut solo);
    assert!(looked < MOST, "{looked}");
}

#[test]
fn i18_a_step_does_not_walk_down_from_each_proposal_of_a_chain_that_breaks_off() {
    let (mut solo, other) = backup();
    let second = solo.block(2, other.digest(), 2);
    solo.propose(0, &second);
    give(&mut solo, &other);
    // Its parent stands at 1, and not at 2.
    show(&mut solo, 3, other.digest());
    // And something is lacking all the time.
    let lacking = solo.block(P + 1, Digest::new([9; 32]), 1);
    solo.propose(0, &lacking);
    let looked = a_step(&mut solo);
    assert!(looked < MOST, "{looked}");
}

/// Replica 1 of 4 has accepted all of these.
fn accepted(count: u64) -> (Solo, Vec<ForgedBlock>) {
    let cluster = builder(4, 2).with_keyed_hash().checkpoint_interval(P).log_window(2 * P).pipeline(P).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(1000 * T));
    let blocks = solo.blocks(count);
    blocks.iter().for_each(|block| assert_eq!(solo.propose(0, block), Disposition::Applied));
    assert_eq!(solo.replica.status().head, at(count));
    (solo, blocks)
}

/// How much the last of the votes looks at that decide a block.
fn a_decision(solo: &mut Solo, block: &ForgedBlock) -> u64 {
    let position = (block.sequence_number(), block.digest());
    [0, 2].into_iter().for_each(|from| assert_eq!(solo.vote(from, Commit, 0, position), Disposition::Applied));
    let before = looks();
    solo.vote(3, Commit, 0, position);
    assert_eq!(solo.replica.status().decided, block.sequence_number());
    looks() - before
}

#[test]
fn i18_a_decision_does_not_walk_down_from_each_proposal_where_something_is_lacking() {
    let (mut solo, blocks) = accepted(P);
    let lacking = solo.block(P + 2, Digest::new([9; 32]), 1);
    solo.propose(0, &lacking);
    for block in &blocks[..3] {
        let looked = a_decision(&mut solo, block);
        assert!(looked < MOST, "{looked}");
    }
}

#[test]
fn i18_a_decision_does_not_walk_down_from_each_proposal_where_the_chain_parts() {
    let half = P / 2;
    let (mut solo, blocks) = accepted(half);
    let other = solo.block_saying(half, blocks[half as usize - 2].digest(), half, b"another order");
    let mut parent = other.digest();
    for number in half + 1..=P {
        let block = solo.block(number, parent, number);
        assert_eq!(solo.propose(0, &block), Disposition::Applied);
        parent = block.digest();
    }
    give(&mut solo, &other);
    assert_eq!(solo.replica.status().head, at(half));
    for block in &blocks[..3] {
        let looked = a_decision(&mut solo, block);
        assert!(looked < MOST, "{looked}");
    }
}

/// A cluster of four with so many clients.
fn of_clients(count: u32) -> (Vec<SigningKey>, Cluster) {
    let key = |client: u32| SigningKey::from_bytes(&array::from_fn(|byte| (client >> (8 * (byte % 4))) as u8));
    let keys: Vec<SigningKey> = (0..count).map(key).collect();
    let clients = keys.iter().map(|key| key.verifying_key()).collect();
    let replicas = (0..4).map(|replica| replica_key(replica).verifying_key()).collect();
    let cluster = Cluster::builder(replicas, clients).with_keyed_hash().build().expect("a valid cluster");
    (keys, cluster)
}

fn ask(solo: &mut Solo, key: &SigningKey, number: u64) {
    let request = solo.forge.request(key, RequestNumber::new(number), b"order");
    let bytes = solo.forge.request_message(&request);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
}

#[test]
fn i18_a_primary_does_not_look_through_all_whose_requests_are_decided_for_its_next_batch() {
    let (keys, cluster) = of_clients(2048);
    let mut solo = Solo::with(cluster, 0, Tuning::from_timeout(1000 * T));
    keys.iter().for_each(|key| ask(&mut solo, key, 1));
    while solo.replica.status().pool_requests > 0 {
        let sent = std::mem::take(&mut solo.sent);
        let proposed = sent.iter().filter_map(|envelope| match solo.forge.read(&envelope.encode()) {
            Ok(Seen::PrePrepare { block, .. }) => Some((block.sequence_number(), block.digest())),
            _ => None,
        });
        let proposed: Vec<_> = proposed.collect();
        assert!(!proposed.is_empty());
        for position in proposed {
            let certificate = solo.certificate(&[1, 2, 3], Commit, 0, position);
            solo.feed_certificate(&certificate);
        }
    }
    let (before, head) = (looks(), solo.replica.status().head);
    ask(&mut solo, &keys[0], 2);
    let looked = looks() - before;
    assert_eq!(solo.replica.status().head, head.next());
    assert!(looked < 100, "{looked}");
}

#[test]
fn t1_a_look_at_the_primarys_pace_does_not_look_through_all_that_is_proposed() {
    let (keys, cluster) = of_clients(4096);
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    let mut parent = solo.forge.genesis();
    for number in 1..=16 {
        let request = solo.forge.request(&keys[0], RequestNumber::new(number), b"order");
        let block = solo.forge.block(at(number), parent, vec![request]);
        parent = block.digest();
        solo.propose(0, &block);
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(number), parent));
        solo.feed_certificate(&certificate);
    }
    assert_eq!(solo.replica.status().decided, at(16));
    for (place, keys) in keys[1..4001].chunks(1000).enumerate() {
        let batch: Vec<_> = keys.iter().map(|key| solo.forge.request(key, RequestNumber::new(1), b"order")).collect();
        for request in &batch {
            let bytes = solo.forge.request_message(request);
            assert_eq!(solo.feed(&bytes), Disposition::Applied);
        }
        let block = solo.forge.block(at(17 + place as u64), parent, batch);
        parent = block.digest();
        solo.propose(0, &block);
    }
    assert_eq!(solo.replica.status().head, at(20));
    // Those that wait longest are all proposed; and then there is one that is not, which is passed on at half of an eighth of T.
    ask(&mut solo, &keys[4001], 1);
    solo.pass(T / 15);
    solo.sent.clear();
    let looked: Vec<u64> = (0..4)
        .map(|_| {
            let before = looks();
            solo.pass(T / 64);
            looks() - before
        })
        .collect();
    assert!(looked.iter().all(|looked| *looked < 100), "{looked:?}");
    solo.pass(T / 16);
    assert_eq!(solo.replica.status().wish, view(1), "and it is what the primary is judged by");
}

#[test]
fn i18_a_step_does_not_look_through_all_that_waits_for_what_is_to_be_passed_on_next() {
    let (keys, cluster) = of_clients(16_384);
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(1000 * T));
    keys.iter().for_each(|key| ask(&mut solo, key, 1));
    // Of 64 at a time all are passed on, and then they wait for the next time.
    solo.pass(500 * T);
    (0..keys.len() / 64).for_each(|_| assert_eq!(solo.pass(Duration::ZERO), Disposition::Applied));
    assert_eq!(solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Request).count(), keys.len());
    let before = looks();
    solo.pass(Duration::ZERO);
    let looked = looks() - before;
    assert!(looked < 100, "{looked}");
}
