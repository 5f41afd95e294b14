//! D1, D2: what was promised still binds after a restart, and after one more: then a State record alone says it. Rule by rule, among forged messages.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, ForgedViewChange};
use logothete::{
    AppCommand, AppState, Bytes, Disposition, Event, Input, MessageKind, Outbox, Output, Record, Replica, ReplicaId, Signer, Start, Tuning,
    Wal, chunk_digest, persist,
};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, at, view};

/// Replica 1 of 4: the primary of view 1. K = 2, L = 8, P = 4.
fn solo() -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 1, Tuning::from_timeout(T))
}

/// Once, and twice: the first time its records are read, the second time the State written at the first.
const RESTARTS: [usize; 2] = [1, 2];

fn restart(solo: &mut Solo, times: usize) {
    (0..times).for_each(|_| solo.restart());
}

fn view_change(solo: &Solo, member: usize, to: u64) -> ForgedViewChange {
    solo.forge.view_change(solo.as_traitor(member), view(to), None)
}

fn feed_view_changes(solo: &mut Solo, members: &[usize], to: u64) {
    for member in members {
        let bytes = solo.forge.view_change_message(&view_change(solo, *member, to));
        solo.feed(&bytes);
    }
}

fn other_block(solo: &Solo) -> ForgedBlock {
    solo.block_saying(1, solo.genesis().1, 1, b"other")
}

/// Envelopes of this kind that were sent since the last look, as bytes.
fn sent(solo: &mut Solo, kind: MessageKind) -> Vec<Vec<u8>> {
    std::mem::take(&mut solo.sent).iter().filter(|envelope| envelope.kind() == kind).map(|envelope| envelope.encode().to_vec()).collect()
}

#[test]
fn p2_no_second_prepare_at_a_position_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(3);
        solo.propose(0, &blocks[0]);
        solo.propose(0, &blocks[1]);
        let before = sent(&mut solo, MessageKind::Prepare);
        restart(&mut solo, times);
        assert_eq!(sent(&mut solo, MessageKind::Prepare), before[1..], "the highest is said again, byte for byte");
        let other = other_block(&solo);
        solo.propose(0, &other);
        let chain = solo.forge.chain(None, &[other]);
        solo.feed(&chain);
        solo.propose(0, &blocks[0]);
        solo.propose(0, &blocks[1]);
        assert_eq!(solo.votes(), []);
        solo.propose(0, &blocks[2]);
        assert_eq!(solo.votes(), [(Prepare, 0, 3)], "it goes on above");
    }
}

#[test]
fn d2_the_blocks_of_a_vote_are_held_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(3);
        // Accepted above a gap: the last one's record has to hold them all.
        for block in blocks.iter().rev() {
            solo.propose(0, block);
        }
        restart(&mut solo, times);
        assert_eq!(solo.replica.status().blocks, 3);
        solo.sent.clear();
        let fetch = solo.forge.fetch(solo.as_traitor(3), 1, at(0), (at(3), blocks[2].digest()));
        solo.feed(&fetch);
        assert!(solo.words().iter().any(|words| words.starts_with("to R3: Chain 3 blocks")));
    }
}

#[test]
fn p4_a_commit_binds_the_claims_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let block = solo.blocks(1).remove(0);
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), block.digest()));
        solo.feed_certificate(&certificate);
        let before = sent(&mut solo, MessageKind::Commit);
        assert_eq!(before.len(), 1);
        restart(&mut solo, times);
        assert_eq!(sent(&mut solo, MessageKind::Commit), before, "said again");
        solo.wants(&[0, 2, 3], 2);
        let claims = solo.view_changes();
        assert!(claims.iter().any(|claim| claim.starts_with("to all: ViewChange v2") && claim.contains("claim (0,1)")), "{claims:?}");
    }
}

#[test]
fn p3_no_second_commit_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(2);
        for block in &blocks {
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (block.sequence_number(), block.digest()));
            solo.feed_certificate(&certificate);
        }
        restart(&mut solo, times);
        assert_eq!(solo.votes(), [(Commit, 0, 2)], "the highest is said again");
        for block in &blocks {
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (block.sequence_number(), block.digest()));
            solo.feed_certificate(&certificate);
        }
        assert_eq!(solo.votes(), []);
    }
}

#[test]
fn v2_a_view_that_was_left_stays_left_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(1);
        solo.wants(&[0, 2, 3], 2);
        let before = sent(&mut solo, MessageKind::ViewChange);
        restart(&mut solo, times);
        let status = solo.replica.status();
        assert_eq!((status.view, status.normal), (view(2), false));
        assert_eq!(sent(&mut solo, MessageKind::ViewChange), before, "said again, byte for byte");
        solo.propose(0, &blocks[0]);
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 1, (at(1), blocks[0].digest()));
        solo.feed_certificate(&certificate);
        solo.wants(&[0, 2, 3], 2);
        assert_eq!((solo.votes(), solo.view_changes()), (vec![], vec![]), "nothing below view 2, and no second claim for it");
    }
}

#[test]
fn v3_a_new_view_that_was_promised_is_the_only_one_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        solo.wants(&[0, 2, 3], 1);
        feed_view_changes(&mut solo, &[0, 2], 1);
        let before = sent(&mut solo, MessageKind::NewView);
        assert_eq!(before.len(), 1);
        // As if the crash had come before the view was entered.
        let end = solo.records.iter().position(|record| record.contains("Base v1")).expect("entered");
        let index = solo.log[end].0;
        solo.log.retain(|(record, _)| *record < index);
        restart(&mut solo, times);
        assert_eq!(sent(&mut solo, MessageKind::NewView), before, "said again, byte for byte");
        assert!(solo.replica.status().normal, "and entered by, now that it is durable");
        // A higher claim that would have led to another one.
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
        let late = solo.forge.view_change(solo.as_traitor(3), view(1), Some(&certificate));
        let bytes = solo.forge.view_change_message(&late);
        solo.feed(&bytes);
        assert_eq!(sent(&mut solo, MessageKind::NewView), [] as [Vec<u8>; 0]);
    }
}

#[test]
fn v4_a_view_that_was_entered_is_not_entered_again_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(2);
        let claims = [0, 2, 3].map(|member| view_change(&solo, member, 2));
        let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
        solo.feed(&new_view);
        let opened = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
        solo.feed_certificate(&opened);
        solo.propose(2, &blocks[0]);
        assert_eq!(solo.votes(), [(Prepare, 2, 0), (Prepare, 2, 1)]);
        restart(&mut solo, times);
        let status = solo.replica.status();
        assert_eq!((status.view, status.normal, status.head), (view(2), true, at(1)));
        solo.votes();
        // By another new view of the same view, from a higher claim.
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 1, (at(1), other_block(&solo).digest()));
        let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
        let second = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
        assert_ne!(solo.feed(&second), Disposition::Applied);
        assert_eq!((solo.votes(), solo.replica.status().head), (vec![], at(1)));
    }
}

#[test]
fn p1_what_was_certified_in_the_view_stays_certified_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(2);
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(1), blocks[0].digest()));
        let chain = solo.forge.chain(Some(&certificate), &blocks[..1]);
        solo.feed(&chain);
        solo.propose(2, &blocks[1]);
        restart(&mut solo, times);
        solo.votes();
        let next = solo.block(3, blocks[1].digest(), 3);
        solo.propose(2, &next);
        assert_eq!(solo.votes(), [(Prepare, 2, 3)], "c is known");
    }
}

#[test]
fn v5_the_highest_vote_binds_after_a_rebase_and_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let (mine, theirs) = (other_block(&solo), solo.blocks(1).remove(0));
        let opened = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
        solo.feed_certificate(&opened);
        solo.propose(2, &mine);
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(1), theirs.digest()));
        solo.feed_certificate(&certificate);
        assert_eq!(solo.votes(), [(Prepare, 2, 1), (Commit, 2, 1)]);
        // As if the crash had come right behind the new base.
        let end = solo.records.iter().rposition(|record| record.contains("Base v2")).expect("moved");
        let index = solo.log[end].0;
        solo.log.retain(|(record, _)| *record <= index);
        restart(&mut solo, times);
        solo.votes();
        let chain = solo.forge.chain(None, &[theirs]);
        solo.feed(&chain);
        assert_eq!((solo.replica.status().blocks, solo.votes()), (2, vec![]), "no second vote at its top");
    }
}

#[test]
fn v1_a_wish_is_not_taken_back_by_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let evidence =
            solo.forge.evidence(solo.as_traitor(0), Prepare, view(0), (at(1), solo.genesis().1), (at(1), other_block(&solo).digest()));
        let bytes = solo.forge.evidence_message(&evidence);
        solo.feed(&bytes);
        assert_eq!(solo.replica.status().wish, view(1));
        restart(&mut solo, times);
        assert_eq!(solo.replica.status().wish, view(1), "it may have been told");
    }
}

#[test]
fn p5_what_was_decided_is_decided_again_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(3);
        for block in &blocks {
            solo.propose(0, block);
        }
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
        solo.feed_certificate(&certificate);
        restart(&mut solo, times);
        solo.pass(T / 100);
        let executed: Vec<_> = solo.decisions.iter().map(logothete::Decision::sequence_number).collect();
        assert_eq!(executed, [at(1), at(2), at(3)], "by what the log holds alone");
    }
}

#[test]
fn c1_no_second_vote_on_a_checkpoint_after_a_restart() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(2);
        for block in &blocks {
            solo.propose(0, block);
        }
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(2), blocks[1].digest()));
        solo.feed_certificate(&certificate);
        let manifest = solo.take_checkpoint(b"the state").expect("ordered");
        let before = sent(&mut solo, MessageKind::Checkpoint);
        assert_eq!(before.len(), 1);
        restart(&mut solo, times);
        assert_eq!(sent(&mut solo, MessageKind::Checkpoint), before, "said again, byte for byte");
        // The service executes once more, with another outcome.
        solo.pass(T / 100);
        solo.take_checkpoint(b"another state").expect("ordered again");
        assert_eq!(sent(&mut solo, MessageKind::Checkpoint), [] as [Vec<u8>; 0]);
        assert_eq!(solo.replica.status().diverged, Some(at(2)), "C4: it is not deterministic");
        assert!(solo.events.iter().any(|event| matches!(event, Event::Diverged { .. })));
        // The others have what it voted for: it is stable all the same.
        let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
        let bytes = solo.forge.stable_message(&stable);
        solo.feed(&bytes);
        assert_eq!(solo.replica.status().stable, at(2));
    }
}

#[test]
fn d2_the_silence_after_a_lost_log_is_not_ended_by_a_restart() {
    for times in RESTARTS {
        let cluster = builder(4, 2).pipeline(4).build().expect("a valid cluster");
        let mut solo = Solo::starting(cluster, 1, Tuning::from_timeout(T), Start::Rejoining { nonce: [7; 32] });
        solo.pass(T);
        let before = sent(&mut solo, MessageKind::Rejoin);
        restart(&mut solo, times);
        solo.pass(T);
        assert_eq!(sent(&mut solo, MessageKind::Rejoin)[..1], before[..1], "under the same nonce");
        let block = solo.blocks(1).remove(0);
        solo.propose(0, &block);
        solo.wants(&[0, 2, 3], 3);
        assert!(solo.replica.status().rejoining);
        assert_eq!((solo.votes(), solo.view_changes()), (vec![], vec![]));
    }
}

#[test]
fn t2_who_comes_back_says_so_at_once() {
    let mut solo = solo();
    solo.restart();
    solo.step(Input::Timer);
    assert_eq!(sent(&mut solo, MessageKind::Status).len(), 1, "the others may have gone on beyond its window");
}

#[test]
fn t2_ordinals_rise_across_restarts() {
    let mut solo = solo();
    // The variant and the replica stand before it.
    let ordinal = |solo: &mut Solo| {
        solo.pass(T * 4);
        let status = sent(solo, MessageKind::Status).pop().expect("said when idle");
        u64::from_le_bytes(status[8..16].try_into().expect("eight bytes"))
    };
    let mut last = 0;
    for _ in 0..3 {
        let next = ordinal(&mut solo);
        assert!(next > last, "{next} after {last}");
        last = ordinal(&mut solo);
        solo.restart();
        solo.sent.clear();
    }
}

#[test]
fn t2_a_million_ordinals_are_not_used_up_without_a_record_and_one_record_is_enough() {
    let mut solo = solo();
    let mut outbox = Outbox::new();
    let (mut writes, mut last) = (Vec::new(), None);
    // Nobody is heard: so it tells of itself in each interval.
    for _ in 0..(1 << 20) + 1000 {
        solo.now = solo.now.after(T / 8);
        solo.replica.step(solo.now, Input::Timer, &mut outbox);
        for output in outbox.drain() {
            match output {
                Output::Write(write) => writes.push(write),
                Output::Send(outgoing) => last = Some(outgoing),
                _ => {}
            }
        }
    }
    // The disk takes its time.
    assert_eq!(writes.len(), 1, "{:?}", writes.iter().map(ToString::to_string).take(3).collect::<Vec<_>>());
    let ordinal = |envelopes: &[logothete::Envelope]| {
        let status = envelopes.iter().rfind(|envelope| envelope.kind() == MessageKind::Status).expect("a status").encode();
        u64::from_le_bytes(status[8..16].try_into().expect("eight bytes"))
    };
    let before = ordinal(&last.expect("told").sign(&solo.keys[1]).expect("signed"));
    solo.log.extend(writes.iter().map(|write| (write.index(), write.record().to_bytes())));
    solo.make_durable(writes, &mut outbox);
    solo.restart();
    solo.step(Input::Timer);
    let after = ordinal(&solo.sent);
    assert!(after > before, "{after} after {before}");
}

/// How the log is called.
#[derive(Default)]
struct Calls(Vec<&'static str>);

impl Wal for Calls {
    type Error = std::convert::Infallible;
    fn read(&mut self) -> impl Iterator<Item = Result<(u64, Bytes), Self::Error>> {
        std::iter::empty()
    }
    fn append(&mut self, _: u64, _: &Record) -> Result<(), Self::Error> {
        self.0.push("append");
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        self.0.push("sync");
        Ok(())
    }
    fn truncate_before(&mut self, _: u64) -> Result<(), Self::Error> {
        self.0.push("truncate");
        Ok(())
    }
}

/// This replica as it comes back, with what its service holds, and what it puts out first.
fn recovered(solo: &Solo, app: AppState) -> (Replica, Outbox) {
    let mut outbox = Outbox::new();
    let (id, tuning) = (ReplicaId::new(solo.me as u32), Tuning::from_timeout(T));
    let replica = Replica::recover(solo.cluster.clone(), id, tuning, Start::Recovering, app, solo.log.clone(), &mut outbox);
    (replica.expect("a log that it wrote"), outbox)
}

#[test]
fn d1_what_a_state_lets_go_of_goes_when_that_is_synced() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    let (_, mut outbox) = recovered(&solo, AppState::default());
    let mut calls = Calls::default();
    let released = persist(&mut calls, outbox.writes()).expect("written");
    assert_eq!((calls.0, released.is_empty()), (vec!["append", "sync", "truncate"], false));
    let mut calls = Calls::default();
    let released = persist(&mut calls, []).expect("nothing to write");
    assert_eq!((calls.0, released.is_empty()), (vec![], true), "a sync costs milliseconds");
}

#[test]
fn d1_a_remote_signers_signatures_are_checked() {
    let released = |solo: &Solo| {
        let (_, mut outbox) = recovered(solo, AppState::default());
        persist(&mut Calls::default(), outbox.writes()).expect("written")
    };
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    let sign = |key: usize, payload: &[u8]| solo.keys[key].sign(payload);
    let signed = |key: usize| released(&solo).payloads().map(|payload| sign(key, payload)).collect::<Vec<_>>();
    assert_eq!(signed(1).len(), 1, "its Prepare, said again");
    assert!(released(&solo).attach(signed(1)).is_ok());
    assert!(released(&solo).attach(signed(2)).is_err(), "another's");
    assert!(released(&solo).attach(vec![sign(1, b"something else")]).is_err());
    assert!(released(&solo).attach(vec![]).is_err(), "too few");
    assert!(released(&solo).attach([signed(1), signed(1)].concat()).is_err(), "too many");
}

#[test]
fn c1_a_snapshot_that_the_crash_came_before_is_taken() {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    for block in &blocks {
        solo.propose(0, block);
    }
    let taken = vec![solo.forge.manifest((at(2), blocks[1].digest()), &[], &[])];
    for (executed, snapshots, due) in [(1, vec![], false), (2, vec![], true), (2, taken, false)] {
        let log_digest = blocks[executed as usize - 1].digest();
        let app = AppState { last_executed: at(executed), log_digest, snapshots, ..AppState::default() };
        let (replica, mut outbox) = recovered(&solo, app);
        // C2: what the service has executed above stable is held all the same: others may lack it.
        assert_eq!((replica.status().decided, replica.status().floor, replica.status().blocks), (at(executed), at(0), 2));
        let orders = outbox.app().iter().filter(|command| matches!(command, AppCommand::TakeCheckpoint(_))).count();
        assert_eq!(orders, usize::from(due), "executed up to {executed}, K = 2");
    }
}

#[test]
fn c4_a_snapshot_that_is_not_the_quorums_is_found_at_the_start_too() {
    let mut solo = solo();
    let position = (at(2), solo.blocks(2)[1].digest());
    let manifests = [1, 2].map(|part| solo.forge.manifest(position, &[], &[chunk_digest(&[part])]));
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifests[0]));
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    for (manifest, diverged) in manifests.into_iter().zip([None, Some(at(2))]) {
        let app = AppState { last_executed: at(2), log_digest: position.1, snapshots: vec![manifest], ..AppState::default() };
        assert_eq!(recovered(&solo, app).0.status().diverged, diverged);
    }
}

#[test]
fn c1_a_snapshot_without_a_vote_is_voted_on_after_a_restart() {
    let mut solo = solo();
    let mut blocks = solo.blocks(2);
    let position = (at(2), blocks[1].digest());
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, position);
    blocks.reverse();
    let chain = solo.forge.chain(Some(&certificate), &blocks);
    solo.feed(&chain);
    // It crashed when the service had it, and before it said so.
    let manifest = solo.forge.manifest(position, &[], &[chunk_digest(&[1])]);
    let app = AppState { last_executed: at(2), log_digest: position.1, snapshots: vec![manifest], ..AppState::default() };
    let (mut replica, mut outbox) = recovered(&solo, app);
    replica.step(solo.now, Input::Timer, &mut outbox);
    let votes = outbox.writes().iter().filter(|write| write.to_string().contains("Checkpoint")).count();
    assert_eq!(votes, 1);
}

#[test]
fn p4_a_claim_that_its_view_change_alone_records_is_read_back() {
    for times in RESTARTS {
        let mut solo = solo();
        solo.wants(&[0, 2, 3], 2);
        // Of a view that was left: no vote rests on it.
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
        solo.feed_certificate(&certificate);
        solo.wants(&[0, 2, 3], 3);
        restart(&mut solo, times);
        solo.wants(&[0, 2, 3], 4);
        let told = solo.view_changes();
        assert!(told.iter().any(|words| words.contains("ViewChange v4 by R1 claim (0,1)")), "{told:?}");
    }
}

#[test]
fn v4_nothing_above_the_base_is_accepted_after_a_restart_before_a_certificate_of_the_view() {
    for times in RESTARTS {
        let mut solo = solo();
        let blocks = solo.blocks(2);
        solo.propose(0, &blocks[0]);
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), blocks[0].digest()));
        let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
        let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
        solo.feed(&new_view);
        assert_eq!(solo.votes().last(), Some(&(Prepare, 2, 1)));
        restart(&mut solo, times);
        solo.propose(2, &blocks[1]);
        assert_eq!(solo.replica.status().head, at(1), "its highest certificate is of view 0");
        assert!(!solo.votes().iter().any(|(_, _, number)| *number > 1));
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(1), blocks[0].digest()));
        solo.feed_certificate(&certificate);
        assert!(solo.votes().contains(&(Prepare, 2, 2)));
    }
}

#[test]
fn t1_what_was_accepted_before_a_restart_is_to_be_decided_in_time_after_it() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    solo.restart();
    solo.pass(Duration::ZERO);
    solo.pass(T - Duration::from_millis(1));
    assert_eq!(solo.replica.status().wish, view(0));
    solo.pass(Duration::from_millis(1));
    assert_eq!(solo.replica.status().wish, view(1));
}

#[test]
fn p5_a_new_view_whose_claim_is_a_commit_decides() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    assert_eq!((solo.replica.status().view, solo.replica.status().decided), (view(2), at(1)));
}

#[test]
fn e_nobody_is_asked_for_another_proposal_while_the_first_is_on_its_way() {
    let mut solo = solo();
    let claims = [0, 2, 3].map(|member| view_change(&solo, member, 2));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    solo.sent.clear();
    solo.vote(3, Prepare, 2, solo.genesis());
    solo.vote(3, Prepare, 2, (at(1), solo.blocks(1)[0].digest()));
    assert_eq!(sent(&mut solo, MessageKind::Fetch), [] as [Vec<u8>; 0]);
}
