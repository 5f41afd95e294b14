//! C2, D2, E, T2: what is kept across certificates, views and restarts, what is let go of, and who is told; one replica among forged messages.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, ForgedCheckpoint, ForgedStatus, Kept, KeptState};
use logothete::{AppState, ClusterBuilder, Digest, Disposition, Event, Outbox, Replica, ReplicaId, Start, Tuning, Why, chunk_digest};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, at, view};

/// K = 2, L = 8, P = 4.
fn small() -> ClusterBuilder {
    builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4)
}

/// Replica 1 of 4.
fn retaining(retention: u64) -> Solo {
    Solo::with(small().build().expect("a valid cluster"), 1, Tuning { retention, ..Tuning::from_timeout(T) })
}

fn stable_at(solo: &mut Solo, position: (logothete::SequenceNumber, Digest)) {
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), ForgedCheckpoint { position, state: Digest::new([1; 32]) });
    let bytes = solo.forge.stable_message(&stable);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
}

fn position(block: &ForgedBlock) -> (logothete::SequenceNumber, Digest) {
    (block.sequence_number(), block.digest())
}

fn downwards(blocks: &[ForgedBlock]) -> Vec<ForgedBlock> {
    blocks.iter().rev().cloned().collect()
}

/// Each with its snapshot, which is the others' too.
fn decide_with_checkpoints(solo: &mut Solo, blocks: &[ForgedBlock]) {
    for block in blocks {
        solo.decide(0, block);
        if let Some(manifest) = solo.take_checkpoint(b"the state") {
            let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
            let bytes = solo.forge.stable_message(&stable);
            assert_eq!(solo.feed(&bytes), Disposition::Applied);
        }
    }
}

#[test]
fn d2_what_a_state_has_let_go_of_is_not_built_on_although_it_is_still_there() {
    for (keeps_from, held) in [(1, 2), (2, 0)] {
        let mut solo = retaining(20);
        let blocks = solo.blocks(2);
        let state = KeptState { keeps_from, base: solo.genesis(), ..KeptState::default() };
        // The host has not shortened its log.
        let kept = [Kept::Started, Kept::Blocks(&blocks), Kept::State(&state)];
        let record =
            |(kept, index): (&Kept<'_>, u64)| (index, solo.forge.record(ReplicaId::new(1), index, kept).expect("a record").to_bytes());
        solo.log = kept.iter().zip(0..).map(record).collect();
        solo.restart();
        assert_eq!(solo.replica.status().blocks, held, "it may forget them at any time");
    }
}

#[test]
fn c2_what_the_service_has_lost_is_kept_after_a_restart_wherever_the_log_has_it() {
    let mut solo = retaining(2);
    let blocks = solo.blocks(4);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, position(&blocks[3]));
    // One record holds them all.
    let chain = solo.forge.chain(Some(&certificate), &downwards(&blocks));
    solo.feed(&chain);
    stable_at(&mut solo, position(&blocks[3]));
    assert_eq!((solo.replica.status().stable, solo.replica.status().floor), (at(4), at(2)));
    solo.restart();
    solo.pass(T / 100);
    let executed: Vec<u64> = solo.decisions.iter().map(|decision| decision.sequence_number().get()).collect();
    assert_eq!(executed, [1, 2, 3, 4], "by what the log holds alone");
}

#[test]
fn c2_no_more_than_a_window_is_taken_back_from_the_log() {
    let mut solo = retaining(20);
    let blocks = solo.blocks(14);
    decide_with_checkpoints(&mut solo, &blocks);
    assert_eq!((solo.replica.status().stable, solo.replica.status().floor), (at(14), at(0)));
    let app = AppState { last_executed: at(14), log_digest: blocks[13].digest(), ..AppState::default() };
    let tuning = Tuning { retention: 20, ..Tuning::from_timeout(T) };
    let (id, log) = (ReplicaId::new(1), solo.log.clone());
    let recovered = Replica::recover(solo.cluster.clone(), id, tuning, Start::Recovering, app, log, &mut Outbox::new());
    assert_eq!(recovered.expect("a log that it wrote").status().floor, at(6));
}

#[test]
fn c2_the_chain_of_the_highest_certificate_is_kept_where_head_stands_elsewhere() {
    let mut solo = retaining(20);
    // What its primary proposed to it alone, and what it let the others certify.
    let mine = solo.blocks(3);
    let one = solo.block_saying(1, solo.genesis().1, 1, b"other");
    let two = solo.block_saying(2, one.digest(), 2, b"other");
    mine.iter().for_each(|block| assert_eq!(solo.propose(0, block), Disposition::Applied));
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, position(&two));
    let chain = solo.forge.chain(Some(&certificate), &[two.clone(), one.clone()]);
    solo.feed(&chain);
    assert_eq!((solo.replica.status().head, solo.replica.status().blocks), (at(3), 5), "it has voted above");
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, position(&one));
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().decided, solo.replica.status().blocks), (at(1), 2));
}

#[test]
fn c2_what_leads_to_a_decision_is_kept_when_its_view_is_left() {
    let mut solo = retaining(20);
    let blocks = solo.blocks(5);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, position(&blocks[2]));
    let chain = solo.forge.chain(Some(&certificate), &[blocks[2].clone(), blocks[1].clone()]);
    solo.feed(&chain);
    assert_eq!(solo.replica.status().blocks, 2, "the first one is missing");
    // Of what is certified above it in the next view nothing is held.
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 1, position(&blocks[4]));
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().view, solo.replica.status().blocks), (view(1), 2));
}

#[test]
fn i2_a_commit_certificate_against_a_prepared_one_of_its_view_halts_whatever_came_between() {
    let other = |solo: &Solo| (at(1), solo.block_saying(1, solo.genesis().1, 1, b"other").digest());
    for (first, second) in [(Commit, Prepare), (Prepare, Commit)] {
        let mut solo = retaining(20);
        let blocks = solo.blocks(2);
        let certificates = [(first, position(&blocks[0])), (Prepare, position(&blocks[1])), (second, other(&solo))]
            .map(|(kind, position)| solo.certificate(&[0, 2, 3], kind, 0, position));
        assert_eq!(solo.feed_certificate(&certificates[0]), Disposition::Applied);
        assert_eq!(solo.feed_certificate(&certificates[1]), Disposition::Applied, "now its rank is not the highest");
        assert_eq!(solo.feed_certificate(&certificates[2]), Disposition::Halted);
    }
}

#[test]
fn t2_a_lost_log_may_be_of_any_view_that_is_wanted_here() {
    let mut solo = retaining(20);
    solo.wants(&[0, 2], 7);
    assert_eq!(solo.replica.status().wish, view(7));
    let lost = solo.forge.rejoin(solo.as_traitor(3), [1; 32]);
    assert_eq!(solo.feed(&lost), Disposition::Applied);
    let mut status = |in_view: u64, ordinal: u64| {
        let bytes = solo.forge.status_of(solo.as_traitor(3), &ForgedStatus { ordinal, view: view(in_view), ..ForgedStatus::default() });
        solo.feed(&bytes)
    };
    assert_eq!([status(7, 5), status(7, 4)], [Disposition::Applied; 2], "it may have been there before its loss");
    assert_eq!([status(8, 5), status(8, 4)], [Disposition::Applied, Disposition::Ignored(Why::Stale)]);
}

/// In view 2, which it left view 0 for.
fn in_view_2() -> Solo {
    let mut solo = retaining(20);
    solo.wants(&[0, 2, 3], 2);
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), None));
    let bytes = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    assert!(solo.replica.status().normal);
    solo
}

#[test]
fn d2_a_view_change_is_not_said_again_when_its_view_has_begun() {
    for times in 1..=2 {
        let mut solo = in_view_2();
        (0..times).for_each(|_| solo.restart());
        assert_eq!(solo.replica.status().view, view(2));
        assert_eq!(solo.view_changes(), [] as [String; 0]);
    }
}

#[test]
fn v2_one_view_change_of_each_member_and_view_is_kept_until_that_view_is_left() {
    let mut solo = retaining(20);
    let bytes = solo.forge.view_change_message(&solo.forge.view_change(solo.as_traitor(3), view(1), None));
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::Duplicate));
    solo.wants(&[0, 2, 3], 2);
    assert_eq!(solo.replica.status().view, view(2));
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::Stale), "nothing is left of it");
}

#[test]
fn t1_what_is_stable_blames_nobody_although_a_lower_position_is_the_highest_committed() {
    let mut solo = retaining(20);
    let blocks = solo.blocks(2);
    // None of them is held.
    for (kind, in_view, block) in [(Commit, 0, &blocks[0]), (Prepare, 2, &blocks[1])] {
        let certificate = solo.certificate(&[0, 2, 3], kind, in_view, position(block));
        solo.feed_certificate(&certificate);
    }
    stable_at(&mut solo, position(&blocks[1]));
    assert_eq!((solo.replica.status().view, solo.replica.status().head, solo.replica.status().decided), (view(2), at(2), at(0)));
    solo.pass(10 * T);
    assert_eq!(solo.replica.status().wish, view(2));
}

#[test]
fn p2_votes_on_a_base_far_above_the_own_log_are_counted() {
    let mut solo = Solo::new(4, 1);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(20), Digest::new([20; 32])));
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
    let bytes = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    // Base + 2 P.
    for (number, taken) in [(20, Disposition::Applied), (28, Disposition::Applied), (29, Disposition::Ignored(Why::FarAhead))] {
        assert_eq!(solo.vote(3, Prepare, 2, (at(number), Digest::new([20; 32]))), taken, "{number}");
    }
}

#[test]
fn e_a_vote_is_kept_against_another_one_until_it_is_two_pipelines_below_the_log() {
    for (decided, expected) in [(9, Disposition::Ignored(Why::Contradiction)), (10, Disposition::Ignored(Why::Stale))] {
        let mut solo = Solo::new(4, 1);
        let blocks = solo.blocks(decided);
        assert_eq!(solo.vote(3, Prepare, 0, position(&blocks[0])), Disposition::Applied);
        blocks.iter().for_each(|block| solo.decide(0, block));
        assert_eq!(solo.replica.status().decided, at(decided));
        assert_eq!(solo.vote(3, Prepare, 0, (at(1), Digest::new([9; 32]))), expected, "decided {decided}");
    }
}

#[test]
fn t2_who_has_the_certificate_is_not_told_of_it_again_without_blocks() {
    let mut solo = retaining(20);
    let blocks = solo.blocks(2);
    blocks.iter().for_each(|block| solo.decide(0, block));
    // It is another replica's turn to send the blocks.
    for (committed, answers) in [(1, 1), (2, 0)] {
        let high = (view(0), at(2));
        let status = ForgedStatus { ordinal: committed * 3 + 1, committed: (view(0), at(committed)), high, ..ForgedStatus::default() };
        assert_eq!(solo.draws(&status).len(), answers);
    }
}

#[test]
fn e_who_wishes_for_the_next_view_needs_no_proof() {
    let mut solo = retaining(20);
    let other = (at(1), Digest::new([9; 32]));
    let evidence = solo.forge.evidence(solo.as_traitor(0), Prepare, view(0), (at(1), Digest::new([8; 32])), other);
    let bytes = solo.forge.evidence_message(&evidence);
    solo.feed(&bytes);
    assert!(solo.events.iter().any(|event| matches!(event, Event::Evidence(_))));
    for (ordinal, want, proofs) in [(1, 0, 1), (2, 1, 0)] {
        let drawn = solo.draws(&ForgedStatus { ordinal, want: view(want), ..ForgedStatus::default() });
        assert_eq!(drawn.iter().filter(|words| words.contains("Evidence")).count(), proofs, "want {want}: {drawn:?}");
    }
}

#[test]
fn i18_new_views_are_shown_to_one_peer_as_often_as_its_statuses_are_answered() {
    let mut solo = in_view_2();
    let ask = |solo: &mut Solo, ordinals: std::ops::Range<u64>| {
        solo.sent.clear();
        for ordinal in ordinals {
            let bytes = solo.forge.fetch_proposal(solo.as_traitor(3), ordinal, view(2), solo.genesis());
            solo.feed(&bytes);
        }
        solo.words().iter().filter(|words| words.starts_with("to R3: NewView")).count()
    };
    solo.pass(T / 8);
    // Above the ordinals of its statuses.
    let first = 1 << 51;
    assert_eq!(ask(&mut solo, first..first + 100), 64);
    solo.pass(T / 8);
    assert_eq!(ask(&mut solo, first + 100..first + 110), 10);
}

#[test]
fn c3_a_host_that_calls_when_a_new_interval_begins_has_more_asked_for() {
    // Of each peer one question in an interval.
    let tuning = Tuning { link_repairs_max: 4, ..Tuning::from_timeout(T) };
    let mut solo = Solo::with(small().build().expect("a valid cluster"), 1, tuning);
    let digests: Vec<Digest> = (0..20).map(|part| chunk_digest(&[part])).collect();
    let manifest = solo.forge.manifest((at(40), Digest::new([40; 32])), &[], &digests);
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
    let stable = solo.forge.stable_message(&stable);
    solo.feed(&stable);
    let began = solo.now;
    let bytes = solo.forge.manifest_message(&manifest);
    solo.feed(&bytes);
    solo.step(logothete::Input::PartsMissing { sequence_number: at(40), missing: (0..20).collect() });
    let asked = |solo: &mut Solo| solo.words().iter().filter(|words| words.contains("chunk")).count();
    assert_eq!(asked(&mut solo), 2, "and the manifest of the third");
    solo.pass(Duration::from_millis(99));
    assert_eq!(asked(&mut solo), 0);
    assert_eq!(solo.replica.deadline(), Some(began.after(T / 8)));
    solo.pass(Duration::from_millis(1));
    assert_eq!(asked(&mut solo), 3);
}
