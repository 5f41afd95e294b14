//! S3: several requests under one signature.

use crate::{Host, MS, cluster, id_of, key, number};
use ed25519_dalek::Signer;
use logothete::{
    Client, ClientInput, ClientOutput, ClientTuning, Limits, MessageKind, Outgoing, PeerLink, Recipients, SigningKey, Time, Unverified,
    Verifier,
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
}

#[test]
fn s3_a_remote_signer_signs_a_run_and_a_wrong_one_gets_it_back() {
    let mut host = Host::new(4);
    let run = Outgoing::join(submitted(&mut host, 3)).remove(0);
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
