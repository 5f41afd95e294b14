//! P5, C3, C4: what the service is given and when, and what becomes of a state that is wrong or far behind; one replica among forged messages.

mod support;

use logothete::sim::forge::Kind::Commit;
use logothete::sim::forge::{ForgedBlock, ForgedCheckpoint};
use logothete::{
    AppCommand, AppState, Bytes, ClusterBuilder, Digest, Disposition, Event, Input, Limits, Manifest, Outbox, Replica, ReplicaId,
    RequestNumber, Start, Tuning, Why, chunk_digest,
};
use std::time::Duration;
use support::builder;
use support::solo::{Solo, T, at, view};

const PART: &[u8] = b"the state";
/// A question that is not answered within this is put to somebody else.
const PATIENCE: Duration = Duration::from_millis(201);

/// K = 2, L = 8, P = 4.
fn small() -> ClusterBuilder {
    builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4)
}

/// Replica 1 of 4.
fn backup(cluster: ClusterBuilder) -> Solo {
    Solo::with(cluster.build().expect("a valid cluster"), 1, Tuning::from_timeout(T))
}

fn stable_message(solo: &Solo, checkpoint: ForgedCheckpoint) -> Vec<u8> {
    solo.forge.stable_message(&solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint))
}

fn stable_at(solo: &mut Solo, checkpoint: ForgedCheckpoint) {
    let bytes = stable_message(solo, checkpoint);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
}

/// A state far above, of so many parts.
fn far_away(solo: &mut Solo, parts: u8) -> Manifest {
    let digests: Vec<Digest> = (0..parts).map(|part| chunk_digest(&[part])).collect();
    let manifest = solo.forge.manifest((at(40), Digest::new([40; 32])), &[], &digests);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(solo, checkpoint);
    manifest
}

fn feed_manifest(solo: &mut Solo, manifest: &Manifest, missing: Vec<u32>) -> Disposition {
    let bytes = solo.forge.manifest_message(manifest);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    solo.step(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing })
}

/// Fetches that were sent since the last look, in words.
fn fetches(solo: &mut Solo) -> Vec<String> {
    solo.words().into_iter().filter(|words| words.contains("Fetch")).collect()
}

/// A replica whose service answers when the test says so.
struct Slow {
    solo: Solo,
    outbox: Outbox,
}

impl Slow {
    fn new(cluster: ClusterBuilder) -> Self {
        Self { solo: backup(cluster), outbox: Outbox::new() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.solo.feed_into(bytes, &mut self.outbox);
    }

    fn step(&mut self, input: Input) -> Disposition {
        self.solo.replica.step(self.solo.now, input, &mut self.outbox)
    }

    fn executed(&mut self, number: u64, results: Vec<Vec<u8>>) -> Disposition {
        self.step(Input::Executed { sequence_number: at(number), results: results.into_iter().map(Bytes::from).collect() })
    }

    /// All that was written is durable.
    fn sync(&mut self) {
        loop {
            let writes = self.outbox.writes();
            if writes.is_empty() {
                return;
            }
            self.solo.make_durable(writes, &mut self.outbox);
        }
    }

    /// What the service was told since the last look.
    fn told(&mut self) -> Vec<AppCommand> {
        self.outbox.app()
    }

    /// The batches among that.
    fn given(&mut self) -> Vec<u64> {
        let number = |command| if let AppCommand::Execute(decision) = command { Some(decision.sequence_number().get()) } else { None };
        self.told().into_iter().filter_map(number).collect()
    }

    /// Feeds a commit certificate of the last of these blocks with all of them.
    fn decide(&mut self, blocks: &[ForgedBlock]) {
        let last = blocks.last().expect("a block");
        let certificate = self.solo.certificate(&[0, 2, 3], Commit, 0, (last.sequence_number(), last.digest()));
        let downwards: Vec<ForgedBlock> = blocks.iter().rev().cloned().collect();
        let chain = self.solo.forge.chain(Some(&certificate), &downwards);
        self.feed(&chain);
    }
}

#[test]
fn c3_the_service_gets_no_older_batch_behind_the_order_to_install_a_state() {
    let mut slow = Slow::new(small());
    let blocks = slow.solo.blocks(4);
    slow.decide(&blocks);
    slow.sync();
    assert_eq!(slow.given(), [1, 2], "a snapshot is due at 2");
    let manifest = slow.solo.forge.manifest((at(40), Digest::new([40; 32])), &[], &[]);
    let stable = stable_message(&slow.solo, slow.solo.forge.checkpoint_of(&manifest));
    slow.feed(&stable);
    let bytes = slow.solo.forge.manifest_message(&manifest);
    slow.feed(&bytes);
    slow.step(Input::PartsMissing { sequence_number: at(40), missing: vec![] });
    slow.sync();
    assert!(matches!(slow.told().last(), Some(AppCommand::InstallState(_))));
    // What it was given before comes back, and 3 and 4 are still to be given.
    for number in [1, 2] {
        slow.executed(number, vec![b"result".to_vec()]);
    }
    slow.sync();
    assert!(slow.told().is_empty(), "they would be executed on the state of 40");
    slow.step(Input::StateInstalled(AppState { last_executed: at(40), log_digest: Digest::new([40; 32]), ..AppState::default() }));
    slow.sync();
    assert_eq!((slow.given(), slow.solo.replica.status().executed), (vec![], at(40)));
}

/// What it executed before the order and answers after it: a snapshot would be of the state that is put in its place, under the position of the old one.
#[test]
fn c4_no_snapshot_is_ordered_of_a_state_that_is_being_replaced() {
    let mut slow = Slow::new(small());
    let blocks = slow.solo.blocks(4);
    slow.decide(&blocks[..2]);
    slow.sync();
    (1..=2).for_each(|number| assert_eq!(slow.executed(number, vec![b"result".to_vec()]), Disposition::Applied));
    let ordered = |told: Vec<AppCommand>| {
        told.into_iter().find_map(|told| if let AppCommand::TakeCheckpoint(order) = told { Some(order) } else { None })
    };
    let own = ordered(slow.told()).expect("ordered").manifest([chunk_digest(b"a defect")]);
    slow.step(Input::CheckpointTaken(own));
    slow.decide(&blocks[2..]);
    slow.sync();
    assert_eq!(slow.given(), [3, 4]);
    // Its state at 2 is not the others'.
    let manifest = slow.solo.forge.manifest((at(2), blocks[1].digest()), &[], &[chunk_digest(PART)]);
    let bytes = stable_message(&slow.solo, slow.solo.forge.checkpoint_of(&manifest));
    slow.feed(&bytes);
    let bytes = slow.solo.forge.manifest_message(&manifest);
    slow.feed(&bytes);
    slow.step(Input::PartsMissing { sequence_number: at(2), missing: vec![] });
    assert!(matches!(slow.told().last(), Some(AppCommand::InstallState(_))));
    (3..=4).for_each(|number| assert_eq!(slow.executed(number, vec![b"result".to_vec()]), Disposition::Applied));
    assert_eq!(slow.solo.replica.status().executed, at(4));
    assert!(slow.told().is_empty());
    slow.step(Input::StateInstalled(AppState { last_executed: at(2), log_digest: blocks[1].digest(), ..AppState::default() }));
    slow.sync();
    assert_eq!(slow.given(), [3, 4], "with the true state");
    // Of a client of whom that state knows nothing these are not the next.
    (3..=4).for_each(|number| assert_eq!(slow.executed(number, vec![]), Disposition::Applied));
    assert_eq!(ordered(slow.told()).map(|order| order.sequence_number()), Some(at(4)));
}

#[test]
fn d1_a_reply_that_has_left_is_repeated_though_its_clients_next_one_waits_for_a_record() {
    let mut slow = Slow::new(builder(4, 2).pipeline(4));
    let blocks = slow.solo.blocks(2);
    for block in &blocks {
        let proposal = slow.solo.forge.pre_prepare(&slow.solo.keys[0], view(0), block);
        slow.feed(&proposal);
    }
    slow.sync();
    for (number, block) in (1..).zip(&blocks) {
        slow.decide(std::slice::from_ref(block));
        slow.executed(number, vec![b"result".to_vec()]);
    }
    let mut records = slow.outbox.writes();
    let second = records.split_off(1);
    let replies = |slow: &mut Slow| {
        let said: Vec<String> = slow.outbox.drain().map(|output| output.to_string()).collect();
        said.into_iter().filter(|words| words.contains("Reply by R1")).count()
    };
    assert_eq!((second.len(), replies(&mut slow)), (1, 0), "a certificate for each");
    slow.solo.make_durable(records, &mut slow.outbox);
    assert_eq!(replies(&mut slow), 1);
    for (number, answers) in [(1, 1), (2, 0)] {
        let request = slow.solo.forge.request(&support::client_key(0), RequestNumber::new(number), b"order");
        let bytes = slow.solo.forge.request_message(&request);
        slow.feed(&bytes);
        assert_eq!(replies(&mut slow), answers, "request {number}");
    }
    slow.solo.make_durable(second, &mut slow.outbox);
    assert_eq!(replies(&mut slow), 1);
}

#[test]
fn i18_the_service_gets_the_next_batch_whenever_it_is_through_with_the_first_of_a_pipeline() {
    let mut slow = Slow::new(builder(4, 2).pipeline(2));
    let blocks = slow.solo.blocks(5);
    slow.decide(&blocks);
    slow.sync();
    assert_eq!(slow.given(), [1, 2]);
    for (number, next) in [(1, 3), (2, 4), (3, 5)] {
        slow.executed(number, vec![b"result".to_vec()]);
        assert_eq!(slow.given(), [next], "it need not run dry");
    }
}

#[test]
fn i14_results_that_came_early_are_not_replaced() {
    let mut slow = Slow::new(builder(4, 2).pipeline(4));
    let blocks = slow.solo.blocks(2);
    slow.decide(&blocks);
    slow.sync();
    assert_eq!(slow.executed(2, vec![b"one".to_vec()]), Disposition::Applied);
    assert_eq!(slow.executed(2, vec![b"another".to_vec()]), Disposition::Ignored(Why::NotNeeded));
    assert_eq!(slow.executed(1, vec![b"result".to_vec()]), Disposition::Applied);
    let replies: Vec<String> =
        slow.outbox.drain().map(|output| output.to_string()).filter(|words| words.contains("Reply by R1 n2")).collect();
    assert!(matches!(&replies[..], [one] if one.ends_with(" 3 bytes")), "{replies:?}");
}

#[test]
fn i18_while_long_replies_wait_for_the_disk_the_service_gets_nothing_more() {
    // Nine results are more than 8 · `message_bytes_max`.
    let long = 1 << 20;
    let limits = Limits {
        batch_bytes_max: 4096,
        operation_bytes_max: 64,
        result_bytes_max: long,
        message_bytes_max: long + 64 * 1024,
        ..Limits::default()
    };
    let mut slow = Slow::new(builder(4, 2).pipeline(1).limits(limits));
    let solo = &slow.solo;
    let requests = (1..=9).map(|number| solo.forge.request(&support::client_key(0), RequestNumber::new(number), b"order")).collect();
    let first = solo.forge.block(at(1), solo.genesis().1, requests);
    let second = solo.block(2, first.digest(), 10);
    // The first is on record by the vote on it.
    [&first, &second].into_iter().for_each(|block| assert_eq!(slow.solo.propose(0, block), Disposition::Applied));
    slow.decide(&[first, second]);
    assert_eq!(slow.given(), [1], "a pipeline of one");
    let mut blocks = slow.outbox.writes();
    let high = blocks.split_off(1);
    assert_eq!(high.len(), 1, "what the replies rest on");
    slow.solo.make_durable(blocks, &mut slow.outbox);
    slow.executed(1, vec![vec![0; long as usize]; 9]);
    assert_eq!(slow.given(), []);
    slow.solo.make_durable(high, &mut slow.outbox);
    assert_eq!(slow.given(), [2]);
}

#[test]
fn i18_nothing_is_decided_a_window_above_what_is_executed_whatever_is_stable() {
    let mut slow = Slow::new(small());
    let blocks = slow.solo.blocks(10);
    slow.decide(&blocks[..8]);
    slow.sync();
    let stable = ForgedCheckpoint { position: (at(8), blocks[7].digest()), state: Digest::new([1; 32]) };
    let bytes = stable_message(&slow.solo, stable);
    slow.feed(&bytes);
    slow.decide(&blocks[8..]);
    slow.sync();
    let status = slow.solo.replica.status();
    assert_eq!((status.executed, status.stable, status.decided), (at(0), at(8), at(8)));
    slow.executed(1, vec![b"result".to_vec()]);
    assert_eq!(slow.solo.replica.status().decided, at(9));
}

#[test]
fn c3_a_service_that_lacks_what_no_manifest_names_halts_its_replica() {
    for (missing, expected) in [(vec![0, 1], Disposition::Applied), (vec![2], Disposition::Halted)] {
        let mut solo = backup(small());
        let manifest = far_away(&mut solo, 2);
        assert_eq!(feed_manifest(&mut solo, &manifest, missing), expected);
    }
}

#[test]
fn c3_questions_that_nobody_answers_are_put_half_as_often() {
    let mut solo = backup(small());
    far_away(&mut solo, 1);
    let mut asked = vec![fetches(&mut solo).len()];
    for _ in 0..8 {
        solo.pass(PATIENCE);
        asked.push(fetches(&mut solo).len());
    }
    assert_eq!(asked, [1, 1, 1, 1, 1, 0, 1, 0, 1], "twice as long after each n that were not");
}

#[test]
fn c3_who_has_given_a_part_is_asked_before_those_that_were_silent_all_the_time() {
    let mut solo = backup(small());
    let manifest = far_away(&mut solo, 2);
    feed_manifest(&mut solo, &manifest, vec![0, 1]);
    let asked = |solo: &mut Solo| -> Vec<String> {
        let words = fetches(solo);
        words.into_iter().filter(|words| words.contains("chunk")).map(|words| words[..5].to_string()).collect()
    };
    // Long enough for all of them to be silent several times.
    for _ in 0..8 {
        assert_eq!(asked(&mut solo).len(), 2);
        solo.pass(PATIENCE * 32);
    }
    let last = asked(&mut solo);
    let part = solo.forge.chunk(&[0]);
    assert_eq!(solo.feed(&part), Disposition::Applied);
    solo.step(Input::ChunkStored { sequence_number: at(40), index: 0 });
    for _ in 0..4 {
        solo.pass(PATIENCE * 32);
        assert_eq!(asked(&mut solo), last[..1], "it comes first although it is silent again");
    }
}

#[test]
fn t2_what_was_asked_for_in_vain_is_asked_for_anew_when_a_state_is_there() {
    let mut solo = backup(small());
    let manifest = far_away(&mut solo, 0);
    // Above that state something is decided which nobody gives.
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(42), Digest::new([42; 32])));
    solo.feed_certificate(&certificate);
    let asks = |solo: &mut Solo| {
        solo.pass(T / 32);
        fetches(solo).iter().filter(|words| !words.contains("manifest")).count()
    };
    let last: usize = (0..200).map(|_| asks(&mut solo)).skip(168).sum();
    assert!((1..=2).contains(&last), "once in 32 intervals: {last}");
    while asks(&mut solo) == 0 {}
    feed_manifest(&mut solo, &manifest, vec![]);
    solo.step(Input::StateInstalled(AppState { last_executed: at(40), log_digest: Digest::new([40; 32]), ..AppState::default() }));
    solo.words();
    assert_eq!(asks(&mut solo), 1, "within an interval");
}

/// Its own votes on the states at 2 and 4, which were durable before it lost its service.
fn voted_and_lost_its_service(solo: &mut Solo) -> (Vec<ForgedBlock>, [ForgedCheckpoint; 2]) {
    let blocks = solo.blocks(4);
    for block in &blocks {
        solo.propose(0, block);
        solo.decide(0, block);
    }
    let votes = [(); 2].map(|()| solo.take_checkpoint(PART).expect("ordered")).map(|manifest| solo.forge.checkpoint_of(&manifest));
    solo.restart();
    (blocks, votes)
}

fn other_state(checkpoint: ForgedCheckpoint) -> ForgedCheckpoint {
    ForgedCheckpoint { state: Digest::new([9; 32]), ..checkpoint }
}

#[test]
fn c4_an_own_vote_tells_a_wrong_state_where_no_snapshot_is_left() {
    for wrong in [false, true] {
        let mut solo = backup(small());
        let (_, votes) = voted_and_lost_its_service(&mut solo);
        stable_at(&mut solo, if wrong { other_state(votes[0]) } else { votes[0] });
        assert_eq!(solo.replica.status().diverged, Some(at(2)).filter(|_| wrong));
    }
}

#[test]
fn c4_a_state_is_wrong_from_the_first_position_on_and_that_is_told_once() {
    let mut solo = backup(small());
    let (_, votes) = voted_and_lost_its_service(&mut solo);
    for vote in votes {
        stable_at(&mut solo, other_state(vote));
        assert_eq!(solo.replica.status().diverged, Some(at(2)));
    }
    let told = solo.events.iter().filter(|event| matches!(event, Event::Diverged { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn c4_a_state_that_is_wrong_above_the_stable_checkpoint_is_not_replaced_by_that() {
    let mut solo = backup(small());
    let (_, votes) = voted_and_lost_its_service(&mut solo);
    stable_at(&mut solo, votes[0]);
    solo.pass(T / 100);
    solo.take_checkpoint(PART).expect("ordered again");
    solo.take_checkpoint(b"another state").expect("ordered again");
    let status = solo.replica.status();
    assert_eq!((status.stable, status.diverged, status.transfer), (at(2), Some(at(4)), None));
    stable_at(&mut solo, votes[1]);
    assert_eq!(solo.replica.status().transfer.map(|(target, ..)| target), Some(at(4)));
}

/// The window moves on while it is fetched, and what was decided above it is let go of.
#[test]
fn c4_a_state_above_which_nothing_is_held_any_more_is_left_for_a_later_one() {
    for retention in [2, 0] {
        let mut solo = Solo::with(small().build().expect("a valid cluster"), 1, Tuning { retention, ..Tuning::from_timeout(T) });
        let blocks = solo.blocks(4);
        blocks.iter().for_each(|block| solo.decide(0, block));
        (0..2).for_each(|_| drop(solo.take_checkpoint(b"a defect").expect("ordered")));
        let manifests =
            [2, 4].map(|number| solo.forge.manifest((at(number), blocks[number as usize - 1].digest()), &[], &[chunk_digest(PART)]));
        let checkpoints = [0, 1].map(|index: usize| solo.forge.checkpoint_of(&manifests[index]));
        stable_at(&mut solo, checkpoints[0]);
        feed_manifest(&mut solo, &manifests[0], vec![0]);
        stable_at(&mut solo, checkpoints[1]);
        let status = solo.replica.status();
        assert_eq!((status.diverged, status.decided, status.floor), (Some(at(2)), at(4), at(4 - retention)));
        let part = solo.forge.chunk(PART);
        assert_eq!(solo.feed(&part), Disposition::Applied);
        solo.step(Input::ChunkStored { sequence_number: at(2), index: 0 });
        let installs = |solo: &Solo| {
            let installs =
                solo.commands.iter().filter_map(|told| if let AppCommand::InstallState(state) = told { Some(state) } else { None });
            installs.map(|state| state.sequence_number().get()).collect::<Vec<_>>()
        };
        if retention > 0 {
            assert_eq!(installs(&solo), [2], "3 and 4 are held, and executed again on it");
            continue;
        }
        assert_eq!(installs(&solo), [0; 0], "it would be behind what it has let go of");
        assert_eq!(solo.replica.status().transfer.map(|(target, ..)| target), Some(at(4)));
        feed_manifest(&mut solo, &manifests[1], vec![]);
        assert_eq!(installs(&solo), [4]);
    }
}

#[test]
fn c1_a_snapshot_that_a_crash_came_before_is_ordered_again_also_where_others_have_made_it_stable() {
    for is_stable in [false, true] {
        let mut solo = backup(small());
        let blocks = solo.blocks(2);
        blocks.iter().for_each(|block| solo.decide(0, block));
        if is_stable {
            stable_at(&mut solo, ForgedCheckpoint { position: (at(2), blocks[1].digest()), state: Digest::new([9; 32]) });
        }
        let app = AppState { last_executed: at(2), log_digest: blocks[1].digest(), ..AppState::default() };
        let (id, tuning, log, mut outbox) = (ReplicaId::new(1), Tuning::from_timeout(T), solo.log.clone(), Outbox::new());
        let recovered = Replica::recover(solo.cluster.clone(), id, tuning, Start::Recovering, app, log, &mut outbox);
        solo.replica = recovered.expect("a log that it wrote");
        solo.commands = outbox.app();
        let manifest = solo.take_checkpoint(PART).expect("ordered");
        assert_eq!(manifest.sequence_number(), at(2));
        // Only so it is found that this state is another than the others'.
        assert_eq!(solo.replica.status().diverged, Some(at(2)).filter(|_| is_stable));
    }
}
