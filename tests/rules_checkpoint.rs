//! C1–C4, and what the window bounds: one replica among forged messages, rule by rule.

mod support;

use logothete::sim::forge::ForgedCheckpoint;
use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::{AppCommand, AppState, Bytes, Cluster, Digest, Disposition, Event, Input, Manifest, Tuning, Why, chunk_digest};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, at, view};

const PART: &[u8] = b"the state";

/// K = 2, L = 8, P = 4.
fn cluster(replicas: usize) -> Cluster {
    builder(replicas, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster")
}

fn backup() -> Solo {
    Solo::with(cluster(4), 1, Tuning { retention: 2, ..Tuning::from_timeout(T) })
}

fn stable_at(solo: &mut Solo, checkpoint: ForgedCheckpoint) -> Disposition {
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint);
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes)
}

fn elsewhere(number: u64, digest: u8, state: u8) -> ForgedCheckpoint {
    ForgedCheckpoint { position: (at(number), Digest::new([digest; 32])), state: Digest::new([state; 32]) }
}

fn said(solo: &mut Solo, what: &str) -> Vec<String> {
    solo.words().into_iter().filter(|words| words.contains(what)).collect()
}

#[test]
fn c1_a_checkpoint_is_voted_on_when_its_snapshot_is_durable_and_execution_waits_for_the_order() {
    let mut solo = backup();
    for block in solo.blocks(4) {
        solo.decide(0, &block);
    }
    // Batch 3 is given out only behind the order for the snapshot of batch 2.
    let executed: Vec<u64> = solo.decisions.iter().map(|decision| decision.sequence_number().get()).collect();
    assert_eq!(executed, [1, 2, 3, 4]);
    let orders: Vec<u64> = solo
        .commands
        .iter()
        .filter_map(|command| match command {
            AppCommand::TakeCheckpoint(order) => Some(order.sequence_number().get()),
            _ => None,
        })
        .collect();
    assert_eq!(orders, [2, 4]);
    assert_eq!(said(&mut solo, "Checkpoint"), [""; 0], "no vote without a snapshot");
    solo.take_checkpoint(PART);
    assert_eq!(said(&mut solo, "to all: Checkpoint n2").len(), 1);
    assert!(solo.records.iter().any(|record| record.contains("Checkpoint n2")), "and not without its record");
    // Another answer for the same position is for nothing.
    solo.take_checkpoint(PART);
    let again = solo.forge.manifest((at(2), solo.blocks(2)[1].digest()), &[], &[chunk_digest(b"other")]);
    assert_eq!(solo.step(Input::CheckpointTaken(again)), Disposition::Ignored(Why::NotNeeded));
}

#[test]
fn c1_a_manifest_of_another_snapshot_halts() {
    let mut solo = backup();
    let blocks = solo.blocks(2);
    blocks.iter().for_each(|block| solo.decide(0, block));
    let other = solo.forge.manifest((at(2), blocks[1].digest()), &[], &[chunk_digest(PART)]);
    assert_eq!(solo.step(Input::CheckpointTaken(other)), Disposition::Halted, "the session table is missing in it");
}

#[test]
fn c2_a_quorum_of_equal_votes_and_nothing_less_moves_the_window() {
    let mut solo = backup();
    let blocks = solo.blocks(4);
    blocks.iter().for_each(|block| solo.decide(0, block));
    let manifest = solo.take_checkpoint(PART).expect("ordered");
    let true_one = solo.forge.checkpoint_of(&manifest);
    let false_one = ForgedCheckpoint { state: Digest::new([9; 32]), ..true_one };
    for (member, checkpoint) in [(0, false_one), (2, true_one), (2, true_one)] {
        let bytes = solo.forge.checkpoint(solo.as_traitor(member), checkpoint);
        solo.feed(&bytes);
    }
    assert_eq!(solo.replica.status().stable, at(0), "the own vote and one more are two of three");
    let bytes = solo.forge.checkpoint(solo.as_traitor(3), true_one);
    solo.feed(&bytes);
    let status = solo.replica.status();
    assert_eq!((status.stable, status.floor), (at(2), at(0)), "the retention is two");
    solo.take_checkpoint(PART);
    let next = ForgedCheckpoint { position: (at(4), blocks[3].digest()), state: Digest::default() };
    let last = solo.events.clone();
    assert!(last.iter().any(|event| matches!(event, Event::Stable { sequence_number, .. } if *sequence_number == at(2))));
    // Old votes, votes off the interval and far above the window.
    let bytes = solo.forge.checkpoint(solo.as_traitor(0), true_one);
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::Stale));
    let bytes = solo.forge.checkpoint(solo.as_traitor(0), ForgedCheckpoint { position: (at(3), blocks[2].digest()), ..next });
    assert!(solo.refuses(&bytes));
    for (number, taken) in [(10, Disposition::Applied), (12, Disposition::Ignored(Why::FarAhead))] {
        let bytes = solo.forge.checkpoint(solo.as_traitor(0), elsewhere(number, 1, 1));
        assert_eq!(solo.feed(&bytes), taken, "stable + L = 10");
    }
}

#[test]
fn i11_nothing_is_prepared_above_the_window_before_it_moves_on() {
    let mut solo = backup();
    let blocks = solo.blocks(10);
    for block in &blocks {
        let proposal = solo.forge.pre_prepare(&solo.keys[0], view(0), block);
        solo.feed(&proposal);
        // With its certificate the pipeline has room for more.
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (block.sequence_number(), block.digest()));
        solo.feed(&solo.forge.certificate_message(&certificate));
    }
    let prepared = said(&mut solo, "to all: Prepare");
    assert_eq!(prepared.len(), 8, "L is 8: {prepared:?}");
    blocks[..2].iter().for_each(|block| solo.decide(0, block));
    let manifest = solo.take_checkpoint(PART).expect("ordered");
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    assert_eq!(solo.replica.status().stable, at(2));
    assert_eq!(solo.replica.status().head, at(10), "and now it goes on");
    // It never falls.
    let before = solo.replica.status().stable;
    stable_at(&mut solo, elsewhere(2, 1, 1));
    assert_eq!(solo.replica.status().stable, before);
}

#[test]
fn e_two_checkpoints_of_one_replica_are_evidence() {
    let mut solo = backup();
    let one = elsewhere(2, 1, 1);
    for state in [1, 2] {
        let bytes = solo.forge.checkpoint(solo.as_traitor(3), ForgedCheckpoint { state: Digest::new([state; 32]), ..one });
        solo.feed(&bytes);
    }
    let evidence = solo.events.iter().find_map(|event| if let Event::Evidence(evidence) = event { Some(evidence.clone()) } else { None });
    let evidence = evidence.expect("evidence");
    assert_eq!(evidence.culprit().get(), 3);
    evidence.verify(&solo.cluster).expect("stands alone");
}

#[test]
fn c2_votes_that_can_not_agree_any_more_are_told_of() {
    let mut solo = backup();
    solo.blocks(2).iter().for_each(|block| solo.decide(0, block));
    solo.take_checkpoint(PART).expect("ordered");
    // With the own one: after the third no quorum is left, and after the fourth that is nothing new.
    for (member, state, times) in [(0, 1, 0), (2, 2, 1), (3, 3, 1)] {
        let bytes = solo.forge.checkpoint(solo.as_traitor(member), elsewhere(2, 1, state));
        solo.feed(&bytes);
        let told = solo.events.iter().filter(|event| matches!(event, Event::NoAgreement { .. })).count();
        assert_eq!(told, times, "{:?}", solo.events);
    }
}

#[test]
fn c2_a_second_stable_checkpoint_at_one_position_halts() {
    let mut solo = backup();
    assert_eq!(stable_at(&mut solo, elsewhere(2, 1, 1)), Disposition::Applied);
    assert_eq!(stable_at(&mut solo, elsewhere(2, 1, 1)), Disposition::Ignored(Why::Stale));
    assert_eq!(stable_at(&mut solo, elsewhere(2, 1, 2)), Disposition::Halted);
}

#[test]
fn c2_a_stable_checkpoint_against_the_decided_log_halts() {
    let mut solo = backup();
    let blocks = solo.blocks(2);
    blocks.iter().for_each(|block| solo.decide(0, block));
    assert_eq!(stable_at(&mut solo, elsewhere(2, 1, 1)), Disposition::Halted);
}

#[test]
fn c2_the_log_is_let_go_of_up_to_what_is_still_held() {
    let mut solo = backup();
    let blocks = solo.blocks(6);
    for block in &blocks {
        solo.propose(0, block);
        solo.decide(0, block);
        if let Some(manifest) = solo.take_checkpoint(PART) {
            let checkpoint = solo.forge.checkpoint_of(&manifest);
            stable_at(&mut solo, checkpoint);
        }
    }
    let states: Vec<&String> = solo.records.iter().filter(|record| record.contains("State")).collect();
    assert_eq!(states.len(), 3);
    // Stable 6, retention 2: what holds block 5 is kept.
    let prepare = solo.records.iter().find(|record| record.contains("Prepare v0 n5")).expect("a vote");
    let index = prepare.split_whitespace().next().expect("an index");
    assert!(states[2].contains(&format!("blocks from {index} on")), "{prepare}, {}", states[2]);
}

#[test]
fn c3_below_a_stable_checkpoint_nothing_is_voted_on_until_a_certificate_leads_above_it() {
    let mut solo = backup();
    let blocks = solo.blocks(6);
    solo.propose(0, &blocks[0]);
    assert_eq!(solo.votes(), [(Prepare, 0, 1)]);
    // The others are at 4 already.
    stable_at(&mut solo, ForgedCheckpoint { position: (at(4), blocks[3].digest()), state: Digest::new([1; 32]) });
    for block in &blocks[1..] {
        solo.propose(0, block);
    }
    // It has all of the chain: it decides up to 4, but its view's chain has not led it there.
    assert_eq!(solo.replica.status().decided, at(4));
    assert_eq!(solo.votes(), [], "unanchored");
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(5), blocks[4].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.votes(), [(Commit, 0, 5), (Prepare, 0, 6)], "V5");
}

/// A stable checkpoint far above, with a state of these parts, and the manifest of it.
fn far_away(solo: &Solo, parts: &[&[u8]]) -> (Manifest, ForgedCheckpoint) {
    let digests: Vec<Digest> = parts.iter().map(|part| chunk_digest(part)).collect();
    let manifest = solo.forge.manifest((at(40), Digest::new([4; 32])), &[], &digests);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    (manifest, checkpoint)
}

#[test]
fn c3_a_state_is_fetched_part_by_part_and_only_what_hashes_is_believed() {
    let mut solo = backup();
    let parts: [&[u8]; 3] = [b"one", b"two", b"three"];
    let (manifest, checkpoint) = far_away(&solo, &parts);
    stable_at(&mut solo, checkpoint);
    assert_eq!(said(&mut solo, "Fetch by R1 manifest n40").len(), 1, "it can't get there by the chain");
    // A manifest of something else.
    let other = solo.forge.manifest((at(40), Digest::new([4; 32])), &[], &[chunk_digest(b"rubbish")]);
    let bytes = solo.forge.manifest_message(&other);
    assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotNeeded));
    let bytes = solo.forge.manifest_message(&manifest);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    assert!(matches!(solo.commands.last(), Some(AppCommand::FetchState(_))));
    // The second part is there already.
    solo.step(Input::PartsMissing { sequence_number: at(40), missing: vec![0, 2] });
    let asked = said(&mut solo, "Fetch by R1 chunk");
    assert!(asked.len() == 2 && asked[0].contains("chunk 0") && asked[1].contains("chunk 2"), "{asked:?}");
    let receivers: Vec<&str> = asked.iter().map(|words| &words[..8]).collect();
    assert_ne!(receivers[0], receivers[1], "not all from one");
    let rubbish = solo.forge.chunk(b"rubbish");
    assert_eq!(solo.feed(&rubbish), Disposition::Ignored(Why::NotNeeded));
    for (index, part) in [(2, parts[2]), (0, parts[0])] {
        let bytes = solo.forge.chunk(part);
        assert_eq!(solo.feed(&bytes), Disposition::Applied);
        assert_eq!(solo.feed(&bytes), Disposition::Ignored(Why::NotNeeded), "once");
        assert!(matches!(solo.commands.last(), Some(AppCommand::StoreChunk { index: stored, .. }) if *stored == index));
    }
    solo.step(Input::ChunkStored { sequence_number: at(40), index: 2 });
    assert!(!matches!(solo.commands.last(), Some(AppCommand::InstallState(_))), "one is not stored yet");
    solo.step(Input::ChunkStored { sequence_number: at(40), index: 0 });
    assert!(matches!(solo.commands.last(), Some(AppCommand::InstallState(_))));
    assert_eq!(solo.replica.status().decided, at(0), "not before the service has it");
    let app = AppState { last_executed: at(40), log_digest: Digest::new([4; 32]), sessions: Bytes::default(), snapshots: vec![manifest] };
    assert_eq!(solo.step(Input::StateInstalled(app)), Disposition::Applied);
    let status = solo.replica.status();
    assert_eq!((status.decided, status.executed, status.log_digest), (at(40), at(40), Digest::new([4; 32])));
    // It is no position of this view's chain: from there it does not vote on, before a certificate of the view leads there.
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(38), Digest::new([9; 32])));
    solo.feed_certificate(&certificate);
    let next = solo.block(41, Digest::new([4; 32]), 1);
    solo.propose(0, &next);
    assert_eq!((solo.replica.status().head, solo.votes()), (at(0), vec![]));
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(41), next.digest()));
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().head, solo.votes()), (at(41), vec![(Commit, 0, 41)]));
}

#[test]
fn c3_who_does_not_answer_is_not_asked_again_first() {
    let mut solo = Solo::with(cluster(7), 1, Tuning::from_timeout(T));
    let (_, checkpoint) = far_away(&solo, &[PART]);
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3, 4, 5]), checkpoint);
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    let mut asked = said(&mut solo, "manifest n40");
    for _ in 0..5 {
        solo.pass(Duration::from_millis(201));
        asked.extend(said(&mut solo, "manifest n40"));
    }
    let mut receivers: Vec<&str> = asked.iter().map(|words| &words[..5]).collect();
    receivers.sort_unstable();
    receivers.dedup();
    assert_eq!((asked.len(), receivers.len()), (6, 6), "each of the six others, once: {asked:?}");
}

#[test]
fn c3_a_service_that_installs_something_else_halts_its_replica() {
    let mut solo = backup();
    let (manifest, checkpoint) = far_away(&solo, &[]);
    stable_at(&mut solo, checkpoint);
    let bytes = solo.forge.manifest_message(&manifest);
    solo.feed(&bytes);
    solo.step(Input::PartsMissing { sequence_number: at(40), missing: vec![] });
    let app = AppState { last_executed: at(40), log_digest: Digest::new([5; 32]), ..AppState::default() };
    assert_eq!(solo.step(Input::StateInstalled(app)), Disposition::Halted);
}

#[test]
fn c4_a_state_that_is_not_the_quorums_neither_votes_nor_answers_and_is_replaced() {
    // Also where nothing is held of what was decided up to there.
    [2, 0].into_iter().for_each(a_wrong_state_is_replaced);
}

fn a_wrong_state_is_replaced(retention: u64) {
    let mut solo = Solo::with(cluster(4), 1, Tuning { retention, ..Tuning::from_timeout(T) });
    let blocks = solo.blocks(4);
    solo.decide(0, &blocks[0]);
    solo.decide(0, &blocks[1]);
    let own = solo.take_checkpoint(b"a defect").expect("ordered");
    let order = solo.forge.manifest((at(2), blocks[1].digest()), &[], &[]);
    assert_ne!(own, order);
    // The same session table, and the true state.
    let sessions: Vec<Digest> = (0..own.session_chunk_count()).filter_map(|index| own.chunk(index)).collect();
    let manifest = solo.forge.manifest((at(2), blocks[1].digest()), &sessions, &[chunk_digest(PART)]);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    assert_eq!(solo.replica.status().diverged, Some(at(2)));
    assert!(solo.events.iter().any(|event| matches!(event, Event::Diverged { .. })));
    solo.words();
    solo.propose(0, &blocks[2]);
    solo.decide(0, &blocks[2]);
    let request = solo.forge.request(&support::client_key(0), logothete::RequestNumber::new(1), b"order");
    let bytes = solo.forge.request_message(&request);
    solo.feed(&bytes);
    let words = solo.words();
    assert!(!words.iter().any(|words| words.contains("Prepare") || words.contains("Reply") || words.contains("Answered")), "{words:?}");
    assert_eq!(solo.replica.status().decided, at(2));
    // Repaired.
    let bytes = solo.forge.manifest_message(&manifest);
    solo.feed(&bytes);
    let last = manifest.chunk_count() - 1;
    solo.step(Input::PartsMissing { sequence_number: at(2), missing: vec![last] });
    let bytes = solo.forge.chunk(PART);
    solo.feed(&bytes);
    solo.step(Input::ChunkStored { sequence_number: at(2), index: last });
    assert!(matches!(solo.commands.last(), Some(AppCommand::InstallState(_))));
    // The session table: client 0 has had requests 1 and 2, both with the result "order".
    let result = logothete_result(b"order");
    let mut sessions = support::client_key(0).verifying_key().to_bytes().to_vec();
    sessions.extend_from_slice(&2_u64.to_le_bytes());
    sessions.extend_from_slice(&2_u32.to_le_bytes());
    sessions.extend_from_slice(&[result, result].concat());
    assert_eq!(manifest.chunk(0), Some(chunk_digest(&sessions)), "as SPEC lays it out");
    let app = AppState { last_executed: at(2), log_digest: blocks[1].digest(), sessions: Bytes::from(sessions), snapshots: vec![manifest] };
    solo.step(Input::StateInstalled(app));
    assert_eq!((solo.replica.status().diverged, solo.replica.status().decided), (None, at(3)));
    solo.propose(0, &blocks[3]);
    assert_eq!(solo.votes(), [(Prepare, 0, 4)], "it votes again");
}

/// A result's digest, a second time from SPEC 3.
fn logothete_result(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::new().chain_update(b"logothete/result").chain_update(bytes).finalize().into()
}

/// A quorum's certificate of the base of `in_view`, which lets anybody enter it.
#[test]
fn p1_nothing_is_accepted_beyond_the_window() {
    let mut solo = backup();
    let blocks = solo.blocks(10);
    for block in &blocks {
        solo.propose(0, block);
        if [4, 7].map(at).contains(&block.sequence_number()) {
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (block.sequence_number(), block.digest()));
            solo.feed_certificate(&certificate);
        }
    }
    assert_eq!(solo.replica.status().head, at(8), "L = 8, although the pipeline would have room");
    assert_eq!(solo.votes().last(), Some(&(Prepare, 0, 8)));
}

#[test]
fn p5_no_position_is_decided_beyond_the_window() {
    let mut solo = backup();
    let blocks = solo.blocks(9);
    for block in &blocks {
        solo.propose(0, block);
        if [4, 7].map(at).contains(&block.sequence_number()) {
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (block.sequence_number(), block.digest()));
            solo.feed_certificate(&certificate);
        }
    }
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(9), blocks[8].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().decided, at(8), "all nine are held, but only eight are within L of stable");
    let manifest = solo.take_checkpoint(PART).expect("ordered");
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    assert_eq!(solo.replica.status().decided, at(9));
}

#[test]
fn p2_a_base_above_the_window_waits_for_the_checkpoint_that_opens_it() {
    let mut solo = Solo::with(cluster(4), 2, Tuning { retention: 2, ..Tuning::from_timeout(T) });
    let blocks = solo.blocks(9);
    for block in &blocks {
        solo.propose(0, block);
        if [4, 7].map(at).contains(&block.sequence_number()) {
            let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (block.sequence_number(), block.digest()));
            solo.feed_certificate(&certificate);
        }
    }
    // The others have a stable checkpoint, and went on to 9.
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(9), blocks[8].digest()));
    let claims = [0, 1, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(1), Some(&certificate)));
    let new_view = solo.forge.new_view(&solo.keys[1], view(1), &claims, None);
    solo.feed(&new_view);
    assert_eq!((solo.replica.status().view, solo.replica.status().head), (view(1), at(9)));
    assert!(!solo.votes().iter().any(|(_, in_view, _)| *in_view == 1));
    solo.decide(0, &blocks[0]);
    solo.decide(0, &blocks[1]);
    let manifest = solo.take_checkpoint(PART).expect("ordered");
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    assert_eq!(solo.votes(), [(Prepare, 1, 9)]);
}

#[test]
fn i7_a_new_view_against_a_decision_halts() {
    let mut solo = Solo::with(cluster(4), 2, Tuning::from_timeout(T));
    let blocks = solo.blocks(1);
    solo.decide(0, &blocks[0]);
    let other = solo.block_saying(1, solo.genesis().1, 1, b"other");
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 1, (at(1), other.digest()));
    let claims = [0, 1, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    let records = solo.records.len();
    solo.sent.clear();
    assert_eq!(solo.feed(&new_view), Disposition::Halted);
    assert_eq!((solo.records.len(), solo.sent.len()), (records, 0), "nothing of that step leaves it, not even that it entered");
}

#[test]
fn i7_a_second_new_view_against_what_its_view_decided_halts_nobody() {
    let mut solo = backup();
    let blocks = solo.blocks(3);
    solo.wants(&[0, 2, 3], 4);
    // View 4 has begun at genesis and decided two batches, of which only the checkpoint is heard of here.
    stable_at(&mut solo, ForgedCheckpoint { position: (at(2), blocks[1].digest()), state: Digest::new([1; 32]) });
    let chain = solo.forge.chain(None, &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    assert_eq!((solo.replica.status().view, solo.replica.status().decided), (view(4), at(2)));
    // Its primary begins it a second time, from what was prepared in view 0 and never decided.
    let other = solo.block_saying(1, solo.genesis().1, 1, b"other");
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), other.digest()));
    let claims = [0, 1, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(4), Some(&certificate)));
    let new_view = solo.forge.new_view(&solo.keys[0], view(4), &claims, None);
    assert_eq!(solo.feed(&new_view), Disposition::Applied);
    assert!(!solo.votes().iter().any(|(_, in_view, _)| *in_view == 4), "no vote off the decided log");
    // A certificate of the view brings it back.
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 4, (at(2), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    solo.propose(4, &blocks[2]);
    assert_eq!(solo.votes(), [(Prepare, 4, 3)]);
}

#[test]
fn c2_stable_only_rises_and_the_snapshot_before_it_stays_for_those_who_fetch_it() {
    let mut solo = backup();
    let mut checkpoints = Vec::new();
    for block in solo.blocks(4) {
        solo.decide(0, &block);
        if let Some(manifest) = solo.take_checkpoint(PART) {
            checkpoints.push(solo.forge.checkpoint_of(&manifest));
            stable_at(&mut solo, checkpoints[checkpoints.len() - 1]);
        }
    }
    assert_eq!(solo.replica.status().stable, at(4));
    assert_eq!(stable_at(&mut solo, checkpoints[0]), Disposition::Ignored(Why::Stale));
    assert_eq!(solo.replica.status().stable, at(4));
    assert!(matches!(solo.commands.last(), Some(AppCommand::DiscardBefore(number)) if *number == at(2)), "{:?}", solo.commands);
    for (ordinal, checkpoint) in (1..).zip(&checkpoints) {
        let fetch = solo.forge.fetch_manifest(solo.as_traitor(3), ordinal, checkpoint.position.0, checkpoint.state);
        solo.feed(&fetch);
        assert_eq!(said(&mut solo, "to R3: Manifest").len(), 1, "{checkpoint:?}");
    }
}

#[test]
fn c2_what_is_held_for_laggards_is_bounded_in_batches_and_in_bytes() {
    for (retention, retention_bytes_max, floor) in [(3, u64::MAX, 1), (0, u64::MAX, 4), (3, 0, 4)] {
        let mut solo = Solo::with(cluster(4), 1, Tuning { retention, retention_bytes_max, ..Tuning::from_timeout(T) });
        for block in solo.blocks(6) {
            solo.decide(0, &block);
            if let Some(manifest) = solo.take_checkpoint(PART).filter(|_| block.sequence_number() < at(6)) {
                let checkpoint = solo.forge.checkpoint_of(&manifest);
                stable_at(&mut solo, checkpoint);
            }
        }
        let status = solo.replica.status();
        assert_eq!((status.stable, status.decided), (at(4), at(6)));
        assert_eq!(status.floor, at(floor), "retention {retention}, bytes {retention_bytes_max}; never above stable");
    }
}

#[test]
fn c4_results_of_a_wrong_state_that_come_late_are_not_answered() {
    let mut solo = backup();
    let blocks = solo.blocks(3);
    solo.decide(0, &blocks[0]);
    solo.decide(0, &blocks[1]);
    let own = solo.take_checkpoint(b"a defect").expect("ordered");
    // The service is busy with batch 3 when it turns out that its state at 2 was not the others'.
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
    let chain = solo.forge.chain(Some(&certificate), &blocks[2..]);
    let mut outbox = logothete::Outbox::new();
    solo.feed_into(&chain, &mut outbox);
    let writes = outbox.writes();
    solo.make_durable(writes, &mut outbox);
    assert_eq!(outbox.app().len(), 1);
    let others = solo.forge.manifest((at(2), blocks[1].digest()), &[], &[chunk_digest(PART)]);
    let checkpoint = solo.forge.checkpoint_of(&others);
    stable_at(&mut solo, checkpoint);
    assert_eq!(solo.replica.status().diverged, Some(at(2)));
    solo.words();
    solo.step(Input::Executed { sequence_number: at(3), results: vec![Bytes::from(b"wrong".to_vec())] });
    assert_eq!((solo.replica.status().executed, said(&mut solo, "Reply")), (at(3), vec![]));
    // Nor is its snapshot shown to anybody.
    let own = solo.forge.checkpoint_of(&own);
    let fetch = solo.forge.fetch_manifest(solo.as_traitor(3), 1, own.position.0, own.state);
    assert_eq!(solo.feed(&fetch), Disposition::Ignored(Why::NotNeeded));
}

#[test]
fn p2_a_chain_that_was_whole_is_not_once_its_blocks_have_gone() {
    let mut solo = backup();
    let blocks = solo.blocks(6);
    for block in &blocks {
        solo.propose(0, block);
    }
    assert_eq!(solo.replica.status().head, at(4), "the last two are held, and beyond the pipeline");
    solo.wants(&[0, 2, 3], 2);
    assert_eq!(solo.replica.status().blocks, 4);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(6), blocks[5].digest()));
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.sent.clear();
    solo.feed(&new_view);
    assert_eq!(solo.votes(), [], "no vote on what it does not hold");
    let chain = solo.forge.chain(None, &[blocks[5].clone(), blocks[4].clone()]);
    solo.feed(&chain);
    assert_eq!(solo.votes(), [(Prepare, 2, 6)]);
}

#[test]
fn c2_what_lower_views_left_goes_with_the_first_certificate() {
    let mut solo = backup();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), None));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    assert_eq!(solo.replica.status().blocks, 1, "it was prepared");
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().blocks, 0);
}

#[test]
fn c2_a_snapshot_of_what_the_window_has_passed_is_for_nothing() {
    let mut solo = backup();
    let blocks = solo.blocks(4);
    blocks.iter().for_each(|block| solo.decide(0, block));
    let orders: Vec<_> = solo
        .commands
        .iter()
        .filter_map(
            |command| if let AppCommand::TakeCheckpoint(order) = command { Some(order.manifest([chunk_digest(PART)])) } else { None },
        )
        .collect();
    let checkpoint = solo.forge.checkpoint_of(&orders[1]);
    stable_at(&mut solo, checkpoint);
    assert_eq!(solo.step(Input::CheckpointTaken(orders[0].clone())), Disposition::Ignored(Why::NotNeeded), "the one at 2");
    assert_eq!(solo.step(Input::CheckpointTaken(orders[1].clone())), Disposition::Applied, "the stable one");
}

#[test]
fn c1_at_the_stable_checkpoint_itself_a_snapshot_is_taken() {
    let mut solo = backup();
    let blocks = solo.blocks(2);
    stable_at(&mut solo, ForgedCheckpoint { position: (at(2), blocks[1].digest()), state: Digest::new([1; 32]) });
    blocks.iter().for_each(|block| solo.decide(0, block));
    assert!(solo.take_checkpoint(PART).is_some(), "who is a little late may serve it too, or find out that its state is another");
    assert_eq!(solo.replica.status().diverged, Some(at(2)));
}
