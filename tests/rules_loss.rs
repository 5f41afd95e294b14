//! D2, T2: what is made of another replica that says it has lost its log; one among forged messages.

mod support;

use logothete::sim::forge::ForgedStatus;
use logothete::{Cluster, Disposition, SequenceNumber, Tuning, Why};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, view};

/// `status_interval`.
const PACE: Duration = Duration::from_millis(100);

/// Replica 1 of 4. K = 2, L = 8, P = 4.
fn backup() -> Solo {
    let cluster: Cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 1, Tuning::from_timeout(T))
}

/// R3 says that it has lost its log: what it is answered.
fn hears_of_loss(solo: &mut Solo, nonce: u8) -> Vec<String> {
    let bytes = solo.forge.rejoin(solo.as_traitor(3), [nonce; 32]);
    solo.feed(&bytes);
    solo.words().into_iter().filter(|words| words.contains("Welcome by R1 to R3")).collect()
}

#[test]
fn d2_each_loss_is_answered_once_in_an_interval_whatever_else_its_replica_says() {
    let mut solo = backup();
    assert_eq!(hears_of_loss(&mut solo, 1).len(), 1);
    for interval in 0..3 {
        solo.pass(PACE);
        // Of before, as many as anybody likes.
        for _ in 0..100 {
            let old = ForgedStatus { ordinal: 9, ..ForgedStatus::default() };
            let bytes = solo.forge.status_of(solo.as_traitor(3), &old);
            assert_eq!(solo.feed(&bytes), Disposition::Applied);
        }
        assert_eq!(hears_of_loss(&mut solo, 1).len(), 1, "{interval}");
        assert_eq!(hears_of_loss(&mut solo, 1).len(), 0, "{interval}");
        solo.pass(PACE - Duration::from_millis(1));
        assert_eq!(hears_of_loss(&mut solo, 1).len(), 0, "{interval}: not yet");
        solo.pass(Duration::from_millis(1));
    }
}

#[test]
fn d2_an_old_loss_that_is_said_again_takes_nothing_from_the_last_one() {
    let mut solo = backup();
    for nonce in [1, 2, 3, 4] {
        assert_eq!(hears_of_loss(&mut solo, nonce).len(), 1, "{nonce}");
    }
    assert_eq!(hears_of_loss(&mut solo, 5).len(), 0, "four new ones in an interval");
    solo.wants(&[0, 2, 3], 7);
    solo.pass(PACE);
    for nonce in [1, 2, 3, 4] {
        let answers = hears_of_loss(&mut solo, nonce);
        assert!(answers.len() == 1 && !answers[0].contains("want v7"), "{nonce}, as at the first hearing: {answers:?}");
    }
    assert!(hears_of_loss(&mut solo, 5)[0].contains("want v7"));
    solo.pass(PACE);
    assert!(!hears_of_loss(&mut solo, 2)[0].contains("want v7"));
    assert!(hears_of_loss(&mut solo, 1)[0].contains("want v7"), "no more than four are remembered");
}

#[test]
fn t2_of_who_has_lost_its_log_nothing_is_heard_twice_once_it_was_heard_of_in_a_later_view() {
    let mut solo = backup();
    let block = solo.blocks(1).remove(0);
    solo.decide(0, &block);
    let fetch = |solo: &mut Solo, ordinal: u64| {
        let bytes = solo.forge.fetch(solo.as_traitor(3), ordinal, SequenceNumber::new(0), (block.sequence_number(), block.digest()));
        solo.feed(&bytes)
    };
    let status = |solo: &mut Solo, in_view: u64, ordinal: u64| {
        let bytes = solo.forge.status_of(solo.as_traitor(3), &ForgedStatus { ordinal, view: view(in_view), ..ForgedStatus::default() });
        solo.feed(&bytes)
    };
    let (taken, stale) = (Disposition::Applied, Disposition::Ignored(Why::Stale));
    assert_eq!((status(&mut solo, 0, 1000), status(&mut solo, 0, 1001)), (taken, taken));
    assert_eq!((fetch(&mut solo, 1002), fetch(&mut solo, 3)), (taken, stale));
    // Twice: the second loss is like the first one, and what is said again of that one changes nothing.
    for (nonce, up_to, ordinal) in [(1, 0, 10), (2, 1, 5)] {
        hears_of_loss(&mut solo, nonce);
        assert_eq!(
            (fetch(&mut solo, ordinal), fetch(&mut solo, ordinal)),
            (taken, stale),
            "its ordinals count anew, and replays draw one answer"
        );
        assert_eq!((status(&mut solo, up_to, ordinal + 1), fetch(&mut solo, ordinal + 2)), (taken, taken));
        assert_eq!((status(&mut solo, up_to + 1, ordinal + 3), fetch(&mut solo, ordinal + 4)), (taken, taken));
        assert_eq!(status(&mut solo, up_to + 1, ordinal + 5), taken);
        solo.pass(PACE);
        hears_of_loss(&mut solo, 1);
        assert_eq!((fetch(&mut solo, ordinal + 2), fetch(&mut solo, 1)), (stale, stale), "all that is settled");
        assert_eq!((status(&mut solo, up_to, 1001), status(&mut solo, up_to, ordinal + 1)), (stale, stale));
    }
}

#[test]
fn t2_a_laggard_hears_who_has_lost_its_log_in_views_above_its_own() {
    let mut solo = backup();
    let status = |solo: &mut Solo, in_view: u64, ordinal: u64| {
        let bytes = solo.forge.status_of(solo.as_traitor(3), &ForgedStatus { ordinal, view: view(in_view), ..ForgedStatus::default() });
        solo.feed(&bytes)
    };
    status(&mut solo, 7, 1 << 40);
    hears_of_loss(&mut solo, 1);
    for (in_view, ordinal) in [(0, 1), (5, 2), (7, 3), (8, 4)] {
        assert_eq!(status(&mut solo, in_view, ordinal), Disposition::Applied, "view {in_view}");
    }
    assert_eq!(status(&mut solo, 7, 3), Disposition::Ignored(Why::Stale));
}

#[test]
fn t2_a_question_from_before_a_loss_with_the_same_ordinal_is_another_one() {
    let mut solo = backup();
    let blocks = solo.blocks(2);
    blocks.iter().for_each(|block| solo.decide(0, block));
    hears_of_loss(&mut solo, 1);
    for block in &blocks {
        let bytes = solo.forge.fetch(solo.as_traitor(3), 7, SequenceNumber::new(0), (block.sequence_number(), block.digest()));
        assert_eq!(solo.feed(&bytes), Disposition::Applied);
        assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::Stale));
    }
}
