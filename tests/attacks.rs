//! Directed attacks by at most f traitors: each test is one thing that an adversary would try. (P1, P2, P5, T1, T2, I18)

mod support;

use logothete::sim::forge::{Kind, Seen};
use logothete::{Event, Limits, MessageKind, Recipients, ReplicaId, RequestNumber, SequenceNumber, View};
use std::time::Duration;
use support::{Net, builder, client_key, replica_key};

const LIMIT: Duration = Duration::from_secs(60);
const V0: View = View::new(0);

fn at(number: u64) -> SequenceNumber {
    SequenceNumber::new(number)
}

fn to(replica: u32) -> Recipients {
    Recipients::Replica(ReplicaId::new(replica))
}

#[test]
fn p5_a_vote_for_a_digest_under_a_false_number_halts_nobody() {
    // The primary tells one backup only "digest d stands at n + 1"; the others decide d at n. What was learnt about d under the false
    // number must not count for the true one.
    let mut net = Net::new(4, 1, 11);
    let key = replica_key(0);
    net.twists.insert(
        0,
        Box::new(move |envelope, forge| {
            let bytes = envelope.encode().to_vec();
            let Ok(Seen::PrePrepare { view, block }) = forge.read(&bytes) else { return vec![(envelope.to(), bytes)] };
            let lie = forge.vote((ReplicaId::new(0), &key), Kind::Prepare, view, (block.sequence_number().next(), block.digest()));
            vec![(to(1), bytes.clone()), (to(2), bytes), (to(3), lie)]
        }),
    );
    net.submit(0, b"order");
    net.settle(LIMIT, &[1, 2, 3]);
}
