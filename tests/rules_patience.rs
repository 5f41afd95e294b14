//! T1: how long a replica is patient with its primary, and with how much that waits; one among forged messages.

mod support;

use logothete::sim::forge::ForgedBlock;
use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::{Disposition, Limits, MessageKind, RequestNumber, Tuning, Why};
use std::time::Duration;
use support::solo::{Solo, T, at, view};
use support::{builder, client_key};

const MOMENT: Duration = Duration::from_millis(1);
/// What a primary may let wait at least where the others are quick.
const EIGHTH: Duration = Duration::from_millis(100);

/// Replica 1 of 4. K = 4, L = 32, P = 4.
fn solo(tuning: Tuning) -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(4).log_window(32).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 1, tuning)
}

fn wished(solo: &Solo) -> u64 {
    solo.replica.status().wish.get()
}

fn backoff(solo: &Solo) -> u32 {
    solo.replica.status().backoff
}

/// The others take so long for these.
fn take(solo: &mut Solo, in_view: u64, blocks: &[ForgedBlock], each: Duration) {
    for block in blocks {
        solo.propose(in_view, block);
        solo.pass(each);
        let certificate = solo.certificate(&[0, 2, 3], Commit, in_view, (block.sequence_number(), block.digest()));
        solo.feed_certificate(&certificate);
    }
    solo.sent.clear();
}

#[test]
fn t1_a_view_change_has_a_timeout_of_its_own() {
    let tuning = Tuning { view_change_timeout: T * 3, ..Tuning::from_timeout(T) };
    let mut waits = solo(tuning.clone());
    waits.wants(&[0, 2, 3], 2);
    waits.pass(T * 3 - MOMENT);
    assert_eq!(wished(&waits), 2);
    waits.pass(MOMENT);
    assert_eq!(wished(&waits), 3);
    let mut entered = solo(tuning);
    entered.wants(&[0, 2, 3], 2);
    let certificate = entered.certificate(&[0, 2, 3], Prepare, 2, entered.genesis());
    entered.feed_certificate(&certificate);
    entered.ask(0, 1);
    entered.pass(T - MOMENT);
    assert_eq!(wished(&entered), 2);
    entered.pass(MOMENT);
    assert_eq!(wished(&entered), 3);
}

#[test]
fn t1_a_first_view_that_decided_costs_no_patience() {
    let mut solo = solo(Tuning::from_timeout(T));
    let block = solo.blocks(1).remove(0);
    solo.ask(1, 1);
    solo.decide(0, &block);
    solo.pass(T / 2);
    solo.wants(&[0, 2, 3], 1);
    assert_eq!((solo.replica.status().view, backoff(&solo)), (view(1), 0));
}

#[test]
fn t1_patience_is_halved_once_in_each_checkpoint_interval() {
    let mut solo = solo(Tuning { backoff_max: 4, ..Tuning::from_timeout(T) });
    solo.ask(0, 1);
    for to in 1..=6 {
        solo.pass(T * 8);
        solo.wants(&[0, 2, 3], to);
    }
    assert_eq!(backoff(&solo), 4);
    let blocks = solo.blocks(8);
    let seen: Vec<u32> = blocks
        .iter()
        .map(|block| {
            solo.decide(6, block);
            backoff(&solo)
        })
        .collect();
    assert_eq!(seen, [4, 4, 4, 3, 3, 3, 3, 2], "K = 4");
}

/// A block with this request of client 1.
fn block_of_other(solo: &Solo, below: &ForgedBlock, request: u64) -> ForgedBlock {
    let request = solo.forge.request(&client_key(1), RequestNumber::new(request), b"order");
    solo.forge.block(below.sequence_number().next(), below.digest(), vec![request])
}

#[test]
fn t1_patience_is_not_halved_by_what_is_decided_beside_what_waits_on() {
    let mut solo = solo(Tuning { backoff_max: 4, ..Tuning::from_timeout(T) });
    solo.ask(1, 1);
    for to in 1..=6 {
        solo.pass(T * 8);
        solo.wants(&[0, 2, 3], to);
    }
    let mut blocks = solo.blocks(9);
    blocks.push(block_of_other(&solo, &blocks[8], 1));
    let mut seen = Vec::new();
    for block in &blocks {
        solo.decide(6, block);
        seen.push(backoff(&solo));
        solo.pass(MOMENT);
    }
    assert_eq!(seen, [4, 4, 4, 4, 4, 4, 4, 4, 4, 3], "K = 4");
    // What begins to wait meanwhile puts nothing off.
    solo.ask(1, 2);
    let mut below = blocks[9].clone();
    for number in 10..=13 {
        below = solo.block(below.sequence_number().next().get(), below.digest(), number);
        solo.decide(6, &below);
    }
    assert_eq!(backoff(&solo), 2);
}

#[test]
fn t1_a_view_that_decided_and_kept_nothing_waiting_makes_up_for_f_that_did_not() {
    for (replicas, makes_up_for) in [(3, 1), (4, 1), (7, 2), (10, 3)] {
        let cluster = builder(replicas, 2).build().expect("a valid cluster");
        let others: Vec<usize> = [0].into_iter().chain(2..=cluster.quorum() as usize).collect();
        let mut solo = Solo::with(cluster, 1, Tuning { backoff_max: 4, ..Tuning::from_timeout(T) });
        let decide = |solo: &mut Solo, in_view: u64, blocks: &[ForgedBlock]| {
            for (kind, block) in [Prepare, Commit].into_iter().zip(blocks) {
                let certificate = solo.certificate(&others, kind, in_view, (block.sequence_number(), block.digest()));
                let chain = solo.forge.chain(Some(&certificate), std::slice::from_ref(block));
                solo.feed(&chain);
            }
        };
        let mut blocks = solo.blocks(2);
        let waiting = solo.forge.request(&client_key(1), RequestNumber::new(1), b"order");
        blocks.push(solo.forge.block(at(3), blocks[1].digest(), vec![waiting]));
        solo.ask(1, 1);
        for to in 1..=6 {
            solo.pass(T * 8);
            solo.wants(&others, to);
        }
        assert_eq!(backoff(&solo), 4, "n = {replicas}");
        decide(&mut solo, 6, &blocks[..2]);
        solo.pass(T * 8);
        solo.wants(&others, 7);
        assert_eq!((solo.replica.status().decided, backoff(&solo)), (at(2), 4), "n = {replicas}: it kept something waiting beside that");
        decide(&mut solo, 7, &blocks[1..]);
        solo.wants(&others, 8);
        assert_eq!((solo.replica.status().decided, backoff(&solo)), (at(3), 4 - makes_up_for), "n = {replicas}");
        solo.wants(&others, 9);
        assert_eq!(backoff(&solo), 4 - makes_up_for, "n = {replicas}: it decided nothing");
    }
}

/// In view 2, after two views in vain; and the block with what waits since then.
fn in_a_second_view() -> (Solo, ForgedBlock) {
    let mut solo = solo(Tuning { backoff_max: 2, ..Tuning::from_timeout(T) });
    let block = solo.blocks(1).remove(0);
    solo.ask(0, 1);
    for to in 1..=2 {
        solo.pass(T * 2);
        solo.wants(&[0, 2, 3], to);
    }
    enter(&mut solo, 2);
    assert_eq!(backoff(&solo), 2);
    (solo, block)
}

#[test]
fn t1_a_view_has_served_also_while_something_waits_that_came_later() {
    let (mut solo, block) = in_a_second_view();
    solo.pass(MOMENT);
    solo.ask(1, 1);
    solo.decide(2, &block);
    solo.wants(&[0, 2, 3], 3);
    assert_eq!(backoff(&solo), 1);
}

#[test]
fn t1_patience_gets_no_shorter_than_four_times_what_had_to_wait() {
    for (waits, left) in [(T, 1), (T + MOMENT, 2), (T / 2, 1)] {
        let (mut solo, block) = in_a_second_view();
        solo.pass(waits);
        solo.decide(2, &block);
        solo.wants(&[0, 2, 3], 3);
        assert_eq!(backoff(&solo), left, "{waits:?}");
    }
}

#[test]
fn t1_what_had_to_wait_in_a_view_says_nothing_of_the_next_one() {
    let (mut solo, block) = in_a_second_view();
    solo.pass(T + MOMENT);
    solo.decide(2, &block);
    let (last, next) = ((block.sequence_number(), block.digest()), solo.block(2, block.digest(), 2));
    solo.wants(&[0, 2, 3], 3);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 3, last);
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().normal, backoff(&solo)), (true, 2));
    solo.decide(3, &next);
    solo.wants(&[0, 2, 3], 4);
    assert_eq!((solo.replica.status().decided, backoff(&solo)), (at(2), 1));
}

#[test]
fn t1_as_many_requests_wait_as_were_decided_in_half_a_timeout() {
    let limits = Limits { batch_requests_max: 2, ..Limits::default() };
    let cluster = builder(4, 2).limits(limits).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    for block in solo.blocks(5) {
        solo.decide(0, &block);
        if block.sequence_number() < at(5) {
            solo.pass(Duration::from_millis(10));
        }
    }
    // Five in 40 ms are 50 in 400 ms.
    let taken = (6..100).take_while(|number| solo.ask(0, *number) == Disposition::Applied).count();
    assert_eq!(taken, 50);
    assert!(matches!(solo.ask(0, 56), Disposition::Ignored(Why::Busy { .. })));
    // A batch of each other client's is welcome all the same.
    let taken = (1..10).take_while(|number| solo.ask(1, *number) == Disposition::Applied).count();
    assert_eq!(taken, 2);
}

#[test]
fn t1_the_others_pace_is_that_of_their_last_16_rounds() {
    for (rounds, wishes) in [(16, 0), (17, 1)] {
        let mut solo = solo(Tuning::from_timeout(T));
        let blocks = solo.blocks(rounds);
        // The first one was slow.
        take(&mut solo, 0, &blocks[..1], T / 2);
        take(&mut solo, 0, &blocks[1..], Duration::from_millis(10));
        solo.ask(1, 1);
        for _ in 0..7 {
            solo.pass(EIGHTH);
        }
        assert_eq!(wished(&solo), wishes, "{rounds}");
    }
}

#[test]
fn t1_the_pace_is_not_looked_at_where_that_is_turned_off() {
    let mut solo = solo(Tuning { pace_factor: 0, ..Tuning::from_timeout(T) });
    let blocks = solo.blocks(16);
    take(&mut solo, 0, &blocks, Duration::from_millis(10));
    solo.ask(1, 1);
    for _ in 0..7 {
        solo.pass(EIGHTH);
    }
    assert_eq!(wished(&solo), 0);
    solo.pass(EIGHTH);
    assert_eq!(wished(&solo), 1, "T alone counts");
}

#[test]
fn t1_what_was_passed_on_by_the_pace_is_not_passed_on_with_each_look() {
    let mut solo = solo(Tuning::from_timeout(T));
    let blocks = solo.blocks(16);
    take(&mut solo, 0, &blocks, Duration::from_millis(10));
    solo.ask(1, 1);
    let passed_on = |solo: &Solo| solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Request).count();
    let seen: Vec<usize> = (0..6)
        .map(|_| {
            solo.pass(Duration::from_millis(16));
            passed_on(&solo)
        })
        .collect();
    assert_eq!((seen, wished(&solo)), (vec![0, 0, 0, 1, 1, 1], 0));
}

#[test]
fn t1_a_clients_next_request_is_passed_on_by_the_pace_however_lately_the_last_one_was() {
    let mut solo = solo(Tuning::from_timeout(T));
    let mut blocks = solo.blocks(16);
    take(&mut solo, 0, &blocks, Duration::from_millis(10));
    blocks.push(block_of_other(&solo, &blocks[15], 1));
    solo.ask(1, 1);
    for number in 1..=2 {
        solo.sent.clear();
        solo.pass(EIGHTH / 2);
        let passed_on = solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Request).count();
        assert_eq!((passed_on, wished(&solo)), (1, 0), "request {number}");
        // The next one waits behind it.
        solo.ask(1, number + 1);
        solo.decide(0, &blocks[16]);
    }
}

#[test]
fn t1_a_wrong_judgement_by_the_pace_is_forgiven_after_a_checkpoint_interval() {
    for (decided, serves, allowed) in [(3, true, EIGHTH * 2), (4, true, EIGHTH), (4, false, EIGHTH * 2)] {
        let mut solo = solo(Tuning::from_timeout(T));
        let mut blocks = solo.blocks(15 + decided);
        take(&mut solo, 0, &blocks[..16], Duration::from_millis(10));
        solo.ask(1, 1);
        solo.pass(EIGHTH / 2);
        solo.pass(EIGHTH);
        assert_eq!(wished(&solo), 1);
        solo.wants(&[0, 2, 3], 2);
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(16), blocks[15].digest()));
        solo.feed_certificate(&certificate);
        let last = &blocks[blocks.len() - 1];
        let last = if serves { block_of_other(&solo, last, 1) } else { solo.block(16 + decided, last.digest(), 16 + decided) };
        blocks.push(last);
        take(&mut solo, 2, &blocks[16..], Duration::from_millis(1));
        solo.ask(1, 2);
        let began = solo.now;
        while wished(&solo) == 2 {
            solo.pass(MOMENT);
        }
        let waited = solo.now.since(began) + MOMENT * decided as u32;
        assert!(waited >= allowed && waited < allowed + EIGHTH / 2, "{decided} decided: {waited:?}");
    }
}

#[test]
fn t1_what_was_proposed_in_a_view_that_was_left_is_waited_for_by_the_pace_again() {
    let mut solo = solo(Tuning::from_timeout(T));
    let blocks = solo.blocks(17);
    take(&mut solo, 0, &blocks[..16], Duration::from_millis(10));
    solo.ask(0, 17);
    solo.propose(0, &blocks[16]);
    (0..4).for_each(|_| assert_eq!(solo.pass(EIGHTH / 2), Disposition::Applied));
    assert_eq!(wished(&solo), 0, "it is under way");
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(16), blocks[15].digest()));
    solo.feed_certificate(&certificate);
    (0..12).for_each(|_| assert_eq!(solo.pass(EIGHTH / 8), Disposition::Applied));
    assert_eq!(wished(&solo), 3, "the new primary does not propose it");
}

#[test]
fn t1_by_the_pace_a_view_is_judged_from_its_beginning_also_by_who_did_not_leave_the_last_one_first() {
    let mut solo = solo(Tuning::from_timeout(T));
    let blocks = solo.blocks(16);
    take(&mut solo, 0, &blocks, Duration::from_millis(10));
    solo.ask(1, 1);
    solo.pass(EIGHTH / 2 - MOMENT);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(16), blocks[15].digest()));
    solo.feed_certificate(&certificate);
    let began = solo.now;
    assert_eq!(solo.replica.deadline(), Some(began.after(EIGHTH / 2)));
    for _ in 0..99 {
        solo.pass(MOMENT);
        assert_eq!(wished(&solo), 2);
    }
    while wished(&solo) == 2 {
        solo.pass(MOMENT);
    }
    assert!(solo.now.since(began) < EIGHTH + EIGHTH / 4);
}

/// R3 says that it has lost its log, once more.
fn hears_of_loss(solo: &mut Solo, nonce: u8) {
    let bytes = solo.forge.rejoin(solo.as_traitor(3), [nonce; 32]);
    solo.feed(&bytes);
}

/// The view begins where the log does.
fn enter(solo: &mut Solo, in_view: u64) {
    let certificate = solo.certificate(&[0, 2, 3], Prepare, in_view, solo.genesis());
    solo.feed_certificate(&certificate);
}

#[test]
fn t1_who_loses_its_log_all_day_makes_nobody_patient() {
    let tuning = Tuning { rejoin_interval: 10 * T, ..Tuning::from_timeout(T) };
    let mut solo = solo(tuning);
    for nonce in 1..=12 {
        solo.pass(T);
        let before = wished(&solo);
        hears_of_loss(&mut solo, nonce);
        let to = wished(&solo);
        assert_eq!(to, before + 1);
        solo.wants(&[0, 2, 3], to);
        // The traitor's own views don't begin.
        if to % 4 != 3 {
            enter(&mut solo, to);
        }
        solo.pass(10 * T);
        assert_eq!(backoff(&solo), 0, "view {to}");
        if to % 4 == 3 {
            enter(&mut solo, to + 1);
        }
    }
    // The primary is dead.
    solo.ask(0, 1);
    let last = wished(&solo);
    solo.pass(T - MOMENT);
    assert_eq!(wished(&solo), last);
    solo.pass(MOMENT);
    assert_eq!(wished(&solo), last + 1);
}

#[test]
fn t1_a_view_is_not_left_for_a_lost_log_before_it_has_lasted_as_long_as_patience_does() {
    let tuning = Tuning { rejoin_interval: T / 2, view_change_timeout: 100 * T, ..Tuning::from_timeout(T) };
    let helped_after = |solo: &mut Solo, nonce: u8, left: Duration| {
        let before = wished(solo);
        solo.pass(left - MOMENT);
        hears_of_loss(solo, nonce);
        assert_eq!(wished(solo), before, "nor does it count as helped");
        solo.pass(MOMENT);
        hears_of_loss(solo, nonce + 1);
        assert_eq!(wished(solo), before + 1);
    };
    let mut solo = solo(tuning);
    helped_after(&mut solo, 1, T);
    // A view that does not begin is none that keeps anybody out.
    solo.wants(&[0, 2, 3], 2);
    solo.pass(20 * T);
    hears_of_loss(&mut solo, 3);
    assert_eq!(wished(&solo), 2);
    enter(&mut solo, 2);
    helped_after(&mut solo, 4, T);
    // Patience is twice as long.
    solo.ask(0, 1);
    solo.pass(T);
    solo.wants(&[0, 2, 3], 3);
    enter(&mut solo, 3);
    let block = solo.blocks(1).remove(0);
    solo.decide(3, &block);
    assert_eq!((backoff(&solo), wished(&solo), solo.replica.status().pool_requests), (1, 3, 0));
    helped_after(&mut solo, 6, 2 * T);
}

#[test]
fn t1_a_view_costs_patience_if_something_has_waited_in_it_for_half_of_that() {
    // Before the view began, and before it was left: what costs is the time in this view, in both modes.
    for (begins, in_view, cost) in [(true, T - MOMENT, 0), (true, T, 1), (false, T - MOMENT, 0), (false, T, 1)] {
        let mut solo = solo(Tuning::from_timeout(T * 2));
        solo.ask(0, 1);
        solo.wants(&[0, 2, 3], 2);
        if begins {
            solo.pass(T / 2);
            enter(&mut solo, 2);
        }
        solo.pass(in_view);
        solo.wants(&[0, 2, 3], 4);
        assert_eq!(backoff(&solo), cost, "begins: {begins}, {in_view:?}");
        solo.wants(&[0, 2, 3], 5);
        assert_eq!(backoff(&solo), cost, "left at once");
    }
    // Where this replica had wished before, for another reason.
    for (in_view, cost) in [(T / 2 - MOMENT, 0), (T / 2, 1)] {
        let mut solo = solo(Tuning::from_timeout(T));
        solo.pass(T);
        hears_of_loss(&mut solo, 1);
        solo.ask(0, 1);
        solo.pass(in_view);
        solo.wants(&[0, 2, 3], 1);
        assert_eq!(backoff(&solo), cost, "{in_view:?}");
    }
    // By a certificate of a higher view it is left too.
    for (in_view, cost) in [(T / 2 - MOMENT, 0), (T / 2, 1)] {
        let mut solo = solo(Tuning::from_timeout(T));
        solo.ask(0, 1);
        solo.pass(in_view);
        enter(&mut solo, 2);
        assert_eq!(backoff(&solo), cost, "{in_view:?}");
    }
}

#[test]
fn t1_what_was_waited_for_costs_patience_although_it_is_decided_before_the_view_is_left() {
    let mut solo = solo(Tuning::from_timeout(T));
    let blocks = solo.blocks(1);
    solo.ask(0, 1);
    solo.pass(T);
    assert_eq!(wished(&solo), 1);
    solo.decide(0, &blocks[0]);
    assert_eq!(solo.replica.status().pool_requests, 0);
    solo.wants(&[0, 2, 3], 1);
    assert_eq!(backoff(&solo), 1, "it came too late");
}

#[test]
fn t1_views_that_do_not_begin_double_patience_until_one_does() {
    let mut solo = solo(Tuning { backoff_max: 2, ..Tuning::from_timeout(T) });
    for (to, doubled) in [(1, 0), (2, 1), (3, 2), (4, 2)] {
        solo.wants(&[0, 2, 3], to);
        assert_eq!(backoff(&solo), doubled);
        solo.pass(T * (1 << doubled) - MOMENT);
        assert_eq!(wished(&solo), to);
        solo.pass(MOMENT);
        assert_eq!(wished(&solo), to + 1);
    }
    enter(&mut solo, 5);
    assert_eq!(backoff(&solo), 0, "nothing waited in any of them");
    solo.wants(&[0, 2, 3], 6);
    assert_eq!(backoff(&solo), 0);
    // Late, and it has begun: it is no view that didn't.
    solo.pass(T);
    enter(&mut solo, 6);
    solo.wants(&[0, 2, 3], 7);
    assert_eq!(backoff(&solo), 0);
}

#[test]
fn t1_patience_of_both_kinds_is_bounded() {
    let mut solo = solo(Tuning { backoff_max: 1, ..Tuning::from_timeout(T) });
    let block = solo.blocks(1).remove(0);
    solo.ask(0, 1);
    solo.pass(T / 2);
    solo.wants(&[0, 2, 3], 1);
    solo.decide(1, &block);
    for to in 2..5 {
        assert_eq!(backoff(&solo), 1);
        solo.wants(&[0, 2, 3], to);
        solo.pass(T * 2);
    }
}
