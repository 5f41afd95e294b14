//! I18, D1: what a replica leaves undone while its disk is behind, and how its records are cut; one among forged messages.

mod support;

use logothete::sim::forge::ForgedBlock;
use logothete::sim::forge::Kind::Commit;
use logothete::{ClusterBuilder, Disposition, Input, Limits, Outbox, Start, Tuning, Volatile, Why, persist};
use support::builder;
use support::solo::{Solo, T, at, view};

const LARGE: usize = 99_000;
const MESSAGE_BYTES_MAX: u32 = 165_600;

fn cluster() -> ClusterBuilder {
    builder(4, 2).limits(Limits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        batch_bytes_max: 100_000,
        operation_bytes_max: LARGE as u32,
        ..Limits::default()
    })
}

/// Replica 1 of 4.
fn starting(start: Start) -> Solo {
    Solo::starting(cluster().build().expect("a valid cluster"), 1, Tuning::from_timeout(T), start)
}

/// Blocks 1..=count on genesis, with operations of these many bytes.
fn blocks(solo: &Solo, count: u64, length: usize) -> Vec<ForgedBlock> {
    let mut parent = solo.forge.genesis();
    let block = |number| {
        let block = solo.block_saying(number, parent, number, &vec![7; length]);
        parent = block.digest();
        block
    };
    (1..=count).map(block).collect()
}

fn is_behind(solo: &Solo) -> bool {
    solo.replica.status().usage.log.bytes > 8 * u64::from(MESSAGE_BYTES_MAX)
}

fn sync(solo: &mut Solo, outbox: &mut Outbox) {
    loop {
        let writes = outbox.writes();
        if writes.is_empty() {
            return;
        }
        solo.make_durable(writes, outbox);
    }
}

/// Its primary's proposals are prepared, and the disk has taken none of it.
fn behind() -> (Solo, Outbox) {
    let (mut solo, mut outbox) = (starting(Start::New), Outbox::new());
    for block in blocks(&solo, 14, LARGE) {
        let bytes = solo.forge.pre_prepare(&solo.keys[0], view(0), &block);
        solo.feed_into(&bytes, &mut outbox);
    }
    assert!(is_behind(&solo), "{}", solo.replica.status().usage.log);
    (solo, outbox)
}

fn want(solo: &mut Solo, ordinal: u64, outbox: &mut Outbox) {
    for member in [0, 2, 3] {
        let bytes = solo.forge.status(solo.as_traitor(member), ordinal, view(0), view(2), at(0));
        solo.feed_into(&bytes, outbox);
    }
}

#[test]
fn i18_while_the_disk_is_behind_no_wish_is_joined_and_no_view_left() {
    let (mut solo, mut outbox) = behind();
    want(&mut solo, 1, &mut outbox);
    let status = solo.replica.status();
    assert_eq!((status.view, status.wish), (view(0), view(0)));
    sync(&mut solo, &mut outbox);
    want(&mut solo, 2, &mut outbox);
    assert_eq!(solo.replica.status().view, view(2), "each status brings it up again");
}

#[test]
fn i18_while_the_disk_is_behind_no_view_is_entered_by_its_new_view() {
    let (mut solo, mut outbox) = behind();
    let claims = [0, 2, 3].map(|member| solo.forge.view_change(solo.as_traitor(member), view(2), None));
    let bytes = solo.forge.new_view(&solo.keys[2], view(2), &claims, None);
    assert_eq!(solo.feed_into(&bytes, &mut outbox), Disposition::Ignored(Why::FarAhead));
    assert_eq!(solo.replica.status().view, view(0));
    sync(&mut solo, &mut outbox);
    assert_eq!(solo.feed_into(&bytes, &mut outbox), Disposition::Applied);
    assert_eq!((solo.replica.status().view, solo.replica.status().normal), (view(2), true));
}

#[test]
fn i18_while_the_disk_is_behind_lost_patience_makes_no_wish() {
    let (mut solo, mut outbox) = behind();
    solo.now = solo.now.after(10 * T);
    solo.replica.step(solo.now, Input::Timer, &mut outbox);
    assert_eq!(solo.replica.status().wish, view(0));
    sync(&mut solo, &mut outbox);
    assert_eq!(solo.replica.status().wish, view(1));
}

#[test]
fn d2_who_rejoins_records_what_it_vouched_for_as_its_disk_follows() {
    let (mut solo, mut outbox) = (starting(Start::Rejoining { nonce: [7; 32] }), Outbox::new());
    let me = logothete::ReplicaId::new(1);
    for from in [0, 2, 3] {
        let bytes = solo.forge.welcome(solo.as_traitor(from), me, [7; 32], view(3));
        solo.feed(&bytes);
    }
    let blocks = blocks(&solo, 20, LARGE);
    let certificate = solo.certificate(&[0, 2, 3], Commit, 5, (at(20), blocks[19].digest()));
    let bytes = solo.forge.certificate_message(&certificate);
    solo.feed_into(&bytes, &mut outbox);
    for block in blocks.iter().rev() {
        let bytes = solo.forge.chain(None, std::slice::from_ref(block));
        assert_eq!(solo.feed_into(&bytes, &mut outbox), Disposition::Applied);
    }
    for _ in 0..40 {
        solo.replica.step(solo.now, Input::Timer, &mut outbox);
    }
    let status = solo.replica.status();
    assert!(is_behind(&solo) && status.usage.log.bytes < 9 * u64::from(MESSAGE_BYTES_MAX), "{}", status.usage.log);
    assert!(status.rejoining);
    sync(&mut solo, &mut outbox);
    assert!(!solo.replica.status().rejoining);
}

#[test]
fn d1_blocks_that_fill_a_message_to_the_byte_are_one_record() {
    for (length, expected) in [(54_976, 1), (54_977, 2)] {
        let mut solo = starting(Start::New);
        let blocks = blocks(&solo, 3, length);
        let certificate = solo.certificate(&[0, 2, 3], Commit, 0, (at(3), blocks[2].digest()));
        for block in blocks.iter().rev() {
            let bytes = solo.forge.chain(Some(&certificate), std::slice::from_ref(block));
            solo.feed(&bytes);
        }
        assert_eq!(solo.replica.status().decided, at(3));
        let records = solo.records.iter().filter(|record| record.contains("Blocks")).count();
        assert_eq!(records, expected, "{:?}", solo.records);
    }
}

#[test]
fn d1_a_receipt_for_several_records_is_for_the_last_of_them_too() {
    let (mut solo, mut outbox) = (starting(Start::New), Outbox::new());
    for block in blocks(&solo, 3, 10) {
        let bytes = solo.forge.pre_prepare(&solo.keys[0], view(0), &block);
        solo.feed_into(&bytes, &mut outbox);
    }
    let writes = outbox.writes();
    assert_eq!(writes.len(), 3);
    let (_, receipt) = persist(&mut Volatile::default(), writes).expect("written").sign(&solo.keys[1]).expect("signed");
    solo.replica.step(solo.now, Input::Persisted(receipt), &mut outbox);
    assert_eq!(solo.replica.status().usage.log.bytes, 0);
}
