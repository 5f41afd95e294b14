//! What verification takes beside what it is given: a constant amount, however many signatures there are in it. (SPEC 3.5)

#[path = "support/heap.rs"]
mod heap;

use logothete::sim::forge::{Forge, Kind};
use logothete::sim::{builder, client_key, replica_key};
use logothete::{
    AppState, Cluster, Limits, Outbox, PeerLink, Replica, ReplicaId, Request, RequestNumber, SequenceNumber, Start, Tuning, Unverified,
    Verifier, View,
};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// For the signatures that are judged together: their statements, and the tables that the multiplication takes.
const WORKSPACE: usize = 1280 * 1024;

struct Bench {
    cluster: Arc<Cluster>,
    forge: Forge,
    verifier: Verifier,
}

impl Bench {
    fn new() -> Self {
        let cluster =
            Arc::new(builder(4, 3).limits(Limits { batch_requests_max: 2000, ..Limits::default() }).build().expect("a valid cluster"));
        Self { forge: Forge::new(cluster.clone()), verifier: Verifier::new(cluster.clone()), cluster }
    }

    fn requests(&self, count: u64) -> Vec<Request> {
        (0..count).map(|index| self.forge.request(&client_key(index as usize % 3), RequestNumber::new(index / 3 + 1), b"")).collect()
    }

    fn decode(&self, bytes: &[u8]) -> Unverified {
        Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).expect("decodes")
    }

    /// A proposal of these requests; if it is bad, the last of all signatures is.
    fn proposal(&self, requests: Vec<Request>, bad: bool) -> Unverified {
        let block = self.forge.block(SequenceNumber::new(1), self.forge.genesis(), requests);
        let signer = if bad { replica_key(1) } else { replica_key(0) };
        self.decode(&self.forge.pre_prepare(&signer, View::new(0), &block))
    }
}

#[test]
fn spec_3_5_verification_takes_a_constant_amount_beside_its_input() {
    let bench = Bench::new();
    let cost = |count: u64, bad: bool| {
        let proposal = bench.proposal(bench.requests(count), bad);
        let (verdict, peak) = heap::peak_of(|| bench.verifier.verify(proposal).is_ok());
        assert_eq!(verdict, !bad, "{count}");
        peak
    };
    for count in [1, 100, 1000, 1023, 1024, 1025, 2000] {
        for bad in [false, true] {
            let peak = cost(count, bad);
            assert!(peak <= WORKSPACE, "{count} signatures took {peak} bytes");
        }
    }
    assert!(cost(2000, true) < cost(1025, true) + 1000, "what was judged is let go of");
}

#[test]
fn spec_3_5_a_load_of_many_messages_takes_no_more_than_they_do_and_the_same_constant() {
    let bench = Bench::new();
    for count in [10, 1000, 6000] {
        let load: Vec<_> = bench.requests(count).iter().map(|request| bench.decode(&bench.forge.request_message(request))).collect();
        let held = load.len() * size_of::<Unverified>();
        let (verdicts, peak) = heap::peak_of(|| bench.verifier.verify_all(load));
        assert!(verdicts.iter().all(Result::is_ok));
        assert!(peak <= 2 * held + WORKSPACE, "{count} messages of {held} bytes took {peak}");
    }
}

#[test]
fn spec_3_5_what_was_listed_before_a_long_message_is_judged_before_it() {
    let bench = Bench::new();
    for (before, count) in [(1023, 1), (1023, 2), (1023, 1000), (1000, 1023), (1023, 1023), (1023, 2000)] {
        for bad in [false, true] {
            let mut load: Vec<_> =
                bench.requests(before).iter().map(|request| bench.decode(&bench.forge.request_message(request))).collect();
            load.push(bench.proposal(bench.requests(count), bad));
            let held = load.len() * size_of::<Unverified>();
            let (verdicts, peak) = heap::peak_of(|| bench.verifier.verify_all(load));
            let (last, others) = verdicts.split_last().expect("a verdict each");
            assert!(others.iter().all(Result::is_ok) && last.is_ok() != bad, "{before} requests and a proposal of {count}");
            assert!(peak <= held + WORKSPACE, "{before} requests and a proposal of {count} took {peak} bytes, beside {held}");
        }
    }
}

#[test]
fn i18_a_load_that_is_sorted_takes_room_for_each_message_once_more() {
    let bench = Bench::new();
    let (id, tuning, app) = (ReplicaId::new(1), Tuning::default(), AppState::default());
    let replica = Replica::recover(bench.cluster.clone(), id, tuning, Start::New, app, Vec::new(), &mut Outbox::new()).expect("starts");
    for count in [10, 1000, 6000] {
        // Of one vote, of which a quorum is verified and the others are looked at again.
        let vote = bench.forge.vote(
            (ReplicaId::new(3), &replica_key(3)),
            Kind::Prepare,
            View::new(0),
            (SequenceNumber::new(1), bench.forge.genesis()),
        );
        let load: Vec<_> = (0..count).map(|_| bench.decode(&vote)).collect();
        let held = load.len() * size_of::<Unverified>();
        let screen = replica.screen();
        let (triage, peak) = heap::peak_of(|| screen.triage(load));
        assert_eq!(triage.needed.len() + triage.spare.len(), count);
        assert!(peak <= 2 * held + 64 * size_of::<Unverified>(), "{count} messages of {held} bytes took {peak}");
    }
}
