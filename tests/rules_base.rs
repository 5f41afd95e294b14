//! P2, C3, I7: where a view begins, against what is decided and stable; one replica among forged messages.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, ForgedCertificate, ForgedCheckpoint};
use logothete::{Digest, Disposition, Tuning, Why};
use support::builder;
use support::solo::{Solo, T, at, view};

/// Replica 2 of four. K = 2, L = 8, P = 4.
fn backup() -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 2, Tuning::from_timeout(T))
}

/// The prepared certificate of view 0 for this block, and the block with those below it.
fn prepared(solo: &mut Solo, blocks: &[ForgedBlock]) -> ForgedCertificate {
    let top = &blocks[blocks.len() - 1];
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (top.sequence_number(), top.digest()));
    let downwards: Vec<ForgedBlock> = blocks.iter().rev().cloned().collect();
    let chain = solo.forge.chain(Some(&certificate), &downwards);
    solo.feed(&chain);
    certificate
}

fn begin(solo: &mut Solo, in_view: u64, certificate: &ForgedCertificate) -> Disposition {
    let claims = [0, 1, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(in_view), Some(certificate)));
    let primary = solo.cluster.primary(view(in_view)).get() as usize;
    let bytes = solo.forge.new_view(&solo.keys[primary], view(in_view), &claims, None);
    solo.sent.clear();
    solo.feed(&bytes)
}

fn stable_at(solo: &mut Solo, number: u64, digest: Digest) {
    let checkpoint = ForgedCheckpoint { position: (at(number), digest), state: Digest::new([1; 32]) };
    let stable = solo.forge.stable(&solo.members(&[0, 1, 3]), checkpoint);
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
}

#[test]
fn p2_a_base_at_the_windows_end_is_prepared() {
    let mut solo = backup();
    let blocks = solo.blocks(8);
    let certificate = prepared(&mut solo, &blocks);
    assert_eq!(begin(&mut solo, 1, &certificate), Disposition::Applied);
    assert_eq!(solo.votes(), [(Prepare, 1, 8)]);
}

#[test]
fn c3_a_base_below_the_stable_checkpoint_is_not_prepared() {
    for (number, votes) in [(1, vec![]), (2, vec![(Prepare, 1, 2)])] {
        let mut solo = backup();
        let blocks = solo.blocks(3);
        let base = prepared(&mut solo, &blocks[..number]);
        prepared(&mut solo, &blocks);
        let certificate = solo.certificate(&[0, 1, 3], Commit, 0, (at(3), blocks[2].digest()));
        solo.feed_certificate(&certificate);
        stable_at(&mut solo, 2, blocks[1].digest());
        assert_eq!((solo.replica.status().decided, solo.replica.status().stable), (at(3), at(2)));
        assert_eq!(begin(&mut solo, 1, &base), Disposition::Applied);
        assert_eq!(solo.votes(), votes, "base at {number}");
    }
}

#[test]
fn c3_a_base_off_the_stable_checkpoints_chain_is_not_prepared() {
    for (own, votes) in [(false, vec![]), (true, vec![(Prepare, 1, 3)])] {
        let mut solo = backup();
        let blocks = solo.blocks(3);
        let base = prepared(&mut solo, &blocks);
        // What was decided at 2 is not held here.
        stable_at(&mut solo, 2, if own { blocks[1].digest() } else { Digest::new([9; 32]) });
        assert_eq!(solo.replica.status().stable, at(2));
        assert_eq!(begin(&mut solo, 1, &base), Disposition::Applied);
        assert_eq!(solo.votes(), votes);
    }
}

#[test]
fn p2_a_base_off_the_log_is_not_held_whole_because_what_it_lacked_is_decided() {
    let mut solo = backup();
    let blocks = solo.blocks(2);
    let beside = solo.block_saying(2, blocks[0].digest(), 2, b"other");
    let base = solo.block_saying(3, beside.digest(), 3, b"other");
    // Of the base's chain the first block is missing; it comes with the one that was decided at 2, which is another than the base's.
    let certificate = prepared(&mut solo, &[beside, base]);
    assert_eq!(begin(&mut solo, 1, &certificate), Disposition::Applied);
    stable_at(&mut solo, 2, blocks[1].digest());
    let chain = solo.forge.chain(None, &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    assert_eq!((solo.replica.status().decided, solo.replica.status().halted), (at(2), false));
    assert_eq!(solo.votes(), [], "its second block is not the log's");
}

#[test]
fn i7_a_base_off_the_log_halts_where_a_lower_view_decided_and_nowhere_else() {
    for (number, outcome) in [(1, Disposition::Halted), (2, Disposition::Applied)] {
        let mut solo = backup();
        let blocks = solo.blocks(2);
        solo.wants(&[0, 1, 3], 4);
        // View 0 has decided the first batch; the second one may be of view 4 itself: only its checkpoint is heard of.
        let certificate = solo.certificate(&[0, 1, 3], Commit, 0, (at(1), blocks[0].digest()));
        let chain = solo.forge.chain(Some(&certificate), &blocks[..1]);
        solo.feed(&chain);
        stable_at(&mut solo, 2, blocks[1].digest());
        let chain = solo.forge.chain(None, &blocks[1..]);
        solo.feed(&chain);
        assert_eq!((solo.replica.status().view, solo.replica.status().decided), (view(4), at(2)));
        let parent = if number == 1 { solo.genesis().1 } else { blocks[0].digest() };
        let other = solo.block_saying(number, parent, number, b"other");
        let certificate = solo.certificate(&[0, 1, 3], Prepare, 1, (at(number), other.digest()));
        assert_eq!(begin(&mut solo, 4, &certificate), outcome, "base at {number}");
        assert!(solo.votes().is_empty());
    }
}

#[test]
fn e_a_new_view_is_shown_to_those_who_ask_why_this_base_was_voted_for() {
    let mut solo = backup();
    let claims = [0, 1, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(1), None));
    let bytes = solo.forge.new_view(&solo.keys[1], view(1), &claims, None);
    solo.feed(&bytes);
    let (genesis, other) = (solo.genesis(), (at(0), Digest::new([9; 32])));
    for (ordinal, in_view, base, shown) in [(1, 1, genesis, true), (2, 1, other, false), (3, 2, genesis, false), (4, 1, genesis, true)] {
        solo.sent.clear();
        let bytes = solo.forge.fetch_proposal(solo.as_traitor(3), ordinal, view(in_view), base);
        assert_eq!(solo.feed(&bytes), if shown { Disposition::Applied } else { Disposition::Ignored(Why::NotNeeded) });
        let words = solo.words();
        assert_eq!(words.iter().any(|words| words.starts_with("to R3: NewView v1")), shown, "{ordinal}: {words:?}");
    }
}

#[test]
fn e_who_votes_for_another_base_of_the_view_is_asked_why() {
    let mut solo = backup();
    let blocks = solo.blocks(1);
    let certificate = prepared(&mut solo, &blocks);
    begin(&mut solo, 1, &certificate);
    for (member, digest, asked) in [(0, blocks[0].digest(), false), (3, Digest::new([9; 32]), true)] {
        solo.sent.clear();
        solo.vote(member, Commit, 1, (at(1), digest));
        let words = solo.words();
        assert_eq!(words.iter().any(|words| words.contains(": Fetch")), asked, "{words:?}");
    }
}

#[test]
fn v5_a_certified_chain_beside_the_own_one_is_a_new_base_also_where_all_of_it_is_held() {
    let mut solo = Solo::new(4, 1);
    let own = solo.blocks(2);
    for block in &own {
        solo.propose(0, block);
    }
    assert_eq!(solo.replica.status().head, at(2));
    // The primary goes on from two others, at a position at which it has not voted yet.
    let first = solo.block_saying(1, solo.forge.genesis(), 1, b"another order");
    let second = solo.block(2, first.digest(), 2);
    let third = solo.block(3, second.digest(), 3);
    let certified = (at(3), third.digest());
    solo.propose(0, &third);
    let chain = solo.forge.chain(None, &[second, first]);
    assert_eq!(solo.feed(&chain), Disposition::Applied);
    let bases = |solo: &Solo| solo.records.iter().filter(|record| record.contains("Base v0 n3")).count();
    assert_eq!((solo.replica.status().head, bases(&solo)), (at(2), 0));
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, certified);
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().head, bases(&solo)), (at(3), 1));
}
