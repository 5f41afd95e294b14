//! T2: what a replica answers to those who ask or say where they stand, and what not; one among forged messages, rule by rule.

mod support;

use logothete::sim::forge::Kind::Prepare;
use logothete::sim::forge::{ForgedBlock, ForgedStatus, Seen};
use logothete::{
    AppCommand, Bytes, Cluster, Digest, Disposition, Event, Input, Limits, Manifest, MessageKind, PeerLink, RequestNumber, Tuning,
    Unverified, Why, chunk_digest,
};
use std::time::Duration;
use support::solo::{Solo, T, at, view};
use support::{builder, client_key};

const MOMENT: Duration = Duration::from_millis(1);
/// T2's interval while something is outstanding.
const PACE: Duration = Duration::from_millis(100);

/// K = 2, L = 8, P = 4.
fn cluster() -> Cluster {
    builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster")
}

/// Replica 1 of 4.
fn solo(tuning: Tuning) -> Solo {
    Solo::with(cluster(), 1, tuning)
}

/// What it draws in three turns of those asked, of which f + 1 are this replica's.
fn draws_in_turns(solo: &mut Solo, first: u64, status: &ForgedStatus) -> Vec<String> {
    (first..first + 3).flat_map(|ordinal| solo.draws(&ForgedStatus { ordinal, ..*status })).collect()
}

#[test]
fn t2_who_was_sent_its_fill_of_blocks_is_sent_more_in_the_next_interval() {
    let mut solo = solo(Tuning { answer_bytes_max: 1, ..Tuning::from_timeout(T) });
    let blocks = solo.blocks(4);
    for block in &blocks {
        solo.decide(0, block);
    }
    let ask = |solo: &mut Solo, ordinal: u64| {
        let bytes = solo.forge.fetch(solo.as_traitor(3), ordinal, at(0), (at(4), blocks[3].digest()));
        solo.feed(&bytes)
    };
    for interval in 0..3 {
        assert_eq!(ask(&mut solo, 10 * interval + 1), Disposition::Applied, "{interval}");
        assert_eq!(ask(&mut solo, 10 * interval + 2), Disposition::Ignored(Why::NotNeeded), "{interval}: one block is more than 16 bytes");
        solo.pass(PACE - MOMENT);
        assert_eq!(ask(&mut solo, 10 * interval + 3), Disposition::Ignored(Why::NotNeeded), "{interval}");
        solo.pass(MOMENT);
    }
}

#[test]
fn t2_an_answer_fits_into_a_message_whatever_the_tuning_says() {
    let limits = Limits {
        message_bytes_max: 70_000,
        batch_bytes_max: 1_208,
        batch_requests_max: 1,
        operation_bytes_max: 880,
        result_bytes_max: 880,
        ..Limits::default()
    };
    let cluster = builder(4, 2).limits(limits).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning { answer_bytes_max: u32::MAX, ..Tuning::from_timeout(T) });
    let mut parent = solo.forge.genesis();
    let mut blocks = Vec::new();
    // S3: with the longest paths too.
    let run = |first: u64| solo.forge.run(&client_key(0), RequestNumber::new(first), &[&[7; 880][..]; 64]);
    let requests = [run(1), run(65)].concat();
    for (number, request) in (1..=90).zip(requests) {
        let block = solo.forge.block(at(number), parent, vec![request]);
        parent = block.digest();
        solo.decide(0, &block);
        blocks.push(block);
    }
    assert_eq!(solo.replica.status().decided, at(90));
    solo.sent.clear();
    let bytes = solo.forge.fetch(solo.as_traitor(3), 1, at(0), (at(90), blocks[89].digest()));
    solo.feed(&bytes);
    let answer = solo.sent.iter().find(|envelope| envelope.kind() == MessageKind::Chain).expect("an answer");
    assert!(Unverified::decode(PeerLink(0), &answer.encode(), solo.cluster.limits()).is_ok(), "who gets it can read it");
}

#[test]
fn s3_an_answer_fits_into_a_message_whatever_the_paths_in_its_blocks() {
    let limits = Limits { message_bytes_max: 1_000_000, batch_bytes_max: 900_000, ..Limits::default() };
    let cluster = builder(4, 2).limits(limits).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning { answer_bytes_max: u32::MAX, ..Tuning::from_timeout(T) });
    let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[&b""[..]; 64]);
    let mut parent = solo.forge.genesis();
    for number in 1..=40 {
        let block = solo.forge.block(at(number), parent, [&run[..], &run[..]].concat());
        parent = block.digest();
        solo.decide(0, &block);
    }
    assert_eq!(solo.replica.status().decided, at(40));
    solo.sent.clear();
    let bytes = solo.forge.fetch(solo.as_traitor(3), 1, at(0), (at(40), parent));
    solo.feed(&bytes);
    let answer = solo.sent.iter().find(|envelope| envelope.kind() == MessageKind::Chain).expect("an answer").encode();
    assert!(answer.len() > 800_000, "as much as there is room for: {}", answer.len());
    solo.verified(&answer);
}

#[test]
fn s3_a_block_comes_out_of_the_log_with_the_places_of_its_requests() {
    let mut solo = solo(Tuning::from_timeout(T));
    let run = solo.forge.run(&client_key(0), RequestNumber::new(1), &[b"a", b"b", b"c", b"d", b"e"]);
    // Two by two, and the last alone.
    let mut parent = solo.forge.genesis();
    let mut blocks = Vec::new();
    for (number, part) in (1..).zip(run.chunks(2)) {
        let block = solo.forge.block(at(number), parent, part.to_vec());
        parent = block.digest();
        solo.propose(0, &block);
        solo.decide(0, &block);
        blocks.push(block);
    }
    solo.restart();
    assert_eq!(solo.replica.status().decided, at(3));
    solo.sent.clear();
    let bytes = solo.forge.fetch(solo.as_traitor(3), 1, at(0), (at(3), parent));
    solo.feed(&bytes);
    let answer = solo.sent.iter().find(|envelope| envelope.kind() == MessageKind::Chain).expect("an answer").encode();
    solo.verified(&answer);
    for request in &run {
        let whole = &solo.forge.request_message(request)[4..];
        assert!(answer.windows(whole.len()).any(|part| part == whole));
    }
}

#[test]
fn t2_who_is_further_behind_than_the_blocks_reach_is_told_the_certificate_alone() {
    let mut solo = solo(Tuning { retention: 0, ..Tuning::from_timeout(T) });
    let blocks = solo.blocks(5);
    for block in &blocks[..4] {
        solo.decide(0, block);
        if let Some(manifest) = solo.take_checkpoint(b"the state") {
            let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
            let bytes = solo.forge.stable_message(&stable);
            solo.feed(&bytes);
        }
    }
    assert_eq!(solo.replica.status().stable, at(4));
    solo.decide(0, &blocks[4]);
    let behind = ForgedStatus { stable: at(4), high: (view(0), at(5)), ..ForgedStatus::default() };
    let told = draws_in_turns(&mut solo, 1, &ForgedStatus { decided: at(3), ..behind });
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|words| words.contains("Chain 0 blocks") && words.contains("certificate Commit(0, 5")), "{told:?}");
    let told = draws_in_turns(&mut solo, 4, &ForgedStatus { decided: at(4), ..behind });
    assert_eq!(told.iter().filter(|words| words.contains("Chain 1 blocks")).count(), 2, "{told:?}");
}

#[test]
fn t2_of_a_view_above_the_own_one_nobody_is_told() {
    let mut solo = solo(Tuning::from_timeout(T));
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), None));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    let ahead = ForgedStatus { view: view(3), want: view(3), waits: true, ..ForgedStatus::default() };
    assert_eq!(draws_in_turns(&mut solo, 1, &ahead), [""; 0]);
}

#[test]
fn t2_what_was_accepted_is_passed_on_to_those_who_are_in_the_view_too() {
    let mut solo = solo(Tuning::from_timeout(T));
    let blocks = solo.blocks(3);
    solo.decide(0, &blocks[0]);
    solo.propose(0, &blocks[1]);
    solo.propose(0, &blocks[2]);
    assert_eq!((solo.replica.status().decided, solo.replica.status().head), (at(1), at(3)));
    let same = ForgedStatus { decided: at(1), high: (view(0), at(1)), committed: (view(0), at(1)), ..ForgedStatus::default() };
    // Head of a peer may be anywhere below: what it has decided it need not be sent.
    let told = draws_in_turns(&mut solo, 1, &same);
    assert!(told.len() == 2 && told.iter().all(|words| words.contains("Chain 2 blocks down from n3")), "{told:?}");
    let told = draws_in_turns(&mut solo, 4, &ForgedStatus { head: (at(2), blocks[1].digest()), ..same });
    assert!(told.len() == 2 && told.iter().all(|words| words.contains("Chain 1 blocks down from n3")), "{told:?}");
    assert_eq!(draws_in_turns(&mut solo, 7, &ForgedStatus { head: (at(3), blocks[2].digest()), ..same }), [""; 0]);
    assert_eq!(draws_in_turns(&mut solo, 10, &ForgedStatus { view: view(1), ..same }), [""; 0], "there it may be no proposal");
}

#[test]
fn t2_who_waits_for_a_view_says_its_view_change_again_and_who_is_in_it_does_not() {
    let mut solo = solo(Tuning::from_timeout(T));
    let says = |solo: &mut Solo| {
        solo.sent.clear();
        solo.pass(T * 4);
        let statuses = solo.sent.iter().filter_map(|envelope| match solo.forge.read(&envelope.encode()) {
            Ok(Seen::Status { said, .. }) => Some(said.iter().any(|said| matches!(said, Seen::ViewChange(_)))),
            _ => None,
        });
        statuses.collect::<Vec<_>>()
    };
    solo.wants(&[0, 2, 3], 2);
    assert_eq!(says(&mut solo), [true]);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
    solo.feed_certificate(&certificate);
    assert_eq!(says(&mut solo), [false]);
}

#[test]
fn t2_a_primary_that_restarts_tells_again_how_its_view_begins() {
    let mut solo = Solo::with(cluster(), 2, Tuning::from_timeout(T));
    for member in [0, 1, 3] {
        let change = solo.forge.view_change(solo.as_traitor(member), view(2), None);
        let bytes = solo.forge.view_change_message(&change);
        solo.feed(&bytes);
    }
    assert_eq!((solo.replica.status().view, solo.replica.status().normal), (view(2), true));
    // Before its base is certified nothing else leads into the view.
    solo.restart();
    assert!(solo.replica.status().normal);
    let told = solo.draws(&ForgedStatus { ordinal: 1, view: view(2), want: view(2), waits: true, ..ForgedStatus::default() });
    assert!(told.iter().any(|words| words.contains("NewView v2")), "{told:?}");
}

#[test]
fn s2_what_has_no_reply_any_more_is_answered_once_in_an_interval_too() {
    // The quota holds one reply: the first result is known by its digest alone.
    let mut solo = solo(Tuning { reply_cache_bytes_max: 0, ..Tuning::from_timeout(T) });
    let large = vec![5; solo.cluster.limits().result_bytes_max as usize - 10];
    let mut parent = solo.forge.genesis();
    for number in 1..=2 {
        let block = solo.block_saying(number, parent, number, &large);
        parent = block.digest();
        solo.decide(0, &block);
    }
    let request = solo.forge.request(&client_key(0), RequestNumber::new(1), &large);
    let bytes = solo.forge.request_message(&request);
    let answers = |solo: &mut Solo| {
        solo.sent.clear();
        let worth_it = solo.replica.needs(&Unverified::decode(PeerLink(0), &bytes, solo.cluster.limits()).expect("decodes"));
        solo.feed(&bytes);
        let kinds: Vec<MessageKind> = solo.sent.iter().map(|envelope| envelope.kind()).collect();
        (worth_it.is_ok(), kinds)
    };
    for _ in 0..2 {
        assert_eq!(answers(&mut solo), (true, vec![MessageKind::Answered]));
        assert_eq!(answers(&mut solo), (false, vec![]));
        solo.pass(PACE);
    }
}

#[test]
fn s2_each_of_the_last_numbers_of_a_window_is_answered_once_in_an_interval() {
    let limits = Limits { client_window: 2, ..Limits::default() };
    let cluster = builder(4, 2).limits(limits).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    for block in solo.blocks(4) {
        solo.decide(0, &block);
    }
    let ask = |number: u64| solo.forge.request_message(&solo.forge.request(&client_key(0), RequestNumber::new(number), b"order"));
    let [third, fourth] = [3, 4].map(ask);
    let needed = |solo: &Solo, bytes: &[u8]| {
        solo.replica.needs(&Unverified::decode(PeerLink(0), bytes, solo.cluster.limits()).expect("decodes")).is_ok()
    };
    let answers = |solo: &mut Solo, bytes: &[u8]| {
        solo.sent.clear();
        solo.feed(bytes);
        solo.sent.iter().map(|envelope| envelope.kind()).collect::<Vec<_>>()
    };
    assert_eq!(answers(&mut solo, &third), [MessageKind::Reply], "with its result, the oldest one too");
    assert_eq!((needed(&solo, &third), needed(&solo, &fourth)), (false, true));
    assert_eq!(answers(&mut solo, &fourth), [MessageKind::Reply]);
    assert_eq!((answers(&mut solo, &third), answers(&mut solo, &fourth)), (vec![], vec![]));
}

#[test]
fn t2_what_a_peer_has_decided_is_not_sent_and_what_it_lacks_is_sent_once() {
    let mut solo = solo(Tuning::from_timeout(T));
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    solo.decide(0, &block);
    let status = ForgedStatus { high: (view(0), at(1)), ..ForgedStatus::default() };
    assert_eq!(draws_in_turns(&mut solo, 1, &status).len(), 3, "the block goes with the certificate, and not with the vote on it again");
    // Who has fetched the state has decided, and may hold no commit certificate.
    assert_eq!(draws_in_turns(&mut solo, 4, &ForgedStatus { decided: at(1), ..status }), [""; 0]);
}

/// A replica with a snapshot at 2 that is stable, whose service has these parts.
fn with_snapshot(parts: &[&[u8]]) -> (Solo, Manifest, Vec<ForgedBlock>) {
    // Of blocks and parts it may send 16 bytes in an interval, or one more.
    let mut solo = solo(Tuning { answer_bytes_max: 1, ..Tuning::from_timeout(T) });
    let blocks = solo.blocks(12);
    for block in &blocks[..2] {
        solo.decide(0, block);
    }
    let at = solo.commands.iter().position(|command| matches!(command, AppCommand::TakeCheckpoint(_))).expect("ordered");
    let AppCommand::TakeCheckpoint(order) = solo.commands.remove(at) else { unreachable!() };
    let manifest = order.manifest(parts.iter().map(|part| chunk_digest(part)));
    solo.step(Input::CheckpointTaken(manifest.clone()));
    make_stable(&mut solo, &manifest);
    solo.sent.clear();
    (solo, manifest, blocks)
}

fn make_stable(solo: &mut Solo, manifest: &Manifest) {
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(manifest));
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
}

fn ask_for_part(solo: &mut Solo, ordinal: u64, index: u32, part: &[u8]) -> Disposition {
    let bytes = solo.forge.fetch_chunk(solo.as_traitor(3), ordinal, at(2), index, chunk_digest(part));
    solo.feed(&bytes)
}

/// The service has read it; is it sent?
fn is_sent(solo: &mut Solo, index: u32, part: &[u8]) -> bool {
    solo.sent.clear();
    solo.step(Input::ChunkRead { sequence_number: at(2), index, bytes: Some(Bytes::from(part.to_vec())) });
    solo.sent.iter().any(|envelope| envelope.kind() == MessageKind::Chunk)
}

#[test]
fn t2_parts_of_a_snapshot_are_counted_as_blocks_are() {
    let (one, other): (&[u8], &[u8]) = (&[1; 20], &[2; 20]);
    let (mut solo, manifest, _) = with_snapshot(&[one, other]);
    let first = manifest.chunk_count() - 2;
    for interval in 0..2 {
        assert_eq!(ask_for_part(&mut solo, 10 * interval + 1, first, one), Disposition::Applied);
        assert_eq!(ask_for_part(&mut solo, 10 * interval + 2, first + 1, other), Disposition::Applied, "nothing is sent yet");
        assert_eq!((is_sent(&mut solo, first, one), is_sent(&mut solo, first + 1, other)), (true, false), "it has had its fill");
        assert_eq!(ask_for_part(&mut solo, 10 * interval + 3, first, one), Disposition::Ignored(Why::NotNeeded));
        solo.pass(PACE);
    }
}

#[test]
fn c3_a_part_that_is_too_long_to_be_taken_is_told_of_and_not_sent_and_costs_what_it_was() {
    let most = Limits::default().batch_bytes_max as usize;
    let (longest, longer) = (vec![1; most], vec![2; most + 1]);
    let (mut solo, manifest, _) = with_snapshot(&[&longest, &longer]);
    let first = manifest.chunk_count() - 2;
    let told = |solo: &Solo| solo.events.iter().filter(|event| matches!(event, Event::PartTooLarge { .. })).count();
    assert_eq!(ask_for_part(&mut solo, 1, first, &longest), Disposition::Applied);
    assert!(is_sent(&mut solo, first, &longest));
    assert!(solo.sent.iter().all(|envelope| !solo.refuses(&envelope.encode())) && told(&solo) == 0);
    solo.pass(PACE);
    assert_eq!(ask_for_part(&mut solo, 2, first + 1, &longer), Disposition::Applied);
    assert!(!is_sent(&mut solo, first + 1, &longer));
    assert_eq!(told(&solo), 1);
    assert_eq!(ask_for_part(&mut solo, 3, first + 1, &longer), Disposition::Ignored(Why::NotNeeded), "the disk was read for it already");
}

#[test]
fn c3_a_part_that_the_disk_has_changed_costs_what_was_read_of_it() {
    let (mut solo, manifest, _) = with_snapshot(&[b"the whole state"]);
    let index = manifest.chunk_count() - 1;
    assert_eq!(ask_for_part(&mut solo, 1, index, b"the whole state"), Disposition::Applied);
    assert!(!is_sent(&mut solo, index, b"another wholly different one"));
    assert!(solo.events.iter().any(|event| matches!(event, Event::SnapshotDamaged { .. })));
    assert_eq!(ask_for_part(&mut solo, 2, index, b"the whole state"), Disposition::Ignored(Why::NotNeeded));
}

#[test]
fn t2_a_part_of_a_snapshot_that_went_meanwhile_is_neither_sent_nor_called_damaged() {
    let (mut solo, manifest, blocks) = with_snapshot(&[b"the state"]);
    let index = manifest.chunk_count() - 1;
    assert_eq!(ask_for_part(&mut solo, 1, index, b"the state"), Disposition::Applied);
    for block in &blocks[2..] {
        solo.decide(0, block);
        if let Some(manifest) = solo.take_checkpoint(b"the state") {
            make_stable(&mut solo, &manifest);
        }
    }
    assert_eq!(solo.replica.status().stable, at(12), "out of reach");
    assert!(!is_sent(&mut solo, index, b"the state"));
    assert!(!solo.events.iter().any(|event| matches!(event, Event::SnapshotDamaged { .. })));
}

#[test]
fn c2_a_snapshot_that_was_read_stays_for_as_long_as_who_has_it_can_go_on_by_batches() {
    // Which of the questions, at stable 2, 4 and so on, are for the manifest and for a part of the snapshot at 2; until which stable checkpoint it stays, and the blocks above it.
    let cases: [(&[u64], &[u64], u64); 4] = [(&[], &[], 4), (&[2], &[], 10), (&[], &[4], 10), (&[2], &[4, 6, 8, 10, 12, 14], 10)];
    for (manifests, parts, kept_until) in cases {
        let mut solo = solo(Tuning { retention: 0, ..Tuning::from_timeout(T) });
        let mut first = None;
        for block in &solo.blocks(14) {
            solo.decide(0, block);
            let Some(manifest) = solo.take_checkpoint(b"the state") else { continue };
            make_stable(&mut solo, &manifest);
            let stable = solo.replica.status().stable;
            let discarded = solo
                .commands
                .iter()
                .rev()
                .find_map(|command| if let AppCommand::DiscardBefore(below) = command { Some(*below) } else { None });
            let stays = stable.get() <= kept_until;
            assert_eq!(discarded <= Some(at(2)), stays, "{manifests:?}, {parts:?}: {stable:?}, {discarded:?}");
            let is_read = manifests.iter().chain(parts).any(|read| *read < stable.get());
            assert!(
                !is_read || manifests.is_empty() || (solo.replica.status().floor <= at(2)) == stays,
                "{manifests:?}, {parts:?}: {stable:?}"
            );
            let first = first.get_or_insert(manifest);
            if manifests.contains(&stable.get()) {
                let state = solo.forge.checkpoint_of(first).state;
                let fetch = solo.forge.fetch_manifest(solo.as_traitor(3), stable.get(), at(2), state);
                solo.feed(&fetch);
            }
            if parts.contains(&stable.get()) {
                let part = Manifest::session_chunk_count(first);
                let fetch = solo.forge.fetch_chunk(solo.as_traitor(3), 100 + stable.get(), at(2), part, chunk_digest(b"the state"));
                solo.feed(&fetch);
            }
            // However long ago that was.
            solo.pass(10 * T);
        }
    }
}

#[test]
fn t2_of_one_peer_64_questions_for_a_manifest_are_looked_at_in_an_interval() {
    let (mut solo, manifest, _) = with_snapshot(&[]);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    for ordinal in 1..=64 {
        let wrong = solo.forge.fetch_manifest(solo.as_traitor(3), ordinal, at(2), Digest::new([9; 32]));
        assert_eq!(solo.feed(&wrong), Disposition::Ignored(Why::NotNeeded));
    }
    let right = |solo: &mut Solo, ordinal: u64| {
        let bytes = solo.forge.fetch_manifest(solo.as_traitor(3), ordinal, at(2), checkpoint.state);
        solo.feed(&bytes)
    };
    assert_eq!(right(&mut solo, 65), Disposition::Ignored(Why::NotNeeded), "wrong ones count too");
    solo.pass(PACE);
    // Statuses are counted apart.
    for ordinal in 66..166 {
        solo.draws(&ForgedStatus { ordinal, decided: at(2), ..ForgedStatus::default() });
    }
    assert_eq!(right(&mut solo, 166), Disposition::Applied);
}

#[test]
fn c3_a_manifest_that_is_longer_than_a_message_is_not_sent() {
    let limits = Limits {
        message_bytes_max: 128 * 1024,
        batch_bytes_max: 1024,
        operation_bytes_max: 512,
        result_bytes_max: 512,
        ..Limits::default()
    };
    // (message_bytes_max - 1 KiB) / 32, of which one is the session table's.
    for (parts, is_sent) in [(4063, true), (4064, false)] {
        let cluster =
            builder(4, 2).limits(limits.clone()).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
        let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
        solo.blocks(2).iter().for_each(|block| solo.decide(0, block));
        let order =
            solo.commands.iter().find_map(|command| if let AppCommand::TakeCheckpoint(order) = command { Some(order) } else { None });
        let manifest = order.expect("ordered").manifest((0..parts).map(|part: u32| chunk_digest(&part.to_le_bytes())));
        solo.step(Input::CheckpointTaken(manifest.clone()));
        assert_eq!(solo.events.iter().any(|event| matches!(event, Event::SnapshotTooLarge { .. })), !is_sent);
        let state = solo.forge.checkpoint_of(&manifest).state;
        let fetch = solo.forge.fetch_manifest(solo.as_traitor(2), 1, at(2), state);
        solo.sent.clear();
        solo.feed(&fetch);
        let sent: Vec<Bytes> = solo.sent.iter().map(|envelope| envelope.encode()).collect();
        assert_eq!(sent.len(), usize::from(is_sent));
        assert!(sent.iter().all(|bytes| !solo.refuses(bytes)));
    }
}

#[test]
fn i18_eight_parts_are_read_for_a_peer_at_a_time() {
    let mut solo = solo(Tuning::from_timeout(T));
    for block in solo.blocks(2) {
        solo.decide(0, &block);
    }
    let order = solo.commands.iter().find_map(|command| if let AppCommand::TakeCheckpoint(order) = command { Some(order) } else { None });
    let manifest = order.expect("ordered").manifest((0..20).map(|part| chunk_digest(&[part])));
    solo.step(Input::CheckpointTaken(manifest.clone()));
    let first = manifest.session_chunk_count();
    let mut ordinal = 0;
    let mut reads = |solo: &mut Solo, member: usize| {
        solo.commands.clear();
        for index in first..manifest.chunk_count() {
            ordinal += 1;
            let digest = manifest.chunk(index).expect("a part");
            let fetch = solo.forge.fetch_chunk(solo.as_traitor(member), ordinal, at(2), index, digest);
            solo.feed(&fetch);
        }
        solo.commands.iter().filter(|command| matches!(command, AppCommand::ReadChunk { .. })).count()
    };
    assert_eq!(reads(&mut solo, 3), 8);
    assert_eq!(reads(&mut solo, 2), 0, "the same eight, which are being read already");
    solo.step(Input::ChunkRead { sequence_number: at(2), index: first, bytes: Some(Bytes::from(vec![0])) });
    let given: Vec<_> = solo.words().into_iter().filter(|words| words.contains("Chunk")).map(|words| words[..5].to_string()).collect();
    assert_eq!(given, ["to R2", "to R3"]);
    assert_eq!(reads(&mut solo, 3), 1);
}
