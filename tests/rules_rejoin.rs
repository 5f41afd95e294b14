//! D2, V1, E: a replica that has lost its log, and one that hears of others that have, among forged messages.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, ForgedCheckpoint, ForgedStatus};
use logothete::{
    AppCommand, AppState, ClientId, Cluster, Digest, Disposition, Event, Input, Manifest, ReplicaId, RequestNumber, SequenceNumber,
    SessionEntry, SessionTable, Start, Tuning, Why, chunk_digest,
};
use std::time::Duration;
use support::solo::{Solo, T, view};
use support::{builder, client_key};

/// `status_interval`.
const PACE: Duration = Duration::from_millis(100);

/// K = 2, L = 8, P = 4.
fn cluster(replicas: usize) -> Cluster {
    builder(replicas, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster")
}

fn backup() -> Solo {
    Solo::with(cluster(4), 1, Tuning::from_timeout(T))
}

fn said(solo: &mut Solo, what: &str) -> Vec<String> {
    solo.words().into_iter().filter(|words| words.contains(what)).collect()
}

fn rejoining() -> Solo {
    Solo::starting(cluster(4), 1, Tuning::from_timeout(T), Start::Rejoining { nonce: [7; 32] })
}

fn welcome(solo: &mut Solo, from: usize, nonce: [u8; 32], want: u64) -> Disposition {
    let me = logothete::ReplicaId::new(solo.me as u32);
    let bytes = solo.forge.welcome(solo.as_traitor(from), me, nonce, view(want));
    solo.feed(&bytes)
}

fn enter(solo: &mut Solo, in_view: u64) {
    let certificate = solo.certificate(&[0, 2, 3], Prepare, in_view, solo.genesis());
    solo.feed_certificate(&certificate);
}

#[test]
fn d2_a_rejoining_replica_is_silent_up_to_the_bound_and_speaks_above_it() {
    let mut solo = rejoining();
    solo.pass(Duration::ZERO);
    assert_eq!(said(&mut solo, "Rejoin by R1").len(), 1);
    let blocks = solo.blocks(1);
    solo.propose(0, &blocks[0]);
    solo.wants(&[0, 2, 3], 3);
    solo.pass(10 * T);
    assert_eq!(solo.votes(), []);
    assert_eq!(solo.replica.status().view, view(0), "it wishes and leaves for nothing");
    // Two answers are no quorum of others.
    welcome(&mut solo, 0, [7; 32], 3);
    welcome(&mut solo, 2, [7; 32], 3);
    enter(&mut solo, 4);
    assert!(solo.replica.status().rejoining);
    // An answer to another question counts nothing, nor does one to somebody else.
    assert_eq!(welcome(&mut solo, 3, [8; 32], 0), Disposition::Ignored(Why::NotNeeded));
    let to_another = solo.forge.welcome(solo.as_traitor(3), ReplicaId::new(2), [7; 32], view(0));
    assert_eq!(solo.feed(&to_another), Disposition::Ignored(Why::NotNeeded));
    assert!(solo.replica.status().rejoining);
    welcome(&mut solo, 3, [7; 32], 4);
    assert!(solo.replica.status().rejoining, "view 4 is not above the bound");
    enter(&mut solo, 5);
    assert!(!solo.replica.status().rejoining);
    assert!(solo.events.contains(&Event::Rejoined { view: view(5) }));
    assert_eq!(solo.votes(), [], "the base is certified already");
    assert!(solo.records.last().is_some_and(|record| record.contains("State v5")), "{:?}", solo.records);
}

#[test]
fn d2_liars_with_high_wants_do_not_keep_a_replica_out() {
    let mut solo = Solo::starting(cluster(7), 1, Tuning::from_timeout(T), Start::Rejoining { nonce: [7; 32] });
    welcome(&mut solo, 6, [7; 32], u64::MAX);
    for from in [0, 2, 3, 4] {
        welcome(&mut solo, from, [7; 32], 2);
    }
    let enter = |solo: &mut Solo, in_view: u64| {
        let certificate = solo.certificate(&[0, 2, 3, 4, 5], Prepare, in_view, solo.genesis());
        solo.feed_certificate(&certificate);
    };
    enter(&mut solo, 3);
    assert!(solo.replica.status().rejoining, "of five answers the highest counts");
    welcome(&mut solo, 5, [7; 32], 2);
    assert!(!solo.replica.status().rejoining, "of six the five lowest do");
}

#[test]
fn d2_of_each_others_answers_the_lowest_counts() {
    let mut solo = rejoining();
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    // Asked anew, because of a question from an earlier loss in between, or after a restart, they say what they want by then; and answers may come late.
    for (want, from) in [(4, 0), (4, 2), (4, 3), (2, 3), (2, 2), (2, 0), (5, 0), (5, 2), (5, 3)] {
        welcome(&mut solo, from, [7; 32], want);
    }
    enter(&mut solo, 2);
    assert!(solo.replica.status().rejoining);
    enter(&mut solo, 3);
    assert!(!solo.replica.status().rejoining);
}

#[test]
fn d2_the_bound_is_the_highest_of_a_quorums_answers_whoever_gave_it() {
    for highest in [0, 2, 3] {
        let mut solo = rejoining();
        for from in [0, 2, 3] {
            welcome(&mut solo, from, [7; 32], if from == highest { 9 } else { 3 });
        }
        enter(&mut solo, 9);
        assert!(solo.replica.status().rejoining, "R{highest} may have heard it in view 9");
        enter(&mut solo, 10);
        assert!(!solo.replica.status().rejoining);
    }
}

#[test]
fn d2_an_answer_under_the_own_name_is_no_answer() {
    let mut solo = rejoining();
    assert_eq!(welcome(&mut solo, 1, [7; 32], 0), Disposition::Ignored(Why::NotNeeded));
    for from in [0, 2] {
        assert_eq!(welcome(&mut solo, from, [7; 32], 0), Disposition::Applied);
    }
    enter(&mut solo, 1);
    assert!(solo.replica.status().rejoining, "two are no quorum");
}

#[test]
fn d2_who_asks_still_when_the_others_have_gone_on_is_helped_into_a_view_above_theirs() {
    let mut solo = Solo::with(cluster(4), 1, Tuning { rejoin_interval: 10 * T, ..Tuning::from_timeout(T) });
    let lost = |solo: &mut Solo| {
        let bytes = solo.forge.rejoin(solo.as_traitor(3), [1; 32]);
        solo.feed(&bytes);
        solo.replica.status().wish
    };
    solo.pass(T);
    assert_eq!(lost(&mut solo), view(1));
    enter(&mut solo, 5);
    solo.pass(10 * T);
    assert_eq!(lost(&mut solo), view(6));
}

#[test]
fn d2_a_loss_is_answered_with_the_want_of_its_first_hearing_and_helped_once_in_an_interval() {
    let mut solo = Solo::with(cluster(4), 1, Tuning { rejoin_interval: 10 * T, ..Tuning::from_timeout(T) });
    let lost = |solo: &mut Solo, nonce: u8| {
        let bytes = solo.forge.rejoin(solo.as_traitor(3), [nonce; 32]);
        solo.feed(&bytes);
        said(solo, "Welcome by R1 to R3")
    };
    solo.pass(T);
    assert!(lost(&mut solo, 1)[0].contains("want v0"));
    assert_eq!(solo.replica.status().wish, view(1));
    solo.pass(PACE);
    assert!(lost(&mut solo, 1)[0].contains("want v0"), "its own help must not raise the bound");
    assert!(lost(&mut solo, 2)[0].contains("want v1"));
    assert_eq!(solo.replica.status().wish, view(1), "once in an interval");
    solo.pass(10 * T);
    assert!(lost(&mut solo, 3)[0].contains("want v1"));
    assert_eq!(solo.replica.status().wish, view(1), "the view after its own, and none beyond that");
    enter(&mut solo, 1);
    solo.pass(10 * T);
    assert!(lost(&mut solo, 4)[0].contains("want v1"));
    assert_eq!(solo.replica.status().wish, view(2));
}

#[test]
fn d2_losses_that_are_told_to_one_alone_make_it_want_no_more_than_the_view_after_its_own() {
    let mut solo = Solo::with(cluster(4), 1, Tuning { rejoin_interval: 10 * T, ..Tuning::from_timeout(T) });
    for nonce in 0..20 {
        for from in [0, 2, 3] {
            let bytes = solo.forge.rejoin(solo.as_traitor(from), [nonce; 32]);
            solo.feed(&bytes);
        }
        solo.pass(10 * T);
    }
    assert_eq!((solo.replica.status().view, solo.replica.status().wish), (view(0), view(1)));
}

#[test]
fn d2_a_new_view_alone_lets_nobody_speak_again_before_something_is_certified_in_it() {
    let mut solo = rejoining();
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(5), None));
    let bytes = solo.forge.new_view(&solo.keys[1], view(5), &claims, None);
    solo.feed(&bytes);
    assert!(
        solo.replica.status().normal && solo.replica.status().rejoining,
        "what it voted for below may be certified, and held by nobody else"
    );
    let old = solo.certificate(&[0, 2, 3], Prepare, 4, solo.genesis());
    solo.feed_certificate(&old);
    assert!(solo.replica.status().rejoining, "of a view in which it may have voted");
    solo.vote(0, Prepare, 5, solo.genesis());
    solo.vote(2, Prepare, 5, solo.genesis());
    assert!(solo.replica.status().rejoining, "two of four");
    solo.vote(3, Prepare, 5, solo.genesis());
    assert!(!solo.replica.status().rejoining);
}

/// It has executed 1 to 5 and holds none of that; it decides 6 if it `decides`, and is given the blocks below.
fn taken_in_at_6(decides: bool) -> Solo {
    let cluster = || builder(4, 2).checkpoint_interval(64).log_window(128).pipeline(4).build().expect("a valid cluster");
    let blocks = Solo::with(cluster(), 1, Tuning::from_timeout(T)).blocks(6);
    let client = ClientId::new(client_key(0).verifying_key().to_bytes());
    let mut table = SessionTable::new(&cluster());
    (1..=5).for_each(|number| {
        table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest: Digest::default() });
    });
    let app = AppState {
        last_executed: blocks[4].sequence_number(),
        log_digest: blocks[4].digest(),
        sessions: table.encode(),
        snapshots: Vec::new(),
    };
    let mut solo = Solo::with_service(cluster(), 1, Tuning::from_timeout(T), Start::Rejoining { nonce: [7; 32] }, app);
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    if decides {
        solo.decide(0, &blocks[5]);
    }
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 5, (blocks[5].sequence_number(), blocks[5].digest()));
    solo.feed_certificate(&certificate);
    assert!(solo.replica.status().rejoining, "it holds none of 1 to 5");
    let downwards: Vec<_> = blocks.iter().rev().cloned().collect();
    if !decides {
        // Its own one first: what is below its service's position is taken from there on.
        let chain = solo.forge.chain(None, &downwards[..1]);
        solo.feed(&chain);
        assert!(solo.replica.status().rejoining, "it holds 6 and none of 1 to 5");
    }
    let chain = solo.forge.chain(None, &downwards[1..]);
    solo.feed(&chain);
    solo
}

#[test]
fn d2_what_is_decided_while_silent_hides_no_batch_below_it_that_is_on_no_record() {
    for decides in [false, true] {
        let mut solo = taken_in_at_6(decides);
        let status = solo.replica.status();
        assert_eq!((status.rejoining, status.blocks), (false, 6), "decided while silent: {decides}");
        // An execution is not durable (C1), the log is.
        solo.restart();
        assert_eq!(solo.replica.status().blocks, 6, "decided while silent: {decides}; {:?}", solo.records);
    }
}

/// Rejoins with a service that has executed blocks up to here, each with the client's next request, and has the state at 2.
fn outlived(executed: u64) -> (Solo, Vec<ForgedBlock>, Manifest) {
    let (cluster, other) = (cluster(4), backup());
    let blocks = other.blocks(executed);
    let client = ClientId::new(client_key(0).verifying_key().to_bytes());
    let mut table = SessionTable::new(&cluster);
    (1..=executed).for_each(|number| {
        table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest: Digest::default() });
    });
    let last = &blocks[executed as usize - 1];
    let manifest = other.forge.manifest((SequenceNumber::new(2), blocks[1].digest()), &[], &[chunk_digest(b"the state")]);
    let app = AppState {
        last_executed: last.sequence_number(),
        log_digest: last.digest(),
        sessions: table.encode(),
        snapshots: vec![manifest.clone()],
    };
    let start = Start::Rejoining { nonce: [7; 32] };
    (Solo::with_service(cluster, 1, Tuning::from_timeout(T), start, app), blocks, manifest)
}

#[test]
fn d2_what_was_executed_up_to_a_window_above_the_stable_checkpoint_is_asked_for_and_not_beyond() {
    for (executed, asks) in [(8, true), (9, false)] {
        let (mut solo, ..) = outlived(executed);
        for _ in 0..3 {
            solo.pass(T / 32);
        }
        let asked = said(&mut solo, "Fetch");
        assert_eq!(!asked.is_empty(), asks, "{executed}: {asked:?}");
    }
}

/// This becomes stable, and view 6 begins there.
fn begin_at_stable(solo: &mut Solo, manifest: &Manifest) {
    let checkpoint = solo.forge.checkpoint_of(manifest);
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint);
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 6, checkpoint.position);
    solo.feed_certificate(&certificate);
}

#[test]
fn d2_where_the_view_begins_at_the_stable_checkpoint_nothing_above_it_is_owed() {
    let (mut solo, _, manifest) = outlived(3);
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    begin_at_stable(&mut solo, &manifest);
    let status = solo.replica.status();
    assert_eq!(
        (status.rejoining, status.blocks, status.executed),
        (false, 0, SequenceNumber::new(3)),
        "block 3 is not held, and need not be"
    );
}

#[test]
fn d2_where_the_view_begins_at_the_stable_checkpoint_its_state_is_to_be_durable() {
    let mut solo = rejoining();
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    let blocks = solo.blocks(2);
    blocks.iter().for_each(|block| solo.decide(0, block));
    let order =
        solo.commands.iter().find_map(|command| if let AppCommand::TakeCheckpoint(order) = command { Some(order.clone()) } else { None });
    let manifest = order.expect("ordered").manifest([chunk_digest(b"the state")]);
    begin_at_stable(&mut solo, &manifest);
    assert!(solo.replica.status().rejoining, "executed, and lost with the next crash");
    solo.step(Input::CheckpointTaken(manifest));
    assert!(!solo.replica.status().rejoining);
}

#[test]
fn d2_where_the_view_began_below_the_stable_checkpoint_that_is_to_be_decided() {
    let mut solo = rejoining();
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    let blocks = solo.blocks(2);
    let state = Digest::new([5; 32]);
    let checkpoint = ForgedCheckpoint { position: (blocks[1].sequence_number(), blocks[1].digest()), state };
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint);
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(6), None));
    let bytes = solo.forge.new_view(&solo.keys[2], view(6), &claims, None);
    solo.feed(&bytes);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 6, solo.genesis());
    solo.feed_certificate(&certificate);
    let seen: Vec<(u64, bool)> = blocks
        .iter()
        .map(|block| {
            solo.propose(6, block);
            let status = solo.replica.status();
            (status.decided.get(), status.rejoining)
        })
        .collect();
    assert_eq!(seen, [(0, true), (2, false)]);
}

#[test]
fn d2_who_has_lost_its_log_counts_its_ordinals_anew() {
    let mut solo = backup();
    let status = |solo: &mut Solo, in_view: u64, ordinal: u64| {
        let forged = ForgedStatus { ordinal, view: view(in_view), ..ForgedStatus::default() };
        let bytes = solo.forge.status_of(solo.as_traitor(3), &forged);
        solo.feed(&bytes)
    };
    assert_eq!(status(&mut solo, 0, 1 << 60), Disposition::Applied);
    assert_eq!(status(&mut solo, 0, 1), Disposition::Ignored(Why::Stale));
    let bytes = solo.forge.rejoin(solo.as_traitor(3), [1; 32]);
    solo.feed(&bytes);
    assert_eq!(status(&mut solo, 0, 1), Disposition::Applied);
    assert_eq!(status(&mut solo, 0, 1), Disposition::Applied, "what is said again of before must not drown it");
    // Above the view that it may have been in, its ordinals count again.
    assert_eq!(status(&mut solo, 2, 7), Disposition::Applied);
    assert_eq!(status(&mut solo, 2, 7), Disposition::Ignored(Why::Stale));
    assert_eq!(status(&mut solo, 2, 8), Disposition::Applied);
    assert_eq!(status(&mut solo, 0, 1), Disposition::Ignored(Why::Stale), "all of before is old");
}

#[test]
fn t2_a_question_from_before_a_loss_that_nobody_remembers_drowns_none_of_those_after_it() {
    let mut solo = backup();
    let block = solo.blocks(1).remove(0);
    solo.decide(0, &block);
    let asks = |solo: &mut Solo, ordinal: u64| {
        let bytes = solo.forge.fetch(solo.as_traitor(3), ordinal, SequenceNumber::new(0), (block.sequence_number(), block.digest()));
        solo.feed(&bytes)
    };
    let status = |solo: &mut Solo, ordinal: u64| {
        let forged = ForgedStatus { ordinal, view: view(2), ..ForgedStatus::default() };
        let bytes = solo.forge.status_of(solo.as_traitor(3), &forged);
        assert_eq!(solo.feed(&bytes), Disposition::Applied);
    };
    let old = 1 << 40;
    let forged = ForgedStatus { ordinal: old - 1, ..ForgedStatus::default() };
    let bytes = solo.forge.status_of(solo.as_traitor(3), &forged);
    solo.feed(&bytes);
    assert_eq!(asks(&mut solo, old), Disposition::Applied);
    status(&mut solo, 7);
    assert_eq!(asks(&mut solo, 8), Disposition::Applied);
    assert_eq!(asks(&mut solo, old), Disposition::Ignored(Why::Stale), "once");
    assert_eq!(asks(&mut solo, 9), Disposition::Applied);
    assert_eq!(asks(&mut solo, 8), Disposition::Ignored(Why::Stale), "said again");
    status(&mut solo, 20);
    assert_eq!(asks(&mut solo, 15), Disposition::Applied, "that status has overtaken it");
    assert_eq!(asks(&mut solo, 7), Disposition::Ignored(Why::Stale), "below the last status but one");
    for ordinal in 21..=85 {
        assert_eq!(asks(&mut solo, ordinal), Disposition::Applied, "{ordinal}");
    }
    assert_eq!(asks(&mut solo, 22), Disposition::Ignored(Why::Stale), "one of the last 64");
    assert_eq!(asks(&mut solo, 21), Disposition::Applied, "no more are remembered, and a status comes before so many");
}

#[test]
fn d2_what_a_rejoining_replica_enters_by_binds_its_claims() {
    let claims_after = |entry: &dyn Fn(&Solo) -> Vec<u8>| {
        let mut solo = rejoining();
        for from in [0, 2, 3] {
            welcome(&mut solo, from, [7; 32], 3);
        }
        let bytes = entry(&solo);
        solo.feed(&bytes);
        for from in [0, 2, 3] {
            solo.vote(from, Prepare, 5, solo.genesis());
        }
        assert!(!solo.replica.status().rejoining);
        solo.wants(&[0, 2, 3], 6);
        said(&mut solo, "to all: ViewChange v6").join(" ")
    };
    let by_new_view = claims_after(&|solo| {
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
        let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(5), Some(&certificate)));
        solo.forge.new_view(&solo.keys[1], view(5), &claims, None)
    });
    assert!(by_new_view.contains("claim (5,0)"), "{by_new_view}");
    let by_certificate = claims_after(&|solo| {
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 5, solo.genesis());
        solo.forge.certificate_message(&certificate)
    });
    assert!(by_certificate.contains("claim (5,0)"), "{by_certificate}");
}

#[test]
fn d2_who_has_lost_its_own_log_answers_nobody_that_has_lost_one() {
    let mut solo = rejoining();
    let bytes = solo.forge.rejoin(solo.as_traitor(3), [3; 32]);
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotNeeded));
    assert_eq!(said(&mut solo, "Welcome"), [""; 0]);
}

#[test]
fn d2_a_rejoining_replica_speaks_when_a_snapshot_at_the_stable_checkpoint_is_durable() {
    let mut solo = rejoining();
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 0);
    }
    let blocks = solo.blocks(3);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (blocks[1].sequence_number(), blocks[1].digest()));
    let chain = solo.forge.chain(Some(&certificate), &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    let order = solo.commands.iter().find_map(|command| match command {
        AppCommand::TakeCheckpoint(order) => Some(order.clone()),
        _ => None,
    });
    let manifest = order.expect("ordered").manifest([chunk_digest(b"the state")]);
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 5, (blocks[2].sequence_number(), blocks[2].digest()));
    let chain = solo.forge.chain(Some(&certificate), &blocks[2..]);
    solo.feed(&chain);
    let status = solo.replica.status();
    assert_eq!((status.view, status.decided, status.stable), (view(5), SequenceNumber::new(2), SequenceNumber::new(2)));
    assert!(status.rejoining, "it has executed what others hold it to, and a crash would lose that");
    solo.step(Input::CheckpointTaken(manifest));
    assert!(!solo.replica.status().rejoining);
}

#[test]
fn d2_a_rejoining_replica_records_what_it_fetched_before_it_speaks() {
    let mut solo = rejoining();
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    let blocks = solo.blocks(2);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 5, (blocks[1].sequence_number(), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    assert!(solo.replica.status().rejoining, "above the bound, but it may have vouched for batches that nobody else has");
    let chain = solo.forge.chain(None, &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    assert!(!solo.replica.status().rejoining);
    solo.restart();
    assert_eq!(solo.replica.status().blocks, 2, "{:?}", solo.records);
}

#[test]
fn e_a_loss_under_the_own_name_is_no_sign_of_a_thief() {
    // The own question, one from before an earlier loss, and one that came back when it was answered.
    for (mut solo, nonce) in [(rejoining(), [7; 32]), (rejoining(), [8; 32]), (backup(), [7; 32])] {
        let bytes = solo.forge.rejoin(solo.as_traitor(1), nonce);
        assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotMine));
        assert!(!solo.events.iter().any(|event| matches!(event, Event::Impersonated { .. })));
    }
}

#[test]
fn d2_a_snapshot_above_the_services_state_counts_for_nothing() {
    // It was taken of a state that the service has lost since, or stored of one that was not made its own.
    let (cluster, other) = (cluster(4), backup());
    let blocks = other.blocks(2);
    let manifest = other.forge.manifest((SequenceNumber::new(2), blocks[1].digest()), &[], &[chunk_digest(b"the state")]);
    let app = AppState { snapshots: vec![manifest.clone()], ..AppState::default() };
    let start = Start::Rejoining { nonce: [7; 32] };
    let mut solo = Solo::with_service(cluster, 1, Tuning::from_timeout(T), start, app);
    for from in [0, 2, 3] {
        welcome(&mut solo, from, [7; 32], 3);
    }
    blocks.iter().for_each(|block| solo.decide(0, block));
    begin_at_stable(&mut solo, &manifest);
    assert!(solo.replica.status().rejoining, "executed, and lost with the next crash");
}
