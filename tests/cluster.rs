//! Who takes part: the arithmetic of quorums, what a configuration must not be, and that its identity covers all of it. (SPEC 1)

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{SigningKey, VerifyingKey};
use logothete::sim::forge::{Forge, Kind};
use logothete::{
    Cluster, ClusterBuilder, ConfigError, Digest, Limits, PeerLink, ReplicaId, RequestNumber, SequenceNumber, Unverified, Verifier, View,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

fn signing_key(list: u8, index: usize) -> SigningKey {
    let mut seed = [list; 32];
    seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
    SigningKey::from_bytes(&seed)
}

fn public(list: u8, count: usize) -> Vec<VerifyingKey> {
    (0..count).map(|index| signing_key(list, index).verifying_key()).collect()
}

fn cluster(n: usize) -> Cluster {
    Cluster::builder(public(1, n), Vec::new()).build().unwrap()
}

/// f, q and weak quorum from their meaning, not from their formulas: f is the largest number with n ≥ 3 f + 1; q the smallest size of which any two sets share f + 1.
fn by_meaning(n: u32) -> (u32, u32, u32) {
    let f = (0..n).rev().find(|f| n > 3 * f).unwrap();
    let q = (1..=n).find(|q| 2 * q > n + f).unwrap();
    (f, q, f + 1)
}

#[test]
fn spec_1_quorums_meet_in_a_correct_replica_and_correct_replicas_are_one() {
    for n in 1..=100 {
        let cluster = cluster(n as usize);
        let (f, q) = (cluster.fault_threshold(), cluster.quorum());
        assert_eq!((f, q, cluster.weak_quorum()), by_meaning(n), "n = {n}");
        assert_eq!(cluster.size(), n);
        assert!(n > 3 * f);
        assert!(q <= n - f, "the correct ones alone are a quorum: n = {n}");
        assert!(2 * q - n > f, "two quorums share f + 1: n = {n}");
        assert!(q - f > f, "f + 1 correct ones in a quorum: n = {n}");
        if n == 3 * f + 1 {
            assert_eq!(q, 2 * f + 1);
        }
    }
    assert_eq!([1, 2, 3, 4, 5, 6, 7, 10, 100, 256].map(|n| cluster(n).quorum()), [1, 2, 2, 3, 4, 4, 5, 7, 67, 171]);
}

#[test]
fn spec_1_every_pair_of_quorums_of_a_small_cluster_shares_a_weak_quorum() {
    for n in 1..=8_u32 {
        let (cluster, quorums) = (cluster(n as usize), |q| (0_u32..1 << n).filter(move |set| set.count_ones() == q));
        for one in quorums(cluster.quorum()) {
            for other in quorums(cluster.quorum()) {
                assert!((one & other).count_ones() >= cluster.weak_quorum(), "n = {n}");
            }
        }
    }
}

fn two_quorums() -> impl Strategy<Value = (u32, Vec<u32>, Vec<u32>)> {
    (1..=100_u32).prop_flat_map(|n| {
        let size = by_meaning(n).1 as usize;
        let subset = move || proptest::sample::subsequence((0..n).collect::<Vec<_>>(), size);
        (Just(n), subset(), subset())
    })
}

proptest! {
    #[test]
    fn spec_1_any_two_quorums_share_a_weak_quorum((n, one, other) in two_quorums()) {
        let cluster = cluster(n as usize);
        prop_assert_eq!(one.len(), cluster.quorum() as usize);
        let one: BTreeSet<_> = one.into_iter().collect();
        let shared = other.iter().filter(|member| one.contains(member)).count();
        prop_assert!(shared >= cluster.weak_quorum() as usize);
    }

    #[test]
    fn spec_1_the_primary_is_the_view_modulo_n(n in 1..=100_usize, view: u64) {
        let cluster = cluster(n);
        prop_assert_eq!(u64::from(cluster.primary(View::new(view)).get()), view % n as u64);
        if view < u64::MAX {
            prop_assert_eq!(cluster.primary(View::new(view).next()).get() as usize, (cluster.primary(View::new(view)).get() as usize + 1) % n);
        }
    }
}

#[test]
fn spec_1_every_replica_is_primary_in_turn() {
    for n in [1, 2, 3, 4, 7, 256] {
        let cluster = cluster(n);
        for start in [0, 1, 1000, u64::MAX - 300] {
            let primaries: Vec<_> = (start..start + n as u64).map(|view| cluster.primary(View::new(view))).collect();
            assert_eq!(primaries.iter().collect::<BTreeSet<_>>().len(), n);
        }
        assert_eq!(cluster.replicas().collect::<Vec<_>>(), (0..n as u64).map(|view| cluster.primary(View::new(view))).collect::<Vec<_>>());
        assert_eq!(cluster.replica_key(ReplicaId::new(n as u32 - 1)), public(1, n).pop());
        assert_eq!(cluster.replica_key(ReplicaId::new(n as u32)), None);
    }
}

fn refusal(builder: ClusterBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

#[test]
fn configuration_a_cluster_has_1_to_256_replicas() {
    assert_eq!(refusal(Cluster::builder(Vec::new(), Vec::new())), "a cluster has 1 to 256 replicas, not 0");
    assert_eq!(refusal(Cluster::builder(public(1, 257), Vec::new())), "a cluster has 1 to 256 replicas, not 257");
    assert_eq!(refusal(Cluster::builder(public(1, 1), vec![public(2, 1)[0]; 65_537])), "a cluster has at most 65536 clients, not 65537");
    assert_eq!(cluster(256).size(), 256);
}

#[test]
fn configuration_a_key_stands_once_in_its_list() {
    let doubled = |list| {
        let mut keys = public(list, 4);
        keys[3] = keys[1];
        keys
    };
    assert_eq!(refusal(Cluster::builder(doubled(1), Vec::new())), "the key of replica 3 stands twice: each member needs a key of its own");
    assert_eq!(refusal(Cluster::builder(public(1, 4), doubled(2))), "the key of client 3 stands twice: each member needs a key of its own");
    // In both lists one key may stand: signed payloads keep their kinds apart.
    assert!(Cluster::builder(public(1, 4), public(1, 4)).build().is_ok());
}

/// In each list, at an index that the message must name.
fn refused_key(key: VerifyingKey, fault: &str) {
    for index in [0, 2] {
        let with = |list| {
            let mut keys = public(list, 4);
            keys[index] = key;
            keys
        };
        assert_eq!(refusal(Cluster::builder(with(1), Vec::new())), format!("the key of replica {index} is {fault}: make a new key pair"));
        assert_eq!(refusal(Cluster::builder(public(1, 4), with(2))), format!("the key of client {index} is {fault}: make a new key pair"));
    }
}

#[test]
fn configuration_keys_that_anyone_can_sign_for_are_refused() {
    let weak = "weak: signatures of anyone pass under it";
    for torsion in EIGHT_TORSION {
        refused_key(VerifyingKey::from_bytes(&torsion.compress().to_bytes()).unwrap(), weak);
    }
    // The second encodings of points of small order: y = p and y = p + 1, and the sign bit on x = 0.
    let mut second = 0;
    for low in [0xed, 0xee, 0xec, 0x01] {
        for sign in [0x7f, 0xff, 0x00, 0x80] {
            let mut bytes = [if low == 1 { 0 } else { 0xff }; 32];
            (bytes[0], bytes[31]) = (low, sign);
            if let Ok(key) = VerifyingKey::from_bytes(&bytes) {
                if key.is_weak() {
                    second += 1;
                    refused_key(key, weak);
                }
            }
        }
    }
    assert!(second >= 6, "{second}");
}

#[test]
fn configuration_keys_outside_the_prime_order_group_are_refused() {
    let point = ED25519_BASEPOINT_POINT * Scalar::from(12_345_u64);
    for torsion in &EIGHT_TORSION[1..] {
        let key = VerifyingKey::from_bytes(&(point + torsion).compress().to_bytes()).unwrap();
        assert!(!key.is_weak());
        refused_key(key, "outside the prime-order group");
    }
    let clean = VerifyingKey::from_bytes(&point.compress().to_bytes()).unwrap();
    assert!(Cluster::builder(vec![clean], Vec::new()).build().is_ok());
}

#[test]
fn configuration_keys_in_a_second_encoding_are_refused() {
    // y = p + k for the few k that fit in 255 bits. Of these, those that are points and not weak.
    let mut tried = 0;
    for k in 2..19_u8 {
        for sign in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + k, sign);
            let Ok(key) = VerifyingKey::from_bytes(&bytes) else { continue };
            assert_eq!(key.to_bytes(), bytes, "the key keeps its encoding");
            if !key.is_weak() {
                tried += 1;
                refused_key(key, "not in canonical form");
            }
        }
    }
    assert!(tried > 0);
}

#[test]
fn configuration_numbers_that_are_zero_too_large_or_do_not_fit_are_refused_in_words() {
    type Change = fn(ClusterBuilder) -> ClusterBuilder;
    fn limits(change: fn(&mut Limits)) -> Limits {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    }
    let small = |builder: ClusterBuilder| builder.checkpoint_interval(1).log_window(2).pipeline(2);
    let good: [Change; 8] = [
        |b| b.checkpoint_interval(1).log_window(2).pipeline(1),
        |b| b.checkpoint_interval(1).log_window(2).pipeline(2),
        |b| b.checkpoint_interval(1 << 19).log_window(1 << 20).pipeline(1024),
        |b| b.checkpoint_interval(3).log_window(1024 * 3).pipeline(1),
        |b| b.limits(limits(|l| l.result_bytes_max = 0)),
        |b| b.limits(limits(|l| (l.client_window, l.batch_requests_max) = (1, 1))),
        |b| b.limits(limits(|l| (l.client_window, l.batch_requests_max) = (65_536, 65_536))),
        |b| b.limits(limits(|l| (l.message_bytes_max, l.batch_bytes_max) = (64 << 20, (64 << 20) - (64 << 10)))),
    ];
    for (index, change) in good.into_iter().enumerate() {
        assert!(change(Cluster::builder(public(1, 4), Vec::new())).build().is_ok(), "{index}");
    }
    let bad: [(Change, &str); 29] = [
        (|b| b.checkpoint_interval(0), "the checkpoint interval must be at least 1"),
        (|b| b.checkpoint_interval((1 << 19) + 1), "the checkpoint interval must be at most 2^19"),
        (|b| b.checkpoint_interval(u64::MAX), "the checkpoint interval must be at most 2^19"),
        (|b| b.checkpoint_interval(10).log_window(19), "the log window must be at least two checkpoint intervals"),
        (|b| b.log_window(0), "the log window must be at least two checkpoint intervals"),
        (|b| b.checkpoint_interval(10).log_window(21), "the log window must be a multiple of the checkpoint interval"),
        (|b| b.checkpoint_interval(10).log_window(29), "the log window must be a multiple of the checkpoint interval"),
        (|b| b.log_window(u64::MAX), "the log window must be a multiple of the checkpoint interval"),
        (|b| b.log_window(128 * 1025), "the log window must be at most 1024 checkpoint intervals"),
        (|b| b.checkpoint_interval(1).log_window(u64::MAX), "the log window must be at most 1024 checkpoint intervals"),
        (|b| b.checkpoint_interval(1 << 19).log_window(3 << 19), "the log window must be at most 2^20"),
        (|b| b.pipeline(0), "the pipeline must be at least 1"),
        (|b| b.checkpoint_interval(1024).log_window(2048).pipeline(1025), "the pipeline must be at most the log window, and at most 1024"),
        (|b| b.pipeline(u64::MAX), "the pipeline must be at most the log window, and at most 1024"),
        (|b| b.checkpoint_interval(1).log_window(2).pipeline(3), "the pipeline must be at most the log window, and at most 1024"),
        (|b| b.limits(limits(|l| l.batch_requests_max = 0)), "a batch must have room for one request"),
        (|b| b.limits(limits(|l| l.batch_requests_max = 65_537)), "a batch has at most 65536 requests"),
        (|b| b.limits(limits(|l| l.client_window = 0)), "the client window must be at least 1"),
        (|b| b.limits(limits(|l| l.client_window = u32::MAX)), "the client window must be at most 65536"),
        (|b| b.limits(limits(|l| l.operation_bytes_max = 0)), "an operation must have room for one byte"),
        (|b| b.limits(limits(|l| l.batch_bytes_max = 0)), "batch_bytes_max must hold one operation of operation_bytes_max and 328 bytes"),
        (
            |b| b.limits(limits(|l| (l.batch_bytes_max, l.operation_bytes_max) = (1327, 1000))),
            "batch_bytes_max must hold one operation of operation_bytes_max and 328 bytes",
        ),
        (
            |b| b.limits(limits(|l| l.operation_bytes_max = u32::MAX)),
            "batch_bytes_max must hold one operation of operation_bytes_max and 328 bytes",
        ),
        (|b| b.limits(limits(|l| l.message_bytes_max = (64 << 20) + 1)), "message_bytes_max must be at most 64 MiB"),
        (|b| b.limits(limits(|l| l.message_bytes_max = u32::MAX)), "message_bytes_max must be at most 64 MiB"),
        (|b| b.limits(limits(|l| l.message_bytes_max = 0)), "message_bytes_max must be at least batch_bytes_max and 64 KiB"),
        (|b| b.limits(limits(|l| l.batch_bytes_max = u32::MAX)), "message_bytes_max must be at least batch_bytes_max and 64 KiB"),
        (|b| b.limits(limits(|l| l.result_bytes_max = 1 << 20)), "message_bytes_max must be at least result_bytes_max and 64 KiB"),
        (|b| b.limits(limits(|l| l.result_bytes_max = u32::MAX)), "message_bytes_max must be at least result_bytes_max and 64 KiB"),
    ];
    for (change, message) in bad {
        let error = change(Cluster::builder(public(1, 4), Vec::new())).build().unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(matches!(error, ConfigError::Number(_)));
    }
    assert!(small(Cluster::builder(public(1, 4), Vec::new())).build().is_ok());
    // A manifest of half a message names 1013 parts of 329 bytes; a client's sessions take 44 and 32 for each place of its window.
    let of = |client_window| {
        let limits = Limits {
            message_bytes_max: (64 << 10) + 329,
            batch_bytes_max: 329,
            operation_bytes_max: 1,
            result_bytes_max: 0,
            client_window,
            ..Limits::default()
        };
        Cluster::builder(public(1, 4), public(101, 2)).limits(limits).build()
    };
    let most = (1013 * 329 / 2 - 44) / 32;
    assert!(of(most).is_ok());
    let error = of(most + 1).unwrap_err().to_string();
    assert_eq!(error, "all clients' sessions must fit half a manifest: raise batch_bytes_max or message_bytes_max, or lower client_window");
}

/// The identity a second time, from its specification.
fn identity(replicas: &[VerifyingKey], clients: &[VerifyingKey], numbers: [u64; 3], limits: &Limits) -> Digest {
    let mut hasher = Sha256::new().chain_update(b"logothete/cluste").chain_update(1_u32.to_le_bytes());
    numbers.iter().for_each(|number| hasher.update(number.to_le_bytes()));
    let Limits { message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window } = *limits;
    for number in [message_bytes_max, batch_bytes_max, batch_requests_max, operation_bytes_max, result_bytes_max, client_window] {
        hasher.update(number.to_le_bytes());
    }
    let mut clients: Vec<_> = clients.iter().map(VerifyingKey::to_bytes).collect();
    clients.sort_unstable();
    for list in [replicas.iter().map(VerifyingKey::to_bytes).collect(), clients] {
        hasher.update((list.len() as u32).to_le_bytes());
        list.iter().for_each(|key| hasher.update(key));
    }
    Digest::new(hasher.finalize().into())
}

#[test]
fn spec_1_the_default_numbers_are_those_of_the_specification() {
    let cluster = cluster(4);
    assert_eq!((cluster.checkpoint_interval(), cluster.log_window(), cluster.pipeline()), (128, 512, 16));
    assert_eq!(cluster.id(), identity(&public(1, 4), &[], [128, 512, 16], &Limits::default()));
}

#[test]
fn spec_1_the_identity_covers_every_field() {
    let base = || Cluster::builder(public(1, 4), public(2, 3));
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        base().limits(limits)
    };
    let swapped = |list, count| {
        let mut keys = public(list, count);
        keys.swap(0, 1);
        keys
    };
    let builders = [
        base(),
        base().checkpoint_interval(64),
        base().log_window(640),
        base().pipeline(15),
        with(|l| l.message_bytes_max -= 1),
        with(|l| l.batch_bytes_max -= 1),
        with(|l| l.batch_requests_max -= 1),
        with(|l| l.operation_bytes_max -= 1),
        with(|l| l.result_bytes_max -= 1),
        with(|l| l.client_window -= 1),
        Cluster::builder(public(1, 3), public(2, 3)),
        Cluster::builder(public(1, 5), public(2, 3)),
        Cluster::builder(public(3, 4), public(2, 3)),
        Cluster::builder(swapped(1, 4), public(2, 3)),
        Cluster::builder(public(1, 4), public(2, 2)),
        Cluster::builder(public(1, 4), public(3, 3)),
        Cluster::builder(public(1, 4), Vec::new()),
        // The same keys in the same order, cut into the two lists at another place.
        Cluster::builder(public(1, 7)[..4].to_vec(), public(1, 7)[4..].to_vec()),
        Cluster::builder(public(1, 7)[..5].to_vec(), public(1, 7)[5..].to_vec()),
        Cluster::builder(public(1, 7), Vec::new()),
    ];
    let count = builders.len();
    let ids: BTreeSet<_> = builders.into_iter().map(|builder| builder.build().unwrap().id()).collect();
    assert_eq!(ids.len(), count);
}

#[test]
fn spec_1_the_identity_is_that_of_the_specification_and_does_not_depend_on_the_clients_order() {
    let limits = Limits { client_window: 99, batch_requests_max: 7, ..Limits::default() };
    let mut clients = public(2, 5);
    let build = |clients: &[VerifyingKey]| {
        let builder = Cluster::builder(public(1, 4), clients.to_vec()).limits(limits.clone());
        builder.checkpoint_interval(5).log_window(50).pipeline(4).build().unwrap()
    };
    let expected = identity(&public(1, 4), &clients, [5, 50, 4], &limits);
    let enrolled: Vec<_> = build(&clients).clients().collect();
    for _ in 0..clients.len() {
        clients.rotate_left(1);
        assert_eq!(build(&clients).id(), expected);
        assert_eq!(build(&clients).clients().collect::<Vec<_>>(), enrolled);
    }
    clients.reverse();
    assert_eq!(build(&clients).id(), expected);
}

#[test]
fn configuration_keys_are_never_in_debug_output() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let numbers = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let keys: Vec<SigningKey> = (0..4).map(|index| signing_key(1, index)).chain([signing_key(2, 0)]).collect();
    let cluster = Arc::new(Cluster::builder(public(1, 4), public(2, 1)).build().unwrap());
    let forge = Forge::new(cluster.clone());
    let verifier = Verifier::new(cluster.clone());
    let request = forge.request(&keys[4], RequestNumber::new(1), b"secret");
    let vote = forge.vote((ReplicaId::new(0), &keys[0]), Kind::Prepare, View::new(1), (SequenceNumber::new(1), forge.genesis()));
    let decoded = Unverified::decode(PeerLink(1), &vote, cluster.limits()).unwrap();
    let asked = Unverified::decode(PeerLink(1), &forge.request_message(&request), cluster.limits()).unwrap();
    let shown = [
        format!("{cluster:?}"),
        format!("{verifier:?}"),
        format!("{decoded:?} {decoded}"),
        format!("{:?}", verifier.verify(decoded.clone())),
        format!("{request:?} {asked:?} {asked}"),
        format!("{:?}", verifier.verify(asked.clone())),
        format!("{:?}", Cluster::builder(vec![public(1, 1)[0]; 2], Vec::new()).build()),
        format!("{forge:?} {:?}", cluster.clients().collect::<Vec<_>>()),
    ];
    for text in &shown {
        for key in &keys {
            for bytes in [key.to_bytes(), key.verifying_key().to_bytes()] {
                // Eight digits of a client's key are its name in logs; no more of it, and of others nothing.
                assert!(!text.contains(&hex(&bytes[..5])) && !text.contains(&numbers(&bytes[..5])), "{text}");
            }
        }
    }
    // Nor are a client's bytes: an operation is its length.
    assert!(shown.iter().all(|text| !text.contains("secret") && !text.contains(&numbers(b"secret"))));
}
