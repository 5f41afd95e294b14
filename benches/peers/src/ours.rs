//! logothete, as its own benches drive it.

use crate::ring::Ring;
use crate::support::{Scheme, builder};
use crate::work::{BATCH, CLIENTS, Content, PAYLOAD, Work, cpu_time};
use logothete::{Bytes, Limits};
use std::time::Duration;

/// CPU time of all decisions; with `lone`, each waits for the one before.
pub fn run(work: Work, lone: bool) -> Duration {
    let scheme = if work.signed_votes { Scheme::Ed25519 } else { Scheme::Hash };
    let (count, bytes) = match work.content {
        Content::Empty => (1, 1),
        Content::Payloads => (1, PAYLOAD * BATCH),
        Content::Signed => (BATCH, PAYLOAD),
    };
    // Room for all 1000.
    let (batch_bytes_max, message_bytes_max) = (1 << 20, 2 << 20);
    let limits = Limits { operation_bytes_max: bytes.max(64) as u32, batch_requests_max: count as u32, batch_bytes_max, message_bytes_max, ..Limits::default() };
    let mut ring = Ring::new(builder(work.replicas, CLIENTS, scheme).limits(limits), scheme, CLIENTS);
    let operation = vec![7; bytes];
    let mut spent = Duration::ZERO;
    // Requests are made before the clock runs, as clients do on their own machines.
    let group = if lone || work.content != Content::Empty { 1 } else { CLIENTS };
    let mut left = work.decisions;
    while left > 0 {
        let decisions = group.min(left);
        left -= decisions;
        let requests: Vec<Bytes> = (0..decisions * count).map(|index| ring.request(index % CLIENTS, &operation)).collect();
        let begin = cpu_time();
        requests.into_iter().for_each(|request| ring.post(0, request));
        ring.settle();
        spent += cpu_time() - begin;
    }
    assert!(ring.members.iter().all(|member| member.executed == (work.decisions * count) as u64), "not all executed");
    spent
}
