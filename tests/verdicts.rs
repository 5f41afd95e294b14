//! Which messages are believed: alone and in company, each the same. (SPEC 3.5)

mod samples;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use ed25519_dalek::{Signature, SigningKey};
use logothete::sim::forge::{ForgedCheckpoint, ForgedStatus};
use logothete::{DecodeError, Limits, MessageKind, ReplicaId, RequestNumber, SequenceNumber, Unverified, VerifyError, View};
use proptest::prelude::*;
use samples::by_hand::{Block, Hash, Phase, Vote};
use samples::sheet::Sheet;
use samples::{World, keys};
use sha2::{Digest as _, Sha512};

/// A verdict in a form that can be compared.
fn told(verdict: Result<logothete::Verified, VerifyError>) -> Result<String, VerifyError> {
    verdict.map(|verified| verified.to_string())
}

fn bad_signature<T>(verdict: Result<T, VerifyError>) -> bool {
    matches!(verdict, Err(VerifyError::BadSignature(_)))
}

fn verdict(world: &World, bytes: &[u8]) -> Result<(), VerifyError> {
    let alone = world.verify(bytes).map(|_| ());
    let together = world.verifier.verify_all(vec![world.decode(bytes).unwrap()]).remove(0).map(|_| ());
    assert_eq!(alone, together);
    alone
}

/// What bears no signature: it is named by its digest, and worth nothing to who didn't ask for that.
fn by_digest(sample: &samples::Sample) -> bool {
    matches!(sample.kind, MessageKind::Manifest | MessageKind::Chunk)
}

fn paste(target: &Sheet, signature: usize, bytes: &[u8]) -> Vec<u8> {
    let mut pasted = target.bytes.clone();
    pasted[signature..signature + 64].copy_from_slice(bytes);
    pasted
}

#[test]
fn spec_3_5_valid_messages_of_every_kind_pass_alone_and_together() {
    let world = World::new();
    let samples = world.samples();
    for sample in &samples {
        assert_eq!(verdict(&world, &sample.sheet.bytes), Ok(()), "{}", sample.name);
    }
    let all = samples.iter().map(|sample| world.decode(&sample.sheet.bytes).unwrap()).collect();
    for (sample, verdict) in samples.iter().zip(world.verifier.verify_all(all)) {
        assert_eq!(verdict.unwrap().kind(), sample.kind, "{}", sample.name);
    }
    assert!(world.verifier.verify_all(Vec::new()).is_empty());
}

#[test]
fn spec_3_5_every_signature_in_a_message_counts() {
    let world = World::new();
    for sample in world.samples() {
        assert!(!sample.sheet.signatures.is_empty() || by_digest(&sample));
        for signature in &sample.sheet.signatures {
            for half in [0, 32, 63] {
                let mut bytes = sample.sheet.bytes.clone();
                bytes[signature + half] ^= 1;
                // A request's signature is part of its batch's digest, so there the batch fails first.
                let verdict = verdict(&world, &bytes).unwrap_err();
                let inside_a_batch = matches!(verdict, VerifyError::Rule(rule) if rule.starts_with("P1"));
                assert!(inside_a_batch || matches!(verdict, VerifyError::BadSignature(_)), "{} at {signature}: {verdict}", sample.name);
            }
        }
    }
}

#[test]
fn spec_3_1_every_byte_of_a_message_is_covered_by_a_signature() {
    let world = World::new();
    for sample in world.samples() {
        for offset in 0..sample.sheet.bytes.len() {
            // The one exception: a reply's view is a hint.
            if sample.name == "reply" && (8..16).contains(&offset) {
                continue;
            }
            if by_digest(&sample) {
                continue;
            }
            for bit in [0, 7] {
                let mut bytes = sample.sheet.bytes.clone();
                bytes[offset] ^= 1 << bit;
                if let Ok(unverified) = world.decode(&bytes) {
                    assert!(world.verifier.verify(unverified).is_err(), "{} at {offset}", sample.name);
                }
            }
        }
    }
}

#[test]
fn spec_3_1_nothing_of_one_cluster_is_believed_in_another() {
    let world = World::new();
    // The same keys; one limit is one byte larger.
    let other = World::with_limits(Limits { result_bytes_max: 64 * 1024 + 1, ..Limits::default() });
    assert_ne!(world.cluster.id(), other.cluster.id());
    for sample in world.samples().iter().filter(|sample| !by_digest(sample)) {
        assert!(verdict(&other, &sample.sheet.bytes).is_err(), "{}", sample.name);
    }
}

#[test]
fn c3_every_byte_of_what_stands_by_its_digest_changes_that_digest() {
    let world = World::new();
    let other = World::with_limits(Limits { result_bytes_max: 64 * 1024 + 1, ..Limits::default() });
    // The digest that the verifier computed, in words.
    let digest = |world: &World, bytes: &[u8]| {
        let verified = format!("{:?}", world.verify(bytes).ok()?);
        let (_, after) = verified.split_once("state: ").or_else(|| verified.split_once("digest: "))?;
        Some(after[..8].to_owned())
    };
    for sample in world.samples().iter().filter(|sample| by_digest(sample)) {
        let true_digest = digest(&world, &sample.sheet.bytes).unwrap();
        for offset in 4..sample.sheet.bytes.len() {
            let mut bytes = sample.sheet.bytes.clone();
            bytes[offset] ^= 1;
            if world.decode(&bytes).is_ok() {
                assert_ne!(digest(&world, &bytes).unwrap(), true_digest, "{} at {offset}", sample.name);
            }
        }
        // A part is the same in all clusters; a snapshot as a whole is not.
        assert_eq!(digest(&other, &sample.sheet.bytes).unwrap() == true_digest, sample.kind == MessageKind::Chunk);
    }
}

#[test]
fn c1_no_checkpoint_stands_off_its_interval_wherever_it_is_said() {
    let world = World::new();
    let forge = &world.forge;
    let members: Vec<_> = [0, 1, 3].map(|index: u32| (ReplicaId::new(index), &world.replicas[index as usize])).to_vec();
    let refused = Err(VerifyError::Rule("C1: no checkpoint is taken at that position"));
    for (number, good) in [(0, false), (1, false), (127, false), (128, true), (129, false), (256, true), (u64::MAX, false), (1 << 63, true)]
    {
        let checkpoint = ForgedCheckpoint { position: (SequenceNumber::new(number), forge.genesis()), state: forge.genesis() };
        let status = ForgedStatus { ordinal: 1, checkpoint: Some(checkpoint), ..ForgedStatus::default() };
        let mut messages = vec![forge.checkpoint(members[1], checkpoint), forge.status_of(members[1], &status)];
        // One at genesis is refused for its form alone.
        messages.extend((number > 0).then(|| forge.stable_message(&forge.stable(&members, checkpoint))));
        for bytes in messages {
            assert_eq!(verdict(&world, &bytes), if good { Ok(()) } else { refused.clone() }, "{number}");
        }
    }
}

// I16
#[test]
fn c2_a_checkpoint_certificate_is_exactly_a_quorum_of_members_on_one_checkpoint() {
    let world = World::new();
    let forge = &world.forge;
    let member = |index: u32| (ReplicaId::new(index), &world.replicas[index as usize]);
    let checkpoint = ForgedCheckpoint { position: (SequenceNumber::new(128), forge.genesis()), state: forge.genesis() };
    let judge = |members: &[(ReplicaId, &SigningKey)]| verdict(&world, &forge.stable_message(&forge.stable(members, checkpoint)));
    for members in [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]] {
        assert_eq!(judge(&members.map(member)), Ok(()));
    }
    let not_a_quorum = Err(VerifyError::Rule("P3: a certificate has not exactly a quorum of signatures"));
    for members in [&[][..], &[2], &[0, 1], &[0, 1, 2, 3]] {
        assert_eq!(judge(&members.iter().map(|index| member(*index)).collect::<Vec<_>>()), not_a_quorum);
    }
    assert_eq!(
        judge(&[member(0), member(1), (ReplicaId::new(4), &world.replicas[2])]),
        Err(VerifyError::UnknownReplica(ReplicaId::new(4)))
    );
    let outsider = SigningKey::from_bytes(&[66; 32]);
    for key in [&outsider, &world.replicas[0], &world.replicas[3]] {
        assert_eq!(judge(&[member(0), member(1), (ReplicaId::new(2), key)]), Err(VerifyError::BadSignature("replica 2".to_owned())));
    }
    // One member's vote on another position, d_n, or state, in the place of its vote on this.
    const SECOND: usize = 4 + 8 + 32 + 32 + 8 + 68 + 4;
    let all = [0, 1, 2].map(member);
    let good = forge.stable_message(&forge.stable(&all, checkpoint));
    let other = logothete::Digest::new([1; 32]);
    for stranger in [
        ForgedCheckpoint { position: (SequenceNumber::new(256), checkpoint.position.1), ..checkpoint },
        ForgedCheckpoint { position: (checkpoint.position.0, other), ..checkpoint },
        ForgedCheckpoint { state: other, ..checkpoint },
    ] {
        let mut mixed = good.clone();
        mixed[SECOND..SECOND + 64].copy_from_slice(&forge.stable_message(&forge.stable(&all, stranger))[SECOND..SECOND + 64]);
        assert_eq!(verdict(&world, &mixed), Err(VerifyError::BadSignature("replica 1".to_owned())));
    }
}

#[test]
fn d2_a_question_for_the_way_back_and_its_answer_are_their_senders_alone() {
    let world = World::new();
    let forge = &world.forge;
    for (name, key) in [(0, 0), (0, 1), (3, 2), (2, 2)] {
        let traitor = (ReplicaId::new(name), &world.replicas[key]);
        for bytes in [forge.rejoin(traitor, [1; 32]), forge.welcome(traitor, ReplicaId::new(1), [1; 32], View::new(4))] {
            let refused = Err(VerifyError::BadSignature(format!("replica {name}")));
            assert_eq!(verdict(&world, &bytes), if name as usize == key { Ok(()) } else { refused });
        }
    }
    let nobody = (ReplicaId::new(4), &world.replicas[0]);
    assert_eq!(verdict(&world, &forge.rejoin(nobody, [1; 32])), Err(VerifyError::UnknownReplica(ReplicaId::new(4))));
}

/// The worst case: one key is everybody's, client's and replica's, so only the payloads keep the signatures apart.
#[test]
fn spec_3_1_no_signature_stands_for_another_statement_or_kind() {
    let key = keys(1, 1);
    let world = World::with_keys(key.clone(), key.clone(), Limits::default());
    let forge = &world.forge;
    let me = (logothete::ReplicaId::new(0), &key[0]);
    let (view, number) = (View::new(1), SequenceNumber::new(1));
    let request = forge.request(&key[0], RequestNumber::new(1), b"x");
    let block = forge.block(number, forge.genesis(), vec![request.clone()]);
    let position = (number, block.digest());
    let certificate = |kind, view| forge.certificate_message(&forge.certificate(&[me], kind, view, position));
    use logothete::sim::forge::Kind::{Commit, Prepare};
    let view_change = forge.view_change(me, view, None);
    let checkpoint = ForgedCheckpoint { position: (SequenceNumber::new(128), block.digest()), state: block.digest() };
    // Each with the number of bytes behind its signature.
    let mut messages = vec![
        (forge.request_message(&request), 0),
        (forge.request_message(&forge.request(&key[0], RequestNumber::new(2), b"x")), 0),
        (forge.pre_prepare(&key[0], view, &block), 0),
        (forge.vote(me, Prepare, view, position), 0),
        (forge.vote(me, Prepare, view.next(), position), 0),
        (forge.vote(me, Prepare, view, (number.next(), position.1)), 0),
        (forge.vote(me, Commit, view, position), 0),
        (certificate(Prepare, view), 0),
        (certificate(Prepare, view.next()), 0),
        (certificate(Commit, view), 0),
        (forge.view_change_message(&view_change), 1),
        (forge.view_change_message(&forge.view_change(me, view.next(), None)), 1),
        (forge.new_view(&key[0], view, &[view_change], None), 0),
        (forge.status(me, 1, view, view, number), 4),
        (forge.status(me, 2, view, view, number), 4),
        (forge.fetch(me, 1, SequenceNumber::default(), position), 0),
        (forge.fetch_proposal(me, 1, view, position), 0),
        (forge.fetch_manifest(me, 1, number, position.1), 0),
        (forge.fetch_chunk(me, 1, number, 0, position.1), 0),
        (forge.fetch_chunk(me, 1, number, 1, position.1), 0),
        (forge.checkpoint(me, checkpoint), 0),
        (forge.checkpoint(me, ForgedCheckpoint { state: block.parent(), ..checkpoint }), 0),
        (forge.stable_message(&forge.stable(&[me], checkpoint)), 0),
        (forge.rejoin(me, *position.1.as_bytes()), 0),
        (forge.welcome(me, me.0, *position.1.as_bytes(), view), 0),
        (forge.welcome(me, me.0, *position.1.as_bytes(), view.next()), 0),
    ];
    messages.extend([world.reply(0), world.answered(0)].map(|sample| (sample.sheet.bytes, 0)));
    let slot = |(bytes, behind): &(Vec<u8>, usize)| bytes.len() - behind - 64..bytes.len() - behind;
    for target in &messages {
        assert_eq!(verdict(&world, &target.0), Ok(()));
        for donor in &messages {
            let signature = &donor.0[slot(donor)];
            let mut pasted = target.0.clone();
            pasted[slot(target)].copy_from_slice(signature);
            let same_statement = pasted == target.0;
            assert_eq!(bad_signature(verdict(&world, &pasted)), !same_statement);
        }
    }
    // The only statements here that stand in more than one place are Prepare(1, 1, d): proposal, vote, certificate; Commit(1, 1, d), and the checkpoint.
    let distinct: std::collections::BTreeSet<&[u8]> = messages.iter().map(|message| &message.0[slot(message)]).collect();
    assert_eq!(messages.len() - distinct.len(), 2 + 1 + 1 + 1);
}

/// A signature that its key's owner makes with a chosen point R in a chosen encoding.
fn crafted(key: &SigningKey, message: &[u8], encoded_r: [u8; 32], r: Scalar) -> [u8; 64] {
    let a = key.to_scalar();
    let hash = Sha512::new().chain_update(encoded_r).chain_update(key.verifying_key().to_bytes()).chain_update(message).finalize();
    let s = r + Scalar::from_bytes_mod_order_wide(&hash.into()) * a;
    [encoded_r, s.to_bytes()].concat().try_into().unwrap()
}

/// Adds little-endian numbers, modulo the width.
fn add(sum: &mut [u8], addend: &[u8]) {
    let mut carry = 0;
    for (to, from) in sum.iter_mut().zip(addend) {
        let byte = u16::from(*to) + u16::from(*from) + carry;
        (*to, carry) = (u8::try_from(byte & 0xff).unwrap(), byte >> 8);
    }
}

/// Signatures that a correct signer never makes, and on which libraries disagree: (what, signature, ZIP-215's verdict).
fn edge_signatures(key: &SigningKey, message: &[u8]) -> Vec<(&'static str, [u8; 64], bool)> {
    let r = Scalar::from(7_u64);
    let point: EdwardsPoint = ED25519_BASEPOINT_POINT * r;
    let mut list: Vec<_> = EIGHT_TORSION
        .iter()
        .map(|torsion| ("R with a torsion component", crafted(key, message, (point + torsion).compress().to_bytes(), r), true))
        .collect();
    list.extend(
        EIGHT_TORSION.iter().map(|torsion| ("R of small order", crafted(key, message, torsion.compress().to_bytes(), Scalar::ZERO), true)),
    );
    // y = p + 1: a second encoding of the identity, and with the sign bit a third.
    let mut identity = [0xff; 32];
    (identity[0], identity[31]) = (0xee, 0x7f);
    list.push(("R in a second encoding", crafted(key, message, identity, Scalar::ZERO), true));
    identity[31] = 0xff;
    list.push(("R in a third encoding", crafted(key, message, identity, Scalar::ZERO), true));
    let honest = crafted(key, message, point.compress().to_bytes(), r);
    list.push(("honest", honest, true));
    // S in other encodings of the same residue, and beside it where a lenient parser would clear a bit or reduce by the field's prime.
    let scalar =
        |number: &str| -> [u8; 32] { std::array::from_fn(|index| u8::from_str_radix(&number[2 * index..2 * index + 2], 16).unwrap()) };
    let order = scalar("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let prime = scalar("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    let high = |addends: &[[u8; 32]]| {
        let mut signature = honest;
        addends.iter().for_each(|addend| add(&mut signature[32..], addend));
        signature
    };
    let power = |bit: usize| std::array::from_fn(|index| if index == bit / 8 { 1 << (bit % 8) } else { 0 });
    list.extend([1, 2, 4, 8].map(|times| ("S beyond the group's order", high(&vec![order; times]), false)));
    list.extend([253, 254, 255].map(|bit| ("S with a high bit set", high(&[power(bit)]), false)));
    list.push(("S with the field's prime added", high(&[prime]), false));
    // R changed, and S made anew for the hash with the changed R: good only for who compares too little of R.
    for bit in [0, 1, 2, 7, 8, 16, 31, 32, 63, 64, 97, 127, 240, 247, 248, 253, 254, 255] {
        let mut other = point.compress().to_bytes();
        other[bit / 8] ^= 1 << (bit % 8);
        list.push(("R with a bit changed", crafted(key, message, other, r), false));
    }
    list.push(("R with all bits changed", crafted(key, message, point.compress().to_bytes().map(|byte| !byte), r), false));
    list.push(("R with all bits set", crafted(key, message, [0xff; 32], r), false));
    list.push(("R of zeros", crafted(key, message, [0; 32], r), false));
    list.push(("R of twos", [&[2; 32], &honest[32..]].concat().try_into().unwrap(), false));
    list.push((
        "R in a second encoding, hashed as reduced",
        {
            let mut signature = crafted(key, message, EdwardsPoint::identity().compress().to_bytes(), Scalar::ZERO);
            signature[..32].copy_from_slice(&identity);
            signature
        },
        false,
    ));
    // R and S of values at which arithmetic likes to fail.
    let above = |number: [u8; 32], by: u8| {
        let mut sum = number;
        add(&mut sum, &[by]);
        sum
    };
    let below = |number: [u8; 32]| std::array::from_fn(|index| number[index] - u8::from(index == 0));
    for special_r in [[0; 32], above([0; 32], 1), order, prime] {
        for special_s in [[0; 32], above([0; 32], 1), below(order), order, above(order, 1)] {
            list.push(("special R and S", [special_r, special_s].concat().try_into().unwrap(), false));
        }
    }
    list.push(("all zero", [0; 64], false));
    list
}

#[test]
fn zip_215_has_one_verdict_alone_and_in_any_company() {
    let world = World::new();
    let samples = world.samples();
    let which = samples.iter().position(|sample| sample.name == "prepare").unwrap();
    let vote = &samples[which].sheet;
    let payload = &samples[which].signed.as_ref().unwrap().1;
    let mut crafted_only_here = 0;
    let edges = edge_signatures(&world.replicas[1], payload);
    for (what, signature, expected) in &edges {
        let bytes = paste(vote, vote.signatures[0], signature);
        assert_eq!(verdict(&world, &bytes).is_ok(), *expected, "{what}");
        // In the company of good ones, and of one bad one.
        for bad in [false, true] {
            let mut company: Vec<Unverified> = samples.iter().map(|sample| world.decode(&sample.sheet.bytes).unwrap()).collect();
            if bad {
                let other = &samples[which + 1].sheet;
                company[which + 1] = world.decode(&paste(other, other.signatures[0], &[0; 64])).unwrap();
            }
            company.insert(5, world.decode(&bytes).unwrap());
            let verdicts = world.verifier.verify_all(company);
            assert_eq!(verdicts[5].is_ok(), *expected, "{what}");
            assert_eq!(verdicts.iter().filter(|verdict| verdict.is_err()).count(), usize::from(bad) + usize::from(!expected), "{what}");
        }
        let strict = world.replicas[1].verifying_key().verify_strict(payload, &Signature::from_bytes(signature)).is_ok();
        crafted_only_here += usize::from(*expected && !strict);
    }
    // Seven torsion components, eight points of small order, two encodings: the vectors do test the rule.
    assert_eq!(crafted_only_here, 7 + 8 + 2);
    // All of them at once.
    let all = edges.iter().map(|(_, signature, _)| world.decode(&paste(vote, vote.signatures[0], signature)).unwrap()).collect();
    let verdicts: Vec<bool> = world.verifier.verify_all(all).iter().map(Result::is_ok).collect();
    assert_eq!(verdicts, edges.iter().map(|(_, _, expected)| *expected).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Damage {
    None,
    FlipBit(prop::sample::Index, u8),
    ZeroSignature(prop::sample::Index),
    ForeignSignature(prop::sample::Index, prop::sample::Index),
    EdgeSignature(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => Just(Damage::None),
        2 => (index(), 0..8_u8).prop_map(|(at, bit)| Damage::FlipBit(at, bit)),
        1 => index().prop_map(Damage::ZeroSignature),
        2 => (index(), index()).prop_map(|(at, from)| Damage::ForeignSignature(at, from)),
        1 => index().prop_map(Damage::EdgeSignature),
    ]
}

fn damaged(world: &World, samples: &[samples::Sample], chosen: usize, damage: &Damage) -> Unverified {
    let sheet = &samples[chosen].sheet;
    let slot = |at: &prop::sample::Index| *at.get(&sheet.signatures);
    let bytes = match damage {
        Damage::None => sheet.bytes.clone(),
        Damage::FlipBit(at, bit) => {
            let mut bytes = sheet.bytes.clone();
            bytes[at.index(sheet.bytes.len())] ^= 1 << bit;
            bytes
        }
        _ if sheet.signatures.is_empty() => sheet.bytes.clone(),
        Damage::ZeroSignature(at) => paste(sheet, slot(at), &[0; 64]),
        Damage::ForeignSignature(at, from) => {
            let donor = &from.get(samples).sheet;
            match donor.signatures.first() {
                Some(signature) => paste(sheet, slot(at), &donor.bytes[*signature..signature + 64]),
                None => sheet.bytes.clone(),
            }
        }
        Damage::EdgeSignature(which) => match &samples[chosen].signed {
            Some((by, payload)) if by == "replica 1" && sheet.signatures.len() == 1 => {
                paste(sheet, sheet.signatures[0], &which.get(&edge_signatures(&world.replicas[1], payload)).1)
            }
            _ => sheet.bytes.clone(),
        },
    };
    // Where the damage doesn't even decode, the good one takes part.
    world.decode(&bytes).unwrap_or_else(|_| world.decode(&sheet.bytes).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn spec_3_5_each_message_gets_the_verdict_that_it_would_get_alone(
        choices in proptest::collection::vec((any::<prop::sample::Index>(), damage()), 0..16),
    ) {
        let world = World::new();
        let samples = world.samples();
        let messages: Vec<Unverified> =
            choices.iter().map(|(which, damage)| damaged(&world, &samples, which.index(samples.len()), damage)).collect();
        let alone: Vec<_> = messages.iter().map(|message| told(world.verifier.verify(message.clone()))).collect();
        let together: Vec<_> = world.verifier.verify_all(messages.clone()).into_iter().map(told).collect();
        prop_assert_eq!(&together, &alone);
        let again: Vec<_> = world.verifier.clone().verify_all(messages.clone()).into_iter().map(told).collect();
        prop_assert_eq!(&again, &alone);
        let backwards: Vec<_> = world.verifier.verify_all(messages.into_iter().rev().collect()).into_iter().map(told).rev().collect();
        prop_assert_eq!(&backwards, &alone);
    }
}

#[test]
fn p1_a_block_under_another_header_is_refused() {
    let world = World::new();
    let request = world.forge.request(&world.clients[0], RequestNumber::new(1), b"x");
    let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![request]);
    let other = block.with_payload(world.forge.genesis());
    let refused = Err(VerifyError::Rule("P1: a batch does not hash to what its header says"));
    assert_eq!(verdict(&world, &world.forge.pre_prepare(&world.replicas[0], View::new(0), &other)), refused);
    assert_eq!(verdict(&world, &world.forge.chain(None, &[other])), refused);
}

#[test]
fn p1_a_proposal_is_its_primarys_alone() {
    let world = World::new();
    let request = world.forge.request(&world.clients[0], RequestNumber::new(1), b"x");
    let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![request]);
    for view in [0, 1, 2, 3, 4, 7, u64::MAX] {
        for (index, key) in world.replicas.iter().enumerate() {
            let verdict = verdict(&world, &world.forge.pre_prepare(key, View::new(view), &block));
            assert_eq!(verdict.is_ok(), view % 4 == index as u64, "{view} {index}");
        }
    }
}

// I15
#[test]
fn p1_one_bad_request_makes_its_batch_bad() {
    let world = World::new();
    let other = World::with_limits(Limits { result_bytes_max: 1, ..Limits::default() });
    let stranger = SigningKey::from_bytes(&[77; 32]);
    let good = |number| world.forge.request(&world.clients[0], RequestNumber::new(number), b"x");
    // Signed by its client for another cluster; and by a client that nobody enrolled.
    let foreign = other.forge.request(&world.clients[1], RequestNumber::new(1), b"x");
    let unknown = world.forge.request(&stranger, RequestNumber::new(1), b"x");
    // A replica is no client.
    let replica = world.forge.request(&world.replicas[0], RequestNumber::new(1), b"x");
    for bad in [foreign, unknown, replica] {
        for requests in [vec![bad.clone(), good(1)], vec![good(1), bad.clone(), good(2)], vec![good(1), bad.clone()]] {
            let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), requests);
            let proposal = verdict(&world, &world.forge.pre_prepare(&world.replicas[0], View::new(0), &block));
            assert!(bad_signature(proposal.clone()) || matches!(proposal, Err(VerifyError::UnknownClient(_))));
            assert_eq!(verdict(&world, &world.forge.chain(None, &[block])), proposal);
        }
        assert!(verdict(&world, &world.forge.request_message(&bad)).is_err());
    }
}

#[test]
fn p5_blocks_that_are_not_each_others_parents_are_refused() {
    let world = World::new();
    let block = |number: u64, parent, operation: &[u8]| {
        world.forge.block(
            SequenceNumber::new(number),
            parent,
            vec![world.forge.request(&world.clients[0], RequestNumber::new(1), operation)],
        )
    };
    let first = block(1, world.forge.genesis(), b"a");
    let (second, stray) = (block(2, first.digest(), b"b"), block(2, world.forge.genesis(), b"b"));
    let third = block(3, second.digest(), b"c");
    assert_eq!(verdict(&world, &world.forge.chain(None, &[third.clone(), second.clone(), first.clone()])), Ok(()));
    let refused = Err(VerifyError::Rule("P5: a chain's blocks are not each other's parents"));
    assert_eq!(verdict(&world, &world.forge.chain(None, &[stray.clone(), first.clone()])), refused);
    assert_eq!(verdict(&world, &world.forge.chain(None, &[third, stray, first])), refused);
}

#[test]
fn p2_genesis_is_prepared_above_view_0_only_and_never_committed() {
    let world = World::new();
    let vote = |phase, view, digest| {
        let mut sheet = Sheet::default();
        sheet.choice("message", if phase == Phase::Prepare { 2 } else { 3 }, "");
        world.lay_vote(&mut sheet, 1, &Vote { phase, view, number: 0, digest });
        verdict(&world, &sheet.bytes)
    };
    let genesis = world.genesis();
    assert_eq!(genesis, *world.forge.genesis().as_bytes());
    let misplaced = Err(VerifyError::Rule("P2: genesis is prepared in views above 0 only, and never committed"));
    let foreign = Err(VerifyError::Rule("P2: not this cluster's genesis"));
    assert_eq!(vote(Phase::Prepare, 0, genesis), misplaced);
    assert_eq!(vote(Phase::Commit, 0, genesis), misplaced);
    assert_eq!(vote(Phase::Commit, 1, genesis), misplaced);
    assert_eq!(vote(Phase::Prepare, 1, genesis), Ok(()));
    for digest in [[0; 32], [1; 32], *world.cluster.id().as_bytes()] {
        assert_eq!(vote(Phase::Prepare, 1, digest), foreign);
    }
}

#[test]
fn spec_3_3_digests_are_those_of_the_specification() {
    let world = World::new();
    let [first, second] = world.blocks();
    let third = Block { number: 3, parent: world.block_digest(&second), batch: vec![world.request_of_a_run(), world.request(0, 2)] };
    let forged: Vec<_> = [&first, &second, &third]
        .iter()
        .map(|block: &&Block| {
            let requests = block
                .batch
                .iter()
                .map(|request| {
                    let operations: Vec<&[u8]> = request.run.iter().map(Vec::as_slice).collect();
                    let first = RequestNumber::new(request.number - request.place as u64);
                    world.forge.run(&world.clients[request.client], first, &operations).remove(request.place)
                })
                .collect();
            world.forge.block(SequenceNumber::new(block.number), logothete::Digest::new(block.parent), requests)
        })
        .collect();
    let by_hand: Vec<Hash> = [&first, &second, &third].iter().map(|block| world.block_digest(block)).collect();
    assert_eq!(forged.iter().map(|block| *block.digest().as_bytes()).collect::<Vec<_>>(), by_hand);
}

#[test]
fn s2_a_reply_with_a_false_path_is_refused() {
    let world = World::new();
    let reply = world.reply(2).sheet;
    let path = reply.counts[1];
    for count in [0_u64, 1, 3] {
        // A sibling dropped, all dropped, or one doubled.
        let mut bytes = reply.bytes[..path].to_vec();
        bytes.extend_from_slice(&count.to_le_bytes());
        let siblings = &reply.bytes[path + 8..path + 8 + 64];
        bytes.extend(siblings.iter().chain(siblings).take(32 * usize::try_from(count).unwrap()));
        bytes.extend_from_slice(&reply.bytes[path + 8 + 64..]);
        assert_eq!(verdict(&world, &bytes), Err(VerifyError::Rule("S2: a path of the wrong length")));
    }
    let mut too_long = reply.bytes[..path].to_vec();
    too_long.extend_from_slice(&33_u64.to_le_bytes());
    too_long.extend_from_slice(&[0; 33 * 32 + 64]);
    assert_eq!(world.decode(&too_long).unwrap_err(), DecodeError::Malformed);
}

#[test]
fn spec_2_a_message_has_room_for_a_signature_of_64_bytes_and_no_other() {
    let world = World::new();
    let samples = world.samples();
    let vote = &samples.iter().find(|sample| sample.name == "prepare").unwrap().sheet;
    let (before, signature) = vote.bytes.split_at(vote.signatures[0]);
    assert_eq!(signature.len(), 64);
    // Cut, lengthened before, between and behind its halves, and with a byte of it left out.
    let mut others: Vec<Vec<u8>> = [0, 32, 62, 63].map(|length| signature[..length].to_vec()).to_vec();
    for at in [0, 32, 64] {
        others.extend([1, 2, 32].map(|zeros| [&signature[..at], &vec![0; zeros], &signature[at..]].concat()));
    }
    others.extend((0..64).map(|gap| [&signature[..gap], &signature[gap + 1..]].concat()));
    for other in others {
        assert!(world.decode(&[before, &other].concat()).is_err(), "{}", other.len());
    }
}
