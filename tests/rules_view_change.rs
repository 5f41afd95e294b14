//! V1–V5, T1, T2, E: one replica among forged messages, rule by rule.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::{Disposition, Event, MessageKind, Outbox, Why};
use std::time::Duration;
use support::solo::{Solo, T, at, view};

fn wished(solo: &Solo) -> u64 {
    solo.replica.status().wish.get()
}

/// Members' view changes to `to`, each claiming the certificate given.
fn view_changes(
    solo: &Solo,
    members: &[usize],
    to: u64,
    certificate: Option<&logothete::sim::forge::ForgedCertificate>,
) -> Vec<logothete::sim::forge::ForgedViewChange> {
    members.iter().map(|member| solo.forge.view_change(solo.as_traitor(*member), view(to), certificate)).collect()
}

#[test]
fn v1_f_wishes_move_nobody_and_f_plus_one_are_joined() {
    let mut solo = Solo::new(4, 1);
    solo.wants(&[2], 9);
    assert_eq!(wished(&solo), 0);
    solo.wants(&[3], 7);
    assert_eq!(wished(&solo), 7, "the lower of two: one of them is correct");
    assert_eq!(solo.replica.status().view, view(7), "with the own wish that is a quorum");
}

#[test]
fn v1_wishing_binds_nothing() {
    let mut solo = Solo::new(7, 1);
    let blocks = solo.blocks(1);
    solo.wants(&[2, 3, 4], 1);
    assert_eq!(wished(&solo), 1);
    assert_eq!(solo.replica.status().view, view(0));
    solo.words();
    solo.propose(0, &blocks[0]);
    assert_eq!(solo.votes(), [(Prepare, 0, 1)], "voting goes on");
}

#[test]
fn v2_leaves_once_and_never_votes_below_again() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(2);
    solo.propose(0, &blocks[0]);
    solo.wants(&[0, 2, 3], 2);
    let sent = solo.view_changes();
    assert_eq!(sent.iter().filter(|words| words.starts_with("to all: ViewChange v2")).count(), 1, "{sent:?}");
    solo.propose(0, &blocks[1]);
    for member in [0, 2, 3] {
        solo.vote(member, Prepare, 0, (at(1), blocks[0].digest()));
    }
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), blocks[0].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.votes(), [], "no vote in view 0 any more");
    solo.wants(&[0, 2, 3], 1);
    assert_eq!(solo.replica.status().view, view(2), "and never back");
}

#[test]
fn v2_what_was_prepared_is_kept_and_what_was_only_proposed_goes() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    solo.propose(0, &blocks[0]);
    solo.propose(0, &blocks[2]);
    assert_eq!(solo.votes(), [(Prepare, 0, 1)]);
    assert_eq!(solo.replica.status().blocks, 2);
    solo.wants(&[0, 2, 3], 1);
    assert_eq!(solo.replica.status().blocks, 1);
    // Another that voted for it may have lost it, and a new view may rest on these votes.
    solo.words();
    let fetch = solo.forge.fetch(solo.as_traitor(3), 1, at(0), (at(1), blocks[0].digest()));
    solo.feed(&fetch);
    assert!(solo.words().iter().any(|words| words.starts_with("to R3: Chain 1 blocks down from n1")));
}

#[test]
fn i18_what_goes_with_a_view_is_counted_no_more() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(2);
    // Its parent is not held: there is no vote on it, and no record.
    solo.propose(0, &blocks[1]);
    assert!(solo.replica.status().usage.undecided.bytes > 0);
    solo.wants(&[0, 2, 3], 2);
    assert_eq!((solo.replica.status().blocks, solo.replica.status().usage.undecided.bytes), (0, 0));
}

#[test]
fn v3_the_new_primary_takes_the_highest_claim_of_a_quorum() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(2);
    let high = solo.certificate(&[0, 2, 3], Prepare, 0, (at(2), blocks[1].digest()));
    solo.wants(&[0, 2, 3], 1);
    solo.words();
    let genesis = view_changes(&solo, &[2], 1, None);
    let bytes = solo.forge.view_change_message(&genesis[0]);
    solo.feed(&bytes);
    assert!(!solo.words().iter().any(|words| words.contains("NewView")), "two claims are no quorum");
    let claim = view_changes(&solo, &[3], 1, Some(&high));
    let bytes = solo.forge.view_change_message(&claim[0]);
    solo.feed(&bytes);
    let words = solo.words();
    assert_eq!(words.iter().filter(|words| words.contains("NewView v1 base n2")).count(), 1, "{words:?}");
    assert_eq!(solo.replica.status().head, at(2));
    // It lacks the chain: it asks for it, and neither prepares nor proposes before it has it.
    solo.pass(T / 8);
    let words = solo.words();
    assert!(words.iter().any(|words| words.contains("Fetch by R1 chain down from n2")), "{words:?}");
    assert!(!words.iter().any(|words| words.contains("Prepare")), "{words:?}");
    let chain = solo.forge.chain(None, &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    assert_eq!(solo.votes(), [(Prepare, 1, 2)]);
}

#[test]
fn v3_a_backup_of_the_view_promises_no_new_view() {
    let mut solo = Solo::new(4, 2);
    solo.wants(&[0, 1, 3], 1);
    for view_change in view_changes(&solo, &[0, 1, 3], 1, None) {
        let bytes = solo.forge.view_change_message(&view_change);
        solo.feed(&bytes);
    }
    assert!(!solo.words().iter().any(|words| words.contains("NewView")));
}

#[test]
fn v4_enters_by_a_valid_new_view_and_only_once() {
    let mut solo = Solo::new(4, 2);
    let blocks = solo.blocks(2);
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, (at(1), blocks[0].digest()));
    let low = solo.forge.new_view(&solo.keys[1], view(1), &view_changes(&solo, &[0, 1, 3], 1, None), None);
    let mut mixed = view_changes(&solo, &[0, 1], 1, None);
    mixed.extend(view_changes(&solo, &[3], 1, Some(&certificate)));
    let high = solo.forge.new_view(&solo.keys[1], view(1), &mixed, None);
    assert_eq!(solo.feed(&low), Disposition::Applied);
    assert_eq!(solo.replica.status().view, view(1));
    assert_eq!(solo.votes(), [(Prepare, 1, 0)], "genesis is prepared in a view above 0");
    // A second, valid new view of the same view, with another quorum of claims: a proof, not an entry.
    assert_eq!(solo.feed(&high), Disposition::Ignored(Why::Contradiction));
    assert_eq!(solo.replica.status().head, at(0));
    assert!(solo.events.iter().any(|event| matches!(event, Event::Evidence(evidence) if evidence.culprit().get() == 1)));
}

#[test]
fn v4_nothing_above_the_base_before_a_certificate_of_the_view() {
    let mut solo = Solo::new(4, 2);
    let blocks = solo.blocks(1);
    let new_view = solo.forge.new_view(&solo.keys[1], view(1), &view_changes(&solo, &[0, 1, 3], 1, None), None);
    solo.feed(&new_view);
    solo.words();
    solo.propose(1, &blocks[0]);
    assert_eq!(solo.votes(), [], "P1: c is not known");
    let genesis = solo.genesis();
    for member in [0, 1, 3] {
        solo.vote(member, Prepare, 1, genesis);
    }
    assert_eq!(solo.votes(), [(Prepare, 1, 1)], "and genesis is never committed");
}

#[test]
fn v4_a_certificate_of_a_higher_view_opens_it() {
    let mut solo = Solo::new(4, 2);
    let blocks = solo.blocks(3);
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 5, (at(2), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    let status = solo.replica.status();
    assert_eq!((status.view, status.normal, status.head), (view(5), true, at(2)));
    assert_eq!(solo.votes(), [(Commit, 5, 2)]);
    let lower = solo.certificate(&[0, 1, 3], Prepare, 4, (at(1), blocks[0].digest()));
    solo.feed_certificate(&lower);
    assert_eq!(solo.replica.status().view, view(5), "never back");
    assert_eq!(solo.votes(), []);
}

#[test]
fn v5_a_certificate_off_the_own_branch_moves_the_base() {
    let mut solo = Solo::new(4, 1);
    let (mine, theirs) = (solo.block_saying(1, solo.genesis().1, 1, b"treason"), solo.block(1, solo.genesis().1, 1));
    solo.propose(0, &mine);
    assert_eq!(solo.votes(), [(Prepare, 0, 1)]);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), theirs.digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.votes(), [(Commit, 0, 1)], "commits, but prepares no second digest at its top");
    let next = solo.block(2, theirs.digest(), 2);
    let chain = solo.forge.chain(None, &[theirs]);
    solo.feed(&chain);
    solo.propose(0, &next);
    assert_eq!(solo.votes(), [(Prepare, 0, 2)], "and goes on from there");
}

#[test]
fn v5_never_below_the_own_votes() {
    let mut solo = Solo::new(4, 1);
    let (mine, theirs) = (solo.block_saying(1, solo.genesis().1, 1, b"treason"), solo.block(1, solo.genesis().1, 1));
    let above = solo.block(2, mine.digest(), 2);
    solo.propose(0, &mine);
    solo.propose(0, &above);
    assert_eq!(solo.votes(), [(Prepare, 0, 1), (Prepare, 0, 2)]);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), theirs.digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().head, at(2), "n = 1 is below top = 2");
    assert_eq!(solo.votes(), [(Commit, 0, 1)], "P3 holds all the same");
}

#[test]
fn t1_the_oldest_item_decides_and_other_progress_does_not_help() {
    let mut solo = Solo::new(4, 1);
    let starved = solo.forge.request(&support::client_key(1), logothete::RequestNumber::new(1), b"starved");
    let bytes = solo.forge.request_message(&starved);
    solo.feed(&bytes);
    // The primary goes on serving another client, well within the timeout each time.
    let blocks = solo.blocks(9);
    for block in &blocks {
        solo.pass(T / 10);
        solo.propose(0, block);
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (block.sequence_number(), block.digest()));
        solo.feed_certificate(&certificate);
    }
    assert_eq!(wished(&solo), 0);
    // A fresh request of the other client doesn't make the old one younger.
    let fresh = solo.forge.request(&support::client_key(0), logothete::RequestNumber::new(10), b"fresh");
    let bytes = solo.forge.request_message(&fresh);
    solo.feed(&bytes);
    solo.pass(T / 5);
    assert_eq!(wished(&solo), 1, "starved for longer than T");
}

#[test]
fn t1_a_request_behind_a_gap_blames_nobody() {
    let mut solo = Solo::new(4, 1);
    let behind = solo.forge.request(&support::client_key(1), logothete::RequestNumber::new(2), b"second");
    let bytes = solo.forge.request_message(&behind);
    solo.feed(&bytes);
    solo.pass(T * 10);
    assert_eq!(wished(&solo), 0);
}

#[test]
fn t1_at_half_the_deadline_the_request_goes_to_all() {
    let mut solo = Solo::new(4, 1);
    let request = solo.forge.request(&support::client_key(1), logothete::RequestNumber::new(1), b"order");
    let bytes = solo.forge.request_message(&request);
    solo.feed(&bytes);
    solo.pass(T / 2 - Duration::from_millis(1));
    assert!(!solo.sent.iter().any(|envelope| envelope.kind() == MessageKind::Request));
    solo.pass(Duration::from_millis(1));
    assert_eq!(solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Request).count(), 1);
}

#[test]
fn t1_the_timeout_doubles_with_views_that_decide_nothing_and_saturates() {
    let mut solo = Solo::new(4, 1);
    solo.ask(0, 1);
    for to in 1..100 {
        solo.pass(T * 32);
        solo.wants(&[0, 2, 3], to);
    }
    assert_eq!(solo.replica.status().backoff, 6);
}

#[test]
fn t2_a_replayed_status_draws_no_answer() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(1);
    solo.propose(0, &blocks[0]);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), blocks[0].digest()));
    solo.feed_certificate(&certificate);
    let status = solo.forge.status(solo.as_traitor(3), 77, view(0), view(0), at(0));
    solo.words();
    solo.feed(&status);
    let words = solo.words();
    assert!(words.iter().any(|words| words.starts_with("to R3: Chain")), "{words:?}");
    assert_eq!(solo.feed(&status), Disposition::Ignored(Why::Stale));
    assert_eq!(solo.words(), [] as [String; 0]);
}

#[test]
fn t2_a_flood_of_questions_draws_bounded_answers() {
    let mut solo = Solo::new(4, 1);
    let big = vec![7; 60_000];
    let block = solo.block_saying(1, solo.genesis().1, 1, &big);
    solo.propose(0, &block);
    solo.words();
    let mut answered = 0;
    for ordinal in 1..1000 {
        let bytes = solo.forge.fetch(solo.as_traitor(3), ordinal, at(0), (at(1), block.digest()));
        solo.feed(&bytes);
        answered += std::mem::take(&mut solo.sent).iter().map(|envelope| envelope.encode().len()).sum::<usize>();
    }
    assert!(answered <= 17 * 256 * 1024, "{answered} bytes in one interval");
    assert!(answered > 0);
}

#[test]
fn e_two_votes_of_one_member_are_proof_and_count_once() {
    let mut solo = Solo::new(4, 1);
    let blocks = [solo.block(1, solo.genesis().1, 1), solo.block_saying(1, solo.genesis().1, 1, b"other")];
    for kind in [Prepare, Commit] {
        solo.vote(3, kind, 0, (at(1), blocks[0].digest()));
        assert_eq!(solo.vote(3, kind, 0, (at(1), blocks[1].digest())), Disposition::Ignored(Why::Contradiction));
    }
    let proofs: Vec<_> = solo.events.iter().filter(|event| matches!(event, Event::Evidence(_))).collect();
    assert_eq!(proofs.len(), 1, "one proof for each member");
    assert_eq!(solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Evidence).count(), 1, "told once");
}

#[test]
fn e_a_vote_for_another_digest_leads_to_the_primarys_other_proposal() {
    let mut solo = Solo::new(4, 1);
    let (mine, other) = (solo.block(1, solo.genesis().1, 1), solo.block_saying(1, solo.genesis().1, 1, b"other"));
    solo.propose(0, &mine);
    solo.words();
    solo.vote(2, Prepare, 0, (at(1), other.digest()));
    let words = solo.words();
    assert!(words.iter().any(|words| words.starts_with("to R2: Fetch by R1 proposal v0 n1")), "{words:?}");
    // Asked once, not with every vote for it.
    solo.vote(3, Prepare, 0, (at(1), other.digest()));
    assert!(!solo.words().iter().any(|words| words.contains("Fetch")));
    // What R2 was told by the primary is the proof.
    assert_eq!(solo.vote(0, Prepare, 0, (at(1), other.digest())), Disposition::Ignored(Why::Contradiction));
    assert!(solo.events.iter().any(|event| matches!(event, Event::Evidence(evidence) if evidence.culprit().get() == 0)));
}

#[test]
fn e_two_view_changes_of_one_member_are_proof() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(1);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), blocks[0].digest()));
    for claim in [None, Some(&certificate)] {
        let view_change = solo.forge.view_change(solo.as_traitor(3), view(4), claim);
        let bytes = solo.forge.view_change_message(&view_change);
        solo.feed(&bytes);
    }
    assert!(solo.events.iter().any(|event| matches!(event, Event::Evidence(evidence) if evidence.verify(&solo.cluster).is_ok())));
}

#[test]
fn e_proof_against_the_primary_asks_for_its_replacement() {
    let mut solo = Solo::new(4, 1);
    let position = |byte| (at(1), logothete::Digest::new([byte; 32]));
    let evidence = solo.forge.evidence(solo.as_traitor(0), Prepare, view(0), position(1), position(2));
    let bytes = solo.forge.evidence_message(&evidence);
    solo.feed(&bytes);
    assert_eq!(wished(&solo), 1);
}

#[test]
fn p1_a_block_that_is_held_is_not_accepted_on_a_backups_word() {
    let mut solo = Solo::new(4, 2);
    let blocks = solo.blocks(2);
    for block in &blocks {
        solo.propose(0, block);
    }
    let new_view = solo.forge.new_view(&solo.keys[1], view(1), &view_changes(&solo, &[0, 1, 3], 1, None), None);
    solo.feed(&new_view);
    // While a chain of the primary's has a gap, what was prepared in view 0 stays.
    let above_a_gap = solo.block(4, logothete::Digest::new([7; 32]), 1);
    solo.propose(1, &above_a_gap);
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 1, (at(1), blocks[0].digest()));
    solo.feed_certificate(&certificate);
    solo.votes();
    let next = (at(2), blocks[1].digest());
    solo.vote(3, Prepare, 1, next);
    let status = solo.replica.status();
    assert_eq!((status.blocks, status.head), (3, at(1)));
    assert_eq!(solo.votes(), []);
    solo.vote(1, Prepare, 1, next);
    assert_eq!(solo.votes().first(), Some(&(Prepare, 1, 2)), "but on its primary's");
}

#[test]
fn v1_a_view_change_is_a_want_and_so_is_a_status_in_a_view() {
    let mut solo = Solo::new(4, 1);
    for view_change in view_changes(&solo, &[2, 3], 3, None) {
        let bytes = solo.forge.view_change_message(&view_change);
        solo.feed(&bytes);
    }
    assert_eq!((wished(&solo), solo.replica.status().view), (3, view(3)));
    for (ordinal, member) in [(1, 2), (2, 3)] {
        let bytes = solo.forge.status(solo.as_traitor(member), ordinal, view(6), view(0), at(0));
        solo.feed(&bytes);
    }
    assert_eq!(wished(&solo), 6, "who is in a view wants it");
}

#[test]
fn v1_a_primary_that_was_proved_to_lie_before_is_not_waited_for() {
    let proof = |solo: &Solo| {
        let position = |byte| (at(1), logothete::Digest::new([byte; 32]));
        let evidence = solo.forge.evidence(solo.as_traitor(2), Prepare, view(0), position(1), position(2));
        solo.forge.evidence_message(&evidence)
    };
    let mut leaves = Solo::new(4, 1);
    let bytes = proof(&leaves);
    leaves.feed(&bytes);
    assert_eq!(wished(&leaves), 0, "it is not the primary of this view");
    leaves.wants(&[0, 2, 3], 2);
    assert_eq!((leaves.replica.status().view, wished(&leaves)), (view(2), 3));
    let mut enters = Solo::new(4, 1);
    enters.feed(&bytes);
    let certificate = enters.certificate(&[0, 2, 3], Prepare, 2, enters.genesis());
    enters.feed_certificate(&certificate);
    assert_eq!((enters.replica.status().view, wished(&enters)), (view(2), 3));
}

#[test]
fn v2_what_a_claim_rests_on_is_taken_as_received() {
    let mut solo = Solo::new(4, 1);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
    let bytes = solo.forge.view_change_message(&view_changes(&solo, &[3], 2, Some(&certificate))[0]);
    solo.feed(&bytes);
    solo.wants(&[0, 2], 2);
    let claims = solo.view_changes();
    assert!(claims.iter().any(|claim| claim.contains("by R1 claim (0,1)")), "{claims:?}");
}

#[test]
fn v2_votes_and_certificates_of_a_view_left_count_no_more() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    let position = (at(1), blocks[0].digest());
    for kind in [Prepare, Commit] {
        for member in [2, 3] {
            solo.vote(member, kind, 0, position);
        }
    }
    let claims = view_changes(&solo, &[0, 2, 3], 2, None);
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    assert_eq!(solo.votes(), [(Prepare, 2, 0)]);
    for kind in [Prepare, Commit] {
        solo.vote(0, kind, 2, position);
    }
    assert_eq!((solo.votes(), solo.replica.status().head), (vec![], at(0)), "two votes of view 0 and one of view 2");
    for member in [2, 3] {
        solo.vote(member, Prepare, 2, position);
    }
    assert_eq!(solo.votes(), [(Commit, 2, 1)]);
    // In the next view again: a Commit of this one is none there, and what is certified here is not certified there.
    let claims = view_changes(&solo, &[0, 2, 3], 4, None);
    let new_view = solo.forge.new_view(&solo.keys[0], view(4), &claims, None);
    solo.feed(&new_view);
    let chain = solo.forge.chain(None, &[blocks[0].clone()]);
    solo.feed(&chain);
    solo.propose(4, &blocks[0]);
    assert_eq!(solo.votes(), [(Prepare, 4, 0)], "c is not known in view 4");
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 4, position);
    solo.feed_certificate(&certificate);
    assert_eq!(solo.votes(), [(Commit, 4, 1)]);
}

#[test]
fn v3_claims_for_other_views_do_not_count() {
    let mut solo = Solo::new(4, 1);
    solo.wants(&[0, 2, 3], 1);
    for (member, to) in [(2, 5), (3, 1)] {
        let bytes = solo.forge.view_change_message(&view_changes(&solo, &[member], to, None)[0]);
        solo.feed(&bytes);
    }
    assert!(!solo.words().iter().any(|words| words.contains("NewView")), "R1's and R3's only");
    let bytes = solo.forge.view_change_message(&view_changes(&solo, &[0], 1, None)[0]);
    solo.feed(&bytes);
    assert!(solo.words().iter().any(|words| words.contains("NewView v1 base n0") && words.contains("[R0, R1, R3]")));
}

#[test]
fn v3_the_highest_claim_is_of_the_highest_view_whatever_its_number() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    let far = solo.certificate(&[0, 2, 3], Prepare, 0, (at(3), blocks[2].digest()));
    let high = solo.certificate(&[0, 2, 3], Prepare, 1, (at(1), blocks[0].digest()));
    solo.wants(&[0, 2, 3], 5);
    for (member, certificate) in [(2, &far), (3, &high)] {
        let bytes = solo.forge.view_change_message(&view_changes(&solo, &[member], 5, Some(certificate))[0]);
        solo.feed(&bytes);
    }
    let words = solo.words();
    assert!(words.iter().any(|words| words.contains("NewView v5 base n1")), "{words:?}");
}

/// Steps members' view changes to view 1, while all that is written is held back.
fn step_claims(solo: &mut Solo, members: &[usize], outbox: &mut Outbox) {
    for view_change in view_changes(solo, members, 1, None) {
        let bytes = solo.forge.view_change_message(&view_change);
        solo.feed_into(&bytes, outbox);
    }
}

/// Makes durable what was held back; what is written next that holds a NewView, in words.
fn new_views_after(solo: &mut Solo, outbox: &mut Outbox) -> Vec<String> {
    let writes = outbox.writes();
    solo.make_durable(writes, outbox);
    outbox.writes().iter().map(ToString::to_string).filter(|words| words.contains("NewView")).collect()
}

#[test]
fn v3_a_new_view_waits_for_the_own_claim_and_holds_exactly_a_quorum() {
    let (mut solo, mut outbox) = (Solo::new(4, 1), Outbox::new());
    step_claims(&mut solo, &[0, 2, 3], &mut outbox);
    assert!(!solo.replica.status().normal, "left, and not on record yet");
    let promised = new_views_after(&mut solo, &mut outbox);
    assert!(matches!(&promised[..], [one] if one.contains("of [R0, R1, R2]")), "only then, of four claims: {promised:?}");
}

#[test]
fn v3_a_new_view_is_promised_once_also_while_it_is_not_durable() {
    let (mut solo, mut outbox) = (Solo::new(4, 1), Outbox::new());
    step_claims(&mut solo, &[0, 2], &mut outbox);
    let promised = new_views_after(&mut solo, &mut outbox);
    assert_eq!(promised.len(), 1);
    step_claims(&mut solo, &[3], &mut outbox);
    assert_eq!(outbox.writes().len(), 0, "one claim more");
}

#[test]
fn v4_a_certificate_of_the_view_that_is_waited_for_opens_it() {
    let mut solo = Solo::new(4, 1);
    solo.wants(&[0, 2, 3], 2);
    assert!(!solo.replica.status().normal);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(1), solo.blocks(1)[0].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!((solo.replica.status().normal, solo.replica.status().head), (true, at(1)));
    assert_eq!(solo.votes().last(), Some(&(Commit, 2, 1)));
}

#[test]
fn v4_what_a_view_was_entered_by_binds_the_claims() {
    let mut solo = Solo::new(4, 1);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
    let claims = view_changes(&solo, &[0, 2, 3], 2, Some(&certificate));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    solo.wants(&[0, 2, 3], 3);
    let claims = solo.view_changes();
    assert!(claims.iter().any(|claim| claim.contains("ViewChange v3 by R1 claim (0,1)")), "{claims:?}");
}

#[test]
fn p4_a_certificate_of_a_view_that_was_left_still_raises_high() {
    let mut solo = Solo::new(4, 1);
    solo.wants(&[0, 2, 3], 2);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 1, (at(1), solo.blocks(1)[0].digest()));
    solo.feed_certificate(&certificate);
    solo.words();
    solo.wants(&[0, 2, 3], 3);
    let claims = solo.view_changes();
    assert!(claims.iter().any(|claim| claim.contains("ViewChange v3 by R1 claim (1,1)")), "{claims:?}");
}
