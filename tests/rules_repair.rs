//! T1, T2: what a replica tells, asks and answers, and how long it is patient; one among forged messages, rule by rule.

mod support;

use logothete::sim::forge::Kind::{Commit, Prepare};
use logothete::sim::forge::{ForgedBlock, ForgedStatus, Seen};
use logothete::{Disposition, Envelope, MessageKind, Recipients, RequestNumber, Tuning, Why};
use std::time::Duration;
use support::solo::{Solo, T, at, view};
use support::{builder, client_key};

const MOMENT: Duration = Duration::from_millis(1);
/// T2's interval while something is outstanding.
const PACE: Duration = Duration::from_millis(100);

/// Replica 1 of 4. K = 2, L = 8, P = 4.
fn solo() -> Solo {
    let cluster = builder(4, 2).checkpoint_interval(2).log_window(8).pipeline(4).build().expect("a valid cluster");
    Solo::with(cluster, 1, Tuning::from_timeout(T))
}

fn wished(solo: &Solo) -> u64 {
    solo.replica.status().wish.get()
}

fn statuses(sent: &[Envelope]) -> usize {
    sent.iter().filter(|envelope| envelope.kind() == MessageKind::Status).count()
}

#[test]
fn t1_what_was_accepted_is_to_be_decided_in_time() {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    solo.propose(0, &blocks[0]);
    solo.pass(T / 2);
    solo.propose(0, &blocks[1]);
    solo.pass(T / 2 - MOMENT);
    assert_eq!(wished(&solo), 0);
    solo.pass(MOMENT);
    assert_eq!(wished(&solo), 1, "the oldest one counts");
}

/// The others leave for this view when this replica has waited for half of its patience.
fn leave(solo: &mut Solo, to: u64) -> u32 {
    solo.pass(T * (1 << solo.replica.status().backoff) / 2);
    solo.wants(&[0, 2, 3], to);
    solo.replica.status().backoff
}

#[test]
fn t1_patience_grows_with_views_that_do_not_serve_what_waits_and_shrinks_with_what_is_decided() {
    let mut solo = solo();
    let mut blocks = solo.blocks(3);
    for number in 1..=3 {
        let request = solo.forge.request(&client_key(1), RequestNumber::new(number), b"order");
        let (at, parent) = (at(number + 3), blocks[blocks.len() - 1].digest());
        blocks.push(solo.forge.block(at, parent, vec![request]));
    }
    // It waits all the time.
    solo.ask(1, 1);
    assert_eq!((leave(&mut solo, 2), leave(&mut solo, 3)), (1, 2));
    solo.decide(3, &blocks[0]);
    solo.decide(3, &blocks[1]);
    assert_eq!(solo.replica.status().backoff, 2, "K positions, and not what waited before");
    assert_eq!(leave(&mut solo, 4), 3, "view 3 has decided, but not what waited when it began");
    solo.decide(4, &blocks[2]);
    assert_eq!(solo.replica.status().backoff, 3);
    solo.decide(4, &blocks[3]);
    assert_eq!(solo.replica.status().backoff, 2, "once in K positions");
    solo.ask(1, 2);
    assert_eq!(leave(&mut solo, 5), 2, "view 4 has served what waited when it began");
    assert_eq!(leave(&mut solo, 6), 3, "view 5 has not");
    // A view decides what a lower one proposed, or hears late that the lower one did: that took longer than patience.
    solo.decide(6, &blocks[4]);
    solo.ask(1, 3);
    assert_eq!(leave(&mut solo, 7), 4, "view 6 has decided its base");
    solo.decide(6, &blocks[5]);
    solo.ask(1, 4);
    assert_eq!(leave(&mut solo, 8), 5, "view 7 has not begun");
}

#[test]
fn t1_a_new_primary_is_given_all_of_its_time() {
    let mut solo = solo();
    solo.ask(0, 1);
    // Twice T, after a view that decided nothing.
    assert_eq!(leave(&mut solo, 2), 1);
    solo.pass(T * 2 - MOMENT);
    assert_eq!(wished(&solo), 2);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
    solo.feed_certificate(&certificate);
    solo.pass(T * 2 - MOMENT);
    assert_eq!(wished(&solo), 2, "since it was entered");
    solo.pass(MOMENT);
    assert_eq!(wished(&solo), 3);
}

#[test]
fn t1_a_view_that_does_not_begin_is_given_up() {
    let mut solo = solo();
    solo.wants(&[0, 2, 3], 2);
    solo.pass(T - MOMENT);
    assert_eq!(wished(&solo), 2);
    solo.pass(MOMENT);
    assert_eq!(wished(&solo), 3);
}

#[test]
fn t1_nobody_is_blamed_while_the_window_is_closed() {
    let mut solo = solo();
    for block in solo.blocks(8) {
        solo.decide(0, &block);
    }
    assert_eq!((solo.replica.status().head, solo.replica.status().stable), (at(8), at(0)));
    solo.ask(0, 9);
    solo.pass(T * 10);
    assert_eq!(wished(&solo), 0);
}

#[test]
fn t2_who_lacks_the_stable_checkpoint_is_told_it() {
    let mut solo = solo();
    for block in solo.blocks(2) {
        solo.decide(0, &block);
    }
    let manifest = solo.take_checkpoint(b"the state").expect("ordered");
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    let knows = ForgedStatus { ordinal: 1, decided: at(2), committed: (view(0), at(2)), high: (view(0), at(2)), ..ForgedStatus::default() };
    let told = solo.draws(&knows);
    assert!(matches!(&told[..], [one] if one.contains("Stable n2")), "{told:?}");
    assert_eq!(solo.draws(&ForgedStatus { ordinal: 2, stable: at(2), ..knows }), [""; 0]);
}

#[test]
fn t2_who_lacks_the_view_is_told_it() {
    let mut solo = solo();
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), None));
    let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    solo.feed(&new_view);
    for (ordinal, in_view, waits) in [(1, 0, false), (2, 2, true)] {
        let told = solo.draws(&ForgedStatus { ordinal, view: view(in_view), waits, ..ForgedStatus::default() });
        assert!(matches!(&told[..], [one] if one.contains("NewView v2")), "{told:?}");
    }
    assert_eq!(solo.draws(&ForgedStatus { ordinal: 3, view: view(2), ..ForgedStatus::default() }), [""; 0]);
    // Once there is a certificate, that is the better entry.
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
    solo.feed_certificate(&certificate);
    let told = solo.draws(&ForgedStatus { ordinal: 4, view: view(2), waits: true, ..ForgedStatus::default() });
    assert!(matches!(&told[..], [one] if one.contains("Certificate Prepare(2, 0")), "{told:?}");
}

#[test]
fn t2_who_has_a_lower_high_is_told_it() {
    let mut solo = solo();
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
    solo.feed_certificate(&certificate);
    let told = solo.draws(&ForgedStatus { ordinal: 1, ..ForgedStatus::default() });
    assert!(matches!(&told[..], [one] if one.contains("Certificate Prepare(0, 1")), "{told:?}");
    assert_eq!(solo.draws(&ForgedStatus { ordinal: 2, high: (view(0), at(1)), ..ForgedStatus::default() }), [""; 0]);
}

#[test]
fn t2_f_plus_one_of_those_asked_answer_with_blocks_in_turn() {
    let mut solo = solo();
    let blocks = solo.blocks(2);
    for block in &blocks {
        solo.decide(0, block);
    }
    let mut with_blocks = 0;
    for ordinal in 1..=3 {
        let told = solo.draws(&ForgedStatus { ordinal, high: (view(0), at(2)), ..ForgedStatus::default() });
        assert!(matches!(&told[..], [one] if one.contains("Chain") && one.contains("certificate Commit(0, 2")), "{told:?}");
        with_blocks += usize::from(told[0].contains("Chain 2 blocks down from n2"));
    }
    assert_eq!(with_blocks, 2, "of the three others' turns, f + 1 are this one's");
    // Who has part of it gets the rest; who has all of it gets nothing.
    let told = solo.draws(&ForgedStatus { ordinal: 4, decided: at(1), high: (view(0), at(2)), ..ForgedStatus::default() });
    assert!(!told[0].contains("2 blocks"), "{told:?}");
    let all = ForgedStatus { ordinal: 5, decided: at(2), high: (view(0), at(2)), committed: (view(0), at(2)), ..ForgedStatus::default() };
    assert_eq!(solo.draws(&all), [""; 0]);
}

#[test]
fn t2_of_one_peer_64_statuses_are_answered_in_an_interval() {
    let mut solo = solo();
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
    solo.feed_certificate(&certificate);
    let count = |solo: &mut Solo, ordinals: std::ops::Range<u64>| -> usize {
        ordinals.map(|ordinal| solo.draws(&ForgedStatus { ordinal, ..ForgedStatus::default() }).len()).sum()
    };
    assert_eq!(count(&mut solo, 1..100), 64);
    solo.pass(PACE);
    assert_eq!(count(&mut solo, 100..200), 64);
}

#[test]
fn t2_a_question_that_was_heard_before_is_not_answered() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    let mut fetch = |ordinal: u64| {
        let bytes = solo.forge.fetch(solo.as_traitor(3), ordinal, at(0), (at(1), block.digest()));
        solo.feed(&bytes)
    };
    assert_eq!(fetch(7), Disposition::Applied);
    assert_eq!(fetch(7), Disposition::Ignored(Why::Stale));
    assert_eq!((fetch(6), fetch(8)), (Disposition::Applied, Disposition::Applied), "one that 7 has overtaken, and the next one");
    assert_eq!((fetch(6), fetch(8)), (Disposition::Ignored(Why::Stale), Disposition::Ignored(Why::Stale)));
}

#[test]
fn t2_votes_in_a_status_are_taken() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    let position = (at(1), block.digest());
    solo.propose(0, &block);
    let both = ForgedStatus { ordinal: 1, votes: [Some(position); 2], ..ForgedStatus::default() };
    solo.draws(&both);
    assert_eq!(solo.replica.status().decided, at(0), "its Prepare was the third one, and its Commit the second");
    solo.vote(2, Commit, 0, position);
    assert_eq!(solo.replica.status().decided, at(1));
}

#[test]
fn t2_who_is_behind_says_so_at_the_pace_and_who_has_nothing_to_say_when_idle() {
    let mut solo = solo();
    hear(&mut solo, &[0, 2], 0);
    solo.pass(T * 4 - MOMENT);
    assert_eq!(statuses(&solo.sent), 0);
    solo.pass(MOMENT);
    assert_eq!(statuses(&solo.sent), 1);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), solo.blocks(1)[0].digest()));
    solo.feed_certificate(&certificate);
    solo.sent.clear();
    for _ in 0..3 {
        solo.pass(PACE);
    }
    assert_eq!(statuses(&solo.sent), 3);
}

/// A Status of each of these, who have decided so much.
fn hear(solo: &mut Solo, members: &[usize], decided: u64) {
    for member in members {
        let status = ForgedStatus { ordinal: 1 + decided, decided: at(decided), ..ForgedStatus::default() };
        let bytes = solo.forge.status_of(solo.as_traitor(*member), &status);
        solo.feed(&bytes);
    }
    solo.sent.clear();
}

#[test]
fn t2_who_has_just_started_asks_at_the_pace_until_f_plus_1_others_are_heard_of() {
    let said = |solo: &mut Solo| {
        solo.sent.clear();
        for _ in 0..3 {
            solo.pass(PACE);
        }
        statuses(&solo.sent)
    };
    for recovers in [false, true] {
        let mut solo = solo();
        if recovers {
            solo.restart();
        }
        assert_eq!(said(&mut solo), 3, "what it asks may be lost");
        hear(&mut solo, &[2], 0);
        assert_eq!(said(&mut solo), 3, "of one: it may be a liar");
        hear(&mut solo, &[3], 0);
        assert_eq!(said(&mut solo), 0);
        hear(&mut solo, &[0], 5);
        assert_eq!(said(&mut solo), 0, "one says that it is behind");
        hear(&mut solo, &[2], 1);
        assert_eq!(said(&mut solo), 3, "f+1 do");
        let behind = solo.forge.status_of(solo.as_traitor(3), &ForgedStatus { ordinal: 9, ..ForgedStatus::default() });
        solo.feed(&behind);
        assert_eq!(said(&mut solo), 3, "whatever a third one says after them");
        let block = solo.blocks(1).remove(0);
        solo.decide(0, &block);
        assert_eq!(said(&mut solo), 0, "and of these one is no more ahead");
    }
    let cluster = builder(2, 1).build().expect("a valid cluster");
    let mut two = Solo::with(cluster, 1, Tuning::from_timeout(T));
    assert_eq!(said(&mut two), 3);
    hear(&mut two, &[0], 0);
    assert_eq!(said(&mut two), 0, "there are no more");
    let mut alone = Solo::with(builder(1, 1).build().expect("a valid cluster"), 0, Tuning::from_timeout(T));
    assert_eq!(said(&mut alone), 0, "there are none");
}

#[test]
fn c2_an_own_vote_on_a_checkpoint_is_said_again_until_that_is_stable() {
    let mut solo = solo();
    hear(&mut solo, &[0, 2], 0);
    for block in solo.blocks(2) {
        solo.decide(0, &block);
    }
    let manifest = solo.take_checkpoint(b"the state").expect("ordered");
    let own = solo.forge.checkpoint_of(&manifest);
    let says = |solo: &mut Solo| {
        solo.sent.clear();
        solo.pass(PACE);
        solo.sent.iter().any(|envelope| match solo.forge.read(&envelope.encode()) {
            Ok(Seen::Status { said, .. }) => {
                said.iter().any(|said| matches!(said, Seen::Checkpoint { checkpoint, .. } if *checkpoint == own))
            }
            _ => false,
        })
    };
    assert!(says(&mut solo) && says(&mut solo));
    let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), own);
    let bytes = solo.forge.stable_message(&stable);
    solo.feed(&bytes);
    assert!(!says(&mut solo));
}

#[test]
fn p5_each_question_for_what_is_missing_goes_to_another_replica() {
    let mut solo = solo();
    let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), solo.blocks(1)[0].digest()));
    solo.feed_certificate(&certificate);
    solo.sent.clear();
    let mut asked: Vec<u32> = (0..3)
        .filter_map(|_| {
            solo.pass(T / 32);
            let sent = std::mem::take(&mut solo.sent);
            let fetch = sent.iter().find(|envelope| envelope.kind() == MessageKind::Fetch)?;
            if let Recipients::Replica(replica) = fetch.to() { Some(replica.get()) } else { None }
        })
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [0, 2, 3], "each as often as the others");
}

#[test]
fn t1_a_clock_that_goes_back_stands_still() {
    let mut solo = solo();
    let before = solo.now;
    solo.pass(T);
    let later = solo.now;
    solo.now = before;
    solo.ask(0, 1);
    solo.now = later;
    solo.pass(T - MOMENT);
    assert_eq!(wished(&solo), 0, "it came at the latest time that was told");
    solo.pass(MOMENT);
    assert_eq!(wished(&solo), 1);
}

/// A backup in view 0 that has seen the others answer 16 times within 10 ms; and the 20 blocks of which 16 are decided. What a primary may let
/// wait is an eighth of T from now on: 100 ms.
fn paced() -> (Solo, Vec<ForgedBlock>) {
    let mut solo = Solo::new(4, 1);
    let blocks = solo.blocks(20);
    for block in &blocks[..16] {
        solo.propose(0, block);
        solo.pass(Duration::from_millis(10));
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (block.sequence_number(), block.digest()));
        solo.feed_certificate(&certificate);
    }
    solo.sent.clear();
    (solo, blocks)
}

fn ask_another(solo: &mut Solo) {
    let request = solo.forge.request(&client_key(1), RequestNumber::new(1), b"order");
    let bytes = solo.forge.request_message(&request);
    solo.feed(&bytes);
}

#[test]
fn t1_a_primary_with_room_is_judged_by_the_others_pace_and_the_next_one_more_mildly() {
    let (mut solo, blocks) = paced();
    ask_another(&mut solo);
    let passed_on = |solo: &Solo| solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Request).count();
    solo.pass(PACE / 2 - MOMENT);
    assert_eq!(passed_on(&solo), 0);
    solo.pass(MOMENT);
    assert_eq!((passed_on(&solo), wished(&solo)), (1, 0), "in case it does not know it");
    solo.pass(PACE / 2 - MOMENT);
    assert_eq!(wished(&solo), 0);
    solo.pass(MOMENT * 20);
    assert_eq!(wished(&solo), 1);
    // A wrong judgement must not repeat itself: the next primary is allowed twice as much.
    solo.wants(&[0, 2, 3], 2);
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 2, (at(16), blocks[15].digest()));
    solo.feed_certificate(&certificate);
    assert!(solo.replica.status().normal);
    solo.pass(PACE * 2 - MOMENT);
    assert_eq!(wished(&solo), 2);
    solo.pass(MOMENT * 40);
    assert_eq!(wished(&solo), 3);
}

#[test]
fn t1_what_stands_on_a_chain_that_was_not_held_at_first_is_not_waited_for() {
    let (mut solo, blocks) = paced();
    ask_another(&mut solo);
    let request = solo.forge.request(&client_key(1), RequestNumber::new(1), b"order");
    let block = solo.forge.block(at(17), blocks[15].digest(), vec![request]);
    let above = solo.block(18, block.digest(), 17);
    // Its proposal was lost.
    let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(18), above.digest()));
    solo.feed_certificate(&certificate);
    solo.pass(PACE / 2);
    solo.pass(PACE * 2);
    assert_eq!((solo.replica.status().head, wished(&solo)), (at(18), 0), "it may stand there");
    let chain = solo.forge.chain(None, &[above, block]);
    solo.feed(&chain);
    solo.pass(PACE);
    assert_eq!(wished(&solo), 0, "it is on head's chain");
}

#[test]
fn t1_a_primary_without_room_is_not_judged_by_the_others_pace() {
    let (mut solo, blocks) = paced();
    for block in &blocks[16..] {
        solo.propose(0, block);
    }
    ask_another(&mut solo);
    solo.pass(T - MOMENT);
    assert_eq!(wished(&solo), 0, "its pipeline is full: T alone counts");
    solo.pass(MOMENT);
    assert_eq!(wished(&solo), 1);
}

#[test]
fn p5_nothing_above_the_window_is_asked_for() {
    for (number, asks) in [(8, true), (9, false)] {
        let mut solo = solo();
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(number), solo.blocks(number)[number as usize - 1].digest()));
        solo.feed_certificate(&certificate);
        solo.pass(T / 8);
        let asked = solo.words().iter().any(|words| words.contains("Fetch"));
        assert_eq!(asked, asks, "{number}: a checkpoint has to open it first");
    }
}

#[test]
fn p5_what_is_missing_is_noticed_whatever_makes_it_so() {
    type Cause = (&'static str, fn(&mut Solo));
    let causes: [Cause; 8] = [
        ("a vote of the primary's", |solo| {
            let position = (at(1), solo.blocks(1)[0].digest());
            solo.vote(0, Prepare, 0, position);
        }),
        ("a vote of the primary's at the end of the window", |solo| {
            let position = (at(8), solo.blocks(8)[7].digest());
            solo.vote(0, Prepare, 0, position);
        }),
        ("a vote of the primary's above what is whole", |solo| {
            let blocks = solo.blocks(2);
            solo.propose(0, &blocks[0]);
            solo.pass(MOMENT);
            solo.vote(0, Prepare, 0, (at(2), blocks[1].digest()));
        }),
        ("a prepared certificate", |solo| {
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
            solo.feed_certificate(&certificate);
        }),
        ("a certificate below the own votes, off their chain", |solo| {
            let mine = solo.block_saying(1, solo.genesis().1, 1, b"treason");
            let above = solo.block(2, mine.digest(), 2);
            solo.propose(0, &mine);
            solo.propose(0, &above);
            solo.pass(MOMENT);
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
            solo.feed_certificate(&certificate);
        }),
        ("a commit certificate of a lower view", |solo| {
            let opened = solo.certificate(&[0, 2, 3], Prepare, 2, solo.genesis());
            solo.feed_certificate(&opened);
            solo.pass(PACE);
            let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(1), solo.blocks(1)[0].digest()));
            solo.feed_certificate(&certificate);
        }),
        ("a stable checkpoint", |solo| {
            let manifest = solo.forge.manifest((at(4), solo.blocks(4)[3].digest()), &[], &[]);
            let stable = solo.forge.stable(&solo.members(&[0, 2, 3]), solo.forge.checkpoint_of(&manifest));
            let bytes = solo.forge.stable_message(&stable);
            solo.feed(&bytes);
        }),
        ("the base of a view", |solo| {
            let certificate = solo.certificate(&[0, 2, 3], Prepare, 0, (at(1), solo.blocks(1)[0].digest()));
            let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), Some(&certificate)));
            let new_view = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
            solo.feed(&new_view);
        }),
    ];
    for (cause, make) in causes {
        let mut solo = solo();
        solo.pass(PACE);
        make(&mut solo);
        solo.sent.clear();
        solo.pass(T / 32);
        let words = solo.words();
        assert!(words.iter().any(|words| words.contains("Fetch by R1 chain down from")), "{cause}: {words:?}");
    }
}

#[test]
fn e_a_proposal_that_is_asked_for_is_shown_if_it_is_the_one_held() {
    let mut solo = solo();
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    let mut ask_for = |ordinal: u64, in_view: u64, position| {
        let fetch = solo.forge.fetch_proposal(solo.as_traitor(3), ordinal, view(in_view), position);
        solo.sent.clear();
        solo.feed(&fetch);
        solo.words()
    };
    let held = (at(1), block.digest());
    let shown = ask_for(1, 0, held);
    assert!(matches!(&shown[..], [one] if one.starts_with("to R3: Prepare v0 n1") && one.ends_with("by R0")), "{shown:?}");
    assert_eq!(ask_for(2, 0, (at(1), logothete::Digest::new([1; 32]))), [""; 0], "it has no such thing");
    assert_eq!(ask_for(3, 4, held), [""; 0], "of another view of the same primary");
}

#[test]
fn t1_a_host_that_calls_at_the_deadline_calls_in_time() {
    let rarely = T * 100;
    let cluster = builder(4, 2).pipeline(4).build().expect("a valid cluster");
    let tuning = Tuning { status_interval: rarely, idle_status_interval: rarely, ..Tuning::from_timeout(T) };
    let mut solo = Solo::with(cluster, 1, tuning);
    solo.pass(MOMENT);
    let block = solo.blocks(1).remove(0);
    solo.propose(0, &block);
    assert_eq!(solo.replica.deadline(), Some(solo.now.after(T)), "when what was accepted is overdue");
    solo.pass(T);
    assert_eq!(wished(&solo), 1);
    solo.wants(&[0, 2, 3], 2);
    assert_eq!(solo.replica.deadline(), Some(solo.now.after(T * 2)), "when the view is");
    let mut waits = Solo::new(4, 1);
    waits.ask(0, 1);
    assert!(waits.replica.deadline() <= Some(waits.now.after(T / 2)), "when the request is to be passed on");
    let mut lacks = Solo::new(4, 1);
    lacks.pass(MOMENT);
    let certificate = lacks.certificate(&[0, 2, 3], Commit, 0, (at(1), block.digest()));
    lacks.feed_certificate(&certificate);
    assert!(lacks.replica.deadline() <= Some(lacks.now.after(T / 32)), "when what is missing is to be asked for");
}

#[test]
fn t2_a_chain_ends_where_a_block_names_a_parent_of_another_number() {
    let mut solo = solo();
    let low = solo.block(1, solo.forge.genesis(), 1);
    // The primary proposes it at 3, on what stands at 1.
    let high = solo.forge.block(at(3), low.digest(), low.requests().to_vec());
    for block in [&low, &high] {
        let proposal = solo.forge.pre_prepare(&solo.keys[0], view(0), block);
        solo.feed(&proposal);
    }
    solo.sent.clear();
    let question = solo.forge.fetch(solo.as_traitor(3), 1, at(0), (at(3), high.digest()));
    assert_eq!(solo.feed(&question), Disposition::Applied);
    let answers: Vec<_> = solo.sent.iter().filter(|envelope| envelope.kind() == MessageKind::Chain).collect();
    assert_eq!(answers.len(), 1);
    assert!(solo.forge.read(&answers[0].encode()).is_ok(), "what a correct replica sends can be read");
    // And who asks under a false number gets nothing.
    solo.sent.clear();
    let question = solo.forge.fetch(solo.as_traitor(3), 2, at(0), (at(2), high.digest()));
    assert_eq!(solo.feed(&question), Disposition::Ignored(Why::NotNeeded));
}

#[test]
fn t2_a_chain_of_which_the_upper_blocks_alone_were_lacking_is_needed() {
    let mut solo = solo();
    let blocks = solo.blocks(3);
    solo.propose(0, &blocks[0]);
    solo.vote(0, Prepare, 0, (at(3), blocks[2].digest()));
    let chain = solo.forge.chain(None, &[blocks[2].clone(), blocks[1].clone(), blocks[0].clone()]);
    assert_eq!(solo.feed(&chain), Disposition::Applied);
    assert_eq!(solo.replica.status().head, at(3));
    assert_eq!(solo.feed(&chain), Disposition::Ignored(Why::NotNeeded));
}
