//! S2: receipts.

use crate::{Host, at, cluster, id_of, key};
use logothete::{Cluster, ExecutionReceipt, Limits, Request};

/// A receipt for the leaf at `index` of a batch of `count`, by replicas 1 and 2 of four.
fn receipt(count: usize, index: usize) -> (Host, ExecutionReceipt) {
    let mut host = Host::new(4);
    let leaves: Vec<(Request, &[u8])> = (0..count)
        .map(|leaf| {
            let _ = host.submit(&[leaf as u8]);
            (host.request(leaf as u64 + 1, &[leaf as u8]), &b"result"[..])
        })
        .collect();
    for replica in [1, 2] {
        let reply = host.reply_of(replica, 0, 7, &leaves, index);
        let _ = host.deliver(&reply);
    }
    let receipt = host.completions()[0].outcome.receipt().unwrap().clone();
    (host, receipt)
}

/// Read and believed?
fn holds(bytes: &[u8], cluster: &Cluster) -> bool {
    ExecutionReceipt::decode(bytes, cluster.limits()).is_ok_and(|receipt| receipt.verify(cluster).is_ok())
}

#[test]
fn s2_receipts_of_every_leaf_of_every_shape_verify_after_a_round_trip() {
    for count in 1..=9 {
        for index in 0..count {
            let (host, receipt) = receipt(count, index);
            assert_eq!(receipt.verify(&host.cluster), Ok(()), "{index} of {count}");
            assert_eq!(ExecutionReceipt::decode(&receipt.encode(), host.cluster.limits()), Ok(receipt.clone()));
            assert_eq!((receipt.leaf_index() as usize, receipt.leaf_count() as usize), (index, count));
            assert_eq!((receipt.client(), receipt.number().get()), (id_of(&key(2, 0)), index as u64 + 1));
            assert_eq!((receipt.sequence_number(), receipt.result()), (at(7), &b"result"[..]));
            assert!(receipt.operation_matches(&[index as u8]) && !receipt.operation_matches(b"another"));
        }
    }
}

#[test]
fn s2_a_receipt_with_any_byte_changed_fails() {
    // Leaf 0 of 3 and leaf 4 of 5 have paths that would fit other numbers of leaves as well.
    for (count, index) in [(1, 0), (3, 0), (5, 4)] {
        let (host, receipt) = receipt(count, index);
        let bytes = receipt.encode();
        assert!(holds(&bytes, &host.cluster));
        for at in 0..bytes.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 6, 7, 12, 255] {
                let mut changed = bytes.clone();
                changed[at] ^= mask;
                assert!(!holds(&changed, &host.cluster), "byte {at} xor {mask}");
            }
        }
        for length in 0..bytes.len() {
            assert!(!holds(&bytes[..length], &host.cluster), "cut at {length}");
        }
        assert!(!holds(&[&bytes[..], &[0]].concat(), &host.cluster), "trailing byte");
    }
}

#[test]
fn s2_a_receipt_is_of_one_cluster() {
    let (_, receipt) = receipt(2, 1);
    assert!(receipt.verify(&cluster(4, Limits::default())).is_ok());
    // The same f and more members, the same members under other limits, fewer members.
    let others =
        [cluster(5, Limits::default()), cluster(4, Limits { client_window: 7, ..Limits::default() }), cluster(1, Limits::default())];
    for other in others {
        assert!(receipt.verify(&other).is_err(), "{other:?}");
    }
}

#[test]
fn s2_a_receipt_has_exactly_f_plus_one_signers_in_order_each_once() {
    let (host, receipt) = receipt(2, 1);
    let bytes = receipt.encode();
    // At the end: the number of signatures (8 bytes), then each signer (4) and its signature (64).
    let (head, signed) = bytes.split_at(bytes.len() - 8 - 2 * 68);
    let (first, second) = signed[8..].split_at(68);
    let leaves = [(host.request(1, &[0]), &b"result"[..]), (host.request(2, &[1]), &b"result"[..])];
    let reply = host.reply_of(3, 0, 7, &leaves, 1);
    let third = [&3_u32.to_le_bytes()[..], &reply[reply.len() - 64..]].concat();
    let impostor = [&9_u32.to_le_bytes()[..], &third[4..]].concat();
    let of = |members: &[&[u8]]| [head, &(members.len() as u64).to_le_bytes()[..], &members.concat()[..]].concat();
    for right in [of(&[first, second]), of(&[first, &third]), of(&[second, &third])] {
        assert!(holds(&right, &host.cluster), "any two will do");
    }
    let wrong = [
        ("none", of(&[])),
        ("too few", of(&[first])),
        ("one twice", of(&[first, first])),
        ("out of order", of(&[second, first])),
        ("more than needed", of(&[first, second, &third])),
        ("no member", of(&[first, &impostor])),
    ];
    for (what, bytes) in wrong {
        let decoded = ExecutionReceipt::decode(&bytes, host.cluster.limits()).unwrap();
        assert!(decoded.verify(&host.cluster).is_err(), "{what}");
    }
}

#[test]
fn s2_a_receipt_longer_than_the_limits_is_not_read() {
    let (host, receipt) = receipt(1, 0);
    let small = Limits { result_bytes_max: 5, ..host.cluster.limits().clone() };
    assert!(ExecutionReceipt::decode(&receipt.encode(), &small).is_err(), "a result of six bytes");
    let enough = Limits { result_bytes_max: 6, ..host.cluster.limits().clone() };
    assert!(ExecutionReceipt::decode(&receipt.encode(), &enough).is_ok(), "and not more");
    assert!(ExecutionReceipt::decode(&vec![0; 1 << 20], host.cluster.limits()).is_err());
}
