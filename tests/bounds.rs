//! What only those who lag, who are slow or who are asked too often would hold too much of. The flood itself is in `flood.rs`. (I18)

mod support;

use logothete::sim::forge::{Forge, ForgedBlock, ForgedCheckpoint, Kind};
use logothete::{
    AppCommand, Bytes, Cluster, Digest, Disposition, Event, Input, Limits, MessageKind, Outbox, PeerLink, Receipt, Replica, ReplicaId,
    RequestNumber, Time, Tuning, Unverified, Usage, Verifier, View, Why, Write,
};
use std::sync::Arc;
use support::lone::{Lone, lone};
use support::solo::{Solo, T, at, view};
use support::{builder, client_key, replica_key};

const LARGE: usize = 1000;
const P: u64 = 2;
const K: u64 = 4;
const L: u64 = 8;

fn limits() -> Limits {
    Limits {
        message_bytes_max: 70_000,
        batch_bytes_max: 4000,
        operation_bytes_max: LARGE as u32,
        result_bytes_max: LARGE as u32,
        client_window: 32,
        ..Limits::default()
    }
}

/// Four replicas with small numbers: P = 2, K = 4, L = 8.
fn cluster() -> Cluster {
    builder(4, 2).limits(limits()).pipeline(P).checkpoint_interval(K).log_window(L).build().expect("a valid cluster")
}

fn backup() -> Solo {
    Solo::with(cluster(), 1, Tuning::from_timeout(T))
}

fn usage(replica: &Replica) -> Usage {
    let usage = replica.status().usage;
    for (name, part) in usage.entries() {
        assert!(part.bytes <= part.limit, "{name}: {part}");
    }
    usage
}

/// A chain on genesis, each block with the client's next request.
fn chain(forge: &Forge, count: u64, length: usize) -> Vec<ForgedBlock> {
    let mut parent = forge.genesis();
    let blocks = (1..=count).map(|number| {
        let request = forge.request(&client_key(0), RequestNumber::new(number), &vec![7; length]);
        let block = forge.block(at(number), parent, vec![request]);
        parent = block.digest();
        block
    });
    blocks.collect()
}

/// Tells that these blocks are decided.
fn decided(solo: &Solo, block: &ForgedBlock) -> Vec<u8> {
    let certificate = solo.certificate(&[0, 2, 3], Kind::Commit, 0, (block.sequence_number(), block.digest()));
    solo.forge.chain(Some(&certificate), std::slice::from_ref(block))
}

fn verified(cluster: &Arc<Cluster>, bytes: &[u8]) -> Input {
    let unverified = Unverified::decode(PeerLink(0), bytes, cluster.limits()).expect("decodes");
    Input::Message(Verifier::new(cluster.clone()).verify(unverified).expect("verifies"))
}

#[test]
fn i18_who_lags_keeps_no_votes_for_everything_in_between() {
    let mut solo = backup();
    let far = solo.certificate(&[0, 2, 3], Kind::Prepare, 0, (at(100_000), Digest::new([1; 32])));
    assert_eq!(solo.vote(3, Kind::Commit, 0, (at(1), Digest::new([2; 32]))), Disposition::Applied);
    solo.feed_certificate(&far);
    let before = usage(&solo.replica).votes;
    for number in (1..=300).chain(99_000..100_000 - L) {
        let disposition = solo.vote(3, Kind::Commit, 0, (at(number), Digest::new([2; 32])));
        assert_eq!(disposition, Disposition::Ignored(Why::Stale), "{number}");
    }
    assert_eq!(usage(&solo.replica).votes, before, "a traitor's votes below the window of what is certified count for nothing");
    assert_eq!(solo.vote(3, Kind::Commit, 0, (at(100_000 - L), Digest::new([2; 32]))), Disposition::Applied);
}

#[test]
fn i18_old_certificates_of_a_long_view_leave_nothing() {
    let mut solo = backup();
    let certificate = |solo: &Solo, number: u64| solo.certificate(&[0, 2, 3], Kind::Prepare, 0, (at(number), Digest::new([1; 32])));
    let far = certificate(&solo, 100_000);
    solo.feed_certificate(&far);
    let before = usage(&solo.replica);
    solo.records.clear();
    for number in 1..500 {
        let old = certificate(&solo, number);
        solo.feed_certificate(&old);
    }
    assert_eq!(usage(&solo.replica), before);
    assert_eq!(solo.records, [] as [String; 0], "and are not committed any more");
}

#[test]
fn p5_nothing_is_decided_beyond_the_window_before_its_checkpoint_is_known() {
    let mut solo = backup();
    let blocks = chain(&solo.forge, 3 * L, 10);
    for block in &blocks[..L as usize + 4] {
        let proposal = solo.forge.pre_prepare(&solo.keys[0], view(0), block);
        solo.feed(&proposal);
        let chain = decided(&solo, block);
        solo.feed(&chain);
        usage(&solo.replica);
    }
    assert_eq!(solo.replica.status().decided, at(L), "what is above no checkpoint that it knows can't be dropped");
    let orders: Vec<_> = std::mem::take(&mut solo.commands)
        .into_iter()
        .filter_map(|command| match command {
            AppCommand::TakeCheckpoint(order) => Some(order),
            _ => None,
        })
        .collect();
    assert_eq!(orders.iter().map(|order| order.sequence_number()).collect::<Vec<_>>(), [at(K), at(2 * K)]);
    let manifest = orders[1].manifest([]);
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
    solo.feed(&solo.forge.stable_message(&stable));
    assert_eq!(solo.replica.status().stable, at(2 * K));
    assert_eq!(solo.replica.status().decided, at(L + 4), "it goes on from what it holds");
}

/// Backup 1 with a host that does nothing by itself.
struct Slow {
    solo: Solo,
    outbox: Outbox,
}

impl Slow {
    fn hear(&mut self, bytes: &[u8]) -> Disposition {
        let input = verified(&self.solo.cluster, bytes);
        self.step(input)
    }
    fn step(&mut self, input: Input) -> Disposition {
        let disposition = self.solo.replica.step(self.solo.now, input, &mut self.outbox);
        usage(&self.solo.replica);
        disposition
    }
    fn given(&mut self) -> Vec<u64> {
        let executes = |command| match command {
            AppCommand::Execute(decision) => Some(decision.sequence_number().get()),
            _ => None,
        };
        self.outbox.app().into_iter().filter_map(executes).collect()
    }
    fn executed(&mut self, number: u64, length: usize) {
        self.step(Input::Executed { sequence_number: at(number), results: vec![Bytes::from(vec![7; length])] });
    }
    fn receipts(&mut self) -> Vec<Receipt> {
        let writes: Vec<Write> = self.outbox.writes();
        writes.into_iter().map(|write| write.persisted().sign(&replica_key(1)).expect("signed").1).collect()
    }
}

#[test]
fn i18_of_what_a_primary_alone_votes_for_little_is_asked_for_at_a_time_and_what_is_certified_beside_it() {
    let cluster = builder(4, 2).checkpoint_interval(512).log_window(1024).pipeline(1024).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    let phantom = |number: u64| (at(number), Digest::new([number as u8; 32]));
    for number in 1..=200 {
        solo.vote(0, Kind::Prepare, 0, phantom(number));
    }
    let certificate = solo.certificate(&[0, 2, 3], Kind::Prepare, 0, phantom(201));
    solo.feed_certificate(&certificate);
    for _ in 0..2 {
        solo.sent.clear();
        solo.pass(T / 32);
        let words = solo.words();
        let asked = |what: &str| words.iter().filter(|words| words.contains("Fetch") && words.contains(what)).count();
        assert_eq!((asked(""), asked("n201")), (65, 1), "{words:?}");
        assert!(solo.replica.deadline().is_some_and(|deadline| deadline > solo.now), "what is not asked for wakes nobody");
    }
}

#[test]
fn i18_the_service_is_given_a_pipeline_at_a_time() {
    let mut slow = Slow { solo: backup(), outbox: Outbox::new() };
    let mut blocks = chain(&slow.solo.forge, L, LARGE);
    blocks.reverse();
    let certificate = slow.solo.certificate(&[0, 2, 3], Kind::Commit, 0, (at(L), blocks[0].digest()));
    let chain = slow.solo.forge.chain(Some(&certificate), &blocks);
    slow.hear(&chain);
    assert_eq!(slow.solo.replica.status().decided, at(L));
    assert_eq!(slow.given(), [] as [u64; 0], "none of them is on a durable record");
    let mut receipts = slow.receipts();
    let high = receipts.pop().expect("the certificate's");
    for receipt in receipts {
        slow.step(Input::Persisted(receipt));
    }
    assert_eq!(slow.given(), [1, 2]);
    slow.executed(2, LARGE);
    assert_eq!(usage(&slow.solo.replica).results.bytes, LARGE as u64 + 250, "a result that came too early is counted");
    assert_eq!(slow.given(), [] as [u64; 0], "it still has the first");
    slow.executed(1, LARGE);
    assert_eq!(slow.given(), [3, 4], "then it gets more");
    let waiting = usage(&slow.solo.replica).results.bytes;
    assert_eq!(waiting, 2 * (LARGE as u64 + 250), "replies that wait for the disk");
    slow.step(Input::Persisted(high));
    assert_eq!(usage(&slow.solo.replica).results.bytes, 0);
}

#[test]
fn i18_while_the_disk_is_behind_no_more_is_recorded_and_then_it_goes_on() {
    let mut slow = Slow { solo: backup(), outbox: Outbox::new() };
    let blocks = chain(&slow.solo.forge, 300, 10);
    let (mut number, mut receipts) = (0, Vec::new());
    // Views without end, each entered by a certificate of its own and decided in; and checkpoints on the way. The disk does nothing.
    for in_view in 0..4000 {
        let block = &blocks[number];
        let position = (block.sequence_number(), block.digest());
        let certificate = slow.solo.certificate(&[0, 2, 3], Kind::Commit, in_view, position);
        let chain = slow.solo.forge.chain(Some(&certificate), std::slice::from_ref(block));
        slow.hear(&chain);
        slow.given().into_iter().for_each(|given| slow.executed(given, 10));
        if slow.solo.replica.status().decided > at(number as u64) && number as u64 % L != L - 1 {
            number += 1;
        }
        if slow.solo.replica.status().view.get() + 10 < in_view {
            break;
        }
    }
    let log = usage(&slow.solo.replica).log;
    let status = slow.solo.replica.status();
    assert!(log.bytes > 8 * 70_000 && log.bytes < 9 * 70_000, "{log}");
    // Nor does it help who has lost its log, although the view has lasted, until it can.
    slow.solo.now = slow.solo.now.after(T);
    let lost = slow.solo.forge.rejoin(slow.solo.as_traitor(3), [1; 32]);
    slow.hear(&lost);
    assert_eq!(slow.solo.replica.status().wish, status.wish);
    receipts.append(&mut slow.receipts());
    for receipt in receipts {
        slow.step(Input::Persisted(receipt));
    }
    slow.solo.now = slow.solo.now.after(Tuning::default().status_interval);
    slow.hear(&lost);
    assert!(slow.solo.replica.status().wish > status.wish);
    // What it would not hear is told again.
    let again = slow.solo.certificate(&[0, 2, 3], Kind::Commit, 5000, (at(number as u64 + 1), blocks[number].digest()));
    let again = slow.solo.forge.chain(Some(&again), std::slice::from_ref(&blocks[number]));
    slow.hear(&again);
    assert!(slow.solo.replica.status().view.get() == 5000 && slow.solo.replica.status().decided >= status.decided);
}

#[test]
fn d1_a_long_chain_is_recorded_before_the_first_vote_on_it_as_the_disk_follows() {
    const LONG: u64 = 900;
    let cluster = builder(4, 2).limits(limits()).pipeline(P).checkpoint_interval(K).log_window(1024).build().expect("a valid cluster");
    let mut slow = Slow { solo: Solo::with(cluster, 1, Tuning::from_timeout(T)), outbox: Outbox::new() };
    let mut blocks = chain(&slow.solo.forge, LONG, LARGE);
    let last = blocks.pop().expect("a block");
    let certified = blocks.last().map(|block| (block.sequence_number(), block.digest())).expect("a block");
    let certificate = slow.solo.certificate(&[0, 2, 3], Kind::Prepare, 0, certified);
    let bytes = slow.solo.forge.certificate_message(&certificate);
    slow.hear(&bytes);
    blocks.reverse();
    for part in blocks.chunks(40) {
        let chain = slow.solo.forge.chain(None, part);
        assert_eq!(slow.hear(&chain), Disposition::Applied);
    }
    assert_eq!(slow.solo.replica.status().head, certified.0);
    let proposal = slow.solo.forge.pre_prepare(&slow.solo.keys[0], View::new(0), &last);
    slow.hear(&proposal);
    let votes = |writes: &[Write]| writes.iter().filter(|write| write.to_string().contains(&format!("Prepare v0 n{LONG} "))).count();
    let mut rounds = 0;
    loop {
        // As much as may wait, and no more; nothing is voted for before the disk has it.
        assert!(usage(&slow.solo.replica).log.bytes <= 9 * 70_000);
        let writes: Vec<Write> = slow.outbox.writes();
        let voted = votes(&writes);
        for write in writes {
            let (_, receipt) = write.persisted().sign(&replica_key(1)).expect("signed");
            slow.step(Input::Persisted(receipt));
        }
        rounds += 1;
        if voted > 0 {
            break;
        }
        assert!(rounds < 10, "{:?}", slow.solo.replica.status());
    }
    assert!(rounds > 1, "more than may wait had to be recorded");
}

#[test]
fn i18_while_the_disk_is_behind_nothing_is_decided() {
    // A window that holds more than the disk may owe.
    let solo = Solo::with(
        builder(4, 2).limits(limits()).pipeline(P).log_window(512).build().expect("a valid cluster"),
        1,
        Tuning::from_timeout(T),
    );
    let mut slow = Slow { solo, outbox: Outbox::new() };
    for block in &chain(&slow.solo.forge, 512, LARGE) {
        let proposal = slow.solo.forge.pre_prepare(&slow.solo.keys[0], view(0), block);
        slow.hear(&proposal);
        let chain = decided(&slow.solo, block);
        slow.hear(&chain);
        if slow.solo.replica.status().decided < block.sequence_number() {
            break;
        }
    }
    let status = slow.solo.replica.status();
    assert!(status.usage.log.bytes > 8 * 70_000 && status.usage.log.bytes < 9 * 70_000, "{}", status.usage.log);
    assert!(status.decided > at(100) && status.decided < at(500), "{status:?}");
    for receipt in slow.receipts() {
        slow.step(Input::Persisted(receipt));
    }
    assert_eq!(slow.solo.replica.status().decided, status.decided.next(), "what it held meanwhile is decided when the disk has caught up");
}

#[test]
fn s2_an_old_request_is_answered_once_in_an_interval() {
    let mut solo = backup();
    let blocks = chain(&solo.forge, 3, LARGE);
    for block in &blocks {
        let chain = decided(&solo, block);
        solo.feed(&chain);
    }
    let answers = |solo: &mut Solo, number: usize| {
        solo.sent.clear();
        for _ in 0..100 {
            let old = solo.forge.request_message(&blocks[number].requests()[0]);
            solo.feed(&old);
        }
        solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Reply).count()
    };
    assert_eq!((answers(&mut solo, 0), answers(&mut solo, 1)), (1, 1), "each number has its own");
    assert_eq!(answers(&mut solo, 0), 0);
    solo.pass(T / 8);
    assert_eq!(answers(&mut solo, 0), 1, "and again after a status interval");
}

#[test]
fn s2_an_old_request_is_answered_also_in_the_first_interval_of_all() {
    // By a clock that began with the process.
    let mut solo = Solo::with(cluster(), 1, Tuning { status_interval: 1000 * T, ..Tuning::from_timeout(T) });
    let block = chain(&solo.forge, 1, LARGE).remove(0);
    let bytes = decided(&solo, &block);
    solo.feed(&bytes);
    solo.sent.clear();
    let old = solo.forge.request_message(&block.requests()[0]);
    let seen: Vec<Disposition> = (0..2).map(|_| solo.feed(&old)).collect();
    assert_eq!(seen, [Disposition::Ignored(Why::Stale); 2]);
    assert_eq!(solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Reply).count(), 1);
}

#[test]
fn i18_whatever_a_quorum_stands_behind_up_to_a_window_is_taken() {
    let limits =
        Limits { message_bytes_max: 70_000, batch_bytes_max: 4200, operation_bytes_max: 3800, result_bytes_max: 3800, ..Limits::default() };
    let cluster = builder(4, 2).limits(limits).pipeline(P).checkpoint_interval(K).log_window(64).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    // No proposal of its view is known that would make room.
    solo.wants(&[0, 2, 3], 2);
    let blocks = chain(&solo.forge, 64, 3800);
    let top = blocks.last().expect("64");
    let certificate = solo.certificate(&[0, 2, 3], Kind::Commit, 0, (top.sequence_number(), top.digest()));
    solo.feed_certificate(&certificate);
    for block in blocks.iter().rev() {
        let bytes = solo.forge.chain(None, std::slice::from_ref(block));
        assert_eq!(solo.feed(&bytes), Disposition::Applied, "{}", block.sequence_number());
        usage(&solo.replica);
    }
    assert_eq!(solo.replica.status().decided, at(64));
}

#[test]
fn c3_questions_for_a_manifest_are_counted_before_they_cost_anything() {
    let mut solo = backup();
    for block in &chain(&solo.forge, K, 10) {
        let chain = decided(&solo, block);
        solo.feed(&chain);
    }
    let order = std::mem::take(&mut solo.commands).into_iter().find_map(|command| match command {
        AppCommand::TakeCheckpoint(order) => Some(order),
        _ => None,
    });
    let manifest = order.expect("a snapshot was ordered").manifest([Digest::new([1; 32])]);
    let state = solo.forge.checkpoint_of(&manifest).state;
    solo.step(Input::CheckpointTaken(manifest));
    let ask = |solo: &mut Solo, ordinal: u64, state: Digest| {
        let question = solo.forge.fetch_manifest(solo.as_traitor(3), ordinal, at(K), state);
        solo.sent.clear();
        solo.feed(&question);
        solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Manifest).count()
    };
    assert_eq!(ask(&mut solo, 1, state), 1);
    for ordinal in 2..=64 {
        assert_eq!(ask(&mut solo, ordinal, Digest::new([2; 32])), 0);
    }
    assert_eq!(ask(&mut solo, 65, state), 0, "64 answers are looked for in an interval, found or not");
    solo.pass(T / 8);
    assert_eq!(ask(&mut solo, 66, state), 1);
}

fn node(cluster: &Arc<Cluster>) -> Lone {
    // Two requests of each client may wait.
    lone(cluster, Tuning { pool_bytes_max: 5000, ..Tuning::from_timeout(T) })
}

#[test]
fn i18_an_inbox_counts_what_tiny_messages_take() {
    let cluster = Arc::new(cluster());
    let mut node = node(&cluster);
    // A part of a snapshot without content: nothing shorter decodes, and nobody need have signed it.
    let tiny = Forge::new(cluster.clone()).chunk(b"");
    let size = Unverified::decode(PeerLink(0), &tiny, cluster.limits()).expect("decodes").size();
    assert!(size > 10 * tiny.len(), "{size}");
    let room = 64 * 1024 * 1024 / size;
    for _ in 0..room + 1000 {
        node.receive(PeerLink(0), &tiny).expect("decodes");
    }
    assert!((999..=1001).contains(&node.counters().overflowed), "{:?}", node.counters());
    while node.deadline() == Some(Time::default()) {
        node.run(Time(1)).expect("runs");
    }
    node.receive(PeerLink(0), &tiny).expect("decodes");
    assert_eq!(node.counters().overflowed, 1000, "and it is empty again");
}

#[test]
fn i18_events_that_nobody_asks_for_are_bounded_and_refusals_cost_no_other() {
    let cluster = Arc::new(builder(4, 12).build().expect("a valid cluster"));
    let forge = Forge::new(cluster.clone());
    let mut node = lone(&cluster, Tuning { pool_bytes_max: 5000, ..Tuning::from_timeout(T) });
    let lie = |digest: u8| forge.vote((ReplicaId::new(3), &replica_key(3)), Kind::Prepare, view(0), (at(1), Digest::new([digest; 32])));
    for bytes in [lie(1), lie(2)] {
        node.receive(PeerLink(3), &bytes).expect("decodes");
    }
    node.run(Time(1)).expect("runs");
    // All in one turn: later on there is no room for them, and they are not even looked at.
    for (client, number) in (0..12).flat_map(|client| (2..=512).map(move |number| (client, number))) {
        let request = forge.request(&client_key(client), RequestNumber::new(number), &[7; 1000]);
        node.receive(PeerLink(9 + client as u64), &forge.request_message(&request)).expect("decodes");
    }
    node.run(Time(2)).expect("runs");
    let events = node.events();
    assert_eq!(events.len(), 4096);
    assert!(node.counters().events_lost > 1000, "{:?}", node.counters());
    assert!(events.iter().any(|event| matches!(event, Event::Evidence(_))), "the proof is still among them");
}

#[test]
fn i18_a_thousand_refusals_are_kept_for_a_host_that_does_not_ask_and_all_are_counted() {
    let cluster = Arc::new(cluster());
    let mut node = node(&cluster);
    let forge = Forge::new(cluster.clone());
    let lie = forge.vote((ReplicaId::new(3), &replica_key(2)), Kind::Prepare, view(0), (at(1), Digest::new([1; 32])));
    for link in 0..1030 {
        node.receive(PeerLink(link), &lie).expect("decodes");
        node.run(Time(1)).expect("runs");
    }
    assert_eq!((node.counters().refused, node.refusals().len(), node.refusals().len()), (1030, 1024, 0));
}

#[test]
fn i18_a_load_of_bad_votes_is_not_looked_at_once_for_each_of_them() {
    // All for one statement that this replica has no vote for, each of another member by its own word; no signature is good.
    let cluster = Arc::new(builder(4, 1).build().expect("a valid cluster"));
    let forge = Forge::new(cluster.clone());
    let bad: Vec<_> = (0..6000_u32)
        .map(|index| {
            let vote =
                forge.vote((ReplicaId::new(3), &client_key(index as usize % 200)), Kind::Prepare, view(0), (at(1), Digest::new([1; 32])));
            Unverified::decode(PeerLink(0), &vote, cluster.limits()).expect("decodes")
        })
        .collect();
    let solo = Solo::with(builder(4, 1).build().expect("a valid cluster"), 1, Tuning::from_timeout(T));
    let (looks, looked_at) = looks(&solo, bad, 6000);
    assert!(looks <= 12, "{looks} looks, not 2000");
    assert!(looked_at < 13 * 6000, "{looked_at}");
}

#[test]
fn i18_a_load_of_bad_requests_of_one_number_is_not_looked_at_once_for_each_of_them() {
    // In the name of somebody who is not enrolled, or of a client with another's signature: whoever may connect may send these.
    let solo = Solo::new(4, 1);
    let bad = |operation: u32| {
        let bytes = solo.forge.request_message(&solo.forge.request(&replica_key(3), RequestNumber::new(1), &operation.to_le_bytes()));
        Unverified::decode(PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes")
    };
    let (looks, looked_at) = looks(&solo, (0..6000).map(bad).collect(), 6000);
    assert!(looks <= 13, "{looks} looks, not 6000");
    assert!(looked_at < 14 * 6000, "{looked_at}");
}

#[test]
fn i18_a_node_looks_at_such_a_load_a_few_times_over_however_many_connections_it_comes() {
    let cluster = Arc::new(cluster());
    let (mut node, forge) = (node(&cluster), Forge::new(cluster.clone()));
    for link in 0..1000_u64 {
        let bytes = forge.request_message(&forge.request(&replica_key(3), RequestNumber::new(1), &link.to_le_bytes()));
        node.receive(PeerLink(link), &bytes).expect("decodes");
    }
    let before = logothete::sim::looks();
    while node.counters().refused < 1000 {
        node.run(Time(1)).expect("runs");
    }
    let looked_at = logothete::sim::looks() - before;
    assert!((1000..40 * 1000).contains(&looked_at), "{looked_at}, not half of 1000 · 1000");
}

/// Looks at a load of which nothing turns out to be good, until nothing is left of it: how often, and at how many messages in all.
fn looks(solo: &Solo, mut waiting: Vec<Unverified>, count: usize) -> (u32, usize) {
    let (mut looks, mut looked_at, mut verified) = (0, 0, 0);
    while !waiting.is_empty() {
        looked_at += waiting.len();
        let triage = solo.replica.screen().triage_again(waiting, looks);
        looks += 1;
        verified += triage.needed.len();
        waiting = triage.spare;
    }
    assert_eq!(verified, count, "each once: a good one may be the last");
    (looks, looked_at)
}

#[test]
fn i18_who_decides_what_a_checkpoint_has_made_stable_before_keeps_no_more_of_it_than_others() {
    let tuning = Tuning { retention: 0, retention_bytes_max: 0, ..Tuning::from_timeout(T) };
    let mut solo = Solo::with(cluster(), 1, tuning);
    let blocks = chain(&solo.forge, 2 * L, LARGE);
    let stable = blocks[L as usize - 1].clone();
    let checkpoint = ForgedCheckpoint { position: (stable.sequence_number(), stable.digest()), state: Digest::new([1; 32]) };
    let certificate = solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint);
    let bytes = solo.forge.stable_message(&certificate);
    solo.feed(&bytes);
    for block in &blocks {
        let bytes = decided(&solo, block);
        solo.feed(&bytes);
        usage(&solo.replica);
    }
    let status = solo.replica.status();
    assert_eq!((status.stable, status.decided, status.floor), (at(L), at(2 * L), at(L)));
}
