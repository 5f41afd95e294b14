//! C3: when a state is fetched, from whom, and what becomes of what was there before; one replica among forged messages.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedCheckpoint, ForgedStatus};
use logothete::{
    AppCommand, AppState, Bytes, ClientId, Digest, Disposition, Event, Input, Limits, Manifest, Outbox, RequestNumber, SessionEntry,
    SessionTable, Tuning, Why, chunk_digest,
};
use std::time::Duration;
use support::solo::{Solo, T, at};
use support::{builder, client_key};

const PARTS: [&[u8]; 2] = [b"one", b"two"];
/// A question that is not answered within this is put to somebody else.
const PATIENCE: Duration = Duration::from_millis(201);

/// Replica 1 of 4. K = 2, L = 8, P = 4.
fn solo() -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 1, Tuning::from_timeout(T))
}

fn manifest_at(solo: &Solo, number: u64) -> Manifest {
    solo.forge.manifest((at(number), Digest::new([number as u8; 32])), &[], &PARTS.map(chunk_digest))
}

fn stable_at(solo: &mut Solo, checkpoint: ForgedCheckpoint) {
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint);
    let bytes = solo.forge.stable_message(&stable);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
}

/// The others are this far, and have let go of what came before.
fn others_are_at(solo: &mut Solo, number: u64) -> Manifest {
    let manifest = manifest_at(solo, number);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(solo, checkpoint);
    manifest
}

/// Fetches of a manifest or of parts that were sent since the last look, in words.
fn fetches(solo: &mut Solo) -> Vec<String> {
    solo.words().into_iter().filter(|words| words.contains("manifest") || words.contains("chunk")).collect()
}

fn feed_manifest(solo: &mut Solo, manifest: &Manifest) {
    let bytes = solo.forge.manifest_message(manifest);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    solo.step(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing: (0..manifest.chunk_count()).collect() });
}

/// All parts come, and the service installs them; with this session table.
fn install(solo: &mut Solo, manifest: Manifest, sessions: Bytes) {
    assert_eq!(try_to_install(solo, &manifest, sessions), Disposition::Applied);
}

fn try_to_install(solo: &mut Solo, manifest: &Manifest, sessions: Bytes) -> Disposition {
    feed_manifest(solo, manifest);
    for (index, part) in (0..).zip(PARTS) {
        let bytes = solo.forge.chunk(part);
        solo.feed(&bytes);
        solo.step(Input::ChunkStored { sequence_number: manifest.sequence_number(), index });
    }
    assert!(matches!(solo.commands.last(), Some(AppCommand::InstallState(_))));
    let app = AppState {
        last_executed: manifest.sequence_number(),
        log_digest: manifest.log_digest(),
        sessions,
        snapshots: vec![manifest.clone()],
    };
    solo.step(Input::StateInstalled(app))
}

fn tell_floor(solo: &mut Solo, member: usize, ordinal: u64, floor: u64) {
    let status = ForgedStatus { ordinal, floor: at(floor), ..ForgedStatus::default() };
    let bytes = solo.forge.status_of(solo.as_traitor(member), &status);
    solo.feed(&bytes);
}

#[test]
fn c3_within_a_window_the_chain_is_fetched_and_beyond_it_the_state() {
    let mut solo = solo();
    others_are_at(&mut solo, 8);
    solo.pass(PATIENCE);
    assert_eq!(fetches(&mut solo), [""; 0], "decided + L = 8");
    others_are_at(&mut solo, 10);
    assert_eq!(fetches(&mut solo).len(), 1);
    let started = |event: &&Event| matches!(event, Event::TransferStarted { sequence_number } if *sequence_number == at(10));
    assert_eq!(solo.events.iter().filter(started).count(), 1);
}

#[test]
fn c3_small_parts_are_asked_for_as_fast_as_inboxes_let_questions_through() {
    asked_at_a_pace(1, Tuning { link_repairs_max: 16, ..Tuning::from_timeout(T) });
}

#[test]
fn c3_large_parts_are_asked_for_as_fast_as_peers_may_answer() {
    // Of blocks and parts a peer may send 16 · 64 bytes in an interval, and no more than half of that is asked for.
    asked_at_a_pace(128, Tuning { answer_bytes_max: 64, ..Tuning::from_timeout(T) });
}

/// Whatever is asked for is there at once: of each peer four questions in an interval.
fn asked_at_a_pace(length: usize, tuning: Tuning) {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    let interval = tuning.status_interval;
    let mut solo = Solo::with(cluster, 1, tuning);
    let parts: Vec<Vec<u8>> = (0..40).map(|part| vec![part; length]).collect();
    let digests: Vec<Digest> = parts.iter().map(|part| chunk_digest(part)).collect();
    let manifest = solo.forge.manifest((at(10), Digest::new([10; 32])), &[], &digests);
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    feed_manifest(&mut solo, &manifest);
    let (mut asked, mut per_interval) = (1, Vec::new());
    for _ in 0..4 {
        for index in 0..40 {
            let bytes = solo.forge.chunk(&parts[index as usize]);
            if solo.feed(&bytes) == Disposition::Applied {
                solo.step(Input::ChunkStored { sequence_number: at(10), index });
            }
        }
        asked += fetches(&mut solo).iter().filter(|words| words.contains("chunk")).count();
        per_interval.push(asked);
        asked = 0;
        let due = solo.replica.deadline().expect("due").since(solo.now);
        assert!(due <= interval, "{due:?}");
        solo.pass(interval);
    }
    // Two intervals may fall into one of the peer's own.
    assert_eq!(per_interval, [12, 12, 12, 5], "and the manifest's own question");
    assert!(matches!(solo.commands.last(), Some(AppCommand::InstallState(_))));
}

#[test]
fn c3_the_state_is_fetched_when_nobody_holds_the_batches() {
    let mut solo = solo();
    others_are_at(&mut solo, 4);
    tell_floor(&mut solo, 2, 1, 0);
    tell_floor(&mut solo, 3, 1, 4);
    assert_eq!(fetches(&mut solo), [""; 0], "R2 has them, it says");
    tell_floor(&mut solo, 2, 2, 2);
    assert_eq!(fetches(&mut solo).len(), 1);
}

#[test]
fn c3_who_says_that_it_has_the_batches_is_not_asked_for_ever() {
    let mut solo = solo();
    others_are_at(&mut solo, 4);
    tell_floor(&mut solo, 2, 1, 0);
    let (mut asked, mut rounds) = (0, 0);
    loop {
        solo.pass(T / 32);
        let words = solo.words();
        if words.iter().any(|words| words.contains("manifest")) {
            break;
        }
        asked += words.iter().filter(|words| words.contains("Fetch")).count();
        rounds += 1;
        assert!(rounds < 40, "each of the three others more than twice, half as often in the second round");
    }
    assert_eq!(asked, 8, "2 n times in vain");
}

#[test]
fn c3_batches_that_only_f_have_are_not_waited_for() {
    let cluster = builder(4, 2).checkpoint_interval(128).log_window(512).pipeline(4).build().expect("a valid cluster");
    let mut solo = Solo::with(cluster, 1, Tuning::from_timeout(T));
    let blocks = solo.blocks(512);
    let manifest = solo.forge.manifest((at(512), blocks[511].digest()), &[], &PARTS.map(chunk_digest));
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    tell_floor(&mut solo, 3, 1, 0);
    tell_floor(&mut solo, 0, 1, 512);
    // R3 gives one batch each time that it was asked for almost often enough.
    let (mut left, mut asked) = (512, 0);
    while left > 510 {
        solo.pass(T / 32);
        asked += fetched_chains(&mut solo);
        if asked >= 7 {
            (left, asked) = (left - 1, 0);
            let chain = solo.forge.chain(None, &blocks[left..=left]);
            assert_eq!(solo.feed(&chain), Disposition::Applied);
        }
    }
    assert_eq!(solo.replica.status().transfer, None, "R2 may have them too");
    tell_floor(&mut solo, 2, 1, 511);
    assert_eq!(solo.replica.status().transfer.map(|(target, ..)| target), Some(at(512)), "n - 1 - f have not");
}

fn fetched_chains(solo: &mut Solo) -> usize {
    solo.words().iter().filter(|words| words.contains("Fetch")).count()
}

/// R0, the primary, votes for this long before there is such a batch.
fn asked_in_vain(solo: &mut Solo, number: u64, digest: Digest) {
    solo.vote(0, Prepare, 0, (at(number), digest));
    let mut asked = 0;
    while asked < 8 {
        solo.pass(T / 32);
        asked += fetched_chains(solo);
    }
}

#[test]
fn c3_a_vote_for_what_nobody_has_is_no_reason_to_fetch_the_state() {
    for phantom in [true, false] {
        let mut solo = solo();
        let blocks = solo.blocks(2);
        let (number, digest) = if phantom { (4, Digest::new([66; 32])) } else { (2, blocks[1].digest()) };
        asked_in_vain(&mut solo, number, digest);
        solo.decide(0, &blocks[0]);
        let manifest = solo.forge.manifest((at(2), blocks[1].digest()), &[], &PARTS.map(chunk_digest));
        let checkpoint = solo.forge.checkpoint_of(&manifest);
        stable_at(&mut solo, checkpoint);
        assert_eq!((solo.replica.status().decided, solo.replica.status().transfer), (at(1), None), "phantom: {phantom}");
        solo.decide(0, &blocks[1]);
        assert_eq!((solo.replica.status().decided, solo.replica.status().transfer), (at(2), None));
    }
}

#[test]
fn c3_batches_are_asked_for_again_when_nobody_has_the_manifest() {
    for stable in [8, 10] {
        let mut solo = solo();
        let blocks = solo.blocks(stable);
        let manifest = solo.forge.manifest((at(stable), blocks[stable as usize - 1].digest()), &[], &PARTS.map(chunk_digest));
        let checkpoint = solo.forge.checkpoint_of(&manifest);
        stable_at(&mut solo, checkpoint);
        tell_floor(&mut solo, 0, 1, stable);
        tell_floor(&mut solo, 2, 1, stable);
        let (mut manifests, mut chains) = (0, 0);
        for _ in 0..400 {
            solo.pass(T / 32);
            let words = solo.words();
            manifests += words.iter().filter(|words| words.contains("manifest")).count();
            chains += words.iter().filter(|words| words.contains("Fetch") && !words.contains("manifest")).count();
            assert!(chains == 0 || manifests > 7, "first the state");
        }
        // R3 alone has them.
        let downwards: Vec<_> = blocks.into_iter().rev().collect();
        let chain = solo.forge.chain(None, &downwards);
        solo.feed(&chain);
        let status = solo.replica.status();
        let within = stable <= 8;
        assert_eq!((chains > 0, status.decided == at(stable), status.transfer.is_none()), (within, within, within), "{stable}");
    }
}

#[test]
fn c3_a_part_that_does_not_come_is_asked_of_another() {
    let mut solo = solo();
    let manifest = others_are_at(&mut solo, 40);
    feed_manifest(&mut solo, &manifest);
    let first = fetches(&mut solo);
    solo.pass(PATIENCE);
    let second = fetches(&mut solo);
    assert_eq!((first.len(), second.len()), (3, 2), "a manifest and two parts, and the parts once more");
    for part in ["chunk 0", "chunk 1"] {
        let receiver = |fetches: &[String]| fetches.iter().find(|words| words.contains(part)).map(|words| words[..5].to_string());
        assert_ne!(receiver(&first), receiver(&second), "{part}");
    }
}

#[test]
fn c3_a_host_is_to_call_again_when_a_question_was_not_answered_and_when_there_may_be_more() {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    // Nothing else is due before; of each peer one question in an interval.
    let tuning = Tuning {
        status_interval: T,
        idle_status_interval: 10 * T,
        request_timeout: 10 * T,
        link_repairs_max: 4,
        ..Tuning::from_timeout(T)
    };
    let mut solo = Solo::with(cluster, 1, tuning);
    solo.pass(T / 2);
    let (began, manifest) = (solo.now, others_are_at(&mut solo, 10));
    assert_eq!(solo.replica.deadline(), Some(began.after(8 * T / 32)), "the manifest's question");
    feed_manifest(&mut solo, &manifest);
    assert_eq!(solo.replica.deadline(), Some(began.after(8 * T / 32)), "each part's");
    for (index, part) in (0..).zip(PARTS).take(1) {
        let bytes = solo.forge.chunk(part);
        solo.feed(&bytes);
        solo.step(Input::ChunkStored { sequence_number: at(10), index });
    }
    // The second one passes a Status too.
    (0..2).for_each(|_| assert_eq!(solo.pass(8 * T / 32), Disposition::Applied));
    assert_eq!(solo.replica.deadline(), Some(began.after(T)), "all three were asked, and one part is still lacking");
}

#[test]
fn c3_a_newer_checkpoint_takes_over_when_nothing_comes_of_the_old_one() {
    // Its manifest is not there yet, and may be on its way.
    let mut solo = solo();
    others_are_at(&mut solo, 40);
    others_are_at(&mut solo, 42);
    assert!(!fetches(&mut solo).iter().any(|words| words.contains("n42")));
    solo.pass(PATIENCE);
    assert!(fetches(&mut solo).iter().any(|words| words.contains("manifest n42")));
    // It is, but its parts are not: first it is gone on with.
    let manifest = manifest_at(&solo, 42);
    feed_manifest(&mut solo, &manifest);
    others_are_at(&mut solo, 44);
    assert!(!fetches(&mut solo).iter().any(|words| words.contains("n44")));
    for _ in 0..20 {
        solo.pass(PATIENCE);
    }
    assert!(fetches(&mut solo).iter().any(|words| words.contains("manifest n44")));
}

/// Of which snapshot the manifest is asked for in these words.
fn asked_for(words: &str) -> Option<u64> {
    words.split_once("manifest n")?.1.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn c3_a_manifest_that_is_longer_under_way_than_the_checkpoint_is_the_last_is_taken() {
    let mut solo = solo();
    let mut number = 40;
    others_are_at(&mut solo, number);
    // Each answer takes five times as long as a question is waited for at first, and there is a newer checkpoint before it comes.
    let mut on_its_way = Vec::new();
    while matches!(solo.replica.status().transfer, Some((_, 0, 0))) {
        assert!(number < 140, "each question was given up before its answer came");
        let asked: Vec<u64> = fetches(&mut solo).iter().filter_map(|words| asked_for(words)).collect();
        on_its_way.extend(asked.into_iter().map(|number| (solo.now.after(5 * PATIENCE), manifest_at(&solo, number))));
        number += 2;
        others_are_at(&mut solo, number);
        solo.pass(PATIENCE);
        let (now, later): (Vec<_>, Vec<_>) = on_its_way.into_iter().partition(|(due, _)| *due <= solo.now);
        on_its_way = later;
        for (_, manifest) in now {
            let bytes = solo.forge.manifest_message(&manifest);
            if solo.feed(&bytes) == Disposition::Applied {
                solo.step(Input::PartsMissing { sequence_number: manifest.sequence_number(), missing: vec![0] });
            }
        }
    }
}

#[test]
fn c3_a_newer_checkpoint_takes_over_although_parts_of_the_old_one_come_one_by_one() {
    // How many parts are given in the time in which a question is waited for; whether the old one is gone on with then.
    for (given, goes_on) in [(1, false), (4, true)] {
        let mut solo = solo();
        let digests: Vec<Digest> = (0..200_u8).map(|part| chunk_digest(&[part])).collect();
        let manifest = solo.forge.manifest((at(40), Digest::new([40; 32])), &[], &digests);
        let checkpoint = solo.forge.checkpoint_of(&manifest);
        stable_at(&mut solo, checkpoint);
        feed_manifest(&mut solo, &manifest);
        others_are_at(&mut solo, 42);
        let mut parts = 0..200;
        for _ in 0..30 {
            for index in parts.by_ref().take(given) {
                let bytes = solo.forge.chunk(&[index]);
                assert_eq!(solo.feed(&bytes), Disposition::Applied, "{index}");
                solo.step(Input::ChunkStored { sequence_number: at(40), index: index.into() });
            }
            solo.pass(PATIENCE);
            if solo.replica.status().transfer.is_some_and(|(target, ..)| target != at(40)) {
                break;
            }
        }
        let target = solo.replica.status().transfer.map(|(target, ..)| target);
        assert_eq!(target, Some(at(if goes_on { 40 } else { 42 })), "{given} of 8");
    }
}

#[test]
fn c3_a_state_that_late_proposals_lead_to_is_not_fetched_any_more() {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    let manifest = solo.forge.manifest((at(2), blocks[1].digest()), &[], &PARTS.map(chunk_digest));
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    tell_floor(&mut solo, 2, 1, 2);
    assert_eq!(solo.replica.status().transfer.map(|(target, ..)| target), Some(at(2)));
    for block in &blocks {
        solo.propose(0, block);
    }
    solo.decide(0, &blocks[1]);
    assert_eq!((solo.replica.status().decided, solo.replica.status().transfer), (at(2), None));
}

#[test]
fn c3_the_sessions_come_with_the_state_and_replies_of_the_old_one_go() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.decide(0, &block);
    let mut table = SessionTable::new(&solo.cluster);
    for number in 1..=3 {
        let client = ClientId::new(client_key(0).verifying_key().to_bytes());
        table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest: Digest::new([9; 32]) });
    }
    assert_eq!(solo.ask(0, 3), Disposition::Applied);
    assert_eq!(solo.replica.status().pool_requests, 1);
    let manifest = others_are_at(&mut solo, 40);
    install(&mut solo, manifest, table.encode());
    assert_eq!(solo.replica.status().pool_requests, 0, "it was executed");
    solo.words();
    assert_eq!(solo.ask(0, 1), Disposition::Ignored(Why::Stale));
    let answers = solo.words();
    assert!(
        matches!(&answers[..], [one] if one.contains("Answered")),
        "by its digest, not by the reply of a state that is gone: {answers:?}"
    );
    assert_eq!(solo.ask(0, 3), Disposition::Ignored(Why::Stale));
    assert_eq!(solo.ask(0, 4), Disposition::Applied);
    // And what is decided next goes by it too.
    let next = solo.block(41, Digest::new([40; 32]), 4);
    solo.decisions.clear();
    solo.decide(0, &next);
    assert_eq!(solo.decisions[0].requests().count(), 1);
    assert_eq!(solo.replica.status().pool_requests, 0);
}

#[test]
fn p5_a_state_against_a_commit_certificate_that_was_held_before_halts() {
    let mut solo = solo();
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(20), Digest::new([66; 32])));
    solo.feed_certificate(&certificate);
    let manifest = others_are_at(&mut solo, 20);
    assert_eq!(try_to_install(&mut solo, &manifest, Bytes::default()), Disposition::Halted, "more than f are faulty");
}

#[test]
fn s1_a_session_table_keeps_the_results_of_one_window() {
    let limits = Limits { client_window: 3, ..Limits::default() };
    let cluster = builder(4, 2).limits(limits).build().expect("a valid cluster");
    let client = ClientId::new(client_key(0).verifying_key().to_bytes());
    let result = |number: u64| Digest::new([number as u8; 32]);
    let mut table = SessionTable::new(&cluster);
    for number in 1..=5 {
        table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest: result(number) });
    }
    for out_of_turn in [5, 7] {
        table.record(SessionEntry { client, number: RequestNumber::new(out_of_turn), result_digest: result(9) });
    }
    assert_eq!(table.last(&client), RequestNumber::new(5));
    let kept: Vec<_> = (0..=6).map(|number| table.result(&client, RequestNumber::new(number))).collect();
    assert_eq!(kept, [None, None, None, Some(result(3)), Some(result(4)), Some(result(5)), None]);
    let mut again = SessionTable::new(&cluster);
    (3..=5).for_each(|number| again.record(SessionEntry { client, number: RequestNumber::new(number), result_digest: result(number) }));
    assert_eq!(again, table, "of what is kept");
    assert_eq!(SessionTable::decode(&cluster, &table.encode()), Ok(table));
}

fn twenty_parts() -> Vec<Digest> {
    (0..20_u8).map(|part| chunk_digest(&[part])).collect()
}

#[test]
fn i18_eight_parts_are_asked_for_at_a_time() {
    let mut solo = solo();
    let manifest = solo.forge.manifest((at(40), Digest::new([40; 32])), &[], &twenty_parts());
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    feed_manifest(&mut solo, &manifest);
    let asked = |solo: &mut Solo| fetches(solo).iter().filter(|words| words.contains("chunk")).count();
    assert_eq!(asked(&mut solo), 8);
    let part = solo.forge.chunk(&[0]);
    solo.feed(&part);
    assert_eq!(asked(&mut solo), 0, "one has come, and is not stored yet");
    solo.step(Input::ChunkStored { sequence_number: at(40), index: 0 });
    assert_eq!(asked(&mut solo), 1);
}

#[test]
fn c3_a_state_is_gone_on_with_until_more_than_two_questions_for_each_replica_were_in_vain() {
    let mut solo = solo();
    let manifest = solo.forge.manifest((at(40), Digest::new([40; 32])), &[], &twenty_parts());
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    feed_manifest(&mut solo, &manifest);
    others_are_at(&mut solo, 42);
    // Eight each time.
    for (patience, target) in [(PATIENCE, 40), (PATIENCE * 8, 42)] {
        solo.pass(patience);
        solo.pass(Duration::ZERO);
        assert_eq!(solo.replica.status().transfer.map(|(target, ..)| target), Some(at(target)));
    }
}

/// And the service is told to install them.
fn feed_service_parts(solo: &mut Solo, manifest: &Manifest) {
    feed_parts(solo, manifest);
    assert!(matches!(solo.commands.last(), Some(AppCommand::InstallState(_))));
}

/// The parts of the service's own, behind those of the session table, are missing; they come, and are stored.
fn feed_parts(solo: &mut Solo, manifest: &Manifest) {
    let (number, first) = (manifest.sequence_number(), manifest.session_chunk_count());
    let bytes = solo.forge.manifest_message(manifest);
    assert_eq!(solo.feed(&bytes), Disposition::Applied);
    solo.step(Input::PartsMissing { sequence_number: number, missing: (first..manifest.chunk_count()).collect() });
    for (index, part) in (first..).zip(PARTS) {
        let bytes = solo.forge.chunk(part);
        solo.feed(&bytes);
        solo.step(Input::ChunkStored { sequence_number: number, index });
    }
}

fn executed(solo: &mut Solo) -> Vec<u64> {
    std::mem::take(&mut solo.decisions).iter().map(|decision| decision.sequence_number().get()).collect()
}

#[test]
fn c3_nothing_is_executed_while_a_state_is_being_installed() {
    let mut solo = solo();
    let blocks = solo.blocks(6);
    let manifest = solo.forge.manifest((at(4), blocks[3].digest()), &[], &PARTS.map(chunk_digest));
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(&mut solo, checkpoint);
    tell_floor(&mut solo, 2, 1, 4);
    feed_service_parts(&mut solo, &manifest);
    for block in &blocks {
        solo.propose(0, block);
    }
    solo.decide(0, &blocks[5]);
    assert_eq!((executed(&mut solo), solo.replica.status().decided), (vec![], at(0)));
    let app = AppState { last_executed: at(4), log_digest: blocks[3].digest(), ..AppState::default() };
    solo.step(Input::StateInstalled(app));
    assert_eq!((executed(&mut solo), solo.replica.status().decided), (vec![5, 6], at(6)));
}

/// At the position of this snapshot the others have the same sessions, and another state.
fn others_have_another_state(solo: &mut Solo, own: &Manifest) -> Manifest {
    let sessions: Vec<Digest> = (0..own.session_chunk_count()).filter_map(|index| own.chunk(index)).collect();
    let position = solo.forge.checkpoint_of(own).position;
    let manifest = solo.forge.manifest(position, &sessions, &PARTS.map(chunk_digest));
    let checkpoint = solo.forge.checkpoint_of(&manifest);
    stable_at(solo, checkpoint);
    manifest
}

#[test]
fn c4_what_was_answered_with_a_wrong_state_is_not_signed_again_up_to_the_last_position() {
    let mut solo = solo();
    let blocks = solo.blocks(4);
    solo.decide(0, &blocks[0]);
    solo.decide(0, &blocks[1]);
    let own = solo.take_checkpoint(b"a defect").expect("ordered");
    solo.decide(0, &blocks[2]);
    let replies = |solo: &mut Solo| solo.words().iter().filter(|words| words.contains("Reply by R1")).count();
    assert_eq!(replies(&mut solo), 3);
    let manifest = others_have_another_state(&mut solo, &own);
    feed_service_parts(&mut solo, &manifest);
    let mut table = SessionTable::new(&solo.cluster);
    for number in 1..=2 {
        let client = ClientId::new(client_key(0).verifying_key().to_bytes());
        table.record(SessionEntry { client, number: RequestNumber::new(number), result_digest: Digest::new([9; 32]) });
    }
    executed(&mut solo);
    let app = AppState { last_executed: at(2), log_digest: blocks[1].digest(), sessions: table.encode(), snapshots: vec![manifest] };
    solo.step(Input::StateInstalled(app));
    assert_eq!((executed(&mut solo), replies(&mut solo)), (vec![3], 0), "executed again, and there may be another root under its name");
    solo.decide(0, &blocks[3]);
    assert_eq!((executed(&mut solo), replies(&mut solo)), (vec![4], 1));
}

#[test]
fn c4_replies_that_wait_for_their_records_do_not_leave_when_their_state_turns_out_wrong() {
    for wrong in [false, true] {
        let mut solo = solo();
        let blocks = solo.blocks(3);
        solo.decide(0, &blocks[0]);
        solo.decide(0, &blocks[1]);
        let own = solo.take_checkpoint(b"a defect").expect("ordered");
        // Batch 3 is executed; the disk has not got what it rests on.
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
        let chain = solo.forge.chain(Some(&certificate), &blocks[2..]);
        let mut outbox = Outbox::new();
        solo.feed_into(&chain, &mut outbox);
        let mut blocks = outbox.writes();
        let writes = blocks.split_off(blocks.len() - 1);
        solo.make_durable(blocks, &mut outbox);
        let results = vec![Bytes::from(b"result".to_vec())];
        solo.replica.step(solo.now, Input::Executed { sequence_number: at(3), results }, &mut outbox);
        let mut checkpoint = solo.forge.checkpoint_of(&own);
        if wrong {
            checkpoint.state = Digest::new([9; 32]);
        }
        let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), checkpoint);
        let bytes = solo.forge.stable_message(&stable);
        solo.feed_into(&bytes, &mut outbox);
        assert_eq!(solo.replica.status().diverged.is_some(), wrong);
        solo.make_durable(writes, &mut outbox);
        let later = outbox.writes();
        solo.make_durable(later, &mut outbox);
        let replies = outbox.drain().filter(|output| output.to_string().contains("Reply by R1")).count();
        assert_eq!(replies, usize::from(!wrong));
    }
}

/// A snapshot takes long, its state turns out wrong meanwhile, and its position is executed again with the true state: what comes late is for nothing, and is neither
/// voted for nor taken for the other, although both stand at one position, behind the same sessions.
#[test]
fn c4_a_state_is_not_replaced_while_a_snapshot_of_it_is_under_way() {
    let mut solo = solo();
    let blocks = solo.blocks(4);
    solo.decide(0, &blocks[0]);
    solo.decide(0, &blocks[1]);
    let own = solo.take_checkpoint(b"a defect").expect("ordered");
    solo.decide(0, &blocks[2]);
    solo.decide(0, &blocks[3]);
    let manifest = others_have_another_state(&mut solo, &own);
    feed_parts(&mut solo, &manifest);
    let installs = |solo: &Solo| solo.commands.iter().filter(|command| matches!(command, AppCommand::InstallState(_))).count();
    solo.pass(T);
    assert_eq!(installs(&solo), 0);
    solo.words();
    solo.take_checkpoint(b"a defect").expect("ordered");
    assert_eq!(installs(&solo), 1);
    let mut table = SessionTable::new(&solo.cluster);
    for request in solo.decisions.iter().take(2) {
        let results: Vec<Bytes> = request.requests().map(|request| Bytes::from(request.operation())).collect();
        request.session_entries(&results).into_iter().for_each(|entry| table.record(entry));
    }
    let app = AppState { last_executed: at(2), log_digest: blocks[1].digest(), sessions: table.encode(), snapshots: vec![manifest] };
    assert_eq!(solo.step(Input::StateInstalled(app)), Disposition::Applied);
    assert_eq!((solo.replica.status().executed, solo.replica.status().diverged), (at(4), None));
    let votes = |solo: &mut Solo| solo.words().iter().filter(|words| words.contains("Checkpoint")).count();
    assert_eq!(votes(&mut solo), 0, "not for the wrong state");
    let own = solo.take_checkpoint(b"no defect").expect("ordered anew");
    assert_eq!((own.sequence_number(), votes(&mut solo)), (at(4), 1));
}
