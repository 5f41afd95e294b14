//! The twelve edge cases of ed25519-speccheck ("Taming the many EdDSAs"), one pinned verdict each, alone and in any batch.
//!
//! Here and not in an integration test, since no cluster takes keys like these.

use super::{Check, Factors, Group, PeerLink, Signatory, batch_is_valid, distinct, judge};
use crate::ids::{RawSignature, ReplicaId};
use crate::wire::Payload;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use rand_core::Rng;

/// Message, key, signature, ZIP-215's verdict.
const CASES: [(&str, &str, &str, bool); 12] = [
    // A and R of small order
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        true,
    ),
    // A of small order
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        true,
    ),
    // R of small order
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        true,
    ),
    // A and R of mixed order
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        true,
    ),
    // mixed order, only with the cofactor
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        true,
    ),
    // mixed order, only with the cofactor and the scalar not reduced first
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        true,
    ),
    // S above the group's order
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        false,
    ),
    // S far above the group's order
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        false,
    ),
    // R in a second encoding, hashed as reduced
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        false,
    ),
    // R in a second encoding, hashed as it stands
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        true,
    ),
    // A in a second encoding, hashed as reduced
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        true,
    ),
    // A in a second encoding, hashed as it stands
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        true,
    ),
];

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    core::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
}

/// The verdicts on messages with these signatures, which came together over one connection.
pub(super) fn judged(messages: impl IntoIterator<Item = Vec<Check<'static>>>) -> Vec<bool> {
    let (mut list, mut groups) = (Vec::new(), Vec::new());
    for (index, checks) in messages.into_iter().enumerate() {
        let start = list.len();
        list.extend(checks);
        groups.push(Group { index, link: PeerLink(0), range: start..list.len() });
    }
    let mut verdicts = vec![Ok(()); groups.len()];
    judge(&list, &groups, &mut verdicts);
    verdicts.iter().map(Result::is_ok).collect()
}

pub(super) fn key(bytes: [u8; 32]) -> &'static ed25519_zebra::VerificationKey {
    Box::leak(Box::new(ed25519_zebra::VerificationKey::try_from(bytes).unwrap()))
}

fn check(case: usize) -> Check<'static> {
    let (message, public, signature, _) = CASES[case];
    Check {
        signatory: Signatory::Replica(ReplicaId::new(0)),
        scheme: crate::cluster::Scheme::Ed25519,
        key: key(bytes(public)),
        payload: Payload::from(&bytes::<32>(message)[..]),
        signature: RawSignature(bytes(signature)),
    }
}

fn expected(case: usize) -> bool {
    CASES[case].3
}

#[test]
fn zip_215_each_edge_case_has_one_verdict_alone_and_in_a_batch_of_one() {
    for case in 0..CASES.len() {
        assert_eq!(check(case).run().is_ok(), expected(case), "alone: {case}");
        assert_eq!(batch_is_valid(&[check(case)]), expected(case), "batch: {case}");
    }
}

#[test]
fn zip_215_each_pair_of_edge_cases_is_valid_together_if_each_is_alone() {
    for one in 0..CASES.len() {
        for other in 0..CASES.len() {
            let together = expected(one) && expected(other);
            assert_eq!(batch_is_valid(&[check(one), check(other)]), together, "{one} {other}");
            assert_eq!(judged([vec![check(one)], vec![check(other)]]), [expected(one), expected(other)], "{one} {other}");
        }
    }
}

#[test]
fn zip_215_the_edge_cases_keep_their_verdicts_in_each_others_company() {
    for turn in 0..CASES.len() {
        let order: Vec<usize> = (0..CASES.len()).map(|place| (place + turn) % CASES.len()).collect();
        // One message each; and three signatures to a message.
        for size in [1, 3] {
            let messages = order.chunks(size).map(|cases| cases.iter().map(|case| check(*case)).collect());
            let wanted: Vec<bool> = order.chunks(size).map(|cases| cases.iter().all(|case| expected(*case))).collect();
            assert_eq!(judged(messages), wanted);
        }
    }
}

#[test]
fn spec_3_5_of_equal_signatures_on_one_statement_one_is_judged() {
    let count = |list: &[Check<'static>]| distinct(list.iter()).len();
    assert_eq!(count(&[check(2), check(2), check(3), check(3), check(3), check(2)]), 2);
    let statement = || Check { payload: Payload::from(&b"another"[..]), ..check(2) };
    // S3: one signature on two statements in turn, too.
    assert_eq!(count(&[check(2), statement(), check(2), statement()]), 2);
    // Good where it stands; on another statement, with another signature, or under another key it is judged by itself.
    let signature = || Check { signature: check(3).signature, ..check(2) };
    let signer = || Check { key: check(3).key, ..check(2) };
    for other in [statement(), signature(), signer()] {
        let list = [check(2), other];
        assert_eq!((count(&list), batch_is_valid(&list)), (2, false));
    }
    assert_eq!(judged([vec![check(2)], vec![check(2)], vec![statement()], vec![statement()]]), [true, true, false, false]);
}

#[test]
fn spec_3_5_whichever_are_bad_they_are_found_and_no_others() {
    let bad = || Check { payload: Payload::from(&b"another"[..]), ..check(2) };
    for count in 0..=7 {
        for which in 0..1_u32 << count {
            let is_bad = |place: u32| which >> place & 1 == 1;
            let messages = (0..count).map(|place| vec![if is_bad(place) { bad() } else { check(2) }]);
            let expected: Vec<bool> = (0..count).map(|place| !is_bad(place)).collect();
            assert_eq!(judged(messages), expected);
        }
    }
}

#[test]
fn spec_3_5_bad_keys_of_the_edge_cases_are_no_members() {
    for (case, (_, key, _, _)) in CASES.iter().enumerate() {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes(key)).unwrap();
        // The others have torsion components, small order, or a second encoding.
        let good = [6, 7].contains(&case);
        assert_eq!(crate::Cluster::builder(vec![key], Vec::new()).build().is_ok(), good, "{case}");
        assert_eq!(crate::Cluster::builder(vec![crate::SigningKey::from_bytes(&[1; 32]).verifying_key()], vec![key]).build().is_ok(), good);
    }
}

/// The first factors of a batch, of 16 bytes each.
fn factors(checks: &[Check<'static>]) -> Vec<[u8; 16]> {
    let mut factors = Factors::of(checks.iter());
    let draw = |_| {
        let mut bytes = [0; 16];
        factors.fill_bytes(&mut bytes);
        bytes
    };
    (0..8).map(draw).collect()
}

#[test]
fn spec_3_5_the_factors_of_a_batch_follow_from_all_of_its_content() {
    let batch = || vec![check(0), check(1)];
    let base = factors(&batch());
    assert_eq!(factors(&batch()), base, "the core has no randomness");
    // Who could change one of these and keep the factors could choose bad signatures whose errors cancel each other.
    let changes: [fn(&mut Vec<Check<'static>>); 6] = [
        |checks| checks[1].signature.0[63] ^= 1,
        |checks| checks[0].signature.0[0] ^= 1,
        |checks| checks[0].key = check(2).key,
        |checks| checks[1].payload = Payload::from(&[0; 32][..]),
        |checks| checks.swap(0, 1),
        |checks| checks.push(check(2)),
    ];
    for (change, apply) in changes.iter().enumerate() {
        let mut changed = batch();
        apply(&mut changed);
        let changed = factors(&changed);
        assert!(base.iter().zip(&changed).all(|(before, after)| before != after), "{change}");
    }
    // And where one payload ends and the next check begins is part of it.
    let mut longer = batch();
    longer[1].payload = Payload::from(&[&longer[1].payload[..], &[0]].concat()[..]);
    assert!(base.iter().zip(&factors(&longer)).all(|(before, after)| before != after));
}

#[test]
fn spec_3_5_no_two_factors_of_a_batch_are_alike() {
    let mut seen: Vec<[u8; 16]> = factors(&[check(0)]);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 8);
    let mut factors = Factors::of([check(0)].iter());
    let (first, second) = (factors.next_u64(), factors.next_u64());
    assert!(first != second && ![first, second].contains(&0));
    assert_ne!(factors.next_u32(), factors.next_u32());
}
