//! Floods: what a node does not even verify, and what one connection can't take from the others. (SPEC 3.6, 3.7; FAULTS: clients, repair, load)

mod support;

use logothete::sim::forge::{Forge, Kind};
use logothete::{Cluster, Digest, Event, MessageKind, PeerLink, RequestNumber, SigningKey, Time, Tuning};
use std::sync::Arc;
use std::time::Duration;
use support::lone::{Lone, lone};
use support::solo::{Solo, T, at, view};
use support::{builder, client_key, replica_key};

const CLIENTS: usize = 3;

fn tuning() -> Tuning {
    Tuning { inbox_bytes_max: 1024 * 1024, link_repairs_max: 20, doubted_bytes_max: 4096, ..Tuning::from_timeout(T) }
}

/// Backup 1 of four.
struct Stage {
    cluster: Arc<Cluster>,
    forge: Forge,
    node: Lone,
    now: Time,
}

impl Stage {
    fn new() -> Self {
        let cluster = Arc::new(builder(4, CLIENTS).checkpoint_interval(4).log_window(8).pipeline(2).build().expect("a valid cluster"));
        Self { forge: Forge::new(cluster.clone()), node: lone(&cluster, tuning()), cluster, now: Time(1_000_000) }
    }

    fn receive(&mut self, link: u64, bytes: &[u8]) {
        self.node.receive(PeerLink(link), bytes).expect("decodes");
    }

    /// Until nothing waits.
    fn run(&mut self) -> Vec<MessageKind> {
        let mut sent = Vec::new();
        loop {
            self.now = self.now.after(Duration::from_micros(1));
            sent.extend(self.node.run(self.now).expect("runs").iter().map(|envelope| envelope.kind()));
            if self.node.deadline() != Some(Time::default()) {
                return sent;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    fn request(&self, client: usize, number: u64, operation: &[u8]) -> Vec<u8> {
        self.forge.request_message(&self.forge.request(&client_key(client), RequestNumber::new(number), operation))
    }

    /// A Prepare that no member has signed.
    fn lie(&self, member: usize, number: u64) -> Vec<u8> {
        let key: SigningKey = client_key(0);
        self.forge.vote((replica(member), &key), Kind::Prepare, view(0), (at(number), Digest::new([7; 32])))
    }

    fn verified_of(&mut self, load: impl Fn(&mut Self)) -> u64 {
        let before = self.node.counters();
        load(self);
        self.run();
        self.node.counters().verified + self.node.counters().refused - before.verified - before.refused
    }
}

fn replica(index: usize) -> logothete::ReplicaId {
    logothete::ReplicaId::new(index as u32)
}

#[test]
fn spec_3_7_a_flooding_connection_loses_what_is_beyond_its_part_and_no_other_does() {
    let mut stage = Stage::new();
    let long = vec![7; 1000];
    for number in 1..=2000 {
        let bytes = stage.request(0, number, &long);
        stage.receive(9, &bytes);
    }
    let before = stage.node.counters().overflowed;
    assert!(before > 500, "twice what an inbox holds: {before}");
    for number in 1..=200 {
        let bytes = stage.request(1, number, &long);
        stage.receive(8, &bytes);
    }
    // The flooder made room for each of them.
    let status = stage.run();
    assert!(status.is_empty(), "{status:?}");
    let pooled = stage.node.status().pool_requests;
    let windows = 2 * u64::from(stage.cluster.limits().client_window);
    assert!(pooled >= 200 && stage.node.counters().overflowed > before, "{pooled} of 200 and {windows}: {:?}", stage.node.counters());
}

#[test]
fn spec_3_7_a_connection_may_fill_half_of_the_inbox_that_two_share_and_no_more() {
    let mut stage = Stage::new();
    let long = vec![7; 1000];
    for number in 1..=1000 {
        for (link, client) in [(9, 0), (8, 1)] {
            let bytes = stage.request(client, number, &long);
            stage.receive(link, &bytes);
        }
    }
    stage.run();
    let kept = 2000 - stage.node.counters().overflowed;
    assert!((700..1000).contains(&kept), "{kept}");
    // Each client's from 1 on, as far as they came in: neither pushed out the other's.
    let solo = stage.node.status().usage.pool.bytes;
    assert!(solo > 0 && stage.node.status().pool_requests as u64 <= kept);
}

#[test]
fn spec_3_7_of_a_connection_that_lied_little_is_verified_and_that_last() {
    let mut stage = Stage::new();
    let lie = stage.lie(3, 1);
    stage.receive(3, &lie);
    stage.run();
    assert_eq!(stage.node.counters().refused, 1);
    assert_eq!(stage.node.refusals().len(), 1);
    // From here on its messages cost 4 KiB of verification in an interval, whatever it sends.
    let cost = stage.verified_of(|stage| {
        for _ in 0..5000 {
            let lie = stage.lie(3, 1);
            stage.receive(3, &lie);
        }
    });
    assert!((3..=20).contains(&cost), "{cost}");
    let counters = stage.node.counters();
    assert!(counters.limited > 1000 && counters.limited + counters.overflowed > 4900, "{counters:?}");
    // And others' cost what they always cost.
    let cost = stage.verified_of(|stage| {
        for number in 1..=100 {
            let bytes = stage.request(1, number, b"x");
            stage.receive(8, &bytes);
        }
    });
    assert_eq!(cost, 100);
}

#[test]
fn spec_3_7_a_connection_that_was_trusted_costs_one_portion_before_it_is_doubted() {
    let mut stage = Stage::new();
    let key: SigningKey = client_key(0);
    let lie = stage.lie(3, 1).len() as u64;
    let cost = stage.verified_of(|stage| {
        for version in 0..3000_u32 {
            let digest = Digest::new(std::array::from_fn(|place| version.to_le_bytes()[place % 4]));
            let lie = stage.forge.vote((replica(3), &key), Kind::Prepare, view(0), (at(1), digest));
            stage.receive(3, &lie);
        }
    });
    assert!(cost * lie <= 128 * 1024 + 2 * 4096, "{cost} messages of {lie} bytes: an eighth of what it may send at a turn");
    assert_eq!(stage.node.counters().refused, cost);
}

#[test]
fn spec_3_7_of_what_waits_for_another_look_a_connection_that_is_caught_has_little_verified_too() {
    let mut stage = Stage::new();
    let cost = stage.verified_of(|stage| {
        // Of one number of one client only one is verified at first. Nobody has enrolled this one.
        for version in 0..100 {
            let lie = stage.forge.request_message(&stage.forge.request(&replica_key(3), RequestNumber::new(1), &[version; 8000]));
            stage.receive(3, &lie);
        }
    });
    assert_eq!((cost, stage.node.counters().limited), (1, 99));
}

#[test]
fn spec_3_7_a_doubted_connection_is_heard_a_little_and_trusted_again_when_it_behaves() {
    let mut stage = Stage::new();
    let lie = stage.lie(3, 1);
    stage.receive(3, &lie);
    stage.run();
    let requests = |from: u64| {
        move |stage: &mut Stage| {
            for number in from..from + 30 {
                let bytes = stage.request(0, number, b"x");
                stage.receive(3, &bytes);
            }
        }
    };
    stage.pass(T / 8);
    let heard = stage.verified_of(requests(1));
    assert!((1..30).contains(&heard), "a connection that many share is not silenced by one of them: {heard}");
    stage.pass(33 * (T / 8));
    assert_eq!(stage.verified_of(requests(31)), 30);
}

#[test]
fn spec_3_7_view_changes_without_end_cost_a_budget_of_verifications() {
    let mut stage = Stage::new();
    let flood = |from: u64, in_one_load: bool| {
        move |stage: &mut Stage| {
            for number in from..from + 500 {
                let promise = stage.forge.view_change((replica(3), &replica_key(3)), view(number), None);
                let bytes = stage.forge.view_change_message(&promise);
                stage.receive(3, &bytes);
                if !in_one_load {
                    stage.run();
                }
            }
        }
    };
    assert_eq!(stage.verified_of(flood(1, false)), 20);
    assert_eq!(stage.verified_of(flood(501, false)), 0, "nor are there more in the same interval");
    stage.pass(T / 8);
    assert_eq!(stage.verified_of(flood(1001, false)), 20);
    stage.pass(T / 8);
    assert_eq!(stage.verified_of(flood(1501, true)), 1, "of one load the last, which has overtaken the others");
    assert_eq!(stage.node.status().wish, view(0), "and one member alone moves nobody");
}

#[test]
fn spec_3_6_a_client_that_signs_ten_thousand_requests_of_one_number_costs_one_verification() {
    let mut stage = Stage::new();
    let cost = stage.verified_of(|stage| {
        for version in 0..10_000_u32 {
            let bytes = stage.request(0, 1, &version.to_le_bytes());
            stage.receive(9, &bytes);
            if version % 1000 == 0 {
                stage.run();
            }
        }
    });
    assert_eq!(cost, 1);
}

#[test]
fn spec_3_6_a_bad_request_does_not_keep_out_the_good_one_of_its_number() {
    let mut stage = Stage::new();
    let mut bad = stage.request(0, 1, b"x");
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let good = stage.request(0, 1, b"x");
    stage.receive(9, &bad);
    stage.receive(9, &good);
    stage.run();
    assert_eq!(stage.node.status().pool_requests, 1, "{:?}", stage.node.counters());
}

#[test]
fn spec_3_6_a_request_too_far_ahead_is_not_verified() {
    let mut stage = Stage::new();
    let window = u64::from(stage.cluster.limits().client_window);
    let cost = stage.verified_of(|stage| {
        for number in 2 * window + 1..2 * window + 100 {
            let bytes = stage.request(0, number, b"x");
            stage.receive(9, &bytes);
        }
    });
    assert_eq!(cost, 0);
}

#[test]
fn spec_3_6_a_request_that_there_is_no_room_for_is_not_verified_whenever_it_comes() {
    let cluster = Arc::new(builder(4, CLIENTS).build().expect("a valid cluster"));
    let node = lone(&cluster, Tuning { pool_bytes_max: 1, inbox_bytes_max: 1024 * 1024, ..tuning() });
    let mut stage = Stage { forge: Forge::new(cluster.clone()), node, cluster, now: Time(1_000_000) };
    let flood = |stage: &mut Stage| {
        for number in 2..=400 {
            let bytes = stage.request(0, number, &[7; 1000]);
            stage.receive(9, &bytes);
        }
    };
    let first = stage.verified_of(flood);
    let waiting = stage.node.status().pool_requests as u64;
    assert!(first > waiting && (50..70).contains(&waiting), "a quota of one operation: {waiting} of {first}");
    assert_eq!(stage.verified_of(flood), 0);
    // Its next one is always welcome.
    let next = |stage: &mut Stage| {
        let bytes = stage.request(0, 1, &[7; 1000]);
        stage.receive(9, &bytes);
    };
    assert_eq!(stage.verified_of(next), 1);
    assert_eq!(stage.node.status().pool_requests as u64, waiting);
}

#[test]
fn spec_3_6_chains_that_nobody_waits_for_are_not_verified() {
    let mut stage = Stage::new();
    let cost = stage.verified_of(|stage| {
        for version in 0..50_u8 {
            let requests = (1..=40).map(|number| stage.forge.request(&client_key(0), RequestNumber::new(number), &[version])).collect();
            let block = stage.forge.block(at(1), stage.forge.genesis(), requests);
            let chain = stage.forge.chain(None, &[block]);
            stage.receive(3, &chain);
        }
    });
    assert_eq!(cost, 0);
}

#[test]
fn spec_3_6_a_chain_that_is_waited_for_is() {
    let mut solo = Solo::new(4, 1);
    let block = solo.block(1, solo.forge.genesis(), 1);
    let certificate = solo.certificate(&[0, 2, 3], Kind::Commit, 0, (at(1), block.digest()));
    let proof = solo.forge.certificate_message(&certificate);
    solo.feed(&proof);
    let chain = solo.forge.chain(None, &[block]);
    let unverified = logothete::Unverified::decode(PeerLink(0), &chain, solo.cluster.limits()).expect("decodes");
    assert!(solo.replica.needs(&unverified).is_ok());
    solo.feed(&chain);
    assert_eq!(solo.replica.status().decided, at(1));
    assert!(solo.replica.needs(&unverified).is_err(), "once");
}

#[test]
fn spec_3_6_a_primary_that_is_proved_a_liar_may_propose_without_end_for_nothing() {
    let mut stage = Stage::new();
    let propose = |from: u64| {
        move |stage: &mut Stage| {
            for number in from..from + 100 {
                let request = stage.forge.request(&client_key(0), RequestNumber::new(1), &number.to_le_bytes());
                let block = stage.forge.block(at(1), stage.forge.genesis(), vec![request]);
                let proposal = stage.forge.pre_prepare(&replica_key(0), view(0), &block);
                stage.receive(0, &proposal);
            }
        }
    };
    stage.verified_of(propose(1));
    let proofs = stage.node.events().iter().filter(|event| matches!(event, Event::Evidence(_))).count();
    assert_eq!(proofs, 1);
    assert_eq!(stage.verified_of(propose(1000)), 0);
}

#[test]
fn spec_3_7_a_load_longer_than_a_turn_waits_and_is_due_at_once() {
    let cluster = Arc::new(builder(4, CLIENTS).build().expect("a valid cluster"));
    let mut node = lone(&cluster, Tuning::from_timeout(T));
    let forge = Forge::new(cluster.clone());
    let long = vec![7; 10_000];
    for number in 1..=200 {
        let request = forge.request(&client_key(0), RequestNumber::new(number), &long);
        node.receive(PeerLink(9), &forge.request_message(&request)).expect("decodes");
    }
    node.run(Time(1_000_000)).expect("runs");
    let first = node.counters().verified;
    assert!((100..200).contains(&first), "about a MiB of each connection: {first}");
    assert_eq!(node.deadline(), Some(Time::default()));
    node.run(Time(1_000_001)).expect("runs");
    assert_eq!(node.counters().verified, 200);
    assert!(node.deadline() > Some(Time(1_000_001)));
}
