//! The codec under attack: one form for each message, and nothing beyond its bounds. (SPEC 2)

mod samples;

use logothete::sim::forge::Kind;
use logothete::{Bytes, DecodeError, Digest, Limits, Manifest, MessageKind, ReplicaId, RequestNumber, SequenceNumber, Unverified, View};
use proptest::prelude::*;
use samples::by_hand::{Checkpoint, Phase, ViewChange};
use samples::sheet::Sheet;
use samples::{LINK, World, keys, wire_number};

/// Refused, or its one encoding is these very bytes.
fn refused_or_canonical(world: &World, bytes: &[u8]) -> Result<bool, String> {
    match world.forge.reencode(bytes) {
        Err(_) => Ok(false),
        Ok(again) if again == bytes => Ok(true),
        Ok(_) => Err(format!("two encodings of one message: {bytes:02x?}")),
    }
}

#[test]
fn spec_2_every_kind_of_message_has_a_sample() {
    let kinds: std::collections::BTreeSet<MessageKind> = World::new().samples().iter().map(|sample| sample.kind).collect();
    assert_eq!(kinds.iter().map(|kind| wire_number(*kind)).collect::<Vec<_>>(), (0..19).collect::<Vec<_>>());
}

#[test]
fn spec_2_messages_laid_out_by_hand_decode_and_come_back_byte_for_byte() {
    let world = World::new();
    for sample in world.samples() {
        let decoded = world.decode(&sample.sheet.bytes).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
        assert_eq!(decoded.kind(), sample.kind, "{}", sample.name);
        assert_eq!(world.forge.reencode(&sample.sheet.bytes).unwrap(), sample.sheet.bytes, "{}", sample.name);
    }
}

#[test]
fn spec_2_every_truncation_is_refused() {
    let world = World::new();
    for sample in world.samples() {
        for length in 0..sample.sheet.bytes.len() {
            assert_eq!(world.decode(&sample.sheet.bytes[..length]).unwrap_err(), DecodeError::Malformed, "{} at {length}", sample.name);
        }
    }
}

#[test]
fn spec_2_every_trailing_byte_is_refused() {
    let world = World::new();
    for sample in world.samples() {
        for byte in 0..=255 {
            let mut longer = sample.sheet.bytes.clone();
            longer.push(byte);
            assert_eq!(world.decode(&longer).unwrap_err(), DecodeError::Trailing(1), "{}", sample.name);
        }
        let doubled = sample.sheet.bytes.repeat(2);
        assert!(matches!(world.decode(&doubled), Err(DecodeError::Trailing(_))), "{}", sample.name);
    }
}

#[test]
fn spec_2_every_mutation_of_one_byte_is_refused_or_another_message_in_its_only_form() {
    let world = World::new();
    for sample in world.samples() {
        let mut bytes = sample.sheet.bytes.clone();
        let Sheet { counts, choices, options, .. } = &sample.sheet;
        let shapes = |offset: usize| {
            counts.iter().any(|count| (*count..count + 8).contains(&offset))
                || choices.iter().any(|choice| (*choice..choice + 4).contains(&offset))
                || options.contains(&offset)
        };
        for offset in 0..bytes.len() {
            // What decides how the rest is read gets every other value; a number's or a digest's byte, which is only copied, each of its bits.
            let flips: Vec<u8> = if shapes(offset) { (1..=255).collect() } else { (0..8).map(|bit| 1 << bit).collect() };
            for flip in flips {
                bytes[offset] ^= flip;
                refused_or_canonical(&world, &bytes).unwrap_or_else(|error| panic!("{} at {offset}: {error}", sample.name));
                bytes[offset] ^= flip;
            }
        }
    }
}

#[test]
fn spec_2_an_option_is_0_or_1_and_a_choice_is_a_known_one() {
    let world = World::new();
    for sample in world.samples() {
        for option in &sample.sheet.options {
            let mut bytes = sample.sheet.bytes.clone();
            for byte in 2..=255 {
                bytes[*option] = byte;
                assert_eq!(world.decode(&bytes).unwrap_err(), DecodeError::Malformed, "{} at {option}", sample.name);
            }
        }
        for choice in &sample.sheet.choices {
            let mut bytes = sample.sheet.bytes.clone();
            for number in [19_u32, 20, 255, 256, 1 << 16, 1 << 24, 1 << 31, u32::MAX] {
                bytes[*choice..choice + 4].copy_from_slice(&number.to_le_bytes());
                assert_eq!(world.decode(&bytes).unwrap_err(), DecodeError::Malformed, "{} at {choice}", sample.name);
            }
        }
    }
}

#[test]
fn spec_2_a_count_or_length_that_the_input_does_not_hold_is_refused() {
    let world = World::new();
    for sample in world.samples() {
        for count in &sample.sheet.counts {
            let range = *count..count + 8;
            let true_count = u64::from_le_bytes(sample.sheet.bytes[range.clone()].try_into().unwrap());
            for bomb in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 40, 1 << 32, 65_537, 65_536, 4097, 257, true_count + 1] {
                let mut bytes = sample.sheet.bytes.clone();
                bytes[range.clone()].copy_from_slice(&bomb.to_le_bytes());
                // A count that is one too large may take what follows for an item; then the end is missing.
                assert_eq!(world.decode(&bytes).unwrap_err(), DecodeError::Malformed, "{} at {count}: {bomb}", sample.name);
            }
        }
    }
}

fn tight() -> Limits {
    Limits { operation_bytes_max: 100, batch_bytes_max: 488, batch_requests_max: 3, result_bytes_max: 16, ..Limits::default() }
}

#[test]
fn p1_an_operation_beyond_its_limit_is_refused_alone_and_in_a_batch() {
    let world = World::with_limits(tight());
    for (length, fits) in [(0, true), (100, true), (101, false)] {
        let request = world.forge.request(&world.clients[0], RequestNumber::new(1), &vec![5; length]);
        let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![request.clone()]);
        for bytes in [
            world.forge.request_message(&request),
            world.forge.pre_prepare(&world.replicas[0], View::new(0), &block),
            world.forge.chain(None, &[block]),
        ] {
            let verdict = world.decode(&bytes).map(|_| ());
            let expected = if fits { Ok(()) } else { Err(DecodeError::OutOfBounds("an operation is longer than operation_bytes_max")) };
            assert_eq!(verdict, expected, "{length}");
        }
    }
}

#[test]
fn p1_a_batch_beyond_its_limits_is_refused() {
    let world = World::with_limits(tight());
    let check = |lengths: &[usize], expected: Result<(), &'static str>| {
        let requests = lengths
            .iter()
            .zip(1..)
            .map(|(length, number)| world.forge.request(&world.clients[0], RequestNumber::new(number), &vec![5; *length]))
            .collect();
        let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), requests);
        for bytes in [world.forge.pre_prepare(&world.replicas[0], View::new(0), &block), world.forge.chain(None, &[block])] {
            assert_eq!(world.decode(&bytes).map(|_| ()), expected.map_err(DecodeError::OutOfBounds), "{lengths:?}");
        }
    };
    check(&[], Err("a batch is empty"));
    check(&[0, 0, 0], Ok(()));
    check(&[0, 0, 0, 0], Err("a batch has more than batch_requests_max requests"));
    check(&[100, 100], Ok(()));
    check(&[80, 0, 0], Ok(()));
    check(&[81, 0, 0], Err("a batch is longer than batch_bytes_max"));
}

#[test]
fn p1_request_numbers_count_from_1() {
    let world = World::new();
    let request = world.forge.request(&world.clients[0], RequestNumber::new(0), b"x");
    let refused = Err(DecodeError::OutOfBounds("request numbers count from 1"));
    assert_eq!(world.decode(&world.forge.request_message(&request)).map(|_| ()), refused);
    let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![request]);
    assert_eq!(world.decode(&world.forge.pre_prepare(&world.replicas[0], View::new(0), &block)).map(|_| ()), refused);
}

#[test]
fn spec_2_3_a_message_beyond_its_limit_is_not_looked_at() {
    let world = World::new();
    for sample in world.samples() {
        let (sample, length) = (Bytes::from(&sample.sheet.bytes[..]), sample.sheet.bytes.len());
        for (max, fits) in [(length, true), (length - 1, false), (0, false)] {
            let limits = Limits { message_bytes_max: u32::try_from(max).unwrap(), ..Limits::default() };
            let expected = if fits { Ok(()) } else { Err(DecodeError::TooLong { length, max: limits.message_bytes_max }) };
            assert_eq!(Unverified::decode(LINK, &sample, &limits).map(|_| ()), expected);
            assert_eq!(Unverified::decode_shared(LINK, &sample, &limits).map(|_| ()), expected);
        }
    }
    let garbage = vec![0xff; world.cluster.limits().message_bytes_max as usize + 1];
    assert!(matches!(world.decode(&garbage), Err(DecodeError::TooLong { .. })));
}

#[test]
fn spec_2_3_the_largest_proofs_of_the_largest_cluster_fit_beside_the_smallest_batch() {
    let limits = Limits {
        message_bytes_max: 329 + 64 * 1024,
        batch_bytes_max: 329,
        operation_bytes_max: 1,
        result_bytes_max: 0,
        ..Limits::default()
    };
    let world = World::with_keys(keys(0, 256), keys(0, 1), limits);
    let quorum = world.cluster.quorum();
    let members: Vec<_> = world.cluster.replicas().zip(&world.replicas).take(quorum as usize).collect();
    let position = (SequenceNumber::new(7), world.forge.genesis());
    let certificate = world.forge.certificate(&members, Kind::Commit, View::new(1), position);
    let leave = |member: &(ReplicaId, _)| world.forge.view_change(*member, View::new(2), Some(&certificate));
    let view_changes: Vec<_> = members.iter().map(leave).collect();
    let request = world.forge.request(&world.clients[0], RequestNumber::new(1), b"x");
    let block = world.forge.block(SequenceNumber::new(1), world.forge.genesis(), vec![request]);
    for bytes in [
        world.forge.new_view(&world.replicas[2], View::new(2), &view_changes, None),
        world.forge.view_change_message(&view_changes[0]),
        world.forge.chain(Some(&certificate), &[block]),
    ] {
        assert!(world.verify(&bytes).is_ok(), "{}", bytes.len());
    }
}

#[test]
fn s2_a_result_beyond_its_limit_and_a_leaf_beyond_its_tree_are_refused() {
    let world = World::new();
    let reply = world.samples().into_iter().find(|sample| sample.name == "reply").unwrap().sheet;
    let limits = |max| Limits { result_bytes_max: max, ..Limits::default() };
    assert!(Unverified::decode(LINK, &reply.bytes, &limits(16)).is_ok());
    assert_eq!(
        Unverified::decode(LINK, &reply.bytes, &limits(15)).unwrap_err(),
        DecodeError::OutOfBounds("a result is longer than result_bytes_max")
    );
    // index and count stand between the result and the path's count.
    let index = reply.counts[1] - 8;
    for number in [3_u32, 4, u32::MAX] {
        let mut bytes = reply.bytes.clone();
        bytes[index..index + 4].copy_from_slice(&number.to_le_bytes());
        assert_eq!(world.decode(&bytes).unwrap_err(), DecodeError::OutOfBounds("a leaf beyond its tree"));
    }
}

// I16
#[test]
fn p3_members_of_a_certificate_out_of_order_or_doubled_are_refused_wherever_it_stands() {
    let world = World::new();
    let bad_orders: [&[u32]; 6] = [&[1, 0, 3], &[0, 3, 1], &[3, 1, 0], &[0, 0, 1], &[0, 1, 1], &[2, 2, 2]];
    for members in bad_orders {
        let mut certificate = world.certificate(Phase::Prepare, 2);
        certificate.members = members.to_vec();
        let mut alone = Sheet::default();
        alone.choice("message", 4, "Certificate");
        world.lay_certificate(&mut alone, &certificate);
        let mut chain = Sheet::default();
        chain.choice("message", 9, "Chain");
        chain.option("certificate", Some(&certificate), |sheet, certificate| world.lay_certificate(sheet, certificate));
        chain.option("vote", None::<()>, |_, ()| ());
        chain.count("blocks", 0);
        let mut view_change = Sheet::default();
        view_change.choice("message", 5, "ViewChange");
        world.lay_view_change(&mut view_change, &ViewChange { replica: 1, view: 5, certificate: Some(certificate) });
        for bytes in [alone.bytes, chain.bytes, view_change.bytes] {
            assert_eq!(
                world.decode(&bytes).unwrap_err(),
                DecodeError::OutOfBounds("a certificate's members are not in order, each once"),
                "{members:?}"
            );
        }
    }
}

#[test]
fn v4_claims_out_of_order_or_doubled_are_refused() {
    let world = World::new();
    let sample = world.samples().into_iter().find(|sample| sample.name == "new_view").unwrap().sheet;
    const CLAIM: usize = 4 + 16 + 32 + 64;
    let first = sample.counts[0] + 8;
    let claim = |bytes: &[u8], index: usize| bytes[first + index * CLAIM..first + (index + 1) * CLAIM].to_vec();
    for order in [[1, 0, 2], [0, 2, 1], [2, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]] {
        let mut bytes = sample.bytes.clone();
        for (place, index) in order.into_iter().enumerate() {
            bytes[first + place * CLAIM..first + (place + 1) * CLAIM].copy_from_slice(&claim(&sample.bytes, index));
        }
        assert_eq!(
            world.decode(&bytes).unwrap_err(),
            DecodeError::OutOfBounds("claims are not in the order of their members, each once"),
            "{order:?}"
        );
    }
}

#[test]
fn p5_blocks_that_do_not_go_down_one_by_one_are_refused_at_the_largest_number_too() {
    let world = World::new();
    let block = |number| {
        let request = world.forge.request(&world.clients[0], RequestNumber::new(1), b"x");
        world.forge.block(SequenceNumber::new(number), world.forge.genesis(), vec![request])
    };
    let verdict = |numbers: &[u64]| {
        let blocks: Vec<_> = numbers.iter().map(|number| block(*number)).collect();
        world.decode(&world.forge.chain(None, &blocks)).map(|_| ())
    };
    assert_eq!(verdict(&[3, 2, 1]), Ok(()));
    assert_eq!(verdict(&[u64::MAX, u64::MAX - 1]), Ok(()));
    for numbers in [&[1, 2][..], &[3, 1], &[2, 2], &[3, 2, 2], &[u64::MAX, u64::MAX], &[1, u64::MAX]] {
        assert_eq!(verdict(numbers), Err(DecodeError::OutOfBounds("blocks do not go down one by one")), "{numbers:?}");
    }
    assert_eq!(verdict(&[1, 0]), Err(DecodeError::OutOfBounds("there is no batch at genesis")));
}

#[test]
fn t2_a_status_with_votes_of_others_is_refused() {
    let world = World::new();
    let sample = world.samples().into_iter().find(|sample| sample.name == "status_with_votes").unwrap().sheet;
    let replica_of_vote = |option: usize| option + 1 + 8 + 8 + 32;
    let replica_of_view_change = |option: usize| option + 1 + 8 + 16 + 32;
    let replica_of_checkpoint = |option: usize| option + 1 + 8 + 32 + 32;
    let [prepare, commit, checkpoint, view_change, _certificate] = sample.options[..] else { panic!("five options") };
    for offset in
        [4, replica_of_vote(prepare), replica_of_vote(commit), replica_of_checkpoint(checkpoint), replica_of_view_change(view_change)]
    {
        let mut bytes = sample.bytes.clone();
        assert_eq!(bytes[offset], 1);
        bytes[offset] = 2;
        assert_eq!(world.decode(&bytes).unwrap_err(), DecodeError::OutOfBounds("a status carries votes of its sender only"));
    }
}

#[test]
fn c2_a_checkpoint_certificate_has_one_form_and_is_not_of_genesis() {
    let world = World::new();
    let stable = |number, members: &[u32]| {
        let mut sheet = Sheet::default();
        sheet.choice("message", 14, "Stable");
        world.lay_stable(&mut sheet, &Checkpoint { number, ..world.checkpoint() }, members);
        world.decode(&sheet.bytes).map(|_| ())
    };
    assert_eq!(stable(128, &[0, 1, 3]), Ok(()));
    for members in [[1, 0, 3], [0, 3, 1], [3, 1, 0], [0, 0, 1], [0, 1, 1], [2, 2, 2]] {
        assert_eq!(
            stable(128, &members),
            Err(DecodeError::OutOfBounds("a certificate's members are not in order, each once")),
            "{members:?}"
        );
    }
    assert_eq!(stable(0, &[0, 1, 3]), Err(DecodeError::OutOfBounds("there is no checkpoint at genesis")));
    // That there are a quorum of them, and at the right interval, is the verifier's to say.
    assert_eq!(stable(1, &[0]), Ok(()));
}

#[test]
fn c3_a_part_of_a_snapshot_is_at_most_a_batch_long() {
    let world = World::with_limits(tight());
    for (length, fits) in [(0, true), (488, true), (489, false), (100_000, false)] {
        let verdict = world.decode(&world.forge.chunk(&vec![5; length])).map(|_| ());
        let refused = Err(DecodeError::OutOfBounds("a part of a snapshot is longer than batch_bytes_max"));
        assert_eq!(verdict, if fits { Ok(()) } else { refused }, "{length}");
    }
}

#[test]
fn c3_a_manifest_is_bounded_by_the_message_that_it_is() {
    let world = World::new();
    let at = (SequenceNumber::new(128), world.forge.genesis());
    let parts = |bytes: usize| vec![Digest::new([7; 32]); bytes / 32];
    // The rest: message's kind, position, digest, two counts.
    let most = world.cluster.limits().message_bytes_max as usize - (4 + 8 + 32 + 8 + 8);
    for (sessions, service) in [(0, most), (most, 0), (most / 64 * 32, most / 64 * 32)] {
        let message = world.forge.manifest_message(&world.forge.manifest(at, &parts(sessions), &parts(service)));
        assert!(world.decode(&message).is_ok());
        assert_eq!(world.forge.reencode(&message).unwrap(), message);
        let larger = world.forge.manifest_message(&world.forge.manifest(at, &parts(sessions + 32), &parts(service + 32)));
        assert!(matches!(world.decode(&larger), Err(DecodeError::TooLong { .. })));
    }
}

#[test]
fn c3_a_manifest_as_a_file_is_read_in_one_form_and_bounded() {
    let world = World::new();
    let (sessions, service) = world.parts();
    let digests = |parts: Vec<[u8; 32]>| parts.into_iter().map(Digest::new).collect::<Vec<_>>();
    let manifest = world.forge.manifest((SequenceNumber::new(128), Digest::new([0xd1; 32])), &digests(sessions), &digests(service));
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    for length in 0..bytes.len() {
        assert_eq!(Manifest::decode(&bytes[..length]), Err(DecodeError::Malformed));
    }
    assert_eq!(Manifest::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing(1)));
    for count in [40, 40 + 8 + 2 * 32] {
        for bomb in [u64::MAX, 1 << 63, 1 << 40, (1 << 21) + 1, 1 << 21, 6] {
            let mut bytes = bytes.clone();
            bytes[count..count + 8].copy_from_slice(&bomb.to_le_bytes());
            assert_eq!(Manifest::decode(&bytes), Err(DecodeError::Malformed), "{bomb} at {count}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn spec_2_random_bytes_never_panic(kind in 0_u32..22, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let world = World::new();
        prop_assert!(refused_or_canonical(&world, &bytes).is_ok());
        // With a known kind in front, the parts behind it get read too.
        let with_kind = [&kind.to_le_bytes()[..], &bytes].concat();
        prop_assert!(refused_or_canonical(&world, &with_kind).is_ok());
        if let Ok(unverified) = world.decode(&with_kind) {
            let _ = unverified.to_string();
            // What bears no signature stands by its digest, which the replica compares with what it asked for.
            let by_digest = matches!(unverified.kind(), MessageKind::Manifest | MessageKind::Chunk);
            prop_assert!(world.verifier.verify(unverified).is_ok() == by_digest);
        }
    }

    #[test]
    fn spec_2_spliced_messages_never_panic(
        sample in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), length in 1_usize..64,
    ) {
        let world = World::new();
        let samples = world.samples();
        let mut bytes = sample.get(&samples).sheet.bytes.clone();
        let donor = &other.get(&samples).sheet.bytes;
        let (from, to) = (from.index(donor.len()), to.index(bytes.len()));
        let length = length.min(donor.len() - from).min(bytes.len() - to);
        bytes[to..to + length].copy_from_slice(&donor[from..from + length]);
        prop_assert!(refused_or_canonical(&world, &bytes).is_ok());
        if let Ok(unverified) = world.decode(&bytes) {
            let _ = world.verifier.verify(unverified);
        }
    }
}

#[test]
fn spec_2_3_a_list_is_not_read_beyond_its_bound() {
    let world = World::new();
    let of = |members: usize| {
        let members: Vec<_> = (0..members).map(|_| (ReplicaId::new(0), &world.replicas[0])).collect();
        let certificate = world.forge.certificate(&members, Kind::Prepare, View::new(1), (SequenceNumber::new(1), Digest::default()));
        world.decode(&world.forge.certificate_message(&certificate)).map(|_| ())
    };
    assert!(matches!(of(256), Err(DecodeError::OutOfBounds(_))), "doubled members, and read");
    assert_eq!(of(257), Err(DecodeError::Malformed));
}

#[test]
fn spec_2_3_a_batch_is_not_read_beyond_its_bound() {
    let limits = Limits { message_bytes_max: 16 << 20, ..Limits::default() };
    for (count, verdict) in
        [(65_536_u64, DecodeError::OutOfBounds("a batch has more than batch_requests_max requests")), (65_537, DecodeError::Malformed)]
    {
        let mut bytes = 1_u32.to_le_bytes().to_vec();
        // View, position, parent and batch; requests of nothing; a signature.
        bytes.extend([1; 8 + 8 + 64]);
        bytes.extend(count.to_le_bytes());
        (0..count).for_each(|_| bytes.extend([0; 32 + 8 + 8 + 4 + 4 + 8 + 64]));
        bytes.extend([0; 64]);
        let bytes = Bytes::from(bytes);
        assert_eq!(Unverified::decode(LINK, &bytes, &limits).map(|_| ()), Err(verdict));
        assert_eq!(Unverified::decode_shared(LINK, &bytes, &limits).map(|_| ()), Unverified::decode(LINK, &bytes, &limits).map(|_| ()));
    }
}
