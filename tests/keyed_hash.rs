//! The simulations' cheap signatures: judged like others, and never taken by a cluster that has real ones.

use logothete::sim::KeyedHash;
use logothete::sim::forge::{Forge, Kind};
use logothete::{Cluster, Digest, PeerLink, ReplicaId, SequenceNumber, SigningKey, Unverified, Verifier, View};
use std::sync::Arc;

fn keys() -> Vec<SigningKey> {
    (1..=4).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect()
}

fn clusters() -> [Arc<Cluster>; 2] {
    let builder = Cluster::builder(keys().iter().map(SigningKey::verifying_key).collect(), Vec::new());
    [builder.clone().build(), builder.with_keyed_hash().build()].map(|cluster| Arc::new(cluster.expect("a valid cluster")))
}

fn vote(cluster: &Arc<Cluster>, member: u32, key: u32) -> Unverified {
    let key = &keys()[key as usize];
    let position = (SequenceNumber::new(1), Digest::new([7; 32]));
    let bytes = Forge::new(cluster.clone()).vote((ReplicaId::new(member), key), Kind::Prepare, View::new(0), position);
    Unverified::decode(PeerLink(0), &bytes, cluster.limits()).expect("a message")
}

#[test]
fn a_keyed_hash_is_its_members_own_alone_and_in_company() {
    let [_, cluster] = clusters();
    let verifier = Verifier::new(cluster.clone());
    for (member, key) in (0..4).flat_map(|member| (0..4).map(move |key| (member, key))) {
        assert_eq!(verifier.verify(vote(&cluster, member, key)).is_ok(), member == key, "the key of {key} in the name of {member}");
        let verdicts = verifier.verify_all(vec![vote(&cluster, 3, 3), vote(&cluster, member, key), vote(&cluster, 2, 2)]);
        assert_eq!(verdicts.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, member == key, true]);
    }
}

#[test]
fn a_cluster_with_signatures_takes_no_hashes_and_the_reverse() {
    let [signed, hashed] = clusters();
    assert_ne!(signed.id(), hashed.id());
    assert!(Verifier::new(signed.clone()).verify(vote(&signed, 1, 1)).is_ok());
    assert!(Verifier::new(signed.clone()).verify(vote(&hashed, 1, 1)).is_err());
    assert!(Verifier::new(hashed).verify(vote(&signed, 1, 1)).is_err());
    let _signer: &dyn logothete::Signer<logothete::Signature> = &KeyedHash::new(keys()[0].verifying_key());
}
