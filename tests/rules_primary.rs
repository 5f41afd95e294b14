//! P1, T1, S1: the primary's part, and what waits for it; one replica among forged messages.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, Seen};
use logothete::{Disposition, Event, Input, Limits, MessageKind, Outbox, RequestNumber, Tuning, View, Why};
use support::solo::{Solo, T, at};
use support::{builder, client_key};

/// The primary of view 0, of four, with this pipeline and so many requests in a batch.
fn primary(pipeline: u64, batch_requests_max: u32) -> Solo {
    let limits = Limits { batch_requests_max, ..Limits::default() };
    let cluster = builder(4, 2).pipeline(pipeline).limits(limits).build().expect("a valid cluster");
    Solo::with(cluster, 0, Tuning::from_timeout(T))
}

/// What was proposed since the last look.
fn proposed(solo: &mut Solo) -> Vec<ForgedBlock> {
    let sent = std::mem::take(&mut solo.sent);
    sent.iter()
        .filter_map(|envelope| match solo.forge.read(&envelope.encode()) {
            Ok(Seen::PrePrepare { block, .. }) => Some(block),
            _ => None,
        })
        .collect()
}

/// Client and number of each request in it.
fn requests(block: &ForgedBlock) -> Vec<(usize, u64)> {
    let index = |request: &logothete::Request| usize::from(request.client().as_bytes() != &client_key(0).verifying_key().to_bytes());
    block.requests().iter().map(|request| (index(request), request.number().get())).collect()
}

fn certify(solo: &mut Solo, block: &ForgedBlock) {
    let certificate = solo.certificate(&[1, 2, 3], Prepare, 0, (block.sequence_number(), block.digest()));
    solo.feed_certificate(&certificate);
}

#[test]
fn p1_a_primary_proposes_a_pipeline_and_each_request_once() {
    let mut solo = primary(4, 1000);
    for number in 1..=9 {
        solo.ask(0, number);
        // Each in a load of its own.
        solo.step(Input::Timer);
    }
    let blocks = proposed(&mut solo);
    let first: Vec<_> = blocks.iter().map(requests).collect();
    assert_eq!(first, [[(0, 1)], [(0, 2)], [(0, 3)], [(0, 4)]], "at once, while there is room");
    certify(&mut solo, &blocks[0]);
    let blocks = proposed(&mut solo);
    assert_eq!(blocks.iter().map(requests).collect::<Vec<_>>(), [[5, 6, 7, 8, 9].map(|number| (0, number))], "what has gathered");
    certify(&mut solo, &blocks[0]);
    assert_eq!(proposed(&mut solo).len(), 0, "nothing waits any more");
}

#[test]
fn p1_what_is_under_way_is_not_proposed_again_when_what_was_before_it_is_decided() {
    let mut solo = primary(8, 1000);
    for number in 1..=3 {
        solo.ask(0, number);
        solo.step(Input::Timer);
    }
    let blocks = proposed(&mut solo);
    assert_eq!(blocks.iter().map(requests).collect::<Vec<_>>(), [[(0, 1)], [(0, 2)], [(0, 3)]]);
    let certificate = solo.certificate(&[1, 2, 3], Commit, 0, (at(1), blocks[0].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().decided, at(1));
    solo.ask(0, 4);
    solo.step(Input::Timer);
    assert_eq!(proposed(&mut solo).iter().map(requests).collect::<Vec<_>>(), [[(0, 4)]]);
}

#[test]
fn p1_what_comes_in_one_load_goes_into_one_batch() {
    let mut solo = primary(4, 8);
    let mut outbox = Outbox::new();
    let load = |solo: &mut Solo, client: usize, numbers: std::ops::RangeInclusive<u64>, outbox: &mut Outbox| {
        for number in numbers {
            let request = solo.forge.request(&client_key(client), RequestNumber::new(number), b"order");
            let bytes = solo.forge.request_message(&request);
            solo.feed_into(&bytes, outbox);
        }
    };
    let blocks = |solo: &mut Solo, outbox: &mut Outbox| -> Vec<Vec<u64>> {
        for write in outbox.writes() {
            let (envelopes, _) = write.persisted().sign(&solo.keys[0]).expect("signed");
            solo.sent.extend(envelopes);
        }
        proposed(solo).iter().map(|block| requests(block).iter().map(|(_, number)| *number).collect()).collect()
    };
    load(&mut solo, 0, 1..=3, &mut outbox);
    assert_eq!(blocks(&mut solo, &mut outbox), [[1]], "nothing was under way");
    assert_eq!(solo.replica.deadline(), Some(solo.now), "the rest goes out as soon as nothing more has come");
    solo.replica.step(solo.now, Input::Timer, &mut outbox);
    assert_eq!(blocks(&mut solo, &mut outbox), [[2, 3]]);
    assert!(solo.replica.deadline() > Some(solo.now), "and nothing is due any more");
    load(&mut solo, 1, 1..=8, &mut outbox);
    assert_eq!(blocks(&mut solo, &mut outbox), [[1, 2, 3, 4, 5, 6, 7, 8]], "a full batch waits for nothing");
    load(&mut solo, 0, 4..=5, &mut outbox);
    assert_eq!(blocks(&mut solo, &mut outbox), [[0; 0]; 0]);
    // Any other input is an end of the load too.
    solo.replica.step(solo.now, Input::Executed { sequence_number: at(9), results: Vec::new() }, &mut outbox);
    assert_eq!(blocks(&mut solo, &mut outbox), [[4, 5]]);
    // Who is primary no more has nothing to hold back.
    solo.wants(&[1], 1);
    load(&mut solo, 0, 6..=7, &mut outbox);
    solo.wants(&[2], 1);
    assert_eq!((solo.replica.status().view, solo.replica.status().normal), (View::new(1), false));
    solo.step(Input::Timer);
    assert!(solo.replica.deadline() > Some(solo.now));
}

#[test]
fn p1_a_batch_holds_what_it_may_and_takes_clients_in_turn() {
    let mut solo = primary(1, 3);
    for client in [0, 1] {
        for number in 1..=3 {
            solo.ask(client, number);
        }
    }
    let mut batches = Vec::new();
    while let [block] = &proposed(&mut solo)[..] {
        batches.push(requests(block));
        certify(&mut solo, block);
    }
    assert_eq!(batches, [vec![(0, 1)], vec![(1, 1), (0, 2), (1, 2)], vec![(0, 3), (1, 3)]]);
}

#[test]
fn p1_a_batch_is_as_long_as_it_may_be_and_no_longer() {
    let limits = Limits { batch_bytes_max: 1032, operation_bytes_max: 380, ..Limits::default() };
    let cluster = builder(4, 2).pipeline(1).limits(limits).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 0, Tuning::from_timeout(T));
    for number in 1..=4 {
        let request = solo.forge.request(&client_key(0), RequestNumber::new(number), &[0; 380]);
        let bytes = solo.forge.request_message(&request);
        solo.feed(&bytes);
    }
    let first = proposed(&mut solo).remove(0);
    certify(&mut solo, &first);
    let second = proposed(&mut solo).remove(0);
    assert_eq!((requests(&first).len(), requests(&second).len()), (1, 2), "two take all of 1032 bytes");
}

#[test]
fn s1_what_is_decided_leaves_the_pool_and_nothing_else_does() {
    let mut solo = Solo::new(4, 1);
    for number in [1, 2, 4] {
        solo.ask(0, number);
    }
    let block = solo.blocks(1).remove(0);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    let chain = solo.forge.chain(Some(&certificate), &[block]);
    solo.feed(&chain);
    assert_eq!((solo.decisions.len(), solo.replica.status().pool_requests), (1, 2));
}

#[test]
fn p1_a_new_primary_proposes_nothing_that_is_on_its_views_chain_already() {
    let mut solo = Solo::new(4, 1);
    for number in 1..=3 {
        solo.ask(0, number);
    }
    let blocks = solo.blocks(2);
    for block in &blocks {
        solo.propose(0, block);
    }
    let position = (at(2), blocks[1].digest());
    let prepared = solo.certificate(&[0, 2, 3], Prepare, 0, position);
    for member in [0, 2] {
        let change = solo.forge.view_change(solo.as_traitor(member), View::new(1), Some(&prepared));
        let bytes = solo.forge.view_change_message(&change);
        solo.feed(&bytes);
    }
    assert_eq!((solo.replica.status().view, solo.replica.status().head), (View::new(1), at(2)));
    assert_eq!(proposed(&mut solo).len(), 0, "c is not known");
    let opened = solo.certificate(&[0, 2, 3], Prepare, 1, position);
    solo.feed_certificate(&opened);
    let batches: Vec<_> = proposed(&mut solo).iter().filter(|block| block.sequence_number() > at(2)).map(requests).collect();
    assert_eq!(batches, [[(0, 3)]], "1 and 2 are in batches that nobody has decided yet");
}

#[test]
fn p1_what_could_not_be_proposed_is_proposed_when_it_can() {
    let mut solo = primary(4, 1000);
    solo.ask(0, 2);
    assert_eq!(proposed(&mut solo).len(), 0, "1 comes first");
    let block = solo.blocks(1).remove(0);
    let certificate = solo.certificate(&[1, 2, 3], Commit, 0, (at(1), block.digest()));
    let chain = solo.forge.chain(Some(&certificate), &[block]);
    solo.feed(&chain);
    let batches: Vec<_> = proposed(&mut solo).iter().map(requests).collect();
    assert_eq!(batches, [[(0, 2)]], "whoever proposed 1");
}

#[test]
fn p1_a_primary_proposes_nothing_above_a_gap() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(2);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 1, (at(2), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    for number in 1..=3 {
        solo.ask(0, number);
    }
    assert_eq!((solo.replica.status().head, proposed(&mut solo).len()), (at(2), 0), "what is below it may hold anything");
    let chain = solo.forge.chain(None, &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    assert_eq!(proposed(&mut solo).iter().map(requests).collect::<Vec<_>>(), [[(0, 3)]]);
}

#[test]
fn c3_a_primary_below_the_stable_checkpoint_proposes_nothing() {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 0, Tuning::from_timeout(T));
    let mut blocks = solo.blocks(4);
    let manifest = solo.forge.manifest((at(4), blocks[3].digest()), &[], &[]);
    let stable = solo.forge.stable(&solo.members(&[1, 2, 3]), solo.forge.checkpoint_of(&manifest));
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    blocks.reverse();
    let chain = solo.forge.chain(None, &blocks);
    solo.feed(&chain);
    assert_eq!((solo.replica.status().decided, solo.replica.status().head), (at(4), at(0)));
    solo.ask(0, 5);
    assert_eq!(proposed(&mut solo).len(), 0, "its view's chain has not led it there");
    let certificate = solo.certificate(&[1, 2, 3], Prepare, 0, (at(4), blocks[0].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(proposed(&mut solo).iter().map(requests).collect::<Vec<_>>(), [[(0, 5)]]);
}

#[test]
fn t1_each_request_is_passed_on_in_its_own_time() {
    // A backup: nothing is proposed.
    let mut solo = Solo::with(builder(4, 2).build().expect("a valid cluster"), 1, Tuning::from_timeout(T));
    let passed_on =
        |solo: &mut Solo| std::mem::take(&mut solo.sent).iter().filter(|envelope| envelope.kind() == MessageKind::Request).count();
    solo.ask(0, 1);
    solo.pass(T / 4);
    solo.ask(1, 1);
    solo.pass(T / 4);
    assert_eq!(passed_on(&mut solo), 1, "the first one, after half a timeout");
    solo.pass(T / 4);
    assert_eq!(passed_on(&mut solo), 1, "the second one, which does not wait for the first one's next turn");
}

#[test]
fn s3_a_request_that_was_signed_with_others_is_passed_on_and_proposed_as_it_came() {
    for me in [0, 1] {
        let mut solo = Solo::with(builder(4, 2).build().expect("a valid cluster"), me, Tuning::from_timeout(T));
        let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[b"a", b"b", b"c", b"d", b"e"]);
        let whole: Vec<Vec<u8>> = run.iter().map(|request| solo.forge.request_message(request)).collect();
        // The others never come.
        solo.feed(&whole[0]);
        solo.pass(T / 2);
        let sent = std::mem::take(&mut solo.sent);
        if me == 0 {
            let proposal = sent.iter().find(|envelope| envelope.kind() == MessageKind::PrePrepare).expect("proposed").encode();
            assert!(proposal.windows(whole[0].len() - 4).any(|part| part == &whole[0][4..]));
            solo.verified(&proposal);
        } else {
            let passed_on: Vec<_> = sent.iter().filter(|envelope| envelope.kind() == MessageKind::Request).collect();
            assert_eq!(passed_on.iter().map(|envelope| envelope.encode().to_vec()).collect::<Vec<_>>(), whole[..1]);
        }
    }
}

#[test]
fn s3_the_same_request_alone_or_signed_with_others_anew_is_a_duplicate() {
    let mut solo = Solo::with(builder(4, 2).build().expect("a valid cluster"), 0, Tuning::from_timeout(T));
    let of = |operations: &[&[u8]], first: u64, place: usize| {
        let run = solo.forge.run(&client_key(0), RequestNumber::new(first), operations);
        solo.forge.request_message(&run[place])
    };
    let shapes = [of(&[b"a", b"b"], 1, 1), of(&[b"b"], 2, 0), of(&[b"b", b"c", b"d"], 2, 0), of(&[b"other"], 2, 0)];
    let first = of(&[b"a"], 1, 0);
    assert_eq!(solo.feed(&shapes[0]), Disposition::Applied);
    for shape in &shapes {
        assert_eq!(solo.feed(shape), Disposition::Ignored(Why::Duplicate));
    }
    solo.feed(&first);
    solo.step(Input::Timer);
    let block = proposed(&mut solo).remove(0);
    assert_eq!(requests(&block), [(0, 1), (0, 2)]);
    // What is proposed and decided in one shape is so in every other.
    let certificate = solo.certificate(&[1, 2, 3], Commit, 0, (block.sequence_number(), block.digest()));
    solo.feed_certificate(&certificate);
    for shape in &shapes {
        solo.feed(shape);
    }
    solo.step(Input::Timer);
    assert_eq!((proposed(&mut solo).len(), solo.replica.status().pool_requests), (0, 0));
}

#[test]
fn p1_a_closed_window_is_told_once() {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(4).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 0, Tuning::from_timeout(T));
    for number in 1..=8 {
        solo.ask(0, number);
        solo.step(Input::Timer);
    }
    let told = |solo: &Solo| solo.events.iter().filter(|event| matches!(event, Event::WindowClosed { .. })).count();
    assert_eq!((solo.replica.status().head, told(&solo)), (at(4), 1));
    // A stable checkpoint opens it, and it closes again.
    let second = proposed(&mut solo).remove(1);
    let certificate = solo.certificate(&[1, 2, 3], Commit, 0, (at(2), second.digest()));
    solo.feed_certificate(&certificate);
    let manifest = solo.take_checkpoint(b"the state").expect("ordered");
    let stable = solo.forge.stable(&solo.members(&[1, 2, 3]), solo.forge.checkpoint_of(&manifest));
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    for number in 9..=10 {
        solo.ask(0, number);
        solo.step(Input::Timer);
    }
    assert_eq!((solo.replica.status().head, told(&solo)), (at(6), 2));
}

#[test]
fn p1_a_closed_window_is_told_by_backups_too() {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(4).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    let told = |solo: &Solo| solo.events.iter().filter(|event| matches!(event, Event::WindowClosed { .. })).count();
    for block in &solo.blocks(4) {
        assert_eq!(told(&solo), 0);
        solo.propose(0, block);
    }
    assert_eq!((solo.replica.status().head, told(&solo)), (at(4), 1));
}

#[test]
fn p1_a_primary_that_starts_again_proposes_nothing_twice() {
    let mut solo = primary(4, 1000);
    solo.ask(0, 1);
    solo.step(Input::Timer);
    assert_eq!(proposed(&mut solo).iter().map(requests).collect::<Vec<_>>(), [[(0, 1)]]);
    solo.restart();
    solo.sent.clear();
    solo.ask(0, 1);
    solo.ask(0, 2);
    solo.step(Input::Timer);
    let blocks = proposed(&mut solo);
    let new: Vec<_> = blocks.iter().filter(|block| block.sequence_number() > at(1)).map(requests).collect();
    assert_eq!(new, [[(0, 2)]], "what stands in its chain already is not proposed again");
}
