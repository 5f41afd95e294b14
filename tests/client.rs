//! The client's machine: S1 (numbers, window, retransmission) and S2 (f+1 equal answers, receipts). Replicas' answers come as bytes,
//! through decoding and verification, as they would to a host.

use logothete::sim::forge::{Forge, Kind};
use logothete::{
    Bytes, Client, ClientDisposition, ClientError, ClientEvent, ClientId, ClientIgnored, ClientInput, ClientOutput, ClientTuning, Cluster,
    Completion, ExecutionReceipt, Limits, MessageKind, PeerLink, Recipients, ReplicaId, Request, RequestNumber, SequenceNumber, SigningKey,
    SubmitError, Time, Unverified, Verified, Verifier, View,
};
use std::sync::Arc;
use std::time::Duration;

const MS: u64 = 1000;

fn number(number: u64) -> RequestNumber {
    RequestNumber::new(number)
}

fn at(sequence_number: u64) -> SequenceNumber {
    SequenceNumber::new(sequence_number)
}

fn key(kind: u8, index: usize) -> SigningKey {
    let mut seed = [kind; 32];
    seed[0] = u8::try_from(index).unwrap();
    SigningKey::from_bytes(&seed)
}

fn id_of(key: &SigningKey) -> ClientId {
    ClientId::new(key.verifying_key().to_bytes())
}

/// Replicas' keys of kind 1, two clients' keys of kind 2.
fn cluster(n: usize, limits: Limits) -> Arc<Cluster> {
    let replicas = (0..n).map(|index| key(1, index).verifying_key()).collect();
    let clients = (0..2).map(|index| key(2, index).verifying_key()).collect();
    Arc::new(Cluster::builder(replicas, clients).limits(limits).build().unwrap())
}

/// Client 0 of a cluster, and the pens of everybody else.
struct Host {
    cluster: Arc<Cluster>,
    forge: Forge,
    client: Client,
    now: Time,
    out: Vec<ClientOutput>,
}

impl Host {
    fn new(n: usize) -> Self {
        Self::with(cluster(n, Limits::default()), ClientTuning::default())
    }

    fn with(cluster: Arc<Cluster>, tuning: ClientTuning) -> Self {
        let client = Client::new(cluster.clone(), id_of(&key(2, 0)), tuning).unwrap();
        Self { forge: Forge::new(cluster.clone()), cluster, client, now: Time(MS), out: Vec::new() }
    }

    fn step(&mut self, input: ClientInput) -> ClientDisposition {
        self.client.step(self.now, input, &mut self.out)
    }

    fn submit(&mut self, operation: &[u8]) -> ClientDisposition {
        self.step(ClientInput::Submit(Bytes::from(operation)))
    }

    fn verified(&self, bytes: &[u8]) -> Verified {
        let unverified = Unverified::decode(PeerLink(0), bytes, self.cluster.limits()).unwrap();
        Verifier::new(self.cluster.clone()).verify(unverified).unwrap()
    }

    fn deliver(&mut self, bytes: &[u8]) -> ClientDisposition {
        let message = self.verified(bytes);
        self.step(ClientInput::Message(message))
    }

    fn request(&self, number: u64, operation: &[u8]) -> Request {
        self.forge.request(&key(2, 0), RequestNumber::new(number), operation)
    }

    /// A replica's reply for one leaf of a batch.
    fn reply_of(&self, replica: u32, view: u64, sequence_number: u64, leaves: &[(Request, &[u8])], index: usize) -> Vec<u8> {
        let pen = key(1, replica as usize);
        self.forge.reply((ReplicaId::new(replica), &pen), View::new(view), at(sequence_number), leaves, index)
    }

    /// A replica's reply in view 0; the request is alone in its batch.
    fn reply(&self, replica: u32, sequence_number: u64, request: &Request, result: &[u8]) -> Vec<u8> {
        self.reply_of(replica, 0, sequence_number, &[(request.clone(), result)], 0)
    }

    fn answered(&self, replica: u32, request: &Request, result: &[u8]) -> Vec<u8> {
        let pen = key(1, replica as usize);
        self.forge.answered((ReplicaId::new(replica), &pen), request.client(), request.number(), result)
    }

    fn completions(&mut self) -> Vec<Completion> {
        let (completions, others) = self.out.drain(..).partition(|output| matches!(output, ClientOutput::Completed(_)));
        self.out = others;
        let completions: Vec<ClientOutput> = completions;
        completions
            .into_iter()
            .filter_map(|output| match output {
                ClientOutput::Completed(completion) => Some(completion),
                _ => None,
            })
            .collect()
    }

    fn events(&mut self) -> Vec<ClientEvent> {
        self.out
            .drain(..)
            .filter_map(|output| match output {
                ClientOutput::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// Signs all that is to be sent.
    fn sent(&mut self) -> Vec<(Recipients, Vec<u8>)> {
        let mut sent = Vec::new();
        for output in self.out.drain(..) {
            if let ClientOutput::Send(outgoing) = output {
                sent.extend(outgoing.sign(&key(2, 0)).unwrap().iter().map(|envelope| (envelope.to(), envelope.encode().to_vec())));
            }
        }
        sent
    }
}

fn ignored(why: ClientIgnored) -> ClientDisposition {
    ClientDisposition::Ignored(why)
}

/// (number, result) of each completion.
fn results(completions: &[Completion]) -> Vec<(u64, &[u8])> {
    completions.iter().map(|completion| (completion.number.get(), &completion.result[..])).collect()
}

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
    assert_eq!((completion.number, &completion.result[..], completion.latency), (number(1), &b"paid"[..], Duration::from_millis(7)));
    let receipt = completion.receipt.as_ref().unwrap();
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
    assert_eq!(completions[0].receipt.as_ref().unwrap().signers().map(ReplicaId::get).collect::<Vec<_>>(), [1, 3, 4]);
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
    assert_eq!(completions[0].receipt.as_ref().unwrap().verify(&host.cluster), Ok(()));
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
    assert_eq!(completions[0].receipt, None, "one signature on a root is no receipt");
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
    assert_eq!(completions[0].receipt.as_ref().unwrap().signers().map(ReplicaId::get).collect::<Vec<_>>(), [2, 3]);
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
        assert_eq!(completions[0].receipt, None);
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

// --- S1: numbers, window, retransmission ---

#[test]
fn s1_numbers_count_up_and_requests_are_signed_ones_for_the_primary() {
    let mut host = Host::new(4);
    for count in 1..=3 {
        assert_eq!(host.submit(b"op"), ClientDisposition::Submitted(number(count)));
        let expected = host.forge.request_message(&host.request(count, b"op"));
        assert_eq!(host.sent(), [(Recipients::Replica(ReplicaId::new(0)), expected)]);
    }
}

#[test]
fn s1_unanswered_requests_go_to_all_replicas_with_back_off() {
    let tuning = ClientTuning { retransmit_timeout: Duration::from_millis(100), backoff_max: 3, ..ClientTuning::default() };
    let mut host = Host::with(cluster(4, Limits::default()), tuning);
    host.now = Time(0);
    let _ = host.submit(b"op");
    let bytes = host.sent().remove(0).1;
    let mut due = 0;
    for (times, wait) in [100, 200, 400, 800, 800, 800].into_iter().enumerate() {
        due += wait * MS;
        assert_eq!(host.client.deadline(), Some(Time(due)), "retransmission {times}");
        host.now = Time(due - 1);
        assert_eq!(host.step(ClientInput::Timer), ignored(ClientIgnored::NotDue));
        host.now = Time(due);
        assert_eq!(host.step(ClientInput::Timer), ClientDisposition::Applied);
        assert_eq!(host.sent(), [(Recipients::AllReplicas, bytes.clone())], "the same bytes");
        // Doubled calls and a clock that goes back are harmless.
        assert_eq!(host.step(ClientInput::Timer), ignored(ClientIgnored::NotDue));
        host.now = Time(0);
        assert_eq!(host.step(ClientInput::Timer), ignored(ClientIgnored::NotDue));
        assert_eq!(host.sent(), []);
    }
}

#[test]
fn s1_a_clock_that_goes_back_stands_still() {
    let mut host = Host::new(1);
    host.now = Time(900 * MS);
    let _ = host.step(ClientInput::Timer);
    host.now = Time(0);
    let _ = host.submit(b"op");
    assert_eq!(host.client.deadline(), Some(Time(1400 * MS)));
    host.now = Time(100 * MS);
    let request = host.request(1, b"op");
    let reply = host.reply(0, 1, &request, b"r");
    let _ = host.deliver(&reply);
    assert_eq!(host.completions()[0].latency, Duration::ZERO);
}

#[test]
fn s1_each_request_has_a_timer_of_its_own() {
    let mut host = Host::new(4);
    for start in [0, 100, 200] {
        host.now = Time(start * MS);
        let _ = host.submit(b"op");
    }
    let request = host.request(2, b"op");
    for replica in [0, 1] {
        let reply = host.reply(replica, 1, &request, b"r");
        let _ = host.deliver(&reply);
    }
    let _ = host.sent();
    host.now = Time(700 * MS);
    let _ = host.step(ClientInput::Timer);
    // Both that are due, lowest number first; the completed one is not sent again.
    assert_eq!(
        host.events(),
        [ClientEvent::SentAgain { number: number(1), times: 1 }, ClientEvent::SentAgain { number: number(3), times: 1 },]
    );
    assert_eq!(host.client.deadline(), Some(Time(1700 * MS)));
}

#[test]
fn s1_the_window_spans_numbers_and_refusals_give_the_operation_back() {
    let limits = Limits { client_window: 3, operation_bytes_max: 4, ..Limits::default() };
    let mut host = Host::with(cluster(4, limits), ClientTuning::default());
    for count in 1..=3 {
        assert_eq!(host.submit(b"op"), ClientDisposition::Submitted(number(count)));
    }
    let full = SubmitError::WindowFull { oldest: number(1), window: 3 };
    let refused = |reason| ClientDisposition::Refused { operation: Bytes::from(&b"more"[..]), reason };
    assert_eq!(host.submit(b"more"), refused(full));
    // 2 and 3 complete, 1 does not: only one is outstanding, yet 4 would be three above it.
    for count in [2, 3] {
        let request = host.request(count, b"op");
        for replica in [0, 1] {
            let reply = host.reply(replica, count, &request, b"r");
            let _ = host.deliver(&reply);
        }
    }
    assert_eq!(host.client.outstanding(), 1);
    assert_eq!(host.submit(b"more"), refused(full));
    let request = host.request(1, b"op");
    for replica in [0, 1] {
        let reply = host.reply(replica, 4, &request, b"r");
        let _ = host.deliver(&reply);
    }
    assert_eq!(host.submit(b"more"), ClientDisposition::Submitted(number(4)), "refusals use up no number");
    let long = SubmitError::OperationTooLong { length: 5, max: 4 };
    assert_eq!(host.submit(b"longs"), ClientDisposition::Refused { operation: Bytes::from(&b"longs"[..]), reason: long });
    assert_eq!(host.client.outstanding(), 1);
}

#[test]
fn s1_a_restarted_client_goes_on_at_its_lowest_open_number() {
    let mut host = Host::new(4);
    let _ = (host.submit(b"a"), host.submit(b"b"), host.submit(b"c"));
    let a = host.request(1, b"a");
    for replica in [0, 1] {
        let reply = host.reply(replica, 1, &a, b"r");
        let _ = host.deliver(&reply);
    }
    assert_eq!((host.client.resume_number(), host.client.next_number()), (number(2), number(4)));
    let before = host.sent();
    let tuning = ClientTuning { first_number: host.client.resume_number(), ..ClientTuning::default() };
    let mut restarted = Host::with(host.cluster.clone(), tuning);
    let _ = (restarted.submit(b"b"), restarted.submit(b"c"));
    assert_eq!(restarted.sent(), before[1..], "the same requests, byte for byte");
    let late = restarted.reply(2, 1, &a, b"r");
    assert_eq!(restarted.deliver(&late), ignored(ClientIgnored::UnknownNumber(number(1))));
}

#[test]
fn s1_clients_that_cannot_be_served_are_not_made() {
    let cluster = cluster(4, Limits::default());
    let stranger = id_of(&key(3, 0));
    assert_eq!(Client::new(cluster.clone(), stranger, ClientTuning::default()).err(), Some(ClientError::NotEnrolled(stranger)));
    let tuning = ClientTuning { first_number: number(0), ..ClientTuning::default() };
    assert_eq!(Client::new(cluster, id_of(&key(2, 0)), tuning).err(), Some(ClientError::FirstNumber));
}

#[test]
fn s1_numbers_and_times_at_their_ends_stop_without_harm() {
    let tuning = ClientTuning { first_number: number(u64::MAX - 1), retransmit_timeout: Duration::ZERO, backoff_max: u32::MAX };
    let mut host = Host::with(cluster(4, Limits::default()), tuning);
    assert_eq!(host.submit(b"op"), ClientDisposition::Submitted(number(u64::MAX - 1)));
    let refused = ClientDisposition::Refused { operation: Bytes::from(&b"op"[..]), reason: SubmitError::NumbersExhausted };
    assert_eq!(host.submit(b"op"), refused);
    host.now = Time(u64::MAX);
    assert_eq!(host.step(ClientInput::Timer), ClientDisposition::Applied);
    assert_eq!(host.step(ClientInput::Timer), ignored(ClientIgnored::NotDue));
}

// --- S2: which replica is the primary ---

#[test]
fn s2_f_liars_do_not_move_the_primary_and_f_plus_one_do() {
    let mut host = Host::new(7);
    let _ = host.submit(b"op");
    let request = host.request(1, b"op");
    let leaves = [(request, &b"r"[..])];
    // Two liars, also in late replies, again and again higher.
    for hint in [40, u64::MAX] {
        for liar in [0, 1] {
            let reply = host.reply_of(liar, hint, 1, &leaves, 0);
            let _ = host.deliver(&reply);
        }
    }
    let honest = host.reply_of(2, 3, 1, &leaves, 0);
    let _ = host.deliver(&honest);
    assert_eq!(host.completions().len(), 1);
    assert_eq!(host.client.primary(), ReplicaId::new(3), "the third largest hint is a correct replica's");
    assert_eq!(host.events(), [ClientEvent::PrimaryLearned { view: View::new(3), primary: ReplicaId::new(3) }]);
    // The next request goes there at once.
    let _ = host.submit(b"op");
    assert_eq!(host.sent()[0].0, Recipients::Replica(ReplicaId::new(3)));
    // Views never go back, and one more correct replica brings it on.
    for (replica, hint, primary) in [(3, 1, 3), (4, 5, 5)] {
        let reply = host.reply_of(replica, hint, 1, &leaves, 0);
        let _ = host.deliver(&reply);
        assert_eq!(host.client.primary(), ReplicaId::new(primary));
    }
}

#[test]
fn s2_a_fast_liar_cannot_hide_the_new_primary() {
    let mut host = Host::new(4);
    for count in 1..=2 {
        let _ = host.submit(b"op");
        let leaves = [(host.request(count, b"op"), &b"r"[..])];
        // Replica 3 is first each time and says view 0; replica 1 completes the request; replica 2 comes late.
        for (replica, hint) in [(3, 0), (1, 1), (2, 1)] {
            let reply = host.reply_of(replica, hint, count, &leaves, 0);
            let _ = host.deliver(&reply);
        }
    }
    assert_eq!(host.client.primary(), ReplicaId::new(1));
}

#[test]
fn s2_a_replica_s_older_hint_that_comes_late_takes_nothing_back() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    let leaves = [(host.request(1, b"op"), &b"r"[..])];
    for (replica, hint, primary) in [(1, 6, 0), (1, 1, 0), (2, 7, 2)] {
        let reply = host.reply_of(replica, hint, 1, &leaves, 0);
        let _ = host.deliver(&reply);
        assert_eq!(host.client.primary(), ReplicaId::new(primary));
    }
}

#[test]
fn s2_hints_in_answers_to_nothing_do_not_count() {
    let mut host = Host::new(4);
    let never_sent = [(host.request(1, b"op"), &b"r"[..])];
    for replica in [1, 2, 3] {
        let reply = host.reply_of(replica, 2, 1, &never_sent, 0);
        assert_eq!(host.deliver(&reply), ignored(ClientIgnored::UnknownNumber(number(1))));
    }
    assert_eq!(host.client.primary(), ReplicaId::new(0));
}

// --- S2: receipts ---

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
    let receipt = host.completions().remove(0).receipt.unwrap();
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
    assert!(ExecutionReceipt::decode(&vec![0; 1 << 20], host.cluster.limits()).is_err());
}
