//! S3: several requests under one signature.

use crate::{Host, MS, at, cluster, id_of, key, number};
use ed25519_dalek::Signer;
use logothete::{
    Client, ClientInput, ClientOutput, ClientTuning, Limits, MessageKind, Outgoing, Output, PeerLink, Recipients, Request, SigningKey,
    Time, Unverified, Verifier, VerifyError, View,
};

/// What the client is to send, unsigned.
fn sends(host: &mut Host) -> Vec<Outgoing> {
    let outputs = std::mem::take(&mut host.out);
    let send = |output| if let ClientOutput::Send(outgoing) = output { Some(outgoing) } else { None };
    outputs.into_iter().filter_map(send).collect()
}

fn submitted(host: &mut Host, count: u64) -> Vec<Outgoing> {
    (0..count).for_each(|place| drop(host.submit(format!("operation {place}").as_bytes())));
    sends(host)
}

/// Into how many each of these is signed.
fn sizes(joined: Vec<Outgoing>) -> Vec<usize> {
    joined.into_iter().map(|outgoing| outgoing.sign(&key(2, 0)).expect("signed").len()).collect()
}

#[test]
fn s3_what_is_asked_for_at_once_is_signed_at_once_and_each_request_stands_alone() {
    for count in [1, 2, 3, 5, 8, 33, 63, 64] {
        let mut host = Host::new(4);
        let mut joined = Outgoing::join(submitted(&mut host, count));
        assert_eq!(joined.len(), 1, "{count}");
        let envelopes = joined.remove(0).sign(&key(2, 0)).expect("signed");
        let bytes: Vec<_> = envelopes.iter().map(|envelope| envelope.encode()).collect();
        let operations: Vec<_> = (0..count).map(|place| format!("operation {place}")).collect();
        let expected = host.forge.run(&key(2, 0), number(1), &operations.iter().map(String::as_bytes).collect::<Vec<_>>());
        let expected: Vec<_> = expected.iter().map(|request| host.forge.request_message(request)).collect();
        assert_eq!(bytes.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>(), expected);
        assert!(bytes.iter().all(|each| each[each.len() - 64..] == bytes[0][bytes[0].len() - 64..]), "one signature");
        // Each by itself, all together, and every other one.
        let verifier = Verifier::new(host.cluster.clone());
        let read = |bytes| Unverified::decode(PeerLink(1), bytes, host.cluster.limits()).expect("a request");
        assert!(bytes.iter().all(|bytes| verifier.verify(read(bytes)).is_ok()));
        for step in [1, 2] {
            assert!(verifier.verify_all(bytes.iter().step_by(step).map(|bytes| read(bytes)).collect()).iter().all(Result::is_ok));
        }
    }
}

#[test]
fn s3_a_bad_one_of_a_run_is_found_and_the_others_survive() {
    let host = Host::new(4);
    let run = host.forge.run(&key(2, 0), number(1), &[b"a", b"b", b"c", b"d"]);
    let verifier = Verifier::new(host.cluster.clone());
    let read = |bytes: &[u8]| Unverified::decode(PeerLink(1), bytes, host.cluster.limits()).expect("a request");
    for bad in 0..4 {
        let mut load: Vec<Vec<u8>> = run.iter().map(|request| host.forge.request_message(request)).collect();
        // The operation is its last byte before index, count and a path of two.
        let at = load[bad].len() - 64 - 2 * 32 - 8 - 8 - 1;
        load[bad][at] ^= 1;
        let verdicts = verifier.verify_all(load.iter().map(|bytes| read(bytes)).collect());
        let good: Vec<bool> = verdicts.iter().map(Result::is_ok).collect();
        assert_eq!(good, (0..4).map(|place| place != bad).collect::<Vec<_>>());
    }
}

#[test]
fn s3_at_most_64_are_signed_at_once() {
    for (count, expected) in [(64, vec![64]), (65, vec![64, 1]), (150, vec![64, 64, 22])] {
        let mut host = Host::new(4);
        assert_eq!(sizes(Outgoing::join(submitted(&mut host, count))), expected, "{count}");
    }
}

#[test]
fn s3_only_what_follows_one_another_for_the_same_recipients_is_joined() {
    let mut host = Host::new(4);
    // A gap.
    let mut gap = submitted(&mut host, 5);
    drop(gap.remove(2));
    assert_eq!(sizes(Outgoing::join(gap)), [2, 2]);
    // Backwards, and one twice.
    let mut host = Host::new(4);
    let mut backwards = submitted(&mut host, 3);
    backwards.reverse();
    assert_eq!(sizes(Outgoing::join(backwards)), [1, 1, 1]);
    // Some go to all, since they weren't answered, and a new one to the primary.
    let mut host = Host::new(4);
    drop(submitted(&mut host, 2));
    host.now = Time(host.now.0 + 500 * MS);
    let _ = host.step(ClientInput::Timer);
    let _ = host.submit(b"another");
    let joined = Outgoing::join(sends(&mut host));
    let to: Vec<Vec<Recipients>> = joined
        .into_iter()
        .map(|outgoing| outgoing.sign(&key(2, 0)).expect("signed").iter().map(|envelope| envelope.to()).collect())
        .collect();
    assert_eq!(to[0], [Recipients::AllReplicas; 2]);
    assert!(matches!(to[1][..], [Recipients::Replica(_)]) && to.len() == 2);
}

#[test]
fn s3_clients_and_clusters_are_not_mixed() {
    // The same client's number 2 in another cluster, and number 2 of another client.
    let (mut host, mut other) = (Host::new(4), Host::new(7));
    let (mut mine, mut theirs) = (submitted(&mut host, 1), submitted(&mut other, 2));
    mine.push(theirs.remove(1));
    assert_eq!(sizes(Outgoing::join(mine)), [1, 1]);
    let cluster = cluster(4, Limits::default());
    let of = |client: usize, count: u64| {
        let mut machine = Client::new(cluster.clone(), id_of(&key(2, client)), ClientTuning::default()).expect("a client");
        let mut out = Vec::new();
        (0..count).for_each(|_| drop(machine.step(Time(0), ClientInput::Submit(b"op".as_slice().into()), &mut out)));
        out.into_iter().filter_map(|output| if let ClientOutput::Send(outgoing) = output { Some(outgoing) } else { None })
    };
    assert_eq!(Outgoing::join(of(0, 1).chain(of(1, 2).skip(1))).len(), 2);
}

#[test]
fn s3_what_was_joined_is_joined_no_further_and_all_else_stays_in_its_place() {
    let mut host = Host::new(4);
    let all = submitted(&mut host, 6);
    let mut parts = all.into_iter();
    let mut joined = Outgoing::join(parts.by_ref().take(2));
    joined.extend(parts);
    assert_eq!(sizes(Outgoing::join(joined)), [2, 4]);
    assert!(Outgoing::join([]).is_empty());
    // The second of a run, sent again, does not follow the run's first.
    let mut twice = Outgoing::join(submitted(&mut Host::new(4), 2));
    twice.push(submitted(&mut Host::new(4), 2).remove(1));
    assert_eq!(sizes(Outgoing::join(twice)), [2, 1]);
}

#[test]
fn s3_a_remote_signer_signs_a_run_and_a_wrong_one_gets_it_back() {
    let mut host = Host::new(4);
    let run = Output::Send(Outgoing::join(submitted(&mut host, 3)).remove(0));
    assert_eq!(run.to_string().matches("Request").count(), 3, "{run}");
    let Output::Send(run) = run else { panic!("{run}") };
    let payload = run.signing_payload().expect("unsigned").to_vec();
    assert_eq!(payload.len(), 125);
    let wrong = SigningKey::from_bytes(&[77; 32]).sign(&payload);
    let returned = run.attach(wrong).expect_err("not its signature").returned;
    assert_eq!(returned.signing_payload(), Some(&payload[..]), "nothing is lost");
    let envelopes = returned.attach(key(2, 0).sign(&payload)).expect("its signature");
    assert_eq!(envelopes.iter().map(|envelope| envelope.kind()).collect::<Vec<_>>(), [MessageKind::Request; 3]);
    let verifier = Verifier::new(host.cluster.clone());
    let read = |bytes: &[u8]| Unverified::decode(PeerLink(1), bytes, host.cluster.limits()).expect("a request");
    assert!(envelopes.iter().all(|envelope| verifier.verify(read(&envelope.encode())).is_ok()));
}

/// The request as a message, said to be of this number and at this place.
fn moved(host: &Host, request: &Request, number: u64, (index, count): (u32, u32)) -> Vec<u8> {
    let mut bytes = host.forge.request_message(request);
    let place = 4 + 32 + 8 + 8 + request.operation().len();
    bytes[4 + 32..4 + 32 + 8].copy_from_slice(&number.to_le_bytes());
    bytes[place..place + 4].copy_from_slice(&index.to_le_bytes());
    bytes[place + 4..place + 8].copy_from_slice(&count.to_le_bytes());
    bytes
}

/// Does it decode, and is it the client's? Alone and in a load, one verdict.
fn is_valid(host: &Host, bytes: &[u8]) -> bool {
    let verifier = Verifier::new(host.cluster.clone());
    let Ok(read) = Unverified::decode(PeerLink(1), bytes, host.cluster.limits()) else { return false };
    let alone = verifier.verify(read.clone()).is_ok();
    assert!(verifier.verify_all(vec![read.clone(), read]).iter().all(|verdict| verdict.is_ok() == alone));
    alone
}

#[test]
fn s3_no_place_or_number_but_its_own_is_a_requests() {
    const COUNT_MAX: u32 = 9;
    let host = Host::new(4);
    let first = 5;
    for count in 1..=COUNT_MAX {
        // All the same, so that no leaf tells places apart.
        let run = host.forge.run(&key(2, 0), number(first), &vec![&b"again"[..]; count as usize]);
        for (index, request) in (0..).zip(&run) {
            for other_count in 0..=COUNT_MAX + 1 {
                for other in 0..=other_count {
                    // Under its own number, under the one that this place has in the run, and beside them.
                    let own = first + u64::from(index);
                    for number in [own, first + u64::from(other), own + 1, own - 1] {
                        let is_own = (number, other, other_count) == (own, index, count);
                        // Leaves and their siblings are equal: where the shape is the same too, it is the other one's own request.
                        let is_twin = other_count == count
                            && number == first + u64::from(other)
                            && run
                                .get(other as usize)
                                .is_some_and(|own| host.forge.request_message(own) == moved(&host, request, number, (other, count)));
                        let valid = is_valid(&host, &moved(&host, request, number, (other, other_count)));
                        assert_eq!(valid, is_own || is_twin, "{index} of {count} as {other} of {other_count}, number {number}");
                    }
                }
            }
        }
    }
}

#[test]
fn s3_no_node_passes_for_an_operation_and_no_operation_for_a_node() {
    let host = Host::new(4);
    let run = host.forge.run(&key(2, 0), number(1), &[b"a", b"b", b"c", b"d"]);
    let bytes = host.forge.request_message(&run[0]);
    let path = &bytes[bytes.len() - 64 - 2 * 32..bytes.len() - 64];
    let signature = &bytes[bytes.len() - 64..];
    // What lies under the top's right half, whose digest is the upper sibling, stands nowhere; what lies under the left one is the leaf's digest and its sibling.
    let third = host.forge.request_message(&run[2]);
    let lower = |bytes: &[u8]| bytes[bytes.len() - 64 - 2 * 32..bytes.len() - 64 - 32].to_vec();
    let fourth = host.forge.request_message(&run[3]);
    let right = [lower(&fourth), lower(&third)].concat();
    for (operation, siblings, index, count) in [
        (right.clone(), lower(&bytes).len(), 1_u32, 2_u32),
        (right, path.len(), 2, 4),
        (path.to_vec(), 0, 0, 1),
        (path.to_vec(), path.len(), 0, 4),
    ] {
        let mut forged = bytes[..4 + 32].to_vec();
        forged.extend_from_slice(&(1 + u64::from(index)).to_le_bytes());
        forged.extend_from_slice(&(operation.len() as u64).to_le_bytes());
        forged.extend_from_slice(&operation);
        forged.extend_from_slice(&index.to_le_bytes());
        forged.extend_from_slice(&count.to_le_bytes());
        forged.extend_from_slice(&(siblings as u64 / 32).to_le_bytes());
        forged.extend_from_slice(&path[..siblings]);
        forged.extend_from_slice(signature);
        assert!(!is_valid(&host, &forged));
    }
}

#[test]
fn s3_the_last_numbers_there_are_can_be_signed_at_once_and_none_is_beyond_them() {
    let host = Host::new(4);
    let run = host.forge.run(&key(2, 0), number(u64::MAX - 2), &[b"a", b"b", b"c"]);
    assert_eq!(run.iter().map(|request| request.number().get()).collect::<Vec<_>>(), [u64::MAX - 2, u64::MAX - 1, u64::MAX]);
    assert!(run.iter().all(|request| is_valid(&host, &host.forge.request_message(request))));
    // The place after the last number is nobody's: what is signed for it has no number, and the others of its run have theirs.
    let beyond = host.forge.run(&key(2, 0), number(u64::MAX), &[b"a", b"b"]);
    assert!(is_valid(&host, &host.forge.request_message(&beyond[0])));
    assert!(!is_valid(&host, &host.forge.request_message(&beyond[1])));
    // And the first place of a run is at number 1 or above it.
    let first = host.forge.run(&key(2, 0), number(0), &[b"a", b"b"]);
    assert!(first.iter().all(|request| !is_valid(&host, &host.forge.request_message(request))));
}

#[test]
fn s3_a_batch_longer_than_what_is_judged_at_once_has_one_verdict_wherever_a_bad_request_stands() {
    const COUNT: usize = 1100;
    let host = Host::with(cluster(4, Limits { batch_requests_max: 2000, ..Limits::default() }), ClientTuning::default());
    let verifier = Verifier::new(host.cluster.clone());
    let operations: Vec<Vec<u8>> = (0..COUNT).map(|place| place.to_string().into_bytes()).collect();
    let operations: Vec<&[u8]> = operations.iter().map(Vec::as_slice).collect();
    let good: Vec<Request> =
        (1..).step_by(64).zip(operations.chunks(64)).flat_map(|(first, part)| host.forge.run(&key(2, 0), number(first), part)).collect();
    // What the same client signed at once for another cluster.
    let elsewhere = Host::new(7).forge.run(&key(2, 0), number(1), &operations[..64]);
    let proposal = |batch: Vec<Request>| {
        let block = host.forge.block(at(1), host.forge.genesis(), batch);
        host.forge.pre_prepare(&key(1, 0), View::new(0), &block)
    };
    let read = |bytes: &[u8]| Unverified::decode(PeerLink(1), bytes, host.cluster.limits()).expect("a proposal");
    let verdicts = |bytes: &[u8]| {
        let company: Vec<Unverified> = good.iter().take(70).map(|request| read(&host.forge.request_message(request))).collect();
        let mut loaded = verifier.verify_all([company, vec![read(bytes)]].concat());
        let last = loaded.pop().expect("a verdict").map(drop);
        assert!(loaded.iter().all(Result::is_ok));
        (verifier.verify(read(bytes)).map(drop), last)
    };
    assert_eq!(verdicts(&proposal(good.clone())), (Ok(()), Ok(())));
    for place in [0, 1, 63, 1022, 1023, 1024, COUNT - 1] {
        let mut batch = good.clone();
        batch[place] = elsewhere[place % 64].clone();
        let (alone, loaded) = verdicts(&proposal(batch));
        assert!(matches!(alone, Err(VerifyError::BadSignature(_))) && alone == loaded, "{place}: {alone:?}, {loaded:?}");
    }
}
