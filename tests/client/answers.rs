//! S2: f+1 equal answers, and what is no answer; E: two roots for one batch.

use crate::{Host, MS, at, id_of, ignored, key, number, results};
use logothete::sim::forge::Kind;
use logothete::{ClientDisposition, ClientEvent, ClientIgnored, ClientInput, MessageKind, Recipients, ReplicaId, Request, Time, View};
use std::time::Duration;

// --- S2: f+1 equal answers ---
#[test]
fn s2_f_equal_lies_never_complete() {
    for (n, f) in [(4, 1), (5, 1), (7, 2), (10, 3)] {
        let mut host = Host::new(n);
        let _ = host.submit(b"pay");
        let request = host.request(1, b"pay");
        for liar in 0..f {
            // Each says it in every way there is, and more than once.
            let (reply, moved, answered) =
                (host.reply(liar, 1, &request, b"lie"), host.reply(liar, 2, &request, b"lie"), host.answered(liar, &request, b"lie"));
            assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
            for again in [&reply, &moved, &answered] {
                assert_eq!(host.deliver(again), ignored(ClientIgnored::AnsweredBefore(ReplicaId::new(liar))));
            }
        }
        assert_eq!(host.completions(), [], "n = {n}");
        assert_eq!(host.client.outstanding(), 1);
        // One more, and they would be believed: the lies were well-formed.
        let one_more = host.reply(f, 1, &request, b"lie");
        let _ = host.deliver(&one_more);
        assert_eq!(results(&host.completions()), [(1, &b"lie"[..])], "n = {n}");
    }
}

#[test]
fn s2_f_plus_one_equal_replies_complete_with_a_receipt() {
    let mut host = Host::new(7);
    assert_eq!(host.submit(b"pay"), ClientDisposition::Submitted(number(1)));
    let request = host.request(1, b"pay");
    host.now = Time(5 * MS);
    for replica in [6, 0] {
        let reply = host.reply(replica, 9, &request, b"paid");
        assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
        assert_eq!(host.completions(), []);
    }
    host.now = Time(8 * MS);
    let reply = host.reply(3, 9, &request, b"paid");
    let _ = host.deliver(&reply);
    let completions = host.completions();
    let [completion] = &completions[..] else { panic!("{completions:?}") };
    assert_eq!((results(&completions), completion.latency), (vec![(1, &b"paid"[..])], Duration::from_millis(7)));
    let receipt = completion.outcome.receipt().unwrap();
    assert_eq!(receipt.verify(&host.cluster), Ok(()));
    assert_eq!(receipt.signers().map(ReplicaId::get).collect::<Vec<_>>(), [0, 3, 6]);
    assert_eq!((host.client.outstanding(), host.client.deadline()), (0, None));
}

#[test]
fn s2_lies_beside_the_truth_do_not_count_for_it() {
    let mut host = Host::new(7);
    let _ = host.submit(b"pay");
    let request = host.request(1, b"pay");
    // Two liars, two who tell the truth: no result has three.
    for (replica, result) in [(0, &b"lie"[..]), (1, b"truth"), (2, b"lie"), (3, b"truth")] {
        let reply = host.reply(replica, 1, &request, result);
        assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
        assert_eq!(host.completions(), []);
    }
    let reply = host.reply(4, 1, &request, b"truth");
    let _ = host.deliver(&reply);
    let completions = host.completions();
    assert_eq!(results(&completions), [(1, &b"truth"[..])]);
    assert_eq!(completions[0].outcome.receipt().unwrap().signers().map(ReplicaId::get).collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn s2_completions_come_as_they_complete() {
    let mut host = Host::new(4);
    let requests: Vec<_> = (1..=3)
        .map(|number| {
            let _ = host.submit(b"op");
            host.request(number, b"op")
        })
        .collect();
    let mut order = Vec::new();
    for (index, replica) in [(2, 0), (0, 1), (2, 2), (1, 3), (1, 0), (0, 0)] {
        let reply = host.reply(replica, 10 + index as u64, &requests[index], b"done");
        assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
        order.extend(host.completions().iter().map(|completion| completion.number.get()));
    }
    assert_eq!(order, [3, 2, 1]);
    let late = host.reply(1, 12, &requests[2], b"done");
    assert_eq!(host.deliver(&late), ignored(ClientIgnored::Completed(number(3))));
    assert_eq!(host.completions(), []);
}

#[test]
fn s2_a_single_replica_is_believed_alone() {
    let mut host = Host::new(1);
    let _ = host.submit(b"op");
    assert_eq!(host.sent().iter().map(|(to, _)| *to).collect::<Vec<_>>(), [Recipients::Replica(ReplicaId::new(0))]);
    let request = host.request(1, b"op");
    let reply = host.reply_of(0, 3, 1, &[(request, &b"done"[..])], 0);
    let _ = host.deliver(&reply);
    let completions = host.completions();
    assert_eq!(results(&completions), [(1, &b"done"[..])]);
    assert_eq!(completions[0].outcome.receipt().unwrap().verify(&host.cluster), Ok(()));
}

#[test]
fn s2_empty_results_are_results() {
    let mut host = Host::new(4);
    let _ = host.submit(b"");
    let request = host.request(1, b"");
    for replica in [1, 2] {
        let reply = host.reply(replica, 1, &request, b"");
        let _ = host.deliver(&reply);
    }
    assert_eq!(results(&host.completions()), [(1, &b""[..])]);
}

// --- S2: answers without a path ---
#[test]
fn s2_answered_counts_but_somebody_must_show_the_result() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let request = host.request(1, b"op");
    for replica in [0, 1, 2] {
        let answered = host.answered(replica, &request, b"done");
        assert_eq!(host.deliver(&answered), ClientDisposition::Applied);
        assert_eq!(host.completions(), [], "nobody has shown the result");
    }
    // A liar's result does not hash to the digest that the others gave.
    let lie = host.reply(3, 1, &request, b"lie");
    assert_eq!(host.deliver(&lie), ClientDisposition::Applied);
    assert_eq!(host.completions(), []);
    // One that has answered shows it now: no second voice, but the bytes.
    let reply = host.reply(1, 1, &request, b"done");
    assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
    let completions = host.completions();
    assert_eq!(results(&completions), [(1, &b"done"[..])]);
    assert_eq!(completions[0].outcome.receipt(), None, "one signature on a root is no receipt");
}

#[test]
fn s2_answered_and_reply_of_one_replica_are_one_answer() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let request = host.request(1, b"op");
    let (answered, reply) = (host.answered(2, &request, b"done"), host.reply(2, 1, &request, b"done"));
    assert_eq!(host.deliver(&answered), ClientDisposition::Applied);
    assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
    assert_eq!(host.completions(), []);
    // Its signature on the root counts for the receipt all the same.
    let second = host.reply(3, 1, &request, b"done");
    let _ = host.deliver(&second);
    let completions = host.completions();
    assert_eq!(completions[0].outcome.receipt().unwrap().signers().map(ReplicaId::get).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn s2_a_reply_of_another_result_replaces_no_answered() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let request = host.request(1, b"op");
    let (answered, changed) = (host.answered(2, &request, b"done"), host.reply(2, 1, &request, b"lie"));
    let _ = host.deliver(&answered);
    assert_eq!(host.deliver(&changed), ignored(ClientIgnored::AnsweredBefore(ReplicaId::new(2))));
    let other = host.reply(3, 1, &request, b"lie");
    let _ = host.deliver(&other);
    assert_eq!(host.completions(), [], "replica 2 stands by its first answer");
    let truth = host.reply(1, 1, &request, b"done");
    let _ = host.deliver(&truth);
    assert_eq!(results(&host.completions()), [(1, &b"done"[..])]);
}

#[test]
fn s2_equal_results_under_different_roots_complete_without_a_receipt() {
    // The same result, once at another position, once in another company.
    let strange: [fn(&Host, &Request) -> Vec<u8>; 2] = [
        |host, request| host.reply(1, 6, request, b"done"),
        |host, request| host.reply_of(1, 0, 5, &[(request.clone(), &b"done"[..]), (request.clone(), &b"done"[..])], 0),
    ];
    for strange in strange {
        let mut host = Host::new(4);
        let _ = host.submit(b"op");
        let request = host.request(1, b"op");
        let (first, second) = (host.reply(0, 5, &request, b"done"), strange(&host, &request));
        let _ = host.deliver(&first);
        let _ = host.deliver(&second);
        let completions = host.completions();
        assert_eq!(results(&completions), [(1, &b"done"[..])]);
        assert_eq!(completions[0].outcome.receipt(), None);
    }
}

// --- S2: what is no answer ---
#[test]
fn s2_answers_to_others_and_to_other_operations_are_ignored() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let theirs = host.forge.request(&key(2, 1), number(1), b"op");
    let (unknown, changed) = (host.request(2, b"op"), host.request(1, b"another"));
    let prepare = host.forge.vote((ReplicaId::new(1), &key(1, 1)), Kind::Prepare, View::new(0), (at(1), host.forge.genesis()));
    let table = [
        (host.reply(1, 1, &theirs, b"r"), ClientIgnored::OtherClient(id_of(&key(2, 1)))),
        (host.answered(1, &theirs, b"r"), ClientIgnored::OtherClient(id_of(&key(2, 1)))),
        (host.reply(1, 2, &unknown, b"r"), ClientIgnored::UnknownNumber(number(2))),
        (host.answered(1, &unknown, b"r"), ClientIgnored::UnknownNumber(number(2))),
        (host.reply(1, 3, &changed, b"r"), ClientIgnored::OtherOperation(number(1))),
        (prepare, ClientIgnored::NotAnAnswer(MessageKind::Prepare)),
    ];
    for (bytes, why) in table {
        assert_eq!(host.deliver(&bytes), ignored(why));
    }
    // None of them took replica 1's place.
    let request = host.request(1, b"op");
    for replica in [1, 2] {
        let reply = host.reply(replica, 9, &request, b"r");
        let _ = host.deliver(&reply);
    }
    assert_eq!(results(&host.completions()), [(1, &b"r"[..])]);
}

#[test]
fn s2_answers_verified_for_another_cluster_are_ignored() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let other = Host::new(5);
    let reply = other.reply(1, 1, &other.request(1, b"op"), b"r");
    let verified = other.verified(&reply);
    assert_eq!(host.step(ClientInput::Message(verified)), ignored(ClientIgnored::OtherCluster));
}

// --- E: two roots for one batch ---
#[test]
fn e_two_roots_for_one_sequence_number_are_evidence() {
    let mut host = Host::new(4);
    let _ = (host.submit(b"a"), host.submit(b"b"));
    let (a, b) = (host.request(1, b"a"), host.request(2, b"b"));
    // Honest: both in one batch under one root. Replica 1 tells of each as if it were alone in that batch.
    let batch = [(a.clone(), &b"ra"[..]), (b.clone(), &b"rb"[..])];
    for (index, replica) in [(0, 0), (1, 0)] {
        let reply = host.reply_of(replica, 0, 5, &batch, index);
        let _ = host.deliver(&reply);
    }
    assert_eq!(host.events(), [], "one root for two requests is no contradiction");
    let (alone_a, alone_b) = (host.reply(1, 5, &a, b"xa"), host.reply(1, 5, &b, b"xb"));
    let _ = host.deliver(&alone_a);
    assert_eq!(host.events(), []);
    let _ = host.deliver(&alone_b);
    let events = host.events();
    let [ClientEvent::Evidence(evidence)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(evidence.culprit(), ReplicaId::new(1));
    assert_eq!(evidence.verify(&host.cluster), Ok(()));
    // Once is enough.
    let _ = host.deliver(&alone_a);
    let _ = host.deliver(&alone_b);
    assert_eq!(host.events(), []);
}

#[test]
fn e_a_second_root_is_noticed_where_the_answer_no_longer_counts() {
    let mut host = Host::new(1);
    let _ = host.submit(b"a");
    let a = host.request(1, b"a");
    let (first, second) = (host.reply(0, 5, &a, b"r"), host.reply(0, 5, &a, b"s"));
    let _ = host.deliver(&first);
    assert_eq!(host.completions().len(), 1);
    assert_eq!(host.deliver(&second), ignored(ClientIgnored::Completed(number(1))));
    assert!(matches!(&host.events()[..], [ClientEvent::Evidence(_)]));
}

#[test]
fn e_the_replicas_are_told_of_two_roots_that_only_a_client_can_see() {
    let mut host = Host::new(4);
    for order in [b"a", b"b", b"c"] {
        let _ = host.submit(order);
    }
    let requests = [host.request(1, b"a"), host.request(2, b"b"), host.request(3, b"c")];
    // Another batch comes between the two words about batch 5.
    for (request, sequence_number) in requests.iter().zip([5, 6, 5]) {
        host.sent();
        let reply = host.reply(1, sequence_number, request, b"r");
        let _ = host.deliver(&reply);
    }
    let sent = host.sent();
    let [(to, proof)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*to, Recipients::AllReplicas);
    assert_eq!(host.verified(proof).kind(), MessageKind::Evidence);
}

#[test]
fn e_of_each_replica_the_last_64_statements_are_kept_and_no_more() {
    // It signs the results of so many batches, and then another result of one of them.
    for (batches, again, proved) in [(64, 1, true), (65, 1, false), (65, 2, true), (65, 65, true)] {
        let mut host = Host::new(4);
        let request = host.request(1, b"op");
        for number in 1..=batches {
            let reply = host.reply(0, number, &request, b"result");
            let _ = host.deliver(&reply);
        }
        let reply = host.reply(0, again, &request, b"another");
        let _ = host.deliver(&reply);
        assert_eq!(host.events().iter().any(|event| matches!(event, ClientEvent::Evidence(_))), proved, "{batches}, {again}");
    }
}
