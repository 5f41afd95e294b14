//! The safety kernel by itself: each of its refusals, whoever calls it. The rules' own guards stand before these, so that no run of a whole replica meets them.

use super::{Position, Promises};
use crate::certificate::Certificate;
use crate::cluster::Cluster;
use crate::ids::{Digest, RawSignature, ReplicaId, SequenceNumber, View};
use crate::message::{Block, Checkpoint, CheckpointCertificate, Claim, NewView, ViewChange, VoteKind};
use crate::wire::Bounded;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ed25519_dalek::SigningKey;

fn at(number: u64) -> Position {
    Position { number: SequenceNumber::new(number), digest: Digest::new([number as u8 + 1; 32]) }
}

/// Of replica `me` of four.
fn kernel(me: u32) -> Promises {
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]).verifying_key();
    let cluster = Cluster::builder((1..5).map(key).collect(), [key(9)].to_vec()).build().expect("a valid cluster");
    Promises::new(Arc::new(cluster), ReplicaId::new(me))
}

fn certificate(kind: VoteKind, view: u64, position: Position) -> Certificate {
    let signatures = Arc::new(Bounded(Vec::new()));
    Certificate { kind, view: View::new(view), sequence_number: position.number, digest: position.digest, signatures }
}

fn prepared(view: u64, position: Position) -> Certificate {
    certificate(VoteKind::Prepare, view, position)
}

fn checkpoint(number: u64) -> Checkpoint {
    Checkpoint { sequence_number: at(number).number, log_digest: at(number).digest, state: Digest::default() }
}

fn stable(number: u64) -> CheckpointCertificate {
    CheckpointCertificate { checkpoint: checkpoint(number), signatures: Bounded(Vec::new()) }
}

fn block(number: u64) -> Arc<Block> {
    Arc::new(Block::new(&Digest::default(), SequenceNumber::new(number), Digest::default(), Vec::new()))
}

fn new_view(view: u64) -> NewView {
    let claims = Bounded(Vec::new());
    let base = at(0);
    NewView {
        view: View::new(view),
        base_number: base.number,
        base_digest: base.digest,
        claims,
        certificate: None,
        signature: RawSignature::ZERO,
    }
}

/// What it refuses, in the words that stand in the log of a replica that halts; it has promised nothing by that.
fn refuses<T>(kernel: &Promises, why: &str, act: impl FnOnce(&mut Promises) -> Result<T, super::Broken>) {
    match act(&mut kernel.clone()) {
        Ok(_) => panic!("not refused: {why}"),
        Err(broken) => assert_eq!(broken.0, why),
    }
}

fn allows<T>(what: &str, done: Result<T, super::Broken>) {
    if let Err(broken) = done {
        panic!("{what}: {}", broken.0);
    }
}

#[test]
fn d2_who_has_lost_its_log_promises_nothing() {
    let mut lost = kernel(1);
    drop(lost.start_rejoining([7; 32]));
    let why = "D2: a promise of a replica that has lost its log";
    refuses(&lost, why, |kernel| kernel.record_wish(View::new(1)));
    refuses(&lost, why, |kernel| kernel.promise_prepare(at(1), Vec::new(), None));
    refuses(&lost, why, |kernel| kernel.promise_commit(&prepared(0, at(1))));
    refuses(&lost, why, |kernel| kernel.promise_checkpoint(checkpoint(8)));
    refuses(&lost, why, |kernel| kernel.promise_view_change(View::new(1)));
    refuses(&lost, why, |kernel| kernel.promise_new_view(new_view(1)));
    let why = "D2: a rejoining replica speaks in a view that it may have been in";
    allows("it looks on", lost.enter(View::new(3), at(0), None));
    refuses(&lost, why, |kernel| kernel.end_rejoining(View::new(3)));
    allows("above all that it can have promised", lost.end_rejoining(View::new(2)));
    allows("it speaks again", lost.promise_prepare(at(1), Vec::new(), None));
}

#[test]
fn v1_a_wish_only_goes_up() {
    let mut kernel = kernel(1);
    allows("a first wish", kernel.record_wish(View::new(3)));
    refuses(&kernel, "V1: a wish that does not go up", |kernel| kernel.record_wish(View::new(3)));
    allows("entered", kernel.enter(View::new(5), at(0), None));
    refuses(&kernel, "V1: a wish that does not go up", |kernel| kernel.record_wish(View::new(5)));
    allows("above view and wish", kernel.record_wish(View::new(6)));
}

#[test]
fn p1_only_a_primary_proposes_and_what_it_votes_for() {
    let (one, two) = (block(1), block(2));
    let position = |block: &Block| Position { number: block.header.sequence_number, digest: block.digest };
    refuses(&kernel(1), "P1: a proposal by a backup", |kernel| kernel.promise_prepare(position(&one), Vec::new(), Some(one.clone())));
    let other_number = Position { number: SequenceNumber::new(2), digest: one.digest };
    let other_digest = Position { number: SequenceNumber::new(1), digest: two.digest };
    for other in [other_number, other_digest] {
        refuses(&kernel(0), "P1: a proposal of another block", |kernel| kernel.promise_prepare(other, Vec::new(), Some(one.clone())));
    }
    allows("the primary's own", kernel(0).promise_prepare(position(&one), Vec::new(), Some(one)));
}

#[test]
fn p2_prepares_go_up_from_the_base_in_a_view_that_has_begun() {
    let mut kernel = kernel(1);
    refuses(&kernel, "P2: genesis prepared in view 0", |kernel| {
        let genesis = kernel.base();
        kernel.promise_prepare(genesis, Vec::new(), None)
    });
    allows("the first", kernel.promise_prepare(at(3), Vec::new(), None));
    for number in [2, 3] {
        refuses(&kernel, "P2: a vote that does not go up", |kernel| kernel.promise_prepare(at(number), Vec::new(), None));
    }
    allows("left", kernel.promise_view_change(View::new(1)));
    refuses(&kernel, "P2: a vote while waiting for a new view", |kernel| kernel.promise_prepare(at(4), Vec::new(), None));
    allows("entered", kernel.enter(View::new(1), at(2), None));
    refuses(&kernel, "P2: a vote below the base", |kernel| kernel.promise_prepare(at(1), Vec::new(), None));
    let beside = Position { digest: Digest::default(), ..at(2) };
    refuses(&kernel, "P2: a vote off the base", |kernel| kernel.promise_prepare(beside, Vec::new(), None));
    allows("the base itself", kernel.promise_prepare(at(2), Vec::new(), None));
}

#[test]
fn p3_a_commit_has_a_prepared_certificate_of_the_own_view_and_is_the_only_one() {
    let mut kernel = kernel(1);
    allows("entered", kernel.enter(View::new(1), at(0), None));
    let why = "P3: a commit without a prepared certificate of the view";
    refuses(&kernel, why, |kernel| kernel.promise_commit(&certificate(VoteKind::Commit, 1, at(1))));
    refuses(&kernel, why, |kernel| kernel.promise_commit(&prepared(0, at(1))));
    refuses(&kernel, why, |kernel| kernel.promise_commit(&prepared(2, at(1))));
    refuses(&kernel, "P3: genesis committed", |kernel| kernel.promise_commit(&prepared(1, at(0))));
    allows("the first", kernel.promise_commit(&prepared(1, at(1))));
    let beside = Position { digest: Digest::default(), ..at(1) };
    for position in [at(1), beside] {
        refuses(&kernel, "P3: a second commit at one position", |kernel| kernel.promise_commit(&prepared(1, position)));
    }
    allows("left", kernel.promise_view_change(View::new(2)));
    refuses(&kernel, "P3: a commit while waiting for a new view", |kernel| kernel.promise_commit(&prepared(2, at(2))));
}

#[test]
fn p3_what_is_not_decided_is_not_committed_to_twice() {
    let mut kernel = kernel(1);
    (1..4).for_each(|number| allows("once", kernel.promise_commit(&prepared(0, at(number)))));
    kernel.forget_commits_to(SequenceNumber::new(2));
    assert_eq!([1, 2, 3].map(|number| kernel.has_committed(SequenceNumber::new(number))), [false, false, true]);
    refuses(&kernel, "P3: a second commit at one position", |kernel| kernel.promise_commit(&prepared(0, at(3))));
}

#[test]
fn p4_high_rises_with_each_commit_and_by_no_view_that_was_not_entered() {
    let mut kernel = kernel(1);
    allows("committed", kernel.promise_commit(&prepared(0, at(2))));
    assert_eq!((*kernel.high(), kernel.recorded_high()), (prepared(0, at(2)).claim(), prepared(0, at(2)).rank()));
    allows("committed", kernel.promise_commit(&prepared(0, at(1))));
    assert_eq!((*kernel.high(), kernel.recorded_high()), (prepared(0, at(2)).claim(), prepared(0, at(2)).rank()), "it never falls");
    refuses(&kernel, "P4: a certificate of a view not entered", |kernel| kernel.raise(&prepared(1, at(3))));
    let beside = Position { digest: Digest::default(), ..at(2) };
    refuses(&kernel, "I2: two certificates of one rank", |kernel| kernel.raise(&prepared(0, beside)));
    // What is raised without a promise is not on record yet, also not with the next commit below it.
    allows("raised", kernel.raise(&prepared(0, at(9))));
    assert_eq!(kernel.recorded_high(), prepared(0, at(2)).rank());
    allows("committed", kernel.promise_commit(&prepared(0, at(3))));
    assert_eq!(kernel.recorded_high(), prepared(0, at(3)).rank(), "the record of a commit holds its own certificate");
    assert!(kernel.record_high().is_some(), "it was owed");
    assert_eq!(kernel.recorded_high(), prepared(0, at(9)).rank());
    assert!(kernel.record_high().is_none(), "twice");
}

#[test]
fn c1_checkpoints_are_promised_once_and_above_the_stable_one() {
    let mut kernel = kernel(1);
    (1..4).for_each(|number| allows("once", kernel.promise_checkpoint(checkpoint(8 * number))));
    allows("stable", kernel.stabilize(&stable(16)));
    assert_eq!(kernel.checkpoints.keys().map(|number| number.get()).collect::<Vec<_>>(), [24]);
    for number in [8, 16] {
        refuses(&kernel, "C1: a checkpoint at or below the stable one", |kernel| kernel.promise_checkpoint(checkpoint(number)));
        refuses(&kernel, "I12: a stable checkpoint that does not go up", |kernel| kernel.stabilize(&stable(number)));
    }
    let other = Checkpoint { state: Digest::new([9; 32]), ..checkpoint(24) };
    refuses(&kernel, "C1: a second checkpoint at one position", |kernel| kernel.promise_checkpoint(other));
    allows("higher", kernel.stabilize(&stable(24)));
}

#[test]
fn v2_a_view_change_goes_up_and_claims_high() {
    let mut kernel = kernel(1);
    allows("left", kernel.promise_view_change(View::new(2)));
    for view in [1, 2] {
        refuses(&kernel, "V2: a view change that does not go up", |kernel| kernel.promise_view_change(View::new(view)));
        let promise = promise(view, kernel.high);
        refuses(&kernel, "V2: a view change that does not go up", |kernel| kernel.leave(&promise));
    }
    let other = promise(3, prepared(1, at(1)).claim());
    refuses(&kernel, "V2: a claim that is not high", |kernel| kernel.leave(&other));
    // No rule leads here: a certificate of a view that was not entered.
    kernel.high = prepared(3, at(1)).claim();
    refuses(&kernel, "V2: a claim not below its view", |kernel| kernel.promise_view_change(View::new(3)));
    allows("above it", kernel.promise_view_change(View::new(4)));
}

fn promise(view: u64, claim: Claim) -> ViewChange {
    ViewChange { view: View::new(view), claim, replica: ReplicaId::new(1), signature: RawSignature::ZERO, certificate: None }
}

#[test]
fn v3_a_new_view_is_its_primarys_that_waits_for_it_and_the_only_one() {
    let mut primary = kernel(1);
    refuses(&primary, "V3: a new view that is not waited for", |kernel| kernel.promise_new_view(new_view(0)));
    allows("left", primary.promise_view_change(View::new(1)));
    refuses(&primary, "V3: a new view that is not waited for", |kernel| kernel.promise_new_view(new_view(5)));
    allows("the first", primary.promise_new_view(new_view(1)));
    refuses(&primary, "V3: a second new view", |kernel| kernel.promise_new_view(new_view(1)));
    allows("entered", primary.enter(View::new(1), at(0), None));
    refuses(&primary, "V3: a new view that is not waited for", |kernel| kernel.promise_new_view(new_view(1)));
    let mut backup = kernel(2);
    allows("left", backup.promise_view_change(View::new(1)));
    refuses(&backup, "V3: a new view by a backup", |kernel| kernel.promise_new_view(new_view(1)));
}

#[test]
fn v4_nobody_enters_a_view_twice_or_goes_back_and_a_view_begins_with_no_votes() {
    let mut kernel = kernel(1);
    allows("a vote", kernel.promise_prepare(at(1), Vec::new(), None));
    allows("a vote", kernel.promise_commit(&prepared(0, at(1))));
    refuses(&kernel, "V4: a view entered twice, or gone back to", |kernel| kernel.enter(View::new(0), at(0), None));
    allows("left", kernel.promise_view_change(View::new(1)));
    allows("the own", kernel.promise_new_view(new_view(1)));
    allows("left", kernel.promise_view_change(View::new(2)));
    assert!(!kernel.has_promised_new_view() && kernel.pending_view_change().is_some());
    refuses(&kernel, "V4: a view entered twice, or gone back to", |kernel| kernel.enter(View::new(1), at(0), None));
    allows("entered", kernel.enter(View::new(2), at(1), None));
    assert_eq!((kernel.top(), kernel.has_committed(at(1).number), kernel.pending_view_change()), (None, false, None));
    // By a new view, without a view change of one's own: nothing of the view before stands beside it.
    allows("entered", kernel.enter(View::new(4), at(1), None));
    assert!(kernel.view_change.is_none() && kernel.new_view.is_none());
    refuses(&kernel, "V4: a view entered twice, or gone back to", |kernel| kernel.enter(View::new(4), at(1), None));
}

#[test]
fn v5_a_base_moves_in_a_view_that_has_begun_and_never_below_the_own_votes() {
    let mut kernel = kernel(1);
    allows("a vote", kernel.promise_prepare(at(3), Vec::new(), None));
    refuses(&kernel, "V5: a re-base below the own votes", |kernel| kernel.rebase(at(2)));
    allows("where it voted", kernel.rebase(at(3)));
    allows("left", kernel.promise_view_change(View::new(1)));
    refuses(&kernel, "V5: a re-base while waiting for a new view", |kernel| kernel.rebase(at(5)));
}
