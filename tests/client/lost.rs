//! S2: a result that is certain and that nobody has any more.

use crate::{Host, MS, cluster, ignored, number, results};
use logothete::{
    ClientDisposition, ClientEvent, ClientIgnored, ClientInput, ClientTuning, Completion, Digest, Limits, Outcome, Recipients, ReplicaId,
    SubmitError, Time,
};
use std::time::Duration;

/// SHA-256 of `logothete/resultdone`, computed elsewhere.
const DONE: [u8; 32] = [
    0x13, 0xb1, 0x35, 0xc2, 0xfd, 0xd4, 0x64, 0xc4, 0xa8, 0x2c, 0xef, 0x1e, 0x5a, 0xaa, 0x38, 0x5f, 0xcc, 0xf6, 0xe1, 0x34, 0x46, 0x4f,
    0x25, 0x8a, 0x4e, 0xfb, 0x40, 0xe4, 0x06, 0xc5, 0xfe, 0x18,
];

/// Waits until the timer is due and tells how often a request went to all replicas; nothing may complete.
fn due(host: &mut Host) -> usize {
    host.now = host.client.deadline().unwrap();
    assert_eq!(host.step(ClientInput::Timer), ClientDisposition::Applied);
    assert_eq!(host.completions(), [], "too early");
    host.events().iter().filter(|event| matches!(event, ClientEvent::SentAgain { .. })).count()
}

/// Waits until the timer is due and tells what completes; nothing may be sent.
fn due_at_last(host: &mut Host) -> Vec<Completion> {
    host.now = host.client.deadline().unwrap();
    assert_eq!(host.step(ClientInput::Timer), ClientDisposition::Applied);
    let completions = host.completions();
    assert!(host.out.is_empty(), "what completes is not sent again");
    completions
}

/// What is lost: (number, digest) of each completion.
fn lost(completions: &[Completion]) -> Vec<(u64, Digest)> {
    completions
        .iter()
        .map(|completion| match completion.outcome {
            Outcome::ResultLost { result_digest } => (completion.number.get(), result_digest),
            Outcome::Result { .. } => panic!("{completion:?}"),
        })
        .collect()
}

fn answer(host: &mut Host, replicas: impl IntoIterator<Item = u32>, count: u64, result: &[u8]) {
    let request = host.request(count, b"op");
    for replica in replicas {
        let answered = host.answered(replica, &request, result);
        assert_eq!(host.deliver(&answered), ClientDisposition::Applied);
    }
}

#[test]
fn s2_a_result_that_nobody_has_completes_after_two_more_requests_for_it() {
    for (n, f) in [(1, 0), (4, 1), (7, 2)] {
        let tuning = ClientTuning { retransmit_timeout: Duration::from_millis(100), ..ClientTuning::default() };
        let mut host = Host::with(cluster(n, Limits::default()), tuning);
        host.now = Time(0);
        let _ = host.submit(b"op");
        let request = host.sent().remove(0).1;
        host.now = Time(100 * MS);
        let _ = host.step(ClientInput::Timer);
        assert_eq!(host.sent().len(), 1);
        // All were killed and have come back: they know that it was executed, and no more.
        answer(&mut host, 0..=f, 1, b"done");
        // Twice more it goes to all, and each time they have the full patience to answer.
        for time in [300, 700] {
            host.now = Time(time * MS - 1);
            assert_eq!(host.step(ClientInput::Timer), ignored(ClientIgnored::NotDue), "n = {n}");
            host.now = Time(time * MS);
            assert_eq!(host.step(ClientInput::Timer), ClientDisposition::Applied, "n = {n}");
            assert_eq!(host.completions(), [], "n = {n}");
            assert_eq!(host.sent(), [(Recipients::AllReplicas, request.clone())], "n = {n}");
        }
        host.now = Time(1500 * MS - 1);
        assert_eq!(host.step(ClientInput::Timer), ignored(ClientIgnored::NotDue), "n = {n}");
        assert_eq!((host.client.outstanding(), host.client.deadline()), (1, Some(Time(1500 * MS))));
        let completions = due_at_last(&mut host);
        assert_eq!(lost(&completions), [(1, Digest::new(DONE))], "n = {n}");
        assert_eq!(completions[0].latency, Duration::from_millis(1500));
        assert_eq!((host.client.outstanding(), host.client.deadline()), (0, None));
    }
}

#[test]
fn s2_a_lost_result_can_be_recognised() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    answer(&mut host, [1, 2], 1, b"done");
    assert_eq!(due(&mut host) + due(&mut host), 2);
    let outcome = due_at_last(&mut host).remove(0).outcome;
    assert!(outcome.result_matches(b"done") && !outcome.result_matches(b"not done") && !outcome.result_matches(b""));
    assert_eq!((outcome.result(), outcome.receipt()), (None, None));
    // One that is not lost is compared byte for byte.
    let _ = host.submit(b"op");
    let request = host.request(2, b"op");
    for replica in [0, 3] {
        let reply = host.reply(replica, 1, &request, b"done");
        let _ = host.deliver(&reply);
    }
    let outcome = host.completions().remove(0).outcome;
    assert!(outcome.result_matches(b"done") && !outcome.result_matches(b"don"));
}

#[test]
fn s2_what_was_sent_before_the_agreement_does_not_count() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    // A liar who knows the digest, long before a correct replica gives it.
    answer(&mut host, [3], 1, b"done");
    assert_eq!((0..5).map(|_| due(&mut host)).sum::<usize>(), 5);
    answer(&mut host, [0], 1, b"done");
    assert_eq!((due(&mut host), due(&mut host)), (1, 1));
    assert_eq!(host.client.outstanding(), 1);
    assert_eq!(lost(&due_at_last(&mut host)), [(1, Digest::new(DONE))]);
}

#[test]
fn s2_fewer_than_f_plus_one_digests_never_complete() {
    for (n, f) in [(4, 1), (5, 1), (7, 2), (10, 3)] {
        let mut host = Host::new(n);
        let _ = host.submit(b"op");
        // f liars, each in its own way, again and again.
        for _ in 0..10 {
            let request = host.request(1, b"op");
            for liar in 0..f {
                for result in [&b"done"[..], b"lie"] {
                    let answered = host.answered(liar, &request, result);
                    let _ = host.deliver(&answered);
                }
            }
            assert_eq!(due(&mut host), 1, "n = {n}");
        }
        // One more voice for another result changes nothing.
        answer(&mut host, [f], 1, b"other");
        assert_eq!((0..10).map(|_| due(&mut host)).sum::<usize>(), 10, "n = {n}");
        assert_eq!((host.client.outstanding(), host.completions()), (1, vec![]), "n = {n}");
    }
}

#[test]
fn s2_f_liars_with_another_digest_change_nothing() {
    for liars_first in [true, false] {
        let mut host = Host::new(7);
        let _ = host.submit(b"op");
        let request = host.request(1, b"op");
        // One liar gives a digest, the other the bytes of a lie.
        let lie = |host: &mut Host| {
            answer(host, [0], 1, b"lie");
            let reply = host.reply(1, 1, &request, b"lie");
            assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
        };
        if liars_first {
            lie(&mut host);
        }
        answer(&mut host, [2, 3, 4], 1, b"done");
        if !liars_first {
            lie(&mut host);
        }
        assert_eq!(due(&mut host), 1);
        // Nor do they when they say it again, or say now what the others said.
        for liar in [0, 1] {
            for result in [&b"lie"[..], b"done"] {
                let (answered, reply) = (host.answered(liar, &request, result), host.reply(liar, 1, &request, result));
                let before = ignored(ClientIgnored::AnsweredBefore(ReplicaId::new(liar)));
                assert_eq!(host.deliver(&answered), before);
                // The one who gave but the digest of the lie may show the lie.
                let shows = if (liar, result) == (0, &b"lie"[..]) { ClientDisposition::Applied } else { before };
                assert_eq!(host.deliver(&reply), shows);
            }
        }
        assert_eq!(due(&mut host), 1);
        assert_eq!(host.client.outstanding(), 1);
        assert_eq!(lost(&due_at_last(&mut host)), [(1, Digest::new(DONE))], "liars first: {liars_first}");
    }
}

#[test]
fn s2_more_digests_do_not_prolong_the_wait() {
    let mut host = Host::new(7);
    let _ = host.submit(b"op");
    answer(&mut host, [0, 1, 2], 1, b"done");
    for replica in [3, 4] {
        assert_eq!(due(&mut host), 1);
        answer(&mut host, [replica], 1, b"done");
    }
    assert_eq!(lost(&due_at_last(&mut host)), [(1, Digest::new(DONE))]);
}

#[test]
fn s2_a_reply_that_comes_in_time_gives_the_bytes() {
    // After each number of further requests; from one that has answered by digest, and from one that has been silent.
    for (times, replica) in [(0, 1), (0, 3), (1, 1), (1, 3), (2, 1), (2, 3)] {
        let mut host = Host::new(4);
        let _ = host.submit(b"op");
        answer(&mut host, [0, 1, 2], 1, b"done");
        for _ in 0..times {
            assert_eq!(due(&mut host), 1);
        }
        host.now = Time(host.client.deadline().unwrap().0 - 1);
        let request = host.request(1, b"op");
        let reply = host.reply(replica, 1, &request, b"done");
        assert_eq!(host.deliver(&reply), ClientDisposition::Applied);
        assert_eq!(results(&host.completions()), [(1, &b"done"[..])], "after {times}, from {replica}");
        assert_eq!((host.client.outstanding(), host.client.deadline()), (0, None));
    }
}

#[test]
fn s2_a_reply_that_comes_late_is_not_reported() {
    let mut host = Host::new(4);
    let _ = host.submit(b"op");
    answer(&mut host, [0, 1], 1, b"done");
    assert_eq!((due(&mut host), due(&mut host)), (1, 1));
    assert_eq!(due_at_last(&mut host).len(), 1);
    let request = host.request(1, b"op");
    let reply = host.reply(2, 1, &request, b"done");
    assert_eq!(host.deliver(&reply), ignored(ClientIgnored::Completed(number(1))));
    assert_eq!(host.completions(), [], "each request is reported once");
}

#[test]
fn s2_the_window_moves_on_over_a_lost_result() {
    let limits = Limits { client_window: 2, ..Limits::default() };
    let mut host = Host::with(cluster(4, limits), ClientTuning::default());
    let _ = (host.submit(b"op"), host.submit(b"op"));
    let request = host.request(2, b"op");
    for replica in [0, 1] {
        let reply = host.reply(replica, 2, &request, b"r");
        let _ = host.deliver(&reply);
    }
    assert_eq!(results(&host.completions()), [(2, &b"r"[..])]);
    answer(&mut host, [0, 1], 1, b"done");
    assert_eq!((due(&mut host), due(&mut host)), (1, 1));
    let ClientDisposition::Refused { reason, .. } = host.submit(b"op") else { panic!("the window is full") };
    assert_eq!(reason, SubmitError::WindowFull { oldest: number(1), window: 2 });
    assert_eq!(lost(&due_at_last(&mut host)), [(1, Digest::new(DONE))]);
    assert_eq!(host.client.resume_number(), number(3));
    assert_eq!(host.submit(b"op"), ClientDisposition::Submitted(number(3)));
}

#[test]
fn s2_a_completion_does_not_shorten_the_wait_for_lost_bytes() {
    let mut host = Host::new(4);
    host.now = Time(0);
    let _ = (host.submit(b"op"), host.submit(b"op"));
    host.now = Time(500 * MS);
    assert_eq!(due(&mut host), 2);
    answer(&mut host, 0..=1, 1, b"done");
    assert_eq!((due(&mut host), host.client.deadline()), (2, Some(Time(3500 * MS))));
    host.now = Time(1600 * MS);
    let request = host.request(2, b"op");
    for replica in [0, 1] {
        let reply = host.reply(replica, 2, &request, b"r");
        let _ = host.deliver(&reply);
    }
    assert_eq!((host.completions().len(), host.client.deadline()), (1, Some(Time(3500 * MS))));
}
