//! The log and the store in memory keep what they are given, as any other would. (D1, D2)

mod support;

use logothete::sim::forge::Kept;
use logothete::{Node, ReplicaId, RequestNumber, SnapshotStore, Snapshots, Start, Time, Tuning, Volatile, Wal};
use std::sync::Arc;
use support::disk::{Diary, Disk};
use support::{builder, client_key, replica_key};

#[test]
fn d2_a_replica_comes_back_on_a_volatile_log_that_outlived_it() {
    let cluster = Arc::new(builder(1, 1).build().expect("a valid cluster"));
    let open = |start, wal| {
        let app = Snapshots::new(Diary::default(), Disk::default());
        Node::open(cluster.clone(), ReplicaId::new(0), Tuning::default(), start, wal, app, replica_key(0))
    };
    let mut node = open(Start::New, Volatile::default()).expect("opens");
    let forge = logothete::sim::forge::Forge::new(cluster.clone());
    let request = forge.request(&client_key(0), RequestNumber::new(1), b"x");
    node.receive(logothete::PeerLink(0), &forge.request_message(&request)).expect("decodes");
    node.run(Time(1)).expect("runs");
    assert_eq!(node.status().decided.get(), 1);
    let log = node.wal().clone();
    assert!(open(Start::New, log.clone()).is_err(), "it is not new");
    assert!(open(Start::Recovering, Volatile::default()).is_err(), "nor is it there");
    let mut again = open(Start::Recovering, log).expect("opens");
    again.run(Time(1)).expect("runs");
    assert_eq!(again.status().decided.get(), 1);
}

#[test]
fn d1_a_volatile_log_is_shortened_up_to_where_it_is_told_and_no_further() {
    let cluster = Arc::new(builder(1, 1).build().expect("a valid cluster"));
    let forge = logothete::sim::forge::Forge::new(cluster);
    let record = forge.record(ReplicaId::new(0), 0, &Kept::Started).expect("a record");
    let mut volatile = Volatile::default();
    for index in 3..7 {
        let Ok(()) = volatile.append(index, &record);
    }
    let Ok(()) = volatile.truncate_before(5);
    let kept: Vec<u64> = volatile.read().flatten().map(|(index, _)| index).collect();
    assert_eq!(kept, [5, 6]);
}

#[test]
fn a_volatile_store_forgets_what_is_removed() {
    let mut volatile = Volatile::default();
    volatile.put("one", b"1").expect("stored");
    volatile.put("two", b"2").expect("stored");
    volatile.remove("one").expect("removed");
    assert_eq!((volatile.get("one").expect("read"), volatile.names().expect("listed")), (None, vec!["two".to_string()]));
}
