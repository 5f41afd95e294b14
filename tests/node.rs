//! The simple face, end to end: clients' operations in, receipts out; and hosts whose log or signer fails.

mod support;

use logothete::sim::forge::{Forge, ForgedBlock, Kept, Kind};
use logothete::{
    Bytes, ClientInput, Node, NodeError, PeerLink, RecoverError, ReplicaId, RequestNumber, SequenceNumber, Signature, Signer, SigningKey,
    Snapshots, Start, Time, Tuning, View,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use support::disk::Disk;
use support::lone::Nowhere;
use support::world::{DiskLog, Ledger, Pen, Trouble, World};
use support::{builder, client_key, replica_key};

#[test]
fn s2_receipts_convince_a_third_party_with_the_clusters_keys_alone() {
    for n in [1, 4, 7] {
        let mut world = World::new(n);
        for order in 0..10_u32 {
            world.client_step(ClientInput::Submit(Bytes::from(order.to_le_bytes().to_vec())));
        }
        world.settle();
        assert_eq!(world.completions.len(), 10, "n = {n}");
        // Somebody else, with a configuration of their own making.
        let elsewhere = builder(n, 1).build().expect("a valid cluster");
        for completion in &world.completions {
            let receipt = completion.outcome.receipt().expect("a receipt");
            receipt.verify(&elsewhere).expect("verifies");
            assert!(receipt.operation_matches(&(completion.number.get() as u32 - 1).to_le_bytes()));
            assert!(completion.outcome.result().is_some_and(|result| **result == *format!("order {}", completion.number).as_bytes()));
        }
        let other = builder(n + 1, 1).build().expect("a valid cluster");
        assert!(world.completions[0].outcome.receipt().expect("a receipt").verify(&other).is_err());
    }
}

#[test]
fn spec_3_6_only_a_quorum_of_votes_is_verified() {
    let mut world = World::new(10);
    for order in 0..5_u32 {
        world.client_step(ClientInput::Submit(Bytes::from(order.to_le_bytes().to_vec())));
    }
    world.settle();
    let decided = world.node(1).status().decided.get();
    assert!(decided > 0);
    for node in world.running().skip(1) {
        // f = 3, q = 7. Of each vote's nine, at most q are verified, the own one being one of them; and the proposal.
        let counters = node.counters();
        assert!(counters.verified <= decided * 14, "{counters:?} for {decided} decisions");
        assert!(counters.screened >= decided * 2, "{counters:?} for {decided} decisions");
        assert_eq!(counters.refused, 0);
    }
}

#[test]
fn d1_a_failing_log_silences_its_node_and_nobody_else() {
    let mut world = World::new(4);
    let before = world.disks[3].log().len();
    world.troubles[3].set(Trouble::Sync);
    world.client_step(ClientInput::Submit(Bytes::from(b"order".to_vec())));
    world.settle();
    assert_eq!(world.completions.len(), 1);
    let now = world.now;
    assert!(matches!(world.nodes[3].as_mut().map(|node| node.run(now)), Some(Err(NodeError::Stopped))));
    assert_eq!(world.disks[3].log().len(), before);
    assert!(world.failures.iter().any(|failure| failure.contains("disk full")), "{:?}", world.failures);
}

#[test]
fn d1_a_failing_signer_loses_nothing() {
    let mut world = World::new(4);
    world.settle();
    for pen in &world.pens[1..3] {
        pen.set(true);
    }
    world.client_step(ClientInput::Submit(Bytes::from(b"order".to_vec())));
    world.settle();
    assert_eq!(world.completions.len(), 0, "two of four can't sign");
    assert!(world.failures.iter().any(|failure| failure.contains("run again")), "{:?}", world.failures);
    for pen in &world.pens {
        pen.set(false);
    }
    world.settle();
    world.pass(Duration::from_millis(300));
    assert_eq!(world.completions.len(), 1);
    assert!(world.running().all(|node| node.status().view.get() == 0), "without a view change");
}

#[test]
fn d1_while_its_signer_fails_a_node_is_not_due_in_the_past() {
    let mut world = World::new(4);
    world.settle();
    world.pens[1].set(true);
    let client = Forge::new(world.cluster.clone());
    let proposal = client.pre_prepare(&replica_key(0), View::default(), &{
        let request = client.request(&client_key(0), RequestNumber::new(1), b"order");
        client.block(SequenceNumber::new(1), client.genesis(), vec![request])
    });
    world.pass(Duration::from_secs(1));
    let now = world.now;
    let node = world.nodes[1].as_mut().expect("runs");
    for mail in [true, false] {
        if mail {
            node.receive(PeerLink(0), &proposal).expect("decodes");
        }
        // Its Prepare waits for the signer, and mail behind it.
        assert!(matches!(node.run(now), Err(NodeError::Sign(_))));
        node.receive(PeerLink(0), &proposal).expect("decodes");
        assert!(node.deadline() > Some(now), "or the host runs it without end: {:?}", node.deadline());
    }
    let again = node.deadline().expect("it is tried again");
    assert!(again.since(now) <= Tuning::default().status_interval);
    world.pens[1].set(false);
    let node = world.nodes[1].as_mut().expect("runs");
    assert!(!node.run(again).expect("signs").is_empty());
    assert!(node.deadline() > Some(again));
}

/// Fails each second time.
struct Fickle(SigningKey, Cell<bool>);

impl Signer<Signature> for Fickle {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, ed25519_dalek::SignatureError> {
        let fails = self.1.replace(!self.1.get());
        if fails { Err(ed25519_dalek::SignatureError::new()) } else { self.0.try_sign(message) }
    }
}

/// What replica 1 says upon three batches that are decided, in words.
fn says(signer: impl Signer<Signature>) -> Vec<String> {
    let cluster = Arc::new(builder(4, 1).build().expect("a valid cluster"));
    let forge = Forge::new(cluster.clone());
    let app = Snapshots::new(Ledger::default(), Disk::default());
    let node = Node::open(cluster, ReplicaId::new(1), Tuning::default(), Start::New, Nowhere, app, signer);
    let mut node = node.expect("opens");
    let mut blocks: Vec<ForgedBlock> = Vec::new();
    for number in 1..=3 {
        let parent = blocks.first().map_or(forge.genesis(), ForgedBlock::digest);
        let request = forge.request(&client_key(0), RequestNumber::new(number), b"order");
        blocks.insert(0, forge.block(SequenceNumber::new(number), parent, vec![request]));
    }
    let keys = [0, 2, 3].map(replica_key);
    let members: Vec<_> = [0, 2, 3].into_iter().map(ReplicaId::new).zip(&keys).collect();
    let certificate = forge.certificate(&members, Kind::Commit, View::default(), (blocks[0].sequence_number(), blocks[0].digest()));
    node.receive(PeerLink(0), &forge.chain(Some(&certificate), &blocks)).expect("decodes");
    for _ in 0..100 {
        match node.run(Time(1)) {
            Ok(envelopes) => {
                let mut words: Vec<String> = envelopes.iter().map(ToString::to_string).collect();
                words.sort();
                return words;
            }
            Err(error) => assert!(matches!(error, NodeError::Sign(_)), "{error}"),
        }
    }
    panic!("it never ends");
}

#[test]
fn d1_a_signer_that_fails_again_and_again_loses_nothing_of_what_waits_for_it() {
    let words = says(Fickle(replica_key(1), Cell::default()));
    assert_eq!(words, says(replica_key(1)));
    assert_eq!(words.iter().filter(|words| words.contains("Reply by R1")).count(), 3);
}

#[test]
fn i18_while_its_signer_fails_a_node_makes_nothing_more_for_it_to_sign() {
    let mut world = World::new(4);
    world.settle();
    world.pens[1].set(true);
    for _ in 0..100 {
        world.now = world.now.after(Duration::from_secs(1));
        let now = world.now;
        let node = world.nodes[1].as_mut().expect("runs");
        let _ = node.run(now);
    }
    world.pens[1].set(false);
    let (now, node) = (world.now, world.nodes[1].as_mut().expect("runs"));
    let said = node.run(now).expect("signs").len();
    assert!((1..10).contains(&said), "statuses of 100 s: {said}");
}

#[test]
fn d2_what_is_said_of_a_start_must_fit_the_log() {
    let cluster = Arc::new(builder(4, 1).build().expect("a valid cluster"));
    let open = |start, records: Vec<(u64, Bytes)>, id| {
        let wal = DiskLog::default();
        records.into_iter().for_each(|(index, record): (u64, Bytes)| wal.disk.append(index, record));
        let pen = Pen { key: replica_key(0), broken: Rc::default() };
        let app = Snapshots::new(Ledger::default(), Disk::default());
        Node::open(cluster.clone(), ReplicaId::new(id), Tuning::default(), start, wal, app, pen).err()
    };
    assert!(open(Start::New, Vec::new(), 0).is_none());
    let refused = |error: Option<NodeError<&'static str>>| match error {
        Some(NodeError::Recover(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(open(Start::Recovering, Vec::new(), 0)), RecoverError::EmptyLog);
    assert!(open(Start::Rejoining { nonce: [1; 32] }, Vec::new(), 0).is_none());
    // The beginning of a record was never synced: this replica is as new as one without.
    assert!(open(Start::New, vec![(0, Bytes::default())], 0).is_none());
    assert_eq!(refused(open(Start::Recovering, vec![(0, Bytes::default())], 0)), RecoverError::EmptyLog);
    let started = Forge::new(cluster.clone()).record(ReplicaId::new(0), 0, &Kept::Started).expect("a record");
    for start in [Start::New, Start::Rejoining { nonce: [1; 32] }] {
        let records = vec![(0, started.to_bytes())];
        assert_eq!(refused(open(start, records, 0)), RecoverError::NotEmpty { index: 0 });
    }
    assert_eq!(refused(open(Start::New, Vec::new(), 4)), RecoverError::UnknownReplica(ReplicaId::new(4)));
    let wrong = open(Start::New, Vec::new(), 1);
    assert!(matches!(wrong, Some(NodeError::WrongKey(id)) if id == ReplicaId::new(1)), "replica 0's key: {wrong:?}");
}

#[test]
fn metrics_have_names_that_prometheus_takes_each_once_and_say_what_the_status_says() {
    let mut world = World::new(4);
    world.client_step(ClientInput::Submit(Bytes::from(b"order".to_vec())));
    world.settle();
    let (status, counters) = (world.node(1).status(), world.node(1).counters());
    let metrics: Vec<_> = status.metrics().into_iter().chain(counters.metrics()).collect();
    let value =
        |name: &str, buffer| metrics.iter().find(|metric| metric.name == name && metric.buffer == buffer).map(|metric| metric.value);
    assert_eq!(value("logothete_decided_position", None), Some(1));
    assert_eq!(value("logothete_in_view", None), Some(1));
    assert_eq!(value("logothete_buffer_limit_bytes", Some("pool")), Some(status.usage.pool.limit));
    assert_eq!(value("logothete_messages_verified_total", None), Some(counters.verified));
    let lines: std::collections::BTreeSet<String> =
        metrics.iter().map(|metric| metric.to_string().rsplit_once(' ').expect("a number").0.to_owned()).collect();
    assert_eq!(lines.len(), metrics.len(), "each once");
    let fits = |name: &str| name.starts_with("logothete_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(metrics.iter().all(|metric| fits(metric.name)));
}
