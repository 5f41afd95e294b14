//! P3, T1: a service that comes back with more than the log has certificates for. Rule by rule, among forged messages.

mod support;

use logothete::sim::forge::Kind::Prepare;
use logothete::sim::forge::{ForgedBlock, Kept};
use logothete::{AppState, Disposition, MessageKind, Outbox, PeerLink, Replica, ReplicaId, Screened, Start, Tuning, Unverified};
use support::solo::{Solo, T, at, view};

/// Replica 1 of 4. P = 4.
fn solo() -> Solo {
    Solo::new(4, 1)
}

/// Comes back from its log with a service that has executed these two, of which no certificate is held.
fn come_back_ahead(solo: &mut Solo, blocks: &[ForgedBlock]) {
    let app = AppState { last_executed: at(2), log_digest: blocks[1].digest(), ..AppState::default() };
    let (id, tuning, log) = (ReplicaId::new(solo.me as u32), Tuning::from_timeout(T), solo.log.clone());
    let recovered = Replica::recover(solo.cluster.clone(), id, tuning, Start::Recovering, app, log, &mut Outbox::new());
    solo.replica = recovered.expect("a log that it wrote");
}

/// The same, with a log that has its votes on them.
fn ahead_of_its_certificates() -> (Solo, Vec<ForgedBlock>) {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    for block in &blocks {
        solo.propose(0, block);
    }
    come_back_ahead(&mut solo, &blocks);
    (solo, blocks)
}

#[test]
fn t1_what_the_service_has_executed_is_not_outstanding() {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    // It crashed before its votes on them were on record.
    let kept = [Kept::Started, Kept::Blocks(&blocks)];
    let record = |(kept, index): (&Kept<'_>, u64)| {
        (index, solo.forge.record(ReplicaId::new(solo.me as u32), index, kept).expect("a record").to_bytes())
    };
    solo.log = kept.iter().zip(0..).map(record).collect();
    come_back_ahead(&mut solo, &blocks);
    for block in &blocks {
        solo.propose(0, block);
    }
    assert_eq!(solo.replica.status().head, at(2), "led there by the primary's votes");
    solo.pass(10 * T);
    assert_eq!(solo.replica.status().wish, view(0));
}

#[test]
fn d2_what_lies_below_its_service_is_asked_for_by_who_has_lost_its_log_and_nobody_else() {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    come_back_ahead(&mut solo, &blocks);
    assert_eq!((solo.replica.status().floor, solo.replica.status().blocks), (at(2), 0));
    (0..8).for_each(|_| assert_eq!(solo.pass(T / 8), Disposition::Applied));
    assert!(!solo.sent.iter().any(|envelope| envelope.kind() == MessageKind::Fetch));
}

#[test]
fn p3_what_only_the_service_knows_of_gets_one_commit_at_each_position() {
    let (mut solo, blocks) = ahead_of_its_certificates();
    let committed = |solo: &Solo| solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Commit).count();
    let before = committed(&solo);
    let certificates =
        [0, 1].map(|index| solo.certificate(&[0, 2, 3], Prepare, 0, (blocks[index].sequence_number(), blocks[index].digest())));
    for (index, count) in [(0, 1), (1, 2), (0, 2), (1, 2)] {
        solo.feed_certificate(&certificates[index]);
        assert_eq!(committed(&solo) - before, count);
    }
}

#[test]
fn p3_of_what_only_the_service_knows_the_primarys_proposal_is_verified_once() {
    let (mut solo, blocks) = ahead_of_its_certificates();
    let bytes = solo.forge.pre_prepare(&solo.keys[0], view(0), &blocks[0]);
    let again = || Unverified::decode(PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes");
    assert_eq!(solo.replica.screen().admit(&again()), Ok(()), "its vote is not held");
    let proposal = again();
    solo.feed(&bytes);
    assert_eq!(solo.replica.screen().admit(&proposal), Err(Screened::Duplicate));
}
