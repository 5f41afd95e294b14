//! Members who misbehave at the door, and the commands that the other tests don't use.
#![cfg(feature = "traitor")]

mod support;

use logothete::sim::forge::Forge;
use logothete::{Bytes, ReplicaId, RequestNumber, SigningKey};
use logothete_kv::config::read_key;
use logothete_kv::desk::STATUS;
use logothete_kv::frames::{self, Frame, Kind};
use logothete_kv::handshake::{self, Role};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Cluster, get, put};
use tokio::net::TcpStream;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A connection of an enrolled client to a node, past the door.
async fn enter(cluster: &Cluster, node: u32, key: &SigningKey) -> TcpStream {
    let membership = cluster.membership();
    let replica = ReplicaId::new(node);
    let door = membership.cluster.replica_key(replica).expect("a node");
    let mut stream = TcpStream::connect(&membership.addresses[&replica]).await.expect("a connection");
    handshake::call(&mut stream, membership.cluster.id(), Role::Client, key, door).await.expect("let in");
    stream
}

/// How long 40 writes of an honest client take.
async fn forty_writes(cluster: &Cluster, round: &str) -> Duration {
    let mut client = cluster.client(2, false);
    if round != "before" {
        client = cluster.client(3, false);
    }
    let begin = Instant::now();
    for place in 0..40 {
        put(&mut client, &format!("{round}/{place}"), "x").await.expect("acknowledged");
    }
    begin.elapsed()
}

/// One enrolled client pours signed requests of one number, requests that nobody signed and garbage over connections to all nodes; another asks and asks, and never reads an answer.
#[test]
fn enrolled_flooders_and_readers_that_do_not_read_cost_nobody_else() {
    let mut cluster = Cluster::new(5, &[]);
    cluster.start_all();
    let (flooder, deaf) = (read_key(&cluster.path("client1.key")).expect("a key"), read_key(&cluster.path("client4.key")).expect("a key"));
    runtime().block_on(async {
        let before = forty_writes(&cluster, "before").await;
        let (stop, poured) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut floods = Vec::new();
        for node in 0..4 {
            let forge = Forge::new(cluster.membership().cluster.clone());
            let (stop, poured, key) = (stop.clone(), poured.clone(), flooder.clone());
            let mut stream = Some(enter(&cluster, node, &key).await);
            let requests: Vec<Vec<u8>> = (0..64_u8)
                .map(|version| {
                    let request = forge.request(&key, RequestNumber::new(1), &[version; 200]);
                    let mut bytes = forge.request_message(&request);
                    if version % 16 == 1 {
                        let last = bytes.len() - 1;
                        bytes[last] ^= 1;
                    }
                    bytes
                })
                .collect();
            floods.push(tokio::spawn(async move {
                let mut next = 0;
                while let Some(open) = stream.as_mut().filter(|_| !stop.load(Ordering::Relaxed)) {
                    let frame = Frame::new(Kind::Message, Bytes::from(requests[next % requests.len()].as_slice()));
                    next += 1;
                    if frames::write(open, &frame).await.is_err() {
                        // It was hung up on, as it should be.
                        stream = None;
                    }
                    poured.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let mut silent = Vec::new();
        for node in 0..4 {
            let mut stream = enter(&cluster, node, &deaf).await;
            for _ in 0..2000 {
                if tokio::time::timeout(
                    Duration::from_millis(200),
                    frames::write(&mut stream, &Frame::new(Kind::Query, Bytes::from(&[STATUS][..]))),
                )
                .await
                .is_err()
                {
                    break;
                }
            }
            silent.push(stream);
        }
        let during = forty_writes(&cluster, "during").await;
        stop.store(true, Ordering::Relaxed);
        for flood in floods {
            flood.await.expect("a flood ends");
        }
        assert!(poured.load(Ordering::Relaxed) > 100, "something was poured");
        // Machines are shared: what is wanted is that they are served at all, and soon.
        assert!(during < before * 5 + Duration::from_secs(5), "40 writes took {during:?}, and {before:?} before");
        drop(silent);
    });
    cluster.agree(&[0, 1, 2, 3]);
}

#[track_caller]
fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn commands_do_what_the_readme_says() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.start_all();
    text(cluster.run(&["put", "a", "1"]));
    assert_eq!(text(cluster.run(&["get", "a"])), "1");
    // Compare and set: with the right value, with a wrong one, and for a key that is not there.
    text(cluster.run(&["cas", "a", "2", "--expected", "1"]));
    assert!(!cluster.run(&["cas", "a", "3", "--expected", "1"]).status.success());
    assert!(!cluster.run(&["cas", "a", "3"]).status.success());
    text(cluster.run(&["cas", "b", "x"]));
    assert_eq!((text(cluster.run(&["get", "a"])), text(cluster.run(&["get", "b"]))), ("2".into(), "x".into()));
    text(cluster.run(&["del", "a"]));
    assert!(!cluster.run(&["get", "a"]).status.success());
    assert!(text(cluster.run(&["list"])).contains('b'));
    // A receipt, checked offline; and that it proves nothing else.
    let receipt = cluster.path("c.receipt");
    let receipt = receipt.to_str().expect("a name");
    text(cluster.run(&["put", "c", "3", "--receipt", receipt]));
    assert!(text(cluster.run(&["verify", receipt, "--put", "c", "--value", "3"])).contains("its result: 1 put"));
    assert!(!cluster.run(&["verify", receipt, "--put", "c", "--value", "4"]).status.success());
    // A state file that is lost is made anew, and the client goes on with the next number.
    std::fs::remove_file(cluster.path("client0.state")).expect("removed");
    assert!(!cluster.run(&["put", "d", "4"]).status.success(), "a client that lost its numbers says so");
    text(cluster.run(&["recover"]));
    text(cluster.run(&["put", "d", "4"]));
    assert_eq!(text(cluster.run(&["get", "d"])), "4");
    // A key of one's own, and nobody else may read it.
    let key = cluster.path("own.key");
    let made = text(cluster.run(&["keygen", key.to_str().expect("a name"), "--client"]));
    assert!(!made.is_empty() && key.exists() && cluster.path("own.state").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let again = cluster.run(&["keygen", key.to_str().expect("a name"), "--client"]);
    assert!(!again.status.success(), "a key is never written over");
}

/// What a reader is told by one node alone is what the log says once that node is up to date.
#[test]
fn a_stale_read_is_answered_by_one_node_alone() {
    let mut cluster = Cluster::new(1, &[]);
    cluster.start_all();
    text(cluster.run(&["put", "a", "1"]));
    // What a node tells of itself may be a moment old.
    while cluster.agree(&[0, 1, 2, 3]) == 0 {}
    (0..3).for_each(|node| cluster.kill(node));
    assert_eq!(text(cluster.run(&["get", "a", "--stale", "3"])), "1");
    let refused = cluster.run(&["get", "a", "--timeout", "2"]);
    assert!(!refused.status.success());
    runtime().block_on(async {
        cluster.start_all_but(3);
        let mut client = cluster.client(0, true);
        assert_eq!(get(&mut client, "a").await.as_deref(), Some("1"));
    });
}
