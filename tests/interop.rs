//! The verdicts of a second reader, written in another language from SPEC.md alone: the crate gives the same. (`tests/interop/README.md`)

use ed25519_dalek::SigningKey;
use logothete::{Cluster, ClusterBuilder, ExecutionReceipt, Limits, PeerLink, Unverified, Verifier};
use std::collections::BTreeMap;
use std::sync::Arc;

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.strip_prefix('-').unwrap_or(hex);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// The cluster of `tests/interop/hostile.py`.
fn cluster() -> Arc<Cluster> {
    let keys = |seeds: std::ops::Range<u8>| seeds.map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key()).collect();
    let limits = Limits {
        message_bytes_max: 66_064,
        batch_bytes_max: 528,
        batch_requests_max: 3,
        operation_bytes_max: 40,
        result_bytes_max: 20,
        client_window: 4,
    };
    let builder: ClusterBuilder = Cluster::builder(keys(11..18), keys(201..204)).limits(limits);
    Arc::new(builder.checkpoint_interval(4).log_window(16).pipeline(2).build().expect("a good configuration"))
}

#[test]
fn spec_4_well_signed_and_wrong_gets_the_verdict_that_another_reader_gives() {
    let cluster = cluster();
    let verifier = Verifier::new(cluster.clone());
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for line in include_str!("interop/hostile.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [verdict, kind, name, hex] = words[..] else {
            assert_eq!(words, ["identity", &cluster.id().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()]);
            continue;
        };
        let bytes = bytes(hex);
        let believed = if kind == "receipt" {
            ExecutionReceipt::decode(&bytes, cluster.limits()).is_ok_and(|receipt| receipt.verify(&cluster).is_ok())
        } else {
            Unverified::decode(PeerLink(0), &bytes, cluster.limits()).is_ok_and(|message| verifier.verify(message).is_ok())
        };
        if believed != (verdict == "accept") {
            failed.push(format!("{kind} {name}: the other reader says {verdict}"));
        }
        *seen.entry((kind, verdict)).or_default() += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // Each kind of message has a good one, and so have receipts.
    let total: usize = seen.values().sum();
    assert!(total > 250 && seen.keys().filter(|(_, verdict)| *verdict == "accept").count() == 20, "{seen:?}");
}
