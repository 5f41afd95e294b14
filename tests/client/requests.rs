//! S1: numbers, window, retransmission.

use crate::{Host, MS, cluster, id_of, ignored, key, number};
use logothete::{
    Bytes, Client, ClientDisposition, ClientError, ClientEvent, ClientIgnored, ClientInput, ClientTuning, Limits, Recipients, ReplicaId,
    SubmitError, Time,
};
use std::time::Duration;

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

/// Numbers that are sent again at this time.
fn sent_again(host: &mut Host, now: u64) -> Vec<u64> {
    host.now = Time(now * MS);
    let _ = host.step(ClientInput::Timer);
    let numbers = host
        .events()
        .into_iter()
        .filter_map(|event| if let ClientEvent::SentAgain { number, .. } = event { Some(number.get()) } else { None });
    numbers.collect()
}

#[test]
fn s1_upon_a_completion_the_lowest_eight_that_wait_are_sent_again_within_a_timeout_and_no_others() {
    let mut host = Host::new(4);
    host.now = Time(0);
    for _ in 1..=12 {
        let _ = host.submit(b"op");
    }
    let complete = |host: &mut Host, count: u64, now: u64| {
        host.now = Time(now * MS);
        let request = host.request(count, b"op");
        for replica in [0, 1] {
            let reply = host.reply(replica, count, &request, b"r");
            let _ = host.deliver(&reply);
        }
        let _ = host.events();
    };
    for now in [500, 1500, 3500] {
        assert_eq!(sent_again(&mut host, now), (1..=12).collect::<Vec<_>>());
    }
    // Due at 7500. One reply completes nothing, and hastens nothing.
    host.now = Time(3600 * MS);
    let request = host.request(1, b"op");
    let reply = host.reply(2, 1, &request, b"r");
    let _ = host.deliver(&reply);
    assert_eq!(host.client.deadline(), Some(Time(7500 * MS)));
    complete(&mut host, 1, 4000);
    assert_eq!(host.client.deadline(), Some(Time(4500 * MS)));
    // What is due within a timeout is put off by no other completion; one more request is among the lowest eight.
    complete(&mut host, 2, 4200);
    assert_eq!(sent_again(&mut host, 4499), [0_u64; 0]);
    assert_eq!(sent_again(&mut host, 4500), (3..=9).collect::<Vec<_>>());
    assert_eq!(sent_again(&mut host, 4700), [10]);
    // While nothing completes patience grows as before.
    assert_eq!(sent_again(&mut host, 7499), [0_u64; 0]);
    assert_eq!(sent_again(&mut host, 7500), [11, 12]);
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

#[test]
fn s1_the_earliest_timer_is_the_deadline() {
    let mut host = Host::new(4);
    host.now = Time(0);
    let _ = host.submit(b"first");
    let due = host.client.deadline();
    host.now = Time(100 * MS);
    let _ = host.submit(b"second");
    assert_eq!(host.client.deadline(), due);
}

#[test]
fn s1_a_timeout_of_zero_counts_as_a_microsecond() {
    let tuning = ClientTuning { retransmit_timeout: Duration::ZERO, ..ClientTuning::default() };
    let mut host = Host::with(cluster(4, Limits::default()), tuning);
    host.now = Time(0);
    let _ = host.submit(b"op");
    assert_eq!(host.client.deadline(), Some(Time(1)));
}
