//! CPU time of one decision, summed over all replicas in one process, in memory.
//!
//! `cargo bench --bench decision` prints a table; `cargo bench --bench decision -- hash 4 2000` runs one case: scheme, replicas, decisions.
//! A decision is a batch of one request of one byte: there are no empty batches here.

#[path = "support/ring.rs"]
mod ring;
mod support;

use ed25519_dalek::Signer;
use logothete::Limits;
use ring::Ring;
use std::time::Duration;
use support::{Scheme, builder, cpu_time, replica_key};

/// One request of each waits at a time.
const CLIENTS: usize = 16;

/// Enough decisions in flight to fill the pipeline, as under load; `lone` waits for each.
fn run(scheme: Scheme, replicas: usize, decisions: usize, lone: bool, keep: bool) -> (Duration, Ring) {
    let builder = builder(replicas, CLIENTS, scheme).limits(Limits { batch_requests_max: 1, operation_bytes_max: 64, ..Limits::default() });
    let mut ring = Ring::new(builder, scheme, CLIENTS);
    ring.loads = keep.then(Vec::new);
    let requests: Vec<_> = (0..decisions).map(|index| ring.request(index % CLIENTS, b"x")).collect();
    let start = cpu_time();
    for (index, request) in requests.into_iter().enumerate() {
        // To the primary, as clients do before they lose patience.
        ring.post(0, request);
        if lone || index % CLIENTS == CLIENTS - 1 {
            ring.settle();
        }
    }
    ring.settle();
    let spent = cpu_time().saturating_sub(start);
    assert!(ring.members.iter().all(|member| member.executed == decisions as u64), "not all decided");
    (spent, ring)
}

/// What can't be done without: the signatures made, and those judged, with the digests that they are on, in the loads in which they came.
fn floor(replicas: usize, decisions: usize, lone: bool) -> Duration {
    let (_, mut ring) = run(Scheme::Ed25519, replicas, decisions, lone, true);
    let (loads, key, payload) = (ring.loads.take().unwrap_or_default(), replica_key(0), [7; 97]);
    let start = cpu_time();
    for _ in 0..ring.signs {
        std::hint::black_box(key.sign(std::hint::black_box(&payload)));
    }
    for load in loads {
        assert!(ring.verifier.verify_all(load).iter().all(Result::is_ok), "not valid");
    }
    cpu_time().saturating_sub(start)
}

/// Prints a case and gives its µs for a decision.
fn report(scheme: Scheme, replicas: usize, decisions: usize, lone: bool) -> f64 {
    let (spent, ring) = run(scheme, replicas, decisions, lone, false);
    let per = |count: u64| count as f64 / decisions as f64;
    let micros = spent.as_secs_f64() * 1e6 / decisions as f64;
    println!(
        "{:>8} n={replicas:<3} {} {micros:>10.1} µs/decision, {:>7.1} messages, {:>7.1} signs, {:>7.1} verified, {:>5.1} records",
        format!("{scheme:?}"),
        if lone { "lone    " } else { "pipeline" },
        per(ring.messages),
        per(ring.signs),
        per(ring.members.iter().map(|member| member.verified).sum()),
        per(ring.members.iter().map(|member| member.wal.records).sum()),
    );
    micros
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [scheme, replicas, decisions] = &words[..] {
        let scheme = if scheme == "hash" { Scheme::Hash } else { Scheme::Ed25519 };
        report(scheme, replicas.parse().expect("replicas"), decisions.parse().expect("decisions"), false);
        return;
    }
    for (replicas, decisions) in [(4, 2000), (7, 1000), (16, 200), (31, 60), (100, 16)] {
        for lone in [false, true] {
            report(Scheme::Hash, replicas, decisions, lone);
            let signed = report(Scheme::Ed25519, replicas, decisions, lone);
            let floor = floor(replicas, decisions, lone).as_secs_f64() * 1e6 / decisions as f64;
            println!("{:>14} floor {:>17.1} µs/decision: {:.2} times the floor\n", "", floor, signed / floor);
        }
    }
}
