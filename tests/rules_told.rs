//! V1, V2, D1, C2: what is on record before others are told of it, and before it counts; one replica among forged messages.

mod support;

use logothete::sim::forge::Kind::Commit;
use logothete::{AppCommand, Input, Outbox, RequestNumber, SequenceNumber, Tuning, View, Write};
use support::solo::{Solo, T, view};
use support::{builder, client_key};

/// Replica 1 of 4. K = 2, L = 8, P = 4.
fn backup() -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 1, Tuning::from_timeout(T))
}

/// How many Statuses are told now.
fn statuses(outbox: &mut Outbox) -> usize {
    outbox.drain().filter(|output| output.to_string().contains("Status")).count()
}

#[test]
fn v1_a_wish_is_on_record_before_anybody_is_told_of_it() {
    let mut solo = backup();
    solo.wants(&[2], 1);
    // Requests that wait make it lose patience.
    let request = solo.forge.request(&client_key(0), RequestNumber::new(1), b"order");
    let bytes = solo.forge.request_message(&request);
    solo.feed(&bytes);
    solo.words();
    solo.records.clear();
    let mut outbox = Outbox::new();
    solo.now = solo.now.after(2 * T);
    solo.replica.step(solo.now, Input::Timer, &mut outbox);
    assert_eq!(solo.replica.status().wish, view(1));
    let outputs: Vec<String> = outbox.drain().map(|output| output.to_string()).collect();
    assert!(outputs.iter().any(|output| output.contains("Wish v1")), "{outputs:?}");
    assert!(!outputs.iter().any(|output| output.contains("Status")), "not told yet: {outputs:?}");
    assert_eq!(View::new(1), solo.replica.status().wish);
}

#[test]
fn d1_a_receipt_is_for_its_record_and_those_below() {
    let mut solo = backup();
    let mut outbox = Outbox::new();
    let block = solo.blocks(1).remove(0);
    let proposal = solo.forge.pre_prepare(&solo.keys[0], view(0), &block);
    solo.feed_into(&proposal, &mut outbox);
    solo.now = solo.now.after(2 * T);
    solo.replica.step(solo.now, Input::Timer, &mut outbox);
    let mut writes = outbox.writes();
    assert_eq!(writes.iter().map(Write::index).collect::<Vec<_>>(), [1, 2], "a vote, and a wish");
    let wish = writes.split_off(1);
    solo.make_durable(writes, &mut outbox);
    assert_eq!(statuses(&mut outbox), 0, "the wish is not durable yet");
    solo.make_durable(wish, &mut outbox);
    assert_eq!(statuses(&mut outbox), 1);
}

#[test]
fn v2_a_view_is_told_when_leaving_it_for_is_on_record() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    for member in [0, 2, 3] {
        let status = solo.forge.status(solo.as_traitor(member), 1, view(0), view(2), SequenceNumber::new(0));
        solo.feed_into(&status, &mut outbox);
    }
    let mut writes = outbox.writes();
    let records: Vec<String> = writes.iter().map(ToString::to_string).collect();
    assert!(matches!(&records[..], [wish, change] if wish.contains("Wish v2") && change.contains("ViewChange v2")), "{records:?}");
    assert_eq!(statuses(&mut outbox), 0);
    let change = writes.split_off(1);
    solo.make_durable(writes, &mut outbox);
    assert_eq!(statuses(&mut outbox), 0, "a crash now would bring it back in view 0");
    solo.make_durable(change, &mut outbox);
    assert_eq!(statuses(&mut outbox), 1);
}

#[test]
fn v1_a_want_does_not_fall() {
    let mut solo = backup();
    for (member, ordinal, want) in [(2, 1, 9), (2, 2, 5), (3, 1, 7)] {
        let status = solo.forge.status(solo.as_traitor(member), ordinal, view(0), view(want), SequenceNumber::new(0));
        solo.feed(&status);
    }
    assert_eq!(solo.replica.status().wish, view(7), "of 9 and 7 the lower one");
}

#[test]
fn c2_an_own_vote_counts_when_it_is_on_record() {
    let mut solo = backup();
    let blocks = solo.blocks(2);
    for block in &blocks {
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (block.sequence_number(), block.digest()));
        let chain = solo.forge.chain(Some(&certificate), std::slice::from_ref(block));
        solo.feed(&chain);
    }
    let order = solo.commands.iter().find_map(|command| if let AppCommand::TakeCheckpoint(order) = command { Some(order) } else { None });
    let manifest = order.expect("ordered").manifest([]);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    for member in [0, 2] {
        let vote = solo.forge.checkpoint(solo.as_traitor(member), checkpoint);
        solo.feed(&vote);
    }
    let mut outbox = Outbox::new();
    solo.replica.step(solo.now, Input::CheckpointTaken(manifest), &mut outbox);
    let writes = outbox.writes();
    assert_eq!((writes.len(), solo.replica.status().stable), (1, SequenceNumber::new(0)));
    solo.make_durable(writes, &mut outbox);
    assert_eq!(solo.replica.status().stable, SequenceNumber::new(2));
}
