//! P1–P5, D1, S1: one replica among forged messages, rule by rule.

mod support;

use logothete::sim::forge::ForgedBlock;
use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::{Bytes, Disposition, Event, Input, Outbox, Output, RequestNumber, Time, Why};
use support::solo::{Solo, at};

#[test]
fn p1_accepts_in_order_only_and_an_early_child_waits() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    solo.propose(0, &blocks[2]);
    solo.propose(0, &blocks[1]);
    assert_eq!(solo.votes(), [], "no vote above a gap");
    solo.propose(0, &blocks[0]);
    assert_eq!(solo.votes(), [(Prepare, 0, 1), (Prepare, 0, 2), (Prepare, 0, 3)]);
}

#[test]
fn p1_a_block_off_the_chain_is_not_accepted() {
    let mut solo = Solo::new(4, 1);
    let stranger = solo.block(1, logothete::Digest::new([7; 32]), 1);
    solo.propose(0, &stranger);
    assert_eq!(solo.votes(), []);
    assert_eq!(solo.replica.status().head, at(0));
}

#[test]
fn p1_accepts_at_most_a_pipeline_above_what_is_certified() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(9);
    for block in &blocks {
        solo.propose(0, block);
    }
    assert_eq!(solo.votes().last(), Some(&(Prepare, 0, 4)), "P = 4");
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(2), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().head, at(6));
}

#[test]
fn p1_a_second_proposal_at_one_position_is_evidence_and_not_accepted() {
    let mut solo = Solo::new(4, 1);
    let (first, second) = (solo.block(1, solo.genesis().1, 1), solo.block_saying(1, solo.genesis().1, 1, b"treason"));
    solo.propose(0, &first);
    assert_eq!(solo.votes(), [(Prepare, 0, 1)]);
    assert_eq!(solo.propose(0, &second), Disposition::Ignored(Why::Contradiction));
    assert_eq!(solo.votes(), []);
    assert!(solo.events.iter().any(|event| matches!(event, Event::Evidence(evidence) if evidence.verify(&solo.cluster).is_ok())));
}

#[test]
fn p1_only_the_primary_of_the_view_proposes() {
    let solo = Solo::new(4, 1);
    let block = solo.block(1, solo.genesis().1, 1);
    let by_another = solo.forge.pre_prepare(&solo.keys[2], support::solo::view(0), &block);
    assert!(solo.refuses(&by_another), "signed by R2 in a view of R0's");
}

#[test]
fn p3_commits_on_a_certificate_even_without_the_block() {
    let mut solo = Solo::new(4, 1);
    let block = solo.block(1, solo.genesis().1, 1);
    let position = (at(1), block.digest());
    for member in [0, 2, 3] {
        assert_eq!(solo.votes(), []);
        solo.vote(member, Prepare, 0, position);
    }
    assert_eq!(solo.votes(), [(Commit, 0, 1)]);
    // Once only, however often it is proved.
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, position);
    solo.feed_certificate(&certificate);
    assert_eq!(solo.votes(), []);
}

#[test]
fn p3_commits_below_the_highest_certificate_too() {
    let mut solo = Solo::new(4, 1);
    for number in [2, 1] {
        let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(number), solo.blocks(number)[number as usize - 1].digest()));
        solo.feed_certificate(&certificate);
        assert_eq!(solo.votes().iter().filter(|vote| vote.0 == Commit).collect::<Vec<_>>(), [&(Commit, 0, number)]);
    }
}

#[test]
fn p3_one_vote_short_of_a_quorum_is_nothing() {
    for n in [4, 5, 6, 7] {
        let mut solo = Solo::new(n, 1);
        let block = solo.block(1, solo.genesis().1, 1);
        solo.propose(0, &block);
        let quorum = solo.cluster.quorum() as usize;
        // Its own vote, the primary's, and q − 3 others: one short.
        for member in 2..quorum - 1 {
            solo.vote(member, Prepare, 0, (at(1), block.digest()));
        }
        assert!(!solo.votes().contains(&(Commit, 0, 1)), "n = {n}");
        // The same voter again is no other voter.
        solo.vote(0, Prepare, 0, (at(1), block.digest()));
        assert!(!solo.votes().contains(&(Commit, 0, 1)), "n = {n}");
        solo.vote(quorum - 1, Prepare, 0, (at(1), block.digest()));
        assert!(solo.votes().contains(&(Commit, 0, 1)), "n = {n}");
    }
}

#[test]
fn p4_high_is_a_maximum_not_the_latest() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    let upper = solo.certificate(&[0, 2, 3], Prepare, 0, (at(3), blocks[2].digest()));
    let lower = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), blocks[0].digest()));
    solo.feed_certificate(&upper);
    solo.feed_certificate(&lower);
    solo.words();
    solo.wants(&[0, 2, 3], 5);
    let claims = solo.view_changes();
    assert!(claims.iter().any(|claim| claim.contains("claim (0,3)")), "{claims:?}");
}

#[test]
fn p5_one_commit_certificate_decides_the_whole_chain_below_it() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    for block in &blocks {
        solo.propose(0, block);
    }
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
    solo.feed_certificate(&certificate);
    let numbers: Vec<u64> = solo.decisions.iter().map(|decision| decision.sequence_number().get()).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn p5_what_is_missing_is_fetched_and_checked_backwards() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
    solo.feed_certificate(&certificate);
    assert!(solo.decisions.is_empty());
    solo.words();
    solo.pass(support::solo::T);
    assert!(solo.words().iter().any(|words| words.contains("Fetch by R1 chain down from n3")));
    // Somebody offers blocks that nobody asked for: not kept.
    let fake = solo.block_saying(3, blocks[1].digest(), 3, b"fake");
    let junk = solo.forge.chain(None, &[fake]);
    assert_eq!(solo.feed(&junk), Disposition::Ignored(Why::NotNeeded));
    let upper = solo.forge.chain(None, &[blocks[2].clone(), blocks[1].clone()]);
    solo.feed(&upper);
    assert!(solo.decisions.is_empty());
    let rest = solo.forge.chain(None, &[blocks[0].clone()]);
    solo.feed(&rest);
    assert_eq!(solo.decisions.len(), 3);
}

#[test]
fn p5_what_is_missing_below_a_block_that_came_is_asked_for_an_interval_later() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
    solo.feed_certificate(&certificate);
    let interval = logothete::Tuning::from_timeout(support::solo::T).fetch_interval;
    solo.pass(interval / 2);
    let upper = solo.forge.chain(None, &[blocks[2].clone()]);
    solo.feed(&upper);
    solo.words();
    solo.pass(interval);
    let words = solo.words();
    assert!(words.iter().any(|words| words.contains("Fetch by R1 chain down from n2")), "{words:?}");
}

#[test]
fn s1_doubled_executed_and_out_of_turn_requests_are_skipped() {
    let mut solo = Solo::new(4, 1);
    let request =
        |number: u64, operation: &[u8]| solo.forge.request(&support::client_key(0), logothete::RequestNumber::new(number), operation);
    let batch = vec![request(1, b"a"), request(1, b"b"), request(3, b"early"), request(2, b"c"), request(1, b"a"), request(3, b"d")];
    let block = solo.forge.block(at(1), solo.genesis().1, batch);
    solo.propose(0, &block);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    solo.feed_certificate(&certificate);
    let executed: Vec<Vec<u8>> = solo.decisions[0].requests().map(|request| request.operation().to_vec()).collect();
    assert_eq!(executed, [b"a".to_vec(), b"c".to_vec(), b"d".to_vec()]);
}

#[test]
fn d1_nothing_counts_or_leaves_before_its_record_is_durable() {
    let mut solo = Solo::new(4, 1);
    let block = solo.block(1, solo.genesis().1, 1);
    let position = (at(1), block.digest());
    // By hand: the write is held back.
    let bytes = solo.forge.pre_prepare(&solo.keys[0], support::solo::view(0), &block);
    let verify = |bytes: &[u8]| {
        let unverified = logothete::Unverified::decode(logothete::PeerLink(0), bytes, solo.cluster.limits()).expect("decodes");
        logothete::Verifier::new(solo.cluster.clone()).verify(unverified).expect("verifies")
    };
    let proposal = verify(&bytes);
    let other = verify(&solo.forge.vote(solo.as_traitor(2), Prepare, support::solo::view(0), position));
    let mut outbox = Outbox::new();
    solo.replica.step(solo.now, Input::Message(proposal), &mut outbox);
    let mut writes = outbox.writes();
    assert_eq!(writes.len(), 1);
    assert!(outbox.sends().is_empty(), "the vote is in the write, not among the sends");
    // The primary's and R2's votes are not a quorum: the own one doesn't count yet.
    solo.replica.step(solo.now, Input::Message(other), &mut outbox);
    assert!(outbox.writes().is_empty());
    let (envelopes, receipt) = writes.remove(0).persisted().sign(&solo.keys[1]).expect("signed");
    assert_eq!(envelopes.len(), 1);
    solo.replica.step(solo.now, Input::Persisted(receipt), &mut outbox);
    let commits = outbox.writes();
    assert_eq!(commits.len(), 1, "with the own vote there is a quorum");
    assert!(format!("{}", commits[0]).contains("Commit"));
}

#[test]
fn d1_a_receipt_of_another_replica_is_not_taken() {
    let (mut solo, mut other) = (Solo::new(4, 1), Solo::new(4, 2));
    let block = solo.block(1, solo.genesis().1, 1);
    let bytes = other.forge.pre_prepare(&other.keys[0], support::solo::view(0), &block);
    let unverified = logothete::Unverified::decode(logothete::PeerLink(0), &bytes, other.cluster.limits()).expect("decodes");
    let verified = logothete::Verifier::new(other.cluster.clone()).verify(unverified).expect("verifies");
    let mut outbox = Outbox::new();
    other.replica.step(Time(1), Input::Message(verified), &mut outbox);
    let write = outbox.writes().remove(0);
    let (_, receipt) = write.persisted().sign(&other.keys[2]).expect("signed");
    assert_eq!(solo.step(Input::Persisted(receipt)), Disposition::Ignored(Why::Foreign));
}

#[test]
fn d1_records_are_framed_indexed_and_hold_the_blocks_of_their_votes() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(2);
    let mut outbox = Outbox::new();
    for block in blocks.iter().rev() {
        let bytes = solo.forge.pre_prepare(&solo.keys[0], support::solo::view(0), block);
        let unverified = logothete::Unverified::decode(logothete::PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes");
        let verified = logothete::Verifier::new(solo.cluster.clone()).verify(unverified).expect("verifies");
        solo.replica.step(solo.now, Input::Message(verified), &mut outbox);
    }
    let outputs: Vec<Output> = outbox.drain().collect();
    let writes: Vec<_> = outputs
        .into_iter()
        .filter_map(|output| match output {
            Output::Write(write) => Some(write),
            _ => None,
        })
        .collect();
    assert_eq!(writes.iter().map(logothete::Write::index).collect::<Vec<_>>(), [1, 2]);
    for (write, block) in writes.iter().zip(&blocks) {
        let frame = write.record().to_bytes();
        assert_eq!(&frame[..8], b"logothR3");
        assert_eq!(&frame[8..40], solo.cluster.id().as_bytes());
        assert_eq!(frame[40..44], 1_u32.to_le_bytes());
        assert_eq!(frame[44..52], write.index().to_le_bytes());
        let length = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().expect("four bytes")) as usize;
        assert_eq!(frame.len(), 68 + length(52) + 32 + length(56));
        let parent = block.parent();
        assert!(frame.windows(32).any(|window| window == parent.as_bytes()), "the header is in the record");
    }
}

#[test]
fn p2_no_vote_before_the_whole_chain_is_held() {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(3);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(2), blocks[1].digest()));
    solo.feed_certificate(&certificate);
    solo.propose(0, &blocks[2]);
    assert_eq!(solo.replica.status().head, at(3), "accepted: its parent is head");
    assert_eq!(solo.votes(), [(Commit, 0, 2)], "but not voted for");
    let chain = solo.forge.chain(None, &[blocks[1].clone()]);
    solo.feed(&chain);
    assert_eq!(solo.votes(), []);
    let chain = solo.forge.chain(None, &[blocks[0].clone()]);
    solo.feed(&chain);
    assert_eq!(solo.votes(), [(Prepare, 0, 3)], "and only upwards: what is certified below needs no vote");
}

#[test]
fn s1_requests_wait_up_to_two_windows_ahead_and_no_further() {
    let mut solo = Solo::new(4, 1);
    let window = u64::from(solo.cluster.limits().client_window);
    let mut ask = |number: u64| {
        let request = solo.forge.request(&support::client_key(0), logothete::RequestNumber::new(number), b"order");
        let bytes = solo.forge.request_message(&request);
        solo.feed(&bytes)
    };
    assert_eq!(ask(2 * window), Disposition::Applied, "its client may be a window ahead of what this replica has executed");
    assert_eq!(ask(2 * window + 1), Disposition::Ignored(Why::FarAhead));
    assert_eq!(ask(u64::MAX), Disposition::Ignored(Why::FarAhead));
}

#[test]
fn d1_replies_wait_until_high_is_durable() {
    let mut solo = Solo::new(4, 1);
    let block = solo.block(1, solo.genesis().1, 1);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    let chain = solo.forge.chain(Some(&certificate), std::slice::from_ref(&block));
    let unverified = logothete::Unverified::decode(logothete::PeerLink(0), &chain, solo.cluster.limits()).expect("decodes");
    let verified = logothete::Verifier::new(solo.cluster.clone()).verify(unverified).expect("verifies");
    let mut outbox = Outbox::new();
    solo.replica.step(solo.now, Input::Message(verified), &mut outbox);
    let mut writes = outbox.writes();
    let high = writes.split_off(writes.len() - 1);
    assert!(high[0].to_string().contains("High"), "nothing else records the certificate: {high:?}");
    assert_eq!(outbox.app().len(), 0, "what is on no durable record is not executed");
    for write in writes {
        let (_, receipt) = write.persisted().sign(&solo.keys[1]).expect("signed");
        solo.replica.step(solo.now, Input::Persisted(receipt), &mut outbox);
    }
    assert_eq!(outbox.app().len(), 1);
    let results = vec![logothete::Bytes::from(b"done".to_vec())];
    solo.replica.step(solo.now, Input::Executed { sequence_number: at(1), results }, &mut outbox);
    let replies = |outbox: &mut Outbox| {
        let sends = outbox.sends().into_iter().flat_map(|send| send.sign(&solo.keys[1]).expect("signed"));
        sends.filter(|envelope| envelope.kind() == logothete::MessageKind::Reply).count()
    };
    assert!(solo.replica.status().usage.results.bytes > 0, "counted while they wait");
    for write in high {
        assert_eq!(replies(&mut outbox), 0, "decided and executed, but not durable: {write}");
        let (_, receipt) = write.persisted().sign(&solo.keys[1]).expect("signed");
        solo.replica.step(solo.now, Input::Persisted(receipt), &mut outbox);
    }
    assert_eq!(replies(&mut outbox), 1);
    assert_eq!(solo.replica.status().usage.results.bytes, 0);
}

#[test]
fn p1_a_block_that_is_held_is_accepted_at_its_own_number_only() {
    let mut solo = Solo::new(4, 1);
    let far = solo.block(8, solo.genesis().1, 1);
    solo.propose(0, &far);
    assert_eq!(solo.replica.status().blocks, 1);
    solo.vote(0, Prepare, 0, (at(1), far.digest()));
    assert_eq!((solo.votes(), solo.replica.status().head), (vec![], at(0)), "no position is skipped, whatever number a vote gives");
}

#[test]
fn p3_votes_for_other_digests_do_not_make_up_a_quorum() {
    let mut solo = Solo::new(4, 1);
    for kind in [Prepare, Commit] {
        for (member, operation) in [(0, b"one"), (2, b"two"), (3, b"six")] {
            let block = solo.block_saying(1, solo.genesis().1, 1, operation);
            assert_eq!(solo.vote(member, kind, 0, (at(1), block.digest())), Disposition::Applied);
        }
        let certified = solo.words().into_iter().find(|words| words.contains("Commit"));
        assert_eq!(certified, None, "three votes for three digests");
    }
    assert_eq!(solo.replica.status().head, at(0));
}

#[test]
fn p5_prepares_decide_nothing() {
    let mut solo = Solo::new(4, 1);
    let block = solo.block(1, solo.genesis().1, 1);
    let position = (at(1), block.digest());
    solo.propose(0, &block);
    for member in [2, 3] {
        solo.vote(member, Prepare, 0, position);
    }
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, position);
    solo.feed_certificate(&certificate);
    solo.vote(3, Commit, 0, position);
    assert_eq!(solo.votes(), [(Prepare, 0, 1), (Commit, 0, 1)]);
    assert_eq!(solo.decisions.len(), 0, "four Prepares, and two Commits with the own one");
    solo.vote(2, Commit, 0, position);
    assert_eq!(solo.decisions.len(), 1);
}

#[test]
fn p5_the_highest_position_stays_the_target() {
    let mut solo = Solo::new(4, 1);
    let mut blocks = solo.blocks(3);
    for (in_view, number) in [(0, 3), (5, 2)] {
        let certificate = solo.certificate(&[0, 2, 3], Commit, in_view, (at(number), blocks[number as usize - 1].digest()));
        solo.feed_certificate(&certificate);
    }
    blocks.reverse();
    let chain = solo.forge.chain(None, &blocks);
    solo.feed(&chain);
    assert_eq!(solo.decisions.len(), 3, "what was certified in a lower view is decided all the same");
}

#[test]
fn p5_a_commit_certificate_against_the_decided_log_halts() {
    // In the view in which that was decided, in a higher one, and in a lower one.
    for (first, second) in [(0, 0), (0, 1), (1, 0)] {
        let mut solo = Solo::new(4, 2);
        let (one, other) = (solo.block(1, solo.genesis().1, 1), solo.block_saying(1, solo.genesis().1, 1, b"other"));
        let certificate = solo.certificate(&[0, 1, 3], Commit, first, (at(1), one.digest()));
        let chain = solo.forge.chain(Some(&certificate), &[one]);
        solo.feed(&chain);
        assert_eq!(solo.decisions.len(), 1);
        let certificate = solo.certificate(&[0, 1, 3], Commit, second, (at(1), other.digest()));
        assert_eq!(solo.feed_certificate(&certificate), Disposition::Halted, "decided in {first}, certified in {second}");
    }
}

#[test]
fn i2_two_certificates_at_one_position_halt() {
    for kinds in [[Prepare, Prepare], [Prepare, Commit], [Commit, Prepare]] {
        let mut solo = Solo::new(4, 1);
        let (one, other) = (solo.block(1, solo.genesis().1, 1), solo.block_saying(1, solo.genesis().1, 1, b"other"));
        let certificates = kinds.map(|kind| solo.certificate(&[0, 2, 3], kind, 0, (at(1), one.digest())));
        for certificate in &certificates {
            assert_eq!(solo.feed_certificate(certificate), Disposition::Applied);
        }
        let contradicts = solo.certificate(&[0, 2, 3], kinds[1], 0, (at(1), other.digest()));
        assert_eq!(solo.feed_certificate(&contradicts), Disposition::Halted, "{kinds:?}");
        assert!(solo.replica.is_halted() && solo.replica.deadline().is_none());
        assert_eq!(solo.propose(0, &one), Disposition::Halted, "and takes no input any more");
    }
}

#[test]
fn d1_a_commit_does_not_count_before_its_record_is_durable() {
    let mut solo = Solo::new(4, 1);
    let block = solo.block(1, solo.genesis().1, 1);
    let position = (at(1), block.digest());
    solo.propose(0, &block);
    for member in [0, 3] {
        solo.vote(member, Commit, 0, position);
    }
    // By hand: the write is held back.
    let prepared = solo.certificate(&[0, 2, 3], Prepare, 0, position);
    let bytes = solo.forge.certificate_message(&prepared);
    let mut outbox = Outbox::new();
    solo.feed_into(&bytes, &mut outbox);
    let writes = outbox.writes();
    assert_eq!((writes.len(), outbox.app().len()), (1, 0), "promised, and not yet counted");
    solo.make_durable(writes, &mut outbox);
    assert_eq!(outbox.app().len(), 1);
}

/// Decides these blocks; the service is yet to answer.
fn decided(solo: &mut Solo, blocks: &[ForgedBlock], outbox: &mut Outbox) {
    let last = blocks.last().expect("a block");
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (last.sequence_number(), last.digest()));
    let downwards: Vec<ForgedBlock> = blocks.iter().rev().cloned().collect();
    let chain = solo.forge.chain(Some(&certificate), &downwards);
    solo.feed_into(&chain, outbox);
    let writes = outbox.writes();
    solo.make_durable(writes, outbox);
}

#[test]
fn s2_a_service_that_gives_too_few_results_or_one_too_long_halts_its_replica() {
    for results in [vec![], vec![b"one".to_vec(), b"two".to_vec()], vec![vec![0; 64 * 1024 + 1]]] {
        let (mut solo, mut outbox) = (Solo::new(4, 1), Outbox::new());
        let blocks = solo.blocks(1);
        decided(&mut solo, &blocks, &mut outbox);
        let results = results.into_iter().map(Bytes::from).collect();
        assert_eq!(solo.step(Input::Executed { sequence_number: at(1), results }), Disposition::Halted);
    }
}

#[test]
fn i14_results_belong_to_their_batch_in_whatever_order_they_come() {
    let (mut solo, mut outbox) = (Solo::new(4, 1), Outbox::new());
    let blocks = solo.blocks(2);
    decided(&mut solo, &blocks, &mut outbox);
    assert_eq!(outbox.app().len(), 2);
    let executed = |number: u64| Input::Executed { sequence_number: at(number), results: vec![Bytes::from(vec![0; number as usize])] };
    solo.step(executed(2));
    assert_eq!((solo.replica.status().executed, solo.sent.len()), (at(0), 0), "batch 1 comes first");
    solo.step(executed(1));
    assert_eq!(solo.replica.status().executed, at(2));
    let replies = solo.words();
    for (reply, number) in replies.iter().zip(1..) {
        assert!(reply.contains(&format!("Reply by R1 n{number} to")) && reply.ends_with(&format!(" {number} bytes")), "{replies:?}");
    }
    assert_eq!(replies.len(), 2);
}

/// The same keys, another pipeline: another cluster.
fn elsewhere() -> Solo {
    let cluster = support::builder(4, 2).pipeline(5).build().expect("a valid cluster");
    Solo::with(cluster, 1, logothete::Tuning::default())
}

#[test]
fn spec_3_5_what_was_verified_for_another_cluster_is_ignored() {
    let (mut solo, other) = (Solo::new(4, 1), elsewhere());
    let bytes = other.forge.vote(other.as_traitor(2), Prepare, support::solo::view(0), (at(1), logothete::Digest::new([1; 32])));
    let verified = other.verified(&bytes);
    assert_eq!(solo.step(Input::Message(verified)), Disposition::Ignored(Why::Foreign));
}

#[test]
fn spec_3_5_of_very_many_signatures_each_counts() {
    let solo = Solo::new(4, 1);
    let bad = elsewhere().forge.request(&support::client_key(1), logothete::RequestNumber::new(1), b"x");
    let good: Vec<_> =
        (1..=600).map(|number| solo.forge.request(&support::client_key(0), logothete::RequestNumber::new(number), b"x")).collect();
    let proposal = |requests| {
        let block = solo.forge.block(at(1), solo.genesis().1, requests);
        solo.forge.pre_prepare(&solo.keys[0], support::solo::view(0), &block)
    };
    assert!(!solo.refuses(&proposal(good.clone())));
    for place in [0, 300, 600] {
        let mut requests = good.clone();
        requests.insert(place, bad.clone());
        assert!(solo.refuses(&proposal(requests)), "a bad one at {place}");
    }
}

#[test]
fn p5_what_else_stood_at_a_decided_position_goes() {
    let mut solo = Solo::new(4, 1);
    let (mine, theirs) = (solo.block_saying(1, solo.genesis().1, 1, b"treason"), solo.block(1, solo.genesis().1, 1));
    solo.propose(0, &mine);
    let mut outbox = Outbox::new();
    decided(&mut solo, &[theirs], &mut outbox);
    assert_eq!((solo.replica.status().decided, solo.replica.status().blocks), (at(1), 1));
}

#[test]
fn i18_two_pipelines_of_early_proposals_wait() {
    let mut solo = Solo::new(4, 2);
    let blocks = solo.blocks(9);
    assert_eq!(solo.propose(1, &blocks[0]), Disposition::Buffered);
    assert_eq!(solo.propose(1, &blocks[0]), Disposition::Ignored(Why::FarAhead), "once is enough");
    for block in &blocks[1..8] {
        assert_eq!(solo.propose(1, block), Disposition::Buffered);
    }
    assert_eq!(solo.propose(1, &blocks[8]), Disposition::Ignored(Why::FarAhead), "P = 4");
    assert_eq!(solo.propose(2, &blocks[8]), Disposition::Ignored(Why::FarAhead), "more than one view ahead");
    // They are taken when their view begins.
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 1, solo.genesis());
    solo.feed_certificate(&certificate);
    assert_eq!(solo.votes(), [(Prepare, 1, 1), (Prepare, 1, 2), (Prepare, 1, 3), (Prepare, 1, 4)]);
}

#[test]
fn i18_early_proposals_of_a_view_that_never_began_leave_room_for_those_of_the_next() {
    let mut solo = Solo::new(4, 0);
    let blocks = solo.blocks(8);
    for block in &blocks {
        assert_eq!(solo.propose(1, block), Disposition::Buffered);
    }
    let certificate = solo.certificate(&[1, 2, 3], Prepare, 2, solo.genesis());
    solo.feed_certificate(&certificate);
    assert_eq!(solo.replica.status().usage.early.bytes, 0);
    assert_eq!(solo.propose(3, &blocks[0]), Disposition::Buffered);
}

#[test]
fn i18_of_what_a_primary_alone_voted_for_twice_the_open_positions_are_kept() {
    let limits = logothete::Limits { batch_bytes_max: 708, operation_bytes_max: 380, ..logothete::Limits::default() };
    let cluster = support::builder(4, 2).pipeline(4).limits(limits).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, logothete::Tuning::default());
    // At each of eight positions the tip of another chain: 36 blocks, as large as they may be.
    for tip in 1..=8 {
        let (mut parent, mut chain) = (solo.genesis().1, Vec::new());
        for number in 1..=tip {
            let request =
                |client, length| solo.forge.request(&support::client_key(client), RequestNumber::new(number), &vec![tip as u8; length]);
            chain.insert(0, solo.forge.block(at(number), parent, vec![request(0, 380), request(1, 56)]));
            parent = chain[0].digest();
        }
        solo.vote(0, Prepare, 0, (at(tip), parent));
        let bytes = solo.forge.chain(None, &chain);
        solo.feed(&bytes);
    }
    // Eight open positions and two pipelines, twice.
    assert_eq!(solo.replica.status().blocks, 2 * (8 + 8));
}

#[test]
fn p2_no_vote_on_a_branch_that_lost_to_a_decision() {
    let mut solo = Solo::new(4, 1);
    let mine = solo.block_saying(1, solo.genesis().1, 1, b"treason");
    let above = solo.block(2, mine.digest(), 2);
    let theirs = solo.block(1, solo.genesis().1, 1);
    solo.propose(0, &mine);
    solo.propose(0, &above);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), theirs.digest()));
    let chain = solo.forge.chain(Some(&certificate), &[theirs]);
    solo.feed(&chain);
    assert_eq!((solo.replica.status().decided, solo.votes()), (at(1), vec![(Prepare, 0, 1), (Prepare, 0, 2)]));
    let next = solo.block(3, above.digest(), 3);
    solo.propose(0, &next);
    assert_eq!(solo.votes(), [], "its chain does not join the decided log");
}
