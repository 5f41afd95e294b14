//! 3.6: what is worth verifying and what is not, by one replica's picture of what it needs.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, ForgedCertificate, ForgedCheckpoint, ForgedStatus, Position};
use logothete::{
    Bytes, Digest, Disposition, Input, Limits, MessageKind, Outbox, PeerLink, RequestNumber, Screened, Triage, Tuning, Unverified,
    Verifier, Why,
};
use support::solo::{Solo, T, at, view};
use support::{builder, client_key};

fn unverified(solo: &Solo, bytes: &[u8]) -> Unverified {
    Unverified::decode(PeerLink(0), bytes, solo.cluster.limits()).expect("decodes")
}

fn admits(solo: &Solo, bytes: &[u8]) -> Result<(), Screened> {
    solo.replica.screen().admit(&unverified(solo, bytes))
}

fn prepare(solo: &Solo, from: usize, in_view: u64, position: Position) -> Vec<u8> {
    solo.forge.vote(solo.as_traitor(from), Prepare, view(in_view), position)
}

fn proposal(solo: &Solo, in_view: u64, block: &ForgedBlock) -> Vec<u8> {
    solo.forge.pre_prepare(&solo.keys[in_view as usize % 4], view(in_view), block)
}

fn off(number: u64) -> Position {
    (at(number), Digest::new([number as u8 + 100; 32]))
}

#[test]
fn spec_3_6_votes_are_needed_at_open_positions() {
    let mut solo = Solo::new(4, 1);
    let vote = |solo: &Solo, number: u64| admits(solo, &prepare(solo, 2, 0, off(number)));
    assert_eq!((vote(&solo, 1), vote(&solo, 8)), (Ok(()), Ok(())), "up to two pipelines ahead");
    assert_eq!(vote(&solo, 9), Err(Screened::FarAhead));
    // And where nobody screens, the replica goes by the same bounds.
    assert_eq!(solo.vote(3, Prepare, 0, off(8)), Disposition::Applied);
    assert_eq!(solo.vote(3, Prepare, 0, off(9)), Disposition::Ignored(Why::FarAhead));
    let mut blocks = solo.blocks(3);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
    blocks.reverse();
    let chain = solo.forge.chain(Some(&certificate), &blocks);
    solo.feed(&chain);
    assert_eq!(solo.replica.status().decided, at(3));
    assert_eq!((vote(&solo, 1), vote(&solo, 2)), (Err(Screened::Stale), Err(Screened::Stale)));
    assert_eq!((vote(&solo, 4), vote(&solo, 11)), (Ok(()), Ok(())));
    assert_eq!(vote(&solo, 12), Err(Screened::FarAhead));
}

#[test]
fn spec_3_6_of_what_is_certified_no_more_votes_are_needed_but_those_for_something_else() {
    let mut solo = Solo::new(4, 1);
    let block = solo.blocks(1).remove(0);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), block.digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(admits(&solo, &prepare(&solo, 2, 0, (at(1), block.digest()))), Err(Screened::NotNeeded));
    assert_eq!(admits(&solo, &prepare(&solo, 2, 0, off(1))), Ok(()), "V5 and E need it");
    solo.vote(2, Commit, 0, (at(1), block.digest()));
    let same = solo.forge.vote(solo.as_traitor(2), Commit, view(0), (at(1), block.digest()));
    assert_eq!(admits(&solo, &same), Err(Screened::Duplicate));
}

#[test]
fn spec_3_6_proposals_of_this_view_and_the_next_are_needed_and_second_ones_prove_something() {
    let mut solo = Solo::new(4, 1);
    let (block, other) = (solo.blocks(1).remove(0), solo.block_saying(1, solo.genesis().1, 1, b"other"));
    assert_eq!(admits(&solo, &proposal(&solo, 1, &block)), Ok(()));
    assert_eq!(admits(&solo, &proposal(&solo, 2, &block)), Err(Screened::FarAhead));
    // Its vote is known, its block is not.
    solo.vote(0, Prepare, 0, (at(1), block.digest()));
    assert_eq!(admits(&solo, &proposal(&solo, 0, &block)), Ok(()));
    solo.propose(0, &block);
    assert_eq!(admits(&solo, &proposal(&solo, 0, &block)), Err(Screened::Duplicate));
    assert_eq!(admits(&solo, &proposal(&solo, 0, &other)), Ok(()));
    let far = solo.block(9, solo.genesis().1, 1);
    assert_eq!(admits(&solo, &proposal(&solo, 0, &far)), Err(Screened::FarAhead));
    let last = solo.block(8, solo.genesis().1, 1);
    assert_eq!(admits(&solo, &proposal(&solo, 0, &last)), Ok(()), "two pipelines ahead, as votes");
}

#[test]
fn spec_3_6_proposals_of_the_next_view_are_needed_once_and_while_there_is_room() {
    let mut solo = Solo::new(4, 1);
    // P = 4: eight of them are kept.
    let blocks = solo.blocks(9);
    for block in &blocks[..8] {
        let early = proposal(&solo, 1, block);
        assert_eq!(admits(&solo, &early), Ok(()));
        assert_eq!(solo.feed(&early), Disposition::Buffered);
        assert_eq!(admits(&solo, &early), Err(Screened::Duplicate));
    }
    let ninth = proposal(&solo, 1, &blocks[8]);
    assert_eq!(admits(&solo, &ninth), Err(Screened::FarAhead));
    let bytes = [ninth].map(|bytes| unverified(&solo, &bytes));
    assert_eq!(solo.replica.screen().triage(bytes.into()).spare.len(), 1, "what comes with it may open its view");
}

#[test]
fn spec_3_6_who_waits_for_a_view_needs_its_votes_and_what_opens_it() {
    let mut solo = Solo::new(4, 1);
    solo.wants(&[0, 2, 3], 2);
    solo.vote(0, Prepare, 2, off(1));
    assert_eq!(admits(&solo, &prepare(&solo, 2, 2, off(1))), Ok(()));
    assert_eq!(admits(&solo, &prepare(&solo, 2, 1, off(1))), Err(Screened::Stale));
    assert_eq!(admits(&solo, &prepare(&solo, 2, 3, off(1))), Err(Screened::FarAhead));
    for (to, needed) in [(1, Err(Screened::Stale)), (2, Ok(())), (3, Ok(()))] {
        let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(to), None));
        assert_eq!(admits(&solo, &solo.forge.view_change_message(&claims[0])), needed);
        assert_eq!(admits(&solo, &solo.forge.new_view(&solo.keys[to as usize], view(to), &claims, None)), needed);
    }
}

#[test]
fn spec_3_6_votes_on_what_is_settled_are_needed_only_against_what_is_held() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    solo.vote(3, Commit, 0, (at(2), blocks[1].digest()));
    blocks.iter().for_each(|block| solo.decide(0, block));
    assert_eq!(solo.replica.status().decided, at(3));
    for number in 1..=3 {
        for digest in [blocks[number as usize - 1].digest(), Digest::new([9; 32])] {
            let commit = solo.forge.vote(solo.as_traitor(3), Commit, view(0), (at(number), digest));
            let is_proof = number == 2 && digest == Digest::new([9; 32]);
            let expected = if is_proof { Ok(()) } else { Err(if number == 2 { Screened::Duplicate } else { Screened::Stale }) };
            assert_eq!(admits(&solo, &commit), expected, "at {number}: {digest:?}");
        }
    }
}

#[test]
fn spec_3_6_of_a_load_as_many_votes_are_needed_as_a_quorum_lacks() {
    let mut solo = Solo::new(4, 1);
    let block = solo.blocks(1).remove(0);
    let position = (at(1), block.digest());
    let triage = |solo: &Solo, votes: &[Vec<u8>]| {
        let triage = solo.replica.screen().triage(votes.iter().map(|bytes| unverified(solo, bytes)).collect());
        (triage.needed.len(), triage.spare.len(), triage.dropped)
    };
    let of_next_view = prepare(&solo, 2, 1, position);
    let three: Vec<_> = [0, 2, 3].map(|from| prepare(&solo, from, 0, position)).to_vec();
    assert_eq!(triage(&solo, &three), (3, 0, 0));
    assert_eq!(triage(&solo, &[of_next_view]), (0, 1, 0), "what comes with it may open that view");
    // The primary's vote and the own one are held.
    solo.propose(0, &block);
    assert_eq!(triage(&solo, &three), (1, 1, 1));
}

/// The view change of `from` to view 1, by itself and in its status.
fn leaving(solo: &Solo, from: usize, certificate: &ForgedCertificate) -> [Vec<u8>; 2] {
    let view_change = solo.forge.view_change(solo.as_traitor(from), view(1), Some(certificate));
    let status =
        ForgedStatus { ordinal: 9, view: view(1), waits: true, want: view(1), view_change: Some(&view_change), ..ForgedStatus::default() };
    [solo.forge.view_change_message(&view_change), solo.forge.status_of(solo.as_traitor(from), &status)]
}

/// Are all that this replica's screen takes for needed found to be valid?
fn valid(solo: &Solo, screen: &Solo, messages: &[Vec<u8>]) -> bool {
    let triage = screen.replica.screen().triage(messages.iter().map(|bytes| unverified(solo, bytes)).collect());
    assert_eq!(triage.needed.len(), messages.len());
    let verifier = Verifier::new(solo.cluster.clone());
    let together = verifier.verify_all(triage.needed.clone()).iter().all(Result::is_ok);
    assert_eq!(triage.needed.into_iter().all(|message| verifier.verify(message).is_ok()), together);
    together
}

#[test]
fn spec_3_6_a_claim_that_a_held_certificate_proves_needs_no_other_proof() {
    let solo = Solo::new(4, 1);
    let position = (at(1), solo.blocks(1)[0].digest());
    let unsigned = |kind, position| {
        solo.forge.certificate(&[0, 2, 3].map(|member| (solo.as_traitor(member).0, &solo.keys[1])), kind, view(0), position)
    };
    let [same, commit, other] =
        [(Prepare, position), (Commit, position), (Prepare, off(1))].map(|(kind, position)| leaving(&solo, 2, &unsigned(kind, position)));
    let mut stranger = Solo::with(builder(4, 2).pipeline(5).build().expect("a valid cluster"), 1, Tuning::from_timeout(T));
    assert!(!valid(&solo, &solo, &same[..1]), "nothing is held");
    for held in [Prepare, Commit] {
        let mut solo = Solo::new(4, 1);
        let certificate = solo.certificate(&[0, 2, 3], held, 0, position);
        solo.feed_certificate(&certificate);
        assert!(valid(&solo, &solo, &same));
        assert_eq!(valid(&solo, &solo, &commit[..1]), held == Commit, "a prepared certificate does not say that it is decided");
        assert_eq!(valid(&solo, &solo, &commit[1..]), held == Commit);
        assert!(!valid(&solo, &solo, &other[..1]));
    }
    let foreign = stranger.certificate(&[0, 2, 3], Prepare, 0, position);
    stranger.feed_certificate(&foreign);
    assert!(!valid(&solo, &stranger, &same[..1]));
    assert!(!valid(&solo, &stranger, &same[1..]));
}

#[test]
fn v3_no_certificate_that_nobody_verified_gets_into_a_new_view() {
    let mut solo = Solo::new(4, 1);
    let position = (at(1), solo.blocks(1)[0].digest());
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, position);
    solo.feed_certificate(&certificate);
    solo.wants(&[0, 2, 3], 1);
    let forgery = solo.forge.certificate(&[0, 2, 3].map(|member| (solo.as_traitor(member).0, &solo.keys[1])), Prepare, view(0), position);
    // Of equals the lowest member's certificate is taken.
    for from in [0, 2] {
        let bytes = leaving(&solo, from, &forgery)[0].clone();
        let needed = solo.replica.screen().triage(vec![unverified(&solo, &bytes)]).needed.remove(0);
        let verified = Verifier::new(solo.cluster.clone()).verify(needed).expect("its claim is proved");
        solo.step(Input::Message(verified));
    }
    let new_view = solo.sent.iter().find(|envelope| envelope.kind() == MessageKind::NewView).expect("a new view");
    assert!(!solo.refuses(&new_view.encode()));
}

#[test]
fn spec_3_6_of_a_load_of_view_changes_one_with_each_claim_is_verified_first() {
    let mut solo = Solo::new(7, 1);
    let position = (at(1), solo.blocks(1)[0].digest());
    let certificate = solo.certificate(&[0, 2, 3, 4, 5], Prepare, 0, position);
    let other = solo.certificate(&[0, 2, 3, 4, 5], Prepare, 0, off(2));
    let mut messages: Vec<Vec<u8>> = [0, 2, 3].iter().flat_map(|from| leaving(&solo, *from, &certificate)).collect();
    messages.push(leaving(&solo, 3, &other)[0].clone());
    let look = |solo: &Solo, messages: Vec<Unverified>, times| solo.replica.screen().triage_again(messages, times);
    let count = |triage: &Triage| (triage.needed.len(), triage.spare.len());
    let first = look(&solo, messages.iter().map(|bytes| unverified(&solo, bytes)).collect(), 0);
    assert_eq!(count(&first), (2, 5));
    assert_eq!(count(&look(&solo, first.spare.clone(), 1)), (2, 3), "more, if none was good");
    // Its own `high` is another. One has left already; it wishes for view 1 itself, with three others; it has left too.
    let own = solo.certificate(&[0, 2, 3, 4, 5], Prepare, 0, off(3));
    solo.feed_certificate(&own);
    solo.feed(&messages[0]);
    assert_eq!(solo.replica.status().wish, view(0));
    assert_eq!(count(&look(&solo, first.spare.clone(), 0)), (5, 0), "it wishes for nothing yet");
    solo.wants(&[2, 3], 1);
    assert_eq!((solo.replica.status().view, solo.replica.status().wish), (view(0), view(1)));
    assert_eq!(count(&look(&solo, first.spare.clone(), 1)), (5, 0), "it holds the one that proves them all");
    solo.wants(&[4], 1);
    assert!(!solo.replica.status().normal);
    assert_eq!(count(&look(&solo, first.spare.clone(), 1)), (5, 0));
}

#[test]
fn spec_3_6_of_the_view_changes_of_one_member_the_last_is_verified_first() {
    let mut solo = Solo::new(4, 1);
    let leaves = |solo: &Solo, from: usize, to: u64| {
        let view_change = solo.forge.view_change(solo.as_traitor(from), view(to), None);
        solo.forge.view_change_message(&view_change)
    };
    let messages: Vec<Vec<u8>> = [1, 2, 5, 3].iter().map(|to| leaves(&solo, 3, *to)).chain([leaves(&solo, 2, 1)]).collect();
    let load = |solo: &Solo| messages.iter().map(|bytes| unverified(solo, bytes)).collect();
    let look = |solo: &Solo, messages: Vec<Unverified>, times| solo.replica.screen().triage_again(messages, times);
    let count = |triage: &Triage| (triage.needed.len(), triage.spare.len(), triage.dropped);
    let first = look(&solo, load(&solo), 0);
    assert_eq!(count(&first), (2, 3, 0));
    assert_eq!(count(&look(&solo, first.spare.clone(), 1)), (3, 0, 0), "if that one was bad");
    solo.feed(&messages[2]);
    assert_eq!(count(&look(&solo, first.spare.clone(), 1)), (0, 0, 3));
    assert_eq!(admits(&solo, &messages[2]), Ok(()), "another for the same view would prove something");
    assert_eq!(admits(&solo, &leaves(&solo, 3, 6)), Ok(()));
    assert_eq!(admits(&solo, &messages[4]), Ok(()));
    // In the view that it waits for, claims are compared with those of the new view.
    solo.wants(&[0, 2], 2);
    assert_eq!((solo.replica.status().view, solo.replica.status().normal), (view(2), false));
    assert_eq!(admits(&solo, &leaves(&solo, 3, 1)), Err(Screened::Stale));
    assert_eq!(admits(&solo, &leaves(&solo, 3, 2)), Ok(()));
    assert_eq!(admits(&solo, &leaves(&solo, 3, 3)), Err(Screened::Stale));
    let own = [leaves(&solo, 3, 2), leaves(&solo, 3, 3)].iter().map(|bytes| unverified(&solo, bytes)).collect();
    assert_eq!(count(&look(&solo, own, 0)), (1, 0, 1), "what is dropped itself has overtaken nothing");
}

fn needs(solo: &Solo, bytes: &[u8]) -> Result<(), Screened> {
    solo.replica.needs(&unverified(solo, bytes))
}

#[test]
fn spec_3_6_one_request_of_each_number_is_needed_and_an_old_one_once_in_an_interval() {
    let mut solo = Solo::new(4, 1);
    let ask = |solo: &Solo, number: u64, operation: &[u8]| {
        solo.forge.request_message(&solo.forge.request(&client_key(0), RequestNumber::new(number), operation))
    };
    let window = u64::from(solo.cluster.limits().client_window);
    assert_eq!(needs(&solo, &ask(&solo, 2 * window, b"order")), Ok(()));
    assert_eq!(needs(&solo, &ask(&solo, 2 * window + 1, b"order")), Err(Screened::FarAhead));
    assert_eq!(needs(&solo, &ask(&solo, 1, b"order")), Ok(()));
    let first = ask(&solo, 1, b"order");
    solo.feed(&first);
    for operation in [b"order", b"other"] {
        assert_eq!(needs(&solo, &ask(&solo, 1, operation)), Err(Screened::Duplicate));
    }
    assert_eq!(needs(&solo, &ask(&solo, 2, b"order")), Ok(()));
    let block = solo.blocks(1).remove(0);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    let chain = solo.forge.chain(Some(&certificate), &[block]);
    solo.feed(&chain);
    for _ in 0..2 {
        assert_eq!(needs(&solo, &first), Ok(()), "its client may not have the reply");
        solo.feed(&first);
        assert_eq!(needs(&solo, &first), Err(Screened::Stale));
        solo.pass(T / 8);
    }
}

#[test]
fn spec_3_6_an_old_request_of_which_nothing_is_kept_is_not_needed() {
    let limits = Limits { client_window: 2, ..Limits::default() };
    let cluster = builder(4, 2).limits(limits).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    let mut blocks = solo.blocks(4);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(4), blocks[3].digest()));
    blocks.reverse();
    let chain = solo.forge.chain(Some(&certificate), &blocks);
    solo.feed(&chain);
    assert_eq!(solo.replica.status().executed, at(4));
    let ask = |number: u64| solo.forge.request_message(&solo.forge.request(&client_key(0), RequestNumber::new(number), b"order"));
    assert_eq!([1, 2, 3, 4].map(|number| needs(&solo, &ask(number)).is_ok()), [false, false, true, true]);
}

#[test]
fn spec_3_6_a_chain_is_needed_for_what_it_proves_or_holds() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(4);
    let chain = |solo: &Solo, of: Option<u64>, blocks: &[ForgedBlock], top: &ForgedBlock| {
        let certificate = of.map(|in_view| solo.certificate(&[0, 2, 3], Commit, in_view, (top.sequence_number(), top.digest())));
        solo.forge.chain(certificate.as_ref(), blocks)
    };
    assert_eq!(needs(&solo, &chain(&solo, None, &blocks[..1], &blocks[0])), Err(Screened::NotNeeded), "nobody asked for it");
    assert_eq!(needs(&solo, &chain(&solo, Some(0), &[], &blocks[1])), Ok(()));
    assert_eq!(needs(&solo, &chain(&solo, Some(0), &blocks[3..], &blocks[1])), Err(Screened::NotNeeded), "it proves other blocks");
    let prepared = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), blocks[0].digest()));
    assert_eq!(needs(&solo, &solo.forge.chain(Some(&prepared), &blocks[..1])), Ok(()), "higher than high, in this view");
    let certificate = chain(&solo, Some(0), &[], &blocks[1]);
    solo.feed(&certificate);
    assert_eq!(needs(&solo, &certificate), Err(Screened::NotNeeded), "held, though not what it is on");
    assert_eq!(needs(&solo, &chain(&solo, None, &blocks[1..2], &blocks[1])), Ok(()), "it is missing");
    assert_eq!(needs(&solo, &chain(&solo, None, &blocks[2..3], &blocks[2])), Err(Screened::NotNeeded));
    let rest = chain(&solo, None, &[blocks[1].clone(), blocks[0].clone()], &blocks[1]);
    solo.feed(&rest);
    assert_eq!(solo.replica.status().decided, at(2));
    assert_eq!(needs(&solo, &certificate), Err(Screened::NotNeeded), "decided");
    assert_eq!(needs(&solo, &chain(&solo, Some(0), &[], &blocks[2])), Ok(()), "above it");
    assert_eq!(needs(&solo, &chain(&solo, Some(3), &[], &blocks[0])), Ok(()), "of a higher view");
    let opened = solo.certificate(&[0, 2, 3], Prepare, 3, (at(2), blocks[1].digest()));
    solo.feed_certificate(&opened);
    assert_eq!(needs(&solo, &chain(&solo, Some(0), &[], &blocks[2])), Ok(()), "above the decided log, though of a lower view than high");
}

#[test]
fn spec_3_6_behind_a_vote_only_the_primarys_proposal_is_needed_and_once() {
    let mut solo = Solo::new(4, 1);
    let (blocks, junk) = (solo.blocks(2), solo.block_saying(1, solo.genesis().1, 1, b"junk"));
    let chain = |solo: &Solo, from: usize, top: &ForgedBlock, blocks: &[ForgedBlock]| {
        solo.forge.voted_chain(solo.as_traitor(from), view(0), (top.sequence_number(), top.digest()), blocks)
    };
    let whole = [blocks[1].clone(), blocks[0].clone()];
    assert_eq!(needs(&solo, &chain(&solo, 0, &blocks[1], &[])), Ok(()));
    assert_eq!(needs(&solo, &chain(&solo, 0, &blocks[1], std::slice::from_ref(&junk))), Err(Screened::NotNeeded), "not what was voted for");
    assert_eq!(needs(&solo, &chain(&solo, 3, &junk, std::slice::from_ref(&junk))), Err(Screened::NotNeeded), "no primary's");
    assert_eq!(needs(&solo, &chain(&solo, 0, &blocks[1], &whole)), Ok(()));
    let proposed = chain(&solo, 0, &blocks[1], &whole);
    solo.feed(&proposed);
    assert_eq!(solo.replica.status().head, at(2));
    assert_eq!(needs(&solo, &proposed), Err(Screened::NotNeeded), "it is known, and held");
    let other = solo.block_saying(2, blocks[0].digest(), 2, b"other");
    let second = chain(&solo, 0, &other, std::slice::from_ref(&other));
    assert_eq!(needs(&solo, &second), Ok(()), "E: it is a proof");
    solo.feed(&second);
    assert_eq!(needs(&solo, &second), Err(Screened::NotNeeded), "there is proof already");
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(2), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().decided, at(2));
    assert_eq!(needs(&solo, &chain(&solo, 0, &blocks[1], &[])), Err(Screened::NotNeeded), "decided");
    let early = solo.forge.voted_chain(solo.as_traitor(1), view(1), (at(3), junk.digest()), &[]);
    assert_eq!(needs(&solo, &early), Err(Screened::NotNeeded), "of another view");
}

#[test]
fn spec_3_6_a_vote_on_a_checkpoint_is_needed_once_and_within_the_window() {
    let mut solo = Solo::new(4, 1);
    let vote = |solo: &Solo, number: u64, state: u8| {
        let checkpoint = ForgedCheckpoint { position: (at(number), Digest::new([1; 32])), state: Digest::new([state; 32]) };
        solo.forge.checkpoint(solo.as_traitor(2), checkpoint)
    };
    // K = 128, L = 512.
    assert_eq!((needs(&solo, &vote(&solo, 512, 1)), needs(&solo, &vote(&solo, 640, 1))), (Ok(()), Err(Screened::FarAhead)));
    let first = vote(&solo, 128, 1);
    solo.feed(&first);
    assert_eq!(needs(&solo, &first), Err(Screened::Duplicate));
    assert_eq!(needs(&solo, &vote(&solo, 128, 2)), Ok(()), "E: it is a proof");
}

#[test]
fn spec_3_6_what_is_stable_is_not_looked_at_again_unless_it_proves_something() {
    let mut solo = Solo::new(4, 1);
    let checkpoint =
        |number: u64, state: u8| ForgedCheckpoint { position: (at(number), Digest::new([1; 32])), state: Digest::new([state; 32]) };
    let stable = |solo: &Solo, number: u64| solo.forge.stable_message(&solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint(number, 1)));
    let first = stable(&solo, 256);
    assert_eq!(admits(&solo, &first), Ok(()));
    solo.feed(&first);
    assert_eq!([128, 256, 384].map(|number| admits(&solo, &stable(&solo, number)).is_ok()), [false, false, true]);
    let vote = |solo: &Solo, number: u64, state: u8| admits(solo, &solo.forge.checkpoint(solo.as_traitor(2), checkpoint(number, state)));
    assert_eq!((vote(&solo, 128, 2), vote(&solo, 256, 1)), (Err(Screened::Stale), Err(Screened::Stale)));
    assert_eq!((vote(&solo, 256, 2), vote(&solo, 384, 2)), (Ok(()), Ok(())), "E: it signed another state there");
}

#[test]
fn spec_3_6_a_second_proposal_is_a_proof_once_also_where_all_is_decided() {
    let mut solo = Solo::new(4, 1);
    let (blocks, genesis) = (solo.blocks(2), solo.genesis().1);
    let other = |solo: &Solo, words: &[u8]| solo.block_saying(1, genesis, 1, words);
    for block in &blocks {
        solo.propose(0, block);
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (block.sequence_number(), block.digest()));
        solo.feed_certificate(&certificate);
    }
    assert_eq!(solo.replica.status().decided, at(2));
    let second = proposal(&solo, 0, &other(&solo, b"second"));
    assert_eq!(admits(&solo, &second), Ok(()), "E");
    solo.feed(&second);
    assert_eq!(admits(&solo, &proposal(&solo, 0, &other(&solo, b"third"))), Err(Screened::NotNeeded), "there is proof");
    // Of a position of which nothing is known any more.
    let mut solo = Solo::new(4, 1);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(2), blocks[1].digest()));
    let chain = solo.forge.chain(Some(&certificate), &[blocks[1].clone(), blocks[0].clone()]);
    solo.feed(&chain);
    assert_eq!(admits(&solo, &proposal(&solo, 0, &blocks[0])), Err(Screened::Stale));
}

#[test]
fn spec_3_6_own_votes_that_come_back_are_not_looked_at() {
    let mut solo = Solo::new(4, 1);
    let block = solo.blocks(1).remove(0);
    assert_eq!(admits(&solo, &prepare(&solo, 1, 0, off(1))), Err(Screened::Own), "nothing was said there");
    solo.propose(0, &block);
    assert_eq!(admits(&solo, &prepare(&solo, 1, 0, (at(1), block.digest()))), Err(Screened::Own));
    assert_eq!(admits(&solo, &prepare(&solo, 1, 1, off(1))), Err(Screened::Own), "in another view it may be another");
    assert_eq!(admits(&solo, &prepare(&solo, 1, 0, off(1))), Ok(()), "E: somebody else has the key");
}

#[test]
fn spec_3_6_own_statuses_and_questions_that_come_back_are_not_looked_at() {
    let solo = Solo::new(4, 1);
    for (from, screened) in [(1, Err(Screened::Own)), (2, Ok(()))] {
        let status = solo.forge.status(solo.as_traitor(from), 1, view(0), view(0), at(0));
        let fetch = solo.forge.fetch(solo.as_traitor(from), 1, at(0), off(1));
        assert_eq!((admits(&solo, &status), admits(&solo, &fetch)), (screened, screened));
    }
}

#[test]
fn d1_an_old_request_is_not_needed_while_its_reply_waits_for_a_record() {
    let mut solo = Solo::new(4, 1);
    let block = solo.blocks(1).remove(0);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    let chain = solo.forge.chain(Some(&certificate), &[block]);
    let mut outbox = Outbox::new();
    solo.feed_into(&chain, &mut outbox);
    // All but the record that holds the certificate.
    let mut writes = outbox.writes();
    let high = writes.split_off(writes.len() - 1);
    solo.make_durable(writes, &mut outbox);
    let results = vec![Bytes::from(b"result".to_vec())];
    solo.replica.step(solo.now, Input::Executed { sequence_number: at(1), results }, &mut outbox);
    let request = solo.forge.request_message(&solo.forge.request(&client_key(0), RequestNumber::new(1), b"order"));
    assert_eq!(needs(&solo, &request), Err(Screened::Stale));
    solo.make_durable(high, &mut outbox);
    assert_eq!(needs(&solo, &request), Ok(()));
}
