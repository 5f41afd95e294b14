//! D1, D2, C1: whole nodes whose disks fail, and that are started again.

mod support;

use logothete::{Event, MessageKind, Node, NodeError, RecoverError, ReplicaId, SigningKey, Snapshots, Start, Time, Tuning, Volatile};
use std::sync::Arc;
use std::time::Duration;
use support::world::{Ledger, Trouble, World};
use support::{builder, replica_key};

const SECOND: Duration = Duration::from_secs(1);

/// Four nodes that take a checkpoint at every other batch.
fn world() -> World {
    World::with(builder(4, 1).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster"))
}

fn orders(world: &mut World, orders: std::ops::Range<u32>) {
    orders.for_each(|order| world.order(order));
    world.pass(SECOND);
}

fn ledgers(world: &World) -> Vec<Vec<Vec<u8>>> {
    world.running().map(|node| node.application().service().0.clone()).collect()
}

#[test]
fn d1_whatever_a_disk_refuses_stops_its_node_and_a_restart_on_a_mended_disk_goes_on() {
    for trouble in [Trouble::Append, Trouble::Sync, Trouble::Truncate] {
        let mut world = world();
        orders(&mut world, 0..5);
        world.troubles[2].set(trouble);
        orders(&mut world, 5..20);
        assert_eq!(world.completions.len(), 20, "{trouble:?}: the others go on");
        assert!(world.failures.iter().any(|failure| failure.starts_with("the log failed")), "{trouble:?}: {:?}", world.failures);
        let now = world.now;
        assert!(matches!(world.nodes[2].as_mut().map(|node| node.run(now)), Some(Err(NodeError::Stopped))), "{trouble:?}");
        world.kill(2);
        world.troubles[2].set(Trouble::None);
        world.start(2, Start::Recovering).expect("recovers");
        // On an idle network.
        world.pass(5 * SECOND);
        assert!(ledgers(&world).iter().all(|ledger| ledger.len() == 20), "{trouble:?}");
        // And it is needed now.
        world.kill(0);
        orders(&mut world, 20..23);
        world.pass(20 * SECOND);
        assert_eq!(world.completions.len(), 23, "{trouble:?}");
    }
}

#[test]
fn c1_a_store_that_is_full_stops_its_node_and_loses_nothing() {
    let mut world = world();
    orders(&mut world, 0..5);
    world.disks[1].with(|disk| disk.full = true);
    orders(&mut world, 5..20);
    assert_eq!(world.completions.len(), 20);
    assert!(world.failures.iter().any(|failure| failure == "the application failed: disk full"), "{:?}", world.failures);
    world.kill(1);
    assert!(world.start(1, Start::New).is_err_and(|error| matches!(error, NodeError::Recover(RecoverError::NotEmpty { .. }))));
    world.disks[1].with(|disk| disk.full = false);
    world.start(1, Start::Recovering).expect("recovers");
    world.pass(5 * SECOND);
    assert!(ledgers(&world).iter().all(|ledger| ledger.len() == 20));
}

#[test]
fn d2_a_log_that_can_not_be_read_does_not_start() {
    let mut world = world();
    orders(&mut world, 0..5);
    world.kill(3);
    world.troubles[3].set(Trouble::Read);
    assert!(world.start(3, Start::Recovering).is_err_and(|error| matches!(error, NodeError::Wal("unreadable"))));
}

#[test]
fn c3_a_state_whose_store_is_lost_is_fetched_again() {
    let mut world = world();
    orders(&mut world, 0..30);
    world.kill(3);
    world.disks[3].with(|disk| disk.files.clear());
    world.start(3, Start::Recovering).expect("recovers: its log is whole");
    world.pass(5 * SECOND);
    let ledgers = ledgers(&world);
    assert!(ledgers.iter().all(|ledger| *ledger == ledgers[0] && ledger.len() == 30));
}

#[test]
fn c3_a_damaged_snapshot_is_refused_in_words_and_can_be_fetched_again() {
    let mut world = world();
    orders(&mut world, 0..10);
    world.kill(2);
    world.disks[2].with(|disk| {
        let parts = disk.files.iter_mut().filter(|(name, _)| name.starts_with("part-"));
        parts.for_each(|(_, bytes)| *bytes = b"rubbish".as_slice().into());
    });
    let error = world.start(2, Start::Recovering).expect_err("damaged");
    let words = error.to_string();
    assert!(words.contains("lost or damaged; empty the store, and the state will be fetched"), "{words}");
    world.disks[2].with(|disk| disk.files.clear());
    world.start(2, Start::Recovering).expect("recovers");
    world.pass(5 * SECOND);
    assert!(ledgers(&world).iter().all(|ledger| ledger.len() == 10));
}

#[test]
fn d2_all_nodes_killed_at_once_have_everything_and_the_client_gets_its_answers() {
    let mut world = world();
    orders(&mut world, 0..7);
    (0..4).for_each(|index| world.kill(index));
    (0..4).for_each(|index| world.start(index, Start::Recovering).expect("recovers"));
    world.pass(3 * SECOND);
    assert!(ledgers(&world).iter().all(|ledger| ledger.len() == 7));
    orders(&mut world, 7..12);
    world.pass(3 * SECOND);
    assert_eq!(world.completions.len(), 12);
    let recovered =
        world.nodes.iter_mut().flatten().flat_map(|node| node.events()).filter(|event| matches!(event, Event::Recovered { .. }));
    assert_eq!(recovered.count(), 4);
}

#[test]
fn c3_parts_that_a_disk_has_changed_are_not_passed_on() {
    let mut world = world();
    orders(&mut world, 0..3);
    world.kill(3);
    orders(&mut world, 3..60);
    world.disks[0].with(|disk| {
        let parts = disk.files.iter_mut().filter(|(name, _)| name.starts_with("part-"));
        parts.for_each(|(_, bytes)| *bytes = b"rubbish".as_slice().into());
    });
    // It has nothing any more, and the others don't hold its batches.
    world.disks[3].with(|disk| disk.files.clear());
    world.start(3, Start::Recovering).expect("recovers");
    world.pass(20 * SECOND);
    assert_eq!(world.node(3).application().service().0.len(), 60);
    let damaged = world.nodes[0].iter_mut().flat_map(|node| node.events()).any(|event| matches!(event, Event::SnapshotDamaged { .. }));
    assert!(damaged, "who was asked found it out");
}

#[test]
fn t2_what_a_node_says_first_after_a_restart_has_a_higher_ordinal_than_what_it_said_last() {
    let cluster = Arc::new(builder(4, 1).build().expect("a valid cluster"));
    let open = |start: Start, log: Volatile| {
        let application = Snapshots::new(Ledger::default(), Volatile::default());
        let node: Node<_, _, SigningKey> =
            Node::open(cluster.clone(), ReplicaId::new(1), Tuning::default(), start, log, application, replica_key(1)).expect("opens");
        node
    };
    // The variant and the replica stand before it.
    let ordinal = |bytes: &[u8]| u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
    let (mut node, mut now, mut said) = (open(Start::New, Volatile::default()), Time(1_000_000), Vec::new());
    for life in 1..=3 {
        for _ in 0..5 {
            let envelopes = node.run(now).expect("runs");
            said.extend(
                envelopes.iter().filter(|envelope| envelope.kind() == MessageKind::Status).map(|envelope| ordinal(&envelope.encode())),
            );
            now = now.after(SECOND);
        }
        assert!(said.len() >= 3 * life && said.is_sorted_by(|before, next| before < next), "{said:?}");
        let log = node.wal().clone();
        node = open(Start::Recovering, log);
    }
}
