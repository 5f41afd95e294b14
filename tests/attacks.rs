//! Directed attacks by at most f traitors: each test is one thing that an adversary would try. (P1, P2, P5, T1, T2, I18)

mod support;

use logothete::sim::forge::{Kind, Seen};
use logothete::{Event, Limits, MessageKind, Recipients, ReplicaId, RequestNumber, SequenceNumber, View};
use std::time::Duration;
use support::{Net, builder, client_key, replica_key};

const LIMIT: Duration = Duration::from_secs(60);
const V0: View = View::new(0);

fn at(number: u64) -> SequenceNumber {
    SequenceNumber::new(number)
}

fn to(replica: u32) -> Recipients {
    Recipients::Replica(ReplicaId::new(replica))
}

#[test]
fn p5_a_vote_for_a_digest_under_a_false_number_halts_nobody() {
    // The primary tells one backup only "digest d stands at n + 1"; the others decide d at n. What was learnt about d under the false
    // number must not count for the true one.
    let mut net = Net::new(4, 1, 11);
    let key = replica_key(0);
    net.twists.insert(
        0,
        Box::new(move |envelope, forge| {
            let bytes = envelope.encode().to_vec();
            let Ok(Seen::PrePrepare { view, block }) = forge.read(&bytes) else { return vec![(envelope.to(), bytes)] };
            let lie = forge.vote((ReplicaId::new(0), &key), Kind::Prepare, view, (block.sequence_number().next(), block.digest()));
            vec![(to(1), bytes.clone()), (to(2), bytes), (to(3), lie)]
        }),
    );
    net.submit(0, b"order");
    net.settle(LIMIT, &[1, 2, 3]);
}

#[test]
fn p1_a_block_is_accepted_at_its_own_number_only() {
    let mut net = Net::new(4, 1, 12);
    let key = replica_key(0);
    let request = net.forge.request(&client_key(0), RequestNumber::new(1), b"order");
    let block = net.forge.block(at(9), net.forge.genesis(), vec![request]);
    let vote = net.forge.vote((ReplicaId::new(0), &key), Kind::Prepare, V0, (at(1), block.digest()));
    net.deliver(1, &vote);
    let chain = net.forge.chain(None, &[block]);
    net.deliver(1, &chain);
    let status = net.hosts[1].replica.status();
    assert_eq!(status.head, at(0), "no position is skipped");
    assert_eq!(status.blocks, 0, "what can never be accepted is not kept");
}

#[test]
fn i18_a_chain_of_blocks_far_above_the_window_is_not_kept() {
    // One vote of the primary's names a block of number 10⁶; below it, anybody could add as many as he likes.
    let mut net = Net::new(4, 1, 13);
    let request = net.forge.request(&client_key(0), RequestNumber::new(1), b"order");
    let mut blocks = Vec::new();
    let mut parent = net.forge.genesis();
    for number in 1_000_000..1_000_300 {
        let block = net.forge.block(at(number), parent, vec![request.clone()]);
        parent = block.digest();
        blocks.push(block);
    }
    blocks.reverse();
    let vote = net.forge.vote((ReplicaId::new(0), &replica_key(0)), Kind::Prepare, V0, (at(1), blocks[0].digest()));
    net.deliver(1, &vote);
    for part in blocks.windows(2) {
        let chain = net.forge.chain(None, part);
        net.deliver(1, &chain);
    }
    assert_eq!(net.hosts[1].replica.status().blocks, 0);
}

#[test]
fn t1_an_old_request_proposed_again_does_not_put_off_its_clients_deadline() {
    // The primary orders client 1's requests, never client 0's second one; each batch carries client 0's first request once more.
    let mut net = Net::new(4, 2, 14);
    let first = net.forge.request(&client_key(0), RequestNumber::new(1), b"first");
    net.submit(0, b"first");
    net.settle(LIMIT, &[0, 1, 2, 3]);
    let key = replica_key(0);
    let starved = first.client();
    let (mut parent, mut number) = (net.hosts[0].replica.status().log_digest, net.hosts[0].replica.status().decided);
    net.twists.insert(0, Box::new(|_, _| Vec::new()));
    net.submit_to(0, b"second", &[1, 2, 3]);
    for order in 1..2000_u32 {
        let other = net.forge.request(&client_key(1), RequestNumber::new(u64::from(order)), b"other");
        number = number.next();
        let block = net.forge.block(number, parent, vec![other, first.clone()]);
        parent = block.digest();
        let proposal = net.forge.pre_prepare(&key, V0, &block);
        (1..4).for_each(|backup| {
            net.deliver(backup, &proposal);
        });
        net.run_for(Duration::from_millis(20));
        if net.hosts[1].replica.status().view > V0 {
            break;
        }
    }
    let view = net.hosts[1].replica.status().view;
    assert!(view > V0, "a primary that starves {starved:?} is replaced within that client's timeout");
}

#[test]
fn t1_a_request_that_came_before_its_predecessor_is_waited_for_once_that_is_decided() {
    // The backups know client 0's second request only. The primary orders the first, and then no more.
    let mut net = Net::new(4, 1, 20);
    let key = replica_key(0);
    net.twists.insert(0, Box::new(|_, _| Vec::new()));
    let request = |number| net.forge.request(&client_key(0), RequestNumber::new(number), b"order");
    let block = net.forge.block(at(1), net.forge.genesis(), vec![request(1)]);
    let (second, proposal) = (net.forge.request_message(&request(2)), net.forge.pre_prepare(&key, V0, &block));
    (1..4).for_each(|backup| {
        net.deliver(backup, &second);
        net.deliver(backup, &proposal);
    });
    net.run_until(LIMIT, "both are executed", |net| net.loyal().iter().all(|index| net.hosts[*index].executed().len() == 2));
}

#[test]
fn s1_a_clients_next_request_is_admitted_however_many_wait_behind_it() {
    let limits = Limits { batch_requests_max: 2, ..Limits::default() };
    let mut net = Net::with(builder(4, 1).limits(limits).build().expect("a valid cluster"), 16);
    let requests: Vec<_> = (1..=5)
        .map(|number| net.forge.request(&client_key(0), RequestNumber::new(number), b"order"))
        .map(|r| net.forge.request_message(&r))
        .collect();
    // The first one comes last, everywhere.
    for bytes in requests.iter().rev() {
        (0..4).for_each(|replica| {
            net.deliver(replica, bytes);
        });
    }
    net.run_for(Duration::from_secs(1));
    // What was refused is sent again.
    for bytes in &requests {
        (0..4).for_each(|replica| {
            net.deliver(replica, bytes);
        });
    }
    net.run_until(LIMIT, "all are executed", |net| net.hosts.iter().all(|host| host.executed().len() == 5));
    assert!(net.hosts.iter().all(|host| host.replica.status().view == V0));
}

#[test]
fn p2_what_was_accepted_above_a_gap_is_prepared_when_the_gap_is_closed() {
    // Replica 3 misses block 1, gets 2, and its vote on 2 is needed: replica 2 is off.
    let mut net = Net::new(4, 1, 17);
    let key = replica_key(0);
    net.twists.insert(0, Box::new(|_, _| Vec::new()));
    net.down.insert(2);
    let request = |number| net.forge.request(&client_key(0), RequestNumber::new(number), b"order");
    let one = net.forge.block(at(1), net.forge.genesis(), vec![request(1)]);
    let two = net.forge.block(at(2), one.digest(), vec![request(2)]);
    let traitors: Vec<_> = (0..3).map(|index| (ReplicaId::new(index), replica_key(index as usize))).collect();
    let members: Vec<_> = traitors.iter().map(|(id, key)| (*id, key)).collect();
    let certificate = net.forge.certificate(&members, Kind::Prepare, V0, (at(1), one.digest()));
    let (certificate, second, chain) =
        (net.forge.certificate_message(&certificate), net.forge.pre_prepare(&key, V0, &two), net.forge.chain(None, &[one]));
    net.deliver(3, &certificate);
    net.deliver(3, &second);
    assert_eq!(net.hosts[3].replica.status().head, at(2));
    let before = net.hosts[3].disk.log().len();
    net.deliver(3, &chain);
    assert!(net.hosts[3].disk.log().len() > before, "a Prepare of position 2 is promised as soon as its chain is held");
}

#[test]
fn t2_a_status_overtaken_by_a_question_is_heard() {
    let mut net = Net::new(4, 1, 18);
    let key = replica_key(3);
    let traitor = (ReplicaId::new(3), &key);
    net.submit(0, b"order");
    net.down.insert(3);
    net.settle(LIMIT, &[0, 1, 2]);
    let question = net.forge.fetch(traitor, 1 << 40, at(0), (at(5), net.forge.genesis()));
    let status = net.forge.status(traitor, (1 << 40) - 1, V0, V0, at(0));
    net.deliver(1, &question);
    let disposition = net.deliver(1, &status);
    assert_eq!(disposition, Some(logothete::Disposition::Applied));
    // But neither twice.
    let stale = Some(logothete::Disposition::Ignored(logothete::Why::Stale));
    assert_eq!(net.deliver(1, &status), stale);
    assert_eq!(net.deliver(1, &question), stale);
}

#[test]
fn t1_a_request_known_to_one_backup_is_passed_on_until_it_is_heard() {
    // Its client is gone, and what the backup passed on at first was lost.
    let mut net = Net::new(4, 1, 15);
    for other in 0..4 {
        net.cut.insert((3, other));
    }
    let request = net.forge.request(&client_key(0), RequestNumber::new(1), b"order");
    let bytes = net.forge.request_message(&request);
    net.deliver(3, &bytes);
    net.run_for(Duration::from_secs(5));
    net.cut.clear();
    net.run_until(LIMIT, "the request is executed", |net| net.hosts.iter().all(|host| host.executed().len() == 1));
}

#[test]
fn e_no_correct_replica_is_ever_accused() {
    // The traitor shows each vote under its own name only; evidence against others can't be made without their keys.
    let mut net = Net::new(4, 1, 19);
    let key = replica_key(0);
    net.twists.insert(
        0,
        Box::new(move |envelope, forge| {
            let bytes = envelope.encode().to_vec();
            let mut out = vec![(envelope.to(), bytes.clone())];
            if envelope.kind() == MessageKind::PrePrepare {
                for accused in 1..4 {
                    let evidence = forge.evidence(
                        (ReplicaId::new(accused), &key),
                        Kind::Prepare,
                        V0,
                        (SequenceNumber::new(1), forge.genesis()),
                        (SequenceNumber::new(1), logothete::Digest::default()),
                    );
                    out.push((Recipients::AllReplicas, forge.evidence_message(&evidence)));
                }
            }
            out
        }),
    );
    for _ in 0..5 {
        net.submit(0, b"order");
    }
    net.settle(LIMIT, &[1, 2, 3]);
    assert!((1..4).all(|index| net.count_events(index, |event| matches!(event, Event::Evidence(_))) == 0));
}

#[test]
fn t2_the_largest_numbers_in_a_status_do_no_harm() {
    let mut net = Net::new(4, 1, 21);
    net.submit(0, b"order");
    net.settle(LIMIT, &[0, 1, 2, 3]);
    let key = replica_key(3);
    let most = net.forge.status((ReplicaId::new(3), &key), u64::MAX, View::new(u64::MAX), View::new(u64::MAX), at(u64::MAX));
    let least = net.forge.status((ReplicaId::new(3), &key), u64::MAX - 1, V0, V0, at(0));
    (0..3).for_each(|replica| {
        net.deliver(replica, &least);
        net.deliver(replica, &most);
    });
    net.submit(0, b"order");
    net.settle(LIMIT, &[0, 1, 2]);
}

#[test]
fn p5_what_nobody_has_is_asked_for_less_and_less_often() {
    // The primary votes for digests without blocks: nothing is outstanding, so it stays, and the questions must not go on at full pace.
    let mut net = Net::new(4, 1, 22);
    let key = replica_key(0);
    net.down.insert(0);
    for number in 1..=32 {
        let vote = net.forge.vote((ReplicaId::new(0), &key), Kind::Prepare, V0, (at(number), logothete::Digest::new([number as u8; 32])));
        net.deliver(1, &vote);
    }
    net.trace = Some(String::new());
    net.run_for(Duration::from_secs(20));
    let asked =
        net.trace.as_deref().unwrap_or_default().lines().filter(|line| line.contains("send") && line.contains("Fetch by R1")).count();
    assert!((32 * 4..32 * 100).contains(&asked), "{asked} questions in 25 timeouts");
}
