//! P6: of votes that wait in one outbox the highest is said, and those at milestones.

mod support;

use logothete::sim::forge::ForgedBlock;
use logothete::sim::forge::Kind::{self, Commit, Prepare};
use logothete::sim::{Net, Slowness};
use logothete::{Cluster, Input, Limits, MessageKind, Outbox, RequestNumber, Tuning, Write};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, at, view};

/// With milestones at 4, 8, 12.
fn cluster() -> Cluster {
    builder(4, 2).pipeline(16).build().expect("a valid cluster")
}

fn backup() -> Solo {
    Solo::with(cluster(), 1, Tuning::from_timeout(T))
}

fn propose(solo: &mut Solo, in_view: u64, blocks: &[ForgedBlock], outbox: &mut Outbox) {
    let primary = solo.cluster.primary(view(in_view)).get() as usize;
    for block in blocks {
        let bytes = solo.forge.pre_prepare(&solo.keys[primary], view(in_view), block);
        solo.feed_into(&bytes, outbox);
    }
}

/// The others' Prepares for this block, as a certificate.
fn certify(solo: &mut Solo, in_view: u64, block: &ForgedBlock, outbox: &mut Outbox) {
    let members: Vec<usize> = (0..4).filter(|member| *member != solo.me).collect();
    let certificate = solo.certificate(&members, Prepare, in_view, (block.sequence_number(), block.digest()));
    let bytes = solo.forge.certificate_message(&certificate);
    solo.feed_into(&bytes, outbox);
}

/// Makes all of these durable, and gives what is said then; and what comes of that is in the outbox.
fn say(solo: &mut Solo, writes: Vec<Write>, outbox: &mut Outbox) -> Vec<(Kind, u64, u64)> {
    for write in writes {
        let (envelopes, receipt) = write.persisted().sign(&solo.keys[solo.me]).expect("signed");
        solo.sent.extend(envelopes);
        solo.replica.step(solo.now, Input::Persisted(receipt), outbox);
    }
    solo.votes()
}

#[test]
fn p6_of_prepares_in_one_outbox_the_highest_is_said_and_those_at_milestones() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(10);
    propose(&mut solo, 0, &blocks, &mut outbox);
    assert_eq!(solo.replica.status().head, at(10));
    let writes = outbox.writes();
    assert_eq!(writes.len(), 10, "each is on record");
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Prepare, 0, 4), (Prepare, 0, 8), (Prepare, 0, 10)]);
}

#[test]
fn p6_what_the_host_has_taken_is_said() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(3);
    propose(&mut solo, 0, &blocks[..2], &mut outbox);
    let taken = outbox.writes();
    propose(&mut solo, 0, &blocks[2..], &mut outbox);
    assert_eq!(say(&mut solo, taken, &mut outbox), [(Prepare, 0, 2)], "1 was passed over, 2 had been taken");
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Prepare, 0, 3)]);
}

#[test]
fn p6_who_gathers_differently_meets_at_milestones() {
    let said = |loads: &[usize]| {
        let (mut solo, mut outbox) = (backup(), Outbox::new());
        let blocks = solo.blocks(16);
        let mut said = Vec::new();
        let mut from = 0;
        for load in loads {
            propose(&mut solo, 0, &blocks[from..from + load], &mut outbox);
            from += load;
            let writes = outbox.writes();
            said.extend(say(&mut solo, writes, &mut outbox).into_iter().map(|(_, _, number)| number));
        }
        said
    };
    assert_eq!(said(&[16]), [4, 8, 12, 16]);
    assert_eq!(said(&[3, 2, 2, 2, 7]), [3, 4, 5, 7, 8, 9, 12, 16]);
    assert_eq!(said(&[2, 2, 2, 2, 2, 2, 2, 2]), [2, 4, 6, 8, 10, 12, 14, 16]);
}

#[test]
fn p6_commits_are_passed_over_for_commits() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(6);
    for block in &blocks {
        certify(&mut solo, 0, block, &mut outbox);
    }
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Commit, 0, 4), (Commit, 0, 6)]);
}

#[test]
fn p6_a_vote_of_the_other_kind_passes_over_nothing() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(3);
    propose(&mut solo, 0, &blocks[..1], &mut outbox);
    certify(&mut solo, 0, &blocks[1], &mut outbox);
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Prepare, 0, 1), (Commit, 0, 2)]);
}

#[test]
fn p6_a_vote_of_the_other_kind_between_two_hides_neither() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(3);
    propose(&mut solo, 0, &blocks[..2], &mut outbox);
    certify(&mut solo, 0, &blocks[0], &mut outbox);
    propose(&mut solo, 0, &blocks[2..], &mut outbox);
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Commit, 0, 1), (Prepare, 0, 3)]);
}

#[test]
fn p6_in_a_short_pipeline_each_vote_is_said() {
    for pipeline in 1..8 {
        let cluster = builder(4, 2).pipeline(pipeline).build().expect("a valid cluster");
        let (mut solo, mut outbox) = (Solo::with(cluster, 1, Tuning::from_timeout(T)), Outbox::new());
        let blocks = solo.blocks(pipeline);
        propose(&mut solo, 0, &blocks, &mut outbox);
        let writes = outbox.writes();
        assert_eq!(say(&mut solo, writes, &mut outbox).len() as u64, pipeline);
    }
}

#[test]
fn p6_a_lower_commit_is_not_passed_over() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(3);
    for number in [3, 1, 2] {
        certify(&mut solo, 0, &blocks[number - 1], &mut outbox);
    }
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Commit, 0, 3), (Commit, 0, 2)], "2 speaks for 1, and not for 3");
}

#[test]
fn p6_a_vote_of_a_higher_view_passes_over_none_of_a_lower_one() {
    let (mut solo, mut outbox) = (Solo::with(cluster(), 3, Tuning::from_timeout(T)), Outbox::new());
    let blocks = solo.blocks(2);
    propose(&mut solo, 0, &blocks[..1], &mut outbox);
    certify(&mut solo, 1, &blocks[0], &mut outbox);
    propose(&mut solo, 1, &blocks[1..], &mut outbox);
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Prepare, 0, 1), (Commit, 1, 1), (Prepare, 1, 2)]);
}

#[test]
fn p6_the_vote_for_a_views_base_is_said_whatever_comes_of_it() {
    let (mut solo, mut outbox) = (Solo::with(cluster(), 2, Tuning::from_timeout(T)), Outbox::new());
    let blocks = solo.blocks(2);
    let base = (at(1), blocks[0].digest());
    solo.propose(0, &blocks[0]);
    let certificate = solo.certificate(&[0, 1, 3], Prepare, 0, base);
    let claims = [0, 1, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(1), Some(&certificate)));
    let new_view = solo.forge.new_view(&solo.keys[1], view(1), &claims, None);
    solo.feed_into(&new_view, &mut outbox);
    // All the others' votes for the base: but one of these may have been told to this replica alone, and without its own that is no quorum for who lacks it.
    for member in [0, 1, 3] {
        let vote = solo.forge.vote(solo.as_traitor(member), Prepare, view(1), base);
        solo.feed_into(&vote, &mut outbox);
    }
    propose(&mut solo, 1, &blocks[1..], &mut outbox);
    solo.sent.clear();
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Prepare, 1, 1), (Commit, 1, 1), (Prepare, 1, 2)]);
}

#[test]
fn p6_a_proposal_is_never_passed_over() {
    let (mut solo, mut outbox) = (Solo::with(cluster(), 0, Tuning::from_timeout(T)), Outbox::new());
    for number in 1..=3 {
        let request = solo.forge.request(&support::client_key(0), RequestNumber::new(number), b"order");
        let bytes = solo.forge.request_message(&request);
        solo.feed_into(&bytes, &mut outbox);
        solo.replica.step(solo.now, Input::Timer, &mut outbox);
    }
    let writes = outbox.writes();
    assert_eq!(say(&mut solo, writes, &mut outbox), [(Prepare, 0, 1), (Prepare, 0, 2), (Prepare, 0, 3)]);
}

#[test]
fn p6_what_was_passed_over_is_said_after_a_restart_if_it_is_the_last() {
    let (mut solo, mut outbox) = (backup(), Outbox::new());
    let blocks = solo.blocks(3);
    propose(&mut solo, 0, &blocks, &mut outbox);
    // The disk takes two of three records, and the process ends.
    for write in outbox.writes().into_iter().take(2) {
        solo.log.push((write.index(), write.record().to_bytes()));
        assert_eq!(write.persisted().payloads().count(), 0, "a promise that is not said");
    }
    solo.restart();
    assert!(solo.votes().contains(&(Prepare, 0, 2)), "as after any crash");
}

fn sent(gathers: bool, loss: u64) -> u64 {
    let limits = Limits { batch_requests_max: 1, ..Limits::default() };
    let cluster = builder(4, 16).pipeline(16).checkpoint_interval(16).log_window(64).limits(limits).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 5, Tuning::from_timeout(T));
    (net.gathers, net.loss) = (gathers, loss);
    net.slow = Slowness { disk: (500, 3_000), service: (0, 0) };
    for order in 0..320_u32 {
        net.submit(order as usize % 16, &order.to_le_bytes());
        if order % 16 == 15 {
            net.run_for(Duration::from_millis(5));
        }
    }
    net.settle(Duration::from_secs(60), &[0, 1, 2, 3]);
    assert!(net.hosts.iter().all(|host| host.replica.status().view.get() == 0), "nobody lost patience");
    net.sent_kinds.iter().filter(|(kind, _)| matches!(kind, MessageKind::Prepare | MessageKind::Commit)).map(|(_, (count, _))| count).sum()
}

#[test]
fn p6_a_cluster_that_gathers_decides_with_half_the_votes() {
    let (gathered, single) = (sent(true, 0), sent(false, 0));
    assert!(gathered * 2 < single, "{gathered} votes instead of {single}");
    sent(true, 10);
}

#[test]
fn p6_however_long_the_pipeline_none_waits_for_many_to_meet() {
    let limits = Limits { batch_requests_max: 1, ..Limits::default() };
    let cluster = builder(4, 16).pipeline(1024).checkpoint_interval(512).log_window(1024).limits(limits).build().expect("a valid cluster");
    let mut net = Net::tuned(cluster, 5, Tuning::from_timeout(T));
    net.gathers = true;
    net.crash(3);
    // Slower than what comes: each vote finds the one before it waiting.
    net.slow = Slowness { disk: (40_000, 60_000), service: (0, 0) };
    for order in 0..200_u32 {
        net.submit(order as usize % 16, &order.to_le_bytes());
        net.run_for(Duration::from_millis(10));
    }
    net.settle(Duration::from_secs(60), &[0, 1, 2]);
    assert!(net.hosts[..3].iter().all(|host| host.replica.status().view.get() == 0), "{}", net.describe());
}

/// Nobody's clock says anything, one is silent, and each of the others gathers what its disk makes it: votes meet by themselves, and soon.
#[test]
fn p6_however_each_gathers_all_is_decided_without_a_timer() {
    for seed in 0..24 {
        let pipeline = [8, 16, 64, 1024][seed as usize % 4];
        let limits = Limits { batch_requests_max: 1, ..Limits::default() };
        let builder = builder(4, 100).pipeline(pipeline).checkpoint_interval(16).log_window(1024).limits(limits);
        let tuning = Tuning { pace_factor: 0, ..Tuning::from_timeout(Duration::from_secs(100_000)) };
        let mut net = Net::tuned(builder.with_keyed_hash().build().expect("a valid cluster"), seed, tuning);
        (net.gathers, net.retry) = (true, Duration::from_secs(100_000));
        net.crash(3);
        for host in 0..3 {
            let slowest = [1_000, 5_000, 40_000][(seed as usize / 4 + host) % 3];
            net.slow_at.insert(host, Slowness { disk: (0, slowest), service: (0, 0) });
        }
        let mut furthest = 0;
        for order in 0..400_u32 {
            net.submit_to(order as usize % 100, &order.to_le_bytes(), &[0]);
            net.run_for(Duration::from_millis(u64::from(order) % 13));
            let decided = net.hosts[1].replica.status().decided.get();
            furthest = furthest.max(net.hosts[0].replica.status().head.get() - decided);
        }
        net.run_for(Duration::from_secs(100));
        let proposed = net.hosts[0].replica.status().head;
        assert!(furthest < 48, "seed {seed}: so many positions waited to meet: {furthest}");
        assert!(proposed == at(400) && net.hosts[0].replica.status().pool_requests == 0, "seed {seed}: {}", net.describe());
        assert!(net.hosts[..3].iter().all(|host| host.replica.status().executed == proposed), "seed {seed}: {}", net.describe());
    }
}
