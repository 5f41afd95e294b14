//! Wycheproof's set for Ed25519: one pinned verdict each, alone, in every place of a batch, and with each of the others.
//!
//! Here and not in an integration test, since its messages are none of ours.

use super::tests::{judged, key};
use super::{Check, Signatory, batch_is_valid};
use crate::cluster::Cluster;
use crate::ids::{RawSignature, ReplicaId};
use crate::wire::Payload;
use alloc::vec;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

/// Where the verdict is not Wycheproof's, and why.
const DIFFERENT: [(usize, &str); 1] =
    [(151, "R is the identity with the sign bit set: ZIP-215 takes R in every encoding of a point, and hashes it as it stands")];

struct Vector {
    number: usize,
    key: [u8; 32],
    message: Vec<u8>,
    signature: Vec<u8>,
    valid: bool,
}

impl Vector {
    /// `None` if its signature is not 64 bytes long: nothing else is ever judged, since a message has no room for it.
    fn check(&self) -> Option<Check<'static>> {
        Some(Check {
            signatory: Signatory::Replica(ReplicaId::new(0)),
            scheme: crate::cluster::Scheme::Ed25519,
            key: key(self.key),
            payload: Payload::from(&self.message[..]),
            signature: RawSignature(self.signature.clone().try_into().ok()?),
        })
    }
}

fn vectors() -> Vec<Vector> {
    let groups = TestSet::load(TestName::Ed25519).unwrap().test_groups;
    let vector = |key: [u8; 32], test: &wycheproof::eddsa::Test| Vector {
        number: test.tc_id,
        key,
        message: test.msg.to_vec(),
        signature: test.sig.to_vec(),
        valid: (test.result == TestResult::Valid) != DIFFERENT.iter().any(|(number, _)| *number == test.tc_id),
    };
    groups.iter().flat_map(|group| group.tests.iter().map(|test| vector(group.key.pk.to_vec().try_into().unwrap(), test))).collect()
}

fn good() -> Check<'static> {
    let signer = SigningKey::from_bytes(&[9; 32]);
    Check {
        signatory: Signatory::Replica(ReplicaId::new(1)),
        scheme: crate::cluster::Scheme::Ed25519,
        key: key(signer.verifying_key().to_bytes()),
        payload: Payload::from(&b"good"[..]),
        signature: RawSignature(signer.sign(b"good").to_bytes()),
    }
}

#[test]
fn zip_215_wycheproof_has_one_verdict_each_alone_and_in_a_batch_of_one() {
    let vectors = vectors();
    assert_eq!((vectors.len(), vectors.iter().filter(|vector| vector.valid).count()), (151, 89));
    for vector in &vectors {
        // 30 to 41: cut, lengthened, or with a zero left out.
        assert_eq!(vector.check().is_none(), (30..=41).contains(&vector.number), "{}", vector.number);
        let Some(check) = vector.check() else {
            assert!(!vector.valid);
            continue;
        };
        assert_eq!(check.run().is_ok(), vector.valid, "alone: {}", vector.number);
        assert_eq!(batch_is_valid(&[check]), vector.valid, "batch: {}", vector.number);
    }
}

#[test]
fn zip_215_wycheproof_keeps_its_verdicts_in_every_place_beside_good_ones() {
    for vector in vectors() {
        for place in 0..3 {
            let Some(check) = vector.check() else { continue };
            // In one message with good ones, and in a message of its own among theirs.
            let mut together = vec![good(), good()];
            together.insert(place, check);
            assert_eq!(batch_is_valid(&together), vector.valid, "{} at {place}", vector.number);
            let mut messages: Vec<_> = (0..3).map(|_| vec![good()]).collect();
            messages[place].extend(vector.check());
            let expected: Vec<bool> = (0..3).map(|index| index != place || vector.valid).collect();
            assert_eq!(judged(messages), expected, "{} at {place}", vector.number);
        }
    }
}

#[test]
fn zip_215_wycheproof_keeps_its_verdicts_in_company_of_all_others() {
    let vectors: Vec<_> = vectors().into_iter().filter(|vector| vector.check().is_some()).collect();
    let mut order: Vec<usize> = (0..vectors.len()).collect();
    for turn in 0..4 {
        let verdicts = judged(order.iter().map(|index| vectors[*index].check().into_iter().collect()));
        for (index, verdict) in order.iter().zip(verdicts) {
            assert_eq!(verdict, vectors[*index].valid, "{} in turn {turn}", vectors[*index].number);
        }
        // Backwards, and from the middle on: other neighbours, other halves.
        order.reverse();
        order.rotate_left(vectors.len() / 2 + turn);
    }
}

#[test]
fn spec_3_5_each_key_of_wycheproof_may_be_a_members() {
    for vector in vectors() {
        let key = VerifyingKey::from_bytes(&vector.key).unwrap();
        assert!(Cluster::builder(vec![key], vec![key]).build().is_ok(), "{}", vector.number);
    }
}
